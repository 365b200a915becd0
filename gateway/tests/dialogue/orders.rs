//! Orders, positions and what strategies are told of them.

use gateway::message::execution::Outcome;
use gateway::message::intent::{Action, OrderIntent, Owner};
use gateway::message::notice::Ended;
use gateway::order::entry::{DeskOptions, Due, PROGRESS_TIMEOUT_NS, State};
use gateway::order::risk::Refusal;
use gateway::order::risk::{KillCause, Limits};
use protocol::types::{Qty, Side, Symbol};

use super::desk::{Desk, LIMITS, SECOND, SYMBOLS, change, enter, on_feed};
use super::exchange::*;

#[test]
fn one_locate_code_goes_out_under_the_symbol_of_each_strategys_own_feed() {
    let mut desk = Desk::open();
    for _ in 0..2 {
        for (owner, symbol) in [(0, SYMBOLS[0]), (1, SYMBOLS[1])] {
            let id = 1 + desk.entry.open_orders();
            // The cause says the first feed, as news of the session does.
            let sent = desk.asks(owner, &enter(id, Side::Buy, 100)).unwrap();
            assert_eq!(&sent[10..18], symbol, "owner {owner}");
        }
    }
}

#[test]
fn strategy_trades_its_own_symbols_only() {
    let mine = DeskOptions {
        symbols: Some(vec![Symbol(*SYMBOLS[1])]),
        ..on_feed(1)
    };
    let other = DeskOptions {
        symbols: Some(vec![Symbol(*SYMBOLS[0])]),
        ..on_feed(1)
    };
    let mut desk = Desk::with(LIMITS, &[mine, other]);
    desk.log_in(0);
    desk.says(&next_number(1));
    assert!(desk.asks(0, &enter(1, Side::Buy, 1)).is_ok());
    let refused = desk.asks(1, &enter(1, Side::Buy, 1));
    assert_eq!(refused, Err(Refusal::NotItsSymbol));
}

#[test]
fn refused_change_tells_the_order_as_it_stands() {
    let mut desk = Desk::open();
    let sell = enter(7, Side::Sell, 100);
    desk.asks(0, &sell).unwrap();
    desk.says(&accepted(1, b'S', 100, SYMBOLS[0], 1_000_000));
    desk.says(&executed(1, 30, 1));
    let too_much = change(Action::Replace, 7, 20_000);
    assert_eq!(desk.asks(0, &too_much), Err(Refusal::OrderQty));
    let told = desk
        .entry
        .refused(Owner(0), &too_much, Refusal::OrderQty, 5);
    assert_eq!(
        (told.leaves, told.locate, told.side),
        (Qty(70), 1, Side::Sell)
    );
    assert_eq!(told.answers, Some(Action::Replace));
    // Once it is over, what it was is still known for a while.
    desk.says(&executed(1, 70, 2));
    let late = change(Action::Cancel, 7, 0);
    assert_eq!(desk.asks(0, &late), Err(Refusal::NotLive));
    let told = desk.entry.refused(Owner(0), &late, Refusal::NotLive, 5);
    assert_eq!(
        (told.leaves, told.locate, told.side),
        (Qty(0), 1, Side::Sell)
    );
}

#[test]
fn changes_lost_with_the_link_are_told_and_the_order_stands() {
    for action in [Action::Replace, Action::Cancel] {
        let mut desk = Desk::open();
        desk.live(7, 100);
        desk.asks(0, &change(action, 7, 50)).unwrap();
        desk.cut();
        desk.log_in(0);
        desk.says(&next_number(3));
        assert_eq!(desk.last(), (Outcome::Lost, Some(action), 100, 1));
        let live = desk.entry.live_orders(&desk.account);
        assert_eq!((live[0].open, live[0].reserved), (Qty(100), Qty(100)));
        assert!(desk.asks(0, &change(Action::Cancel, 7, 0)).is_ok());
    }
}

#[test]
fn order_lost_with_the_link_is_told_with_every_change_of_it() {
    let mut desk = Desk::open();
    desk.asks(0, &enter(7, Side::Buy, 100)).unwrap();
    desk.asks(0, &change(Action::Cancel, 7, 0)).unwrap();
    desk.cut();
    desk.log_in(0);
    desk.says(&next_number(1));
    let told: Vec<_> = desk
        .executions
        .iter()
        .map(|(_, it)| (it.outcome, it.answers))
        .collect();
    assert_eq!(
        told,
        [
            (Outcome::Lost, Some(Action::Enter)),
            (Outcome::Lost, Some(Action::Cancel))
        ]
    );
    assert_eq!(desk.entry.open_orders(), 0);
}

#[test]
fn rejected_cancel_is_told_and_not_repeated_at_once() {
    let mut desk = Desk::open();
    desk.live(7, 100);
    let mut out = [0; 256];
    let mut sent = 0;
    // Everything is to be cancelled, and the exchange refuses each time, for a simulated minute.
    for turn in 0..6_000u64 {
        desk.now_ns = 1 + turn * 10_000_000;
        if desk.entry.cancel_some(16, desk.now_ns, &mut out) > 0 {
            sent += 1;
            desk.says(&cancel_reject(1));
        }
    }
    assert!((2..12).contains(&sent), "{sent} cancels in a minute");
    assert_eq!(desk.last(), (Outcome::CancelRejected, None, 100, 1));
    // One that the strategy asks for goes at once, and is answered.
    assert!(desk.asks(0, &change(Action::Cancel, 7, 0)).is_ok());
    desk.says(&cancel_reject(1));
    assert_eq!(
        desk.last(),
        (Outcome::CancelRejected, Some(Action::Cancel), 100, 1)
    );
}

#[test]
fn pending_cancel_and_modification_are_told() {
    let mut desk = Desk::open();
    desk.live(7, 100);
    desk.asks(0, &change(Action::Cancel, 7, 0)).unwrap();
    desk.says(&cancel_pending(1));
    assert_eq!(desk.last(), (Outcome::CancelPending, None, 100, 1));
    desk.says(&modified(1, 60));
    assert_eq!(desk.last(), (Outcome::Modified, None, 60, 1));
    assert_eq!(desk.entry.live_orders(&desk.account)[0].reserved, Qty(60));
    desk.says(&canceled(1, 60));
    assert_eq!(
        desk.last(),
        (Outcome::Canceled(b'U'), Some(Action::Cancel), 0, 1)
    );
}

#[test]
fn changes_that_come_too_late_are_answered() {
    let mut desk = Desk::open();
    desk.live(7, 100);
    desk.asks(0, &change(Action::Replace, 7, 50)).unwrap();
    desk.asks(0, &change(Action::Cancel, 7, 0)).unwrap();
    desk.says(&executed(1, 100, 1));
    let told: Vec<_> = desk
        .executions
        .iter()
        .map(|(_, it)| (it.outcome, it.answers))
        .collect();
    assert_eq!(
        told,
        [
            (Outcome::Filled, None),
            (Outcome::TooLate, Some(Action::Replace)),
            (Outcome::TooLate, Some(Action::Cancel))
        ]
    );
}

#[test]
fn cancel_behind_a_replace_that_is_rejected_is_answered_and_may_be_repeated() {
    let mut desk = Desk::open();
    desk.live(7, 100);
    desk.asks(0, &change(Action::Replace, 7, 50)).unwrap();
    let cancel = desk.asks(0, &change(Action::Cancel, 7, 0)).unwrap();
    assert_eq!(cancel[1..5], 2u32.to_be_bytes(), "it names the replace");
    desk.says(&rejected(2));
    let told: Vec<_> = desk
        .executions
        .iter()
        .map(|(_, it)| (it.outcome, it.answers))
        .collect();
    assert_eq!(
        told,
        [
            (Outcome::Rejected(0x15), Some(Action::Replace)),
            (Outcome::CancelRejected, Some(Action::Cancel))
        ]
    );
    let again = desk.asks(0, &change(Action::Cancel, 7, 0)).unwrap();
    assert_eq!(again[1..5], 1u32.to_be_bytes());
}

#[test]
fn answer_that_cannot_be_read_turns_the_kill_switch_on() {
    let good = executed(1, 10, 1);
    let without_appendage = good[..34].to_vec();
    let with_a_byte_more = [&good[..], &[0]].concat();
    // Tag 3 (least quantity) has four bytes, not two.
    let with_a_bad_tag = [&good[..34], &[0, 4, 3, 3, 0, 0]].concat();
    let of_no_type = b"?what".to_vec();
    for bytes in [
        without_appendage,
        with_a_byte_more,
        with_a_bad_tag,
        of_no_type,
        Vec::new(),
    ] {
        let mut desk = Desk::open();
        desk.live(7, 100);
        desk.says(&bytes);
        assert_eq!(
            desk.kill.cause(),
            Some(KillCause::MalformedAnswer),
            "{bytes:?}"
        );
        assert_eq!(desk.counters.malformed.get(), 1);
        assert!(desk.news[0].starts_with("Malformed"), "{:?}", desk.news);
        assert_eq!(desk.asks(0, &enter(8, Side::Buy, 1)), Err(Refusal::Killed));
        assert!(desk.asks(0, &change(Action::Cancel, 7, 0)).is_ok());
    }
}

#[test]
fn more_live_orders_than_the_limit_allows_are_all_found_after_a_restart() {
    let lowered = Limits {
        open_orders_max: 40,
        ..LIMITS
    };
    let mut desk = Desk::with(lowered, &[on_feed(0)]);
    desk.log_in(300);
    // Numbers that meet in any table of a power of two.
    for number in 1..=300u32 {
        desk.says(&accepted(number * 1024, b'B', 10, SYMBOLS[0], 1_000_000));
    }
    desk.says(&next_number(300 * 1024 + 1));
    assert_eq!(desk.entry.state(), State::Open);
    assert_eq!((desk.entry.open_orders(), desk.kill.cause()), (300, None));
    assert_eq!(desk.account.exposure(Symbol(*SYMBOLS[0])).open_buy, 3_000);
    assert_eq!(
        desk.asks(0, &enter(1, Side::Buy, 1)),
        Err(Refusal::OpenOrders)
    );
    let mut out = vec![0; 64 * 1024];
    assert!(desk.entry.cancel_some(1000, 1, &mut out) > 0);
    for number in 1..=300u32 {
        desk.says(&canceled(number * 1024, 10));
    }
    assert_eq!(desk.entry.open_orders(), 0);
    assert!(desk.asks(0, &enter(1, Side::Buy, 1)).is_ok());
}

#[test]
fn few_open_orders_never_refuse_a_number() {
    let mut desk = Desk::open();
    desk.live(1, 100);
    for id in 2..2_000 {
        let sent = desk.asks(0, &enter(id, Side::Buy, 10));
        let number = u32::from_be_bytes(sent.expect("1 of 40 is open")[1..5].try_into().unwrap());
        desk.says(&rejected(number));
    }
    assert_eq!(desk.entry.open_orders(), 1);
}

#[test]
fn number_of_a_live_order_is_not_taken_for_another() {
    let mut desk = Desk::open();
    desk.live(7, 100);
    assert_eq!(
        desk.asks(0, &enter(7, Side::Buy, 10)),
        Err(Refusal::IdInUse)
    );
    assert_eq!(desk.entry.live_orders(&desk.account).len(), 1);
    // Another strategy's 7 is another order.
    assert!(desk.asks(1, &enter(7, Side::Buy, 10)).is_ok());
    desk.says(&canceled(1, 100));
    assert!(desk.asks(0, &enter(7, Side::Buy, 10)).is_ok());
}

#[test]
fn account_query_that_is_never_answered_ends_the_connection() {
    let mut desk = Desk::with(LIMITS, &[on_feed(0)]);
    desk.log_in(0);
    let mut ended_ns = None;
    // The server lives: a heartbeat each second, for an hour.
    for second in 1..3_600u64 {
        desk.now_ns = 1 + second * SECOND;
        desk.hears(&soup(b'H', &[]));
        let due = desk.entry.on_timeout(desk.now_ns, &mut [0; 64]);
        if matches!(due, Due::End(_)) {
            ended_ns = Some(desk.now_ns);
            break;
        }
    }
    let ended_ns = ended_ns.expect("recovering for ever");
    assert!(ended_ns <= PROGRESS_TIMEOUT_NS + 2 * SECOND, "{ended_ns}");
}

#[test]
fn long_past_is_no_reason_to_end_the_connection() {
    let mut desk = Desk::with(LIMITS, &[on_feed(0)]);
    desk.log_in(60);
    for number in 1..=60 {
        desk.now_ns += 4 * SECOND;
        desk.says(&accepted(number, b'B', 10, SYMBOLS[0], 1_000_000));
        let due = desk.entry.on_timeout(desk.now_ns, &mut [0; 64]);
        assert!(!matches!(due, Due::End(_)), "{due:?}");
    }
    desk.says(&next_number(61));
    assert_eq!(desk.entry.state(), State::Open);
}

#[test]
fn login_that_is_never_answered_ends_the_connection() {
    let mut desk = Desk::with(LIMITS, &[on_feed(0)]);
    desk.entry.on_connected(1, &mut [0; 64]);
    let mut ended = 0;
    for second in 1..60u64 {
        desk.now_ns = 1 + second * SECOND;
        desk.hears(&soup(b'H', &[]));
        let due = desk.entry.on_timeout(desk.now_ns, &mut [0; 64]);
        ended += u32::from(matches!(due, Due::End(_)));
    }
    assert_eq!(ended, 1);
}

#[test]
fn trade_is_undone_after_a_hundred_thousand_others() {
    let mut desk = Desk::open();
    for id in 1..=100_000 {
        desk.asks(0, &enter(id, Side::Buy, 1)).unwrap();
        desk.says(&accepted(id, b'B', 1, SYMBOLS[0], 1_000_000));
        desk.says(&executed(id, 1, u64::from(id)));
        desk.forget();
    }
    assert_eq!(desk.position(), 100_000);
    desk.says(&broken(1, 1));
    assert_eq!((desk.position(), desk.kill.cause()), (99_999, None));
    assert_eq!(desk.last(), (Outcome::Broken, None, 0, 1));
}

#[test]
fn execution_told_twice_counts_once() {
    let mut desk = Desk::open();
    desk.live(7, 20);
    desk.says(&executed(1, 10, 5));
    desk.says(&executed(1, 10, 5));
    assert_eq!(desk.position(), 10);
    assert_eq!(desk.entry.live_orders(&desk.account)[0].open, Qty(10));
    assert_eq!(desk.counters.executions_repeated.get(), 1);
    // Also once the order is over.
    desk.says(&executed(1, 10, 6));
    desk.says(&executed(1, 10, 6));
    desk.says(&broken(1, 6));
    desk.says(&broken(1, 6));
    assert_eq!((desk.position(), desk.kill.cause()), (10, None));
}

#[test]
fn undone_trade_that_is_not_known_turns_the_kill_switch_on() {
    let mut desk = Desk::open();
    desk.says(&broken(1, 99));
    assert_eq!(desk.kill.cause(), Some(KillCause::UnknownExecution));
    assert_eq!(desk.news.len(), 1, "{:?}", desk.news);
}

/// What becomes of an order that was decided then and is looked at now.
fn ask_at(desk: &mut Desk, id: u32, decided_ns: u64, now_ns: u64) -> Result<(), Refusal> {
    let intent = OrderIntent {
        decided_ns,
        ..enter(id, Side::Buy, 1)
    };
    desk.sends(&intent, now_ns).map(|_| ())
}

#[test]
fn rate_counts_when_orders_leave() {
    let limits = Limits {
        orders_per_second_max: 3,
        intent_age_max_ns: u64::MAX,
        ..LIMITS
    };
    let mut desk = Desk::with(limits, &[on_feed(0)]);
    desk.log_in(0);
    desk.says(&next_number(1));
    // Decided a second apart, and all looked at after a stall.
    let now_ns = 10 * SECOND;
    for id in 1..=3 {
        assert_eq!(
            ask_at(&mut desk, id, u64::from(id) * SECOND, now_ns),
            Ok(())
        );
    }
    for (decided_ns, now_ns) in [(8 * SECOND, now_ns), (now_ns, now_ns + SECOND - 1)] {
        let asked = ask_at(&mut desk, 4, decided_ns, now_ns);
        assert_eq!(asked, Err(Refusal::OrderRate));
    }
    assert_eq!(ask_at(&mut desk, 4, now_ns, now_ns + SECOND), Ok(()));
}

#[test]
fn decision_that_has_waited_too_long_is_refused_unless_it_cancels() {
    let mut desk = Desk::open();
    desk.live(1, 100);
    let now_ns = 10 * SECOND;
    let too_old_ns = now_ns - LIMITS.intent_age_max_ns - 1;
    assert_eq!(
        ask_at(&mut desk, 2, too_old_ns, now_ns),
        Err(Refusal::TooOld)
    );
    assert_eq!(ask_at(&mut desk, 2, too_old_ns + 1, now_ns), Ok(()));
    let mut cancel = change(Action::Cancel, 1, 0);
    cancel.decided_ns = 1;
    assert!(desk.sends(&cancel, now_ns).is_ok());
}

#[test]
fn price_and_size_that_the_exchange_accepted_are_taken_over() {
    let mut desk = Desk::open();
    desk.asks(0, &enter(7, Side::Buy, 100)).unwrap();
    desk.says(&accepted(1, b'B', 80, SYMBOLS[0], 999_900));
    let (_, event) = desk.executions[0];
    assert_eq!((event.price.0, event.leaves), (999_900, Qty(80)));
    let live = desk.entry.live_orders(&desk.account)[0];
    assert_eq!(
        (live.price.0, live.open, live.reserved),
        (999_900, Qty(80), Qty(80))
    );
}

#[test]
fn broken_invariant_stops_trading_and_is_told_with_its_facts() {
    let other_symbol = accepted(1, b'B', 100, SYMBOLS[1], 1_000_000);
    let other_side = accepted(1, b'S', 100, SYMBOLS[0], 1_000_000);
    let more = accepted(1, b'B', 101, SYMBOLS[0], 1_000_000);
    for (message, word) in [
        (other_symbol, "AcceptedAsSent"),
        (other_side, "AcceptedAsSent"),
        (more, "OpenAsAsked"),
    ] {
        let mut desk = Desk::open();
        desk.asks(0, &enter(7, Side::Buy, 100)).unwrap();
        desk.says(&message);
        assert_eq!(desk.kill.cause(), Some(KillCause::BrokenInvariant));
        assert!(
            desk.news.iter().any(|it| it.contains(word)),
            "{:?}",
            desk.news
        );
    }
    for (message, word) in [
        (executed(1, 101, 1), "ExecutedWhatWasOpen"),
        (canceled(1, 101), "CanceledWhatWasOpen"),
        (replaced(9, 10, 5, 1_000_000), "ReplacedWhatIsKnown"),
    ] {
        let mut desk = Desk::open();
        desk.live(7, 100);
        desk.says(&message);
        assert_eq!(
            desk.kill.cause(),
            Some(KillCause::BrokenInvariant),
            "{word}"
        );
        assert!(
            desk.news.iter().any(|it| it.contains(word)),
            "{:?}",
            desk.news
        );
        // The process stays: what stands can be cancelled.
        let left = desk.entry.open_orders() as usize;
        let mut out = [0; 256];
        assert_eq!(desk.entry.cancel_some(16, 1, &mut out) > 0, left > 0);
    }
}

#[test]
fn replaced_number_that_is_live_already_stops_trading() {
    let mut desk = Desk::open();
    desk.live(7, 100);
    desk.live(8, 100);
    desk.says(&replaced(1, 2, 100, 1_000_000));
    assert_eq!(desk.kill.cause(), Some(KillCause::BrokenInvariant));
    assert_eq!(desk.entry.open_orders(), 2);
}

#[test]
fn stopped_only_once_it_is_known_that_nothing_is_open() {
    let mut desk = Desk::open();
    for id in 1..=5 {
        desk.live(id, 100);
    }
    desk.cut();
    desk.entry.stop(1);
    assert!(!desk.entry.is_stopped(), "five orders are live");
    desk.log_in(0);
    desk.says(&next_number(6));
    assert_eq!(desk.entry.state(), State::Stopping);
    let mut out = [0; 256];
    assert!(desk.entry.cancel_some(16, 1, &mut out) > 0);
    for number in 1..=5 {
        desk.says(&canceled(number, 100));
    }
    assert!(desk.entry.is_stopped());
    // And one that has never been connected knows nothing.
    let mut stranger = Desk::with(LIMITS, &[on_feed(0)]);
    stranger.entry.stop(1);
    assert!(!stranger.entry.is_stopped());
}

#[test]
fn stale_feed_refuses_and_a_strategy_that_asked_for_it_trades_on() {
    let brave = DeskOptions {
        trade_on_stale: true,
        ..on_feed(0)
    };
    let mut desk = Desk::with(LIMITS, &[on_feed(0), brave, on_feed(1)]);
    desk.log_in(0);
    desk.says(&next_number(1));
    desk.prices[0].set_stale(true);
    let asked = [0, 1, 2].map(|owner| desk.asks(owner, &enter(1, Side::Buy, 1)).map(|_| ()));
    assert_eq!(asked, [Err(Refusal::StaleBook), Ok(()), Ok(())]);
    desk.prices[0].set_stale(false);
    desk.prices[0].set_incomplete(1);
    let asked = desk.asks(0, &enter(1, Side::Buy, 1));
    assert_eq!(asked, Err(Refusal::StaleBook));
}

/// Time has come to this, and the exchange lives: what is due beside a heartbeat, and what is written then.
fn look(desk: &mut Desk, at_ns: u64) -> (Due, [u8; 64]) {
    desk.now_ns = at_ns;
    desk.hears(&soup(b'H', &[]));
    let mut out = [0; 64];
    let mut due = desk.entry.on_timeout(at_ns, &mut out);
    if due == Due::Send(3) {
        due = desk.entry.on_timeout(at_ns, &mut out);
    }
    (due, out)
}

#[test]
fn order_that_the_exchange_swallows_is_found_by_asking_and_ends_the_connection() {
    let mut desk = Desk::open();
    desk.entry = desk.entry.with_answer_timeout(SECOND);
    // One has its answer, one has none, and one comes after the question.
    desk.live(1, 100);
    desk.asks(0, &enter(2, Side::Buy, 100)).expect("it may");
    let (due, _) = look(&mut desk, SECOND / 2);
    assert_eq!((due, desk.entry.in_doubt()), (Due::Nothing, 0));
    let (due, out) = look(&mut desk, 2 * SECOND);
    assert_eq!((due, desk.entry.in_doubt()), (Due::Send(4), 1));
    assert_eq!(out[..4], *b"\0\x02UQ", "an account query");
    desk.asks(0, &enter(3, Side::Buy, 100)).expect("it may");
    // In doubt, it counts.
    assert_eq!(desk.account.exposure(Symbol(*SYMBOLS[0])).open_buy, 300);
    desk.says(&next_number(4));
    assert_eq!(desk.news, ["Ended(Swallowed)"]);
    // The next connection learns that it never arrived.
    desk.cut();
    desk.log_in(0);
    desk.says(&next_number(2));
    assert_eq!(
        (desk.entry.state(), desk.entry.in_doubt()),
        (State::Open, 0)
    );
    assert_eq!(desk.counters.never_received.get(), 2);
    assert_eq!(desk.account.exposure(Symbol(*SYMBOLS[0])).open_buy, 100);
}

#[test]
fn late_answers_end_the_doubt_and_cancels_that_are_put_off_are_in_none() {
    let mut desk = Desk::open();
    desk.entry = desk.entry.with_answer_timeout(SECOND);
    desk.live(1, 100);
    desk.asks(0, &enter(2, Side::Buy, 100)).expect("it may");
    desk.asks(0, &change(Action::Cancel, 1, 0)).expect("it may");
    desk.says(&cancel_pending(1));
    let (due, _) = look(&mut desk, 2 * SECOND);
    assert_eq!((due, desk.entry.in_doubt()), (Due::Send(4), 1));
    // The answer comes late, and before that of the query: all is well.
    desk.says(&accepted(2, b'B', 100, SYMBOLS[0], 1_000_000));
    desk.says(&next_number(3));
    assert!(
        desk.news.iter().all(|news| !news.contains("Ended")),
        "{:?}",
        desk.news
    );
    let (due, _) = look(&mut desk, 4 * SECOND);
    assert_eq!((due, desk.entry.in_doubt()), (Due::Nothing, 0));
}

#[test]
fn exchange_that_answers_nothing_at_all_is_left() {
    let mut desk = Desk::open();
    desk.entry = desk.entry.with_answer_timeout(SECOND);
    desk.asks(0, &enter(1, Side::Buy, 100)).expect("it may");
    let mut dues = Vec::new();
    for half in 1..10 {
        let (due, _) = look(&mut desk, half * SECOND / 2 + 10);
        if due != Due::Nothing {
            dues.push((half, due));
        }
    }
    assert_eq!(
        dues,
        [(2, Due::Send(4)), (5, Due::End(Ended::Unanswered))],
        "asked, then ended"
    );
}

#[test]
fn cancel_that_follows_a_refused_one_is_another_one() {
    let mut desk = Desk::open();
    desk.entry = desk.entry.with_answer_timeout(SECOND);
    desk.live(1, 100);
    desk.asks(0, &change(Action::Cancel, 1, 0)).expect("it may");
    let (due, _) = look(&mut desk, 2 * SECOND);
    assert_eq!(due, Due::Send(4));
    // The refusal comes late, and the next cancel before the query's answer.
    desk.says(&cancel_reject(1));
    desk.now_ns += 1;
    desk.asks(0, &change(Action::Cancel, 1, 0)).expect("it may");
    desk.says(&next_number(2));
    assert!(
        desk.news.iter().all(|news| !news.contains("Ended")),
        "{:?}",
        desk.news
    );
}
