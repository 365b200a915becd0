//! The trading gateway: market data in, strategies, risk, orders out.
//!
//! Path:        feed stage -> strategy -> order (risk, OUCH, SoupBinTCP, io_uring); `service` runs it
//! Thread:      hot cores turn stages (`core_loop`); the main thread keeps house and sleeps
//! Must not know: configuration files, except `cli`, the front door that every build of the gateway
//!              shares, so that a strategy in a crate of its own has the same command line.
//!
//! A strategy's author finds what is needed, with examples, in the crate `tickgate`.

pub mod message;

pub mod strategy;

pub mod order;

pub mod journal;

pub mod core_loop;

pub mod cli;
pub mod control;
pub mod options;
pub mod service;
pub mod telemetry;
pub mod trace;
