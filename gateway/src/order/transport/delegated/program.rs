//! The two programs in the kernel: loaded, attached to the orders' interface by links, their row mapped.
//!
//! Thread:      start-up only
//! Invariants:  attached by BPF links and by nothing else: when the process ends, however it ends, the kernel closes
//!              the links and takes the programs off.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use aya::maps::Map;
use aya::programs::links::FdLink;
use aya::programs::{ProgramError, SchedClassifier, Xdp, XdpMode};
use aya::{Ebpf, include_bytes_aligned};

use super::link;
use super::row::Row;

/// The programs on an interface, while this lives.
#[derive(Debug)]
pub(super) struct Programs {
    leave: OwnedFd,
    _arrive: FdLink,
    _ebpf: Ebpf,
}

/// Why they are not there.
#[derive(Debug)]
pub(super) struct Failed {
    /// What was being done.
    pub(super) doing: &'static str,
    /// What the kernel or the loader said.
    pub(super) said: String,
    /// The kernel's error number, where there is one.
    pub(super) errno: Option<i32>,
}

impl Failed {
    fn new(doing: &'static str, error: &(dyn std::error::Error + 'static)) -> Self {
        let mut source = Some(error);
        let mut said = error.to_string();
        let mut errno = None;
        while let Some(inner) = source {
            if let Some(io) = inner.downcast_ref::<io::Error>() {
                errno = io.raw_os_error();
                said = io.to_string();
            }
            source = inner.source();
        }
        Self { doing, said, errno }
    }

    fn said(doing: &'static str, said: &str) -> Self {
        Self {
            doing,
            said: said.to_owned(),
            errno: None,
        }
    }
}

/// Where the program that hears the exchange runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the driver.
    Driver,
    /// In the network stack.
    Stack,
}

impl Programs {
    /// Loads and attaches both, and maps their row. They look at no connection yet.
    ///
    /// # Errors
    /// `EPERM`: neither root nor `CAP_BPF` and `CAP_NET_ADMIN`. `EBUSY`: another XDP program is there. `EOPNOTSUPP`: the driver
    /// cannot. `EINVAL`: a kernel before 6.6, which has no links for what leaves; other ways outlive a killed process, so
    /// they are not taken.
    pub(super) fn attach(interface: u32, place: Place) -> Result<(Self, Row), Failed> {
        let code = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/send.bpf.o"));
        let mut ebpf = Ebpf::load(code).map_err(|error| Failed::new("loading maps", &error))?;
        let row = row(&mut ebpf)?;
        let arrive = attach_arrive(&mut ebpf, interface, place)?;
        let leave = attach_leave(&mut ebpf, interface)?;
        let programs = Self {
            leave,
            _arrive: arrive,
            _ebpf: ebpf,
        };
        Ok((programs, row))
    }
}

impl Programs {
    /// What keeps the program for what leaves where it is.
    pub(super) fn leave(&self) -> BorrowedFd<'_> {
        self.leave.as_fd()
    }
}

fn row(ebpf: &mut Ebpf) -> Result<Row, Failed> {
    let Some(Map::Array(map)) = ebpf.map("lanes") else {
        return Err(Failed::said("loading maps", "`lanes` is missing"));
    };
    Row::map(map.fd().as_fd()).map_err(|error| Failed::new("mapping the row", &error))
}

fn attach_arrive(ebpf: &mut Ebpf, interface: u32, place: Place) -> Result<FdLink, Failed> {
    let loading = "loading the program for what arrives";
    let attaching = "attaching the program for what arrives";
    let program: &mut Xdp = found(ebpf, "arrive", loading)?;
    program
        .load()
        .map_err(|error| Failed::new(loading, &error))?;
    let mode = match place {
        Place::Driver => XdpMode::Driver,
        Place::Stack => XdpMode::Skb,
    };
    let id = program
        .attach_to_if_index(interface, mode)
        .map_err(|error| Failed::new(attaching, &error))?;
    let link = program
        .take_link(id)
        .map_err(|error| Failed::new(attaching, &error))?;
    // Anything but a link that a descriptor holds is dropped here, which takes it off again.
    FdLink::try_from(link)
        .map_err(|_| Failed::said(attaching, "the kernel has no BPF links for XDP"))
}

fn attach_leave(ebpf: &mut Ebpf, interface: u32) -> Result<OwnedFd, Failed> {
    let loading = "loading the program for what leaves";
    let attaching = "attaching the program for what leaves";
    let program: &mut SchedClassifier = found(ebpf, "leave", loading)?;
    program
        .load()
        .map_err(|error| Failed::new(loading, &error))?;
    let program = program
        .fd()
        .map_err(|error| Failed::new(attaching, &error))?;
    // First of all: it must see the kernel's packets as they are.
    link::attach_first(program.as_fd(), interface).map_err(|error| Failed::new(attaching, &error))
}

fn found<'a, P>(ebpf: &'a mut Ebpf, name: &str, doing: &'static str) -> Result<&'a mut P, Failed>
where
    &'a mut P: TryFrom<&'a mut aya::programs::Program, Error = ProgramError>,
{
    let program = ebpf
        .program_mut(name)
        .ok_or_else(|| Failed::said(doing, "it is missing"))?;
    program
        .try_into()
        .map_err(|error| Failed::new(doing, &error))
}
