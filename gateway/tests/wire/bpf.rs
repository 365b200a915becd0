//! The hand of an operator, or of another program, on what the kernel holds: a link taken off.

#![allow(unsafe_code, reason = "bpf(2)")]
#![allow(dead_code, reason = "each test file uses its part")]

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

const PROG_GET_FD_BY_ID: libc::c_int = 13;
const OBJ_GET_INFO_BY_FD: libc::c_int = 15;
const LINK_GET_FD_BY_ID: libc::c_int = 30;
const LINK_GET_NEXT_ID: libc::c_int = 31;
const LINK_DETACH: libc::c_int = 34;

/// `union bpf_attr` of these commands: four words.
type Attributes = [u32; 4];

fn bpf(command: libc::c_int, attributes: &mut Attributes) -> Option<i32> {
    let bytes = size_of::<Attributes>();
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
    let at = words.as_mut_ptr().expose_provenance() as u64;
    let bytes = u32::try_from(size_of_val(&words)).ok()?;
    let at = at.to_ne_bytes();
    let half =
        |from: usize| u32::from_ne_bytes([at[from], at[from + 1], at[from + 2], at[from + 3]]);
    bpf(OBJ_GET_INFO_BY_FD, &mut [fd, bytes, half(0), half(4)])?;
    Some(words)
}

fn is_named(words: &[u32; 32], first_word: usize, name: &str) -> bool {
    let words = words[first_word..].iter().take(4);
    let bytes: Vec<u8> = words.flat_map(|word| word.to_ne_bytes()).collect();
    bytes.split(|byte| *byte == 0).next() == Some(name.as_bytes())
}

/// Takes a program off an interface, as `bpftool link detach` does.
pub(crate) fn take_off(program: &str, interface: u32) {
    let mut taken = 0;
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
        if is_it && words[4] == interface {
            let fd = u32::try_from(link.as_raw_fd()).expect("small");
            bpf(LINK_DETACH, &mut [fd, 0, 0, 0]).expect("root");
            taken += 1;
        }
    }
    assert_eq!(taken, 1, "{program} on interface {interface}");
}
