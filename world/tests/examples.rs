//! The configuration files that a newcomer begins with: an editor's schema accepts them, and the lab runs.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod desk;
mod support;

use std::fs::{self, Permissions};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use desk::{NEVER, until};
use lab::process::{Process, sibling};
use serde_json::Value;
use support::{python_with, stderr, tool};

const SOON: Duration = Duration::from_secs(30);

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/examples")
}

/// What a JSON Schema validator of its own makes of TOML files: a line for each fault.
fn judged(python: &Path, schema: &Path, files: &[PathBuf]) -> Vec<String> {
    let program = "import json, sys, tomllib, jsonschema\n\
        schema = json.load(open(sys.argv[1]))\n\
        jsonschema.Draft202012Validator.check_schema(schema)\n\
        judge = jsonschema.Draft202012Validator(schema)\n\
        for file in sys.argv[2:]:\n\
        \x20   for fault in judge.iter_errors(tomllib.load(open(file, 'rb'))):\n\
        \x20       print(fault.json_path, fault.message)\n";
    let mut command = Command::new(python);
    let output = command
        .args(["-c", program])
        .arg(schema)
        .args(files)
        .output();
    let output = output.expect("it starts");
    assert!(output.status.success(), "{}", stderr(&output));
    let said = String::from_utf8_lossy(&output.stdout);
    said.lines().map(str::to_owned).collect()
}

#[test]
fn schema_accepts_each_example_and_names_what_is_misspelt() {
    let Some(python) = python_with("jsonschema") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let schema = folder.path().join("schema.json");
    let printed = tool("tickgate", &["schema"]);
    assert!(printed.status.success(), "{}", stderr(&printed));
    fs::write(&schema, &printed.stdout).expect("it can be written");

    let mut files: Vec<PathBuf> = ["two-nics", "one-nic", "many-channels", "lab"]
        .map(|name| examples().join(format!("{name}.toml")))
        .into();
    files.push(examples().join("../first.toml"));
    assert_eq!(judged(&python, &schema, &files), [""; 0]);

    let wrong = folder.path().join("wrong.toml");
    let text = "[feed.a]\nlines = [{ adress = \"1.2.3.4:5\" }]\nvenue = \"nyse\"\nstale_ms = \"2 s\"\n[sesion.x]\n";
    fs::write(&wrong, text).expect("it can be written");
    let faults = judged(&python, &schema, &[wrong]).join("\n");
    for part in [
        "'adress'",
        "'address' is a required",
        "'nyse'",
        "'2 s'",
        "'sesion'",
    ] {
        assert!(faults.contains(part), "{part}: {faults}");
    }
}

/// The lab's two files on ports that nobody has, in a folder of its own.
fn lab_files(folder: &Path) {
    let taken: Vec<_> = (0..4)
        .map(|_| UdpSocket::bind("127.0.0.1:0").expect("a port"))
        .collect();
    let orders = TcpListener::bind("127.0.0.1:0").expect("a port");
    let snapshots = TcpListener::bind("127.0.0.1:0").expect("a port");
    let udp = |at: usize| taken[at].local_addr().expect("bound").port();
    let ports = [
        ("12000", orders.local_addr().expect("bound").port()),
        ("26477", udp(0)),
        ("26478", udp(1)),
        ("26479", udp(2)),
        ("26480", snapshots.local_addr().expect("bound").port()),
    ];
    for name in ["lab.toml", "lab-sim.toml"] {
        let mut text = fs::read_to_string(examples().join(name)).expect("it is there");
        for (port, free) in ports {
            text = text.replace(&format!("127.0.0.1:{port}"), &format!("127.0.0.1:{free}"));
        }
        let file = folder.join(name);
        fs::write(&file, text).expect("it can be written");
        fs::set_permissions(&file, Permissions::from_mode(0o640)).expect("it is ours");
    }
}

#[test]
fn lab_of_two_files_trades_on_one_machine() {
    trades(&[]);
}

/// A day without an accident: what the sandbox refuses in it would be refused in anybody's.
#[test]
fn lab_trades_in_the_sandbox_and_nothing_is_refused() {
    let refused = trades(&["sandbox.mode=enforce", "sandbox.require=filter"]);
    assert_eq!(refused, 0);
}

/// Trades in the lab with these settings; how many system calls the sandbox refused.
fn trades(settings: &[&str]) -> u64 {
    let folder = tempfile::tempdir().expect("a folder");
    lab_files(folder.path());
    let report = folder.path().join("report.json");
    let program = |name: &str, file: &str| {
        let mut command = Command::new(sibling(name).expect("the workspace is built"));
        command
            .args(["run", "--config"])
            .arg(folder.path().join(file));
        command
    };
    let mut exchange = Process::start("exchange", program("tickgate-sim", "lab-sim.toml"))
        .expect("the exchange starts");
    exchange
        .await_line("listening on", SOON, &NEVER)
        .expect("it listens");
    let mut command = program("tickgate", "lab.toml");
    let socket = folder.path().join("control.sock").display().to_string();
    command.args(["--set", &format!("telemetry.json={}", report.display())]);
    command.args(["--set", &format!("control.socket={socket}")]);
    for setting in settings {
        command.args(["--set", setting]);
    }
    let mut gateway = Process::start_service("gateway", command).expect("the gateway starts");
    gateway.await_ready(SOON, &NEVER).expect("it is ready");
    until("ten messages of the exchange, most of them answers", || {
        let told = tool(
            "tickgate",
            &["ctl", "--socket", &socket, "--json", "sessions"],
        );
        let told: Value = serde_json::from_slice(&told.stdout).ok()?;
        (told["sessions"][0]["next_seq"].as_u64()? > 10).then_some(())
    });
    gateway.signal(libc::SIGTERM);
    assert!(
        gateway.wait(SOON, &NEVER).expect("it ends"),
        "{:?}",
        gateway.said
    );
    let report: Value =
        serde_json::from_slice(&fs::read(report).expect("it was written")).expect("JSON");
    let run = if report["runs"].is_array() {
        &report["runs"][0]
    } else {
        &report
    };
    assert_eq!(run["lost"], 0, "{run}");
    let orders = run["orders"].as_u64().expect("a number");
    assert!(orders > 0 && run["acks"] == orders, "{run}");
    run["counters"]["control"]["sandbox"]["refused"]
        .as_u64()
        .expect("it is counted")
}
