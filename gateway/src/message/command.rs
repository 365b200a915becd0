//! What the operator asks of an order stage while it runs.
//!
//! Path:        control -> ring -> order stage, which looks between packets, every 10 ms
//! When full:   the command is given back to whoever asked.

use super::intent::Owner;

/// One command. None of them releases the kill switch, and none outlives the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Cancels every order that has gone out by now, whoever owns it: also one that is found when the session
    /// opens, and again where the exchange refuses a cancel or a connection takes it. Strategies go on; what
    /// they send later stands.
    CancelAll,
    /// New orders and replaces of a strategy are refused from now on; what stands stays, and may be cancelled.
    Pause(Owner),
    /// The strategy may send again.
    Unpause(Owner),
}

impl std::fmt::Display for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::CancelAll => f.write_str("cancel all orders"),
            Self::Pause(Owner(owner)) => write!(f, "pause strategy {owner}"),
            Self::Unpause(Owner(owner)) => write!(f, "unpause strategy {owner}"),
        }
    }
}
