//! Frames as AF_XDP hands them over: any bytes, and right frames in which bytes turn.
//!
//! Judged by sums that are taken word by word, as RFC 1071 describes them.

use std::net::{Ipv4Addr, SocketAddrV4};

use protocol::frame::{Datagram, FrameBuilder, NotUdp, multicast_mac};

use crate::input::Input;
use crate::seeds;

/// The longest frame that is built.
const FRAME_BYTES_MAX: usize = 2048;

/// Where the IPv4 header of a frame begins.
fn ipv4_at(frame: &[u8]) -> usize {
    let mut at = 14;
    while at < 22 && matches!(frame[at - 2..at], [0x81, 0] | [0x88, 0xA8]) {
        at += 4;
    }
    at
}

/// The one's complement sum of these bytes on top of another.
fn sum(start: u32, bytes: &[u8]) -> u32 {
    let mut sum = start;
    for word in bytes.chunks(2) {
        sum += u32::from(word[0]) << 8 | u32::from(word.get(1).copied().unwrap_or(0));
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    sum
}

/// Whether the checksums fit; of a frame that was parsed.
fn fits(frame: &[u8]) -> bool {
    let ip = &frame[ipv4_at(frame)..];
    let (ip, udp) = ip.split_at(usize::from(ip[0] & 0x0F) * 4);
    let len = u16::from_be_bytes([udp[4], udp[5]]);
    let udp = &udp[..usize::from(len)];
    let pseudo = sum(sum(17, &len.to_be_bytes()), &ip[12..20]);
    let said = u32::from(udp[6]) << 8 | u32::from(udp[7]);
    let udp_fits = said == 0 || sum(pseudo, udp) == 0xFFFF || said == pseudo;
    sum(0, ip) == 0xFFFF && udp_fits
}

fn look(frame: &[u8]) {
    let parsed = Datagram::parse(frame);
    let whole = Datagram::parse_whole(frame);
    let Ok(datagram) = parsed else {
        assert_eq!(whole, parsed);
        return;
    };
    let expected = if fits(frame) {
        Ok(datagram)
    } else {
        Err(NotUdp::Checksum)
    };
    assert_eq!(whole, expected);
    assert!(
        frame.as_ptr_range().contains(&datagram.payload.as_ptr()) || datagram.payload.is_empty()
    );
    assert!(datagram.payload.len() + 42 <= frame.len());
    // The same packet without the frame around it.
    let at = ipv4_at(frame);
    let bare = Datagram::parse_ipv4(&frame[at..]).expect("what was in a frame");
    assert_eq!(
        (bare.payload, bare.source),
        (datagram.payload, datagram.source)
    );
    // What lies behind the packet, as a card pads short frames, says nothing.
    let mut longer = frame.to_vec();
    longer.extend_from_slice(&[0xA5; 7]);
    assert_eq!(
        Datagram::parse(&longer).map(|it| it.payload.to_vec()),
        Ok(datagram.payload.to_vec())
    );
}

/// One input.
pub(crate) fn run(data: &[u8]) {
    look(data);
    let mut input = Input(data);
    let [tag, turns] = [0; 2].map(|_: u8| input.byte());
    let places: Vec<_> = (0..turns % 8)
        .map(|_| [input.number(), input.number()])
        .collect();
    let destination = Ipv4Addr::new(239, 1, tag, 1);
    let builder = FrameBuilder {
        source_mac: [2, 0, 0, 0, 0, 1],
        destination_mac: multicast_mac(destination),
        vlan: (tag & 1 == 1).then_some(u16::from(tag) << 4),
        source: SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, tag), 1000 + u16::from(tag)),
        destination: SocketAddrV4::new(destination, 26_400),
        ttl: 1,
    };
    let mut frame = vec![0; FRAME_BYTES_MAX];
    let room = FRAME_BYTES_MAX - builder.header_len();
    let payload = input.slice(room);
    let len = builder.build(payload, &mut frame).expect("room");
    frame.truncate(len);
    let datagram = Datagram::parse_whole(&frame).expect("a right frame");
    assert_eq!(datagram.payload, payload);
    assert_eq!(
        (datagram.source, datagram.destination),
        (builder.source, builder.destination)
    );
    assert_eq!(datagram.vlan, builder.vlan.map(|vlan| vlan & 0x0FFF));
    for [at, to] in places {
        let at = at % frame.len();
        frame[at] = to.to_be_bytes()[7];
        look(&frame);
    }
    frame.truncate(frame.len().saturating_sub(usize::from(turns >> 3)));
    look(&frame);
}

/// What to begin with.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![
        vec![],
        vec![1, 0, b'x'],
        vec![0, 3, 0, 14, 0, 0x46, 0, 20, 0, 1, 0, 40, 0, 9, b'x'],
    ];
    seeds.extend(seeds::frames());
    seeds
}
