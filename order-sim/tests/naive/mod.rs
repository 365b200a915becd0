//! A matching engine too simple to be wrong: one list of orders, every decision made by looking at all of
//! them. What `tests/matching.rs` compares the real one with.

#![allow(
    clippy::indexing_slicing,
    clippy::too_many_lines,
    clippy::or_fun_call,
    clippy::unwrap_used,
    unreachable_pub,
    missing_docs,
    reason = "tests"
)]

use order_sim::engine::{
    Change, CrossKind, HOUSE, NewOrder, Owner, PostOnly, Prevention, Refusal, State, TimeInForce,
    tick_of,
};
use protocol::types::Side;

/// Where an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    Shown,
    Hidden,
    Peg,
    Cross,
}

#[derive(Clone, Debug)]
pub struct Order {
    pub number: u64,
    pub reference: u64,
    pub rank: u64,
    pub owner: Owner,
    pub side: Side,
    pub price: i64,
    pub open: u32,
    pub shown: u32,
    pub display_qty: u32,
    pub min_qty: u32,
    pub class: Class,
    pub life: TimeInForce,
    pub group: u16,
    pub rule: Prevention,
    pub cross: Option<CrossKind>,
}

/// The best price of each side.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Best {
    bid: Option<i64>,
    ask: Option<i64>,
}

/// One stock and everything that was said of it, a line each.
#[derive(Debug)]
pub struct Naive {
    pub orders: Vec<Order>,
    pub state: State,
    pub reference_price: i64,
    pub band_bps: i64,
    pub said: Vec<String>,
    pub now_ns: u64,
    pub pause_ns: u64,
    pub is_short_restricted: bool,
    resumes_ns: Option<u64>,
    last_price: i64,
    numbers: u64,
    matches: u64,
    ranks: u64,
    band: bool,
}

pub const ANY_BUY: i64 = u32::MAX as i64;

/// How much better than nothing: larger is better for the side.
fn worth(side: Side, price: i64) -> i64 {
    if side == Side::Buy { price } else { -price }
}

impl Naive {
    pub fn new(reference_price: i64, band_bps: i64) -> Self {
        Self {
            orders: Vec::new(),
            state: State::Trading,
            reference_price,
            band_bps,
            said: Vec::new(),
            now_ns: 0,
            pause_ns: 0,
            is_short_restricted: false,
            resumes_ns: None,
            last_price: 0,
            numbers: 0,
            matches: 0,
            ranks: 0,
            band: false,
        }
    }

    fn rank(&mut self) -> u64 {
        self.ranks += 1;
        self.ranks
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    fn best(&self, side: Side) -> Option<i64> {
        let shown = self
            .orders
            .iter()
            .filter(|o| o.class == Class::Shown && o.side == side);
        shown
            .map(|o| o.price)
            .max_by_key(|price| worth(side, *price))
    }

    fn midpoint(&self) -> Option<i64> {
        Some(i64::midpoint(self.best(Side::Buy)?, self.best(Side::Sell)?))
    }

    /// Whom an order would meet: index and price.
    fn maker(&self, taker: &Order) -> Option<(usize, i64)> {
        let side = taker.side.opposite();
        let limit = self.reach(taker)?;
        let mid = self.midpoint();
        let candidates = self.orders.iter().enumerate().filter_map(|(at, o)| {
            let price = match o.class {
                _ if o.side != side || o.class == Class::Cross => return None,
                Class::Peg => mid.filter(|mid| worth(side, *mid) <= worth(side, o.price))?,
                _ => o.price,
            };
            let is_within = worth(side, price) >= worth(side, limit);
            let is_met = o.class == Class::Shown || taker.open >= o.min_qty.min(o.open);
            (is_within && is_met).then_some((at, price))
        });
        candidates.min_by_key(|(at, price)| {
            let o = &self.orders[*at];
            (-worth(side, *price), o.class, o.rank)
        })
    }

    fn reach(&self, taker: &Order) -> Option<i64> {
        if taker.class != Class::Peg {
            return Some(taker.price);
        }
        let mid = self.midpoint()?;
        (worth(taker.side, mid) <= worth(taker.side, taker.price)).then_some(mid)
    }

    fn reachable(&self, taker: &Order) -> u64 {
        // Everything that it would meet, one after the other.
        let mut left = Self {
            orders: self.orders.clone(),
            said: Vec::new(),
            ..*self
        };
        let (bid, ask) = (self.best(Side::Buy), self.best(Side::Sell));
        let mid = bid.zip(ask).map(|(bid, ask)| i64::midpoint(bid, ask));
        let Some(limit) = self.reach(taker) else {
            return 0;
        };
        let side = taker.side.opposite();
        left.orders.retain(|o| {
            let price = match o.class {
                Class::Cross => return false,
                Class::Peg => match mid {
                    Some(mid) if worth(side, mid) <= worth(side, o.price) => mid,
                    _ => return false,
                },
                _ => o.price,
            };
            o.side == side
                && worth(side, price) >= worth(side, limit)
                && (o.class == Class::Shown || taker.open >= o.min_qty.min(o.open))
        });
        left.orders.iter().map(|o| u64::from(o.open)).sum()
    }

    fn bands(&self) -> (i64, i64) {
        if self.band_bps == 0 {
            return (0, i64::MAX);
        }
        let width = self.reference_price * self.band_bps / 10_000;
        (self.reference_price - width, self.reference_price + width)
    }

    fn lessen(&mut self, at: usize, qty: u32) -> String {
        let o = &mut self.orders[at];
        o.open -= qty;
        if o.class != Class::Shown {
            return "-".to_owned();
        }
        let off = qty.min(o.shown);
        o.shown -= off;
        format!("{}-{}={}", o.reference, off, o.shown)
    }

    /// Refreshes reserves and forgets what is gone.
    fn tidy(&mut self, number: u64) {
        let Some(at) = self.orders.iter().position(|o| o.number == number) else {
            return;
        };
        if self.orders[at].open == 0 {
            self.orders.remove(at);
        } else if self.orders[at].class == Class::Shown && self.orders[at].shown == 0 {
            let (reference, rank) = (self.number(), self.rank());
            let o = &mut self.orders[at];
            (o.reference, o.rank, o.shown) = (reference, rank, o.display_qty.min(o.open));
            let line = format!(
                "refresh {:?} {} {} {}",
                o.owner, o.reference, o.shown, o.price
            );
            self.said.push(line);
        }
    }

    fn take(&mut self, taker: &mut Order) {
        if taker.min_qty > 0 && self.reachable(taker) < u64::from(taker.min_qty) {
            return;
        }
        while taker.open > 0 {
            let Some((at, price)) = self.maker(taker) else {
                return;
            };
            let (lower, upper) = self.bands();
            if price < lower || price > upper {
                self.band = true;
                return;
            }
            let maker = self.orders[at].clone();
            let available = if maker.class == Class::Shown {
                maker.shown
            } else {
                maker.open
            };
            let qty = taker.open.min(available);
            if maker.group != 0 && maker.group == taker.group {
                self.prevent(at, taker, qty, price);
                continue;
            }
            let shown = self.lessen(at, qty);
            taker.open -= qty;
            self.matches += 1;
            self.last_price = price;
            self.said.push(format!(
                "trade {} {qty}@{price} {:?}:{} {:?}:{} {shown} -",
                self.matches,
                maker.owner,
                maker.open - qty,
                taker.owner,
                taker.open
            ));
            self.tidy(maker.number);
        }
    }

    fn prevent(&mut self, at: usize, taker: &mut Order, qty: u32, price: i64) {
        let maker = self.orders[at].clone();
        if taker.rule != Prevention::CancelNewest {
            let off = if taker.rule == Prevention::Decrement {
                qty
            } else {
                maker.open
            };
            let shown = if off == maker.open && maker.class == Class::Shown {
                self.orders[at].open = 0;
                format!("{}-{}=0", maker.reference, maker.shown)
            } else {
                self.lessen(at, off)
            };
            let left = self.orders[at].open;
            self.said.push(format!(
                "prevent {:?} {off} {left} {qty}@{price} {shown}",
                maker.owner
            ));
            self.tidy(maker.number);
        }
        if taker.rule != Prevention::CancelOldest {
            let off = if taker.rule == Prevention::Decrement {
                qty
            } else {
                taker.open
            };
            taker.open -= off;
            self.said.push(format!(
                "prevent {:?} {off} {} {qty}@{price} -",
                taker.owner, taker.open
            ));
        }
    }

    fn post_only(&self, order: &Order, rule: PostOnly) -> Result<i64, u8> {
        let is_taker = matches!(order.class, Class::Shown | Class::Hidden);
        if rule == PostOnly::No || self.state != State::Trading || !is_taker {
            return Ok(order.price);
        }
        let Some((at, price)) = self.maker(order) else {
            return Ok(order.price);
        };
        let reason = if self.orders[at].class == Class::Shown {
            b'G'
        } else {
            b'F'
        };
        if rule == PostOnly::Cancel {
            return Err(reason);
        }
        let tick = i64::from(tick_of(u32::try_from(price).unwrap()));
        let slid = match order.side {
            Side::Buy => (price - 1).div_euclid(tick) * tick,
            Side::Sell => (price / tick + 1) * tick,
        };
        if slid == 0 { Err(reason) } else { Ok(slid) }
    }

    fn work(&mut self, mut order: Order, old: Option<u64>) {
        let is_trading = self.state == State::Trading && order.cross.is_none();
        let mut old = old;
        if is_trading {
            if let Some(reference) = old
                && (order.class != Class::Shown || self.maker(&order).is_some())
            {
                self.said.push(format!("withdraw {reference}"));
                old = None;
            }
            self.take(&mut order);
        }
        if order.open == 0 {
            return;
        }
        if order.life == TimeInForce::Immediate {
            let reason = if self.band { 'K' } else { 'I' };
            self.said.push(format!(
                "cancel {:?} {} 0 {reason} -",
                order.owner, order.open
            ));
            return;
        }
        order.rank = self.rank();
        if order.class == Class::Shown {
            order.shown = if order.display_qty > 0 {
                order.display_qty.min(order.open)
            } else {
                order.open
            };
            let verb = old.map_or("rest".to_owned(), |old| format!("rest-as {old}"));
            self.said.push(format!(
                "{verb} {} {} {}",
                order.reference, order.shown, order.price
            ));
        } else if let Some(reference) = old {
            self.said.push(format!("withdraw {reference}"));
        }
        self.orders.push(order);
    }

    fn bests(&self) -> Best {
        Best {
            bid: self.best(Side::Buy),
            ask: self.best(Side::Sell),
        }
    }

    fn settle(&mut self, before: Best) {
        // Pegs that follow do not pause the stock; the order that came does.
        let left_bands = std::mem::take(&mut self.band);
        if self.state == State::Trading && self.bests() != before {
            self.repeg();
        }
        if left_bands && self.state != State::Paused {
            self.state = State::Paused;
            self.resumes_ns = Some(self.now_ns + self.pause_ns);
            self.said.push("state P".to_owned());
        }
    }

    fn repeg(&mut self) {
        for side in [Side::Buy, Side::Sell] {
            let mut pegs: Vec<_> = self
                .orders
                .iter()
                .filter(|o| o.class == Class::Peg && o.side == side)
                .map(|o| (o.rank, o.number))
                .collect();
            pegs.sort_unstable();
            for (_, number) in pegs {
                let Some(at) = self.orders.iter().position(|o| o.number == number) else {
                    continue;
                };
                let mut taker = self.orders[at].clone();
                self.take(&mut taker);
                let at = self.orders.iter().position(|o| o.number == number).unwrap();
                self.orders[at].open = taker.open;
                self.tidy(number);
            }
        }
        self.band = false;
    }

    /// Why the stock does not take an order now.
    fn refuses(&self, order: &Order) -> Option<Refusal> {
        let is_peg = order.class == Class::Peg;
        match (self.state, order.cross) {
            (State::Halted, _) => Some(Refusal::Halted),
            (state, _) if is_peg && state != State::Trading => Some(Refusal::Pegging),
            (state, Some(CrossKind::Open)) if state != State::Quoting => Some(Refusal::Cross),
            (State::Trading, Some(CrossKind::Halt)) => Some(Refusal::Cross),
            _ => None,
        }
    }

    pub fn set_state(&mut self, state: State) {
        if self.state != state {
            self.state = state;
            self.resumes_ns = None;
            self.said.push(format!("state {}", state as u8 as char));
        }
    }

    /// What is due at this time: orders that expire, in the order in which they came, and the end of a
    /// pause.
    pub fn pass(&mut self, now_ns: u64) {
        self.now_ns = now_ns;
        let mut due: Vec<_> = self
            .orders
            .iter()
            .filter_map(|o| match o.life {
                TimeInForce::Until(at) if at <= now_ns => Some((at, o.number, o.owner)),
                _ => None,
            })
            .collect();
        due.sort_unstable();
        for (.., owner) in due {
            self.cancel(owner, 0, b'T');
        }
        if self.resumes_ns.is_some_and(|at| at <= now_ns) {
            self.cross(CrossKind::Halt);
        }
    }

    /// Hours are over: everything that may not rest longer goes at once, as it was entered.
    pub fn end_of(&mut self, hours: TimeInForce) {
        self.orders.sort_by_key(|order| order.number);
        let is_over = |o: &Order| hours == TimeInForce::System || o.life <= hours;
        for o in self.orders.iter().filter(|o| is_over(o)) {
            let shown = match o.class {
                Class::Shown => format!("{}-{}=0", o.reference, o.shown),
                _ => "-".to_owned(),
            };
            self.said
                .push(format!("cancel {:?} {} 0 E {shown}", o.owner, o.open));
        }
        self.orders.retain(|o| !is_over(o));
        if self.state == State::Trading {
            self.repeg();
        }
    }

    pub fn fill_by_house(&mut self, owner: Owner, qty: u32) {
        let Some(at) = self.orders.iter().position(|o| o.owner == owner) else {
            return;
        };
        let before = self.bests();
        let order = self.orders[at].clone();
        let is_shown = order.class == Class::Shown;
        let qty = qty.min(if is_shown { order.shown } else { order.open });
        if qty > 0 {
            let price = match (order.price, self.last_price) {
                (0 | ANY_BUY, 0) => self.reference_price,
                (0 | ANY_BUY, last) => last,
                (price, _) => price,
            };
            let shown = self.lessen(at, qty);
            self.matches += 1;
            self.last_price = price;
            self.said.push(format!(
                "trade {} {qty}@{price} {owner:?}:{} {HOUSE:?}:0 {shown} -",
                self.matches,
                order.open - qty
            ));
            self.tidy(order.number);
        }
        self.settle(before);
    }

    pub fn enter(&mut self, new: &NewOrder) -> Result<(), Refusal> {
        let before = self.bests();
        let any = if new.side == Side::Buy { ANY_BUY } else { 0 };
        let class = match (
            new.cross.is_some(),
            new.terms.is_midpoint,
            new.terms.is_shown,
        ) {
            (true, ..) => Class::Cross,
            (_, true, _) => Class::Peg,
            (_, _, true) => Class::Shown,
            _ => Class::Hidden,
        };
        let number = self.number();
        let mut order = Order {
            number,
            reference: number,
            rank: 0,
            owner: new.owner,
            side: new.side,
            price: new.terms.limit.map_or(any, i64::from),
            open: new.qty,
            shown: 0,
            display_qty: new.terms.display_qty,
            min_qty: new.terms.min_qty,
            class,
            life: new.terms.life,
            group: new.prevention.0,
            rule: new.prevention.1,
            cross: new.cross,
        };
        let price = self.post_only(&order, new.terms.post_only);
        order.price = price.unwrap_or(order.price);
        let bid = self.best(Side::Buy);
        let hits = !new.terms.is_midpoint && bid.is_some_and(|bid| order.price <= bid);
        let is_forbidden = new.is_short && self.is_short_restricted && hits;
        let refusal = self.refuses(&order);
        if let Some(refusal) = refusal.or(is_forbidden.then_some(Refusal::ShortSale)) {
            self.numbers -= 1;
            return Err(refusal);
        }
        self.said
            .push(format!("accept {:?} {number} {}", new.owner, order.price));
        match price {
            Err(reason) => self.said.push(format!(
                "cancel {:?} {} 0 {} -",
                order.owner, order.open, reason as char
            )),
            Ok(_) => self.work(order, None),
        }
        self.settle(before);
        Ok(())
    }

    pub fn cancel(&mut self, owner: Owner, keep: u32, reason: u8) {
        let Some(at) = self.orders.iter().position(|o| o.owner == owner) else {
            return;
        };
        let before = self.bests();
        let number = self.orders[at].number;
        let (off, shown) = self.reduce(at, keep);
        if off > 0 {
            let left = self.orders[at].open;
            self.said.push(format!(
                "cancel {owner:?} {off} {left} {} {shown}",
                reason as char
            ));
        }
        self.tidy(number);
        self.settle(before);
    }

    /// The reserve goes first.
    fn reduce(&mut self, at: usize, keep: u32) -> (u32, String) {
        let o = &mut self.orders[at];
        let off = o.open.saturating_sub(keep);
        o.open -= off;
        let shown_off = o.shown.saturating_sub(o.open);
        if o.class != Class::Shown || shown_off == 0 {
            return (off, "-".to_owned());
        }
        o.shown -= shown_off;
        (off, format!("{}-{shown_off}={}", o.reference, o.shown))
    }

    pub fn replace(&mut self, owner: Owner, change: &Change) -> Result<(), Refusal> {
        let Some(at) = self.orders.iter().position(|o| o.owner == owner) else {
            return Ok(());
        };
        let before = self.bests();
        let old = self.orders[at].clone();
        let any = if old.side == Side::Buy { ANY_BUY } else { 0 };
        let price = change.terms.limit.map_or(any, i64::from);
        let class = match (old.class, change.terms.is_midpoint, change.terms.is_shown) {
            (Class::Cross, ..) => Class::Cross,
            (_, true, _) => Class::Peg,
            (_, _, true) => Class::Shown,
            _ => Class::Hidden,
        };
        let new_owner = Owner {
            user_ref: change.user_ref,
            ..owner
        };
        let stays = price == old.price
            && change.open <= old.open
            && change.terms.life == old.life
            && change.terms.life != TimeInForce::Immediate
            && class == old.class
            && change.terms.display_qty == old.display_qty
            && change.terms.min_qty == old.min_qty;
        if stays {
            let (_, shown) = self.reduce(at, change.open);
            self.orders[at].owner = new_owner;
            let (number, open) = (old.number, self.orders[at].open);
            self.said.push(format!(
                "replace {new_owner:?} {number} {open} {price} {shown}"
            ));
            self.settle(before);
            return Ok(());
        }
        let number = self.number();
        let mut order = Order {
            number,
            reference: number,
            owner: new_owner,
            price,
            open: change.open,
            shown: 0,
            display_qty: change.terms.display_qty,
            min_qty: change.terms.min_qty,
            class,
            life: change.terms.life,
            ..old.clone()
        };
        let price = self.post_only(&order, change.terms.post_only);
        order.price = price.unwrap_or(order.price);
        if let Some(refusal) = self.refuses(&order) {
            self.numbers -= 1;
            return Err(refusal);
        }
        self.orders.remove(at);
        let old_reference = (old.class == Class::Shown).then_some(old.reference);
        self.said.push(format!(
            "replace {new_owner:?} {number} {} {} -",
            order.open, order.price
        ));
        match price {
            Err(reason) => {
                if let Some(reference) = old_reference {
                    self.said.push(format!("withdraw {reference}"));
                }
                let (owner, open) = (order.owner, order.open);
                self.said
                    .push(format!("cancel {owner:?} {open} 0 {} -", reason as char));
            }
            Ok(_) => self.work(order, old_reference),
        }
        self.settle(before);
        Ok(())
    }

    /// Everybody at one price, tried at every price there is.
    pub fn cross(&mut self, kind: CrossKind) {
        let takes_part = |o: &&Order| {
            o.class != Class::Peg && (o.class != Class::Cross || o.cross == Some(kind))
        };
        let mut prices: Vec<i64> = self
            .orders
            .iter()
            .filter(takes_part)
            .map(|o| o.price)
            .collect();
        prices.push(self.reference_price);
        prices.retain(|price| *price != 0 && *price != ANY_BUY);
        let volume = |price: i64| {
            let sum = |side| -> u64 {
                let orders = self
                    .orders
                    .iter()
                    .filter(takes_part)
                    .filter(|o| o.side == side);
                let orders = orders.filter(|o| worth(side, o.price) >= worth(side, price));
                orders.map(|o| u64::from(o.open)).sum()
            };
            let (buy, sell): (u64, u64) = (sum(Side::Buy), sum(Side::Sell));
            (buy.min(sell), buy.abs_diff(sell))
        };
        let best = prices.iter().copied().min_by_key(|price| {
            let (paired, imbalance) = volume(*price);
            let distance = (*price - self.reference_price).abs();
            (u64::MAX - paired, imbalance, distance, *price)
        });
        let price = best.filter(|price| volume(*price).0 > 0);
        let mut shares = 0;
        while let Some(price) = price {
            let first = |naive: &Self, side: Side| {
                let orders = naive
                    .orders
                    .iter()
                    .filter(takes_part)
                    .filter(|o| o.side == side);
                let orders = orders.filter(|o| worth(side, o.price) >= worth(side, price));
                orders
                    .min_by_key(|o| {
                        let class = if o.class == Class::Cross {
                            2
                        } else {
                            o.class as u8
                        };
                        (-worth(side, o.price), class, o.rank)
                    })
                    .map(|o| o.number)
            };
            let (Some(buyer), Some(seller)) = (first(self, Side::Buy), first(self, Side::Sell))
            else {
                break;
            };
            let at = |naive: &Self, number| {
                naive
                    .orders
                    .iter()
                    .position(|o| o.number == number)
                    .unwrap()
            };
            let (b, s) = (at(self, buyer), at(self, seller));
            let qty = self.orders[b].open.min(self.orders[s].open);
            let (b_shown, s_shown) = (self.lessen(b, qty), self.lessen(s, qty));
            self.matches += 1;
            let (b, s) = (&self.orders[b], &self.orders[s]);
            self.said.push(format!(
                "trade {} {qty}@{price} {:?}:{} {:?}:{} {b_shown} {s_shown}",
                self.matches, b.owner, b.open, s.owner, s.open
            ));
            self.tidy(buyer);
            self.tidy(seller);
            shares += u64::from(qty);
        }
        self.matches += 1;
        self.said
            .push(format!("crossed {shares}@{}", price.unwrap_or(0)));
        if let Some(price) = price {
            (self.reference_price, self.last_price) = (price, price);
        }
        for side in [Side::Buy, Side::Sell] {
            let mut ends: Vec<_> = self
                .orders
                .iter()
                .filter(|o| o.class == Class::Cross && o.cross == Some(kind) && o.side == side)
                .map(|o| (-worth(side, o.price), o.rank, o.owner, o.open))
                .collect();
            ends.sort_unstable();
            for (.., owner, open) in ends {
                self.said.push(format!("cancel {owner:?} {open} 0 T -"));
                self.orders.retain(|o| o.owner != owner);
            }
        }
        if self.state != State::Trading {
            self.state = State::Trading;
            self.resumes_ns = None;
            self.said.push("state T".to_owned());
        }
        self.repeg();
    }
}
