//! What the operator is told of earlier runs, before orders go out.
//!
//! Path:        order entry -> notice -> log

use protocol::types::UserRefNum;

use super::intent::OrderId;

/// One piece of news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PastNews {
    /// The exchange tells the message of this number otherwise than the journal has it; the kill switch is on.
    Differs(u64),
    /// The exchange has another session than the one in which the journal has this many orders.
    AnotherSession(usize),
    /// The journal has an order that never reached the exchange.
    NeverArrived(UserRefNum, OrderId),
    /// What all of it came to.
    Known(PastKnown),
}

/// What a look back at earlier runs came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PastKnown {
    /// Orders found open at the exchange.
    pub open: u32,
    /// Of them, those that went back to their strategies.
    pub given_back: u32,
    /// Orders in the journal that never reached the exchange.
    pub never_arrived: u32,
    /// Messages of the exchange that no journal had: said while nothing ran, or lost with the memory of what was killed.
    pub news: u64,
    /// Messages that the journal has otherwise.
    pub differences: u64,
}

impl PastNews {
    /// Whether it is worth an operator's attention at night.
    #[must_use]
    pub fn is_warning(&self) -> bool {
        !matches!(self, Self::Known(_))
    }
}

impl std::fmt::Display for PastNews {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Self::Differs(seq) => write!(
                f,
                "the exchange tells its message {seq} otherwise than the journal has it: the kill switch is on, \
                 compare orders and positions"
            ),
            Self::AnotherSession(orders) => write!(
                f,
                "the exchange has another session than the journal, whose {orders} orders of an earlier run say \
                 nothing here"
            ),
            Self::NeverArrived(UserRefNum(user_ref), OrderId(id)) => write!(
                f,
                "order {user_ref} (its strategy's {id}) of an earlier run never reached the exchange"
            ),
            Self::Known(PastKnown {
                open,
                given_back,
                never_arrived,
                news,
                differences,
            }) => write!(
                f,
                "an earlier run: {open} orders found open, {given_back} of them given back to their strategies; \
                 {never_arrived} orders never reached the exchange; {news} of its messages were not in the \
                 journal, {differences} are otherwise there"
            ),
        }
    }
}
