//! A file's head: whose journal it is, when the run began, and what numbers and codes mean.
//!
//! When wrong:  one [`HeadFlaw`]; nothing of a file whose head is damaged is believed.

use serde::{Deserialize, Serialize};
use zerocopy::byteorder::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::format::{ALIGN_BYTES, checksum};
use crate::order::risk::{KillCause, Refusal};

/// What a journal begins with.
const MAGIC: [u8; 8] = *b"TGJOURNL";
/// The version of the layout that this program writes, and the only one that it reads.
pub const VERSION: u32 = 1;
/// Bytes before the text.
const FIXED_BYTES: usize = 48;
/// Longer heads are none: 256 sessions of 256 strategies with names of a line each fit.
const HEAD_BYTES_MAX: usize = 16 << 20;

#[derive(Clone, Copy, Debug, IntoBytes, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Fixed {
    magic: [u8; 8],
    version: U32,
    head_bytes: U32,
    realtime_ns: U64,
    monotonic_ns: U64,
    salt: U32,
    part: U32,
    text_bytes: U32,
    crc: U32,
}

const _: () = assert!(size_of::<Fixed>() == FIXED_BYTES);

/// When a run began, on both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Began {
    /// ns since 1970.
    pub realtime_ns: u64,
    /// ns on the clock of the records.
    pub monotonic_ns: u64,
}

impl Began {
    /// What checksums of this run begin from: records of another one, left where a file system lost track, are none of it.
    #[must_use]
    pub fn salt(self) -> u32 {
        checksum(0, &self.realtime_ns.to_le_bytes())
    }

    /// A record's time in ns since 1970.
    #[must_use]
    pub fn realtime_ns(self, time_ns: u64) -> u64 {
        let offset = self.realtime_ns.wrapping_sub(self.monotonic_ns);
        time_ns.wrapping_add(offset)
    }
}

/// A session, as records number it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct SessionNames {
    /// Its name in the configuration.
    pub name: String,
    /// Whom it logs in as: the same name for another account is another session.
    #[serde(default)]
    pub username: String,
    /// The exchange's session that it had joined when the file began; empty: none yet.
    #[serde(default)]
    pub joined: String,
    /// What its trading hours went by: added to the clock of the records it is the time since midnight, ns. `None`: it has no
    /// hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_offset_ns: Option<u64>,
    /// Its strategies, as records number them.
    pub strategies: Vec<String>,
    /// The sequence number that its next record has.
    pub next: u64,
}

impl SessionNames {
    /// Whether both are of one account, under one name.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        (&self.name, &self.username) == (&other.name, &other.username)
    }
}

/// What numbers and codes mean.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Names {
    /// The version of the gateway.
    pub gateway: String,
    /// The host that it runs on; empty: nobody said.
    #[serde(default)]
    pub host: String,
    /// The sessions.
    pub sessions: Vec<SessionNames>,
    /// The sequence number that the gateway's own next record has.
    pub next: u64,
    /// Feeds, as intents number them.
    pub feeds: Vec<String>,
    /// Refusals, with their codes.
    pub refusals: Vec<(u8, String)>,
    /// Causes of a kill, with their codes.
    pub kills: Vec<(u8, String)>,
}

impl Names {
    /// Of this version of the gateway, at the beginning of a run.
    #[must_use]
    pub fn new(sessions: Vec<SessionNames>, feeds: Vec<String>) -> Self {
        let refusals = Refusal::ALL.iter();
        let kills = KillCause::ALL.iter();
        Self {
            gateway: env!("CARGO_PKG_VERSION").to_owned(),
            host: String::new(),
            sessions,
            next: 1,
            feeds,
            refusals: refusals
                .map(|(refusal, ..)| (*refusal as u8, format!("{refusal:?}")))
                .collect(),
            kills: kills
                .map(|cause| (*cause as u8, cause.to_string()))
                .collect(),
        }
    }
}

/// A file's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// When the run began.
    pub began: Began,
    /// Which part of the run.
    pub part: u32,
    /// What numbers and codes mean.
    pub names: Names,
    /// Bytes that it takes.
    pub bytes: usize,
    /// What checksums begin from.
    pub salt: u32,
}

/// Why bytes are no head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadFlaw {
    /// They end before it does.
    Short {
        /// There are.
        found: usize,
        /// There should be at least.
        expected: usize,
    },
    /// It is no journal.
    Magic,
    /// Another version of the layout.
    Version(u32),
    /// Lengths that no head has.
    Length(u32),
    /// The checksum is another one.
    Checksum {
        /// What the bytes come to.
        found: u32,
        /// What the head says.
        expected: u32,
    },
    /// The text is not what it should be.
    Text,
}

impl std::fmt::Display for HeadFlaw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Self::Short { found, expected } => {
                write!(f, "a head of {found} bytes, expected at least {expected}")
            }
            Self::Magic => f.write_str("no journal: expected TGJOURNL at its beginning"),
            Self::Version(found) => write!(f, "version {found}, expected {VERSION}"),
            Self::Length(found) => write!(
                f,
                "a head of {found} bytes, expected {FIXED_BYTES} to {HEAD_BYTES_MAX}, and no less than its text"
            ),
            Self::Checksum { found, expected } => {
                write!(
                    f,
                    "the head's checksum is {found:08x}, expected {expected:08x}"
                )
            }
            Self::Text => f.write_str("the head's text is not what a gateway writes"),
        }
    }
}

/// Writes a head.
#[must_use]
pub fn encode(began: Began, part: u32, names: &Names) -> Vec<u8> {
    // Names are text, so this cannot fail; a head without a text would be refused by its reader.
    let text = serde_json::to_vec(names).unwrap_or_default();
    let short = |value: usize| U32::new(u32::try_from(value).unwrap_or(u32::MAX));
    let total = (FIXED_BYTES + text.len()).next_multiple_of(ALIGN_BYTES);
    let mut fixed = Fixed {
        magic: MAGIC,
        version: U32::new(VERSION),
        head_bytes: short(total),
        realtime_ns: U64::new(began.realtime_ns),
        monotonic_ns: U64::new(began.monotonic_ns),
        salt: U32::new(began.salt()),
        part: U32::new(part),
        text_bytes: short(text.len()),
        crc: U32::new(0),
    };
    let mut rest = text;
    rest.resize(total - FIXED_BYTES, 0);
    fixed.crc = U32::new(head_checksum(fixed, &rest));
    [fixed.as_bytes(), &rest].concat()
}

/// Reads the head at the front.
///
/// # Errors
/// What is wrong with it.
pub fn decode(bytes: &[u8]) -> Result<Head, HeadFlaw> {
    let short = |expected| HeadFlaw::Short {
        found: bytes.len(),
        expected,
    };
    let is_ours = bytes.iter().zip(&MAGIC).all(|(found, ours)| found == ours);
    if !is_ours {
        return Err(HeadFlaw::Magic);
    }
    let (fixed, _) = Fixed::read_from_prefix(bytes).map_err(|_| short(FIXED_BYTES))?;
    if fixed.version.get() != VERSION {
        return Err(HeadFlaw::Version(fixed.version.get()));
    }
    let size = |value: U32| usize::try_from(value.get()).unwrap_or(usize::MAX);
    let (total, text_bytes) = (size(fixed.head_bytes), size(fixed.text_bytes));
    let padded = text_bytes
        .saturating_add(FIXED_BYTES)
        .checked_next_multiple_of(ALIGN_BYTES);
    if total > HEAD_BYTES_MAX || padded != Some(total) {
        return Err(HeadFlaw::Length(fixed.head_bytes.get()));
    }
    let rest = bytes.get(FIXED_BYTES..total).ok_or_else(|| short(total))?;
    let (found, expected) = (head_checksum(fixed, rest), fixed.crc.get());
    if found != expected {
        return Err(HeadFlaw::Checksum { found, expected });
    }
    let text = rest.get(..text_bytes).ok_or_else(|| short(total))?;
    Ok(Head {
        began: Began {
            realtime_ns: fixed.realtime_ns.get(),
            monotonic_ns: fixed.monotonic_ns.get(),
        },
        part: fixed.part.get(),
        names: serde_json::from_slice(text).map_err(|_| HeadFlaw::Text)?,
        bytes: total,
        salt: fixed.salt.get(),
    })
}

fn head_checksum(mut fixed: Fixed, rest: &[u8]) -> u32 {
    fixed.crc = U32::new(0);
    checksum(checksum(0, fixed.as_bytes()), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        let session = SessionNames {
            name: "ouch1".to_owned(),
            strategies: vec!["probe".to_owned()],
            next: 1,
            ..SessionNames::default()
        };
        Names::new(vec![session], vec!["itch".to_owned()])
    }

    const BEGAN: Began = Began {
        realtime_ns: 1_700_000_000_000_000_000,
        monotonic_ns: 5_000,
    };

    #[test]
    fn head_comes_back_whole_and_ends_at_a_multiple_of_eight() {
        let bytes = encode(BEGAN, 3, &names());
        assert_eq!(bytes.len() % 8, 0);
        let head = decode(&bytes).unwrap();
        assert_eq!((head.began, head.part, head.names), (BEGAN, 3, names()));
        assert_eq!((head.bytes, head.salt), (bytes.len(), BEGAN.salt()));
        assert_eq!(BEGAN.realtime_ns(5_007), 1_700_000_000_000_000_007);
    }

    #[test]
    fn any_bit_of_a_head_that_turns_is_found() {
        let bytes = encode(BEGAN, 0, &names());
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut bytes = bytes.clone();
                bytes[at] ^= 1 << bit;
                assert!(decode(&bytes).is_err(), "byte {at}, bit {bit}");
            }
        }
    }

    #[test]
    fn head_that_ends_early_is_short_and_another_file_is_no_journal() {
        let bytes = encode(BEGAN, 0, &names());
        for found in 0..bytes.len() {
            let flaw = decode(&bytes[..found]).unwrap_err();
            assert!(matches!(flaw, HeadFlaw::Short { .. }), "{found}: {flaw}");
        }
        assert_eq!(decode(b"{\"json\": 1}"), Err(HeadFlaw::Magic));
    }
}
