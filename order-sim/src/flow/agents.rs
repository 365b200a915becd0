//! A market that makes itself: orders that come in clusters, stand near the best price, mostly go soon,
//! and now and then sweep through the book. All of it from one seed.
//!
//! Mix aimed at (of a day that Nasdaq published): adds 44 %, deletes 43 %, replacements 8 %, executions
//! 2 %, partial cancels 1 %; among the adds a few per cent unseen, reserve, post-only and pegged orders.
//!
//! Time:        each step says when the next one is due; arrivals are exponential, in calm and in bursts.
//! When full:   each stock has at most four times `depth` orders; beyond them an add becomes a delete.

use fastrand::Rng;
use protocol::types::Side;

use super::whole;
use crate::engine::{
    Change, Engine, Event, Handle, LimitOrder, NewOrder, Owner, PostOnly, Terms, TimeInForce,
    tick_of,
};
use crate::options::Flow;

/// The account of the market's own orders.
pub const AGENTS: u16 = u16::MAX - 1;
/// Share of events that come in bursts.
const BURST_SHARE: f64 = 0.5;
/// Steps of a burst, on average.
const BURST_STEPS: u32 = 60;
/// In a burst, steps of a hundred that go to one stock.
const BURST_FOCUS: u32 = 70;
/// How far from the best price orders are placed at most, ticks.
const DISTANCE_TICKS_MAX: u32 = 60;
const SECOND_NS: f64 = 1e9;

/// What the market does next.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Enter(NewOrder),
    Cancel(Handle, u32),
    Replace(Handle, Change),
    /// Nothing: there was nobody to act upon.
    Wait,
}

#[derive(Clone, Copy, Debug)]
struct Placed {
    handle: Option<Handle>,
    stock: u32,
    /// Where it stands in its stock's list.
    at: u32,
    side: Side,
}

#[derive(Debug)]
struct Stock {
    locate: u16,
    /// What it is worth, four decimals; walks.
    fair: u32,
    orders: Vec<u32>,
}

/// All agents, as one.
#[derive(Debug)]
pub struct Agents {
    random: Rng,
    options: Flow,
    stocks: Vec<Stock>,
    placed: Vec<Placed>,
    free: Vec<u32>,
    next_ns: u64,
    burst_left: u32,
    burst_stock: usize,
    steps: u64,
    has_ended: bool,
}

impl Agents {
    /// Trades these stocks, each with what it is worth, from `now_ns` on.
    pub(crate) fn new(options: Flow, stocks: &[(u16, u32)], now_ns: u64) -> Self {
        let per_stock = options.depth as usize * 4;
        let orders_max = stocks.len() * per_stock;
        let stocks = stocks.iter().map(|(locate, fair)| Stock {
            locate: *locate,
            fair: *fair,
            orders: Vec::with_capacity(per_stock),
        });
        Self {
            random: Rng::with_seed(options.seed),
            options,
            stocks: stocks.collect(),
            placed: Vec::with_capacity(orders_max),
            free: Vec::with_capacity(orders_max),
            next_ns: now_ns,
            burst_left: 0,
            burst_stock: 0,
            steps: 0,
            has_ended: false,
        }
    }

    /// When the next step is due; `None`: the flow is over.
    pub(crate) fn next_ns(&self) -> Option<u64> {
        let is_enough = self.options.limit > 0 && self.steps >= self.options.limit;
        (!self.has_ended && !is_enough).then_some(self.next_ns)
    }

    /// Nothing more comes of them; their orders stand.
    pub(crate) fn end(&mut self) {
        self.has_ended = true;
    }

    /// The step that is due.
    pub(crate) fn step(&mut self, engine: &Engine) -> Step {
        self.steps += 1;
        self.schedule();
        let Some(at) = self.pick_stock() else {
            return Step::Wait;
        };
        if self.random.u32(0..50) == 0 {
            self.walk(at);
        }
        let target = self.options.depth * 2;
        let count = self.stocks.get(at).map_or(0, |stock| stock.orders.len());
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        // Fewer than the target: more adds than deletes; more: the other way round.
        let adds = (890 * (2 * target).saturating_sub(count) / (2 * target)).max(50);
        match self.random.u32(0..1000) {
            _ if count == 0 => self.add(at, engine),
            0..25 => self.take(at, engine),
            25..35 => self.cut(at, engine),
            35..115 => self.replace(at, engine),
            roll if roll < 115 + adds * 885 / 1000 && count < target * 2 => self.add(at, engine),
            _ => self.delete(at),
        }
    }

    fn schedule(&mut self) {
        let rate = f64::from(self.options.rate);
        let burst = f64::from(self.options.burst);
        let is_burst = self.burst_left > 0;
        let now_rate = if is_burst {
            rate * burst
        } else {
            rate * (1.0 - BURST_SHARE) / (1.0 - BURST_SHARE / burst)
        };
        let wait = -(1.0 - self.random.f64()).ln() / now_rate * SECOND_NS;
        self.next_ns += whole(wait);
        if is_burst {
            self.burst_left -= 1;
        } else if self.random.u32(0..BURST_STEPS) == 0 {
            self.burst_left = self.random.u32(1..BURST_STEPS * 2);
            self.burst_stock = self.random.usize(0..self.stocks.len().max(1));
        }
    }

    /// Few stocks have most of the orders.
    fn pick_stock(&mut self) -> Option<usize> {
        if self.burst_left > 0 && self.random.u32(0..100) < BURST_FOCUS {
            return Some(self.burst_stock).filter(|at| *at < self.stocks.len());
        }
        let share = self.random.f64();
        let at = usize::try_from(whole(share * share * self.stocks.len() as f64)).ok()?;
        (at < self.stocks.len()).then_some(at)
    }

    fn walk(&mut self, at: usize) {
        let up = self.random.bool();
        if let Some(stock) = self.stocks.get_mut(at) {
            let tick = tick_of(stock.fair);
            let down = stock.fair.saturating_sub(tick).max(tick * 50);
            stock.fair = if up {
                (stock.fair + tick).min(1_000_000_000)
            } else {
                down
            };
        }
    }

    /// Mostly near, seldom far.
    fn distance(&mut self) -> u32 {
        let share = self.random.f64();
        let distance = whole(share * share * share * f64::from(DISTANCE_TICKS_MAX));
        u32::try_from(distance).unwrap_or(DISTANCE_TICKS_MAX)
    }

    fn qty(&mut self) -> u32 {
        match self.random.u32(0..10) {
            0 => self.random.u32(1..100),
            1 => 100 * self.random.u32(2..20),
            _ => 100,
        }
    }

    /// Where a new order of this side does not trade.
    fn passive_price(&mut self, at: usize, side: Side, engine: &Engine) -> Option<u32> {
        let stock = self.stocks.get(at)?;
        let (fair, tick) = (stock.fair, tick_of(stock.fair));
        let (bid, ask, _) = engine.best(stock.locate);
        let (own, other) = if side == Side::Buy {
            (bid, ask)
        } else {
            (ask, bid)
        };
        let away = self.distance() * tick;
        let improves = self.random.u32(0..8) == 0;
        let price = match (side, own) {
            (Side::Buy, Some(best)) if improves => best + tick,
            (Side::Sell, Some(best)) if improves => best.saturating_sub(tick),
            (Side::Buy, best) => best
                .unwrap_or_else(|| fair.saturating_sub(tick))
                .saturating_sub(away),
            (Side::Sell, best) => best.unwrap_or(fair + tick) + away,
        };
        let price = match (side, other) {
            (Side::Buy, Some(ask)) => price.min(ask.saturating_sub(tick)),
            (Side::Sell, Some(bid)) => price.max(bid + tick),
            (_, None) => price,
        };
        Some((price / tick * tick).max(tick))
    }

    fn add(&mut self, at: usize, engine: &Engine) -> Step {
        let side = if self.random.bool() {
            Side::Buy
        } else {
            Side::Sell
        };
        let Some(price) = self.passive_price(at, side, engine) else {
            return Step::Wait;
        };
        let qty = self.qty();
        let Some(mut new) = self.new_order(at, side, qty, price) else {
            return self.delete(at);
        };
        let (bid, ask, _) = engine.best(new.locate);
        match self.random.u32(0..100) {
            0..2 => new.terms.is_shown = false,
            2 => {
                new.terms.is_shown = false;
                new.terms.min_qty = qty.min(100);
            }
            3..6 => new.terms.post_only = PostOnly::Slide,
            6 => new.terms.display_qty = 100.min(qty),
            7 => new.attribution = *b"TSTX",
            8 if bid.is_some() && ask.is_some() => new.terms.is_midpoint = true,
            _ => {}
        }
        Step::Enter(new)
    }

    /// Trades: towards what the stock is worth, now and then through several prices.
    fn take(&mut self, at: usize, engine: &Engine) -> Step {
        let Some(stock) = self.stocks.get(at) else {
            return Step::Wait;
        };
        let (fair, (bid, ask, _)) = (stock.fair, engine.best(stock.locate));
        let (Some(bid), Some(ask)) = (bid, ask) else {
            return self.add(at, engine);
        };
        let side = match fair {
            fair if fair > ask => Side::Buy,
            fair if fair < bid => Side::Sell,
            _ if self.random.bool() => Side::Buy,
            _ => Side::Sell,
        };
        let is_sweep = self.random.u32(0..20) == 0;
        let reach = if is_sweep {
            self.random.u32(1..6) * tick_of(ask)
        } else {
            0
        };
        let price = if side == Side::Buy {
            ask + reach
        } else {
            bid.saturating_sub(reach).max(1)
        };
        let qty = if is_sweep {
            100 * self.random.u32(5..40)
        } else {
            self.qty()
        };
        match self.new_order(at, side, qty, price) {
            Some(mut new) => {
                new.terms.life = TimeInForce::Immediate;
                Step::Enter(new)
            }
            None => self.delete(at),
        }
    }

    fn new_order(&mut self, at: usize, side: Side, qty: u32, price: u32) -> Option<NewOrder> {
        let locate = self.stocks.get(at)?.locate;
        let user_ref = self.place(at, side)?;
        let owner = Owner {
            account: AGENTS,
            user_ref,
        };
        let order = LimitOrder {
            owner,
            locate,
            side,
            qty,
            price,
            life: TimeInForce::System,
        };
        Some(order.into())
    }

    /// One of a stock's orders.
    fn some(&mut self, at: usize) -> Option<(u32, Handle, Side)> {
        let stock = self.stocks.get(at)?;
        if stock.orders.is_empty() {
            return None;
        }
        let slot = *stock.orders.get(self.random.usize(0..stock.orders.len()))?;
        let placed = self.placed.get(slot as usize)?;
        Some((slot, placed.handle?, placed.side))
    }

    fn delete(&mut self, at: usize) -> Step {
        self.some(at)
            .map_or(Step::Wait, |(_, handle, _)| Step::Cancel(handle, 0))
    }

    fn cut(&mut self, at: usize, engine: &Engine) -> Step {
        let Some((_, handle, _)) = self.some(at) else {
            return Step::Wait;
        };
        let open = engine.open(handle).unwrap_or(0);
        Step::Cancel(handle, open / 2)
    }

    fn replace(&mut self, at: usize, engine: &Engine) -> Step {
        let Some((slot, handle, side)) = self.some(at) else {
            return Step::Wait;
        };
        let Some(price) = self.passive_price(at, side, engine) else {
            return Step::Wait;
        };
        let change = Change {
            user_ref: slot,
            open: self.qty(),
            terms: Terms::plain(price, TimeInForce::System),
        };
        Step::Replace(handle, change)
    }

    fn place(&mut self, at: usize, side: Side) -> Option<u32> {
        let stock = self.stocks.get_mut(at)?;
        if stock.orders.len() == stock.orders.capacity() {
            return None;
        }
        let index = u32::try_from(stock.orders.len()).ok()?;
        let placed = Placed {
            handle: None,
            stock: u32::try_from(at).ok()?,
            at: index,
            side,
        };
        let slot = match self.free.pop() {
            Some(slot) => {
                *self.placed.get_mut(slot as usize)? = placed;
                slot
            }
            None => {
                self.placed.push(placed);
                u32::try_from(self.placed.len() - 1).ok()?
            }
        };
        stock.orders.push(slot);
        Some(slot)
    }

    /// An order is gone.
    pub(crate) fn release(&mut self, slot: u32) {
        let Some(placed) = self.placed.get(slot as usize).copied() else {
            return;
        };
        let Some(stock) = self.stocks.get_mut(placed.stock as usize) else {
            return;
        };
        stock.orders.swap_remove(placed.at as usize);
        if let Some(moved) = stock.orders.get(placed.at as usize)
            && let Some(moved) = self.placed.get_mut(*moved as usize)
        {
            moved.at = placed.at;
        }
        self.free.push(slot);
    }

    /// Follows what happens to its orders.
    pub(crate) fn on_event(&mut self, event: &Event) {
        match event {
            Event::Accepted { handle, owner, .. } | Event::Replaced { handle, owner, .. }
                if owner.account == AGENTS =>
            {
                if let Some(placed) = self.placed.get_mut(owner.user_ref as usize) {
                    placed.handle = Some(*handle);
                }
            }
            Event::Traded(trade) => {
                for party in [trade.maker, trade.taker] {
                    self.on_open(party.owner, party.open);
                }
            }
            Event::Canceled(canceled) | Event::Prevented { canceled, .. } => {
                self.on_open(canceled.owner, canceled.open);
            }
            _ => {}
        }
    }

    fn on_open(&mut self, owner: Owner, open: u32) {
        if owner.account == AGENTS && open == 0 {
            self.release(owner.user_ref);
        }
    }
}

/// The names of made-up symbols: four letters, counted in base 26.
pub(crate) fn name(index: u16) -> Option<protocol::types::Symbol> {
    let mut rest = index;
    let mut letters = [b'A'; 4];
    for letter in letters.iter_mut().rev() {
        *letter = b'A' + u8::try_from(rest % 26).unwrap_or(0);
        rest /= 26;
    }
    protocol::types::Symbol::new(std::str::from_utf8(&letters).ok()?)
}
