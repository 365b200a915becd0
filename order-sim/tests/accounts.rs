//! What the exchange says of its accounts is true: judged by a ledger that knows nothing but the stored
//! answers, by the engine's own orders, and by what must add up.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests"
)]

use std::collections::{BTreeMap, BTreeSet};

use order_sim::account::{AccountView, OpenOrder, Position};
use order_sim::exchange::Exchange;
use order_sim::file;
use order_sim::store::Store;
use protocol::ouch::{
    AppendageBuffer, CancelOrder, Element, EnterOrder, MassCancel, ModifyOrder, Outbound,
    ReplaceOrder,
};
use protocol::types::{Price4, Qty, Symbol, UserRefNum};

const ACCOUNTS: [&str; 3] = ["a", "b", "c"];
const SYMBOLS: [&[u8; 8]; 2] = [b"AAA     ", b"BB      "];

fn exchange(more: &str) -> Exchange {
    let text = format!(
        "address = \"127.0.0.1:1\"\n{more}\n\
         [account.a]\npassword = \"p\"\n[account.b]\npassword = \"p\"\nself_match = \"D\"\n\
         [account.c]\npassword = \"p\"\npost_only_slides = true\n"
    );
    Exchange::new(&file::parse(&text).unwrap().exchange, 7)
}

/// What a ledger makes of an account's answers, all read anew each time.
#[derive(Debug, PartialEq, Eq)]
struct Ledger {
    orders: Vec<OpenOrder>,
    positions: Vec<Position>,
}

fn ledger(exchange: &Exchange, account: u16) -> Ledger {
    let mut orders: BTreeMap<u32, OpenOrder> = BTreeMap::new();
    let mut fills = BTreeMap::new();
    let mut gone = BTreeSet::new();
    for index in 0..exchange.stored(account) {
        let bytes = exchange.message(account, index).unwrap();
        match Outbound::decode(bytes).unwrap().0 {
            Outbound::OrderAccepted(m) => {
                let order = OpenOrder {
                    user_ref: m.user_ref.get(),
                    symbol: m.symbol,
                    side: m.side,
                    price: m.price.get(),
                    open: m.qty.get(),
                    executed: Qty(0),
                };
                assert!(orders.insert(order.user_ref.0, order).is_none(), "one use");
            }
            Outbound::OrderReplaced(m) => {
                let old = m.original_user_ref.get().0;
                gone.insert(old);
                let order = OpenOrder {
                    user_ref: m.user_ref.get(),
                    side: m.side,
                    price: m.price.get(),
                    open: m.qty.get(),
                    ..orders[&old]
                };
                assert!(orders.insert(order.user_ref.0, order).is_none(), "one use");
            }
            Outbound::Executed(m) => {
                let user_ref = m.user_ref.get().0;
                let order = orders.get_mut(&user_ref).unwrap();
                let fill = (order.symbol, order.side, m.qty.get().0);
                // A fill that is told twice is one fill.
                if fills
                    .insert((m.match_number.get().0, user_ref), fill)
                    .is_none()
                {
                    order.open.0 -= fill.2;
                    order.executed.0 += fill.2;
                }
            }
            Outbound::BrokenTrade(m) => {
                let key = (m.match_number.get().0, m.user_ref.get().0);
                assert!(fills.remove(&key).is_some(), "a trade is broken once");
            }
            Outbound::Canceled(m) => {
                orders.get_mut(&m.user_ref.get().0).unwrap().open.0 -= m.qty.get().0
            }
            Outbound::AiqCanceled(m) => {
                orders.get_mut(&m.user_ref.get().0).unwrap().open.0 -= m.qty.get().0;
            }
            Outbound::Modified(m) => {
                let order = orders.get_mut(&m.user_ref.get().0).unwrap();
                (order.open, order.side) = (m.qty.get(), m.side);
            }
            _ => {}
        }
    }
    let positions = positions_of(fills.into_values());
    let is_live = |order: &OpenOrder| order.open.0 > 0 && !gone.contains(&order.user_ref.0);
    Ledger {
        orders: orders.into_values().filter(is_live).collect(),
        positions,
    }
}

fn positions_of(fills: impl Iterator<Item = (Symbol, u8, u32)>) -> Vec<Position> {
    let mut positions: BTreeMap<Symbol, Position> = BTreeMap::new();
    for (symbol, side, qty) in fills {
        let position = positions.entry(symbol).or_insert(Position {
            symbol,
            bought: 0,
            sold: 0,
        });
        if side == b'B' {
            position.bought += u64::from(qty);
        } else {
            position.sold += u64::from(qty);
        }
    }
    positions.into_values().collect()
}

/// Compares what the exchange says with the ledger and with the engine.
fn judge(exchange: &Exchange) -> Vec<AccountView> {
    let views: Vec<AccountView> = exchange.accounts().collect();
    assert_eq!(views.len(), ACCOUNTS.len());
    let mut in_engine: Vec<(u16, u32, u32)> = exchange
        .engine()
        .live()
        .map(|(owner, open)| (owner.account, owner.user_ref, open))
        .collect();
    in_engine.sort_unstable();
    let mut in_views = Vec::new();
    for (account, view) in (0..).zip(&views) {
        let mut view = view.clone();
        assert_eq!(view.name, ACCOUNTS[usize::from(account)]);
        assert_eq!(exchange.account_view(account).as_ref(), Some(&view));
        in_views.extend(
            view.orders
                .iter()
                .map(|order| (account, order.user_ref.0, order.open.0)),
        );
        // A position that was traded and broken is one of nothing.
        view.positions
            .retain(|position| position.bought + position.sold > 0);
        let (orders, positions) = (view.orders, view.positions);
        assert_eq!(Ledger { orders, positions }, ledger(exchange, account));
    }
    assert_eq!(in_views, in_engine);
    views
}

fn enter(user_ref: u32, random: &mut fastrand::Rng) -> Vec<u8> {
    let message = EnterOrder {
        kind: b'O',
        user_ref: UserRefNum(user_ref).into(),
        side: random.choice(*b"BBBSST").unwrap(),
        qty: Qty(random.u32(1..300)).into(),
        symbol: Symbol(*random.choice(SYMBOLS).unwrap()),
        price: Price4(10_000 + 100 * random.u32(0..6)).into(),
        time_in_force: random.choice(*b"00003").unwrap(),
        display: random.choice(*b"YYYN").unwrap(),
        capacity: b'P',
        iso: b'N',
        cross: b'N',
        client_order_id: match random.u32(0..30) {
            0 => *b"twice         ",
            1 => *b"bust          ",
            _ => [b'x'; 14],
        },
    };
    let mut elements = AppendageBuffer::default();
    assert!(match random.u32(0..6) {
        0 => elements.push(Element::PostOnly(b'P')),
        1 => elements.push(Element::MaxFloor(Qty(10))),
        _ => true,
    });
    encoded(|out| message.encode(elements.as_bytes(), out))
}

fn encoded(encode: impl FnOnce(&mut [u8]) -> Option<usize>) -> Vec<u8> {
    let mut out = vec![0; 256];
    let len = encode(&mut out).unwrap();
    out.truncate(len);
    out
}

/// Any message of an account whose next number is `next`.
fn message(next: u32, random: &mut fastrand::Rng) -> Vec<u8> {
    let user_ref = UserRefNum(next).into();
    let old = UserRefNum(next.saturating_sub(random.u32(1..30))).into();
    let qty = Qty(random.u32(0..300)).into();
    match random.u32(0..20) {
        0..=2 => encoded(|out| {
            CancelOrder {
                kind: b'X',
                user_ref: old,
                qty,
            }
            .encode(&[], out)
        }),
        3 | 4 => {
            let side = random.choice(*b"BST").unwrap();
            encoded(|out| {
                ModifyOrder {
                    kind: b'M',
                    user_ref: old,
                    side,
                    qty,
                }
                .encode(&[], out)
            })
        }
        5..=8 => {
            let message = ReplaceOrder {
                kind: b'U',
                original_user_ref: old,
                user_ref,
                qty,
                price: Price4(10_000 + 100 * random.u32(0..6)).into(),
                time_in_force: b'0',
                display: random.choice(*b"YN").unwrap(),
                iso: b'N',
                client_order_id: [b'y'; 14],
            };
            encoded(|out| message.encode(&[], out))
        }
        9 if random.u32(0..10) == 0 => {
            let symbol = Symbol(*SYMBOLS[0]);
            let firm = *b"    ";
            encoded(|out| {
                MassCancel {
                    kind: b'C',
                    user_ref,
                    firm,
                    symbol,
                }
                .encode(&[], out)
            })
        }
        _ => enter(next, random),
    }
}

/// A day of orders; the exchange's own view is judged after every message.
fn day(seed: u64, more: &str) -> (Exchange, u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut exchange = exchange(more);
    let mut trades_broken = 0;
    for next in 1..400 {
        let account = random.u16(0..3);
        exchange.on_message(account, &message(next, &mut random));
        match random.u32(0..60) {
            0 => {
                let trades = exchange.engine().totals().trades;
                trades_broken += u64::from(exchange.break_trade(random.u64(0..trades + 2)));
            }
            1 => assert!(exchange.halt(Symbol(*SYMBOLS[0]), true) || next < 40),
            2..=6 => assert!(exchange.halt(Symbol(*SYMBOLS[0]), false) || next < 40),
            7 => exchange.cancel_all(account),
            _ => {}
        }
        judge(&exchange);
    }
    (exchange, trades_broken)
}

#[test]
fn random_orders_accounts_are_what_their_answers_and_the_engine_say() {
    let (mut traded, mut broken) = (0, 0);
    for seed in 0..40 {
        let (exchange, trades_broken) = day(seed, "");
        broken += trades_broken;
        for symbol in SYMBOLS {
            let views = judge(&exchange);
            let positions = views.iter().flat_map(|view| &view.positions);
            let of_symbol: Vec<_> = positions.filter(|p| p.symbol.0 == *symbol).collect();
            let net: i64 = of_symbol.iter().map(|position| position.net()).sum();
            assert_eq!(net, 0, "seed {seed}: what one bought another sold");
            traded += of_symbol
                .iter()
                .map(|position| position.bought)
                .sum::<u64>();
        }
    }
    assert!(
        traded > 10_000 && broken > 20,
        "{traded} shares, {broken} broken"
    );
}

const SCRIPTS: &str = "fill_every = 5\n[[behaviour]]\nprefix = \"twice\"\ndo = \"fill_twice\"\n\
                       [[behaviour]]\nprefix = \"bust\"\ndo = \"bust\"\n";

#[test]
fn house_fills_repeated_fills_and_busts_count_once() {
    for seed in 0..40 {
        let (exchange, _) = day(seed, SCRIPTS);
        assert!(exchange.entry_counters().scripted.get() > 0, "seed {seed}");
    }
}

#[test]
fn restarted_exchange_has_the_positions_of_before_and_nothing_open() {
    for seed in 0..10 {
        let (mut first, _) = day(seed, SCRIPTS);
        let before = judge(&first);
        let mut files = BTreeMap::new();
        let saved = first.save(|name, bytes| {
            files.insert(name.to_owned(), bytes.to_vec());
            Ok::<(), ()>(())
        });
        assert_eq!(saved, Ok(()));
        let mut second = exchange(SCRIPTS);
        for (name, bytes) in files {
            let account = second.account(&name).unwrap();
            second.restore(account, Store::restore(10_000, &bytes).unwrap().store);
        }
        for (old, new) in before.iter().zip(judge(&second)) {
            assert_eq!(new.orders, []);
            assert_eq!(old.answers.executed, new.answers.executed);
            assert_eq!(
                old.answers.cancelled + old.orders.len() as u64,
                new.answers.cancelled
            );
        }
    }
}
