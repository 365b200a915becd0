//! `latency`: any subset of the matrix, beside floor and peers.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, bail};
use bench::aims;
use bench::latency::{Plan, Workload, day_traffic, traffic};
use bench::rate_sweep;
use lab::netns::Lab;
use lab::run::{Candidate, Item};
use peers::{Peer, Peers};
use report::Report;

use super::shown::{Output, finish, item, measure_shown, tell_peers};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    plan: Plan,
    /// Read the matrix from a TOML file: the options' names as keys, lists as values.
    #[arg(long = "plan", value_name = "FILE")]
    file: Option<PathBuf>,
    /// Gateway, floor and every peer that is installed, in under 45 seconds.
    #[arg(long)]
    quick: bool,
    /// Latency over the rate instead of the matrix: a gateway that rehearses, one that never does, and the peers (the
    /// floor), at 1,000, 5,000, 20,000 and 100,000 packets a second.
    #[arg(long, conflicts_with_all = ["file", "quick", "profile", "feed"])]
    rate_sweep: bool,
    /// A load that others measure, too: trade_sim.
    #[arg(long)]
    profile: Option<String>,
    /// A recorded day instead of a generated one: triggers are every `--every`-th change of a best
    /// price, and only gateways run.
    #[arg(long, value_name = "FILE")]
    feed: Option<PathBuf>,
    /// With `--feed`: its own pace times this.
    #[arg(long, requires = "feed", default_value_t = 1.0)]
    speed: f64,
    #[arg(long, value_delimiter = ',', default_value = peers::FLOOR, help = peers_help())]
    peers: Vec<String>,
    /// How often everything runs, in turn.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Length of each run, without the warm-up.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Warm-up: what is sent in the first N ms does not count.
    #[arg(long, default_value_t = 300)]
    warm_up_ms: u64,
    /// One packet in this many is a trigger.
    #[arg(long, default_value_t = 10)]
    every: u64,
    /// Symbols beside the triggers'.
    #[arg(long, default_value_t = 100)]
    symbols: u16,
    /// More settings for the gateway.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// Keep the slow-order recorder's file of the last run.
    #[arg(long, value_name = "FILE")]
    slow_orders: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

pub(crate) fn run(arguments: &Arguments, stop: &AtomicBool) -> Result<()> {
    let mut plan = arguments.plan.clone();
    if let Some(file) = &arguments.file {
        plan = plan.with_file(file)?;
    }
    let mut workload = Workload {
        seconds: arguments.seconds,
        warm_up_ms: arguments.warm_up_ms,
        every: arguments.every.max(1),
        symbols: arguments.symbols,
        ..Workload::default()
    };
    let (mut rounds, mut wanted) = (arguments.rounds.max(1), wanted_peers(&arguments.peers)?);
    if arguments.quick {
        workload.seconds = 0.7;
        (rounds, wanted) = (2, peers::ALL.iter().collect());
    }
    match arguments.profile.as_deref() {
        None => {}
        Some("trade_sim") => {
            // 100,000 messages a second, one in ten asks for an answer.
            plan.rate = vec![100_000.0];
            workload.every = 10;
        }
        Some(other) => bail!("--profile {other}: expected trade_sim"),
    }
    if arguments.feed.is_some() {
        wanted.clear();
    }
    let folder = tempfile::Builder::new().prefix("tickgate-day-").tempdir()?;
    if arguments.rate_sweep {
        return sweep(arguments, &workload, folder.path(), stop);
    }
    let peers = Peers::build(wanted)?;
    let items = items(arguments, &plan, &workload, &peers, folder.path())?;
    let mut report = Report::new("tickgate-bench latency");
    tell_peers(&mut report, &peers);
    let lab = Lab::new()?;
    report.runs = measure_shown(&lab, &items, rounds, stop)?;
    if report.entry("gateway").is_some() && report.entry("floor").is_some() {
        report.aims = aims::of_latency(&report);
    }
    if arguments.profile.is_some() {
        say_mean(&report);
    }
    finish(&report, &arguments.output)
}

/// Latency over the rate.
fn sweep(
    arguments: &Arguments,
    workload: &Workload,
    folder: &Path,
    stop: &AtomicBool,
) -> Result<()> {
    let peers = Peers::build(wanted_peers(&arguments.peers)?)?;
    let items = rate_sweep::items(workload, &arguments.sets, &peers.ready, folder)?;
    let mut report = Report::new("tickgate-bench latency --rate-sweep");
    tell_peers(&mut report, &peers);
    let lab = Lab::new()?;
    report.runs = measure_shown(&lab, &items, arguments.rounds.max(1), stop)?;
    report.sweep = rate_sweep::points(&report);
    report.aims = rate_sweep::aims(&report);
    finish(&report, &arguments.output)
}

/// Every combination of the plan; floor and peers run once under each load, beside the first gateway
/// that has it.
fn items(
    arguments: &Arguments,
    plan: &Plan,
    workload: &Workload,
    peers: &Peers,
    folder: &Path,
) -> Result<Vec<Item>> {
    let mut items: Vec<Item> = Vec::new();
    for combination in plan.combinations()? {
        let mut gateway = combination.gateway;
        gateway.sets.extend(arguments.sets.clone());
        gateway.slow_orders.clone_from(&arguments.slow_orders);
        let workload = Workload {
            rate: combination.rate,
            pack: combination.pack,
            ..*workload
        };
        let traffic = match &arguments.feed {
            Some(feed) => {
                gateway.every = workload.every;
                day_traffic(feed, arguments.speed, &workload)
            }
            None => traffic(&combination.load, &workload, folder)?,
        };
        let is_new = !items.iter().any(|item| item.traffic.feed == traffic.feed);
        items.push(item(
            &combination.name,
            &traffic,
            Candidate::Gateway(gateway),
        ));
        if !is_new {
            continue;
        }
        for ready in &peers.ready {
            let name = match plan.load.len() {
                0 | 1 => ready.name.to_owned(),
                _ => format!("{} {}", ready.name, combination.load),
            };
            items.push(item(&name, &traffic, Candidate::Peer(ready.clone())));
        }
    }
    Ok(items)
}

fn peers_help() -> String {
    let names = peers::names();
    format!("Floor and peers beside the gateway: all, none, or a list of {names}")
}

fn wanted_peers(names: &[String]) -> Result<Vec<&'static Peer>> {
    match names {
        [one] if one == "all" => return Ok(peers::ALL.iter().collect()),
        [one] if one == "none" => return Ok(Vec::new()),
        _ => {}
    }
    let known = |name: &String| {
        peers::ALL
            .iter()
            .find(|peer| peer.name == name)
            .with_context(|| {
                let all = peers::names();
                format!("--peers {name}: expected all, none, or of {all}")
            })
    };
    names.iter().map(known).collect()
}

/// `trade_sim` states the mean.
#[expect(clippy::print_stdout, reason = "a line beside the table")]
fn say_mean(report: &Report) {
    for entry in &report.runs {
        if let Some(histogram) = entry.run.histogram("wire_to_wire") {
            println!(
                "{}: n_samples {}, latency_mean {:.0} ns, latency_min {}, latency_max {}",
                entry.run.name,
                histogram.len(),
                histogram.mean(),
                histogram.min(),
                histogram.max()
            );
        }
    }
}
