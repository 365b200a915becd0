//! What must hold about money. Where it does not, our picture of orders is not the exchange's: trading
//! stops, everything open is cancelled, the operator is told the facts, and the process stays.

use protocol::types::UserRefNum;

/// What must hold, and did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invariant {
    /// No more shares leave a side than stand open there.
    ExposureCovered,
    /// No more orders end than were open.
    OrdersCounted,
    /// A reference number belongs to one live order.
    NumberUnique,
    /// There is room for every order that the exchange has.
    RoomForOrders,
    /// The exchange accepts an order with the symbol and the side that were sent.
    AcceptedAsSent,
    /// The exchange has no more of an order open than was asked for.
    OpenAsAsked,
    /// No more of an order is executed than was open.
    ExecutedWhatWasOpen,
    /// No more of an order is cancelled than was open.
    CanceledWhatWasOpen,
    /// What the exchange replaces is an order that is known here.
    ReplacedWhatIsKnown,
    /// The exchange accepts or rejects an order once: who hears it twice shares numbers with somebody.
    AnsweredOnce,
}

impl Invariant {
    /// What was seen, for the operator: found, then expected.
    #[must_use]
    pub fn broken(self) -> &'static str {
        match self {
            Self::ExposureCovered => "more shares left a side than stood open there",
            Self::OrdersCounted => "more orders ended than were open",
            Self::NumberUnique => "a reference number is live twice",
            Self::RoomForOrders => "there is no room for an order that the exchange has",
            Self::AcceptedAsSent => "the exchange accepted another symbol or side than was sent",
            Self::OpenAsAsked => "the exchange has more of an order open than was asked for",
            Self::ExecutedWhatWasOpen => "more of an order was executed than was open",
            Self::CanceledWhatWasOpen => "more of an order was cancelled than was open",
            Self::ReplacedWhatIsKnown => "the exchange replaced an order that is not known here",
            Self::AnsweredOnce => "the exchange accepted or rejected an order that it had accepted",
        }
    }
}

/// One breach, with its facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breach {
    /// What did not hold.
    pub invariant: Invariant,
    /// The order.
    pub user_ref: UserRefNum,
    /// What was there: shares, or orders.
    pub found: u64,
    /// What had to be there at most.
    pub expected: u64,
}
