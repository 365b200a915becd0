//! Frames that were damaged on their way move no book that the good ones would not have moved.
//!
//! Damage is what checksums promise to see: bits of one byte, an end that is missing. What a sender damages before it
//! computes them is another matter: `feed_days` and the fuzz targets have that.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

mod support;

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use fastrand::Rng;
use feed_handler::arbiter::{Arbiter, Patience};
use feed_handler::best_prices::{BestPrice, BestPrices};
use feed_handler::book::{Books, Limits};
use feed_handler::feed::{Counters, Feed, FeedHistograms, Parts};
use feed_handler::publish::Publisher;
use feed_handler::source::{Packet, PacketSource};
use feed_handler::venue::{Iex, Nasdaq, Venue};
use pcap_file::pcap::PcapReader;
use protocol::binary_file::Messages;
use protocol::frame::{Datagram, FrameBuilder, multicast_mac};
use protocol::mold::PacketBuilder;
use protocol::types::Seq;
use rt::clock::Clock;
use rt::mem::Want;

const GROUP: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(239, 77, 0, 1), 26_400);
/// The two addresses of Ethernet: damage there is the network card's to see, and changes no datagram.
const ADDRESSES: usize = 12;
const MS: u64 = 1_000_000;

/// One packet a turn, as the receivers show it: nothing that is not whole.
struct Wire {
    payloads: Vec<Vec<u8>>,
    next: usize,
}

impl PacketSource for Wire {
    fn acquire(&mut self) -> usize {
        usize::from(self.next < self.payloads.len())
    }
    fn each(&mut self, mut on_packet: impl FnMut(Packet<'_>)) {
        on_packet(Packet {
            payload: &self.payloads[self.next],
            wire_ns: 0,
            frame: &[],
            line: 0,
        });
    }
    fn release(&mut self) {
        self.next += 1;
    }
    fn housekeep(&mut self) {}
}

/// What the receiver takes of a frame (`xdp::receiver`; the kernel does the same for its sockets).
fn payload_of(frame: &[u8]) -> Option<&[u8]> {
    Datagram::parse_whole(frame).ok().map(|found| found.payload)
}

fn damage(frame: &mut Vec<u8>, random: &mut Rng) {
    if random.u8(..8) == 0 {
        frame.truncate(random.usize(1..frame.len()));
        return;
    }
    let at = random.usize(ADDRESSES..frame.len());
    frame[at] ^= random.u8(1..);
}

/// How a day ended: best prices of each symbol that has some, and gaps that were announced.
#[derive(Debug, PartialEq)]
struct End {
    best: Vec<(u16, BestPrice)>,
    gaps: u64,
    lost: u64,
    malformed: u64,
}

fn end_of<V: Venue + Default>(payloads: Vec<Vec<u8>>) -> End {
    let prices = Arc::new(BestPrices::new(Want::LAZY).expect("memory"));
    let counters = Arc::new(Counters::default());
    let limits = Limits {
        orders_max: 1 << 16,
        levels_max: 1 << 14,
    };
    let mut feed = Feed::new(Parts {
        source: Wire { payloads, next: 0 },
        venue: V::default(),
        arbiter: Arbiter::<V>::new(Patience {
            gap_timeout_ns: 0,
            stale_ns: 1_000_000 * MS,
        }),
        books: Books::new(&limits, Want::LAZY).expect("memory"),
        publisher: Publisher::new(prices, 64),
        counters: Arc::clone(&counters),
        histograms: FeedHistograms::default(),
        feed: 0,
        lines: 1,
        stale_ns: 1_000_000 * MS,
    });
    let mut clock = Clock::manual(1_000);
    while feed.poll(&clock) > 0 {
        // Far enough apart that packets which begin a session are no copies.
        clock.set_ns(clock.now_ns() + 200 * MS);
    }
    let best = (0..=u16::MAX).map(|locate| (locate, feed.books().best(locate)));
    End {
        best: best
            .filter(|(_, best)| *best != BestPrice::default())
            .collect(),
        gaps: counters.arbiter.gaps.get(),
        lost: counters.arbiter.messages_lost.get(),
        malformed: counters.arbiter.packets_malformed.get() + counters.feed.malformed.get(),
    }
}

/// Damages one frame in eight, and returns how many were thrown away for it. A frame whose damage lies behind its
/// datagram says what it said before.
fn compare<V: Venue + Default>(frames: &[Vec<u8>], seed: u64) -> usize {
    let mut random = Rng::with_seed(seed);
    let (mut received, mut good) = (Vec::new(), Vec::new());
    let mut thrown = 0;
    for frame in frames {
        let whole = payload_of(frame).expect("a whole frame").to_vec();
        let mut frame = frame.clone();
        let is_damaged = random.u8(..8) == 0;
        if is_damaged {
            damage(&mut frame, &mut random);
        }
        match payload_of(&frame) {
            Some(payload) => {
                received.push(payload.to_vec());
                good.push(whole);
            }
            None => {
                assert!(is_damaged, "seed {seed}: a good frame was thrown away");
                thrown += 1;
            }
        }
    }
    let (found, expected) = (end_of::<V>(received), end_of::<V>(good));
    assert_eq!(found, expected, "seed {seed}");
    thrown
}

/// A generated day in frames, after the heartbeats that begin its session.
fn day() -> Vec<Vec<u8>> {
    let options = feeds::generate::Options {
        seed: 3,
        messages: 6_000,
        symbols: 20,
        live: 0,
    };
    let day = feeds::generate::to_writer(&options, Vec::new(), |_| ()).expect("a day");
    let messages: Vec<&[u8]> = Messages::new(&day).collect();
    let data = |seq: usize, messages: &[&[u8]]| {
        let mut payload = [0; 1400];
        let packet = PacketBuilder::new(&mut payload, *b"DAMAGED   ", Seq(seq as u64));
        let mut packet = packet.expect("room");
        assert!(messages.iter().all(|message| packet.push(message)));
        frame(packet.finish())
    };
    let begin = (0..40).map(|_| data(1, &[]));
    let packets = messages.chunks(6).zip((1..).step_by(6));
    begin
        .chain(packets.map(|(messages, seq)| data(seq, messages)))
        .collect()
}

/// A payload on its way to the group.
fn frame(payload: &[u8]) -> Vec<u8> {
    let builder = FrameBuilder {
        source_mac: [2; 6],
        destination_mac: multicast_mac(*GROUP.ip()),
        vlan: None,
        source: SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 1), 9_000),
        destination: GROUP,
        ttl: 1,
    };
    let mut frame = vec![0; payload.len() + 64];
    let len = builder.build(payload, &mut frame).expect("room");
    frame.truncate(len);
    frame
}

#[test]
fn damaged_frames_of_a_day_move_no_book() {
    let frames = day();
    let mut thrown = 0;
    for seed in 0..40 {
        thrown += compare::<Nasdaq>(&frames, seed);
    }
    // One in eight of them, less those whose damage changed nothing.
    let damaged = 40 * frames.len() / 8;
    assert!(thrown > damaged * 9 / 10, "{thrown} of about {damaged}");
    let whole: Vec<Vec<u8>> = frames
        .iter()
        .filter_map(|frame| payload_of(frame).map(<[u8]>::to_vec))
        .collect();
    let whole = end_of::<Nasdaq>(whole);
    assert!(whole.best.len() > 10 && whole.gaps == 0, "{whole:?}");
}

/// The payloads of a real capture in frames of our own: who published the captures took their checksums away.
fn capture(name: &str) -> Option<Vec<Vec<u8>>> {
    let file = std::fs::File::open(support::shared(name)?).expect("it opens");
    let mut reader = PcapReader::new(file).expect("a capture");
    let mut frames = Vec::new();
    while let Some(packet) = reader.next_packet() {
        let packet = packet.expect("a packet");
        frames.extend(Datagram::parse(&packet.data).map(|found| frame(found.payload)));
    }
    Some(frames)
}

#[test]
fn damaged_frames_of_real_captures_move_no_book() {
    if let Some(frames) = capture("nasdaq-itch50-packets.pcap") {
        let thrown: usize = (0..200).map(|seed| compare::<Nasdaq>(&frames, seed)).sum();
        assert!(thrown > 0, "{} frames", frames.len());
    }
    if let Some(frames) = capture("iex-deepplus-packets.pcap") {
        let thrown: usize = (0..200).map(|seed| compare::<Iex>(&frames, seed)).sum();
        assert!(thrown > 0, "{} frames", frames.len());
    }
}
