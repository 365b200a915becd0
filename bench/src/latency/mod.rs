//! The laboratory: who answers, under which load, in which order, and what came out.
//!
//! Path:        plan -> (round, load, candidate: one `run` each) -> entries -> report
//!
//! Every round runs every candidate once under every load, so that what drifts on the host hits all
//! alike.

mod plan;

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use feeds::replay::Pace;
use feeds::{generate, triggers};
use lab::netns::Lab;
use lab::run::{self, Candidate, Item, Outcome};
use lab::traffic::Traffic;
use lab::venue::Venue;
use report::Entry;

pub use plan::{Combination, Load, Plan};

/// Runs every item once a round. `on_run` hears of each run. A peer that fails costs its round.
///
/// # Errors
/// The first run of a gateway that failed; or `stop`.
pub fn measure(
    lab: &Lab,
    items: &[Item],
    rounds: u32,
    stop: &AtomicBool,
    mut on_run: impl FnMut(u32, &Outcome),
) -> Result<Vec<Entry>> {
    let mut entries: Vec<Entry> = items.iter().map(|item| Entry::new(&item.name)).collect();
    for round in 0..rounds {
        for (item, entry) in items.iter().zip(&mut entries) {
            let outcome = run::run(lab, item, |_| (), stop).or_else(|error| {
                let is_peers = matches!(item.candidate, Candidate::Peer(_));
                if !is_peers || stop.load(Ordering::Relaxed) {
                    let which = format!("{}, round {}", item.name, round + 1);
                    return Err(error.context(which));
                }
                Ok(Outcome::failed(&item.name, format!("{error:#}")))
            })?;
            on_run(round + 1, &outcome);
            entry.add(&outcome);
        }
    }
    Ok(entries)
}

/// A feed with triggers for a load, written into `folder`.
///
/// # Errors
/// What the file system says.
pub fn traffic(load: &Load, workload: &Workload, folder: &std::path::Path) -> Result<Traffic> {
    let Workload {
        rate,
        seconds,
        warm_up_ms,
        pack,
        every,
        symbols,
        standing,
    } = *workload;
    let (rate, every, burst) = match load {
        Load::Silence => (1.0, 1, 1),
        Load::Burst(burst) => (rate, every, u64::from(*burst)),
        Load::Fixed | Load::Poisson => (rate, every, 1),
    };
    let length_s = seconds + warm_up_ms as f64 / 1000.0;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate is positive and far below 2^64"
    )]
    let packets = (rate * length_s) as u64;
    let options = triggers::Options {
        day: generate::Options {
            seed: 1,
            messages: (packets * u64::from(pack)).max(2),
            symbols,
            live: 0,
        },
        every,
        burst,
        standing,
    };
    let name = format!("{load}-{rate}-{pack}-{every}-{symbols}-{standing}-{length_s}.itch50");
    let feed = folder.join(name);
    if !feed.is_file() {
        triggers::to_file(&options, &feed)?;
    }
    Ok(Traffic {
        venue: Venue::Nasdaq,
        feed,
        pace: match load {
            Load::Poisson => Pace::Poisson(rate, 1),
            Load::Fixed | Load::Burst(_) | Load::Silence => Pace::Rate(rate),
        },
        pack,
        bulk: options.preface(),
        limit: None,
        trigger: Some(triggers::LOCATE),
        burst,
        lines: 1,
        warm_up_ms: match load {
            // Its few triggers all count; the first comes after the silence of the start.
            Load::Silence => 0,
            Load::Fixed | Load::Poisson | Load::Burst(_) => warm_up_ms,
        },
        answer_after_us: 0,
        live: None,
    })
}

/// A recorded day at its own pace times `speed`.
#[must_use]
pub fn day_traffic(feed: &std::path::Path, speed: f64, workload: &Workload) -> Traffic {
    Traffic {
        venue: Venue::Nasdaq,
        feed: feed.to_owned(),
        pace: Pace::Speed(speed),
        pack: workload.pack,
        bulk: 0,
        limit: None,
        trigger: None,
        burst: 1,
        lines: 1,
        warm_up_ms: workload.warm_up_ms,
        answer_after_us: 0,
        live: None,
    }
}

/// The numbers of a load.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Workload {
    /// Packets a second.
    pub rate: f64,
    /// How long, without the warm-up.
    pub seconds: f64,
    /// Warm-up: what is sent before it is over does not count.
    pub warm_up_ms: u64,
    /// Messages in a packet.
    pub pack: u16,
    /// One message in this many is a trigger.
    pub every: u64,
    /// Symbols beside the triggers'.
    pub symbols: u16,
    /// Orders that stand in the books.
    pub standing: u64,
}

impl Default for Workload {
    fn default() -> Self {
        Self {
            rate: 20_000.0,
            seconds: 2.0,
            warm_up_ms: 300,
            pack: 1,
            every: 10,
            symbols: 100,
            standing: 0,
        }
    }
}
