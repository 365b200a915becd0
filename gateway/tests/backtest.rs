//! `tickgate backtest` hands over to the program beside it.

#![allow(clippy::expect_used, reason = "tests")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

fn backtest(program: &Path) -> Output {
    let mut command = Command::new(program);
    let arguments = ["backtest", "day.gz", "--latency", "5us", "--help"];
    command.args(arguments).output().expect("it runs")
}

#[test]
fn every_argument_and_the_status_are_those_of_the_program_beside_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let mine = folder.path().join("mine");
    std::fs::copy(env!("CARGO_BIN_EXE_tickgate"), &mine).expect("copied");
    let alone = backtest(&mine);
    let error = String::from_utf8_lossy(&alone.stderr);
    assert_eq!(alone.status.code(), Some(1));
    assert!(error.contains("mine-backtest: No such file"), "{error}");

    let beside = folder.path().join("mine-backtest");
    std::fs::write(&beside, "#!/bin/sh\necho \"$@\"\nexit 7\n").expect("written");
    std::fs::set_permissions(&beside, PermissionsExt::from_mode(0o755)).expect("set");
    let output = backtest(&mine);
    assert_eq!(output.status.code(), Some(7));
    assert_eq!(output.stdout, b"day.gz --latency 5us --help\n");
}
