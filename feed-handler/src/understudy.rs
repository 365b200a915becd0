//! Goes the way of a packet while none comes, so that the next real one finds the way warm.
//!
//! ```text
//!  made-up frame ──> frame's checks ──> Handler::on_packet ──> own books, own table ──> own ring ──> own listener
//!                                       the same code as real packets', own state
//! ```
//!
//! Thread:      feed core, hot
//! Invariants:  it owns all that it touches and is given nothing of the feed's: what it counts, writes and publishes is
//!              seen by nobody. Its state does not grow: one order of one symbol lives and dies for ever.
//! Bounds:      one packet of one message a rehearsal.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use protocol::frame::{Datagram, FrameBuilder};
use rt::clock::Clock;
use rt::mem::Want;

use crate::arbiter::{Arbiter, Patience};
use crate::best_prices::BestPrices;
use crate::book::{Books, Limits};
use crate::counters::Counters;
use crate::handler::{Handler, Parts, Seen};
use crate::publish::{Listener, Publisher, Subscription, Way};
use crate::room::FeedHistograms;
use crate::source::Packet;
use crate::venue::{MadeUp, Venue};

/// Bytes of the largest made-up frame.
const FRAME_BYTES: usize = 192;
/// Bytes in front of a payload: Ethernet, IPv4 and UDP.
const HEADER_BYTES: usize = 42;
/// Where a frame's UDP checksum stands.
const CHECKSUM_AT: usize = 40;
/// Lines on which a session begins: as many as have to agree on it.
const LINES: u8 = 3;
/// Nothing is ever silent: a thousand years, ns.
const STALE_NS: u64 = 1 << 60;
/// Events that its own ring holds.
const EVENTS: usize = 16;

/// What an understudy has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rehearsed {
    /// Packets that it took the whole way.
    pub packets: u64,
    /// Events that came out at the end.
    pub events: u64,
}

/// A feed of its own.
#[derive(Debug)]
pub(crate) struct Understudy<V: Venue> {
    handler: Handler<V>,
    events: Listener,
    life: [Frame; MadeUp::LIFE.len()],
    /// The message of the next packet.
    next: usize,
    /// The next packet's number.
    seq: u64,
    events_heard: u64,
}

impl<V: Venue> Understudy<V> {
    /// One whose session has begun and whose symbol is named.
    ///
    /// # Errors
    /// The host has no memory for its books and its table: a few MiB of addresses, of which a few pages are ever used.
    pub(crate) fn new() -> io::Result<Self> {
        let prices = Arc::new(BestPrices::new(Want::LAZY)?);
        let mut publisher = Publisher::new(prices, EVENTS);
        let events = publisher
            .listen(Subscription::All, Way::Shared, EVENTS)
            .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        let limits = Limits {
            orders_max: 16,
            levels_max: 64,
        };
        let patience = Patience {
            gap_timeout_ns: 0,
            stale_ns: STALE_NS,
        };
        let ((), handler) = Handler::new(Parts {
            source: (),
            venue: V::default(),
            arbiter: Arbiter::new(patience),
            books: Books::new(&limits, Want::LAZY)?,
            publisher,
            counters: Arc::new(Counters::default()),
            histograms: FeedHistograms::default(),
            feed: 0,
            lines: usize::from(LINES),
            stale_ns: STALE_NS,
        });
        let mut understudy = Self {
            handler,
            events,
            life: MadeUp::LIFE.map(Frame::new::<V>),
            next: 0,
            seq: 1,
            events_heard: 0,
        };
        let clock = Clock::manual(1);
        for line in 0..LINES {
            understudy.take(Frame::new::<V>(MadeUp::Heartbeat), line, &clock);
        }
        understudy.take(Frame::new::<V>(MadeUp::Name), 0, &clock);
        understudy.seq += 1;
        (understudy.next, understudy.events_heard) = (0, 0);
        Ok(understudy)
    }

    /// One packet, the whole way.
    pub(crate) fn rehearse(&mut self, clock: &Clock) {
        if let Some(frame) = self.life.get(self.next) {
            self.take(*frame, 0, clock);
        }
        self.seq = self.seq.wrapping_add(1);
        self.next = if self.next + 1 < self.life.len() {
            self.next + 1
        } else {
            0
        };
    }

    fn take(&mut self, mut frame: Frame, line: u8, clock: &Clock) {
        frame.set_number::<V>(self.seq);
        let seen_ns = clock.now_ns();
        if let Ok(datagram) = Datagram::parse_whole(frame.bytes()) {
            let packet = Packet {
                payload: datagram.payload,
                frame: frame.bytes(),
                wire_ns: seen_ns,
                line,
            };
            let seen = Seen {
                ns: seen_ns,
                batch: 1,
                place: 0,
            };
            self.handler.on_packet(&packet, seen, clock);
        }
        while self.events.hear().is_some() {
            self.events_heard += 1;
        }
    }

    /// What it has done.
    pub(crate) fn done(&self) -> Rehearsed {
        Rehearsed {
            packets: self.seq - 2,
            events: self.events_heard,
        }
    }
}

/// A made-up frame.
#[derive(Clone, Copy, Debug)]
struct Frame {
    bytes: [u8; FRAME_BYTES],
    len: usize,
    /// The UDP checksum that goes with the number 0.
    checksum: u16,
}

impl Frame {
    fn new<V: Venue>(what: MadeUp) -> Self {
        let mut payload = [0; FRAME_BYTES - HEADER_BYTES];
        let payload_bytes = V::made_up(what, &mut payload);
        let builder = FrameBuilder {
            source_mac: [2, 0, 0, 0, 0, 1],
            destination_mac: [2, 0, 0, 0, 0, 2],
            vlan: None,
            source: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1),
            destination: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 2),
            ttl: 1,
        };
        debug_assert_eq!(builder.header_len(), HEADER_BYTES);
        let mut bytes = [0; FRAME_BYTES];
        let payload = payload.get(..payload_bytes).unwrap_or_default();
        let len = builder.build(payload, &mut bytes).unwrap_or(0);
        let [high, low] = [CHECKSUM_AT, CHECKSUM_AT + 1].map(|at| bytes.get(at).copied());
        Self {
            bytes,
            len,
            checksum: u16::from_be_bytes([high.unwrap_or(0), low.unwrap_or(0)]),
        }
    }

    #[inline]
    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// Gives it a number, and the checksum that goes with it (RFC 1624: the number was 0).
    #[inline]
    fn set_number<V: Venue>(&mut self, seq: u64) {
        let number = V::number(seq);
        let (words, _) = number.as_chunks::<2>();
        let words = words
            .iter()
            .map(|word| u32::from(u16::from_be_bytes(*word)));
        let mut sum = u32::from(!self.checksum) + words.sum::<u32>();
        sum = (sum & 0xFFFF) + (sum >> 16);
        sum = (sum & 0xFFFF) + (sum >> 16);
        let [.., high, low] = (!sum).to_be_bytes();
        let checksum = if high | low == 0 {
            [0xFF; 2]
        } else {
            [high, low]
        };
        self.write(HEADER_BYTES + V::NUMBER_AT, &number);
        self.write(CHECKSUM_AT, &checksum);
    }

    #[inline]
    fn write(&mut self, at: usize, bytes: &[u8]) {
        if let Some(place) = self.bytes.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::venue::{Iex, Nasdaq};

    /// Each packet goes the whole way and becomes an event, for as many lives as one cares to look at.
    fn goes_the_whole_way<V: Venue>() {
        let mut understudy = Understudy::<V>::new().unwrap();
        let clock = Clock::manual(1_000);
        for packets in 1..=70_000 {
            understudy.rehearse(&clock);
            let done = understudy.done();
            assert_eq!((done.packets, done.events), (packets, packets));
        }
        let counters = &understudy.handler.counters;
        let book = &counters.book.list();
        // It rehearses what trades: nothing is refused, missing or strange.
        let faults = book.iter().filter(|(name, _, count)| {
            *count > 0 && (name.contains("unknown") || name.contains("refused"))
        });
        assert_eq!(faults.count(), 0, "{book:?}");
        assert_eq!(counters.arbiter.gaps.get(), 0);
        assert_eq!(counters.arbiter.messages.get(), 70_001);
        assert_eq!(counters.feed.malformed.get(), 0);
        assert_eq!(counters.status.stale(), 0);
    }

    #[test]
    fn nasdaq_rehearses_the_whole_way() {
        goes_the_whole_way::<Nasdaq>();
    }

    #[test]
    fn iex_rehearses_the_whole_way() {
        goes_the_whole_way::<Iex>();
    }
}
