//! What can be asked of the books: depth to any level, every order, an order's place in its queue.
//!
//! Thread:      feed core, hot: nothing here allocates or changes anything.
//! Bounds:      who asks says how far to look; a queue has no bound of its own.

use protocol::types::{OrderRef, Price4, Side};

use super::orders::NONE;
use super::{Books, Level, ladder};

/// Where an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Symbol of the day.
    pub locate: u16,
    /// Side.
    pub side: Side,
    /// Its price.
    pub price: Price4,
    /// What is left of it.
    pub shares: u32,
    /// Its whole level.
    pub level: Level,
    /// What trades before it at that price.
    pub ahead: Ahead,
}

/// What stands before an order in its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ahead {
    /// Orders.
    pub orders: u32,
    /// Their shares.
    pub shares: u64,
    /// More may stand before it: it was not looked further.
    pub is_cut: bool,
}

impl Books {
    /// The levels of a side from the best, without their orders.
    pub fn depth(&self, locate: u16, side: Side) -> impl Iterator<Item = Level> {
        let ladder = self.books[usize::from(locate)].ladder(side);
        let entries = self.ladders.entries(ladder).iter().rev();
        entries.map(|entry| self.levels[ladder::level_of(*entry)].level())
    }

    /// The best `N` levels of a side; what is not there is empty.
    #[must_use]
    pub fn best_levels<const N: usize>(&self, locate: u16, side: Side) -> [Level; N] {
        let mut found = [Level::default(); N];
        for (place, level) in found.iter_mut().zip(self.depth(locate, side)) {
            *place = level;
        }
        found
    }

    /// The orders at a price in the order in which they trade, each with what is left of it.
    pub fn queue(
        &self,
        locate: u16,
        side: Side,
        price: Price4,
    ) -> impl Iterator<Item = (OrderRef, u32)> {
        let ladder = self.books[usize::from(locate)].ladder(side);
        let level = self.ladders.find(ladder, side, price.0);
        let mut handle = level.map_or(NONE, |level| self.levels[level].head);
        std::iter::from_fn(move || {
            if handle == NONE {
                return None;
            }
            let order = &self.orders[handle];
            handle = order.next;
            Some((OrderRef(order.reference), order.shares))
        })
    }

    /// Where an order stands; `None` when it is not live. It looks at `orders_max` orders before it at most.
    #[must_use]
    pub fn place(&self, reference: OrderRef, orders_max: u32) -> Option<Place> {
        let order = &self.orders[self.orders.find(reference.0)?];
        let level = &self.levels[order.level];
        let mut ahead = Ahead {
            orders: 0,
            shares: 0,
            is_cut: false,
        };
        let mut before = order.prev;
        while before != NONE {
            if ahead.orders == orders_max {
                ahead.is_cut = true;
                break;
            }
            let order = &self.orders[before];
            ahead.orders += 1;
            ahead.shares += u64::from(order.shares);
            before = order.prev;
        }
        Some(Place {
            locate: level.locate,
            side: level.side(),
            price: Price4(level.price),
            shares: order.shares,
            level: level.level(),
            ahead,
        })
    }
}

#[cfg(test)]
mod tests {
    use protocol::types::{MatchNumber, Qty};
    use rt::mem::Want;

    use super::*;
    use crate::book::{BookCounters, CheckCounters, Cursor, Limits};
    use crate::event::Kind;
    use crate::message::{Effect, Message};

    /// A displayed order; a list of them in the order in which they came is a book.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Naive {
        reference: u64,
        locate: u16,
        side: Side,
        price: u32,
        shares: u32,
    }

    struct Bench {
        books: Books,
        naive: Vec<Naive>,
        random: fastrand::Rng,
        next: u64,
    }

    impl Bench {
        fn apply(&mut self, message: Message) {
            self.books
                .apply(&message, &BookCounters::default(), &mut ());
        }

        fn step(&mut self) {
            let random = &mut self.random;
            let (price, qty) = (random.u32(1..8) * 100, random.u32(1..50));
            let locate = random.u16(1..4);
            let at = random.usize(0..self.naive.len().max(1));
            let message = |number, effect| Message {
                number,
                price: Price4(price),
                qty: Qty(qty),
                effect,
                ..Message::bare(Kind::Other, locate)
            };
            let new = self.next;
            let old = self.naive.get(at).copied();
            match (random.u8(0..8), old) {
                (0..4, _) | (_, None) => {
                    self.next += 1;
                    let side = if random.bool() { Side::Buy } else { Side::Sell };
                    self.naive.push(Naive {
                        reference: new,
                        locate,
                        side,
                        price,
                        shares: qty,
                    });
                    self.apply(message(new, Effect::Add(Some(side))));
                }
                (4, Some(old)) => {
                    self.next += 1;
                    self.naive.remove(at);
                    self.naive.push(Naive {
                        reference: new,
                        price,
                        shares: qty,
                        ..old
                    });
                    self.apply(message(new, Effect::Replace(OrderRef(old.reference))));
                }
                (5, Some(old)) => {
                    self.naive.remove(at);
                    self.apply(message(old.reference, Effect::Delete));
                }
                (kind, Some(old)) => {
                    let left = old.shares.saturating_sub(qty);
                    self.naive[at].shares = left;
                    if left == 0 {
                        self.naive.remove(at);
                    }
                    let execute = Effect::Execute {
                        match_number: MatchNumber(1),
                        has_price: false,
                        is_printable: true,
                    };
                    let effect = if kind == 6 { Effect::Cancel } else { execute };
                    self.apply(message(old.reference, effect));
                }
            }
        }

        fn compare(&self) {
            for (locate, side) in (1..4).flat_map(|it| [(it, Side::Buy), (it, Side::Sell)]) {
                let ours = |it: &&Naive| it.locate == locate && it.side == side;
                let mut prices: Vec<u32> =
                    self.naive.iter().filter(ours).map(|it| it.price).collect();
                prices.sort_unstable();
                prices.dedup();
                if side == Side::Buy {
                    prices.reverse();
                }
                let level = |price: &u32| {
                    let at = self.naive.iter().filter(ours);
                    let at: Vec<_> = at.filter(|it| it.price == *price).copied().collect();
                    let level = Level {
                        price: Price4(*price),
                        shares: at.iter().map(|it| u64::from(it.shares)).sum(),
                        orders: u32::try_from(at.len()).unwrap(),
                    };
                    (level, at)
                };
                let levels: Vec<_> = prices.iter().map(level).collect();
                let all: Vec<Level> = levels.iter().map(|(level, _)| *level).collect();
                assert_eq!(self.books.depth(locate, side).collect::<Vec<_>>(), all);
                let mut best = [Level::default(); 3];
                best.iter_mut()
                    .zip(&all)
                    .for_each(|(to, level)| *to = *level);
                assert_eq!(self.books.best_levels::<3>(locate, side), best);
                for (level, orders) in levels {
                    let queue = orders.iter().map(|it| (OrderRef(it.reference), it.shares));
                    let found = self.books.queue(locate, side, level.price);
                    assert_eq!(found.collect::<Vec<_>>(), queue.collect::<Vec<_>>());
                    self.compare_places(&level, &orders);
                }
            }
        }

        fn compare_places(&self, level: &Level, orders: &[Naive]) {
            let mut ahead = Ahead {
                orders: 0,
                shares: 0,
                is_cut: false,
            };
            for order in orders {
                let place = Place {
                    locate: order.locate,
                    side: order.side,
                    price: level.price,
                    shares: order.shares,
                    level: *level,
                    ahead,
                };
                let reference = OrderRef(order.reference);
                assert_eq!(self.books.place(reference, u32::MAX), Some(place));
                ahead.orders += 1;
                ahead.shares += u64::from(order.shares);
            }
        }
    }

    #[test]
    fn depth_queues_and_places_are_those_of_a_list_of_orders_and_the_check_finds_nothing() {
        let limits = Limits {
            orders_max: 1 << 12,
            levels_max: 1 << 8,
        };
        let mut bench = Bench {
            books: Books::new(&limits, Want::LAZY).unwrap(),
            naive: Vec::new(),
            random: fastrand::Rng::with_seed(11),
            next: 1,
        };
        let (mut cursor, counters) = (Cursor::default(), CheckCounters::default());
        for step in 0..5_000 {
            bench.step();
            if step % 20 == 0 {
                bench.compare();
            }
            // It goes on while the books change.
            bench.books.check(&mut cursor, 200, &counters, |_| ());
        }
        assert!(bench.naive.len() > 100 && counters.rounds.get() > 5);
        assert_eq!(counters.broken.get(), 0);
    }
}
