//! What the exchange says, applied to orders, positions and risk.
//!
//! Thread:      order core, hot
//! Invariants:  positions follow the exchange, whatever we thought; an order leaves the table once,
//!              and risk's count of open shares with it.
//! When wrong:  an execution of an order that is not known here means that our picture is not the
//!              exchange's: the kill switch goes on.
//! Spec:        OUCH 5.0 revision 1.04, "Outbound Messages".

use feed_handler::event::Origin;
use protocol::ouch::{Canceled, Executed, OrderAccepted, OrderReplaced, Outbound, Rejected};
use protocol::types::{Price4, Qty, Side, UserRefNum};

use super::entry::Phase;
use super::instruments::Instrument;
use super::intent::{ExecutionEvent, OrderId, Outcome, Refusal};
use super::ledger::{FILLS_MAX, Fill, Ledger};
use super::session::Ended;
use super::table::{NOBODY, Order, Owner};

/// What a call on bytes or time has to tell.
#[derive(Debug)]
pub enum Told {
    /// To one strategy.
    Execution(Owner, ExecutionEvent),
    /// To the driver: close this connection and connect again at once.
    ConnectAgain,
    /// To every strategy and to the operator: orders go out now.
    Opened,
    /// To the operator: the connection is to be closed.
    Ended(Ended),
    /// To the operator: an execution of an unknown order; the kill switch should go on.
    UnknownExecution(UserRefNum),
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

const STATE_DEAD: u8 = b'D';

impl Ledger {
    #[inline]
    pub(super) fn on_message(
        &mut self,
        now_ns: u64,
        bytes: &[u8],
        is_past: bool,
        tell: &mut impl FnMut(Told),
    ) {
        let Ok((message, _)) = Outbound::decode(bytes) else {
            return self.counters.malformed.increment();
        };
        match message {
            Outbound::OrderAccepted(m) => self.on_accepted(now_ns, m, tell),
            Outbound::Executed(m) => self.on_executed(now_ns, m, tell),
            Outbound::Canceled(m) => self.on_canceled(now_ns, m, tell),
            Outbound::OrderReplaced(m) => self.on_replaced(now_ns, m, tell),
            Outbound::Rejected(m) => self.on_rejected(now_ns, m, tell),
            Outbound::AiqCanceled(m) => {
                self.take_off(now_ns, m.user_ref.get(), (m.qty.get(), m.reason), tell);
            }
            Outbound::BrokenTrade(m) => self.on_broken(now_ns, m.match_number.get().0, tell),
            Outbound::CancelPending(_) => self.counters.cancels_refused.increment(),
            Outbound::CancelReject(m) => {
                self.counters.cancels_refused.increment();
                if let Some(order) = self.table.get_mut(m.user_ref.get()) {
                    order.is_canceling = false;
                }
            }
            Outbound::Modified(m) => self.on_modified(m.user_ref.get(), m.qty.get()),
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
    }

    #[inline]
    fn on_accepted(&mut self, now_ns: u64, m: &OrderAccepted, tell: &mut impl FnMut(Told)) {
        let user_ref = m.user_ref.get();
        self.counters.accepted.increment();
        if self.table.get(user_ref).is_none() {
            self.adopt(user_ref, m);
        }
        let Some(order) = self.table.get_mut(user_ref) else {
            return;
        };
        order.is_accepted = true;
        if order.owner != NOBODY {
            self.counters.acks.increment();
            tell(Told::Acked {
                user_ref,
                encoded_ns: order.encoded_ns,
                acked_ns: now_ns,
            });
        }
        let order = *order;
        tell_order(now_ns, &order, Outcome::Accepted, order.open, tell);
        if m.state == STATE_DEAD {
            self.take_off(now_ns, user_ref, (order.open, STATE_DEAD), tell);
        }
    }

    #[inline]
    fn on_executed(&mut self, now_ns: u64, m: &Executed, tell: &mut impl FnMut(Told)) {
        let (user_ref, qty) = (m.user_ref.get(), m.qty.get());
        let Some(order) = self.table.get_mut(user_ref) else {
            self.counters.unknown_order.increment();
            return tell(Told::UnknownExecution(user_ref));
        };
        self.counters.fills.increment();
        self.counters.filled_shares.add(u64::from(qty.0));
        if qty > order.open {
            self.counters.overfills.increment();
        }
        order.executed = Qty(order.executed.0.saturating_add(qty.0));
        order.open = Qty(order.open.0.saturating_sub(qty.0));
        let mut told = *order;
        told.price = m.price.get().unwrap_or(told.price);
        self.risk.on_traded(told.instrument, told.side, qty, 1);
        self.free(user_ref, qty);
        let fill = Fill {
            match_number: m.match_number.get().0,
            order: told,
            qty,
        };
        if let Some(slot) = self.fills.get_mut(self.fills_next) {
            *slot = Some(fill);
        }
        self.fills_next = (self.fills_next + 1) % FILLS_MAX;
        tell_order(now_ns, &told, Outcome::Filled, qty, tell);
        if told.open.0 == 0 {
            self.close(user_ref);
        }
    }

    fn on_canceled(&mut self, now_ns: u64, m: &Canceled, tell: &mut impl FnMut(Told)) {
        self.take_off(now_ns, m.user_ref.get(), (m.qty.get(), m.reason), tell);
    }

    /// Shares leave an order without a trade.
    fn take_off(
        &mut self,
        now_ns: u64,
        user_ref: UserRefNum,
        (qty, reason): (Qty, u8),
        tell: &mut impl FnMut(Told),
    ) {
        let Some(order) = self.table.get_mut(user_ref) else {
            return self.counters.unknown_order.increment();
        };
        self.counters.canceled.increment();
        order.open = Qty(order.open.0.saturating_sub(qty.0));
        let told = *order;
        self.free(user_ref, qty);
        tell_order(now_ns, &told, Outcome::Canceled(reason), qty, tell);
        if told.open.0 == 0 {
            self.close(user_ref);
        }
    }

    fn on_replaced(&mut self, now_ns: u64, m: &OrderReplaced, tell: &mut impl FnMut(Told)) {
        let original = m.original_user_ref.get();
        let Some(mut order) = self.table.remove(original) else {
            return self.counters.unknown_order.increment();
        };
        self.counters.replaced.increment();
        self.risk
            .on_freed(order.instrument, order.side, order.reserved);
        order.user_ref = m.user_ref.get();
        order.price = m.price.get().unwrap_or(order.price);
        order.open = m.qty.get();
        order.reserved = order.open;
        order.replacing = None;
        // A cancel that went before the replace was confirmed named the new number already.
        self.risk
            .on_reserved(order.instrument, order.side, order.reserved);
        self.table.insert(order);
        self.renumber(&order);
        tell_order(now_ns, &order, Outcome::Replaced, order.open, tell);
        if m.state == STATE_DEAD {
            self.take_off(now_ns, order.user_ref, (order.open, STATE_DEAD), tell);
        }
    }

    fn on_rejected(&mut self, now_ns: u64, m: &Rejected, tell: &mut impl FnMut(Told)) {
        let (user_ref, reason) = (m.user_ref.get(), m.reason.get());
        if let Some(order) = self.table.get(user_ref).copied() {
            self.counters.rejected.increment();
            self.counters.acks.increment();
            tell(Told::Acked {
                user_ref,
                encoded_ns: order.encoded_ns,
                acked_ns: now_ns,
            });
            self.close(user_ref);
            let over = Order {
                open: Qty(0),
                ..order
            };
            return tell_order(now_ns, &over, Outcome::Rejected(reason), order.open, tell);
        }
        let Some(original) = self.table.replaced(user_ref) else {
            return self.counters.unknown_order.increment();
        };
        self.counters.replaces_rejected.increment();
        self.forget_changes(original);
        if let Some(order) = self.table.get(original) {
            tell_order(now_ns, order, Outcome::Rejected(reason), order.open, tell);
        }
    }

    /// The exchange undid a trade: the position goes back, the order does not come back.
    fn on_broken(&mut self, now_ns: u64, match_number: u64, tell: &mut impl FnMut(Told)) {
        self.counters.trades_broken.increment();
        let found = self.fills.iter_mut().find(|fill| {
            fill.as_ref()
                .is_some_and(|fill| fill.match_number == match_number)
        });
        let Some(fill) = found.and_then(Option::take) else {
            return self.counters.unknown_order.increment();
        };
        self.risk
            .on_traded(fill.order.instrument, fill.order.side, fill.qty, -1);
        tell_order(now_ns, &fill.order, Outcome::Broken, fill.qty, tell);
    }

    fn on_modified(&mut self, user_ref: UserRefNum, open: Qty) {
        let Some(order) = self.table.get_mut(user_ref) else {
            return self.counters.unknown_order.increment();
        };
        let less = Qty(order.open.0.saturating_sub(open.0));
        order.open = open;
        self.free(user_ref, less);
    }

    /// Everything that the exchange said before this has been heard: what it never accepted was never
    /// there, and what it has not answered of replaces and cancels went with the connection.
    fn on_past_known(&mut self, now_ns: u64, next: UserRefNum, tell: &mut impl FnMut(Told)) {
        if self.phase != Phase::Recovering {
            return;
        }
        self.table.advance(next);
        while let Some(lost) = self.table.find(|order| !order.is_accepted) {
            self.counters.never_received.increment();
            self.close(lost.user_ref);
            let refused = Outcome::Refused(Refusal::SessionDown);
            tell_order(
                now_ns,
                &Order {
                    open: Qty(0),
                    ..lost
                },
                refused,
                lost.open,
                tell,
            );
        }
        while let Some(unanswered) = self
            .table
            .find(|order| order.is_canceling || order.replacing.is_some())
        {
            self.forget_changes(unanswered.user_ref);
        }
        self.phase = self.phase_open();
        tell(Told::Opened);
    }

    /// An order of an earlier life of this process: it counts, and nobody owns it.
    #[cold]
    fn adopt(&mut self, user_ref: UserRefNum, m: &OrderAccepted) {
        let side = Side::of_code(m.side).unwrap_or(Side::Buy);
        let Some(instrument) = self.instruments.of_symbol(m.symbol) else {
            return self.counters.unknown_order.increment();
        };
        self.counters.adopted.increment();
        self.table.advance(UserRefNum(user_ref.0.saturating_add(1)));
        self.table.insert(adopted(user_ref, m, side, instrument));
        self.risk.on_opened();
        self.risk.on_reserved(instrument, side, m.qty.get());
    }

    /// `qty` shares of an order no longer count as open.
    #[inline]
    fn free(&mut self, user_ref: UserRefNum, qty: Qty) {
        if let Some(order) = self.table.get_mut(user_ref) {
            let less = Qty(qty.0.min(order.reserved.0));
            order.reserved = Qty(order.reserved.0 - less.0);
            let (instrument, side) = (order.instrument, order.side);
            self.risk.on_freed(instrument, side, less);
        }
    }

    /// An order is over.
    fn close(&mut self, user_ref: UserRefNum) {
        if let Some(order) = self.table.remove(user_ref) {
            self.risk
                .on_freed(order.instrument, order.side, order.reserved);
            self.risk.on_closed();
        }
    }

    /// A replace or cancel on its way will not be answered.
    fn forget_changes(&mut self, user_ref: UserRefNum) {
        let Some(order) = self.table.get_mut(user_ref) else {
            return;
        };
        order.replacing = None;
        order.is_canceling = false;
        let less = Qty(order.reserved.0.saturating_sub(order.open.0));
        self.free(user_ref, less);
    }
}

fn adopted(user_ref: UserRefNum, m: &OrderAccepted, side: Side, instrument: Instrument) -> Order {
    Order {
        user_ref,
        id: OrderId(0),
        owner: NOBODY,
        origin: Origin::default(),
        encoded_ns: 0,
        instrument,
        locate: 0,
        side,
        is_accepted: true,
        is_canceling: false,
        price: m.price.get().unwrap_or(Price4(0)),
        open: m.qty.get(),
        reserved: m.qty.get(),
        executed: Qty(0),
        replacing: None,
    }
}

/// Tells an order's strategy, if it has one.
#[inline]
fn tell_order(now_ns: u64, order: &Order, outcome: Outcome, qty: Qty, tell: &mut impl FnMut(Told)) {
    if order.owner == NOBODY {
        return;
    }
    tell(Told::Execution(
        order.owner,
        ExecutionEvent {
            origin: order.origin,
            acked_ns: now_ns,
            id: order.id,
            price: order.price,
            qty,
            leaves: order.open,
            locate: order.locate,
            side: order.side,
            outcome,
        },
    ));
}
