//! Many worlds, on several threads.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::Outcome;

/// What some worlds came to.
#[derive(Clone, Debug, Default)]
pub struct Sum {
    /// All of those that passed.
    pub outcome: Outcome,
    /// How many passed.
    pub passed: u64,
    /// In how many of them the quoter was free to quote at the end.
    pub quoted: u64,
    /// The seeds of those that failed, in order.
    pub failed: Vec<u64>,
}

/// Lives the worlds of these seeds, each on one of the threads. `tell` hears of each seed whether its world passed, and says whether
/// to begin another.
#[must_use]
pub fn live_many(
    seeds: Range<u64>,
    threads: usize,
    live: impl Fn(u64) -> Outcome + Sync,
    tell: impl Fn(u64, bool) -> bool + Sync,
) -> Sum {
    let next = AtomicU64::new(seeds.start);
    let live_some = || {
        let mut sum = Sum::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return sum;
            }
            let lived = catch_unwind(AssertUnwindSafe(|| live(seed)));
            if !tell(seed, lived.is_ok()) {
                next.store(seeds.end, Ordering::Relaxed);
            }
            if let Ok(outcome) = lived {
                sum.outcome += &outcome;
                sum.passed += 1;
                sum.quoted += u64::from(outcome.is_quoted);
            } else {
                sum.failed.push(seed);
            }
        }
    };
    let mut sum = Sum::default();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads.max(1))
            .map(|_| scope.spawn(live_some))
            .collect();
        for thread in threads {
            let part = thread.join().expect("a world that fails is caught");
            sum.outcome += &part.outcome;
            sum.passed += part.passed;
            sum.quoted += part.quoted;
            sum.failed.extend(part.failed);
        }
    });
    sum.failed.sort_unstable();
    sum
}
