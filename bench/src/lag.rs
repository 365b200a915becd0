//! What a strategy that sleeps costs the feed, and what it costs the strategy.
//!
//! ```text
//!  feed core       packets, each when it is due ─> feed ─> ring
//!  strategy core                                          └─> awake │ asleep │ awake │ asleep ...   a second each
//!                  the feed's histograms:                     one    other     one     other
//! ```
//!
//! Both kinds of seconds alternate within one run, so what the host does meets both. At the end the strategy
//! has heard everything, or was told how much it missed, and believes what the books say.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{cell::Cell, thread};

use anyhow::{Result, anyhow, bail};
use feed_handler::arbiter::{Arbiter, Patience};
use feed_handler::best_prices::{BestPrice, BestPrices};
use feed_handler::book::{Books, Limits};
use feed_handler::event::{FLAG_STALE, Kind, MarketEvent};
use feed_handler::feed::{Counters, Feed, FeedHistograms, Parts};
use feed_handler::publish::{Listener, Publisher, Subscription, Way};
use feed_handler::source::{Packet, PacketSource};
use feed_handler::venue::Nasdaq;
use feeds::generate;
use gateway::telemetry::Summary;
use hdrhistogram::Histogram;
use rt::clock::{Clock, monotonic_ns};
use rt::cpu;
use rt::histogram::{Reader, empty};
use rt::mem::Want;

use crate::micro::feed::{FeedDay, MESSAGES_EACH};

/// What the ring holds: 8 ms of 500,000 events a second.
const ROOM: usize = 4096;
const SYMBOLS: u16 = 500;
/// One packet on both lines, and as many as a turn of a real source takes.
const LINES: u8 = 2;
const BATCH: usize = 16;
const SECOND_NS: u64 = 1_000_000_000;
/// Touched before, so that no page fault is taken for the strategy's doing.
const MEMORY: Want = Want {
    touched: true,
    ..Want::LAZY
};

/// What to measure.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Messages a second.
    pub rate: u64,
    /// Seconds awake, and as many asleep.
    pub rounds: u32,
    /// How the strategy listens.
    pub way: Way,
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Messages of the day, each delivered by the feed.
    pub messages: u64,
    /// Events that the strategy heard, and those that it was told it missed.
    pub heard: u64,
    /// See [`Outcome::heard`].
    pub missed: u64,
    /// Symbols whose best prices the strategy knows, all as the books have them.
    pub symbols: usize,
    /// The feed's histograms while the strategy listens, by name.
    pub awake: BTreeMap<&'static str, Summary>,
    /// While it sleeps.
    pub asleep: BTreeMap<&'static str, Summary>,
}

/// Runs it.
///
/// # Errors
/// The host has not the memory; or the strategy believes something else than the books.
pub fn measure(options: &Options, stop: &AtomicBool) -> Result<Outcome> {
    let Options { rate, rounds, way } = *options;
    let messages = rate * 2 * u64::from(rounds);
    let day = generate::Options {
        seed: 11,
        messages,
        symbols: SYMBOLS,
        live: 0,
    };
    let day = generate::to_writer(&day, Vec::new(), |_| ())?;
    let day = FeedDay::nasdaq(&day);
    let prices = Arc::new(BestPrices::new(MEMORY)?);
    let mut publisher = Publisher::new(prices, ROOM);
    let listener = publisher
        .listen(Subscription::All, way, ROOM)
        .map_err(|error| anyhow!("{error:?}"))?;
    let histograms = FeedHistograms::default();
    let readers = histograms.readers();
    let is_over = AtomicBool::new(false);
    let cpus = cpu::allowed();
    // Each on a thread of its own: what a thread is pinned to, those that it starts are, too.
    let [first, .., last] = cpus.as_slice() else {
        bail!("one CPU: a strategy that listens would take the feed's time; expected two");
    };
    thread::scope(|scope| {
        let feed = scope.spawn(|| {
            let _over = Over(&is_over);
            pin(*last);
            run_feed(&day, rate, publisher, histograms, stop)
        });
        let strategy = scope.spawn(|| {
            pin(*first);
            let mut strategy = Sleeper::new(listener);
            let kinds = strategy.live(&readers, || is_over.load(Ordering::Acquire));
            (strategy, kinds)
        });
        let books = feed
            .join()
            .map_err(|_| anyhow!("the feed's thread failed"))??;
        let ended = strategy.join();
        let (strategy, [awake, asleep]) =
            ended.map_err(|_| anyhow!("the strategy's thread failed"))?;
        strategy.check(&books)?;
        Ok(Outcome {
            messages,
            heard: strategy.heard,
            missed: strategy.missed,
            symbols: strategy.believed.len(),
            awake,
            asleep,
        })
    })
}

/// Says that the feed is over, however it ended.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

fn pin(cpu: usize) {
    // Where it is not allowed, the kernel chooses.
    let _ = cpu::pin(cpu);
}

/// Shows packets when they are due.
struct Paced<'a> {
    packets: &'a [Vec<u8>],
    now_ns: Rc<Cell<u64>>,
    begin_ns: u64,
    /// Between two packets.
    step_ns: u64,
    next: usize,
    taken: usize,
}

impl Paced<'_> {
    /// What begins the session comes apart from each other, so that it is no copy.
    fn due_ns(&self, index: usize) -> u64 {
        let begin_ns = self.begin_ns + 200_000_000 * index.min(2) as u64;
        begin_ns + index.saturating_sub(2) as u64 * self.step_ns
    }
}

impl PacketSource for Paced<'_> {
    fn acquire(&mut self) -> usize {
        let left = self.packets.len() - self.next;
        let is_due = |taken: &usize| self.due_ns(self.next + taken) <= self.now_ns.get();
        self.taken = (0..left.min(BATCH)).take_while(is_due).count();
        self.taken * usize::from(LINES)
    }

    fn each(&mut self, mut on_packet: impl FnMut(Packet<'_>)) {
        for index in self.next..self.next + self.taken {
            let wire_ns = self.due_ns(index);
            for line in 0..LINES {
                on_packet(Packet {
                    payload: self.packets.get(index).map_or(&[], Vec::as_slice),
                    wire_ns,
                    frame: &[],
                    line,
                });
            }
        }
    }

    fn release(&mut self) {
        self.next += self.taken;
    }

    fn housekeep(&mut self) {}
}

/// The feed's core, until the day is over. Gives the books.
fn run_feed(
    day: &FeedDay,
    rate: u64,
    publisher: Publisher,
    histograms: FeedHistograms,
    stop: &AtomicBool,
) -> Result<BTreeMap<u16, BestPrice>> {
    let clock = Clock::new();
    let now_ns = Rc::new(Cell::new(clock.now_ns()));
    let packets = day.packets();
    let limits = Limits {
        orders_max: 1 << 19,
        levels_max: 1 << 17,
    };
    let counters = Arc::new(Counters::default());
    let stale_ns = 10 * SECOND_NS;
    let mut feed = Feed::new(Parts {
        source: Paced {
            packets,
            now_ns: Rc::clone(&now_ns),
            begin_ns: clock.now_ns(),
            step_ns: SECOND_NS * MESSAGES_EACH as u64 / rate,
            next: 0,
            taken: 0,
        },
        venue: Nasdaq,
        arbiter: Arbiter::new(Patience {
            gap_timeout_ns: 1_000_000,
            stale_ns,
        }),
        books: Books::new(&limits, MEMORY)?,
        publisher,
        counters: Arc::clone(&counters),
        histograms,
        feed: 0,
        lines: usize::from(LINES),
        stale_ns,
    });
    while counters.arbiter.messages.get() < day.messages {
        now_ns.set(clock.now_ns());
        feed.poll(&clock);
        if stop.load(Ordering::Relaxed) {
            bail!("interrupted");
        }
    }
    // What waits for room in the ring is told by quiet turns.
    let until_ns = clock.now_ns() + SECOND_NS;
    while clock.now_ns() < until_ns {
        feed.poll(&clock);
    }
    let best = |locate| (locate, feed.books().best(locate));
    Ok((0..=u16::MAX).map(best).collect())
}

/// What was measured in seconds of one kind.
type Measured = BTreeMap<&'static str, Histogram<u64>>;

/// The strategy, and what it believes.
struct Sleeper {
    listener: Listener,
    believed: BTreeMap<u16, BestPrice>,
    heard: u64,
    missed: u64,
    is_stale: bool,
}

impl Sleeper {
    fn new(listener: Listener) -> Self {
        Self {
            listener,
            believed: BTreeMap::new(),
            heard: 0,
            missed: 0,
            is_stale: true,
        }
    }

    /// Awake and asleep in turns, until `is_over`; then hears what is left. Gives what the feed measured in
    /// seconds of each kind, awake first.
    fn live(
        &mut self,
        readers: &[(&'static str, Reader)],
        is_over: impl Fn() -> bool,
    ) -> [BTreeMap<&'static str, Summary>; 2] {
        let mut kinds = [Measured::new(), Measured::new()];
        while self.heard == 0 && !is_over() {
            self.listen();
        }
        let mut before = snapshots(readers);
        for second in 0.. {
            let is_asleep = second % 2 == 1;
            let until_ns = monotonic_ns() + SECOND_NS;
            while monotonic_ns() < until_ns {
                if is_asleep {
                    let left_ns = until_ns.saturating_sub(monotonic_ns());
                    thread::park_timeout(Duration::from_nanos(left_ns));
                } else {
                    self.listen();
                }
            }
            if is_over() {
                break;
            }
            let now = snapshots(readers);
            let [awake, asleep] = &mut kinds;
            let kind = if is_asleep { asleep } else { awake };
            for ((name, now), before) in now.iter().zip(before.values()) {
                let mut here = now.clone();
                // Counts only grow, so there is always as much to take away; bounds are the same.
                let _ = here.subtract(before);
                let _ = kind.entry(name).or_insert_with(empty).add(here);
            }
            before = now;
        }
        while self.listen() {}
        kinds.map(|kind| {
            let summary = |(name, found)| (name, Summary::of(&found));
            kind.into_iter().map(summary).collect()
        })
    }

    /// Hears what is there. Returns whether there was something.
    fn listen(&mut self) -> bool {
        let mut has_heard = false;
        while let Some(event) = self.listener.hear() {
            self.on_event(&event);
            has_heard = true;
        }
        has_heard
    }

    fn on_event(&mut self, event: &MarketEvent) {
        match event.kind {
            Kind::Lagged => self.missed += event.number,
            Kind::Refresh => {}
            _ if event.locate != 0 => self.heard += 1,
            _ => {}
        }
        self.is_stale = event.has(FLAG_STALE);
        if event.locate != 0 {
            self.believed.insert(event.locate, event.best());
        }
    }

    /// What it believes is what the books say.
    fn check(&self, books: &BTreeMap<u16, BestPrice>) -> Result<()> {
        for (locate, best) in books {
            let believed = self.believed.get(locate).copied().unwrap_or_default();
            if believed != *best {
                bail!(
                    "locate {locate}: the strategy believes {believed:?}, the books have {best:?}"
                );
            }
        }
        if self.is_stale {
            bail!("the strategy believes that the feed is stale");
        }
        Ok(())
    }
}

fn snapshots(readers: &[(&'static str, Reader)]) -> Measured {
    let read = |(name, reader): &(&'static str, Reader)| (*name, reader.snapshot());
    readers.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleeper_learns_what_it_missed_and_ends_with_the_books_prices_on_either_ring() {
        for way in [Way::Shared, Way::Own] {
            let options = Options {
                rate: 20_000,
                rounds: 1,
                way,
            };
            let found = measure(&options, &AtomicBool::new(false)).unwrap();
            assert!(
                found.missed > 0,
                "{way:?}: a second asleep is more than the ring"
            );
            // Messages of no symbol, a handful, are left out.
            let told = found.heard + found.missed;
            assert!(
                told <= found.messages && told + 100 > found.messages,
                "{found:?}"
            );
            assert!(found.symbols > 0);
        }
    }
}
