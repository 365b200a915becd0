//! A strategy in a crate outside of the workspace, which depends on `tickgate` alone: it is built, and trades on
//! loopback against the exchange's own market.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod desk;
mod support;

use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use desk::{Desk, NEVER};
use lab::process::{Process, sibling};
use serde_json::Value;

/// The workspace's folder.
fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("it is a member")
}

/// The workspace's profiles, so that what is built already is used; without what they say of its own crates, which are built anew.
fn profiles(manifest: &str) -> String {
    let at = manifest.find("[profile.").expect("profiles");
    let is_others = |line: &&str| !line.starts_with("tickgate");
    let lines = manifest[at..].lines().filter(is_others);
    lines.map(|line| format!("{line}\n")).collect()
}

/// What is built anew beside the crate: to another workspace, the project's own crates are other ones.
const OWN_CRATES: [&str; 6] = [
    "tickgate",
    "tickgate-config",
    "tickgate-feed-handler",
    "tickgate-gateway",
    "tickgate-protocol",
    "tickgate-rt",
];

/// Writes the crate, builds it, and says where its program lies.
fn build(folder: &Path) -> PathBuf {
    let workspace = workspace();
    let programs = sibling("tickgate").expect("the workspace is built");
    let programs = programs.parent().expect("a folder");
    let profile = match programs.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(profile) => profile,
    };
    // Optimising them takes minutes, and what is judged here is not how fast they are.
    let hasty: String = OWN_CRATES
        .iter()
        .map(|name| format!("[profile.{profile}.package.{name}]\nopt-level = 0\n"))
        .collect();
    let read = |name: &str| std::fs::read_to_string(workspace.join(name)).expect(name);
    let manifest = format!(
        "[package]\nname = \"outside\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\
         [dependencies]\ntickgate = {{ path = {:?} }}\n[workspace]\n{}\n{hasty}",
        workspace.join("tickgate"),
        profiles(&read("Cargo.toml")),
    );
    std::fs::create_dir(folder.join("src")).expect("made");
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).expect(name);
    write("Cargo.toml", &manifest);
    // The versions that are here already; what the crate does not need is struck out.
    write("Cargo.lock", &read("Cargo.lock"));
    write("src/main.rs", &read("examples/momentum/src/main.rs"));
    let target = programs.parent().expect("a target folder");
    let output = Command::new(env!("CARGO"))
        .args(["build", "--offline", "--quiet", "--profile", profile])
        .arg("--target-dir")
        .arg(target)
        .current_dir(folder)
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", support::stderr(&output));
    programs.join("outside")
}

/// Ports that nobody has now.
fn free_ports() -> (u16, u16) {
    let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
    let udp = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let port = |address: std::io::Result<std::net::SocketAddr>| address.expect("bound").port();
    (port(tcp.local_addr()), port(udp.local_addr()))
}

#[test]
fn strategy_outside_of_the_workspace_needs_tickgate_alone_and_trades() {
    let desk = Desk::new();
    let program = build(desk.folder.path());
    let (orders, line) = free_ports();
    let market = format!(
        "address = \"127.0.0.1:{orders}\"\n[clock]\nwait_for_login_ms = 300\n\
         [flow]\nseed = 7\nsymbols = 4\nrate = 20000\nlimit = 40000\n\
         [feed]\nlines = [{{ address = \"127.0.0.1:{line}\" }}]\n[account.demo]\npassword = \"demo\"\n"
    );
    let mut sim = Command::new(sibling("tickgate-sim").expect("built"));
    sim.args(["run", "--config"])
        .arg(desk.write("sim.toml", &market));
    let mut sim = Process::start_service("exchange", sim).expect("it starts");
    sim.await_ready(Duration::from_secs(10), &NEVER)
        .expect("it listens");

    let config = format!(
        "[feed.itch]\nlines = [{{ address = \"127.0.0.1:{line}\", interface = \"lo\" }}]\n\
         receive = \"udp\"\n[session.ouch]\naddress = \"127.0.0.1:{orders}\"\nusername = \"demo\"\n\
         password = \"demo\"\nsubmit = \"write\"\n[session.ouch.risk]\norder_qty_max = 10000\n\
         notional_max_dollars = 1000000\ncollar_bps = 1000\nposition_max = 1000000\n\
         gross_exposure_max_dollars = 1000000000\nnet_exposure_max_dollars = 1000000000\n\
         loss_max_dollars = 1000000000\nopen_orders_max = 1000\norders_per_second_max = 10000\n\
         [strategy.mine]\nkind = \"momentum\"\nfeed = \"itch\"\nsession = \"ouch\"\n\
         [strategy.mine.parameters]\nrise = 100\n[host]\nlock_memory = false\n\
         [telemetry]\ntable = false\njson = \"{}\"\n",
        desk.path("out.json").display()
    );
    let mut gateway = Command::new(program);
    gateway
        .args(["run", "--config"])
        .arg(desk.write("tickgate.toml", &config))
        .env("RUST_LOG", "info")
        .stdout(Stdio::null());
    let mut gateway = Process::start("gateway", gateway).expect("it starts");
    gateway
        .await_line("session open", Duration::from_secs(20), &NEVER)
        .expect("it trades");
    sim.await_line("the flow is over", Duration::from_secs(30), &NEVER)
        .expect("the market ends");
    gateway.signal(libc::SIGTERM);
    let is_well = gateway
        .wait(Duration::from_secs(5), &NEVER)
        .expect("it ends");
    assert!(is_well, "{:?}", gateway.said);

    let text = std::fs::read_to_string(desk.path("out.json")).expect("a report");
    let report: Value = serde_json::from_str(&text).expect("JSON");
    let counters = &report["runs"][0]["counters"];
    let session = &counters["session"]["ouch"];
    let count = |name: &str| session[name].as_u64().expect("a counter");
    eprintln!(
        "events {}, orders {}, fills {}",
        counters["strategy"]["mine"]["events"],
        count("orders"),
        count("fills")
    );
    assert!(count("orders") > 0 && count("fills") > 0, "{counters}");
    assert_eq!(
        count("orders"),
        count("accepted") + count("rejected"),
        "{session}"
    );
}
