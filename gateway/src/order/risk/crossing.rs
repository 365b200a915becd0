//! The account's own open limits, so that no order meets another one of the same account.
//!
//! ```text
//!  instrument ──> best buy, best sell ─> next worse ─> ...    one node for each price, with how many orders have it
//! ```
//!
//! A check looks at the best of the other side alone, and the best ones of a symbol lie in one cache line. Where a
//! strategy quotes one price a side, nothing else is touched. Behind it an order comes and goes by a walk over the
//! account's own better prices in that symbol: few, as a strategy quotes at a few prices; a bound on them would
//! have to refuse. A list was chosen over a tree for that, and over the best price alone because only the next
//! worse one tells what is best when it goes.
//!
//! Thread:      order core, hot
//! Invariants:  a side is in order, best first, each price once. A price is here once for each order that has it
//!              open or asks for it in a replace.
//! When full:   memory grows; there is room for twice as many as orders may be open, and more are found at the
//!              exchange only after a restart.

use protocol::types::{Price4, Side};

use super::super::instruments::{INSTRUMENTS_MAX, Instrument};

/// The end of a list.
const NOWHERE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Node {
    price: Price4,
    /// Orders that have it; of a best one 0: the side is empty.
    orders: u32,
    next: u32,
}

/// The best of both sides of a symbol, in one cache line.
#[derive(Clone, Copy, Debug)]
#[repr(align(32))]
struct Best {
    buy: Node,
    sell: Node,
}

/// The best limit of each side. A limit of 0 is one: the exchange may say so of an order that it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct BestLimits {
    buy: Option<Price4>,
    sell: Option<Price4>,
}

/// All of them.
#[derive(Debug)]
pub(super) struct OwnPrices {
    best: Box<[Best]>,
    /// All worse ones.
    nodes: Vec<Node>,
    /// Nodes that nobody uses.
    free: u32,
}

impl OwnPrices {
    /// None open; room for this many orders.
    pub(super) fn new(open_orders_max: u32) -> Self {
        let none = Node {
            price: Price4(0),
            orders: 0,
            next: NOWHERE,
        };
        let none = Best {
            buy: none,
            sell: none,
        };
        Self {
            best: vec![none; INSTRUMENTS_MAX].into_boxed_slice(),
            nodes: Vec::with_capacity(2 * open_orders_max as usize),
            free: NOWHERE,
        }
    }

    /// Whether a limit would meet what is open on the other side.
    #[inline]
    pub(super) fn crosses(&self, instrument: Instrument, side: Side, limit: Price4) -> bool {
        let Some(best) = self.best.get(usize::from(instrument.0)) else {
            return false;
        };
        match side {
            Side::Buy => limit >= best.sell.price && best.sell.orders != 0,
            Side::Sell => limit <= best.buy.price && best.buy.orders != 0,
        }
    }

    /// The best limit of each side.
    #[inline]
    pub(super) fn best_limits(&self, instrument: Instrument) -> BestLimits {
        let Some(best) = self.best.get(usize::from(instrument.0)) else {
            return BestLimits::default();
        };
        let of = |node: &Node| (node.orders != 0).then_some(node.price);
        BestLimits {
            buy: of(&best.buy),
            sell: of(&best.sell),
        }
    }

    /// One more order has this limit.
    #[inline]
    pub(super) fn add(&mut self, instrument: Instrument, side: Side, limit: Price4) {
        let Some(best) = self.best_mut(instrument, side) else {
            return;
        };
        let is_empty = best.orders == 0;
        if is_empty || best.price == limit {
            best.price = limit;
            best.orders += 1;
        } else {
            self.add_beside(instrument, side, limit);
        }
    }

    /// One order less has this limit.
    #[inline]
    pub(super) fn remove(&mut self, instrument: Instrument, side: Side, limit: Price4) {
        let Some(best) = self.best_mut(instrument, side) else {
            return;
        };
        if best.orders == 0 || best.price != limit {
            self.remove_behind(instrument, side, limit);
            return;
        }
        best.orders -= 1;
        if best.orders == 0 && best.next != NOWHERE {
            self.bring_up(instrument, side);
        }
    }

    /// One more order has a limit that is not the best.
    fn add_beside(&mut self, instrument: Instrument, side: Side, limit: Price4) {
        let Some(best) = self.best_mut(instrument, side).copied() else {
            return;
        };
        let mut new = Node {
            price: limit,
            orders: 1,
            next: NOWHERE,
        };
        if is_better(side, limit, best.price) {
            new.next = self.take(best);
            if let Some(best) = self.best_mut(instrument, side) {
                *best = new;
            }
            return;
        }
        let (before, at) = self.walk(best.next, side, limit);
        if let Some(node) = self.node_mut(at).filter(|node| node.price == limit) {
            node.orders += 1;
            return;
        }
        new.next = at;
        let new = self.take(new);
        self.link(instrument, side, before, new);
    }

    /// One order less has a limit that is not the best.
    fn remove_behind(&mut self, instrument: Instrument, side: Side, limit: Price4) {
        let first = self.best_mut(instrument, side).map(|best| best.next);
        let (before, at) = self.walk(first.unwrap_or(NOWHERE), side, limit);
        let Some(node) = self.node_mut(at).filter(|node| node.price == limit) else {
            debug_assert!(false, "{limit:?} is not here");
            return;
        };
        node.orders -= 1;
        if node.orders > 0 {
            return;
        }
        let next = node.next;
        self.give_back(at);
        self.link(instrument, side, before, next);
    }

    /// The best is gone: the next worse one takes its place.
    fn bring_up(&mut self, instrument: Instrument, side: Side) {
        let next = self.best_mut(instrument, side).map(|best| best.next);
        let next = next.unwrap_or(NOWHERE);
        if let Some(node) = self.node_mut(next).copied()
            && let Some(best) = self.best_mut(instrument, side)
        {
            *best = node;
            self.give_back(next);
        }
    }

    /// From a node on: the last one whose price is better than this limit, and the one behind it.
    fn walk(&self, from: u32, side: Side, limit: Price4) -> (u32, u32) {
        let (mut before, mut at) = (NOWHERE, from);
        while let Some(node) = self.nodes.get(at as usize) {
            if !is_better(side, node.price, limit) {
                break;
            }
            (before, at) = (at, node.next);
        }
        (before, at)
    }

    /// Lets a side go on with `next` behind `before`, or behind its best.
    fn link(&mut self, instrument: Instrument, side: Side, before: u32, next: u32) {
        if let Some(node) = self.node_mut(before) {
            node.next = next;
        } else if let Some(best) = self.best_mut(instrument, side) {
            best.next = next;
        }
    }

    fn take(&mut self, node: Node) -> u32 {
        let at = self.free;
        if let Some(free) = self.node_mut(at) {
            let next = std::mem::replace(free, node).next;
            self.free = next;
            return at;
        }
        self.nodes.push(node);
        u32::try_from(self.nodes.len() - 1).unwrap_or(NOWHERE)
    }

    fn give_back(&mut self, at: u32) {
        let free = self.free;
        if let Some(node) = self.node_mut(at) {
            node.next = free;
            self.free = at;
        }
    }

    #[inline]
    fn best_mut(&mut self, instrument: Instrument, side: Side) -> Option<&mut Node> {
        let best = self.best.get_mut(usize::from(instrument.0))?;
        Some(match side {
            Side::Buy => &mut best.buy,
            Side::Sell => &mut best.sell,
        })
    }

    #[inline]
    fn node_mut(&mut self, at: u32) -> Option<&mut Node> {
        self.nodes.get_mut(at as usize)
    }
}

impl BestLimits {
    /// With one more limit.
    pub(super) fn with(self, side: Side, limit: Price4) -> Self {
        let better = |best: Option<Price4>| match best {
            Some(best) if !is_better(side, limit, best) => Some(best),
            _ => Some(limit),
        };
        match side {
            Side::Buy => Self {
                buy: better(self.buy),
                ..self
            },
            Side::Sell => Self {
                sell: better(self.sell),
                ..self
            },
        }
    }

    /// Both, in one word: each limit and 1, 0: none. OUCH's prices end far below what has no room.
    pub(super) fn word(self) -> u64 {
        let half = |limit: Option<Price4>| limit.map_or(0, |it| u64::from(it.0.saturating_add(1)));
        half(self.buy) << 32 | half(self.sell)
    }

    /// Those of [`BestLimits::word`].
    pub(super) fn of_word(word: u64) -> Self {
        let half = |bits: u64| {
            let half = u32::try_from(bits & u64::from(u32::MAX)).ok()?;
            half.checked_sub(1).map(Price4)
        };
        Self {
            buy: half(word >> 32),
            sell: half(word),
        }
    }

    /// Whether a limit would meet one of these.
    pub(super) fn meet(self, side: Side, limit: Price4) -> bool {
        match side {
            Side::Buy => self.sell.is_some_and(|sell| limit >= sell),
            Side::Sell => self.buy.is_some_and(|buy| limit <= buy),
        }
    }
}

/// Whether a price is better for the one who trades against it.
#[inline]
fn is_better(side: Side, price: Price4, than: Price4) -> bool {
    match side {
        Side::Buy => price > than,
        Side::Sell => price < than,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_limits_cross_where_a_list_says_so_and_nothing_is_left_of_them() {
        for seed in 0..100 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut own = OwnPrices::new(8);
            let mut naive = Vec::new();
            for _ in 0..500 {
                let it = (
                    Instrument(random.u16(0..2)),
                    [Side::Buy, Side::Sell][random.usize(0..2)],
                    Price4(random.u32(1..8)),
                );
                let (instrument, side, limit) = it;
                let meets = |other: &(Instrument, Side, Price4)| {
                    other.0 == instrument
                        && match (side, other.1) {
                            (Side::Buy, Side::Sell) => limit >= other.2,
                            (Side::Sell, Side::Buy) => limit <= other.2,
                            _ => false,
                        }
                };
                let crosses = own.crosses(instrument, side, limit);
                assert_eq!(crosses, naive.iter().any(meets), "seed {seed}");
                if naive.len() < 16 && random.bool() {
                    own.add(instrument, side, limit);
                    naive.push(it);
                } else if !naive.is_empty() {
                    let it = naive.swap_remove(random.usize(0..naive.len()));
                    own.remove(it.0, it.1, it.2);
                }
            }
            assert!(own.nodes.len() <= 16, "memory does not grow");
        }
    }

    #[test]
    fn limit_of_nothing_is_a_limit_and_no_limit_meets_nobody() {
        let none = BestLimits::default();
        assert_eq!((none.word(), BestLimits::of_word(0)), (0, none));
        for price in [0, 1, 1_999_999_900].map(Price4) {
            assert!(!none.meet(Side::Buy, price) && !none.meet(Side::Sell, price));
            let both = none.with(Side::Buy, price).with(Side::Sell, price);
            assert_eq!(BestLimits::of_word(both.word()), both);
            assert!(both.meet(Side::Buy, price) && both.meet(Side::Sell, price));
        }
        let free = none.with(Side::Sell, Price4(0));
        assert!(free.meet(Side::Buy, Price4(0)), "it sells for nothing");
        assert_eq!(free.with(Side::Sell, Price4(5)), free);
    }
}
