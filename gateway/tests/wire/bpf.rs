//! The hand of an operator, or of another program, on what the kernel holds: a link taken off, a word of a map changed.

#![allow(unsafe_code, reason = "bpf(2)")]
#![allow(dead_code, reason = "each test file uses its part")]

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use aya::programs::tc::TcAttachType;
use aya::programs::{ProgramInfo, SchedClassifier};

use super::{NEAR, said_by_ip};

const MAP_LOOKUP_ELEM: libc::c_int = 1;
const MAP_UPDATE_ELEM: libc::c_int = 2;
const MAP_GET_NEXT_ID: libc::c_int = 12;
const MAP_GET_FD_BY_ID: libc::c_int = 14;
const PROG_GET_FD_BY_ID: libc::c_int = 13;
const OBJ_GET_INFO_BY_FD: libc::c_int = 15;
const LINK_GET_FD_BY_ID: libc::c_int = 30;
const LINK_GET_NEXT_ID: libc::c_int = 31;
const LINK_DETACH: libc::c_int = 34;

/// `union bpf_attr` as far as a command has it, in words.
fn bpf<const WORDS: usize>(command: libc::c_int, attributes: &mut [u32; WORDS]) -> Option<i32> {
    let bytes = size_of_val(attributes);
    // SAFETY: the attributes live across the call, and their size is given.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attributes.as_mut_ptr(), bytes) };
    i32::try_from(result).ok().filter(|result| *result >= 0)
}

/// Every number of a kind of thing.
fn ids(next: libc::c_int) -> Vec<u32> {
    let mut ids = Vec::new();
    let mut attributes = [0; 4];
    while bpf(next, &mut attributes).is_some() {
        ids.push(attributes[1]);
        attributes = [attributes[1], 0, 0, 0];
    }
    ids
}

fn open(by_id: libc::c_int, id: u32) -> Option<OwnedFd> {
    let fd = bpf(by_id, &mut [id, 0, 0, 0])?;
    // SAFETY: a fresh descriptor that nobody else owns.
    Some(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// What the kernel says of it, in words.
fn info(fd: &OwnedFd) -> Option<[u32; 32]> {
    let mut words = [0u32; 32];
    let fd = u32::try_from(fd.as_raw_fd()).ok()?;
    let bytes = u32::try_from(size_of_val(&words)).ok()?;
    let [low, high] = address(&mut words);
    bpf(OBJ_GET_INFO_BY_FD, &mut [fd, bytes, low, high])?;
    Some(words)
}

/// Where words lie, in two of them.
fn address(words: &mut [u32]) -> [u32; 2] {
    let at = words.as_mut_ptr().expose_provenance() as u64;
    let [a, b, c, d, e, f, g, h] = at.to_ne_bytes();
    [
        u32::from_ne_bytes([a, b, c, d]),
        u32::from_ne_bytes([e, f, g, h]),
    ]
}

/// Changes the words of a lane's row: that of the connection to this port. Nothing may be on its way; `change` says whether
/// that is so, and else they stay as they are.
pub(crate) fn change_lane(port: u16, change: impl Fn(&mut [u32]) -> bool) -> bool {
    let (mut found, mut is_changed) = (0, false);
    for id in ids(MAP_GET_NEXT_ID) {
        let Some(map) = open(MAP_GET_FD_BY_ID, id) else {
            continue;
        };
        // Kind, number, bytes of a key and of a value, how many, flags, name.
        let Some(about) = info(&map).filter(|it| is_named(it, 6, "lanes")) else {
            continue;
        };
        let fd = u32::try_from(map.as_raw_fd()).expect("small");
        let mut key = [0; 1];
        let mut row = vec![0; about[3].div_ceil(4) as usize];
        let [key_low, key_high] = address(&mut key);
        let [low, high] = address(&mut row);
        let mut attributes = [fd, 0, key_low, key_high, low, high, 0, 0];
        bpf(MAP_LOOKUP_ELEM, &mut attributes).expect("root");
        // Mode, addresses, ports: ours, and the exchange's as on the wire.
        let [_, _, a, b] = row[3].to_ne_bytes();
        if u16::from_be_bytes([a, b]) == port {
            is_changed = change(&mut row);
            if is_changed {
                bpf(MAP_UPDATE_ELEM, &mut attributes).expect("root");
            }
            found += 1;
        }
    }
    assert_eq!(found, 1, "one lane to port {port}");
    is_changed
}

/// The words of the row of the connection to this port.
pub(crate) fn lane(port: u16) -> Vec<u32> {
    let words = std::cell::RefCell::new(Vec::new());
    change_lane(port, |row| {
        row.clone_into(&mut words.borrow_mut());
        false
    });
    words.into_inner()
}

fn is_named(words: &[u32; 32], first_word: usize, name: &str) -> bool {
    let words = words[first_word..].iter().take(4);
    let bytes: Vec<u8> = words.flat_map(|word| word.to_ne_bytes()).collect();
    bytes.split(|byte| *byte == 0).next() == Some(name.as_bytes())
}

/// Numbers of the programs that are on our end of the wire. An interface has its number in each namespace anew, and other
/// tests have theirs.
fn on_our_end() -> Vec<u32> {
    let leave = SchedClassifier::query_tcx(NEAR, TcAttachType::Egress).expect("the kernel says");
    let said = said_by_ip(&format!("-d link show {NEAR}"));
    let arrive = said.split("prog/xdp id ").nth(1);
    let arrive = arrive.and_then(|rest| rest.split(' ').next()?.parse().ok());
    let leave = leave.1.iter().map(ProgramInfo::id);
    leave.chain(arrive).collect()
}

/// Takes a program off an interface, as `bpftool link detach` does.
pub(crate) fn take_off(program: &str, interface: u32) {
    let mut taken = 0;
    let ours = on_our_end();
    for id in ids(LINK_GET_NEXT_ID) {
        let Some(link) = open(LINK_GET_FD_BY_ID, id) else {
            continue;
        };
        // Kind, number, program, a hole, and for what is on an interface, which one.
        let Some(words) = info(&link) else { continue };
        let of = open(PROG_GET_FD_BY_ID, words[2]);
        // A program's name stands behind 64 bytes.
        let is_it = of
            .and_then(|of| info(&of))
            .is_some_and(|it| is_named(&it, 16, program));
        if is_it && words[4] == interface && ours.contains(&words[2]) {
            let fd = u32::try_from(link.as_raw_fd()).expect("small");
            bpf(LINK_DETACH, &mut [fd, 0, 0, 0]).expect("root");
            taken += 1;
        }
    }
    assert_eq!(taken, 1, "{program} on interface {interface}");
}
