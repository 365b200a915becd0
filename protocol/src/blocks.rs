//! Messages behind a packet's header, each with a two-byte length before it: MoldUDP64's in big-endian,
//! IEX-TP's in little-endian.
//!
//! ```text
//!  | len | message | len | message | ...
//! ```
//!
//! When wrong:  a block that runs past the end stops the iteration and says so.

use core::marker::PhantomData;

use zerocopy::byteorder::{ByteOrder, U16};

/// Iterates over the blocks of a packet.
#[derive(Clone, Debug)]
pub struct Blocks<'a, O> {
    left: u16,
    bytes: &'a [u8],
    order: PhantomData<O>,
}

impl<'a, O: ByteOrder> Blocks<'a, O> {
    /// `count` blocks are said to be in `bytes`.
    #[inline]
    pub(crate) fn new(count: u16, bytes: &'a [u8]) -> Self {
        Self {
            left: count,
            bytes,
            order: PhantomData,
        }
    }

    /// Blocks that the header announced and the bytes do not hold. Ask after the iteration ended.
    #[inline]
    #[must_use]
    pub fn missing(&self) -> u16 {
        self.left
    }

    /// Whether the blocks that the header announced are all there, and nothing is behind them.
    pub(crate) fn are_exact(mut self) -> bool {
        self.by_ref().for_each(drop);
        self.left == 0 && self.bytes.is_empty()
    }
}

impl<'a, O: ByteOrder> Iterator for Blocks<'a, O> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        if self.left == 0 {
            return None;
        }
        let (len, rest) = self.bytes.split_first_chunk::<2>()?;
        let len = U16::<O>::from_bytes(*len).get();
        let (message, rest) = rest.split_at_checked(usize::from(len))?;
        self.bytes = rest;
        self.left -= 1;
        Some(message)
    }
}

/// Writes blocks behind a header that takes the first bytes of a buffer.
#[derive(Debug)]
pub(crate) struct Writer<'a, O> {
    buffer: &'a mut [u8],
    len: usize,
    count: u16,
    order: PhantomData<O>,
}

impl<'a, O: ByteOrder> Writer<'a, O> {
    pub(crate) fn new(buffer: &'a mut [u8], header_len: usize) -> Self {
        Self {
            buffer,
            len: header_len,
            count: 0,
            order: PhantomData,
        }
    }

    /// Appends a message; `false` when it does not fit, or `count_max` are there, and nothing is changed
    /// then.
    pub(crate) fn push(&mut self, message: &[u8], count_max: u16) -> bool {
        let Ok(message_len) = u16::try_from(message.len()) else {
            return false;
        };
        if self.count >= count_max {
            return false;
        }
        let end = self.len + 2 + message.len();
        let Some(block) = self.buffer.get_mut(self.len..end) else {
            return false;
        };
        let (len_bytes, body) = block.split_at_mut(2);
        len_bytes.copy_from_slice(&U16::<O>::new(message_len).to_bytes());
        body.copy_from_slice(message);
        self.len = end;
        self.count += 1;
        true
    }

    pub(crate) fn count(&self) -> u16 {
        self.count
    }

    /// The bytes written, the header's place first.
    pub(crate) fn finish(self) -> &'a mut [u8] {
        let Self { buffer, len, .. } = self;
        buffer.get_mut(..len).unwrap_or_default()
    }
}
