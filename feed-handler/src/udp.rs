//! The receiver on plain kernel sockets: works everywhere, and is the last rung of the ladder.
//!
//! One socket for each line; `recvmmsg` takes what has arrived without waiting. Several feed stages may
//! listen to one line: each hears all of a group; of an own address (`SO_REUSEPORT`) each gets some flows.
//!
//! Thread:      feed core, hot
//! System calls: `recvmmsg`, one for each socket and turn.
//! Time:        the kernel's receive stamp (`SO_TIMESTAMPNS`) is real-time; it is moved to the
//!              monotonic clock by an offset read in each housekeeping turn.
//! When full:   the kernel drops; `SO_RXQ_OVFL` tells how many.

#![allow(unsafe_code, reason = "recvmmsg and its control messages")]

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsRawFd;
use std::sync::Arc;

use rt::clock;
use rt::counters;
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};

use crate::arbiter::PACKET_LEN_MAX;
use crate::source::{Packet, PacketSource};
use crate::xdp::write_option;

/// Packets that one call may take from one socket.
const BATCH: usize = 32;
/// The same as the kernel counts it.
const BATCH_COUNT: u32 = 32;
/// Room for a stamp and an overflow count: two headers of 16 bytes, 16 and 4 bytes, aligned.
const CONTROL_LEN: usize = 64;

counters! {
    /// What the kernel sockets said.
    pub struct UdpCounters {
        /// Packets received.
        packets,
        /// Packets that the kernel dropped because the socket's buffer was full.
        kernel_dropped,
        /// Packets longer than a line's largest; cut, so not used.
        too_long,
        /// Calls that failed with anything but "nothing there".
        errors,
    }
}

/// One line to listen to; its place in [`UdpOptions::lines`] is its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UdpLine {
    /// Group or own address, and port.
    pub address: SocketAddrV4,
    /// Interface to join a group on.
    pub interface: Option<String>,
}

/// How to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UdpOptions {
    /// The lines, 256 at most.
    pub lines: Vec<UdpLine>,
    /// `SO_RCVBUF` in bytes; the kernel doubles it and caps it at `net.core.rmem_max`.
    pub receive_buffer_bytes: usize,
    /// `SO_BUSY_POLL` in µs; 0: off. Needs `CAP_NET_ADMIN` above `net.core.busy_read`.
    pub busy_poll_us: u32,
    /// Block in the kernel for up to this long when nothing is there, in µs; 0: never (hot cores).
    pub block_us: u32,
}

/// Kernel sockets as a source of packets.
#[derive(Debug)]
pub struct UdpSource {
    sockets: Vec<Receiver>,
    counters: Arc<UdpCounters>,
    realtime_offset_ns: i64,
}

struct Receiver {
    line: u8,
    socket: Socket,
    buffers: Box<[[u8; PACKET_LEN_MAX]; BATCH]>,
    controls: Box<[Control; BATCH]>,
    vectors: Box<[libc::iovec; BATCH]>,
    headers: Box<[libc::mmsghdr; BATCH]>,
    taken: usize,
    dropped: u32,
}

#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; CONTROL_LEN]);

// SAFETY: the raw pointers in `vectors` and `headers` point into boxes that the receiver owns and
// that move with it.
unsafe impl Send for Receiver {}

impl std::fmt::Debug for Receiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receiver")
            .field("socket", &self.socket)
            .finish_non_exhaustive()
    }
}

impl UdpSource {
    /// Opens and binds a socket for each line, and joins the groups.
    ///
    /// # Errors
    /// `EADDRINUSE`: the port is taken by a socket that does not share it. `EADDRNOTAVAIL`,
    /// `ENODEV`: the address or interface does not exist. `EINVAL`: more lines than numbers for them.
    pub fn open(options: &UdpOptions, counters: Arc<UdpCounters>) -> io::Result<Self> {
        let sockets = options
            .lines
            .iter()
            .enumerate()
            .map(|(index, line)| {
                let number =
                    u8::try_from(index).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
                Ok(Receiver::new(number, open_line(line, options)?))
            })
            .collect::<io::Result<_>>()?;
        Ok(Self {
            sockets,
            counters,
            realtime_offset_ns: clock::realtime_offset_ns(),
        })
    }
}

impl PacketSource for UdpSource {
    #[inline]
    fn acquire(&mut self) -> usize {
        let mut taken = 0;
        for receiver in &mut self.sockets {
            taken += receiver.receive(&self.counters);
        }
        taken
    }

    #[inline]
    fn each(&mut self, mut on_packet: impl FnMut(Packet<'_>)) {
        for receiver in &mut self.sockets {
            receiver.each(self.realtime_offset_ns, &self.counters, &mut on_packet);
        }
    }

    fn release(&mut self) {}

    fn housekeep(&mut self) {
        self.realtime_offset_ns = clock::realtime_offset_ns();
    }
}

/// Joins a group so that switches and the own host forward it, without receiving: what AF_XDP needs
/// beside it. The membership ends when the socket is closed.
///
/// # Errors
/// `ENODEV`: no such interface.
pub fn join_group(group: Ipv4Addr, interface: &str) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.join_multicast_v4_n(&group, &index_of(interface)?)?;
    Ok(socket)
}

fn index_of(interface: &str) -> io::Result<InterfaceIndexOrAddress> {
    crate::xdp::nic::interface_index(interface).map(InterfaceIndexOrAddress::Index)
}

fn open_line(line: &UdpLine, options: &UdpOptions) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    // A group's sockets all hear it. `SO_REUSEPORT` would pick one of them, of any interface.
    let is_group = line.address.ip().is_multicast();
    socket.set_reuse_address(is_group)?;
    socket.set_reuse_port(!is_group)?;
    socket.set_recv_buffer_size(options.receive_buffer_bytes)?;
    write_option(socket.as_raw_fd(), libc::SO_TIMESTAMPNS, 1)?;
    write_option(socket.as_raw_fd(), libc::SO_RXQ_OVFL, 1)?;
    if options.busy_poll_us > 0 {
        write_option(socket.as_raw_fd(), libc::SO_BUSY_POLL, options.busy_poll_us)?;
    }
    socket.bind(&line.address.into())?;
    if is_group {
        match &line.interface {
            Some(interface) => {
                // Else the group is heard from every interface that anyone joined it on, and a
                // packet of line B would be told as line A's.
                socket.set_multicast_all_v4(false)?;
                socket.join_multicast_v4_n(line.address.ip(), &index_of(interface)?)?;
            }
            None => socket.join_multicast_v4(line.address.ip(), &Ipv4Addr::UNSPECIFIED)?,
        }
    }
    if options.block_us > 0 {
        let timeout = std::time::Duration::from_micros(u64::from(options.block_us));
        socket.set_read_timeout(Some(timeout))?;
    } else {
        socket.set_nonblocking(true)?;
    }
    Ok(socket)
}

impl Receiver {
    fn new(line: u8, socket: Socket) -> Self {
        let mut buffers = Box::new([[0; PACKET_LEN_MAX]; BATCH]);
        let mut controls = Box::new([Control([0; CONTROL_LEN]); BATCH]);
        let mut vectors = Box::new(
            [libc::iovec {
                iov_base: std::ptr::null_mut(),
                iov_len: PACKET_LEN_MAX,
            }; BATCH],
        );
        // SAFETY: all-zero headers are valid and are filled in below.
        let mut headers: Box<[libc::mmsghdr; BATCH]> = Box::new(unsafe { std::mem::zeroed() });
        for (vector, buffer) in vectors.iter_mut().zip(buffers.iter_mut()) {
            vector.iov_base = buffer.as_mut_ptr().cast();
        }
        for ((header, vector), control) in headers
            .iter_mut()
            .zip(vectors.iter_mut())
            .zip(controls.iter_mut())
        {
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = control.0.as_mut_ptr().cast();
        }
        Self {
            line,
            socket,
            buffers,
            controls,
            vectors,
            headers,
            taken: 0,
            dropped: 0,
        }
    }

    #[inline]
    fn receive(&mut self, counters: &UdpCounters) -> usize {
        for header in self.headers.iter_mut() {
            header.msg_hdr.msg_controllen = CONTROL_LEN;
        }
        debug_assert_eq!(self.vectors.len(), BATCH_COUNT as usize);
        // SAFETY: every header points at an own buffer, vector and control area of the stated sizes,
        // all of which live as long as `self`. EAGAIN and EINTR mean that nothing was taken.
        let taken = unsafe {
            libc::recvmmsg(
                self.socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                BATCH_COUNT,
                libc::MSG_WAITFORONE,
                std::ptr::null_mut(),
            )
        };
        // Negative: nothing was taken.
        self.taken = usize::try_from(taken).unwrap_or(0);
        debug_assert!(
            self.taken <= BATCH,
            "the kernel gave more than was asked for"
        );
        if taken < 0 && !is_quiet(&io::Error::last_os_error()) {
            counters.errors.increment();
        }
        self.taken
    }

    fn each(
        &mut self,
        offset_ns: i64,
        counters: &UdpCounters,
        on_packet: &mut impl FnMut(Packet<'_>),
    ) {
        let Self {
            line,
            buffers,
            controls,
            headers,
            taken,
            dropped,
            ..
        } = self;
        for ((header, buffer), control) in headers
            .iter()
            .zip(buffers.iter())
            .zip(controls.iter())
            .take(*taken)
        {
            let controls = control
                .0
                .get(..header.msg_hdr.msg_controllen)
                .unwrap_or_default();
            let told = read_controls(controls);
            if let Some(total) = told.dropped {
                counters
                    .kernel_dropped
                    .add(u64::from(total.wrapping_sub(*dropped)));
                *dropped = total;
            }
            if header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0 {
                counters.too_long.increment();
                continue;
            }
            counters.packets.increment();
            let wire_ns = told
                .realtime_ns
                .and_then(|ns| ns.checked_add_signed(-offset_ns));
            let payload = buffer.get(..header.msg_len as usize).unwrap_or_default();
            on_packet(Packet {
                payload,
                frame: &[],
                // No stamp, or one from before the host started: nobody said.
                wire_ns: wire_ns.unwrap_or(0),
                line: *line,
            });
        }
        *taken = 0;
    }
}

fn is_quiet(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

/// What the kernel said beside a packet.
#[derive(Clone, Copy, Default)]
struct Controls {
    realtime_ns: Option<u64>,
    dropped: Option<u32>,
}

/// Walks control messages: length (8), level (4), type (4), data, aligned to 8.
fn read_controls(mut bytes: &[u8]) -> Controls {
    let mut told = Controls::default();
    while let Some((head, rest)) = bytes.split_first_chunk::<16>() {
        let [a, b, c, d, e, f, g, h, _, _, _, _, i, j, k, l] = *head;
        let len = usize::from_ne_bytes([a, b, c, d, e, f, g, h]);
        let kind = i32::from_ne_bytes([i, j, k, l]);
        let Some(data) = len.checked_sub(16).and_then(|len| rest.get(..len)) else {
            break;
        };
        match (kind, data.first_chunk::<16>(), data.first_chunk::<4>()) {
            (libc::SCM_TIMESTAMPNS, Some(time), _) => {
                let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *time;
                let seconds = u64::from_ne_bytes([a, b, c, d, e, f, g, h]);
                let nanos = u64::from_ne_bytes([i, j, k, l, m, n, o, p]);
                told.realtime_ns = seconds.checked_mul(1_000_000_000).map(|ns| ns + nanos);
            }
            (libc::SO_RXQ_OVFL, _, Some(count)) => told.dropped = Some(u32::from_ne_bytes(*count)),
            _ => {}
        }
        bytes = rest
            .get(data.len().next_multiple_of(8)..)
            .unwrap_or_default();
    }
    told
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn packets_come_with_the_kernels_stamp() {
        let probe = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = probe.local_addr().unwrap().port();
        drop(probe);
        let options = UdpOptions {
            lines: vec![UdpLine {
                address: SocketAddrV4::new(Ipv4Addr::LOCALHOST, port),
                interface: None,
            }],
            receive_buffer_bytes: 1 << 20,
            busy_poll_us: 0,
            block_us: 0,
        };
        let counters = Arc::new(UdpCounters::default());
        let mut source = UdpSource::open(&options, Arc::clone(&counters)).unwrap();
        assert_eq!(source.acquire(), 0);
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        let before = clock::monotonic_ns();
        for text in ["one", "two"] {
            sender
                .send_to(text.as_bytes(), ("127.0.0.1", port))
                .unwrap();
        }
        sender.send_to(&[0; 3000], ("127.0.0.1", port)).unwrap();
        let mut heard = Vec::new();
        while heard.len() < 2 || counters.too_long.get() == 0 {
            source.acquire();
            source.each(|packet| heard.push((packet.payload.to_vec(), packet.wire_ns)));
            source.release();
        }
        let after = clock::monotonic_ns();
        assert_eq!(heard[0].0, b"one");
        assert_eq!(heard[1].0, b"two");
        // The offset between the clocks is read with a microsecond's care.
        assert!(
            heard
                .iter()
                .all(|(_, at)| *at + 100_000 > before && *at < after + 100_000)
        );
        assert_eq!(counters.errors.get(), 0);
    }
}
