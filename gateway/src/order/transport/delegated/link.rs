//! The links that hold both programs on their interface, and whether they still do.
//!
//! The descriptor of the one for what leaves is given to the connection's ring, too, so that the program is there until the socket has gone: a process
//! that dies between a segment and its copy ends the connection with a number that the program sets right.
//!
//! Thread:      start-up; housekeeping, which looks whether somebody took a program off
//! When wrong:  the kernel's error, for the caller to judge.

#![allow(
    unsafe_code,
    reason = "bpf(2): the loader keeps a link's descriptor to itself"
)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

const BPF_OBJ_GET_INFO_BY_FD: libc::c_int = 15;
const BPF_LINK_CREATE: libc::c_int = 28;
const BPF_XDP: u32 = 37;
const BPF_TCX_EGRESS: u32 = 47;
const XDP_FLAGS_SKB_MODE: u32 = 1 << 1;
const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;
/// Before all others that are there.
const BPF_F_BEFORE: u32 = 1 << 3;

/// `union bpf_attr`, as far as this command reads it.
#[repr(C)]
struct LinkCreate {
    program: i32,
    interface: u32,
    attach_type: u32,
    flags: u32,
    relative: u32,
    /// The kernel's structure has a hole here.
    unused: u32,
    revision: u64,
}

/// What a program looks at, and how it is attached for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hook {
    /// What leaves, before all other programs there.
    Leave,
    /// What arrives, in the driver.
    ArriveDriver,
    /// What arrives, in the network stack.
    ArriveStack,
}

/// Attaches a program to an interface.
///
/// # Errors
/// `EINVAL`: a kernel before 6.6. `EPERM`: `CAP_NET_ADMIN` is missing. `ENODEV`: the interface has gone. For what arrives,
/// `EBUSY`: another XDP program is there; `EOPNOTSUPP`: the driver cannot.
pub(super) fn attach(program: BorrowedFd<'_>, interface: u32, hook: Hook) -> io::Result<OwnedFd> {
    let (attach_type, flags) = match hook {
        Hook::Leave => (BPF_TCX_EGRESS, BPF_F_BEFORE),
        Hook::ArriveDriver => (BPF_XDP, XDP_FLAGS_DRV_MODE),
        Hook::ArriveStack => (BPF_XDP, XDP_FLAGS_SKB_MODE),
    };
    let attributes = LinkCreate {
        program: program.as_raw_fd(),
        interface,
        attach_type,
        flags,
        relative: 0,
        unused: 0,
        revision: 0,
    };
    let fd = bpf(BPF_LINK_CREATE, &attributes)?;
    // SAFETY: a fresh descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// What the kernel says of a link, as far as it is the same for both kinds that are used here.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
struct LinkInfo {
    kind: u32,
    id: u32,
    program: u32,
    unused: u32,
    /// 0: the link was taken off.
    interface: u32,
    rest: [u32; 11],
}

/// `union bpf_attr`, as far as the command reads it that asks for what the kernel says.
#[repr(C)]
struct InfoByFd {
    fd: i32,
    info_bytes: u32,
    info: u64,
}

/// Whether somebody took a link's program off its interface.
///
/// # Errors
/// `EPERM`: the kernel does not say so without `CAP_BPF`.
pub(super) fn is_off(link: BorrowedFd<'_>) -> io::Result<bool> {
    let mut info = LinkInfo::default();
    let attributes = InfoByFd {
        fd: link.as_raw_fd(),
        info_bytes: u32::try_from(size_of::<LinkInfo>()).unwrap_or(0),
        info: (&raw mut info).expose_provenance() as u64,
    };
    bpf(BPF_OBJ_GET_INFO_BY_FD, &attributes)?;
    Ok(info.interface == 0)
}

/// Asks the kernel; a descriptor, or 0.
fn bpf<T>(command: libc::c_int, attributes: &T) -> io::Result<i32> {
    // SAFETY: the structure is whole, lives across the call, and its size is given; what it points to does, too.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_ref(attributes),
            size_of::<T>(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    i32::try_from(result).map_err(|_| io::Error::from_raw_os_error(libc::EBADF))
}
