//! What of the kernel has no file: ethtool's answers and settings, swap areas, whether an AF_XDP socket can be made.
//!
//! Each ethtool structure is its words: a command, and 32-bit numbers behind it, as `linux/ethtool.h` has them.

#![allow(unsafe_code, reason = "ioctl, socket, swapon and swapoff system calls")]

use std::ffi::CString;
use std::io;
use std::mem::zeroed;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::{Coalescing, Queues, RingSizes};

const SIOCETHTOOL: libc::c_ulong = 0x8946;
const GET_DRIVER: u32 = 0x03;
const GET_COALESCING: u32 = 0x0E;
const SET_COALESCING: u32 = 0x0F;
const GET_RINGS: u32 = 0x10;
const GET_FLAGS: u32 = 0x25;
const SET_FLAGS: u32 = 0x26;
const GET_GRO: u32 = 0x2B;
const SET_GRO: u32 = 0x2C;
const GET_RULE_COUNT: u32 = 0x2E;
const GET_CHANNELS: u32 = 0x3C;
/// A priority goes with the flags (`linux/swap.h`).
const SWAP_FLAG_PREFER: i32 = 0x8000;
/// Large receive offload, in the word of the older flags.
const FLAG_LRO: u32 = 1 << 15;

/// Whether an AF_XDP socket can be made.
///
/// # Errors
/// `EAFNOSUPPORT`: a kernel without `CONFIG_XDP_SOCKETS`. `EPERM`: `CAP_NET_RAW` is missing.
pub(crate) fn af_xdp() -> io::Result<()> {
    socket(libc::AF_XDP, libc::SOCK_RAW).map(drop)
}

/// The name of the driver (`struct ethtool_drvinfo`: name behind the command, 32 bytes).
pub(crate) fn driver(interface: &str) -> io::Result<String> {
    let mut words = [0; 49];
    ask(interface, GET_DRIVER, &mut words)?;
    let bytes = words
        .iter()
        .skip(1)
        .take(8)
        .flat_map(|word| word.to_ne_bytes());
    let name: Vec<u8> = bytes.take_while(|byte| *byte != 0).collect();
    Ok(String::from_utf8_lossy(&name).into_owned())
}

/// Receive queues (`struct ethtool_channels`).
pub(crate) fn queues(interface: &str) -> io::Result<Queues> {
    let mut words = [0; 9];
    ask(interface, GET_CHANNELS, &mut words)?;
    let [_, rx_max, _, _, combined_max, rx, _, _, combined] = words;
    Ok(Queues {
        used: rx + combined,
        max: rx_max + combined_max,
    })
}

/// Descriptor rings (`struct ethtool_ringparam`).
pub(crate) fn rings(interface: &str) -> io::Result<RingSizes> {
    let mut words = [0; 9];
    ask(interface, GET_RINGS, &mut words)?;
    let [_, rx_max, _, _, tx_max, rx, _, _, tx] = words;
    Ok(RingSizes {
        rx,
        rx_max,
        tx,
        tx_max,
    })
}

/// How long interrupts are held back (`struct ethtool_coalesce`).
pub(crate) fn coalescing(interface: &str) -> io::Result<Coalescing> {
    let mut words = [0; 23];
    ask(interface, GET_COALESCING, &mut words)?;
    let [
        _,
        rx_us,
        _,
        _,
        _,
        tx_us,
        _,
        _,
        _,
        _,
        adaptive_rx,
        adaptive_tx,
        ..,
    ] = words;
    Ok(Coalescing {
        rx_us,
        tx_us,
        is_adaptive_rx: adaptive_rx != 0,
        is_adaptive_tx: adaptive_tx != 0,
    })
}

/// Large receive offload.
pub(crate) fn lro(interface: &str) -> io::Result<bool> {
    let mut words = [0; 2];
    ask(interface, GET_FLAGS, &mut words)?;
    let [_, flags] = words;
    Ok(flags & FLAG_LRO != 0)
}

/// Generic receive offload.
pub(crate) fn gro(interface: &str) -> io::Result<bool> {
    let mut words = [0; 2];
    ask(interface, GET_GRO, &mut words)?;
    let [_, is_on] = words;
    Ok(is_on != 0)
}

/// Sets how long interrupts are held back; what else the structure has stays.
pub(crate) fn set_coalescing(interface: &str, to: Coalescing) -> io::Result<()> {
    let mut words = [0; 23];
    ask(interface, GET_COALESCING, &mut words)?;
    let [
        _,
        rx_us,
        _,
        _,
        _,
        tx_us,
        _,
        _,
        _,
        _,
        adaptive_rx,
        adaptive_tx,
        ..,
    ] = &mut words;
    (*rx_us, *tx_us) = (to.rx_us, to.tx_us);
    *adaptive_rx = u32::from(to.is_adaptive_rx);
    *adaptive_tx = u32::from(to.is_adaptive_tx);
    ask(interface, SET_COALESCING, &mut words)
}

/// Sets large receive offload.
pub(crate) fn set_lro(interface: &str, is_on: bool) -> io::Result<()> {
    let mut words = [0; 2];
    ask(interface, GET_FLAGS, &mut words)?;
    let [_, flags] = &mut words;
    *flags = (*flags & !FLAG_LRO) | if is_on { FLAG_LRO } else { 0 };
    ask(interface, SET_FLAGS, &mut words)
}

/// Sets generic receive offload.
pub(crate) fn set_gro(interface: &str, is_on: bool) -> io::Result<()> {
    ask(interface, SET_GRO, &mut [0, u32::from(is_on)])
}

/// Takes a swap area out of use; the kernel reads back what is there.
///
/// # Errors
/// `ENOMEM`: it does not fit. `EPERM`: `CAP_SYS_ADMIN` is missing.
pub(crate) fn swap_off(device: &str) -> io::Result<()> {
    let device = CString::new(device)?;
    // SAFETY: a valid C string.
    done(unsafe { libc::swapoff(device.as_ptr()) })
}

/// Takes a swap area into use; a priority below zero is the kernel's to choose.
///
/// # Errors
/// `EINVAL`: it is none. `EBUSY`: it is in use.
pub(crate) fn swap_on(device: &str, priority: Option<i32>) -> io::Result<()> {
    let device = CString::new(device)?;
    let chosen = priority.filter(|priority| *priority >= 0);
    let flags = chosen.map_or(0, |priority| SWAP_FLAG_PREFER | priority);
    // SAFETY: a valid C string and flags.
    done(unsafe { libc::swapon(device.as_ptr(), flags) })
}

/// Rules that steer flows to queues (`struct ethtool_rxnfc`: 192 bytes, the count 8 before the end).
pub(crate) fn steering_rules(interface: &str) -> io::Result<u32> {
    let mut words = [0; 48];
    ask(interface, GET_RULE_COUNT, &mut words)?;
    let [.., count, _] = words;
    Ok(count)
}

/// Asks the driver of an interface; the answer takes the place of the question.
///
/// # Errors
/// `ENODEV`: no such interface. `EOPNOTSUPP`: the driver has no answer.
fn ask<const N: usize>(interface: &str, command: u32, words: &mut [u32; N]) -> io::Result<()> {
    if let Some(first) = words.first_mut() {
        *first = command;
    }
    // SAFETY: an all-zero request is valid.
    let mut request: libc::ifreq = unsafe { zeroed() };
    let name = request.ifr_name.iter_mut().take(libc::IFNAMSIZ - 1);
    for (to, from) in name.zip(interface.bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    request.ifr_ifru.ifru_data = words.as_mut_ptr().cast();
    let socket = socket(libc::AF_INET, libc::SOCK_DGRAM)?;
    // SAFETY: the words are as many as the command's structure has (callers in this file), alive and ours.
    done(unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL as _, &raw mut request) })
}

fn done(result: libc::c_int) -> io::Result<()> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn socket(domain: libc::c_int, kind: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: takes plain numbers.
    let fd = unsafe { libc::socket(domain, kind | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a fresh descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_answers_what_it_can() {
        assert!(gro("lo").is_ok());
        assert!(!lro("lo").unwrap());
        let error = rings("lo").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EOPNOTSUPP));
        let error = driver("tg-none").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
    }
}
