//! BinaryFILE: messages one after another, each behind its two-byte length; a zero length ends the
//! file. The framing of the day files that Nasdaq publishes.
//!
//! Invariants:  `consumed` always stands at a message boundary, so a reader keeps what follows it
//!              and appends the next chunk.

/// Bytes of the length in front of each message.
pub const LENGTH_LEN: usize = 2;

/// The length of the message that follows; `None`: the file ends here.
#[inline]
#[must_use]
pub fn length(bytes: [u8; LENGTH_LEN]) -> Option<usize> {
    let len = usize::from(u16::from_be_bytes(bytes));
    (len > 0).then_some(len)
}

/// Iterates over the whole messages at the front of a chunk.
#[derive(Clone, Debug)]
pub struct Messages<'a> {
    bytes: &'a [u8],
    consumed: usize,
    ended: bool,
}

impl<'a> Messages<'a> {
    /// Starts at the first byte, which must be a length.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            consumed: 0,
            ended: false,
        }
    }

    /// Bytes of the messages given out so far (and of the end mark).
    #[must_use]
    pub fn consumed(&self) -> usize {
        self.consumed
    }

    /// Whether the zero length that ends a file was met.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.ended
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        if self.ended {
            return None;
        }
        let (len, rest) = self.bytes.split_first_chunk()?;
        let Some(len) = length(*len) else {
            self.ended = true;
            self.consumed += LENGTH_LEN;
            return None;
        };
        let (message, rest) = rest.split_at_checked(len)?;
        self.bytes = rest;
        self.consumed += LENGTH_LEN + len;
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partial_tail_is_left_for_the_next_chunk() {
        let mut messages = Messages::new(b"\0\x02ab\0\x03cd");
        assert_eq!(messages.next(), Some(&b"ab"[..]));
        assert_eq!(messages.next(), None);
        assert_eq!(messages.consumed(), 4);
        assert!(!messages.ended());
    }

    #[test]
    fn zero_length_ends_the_file() {
        let mut messages = Messages::new(b"\0\x01a\0\0\0\x01b");
        assert_eq!(messages.by_ref().count(), 1);
        assert!(messages.ended());
        assert_eq!(messages.consumed(), 5);
        assert_eq!(messages.next(), None);
    }
}
