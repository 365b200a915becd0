//! The XDP program in the kernel: loaded, attached by a link, its maps filled and read.
//!
//! One serves all feeds of an interface. Who fills its maps (`Steering`) is there at the start only; who reads its
//! counts holds the program.
//!
//! Thread:      start-up and housekeeping only
//! Invariants:  attached by a BPF link and by nothing else: when the process ends, however it ends,
//!              the kernel closes the link and takes the program off.

use std::net::SocketAddrV4;
use std::os::fd::RawFd;

use aya::maps::{HashMap, MapData, PerCpuArray, XskMap};
use aya::programs::links::FdLink;
use aya::programs::{Xdp, XdpMode};
use aya::{Ebpf, Pod, include_bytes_aligned};

use super::refusal::ProgramError;

/// A destination whose packets are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Group or own address, and port.
    pub address: SocketAddrV4,
    /// The number of the line that it is, in the order of the feed's configuration.
    pub line: u8,
}

/// Queues of an interface that one program can serve each feed (`QUEUES` in the program).
pub const QUEUES_MAX: u32 = 64;
/// Feeds that one program can serve (`FEEDS` in the program).
pub const FEEDS_MAX: u32 = 64;

/// One receive queue of a feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FeedQueue {
    /// The feed's number on the interface, below [`FEEDS_MAX`].
    pub(super) feed: u32,
    /// Below [`QUEUES_MAX`]; for what nobody serves also that, for those beyond.
    pub(super) queue: u32,
}

impl FeedQueue {
    /// Its place in the maps of sockets and of frames redirected.
    fn place(self) -> u32 {
        self.feed * QUEUES_MAX + self.queue
    }

    /// Its place in the map of frames that nobody served.
    fn unserved_place(self) -> u32 {
        self.feed * (QUEUES_MAX + 1) + self.queue
    }
}

/// How a frame went through the program, in the program's own order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Verdict {
    /// To its socket, stamped.
    Redirected,
    /// To the kernel: another destination.
    PassedNotWanted,
    /// To the kernel: not IPv4.
    PassedNotIpv4,
    /// To the kernel: not UDP.
    PassedNotUdp,
    /// To the kernel: a fragment.
    PassedFragment,
    /// To the kernel: shorter than its headers.
    PassedTruncated,
    /// To the kernel: wanted, but its feed has no socket on its queue.
    PassedNoSocket,
    /// To its socket; the driver has no room for a stamp.
    RedirectedUnstamped,
}

impl Verdict {
    /// Every verdict with its counter's name and what it means.
    pub const ALL: [(Self, &'static str, &'static str); 8] = [
        (
            Self::Redirected,
            "xdp_redirected",
            "Frames to a feed's socket, with a stamp.",
        ),
        (
            Self::PassedNotWanted,
            "xdp_passed_not_wanted",
            "Frames to the kernel: another destination.",
        ),
        (
            Self::PassedNotIpv4,
            "xdp_passed_not_ipv4",
            "Frames to the kernel: not IPv4.",
        ),
        (
            Self::PassedNotUdp,
            "xdp_passed_not_udp",
            "Frames to the kernel: not UDP.",
        ),
        (
            Self::PassedFragment,
            "xdp_passed_fragment",
            "Frames to the kernel: fragments.",
        ),
        (
            Self::PassedTruncated,
            "xdp_passed_truncated",
            "Frames to the kernel: shorter than their headers.",
        ),
        (
            Self::PassedNoSocket,
            "xdp_passed_no_socket",
            "Frames to the kernel: of a feed that has no socket on their queue.",
        ),
        (
            Self::RedirectedUnstamped,
            "xdp_redirected_unstamped",
            "Frames to a feed's socket, without a stamp: the driver has no room for it.",
        ),
    ];
}

/// The key of the map of wanted destinations, in wire byte order.
#[derive(Clone, Copy)]
#[repr(C)]
struct Destination {
    address: [u8; 4],
    port: [u8; 2],
    zero: [u8; 2],
}

// SAFETY: plain bytes without padding.
unsafe impl Pod for Destination {}

impl Destination {
    fn of(address: SocketAddrV4) -> Self {
        Self {
            address: address.ip().octets(),
            port: address.port().to_be_bytes(),
            zero: [0; 2],
        }
    }
}

/// The program on one interface.
#[derive(Debug)]
pub struct Program {
    ebpf: Ebpf,
    link: Option<FdLink>,
}

impl Program {
    /// Loads the program. It wants nothing and sees no frame yet.
    ///
    /// # Errors
    /// `EPERM`: neither root nor `CAP_BPF` and `CAP_NET_ADMIN`. `ENOMEM`: `RLIMIT_MEMLOCK`.
    pub(super) fn load() -> Result<(Self, Steering), ProgramError> {
        let code = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/steer.bpf.o"));
        let mut ebpf = Ebpf::load(code).map_err(|e| ProgramError::new("loading maps", &e))?;
        let steering = Steering {
            wanted: map(&mut ebpf, "wanted")?,
            sockets: map(&mut ebpf, "sockets")?,
        };
        let mut program = Self { ebpf, link: None };
        program
            .xdp()?
            .load()
            .map_err(|e| ProgramError::new("loading the program", &e))?;
        Ok((program, steering))
    }

    /// Attaches the program to an interface.
    ///
    /// # Errors
    /// `EBUSY`: another program is there. `EOPNOTSUPP`: the driver cannot. `EINVAL`: the kernel has no
    /// links for XDP (before 5.9); the older way outlives a killed process, so it is not taken.
    pub(super) fn attach(&mut self, index: u32, native: bool) -> Result<(), ProgramError> {
        let mode = if native {
            XdpMode::Driver
        } else {
            XdpMode::Skb
        };
        let program = self.xdp()?;
        let attaching = "attaching the program";
        let id = program
            .attach_to_if_index(index, mode)
            .map_err(|e| ProgramError::new(attaching, &e))?;
        let link = program
            .take_link(id)
            .map_err(|e| ProgramError::new(attaching, &e))?;
        // Anything but a link that a descriptor holds is dropped here, which takes it off again.
        let link = FdLink::try_from(link).map_err(|_| ProgramError {
            errno: Some(libc::EINVAL),
            ..ProgramError::said(attaching, "the kernel has no BPF links for XDP")
        })?;
        self.link = Some(link);
        Ok(())
    }

    /// Frames per verdict since the start, over all CPUs.
    #[must_use]
    pub fn verdicts(&self) -> [u64; Verdict::ALL.len()] {
        Verdict::ALL.map(|(verdict, ..)| self.sum("verdicts", verdict as u32))
    }

    /// Frames redirected to a feed on one queue since the start.
    pub(super) fn redirected(&self, of: FeedQueue) -> u64 {
        self.sum("redirected", of.place())
    }

    /// A feed's frames on a queue where it has no socket, since the start; those of queues that no program can
    /// serve are all counted at [`QUEUES_MAX`].
    pub(super) fn unserved(&self, of: FeedQueue) -> u64 {
        self.sum("unserved", of.unserved_place())
    }

    fn sum(&self, name: &str, index: u32) -> u64 {
        let values = self.ebpf.map(name).and_then(|map| {
            let array: PerCpuArray<&MapData, u64> = PerCpuArray::try_from(map).ok()?;
            array.get(&index, 0).ok()
        });
        values.map_or(0, |values| values.iter().sum())
    }

    fn xdp(&mut self) -> Result<&mut Xdp, ProgramError> {
        let program = self
            .ebpf
            .program_mut("steer")
            .ok_or_else(|| missing("steer"))?;
        program
            .try_into()
            .map_err(|e| ProgramError::new("finding the program", &e))
    }
}

/// The maps that say whose frame is whose: what the program is told.
pub(super) struct Steering {
    wanted: HashMap<MapData, Destination, u32>,
    sockets: XskMap<MapData>,
}

impl std::fmt::Debug for Steering {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Steering").finish_non_exhaustive()
    }
}

impl Steering {
    /// Says which socket serves a feed on a queue.
    ///
    /// # Errors
    /// The feed or the queue is beyond what the program can serve.
    pub(super) fn serve(&mut self, of: FeedQueue, socket: RawFd) -> Result<(), ProgramError> {
        self.sockets
            .set(of.place(), socket, 0)
            .map_err(|e| ProgramError::new("registering a socket", &e))
    }

    /// From now on frames for these destinations are the feed's, on every queue.
    ///
    /// # Errors
    /// `E2BIG`: 1024 destinations are there already.
    pub(super) fn want(&mut self, wanted: &[Wanted], feed: u32) -> Result<(), ProgramError> {
        for Wanted { address, .. } in wanted {
            self.wanted
                .insert(Destination::of(*address), feed, 0)
                .map_err(|e| ProgramError::new("filling the map", &e))?;
        }
        Ok(())
    }

    /// From now on frames for these destinations are the kernel's.
    pub(super) fn unwant(&mut self, wanted: &[Wanted]) {
        for Wanted { address, .. } in wanted {
            // ENOENT: it was not there, as shall be.
            let _ = self.wanted.remove(&Destination::of(*address));
        }
    }
}

/// Takes a map out of what was loaded.
fn map<T>(ebpf: &mut Ebpf, name: &'static str) -> Result<T, ProgramError>
where
    T: TryFrom<aya::maps::Map, Error = aya::maps::MapError>,
{
    let map = ebpf.take_map(name).ok_or_else(|| missing(name))?;
    T::try_from(map).map_err(|e| ProgramError::new("opening a map", &e))
}

fn missing(name: &str) -> ProgramError {
    ProgramError::said("loading the program", &format!("`{name}` is missing"))
}
