//! The row of memory by which the gateway and its two programs in the kernel know of one another.
//!
//! ```text
//!  gateway ── connection, fast segment ──> programs
//!  gateway <── what the kernel sent last ── `leave`, between two steps of `version`
//!  gateway <── what the exchange said ──── `arrive`
//! ```
//!
//! Thread:      order core, hot; counts: housekeeping
//! Invariants:  each line has one writer. What the kernel sent last is only believed if `version` was even and the
//!              same before and after it was read.

#![allow(
    unsafe_code,
    reason = "a page that programs in the kernel read and write"
)]

use std::io;
use std::net::SocketAddrV4;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};

use rt::mem::{prefetch, prefetch_whole};

use super::lane::{KernelState, PeerState};
use super::segment::{HEADER_BYTES, Numbers};

/// What the programs count, in their order.
pub(super) const COUNTS: [(&str, &str); 14] = [
    (
        "copies_stolen",
        "Copies of the kernel's that were kept from the wire, because their bytes had left.",
    ),
    (
        "copies_trimmed",
        "Copies that left without their bytes, because they acknowledged more.",
    ),
    (
        "acks_returned",
        "Lowered acknowledgements that were given back to the kernel when it had sent the bytes.",
    ),
    (
        "acks_raised",
        "Packets without bytes that were set to the number that the exchange is at.",
    ),
    (
        "acks_lowered",
        "Acknowledgements of bytes that the kernel had not sent yet, lowered to what it had.",
    ),
    (
        "passed_ordinary",
        "Segments of the kernel's that no fast segment preceded.",
    ),
    (
        "passed_headers",
        "Copies that went out, because Ethernet or IPv4 had changed.",
    ),
    (
        "passed_options",
        "Copies that went out, because of TCP options or flags.",
    ),
    (
        "passed_clock",
        "Copies that went out, because the kernel's clock had moved since the fast segment.",
    ),
    ("passed_again", "Retransmissions of the kernel's."),
    (
        "passed_failed",
        "Copies that went out, because their bytes could not be taken off, or another packet was being looked at.",
    ),
    (
        "passed_split",
        "Copies that went out, because the kernel sent the bytes in other pieces.",
    ),
    (
        "unbelieved",
        "Packets of the exchange's whose checksum does not hold, from which nothing was learned.",
    ),
    (
        "unacceptable",
        "Packets of the exchange's at numbers that the kernel would not hear, or that acknowledge what never left, from which nothing was learned.",
    ),
];

/// Bits of `mode`.
const WATCH: u32 = 1;
const STEAL: u32 = 2;
const LOWER: u32 = 4;
/// Above them: the connection's number.
const NUMBER_SHIFT: u32 = 8;

/// Longer than any segment: `FAST_BYTES` of the programs.
const FAST_BYTES: u32 = 1 << 16;

/// How often it is looked whether a packet of the connection before is done: for some microseconds at most.
const LOOKS_MAX: u32 = 10_000;

/// `struct lane` of the programs.
#[derive(Debug, Default)]
#[repr(C)]
struct Lane {
    mode: AtomicU32,
    local: AtomicU32,
    remote: AtomicU32,
    ports: AtomicU32,
    fast_from: AtomicU32,
    fast_upto: AtomicU32,
    fast_ack: AtomicU32,
    fast_window: AtomicU32,
    fast_clock: AtomicU32,
    fast_header: AtomicU32,
    fast_most: AtomicU32,
    unused: [AtomicU32; 5],

    version: AtomicU32,
    start: AtomicU32,
    next: AtomicU32,
    ack: AtomicU32,
    window: AtomicU32,
    clock: AtomicU32,
    echo: AtomicU32,
    options: AtomicU32,
    header_version: AtomicU32,
    again: AtomicU32,
    unused_too: [AtomicU32; 6],

    header: [AtomicU32; HEADER_BYTES.div_ceil(4)],
    unused_as_well: [AtomicU32; 7],

    peer: AtomicU64,
    peer_next: AtomicU32,
    peer_clock: AtomicU32,
    peer_echo: AtomicU32,
    lowered: AtomicU32,
    peer_seq: AtomicU32,
    unused_here: [AtomicU32; 7],

    counts: [AtomicU64; COUNTS.len()],
}

const _: () = assert!(std::mem::offset_of!(Lane, version) == 64);
const _: () = assert!(std::mem::offset_of!(Lane, header) == 128);
const _: () = assert!(std::mem::offset_of!(Lane, peer) == 192);
const _: () = assert!(COUNTS_AT == 248);
const _: () = assert!(size_of::<Lane>() <= PAGE_BYTES);

const PAGE_BYTES: usize = 4096;
const LINE_BYTES: usize = 64;
/// Only housekeeping reads what lies there.
const COUNTS_AT: usize = std::mem::offset_of!(Lane, counts);

/// What protects the kernel from a segment that it has not sent; tests leave one out to see that it is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Safeguards {
    /// Copies are kept from the wire, acknowledgements lowered.
    Both,
    /// Copies go out: the exchange sees everything twice.
    OnlyLowering,
    /// Acknowledgements reach the kernel as they come.
    OnlyStealing,
}

/// The row, mapped.
#[derive(Debug)]
pub(super) struct Row {
    lane: NonNull<Lane>,
    /// A program was taken off: what stands here is no longer so.
    is_over: AtomicBool,
    /// Connections that the programs were told of.
    connections: AtomicU32,
}

// SAFETY: everything in the mapping is an atomic, and the mapping lives as long as this.
unsafe impl Send for Row {}
// SAFETY: as above.
unsafe impl Sync for Row {}

impl Row {
    /// Maps the row of a map of the kernel's.
    ///
    /// # Errors
    /// `EPERM`, `EINVAL`: the map was not made to be mapped. `ENOMEM`.
    pub(super) fn map(fd: BorrowedFd<'_>) -> io::Result<Self> {
        // SAFETY: asks for a fresh mapping of a page of the map's.
        let at = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                PAGE_BYTES,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_POPULATE,
                fd.as_raw_fd(),
                0,
            )
        };
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let lane =
            NonNull::new(at.cast()).ok_or_else(|| io::Error::from_raw_os_error(libc::ENOMEM))?;
        Ok(Self {
            lane,
            is_over: AtomicBool::new(false),
            connections: AtomicU32::new(0),
        })
    }

    #[inline]
    fn lane(&self) -> &Lane {
        // SAFETY: the mapping is page-aligned, larger than the row, zeroed by the kernel, and there until `drop`.
        unsafe { self.lane.as_ref() }
    }

    /// From now on the programs look at this connection, which has sent nothing yet, and at no other.
    pub(super) fn begin(&self, local: SocketAddrV4, remote: SocketAddrV4, safeguards: Safeguards) {
        let lane = self.lane();
        lane.mode.store(0, Ordering::SeqCst);
        self.wait_for_leave();
        for word in [
            &lane.fast_upto,
            &lane.fast_from,
            &lane.fast_ack,
            &lane.fast_window,
            &lane.fast_clock,
            &lane.fast_header,
            &lane.fast_most,
            &lane.start,
            &lane.next,
            &lane.ack,
            &lane.options,
            &lane.header_version,
            &lane.again,
            &lane.peer_seq,
            &lane.peer_next,
            &lane.peer_clock,
            &lane.peer_echo,
            &lane.lowered,
        ] {
            word.store(0, Ordering::Relaxed);
        }
        lane.header
            .iter()
            .for_each(|word| word.store(0, Ordering::Relaxed));
        lane.peer.store(0, Ordering::Relaxed);
        let address = |of: SocketAddrV4| u32::from_ne_bytes(of.ip().octets());
        lane.local.store(address(local), Ordering::Relaxed);
        lane.remote.store(address(remote), Ordering::Relaxed);
        lane.ports
            .store(u32::from_ne_bytes(ports(local, remote)), Ordering::Relaxed);
        let mode = match safeguards {
            Safeguards::Both => WATCH | STEAL | LOWER,
            Safeguards::OnlyLowering => WATCH | LOWER,
            Safeguards::OnlyStealing => WATCH | STEAL,
        };
        let number = self.connections.fetch_add(1, Ordering::Relaxed);
        // The programs read the mode first.
        lane.mode
            .store(mode | number << NUMBER_SHIFT, Ordering::SeqCst);
        // Either this sees that the lane has ended, or whoever ends it stores the mode behind it.
        if self.is_over.load(Ordering::SeqCst) {
            self.end();
        }
    }

    /// Until no packet of the connection before is being written down any more. One that comes later sees that the mode
    /// is another, and writes nothing.
    fn wait_for_leave(&self) {
        let version = &self.lane().version;
        for _ in 0..LOOKS_MAX {
            if version.load(Ordering::SeqCst) & 1 == 0 {
                return;
            }
            std::hint::spin_loop();
        }
        // Whoever has stood still for so long finds that the turn is no longer its own.
        version.fetch_add(1, Ordering::SeqCst);
    }

    /// From now on the programs look at no connection.
    pub(super) fn end(&self) {
        self.lane().mode.store(0, Ordering::Release);
    }

    /// Nothing leaves by the lane any more, and the program that is left looks at nothing: without the other one,
    /// `arrive` would lower acknowledgements for ever, and the kernel wait for them.
    pub(super) fn end_lane(&self) {
        self.is_over.store(true, Ordering::SeqCst);
        self.lane().mode.store(0, Ordering::SeqCst);
    }

    /// Whether nothing may leave by the lane any more.
    #[inline]
    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Brings near what is asked of it for a segment. It changes nothing.
    #[inline]
    pub(super) fn prefetch(&self) {
        prefetch_whole(self);
        let lane = self.lane.as_ptr().cast::<u8>();
        for line in (0..COUNTS_AT).step_by(LINE_BYTES) {
            prefetch(lane.wrapping_add(line));
        }
    }

    /// What the kernel sent last; `None`: it is just sending.
    #[inline]
    pub(super) fn kernel(&self) -> Option<KernelState> {
        let lane = self.lane();
        let read = |word: &AtomicU32| word.load(Ordering::Relaxed);
        let version = lane.version.load(Ordering::Acquire);
        let mut header = [0; HEADER_BYTES];
        for (bytes, word) in header.chunks_mut(4).zip(&lane.header) {
            let word = read(word).to_ne_bytes();
            bytes.copy_from_slice(word.get(..bytes.len())?);
        }
        let state = KernelState {
            start: read(&lane.start),
            next: read(&lane.next),
            ack: read(&lane.ack),
            window: read(&lane.window),
            clock: read(&lane.clock),
            echo: read(&lane.echo),
            options: read(&lane.options),
            header_version: read(&lane.header_version),
            again: read(&lane.again),
            header,
        };
        // Nothing above is read after what follows.
        fence(Ordering::Acquire);
        let is_whole = version & 1 == 0 && read(&lane.version) == version;
        is_whole.then_some(state)
    }

    /// What the exchange said last; `None`: nothing yet.
    #[inline]
    pub(super) fn peer(&self) -> Option<PeerState> {
        let [a, b, c, d, _, _, w0, w1] = self.lane().peer.load(Ordering::Relaxed).to_be_bytes();
        let peer = PeerState {
            ack: u32::from_be_bytes([a, b, c, d]),
            window: u16::from_be_bytes([w0, w1]),
        };
        (peer != PeerState { ack: 0, window: 0 }).then_some(peer)
    }

    /// Tells the programs of the segment that is about to leave.
    #[inline]
    pub(super) fn announce(&self, numbers: &Numbers, len: u32, header_version: u32) {
        let lane = self.lane();
        let clock = numbers.clock.map_or(0, |clock| clock.value);
        lane.fast_ack.store(numbers.ack, Ordering::Relaxed);
        lane.fast_window
            .store(u32::from(numbers.window), Ordering::Relaxed);
        lane.fast_clock.store(clock, Ordering::Relaxed);
        lane.fast_header.store(header_version, Ordering::Relaxed);
        lane.fast_from.store(numbers.from, Ordering::Relaxed);
        let upto = numbers.from.wrapping_add(len);
        // One that was taken back, and may leave all the same, may have been longer.
        let most = lane.fast_most.load(Ordering::Relaxed);
        if most.wrapping_sub(upto) >= FAST_BYTES {
            lane.fast_most.store(upto, Ordering::Relaxed);
        }
        // Whatever the segment is known by stands before how far it goes.
        lane.fast_upto.store(upto, Ordering::Release);
    }

    /// The segment did not leave: the kernel's copy is the only one.
    #[inline]
    pub(super) fn withdraw(&self, numbers: &Numbers) {
        self.lane().fast_upto.store(numbers.from, Ordering::Release);
    }

    /// What the programs have counted.
    pub(super) fn counts(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        let counts = self.lane().counts.iter();
        let counts = counts.map(|count| count.load(Ordering::Relaxed));
        COUNTS
            .iter()
            .zip(counts)
            .map(|((name, text), count)| (*name, *text, count))
    }
}

impl Drop for Row {
    fn drop(&mut self) {
        self.end();
        // SAFETY: the mapping is ours, and nobody looks through it any more; the programs have the map. It does not fail for a whole mapping.
        unsafe { libc::munmap(self.lane.as_ptr().cast(), PAGE_BYTES) };
    }
}

/// Both ports, as on the wire.
pub(super) fn ports(local: SocketAddrV4, remote: SocketAddrV4) -> [u8; 4] {
    let ([a, b], [c, d]) = (local.port().to_be_bytes(), remote.port().to_be_bytes());
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::os::fd::AsFd;

    use super::*;
    use crate::order::transport::delegated::segment::Timestamps;

    fn begin(row: &Row, port: u16) {
        let at = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        row.begin(at, at, Safeguards::Both);
    }

    fn row() -> Row {
        let file = tempfile::tempfile().unwrap();
        file.set_len(4096).unwrap();
        Row::map(file.as_fd()).unwrap()
    }

    #[test]
    fn nothing_of_the_segment_before_is_known_in_a_new_connection() {
        let row = row();
        begin(&row, 1);
        let numbers = Numbers {
            from: 5,
            ack: 6,
            window: 7,
            clock: Some(Timestamps { value: 8, echo: 9 }),
        };
        row.announce(&numbers, 10, 11);
        let fast = || {
            let lane = row.lane();
            [
                &lane.fast_from,
                &lane.fast_upto,
                &lane.fast_ack,
                &lane.fast_window,
                &lane.fast_clock,
                &lane.fast_header,
            ]
            .map(|word| word.load(Ordering::Relaxed))
        };
        assert_eq!(fast(), [5, 15, 6, 7, 8, 11]);
        let most = || row.lane().fast_most.load(Ordering::Relaxed);
        row.withdraw(&numbers);
        assert_eq!((fast()[1], most()), (5, 15), "it may leave all the same");
        row.announce(&numbers, 8, 11);
        assert_eq!((fast()[1], most()), (13, 15));
        row.announce(&numbers, 11, 11);
        assert_eq!((fast()[1], most()), (16, 16));
        begin(&row, 2);
        assert_eq!((fast(), most()), ([0; 6], 0));
        for from in [u32::MAX - 4, 1 << 31, FAST_BYTES] {
            row.announce(&Numbers { from, ..numbers }, 10, 11);
            assert_eq!(most(), from.wrapping_add(10));
        }
    }

    #[test]
    fn new_connection_is_believed_whatever_the_one_before_left_behind() {
        let row = row();
        for version in [0, 1, 2, 3, u32::MAX - 1, u32::MAX] {
            row.lane().version.store(version, Ordering::Relaxed);
            begin(&row, 1);
            assert!(row.kernel().is_some(), "{version}");
        }
    }

    #[test]
    fn packet_of_the_connection_before_can_be_told_by_the_mode() {
        let row = row();
        let mut modes = Vec::new();
        for _ in 0..3 {
            begin(&row, 1);
            modes.push(row.lane().mode.load(Ordering::Relaxed));
        }
        let bits = WATCH | STEAL | LOWER;
        assert!(modes.iter().all(|mode| mode & 0xFF == bits), "{modes:?}");
        modes.dedup();
        assert_eq!(modes.len(), 3, "{modes:?}");
    }
}
