//! What a check has found.

use serde::{Deserialize, Serialize};

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Good,
    /// It will run, slower or less evenly.
    Costs,
    /// It will not run as configured.
    Fails,
    /// This host does not show it: a guest, a missing file, a right that is missing. Never good.
    Unseen,
}

/// One check of a host, or of a part of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The check, by the name that `docs/host.md` has.
    pub check: String,
    /// The interface, or the CPU; empty: the host.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subject: String,
    /// How much it matters.
    pub verdict: Verdict,
    /// What is there.
    pub found: String,
    /// What should be.
    pub wanted: String,
    /// What it costs.
    pub why: String,
    /// What changes it.
    pub how: String,
}

impl Finding {
    /// The check, and what it is of.
    #[must_use]
    pub fn name(&self) -> String {
        if self.subject.is_empty() {
            self.check.clone()
        } else {
            format!("{}: {}", self.subject, self.check)
        }
    }
}
