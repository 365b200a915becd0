//! Receive buffers on loan to the kernel: io_uring's ring of provided buffers.
//!
//! ```text
//!  lend ──> a page that both read ──> the kernel fills a buffer ──> its completion names it ──> bytes, lend
//! ```
//!
//! Thread:      order core, hot
//! Invariants:  a buffer is either lent or named by a completion that was not handled yet; only the latter is read.
//! When full:   the kernel ends the receive with ENOBUFS; whoever started it starts it again.

#![allow(
    unsafe_code,
    reason = "a page that the kernel reads while we write its tail"
)]

use std::io;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::IoUring;
use io_uring::types::BufRingEntry;
use rt::mem::{Pages, Want};
use zerocopy::FromZeros;

/// Bytes of one buffer.
pub(super) const BUFFER_BYTES: usize = 4096;
/// The number by which a receive names these buffers.
pub(super) const GROUP: u16 = 1;
/// Buffers, a power of two: an exchange that answers faster than we read for longer than these hold is
/// slowed down by TCP.
const BUFFERS: u16 = 64;

/// The page that both sides read: the kernel wants it page-aligned.
#[derive(Clone, Copy, FromZeros)]
#[repr(C, align(4096))]
struct RingPage([u8; 4096]);

const _: () = assert!(BUFFERS.is_power_of_two());
const _: () = assert!(BUFFERS as usize * size_of::<BufRingEntry>() <= 4096);

/// The buffers and the ring by which they are lent.
pub(super) struct Provided {
    memory: Pages<u8>,
    page: Pages<RingPage>,
    tail: u16,
}

impl Provided {
    /// Takes the memory.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            memory: Pages::zeroed(usize::from(BUFFERS) * BUFFER_BYTES, Want::HOT)?,
            page: Pages::zeroed(1, Want::HOT)?,
            tail: 0,
        })
    }

    /// Makes the page known to a ring, which this must outlive, and lends every buffer.
    pub(super) fn register(&mut self, ring: &IoUring) -> io::Result<()> {
        let address = self.page.as_ptr() as u64;
        let submitter = ring.submitter();
        // SAFETY: the page is our own, page-aligned, large enough and outlives the ring.
        unsafe { submitter.register_buf_ring_with_flags(address, BUFFERS, GROUP, 0) }?;
        (0..BUFFERS).for_each(|buffer| self.lend(buffer));
        Ok(())
    }

    /// Lends a buffer to the kernel.
    #[inline]
    pub(super) fn lend(&mut self, buffer: u16) {
        let offset = usize::from(buffer) * BUFFER_BYTES;
        let Some(memory) = self.memory.get_mut(offset..offset + BUFFER_BYTES) else {
            return;
        };
        let base = self.page.as_mut_ptr().cast::<BufRingEntry>();
        let index = usize::from(self.tail & (BUFFERS - 1));
        // SAFETY: the index is below `BUFFERS`, all of which fit the page.
        let entry = unsafe { base.add(index) };
        // SAFETY: the kernel does not read this entry before the tail moves past it.
        let entry = unsafe { &mut *entry };
        entry.set_addr(memory.as_mut_ptr() as u64);
        entry.set_len(4096);
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the tail lies in the page's first entry, as the kernel defines it.
        let tail = unsafe { BufRingEntry::tail(base) }.cast::<AtomicU16>();
        // SAFETY: aligned, and only touched as an atomic from here on.
        let tail = unsafe { &*tail };
        // Pairs with the kernel's acquire load: it sees the entry before the tail.
        tail.store(self.tail, Ordering::Release);
    }

    /// What the kernel wrote into a buffer that a completion names.
    #[inline]
    pub(super) fn bytes(&self, buffer: u16, len: usize) -> Option<&[u8]> {
        let start = usize::from(buffer) * BUFFER_BYTES;
        self.memory.get(start..start + len)
    }
}
