//! Partial cancels: fewer shares open, and the order keeps its place.
//!
//! Path:        ledger -> reductions -> bytes; endings, changes -> reductions -> telling
//! Thread:      order core, hot
//! Invariants:  one is on its way for an order at a time, and no replace is beside it; a cancel of the whole order may
//!              follow it. It is answered once: by the exchange's cancel of shares, by what ends the order, or by what
//!              makes it smaller than that first: the exchange is silent then.
//! Spec:        OUCH 5.0 revision 1.04, "Cancel Order": the quantity is the intended size of the whole chain, executed
//!              shares included. So whatever is executed meanwhile, it takes at least one share off, or the order is over.

use protocol::ouch::CancelOrder;
use protocol::soup::{self, kind::UNSEQUENCED};
use protocol::types::{Qty, UserRefNum};

use super::doubt::Sort;
use super::ledger::Ledger;
use super::live::Order;
use super::progress::Sent;
use super::telling::{AnswerEvent, News, tell_order};
use crate::message::execution::Outcome;
use crate::message::intent::{Action, Asked};
use crate::order::risk::Refusal;

/// OUCH's reason of a cancel that was asked for.
const REASON_USER: u8 = b'U';

impl Ledger<'_> {
    /// Writes a partial cancel.
    ///
    /// # Errors
    /// Why it was refused; nothing has been written then.
    pub(super) fn reduce(&mut self, asked: &Asked<'_>, out: &mut [u8]) -> Result<Sent, Refusal> {
        let Asked {
            owner,
            intent,
            now_ns,
        } = *asked;
        let order = self.session.orders.of_id(owner, intent.id);
        let order = order.ok_or(Refusal::NotLive)?;
        if order.is_changing() || !order.is_accepted {
            return Err(Refusal::ChangePending);
        }
        if intent.qty.0 == 0 || intent.qty >= order.open {
            return Err(Refusal::OrderQty);
        }
        let user_ref = order.user_ref;
        let size = Qty(order.executed.0.saturating_add(intent.qty.0));
        self.account.risk.check_cancel(now_ns)?;
        let message = CancelOrder {
            kind: CancelOrder::KIND,
            user_ref: user_ref.into(),
            qty: size.into(),
        };
        let len = soup::frame(UNSEQUENCED, out, |body| message.encode(&[], body))
            .ok_or(Refusal::Backlog)?;
        if let Some(order) = self.session.orders.get_mut(user_ref) {
            (order.links.reducing_to, order.links.is_put_off) = (size, false);
        }
        self.session.doubt.note(Sort::Reduce, user_ref, now_ns);
        self.session.counters.reductions.increment();
        Ok(Sent {
            len,
            user_ref,
            is_new: false,
        })
    }

    /// The exchange has made an order smaller by itself, before a reduction got there: one that asks for no less now
    /// comes to nothing.
    #[inline]
    pub(super) fn outrun_reduction(
        &mut self,
        now_ns: u64,
        user_ref: UserRefNum,
        tell: &mut impl FnMut(AnswerEvent),
    ) {
        let order = self.session.orders.get(user_ref);
        let is_outrun = order.is_some_and(|order| {
            order.executed.0.saturating_add(order.open.0) <= order.links.reducing_to.0
        });
        if is_outrun {
            self.on_reduction_failed(now_ns, user_ref, Outcome::TooLate, tell);
        }
    }

    /// A reduction on its way came to nothing, and the order stands.
    pub(super) fn on_reduction_failed(
        &mut self,
        now_ns: u64,
        user_ref: UserRefNum,
        outcome: Outcome,
        tell: &mut impl FnMut(AnswerEvent),
    ) {
        let Some(order) = self.session.orders.get_mut(user_ref) else {
            return;
        };
        if std::mem::take(&mut order.links.reducing_to).0 > 0 {
            let news = News {
                outcome,
                qty: order.open,
                answers: Some(Action::Reduce),
            };
            tell_order(now_ns, order, news, tell);
        }
    }
}

/// Whether shares that leave an order for this reason answer its reduction, which is over then.
#[inline]
pub(super) fn answers(order: &mut Order, reason: u8) -> bool {
    reason == REASON_USER && std::mem::take(&mut order.links.reducing_to).0 > 0
}
