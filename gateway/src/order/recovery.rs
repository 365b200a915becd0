//! What is learnt when a session opens: orders of an earlier life, and what went with the last connection.
//!
//! Path:        answers -> recovery, until the account query is answered; then orders go out
//! Thread:      order core, before any order goes out; it may allocate
//! Invariants:  what the exchange has live is live here when the session opens, whatever the limits say;
//!              every intent that went with the connection is answered.
//! When wrong:  an order that cannot be kept turns the kill switch on.

use feed_handler::event::Origin;
use protocol::ouch::{OrderAccepted, OrderReplaced, PRICE_MARKET, STATE_DEAD};
use protocol::types::{Price4, Qty, Side, Symbol, UserRefNum};
use protocol::wire::WidePriceBe;

use super::desk::DESKS_MAX;
use super::index::Unplaced;
use super::instruments::Instrument;
use super::ledger::Ledger;
use super::live::{Links, Order};
use super::session_orders::FoundOrders;
use super::telling::{AnswerEvent, News, TOLD_ONE_BY_ONE_MAX, tell_order};
use crate::journal::past::{Past, PastOrder, Story};
use crate::message::execution::Outcome;
use crate::message::intent::{Action, OrderId, TimeInForce};
use crate::message::invariant::{Breach, Invariant};
use crate::message::past::{PastKnown, PastNews};
use crate::message::terms::Terms;
use crate::order::risk::KillCause;

/// Orders that one strategy is given back: each is an event in its ring before the session is open. Those beyond it stand,
/// count, and are nobody's.
const GIVEN_BACK_MAX: usize = 1024;

impl Ledger<'_> {
    /// Holds a message of the exchange's past against the journals of earlier runs. One that differs means that somebody
    /// is wrong about orders and positions: trading stops.
    #[cold]
    pub(super) fn on_past(
        &mut self,
        seq: u64,
        message: &[u8],
        tell: &mut impl FnMut(AnswerEvent),
    ) -> Story {
        if self.session.past.is_empty() {
            return Story::New;
        }
        let story = self.session.past.hold_against(seq, message);
        let counters = &self.session.counters;
        match story {
            Story::Known => {}
            Story::New => counters.past_news.increment(),
            Story::Differs => {
                counters.past_differences.increment();
                self.account.risk.kill().engage(KillCause::PastDiffers);
                if counters.past_differences.get() <= TOLD_ONE_BY_ONE_MAX {
                    tell(AnswerEvent::Past(PastNews::Differs(seq)));
                }
            }
        }
        story
    }

    /// Whether orders may go out: nothing stands that has to be cancelled before. `is_first`: nothing has gone out in this
    /// life, so what stands is an earlier one's.
    pub(super) fn is_settled(&self, is_first: bool) -> bool {
        let must_go = is_first && self.session.found == FoundOrders::Cancel;
        !must_go || self.session.orders.is_empty()
    }

    /// Everything that the exchange said before this has been heard: what it never accepted was never
    /// there, and what it has not answered of replaces and cancels went with the connection.
    pub(super) fn on_past_known(
        &mut self,
        now_ns: u64,
        next: UserRefNum,
        tell: &mut impl FnMut(AnswerEvent),
    ) {
        self.session.orders.advance(next);
        self.look_back(now_ns, tell);
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

    /// What earlier runs left, held against what the exchange has said.
    fn look_back(&mut self, now_ns: u64, tell: &mut impl FnMut(AnswerEvent)) {
        let past = std::mem::take(&mut self.session.past);
        self.session.orders.advance(past.next_number());
        if past.is_empty() {
            return;
        }
        let open = self.session.orders.len();
        let given_back = match self.session.found {
            FoundOrders::Adopt => self.give_back(now_ns, &past, tell),
            FoundOrders::Keep | FoundOrders::Cancel => 0,
        };
        let mut never_arrived = 0;
        for PastOrder { user_ref, id, .. } in past.unanswered() {
            never_arrived += 1;
            self.session.counters.never_received.increment();
            if u64::from(never_arrived) <= TOLD_ONE_BY_ONE_MAX {
                tell(AnswerEvent::Past(PastNews::NeverArrived(*user_ref, *id)));
            }
        }
        let counters = &self.session.counters;
        tell(AnswerEvent::Past(PastNews::Known(PastKnown {
            open,
            given_back,
            never_arrived,
            news: counters.past_news.get(),
            differences: counters.past_differences.get(),
        })));
    }

    /// Live orders of earlier runs are their strategies' again; how many.
    fn give_back(&mut self, now_ns: u64, past: &Past, tell: &mut impl FnMut(AnswerEvent)) -> u32 {
        let mut given = [0; DESKS_MAX];
        let mut given_back = 0;
        let mut at = self.session.orders.first();
        while let Some(number) = at {
            at = self.session.orders.after(number);
            let found = self.session.orders.get(number).copied();
            let (Some(order), Some(sent)) = (found, past.order(number)) else {
                continue;
            };
            let Some(owner) = sent.owner else { continue };
            let id = sent.id;
            let desk = usize::from(owner.0);
            let (Some(of_desk), Some(given)) = (self.session.desks.get(desk), given.get_mut(desk))
            else {
                continue;
            };
            let feed = of_desk.feed;
            // A run without a journal may have used the number for another one.
            let symbol = self.account.instruments.symbol(order.instrument);
            let is_that = (symbol, order.side) == (sent.symbol, sent.side);
            if order.owner.is_some()
                || !is_that
                || *given == GIVEN_BACK_MAX
                || self.session.orders.give(number, owner, id).is_err()
            {
                continue;
            }
            if !self.account.risk.on_given(owner, order.instrument) {
                self.broken(Breach {
                    invariant: Invariant::OrdersCounted,
                    user_ref: number,
                    found: 1,
                    expected: 0,
                });
            }
            *given += 1;
            given_back += 1;
            self.session.counters.given_back.increment();
            // Codes are of the feed's day, and that may not have been heard yet.
            let names = self.account.best_prices.get(usize::from(feed));
            let locate = names.and_then(|names| names.locate_of(symbol)).unwrap_or(0);
            let Some(order) = self.session.orders.get_mut(number) else {
                continue;
            };
            (order.feed, order.locate) = (feed, locate);
            let news = News {
                outcome: Outcome::Found,
                qty: order.open,
                answers: None,
            };
            tell_order(now_ns, order, news, tell);
        }
        given_back
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
    pub(super) fn adopt(&mut self, user_ref: UserRefNum, m: &Stranger) {
        self.session.past.on_answered(user_ref);
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
        let mut placed = self.session.orders.insert(&order);
        if placed == Err(Unplaced::Full) {
            placed = self
                .session
                .orders
                .grow()
                .and_then(|()| self.session.orders.insert(&order));
        }
        if placed.is_err() {
            self.session.counters.unknown_order.increment();
            return self.broken(no_room);
        }
        self.session.counters.adopted.increment();
        self.session
            .orders
            .advance(UserRefNum(user_ref.0.saturating_add(1)));
        (self.account.risk).know(instrument, &self.account.instruments);
        self.opened(&order);
        if m.state == STATE_DEAD {
            self.session.counters.canceled.increment();
            self.close(user_ref);
        }
    }
}

/// An order at the exchange that is not known here.
#[derive(Debug)]
pub(super) struct Stranger {
    side: u8,
    symbol: Symbol,
    price: Price4,
    qty: Qty,
    state: u8,
    display: u8,
    time_in_force: u8,
}

impl Stranger {
    pub(super) fn accepted(m: &OrderAccepted) -> Self {
        Self {
            side: m.side,
            symbol: m.symbol,
            price: limit(m.side, m.price),
            qty: m.qty.get(),
            state: m.state,
            display: m.display,
            time_in_force: m.time_in_force,
        }
    }

    pub(super) fn replaced(m: &OrderReplaced) -> Self {
        Self {
            side: m.side,
            symbol: m.symbol,
            price: limit(m.side, m.price),
            qty: m.qty.get(),
            state: m.state,
            display: m.display,
            time_in_force: m.time_in_force,
        }
    }
}

/// A price's limit. What has none may trade at any price that somebody asks for or bids, so it is taken for the limit that
/// meets all of them: who looks whether it would be met must not look past it.
fn limit(side: u8, price: WidePriceBe) -> Price4 {
    match price.get() {
        Some(price) if price != Price4(0) && price < PRICE_MARKET => price,
        _ if side == Side::Buy as u8 => PRICE_MARKET,
        _ => Price4(1),
    }
}

fn adopted(user_ref: UserRefNum, m: &Stranger, side: Side, instrument: Instrument) -> Order {
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
        price: m.price,
        open: m.qty,
        reserved: m.qty,
        executed: Qty(0),
        replacing: None,
        replace_total: Qty(0),
        replace_price: Price4(0),
        is_marked_long: m.side == Side::Sell as u8,
        known_limits: [m.price, Price4(0)],
        cancels_refused: 0,
        links: Links::default(),
    }
}
