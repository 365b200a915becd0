//! Replay, measuring, comparing: what makes Tickgate's numbers.
//!
//! Path:        generate -> feed_file -> replay -> (gateway, exchange in `lab`) -> run -> demo, latency
//! Must not know: how the gateway works inside; it is started as its users start it.

pub mod feed_file;
pub mod generate;

pub mod book;

pub mod counterparty;
pub mod replay;

pub mod lab;
pub mod run;

pub mod demo;
pub mod latency;
