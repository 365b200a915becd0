//! `replay`: a feed from a file, sent to addresses or out of an interface.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, bail};
use feeds::replay;
use gateway::telemetry::grouped;
use serde_json::Value;

use super::{progress, write_json};

/// What to send, and how.
#[derive(Debug, clap::Args)]
pub struct Arguments {
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
    /// This many messages at the start go packed, as many as a packet holds.
    #[arg(long, default_value_t = 0)]
    bulk: u64,
    /// Locate code of triggers: each goes in a packet of its own.
    #[arg(long, value_name = "LOCATE")]
    trigger: Option<u16>,
    /// This many triggers in a row leave at one time.
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

pub(crate) fn run(arguments: &Arguments, stop: &AtomicBool) -> Result<()> {
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
    write_json(arguments.json.as_deref(), "tickgate-lab replay", run)
}
