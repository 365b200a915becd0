//! What each ITCH message does to the books.
//!
//! Path:        protocol::itch -> apply -> orders, levels, ladders -> `BookSink`
//! Thread:      feed core, hot
//! When full:   an add that finds no room is refused and counted.
//! When wrong:  unknown references are counted and ignored; a second add with a live reference
//!              replaces the stale order; an execution or cancel takes at most what is left; an add
//!              without shares, price or side is rejected and counted.

use protocol::itch::{self, Message};
use protocol::types::{MatchNumber, OrderRef, Price4, Side};
use rt::counters;

use super::{BookSink, Books, Touched, TradePrint};

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

impl Books {
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
pub(super) struct Add {
    pub(super) reference: u64,
    pub(super) locate: u16,
    pub(super) side: Option<Side>,
    pub(super) shares: u32,
    pub(super) price: u32,
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
