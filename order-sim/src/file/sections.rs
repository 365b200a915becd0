//! The file's sections as they are written; what each key means stands in `config/sim.toml`, which a test holds
//! against the defaults here.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;

use serde::Deserialize;

use super::staged::{Fault, Rule};
use super::values::{price, symbol, time_of_day, time_of_day_or_none};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub address: SocketAddr,
    #[serde(default = "session")]
    pub session: String,
    #[serde(default)]
    pub fill_every: u64,
    #[serde(default = "store_max")]
    pub store_max: usize,
    #[serde(default)]
    pub store: Option<PathBuf>,
    #[serde(default)]
    pub sync: Sync,
    #[serde(default = "connections_max")]
    pub connections_max: usize,
    #[serde(default = "unread_bytes_max")]
    pub unread_bytes_max: usize,
    /// Dollars.
    #[serde(default)]
    pub notional_max: u64,
    #[serde(default)]
    pub wire_stamps: Option<PathBuf>,
    #[serde(default)]
    pub control: Option<PathBuf>,
    #[serde(default)]
    pub metrics: Option<SocketAddr>,
    #[serde(default)]
    pub report: Option<PathBuf>,
    #[serde(default)]
    pub cpu: Option<usize>,
    #[serde(default)]
    pub is_busy: bool,
    #[serde(default)]
    pub clock: Clock,
    #[serde(default)]
    pub day: Option<Day>,
    #[serde(default)]
    pub engine: Engine,
    #[serde(default)]
    pub symbol: Vec<Symbol>,
    #[serde(default)]
    pub flow: Option<Flow>,
    #[serde(default)]
    pub record: Option<Record>,
    #[serde(default)]
    pub feed: Option<Feed>,
    pub account: BTreeMap<String, Account>,
    #[serde(default)]
    pub behaviour: Vec<Rule>,
    #[serde(default)]
    pub fault: Vec<Fault>,
    #[serde(default = "seed")]
    pub fault_seed: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Sync {
    #[default]
    Never,
    Always,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Clock {
    pub mode: ClockMode,
    #[serde(deserialize_with = "time_of_day_or_none")]
    pub start: Option<u64>,
    pub step_us: u64,
    pub wait_for_login_ms: Option<u64>,
}

impl Default for Clock {
    fn default() -> Self {
        Self {
            mode: ClockMode::Wall,
            start: None,
            step_us: 1000,
            wait_for_login_ms: None,
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ClockMode {
    Wall,
    Steps,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Day {
    #[serde(deserialize_with = "time_of_day")]
    pub open: u64,
    #[serde(deserialize_with = "time_of_day")]
    pub close: u64,
    #[serde(deserialize_with = "time_of_day")]
    pub end: u64,
    pub late_s: u64,
    pub imbalance_s: u64,
}

const HOUR_NS: u64 = 3_600_000_000_000;

impl Default for Day {
    fn default() -> Self {
        Self {
            open: 9 * HOUR_NS + HOUR_NS / 2,
            close: 16 * HOUR_NS,
            end: 20 * HOUR_NS,
            late_s: 120,
            imbalance_s: 10,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Engine {
    pub orders_max: u32,
    pub levels_max: usize,
    pub trades_max: usize,
    pub pause_ms: u64,
}

impl Default for Engine {
    fn default() -> Self {
        Self {
            orders_max: 1_000_000,
            levels_max: 2048,
            trades_max: 100_000,
            pause_ms: 5000,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Symbol {
    #[serde(deserialize_with = "symbol")]
    pub name: protocol::types::Symbol,
    #[serde(deserialize_with = "price")]
    pub price: u32,
    #[serde(default)]
    pub band_bps: u32,
    #[serde(default)]
    pub short_restricted: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Flow {
    #[serde(default = "seed")]
    pub seed: u64,
    #[serde(default)]
    pub symbols: u16,
    pub rate: u32,
    #[serde(default = "burst")]
    pub burst: u32,
    #[serde(default = "depth")]
    pub depth: u32,
    #[serde(default)]
    pub limit: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    pub file: PathBuf,
    /// Messages a second; none: at their own times.
    #[serde(default)]
    pub rate: Option<u32>,
    /// How many times as fast as their own times.
    #[serde(default = "speed")]
    pub speed: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Feed {
    #[serde(default)]
    pub venue: Venue,
    #[serde(default = "session")]
    pub session: String,
    pub lines: Vec<Line>,
    #[serde(default = "packet_bytes")]
    pub packet_bytes: usize,
    #[serde(default)]
    pub window_us: u64,
    #[serde(default = "heartbeat_ms")]
    pub heartbeat_ms: u64,
    #[serde(default = "keep")]
    pub keep: usize,
    #[serde(default)]
    pub rerequest: Option<SocketAddrV4>,
    #[serde(default)]
    pub glimpse: Option<SocketAddrV4>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Venue {
    #[default]
    Nasdaq,
    Iex,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    pub address: SocketAddrV4,
    #[serde(default)]
    pub interface: Option<Ipv4Addr>,
    #[serde(default)]
    pub delay_us: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Account {
    pub password: String,
    #[serde(default)]
    pub cancel_on_disconnect: bool,
    #[serde(default)]
    pub firms: Vec<String>,
    #[serde(default = "rights")]
    pub rights: Vec<Right>,
    #[serde(default)]
    pub post_only_slides: bool,
    /// `W`, `O` or `D`.
    #[serde(default)]
    pub self_match: Option<char>,
    #[serde(default = "orders_max")]
    pub orders_max: usize,
    #[serde(default)]
    pub qty_max: u32,
    /// Dollars.
    #[serde(default)]
    pub notional_max: u64,
    /// Dollars.
    #[serde(default)]
    pub exposure_max: u64,
    #[serde(default)]
    pub fat_finger_bps: u32,
    #[serde(default)]
    pub messages_per_second: u32,
    #[serde(default)]
    pub restricted: Vec<String>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Right {
    Short,
    ShortExempt,
    Iso,
    Market,
    PreMarket,
    PostMarket,
}

fn rights() -> Vec<Right> {
    use Right::{Iso, Market, PostMarket, PreMarket, Short, ShortExempt};
    vec![Short, ShortExempt, Iso, Market, PreMarket, PostMarket]
}

fn session() -> String {
    "SIM0000001".to_owned()
}

fn store_max() -> usize {
    10_000_000
}

fn connections_max() -> usize {
    256
}

fn unread_bytes_max() -> usize {
    16 << 20
}

fn orders_max() -> usize {
    100_000
}

fn packet_bytes() -> usize {
    1400
}

fn heartbeat_ms() -> u64 {
    1000
}

fn keep() -> usize {
    1 << 20
}

fn seed() -> u64 {
    1
}

fn burst() -> u32 {
    20
}

fn depth() -> u32 {
    60
}

fn speed() -> f64 {
    1.0
}
