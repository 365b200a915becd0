//! An AF_XDP socket that sends, one frame at a time.
//!
//! ```text
//!  free frame ──> filled ──> TX ring ── kick ──> kernel sends ──> completion ring ──> free frame
//! ```
//!
//! In copy mode the driver has a copy when the call that kicks the kernel returns; the frame comes back when the driver is done with
//! that, on a card often at the next interrupt, and nobody waits for it. In zero-copy the kernel has told the card, on this core and
//! within that call, and the frame comes back when the card has read it. A queue that is zero-copy receives into packet
//! memory, too, also what no program redirects: so the socket brings frames for that, which the kernel copies out of and
//! keeps.
//!
//! Thread:      order core, hot
//! Invariants:  a frame is free, with the kernel to be sent, or its own for ever to receive into.
//! System calls: `sendto` without bytes, one a frame: the kick.
//! When full:   no frame is free: the bytes go by the kernel alone.

#![allow(unsafe_code, reason = "AF_XDP rings and packet memory")]

use std::ffi::CString;
use std::io;
use std::num::NonZeroU32;
use std::os::fd::AsRawFd;

use feed_handler::xdp::is_zero_copy;
use rt::mem::prefetch;
use xsk_rs::config::{
    BindFlags, FrameSize, Interface, LibxdpFlags, QueueSize, SocketConfig, UmemConfig,
};
use xsk_rs::{CompQueue, FillQueue, FrameDesc, RxQueue, Socket, TxQueue, Umem};

/// Frames that are sent, and entries of their rings: one is on its way at a time, unless the kernel puts one off.
const FRAMES: u32 = 64;
/// Frames that a zero-copy queue receives into: as many as drivers have descriptors at first (256 to 512). With fewer, a burst
/// of answers finds no room on the card.
const RECEIVE_FRAMES: u32 = 512;
const FRAME_BYTES: u32 = 2048;
const LINE_BYTES: usize = 64;
/// Lines of a frame with an order: 66 bytes of headers, and 49.
const ORDER_LINES: usize = 2;

/// The socket and its memory.
pub struct Sender {
    // Dropped in this order: the rings before the memory that they point into.
    tx: TxQueue,
    completion: CompQueue,
    _rx: RxQueue,
    _fill: FillQueue,
    umem: Umem,
    /// The first `free` of them are free.
    frames: Vec<FrameDesc>,
    free: usize,
    /// Bytes of the frame that was sent last.
    last_len: usize,
    /// What was asked for, which is what was granted.
    zero_copy: bool,
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sender")
            .field("free", &self.free)
            .finish_non_exhaustive()
    }
}

impl Sender {
    /// Opens a socket on a queue of an interface, in zero-copy or in copy mode.
    ///
    /// # Errors
    /// `EBUSY`: another socket has the queue. `EPERM`: `CAP_NET_RAW` is missing. `ENOBUFS`: `RLIMIT_MEMLOCK`.
    /// `EINVAL`: there is no such queue, or no zero-copy on it. `EOPNOTSUPP`: the driver has no zero-copy. `ENETDOWN`: the
    /// interface is down. `EAFNOSUPPORT`: a kernel without AF_XDP.
    pub fn open(interface: &str, queue: u32, zero_copy: bool) -> io::Result<Self> {
        let invalid = || io::Error::from_raw_os_error(libc::EINVAL);
        let ring = |entries| QueueSize::new(entries).map_err(|_| invalid());
        let receive_frames = if zero_copy { RECEIVE_FRAMES } else { 0 };
        let memory = UmemConfig::builder()
            .frame_size(FrameSize::new(FRAME_BYTES).map_err(|_| invalid())?)
            .fill_queue_size(ring(receive_frames.max(FRAMES))?)
            .comp_queue_size(ring(FRAMES)?)
            .build()
            .map_err(|_| invalid())?;
        let count = NonZeroU32::new(FRAMES + receive_frames).ok_or_else(invalid)?;
        let (umem, mut frames) = Umem::new(memory, count, false).map_err(|error| cause(&error))?;
        let copy_mode = if zero_copy {
            BindFlags::XDP_ZEROCOPY
        } else {
            BindFlags::XDP_COPY
        };
        let config = SocketConfig::builder()
            .rx_queue_size(ring(FRAMES)?)
            .tx_queue_size(ring(FRAMES)?)
            .libxdp_flags(LibxdpFlags::XSK_LIBXDP_FLAGS_INHIBIT_PROG_LOAD)
            .bind_flags(copy_mode | BindFlags::XDP_USE_NEED_WAKEUP)
            .build();
        let name = Interface::new(CString::new(interface).map_err(|_| invalid())?);
        // SAFETY: no default program is loaded.
        let opened = unsafe { Socket::new(config, &umem, &name, queue) };
        let (tx, mut rx, rings) = opened.map_err(|error| cause(&error))?;
        let (mut fill, completion) = rings.ok_or_else(invalid)?;
        let receiving = frames.split_off(FRAMES as usize);
        // SAFETY: they are of this memory, and nobody else's from here on.
        if unsafe { fill.produce(&receiving) } != receiving.len() {
            return Err(io::Error::from_raw_os_error(libc::ENOBUFS));
        }
        if zero_copy {
            // The queue was opened before it had frames to receive into: a driver that found none waits for this.
            let _ = rx.poll(0);
        }
        Ok(Self {
            tx,
            completion,
            _rx: rx,
            _fill: fill,
            umem,
            free: frames.len(),
            frames,
            last_len: 0,
            zero_copy,
        })
    }

    /// Whether the kernel bound the socket without copying: its own answer.
    ///
    /// # Errors
    /// What `getsockopt` says.
    pub fn is_zero_copy(&self) -> io::Result<bool> {
        is_zero_copy(self.tx.fd().as_raw_fd())
    }

    /// Whether the kernel has sent, or given up, everything that it was given, and there is a frame to send.
    #[inline]
    pub fn is_idle(&mut self) -> bool {
        self.take_back();
        if self.free == self.frames.len() {
            return true;
        }
        // What is copied has left the TX ring when the driver has it.
        !self.zero_copy && self.free > 0 && self.tx.nb_free_exact() == FRAMES
    }

    /// Tells the kernel again of frames that it has put off.
    pub fn kick_again(&mut self) {
        // A refusal leaves them where they are.
        let _ = self.kick();
    }

    /// Sends a frame that `fill` writes, which says how long it is; `None`: it is given back, nothing is sent.
    ///
    /// # Errors
    /// `EAGAIN`, `EBUSY`: the driver has no room, or dropped it. `ENOBUFS`: no memory for a moment. `ENETDOWN`,
    /// `ENXIO`: the link is down, or the interface has gone. The frame may leave later, or never.
    #[inline]
    pub fn send(&mut self, fill: impl FnOnce(&mut [u8]) -> Option<usize>) -> io::Result<bool> {
        let last = self.free.wrapping_sub(1);
        let Some(frame) = self.frames.get_mut(last) else {
            return Ok(false);
        };
        // SAFETY: the frame is of this memory, and free.
        let mut data = unsafe { self.umem.data_mut(frame) };
        let mut cursor = data.cursor();
        let frame_len = cursor.buf_len();
        cursor.set_pos(frame_len);
        let room = data.contents_mut();
        let Some(len) = fill(room) else {
            return Ok(false);
        };
        data.cursor().set_pos(len);
        // SAFETY: the frame is of this memory, and the kernel's from here on: it is not among the free ones.
        if unsafe { self.tx.produce_one(frame) } == 0 {
            return Ok(false);
        }
        (self.free, self.last_len) = (last, len);
        self.kick().map(|()| true)
    }

    /// Brings near the frame that is filled next. It changes nothing.
    #[inline]
    pub(super) fn prefetch(&self) {
        let Some(frame) = self.frames.get(self.free.wrapping_sub(1)) else {
            return;
        };
        prefetch(frame);
        // SAFETY: the frame is of this memory, and free: whoever else had it is done with it.
        let start = unsafe { self.umem.data(frame) }.contents().as_ptr();
        for line in 0..ORDER_LINES {
            prefetch(start.wrapping_add(line * LINE_BYTES));
        }
    }

    /// What the last call of `send` has sent.
    #[inline]
    pub(super) fn last_sent(&self) -> &[u8] {
        let Some(frame) = self.frames.get(self.free) else {
            return &[];
        };
        // SAFETY: the frame is of this memory, and whoever else has it only reads: the kernel, until it comes back.
        let data = unsafe { self.umem.data(frame) };
        data.contents().get(..self.last_len).unwrap_or_default()
    }

    /// Takes back what the kernel is done with.
    #[inline]
    fn take_back(&mut self) {
        if self.free < self.frames.len()
            && let Some(room) = self.frames.get_mut(self.free..)
        {
            // SAFETY: what comes back is of this memory, and there is room for all of it: the rest is free.
            self.free += unsafe { self.completion.consume(room) };
        }
    }

    #[inline]
    fn kick(&self) -> io::Result<()> {
        // SAFETY: no bytes and no address are given.
        let sent = unsafe {
            libc::sendto(
                self.tx.fd().as_raw_fd(),
                std::ptr::null(),
                0,
                libc::MSG_DONTWAIT,
                std::ptr::null(),
                0,
            )
        };
        if sent < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }
}

/// The kernel's error inside one of xsk-rs's.
fn cause(error: &dyn std::error::Error) -> io::Error {
    let inner = error
        .source()
        .and_then(|source| source.downcast_ref::<io::Error>());
    match inner.and_then(io::Error::raw_os_error) {
        Some(errno) => io::Error::from_raw_os_error(errno),
        None => io::Error::other(error.to_string()),
    }
}
