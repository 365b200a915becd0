//! `ClOrdID` as Tickgate writes it: whose order, and which message of which feed caused it, so that everyone
//! downstream, the exchange included, can tell.
//!
//! ```text
//!  0       2      4                14
//!  | owner | feed | sequence number |      hexadecimal, upper case
//! ```
//!
//! When full:   a feed beyond 254 and a sequence number beyond [`ClientOrderId::SEQ_MAX`] are written as all
//!              `F`, which reads as "not known": an order never names a message that did not cause it.
//! Spec:        OUCH 5.0 revision 1.04, "Enter Order": `ClOrdID`, 14 characters, for the client's own use.

/// What a `ClOrdID` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientOrderId {
    /// Whose order: the index of the strategy.
    pub owner: u8,
    /// Index of the feed; `None`: not known.
    pub feed: Option<u8>,
    /// Sequence number of the message that caused the order; `None`: not known.
    pub seq: Option<u64>,
}

/// A feed that is not known.
const FEED_UNKNOWN: u8 = u8::MAX;
/// A sequence number that is not known: ten digits `F`.
const SEQ_UNKNOWN: u64 = (1 << 40) - 1;
const DIGITS: &[u8; 16] = b"0123456789ABCDEF";

impl ClientOrderId {
    /// The largest sequence number that can be said: 2^40 - 2, a million millions. A feed of ten million
    /// messages a second reaches it after thirty hours.
    pub const SEQ_MAX: u64 = SEQ_UNKNOWN - 1;

    /// An owner's order that this message of this feed caused.
    #[inline]
    #[must_use]
    pub fn new(owner: u8, feed: u16, seq: u64) -> Self {
        Self {
            owner,
            feed: u8::try_from(feed).ok().filter(|feed| *feed != FEED_UNKNOWN),
            seq: (seq <= Self::SEQ_MAX).then_some(seq),
        }
    }

    /// The 14 characters.
    #[inline]
    #[must_use]
    pub fn encode(self) -> [u8; 14] {
        let feed = self.feed.unwrap_or(FEED_UNKNOWN);
        let seq = self.seq.unwrap_or(SEQ_UNKNOWN).min(SEQ_UNKNOWN);
        let mut rest = u64::from(self.owner) << 48 | u64::from(feed) << 40 | seq;
        let mut out = [b'0'; 14];
        for digit in out.iter_mut().rev() {
            *digit = DIGITS.get((rest & 15) as usize).copied().unwrap_or(b'?');
            rest >>= 4;
        }
        out
    }

    /// Reads the 14 characters; `None`: somebody else wrote them.
    #[must_use]
    pub fn decode(text: &[u8; 14]) -> Option<Self> {
        let mut value: u64 = 0;
        for byte in text {
            let digit = match byte {
                b'0'..=b'9' => byte - b'0',
                b'A'..=b'F' => byte - b'A' + 10,
                _ => return None,
            };
            value = value << 4 | u64::from(digit);
        }
        let [_, owner, feed, ..] = value.to_be_bytes();
        let seq = value & SEQ_UNKNOWN;
        Some(Self {
            owner,
            feed: (feed != FEED_UNKNOWN).then_some(feed),
            seq: (seq != SEQ_UNKNOWN).then_some(seq),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_owner_and_feed_has_characters_of_its_own() {
        let mut seen = std::collections::HashSet::new();
        for owner in 0..=u8::MAX {
            for feed in 0..u16::from(FEED_UNKNOWN) {
                let id = ClientOrderId::new(owner, feed, 5);
                assert!(seen.insert(id.encode()), "{owner} {feed}");
                assert_eq!(ClientOrderId::decode(&id.encode()), Some(id));
                assert_eq!((id.owner, id.feed.map(u16::from)), (owner, Some(feed)));
            }
        }
    }

    #[test]
    fn characters_are_owner_feed_and_sequence_number() {
        let id = ClientOrderId::new(0x1A, 0xB2, 0x00_1234_ABCD);
        assert_eq!(&id.encode(), b"1AB2001234ABCD");
        let last = ClientOrderId::new(255, 254, ClientOrderId::SEQ_MAX);
        assert_eq!(&last.encode(), b"FFFEFFFFFFFFFE");
        assert_eq!(ClientOrderId::decode(b"FFFEFFFFFFFFFE"), Some(last));
    }

    #[test]
    fn what_has_no_room_is_unknown_and_never_another_message() {
        for seq in [ClientOrderId::SEQ_MAX + 1, 1 << 40, (1 << 40) + 5, u64::MAX] {
            for feed in [255, 256, u16::MAX] {
                let id = ClientOrderId::new(7, feed, seq);
                assert_eq!(&id.encode(), b"07FFFFFFFFFFFF");
                let read = ClientOrderId::decode(&id.encode()).unwrap();
                assert_eq!((read.owner, read.feed, read.seq), (7, None, None));
            }
        }
    }

    #[test]
    fn characters_of_others_are_not_read() {
        for text in [
            b"              ",
            b"abcdefabcdef00",
            b"+1000000000001",
            b"0000000000000G",
        ] {
            assert_eq!(ClientOrderId::decode(text), None);
        }
    }
}
