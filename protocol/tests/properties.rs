//! Properties that hold for every message: decode(encode(x)) = x, no bytes panic a decoder, and every
//! truncation is refused.

#![allow(clippy::expect_used, reason = "tests")]
#![allow(clippy::too_many_lines, reason = "one arm for each message")]

use proptest::collection::vec;
use proptest::prelude::*;
use protocol::frame::Datagram;
use protocol::glimpse::EndOfSnapshot;
use protocol::mold::{Packet, PacketBuilder};
use protocol::ouch::{AppendageBuffer, Element, Inbound, Outbound};
use protocol::types::{DecodeError, Nanos, Qty, Seq};
use protocol::{binary_file, deep_plus, iex_tp, itch, soup};

/// Any ITCH message: a type byte and as many bytes as the type has.
fn itch_bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::sample::select(itch::KINDS).prop_flat_map(|kind| {
        let len = itch::len_of(kind).expect("a listed kind has a length");
        vec(any::<u8>(), len - 1).prop_map(move |mut rest| {
            rest.insert(0, kind);
            rest
        })
    })
}

/// Any DEEP+ message.
fn deep_plus_bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::sample::select(deep_plus::KINDS).prop_flat_map(|kind| {
        let len = deep_plus::len_of(kind).expect("a listed kind has a length");
        vec(any::<u8>(), len - 1).prop_map(move |mut rest| {
            rest.insert(0, kind);
            rest
        })
    })
}

fn element() -> impl Strategy<Value = Element<'static>> {
    prop_oneof![
        any::<u64>().prop_map(Element::SecondaryOrderRef),
        any::<[u8; 4]>().prop_map(Element::Firm),
        any::<u32>().prop_map(|qty| Element::MinQty(Qty(qty))),
        any::<u8>().prop_map(Element::CustomerType),
        any::<u32>().prop_map(|qty| Element::MaxFloor(Qty(qty))),
        any::<u8>().prop_map(Element::PriceType),
        any::<i32>().prop_map(Element::PegOffset),
        any::<u64>().prop_map(Element::DiscretionPrice),
        any::<u8>().prop_map(Element::DiscretionPriceType),
        any::<i32>().prop_map(Element::DiscretionPegOffset),
        any::<u8>().prop_map(Element::PostOnly),
        any::<u32>().prop_map(|qty| Element::RandomReserves(Qty(qty))),
        any::<[u8; 4]>().prop_map(Element::Route),
        any::<u32>().prop_map(Element::ExpireTimeSeconds),
        any::<u8>().prop_map(Element::TradeNow),
        any::<u8>().prop_map(Element::HandleInst),
        any::<u8>().prop_map(Element::BboWeight),
        any::<u32>().prop_map(|qty| Element::DisplayQty(Qty(qty))),
        any::<u64>().prop_map(Element::DisplayPrice),
        any::<u16>().prop_map(Element::GroupId),
        any::<u8>().prop_map(Element::SharesLocated),
        any::<[u8; 4]>().prop_map(Element::LocateBroker),
        any::<u8>().prop_map(Element::Side),
        any::<u8>().prop_map(Element::UserRefIndex),
        any::<u8>().prop_map(Element::AiqStrategy),
        any::<[u8; 2]>().prop_map(Element::AiqGroup),
    ]
}

/// Rebuilds a view from what its accessors say, field by field, and encodes that.
macro_rules! rebuild {
    ($view:expr, $name:path { $($field:ident $(as $get:ident)?),+ $(,)? }) => {{
        let view = $view;
        $name { $($field: rebuild!(@ view.$field $(, $get)?)),+ }
    }};
    (@ $value:expr, get) => { $value.get().into() };
    (@ $value:expr) => { $value };
}

fn rebuilt_head(head: &itch::Head) -> itch::Head {
    rebuild!(head, itch::Head { kind, locate as get, tracking as get, timestamp as get })
}

fn rebuilt_itch(message: itch::Message<'_>) -> Vec<u8> {
    use itch::Message as M;
    use zerocopy::IntoBytes;
    macro_rules! arm {
        ($view:expr, $name:ident { $($field:ident $(as $get:ident)?),* $(,)? }) => {{
            let view = $view;
            itch::$name {
                head: rebuilt_head(&view.head),
                $($field: rebuild!(@ view.$field $(, $get)?)),*
            }.as_bytes().to_vec()
        }};
    }
    match message {
        M::SystemEvent(m) => arm!(m, SystemEvent { event }),
        M::StockDirectory(m) => arm!(m, StockDirectory {
            stock, market_category, financial_status, round_lot_size as get, round_lots_only,
            issue_classification, issue_sub_type, authenticity, short_sale_threshold, ipo_flag,
            luld_tier, etp_flag, etp_leverage as get, inverse,
        }),
        M::StockTradingAction(m) => arm!(
            m,
            StockTradingAction {
                stock,
                state,
                reserved,
                reason
            }
        ),
        M::RegSho(m) => arm!(m, RegSho { stock, action }),
        M::MarketParticipantPosition(m) => arm!(
            m,
            MarketParticipantPosition {
                mpid,
                stock,
                primary_market_maker,
                market_maker_mode,
                state,
            }
        ),
        M::MwcbDeclineLevels(m) => {
            arm!(m, MwcbDeclineLevels { level_1 as get, level_2 as get, level_3 as get })
        }
        M::MwcbStatus(m) => arm!(m, MwcbStatus { breached_level }),
        M::IpoQuotingPeriod(m) => {
            arm!(m, IpoQuotingPeriod { stock, release_time_s as get, qualifier, price as get })
        }
        M::LuldAuctionCollar(m) => arm!(m, LuldAuctionCollar {
            stock, reference_price as get, upper_price as get, lower_price as get,
            extension as get,
        }),
        M::OperationalHalt(m) => arm!(
            m,
            OperationalHalt {
                stock,
                market,
                action
            }
        ),
        M::AddOrder(m) => {
            arm!(m, AddOrder { order as get, side, shares as get, stock, price as get })
        }
        M::AddOrderMpid(m) => arm!(m, AddOrderMpid {
            order as get, side, shares as get, stock, price as get, attribution,
        }),
        M::OrderExecuted(m) => {
            arm!(m, OrderExecuted { order as get, shares as get, match_number as get })
        }
        M::OrderExecutedWithPrice(m) => arm!(m, OrderExecutedWithPrice {
            order as get, shares as get, match_number as get, printable, price as get,
        }),
        M::OrderCancel(m) => arm!(m, OrderCancel { order as get, shares as get }),
        M::OrderDelete(m) => arm!(m, OrderDelete { order as get }),
        M::OrderReplace(m) => arm!(m, OrderReplace {
            old_order as get, new_order as get, shares as get, price as get,
        }),
        M::Trade(m) => arm!(m, Trade {
            order as get, side, shares as get, stock, price as get, match_number as get,
        }),
        M::CrossTrade(m) => arm!(m, CrossTrade {
            shares as get, stock, price as get, match_number as get, cross_type,
        }),
        M::BrokenTrade(m) => arm!(m, BrokenTrade { match_number as get }),
        M::Noii(m) => arm!(m, Noii {
            paired_shares as get, imbalance_shares as get, direction, stock, far_price as get,
            near_price as get, reference_price as get, cross_type, variation,
        }),
        M::RetailInterest(m) => arm!(m, RetailInterest { stock, interest }),
        M::DirectListing(m) => arm!(m, DirectListing {
            stock, eligibility, min_price as get, max_price as get, near_price as get,
            near_time as get, lower_collar as get, upper_collar as get,
        }),
    }
}

fn rebuilt_deep_plus(message: deep_plus::Message<'_>) -> Vec<u8> {
    use deep_plus::Message as M;
    use zerocopy::IntoBytes;
    macro_rules! arm {
        ($view:expr, $name:ident { $($field:ident $(as $get:ident)?),* $(,)? }) => {
            rebuild!($view, deep_plus::$name { kind, timestamp as get, $($field $(as $get)?),* })
                .as_bytes()
                .to_vec()
        };
    }
    match message {
        M::SystemEvent(m) => arm!(m, SystemEvent { event }),
        M::SecurityDirectory(m) => arm!(m, SecurityDirectory {
            flags, symbol, round_lot_size as get, adjusted_poc_price as get, luld_tier,
        }),
        M::TradingStatus(m) => arm!(
            m,
            TradingStatus {
                status,
                symbol,
                reason
            }
        ),
        M::RetailLiquidity(m) => arm!(m, RetailLiquidity { interest, symbol }),
        M::OperationalHalt(m) => arm!(m, OperationalHalt { status, symbol }),
        M::ShortSalePriceTest(m) => arm!(
            m,
            ShortSalePriceTest {
                status,
                symbol,
                detail
            }
        ),
        M::SecurityEvent(m) => arm!(m, SecurityEvent { event, symbol }),
        M::AddOrder(m) => {
            arm!(m, AddOrder { side, symbol, order as get, size as get, price as get })
        }
        M::OrderModify(m) => {
            arm!(m, OrderModify { flags, symbol, order as get, size as get, price as get })
        }
        M::OrderDelete(m) => arm!(m, OrderDelete { reserved, symbol, order as get }),
        M::OrderExecuted(m) => arm!(m, OrderExecuted {
            flags, symbol, order as get, size as get, price as get, trade as get,
        }),
        M::Trade(m) => {
            arm!(m, Trade { flags, symbol, size as get, price as get, trade as get })
        }
        M::TradeBreak(m) => {
            arm!(m, TradeBreak { flags, symbol, size as get, price as get, trade as get })
        }
        M::ClearBook(m) => arm!(m, ClearBook { reserved, symbol }),
    }
}

proptest! {
    #[test]
    fn deep_plus_decode_of_encode_is_identity(bytes in deep_plus_bytes()) {
        let message = deep_plus::Message::decode(&bytes).expect("right type and length");
        prop_assert_eq!(message.as_bytes(), &bytes[..]);
        prop_assert_eq!(rebuilt_deep_plus(message), bytes);
    }

    #[test]
    fn deep_plus_truncated_is_refused_and_longer_is_read(
        bytes in deep_plus_bytes(),
        more in vec(any::<u8>(), 1..9),
    ) {
        for len in 0..bytes.len() {
            prop_assert!(deep_plus::Message::decode(&bytes[..len]).is_err());
        }
        let longer = [&bytes[..], &more].concat();
        let message = deep_plus::Message::decode(&longer).expect("a message that grew");
        prop_assert_eq!(message.as_bytes(), &bytes[..]);
    }

    #[test]
    fn iex_segment_gives_back_its_messages(
        messages in vec(vec(any::<u8>(), 0..60), 0..30),
        numbers in any::<[u64; 3]>(),
        names in any::<[u32; 2]>(),
    ) {
        let [seq, offset, sent] = numbers;
        let [channel, session] = names;
        let place = iex_tp::Place {
            session: iex_tp::Session { channel, session },
            protocol: iex_tp::PROTOCOL_DEEP_PLUS,
            seq: Seq(seq),
            offset,
            sent: Nanos(sent),
        };
        let mut buffer = [0; 2048];
        let mut builder = iex_tp::PacketBuilder::new(&mut buffer, place).expect("room");
        let kept: Vec<_> = messages.iter().filter(|message| builder.push(message)).collect();
        let bytes = builder.finish();
        let packet = iex_tp::Packet::decode(bytes).expect("whole header");
        prop_assert_eq!((packet.session(), packet.seq()), (place.session, Seq(seq)));
        let header = packet.header;
        prop_assert_eq!((header.offset.get(), header.sent.get()), (offset, Nanos(sent)));
        prop_assert_eq!(usize::from(header.payload_len.get()) + 40, bytes.len());
        let mut blocks = packet.blocks();
        let read: Vec<_> = blocks.by_ref().collect();
        prop_assert_eq!(read, kept);
        prop_assert_eq!(blocks.missing(), 0);
    }

    #[test]
    fn itch_decode_of_encode_is_identity(bytes in itch_bytes()) {
        let message = itch::Message::decode(&bytes).expect("right type and length");
        prop_assert_eq!(message.as_bytes(), &bytes[..]);
        prop_assert_eq!(rebuilt_itch(message), bytes);
    }

    #[test]
    fn itch_truncated_or_longer_is_refused(bytes in itch_bytes(), extra in 1usize..9) {
        for len in 0..bytes.len() {
            prop_assert!(itch::Message::decode(&bytes[..len]).is_err());
        }
        let mut longer = bytes.clone();
        longer.resize(bytes.len() + extra, 0);
        let wrong = DecodeError::WrongLength {
            kind: bytes[0], expected: bytes.len(), found: longer.len(),
        };
        prop_assert_eq!(itch::Message::decode(&longer), Err(wrong));
    }

    #[test]
    fn ouch_decode_of_encode_is_identity(
        fixed in vec(any::<u8>(), 80),
        elements in vec(element(), 0..8),
    ) {
        let mut appendage = AppendageBuffer::default();
        for element in &elements {
            prop_assert!(appendage.push(*element));
        }
        macro_rules! check {
            ($direction:ident: $($name:ident)+) => {$({
                use protocol::ouch::$name;
                use zerocopy::FromBytes;
                let mut bytes = fixed[..$name::LEN].to_vec();
                bytes[0] = $name::KIND;
                let value = $name::read_from_bytes(&bytes).expect("right length");
                let mut out = [0; 512];
                let len = value.encode(appendage.as_bytes(), &mut out).expect("fits");
                let (read, tail) = $direction::decode(&out[..len]).expect("well formed");
                prop_assert_eq!(read, $direction::$name(&value));
                prop_assert_eq!(tail.elements().collect::<Vec<_>>(), elements.clone());
                for cut in 0..len {
                    // An optional tail may be absent as a whole; any other cut is refused.
                    if let Ok((cut_read, cut_tail)) = $direction::decode(&out[..cut]) {
                        prop_assert_eq!(cut, $name::LEN);
                        prop_assert_eq!(cut_read, read);
                        prop_assert!(cut_tail.as_bytes().is_empty());
                    }
                }
            })+};
        }
        check!(Inbound: EnterOrder ReplaceOrder CancelOrder ModifyOrder MassCancel
            DisableOrderEntry EnableOrderEntry AccountQuery);
        check!(Outbound: SystemEvent OrderAccepted OrderReplaced Canceled AiqCanceled Executed
            BrokenTrade Rejected CancelPending CancelReject PriorityUpdate Modified Restated
            MassCancelResponse DisableResponse EnableResponse AccountQueryResponse);
    }

    #[test]
    fn no_bytes_panic_a_decoder(bytes in vec(any::<u8>(), 0..300), kind in any::<u8>()) {
        let mut typed = bytes.clone();
        typed.insert(0, kind);
        for bytes in [&bytes, &typed] {
            let _ = itch::Message::decode(bytes);
            let _ = deep_plus::Message::decode(bytes);
            let _ = iex_tp::Packet::decode(bytes).map(|packet| packet.blocks().count());
            let _ = Inbound::decode(bytes).map(|(_, tail)| tail.elements().count());
            let _ = Outbound::decode(bytes).map(|(_, tail)| tail.elements().count());
            let _ = EndOfSnapshot::decode(bytes).map(EndOfSnapshot::number);
            let _ = Datagram::parse(bytes).map(|datagram| datagram.checksums_fit());
            let _ = Datagram::parse_ipv4(bytes);
            let _ = Packet::decode(bytes).map(|packet| packet.blocks().count());
            let _ = binary_file::Messages::new(bytes).count();
            let _ = soup::LoginRequest::decode(bytes);
            let _ = soup::LoginAccepted::decode(bytes).map(soup::LoginAccepted::next_seq);
            let mut stream = &bytes[..];
            while let Ok(Some((_, rest))) = soup::Packet::decode(stream) {
                stream = rest;
            }
        }
    }

    #[test]
    fn mold_packet_gives_back_its_messages(
        messages in vec(vec(any::<u8>(), 0..60), 0..30),
        session in any::<[u8; 10]>(),
        seq in any::<u64>(),
    ) {
        let mut buffer = [0; 2048];
        let mut builder = PacketBuilder::new(&mut buffer, session, Seq(seq)).expect("room");
        let kept: Vec<_> = messages.iter().filter(|message| builder.push(message)).collect();
        let bytes = builder.finish();
        let packet = Packet::decode(bytes).expect("whole header");
        prop_assert_eq!(packet.header.session, session);
        prop_assert_eq!(packet.seq(), Seq(seq));
        let mut blocks = packet.blocks();
        let read: Vec<_> = blocks.by_ref().collect();
        prop_assert_eq!(read, kept);
        prop_assert_eq!(blocks.missing(), 0);
    }

    #[test]
    fn soup_packet_survives_any_split(
        payloads in vec((any::<u8>(), vec(any::<u8>(), 0..80)), 1..10),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut stream = Vec::new();
        for (kind, payload) in &payloads {
            let mut out = [0; 128];
            let len = soup::Packet { kind: *kind, payload }.encode(&mut out).expect("fits");
            stream.extend_from_slice(&out[..len]);
        }
        let cut = cut.index(stream.len());
        let mut read = Vec::new();
        let mut pending = Vec::new();
        for part in [&stream[..cut], &stream[cut..]] {
            pending.extend_from_slice(part);
            let mut rest = &pending[..];
            while let Some((packet, tail)) = soup::Packet::decode(rest).expect("in step") {
                read.push((packet.kind, packet.payload.to_vec()));
                rest = tail;
            }
            pending = rest.to_vec();
        }
        prop_assert_eq!(read, payloads);
    }
}
