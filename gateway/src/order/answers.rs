//! What the exchange says, applied to orders, positions and risk.
//!
//! Thread:      order core, hot
//! Invariants:  positions follow the exchange, whatever we thought; an order leaves the table once,
//!              and risk's count of open shares with it; what ends an order or a change answers every
//!              intent that was waiting for it.
//! When wrong:  what cannot be read, and an execution of an order that is not known here, mean that our
//!              picture is not the exchange's: the kill switch goes on. So does a broken invariant.
//! Spec:        OUCH 5.0 revision 1.04, "Outbound Messages".

use protocol::ouch::{BrokenTrade, Executed, OrderAccepted, Outbound, STATE_DEAD};
use protocol::types::{Qty, Side, Symbol, UserRefNum};

use super::endings::{TakenOff, resize};
use super::fills::{Fill, Undone};
use super::ledger::{Ledger, reserve};
use super::live::Order;
use super::recovery::Stranger;
use super::risk::{KillCause, Traded};
use super::telling::{AnswerEvent, News, tell_live, tell_order};
use super::unexpected::about;
use crate::message::execution::{ExecutionEvent, Outcome};
use crate::message::intent::Action;
use crate::message::invariant::{Breach, Invariant};
use crate::message::notice::Unreadable;

impl Ledger<'_> {
    /// Applies a message; where it answers an account query of this connection, the number that the next
    /// order has to have.
    #[inline]
    pub(super) fn on_message(
        &mut self,
        now_ns: u64,
        bytes: &[u8],
        is_past: bool,
        tell: &mut impl FnMut(AnswerEvent),
    ) -> Option<UserRefNum> {
        let Ok((message, _)) = Outbound::decode(bytes) else {
            self.on_unreadable(bytes, tell);
            return None;
        };
        match message {
            Outbound::OrderAccepted(m) => self.on_accepted(now_ns, m, tell),
            Outbound::Executed(m) => self.on_executed(now_ns, m, tell),
            Outbound::Canceled(m) => {
                let off = TakenOff::new(m.qty.get(), m.reason);
                self.take_off(now_ns, m.user_ref.get(), off, tell);
            }
            Outbound::OrderReplaced(m) => self.on_replaced(now_ns, m, tell),
            Outbound::Rejected(m) => self.on_rejected(now_ns, m, tell),
            Outbound::AiqCanceled(m) => {
                let off = TakenOff::new(m.qty.get(), m.reason);
                self.take_off(now_ns, m.user_ref.get(), off, tell);
            }
            Outbound::BrokenTrade(m) => self.on_broken(now_ns, m, tell),
            Outbound::CancelPending(m) => self.on_cancel_pending(now_ns, m.user_ref.get(), tell),
            Outbound::CancelReject(m) => self.on_cancel_reject(now_ns, m.user_ref.get(), tell),
            Outbound::Modified(m) => self.on_modified(now_ns, m, tell),
            Outbound::PriorityUpdate(m) => self.on_priority(now_ns, m, tell),
            Outbound::Restated(m) => self.on_restated(now_ns, m, tell),
            // Answers to queries of earlier connections stand in the past.
            Outbound::AccountQueryResponse(_) if is_past => {}
            Outbound::AccountQueryResponse(m) => {
                return Some(m.next_user_ref.get());
            }
            Outbound::SystemEvent(_) => self.session.counters.system_events.increment(),
            // Somebody else asked for them on this account.
            Outbound::MassCancelResponse(m) => {
                self.unexpected(about(m.kind, m.user_ref.get()), tell)
            }
            Outbound::DisableResponse(m) => self.unexpected(about(m.kind, m.user_ref.get()), tell),
            Outbound::EnableResponse(m) => self.unexpected(about(m.kind, m.user_ref.get()), tell),
        }
        if let Some(breach) = self.session.take_breach() {
            tell(AnswerEvent::Breach(breach));
        }
        None
    }

    /// It may have been an execution: positions are not known any more.
    #[cold]
    fn on_unreadable(&mut self, bytes: &[u8], tell: &mut impl FnMut(AnswerEvent)) {
        self.session.counters.malformed.increment();
        self.account.risk.kill().engage(KillCause::MalformedAnswer);
        tell(AnswerEvent::Malformed(Unreadable {
            kind: bytes.first().copied().unwrap_or(0),
            len: u16::try_from(bytes.len()).unwrap_or(u16::MAX),
        }));
    }

    #[inline]
    fn on_accepted(&mut self, now_ns: u64, m: &OrderAccepted, tell: &mut impl FnMut(AnswerEvent)) {
        let user_ref = m.user_ref.get();
        let Some(order) = self.session.orders.get_mut(user_ref) else {
            self.session.counters.accepted.increment();
            return self.adopt(user_ref, &Stranger::accepted(m));
        };
        if std::mem::replace(&mut order.is_accepted, true) {
            return self.answered_twice(user_ref);
        }
        self.session.counters.accepted.increment();
        // The exchange may have priced it anew, so that it does not lock a market.
        order.price = m.price.get().unwrap_or(order.price);
        let resized = resize(&mut self.account.risk, order, m.qty.get());
        let symbol = self.account.instruments.symbol(order.instrument);
        let held = resized.and_then(|()| is_as_sent(order, symbol, m));
        if order.owner.is_some() {
            self.session.counters.acks.increment();
            tell(AnswerEvent::Acked {
                user_ref,
                encoded_ns: order.encoded_ns,
                acked_ns: now_ns,
            });
        }
        let news = News {
            outcome: Outcome::Accepted,
            qty: order.open,
            answers: Some(Action::Enter),
        };
        tell_live(now_ns, order, news, m.order.get(), tell);
        let open = order.open;
        self.hold(held);
        if m.state == STATE_DEAD {
            self.take_off(now_ns, user_ref, TakenOff::new(open, STATE_DEAD), tell);
        }
    }

    #[inline]
    fn on_executed(&mut self, now_ns: u64, m: &Executed, tell: &mut impl FnMut(AnswerEvent)) {
        let (user_ref, qty) = (m.user_ref.get(), m.qty.get());
        let match_number = m.match_number.get();
        if self.session.fills.is_known(match_number, user_ref) {
            return self.session.counters.executions_repeated.increment();
        }
        self.expect_accepted(now_ns, about(m.kind, user_ref), tell);
        let Some(order) = self.session.orders.get_mut(user_ref) else {
            self.session.counters.unknown_order.increment();
            self.account.risk.kill().engage(KillCause::UnknownExecution);
            return tell(AnswerEvent::UnknownExecution(user_ref));
        };
        self.session.counters.fills.increment();
        self.session.counters.filled_shares.add(u64::from(qty.0));
        let open = order.open;
        order.executed = Qty(order.executed.0.saturating_add(qty.0));
        order.open = Qty(open.0.saturating_sub(qty.0));
        let price = m.price.get().unwrap_or(order.price);
        self.account.risk.on_traded(&Traded {
            instrument: order.instrument,
            side: order.side,
            qty,
            price,
        });
        let held = reserve(&mut self.account.risk, order);
        let mut told = *order;
        told.price = price;
        self.hold(held);
        self.session.fills.keep(Fill {
            match_number,
            user_ref,
            id: told.id,
            owner: told.owner,
            side: told.side,
            instrument: told.instrument,
            locate: told.locate,
            qty,
            price: told.price,
        });
        if qty > open {
            self.session.counters.overfills.increment();
            self.broken(Breach {
                invariant: Invariant::ExecutedWhatWasOpen,
                user_ref,
                found: u64::from(qty.0),
                expected: u64::from(open.0),
            });
        }
        let news = News {
            outcome: Outcome::Filled,
            qty,
            answers: None,
        };
        tell_order(now_ns, &told, news, tell);
        if told.open.0 == 0 {
            self.finish(now_ns, user_ref, None, tell);
        }
    }

    /// The exchange undid a trade: the position goes back, the order does not come back.
    fn on_broken(&mut self, now_ns: u64, m: &BrokenTrade, tell: &mut impl FnMut(AnswerEvent)) {
        let (match_number, user_ref) = (m.match_number.get(), m.user_ref.get());
        self.session.counters.trades_broken.increment();
        let live = self.session.orders.get(user_ref);
        let fill = match self.session.fills.break_trade(match_number, user_ref, live) {
            Undone::Now(fill) => fill,
            Undone::Already => return self.session.counters.executions_repeated.increment(),
            Undone::Unknown => {
                self.session.counters.unknown_order.increment();
                self.account.risk.kill().engage(KillCause::UnknownExecution);
                return tell(AnswerEvent::UnknownBreak(match_number));
            }
        };
        self.account.risk.on_undone(&Traded {
            instrument: fill.instrument,
            side: fill.side,
            qty: fill.qty,
            price: fill.price,
        });
        let Some(owner) = fill.owner else { return };
        let live = self.session.orders.of_id(owner, fill.id);
        tell(AnswerEvent::Execution(
            owner,
            ExecutionEvent {
                id: fill.id,
                price: fill.price,
                qty: fill.qty,
                leaves: live.map_or(Qty(0), |order| order.open),
                locate: fill.locate,
                side: fill.side,
                ..ExecutionEvent::session(Outcome::Broken, now_ns)
            },
        ));
    }
}

/// What the exchange accepted must be what was sent.
#[inline]
fn is_as_sent(order: &Order, symbol: Symbol, m: &OrderAccepted) -> Result<(), Breach> {
    if m.symbol == symbol && Side::of_code(m.side) == Some(order.side) {
        return Ok(());
    }
    Err(Breach {
        invariant: Invariant::AcceptedAsSent,
        user_ref: order.user_ref,
        found: u64::from(m.side),
        expected: order.side as u64,
    })
}
