//! A source that copies what it shows into a ring, for the capture core.
//!
//! ```text
//!  ring of cells:  | header | 64 bytes | 64 bytes | 40 bytes, 24 free | header | ...
//!                   \_ one packet: pushed whole or not at all _______/
//! ```
//!
//! Path:        source -> here -> arbiter; here -> ring -> records
//! Thread:      feed core, hot
//! Invariants:  a packet's cells are pushed only when there is room for all of them, so what the reader finds behind a
//!              header is, or will be within the same turn, that packet's.
//! Time:        none is read: stamps are the packets' own and the feed's.
//! When full:   the packet is not captured, and counted; the next one that is says how many were not.

use std::sync::Arc;

use rt::counters;
use rt::ring::{Consumer, NotPowerOfTwo, Producer, ring};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::counters::Counters;
use crate::source::{Packet, PacketSource};

/// Bytes of a cell: a cache line, so that a frame of a hundred bytes costs two or three.
pub(super) const CELL_BYTES: usize = 64;

counters! {
    /// What a feed core put into the ring of its capture.
    pub struct TapCounters {
        /// Packets put into the ring.
        tapped,
        /// Packets that are not captured because the ring was full.
        ring_full,
    }
}

/// What the ring is made of.
#[derive(Clone, Copy, Debug, IntoBytes, FromBytes, Immutable)]
#[repr(C, align(64))]
pub(super) struct Cell(pub(super) [u8; CELL_BYTES]);

/// In front of each packet.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, IntoBytes, FromBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub(super) struct Header {
    /// The packet's wire stamp, monotonic; 0: nobody said.
    pub(super) wire_ns: u64,
    /// When the feed core saw it, monotonic.
    pub(super) seen_ns: u64,
    /// Gaps announced before it, ever.
    pub(super) gaps: u64,
    /// Messages lost in them.
    pub(super) messages_lost: u64,
    /// The first number of the last of them.
    pub(super) gap_first: u64,
    /// Sessions begun before it, ever, and sessions ended.
    pub(super) begun: u32,
    pub(super) ended: u32,
    /// Packets not captured since the last one that was.
    pub(super) dropped: u32,
    /// Bytes that follow.
    pub(super) bytes: u16,
    pub(super) line: u8,
    /// [`WHOLE_FRAME`] or [`PAYLOAD_ALONE`].
    pub(super) kind: u8,
    /// Packets that the source took in this turn, 255 at most, and this one's place among those it showed.
    pub(super) batch: u8,
    pub(super) place: u8,
    pub(super) unused: [u8; 6],
}

impl Header {
    /// Cells of the packet, its own with them.
    pub(super) fn cells(&self) -> usize {
        1 + usize::from(self.bytes).div_ceil(CELL_BYTES)
    }
}

const _: () = assert!(size_of::<Header>() == CELL_BYTES && size_of::<Cell>() == CELL_BYTES);

/// The bytes are a frame.
pub(super) const WHOLE_FRAME: u8 = 0;
/// The bytes are a UDP payload.
pub(super) const PAYLOAD_ALONE: u8 = 1;

/// The hot end of a capture.
#[derive(Debug)]
pub struct Tap {
    cells: Producer<Cell>,
    /// The feed's own: what it announced before a packet is told with it.
    feed: Arc<Counters>,
    counters: Arc<TapCounters>,
    /// Cells that are free at least: the reader only makes more.
    free: usize,
    dropped: u32,
    seen_ns: u64,
    batch: u8,
    place: u8,
}

/// The other end.
#[derive(Debug)]
pub struct TapEnd {
    pub(super) cells: Consumer<Cell>,
    pub(super) counters: Arc<TapCounters>,
}

/// A tap for a feed with these counters, with a ring of this many bytes.
///
/// # Errors
/// The ring has fewer bytes than a cell, or their number is no power of two.
pub fn tap(ring_bytes: usize, feed: Arc<Counters>) -> Result<(Tap, TapEnd), NotPowerOfTwo> {
    let (producer, consumer) = ring(ring_bytes / CELL_BYTES)?;
    let counters = Arc::new(TapCounters::default());
    let tap = Tap {
        free: producer.capacity(),
        cells: producer,
        feed,
        counters: Arc::clone(&counters),
        dropped: 0,
        seen_ns: 0,
        batch: 0,
        place: 0,
    };
    let end = TapEnd {
        cells: consumer,
        counters,
    };
    Ok((tap, end))
}

impl Tap {
    #[inline]
    fn on_turn(&mut self, seen_ns: u64) {
        self.seen_ns = seen_ns;
        self.place = 0;
    }

    /// Copies a packet before the feed hears it.
    #[inline]
    fn on_packet(&mut self, packet: &Packet<'_>) {
        let place = self.place;
        self.place = place.saturating_add(1);
        let (kind, bytes) = match packet.frame {
            [] => (PAYLOAD_ALONE, packet.payload),
            frame => (WHOLE_FRAME, frame),
        };
        let cells = 1 + bytes.len().div_ceil(CELL_BYTES);
        let Ok(len) = u16::try_from(bytes.len()) else {
            return self.on_full();
        };
        if self.free < cells {
            self.free = self.cells.capacity() - self.cells.len();
            if self.free < cells {
                return self.on_full();
            }
        }
        let arbiter = &self.feed.arbiter;
        let short = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        let header = Header {
            wire_ns: packet.wire_ns,
            seen_ns: self.seen_ns,
            gaps: arbiter.gaps.get(),
            messages_lost: arbiter.messages_lost.get(),
            gap_first: self.feed.status.gap_first(),
            begun: short(arbiter.sessions_begun.get()),
            ended: short(arbiter.sessions_ended.get()),
            dropped: std::mem::take(&mut self.dropped),
            bytes: len,
            line: packet.line,
            kind,
            batch: self.batch,
            place,
            unused: [0; 6],
        };
        self.push(zerocopy::transmute!(header));
        let (whole, rest) = bytes.as_chunks::<CELL_BYTES>();
        for bytes in whole {
            self.push(Cell(*bytes));
        }
        if !rest.is_empty() {
            let mut last = [0; CELL_BYTES];
            for (to, from) in last.iter_mut().zip(rest) {
                *to = *from;
            }
            self.push(Cell(last));
        }
        self.free -= cells;
        self.counters.tapped.increment();
    }

    /// Copies a frame of somebody else's: one that has left past the kernel, and is seen by nobody on this host.
    #[inline]
    pub fn on_sent(&mut self, frame: &[u8], sent_ns: u64) {
        self.on_turn(sent_ns);
        self.batch = 1;
        self.on_packet(&Packet {
            payload: &[],
            frame,
            wire_ns: 0,
            line: 0,
        });
    }

    #[inline]
    fn push(&mut self, cell: Cell) {
        let pushed = self.cells.push(cell);
        debug_assert!(pushed.is_ok(), "there was room for the whole packet");
    }

    #[cold]
    fn on_full(&mut self) {
        self.dropped = self.dropped.saturating_add(1);
        self.counters.ring_full.increment();
    }
}

/// A source whose packets are captured.
#[derive(Debug)]
pub struct Tapped<S> {
    source: S,
    tap: Tap,
}

impl<S> Tapped<S> {
    /// Captures what this source shows.
    pub fn new(source: S, tap: Tap) -> Self {
        Self { source, tap }
    }
}

impl<S: PacketSource> PacketSource for Tapped<S> {
    #[inline]
    fn acquire(&mut self) -> usize {
        let taken = self.source.acquire();
        self.tap.batch = u8::try_from(taken).unwrap_or(u8::MAX);
        taken
    }

    #[inline]
    fn on_seen(&mut self, seen_ns: u64) {
        self.tap.on_turn(seen_ns);
        self.source.on_seen(seen_ns);
    }

    #[inline]
    fn each(&mut self, mut on_packet: impl FnMut(Packet<'_>)) {
        let Self { source, tap } = self;
        source.each(|packet| {
            tap.on_packet(&packet);
            on_packet(packet);
        });
    }

    #[inline]
    fn release(&mut self) {
        self.source.release();
    }

    fn housekeep(&mut self) {
        self.source.housekeep();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::records::Records;

    /// Each turn shows the payloads of one entry.
    struct Turns(Vec<Vec<Vec<u8>>>);

    impl PacketSource for Turns {
        fn acquire(&mut self) -> usize {
            self.0.first().map_or(0, Vec::len)
        }
        fn each(&mut self, mut on_packet: impl FnMut(Packet<'_>)) {
            for (line, payload) in (0..).zip(self.0.first().into_iter().flatten()) {
                on_packet(Packet {
                    payload,
                    frame: &[],
                    wire_ns: 7,
                    line,
                });
            }
        }
        fn release(&mut self) {
            self.0.remove(0);
        }
        fn housekeep(&mut self) {}
    }

    /// Plays turns through a tap and says what the feed was shown.
    fn play(source: &mut Tapped<Turns>) -> usize {
        let mut shown = 0;
        for turn in 1.. {
            if source.acquire() == 0 {
                break;
            }
            source.on_seen(1000 * turn);
            source.each(|_| shown += 1);
            source.release();
        }
        shown
    }

    #[test]
    fn packets_of_any_length_come_out_as_they_went_in() {
        let lengths = [0, 1, 63, 64, 65, 127, 128, 129, 1473];
        let packet = |len: usize| (0..=250u8).cycle().take(len).collect::<Vec<_>>();
        let turns = lengths.map(|len| vec![packet(len), packet(len)]).to_vec();
        let (tap, end) = tap(1 << 16, Arc::default()).unwrap();
        let mut source = Tapped::new(Turns(turns), tap);
        assert_eq!(play(&mut source), 18);
        let (mut records, mut bytes) = (Records::new(end.cells), Vec::new());
        for (turn, len) in (1..).zip(lengths) {
            for place in 0..2 {
                let header = records.next(&mut bytes).unwrap();
                assert_eq!(bytes, packet(len));
                let expected = Header {
                    wire_ns: 7,
                    seen_ns: 1000 * turn,
                    bytes: u16::try_from(len).unwrap(),
                    line: place,
                    kind: PAYLOAD_ALONE,
                    batch: 2,
                    place,
                    ..Header::default()
                };
                assert_eq!(header, expected);
            }
        }
        assert_eq!(records.next(&mut bytes), None);
    }

    #[test]
    fn full_ring_drops_whole_packets_counts_them_and_holds_nothing_up() {
        // Eight cells: four packets of a header and a cell each.
        let (tap, end) = tap(512, Arc::default()).unwrap();
        let counters = Arc::clone(&end.counters);
        let turns = (0..10u8).map(|n| vec![vec![n; 20]]).collect();
        let mut source = Tapped::new(Turns(turns), tap);
        assert_eq!(play(&mut source), 10, "the feed is shown every packet");
        assert_eq!((counters.tapped.get(), counters.ring_full.get()), (4, 6));
        let (mut records, mut bytes) = (Records::new(end.cells), Vec::new());
        for n in 0..4 {
            assert_eq!(records.next(&mut bytes).unwrap().dropped, 0);
            assert_eq!(bytes, [n; 20]);
        }
        assert_eq!(records.next(&mut bytes), None);
        source.source.0 = vec![vec![vec![10; 20], vec![11; 321]]];
        play(&mut source);
        assert_eq!(records.next(&mut bytes).unwrap().dropped, 6);
        assert_eq!(bytes, [10; 20]);
        // The second has one cell more than is free: none of it is there.
        assert_eq!(records.next(&mut bytes), None);
        assert_eq!((counters.tapped.get(), counters.ring_full.get()), (5, 7));
    }

    #[test]
    fn ring_smaller_than_a_packet_drops_it_and_one_that_is_no_power_of_two_is_refused() {
        for bytes in [0, 63, 3 * 64] {
            assert!(tap(bytes, Arc::default()).is_err(), "{bytes}");
        }
        let (tap, end) = tap(64, Arc::default()).unwrap();
        play(&mut Tapped::new(Turns(vec![vec![vec![1]]]), tap));
        assert_eq!(end.counters.ring_full.get(), 1);
    }
}
