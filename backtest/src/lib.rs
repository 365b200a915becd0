//! A strategy against a day that has been, or against the agents' market: production's strategy stage, risk and order
//! stage, and the exchange, in one thread in simulated time.
//!
//! ```text
//!  day or seed ──> exchange ──packets, feed latency──> feed, books ──ring──> strategy stage
//!                     ^   └──answers, their latency──> order stage ──────────────┘ │ intents
//!                     └──────OUCH bytes, order latency──── risk <──────────────────┘
//! ```
//!
//! Time:        simulated, whole nanoseconds; no clock is read. Dice are the seed's alone: the same market, strategy
//!              and latency give the same [`Outcome`], hash included.
//!
//! Must not know: sockets, threads, and but for `cli` configuration files.

mod chair;
pub mod cli;
mod columns;
mod course;
pub mod latency;
mod ledger;
pub mod market;
mod page;
mod plots;
mod queue;
mod run;
pub mod setup;
mod shown;
mod trouble;
mod wire;

pub use ledger::{Fill, Moment, Outcome, Position};
pub use queue::{Ahead, End, Order, Queued};
pub use run::{LIMITS, run, run_all};
pub use trouble::Trouble;
