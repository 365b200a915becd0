//! What the gateway answers: one line of JSON, the same types at both ends.

use serde::{Deserialize, Serialize};

pub use super::limit_answer::{
    AccountLimitRow, ChangedLimit, LimitChange, Limited, LimitsRow, PartRow, RowChange,
};

pub use super::reload_answer::{Reloaded, ReloadedKey};

use super::request::VERSION;
use crate::telemetry::{PositionReport, Run};

/// Orders in one answer, all sessions together; what is left off is counted. 10,000 are 2 MB of text.
pub const ORDERS_MAX: usize = 10_000;
/// Positions in one answer, likewise.
pub const POSITIONS_MAX: usize = 10_000;
/// The longest answer, bytes: more than orders and positions can make.
pub const ANSWER_BYTES_MAX: usize = 16 << 20;

/// Why a feed is stale that has a gap which nothing has closed.
pub const MESSAGES_MISSING: &str = "messages are missing";

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Answer {
    /// [`VERSION`].
    pub version: u32,
    /// What is answered.
    pub answer: Body,
}

impl Answer {
    /// An answer of this version.
    #[must_use]
    pub fn new(answer: Body) -> Self {
        let version = VERSION;
        Self { version, answer }
    }

    /// The line, with its end.
    #[must_use]
    pub fn line(&self) -> String {
        // Text, numbers and lists: nothing that JSON does not have.
        serde_json::to_string(self).unwrap_or_default() + "\n"
    }
}

/// What is answered.
#[expect(
    clippy::large_enum_variant,
    reason = "there is one at a time, and it is written at once"
)]
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Body {
    /// How the gateway is.
    Status(Status),
    /// How its sessions are.
    Sessions(Vec<SessionRow>),
    /// Live orders.
    Orders(Orders),
    /// Positions by session.
    Positions(Positions),
    /// Limits by session.
    Limits(Vec<LimitsRow>),
    /// What was measured and counted so far, without the settings.
    Report(Box<Run>),
    /// What a change of limits came to.
    Limited(Limited),
    /// What a reload came to.
    Reloaded(Reloaded),
    /// What a kill came to.
    Killed(Killed),
    /// What a resume came to.
    Resumed(Resumed),
    /// Who watches now.
    Guards(Vec<GuardRow>),
    /// What became of a cancel, a pause or an unpause.
    Asked(Asked),
    /// It was not done.
    Refused(Refused),
}

/// Why nothing was done.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Refused {
    /// What was asked makes no sense here, as a session that there is not; else it failed, or may not be.
    pub is_usage: bool,
    /// What was found and what was expected.
    pub error: String,
}

/// How the gateway is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Status {
    /// The program's version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// How long its door has been open, s.
    pub uptime_s: u64,
    /// Whether all of it was up: every session open, every feed heard or no longer waited for; `None`: it does not say.
    #[serde(default)]
    pub is_ready: Option<bool>,
    /// How many things of its host are other than the host's certificate says; `None`: there is none.
    #[serde(default)]
    pub host_drifts: Option<u64>,
    /// Whether trading is stopped.
    pub kill: KillStatus,
    /// Its hot cores.
    pub cores: Vec<CoreRow>,
    /// Its feeds.
    pub feeds: Vec<FeedRow>,
    /// Its sessions.
    pub sessions: Vec<SessionRow>,
    /// Who watches it.
    #[serde(default)]
    pub guards: Vec<GuardRow>,
}

/// Somebody who watches, and whose silence stops trading.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct GuardRow {
    /// Who.
    pub name: String,
    /// The longest silence, ms.
    pub within_ms: u64,
    /// What is left of it, ms.
    pub left_ms: u64,
}

/// Whether trading is stopped, and what is known of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct KillStatus {
    /// What is killed, and what has to be said to resume it: `all`, or sessions' names, or `account NAME` where several
    /// sessions trade for it; empty: nothing.
    pub scope: Vec<String>,
    /// Who or what did it first.
    pub cause: Option<String>,
    /// The session that met with it; `None`: it is of no session, as an operator's word.
    #[serde(default)]
    pub began: Option<String>,
    /// When, seconds of 1970: as the kill file says, else when it was first seen, 0.1 s later at most.
    pub since_s: Option<u64>,
    /// A word of whoever did it.
    pub why: String,
    /// A restart finds it killed.
    pub outlives_restart: bool,
    /// Why that is not known: what the file system says of the kill file.
    pub file_error: Option<String>,
    /// Who or what has stopped each session, and the file's word, in short: another one where anything of that is another.
    #[serde(default)]
    pub sighting: String,
}

impl KillStatus {
    /// Whether anything is killed.
    #[must_use]
    pub fn is_on(&self) -> bool {
        !self.scope.is_empty()
    }
}

/// A hot core.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct CoreRow {
    /// Its name.
    pub name: String,
    /// The CPU that it is pinned to.
    pub cpu: Option<usize>,
    /// Turns so far.
    pub turns: u64,
    /// For how long it has not turned, ms; 0: it turns.
    pub still_ms: u64,
}

/// A feed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct FeedRow {
    /// Its name.
    pub name: String,
    /// Nothing of it is missing, and it is not silent.
    pub is_fresh: bool,
    /// Why it is not.
    pub stale_because: Vec<String>,
    /// Lines that are silent, counted from 1 in the order of the configuration.
    pub silent_lines: Vec<u32>,
    /// Symbols whose books miss something, while the feed is fresh; where it is stale, all are.
    pub stale_symbols: u32,
    /// Symbols that have a name.
    pub symbols: u32,
    /// Messages in order.
    pub messages: u64,
    /// Messages that never came.
    pub messages_lost: u64,
}

/// A session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct SessionRow {
    /// Its name.
    pub name: String,
    /// How far it is; `unknown`: its core was stopped in the middle of saying so.
    pub state: String,
    /// Where its connection stands, or is tried next.
    #[serde(default)]
    pub address: String,
    /// Its orders open now.
    pub open_orders: u32,
    /// Messages to the exchange that have had no answer for too long.
    #[serde(default)]
    pub in_doubt: u32,
    /// The number of the next message that the exchange will say.
    pub next_seq: u64,
    /// What its positions and open orders are worth at their worst, longs and shorts added up, dollars.
    #[serde(default)]
    pub gross_dollars: u64,
    /// The larger of longs less shorts and shorts less longs, dollars.
    #[serde(default)]
    pub net_dollars: u64,
    /// What the day has brought, marked to the market, dollars; below zero: a loss.
    #[serde(default)]
    pub profit_dollars: i64,
    /// Why its orders are stopped.
    pub killed: Option<String>,
    /// Sessions of its account that have not been open in this run: until they have, its new orders are refused.
    #[serde(default)]
    pub waits_for: Vec<String>,
    /// Its strategies.
    pub strategies: Vec<StrategyRow>,
}

/// A strategy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct StrategyRow {
    /// Its name.
    pub name: String,
    /// Whether it has been paused by this door.
    pub is_paused: bool,
}

/// Live orders.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Orders {
    /// Orders, session by session, by reference number.
    pub orders: Vec<OrderRow>,
    /// Orders that fit and are left off: [`ORDERS_MAX`].
    pub left_off: usize,
    /// Open orders of the sessions meant, whether or not they fit. More than are shown: they have no row, or the rows
    /// are of a moment before.
    pub open_orders: u64,
}

/// A live order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct OrderRow {
    /// Its session.
    pub session: String,
    /// The exchange's number for it on the session's account: UserRefNum.
    pub user_ref: u32,
    /// Its strategy; `None`: it was found at the exchange after a restart.
    pub strategy: Option<String>,
    /// The strategy's number for it.
    pub id: Option<u32>,
    /// Symbol.
    pub symbol: String,
    /// `buy` or `sell`.
    pub side: String,
    /// Limit, dollars.
    pub price: String,
    /// Shares open.
    pub open: u32,
    /// Shares executed over the whole chain of replaces.
    pub executed: u32,
    /// Shares that risk counts as open.
    pub reserved: u32,
    /// `sent`, `open`, or `changing` while a replace or a cancel is on its way.
    pub state: String,
}

/// What an account holds that several sessions trade for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct AccountPositionsRow {
    /// The account.
    pub account: String,
    /// Symbols that are not flat in all its sessions, each the sum over them.
    pub positions: Vec<PositionReport>,
}

/// Positions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Positions {
    /// Session by session.
    pub sessions: Vec<PositionsRow>,
    /// Accounts of several sessions, where all sessions were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accounts: Vec<AccountPositionsRow>,
    /// Positions that are left off: [`POSITIONS_MAX`].
    pub left_off: usize,
}

/// What the account of a session holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct PositionsRow {
    /// The session.
    pub session: String,
    /// Symbols that are not flat.
    pub positions: Vec<PositionReport>,
}

/// What a kill came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Killed {
    /// Nothing is open any more, in no session, and each of them was heard.
    pub is_nothing_open: bool,
    /// Sessions that were killed already; their first cause stays.
    pub killed_before: Vec<String>,
    /// A restart finds it killed.
    pub outlives_restart: bool,
    /// Why it does not.
    pub file_error: Option<String>,
    /// Each session, and what is still open in it.
    pub sessions: Vec<StillOpen>,
    /// How long after the kill this was seen, ms.
    pub after_ms: u64,
}

/// What of a session is still open.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct StillOpen {
    /// The session.
    pub session: String,
    /// How far it is.
    pub state: String,
    /// Its orders open now.
    pub open_orders: u32,
    /// Its order stage has looked since.
    pub has_looked: bool,
}

/// What a resume came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Resumed {
    /// What was resumed.
    pub scope: String,
    /// Orders may go in all of it.
    pub is_released: bool,
    /// Sessions that are still killed, and why.
    pub still_killed: Vec<String>,
}

/// What became of a cancel, a pause or an unpause.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Asked {
    /// What was asked for, in words.
    pub what: String,
    /// Every order stage that it concerns has taken it.
    pub is_taken: bool,
    /// Those sessions, and what was open then.
    pub sessions: Vec<StillOpen>,
}
