//! The configuration files that a newcomer begins with: an editor's schema accepts them, and the lab runs.

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
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use desk::{NEVER, until};
use rehearsal::Rehearsal;
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
    let rehearsal = Rehearsal::start(settings);
    let Rehearsal {
        mut gateway,
        socket,
        folder,
        exchange: _exchange,
    } = rehearsal;
    let report = folder.path().join("report.json");
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
    run["counters"]["control"]["sandbox"]["calls_refused"]
        .as_u64()
        .expect("it is counted")
}
