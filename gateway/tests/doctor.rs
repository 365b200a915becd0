//! `tickgate doctor` as a script meets it: what it prints, and its status.

#![allow(clippy::expect_used, reason = "tests")]

use std::path::Path;
use std::process::{Command, Output};

fn doctor(root: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tickgate"));
    let command = command.arg("doctor").arg("--root").arg(root);
    command.args(arguments).output().expect("it runs")
}

fn put(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    std::fs::write(path, text).expect("written");
}

#[test]
fn status_says_whether_the_host_is_fit() {
    let root = tempfile::tempdir().expect("a folder");
    let root = root.path();
    let status = |arguments: &[&str]| doctor(root, arguments).status.code();
    // What is not visible is neither good nor bad.
    assert_eq!(status(&["--strict"]), Some(0));
    put(root, "proc/swaps", "Filename\n/dev/sda2 partition 1 0 -2\n");
    assert_eq!((status(&[]), status(&["--strict"])), (Some(0), Some(1)));
    put(root, "proc/sys/kernel/osrelease", "5.15.0-91-generic\n");
    assert_eq!(status(&[]), Some(1));
    assert_eq!(status(&["--config", "/tg-none.toml"]), Some(2));
}

#[test]
fn table_and_json_tell_the_same() {
    let root = tempfile::tempdir().expect("a folder");
    let root = root.path();
    put(root, "proc/swaps", "Filename\n/dev/sda2 partition 1 0 -2\n");
    put(root, "sys/class/net/tg0/device/numa_node", "0\n");
    let table = doctor(root, &["--explain"]);
    let table = String::from_utf8(table.stdout).expect("text");
    let object = doctor(root, &["--json"]);
    let object: serde_json::Value = serde_json::from_slice(&object.stdout).expect("JSON");
    let findings = object["findings"].as_array().expect("a list");
    assert_eq!(table.matches("    wanted: ").count(), findings.len());
    for finding in findings {
        let text = |key: &str| finding[key].as_str().unwrap_or_default();
        let name = match text("subject") {
            "" => text("check").to_owned(),
            subject => format!("{subject}: {}", text("check")),
        };
        assert!(
            table.contains(&format!("{name}: {}\n", text("found"))),
            "{name}"
        );
        for key in ["wanted", "why", "how"] {
            assert!(table.contains(text(key)), "{name}: {key}");
        }
    }
    let swap = findings.iter().find(|it| it["check"] == "swap");
    assert_eq!(swap.expect("swap")["verdict"], "costs");
    assert!(findings.iter().any(|it| it["subject"] == "tg0"));
    assert_eq!(object["costs"], 1);
}

#[test]
fn certificate_that_was_kept_says_what_has_drifted() {
    let root = tempfile::tempdir().expect("a folder");
    let root = root.path();
    let kept = root.join("host.json").display().to_string();
    put(root, "proc/swaps", "Filename\n");
    put(root, "proc/sys/net/core/busy_poll", "0\n");
    assert_eq!(doctor(root, &["--save", &kept]).status.code(), Some(0));
    let same = doctor(root, &["--against", &kept]);
    assert_eq!(same.status.code(), Some(0));
    let said = String::from_utf8(same.stdout).expect("text");
    assert!(said.ends_with(", 0 drifted\n"), "{said}");

    put(root, "proc/swaps", "Filename\n/dev/sda2 partition 1 0 -2\n");
    let drifted = doctor(root, &["--against", &kept]);
    assert_eq!(drifted.status.code(), Some(1));
    let said = String::from_utf8(drifted.stdout).expect("text");
    assert!(
        said.contains("\ndrifted: swap: was none, is /dev/sda2\n"),
        "{said}"
    );
    assert!(said.ends_with(", 1 drifted\n"), "{said}");
    let object = doctor(root, &["--json", "--against", &kept]);
    let object: serde_json::Value = serde_json::from_slice(&object.stdout).expect("JSON");
    assert_eq!(object["drifted"][0], "swap: was none, is /dev/sda2");
    assert_eq!(
        doctor(root, &["--against", "/tg-none.json"]).status.code(),
        Some(2)
    );
}

#[test]
fn measured_is_said_beside_what_is_read() {
    let output = doctor(Path::new("/"), &["--measure", "1", "--json"]);
    let object: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let findings = object["findings"].as_array().expect("a list");
    assert!(
        findings.iter().any(|it| it["check"] == "jitter"),
        "{object:#}"
    );
    if rt::cpu::allowed().len() > 1 {
        let core = &object["measured"]["cores"][0];
        assert!(core["stalls"]["looks"].as_u64() > Some(1000), "{core}");
    }
}
