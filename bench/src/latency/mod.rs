//! The laboratory: who answers, under which load, in which order, and what came out.
//!
//! Path:        plan -> (round, load, contestant: one `run` each) -> entries -> report
//!
//! Every round runs every contestant once under every load, so that what drifts on the host hits all
//! alike.

mod entry;
mod plan;

use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use gateway::telemetry::Host;
use serde::{Deserialize, Serialize};

use crate::lab::Lab;
use crate::replay::Pace;
use crate::run::{self, Contestant, Outcome, Traffic};
use crate::{generate, triggers};

pub use entry::{Entry, Moment, Round};
pub use plan::{Combination, Load, Plan};

/// What the laboratory writes with `--json`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Report {
    /// The program.
    pub tool: String,
    /// Its version.
    pub version: String,
    /// The host.
    pub host: Host,
    /// One entry for each contestant under each load, all its rounds merged.
    pub runs: Vec<Entry>,
    /// Peers that could not run, with what is missing.
    #[serde(default)]
    pub skipped: Vec<String>,
    /// Aims, what was measured, and whether it is enough.
    #[serde(default)]
    pub aims: Vec<crate::aims::Aim>,
    /// How `tick_to_order` grows with what the gateway has to do.
    #[serde(default)]
    pub growth: Vec<crate::growth::Point>,
    /// Receivers under a flood.
    #[serde(default)]
    pub floods: Vec<crate::flood::Flood>,
}

impl Report {
    /// An empty report of this host.
    #[must_use]
    pub fn new(tool: &str) -> Self {
        Self {
            tool: tool.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            host: Host::here(),
            runs: Vec::new(),
            skipped: Vec::new(),
            aims: Vec::new(),
            growth: Vec::new(),
            floods: Vec::new(),
        }
    }

    /// The entry of a name.
    #[must_use]
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.runs.iter().find(|entry| entry.run.name == name)
    }

    /// Writes the report as one JSON object.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write_json(&self, path: &std::path::Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        std::fs::write(path, text + "\n").with_context(|| path.display().to_string())
    }

    /// Reads one.
    ///
    /// # Errors
    /// The file is not there, or is no report.
    pub fn read(path: &std::path::Path) -> Result<Self> {
        let shown = || path.display().to_string();
        let text = std::fs::read_to_string(path).with_context(shown)?;
        serde_json::from_str(&text)
            .with_context(|| format!("{}: not a report of tickgate-bench latency", path.display()))
    }
}

/// One thing to run: a load, and who answers.
#[derive(Clone, Debug)]
pub struct Item {
    /// Name in the report.
    pub name: String,
    /// What is sent.
    pub traffic: Traffic,
    /// Who answers.
    pub contestant: Contestant,
}

/// Runs every item once a round. `on_run` hears of each run.
///
/// # Errors
/// The first run that failed.
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
            let what = (item.name.as_str(), &item.traffic, &item.contestant);
            let outcome = run::run(lab, what, |_| (), stop)
                .with_context(|| format!("{}, round {}", item.name, round + 1))?;
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
pub fn traffic(load: &Load, scene: &Scene, folder: &std::path::Path) -> Result<Traffic> {
    let Scene {
        rate,
        seconds,
        warm_up_ms,
        pack,
        every,
        symbols,
        standing,
    } = *scene;
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

/// A recorded day at its own pace, so many times as fast.
#[must_use]
pub fn day_traffic(feed: &std::path::Path, speed: f64, scene: &Scene) -> Traffic {
    Traffic {
        feed: feed.to_owned(),
        pace: Pace::Speed(speed),
        pack: scene.pack,
        bulk: 0,
        limit: None,
        trigger: None,
        burst: 1,
        lines: 1,
        warm_up_ms: scene.warm_up_ms,
        answer_after_us: 0,
        live: None,
    }
}

/// The numbers of a load.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scene {
    /// Packets a second.
    pub rate: f64,
    /// How long, without the warm-up.
    pub seconds: f64,
    /// What is sent in the first so many ms does not count.
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

impl Default for Scene {
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
