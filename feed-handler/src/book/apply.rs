//! What each message does to the books.
//!
//! Path:        venue -> apply -> orders, levels, ladders -> `BookSink`
//! Thread:      feed core, hot
//! When full:   an add that finds no room is refused and counted.
//! When wrong:  unknown references are counted and ignored; a second add with a live reference
//!              replaces the stale order; an execution or cancel takes at most what is left; an add
//!              without shares, price or side is rejected; a message that names an order of another symbol changes
//!              the order's book. Each is counted and leaves the book incomplete: book and
//!              message contradict each other, so one of them is not what the exchange has. So does an order
//!              whose price no book here can hold.

use protocol::types::{MatchNumber, OrderRef, Price4, Side};
use rt::counters;

use super::{BookSink, Books, Touched, TradePrint};
use crate::message::{Effect, Message};

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
        /// Changes of known orders that keep their reference.
        modifies,
        /// Books emptied by their venue.
        clears,
        /// Messages that name an order we do not have; ignored, the book is incomplete.
        missing_ref,
        /// Adds and replaces to a reference that was live; the stale order is gone, its book is
        /// incomplete.
        duplicate_ref,
        /// Adds and replaces without shares, price, side or reference; the book is incomplete.
        rejected,
        /// Executions and cancels of more shares than were left; the book is incomplete.
        clamped,
        /// Messages that name an order and another symbol than its own; the order is what counts, the books of both
        /// symbols are incomplete.
        wrong_symbol,
        /// Adds refused because memory for orders or levels is used up; the book is incomplete.
        refused_full,
        /// Orders whose price no book here can hold; the book is incomplete.
        refused_price,
        /// Messages of symbols that found every number taken; such a symbol has no book.
        refused_symbol,
    }
}

impl Books {
    /// Applies one message and tells `sink` what it changed.
    #[inline]
    pub fn apply(&mut self, message: &Message, counters: &BookCounters, sink: &mut impl BookSink) {
        match message.effect {
            Effect::None => {}
            Effect::Add(side) => self.add(&Add::new(message, side), counters, sink),
            Effect::Execute {
                match_number,
                has_price,
                is_printable,
            } => {
                let execution = Execution {
                    locate: message.locate,
                    reference: OrderRef(message.number),
                    shares: message.qty.0,
                    match_number,
                    price: has_price.then_some(message.price),
                    is_printable,
                };
                self.execute(&execution, counters, sink);
            }
            Effect::Cancel => {
                let reduction = Reduction {
                    locate: message.locate,
                    reference: message.number,
                    shares: message.qty.0,
                };
                if self.reduce(&reduction, counters, sink) {
                    counters.cancels.increment();
                }
            }
            Effect::Delete => self.delete(message.locate, message.number, counters, sink),
            Effect::Replace(old) => {
                self.replace(old.0, &Add::new(message, None), counters, sink);
            }
            Effect::Modify { keeps_priority } => {
                let change = Add::new(message, None);
                self.modify(&change, keeps_priority, counters, sink);
            }
            Effect::Status => sink.on_status(),
            Effect::Clear => self.clear_book(message.locate, counters, sink),
            Effect::Unnumbered => counters.refused_symbol.increment(),
            Effect::Unfit => self.refuse_price(message, counters, sink),
            Effect::Print(print) => sink.on_trade(&TradePrint {
                price: print.price,
                shares: print.shares,
                match_number: print.match_number,
                cross_type: print.cross_type,
                ..TradePrint::new(print.kind, message.locate)
            }),
        }
    }

    fn add(&mut self, add: &Add, counters: &BookCounters, sink: &mut impl BookSink) {
        let Some(side) = add
            .side
            .filter(|_| Self::is_valid(add.reference, add.shares, add.price))
        else {
            counters.rejected.increment();
            return self.on_contradiction(add.locate, sink);
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
        let reduction = Reduction {
            locate: execution.locate,
            reference: reference.0,
            shares: execution.shares,
        };
        if self.reduce(&reduction, counters, sink) {
            counters.executes.increment();
        }
    }

    /// Takes shares off an order, all of them at most. `false` when the order is not known.
    #[inline]
    fn reduce(
        &mut self,
        reduction: &Reduction,
        counters: &BookCounters,
        sink: &mut impl BookSink,
    ) -> bool {
        let Reduction {
            locate,
            reference,
            shares,
        } = *reduction;
        let Some(handle) = self.orders.find(reference) else {
            self.miss(locate, counters, sink);
            return false;
        };
        let order = &mut self.orders[handle];
        let level_handle = order.level;
        if shares >= order.shares {
            let is_clamped = shares > order.shares;
            let side = self.levels[level_handle].side();
            let of = self.remove(reference, handle);
            if is_clamped {
                counters.clamped.increment();
                self.on_contradiction(of, sink);
            }
            self.compare_symbols(locate, of, counters, sink);
            self.refresh(of, Touched::One(side), sink);
            return true;
        }
        order.shares -= shares;
        let level = &mut self.levels[level_handle];
        level.shares -= u64::from(shares);
        let (of, side) = (level.locate, level.side());
        self.compare_symbols(locate, of, counters, sink);
        self.refresh(of, Touched::One(side), sink);
        true
    }

    #[inline]
    fn delete(
        &mut self,
        locate: u16,
        reference: u64,
        counters: &BookCounters,
        sink: &mut impl BookSink,
    ) {
        let Some(handle) = self.orders.find(reference) else {
            return self.miss(locate, counters, sink);
        };
        counters.deletes.increment();
        let side = self.levels[self.orders[handle].level].side();
        let of = self.remove(reference, handle);
        self.compare_symbols(locate, of, counters, sink);
        self.refresh(of, Touched::One(side), sink);
    }

    /// `new`: everything of the new order but its symbol and side, which are the old one's.
    fn replace(&mut self, old: u64, new: &Add, counters: &BookCounters, sink: &mut impl BookSink) {
        let Some(handle) = self.orders.find(old) else {
            return self.miss(new.locate, counters, sink);
        };
        let level = &self.levels[self.orders[handle].level];
        let (locate, side) = (level.locate, level.side());
        self.compare_symbols(new.locate, locate, counters, sink);
        let mut touched = Touched::One(side);
        let add = Add {
            locate,
            side: Some(side),
            ..*new
        };
        if let Some(stale) = self
            .orders
            .find(add.reference)
            .filter(|_| add.reference != old)
        {
            counters.duplicate_ref.increment();
            touched = self.evict(stale, &add, touched, sink);
        }
        self.remove(old, handle);
        if !Self::is_valid(add.reference, add.shares, add.price) {
            counters.rejected.increment();
            self.on_contradiction(locate, sink);
        } else if self.insert(locate, side, &add) {
            counters.replaces.increment();
        } else {
            counters.refused_full.increment();
            sink.on_incomplete(locate);
        }
        self.refresh(locate, touched, sink);
    }

    /// Gives an order another price and other shares. At another price it goes to the end of the queue,
    /// whatever its priority: where it stood in time among those there is not known.
    fn modify(
        &mut self,
        change: &Add,
        keeps_priority: bool,
        counters: &BookCounters,
        sink: &mut impl BookSink,
    ) {
        let Some(handle) = self.orders.find(change.reference) else {
            return self.miss(change.locate, counters, sink);
        };
        let locate = self.levels[self.orders[handle].level].locate;
        self.compare_symbols(change.locate, locate, counters, sink);
        let order = &mut self.orders[handle];
        let level = &mut self.levels[order.level];
        let side = level.side();
        if keeps_priority && level.price == change.price && change.shares != 0 {
            level.shares = level.shares - u64::from(order.shares) + u64::from(change.shares);
            order.shares = change.shares;
            counters.modifies.increment();
            return self.refresh(locate, Touched::One(side), sink);
        }
        self.remove(change.reference, handle);
        if !Self::is_valid(change.reference, change.shares, change.price) {
            counters.rejected.increment();
            self.on_contradiction(locate, sink);
        } else if self.insert(locate, side, change) {
            counters.modifies.increment();
        } else {
            counters.refused_full.increment();
            sink.on_incomplete(locate);
        }
        self.refresh(locate, Touched::One(side), sink);
    }

    /// The venue emptied a book. It takes time in proportion to the orders in it.
    #[cold]
    fn clear_book(&mut self, locate: u16, counters: &BookCounters, sink: &mut impl BookSink) {
        counters.clears.increment();
        self.empty(locate);
        self.refresh(locate, Touched::Both, sink);
    }

    #[cold]
    fn refuse_price(
        &mut self,
        message: &Message,
        counters: &BookCounters,
        sink: &mut impl BookSink,
    ) {
        counters.refused_price.increment();
        self.on_contradiction(message.locate, sink);
        if let Some(handle) = self.orders.find(message.number) {
            let locate = self.remove(message.number, handle);
            self.compare_symbols(message.locate, locate, counters, sink);
            self.refresh(locate, Touched::Both, sink);
        }
    }

    /// An order's symbol, and the one that a message names it by.
    #[inline]
    fn compare_symbols(
        &mut self,
        named: u16,
        of: u16,
        counters: &BookCounters,
        sink: &mut impl BookSink,
    ) {
        if named != of {
            self.on_wrong_symbol([named, of], counters, sink);
        }
    }

    /// One of the two books is not what the exchange has, and nobody knows which.
    #[cold]
    fn on_wrong_symbol(
        &mut self,
        symbols: [u16; 2],
        counters: &BookCounters,
        sink: &mut impl BookSink,
    ) {
        counters.wrong_symbol.increment();
        for locate in symbols {
            self.on_contradiction(locate, sink);
        }
    }

    /// The order that a message names is not there: a book lacks it, and nobody knows what else.
    #[cold]
    fn miss(&mut self, locate: u16, counters: &BookCounters, sink: &mut impl BookSink) {
        counters.missing_ref.increment();
        self.on_contradiction(locate, sink);
    }

    /// This symbol's book is not what the exchange has, until a snapshot or a new day.
    #[cold]
    fn on_contradiction(&mut self, locate: u16, sink: &mut impl BookSink) {
        self.contradict(locate);
        sink.on_incomplete(locate);
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
        self.on_contradiction(evicted, sink);
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

/// Shares that leave an order.
struct Reduction {
    /// The message's.
    locate: u16,
    reference: u64,
    shares: u32,
}

/// An execution, at the order's price or at one of its own.
struct Execution {
    /// The message's.
    locate: u16,
    reference: OrderRef,
    shares: u32,
    match_number: MatchNumber,
    /// `None`: the order's.
    price: Option<Price4>,
    is_printable: bool,
}

/// An order that joins a book.
#[derive(Clone, Copy)]
pub(super) struct Add {
    pub(super) reference: u64,
    pub(super) locate: u16,
    pub(super) side: Option<Side>,
    pub(super) shares: u32,
    pub(super) price: u32,
}

impl Add {
    #[inline]
    fn new(message: &Message, side: Option<Side>) -> Self {
        Self {
            reference: message.number,
            locate: message.locate,
            side,
            shares: message.qty.0,
            price: message.price.0,
        }
    }
}
