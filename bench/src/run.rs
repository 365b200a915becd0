//! One measured run: exchange, gateway and sender as processes in the lab, and what they report.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use gateway::telemetry::{Report, Run};
use rt::histogram::empty;
use rt::wire_stamps::WireStamps;
use serde::Deserialize;

use crate::lab::{EXCHANGE, FEED_RECEIVER, FEED_SENDER, Lab, Process, Side, sibling};
use crate::peers::{self, Ready};
use crate::replay::{Pace, Sent};
use crate::sim::{self, Live, PORT};
use crate::triggers;

/// Groups of lines A and B.
pub(crate) const GROUPS: [&str; 2] = ["239.77.0.1:26400", "239.77.0.2:26401"];

/// What is sent, and when.
#[derive(Clone, Debug)]
pub struct Traffic {
    /// The feed.
    pub feed: PathBuf,
    /// When packets leave.
    pub pace: Pace,
    /// Messages in a packet.
    pub pack: u16,
    /// The first so many messages go packed, as many as fit.
    pub bulk: u64,
    /// Messages at most.
    pub limit: Option<u64>,
    /// Locate code of triggers, if the feed has them.
    pub trigger: Option<u16>,
    /// Triggers that leave at one time.
    pub burst: u64,
    /// One or two lines.
    pub lines: usize,
    /// What is sent in the first so many ms does not count.
    pub warm_up_ms: u64,
    /// The polled exchange's answers wait this long, µs.
    pub answer_after_us: u64,
    /// The exchange makes its own market instead of a feed being sent.
    pub live: Option<Live>,
}

impl Traffic {
    /// Nothing is sent: for receivers that are fed otherwise.
    #[must_use]
    pub fn quiet() -> Self {
        Self {
            feed: PathBuf::new(),
            pace: Pace::Rate(1.0),
            pack: 1,
            bulk: 0,
            limit: None,
            trigger: None,
            burst: 1,
            lines: 1,
            warm_up_ms: 0,
            answer_after_us: 0,
            live: None,
        }
    }
}

/// Who answers.
#[derive(Clone, Debug)]
pub enum Contestant {
    /// Tickgate.
    Gateway(Gateway),
    /// The floor, or a program of the kind that a user would write.
    Peer(Ready),
}

/// How the gateway is set.
#[derive(Clone, Debug)]
pub struct Gateway {
    /// The program; `None`: the one beside this program.
    pub program: Option<PathBuf>,
    /// `af_xdp` or `udp`.
    pub receive: String,
    /// `inline` or `pipeline`.
    pub layout: String,
    /// `enter`, `sqpoll` or `write`.
    pub submit: String,
    /// An order on every n-th change of the best price.
    pub every: u64,
    /// Strategies that hear the feed; all listen, the first trades.
    pub strategies: u16,
    /// Lowest rung of the receive ladder that counts.
    pub require: String,
    /// More settings, `key=value`.
    pub sets: Vec<String>,
    /// Folder for `.hgrm` files.
    pub hgrm_dir: Option<PathBuf>,
    /// The exchange polls on the sender's core (measuring) instead of being `tickgate-sim` (showing).
    pub is_exchange_polled: bool,
    /// Where the slow-order recorder writes.
    pub slow_orders: Option<PathBuf>,
}

impl Default for Gateway {
    fn default() -> Self {
        Self {
            program: None,
            receive: "af_xdp".to_owned(),
            layout: "inline".to_owned(),
            submit: "enter".to_owned(),
            every: 1,
            strategies: 1,
            require: "native-copy".to_owned(),
            sets: Vec::new(),
            hgrm_dir: None,
            is_exchange_polled: true,
            slow_orders: None,
        }
    }
}

/// An answered message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// Its sequence number.
    pub seq: u64,
    /// When it was due, ns on the host's monotonic clock.
    pub due_ns: u64,
    /// From then until the exchange had the order, ns.
    pub latency_ns: u64,
}

/// What a run gave.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The merged report of all processes.
    pub run: Run,
    /// What the sender did.
    pub sent: Sent,
    /// What the contestant said.
    pub said: Vec<String>,
    /// Every answered message after the warm-up.
    pub answered: Vec<Answered>,
    /// Why the run must not be used; empty: it may.
    pub invalid: Vec<String>,
}

/// Share of packets that may leave more than 1 ms late before a run is invalid.
const LATE_SHARE_MAX: f64 = 0.01;

/// Runs once. Processes are ended whatever happens.
///
/// # Errors
/// A process that failed, with what it said; or `stop`.
pub fn run(
    lab: &Lab,
    (name, traffic, contestant): (&str, &Traffic, &Contestant),
    during: impl FnMut(&Process),
    stop: &AtomicBool,
) -> Result<Outcome> {
    let folder = tempfile::Builder::new()
        .prefix("tickgate-")
        .tempdir_in(shared_memory())?;
    let stamps_path = folder.path().join("wire-stamps");
    let count = usize::try_from(traffic.limit.unwrap_or(20_000_000)).unwrap_or(usize::MAX) + 1;
    let stamps = WireStamps::create(&stamps_path, count.min(20_000_001))?;
    let place = Place {
        lab,
        folder: folder.path(),
        stamps: &stamps_path,
        traffic,
        stop,
    };
    let (sent, mut run, said) = match contestant {
        Contestant::Gateway(gateway) => place.run_gateway(gateway, during)?,
        Contestant::Peer(ready) => place.run_peer(ready, during)?,
    };
    name.clone_into(&mut run.name);
    run.sent = Some(sent.messages);
    let answered = answered(&stamps, traffic);
    let mut wire_to_wire = empty();
    for order in &answered {
        wire_to_wire.saturating_record(order.latency_ns);
    }
    run.set_histogram("wire_to_wire", &wire_to_wire);
    if let Contestant::Gateway(Gateway {
        hgrm_dir: Some(folder),
        ..
    }) = contestant
    {
        gateway::telemetry::write_hgrm(&wire_to_wire, &folder.join("wire_to_wire.hgrm"))?;
    }
    describe(&mut run, traffic, &sent);
    let invalid = faults(&sent, &run);
    Ok(Outcome {
        run,
        sent,
        said,
        answered,
        invalid,
    })
}

/// Messages that were answered, without those of the warm-up.
fn answered(stamps: &WireStamps, traffic: &Traffic) -> Vec<Answered> {
    let rows = || stamps.latencies();
    let Some(first_ns) = rows().map(|(_, sent_ns, _)| sent_ns).min() else {
        return Vec::new();
    };
    let from_ns = first_ns + traffic.warm_up_ms * 1_000_000;
    rows()
        .filter(|(_, sent_ns, _)| *sent_ns >= from_ns)
        .map(|(seq, due_ns, latency_ns)| Answered {
            seq,
            due_ns,
            latency_ns,
        })
        .collect()
}

fn describe(run: &mut Run, traffic: &Traffic, sent: &Sent) {
    if run.settings.is_null() {
        run.settings = serde_json::json!({});
    }
    if let serde_json::Value::Object(settings) = &mut run.settings {
        let (pace, rate) = match traffic.pace {
            Pace::Rate(rate) => ("fixed", rate),
            Pace::Poisson(rate, _) => ("poisson", rate),
            Pace::Speed(factor) => ("recorded", factor),
        };
        settings.insert("pace".into(), pace.into());
        settings.insert("rate".into(), rate.into());
        settings.insert("pack".into(), traffic.pack.into());
        settings.insert("warm_up_ms".into(), traffic.warm_up_ms.into());
        settings.insert("packets".into(), sent.packets.into());
        settings.insert("triggers".into(), sent.triggers.into());
        settings.insert("late_packets".into(), sent.late.into());
        settings.insert("late_ns_max".into(), sent.late_ns_max.into());
    }
}

/// What forbids to use a run.
fn faults(sent: &Sent, run: &Run) -> Vec<String> {
    let mut faults = Vec::new();
    if sent.late as f64 > sent.packets as f64 * LATE_SHARE_MAX {
        faults.push(format!(
            "the sender fell behind its schedule: {} of {} packets left more than 1 ms late, at most \
             {} ms",
            sent.late,
            sent.packets,
            sent.late_ns_max / 1_000_000
        ));
    }
    if run.lost > 0 {
        faults.push(format!("{} messages were lost", run.lost));
    }
    if run.orders < sent.triggers {
        faults.push(format!(
            "{} triggers and only {} orders",
            sent.triggers, run.orders
        ));
    }
    faults
}

/// Where a run takes place.
struct Place<'a> {
    lab: &'a Lab,
    folder: &'a Path,
    stamps: &'a Path,
    traffic: &'a Traffic,
    stop: &'a AtomicBool,
}

impl Place<'_> {
    fn run_gateway(
        &self,
        options: &Gateway,
        mut during: impl FnMut(&Process),
    ) -> Result<(Sent, Run, Vec<String>)> {
        let report_path = self.folder.join("gateway.json");
        if let Some(live) = &self.traffic.live {
            return self.run_live(live, options, during);
        }
        let mut exchange = None;
        let mut sender = None;
        if options.is_exchange_polled {
            sender = Some(self.start_sender(true)?);
        } else {
            let stamps = Some(self.stamps);
            exchange = Some(sim::start(self.lab, self.folder, stamps, self.stop)?);
        }
        let what = (self.traffic, options, report_path.as_path());
        let mut gateway = start_gateway(self.lab, self.folder, what, self.stop)?;
        let mut sender = match sender {
            Some(sender) => sender,
            None => self.start_sender(false)?,
        };
        during(&gateway);
        let sent = self.await_sender(&mut sender)?;
        if exchange.is_some() {
            // The last packets are on their way: until the gateway has them it must not be stopped.
            settle(self.stop);
        }
        let mut run = end_gateway(&mut gateway, &report_path, self.stop)?;
        drop(exchange);
        run.lost = sent.messages.saturating_sub(run.received);
        Ok((sent, run, std::mem::take(&mut gateway.said)))
    }

    /// The exchange makes the market and takes the orders.
    fn run_live(
        &self,
        live: &Live,
        options: &Gateway,
        mut during: impl FnMut(&Process),
    ) -> Result<(Sent, Run, Vec<String>)> {
        let report_path = self.folder.join("gateway.json");
        let config = sim::live_config(live, self.stamps, &self.folder.join("control"));
        let mut exchange = sim::start_with(self.lab, self.folder, &config, self.stop)?;
        let what = (self.traffic, options, report_path.as_path());
        let mut gateway = start_gateway(self.lab, self.folder, what, self.stop)?;
        during(&gateway);
        // As long as it takes: a whole day may be the market.
        exchange.await_line("the flow is over", Duration::from_secs(86_400), self.stop)?;
        settle(self.stop);
        // The last orders traded after the flow was over; what the exchange says at its own end is not for
        // a gateway that has gone.
        let sent = sim::published(self.folder)?;
        let mut run = end_gateway(&mut gateway, &report_path, self.stop)?;
        exchange.signal(libc::SIGTERM);
        if !exchange.wait(Duration::from_secs(10), self.stop)? {
            bail!("the exchange failed:\n{}", exchange.said.join("\n"));
        }
        run.lost = sent.messages.saturating_sub(run.received);
        Ok((sent, run, std::mem::take(&mut gateway.said)))
    }

    fn run_peer(
        &self,
        ready: &Ready,
        mut during: impl FnMut(&Process),
    ) -> Result<(Sent, Run, Vec<String>)> {
        let mut sender = self.start_sender(true)?;
        let mut peer = start_peer(self.lab, ready, self.stop)?;
        during(&peer);
        let sent = self.await_sender(&mut sender)?;
        let (packets, orders) = end_peer(&mut peer, self.stop)?;
        let run = Run {
            received: packets,
            // The end of the session is told three times and is no message.
            lost: sent.packets.saturating_sub(packets),
            orders,
            acks: 0,
            ..Run::default()
        };
        Ok((sent, run, std::mem::take(&mut peer.said)))
    }
}

/// Starts a gateway with its configuration in `folder`, and waits until it may trade.
pub(crate) fn start_gateway(
    lab: &Lab,
    folder: &Path,
    (traffic, options, report): (&Traffic, &Gateway, &Path),
    stop: &AtomicBool,
) -> Result<Process> {
    let config = folder.join("tickgate.toml");
    std::fs::write(&config, gateway_config(traffic, options, report))?;
    let program = match &options.program {
        Some(program) => program.clone(),
        None => sibling("tickgate")?,
    };
    let mut command = lab.command(Side::Gateway, &program);
    command
        .args(["run", "--config"])
        .arg(&config)
        .stdout(std::process::Stdio::null());
    for set in &options.sets {
        command.args(["--set", set]);
    }
    let mut gateway = Process::start_service("gateway", command)?;
    gateway.await_ready(Duration::from_secs(30), stop)?;
    Ok(gateway)
}

/// Stops a gateway and reads what it reports.
pub(crate) fn end_gateway(gateway: &mut Process, report: &Path, stop: &AtomicBool) -> Result<Run> {
    gateway.signal(libc::SIGTERM);
    if !gateway.wait(Duration::from_secs(5), stop)? {
        bail!("the gateway failed:\n{}", gateway.said.join("\n"));
    }
    let text = std::fs::read_to_string(report).context("the gateway's report")?;
    let report: Report = serde_json::from_str(&text).context("the gateway's report")?;
    let run = report.runs.into_iter().next();
    run.context("the gateway's report is empty")
}

/// Starts a peer and waits until it is logged in.
pub(crate) fn start_peer(lab: &Lab, ready: &Ready, stop: &AtomicBool) -> Result<Process> {
    let mut command = lab.command(Side::Gateway, &ready.program);
    command.args(peer_arguments(ready));
    let mut peer = Process::start(ready.peer.name(), command)?;
    peer.await_line("ready", Duration::from_secs(20), stop)?;
    Ok(peer)
}

/// Stops a peer, or workers, and gives the packets and orders that it counted.
pub(crate) fn end_peer(peer: &mut Process, stop: &AtomicBool) -> Result<(u64, u64)> {
    peer.signal(libc::SIGTERM);
    if !peer.wait(Duration::from_secs(5), stop)? {
        bail!("a peer failed:\n{}", peer.said.join("\n"));
    }
    let counts = peer.said.iter().rev().find_map(|line| counts(line));
    counts.with_context(|| format!("a peer told no counts:\n{}", peer.said.join("\n")))
}

/// What a peer is told, as `peer.h` says.
fn peer_arguments(ready: &Ready) -> Vec<String> {
    let group = GROUPS.first().and_then(|group| group.split_once(':'));
    let (group, port) = group.unwrap_or_default();
    // The last CPU, as the gateway takes.
    let cpu = rt::cpu::allowed().last().copied().unwrap_or(0);
    let mut arguments = ready.arguments.clone();
    arguments.extend([
        group.to_owned(),
        port.to_owned(),
        FEED_RECEIVER.to_string(),
        EXCHANGE.to_string(),
        PORT.to_string(),
        triggers::LOCATE.to_string(),
        cpu.to_string(),
        peers::hex(&peers::login()),
        peers::hex(&peers::order()),
    ]);
    arguments
}

/// Reads "packets N orders N".
fn counts(line: &str) -> Option<(u64, u64)> {
    let rest = line.strip_prefix("packets ")?;
    let (packets, orders) = rest.split_once(" orders ")?;
    Some((packets.parse().ok()?, orders.parse().ok()?))
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

impl Place<'_> {
    /// Starts to send the feed from a process in the exchange's namespace.
    fn start_sender(&self, is_exchange: bool) -> Result<Process> {
        let traffic = self.traffic;
        let mut command = self
            .lab
            .command(Side::Exchange, &sibling("tickgate-bench")?);
        command.arg("replay").arg(&traffic.feed);
        for group in GROUPS.iter().take(traffic.lines) {
            command.args(["--line", group]);
        }
        let mut argument = |name: &str, value: String| {
            command.args([name, &value]);
        };
        argument("--from", FEED_SENDER.to_string());
        match traffic.pace {
            Pace::Rate(rate) => argument("--rate", rate.to_string()),
            Pace::Poisson(rate, seed) => {
                argument("--rate", rate.to_string());
                argument("--poisson", seed.to_string());
            }
            Pace::Speed(factor) => argument("--speed", factor.to_string()),
        }
        argument("--pack", traffic.pack.to_string());
        argument("--bulk", traffic.bulk.to_string());
        if let Some(locate) = traffic.trigger {
            argument("--trigger", locate.to_string());
            argument("--burst", traffic.burst.to_string());
        }
        if let Some(limit) = traffic.limit {
            argument("--limit", limit.to_string());
        }
        argument("--wire-stamps", self.stamps.display().to_string());
        argument(
            "--json",
            self.folder.join("sent.json").display().to_string(),
        );
        if is_exchange {
            argument("--exchange", format!("{EXCHANGE}:{PORT}"));
            argument("--answer-after-us", traffic.answer_after_us.to_string());
            // Alone on its core: the contestant has the last one.
            if let [cpu, _, ..] = rt::cpu::allowed().as_slice() {
                argument("--cpu", cpu.to_string());
            }
        }
        command.arg("--quiet");
        Process::start("sender", command)
    }

    /// Waits until everything is sent.
    fn await_sender(&self, sender: &mut Process) -> Result<Sent> {
        if !sender.wait(Duration::from_secs(3600), self.stop)? {
            bail!("the sender failed:\n{}", sender.said.join("\n"));
        }
        let json = self.folder.join("sent.json");
        let value: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&json)?)?;
        let run = value.pointer("/runs/0").context("the sender's report")?;
        Sent::deserialize(run).context("the sender's report")
    }
}

/// The gateway's configuration for a run.
fn gateway_config(traffic: &Traffic, options: &Gateway, report: &Path) -> String {
    let mut text = String::from("[feed.itch]\nlines = [");
    for group in GROUPS.iter().take(traffic.lines) {
        let _ = write!(text, "{{ address = \"{group}\", interface = \"feed0\" }}, ");
    }
    let shown = |path: &Option<PathBuf>| {
        path.as_ref()
            .map(|path| path.display().to_string())
            .unwrap_or_default()
    };
    let _ = write!(
        text,
        "]\nreceive = \"{}\"\n[feed.itch.af_xdp]\nrequire = \"{}\"\n\
         [session.ouch]\naddress = \"{EXCHANGE}:{PORT}\"\nusername = \"demo\"\npassword = \"demo\"\n\
         submit = \"{}\"\n[session.ouch.risk]\norder_qty_max = 10000\n\
         notional_max_dollars = 1000000\ncollar_bps = 500\nopen_orders_max = 1000\n\
         orders_per_second_max = 1000000\nposition_max = 100000000\n[layout]\nkind = \"{}\"\n[telemetry]\njson = \"{}\"\n\
         hgrm_dir = \"{}\"\ntable = false\nwarm_up_ms = {}\nslow_orders = \"{}\"\n",
        options.receive,
        options.require,
        options.submit,
        options.layout,
        report.display(),
        shown(&options.hgrm_dir),
        traffic.warm_up_ms,
        shown(&options.slow_orders),
    );
    for number in 0..options.strategies {
        // The others hear everything and never trade.
        let every = if number == 0 {
            options.every
        } else {
            u64::MAX >> 1
        };
        let name = if number == 0 {
            "probe".to_owned()
        } else {
            format!("listener{number:02}")
        };
        let _ = write!(
            text,
            "[strategy.{name}]\nkind = \"probe\"\nfeed = \"itch\"\nsession = \"ouch\"\n\
             [strategy.{name}.parameters]\nevery = {every}\n",
        );
        if traffic.live.is_some() {
            text.push_str("takes = true\n");
        }
        if traffic.trigger.is_some() && number == 0 {
            let _ = writeln!(text, "symbol = \"{}\"", triggers::SYMBOL);
        }
    }
    text
}
