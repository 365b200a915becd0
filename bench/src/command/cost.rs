//! `cost`: what risk, the journal and a second session cost an order.

#![expect(clippy::print_stdout, reason = "a table is what this command prints")]

use std::sync::atomic::AtomicBool;

use anyhow::Result;
use bench::cost::{self, HISTOGRAMS, alone};
use bench::latency::{Load, traffic};
use gateway::telemetry::grouped;
use hdrhistogram::Histogram;
use lab::netns::Lab;
use report::statistics::median;
use report::{Entry, Report};

use super::shown::{Output, finish, measure_shown};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How often each way runs, in turn.
    #[arg(long, default_value_t = 8)]
    rounds: u32,
    /// Length of each run, without the warm-up.
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// Order entry alone, without namespaces and network: a few seconds.
    #[arg(long)]
    alone: bool,
    #[command(flatten)]
    output: Output,
}

pub(crate) fn run(arguments: &Arguments, stop: &AtomicBool) -> Result<()> {
    let mut report = Report::new("tickgate-bench cost");
    let found = alone::measure(arguments.rounds.max(1), stop)?;
    for way in &found.ways {
        let (p50, mean) = (median(&way.p50), median(&way.mean));
        let line = line(way.name, "order entry alone", p50, &way.all);
        println!("{line}, mean of the faster nine tenths {mean:.1} ns");
    }
    report.aims = alone::aims(&found);
    if !arguments.alone {
        live(arguments, &mut report, stop)?;
    }
    finish(&report, &arguments.output)
}

fn live(arguments: &Arguments, report: &mut Report, stop: &AtomicBool) -> Result<()> {
    let folder = tempfile::Builder::new().prefix("tickgate-day-").tempdir()?;
    let workload = cost::workload(arguments.seconds);
    let items = cost::items(&traffic(&Load::Fixed, &workload, folder.path())?);
    let lab = Lab::new()?;
    report.runs = measure_shown(&lab, &items, arguments.rounds.max(1), stop)?;
    report.aims.extend(cost::aims(&report.runs));
    report.runs.iter().for_each(show);
    Ok(())
}

/// Medians over rounds, and the tail of all rounds together.
fn show(entry: &Entry) {
    for name in HISTOGRAMS {
        let p50 = entry.figure(name, |summary| summary.p50).unwrap_or(0.0);
        if let Some(all) = entry.run.histogram(name) {
            println!("{}", line(&entry.run.name, name, p50, &all));
        }
    }
}

fn line(way: &str, what: &str, p50: f64, all: &Histogram<u64>) -> String {
    format!(
        "{way:18} {what:20} p50 {p50:>7.0} ns  p99.9 {:>9} ns  {:>9} orders",
        grouped(all.value_at_quantile(0.999)),
        grouped(all.len())
    )
}
