//! The exchange to trade against: a matching engine behind SoupBinTCP and OUCH 5.0, with its own feed.
//!
//! ```text
//!  clients, TCP ──> session ──> exchange::entry ──> account (sense, rights, risk) ──┐
//!  exchange::inlet: flow or record, late orders ────────────────────────────────────┼──> engine
//!  exchange::timeline: hours (day), pauses, expiry ─────────────────────────────────┘      │ events
//!                                                                                          v
//!  lines A and B, re-requests <── feed: publisher <── encoder <───────────────── exchange::outlet
//!  clients, TCP <── session <── store <── account (answers) <──────────────────────────────┘
//!  snapshots, TCP (GLIMPSE) <── session <── feed::snapshot <── engine
//!
//!  file (TOML) ──> options ──> exchange; fault and script: what goes wrong, and for whom; server: all sockets
//! ```
//!
//! All of it but `server` is without socket, clock and thread: [`exchange::Exchange`] runs in a test as it
//! does behind sockets.
//!
//! Must not know: the gateway. Its session is its own, so that both ends are judged by the other.

pub mod server;

pub mod session;

pub mod exchange;

pub mod account;
mod day;
pub mod engine;
pub mod fault;
mod feed;
pub mod flow;

pub mod file;
pub mod options;
pub mod script;
pub mod store;
