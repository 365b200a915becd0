//! The account's own open limits, so that no order meets another one of the same account.
//!
//! ```text
//!  instrument, side ──> best ─> next worse ─> ...    one node for each price, with how many orders have it
//! ```
//!
//! A check looks at the first node of the other side alone. An order comes and goes by a walk over the account's
//! own better prices in that symbol: few, as a strategy quotes at a few prices; a bound on them would have to
//! refuse. A list was chosen over a tree for that, and over the best price alone because only the next worse one
//! tells what is best when it goes.
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
    orders: u32,
    next: u32,
}

/// All of them.
#[derive(Debug)]
pub(super) struct OwnPrices {
    /// First nodes: buys, sells.
    first: Box<[[u32; 2]]>,
    nodes: Vec<Node>,
    /// Nodes that nobody uses.
    free: u32,
}

impl OwnPrices {
    /// None open; room for this many orders.
    pub(super) fn new(open_orders_max: u32) -> Self {
        Self {
            first: vec![[NOWHERE; 2]; INSTRUMENTS_MAX].into_boxed_slice(),
            nodes: Vec::with_capacity(2 * open_orders_max as usize),
            free: NOWHERE,
        }
    }

    /// Whether a limit would meet what is open on the other side.
    #[inline]
    pub(super) fn crosses(&self, instrument: Instrument, side: Side, limit: Price4) -> bool {
        let first = self.first(instrument, side.opposite());
        self.node(first).is_some_and(|best| match side {
            Side::Buy => limit >= best.price,
            Side::Sell => limit <= best.price,
        })
    }

    /// One more order has this limit.
    #[inline]
    pub(super) fn add(&mut self, instrument: Instrument, side: Side, limit: Price4) {
        let (before, at) = self.walk(instrument, side, limit);
        if let Some(node) = self.node_mut(at).filter(|node| node.price == limit) {
            node.orders += 1;
            return;
        }
        let node = Node {
            price: limit,
            orders: 1,
            next: at,
        };
        let new = self.take(node);
        self.link(instrument, side, before, new);
    }

    /// One order less has this limit.
    #[inline]
    pub(super) fn remove(&mut self, instrument: Instrument, side: Side, limit: Price4) {
        let (before, at) = self.walk(instrument, side, limit);
        let free = self.free;
        let Some(node) = self.node_mut(at).filter(|node| node.price == limit) else {
            debug_assert!(false, "{limit:?} is not here");
            return;
        };
        node.orders -= 1;
        if node.orders > 0 {
            return;
        }
        let next = std::mem::replace(&mut node.next, free);
        self.free = at;
        self.link(instrument, side, before, next);
    }

    /// The last node whose price is better than this limit, and the one behind it.
    #[inline]
    fn walk(&self, instrument: Instrument, side: Side, limit: Price4) -> (u32, u32) {
        let (mut before, mut at) = (NOWHERE, self.first(instrument, side));
        while let Some(node) = self.node(at) {
            let is_better = match side {
                Side::Buy => node.price > limit,
                Side::Sell => node.price < limit,
            };
            if !is_better {
                break;
            }
            (before, at) = (at, node.next);
        }
        (before, at)
    }

    #[inline]
    fn first(&self, instrument: Instrument, side: Side) -> u32 {
        let first = self.first.get(usize::from(instrument.0));
        first.map_or(NOWHERE, |[buy, sell]| match side {
            Side::Buy => *buy,
            Side::Sell => *sell,
        })
    }

    /// Lets a side go on with `next` behind `before`.
    #[inline]
    fn link(&mut self, instrument: Instrument, side: Side, before: u32, next: u32) {
        if let Some(node) = self.node_mut(before) {
            node.next = next;
        } else if let Some([buy, sell]) = self.first.get_mut(usize::from(instrument.0)) {
            match side {
                Side::Buy => *buy = next,
                Side::Sell => *sell = next,
            }
        }
    }

    #[inline]
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

    #[inline]
    fn node(&self, at: u32) -> Option<&Node> {
        self.nodes.get(at as usize)
    }

    #[inline]
    fn node_mut(&mut self, at: u32) -> Option<&mut Node> {
        self.nodes.get_mut(at as usize)
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
}
