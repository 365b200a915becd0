//! One measured run: exchange, gateway and sender as processes in the lab, and what they report.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use gateway::telemetry::{Report, Run, Summary};
use rt::histogram::empty;
use rt::wire_stamps::WireStamps;

use crate::lab::{EXCHANGE, FEED_SENDER, Lab, Process, Side, sibling};
use crate::replay::Sent;

/// Port of order entry.
const PORT: u16 = 12_000;
/// Groups of lines A and B.
const GROUPS: [&str; 2] = ["239.77.0.1:26400", "239.77.0.2:26401"];

/// How to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Name of the run.
    pub name: String,
    /// The feed.
    pub feed: PathBuf,
    /// Packets a second.
    pub rate: f64,
    /// Messages in a packet.
    pub pack: u16,
    /// Messages at most.
    pub limit: Option<u64>,
    /// `af_xdp` or `udp`.
    pub receive: String,
    /// `inline` or `pipeline`.
    pub layout: String,
    /// `enter` or `sqpoll`.
    pub submit: String,
    /// One or two lines.
    pub lines: usize,
    /// An order on every n-th change of the best price.
    pub every: u64,
    /// Lowest rung of the receive ladder that counts.
    pub require: String,
    /// More settings for the gateway, `key=value`.
    pub sets: Vec<String>,
    /// Folder for `.hgrm` files.
    pub hgrm_dir: Option<PathBuf>,
    /// The exchange polls on the sender's core (measuring) instead of being `tickgate-sim` (showing).
    pub is_exchange_polled: bool,
}

/// What a run gave.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The merged report of all processes.
    pub run: Run,
    /// What the sender did.
    pub sent: Sent,
    /// What the gateway said.
    pub gateway_said: Vec<String>,
}

/// Runs once. Processes are ended whatever happens.
///
/// # Errors
/// A process that failed, with what it said; or `stop`.
pub fn run(lab: &Lab, options: &Options, stop: &AtomicBool) -> Result<Outcome> {
    let folder = tempfile::Builder::new()
        .prefix("tickgate-")
        .tempdir_in(shared_memory())?;
    let stamps_path = folder.path().join("wire-stamps");
    let count = usize::try_from(options.limit.unwrap_or(20_000_000)).unwrap_or(usize::MAX) + 1;
    let stamps = WireStamps::create(&stamps_path, count.min(20_000_001))?;
    let report_path = folder.path().join("gateway.json");
    let mut exchange = None;
    let mut sender = None;
    if options.is_exchange_polled {
        sender = Some(start_sender(lab, options, folder.path(), &stamps_path)?);
    } else {
        exchange = Some(start_exchange(lab, folder.path(), &stamps_path, stop)?);
    }
    let mut gateway = start_gateway(lab, folder.path(), &report_path, options, stop)?;
    let mut sender = match sender {
        Some(sender) => sender,
        None => start_sender(lab, options, folder.path(), &stamps_path)?,
    };
    let sent = await_sender(&mut sender, folder.path(), stop)?;
    if exchange.is_some() {
        // The last packets are on their way: until the gateway has them it must not be stopped.
        settle(stop);
    }
    gateway.signal(libc::SIGTERM);
    let went_well = gateway.wait(Duration::from_secs(5), stop)?;
    if !went_well {
        bail!("the gateway failed:\n{}", gateway.said.join("\n"));
    }
    drop(exchange);
    let text = std::fs::read_to_string(&report_path).context("the gateway's report")?;
    let report: Report = serde_json::from_str(&text).context("the gateway's report")?;
    let mut run = report
        .runs
        .into_iter()
        .next()
        .context("the gateway's report is empty")?;
    run.name.clone_from(&options.name);
    run.sent = Some(sent.messages);
    run.lost = sent.messages.saturating_sub(run.received);
    let mut wire_to_wire = empty();
    for (_, latency_ns) in stamps.latencies() {
        wire_to_wire.saturating_record(latency_ns);
    }
    run.histograms
        .insert("wire_to_wire".to_owned(), Summary::of(&wire_to_wire));
    if let Some(folder) = &options.hgrm_dir {
        gateway::telemetry::write_hgrm(&wire_to_wire, &folder.join("wire_to_wire.hgrm"))?;
    }
    if let serde_json::Value::Object(settings) = &mut run.settings {
        settings.insert("rate".into(), options.rate.into());
        settings.insert("pack".into(), options.pack.into());
        settings.insert("late_packets".into(), sent.late.into());
        settings.insert("late_ns_max".into(), sent.late_ns_max.into());
    }
    Ok(Outcome {
        run,
        sent,
        gateway_said: std::mem::take(&mut gateway.said),
    })
}

/// Where processes share memory through files.
fn shared_memory() -> PathBuf {
    let shm = PathBuf::from("/dev/shm");
    if shm.is_dir() {
        shm
    } else {
        std::env::temp_dir()
    }
}

fn settle(stop: &AtomicBool) {
    let until = rt::clock::monotonic_ns() + 300_000_000;
    while rt::clock::monotonic_ns() < until && !stop.load(std::sync::atomic::Ordering::SeqCst) {
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

fn start_exchange(lab: &Lab, folder: &Path, stamps: &Path, stop: &AtomicBool) -> Result<Process> {
    let config = folder.join("sim.toml");
    let text = format!(
        "address = \"{EXCHANGE}:{PORT}\"\nwire_stamps = \"{}\"\n[account.demo]\npassword = \"demo\"\n",
        stamps.display()
    );
    std::fs::write(&config, text)?;
    let mut command = lab.command(Side::Exchange, &sibling("tickgate-sim")?);
    command
        .args(["run", "--config"])
        .arg(&config)
        .stdout(std::process::Stdio::null());
    let mut exchange = Process::start("exchange", command)?;
    exchange.await_line("listening on", Duration::from_secs(10), stop)?;
    Ok(exchange)
}

/// The gateway's configuration for a run.
#[must_use]
pub fn gateway_config(options: &Options, report: &Path) -> String {
    let mut text = String::from("[feed.itch]\nlines = [");
    for group in GROUPS.iter().take(options.lines) {
        let _ = write!(text, "{{ address = \"{group}\", interface = \"feed0\" }}, ");
    }
    let _ = write!(
        text,
        "]\nreceive = \"{}\"\n[feed.itch.af_xdp]\nrequire = \"{}\"\n\
         [session.ouch]\naddress = \"{EXCHANGE}:{PORT}\"\nusername = \"demo\"\npassword = \"demo\"\n\
         submit = \"{}\"\n[session.ouch.risk]\norders_per_second_max = 1000000\n\
         position_max = 100000000\n[strategy.probe]\nkind = \"probe\"\nfeed = \"itch\"\n\
         session = \"ouch\"\n[strategy.probe.parameters]\nevery = {}\n\
         [layout]\nkind = \"{}\"\n[telemetry]\njson = \"{}\"\nhgrm_dir = \"{}\"\ntable = false\n",
        options.receive,
        options.require,
        options.submit,
        options.every,
        options.layout,
        report.display(),
        options
            .hgrm_dir
            .as_ref()
            .map(|path| path.display().to_string())
            .unwrap_or_default(),
    );
    text
}

fn start_gateway(
    lab: &Lab,
    folder: &Path,
    report: &Path,
    options: &Options,
    stop: &AtomicBool,
) -> Result<Process> {
    let config = folder.join("tickgate.toml");
    std::fs::write(&config, gateway_config(options, report))?;
    let mut command = lab.command(Side::Gateway, &sibling("tickgate")?);
    command
        .args(["run", "--config"])
        .arg(&config)
        .stdout(std::process::Stdio::null());
    for set in &options.sets {
        command.args(["--set", set]);
    }
    let mut gateway = Process::start("gateway", command)?;
    gateway.await_line("session open", Duration::from_secs(20), stop)?;
    Ok(gateway)
}

/// Starts to send the feed from a process in the exchange's namespace.
fn start_sender(lab: &Lab, options: &Options, folder: &Path, stamps: &Path) -> Result<Process> {
    let json = folder.join("sent.json");
    let mut command = lab.command(Side::Exchange, &sibling("tickgate-bench")?);
    command.arg("replay").arg(&options.feed);
    for group in GROUPS.iter().take(options.lines) {
        command.args(["--line", group]);
    }
    command.args([
        "--from",
        &FEED_SENDER.to_string(),
        "--rate",
        &options.rate.to_string(),
    ]);
    command.args(["--pack", &options.pack.to_string(), "--quiet"]);
    if let Some(limit) = options.limit {
        command.args(["--limit", &limit.to_string()]);
    }
    command
        .arg("--wire-stamps")
        .arg(stamps)
        .arg("--json")
        .arg(&json);
    if options.is_exchange_polled {
        command.arg("--exchange").arg(format!("{EXCHANGE}:{PORT}"));
    }
    Process::start("sender", command)
}

/// Waits until everything is sent.
fn await_sender(sender: &mut Process, folder: &Path, stop: &AtomicBool) -> Result<Sent> {
    let json = folder.join("sent.json");
    if !sender.wait(Duration::from_secs(3600), stop)? {
        bail!("the sender failed:\n{}", sender.said.join("\n"));
    }
    let value: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&json)?)?;
    let number = |name: &str| {
        value
            .pointer(&format!("/runs/0/{name}"))
            .and_then(|v| v.as_u64())
    };
    Ok(Sent {
        messages: number("sent").context("the sender's report has no count")?,
        packets: number("packets").unwrap_or(0),
        late: number("late").unwrap_or(0),
        late_ns_max: number("late_ns_max").unwrap_or(0),
        took_ns: number("took_ns").unwrap_or(0),
    })
}
