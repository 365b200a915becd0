//! Sends a feed from a file over one or two lines: at a fixed rate, or at the file's own pace.
//!
//! Packets leave on a schedule, and the schedule does not wait: a packet that is sent late is stamped
//! with the time at which it should have gone, so that waiting shows in every latency.
//!
//! A line goes to an address (a UDP socket) or, given an interface, as whole frames through a packet
//! socket, with our own headers and checksums.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};
use protocol::binary_file::Messages;
use protocol::itch::Message;
use protocol::mold::{self, PacketBuilder};
use protocol::types::Seq;
use rt::clock::Clock;
use rt::wire_stamps::WireStamps;
use serde::{Deserialize, Serialize};

use crate::counterparty::Counterparty;
use crate::feed_file::FeedFile;
pub use crate::outlet::Line;
use crate::outlet::Outlet;
use crate::triggers;

/// Bytes of UDP payload at most.
const PAYLOAD_MAX: usize = 1400;
/// Repeats of the end of session: any of them ends it.
const ENDS: u32 = 3;
/// How long the exchange goes on after the last packet, and waits before the first.
const LINGER_NS: u64 = 100_000_000;
/// Heartbeats before the first message, and the time between them: repeated sooner, one may be taken for the
/// network's copy of the one before.
const HEARTBEATS: u32 = 3;
const HEARTBEAT_NS: u64 = 110_000_000;
/// How long a client may take to log in.
const CLIENT_TIMEOUT_NS: u64 = 30_000_000_000;

/// When packets leave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// Packets a second, evenly.
    Rate(f64),
    /// Packets a second on average, at random like calls at an exchange: this seed.
    Poisson(f64, u64),
    /// The messages' own times, this many times as fast.
    Speed(f64),
}

/// What to send and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// The feed.
    pub file: PathBuf,
    /// One or two lines, both with everything.
    pub lines: Vec<Line>,
    /// When packets leave.
    pub pace: Pace,
    /// Messages in a packet at most.
    pub pack: u16,
    /// This many messages at the start go packed, as many as a packet holds.
    pub bulk: u64,
    /// Locate code of triggers (`triggers`): each goes in a packet of its own.
    pub trigger: Option<u16>,
    /// So many triggers in a row leave at one time.
    pub burst: u64,
    /// Session name.
    pub session: mold::Session,
    /// VLAN tag of frames.
    pub vlan: Option<u16>,
    /// Stop after this many messages.
    pub limit: Option<u64>,
    /// File to stamp messages in.
    pub wire_stamps: Option<PathBuf>,
    /// Be the exchange too, at this address, polled between packets.
    pub exchange: Option<SocketAddr>,
    /// Its answers wait this long, ns: a slow exchange.
    pub answer_after_ns: u64,
}

/// What was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Sent {
    /// Messages.
    #[serde(rename = "sent")]
    pub messages: u64,
    /// Packets on each line.
    pub packets: u64,
    /// Triggers among the messages.
    pub triggers: u64,
    /// Packets that left more than 1 ms after their time.
    pub late: u64,
    /// The latest, ns.
    pub late_ns_max: u64,
    /// How long it took, ns.
    pub took_ns: u64,
}

/// Sends the feed. `progress` hears of messages; `stop` ends it early, with the end of session.
///
/// # Errors
/// The file, a socket, an interface.
pub fn send(options: &Options, stop: &AtomicBool, mut progress: impl FnMut(u64)) -> Result<Sent> {
    let mut sender = Sender::open(options)?;
    sender.await_client(stop)?;
    sender.begin(stop)?;
    let mut feed = FeedFile::open(&options.file)?;
    let mut pending = Pending::default();
    let mut left = options.limit.unwrap_or(u64::MAX);
    'file: while let Some(chunk) = feed.next_chunk()? {
        for message in Messages::new(chunk) {
            if left == 0 || stop.load(Ordering::Relaxed) {
                break 'file;
            }
            left -= 1;
            let is_trigger = options
                .trigger
                .is_some_and(|locate| triggers::is_trigger(message, locate));
            let pack = if sender.next_seq <= options.bulk {
                u16::MAX
            } else {
                options.pack
            };
            if is_trigger || !pending.takes(message, pack) {
                sender.send(&mut pending)?;
                progress(sender.sent.messages);
            }
            pending.push(message, is_trigger);
        }
    }
    sender.send(&mut pending)?;
    sender.end()?;
    sender.linger(LINGER_NS);
    progress(sender.sent.messages);
    Ok(sender.sent)
}

/// Messages of the next packet.
#[derive(Default)]
struct Pending {
    bytes: Vec<u8>,
    count: u16,
    is_trigger: bool,
    /// Time of the first message, ns since midnight.
    time_ns: u64,
}

impl Pending {
    fn takes(&self, message: &[u8], pack: u16) -> bool {
        let len = mold::Header::LEN + self.bytes.len() + 2 + message.len();
        let has_room = self.count < pack && len <= PAYLOAD_MAX;
        self.count == 0 || (has_room && !self.is_trigger)
    }

    fn push(&mut self, message: &[u8], is_trigger: bool) {
        self.is_trigger = is_trigger;
        if self.count == 0 {
            let decoded = Message::decode(message);
            self.time_ns = decoded.map_or(self.time_ns, |m| m.head().timestamp.get().0);
        }
        let len = u16::try_from(message.len()).unwrap_or(0);
        self.bytes.extend_from_slice(&len.to_be_bytes());
        self.bytes.extend_from_slice(message);
        self.count += 1;
    }
}

/// The lines and the schedule.
struct Sender<'a> {
    options: &'a Options,
    outlets: Vec<Outlet>,
    stamps: Option<WireStamps>,
    exchange: Option<Counterparty>,
    clock: Clock,
    started_ns: u64,
    first_time_ns: Option<u64>,
    /// When the last packet was due, and when the next is by rate, ns after the start.
    due_ns: u64,
    next_due_ns: f64,
    random: fastrand::Rng,
    /// Triggers in a row so far.
    row: u64,
    next_seq: u64,
    sent: Sent,
}

impl<'a> Sender<'a> {
    fn open(options: &'a Options) -> Result<Self> {
        if options.lines.is_empty() || options.lines.len() > 2 {
            bail!("{} lines, expected 1 or 2", options.lines.len());
        }
        let open = |line| Outlet::open(line, options.vlan);
        let outlets = options.lines.iter().map(open).collect::<Result<_>>()?;
        let stamps = match &options.wire_stamps {
            Some(path) => Some(WireStamps::open(path).with_context(|| path.display().to_string())?),
            None => None,
        };
        let exchange = options
            .exchange
            .map(|address| Counterparty::open(address, options.answer_after_ns))
            .transpose()?;
        let clock = Clock::new();
        let started_ns = clock.now_ns();
        let seed = match options.pace {
            Pace::Poisson(_, seed) => seed,
            Pace::Rate(_) | Pace::Speed(_) => 0,
        };
        Ok(Self {
            options,
            outlets,
            stamps,
            exchange,
            clock,
            started_ns,
            first_time_ns: None,
            due_ns: 0,
            next_due_ns: 0.0,
            random: fastrand::Rng::with_seed(seed),
            row: 0,
            next_seq: 1,
            sent: Sent::default(),
        })
    }

    /// Waits until the gateway has logged in to the exchange on this core.
    fn await_client(&mut self, stop: &AtomicBool) -> Result<()> {
        if self.exchange.is_none() {
            return Ok(());
        }
        let until = self.clock.now_ns() + CLIENT_TIMEOUT_NS;
        while self
            .exchange
            .as_ref()
            .is_some_and(|exchange| !exchange.is_ready())
        {
            if stop.load(Ordering::Relaxed) || self.clock.now_ns() > until {
                bail!("nobody logged in");
            }
            self.linger(1_000_000);
        }
        self.linger(LINGER_NS);
        self.started_ns = self.clock.now_ns();
        Ok(())
    }

    /// Begins the session as a venue does, with heartbeats before the first message. Without them a handler
    /// that wants several packets to agree on a session holds the first data back until more come, which at
    /// a packet a second is a second.
    fn begin(&mut self, stop: &AtomicBool) -> Result<()> {
        for _ in 0..HEARTBEATS {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let mut buffer = [0; mold::Header::LEN];
            let seq = Seq(self.next_seq);
            let heartbeat = PacketBuilder::new(&mut buffer, self.options.session, seq);
            let Some(heartbeat) = heartbeat else { break };
            self.send_payload(heartbeat.finish())?;
            self.wait(self.clock.now_ns() + HEARTBEAT_NS);
        }
        self.started_ns = self.clock.now_ns();
        Ok(())
    }

    /// Lets the exchange work, if there is one.
    fn linger(&mut self, length_ns: u64) {
        let until = self.clock.now_ns() + length_ns;
        while self.exchange.is_some() && self.clock.now_ns() < until {
            self.poll_exchange();
        }
    }

    fn poll_exchange(&mut self) {
        if let Some(exchange) = &mut self.exchange {
            let clock = &self.clock;
            exchange.poll(|| clock.now_ns(), self.stamps.as_ref());
        }
    }

    /// Sends one packet at its time.
    fn send(&mut self, pending: &mut Pending) -> Result<()> {
        if pending.count == 0 {
            return Ok(());
        }
        let mut buffer = [0; PAYLOAD_MAX + 100];
        let Some(mut packet) =
            PacketBuilder::new(&mut buffer, self.options.session, Seq(self.next_seq))
        else {
            bail!("the packet buffer is too small");
        };
        for message in Messages::new(&pending.bytes) {
            if !packet.push(message) {
                bail!("a message of {} bytes does not fit a packet", message.len());
            }
        }
        let payload = packet.finish();
        let due_ns = self.schedule(pending);
        let late_ns = self.wait(due_ns);
        self.sent.late_ns_max = self.sent.late_ns_max.max(late_ns);
        self.sent.late += u64::from(late_ns > 1_000_000);
        if let Some(stamps) = &self.stamps {
            for seq in self.next_seq..self.next_seq + u64::from(pending.count) {
                stamps.set_sent(seq, due_ns);
            }
        }
        self.send_payload(payload)?;
        self.next_seq += u64::from(pending.count);
        self.sent.messages += u64::from(pending.count);
        self.sent.packets += 1;
        self.sent.triggers += u64::from(pending.is_trigger);
        self.sent.took_ns = self.clock.now_ns() - self.started_ns;
        // Another thread may bend the kernel's clock meanwhile: stay with it.
        if self.sent.packets.is_multiple_of(1024) {
            self.clock.discipline();
        }
        pending.bytes.clear();
        (pending.count, pending.is_trigger) = (0, false);
        Ok(())
    }

    /// When the packet is due. Triggers of a burst are due with the first of them; the packet behind
    /// them waits as long as if they had come one by one, so the rate stays.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a time of day in ns fits, and is not negative"
    )]
    fn schedule(&mut self, pending: &Pending) -> u64 {
        let by_rate_ns = self.next_due_ns as u64;
        let is_with_last =
            pending.is_trigger && !self.row.is_multiple_of(self.options.burst.max(1));
        self.row = if pending.is_trigger { self.row + 1 } else { 0 };
        let due_ns = match self.options.pace {
            Pace::Rate(rate) => {
                self.next_due_ns += 1e9 / rate;
                by_rate_ns
            }
            Pace::Poisson(rate, _) => {
                self.next_due_ns += -(1.0 - self.random.f64()).ln() * 1e9 / rate;
                by_rate_ns
            }
            Pace::Speed(factor) => {
                let first = *self.first_time_ns.get_or_insert(pending.time_ns);
                (pending.time_ns.saturating_sub(first) as f64 / factor) as u64
            }
        };
        if !is_with_last {
            self.due_ns = due_ns;
        }
        self.started_ns + self.due_ns
    }

    fn send_payload(&mut self, payload: &[u8]) -> Result<()> {
        self.outlets
            .iter_mut()
            .try_for_each(|outlet| outlet.send(payload))
    }

    /// Waits without giving a punctual packet away: sleeps while there is much time, then yields. Returns how
    /// late it is.
    fn wait(&mut self, due_ns: u64) -> u64 {
        loop {
            let now_ns = self.clock.now_ns();
            if now_ns >= due_ns {
                return now_ns - due_ns;
            }
            match due_ns - now_ns {
                _ if self.exchange.is_some() => self.poll_exchange(),
                left if left > 2_000_000 => {
                    std::thread::park_timeout(std::time::Duration::from_nanos(left - 1_000_000));
                }
                left if left > 5_000 => std::thread::yield_now(),
                _ => std::hint::spin_loop(),
            }
        }
    }

    fn end(&mut self) -> Result<()> {
        for _ in 0..ENDS {
            let mut buffer = [0; mold::Header::LEN];
            let end = PacketBuilder::new(&mut buffer, self.options.session, Seq(self.next_seq));
            let Some(end) = end else { break };
            self.send_payload(end.finish_end_of_session())?;
        }
        Ok(())
    }
}

/// A session name of at most ten characters, padded.
#[must_use]
pub fn session_name(text: &str) -> mold::Session {
    let mut name = [b' '; 10];
    for (to, from) in name.iter_mut().zip(text.bytes()) {
        *to = from;
    }
    name
}
