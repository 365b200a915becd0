//! `tickgate-host-tune` on faked hosts: what it turns, that it turns it back, and whom it does not lock out.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests"
)]

mod support;

use std::path::PathBuf;
use std::process::{Command, Output};

use support::Fake;
use tickgate_host::Verdict::Good;
use tickgate_host::tune::{Change, Knob, State, StateFile, Value};
use tickgate_host::{Host, Tree, checks, tune};

/// A slow host, a file for what was before, and a plan in a file as `tickgate doctor --json` prints it.
struct Desk {
    fake: Fake,
    folder: tempfile::TempDir,
}

impl Desk {
    fn new(fake: Fake) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let plan = serde_json::json!({ "plan": fake.plan }).to_string();
        std::fs::write(folder.path().join("plan.json"), plan).expect("written");
        Self { fake, folder }
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state.json")
    }

    fn tune(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tickgate-host-tune"));
        command.args(arguments).arg("--state").arg(self.state());
        command.arg("--root").arg(self.fake.root());
        command.output().expect("it runs")
    }

    fn apply(&self, arguments: &[&str]) -> Output {
        let plan = self.folder.path().join("plan.json").display().to_string();
        let mut all = vec!["apply", "--plan", &plan];
        all.extend(arguments);
        self.tune(&all)
    }
}

fn said(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text + &String::from_utf8_lossy(&output.stderr)
}

/// The default route leaves by the feed's interface.
const ROUTE: &str = "Iface\nens1 00000000 0100A8C0 0003 0 0 0 00000000 0 0 0\n";

#[test]
fn applied_host_is_fit_in_all_that_can_be_turned_and_reverted_it_is_as_it_was() {
    let desk = Desk::new(Fake::slow());
    let before = desk.fake.files();
    let done = desk.apply(&[]);
    assert!(done.status.success(), "{}", said(&done));
    let host = Host::read(desk.fake.root(), &desk.fake.plan);
    let findings = checks::run(&host, &desk.fake.plan);
    let bad: Vec<_> = findings
        .iter()
        .filter(|it| it.verdict != Good)
        .map(|it| (it.name(), &it.found))
        .collect();
    assert!(bad.is_empty(), "{bad:?}");
    let affinity = desk.fake.root().join("proc/irq/40/smp_affinity_list");
    assert_eq!(std::fs::read_to_string(affinity).expect("text"), "0-1\n");

    let undone = desk.tune(&["revert"]);
    assert!(undone.status.success(), "{}", said(&undone));
    assert_eq!(desk.fake.files(), before);
    assert!(!desk.state().exists());
}

#[test]
fn before_and_after_are_shown_and_a_dry_run_changes_nothing() {
    let desk = Desk::new(Fake::slow());
    let before = desk.fake.files();
    let dry = desk.apply(&["--dry-run"]);
    assert!(dry.status.success());
    for line in [
        "/sys/kernel/mm/transparent_hugepage/enabled: always -> madvise",
        "/sys/devices/system/cpu/cpu2/cpufreq/scaling_governor: powersave -> performance",
        "/proc/irq/40/smp_affinity_list: 0-3 -> 0-1",
        "swap on /dev/sda2: /dev/sda2 partition 1048572 7 -2 -> off",
        "ens1: GRO: on -> off",
        "ens1: coalescing: 50 µs, adaptive -> 0 µs",
    ] {
        assert!(
            said(&dry).lines().any(|it| it == line),
            "{line}: {}",
            said(&dry)
        );
    }
    assert_eq!(desk.fake.files(), before);
    assert!(!desk.state().exists());
    assert_eq!(said(&dry), said(&desk.apply(&[])));
    let dry = desk.tune(&["revert", "--dry-run"]);
    assert!(
        said(&dry).contains("ens1: GRO: off -> on"),
        "{}",
        said(&dry)
    );
    assert!(desk.state().exists());
}

#[test]
fn second_apply_changes_nothing_and_what_the_first_found_is_put_back() {
    let desk = Desk::new(Fake::slow());
    let before = desk.fake.files();
    desk.apply(&[]);
    let applied = desk.fake.files();
    assert_eq!(said(&desk.apply(&[])), "nothing to change\n");
    assert_eq!(desk.fake.files(), applied);
    // Somebody turns one in between, and it is applied again.
    desk.fake.put("/proc/sys/net/core/busy_poll", "7\n");
    assert!(said(&desk.apply(&[])).contains("busy_poll: 7 -> 0"));
    desk.tune(&["revert"]);
    assert_eq!(desk.fake.files(), before);
    assert_eq!(said(&desk.tune(&["revert"])), "nothing to change\n");
}

#[test]
fn knob_that_somebody_else_has_turned_is_told_and_put_back_all_the_same() {
    let desk = Desk::new(Fake::slow());
    let before = desk.fake.files();
    desk.apply(&[]);
    desk.fake.put("/proc/sys/net/core/busy_poll", "7\n");
    let told = said(&desk.tune(&["revert"]));
    let line = "/proc/sys/net/core/busy_poll: somebody else has turned it since";
    assert!(told.lines().any(|it| it == line), "{told}");
    assert_eq!(desk.fake.files(), before);
}

#[test]
fn what_was_turned_before_a_boot_is_not_put_back_after_it() {
    let desk = Desk::new(Fake::slow());
    let boot = "/proc/sys/kernel/random/boot_id";
    desk.fake.put(boot, "4f2d\n");
    desk.apply(&[]);
    desk.fake.put(boot, "77aa\n");
    let booted = desk.fake.files();
    assert_eq!(said(&desk.tune(&["revert"])), "nothing to change\n");
    assert_eq!(desk.fake.files(), booted);
}

#[test]
fn throttling_stays_where_hot_cpus_are_not_isolated() {
    let fake = Fake::slow();
    fake.put("/sys/devices/system/cpu/isolated", "3\n");
    let told = said(&Desk::new(fake).apply(&["--dry-run"]));
    assert!(!told.contains("sched_rt_runtime_us"), "{told}");
}

#[test]
fn polled_interface_has_its_interrupts_deferred() {
    let mut fake = Fake::fit();
    fake.wish().busy_poll = true;
    let told = said(&Desk::new(fake).apply(&["--dry-run"]));
    let lines: Vec<&str> = told.lines().collect();
    let folder = "/sys/class/net/ens1";
    let wanted = [
        format!("{folder}/napi_defer_hard_irqs: 0 -> 2"),
        format!("{folder}/gro_flush_timeout: 0 -> 200000"),
    ];
    assert!(
        wanted.iter().all(|it| lines.contains(&it.as_str())),
        "{told}"
    );
}

#[test]
fn interface_of_the_default_route_is_refused_and_nothing_is_changed() {
    let fake = Fake::slow();
    fake.put("/proc/thread-self/net/route", ROUTE);
    let desk = Desk::new(fake);
    let before = desk.fake.files();
    let done = desk.apply(&[]);
    assert_eq!(done.status.code(), Some(1));
    assert!(
        said(&done).contains("ens1 has the default route"),
        "{}",
        said(&done)
    );
    assert_eq!(desk.fake.files(), before);
}

#[test]
fn interface_of_a_login_is_refused() {
    // 10.0.0.9, port 50000, to our port 22; and a connection of ours to a port that is nobody's login.
    let tcp = |port: &str| {
        format!(
            "sl local rem st\n 0: 0100000A:{port} 0900000A:C350 01 00000000:00000000 00:00000000 00000000 0 0 4711 1\n"
        )
    };
    let asked = |fake: Fake| Desk::new(fake).apply(&["--dry-run"]);
    let fake = Fake::slow();
    fake.put("/proc/thread-self/net/tcp", &tcp("0016"));
    assert!(said(&asked(fake)).contains("ens1 has an operator's login"));

    let fake = Fake::slow();
    fake.put("/proc/thread-self/net/tcp", &tcp("1F90"));
    assert!(!said(&asked(fake)).contains("login"));

    // The same connection, held by a process that this one descends from.
    let fake = Fake::slow();
    fake.put("/proc/thread-self/net/tcp", &tcp("1F90"));
    fake.put("/proc/self/status", "PPid:\t77\nCpus_allowed_list:\t0-3\n");
    fake.put("/proc/77/status", "PPid:\t1\n");
    let fd = fake.root().join("proc/77/fd");
    std::fs::create_dir_all(&fd).expect("made");
    std::os::unix::fs::symlink("socket:[4711]", fd.join("3")).expect("made");
    assert!(said(&asked(fake)).contains("ens1 has an operator's login"));
}

#[test]
fn login_is_found_by_the_environment_and_over_ipv6() {
    let fake = Fake::fit();
    let by = |ssh: &str| fake.host().login_interfaces(Some(ssh));
    assert_eq!(
        by("10.0.0.7 50000 10.0.0.1 22").first().expect("one"),
        "ens1"
    );
    assert_eq!(
        by("192.0.2.7 50000 10.0.0.1 22").first().expect("one"),
        "eno1"
    );
    assert!(by("").is_empty());
    let route = "20010db8000000000000000000000000 20 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001 ens9\n";
    fake.put("/proc/thread-self/net/ipv6_route", route);
    assert_eq!(
        by("2001:db8::7 50000 2001:db8::1 22").first().expect("one"),
        "ens9"
    );
    assert!(by("2001:db9::7 50000 2001:db8::1 22").is_empty());
}

#[test]
fn forced_run_is_taken_back_unless_it_is_confirmed() {
    let fake = Fake::slow();
    fake.put("/proc/thread-self/net/route", ROUTE);
    let desk = Desk::new(fake);
    let before = desk.fake.files();
    let done = desk.apply(&["--force", "--confirm-within", "1"]);
    assert!(done.status.success(), "{}", said(&done));
    assert_ne!(desk.fake.files(), before);
    // The state goes when all is turned back.
    while desk.state().exists() {
        std::thread::yield_now();
    }
    assert_eq!(desk.fake.files(), before);
    let late = desk.tune(&["confirm"]);
    assert_eq!(late.status.code(), Some(1), "{}", said(&late));

    desk.apply(&["--force", "--confirm-within", "30"]);
    let applied = desk.fake.files();
    assert!(desk.tune(&["confirm"]).status.success());
    let tree = Tree::at(desk.fake.root());
    let state = StateFile::open(&desk.state()).and_then(|it| it.load(&tree));
    assert_eq!(state.expect("a state").unconfirmed, None);
    // The watcher of a run that is confirmed, or is not the one that waits, does nothing.
    let watcher = desk.tune(&["revert", "--unconfirmed", "1", "--after-s", "0"]);
    assert!(watcher.status.success());
    assert_eq!(desk.fake.files(), applied);
    desk.tune(&["revert"]);
    assert_eq!(desk.fake.files(), before);
}

#[test]
fn unconfirmed_run_goes_back_to_what_was_confirmed_before_it() {
    let value = |text: &str| Value::Text(text.to_owned());
    let change = |path: &str, before: &str, after: &str| Change {
        knob: Knob::File(path.to_owned()),
        interface: String::new(),
        before: value(before),
        after: value(after),
    };
    let mut state = State::default();
    state.add(&[change("a", "0", "1"), change("b", "0", "1")]);
    state.wait_for_confirmation(7);
    state.add(&[change("b", "1", "2"), change("c", "0", "1")]);
    let back = [change("b", "1", "2"), change("c", "0", "1")];
    assert_eq!(state.unconfirmed_changes(), back);
    // One that begins meanwhile waits with it.
    state.wait_for_confirmation(8);
    state.add(&[change("d", "0", "1")]);
    assert_eq!(state.unconfirmed_changes().len(), 3);
    let kept = state.unconfirmed.expect("it waits").earlier;
    assert_eq!(kept, [change("a", "0", "1"), change("b", "0", "1")]);
}

#[test]
fn knob_that_does_not_turn_is_told_and_the_others_are_turned() {
    let fake = Fake::slow();
    let changes = tune::changes(&fake.host(), &fake.plan);
    let path = "/proc/sys/net/core/busy_poll";
    fake.remove(path);
    std::fs::create_dir(fake.root().join(path.trim_start_matches('/'))).expect("made");
    let host = fake.host();
    let stuck = tune::apply(&host.tree, &changes);
    let knobs: Vec<String> = stuck.iter().map(|it| it.change.knob.to_string()).collect();
    assert_eq!(knobs, [path]);
    let others = tune::changes(&host, &fake.plan);
    assert!(others.is_empty(), "{others:?}");
    let mut state = State::default();
    state.add(&changes);
    state.forget(&stuck);
    assert_eq!(state.changes.len(), changes.len() - 1);
}
