//! A strategy's own ring, as the feed sees it.
//!
//! Thread:      feed core, hot
//! When full:   the strategy loses the message. The loss is counted and told as soon as there is room, whether
//!              or not anything follows; news that found no room waits behind it ([`News`]).

use rt::ring::Producer;

use super::PublishCounters;
use super::news::News;
use crate::event::{MarketEvent, Origin};

/// The end that the feed puts events into.
#[derive(Debug)]
pub(super) struct OwnRing {
    ring: Producer<MarketEvent>,
    has_news: bool,
    news: News,
}

impl OwnRing {
    pub(super) fn new(ring: Producer<MarketEvent>) -> Self {
        Self {
            ring,
            has_news: false,
            news: News::default(),
        }
    }

    /// Brings the ring's next place near.
    #[inline]
    pub(super) fn prefetch(&self) {
        self.ring.prefetch();
    }

    /// Whether something waits for room in the ring.
    #[inline]
    pub(super) fn has_news(&self) -> bool {
        self.has_news
    }

    /// Puts a message's event into the ring. What waits must have been tried before
    /// ([`OwnRing::tell_news`]); while it waits, the event is lost.
    #[inline]
    pub(super) fn publish(&mut self, event: &MarketEvent, counters: &PublishCounters) {
        if !self.has_news && self.ring.push(*event).is_ok() {
            return counters.events.increment();
        }
        self.has_news = true;
        self.news.miss(1, event.origin.seq);
        counters.ring_full.increment();
    }

    /// Puts news into the ring: a gap, an end of session, a change of staleness. Where there is no
    /// room it waits.
    pub(super) fn announce(&mut self, event: &MarketEvent, counters: &PublishCounters) {
        if !self.has_news && self.ring.push(*event).is_ok() {
            return counters.events.increment();
        }
        self.has_news = true;
        self.news.note(event);
        counters.news_delayed.increment();
    }

    /// Tells what waits, as far as there is room. `origin` is the moment, `is_stale` how the feed is
    /// now.
    #[cold]
    pub(super) fn tell_news(&mut self, origin: Origin, is_stale: bool, counters: &PublishCounters) {
        // Each turn takes one of seven pieces of news out, so it ends.
        while let Some(event) = self.news.first(origin, is_stale) {
            if self.ring.push(event).is_err() {
                return;
            }
            counters.events.increment();
            self.news.remove_first();
        }
        self.has_news = false;
    }
}

#[cfg(test)]
mod tests {
    use rt::ring::{Consumer, ring};

    use super::*;
    use crate::event::{FLAG_STALE, Kind};

    fn event(seq: u64, locate: u16) -> MarketEvent {
        let origin = Origin {
            seq,
            ..Origin::default()
        };
        MarketEvent {
            locate,
            ..MarketEvent::bare(Kind::Add, origin)
        }
    }

    struct Bench {
        ring: OwnRing,
        events: Consumer<MarketEvent>,
        counters: PublishCounters,
    }

    impl Bench {
        fn new(room: usize) -> Self {
            let (producer, events) = ring(room).unwrap();
            Self {
                ring: OwnRing::new(producer),
                events,
                counters: PublishCounters::default(),
            }
        }

        fn message(&mut self, seq: u64) -> &mut Self {
            self.ring.publish(&event(seq, 1), &self.counters);
            self
        }

        fn news(&mut self, kind: Kind, seq: u64, number: u64) -> &mut Self {
            let origin = Origin {
                seq,
                ..Origin::default()
            };
            let news = MarketEvent {
                number,
                ..MarketEvent::bare(kind, origin)
            };
            self.ring.announce(&news, &self.counters);
            self
        }

        /// Takes everything, and lets what waits follow, as often as there is something.
        fn hears(&mut self, is_stale: bool) -> Vec<(Kind, u64, u64, bool)> {
            let mut heard = Vec::new();
            loop {
                let before = heard.len();
                while let Some(event) = self.events.pop() {
                    let is_stale = event.has(FLAG_STALE);
                    heard.push((event.kind, event.origin.seq, event.number, is_stale));
                }
                if heard.len() == before {
                    return heard;
                }
                self.ring
                    .tell_news(Origin::default(), is_stale, &self.counters);
            }
        }
    }

    #[test]
    fn full_ring_costs_the_strategy_events_and_says_how_many_though_nothing_follows() {
        let mut bench = Bench::new(2);
        for seq in 1..=5 {
            bench.message(seq);
        }
        assert_eq!(bench.counters.ring_full.get(), 3);
        let heard = bench.hears(false);
        let expected = [
            (Kind::Add, 1, 0, false),
            (Kind::Add, 2, 0, false),
            (Kind::Lagged, 5, 3, false),
        ];
        assert_eq!(heard, expected);
        assert!(!bench.ring.has_news());
        bench.message(6);
        assert_eq!(bench.hears(false), [(Kind::Add, 6, 0, false)]);
    }

    #[test]
    fn gaps_and_end_that_met_a_full_ring_keep_what_they_are() {
        let mut bench = Bench::new(1);
        bench.message(1).message(2);
        bench.news(Kind::Gap, 3, 2).message(5).news(Kind::Gap, 6, 4);
        bench.news(Kind::EndOfSession, 10, 0);
        bench
            .message(1)
            .news(Kind::Gap, 2, 7)
            .news(Kind::Stale, 0, 0);
        let expected = [
            (Kind::Add, 1, 0, false),
            (Kind::Lagged, 5, 2, true),
            (Kind::Gap, 3, 6, true),
            (Kind::EndOfSession, 10, 0, true),
            (Kind::Lagged, 1, 1, true),
            (Kind::Gap, 2, 7, true),
            (Kind::Stale, 0, 0, true),
        ];
        assert_eq!(bench.hears(true), expected);
        assert_eq!(bench.counters.news_delayed.get(), 5);
    }

    #[test]
    fn session_that_passes_wholly_unheard_joins_what_was_lost_before() {
        let mut bench = Bench::new(1);
        bench.message(1).message(2).news(Kind::EndOfSession, 3, 0);
        bench.news(Kind::Gap, 1, 4).message(5);
        bench.news(Kind::EndOfSession, 6, 0).message(1);
        let expected = [
            (Kind::Add, 1, 0, false),
            (Kind::Lagged, 5, 2, false),
            (Kind::Gap, 1, 4, true),
            (Kind::EndOfSession, 6, 0, true),
            (Kind::Lagged, 1, 1, false),
        ];
        assert_eq!(bench.hears(false), expected);
    }

    #[test]
    fn silence_that_was_over_before_it_could_be_told_is_told_as_over() {
        let mut bench = Bench::new(1);
        bench
            .message(1)
            .news(Kind::Stale, 0, 0)
            .news(Kind::Fresh, 0, 0);
        let expected = [(Kind::Add, 1, 0, false), (Kind::Fresh, 0, 0, false)];
        assert_eq!(bench.hears(false), expected);
    }

    #[test]
    fn gap_that_follows_untold_freshness_is_told_last() {
        let mut bench = Bench::new(1);
        bench
            .message(1)
            .news(Kind::Fresh, 0, 0)
            .news(Kind::Gap, 2, 1);
        assert_eq!(
            bench.hears(true),
            [(Kind::Add, 1, 0, false), (Kind::Gap, 2, 1, true)]
        );
    }
}
