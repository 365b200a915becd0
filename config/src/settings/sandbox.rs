//! What the gateway gives up before it trades.

#![expect(missing_docs, reason = "default.toml is the manual of these fields")]

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Found;

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Sandbox {
    pub mode: SandboxMode,
    pub require: SandboxRung,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SandboxMode {
    Off,
    Log,
    Enforce,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SandboxRung {
    None,
    Filter,
    Full,
}

impl Sandbox {
    /// What cannot be had together.
    pub(crate) fn check(&self, found: &mut Vec<Found>) {
        if self.mode != SandboxMode::Enforce && self.require != SandboxRung::None {
            let text = "only mode = \"enforce\" refuses anything; expected that, or \"none\"";
            found.push(("sandbox.require".into(), text.into()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_hold_without_being_enforced_is_refused() {
        for mode in [SandboxMode::Off, SandboxMode::Log, SandboxMode::Enforce] {
            for require in [SandboxRung::None, SandboxRung::Filter, SandboxRung::Full] {
                let mut found = Vec::new();
                Sandbox { mode, require }.check(&mut found);
                let is_right = mode == SandboxMode::Enforce || require == SandboxRung::None;
                assert_eq!(found.is_empty(), is_right, "{mode:?} {require:?}");
            }
        }
    }
}
