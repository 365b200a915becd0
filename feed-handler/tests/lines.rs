//! Both receivers on real interfaces: a packet says which line brought it.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

mod support;

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use feed_handler::source::PacketSource;
use feed_handler::udp::{UdpCounters, UdpLine, UdpOptions, UdpSource};
use feed_handler::xdp::{self, Wanted, XdpSource};
use support::{Wire, own_network, xdp_options};

/// A line as an operator configures it: where its packets come in, and their destination.
struct Line {
    wire: Wire,
    address: SocketAddrV4,
}

/// Two lines on each of two interfaces, in turns; the last has the first one's group.
const LINES: [Line; 4] = [
    line(Wire::FIRST, 1, 26_400),
    line(Wire::SECOND, 2, 26_400),
    line(Wire::FIRST, 1, 26_401),
    line(Wire::SECOND, 1, 26_400),
];

const fn line(wire: Wire, group: u8, port: u16) -> Line {
    let address = SocketAddrV4::new(Ipv4Addr::new(239, 77, 0, group), port);
    Line { wire, address }
}

/// Sends on each line its own number, the last line first, and gives what was heard: line and number.
fn send_and_hear(source: &mut impl PacketSource) -> Vec<(u8, Vec<u8>)> {
    for (number, line) in LINES.iter().enumerate().rev() {
        line.wire.send(line.address, &[number as u8]);
    }
    let mut heard = Vec::new();
    for _ in 0..10_000 {
        source.acquire();
        source.each(|packet| heard.push((packet.line, packet.payload.to_vec())));
        source.release();
        std::thread::yield_now();
    }
    heard.sort_unstable();
    heard
}

fn each_line_once() -> Vec<(u8, Vec<u8>)> {
    (0..4).map(|number| (number, vec![number])).collect()
}

#[test]
fn four_lines_on_two_interfaces_af_xdp_tells_which_line_brought_each_packet() {
    if !own_network() {
        return;
    }
    let mut all: Option<XdpSource> = None;
    let mut watches = Vec::new();
    for wire in [Wire::FIRST, Wire::SECOND] {
        let mut options = xdp_options(wire);
        let numbered = (0..).zip(&LINES).filter(|(_, line)| line.wire == wire);
        options.wanted = numbered
            .map(|(line, Line { address, .. })| Wanted {
                address: *address,
                line,
            })
            .collect();
        let (source, watch) = xdp::open(&options).expect("opens").source.expect("AF_XDP");
        watches.push(watch);
        match &mut all {
            Some(all) => all.append(source),
            None => all = Some(source),
        }
    }
    assert_eq!(send_and_hear(&mut all.expect("two")), each_line_once());
}

#[test]
fn four_lines_on_two_interfaces_kernel_sockets_tell_which_line_brought_each_packet() {
    if !own_network() {
        return;
    }
    let lines = LINES.iter().map(|line| UdpLine {
        address: line.address,
        interface: Some(line.wire.to.to_owned()),
    });
    let options = UdpOptions {
        lines: lines.collect(),
        receive_buffer_bytes: 1 << 20,
        busy_poll_us: 0,
        block_us: 0,
    };
    let mut source = UdpSource::open(&options, Arc::new(UdpCounters::default())).expect("opens");
    assert_eq!(send_and_hear(&mut source), each_line_once());
}
