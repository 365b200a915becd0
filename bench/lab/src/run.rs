//! One measured run: exchange, gateway and sender as processes in the lab, and what they report.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use feeds::replay::{Pace, Sent};
use gateway::telemetry::Run;
use rt::histogram::empty;
use rt::wire_stamps::WireStamps;
use serde::Deserialize;

use crate::exchange::{self, Live, SETTLE_MS};
use crate::gateway::{self as ours, Gateway};
use crate::netns::{EXCHANGE, FEED_SENDER, GROUPS, Lab, PORT, Side};
use crate::peer::{self, Program};
use crate::process::{Process, sibling};
use crate::traffic::Traffic;

/// Who answers.
#[derive(Clone, Debug)]
pub enum Candidate {
    /// Tickgate.
    Gateway(Gateway),
    /// The floor, or a program of the kind that a user would write.
    Peer(Program),
}

/// One thing to run: a load, and who answers.
#[derive(Clone, Debug)]
pub struct Item {
    /// Name in the report.
    pub name: String,
    /// What is sent.
    pub traffic: Traffic,
    /// Who answers.
    pub candidate: Candidate,
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
    /// What the candidate said.
    pub said: Vec<String>,
    /// Every answered message after the warm-up.
    pub answered: Vec<Answered>,
    /// Why the run must not be used; empty: it may.
    pub invalid: Vec<String>,
}

impl Outcome {
    /// Nothing but why it must not be used: a run that came to no end.
    #[must_use]
    pub fn failed(name: &str, why: String) -> Self {
        Self {
            run: Run {
                name: name.to_owned(),
                ..Run::default()
            },
            sent: Sent::default(),
            said: Vec::new(),
            answered: Vec::new(),
            invalid: vec![why],
        }
    }
}

/// Share of packets that may leave more than 1 ms late before a run is invalid.
const LATE_SHARE_MAX: f64 = 0.01;

/// Runs once. Processes are ended whatever happens.
///
/// # Errors
/// A process that failed, with what it said; or `stop`.
pub fn run(
    lab: &Lab,
    item: &Item,
    during: impl FnMut(&Process),
    stop: &AtomicBool,
) -> Result<Outcome> {
    let Item {
        name,
        traffic,
        candidate,
    } = item;
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
    let (sent, mut run, said) = match candidate {
        Candidate::Gateway(gateway) => place.run_gateway(gateway, during)?,
        Candidate::Peer(program) => place.run_peer(program, during)?,
    };
    run.name.clone_from(name);
    run.sent = Some(sent.messages);
    let answered = answered(&stamps, traffic);
    let mut wire_to_wire = empty();
    for order in &answered {
        wire_to_wire.saturating_record(order.latency_ns);
    }
    run.set_histogram("wire_to_wire", &wire_to_wire);
    if let Candidate::Gateway(Gateway {
        hgrm_dir: Some(folder),
        ..
    }) = candidate
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
        if let Some(live) = &self.traffic.live {
            return self.run_live(live, options, during);
        }
        let mut exchange = None;
        let mut sender = None;
        if options.is_exchange_polled {
            sender = Some(self.start_sender(true)?);
        } else {
            let stamps = Some(self.stamps);
            exchange = Some(exchange::start(self.lab, self.folder, stamps, self.stop)?);
        }
        let idle = options.idle_session;
        let idle = idle.then(|| exchange::start_idle(self.lab, self.folder, self.stop));
        let idle = idle.transpose()?;
        let mut gateway = ours::start(self.lab, self.folder, self.traffic, options, self.stop)?;
        let mut sender = match sender {
            Some(sender) => sender,
            None => self.start_sender(false)?,
        };
        during(&gateway);
        let sent = self.await_sender(&mut sender)?;
        if exchange.is_some() {
            // The last packets are on their way: until the gateway has them it must not be stopped.
            wait(SETTLE_MS, self.stop);
        }
        let mut run = ours::end(&mut gateway, self.folder, self.stop)?;
        drop([exchange, idle]);
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
        let control = self.folder.join("control");
        let config = exchange::live_config(live, self.traffic.venue, self.stamps, &control);
        let mut exchange = exchange::start_with(self.lab, self.folder, &config, self.stop)?;
        wait(live.head_start_ms(), self.stop);
        let mut gateway = ours::start(self.lab, self.folder, self.traffic, options, self.stop)?;
        during(&gateway);
        // As long as it takes: a whole day may be the market.
        exchange.await_line("the flow is over", Duration::from_secs(86_400), self.stop)?;
        wait(live.settle_ms(), self.stop);
        // The last orders traded after the flow was over; what the exchange says at its own end is not for
        // a gateway that has gone.
        let sent = exchange::published(self.folder)?;
        let mut run = ours::end(&mut gateway, self.folder, self.stop)?;
        exchange.signal(libc::SIGTERM);
        if !exchange.wait(Duration::from_secs(10), self.stop)? {
            bail!("the exchange failed:\n{}", exchange.said.join("\n"));
        }
        run.lost = sent.messages.saturating_sub(run.received);
        Ok((sent, run, std::mem::take(&mut gateway.said)))
    }

    fn run_peer(
        &self,
        program: &Program,
        mut during: impl FnMut(&Process),
    ) -> Result<(Sent, Run, Vec<String>)> {
        let mut sender = self.start_sender(true)?;
        let mut peer = peer::start(self.lab, program, self.stop)?;
        during(&peer);
        let sent = self.await_sender(&mut sender)?;
        let (packets, orders) = peer::end(&mut peer, self.stop)?;
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

/// Where processes share memory through files.
fn shared_memory() -> PathBuf {
    let shm = PathBuf::from("/dev/shm");
    if shm.is_dir() {
        shm
    } else {
        std::env::temp_dir()
    }
}

fn wait(length_ms: u64, stop: &AtomicBool) {
    let until = rt::clock::monotonic_ns() + length_ms * 1_000_000;
    while rt::clock::monotonic_ns() < until && !stop.load(std::sync::atomic::Ordering::SeqCst) {
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

impl Place<'_> {
    /// Starts to send the feed from a process in the exchange's namespace.
    fn start_sender(&self, is_exchange: bool) -> Result<Process> {
        let traffic = self.traffic;
        let mut command = self.lab.command(Side::Exchange, &sibling("tickgate-lab")?);
        command.arg("replay").arg(&traffic.feed);
        for group in GROUPS.iter().take(traffic.lines) {
            command.args(["--line", &group.to_string()]);
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
            // Alone on its core: the candidate has the last one.
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
