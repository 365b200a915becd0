//! The link that holds the program for what leaves on its interface.
//!
//! Its descriptor is given to the connection's ring, too, so that the program is there until the socket has gone: a process
//! that dies between a segment and its copy ends the connection with a number that the program sets right.
//!
//! Thread:      start-up only
//! When wrong:  the kernel's error, for the caller to judge.

#![allow(
    unsafe_code,
    reason = "bpf(2): the loader keeps a link's descriptor to itself"
)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

const BPF_LINK_CREATE: libc::c_int = 28;
const BPF_TCX_EGRESS: u32 = 47;
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

/// Attaches a program to an interface for what leaves, before all others there.
///
/// # Errors
/// `EINVAL`: a kernel before 6.6. `EPERM`: `CAP_NET_ADMIN` is missing. `ENODEV`: the interface has gone.
pub(super) fn attach_first(program: BorrowedFd<'_>, interface: u32) -> io::Result<OwnedFd> {
    let attributes = LinkCreate {
        program: program.as_raw_fd(),
        interface,
        attach_type: BPF_TCX_EGRESS,
        flags: BPF_F_BEFORE,
        relative: 0,
        unused: 0,
        revision: 0,
    };
    // SAFETY: the structure is whole, lives across the call, and its size is given.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_LINK_CREATE,
            &raw const attributes,
            size_of::<LinkCreate>(),
        )
    };
    let fd = i32::try_from(fd).unwrap_or(-1);
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a fresh descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
