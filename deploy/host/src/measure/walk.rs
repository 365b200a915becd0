//! How warm a core stays: the same small walk through memory after idling for a while.
//!
//! The walk is a chain of cache lines in an order that no prefetcher guesses, half of a first cache long. A core that idles by
//! spinning takes nothing out of it; what does is somebody else.

use std::hint::{black_box, spin_loop};

use rt::clock::Clock;
use serde::{Deserialize, Serialize};

/// The walk after idling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warmth {
    /// How long the core had idled, ns.
    pub idle_ns: u64,
    /// The walk, ns.
    pub p50_ns: u64,
    /// The walk, ns.
    pub p99_ns: u64,
}

/// 16 KiB.
const LINES: usize = 256;
const IDLES_NS: [u64; 4] = [1_000, 10_000, 100_000, 1_000_000];
/// Walks after each idling: 0.2 s in all.
const ROUNDS: usize = 201;

/// One line of the chain: where the next one is.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Line {
    next: usize,
}

/// Measures the calling thread's core.
#[must_use]
pub fn warmth(clock: &Clock) -> Vec<Warmth> {
    let lines = chain();
    let of = |idle_ns| {
        let mut took: Vec<u64> = Vec::with_capacity(ROUNDS);
        for _ in 0..ROUNDS {
            let until_ns = clock.now_ns() + idle_ns;
            while clock.now_ns() < until_ns {
                spin_loop();
            }
            let began_ns = clock.now_ns();
            walk(&lines);
            took.push(clock.now_ns() - began_ns);
        }
        took.sort_unstable();
        let at = |percent: usize| took.get((took.len() - 1) * percent / 100).copied();
        Warmth {
            idle_ns,
            p50_ns: at(50).unwrap_or(0),
            p99_ns: at(99).unwrap_or(0),
        }
    };
    IDLES_NS.into_iter().map(of).collect()
}

/// One circle through all lines (Sattolo's shuffle, from a fixed seed: the same walk on every host).
fn chain() -> Box<[Line; LINES]> {
    let mut order: Vec<usize> = (0..LINES).collect();
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
    for at in (1..LINES).rev() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let other = usize::try_from(seed >> 33).unwrap_or(0) % at;
        order.swap(at, other);
    }
    let mut lines = Box::new([Line { next: 0 }; LINES]);
    for (line, next) in lines.iter_mut().zip(order) {
        line.next = next;
    }
    lines
}

fn walk(lines: &[Line; LINES]) -> usize {
    let mut at = 0;
    for _ in 0..LINES {
        at = lines.get(at).map_or(0, |line| black_box(line.next));
    }
    black_box(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chain_goes_through_every_line_once() {
        let lines = chain();
        let (mut at, mut seen) = (0, std::collections::BTreeSet::new());
        while seen.insert(at) {
            at = lines[at].next;
        }
        assert_eq!((at, seen.len()), (0, LINES));
        assert_eq!(walk(&lines), 0);
    }
}
