//! Hands events to strategies: one ring for each that listens.
//!
//! Thread:      feed core, hot
//! When full:   the strategy loses the event, the market does not wait. The loss is counted and told
//!              to the strategy ([`KIND_LAGGED`]) before its next event.

use protocol::types::Symbol;
use rt::counters;
use rt::ring::Producer;

use crate::event::{KIND_LAGGED, MarketEvent};

counters! {
    /// What became of events.
    pub struct PublishCounters {
        /// Events put into strategies' rings.
        events,
        /// Changes of a best bid or offer.
        bbo_changes,
        /// Trades.
        trades,
        /// Events that a strategy's full ring cost it.
        ring_full,
    }
}

/// Which symbols a strategy hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subscription {
    /// Every message of the feed.
    All,
    /// Messages of these symbols, and those that belong to no symbol.
    Symbols(Vec<Symbol>),
}

/// One strategy's end of the feed.
#[derive(Debug)]
pub struct Subscriber {
    ring: Producer<MarketEvent>,
    subscription: Subscription,
    /// A bit for each locate code; bit 0 stands for messages of no symbol.
    wanted: Box<[u64; 1024]>,
    missed: u64,
}

impl Subscriber {
    /// A listener behind a ring.
    #[must_use]
    pub fn new(ring: Producer<MarketEvent>, subscription: Subscription) -> Self {
        let everything = if subscription == Subscription::All {
            u64::MAX
        } else {
            0
        };
        let mut wanted = Box::new([everything; 1024]);
        if let Some(first) = wanted.first_mut() {
            *first |= 1;
        }
        Self {
            ring,
            subscription,
            wanted,
            missed: 0,
        }
    }

    /// Learns what a locate code stands for today.
    pub fn on_directory(&mut self, locate: u16, symbol: Symbol) {
        if let Subscription::Symbols(symbols) = &self.subscription
            && symbols.contains(&symbol)
            && let Some(word) = self.wanted.get_mut(usize::from(locate / 64))
        {
            *word |= 1 << (locate % 64);
        }
    }

    /// Whether the strategy hears this symbol.
    #[inline]
    #[must_use]
    pub fn wants(&self, locate: u16) -> bool {
        self.wanted
            .get(usize::from(locate / 64))
            .is_some_and(|word| word >> (locate % 64) & 1 != 0)
    }

    /// Brings the ring's next place near.
    #[inline]
    pub fn bring_near(&self) {
        self.ring.bring_near();
    }

    /// Puts an event into the ring, after the news of what was lost before it.
    #[inline]
    pub fn publish(&mut self, event: &MarketEvent, counters: &PublishCounters) {
        if self.missed > 0 && !self.tell_lag(event) {
            self.missed += 1;
            return counters.ring_full.increment();
        }
        match self.ring.push(*event) {
            Ok(()) => counters.events.increment(),
            Err(_) => {
                self.missed += 1;
                counters.ring_full.increment();
            }
        }
    }

    #[cold]
    fn tell_lag(&mut self, next: &MarketEvent) -> bool {
        let lagged = MarketEvent {
            kind: KIND_LAGGED,
            number: self.missed,
            flags: 0,
            ..*next
        };
        let told = self.ring.push(lagged).is_ok();
        if told {
            self.missed = 0;
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use protocol::types::{Price4, Qty};

    use super::*;
    use crate::event::Origin;

    fn event(seq: u64, locate: u16) -> MarketEvent {
        MarketEvent {
            origin: Origin {
                seq,
                ..Origin::default()
            },
            number: 0,
            published_delta_ns: 0,
            price: Price4(0),
            qty: Qty(0),
            bid_price: Price4(0),
            bid_qty: Qty(0),
            ask_price: Price4(0),
            ask_qty: Qty(0),
            locate,
            kind: b'A',
            flags: 0,
        }
    }

    #[test]
    fn full_ring_costs_the_strategy_events_and_says_how_many() {
        let (producer, mut consumer) = rt::ring::ring(2).unwrap();
        let counters = PublishCounters::default();
        let mut subscriber = Subscriber::new(producer, Subscription::All);
        for seq in 1..=5 {
            subscriber.publish(&event(seq, 1), &counters);
        }
        assert_eq!(counters.ring_full.get(), 3);
        assert_eq!(consumer.pop().unwrap().origin.seq, 1);
        assert_eq!(consumer.pop().unwrap().origin.seq, 2);
        subscriber.publish(&event(6, 1), &counters);
        let lagged = consumer.pop().unwrap();
        assert_eq!((lagged.kind, lagged.number), (KIND_LAGGED, 3));
        assert_eq!(consumer.pop().unwrap().origin.seq, 6);
    }

    #[test]
    fn symbols_are_wanted_once_the_directory_names_them() {
        let (producer, _consumer) = rt::ring::ring(2).unwrap();
        let alc = Symbol::new("ALC").unwrap();
        let mut subscriber = Subscriber::new(producer, Subscription::Symbols(vec![alc]));
        assert!(subscriber.wants(0));
        assert!(!subscriber.wants(300));
        subscriber.on_directory(300, alc);
        subscriber.on_directory(301, Symbol::new("BOB").unwrap());
        assert!(subscriber.wants(300));
        assert!(!subscriber.wants(301));
    }
}
