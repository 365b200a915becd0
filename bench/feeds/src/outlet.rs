//! Where a line's packets leave: a UDP socket, or whole frames out of an interface.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;

use anyhow::{Context, Result};
use protocol::frame::{FrameBuilder, multicast_mac};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// Where a line goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Group or address, and port.
    pub to: SocketAddrV4,
    /// Own address: the group's interface, or the frame's source.
    pub from: Ipv4Addr,
    /// Send whole frames out of this interface.
    pub interface: Option<String>,
}

/// One line's socket.
pub(crate) enum Outlet {
    Address(Socket, SockAddr),
    Frames(Socket, FrameBuilder, Box<[u8; 2048]>),
}

impl Outlet {
    pub(crate) fn open(line: &Line, vlan: Option<u16>) -> Result<Self> {
        let what = || format!("line {}", line.to);
        match &line.interface {
            None => {
                let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))
                    .with_context(what)?;
                if line.to.ip().is_multicast() {
                    socket.set_multicast_if_v4(&line.from).with_context(what)?;
                    socket.set_multicast_ttl_v4(1).with_context(what)?;
                }
                socket.set_send_buffer_size(4 << 20).with_context(what)?;
                Ok(Self::Address(socket, line.to.into()))
            }
            Some(interface) => {
                let socket =
                    packet_socket(interface).with_context(|| format!("interface {interface}"))?;
                let source_mac = hardware_address(interface);
                let destination_mac = if line.to.ip().is_multicast() {
                    multicast_mac(*line.to.ip())
                } else {
                    [0xFF; 6]
                };
                let builder = FrameBuilder {
                    source_mac,
                    destination_mac,
                    vlan,
                    source: SocketAddrV4::new(line.from, line.to.port()),
                    destination: line.to,
                    ttl: 1,
                };
                Ok(Self::Frames(socket, builder, Box::new([0; 2048])))
            }
        }
    }

    pub(crate) fn send(&mut self, payload: &[u8]) -> Result<()> {
        let result = match self {
            Self::Address(socket, to) => socket.send_to(payload, to),
            Self::Frames(socket, builder, buffer) => {
                let len = builder
                    .build(payload, &mut buffer[..])
                    .context("frame too long")?;
                socket.send(buffer.get(..len).unwrap_or_default())
            }
        };
        match result {
            Ok(_) => Ok(()),
            // Nobody listens there (yet), or a queue was full for a moment: as on a wire, it is lost.
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::ECONNREFUSED | libc::ENOBUFS | libc::ENETUNREACH)
                ) =>
            {
                Ok(())
            }
            Err(error) => Err(error).context("sending"),
        }
    }
}

/// A packet socket that only sends.
fn packet_socket(interface: &str) -> std::io::Result<Socket> {
    let index = feed_handler::xdp::nic::interface_index(interface)?;
    let socket = Socket::new(Domain::PACKET, Type::RAW, None)?;
    socket.bind(&link_address(index))?;
    Ok(socket)
}

fn hardware_address(interface: &str) -> [u8; 6] {
    let path = format!("/sys/class/net/{interface}/address");
    let text = std::fs::read_to_string(Path::new(&path)).unwrap_or_default();
    let mut mac = [0x02, 0, 0, 0, 0, 1];
    for (to, from) in mac.iter_mut().zip(text.trim().split(':')) {
        *to = u8::from_str_radix(from, 16).unwrap_or(*to);
    }
    mac
}

/// The address of an interface for a packet socket.
#[expect(
    unsafe_code,
    reason = "socket2 has no constructor for link-layer addresses"
)]
fn link_address(index: u32) -> SockAddr {
    // SAFETY: an all-zero storage is valid.
    let mut storage: socket2::SockAddrStorage = unsafe { std::mem::zeroed() };
    // SAFETY: the storage is large enough for, and aligned like, every kind of address.
    let address: &mut libc::sockaddr_ll = unsafe { storage.view_as() };
    address.sll_family = u16::try_from(libc::AF_PACKET).unwrap_or(0);
    address.sll_ifindex = i32::try_from(index).unwrap_or(0);
    let len = libc::socklen_t::try_from(size_of::<libc::sockaddr_ll>()).unwrap_or(0);
    // SAFETY: the storage holds a link-layer address of that length.
    unsafe { SockAddr::new(storage, len) }
}
