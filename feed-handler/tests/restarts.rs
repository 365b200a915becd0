//! A feed whose lines say only what is old, a sender that begins again, the start of a day.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests"
)]
mod script;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use feed_handler::arbiter::{Arbiter, Patience};
use feed_handler::best_prices::BestPrices;
use feed_handler::book::{Books, Limits};
use feed_handler::feed::{Counters, Feed, FeedHistograms, Parts};
use feed_handler::publish::{Listener, Publisher, Subscription, Way};
use feed_handler::venue::Nasdaq;
use protocol::mold::{PacketBuilder, Session};
use protocol::types::Seq;
use rt::clock::Clock;
use rt::mem::Want;
use script::{Arrivals, Script};

const S1: Session = *b"SESSION001";
const MS: u64 = 1_000_000;
const SEC: u64 = 1_000_000_000;
fn data(seq: u64, count: u64) -> Vec<u8> {
    let mut buffer = [0; 1400];
    let mut b = PacketBuilder::new(&mut buffer, S1, Seq(seq)).unwrap();
    for _ in 0..count {
        assert!(b.push(b"x"));
    }
    b.finish().to_vec()
}
struct F {
    feed: Feed<Script, Nasdaq>,
    s: Rc<RefCell<Arrivals>>,
    c: Arc<Counters>,
    clock: Clock,
    _e: Listener,
}
fn feed(hold: u64) -> F {
    let prices = Arc::new(BestPrices::new(Want::LAZY).unwrap());
    let mut publisher = Publisher::new(prices, 1024);
    let e = publisher.listen(Subscription::All, Way::Shared, 0).unwrap();
    let c = Arc::new(Counters::default());
    let source = Script::default();
    let s = Rc::clone(&source.0);
    let feed = Feed::new(Parts {
        source,
        venue: Nasdaq,
        arbiter: Arbiter::new(Patience {
            gap_timeout_ns: hold,
            stale_ns: 2 * SEC,
        }),
        books: Books::new(
            &Limits {
                orders_max: 64,
                levels_max: 64,
            },
            Want::LAZY,
        )
        .unwrap(),
        publisher,
        counters: Arc::clone(&c),
        histograms: FeedHistograms::default(),
        feed: 0,
        lines: 2,
        stale_ns: 2 * SEC,
    });
    F {
        feed,
        s,
        c,
        clock: Clock::manual(1000),
        _e: e,
    }
}
impl F {
    fn at(&mut self, now: u64, line: u8, p: Vec<u8>) {
        self.clock.set_ns(now);
        self.s.borrow_mut().push((line, p));
        self.feed.poll(&self.clock);
        for _ in 0..17 {
            self.feed.poll(&self.clock);
        }
    }
}

#[test]
fn sender_that_restarts_at_one_makes_the_feed_stale() {
    let mut f = feed(MS);
    for i in 0..3 {
        f.at(SEC + i * 200 * MS, 0, data(1, 0));
    }
    for i in 0..20_000u64 {
        f.at(2 * SEC + i * MS, (i % 2) as u8, data(1 + i * 10, 10));
    }
    assert_eq!(f.c.status.stale(), 0);
    let t = 23 * SEC;
    let before = f.c.arbiter.messages.get();
    let mut stale_at = None;
    for i in 0..15_000u64 {
        f.at(t + i * MS, (i % 2) as u8, data(1 + i * 10, 10));
        if f.c.status.stale() != 0 && stale_at.is_none() {
            stale_at = Some(i);
        }
    }
    assert!(
        stale_at.is_some_and(|ms| ms < 3000),
        "15 s of packets, {} delivered, stale after {stale_at:?} ms; dup {}",
        f.c.arbiter.messages.get() - before,
        f.c.arbiter.packets_duplicate.get()
    );
}

#[test]
fn old_heartbeats_of_one_number_for_ever() {
    // Line 0 has died after message 1000; line 1 is stuck and repeats heartbeat 500 (an old number) for ever.
    let mut f = feed(MS);
    for i in 0..3 {
        f.at(SEC + i * 200 * MS, 0, data(1, 0));
    }
    for i in 0..100u64 {
        f.at(2 * SEC + i * MS, 0, data(1 + i * 10, 10));
    }
    assert_eq!(f.c.status.stale(), 0);
    for i in 0..30u64 {
        f.at(3 * SEC + i * SEC, 1, data(501, 0));
    }
    assert!(
        f.c.status.stale() != 0,
        "30 s after the last news the feed is fresh"
    );
}

#[test]
fn starts_stale_and_stays_until_three_agree() {
    let mut f = feed(MS);
    assert!(f.c.status.stale() != 0);
    f.at(SEC, 0, data(1, 1));
    assert!(f.c.status.stale() != 0);
    f.at(SEC + 1, 0, data(2, 1));
    f.at(SEC + 2, 0, data(3, 1));
    eprintln!(
        "{} delivered {}",
        f.c.status.stale(),
        f.c.arbiter.messages.get()
    );
    assert_eq!(f.c.status.stale(), 0);
}
