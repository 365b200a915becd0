//! What an operator is told of a reload.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a reload came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Reloaded {
    /// The configuration that was read is in force; if not, nothing of it is.
    pub is_applied: bool,
    /// Every order stage that it concerns has taken it.
    pub is_taken: bool,
    /// What is wrong with the configuration itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
    /// Each key that differs from what was in force.
    pub changes: Vec<ReloadedKey>,
    /// The number of the table of limits in force.
    pub number: u32,
}

/// A key that has another value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct ReloadedKey {
    /// The key.
    pub key: String,
    /// What was in force.
    pub before: String,
    /// What was read.
    pub now: String,
    /// Why it cannot change now, and what would be right; `None`: it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

impl fmt::Display for ReloadedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            key, before, now, ..
        } = self;
        write!(f, "{key}: {before} -> {now}")?;
        match &self.refused {
            Some(why) => write!(f, ": {why}"),
            None => Ok(()),
        }
    }
}

impl Reloaded {
    /// How many keys cannot change.
    #[must_use]
    pub fn refused(&self) -> usize {
        let changes = self.changes.iter();
        changes.filter(|it| it.refused.is_some()).count()
    }
}

/// On one line, for the log and the service manager.
impl fmt::Display for Reloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.changes.len();
        match (self.is_applied, self.faults.len()) {
            (true, _) if count == 0 => f.write_str("reload: nothing differs from what is in force"),
            (true, _) => write!(f, "reloaded: keys that changed: {count}"),
            (false, 0) => write!(
                f,
                "nothing is reloaded: {} of {count} keys that differ cannot change now",
                self.refused()
            ),
            (false, faults) => write!(
                f,
                "nothing is reloaded: faults of the configuration: {faults}"
            ),
        }
    }
}
