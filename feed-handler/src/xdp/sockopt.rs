//! Socket options: what the kernel counted and granted, and what it is asked for.
//!
//! Thread:      start-up and housekeeping

use std::io;
use std::os::fd::RawFd;

const SOL_XDP: i32 = 283;
const XDP_STATISTICS: i32 = 7;
const XDP_OPTIONS: i32 = 8;
const XDP_OPTIONS_ZEROCOPY: u32 = 1;

/// What the kernel counted on one socket (`XDP_STATISTICS`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Frames dropped because no frame of UMEM was free.
    pub rx_dropped: u64,
    /// Frames dropped because the receive ring was full.
    pub rx_ring_full: u64,
    /// Times that the fill ring was empty.
    pub fill_ring_empty: u64,
}

impl Statistics {
    /// Each with its counter's name and what it means.
    pub(super) fn list(self) -> [(&'static str, &'static str, u64); 3] {
        [
            (
                "rx_dropped",
                "Frames that the kernel dropped because no frame of packet memory was free.",
                self.rx_dropped,
            ),
            (
                "rx_ring_full",
                "Frames that the kernel dropped because the receive ring was full.",
                self.rx_ring_full,
            ),
            (
                "fill_ring_empty",
                "Times that the kernel found the fill ring empty.",
                self.fill_ring_empty,
            ),
        ]
    }
}

/// Reads the kernel's statistics of an AF_XDP socket.
///
/// # Errors
/// What `getsockopt` says.
pub(super) fn statistics(fd: RawFd) -> io::Result<Statistics> {
    // rx_dropped, rx_invalid, tx_invalid, rx_ring_full, rx_fill_ring_empty, tx_ring_empty.
    let mut raw = [0u64; 6];
    read_option(fd, XDP_STATISTICS, &mut raw)?;
    let [rx_dropped, _, _, rx_ring_full, fill_ring_empty, _] = raw;
    Ok(Statistics {
        rx_dropped,
        rx_ring_full,
        fill_ring_empty,
    })
}

/// Whether the kernel bound an AF_XDP socket without copying.
///
/// # Errors
/// What `getsockopt` says.
pub fn is_zero_copy(fd: RawFd) -> io::Result<bool> {
    let mut flags = 0u32;
    read_option(fd, XDP_OPTIONS, &mut flags)?;
    Ok(flags & XDP_OPTIONS_ZEROCOPY != 0)
}

fn read_option<T>(fd: RawFd, option: i32, value: &mut T) -> io::Result<()> {
    let mut len = libc::socklen_t::try_from(size_of::<T>()).map_err(io::Error::other)?;
    // SAFETY: `value` is a plain integer or array of them, as large as `len` says.
    let result = unsafe {
        libc::getsockopt(
            fd,
            SOL_XDP,
            option,
            std::ptr::from_mut(value).cast(),
            &raw mut len,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Sets a socket option of the generic level.
pub(crate) fn write_option(fd: RawFd, option: i32, value: u32) -> io::Result<()> {
    // SAFETY: the value lives across the call and its size is given.
    let result =
        unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, option, (&raw const value).cast(), 4) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
