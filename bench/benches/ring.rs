//! Our ring beside rtrb, in one run, taking turns: a 64-byte event from core to core at full rate, there
//! and back, and on one core. The ratio counts; absolute times drift.

#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark stops and prints"
)]
#![allow(missing_docs, reason = "a benchmark has no users")]

use rt::clock::Clock;
use rt::cpu;

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

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn compare(name: &str, ours: fn() -> f64, theirs: fn() -> f64) {
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        // Each run in a thread of its own, so that pinning ends with it.
        a.push(std::thread::spawn(ours).join().expect("it runs"));
        b.push(std::thread::spawn(theirs).join().expect("it runs"));
    }
    let (ours, theirs) = (median(a), median(b));
    println!(
        "{name:32} ours {ours:8.1} ns   rtrb {theirs:8.1} ns   ratio {:.2}",
        ours / theirs
    );
}

fn main() {
    println!("medians of {ROUNDS} interleaved runs, 64-byte events");
    compare("full rate, two cores", rate::<Ours>, rate::<Rtrb>);
    compare("there and back, two cores", trip::<Ours>, trip::<Rtrb>);
    compare("push and pop, one core", inline::<Ours>, inline::<Rtrb>);
}
