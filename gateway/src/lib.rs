//! The trading gateway: market data in, strategies, risk, orders out.
//!
//! Path:        feed stage -> strategy -> order (risk, OUCH, SoupBinTCP, io_uring); `service` runs it
//! Thread:      hot cores turn stages (`core_loop`); the main thread keeps house and sleeps
//! Must not know: configuration files, except `cli`, the front door that every build of the gateway
//!              shares, so that a strategy in a crate of its own has the same command line.
//!
//! A strategy of your own:
//!
//! ```no_run
//! use gateway::cli::built_in;
//! use gateway::strategy::{Context, Strategy};
//! use feed_handler::event::MarketEvent;
//! use gateway::order::intent::ExecutionEvent;
//!
//! struct Mine;
//!
//! impl Strategy for Mine {
//!     fn on_event(&mut self, _: &MarketEvent, _: &mut Context<'_>) {}
//!     fn on_execution(&mut self, _: &ExecutionEvent, _: &mut Context<'_>) {}
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     gateway::cli::run(|kind, parameters| match kind {
//!         "mine" => Ok(Box::new(Mine)),
//!         _ => built_in(kind, parameters),
//!     })
//! }
//! ```

pub mod strategy;

pub mod order;

pub mod core_loop;
pub mod notice;

pub mod options;
pub mod service;
pub mod telemetry;
pub mod trace;
pub use trace::recorder as slow;

pub mod cli;
