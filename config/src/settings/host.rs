//! The host: memory, cores, rings, reports. Each key's range stands beside it.

#![expect(missing_docs, reason = "default.toml is the manual of these fields")]

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Found, power_of_two};

#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Host {
    pub lock_memory: bool,
    pub huge_pages: bool,
    pub realtime_priority: u8,
    pub state_dir: String,
    pub feeds_wait_ms: u32,
    pub certificate: String,
}

/// Ten minutes: who waits longer than that is told nothing meanwhile.
const FEEDS_WAIT_MS_MAX: u32 = 600_000;

impl Host {
    /// What is out of range by itself.
    pub(crate) fn check(&self, found: &mut Vec<Found>) {
        if self.realtime_priority > 99 {
            let text = format!("{}: expected 0 to 99", self.realtime_priority);
            found.push(("host.realtime_priority".into(), text));
        }
        if self.feeds_wait_ms > FEEDS_WAIT_MS_MAX {
            let text = format!("{}: expected 0 to {FEEDS_WAIT_MS_MAX}", self.feeds_wait_ms);
            found.push(("host.feeds_wait_ms".into(), text));
        }
    }
}

/// A second: whoever wants it rarer wants none.
const REHEARSE_US_MAX: u32 = 1_000_000;

impl Layout {
    /// What is out of range by itself.
    pub(crate) fn check(&self, found: &mut Vec<Found>) {
        if self.rehearse_us > REHEARSE_US_MAX {
            let text = format!("{}: expected 0 to {REHEARSE_US_MAX}", self.rehearse_us);
            found.push(("layout.rehearse_us".into(), text));
        }
    }
}

#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Layout {
    pub kind: LayoutKind,
    pub cpus: Vec<usize>,
    pub rehearse_us: u32,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub core: BTreeMap<String, Core>,
}

#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Core {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<usize>,
    pub runs: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LayoutKind {
    Inline,
    Pipeline,
    Cores,
}

#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Rings {
    pub events: usize,
    pub intents: usize,
    pub executions: usize,
}

impl Rings {
    /// What is out of range by itself.
    pub(crate) fn check(&self, found: &mut Vec<Found>) {
        let sizes = [
            ("events", self.events),
            ("intents", self.intents),
            ("executions", self.executions),
        ];
        for (name, size) in sizes {
            power_of_two(&format!("rings.{name}"), size as u64, found);
        }
    }
}

#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Telemetry {
    pub log_level: LogLevel,
    pub json: String,
    pub hgrm_dir: String,
    pub table: bool,
    pub warm_up_ms: u64,
    pub slow_orders: String,
}

/// What the log has, from the least to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}
