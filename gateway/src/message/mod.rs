//! What crosses threads: the messages on the rings between stages and to housekeeping.
//!
//! ```text
//!  strategy ──intent──> order entry ──execution──> strategy
//!  control ──command──>     └──notice──> housekeeping, which writes the log
//! ```
//!
//! Must not know: the stages that send and take them. Why an order was refused is risk's word (`order::risk`).

pub mod command;
pub mod intent;
pub mod terms;

pub mod execution;

pub mod invariant;
pub mod notice;
pub mod past;
