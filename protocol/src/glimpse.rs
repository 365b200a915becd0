//! GLIMPSE 5.0: the book's snapshot over SoupBinTCP. Its messages are ITCH messages; only the mark at
//! the end is its own.
//!
//! Spec:        GLIMPSE 5.0, 13 Feb 2026, "End of Snapshot".

use crate::ascii;
use crate::types::{DecodeError, Seq};
use crate::wire::layout;
use zerocopy::FromBytes;

layout! {
    /// `G`, End of Snapshot: the message with this number is the first to apply.
    EndOfSnapshot, 21 {
        0 kind: u8,
        1 seq: [u8; 20],
    }
}

impl EndOfSnapshot {
    /// The type byte.
    pub const KIND: u8 = b'G';

    /// Builds the mark, digits right-justified.
    #[must_use]
    pub fn new(seq: Seq) -> Self {
        Self {
            kind: Self::KIND,
            seq: ascii::digits(seq.0),
        }
    }

    /// Reads the mark.
    ///
    /// # Errors
    /// Another type or length.
    pub fn decode(bytes: &[u8]) -> Result<&Self, DecodeError> {
        match bytes.first() {
            None => Err(DecodeError::Empty),
            Some(&Self::KIND) => {
                Self::ref_from_bytes(bytes).map_err(|_| DecodeError::WrongLength {
                    kind: Self::KIND,
                    expected: Self::LEN,
                    found: bytes.len(),
                })
            }
            Some(&other) => Err(DecodeError::UnknownType(other)),
        }
    }

    /// The number, whichever side the digits are padded on; `None` when they are no number.
    #[must_use]
    pub fn number(&self) -> Option<Seq> {
        ascii::number(&self.seq).map(Seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_is_read_padded_on_either_side() {
        for text in [b"G            12345678", b"G12345678            "] {
            let mark = EndOfSnapshot::decode(text).unwrap();
            assert_eq!(mark.number(), Some(Seq(12_345_678)));
        }
        assert_eq!(
            EndOfSnapshot::decode(b"G1").unwrap_err().to_string(),
            "type 'G' has 2 bytes, expected 21"
        );
    }
}
