//! Order entry as a dialogue: what a client says, and what the exchange answers, in short.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    clippy::too_many_lines,
    reason = "tests"
)]

use order_sim::exchange::Exchange;
use order_sim::file;
use order_sim::store::Store;
use protocol::ouch::{
    AppendageBuffer, CancelOrder, DisableOrderEntry, Element, EnableOrderEntry, EnterOrder,
    MassCancel, ModifyOrder, Outbound, PRICE_MARKET, PRICE_MAX, QTY_MAX, RejectReason,
    ReplaceOrder, TIF_IOC,
};
use protocol::types::{Price4, Qty, Symbol, UserRefNum};
use protocol::wire::WidePriceBe;
use rt::clock::SECOND_NS;

const OPEN_NS: u64 = (9 * 3600 + 30 * 60) * SECOND_NS;

fn exchange(more: &str) -> Exchange {
    exchange_at(more, 7)
}

fn exchange_at(more: &str, now_ns: u64) -> Exchange {
    // Keys of the accounts come first, then other sections.
    let text = format!(
        "address = \"127.0.0.1:1\"\n{more}\n[account.b]\npassword = \"p\"\n[account.c]\npassword = \"p\"\n"
    );
    let has_a = text.contains("[account.a]");
    let text = if has_a {
        text
    } else {
        format!("{text}[account.a]\npassword = \"p\"\n")
    };
    Exchange::new(&file::parse(&text).unwrap().exchange, now_ns)
}

fn enter(user_ref: u32, change: impl FnOnce(&mut EnterOrder)) -> Vec<u8> {
    enter_with(user_ref, &[], change)
}

fn enter_with(
    user_ref: u32,
    elements: &[Element<'_>],
    change: impl FnOnce(&mut EnterOrder),
) -> Vec<u8> {
    let mut message = EnterOrder {
        kind: b'O',
        user_ref: UserRefNum(user_ref).into(),
        side: b'B',
        qty: Qty(100).into(),
        symbol: Symbol::new("ALC").unwrap(),
        price: Price4(10_000).into(),
        time_in_force: b'0',
        display: b'Y',
        capacity: b'P',
        iso: b'N',
        cross: b'N',
        client_order_id: [b'x'; 14],
    };
    change(&mut message);
    let mut buffer = AppendageBuffer::default();
    for element in elements {
        assert!(buffer.push(*element));
    }
    let mut out = vec![0; 256];
    let len = message.encode(buffer.as_bytes(), &mut out).unwrap();
    out.truncate(len);
    out
}

fn sell(user_ref: u32, qty: u32, price: u32) -> Vec<u8> {
    enter(user_ref, |m| {
        (m.side, m.qty, m.price) = (b'S', Qty(qty).into(), Price4(price).into());
    })
}

fn replace(original: u32, user_ref: u32, qty: u32, price: u32) -> Vec<u8> {
    let message = ReplaceOrder {
        kind: b'U',
        original_user_ref: UserRefNum(original).into(),
        user_ref: UserRefNum(user_ref).into(),
        qty: Qty(qty).into(),
        price: Price4(price).into(),
        time_in_force: b'0',
        display: b'Y',
        iso: b'N',
        client_order_id: [b'y'; 14],
    };
    let mut out = vec![0; 64];
    let len = message.encode(&[], &mut out).unwrap();
    out.truncate(len);
    out
}

fn cancel(user_ref: u32, qty: u32) -> Vec<u8> {
    let (user_ref, qty) = (UserRefNum(user_ref).into(), Qty(qty).into());
    let mut out = vec![0; 16];
    let len = CancelOrder {
        kind: b'X',
        user_ref,
        qty,
    }
    .encode(&[], &mut out)
    .unwrap();
    out.truncate(len);
    out
}

fn modify(user_ref: u32, side: u8, qty: u32) -> Vec<u8> {
    let (user_ref, qty) = (UserRefNum(user_ref).into(), Qty(qty).into());
    let mut out = vec![0; 16];
    let len = ModifyOrder {
        kind: b'M',
        user_ref,
        side,
        qty,
    }
    .encode(&[], &mut out)
    .unwrap();
    out.truncate(len);
    out
}

/// An answer in short.
fn short(bytes: &[u8]) -> String {
    match Outbound::decode(bytes).unwrap().0 {
        Outbound::OrderAccepted(m) => format!("A{}", m.user_ref.get().0),
        Outbound::OrderReplaced(m) => format!("U{}:{}", m.user_ref.get().0, m.qty.get().0),
        Outbound::Canceled(m) => {
            format!(
                "C{}:{}{}",
                m.user_ref.get().0,
                m.qty.get().0,
                m.reason as char
            )
        }
        Outbound::AiqCanceled(m) => {
            format!(
                "D{}:{}{}",
                m.user_ref.get().0,
                m.qty.get().0,
                m.strategy as char
            )
        }
        Outbound::Executed(m) => format!(
            "E{}:{}@{}{}",
            m.user_ref.get().0,
            m.qty.get().0,
            m.price.raw(),
            m.liquidity as char
        ),
        Outbound::Rejected(m) => format!("J{}:{:02X}", m.user_ref.get().0, m.reason.get()),
        Outbound::Modified(m) => {
            format!(
                "M{}:{}{}",
                m.user_ref.get().0,
                m.qty.get().0,
                m.side as char
            )
        }
        Outbound::Restated(m) => format!("R{}", m.user_ref.get().0),
        Outbound::BrokenTrade(m) => format!("B{}:{}", m.user_ref.get().0, m.match_number.get().0),
        Outbound::AccountQueryResponse(m) => format!("Q{}", m.next_user_ref.get().0),
        Outbound::CancelReject(m) => format!("I{}", m.user_ref.get().0),
        Outbound::MassCancelResponse(m) => format!("X{}", m.user_ref.get().0),
        Outbound::DisableResponse(m) => format!("G{}", m.user_ref.get().0),
        Outbound::EnableResponse(m) => format!("K{}", m.user_ref.get().0),
        other => format!("{other:?}"),
    }
}

/// What an account was told from a message on.
fn told(exchange: &Exchange, account: &str, from: usize) -> String {
    let account = exchange.account(account).unwrap();
    let all = from..exchange.stored(account);
    let said: Vec<_> = all
        .map(|at| short(exchange.message(account, at).unwrap()))
        .collect();
    said.join(" ")
}

/// What the exchange answered to each message.
fn dialogue(exchange: &mut Exchange, account: &str, messages: &[Vec<u8>]) -> String {
    let mut said = Vec::new();
    let index = exchange.account(account).unwrap();
    for message in messages {
        let from = exchange.stored(index);
        exchange.on_message(index, message);
        said.push(told(exchange, account, from));
    }
    said.join(" | ")
}

#[test]
fn orders_meet_at_the_price_of_the_one_that_waited() {
    let mut exchange = exchange("");
    assert_eq!(dialogue(&mut exchange, "b", &[sell(1, 300, 9_900)]), "A1");
    let said = dialogue(&mut exchange, "a", &[enter(1, |_| ()), cancel(1, 0)]);
    assert_eq!(said, "A1 E1:100@9900R | ");
    assert_eq!(told(&exchange, "b", 1), "E1:100@9900A");
    assert_eq!(exchange.open_orders(1), [(UserRefNum(1), Qty(200))]);
}

#[test]
fn the_house_fills_every_nth_order_where_it_is_told_to() {
    let ioc = |n| enter(n, |m| m.time_in_force = TIF_IOC);
    let mut exchange = exchange("fill_every = 2");
    let messages = [ioc(1), ioc(2), enter(3, |_| ()), enter(4, |_| ())];
    let said = dialogue(&mut exchange, "a", &messages);
    assert_eq!(
        said,
        "A1 C1:100I | A2 E2:100@10000R | A3 | A4 E4:100@10000R"
    );
}

#[test]
fn retransmission_and_superfluous_messages_meet_silence() {
    let mut exchange = exchange("");
    let messages = [
        enter(5, |_| ()),
        enter(5, |_| ()),
        enter(4, |_| ()),
        cancel(9, 0),
        replace(9, 10, 100, 10_000),
        replace(5, 5, 100, 10_000),
        cancel(5, 0),
        cancel(5, 0),
        vec![b'?'; 20],
        vec![],
        vec![b'Q'],
    ];
    let said = dialogue(&mut exchange, "a", &messages);
    assert_eq!(said, "A5 |  |  |  |  |  | C5:100U |  |  |  | Q6");
    assert_eq!(exchange.entry_counters().undecodable.get(), 2);
}

#[test]
fn replace_keeps_the_chain_and_bad_details_end_it() {
    let mut exchange = exchange("");
    let messages = [
        enter(1, |_| ()),
        replace(1, 2, 300, 10_100),
        cancel(2, 50),
        replace(2, 3, 0, 10_000),
        replace(2, 3, 10, 10_000),
        enter(3, |_| ()),
    ];
    let said = dialogue(&mut exchange, "a", &messages);
    assert_eq!(said, "A1 | U2:300 | C2:250U | C2:50U |  | A3");
}

#[test]
fn replace_that_does_not_grow_keeps_its_place_and_its_reference() {
    let mut exchange = exchange("");
    dialogue(&mut exchange, "a", &[enter(1, |m| m.qty = Qty(300).into())]);
    dialogue(&mut exchange, "b", &[enter(1, |_| ())]);
    assert_eq!(
        dialogue(&mut exchange, "a", &[replace(1, 2, 100, 10_000)]),
        "U2:100"
    );
    // First in the queue still; grown, it is behind.
    assert_eq!(
        dialogue(&mut exchange, "c", &[sell(1, 50, 10_000)]),
        "A1 E1:50@10000R"
    );
    assert_eq!(told(&exchange, "a", 2), "E2:50@10000A");
    assert_eq!(
        dialogue(&mut exchange, "a", &[replace(2, 3, 200, 10_000)]),
        "U3:150"
    );
    dialogue(&mut exchange, "c", &[sell(2, 50, 10_000)]);
    assert_eq!(told(&exchange, "b", 1), "E1:50@10000A");
}

#[test]
fn modify_lowers_and_changes_the_kind_of_sale_and_never_raises() {
    let mut exchange = exchange("");
    let messages = [
        sell(1, 100, 20_000),
        modify(1, b'T', 60),
        modify(1, b'T', 90),
        modify(1, b'B', 50),
        modify(1, b'E', 60),
        modify(1, b'E', 0),
        cancel(1, 0),
    ];
    let said = dialogue(&mut exchange, "a", &messages);
    assert_eq!(said, "A1 | M1:60T |  |  | M1:60E | M1:0E | ");
}

#[test]
fn mass_cancel_disable_and_enable_do_what_they_say() {
    let mut exchange = exchange("");
    let symbol = Symbol::new("BOB").unwrap();
    let mass = |user_ref: u32, symbol: Symbol| {
        let m = MassCancel {
            kind: MassCancel::KIND,
            user_ref: UserRefNum(user_ref).into(),
            firm: *b"TSTX",
            symbol,
        };
        let mut out = vec![0; 32];
        let len = m.encode(&[], &mut out).unwrap();
        out.truncate(len);
        out
    };
    let switch = |user_ref: u32, is_off: bool| {
        let (user_ref, firm) = (UserRefNum(user_ref).into(), *b"TSTX");
        let mut out = vec![0; 32];
        let len = if is_off {
            DisableOrderEntry {
                kind: b'D',
                user_ref,
                firm,
            }
            .encode(&[], &mut out)
        } else {
            EnableOrderEntry {
                kind: b'E',
                user_ref,
                firm,
            }
            .encode(&[], &mut out)
        };
        out.truncate(len.unwrap());
        out
    };
    let messages = [
        enter(1, |_| ()),
        enter(2, |m| m.symbol = symbol),
        enter(3, |_| ()),
        mass(4, symbol),
        mass(5, Symbol::BLANK),
        switch(6, true),
        enter(7, |_| ()),
        switch(8, false),
        enter(9, |_| ()),
    ];
    let said = dialogue(&mut exchange, "a", &messages);
    let expected = "A1 | A2 | A3 | X4 C2:100U | X5 C1:100U C3:100U | G6 | J7:0C | K8 | A9";
    assert_eq!(said, expected);
}

#[test]
fn nonsense_is_rejected_with_its_reason_and_uses_its_number() {
    let mut exchange = exchange("");
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (enter(1, |m| m.side = b'X'), "09"),
        (enter(2, |m| m.qty = Qty(0).into()), "13"),
        (enter(3, |m| m.qty = Qty(QTY_MAX.0 + 1).into()), "13"),
        (enter(4, |m| m.symbol = Symbol::BLANK), "17"),
        (enter(5, |m| m.price = Price4(0).into()), "1D"),
        (enter(6, |m| m.price = Price4(PRICE_MAX.0 + 1).into()), "1D"),
        (enter(7, |m| m.display = b'Q'), "03"),
        (enter(8, |m| m.cross = b'Z'), "14"),
        (enter(9, |m| m.cross = b'R'), "1A"),
        (enter(10, |m| m.capacity = b'Z'), "0F"),
        (enter(11, |m| m.iso = b'?'), "0F"),
        (enter(12, |m| m.time_in_force = b'9'), "0F"),
        (enter(13, |m| m.time_in_force = b'6'), "0F"),
        (enter(14, |m| m.price = PRICE_MARKET.into()), "0F"),
        (enter_with(15, &[Element::MinQty(Qty(101))], |_| ()), "0D"),
        (enter_with(16, &[Element::MinQty(Qty(10))], |_| ()), "0D"),
        (enter_with(17, &[Element::MaxFloor(Qty(101))], |_| ()), "04"),
        (
            enter_with(18, &[Element::MaxFloor(Qty(10))], |m| m.display = b'N'),
            "04",
        ),
        (enter_with(19, &[Element::PriceType(b'R')], |_| ()), "05"),
        (enter_with(20, &[Element::PegOffset(1)], |_| ()), "05"),
        (enter_with(21, &[Element::Route(*b"SCAN")], |_| ()), "16"),
        (enter_with(22, &[Element::AiqStrategy(b'?')], |_| ()), "40"),
        (enter_with(23, &[Element::PriceType(b'M')], |_| ()), "01"),
        (
            enter_with(24, &[Element::SharesLocated(b'N')], |m| m.side = b'T'),
            "27",
        ),
    ];
    for (message, reason) in cases {
        let said = dialogue(&mut exchange, "a", &[message.clone(), message]);
        let (first, again) = said.split_once(" | ").unwrap();
        assert!(
            first.ends_with(&format!(":{reason}")),
            "{first}, expected {reason}"
        );
        assert_eq!(again, "", "its number is used");
    }
}

#[test]
fn rights_and_risk_of_an_account_have_their_reasons() {
    let mut exchange = exchange(
        "notional_max = 1000000\n[account.a]\npassword = \"p\"\nrights = []\nfirms = [\"ABCD\"]\n\
         restricted = [\"BAD\"]\nqty_max = 500\nnotional_max = 500\nexposure_max = 600\n\
         fat_finger_bps = 100\norders_max = 3\n[account.d]\npassword = \"p\"\nmessages_per_second = 2",
    );
    dialogue(
        &mut exchange,
        "b",
        &[sell(1, 100, 11_000), enter(2, |m| m.qty = Qty(7).into())],
    );
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (enter(1, |m| m.side = b'T'), "J1:2B"),
        (enter(2, |m| m.side = b'E'), "J2:2F"),
        (enter(3, |m| m.iso = b'Y'), "J3:24"),
        (
            enter(4, |m| {
                (m.price, m.time_in_force) = (PRICE_MARKET.into(), TIF_IOC)
            }),
            "J4:2C",
        ),
        (enter_with(5, &[Element::Firm(*b"EVIL")], |_| ()), "J5:0C"),
        (
            enter(6, |m| m.symbol = Symbol::new("BAD").unwrap()),
            "J6:22",
        ),
        (enter(7, |m| m.qty = Qty(501).into()), "J7:31"),
        (
            enter(8, |m| {
                (m.qty, m.price) = (Qty(500).into(), Price4(10_100).into())
            }),
            "J8:30",
        ),
        (enter(9, |m| m.price = Price4(11_200).into()), "J9:26"),
        (sell(10, 10, 9_000), "J10:26"),
        (enter(11, |m| m.qty = Qty(400).into()), "A11"),
        (enter(12, |m| m.qty = Qty(300).into()), "J12:20"),
        (enter(13, |_| ()), "A13"),
        (enter(14, |m| m.qty = Qty(1).into()), "A14"),
        (enter(15, |m| m.qty = Qty(1).into()), "J15:1E"),
    ];
    for (message, answer) in cases {
        assert_eq!(dialogue(&mut exchange, "a", &[message]), answer);
    }
    let big = |m: &mut EnterOrder| (m.qty, m.price) = (QTY_MAX.into(), Price4(20_000).into());
    assert_eq!(dialogue(&mut exchange, "b", &[enter(3, big)]), "J3:1F");
    let said = dialogue(
        &mut exchange,
        "d",
        &[1, 2, 3].map(|n| enter(n, |m| m.qty = Qty(1).into())),
    );
    assert_eq!(said, "A1 | A2 | J3:29");
}

const LISTED: &str = "[[symbol]]\nname = \"ALC\"\nprice = \"1.00\"\nband_bps = 1000\n\
    short_restricted = true\n[day]\nopen = \"09:30:00\"\nclose = \"10:00:00\"\nend = \"11:00:00\"\n\
    imbalance_s = 0\n";

#[test]
fn the_market_has_its_reasons_too() {
    let mut exchange = exchange_at(LISTED, OPEN_NS - 5 * SECOND_NS);
    let open = |m: &mut EnterOrder| m.cross = b'O';
    let before = [
        enter(1, |m| m.symbol = Symbol::new("XYZ").unwrap()),
        enter(2, |m| m.price = Price4(10_001).into()),
        enter_with(3, &[Element::PriceType(b'M')], |_| ()),
        enter(4, |m| m.time_in_force = b'E'),
        enter(5, |m| m.cross = b'C'),
        enter(6, |m| m.time_in_force = TIF_IOC),
        enter(7, open),
        enter(8, |_| ()),
    ];
    let said = dialogue(&mut exchange, "a", &before);
    assert_eq!(
        said,
        "J1:17 | J2:1D | J3:01 | J4:0F | A5 | A6 C6:100I | A7 | A8"
    );
    dialogue(&mut exchange, "b", &[sell(1, 150, 10_000)]);
    let from = exchange.stored(0);
    exchange.advance(OPEN_NS);
    // The book's order is served before the one for the cross.
    assert_eq!(
        told(&exchange, "a", from),
        "E8:100@10000M E7:50@10000M C7:50T"
    );
    let short = |m: &mut EnterOrder| (m.side, m.price) = (b'T', Price4(9_900).into());
    let during = [
        enter(9, |m| m.price = Price4(9_900).into()),
        enter(10, open),
        enter(11, |m| m.cross = b'H'),
        enter(12, short),
    ];
    assert_eq!(
        dialogue(&mut exchange, "a", &during),
        "A9 | J10:14 | J11:14 | J12:23"
    );
    exchange.halt(Symbol::new("ALC").unwrap(), true);
    assert_eq!(dialogue(&mut exchange, "a", &[enter(13, |_| ())]), "J13:07");
    exchange.halt(Symbol::new("ALC").unwrap(), false);
    let close = OPEN_NS + 1800 * SECOND_NS;
    exchange.advance(close - 60 * SECOND_NS);
    let late =
        |price: u32| move |m: &mut EnterOrder| (m.cross, m.price) = (b'C', Price4(price).into());
    let messages = [
        enter(14, late(10_100)),
        enter(15, late(10_000)),
        cancel(15, 0),
        replace(15, 16, 50, 10_000),
    ];
    assert_eq!(
        dialogue(&mut exchange, "a", &messages),
        "J14:19 | A15 | I15 | J16:15"
    );
    let from = exchange.stored(0);
    exchange.advance(close);
    assert_eq!(told(&exchange, "a", from), "C5:100T C15:100T C9:100E");
    let after = [
        enter(17, |_| ()),
        enter(18, |m| m.time_in_force = b'E'),
        enter_with(19, &[Element::PriceType(b'M')], |_| ()),
        enter(20, late(10_000)),
    ];
    assert_eq!(
        dialogue(&mut exchange, "a", &after),
        "A17 C17:100E | A18 | J19:11 | J20:14"
    );
    exchange.advance(close + 3600 * SECOND_NS);
    assert_eq!(dialogue(&mut exchange, "a", &[enter(21, |_| ())]), "J21:02");
}

#[test]
fn a_price_beyond_the_bands_pauses_the_stock_until_a_cross() {
    let mut exchange = exchange_at(LISTED, OPEN_NS + SECOND_NS);
    dialogue(
        &mut exchange,
        "b",
        &[sell(1, 100, 10_900), sell(2, 100, 11_100)],
    );
    let sweep = |m: &mut EnterOrder| (m.qty, m.price) = (Qty(200).into(), Price4(11_200).into());
    assert_eq!(
        dialogue(&mut exchange, "a", &[enter(1, sweep)]),
        "A1 E1:100@10900R"
    );
    let ioc = |m: &mut EnterOrder| m.time_in_force = TIF_IOC;
    assert_eq!(dialogue(&mut exchange, "a", &[enter(2, ioc)]), "A2 C2:100I");
    let from = exchange.stored(0);
    exchange.advance(OPEN_NS + 6 * SECOND_NS);
    assert_eq!(told(&exchange, "a", from), "E1:100@11100K");
}

#[test]
fn orders_expire_at_their_second() {
    let mut exchange = exchange_at("", OPEN_NS);
    let expires = [Element::ExpireTimeSeconds(9 * 3600 + 30 * 60 + 10)];
    let gtt = enter_with(1, &expires, |m| m.time_in_force = b'6');
    assert_eq!(dialogue(&mut exchange, "a", &[gtt]), "A1");
    exchange.advance(OPEN_NS + 10 * SECOND_NS - 1);
    assert_eq!(told(&exchange, "a", 1), "");
    exchange.advance(OPEN_NS + 10 * SECOND_NS);
    assert_eq!(told(&exchange, "a", 1), "C1:100T");
}

#[test]
fn special_orders_do_what_they_are_for() {
    let mut exchange = exchange("[account.a]\npassword = \"p\"\npost_only_slides = true\n");
    dialogue(&mut exchange, "b", &[sell(1, 100, 10_200)]);
    let crossing = |m: &mut EnterOrder| m.price = Price4(10_300).into();
    let post_only = [Element::PostOnly(b'P')];
    assert_eq!(
        dialogue(&mut exchange, "c", &[enter_with(1, &post_only, crossing)]),
        "A1 C1:100G"
    );
    assert_eq!(
        dialogue(&mut exchange, "a", &[enter_with(1, &post_only, crossing)]),
        "A1"
    );
    let accepted = exchange.message(0, 0).unwrap();
    let Outbound::OrderAccepted(m) = Outbound::decode(accepted).unwrap().0 else {
        panic!()
    };
    assert_eq!(m.price, WidePriceBe::from(Price4(10_100)), "slid one step");
    // A reserve shows its next shares behind the others.
    let reserve = [Element::MaxFloor(Qty(40))];
    let said = dialogue(
        &mut exchange,
        "c",
        &[enter_with(2, &reserve, |m| m.price = Price4(10_100).into())],
    );
    assert_eq!(said, "A2");
    let said = dialogue(&mut exchange, "b", &[sell(2, 160, 10_100)]);
    assert_eq!(said, "A2 E2:100@10100R E2:40@10100R E2:20@10100R");
    assert_eq!(told(&exchange, "c", 3), "E2:40@10100A R2 E2:20@10100A");
    // A peg trades halfway, unseen, and not for less than it wants.
    let peg = [Element::PriceType(b'M'), Element::MinQty(Qty(50))];
    assert_eq!(
        dialogue(&mut exchange, "a", &[enter_with(2, &peg, crossing)]),
        "A2"
    );
    let hit = |qty: u32| {
        move |m: &mut EnterOrder| {
            (m.side, m.time_in_force, m.qty, m.price) =
                (b'S', TIF_IOC, Qty(qty).into(), Price4(10_150).into());
        }
    };
    let said = dialogue(&mut exchange, "b", &[enter(3, hit(49)), enter(4, hit(60))]);
    assert_eq!(said, "A3 C3:49I | A4 E4:60@10150m");
}

#[test]
fn orders_of_one_owner_do_not_meet_where_that_is_prevented() {
    for (rule, newcomer, waiting) in [
        ("W", "A2 D2:60W", ""),
        ("O", "A2", "D1:100O"),
        ("D", "A2 D2:60D", "D1:60D"),
    ] {
        let mut exchange = exchange(&format!(
            "[account.a]\npassword = \"p\"\nself_match = \"{rule}\"\n"
        ));
        let said = dialogue(&mut exchange, "a", &[enter(1, |_| ()), sell(2, 60, 10_000)]);
        let mut all: Vec<&str> = newcomer.split(' ').collect();
        if !waiting.is_empty() {
            all.insert(1, waiting);
        }
        assert_eq!(said, format!("A1 | {}", all.join(" ")), "{rule}");
    }
}

#[test]
fn a_script_stages_each_race() {
    let rule = |prefix: &str, act: &str, more: &str| {
        format!("[[behaviour]]\nprefix = \"{prefix}\"\ndo = \"{act}\"\n{more}\n")
    };
    let text = [
        rule("LA", "late", "after_ms = 5"),
        rule("IG", "ignore", ""),
        rule("FI", "fill", ""),
        rule("HA", "fill_half", ""),
        rule("FC", "fill_on_cancel", ""),
        rule("TW", "fill_twice", ""),
        rule("BU", "bust", ""),
        rule("CU", "cut", ""),
    ];
    let mut exchange = exchange(&text.concat());
    let named = |n: u32, id: &str| {
        let mut client_order_id = [b' '; 14];
        client_order_id[..2].copy_from_slice(id.as_bytes());
        enter(n, |m| m.client_order_id = client_order_id)
    };
    let messages = [
        named(1, "IG"),
        named(2, "FI"),
        named(3, "HA"),
        named(4, "FC"),
        cancel(4, 0),
        named(5, "TW"),
        named(6, "BU"),
        named(7, "CU"),
    ];
    let said = dialogue(&mut exchange, "a", &messages);
    assert_eq!(
        said,
        " | A2 E2:100@10000R | A3 E3:50@10000A | A4 | E4:100@10000A | A5 E5:100@10000R E5:100@10000R | \
         A6 E6:100@10000R B6:5 | A7"
    );
    assert_eq!(exchange.cut_at(0), Some(exchange.stored(0) - 1));
    let from = exchange.stored(0);
    dialogue(&mut exchange, "a", &[named(8, "LA")]);
    exchange.advance(7 + 4_999_999);
    assert_eq!(told(&exchange, "a", from), "");
    exchange.advance(7 + 5_000_000);
    assert_eq!(told(&exchange, "a", from), "A8");
}

#[test]
fn every_reason_can_be_had_by_script() {
    for reason in RejectReason::ALL {
        let code = *reason as u16;
        let mut exchange = exchange(&format!(
            "[[behaviour]]\nprefix = \"xx\"\ndo = \"reject\"\nreason = {code}\n"
        ));
        let said = dialogue(&mut exchange, "a", &[enter(1, |_| ())]);
        assert_eq!(said, format!("J1:{code:02X}"), "{}", reason.text());
    }
}

#[test]
fn a_restarted_exchange_resumes_and_says_that_nothing_rests() {
    let mut first = exchange("");
    dialogue(&mut first, "b", &[sell(1, 30, 10_000)]);
    let messages = [
        enter(1, |_| ()),
        enter(2, |_| ()),
        cancel(2, 0),
        enter(3, |m| m.side = b'?'),
    ];
    assert_eq!(
        dialogue(&mut first, "a", &messages),
        "A1 E1:30@10000R | A2 | C2:100U | J3:09"
    );
    let mut file = Vec::new();
    let saved = first.save(|name, bytes| {
        if name == "a" {
            file.extend_from_slice(bytes);
        }
        Ok::<(), ()>(())
    });
    assert_eq!(saved, Ok(()));
    let mut second = exchange("");
    second.restore(0, Store::restore(100, &file).unwrap().store);
    assert_eq!(second.stored(0), 6);
    assert_eq!(told(&second, "a", 5), "C1:70Z");
    let said = dialogue(
        &mut second,
        "a",
        &[enter(3, |_| ()), vec![b'Q'], enter(4, |_| ())],
    );
    assert_eq!(said, " | Q4 | A4");
    let Outbound::OrderAccepted(m) = Outbound::decode(second.message(0, 7).unwrap()).unwrap().0
    else {
        panic!()
    };
    assert_eq!(
        m.order.get().0,
        4,
        "numbers go on behind those of the first run"
    );
}

#[test]
fn an_account_whose_store_is_full_is_answered_nothing_more() {
    let mut exchange = exchange("store_max = 2\n");
    let said = dialogue(&mut exchange, "a", &[1, 2, 3].map(|n| enter(n, |_| ())));
    assert_eq!(said, "A1 | A2 | ");
    assert_eq!(exchange.entry_counters().store_full.get(), 1);
}

#[test]
fn account_whose_answers_cannot_be_saved_is_cut_others_trade_and_it_hears_all_later() {
    let mut exchange = exchange("");
    let (a, b) = (0, 1);
    let keep = |exchange: &mut Exchange, is_full: bool| {
        exchange.save(|name, _| {
            if is_full && name == "a" {
                Err(())
            } else {
                Ok(())
            }
        })
    };
    assert_eq!(
        dialogue(&mut exchange, "a", &[enter(1, |_| ()), enter(2, |_| ())]),
        "A1 | A2"
    );
    assert_eq!(keep(&mut exchange, false), Ok(()));
    // It trades, and the fill finds no room.
    assert_eq!(
        dialogue(&mut exchange, "b", &[sell(1, 30, 10_000)]),
        "A1 E1:30@10000R"
    );
    assert_eq!(keep(&mut exchange, true), Err(()));
    assert!(exchange.is_cut(a) && !exchange.is_cut(b));
    assert_eq!(
        exchange.open_orders(a),
        [],
        "who cannot be told has nothing open"
    );
    assert_eq!(exchange.message(a, 1).map(short), Some("A2".to_owned()));
    assert_eq!(exchange.message(a, 2), None, "what is not kept is not told");
    // Others go on; it is not heard.
    assert_eq!(dialogue(&mut exchange, "b", &[sell(2, 70, 10_000)]), "A2");
    exchange.on_message(a, &enter(3, |_| ()));
    assert_eq!(keep(&mut exchange, true), Err(()));
    assert_eq!(exchange.account_view(b).unwrap().orders.len(), 1);
    let counters = exchange.entry_counters();
    assert_eq!(
        (counters.accounts_cut.get(), counters.account_cut.get()),
        (1, 1)
    );
    // There is room again: it hears what became of its orders, and may go on.
    assert_eq!(keep(&mut exchange, false), Ok(()));
    assert!(!exchange.is_cut(a));
    assert_eq!(told(&exchange, "a", 2), "E1:30@10000A C1:70Z C2:100Z");
    assert_eq!(
        dialogue(&mut exchange, "a", &[enter(3, |_| ())]),
        "A3 E3:70@10000R"
    );
}
