//! What is kept of a feed's frames. Each key's range stands beside it.

#![expect(missing_docs, reason = "default.toml is the manual of these fields")]

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Found, power_of_two};

#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Capture {
    pub frames: Frames,
    pub folder: String,
    pub file_mib: u64,
    pub files: u64,
    pub ring_kib: u64,
    pub before_frames: u64,
    pub after_frames: u64,
    pub slow_order_us: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Frames {
    Off,
    All,
    Gaps,
}

impl Capture {
    /// What is out of range by itself, under the key of this section.
    pub(crate) fn check(&self, key: &str, found: &mut Vec<Found>) {
        let values = [
            ("file_mib", self.file_mib, 1, 65_536),
            ("files", self.files, 1, 10_000),
            ("ring_kib", self.ring_kib, 64, 1 << 20),
            ("before_frames", self.before_frames, 0, 1 << 20),
            ("after_frames", self.after_frames, 1, 1 << 20),
            ("slow_order_us", self.slow_order_us, 0, 10_000_000),
        ];
        for (name, value, min, max) in values {
            if !(min..=max).contains(&value) {
                let text = format!("{value}: expected {min} to {max}");
                found.push((format!("{key}.{name}"), text));
            }
        }
        power_of_two(&format!("{key}.ring_kib"), self.ring_kib, found);
    }
}
