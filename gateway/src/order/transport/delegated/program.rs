//! The two programs in the kernel: loaded, attached to the orders' interface by links, their row mapped.
//!
//! Thread:      start-up only
//! Invariants:  attached by BPF links and by nothing else: when the process ends, however it ends, the kernel closes
//!              the links and takes the programs off.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Weak};

use aya::maps::Map;
use aya::programs::{ProgramError as FoundError, SchedClassifier, Xdp};
use aya::{Ebpf, include_bytes_aligned};
use feed_handler::xdp::ProgramError;

use super::link::{self, Hook};
use super::row::Row;

/// The programs on an interface, while this lives.
#[derive(Debug)]
pub(super) struct Programs {
    links: Arc<Links>,
    _ebpf: Ebpf,
}

/// What holds the programs on their interface.
#[derive(Debug)]
pub(super) struct Links {
    leave: OwnedFd,
    arrive: OwnedFd,
}

impl Links {
    /// Each with what its program looks at.
    pub(super) fn each(&self) -> [(BorrowedFd<'_>, &'static str); 2] {
        [
            (self.leave.as_fd(), "leaves"),
            (self.arrive.as_fd(), "arrives"),
        ]
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
    pub(super) fn attach(interface: u32, place: Place) -> Result<(Self, Row), ProgramError> {
        let code = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/send.bpf.o"));
        let mut ebpf =
            Ebpf::load(code).map_err(|error| ProgramError::new("loading maps", &error))?;
        let row = row(&mut ebpf)?;
        let arrive = attach_arrive(&mut ebpf, interface, place)?;
        let leave = attach_leave(&mut ebpf, interface)?;
        let programs = Self {
            links: Arc::new(Links { leave, arrive }),
            _ebpf: ebpf,
        };
        Ok((programs, row))
    }
}

impl Programs {
    /// What keeps the program for what leaves where it is.
    pub(super) fn leave(&self) -> BorrowedFd<'_> {
        self.links.leave.as_fd()
    }

    /// Both, for who looks whether they are still attached.
    pub(super) fn links(&self) -> Weak<Links> {
        Arc::downgrade(&self.links)
    }
}

fn row(ebpf: &mut Ebpf) -> Result<Row, ProgramError> {
    let Some(Map::Array(map)) = ebpf.map("lanes") else {
        return Err(ProgramError::said("loading maps", "`lanes` is missing"));
    };
    Row::map(map.fd().as_fd()).map_err(|error| ProgramError::new("mapping the row", &error))
}

fn attach_arrive(ebpf: &mut Ebpf, interface: u32, place: Place) -> Result<OwnedFd, ProgramError> {
    let loading = "loading the program for what arrives";
    let attaching = "attaching the program for what arrives";
    let program: &mut Xdp = found(ebpf, "arrive", loading)?;
    program
        .load()
        .map_err(|error| ProgramError::new(loading, &error))?;
    let program = program
        .fd()
        .map_err(|error| ProgramError::new(attaching, &error))?;
    let hook = match place {
        Place::Driver => Hook::ArriveDriver,
        Place::Stack => Hook::ArriveStack,
    };
    link::attach(program.as_fd(), interface, hook)
        .map_err(|error| ProgramError::new(attaching, &error))
}

fn attach_leave(ebpf: &mut Ebpf, interface: u32) -> Result<OwnedFd, ProgramError> {
    let loading = "loading the program for what leaves";
    let attaching = "attaching the program for what leaves";
    let program: &mut SchedClassifier = found(ebpf, "leave", loading)?;
    program
        .load()
        .map_err(|error| ProgramError::new(loading, &error))?;
    let program = program
        .fd()
        .map_err(|error| ProgramError::new(attaching, &error))?;
    // First of all: it must see the kernel's packets as they are.
    link::attach(program.as_fd(), interface, Hook::Leave)
        .map_err(|error| ProgramError::new(attaching, &error))
}

fn found<'a, P>(
    ebpf: &'a mut Ebpf,
    name: &str,
    doing: &'static str,
) -> Result<&'a mut P, ProgramError>
where
    &'a mut P: TryFrom<&'a mut aya::programs::Program, Error = FoundError>,
{
    let program = ebpf
        .program_mut(name)
        .ok_or_else(|| ProgramError::said(doing, "it is missing"))?;
    program
        .try_into()
        .map_err(|error| ProgramError::new(doing, &error))
}
