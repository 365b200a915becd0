//! A thousand short days of one feed, each heard by a perfect one beside it: `make feed-seeds SEEDS=N` lives more.

use world::{Outcome, Sum, live_many, play_feed};

#[test]
fn a_thousand_days_are_complete_or_say_that_they_are_not_and_end_with_the_exchanges_books() {
    const DAYS: u64 = 1_000;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let live = |seed| {
        println!("seed {seed}");
        Outcome {
            heard: play_feed(seed),
            ..Outcome::default()
        }
    };
    let Sum {
        outcome,
        passed,
        failed,
        ..
    } = live_many(0..DAYS, threads, live, |_, has_passed| has_passed);
    assert_eq!((passed, failed), (DAYS, Vec::new()));
    let sum = outcome.heard;
    println!("{sum:#?}");
    // Days are no use if what they are for never happens.
    assert!(sum.messages > 1_000 * DAYS && sum.recovered > 5 * DAYS);
    assert!(sum.gaps > DAYS && sum.snapshots > DAYS && sum.snapshots_failed > DAYS / 10);
}
