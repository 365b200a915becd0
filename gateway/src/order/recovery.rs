//! What is learnt when a session opens: orders of an earlier life, and what went with the last connection.
//!
//! Path:        answers -> recovery, until the account query is answered; then orders go out
//! Thread:      order core, before any order goes out; it may allocate
//! Invariants:  what the exchange has live is live here when the session opens, whatever the limits say;
//!              every intent that went with the connection is answered.
//! When wrong:  an order that cannot be kept turns the kill switch on.

use feed_handler::event::Origin;
use protocol::ouch::OrderAccepted;
use protocol::types::{Price4, Qty, Side, UserRefNum};

use super::endings::STATE_DEAD;
use super::index::Unplaced;
use super::instruments::Instrument;
use super::ledger::Ledger;
use super::live::{Links, Order};
use super::telling::{AnswerEvent, News, tell_order};
use crate::message::execution::Outcome;
use crate::message::intent::{Action, OrderId, TimeInForce};
use crate::message::invariant::{Breach, Invariant};
use crate::message::terms::Terms;

impl Ledger<'_> {
    /// Everything that the exchange said before this has been heard: what it never accepted was never
    /// there, and what it has not answered of replaces and cancels went with the connection.
    pub(super) fn on_past_known(
        &mut self,
        now_ns: u64,
        next: UserRefNum,
        tell: &mut impl FnMut(AnswerEvent),
    ) {
        self.session.orders.advance(next);
        // Each step looks at one order; those that it moves to another list have been settled.
        let mut at = self.session.orders.first();
        while let Some(number) = at {
            at = self.session.orders.after(number);
            let Some(order) = self.session.orders.get(number).copied() else {
                break;
            };
            if order.is_accepted {
                self.settle_lost_replace(now_ns, &order, tell);
            } else {
                self.settle_never_received(now_ns, order, tell);
            }
        }
    }

    fn settle_never_received(
        &mut self,
        now_ns: u64,
        mut order: Order,
        tell: &mut impl FnMut(AnswerEvent),
    ) {
        self.session.counters.never_received.increment();
        self.close(order.user_ref);
        let news = News {
            outcome: Outcome::Lost,
            qty: std::mem::take(&mut order.open),
            answers: Some(Action::Enter),
        };
        tell_order(now_ns, &order, news, tell);
        if order.owes_cancel() {
            let answers = Some(Action::Cancel);
            tell_order(now_ns, &order, News { answers, ..news }, tell);
        }
    }

    fn settle_lost_replace(
        &mut self,
        now_ns: u64,
        order: &Order,
        tell: &mut impl FnMut(AnswerEvent),
    ) {
        if order.replacing.is_some() {
            self.session.counters.changes_lost.increment();
            let news = News {
                outcome: Outcome::Lost,
                qty: order.open,
                answers: Some(Action::Replace),
            };
            tell_order(now_ns, order, news, tell);
        }
        if order.is_canceling() {
            self.session.counters.changes_lost.increment();
        }
        self.forget_changes(now_ns, order, Outcome::Lost, tell);
    }

    /// An order of an earlier life of this process: it counts, and nobody owns it.
    #[cold]
    pub(super) fn adopt(&mut self, user_ref: UserRefNum, m: &OrderAccepted) {
        let side = Side::of_code(m.side).unwrap_or(Side::Buy);
        let no_room = Breach {
            invariant: Invariant::RoomForOrders,
            user_ref,
            found: u64::from(self.session.orders.len()) + 1,
            expected: u64::from(self.session.orders.len()),
        };
        let Some(instrument) = self.account.instruments.of_symbol(m.symbol) else {
            self.session.counters.unknown_order.increment();
            return self.broken(no_room);
        };
        let order = adopted(user_ref, m, side, instrument);
        let mut placed = self.session.orders.insert(order);
        if placed == Err(Unplaced::Full) {
            placed = self
                .session
                .orders
                .grow()
                .and_then(|()| self.session.orders.insert(order));
        }
        if placed.is_err() {
            self.session.counters.unknown_order.increment();
            return self.broken(no_room);
        }
        self.session.counters.adopted.increment();
        self.session
            .orders
            .advance(UserRefNum(user_ref.0.saturating_add(1)));
        self.opened(&order);
        if m.state == STATE_DEAD {
            self.session.counters.canceled.increment();
            self.close(user_ref);
        }
    }
}

fn adopted(user_ref: UserRefNum, m: &OrderAccepted, side: Side, instrument: Instrument) -> Order {
    Order {
        user_ref,
        id: OrderId(0),
        owner: None,
        origin: Origin::default(),
        encoded_ns: 0,
        instrument,
        feed: 0,
        locate: 0,
        side,
        terms: Terms::of_display(m.display),
        time_in_force: TimeInForce::of_code(m.time_in_force).unwrap_or(TimeInForce::Day),
        is_accepted: true,
        price: m.price.get().unwrap_or(Price4(0)),
        open: m.qty.get(),
        reserved: m.qty.get(),
        executed: Qty(0),
        replacing: None,
        replace_total: Qty(0),
        replace_price: Price4(0),
        is_marked_long: m.side == Side::Sell as u8,
        known_limits: [m.price.get().unwrap_or(Price4(0)), Price4(0)],
        cancels_refused: 0,
        links: Links::default(),
    }
}
