//! What the exchange says that does not fit an order as it is known here, and what it says of one that is only news
//! of its place in the book.
//!
//! Path:        answers, changes, endings -> unexpected -> telling
//! Thread:      order core, hot
//! Invariants:  an order that anything else is said of has been accepted: the intent is answered before.
//! When wrong:  counted and told; the first few of each sort to the operator, too. What was accepted or rejected twice
//!              is an order that somebody else numbers as well: the kill switch goes on, and the order is kept so that
//!              it is cancelled.
//! Spec:        OUCH 5.0 revision 1.04, "Outbound Messages".

use protocol::ouch::{PriorityUpdate, Restated};
use protocol::types::UserRefNum;

use super::ledger::Ledger;
use super::live::Order;
use super::telling::{AnswerEvent, News, TOLD_ONE_BY_ONE_MAX, tell_live, tell_order};
use crate::message::execution::Outcome;
use crate::message::intent::Action;
use crate::message::invariant::{Breach, Invariant};
use crate::message::notice::Unexpected;

impl Ledger<'_> {
    /// Something is said of an order that only an accepted one can have: where its acceptance has not been heard, this
    /// is it.
    #[inline]
    pub(super) fn expect_accepted(
        &mut self,
        now_ns: u64,
        answer: Unexpected,
        tell: &mut impl FnMut(AnswerEvent),
    ) {
        let order = self.session.orders.get(answer.user_ref);
        if order.is_some_and(|order| !order.is_accepted) {
            self.imply_accepted(now_ns, answer, tell);
        }
    }

    #[cold]
    fn imply_accepted(
        &mut self,
        now_ns: u64,
        answer: Unexpected,
        tell: &mut impl FnMut(AnswerEvent),
    ) {
        self.unexpected(answer, tell);
        let Some(order) = self.session.orders.get_mut(answer.user_ref) else {
            return;
        };
        order.is_accepted = true;
        let news = News {
            outcome: Outcome::Accepted,
            qty: order.open,
            answers: Some(Action::Enter),
        };
        tell_order(now_ns, order, news, tell);
    }

    /// An answer does not fit its order, or nobody asked for it.
    #[cold]
    pub(super) fn unexpected(&mut self, answer: Unexpected, tell: &mut impl FnMut(AnswerEvent)) {
        self.session.counters.unexpected.increment();
        tell_first(self.session.counters.unexpected.get(), answer, tell);
    }

    /// An answer is about something that was not asked for. What an earlier run asked for is not known of an order that
    /// is nobody's.
    #[cold]
    pub(super) fn unexpected_of(
        &mut self,
        order: &Order,
        answer: Unexpected,
        tell: &mut impl FnMut(AnswerEvent),
    ) {
        if order.owner.is_some() {
            self.unexpected(answer, tell);
        }
    }

    /// An answer is about an order that is not known here.
    #[cold]
    pub(super) fn unknown(&mut self, answer: Unexpected, tell: &mut impl FnMut(AnswerEvent)) {
        self.session.counters.unknown_order.increment();
        tell_first(self.session.counters.unknown_order.get(), answer, tell);
    }

    /// The exchange accepts or rejects an order that it had accepted: nobody knows whether it lives.
    #[cold]
    pub(super) fn answered_twice(&mut self, user_ref: UserRefNum) {
        self.broken(Breach {
            invariant: Invariant::AnsweredOnce,
            user_ref,
            found: 2,
            expected: 1,
        });
    }

    /// An order has another place in the book, another number there, and maybe another price.
    #[cold]
    pub(super) fn on_priority(
        &mut self,
        now_ns: u64,
        m: &PriorityUpdate,
        tell: &mut impl FnMut(AnswerEvent),
    ) {
        let user_ref = m.user_ref.get();
        self.expect_accepted(now_ns, about(m.kind, user_ref), tell);
        let Some(order) = self.session.orders.get_mut(user_ref) else {
            return self.unknown(about(m.kind, user_ref), tell);
        };
        self.session.counters.restated.increment();
        order.price = m.price.get().unwrap_or(order.price);
        self.reserve(user_ref);
        if let Some(order) = self.session.orders.get(user_ref) {
            let news = News {
                outcome: Outcome::Modified,
                qty: order.open,
                answers: None,
            };
            tell_live(now_ns, order, news, m.order.get(), tell);
        }
    }

    /// What is shown of an order is another: nothing that is kept here.
    #[cold]
    pub(super) fn on_restated(
        &mut self,
        now_ns: u64,
        m: &Restated,
        tell: &mut impl FnMut(AnswerEvent),
    ) {
        let user_ref = m.user_ref.get();
        self.expect_accepted(now_ns, about(m.kind, user_ref), tell);
        if self.session.orders.get(user_ref).is_none() {
            return self.unknown(about(m.kind, user_ref), tell);
        }
        self.session.counters.restated.increment();
    }
}

/// The first few of a sort are told to the operator one by one.
fn tell_first(count: u64, answer: Unexpected, tell: &mut impl FnMut(AnswerEvent)) {
    if count <= TOLD_ONE_BY_ONE_MAX {
        tell(AnswerEvent::Unexpected(answer));
    }
}

/// An answer of this type, about this order.
#[inline]
pub(super) fn about(kind: u8, user_ref: UserRefNum) -> Unexpected {
    Unexpected { kind, user_ref }
}
