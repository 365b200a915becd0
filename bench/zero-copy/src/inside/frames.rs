//! Frames from one card to another, sent by the socket of delegated sessions and received by that of feeds, each byte of each
//! looked at.
//!
//! ```text
//!  content(seq) ─> Sender, a queue each ─> card ══ card ─> XDP program ─> XdpSource, a queue each ─> content(seq)?
//!        ^                                                                                  │
//!        └────────────────── at most `WINDOW` more than have arrived ───────────────────────┘
//! ```
//!
//! The window keeps the host's taps from overflowing, which lose what they have no room for: a loss is the sockets' or
//! the drivers'.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use feed_handler::source::PacketSource;
use feed_handler::xdp::{self, Mode, Opened, Rung, SocketOptions, Wanted, XdpSource};
use gateway::order::transport::delegated::Sender;
use lab::netns::ip;
use protocol::frame::FrameBuilder;
use rt::clock::monotonic_ns;

use crate::cards::{Card, Kind, Link, QUEUES};
use crate::report::{FramesRun, QueueRun};

/// What is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// On which cards.
    pub kind: Kind,
    /// Busy polling of the receiving queues, µs; 0: none.
    pub busy_poll_us: u32,
    /// Frames.
    pub frames: u64,
}

/// Frames on their way at a time: fewer than a tap holds.
const WINDOW: u64 = 512;
/// Flows, told apart by their source port, so that the receiving card spreads them over its queues.
const FLOWS: u16 = 16;
/// Looks for room in the window before the kernel is told of waiting frames again.
const SPINS: u32 = 4_096;
/// Without a frame for so long, those that are missing are lost.
const SILENCE_NS: u64 = 5_000_000_000;
const FROM: Ipv4Addr = Ipv4Addr::new(10, 77, 3, 1);
const TO: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 77, 3, 2), 26_500);
const FROM_PORT: u16 = 40_000;

/// Bytes of a payload at most, so that a frame is as long as an Ethernet of 1,500 bytes takes.
const PAYLOAD_MAX: usize = 1_472;
/// Bytes of one at least: its number.
const PAYLOAD_MIN: usize = 8;

/// Runs it.
///
/// # Errors
/// A socket could not be opened, or the sender failed.
pub fn run(plan: &Plan, stop: &AtomicBool) -> Result<FramesRun> {
    let card = |end| Card {
        kind: plan.kind,
        link: Link::Feed,
        end,
    };
    let [from, to] = [card(0).interface()?, card(1).interface()?];
    for interface in [&from, &to] {
        ip(&["link", "set", interface, "up"])?;
    }
    let opened = receiver(plan, &to)?;
    let (rung, huge_pages) = (opened.rung, opened.huge_pages);
    let (mut source, watch) = opened.source.context("no AF_XDP on the receiving card")?;
    let mut senders = Vec::new();
    for queue in 0..QUEUES {
        let sender = Sender::open(&from, queue, plan.kind == Kind::ZeroCopy);
        senders.push(sender.with_context(|| format!("sending by queue {queue} of {from}"))?);
    }
    let asked: std::io::Result<Vec<bool>> = senders.iter().map(Sender::is_zero_copy).collect();
    let mut run = FramesRun {
        name: plan.kind.name().to_owned(),
        receive: rung.to_string(),
        send: if asked?.iter().all(|granted| *granted) {
            "zero-copy"
        } else {
            "copy"
        }
        .to_owned(),
        huge_pages,
        busy_poll_us: plan.busy_poll_us,
        asked: plan.frames,
        ..FramesRun::default()
    };
    let way = Way {
        arrived: AtomicU64::new(0),
        is_over: AtomicBool::new(false),
    };
    let started_ns = monotonic_ns();
    let mut books = Books::new(plan.frames);
    let sent = std::thread::scope(|scope| {
        let sending = scope.spawn(|| {
            let macs = [card(0).mac(), card(1).mac()];
            send(plan.frames, macs, &mut senders, &way)
        });
        receive(&mut source, &mut books, &way, stop);
        sending.join()
    });
    let Ok(sent) = sent else {
        bail!("the sender panicked")
    };
    let sent = sent?;
    run.took_ms = (monotonic_ns() - started_ns) / 1_000_000;
    (run.sent, run.refused, run.uncompleted) = (sent.frames, sent.refused, sent.uncompleted);
    books.close(&mut run);
    for queue in &watch.queues {
        let kernel = queue.statistics()?;
        run.queues.push(QueueRun {
            queue: queue.queue,
            received: queue.counters().frames.get(),
            unstamped: queue.counters().unstamped.get(),
            wake_ups: queue.counters().wake_ups.get(),
            rx_dropped: kernel.rx_dropped,
            rx_ring_full: kernel.rx_ring_full,
            fill_ring_empty: kernel.fill_ring_empty,
        });
    }
    Ok(run)
}

/// All queues of a card, as a feed opens them.
fn receiver(plan: &Plan, interface: &str) -> Result<Opened> {
    let options = xdp::Options {
        interface: interface.to_owned(),
        wanted: vec![Wanted {
            address: TO,
            line: 0,
        }],
        mode: Mode::Auto,
        require: match plan.kind {
            Kind::ZeroCopy => Rung::ZeroCopy,
            Kind::Copy => Rung::NativeCopy,
        },
        trusted_drivers: Vec::new(),
        queues: Vec::new(),
        allow_default_route: false,
        trial: Duration::ZERO,
        socket: SocketOptions {
            frames: 8192,
            frame_bytes: 2048,
            rx_ring: 4096,
            batch: 32,
            huge_pages: true,
            busy_poll_us: plan.busy_poll_us,
            busy_poll_budget: 64,
        },
    };
    xdp::open(&options).with_context(|| format!("receiving on {interface}"))
}

/// What sender and receiver tell one another.
struct Way {
    arrived: AtomicU64,
    /// Nobody receives any more.
    is_over: AtomicBool,
}

/// What a sender did.
#[derive(Clone, Copy, Debug, Default)]
struct Sent {
    frames: u64,
    refused: u64,
    uncompleted: u64,
}

fn send(
    frames: u64,
    [source_mac, destination_mac]: [[u8; 6]; 2],
    senders: &mut [Sender],
    way: &Way,
) -> Result<Sent> {
    let mut sent = Sent::default();
    let mut payload = [0; PAYLOAD_MAX];
    'all: for seq in 0..frames {
        // Relaxed: a count, and nothing hangs on it.
        let mut waited = 0u32;
        while seq >= way.arrived.load(Ordering::Relaxed) + WINDOW {
            if way.is_over.load(Ordering::Relaxed) {
                break 'all;
            }
            waited += 1;
            if waited.is_multiple_of(SPINS) {
                kick_all(senders);
            }
            std::hint::spin_loop();
        }
        let flow = flow(seq);
        let queue = usize::try_from(u32::from(flow) % QUEUES)?;
        let sender = senders.get_mut(queue).context("a sender for each queue")?;
        let builder = FrameBuilder {
            source_mac,
            destination_mac,
            vlan: None,
            source: SocketAddrV4::new(FROM, FROM_PORT + flow),
            destination: TO,
            ttl: 1,
        };
        let payload = content(seq, &mut payload);
        loop {
            match sender.send(|room| builder.build(payload, room)) {
                Ok(true) => break,
                // No frame is free: those that have left are taken back, and the kernel is told of the others.
                Ok(false) => {
                    if !sender.is_idle() {
                        sender.kick_again();
                    }
                    if way.is_over.load(Ordering::Relaxed) {
                        break 'all;
                    }
                }
                // It is in the ring, and leaves with the next kick.
                Err(_) => {
                    sent.refused += 1;
                    break;
                }
            }
        }
        sent.frames += 1;
    }
    // Until the receiver has everything, or has waited long enough: then all frames are back, or never come.
    while !way.is_over.load(Ordering::Relaxed) {
        kick_all(senders);
        std::thread::park_timeout(Duration::from_millis(1));
    }
    for sender in senders.iter_mut() {
        sent.uncompleted += u64::from(!sender.is_idle());
    }
    Ok(sent)
}

/// Tells the kernel again of what it has put off.
fn kick_all(senders: &mut [Sender]) {
    for sender in senders {
        if !sender.is_idle() {
            sender.kick_again();
        }
    }
}

fn receive(source: &mut XdpSource, books: &mut Books, way: &Way, stop: &AtomicBool) {
    let mut last_ns = monotonic_ns();
    let mut idle = 0u32;
    while books.arrived < books.frames {
        if source.acquire() == 0 {
            idle += 1;
            // The clock is slow in an emulated machine.
            if idle.is_multiple_of(256)
                && (monotonic_ns() - last_ns > SILENCE_NS || stop.load(Ordering::Relaxed))
            {
                break;
            }
            continue;
        }
        source.each(|packet| books.enter(packet.payload));
        source.release();
        way.arrived.store(books.arrived, Ordering::Relaxed);
        (last_ns, idle) = (monotonic_ns(), 0);
    }
    // Long enough for the last frames' way back to the sender.
    std::thread::park_timeout(Duration::from_millis(50));
    way.is_over.store(true, Ordering::Relaxed);
}

/// The flow of a frame.
fn flow(seq: u64) -> u16 {
    u16::try_from(seq % u64::from(FLOWS)).unwrap_or(0)
}

/// What a payload is: its number, then bytes that follow from it; most are short, as a feed's are, some as long as can be.
fn content(seq: u64, room: &mut [u8; PAYLOAD_MAX]) -> &[u8] {
    let mut state = seq.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x7469_636B;
    let len = match seq % 64 {
        63 => PAYLOAD_MAX,
        _ => PAYLOAD_MIN + usize::try_from(mix(&mut state) % 120).unwrap_or(0),
    };
    let payload = room.get_mut(..len).unwrap_or_default();
    let (number, rest) = payload.split_at_mut(PAYLOAD_MIN);
    number.copy_from_slice(&seq.to_be_bytes());
    for bytes in rest.chunks_mut(8) {
        let word = mix(&mut state).to_be_bytes();
        bytes.copy_from_slice(word.get(..bytes.len()).unwrap_or_default());
    }
    payload
}

/// SplitMix64: one step.
fn mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut word = *state;
    word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}

/// Which frames have arrived, and how.
#[derive(Debug)]
struct Books {
    frames: u64,
    arrived: u64,
    /// A bit for each.
    seen: Vec<u64>,
    /// The last of each flow.
    last: [Option<u64>; FLOWS as usize],
    corrupt: u64,
    twice: u64,
    out_of_order: u64,
    bytes: u64,
    room: [u8; PAYLOAD_MAX],
}

impl Books {
    fn new(frames: u64) -> Self {
        let words = usize::try_from(frames.div_ceil(64)).unwrap_or(0);
        Self {
            frames,
            arrived: 0,
            seen: vec![0; words],
            last: [None; FLOWS as usize],
            corrupt: 0,
            twice: 0,
            out_of_order: 0,
            bytes: 0,
            room: [0; PAYLOAD_MAX],
        }
    }

    fn enter(&mut self, payload: &[u8]) {
        let seq = payload
            .first_chunk::<PAYLOAD_MIN>()
            .map(|number| u64::from_be_bytes(*number));
        let Some(seq) =
            seq.filter(|seq| *seq < self.frames && content(*seq, &mut self.room) == payload)
        else {
            self.corrupt += 1;
            return;
        };
        let (word, bit) = (
            usize::try_from(seq / 64).unwrap_or(usize::MAX),
            1u64 << (seq % 64),
        );
        let Some(word) = self.seen.get_mut(word) else {
            return;
        };
        if *word & bit != 0 {
            self.twice += 1;
            return;
        }
        *word |= bit;
        self.arrived += 1;
        self.bytes += payload.len() as u64;
        if let Some(last) = self.last.get_mut(usize::from(flow(seq))) {
            // A flow has one queue on each side, so nothing overtakes anything in it.
            self.out_of_order += u64::from(last.is_some_and(|last| last > seq));
            *last = Some(seq);
        }
    }

    fn close(&self, run: &mut FramesRun) {
        run.received = self.arrived;
        run.lost = run.sent - self.arrived;
        (run.corrupt, run.twice) = (self.corrupt, self.twice);
        (run.out_of_order, run.bytes) = (self.out_of_order, self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(seq: u64) -> Vec<u8> {
        content(seq, &mut [0; PAYLOAD_MAX]).to_vec()
    }

    #[test]
    fn every_fault_of_a_frame_is_seen() {
        let mut books = Books::new(200);
        for seq in [0, 16, 63, 1] {
            books.enter(&payload(seq));
        }
        assert_eq!((books.arrived, books.corrupt), (4, 0));
        books.enter(&payload(16));
        books.enter(&payload(48));
        books.enter(&payload(32));
        let mut damaged = payload(5);
        *damaged.last_mut().unwrap() ^= 1;
        books.enter(&damaged);
        books.enter(&payload(6)[..9]);
        books.enter(&[]);
        books.enter(&payload(200));
        assert_eq!((books.twice, books.out_of_order, books.corrupt), (1, 1, 4));
        let mut run = FramesRun {
            sent: 8,
            ..FramesRun::default()
        };
        books.close(&mut run);
        assert_eq!((run.received, run.lost), (6, 2));
    }

    #[test]
    fn contents_differ_and_some_are_as_long_as_can_be() {
        assert_eq!(payload(63).len(), PAYLOAD_MAX);
        assert_ne!(payload(1)[PAYLOAD_MIN..], payload(2)[PAYLOAD_MIN..]);
        assert_eq!(payload(7), payload(7));
    }
}
