//! The laboratory tells the truth: known delays, stalls and faults are planted and must be found.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]
#![allow(clippy::too_many_lines, reason = "a scenario reads from top to bottom")]

mod support;

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bench::lab::{Lab, Process, sibling};
use bench::latency::{Entry, Load, Report, Scene, traffic};
use bench::run::{Contestant, Gateway, Outcome, Traffic, run};
use bench::statistics::median;
use bench::why::{self, Cause};
use hdrhistogram::serialization::interval_log;
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

    fn traffic(&self, load: &Load, scene: &Scene) -> Traffic {
        traffic(load, scene, self.folder.path()).expect("a feed")
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
        let contestant = Contestant::Gateway(gateway);
        run(&self.lab, ("test", traffic, &contestant), during, &NEVER).expect("it runs")
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
        let file = self.folder.path().join("slow.jsonl");
        let gateway = Gateway {
            slow_orders: Some(file.clone()),
            ..gateway
        };
        self.run_while(traffic, gateway, during);
        let record = why::read(&file).expect("the recorder's file");
        let explained = why::explain(&record, over_us * 1000, 1);
        eprintln!("{explained}");
        let ranked = why::ranked(&record, over_us * 1000);
        let counted = ranked.iter().map(|(cause, times)| (*cause, times.len()));
        counted.collect()
    }
}

fn scene() -> Scene {
    Scene {
        rate: 5_000.0,
        every: 5,
        seconds: 1.0,
        ..Scene::default()
    }
}

fn p50(outcome: &Outcome, name: &str) -> f64 {
    outcome.run.histograms[name].p50 as f64
}

#[test]
fn five_microseconds_in_one_stage_show_there_and_in_the_whole() {
    if !is_root() {
        return;
    }
    let bench = Bench::new();
    let traffic = bench.traffic(&Load::Fixed, &scene());
    let slowed = Gateway {
        sets: vec!["strategy.probe.parameters.think_ns=5000".to_owned()],
        ..Gateway::default()
    };
    let (mut stage, mut whole, mut others) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..3 {
        let before = bench.run(&traffic, Gateway::default());
        let after = bench.run(&traffic, slowed.clone());
        let more = |name| p50(&after, name) - p50(&before, name);
        stage.push(more("picked_to_decided"));
        whole.push(more("wire_to_wire"));
        others.push(more("seen_to_published"));
    }
    let (stage, whole, others) = (median(&stage), median(&whole), median(&others));
    eprintln!(
        "picked_to_decided +{stage} ns, wire_to_wire +{whole} ns, seen_to_published +{others}"
    );
    assert!((4_900.0..5_300.0).contains(&stage), "{stage}");
    assert!((4_000.0..7_000.0).contains(&whole), "{whole}");
    assert!(others.abs() < 1_000.0, "{others}");
}

#[test]
fn a_stall_of_100_ms_shows_every_order_that_waited() {
    if !is_root() {
        return;
    }
    let bench = Bench::new();
    let traffic = bench.traffic(&Load::Fixed, &scene());
    let outcome = bench.run_while(&traffic, Gateway::default(), |gateway| {
        std::thread::park_timeout(Duration::from_millis(800));
        gateway.signal(libc::SIGSTOP);
        std::thread::park_timeout(Duration::from_millis(100));
        gateway.signal(libc::SIGCONT);
    });
    assert_eq!(outcome.run.lost, 0, "{:?}", outcome.run.counters);
    assert_eq!(outcome.run.orders, outcome.sent.triggers, "every trigger");
    // 1,000 triggers a second: about 100 waited, from 100 ms down to nothing, evenly.
    let waited = |over_ms: u64| {
        let orders = outcome.answered.iter();
        orders
            .filter(|o| o.latency_ns > over_ms * 1_000_000)
            .count()
    };
    let counts = [waited(5), waited(50), waited(90)];
    eprintln!("waited over 5, 50, 90 ms: {counts:?}");
    assert!((80..=130).contains(&counts[0]), "{counts:?}");
    assert!((40..=75).contains(&counts[1]), "{counts:?}");
    assert!((5..=30).contains(&counts[2]), "{counts:?}");
    let max = outcome.run.histograms["wire_to_wire"].max;
    assert!(max >= 95_000_000, "{max}");
}

#[test]
fn a_sender_that_falls_behind_says_so_and_its_run_does_not_count() {
    if !is_root() {
        return;
    }
    let bench = Bench::new();
    let too_fast = Scene {
        rate: 5_000_000.0,
        every: 1_000,
        seconds: 0.05,
        warm_up_ms: 0,
        ..Scene::default()
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
    let text = bench::report::text(&report);
    assert!(
        text.contains("INVALID gateway: round 1: the sender fell"),
        "{text}"
    );
}

#[test]
fn the_recorder_finds_a_rival_on_the_core() {
    if !is_root() {
        return;
    }
    let bench = Bench::new();
    let traffic = bench.traffic(&Load::Fixed, &scene());
    let cpu = rt::cpu::allowed().last().expect("a CPU").to_string();
    let causes = bench.causes(&traffic, Gateway::default(), 50, |_| {
        let mut rival = Command::new("taskset")
            .args(["-c", &cpu, "sh", "-c", "while :; do :; done"])
            .stdin(Stdio::null())
            .spawn()
            .expect("taskset");
        let pid = i32::try_from(rival.id()).expect("a pid");
        // It runs and is stopped in turn: SIGSTOP is what gives the core back.
        for _ in 0..10 {
            std::thread::park_timeout(Duration::from_millis(60));
            bench::lab::send_signal(pid, libc::SIGSTOP);
            std::thread::park_timeout(Duration::from_millis(60));
            bench::lab::send_signal(pid, libc::SIGCONT);
        }
        rival.kill().expect("ours");
        rival.wait().expect("ended");
    });
    assert_eq!(causes[0].0, Cause::Rival, "{causes:?}");
}

#[test]
fn the_recorder_finds_page_faults() {
    if !is_root() {
        return;
    }
    let bench = Bench::new();
    let traffic = bench.traffic(&Load::Fixed, &scene());
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
    let causes = bench.causes(&traffic, faulty, 1_800, |_| ());
    assert_eq!(causes[0].0, Cause::PageFault, "{causes:?}");
}

#[test]
fn the_recorder_finds_a_full_ring() {
    if !is_root() {
        return;
    }
    let bench = Bench::new();
    // Thirty triggers at once into a ring of sixteen, in front of a strategy that thinks.
    let traffic = bench.traffic(&Load::Burst(30), &scene());
    let narrow = Gateway {
        sets: [
            "rings.events=16",
            "strategy.probe.parameters.think_ns=400000",
        ]
        .map(str::to_owned)
        .into(),
        ..Gateway::default()
    };
    let causes = bench.causes(&traffic, narrow, 3_000, |_| ());
    let first = causes.iter().find(|(cause, _)| *cause != Cause::BusyCore);
    assert_eq!(
        first.map(|(cause, _)| *cause),
        Some(Cause::RingFull),
        "{causes:?}"
    );
    assert!(
        causes.iter().all(|(cause, _)| *cause != Cause::Exchange),
        "{causes:?}"
    );
}

#[test]
fn the_recorder_finds_a_slow_exchange() {
    if !is_root() {
        return;
    }
    let bench = Bench::new();
    let traffic = Traffic {
        answer_after_us: 3_000,
        live: None,
        ..bench.traffic(&Load::Fixed, &scene())
    };
    let causes = bench.causes(&traffic, Gateway::default(), 2_000, |_| ());
    assert_eq!(causes[0].0, Cause::Exchange, "{causes:?}");
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
    for peer in ["busy_socket", "epoll", "libevent", "libuv", "tokio"] {
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
        .map(|size| bench::growth::Point {
            what: "symbols".to_owned(),
            size,
            tick_to_order_p50: 250.0,
            ratio: 1.0,
        })
        .into();
    let page = bench::report::html(&report).expect("drawn");
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
