//! What the commands that measure the whole way share: one item, bars while it runs, tables and files.

#![expect(clippy::print_stdout, reason = "tables are what these commands print")]

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use bench::latency::measure;
use indicatif::ProgressBar;
use lab::netns::Lab;
use lab::run::{Candidate, Item, Outcome};
use lab::traffic::Traffic;
use peers::Peers;
use report::{Entry, Report, Word};

/// Where results go beside the tables.
#[derive(Debug, clap::Args)]
pub(crate) struct Output {
    /// Write the report there.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the report as a page with plots there.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write HdrHistogram files (.hgrm) and interval logs (.hlog) there.
    #[arg(long, value_name = "FOLDER")]
    hgrm: Option<PathBuf>,
}

pub(super) fn item(name: &str, traffic: &Traffic, candidate: Candidate) -> Item {
    Item {
        name: name.to_owned(),
        traffic: traffic.clone(),
        candidate,
    }
}

pub(super) fn finish(report: &Report, output: &Output) -> Result<()> {
    println!("{}", report::text(report));
    if let Some(path) = &output.json {
        report.write_json(path)?;
    }
    if let Some(path) = &output.html {
        std::fs::write(path, report::html(report)?).with_context(|| path.display().to_string())?;
    }
    if let Some(folder) = &output.hgrm {
        report::write_histograms(report, folder)?;
    }
    Ok(())
}

/// Tells the report what floor and peers are, and which could not run.
pub(super) fn tell_peers(report: &mut Report, peers: &Peers) {
    let skipped = peers.skipped.iter();
    let skipped = skipped.map(|(peer, why)| {
        let why = why.lines().next().unwrap_or_default();
        format!("{}: {why}", peer.name)
    });
    report.skipped.extend(skipped);
    report.words = peers::ALL
        .iter()
        .map(|peer| Word {
            name: peer.name.to_owned(),
            meaning: peer.meaning.to_owned(),
        })
        .collect();
}

/// Measures, with a bar that tells how far it is and which round is invalid.
pub(super) fn measure_shown(
    lab: &Lab,
    items: &[Item],
    rounds: u32,
    stop: &AtomicBool,
) -> Result<Vec<Entry>> {
    let bar = bar(items.len() as u64 * u64::from(rounds));
    let entries = measure(lab, items, rounds, stop, |round, outcome| {
        tick(&bar, round, outcome);
    })?;
    bar.finish_and_clear();
    Ok(entries)
}

pub(super) fn bar(runs: u64) -> ProgressBar {
    let bar = lab::command::progress(false, "{bar:30} {pos}/{len} {elapsed} of {duration}  {msg}");
    bar.set_length(runs);
    bar
}

fn tick(bar: &ProgressBar, round: u32, outcome: &Outcome) {
    bar.inc(1);
    bar.set_message(format!("{}, round {round}", outcome.run.name));
    for why in &outcome.invalid {
        bar.println(format!(
            "INVALID {}, round {round}: {why}",
            outcome.run.name
        ));
    }
}
