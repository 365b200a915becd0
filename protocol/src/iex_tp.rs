//! IEX-TP: numbered messages of one channel in segments, over UDP.
//!
//! ```text
//!  0         1   2          4         8         12            14      16       24    32          40
//!  | version | - | protocol | channel | session | payload len | count | offset | seq | send time | len | message | ...
//! ```
//!
//! The offset counts the payload's bytes, the sequence number its messages; either alone would do.
//!
//! What was missed is asked for by gap fill requests, over UDP here:
//!
//! ```text
//!  0         1      2          4         8         12             16      24     32
//!  | version | type | protocol | channel | session | count (ranges) | first | last | first | ...
//! ```
//!
//! The answer to a range is one segment or more like any other; that to no range is a heartbeat (a test whether
//! somebody answers).
//!
//! Invariants:  the n-th block carries sequence number `seq + n`.
//! When wrong:  a packet shorter than its header, or of another version, is refused; a block that runs past
//!              the payload stops the iteration and says so.
//! Spec:        IEX-TP 1.0, "Segment Header", "Gap Fill Request". Everything is little-endian. No segment ends a session: its
//!              last message does (DEEP+, "System Event").

use zerocopy::byteorder::LittleEndian;
use zerocopy::byteorder::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, IntoBytes};

use crate::blocks::{self, Writer};
use crate::types::{Nanos, Seq};
use crate::wire::{NanosLe, SeqLe, layout};

layout! {
    /// Header of a segment.
    Header, 40 {
        0 version: u8,
        1 reserved: u8,
        2 protocol: U16,
        4 channel: U32,
        8 session: U32,
        12 payload_len: U16,
        14 count: U16,
        16 offset: U64,
        24 seq: SeqLe,
        32 sent: NanosLe,
    }
}

layout! {
    /// Header of a gap fill request.
    GapFillRequest, 16 {
        0 version: u8,
        1 kind: u8,
        2 protocol: U16,
        4 channel: U32,
        8 session: U32,
        12 ranges: U32,
    }

    /// A range of a gap fill request: numbers of messages, both included.
    GapFillRange, 16 {
        0 first: SeqLe,
        8 last: SeqLe,
    }
}

/// Kind of a gap fill request: its ranges are numbers of messages, not offsets of bytes.
pub const REQUEST_MESSAGES: u8 = 1;

/// The only version.
pub const VERSION: u8 = 1;
/// Message protocol of DEEP+.
pub const PROTOCOL_DEEP_PLUS: u16 = 0x8005;

/// Iterates over the message blocks of a segment.
pub type Blocks<'a> = blocks::Blocks<'a, LittleEndian>;

/// What names a stream of numbers: several sources of one channel and session are copies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Session {
    /// Channel.
    pub channel: u32,
    /// The channel's session, another one each day.
    pub session: u32,
}

/// What a segment is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Carries this many messages.
    Data(u16),
    /// Says which number and offset come next.
    Heartbeat,
}

/// A segment over its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// The header.
    pub header: &'a Header,
    payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Reads the header. `None` when there are fewer than 40 bytes, or when the version is not known.
    #[inline]
    #[must_use]
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (header, payload) = Header::ref_from_prefix(bytes).ok()?;
        let payload_len = usize::from(header.payload_len.get());
        let payload = payload.get(..payload_len).unwrap_or(payload);
        (header.version == VERSION).then_some(Self { header, payload })
    }

    /// Whose numbers they are.
    #[inline]
    #[must_use]
    pub fn session(&self) -> Session {
        Session {
            channel: self.header.channel.get(),
            session: self.header.session.get(),
        }
    }

    /// What the segment is for.
    #[inline]
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self.header.count.get() {
            0 => Kind::Heartbeat,
            count => Kind::Data(count),
        }
    }

    /// The number of the first message, or the next expected one.
    #[inline]
    #[must_use]
    pub fn seq(&self) -> Seq {
        self.header.seq.get()
    }

    /// The messages in order.
    #[inline]
    #[must_use]
    pub fn blocks(&self) -> Blocks<'a> {
        Blocks::new(self.header.count.get(), self.payload)
    }

    /// Whether its payload is as long as it says, and holds the messages that it announces and nothing else.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        let is_whole = self.payload.len() == usize::from(self.header.payload_len.get());
        is_whole && self.blocks().are_exact()
    }
}

/// Where a segment stands in its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Whose numbers they are.
    pub session: Session,
    /// Which messages the segment carries ([`PROTOCOL_DEEP_PLUS`]).
    pub protocol: u16,
    /// Number of the first message.
    pub seq: Seq,
    /// Bytes of all payloads before.
    pub offset: u64,
    /// When it is sent, nanoseconds since 1970 UTC.
    pub sent: Nanos,
}

/// Fills a buffer with one segment, block by block.
#[derive(Debug)]
pub struct PacketBuilder<'a> {
    place: Place,
    blocks: Writer<'a, LittleEndian>,
}

impl<'a> PacketBuilder<'a> {
    /// Begins a segment. `None` when the buffer cannot hold the header.
    #[must_use]
    pub fn new(buffer: &'a mut [u8], place: Place) -> Option<Self> {
        // The payload's length has two bytes.
        let len = buffer.len().min(Header::LEN + usize::from(u16::MAX));
        let buffer = buffer.get_mut(..len).filter(|_| len >= Header::LEN)?;
        Some(Self {
            place,
            blocks: Writer::new(buffer, Header::LEN),
        })
    }

    /// Appends a message; `false` when it does not fit, and nothing is changed then.
    #[must_use]
    pub fn push(&mut self, message: &[u8]) -> bool {
        self.blocks.push(message, u16::MAX)
    }

    /// Completes the segment; one without messages is a heartbeat.
    #[must_use]
    pub fn finish(self) -> &'a [u8] {
        let Self { place, blocks } = self;
        let count = blocks.count();
        let bytes = blocks.finish();
        let payload_len = u16::try_from(bytes.len() - Header::LEN).unwrap_or(u16::MAX);
        let header = Header::new(&place, payload_len, count);
        let _ = header.write_to_prefix(bytes);
        bytes
    }
}

impl Header {
    /// The header of a segment with this many bytes of payload and messages.
    #[must_use]
    pub fn new(place: &Place, payload_len: u16, count: u16) -> Self {
        Self {
            version: VERSION,
            reserved: 0,
            protocol: U16::new(place.protocol),
            channel: U32::new(place.session.channel),
            session: U32::new(place.session.session),
            payload_len: U16::new(payload_len),
            count: U16::new(count),
            offset: U64::new(place.offset),
            seq: place.seq.into(),
            sent: place.sent.into(),
        }
    }
}

impl GapFillRequest {
    /// Asks for this many ranges of messages of a stream.
    #[must_use]
    pub fn new(session: Session, protocol: u16, ranges: u32) -> Self {
        Self {
            version: VERSION,
            kind: REQUEST_MESSAGES,
            protocol: U16::new(protocol),
            channel: U32::new(session.channel),
            session: U32::new(session.session),
            ranges: U32::new(ranges),
        }
    }

    /// Whose numbers it asks for.
    #[must_use]
    pub fn session(&self) -> Session {
        Session {
            channel: self.channel.get(),
            session: self.session.get(),
        }
    }

    /// Reads a request for messages: the header, and its ranges. `None`: another version or kind, another length than
    /// its count of ranges has, or ranges that do not rise.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<(&Self, &[GapFillRange])> {
        let (header, rest) = Self::ref_from_prefix(bytes).ok()?;
        let ranges = <[GapFillRange]>::ref_from_bytes(rest).ok()?;
        let is_known = header.version == VERSION && header.kind == REQUEST_MESSAGES;
        let is_whole = usize::try_from(header.ranges.get()) == Ok(ranges.len());
        let mut next = Seq(0);
        let rises = ranges.iter().all(|range| {
            let (first, last) = (range.first.get(), range.last.get());
            let fits = next <= first && first <= last && last.0 < u64::MAX;
            next = Seq(last.0.saturating_add(1));
            fits
        });
        (is_known && is_whole && rises).then_some((header, ranges))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hand_written_gap_fill_request_is_read_and_nothing_that_is_not_one() {
        let mut bytes = b"\x01\x01\x05\x80\x01\0\0\0\0\xa0\x1c\x4e\x02\0\0\0".to_vec();
        for number in [7u8, 9, 10, 10] {
            bytes.extend([number, 0, 0, 0, 0, 0, 0, 0]);
        }
        let (header, ranges) = GapFillRequest::decode(&bytes).unwrap();
        let session = Session {
            channel: 1,
            session: 0x4e1c_a000,
        };
        assert_eq!(*header, GapFillRequest::new(session, PROTOCOL_DEEP_PLUS, 2));
        assert_eq!(header.session(), session);
        let numbers: Vec<(Seq, Seq)> = (ranges.iter())
            .map(|range| (range.first.get(), range.last.get()))
            .collect();
        assert_eq!(numbers, [(Seq(7), Seq(9)), (Seq(10), Seq(10))]);
        for len in 0..bytes.len() {
            assert!(GapFillRequest::decode(&bytes[..len]).is_none(), "{len}");
        }
        // Another version, bytes instead of messages, another count, ranges that overlap, one that ends before it begins.
        for (at, value) in [(0, 2), (1, 2), (12, 1), (32, 9), (24, 6)] {
            let mut wrong = bytes.clone();
            wrong[at] = value;
            assert!(GapFillRequest::decode(&wrong).is_none(), "{at}");
        }
        bytes[12] = 0;
        assert!(GapFillRequest::decode(&bytes[..16]).is_some(), "a test");
    }

    /// Header of a hand-written segment: DEEP+, channel 1, session 0x4e1ca000, payload and count as given,
    /// offset 1000, first number 7.
    fn segment(payload_len: u8, count: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = b"\x01\0\x05\x80\x01\0\0\0\0\xa0\x1c\x4e".to_vec();
        bytes.extend([payload_len, 0, count, 0, 0xe8, 3, 0, 0, 0, 0, 0, 0]);
        bytes.extend([7, 0, 0, 0, 0, 0, 0, 0, 0, 0xca, 0x9a, 0x3b, 0, 0, 0, 0]);
        bytes.extend(payload);
        bytes
    }

    #[test]
    fn blocks_of_a_hand_written_segment_come_in_order() {
        let bytes = segment(9, 3, b"\x02\0ab\0\0\x01\0ctrailer");
        let packet = Packet::decode(&bytes).unwrap();
        let session = Session {
            channel: 1,
            session: 0x4e1c_a000,
        };
        assert_eq!((packet.session(), packet.seq()), (session, Seq(7)));
        assert_eq!(packet.header.protocol.get(), PROTOCOL_DEEP_PLUS);
        assert_eq!(packet.header.offset.get(), 1000);
        assert_eq!(packet.header.sent.get(), Nanos(1_000_000_000));
        assert_eq!(packet.kind(), Kind::Data(3));
        let blocks: Vec<&[u8]> = packet.blocks().collect();
        assert_eq!(blocks, [&b"ab"[..], b"", b"c"]);
    }

    #[test]
    fn truncation_at_every_length_is_seen() {
        let bytes = segment(7, 2, b"\x02\0ab\x01\0c");
        for len in 0..bytes.len() {
            match Packet::decode(&bytes[..len]) {
                None => assert!(len < Header::LEN),
                Some(packet) => {
                    let mut blocks = packet.blocks();
                    blocks.by_ref().for_each(drop);
                    assert!(blocks.missing() > 0, "cut at {len} was not noticed");
                }
            }
        }
    }

    #[test]
    fn blocks_beyond_the_payload_length_are_missing() {
        let bytes = segment(4, 2, b"\x02\0ab\x01\0c");
        let mut blocks = Packet::decode(&bytes).unwrap().blocks();
        assert_eq!(blocks.by_ref().collect::<Vec<_>>(), [b"ab"]);
        assert_eq!(blocks.missing(), 1);
    }

    #[test]
    fn other_version_is_refused() {
        let mut bytes = segment(0, 0, b"");
        assert_eq!(Packet::decode(&bytes).unwrap().kind(), Kind::Heartbeat);
        bytes[0] = 2;
        assert!(Packet::decode(&bytes).is_none());
    }

    #[test]
    fn builder_refuses_what_does_not_fit_and_keeps_the_rest() {
        let place = Place {
            session: Session {
                channel: 1,
                session: 2,
            },
            protocol: PROTOCOL_DEEP_PLUS,
            seq: Seq(1),
            offset: 0,
            sent: Nanos(5),
        };
        let mut buffer = [0; 46];
        let mut builder = PacketBuilder::new(&mut buffer, place).unwrap();
        assert!(builder.push(b"abcd"));
        assert!(!builder.push(b""));
        let packet = Packet::decode(builder.finish()).unwrap();
        assert_eq!(packet.blocks().collect::<Vec<_>>(), [b"abcd"]);
        assert_eq!(packet.header.payload_len.get(), 6);
        assert!(PacketBuilder::new(&mut [0; 39], place).is_none());
    }
}
