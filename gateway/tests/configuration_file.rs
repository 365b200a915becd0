//! The file with which a gateway is started: who else may read or write it.

#![allow(clippy::expect_used, reason = "tests")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

/// The lab's file, with passwords in it, of this mode; it trades with nobody.
fn tickgate(command: &str, mode: u32, folder: &Path) -> Output {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/examples/lab.toml");
    let text = fs::read_to_string(example).expect("it is there");
    let file = folder.join("lab.toml");
    // No such interface: what is not refused for its mode ends there.
    let text = text.replace("\"lo\"", "\"tg-none\"");
    let text = text.replace("receive = \"udp\"", "receive = \"af_xdp\"");
    fs::write(&file, text).expect("written");
    fs::set_permissions(&file, Permissions::from_mode(mode)).expect("it is ours");
    let mut command_line = Command::new(env!("CARGO_BIN_EXE_tickgate"));
    command_line.args([command, "--config"]).arg(&file);
    command_line.env_remove("RUST_LOG");
    command_line.output().expect("it runs")
}

#[test]
fn file_with_passwords_that_others_can_read_or_write_is_refused_by_run_and_told_by_check() {
    let folder = tempfile::tempdir().expect("a folder");
    for (mode, why) in [
        (0o644, Some("others can read it, and it has a password")),
        (0o642, Some("others can write it, and so set limits")),
        (0o640, None),
    ] {
        let told = |output: &Output| {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(!said.contains("demo\""), "a password is told: {said}");
            let is_told = why.is_some_and(|why| said.contains(why));
            (output.status.code(), is_told)
        };
        let run = tickgate("run", mode, folder.path());
        let status = if why.is_some() { 2 } else { 1 };
        assert_eq!(
            told(&run),
            (Some(status), why.is_some()),
            "{mode:o} {run:?}"
        );
        let check = tickgate("check", mode, folder.path());
        assert_eq!(told(&check), (Some(0), why.is_some()), "{mode:o} {check:?}");
    }
}
