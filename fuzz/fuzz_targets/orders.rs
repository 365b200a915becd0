//! Orders that are nearly right: each 16 bytes become one OUCH message of one of two accounts. Whatever
//! comes, both sides of every trade are told, and shown prices do not cross while the stock trades.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use order_sim::engine::State;
use order_sim::exchange::Exchange;
use order_sim::options::Options;
use protocol::ouch::{
    AppendageBuffer, CancelOrder, Element, EnterOrder, MassCancel, ModifyOrder, Outbound, ReplaceOrder,
};
use protocol::types::{Price4, Qty, Symbol, UserRefNum};

static OPTIONS: LazyLock<Options> = LazyLock::new(|| {
    let text = "address = \"127.0.0.1:1\"\n[engine]\norders_max = 64\nlevels_max = 8\ntrades_max = 8\n\
                pause_ms = 3\n[[symbol]]\nname = \"A\"\nprice = \"1.00\"\nband_bps = 300\n\
                [day]\nopen = \"00:00:01\"\nclose = \"00:00:02\"\nend = \"00:00:03\"\nimbalance_s = 1\n\
                [feed]\nkeep = 16\nlines = [{ address = \"127.0.0.1:2\" }]\n\
                [account.a]\npassword = \"p\"\nself_match = \"D\"\n\
                [account.b]\npassword = \"p\"\npost_only_slides = true\n";
    Options::parse(text).expect("sane")
});

/// One of the letters of a field, or any byte.
fn letter(byte: u8, of: &[u8]) -> u8 {
    of.get(usize::from(byte & 15)).copied().unwrap_or(byte)
}

fn message(record: &[u8; 16], next: u32) -> Vec<u8> {
    let [kind, side, qty, price, tif, display, cross, tag, value, old, ..] = *record;
    let user_ref = UserRefNum(next).into();
    let old = UserRefNum(next.saturating_sub(u32::from(old))).into();
    let qty = Qty(u32::from(qty)).into();
    let price = Price4(9_700 + 100 * u32::from(price % 8)).into();
    let id = [b'f'; 14];
    let mut elements = AppendageBuffer::default();
    let small = Qty(u32::from(value));
    let _ = match tag & 15 {
        1 => elements.push(Element::MinQty(small)),
        2 => elements.push(Element::MaxFloor(small)),
        3 => elements.push(Element::PriceType(letter(value, b"MmL"))),
        4 => elements.push(Element::PostOnly(b'P')),
        5 => elements.push(Element::AiqStrategy(letter(value, b"WOD"))),
        6 => elements.push(Element::ExpireTimeSeconds(u32::from(value & 3))),
        _ => true,
    };
    let tail = elements.as_bytes();
    let mut out = vec![0; 512];
    let len = match kind % 8 {
        0 => CancelOrder { kind: b'X', user_ref: old, qty }.encode(&[], &mut out),
        1 => ModifyOrder { kind: b'M', user_ref: old, side: letter(side, b"BSTE"), qty }.encode(&[], &mut out),
        2 | 3 => ReplaceOrder {
            kind: b'U',
            original_user_ref: old,
            user_ref,
            qty,
            price,
            time_in_force: letter(tif, b"000356"),
            display: letter(display, b"YNA"),
            iso: b'N',
            client_order_id: id,
        }
        .encode(tail, &mut out),
        4 if side == 0 => {
            MassCancel { kind: b'C', user_ref, firm: *b"    ", symbol: Symbol::BLANK }.encode(&[], &mut out)
        }
        _ => EnterOrder {
            kind: b'O',
            user_ref,
            side: letter(side, b"BBBSSSTE"),
            qty,
            symbol: Symbol(*b"A       "),
            price,
            time_in_force: letter(tif, b"0003356E"),
            display: letter(display, b"YYYYNNA"),
            capacity: b'P',
            iso: b'N',
            cross: letter(cross, b"NNNNNNNNOCH"),
            client_order_id: id,
        }
        .encode(tail, &mut out),
    };
    out.truncate(len.unwrap_or(0));
    out
}

fuzz_target!(|data: &[u8]| {
    let mut exchange = Exchange::new(&OPTIONS, 0);
    let mut now = 0;
    for (record, next) in data.as_chunks::<16>().0.iter().zip(1..) {
        let [.., wait, who] = *record;
        now += u64::from(wait) * 2_000_000;
        exchange.advance(now);
        if who == 255 {
            exchange.halt(Symbol(*b"A       "), wait % 2 == 0);
        }
        exchange.on_message(u16::from(who & 1), &message(record, next));
        let (bid, ask, _) = exchange.engine().best(1);
        let is_trading =
            exchange.engine().stock_state(1).is_some_and(|(_, state, _)| state == State::Trading);
        if let (Some(bid), Some(ask), true) = (bid, ask, is_trading) {
            assert!(bid < ask, "crossed: {bid} {ask}");
        }
        while exchange.take_packet(0).is_some() {}
    }
    exchange.advance(4_000_000_000);
    assert_eq!(exchange.engine().totals().live, 0, "nothing outlives the day");
    let executed = |account: u16| -> u64 {
        (0..exchange.stored(account))
            .filter_map(|at| Outbound::decode(exchange.message(account, at)?).ok())
            .map(|(answer, _)| match answer {
                Outbound::Executed(m) => u64::from(m.qty.get().0),
                _ => 0,
            })
            .sum()
    };
    assert_eq!((executed(0) + executed(1)) % 2, 0, "each trade has two sides");
});
