//! Real packets of IEX: they decode to the right fields, read by hand, and encode to the same bytes.
//!
//! They were on the wire of IEX's DEEP+ on 1 October 2024, and are in the public collection
//! Open-Markets-Initiative/omi-data-packets; what they say was read by hand from the tables of the
//! specification. The whole capture lies beside the project, and its test says when it does not.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod support;

use std::collections::BTreeMap;

use protocol::deep_plus::{FLAG_EXTENDED_HOURS, FLAG_KEEPS_PRIORITY, Message};
use protocol::frame::Datagram;
use protocol::iex_tp::{Kind, PROTOCOL_DEEP_PLUS, Packet, PacketBuilder, Place, Session};
use protocol::types::{MatchNumber, Nanos, OrderRef, Qty, Seq, Side, SignedPrice4};
use support::{bytes, capture};

/// A segment with one Add Order.
const SEGMENT: &str = "01 00 0580 01000000 00001d4e 2800 0100 cd490f0000000000 2eb8000000000000 \
    db289e166155fa17 2600 61 35 1e7711156155fa17 49424b5220202020 0a00000000006300 64000000 \
    08d4140000000000";
const MODIFY: &str =
    "4d 00 ce8b8436a455fa17 49424b5220202020 ae00000000006300 c8000000 841b150000000000";
const DELETE: &str = "52 20 4a97fec26155fa17 49424b5220202020 0a00000000006300";
const EXECUTED: &str = "4c 40 9c378e7c6855fa17 49424b5220202020 0d00000000006300 64000000 \
    a00e150000000000 1800000000006300";
const TRADE: &str =
    "54 40 ecfd4fba8a55fa17 49424b5220202020 64000000 74f4140000000000 9000000000006300";
const BREAK: &str =
    "42 00 2728e4dd2858fa17 5443462020202020 64000000 7070060000000000 ee01000000006300";
const DIRECTORY: &str = "44 80 ec9cc97bba45fa17 5a45584954202020 64000000 a086010000000000 01";
const SYSTEM: &str = "53 4f 653658deb745fa17";

#[test]
fn real_segment_says_what_was_read_by_hand() {
    let segment = bytes(SEGMENT);
    let packet = Packet::decode(&segment).expect("IEX-TP");
    let session = Session {
        channel: 1,
        session: 0x4e1d_0000,
    };
    assert_eq!((packet.session(), packet.seq()), (session, Seq(47_150)));
    let header = packet.header;
    assert_eq!(header.protocol.get(), PROTOCOL_DEEP_PLUS);
    assert_eq!(
        (header.payload_len.get(), header.offset.get()),
        (40, 1_001_933)
    );
    assert_eq!(header.sent.get(), Nanos(1_727_787_282_529_659_099));
    assert_eq!(packet.kind(), Kind::Data(1));
    let message = packet.blocks().next().expect("one");
    let Ok(Message::AddOrder(add)) = Message::decode(message) else {
        panic!("an add");
    };
    assert_eq!(add.timestamp.get(), Nanos(1_727_787_282_503_661_342));
    assert_eq!(
        (add.symbol.as_str(), add.side_of_code()),
        ("IBKR", Some(Side::Sell))
    );
    assert_eq!(add.order.get(), OrderRef(0x63_0000_0000_000a));
    assert_eq!(
        (add.size.get(), add.price.get()),
        (Qty(100), SignedPrice4(1_365_000))
    );
}

#[test]
fn real_messages_say_what_was_read_by_hand() {
    let modify = bytes(MODIFY);
    let Ok(Message::OrderModify(modify)) = Message::decode(&modify) else {
        panic!("a change");
    };
    assert_eq!(modify.order.get(), OrderRef(0x63_0000_0000_00ae));
    assert_eq!(
        (modify.size.get(), modify.price.get()),
        (Qty(200), SignedPrice4(1_383_300))
    );
    assert_eq!(modify.flags & FLAG_KEEPS_PRIORITY, 0);

    let delete = bytes(DELETE);
    let Ok(Message::OrderDelete(delete)) = Message::decode(&delete) else {
        panic!("a delete");
    };
    assert_eq!(delete.order.get(), OrderRef(0x63_0000_0000_000a));
    assert_eq!(delete.timestamp.get(), Nanos(1_727_787_285_421_659_978));

    let executed = bytes(EXECUTED);
    let Ok(Message::OrderExecuted(executed)) = Message::decode(&executed) else {
        panic!("an execution");
    };
    assert_eq!(executed.order.get(), OrderRef(0x63_0000_0000_000d));
    assert_eq!(
        (executed.size.get(), executed.price.get()),
        (Qty(100), SignedPrice4(1_380_000))
    );
    assert_eq!(executed.trade.get(), MatchNumber(0x63_0000_0000_0018));
    assert_eq!(executed.flags, FLAG_EXTENDED_HOURS);

    let trade = bytes(TRADE);
    let Ok(Message::Trade(trade)) = Message::decode(&trade) else {
        panic!("a trade");
    };
    assert_eq!(
        (trade.size.get(), trade.price.get()),
        (Qty(100), SignedPrice4(1_373_300))
    );
    assert_eq!(trade.trade.get(), MatchNumber(0x63_0000_0000_0090));

    let broken = bytes(BREAK);
    let Ok(Message::TradeBreak(broken)) = Message::decode(&broken) else {
        panic!("a broken trade");
    };
    assert_eq!(
        (broken.symbol.as_str(), broken.price.get()),
        ("TCF", SignedPrice4(422_000))
    );
    assert_eq!(broken.trade.get(), MatchNumber(0x63_0000_0000_01ee));

    let directory = bytes(DIRECTORY);
    let Ok(Message::SecurityDirectory(directory)) = Message::decode(&directory) else {
        panic!("a directory entry");
    };
    assert_eq!(
        (directory.symbol.as_str(), directory.flags),
        ("ZEXIT", 0x80)
    );
    assert_eq!(directory.round_lot_size.get(), Qty(100));
    assert_eq!(directory.adjusted_poc_price.get(), SignedPrice4(100_000));
    assert_eq!(directory.luld_tier, 1);

    let system = bytes(SYSTEM);
    let message = Message::decode(&system).expect("a system event");
    assert_eq!(message.timestamp().get(), Nanos(1_727_770_063_061_661_285));
    let Message::SystemEvent(system) = message else {
        panic!("{message:?}");
    };
    assert_eq!(system.event, b'O');
}

#[test]
fn every_packet_of_the_capture_decodes_and_encodes_back() {
    let Some(frames) = capture("iex-deepplus-packets.pcap") else {
        return;
    };
    let mut kinds: BTreeMap<char, u32> = BTreeMap::new();
    for frame in &frames {
        let datagram = Datagram::parse(frame).expect("UDP");
        let packet = Packet::decode(datagram.payload).expect("IEX-TP");
        let header = packet.header;
        let mut buffer = [0; 2048];
        let place = Place {
            session: packet.session(),
            protocol: header.protocol.get(),
            seq: packet.seq(),
            offset: header.offset.get(),
            sent: header.sent.get(),
        };
        let mut builder = PacketBuilder::new(&mut buffer, place).expect("room");
        let mut blocks = packet.blocks();
        for message in blocks.by_ref() {
            let decoded = Message::decode(message).expect("DEEP+");
            *kinds.entry(char::from(message[0])).or_default() += 1;
            assert_eq!(decoded.as_bytes(), message);
            let day = decoded.timestamp().get().0 / 86_400_000_000_000;
            assert_eq!(day, 19_997, "1 October 2024");
            assert!(builder.push(decoded.as_bytes()));
        }
        assert_eq!(blocks.missing(), 0);
        assert_eq!(builder.finish(), datagram.payload);
    }
    assert_eq!(frames.len(), 13);
    let kinds: String = kinds
        .into_iter()
        .map(|(kind, count)| format!("{kind}{count} "))
        .collect();
    assert_eq!(kinds, "B1 D1 E35 H97 I96 L3 M1 O101 P101 R1 S5 T4 a1 ");
}
