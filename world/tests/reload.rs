//! A reload of a gateway that trades, in the sandbox: by `tickgate ctl reload` and by SIGHUP, all of it or nothing. And the
//! passwords of its configuration, which are nowhere else.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod desk;
mod rehearsal;
mod support;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use desk::{NEVER, until};
use rehearsal::Rehearsal;
use serde_json::Value;
use support::{stderr, tool};

const SOON: Duration = Duration::from_secs(30);

/// Writes the gateway's file anew, as an editor does: another file of the same name.
fn edit(lab: &Rehearsal, from: &str, to: &str) {
    let file = lab.folder.path().join("lab.toml");
    let text = fs::read_to_string(&file).expect("it is there");
    assert!(text.contains(from), "{from}: {text}");
    let written = lab.folder.path().join("written");
    let text = text.replace(from, to);
    lab::exchange::write_secret(&written, &text).expect("it can be written");
    fs::rename(&written, &file).expect("it takes the other's place");
}

/// What it answers as JSON, and its exit status.
fn asked(lab: &Rehearsal, question: &str) -> (Value, Option<i32>) {
    let output = tool(
        "tickgate",
        &["ctl", "--socket", &lab.socket, "--json", question],
    );
    let answer = serde_json::from_slice(&output.stdout);
    let answer = answer.unwrap_or_else(|error| panic!("{error}: {}", stderr(&output)));
    (answer, output.status.code())
}

fn order_qty_max(lab: &Rehearsal) -> Option<u64> {
    asked(lab, "limits").0["limits"][0]["order_qty_max"].as_u64()
}

/// Keys that were refused, each with why.
fn refused(answer: &Value) -> Vec<String> {
    let changes = answer["reloaded"]["changes"].as_array().expect("a list");
    let refused = changes.iter().filter(|it| it["refused"].is_string());
    refused
        .map(|it| format!("{}: {}", it["key"], it["refused"]))
        .collect()
}

#[test]
fn reload_does_all_that_can_change_or_nothing_and_says_which_key_cannot() {
    let lab = Rehearsal::start(&["sandbox.mode=enforce", "sandbox.require=filter"]);

    edit(&lab, "order_qty_max = 1000", "order_qty_max = 900");
    let (answer, status) = asked(&lab, "reload");
    let told = &answer["reloaded"];
    assert_eq!(
        (status, &told["is_applied"], &told["is_taken"]),
        (Some(0), &true.into(), &true.into()),
        "{answer}"
    );
    assert_eq!(order_qty_max(&lab), Some(900));

    edit(&lab, "order_qty_max = 900", "order_qty_max = 800");
    edit(&lab, "huge_pages = false", "huge_pages = true");
    let (answer, status) = asked(&lab, "reload");
    assert_eq!(
        (status, &answer["reloaded"]["is_applied"]),
        (Some(1), &false.into())
    );
    let keys = refused(&answer);
    assert!(
        keys.len() == 1
            && keys[0].contains("host.huge_pages")
            && keys[0].contains("needs a restart"),
        "{keys:?}"
    );
    assert_eq!(order_qty_max(&lab), Some(900));

    edit(&lab, "huge_pages = true", "huge_pages = false");
    edit(&lab, "order_qty_max = 800", "order_qty_max = 901");
    let (answer, status) = asked(&lab, "reload");
    let keys = refused(&answer);
    assert!(
        status == Some(1)
            && keys[0].contains("limits set --session ouch order_qty_max=901 --confirm"),
        "{keys:?}"
    );

    edit(&lab, "order_qty_max = 901", "order_qty_max = \"many\"");
    let (answer, status) = asked(&lab, "reload");
    let faults = answer["reloaded"]["faults"].to_string();
    assert!(
        status == Some(2) && faults.contains("session.ouch.risk.order_qty_max"),
        "{answer}"
    );
    assert_eq!(order_qty_max(&lab), Some(900));

    // The log has errors alone from here on: nobody hears of the last question.
    edit(&lab, "order_qty_max = \"many\"", "order_qty_max = 700");
    edit(&lab, "[host]", "[telemetry]\nlog_level = \"error\"\n[host]");
    lab.gateway.signal(libc::SIGHUP);
    until("SIGHUP is heard", || {
        (order_qty_max(&lab)? == 700).then_some(())
    });
    asked(&lab, "positions");

    lab.gateway.signal(libc::SIGTERM);
    let Rehearsal { mut gateway, .. } = lab;
    assert!(
        gateway.wait(SOON, &NEVER).expect("it ends"),
        "{:?}",
        gateway.said
    );
    let said = gateway.said.join("\n");
    for line in [
        "reload: session.ouch.risk.order_qty_max: 1000 -> 900",
        "reload: host.huge_pages: false -> true: needs a restart",
        "nothing is reloaded: 1 of 2 keys that differ cannot change now",
        "SIGHUP: reload",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert!(!said.contains("positions"), "{said}");
}

/// Passwords that nothing else contains; SoupBinTCP's has ten characters.
const PASSWORD: &str = "qZx7WvKp3J";
const ANOTHER: &str = "hYm5TrBd8C";

/// Whether a password is somewhere in it, in any case: SoupBinTCP knows none.
fn has_password(bytes: &[u8]) -> bool {
    [PASSWORD, ANOTHER].iter().any(|password| {
        let mut windows = bytes.windows(password.len());
        windows.any(|it| it.eq_ignore_ascii_case(password.as_bytes()))
    })
}

/// Every file below a folder.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let below = paths.flat_map(|path| {
        if path.is_dir() {
            files_below(&path)
        } else {
            vec![path]
        }
    });
    below.collect()
}

/// What the tools say of a gateway that trades, and of what it has written: each by what was asked.
fn everything_said(lab: &Rehearsal, out: &Path) -> Vec<(String, Vec<u8>)> {
    let config = lab.folder.path().join("lab.toml");
    let config = config.to_str().expect("text");
    let [journal, slow] = ["journal", "slow"].map(|name| out.join(name).display().to_string());
    let at = ["--socket", &lab.socket];
    let mut asked: Vec<Vec<&str>> = vec![
        vec!["check", "--config", config],
        vec!["journal", &journal],
        vec!["journal", &journal, "--json"],
        vec!["journal", &journal, "--executions"],
        vec!["why", &slow],
        [&["metrics", "--once"][..], &at].concat(),
        [&["ctl"][..], &at, &["reload"]].concat(),
        [&["ctl"][..], &at, &["--json", "reload"]].concat(),
    ];
    for verb in [
        "status",
        "sessions",
        "report",
        "orders",
        "positions",
        "limits",
    ] {
        asked.push([&["ctl"][..], &at, &[verb]].concat());
        asked.push([&["ctl"][..], &at, &["--json", verb]].concat());
    }
    let said = asked.into_iter().map(|arguments| {
        let output = tool("tickgate", &arguments);
        let said = [output.stdout, output.stderr].concat();
        assert!(!said.is_empty(), "{arguments:?} says nothing");
        (arguments.join(" "), said)
    });
    said.collect()
}

/// Settings of a gateway that trades and writes whatever it can write, below this folder.
fn all_is_written_below(folder: &Path) -> Vec<String> {
    let folders = [
        ("journal.folder", "journal"),
        ("journal.drop_copy", "copies"),
        ("feed.sim.capture.folder", "captures"),
        ("host.state_dir", "state"),
        ("telemetry.slow_orders", "slow"),
        ("telemetry.hgrm_dir", "state"),
    ];
    let others = [
        "telemetry.log_level=trace",
        "telemetry.table=true",
        "feed.sim.capture.frames=all",
        "strategy.probe.parameters.takes=true",
        "strategy.probe.parameters.every=10",
    ];
    let folders = folders.map(|(key, name)| format!("{key}={}", folder.join(name).display()));
    folders
        .into_iter()
        .chain(others.map(str::to_owned))
        .collect()
}

#[test]
fn passwords_are_in_no_journal_capture_log_report_or_answer() {
    let out = tempfile::tempdir().expect("a folder");
    let path = |name: &str| out.path().join(name);
    for name in ["captures", "copies", "state"] {
        fs::create_dir(path(name)).expect("a folder");
    }
    let settings = all_is_written_below(out.path());
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let output = File::create(path("output")).expect("created");
    let mut lab = Rehearsal::start_with(PASSWORD, output.into(), &settings);
    until("executions", || {
        let copies = files_below(&path("copies"));
        copies
            .iter()
            .find(|it| fs::metadata(it).is_ok_and(|it| it.len() > 0))
            .map(|_| ())
    });
    // One that differs from the one in force.
    edit(&lab, PASSWORD, ANOTHER);
    let mut all = everything_said(&lab, out.path());
    lab.gateway.signal(libc::SIGTERM);
    let ended = lab.gateway.wait(SOON, &NEVER).expect("it ends");
    assert!(ended, "{:?}", lab.gateway.said);
    lab.exchange.end();
    for (name, process) in [("gateway", &lab.gateway), ("exchange", &lab.exchange)] {
        all.push((name.to_owned(), process.said.join("\n").into_bytes()));
    }
    let configured = lab.folder.path().join("lab.toml");
    assert!(has_password(&fs::read(&configured).expect("it is there")));
    let written = [out.path(), lab.folder.path()].map(files_below).concat();
    for file in written
        .iter()
        .filter(|it| it.extension().is_none_or(|it| it != "toml"))
    {
        let shown = file.display().to_string();
        assert!(!has_password(shown.as_bytes()), "{shown}");
        all.push((shown, fs::read(file).unwrap_or_default()));
    }
    let bytes: usize = all.iter().map(|(_, said)| said.len()).sum();
    eprintln!("{} texts and files, {bytes} bytes", all.len());
    for name in [
        "/journal/",
        "/captures/",
        "/copies/",
        "/output",
        "/slow",
        "report.json",
    ] {
        let mut found = all
            .iter()
            .filter(|(of, _)| of.starts_with('/') && of.contains(name));
        assert!(
            found.any(|(_, said)| said.len() > 100),
            "{name}: nothing was written"
        );
    }
    for (name, said) in &all {
        assert!(!has_password(said), "{name} has a password");
    }
}
