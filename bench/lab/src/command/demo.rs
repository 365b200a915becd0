//! `demo`: the main job on one machine, shown as a table.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use gateway::telemetry::grouped;

use crate::demo;
use crate::venue::Venue;

/// What the demo is told.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Whose formats the exchange's own feed has.
    #[arg(long, value_enum, default_value_t)]
    venue: Venue,
    /// A feed to replay; without it a generated day.
    #[arg(long, value_name = "FILE")]
    feed: Option<PathBuf>,
    /// What goes wrong meanwhile: both lines lose packets, re-requests and a snapshot bring them back.
    #[arg(long, value_name = "KIND", conflicts_with = "feed")]
    faults: Option<Faults>,
    /// Write the report there.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write HdrHistogram files (.hgrm) there.
    #[arg(long, value_name = "FOLDER")]
    hgrm: Option<PathBuf>,
    /// More settings for the gateway.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
}

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Faults {
    /// Both lines lose packets; for a second nobody answers re-requests.
    Lossy,
}

#[expect(clippy::print_stdout, reason = "the table is what the demo is for")]
pub(crate) fn run(arguments: &Arguments, stop: &AtomicBool) -> Result<()> {
    let show = demo::Show {
        venue: arguments.venue,
        feed: arguments.feed.clone(),
        is_lossy: arguments.faults == Some(Faults::Lossy),
        hgrm_dir: arguments.hgrm.clone(),
        sets: arguments.sets.clone(),
    };
    let (report, outcome) = demo::demo(&show, stop)?;
    for line in outcome.said.iter().filter(|line| {
        ["feed itch", " itch: ", "WARN"]
            .iter()
            .any(|it| line.contains(it))
    }) {
        println!("{line}");
    }
    println!("\n{}", report.table());
    let run = &outcome.run;
    let count = |stage: &str, name: &str| {
        run.counters
            .get(stage)
            .and_then(|list| list.get(name))
            .copied()
            .unwrap_or(0)
    };
    println!(
        "feed: {} messages, {} changes of best prices, {} trades, {} unknown references, {} rejected \
         adds, {} duplicates from the other line, {} gaps",
        grouped(count("itch", "messages")),
        grouped(count("itch", "bbo_changes")),
        grouped(count("itch", "trades")),
        grouped(count("itch", "missing_ref")),
        grouped(count("itch", "rejected")),
        grouped(count("itch", "packets_duplicate")),
        grouped(count("itch", "gaps")),
    );
    if show.is_lossy {
        println!(
            "recovery: {} holes filled by the other line in time, {} asked for and filled ({} messages by {} \
             requests, {} timed out), {} gaps ({} messages); {} snapshots ended them, the feed was stale for \
             {} ms",
            grouped(count("itch", "holes_filled")),
            grouped(count("itch", "holes_recovered")),
            grouped(count("itch.recovery", "messages_recovered")),
            grouped(count("itch.recovery", "requests_sent")),
            grouped(count("itch.recovery", "requests_timed_out")),
            grouped(count("itch", "gaps")),
            grouped(count("itch", "messages_lost")),
            grouped(count("itch", "snapshots_joined")),
            grouped(count("itch", "stale_gap_ns") / 1_000_000),
        );
    }
    println!(
        "orders: {} sent, {} accepted, {} fills, {} cancelled, {} refused by risk",
        grouped(count("ouch", "orders")),
        grouped(count("ouch", "accepted")),
        grouped(count("ouch", "fills")),
        grouped(count("ouch", "canceled")),
        grouped(count("ouch", "refused")),
    );
    if let Some(path) = &arguments.json {
        report
            .write_json(path)
            .with_context(|| path.display().to_string())?;
    }
    demo::check(&outcome)
}
