//! Feeds as files: read, made up, given triggers, and sent.
//!
//! Path:        generate, triggers -> a file -> feed_file -> replay, with counterparty on its core
//! Must not know: the gateway, namespaces, what is measured.

pub mod feed_file;

pub mod generate;
pub mod triggers;

mod counterparty;
pub mod replay;
