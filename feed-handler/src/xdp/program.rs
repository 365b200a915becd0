//! The XDP program in the kernel: loaded, attached by a link, its maps filled and read.
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

/// A destination whose packets are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Group or own address, and port.
    pub address: SocketAddrV4,
    /// The number of the line that it is, in the order of the feed's configuration.
    pub line: u8,
}

/// Queues that one program can serve: the size of its socket map.
pub const QUEUES_MAX: u32 = 64;

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
    /// To the kernel: wanted, but its queue has no socket.
    PassedNoSocket,
    /// To its socket; the driver has no room for a stamp.
    RedirectedUnstamped,
}

impl Verdict {
    /// Every verdict with its counter's name.
    pub const ALL: [(Self, &'static str); 8] = [
        (Self::Redirected, "xdp_redirected"),
        (Self::PassedNotWanted, "xdp_passed_not_wanted"),
        (Self::PassedNotIpv4, "xdp_passed_not_ipv4"),
        (Self::PassedNotUdp, "xdp_passed_not_udp"),
        (Self::PassedFragment, "xdp_passed_fragment"),
        (Self::PassedTruncated, "xdp_passed_truncated"),
        (Self::PassedNoSocket, "xdp_passed_no_socket"),
        (Self::RedirectedUnstamped, "xdp_redirected_unstamped"),
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

/// The program on one interface.
#[derive(Debug)]
pub struct Program {
    ebpf: Ebpf,
    link: Option<FdLink>,
}

/// Why the program is not there.
#[derive(Debug)]
pub struct ProgramError {
    /// What was being done.
    pub doing: &'static str,
    /// What the kernel or the loader said.
    pub said: String,
    /// The kernel's error number, where there is one.
    pub errno: Option<i32>,
}

impl ProgramError {
    fn new(doing: &'static str, error: &(dyn std::error::Error + 'static)) -> Self {
        let mut source = Some(error);
        let mut said = error.to_string();
        let mut errno = None;
        while let Some(inner) = source {
            if let Some(io) = inner.downcast_ref::<std::io::Error>() {
                errno = io.raw_os_error();
                said = io.to_string();
            }
            source = inner.source();
        }
        Self { doing, said, errno }
    }
}

impl Program {
    /// Loads the program and tells it which destinations are wanted. It sees no frame yet.
    ///
    /// # Errors
    /// `EPERM`: neither root nor `CAP_BPF` and `CAP_NET_ADMIN`. `ENOMEM`: `RLIMIT_MEMLOCK`.
    pub fn load(wanted: &[Wanted]) -> Result<Self, ProgramError> {
        let code = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/steer.bpf.o"));
        let mut ebpf = Ebpf::load(code).map_err(|e| ProgramError::new("loading maps", &e))?;
        let mut map: HashMap<&mut MapData, Destination, u32> = map(&mut ebpf, "wanted")?;
        for Wanted { address, .. } in wanted {
            let key = Destination {
                address: address.ip().octets(),
                port: address.port().to_be_bytes(),
                zero: [0; 2],
            };
            map.insert(key, 1, 0)
                .map_err(|e| ProgramError::new("filling the map", &e))?;
        }
        let mut program = Self { ebpf, link: None };
        program
            .xdp()?
            .load()
            .map_err(|e| ProgramError::new("loading the program", &e))?;
        Ok(program)
    }

    /// Attaches the program to an interface.
    ///
    /// # Errors
    /// `EBUSY`: another program is there. `EOPNOTSUPP`: the driver cannot. `EINVAL`: the kernel has no
    /// links for XDP (before 5.9); the older way outlives a killed process, so it is not taken.
    pub fn attach(&mut self, index: u32, native: bool) -> Result<(), ProgramError> {
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
            doing: attaching,
            said: "the kernel has no BPF links for XDP".to_owned(),
            errno: Some(libc::EINVAL),
        })?;
        self.link = Some(link);
        Ok(())
    }

    /// Takes the program off the interface.
    pub fn detach(&mut self) {
        self.link = None;
    }

    /// Says which socket serves a queue.
    ///
    /// # Errors
    /// The queue is beyond [`QUEUES_MAX`].
    pub fn serve(&mut self, queue: u32, socket: RawFd) -> Result<(), ProgramError> {
        let mut sockets: XskMap<&mut MapData> = map(&mut self.ebpf, "sockets")?;
        sockets
            .set(queue, socket, 0)
            .map_err(|e| ProgramError::new("registering a socket", &e))
    }

    /// Frames per verdict since the start, over all CPUs.
    #[must_use]
    pub fn verdicts(&self) -> [u64; Verdict::ALL.len()] {
        Verdict::ALL.map(|(verdict, _)| self.sum("verdicts", verdict as u32))
    }

    /// Frames redirected on one queue since the start.
    #[must_use]
    pub fn redirected(&self, queue: u32) -> u64 {
        self.sum("redirected", queue)
    }

    /// Wanted frames of a queue without a socket since the start; those of queues that no program can serve
    /// are all counted at [`QUEUES_MAX`].
    #[must_use]
    pub fn unserved(&self, queue: u32) -> u64 {
        self.sum("unserved", queue)
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

fn map<'a, T>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<T, ProgramError>
where
    T: TryFrom<&'a mut aya::maps::Map, Error = aya::maps::MapError>,
{
    let map = ebpf.map_mut(name).ok_or_else(|| missing(name))?;
    T::try_from(map).map_err(|e| ProgramError::new("opening a map", &e))
}

fn missing(name: &str) -> ProgramError {
    ProgramError {
        doing: "loading the program",
        said: format!("`{name}` is missing"),
        errno: None,
    }
}
