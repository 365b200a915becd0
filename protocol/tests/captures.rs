//! Real packets: they decode to the right fields, judged by another crate and by hand, and encode to the
//! same bytes.

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

use std::path::PathBuf;

use itchy::{Body, MessageStream};
use pcap_file::pcap::PcapReader;
use protocol::frame::Datagram;
use protocol::itch::Message;
use protocol::mold::{Kind, Packet, PacketBuilder};
use protocol::ouch::{Element, Inbound, Outbound};
use protocol::soup;
use protocol::types::{Price4, Qty, UserRefNum};

/// Captures are third-party data that lies beside the project, not in it.
fn capture(name: &str) -> Option<Vec<Vec<u8>>> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared/data")
        .join(name);
    let Ok(file) = std::fs::File::open(&path) else {
        eprintln!("SKIPPED: {} is not there", path.display());
        return None;
    };
    let mut reader = PcapReader::new(file).expect("a capture");
    let mut frames = Vec::new();
    while let Some(packet) = reader.next_packet() {
        frames.push(packet.expect("a packet").data.into_owned());
    }
    Some(frames)
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
    let Some(frames) = capture("nasdaq-ouch50-packets.pcap") else {
        return;
    };
    assert_eq!(frames.len(), 2);
    // Ethernet, perhaps a VLAN tag, IPv4 and TCP; trailer bytes behind the datagram are cut off.
    let payload = |frame: &[u8]| {
        let ip = if frame[12..14] == [0x81, 0x00] {
            &frame[18..]
        } else {
            &frame[14..]
        };
        let total = usize::from(u16::from_be_bytes([ip[2], ip[3]]));
        let (ip_len, tcp) = (usize::from(ip[0] & 15) * 4, usize::from(ip[0] & 15) * 4);
        let tcp_len = usize::from(ip[tcp + 12] >> 4) * 4;
        ip[ip_len + tcp_len..total].to_vec()
    };
    let stream = payload(&frames[0]);
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

    let stream = payload(&frames[1]);
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
