//! The matching engine: price-time priority over every stock, without I/O or clock.
//!
//! ```text
//!  enter, cancel, replace ──> Matcher (one stock) ──> events, in the order of time
//!                              │
//!                 ladders: price -> shown queue, hidden queue      pegs      orders for a cross
//! ```
//!
//! **An operation's events come through `sink` before it returns.**
//!
//! Invariants:  events tell every change of what the feed shows and of what an owner has open. A number
//!              is used once. Memory is taken in `new` and `list`, and for a moment in `end_of`.
//! Time:        ns since midnight, handed in where an operation can begin a pause or end something; orders that
//!              expire do so in [`Engine::expire`].
//! When full:   an order that finds no room is refused ([`Refusal::Full`]); nothing grows.

mod cross;
mod entry;
mod event;
mod house;
mod ladder;
mod levels;
mod matcher;
mod numbers;
mod order;
mod request;
mod resting;
mod stock;
mod types;
mod view;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use protocol::types::Symbol;
use rt::mem::Reserve;

pub use event::{Canceled, Event, Imbalance, OnFeed, Party, Rested, Trade};
pub use house::HOUSE;
pub use request::{
    Change, LimitOrder, Limits, NewOrder, PostOnly, Reach, Refusal, Terms, cancel_reason,
};
pub use stock::{Listing, StockStatus, tick_of};
pub use types::{CrossKind, Handle, Owner, Prevention, State, TimeInForce};
pub use view::Totals;

use cross::Interest;
use ladder::{BUY_ANY, SELL_ANY};
use matcher::{EntryOptions, Matcher, StopReason};
use numbers::Numbers;
use order::Slab;
use stock::Stock;

/// All stocks.
#[derive(Debug)]
pub struct Engine {
    orders: Slab,
    stocks: Reserve<Stock>,
    locates: HashMap<Symbol, u16>,
    numbers: Numbers,
    /// Orders that expire, earliest first; entries of orders that are gone are passed over.
    expiring: BinaryHeap<Reverse<(u64, Handle)>>,
    /// Stocks that resume, earliest first.
    resuming: BinaryHeap<Reverse<(u64, u16)>>,
    scratch: Vec<Interest>,
    limits: Limits,
}

impl Engine {
    /// Takes all memory but that of listings.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let orders_max = limits.orders_max as usize;
        Self {
            orders: Slab::new(limits.orders_max),
            stocks: Reserve::new(usize::from(limits.stocks_max)),
            locates: HashMap::new(),
            numbers: Numbers::new(limits.trades_max),
            expiring: BinaryHeap::with_capacity(orders_max),
            resuming: BinaryHeap::with_capacity(usize::from(limits.stocks_max)),
            scratch: Vec::with_capacity(limits.levels_max * 4 + 1),
            limits,
        }
    }

    /// Lists a stock and gives its locate code; 1 is the first. `None`: there is no room for more.
    pub fn list(&mut self, listing: &Listing) -> Option<u16> {
        let locate = u16::try_from(self.stocks.len() + 1).ok()?;
        let stock = Stock::new(locate, listing, self.limits.levels_max);
        self.stocks.push(stock).ok()?;
        self.locates.insert(listing.symbol, locate);
        Some(locate)
    }

    /// Numbers begin behind these: a restarted exchange never gives one twice.
    pub fn begin_after(&mut self, order: u64, matched: u64) {
        self.numbers.begin_after(order, matched);
    }

    /// Takes an order in, matches it, lets it rest.
    ///
    /// # Errors
    /// Why it was not; no event has been told then.
    pub fn enter(
        &mut self,
        new: &NewOrder,
        now_ns: u64,
        sink: &mut impl FnMut(Event),
    ) -> Result<Handle, Refusal> {
        let mut matcher = self.matcher(new.locate).ok_or(Refusal::UnknownStock)?;
        let mut order = matcher.order_of(new);
        let price = match new.ends {
            Some(reason) => Err(reason),
            None => matcher.post_only_price(&order, new.terms.post_only),
        };
        if let Ok(price) = price {
            order.price = price;
        }
        matcher.is_open_for(&order)?;
        matcher.room_for(&order)?;
        if new.is_short && matcher.stock.is_short_restricted {
            matcher.short_sale(new, order.price)?;
        }
        let before = matcher.best_if_pegs();
        let slot = matcher.take_in(order, new, sink);
        let handle = matcher.orders.handle(slot);
        let mut stop = StopReason::Nobody;
        match price {
            Err(reason) => matcher.drop_rest(slot, reason, sink),
            Ok(_) => {
                let options = EntryOptions {
                    house: new.terms.house,
                    old_reference: None,
                };
                stop = matcher.work(slot, options, sink);
            }
        }
        matcher.settle(before, sink);
        if stop == StopReason::Band {
            self.pause(new.locate, now_ns, sink);
        }
        self.remember(handle, new.terms.life);
        Ok(handle)
    }

    /// Lets an order rest whatever it would have met, whether the stock trades or not: an order of a record.
    ///
    /// # Errors
    /// There is no room for it, or no such stock.
    pub fn rest(
        &mut self,
        new: &NewOrder,
        sink: &mut impl FnMut(Event),
    ) -> Result<Handle, Refusal> {
        let mut matcher = self.matcher(new.locate).ok_or(Refusal::UnknownStock)?;
        let order = matcher.order_of(new);
        matcher.room_for(&order)?;
        let before = matcher.best_if_pegs();
        let slot = matcher.take_in(order, new, sink);
        let handle = matcher.orders.handle(slot);
        matcher.rest(slot, None, sink);
        matcher.settle(before, sink);
        self.remember(handle, new.terms.life);
        Ok(handle)
    }

    /// Takes an order down to `keep` open shares. `false`: there is no such order.
    pub fn cancel(
        &mut self,
        handle: Handle,
        keep: u32,
        reason: u8,
        sink: &mut impl FnMut(Event),
    ) -> bool {
        let Some((slot, mut matcher)) = self.find(handle) else {
            return false;
        };
        let before = matcher.best_if_pegs();
        let order = *matcher.orders.at(slot);
        if keep == 0 {
            let shown = matcher.end(slot);
            sink(Event::Canceled(order.canceled(order.open, reason, shown)));
        } else {
            let (off, shown) = matcher.reduce(slot, keep);
            if off > 0 {
                sink(Event::Canceled(order.canceled(off, reason, shown)));
                matcher.tidy(slot, sink);
            }
        }
        matcher.settle(before, sink);
        true
    }

    /// The house takes shares of a resting order, at its price. `false`: there is no such order.
    pub fn fill_by_house(
        &mut self,
        handle: Handle,
        qty: u32,
        sink: &mut impl FnMut(Event),
    ) -> bool {
        let Some((slot, mut matcher)) = self.find(handle) else {
            return false;
        };
        let before = matcher.best_if_pegs();
        matcher.sell_to_house(slot, qty, sink);
        matcher.settle(before, sink);
        true
    }

    /// Puts other details in an order's place. It keeps its place in the queue where price, display and
    /// life stay and it does not grow; otherwise it is a new order of its own. `Ok(None)`: there is no
    /// such order.
    ///
    /// # Errors
    /// Why it was not; the old order stands as it did.
    pub fn replace(
        &mut self,
        handle: Handle,
        change: &Change,
        now_ns: u64,
        sink: &mut impl FnMut(Event),
    ) -> Result<Option<Handle>, Refusal> {
        let Some((slot, mut matcher)) = self.find(handle) else {
            return Ok(None);
        };
        let before = matcher.best_if_pegs();
        let old = *matcher.orders.at(slot);
        let mut order = matcher.changed(&old, change);
        if matcher.keeps_its_place(slot, &order, change) {
            matcher.replace_in_place(slot, change, sink);
            matcher.settle(before, sink);
            return Ok(Some(handle));
        }
        let price = matcher.post_only_price(&order, change.terms.post_only);
        order.price = price.unwrap_or(order.price);
        matcher.is_open_for(&order)?;
        matcher.room_for(&order)?;
        let attribution = matcher.orders.attribution(slot);
        let old_reference = matcher.pick_up(slot);
        matcher.orders.remove(slot);
        let slot = matcher.orders.insert(order, change.terms.life, attribution);
        matcher.numbers.order = order.number;
        let new_handle = matcher.orders.handle(slot);
        sink(Event::Replaced {
            handle: new_handle,
            number: order.number,
            owner: order.owner(),
            old_user_ref: old.user_ref,
            locate: order.locate,
            open: order.open,
            price: order.price,
            shown: None,
        });
        let locate = order.locate;
        let mut stop = StopReason::Nobody;
        match price {
            Err(reason) => {
                if let Some(reference) = old_reference {
                    sink(Event::Withdrawn { locate, reference });
                }
                matcher.drop_rest(slot, reason, sink);
            }
            Ok(_) => {
                let options = EntryOptions {
                    house: change.terms.house,
                    old_reference,
                };
                stop = matcher.work(slot, options, sink);
            }
        }
        matcher.settle(before, sink);
        if stop == StopReason::Band {
            self.pause(locate, now_ns, sink);
        }
        self.remember(new_handle, change.terms.life);
        Ok(Some(new_handle))
    }

    /// Changes a stock's trading state; the reason is ITCH's.
    pub fn set_state(
        &mut self,
        locate: u16,
        state: State,
        reason: [u8; 4],
        sink: &mut impl FnMut(Event),
    ) {
        if let Some(matcher) = self.matcher(locate)
            && matcher.stock.state != state
        {
            matcher.stock.state = state;
            matcher.stock.resumes_ns = 0;
            sink(Event::State {
                locate,
                symbol: matcher.stock.symbol,
                state,
                reason,
            });
        }
    }

    /// Forbids short sales at or below the best bid, or allows them again.
    pub fn restrict_short_sales(&mut self, locate: u16, is_restricted: bool) {
        if let Some(matcher) = self.matcher(locate) {
            matcher.stock.is_short_restricted = is_restricted;
        }
    }

    /// Holds a cross; the stock trades afterwards.
    pub fn cross(&mut self, locate: u16, kind: CrossKind, sink: &mut impl FnMut(Event)) {
        let mut scratch = std::mem::take(&mut self.scratch);
        if let Some(mut matcher) = self.matcher(locate) {
            matcher.cross(kind, &mut scratch, sink);
            if matcher.stock.has_pegs() {
                matcher.repeg(sink);
            }
        }
        self.scratch = scratch;
    }

    /// Tells what a cross would do now.
    pub fn tell_imbalance(&mut self, locate: u16, kind: CrossKind, sink: &mut impl FnMut(Event)) {
        let mut scratch = std::mem::take(&mut self.scratch);
        if let Some(matcher) = self.matcher(locate) {
            let imbalance = matcher.imbalance(kind, &mut scratch);
            sink(Event::Imbalance {
                locate,
                kind,
                imbalance,
            });
        }
        self.scratch = scratch;
    }

    /// Undoes a trade. `false`: it is unknown, too old, or undone already.
    pub fn break_trade(
        &mut self,
        match_number: u64,
        reason: u8,
        sink: &mut impl FnMut(Event),
    ) -> bool {
        let Some(broken) = self.numbers.take_match(match_number) else {
            return false;
        };
        let symbol = self.stock(broken.locate).map(|stock| stock.symbol);
        sink(Event::Broken {
            locate: broken.locate,
            symbol: symbol.unwrap_or(Symbol::BLANK),
            match_number,
            qty: broken.qty,
            price: broken.price,
            owners: broken.owners,
            side: broken.side,
            reason,
        });
        true
    }

    /// When something will happen by itself: an order expires, a pause ends.
    #[must_use]
    pub fn next_timeout_ns(&self) -> Option<u64> {
        let expiry = self.expiring.peek().map(|Reverse((at, _))| *at);
        let resume = self.resuming.peek().map(|Reverse((at, _))| *at);
        expiry.into_iter().chain(resume).min()
    }

    /// Lets what is due until now happen.
    pub fn expire(&mut self, now_ns: u64, sink: &mut impl FnMut(Event)) {
        while let Some(Reverse((at, handle))) = self.expiring.peek().copied()
            && at <= now_ns
        {
            self.expiring.pop();
            self.cancel(handle, 0, cancel_reason::TIMEOUT, sink);
        }
        while let Some(Reverse((at, locate))) = self.resuming.peek().copied()
            && at <= now_ns
        {
            self.resuming.pop();
            // A pause that ended otherwise says nothing about the next.
            let is_due = self
                .matcher(locate)
                .is_some_and(|matcher| matcher.stock.resumes_ns == at);
            if is_due {
                self.cross(locate, CrossKind::Halt, sink);
            }
        }
    }

    /// Cancels what may not rest longer than `hours`: market hours, or system hours; in the order of the
    /// orders' numbers, which is that of entry. Pegs that stay follow the midpoint when all is over: prices
    /// on the way are nobody's. The one operation that allocates: it ends hours, nobody waits for it.
    pub fn end_of(&mut self, hours: TimeInForce, sink: &mut impl FnMut(Event)) {
        let slots = self.orders.slots_from(0);
        let over =
            slots.filter(|slot| hours == TimeInForce::System || self.orders.life(*slot) <= hours);
        let mut over: Vec<Handle> = over.map(|slot| self.orders.handle(slot)).collect();
        over.sort_unstable();
        for handle in over {
            let found = self.find(handle);
            debug_assert!(found.is_some(), "one order's end ends no other");
            if let Some((slot, mut matcher)) = found {
                let order = *matcher.orders.at(slot);
                let shown = matcher.end(slot);
                let canceled = order.canceled(order.open, cancel_reason::CLOSED, shown);
                sink(Event::Canceled(canceled));
            }
        }
        for locate in 1..=self.listed() {
            if let Some(mut matcher) = self.matcher(locate)
                && matcher.stock.state == State::Trading
                && matcher.stock.has_pegs()
            {
                matcher.repeg(sink);
            }
        }
    }

    fn stock(&self, locate: u16) -> Option<&Stock> {
        self.stocks.get(usize::from(locate).checked_sub(1)?)
    }

    #[inline]
    fn matcher(&mut self, locate: u16) -> Option<Matcher<'_>> {
        let stock = self.stocks.get_mut(usize::from(locate).checked_sub(1)?)?;
        Some(Matcher {
            orders: &mut self.orders,
            stock,
            numbers: &mut self.numbers,
        })
    }

    #[inline]
    fn find(&mut self, handle: Handle) -> Option<(u32, Matcher<'_>)> {
        let slot = self.orders.find(handle)?;
        let locate = self.orders.at(slot).locate;
        self.matcher(locate).map(|matcher| (slot, matcher))
    }

    /// A stock that left its bands pauses.
    #[inline(never)]
    fn pause(&mut self, locate: u16, now_ns: u64, sink: &mut impl FnMut(Event)) {
        let resume_ns = now_ns + self.limits.pause_ns;
        self.set_state(locate, State::Paused, *b"LUDP", sink);
        if let Some(matcher) = self.matcher(locate) {
            matcher.stock.resumes_ns = resume_ns;
        }
        self.resuming.push(Reverse((resume_ns, locate)));
        if let Some((lower, reference, upper)) = self.bands(locate) {
            sink(Event::Collar {
                locate,
                reference,
                lower,
                upper,
            });
        }
    }

    /// Notes when a resting order expires.
    #[inline]
    fn remember(&mut self, handle: Handle, life: TimeInForce) {
        if let TimeInForce::Until(at) = life {
            self.remember_until(at, handle);
        }
    }

    #[inline(never)]
    fn remember_until(&mut self, at: u64, handle: Handle) {
        if self.orders.find(handle).is_none() {
            return;
        }
        if self.expiring.len() == self.expiring.capacity() {
            let Self {
                expiring, orders, ..
            } = self;
            expiring.retain(|Reverse((_, handle))| orders.find(*handle).is_some());
        }
        self.expiring.push(Reverse((at, handle)));
    }
}
