//! A message of the stream as it crosses to the recovery core.
//!
//! Thread:      written by the feed core, hot; read by whoever holds the spare

use protocol::itch;

/// A message of the stream, copied for the spare: one cache line.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct Live {
    /// Its number.
    pub seq: u64,
    /// For which snapshot.
    pub epoch: u32,
    len: u8,
    bytes: [u8; itch::LEN_MAX],
}

const _: () = assert!(size_of::<Live>() == 64);

impl Live {
    /// A copy; `None`: longer than any message.
    #[inline]
    #[must_use]
    pub fn new(seq: u64, epoch: u32, message: &[u8]) -> Option<Self> {
        let mut bytes = [0; itch::LEN_MAX];
        bytes.get_mut(..message.len())?.copy_from_slice(message);
        let len = u8::try_from(message.len()).ok()?;
        Some(Self {
            seq,
            epoch,
            len,
            bytes,
        })
    }

    /// The message.
    #[inline]
    #[must_use]
    pub fn message(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}
