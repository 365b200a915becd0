//! What may go out: intents against risk, and what they change in orders and account.
//!
//! Thread:      order core, hot
//! Invariants:  no order leaves without `Risk::check`; a reference number is used once; what risk
//!              counts as open is the sum of what live orders reserve; each intent is answered once.
//! Time:        comes in as `now_ns`, the time at which what is written goes out.
//! When wrong:  an invariant that does not hold turns the kill switch on and is kept as a `Breach` until
//!              it is told; books are kept as near to the exchange's as they can be.
//! Spec:        OUCH 5.0 revision 1.04.

use protocol::ouch::{
    AppendageBuffer, ClientOrderId, EnterOrder, PRICE_MARKET, PRICE_MAX, QTY_MAX, ReplaceOrder,
};
use protocol::soup::{self, kind::UNSEQUENCED};
use protocol::types::{Price4, Qty, Side, UserRefNum};

use super::account::{Account, market_of};
use super::desk::Ended;
use super::doubt::Sort;
use super::index::Unplaced;
use super::live::{Links, Order};
use super::progress::Sent;
use super::risk::{KillCause, Lot, Market, Proposal, Risk};
use super::session_orders::{MESSAGE_LEN_MAX, SessionOrders};
use crate::message::intent::{Action, Asked, Cause, OrderIntent, Owner, TimeInForce};
use crate::message::invariant::{Breach, Invariant};
use crate::message::terms::Terms;
use crate::order::risk::Refusal;

/// A session's orders and the account that they are for: for as long as one call takes.
#[derive(Debug)]
pub(super) struct Ledger<'a> {
    pub(super) session: &'a mut SessionOrders,
    pub(super) account: &'a mut Account,
}

impl Ledger<'_> {
    /// An invariant does not hold: trading stops here and now.
    #[cold]
    pub(super) fn broken(&mut self, breach: Breach) {
        self.session.counters.invariants_broken.increment();
        self.account.risk.kill().engage(KillCause::BrokenInvariant);
        self.session.breach.get_or_insert(breach);
    }

    /// Checks an intent and writes its message into `out`.
    ///
    /// # Errors
    /// Why it was refused; nothing has been written then.
    #[inline]
    pub(super) fn on_intent(&mut self, asked: &Asked<'_>, out: &mut [u8]) -> Result<Sent, Refusal> {
        let Asked {
            owner,
            intent,
            now_ns,
        } = *asked;
        if out.len() < MESSAGE_LEN_MAX {
            return Err(Refusal::Backlog);
        }
        if matches!(intent.action, Action::Enter | Action::Replace)
            && self.account.risk.is_too_old(intent.decided_ns, now_ns)
        {
            return Err(Refusal::TooOld);
        }
        match intent.action {
            Action::Enter => self
                .enter(asked, out)
                .inspect_err(|_| self.account.risk.take_back()),
            Action::Replace => self
                .replace(asked, out)
                .inspect_err(|_| self.account.risk.take_back()),
            Action::Reduce => self.reduce(asked, out),
            Action::Cancel => {
                let order = self.session.orders.of_id(owner, intent.id);
                let order = order.ok_or(Refusal::NotLive)?;
                let user_ref = order.user_ref;
                if !order.is_canceling() {
                    self.account.risk.check_cancel(now_ns)?;
                }
                let len = self.session.cancel(user_ref, true, now_ns, out);
                let len = len.ok_or(Refusal::ChangePending)?;
                Ok(Sent {
                    len,
                    user_ref,
                    is_new: false,
                })
            }
        }
    }

    fn enter(&mut self, asked: &Asked<'_>, out: &mut [u8]) -> Result<Sent, Refusal> {
        let Asked {
            owner,
            intent,
            now_ns,
        } = *asked;
        let desk = self.session.desks.get(usize::from(owner.0));
        let desk = desk.ok_or(Refusal::NotLive)?;
        if desk.is_paused {
            return Err(Refusal::Paused);
        }
        let (feed, locate) = (desk.feed, intent.locate);
        let names = self.account.best_prices.get(usize::from(feed));
        let names = names.ok_or(Refusal::UnknownSymbol)?;
        let instrument = self
            .account
            .instruments
            .of_locate(feed, locate, names)
            .ok_or(Refusal::UnknownSymbol)?;
        if !desk.may_trade(instrument) {
            return Err(Refusal::NotItsSymbol);
        }
        (self.account.risk).know(instrument, &self.account.instruments);
        let market = market_of(names, locate);
        let price = limit_of(&self.account.risk, intent, &market)?;
        let proposal = Proposal {
            owner,
            instrument,
            side: intent.side,
            price,
            qty: intent.qty,
            counted_qty: Qty(0),
            is_new: true,
            is_marked_long: false,
            market,
            is_stale: names.is_stale(locate) && !desk.trade_on_stale,
            is_halted: names.statuses().is_stopped(locate),
        };
        self.account.risk.check(&proposal, now_ns)?;
        let user_ref = self
            .session
            .orders
            .next_number()
            .ok_or(Refusal::OpenOrders)?;
        let mut order = new_order(asked, user_ref, &proposal, feed);
        let side_code = self
            .account
            .risk
            .side_code(instrument, intent.side, intent.qty);
        order.is_marked_long = side_code == Side::Sell as u8;
        let message = self.enter_message(&order, side_code, intent);
        let len = framed(&message, intent.terms, out).ok_or(Refusal::Backlog)?;
        // Room is larger than risk's limit, and no live order has a number that is still to come.
        self.session
            .orders
            .insert(&order)
            .map_err(|why| match why {
                Unplaced::IdIsLive => Refusal::IdInUse,
                Unplaced::NumberIsLive | Unplaced::Full => Refusal::OpenOrders,
            })?;
        self.session.orders.advance(UserRefNum(user_ref.0 + 1));
        self.session.doubt.note(Sort::Enter, user_ref, now_ns);
        self.opened(&order);
        self.session.counters.orders.increment();
        self.session.note_last(owner, &order);
        Ok(Sent {
            len,
            user_ref,
            is_new: true,
        })
    }

    #[inline]
    fn enter_message(&self, order: &Order, side_code: u8, intent: &OrderIntent) -> EnterOrder {
        EnterOrder {
            kind: EnterOrder::KIND,
            user_ref: order.user_ref.into(),
            side: side_code,
            qty: order.open.into(),
            symbol: self.account.instruments.symbol(order.instrument),
            price: order.price.into(),
            time_in_force: intent.time_in_force as u8,
            display: intent.terms.display_code(),
            capacity: b'P',
            iso: b'N',
            cross: b'N',
            client_order_id: client_order_id(order, intent),
        }
    }

    fn replace(&mut self, asked: &Asked<'_>, out: &mut [u8]) -> Result<Sent, Refusal> {
        let Asked {
            owner,
            intent,
            now_ns,
        } = *asked;
        let order = self.session.orders.of_id(owner, intent.id);
        let order = *order.ok_or(Refusal::NotLive)?;
        if order.is_changing() || !order.is_accepted {
            return Err(Refusal::ChangePending);
        }
        // OUCH counts a replace's shares over the whole chain, with what has been executed.
        let total = Qty(order.executed.0.saturating_add(intent.qty.0));
        if total > QTY_MAX {
            return Err(Refusal::OrderQty);
        }
        if intent.price > PRICE_MAX {
            return Err(Refusal::PriceCollar);
        }
        if order.terms != Terms::PLAIN && !order.terms.fit(total, order.time_in_force) {
            return Err(Refusal::Terms);
        }
        let order = self.with_locate(order)?;
        let desk = self.session.desks.get(usize::from(owner.0));
        let desk = desk.ok_or(Refusal::NotLive)?;
        if desk.is_paused {
            return Err(Refusal::Paused);
        }
        let names = (self.account.names_of(&order)).ok_or(Refusal::UnknownSymbol)?;
        let proposal = Proposal {
            owner,
            instrument: order.instrument,
            side: order.side,
            price: intent.price,
            qty: intent.qty,
            counted_qty: order.reserved,
            is_new: false,
            is_marked_long: order.is_marked_long,
            market: market_of(names, order.locate),
            is_stale: names.is_stale(order.locate) && !desk.trade_on_stale,
            is_halted: names.statuses().is_stopped(order.locate),
        };
        self.account.risk.check(&proposal, now_ns)?;
        let (original, replace) = (
            order.user_ref,
            self.session
                .orders
                .next_number()
                .ok_or(Refusal::OpenOrders)?,
        );
        let message = replace_message(&order, intent, replace, total);
        let len = soup::frame(UNSEQUENCED, out, |body| message.encode(&[], body))
            .ok_or(Refusal::Backlog)?;
        self.session
            .orders
            .begin_replace(original, replace)
            .map_err(|_| Refusal::OpenOrders)?;
        self.session.orders.advance(UserRefNum(replace.0 + 1));
        self.session.doubt.note(Sort::Replace, replace, now_ns);
        if let Some(order) = self.session.orders.get_mut(original) {
            order.replace_total = total;
            order.replace_price = intent.price;
            order.origin = intent.origin;
            let held = reserve(&mut self.account.risk, order);
            self.hold(held);
        }
        self.session.counters.replaces.increment();
        Ok(Sent {
            len,
            user_ref: original,
            is_new: false,
        })
    }

    /// An order under a code that names its symbol now: one of an earlier run was found before its feed had said it.
    #[inline]
    fn with_locate(&mut self, order: Order) -> Result<Order, Refusal> {
        if order.locate != 0 {
            return Ok(order);
        }
        self.find_locate(order).ok_or(Refusal::UnknownSymbol)
    }

    #[cold]
    fn find_locate(&mut self, order: Order) -> Option<Order> {
        let symbol = self.account.instruments.symbol(order.instrument);
        let names = self.account.best_prices.get(usize::from(order.feed))?;
        let locate = names.locate_of(symbol)?;
        let live = self.session.orders.get_mut(order.user_ref)?;
        live.locate = locate;
        Some(*live)
    }

    /// One more order is open: risk counts it.
    #[inline]
    pub(super) fn opened(&mut self, order: &Order) {
        let (risk, lot) = (&mut self.account.risk, order.lot());
        risk.on_opened(order.owner, order.instrument);
        risk.on_reserved(&lot);
        risk.on_limit(lot.instrument, lot.side, lot.limit);
    }

    /// Risk counts of an order what may stand open of it at worst.
    pub(super) fn reserve(&mut self, user_ref: UserRefNum) {
        if let Some(order) = self.session.orders.get_mut(user_ref) {
            let held = reserve(&mut self.account.risk, order);
            self.hold(held);
        }
    }

    /// Trading stops where something did not hold.
    #[inline]
    pub(super) fn hold(&mut self, held: Result<(), Breach>) {
        if let Err(breach) = held {
            self.broken(breach);
        }
    }

    /// An order is over: takes it out, with everything that it reserves.
    pub(super) fn close(&mut self, user_ref: UserRefNum) {
        let Some(order) = self.session.orders.remove(user_ref) else {
            return;
        };
        for limit in order.known_limits {
            self.account
                .risk
                .on_limit_gone(order.instrument, order.side, limit);
        }
        let held = free(&mut self.account.risk, &order, order.reserved);
        self.hold(held);
        if !(self.account.risk).on_closed(order.owner, order.instrument) {
            self.broken(Breach {
                invariant: Invariant::OrdersCounted,
                user_ref,
                found: 1,
                expected: 0,
            });
        }
        if let Some(owner) = order.owner {
            let (id, locate, side) = (order.id, order.locate, order.side);
            self.session.note_ended(owner, Ended { id, locate, side });
        }
    }
}

/// An order that goes out now.
#[inline]
fn new_order(asked: &Asked<'_>, user_ref: UserRefNum, proposal: &Proposal, feed: u16) -> Order {
    let intent = asked.intent;
    let (instrument, price) = (proposal.instrument, proposal.price);
    Order {
        user_ref,
        id: intent.id,
        owner: Some(asked.owner),
        origin: intent.origin,
        encoded_ns: asked.now_ns,
        instrument,
        feed,
        locate: intent.locate,
        side: intent.side,
        terms: intent.terms,
        time_in_force: intent.time_in_force,
        is_accepted: false,
        price,
        open: intent.qty,
        reserved: intent.qty,
        executed: Qty(0),
        replacing: None,
        replace_total: Qty(0),
        replace_price: Price4(0),
        is_marked_long: false,
        known_limits: [price, Price4(0)],
        cancels_refused: 0,
        links: Links::default(),
    }
}

/// The limit with which a new order may go out: its own, or a market order's.
///
/// # Errors
/// A price that is none, or terms that no exchange would take.
#[inline]
fn limit_of(risk: &Risk, intent: &OrderIntent, market: &Market) -> Result<Price4, Refusal> {
    let (qty, time_in_force) = (intent.qty, intent.time_in_force);
    if intent.terms != Terms::PLAIN && !intent.terms.fit(qty, time_in_force) {
        return Err(Refusal::Terms);
    }
    if intent.price <= PRICE_MAX {
        return Ok(intent.price);
    }
    if intent.price != PRICE_MARKET {
        return Err(Refusal::PriceCollar);
    }
    if time_in_force != TimeInForce::ImmediateOrCancel {
        return Err(Refusal::Terms);
    }
    risk.reach(intent.side, market)
}

/// Writes a new order, with an appendage where its terms need one; `None`: it does not fit.
#[inline]
fn framed(message: &EnterOrder, terms: Terms, out: &mut [u8]) -> Option<usize> {
    if terms == Terms::PLAIN {
        return soup::frame(UNSEQUENCED, out, |body| message.encode(&[], body));
    }
    let mut appendage = AppendageBuffer::default();
    for element in terms.elements() {
        let has_room = appendage.push(element);
        debug_assert!(has_room, "{terms:?}");
    }
    let appendage = appendage.as_bytes();
    soup::frame(UNSEQUENCED, out, |body| message.encode(appendage, body))
}

/// `total`: shares over the whole chain of replaces, as OUCH counts them.
#[inline]
fn replace_message(
    order: &Order,
    intent: &OrderIntent,
    replace: UserRefNum,
    total: Qty,
) -> ReplaceOrder {
    ReplaceOrder {
        kind: ReplaceOrder::KIND,
        original_user_ref: order.user_ref.into(),
        user_ref: replace.into(),
        qty: total.into(),
        price: intent.price.into(),
        time_in_force: order.time_in_force as u8,
        display: order.terms.display_code(),
        iso: b'N',
        client_order_id: client_order_id(order, intent),
    }
}

/// Risk counts of an order what may stand open of it at worst.
///
/// # Errors
/// Risk counted less than the order had reserved.
#[inline]
pub(super) fn reserve(risk: &mut Risk, order: &mut Order) -> Result<(), Breach> {
    if order.known_limits != order.limits() {
        note_limits(risk, order);
    }
    let worst = order.open_at_worst();
    if worst == order.reserved {
        return Ok(());
    }
    reserve_anew(risk, order, worst)
}

/// Risk counts of an order this many shares, not those that it counted before.
fn reserve_anew(risk: &mut Risk, order: &mut Order, Qty(now): Qty) -> Result<(), Breach> {
    let Qty(before) = std::mem::replace(&mut order.reserved, Qty(now));
    if now > before {
        let [price, asked] = order.limits();
        risk.on_reserved(&Lot {
            instrument: order.instrument,
            side: order.side,
            limit: price.max(asked),
            qty: Qty(now - before),
        });
        return Ok(());
    }
    free(risk, order, Qty(before - now))
}

/// Risk has of an order the limits that it may have at the exchange.
fn note_limits(risk: &mut Risk, order: &mut Order) {
    let (instrument, side) = (order.instrument, order.side);
    let now = order.limits();
    let before = std::mem::replace(&mut order.known_limits, now);
    for (before, now) in before.into_iter().zip(order.known_limits) {
        if before == now {
            continue;
        }
        risk.on_limit(instrument, side, now);
        // Also where it has no more shares than before, they may cost more.
        risk.on_reserved(&Lot {
            instrument,
            side,
            limit: now,
            qty: Qty(0),
        });
        risk.on_limit_gone(instrument, side, before);
    }
}

/// Releases this many shares of an order from risk.
#[inline]
fn free(risk: &mut Risk, order: &Order, less: Qty) -> Result<(), Breach> {
    if less.0 == 0 {
        return Ok(());
    }
    let freed = risk.on_freed(order.instrument, order.side, less);
    freed.map_err(|found| Breach {
        invariant: Invariant::ExposureCovered,
        user_ref: order.user_ref,
        found: u64::from(less.0),
        expected: found,
    })
}

/// Whose order it is, and which message of its feed caused it, if one did.
#[inline]
fn client_order_id(order: &Order, intent: &OrderIntent) -> [u8; 14] {
    let Owner(owner) = order.owner.unwrap_or(Owner(0));
    let mut id = ClientOrderId::new(owner, order.feed, intent.origin.seq);
    if intent.cause != Cause::Market {
        id.seq = None;
    }
    id.encode()
}
