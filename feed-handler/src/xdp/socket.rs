//! One AF_XDP socket: its memory, its rings, its frames.
//!
//! ```text
//!  kernel: fill ring ──> frame gets a packet ──> rx ring ──> acquire / each
//!              ^                                                 │
//!              └────────────────── release <─────────────────────┘
//! ```
//!
//! Thread:      feed core, hot
//! Invariants:  the fill ring has room for twice the frames (the kernel shows a packet before it moves
//!              the fill ring on, so some frames stand in it twice for a moment) and is filled before
//!              the program knows the socket, so it never runs dry while frames are returned. A frame
//!              is with the kernel or in `taken`, never in both, and leaves `taken` only into the fill
//!              ring: one that found no room would stay and be tried again, not be lost. Sockets of several
//!              feeds on one queue share packet memory and fill ring (`fill`); each frame is in one's hands.
//! System calls: in `wake` only: `poll` with no wait when the kernel asks to be woken; `recvfrom` to drive
//!              the card's queue when busy polling is on. Registration pins the memory, so it is resident
//!              and never swapped.

use std::ffi::CString;
use std::io;
use std::num::NonZeroU32;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use rt::mem::{await_loads, prefetch};
use xsk_rs::config::{
    BindFlags, FrameSize, Interface, LibxdpFlags, QueueSize, SocketConfig, UmemConfig,
};
use xsk_rs::{CompQueue, FrameDesc, RxQueue, Socket, TxQueue, Umem};

use super::fill::{Fill, Memory, SharedFill, SharedMemory};
use super::sockopt::{is_zero_copy, write_option};

/// In front of a stamp; the program writes it (`STAMP_MARK`).
const STAMP_MARK: u64 = 0x6574_6167_6b63_6974;
const STAMP_BYTES: usize = 16;
const LINE_BYTES: usize = 64;

const SO_PREFER_BUSY_POLL: i32 = 69;
const SO_BUSY_POLL_BUDGET: i32 = 70;

/// Sizes and modes of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketOptions {
    /// Frames of UMEM, a power of two.
    pub frames: u32,
    /// Bytes of a frame: 2048 or 4096.
    pub frame_bytes: u32,
    /// Entries of the receive ring, a power of two.
    pub rx_ring: u32,
    /// Frames that one turn takes at most: a bound on how long the stage behind waits.
    pub batch: u32,
    /// UMEM on huge pages, if the host has any left.
    pub huge_pages: bool,
    /// `SO_BUSY_POLL` in µs; 0: off.
    pub busy_poll_us: u32,
    /// `SO_BUSY_POLL_BUDGET`: packets that one busy poll handles.
    pub busy_poll_budget: u32,
}

/// A socket on one receive queue.
pub(super) struct XskSocket {
    // Dropped in this order: the rings before the memory that they point into.
    rx: RxQueue,
    fill: Fill,
    _tx: TxQueue,
    /// `None`: the socket that opened the queue has it.
    _completion: Option<CompQueue>,
    umem: Umem,
    /// Frames that the kernel gave us: the first `taken_len`; `each` shows the first `shown_len`.
    taken: Vec<FrameDesc>,
    taken_len: usize,
    shown_len: usize,
    frame_bytes: usize,
    /// Where the next packet lies, if frames go round in the order of their places: a guess that is only prefetched.
    ahead: usize,
    is_busy_polled: bool,
    has_huge_pages: bool,
}

impl std::fmt::Debug for XskSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("XskSocket")
            .field("fd", &self.raw_fd())
            .finish_non_exhaustive()
    }
}

/// Frames of one memory: its fill ring has two entries for each, and a power of two in 32 bits.
const FRAMES_MAX: u32 = 1 << 30;

/// Where a socket receives, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) interface: &'a str,
    pub(super) queue: u32,
    pub(super) is_zero_copy: bool,
}

impl XskSocket {
    /// Opens a socket on a queue. The caller registers it with the program.
    ///
    /// # Errors
    /// `EOPNOTSUPP`, `EINVAL`: the driver has no zero-copy. `EBUSY`: the queue is taken. `EPERM`:
    /// `CAP_NET_RAW` is missing. `ENOBUFS`: `RLIMIT_MEMLOCK`. `ENOMEM`: too many frames. `EAFNOSUPPORT`: a kernel without AF_XDP.
    pub(super) fn open(
        place: Place<'_>,
        options: &SocketOptions,
        memory: Memory<'_>,
    ) -> io::Result<Self> {
        let mut socket = match memory {
            Memory::Own => Self::with_memory(place, options, options.frames)?,
            Memory::ToShare { frames } => Self::with_memory(place, options, frames)?.sharing(),
            Memory::Of(shared) => Self::beside(place, options, shared)?,
        };
        socket.enable_busy_poll(options)?;
        Ok(socket)
    }

    /// With packet memory and a fill ring of its own, filled.
    fn with_memory(place: Place<'_>, options: &SocketOptions, frames: u32) -> io::Result<Self> {
        let count = NonZeroU32::new(frames).ok_or_else(|| from_errno(libc::EINVAL))?;
        if frames > FRAMES_MAX {
            return Err(from_errno(libc::ENOMEM));
        }
        let frame_size =
            FrameSize::new(options.frame_bytes).map_err(|_| from_errno(libc::EINVAL))?;
        let umem_config = UmemConfig::builder()
            .frame_size(frame_size)
            .fill_queue_size(ring_size(frames.next_power_of_two() * 2)?)
            .comp_queue_size(ring_size(64)?)
            .build()
            .map_err(|_| from_errno(libc::EINVAL))?;
        let with_umem = |huge| Umem::new(umem_config, count, huge);
        let huge = options.huge_pages.then(|| with_umem(true).ok()).flatten();
        let has_huge_pages = huge.is_some();
        let (umem, mut descriptors) = match huge {
            Some(umem) => umem,
            None => with_umem(false).map_err(|error| cause(&error))?,
        };
        let (config, name) = socket_config(place, options)?;
        // SAFETY: no default program is loaded.
        let opened = unsafe { Socket::new(config, &umem, &name, place.queue) };
        let (tx, rx, rings) = opened.map_err(|error| cause(&error))?;
        let (fill, completion) = rings.ok_or_else(|| from_errno(libc::EINVAL))?;
        let mut fill = Fill::Own(fill);
        // SAFETY: every descriptor is of this UMEM and none has been given away yet.
        if !unsafe { fill.give(&descriptors) } {
            return Err(from_errno(libc::ENOBUFS));
        }
        descriptors.truncate(options.batch.max(1) as usize);
        Ok(Self {
            rx,
            fill,
            _tx: tx,
            _completion: Some(completion),
            umem,
            taken: descriptors,
            taken_len: 0,
            shown_len: 0,
            frame_bytes: options.frame_bytes as usize,
            ahead: 0,
            is_busy_polled: false,
            has_huge_pages,
        })
    }

    /// The same socket, its fill ring open to others.
    fn sharing(self) -> Self {
        let fill = match self.fill {
            Fill::Own(ring) => Fill::Shared(Arc::new(SharedFill::new(ring))),
            shared @ Fill::Shared(_) => shared,
        };
        Self { fill, ..self }
    }

    /// Another socket on a queue, with the packet memory and the fill ring that are there. The kernel takes the
    /// copy mode from the first one.
    fn beside(
        place: Place<'_>,
        options: &SocketOptions,
        shared: &SharedMemory,
    ) -> io::Result<Self> {
        let (config, name) = socket_config(place, options)?;
        // SAFETY: no default program is loaded.
        let opened = unsafe { Socket::new(config, &shared.umem, &name, place.queue) };
        let (tx, rx, rings) = opened.map_err(|error| cause(&error))?;
        // A second fill ring would mean that this is not the same queue, and nobody would fill it.
        if rings.is_some() {
            return Err(from_errno(libc::EINVAL));
        }
        Ok(Self {
            rx,
            fill: Fill::Shared(Arc::clone(&shared.fill)),
            _tx: tx,
            _completion: None,
            umem: shared.umem.clone(),
            taken: vec![shared.blank; options.batch.max(1) as usize],
            taken_len: 0,
            shown_len: 0,
            frame_bytes: options.frame_bytes as usize,
            ahead: 0,
            is_busy_polled: false,
            has_huge_pages: shared.has_huge_pages,
        })
    }

    /// What another feed needs to open a socket on the same queue; `None`: this one shares nothing.
    pub(super) fn shared_memory(&self) -> Option<SharedMemory> {
        let Fill::Shared(fill) = &self.fill else {
            return None;
        };
        Some(SharedMemory {
            umem: self.umem.clone(),
            fill: Arc::clone(fill),
            has_huge_pages: self.has_huge_pages,
            blank: *self.taken.first()?,
        })
    }

    /// Takes frames that have arrived. No system call: what does not wait is asked for by `wake`.
    #[inline]
    pub(super) fn acquire(&mut self) -> usize {
        debug_assert!(
            self.taken_len == 0 || !self.fill.is_own(),
            "frames were not released"
        );
        if self.taken_len != 0 && !self.give_back() {
            return 0;
        }
        if self.rx.nb_avail(1) == 0 {
            self.shown_len = 0;
            return 0;
        }
        // On its way while the descriptor is.
        prefetch_frame(std::ptr::without_provenance(self.ahead));
        // SAFETY: every descriptor received is of this UMEM: it has one fill ring, which holds only
        // its own frames, and the kernel puts each into one socket's receive ring.
        self.taken_len = unsafe { self.rx.consume(&mut self.taken) };
        debug_assert!(self.taken_len <= self.taken.len());
        self.shown_len = self.taken_len;
        if self.taken_len != 0 {
            self.prefetch();
        }
        self.taken_len
    }

    /// Asks for the lines of every frame taken, all at once, and waits for the first: another core (or
    /// the card) wrote them, and one that is fetched only when it is read costs its whole way each time.
    /// So `acquire` ends with bytes in hand, as it does with a kernel socket.
    #[inline]
    fn prefetch(&mut self) {
        let taken = self.taken.get(..self.taken_len).unwrap_or_default();
        for descriptor in taken {
            // SAFETY: the kernel gave the frame to us.
            let data = unsafe { self.umem.data(descriptor) };
            let start = data.contents().as_ptr();
            prefetch_frame(start);
            self.ahead = start.addr() + self.frame_bytes;
        }
        if let Some(first) = taken.first() {
            // SAFETY: as above.
            let data = unsafe { self.umem.data(first) };
            let frame = data.contents();
            std::hint::black_box(self.read_stamp(frame));
            std::hint::black_box((frame.first().copied(), frame.get(LINE_BYTES).copied()));
            await_loads();
        }
    }

    /// Shows each frame taken, with the program's stamp in ns (0: none).
    #[inline]
    pub(super) fn each(&self, mut on_frame: impl FnMut(&[u8], u64)) {
        for descriptor in self.taken.iter().take(self.shown_len) {
            // SAFETY: the kernel gave the frame to us, and `release` has not given it back.
            let data = unsafe { self.umem.data(descriptor) };
            let frame = data.contents();
            on_frame(frame, self.take_stamp(frame));
        }
    }

    /// Gives the frames back to the kernel.
    #[inline]
    pub(super) fn release(&mut self) {
        self.shown_len = 0;
        if self.taken_len != 0 {
            let is_given = self.give_back();
            // The ring has two entries for every frame of the UMEM, so there is always room; another feed
            // may be at it.
            debug_assert!(is_given || !self.fill.is_own(), "the fill ring is full");
        }
    }

    /// All or none. `false`: they are ours still.
    #[inline]
    fn give_back(&mut self) -> bool {
        let frames = self.taken.get(..self.taken_len).unwrap_or_default();
        debug_assert_eq!(frames.len(), self.taken_len);
        // SAFETY: the frames are of this UMEM and nobody looks at them any more.
        if unsafe { self.fill.give(frames) } {
            self.taken_len = 0;
        }
        self.taken_len == 0
    }

    /// Frames that wait in the receive ring.
    #[must_use]
    pub(super) fn waiting(&mut self) -> u32 {
        self.rx.nb_avail_exact()
    }

    /// Whether the kernel bound the socket without copying.
    ///
    /// # Errors
    /// What `getsockopt` says.
    pub(super) fn is_zero_copy(&self) -> io::Result<bool> {
        is_zero_copy(self.raw_fd())
    }

    /// Whether UMEM lies on huge pages.
    #[must_use]
    pub(super) fn has_huge_pages(&self) -> bool {
        self.has_huge_pages
    }

    /// The descriptor, for the program's map.
    #[must_use]
    pub(super) fn raw_fd(&self) -> RawFd {
        self.rx.fd().as_raw_fd()
    }

    /// A second descriptor of the same socket, for a thread that only reads statistics.
    ///
    /// # Errors
    /// `EMFILE`.
    pub(super) fn watcher(&self) -> io::Result<OwnedFd> {
        // SAFETY: takes plain numbers; the result is fresh or negative.
        let fd = unsafe { libc::fcntl(self.raw_fd(), libc::F_DUPFD_CLOEXEC, 3) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a fresh descriptor that nobody else owns.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    /// Reads the stamp in front of a frame and takes its mark off, so that the frame's next packet
    /// cannot be taken for stamped when it is not.
    #[inline]
    fn take_stamp(&self, frame: &[u8]) -> u64 {
        let [mark, ns] = self.read_stamp(frame);
        if mark != STAMP_MARK {
            return 0;
        }
        // SAFETY: as in `read_stamp`.
        unsafe { stamp_of(frame).write_unaligned([0, 0]) };
        ns
    }

    /// What stands in front of a frame.
    #[inline]
    #[expect(clippy::unused_self, reason = "only this socket's frames have a stamp")]
    fn read_stamp(&self, frame: &[u8]) -> [u64; 2] {
        // SAFETY: the kernel reserves 256 bytes in front of each packet, inside the UMEM's one
        // mapping; they are ours while the frame is.
        unsafe { stamp_of(frame).read_unaligned() }
    }

    /// Whether `wake` has something to do.
    #[inline]
    pub(super) fn wants_wake(&self) -> bool {
        self.is_busy_polled || self.fill.needs_wakeup()
    }

    /// Lets the kernel fill the ring: a system call of microseconds.
    pub(super) fn wake(&mut self) {
        if self.is_busy_polled {
            self.kick();
        } else {
            // A wake-up that fails is tried again in the next turn; no wait, so no deadline.
            let _ = self.rx.poll(0);
        }
    }

    /// Lets the kernel poll the card's queue on this core.
    fn kick(&self) {
        // SAFETY: no buffer is given. EAGAIN, EBUSY, EINTR: the next turn asks again.
        unsafe {
            libc::recvfrom(
                self.raw_fd(),
                std::ptr::null_mut(),
                0,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
                std::ptr::null_mut(),
            )
        };
    }

    fn enable_busy_poll(&mut self, options: &SocketOptions) -> io::Result<()> {
        if options.busy_poll_us == 0 {
            return Ok(());
        }
        write_option(self.raw_fd(), SO_PREFER_BUSY_POLL, 1)?;
        write_option(self.raw_fd(), libc::SO_BUSY_POLL, options.busy_poll_us)?;
        write_option(self.raw_fd(), SO_BUSY_POLL_BUDGET, options.busy_poll_budget)?;
        self.is_busy_polled = true;
        Ok(())
    }
}

/// Asks for the lines of a frame: the stamp, the headers, and a message or two behind them.
#[inline]
fn prefetch_frame(start: *const u8) {
    for line in [
        start.wrapping_sub(LINE_BYTES),
        start,
        start.wrapping_add(LINE_BYTES),
    ] {
        prefetch(line);
    }
}

/// Where a frame's stamp lies: the mapping's address went through C, so its provenance is exposed.
#[inline]
fn stamp_of(frame: &[u8]) -> *mut [u64; 2] {
    let address = frame.as_ptr().expose_provenance() - STAMP_BYTES;
    std::ptr::with_exposed_provenance_mut(address)
}

/// How a socket is bound, and where. What is said of the copy mode holds for the first socket on a queue.
fn socket_config(
    place: Place<'_>,
    options: &SocketOptions,
) -> io::Result<(SocketConfig, Interface)> {
    let bind = if place.is_zero_copy {
        BindFlags::XDP_ZEROCOPY
    } else {
        BindFlags::XDP_COPY
    };
    let config = SocketConfig::builder()
        .rx_queue_size(ring_size(options.rx_ring)?)
        .tx_queue_size(ring_size(64)?)
        .libxdp_flags(LibxdpFlags::XSK_LIBXDP_FLAGS_INHIBIT_PROG_LOAD)
        .bind_flags(bind | BindFlags::XDP_USE_NEED_WAKEUP)
        .build();
    let name = CString::new(place.interface).map_err(|_| from_errno(libc::EINVAL))?;
    Ok((config, Interface::new(name)))
}

fn ring_size(entries: u32) -> io::Result<QueueSize> {
    QueueSize::new(entries).map_err(|_| from_errno(libc::EINVAL))
}

fn from_errno(errno: i32) -> io::Error {
    io::Error::from_raw_os_error(errno)
}

/// The kernel's error inside one of xsk-rs's.
fn cause(error: &dyn std::error::Error) -> io::Error {
    let errno = error
        .source()
        .and_then(|source| source.downcast_ref::<io::Error>())
        .and_then(io::Error::raw_os_error);
    errno.map_or_else(|| io::Error::other(error.to_string()), from_errno)
}
