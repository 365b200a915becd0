//! Orders that are nearly right: each 16 bytes become one OUCH message of one of two accounts. Whatever
//! comes, both sides of every trade are told, a buyer's and a seller's, for as many shares at the same
//! price, which is within both limits; no share of an order is told twice or lost; what the exchange says of its
//! accounts is what they were told; and shown prices do not cross while the stock trades.
use std::collections::BTreeMap;
use std::sync::LazyLock;

use order_sim::engine::State;
use order_sim::exchange::Exchange;
use order_sim::file;
use order_sim::options::Options;
use protocol::ouch::{
    AppendageBuffer, CancelOrder, Element, EnterOrder, MassCancel, ModifyOrder, Outbound,
    ReplaceOrder,
};
use protocol::types::{Price4, Qty, Symbol, UserRefNum};

static OPTIONS: LazyLock<Options> = LazyLock::new(|| {
    let text = "address = \"127.0.0.1:1\"\n[engine]\norders_max = 64\nlevels_max = 8\ntrades_max = 8\n\
                pause_ms = 3\n[[symbol]]\nname = \"A\"\nprice = \"1.00\"\nband_bps = 300\n\
                [day]\nopen = \"00:00:01\"\nclose = \"00:00:02\"\nend = \"00:00:03\"\nimbalance_s = 1\n\
                [feed]\nkeep = 16\nlines = [{ address = \"127.0.0.1:2\" }]\n\
                [account.a]\npassword = \"p\"\nself_match = \"D\"\n\
                [account.b]\npassword = \"p\"\npost_only_slides = true\n";
    file::parse(text).expect("sane").exchange
});

/// The limit that an order or a replace of this record has.
fn limit(record: &[u8; 16]) -> u32 {
    let [_, _, _, price, ..] = *record;
    9_700 + 100 * u32::from(price % 8)
}

/// One of the letters of a field, or any byte.
fn letter(byte: u8, of: &[u8]) -> u8 {
    of.get(usize::from(byte & 15)).copied().unwrap_or(byte)
}

fn message(record: &[u8; 16], next: u32) -> Vec<u8> {
    let [kind, side, qty, _, tif, display, cross, tag, value, old, ..] = *record;
    let user_ref = UserRefNum(next).into();
    let old = UserRefNum(next.saturating_sub(u32::from(old))).into();
    let qty = Qty(u32::from(qty)).into();
    let price = Price4(limit(record)).into();
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
        0 => CancelOrder {
            kind: b'X',
            user_ref: old,
            qty,
        }
        .encode(&[], &mut out),
        1 => ModifyOrder {
            kind: b'M',
            user_ref: old,
            side: letter(side, b"BSTE"),
            qty,
        }
        .encode(&[], &mut out),
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
        4 if side == 0 => MassCancel {
            kind: b'C',
            user_ref,
            firm: *b"    ",
            symbol: Symbol::BLANK,
        }
        .encode(&[], &mut out),
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

/// One input.
pub(crate) fn run(data: &[u8]) {
    let mut exchange = Exchange::new(&OPTIONS, 0);
    let mut now = 0;
    for (record, next) in data.as_chunks::<16>().0.iter().zip(1..) {
        let [.., wait, who] = *record;
        now += u64::from(wait) * 2_000_000;
        exchange.advance(now);
        match who {
            255 => {
                exchange.halt(Symbol(*b"A       "), wait % 2 == 0);
            }
            254 => {
                exchange.break_trade(u64::from(wait));
            }
            _ => {}
        }
        exchange.on_message(u16::from(who & 1), &message(record, next));
        let (bid, ask, _) = exchange.engine().best(1);
        let is_trading = exchange
            .engine()
            .status(1)
            .is_some_and(|stock| stock.state == State::Trading);
        if let (Some(bid), Some(ask), true) = (bid, ask, is_trading) {
            assert!(bid < ask, "crossed: {bid} {ask}");
        }
        while exchange.take_packet(0).is_some() {}
    }
    exchange.advance(4_000_000_000);
    assert_eq!(
        exchange.engine().totals().live,
        0,
        "nothing outlives the day"
    );
    // A record's place is the number of its order.
    let limits: Vec<u32> = data.as_chunks::<16>().0.iter().map(limit).collect();
    let mut matches: BTreeMap<u64, Vec<Fill>> = BTreeMap::new();
    for account in 0..2 {
        for (number, fill) in fills(&exchange, account, &limits) {
            matches.entry(number).or_default().push(fill);
        }
    }
    for (number, sides) in matches {
        let [one, other] = &sides[..] else {
            panic!("match {number}: {} sides", sides.len())
        };
        assert_eq!(
            (one.qty, one.price),
            (other.qty, other.price),
            "match {number}"
        );
        assert_ne!(one.is_buyer, other.is_buyer, "match {number}");
    }
}

/// One side of a trade.
struct Fill {
    is_buyer: bool,
    qty: u32,
    price: u64,
}

/// An account's executions by match number, each within the limit of its order. Each of its orders ends with as many
/// shares as it had, and the account's position is what its unbroken executions come to.
fn fills(exchange: &Exchange, account: u16, limits: &[u32]) -> Vec<(u64, Fill)> {
    let mut orders: BTreeMap<u32, (bool, u32)> = BTreeMap::new();
    let (mut fills, mut shares) = (Vec::new(), BTreeMap::new());
    let stored = (0..exchange.stored(account)).filter_map(|at| exchange.message(account, at));
    for bytes in stored {
        let lower = |orders: &mut BTreeMap<u32, (bool, u32)>, user_ref: u32, qty: u32| {
            let order = orders
                .get_mut(&user_ref)
                .expect("an order that was accepted");
            order.1 = order.1.checked_sub(qty).expect("shares that it has");
            order.0
        };
        match Outbound::decode(bytes).expect("an answer").0 {
            Outbound::OrderAccepted(m) => {
                let old = orders.insert(m.user_ref.get().0, (m.side == b'B', m.qty.get().0));
                assert!(old.is_none(), "a number is used once");
            }
            Outbound::OrderReplaced(m) => {
                let old = orders
                    .remove(&m.original_user_ref.get().0)
                    .expect("what is replaced");
                assert_eq!(old.0, m.side == b'B', "a replacement keeps its side");
                assert!(old.1 > 0, "what is replaced is open");
                orders.insert(m.user_ref.get().0, (old.0, m.qty.get().0));
            }
            Outbound::Modified(m) => {
                let order = orders
                    .get_mut(&m.user_ref.get().0)
                    .expect("what is modified");
                assert!(m.qty.get().0 <= order.1, "a modification never raises");
                order.1 = m.qty.get().0;
            }
            Outbound::Canceled(m) => {
                lower(&mut orders, m.user_ref.get().0, m.qty.get().0);
            }
            Outbound::AiqCanceled(m) => {
                lower(&mut orders, m.user_ref.get().0, m.qty.get().0);
            }
            Outbound::Executed(m) => {
                let (user_ref, number, qty) =
                    (m.user_ref.get().0, m.match_number.get().0, m.qty.get().0);
                let is_buyer = lower(&mut orders, user_ref, qty);
                let (limit, price) = (u64::from(limits[user_ref as usize - 1]), m.price.raw());
                let is_within = if is_buyer {
                    price <= limit
                } else {
                    price >= limit
                };
                assert!(is_within, "order {user_ref}: {price}, limit {limit}");
                shares.insert((number, user_ref), (is_buyer, u64::from(qty)));
                fills.push((
                    number,
                    Fill {
                        is_buyer,
                        qty,
                        price: m.price.raw(),
                    },
                ));
            }
            Outbound::BrokenTrade(m) => {
                let key = (m.match_number.get().0, m.user_ref.get().0);
                shares.remove(&key).expect("a trade is broken once");
            }
            _ => {}
        }
    }
    assert!(
        orders.values().all(|(_, open)| *open == 0),
        "nothing outlives the day"
    );
    let view = exchange.account_view(account).expect("an account");
    assert_eq!(view.orders, [], "nothing outlives the day");
    let sum = |of_buyer: bool| -> u64 {
        let fills = shares
            .values()
            .filter(|(is_buyer, _)| *is_buyer == of_buyer);
        fills.map(|(_, qty)| qty).sum()
    };
    let bought: u64 = view.positions.iter().map(|position| position.bought).sum();
    let sold: u64 = view.positions.iter().map(|position| position.sold).sum();
    assert_eq!((bought, sold), (sum(true), sum(false)), "account {account}");
    fills
}

/// What to begin with: any scripts, and a peg whose limit the midpoint has passed when somebody comes who would meet it.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let record = |fields: &[u8], wait, who| {
        let mut record = [0; 16];
        record[..fields.len()].copy_from_slice(fields);
        [record[14], record[15]] = [wait, who];
        record
    };
    let (enter, modify) = (5, 1);
    let (buy, sell) = (0, 3);
    let order = |side, price| [enter, side, 10, price, 0, 0, 0];
    let peg = [enter, buy, 10, 1, 0, 4, 0, 3, 0];
    let script = [
        // Past the open.
        record(&[modify], 255, 0),
        record(&[modify], 255, 0),
        record(&order(buy, 0), 0, 0),
        record(&order(sell, 6), 0, 0),
        record(&peg, 0, 0),
        record(&order(sell, 3), 0, 1),
    ];
    let mut seeds = crate::scripts();
    seeds.push(script.concat());
    seeds
}
