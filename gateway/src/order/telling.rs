//! What order entry tells of what it has heard: strategies their orders, the operator what he has to know.
//!
//! Thread:      order core, hot

use protocol::types::{MatchNumber, OrderRef, Qty, UserRefNum};

use super::live::Order;
use crate::message::execution::{ExecutionEvent, Outcome};
use crate::message::intent::{Action, Owner};
use crate::message::invariant::Breach;
use crate::message::notice::{Ended, Unexpected, Unreadable};
use crate::message::past::PastNews;

/// Of a sort that may come in any number, those that the operator is told of one by one; all are counted.
pub(super) const TOLD_ONE_BY_ONE_MAX: u64 = 16;

/// What a call on bytes or time has to tell.
#[derive(Debug)]
pub enum AnswerEvent {
    /// To one strategy.
    Execution(Owner, ExecutionEvent),
    /// To the driver: close this connection and connect again at once.
    ConnectAgain,
    /// To every strategy and to the operator: orders go out now.
    Opened,
    /// To the operator: the connection is to be closed.
    Ended(Ended),
    /// To the operator: an execution of an unknown order; the kill switch is on.
    UnknownExecution(UserRefNum),
    /// To the operator: a trade was undone that is not known here; the kill switch is on.
    UnknownBreak(MatchNumber),
    /// To the operator: an answer could not be read; the kill switch is on.
    Malformed(Unreadable),
    /// To the operator: an answer that does not fit the order that it is about.
    Unexpected(Unexpected),
    /// To the operator: an invariant does not hold; the kill switch is on.
    Breach(Breach),
    /// To the operator: what an earlier run left behind.
    Past(PastNews),
    /// A new order was answered, then; its bytes were ready at that time.
    Acked {
        /// The order.
        user_ref: UserRefNum,
        /// When its bytes were ready, ns.
        encoded_ns: u64,
        /// When the answer was here, ns.
        acked_ns: u64,
    },
}

/// Something that happened to an order.
#[derive(Clone, Copy)]
pub(super) struct News {
    pub(super) outcome: Outcome,
    /// Shares that it is about.
    pub(super) qty: Qty,
    /// The intent that it answers.
    pub(super) answers: Option<Action>,
}

/// Tells an order's strategy, if it has one.
#[inline]
pub(super) fn tell_order(
    now_ns: u64,
    order: &Order,
    news: News,
    tell: &mut impl FnMut(AnswerEvent),
) {
    tell_live(now_ns, order, news, OrderRef(0), tell);
}

/// The same, of an order that the exchange has just numbered.
#[inline]
pub(super) fn tell_live(
    now_ns: u64,
    order: &Order,
    news: News,
    reference: OrderRef,
    tell: &mut impl FnMut(AnswerEvent),
) {
    let Some(owner) = order.owner else { return };
    tell(AnswerEvent::Execution(
        owner,
        ExecutionEvent {
            origin: order.origin,
            acked_ns: now_ns,
            reference,
            id: order.id,
            price: order.price,
            qty: news.qty,
            leaves: order.open,
            locate: order.locate,
            side: order.side,
            answers: news.answers,
            outcome: news.outcome,
        },
    ));
}
