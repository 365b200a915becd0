//! The experiments: each measures one thing, by the laboratory or in this process.
//!
//! Rooms, each a crate that knows those before it: `feeds` (files and senders), `lab` (one run in
//! namespaces), `peers` (who is measured beside us), `report` (figures and how they are shown), and this.
//!
//! ```text
//!  latency, rate_sweep, growth, cost ──> lab::run ─┐
//!  flood ────────────> lab, peers ────────────────┤
//!  book, itch_book, exchange, rings, order_path, lag ─┼──> aims ──> report
//!  (in this process)                              │
//!  recovery ──> exchange and gateway on loopback ─┤
//!  sends ──> both ways of the orders' pair ───────┤
//!  micro ──> callgrind ──> instructions.json      ┘  (a record of its own)
//!
//!  command: what the user asked for, one file a command
//! ```
//!
//! Must not know: how the gateway works inside; it is started as its users start it (`micro` and
//!              `order_path` take its pieces out, which is what they are for).

pub mod latency;

pub mod cost;
pub mod flood;
pub mod growth;
pub mod lag;
pub mod rate_sweep;
pub mod sends;

pub mod book;
pub mod exchange;
pub mod itch_book;
pub mod micro;
mod order_path;
pub mod recovery;
pub mod rings;

pub mod aims;
