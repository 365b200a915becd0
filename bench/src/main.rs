//! `tickgate-bench`: replay, demo, latency, books, synthetic days.

mod measuring;

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, bail};
use bench::{book, demo, flood, floor, generate, replay};
use clap::{Parser, Subcommand};
use gateway::telemetry::{Host, grouped};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

#[derive(Debug, Parser)]
#[command(name = "tickgate-bench", version, about = "Replay, measure, compare")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The main job on one machine: namespaces, exchange, gateway, replay, table.
    Demo(DemoArguments),
    /// The laboratory: latency of the whole way, for any subset of the matrix, beside floor and peers.
    Latency(Box<measuring::LatencyArguments>),
    /// Every figure that the project states, with its aims: about four minutes.
    Suite(measuring::SuiteArguments),
    /// Two reports, or two gateway programs, side by side.
    Compare(measuring::CompareArguments),
    /// Instructions of each piece of the hot path, beside the best crates.
    Micro(measuring::MicroArguments),
    /// What the exchange can do: operations, orders, messages a second, and memory.
    Exchange(measuring::ExchangeArguments),
    /// Send a feed from a file.
    Replay(ReplayArguments),
    /// Write a synthetic day.
    Generate(GenerateArguments),
    /// Decode a file and build its books.
    Book(BookArguments),
    /// AF_XDP in, a constant order out: started by the laboratory.
    #[command(hide = true)]
    Floor(FloorArguments),
    /// Packets as fast as they go: started by the laboratory.
    #[command(hide = true)]
    Flood(FloodArguments),
}

#[derive(Debug, clap::Args)]
struct FloorArguments {
    group: Ipv4Addr,
    port: u16,
    own: Ipv4Addr,
    exchange: Ipv4Addr,
    exchange_port: u16,
    locate: u16,
    cpu: usize,
    login: String,
    order: String,
}

#[derive(Debug, clap::Args)]
struct FloodArguments {
    to: SocketAddrV4,
    from: Ipv4Addr,
    packets: u64,
    pack: u16,
}

#[derive(Debug, clap::Args)]
struct DemoArguments {
    /// A feed to replay; without it a generated day.
    #[arg(long, value_name = "FILE")]
    feed: Option<PathBuf>,
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

#[derive(Debug, clap::Args)]
struct ReplayArguments {
    /// BinaryFILE (plain or .gz), pcap or pcapng.
    file: PathBuf,
    /// Where a line goes, ADDRESS:PORT; twice for lines A and B.
    #[arg(long = "line", required = true, value_name = "ADDRESS:PORT")]
    lines: Vec<SocketAddrV4>,
    /// Own address: picks the interface of a group, and is the source of frames.
    #[arg(long, default_value_t = Ipv4Addr::UNSPECIFIED)]
    from: Ipv4Addr,
    /// Send whole frames out of this interface, with headers and checksums of our own.
    #[arg(long, value_name = "NAME")]
    interface: Option<String>,
    /// VLAN tag of frames.
    #[arg(long, requires = "interface")]
    vlan: Option<u16>,
    /// Packets a second.
    #[arg(long, conflicts_with = "speed")]
    rate: Option<f64>,
    /// At random times instead of evenly, by this seed: the rate is the mean.
    #[arg(long, requires = "rate", value_name = "SEED")]
    poisson: Option<u64>,
    /// The file's own pace times this.
    #[arg(long)]
    speed: Option<f64>,
    /// Messages in a packet at most.
    #[arg(long, default_value_t = 1)]
    pack: u16,
    /// The first so many messages go packed, as many as a packet holds.
    #[arg(long, default_value_t = 0)]
    bulk: u64,
    /// Locate code of triggers: each goes in a packet of its own.
    #[arg(long, value_name = "LOCATE")]
    trigger: Option<u16>,
    /// So many triggers in a row leave at one time.
    #[arg(long, default_value_t = 1)]
    burst: u64,
    /// CPU to run on.
    #[arg(long)]
    cpu: Option<usize>,
    /// Session name, at most ten characters.
    #[arg(long, default_value = "TICKGATE01")]
    session: String,
    /// Stop after this many messages.
    #[arg(long)]
    limit: Option<u64>,
    /// Stamp messages in this file (rt::wire_stamps).
    #[arg(long, value_name = "FILE")]
    wire_stamps: Option<PathBuf>,
    /// Be the exchange too, at this address, polled between packets: account demo, password demo.
    #[arg(long, value_name = "ADDRESS:PORT")]
    exchange: Option<SocketAddr>,
    /// With `--exchange`: its answers wait this long, µs.
    #[arg(long, default_value_t = 0)]
    answer_after_us: u64,
    /// No progress bar.
    #[arg(long)]
    quiet: bool,
    /// Write the report there.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct GenerateArguments {
    /// The file to write; packed if it ends in .gz.
    file: PathBuf,
    /// Same seed, same bytes.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Messages.
    #[arg(long, default_value_t = 1_000_000)]
    messages: u64,
    /// Symbols, at most 10,000.
    #[arg(long, default_value_t = 500)]
    symbols: u16,
    /// Write the report there.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct BookArguments {
    /// BinaryFILE (plain or .gz), pcap or pcapng.
    file: PathBuf,
    /// Write best prices there as CSV.
    #[arg(long, value_name = "FILE")]
    bbo: Option<PathBuf>,
    /// Write trades there as CSV.
    #[arg(long, value_name = "FILE")]
    trades: Option<PathBuf>,
    /// Write the report there.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let is_error = error.use_stderr();
            let _ = error.print();
            return if is_error {
                ExitCode::from(2)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // Failing means that Ctrl-C ends the process at once; the next lab cleans up.
        let _ = signal_hook::flag::register(signal, Arc::clone(&stop));
    }
    let result = match &arguments.command {
        Command::Demo(arguments) => run_demo(arguments, &stop),
        Command::Exchange(arguments) => measuring::exchange(arguments, &stop),
        Command::Latency(arguments) => measuring::latency(arguments, &stop),
        Command::Suite(arguments) => measuring::suite(arguments, &stop),
        Command::Compare(arguments) => measuring::compare(arguments, &stop),
        Command::Micro(arguments) => measuring::micro(arguments),
        Command::Floor(arguments) => run_floor(arguments, &stop),
        Command::Flood(arguments) => run_flood(arguments),
        Command::Replay(arguments) => run_replay(arguments, &stop),
        Command::Generate(arguments) => run_generate(arguments),
        Command::Book(arguments) => run_book(arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tickgate-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "the table is what the demo is for")]
fn run_demo(arguments: &DemoArguments, stop: &AtomicBool) -> Result<()> {
    let show = demo::Show {
        feed: arguments.feed.clone(),
        hgrm_dir: arguments.hgrm.clone(),
        sets: arguments.sets.clone(),
    };
    let (report, outcome) = demo::demo(&show, stop)?;
    for line in outcome
        .said
        .iter()
        .filter(|line| line.contains("feed itch") || line.contains("WARN"))
    {
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

fn run_floor(arguments: &FloorArguments, stop: &AtomicBool) -> Result<()> {
    let options = floor::Options {
        group: SocketAddrV4::new(arguments.group, arguments.port),
        own: arguments.own,
        exchange: SocketAddrV4::new(arguments.exchange, arguments.exchange_port),
        locate: arguments.locate,
        cpu: arguments.cpu,
        login: arguments.login.clone(),
        order: arguments.order.clone(),
    };
    floor::run(&options, stop)
}

fn run_flood(arguments: &FloodArguments) -> Result<()> {
    let took_ns = flood::send(&flood::Options {
        to: arguments.to,
        from: arguments.from,
        packets: arguments.packets,
        pack: arguments.pack,
    })?;
    eprintln!("took_ns {took_ns}");
    Ok(())
}

fn run_replay(arguments: &ReplayArguments, stop: &AtomicBool) -> Result<()> {
    let line = |to: &SocketAddrV4| replay::Line {
        to: *to,
        from: arguments.from,
        interface: arguments.interface.clone(),
    };
    if let Some(cpu) = arguments.cpu {
        rt::cpu::pin(cpu).with_context(|| format!("--cpu {cpu}"))?;
    }
    let pace = match (arguments.rate, arguments.speed) {
        (Some(rate), _) => match arguments.poisson {
            Some(seed) => replay::Pace::Poisson(rate, seed),
            None => replay::Pace::Rate(rate),
        },
        (None, speed) => replay::Pace::Speed(speed.unwrap_or(1.0)),
    };
    if let replay::Pace::Rate(pace) | replay::Pace::Poisson(pace, _) | replay::Pace::Speed(pace) =
        pace
        && (!pace.is_finite() || pace <= 0.0)
    {
        bail!("a rate or speed of {pace}: expected more than 0");
    }
    let options = replay::Options {
        file: arguments.file.clone(),
        lines: arguments.lines.iter().map(line).collect(),
        pace,
        pack: arguments.pack.max(1),
        bulk: arguments.bulk,
        trigger: arguments.trigger,
        burst: arguments.burst,
        session: replay::session_name(&arguments.session),
        vlan: arguments.vlan,
        limit: arguments.limit,
        wire_stamps: arguments.wire_stamps.clone(),
        exchange: arguments.exchange,
        answer_after_ns: arguments.answer_after_us * 1000,
    };
    let bar = progress(arguments.quiet, "{pos} messages, {per_sec}");
    let sent = replay::send(&options, stop, |messages| bar.set_position(messages))?;
    bar.finish_and_clear();
    if !arguments.quiet {
        eprintln!(
            "sent {} messages in {} packets a line, {} late (at most {} µs)",
            grouped(sent.messages),
            grouped(sent.packets),
            sent.late,
            sent.late_ns_max / 1000
        );
    }
    let mut run = serde_json::to_value(sent)?;
    if let Value::Object(run) = &mut run {
        run.insert("name".into(), "replay".into());
    }
    write_json(arguments.json.as_deref(), "tickgate-bench replay", run)
}

fn run_generate(arguments: &GenerateArguments) -> Result<()> {
    let options = generate::Options {
        seed: arguments.seed,
        messages: arguments.messages,
        symbols: arguments.symbols,
    };
    let bar = progress(false, "{bar:30} {pos}/{len} messages, {per_sec}");
    bar.set_length(arguments.messages);
    let clock = rt::clock::Clock::new();
    let start_ns = clock.now_ns();
    generate::to_file(&options, &arguments.file, |messages| {
        bar.set_position(messages)
    })?;
    let took_ns = clock.now_ns() - start_ns;
    bar.finish_and_clear();
    let run = json!({
        "name": "generate", "messages": arguments.messages, "symbols": arguments.symbols,
        "seed": arguments.seed, "took_ns": took_ns,
    });
    write_json(arguments.json.as_deref(), "tickgate-bench generate", run)
}

#[expect(
    clippy::print_stdout,
    reason = "counts and rates are what this command prints"
)]
fn run_book(arguments: &BookArguments) -> Result<()> {
    let options = book::Options {
        bbo: arguments.bbo.clone(),
        trades: arguments.trades.clone(),
    };
    let bar = progress(false, "{bytes}, {bytes_per_sec}");
    let outcome = book::build(&arguments.file, &options, |bytes| bar.set_position(bytes))?;
    bar.finish_and_clear();
    for (kind, count) in &outcome.by_type {
        println!("{kind} {:>15}", grouped(*count));
    }
    println!(
        "{} messages, {} unknown, {} malformed, {} unknown references, {} rejected, {} refused for \
         want of room\n{} changes of best prices, {} trades\ndecode {:.1} ns a message, with books \
         {:.1} ns, peak memory {} MiB",
        grouped(outcome.messages),
        grouped(outcome.unknown),
        grouped(outcome.malformed),
        grouped(outcome.missing_ref),
        grouped(outcome.rejected),
        grouped(outcome.refused_full),
        grouped(outcome.bbo_rows),
        grouped(outcome.trade_rows),
        outcome.decode_ns_per_msg,
        outcome.book_ns_per_msg,
        outcome.peak_rss_bytes >> 20,
    );
    let mut run = outcome.to_json();
    if let Value::Object(run) = &mut run {
        run.insert("name".into(), "book".into());
    }
    write_json(arguments.json.as_deref(), "tickgate-bench book", run)
}

fn progress(quiet: bool, template: &str) -> ProgressBar {
    if quiet {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(template);
    ProgressBar::no_length().with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn write_json(path: Option<&Path>, tool: &str, run: Value) -> Result<()> {
    let Some(path) = path else { return Ok(()) };
    let report = json!({
        "tool": tool, "version": env!("CARGO_PKG_VERSION"), "host": Host::here(), "runs": [run],
    });
    let text = serde_json::to_string_pretty(&report)?;
    std::fs::write(path, text + "\n").with_context(|| path.display().to_string())
}
