//! Our ring beside rtrb and beside a bare cache line, in one run, taking turns: a 64-byte event from core
//! to core at full rate, there and back, and on one core. The ratio counts; absolute times drift.

#![expect(clippy::expect_used, reason = "a benchmark stops when a thread does")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;

use rt::clock::Clock;
use rt::cpu;

use report::statistics::median;

type Event = [u64; 8];

const CAPACITY: usize = 4096;
const EVENTS: u64 = 3_000_000;
const TRIPS: u64 = 200_000;
const ROUNDS: usize = 7;

/// What both rings can do.
trait Ends: Sized {
    type In: Send + 'static;
    type Out: Send + 'static;
    fn make() -> (Self::In, Self::Out);
    fn push(end: &mut Self::In, event: Event) -> bool;
    fn pop(end: &mut Self::Out) -> Option<Event>;
}

struct Ours;
struct Rtrb;

impl Ends for Ours {
    type In = rt::ring::Producer<Event>;
    type Out = rt::ring::Consumer<Event>;
    fn make() -> (Self::In, Self::Out) {
        rt::ring::ring(CAPACITY).expect("a power of two")
    }
    #[inline]
    fn push(end: &mut Self::In, event: Event) -> bool {
        end.push(event).is_ok()
    }
    #[inline]
    fn pop(end: &mut Self::Out) -> Option<Event> {
        end.pop()
    }
}

impl Ends for Rtrb {
    type In = rtrb::Producer<Event>;
    type Out = rtrb::Consumer<Event>;
    fn make() -> (Self::In, Self::Out) {
        rtrb::RingBuffer::new(CAPACITY)
    }
    #[inline]
    fn push(end: &mut Self::In, event: Event) -> bool {
        end.push(event).is_ok()
    }
    #[inline]
    fn pop(end: &mut Self::Out) -> Option<Event> {
        end.pop().ok()
    }
}

/// ns for an event, one core sending, one taking.
fn rate<R: Ends>() -> f64 {
    let (mut input, mut output) = R::make();
    let sender = std::thread::spawn(move || {
        pin(0);
        for number in 0..EVENTS {
            while !R::push(&mut input, [number; 8]) {
                std::hint::spin_loop();
            }
        }
    });
    pin(1);
    let clock = Clock::new();
    let mut sum = 0;
    let mut taken = 0;
    let mut start_ns = 0;
    while taken < EVENTS {
        if let Some(event) = R::pop(&mut output) {
            sum ^= event.iter().sum::<u64>();
            if taken == 0 {
                start_ns = clock.now_ns();
            }
            taken += 1;
        }
    }
    let took = clock.now_ns() - start_ns;
    std::hint::black_box(sum);
    sender.join().expect("the sender ends");
    took as f64 / EVENTS as f64
}

/// ns there and back.
fn trip<R: Ends>() -> f64 {
    let (mut there_in, mut there_out) = R::make();
    let (mut back_in, mut back_out) = R::make();
    let echo = std::thread::spawn(move || {
        pin(0);
        for _ in 0..TRIPS {
            let event = loop {
                if let Some(event) = R::pop(&mut there_out) {
                    break event;
                }
            };
            while !R::push(&mut back_in, event) {}
        }
    });
    pin(1);
    let clock = Clock::new();
    let start_ns = clock.now_ns();
    for number in 0..TRIPS {
        while !R::push(&mut there_in, [number; 8]) {}
        while R::pop(&mut back_out).is_none() {}
    }
    let took = clock.now_ns() - start_ns;
    echo.join().expect("the echo ends");
    took as f64 / TRIPS as f64
}

/// ns for a push and a pop on one core: the inline layout.
fn inline<R: Ends>() -> f64 {
    let (mut input, mut output) = R::make();
    let clock = Clock::new();
    let start_ns = clock.now_ns();
    let mut sum = 0;
    for number in 0..EVENTS {
        R::push(&mut input, std::hint::black_box([number; 8]));
        sum ^= R::pop(&mut output).map_or(0, |event| event.iter().sum());
    }
    std::hint::black_box(sum);
    (clock.now_ns() - start_ns) as f64 / EVENTS as f64
}

fn pin(core: usize) {
    let cpus = cpu::allowed();
    if let Some(cpu) = cpus.get(core % cpus.len().max(1)) {
        // Unpinned it is slower, for both.
        let _ = cpu::pin(*cpu);
    }
}

/// ns there and back for one word in a cache line of its own, each way: nothing can be faster.
fn raw() -> f64 {
    let lines = Arc::new([
        CachePadded::new(AtomicU64::new(0)),
        CachePadded::new(AtomicU64::new(0)),
    ]);
    let shared = Arc::clone(&lines);
    let echo = std::thread::spawn(move || {
        pin(0);
        let [there, back] = &*shared;
        for number in 1..=TRIPS {
            while there.load(Ordering::Acquire) != number {}
            back.store(number, Ordering::Release);
        }
    });
    pin(1);
    let [there, back] = &*lines;
    let clock = Clock::new();
    let start_ns = clock.now_ns();
    for number in 1..=TRIPS {
        there.store(number, Ordering::Release);
        while back.load(Ordering::Acquire) != number {}
    }
    let took = clock.now_ns() - start_ns;
    echo.join().expect("the echo ends");
    took as f64 / TRIPS as f64
}

/// What was measured, ns, medians of interleaved runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hops {
    /// An event at full rate from core to core: ours, rtrb's.
    pub rate: [f64; 2],
    /// There and back between two cores: ours, rtrb's, and a bare cache line's.
    pub trip: [f64; 3],
    /// Push and pop on one core: ours, rtrb's.
    pub inline: [f64; 2],
}

/// Measures everything: about five seconds.
#[must_use]
pub fn measure() -> Hops {
    Hops {
        rate: medians([rate::<Ours>, rate::<Rtrb>]),
        trip: medians([trip::<Ours>, trip::<Rtrb>, raw]),
        inline: medians([inline::<Ours>, inline::<Rtrb>]),
    }
}

fn medians<const N: usize>(runs: [fn() -> f64; N]) -> [f64; N] {
    let mut values = [const { Vec::new() }; N];
    for _ in 0..ROUNDS {
        for (run, values) in runs.iter().zip(&mut values) {
            // Each in a thread of its own, so that pinning ends with it.
            values.push(std::thread::spawn(*run).join().expect("it runs"));
        }
    }
    values.map(|values| median(&values))
}
