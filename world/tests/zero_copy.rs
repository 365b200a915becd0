//! Zero-copy for real, in short: a virtual machine whose driver grants it. `make zero-copy` sends a million frames.

#![allow(clippy::expect_used, reason = "tests")]

use std::io::Write;
use std::path::Path;
use std::process::Command;

use lab::process::sibling;

/// How much is sent here, and how long the machine may take.
const SHORT: [&str; 8] = [
    "--frames",
    "100000",
    "--frames-beside",
    "20000",
    "--messages",
    "5000",
    "--seconds-max",
    "270",
];

#[test]
fn kernel_grants_zero_copy_both_ways_no_frame_is_lost_and_orders_are_answered() {
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/unpacked");
    let output = Command::new(sibling("tickgate-zero-copy").expect("the workspace is built"))
        .args(["run", "--unpacked"])
        .arg(unpacked)
        .args(SHORT)
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    if let Some(skipped) = said.lines().find(|line| line.starts_with("SKIPPED: ")) {
        // Past the test harness, which shows what a passing test prints to nobody. A package that cannot be had is no
        // failure, in the gate either.
        let _ = writeln!(std::io::stderr(), "{skipped}");
        return;
    }
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{shown}\n{said}");
    println!("{shown}");
    for what in [
        "frames: receive zero-copy, send zero-copy, huge pages",
        "frames: receive native-copy, send copy",
        "job zero-delegated: receive zero-copy, send zero-copy",
        "zero-copy: well",
    ] {
        assert!(shown.contains(what), "{what}");
    }
}
