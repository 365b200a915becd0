//! The commands that measure the whole way: `latency`, `suite`, `compare`.

#![expect(clippy::print_stdout, reason = "tables are what these commands print")]

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, bail};
use bench::lab::Lab;
use bench::latency::{Entry, Item, Load, Plan, Report, Scene, day_traffic, measure, traffic};
use bench::peers::{self, Peers};
use bench::run::{Contestant, Gateway, Outcome, Traffic};
use bench::statistics::ROUNDS_MIN;
use bench::{aims, comparison, exchange as sim, flood, growth, micro, report};
use indicatif::ProgressBar;

#[derive(Debug, clap::Args)]
pub(crate) struct LatencyArguments {
    #[command(flatten)]
    plan: Plan,
    /// Read the matrix from a TOML file: the options' names as keys, lists as values.
    #[arg(long = "plan", value_name = "FILE")]
    file: Option<PathBuf>,
    /// Gateway, floor and every peer that is installed, in under 45 seconds.
    #[arg(long)]
    quick: bool,
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
    /// Floor and peers beside the gateway: all, none, or a list of floor, busy_socket, epoll, libevent,
    /// libuv, tokio.
    #[arg(long, value_delimiter = ',', default_value = "floor")]
    peers: Vec<String>,
    /// How often everything runs, in turn.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Length of each run, without the warm-up.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// What is sent in the first so many ms does not count.
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

/// Where results go beside the tables.
#[derive(Debug, clap::Args)]
struct Output {
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

#[derive(Debug, clap::Args)]
pub(crate) struct SuiteArguments {
    /// How often gateway, floor and peers run, in turn.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Only these parts: latency, loads, receivers, floods, growth, books.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// A Python with itch-book, to compare books with.
    #[arg(long, value_name = "PYTHON")]
    itch_book: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CompareArguments {
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

#[derive(Debug, clap::Args)]
pub(crate) struct ExchangeArguments {
    /// Write the figures there.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct MicroArguments {
    /// Fail when a piece takes over 3 % more instructions than this file says.
    #[arg(long, value_name = "FILE")]
    check: Option<PathBuf>,
    /// Write the counts there.
    #[arg(long, value_name = "FILE")]
    update: Option<PathBuf>,
    /// Run one pass of one piece: what callgrind looks at.
    #[arg(long, value_name = "NAME", hide = true)]
    pass: Option<String>,
}

pub(crate) fn latency(arguments: &LatencyArguments, stop: &AtomicBool) -> Result<()> {
    let mut plan = arguments.plan.clone();
    if let Some(file) = &arguments.file {
        plan = plan.with_file(file)?;
    }
    let mut scene = Scene {
        seconds: arguments.seconds,
        warm_up_ms: arguments.warm_up_ms,
        every: arguments.every.max(1),
        symbols: arguments.symbols,
        ..Scene::default()
    };
    let (mut rounds, mut wanted) = (arguments.rounds.max(1), wanted_peers(&arguments.peers)?);
    if arguments.quick {
        scene.seconds = 1.0;
        (rounds, wanted) = (2, peers::ALL.to_vec());
    }
    match arguments.profile.as_deref() {
        None => {}
        Some("trade_sim") => {
            // 100,000 messages a second, one in ten asks for an answer.
            plan.rate = vec![100_000.0];
            scene.every = 10;
        }
        Some(other) => bail!("--profile {other}: expected trade_sim"),
    }
    if arguments.feed.is_some() {
        wanted.clear();
    }
    let folder = tempfile::Builder::new().prefix("tickgate-day-").tempdir()?;
    let peers = Peers::build(&wanted)?;
    let items = items(arguments, &plan, &scene, (&peers, folder.path()))?;
    let mut report = Report::new("tickgate-bench latency");
    report.skipped = skipped(&peers);
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

/// Every combination of the plan; floor and peers run once under each load, beside the first gateway
/// that has it.
fn items(
    arguments: &LatencyArguments,
    plan: &Plan,
    scene: &Scene,
    (peers, folder): (&Peers, &Path),
) -> Result<Vec<Item>> {
    let mut items: Vec<Item> = Vec::new();
    for combination in plan.combinations()? {
        let mut gateway = combination.gateway;
        gateway.sets.extend(arguments.sets.clone());
        gateway.slow_orders.clone_from(&arguments.slow_orders);
        let scene = Scene {
            rate: combination.rate,
            pack: combination.pack,
            ..*scene
        };
        let traffic = match &arguments.feed {
            Some(feed) => {
                gateway.every = scene.every;
                day_traffic(feed, arguments.speed, &scene)
            }
            None => traffic(&combination.load, &scene, folder)?,
        };
        let is_new = !items.iter().any(|item| item.traffic.feed == traffic.feed);
        items.push(item(
            &combination.name,
            &traffic,
            Contestant::Gateway(gateway),
        ));
        if !is_new {
            continue;
        }
        for ready in &peers.ready {
            let name = match plan.load.len() {
                0 | 1 => ready.peer.name().to_owned(),
                _ => format!("{} {}", ready.peer.name(), combination.load),
            };
            items.push(item(&name, &traffic, Contestant::Peer(ready.clone())));
        }
    }
    Ok(items)
}

/// The parts of the suite, in order.
const PARTS: [&str; 6] = ["latency", "loads", "receivers", "floods", "growth", "books"];

/// Gateway, floor, peers, loads, receivers, floods, growth, books: everything.
pub(crate) fn suite(arguments: &SuiteArguments, stop: &AtomicBool) -> Result<()> {
    if let Some(wrong) = arguments
        .only
        .iter()
        .find(|part| !PARTS.contains(&part.as_str()))
    {
        bail!("--only {wrong}: expected of {}", PARTS.join(", "));
    }
    let mut suite = Suite {
        arguments,
        stop,
        folder: tempfile::Builder::new().prefix("tickgate-day-").tempdir()?,
        peers: Peers::build(&peers::ALL)?,
        lab: Lab::new()?,
        report: Report::new("tickgate-bench suite"),
    };
    suite.report.skipped = skipped(&suite.peers);
    for (number, part) in PARTS.into_iter().enumerate() {
        if !arguments.only.is_empty() && !arguments.only.iter().any(|only| only == part) {
            continue;
        }
        println!("{}/{} {part}", number + 1, PARTS.len());
        match part {
            "latency" => suite.latency()?,
            "loads" => suite.loads()?,
            "receivers" => suite.receivers()?,
            "floods" => suite.floods()?,
            "growth" => suite.growth()?,
            _ => suite.books()?,
        }
    }
    finish(&suite.report, &arguments.output)
}

/// What the parts of the suite share.
struct Suite<'a> {
    arguments: &'a SuiteArguments,
    stop: &'a AtomicBool,
    folder: tempfile::TempDir,
    peers: Peers,
    lab: Lab,
    report: Report,
}

fn item(name: &str, traffic: &Traffic, contestant: Contestant) -> Item {
    Item {
        name: name.to_owned(),
        traffic: traffic.clone(),
        contestant,
    }
}

impl Suite<'_> {
    fn latency(&mut self) -> Result<()> {
        let main = traffic(&Load::Fixed, &Scene::default(), self.folder.path())?;
        let gateway = Contestant::Gateway(Gateway::default());
        let mut items = vec![item("gateway", &main, gateway)];
        for ready in &self.peers.ready {
            items.push(item(
                ready.peer.name(),
                &main,
                Contestant::Peer(ready.clone()),
            ));
        }
        self.run(&items, self.arguments.rounds.max(1))?;
        self.report.aims.extend(aims::of_latency(&self.report));
        Ok(())
    }

    fn loads(&mut self) -> Result<()> {
        let mut items = Vec::new();
        let loads = [
            Load::Poisson,
            Load::Burst(10),
            Load::Burst(25),
            Load::Burst(100),
            Load::Silence,
        ];
        for load in loads {
            let seconds = if load == Load::Silence { 6.0 } else { 1.5 };
            let scene = Scene {
                seconds,
                ..Scene::default()
            };
            let traffic = traffic(&load, &scene, self.folder.path())?;
            let gateway = Contestant::Gateway(Gateway::default());
            items.push(item(&format!("gateway {load}"), &traffic, gateway));
            let floor = self
                .peers
                .ready
                .iter()
                .find(|r| r.peer == peers::Peer::Floor);
            if let Some(ready) = floor {
                let floor = Contestant::Peer(ready.clone());
                items.push(item(&format!("floor {load}"), &traffic, floor));
            }
        }
        self.run(&items, 1)
    }

    fn receivers(&mut self) -> Result<()> {
        let fast = Scene {
            rate: 200_000.0,
            every: 1_000,
            seconds: 1.5,
            ..Scene::default()
        };
        let fast = traffic(&Load::Fixed, &fast, self.folder.path())?;
        let receiver = |receive: &str| {
            Contestant::Gateway(Gateway {
                receive: receive.to_owned(),
                ..Gateway::default()
            })
        };
        let items = [
            item("gateway 200,000/s", &fast, receiver("af_xdp")),
            item("gateway recvmmsg 200,000/s", &fast, receiver("udp")),
        ];
        self.run(&items, 3)?;
        if let [.., af_xdp, udp] = self.report.runs.as_slice() {
            let receivers = aims::of_receivers(af_xdp, udp);
            self.report.aims.extend(receivers);
        }
        Ok(())
    }

    fn floods(&mut self) -> Result<()> {
        let (floods, skipped) = flood::all(&self.lab, 1_000_000, self.stop, |flood| {
            println!(
                "  {}, {} messages a packet: {:.0} packets/s sent, {:.0} received",
                flood.name, flood.pack, flood.sent_per_second, flood.received_per_second
            );
        })?;
        self.report.aims.extend(aims::of_floods(&floods));
        self.report.floods = floods;
        self.report.skipped.extend(skipped);
        Ok(())
    }

    fn growth(&mut self) -> Result<()> {
        let bar = progress(16);
        let folder = self.folder.path();
        self.report.growth = growth::grow(&self.lab, (1.0, 2), folder, self.stop, |what| {
            bar.inc(1);
            bar.set_message(what.to_owned());
        })?;
        bar.finish_and_clear();
        self.report
            .aims
            .extend(aims::of_growth(&self.report.growth));
        Ok(())
    }

    fn books(&mut self) -> Result<()> {
        let python = self.arguments.itch_book.as_deref();
        self.report
            .aims
            .extend(aims::of_books(self.folder.path(), python)?);
        self.report.aims.extend(aims::of_ring());
        Ok(())
    }

    fn run(&mut self, items: &[Item], rounds: u32) -> Result<()> {
        let entries = measure_shown(&self.lab, items, rounds, self.stop)?;
        self.report.runs.extend(entries);
        Ok(())
    }
}

fn finish(report: &Report, output: &Output) -> Result<()> {
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

fn wanted_peers(names: &[String]) -> Result<Vec<peers::Peer>> {
    match names {
        [one] if one == "all" => return Ok(peers::ALL.to_vec()),
        [one] if one == "none" => return Ok(Vec::new()),
        _ => {}
    }
    let known = |name: &String| {
        peers::ALL
            .into_iter()
            .find(|peer| peer.name() == name)
            .with_context(|| {
                let all = peers::ALL.map(peers::Peer::name).join(", ");
                format!("--peers {name}: expected all, none, or of {all}")
            })
    };
    names.iter().map(known).collect()
}

fn skipped(peers: &Peers) -> Vec<String> {
    let list = peers.skipped.iter();
    list.map(|(peer, why)| {
        format!(
            "{}: {}",
            peer.name(),
            why.lines().next().unwrap_or_default()
        )
    })
    .collect()
}

/// `trade_sim` states the mean.
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

/// Measures, with a bar that tells how far it is and which round is invalid.
fn measure_shown(lab: &Lab, items: &[Item], rounds: u32, stop: &AtomicBool) -> Result<Vec<Entry>> {
    let bar = progress(items.len() as u64 * u64::from(rounds));
    let entries = measure(lab, items, rounds, stop, |round, outcome| {
        tick(&bar, round, outcome);
    })?;
    bar.finish_and_clear();
    Ok(entries)
}

fn progress(runs: u64) -> ProgressBar {
    let bar = crate::progress(false, "{bar:30} {pos}/{len} {elapsed} of {duration}  {msg}");
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

pub(crate) fn compare(arguments: &CompareArguments, stop: &AtomicBool) -> Result<()> {
    let [old, new] = [&arguments.old, &arguments.new].map(|path| is_program(path));
    let (old, new) = match (old?, new?) {
        (false, false) => (Report::read(&arguments.old)?, Report::read(&arguments.new)?),
        (true, true) => run_programs(arguments, stop)?,
        _ => bail!("one is a program and one is a report: compare two of a kind"),
    };
    println!("{}", comparison::text(&old, &new)?);
    Ok(())
}

/// Reports are text.
fn is_program(path: &Path) -> Result<bool> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    Ok(bytes.starts_with(b"\x7fELF"))
}

fn run_programs(arguments: &CompareArguments, stop: &AtomicBool) -> Result<(Report, Report)> {
    let folder = tempfile::Builder::new().prefix("tickgate-day-").tempdir()?;
    let scene = Scene {
        seconds: arguments.seconds,
        ..Scene::default()
    };
    let traffic = traffic(&Load::Fixed, &scene, folder.path())?;
    let items = [("old", &arguments.old), ("new", &arguments.new)].map(|(name, program)| {
        let gateway = Gateway {
            program: Some(program.clone()),
            ..Gateway::default()
        };
        item(name, &traffic, Contestant::Gateway(gateway))
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

/// Takes the exchange's own figures.
pub(crate) fn exchange(arguments: &ExchangeArguments, stop: &AtomicBool) -> Result<()> {
    let figures = sim::measure(|what| eprintln!("measuring: {what}"), stop)?;
    let millions = |value: f64| format!("{:.2} M", value / 1e6);
    println!(
        "engine operations/s, one core, mixed flow    {} (rounds {} to {}; {} operations each)\n\
         memory for 1,000,000 resting orders          {} MB\n\
         orders/s through TCP on loopback             {:.0}\n\
         feed messages/s published on two lines       {} in {} packets/s a line",
        millions(figures.engine_per_s),
        millions(figures.engine_range.0),
        millions(figures.engine_range.1),
        figures.operations,
        figures.memory_bytes / 1_000_000,
        figures.tcp_per_s,
        millions(figures.feed_per_s),
        millions(figures.packets_per_s),
    );
    if let Some(path) = &arguments.json {
        let report = serde_json::json!({
            "tool": "tickgate-bench exchange",
            "version": env!("CARGO_PKG_VERSION"),
            "host": gateway::telemetry::Host::here(),
            "runs": [figures.to_json()],
        });
        let text = serde_json::to_string_pretty(&report)? + "\n";
        std::fs::write(path, text).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// Counts instructions; with a record, compares or rewrites it.
pub(crate) fn micro(arguments: &MicroArguments) -> Result<()> {
    if let Some(piece) = &arguments.pass {
        return micro::pass(piece);
    }
    let counts = micro::count(|name, each| println!("{name:44} {each:10.1} instructions"))?;
    if let Some(path) = &arguments.update {
        let text = serde_json::to_string_pretty(&counts)? + "\n";
        std::fs::write(path, text).with_context(|| path.display().to_string())?;
    }
    if let Some(path) = &arguments.check {
        let recorded = micro::read(path)?;
        let found = micro::differences(&recorded, &counts);
        if !found.is_empty() {
            if recorded.rustc != counts.rustc {
                println!(
                    "recorded with {}, counted with {}",
                    recorded.rustc, counts.rustc
                );
            }
            bail!(
                "{}\nif this is on purpose: make bench-record",
                found.join("\n")
            );
        }
        println!("no piece takes over 3 % more instructions than recorded");
    }
    Ok(())
}
