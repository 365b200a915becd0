//! The whole system at a steady rate while lines, links and the exchange fail; then ten times that rate, and back.
//!
//! `make soak MINUTES=60` makes a long run of it, and leaves a table and a page in `target/soak`. docs/soak.md says what its
//! verdict means.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "tests"
)]

mod arena;
mod between;
mod desk;
mod endurance;
mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use arena::{Arena, More, SESSIONS, STRATEGIES, Setup, numbers_are_used_once, stored};
use desk::{NEVER, until};
use endurance::verdict::{Blow, Struck, explained, faults, risen};
use endurance::{Sample, csv, picture};
use lab::netns::Side;
use lab::process::{Process, sibling};
use rt::clock::monotonic_ns;
use support::{is_root, tool};

/// How much more than the rated load comes in the overload, and the least of it that must have been heard: the host may not bear all.
const TIMES: u32 = 10;
const LOAD_AT_LEAST: f64 = 2.0;
/// How long after it everything may take to be as before: a snapshot for the new session of the feed, connections, and
/// what waits in rings and buffers.
const RECOVERS_NS: u64 = 30_000_000_000;
/// How long a blow may move what it explains: a second of its own, connections that come back, a snapshot.
const SETTLES_S: f64 = 10.0;
/// How long what was shed must then stand still.
const CALM_MS: u64 = 3_000;

/// From the first second to the last: each line loses, doubles and turns round packets by itself, and both now and then
/// lose the same one.
const LOSSES: &str = "\
[[fault]]\nat_s = 0.5\nfor_s = 1000000.0\non = \"line_a\"\ndo = \"drop\"\nshare = 0.01\n\
[[fault]]\nat_s = 0.5\nfor_s = 1000000.0\non = \"line_b\"\ndo = \"drop\"\nshare = 0.01\n\
[[fault]]\nat_s = 0.5\nfor_s = 1000000.0\non = \"line_a\"\ndo = \"duplicate\"\nshare = 0.01\n\
[[fault]]\nat_s = 0.5\nfor_s = 1000000.0\non = \"line_b\"\ndo = \"reorder\"\nby_ms = 1\nshare = 0.01\n\
[[fault]]\nat_s = 0.5\nfor_s = 1000000.0\non = \"lines\"\ndo = \"drop\"\nshare = 0.0002\n";

/// AF_XDP on both lines, a sandbox that refuses, and limits that ten times the rated load goes beyond.
const GATEWAY: &str = "[sandbox]\nmode = \"enforce\"\nrequire = \"filter\"\n[feed.itch]\n\
     lines = [{ address = \"239.77.0.1:26400\", interface = \"feed0\" }, { address = \"239.77.0.2:26401\", interface = \"feed0\" }]\n\
     receive = \"af_xdp\"\n[feed.itch.af_xdp]\nrequire = \"native-copy\"\n\
     [session.one.risk]\norders_per_second_max = 1000\n[session.two.risk]\norders_per_second_max = 1000\n";

/// How long, how much, and how often.
#[derive(Clone, Debug)]
struct Plan {
    seconds: u64,
    /// Orders, cancels and replacements a second of the market's own.
    rate: u32,
    /// Seconds of ten times that; 0: none.
    overload: u64,
    look_ms: u64,
    /// Seconds between two blows.
    blow_s: u64,
    /// Where the table and the page go.
    out: Option<PathBuf>,
}

impl Plan {
    fn of_environment() -> Self {
        let number = |name: &str, default| {
            std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
        };
        Self {
            seconds: number("SOAK_SECONDS", 18),
            rate: u32::try_from(number("RATE", 2_000)).expect("small"),
            overload: number("OVERLOAD", 4),
            look_ms: number("LOOK_MS", 1_000),
            blow_s: number("BLOW_S", 3),
            out: std::env::var("SOAK_OUT").ok().map(PathBuf::from),
        }
    }
}

struct Soak {
    plan: Plan,
    arena: Arena,
    /// Prometheus' side of it, and its port.
    exporter: Process,
    port: u16,
    began_ns: u64,
    samples: Vec<Sample>,
    blows: Vec<Struck>,
}

impl Soak {
    fn new(plan: Plan) -> Self {
        let arena = Arena::new(Setup {
            seed: 1,
            submit: "enter".to_owned(),
            one_in: 0,
            rate: plan.rate,
            is_captured: false,
            more: More {
                has_two_lines: true,
                gateway: GATEWAY.to_owned(),
                exchange: LOSSES.to_owned(),
            },
        });
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        drop(listener);
        let mut command = Command::new(sibling("tickgate").expect("built"));
        command
            .args(["metrics", "--socket"])
            .arg(arena.desk.path("gateway.sock"));
        command.args(["--listen", &format!("127.0.0.1:{port}")]);
        let mut exporter = Process::start("metrics", command).expect("it starts");
        let listens = exporter.await_line("metrics on http://", Duration::from_secs(20), &NEVER);
        listens.expect("it listens");
        Self {
            plan,
            arena,
            exporter,
            port,
            began_ns: monotonic_ns(),
            samples: Vec::new(),
            blows: vec![Struck {
                blow: Blow::Start,
                from_s: 0.0,
                to_s: SETTLES_S,
            }],
        }
    }

    /// One look, as an operator and a scraper have it; each must be answered, whatever goes on.
    fn look(&self) -> Sample {
        let report = self
            .arena
            .ctl(&["report"])
            .expect("the control socket answers");
        let status = self.arena.ctl(&["status"]);
        let status = status.expect("the control socket answers");
        self.scrape();
        let at_s = self.at_s();
        let journals = self.arena.desk.path("state").join("journal");
        let pid = self.arena.gateway.pid();
        let said = [&report["report"], &status["status"]];
        Sample::take(at_s, pid, &journals, said).expect("the gateway is there")
    }

    fn scrape(&self) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        let request = b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        stream.write_all(request).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("text");
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    }

    /// The rated load, with a blow now and then; the verdict on it.
    fn at_the_rated_load(&mut self) -> Vec<String> {
        let mut next_blow_s = self.plan.blow_s;
        let mut next_minute_s = 60;
        loop {
            let sample = self.look();
            let at_s = sample.at_s as u64;
            if at_s >= next_minute_s {
                println!("{}", line(&sample));
                next_minute_s += 60;
            }
            self.samples.push(sample);
            if at_s >= self.plan.seconds {
                break;
            }
            if at_s >= next_blow_s {
                self.blow();
                next_blow_s += self.plan.blow_s;
            }
            pause_ms(self.plan.look_ms);
        }
        faults(&self.samples, &self.blows)
    }

    /// The next of the blows.
    fn blow(&mut self) {
        let blow = Blow::ALL[(self.blows.len() - 1) % Blow::ALL.len()];
        let from_s = self.at_s();
        match blow {
            Blow::Start => {}
            Blow::Cut => self.fault("on = \"account\"; account = \"one\"; do = \"cut\"; at_s = 0; for_s = 1"),
            // Nobody answers re-requests, and both lines lose half.
            Blow::Servers => {
                self.fault("on = \"rerequest\"; do = \"drop\"; at_s = 0; for_s = 1");
                self.fault("on = \"lines\"; do = \"drop\"; share = 0.5; at_s = 0; for_s = 0.1");
            }
            Blow::Reject => self.fault("on = \"account\"; account = \"two\"; do = \"reject\"; value = 7; at_s = 0; for_s = 1"),
            Blow::Link => {
                self.arena.link(Side::Exchange, "down");
                pause_ms(300);
                self.arena.link(Side::Exchange, "up");
            }
            Blow::Exchange => self.restart_exchange(self.plan.rate),
        }
        let to_s = self.at_s() + SETTLES_S;
        self.blows.push(Struck { blow, from_s, to_s });
    }

    /// Seconds since it began.
    fn at_s(&self) -> f64 {
        (monotonic_ns() - self.began_ns) as f64 / 1e9
    }

    fn fault(&self, script: &str) {
        let config = self.arena.desk.path("sim.toml");
        let config = config.to_str().expect("text");
        let done = tool(
            "tickgate-sim",
            &["ctl", "--config", config, "fault", script],
        );
        assert!(
            done.status.success(),
            "{script}: {}",
            support::stderr(&done)
        );
    }

    fn restart_exchange(&mut self, rate: u32) {
        self.arena.sim.signal(libc::SIGKILL);
        let killed = self.arena.sim.wait(Duration::from_secs(60), &NEVER);
        killed.expect("the killed exchange is gone");
        self.arena.setup.rate = rate;
        let seed = self.arena.setup.seed + 1;
        self.arena.start_exchange(seed);
    }

    /// Ten times as much for a while, and back. What rises is told; that it stands still afterwards, and that orders go
    /// again, must be.
    fn overload(&mut self) {
        let before = self.look();
        self.restart_exchange(self.plan.rate * TIMES);
        let until_ns = monotonic_ns() + self.plan.overload * 1_000_000_000;
        let mut during = self.look();
        while monotonic_ns() < until_ns {
            pause_ms(self.plan.look_ms);
            during = self.look();
        }
        let seconds = during.at_s - before.at_s;
        let messages = during.sum("feed", "messages") - before.sum("feed", "messages");
        let orders = during.sum("session", "orders") - before.sum("session", "orders");
        println!(
            "overload: {messages} messages and {orders} orders in {seconds:.0} s, {:.0} messages a second; what rose:",
            messages as f64 / seconds
        );
        let rose = risen(&before, &during);
        for (key, more) in &rose {
            println!("  {key} by {more}");
        }
        let expected = seconds * f64::from(self.plan.rate) * LOAD_AT_LEAST;
        assert!(messages as f64 > expected, "that was no overload");
        let is_known = |key: &str| is_shed(key) || explained(key).is_some_and(|by| !by.is_empty());
        let strange: Vec<_> = rose.iter().filter(|(key, _)| !is_known(key)).collect();
        assert!(strange.is_empty(), "not how load is shed: {strange:?}");
        let is_by_rate = |(key, _): &(String, u64)| key.ends_with(".refused_order_rate");
        // A few seconds of it may find the gateway without the CPU that this many orders take.
        let is_short = self.plan.overload < 30;
        assert!(
            is_short || rose.iter().any(is_by_rate),
            "risk let everything through"
        );
        self.restart_exchange(self.plan.rate);
        let back_ns = monotonic_ns();
        let (mut first, mut second);
        loop {
            first = self.look();
            pause_ms(CALM_MS);
            second = self.look();
            let is_fresh = second.sum("feed", "stale") + second.sum("feed", "stale_symbols") == 0;
            let shed = risen(&first, &second).into_iter();
            let shed: Vec<_> = shed.filter(|(key, _)| is_shed(key)).collect();
            let trades = second.sum("session", "orders") > first.sum("session", "orders");
            if is_fresh && shed.is_empty() && trades {
                break;
            }
            let waited_ns = monotonic_ns() - back_ns;
            assert!(
                waited_ns < RECOVERS_NS,
                "fresh {is_fresh}, trades {trades}, {shed:?}"
            );
        }
        let took = (monotonic_ns() - back_ns) as f64 / 1e9;
        println!(
            "back to normal {took:.1} s after the overload, {} s of calm included",
            CALM_MS / 1000
        );
        let still_open = self.arena.ctl(&["status"]).expect("an answer");
        let scope = &still_open["status"]["kill"]["scope"];
        assert_eq!(*scope, serde_json::json!([]), "no kill");
    }

    /// The gateway, the exchange's store and the journals have the same orders.
    fn nothing_is_lost(mut self) {
        for (strategy, _) in STRATEGIES {
            self.arena.ctl(&["pause", strategy]);
        }
        self.arena.agree().expect("both sides agree");
        self.arena.ctl(&["cancel", "all"]).expect("an answer");
        until("all is cancelled", || {
            let said = self.arena.gateway_says()?;
            let is_over = said.values().all(|account| account.orders.is_empty());
            is_over.then_some(())
        });
        let last = self.look();
        self.exporter.end();
        self.arena.gateway.end();
        let held = self.arena.exchange_says().expect("the exchange answers");
        let sent = numbers_are_used_once(&self.arena.desk.path("state").join("journal"));
        let mut unanswered = 0;
        for (place, (name, _)) in SESSIONS.into_iter().enumerate() {
            let stored = stored(&self.arena.desk, name);
            assert_eq!(stored.positions, held[name].positions, "{name}");
            let place = u8::try_from(place).expect("few");
            let strange: Vec<_> = stored.answered.difference(&sent.numbers[&place]).collect();
            assert!(
                strange.is_empty(),
                "{name}: answered, not in the journal: {strange:?}"
            );
            // A replace of an order that was filled meanwhile has no answer; an order has one, or never came.
            let orders = &sent.entered[&place];
            unanswered += orders.difference(&stored.answered).count() as u64;
        }
        let gone = last.sum("session", "never_received");
        assert_eq!(
            unanswered, gone,
            "without an answer, and known never to have come"
        );
        println!(
            "{} orders, no number used twice; {gone} never came to the exchange, and the gateway knows which",
            sent.orders
        );
    }
}

/// Whether a counter tells of load that was shed, and not of lines that lose as before.
fn is_shed(key: &str) -> bool {
    let parts = [
        "_full",
        "rx_dropped",
        "kernel_dropped",
        "queue_stalls",
        "crowded_out",
        "missed",
        "lags",
        "too_old",
        "order_rate",
        "backlog",
    ];
    parts.iter().any(|part| key.contains(part))
}

/// What a minute's line says.
fn line(sample: &Sample) -> String {
    let tick = sample
        .latency_ns
        .get("tick_to_order")
        .copied()
        .unwrap_or_default();
    format!(
        "{:.0} s: {} MiB, {} files, {} threads, {} messages, {} orders, journal {} MiB, tick to order p50 {:.1} µs, p99 {:.1} µs",
        sample.at_s,
        sample.memory_kib / 1024,
        sample.files,
        sample.switches.len(),
        sample.sum("feed", "messages"),
        sample.sum("session", "orders"),
        sample.journal_bytes >> 20,
        tick[0] as f64 / 1e3,
        tick[1] as f64 / 1e3,
    )
}

fn pause_ms(length: u64) {
    let until_ns = monotonic_ns() + length * 1_000_000;
    while monotonic_ns() < until_ns {
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

#[test]
fn system_stays_as_it_is_while_much_fails_and_comes_back_from_ten_times_its_load() {
    if !is_root() {
        return;
    }
    let plan = Plan::of_environment();
    println!("{plan:?}");
    let mut soak = Soak::new(plan);
    let found = soak.at_the_rated_load();
    let last = soak.samples.last().expect("there are");
    println!("{}, {} blows", line(last), soak.blows.len() - 1);
    if let Some(out) = &soak.plan.out {
        std::fs::create_dir_all(out).expect("a folder");
        std::fs::write(out.join("samples.csv"), csv(&soak.samples)).expect("written");
        let page = picture::page(
            &soak.samples,
            &format!("{}. {}", line(last), found.join("; ")),
        );
        std::fs::write(out.join("soak.html"), page).expect("written");
    }
    if soak.plan.overload > 0 {
        soak.overload();
    }
    soak.nothing_is_lost();
    assert!(found.is_empty(), "verdict: {}", found.join("; "));
    println!("verdict: memory flat, nothing dropped that is not explained, no order lost");
}
