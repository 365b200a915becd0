//! Many strategies on one feed, one of which sleeps: what the feed does, what the sleeper learns, and where
//! everybody ends.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use fastrand::Rng;
use feed_handler::best_prices::{BestPrice, BestPrices};
use feed_handler::event::{FLAG_BBO_CHANGED, Kind, MarketEvent, Origin};
use feed_handler::publish::{Listener, PublishCounters, Publisher, Subscription, Way};
use protocol::types::{Price4, Qty, Symbol};
use rt::mem::Want;

/// What half a million messages a second are in a second.
const SECOND: u64 = 500_000;
const SYMBOLS: u16 = 200;

/// A feed without lines: it makes up prices, and says them as the room does, first in the table.
struct Market {
    publisher: Publisher,
    prices: Arc<BestPrices>,
    counters: PublishCounters,
    random: Rng,
    seq: u64,
    truth: BTreeMap<u16, BestPrice>,
}

#[derive(Default)]
struct Strategy {
    messages: u64,
    missed: u64,
    lags: u64,
    refreshed: u64,
    gaps: u64,
    kinds: String,
    last_seq: u64,
    believes: BTreeMap<u16, BestPrice>,
}

fn name(locate: u16) -> Symbol {
    Symbol::new(&format!("S{locate}")).unwrap()
}

impl Market {
    fn new(room: usize) -> Self {
        let prices = Arc::new(BestPrices::new(Want::LAZY).unwrap());
        Self {
            publisher: Publisher::new(Arc::clone(&prices), room),
            prices,
            counters: PublishCounters::default(),
            random: Rng::with_seed(1),
            seq: 0,
            truth: BTreeMap::new(),
        }
    }

    fn listen(&mut self, subscription: Subscription, way: Way) -> Listener {
        let room = 64;
        self.publisher.listen(subscription, way, room).unwrap()
    }

    /// Directories of all symbols.
    fn open(&mut self) {
        self.publisher.forget_directory();
        for locate in 1..=SYMBOLS {
            self.directory(locate);
        }
    }

    fn origin(&self) -> Origin {
        Origin {
            seq: self.seq,
            ..Origin::default()
        }
    }

    fn directory(&mut self, locate: u16) {
        self.seq += 1;
        let at = self.publisher.position(self.seq);
        self.prices.store_symbol(locate, name(locate), at);
        self.publisher.on_directory(locate, name(locate));
        self.truth.insert(locate, BestPrice::default());
        let event = MarketEvent {
            number: u64::from_ne_bytes(name(locate).0),
            locate,
            ..MarketEvent::bare(Kind::Directory, self.origin())
        };
        self.publisher.publish(&event, &self.counters);
    }

    fn message(&mut self) {
        self.seq += 1;
        let locate = self.random.u16(1..=SYMBOLS);
        let best = BestPrice {
            bid_price: Price4(self.random.u32(1..1000)),
            bid_qty: Qty(self.random.u32(1..1000)),
            ask_price: Price4(self.random.u32(1000..2000)),
            ask_qty: Qty(self.random.u32(1..1000)),
        };
        self.truth.insert(locate, best);
        let at = self.publisher.position(self.seq);
        self.prices.store(locate, &best, at);
        let event = MarketEvent {
            bid_price: best.bid_price,
            bid_qty: best.bid_qty,
            ask_price: best.ask_price,
            ask_qty: best.ask_qty,
            locate,
            flags: FLAG_BBO_CHANGED,
            ..MarketEvent::bare(Kind::Add, self.origin())
        };
        self.publisher.publish(&event, &self.counters);
    }

    /// A turn in which nothing arrives: what found an own ring full is told.
    fn quiet_turn(&mut self) {
        let origin = self.origin();
        self.publisher.tell_news(origin, false, &self.counters);
    }

    fn end(&mut self) {
        let event = MarketEvent::bare(Kind::EndOfSession, self.origin());
        self.publisher.announce(&event, &self.counters);
    }

    fn gap(&mut self, count: u64) {
        let first = self.seq + 1;
        self.seq += count;
        let origin = Origin {
            seq: first,
            ..Origin::default()
        };
        let event = MarketEvent {
            number: count,
            ..MarketEvent::bare(Kind::Gap, origin)
        };
        self.publisher.announce(&event, &self.counters);
    }
}

impl Strategy {
    fn hear(&mut self, listener: &mut Listener) {
        while let Some(event) = listener.hear() {
            self.take(&event);
        }
    }

    fn take(&mut self, event: &MarketEvent) {
        self.kinds.push(char::from(event.kind as u8));
        match event.kind {
            Kind::Lagged => {
                self.lags += 1;
                self.missed += event.number;
            }
            Kind::Gap => self.gaps += event.number,
            Kind::Refresh => {
                self.refreshed += 1;
                assert_eq!(event.symbol(), Some(name(event.locate)));
                self.believes.insert(event.locate, event.best());
            }
            _ => {
                assert!(event.origin.seq > self.last_seq);
                self.last_seq = event.origin.seq;
                self.messages += 1;
                self.believes.insert(event.locate, event.best());
            }
        }
    }
}

#[test]
fn strategy_sleeps_a_second_of_a_busy_market_the_feed_goes_on_and_it_ends_with_the_right_prices() {
    let mut market = Market::new(1 << 12);
    let mut ears: Vec<_> = (0..4)
        .map(|_| {
            let listener = market.listen(Subscription::All, Way::Shared);
            (listener, Strategy::default())
        })
        .collect();
    market.open();
    for turn in 0..SECOND + 2_000 {
        market.message();
        let is_asleep = (1000..1000 + SECOND).contains(&turn);
        for (listener, strategy) in ears.iter_mut().skip(usize::from(is_asleep)) {
            if turn % 16 == 0 {
                strategy.hear(listener);
            }
        }
    }
    // One event each, whoever listens, and whoever does not: the feed does the same steps.
    let sent = u64::from(SYMBOLS) + SECOND + 2_000;
    assert_eq!(market.counters.events.get(), sent);
    assert_eq!(market.counters.ring_full.get(), 0);
    for (index, (listener, strategy)) in ears.iter_mut().enumerate() {
        strategy.hear(listener);
        assert_eq!(
            strategy.messages + strategy.missed,
            sent,
            "strategy {index}"
        );
        assert_eq!(strategy.believes, market.truth, "strategy {index}");
        let is_sleeper = index == 0;
        assert_eq!(strategy.lags, u64::from(is_sleeper));
        assert_eq!(strategy.missed > SECOND - (1 << 12), is_sleeper);
        assert_eq!(strategy.refreshed > u64::from(SYMBOLS) / 2, is_sleeper);
    }
}

#[test]
fn gaps_among_what_was_slept_through_are_told_after_the_lag_and_before_what_follows() {
    let mut market = Market::new(64);
    let mut listener = market.listen(Subscription::All, Way::Shared);
    market.open();
    let mut strategy = Strategy::default();
    strategy.hear(&mut listener);
    strategy.kinds.clear();
    for _ in 0..200 {
        market.message();
    }
    market.gap(3);
    market.message();
    market.gap(4);
    for _ in 0..200 {
        market.message();
    }
    strategy.hear(&mut listener);
    let (told, rest) = strategy.kinds.split_at(2);
    assert_eq!((told, strategy.gaps), ("~!", 7));
    assert_eq!(rest.trim_start_matches('='), "A", "the newest event");
    assert_eq!(strategy.believes, market.truth);
}

#[test]
fn more_gaps_than_are_kept_are_told_as_their_sum() {
    let mut market = Market::new(1 << 11);
    let mut listener = market.listen(Subscription::All, Way::Shared);
    market.open();
    let mut strategy = Strategy::default();
    strategy.hear(&mut listener);
    let (heard, slept) = (strategy.messages, 5_000);
    for count in 1..=slept {
        market.message();
        market.gap(count);
    }
    market.message();
    strategy.hear(&mut listener);
    assert_eq!(strategy.gaps, slept * (slept + 1) / 2);
    assert_eq!(strategy.messages + strategy.missed, heard + slept + 1);
    assert_eq!(strategy.believes, market.truth);
}

#[test]
fn who_hears_some_symbols_on_the_shared_ring_learns_of_a_directory_that_it_slept_through() {
    let mut market = Market::new(64);
    let some = [3, 150].map(name).to_vec();
    let mut shared = market.listen(Subscription::Symbols(some.clone()), Way::Shared);
    let mut own = market.listen(Subscription::Symbols(some), Way::Own);
    market.open();
    for _ in 0..10_000 {
        market.message();
    }
    let truth: BTreeMap<_, _> = [3, 150].map(|it| (it, market.truth[&it])).into();
    for listener in [&mut shared, &mut own] {
        let mut strategy = Strategy::default();
        strategy.hear(listener);
        market.quiet_turn();
        strategy.hear(listener);
        assert_eq!(strategy.believes, truth);
        assert_eq!(strategy.lags, 1);
    }
    // Only what its own ring had no room for is lost there: the feed writes nothing else into it.
    let wanted = market.counters.ring_full.get() + 64;
    assert!(wanted < 300, "{wanted} of 10,000 messages");
}

#[test]
fn listener_hears_and_writer_writes_at_the_same_time_and_beliefs_are_right_in_the_end() {
    let mut market = Market::new(1 << 8);
    let mut listener = market.listen(Subscription::All, Way::Shared);
    market.open();
    let thread = std::thread::spawn(move || {
        let mut strategy = Strategy::default();
        while strategy.messages + strategy.missed < u64::from(SYMBOLS) + SECOND {
            strategy.hear(&mut listener);
            std::thread::yield_now();
        }
        strategy.hear(&mut listener);
        strategy
    });
    for turn in 0..SECOND {
        market.message();
        if turn % 1_000 == 0 {
            std::thread::yield_now();
        }
    }
    let strategy = thread.join().unwrap();
    assert_eq!(strategy.believes, market.truth);
}

#[test]
fn after_an_end_of_session_a_symbol_is_heard_on_neither_way_before_a_directory_names_it_again() {
    let mut market = Market::new(1024);
    let mut listeners = [Way::Shared, Way::Own].map(|way| {
        let symbols = Subscription::Symbols(vec![name(1)]);
        market.listen(symbols, way)
    });
    market.open();
    market.end();
    // What a finished session goes on to say.
    let say = |market: &mut Market| (0..5 * SYMBOLS).for_each(|_| market.message());
    say(&mut market);
    market.directory(1);
    say(&mut market);
    let kinds = listeners.each_mut().map(|listener| {
        let heard = std::iter::from_fn(|| listener.hear());
        heard.map(|event| event.kind).collect::<Vec<_>>()
    });
    assert_eq!(kinds[0], kinds[1]);
    let before = [Kind::Directory, Kind::EndOfSession, Kind::Directory];
    assert!(kinds[0].starts_with(&before), "{:?}", kinds[0]);
    assert!(kinds[0].len() > before.len(), "and then it is heard");
}
