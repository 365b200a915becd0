//! The sockets: order entry and snapshots over TCP, lines and re-requests over UDP, all on tokio-uring.
//!
//! ```text
//!  keeper (time) ──┐
//!  clients ────────┼──> Shared: advance ─> on_message ─> settle: packets out, answers saved, clients woken
//!  re-requests ────┘
//! ```
//!
//! All tasks run on one thread, so the exchange has one owner and no lock. After whatever moved the exchange
//! `Shared::settle` runs before the task yields: an answer is in its file before any task can send it.
//!
//! When full:   a connection beyond the limit is closed at once; a client that does not read is cut off
//!              when too much waits for it.

mod accounts;
mod client;
mod control;
mod files;
mod lines;
mod metrics;
mod nonsense;
mod options;
mod status;

pub use options::{ClockMode, ClockOptions, Line, Options, Record};

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::BufReader;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use flate2::read::MultiGzDecoder;
use rt::clock::{Clock, DAY_NS, realtime_ns};
use rt::wire_stamps::WireStamps;

use crate::exchange::{Exchange, origin_seq};
use crate::fault::Act;
use crate::flow::recorded::Recorded;
use client::Client;
use control::Door;
use files::Files;
use lines::Lines;
use metrics::Desk;
use nonsense::Nonsense;

/// How long the keeper sleeps at most.
const TICK: Duration = Duration::from_millis(100);
/// A wait shorter than this is not worth a timer (the runtime's timers have milliseconds).
const SLEEP_NS_MIN: u64 = 1_000_000;
/// How far each of the last steps of a stepped clock goes.
const LAST_STEP_NS: u64 = 10_000_000;
/// Bytes of a record that are read at once.
const READ_AHEAD_BYTES: usize = 1 << 20;

rt::counters! {
    /// What the sockets have seen.
    pub struct ServerCounters {
        /// Connections taken.
        connections,
        /// Connections refused: too many.
        connections_refused,
        /// Clients cut off: nothing that the protocol knows, a bad login, silence.
        clients_closed,
        /// Clients cut off: they did not read.
        clients_slow,
        /// Connections taken over by a newer login of the same account.
        clients_taken_over,
        /// Messages that are no OUCH message and that no line of the log told of: there was one in the
        /// same second.
        nonsense_untold,
    }
}

/// What all tasks share.
pub(crate) struct Shared {
    pub options: Options,
    pub exchange: RefCell<Exchange>,
    pub clock: RefCell<Clock>,
    pub counters: ServerCounters,
    nonsense: Nonsense,
    stamps: Option<WireStamps>,
    lines: Option<Lines>,
    files: RefCell<Files>,
    /// The host's time at which the exchange's day begins; `None`: not yet.
    begins_ns: Cell<Option<u64>>,
    /// The exchange's time then.
    start_ns: u64,
    is_flow_over: Cell<bool>,
    /// How far faults have moved the clock.
    jump_ns: Cell<u64>,
    pub connections: Cell<usize>,
    /// Of these, those that were given a snapshot.
    pub snapshots: Cell<usize>,
    /// Clients that are logged in for order entry; one for each account.
    pub live: RefCell<Vec<(u16, Rc<Client>)>>,
}

/// Serves until `stop` is set. `on_ready` is called with the sockets open.
///
/// # Errors
/// An address is taken or not ours, a file cannot be read or written: one line.
pub fn run(
    options: Options,
    stop: &Arc<AtomicBool>,
    on_ready: impl FnOnce(),
) -> Result<(), String> {
    // Its thread stays off the exchange's CPU.
    let desk = Desk::open(options.metrics)?;
    if let Some(cpu) = options.cpu {
        rt::cpu::pin(cpu).map_err(|error| format!("cpu {cpu}: {error}"))?;
    }
    let shared = Rc::new(Shared::open(options)?);
    tokio_uring::start(async move {
        client::listen(&shared)?;
        if let Some(lines) = &shared.lines {
            lines.listen(&shared)?;
        }
        let door = Door::open(shared.options.control.as_deref())?;
        shared.settle();
        on_ready();
        while !stop.load(Ordering::SeqCst) {
            shared.turn();
            if let Some(door) = &door {
                door.look(&shared);
            }
            if let Some(desk) = &desk {
                desk.look(&shared);
            }
            shared.wait().await;
        }
        shared.end_day().await;
        control::close(shared.options.control.as_deref());
        shared.write_report()?;
        shared.unkept()
    })
}

/// Whether everything can be opened, for `check`.
///
/// # Errors
/// Why not: one line.
pub fn probe(options: &Options) -> Result<(), String> {
    let addresses = [
        Some(options.address),
        options.glimpse.map(Into::into),
        options.metrics,
    ];
    for address in addresses.into_iter().flatten() {
        std::net::TcpListener::bind(address)
            .map_err(|error| format!("listening on {address}: {error}"))?;
    }
    Ok(())
}

/// The record, if the market is one.
fn open_record(options: &Options, now_ns: u64) -> Result<Option<Recorded>, String> {
    let Some(record) = &options.record else {
        return Ok(None);
    };
    let path = &record.file;
    let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let is_packed = path.extension().is_some_and(|extension| extension == "gz");
    let from: Box<dyn std::io::Read> = if is_packed {
        Box::new(BufReader::with_capacity(
            READ_AHEAD_BYTES,
            MultiGzDecoder::new(file),
        ))
    } else {
        Box::new(BufReader::with_capacity(READ_AHEAD_BYTES, file))
    };
    Ok(Some(Recorded::new(from, record.pace, now_ns)))
}

impl Shared {
    fn open(mut options: Options) -> Result<Self, String> {
        let stamps = match &options.wire_stamps {
            Some(path) => Some(
                WireStamps::open(path).map_err(|error| format!("{}: {error}", path.display()))?,
            ),
            None => None,
        };
        let clock = Clock::new();
        // What opening takes is time that passes.
        let (realtime_ns, opened_ns) = (realtime_ns(), clock.now_ns());
        let start = options.clock.start_ns.unwrap_or(realtime_ns % DAY_NS);
        if let Some(feed) = &mut options.exchange.feed {
            feed.midnight_ns = realtime_ns - realtime_ns % DAY_NS;
        }
        let (mut files, stores) = Files::open(&options)?;
        let session = files.feed_session(&options)?;
        let recorded = open_record(&options, start)?;
        let mut exchange = Exchange::open(&options.exchange, start, &session, recorded);
        for (account, store) in stores {
            if let Some(account) = exchange.account(&account) {
                exchange.restore(account, store);
            }
        }
        let has_feed = options.exchange.feed.is_some();
        let lines = has_feed.then(|| Lines::open(&options)).transpose()?;
        let waits = options.clock.wait_for_login_ns.is_some();
        Ok(Self {
            begins_ns: Cell::new((!waits).then_some(opened_ns)),
            start_ns: start,
            is_flow_over: Cell::new(false),
            jump_ns: Cell::new(0),
            exchange: RefCell::new(exchange),
            clock: RefCell::new(clock),
            counters: ServerCounters::default(),
            nonsense: Nonsense::default(),
            stamps,
            lines,
            files: RefCell::new(files),
            connections: Cell::new(0),
            snapshots: Cell::new(0),
            live: RefCell::default(),
            options,
        })
    }

    /// The host's time.
    pub(crate) fn host_ns(&self) -> u64 {
        self.clock.borrow().now_ns()
    }

    fn is_stepped(&self) -> bool {
        self.options.clock.mode == ClockMode::Steps
    }

    /// The time by which sessions are silent: the host's, or the exchange's where that moves by steps.
    pub(crate) fn session_ns(&self) -> u64 {
        if self.is_stepped() {
            self.exchange.borrow().now_ns()
        } else {
            self.host_ns()
        }
    }

    /// The exchange's time as the host's clock has it.
    fn wall_ns(&self) -> u64 {
        let passed = self
            .begins_ns
            .get()
            .map_or(0, |begins| self.host_ns().saturating_sub(begins));
        self.start_ns + passed + self.jump_ns.get()
    }

    /// Whether the day has begun.
    fn is_begun(&self) -> bool {
        self.begins_ns
            .get()
            .is_some_and(|begins| begins <= self.host_ns())
    }

    /// A client is in: if time waited for that, it no longer does.
    pub(crate) fn on_login(&self) {
        if let (Some(wait_ns), None) = (self.options.clock.wait_for_login_ns, self.begins_ns.get())
        {
            self.begins_ns.set(Some(self.host_ns() + wait_ns));
        }
    }

    /// Lets time pass.
    fn turn(&self) {
        if self.is_begun() && !self.is_stepped() {
            self.exchange.borrow_mut().advance(self.wall_ns());
        }
        self.settle();
        if !self.is_flow_over.get() && self.exchange.borrow().is_flow_over() {
            self.is_flow_over.set(true);
            let exchange = self.exchange.borrow();
            let (messages, packets) = exchange
                .feed_counters()
                .map_or((0, 0), |feed| (feed.messages.get(), feed.packets.get()));
            log::info!("the flow is over: {messages} messages in {packets} packets");
            if let Some(failure) = exchange.record_failure() {
                log::error!("{failure}");
            }
        }
        self.clock.borrow_mut().discipline();
        client::drop_slow(self);
        client::cut_faulty(self);
        self.suffer();
    }

    /// Faults of the exchange itself.
    fn suffer(&self) {
        let Some((act, by_ns)) = self.exchange.borrow_mut().take_exchange_fault() else {
            return;
        };
        log::warn!("fault: {act:?}");
        match act {
            Act::ClockJump => self.jump_ns.set(self.jump_ns.get() + by_ns),
            Act::CrashWithoutStore => {
                self.files.borrow().forget();
                std::process::abort();
            }
            _ => std::process::abort(),
        }
    }

    /// Takes a client's message at its time.
    pub(crate) fn on_message(&self, account: u16, message: &[u8], host_ns: u64) {
        if let (Some(stamps), Some(seq)) = (&self.stamps, origin_seq(message)) {
            stamps.set_received(seq, host_ns);
        }
        let mut exchange = self.exchange.borrow_mut();
        let now_ns = if self.is_stepped() {
            exchange.now_ns() + self.options.clock.step_ns
        } else {
            self.wall_ns()
        };
        exchange.advance(now_ns);
        let undecodable = exchange.entry_counters().undecodable.get();
        exchange.on_message(account, message);
        if exchange.entry_counters().undecodable.get() != undecodable {
            self.tell_nonsense(account, message, host_ns);
        }
    }

    #[cold]
    fn tell_nonsense(&self, account: u16, message: &[u8], host_ns: u64) {
        let name = self
            .options
            .exchange
            .accounts
            .keys()
            .nth(usize::from(account));
        let name = name.map_or("?", String::as_str);
        match self.nonsense.line(name, message, host_ns) {
            Some(line) => log::warn!("{line}"),
            None => self.counters.nonsense_untold.increment(),
        }
    }

    /// After whatever moved the exchange: packets leave, answers are saved, clients are woken.
    pub(crate) fn settle(&self) {
        let mut exchange = self.exchange.borrow_mut();
        if let Some(lines) = self.lines.as_ref().filter(|_| self.is_begun()) {
            lines.send(&mut exchange, |seq| {
                if let Some(stamps) = &self.stamps {
                    stamps.set_sent(seq, self.host_ns());
                }
            });
        }
        let saved = self.files.borrow_mut().save(&mut exchange, self.host_ns());
        for (account, client) in &*self.live.borrow() {
            if saved.is_err() && exchange.is_cut(*account) {
                client.end();
            } else {
                client.wake_for(exchange.stored(*account));
            }
        }
    }

    /// Until something is due, or a task has something to do.
    async fn wait(&self) {
        let due_ns = self
            .exchange
            .borrow()
            .next_due_ns()
            .filter(|_| self.is_begun());
        let wait_ns = due_ns.map_or(u64::MAX, |due| due.saturating_sub(self.wall_ns()));
        if self.options.is_busy || (wait_ns < SLEEP_NS_MIN && !self.is_stepped()) {
            // A yield alone would not hand waiting reads and writes to the kernel: the runtime does so
            // when it parks, and this wakes it at once. It cannot fail where io_uring works.
            let _ = tokio_uring::no_op().await;
            return;
        }
        let wait = Duration::from_nanos(wait_ns).min(TICK);
        tokio::time::sleep(if self.is_stepped() { TICK } else { wait }).await;
    }

    /// A clean stop: what rests is cancelled, the feed's session ends, clients are told and read it.
    async fn end_day(&self) {
        self.exchange.borrow_mut().end_day();
        self.settle();
        let clients: Vec<_> = self
            .live
            .borrow()
            .iter()
            .map(|(_, client)| Rc::clone(client))
            .collect();
        for client in clients {
            client.end_session();
        }
        // Delayed lines and clients' sockets empty within this; a client that does not read loses it.
        for _ in 0..10 {
            tokio::time::sleep(TICK / 10).await;
            if self.is_stepped() {
                // Nobody else moves the time for what a delayed line still holds.
                let now_ns = self.exchange.borrow().now_ns();
                self.exchange.borrow_mut().advance(now_ns + LAST_STEP_NS);
            }
            self.turn();
        }
    }

    /// At the end: answers that were never kept, nor told.
    fn unkept(&self) -> Result<(), String> {
        let exchange = self.exchange.borrow();
        let accounts = (0..).zip(self.options.exchange.accounts.keys());
        let cut = accounts.filter(|(account, _)| exchange.is_cut(*account));
        let cut: Vec<&str> = cut.map(|(_, name)| name.as_str()).collect();
        if cut.is_empty() {
            Ok(())
        } else {
            Err(format!("answers of {} could not be kept", cut.join(", ")))
        }
    }

    /// Writes what was counted.
    fn write_report(&self) -> Result<(), String> {
        let Some(path) = &self.options.report else {
            return Ok(());
        };
        let text = status::json(self).to_string();
        std::fs::write(path, text + "\n").map_err(|error| format!("{}: {error}", path.display()))
    }
}
