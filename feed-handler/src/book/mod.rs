//! Books for every symbol: each displayed order by its reference, each level by its price, the best
//! bid and offer, and the trades.
//!
//! ```text
//!  message -> apply -> orders (reference -> order) -> levels (price queue) -> ladder (sorted prices) -> best
//! ```
//!
//! Thread:      feed core, hot
//! Invariants:  an order is in exactly one level's queue, a level in exactly one ladder; a level has
//!              at least one order; the best price of a side is the end of its ladder.
//! When full:   an add that finds no room is refused and counted, and its book is marked incomplete
//!              for the day: it no longer shows what the exchange has.
//! When wrong:  `apply` says what becomes of each message that cannot be.
//! Spec:        TotalView-ITCH 5.0 sections 1.3 to 1.5. What makes a row of best prices or trades is
//!              what the independent `itch-book` chose, so that both can be compared.

#![allow(
    clippy::indexing_slicing,
    reason = "handles are made here and stay in bounds; a wrong one must stop the process, not bend a book"
)]

mod apply;
mod changes;
mod check;
mod ladder;
mod levels;
pub mod orders;
mod prefetch;
mod view;

use std::hint::select_unpredictable;
use std::io;

use protocol::types::{OrderRef, Price4, Side};
use rt::mem::{Pages, Want};
use zerocopy::FromZeros;

use crate::best_prices::BestPrice;

pub use crate::depth::Level;
pub use apply::BookCounters;
pub use changes::{Bbo, BookSink, TradePrint};
pub use check::{CheckCounters, Cursor, Fault};
pub use prefetch::{Glimpse, Target};
pub use view::{Ahead, Place};

use apply::Add;
use ladder::{Ladder, Ladders};
use levels::Levels;
use orders::{NONE, Orders};

/// How much memory the books may take. All of it is mapped at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Displayed orders at one time, over all symbols, whatever their references; 24 bytes each, and 32 to
    /// 64 to find them by (a power of two slots: a power of two orders wastes none).
    pub orders_max: u32,
    /// Price levels at one time, over all symbols and sides; 32 bytes each, and 32 for the ladders.
    pub levels_max: u32,
}

impl Limits {
    /// For a gateway on one venue: 155 MB.
    pub const GATEWAY: Self = Self {
        orders_max: 1 << 21,
        levels_max: 1 << 19,
    };
    /// For a full day in a tool: mapped, not touched, so memory is what the day needs.
    pub const TOOL: Self = Self {
        orders_max: 1 << 23,
        levels_max: 1 << 22,
    };

    /// Memory that these bounds take, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let books = (1 << 16) * size_of::<Book>() as u64;
        books + Orders::bytes(self.orders_max) + u64::from(self.levels_max) * 64
    }
}

/// One symbol's book: one cache line.
#[derive(Clone, Copy, Debug, FromZeros)]
#[repr(C, align(64))]
struct Book {
    /// Of bids and asks, as everything that is two of a kind here: a side is an index and not a branch, for which one
    /// comes next cannot be guessed.
    ladders: [Ladder; 2],
    /// What `on_bbo` said last.
    said_shares: [u64; 2],
    said_prices: [u32; 2],
    /// Not zero: an order was refused, for want of memory or for its price.
    incomplete: u8,
    _pad: [u8; 15],
}

const _: () = assert!(size_of::<Book>() == 64);

/// Every symbol's book. Locate codes are 16 bits, so there is one for each.
#[derive(Debug)]
pub struct Books {
    books: Pages<Book>,
    orders: Orders,
    levels: Levels,
    ladders: Ladders,
    /// A message has contradicted a book since somebody last asked.
    is_contradicted: bool,
}

/// Which sides' best price a message may have changed.
#[derive(Clone, Copy)]
enum Touched {
    One(Side),
    Both,
}

impl Books {
    /// Maps all memory.
    ///
    /// # Errors
    /// The host has not that much.
    pub fn new(limits: &Limits, want: Want) -> io::Result<Self> {
        Ok(Self {
            books: Pages::zeroed(1 << 16, want)?,
            orders: Orders::new(limits, want)?,
            levels: Levels::new(limits.levels_max, want)?,
            ladders: Ladders::new(limits.levels_max, want)?,
            is_contradicted: false,
        })
    }

    /// Empties every book: a new day begins. It looks at each book and takes each order out, so it
    /// takes time in proportion to what is live: nearly none after a day that ended in order.
    #[cold]
    pub fn clear(&mut self) {
        for locate in 0..=u16::MAX {
            self.empty(locate);
            let book = &mut self.books[usize::from(locate)];
            (book.said_prices, book.said_shares) = ([0; 2], [0; 2]);
            book.incomplete = 0;
        }
        self.is_contradicted = false;
        debug_assert_eq!(self.orders_live(), 0, "every order was in a book");
    }

    /// Takes every order out of a book that is incomplete, for the memory that they take.
    #[cold]
    pub(crate) fn abandon(&mut self, locate: u16) {
        self.set_incomplete(locate);
        self.empty(locate);
    }

    /// Takes every order out of a book and tells nobody.
    fn empty(&mut self, locate: u16) {
        for side in [Side::Buy, Side::Sell] {
            // Each turn takes one order out, so it ends.
            loop {
                let level = self.books[usize::from(locate)].ladder(side).best();
                if level == NONE {
                    break;
                }
                let handle = self.levels[level].head;
                self.remove(self.orders[handle].reference, handle);
            }
        }
    }

    /// The best bid and offer of a symbol now.
    #[inline]
    #[must_use]
    pub fn bbo(&self, locate: u16) -> Bbo {
        let book = &self.books[usize::from(locate)];
        Bbo {
            bid: self.best_level(book.ladder(Side::Buy)),
            ask: self.best_level(book.ladder(Side::Sell)),
        }
    }

    /// The best prices of a symbol as they were told last: after each message, those of now. One cache
    /// line, where [`Books::bbo`] looks at three.
    #[inline]
    #[must_use]
    pub fn best(&self, locate: u16) -> BestPrice {
        let book = &self.books[usize::from(locate)];
        let ([bid_price, ask_price], [bid_shares, ask_shares]) =
            (book.said_prices, book.said_shares);
        BestPrice {
            bid_price: Price4(bid_price),
            bid_qty: changes::cut(bid_shares),
            ask_price: Price4(ask_price),
            ask_qty: changes::cut(ask_shares),
        }
    }

    /// Whether this symbol's book may be another than the exchange's: an order was refused for want of memory or for
    /// its price, or a message contradicted the book.
    #[must_use]
    pub fn is_incomplete(&self, locate: u16) -> bool {
        self.books[usize::from(locate)].incomplete != 0
    }

    /// This symbol's book is not what the exchange has, until a snapshot or a new day.
    #[cold]
    pub fn set_incomplete(&mut self, locate: u16) {
        self.books[usize::from(locate)].incomplete = 1;
    }

    /// A book is another than its messages or its orders say: a snapshot would help.
    #[cold]
    pub(crate) fn contradict(&mut self, locate: u16) {
        self.set_incomplete(locate);
        self.is_contradicted = true;
    }

    /// Whether a book was contradicted since the last call.
    pub(crate) fn take_contradiction(&mut self) -> bool {
        std::mem::take(&mut self.is_contradicted)
    }

    /// Orders in all books.
    #[must_use]
    pub fn orders_live(&self) -> u32 {
        self.orders.live()
    }

    /// The oldest order of a symbol's best level, and its shares.
    #[must_use]
    pub fn first_in_queue(&self, locate: u16, side: Side) -> Option<(OrderRef, u32)> {
        let ladder = self.books[usize::from(locate)].ladder(side);
        let level = ladder.best();
        if level == NONE {
            return None;
        }
        let order = &self.orders[self.levels[level].head];
        Some((OrderRef(order.reference), order.shares))
    }

    /// What is left of an order: symbol, side, price and shares; `None` when it is not live.
    #[must_use]
    pub fn order(&self, reference: OrderRef) -> Option<(u16, Side, Price4, u32)> {
        let order = &self.orders[self.orders.find(reference.0)?];
        let level = &self.levels[order.level];
        Some((
            level.locate,
            level.side(),
            Price4(level.price),
            order.shares,
        ))
    }

    /// Levels of a side from the best, with their queues' shares in order. For checks and views: it
    /// walks every order.
    pub fn levels(
        &self,
        locate: u16,
        side: Side,
    ) -> impl Iterator<Item = (Level, Vec<(OrderRef, u32)>)> {
        let ladder = self.books[usize::from(locate)].ladder(side);
        self.ladders.entries(ladder).iter().rev().map(|entry| {
            let level = &self.levels[ladder::level_of(*entry)];
            let mut queue = Vec::new();
            let mut handle = level.head;
            while handle != NONE {
                let order = &self.orders[handle];
                queue.push((OrderRef(order.reference), order.shares));
                handle = order.next;
            }
            (level.level(), queue)
        })
    }

    /// Appends an order to its level's queue. `false`, and the book is incomplete, when there is no
    /// room for it.
    #[inline]
    fn insert(&mut self, locate: u16, side: Side, add: &Add) -> bool {
        let book = &mut self.books[usize::from(locate)];
        let ladder = book.ladder_mut(side);
        let level = self.ladders.find_or_insert(ladder, side, add.price, || {
            self.levels.acquire(locate, side, add.price)
        });
        let Some(level) = level else {
            book.incomplete = 1;
            return false;
        };
        let Some(handle) = self.orders.acquire(add.reference) else {
            if self.levels[level].orders == 0 {
                self.ladders.erase(ladder, side, add.price);
                self.levels.release(level);
            }
            book.incomplete = 1;
            return false;
        };
        let queue = &mut self.levels[level];
        queue.shares += u64::from(add.shares);
        queue.orders += 1;
        let tail = std::mem::replace(&mut queue.tail, handle);
        queue.head = select_unpredictable(tail == NONE, handle, queue.head);
        let order = &mut self.orders[handle];
        order.shares = add.shares;
        order.level = level;
        order.prev = tail;
        order.next = NONE;
        // What has no neighbour writes to order 0, which is nobody's: whether there is one cannot be guessed.
        self.orders[tail].next = handle;
        true
    }

    /// Takes an order out of its queue, and an empty level out of its ladder. Returns the symbol.
    #[inline]
    fn remove(&mut self, reference: u64, handle: u32) -> u16 {
        let order = self.orders[handle];
        let level = &mut self.levels[order.level];
        let locate = level.locate;
        level.shares -= u64::from(order.shares);
        level.orders -= 1;
        let (is_first, is_last) = (order.prev == NONE, order.next == NONE);
        level.head = select_unpredictable(is_first, order.next, level.head);
        level.tail = select_unpredictable(is_last, order.prev, level.tail);
        let is_empty = level.orders == 0;
        self.orders[order.prev].next = order.next;
        self.orders[order.next].prev = order.prev;
        if is_empty {
            let level = &self.levels[order.level];
            let (side, price) = (level.side(), level.price);
            let ladder = self.books[usize::from(locate)].ladder_mut(side);
            self.ladders.erase(ladder, side, price);
            self.levels.release(order.level);
        }
        self.orders.release(reference, handle);
        locate
    }

    /// Tells `sink` when the best price or its shares are not what was said last.
    #[inline]
    fn refresh(&mut self, locate: u16, touched: Touched, sink: &mut impl BookSink) {
        sink.on_moved(locate, |side| self.depth(locate, side));
        let changed = match touched {
            Touched::One(side) => self.say(locate, side),
            Touched::Both => self.say(locate, Side::Buy) | self.say(locate, Side::Sell),
        };
        if changed {
            sink.on_bbo(locate, &self.bbo(locate));
        }
    }

    /// Whether a side's best price or its shares are not what was said last; from now on they are.
    #[inline]
    fn say(&mut self, locate: u16, side: Side) -> bool {
        let book = &mut self.books[usize::from(locate)];
        let at = index(side);
        let (price, shares) = self.levels.best_of(book.ladders[at].best());
        let changed = (price != book.said_prices[at]) | (shares != book.said_shares[at]);
        (book.said_prices[at], book.said_shares[at]) = (price, shares);
        changed
    }

    #[inline]
    fn best_level(&self, ladder: &Ladder) -> Level {
        match ladder.best() {
            NONE => Level::default(),
            level => self.levels[level].level(),
        }
    }
}

impl Book {
    #[inline]
    fn ladder(&self, side: Side) -> &Ladder {
        &self.ladders[index(side)]
    }

    #[inline]
    fn ladder_mut(&mut self, side: Side) -> &mut Ladder {
        &mut self.ladders[index(side)]
    }
}

/// Bids before asks.
#[inline]
fn index(side: Side) -> usize {
    usize::from(side == Side::Sell)
}
