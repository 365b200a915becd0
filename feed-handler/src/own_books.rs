//! Books of a strategy's own, order by order, made of the events that it hears.
//!
//! ```text
//!  feed core:      message ──> books ──> event ──> ring
//!  strategy core:                                  ring ──> listener ──> own books ──> depth, queues, places
//!                                                           the code of `book`
//! ```
//!
//! Thread:      strategy core, hot
//! Invariants:  a book is shown only while it is what the feed's own was at the event that was heard last. What a
//!              strategy did not hear, or what contradicts itself, hides a book and is never guessed. After each event
//!              the best prices are compared with those that the event tells.
//! When full:   an order that finds no room hides its symbol's book for the day, and its orders make room.
//! When wrong:  after a gap or a lag every book is hidden until the next session: events do not tell what stood
//!              before. A silence hides them while it lasts, and so does whatever makes a row of the table stale.
//! Work:        the end of a session empties every book: about a millisecond, once a day.

use std::io;
use std::sync::Arc;

use protocol::types::{MatchNumber, OrderRef, Price4, Side};
use rt::counters;
use rt::mem::Want;

use crate::best_prices::BestPrices;
use crate::book::{Bbo, BookCounters, BookSink, Books, Level, Limits, Place, TradePrint};
use crate::event::{FLAG_KEEPS_PRIORITY, FLAG_STALE, Kind, MarketEvent};
use crate::message::{Effect, Message};
use crate::publish::{Locates, Subscription};

counters! {
    /// What became of a strategy's own books.
    pub struct OwnBookCounters {
        /// Times that all books were lost until the next session: a gap or a lag.
        books_lost,
        /// Books of single symbols that were lost until the next session.
        symbols_lost,
    }
    with {
        /// What the books did with events.
        book: BookCounters,
    }
}

/// The books of the symbols that a strategy hears.
#[derive(Debug)]
pub struct OwnBooks {
    books: Books,
    prices: Arc<BestPrices>,
    hears_all: bool,
    /// What it hears, where that is not everything.
    follows: Locates,
    standing: Standing,
    /// The order that the next event replaces, and that event's number.
    leaving: Option<(u64, OrderRef)>,
    counters: Arc<OwnBookCounters>,
}

/// What is known of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Every event since its beginning.
    Whole,
    /// Something was missed.
    Lost,
    /// It is over, and the next has not begun as far as is known: what it would go on to say has this number or a later
    /// one. `has_spoken`: something came that may be its own or the next one's.
    Ended { next_seq: u64, has_spoken: bool },
}

impl OwnBooks {
    /// Takes memory for this many live orders, 4 MiB and some 150 bytes each. `prices`: the table of the feed whose
    /// events it is told, from the first one on; `subscription`: which those are.
    ///
    /// # Errors
    /// The host has not that much.
    pub fn new(
        orders_max: u32,
        prices: Arc<BestPrices>,
        subscription: &Subscription,
        want: Want,
    ) -> io::Result<Self> {
        // Each order may have a level to itself, so that it is orders that run out.
        let limits = Limits {
            orders_max,
            levels_max: orders_max,
        };
        Ok(Self {
            books: Books::new(&limits, want)?,
            prices,
            hears_all: *subscription == Subscription::All,
            follows: Locates::new(),
            standing: Standing::Whole,
            leaving: None,
            counters: Arc::default(),
        })
    }

    /// What became of them.
    #[must_use]
    pub fn counters(&self) -> &Arc<OwnBookCounters> {
        &self.counters
    }

    /// Whether this symbol's book is known, order by order, up to the event that was heard last.
    #[must_use]
    pub fn is_complete(&self, locate: u16) -> bool {
        let is_heard = self.hears_all || self.follows.contains(locate);
        self.standing == Standing::Whole
            && is_heard
            && locate != 0
            && !self.books.is_incomplete(locate)
            && !self.prices.is_stale(locate)
    }

    /// The levels of a side from the best; `None`: the book is not known.
    #[must_use]
    pub fn depth(&self, locate: u16, side: Side) -> Option<impl Iterator<Item = Level>> {
        self.is_complete(locate)
            .then(|| self.books.depth(locate, side))
    }

    /// The orders at a price in the order in which they trade, each with what is left of it; `None`: the book is not
    /// known.
    #[must_use]
    pub fn queue(
        &self,
        locate: u16,
        side: Side,
        price: Price4,
    ) -> Option<impl Iterator<Item = (OrderRef, u32)>> {
        self.is_complete(locate)
            .then(|| self.books.queue(locate, side, price))
    }

    /// Where a live order stands, and the orders and shares that trade before it at its price: `orders_max` of them are
    /// looked at. `None`: it is not live, not of a symbol that is heard, not displayed, or its book is not known.
    #[must_use]
    pub fn place(&self, reference: OrderRef, orders_max: u32) -> Option<Place> {
        let place = self.books.place(reference, orders_max)?;
        self.is_complete(place.locate).then_some(place)
    }

    /// Takes the next event that the strategy hears.
    #[inline]
    pub fn on_event(&mut self, event: &MarketEvent) {
        let effect = match event.kind {
            Kind::Add => Effect::Add(event.side()),
            Kind::Execute => Effect::Execute {
                match_number: MatchNumber(0),
                has_price: false,
                is_printable: false,
            },
            Kind::Cancel => Effect::Cancel,
            Kind::Delete => Effect::Delete,
            Kind::Leave => {
                self.leaving = Some((event.origin.seq, OrderRef(event.number)));
                return;
            }
            Kind::Replace => match self.leaving.take() {
                Some((seq, old)) if seq == event.origin.seq => Effect::Replace(old),
                // Nobody said which order left.
                _ => return self.lose(event.locate),
            },
            Kind::Modify => Effect::Modify {
                keeps_priority: event.has(FLAG_KEEPS_PRIORITY),
            },
            Kind::Clear => Effect::Clear,
            _ => return self.on_other(event),
        };
        self.begin_if_ended(event);
        if self.standing != Standing::Lost && !self.books.is_incomplete(event.locate) {
            self.apply(event, effect);
        }
    }

    /// A message of a session after the last one's end.
    #[inline]
    fn begin_if_ended(&mut self, event: &MarketEvent) {
        if matches!(self.standing, Standing::Ended { .. }) {
            self.begin(event.origin.seq);
        }
    }

    /// Numbers ascend: one that the finished session had is the next session's. Of a later one it is not known whose it is.
    #[cold]
    fn begin(&mut self, seq: u64) {
        let Standing::Ended {
            next_seq,
            has_spoken,
        } = self.standing
        else {
            return;
        };
        if seq >= next_seq {
            self.standing = Standing::Ended {
                next_seq: seq + 1,
                has_spoken: true,
            };
            return;
        }
        if has_spoken {
            self.forget();
        }
        self.standing = Standing::Whole;
    }

    /// No order lives, and no code stands for a symbol.
    fn forget(&mut self) {
        self.books.clear();
        self.follows.forget();
        self.leaving = None;
    }

    #[inline]
    fn apply(&mut self, event: &MarketEvent, effect: Effect) {
        let locate = event.locate;
        let message = Message {
            number: event.number,
            price: event.price,
            qty: event.qty,
            effect,
            ..Message::bare(event.kind, locate)
        };
        let mut lost = LostSymbols::default();
        self.books.apply(&message, &self.counters.book, &mut lost);
        if lost.count == 0 {
            self.compare(event);
        } else {
            lost.each(|locate| self.lose(locate));
        }
    }

    /// The event says what the best prices are: a book with others lacks something.
    #[inline]
    fn compare(&mut self, event: &MarketEvent) {
        let is_other = self.books.best(event.locate) != event.best();
        if is_other || event.has(FLAG_STALE) && self.prices.is_incomplete(event.locate) {
            self.lose(event.locate);
        }
    }

    /// What moves no order.
    fn on_other(&mut self, event: &MarketEvent) {
        match event.kind {
            Kind::Directory => {
                self.begin_if_ended(event);
                self.follows.insert(event.locate);
                // What was heard of it so far may be nothing.
                if self.standing != Standing::Lost {
                    self.compare(event);
                }
            }
            Kind::Gap | Kind::Lagged => self.lose_all(),
            Kind::EndOfSession => {
                self.forget();
                self.standing = Standing::Ended {
                    next_seq: event.origin.seq,
                    has_spoken: false,
                };
            }
            // The next session has begun, at its first message.
            Kind::Fresh => match self.standing {
                Standing::Ended {
                    has_spoken: true, ..
                } => self.lose_all(),
                Standing::Ended { .. } => self.standing = Standing::Whole,
                Standing::Whole | Standing::Lost => {}
            },
            _ => {}
        }
    }

    fn lose_all(&mut self) {
        self.counters.books_lost.increment();
        self.standing = Standing::Lost;
    }

    /// This symbol's book is not known any more.
    #[cold]
    fn lose(&mut self, locate: u16) {
        self.counters.symbols_lost.increment();
        self.books.abandon(locate);
    }
}

/// Which books a message has made incomplete: that of its symbol and that of its order's, or the one whose order's reference
/// came again.
#[derive(Default)]
struct LostSymbols {
    locates: [u16; LOST_MAX],
    count: usize,
}

/// A replace may name a wrong symbol, take a live reference and be invalid: four contradictions.
const LOST_MAX: usize = 4;

impl LostSymbols {
    #[cold]
    fn each(&self, on_lost: impl FnMut(u16)) {
        self.locates
            .iter()
            .take(self.count)
            .copied()
            .for_each(on_lost);
    }
}

impl BookSink for LostSymbols {
    fn on_bbo(&mut self, _: u16, _: &Bbo) {}
    fn on_trade(&mut self, _: &TradePrint) {}

    #[cold]
    fn on_incomplete(&mut self, locate: u16) {
        if let Some(place) = self.locates.get_mut(self.count) {
            *place = locate;
            self.count += 1;
        }
    }
}
