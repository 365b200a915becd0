//! Books for every symbol: each displayed order by its reference, each level by its price, the best
//! bid and offer, and the trades.
//!
//! ```text
//!  message -> orders (reference -> order) -> levels (price queue) -> ladder (sorted prices) -> best
//! ```
//!
//! Thread:      feed core, hot
//! Invariants:  an order is in exactly one level's queue, a level in exactly one ladder; a level has
//!              at least one order; the best price of a side is the end of its ladder.
//! When full:   an add that finds no room is refused and counted, and its book is marked incomplete
//!              for the day: it no longer shows what the exchange has.
//! When wrong:  unknown references are counted and ignored; a second add with a live reference
//!              replaces the stale order; an execution or cancel takes at most what is left; an add
//!              without shares, price or side is rejected and counted.
//! Spec:        TotalView-ITCH 5.0 sections 1.3 to 1.5. What makes a row of best prices or trades is
//!              what the independent `itch-book` chose, so that both can be compared.

#![allow(
    clippy::indexing_slicing,
    reason = "handles are made here and stay in bounds; a wrong one must stop the process, not bend a book"
)]

mod changes;
mod ladder;
mod levels;
pub mod orders;

use std::io;

use protocol::itch::{self, Message};
use protocol::types::{MatchNumber, OrderRef, Price4, Side};
use rt::counters;
use rt::mem::{Pages, Want};
use zerocopy::FromZeros;

pub use changes::{Bbo, BookSink, Top, TradePrint};

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

counters! {
    /// What the books did with messages.
    pub struct BookCounters {
        /// Orders added to a book.
        adds,
        /// Executions of known orders.
        executes,
        /// Partial cancels of known orders.
        cancels,
        /// Deletes of known orders.
        deletes,
        /// Replaces of known orders.
        replaces,
        /// Messages that name an order we do not have; ignored.
        missing_ref,
        /// Adds and replaces to a reference that was live; the stale order is gone.
        duplicate_ref,
        /// Adds and replaces without shares, price, side or reference.
        rejected,
        /// Executions and cancels of more shares than were left.
        clamped,
        /// Adds refused because memory for orders or levels is used up; the book is incomplete.
        refused_full,
    }
}

/// One symbol's book: one cache line.
#[derive(Clone, Copy, Debug, FromZeros)]
#[repr(C, align(64))]
struct Book {
    bids: Ladder,
    asks: Ladder,
    /// What `on_bbo` said last: prices and shares.
    said_bid_shares: u64,
    said_ask_shares: u64,
    said_bid_price: u32,
    said_ask_price: u32,
    /// Not zero: an order was refused for want of memory.
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
        })
    }

    /// Applies one message and tells `sink` what it changed.
    #[inline]
    pub fn apply(
        &mut self,
        message: &Message<'_>,
        counters: &BookCounters,
        sink: &mut impl BookSink,
    ) {
        match message {
            Message::AddOrder(m) => {
                let head = &m.head;
                let add = Add::new(head, m.order.get(), m.side, m.shares.get().0, m.price.get());
                self.add(&add, counters, sink);
            }
            Message::AddOrderMpid(m) => {
                let head = &m.head;
                let add = Add::new(head, m.order.get(), m.side, m.shares.get().0, m.price.get());
                self.add(&add, counters, sink);
            }
            Message::OrderExecuted(m) => {
                let execution = Execution {
                    reference: m.order.get(),
                    shares: m.shares.get().0,
                    match_number: m.match_number.get(),
                    price: None,
                    is_printable: true,
                };
                self.execute(&execution, counters, sink);
            }
            Message::OrderExecutedWithPrice(m) => {
                let execution = Execution {
                    reference: m.order.get(),
                    shares: m.shares.get().0,
                    match_number: m.match_number.get(),
                    price: Some(m.price.get()),
                    is_printable: m.printable == b'Y',
                };
                self.execute(&execution, counters, sink);
            }
            Message::OrderCancel(m) => self.cancel(m, counters, sink),
            Message::OrderDelete(m) => self.delete(m.order.get(), counters, sink),
            Message::OrderReplace(m) => self.replace(m, counters, sink),
            Message::Trade(m) => sink.on_trade(&TradePrint {
                price: m.price.get(),
                shares: u64::from(m.shares.get().0),
                match_number: m.match_number.get(),
                ..TradePrint::new(b'P', m.head.locate.get())
            }),
            Message::CrossTrade(m) => sink.on_trade(&TradePrint {
                price: m.price.get(),
                shares: m.shares.get(),
                match_number: m.match_number.get(),
                cross_type: m.cross_type,
                ..TradePrint::new(b'Q', m.head.locate.get())
            }),
            Message::BrokenTrade(m) => sink.on_trade(&TradePrint {
                match_number: m.match_number.get(),
                ..TradePrint::new(b'B', m.head.locate.get())
            }),
            _ => {}
        }
    }

    /// Empties every book: a new day begins. It looks at each book and takes each order out, so it
    /// takes time in proportion to what is live: nearly none after a day that ended in order.
    #[cold]
    pub fn clear(&mut self) {
        for locate in 0..=u16::MAX {
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
            let book = &mut self.books[usize::from(locate)];
            (book.said_bid_price, book.said_bid_shares) = (0, 0);
            (book.said_ask_price, book.said_ask_shares) = (0, 0);
            book.incomplete = 0;
        }
        debug_assert_eq!(self.orders_live(), 0, "every order was in a book");
    }

    /// The best bid and offer of a symbol now.
    #[inline]
    #[must_use]
    pub fn bbo(&self, locate: u16) -> Bbo {
        let book = &self.books[usize::from(locate)];
        Bbo {
            bid: self.top(&book.bids),
            ask: self.top(&book.asks),
        }
    }

    /// Whether an order of this symbol was refused for want of memory.
    #[must_use]
    pub fn is_incomplete(&self, locate: u16) -> bool {
        self.books[usize::from(locate)].incomplete != 0
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
    ) -> impl Iterator<Item = (Top, Vec<(OrderRef, u32)>)> {
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
            (level.top(), queue)
        })
    }

    fn add(&mut self, add: &Add, counters: &BookCounters, sink: &mut impl BookSink) {
        let Some(side) = add
            .side
            .filter(|_| Self::is_valid(add.reference, add.shares, add.price))
        else {
            return counters.rejected.increment();
        };
        let mut touched = Touched::One(side);
        if let Some(stale) = self.orders.find(add.reference) {
            counters.duplicate_ref.increment();
            touched = self.evict(stale, add, touched, sink);
        }
        if self.insert(add.locate, side, add) {
            counters.adds.increment();
        } else {
            counters.refused_full.increment();
            sink.on_incomplete(add.locate);
        }
        self.refresh(add.locate, touched, sink);
    }

    #[inline]
    fn execute(
        &mut self,
        execution: &Execution,
        counters: &BookCounters,
        sink: &mut impl BookSink,
    ) {
        let reference = execution.reference;
        // A print that is not printable comes again in a cross or bulk trade.
        if let Some(handle) = self
            .orders
            .find(reference.0)
            .filter(|_| execution.is_printable)
        {
            let level = &self.levels[self.orders[handle].level];
            let kind = if execution.price.is_none() {
                b'E'
            } else {
                b'C'
            };
            sink.on_trade(&TradePrint {
                price: execution.price.unwrap_or(Price4(level.price)),
                shares: u64::from(execution.shares),
                side: Some(level.side()),
                order: reference,
                match_number: execution.match_number,
                ..TradePrint::new(kind, level.locate)
            });
        }
        if self.reduce(reference, execution.shares, counters, sink) {
            counters.executes.increment();
        }
    }

    fn cancel(&mut self, m: &itch::OrderCancel, counters: &BookCounters, sink: &mut impl BookSink) {
        if self.reduce(m.order.get(), m.shares.get().0, counters, sink) {
            counters.cancels.increment();
        }
    }

    /// Takes shares off an order, all of them at most. `false` when the order is not known.
    #[inline]
    fn reduce(
        &mut self,
        reference: OrderRef,
        shares: u32,
        counters: &BookCounters,
        sink: &mut impl BookSink,
    ) -> bool {
        let Some(handle) = self.orders.find(reference.0) else {
            counters.missing_ref.increment();
            return false;
        };
        let order = &mut self.orders[handle];
        let level_handle = order.level;
        if shares >= order.shares {
            if shares > order.shares {
                counters.clamped.increment();
            }
            let side = self.levels[level_handle].side();
            let locate = self.remove(reference.0, handle);
            self.refresh(locate, Touched::One(side), sink);
            return true;
        }
        order.shares -= shares;
        let level = &mut self.levels[level_handle];
        level.shares -= u64::from(shares);
        let (locate, side) = (level.locate, level.side());
        self.refresh(locate, Touched::One(side), sink);
        true
    }

    #[inline]
    fn delete(&mut self, reference: OrderRef, counters: &BookCounters, sink: &mut impl BookSink) {
        let Some(handle) = self.orders.find(reference.0) else {
            return counters.missing_ref.increment();
        };
        counters.deletes.increment();
        let side = self.levels[self.orders[handle].level].side();
        let locate = self.remove(reference.0, handle);
        self.refresh(locate, Touched::One(side), sink);
    }

    fn replace(
        &mut self,
        m: &itch::OrderReplace,
        counters: &BookCounters,
        sink: &mut impl BookSink,
    ) {
        let (old, new) = (m.old_order.get().0, m.new_order.get().0);
        let Some(handle) = self.orders.find(old) else {
            return counters.missing_ref.increment();
        };
        let level = &self.levels[self.orders[handle].level];
        let (locate, side) = (level.locate, level.side());
        let mut touched = Touched::One(side);
        let (shares, price) = (m.shares.get().0, m.price.get());
        let add = Add {
            reference: new,
            locate,
            side: Some(side),
            shares,
            price: price.0,
        };
        if let Some(stale) = self.orders.find(new).filter(|_| new != old) {
            counters.duplicate_ref.increment();
            touched = self.evict(stale, &add, touched, sink);
        }
        self.remove(old, handle);
        if !Self::is_valid(new, shares, price.0) {
            counters.rejected.increment();
        } else if self.insert(locate, side, &add) {
            counters.replaces.increment();
        } else {
            counters.refused_full.increment();
            sink.on_incomplete(locate);
        }
        self.refresh(locate, touched, sink);
    }

    /// Takes away the stale order whose reference comes again. Returns what the add touches then.
    #[cold]
    fn evict(
        &mut self,
        stale: u32,
        add: &Add,
        touched: Touched,
        sink: &mut impl BookSink,
    ) -> Touched {
        let evicted = self.remove(add.reference, stale);
        if evicted == add.locate {
            return Touched::Both;
        }
        self.refresh(evicted, Touched::Both, sink);
        touched
    }

    fn is_valid(reference: u64, shares: u32, price: u32) -> bool {
        shares != 0 && price != 0 && reference != 0
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
        let order = &mut self.orders[handle];
        order.shares = add.shares;
        order.level = level;
        order.prev = tail;
        order.next = NONE;
        if tail == NONE {
            self.levels[level].head = handle;
        } else {
            self.orders[tail].next = handle;
        }
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
        if order.prev == NONE {
            level.head = order.next;
        } else {
            self.orders[order.prev].next = order.next;
        }
        if order.next == NONE {
            level.tail = order.prev;
        } else {
            self.orders[order.next].prev = order.prev;
        }
        if level.orders == 0 {
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
        let book = &mut self.books[usize::from(locate)];
        let mut changed = false;
        if !matches!(touched, Touched::One(Side::Sell)) {
            let (price, shares) = self.levels.best_of(book.bids.best());
            changed |= (price, shares) != (book.said_bid_price, book.said_bid_shares);
            (book.said_bid_price, book.said_bid_shares) = (price, shares);
        }
        if !matches!(touched, Touched::One(Side::Buy)) {
            let (price, shares) = self.levels.best_of(book.asks.best());
            changed |= (price, shares) != (book.said_ask_price, book.said_ask_shares);
            (book.said_ask_price, book.said_ask_shares) = (price, shares);
        }
        if changed {
            sink.on_bbo(locate, &self.bbo(locate));
        }
    }

    #[inline]
    fn top(&self, ladder: &Ladder) -> Top {
        match ladder.best() {
            NONE => Top::default(),
            level => self.levels[level].top(),
        }
    }
}

impl Book {
    #[inline]
    fn ladder(&self, side: Side) -> &Ladder {
        match side {
            Side::Buy => &self.bids,
            Side::Sell => &self.asks,
        }
    }

    #[inline]
    fn ladder_mut(&mut self, side: Side) -> &mut Ladder {
        match side {
            Side::Buy => &mut self.bids,
            Side::Sell => &mut self.asks,
        }
    }
}

/// The two kinds of execution, in host byte order.
struct Execution {
    reference: OrderRef,
    shares: u32,
    match_number: MatchNumber,
    /// `None`: the order's.
    price: Option<Price4>,
    is_printable: bool,
}

/// The two kinds of add, in host byte order.
struct Add {
    reference: u64,
    locate: u16,
    side: Option<Side>,
    shares: u32,
    price: u32,
}

impl Add {
    #[inline]
    fn new(head: &itch::Head, reference: OrderRef, side: u8, shares: u32, price: Price4) -> Self {
        // ITCH knows two sides; the short sales that `Side::of_code` accepts are OUCH's.
        let side = match side {
            b'B' => Some(Side::Buy),
            b'S' => Some(Side::Sell),
            _ => None,
        };
        Self {
            reference: reference.0,
            locate: head.locate.get(),
            side,
            shares,
            price: price.0,
        }
    }
}
