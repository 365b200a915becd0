//! Order entry against the exchange, both without sockets and in one thread: random orders, connections
//! cut at any byte, gateways that forget everything. What the gateway believes must be what the
//! exchange believes before the next order goes out.
//!
//! `DAYS=10000` plays more random days than the short form; `SEED` says where they begin (`make order-days`).

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

mod record;
mod single;
mod traders;
mod world;

use std::collections::BTreeMap;

use world::World;

fn number(name: &str, otherwise: u64) -> u64 {
    let text = std::env::var(name);
    text.map_or(otherwise, |text| text.parse().expect("a number"))
}

#[test]
fn random_days_of_three_strategies_end_in_one_belief() {
    let (first, days) = (number("SEED", 0), number("DAYS", 200));
    let (mut answers, mut quoted) = (BTreeMap::<String, u64>::new(), 0);
    for seed in first..first + days {
        let mut world = World::new(seed);
        for _ in 0..300 {
            world.step();
        }
        world.calm_down();
        world.all_believe_the_same();
        quoted += u64::from(world.quotes_stand_where_they_belong());
        world.gap_withdraws_quotes();
        for (word, count) in std::mem::take(&mut world.answers) {
            *answers.entry(word).or_default() += count;
        }
    }
    eprintln!("{days} days from seed {first}, {quoted} with every quote: {answers:?}");
    assert!(
        quoted * 4 > days,
        "the quoter was free to quote on {quoted} days"
    );
    // The days are no use if what they are for never happens.
    for word in [
        "Enter Accepted",
        "Enter Refused(Killed)",
        "Enter Refused(SessionDown)",
        "Enter Refused(StaleBook)",
        "Enter Refused(OpenOrders)",
        "Enter Refused(OrderRate)",
        "Enter Rejected",
        "Enter Lost",
        "Replace Replaced",
        "Replace Refused(ChangePending)",
        "Replace TooLate",
        "Cancel Canceled",
        "Cancel Refused(NotLive)",
        "Cancel Lost",
        "Cancel TooLate",
    ] {
        assert!(answers.contains_key(word), "no \"{word}\" in {answers:?}");
    }
}
