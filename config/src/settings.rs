//! The settings, as `default.toml` explains them.

#![expect(missing_docs, reason = "default.toml is the manual of these fields")]

use std::collections::BTreeMap;
use std::net::SocketAddrV4;

use serde::{Deserialize, Serialize};

/// Everything.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub host: Host,
    pub layout: Layout,
    pub rings: Rings,
    pub telemetry: Telemetry,
    #[serde(default)]
    pub feed: BTreeMap<String, Feed>,
    #[serde(default)]
    pub session: BTreeMap<String, Session>,
    #[serde(default)]
    pub strategy: BTreeMap<String, Strategy>,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Host {
    pub lock_memory: bool,
    pub huge_pages: bool,
    pub realtime_priority: u8,
    pub state_dir: String,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Layout {
    pub kind: LayoutKind,
    pub cpus: Vec<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LayoutKind {
    Inline,
    Pipeline,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Rings {
    pub events: usize,
    pub intents: usize,
    pub executions: usize,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Telemetry {
    pub json: String,
    pub hgrm_dir: String,
    pub table: bool,
    pub warm_up_ms: u64,
    pub slow_orders: String,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Feed {
    pub receive: Receive,
    pub lines: Vec<Line>,
    pub gap_timeout_us: u64,
    pub stale_ms: u64,
    pub af_xdp: AfXdp,
    pub udp: Udp,
    pub books: Books,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Receive {
    AfXdp,
    Udp,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    pub address: SocketAddrV4,
    #[serde(default)]
    pub interface: String,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AfXdp {
    pub mode: String,
    pub require: String,
    pub trusted_drivers: Vec<String>,
    pub queues: Vec<u32>,
    pub allow_default_route: bool,
    pub trial_ms: u64,
    pub frames: u32,
    pub frame_bytes: u32,
    pub rx_ring: u32,
    pub batch: u32,
    pub busy_poll_us: u32,
    pub busy_poll_budget: u32,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Udp {
    pub block_us: u32,
    pub receive_buffer_bytes: usize,
    pub busy_poll_us: u32,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Books {
    pub orders_max: u32,
    pub levels_max: u32,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Session {
    pub address: SocketAddrV4,
    pub username: String,
    pub password_file: String,
    #[serde(serialize_with = "hidden")]
    pub password: String,
    pub session: String,
    pub server_timeout_ms: u64,
    pub submit: Submit,
    pub sqpoll_idle_ms: u32,
    #[serde(default)]
    pub sqpoll_cpu: Option<u32>,
    pub busy_poll_us: u32,
    pub risk: Risk,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Submit {
    Enter,
    Sqpoll,
    Write,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Risk {
    pub order_qty_max: u32,
    pub notional_max_dollars: u64,
    pub collar_bps: u32,
    pub position_max: u64,
    pub open_orders_max: u32,
    pub orders_per_second_max: u32,
    pub intent_age_max_ms: u64,
    pub start_killed: bool,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Strategy {
    pub kind: String,
    pub feed: String,
    pub session: String,
    pub symbols: Vec<String>,
    pub trade_on_stale: bool,
    #[serde(default)]
    pub parameters: Parameters,
}

/// A strategy's own parameters; what they mean is the strategy's business.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Parameters(serde_json::Map<String, serde_json::Value>);

impl Parameters {
    /// Reads the parameters into a strategy's own type.
    ///
    /// # Errors
    /// Which key is wrong and what would be right.
    pub fn read<T: serde::de::DeserializeOwned>(&self) -> Result<T, String> {
        let value = serde_json::Value::Object(self.0.clone());
        serde_path_to_error::deserialize(value).map_err(|error| match error.path().to_string() {
            path if path == "." => error.inner().to_string(),
            path => format!("{path}: {}", error.inner()),
        })
    }
}

fn hidden<S: serde::Serializer>(password: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(if password.is_empty() { "" } else { "(hidden)" })
}
