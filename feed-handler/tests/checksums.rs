//! Frames whose checksums are wrong, on AF_XDP: the kernel, which would drop them for its sockets, never sees them.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::net::{Ipv4Addr, SocketAddrV4};

use feed_handler::source::PacketSource;
use feed_handler::xdp::{self, Mode, Options, Rung, Wanted, Watch, XdpSource};
use protocol::frame::{Ethernet, FrameBuilder, Ipv4, multicast_mac};
use support::{Wire, own_network, xdp_options};

const GROUP: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(239, 77, 0, 1), 26_400);
/// Where the checksums stand in a frame without a tag.
const OF_IPV4: usize = Ethernet::LEN + 10;
const OF_UDP: usize = Ethernet::LEN + Ipv4::LEN + 6;

fn frame(payload: &[u8]) -> Vec<u8> {
    let builder = FrameBuilder {
        source_mac: [2, 0, 0, 0, 0, 1],
        destination_mac: multicast_mac(*GROUP.ip()),
        vlan: None,
        source: SocketAddrV4::new(Ipv4Addr::new(10, 77, 9, 9), 1),
        destination: GROUP,
        ttl: 1,
    };
    let mut frame = vec![0; builder.header_len() + payload.len()];
    builder.build(payload, &mut frame).expect("it fits");
    frame
}

/// Sends a frame as it is, this often, and says what the feed hears once the program has seen all.
fn pass(source: &mut XdpSource, watch: &Watch, frame: &[u8], times: u64) -> Vec<Vec<u8>> {
    let counted = || watch.program.verdicts().iter().sum::<u64>();
    let before = counted();
    Wire::FIRST.send_frames(frame, times);
    while counted() < before + times {
        std::thread::yield_now();
    }
    (0..100).for_each(|_| std::thread::yield_now());
    let mut heard = Vec::new();
    source.acquire();
    source.each(|packet| heard.push(packet.payload.to_vec()));
    source.release();
    heard
}

fn refuses_what_the_kernel_would(options: &Options) {
    let opened = xdp::open(options).expect("opens");
    let (mut source, watch) = opened.source.expect("AF_XDP");
    let counters = watch.queues[0].counters();
    assert_eq!(pass(&mut source, &watch, &frame(b"right"), 1), [b"right"]);
    let wrong = [
        (OF_IPV4, "IPv4 header"),
        (OF_UDP, "UDP"),
        (frame(b"right").len() - 1, "payload"),
    ];
    for (count, (at, what)) in (1..).zip(wrong) {
        let mut frame = frame(b"right");
        frame[at] ^= 0x10;
        assert!(pass(&mut source, &watch, &frame, 1).is_empty(), "{what}");
        assert_eq!(counters.checksum_wrong.get(), count, "{what}");
    }
    // A sender of UDP need not compute one.
    let mut without = frame(b"without");
    without[OF_UDP..OF_UDP + 2].fill(0);
    assert_eq!(pass(&mut source, &watch, &without, 1), [b"without"]);
    // A frame that is refused is given back: there are 1,024.
    let mut wrong = frame(b"wrong");
    wrong[OF_UDP] ^= 0x10;
    for _ in 0..75 {
        assert!(pass(&mut source, &watch, &wrong, 20).is_empty());
    }
    assert_eq!(pass(&mut source, &watch, &frame(b"again"), 1), [b"again"]);
    assert_eq!(counters.checksum_wrong.get(), 3 + 1_500);
    assert_eq!(counters.frames.get(), 3 + 3 + 1_500);
}

fn options() -> Options {
    let mut options = xdp_options(Wire::FIRST);
    options.wanted = vec![Wanted {
        address: GROUP,
        line: 0,
    }];
    options
}

#[test]
fn frame_with_a_wrong_checksum_is_counted_and_given_back_and_the_next_is_heard() {
    if own_network() {
        refuses_what_the_kernel_would(&options());
    }
}

#[test]
fn frame_with_a_wrong_checksum_is_refused_in_the_network_stack_too() {
    if own_network() {
        let mut options = options();
        options.mode = Mode::Generic;
        options.require = Rung::Generic;
        refuses_what_the_kernel_would(&options);
    }
}
