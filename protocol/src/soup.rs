//! SoupBinTCP: packets in a TCP stream, login, heartbeats, and sequenced messages that can be asked
//! for again.
//!
//! ```text
//!  0     2      3
//!  | len | type | payload (len - 1 bytes) | len | type | ...
//! ```
//!
//! Invariants:  TCP may cut or join packets anywhere; [`Packet::decode`] takes one whole packet from
//!              the front of what has arrived, or none.
//! Spec:        SoupBinTCP 3.00 (2017), 4.10 (2012). Lengths big-endian, numbers ASCII.

use zerocopy::FromBytes;

use crate::ascii;
use crate::types::Seq;
use crate::wire::layout;

/// Packet types. Both ends share `Debug` and `Unsequenced`.
pub mod kind {
    /// Free text from either end, to be ignored.
    pub const DEBUG: u8 = b'+';
    /// Server: the login was good.
    pub const LOGIN_ACCEPTED: u8 = b'A';
    /// Server: the login was not.
    pub const LOGIN_REJECTED: u8 = b'J';
    /// Server: one message with the next sequence number.
    pub const SEQUENCED: u8 = b'S';
    /// Either end: one message without a number.
    pub const UNSEQUENCED: u8 = b'U';
    /// Server: nothing was said for a second.
    pub const SERVER_HEARTBEAT: u8 = b'H';
    /// Server: the session is over for good.
    pub const END_OF_SESSION: u8 = b'Z';
    /// Client: asks to be let in.
    pub const LOGIN_REQUEST: u8 = b'L';
    /// Client: nothing was said for a second.
    pub const CLIENT_HEARTBEAT: u8 = b'R';
    /// Client: goes.
    pub const LOGOUT_REQUEST: u8 = b'O';
}

/// Bytes before the payload.
pub const HEADER_LEN: usize = 3;
/// Of that, the length's.
pub const LENGTH_LEN: usize = 2;
/// The longest payload that the length field can state.
pub const PAYLOAD_LEN_MAX: usize = u16::MAX as usize - 1;

layout! {
    /// Payload of a login request. Version 4.10 adds a heartbeat timeout in ms, see
    /// [`LoginRequestWithTimeout`].
    LoginRequest, 46 {
        0 username: [u8; 6],
        6 password: [u8; 10],
        16 session: [u8; 10],
        26 seq: [u8; 20],
    }

    /// Payload of a version 4.10 login request.
    LoginRequestWithTimeout, 51 {
        0 request: LoginRequest,
        46 heartbeat_timeout_ms: [u8; 5],
    }

    /// Payload of Login Accepted.
    LoginAccepted, 30 {
        0 session: [u8; 10],
        10 seq: [u8; 20],
    }
}

/// Why a login was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum LoginReject {
    /// Wrong user name or password.
    NotAuthorised = b'A',
    /// The session asked for is not available.
    SessionNotAvailable = b'S',
}

impl LoginReject {
    /// The reason of a payload.
    #[must_use]
    pub fn decode(payload: &[u8]) -> Option<Self> {
        match payload {
            [b'A'] => Some(Self::NotAuthorised),
            [b'S'] => Some(Self::SessionNotAvailable),
            _ => None,
        }
    }
}

/// A length of zero: there is no packet without a type, so the stream is no longer in step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfStep;

/// One packet at the front of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// One of [`kind`], or anything else that the other end may have sent.
    pub kind: u8,
    /// What follows the type.
    pub payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Takes the first packet and what follows it; `None` when more bytes are needed.
    ///
    /// # Errors
    /// [`OutOfStep`]; the connection is then of no use.
    #[inline]
    pub fn decode(stream: &'a [u8]) -> Result<Option<(Self, &'a [u8])>, OutOfStep> {
        let Some((len, rest)) = stream.split_first_chunk::<LENGTH_LEN>() else {
            return Ok(None);
        };
        let len = usize::from(u16::from_be_bytes(*len));
        if len == 0 {
            return Err(OutOfStep);
        }
        let Some((packet, rest)) = rest.split_at_checked(len) else {
            return Ok(None);
        };
        let Some((&kind, payload)) = packet.split_first() else {
            return Err(OutOfStep);
        };
        Ok(Some((Self { kind, payload }, rest)))
    }

    /// Bytes on the wire.
    #[must_use]
    pub fn len(&self) -> usize {
        HEADER_LEN + self.payload.len()
    }

    /// Whether there is no payload.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.payload.is_empty()
    }

    /// Writes the packet to the front of `out`; `None` when it does not fit.
    #[inline]
    #[must_use]
    pub fn encode(&self, out: &mut [u8]) -> Option<usize> {
        frame(self.kind, out, |body| {
            body.get_mut(..self.payload.len())?
                .copy_from_slice(self.payload);
            Some(self.payload.len())
        })
    }
}

/// Writes a packet whose payload `encode` puts to the front of what it gets, returning its length. The
/// packet's length; `None` where it does not fit into `out`, or the payload is beyond [`PAYLOAD_LEN_MAX`].
#[inline]
#[must_use]
pub fn frame(
    kind: u8,
    out: &mut [u8],
    encode: impl FnOnce(&mut [u8]) -> Option<usize>,
) -> Option<usize> {
    let (header, body) = out.split_first_chunk_mut::<HEADER_LEN>()?;
    let len = encode(body)?;
    let [high, low] = u16::try_from(len + 1).ok()?.to_be_bytes();
    *header = [high, low, kind];
    Some(HEADER_LEN + len)
}

/// How many bytes the packet that begins here lacks, as far as can be told; `None`: it is whole.
#[must_use]
pub fn lacking(packet: &[u8]) -> Option<usize> {
    let Some((len, body)) = packet.split_first_chunk::<LENGTH_LEN>() else {
        return Some(LENGTH_LEN - packet.len());
    };
    let lacks = usize::from(u16::from_be_bytes(*len)).saturating_sub(body.len());
    (lacks > 0).then_some(lacks)
}

impl LoginRequest {
    /// Builds a request. Names are padded or cut on the right; a blank session is the current one;
    /// number 0 asks for whatever comes next.
    #[must_use]
    pub fn new(username: &str, password: &str, session: &str, seq: Seq) -> Self {
        Self {
            username: padded(username),
            password: padded(password),
            session: padded(session),
            seq: ascii::digits(seq.0),
        }
    }

    /// Reads the payload of either version; the second value is the heartbeat timeout of 4.10 in ms.
    #[must_use]
    pub fn decode(payload: &[u8]) -> Option<(&Self, Option<u64>)> {
        if let Ok(request) = Self::ref_from_bytes(payload) {
            return Some((request, None));
        }
        let longer = LoginRequestWithTimeout::ref_from_bytes(payload).ok()?;
        Some((&longer.request, ascii::number(&longer.heartbeat_timeout_ms)))
    }
}

impl LoginAccepted {
    /// Builds the answer: session padded on the left, as the specification says.
    #[must_use]
    pub fn new(session: &str, seq: Seq) -> Self {
        let mut padded = [b' '; 10];
        for (to, from) in padded.iter_mut().rev().zip(session.bytes().rev()) {
            *to = from;
        }
        Self {
            session: padded,
            seq: ascii::digits(seq.0),
        }
    }

    /// Reads the payload.
    #[must_use]
    pub fn decode(payload: &[u8]) -> Option<&Self> {
        Self::ref_from_bytes(payload).ok()
    }

    /// The session's name; ends differ in the side they pad, so both are trimmed.
    #[must_use]
    pub fn session_name(&self) -> &[u8] {
        self.session.trim_ascii()
    }

    /// The number of the next sequenced packet.
    #[must_use]
    pub fn next_seq(&self) -> Option<Seq> {
        ascii::number(&self.seq).map(Seq)
    }
}

/// `text` padded with spaces on the right, cut where it is too long.
#[must_use]
pub fn padded<const N: usize>(text: &str) -> [u8; N] {
    let mut out = [b' '; N];
    for (to, from) in out.iter_mut().zip(text.bytes()) {
        *to = from;
    }
    out
}

#[cfg(test)]
mod tests {
    use zerocopy::IntoBytes;

    use super::*;

    #[test]
    fn login_request_has_the_bytes_of_the_table() {
        let request = LoginRequest::new("user", "secret", "", Seq(1));
        let mut bytes = [0; 49];
        let packet = Packet {
            kind: kind::LOGIN_REQUEST,
            payload: request.as_bytes(),
        };
        assert_eq!(packet.encode(&mut bytes), Some(49));
        assert_eq!(
            &bytes,
            b"\0\x2FLuser  secret                                 1"
        );
        let (packet, rest) = Packet::decode(&bytes).unwrap().unwrap();
        assert!(rest.is_empty());
        let (read, timeout) = LoginRequest::decode(packet.payload).unwrap();
        assert_eq!(read, &request);
        assert_eq!(timeout, None);
    }

    #[test]
    fn version_4_10_login_carries_its_timeout() {
        let mut payload = LoginRequest::new("user", "secret", "S", Seq(0))
            .as_bytes()
            .to_vec();
        payload.extend_from_slice(b"15000");
        assert_eq!(LoginRequest::decode(&payload).unwrap().1, Some(15_000));
    }

    #[test]
    fn accepted_session_is_read_padded_on_either_side() {
        let ours = LoginAccepted::new("SESS01", Seq(77));
        assert_eq!(&ours.session, b"    SESS01");
        let theirs = b"SESS01                      77";
        let theirs = LoginAccepted::decode(theirs).unwrap();
        assert_eq!(ours.session_name(), theirs.session_name());
        assert_eq!(theirs.next_seq(), Some(Seq(77)));
    }

    #[test]
    fn stream_cut_anywhere_waits_for_the_rest() {
        let stream = b"\0\x03Sab\0\x01H";
        for cut in 0..5 {
            assert_eq!(Packet::decode(&stream[..cut]), Ok(None));
        }
        let (first, rest) = Packet::decode(stream).unwrap().unwrap();
        assert_eq!(
            first,
            Packet {
                kind: kind::SEQUENCED,
                payload: b"ab"
            }
        );
        let (second, rest) = Packet::decode(rest).unwrap().unwrap();
        assert_eq!(
            (second.kind, second.is_empty()),
            (kind::SERVER_HEARTBEAT, true)
        );
        assert!(rest.is_empty());
    }

    #[test]
    fn packet_cut_anywhere_lacks_what_its_length_states_and_nothing_when_whole() {
        let stream = b"\0\x03Sab\0\x01H";
        let lacks = [2, 1, 3, 2, 1].map(Some);
        for (cut, lacks) in lacks.into_iter().enumerate() {
            assert_eq!(lacking(&stream[..cut]), lacks);
        }
        assert_eq!((lacking(&stream[..5]), lacking(stream)), (None, None));
    }

    #[test]
    fn zero_length_is_out_of_step() {
        assert_eq!(Packet::decode(b"\0\0"), Err(OutOfStep));
    }
}
