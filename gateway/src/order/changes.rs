//! What the exchange says of changes: replaces and cancels that came through, were refused, or crossed with
//! something else.
//!
//! Path:        answers -> changes -> orders, account; what answers an intent goes to its strategy
//! Thread:      order core, hot
//! Invariants:  a change that was asked for is answered once, whatever became of it.
//! Spec:        OUCH 5.0 revision 1.04, "Outbound Messages".

use protocol::ouch::{CancelPending, CancelReject, Modified, OrderReplaced, Rejected, STATE_DEAD};
use protocol::types::{Qty, UserRefNum};

use super::endings::{TakenOff, resize};
use super::ledger::Ledger;
use super::live::Order;
use super::recovery::Stranger;
use super::telling::{AnswerEvent, News, tell_live, tell_order};
use super::unexpected::about;
use crate::message::execution::Outcome;
use crate::message::intent::Action;
use crate::message::invariant::{Breach, Invariant};

impl Ledger<'_> {
    pub(super) fn on_replaced(
        &mut self,
        now_ns: u64,
        m: &OrderReplaced,
        tell: &mut impl FnMut(AnswerEvent),
    ) {
        let (original, user_ref) = (m.original_user_ref.get(), m.user_ref.get());
        self.expect_accepted(now_ns, about(m.kind, original), tell);
        let Some(order) = self.session.orders.get(original).copied() else {
            self.session.counters.unknown_order.increment();
            self.broken(Breach {
                invariant: Invariant::ReplacedWhatIsKnown,
                user_ref: original,
                found: u64::from(m.qty.get().0),
                expected: 0,
            });
            // The exchange has it live: the kill switch shall cancel it.
            return self.adopt(user_ref, &Stranger::replaced(m));
        };
        self.session.counters.replaced.increment();
        if order.replacing != Some(user_ref) {
            self.unexpected_of(&order, about(m.kind, original), tell);
        }
        // One that is on its way under another number finds nothing to replace any more.
        let answers = order.replacing.map(|_| Action::Replace);
        if self.session.orders.renumber(original, user_ref).is_err() {
            return self.broken(Breach {
                invariant: Invariant::NumberUnique,
                user_ref,
                found: 2,
                expected: 1,
            });
        }
        self.session
            .orders
            .advance(UserRefNum(user_ref.0.saturating_add(1)));
        let Some(order) = self.session.orders.get_mut(user_ref) else {
            return;
        };
        order.price = m.price.get().unwrap_or(order.price);
        let held = resize(&mut self.account.risk, order, m.qty.get());
        let order = *order;
        self.hold(held);
        let news = News {
            outcome: Outcome::Replaced,
            qty: order.open,
            answers,
        };
        tell_live(now_ns, &order, news, m.order.get(), tell);
        if m.state == STATE_DEAD {
            self.take_off(
                now_ns,
                user_ref,
                TakenOff::new(order.open, STATE_DEAD),
                tell,
            );
        } else if order.open.0 == 0 {
            self.finish(now_ns, user_ref, None, tell);
        }
    }

    pub(super) fn on_rejected(
        &mut self,
        now_ns: u64,
        m: &Rejected,
        tell: &mut impl FnMut(AnswerEvent),
    ) {
        let (number, reason) = (m.user_ref.get(), m.reason.get());
        let Some(mut order) = self.session.orders.get(number).copied() else {
            self.session.past.on_answered(number);
            return self.session.counters.unknown_order.increment();
        };
        if order.user_ref == number && order.is_accepted {
            return self.answered_twice(number);
        }
        self.account.risk.on_rejected(now_ns);
        let mut news = News {
            outcome: Outcome::Rejected(reason),
            qty: order.open,
            answers: Some(Action::Enter),
        };
        if order.user_ref != number {
            self.session.counters.replaces_rejected.increment();
            news.answers = Some(Action::Replace);
            tell_order(now_ns, &order, news, tell);
            return self.forget_changes(now_ns, &order, Outcome::CancelRejected, tell);
        }
        self.session.counters.rejected.increment();
        if order.owner.is_some() {
            self.session.counters.acks.increment();
            tell(AnswerEvent::Acked {
                user_ref: number,
                encoded_ns: order.encoded_ns,
                acked_ns: now_ns,
            });
        }
        order.open = Qty(0);
        tell_order(now_ns, &order, news, tell);
        if let Some(live) = self.session.orders.get_mut(number) {
            live.open = Qty(0);
        }
        self.finish(now_ns, number, None, tell);
    }

    pub(super) fn on_cancel_pending(
        &mut self,
        now_ns: u64,
        user_ref: UserRefNum,
        tell: &mut impl FnMut(AnswerEvent),
    ) {
        self.session.counters.cancels_pending.increment();
        let Some(order) = self.session.orders.get_mut(user_ref) else {
            return self.unknown(about(CancelPending::KIND, user_ref), tell);
        };
        if !order.is_canceling() && !order.is_reducing() {
            let order = *order;
            return self.unexpected_of(&order, about(CancelPending::KIND, user_ref), tell);
        }
        order.links.is_put_off = true;
        let news = News {
            outcome: Outcome::CancelPending,
            qty: order.open,
            answers: None,
        };
        tell_order(now_ns, order, news, tell);
    }

    pub(super) fn on_cancel_reject(
        &mut self,
        now_ns: u64,
        user_ref: UserRefNum,
        tell: &mut impl FnMut(AnswerEvent),
    ) {
        self.session.counters.cancels_refused.increment();
        let Some(order) = self.session.orders.get(user_ref).copied() else {
            return self.unknown(about(CancelReject::KIND, user_ref), tell);
        };
        if order.is_reducing() {
            // It went before a cancel of the whole order.
            return self.on_reduction_failed(now_ns, order.user_ref, Outcome::CancelRejected, tell);
        }
        if !order.is_canceling() {
            return self.unexpected_of(&order, about(CancelReject::KIND, user_ref), tell);
        }
        self.session.on_cancel_failed(order.user_ref, Some(now_ns));
        let news = News {
            outcome: Outcome::CancelRejected,
            qty: order.open,
            answers: order.owes_cancel().then_some(Action::Cancel),
        };
        tell_order(now_ns, &order, news, tell);
    }

    pub(super) fn on_modified(
        &mut self,
        now_ns: u64,
        m: &Modified,
        tell: &mut impl FnMut(AnswerEvent),
    ) {
        let user_ref = m.user_ref.get();
        self.expect_accepted(now_ns, about(m.kind, user_ref), tell);
        let Some(order) = self.session.orders.get_mut(user_ref) else {
            return self.unknown(about(m.kind, user_ref), tell);
        };
        self.session.counters.modified.increment();
        let held = resize(&mut self.account.risk, order, m.qty.get());
        let order = *order;
        self.hold(held);
        let news = News {
            outcome: Outcome::Modified,
            qty: order.open,
            answers: None,
        };
        tell_order(now_ns, &order, news, tell);
        if order.open.0 == 0 {
            self.finish(now_ns, order.user_ref, None, tell);
        } else {
            self.outrun_reduction(now_ns, order.user_ref, tell);
        }
    }

    /// A replace on its way came to nothing, and with it a cancel that was to follow it, or one, whole or partial, that
    /// went with the same connection.
    pub(super) fn forget_changes(
        &mut self,
        now_ns: u64,
        before: &Order,
        cancel: Outcome,
        tell: &mut impl FnMut(AnswerEvent),
    ) {
        let user_ref = before.user_ref;
        self.session.orders.end_replace(user_ref);
        self.reserve(user_ref);
        self.on_reduction_failed(now_ns, user_ref, cancel, tell);
        if before.is_canceling() {
            self.session.on_cancel_failed(user_ref, None);
        }
        if before.owes_cancel() {
            let news = News {
                outcome: cancel,
                qty: before.open,
                answers: Some(Action::Cancel),
            };
            tell_order(now_ns, before, news, tell);
        }
    }
}
