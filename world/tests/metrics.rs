//! What Prometheus is told of a gateway that trades: judged by promtool, scraped by a real Prometheus, asked by the dashboard's
//! queries, and thrown random bytes at.
//!
//! `SCRAPE_SECONDS` says how long it is scraped (8), `HTTP_SECONDS` how long bytes are thrown (2).

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod desk;
mod rehearsal;
mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use desk::{Desk, NEVER, ctl, gateway_command, start_gateway, start_sim_with, until, until_after};
use lab::netns::Lab;
use lab::process::{Process, sibling};
use rehearsal::Rehearsal;
use rt::clock::monotonic_ns;
use serde_json::Value;
use support::{has, is_root, tool};

/// Of the dashboard's queries, those that have nothing to say in a market without accidents, and why.
const RIGHTLY_EMPTY: [(&str, &str); 1] = [("position_shares", "a probe may be flat")];

fn deployed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/prometheus")
}

fn seconds(name: &str, default: u64) -> u64 {
    let text = std::env::var(name);
    text.map_or(default, |text| text.parse().expect("seconds"))
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("bound").port()
}

/// A program that `make test` unpacks, or that is installed.
fn program(name: &str) -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/unpacked/usr/bin");
    let unpacked = target.join(name);
    if unpacked.is_file() {
        return Some(unpacked);
    }
    has(name).then(|| PathBuf::from(name))
}

/// The exporter of a gateway.
fn exporter(socket: &str) -> (Process, u16) {
    let port = free_port();
    let mut command = Command::new(sibling("tickgate").expect("built"));
    command.args(["metrics", "--socket", socket]);
    command.args(["--listen", &format!("127.0.0.1:{port}")]);
    let mut process = Process::start("metrics", command).expect("it starts");
    process
        .await_line("metrics on http://", Duration::from_secs(20), &NEVER)
        .expect("it listens");
    (process, port)
}

#[test]
fn it_listens_on_loopback_unless_told_otherwise_and_then_warns() {
    let help = tool("tickgate", &["metrics", "--help"]);
    let help = String::from_utf8(help.stdout).expect("text");
    assert!(help.contains("[default: 127.0.0.1:"), "{help}");
    let said = |listen: &str| {
        let port = free_port();
        let mut command = Command::new(sibling("tickgate").expect("built"));
        // Whether there is a gateway does not matter.
        command.args(["metrics", "--socket", "/nowhere"]);
        command.args(["--listen", &format!("{listen}:{port}")]);
        let mut process = Process::start("metrics", command).expect("it starts");
        process
            .await_line("metrics on http://", Duration::from_secs(20), &NEVER)
            .expect("it listens");
        process.said.join("\n")
    };
    let warning = "whoever reaches it reads positions and profit";
    for (listen, warns) in [("127.0.0.1", false), ("0.0.0.0", true)] {
        let said = said(listen);
        assert_eq!(said.contains(warning), warns, "{listen}: {said}");
    }
}

/// What is answered to these bytes; empty: nothing.
fn answered(port: u16, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    let patience = Some(Duration::from_secs(10));
    stream.set_read_timeout(patience).expect("set");
    // Who is refused early may find the connection gone.
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn scraped(port: u16) -> String {
    let answer = answered(port, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    body.to_owned()
}

fn promtool(arguments: &[&str], input: &str) -> (bool, String) {
    let mut command = Command::new(program("promtool").expect("it was looked for"));
    command.args(arguments).stdin(Stdio::piped());
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool starts");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(input.as_bytes()).expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    (output.status.success(), said)
}

/// What a counter is called, how many of its units make one of the metric's, and whether it only grows: docs/metrics.md in
/// code of this test's own.
fn family_of(kind: &str, counter: &str) -> (String, f64, bool) {
    let bare = counter.strip_prefix(&format!("{kind}_")).unwrap_or(counter);
    let bare = match bare.strip_suffix("_hours") {
        Some(bare) => format!("{bare}_trading_time"),
        None => bare.to_owned(),
    };
    let bare = bare.as_str();
    let (bare, max) = match bare.strip_suffix("_max") {
        Some(bare) => (bare, "_max"),
        None => (bare, ""),
    };
    let (bare, unit, per_unit) = match bare.strip_suffix("_ns") {
        Some(bare) => (bare, "_seconds", 1e9),
        None => (bare, "", 1.0),
    };
    let goes_down = ["messages_missing", "messages_behind"].contains(&counter);
    let only_grows = max.is_empty() && !goes_down;
    let total = if only_grows { "_total" } else { "" };
    let family = format!("tickgate_{kind}_{bare}{max}{unit}{total}");
    (family, per_unit, only_grows)
}

#[test]
fn scrape_has_every_counter_and_histogram_and_promtool_accepts_it() {
    if program("promtool").is_none() {
        return;
    }
    let trading = Rehearsal::start(&[]);
    let (mut exporter, port) = exporter(&trading.socket);
    let orders = until("orders", || {
        let text = scraped(port);
        let mut lines = text.lines();
        let orders = lines.find(|it| it.starts_with("tickgate_session_orders_total{"))?;
        (!orders.ends_with(" 0")).then_some(text)
    });
    let (is_good, said) = promtool(&["check", "metrics"], &orders);
    assert!(is_good && said.is_empty(), "{said}");
    let rules = deployed().join("tickgate.rules.yml");
    let (is_good, said) = promtool(&["check", "rules", rules.to_str().expect("text")], "");
    assert!(is_good, "{said}");

    let report = ctl(Path::new(&trading.socket), &["--json", "report"]);
    let report: Value = serde_json::from_slice(&report.stdout).expect("JSON");
    let mut looked_for = 0;
    for (kind, all) in report["report"]["counters"].as_object().expect("counters") {
        for (whose, counters) in all.as_object().expect("by name") {
            for (counter, later) in counters.as_object().expect("counters") {
                let (family, per_unit, only_grows) = family_of(kind, counter);
                let metric = format!("{family}{{{kind}=\"{whose}\"}}");
                let value = value_of(&orders, &metric).unwrap_or_else(|| panic!("{metric}"));
                // It was scraped before it was reported.
                let later = later.as_f64().expect("a number") / per_unit;
                assert!(
                    !only_grows || value <= later,
                    "{metric}: {value}, then {later}"
                );
                looked_for += 1;
            }
        }
    }
    assert!(looked_for > 150, "{looked_for}");
    for histogram in report["report"]["hdr"]
        .as_object()
        .expect("histograms")
        .keys()
    {
        let count = format!("tickgate_{histogram}_seconds_count{{");
        let sum = format!("tickgate_{histogram}_seconds_sum{{");
        for name in [count, sum] {
            let mut lines = orders.lines().filter(|it| it.starts_with(&name));
            let value = lines.next().and_then(|it| it.rsplit(' ').next());
            let value: f64 = value.expect(&name).parse().expect("a number");
            assert!(value.is_finite() && value >= 0.0, "{name} {value}");
        }
    }
    exporter.end();
}

/// An exchange with all that it can count: a flow, a feed, faults, an account that trades.
fn counting_exchange(folder: &Path, metrics: u16) -> (Process, PathBuf) {
    let (at, control) = (free_port(), folder.join("control"));
    let config = format!(
        "address = \"127.0.0.1:{at}\"\nmetrics = \"127.0.0.1:{metrics}\"\ncontrol = \"{}\"\n\
         [account.demo]\npassword = \"demo\"\n[flow]\nsymbols = 4\nrate = 2000\n\
         [feed]\nlines = [{{ address = \"127.0.0.1:{}\" }}]\n\
         [[fault]]\non = \"line_a\"\ndo = \"drop\"\nat_s = 0\nfor_s = 600\nshare = 0.5\n",
        control.display(),
        free_port()
    );
    let file = folder.join("sim.toml");
    lab::exchange::write_secret(&file, &config).expect("written");
    let mut command = Command::new(sibling("tickgate-sim").expect("built"));
    command.args(["run", "--config"]).arg(&file);
    let mut sim = Process::start_service("exchange", command).expect("it starts");
    sim.await_ready(Duration::from_secs(10), &NEVER)
        .expect("it listens");
    (sim, file)
}

/// The value of a metric by its whole name, labels included. There is one, and it is a number.
fn value_of(text: &str, metric: &str) -> Option<f64> {
    let values = text
        .lines()
        .filter_map(|it| it.strip_prefix(metric)?.strip_prefix(' '));
    let values: Vec<f64> = values.map(|it| it.parse().expect("a number")).collect();
    assert!(values.len() <= 1, "{metric}: {values:?}");
    assert!(
        values.iter().all(|it| it.is_finite()),
        "{metric}: {values:?}"
    );
    values.first().copied()
}

#[test]
fn exchange_tells_prometheus_everything_that_it_counts() {
    if program("promtool").is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let port = free_port();
    let (mut sim, file) = counting_exchange(folder.path(), port);
    let text = until("packets that a fault has dropped", || {
        let text = scraped(port);
        let dropped = value_of(&text, "tickgate_sim_faults_packets_dropped_total")?;
        (dropped > 0.0).then_some(text)
    });
    let (is_good, said) = promtool(&["check", "metrics"], &text);
    assert!(is_good && said.is_empty(), "{said}");
    let file = file.to_str().expect("text");
    let status = tool("tickgate-sim", &["status", "--config", file, "--json"]);
    let status: Value = serde_json::from_slice(&status.stdout).expect("JSON");
    let mut looked_for = 0;
    for group in ["entry", "feed", "server"] {
        for (counter, later) in status[group].as_object().expect("counters") {
            let name = format!("tickgate_sim_{group}_{counter}_total");
            let value = value_of(&text, &name).unwrap_or_else(|| panic!("{name}: {text}"));
            // It was scraped before it was asked, and counters only grow.
            assert!(value <= later.as_f64().expect("a number"), "{name}");
            looked_for += 1;
        }
    }
    assert!(looked_for > 15, "{looked_for}");
    for metric in [
        "tickgate_sim_up",
        "tickgate_sim_sessions",
        "tickgate_sim_engine_orders_total",
        "tickgate_sim_account_answers_total{account=\"demo\",fate=\"rejected\"}",
        "tickgate_sim_feed_snapshots_total",
        "tickgate_sim_feed_rerequests_answered_total",
    ] {
        assert!(value_of(&text, metric).is_some(), "{metric}: {text}");
    }
    assert!(value_of(&text, "tickgate_sim_feed_messages_total") > Some(0.0));
    sim.signal(libc::SIGTERM);
    let is_well = sim
        .wait(Duration::from_secs(10), &NEVER)
        .expect("it ends, whoever has scraped it");
    assert!(is_well, "{:?}", sim.said);
}

/// Holds what a scrape tells against the reference; how many metrics it has.
fn held_against_the_reference(text: &str) -> usize {
    let reference = tool("tickgate", &["reference", "metrics"]);
    let reference = String::from_utf8(reference.stdout).expect("text");
    let mut metrics = 0;
    let mut help = "";
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ').expect("a name and a text").1;
        }
        let Some(rest) = line.strip_prefix("# TYPE ") else {
            continue;
        };
        let (name, kind) = rest.split_once(' ').expect("a name and a type");
        let row = format!("| `{name}` | {kind} |");
        let row = reference.lines().find(|it| it.starts_with(&row));
        let row = row.unwrap_or_else(|| panic!("{name}, a {kind}, is not there"));
        let help = help.replace('<', "&lt;").replace('|', "\\|");
        assert!(row.ends_with(&format!("| {help} |")), "{row}: {help}");
        metrics += 1;
    }
    metrics
}

#[test]
fn each_metric_of_a_gateway_is_in_the_reference_with_its_type_and_help() {
    let trading = Rehearsal::start(&[]);
    let (mut exporter, port) = exporter(&trading.socket);
    let metrics = held_against_the_reference(&scraped(port));
    assert!(metrics > 150, "{metrics}");
    exporter.end();
}

/// What programs and sockets of a card count is read elsewhere than what stages count.
#[test]
fn each_metric_of_an_interface_is_in_the_reference_with_its_type_and_help() {
    if !is_root() {
        return;
    }
    let (lab, desk) = (Lab::new().expect("a lab"), Desk::new());
    let sim = "address = \"10.77.2.1:12000\"\n[account.demo]\npassword = \"demo\"\n";
    let _sim = start_sim_with(&lab, &desk, sim);
    let socket = desk.path("gateway.sock");
    let config = format!(
        "[control]\nsocket = \"{}\"\n\
         [feed.itch]\nlines = [{{ address = \"239.77.0.1:26400\", interface = \"feed0\" }}]\n\
         [session.ouch]\naddress = \"10.77.2.1:12000\"\nusername = \"demo\"\npassword = \"demo\"\n\
         [session.ouch.risk]\norder_qty_max = 1\nnotional_max_dollars = 1\ncollar_bps = 1\n\
         gross_exposure_max_dollars = 1\nnet_exposure_max_dollars = 1\nloss_max_dollars = 1\n\
         position_max = 1\nopen_orders_max = 1\norders_per_second_max = 1\n\
         [strategy.probe]\nkind = \"probe\"\nfeed = \"itch\"\nsession = \"ouch\"\n",
        socket.display()
    );
    let _gateway = start_gateway(gateway_command(&lab, &desk.write("tickgate.toml", &config)));
    let socket = socket.to_str().expect("text");
    let told = tool("tickgate", &["metrics", "--once", "--socket", socket]);
    let told = String::from_utf8(told.stdout).expect("text");
    for name in [
        "interface_xdp_redirected_total",
        "interface_queue_stalls_total",
        "socket_unserved_total",
        "socket_rx_ring_full_total",
    ] {
        assert!(
            told.contains(&format!("# TYPE tickgate_{name} counter")),
            "{name}: {told}"
        );
    }
    held_against_the_reference(&told);
}

#[test]
fn prometheus_scrapes_it_and_each_query_of_the_dashboard_has_an_answer() {
    let (Some(server), Some(_)) = (program("prometheus"), program("promtool")) else {
        return;
    };
    let trading = Rehearsal::start(&[]);
    let (mut exporter, port) = exporter(&trading.socket);
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("prometheus.yml");
    let rules = deployed().join("tickgate.rules.yml");
    let text = format!(
        "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: [\"{}\"]\nscrape_configs:\n\
         - job_name: tickgate\n  static_configs: [{{ targets: [\"127.0.0.1:{port}\"] }}]\n",
        rules.display()
    );
    fs::write(&config, text).expect("written");
    let at = free_port();
    let mut command = Command::new(server);
    command.arg(format!("--config.file={}", config.display()));
    command.arg(format!(
        "--storage.tsdb.path={}",
        folder.path().join("data").display()
    ));
    command.arg(format!("--web.listen-address=127.0.0.1:{at}"));
    let mut prometheus = Process::start("prometheus", command).expect("it starts");
    let server = format!("http://127.0.0.1:{at}");
    let asked = |query: &str| promtool(&["query", "instant", &server, query], "").1;
    let scrapes = seconds("SCRAPE_SECONDS", 8);
    until_after(scrapes, "scrapes", || {
        let found = asked(&format!(
            "sum(count_over_time(tickgate_up[5m])) >= {scrapes}"
        ));
        found.contains("=> ").then_some(())
    });
    let dashboard = fs::read(deployed().join("dashboard.json")).expect("it is there");
    let dashboard: Value = serde_json::from_slice(&dashboard).expect("JSON");
    let mut queries = 0;
    for panel in dashboard["panels"].as_array().expect("panels") {
        let none = Vec::new();
        for target in panel["targets"].as_array().unwrap_or(&none) {
            let query = target["expr"].as_str().expect("a query");
            let query = query.replace("$__rate_interval", "5s");
            let found = asked(&query);
            let is_excused = RIGHTLY_EMPTY.iter().any(|(part, _)| query.contains(part));
            let values = found
                .lines()
                .filter_map(|it| it.split_once("=> ")?.1.split(' ').next());
            // Nothing divided by nothing is an answer, and says nothing.
            let mut values = values.filter_map(|it| it.parse::<f64>().ok());
            let has_number = values.any(f64::is_finite);
            assert!(has_number || is_excused, "{query}: {found}");
            queries += 1;
        }
    }
    assert!(queries > 30, "{queries}");
    // Nothing is wrong, so nothing rings.
    let alerts = asked("ALERTS{alertstate=\"firing\",severity=\"page\"}");
    assert!(!alerts.contains("=> "), "{alerts}");
    prometheus.end();
    exporter.end();
}

#[test]
fn random_bytes_other_paths_and_slow_clients_leave_it_and_the_gateway_unharmed() {
    let trading = Rehearsal::start(&[]);
    let (mut exporter, port) = exporter(&trading.socket);
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n", "404"),
        ("POST /metrics HTTP/1.1\r\n\r\n", "405"),
        ("hello\r\n\r\n", "400"),
    ] {
        let answer = answered(port, request.as_bytes());
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
    }
    // One that says nothing holds the next one up for two seconds and no longer.
    let silent = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    scraped(port);
    drop(silent);
    let until_ns = monotonic_ns() + seconds("HTTP_SECONDS", 2) * 1_000_000_000;
    let mut random = fastrand::Rng::with_seed(9464);
    let mut thrown = 0;
    while monotonic_ns() < until_ns {
        let mut bytes: Vec<u8> = (0..random.usize(1..12_000))
            .map(|_| random.u8(..))
            .collect();
        bytes.extend(b"\r\n\r\n");
        let answer = answered(port, &bytes);
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
            "{answer}"
        );
        thrown += 1;
    }
    assert!(thrown > 10, "{thrown}");
    let text = scraped(port);
    assert!(text.contains("\ntickgate_up 1\n"), "{text}");
    drop(trading);
    assert!(scraped(port).contains("\ntickgate_up 0\n"));
    exporter.end();
}
