//! What an earlier run left, at the next one's start: whose orders are, what never arrived, what differs.

use feed_handler::position::Position;
use gateway::journal::event::{Event, HeardMessage};
use gateway::journal::format::IntentRecord;
use gateway::journal::head::{Began, Names, SessionNames, decode, encode};
use gateway::journal::inlet::inlet;
use gateway::journal::past::{Past, Pasts};
use gateway::message::execution::Outcome;
use gateway::message::intent::{Action, OrderId, Owner};
use gateway::message::notice::Ended;
use gateway::order::entry::{Due, FoundOrders, PROGRESS_TIMEOUT_NS, State};
use gateway::order::risk::{KillCause, Limits, Refusal, RowLimits};
use protocol::ouch::EnterOrder;
use protocol::types::{Side, Symbol};

use super::desk::{Desk, LIMITS, SYMBOLS, change, enter, on_feed};
use super::exchange::{accepted, canceled, next_number, rejected, replaced, soup};

/// An order as an earlier run's journal has it: strategy, its number, OUCH's number.
pub(crate) type Sent = (u8, u32, u32);

/// What the journal of a run that ended well says.
pub(crate) fn past(sent: &[Sent], heard: &[Vec<u8>]) -> Past {
    past_of(b"S1        ", sent, heard)
}

/// The same, on this session of the exchange.
fn past_of(joined: &[u8; 10], orders: &[Sent], heard: &[Vec<u8>]) -> Past {
    told(joined, orders, heard).finish().remove(0)
}

/// The same, with room for what later runs' journals say.
fn told(joined: &[u8; 10], orders: &[Sent], heard: &[Vec<u8>]) -> Pasts {
    let session = SessionNames {
        name: "ouch".to_owned(),
        strategies: vec!["one".to_owned(), "two".to_owned()],
        next: 1,
        ..SessionNames::default()
    };
    let names = Names::new(vec![session.clone()], Vec::new());
    let mut pasts = Pasts::new(&[session], 100);
    pasts.begin_file(&decode(&encode(Began::default(), 0, &names)).expect("a head"));
    pasts.on_event(0, &Event::LoggedIn(1, *joined));
    for order in orders {
        pasts.on_event(0, &sent(order));
    }
    for (seq, message) in (1..).zip(heard) {
        let heard = HeardMessage {
            seq,
            is_past: false,
            message,
        };
        pasts.on_event(0, &Event::Heard(heard));
    }
    pasts.on_event(255, &Event::Stop);
    pasts
}

/// An order goes out.
fn sent((owner, id, user_ref): &Sent) -> Event<'static> {
    let intent = IntentRecord {
        id: (*id).into(),
        user_ref: (*user_ref).into(),
        owner: *owner,
        ..IntentRecord::default()
    };
    let packet = packet(*user_ref, SYMBOLS[usize::from(*owner)]);
    Event::Sent(intent, Vec::leak(packet))
}

/// What went out for a new order to buy (OUCH 5.0, "Enter Order").
fn packet(user_ref: u32, symbol: &[u8; 8]) -> Vec<u8> {
    let mut message = vec![0; EnterOrder::LEN + 2];
    message[0] = b'O';
    message[1..5].copy_from_slice(&user_ref.to_be_bytes());
    message[5] = b'B';
    message[10..18].copy_from_slice(symbol);
    soup(b'U', &message)
}

/// The next run, logged in; the exchange has said this many messages.
pub(crate) fn next_run(past: Past, found: FoundOrders, said: u64) -> Desk {
    let mut desk = Desk::with(LIMITS, &[on_feed(0), on_feed(1)]);
    desk.entry = desk.entry.with_past(past, found);
    desk.log_in(said);
    desk
}

fn order(number: u32, symbol: usize) -> Vec<u8> {
    accepted(number, b'B', 10, SYMBOLS[symbol], 1_000_000)
}

#[test]
fn orders_go_back_to_their_strategies_and_those_of_nobody_stand() {
    let past = past(&[(0, 7, 3), (1, 4, 5)], &[]);
    assert_eq!([0, 1].map(|owner| past.next_id(Owner(owner))), [8, 5]);
    let mut desk = next_run(past, FoundOrders::Adopt, 3);
    for (number, symbol) in [(3, 0), (4, 0), (5, 1)] {
        desk.says(&order(number, symbol));
    }
    assert!(desk.executions.is_empty(), "nothing of the past is told");
    desk.says(&next_number(6));
    assert_eq!(desk.entry.state(), State::Open);
    let told = desk.executions.iter();
    let told: Vec<_> = told
        .map(|(owner, it)| (owner.0, it.id.0, it.outcome, it.leaves.0, it.locate))
        .collect();
    assert_eq!(
        told,
        [(0, 7, Outcome::Found, 10, 1), (1, 4, Outcome::Found, 10, 1)]
    );
    let live = desk.entry.live_orders(&desk.account);
    let desks: Vec<_> = live.iter().map(|order| order.desk).collect();
    let of = |owner, id| Some((Owner(owner), OrderId(id)));
    assert_eq!(desks, [of(0, 7), None, of(1, 4)]);
    // What was given back is steered like any other, and a number that is live is not used twice.
    assert_eq!(desk.asks(0, &enter(7, Side::Buy, 1)), Err(Refusal::IdInUse));
    desk.asks(0, &change(Action::Replace, 7, 20))
        .expect("its own");
    desk.asks(1, &change(Action::Cancel, 4, 0))
        .expect("its own");
    desk.forget();
    desk.says(&canceled(5, 10));
    assert_eq!(
        desk.last(),
        (Outcome::Canceled(b'U'), Some(Action::Cancel), 0, 1)
    );
}

#[test]
fn order_that_goes_back_counts_in_its_strategys_row_until_it_is_over() {
    let rows = [RowLimits {
        owner: Some(Owner(0)),
        open_orders_max: Some(1),
        ..RowLimits::default()
    }];
    let mut desk = Desk::with_rows(LIMITS, &rows, &[on_feed(0), on_feed(1)]);
    let past = past(&[(0, 7, 3)], &[]);
    desk.entry = desk.entry.with_past(past, FoundOrders::Adopt);
    desk.log_in(1);
    desk.says(&order(3, 0));
    desk.says(&next_number(4));
    let refused = desk.asks(0, &enter(8, Side::Buy, 1));
    assert_eq!(refused, Err(Refusal::OpenOrders));
    desk.says(&canceled(3, 10));
    desk.asks(0, &enter(8, Side::Buy, 1)).expect("it has room");
    assert_eq!(desk.kill.cause(), None);
}

#[test]
fn order_of_another_symbol_under_the_same_number_goes_back_to_nobody() {
    // A run without a journal has used 3 again, for the second strategy's symbol.
    let mut desk = next_run(past(&[(0, 7, 3)], &[]), FoundOrders::Adopt, 1);
    desk.says(&order(3, 1));
    desk.says(&next_number(4));
    assert_eq!(
        (desk.entry.state(), desk.executions.len()),
        (State::Open, 0)
    );
    assert_eq!(desk.entry.live_orders(&desk.account)[0].desk, None);
}

#[test]
fn replaced_order_goes_back_and_can_be_replaced_again() {
    let mut desk = next_run(past(&[(0, 7, 3)], &[]), FoundOrders::Adopt, 2);
    desk.says(&order(3, 0));
    // Whose replace it was the journal has lost: the order goes by a number that nobody knows.
    desk.says(&replaced(3, 4, 20, 1_000_000));
    desk.says(&next_number(5));
    assert_eq!(desk.entry.live_orders(&desk.account)[0].desk, None);

    let mut pasts = past(&[(0, 7, 3), (0, 7, 4)], &[]);
    assert_eq!(pasts.join(*b"S1        "), 0);
    let mut desk = next_run(pasts, FoundOrders::Adopt, 2);
    desk.says(&order(3, 0));
    desk.says(&replaced(3, 4, 20, 1_000_000));
    desk.says(&next_number(5));
    let (_, found) = desk.executions[0];
    assert_eq!(
        (found.id, found.outcome, found.locate),
        (OrderId(7), Outcome::Found, 1)
    );
    desk.asks(0, &change(Action::Replace, 7, 30))
        .expect("its own");
}

#[test]
fn code_of_a_symbol_that_its_feed_had_not_said_yet_is_found_when_it_is_needed() {
    let mut desk = next_run(past(&[(0, 7, 3)], &[]), FoundOrders::Adopt, 1);
    let symbol = Symbol(*SYMBOLS[0]);
    desk.prices[0].store_symbol(1, Symbol(*b"OTHER   "), Position::default());
    desk.says(&order(3, 0));
    desk.says(&next_number(4));
    assert_eq!(desk.last().3, 0, "no code is better than another symbol's");
    let refused = desk.asks(0, &change(Action::Replace, 7, 30));
    assert_eq!(refused, Err(Refusal::UnknownSymbol));
    desk.prices[0].store_symbol(1, symbol, Position::default());
    desk.asks(0, &change(Action::Replace, 7, 30))
        .expect("it is known now");
}

#[test]
fn settling_that_gets_nowhere_ends_the_connection() {
    let mut desk = next_run(past(&[(0, 1, 1)], &[]), FoundOrders::Cancel, 1);
    desk.says(&order(1, 0));
    desk.says(&next_number(2));
    assert_eq!(desk.entry.state(), State::Settling);
    desk.now_ns += PROGRESS_TIMEOUT_NS + 1;
    desk.hears(&soup(b'H', &[]));
    let due = desk.entry.on_timeout(desk.now_ns, &mut [0; 64]);
    assert_eq!(due, Due::End(Ended::NoProgress));
}

#[test]
fn numbers_of_orders_that_never_arrived_are_told_and_not_used_again() {
    let past = past(&[(0, 1, 1), (0, 2, 2), (0, 3, 9)], &[order(1, 0)]);
    let mut desk = next_run(past, FoundOrders::Keep, 2);
    desk.says(&order(1, 0));
    desk.says(&rejected(2));
    // The exchange has never heard of 9.
    desk.says(&next_number(3));
    assert_eq!(desk.counters.never_received.get(), 1);
    assert_eq!(desk.counters.past_news.get(), 1, "the reject");
    let told = desk.news.join("\n");
    assert!(
        told.contains("NeverArrived(UserRefNum(9), OrderId(3))"),
        "{told}"
    );
    let sent = desk.asks(0, &enter(4, Side::Buy, 10)).expect("it may");
    assert_eq!(sent[1..5], 10u32.to_be_bytes());
}

#[test]
fn order_that_never_arrived_is_told_by_the_run_that_misses_it_and_no_later_one() {
    let mut pasts = told(b"S1        ", &[(0, 1, 1), (0, 2, 2)], &[order(1, 0)]);
    // The next run opens, which it does once it has told what it misses, and sends another one.
    pasts.on_event(0, &Event::LoggedIn(1, *b"S1        "));
    pasts.on_event(0, &Event::Opened);
    pasts.on_event(0, &sent(&(0, 3, 3)));
    let mut desk = next_run(pasts.finish().remove(0), FoundOrders::Keep, 1);
    desk.says(&order(1, 0));
    desk.says(&next_number(2));
    assert_eq!(desk.counters.never_received.get(), 1);
    let told = desk.news.join("\n");
    assert!(told.contains("NeverArrived(UserRefNum(3)"), "{told}");
    assert!(!told.contains("NeverArrived(UserRefNum(2)"), "{told}");
}

#[test]
fn exchange_that_tells_the_past_otherwise_stops_trading() {
    let past = past(&[(0, 1, 1)], &[order(1, 0), canceled(1, 10)]);
    let mut desk = next_run(past, FoundOrders::Keep, 2);
    desk.says(&order(1, 0));
    assert_eq!(desk.kill.cause(), None);
    desk.says(&canceled(1, 5));
    assert_eq!(desk.kill.cause(), Some(KillCause::PastDiffers));
    assert!(
        desk.news.contains(&"Past(Differs(2))".to_owned()),
        "{:?}",
        desk.news
    );
    desk.says(&next_number(2));
    assert_eq!(desk.asks(0, &enter(2, Side::Buy, 1)), Err(Refusal::Killed));
}

#[test]
fn orders_of_another_session_say_nothing_of_this_one() {
    let past = past_of(b"S0        ", &[(0, 6, 1), (0, 7, 2)], &[order(8, 0)]);
    assert_eq!(past.next_id(Owner(0)), 8, "a strategy's numbers go on");
    let mut desk = next_run(past, FoundOrders::Adopt, 1);
    assert!(
        desk.news.contains(&"Past(AnotherSession(2))".to_owned()),
        "{:?}",
        desk.news
    );
    desk.says(&order(1, 0));
    desk.says(&next_number(2));
    assert_eq!((desk.entry.state(), desk.kill.cause()), (State::Open, None));
    assert!(desk.executions.is_empty() && desk.counters.never_received.get() == 0);
    let sent = desk.asks(0, &enter(8, Side::Buy, 10)).expect("it may");
    assert_eq!(sent[1..5], 2u32.to_be_bytes());
}

#[test]
fn nothing_new_goes_out_before_what_was_found_is_cancelled() {
    let mut desk = next_run(past(&[(0, 1, 1)], &[]), FoundOrders::Cancel, 2);
    desk.says(&order(1, 0));
    desk.says(&order(2, 0));
    desk.says(&next_number(3));
    assert_eq!(desk.entry.state(), State::Settling);
    assert_eq!(
        desk.asks(0, &enter(2, Side::Buy, 1)),
        Err(Refusal::SessionDown)
    );
    // The connection goes with the cancels, and comes back: it is still to be done.
    let mut out = [0; 256];
    assert!(desk.entry.cancel_some(10, desk.now_ns, &mut out) > 0);
    desk.cut();
    desk.log_in(0);
    desk.says(&next_number(3));
    assert_eq!(desk.entry.state(), State::Settling);
    assert!(desk.entry.cancel_some(10, desk.now_ns, &mut out) > 0);
    desk.says(&canceled(1, 10));
    assert_eq!(desk.entry.state(), State::Settling);
    desk.says(&canceled(2, 10));
    assert_eq!(desk.entry.state(), State::Open);
    assert!(desk.news.contains(&"Opened".to_owned()));
    // What stands of this life stands over a lost connection.
    desk.live(2, 10);
    desk.cut();
    desk.log_in(0);
    desk.says(&next_number(4));
    assert_eq!(
        (desk.entry.state(), desk.entry.open_orders()),
        (State::Open, 1)
    );
}

#[test]
fn rejects_of_an_earlier_run_are_no_storm() {
    let limits = Limits {
        rejects_max: 3,
        reject_window_ns: 1_000_000_000,
        ..LIMITS
    };
    let mut desk = Desk::with(limits, &[on_feed(0)]);
    desk.log_in(20);
    for number in 1..=20 {
        desk.says(&rejected(number));
    }
    desk.says(&next_number(21));
    assert_eq!((desk.entry.state(), desk.kill.cause()), (State::Open, None));
}

#[test]
fn past_is_not_read_on_while_the_journal_is_half_full() {
    let mut desk = Desk::with(LIMITS, &[on_feed(0)]);
    let (inlet, mut outlet) = inlet(0, 1 << 13, desk.kill.clone()).expect("a power of two");
    desk.entry = desk.entry.with_journal(inlet);
    assert!(!desk.entry.must_wait());
    desk.log_in(100);
    let mut heard = 0;
    while !desk.entry.must_wait() {
        heard += 1;
        desk.says(&order(heard, 0));
        assert!(heard < 100, "the ring has room for fewer");
    }
    assert_eq!(desk.kill.cause(), None, "nothing is lost");
    let mut payload = Vec::new();
    let mut write = || while outlet.records.next(&mut payload).is_some() {};
    write();
    assert!(!desk.entry.must_wait());
    for number in heard + 1..=100 {
        desk.says(&order(number, 0));
        write();
    }
    // Once orders go out, nothing waits: a full ring stops trading instead.
    desk.says(&next_number(101));
    assert_eq!(desk.entry.state(), State::Open);
    for number in 101..200 {
        desk.says(&order(number, 0));
    }
    assert!(!desk.entry.must_wait());
    assert_eq!(desk.kill.cause(), Some(KillCause::JournalBehind));
}
