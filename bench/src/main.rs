//! `tickgate-bench`: replay, demo, latency, books, synthetic days.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, bail};
use bench::{book, demo, generate, latency, replay};
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
    /// Latency of the whole way for chosen receivers, senders and layouts.
    Latency(LatencyArguments),
    /// Send a feed from a file.
    Replay(ReplayArguments),
    /// Write a synthetic day.
    Generate(GenerateArguments),
    /// Decode a file and build its books.
    Book(BookArguments),
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
struct LatencyArguments {
    /// Receivers.
    #[arg(long, value_delimiter = ',', default_value = "af_xdp,udp")]
    receive: Vec<String>,
    /// Senders.
    #[arg(long, value_delimiter = ',', default_value = "io_uring")]
    send: Vec<String>,
    /// How io_uring submits: enter, sqpoll.
    #[arg(long, value_delimiter = ',', default_value = "enter")]
    submit: Vec<String>,
    /// Layouts.
    #[arg(long, value_delimiter = ',', default_value = "inline")]
    layout: Vec<String>,
    /// Packets a second.
    #[arg(long, default_value_t = 20_000.0)]
    rate: f64,
    /// Length of each run.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// An order on every n-th change of the best price.
    #[arg(long, default_value_t = 4)]
    every: u64,
    /// Messages in a packet.
    #[arg(long, default_value_t = 1)]
    pack: u16,
    /// Write the report there.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
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
    /// The file's own pace times this.
    #[arg(long)]
    speed: Option<f64>,
    /// Messages in a packet at most.
    #[arg(long, default_value_t = 1)]
    pack: u16,
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
        Command::Latency(arguments) => run_latency(arguments, &stop),
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
        .gateway_said
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

#[expect(clippy::print_stdout, reason = "tables are what this command prints")]
fn run_latency(arguments: &LatencyArguments, stop: &AtomicBool) -> Result<()> {
    for (name, given, allowed) in [
        ("receive", &arguments.receive, &["af_xdp", "udp"][..]),
        ("send", &arguments.send, &["io_uring"]),
        ("submit", &arguments.submit, &["enter", "sqpoll"]),
        ("layout", &arguments.layout, &["inline", "pipeline"]),
    ] {
        if let Some(wrong) = given
            .iter()
            .find(|value| !allowed.contains(&value.as_str()))
        {
            bail!("--{name} {wrong}: expected {}", allowed.join(" or "));
        }
    }
    let matrix = latency::Matrix {
        receive: arguments.receive.clone(),
        layout: arguments.layout.clone(),
        submit: arguments.submit.clone(),
        rate: arguments.rate,
        seconds: arguments.seconds,
        every: arguments.every,
        pack: arguments.pack,
    };
    let report = latency::measure(&matrix, stop, |run| {
        println!("{}", run.table());
        if let Some((receive, handle)) = latency::receive_costs(run) {
            println!(
                "receive core: {receive:.0} ns a packet to take it from the kernel, {handle:.0} ns to \
                 decode it, build the book and publish\n"
            );
        }
    })?;
    if let Some(path) = &arguments.json {
        report
            .write_json(path)
            .with_context(|| path.display().to_string())?;
    }
    Ok(())
}

fn run_replay(arguments: &ReplayArguments, stop: &AtomicBool) -> Result<()> {
    let line = |to: &SocketAddrV4| replay::Line {
        to: *to,
        from: arguments.from,
        interface: arguments.interface.clone(),
    };
    let pace = match (arguments.rate, arguments.speed) {
        (Some(rate), _) => replay::Pace::Rate(rate),
        (None, speed) => replay::Pace::Speed(speed.unwrap_or(1.0)),
    };
    if let replay::Pace::Rate(pace) | replay::Pace::Speed(pace) = pace
        && (!pace.is_finite() || pace <= 0.0)
    {
        bail!("a rate or speed of {pace}: expected more than 0");
    }
    let options = replay::Options {
        file: arguments.file.clone(),
        lines: arguments.lines.iter().map(line).collect(),
        pace,
        pack: arguments.pack.max(1),
        session: replay::session_name(&arguments.session),
        vlan: arguments.vlan,
        limit: arguments.limit,
        wire_stamps: arguments.wire_stamps.clone(),
        exchange: arguments.exchange,
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
    let run = json!({
        "name": "replay", "sent": sent.messages, "packets": sent.packets, "late": sent.late,
        "late_ns_max": sent.late_ns_max, "took_ns": sent.took_ns,
    });
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
