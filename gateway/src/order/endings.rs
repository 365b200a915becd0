//! What takes shares off an order, or ends it, whoever began it.
//!
//! Thread:      order core, hot
//! Invariants:  an order leaves the table once, and risk's count of open shares with it; what ends an order
//!              answers every intent that was waiting for it.

use protocol::ouch::Canceled;
use protocol::types::{Qty, UserRefNum};

use super::ledger::{Ledger, reserve};
use super::live::Order;
use super::reductions;
use super::risk::Risk;
use super::telling::{AnswerEvent, News, tell_order};
use super::unexpected::about;
use crate::message::execution::Outcome;
use crate::message::intent::Action;
use crate::message::invariant::{Breach, Invariant};

/// Shares that leave an order without a trade.
#[derive(Clone, Copy)]
pub(super) struct TakenOff {
    pub(super) qty: Qty,
    /// OUCH's reason.
    pub(super) reason: u8,
}

impl TakenOff {
    pub(super) fn new(qty: Qty, reason: u8) -> Self {
        Self { qty, reason }
    }
}

impl Ledger<'_> {
    /// Shares leave an order without a trade.
    pub(super) fn take_off(
        &mut self,
        now_ns: u64,
        user_ref: UserRefNum,
        off: TakenOff,
        tell: &mut impl FnMut(AnswerEvent),
    ) {
        let TakenOff { qty, reason } = off;
        self.expect_accepted(now_ns, about(Canceled::KIND, user_ref), tell);
        let Some(order) = self.session.orders.get_mut(user_ref) else {
            return self.unknown(about(Canceled::KIND, user_ref), tell);
        };
        self.session.counters.canceled.increment();
        let open = order.open;
        order.open = Qty(open.0.saturating_sub(qty.0));
        let held = reserve(&mut self.account.risk, order);
        let is_over = order.open.0 == 0;
        let answers = if reductions::answers(order, reason) {
            Some(Action::Reduce)
        } else {
            (is_over && order.owes_cancel()).then_some(Action::Cancel)
        };
        let news = News {
            outcome: Outcome::Canceled(reason),
            qty,
            answers,
        };
        tell_order(now_ns, order, news, tell);
        self.hold(held);
        if qty > open {
            self.broken(Breach {
                invariant: Invariant::CanceledWhatWasOpen,
                user_ref,
                found: u64::from(qty.0),
                expected: u64::from(open.0),
            });
        }
        if is_over {
            self.finish(now_ns, user_ref, answers, tell);
        } else if answers.is_none() {
            self.outrun_reduction(now_ns, user_ref, tell);
        }
    }

    /// An order is over: changes that were on their way to it come too late, but for the one that this
    /// `answered`.
    pub(super) fn finish(
        &mut self,
        now_ns: u64,
        user_ref: UserRefNum,
        answered: Option<Action>,
        tell: &mut impl FnMut(AnswerEvent),
    ) {
        let Some(order) = self.session.orders.get(user_ref) else {
            return;
        };
        let replace = order.replacing.map(|_| Action::Replace);
        let reduce = order.is_reducing().then_some(Action::Reduce);
        let cancel = order.owes_cancel().then_some(Action::Cancel);
        let cancel = cancel.filter(|_| answered != Some(Action::Cancel));
        if replace.is_some() || reduce.is_some() || cancel.is_some() {
            let told = *order;
            for action in [replace, reduce, cancel].into_iter().flatten() {
                let news = News {
                    outcome: Outcome::TooLate,
                    qty: Qty(0),
                    answers: Some(action),
                };
                tell_order(now_ns, &told, news, tell);
            }
        }
        self.close(user_ref);
    }
}

/// The exchange says how much of an order is open now; risk counts that from here on.
///
/// # Errors
/// An order of this life has more open than was asked for.
#[inline]
pub(super) fn resize(risk: &mut Risk, order: &mut Order, open: Qty) -> Result<(), Breach> {
    let before = order.reserved;
    order.open = open;
    reserve(risk, order)?;
    if order.owner.is_some() && open > before {
        return Err(Breach {
            invariant: Invariant::OpenAsAsked,
            user_ref: order.user_ref,
            found: u64::from(open.0),
            expected: u64::from(before.0),
        });
    }
    Ok(())
}
