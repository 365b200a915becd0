//! Hands events to strategies: one ring for each that listens.
//!
//! Thread:      feed core, hot
//! Invariants:  a gap, an end of session and a change of staleness reach every strategy, late if they
//!              must. Messages reach it in order; what is missing between two of them is in a gap or a
//!              lag that it hears before the second.
//! When full:   the strategy loses the message, the market does not wait. The loss is counted and told
//!              to the strategy ([`Kind::Lagged`]) as soon as there is room, whether or not anything
//!              follows. News that found no room waits behind it:
//!
//! ```text
//!  lagged, gap (sum of several), end of session, lagged, gap, stale or fresh (the last of them)
//!  `-- of the session before ---------------'   `-- of this one ----------------------------'
//! ```

use protocol::types::Symbol;
use rt::counters;
use rt::ring::Producer;

use crate::event::{FLAG_STALE, Kind, MarketEvent, Origin};

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
        /// Gaps, ends of session and changes of staleness that found a ring full; they are told later.
        news_delayed,
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
    has_news: bool,
    news: News,
}

/// What a strategy has still to be told.
#[derive(Debug, Default)]
struct News {
    before_end: Loss,
    /// The number at which a session ended.
    end: Option<u64>,
    after_end: Loss,
    /// `Kind::Stale` or `Kind::Fresh`.
    staleness: Option<Kind>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Loss {
    /// Messages that found the ring full, and the number of the last.
    missed: u64,
    missed_seq: u64,
    /// Numbers that never came, and the first of them.
    gap: u64,
    gap_first: u64,
}

impl Subscriber {
    /// A listener behind a ring.
    #[must_use]
    pub fn new(ring: Producer<MarketEvent>, subscription: Subscription) -> Self {
        let mut subscriber = Self {
            ring,
            subscription,
            wanted: Box::new([0; 1024]),
            has_news: false,
            news: News::default(),
        };
        subscriber.forget_directory();
        subscriber
    }

    /// A new day: locate codes mean nothing until its directory has said.
    pub fn forget_directory(&mut self) {
        let everything = match self.subscription {
            Subscription::All => u64::MAX,
            Subscription::Symbols(_) => 0,
        };
        self.wanted.fill(everything);
        if let Some(first) = self.wanted.first_mut() {
            *first |= 1;
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
    pub fn prefetch(&self) {
        self.ring.prefetch();
    }

    /// Whether something waits for room in the ring.
    #[inline]
    #[must_use]
    pub fn has_news(&self) -> bool {
        self.has_news
    }

    /// Puts a message's event into the ring. What waits must have been tried before
    /// ([`Subscriber::tell_news`]); while it waits, the event is lost.
    #[inline]
    pub fn publish(&mut self, event: &MarketEvent, counters: &PublishCounters) {
        if !self.has_news && self.ring.push(*event).is_ok() {
            return counters.events.increment();
        }
        self.has_news = true;
        let loss = self.news.latest_loss();
        loss.missed += 1;
        loss.missed_seq = event.origin.seq;
        counters.ring_full.increment();
    }

    /// Puts news into the ring: a gap, an end of session, a change of staleness. Where there is no
    /// room it waits.
    #[cold]
    pub fn announce(&mut self, event: &MarketEvent, counters: &PublishCounters) {
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
    pub fn tell_news(&mut self, origin: Origin, is_stale: bool, counters: &PublishCounters) {
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

impl News {
    fn latest_loss(&mut self) -> &mut Loss {
        if self.end.is_some() {
            &mut self.after_end
        } else {
            &mut self.before_end
        }
    }

    fn note(&mut self, event: &MarketEvent) {
        // What is told last must still be true then.
        self.staleness = self.staleness.filter(|kind| *kind != Kind::Fresh);
        match event.kind {
            Kind::Gap => {
                let loss = self.latest_loss();
                if loss.gap == 0 {
                    loss.gap_first = event.origin.seq;
                }
                loss.gap = loss.gap.saturating_add(event.number);
            }
            Kind::EndOfSession => {
                // A whole session passed unheard: what was lost in it joins what was lost before.
                let after = std::mem::take(&mut self.after_end);
                self.before_end.join(&after);
                self.end = Some(event.origin.seq);
            }
            _ => self.staleness = Some(event.kind),
        }
    }

    /// The next piece as an event. What came after an end moves up when the end has been told.
    fn first(&self, origin: Origin, is_stale: bool) -> Option<MarketEvent> {
        let flags = if is_stale { FLAG_STALE } else { 0 };
        let event = |kind, seq, number, flags| MarketEvent {
            number,
            flags,
            ..MarketEvent::bare(kind, Origin { seq, ..origin })
        };
        let of = |loss: &Loss| {
            if loss.missed > 0 {
                Some(event(Kind::Lagged, loss.missed_seq, loss.missed, flags))
            } else {
                let is_gap = loss.gap > 0;
                is_gap.then(|| event(Kind::Gap, loss.gap_first, loss.gap, FLAG_STALE))
            }
        };
        of(&self.before_end)
            .or_else(|| Some(event(Kind::EndOfSession, self.end?, 0, FLAG_STALE)))
            .or_else(|| Some(event(self.staleness?, 0, 0, flags)))
    }

    fn remove_first(&mut self) {
        if self.before_end.remove_first() {
            return;
        }
        if self.end.take().is_some() {
            self.before_end = std::mem::take(&mut self.after_end);
            return;
        }
        self.staleness = None;
    }
}

impl Loss {
    fn join(&mut self, later: &Self) {
        if later.missed > 0 {
            self.missed += later.missed;
            self.missed_seq = later.missed_seq;
        }
        if self.gap == 0 {
            self.gap_first = later.gap_first;
        }
        self.gap = self.gap.saturating_add(later.gap);
    }

    /// `false`: there was nothing.
    fn remove_first(&mut self) -> bool {
        if self.missed > 0 {
            self.missed = 0;
            return true;
        }
        std::mem::take(&mut self.gap) > 0
    }
}

#[cfg(test)]
mod tests {
    use rt::ring::{Consumer, ring};

    use super::*;
    use crate::event::Kind;

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
        subscriber: Subscriber,
        events: Consumer<MarketEvent>,
        counters: PublishCounters,
    }

    impl Bench {
        fn new(room: usize) -> Self {
            let (producer, events) = ring(room).unwrap();
            Self {
                subscriber: Subscriber::new(producer, Subscription::All),
                events,
                counters: PublishCounters::default(),
            }
        }

        fn message(&mut self, seq: u64) -> &mut Self {
            self.subscriber.publish(&event(seq, 1), &self.counters);
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
            self.subscriber.announce(&news, &self.counters);
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
                self.subscriber
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
        assert!(!bench.subscriber.has_news());
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

    #[test]
    fn new_day_forgets_what_locate_codes_stood_for() {
        let (producer, _consumer) = ring(2).unwrap();
        let alc = Symbol::new("ALC").unwrap();
        let mut subscriber = Subscriber::new(producer, Subscription::Symbols(vec![alc]));
        subscriber.on_directory(300, alc);
        subscriber.forget_directory();
        assert!(subscriber.wants(0) && !subscriber.wants(300));
    }

    #[test]
    fn symbols_are_wanted_once_the_directory_names_them() {
        let (producer, _consumer) = ring(2).unwrap();
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
