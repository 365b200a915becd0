//! `demo`: the main job on one machine, shown as a table.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use gateway::telemetry::{Kind, POSITIONS_SHOWN, grouped};

use crate::demo;
use crate::exchange::Trouble;
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
    /// What goes wrong meanwhile, and is recovered.
    #[arg(long, value_name = "KIND", value_enum, conflicts_with = "feed")]
    faults: Option<Trouble>,
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

#[expect(clippy::print_stdout, reason = "the table is what the demo is for")]
pub(crate) fn run(arguments: &Arguments, stop: &AtomicBool) -> Result<()> {
    let show = demo::Show {
        venue: arguments.venue,
        feed: arguments.feed.clone(),
        trouble: arguments.faults,
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
    println!("\n{}", report.table(POSITIONS_SHOWN));
    let run = &outcome.run;
    let count = |kind, name| run.counter(kind, "itch", name).unwrap_or(0);
    let feed = |name| grouped(count(Kind::Feed, name));
    let recovery = |name| grouped(count(Kind::Recovery, name));
    let session = |name| grouped(run.counter(Kind::Session, "ouch", name).unwrap_or(0));
    println!(
        "feed: {} messages, {} changes of best prices, {} trades, {} unknown references, {} rejected \
         adds, {} duplicates from the other line, {} gaps",
        feed("messages"),
        feed("bbo_changes"),
        feed("trades"),
        feed("missing_ref"),
        feed("rejected"),
        feed("packets_duplicate"),
        feed("gaps"),
    );
    if show.trouble.is_some() {
        println!(
            "recovery: {} holes filled by the other line in time, {} asked for and filled ({} messages by {} \
             requests, {} timed out), {} gaps ({} messages); {} snapshots ended them, the feed was stale for \
             {} ms",
            feed("holes_filled"),
            feed("holes_recovered"),
            recovery("messages_recovered"),
            recovery("requests_sent"),
            recovery("requests_timed_out"),
            feed("gaps"),
            feed("messages_lost"),
            feed("snapshots_joined"),
            grouped(count(Kind::Feed, "stale_gap_ns") / 1_000_000),
        );
    }
    println!(
        "orders: {} sent, {} accepted, {} fills, {} cancelled, {} refused by risk",
        session("orders"),
        session("accepted"),
        session("fills"),
        session("canceled"),
        session("refused"),
    );
    if let Some(path) = &arguments.json {
        report
            .write_json(path)
            .with_context(|| path.display().to_string())?;
    }
    demo::check(&outcome)
}
