//! A packet socket that only counts what the kernel hears on an interface.
//!
//! XDP works before packet sockets do, so a frame that the program passes on and that arrives is
//! counted here; one that a driver loses is not.
//!
//! Thread:      start-up only

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use super::nic;

const PACKET_STATISTICS: i32 = 6;
const PACKET_IGNORE_OUTGOING: i32 = 23;

#[derive(Debug)]
pub(super) struct PacketTap {
    socket: OwnedFd,
    heard: std::cell::Cell<u64>,
}

impl PacketTap {
    /// Starts to listen.
    pub(super) fn open(interface: &str) -> io::Result<Self> {
        let index = nic::interface_index(interface)?;
        const ETH_P_ALL: u16 = 3;
        const AF_PACKET: u16 = 17;
        const _: () =
            assert!(ETH_P_ALL as i32 == libc::ETH_P_ALL && AF_PACKET as i32 == libc::AF_PACKET);
        let protocol = ETH_P_ALL.to_be();
        // SAFETY: takes plain numbers.
        let fd = unsafe {
            libc::socket(
                libc::AF_PACKET,
                libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK,
                0,
            )
        };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a fresh descriptor that nobody else owns.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        let on = 1i32;
        // SAFETY: the value lives across the call and its size is given. Kernels before 4.20 refuse;
        // then outgoing frames count too and the trial is less strict.
        unsafe {
            libc::setsockopt(
                fd,
                libc::SOL_PACKET,
                PACKET_IGNORE_OUTGOING,
                (&raw const on).cast(),
                4,
            )
        };
        // SAFETY: an all-zero address is valid and filled in below.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = AF_PACKET;
        address.sll_protocol = protocol;
        address.sll_ifindex = i32::try_from(index).map_err(io::Error::other)?;
        let len = libc::socklen_t::try_from(size_of_val(&address)).map_err(io::Error::other)?;
        // SAFETY: the address is as long as stated.
        if unsafe { libc::bind(fd, (&raw const address).cast(), len) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self {
            socket,
            heard: std::cell::Cell::new(0),
        })
    }

    /// Frames heard since it was opened, dropped ones included.
    pub(super) fn heard(&self) -> io::Result<u64> {
        // packets, drops; reading sets them to zero.
        let mut counts = [0u32; 2];
        let mut len = 8;
        // SAFETY: `counts` has the eight bytes that are asked for.
        let result = unsafe {
            libc::getsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_PACKET,
                PACKET_STATISTICS,
                counts.as_mut_ptr().cast(),
                &raw mut len,
            )
        };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        let [packets, _] = counts;
        self.heard.set(self.heard.get() + u64::from(packets));
        Ok(self.heard.get())
    }

    /// Waits for something to be heard, at most this long.
    #[expect(
        clippy::unused_self,
        reason = "waiting is the tap's; a frame need not wake it"
    )]
    pub(super) fn wait(&self, at_most: Duration) {
        std::thread::park_timeout(at_most);
    }
}
