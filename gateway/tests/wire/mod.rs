//! A wire of a test's own: one end in the network namespace of the test's thread, the other in that of another.

#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod bpf;
pub(crate) mod forged;
pub(crate) mod hander;
pub(crate) mod held;
pub(crate) mod middle;
pub(crate) mod near;
pub(crate) mod traded;

use std::collections::BTreeMap;
use std::io::Write;
use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};

use gateway::order::transport::TransportOptions;
use gateway::order::transport::delegated::DelegatedOptions;
use nix::sched::{CloneFlags, unshare};
use nix::unistd::Uid;

/// Our end.
pub(crate) const NEAR: &str = "tg-near";
pub(crate) const NEAR_IP: Ipv4Addr = Ipv4Addr::new(10, 79, 0, 1);
/// The exchange's end.
pub(crate) const FAR: &str = "tg-far";
pub(crate) const FAR_IP: Ipv4Addr = Ipv4Addr::new(10, 79, 0, 2);

type Errand = Box<dyn FnOnce() + Send>;

/// The thread at the far end.
pub(crate) struct Far {
    errands: Sender<Errand>,
}

impl Far {
    /// Does something there; a socket that is made there stays there.
    pub(crate) fn run<T: Send + 'static>(&self, errand: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, result) = channel();
        let errand = move || {
            let _ = done.send(errand());
        };
        self.errands.send(Box::new(errand)).expect("it lives");
        result.recv().expect("it is done")
    }

    /// What TCP has counted there.
    pub(crate) fn tcp(&self) -> BTreeMap<String, u64> {
        self.run(tcp)
    }
}

/// Options of a transport that has its lane there, or does not open.
pub(crate) fn delegated() -> TransportOptions {
    TransportOptions {
        delegated: DelegatedOptions {
            session: "test".to_owned(),
            exchange: Some(FAR_IP),
            is_required: true,
            ..DelegatedOptions::NONE
        },
        ..TransportOptions::PLAIN
    }
}

/// What TCP has counted in this thread's namespace: `Tcp:` and `TcpExt:`.
pub(crate) fn tcp() -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    for file in ["snmp", "netstat"] {
        let path = format!("/proc/thread-self/net/{file}");
        let text = std::fs::read_to_string(path).expect("counts");
        let lines: Vec<&str> = text.lines().collect();
        for pair in lines
            .chunks_exact(2)
            .filter(|pair| pair[0].starts_with("Tcp"))
        {
            let [names, values] = [pair[0], pair[1]].map(|line| line.split(' ').skip(1));
            let values = values.map(|value| value.parse().unwrap_or(0));
            all.extend(names.map(str::to_owned).zip(values));
        }
    }
    all
}

/// Moves this thread to the near end of a wire in namespaces of their own; `None`: no rights to.
pub(crate) fn lay() -> Option<Far> {
    if !is_root() {
        return None;
    }
    let (far, there) = away();
    unshare(CloneFlags::CLONE_NEWNET).expect("a namespace");
    ip("link set lo up");
    ip(&format!(
        "link add {NEAR} type veth peer name {FAR} netns {there}"
    ));
    let up = |name: &str, address: Ipv4Addr| {
        ip(&format!("addr add {address}/24 dev {name}"));
        ip(&format!("link set {name} up"));
    };
    far.run(move || up(FAR, FAR_IP));
    up(NEAR, NEAR_IP);
    until_up(NEAR);
    Some(far)
}

fn is_root() -> bool {
    if !Uid::effective().is_root() {
        // Past the test harness, which shows what a passing test prints to nobody.
        let said = "SKIPPED: needs root for network namespaces, XDP and TCX";
        let _ = writeln!(std::io::stderr(), "{said}");
        return false;
    }
    true
}

/// A thread in a namespace of its own, and its number.
fn away() -> (Far, String) {
    let (errands, theirs): (Sender<Errand>, Receiver<Errand>) = channel();
    let (tell, told) = channel();
    std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("a namespace");
        ip("link set lo up");
        tell.send(thread_number()).expect("heard");
        while let Ok(errand) = theirs.recv() {
            errand();
        }
    });
    let there = told.recv().expect("it lives");
    (Far { errands }, there)
}

/// Until the kernel has noticed that both ends are up, it drops what is sent.
fn until_up(name: &str) {
    while !said_by_ip(&format!("-o link show {name}")).contains("state UP") {
        std::thread::yield_now();
    }
}

/// The kernel's number of this thread.
fn thread_number() -> String {
    let path = std::fs::read_link("/proc/thread-self").expect("a thread");
    path.file_name()
        .expect("a number")
        .to_string_lossy()
        .into_owned()
}

fn said_by_ip(arguments: &str) -> String {
    let output = Command::new("ip").args(arguments.split(' ')).output();
    String::from_utf8_lossy(&output.expect("ip runs").stdout).into_owned()
}

pub(crate) fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status();
    assert!(status.expect("ip runs").success(), "ip {arguments}");
}
