//! One account, two sessions: what stands open on either counts for both.

use gateway::message::intent::Action;
use gateway::order::risk::Refusal;
use gateway::order::risk::{KillCause, Limits};
use protocol::types::{Qty, Side, Symbol};

use super::desk::{Desk, LIMITS, SYMBOLS, change, enter, on_feed};
use super::exchange::{accepted, canceled, executed, next_number};

/// Two open sessions; what is asked of either is judged by the account of the one that has it now.
fn pair(limits: Limits) -> [Desk; 2] {
    let mut pair = [(); 2].map(|()| Desk::with(limits, &[on_feed(0)]));
    for desk in &mut pair {
        desk.log_in(0);
        desk.says(&next_number(1));
    }
    pair
}

/// The account goes to the other session.
fn hand_over(from: &mut Desk, to: &mut Desk) {
    std::mem::swap(&mut from.account, &mut to.account);
}

#[test]
fn orders_of_one_session_count_against_the_limits_of_the_other() {
    let [mut first, mut second] = pair(Limits {
        open_orders_max: 2,
        position_max: 150,
        ..LIMITS
    });
    first.live(1, 100);
    hand_over(&mut first, &mut second);
    assert_eq!(
        second.asks(0, &enter(1, Side::Buy, 51)),
        Err(Refusal::Position)
    );
    // Numbers and orders are the session's own: its first order is number 1, too.
    second.live(1, 50);
    assert_eq!(second.entry.open_orders(), 1);
    assert_eq!(second.account.open_orders(), 2);
    assert_eq!(
        second.asks(0, &enter(2, Side::Sell, 1)),
        Err(Refusal::OpenOrders)
    );
    second.says(&executed(1, 50, 7));
    hand_over(&mut second, &mut first);
    let held = first.account.exposure(Symbol(*SYMBOLS[0]));
    assert_eq!((held.position, held.open_buy), (50, 100));
    first.says(&canceled(1, 100));
    let held = first.account.exposure(Symbol(*SYMBOLS[0]));
    assert_eq!((held.position, held.open_buy), (50, 0));
    assert_eq!(first.account.open_orders(), 0);
}

#[test]
fn breach_on_one_session_stops_the_orders_of_the_other() {
    let [mut first, mut second] = pair(LIMITS);
    first.live(1, 100);
    first.says(&executed(1, 101, 7));
    hand_over(&mut first, &mut second);
    let cause = second.account.kill().cause();
    assert_eq!(cause, Some(KillCause::BrokenInvariant));
    assert_eq!(
        second.asks(0, &enter(1, Side::Buy, 1)),
        Err(Refusal::Killed)
    );
}

#[test]
fn replace_on_one_session_reserves_for_both() {
    let [mut first, mut second] = pair(Limits {
        position_max: 150,
        ..LIMITS
    });
    first.asks(0, &enter(1, Side::Buy, 100)).unwrap();
    first.says(&accepted(1, b'B', 100, SYMBOLS[0], 1_000_000));
    first.asks(0, &change(Action::Replace, 1, 140)).unwrap();
    hand_over(&mut first, &mut second);
    assert_eq!(
        second.asks(0, &enter(1, Side::Buy, 11)),
        Err(Refusal::Position)
    );
    assert!(second.asks(0, &enter(2, Side::Buy, 10)).is_ok());
    assert_eq!(
        second.entry.live_orders(&second.account)[0].reserved,
        Qty(10)
    );
}
