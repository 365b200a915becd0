//! A wire with somebody in its middle.
//!
//! ```text
//!  tg-near ══ tg-left ── this thread ── tg-right ══ tg-far
//! ```

use std::net::Ipv4Addr;

use nix::sched::{CloneFlags, unshare};

use super::hander::Middle;
use super::hander::{no_checksum_offload, packet_socket};
use super::{FAR, FAR_IP, Far, NEAR, NEAR_IP, away, ip, is_root, until_up};

/// As [`super::lay`], with somebody in the middle; faults come from the seed.
pub(crate) fn lay(seed: u64) -> Option<(Far, Middle)> {
    if !is_root() {
        return None;
    }
    let (far, there) = away();
    let (middle, between) = away();
    unshare(CloneFlags::CLONE_NEWNET).expect("a namespace");
    ip(&format!(
        "link add {NEAR} type veth peer name tg-left netns {between}"
    ));
    ip(&format!(
        "link add tg-right netns {between} type veth peer name {FAR} netns {there}"
    ));
    let up = |name: &'static str, address: Ipv4Addr| {
        // Whoever hands frames on hands on what stands in them: checksums whole, segments of one frame.
        no_checksum_offload(name);
        ip(&format!("addr add {address}/24 dev {name}"));
        ip(&format!("link set {name} up"));
    };
    ip("link set lo up");
    up(NEAR, NEAR_IP);
    far.run(move || up(FAR, FAR_IP));
    let sockets = middle.run(|| {
        ["tg-left", "tg-right"].map(|name| {
            ip(&format!("link set {name} up"));
            packet_socket(name)
        })
    });
    until_up(NEAR);
    Some((far, Middle::start(seed, sockets)))
}
