//! What the kernel says of a network interface: index, driver, queues, routes, XDP mode.
//!
//! Thread:      start-up and housekeeping only

use std::ffi::CString;
use std::io;
use std::mem::zeroed;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

const SIOCETHTOOL: libc::c_ulong = 0x8946;
const ETHTOOL_GDRVINFO: u32 = 0x03;
const ETHTOOL_GCHANNELS: u32 = 0x3C;
/// Attribute of a link message that holds everything about XDP.
const IFLA_XDP: u16 = 43;
/// Inside it: 0 none, 1 driver, 2 generic, 3 hardware, 4 several.
const IFLA_XDP_ATTACHED: u16 = 2;

/// Attributes of a route message: where to, by which interface, from which address.
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_PREFSRC: u16 = 7;

/// How packets to an address leave this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Index of the interface.
    pub interface: u32,
    /// The address that they have as their source.
    pub source: Ipv4Addr,
}

/// Where the kernel runs an XDP program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attached {
    /// Nowhere.
    None,
    /// In the driver: native.
    Driver,
    /// In the network stack: generic.
    Generic,
    /// On the card, or in several places.
    Other,
}

/// The index of an interface in this network namespace.
///
/// # Errors
/// `ENODEV`: there is none of that name.
pub fn interface_index(name: &str) -> io::Result<u32> {
    let name = CString::new(name).map_err(|_| io::Error::from_raw_os_error(libc::ENODEV))?;
    // SAFETY: a valid C string.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(io::Error::last_os_error()),
        index => Ok(index),
    }
}

/// The name of the interface with that index in this network namespace.
///
/// # Errors
/// `ENXIO`: there is none.
pub fn interface_name(index: u32) -> io::Result<String> {
    let mut name = [0u8; libc::IFNAMSIZ];
    // SAFETY: the buffer has the length that the call demands.
    let found = unsafe { libc::if_indextoname(index, name.as_mut_ptr().cast()) };
    if found.is_null() {
        return Err(io::Error::last_os_error());
    }
    let name: Vec<u8> = name.into_iter().take_while(|byte| *byte != 0).collect();
    Ok(String::from_utf8_lossy(&name).into_owned())
}

/// Whether frames of the interface are Ethernet's, and leave the host; `false` where the kernel does not say.
#[must_use]
pub fn is_ethernet(interface: &str) -> bool {
    // SAFETY: an all-zero request is valid.
    let mut request: libc::ifreq = unsafe { zeroed() };
    if ask(interface, libc::SIOCGIFHWADDR, &mut request).is_err() {
        return false;
    }
    // SAFETY: the kernel has filled in the address, and so its family.
    let family = unsafe { request.ifr_ifru.ifru_hwaddr.sa_family };
    family == libc::ARPHRD_ETHER
}

/// How packets to an address leave this network namespace now.
///
/// # Errors
/// `ENETUNREACH`: there is no route. `EPROTO`: an answer without interface or source.
pub fn route_to(address: Ipv4Addr) -> io::Result<Route> {
    // Message header (16), then a route's (12): family, bits of the destination, the rest as it comes; the destination.
    let mut request = [0u8; 36];
    let mut put = |at: usize, bytes: &[u8]| {
        if let Some(room) = request.get_mut(at..at + bytes.len()) {
            room.copy_from_slice(bytes);
        }
    };
    put(0, &36u32.to_ne_bytes());
    put(4, &libc::RTM_GETROUTE.to_ne_bytes());
    put(6, &1u16.to_ne_bytes()); // NLM_F_REQUEST
    put(16, &[2, 32]); // AF_INET
    put(28, &8u16.to_ne_bytes());
    put(30, &RTA_DST.to_ne_bytes());
    put(32, &address.octets());
    let reply = netlink(&request)?;
    let word = |kind| {
        let value = attribute(reply.get(28..).unwrap_or_default(), kind)?;
        value.first_chunk::<4>().copied()
    };
    let kind = reply.get(4..6).and_then(|kind| kind.first_chunk::<2>());
    if kind.is_some_and(|kind| u16::from_ne_bytes(*kind) == 2) {
        // NLMSG_ERROR: the number, negative.
        let errno = reply.get(16..20).and_then(|errno| errno.first_chunk::<4>());
        let errno = errno.map_or(libc::EPROTO, |errno| -i32::from_ne_bytes(*errno));
        return Err(io::Error::from_raw_os_error(errno));
    }
    match (word(RTA_OIF), word(RTA_PREFSRC)) {
        (Some(interface), Some(source)) => Ok(Route {
            interface: u32::from_ne_bytes(interface),
            source: source.into(),
        }),
        _ => Err(io::Error::from_raw_os_error(libc::EPROTO)),
    }
}

/// The name of the driver, `"unknown"` where it does not say.
#[must_use]
pub fn driver(interface: &str) -> String {
    /// `struct ethtool_drvinfo`, as far as we read it.
    #[repr(C)]
    struct DriverInfo {
        command: u32,
        driver: [u8; 32],
        rest: [u8; 160],
    }
    let mut info = DriverInfo {
        command: ETHTOOL_GDRVINFO,
        driver: [0; 32],
        rest: [0; 160],
    };
    match ethtool(interface, (&raw mut info).cast()) {
        Ok(()) => {
            let name: Vec<u8> = info
                .driver
                .iter()
                .copied()
                .take_while(|b| *b != 0)
                .collect();
            String::from_utf8_lossy(&name).into_owned()
        }
        Err(_) => "unknown".to_owned(),
    }
}

/// How many receive queues are in use, at least 1.
#[must_use]
pub fn receive_queues(interface: &str) -> u32 {
    /// `struct ethtool_channels`.
    #[derive(Default)]
    #[repr(C)]
    struct Channels {
        command: u32,
        max: [u32; 4],
        rx: u32,
        tx: u32,
        other: u32,
        combined: u32,
    }
    let mut channels = Channels {
        command: ETHTOOL_GCHANNELS,
        ..Channels::default()
    };
    match ethtool(interface, (&raw mut channels).cast()) {
        Ok(()) => (channels.rx + channels.combined).max(1),
        Err(_) => 1,
    }
}

/// Whether a default route of this network namespace leaves through the interface.
#[must_use]
pub fn carries_default_route(interface: &str) -> bool {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let zeros = "0".repeat(32);
    let v4 = read("/proc/thread-self/net/route")
        .lines()
        .skip(1)
        .any(|line| {
            let mut fields = line.split_ascii_whitespace();
            let (name, destination) = (fields.next(), fields.next());
            let mask = fields.nth(5);
            name == Some(interface) && destination == Some("00000000") && mask == Some("00000000")
        });
    let v6 = read("/proc/thread-self/net/ipv6_route")
        .lines()
        .any(|line| {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            let is_reject = fields
                .get(8)
                .and_then(|flags| u32::from_str_radix(flags, 16).ok());
            fields.first() == Some(&zeros.as_str())
                && fields.get(1) == Some(&"00")
                && fields.get(9) == Some(&interface)
                && is_reject.is_some_and(|flags| flags & 0x200 == 0)
        });
    v4 || v6
}

/// Where the kernel runs an XDP program of this interface now.
///
/// # Errors
/// What the netlink socket says.
pub fn attached(index: u32) -> io::Result<Attached> {
    let reply = link_message(index)?;
    // Message header (16), interface header (16), then attributes.
    let attributes = reply.get(32..).unwrap_or_default();
    let mode = attribute(attributes, IFLA_XDP)
        .and_then(|nested| attribute(nested, IFLA_XDP_ATTACHED))
        .and_then(|value| value.first());
    Ok(match mode {
        None | Some(0) => Attached::None,
        Some(1) => Attached::Driver,
        Some(2) => Attached::Generic,
        Some(_) => Attached::Other,
    })
}

fn ethtool(interface: &str, data: *mut libc::c_char) -> io::Result<()> {
    // SAFETY: an all-zero request is valid.
    let mut request: libc::ifreq = unsafe { zeroed() };
    // The caller's structure has the size that the command in it stands for, and is alive.
    request.ifr_ifru.ifru_data = data;
    ask(interface, SIOCETHTOOL, &mut request)
}

/// Asks the kernel about an interface by name.
fn ask(interface: &str, what: libc::c_ulong, request: &mut libc::ifreq) -> io::Result<()> {
    for (to, from) in request
        .ifr_name
        .iter_mut()
        .take(libc::IFNAMSIZ - 1)
        .zip(interface.bytes())
    {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    let socket = socket(libc::AF_INET, libc::SOCK_DGRAM, 0)?;
    // SAFETY: `request` is whole, and what it names is the callers' concern, who are in this file.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), what as _, &raw mut *request) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

fn socket(domain: i32, kind: i32, protocol: i32) -> io::Result<OwnedFd> {
    // SAFETY: takes plain numbers.
    let fd = unsafe { libc::socket(domain, kind | libc::SOCK_CLOEXEC, protocol) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a fresh descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Asks rtnetlink for one link and returns the raw answer.
fn link_message(index: u32) -> io::Result<Vec<u8>> {
    let mut request = [0u8; 32];
    let mut put = |at: usize, bytes: &[u8]| {
        if let Some(room) = request.get_mut(at..at + bytes.len()) {
            room.copy_from_slice(bytes);
        }
    };
    put(0, &32u32.to_ne_bytes());
    put(4, &libc::RTM_GETLINK.to_ne_bytes());
    put(6, &1u16.to_ne_bytes()); // NLM_F_REQUEST
    put(20, &index.to_ne_bytes());
    netlink(&request)
}

/// Sends rtnetlink a request and returns the raw answer.
fn netlink(request: &[u8]) -> io::Result<Vec<u8>> {
    let socket = socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE)?;
    // SAFETY: the buffer is as long as stated.
    let sent = unsafe {
        libc::send(
            socket.as_raw_fd(),
            request.as_ptr().cast(),
            request.len(),
            0,
        )
    };
    if sent < 0 {
        return Err(io::Error::last_os_error());
    }
    let mut reply = vec![0u8; 32 * 1024];
    // SAFETY: the buffer is as long as stated.
    let got = unsafe {
        libc::recv(
            socket.as_raw_fd(),
            reply.as_mut_ptr().cast(),
            reply.len(),
            0,
        )
    };
    reply.truncate(usize::try_from(got).map_err(|_| io::Error::last_os_error())?);
    Ok(reply)
}

/// Finds an attribute among `len (2) kind (2) value` records aligned to 4.
fn attribute(mut bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    while let Some(([a, b, c, d], _)) = bytes.split_first_chunk::<4>() {
        let len = usize::from(u16::from_ne_bytes([*a, *b]));
        let kind = u16::from_ne_bytes([*c, *d]) & 0x3FFF;
        let value = bytes.get(4..len)?;
        if kind == wanted {
            return Some(value);
        }
        bytes = bytes.get(len.next_multiple_of(4)..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_known_and_carries_nothing() {
        assert_eq!(interface_index("lo").unwrap(), 1);
        assert_eq!(attached(1).unwrap(), Attached::None);
        assert!(!carries_default_route("lo"));
        assert_eq!(receive_queues("lo"), 1);
        let error = interface_index("tg-none").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
    }

    #[test]
    fn what_goes_to_this_host_leaves_by_loopback_which_is_no_ethernet() {
        let route = route_to(Ipv4Addr::LOCALHOST).unwrap();
        assert_eq!((route.interface, route.source), (1, Ipv4Addr::LOCALHOST));
        assert_eq!(interface_name(1).unwrap(), "lo");
        assert!(!is_ethernet("lo"));
        assert!(!is_ethernet("tg-none"));
        let error = interface_name(1 << 30).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENXIO));
    }
}
