//! How packets look on the wire: MoldUDP64, or IEX-TP.
//!
//! Invariants:  a packet is a header and blocks of two bytes of length and a message; the numbers are the same
//!              in both. IEX-TP counts the blocks' bytes as well.
//! Spec:        MoldUDP64 1.00; IEX-TP 1.0. IEX-TP has no packet that ends a session: DEEP+'s last message
//!              does, and heartbeats go on.

use protocol::iex_tp::{self, GapFillRequest, PROTOCOL_DEEP_PLUS, Place};
use protocol::mold;
use protocol::soup::padded;
use protocol::types::{Nanos, Seq};
use zerocopy::{FromBytes, IntoBytes};

use crate::options::{Feed, Venue};

/// The one channel of DEEP+.
const CHANNEL: u32 = 1;

/// A session's framing.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Framing {
    /// MoldUDP64.
    Mold(mold::Session),
    /// IEX-TP.
    IexTp {
        session: iex_tp::Session,
        /// Bytes of all payloads before the next packet.
        offset: u64,
        /// What the exchange's time is added to.
        midnight_ns: u64,
    },
}

/// What a re-request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// This number and those after it, `count` in all.
    Messages { first: u64, count: u64 },
    /// Nothing: whether somebody answers, and which number comes next (IEX-TP).
    Test,
}

/// What a packet that carries no message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    Heartbeat,
    EndOfSession,
}

impl Framing {
    pub(crate) fn new(options: &Feed, session: &str) -> Self {
        match options.venue {
            Venue::Nasdaq => Self::Mold(padded(session)),
            Venue::Iex => Self::IexTp {
                session: iex_tp::Session {
                    channel: CHANNEL,
                    session: number_of(session),
                },
                offset: 0,
                midnight_ns: options.midnight_ns,
            },
        }
    }

    pub(crate) fn header_len(&self) -> usize {
        match self {
            Self::Mold(_) => mold::Header::LEN,
            Self::IexTp { .. } => iex_tp::Header::LEN,
        }
    }

    /// Messages of one packet at most.
    pub(crate) fn count_max(&self) -> u16 {
        match self {
            // One below the count that ends a session.
            Self::Mold(_) => mold::COUNT_END_OF_SESSION - 1,
            Self::IexTp { .. } => u16::MAX,
        }
    }

    /// Appends a block.
    pub(crate) fn push(&self, packet: &mut Vec<u8>, message: &[u8]) {
        let len = u16::try_from(message.len()).unwrap_or(0);
        let len = match self {
            Self::Mold(_) => len.to_be_bytes(),
            Self::IexTp { .. } => len.to_le_bytes(),
        };
        packet.extend_from_slice(&len);
        packet.extend_from_slice(message);
    }

    /// Writes the header in front of `count` blocks, the first with this number.
    pub(crate) fn close(&mut self, packet: &mut [u8], seq: u64, count: u16, now_ns: u64) {
        let blocks_len = packet.len() - self.header_len();
        match self {
            Self::Mold(session) => {
                let header = mold::Header {
                    session: *session,
                    seq: Seq(seq).into(),
                    count: count.into(),
                };
                let _ = header.write_to_prefix(packet);
            }
            Self::IexTp {
                session,
                offset,
                midnight_ns,
            } => {
                let place = Place {
                    session: *session,
                    protocol: PROTOCOL_DEEP_PLUS,
                    seq: Seq(seq),
                    offset: *offset,
                    sent: Nanos(*midnight_ns + now_ns),
                };
                let payload_len = u16::try_from(blocks_len).unwrap_or(u16::MAX);
                let _ = iex_tp::Header::new(&place, payload_len, count).write_to_prefix(packet);
                *offset += blocks_len as u64;
            }
        }
    }

    /// Reads a re-request of this session. `None`: it is none. Of several ranges the first is answered; whoever asks
    /// for more asks again.
    pub(crate) fn request(&self, bytes: &[u8]) -> Option<Wanted> {
        match self {
            Self::Mold(session) => {
                let header = mold::Header::ref_from_bytes(bytes).ok()?;
                let count = header.count.get();
                let is_ours = header.session == *session;
                let asks = (1..mold::COUNT_END_OF_SESSION).contains(&count);
                (is_ours && asks).then_some(Wanted::Messages {
                    first: header.seq.get().0,
                    count: count.into(),
                })
            }
            Self::IexTp { session, .. } => {
                let (header, ranges) = GapFillRequest::decode(bytes)?;
                let is_ours =
                    header.session() == *session && header.protocol.get() == PROTOCOL_DEEP_PLUS;
                let wanted = ranges.first().map_or(Wanted::Test, |range| {
                    let (first, last) = (range.first.get().0, range.last.get().0);
                    Wanted::Messages {
                        first,
                        count: (last - first).saturating_add(1),
                    }
                });
                is_ours.then_some(wanted)
            }
        }
    }

    /// The framing of a packet with this many bytes of payload before it.
    pub(crate) fn behind(&self, payload_bytes: u64) -> Self {
        let mut other = *self;
        if let Self::IexTp { offset, .. } = &mut other {
            *offset = payload_bytes;
        }
        other
    }

    /// A packet without messages; `next`: the number that comes next.
    pub(crate) fn say(&mut self, word: Word, next: u64, now_ns: u64) -> Vec<u8> {
        let mut packet = vec![0; self.header_len()];
        let count = match (&self, word) {
            (Self::Mold(_), Word::EndOfSession) => mold::COUNT_END_OF_SESSION,
            _ => 0,
        };
        self.close(&mut packet, next, count, now_ns);
        packet
    }

    /// The numbers of the messages in a packet of this session, as far as it can be read.
    pub(crate) fn numbers(&self, packet: &[u8]) -> std::ops::Range<u64> {
        let numbers = match self {
            Self::Mold(_) => mold::Packet::decode(packet)
                .map(|packet| (packet.seq(), packet.blocks().count() as u64)),
            Self::IexTp { .. } => iex_tp::Packet::decode(packet)
                .map(|packet| (packet.seq(), packet.blocks().count() as u64)),
        };
        numbers.map_or(0..0, |(Seq(first), count)| {
            first..first.saturating_add(count)
        })
    }
}

/// A number for a session's name (FNV-1a): names that differ in their last characters alone, as those of a
/// restarted exchange do, have different ones.
fn number_of(name: &str) -> u32 {
    name.bytes().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}
