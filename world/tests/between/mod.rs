//! Somebody in the middle of a laboratory's orders' way, who can lose, double, delay and damage what goes through.

#![allow(dead_code, reason = "each test file uses its part")]

#[path = "../../../gateway/tests/wire/hander.rs"]
mod hander;

use std::fs::File;

use lab::netns::{Lab, MIDDLE_LINKS, Side};
use nix::sched::{CloneFlags, setns};

pub(crate) use hander::Middle;

/// Each end computes checksums itself, whole, so that they hold wherever its frames are looked at.
pub(crate) fn compute_checksums(lab: &Lab) {
    for side in [Side::Gateway, Side::Exchange] {
        within(lab.name(side), || hander::no_checksum_offload("order0"));
    }
}

/// Does something in a namespace; a socket that is made there stays there.
pub(crate) fn within<T: Send>(namespace: &str, errand: impl FnOnce() -> T + Send) -> T {
    let errand = || {
        let file = File::open(format!("/run/netns/{namespace}")).expect("it is there");
        setns(file, CloneFlags::CLONE_NEWNET).expect("root");
        errand()
    };
    std::thread::scope(|scope| scope.spawn(errand).join().expect("it held"))
}

/// Hands on between both ends of the orders' way; nothing happens to anything yet.
pub(crate) fn hand_on(lab: &Lab, seed: u64) -> Middle {
    compute_checksums(lab);
    let middle = lab.middle().expect("a lab with a middle");
    let sockets = within(middle, || MIDDLE_LINKS.map(hander::packet_socket));
    Middle::start(seed, sockets)
}
