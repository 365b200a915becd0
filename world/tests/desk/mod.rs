//! An exchange and a gateway in a laboratory, each with a configuration file of the test's own.

#![allow(dead_code, reason = "each test file uses its part")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use lab::gateway::FEEDS_WAIT;
use lab::netns::{Lab, Side};
use lab::process::{Process, sibling};
use rt::clock::monotonic_ns;
use serde_json::Value;

use crate::support::{stderr, tool};

pub(crate) static NEVER: AtomicBool = AtomicBool::new(false);

/// A folder with configuration files for one test.
pub(crate) struct Desk {
    pub(crate) folder: tempfile::TempDir,
}

impl Desk {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        lab::exchange::write_secret(&path, text).expect("written");
        path
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

pub(crate) fn start_sim_with(lab: &Lab, desk: &Desk, config: &str) -> Process {
    let config = desk.write("sim.toml", config);
    let mut command = lab.command(Side::Exchange, &sibling("tickgate-sim").expect("built"));
    command.args(["run", "--config"]).arg(config);
    let mut sim = Process::start_service("exchange", command).expect("it starts");
    sim.await_ready(Duration::from_secs(10), &NEVER)
        .expect("it listens");
    sim
}

/// A made-up day of ten symbols, and how it is sent.
pub(crate) struct Day<'a> {
    pub(crate) line: &'a str,
    pub(crate) seed: u64,
    pub(crate) messages: u64,
    /// Messages a second.
    pub(crate) rate: &'a str,
    /// The sender's CPU; `None`: wherever the kernel likes.
    pub(crate) cpu: Option<u32>,
}

impl Day<'_> {
    /// On the feed's network, of the exchange's side.
    pub(crate) fn send(&self, lab: &Lab, desk: &Desk) -> Process {
        let day = desk.path(&format!("day-{}.itch50", self.seed));
        let options = feeds::generate::Options {
            seed: self.seed,
            messages: self.messages,
            symbols: 10,
            live: 0,
        };
        feeds::generate::to_file(&options, &day, |_| ()).expect("written");
        let mut command = lab.command(Side::Exchange, &sibling("tickgate-bench").expect("built"));
        command.arg("replay").arg(day).args(["--line", self.line]);
        command.args(["--from", "10.77.1.1", "--rate", self.rate, "--quiet"]);
        if let Some(cpu) = self.cpu {
            command.args(["--cpu", &cpu.to_string()]);
        }
        Process::start("sender", command).expect("it starts")
    }
}

/// How the sessions of a file submit instead of as it says (`SUBMIT`); one that is delegated must be so, and one interface has one lane,
/// so that is the first.
fn submitted(config: &Path) -> Vec<String> {
    let Ok(submit) = std::env::var("SUBMIT") else {
        return Vec::new();
    };
    let text = std::fs::read_to_string(config).expect("a file");
    let names = text.lines().filter_map(|line| {
        let name = line.strip_prefix("[session.")?.strip_suffix(']')?;
        (!name.contains('.')).then(|| name.to_owned())
    });
    let names: Vec<String> = names.collect();
    let mut keys: Vec<String> = names
        .iter()
        .map(|name| format!("session.{name}.submit={submit}"))
        .collect();
    if let Some(first) = names.first().filter(|_| submit == "delegated") {
        keys.push(format!("session.{first}.require=delegated"));
    }
    keys.into_iter()
        .flat_map(|key| ["--set".to_owned(), key])
        .collect()
}

pub(crate) fn gateway_command(lab: &Lab, config: &Path) -> Command {
    let mut command = lab.command(Side::Gateway, &sibling("tickgate").expect("built"));
    command
        .args(["run", "--config"])
        .arg(config)
        .args(submitted(config))
        // Days begin when the gateway is ready.
        .env(FEEDS_WAIT, "0")
        .stdout(Stdio::null());
    command
}

pub(crate) fn start_gateway(mut command: Command) -> Process {
    command.env("RUST_LOG", "info");
    let mut gateway = Process::start("gateway", command).expect("it starts");
    gateway
        .await_line("session open", Duration::from_secs(20), &NEVER)
        .expect("it trades");
    gateway
}

/// `tickgate ctl` at this socket.
pub(crate) fn ctl(socket: &Path, arguments: &[&str]) -> Output {
    let socket = socket.to_str().expect("text");
    let mut all = vec!["ctl", "--socket", socket];
    all.extend(arguments);
    tool("tickgate", &all)
}

/// What the exchange's books have of an account.
///
/// # Errors
/// What it says instead.
pub(crate) fn account_at_exchange(desk: &Desk, account: &str) -> Result<Value, String> {
    let config = desk.path("sim.toml");
    let config = config.to_str().expect("text");
    let arguments = [
        "status",
        "--config",
        config,
        "--accounts",
        "--account",
        account,
        "--json",
    ];
    let output = tool("tickgate-sim", &arguments);
    if !output.status.success() {
        return Err(stderr(&output));
    }
    let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    Ok(answer["accounts"][0].clone())
}

/// Against a hang only.
const AT_MOST_NS: u64 = 30_000_000_000;

/// Asks again until it is so.
pub(crate) fn until<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    until_after(0, what, ask)
}

/// The same for what takes this many seconds in any case.
pub(crate) fn until_after<T>(seconds: u64, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let until_ns = monotonic_ns() + seconds * 1_000_000_000 + AT_MOST_NS;
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(monotonic_ns() < until_ns, "never: {what}");
    }
}
