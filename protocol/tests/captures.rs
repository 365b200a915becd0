//! Real packets: they decode to the right fields, judged by another crate and by hand, and encode to the
//! same bytes. IEX's are in `captures_iex`.
//!
//! A few messages stand here, so that something real is judged wherever the tests run. They were on the
//! wire of Nasdaq's TotalView-ITCH 5.0 and OUCH 5.0, and are in the public collection
//! Open-Markets-Initiative/omi-data-packets; what they say was read by hand from the tables of the
//! specifications. The whole capture lies beside the project, and its test says when it does not.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]
#![allow(
    clippy::too_many_lines,
    reason = "one arm for each message, one line for each field"
)]

mod support;

use itchy::{Body, MessageStream};
use protocol::frame::Datagram;
use protocol::itch::Message;
use protocol::mold::{Kind, Packet, PacketBuilder};
use protocol::ouch::{Element, Inbound, Outbound};
use protocol::soup;
use protocol::types::{Price4, Qty, UserRefNum};
use support::{bytes, capture};

/// A MoldUDP64 packet with an Order Replace, its session blanked.
const MOLD_REPLACE: &str = "00000000000000000000 0000000000000001 0001 0023 \
    55 1db3 0000 1f1aced771e9 0000000000e6897f 000000000145f2c7 00000064 001036c8";
const ADD: &str =
    "41 1598 0000 1f1aced85306 000000000166b53e 42 00000640 49564f4f20202020 000d55ac";
const EXECUTED: &str = "45 0929 0002 1f1aced8f061 000000000166929a 00000019 000000000003e63b";
const CANCELLED: &str = "58 24c5 0000 1f1acefe785d 0000000002041a00 00000064";
const DELETED: &str = "44 0d19 0000 1f1aced840ed 000000000165b51a";
const TRADE: &str = "50 1193 0002 1f1acee462a9 0000000000000000 42 00000064 474f4f474c202020 001399f8 \
    000000000003e642";
/// SoupBinTCP packets, each with one OUCH message and its appendage.
const ENTER_ORDER: &str = "0036 55 4f 00000071 54 000000e1 43564c5420202020 0000000000099db8 3059414e4e \
    4838465542384956202020202020 0006 05024c494d45";
const ORDER_ACCEPTED: &str = "004a 53 41 0000289b4d64af87 00753a8d 42 00000028 4144424520202020 \
    000000000048e748 35 59 000000000f56b4f5 41 4e 4e 4c 3736383237303120202020202020 0009 \
    05024d4c524f 021230";

#[test]
fn real_messages_say_what_was_read_by_hand() {
    let packet = bytes(MOLD_REPLACE);
    let packet = Packet::decode(&packet).expect("MoldUDP64");
    assert_eq!((packet.kind(), packet.seq().0), (Kind::Data(1), 1));
    let Ok(Message::OrderReplace(replace)) = Message::decode(packet.blocks().next().expect("one"))
    else {
        panic!("a replace");
    };
    let orders = (replace.old_order.get().0, replace.new_order.get().0);
    assert_eq!(orders, (15_108_479, 21_361_351));
    assert_eq!(
        (replace.shares.get(), replace.price.get()),
        (Qty(100), Price4(1_062_600))
    );
    let head = &replace.head;
    assert_eq!((head.locate.get(), head.tracking.get()), (7603, 0));
    assert_eq!(head.timestamp.get().0, 34_199_999_836_649);

    let add = bytes(ADD);
    let Ok(Message::AddOrder(add)) = Message::decode(&add) else {
        panic!("an add");
    };
    assert_eq!(
        (add.order.get().0, add.side, add.shares.get()),
        (23_508_286, b'B', Qty(1600))
    );
    assert_eq!(
        (add.stock.as_str(), add.price.get()),
        ("IVOO", Price4(873_900))
    );

    let executed = bytes(EXECUTED);
    let Ok(Message::OrderExecuted(executed)) = Message::decode(&executed) else {
        panic!("an execution");
    };
    assert_eq!(
        (executed.order.get().0, executed.shares.get()),
        (23_499_418, Qty(25))
    );
    assert_eq!(
        (executed.match_number.get().0, executed.head.tracking.get()),
        (255_547, 2)
    );

    let cancelled = bytes(CANCELLED);
    let Ok(Message::OrderCancel(cancelled)) = Message::decode(&cancelled) else {
        panic!("a cancel");
    };
    assert_eq!(
        (cancelled.order.get().0, cancelled.shares.get()),
        (33_823_232, Qty(100))
    );

    let deleted = bytes(DELETED);
    let Ok(Message::OrderDelete(deleted)) = Message::decode(&deleted) else {
        panic!("a delete");
    };
    assert_eq!(
        (deleted.order.get().0, deleted.head.locate.get()),
        (23_442_714, 3353)
    );

    let trade = bytes(TRADE);
    let Ok(Message::Trade(trade)) = Message::decode(&trade) else {
        panic!("a trade");
    };
    assert_eq!(
        (trade.stock.as_str(), trade.shares.get()),
        ("GOOGL", Qty(100))
    );
    assert_eq!(
        (trade.price.get(), trade.match_number.get().0),
        (Price4(1_284_600), 255_554)
    );
    for message in [ADD, EXECUTED, CANCELLED, DELETED, TRADE].map(bytes) {
        judge(&message, Message::decode(&message).expect("ITCH 5.0"));
    }
}

#[test]
fn every_itch_packet_decodes_as_another_crate_says_and_encodes_back() {
    let Some(frames) = capture("nasdaq-itch50-packets.pcap") else {
        return;
    };
    let mut kinds = std::collections::BTreeMap::new();
    for frame in &frames {
        let datagram = Datagram::parse(frame).expect("UDP");
        assert!(
            datagram.vlan.is_some(),
            "every frame of this feed is tagged"
        );
        let packet = Packet::decode(datagram.payload).expect("MoldUDP64");
        assert_eq!(packet.kind(), Kind::Data(1));
        let message = packet.blocks().next().expect("one block");
        let decoded = Message::decode(message).expect("ITCH 5.0");
        *kinds.entry(decoded.head().kind as char).or_insert(0) += 1;
        judge(message, decoded);
        let mut buffer = [0; 128];
        let header = packet.header;
        let mut builder =
            PacketBuilder::new(&mut buffer, header.session, packet.seq()).expect("room");
        assert!(builder.push(decoded.as_bytes()));
        assert_eq!(builder.finish(), datagram.payload);
    }
    assert_eq!(frames.len(), 71);
    assert_eq!(kinds.len(), 15, "{kinds:?}");
}

/// Compares our fields with those that the crate `itchy` reads from the same bytes.
fn judge(bytes: &[u8], ours: Message<'_>) {
    let mut framed = u16::try_from(bytes.len())
        .expect("short")
        .to_be_bytes()
        .to_vec();
    framed.extend_from_slice(bytes);
    let theirs = MessageStream::from_reader(&framed[..]).next().expect("one");
    let theirs = theirs.unwrap_or_else(|error| panic!("{}: {error}", ours.head().kind as char));
    let head = ours.head();
    assert_eq!(head.kind, theirs.tag);
    assert_eq!(head.locate.get(), theirs.stock_locate);
    assert_eq!(head.tracking.get(), theirs.tracking_number);
    assert_eq!(head.timestamp.get().0, theirs.timestamp);
    match (ours, theirs.body) {
        (Message::AddOrder(m), Body::AddOrder(t)) => {
            assert_eq!((m.order.get().0, m.shares.get().0), (t.reference, t.shares));
            assert_eq!(
                (m.price.get().0, m.stock.as_str()),
                (t.price.raw(), t.stock.trim_end())
            );
            assert_eq!(m.side == b'B', t.side == itchy::Side::Buy);
        }
        (Message::AddOrderMpid(m), Body::AddOrder(t)) => {
            assert_eq!((m.order.get().0, m.shares.get().0), (t.reference, t.shares));
            assert_eq!(
                (m.price.get().0, m.stock.as_str()),
                (t.price.raw(), t.stock.trim_end())
            );
            assert_eq!(m.attribution[..], *t.mpid.expect("named").as_bytes());
        }
        (
            Message::OrderExecuted(m),
            Body::OrderExecuted {
                reference,
                executed,
                match_number,
            },
        ) => {
            assert_eq!((m.order.get().0, m.shares.get().0), (reference, executed));
            assert_eq!(m.match_number.get().0, match_number);
        }
        (
            Message::OrderExecutedWithPrice(m),
            Body::OrderExecutedWithPrice {
                reference,
                executed,
                match_number,
                printable,
                price,
            },
        ) => {
            assert_eq!((m.order.get().0, m.shares.get().0), (reference, executed));
            assert_eq!(
                (m.match_number.get().0, m.price.get().0),
                (match_number, price.raw())
            );
            assert_eq!(m.printable == b'Y', printable);
        }
        (
            Message::OrderCancel(m),
            Body::OrderCancelled {
                reference,
                cancelled,
            },
        ) => {
            assert_eq!((m.order.get().0, m.shares.get().0), (reference, cancelled));
        }
        (Message::OrderDelete(m), Body::DeleteOrder { reference }) => {
            assert_eq!(m.order.get().0, reference);
        }
        (Message::OrderReplace(m), Body::ReplaceOrder(t)) => {
            assert_eq!(m.old_order.get().0, t.old_reference);
            assert_eq!(m.new_order.get().0, t.new_reference);
            assert_eq!(
                (m.shares.get().0, m.price.get().0),
                (t.shares, t.price.raw())
            );
        }
        (Message::Trade(m), Body::NonCrossTrade(t)) => {
            assert_eq!((m.order.get().0, m.shares.get().0), (t.reference, t.shares));
            assert_eq!(
                (m.price.get().0, m.match_number.get().0),
                (t.price.raw(), t.match_number)
            );
        }
        (Message::CrossTrade(m), Body::CrossTrade(t)) => {
            assert_eq!(
                (m.shares.get(), m.match_number.get().0),
                (t.shares, t.match_number)
            );
            assert_eq!(
                (m.price.get().0, m.stock.as_str()),
                (t.cross_price.raw(), t.stock.trim_end())
            );
        }
        (Message::Noii(m), Body::Imbalance(t)) => {
            assert_eq!(m.paired_shares.get(), t.paired_shares);
            assert_eq!(m.imbalance_shares.get(), t.imbalance_shares);
            assert_eq!(m.far_price.get().0, t.far_price.raw());
            assert_eq!(m.near_price.get().0, t.near_price.raw());
            assert_eq!(m.reference_price.get().0, t.current_ref_price.raw());
        }
        (Message::MarketParticipantPosition(m), Body::ParticipantPosition(t)) => {
            assert_eq!(
                (&m.mpid[..], m.stock.as_str()),
                (t.mpid.as_bytes(), t.stock.trim_end())
            );
            assert_eq!(m.primary_market_maker == b'Y', t.primary_market_maker);
        }
        // The judge knows them by their type alone, or by codes; length and head are compared above.
        (
            Message::SystemEvent(_)
            | Message::RegSho(_)
            | Message::StockTradingAction(_)
            | Message::LuldAuctionCollar(_),
            _,
        ) => {}
        (ours, theirs) => panic!("{ours:?} is not {theirs:?}"),
    }
}

#[test]
fn both_ouch_packets_decode_by_hand_and_encode_back() {
    let stream = bytes(ENTER_ORDER);
    let (packet, rest) = soup::Packet::decode(&stream)
        .expect("in step")
        .expect("whole");
    assert!(rest.is_empty());
    assert_eq!(packet.kind, soup::kind::UNSEQUENCED);
    let (message, appendage) = Inbound::decode(packet.payload).expect("OUCH 5.0");
    let Inbound::EnterOrder(enter) = message else {
        panic!("{message:?}")
    };
    // Read by hand from the table in the specification.
    assert_eq!(enter.user_ref.get(), UserRefNum(113));
    assert_eq!(
        (enter.side, enter.qty.get(), enter.symbol.as_str()),
        (b'T', Qty(225), "CVLT")
    );
    assert_eq!(enter.price.get(), Some(Price4(630_200)));
    let codes = [
        enter.time_in_force,
        enter.display,
        enter.capacity,
        enter.iso,
        enter.cross,
    ];
    assert_eq!(
        (&codes, &enter.client_order_id),
        (b"0YANN", b"H8FUB8IV      ")
    );
    let elements: Vec<_> = appendage.elements().collect();
    assert_eq!(elements, [Element::Firm(*b"LIME")]);
    let mut out = [0; 256];
    let len = enter.encode(appendage.as_bytes(), &mut out).expect("fits");
    assert_eq!(&out[..len], packet.payload);

    let stream = bytes(ORDER_ACCEPTED);
    let (packet, rest) = soup::Packet::decode(&stream)
        .expect("in step")
        .expect("whole");
    assert!(rest.is_empty());
    assert_eq!(packet.kind, soup::kind::SEQUENCED);
    let (message, appendage) = Outbound::decode(packet.payload).expect("OUCH 5.0");
    let Outbound::OrderAccepted(accepted) = message else {
        panic!("{message:?}")
    };
    assert_eq!(accepted.timestamp.get().0, 44_647_483_486_087);
    assert_eq!(accepted.user_ref.get(), UserRefNum(7_682_701));
    assert_eq!((accepted.side, accepted.qty.get()), (b'B', Qty(40)));
    assert_eq!(accepted.symbol.as_str(), "ADBE");
    assert_eq!(accepted.price.get(), Some(Price4(4_777_800)));
    assert_eq!((accepted.time_in_force, accepted.display), (b'5', b'Y'));
    assert_eq!(accepted.order.get().0, 257_340_661);
    let codes = [
        accepted.capacity,
        accepted.iso,
        accepted.cross,
        accepted.state,
    ];
    assert_eq!(
        (&codes, &accepted.client_order_id),
        (b"ANNL", b"7682701       ")
    );
    let elements: Vec<_> = appendage.elements().collect();
    assert_eq!(
        elements,
        [Element::Firm(*b"MLRO"), Element::BboWeight(b'0')]
    );
    let len = accepted
        .encode(appendage.as_bytes(), &mut out)
        .expect("fits");
    assert_eq!(&out[..len], packet.payload);
}
