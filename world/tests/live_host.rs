//! What looks at a host and what changes one, on a host that is no copy: interfaces of network namespaces, a kernel that answers.
//!
//! `HOST_SECONDS` says how long a drift is waited for (0: not at all); a service looks once a minute.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

mod desk;
mod rehearsal;
mod support;

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use desk::{Desk, NEVER, until};
use lab::netns::{Lab, Side};
use lab::process::sibling;
use rehearsal::Rehearsal;
use serde_json::Value;
use support::{has, is_root, stderr, tool};

/// What a host tuner would turn of the whole host and not of a namespace, as it should be: files of ours in the place of the kernel's,
/// in a view that ends with the command.
const VIEW: &str = r#"
set -eu
put() { [ ! -e "$1" ] || { printf "$2" >"$COPY/file" && mv "$COPY/file" "$COPY/$(echo "$1" | tr / -)" &&
    mount --bind "$COPY/$(echo "$1" | tr / -)" "$1"; }; }
put /sys/kernel/mm/transparent_hugepage/enabled 'always [madvise] never\n'
put /proc/sys/kernel/numa_balancing '0\n'
put /proc/sys/net/core/netdev_max_backlog '4096\n'
put /proc/swaps 'Filename\tType\tSize\tUsed\tPriority\n'
[ ! -d /sys/kernel/debug/sched ] || mount -t tmpfs tmpfs /sys/kernel/debug
exec "$@"
"#;

/// A tuner at one end of the lab's orders.
struct Tuner<'a> {
    lab: &'a Lab,
    desk: Desk,
}

impl Tuner<'_> {
    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.lab.command(Side::Gateway, Path::new("sh"));
        command.args(["-c", VIEW, "sh"]);
        command.arg(sibling("tickgate-host-tune").expect("built"));
        command.args(arguments).arg("--state");
        command.arg(self.desk.path("state.json"));
        command.env("COPY", self.desk.folder.path());
        command.env_remove("SSH_CONNECTION");
        command.output().expect("it runs")
    }

    /// What the kernel has of the interface.
    fn state(&self) -> String {
        self.shell(
            "cat /sys/class/net/order0/napi_defer_hard_irqs /sys/class/net/order0/gro_flush_timeout; \
             ethtool -k order0 | grep -E '^(generic|large)-receive-offload'; ethtool -c order0 2>&1",
        )
    }

    fn shell(&self, script: &str) -> String {
        let mut command = self.lab.command(Side::Gateway, Path::new("sh"));
        let output = command.args(["-c", script]).output().expect("it runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

fn said(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text + &stderr(output)
}

#[test]
fn tuner_turns_a_live_interface_and_turns_it_back_by_itself_where_nobody_confirms() {
    if !is_root() || !has("ethtool") {
        return;
    }
    let lab = Lab::new().expect("a lab");
    let desk = Desk::new();
    let tuner = Tuner { lab: &lab, desk };
    tuner.shell(
        "ethtool -K order0 gro on; echo 3 >/sys/class/net/order0/napi_defer_hard_irqs; \
         echo 50000 >/sys/class/net/order0/gro_flush_timeout",
    );
    let before = tuner.state();
    assert!(before.starts_with("3\n50000\n"), "{before}");
    assert!(before.contains("generic-receive-offload: on"), "{before}");
    let apply = ["apply", "--interface", "order0"];
    let done = tuner.run(&apply);
    assert!(done.status.success(), "{}", said(&done));
    let told = said(&done);
    for line in [
        "/sys/class/net/order0/napi_defer_hard_irqs: 3 -> 0",
        "/sys/class/net/order0/gro_flush_timeout: 50000 -> 0",
        "order0: GRO: on -> off",
    ] {
        assert!(told.lines().any(|it| it == line), "{line}: {told}");
    }
    // The interface's alone: nothing of the whole host was touched.
    let others = told.lines().filter(|it| !it.contains("order0"));
    assert_eq!(others.collect::<Vec<_>>(), Vec::<&str>::new(), "{told}");
    let after = tuner.state();
    assert!(after.starts_with("0\n0\n"), "{after}");
    assert!(after.contains("generic-receive-offload: off"), "{after}");
    assert_eq!(said(&tuner.run(&apply)), "nothing to change\n");
    let undone = tuner.run(&["revert"]);
    assert!(undone.status.success(), "{}", said(&undone));
    assert_eq!(tuner.state(), before);

    // The way out of here leads through it.
    lab::netns::ip(&[
        "-n",
        lab.name(Side::Gateway),
        "route",
        "add",
        "default",
        "via",
        "10.77.2.1",
    ])
    .expect("a route");
    let refused = tuner.run(&apply);
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    let told = said(&refused);
    assert!(
        told.contains("order0 has the default route") && told.contains("nothing was changed"),
        "{told}"
    );
    assert_eq!(tuner.state(), before);
    let force = [&apply[..], &["--force", "--confirm-within"]].concat();
    let forced = tuner.run(&[&force[..], &["2"]].concat());
    assert!(forced.status.success(), "{}", said(&forced));
    until("nobody has confirmed, and it is as it was", || {
        (tuner.state() == before).then_some(())
    });
    let forced = tuner.run(&[&force[..], &["30"]].concat());
    assert!(forced.status.success(), "{}", said(&forced));
    let confirmed = tuner.run(&["confirm"]);
    assert!(confirmed.status.success(), "{}", said(&confirmed));
    assert!(tuner.state().starts_with("0\n0\n"), "{}", tuner.state());
    assert!(tuner.run(&["revert"]).status.success());
    assert_eq!(tuner.state(), before);
}

#[test]
fn doctor_measures_what_waking_the_queue_of_a_feed_takes_and_leaves_nothing_on_its_interface() {
    if !is_root() {
        return;
    }
    let (lab, desk) = (Lab::new().expect("a lab"), Desk::new());
    let config = desk.write(
        "tickgate.toml",
        "[feed.itch]\nlines = [{ address = \"239.77.0.1:26400\", interface = \"feed0\" }]\n\
         [feed.itch.af_xdp]\ntrial_ms = 0\n",
    );
    let doctor = |sets: &[&str]| -> Value {
        let mut command = lab.command(Side::Gateway, &sibling("tickgate").expect("built"));
        command.args(["doctor", "--measure", "1", "--json", "--config"]);
        command.arg(&config);
        for set in sets {
            command.args(["--set", set]);
        }
        let output = command.output().expect("it runs");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", stderr(&output)))
    };
    for sets in [&[][..], &["feed.itch.af_xdp.busy_poll_us=20"]] {
        let told = doctor(sets);
        let findings = told["findings"].as_array().expect("a list");
        let of = |check: &str| {
            let mut found = findings.iter().filter(|it| it["check"] == check);
            let first = found
                .next()
                .unwrap_or_else(|| panic!("no {check}: {told:#}"));
            assert!(found.next().is_none(), "{check} twice");
            first
        };
        assert_eq!(of("queue wake-up")["subject"], "feed0");
        assert_ne!(of("queue wake-up")["verdict"], "unseen", "{told:#}");
        let granted = of("zero-copy granted")["found"]
            .as_str()
            .unwrap_or_default();
        assert!(granted.starts_with("native-copy"), "{granted}");
        let woken = &told["measured"]["wake_ups"][0];
        let ns = |key: &str| woken[key].as_u64().expect("a number");
        assert!(0 < ns("p50_ns") && ns("p50_ns") <= ns("p99_ns"), "{woken}");
        assert!(ns("p99_ns") <= ns("longest_ns"), "{woken}");
        println!("queue wake-up {sets:?}: {woken}");
    }
    let mut link = lab.command(Side::Gateway, Path::new("ip"));
    let link = link
        .args(["link", "show", "feed0"])
        .output()
        .expect("ip runs");
    assert!(!said(&link).contains("xdp"), "{}", said(&link));
}

/// What a service with a certificate says of what it compares: what it could see at the start only.
fn compared(mode: &str, desk: &Desk) -> (Rehearsal, String) {
    let certificate = desk.path("host.json").display().to_string();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/examples/lab.toml");
    let example = example.display().to_string();
    let kept = tool(
        "tickgate",
        &["doctor", "--config", &example, "--save", &certificate],
    );
    assert_ne!(kept.status.code(), Some(2), "{}", stderr(&kept));
    let sets = [
        format!("host.certificate={certificate}"),
        format!("sandbox.mode={mode}"),
    ];
    let mut rehearsal = Rehearsal::start(&sets.each_ref().map(String::as_str));
    let begun = "is held against its certificate every minute: ";
    let gateway = &mut rehearsal.gateway;
    // It may have been said before it was ready.
    if !gateway.said.iter().any(|line| line.contains(begun)) {
        gateway
            .await_line(begun, Duration::from_secs(20), &NEVER)
            .expect("it is told");
    }
    let line = gateway.said.iter().find_map(|it| it.split_once(begun));
    let (_, told) = line.expect("it was there");
    let told = told.to_owned();
    (rehearsal, told)
}

#[test]
fn sandbox_hides_nothing_of_a_host_that_has_a_certificate() {
    let desk = Desk::new();
    let (open, without) = compared("off", &desk);
    drop(open);
    let (mut closed, within) = compared("enforce", &desk);
    assert_eq!(within, without);
    let report = tool(
        "tickgate",
        &["ctl", "--socket", &closed.socket, "--json", "report"],
    );
    let report: Value = serde_json::from_slice(&report.stdout).expect("JSON");
    let counters = find(&report, "certificate").expect("they are counted");
    assert!(counters["host_looks"].as_u64() >= Some(2), "{counters}");
    closed.gateway.end();
}

/// The first value of this key, wherever it stands.
fn find<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    match value {
        Value::Object(fields) => {
            let here = fields.get(key);
            here.or_else(|| fields.values().find_map(|it| find(it, key)))
        }
        Value::Array(items) => items.iter().find_map(|it| find(it, key)),
        _ => None,
    }
}

/// In a network of its own, which has TCP settings of its own.
#[test]
fn service_in_its_sandbox_is_told_of_a_drift_and_of_its_end() {
    let seconds = std::env::var("HOST_SECONDS").ok();
    let seconds: u64 = seconds.and_then(|it| it.parse().ok()).unwrap_or(0);
    if seconds == 0 || !is_root() {
        return;
    }
    const OWN: &str = "OWN_NETWORK";
    if std::env::var_os(OWN).is_none() {
        let test = std::env::current_exe().expect("this program");
        let mut command = Command::new("unshare");
        command
            .arg("--net")
            .arg(test)
            .args(["--exact", "--nocapture"]);
        command.arg("service_in_its_sandbox_is_told_of_a_drift_and_of_its_end");
        let status = command.env(OWN, "1").status().expect("it runs");
        assert!(status.success());
        return;
    }
    lab::netns::ip(&["link", "set", "lo", "up"]).expect("loopback");
    let timestamps = |value: &str| {
        std::fs::write("/proc/sys/net/ipv4/tcp_timestamps", value).expect("a network of its own");
    };
    timestamps("1");
    let desk = Desk::new();
    let (mut closed, _) = compared("enforce", &desk);
    let socket = closed.socket.clone();
    let mut tells = |what: &str| {
        let told = closed
            .gateway
            .await_line(what, Duration::from_secs(seconds), &NEVER);
        told.unwrap_or_else(|error| panic!("{what}: {error}"));
    };
    timestamps("0");
    tells("the host has drifted from its certificate: TCP timestamps: was");
    let status = tool("tickgate", &["ctl", "--socket", &socket, "status"]);
    let status = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(status.contains("HOST DRIFTED"), "{status}");
    let scrape = tool("tickgate", &["metrics", "--socket", &socket, "--once"]);
    let scrape = String::from_utf8_lossy(&scrape.stdout).into_owned();
    assert!(
        scrape.lines().any(|it| it == "tickgate_host_drifted 1"),
        "{scrape}"
    );
    timestamps("1");
    tells("the host is as its certificate says again: TCP timestamps");
    closed.gateway.end();
}
