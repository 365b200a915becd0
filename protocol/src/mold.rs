//! MoldUDP64: numbered messages in UDP packets, and the packet that asks for them again.
//!
//! ```text
//!  0          10        18      20
//!  | session  | seq     | count | len | message | len | message | ...
//! ```
//!
//! Invariants:  the n-th block carries sequence number `seq + n`; a zero-length block counts too.
//! When wrong:  a packet shorter than its header is refused; a block that runs past the end stops the
//!              iteration and says so.
//! Spec:        MoldUDP64 1.00, "Downstream Packet", "Request Packet". Everything is big-endian.

use zerocopy::byteorder::BigEndian;
use zerocopy::byteorder::big_endian::U16;
use zerocopy::{FromBytes, IntoBytes};

use crate::blocks::{self, Writer};
use crate::types::Seq;
use crate::wire::{SeqBe, layout};

layout! {
    /// Header of a downstream packet; the request packet has the same form.
    Header, 20 {
        0 session: [u8; 10],
        10 seq: SeqBe,
        18 count: U16,
    }
}

/// Count of a heartbeat: no blocks, `seq` is the next number expected.
pub const COUNT_HEARTBEAT: u16 = 0;
/// Count that ends the session: no blocks follow.
pub const COUNT_END_OF_SESSION: u16 = 0xFFFF;

/// Iterates over the message blocks of a packet.
pub type Blocks<'a> = blocks::Blocks<'a, BigEndian>;

/// A session name: ten raw bytes, compared as they are.
pub type Session = [u8; 10];

/// What a downstream packet is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Carries this many messages.
    Data(u16),
    /// Says which number comes next.
    Heartbeat,
    /// Says that no further number will come.
    EndOfSession,
}

/// A downstream packet over its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// The header.
    pub header: &'a Header,
    blocks: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Reads the header. `None` when there are fewer than 20 bytes.
    #[inline]
    #[must_use]
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (header, blocks) = Header::ref_from_prefix(bytes).ok()?;
        Some(Self { header, blocks })
    }

    /// What the packet is for.
    #[inline]
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self.header.count.get() {
            COUNT_HEARTBEAT => Kind::Heartbeat,
            COUNT_END_OF_SESSION => Kind::EndOfSession,
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
        let left = match self.kind() {
            Kind::Data(count) => count,
            Kind::Heartbeat | Kind::EndOfSession => 0,
        };
        Blocks::new(left, self.blocks)
    }

    /// Whether it holds the messages that it announces, and nothing else.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.blocks().are_exact()
    }
}

/// Fills a buffer with one downstream packet, block by block.
#[derive(Debug)]
pub struct PacketBuilder<'a>(Writer<'a, BigEndian>);

impl<'a> PacketBuilder<'a> {
    /// Begins a packet whose first message has number `seq`. `None` when the buffer cannot hold the
    /// header.
    #[must_use]
    pub fn new(buffer: &'a mut [u8], session: Session, seq: Seq) -> Option<Self> {
        let header = Header {
            session,
            seq: seq.into(),
            count: U16::new(COUNT_HEARTBEAT),
        };
        header.write_to_prefix(buffer).ok()?;
        Some(Self(Writer::new(buffer, Header::LEN)))
    }

    /// Appends a message; `false` when it does not fit, and nothing is changed then.
    #[must_use]
    pub fn push(&mut self, message: &[u8]) -> bool {
        // 0xFFFF would read as the end of the session, so a packet ends at one less.
        self.0.push(message, COUNT_END_OF_SESSION - 1)
    }

    /// Messages appended so far.
    #[must_use]
    pub fn count(&self) -> u16 {
        self.0.count()
    }

    /// Completes the packet; a packet without messages is a heartbeat.
    #[must_use]
    pub fn finish(self) -> &'a [u8] {
        let count = self.count();
        self.finish_as(count)
    }

    /// Completes the packet as the end of its session.
    #[must_use]
    pub fn finish_end_of_session(self) -> &'a [u8] {
        self.finish_as(COUNT_END_OF_SESSION)
    }

    fn finish_as(self, count: u16) -> &'a [u8] {
        let bytes = self.0.finish();
        if let Ok((header, _)) = Header::mut_from_prefix(bytes) {
            header.count = U16::new(count);
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_a_hand_written_packet_come_in_order() {
        let bytes = b"000010059B\0\0\0\0\0\0\0\x07\0\x03\0\x02ab\0\0\0\x01c";
        let packet = Packet::decode(bytes).unwrap();
        assert_eq!(&packet.header.session, b"000010059B");
        assert_eq!(packet.seq(), Seq(7));
        assert_eq!(packet.kind(), Kind::Data(3));
        let blocks: Vec<&[u8]> = packet.blocks().collect();
        assert_eq!(blocks, [&b"ab"[..], b"", b"c"]);
    }

    #[test]
    fn truncation_at_every_length_is_seen() {
        let bytes = b"000010059B\0\0\0\0\0\0\0\x07\0\x02\0\x02ab\0\x01c";
        for len in 0..bytes.len() {
            match Packet::decode(&bytes[..len]) {
                None => assert!(len < Header::LEN),
                Some(packet) => {
                    let mut blocks = packet.blocks();
                    while blocks.next().is_some() {}
                    assert!(blocks.missing() > 0, "cut at {len} was not noticed");
                }
            }
        }
    }

    #[test]
    fn builder_refuses_what_does_not_fit_and_keeps_the_rest() {
        let mut buffer = [0; 26];
        let mut builder = PacketBuilder::new(&mut buffer, *b"SESSION001", Seq(1)).unwrap();
        assert!(builder.push(b"abcd"));
        assert!(!builder.push(b""));
        let packet = Packet::decode(builder.finish()).unwrap();
        assert_eq!(packet.blocks().collect::<Vec<_>>(), [b"abcd"]);
    }

    #[test]
    fn heartbeat_and_end_carry_no_blocks() {
        let mut buffer = [0; 20];
        let heartbeat = PacketBuilder::new(&mut buffer, [b' '; 10], Seq(9))
            .unwrap()
            .finish();
        assert_eq!(Packet::decode(heartbeat).unwrap().kind(), Kind::Heartbeat);
        let end = PacketBuilder::new(&mut buffer, [b' '; 10], Seq(9)).unwrap();
        let end = Packet::decode(end.finish_end_of_session()).unwrap();
        assert_eq!(end.kind(), Kind::EndOfSession);
        assert_eq!(end.blocks().count(), 0);
    }
}
