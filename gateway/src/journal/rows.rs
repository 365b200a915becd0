//! An order from its birth to its end, a request about one, an execution: what an export has a row of.
//!
//! When wrong:  what no record has told is `None`, nothing is guessed.

use std::sync::Arc;

use protocol::ouch::{Appendage, Element, EnterOrder, PRICE_MARKET};
use protocol::types::{Side, Symbol};

use super::executions::Execution;
use crate::message::intent::Action;

/// Whose an order is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// The gateway's host, as the run's journal has it; empty: it has none.
    pub host: Arc<str>,
    /// The gateway's session.
    pub session: Arc<str>,
    /// Whom it logs in as.
    pub username: Arc<str>,
    /// The exchange's name for the day.
    pub exchange_session: Arc<str>,
}

/// What became of an order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    /// Risk refused it: it was never sent.
    Refused,
    /// The exchange refused it.
    Rejected,
    /// All of it was executed.
    Filled,
    /// What was not executed was taken off.
    Canceled,
    /// Another order took its place.
    Replaced,
    /// It was to replace an order that was over before.
    TooLate,
    /// The journals end while it is open.
    Open,
    /// The journals have no answer to it.
    #[default]
    Unanswered,
}

impl Outcome {
    /// Every outcome, with the word for it and what it means.
    pub const ALL: [(Self, &'static str, &'static str); 8] = [
        (
            Self::Refused,
            "refused",
            "risk refused it, it was never sent",
        ),
        (Self::Rejected, "rejected", "the exchange refused it"),
        (Self::Filled, "filled", "all of it was executed"),
        (
            Self::Canceled,
            "canceled",
            "what was not executed was taken off",
        ),
        (Self::Replaced, "replaced", "another order took its place"),
        (
            Self::TooLate,
            "too_late",
            "it was to replace an order that was over before",
        ),
        (Self::Open, "open", "the journals end while it is open"),
        (
            Self::Unanswered,
            "unanswered",
            "the journals have no answer to it",
        ),
    ];

    /// Its word.
    #[must_use]
    pub fn name(self) -> &'static str {
        let mut all = Self::ALL.into_iter();
        all.find(|(outcome, ..)| *outcome == self)
            .map_or("", |(_, name, _)| name)
    }
}

/// An order: one for each number that was used, and one for each that risk refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrderRow {
    /// Whose it is.
    pub account: Arc<Account>,
    /// The strategy.
    pub strategy: Option<Arc<str>>,
    /// The strategy's number, which stays when the order is replaced.
    pub order_id: Option<u32>,
    /// OUCH's number; of a refused order none.
    pub user_ref: Option<u32>,
    /// The number of the order whose place it takes, or was to take.
    pub replaces: Option<u32>,
    /// The number of the order that took its place.
    pub replaced_by: Option<u32>,
    /// Symbol. A refused order has but a locate code: it is known from an order that was sent.
    pub symbol: Option<Symbol>,
    /// The feed that the locate code is of.
    pub feed: Option<Arc<str>>,
    /// The symbol's number on the feed, for the day.
    pub locate: Option<u16>,
    /// Side.
    pub side: Option<Side>,
    /// A short sale.
    pub is_short: bool,
    /// Shares asked for; of an order that took another one's place, those that were open then.
    pub shares: Option<u32>,
    /// Limit, in 0.0001 dollars; of a market order none.
    pub price: Option<u64>,
    /// OUCH's code for how long it stands.
    pub time_in_force: Option<u8>,
    /// OUCH's code for what others see of it.
    pub display: Option<u8>,
    /// The fewest shares of an execution.
    pub shares_min: Option<u32>,
    /// Shares of a reserve order that are shown at a time.
    pub shares_shown: Option<u32>,
    /// It never takes what rests.
    pub is_post_only: bool,
    /// It is pegged to the middle of the best prices.
    pub is_midpoint: bool,
    /// What became of it.
    pub outcome: Outcome,
    /// Why, where somebody said: risk's counter, the exchange's code.
    pub reason: Option<Arc<str>>,
    /// Shares executed, those of trades that were undone later included.
    pub filled: u32,
    /// Shares taken off without a trade.
    pub canceled: u32,
    /// When the feed stage had the message that caused it, ns since 1970.
    pub seen_ns: Option<u64>,
    /// When the strategy had decided.
    pub decided_ns: Option<u64>,
    /// When it was judged, and handed on.
    pub sent_ns: Option<u64>,
    /// When the exchange's acceptance was here.
    pub accepted_ns: Option<u64>,
    /// When its first execution was here.
    pub first_fill_ns: Option<u64>,
    /// When the message that ended it was here, or risk refused it.
    pub ended_ns: Option<u64>,
}

impl OrderRow {
    /// Whether nothing of it is open, as far as is known.
    pub(super) fn is_over(&self) -> bool {
        let gone = self.filled.saturating_add(self.canceled);
        self.shares.is_some_and(|shares| gone >= shares)
    }

    /// As it was asked for, with what the exchange has said of it: that was read first.
    pub(super) fn with_heard(self, heard: &Self) -> Self {
        let is_accepted = heard.accepted_ns.is_some();
        Self {
            symbol: heard.symbol.or(self.symbol),
            side: heard.side.or(self.side),
            is_short: heard.is_short || self.is_short,
            shares: heard.shares.or(self.shares),
            price: if is_accepted { heard.price } else { self.price },
            time_in_force: heard.time_in_force.or(self.time_in_force),
            display: heard.display.or(self.display),
            replaced_by: heard.replaced_by,
            outcome: heard.outcome,
            reason: heard.reason.clone(),
            filled: heard.filled,
            canceled: heard.canceled,
            accepted_ns: heard.accepted_ns,
            first_fill_ns: heard.first_fill_ns,
            ..self
        }
    }

    /// Takes what the message that asks for it says.
    pub(super) fn ask(&mut self, asked: &EnterOrder, appendage: Appendage<'_>) {
        self.symbol = Some(asked.symbol);
        self.set_side(asked.side);
        self.shares = Some(asked.qty.get().0);
        self.price = limit(asked.price.raw());
        self.time_in_force = Some(asked.time_in_force);
        self.display = Some(asked.display);
        for element in appendage.elements() {
            match element {
                Element::MinQty(shares) => self.shares_min = Some(shares.0),
                Element::MaxFloor(shares) => self.shares_shown = Some(shares.0),
                Element::PriceType(kind) => self.is_midpoint = kind == b'M',
                Element::PostOnly(kind) => self.is_post_only = kind == b'P',
                _ => {}
            }
        }
    }

    pub(super) fn set_side(&mut self, code: u8) {
        self.side = Side::of_code(code);
        self.is_short = matches!(code, b'T' | b'E');
    }
}

/// A price of OUCH's; of a market order none.
pub(super) fn limit(price: u64) -> Option<u64> {
    Some(price).filter(|price| *price != u64::from(PRICE_MARKET.0))
}

/// What caused a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Caused {
    /// A market message.
    #[default]
    Market,
    /// News of an order or of the session.
    Execution,
    /// A timer.
    Timer,
}

/// How a request was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Risk refused it.
    Refused,
    /// A new order stands.
    Accepted,
    /// It stands in the other one's place.
    Replaced,
    /// Shares were taken off.
    Canceled,
    /// The exchange refused a new order, or the replace.
    Rejected,
    /// The exchange refused the cancel.
    CancelRejected,
    /// The order was over before.
    TooLate,
}

impl Answer {
    /// Every answer, with the word for it and what it means.
    pub const ALL: [(Self, &'static str, &'static str); 7] = [
        (Self::Refused, "refused", "risk refused it"),
        (Self::Accepted, "accepted", "a new order stands"),
        (
            Self::Replaced,
            "replaced",
            "it stands in the other one's place",
        ),
        (Self::Canceled, "canceled", "shares were taken off"),
        (
            Self::Rejected,
            "rejected",
            "the exchange refused the order, or the replace",
        ),
        (
            Self::CancelRejected,
            "cancel_rejected",
            "the exchange refused the cancel",
        ),
        (Self::TooLate, "too_late", "the order was over before"),
    ];

    /// Its word.
    #[must_use]
    pub fn name(self) -> &'static str {
        let mut all = Self::ALL.into_iter();
        all.find(|(answer, ..)| *answer == self)
            .map_or("", |(_, name, _)| name)
    }
}

/// What a strategy asked for, and how long it took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestRow {
    /// Whose it is.
    pub account: Arc<Account>,
    /// The strategy.
    pub strategy: Option<Arc<str>>,
    /// The strategy's number of the order.
    pub order_id: u32,
    /// OUCH's number: the new one of an order and of a replace, else the order's; of what was refused none.
    pub user_ref: Option<u32>,
    /// What was asked for.
    pub action: Action,
    /// What caused it.
    pub cause: Caused,
    /// The feed of the market message behind it.
    pub feed: Option<Arc<str>>,
    /// That message's number.
    pub market_seq: Option<u64>,
    /// The answer; `None`: the journals have none.
    pub answer: Option<Answer>,
    /// Why risk refused it: its counter.
    pub reason: Option<Arc<str>>,
    /// The answer was said before the connection was begun on which it was heard: it says nothing of the exchange's speed.
    pub is_past: bool,
    /// When the feed stage had that message, ns since 1970.
    pub seen_ns: Option<u64>,
    /// When the strategy had decided.
    pub decided_ns: u64,
    /// When it was judged, and handed on or refused.
    pub sent_ns: u64,
    /// When the answer was here.
    pub answered_ns: Option<u64>,
}

/// An execution, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FillRow {
    /// The gateway's host, as the journal has it in which it was heard first.
    pub host: Arc<str>,
    /// The execution.
    pub execution: Execution,
}

/// Orders that are over and requests that are answered, for whoever takes them.
#[derive(Debug, Default)]
pub struct Ended {
    /// Orders.
    pub orders: Vec<OrderRow>,
    /// Requests.
    pub requests: Vec<RequestRow>,
}
