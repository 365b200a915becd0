//! Options of a TCP socket that no crate knows.
//!
//! Thread:      start-up, and the order core when a connection begins
//! When wrong:  the kernel's error, for the caller to judge.

#![allow(unsafe_code, reason = "setsockopt and getsockopt")]

use std::io;
use std::os::fd::AsRawFd;

use socket2::Socket;

/// Lets the kernel poll the card for this socket; 0: no.
pub(super) fn busy_poll(socket: &Socket, micros: u32) -> io::Result<()> {
    if micros == 0 {
        return Ok(());
    }
    // SAFETY: the value lives across the call and its size is given. EPERM: more than the host's default
    // without CAP_NET_ADMIN. ENOPROTOOPT: a kernel without busy polling.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_BUSY_POLL,
            (&raw const micros).cast(),
            4,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Bytes of IPv4 that a frame of the interface holds.
pub(super) fn mtu(interface: &str) -> io::Result<u32> {
    let socket = Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None)?;
    // SAFETY: an all-zero request is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // The last one stays 0: names end with it.
    let (_, room) = request
        .ifr_name
        .split_last_mut()
        .ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))?;
    for (to, from) in room.iter_mut().zip(interface.bytes()) {
        *to = from.cast_signed();
    }
    // SAFETY: the request lives across the call, and is what this one reads and writes.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFMTU, &raw mut request) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: this is what the kernel has written.
    let mtu = unsafe { request.ifr_ifru.ifru_mtu };
    u32::try_from(mtu).map_err(|_| io::Error::from_raw_os_error(libc::ERANGE))
}

/// By how much the exchange's windows are scaled.
pub(super) fn window_shift(socket: &Socket) -> io::Result<u8> {
    const HAS_WINDOW_SCALE: u8 = 4;
    // Options are the sixth byte, both scales the seventh.
    let [_, _, _, _, _, options, scales, _] = tcp_info(socket)?;
    Ok(if options & HAS_WINDOW_SCALE == 0 {
        0
    } else {
        scales & 0x0F
    })
}

/// Bytes that TCP has taken and never sent.
pub(super) fn not_sent(socket: &Socket) -> io::Result<u32> {
    // `tcpi_notsent_bytes`, there since Linux 4.6.
    const AT: usize = 144;
    let info: [u8; AT + 4] = tcp_info(socket)?;
    let [.., a, b, c, d] = info;
    Ok(u32::from_ne_bytes([a, b, c, d]))
}

/// The beginning of `struct tcp_info`.
fn tcp_info<const BYTES: usize>(socket: &Socket) -> io::Result<[u8; BYTES]> {
    let mut info = [0u8; BYTES];
    let room = libc::socklen_t::try_from(BYTES).unwrap_or(0);
    let mut len = room;
    // SAFETY: the buffer is as long as stated; the kernel writes no more than that.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    if len < room {
        return Err(io::Error::from_raw_os_error(libc::ENOTSUP));
    }
    Ok(info)
}
