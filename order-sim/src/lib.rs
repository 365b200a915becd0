//! The exchange to trade against: a matching engine behind SoupBinTCP and OUCH 5.0, with its own feed.
//!
//! ```text
//!  TCP ──> session ──> entry ──> desk ──> engine ──events──> desk ──> store ──> session ──> TCP
//!                                           │  └──────────> feed: encoder ──> publisher ──> UDP lines
//!  flow, day ───────────────────────────────┘                       └──> snapshot ──> TCP (GLIMPSE)
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
mod desk;
pub mod engine;
pub mod fault;
mod feed;
pub mod flow;

pub mod file;
pub mod options;
pub mod script;
pub mod store;
