//! What the operator asks of an order stage while it runs.
//!
//! Path:        control -> ring -> order stage, which looks between packets, every 10 ms
//! When full:   the command is given back to whoever asked.

use super::intent::Owner;

/// One command. None of them lets an order out that was held: that is the kill switch's alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Cancels every order that stands now, whoever owns it; orders that come while that is under way may be
    /// among them. Strategies go on.
    CancelAll,
    /// New orders and replaces of a strategy are refused from now on; what stands stays, and may be cancelled.
    Pause(Owner),
    /// The strategy may send again.
    Unpause(Owner),
}
