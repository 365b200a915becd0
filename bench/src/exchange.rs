//! What the exchange can do: engine operations on one core, memory for resting orders, orders through TCP,
//! messages published.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use order_sim::engine::{
    Change, Engine, Event, Handle, LimitOrder, Limits, Listing, NewOrder, Owner, Terms, TimeInForce,
};
use protocol::ouch::EnterOrder;
use protocol::soup::{LoginRequest, Packet, kind};
use protocol::types::{Price4, Qty, Seq, Side, Symbol, UserRefNum};
use rt::clock::Clock;
use serde_json::{Value, json};
use zerocopy::IntoBytes;

use lab::exchange::{self, flow_sent};
use lab::process::{Process, sibling};
use report::statistics::median;

/// Symbols and resting orders of the mixed flow.
const SYMBOLS: u16 = 500;
const RESTING: usize = 100_000;
/// Steps of one round; most are two operations.
const STEPS: usize = 1_000_000;
const ROUNDS: usize = 7;
/// Resting orders of the memory figure.
const MEMORY_ORDERS: u32 = 1_000_000;
/// Orders through TCP, and how many of them may be unanswered.
const TCP_ORDERS: u32 = 300_000;
const TCP_WINDOW: u32 = 256;
/// Steps of the market's own flow of the publishing figure.
const FEED_STEPS: u64 = 3_000_000;
const CENT: u32 = 100;
const FAIR: u32 = 1_000_000;

/// One step of the mixed flow.
#[derive(Clone, Copy, Debug)]
struct Step {
    slot: u32,
    qty: u32,
    price: u32,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// An order goes, another comes.
    Turn,
    Replace,
    Take,
    Cut,
}

/// An engine with resting orders, and steps that keep it so.
pub struct MixedFlow {
    engine: Engine,
    handles: Vec<Handle>,
    steps: Vec<Step>,
    at: usize,
    events: u64,
}

impl std::fmt::Debug for MixedFlow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MixedFlow")
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

fn engine(orders_max: u32) -> Result<Engine> {
    let limits = Limits {
        stocks_max: SYMBOLS,
        orders_max,
        levels_max: 512,
        trades_max: 1 << 16,
        pause_ns: 0,
    };
    let mut engine = Engine::new(limits);
    for at in 0..SYMBOLS {
        let symbol = Symbol::new(&format!("S{at}")).context("a symbol")?;
        let listing = Listing {
            symbol,
            reference_price: FAIR,
            band_bps: 0,
        };
        engine.list(&listing).context("a locate code")?;
    }
    Ok(engine)
}

/// Where a slot's orders stand: even slots buy, odd ones sell.
fn order(slot: u32, qty: u32, price: u32) -> NewOrder {
    let side = if slot.is_multiple_of(2) {
        Side::Buy
    } else {
        Side::Sell
    };
    let owner = Owner {
        account: 1,
        user_ref: slot,
    };
    let locate = u16::try_from(slot / 2 % u32::from(SYMBOLS)).unwrap_or(0) + 1;
    let order = LimitOrder {
        owner,
        locate,
        side,
        qty,
        price,
        life: TimeInForce::Market,
    };
    order.into()
}

/// A price on a slot's own side: near the middle mostly.
fn price(random: &mut fastrand::Rng, slot: u32) -> u32 {
    let near = random.u32(0..40).min(random.u32(0..40)) + 1;
    if slot.is_multiple_of(2) {
        FAIR - near * CENT
    } else {
        FAIR + near * CENT
    }
}

impl MixedFlow {
    /// Fills the book and plans this many steps: turns 89 %, replacements 7 %, takers 3 %, partial cancels 1 %;
    /// as operations, about 46 % adds, 46 % deletes, 4 % replacements, 2 % takers.
    ///
    /// # Errors
    /// Nothing but a mistake in the constants.
    pub fn new(steps: usize) -> Result<Self> {
        let mut random = fastrand::Rng::with_seed(7);
        let slots = u32::try_from(RESTING)?;
        let mut flow = Self {
            engine: engine(slots * 2)?,
            handles: Vec::with_capacity(RESTING),
            steps: Vec::with_capacity(steps),
            at: 0,
            events: 0,
        };
        for slot in 0..slots {
            let new = order(slot, 100, price(&mut random, slot));
            let handle = flow.engine.enter(&new, 0, &mut |_| ());
            flow.handles.push(handle.ok().context("there is room")?);
        }
        for _ in 0..steps {
            let slot = random.u32(0..slots);
            let kind = match random.u32(0..100) {
                0..7 => Kind::Replace,
                7..10 => Kind::Take,
                10 => Kind::Cut,
                _ => Kind::Turn,
            };
            let (qty, price) = (100 * random.u32(1..4), price(&mut random, slot));
            flow.steps.push(Step {
                slot,
                qty,
                price,
                kind,
            });
        }
        Ok(flow)
    }

    /// Takes this many of the planned steps, from the beginning again after the last; operations done.
    pub fn run(&mut self, steps: usize) -> u64 {
        let Self {
            engine,
            handles,
            steps: plan,
            at,
            events,
        } = self;
        let mut sink = |_: Event| *events += 1;
        let mut operations = 0;
        for _ in 0..steps {
            let Some(step) = plan.get(*at) else { break };
            *at = if *at + 1 == plan.len() { 0 } else { *at + 1 };
            let Some(handle) = handles.get_mut(step.slot as usize) else {
                break;
            };
            match step.kind {
                Kind::Turn => {
                    operations += u64::from(engine.cancel(*handle, 0, b'U', &mut sink));
                    let new = order(step.slot, step.qty, step.price);
                    if let Ok(new) = engine.enter(&new, 0, &mut sink) {
                        *handle = new;
                        operations += 1;
                    }
                }
                Kind::Replace => {
                    let change = Change {
                        user_ref: step.slot,
                        open: step.qty,
                        terms: Terms::plain(step.price, TimeInForce::Market),
                    };
                    if let Ok(Some(new)) = engine.replace(*handle, &change, 0, &mut sink) {
                        *handle = new;
                        operations += 1;
                    }
                }
                Kind::Take => {
                    // The slot's side takes whatever is best on the other.
                    let limit = if step.slot.is_multiple_of(2) {
                        FAIR * 2
                    } else {
                        CENT
                    };
                    let mut new = order(step.slot, step.qty, limit);
                    new.terms.life = TimeInForce::Immediate;
                    operations += u64::from(engine.enter(&new, 0, &mut sink).is_ok());
                }
                Kind::Cut => {
                    operations += u64::from(engine.cancel(*handle, 50, b'U', &mut sink));
                }
            }
        }
        operations
    }
}

/// Every figure.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// Engine operations a second on one core, the median of the rounds.
    pub engine_per_s: f64,
    /// Of these, the slowest and the fastest round.
    pub engine_range: (f64, f64),
    /// Operations of a round.
    pub operations: u64,
    /// Memory that a million resting orders take, bytes, ladders included.
    pub memory_bytes: u64,
    /// Orders a second through TCP on loopback, each accepted and cancelled.
    pub tcp_per_s: f64,
    /// Messages published a second, on two lines.
    pub feed_per_s: f64,
    /// Packets a second on each line.
    pub packets_per_s: f64,
}

impl Figures {
    /// As one run of a report.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "engine_operations_per_s": self.engine_per_s,
            "engine_operations_per_s_range": [self.engine_range.0, self.engine_range.1],
            "engine_operations": self.operations,
            "memory_bytes_1m_orders": self.memory_bytes,
            "tcp_orders_per_s": self.tcp_per_s,
            "feed_messages_per_s": self.feed_per_s,
            "feed_packets_per_s": self.packets_per_s,
        })
    }
}

/// Takes all figures; `progress` hears what comes next.
///
/// # Errors
/// A process that failed.
pub fn measure(mut progress: impl FnMut(&str), stop: &AtomicBool) -> Result<Figures> {
    let clock = Clock::new();
    progress("memory for a million resting orders");
    let memory_bytes = memory()?;
    progress("engine, mixed flow");
    let mut flow = MixedFlow::new(STEPS)?;
    flow.run(STEPS);
    let mut rates = Vec::new();
    let mut operations = 0;
    for _ in 0..ROUNDS {
        let start_ns = clock.now_ns();
        operations = flow.run(STEPS);
        let took_ns = clock.now_ns() - start_ns;
        rates.push(operations as f64 * 1e9 / took_ns as f64);
    }
    rates.sort_by(f64::total_cmp);
    let range = (rates.first().copied(), rates.last().copied());
    progress("orders through TCP");
    let tcp_per_s = tcp(&clock, stop)?;
    progress("messages published");
    let (feed_per_s, packets_per_s) = feed(&clock, stop)?;
    Ok(Figures {
        engine_per_s: median(&rates),
        engine_range: (range.0.unwrap_or(0.0), range.1.unwrap_or(0.0)),
        operations,
        memory_bytes,
        tcp_per_s,
        feed_per_s,
        packets_per_s,
    })
}

/// What the process grows by when a million orders come to rest.
fn memory() -> Result<u64> {
    let before = resident_bytes()?;
    let mut engine = engine(MEMORY_ORDERS)?;
    let mut random = fastrand::Rng::with_seed(1);
    for slot in 0..MEMORY_ORDERS {
        let new = order(slot, 100, price(&mut random, slot));
        if engine.enter(&new, 0, &mut |_| ()).is_err() {
            bail!("no room for order {slot}");
        }
    }
    let after = resident_bytes()?;
    assert_eq!(engine.totals().live, MEMORY_ORDERS, "all of them rest");
    Ok(after.saturating_sub(before))
}

fn resident_bytes() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    Ok(kib.context("VmRSS")? * 1024)
}

/// An exchange on loopback.
fn start(
    text: &str,
    folder: &tempfile::TempDir,
    stop: &AtomicBool,
) -> Result<(Process, SocketAddr)> {
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let text = format!("address = \"{address}\"\n{text}");
    let command = Command::new(sibling("tickgate-sim")?);
    let process = exchange::launch(command, folder.path(), &text, stop)?;
    Ok((process, address))
}

fn log_in(address: SocketAddr) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let login = LoginRequest::new("demo", "demo", "", Seq(0));
    stream.write_all(&soup(kind::LOGIN_REQUEST, login.as_bytes()))?;
    let mut accepted = [0; 33];
    stream
        .read_exact(&mut accepted)
        .context("the exchange did not accept the login")?;
    Ok(stream)
}

fn soup(kind: u8, payload: &[u8]) -> Vec<u8> {
    let packet = Packet { kind, payload };
    let mut out = vec![0; packet.len()];
    // The buffer is as long as the packet.
    let _ = packet.encode(&mut out);
    out
}

fn bytes_of_order(user_ref: u32) -> Vec<u8> {
    let m = EnterOrder {
        kind: EnterOrder::KIND,
        user_ref: UserRefNum(user_ref).into(),
        side: b'B',
        qty: Qty(100).into(),
        symbol: Symbol(*b"ALC     "),
        price: Price4(FAIR).into(),
        time_in_force: b'3',
        display: b'Y',
        capacity: b'P',
        iso: b'N',
        cross: b'N',
        client_order_id: [b' '; 14],
    };
    let mut out = [0; 64];
    let len = m.encode(&[], &mut out).unwrap_or(0);
    soup(kind::UNSEQUENCED, out.get(..len).unwrap_or_default())
}

/// One client, with a window of unanswered orders; each is accepted and cancelled.
fn tcp(clock: &Clock, stop: &AtomicBool) -> Result<f64> {
    let folder = tempfile::tempdir()?;
    let text = "[account.demo]\npassword = \"demo\"\n";
    let (_process, address) = start(text, &folder, stop)?;
    let mut stream = log_in(address)?;
    let start_ns = clock.now_ns();
    let (mut sent, mut answered) = (0, 0);
    let (mut out, mut inbox) = (Vec::new(), Vec::new());
    let mut buffer = vec![0; 64 * 1024];
    while answered < TCP_ORDERS * 2 {
        out.clear();
        while sent < TCP_ORDERS && sent - answered / 2 < TCP_WINDOW {
            sent += 1;
            out.extend_from_slice(&bytes_of_order(sent));
        }
        stream.write_all(&out)?;
        let len = stream
            .read(&mut buffer)
            .context("the exchange does not answer")?;
        if len == 0 {
            bail!("the exchange closed after {answered} answers");
        }
        inbox.extend_from_slice(buffer.get(..len).unwrap_or_default());
        let mut used = 0;
        while let Ok(Some((packet, _))) = Packet::decode(inbox.get(used..).unwrap_or_default()) {
            used += packet.len();
            answered += u32::from(packet.kind == kind::SEQUENCED);
        }
        inbox.drain(..used);
    }
    let took_ns = clock.now_ns() - start_ns;
    Ok(f64::from(TCP_ORDERS) * 1e9 / took_ns as f64)
}

/// The market's own flow as fast as it goes, on two lines that nobody empties.
fn feed(clock: &Clock, stop: &AtomicBool) -> Result<(f64, f64)> {
    let lines = [
        UdpSocket::bind("127.0.0.1:0")?,
        UdpSocket::bind("127.0.0.1:0")?,
    ];
    let mut addresses = Vec::new();
    for line in &lines {
        addresses.push(format!("{{ address = \"{}\" }}", line.local_addr()?));
    }
    let folder = tempfile::tempdir()?;
    let text = format!(
        "is_busy = true\n[clock]\nwait_for_login_ms = 1\n[engine]\norders_max = 1000000\n\
         [flow]\nrate = 50000000\nsymbols = 500\ndepth = 100\nlimit = {FEED_STEPS}\n\
         [feed]\nwindow_us = 1\nlines = [{}]\n[account.demo]\npassword = \"demo\"\n",
        addresses.join(", ")
    );
    let (mut process, address) = start(&text, &folder, stop)?;
    let start_ns = clock.now_ns();
    let _client = log_in(address)?;
    process.await_line("the flow is over", Duration::from_secs(120), stop)?;
    let took_ns = clock.now_ns() - start_ns;
    let sent = process.said.iter().find_map(|line| flow_sent(line));
    let sent = sent.context("the exchange did not say what it sent")?;
    let per_s = |count: u64| count as f64 * 1e9 / took_ns as f64;
    Ok((per_s(sent.messages), per_s(sent.packets)))
}
