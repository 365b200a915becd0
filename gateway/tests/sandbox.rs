//! The sandbox as the kernel keeps it: a process of this test's own goes in and tries what it may not.
//!
//! What enters never comes out, so each test that enters is run again, by itself, in a process of its own.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "tests"
)]

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Output};

use gateway::service::sandbox::policy::{Kind, Policy};
use gateway::service::sandbox::{Mode, Rung, Sandbox, SandboxOptions};

/// Set in the process that enters.
const INSIDE: &str = "TICKGATE_SANDBOX_TEST";

/// Runs the test of this name in a process of its own; `None`: this is that process.
fn outside(test: &str) -> Option<Output> {
    if std::env::var_os(INSIDE).is_some() {
        return None;
    }
    let mut command = Command::new(std::env::current_exe().expect("a program"));
    let output = command
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .output();
    Some(output.expect("it starts"))
}

fn well(output: &Output) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?} {said}", output.status);
}

fn enforced(policy: Policy) -> Sandbox {
    let options = SandboxOptions {
        mode: Mode::Enforce,
        require: Rung::Filter,
    };
    Sandbox::new(policy, options).expect("it gets ready")
}

/// Whether files are kept, too; where the kernel has no Landlock it says so aloud.
fn enter(sandbox: &Sandbox, kind: Kind) -> bool {
    let (rung, reasons) = sandbox.enter(kind).expect("filters hold");
    if rung < Rung::Full {
        eprintln!("skipped, files and ports: {reasons:?}");
    }
    rung == Rung::Full
}

fn denied<T>(result: std::io::Result<T>) {
    let error = result.err().expect("it is refused");
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
}

fn status(key: &str) -> String {
    let text = fs::read_to_string("/proc/thread-self/status").expect("it can be read");
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    line.expect("a line")
        .trim_start_matches(':')
        .trim()
        .to_owned()
}

#[test]
fn files_outside_are_refused_and_those_of_the_folder_are_not() {
    if let Some(output) = outside("files_outside_are_refused_and_those_of_the_folder_are_not") {
        return well(&output);
    }
    let ours = tempfile::tempdir().expect("a folder");
    let other = tempfile::tempdir().expect("a folder");
    let configuration = other.path().join("tickgate.toml");
    fs::write(&configuration, "[host]").expect("it can be written");
    let sandbox = enforced(Policy {
        folders: [ours.path().to_owned()].into(),
        read: vec![PathBuf::from("/dev/null")],
        ..Policy::default()
    });
    if !enter(&sandbox, Kind::House) {
        return;
    }
    denied(fs::read_to_string("/etc/passwd"));
    denied(fs::read(&configuration));
    denied(fs::write(&configuration, "[host]\nlock_memory = false"));
    denied(fs::remove_file(&configuration));
    let [draft, file] = ["draft", "file"].map(|name| ours.path().join(name));
    fs::write(&draft, "day").expect("it is ours");
    fs::rename(&draft, &file).expect("it is ours");
    assert_eq!(fs::read_to_string(&file).expect("it is ours"), "day");
    // A thread that is begun inside is inside.
    let thread = std::thread::spawn(|| denied(fs::read_to_string("/etc/passwd")));
    thread.join().expect("it ends well");
    fs::remove_file(&file).expect("it is ours");
}

#[test]
fn folder_that_is_not_there_is_counted_and_the_root_folder_refuses_the_start() {
    let test = "folder_that_is_not_there_is_counted_and_the_root_folder_refuses_the_start";
    if let Some(output) = outside(test) {
        return well(&output);
    }
    let options = SandboxOptions {
        mode: Mode::Enforce,
        require: Rung::Filter,
    };
    for root in ["/", "/usr/.."] {
        let policy = Policy {
            folders: [PathBuf::from(root)].into(),
            ..Policy::default()
        };
        let refused = Sandbox::new(policy, options).expect_err("everything lies below it");
        assert!(
            refused.contains("expected a folder of its own"),
            "{refused}"
        );
    }
    // A file stands where the folder should be made.
    let ours = tempfile::tempdir().expect("a folder");
    let file = ours.path().join("file");
    fs::write(&file, "").expect("it can be written");
    let sandbox = enforced(Policy {
        folders: [ours.path().to_owned(), file.join("below")].into(),
        ..Policy::default()
    });
    enter(&sandbox, Kind::House);
    assert_eq!(sandbox.counters().folders_missing.get(), 1);
}

#[test]
fn ports_of_nobody_are_refused_and_those_of_the_policy_are_not() {
    if let Some(output) = outside("ports_of_nobody_are_refused_and_those_of_the_policy_are_not") {
        return well(&output);
    }
    let [exchange, other] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"));
    let [exchange_at, other_at] = [&exchange, &other].map(|it| it.local_addr().expect("bound"));
    let sandbox = enforced(Policy {
        ports: [exchange_at.port()].into(),
        ..Policy::default()
    });
    if !enter(&sandbox, Kind::Hot) {
        return;
    }
    denied(TcpStream::connect(other_at));
    TcpStream::connect(exchange_at).expect("the exchange's port");
}

#[test]
fn call_that_no_rule_allows_fails_is_counted_and_told_once() {
    if let Some(output) = outside("call_that_no_rule_allows_fails_is_counted_and_told_once") {
        return well(&output);
    }
    let sandbox = enforced(Policy::default());
    let mut told = BTreeMap::new();
    assert!(sandbox.tell(&mut told).is_empty());
    enter(&sandbox, Kind::House);
    for _ in 0..3 {
        denied(std::os::unix::fs::symlink("/nowhere", "/tmp/tg-link"));
    }
    let lines = sandbox.tell(&mut told);
    let number = libc::SYS_symlink;
    let all = format!("sandbox: system call {number} refused 3 times");
    assert!(lines.len() == 1 && lines[0].starts_with(&all), "{lines:?}");
    assert_eq!(sandbox.counters().calls_refused.get(), 3);
    assert!(sandbox.tell(&mut told).is_empty());
}

#[test]
fn hot_core_opens_no_file() {
    if let Some(output) = outside("hot_core_opens_no_file") {
        return well(&output);
    }
    let sandbox = enforced(Policy::default());
    enter(&sandbox, Kind::Hot);
    denied(fs::File::open("/dev/null"));
    let mut told = BTreeMap::new();
    sandbox.tell(&mut told);
    let open = usize::try_from(libc::SYS_openat).expect("small");
    assert_eq!(told.get(&open), Some(&1), "{told:?}");
}

#[test]
fn thread_that_a_hot_core_begins_ends_the_process() {
    let Some(output) = outside("thread_that_a_hot_core_begins_ends_the_process") else {
        enter(&enforced(Policy::default()), Kind::Hot);
        let thread = std::thread::Builder::new().spawn(|| ());
        panic!("still there: {thread:?}");
    };
    assert_eq!(output.status.signal(), Some(libc::SIGSYS), "{output:?}");
}

#[test]
fn program_that_is_started_ends_the_process_by_sigsys() {
    let name = "program_that_is_started_ends_the_process_by_sigsys";
    let Some(output) = outside(name) else {
        use std::os::unix::process::CommandExt;
        enter(&enforced(Policy::default()), Kind::House);
        let error = Command::new("/bin/true").exec();
        panic!("still there: {error}");
    };
    assert_eq!(output.status.signal(), Some(libc::SIGSYS), "{output:?}");
}

#[test]
fn mounts_of_its_own_end_the_process_by_sigsys() {
    let Some(output) = outside("mounts_of_its_own_end_the_process_by_sigsys") else {
        enter(&enforced(Policy::default()), Kind::House);
        let error = nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS);
        panic!("still there: {error:?}");
    };
    assert_eq!(output.status.signal(), Some(libc::SIGSYS), "{output:?}");
}

#[test]
fn capabilities_are_gone_and_do_not_come_back() {
    if let Some(output) = outside("capabilities_are_gone_and_do_not_come_back") {
        return well(&output);
    }
    let sandbox = enforced(Policy {
        read: vec![PathBuf::from("/proc")],
        ..Policy::default()
    });
    enter(&sandbox, Kind::House);
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(status(set), "0000000000000000", "{set}");
    }
    assert_eq!(
        (status("NoNewPrivs"), status("Seccomp")),
        ("1".to_owned(), "2".to_owned())
    );
    // Raising one is a call that no rule allows.
    let raised = caps::raise(None, caps::CapSet::Effective, caps::Capability::CAP_NET_RAW);
    assert!(raised.is_err());
    assert!(sandbox.tell(&mut BTreeMap::new()).len() <= 2);
    assert!(sandbox.counters().calls_refused.get() >= 1);
}

#[test]
fn what_is_required_and_does_not_hold_refuses_the_start() {
    for (mode, require, is_entered) in [
        (Mode::Off, Rung::None, true),
        (Mode::Off, Rung::Filter, false),
        (Mode::Off, Rung::Full, false),
    ] {
        let options = SandboxOptions { mode, require };
        let sandbox = Sandbox::new(Policy::default(), options).expect("nothing to get ready");
        assert_eq!(
            sandbox.enter(Kind::House).is_ok(),
            is_entered,
            "{require:?}"
        );
    }
}
