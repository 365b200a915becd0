//! An account as the exchange has it, to be compared from outside with what a client believes.
//!
//! Invariants:  what is open is what the engine has open; what was traded is every execution that was not
//!              broken, once, also of earlier runs whose messages were restored.

use protocol::types::{Price4, Qty, Symbol, UserRefNum};

/// One account at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountView {
    /// Its name.
    pub name: String,
    /// Whether it has disabled its order entry.
    pub is_disabled: bool,
    /// Whether it is cut off because its answers cannot be saved.
    pub is_cut: bool,
    /// What it was told so far.
    pub answers: AnswerCounts,
    /// What it has open, by reference number.
    pub orders: Vec<OpenOrder>,
    /// What it has traded, by symbol.
    pub positions: Vec<Position>,
}

/// One open order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenOrder {
    /// The account's own number for it.
    pub user_ref: UserRefNum,
    /// The stock.
    pub symbol: Symbol,
    /// OUCH side: `B`, or `S`, `T`, `E` of the three kinds of sale.
    pub side: u8,
    /// As it was accepted, after any slide; `None`: any price.
    pub price: Option<Price4>,
    /// Shares that can still trade.
    pub open: Qty,
    /// Shares that it and the orders that it replaced have traded.
    pub executed: Qty,
}

/// What was traded of one symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The stock.
    pub symbol: Symbol,
    /// Shares bought.
    pub bought: u64,
    /// Shares sold.
    pub sold: u64,
}

impl Position {
    /// Shares bought less shares sold.
    #[must_use]
    pub fn net(&self) -> i64 {
        self.bought.cast_signed() - self.sold.cast_signed()
    }
}

/// Answers by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AnswerCounts {
    /// Orders accepted.
    pub accepted: u64,
    /// Orders that took another's place.
    pub replaced: u64,
    /// Times that shares were taken off without a trade, self-match prevention included.
    pub cancelled: u64,
    /// Orders and replacements rejected.
    pub rejected: u64,
    /// Executions.
    pub executed: u64,
    /// Executions that were broken.
    pub broken: u64,
}

impl AnswerCounts {
    /// Each kind by its name.
    #[must_use]
    pub fn list(&self) -> [(&'static str, u64); 6] {
        [
            ("accepted", self.accepted),
            ("replaced", self.replaced),
            ("cancelled", self.cancelled),
            ("rejected", self.rejected),
            ("executed", self.executed),
            ("broken", self.broken),
        ]
    }
}
