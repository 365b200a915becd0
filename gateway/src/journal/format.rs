//! A record's bytes: its header, its checksum, its place in a file. The layout is drawn in the module's header.
//!
//! Invariants:  what `decode` gives has the checksum that it was written with; no input makes it panic.
//! When wrong:  one [`Flaw`], which says whether more bytes could mend it.

use zerocopy::byteorder::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of a record before its payload.
pub const HEADER_BYTES: usize = 32;
/// The longest payload: the longest message that SoupBinTCP can carry, and the number before it. A length beyond it
/// is none.
pub const PAYLOAD_BYTES_MAX: usize = protocol::soup::PAYLOAD_LEN_MAX + 8;
/// Records begin at multiples of this.
pub(super) const ALIGN_BYTES: usize = 8;
/// Of the header, what the checksum does not cover: itself.
const CHECKSUM_BYTES: usize = 4;
/// The session number of what is the gateway's own.
pub const GATEWAY: u8 = 255;
/// From this code on kinds tell nothing that orders, positions, limits or kill switches follow from: a version that
/// does not know one passes over it.
pub const ASIDE: u8 = 128;

/// What a record tells; the module's header has its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// The gateway starts.
    Start = 1,
    /// The gateway has stopped.
    Stop = 2,
    /// An intent was accepted.
    Sent = 3,
    /// An intent was refused.
    Refused = 4,
    /// Cancels that no strategy asked for.
    Cancels = 5,
    /// A message of the exchange.
    Heard = 6,
    /// A connection stands.
    Connected = 7,
    /// The login was accepted.
    LoggedIn = 8,
    /// The connection is gone.
    Closed = 9,
    /// Orders go out.
    Opened = 10,
    /// A command of the operator.
    Command = 11,
    /// The kill switch is on.
    KillOn = 12,
    /// The kill switch is off.
    KillOff = 13,
    /// Limits are other ones.
    Limits = 14,
    /// Turns of the core, for the replay of the day.
    Turns = 15,
    /// A row of limits is another one.
    Row = 16,
    /// Somebody asked for something by the control socket.
    Asked = 128,
    /// Something from [`ASIDE`] on that this version does not know.
    Aside = 255,
}

impl Kind {
    /// Every kind, with the word for it.
    pub const ALL: [(Self, &'static str); 18] = [
        (Self::Start, "start"),
        (Self::Stop, "stop"),
        (Self::Sent, "sent"),
        (Self::Refused, "refused"),
        (Self::Cancels, "cancels"),
        (Self::Heard, "heard"),
        (Self::Connected, "connected"),
        (Self::LoggedIn, "logged-in"),
        (Self::Closed, "closed"),
        (Self::Opened, "opened"),
        (Self::Command, "command"),
        (Self::KillOn, "kill-on"),
        (Self::KillOff, "kill-off"),
        (Self::Limits, "limits"),
        (Self::Turns, "turns"),
        (Self::Row, "row"),
        (Self::Asked, "asked"),
        (Self::Aside, "aside"),
    ];

    /// The kind of a code.
    #[must_use]
    pub fn of_code(code: u8) -> Option<Self> {
        let mut all = Self::ALL.into_iter().map(|(kind, _)| kind);
        all.find(|kind| *kind as u8 == code)
            .or_else(|| (code >= ASIDE).then_some(Self::Aside))
    }

    /// The kind of a word.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|(_, word)| *word == name).map(|(kind, _)| kind)
    }

    /// Its word.
    #[must_use]
    pub fn name(self) -> &'static str {
        let mut all = Self::ALL.into_iter();
        all.find(|(kind, _)| *kind == self)
            .map_or("", |(_, word)| word)
    }
}

/// In front of each record, in the ring as in the file.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    IntoBytes,
    FromBytes,
    Immutable,
    KnownLayout,
    Unaligned,
)]
#[repr(C)]
pub struct Header {
    /// CRC-32 of the rest; 0 in the ring.
    pub crc: U32,
    /// Bytes of payload.
    pub payload_bytes: U32,
    /// The session's own number for it: 1, 2, 3 ...
    pub sequence: U64,
    /// When, ns, monotonic.
    pub time_ns: U64,
    /// Records lost before it.
    pub lost: U32,
    /// A [`Kind`].
    pub kind: u8,
    /// The session; [`GATEWAY`]: none.
    pub session: u8,
    /// The kind's own.
    pub detail: [u8; 2],
}

const _: () = assert!(size_of::<Header>() == HEADER_BYTES);

/// An intent, and what became of it.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    IntoBytes,
    FromBytes,
    Immutable,
    KnownLayout,
    Unaligned,
)]
#[repr(C)]
pub struct IntentRecord {
    /// When the strategy had decided, ns.
    pub decided_ns: U64,
    /// When the feed stage had the frame behind it, ns.
    pub seen_ns: U64,
    /// Number of the market message behind it.
    pub seq: U64,
    /// The strategy's number for the order.
    pub id: U32,
    /// The order's reference number; 0: refused.
    pub user_ref: U32,
    /// Limit, in units of 0.0001.
    pub price: U32,
    /// Shares.
    pub qty: U32,
    /// Symbol of the day; of a new order.
    pub locate: U16,
    /// The strategy.
    pub owner: u8,
    /// Bits 0 and 1 action, [`SELL`], [`IMMEDIATE`], [`BY_EXECUTION`], [`BY_TIMER`].
    pub flags: u8,
    /// The refusal's code; [`ACCEPTED`]: none.
    pub refusal: u8,
    /// The feed; 255: beyond.
    pub feed: u8,
}

/// Bytes of an intent.
pub const INTENT_BYTES: usize = 46;
const _: () = assert!(size_of::<IntentRecord>() == INTENT_BYTES);
/// Flag: a sell.
pub const SELL: u8 = 1 << 2;
/// Flag: immediate or cancel.
pub const IMMEDIATE: u8 = 1 << 3;
/// Flag: an execution caused it, not a market event.
pub const BY_EXECUTION: u8 = 1 << 4;
/// Flag: a timer caused it; there is no market event behind it.
pub const BY_TIMER: u8 = 1 << 5;
/// No refusal.
pub const ACCEPTED: u8 = 255;

/// One record, where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its header.
    pub header: Header,
    /// Its kind.
    pub kind: Kind,
    /// Its payload.
    pub payload: &'a [u8],
}

/// Why bytes are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// They end before it does: this many bytes of this many.
    Short {
        /// There are.
        found: usize,
        /// There should be at least.
        expected: usize,
    },
    /// A length that no record has.
    Length(u32),
    /// The checksum is another one.
    Checksum {
        /// What the bytes come to.
        found: u32,
        /// What the record says.
        expected: u32,
    },
    /// A kind that this version does not know.
    Kind(u8),
    /// A payload that its kind has not.
    Payload(Kind),
    /// Another number than the session's next one.
    Sequence {
        /// What it has.
        found: u64,
        /// What comes next.
        expected: u64,
    },
}

impl std::fmt::Display for Flaw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Self::Short { found, expected } => {
                write!(f, "{found} bytes, expected at least {expected}")
            }
            Self::Length(len) => write!(
                f,
                "a payload of {len} bytes, expected at most {PAYLOAD_BYTES_MAX}"
            ),
            Self::Checksum { found, expected } => {
                write!(f, "checksum {found:08x}, expected {expected:08x}")
            }
            Self::Kind(code) => write!(
                f,
                "kind {code}, which this version does not know: expected 1 to {}, or {ASIDE} and above",
                Kind::Row as u8
            ),
            Self::Payload(kind) => write!(f, "a payload that no record \"{}\" has", kind.name()),
            Self::Sequence { found, expected } => {
                write!(f, "sequence number {found}, expected {expected}")
            }
        }
    }
}

impl<'a> Record<'a> {
    /// A record that has not been in a file; `None`: its kind is none.
    #[must_use]
    pub fn of(header: Header, payload: &'a [u8]) -> Option<Self> {
        let kind = Kind::of_code(header.kind)?;
        Some(Self {
            header,
            kind,
            payload,
        })
    }
}

/// Bytes of a record with this payload.
#[must_use]
pub fn record_bytes(payload_bytes: usize) -> usize {
    (HEADER_BYTES + payload_bytes).next_multiple_of(ALIGN_BYTES)
}

/// Appends a record; its header's checksum and length are made here.
///
/// # Panics
/// A payload beyond [`PAYLOAD_BYTES_MAX`] in a build with assertions.
pub fn encode(salt: u32, mut header: Header, payload: &[u8], out: &mut Vec<u8>) {
    debug_assert!(payload.len() <= PAYLOAD_BYTES_MAX);
    header.payload_bytes = U32::new(u32::try_from(payload.len()).unwrap_or(u32::MAX));
    header.crc = U32::new(0);
    let begin = out.len();
    out.extend_from_slice(header.as_bytes());
    out.extend_from_slice(payload);
    out.resize(begin + record_bytes(payload.len()), 0);
    let Some(record) = out.get_mut(begin..) else {
        return;
    };
    let Some((crc, rest)) = record.split_at_mut_checked(CHECKSUM_BYTES) else {
        return;
    };
    crc.copy_from_slice(&checksum(salt, rest).to_le_bytes());
}

/// Takes the record at the front, and how many bytes it has.
///
/// # Errors
/// What is wrong with it.
pub fn decode(salt: u32, bytes: &[u8]) -> Result<(Record<'_>, usize), Flaw> {
    let header = header(bytes)?;
    let (len, total) = lengths(&header, bytes.len())?;
    let covered = bytes.get(CHECKSUM_BYTES..total).unwrap_or_default();
    let (found, expected) = (checksum(salt, covered), header.crc.get());
    if found != expected {
        return Err(Flaw::Checksum { found, expected });
    }
    let kind = Kind::of_code(header.kind).ok_or(Flaw::Kind(header.kind))?;
    let payload = bytes.get(HEADER_BYTES..HEADER_BYTES + len);
    let record = Record {
        header,
        kind,
        payload: payload.unwrap_or_default(),
    };
    Ok((record, total))
}

fn header(bytes: &[u8]) -> Result<Header, Flaw> {
    let header = Header::read_from_prefix(bytes).map(|(header, _)| header);
    header.map_err(|_| Flaw::Short {
        found: bytes.len(),
        expected: HEADER_BYTES,
    })
}

/// Bytes of the payload and of the record, of which this many are here.
fn lengths(header: &Header, found: usize) -> Result<(usize, usize), Flaw> {
    let payload_bytes = header.payload_bytes.get();
    let len = usize::try_from(payload_bytes).unwrap_or(usize::MAX);
    if len > PAYLOAD_BYTES_MAX {
        return Err(Flaw::Length(payload_bytes));
    }
    let expected = record_bytes(len);
    if found < expected {
        return Err(Flaw::Short { found, expected });
    }
    Ok((len, expected))
}

/// CRC-32 that begins from a salt.
pub(super) fn checksum(salt: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(salt);
    hasher.update(bytes);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard() -> Header {
        Header {
            sequence: U64::new(7),
            time_ns: U64::new(0x0102_0304),
            kind: Kind::Heard as u8,
            session: 2,
            detail: [1, 0],
            ..Header::default()
        }
    }

    #[test]
    fn record_lies_as_the_table_says() {
        let mut bytes = Vec::new();
        encode(0, heard(), &[0xAA; 9], &mut bytes);
        assert_eq!(bytes.len(), 48);
        assert_eq!(bytes[4..8], [9, 0, 0, 0]);
        assert_eq!(bytes[8..16], [7, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes[16..24], [4, 3, 2, 1, 0, 0, 0, 0]);
        assert_eq!(bytes[24..32], [0, 0, 0, 0, 6, 2, 1, 0]);
        assert_eq!(bytes[32..], [&[0xAA; 9][..], &[0; 7]].concat());
        // CRC-32 (IEEE) as Python's zlib.crc32 has it.
        assert_eq!(bytes[..4], 0x6199_74B8_u32.to_le_bytes());
    }

    #[test]
    fn record_of_another_run_or_with_a_kind_of_tomorrow_that_must_be_known_is_refused() {
        let mut bytes = Vec::new();
        encode(1, heard(), b"x", &mut bytes);
        assert!(decode(1, &bytes).is_ok());
        assert!(matches!(decode(2, &bytes), Err(Flaw::Checksum { .. })));
        for (code, expected) in [(17, None), (127, None), (129, Some(Kind::Aside))] {
            let mut bytes = Vec::new();
            let header = Header {
                kind: code,
                ..heard()
            };
            encode(1, header, b"x", &mut bytes);
            let kind = decode(1, &bytes).map(|(record, _)| record.kind);
            assert_eq!(kind, expected.ok_or(Flaw::Kind(code)));
        }
    }

    #[test]
    fn bytes_that_end_early_say_how_many_are_missing() {
        let mut bytes = Vec::new();
        encode(1, heard(), b"0123456789", &mut bytes);
        for found in 0..bytes.len() {
            let expected = if found < HEADER_BYTES { 32 } else { 48 };
            assert_eq!(
                decode(1, &bytes[..found]),
                Err(Flaw::Short { found, expected })
            );
        }
    }

    #[test]
    fn kinds_have_words_of_their_own() {
        for (kind, word) in Kind::ALL {
            assert_eq!(Kind::of_code(kind as u8), Some(kind));
            assert_eq!((Kind::named(word), kind.name()), (Some(kind), word));
        }
        assert_eq!((Kind::of_code(0), Kind::of_code(17)), (None, None));
    }
}
