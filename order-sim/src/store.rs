//! What one account was told, numbered, for clients that come back; in memory and, if asked for, in a
//! file.
//!
//! ```text
//!  file:    | "TICKSOUP" version | record | record | ...      the n-th record has sequence number n
//!  record:  | len | !len | checksum | message |
//! ```
//!
//! A length stands there twice, so that a damaged one cannot pass for a message whose end is missing. A
//! checksum (CRC-32) begins with that of the record before it, so no record can be lost, doubled or moved.
//!
//! Invariants:  messages are appended and never change; what is not yet in the file is not sent
//!              ([`Store::unsaved`] first, then the sockets).
//! When full:   [`Store::is_full`]: the account is closed, as an answer that cannot be kept must not be
//!              given.
//! When wrong:  a last record that a crash cut off is dropped from the file; the client never saw it.
//!              Anything else that does not add up is [`Damage`]: clients traded on what was there, so
//!              nothing is guessed.

use std::fmt;

/// Sequenced messages, one behind the other.
#[derive(Debug)]
pub struct Store {
    /// As the file has it.
    bytes: Vec<u8>,
    /// Where each record ends.
    ends: Vec<usize>,
    /// Bytes and messages that are in the file.
    saved: usize,
    saved_count: usize,
    /// The last record's checksum.
    checksum: u32,
    max: usize,
}

/// What every file begins with; the last two bytes are the format's version.
const HEAD: &[u8; 10] = b"TICKSOUP\0\x01";
/// Bytes of a record before its message.
const RECORD_HEAD_BYTES: usize = 8;

/// A file's messages.
#[derive(Debug)]
pub struct Restored {
    /// The messages.
    pub store: Store,
    /// Bytes that are to stay in the file.
    pub whole_bytes: usize,
    /// Bytes behind them that a crash left of a last record.
    pub torn_bytes: usize,
}

/// Why a file cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// It does not begin as a file of this version does.
    Head,
    /// The record at this offset does not add up.
    Record {
        /// Bytes before it.
        offset: usize,
        /// Its sequence number.
        seq: usize,
    },
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head => write!(
                f,
                "not a message store of version {}, or damaged at offset 0",
                HEAD.last().copied().unwrap_or_default()
            ),
            Self::Record { offset, seq } => {
                write!(f, "damaged at offset {offset} (message {seq})")
            }
        }
    }
}

impl std::error::Error for Damage {}

/// What is at the front of some bytes.
enum Record<'a> {
    Whole(&'a [u8], u32),
    Torn,
    Damaged,
}

impl Store {
    /// Room for this many messages.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self {
            bytes: HEAD.to_vec(),
            ends: Vec::new(),
            saved: 0,
            saved_count: 0,
            checksum: 0,
            max,
        }
    }

    /// The messages of a file.
    ///
    /// # Errors
    /// The file is not one, or damaged otherwise than at its end.
    pub fn restore(max: usize, file: &[u8]) -> Result<Restored, Damage> {
        let mut store = Self::new(max);
        let Some(mut rest) = file.strip_prefix(HEAD) else {
            // A crash cut off the head; there was nothing behind it.
            return if HEAD.starts_with(file) {
                Ok(store.restored(0, file.len()))
            } else {
                Err(Damage::Head)
            };
        };
        while !rest.is_empty() {
            match record(store.checksum, rest) {
                Record::Whole(message, checksum) => {
                    store.push(message);
                    debug_assert_eq!(store.checksum, checksum, "both ends count alike");
                    rest = rest
                        .get(RECORD_HEAD_BYTES + message.len()..)
                        .unwrap_or_default();
                }
                Record::Torn => break,
                Record::Damaged => {
                    return Err(Damage::Record {
                        offset: file.len() - rest.len(),
                        seq: store.count() + 1,
                    });
                }
            }
        }
        let whole = file.len() - rest.len();
        assert_eq!(whole, store.bytes.len(), "what was read is what is kept");
        Ok(store.restored(whole, rest.len()))
    }

    fn restored(mut self, whole_bytes: usize, torn_bytes: usize) -> Restored {
        self.saved = whole_bytes;
        self.saved_count = self.ends.len();
        Restored {
            store: self,
            whole_bytes,
            torn_bytes,
        }
    }

    /// Appends a message.
    pub fn push(&mut self, message: &[u8]) {
        let len = u16::try_from(message.len()).unwrap_or(u16::MAX);
        assert_eq!(usize::from(len), message.len(), "answers are short");
        self.checksum = checksum_of(self.checksum, len, message);
        self.bytes.extend_from_slice(&len.to_be_bytes());
        self.bytes.extend_from_slice(&(!len).to_be_bytes());
        self.bytes.extend_from_slice(&self.checksum.to_be_bytes());
        self.bytes.extend_from_slice(message);
        self.ends.push(self.bytes.len());
    }

    /// Messages so far.
    #[must_use]
    pub fn count(&self) -> usize {
        self.ends.len()
    }

    /// Of these, messages that are in the file.
    #[must_use]
    pub fn saved_count(&self) -> usize {
        self.saved_count
    }

    /// Whether no further message may be promised. A margin is left for what one request can cause.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.ends.len() >= self.max
    }

    /// The message of this index (sequence number less one).
    #[must_use]
    pub fn message(&self, index: usize) -> Option<&[u8]> {
        let end = *self.ends.get(index)?;
        self.bytes
            .get(self.start_of(index)? + RECORD_HEAD_BYTES..end)
    }

    /// Bytes of the messages from this index on.
    #[must_use]
    pub fn bytes_from(&self, index: usize) -> usize {
        let start = self.start_of(index).unwrap_or(self.bytes.len());
        self.bytes.len() - start
    }

    /// Where the record of this index begins.
    fn start_of(&self, index: usize) -> Option<usize> {
        match index.checked_sub(1) {
            Some(before) => self.ends.get(before).copied(),
            None => Some(HEAD.len()),
        }
    }

    /// What is to be appended to the file.
    #[must_use]
    pub fn unsaved(&self) -> &[u8] {
        self.bytes.get(self.saved..).unwrap_or_default()
    }

    /// Everything is in the file.
    pub fn mark_saved(&mut self) {
        self.saved = self.bytes.len();
        self.saved_count = self.ends.len();
    }
}

/// Reads the first record.
fn record(before: u32, bytes: &[u8]) -> Record<'_> {
    // A host that stops may leave room at the end that nothing was written into.
    if bytes.iter().all(|byte| *byte == 0) {
        return Record::Torn;
    }
    let Some((head, rest)) = bytes.split_first_chunk::<RECORD_HEAD_BYTES>() else {
        return Record::Torn;
    };
    let [a, b, c, d, check @ ..] = *head;
    let len = u16::from_be_bytes([a, b]);
    if len != !u16::from_be_bytes([c, d]) {
        return Record::Damaged;
    }
    let Some(message) = rest.get(..usize::from(len)) else {
        return Record::Torn;
    };
    let checksum = checksum_of(before, len, message);
    if checksum == u32::from_be_bytes(check) {
        Record::Whole(message, checksum)
    } else {
        Record::Damaged
    }
}

fn checksum_of(before: u32, len: u16, message: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(before);
    hasher.update(&len.to_be_bytes());
    hasher.update(message);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGES: [&[u8]; 4] = [b"one", b"", b"three", b"a longer message than the others"];

    fn file() -> Vec<u8> {
        let mut store = Store::new(10);
        for message in MESSAGES {
            store.push(message);
        }
        store.unsaved().to_vec()
    }

    /// Where records end, the head first.
    fn ends() -> Vec<usize> {
        let mut ends = vec![HEAD.len()];
        for message in MESSAGES {
            ends.push(ends[ends.len() - 1] + RECORD_HEAD_BYTES + message.len());
        }
        ends
    }

    #[test]
    fn file_has_the_bytes_of_the_table() {
        let file = file();
        assert_eq!(&file[..14], b"TICKSOUP\0\x01\0\x03\xFF\xFC");
        // CRC-32 of 00 03 'o' 'n' 'e', by another program (zlib).
        assert_eq!(file[14..18], 0x51BA_0710_u32.to_be_bytes());
        assert_eq!(&file[18..21], b"one");
        assert_eq!(file.len(), ends()[4]);
    }

    #[test]
    fn truncated_file_has_its_whole_messages_and_counts_the_rest() {
        let (file, ends) = (file(), ends());
        for cut in 0..=file.len() {
            let back = Store::restore(10, &file[..cut]).unwrap();
            let whole = ends.iter().rfind(|end| **end <= cut).copied().unwrap_or(0);
            assert_eq!((back.whole_bytes, back.torn_bytes), (whole, cut - whole));
            let count = ends[1..].iter().filter(|end| **end <= cut).count();
            assert_eq!(
                (back.store.count(), back.store.saved_count()),
                (count, count)
            );
            for (index, message) in MESSAGES[..count].iter().enumerate() {
                assert_eq!(back.store.message(index), Some(*message));
            }
            // What is written next makes the file whole again.
            let mut again = file[..back.whole_bytes].to_vec();
            let mut store = back.store;
            for message in &MESSAGES[count..] {
                store.push(message);
            }
            again.extend_from_slice(store.unsaved());
            assert_eq!(again, file);
        }
    }

    #[test]
    fn any_flipped_bit_is_found_at_its_record() {
        let (file, ends) = (file(), ends());
        for bit in 0..file.len() * 8 {
            let mut bad = file.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let seq = ends.iter().filter(|end| **end <= bit / 8).count();
            let expected = match seq {
                0 => Damage::Head,
                seq => Damage::Record {
                    offset: ends[seq - 1],
                    seq,
                },
            };
            assert_eq!(Store::restore(10, &bad).unwrap_err(), expected, "bit {bit}");
        }
    }

    #[test]
    fn record_lost_doubled_or_moved_is_found() {
        let (file, ends) = (file(), ends());
        let record = |n: usize| &file[ends[n - 1]..ends[n]];
        let head = &file[..HEAD.len()];
        for order in [
            &[2, 3, 4][..],
            &[1, 3, 4],
            &[1, 1, 2, 3, 4],
            &[1, 2, 4, 3],
            &[3],
        ] {
            let records: Vec<&[u8]> = order.iter().map(|n| record(*n)).collect();
            let bad = [head, &records.concat()].concat();
            let result = Store::restore(10, &bad);
            assert!(matches!(result, Err(Damage::Record { .. })), "{order:?}");
        }
    }

    #[test]
    fn room_that_nothing_was_written_into_is_cut_off() {
        let mut long = file();
        let whole = long.len();
        long.resize(whole + 4096, 0);
        let back = Store::restore(10, &long).unwrap();
        assert_eq!((back.whole_bytes, back.torn_bytes), (whole, 4096));
    }

    #[test]
    fn file_of_a_version_without_checksums_is_refused() {
        let old = b"\0\x03one\0\0\0\x05three";
        assert_eq!(Store::restore(10, old).unwrap_err(), Damage::Head);
        let newer = b"TICKSOUP\0\x02";
        assert_eq!(Store::restore(10, newer).unwrap_err(), Damage::Head);
    }

    #[test]
    fn store_is_full_at_its_bound() {
        let mut store = Store::new(1);
        assert!(!store.is_full());
        store.push(b"x");
        assert!(store.is_full());
    }

    #[test]
    fn bytes_from_an_index_are_those_of_the_records_behind_it() {
        let mut store = Store::new(10);
        assert_eq!((store.bytes_from(0), store.bytes_from(5)), (0, 0));
        for message in MESSAGES {
            store.push(message);
        }
        assert_eq!(store.bytes_from(0), file().len() - HEAD.len());
        assert_eq!(store.bytes_from(3), RECORD_HEAD_BYTES + MESSAGES[3].len());
        assert_eq!((store.bytes_from(4), store.bytes_from(9)), (0, 0));
    }
}
