//! A request for messages that were missed, and how each venue's servers are asked.
//!
//! Path:        requester -> here -> wire
//! Thread:      recovery core
//! Spec:        MoldUDP64 1.00, "Request Packet": session, first number, count; the answer is one packet.
//!              IEX-TP 1.0, "Gap Fill Request", of one range of messages, over UDP; the answer is one segment or more.

use protocol::iex_tp::{self, GapFillRange, GapFillRequest};
use protocol::mold;
use protocol::types::Seq;
use zerocopy::IntoBytes;

/// What names a session of numbers, whatever its venue: MoldUDP64's ten characters, or channel, session and message
/// protocol of IEX-TP.
pub type SessionKey = [u8; 10];

/// The longest request.
pub const REQUEST_LEN_MAX: usize = GapFillRequest::LEN + GapFillRange::LEN;
const _: () = assert!(REQUEST_LEN_MAX >= mold::Header::LEN);

/// Numbers from `first` to before `end`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// The first.
    pub first: u64,
    /// The one after the last.
    pub end: u64,
}

/// A request to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Which server, in the order of the configuration.
    pub server: usize,
    /// Of which session.
    pub session: SessionKey,
    /// The first number.
    pub first: u64,
    /// How many.
    pub count: u16,
}

/// A way to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestProtocol {
    /// MoldUDP64's.
    Mold,
    /// IEX-TP's.
    IexTp,
}

impl RequestProtocol {
    /// Writes the packet that asks.
    #[must_use]
    pub fn write(self, request: &Request, buffer: &mut [u8; REQUEST_LEN_MAX]) -> usize {
        match self {
            Self::Mold => {
                let header = mold::Header {
                    session: request.session,
                    seq: Seq(request.first).into(),
                    count: request.count.into(),
                };
                let _ = header.write_to_prefix(buffer);
                mold::Header::LEN
            }
            Self::IexTp => {
                let (session, protocol) = iex_tp_session(request.session);
                let range = GapFillRange {
                    first: Seq(request.first).into(),
                    last: Seq(request.first + u64::from(request.count.saturating_sub(1))).into(),
                };
                let (header, ranges) = buffer.split_at_mut(GapFillRequest::LEN);
                let _ = GapFillRequest::new(session, protocol, 1).write_to(header);
                let _ = range.write_to(ranges);
                REQUEST_LEN_MAX
            }
        }
    }

    /// Whether an answer may be several packets.
    #[must_use]
    pub fn comes_in_parts(self) -> bool {
        match self {
            Self::Mold => false,
            Self::IexTp => true,
        }
    }
}

/// A session of IEX-TP as a key.
#[must_use]
pub fn iex_tp_key(session: iex_tp::Session, protocol: u16) -> SessionKey {
    let mut key = SessionKey::default();
    let [c0, c1, c2, c3] = session.channel.to_le_bytes();
    let [s0, s1, s2, s3] = session.session.to_le_bytes();
    let [p0, p1] = protocol.to_le_bytes();
    key.copy_from_slice(&[c0, c1, c2, c3, s0, s1, s2, s3, p0, p1]);
    key
}

fn iex_tp_session(key: SessionKey) -> (iex_tp::Session, u16) {
    let [c0, c1, c2, c3, s0, s1, s2, s3, p0, p1] = key;
    let session = iex_tp::Session {
        channel: u32::from_le_bytes([c0, c1, c2, c3]),
        session: u32::from_le_bytes([s0, s1, s2, s3]),
    };
    (session, u16::from_le_bytes([p0, p1]))
}

#[cfg(test)]
mod tests {
    use protocol::iex_tp::PROTOCOL_DEEP_PLUS;

    use super::*;

    const CHANNEL: iex_tp::Session = iex_tp::Session {
        channel: 1,
        session: 0x4e1c_a000,
    };

    #[test]
    fn request_packet_has_the_bytes_of_the_specification() {
        let request = Request {
            server: 0,
            session: *b"SESSION001",
            first: 0x0102,
            count: 3,
        };
        let mut buffer = [0xff; REQUEST_LEN_MAX];
        let len = RequestProtocol::Mold.write(&request, &mut buffer);
        let expected = b"SESSION001\0\0\0\0\0\0\x01\x02\0\x03";
        assert_eq!(&buffer[..len], expected);
    }

    #[test]
    fn gap_fill_request_has_the_bytes_of_the_specification() {
        let request = Request {
            server: 0,
            session: iex_tp_key(CHANNEL, PROTOCOL_DEEP_PLUS),
            first: 7,
            count: 3,
        };
        let mut buffer = [0xff; REQUEST_LEN_MAX];
        assert_eq!(RequestProtocol::IexTp.write(&request, &mut buffer), 32);
        let header = b"\x01\x01\x05\x80\x01\0\0\0\0\xa0\x1c\x4e\x01\0\0\0";
        assert_eq!(&buffer[..16], header);
        assert_eq!(&buffer[16..], b"\x07\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0");
    }
}
