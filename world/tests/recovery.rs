//! Recovery over real sockets, in network namespaces: an exchange whose lines lose packets, and a gateway that asks
//! its re-request and snapshot servers.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]
#![allow(clippy::too_many_lines, reason = "a scenario reads from top to bottom")]

mod support;

use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use lab::exchange::{GLIMPSE, REREQUEST, write_secret};
use lab::netns::{Lab, Side};
use lab::process::{Process, sibling};
use support::{is_root, stderr};

static NEVER: AtomicBool = AtomicBool::new(false);
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn lossy_lines_and_a_late_start_are_healed_by_requests_and_snapshots() {
    if !is_root() {
        return;
    }
    let lab = Lab::new().expect("a lab");
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| folder.path().join(name);
    let control = file("control").display().to_string();
    let lines = |interface: &str| {
        let line = |group| format!("{{ address = \"{group}\", interface = \"{interface}\" }}");
        ["239.77.0.1:26400", "239.77.0.2:26400"]
            .map(line)
            .join(", ")
    };
    let market = format!(
        "address = \"10.77.2.1:12000\"\ncontrol = \"{control}\"\n[account.demo]\npassword = \"demo\"\n\
         [feed]\nlines = [{}]\nrerequest = \"{REREQUEST}\"\nglimpse = \"{GLIMPSE}\"\n\
         [flow]\nsymbols = 20\nrate = 10000\n",
        lines("10.77.1.1")
    );
    let sim_config = file("sim.toml");
    write_secret(&sim_config, &market).expect("written");
    let mut command = lab.command(Side::Exchange, &sibling("tickgate-sim").expect("built"));
    command.args(["run", "--config"]).arg(&sim_config);
    let mut sim = Process::start_service("exchange", command).expect("it starts");
    sim.await_ready(PATIENCE, &NEVER).expect("it listens");
    let ask = |fault: &str| {
        let mut command = Command::new(sibling("tickgate-sim").expect("built"));
        command.args(["ctl", "--config"]).arg(&sim_config);
        let output = command.args(["fault", fault]).output().expect("it runs");
        assert!(output.status.success(), "{}", stderr(&output));
    };

    // More than is asked for: who joins then needs a snapshot.
    let published = || {
        let mut command = Command::new(sibling("tickgate-sim").expect("built"));
        command
            .args(["status", "--json", "--config"])
            .arg(&sim_config);
        let output = command.output().expect("it runs");
        let status: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        status["feed"]["messages"].as_u64().expect("a counter")
    };
    while published() < 20_000 {}

    let report = file("report.json");
    let config = file("tickgate.toml");
    let listening = format!(
        "[feed.itch]\nlines = [{}]\n[feed.itch.recovery]\nservers = [\"{REREQUEST}\"]\n\
         [feed.itch.snapshot]\nservers = [\"{GLIMPSE}\"]\nusername = \"demo\"\npassword = \"demo\"\n\
         [session.ouch]\naddress = \"10.77.2.1:12000\"\nusername = \"demo\"\npassword = \"demo\"\n\
         [session.ouch.risk]\norder_qty_max = 1\nnotional_max_dollars = 1\ncollar_bps = 1\nposition_max = 1\n\
         open_orders_max = 1\norders_per_second_max = 1\ngross_exposure_max_dollars = 1\n\
         net_exposure_max_dollars = 1\nloss_max_dollars = 1\n\
         [strategy.ears]\nkind = \"probe\"\nfeed = \"itch\"\nsession = \"ouch\"\n\
         [strategy.ears.parameters]\nevery = 1000000000\n\
         [telemetry]\njson = \"{}\"\ntable = false\n",
        lines("feed0"),
        report.display()
    );
    write_secret(&config, &listening).expect("written");
    let mut command = lab.command(Side::Gateway, &sibling("tickgate").expect("built"));
    command.args(["run", "--config"]).arg(&config);
    command.stdout(Stdio::null()).env("RUST_LOG", "info");
    let mut gateway = Process::start("gateway", command).expect("it starts");
    let mut tells = |what: &str| {
        let told = gateway.await_line(what, PATIENCE, &NEVER);
        told.unwrap_or_else(|error| panic!("{what}: {error}"));
    };
    // It joins in the middle of the session.
    tells("a snapshot took the place of what was lost");
    ask("on = \"lines\"; do = \"drop\"; share = 0.01; at_s = 0; for_s = 1000");
    tells("asked for and filled");
    ask("on = \"rerequest\"; do = \"drop\"; at_s = 0; for_s = 2");
    tells("books are stale");
    tells("took the place of what was lost");
    ask("on = \"line_a\"; do = \"reorder\"; share = 0.1; by_ms = 1; at_s = 0; for_s = 1000");
    tells("asked for and filled");

    gateway.signal(libc::SIGTERM);
    assert!(gateway.wait(PATIENCE, &NEVER).expect("it ends"));
    let text = std::fs::read_to_string(&report).expect("a report");
    let report: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let count = |stage: &str, name: &str| {
        let count = report["runs"][0]["counters"][stage]["itch"][name].as_u64();
        count.unwrap_or_else(|| panic!("{stage}.{name}"))
    };
    assert!(count("feed", "snapshots_joined") >= 2);
    assert!(count("feed", "holes_recovered") > 0);
    assert!(count("recovery", "requests_timed_out") > 0);
    assert_eq!(count("recovery", "snapshots_given_up"), 0);
    eprintln!(
        "{} messages, {} recovered, {} snapshots, {} unknown references",
        count("feed", "messages"),
        count("recovery", "messages_recovered"),
        count("feed", "snapshots_joined"),
        count("feed", "missing_ref"),
    );
    sim.end();
}
