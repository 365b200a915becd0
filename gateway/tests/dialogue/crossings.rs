//! Answers that cross with changes: what risk counts is never less than what the exchange may still have open,
//! and nothing is left over.

use gateway::message::execution::Outcome;
use gateway::message::intent::{Action, OrderId, Owner};
use gateway::order::entry::State;
use protocol::types::{Qty, Side, Symbol};

use super::desk::{Desk, SYMBOLS, change, enter};
use super::exchange::*;

fn aiq(number: u32, qty: u32) -> Vec<u8> {
    // 'D': kind, timestamp 8, user_ref 9..13, qty 13..17, reason 17, qty prevented 18, price 22, liq 30, aiq strategy 31
    let mut bytes = vec![0; protocol::ouch::AiqCanceled::LEN + 2];
    bytes[0] = b'D';
    bytes[9..13].copy_from_slice(&number.to_be_bytes());
    bytes[13..17].copy_from_slice(&qty.to_be_bytes());
    bytes[17] = b'Q';
    bytes
}

fn open_buy(desk: &mut Desk) -> u64 {
    desk.account.exposure(Symbol(*SYMBOLS[0])).open_buy
}

fn whole(desk: &mut Desk) -> String {
    let open = open_buy(desk);
    format!(
        "killed {:?} news {:?} open_buy {} live {:?} told {:?}",
        desk.kill.cause(),
        desk.news,
        open,
        desk.entry.live_orders(&desk.account),
        desk.executions
            .iter()
            .map(|(_, e)| (e.outcome, e.answers, e.leaves.0))
            .collect::<Vec<_>>()
    )
}

#[test]
fn partial_cancel_while_a_larger_replace_is_on_its_way_keeps_the_larger_counted() {
    let mut desk = Desk::open();
    desk.live(7, 100);
    desk.asks(0, &change(Action::Replace, 7, 200)).unwrap();
    desk.says(&canceled(1, 40));
    // The exchange may already hold the replace with 200 open.
    let counted = open_buy(&mut desk);
    desk.says(&replaced(1, 2, 200, 1_000_000));
    assert!(!desk.kill.is_on(), "{}", whole(&mut desk));
    assert!(counted >= 200, "{counted}");
}

#[test]
fn aiq_decrement_while_a_same_size_replace_is_on_its_way() {
    let mut desk = Desk::open();
    desk.live(7, 100);
    desk.asks(0, &change(Action::Replace, 7, 100)).unwrap();
    desk.says(&aiq(1, 40));
    let counted = open_buy(&mut desk);
    desk.says(&replaced(1, 2, 100, 1_000_000));
    assert!(!desk.kill.is_on(), "counted {counted} {}", whole(&mut desk));
}

#[test]
fn modified_while_a_larger_replace_is_on_its_way() {
    let mut desk = Desk::open();
    desk.live(7, 100);
    desk.asks(0, &change(Action::Replace, 7, 200)).unwrap();
    desk.says(&modified(1, 90));
    let counted = open_buy(&mut desk);
    desk.says(&replaced(1, 2, 200, 1_000_000));
    assert!(
        !desk.kill.is_on() && counted >= 200,
        "counted {counted} {}",
        whole(&mut desk)
    );
}

#[test]
fn zero_share_cancel_of_a_live_order() {
    let mut desk = Desk::open();
    desk.live(7, 100);
    desk.says(&canceled(1, 0));
    eprintln!("{}", whole(&mut desk));
    assert_eq!(desk.entry.open_orders(), 1);
}

#[test]
fn zero_share_execution() {
    let mut desk = Desk::open();
    desk.live(7, 100);
    desk.says(&executed(1, 0, 9));
    eprintln!("{}", whole(&mut desk));
}

#[test]
fn numbers_at_the_end_of_the_world() {
    for next in [u32::MAX - 2, u32::MAX - 1, u32::MAX, 0] {
        let mut desk = Desk::open();
        desk.cut();
        desk.log_in(0);
        desk.says(&next_number(next));
        let mut n = 0;
        for id in 1..10 {
            match desk.asks(0, &enter(id, Side::Buy, 10)) {
                Ok(m) => {
                    n += 1;
                    eprintln!("{next}: sent {:?}", &m[1..5]);
                    let number = u32::from_be_bytes(m[1..5].try_into().unwrap());
                    desk.says(&accepted(number, b'B', 10, SYMBOLS[0], 1_000_000));
                    let r = desk.asks(0, &change(Action::Replace, id, 20));
                    if let Ok(m) = r {
                        let new = u32::from_be_bytes(m[5..9].try_into().unwrap());
                        desk.says(&replaced(number, new, 20, 1_000_000));
                    } else {
                        eprintln!("{r:?}");
                    }
                }
                Err(e) => {
                    eprintln!("{next}: {e:?}");
                    break;
                }
            }
        }
        eprintln!("{next} n {n} killed {:?}", desk.kill.cause());
    }
}

#[test]
fn id_zero_and_max() {
    let mut desk = Desk::open();
    for id in [0, u32::MAX] {
        let m = desk.asks(0, &enter(id, Side::Buy, 10)).unwrap();
        let number = u32::from_be_bytes(m[1..5].try_into().unwrap());
        desk.says(&accepted(number, b'B', 10, SYMBOLS[0], 1_000_000));
        assert!(desk.asks(0, &enter(id, Side::Buy, 10)).is_err());
        let m = desk.asks(1, &enter(id, Side::Buy, 10)).unwrap();
        let other = u32::from_be_bytes(m[1..5].try_into().unwrap());
        desk.says(&accepted(other, b'B', 10, SYMBOLS[1], 1_000_000));
        desk.asks(0, &change(Action::Cancel, id, 0)).unwrap();
        desk.says(&canceled(number, 10));
        assert_eq!(desk.entry.live_orders(&desk.account).len(), 1);
        desk.asks(1, &change(Action::Cancel, id, 0)).unwrap();
        desk.says(&canceled(other, 10));
        assert_eq!(desk.entry.live_orders(&desk.account).len(), 0);
    }
    desk.says(&accepted(0, b'B', 10, SYMBOLS[0], 1_000_000));
    eprintln!("{}", whole(&mut desk));
    desk.says(&canceled(0, 10));
    assert_eq!(desk.entry.live_orders(&desk.account).len(), 0);
    desk.says(&accepted(u32::MAX, b'B', 10, SYMBOLS[0], 1_000_000));
    desk.says(&canceled(u32::MAX, 10));
    assert_eq!(desk.entry.live_orders(&desk.account).len(), 0);
}

#[test]
fn cancel_crossing_replace_in_every_order() {
    // replace sent, cancel (names 2) sent; the exchange: C for old number
    let mut desk = Desk::open();
    desk.live(7, 100);
    desk.asks(0, &change(Action::Replace, 7, 150)).unwrap();
    let m = desk.asks(0, &change(Action::Cancel, 7, 0)).unwrap();
    assert_eq!(&m[1..5], &2u32.to_be_bytes());
    desk.says(&canceled(1, 100));
    eprintln!("C(old): {}", whole(&mut desk));
    assert_eq!((open_buy(&mut desk), desk.entry.open_orders()), (0, 0));
    // smaller than executed: E 60, then C rest
    let mut desk = Desk::open();
    desk.live(7, 100);
    desk.asks(0, &change(Action::Replace, 7, 50)).unwrap();
    desk.says(&executed(1, 60, 1));
    desk.asks(0, &change(Action::Cancel, 7, 0)).unwrap();
    desk.says(&canceled(1, 40));
    eprintln!("smaller: {}", whole(&mut desk));
    assert_eq!((open_buy(&mut desk), desk.entry.open_orders()), (0, 0));
    // J after partial
    let mut desk = Desk::open();
    desk.live(7, 100);
    desk.asks(0, &change(Action::Replace, 7, 300)).unwrap();
    desk.says(&executed(1, 60, 1));
    assert_eq!(open_buy(&mut desk), 240);
    desk.says(&rejected(2));
    assert_eq!(open_buy(&mut desk), 40);
    desk.asks(0, &change(Action::Replace, 7, 300)).unwrap();
    desk.says(&replaced(1, 3, 300, 1_000_000));
    assert_eq!(open_buy(&mut desk), 300, "{}", whole(&mut desk));
    desk.asks(0, &change(Action::Replace, 7, 10)).unwrap();
    desk.cut();
    desk.log_in(1);
    desk.says(&executed(3, 300, 2));
    desk.says(&next_number(5));
    eprintln!("cut: {}", whole(&mut desk));
    assert_eq!((open_buy(&mut desk), desk.entry.open_orders()), (0, 0));
    assert!(!desk.kill.is_on());
}

#[test]
fn replace_to_zero_open_or_u_with_zero() {
    let mut desk = Desk::open();
    desk.live(7, 100);
    desk.asks(0, &change(Action::Replace, 7, 50)).unwrap();
    desk.says(&executed(1, 50, 1));
    // total 50 == executed 50: an exchange that answers U with nothing open
    desk.says(&replaced(1, 2, 0, 1_000_000));
    eprintln!("{}", whole(&mut desk));
    assert_eq!(desk.entry.open_orders(), 0, "{}", whole(&mut desk));
}

#[test]
fn cancel_reject_of_the_kill_then_asked() {
    let mut desk = Desk::open();
    desk.live(7, 100);
    let mut out = [0; 256];
    assert!(desk.entry.cancel_some(9, desk.now_ns, &mut out) > 0);
    // Order is partly filled, then the cancel confirmed for less than open
    desk.says(&executed(1, 10, 1));
    desk.says(&canceled(1, 40));
    assert!(!desk.entry.can_cancel());
    desk.says(&canceled(1, 50));
    assert_eq!(desk.entry.open_orders(), 0);
}

#[test]
fn second_day_same_numbers() {
    let mut desk = Desk::open();
    desk.live(7, 100);
    desk.says(&executed(1, 100, 77));
    desk.cut();
    // new session name, sequence from 1
    let mut out = [0; 64];
    desk.entry.on_connected(desk.now_ns, &mut out);
    desk.forget();
    desk.hears(&soup(b'A', format!("        S2{:>20}", 1).as_bytes()));
    eprintln!("out {:?}", String::from_utf8_lossy(&out));
    eprintln!("{:?} {:?}", desk.entry.state(), whole(&mut desk));
    if desk.entry.state() == State::Recovering {
        desk.says(&next_number(1));
        eprintln!("{:?}", desk.entry.state());
    }
    let r = desk.asks(0, &enter(8, Side::Buy, 100));
    eprintln!("{r:?}");
    let _ = (OrderId(0), Owner(0), Qty(0), Outcome::Lost);
}
