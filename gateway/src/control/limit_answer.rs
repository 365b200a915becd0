//! What an operator is told of limits.

use serde::{Deserialize, Serialize};

/// What an account's sessions may have together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct AccountLimitRow {
    /// The limit's name.
    pub key: String,
    /// What the sessions claim of it: each its limit, or more where more stands.
    pub sessions: u64,
    /// What the account may have.
    pub max: u64,
}

/// Limits of the orders of a strategy, in some symbols.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct PartRow {
    /// Its number in the session, from 1: as the journal names the row that has refused.
    pub row: u32,
    /// The strategy; `*`: every one.
    pub strategy: String,
    /// The symbol, or how symbols begin with a `*` behind it.
    pub symbol: String,
    /// Shares of one order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_qty_max: Option<u32>,
    /// Price times shares of one order, dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notional_max_dollars: Option<u64>,
    /// Shares long or short in each symbol, everything open taken as filled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position_max: Option<u64>,
    /// Open orders at one time, all symbols of the row together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_orders_max: Option<u32>,
    /// New orders and replaces in any second, all symbols of the row together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orders_per_second_max: Option<u32>,
}

/// A session's limits: those in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct LimitsRow {
    /// The session.
    pub session: String,
    /// The number of the table that all sessions' limits are: each change makes the next one.
    #[serde(default)]
    pub number: u32,
    /// The trading account, where it has limits of its own or several sessions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// That account's limits, and what its sessions claim of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub account_limits: Vec<AccountLimitRow>,
    /// Limits of parts of the account: those in force.
    #[serde(default)]
    pub rows: Vec<PartRow>,
    /// Those that are not as configured, or have been changed.
    #[serde(default)]
    pub changed: Vec<ChangedLimit>,
    /// Shares of one order.
    pub order_qty_max: u32,
    /// Price times shares of one order, dollars.
    pub notional_max_dollars: u64,
    /// How far a limit may lie beyond the best price, hundredths of a percent.
    pub collar_bps: u32,
    /// Shares long or short in one symbol, everything open taken as filled.
    pub position_max: u64,
    /// What all symbols together may be worth, longs and shorts added up, dollars.
    pub gross_exposure_max_dollars: u64,
    /// The same, longs less shorts or shorts less longs.
    pub net_exposure_max_dollars: u64,
    /// What may be lost in a day, dollars.
    pub loss_max_dollars: u64,
    /// Open orders at one time.
    pub open_orders_max: u32,
    /// New orders and replaces in any second.
    pub orders_per_second_max: u32,
    /// Cancels of strategies in any second; 0: any number.
    pub cancels_per_second_max: u32,
    /// Rejects by the exchange within `reject_window_ms` that kill; 0: none do.
    pub rejects_max: u32,
    /// That time, ms.
    pub reject_window_ms: u64,
    /// The time in which no order is repeated, ms; 0: it may be.
    pub duplicate_window_ms: u64,
    /// An order may meet another one of the account.
    pub allow_self_cross: bool,
    /// When orders may go, "09:30-16:00" in the time zone of the configuration; `None`: always.
    pub trading_hours: Option<String>,
    /// How old a decision may be, ms.
    pub intent_age_max_ms: u64,
}

/// A limit that is not as configured, or has been changed. Values are in the configuration's units; yes is 1.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct ChangedLimit {
    /// Its name.
    pub key: String,
    /// What is configured.
    pub configured: u64,
    /// What is in force.
    pub in_force: u64,
    /// Since when, seconds of 1970; `None`: an earlier run had it so.
    pub since_s: Option<u64>,
    /// The user who changed it, in this run.
    pub uid: Option<u32>,
}

/// What a change of limits came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Limited {
    /// The number of the table in force.
    pub number: u32,
    /// It was made. If not, something of it lets more through than before, and asks for this number to be said.
    pub is_set: bool,
    /// Every order stage that it concerns has taken it.
    pub is_taken: bool,
    /// What of it is tighter than the configuration is so after a restart, too; the rest never is.
    pub outlives_restart: bool,
    /// Each limit that changes, or would.
    pub changes: Vec<LimitChange>,
    /// Each limit of a row that changes, or would.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rows: Vec<RowChange>,
}

/// For the log, on one line.
impl std::fmt::Display for Limited {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "limits, table {}:", self.number)?;
        let changes = self.changes.iter().map(ToString::to_string);
        let changes: Vec<_> = changes
            .chain(self.rows.iter().map(ToString::to_string))
            .collect();
        write!(f, " {}", changes.join(", "))
    }
}

impl std::fmt::Display for LimitChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            session,
            key,
            before,
            now,
            is_looser,
        } = self;
        let looser = if *is_looser { " (looser)" } else { "" };
        write!(f, "{session}: {key} {before} -> {now}{looser}")
    }
}

/// A limit that changes. Values are in the configuration's units; yes is 1.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct LimitChange {
    /// The session.
    pub session: String,
    /// The limit's name.
    pub key: String,
    /// What was in force.
    pub before: u64,
    /// What is, or would be.
    pub now: u64,
    /// It lets more through than before.
    pub is_looser: bool,
}

/// A limit of a row that changes; `None` is the account's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct RowChange {
    /// The session.
    pub session: String,
    /// The row's number, from 1.
    pub row: u32,
    /// It was not there before.
    pub is_new: bool,
    /// The strategy; `*`: every one.
    pub strategy: String,
    /// The symbols.
    pub symbol: String,
    /// The limit's name.
    pub key: String,
    /// What was in force.
    pub before: Option<u64>,
    /// What is, or would be.
    pub now: Option<u64>,
    /// It lets more through than before.
    pub is_looser: bool,
}

impl std::fmt::Display for RowChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            session,
            row,
            strategy,
            symbol,
            key,
            ..
        } = self;
        let word = |it: Option<u64>| it.map_or_else(|| "none".to_owned(), |it| it.to_string());
        let (before, now) = (word(self.before), word(self.now));
        let looser = if self.is_looser { " (looser)" } else { "" };
        write!(
            f,
            "{session}: row {row} (strategy {strategy}, symbol {symbol}): {key} {before} -> {now}{looser}"
        )
    }
}
