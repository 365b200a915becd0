//! `lag`: a strategy that sleeps for whole seconds, and the feed's histograms meanwhile.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use bench::lag::{self, Outcome};
use feed_handler::publish::Way;
use gateway::telemetry::grouped;
use lab::command::write_json;
use serde_json::json;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Messages a second.
    #[arg(long, default_value_t = 500_000, value_parser = clap::value_parser!(u64).range(1..=5_000_000))]
    rate: u64,
    /// Seconds awake, and as many asleep.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=60))]
    rounds: u32,
    /// Write the report there.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Measures on both kinds of ring.
#[expect(clippy::print_stdout, reason = "figures are what this command prints")]
pub(crate) fn run(arguments: &Arguments, stop: &AtomicBool) -> Result<()> {
    let mut runs = serde_json::Map::new();
    for (name, way) in [("shared ring", Way::Shared), ("own ring", Way::Own)] {
        let options = lag::Options {
            rate: arguments.rate,
            rounds: arguments.rounds,
            way,
        };
        let found = lag::measure(&options, stop)?;
        println!(
            "{name}: {} messages; the strategy heard {} and was told that it missed {}; all {} symbols are as the \
             books have them",
            grouped(found.messages),
            grouped(found.heard),
            grouped(found.missed),
            found.symbols,
        );
        println!("{}", table(&found));
        runs.insert(
            name.to_owned(),
            json!({
                "messages": found.messages, "heard": found.heard, "missed": found.missed,
                "awake": found.awake, "asleep": found.asleep,
            }),
        );
    }
    let run = json!({ "name": "lag", "rate": arguments.rate, "rings": runs });
    write_json(arguments.json.as_deref(), "tickgate-bench lag", run)
}

/// The feed's histograms, awake beside asleep, ns.
fn table(found: &Outcome) -> String {
    let mut text = String::new();
    for (name, awake) in found.awake.iter().filter(|(_, awake)| awake.count > 0) {
        let asleep = found.asleep.get(name).copied().unwrap_or_default();
        for (kind, it) in [("awake", awake), ("asleep", &asleep)] {
            text += &format!(
                "  {name:18} {kind:7} {:>10} samples  p50 {:>7}  p99 {:>9}  p99.9 {:>10}  max {:>11}\n",
                grouped(it.count),
                grouped(it.p50),
                grouped(it.p99),
                grouped(it.p999),
                grouped(it.max),
            );
        }
    }
    text
}
