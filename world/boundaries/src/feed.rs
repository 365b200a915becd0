//! Whatever two lines bring: each few bytes become a packet (in turn, out of turn, cut, of another
//! session, or any bytes at all), a pause, or how much strategies take. Behind it runs the whole feed
//! handler with everything it says checked, as on the random days of `feed-handler/tests/feed_days.rs`.

#[path = "../../../feed-handler/tests/market/mod.rs"]
#[allow(dead_code, reason = "the random days look at more")]
mod market;

use crate::input::Input;
use feed_handler::publish::Way;
use market::{Arrivals, Hearer, LINES, Market, STALE_NS, end, heartbeat, packet};
use protocol::itch::{
    self, AddOrder, BrokenTrade, Head, OrderCancel, OrderDelete, OrderExecuted, OrderReplace,
    StockDirectory, Trade,
};
use protocol::types::{MatchNumber, Nanos, OrderRef, Price4, Qty, Symbol};
use zerocopy::{FromZeros, IntoBytes};

/// Packets of one input at most: an input is a day, not a year.
const STEPS_MAX: usize = 400;

/// Where fields of a type lie, by the specification's tables.
struct Layout {
    kind: u8,
    /// It is about an order, whose reference has eight bytes from here on.
    order: Option<usize>,
    /// Fields of four bytes that take the few shares there are (of eight bytes: the lower half).
    shares: &'static [usize],
    /// And those that take the few prices.
    prices: &'static [usize],
    /// Fields of a letter, with letters that there are.
    letters: &'static [(usize, &'static [u8])],
}

/// A type without fields that anybody reads.
const BARE: Layout = Layout {
    kind: 0,
    order: None,
    shares: &[],
    prices: &[],
    letters: &[],
};

/// What is rarer than orders: how they trade at other prices, crosses, and everything that is said of trading.
const RARE: [Layout; 15] = [
    Layout {
        kind: b'F',
        order: Some(11),
        shares: &[20],
        prices: &[32],
        letters: &[(19, b"BS")],
    },
    Layout {
        kind: b'C',
        order: Some(11),
        shares: &[19],
        prices: &[32],
        letters: &[(31, b"YN")],
    },
    Layout {
        kind: b'Q',
        shares: &[15],
        prices: &[27],
        letters: &[(39, b"OCHA")],
        ..BARE
    },
    Layout {
        kind: b'H',
        letters: &[(19, b"HPQT"), (21, b"T ")],
        ..BARE
    },
    Layout {
        kind: b'S',
        letters: &[(11, b"OSQMEC")],
        ..BARE
    },
    Layout {
        kind: b'Y',
        letters: &[(19, b"012")],
        ..BARE
    },
    Layout {
        kind: b'h',
        letters: &[(19, b"QBX"), (20, b"HT")],
        ..BARE
    },
    Layout {
        kind: b'J',
        shares: &[31],
        prices: &[19, 23, 27],
        ..BARE
    },
    Layout {
        kind: b'I',
        shares: &[15, 23],
        prices: &[36, 40, 44],
        letters: &[(27, b"BSNO"), (48, b"OCHA"), (49, b"L123")],
        ..BARE
    },
    Layout {
        kind: b'K',
        shares: &[19],
        prices: &[24],
        letters: &[(23, b"AC")],
        ..BARE
    },
    Layout {
        kind: b'W',
        letters: &[(11, b"123")],
        ..BARE
    },
    Layout {
        kind: b'V',
        prices: &[15, 23, 31],
        ..BARE
    },
    Layout { kind: b'L', ..BARE },
    Layout { kind: b'N', ..BARE },
    Layout { kind: b'O', ..BARE },
];

/// One of these types; a letter may be any byte.
fn rare(layout: &Layout, head: Head, fields: [u8; 3]) -> Vec<u8> {
    let [what, reference, other] = fields;
    let len = itch::len_of(layout.kind).expect("a type");
    let mut bytes = vec![0; len];
    bytes[..size_of::<Head>()].copy_from_slice(head.as_bytes());
    if let Some(at) = layout.order {
        bytes[at..at + 8].copy_from_slice(&u64::from(reference).to_be_bytes());
    }
    for at in layout.shares {
        bytes[*at..at + 4].copy_from_slice(&u32::from(other >> 4).to_be_bytes());
    }
    for at in layout.prices {
        bytes[*at..at + 4].copy_from_slice(&u32::from(other & 15).to_be_bytes());
    }
    let which = usize::from(what >> 3);
    for (at, letters) in layout.letters {
        bytes[*at] = if which == 31 {
            reference
        } else {
            letters[which % letters.len()]
        };
    }
    bytes
}

fn message(input: &mut Input<'_>) -> Vec<u8> {
    let [kind, what, reference, other] = [0; 4].map(|_: u8| input.byte());
    // Few symbols and few orders, so that messages are about the same ones.
    let (locate, reference) = (u16::from(what & 3) + 1, reference & 63);
    let head = |kind| Head::new(kind, locate, Nanos(1));
    let order = OrderRef(u64::from(reference)).into();
    let (shares, price) = (
        Qty(u32::from(other >> 4)).into(),
        Price4(u32::from(other & 15)).into(),
    );
    if kind >= 160 {
        let layout = &RARE[usize::from(kind) % RARE.len()];
        return rare(layout, head(layout.kind), [what, reference, other]);
    }
    match kind & 15 {
        0..=4 => {
            let side = if what & 4 == 0 { b'B' } else { b'S' };
            AddOrder {
                head: head(b'A'),
                order,
                side,
                shares,
                stock: Symbol::BLANK,
                price,
            }
            .as_bytes()
            .to_vec()
        }
        5 | 6 => {
            let match_number = MatchNumber(1).into();
            OrderExecuted {
                head: head(b'E'),
                order,
                shares,
                match_number,
            }
            .as_bytes()
            .to_vec()
        }
        7 => OrderCancel {
            head: head(b'X'),
            order,
            shares,
        }
        .as_bytes()
        .to_vec(),
        8 => OrderDelete {
            head: head(b'D'),
            order,
        }
        .as_bytes()
        .to_vec(),
        9 | 10 => {
            let new_order = OrderRef(u64::from(what >> 2)).into();
            OrderReplace {
                head: head(b'U'),
                old_order: order,
                new_order,
                shares,
                price,
            }
            .as_bytes()
            .to_vec()
        }
        11 => {
            let mut directory = StockDirectory::new_zeroed();
            directory.head = head(b'R');
            directory.stock = Symbol(if other & 1 == 0 {
                *b"ALC     "
            } else {
                *b"BOB     "
            });
            directory.as_bytes().to_vec()
        }
        12 => {
            let mut trade = Trade::new_zeroed();
            (trade.head, trade.shares, trade.price) = (head(b'P'), shares, price);
            trade.as_bytes().to_vec()
        }
        13 => {
            let mut broken = BrokenTrade::new_zeroed();
            broken.head = head(b'B');
            broken.as_bytes().to_vec()
        }
        _ => input.bytes(usize::from(other & 63)),
    }
}

/// Strategies with rings of their own, quick, slow and narrow, and two that share a small one.
const HEARERS: [Hearer; 5] = [
    Hearer {
        way: Way::Own,
        room: 1 << 12,
        is_narrow: false,
    },
    Hearer {
        way: Way::Own,
        room: 4,
        is_narrow: false,
    },
    Hearer {
        way: Way::Own,
        room: 8,
        is_narrow: true,
    },
    Hearer {
        way: Way::Shared,
        room: 0,
        is_narrow: false,
    },
    Hearer {
        way: Way::Shared,
        room: 0,
        is_narrow: true,
    },
];

/// One input.
pub(crate) fn run(data: &[u8]) {
    let mut input = Input(data);
    let hold_ns = [0, 50, 1_000, 20_000][usize::from(input.byte() & 3)];
    let mut market = Market::new(hold_ns, &HEARERS, 16, &[Symbol(*b"ALC     ")]);
    let mut session = *b"SESSION000";
    let mut appetites = [usize::MAX; HEARERS.len()];
    let mut arriving = Arrivals::new();
    for _ in 0..STEPS_MAX {
        if input.0.is_empty() {
            break;
        }
        let [op, near] = [0; 2].map(|_: u8| input.byte());
        let line = op >> 4 & 1;
        // Around the number that is due: mostly it, a little behind or ahead.
        let next = market.next_seq();
        let seq = next.saturating_add_signed(i64::from(near.cast_signed() >> 2));
        match op & 15 {
            0..=4 => {
                let count = usize::from(op >> 5);
                let messages: Vec<_> = (0..count).map(|_| message(&mut input)).collect();
                arriving.push((line, packet(session, seq, &messages)));
            }
            5 => arriving.push((line, heartbeat(session, seq))),
            6 => arriving.push((line, end(session, seq))),
            7 => {
                let mut wild = packet(session, seq, &[message(&mut input)]);
                let at = usize::from(op >> 5);
                wild[10 + at] = near;
                arriving.push((line, wild));
            }
            8 => {
                let mut cut = packet(session, seq, &[message(&mut input), message(&mut input)]);
                cut.truncate(usize::from(input.byte()));
                arriving.push((line, cut));
            }
            9 => arriving.push((line, input.bytes(usize::from(near)))),
            10 => session[9] = b'0' + (near & 3),
            11 => {
                let [few, some] = [usize::from(near & 7), usize::from(near >> 4)];
                appetites = [usize::MAX, few, some, usize::MAX, few];
            }
            12 => {
                if let Some((_, last)) = arriving.last().cloned() {
                    arriving.push((LINES - 1 - line, last));
                }
            }
            13 => market.wait(STALE_NS * u64::from(near) / 64, &appetites),
            _ => market.turn(
                u64::from(near) * 8,
                std::mem::take(&mut arriving),
                &appetites,
            ),
        }
    }
    market.turn(1, arriving, &appetites);
    market.finish();
}
