//! Feeds as files: read, made up, given triggers, and sent.
//!
//! ```text
//!  seed ──> generate ──┐
//!           triggers ──┼──> a file ──> feed_file ──> replay ──packets──> line A, B
//!  a recorded day ─────┘                               │
//!                                       counterparty ──┘  (an exchange that answers, on the same core)
//! ```
//!
//! Must not know: the gateway, namespaces, what is measured.

pub mod feed_file;

pub mod generate;
pub mod triggers;

mod counterparty;
mod outlet;
pub mod replay;
