//! What one account was told, numbered, for clients that come back; in memory and, if asked for, in a
//! file.
//!
//! ```text
//!  file: | len | message | len | message | ...        the n-th message has sequence number n
//! ```
//!
//! Invariants:  messages are appended and never change; what is not yet in the file is not sent
//!              ([`Store::unsaved`] first, then the sockets).
//! When full:   [`Store::is_full`]: the account is closed, as an answer that cannot be kept must not be
//!              given.
//! When wrong:  a last message that a crash cut off is dropped from the file; the client never saw it.

/// Sequenced messages, one behind the other.
#[derive(Debug, Default)]
pub struct Store {
    bytes: Vec<u8>,
    /// Where each message ends.
    ends: Vec<usize>,
    saved: usize,
    max: usize,
}

/// Bytes before each message.
const LEN_BYTES: usize = 2;

impl Store {
    /// Room for so many messages.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self {
            max,
            ..Self::default()
        }
    }

    /// The messages of a file, and how many of its bytes are whole messages.
    #[must_use]
    pub fn restore(max: usize, file: &[u8]) -> (Self, usize) {
        let mut store = Self::new(max);
        let mut rest = file;
        while let Some((len, after)) = rest.split_first_chunk::<LEN_BYTES>()
            && let Some((message, after)) =
                after.split_at_checked(usize::from(u16::from_be_bytes(*len)))
        {
            store.push(message);
            rest = after;
        }
        store.saved = store.bytes.len();
        let whole = store.saved;
        (store, whole)
    }

    /// Appends a message.
    pub fn push(&mut self, message: &[u8]) {
        let len = u16::try_from(message.len()).unwrap_or(u16::MAX);
        debug_assert_eq!(usize::from(len), message.len(), "answers are short");
        self.bytes.extend_from_slice(&len.to_be_bytes());
        self.bytes.extend_from_slice(message);
        self.ends.push(self.bytes.len());
    }

    /// Messages so far.
    #[must_use]
    pub fn count(&self) -> usize {
        self.ends.len()
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
        let start = match index.checked_sub(1) {
            Some(before) => *self.ends.get(before)?,
            None => 0,
        };
        self.bytes.get(start + LEN_BYTES..end)
    }

    /// Bytes of the messages from this index on.
    #[must_use]
    pub fn bytes_from(&self, index: usize) -> usize {
        let before = index
            .checked_sub(1)
            .and_then(|before| self.ends.get(before));
        self.bytes.len()
            - before
                .copied()
                .unwrap_or(if index == 0 { 0 } else { self.bytes.len() })
    }

    /// What is to be appended to the file.
    #[must_use]
    pub fn unsaved(&self) -> &[u8] {
        self.bytes.get(self.saved..).unwrap_or_default()
    }

    /// Everything is in the file.
    pub fn mark_saved(&mut self) {
        self.saved = self.bytes.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restored_store_has_what_was_saved_and_not_half_a_message() {
        let mut store = Store::new(10);
        for message in [&b"one"[..], b"", b"three"] {
            store.push(message);
        }
        let file = store.unsaved().to_vec();
        assert_eq!(file, b"\0\x03one\0\0\0\x05three");
        for cut in 0..=file.len() {
            let (back, whole) = Store::restore(10, &file[..cut]);
            let expected = [5, 7, 14].iter().filter(|end| **end <= cut).count();
            assert_eq!((back.count(), whole), (expected, [0, 5, 7, 14][expected]));
            assert!(back.unsaved().is_empty());
        }
        assert_eq!(Store::restore(10, &file).0.message(2), Some(&b"three"[..]));
        assert_eq!(store.message(3), None);
    }

    #[test]
    fn store_is_full_at_its_bound() {
        let mut store = Store::new(1);
        assert!(!store.is_full());
        store.push(b"x");
        assert!(store.is_full());
    }
}
