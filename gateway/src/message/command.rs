//! What the operator asks of an order stage while it runs.
//!
//! Path:        control -> ring -> order stage, which looks between packets, every 10 ms
//! When full:   the command is given back to whoever asked.

use super::intent::Owner;
use crate::order::risk::{Limits, RowLimits};

/// One command. None of them releases the kill switch. None outlives the process, but that what limits were tightened to
/// is in the journal, which the next start reads.
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
    /// The account has other limits from the next order on.
    Limits(NewLimits),
    /// A row of limits for a part of the account is another one, or a new one, from the next order on.
    Row(NewRow),
}

/// A table of limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewLimits {
    /// Its number: each change of any session's limits makes the next one.
    pub number: u32,
    /// The user who made it.
    pub uid: u32,
    /// The limits.
    pub limits: Limits,
}

/// A row of a table of limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewRow {
    /// The table's number.
    pub number: u32,
    /// The user who made it.
    pub uid: u32,
    /// The row's place, from 0: of one that there is, or behind the last.
    pub at: u8,
    /// Its limits.
    pub limits: RowLimits,
}

impl std::fmt::Display for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::CancelAll => f.write_str("cancel all orders"),
            Self::Pause(Owner(owner)) => write!(f, "pause strategy {owner}"),
            Self::Unpause(Owner(owner)) => write!(f, "unpause strategy {owner}"),
            Self::Limits(new) => write!(f, "limits, table {} of uid {}", new.number, new.uid),
            Self::Row(NewRow {
                number, uid, at, ..
            }) => write!(f, "limits, row {} of table {number} of uid {uid}", at + 1),
        }
    }
}
