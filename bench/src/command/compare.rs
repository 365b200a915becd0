//! `compare`: two reports, or two gateway programs, side by side.

#![expect(
    clippy::print_stdout,
    reason = "a comparison is what this command prints"
)]

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, bail};
use bench::latency::{Load, Workload, traffic};
use lab::gateway::Gateway;
use lab::netns::Lab;
use lab::run::Candidate;
use report::statistics::ROUNDS_MIN;
use report::{Entry, Report};

use super::shown::{item, measure_shown};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// A report of `latency --json`, or a `tickgate` program.
    old: PathBuf,
    /// The same of the other.
    new: PathBuf,
    /// Programs: how often both run, in turn.
    #[arg(long, default_value_t = 8)]
    rounds: u32,
    /// Programs: length of each run.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
}

pub(crate) fn run(arguments: &Arguments, stop: &AtomicBool) -> Result<()> {
    let [old, new] = [&arguments.old, &arguments.new].map(|path| is_program(path));
    let (old, new) = match (old?, new?) {
        (false, false) => (Report::read(&arguments.old)?, Report::read(&arguments.new)?),
        (true, true) => run_programs(arguments, stop)?,
        _ => bail!("one is a program and one is a report: compare two of a kind"),
    };
    println!("{}", report::compare(&old, &new)?);
    Ok(())
}

/// Reports are text.
fn is_program(path: &Path) -> Result<bool> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    Ok(bytes.starts_with(b"\x7fELF"))
}

fn run_programs(arguments: &Arguments, stop: &AtomicBool) -> Result<(Report, Report)> {
    let folder = tempfile::Builder::new().prefix("tickgate-day-").tempdir()?;
    let workload = Workload {
        seconds: arguments.seconds,
        ..Workload::default()
    };
    let traffic = traffic(&Load::Fixed, &workload, folder.path())?;
    let items = [("old", &arguments.old), ("new", &arguments.new)].map(|(name, program)| {
        let gateway = Gateway {
            program: Some(program.clone()),
            ..Gateway::default()
        };
        item(name, &traffic, Candidate::Gateway(gateway))
    });
    let lab = Lab::new()?;
    let rounds = arguments.rounds.max(1);
    if (rounds as usize) < ROUNDS_MIN {
        println!("fewer than {ROUNDS_MIN} rounds give no interval");
    }
    let entries = measure_shown(&lab, &items, rounds, stop)?;
    let report = |mut entry: Entry| {
        "gateway".clone_into(&mut entry.run.name);
        let mut report = Report::new("tickgate-bench compare");
        report.runs.push(entry);
        report
    };
    let mut entries = entries.into_iter().map(report);
    entries
        .next()
        .zip(entries.next())
        .context("both programs ran")
}
