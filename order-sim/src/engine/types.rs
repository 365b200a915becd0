//! What requests, orders and events have in common: whose an order is, what names it, how long it rests, and
//! whether its stock trades.

/// Whose an order is: an account and the account's own number for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner {
    /// The account's own number: `UserRefNum` for clients.
    pub user_ref: u32,
    /// Index of the account.
    pub account: u16,
}

/// Names one live order; the earlier one is the smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Handle {
    pub(super) number: u64,
    pub(super) slot: u32,
}

/// How long an order may rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TimeInForce {
    /// Not at all: what does not trade at once is cancelled.
    Immediate,
    /// Until market hours end.
    Market,
    /// Until system hours end.
    System,
    /// Until this time, ns since midnight, or the end of system hours.
    Until(u64),
}

/// Which cross an order is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrossKind {
    /// The opening cross, `O`.
    Open,
    /// The closing cross, `C`.
    Close,
    /// The cross that ends a halt or pause, `H`.
    Halt,
}

/// What happens when two orders of one group meet (self-match prevention).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prevention {
    /// The one that comes is cancelled, `W`.
    CancelNewest,
    /// The one that rests is cancelled, `O`.
    CancelOldest,
    /// Both lose what they would have traded, `D`.
    Decrement,
}

impl Prevention {
    /// The rule of OUCH's strategy code; the "no details" and "organisation" variants differ in what is told, not
    /// in what is done.
    #[must_use]
    pub fn of_code(code: u8) -> Option<Self> {
        match code.to_ascii_uppercase() {
            b'W' => Some(Self::CancelNewest),
            b'O' => Some(Self::CancelOldest),
            b'D' | b'Y' => Some(Self::Decrement),
            _ => None,
        }
    }
}

/// Whether and how a stock trades; the letters are ITCH's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// Orders are refused.
    Halted = b'H',
    /// Paused because prices moved too far: orders wait for the cross.
    Paused = b'P',
    /// Orders wait for a cross.
    Quoting = b'Q',
    /// Orders trade as they come.
    Trading = b'T',
}
