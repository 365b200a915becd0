//! What a driver says that its XDP can: the generic netlink family `netdev` (Linux 6.3).

use std::io;
use std::os::fd::AsRawFd;

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket,
};

/// AF_XDP sockets share their memory with the card (`NETDEV_XDP_ACT_XSK_ZEROCOPY`).
pub(crate) const ZERO_COPY: u64 = 1 << 3;

/// The controller's family and its question for a family's number by name.
const CONTROLLER: u16 = 0x10;
const GET_FAMILY: u8 = 3;
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;
/// `NETDEV_CMD_DEV_GET`, and two of its attributes.
const DEVICE_GET: u8 = 1;
const DEVICE_INDEX: u16 = 1;
const DEVICE_XDP_FEATURES: u16 = 3;
/// Message header, generic header.
const HEADERS: usize = 16 + 4;

/// The XDP features of an interface's driver, a bit each.
///
/// # Errors
/// `ENOENT`: a kernel before 6.3. `EPROTO`: an answer without them.
pub(crate) fn xdp_features(index: u32) -> io::Result<u64> {
    let reply = ask(CONTROLLER, GET_FAMILY, FAMILY_NAME, b"netdev\0")?;
    let family = attribute(&reply, FAMILY_ID).and_then(|value| value.try_into().ok());
    let family = u16::from_ne_bytes(family.ok_or_else(unreadable)?);
    let reply = ask(family, DEVICE_GET, DEVICE_INDEX, &index.to_ne_bytes())?;
    let features = attribute(&reply, DEVICE_XDP_FEATURES).and_then(|value| value.try_into().ok());
    Ok(u64::from_ne_bytes(features.ok_or_else(unreadable)?))
}

fn unreadable() -> io::Error {
    io::Error::from_raw_os_error(libc::EPROTO)
}

/// Sends a question with one attribute, and returns the attributes of the answer.
fn ask(family: u16, command: u8, kind: u16, value: &[u8]) -> io::Result<Vec<u8>> {
    let netlink = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkGeneric,
    )?;
    let attribute_bytes = 4 + value.len();
    let message_bytes = HEADERS + attribute_bytes.next_multiple_of(4);
    let mut request = Vec::with_capacity(message_bytes);
    request.extend(u32::try_from(message_bytes).unwrap_or(0).to_ne_bytes());
    request.extend(family.to_ne_bytes());
    request.extend(1u16.to_ne_bytes()); // NLM_F_REQUEST
    request.extend([0; 8]); // sequence, port
    request.extend([command, 1, 0, 0]); // version 1
    request.extend(u16::try_from(attribute_bytes).unwrap_or(0).to_ne_bytes());
    request.extend(kind.to_ne_bytes());
    request.extend(value);
    request.resize(message_bytes, 0);
    send(netlink.as_raw_fd(), &request, MsgFlags::empty())?;
    let mut reply = vec![0u8; 16 * 1024];
    let got = recv(netlink.as_raw_fd(), &mut reply, MsgFlags::empty())?;
    reply.truncate(got);
    let kind = reply.get(4..6).and_then(|kind| kind.try_into().ok());
    let is_error = u16::from_ne_bytes(kind.ok_or_else(unreadable)?) == 2; // NLMSG_ERROR
    if is_error {
        let code = reply.get(16..20).and_then(|code| code.try_into().ok());
        let code = i32::from_ne_bytes(code.ok_or_else(unreadable)?);
        return Err(io::Error::from_raw_os_error(-code));
    }
    Ok(reply.split_off(HEADERS.min(reply.len())))
}

/// Finds an attribute among `len (2) kind (2) value` records aligned to 4.
fn attribute(mut bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    while let Some(([a, b, c, d], _)) = bytes.split_first_chunk::<4>() {
        let len = usize::from(u16::from_ne_bytes([*a, *b]));
        let value = bytes.get(4..len)?;
        if u16::from_ne_bytes([*c, *d]) & 0x3FFF == wanted {
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
    fn features_of_loopback_are_told_or_the_kernel_is_too_old() {
        match xdp_features(1) {
            Ok(features) => assert_eq!(features & ZERO_COPY, 0),
            Err(error) => assert_eq!(error.raw_os_error(), Some(libc::ENOENT)),
        }
        let error = xdp_features(u32::MAX).unwrap_err();
        assert!(error.raw_os_error().is_some(), "{error}");
    }

    #[test]
    fn attribute_that_is_cut_off_is_none() {
        let whole = [8u8, 0, 3, 0, 1, 2, 3, 4];
        assert_eq!(attribute(&whole, 3), Some(&[1u8, 2, 3, 4][..]));
        assert_eq!(attribute(&whole, 2), None);
        assert_eq!(attribute(whole.get(..6).unwrap(), 3), None);
        assert_eq!(attribute(&[0, 0, 3, 0], 3), None);
    }
}
