//! A check of the books that goes on while they are in use, a few orders at a time.
//!
//! ```text
//!  cursor: symbol, side, level ──> ladder's entry ──> level ──> each order of its queue
//!          one call looks at a few orders and stops between two levels
//! ```
//!
//! Thread:      feed core, hot: in turns without packets
//! Invariants:  nothing is changed. A round is over when every symbol was looked at since the last; what
//!              changes between two calls is seen as it is then.
//! Bounds:      a call looks at its budget of orders, and at one level's queue beyond it at most up to the same
//!              budget again; a longer queue is not looked through, and counted.

use protocol::types::Side;
use rt::counters;

use super::orders::NONE;
use super::{Books, ladder};

counters! {
    /// What the check of the books found.
    pub struct CheckCounters {
        /// Times that every book was looked through.
        rounds,
        /// Levels looked at.
        levels,
        /// Levels whose queue was too long to be looked through.
        levels_skipped,
        /// Levels that are not what their orders are.
        broken,
        /// Books whose best bid is at or above their best ask. Outside of auctions and halts there is none.
        crossed,
    }
}

/// Where a check goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    locate: u16,
    is_ask: bool,
    /// Levels of this side that were looked at.
    level: usize,
}

/// What is wrong with a book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A level of this symbol is not what its orders are.
    Broken(u16),
    /// The best bid of this symbol is at or above its best ask.
    Crossed(u16),
}

impl Books {
    /// Looks at about this many orders, from where it stopped, and tells what is wrong.
    pub fn check(
        &self,
        cursor: &mut Cursor,
        orders_max: u32,
        counters: &CheckCounters,
        mut on_fault: impl FnMut(Fault),
    ) {
        let mut left = orders_max;
        // An empty book costs one, too, so a call ends.
        while left > 0 {
            left -= 1;
            let side = if cursor.is_ask { Side::Sell } else { Side::Buy };
            let book = &self.books[usize::from(cursor.locate)];
            let side_ladder = book.ladder(side);
            let entries = self.ladders.entries(side_ladder);
            if cursor.level == 0 && cursor.is_ask {
                let bbo = self.bbo(cursor.locate);
                let (bid, ask) = (bbo.bid.price, bbo.ask.price);
                if bid.0 != 0 && ask.0 != 0 && bid >= ask {
                    counters.crossed.increment();
                    on_fault(Fault::Crossed(cursor.locate));
                }
            }
            let at = entries.len().checked_sub(cursor.level + 1);
            let Some(at) = at else {
                self.next_side(cursor, counters);
                continue;
            };
            cursor.level += 1;
            let level = ladder::level_of(entries[at]);
            let is_best = at + 1 == entries.len();
            let is_sorted = is_best || entries[at] >> 32 < entries[at + 1] >> 32;
            let is_reached = !is_best || side_ladder.best() == level;
            let is_whole = is_sorted && is_reached && self.is_level_of(level, cursor.locate, side);
            counters.levels.increment();
            let orders = self.levels[level].orders;
            if orders > left.max(orders_max) {
                counters.levels_skipped.increment();
            }
            let is_right = is_whole && (orders > orders_max || self.is_queue_right(level));
            left = left.saturating_sub(orders);
            if !is_right {
                counters.broken.increment();
                on_fault(Fault::Broken(cursor.locate));
            }
        }
    }

    #[inline]
    fn next_side(&self, cursor: &mut Cursor, counters: &CheckCounters) {
        cursor.level = 0;
        if !std::mem::replace(&mut cursor.is_ask, true) {
            return;
        }
        cursor.is_ask = false;
        cursor.locate = cursor.locate.wrapping_add(1);
        if cursor.locate == 0 {
            counters.rounds.increment();
        }
    }

    fn is_level_of(&self, handle: u32, locate: u16, side: Side) -> bool {
        let level = &self.levels[handle];
        let ladder = self.books[usize::from(locate)].ladder(side);
        level.locate == locate
            && level.side() == side
            && level.orders > 0
            && self.ladders.find(ladder, side, level.price) == Some(handle)
    }

    /// Whether a level's orders are one chain there and back, each found by its reference, and sum up to what
    /// the level says.
    fn is_queue_right(&self, handle: u32) -> bool {
        let level = &self.levels[handle];
        let (mut orders, mut shares) = (0, 0);
        let (mut before, mut at) = (NONE, level.head);
        while at != NONE {
            let order = &self.orders[at];
            let is_right = order.level == handle
                && order.prev == before
                && order.shares > 0
                && self.orders.find(order.reference) == Some(at);
            // A chain that has more orders than its level says may be a circle.
            if !is_right || orders == level.orders {
                return false;
            }
            orders += 1;
            shares += u64::from(order.shares);
            (before, at) = (at, order.next);
        }
        before == level.tail && orders == level.orders && shares == level.shares
    }
}

#[cfg(test)]
mod tests {
    use protocol::types::{OrderRef, Price4};
    use rt::mem::Want;

    use super::*;
    use crate::book::apply::Add;
    use crate::book::{Level, Limits};

    fn books() -> Books {
        let limits = Limits {
            orders_max: 256,
            levels_max: 64,
        };
        let mut books = Books::new(&limits, Want::LAZY).unwrap();
        for reference in 1..=100 {
            let is_bid = reference % 2 == 0;
            let price = (reference % 10) * 100;
            let add = Add {
                reference: u64::from(reference),
                shares: reference,
                price: if is_bid { 1_000 + price } else { 3_000 + price },
                locate: 0,
                side: None,
            };
            let side = if is_bid { Side::Buy } else { Side::Sell };
            let locate = u16::try_from(reference % 3).unwrap();
            assert!(books.insert(locate, side, &add));
        }
        books
    }

    /// Goes round all books, `step` orders a call.
    fn faults(books: &Books, step: u32) -> (Vec<Fault>, CheckCounters) {
        let (mut cursor, counters) = (Cursor::default(), CheckCounters::default());
        let mut faults = Vec::new();
        while counters.rounds.get() == 0 {
            books.check(&mut cursor, step, &counters, |fault| faults.push(fault));
        }
        (faults, counters)
    }

    #[test]
    fn sound_books_have_no_fault_whatever_the_step() {
        let books = books();
        for step in [8, 64, 1_000_000] {
            let (faults, counters) = faults(&books, step);
            assert_eq!(faults, []);
            assert!(counters.levels.get() >= 30, "each level of a round");
        }
    }

    #[test]
    fn each_way_in_which_a_level_is_not_its_orders_is_found() {
        type Break = fn(&mut Books, u32);
        let breaks: [Break; 6] = [
            |books, level| books.levels[level].shares += 1,
            |books, level| books.levels[level].orders += 1,
            |books, level| books.levels[level].tail = books.levels[level].head,
            |books, level| books.levels[level].price += 1,
            |books, level| {
                let head = books.levels[level].head;
                books.orders[head].level = level + 1;
            },
            |books, level| {
                let head = books.levels[level].head;
                books.orders[head].reference += 1_000;
            },
        ];
        for spoil in breaks {
            let mut books = books();
            let level = books.books[1].ladder(Side::Sell).best();
            spoil(&mut books, level);
            let (faults, _) = faults(&books, 64);
            assert_eq!(faults, [Fault::Broken(1)]);
        }
    }

    #[test]
    fn crossed_book_is_found() {
        let mut books = books();
        let add = Add {
            reference: 500,
            shares: 5,
            price: 9_000,
            locate: 2,
            side: None,
        };
        assert!(books.insert(2, Side::Buy, &add));
        assert_eq!(faults(&books, 64).0, [Fault::Crossed(2)]);
    }

    #[test]
    fn queue_longer_than_the_step_is_counted_and_not_looked_through() {
        let mut books = books();
        let level = books.books[1].ladder(Side::Sell).best();
        books.levels[level].shares += 1;
        let (faults, counters) = faults(&books, 1);
        assert_eq!(faults, []);
        assert!(counters.levels_skipped.get() > 0);
    }

    #[test]
    fn order_knows_what_stands_before_it() {
        let books = books();
        // Of symbol 1, bids: 4, 10, 16 ...; at 1,400 every fifth of them.
        let ours: Vec<_> = books.queue(1, Side::Buy, Price4(1_400)).collect();
        let all = [4, 34, 64, 94].map(|it| (OrderRef(it), u32::try_from(it).unwrap()));
        assert_eq!(ours, all);
        let place = books.place(OrderRef(64), 10).unwrap();
        assert_eq!((place.ahead.orders, place.ahead.shares), (2, 38));
        assert!(!place.ahead.is_cut);
        assert_eq!((place.locate, place.side, place.shares), (1, Side::Buy, 64));
        let whole = Level {
            price: Price4(1_400),
            shares: 196,
            orders: 4,
        };
        assert_eq!(place.level, whole);
        let cut = books.place(OrderRef(94), 2).unwrap().ahead;
        assert_eq!((cut.orders, cut.shares, cut.is_cut), (2, 98, true));
        assert_eq!(books.place(OrderRef(1_000), 2), None);
        assert_eq!(books.queue(1, Side::Buy, Price4(1)).count(), 0);
    }
}
