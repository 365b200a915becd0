//! What the exchange says, applied to orders, positions and risk.
//!
//! Thread:      order core, hot
//! Invariants:  positions follow the exchange, whatever we thought; an order leaves the table once,
//!              and risk's count of open shares with it; what ends an order or a change answers every
//!              intent that was waiting for it.
//! When wrong:  what cannot be read, and an execution of an order that is not known here, mean that our
//!              picture is not the exchange's: the kill switch goes on. So does a broken invariant.
//! Spec:        OUCH 5.0 revision 1.04, "Outbound Messages".

use feed_handler::event::Origin;
use protocol::ouch::{
    BrokenTrade, Executed, Modified, OrderAccepted, OrderReplaced, Outbound, Rejected,
};
use protocol::types::{MatchNumber, Qty, Side, Symbol, UserRefNum};

use super::fills::{Fill, Undone};
use super::intent::{Action, ExecutionEvent, Outcome};
use super::invariant::{Breach, Invariant};
use super::ledger::{Ledger, reserve};
use super::orders::{Order, Owner};
use super::risk::{KillCause, Risk};
use super::session::Ended;

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
    /// To the operator: an invariant does not hold; the kill switch is on.
    Breach(Breach),
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

/// An answer that is not OUCH 5.0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Its first byte, which names the message; 0: it had none.
    pub kind: u8,
    /// Its length in bytes.
    pub len: u16,
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

/// Shares that leave an order without a trade.
#[derive(Clone, Copy)]
struct TakenOff {
    qty: Qty,
    /// OUCH's reason.
    reason: u8,
}

impl TakenOff {
    fn new(qty: Qty, reason: u8) -> Self {
        Self { qty, reason }
    }
}

/// The state of an order that is accepted and over already.
pub(super) const STATE_DEAD: u8 = b'D';

impl Ledger {
    #[inline]
    pub(super) fn on_message(
        &mut self,
        now_ns: u64,
        bytes: &[u8],
        is_past: bool,
        tell: &mut impl FnMut(AnswerEvent),
    ) {
        let Ok((message, _)) = Outbound::decode(bytes) else {
            return self.on_unreadable(bytes, tell);
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
            // Answers to queries of earlier connections stand in the past.
            Outbound::AccountQueryResponse(_) if is_past => {}
            Outbound::AccountQueryResponse(m) => {
                self.on_past_known(now_ns, m.next_user_ref.get(), tell);
            }
            // They change nothing that is kept here: day events, display, priority, mass orders.
            Outbound::SystemEvent(_)
            | Outbound::PriorityUpdate(_)
            | Outbound::Restated(_)
            | Outbound::MassCancelResponse(_)
            | Outbound::DisableResponse(_)
            | Outbound::EnableResponse(_) => {}
        }
        if let Some(breach) = self.take_breach() {
            tell(AnswerEvent::Breach(breach));
        }
    }

    /// It may have been an execution: positions are not known any more.
    #[cold]
    fn on_unreadable(&mut self, bytes: &[u8], tell: &mut impl FnMut(AnswerEvent)) {
        self.counters.malformed.increment();
        self.risk.kill().engage(KillCause::MalformedAnswer);
        tell(AnswerEvent::Malformed(Unreadable {
            kind: bytes.first().copied().unwrap_or(0),
            len: u16::try_from(bytes.len()).unwrap_or(u16::MAX),
        }));
    }

    #[inline]
    fn on_accepted(&mut self, now_ns: u64, m: &OrderAccepted, tell: &mut impl FnMut(AnswerEvent)) {
        let user_ref = m.user_ref.get();
        self.counters.accepted.increment();
        let Some(order) = self.orders.get_mut(user_ref) else {
            return self.adopt(user_ref, m);
        };
        let answers = (!order.is_accepted).then_some(Action::Enter);
        order.is_accepted = true;
        // The exchange may have priced it anew, so that it does not lock a market.
        order.price = m.price.get().unwrap_or(order.price);
        let resized = resize(&mut self.risk, order, m.qty.get(), true);
        let symbol = self.instruments.symbol(order.instrument);
        let held = resized.and_then(|()| is_as_sent(order, symbol, m));
        if order.owner.is_some() {
            self.counters.acks.increment();
            tell(AnswerEvent::Acked {
                user_ref,
                encoded_ns: order.encoded_ns,
                acked_ns: now_ns,
            });
        }
        let news = News {
            outcome: Outcome::Accepted,
            qty: order.open,
            answers,
        };
        tell_order(now_ns, order, news, tell);
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
        if self.fills.is_known(match_number, user_ref) {
            return self.counters.executions_repeated.increment();
        }
        let Some(order) = self.orders.get_mut(user_ref) else {
            self.counters.unknown_order.increment();
            self.risk.kill().engage(KillCause::UnknownExecution);
            return tell(AnswerEvent::UnknownExecution(user_ref));
        };
        self.counters.fills.increment();
        self.counters.filled_shares.add(u64::from(qty.0));
        let open = order.open;
        order.executed = Qty(order.executed.0.saturating_add(qty.0));
        order.open = Qty(open.0.saturating_sub(qty.0));
        self.risk.on_traded(order.instrument, order.side, qty, 1);
        let held = reserve(&mut self.risk, order);
        let mut told = *order;
        told.price = m.price.get().unwrap_or(told.price);
        self.hold(held);
        self.fills.keep(Fill {
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
            self.counters.overfills.increment();
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

    /// Shares leave an order without a trade.
    fn take_off(
        &mut self,
        now_ns: u64,
        user_ref: UserRefNum,
        off: TakenOff,
        tell: &mut impl FnMut(AnswerEvent),
    ) {
        let TakenOff { qty, reason } = off;
        let Some(order) = self.orders.get_mut(user_ref) else {
            return self.counters.unknown_order.increment();
        };
        self.counters.canceled.increment();
        let open = order.open;
        order.open = Qty(open.0.saturating_sub(qty.0));
        let held = reserve(&mut self.risk, order);
        let is_over = order.open.0 == 0;
        let answers = (is_over && order.owes_cancel()).then_some(Action::Cancel);
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
        }
    }

    /// An order is over: changes that were on their way to it come too late, but for the one that this
    /// `answered`.
    fn finish(
        &mut self,
        now_ns: u64,
        user_ref: UserRefNum,
        answered: Option<Action>,
        tell: &mut impl FnMut(AnswerEvent),
    ) {
        let Some(order) = self.orders.get(user_ref) else {
            return;
        };
        let replace = order.replacing.map(|_| Action::Replace);
        let cancel = order.owes_cancel().then_some(Action::Cancel);
        let cancel = cancel.filter(|_| answered.is_none());
        if replace.is_some() || cancel.is_some() {
            let told = *order;
            for action in [replace, cancel].into_iter().flatten() {
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

    fn on_replaced(&mut self, now_ns: u64, m: &OrderReplaced, tell: &mut impl FnMut(AnswerEvent)) {
        let (original, user_ref) = (m.original_user_ref.get(), m.user_ref.get());
        let Some(order) = self.orders.get(original).copied() else {
            self.counters.unknown_order.increment();
            return self.broken(Breach {
                invariant: Invariant::ReplacedWhatIsKnown,
                user_ref: original,
                found: u64::from(m.qty.get().0),
                expected: 0,
            });
        };
        self.counters.replaced.increment();
        let answers = (order.replacing == Some(user_ref)).then_some(Action::Replace);
        if self.orders.renumber(original, user_ref).is_err() {
            return self.broken(Breach {
                invariant: Invariant::NumberUnique,
                user_ref,
                found: 2,
                expected: 1,
            });
        }
        self.orders
            .advance(UserRefNum(user_ref.0.saturating_add(1)));
        let Some(order) = self.orders.get_mut(user_ref) else {
            return;
        };
        let held = resize(&mut self.risk, order, m.qty.get(), answers.is_some());
        order.price = m.price.get().unwrap_or(order.price);
        order.is_accepted = true;
        let order = *order;
        self.hold(held);
        let news = News {
            outcome: Outcome::Replaced,
            qty: order.open,
            answers,
        };
        tell_order(now_ns, &order, news, tell);
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

    fn on_rejected(&mut self, now_ns: u64, m: &Rejected, tell: &mut impl FnMut(AnswerEvent)) {
        let (number, reason) = (m.user_ref.get(), m.reason.get());
        let Some(mut order) = self.orders.get(number).copied() else {
            return self.counters.unknown_order.increment();
        };
        let mut news = News {
            outcome: Outcome::Rejected(reason),
            qty: order.open,
            answers: Some(Action::Enter),
        };
        if order.user_ref != number {
            self.counters.replaces_rejected.increment();
            news.answers = Some(Action::Replace);
            tell_order(now_ns, &order, news, tell);
            return self.forget_changes(now_ns, &order, Outcome::CancelRejected, tell);
        }
        self.counters.rejected.increment();
        if order.owner.is_some() {
            self.counters.acks.increment();
            tell(AnswerEvent::Acked {
                user_ref: number,
                encoded_ns: order.encoded_ns,
                acked_ns: now_ns,
            });
        }
        order.open = Qty(0);
        tell_order(now_ns, &order, news, tell);
        if let Some(live) = self.orders.get_mut(number) {
            live.open = Qty(0);
        }
        self.finish(now_ns, number, None, tell);
    }

    /// The exchange undid a trade: the position goes back, the order does not come back.
    fn on_broken(&mut self, now_ns: u64, m: &BrokenTrade, tell: &mut impl FnMut(AnswerEvent)) {
        let (match_number, user_ref) = (m.match_number.get(), m.user_ref.get());
        self.counters.trades_broken.increment();
        let live = self.orders.get(user_ref);
        let fill = match self.fills.break_trade(match_number, user_ref, live) {
            Undone::Now(fill) => fill,
            Undone::Already => return self.counters.executions_repeated.increment(),
            Undone::Unknown => {
                self.counters.unknown_order.increment();
                self.risk.kill().engage(KillCause::UnknownExecution);
                return tell(AnswerEvent::UnknownBreak(match_number));
            }
        };
        self.risk
            .on_traded(fill.instrument, fill.side, fill.qty, -1);
        let Some(owner) = fill.owner else { return };
        let live = self.orders.of_id(owner, fill.id);
        tell(AnswerEvent::Execution(
            owner,
            ExecutionEvent {
                origin: Origin::default(),
                acked_ns: now_ns,
                id: fill.id,
                price: fill.price,
                qty: fill.qty,
                leaves: live.map_or(Qty(0), |order| order.open),
                locate: fill.locate,
                side: fill.side,
                answers: None,
                outcome: Outcome::Broken,
            },
        ));
    }

    fn on_cancel_pending(
        &mut self,
        now_ns: u64,
        user_ref: UserRefNum,
        tell: &mut impl FnMut(AnswerEvent),
    ) {
        self.counters.cancels_pending.increment();
        let Some(order) = self.orders.get(user_ref) else {
            return self.counters.unknown_order.increment();
        };
        let news = News {
            outcome: Outcome::CancelPending,
            qty: order.open,
            answers: None,
        };
        tell_order(now_ns, order, news, tell);
    }

    fn on_cancel_reject(
        &mut self,
        now_ns: u64,
        user_ref: UserRefNum,
        tell: &mut impl FnMut(AnswerEvent),
    ) {
        self.counters.cancels_refused.increment();
        let Some(order) = self.orders.get(user_ref).copied() else {
            return self.counters.unknown_order.increment();
        };
        if !order.is_canceling() {
            return;
        }
        self.on_cancel_failed(order.user_ref, Some(now_ns));
        let news = News {
            outcome: Outcome::CancelRejected,
            qty: order.open,
            answers: order.owes_cancel().then_some(Action::Cancel),
        };
        tell_order(now_ns, &order, news, tell);
    }

    fn on_modified(&mut self, now_ns: u64, m: &Modified, tell: &mut impl FnMut(AnswerEvent)) {
        let user_ref = m.user_ref.get();
        let Some(order) = self.orders.get_mut(user_ref) else {
            return self.counters.unknown_order.increment();
        };
        let held = resize(&mut self.risk, order, m.qty.get(), false);
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
        }
    }

    /// A replace on its way came to nothing, and with it a cancel that was to follow it, or one that went
    /// with the same connection.
    pub(super) fn forget_changes(
        &mut self,
        now_ns: u64,
        before: &Order,
        cancel: Outcome,
        tell: &mut impl FnMut(AnswerEvent),
    ) {
        let user_ref = before.user_ref;
        self.orders.end_replace(user_ref);
        self.reserve(user_ref);
        if before.is_canceling() {
            self.on_cancel_failed(user_ref, None);
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

/// The exchange says how much of an order is open now; risk counts that from here on.
///
/// # Errors
/// What we asked for ourselves came back larger.
#[inline]
fn resize(risk: &mut Risk, order: &mut Order, open: Qty, is_asked: bool) -> Result<(), Breach> {
    let before = order.reserved;
    order.open = open;
    reserve(risk, order)?;
    if is_asked && open > before {
        return Err(Breach {
            invariant: Invariant::OpenAsAsked,
            user_ref: order.user_ref,
            found: u64::from(open.0),
            expected: u64::from(before.0),
        });
    }
    Ok(())
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

/// Tells an order's strategy, if it has one.
#[inline]
pub(super) fn tell_order(
    now_ns: u64,
    order: &Order,
    news: News,
    tell: &mut impl FnMut(AnswerEvent),
) {
    let Some(owner) = order.owner else { return };
    tell(AnswerEvent::Execution(
        owner,
        ExecutionEvent {
            origin: order.origin,
            acked_ns: now_ns,
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
