//! Orders with terms, as the bytes that go out: read from the specification's tables by hand.

use gateway::message::execution::Outcome;
use gateway::message::intent::{Action, OrderIntent, TimeInForce};
use gateway::message::terms::{Display, Terms};
use gateway::order::risk::{Limits, Refusal};
use protocol::ouch::PRICE_MARKET;
use protocol::types::{Price4, Qty, Side, Symbol};

use super::desk::{Desk, LIMITS, SYMBOLS, change, enter, on_feed};
use super::exchange::{accepted, cancel_reject, canceled, executed, modified, next_number};

/// What follows the fixed part of an Enter Order: the appendage's length, then its elements.
const APPENDAGE_AT: usize = 45;

fn desk(limits: Limits) -> Desk {
    let mut desk = Desk::with(limits, &[on_feed(0)]);
    desk.log_in(0);
    desk.says(&next_number(1));
    desk
}

#[test]
fn hidden_order_with_a_least_quantity_has_it_in_its_appendage_and_a_replace_stays_hidden() {
    let mut desk = desk(LIMITS);
    let order = OrderIntent {
        terms: Terms::new(Display::Hidden, Qty(60)),
        time_in_force: TimeInForce::ExtendedHours,
        ..enter(1, Side::Buy, 100)
    };
    let sent = desk.asks(0, &order).unwrap();
    assert_eq!((sent[26], sent[27]), (b'5', b'N'));
    assert_eq!(sent[APPENDAGE_AT..], *b"\x00\x06\x05\x03\0\0\0\x3C");
    desk.says(&accepted(1, b'B', 100, SYMBOLS[0], 1_000_000));
    let replaced = desk.asks(0, &change(Action::Replace, 1, 80)).unwrap();
    assert_eq!(
        (replaced[0], replaced[21], replaced[22]),
        (b'U', b'5', b'N')
    );
    assert_eq!(replaced[38..], [0, 0], "the exchange keeps the rest");
}

#[test]
fn replace_below_the_least_quantity_is_refused_as_the_exchange_would_end_the_order() {
    let mut desk = desk(LIMITS);
    let order = OrderIntent {
        terms: Terms::new(Display::Hidden, Qty(60)),
        ..enter(1, Side::Buy, 100)
    };
    desk.asks(0, &order).unwrap();
    desk.says(&accepted(1, b'B', 100, SYMBOLS[0], 1_000_000));
    let smaller = change(Action::Replace, 1, 59);
    assert_eq!(desk.asks(0, &smaller), Err(Refusal::Terms));
    // What is executed counts: 50 and 10 are 60 over the whole chain.
    desk.says(&executed(1, 50, 9));
    assert!(desk.asks(0, &change(Action::Replace, 1, 10)).is_ok());
}

#[test]
fn reserve_post_only_and_midpoint_are_elements_of_their_own() {
    let reserve = Terms::new(Display::Reserve(Qty(0x1234)), Qty(0)).with_post_only(true);
    let midpoint = Terms::new(Display::Shown, Qty(0)).with_midpoint(true);
    for (terms, display, appendage) in [
        (reserve, b'Y', &b"\x00\x09\x05\x05\0\0\x12\x34\x02\x0CP"[..]),
        (midpoint, b'N', b"\x00\x03\x02\x06M"),
        (Terms::new(Display::Attributed, Qty(0)), b'A', b"\0\0"),
        (Terms::PLAIN, b'Y', b"\0\0"),
    ] {
        let mut desk = desk(LIMITS);
        let order = OrderIntent {
            terms,
            ..enter(1, Side::Sell, 0x2000)
        };
        let sent = desk.asks(0, &order).unwrap();
        assert_eq!((sent[27], &sent[APPENDAGE_AT..]), (display, appendage));
    }
}

#[test]
fn market_order_goes_out_at_the_collar_as_immediate_or_cancel_and_counts_at_that_price() {
    let market = |id, side| OrderIntent {
        price: PRICE_MARKET,
        time_in_force: TimeInForce::ImmediateOrCancel,
        ..enter(id, side, 100)
    };
    // The bid is 100.00 and the ask 100.01: 3.33 % are 103.33, and up from 96.6767.
    let limits = Limits {
        collar_bps: 333,
        ..LIMITS
    };
    let mut desk = desk(limits);
    let sent = desk.asks(0, &market(1, Side::Buy)).unwrap();
    assert_eq!(sent[18..26], 1_033_300u64.to_be_bytes());
    assert_eq!(sent[26], b'3');
    let sent = desk.asks(0, &market(2, Side::Sell)).unwrap();
    assert_eq!(sent[18..26], 966_800u64.to_be_bytes());
    let limits = Limits {
        notional_max: 103_330_000 - 1,
        ..limits
    };
    let mut desk = self::desk(limits);
    assert_eq!(desk.asks(0, &market(1, Side::Buy)), Err(Refusal::Notional));
    let day = OrderIntent {
        time_in_force: TimeInForce::Day,
        ..market(2, Side::Buy)
    };
    assert_eq!(desk.asks(0, &day), Err(Refusal::Terms));
    let beyond = OrderIntent {
        price: Price4(PRICE_MARKET.0 - 1),
        ..market(3, Side::Buy)
    };
    assert_eq!(desk.asks(0, &beyond), Err(Refusal::PriceCollar));
}

fn last(desk: &Desk) -> (Outcome, Option<Action>, u32) {
    let (outcome, answers, leaves, _) = desk.last();
    (outcome, answers, leaves)
}

#[test]
fn partial_cancel_names_the_size_of_the_whole_chain_and_the_order_stays_live() {
    let mut desk = desk(LIMITS);
    desk.live(1, 100);
    desk.says(&executed(1, 30, 9));
    for (qty, refusal) in [(0, Refusal::OrderQty), (70, Refusal::OrderQty)] {
        let reduce = change(Action::Reduce, 1, qty);
        assert_eq!(desk.asks(0, &reduce), Err(refusal), "of 70 that are open");
    }
    let sent = desk.asks(0, &change(Action::Reduce, 1, 50)).unwrap();
    assert_eq!(sent, *b"X\0\0\0\x01\0\0\0\x50", "30 executed and 50");
    for action in [Action::Reduce, Action::Replace] {
        let more = change(action, 1, 40);
        assert_eq!(desk.asks(0, &more), Err(Refusal::ChangePending));
    }
    // Executed before it gets there: 20 fewer are taken off then.
    desk.says(&executed(1, 10, 10));
    assert_eq!(last(&desk), (Outcome::Filled, None, 60));
    assert_eq!(desk.account.exposure(Symbol(*SYMBOLS[0])).open_buy, 60);
    desk.says(&canceled(1, 20));
    assert_eq!(
        last(&desk),
        (Outcome::Canceled(b'U'), Some(Action::Reduce), 40)
    );
    assert_eq!(desk.account.exposure(Symbol(*SYMBOLS[0])).open_buy, 40);
    assert!(
        desk.asks(0, &change(Action::Reduce, 1, 10)).is_ok(),
        "again"
    );
}

#[test]
fn partial_cancel_and_the_cancel_behind_it_are_answered_each_for_itself() {
    for (answers, expected) in [
        (
            vec![canceled(1, 60), canceled(1, 40)],
            vec![
                (Outcome::Canceled(b'U'), Action::Reduce, 40),
                (Outcome::Canceled(b'U'), Action::Cancel, 0),
            ],
        ),
        (
            // Executed down to less than was to be left: the partial cancel takes all of it.
            vec![executed(1, 50, 9), canceled(1, 50)],
            vec![
                (Outcome::Canceled(b'U'), Action::Reduce, 0),
                (Outcome::TooLate, Action::Cancel, 0),
            ],
        ),
        (
            vec![executed(1, 100, 9)],
            vec![
                (Outcome::TooLate, Action::Reduce, 0),
                (Outcome::TooLate, Action::Cancel, 0),
            ],
        ),
        (
            vec![cancel_reject(1), cancel_reject(1)],
            vec![
                (Outcome::CancelRejected, Action::Reduce, 100),
                (Outcome::CancelRejected, Action::Cancel, 100),
            ],
        ),
        (
            // The exchange made it smaller first, and is silent about what asks for no less.
            vec![modified(1, 40), canceled(1, 40)],
            vec![
                (Outcome::TooLate, Action::Reduce, 40),
                (Outcome::Canceled(b'U'), Action::Cancel, 0),
            ],
        ),
    ] {
        let mut desk = desk(LIMITS);
        desk.live(1, 100);
        desk.asks(0, &change(Action::Reduce, 1, 40)).unwrap();
        assert_eq!(
            desk.asks(0, &change(Action::Cancel, 1, 0)).unwrap()[0],
            b'X'
        );
        for answer in &answers {
            desk.says(answer);
        }
        let told = desk.executions.iter().map(|(_, it)| it);
        let told: Vec<_> = told
            .filter_map(|it| Some((it.outcome, it.answers?, it.leaves.0)))
            .collect();
        assert_eq!(told, expected);
        assert_eq!(desk.kill.cause(), None);
    }
}

#[test]
fn partial_cancel_that_goes_with_a_connection_is_told_as_lost() {
    let mut desk = desk(LIMITS);
    desk.live(1, 100);
    desk.asks(0, &change(Action::Reduce, 1, 40)).unwrap();
    desk.cut();
    desk.log_in(0);
    desk.says(&next_number(2));
    let told = desk.executions.iter().map(|(_, it)| it);
    let told: Vec<_> = told
        .filter_map(|it| Some((it.outcome, it.answers?, it.leaves.0)))
        .collect();
    assert_eq!(told, [(Outcome::Lost, Action::Reduce, 100)]);
    assert!(
        desk.asks(0, &change(Action::Reduce, 1, 40)).is_ok(),
        "it may be asked for again"
    );
}

#[test]
fn kill_switch_cancels_an_order_whose_partial_cancel_is_on_its_way() {
    let mut desk = desk(LIMITS);
    desk.live(1, 100);
    desk.asks(0, &change(Action::Reduce, 1, 40)).unwrap();
    let mut out = [0; 256];
    assert!(desk.entry.cancel_some(10, desk.now_ns, &mut out) > 0);
    desk.says(&canceled(1, 60));
    assert_eq!(
        last(&desk),
        (Outcome::Canceled(b'U'), Some(Action::Reduce), 40)
    );
    desk.says(&canceled(1, 40));
    assert_eq!(last(&desk), (Outcome::Canceled(b'U'), None, 0));
}
