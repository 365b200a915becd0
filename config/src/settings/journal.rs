//! What is journaled, and how safely. Each key's range stands beside it.

#![expect(missing_docs, reason = "default.toml is the manual of these fields")]

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Found, power_of_two};

#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Journal {
    pub enabled: bool,
    pub folder: String,
    pub sync: Sync,
    pub sync_interval_ms: u64,
    pub ring_kib: u64,
    pub file_mib: u64,
    pub drop_copy: String,
    pub drop_copy_format: CopyFormat,
    pub keep_days: u32,
    pub replayable: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CopyFormat {
    Json,
    Csv,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Sync {
    None,
    Interval,
    Batch,
}

impl Journal {
    /// What is out of range by itself.
    pub(crate) fn check(&self, found: &mut Vec<Found>) {
        let values = [
            ("sync_interval_ms", self.sync_interval_ms, 1, 60_000),
            ("ring_kib", self.ring_kib, 256, 1 << 20),
            ("file_mib", self.file_mib, 1, 1 << 20),
            ("keep_days", u64::from(self.keep_days), 0, 36_500),
        ];
        for (name, value, min, max) in values {
            if !(min..=max).contains(&value) {
                let text = format!("{value}: expected {min} to {max}");
                found.push((format!("journal.{name}"), text));
            }
        }
        power_of_two("journal.ring_kib", self.ring_kib, found);
        if !self.enabled && !self.folder.is_empty() {
            let text = format!(
                "\"{}\": nothing is written there while journal.enabled is false; expected \"\", or true there",
                self.folder
            );
            found.push(("journal.folder".into(), text));
        }
        if !self.enabled && self.replayable {
            let text = "true: what a replay needs is in the journal, and journal.enabled is false; expected false, or true there";
            found.push(("journal.replayable".into(), text.to_owned()));
        }
        if !self.enabled && !self.drop_copy.is_empty() {
            let text = format!(
                "\"{}\": executions are copied out of the journal, and journal.enabled is false; expected \"\", or true there",
                self.drop_copy
            );
            found.push(("journal.drop_copy".into(), text));
        }
    }
}
