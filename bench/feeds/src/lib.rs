//! Feeds as files: read, made up, given triggers, sent; and captures, played to a feed handler as it heard them.
//!
//! ```text
//!  seed ──> generate ──┐
//!           triggers ──┼──> a file ──> feed_file ──> replay ──packets──> line A, B
//!  a recorded day ─────┘                               │
//!                                       counterparty ──┘  (an exchange that answers, on the same core)
//!
//!  a gateway's captures ──> capture ──turns of packets──> a feed handler
//! ```
//!
//! Must not know: the gateway, namespaces, what is measured.

pub mod capture;
pub mod feed_file;

pub mod generate;
pub mod triggers;

mod counterparty;
mod outlet;
pub mod replay;
