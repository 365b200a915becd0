//! The slow-order recorder: why were orders slow?
//!
//! ```text
//!  order stage: every order's stamps ──> the slowest of this second ──┐
//!  core loop:   turns that took too long, with what the kernel says ──┼──> housekeeping ──> a file
//!  housekeeping: the host's steal time and interrupts of each core ───┘                       │
//!                                                    causes, ranked <── `tickgate why FILE` <─┘
//! ```

pub mod recorder;

pub mod file;

pub mod explain;
