//! A thousand short days of one feed, each heard by a perfect one beside it: `make feed-seeds SEEDS=N` lives more.

#![allow(clippy::expect_used, reason = "tests")]

use std::sync::atomic::{AtomicU64, Ordering};

use world::{FeedTotals, play_feed};

#[test]
fn a_thousand_days_are_complete_or_say_that_they_are_not_and_end_with_the_exchanges_books() {
    const DAYS: u64 = 1_000;
    let next = AtomicU64::new(0);
    let live = || {
        let mut sum = FeedTotals::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= DAYS {
                return sum;
            }
            println!("seed {seed}");
            sum += play_feed(seed);
        }
    };
    let mut sum = FeedTotals::default();
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(live)).collect();
        for thread in threads {
            sum += thread.join().expect("a day failed; its seed is above");
        }
    });
    println!("{sum:#?}");
    // Days are no use if what they are for never happens.
    assert!(sum.messages > 1_000 * DAYS && sum.recovered > 5 * DAYS);
    assert!(sum.gaps > DAYS && sum.snapshots > DAYS && sum.snapshots_failed > DAYS / 10);
}
