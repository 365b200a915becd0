//! The laboratory tells the truth: known delays, stalls and faults are planted and must be found.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]
#![allow(clippy::too_many_lines, reason = "a scenario reads from top to bottom")]

#[path = "../../world/tests/support/mod.rs"]
mod support;

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bench::latency::{Load, Workload, traffic};
use gateway::trace::explain::{self, Cause};
use gateway::trace::file;
use hdrhistogram::serialization::interval_log;
use lab::gateway::Gateway;
use lab::netns::Lab;
use lab::process::{Process, sibling};
use lab::run::{Candidate, Item, Outcome, run};
use lab::traffic::Traffic;
use peers::Peers;
use report::statistics::median;
use report::{Entry, Report};
use support::is_root;

static NEVER: AtomicBool = AtomicBool::new(false);

/// A lab, and a folder for feeds and recorder files.
struct Bench {
    lab: Lab,
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self {
            lab: Lab::new().expect("namespaces"),
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    fn traffic(&self, load: &Load, workload: &Workload) -> Traffic {
        traffic(load, workload, self.folder.path()).expect("a feed")
    }

    fn run(&self, traffic: &Traffic, gateway: Gateway) -> Outcome {
        self.run_while(traffic, gateway, |_| ())
    }

    fn run_while(
        &self,
        traffic: &Traffic,
        gateway: Gateway,
        during: impl FnMut(&Process),
    ) -> Outcome {
        let item = Item {
            name: "test".to_owned(),
            traffic: traffic.clone(),
            candidate: Candidate::Gateway(gateway),
        };
        run(&self.lab, &item, during, &NEVER).expect("it runs")
    }

    /// The causes that the recorder finds, the most frequent first. What is planted takes longer than
    /// what a shared host does by itself about once a second (1.5 ms).
    fn causes(
        &self,
        traffic: &Traffic,
        gateway: Gateway,
        over_us: u64,
        during: impl FnMut(&Process),
    ) -> Vec<(Cause, usize)> {
        let path = self.folder.path().join("slow.jsonl");
        let gateway = Gateway {
            slow_orders: Some(path.clone()),
            ..gateway
        };
        self.run_while(traffic, gateway, during);
        let record = file::read(&path).expect("the recorder's file");
        let explained = explain::explain(&record, over_us * 1000, 1);
        eprintln!("{explained}");
        let ranked = explain::ranked(&record, over_us * 1000);
        let counted = ranked.iter().map(|(cause, times)| (*cause, times.len()));
        counted.collect()
    }
}

fn workload() -> Workload {
    Workload {
        rate: 5_000.0,
        every: 5,
        seconds: 1.0,
        ..Workload::default()
    }
}

/// How often a run is made before its verdict counts. A shared host spoils one now and then; an
/// instrument that lies does so in each.
const ATTEMPTS: usize = 4;

/// Makes a run until one is good; fails with what each said.
fn one_of(mut attempt: impl FnMut() -> Result<(), String>) {
    let mut said = Vec::new();
    for _ in 0..ATTEMPTS {
        match attempt() {
            Ok(()) => return,
            Err(why) => said.push(why),
        }
        eprintln!("{said:?}");
    }
    panic!("{ATTEMPTS} runs: {said:#?}");
}

/// The cause that the recorder ranks first is the planted one. What a busy host adds by itself, and the
/// recorder truly finds, is left out.
fn finds(planted: Cause, mut causes: impl FnMut() -> Vec<(Cause, usize)>) {
    one_of(|| {
        let causes = causes();
        let is_hosts = |cause| matches!(cause, Cause::Rival | Cause::Host) && cause != planted;
        let first = causes.iter().find(|(cause, _)| !is_hosts(*cause));
        let is_found = first.is_some_and(|(cause, _)| *cause == planted);
        is_found.then_some(()).ok_or_else(|| format!("{causes:?}"))
    });
}

/// What 49 of 50 waited longer than, ns: the way without whatever else the host did.
fn undisturbed(mut latencies: Vec<u64>) -> u64 {
    latencies.sort_unstable();
    latencies[latencies.len() / 50]
}

/// The orders' latencies, those of every second trigger apart, ns.
fn every_second(outcome: &Outcome) -> [Vec<u64>; 2] {
    let mut apart = [Vec::new(), Vec::new()];
    for order in &outcome.answered {
        let trigger = order.seq / workload().every;
        apart[usize::from(trigger.is_multiple_of(2))].push(order.latency_ns);
    }
    apart
}

#[test]
fn five_microseconds_in_one_stage_show_there_and_in_the_whole() {
    if !is_root() {
        return;
    }
    let bench = Bench::new();
    let traffic = bench.traffic(&Load::Fixed, &workload());
    // Every second order is held up, so that whatever else the host does befalls both kinds alike.
    let slowed = Gateway {
        sets: ["think_ns=5000", "think_every=2"]
            .map(|it| format!("strategy.probe.parameters.{it}"))
            .into(),
        ..Gateway::default()
    };
    one_of(|| {
        let outcome = bench.run(&traffic, slowed.clone());
        let [whole, other] = every_second(&outcome).map(undisturbed);
        let whole = whole.abs_diff(other);
        let quantile = |name: &str, at: f64| {
            let histogram = outcome.run.histogram(name).expect("measured");
            histogram.value_at_quantile(at)
        };
        let stage = quantile("picked_to_decided", 0.75) - quantile("picked_to_decided", 0.25);
        let other = quantile("seen_to_published", 0.02);
        let figures = format!(
            "picked_to_decided +{stage} ns, wire_to_wire +{whole} ns, seen_to_published {other} ns"
        );
        eprintln!("{figures}");
        let is_shown =
            (4_800..5_500).contains(&stage) && (4_000..7_000).contains(&whole) && other < 2_500;
        is_shown.then_some(()).ok_or(figures)
    });
}

#[test]
fn a_stall_of_100_ms_shows_every_order_that_waited() {
    if !is_root() {
        return;
    }
    let bench = Bench::new();
    let traffic = bench.traffic(&Load::Fixed, &workload());
    one_of(|| {
        let mut stall = 0..0;
        let outcome = bench.run_while(&traffic, Gateway::default(), |gateway| {
            std::thread::park_timeout(Duration::from_millis(800));
            gateway.signal(libc::SIGSTOP);
            let from_ns = rt::clock::monotonic_ns();
            std::thread::park_timeout(Duration::from_millis(100));
            stall = from_ns..rt::clock::monotonic_ns();
            gateway.signal(libc::SIGCONT);
        });
        assert_eq!(outcome.run.lost, 0, "{:?}", outcome.run.counters);
        // Whatever came while it stood cannot have been answered before it went on. (A signal takes
        // its time to stop a process: what came in the first moment is left out.)
        let settled = stall.start + 5_000_000..stall.end;
        let waited = outcome
            .answered
            .iter()
            .filter(|order| settled.contains(&order.due_ns));
        let more: Vec<f64> = waited
            .map(|order| order.latency_ns as f64 - (stall.end - order.due_ns) as f64)
            .collect();
        assert!(
            more.iter().all(|ns| *ns >= 0.0),
            "answered before: {more:?}"
        );
        let stood_ms = (settled.end - settled.start) / 1_000_000;
        // A trigger each ms.
        assert!(
            (more.len() as u64).abs_diff(stood_ms) <= 2,
            "{} in {stood_ms} ms",
            more.len()
        );
        let max_ns = outcome.run.measured.histograms["wire_to_wire"].max;
        assert!(max_ns >= settled.end - settled.start, "{max_ns}");
        // And not long after: they left as fast as the gateway can.
        let typical = median(&more);
        let figures = format!("{} orders in {stood_ms} ms, {typical} ns after", more.len());
        eprintln!("{figures}");
        (typical < 10_000_000.0).then_some(()).ok_or(figures)
    });
}

#[test]
fn a_sender_that_falls_behind_says_so_and_its_run_does_not_count() {
    if !is_root() {
        return;
    }
    let bench = Bench::new();
    let too_fast = Workload {
        rate: 5_000_000.0,
        every: 1_000,
        seconds: 0.05,
        warm_up_ms: 0,
        ..Workload::default()
    };
    let traffic = bench.traffic(&Load::Fixed, &too_fast);
    let outcome = bench.run(&traffic, Gateway::default());
    let why = outcome.invalid.join("; ");
    assert!(why.contains("the sender fell behind its schedule"), "{why}");
    let mut entry = Entry::new("gateway");
    entry.add(&outcome);
    assert_eq!(
        entry.figure("wire_to_wire", |s| s.p50),
        None,
        "it has no figure"
    );
    let mut report = Report::new("test");
    report.runs.push(entry);
    let text = report::text(&report);
    assert!(
        text.contains("INVALID gateway: round 1: the sender fell"),
        "{text}"
    );
}

#[test]
fn peer_that_sends_past_the_kernel_sends_every_order_again_and_again() {
    if !is_root() {
        return;
    }
    let bench = Bench::new();
    let all = Workload {
        warm_up_ms: 0,
        seconds: 0.5,
        ..workload()
    };
    let traffic = bench.traffic(&Load::Fixed, &all);
    let wanted = ["floor-delegated", "smoltcp", "lwip"];
    let peers = Peers::build(peers::ALL.iter().filter(|it| wanted.contains(&it.name)));
    let peers = peers.expect("a folder");
    for (peer, why) in &peers.skipped {
        eprintln!("SKIPPED: {}: {why}", peer.name);
    }
    for name in ["floor-delegated", "smoltcp"] {
        assert!(peers.ready.iter().any(|it| it.name == name), "{name}");
    }
    for ready in &peers.ready {
        let item = Item {
            name: ready.name.to_owned(),
            traffic: traffic.clone(),
            candidate: Candidate::Peer(ready.clone()),
        };
        // The second connection comes from the same address as the first, which the exchange's kernel still knows.
        for _ in 0..2 {
            let outcome = run(&bench.lab, &item, |_| (), &NEVER).expect("it runs");
            // A peer compares a locate code, which the message that introduces the symbol has as well.
            let due = outcome.sent.triggers + 1;
            assert!(due > 400, "{:?}", outcome.sent);
            let sent = (outcome.run.orders, outcome.run.lost);
            assert_eq!(sent, (due, 0), "{}", ready.name);
            assert_eq!(outcome.answered.len() as u64, due, "{}", ready.name);
        }
    }
}

#[test]
fn the_recorder_finds_a_rival_on_the_core() {
    if !is_root() {
        return;
    }
    let bench = Bench::new();
    let traffic = bench.traffic(&Load::Fixed, &workload());
    let cpu = rt::cpu::allowed().last().expect("a CPU").to_string();
    let run = || {
        bench.causes(&traffic, Gateway::default(), 50, |_| {
            let mut rival = Command::new("taskset")
                .args(["-c", &cpu, "sh", "-c", "while :; do :; done"])
                .stdin(Stdio::null())
                .spawn()
                .expect("taskset");
            let pid = i32::try_from(rival.id()).expect("a pid");
            // It runs and is stopped in turn: SIGSTOP is what gives the core back.
            for _ in 0..10 {
                std::thread::park_timeout(Duration::from_millis(60));
                lab::process::send_signal(pid, libc::SIGSTOP);
                std::thread::park_timeout(Duration::from_millis(60));
                lab::process::send_signal(pid, libc::SIGCONT);
            }
            rival.kill().expect("ours");
            rival.wait().expect("ended");
        })
    };
    finds(Cause::Rival, run);
}

#[test]
fn the_recorder_finds_page_faults() {
    if !is_root() {
        return;
    }
    let bench = Bench::new();
    let traffic = bench.traffic(&Load::Fixed, &workload());
    let faulty = Gateway {
        program: Some(sibling("tickgate-planted").expect("built")),
        sets: [
            "host.lock_memory=false",
            "strategy.probe.kind=planted",
            "strategy.probe.parameters.pages=2048",
        ]
        .map(str::to_owned)
        .into(),
        ..Gateway::default()
    };
    finds(Cause::PageFault, || {
        bench.causes(&traffic, faulty.clone(), 1_800, |_| ())
    });
}

#[test]
fn the_recorder_finds_a_full_ring() {
    if !is_root() {
        return;
    }
    let bench = Bench::new();
    // Thirty triggers at once into a ring of sixteen, in front of a strategy that thinks.
    let traffic = bench.traffic(&Load::Burst(30), &workload());
    let narrow = Gateway {
        sets: [
            "rings.events=16",
            "strategy.probe.events=own",
            "strategy.probe.parameters.think_ns=400000",
        ]
        .map(str::to_owned)
        .into(),
        ..Gateway::default()
    };
    finds(Cause::RingFull, || {
        let mut causes = bench.causes(&traffic, narrow.clone(), 3_000, |_| ());
        assert!(
            causes.iter().all(|(cause, _)| *cause != Cause::Exchange),
            "{causes:?}"
        );
        // The strategy that thinks has the answers wait, too.
        causes.retain(|(cause, _)| *cause != Cause::BusyCore);
        causes
    });
}

#[test]
fn the_recorder_finds_a_slow_exchange() {
    if !is_root() {
        return;
    }
    let bench = Bench::new();
    // Far longer than a stall of a shared host, and orders far enough apart that none waits for another's answer.
    let seldom = Workload {
        every: 250,
        ..workload()
    };
    let traffic = Traffic {
        answer_after_us: 30_000,
        live: None,
        ..bench.traffic(&Load::Fixed, &seldom)
    };
    finds(Cause::Exchange, || {
        bench.causes(&traffic, Gateway::default(), 20_000, |_| ())
    });
}

/// What a page says of itself once it is laid out.
const LOOK: &str = r"<script>
addEventListener('load', () => {
  const figures = [...document.querySelectorAll('figure')].map(figure => {
    const svg = figure.querySelector('svg'), box = svg.getBoundingClientRect();
    const drawn = [...svg.querySelectorAll('polyline,rect,path,polygon')].filter(mark => {
      const size = mark.getBoundingClientRect();
      return size.width > 2 && size.height + size.width > 4;
    });
    return `${figure.id}:${Math.round(box.width)}x${Math.round(box.height)}:${drawn.length}`;
  });
  document.documentElement.setAttribute('data-look', figures.join(' '));
});
</script>";

#[test]
fn the_report_draws_in_a_browser_without_network() {
    if !is_root() || !support::has("chromium") {
        return;
    }
    let bench = Bench::new();
    let folder = bench.folder.path();
    let path = |name: &str| folder.join(name).display().to_string();
    let (json, html, hgrm) = (path("out.json"), path("out.html"), path("hgrm"));
    let output = support::tool(
        "tickgate-bench",
        &[
            "latency",
            "--peers",
            "all",
            "--rounds",
            "1",
            "--seconds",
            "0.5",
            "--rate",
            "5000",
            "--json",
            &json,
            "--html",
            &html,
            "--hgrm",
            &hgrm,
        ],
    );
    assert!(output.status.success(), "{}", support::stderr(&output));
    let mut report = Report::read(Path::new(&json)).expect("a report");
    let names: Vec<&str> = report.runs.iter().map(|e| e.run.name.as_str()).collect();
    assert_eq!(names[..2], ["gateway", "floor"]);
    let page = std::fs::read_to_string(&html).expect("a page");
    for peer in peers::ALL.iter().map(|peer| peer.name) {
        assert!(page.contains(&format!("<dt>{peer}</dt>")), "{peer}");
        let is_skipped = report.skipped.iter().any(|why| why.starts_with(peer));
        assert!(names.contains(&peer) || is_skipped, "{peer}: {names:?}");
    }
    let log = std::fs::read(folder.join("hgrm/gateway.hlog")).expect("an interval log");
    assert!(
        log.starts_with(b"#wire_to_wire"),
        "{}",
        String::from_utf8_lossy(&log)
    );
    let intervals = interval_log::IntervalLogIterator::new(&log)
        .filter(|entry| matches!(entry, Ok(interval_log::LogEntry::Interval(_))))
        .count();
    assert!(
        (4..=6).contains(&intervals),
        "half a second in tenths: {intervals}"
    );
    assert!(folder.join("hgrm/floor.wire_to_wire.hgrm").is_file());
    // The one plot that `latency` does not draw.
    report.growth = [1, 100, 10_000]
        .map(|size| report::Point {
            what: "symbols".to_owned(),
            size,
            tick_to_order_p50: 250.0,
            ratio: 1.0,
        })
        .into();
    let page = report::html(&report).expect("drawn");
    assert!(
        !page.contains("src=") && !page.contains("@import"),
        "it fetches something"
    );
    std::fs::write(&html, page.replace("</body>", &format!("{LOOK}</body>"))).expect("written");
    let dom = browse(&html, folder);
    let look = dom
        .split("data-look=\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .unwrap_or_else(|| panic!("the page did not load:\n{dom:.2000}"));
    eprintln!("{look}");
    for id in ["percentiles", "course", "stages", "growth"] {
        let figure = look.split(' ').find(|figure| figure.starts_with(id));
        let figure = figure.unwrap_or_else(|| panic!("no figure {id}: {look}"));
        let mut parts = figure.split(':').skip(1);
        let (size, marks) = (parts.next().expect("size"), parts.next().expect("marks"));
        let (width, height) = size.split_once('x').expect("two numbers");
        let number = |text: &str| text.parse::<u32>().expect("a number");
        assert!(number(width) > 600 && number(height) > 200, "{figure}");
        assert!(number(marks) > 2, "{figure}");
    }
}

/// Loads a page in headless Chromium, with no host to be found, and gives what became of it.
fn browse(page: &str, folder: &Path) -> String {
    let output = Command::new("timeout")
        .args([
            "60",
            "chromium",
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
        ])
        .args(["--no-first-run", "--disable-background-networking"])
        .args([
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1200,2400",
        ])
        .arg("--host-resolver-rules=MAP * ~NOTFOUND")
        .arg(format!(
            "--user-data-dir={}",
            folder.join("profile").display()
        ))
        .args(["--virtual-time-budget=3000", "--dump-dom"])
        .arg(format!("file://{page}"))
        .output()
        .expect("chromium starts");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
