//! A reload of a gateway that trades, in the sandbox: by `tickgate ctl reload` and by SIGHUP, all of it or nothing.

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
