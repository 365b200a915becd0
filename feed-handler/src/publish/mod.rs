//! Hands events to strategies.
//!
//! ```text
//!                        ┌─ bit 63 ─> shared ring ──> listeners that hear everything, each at its own place
//!  event ─> wanted[locate]
//!                        └─ bit n ──> own ring n ───> a listener that hears little
//! ```
//!
//! Thread:      feed core, hot; [`Listener`] on each strategy's core
//! Invariants:  a gap, an end of session and a change of staleness reach every strategy, late if they
//!              must. Messages reach it in order; what is missing between two of them is in a gap or a
//!              lag that it hears before the second.
//! When full:   the strategy loses messages, the market does not wait. The loss is told to the strategy
//!              ([`Kind::Lagged`]) whether or not anything follows, then the news that were lost with it,
//!              then where each symbol stands that moved meanwhile ([`Kind::Refresh`]).
//!
//! An event costs one look at its symbol's word, one write for all who share a ring, and one for each own ring
//! that wants it. A ring of one's own spares its reader the others' events and costs the feed a write; the
//! shared one costs each reader a look at every event. So who hears everything shares, who hears few symbols
//! does not ([`Subscription::way`]); `docs/performance.md` has the instructions of both.

mod listener;
mod news;
mod own;
mod shared;
mod subscription;

use std::sync::Arc;

use protocol::types::Symbol;
use rt::counters;
use rt::mem::prefetch;
use rt::ring::{NotPowerOfTwo, ring};

use crate::best_prices::BestPrices;
use crate::event::{Kind, MarketEvent, Origin};
use crate::position::Position;
use own::OwnRing;
use shared::SharedWriter;

pub use listener::Listener;
pub(crate) use subscription::Locates;
pub use subscription::{Subscription, Way};

counters! {
    /// What became of events.
    pub struct PublishCounters {
        /// Events put into rings: once into the shared one, and into each strategy's own.
        events,
        /// Changes of a best bid or offer.
        bbo_changes,
        /// Events that tell of a trade.
        trades,
        /// Events that a strategy's own ring had no room for.
        ring_full,
        /// Gaps, ends of session and changes of staleness that found an own ring full; they are told later.
        news_delayed,
    }
}

/// The bit of those who share a ring.
const SHARED: u64 = 1 << 63;
/// Rings for one strategy alone; who comes later shares.
const OWN_RINGS_MAX: usize = 63;

/// The feed's end of all strategies.
#[derive(Debug)]
pub struct Publisher {
    prices: Arc<BestPrices>,
    /// Messages that the shared ring keeps.
    room: usize,
    shared: Option<SharedWriter>,
    own: Vec<OwnRing>,
    /// For each locate code, who hears it: a bit for each own ring, [`SHARED`] for the shared one.
    wanted: Box<[u64]>,
    subscribers: Vec<Subscriber>,
    has_news: bool,
    /// Somebody wants to know which order a replace took away.
    tells_leaves: bool,
    /// The last number that somebody heard.
    last_seq: u64,
    /// Sessions that ended.
    ended: u64,
}

#[derive(Debug)]
struct Subscriber {
    bit: u64,
    subscription: Subscription,
}

impl Publisher {
    /// Nobody listens yet. `prices`: the feed's table. `room`: messages that a ring keeps, a power of two.
    #[must_use]
    pub fn new(prices: Arc<BestPrices>, room: usize) -> Self {
        Self {
            prices,
            room,
            shared: None,
            own: Vec::new(),
            wanted: vec![0; 1 << 16].into_boxed_slice(),
            subscribers: Vec::new(),
            has_news: false,
            tells_leaves: false,
            last_seq: 0,
            ended: 0,
        }
    }

    /// Someone who hears what comes after [`Publisher::forget_directory`], which a feed does when it is put
    /// together. `room`: what its own ring holds, if it has one.
    ///
    /// # Errors
    /// The room is not a power of two.
    pub fn listen(
        &mut self,
        subscription: Subscription,
        way: Way,
        room: usize,
    ) -> Result<Listener, NotPowerOfTwo> {
        let prices = Arc::clone(&self.prices);
        let is_own = way == Way::Own && self.own.len() < OWN_RINGS_MAX;
        let (bit, listener) = if is_own {
            let (producer, consumer) = ring(room)?;
            let bit = 1 << self.own.len();
            self.own.push(OwnRing::new(producer));
            (bit, Listener::own(consumer, subscription.clone(), prices))
        } else {
            let writer = match &mut self.shared {
                Some(writer) => writer,
                none => none.insert(SharedWriter::new(self.room)?),
            };
            let reader = writer.reader();
            (
                SHARED,
                Listener::shared(reader, subscription.clone(), prices),
            )
        };
        self.subscribers.push(Subscriber { bit, subscription });
        Ok(listener)
    }

    /// Somebody who listens keeps books of what he hears ([`OwnBooks`](crate::own_books::OwnBooks)): from now on a
    /// replaced order is told, too ([`Kind::Leave`]), to everybody who hears its symbol.
    pub fn tell_leaves(&mut self) {
        self.tells_leaves = true;
    }

    /// Whether replaced orders are told.
    #[inline]
    #[must_use]
    pub fn tells_leaves(&self) -> bool {
        self.tells_leaves
    }

    /// The table that goes with the events.
    #[inline]
    #[must_use]
    pub fn prices(&self) -> &Arc<BestPrices> {
        &self.prices
    }

    /// The end of a session, and a new one: locate codes mean nothing until a directory has said.
    pub fn forget_directory(&mut self) {
        let mut everything = 0;
        let mut anybody = 0;
        for Subscriber { bit, subscription } in &self.subscribers {
            anybody |= bit;
            if *subscription == Subscription::All {
                everything |= bit;
            }
        }
        self.wanted.fill(everything);
        // Messages of no symbol.
        if let Some(first) = self.wanted.first_mut() {
            *first = anybody;
        }
    }

    /// Learns what a locate code stands for today.
    pub fn on_directory(&mut self, locate: u16, symbol: Symbol) {
        let Some(wanted) = self.wanted.get_mut(usize::from(locate)) else {
            return;
        };
        for Subscriber { bit, subscription } in &self.subscribers {
            if subscription.names(symbol) {
                *wanted |= bit;
            }
        }
    }

    /// Whether anybody hears this symbol.
    #[inline]
    #[must_use]
    pub fn is_wanted(&self, locate: u16) -> bool {
        self.wanted_by(locate) != 0
    }

    #[inline]
    fn wanted_by(&self, locate: u16) -> u64 {
        self.wanted.get(usize::from(locate)).copied().unwrap_or(0)
    }

    /// Brings the rings' next places near.
    #[inline]
    pub fn prefetch(&self) {
        if let Some(shared) = &self.shared {
            shared.prefetch();
        }
        self.own.iter().for_each(OwnRing::prefetch);
    }

    /// Brings near who wants a symbol.
    #[inline]
    pub fn prefetch_wanted(&self, locate: u16) {
        prefetch(self.wanted.as_ptr().wrapping_add(usize::from(locate)));
    }

    /// Where a number of the running session stands among all that this feed ever said.
    #[inline]
    #[must_use]
    pub fn position(&self, seq: u64) -> Position {
        Position::new(self.ended, seq)
    }

    /// Behind everything that anybody has heard: where what no message caused belongs.
    #[must_use]
    pub fn moment(&self) -> Position {
        Position::after(self.ended, self.last_seq)
    }

    /// The last number that somebody heard; 0: none of this session.
    #[must_use]
    pub fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// Whether something waits for room in a ring.
    #[inline]
    #[must_use]
    pub fn has_news(&self) -> bool {
        self.has_news
    }

    /// Gives a message's event to everybody who hears its symbol. What waits must have been tried before
    /// ([`Publisher::tell_news`]).
    #[inline]
    pub fn publish(&mut self, event: &MarketEvent, counters: &PublishCounters) {
        self.last_seq = event.origin.seq.max(self.last_seq);
        let mut wanted = self.wanted_by(event.locate);
        if wanted & SHARED != 0
            && let Some(shared) = &mut self.shared
        {
            shared.publish(event);
            counters.events.increment();
        }
        wanted &= !SHARED;
        // Each turn takes a bit out.
        while wanted != 0 {
            let index = wanted.trailing_zeros();
            wanted &= wanted - 1;
            if let Some(own) = self.own.get_mut(index as usize) {
                own.publish(event, counters);
                self.has_news |= own.has_news();
            }
        }
    }

    /// Tells everybody what is no message: a gap, an end of session, a change of staleness. What has no
    /// number of its own is given the last one's.
    #[cold]
    pub fn announce(&mut self, event: &MarketEvent, counters: &PublishCounters) {
        let mut event = *event;
        match event.kind {
            Kind::EndOfSession => {
                self.ended += 1;
                self.last_seq = 0;
                // Listeners forget with it, too, so whatever a finished session goes on to say finds all alike.
                self.forget_directory();
                event.number = self.ended;
            }
            Kind::Gap => {}
            _ => event.origin.seq = self.last_seq,
        }
        if let Some(shared) = &mut self.shared {
            shared.announce(&event);
            counters.events.increment();
        }
        for own in &mut self.own {
            own.announce(&event, counters);
            self.has_news |= own.has_news();
        }
    }

    /// Tells what waits, as far as there is room. `origin` is the moment, `is_stale` how the feed is now.
    #[cold]
    pub fn tell_news(&mut self, origin: Origin, is_stale: bool, counters: &PublishCounters) {
        self.has_news = false;
        for own in self.own.iter_mut().filter(|own| own.has_news()) {
            own.tell_news(origin, is_stale, counters);
            self.has_news |= own.has_news();
        }
    }
}
