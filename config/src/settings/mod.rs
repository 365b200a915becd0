//! The settings, as `default.toml` explains them, each with its range beside it.
//!
//! What several keys have to do with one another is in `check`.

#![expect(missing_docs, reason = "default.toml is the manual of these fields")]

pub(crate) mod account;
mod capture;
mod control;
mod feed;
mod host;
mod journal;
mod login;
mod recovery;
pub(crate) mod row;
mod sandbox;
mod session;
mod strategy;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use account::{Account, AccountRisk, Member};
pub use capture::{Capture, Frames};
pub use control::{Control, User};
pub use feed::{AfXdp, Books, Feed, Line, Mode, Receive, Rung, Udp, Venue};
pub use host::{Core, Host, Layout, LayoutKind, LogLevel, Rings, Telemetry};
pub use journal::{CopyFormat, Journal, Sync};
pub use login::{Login, PASSWORD_MAX};
pub use recovery::{Recovery, Snapshot};
pub use row::LimitRow;
pub use sandbox::{Sandbox, SandboxMode, SandboxRung};
pub use session::{FoundOrders, Require, Risk, Session, Submit};
pub use strategy::{Book, Events, Parameters, Strategy};

/// A key, and what is wrong with its value and what would be right.
pub(crate) type Found = (String, String);

/// Everything.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub host: Host,
    pub layout: Layout,
    pub rings: Rings,
    pub telemetry: Telemetry,
    pub journal: Journal,
    pub sandbox: Sandbox,
    pub control: Control,
    #[serde(default)]
    pub feed: BTreeMap<String, Feed>,
    #[serde(default)]
    pub account: BTreeMap<String, Account>,
    #[serde(default)]
    pub session: BTreeMap<String, Session>,
    #[serde(default)]
    pub strategy: BTreeMap<String, Strategy>,
}

pub(crate) fn power_of_two(key: &str, value: u64, found: &mut Vec<Found>) {
    if !value.is_power_of_two() {
        found.push((key.to_owned(), format!("{value}: expected a power of two")));
    }
}
