//! Sessions of the exchange that were left on the same day: what they have executed stays the account's.

use gateway::journal::event::{Event, HeardMessage};
use gateway::journal::format::Header;
use gateway::journal::head::{Began, Names, SessionNames, decode, encode};
use gateway::journal::past::{Past, Pasts};
use gateway::journal::replay::Hearer;
use gateway::order::entry::{FoundOrders, State};
use gateway::order::risk::{KillCause, Limits};
use protocol::types::Symbol;

use super::desk::{Desk, LIMITS, SYMBOLS, on_feed};
use super::exchange::{accepted, broken, executed, next_number, replaced};
use super::past::next_run;

/// When the day began, ns since 1970.
const MIDNIGHT_NS: u64 = 1_700_000_000_000_000_000;

/// Runs of a gateway, one after the other, as their journals tell them.
struct Runs(Pasts);

impl Runs {
    fn new() -> Self {
        Self(Pasts::new(&[session()], 0))
    }

    /// A run on this session that heard these messages, the first one's number given, this long after midnight.
    fn run(
        mut self,
        joined: &[u8; 10],
        since_midnight_ns: u64,
        from: u64,
        said: &[Vec<u8>],
    ) -> Self {
        let began = Began {
            realtime_ns: MIDNIGHT_NS,
            monotonic_ns: 1 << 40,
        };
        let header = Header {
            time_ns: (began.monotonic_ns + since_midnight_ns).into(),
            ..Header::default()
        };
        let names = Names::new(vec![session()], Vec::new());
        let head = decode(&encode(began, 0, &names)).unwrap();
        Hearer::begin_file(&mut self.0, &head);
        self.0.on_record(&header, &Event::Connected);
        self.0.on_record(&header, &Event::LoggedIn(1, *joined));
        for (seq, message) in (from..).zip(said) {
            let heard = HeardMessage {
                seq,
                is_past: false,
                message,
            };
            self.0.on_record(&header, &Event::Heard(heard));
        }
        self.0.on_record(&header, &Event::Opened);
        self.0.on_event(255, &Event::Stop);
        self
    }

    fn past(self) -> Past {
        self.0.finish().remove(0).of_day(MIDNIGHT_NS)
    }
}

fn session() -> SessionNames {
    SessionNames {
        name: "ouch".to_owned(),
        strategies: vec!["one".to_owned(), "two".to_owned()],
        next: 1,
        ..SessionNames::default()
    }
}

const S0: &[u8; 10] = b"S0        ";
/// The one that the desk's exchange has.
const S1: &[u8; 10] = b"S1        ";

fn buys(number: u32, qty: u32) -> Vec<u8> {
    accepted(number, b'B', qty, SYMBOLS[0], 1_000_000)
}

/// 60 bought of one symbol and undone again, 100 bought, 40 sold of the other, at 100 dollars each.
fn morning() -> Vec<Vec<u8>> {
    vec![
        buys(1, 100),
        executed(1, 60, 1),
        replaced(1, 2, 100, 1_000_000),
        executed(2, 100, 2),
        broken(1, 1),
        accepted(3, b'S', 50, SYMBOLS[1], 1_000_000),
        executed(3, 40, 3),
    ]
}

fn held(desk: &mut Desk) -> [i64; 2] {
    SYMBOLS.map(|symbol| desk.account.exposure(Symbol(*symbol)).position)
}

#[test]
fn what_an_earlier_session_of_the_day_executed_counts_before_orders_go_out() {
    let past = Runs::new().run(S0, 5, 1, &morning()).past();
    let mut desk = next_run(past, FoundOrders::Keep, 2);
    assert_eq!(held(&mut desk), [100, -40]);
    assert_eq!(desk.account.worth().gross, 140 * 1_000_000);
    assert_eq!(desk.account.profit(), 0, "held at what it was paid with");
    assert_eq!(
        (desk.counters.carried.get(), desk.counters.not_carried.get()),
        (2, 0)
    );
    let told = desk.news.join("\n");
    assert!(
        told.contains("executions: 2, bought: 100, sold: 40, symbols: 2, open: 1"),
        "{told}"
    );
    assert!(told.contains("CarriedPosition(ALC, 100)"), "{told}");
    assert!(told.contains("CarriedPosition(BOB, -40)"), "{told}");
    // The session of now has executed, too, under the numbers of the morning's trades.
    desk.says(&buys(1, 7));
    desk.says(&executed(1, 7, 1));
    desk.says(&next_number(2));
    assert_eq!((desk.entry.state(), desk.kill.cause()), (State::Open, None));
    assert_eq!(held(&mut desk), [107, -40]);
    // A connection that is lost carries nothing again.
    desk.cut();
    desk.log_in(0);
    assert_eq!(held(&mut desk), [107, -40]);
}

#[test]
fn what_was_executed_before_the_day_does_not_count() {
    let mut before = Runs::new().run(S0, 5, 1, &morning()).past();
    before = before.of_day(MIDNIGHT_NS + 6);
    let mut desk = next_run(before, FoundOrders::Keep, 0);
    assert_eq!(held(&mut desk), [0, 0]);
    assert_eq!(desk.counters.carried.get(), 0);
}

#[test]
fn session_of_the_day_before_is_not_left_today_because_a_run_begins() {
    let runs = Runs::new()
        .run(S0, 5, 1, &morning())
        .run(S1, 1_000, 1, &[buys(1, 1)]);
    let mut desk = next_run(runs.past().of_day(MIDNIGHT_NS + 500), FoundOrders::Keep, 0);
    assert_eq!(held(&mut desk), [0, 0]);
    let is_of_past = |it: &String| it.starts_with("Past(");
    assert!(!desk.news.iter().any(is_of_past), "{:?}", desk.news);
}

#[test]
fn loss_that_was_made_good_in_another_symbol_does_not_stop_trading() {
    // 400 dollars lost in the first symbol, 500 won in the second before that.
    let at = |number, qty, match_number, price: u64| {
        let mut message = executed(number, qty, match_number);
        message[17..25].copy_from_slice(&price.to_be_bytes());
        message
    };
    let morning = [
        accepted(1, b'B', 100, SYMBOLS[1], 1_000_000),
        at(1, 100, 1, 1_000_000),
        accepted(2, b'S', 100, SYMBOLS[1], 1_000_000),
        at(2, 100, 2, 1_050_000),
        accepted(3, b'B', 100, SYMBOLS[0], 1_000_000),
        at(3, 100, 3, 1_000_000),
        accepted(4, b'S', 100, SYMBOLS[0], 1_000_000),
        at(4, 100, 4, 960_000),
    ];
    // Without what was won it is a loss, and found at once.
    let of_first = &morning[4..];
    for (said, profit, cause) in [
        (&morning[..], 100, None),
        (of_first, -400, Some(KillCause::LossLimit)),
    ] {
        let limits = Limits {
            loss_max: 399 * 10_000,
            ..LIMITS
        };
        let mut desk = Desk::with(limits, &[on_feed(0), on_feed(1)]);
        let past = Runs::new().run(S0, 5, 1, said).past();
        desk.entry = desk.entry.with_past(past, FoundOrders::Keep);
        desk.log_in(0);
        assert_eq!(desk.account.profit(), profit * 10_000);
        assert_eq!(desk.kill.cause(), cause);
    }
}

#[test]
fn session_that_is_joined_again_is_told_by_the_exchange_and_the_other_by_the_journals() {
    let there_and_back = Runs::new()
        .run(S1, 5, 1, &morning())
        .run(S0, 6, 1, &[buys(1, 9), executed(1, 9, 1)])
        .run(S1, 7, 1, &morning());
    let mut desk = next_run(there_and_back.past(), FoundOrders::Keep, 7);
    assert_eq!(held(&mut desk), [9, 0], "the other session's");
    for message in morning() {
        desk.says(&message);
    }
    desk.says(&next_number(4));
    assert_eq!(desk.kill.cause(), None);
    assert_eq!(held(&mut desk), [109, -40]);
}

#[test]
fn execution_that_was_heard_in_two_runs_is_carried_once() {
    let twice = Runs::new()
        .run(S0, 5, 1, &morning())
        .run(S0, 6, 1, &morning());
    let mut desk = next_run(twice.past(), FoundOrders::Keep, 0);
    assert_eq!(held(&mut desk), [100, -40]);
}

#[test]
fn execution_of_an_order_that_no_journal_has_stops_trading() {
    // What was heard of the order itself is gone.
    let past = Runs::new().run(S0, 5, 2, &morning()[1..2]).past();
    let mut desk = next_run(past, FoundOrders::Keep, 0);
    assert_eq!(held(&mut desk), [0, 0]);
    assert_eq!(desk.kill.cause(), Some(KillCause::PositionUnknown));
    assert_eq!(desk.counters.not_carried.get(), 1);
    assert!(desk.news.contains(&"Past(NotCarried(1))".to_owned()));
}

#[test]
fn message_that_is_missing_among_those_of_a_session_that_was_left_stops_trading() {
    // The second, an execution, no journal has.
    let past = Runs::new()
        .run(S0, 5, 1, &morning()[..1])
        .run(S0, 6, 3, &morning()[2..3])
        .past();
    let desk = next_run(past, FoundOrders::Keep, 0);
    assert_eq!(desk.kill.cause(), Some(KillCause::PositionUnknown));
}

#[test]
fn damaged_journal_stops_trading_where_another_session_was_today() {
    for (joined, is_stopped) in [(S0, true), (S1, false)] {
        let mut runs = Runs::new().run(joined, 5, 1, &[]);
        runs.0.on_unread(MIDNIGHT_NS + 5, true);
        let desk = next_run(runs.past(), FoundOrders::Keep, 0);
        let expected = is_stopped.then_some(KillCause::PositionUnknown);
        assert_eq!(desk.kill.cause(), expected);
        let told = desk.news.contains(&"Past(CarriedDamaged)".to_owned());
        assert_eq!(told, is_stopped);
    }
}
