//! Messages, packets and frames to begin with, by the code's own encoders.

use std::net::{Ipv4Addr, SocketAddrV4};

use protocol::frame::{FrameBuilder, multicast_mac};
use protocol::iex_tp::{self, PROTOCOL_DEEP_PLUS, Place};
use protocol::itch::{
    self, AddOrder, Head, OrderDelete, OrderExecuted, OrderReplace, StockDirectory,
};
use protocol::types::{MatchNumber, Nanos, OrderRef, Price4, Qty, Seq, Symbol};
use protocol::{deep_plus, mold};
use zerocopy::IntoBytes;

const STOCK: Symbol = Symbol(*b"ALC     ");

/// An order's short life, and one message of each other type.
pub(crate) fn itch_messages() -> Vec<Vec<u8>> {
    let head = |kind| Head::new(kind, 1, Nanos(1));
    let order = OrderRef(7).into();
    let (shares, price) = (Qty(100).into(), Price4(1_000_000).into());
    let mut messages = vec![
        StockDirectory::common_stock(head(b'R'), STOCK)
            .as_bytes()
            .to_vec(),
        AddOrder {
            head: head(b'A'),
            order,
            side: b'B',
            shares,
            stock: STOCK,
            price,
        }
        .as_bytes()
        .to_vec(),
        OrderExecuted {
            head: head(b'E'),
            order,
            shares: Qty(40).into(),
            match_number: MatchNumber(1).into(),
        }
        .as_bytes()
        .to_vec(),
        OrderReplace {
            head: head(b'U'),
            old_order: order,
            new_order: OrderRef(8).into(),
            shares,
            price,
        }
        .as_bytes()
        .to_vec(),
        OrderDelete {
            head: head(b'D'),
            order: OrderRef(8).into(),
        }
        .as_bytes()
        .to_vec(),
    ];
    messages.extend(of_each_type(itch::KINDS, itch::len_of));
    messages
}

/// Messages whose fields are all 0.
fn of_each_type(kinds: &[u8], len_of: fn(u8) -> Option<usize>) -> impl Iterator<Item = Vec<u8>> {
    kinds.iter().map(move |kind| {
        let mut message = vec![0; len_of(*kind).expect("a type's length")];
        message[0] = *kind;
        message
    })
}

/// A packet of all of them, a heartbeat, the end.
pub(crate) fn itch_packets() -> Vec<Vec<u8>> {
    let mut buffer = [0; 2048];
    let mut begin = |messages: &[Vec<u8>], is_end: bool| {
        let mut builder =
            mold::PacketBuilder::new(&mut buffer, *b"SESSION000", Seq(1)).expect("room");
        for message in messages {
            assert!(builder.push(message));
        }
        if is_end {
            builder.finish_end_of_session().to_vec()
        } else {
            builder.finish().to_vec()
        }
    };
    let messages = itch_messages();
    vec![
        begin(&messages, false),
        begin(&messages[..3], false),
        begin(&[], false),
        begin(&[], true),
    ]
}

/// Segments with a message of each type, and a heartbeat.
pub(crate) fn iex_segments() -> Vec<Vec<u8>> {
    let place = Place {
        session: iex_tp::Session {
            channel: 1,
            session: 7,
        },
        protocol: PROTOCOL_DEEP_PLUS,
        seq: Seq(1),
        offset: 0,
        sent: Nanos(1),
    };
    let mut segments = Vec::new();
    for is_empty in [false, true] {
        let mut buffer = [0; 2048];
        let mut builder = iex_tp::PacketBuilder::new(&mut buffer, place).expect("room");
        for message in of_each_type(deep_plus::KINDS, deep_plus::len_of).filter(|_| !is_empty) {
            assert!(builder.push(&message));
        }
        segments.push(builder.finish().to_vec());
    }
    segments
}

/// A frame around a packet.
pub(crate) fn frame(vlan: Option<u16>, payload: &[u8]) -> Vec<u8> {
    let group = Ipv4Addr::new(239, 1, 1, 1);
    let builder = FrameBuilder {
        source_mac: [2, 0, 0, 0, 0, 1],
        destination_mac: multicast_mac(group),
        vlan,
        source: SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 1), 1000),
        destination: SocketAddrV4::new(group, 26_400),
        ttl: 1,
    };
    let mut out = vec![0; builder.header_len() + payload.len()];
    builder.build(payload, &mut out).expect("room");
    out
}

/// Frames around those packets, tagged and not.
pub(crate) fn frames() -> Vec<Vec<u8>> {
    let packets = itch_packets();
    packets
        .iter()
        .skip(1)
        .flat_map(|packet| [frame(None, packet), frame(Some(7), packet)])
        .collect()
}
