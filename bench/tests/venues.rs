//! The main job on each venue, by configuration alone: the exchange's feed through the gateway's books to a
//! strategy, and its orders back, in namespaces of their own.

#![allow(clippy::expect_used, reason = "tests")]

#[path = "../../world/tests/support/mod.rs"]
mod support;

use std::sync::atomic::AtomicBool;

use gateway::telemetry::Kind;
use lab::demo;
use lab::exchange::Live;
use lab::gateway::Gateway;
use lab::netns::Lab;
use lab::run::{Candidate, Item, run};
use lab::traffic::Traffic;
use lab::venue::Venue;
use support::is_root;

static NEVER: AtomicBool = AtomicBool::new(false);

#[test]
fn every_venues_feed_becomes_books_decisions_and_orders_and_nothing_is_lost() {
    if !is_root() {
        return;
    }
    for venue in [Venue::Nasdaq, Venue::Iex] {
        let lab = Lab::new().expect("namespaces");
        let traffic = Traffic {
            venue,
            lines: 2,
            live: Some(Live::Flow {
                trouble: None,
                seed: 3,
                symbols: 20,
                rate: 5_000,
                limit: 10_000,
            }),
            ..Traffic::quiet()
        };
        let gateway = Gateway {
            every: 4,
            is_exchange_polled: false,
            ..Gateway::default()
        };
        let item = Item {
            name: venue.key().to_owned(),
            traffic,
            candidate: Candidate::Gateway(gateway),
        };
        let outcome = run(&lab, &item, |_| (), &NEVER).expect("a run");
        demo::check(&outcome).expect("it went well");
        let run = &outcome.run;
        let count = |name: &str| run.counter(Kind::Feed, "itch", name).unwrap_or(0);
        assert!(
            count("messages") > 10_000 && count("trades") > 100,
            "{:?}",
            run.counters
        );
        // What came was the venue's own, and all of it could be read.
        for name in [
            "unknown",
            "malformed",
            "packets_malformed",
            "gaps",
            "missing_ref",
            "duplicate_ref",
            "rejected",
            "refused_price",
            "refused_symbol",
        ] {
            assert_eq!(count(name), 0, "{}: {name}", venue.key());
        }
        assert_eq!(count("modifies") > 0, venue == Venue::Iex);
        assert!(outcome.run.orders > 100, "{} orders", outcome.run.orders);
    }
}
