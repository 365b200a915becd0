//! The laboratory: exchange, gateway, sender and peers as processes in namespaces of their own, run once.
//!
//! ```text
//!   exchange's namespace               gateway's namespace
//!  ┌───────────────────┐   feed0      ┌────────────────────┐
//!  │ replay: the feed ─┼──────────────┼─> gateway or peer  │
//!  │ exchange <────────┼──────────────┼── orders           │
//!  └───────────────────┘   order0     └────────────────────┘
//!    wire stamps, reports ──> run ──> Outcome ──> demo, or whoever measures
//! ```
//!
//! Must not know: how the gateway works inside (it is started as its users start it); who is measured
//!              against whom, and how figures are shown.

pub mod netns;
pub mod process;

pub mod exchange;
pub mod traffic;
pub mod venue;

pub mod checks;
pub mod gateway;
pub mod peer;

pub mod run;

pub mod demo;

pub mod command;
