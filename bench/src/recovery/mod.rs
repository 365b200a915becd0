//! What a start costs after a day of orders: journals read, the exchange's day told again and held against them, until
//! orders may go out.
//!
//! ```text
//!  day: runs of order entry and writer ──TCP──> tickgate-sim        (made once)
//!         └──> journals, drop copy                  │
//!              tickgate run ──reads──┘   <──replay──┘               (timed, from its start to READY)
//! ```
//!
//! The exchange is a process, so is the gateway that starts; both are as their users have them, on loopback. In the end the
//! gateway's orders and positions are the exchange's, and the drop copy has a line for each of its executions, or the
//! measurement fails.

mod day;

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rt::clock::monotonic_ns;
use serde_json::{Value, json};

use lab::exchange::{self, write_secret};
use lab::gateway::FEEDS_WAIT;
use lab::process::{Process, sibling};

use day::{Place, Run};

/// Names in the configuration of both ends.
const SESSION: &str = "ouch";
const ACCOUNT: &str = "demo";
const STRATEGIES: [&str; 2] = ["quotes", "takes"];
/// Runs that made the day; every second one is killed.
const RUNS: u64 = 4;
/// Against a hang only.
const PATIENCE: Duration = Duration::from_secs(600);

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// New orders of the day.
    pub orders: u64,
    /// Messages of the exchange that were told again.
    pub messages: u64,
    /// Lines of the drop copy.
    pub executions: u64,
    /// Executions that the exchange told.
    pub executions_told: u64,
    /// Orders that stand, at both ends.
    pub open: usize,
    /// Shares of each symbol, at both ends.
    pub positions: BTreeMap<String, i64>,
    /// Records of the journals.
    pub records: u64,
    /// Their bytes.
    pub journal_bytes: u64,
    /// From the gateway's start until its journals were read.
    pub read_ns: u64,
    /// From then until orders could go out.
    pub replay_ns: u64,
    /// The most memory that the gateway had in that time, bytes.
    pub memory_bytes: u64,
    /// The first number that the run after it gave to an order, and the last one that was used.
    pub number_next: u32,
    /// See [`Outcome::number_next`].
    pub number_last: u32,
    /// Numbers between them: orders that the memory of the run that was killed last may have held.
    pub numbers_skipped: u32,
}

impl Outcome {
    /// As one run of a report.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "name": "recovery", "orders": self.orders, "messages": self.messages,
            "executions": self.executions, "open": self.open, "records": self.records,
            "journal_bytes": self.journal_bytes, "read_ns": self.read_ns, "replay_ns": self.replay_ns,
            "memory_bytes": self.memory_bytes,
        })
    }
}

/// Makes a day of this many orders, and starts a gateway after it. `progress` hears of orders that have been made.
///
/// # Errors
/// A process that failed; or the two ends differ.
pub fn measure(orders: u64, progress: impl FnMut(u64), stop: &AtomicBool) -> Result<Outcome> {
    let folder = tempfile::Builder::new()
        .prefix("tickgate-recovery-")
        .tempdir()?;
    let [journal, copy] = ["journal", "copy"].map(|name| folder.path().join(name));
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let sim = exchange_config(address, &folder.path().join("sim.sock"));
    let command = Command::new(sibling("tickgate-sim")?);
    let _exchange = exchange::launch(command, folder.path(), &sim, stop)?;
    let place = Place {
        address,
        journal: &journal,
        copy: &copy,
    };
    let number_last = make(&place, orders, progress)?;
    let mut outcome = start(folder.path(), address, stop)?;
    outcome.orders = orders;
    outcome.number_last = number_last;
    outcome.numbers_skipped = day::unwritten();
    outcome.number_next = Run::begin(&place, RUNS)?.number_of_another()?;
    outcome.executions = lines(&copy)?;
    Ok(outcome)
}

/// Trades the day; the last number that was used.
fn make(place: &Place<'_>, orders: u64, mut progress: impl FnMut(u64)) -> Result<u32> {
    let mut number_last = 0;
    for number in 0..RUNS {
        let mut run = Run::begin(place, number)?;
        let share = orders / RUNS + u64::from(number < orders % RUNS);
        run.trade(share, &mut progress)?;
        number_last = run.number_last();
        if number % 2 == 0 {
            run.stop()?;
        } else {
            run.kill()?;
        }
    }
    Ok(number_last)
}

/// Starts a gateway and waits until it may trade; what it took, and what both ends say then.
fn start(folder: &Path, address: SocketAddr, stop: &AtomicBool) -> Result<Outcome> {
    let config = folder.join("tickgate.toml");
    write_secret(&config, &gateway_config(folder, address))?;
    let mut command = Command::new(sibling("tickgate")?);
    command
        .args(["run", "--config"])
        .arg(&config)
        .env("RUST_LOG", "info")
        .env(FEEDS_WAIT, "0")
        .stdout(Stdio::null());
    let began_ns = monotonic_ns();
    let mut gateway = Process::start_service("gateway", command)?;
    gateway.await_line(READ, PATIENCE, stop)?;
    let read_ns = monotonic_ns();
    gateway.await_ready(PATIENCE, stop)?;
    let ready_ns = monotonic_ns();
    let said = gateway.said.iter().find(|line| line.contains(READ));
    let [records, journal_bytes] = read_in(said.map_or("", String::as_str))?;
    let memory_bytes = memory(gateway.pid())?;
    let ends = agreed(folder)?;
    gateway.signal(libc::SIGTERM);
    ensure!(
        gateway.wait(PATIENCE, stop)?,
        "the gateway failed:\n{}",
        gateway.said.join("\n")
    );
    Ok(Outcome {
        messages: ends.messages,
        executions_told: ends.executions,
        open: ends.orders.len(),
        positions: ends.positions,
        records,
        journal_bytes,
        read_ns: read_ns - began_ns,
        replay_ns: ready_ns - read_ns,
        memory_bytes,
        ..Outcome::default()
    })
}

/// What the gateway says once its journals are read.
const READ: &str = "of the last 24 hours";

/// Records and bytes in that line.
fn read_in(line: &str) -> Result<[u64; 2]> {
    let counts = line.split_once("hours: ").map_or("", |(_, counts)| counts);
    let mut numbers = counts
        .split(' ')
        .filter_map(|word| word.parse::<u64>().ok());
    let both = numbers.next().zip(numbers.next());
    let (records, bytes) = both.with_context(|| format!("\"{line}\": expected two counts"))?;
    Ok([records, bytes])
}

/// The most memory that a process had, bytes.
fn memory(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    Ok(kib.context("VmHWM")? * 1024)
}

/// What one end believes.
#[derive(Debug, Default, PartialEq, Eq)]
struct End {
    /// By number: symbol, side, price, shares open.
    orders: BTreeMap<u64, String>,
    positions: BTreeMap<String, i64>,
    /// The exchange's messages, and executions among them; the gateway does not say.
    messages: u64,
    executions: u64,
}

impl End {
    fn stand(&mut self, order: &Value, side: &str) {
        let (symbol, price) = (text(order, "/symbol"), text(order, "/price"));
        let open = number(order, "/open").unwrap_or(0);
        let about = format!("{symbol} {side} {price} {open}");
        let user_ref = number(order, "/user_ref").and_then(|it| u64::try_from(it).ok());
        self.orders.insert(user_ref.unwrap_or(0), about);
    }

    /// Shares of a symbol, which the row has at this place.
    fn hold(&mut self, row: &Value, at: &str) {
        let shares = number(row, at).unwrap_or(i64::MAX);
        if shares != 0 {
            self.positions
                .insert(text(row, "/symbol").to_owned(), shares);
        }
    }
}

/// What both ends say, once it is the same: the gateway shows its orders some at a time.
fn agreed(folder: &Path) -> Result<End> {
    let until_ns = monotonic_ns() + u64::try_from(Duration::from_secs(20).as_nanos())?;
    let told = at_exchange(folder)?;
    loop {
        let believed = at_gateway(folder)?;
        if (&believed.orders, &believed.positions) == (&told.orders, &told.positions) {
            return Ok(told);
        }
        ensure!(
            monotonic_ns() < until_ns,
            "the ends differ: gateway {believed:?}\nexchange {told:?}"
        );
    }
}

fn at_exchange(folder: &Path) -> Result<End> {
    let mut command = Command::new(sibling("tickgate-sim")?);
    command
        .arg("status")
        .arg("--config")
        .arg(folder.join("sim.toml"))
        .args(["--accounts", "--account", ACCOUNT, "--json"]);
    let answer = answer(command)?;
    let account = answer.pointer("/accounts/0").context("accounts")?;
    let count = |name: &str| account.get(name).and_then(Value::as_u64).unwrap_or(0);
    let mut end = End {
        messages: [
            "orders_accepted",
            "orders_replaced",
            "orders_rejected",
            "cancels",
            "executions",
        ]
        .map(count)
        .iter()
        .sum(),
        executions: count("executions"),
        ..End::default()
    };
    for order in rows(account, "/orders")? {
        let is_buy = text(order, "/side") == "B";
        end.stand(order, if is_buy { "buy" } else { "sell" });
    }
    for held in rows(account, "/positions")? {
        end.hold(held, "/net");
    }
    Ok(end)
}

fn at_gateway(folder: &Path) -> Result<End> {
    let ask = |what: &str| {
        let mut command = Command::new(sibling("tickgate")?);
        command.arg("ctl").arg("--socket");
        command.arg(folder.join("gateway.sock"));
        command.args(["--json", what]);
        answer(command)
    };
    let mut end = End::default();
    let orders = ask("orders")?;
    for order in rows(&orders, "/orders/orders")? {
        end.stand(order, text(order, "/side"));
    }
    let sessions = ask("positions")?;
    for held in rows(&sessions, "/positions/sessions/0/positions")? {
        end.hold(held, "/position");
    }
    Ok(end)
}

fn rows<'a>(answer: &'a Value, at: &str) -> Result<&'a Vec<Value>> {
    let rows = answer.pointer(at).and_then(Value::as_array);
    rows.with_context(|| format!("no {at} in {answer}"))
}

fn text<'a>(row: &'a Value, at: &str) -> &'a str {
    row.pointer(at).and_then(Value::as_str).unwrap_or_default()
}

fn number(row: &Value, at: &str) -> Option<i64> {
    row.pointer(at).and_then(Value::as_i64)
}

fn answer(mut command: Command) -> Result<Value> {
    let output = command.output()?;
    let said = || String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{command:?}: {}", said());
    serde_json::from_slice(&output.stdout).with_context(|| format!("{command:?}"))
}

/// Lines of all files in a folder.
fn lines(folder: &Path) -> Result<u64> {
    let mut lines = 0;
    for file in std::fs::read_dir(folder)? {
        let bytes = std::fs::read(file?.path())?;
        lines += bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
    }
    Ok(lines)
}

/// Every third order is filled, as far as the book has not: the others are cancelled, replaced, or stand.
fn exchange_config(address: SocketAddr, control: &Path) -> String {
    format!(
        "address = \"{address}\"\ncontrol = \"{}\"\nfill_every = 3\n\
         [account.{ACCOUNT}]\npassword = \"{ACCOUNT}\"\n",
        control.display()
    )
}

/// Its feed says nothing: what is measured is order entry.
fn gateway_config(folder: &Path, address: SocketAddr) -> String {
    let path = |name: &str| folder.join(name).display().to_string();
    let strategies = STRATEGIES.map(|name| {
        format!(
            "[strategy.{name}]\nkind = \"probe\"\nfeed = \"itch\"\nsession = \"{SESSION}\"\n\
             parameters = {{ every = 1000000000 }}\n"
        )
    });
    format!(
        "[host]\nlock_memory = false\n[telemetry]\ntable = false\n[control]\nsocket = \"{}\"\n\
         [journal]\nfolder = \"{}\"\ndrop_copy = \"{}\"\n\
         [feed.itch]\nlines = [{{ address = \"239.77.0.1:26400\", interface = \"lo\" }}]\nreceive = \"udp\"\n\
         [feed.itch.books]\norders_max = 65536\nlevels_max = 4096\n\
         [session.{SESSION}]\naddress = \"{address}\"\nusername = \"{ACCOUNT}\"\npassword = \"{ACCOUNT}\"\n\
         found_orders = \"keep\"\n[session.{SESSION}.risk]\norder_qty_max = 10000\n\
         notional_max_dollars = 10000000\ncollar_bps = 5000\nposition_max = 100000000\n\
         gross_exposure_max_dollars = 100000000000\nnet_exposure_max_dollars = 100000000000\n\
         loss_max_dollars = 100000000000\nopen_orders_max = 10000\norders_per_second_max = 100000\n\
         rejects_max = 0\n{}",
        path("gateway.sock"),
        path("journal"),
        path("copy"),
        strategies.concat(),
    )
}
