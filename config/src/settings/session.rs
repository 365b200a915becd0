//! A session: whom to log in as, how bytes go out, what may be risked. Each key's range stands beside it.

#![expect(missing_docs, reason = "default.toml is the manual of these fields")]

use std::net::SocketAddrV4;
use std::ops::RangeInclusive;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Found;
use super::login::{Login, hidden};
use super::row::LimitRow;

/// Half the price: wider than any band of the exchange's, so what is beyond is a mistyped number.
const COLLAR_BPS_MAX: u64 = 5_000;
/// Orders kept so that repetitions of them are found: 48 bytes each, with a place to find them.
const WINDOW_ORDERS_MAX: u64 = 1_000_000;
/// From two of the exchange's heartbeats (one a second), so that one late one cuts nothing, to the
/// longest that a dead connection may look alive.
const SERVER_TIMEOUT_MS: RangeInclusive<u64> = 2_000..=300_000;
/// An exchange has a primary and a backup site, sometimes a third.
const BACKUPS_MAX: usize = 8;
/// A minute: an order that nobody answers for longer is lost, whatever the exchange says later.
const ANSWER_TIMEOUT_MS_MAX: u64 = 60_000;

#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Session {
    pub address: SocketAddrV4,
    pub backup_addresses: Vec<SocketAddrV4>,
    pub username: String,
    pub password_file: String,
    pub password_credential: String,
    #[serde(serialize_with = "hidden")]
    pub password: String,
    pub session: String,
    pub server_timeout_ms: u64,
    pub answer_timeout_ms: u64,
    pub submit: Submit,
    pub interface: String,
    pub queue: u32,
    pub zero_copy: bool,
    pub require: Require,
    pub sqpoll_idle_ms: u32,
    #[serde(default)]
    pub sqpoll_cpu: Option<u32>,
    pub busy_poll_us: u32,
    pub found_orders: FoundOrders,
    pub account: String,
    pub risk: Risk,
}

impl Session {
    /// Who logs in.
    #[must_use]
    pub fn login(&self) -> Login<'_> {
        Login {
            username: &self.username,
            password: &self.password,
            password_file: &self.password_file,
            password_credential: &self.password_credential,
        }
    }

    /// Where its exchange may be, in turn.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddrV4> {
        let first = std::iter::once(self.address);
        first.chain(self.backup_addresses.iter().copied())
    }

    /// What is out of range by itself, under the key of this section.
    pub(crate) fn check(&self, key: &str, found: &mut Vec<Found>) {
        self.login().check(key, found);
        self.check_addresses(key, found);
        if self.username.is_empty() {
            found.push((
                format!("{key}.username"),
                "empty: expected a user name".into(),
            ));
        }
        if self.session.len() > 10 {
            found.push((
                format!("{key}.session"),
                "expected at most 10 characters".into(),
            ));
        }
        if self.sqpoll_cpu.is_some() && self.submit != Submit::Sqpoll {
            let text =
                "only submit = \"sqpoll\" has a kernel thread; expected that, or no CPU for it";
            found.push((format!("{key}.sqpoll_cpu"), text.into()));
        }
        if self.busy_poll_us > 0 && self.submit == Submit::Write {
            let text = format!(
                "{}: submit = \"write\" does not poll the card; expected 0, or \"enter\" or \"sqpoll\"",
                self.busy_poll_us
            );
            found.push((format!("{key}.busy_poll_us"), text));
        }
        self.check_delegated(key, found);
        if !SERVER_TIMEOUT_MS.contains(&self.server_timeout_ms) {
            let (min, max) = (SERVER_TIMEOUT_MS.start(), SERVER_TIMEOUT_MS.end());
            let text = format!(
                "{}: expected {min} to {max}; the exchange says something every 1000",
                self.server_timeout_ms
            );
            found.push((format!("{key}.server_timeout_ms"), text));
        }
        if self.answer_timeout_ms > ANSWER_TIMEOUT_MS_MAX {
            let text = format!(
                "{}: expected at most {ANSWER_TIMEOUT_MS_MAX}; 0: never",
                self.answer_timeout_ms
            );
            found.push((format!("{key}.answer_timeout_ms"), text));
        }
        self.risk.check(&format!("{key}.risk"), found);
    }

    /// What only delegated sending knows.
    fn check_delegated(&self, key: &str, found: &mut Vec<Found>) {
        if self.submit == Submit::Delegated {
            return;
        }
        for (name, is_set) in [
            ("interface", !self.interface.is_empty()),
            ("queue", self.queue != 0),
            ("zero_copy", self.zero_copy),
            ("require", self.require != Require::Enter),
        ] {
            if is_set {
                let text = "only submit = \"delegated\" has it; expected that, or the default";
                found.push((format!("{key}.{name}"), text.into()));
            }
        }
    }

    fn check_addresses(&self, key: &str, found: &mut Vec<Found>) {
        let key = format!("{key}.backup_addresses");
        for (index, backup) in self.backup_addresses.iter().enumerate() {
            if self.addresses().take(index + 1).any(|it| it == *backup) {
                let text = format!(
                    "{backup} is given twice; expected other addresses than `address`, each once"
                );
                found.push((key.clone(), text));
            }
        }
        let count = self.backup_addresses.len();
        if count > BACKUPS_MAX {
            let text = format!("{count} of them: expected at most {BACKUPS_MAX}");
            found.push((key, text));
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Submit {
    Enter,
    Sqpoll,
    Delegated,
    Write,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Require {
    Delegated,
    Enter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FoundOrders {
    Keep,
    Adopt,
    Cancel,
}

#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Risk {
    pub order_qty_max: u32,
    pub notional_max_dollars: u64,
    pub collar_bps: u32,
    pub position_max: u64,
    pub open_orders_max: u32,
    pub orders_per_second_max: u32,
    pub gross_exposure_max_dollars: u64,
    pub net_exposure_max_dollars: u64,
    pub loss_max_dollars: u64,
    pub cancels_per_second_max: u32,
    pub rejects_max: u32,
    pub reject_window_ms: u64,
    pub duplicate_window_ms: u64,
    pub allow_self_cross: bool,
    pub trading_hours: String,
    pub time_zone: String,
    pub restricted: Vec<String>,
    pub no_short: Vec<String>,
    pub positions_file: String,
    pub intent_age_max_ms: u64,
    pub start_killed: bool,
    pub limit: Vec<LimitRow>,
}

impl Risk {
    /// What a session must say that it may risk: these have no default.
    pub(crate) const REQUIRED: &[&str] = &[
        "order_qty_max",
        "notional_max_dollars",
        "collar_bps",
        "position_max",
        "open_orders_max",
        "orders_per_second_max",
        "gross_exposure_max_dollars",
        "net_exposure_max_dollars",
        "loss_max_dollars",
    ];

    /// What one order, one symbol and one second may cost.
    fn check(&self, key: &str, found: &mut Vec<Found>) {
        for (name, value, max) in [
            ("order_qty_max", u64::from(self.order_qty_max), 999_999),
            (
                "notional_max_dollars",
                self.notional_max_dollars,
                1_000_000_000_000,
            ),
            ("collar_bps", u64::from(self.collar_bps), COLLAR_BPS_MAX),
            ("position_max", self.position_max, 1_000_000_000_000),
            (
                "open_orders_max",
                u64::from(self.open_orders_max),
                1_000_000,
            ),
            (
                "orders_per_second_max",
                u64::from(self.orders_per_second_max),
                10_000_000,
            ),
            (
                "gross_exposure_max_dollars",
                self.gross_exposure_max_dollars,
                1_000_000_000_000,
            ),
            (
                "net_exposure_max_dollars",
                self.net_exposure_max_dollars,
                1_000_000_000_000,
            ),
            ("loss_max_dollars", self.loss_max_dollars, 1_000_000_000_000),
            ("reject_window_ms", self.reject_window_ms, 60_000),
            ("intent_age_max_ms", self.intent_age_max_ms, 60_000),
        ] {
            if value == 0 || value > max {
                let text = format!("{value}: expected 1 to {max}");
                found.push((format!("{key}.{name}"), text));
            }
        }
        for (name, value, max) in [
            (
                "cancels_per_second_max",
                u64::from(self.cancels_per_second_max),
                10_000_000,
            ),
            ("rejects_max", u64::from(self.rejects_max), 1_000_000),
            ("duplicate_window_ms", self.duplicate_window_ms, 60_000),
        ] {
            if value > max {
                let text = format!("{value}: expected 0 (off) to {max}");
                found.push((format!("{key}.{name}"), text));
            }
        }
        let seconds = self.duplicate_window_ms.div_ceil(1_000);
        let orders = seconds.saturating_mul(u64::from(self.orders_per_second_max));
        if orders > WINDOW_ORDERS_MAX {
            let text = format!(
                "{}: {} orders a second make {orders} in it, each of which is kept; expected at most \
                 {WINDOW_ORDERS_MAX} orders",
                self.duplicate_window_ms, self.orders_per_second_max
            );
            found.push((format!("{key}.duplicate_window_ms"), text));
        }
    }
}
