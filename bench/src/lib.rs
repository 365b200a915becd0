//! Replay, measuring, comparing: what makes Tickgate's numbers.
//!
//! Path:        generate, triggers -> feed_file -> replay -> (gateway or a peer, in `lab`) -> run -> demo, latency,
//!              flood, growth -> aims -> report
//! Must not know: how the gateway works inside; it is started as its users start it.

pub mod feed_file;
pub mod generate;
pub mod triggers;

pub mod book;

pub mod counterparty;
pub mod replay;

pub mod floor;
pub mod peers;

pub mod lab;
pub mod run;
pub mod sim;

pub mod demo;

pub mod exchange;
pub mod flood;
pub mod growth;
pub mod latency;
pub mod micro;
mod order_path;
pub mod rings;
pub mod statistics;

pub mod aims;
pub mod comparison;
pub mod report;
