//! A world from a seed: the real stages of gateway and exchange in one thread, on a simulated network and clock.
//!
//! ```text
//!  venue ──lines──> hearing ──rings──> traders, quoter ──rings──> line ──connection──> exchange
//!  (flow, packets)  (the feed handler)  (strategy stages)  (order stage)               (accounts, engine)
//! ```
//!
//! [`play_feed`] lives one feed's day, [`play`] one world: 300 random steps, then calm, then the reckoning. The seed decides everything: what
//! strategies do and when they stand still, what the lines lose, double and delay, at which byte a connection is cut or nothing
//! comes through any more, when the gateway, a market or the exchange is killed and starts again, whom the operator stops. Checked
//! after every packet and every turn:
//!
//! - the feed is complete or says that it is not (`hearing`), and so hears each strategy, however far behind it is (`numbers`);
//! - live orders, positions and exposure are what the exchange has told (`line`);
//! - the journal of each life of a session has every packet that it sent and every message that it heard (`journaled`);
//! - each intent is answered once, no order lives twice (`traders`, `record`).
//!
//! A world that breaks a rule is made smaller ([`make_smaller`]): the fewest of its steps that were found to break the same one.
//!
//! Must not know: sockets, threads, the time of day.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a world that breaks a rule panics: that is how it fails"
)]

mod checks;
mod connection;
mod counter;
mod feed_day;
mod hearing;
mod journaled;
mod line;
mod lives;
mod many;
mod mishaps;
mod numbers;
mod operator;
mod overheard;
mod quoting;
mod record;
mod rehearsing;
mod servers;
mod smaller;
mod traders;
mod venue;
mod world;

use std::collections::BTreeMap;

use protocol::types::Symbol;

pub use feed_day::{play_24_hours, play_feed, play_long_feed};
pub use hearing::FeedTotals;
pub use many::{Sum, live_many};
pub use smaller::{Smaller, make_smaller};

const MS: u64 = 1_000_000;

/// Symbols of each feed, in the order in which they are listed: one code means different symbols, and one
/// symbol is on both. The second feed is IEX's.
const SYMBOLS: [[&str; venue::LISTED]; 2] = [["ALC", "BOB"], ["CAT", "ALC"]];
const ACCOUNTS: [&str; 2] = ["one", "two"];
/// Feed and session of each strategy; the second is the quoter.
const STRATEGIES: [(usize, usize); 3] = [(0, 0), (1, 0), (1, 1)];
const QUOTER: usize = 1;
/// The most shares that risk lets an order have, in every world.
const ORDER_QTY_MAX: u32 = 500;
const HALF_SPREAD: u32 = 300;
const REQUOTE_AT: u32 = 100;
/// Sets the dice of what a killed process takes with it apart from a step's others.
const FATES: u64 = 0x6A09_E667;
/// Random steps of a world.
pub const STEPS: u32 = 300;

fn symbol(name: &str) -> Symbol {
    Symbol::new(name).expect("a symbol")
}

/// What came to pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Simulated time, ns.
    pub lived_ns: u64,
    /// Lives of the gateway.
    pub starts: u64,
    /// How often the exchange was killed.
    pub exchange_kills: u64,
    /// How often nothing came through between a session and the exchange for a while.
    pub partings: u64,
    /// How often strategies took no turn for a while.
    pub sleeps: u64,
    /// What its feeds said.
    pub heard: FeedTotals,
    /// Answers that the random strategies heard, by what was asked and what was said.
    pub answers: BTreeMap<String, u64>,
    /// The quoter was free to quote at the end, and did.
    pub is_quoted: bool,
    /// All that it has left behind, in one number: orders' bytes, books, counters.
    pub left: u64,
}

/// Lives one world.
///
/// # Panics
/// A rule is broken; the message says which. The same seed breaks it again.
#[must_use]
pub fn play(seed: u64) -> Outcome {
    live(seed, 0..STEPS, false)
}

/// Lives what is left of a world without its other steps: each has dice of its own, so those that stay do what they did.
///
/// # Panics
/// As [`play`].
#[must_use]
pub fn play_only(seed: u64, steps: &[u32]) -> Outcome {
    live(seed, steps.iter().copied(), false)
}

/// Lives the same world, in which every stage rehearses after every turn; and how often they have.
///
/// # Panics
/// As [`play`].
#[must_use]
pub fn play_rehearsing(seed: u64) -> (Outcome, u64) {
    let outcome = live(seed, 0..STEPS, true);
    (outcome, rehearsing::count())
}

fn live(seed: u64, steps: impl IntoIterator<Item = u32>, rehearses: bool) -> Outcome {
    rehearsing::begin(rehearses);
    let mut world = world::World::new(seed);
    for step in steps {
        world.random = dice(seed, step);
        world.fates = dice(seed ^ FATES, step);
        world.step();
    }
    world.random = dice(seed, STEPS);
    world.calm_down();
    checks::all_believe_the_same(&mut world);
    assert!(
        world.feeds_are_whole(),
        "a calm market is not heard, or is called stale"
    );
    let is_quoted = checks::quotes_stand_where_they_belong(&mut world);
    checks::gap_withdraws_quotes(&mut world);
    world.sum_up();
    Outcome {
        lived_ns: world.lived_ns(),
        starts: world.starts,
        exchange_kills: world.counter.kills,
        partings: world.partings,
        sleeps: world.sleeps,
        heard: world.heard,
        answers: std::mem::take(&mut world.answers),
        is_quoted,
        left: rehearsing::left(),
    }
}

/// What a step is drawn with.
fn dice(seed: u64, step: u32) -> fastrand::Rng {
    let salt = u64::from(step + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    fastrand::Rng::with_seed(seed ^ salt)
}

impl std::ops::AddAssign<&Self> for Outcome {
    fn add_assign(&mut self, other: &Self) {
        self.lived_ns += other.lived_ns;
        self.starts += other.starts;
        self.exchange_kills += other.exchange_kills;
        self.partings += other.partings;
        self.sleeps += other.sleeps;
        self.heard += other.heard;
        self.left = self.left.wrapping_add(other.left);
        for (word, count) in &other.answers {
            *self.answers.entry(word.clone()).or_default() += count;
        }
    }
}
