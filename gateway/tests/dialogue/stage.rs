//! The order stage on a connection whose other end is the test: turns, fairness, the kill switch.

use std::net::SocketAddrV4;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use feed_handler::event::Origin;
use gateway::core_loop::Stage;
use gateway::message::command::Command;
use gateway::message::execution::{ExecutionEvent, Outcome};
use gateway::message::intent::{Action, Cause, OrderIntent, Owner};
use gateway::message::notice::{Notice, Notices};
use gateway::order::account::{Account, DayStart};
use gateway::order::entry::{DeskOptions, Entry, State};
use gateway::order::links::Link;
use gateway::order::opening::{Opening, OpeningView};
use gateway::order::risk::{KillCause, KillSwitch, Limits, Risk};
use gateway::order::stage::{OrderStage, Parts};
use gateway::order::transport::{Transport, TransportEvent};
use gateway::order::understudy::Understudy;
use gateway::trace::recorder::Slowest;
use protocol::types::{Side, Symbol};
use rt::clock::Clock;
use rt::ring::{Consumer, Producer, ring};

use super::desk::{LIMITS, SECOND, change, enter, lifecycle, on_feed, prices};
use super::exchange::*;

/// Bytes each way, and nothing else.
#[derive(Default)]
struct Wire {
    heard: Vec<Vec<u8>>,
    is_up: bool,
    is_announced: bool,
    is_closed: bool,
    /// What goes into one turn at most.
    tx: Vec<u8>,
    committed: usize,
    sent: Vec<u8>,
    connections: u32,
    prefetched: AtomicU32,
}

impl Transport for Wire {
    fn start(&mut self) -> std::io::Result<()> {
        self.tx = vec![0; 64 * 1024];
        Ok(())
    }

    fn connect(&mut self, _: SocketAddrV4) {
        self.connections += 1;
        (self.is_announced, self.is_closed) = (false, false);
    }

    fn close(&mut self) {
        self.heard.clear();
        self.committed = 0;
        self.is_announced = true;
    }

    fn room(&mut self) -> &mut [u8] {
        &mut self.tx[self.committed..]
    }

    fn commit(&mut self, len: usize) {
        self.committed += len;
    }

    fn flush(&mut self) {
        self.sent.extend_from_slice(&self.tx[..self.committed]);
        self.committed = 0;
    }

    fn prefetch(&self) {
        self.prefetched.fetch_add(1, Ordering::Relaxed);
    }

    fn poll(&mut self, mut on: impl FnMut(TransportEvent<'_>)) -> usize {
        if !self.is_announced && self.is_up && self.connections > 0 {
            self.is_announced = true;
            on(TransportEvent::Connected);
            return 1;
        }
        if std::mem::take(&mut self.is_closed) {
            on(TransportEvent::Closed(libc::ECONNRESET));
            return 1;
        }
        if self.heard.is_empty() {
            return 0;
        }
        on(TransportEvent::Bytes(&self.heard.remove(0)));
        1
    }
}

struct Bench {
    stage: OrderStage<Wire>,
    intents: Vec<Producer<OrderIntent>>,
    executions: Vec<Consumer<ExecutionEvent>>,
    notices: Consumer<Notice>,
    commands: Producer<Command>,
    found: OpeningView,
    kill: KillSwitch,
    clock: Clock,
    now_ns: u64,
}

impl Bench {
    fn new(limits: Limits, desks: &[DeskOptions], ring_len: usize) -> Self {
        let kill = KillSwitch::default();
        let mut account = Account::new(Risk::new(limits, kill.clone()), prices());
        let entry = Entry::new(lifecycle(), limits.open_orders_max, desks, &mut account);
        let (mut links, mut intents, mut executions) = (Vec::new(), Vec::new(), Vec::new());
        for _ in desks {
            let (asks, takes) = ring(ring_len).unwrap();
            let (tells, hears) = ring(ring_len).unwrap();
            links.push(Link {
                intents: takes,
                executions: tells,
            });
            intents.push(asks);
            executions.push(hears);
        }
        let (notice, notices) = ring(256).unwrap();
        let (asks, commands) = ring(4).unwrap();
        let (slow, _) = ring(64).unwrap();
        let opening = Opening::new(64);
        let found = opening.view(Owner(0), None);
        let mut stage = OrderStage::new(Parts {
            account,
            entry,
            transport: Wire::default(),
            links,
            commands,
            opening,
            notices: Notices(notice),
            slowest: Slowest::new(slow),
        });
        stage.start().unwrap();
        Self {
            stage,
            intents,
            executions,
            notices,
            commands: asks,
            found,
            kill,
            clock: Clock::manual(1),
            now_ns: 1,
        }
    }

    /// Connected and open, with nothing live.
    fn open(limits: Limits, desks: &[DeskOptions], ring_len: usize) -> Self {
        let mut bench = Self::new(limits, desks, ring_len);
        bench.stage.transport().is_up = true;
        bench.log_in(1);
        assert_eq!(bench.stage.entry().state(), State::Open);
        bench
    }

    fn log_in(&mut self, next: u32) {
        let seq = self.stage.entry().next_seq().0;
        self.house(0);
        for _ in 0..2 {
            self.turn();
            self.hears(login_accepted(seq));
        }
        self.says(&[next_number(next)]);
    }

    fn turn(&mut self) {
        self.now_ns += 1_000;
        self.clock.set_ns(self.now_ns);
        self.stage.poll(&self.clock);
    }

    /// Time passes, then slow work is done.
    fn house(&mut self, later_ns: u64) {
        self.now_ns += later_ns;
        self.clock.set_ns(self.now_ns);
        self.stage.housekeep(&self.clock);
    }

    fn hears(&mut self, bytes: Vec<u8>) {
        self.stage.transport().heard.push(bytes);
        self.turn();
    }

    fn says(&mut self, messages: &[Vec<u8>]) {
        let bytes: Vec<u8> = messages.iter().flat_map(|it| soup(b'S', it)).collect();
        self.hears(bytes);
    }

    /// What the stage has sent since the last look, packet by packet: type, and the message's first byte.
    fn sent(&mut self) -> Vec<(u8, u8, Vec<u8>)> {
        let bytes = std::mem::take(&mut self.stage.transport().sent);
        let (mut rest, mut packets) = (&bytes[..], Vec::new());
        while let [high, low, kind, more @ ..] = rest {
            let len = usize::from(u16::from_be_bytes([*high, *low])) - 1;
            let (payload, after) = more.split_at(len);
            packets.push((
                *kind,
                payload.first().copied().unwrap_or(0),
                payload.to_vec(),
            ));
            rest = after;
        }
        packets
    }

    fn asks(&mut self, link: usize, intent: OrderIntent) {
        let decided_ns = self.now_ns;
        let pushed = self.intents[link].push(OrderIntent {
            decided_ns,
            ..intent
        });
        assert!(pushed.is_ok());
    }

    /// Orders 1 to this one of the first strategy, each accepted; as many in a turn as a turn takes.
    fn fill(&mut self, orders: u32) {
        for first in (1..=orders).step_by(64) {
            let ids = first..(first + 64).min(orders + 1);
            for id in ids.clone() {
                self.asks(0, enter(id, Side::Buy, 1));
            }
            self.turn();
            let answers: Vec<_> = ids
                .map(|id| accepted(id, b'B', 1, b"ALC     ", 1_000_000))
                .collect();
            self.says(&answers);
            while self.executions[0].pop().is_some() {}
        }
        self.sent();
    }
}

fn number_of(message: &[u8]) -> u32 {
    u32::from_be_bytes(message[1..5].try_into().unwrap())
}

#[test]
fn rehearsal_reaches_into_the_transport_and_sends_nothing() {
    let mut bench = Bench::open(LIMITS, &[on_feed(0)], 64);
    bench.sent();
    let understudy = Understudy::new(&LIMITS, false).unwrap();
    bench.stage = bench.stage.with_rehearsal(understudy);
    for rehearsals in 1..=3 {
        bench.stage.rehearse(&bench.clock);
        let prefetched = &bench.stage.transport().prefetched;
        assert_eq!(prefetched.load(Ordering::Relaxed), rehearsals);
    }
    assert_eq!(bench.stage.entry().open_orders(), 0);
    bench.turn();
    assert_eq!(bench.sent(), []);
}

#[test]
fn flooding_strategy_leaves_the_others_their_turn() {
    let mut bench = Bench::open(LIMITS, &[on_feed(0), on_feed(0)], 4096);
    bench.asks(1, enter(1, Side::Buy, 1));
    bench.turn();
    let (_, _, order) = bench.sent().pop().unwrap();
    bench.says(&[accepted(number_of(&order), b'B', 1, b"ALC     ", 1_000_000)]);
    bench.asks(1, change(Action::Cancel, 1, 0));
    let mut id = 0;
    while bench.intents[0].len() < 1_000 {
        id += 1;
        bench.asks(0, enter(id, Side::Buy, 1));
    }
    bench.turn();
    let kinds: Vec<u8> = bench.sent().iter().map(|(_, kind, _)| *kind).collect();
    assert!(kinds.contains(&b'X'), "{}", String::from_utf8_lossy(&kinds));
}

#[test]
fn kill_cancels_fifty_thousand_orders_in_slices_with_answers_between() {
    const ORDERS: u32 = 50_000;
    let limits = Limits {
        open_orders_max: ORDERS,
        ..LIMITS
    };
    let mut bench = Bench::open(limits, &[on_feed(0)], 65_536);
    bench.fill(ORDERS);
    assert_eq!(bench.stage.entry().open_orders(), ORDERS);
    bench.kill.engage(KillCause::Operator);
    let (mut cancels, mut turns, mut silent) = (0, 0, 0);
    let mut answers = Vec::new();
    while bench.stage.entry().open_orders() > 0 {
        if !answers.is_empty() {
            bench
                .stage
                .transport()
                .heard
                .push(std::mem::take(&mut answers));
        }
        bench.turn();
        let slice: Vec<u32> = bench
            .sent()
            .iter()
            .filter(|(_, kind, _)| *kind == b'X')
            .map(|(_, _, message)| number_of(message))
            .collect();
        assert!(slice.len() <= 256, "{} cancels in one turn", slice.len());
        answers = slice
            .iter()
            .flat_map(|number| soup(b'S', &canceled(*number, 1)))
            .collect();
        cancels += slice.len();
        turns += 1;
        silent += u32::from(slice.is_empty());
        // Housekeeping has its turn as well, and nothing to add: what goes out is a sign of life.
        bench.house(10_000_000);
        assert!(bench.sent().is_empty());
        while bench.executions[0].pop().is_some() {}
        assert!(turns < 1_000, "it does not end");
    }
    assert_eq!(cancels, ORDERS as usize);
    assert_eq!(turns, cancels.div_ceil(256) + 1);
    assert_eq!(silent, 1, "the last answers come after the last cancels");
    assert_eq!(bench.kill.cause(), Some(KillCause::Operator));
}

#[test]
fn heartbeats_go_out_while_cancels_wait_for_their_pause() {
    let mut bench = Bench::open(LIMITS, &[on_feed(0)], 64);
    bench.asks(0, enter(1, Side::Buy, 1));
    bench.turn();
    bench.says(&[accepted(1, b'B', 1, b"ALC     ", 1_000_000)]);
    bench.kill.engage(KillCause::Operator);
    let (mut heartbeats, mut cancels) = (0, 0);
    for _ in 0..1_000 {
        bench.turn();
        bench.house(10_000_000);
        for (kind, message, _) in bench.sent() {
            heartbeats += u32::from(kind == b'R');
            if message == b'X' {
                cancels += 1;
                bench.says(&[cancel_reject(1)]);
            }
        }
        bench.hears(soup(b'H', &[]));
    }
    assert!(heartbeats >= 3, "{heartbeats} in ten seconds");
    assert!((2..10).contains(&cancels), "{cancels} in ten seconds");
}

#[test]
fn stop_while_reconnecting_cancels_what_is_live_once_it_is_connected() {
    let mut bench = Bench::open(LIMITS, &[on_feed(0)], 64);
    for id in 1..=5 {
        bench.asks(0, enter(id, Side::Buy, 1));
    }
    bench.turn();
    let answers: Vec<_> = (1..=5)
        .map(|id| accepted(id, b'B', 1, b"ALC     ", 1_000_000))
        .collect();
    bench.says(&answers);
    bench.stage.transport().is_up = false;
    bench.stage.transport().is_closed = true;
    bench.turn();
    assert_eq!(bench.stage.entry().state(), State::Waiting);
    assert!(!bench.stage.stop(&bench.clock), "five orders are live");
    bench.stage.transport().is_up = true;
    bench.sent();
    bench.house(200_000_000);
    bench.log_in(6);
    bench.turn();
    let cancels: Vec<_> = bench
        .sent()
        .into_iter()
        .filter(|(_, kind, _)| *kind == b'X')
        .collect();
    assert_eq!(cancels.len(), 5);
    assert!(!bench.stage.stop(&bench.clock));
    let answers: Vec<_> = (1..=5).map(|number| canceled(number, 1)).collect();
    bench.says(&answers);
    assert!(bench.stage.stop(&bench.clock));
    let told = std::iter::from_fn(|| bench.notices.pop()).last();
    assert_eq!(told, Some(Notice::Stopped(0)));
}

#[test]
fn stop_without_a_connection_uses_its_time_and_tells_what_is_left() {
    let mut bench = Bench::open(LIMITS, &[on_feed(0)], 64);
    bench.asks(0, enter(1, Side::Buy, 1));
    bench.turn();
    bench.stage.transport().is_up = false;
    bench.stage.transport().is_closed = true;
    bench.turn();
    let begun_ns = bench.now_ns;
    while !bench.stage.stop(&bench.clock) {
        bench.house(10_000_000);
        bench.turn();
        assert!(bench.now_ns < begun_ns + 10 * SECOND, "it does not end");
    }
    assert!(bench.now_ns >= begun_ns + SECOND);
    let told = std::iter::from_fn(|| bench.notices.pop()).last();
    assert_eq!(told, Some(Notice::Stopped(1)));
}

#[test]
fn order_caused_by_an_execution_is_no_tick_to_order() {
    let mut bench = Bench::open(LIMITS, &[on_feed(0)], 64);
    let count = |bench: &Bench| {
        bench
            .stage
            .histograms()
            .tick_to_order
            .reader()
            .snapshot()
            .len()
    };
    let mut order = enter(1, Side::Buy, 1);
    order.origin = Origin {
        seen_ns: bench.now_ns,
        ..order.origin
    };
    bench.asks(0, order);
    bench.turn();
    assert_eq!(count(&bench), 1);
    for (id, seen_ns, cause) in [
        (2, 0, Cause::Execution),
        (3, 1, Cause::Execution),
        (4, 0, Cause::Timer),
    ] {
        let mut order = enter(id, Side::Buy, 1);
        order.cause = cause;
        order.origin.seen_ns = seen_ns;
        bench.asks(0, order);
        bench.turn();
    }
    assert_eq!(bench.stage.entry().open_orders(), 4);
    assert_eq!(count(&bench), 1);
}

#[test]
fn order_of_an_execution_or_a_timer_names_no_message_in_its_client_order_id() {
    let mut bench = Bench::open(LIMITS, &[on_feed(0)], 64);
    bench.sent();
    for (id, cause) in [(1, Cause::Market), (2, Cause::Execution), (3, Cause::Timer)] {
        let mut order = enter(id, Side::Buy, 1);
        (order.cause, order.origin.seq) = (cause, 0x1234);
        bench.asks(0, order);
    }
    bench.turn();
    let ids: Vec<_> = bench
        .sent()
        .iter()
        .map(|(_, _, message)| message[31..45].to_vec())
        .collect();
    assert_eq!(
        ids,
        [
            b"00000000001234".to_vec(),
            b"0000FFFFFFFFFF".to_vec(),
            b"0000FFFFFFFFFF".to_vec()
        ]
    );
}

/// Six orders live, and their acceptances in a ring that has room for eight executions.
fn with_six_unheard() -> Bench {
    let mut bench = Bench::open(LIMITS, &[on_feed(0)], 8);
    while bench.executions[0].pop().is_some() {}
    for id in 1..=6 {
        bench.asks(0, enter(id, Side::Buy, 1));
    }
    bench.turn();
    let answers: Vec<_> = (1..=6)
        .map(|id| accepted(id, b'B', 1, b"ALC     ", 1_000_000))
        .collect();
    bench.says(&answers);
    bench
}

#[test]
fn strategy_that_does_not_take_its_executions_holds_the_exchange_up_and_then_trading() {
    let mut bench = with_six_unheard();
    assert_eq!(bench.executions[0].len(), 6);
    // Two places are left: what comes now waits in the socket ...
    bench.says(
        &(1..=6)
            .map(|id| executed(id, 1, u64::from(id)))
            .collect::<Vec<_>>(),
    );
    bench.turn();
    assert_eq!(bench.stage.transport().heard.len(), 1);
    assert!(!bench.kill.is_on());
    // ... until the strategy has made room,
    while bench.executions[0].pop().is_some() {}
    bench.turn();
    assert_eq!(bench.executions[0].len(), 6);
    assert_eq!(bench.stage.entry().open_orders(), 0);
    // or for too long: then it no longer knows its orders.
    bench.asks(0, enter(7, Side::Buy, 1));
    bench.turn();
    let fills: Vec<_> = (0..3).map(|at| executed(7, 0, 10 + at)).collect();
    bench.says(&[vec![accepted(7, b'B', 1, b"ALC     ", 1_000_000)], fills].concat());
    assert!(!bench.kill.is_on());
    bench.now_ns += SECOND;
    bench.turn();
    bench.turn();
    assert_eq!(bench.kill.cause(), Some(KillCause::ExecutionsLost));
}

#[test]
fn strategy_that_has_ended_before_its_orders_are_cancelled_stops_nothing() {
    let mut bench = with_six_unheard();
    // Nobody takes executions any more: six of them lie there, and six more come.
    bench.stage.stop(&bench.clock);
    bench.turn();
    let cancels: Vec<_> = (1..=6).map(|id| canceled(id, 1)).collect();
    bench.says(&cancels);
    bench.now_ns += SECOND;
    bench.turn();
    bench.turn();
    assert_eq!(bench.stage.entry().open_orders(), 0);
    assert_eq!(bench.stage.entry().counters().execution_ring_full.get(), 4);
    assert_eq!(bench.kill.cause(), None);
}

#[test]
fn refused_intent_is_answered_from_the_order_itself() {
    let mut bench = Bench::open(LIMITS, &[on_feed(0)], 64);
    bench.asks(0, enter(1, Side::Sell, 100));
    bench.turn();
    bench.says(&[accepted(1, b'S', 100, b"ALC     ", 1_000_000)]);
    while bench.executions[0].pop().is_some() {}
    bench.asks(0, change(Action::Replace, 1, 999_999));
    bench.turn();
    let told = bench.executions[0].pop().unwrap();
    assert!(matches!(told.outcome, Outcome::Refused(_)));
    assert_eq!(told.answers, Some(Action::Replace));
    assert_eq!(
        (told.locate, told.side, told.leaves.0),
        (1, Side::Sell, 100)
    );
}

#[test]
fn stage_shares_its_counters() {
    let mut bench = Bench::open(LIMITS, &[on_feed(0)], 64);
    let counters = bench.stage.entry().counters();
    bench.asks(0, enter(1, Side::Buy, 0));
    bench.turn();
    assert_eq!(
        (
            counters.refused.get(),
            counters.refusals.refused_order_qty.get()
        ),
        (1, 1)
    );
    assert_eq!(Arc::strong_count(&counters), 3);
}

#[test]
fn paused_strategy_sends_nothing_new_and_may_cancel_until_it_is_unpaused() {
    let mut bench = Bench::open(LIMITS, &[on_feed(0), on_feed(0)], 64);
    bench.asks(0, enter(1, Side::Buy, 10));
    bench.turn();
    bench.says(&[accepted(1, b'B', 10, b"ALC     ", 1_000_000)]);
    bench.commands.push(Command::Pause(Owner(0))).unwrap();
    bench.house(1);
    bench.sent();
    bench.asks(0, enter(2, Side::Buy, 10));
    bench.asks(0, change(Action::Replace, 1, 20));
    bench.asks(1, enter(1, Side::Buy, 10));
    bench.asks(0, change(Action::Cancel, 1, 0));
    bench.turn();
    let kinds: Vec<u8> = bench.sent().iter().map(|(_, kind, _)| *kind).collect();
    assert_eq!(kinds, b"OX", "the other's order, and the cancel");
    let refused = &bench.stage.entry().counters().refusals;
    assert_eq!(refused.refused_paused.get(), 2);
    bench.commands.push(Command::Unpause(Owner(0))).unwrap();
    bench.house(1);
    bench.asks(0, enter(3, Side::Buy, 10));
    bench.turn();
    assert_eq!(bench.sent().len(), 1);
}

#[test]
fn cancel_all_comes_by_what_stands_once_in_slices_and_strategies_go_on() {
    const ORDERS: u32 = 600;
    let limits = Limits {
        open_orders_max: 2 * ORDERS,
        ..LIMITS
    };
    let mut bench = Bench::open(limits, &[on_feed(0)], 1024);
    bench.fill(ORDERS);
    bench.commands.push(Command::CancelAll).unwrap();
    bench.house(1);
    let mut slices = Vec::new();
    for _ in 0..4 {
        bench.turn();
        slices.push(bench.sent().len());
    }
    assert_eq!(slices, [256, 256, 88, 0]);
    bench.asks(0, enter(ORDERS + 1, Side::Buy, 1));
    bench.turn();
    let kinds: Vec<u8> = bench.sent().iter().map(|(_, kind, _)| *kind).collect();
    assert_eq!(kinds, b"O");
    bench.turn();
    assert_eq!(bench.sent().len(), 0, "what came later stands");
}

#[test]
fn orders_and_positions_are_shown_to_others_within_two_passes() {
    let mut bench = Bench::open(LIMITS, &[on_feed(0), on_feed(1)], 64);
    let (session, positions) = (bench.stage.session_view(), bench.stage.positions_view());
    assert!(session.is_open());
    for (link, side) in [(0, Side::Buy), (1, Side::Sell)] {
        bench.asks(link, enter(1, side, 10));
    }
    bench.turn();
    bench.says(&[
        accepted(1, b'B', 10, b"ALC     ", 1_000_000),
        accepted(2, b'S', 10, b"BOB     ", 1_000_000),
        executed(2, 10, 5),
        executed(1, 4, 6),
    ]);
    let seen = session.health().unwrap();
    while session.health().unwrap().passes < seen.passes + 2 {
        bench.house(10_000_000);
    }
    let health = session.health().unwrap();
    assert_eq!((health.state, health.open_orders), (State::Open, 1));
    assert_eq!(health.next_seq, bench.stage.entry().next_seq());
    let shown: Vec<_> = session.orders().collect();
    assert_eq!(shown, bench.stage.live_orders());
    let held = |name: &str| {
        let mut rows = positions.iter();
        let row = rows.find(|row| row.symbol.to_string() == name).unwrap();
        let it = row.exposure;
        (it.position, it.open_buy, it.open_sell)
    };
    assert_eq!((held("ALC"), held("BOB")), ((4, 6, 0), (-10, 0, 0)));
}

/// The kinds of what went out in the next turn.
fn sent_next(bench: &mut Bench) -> Vec<u8> {
    bench.sent();
    bench.turn();
    bench.sent().iter().map(|(_, kind, _)| *kind).collect()
}

#[test]
fn cancel_all_before_the_session_is_open_comes_by_what_is_found_there() {
    let mut bench = Bench::new(LIMITS, &[on_feed(0)], 64);
    bench.commands.push(Command::CancelAll).unwrap();
    bench.house(1);
    bench.stage.transport().is_up = true;
    bench.house(1);
    for seq in [2, 1] {
        bench.turn();
        bench.hears(login_accepted(seq));
    }
    bench.says(&[
        accepted(7, b'B', 10, b"ALC     ", 1_000_000),
        next_number(8),
    ]);
    assert_eq!(bench.stage.entry().state(), State::Open);
    bench.house(1);
    assert_eq!(sent_next(&mut bench), b"X");
}

#[test]
fn cancel_all_leaves_later_orders_alone_although_others_went_by_themselves() {
    let mut bench = Bench::open(LIMITS, &[on_feed(0)], 64);
    bench.asks(0, enter(1, Side::Buy, 10));
    bench.turn();
    bench.says(&[accepted(1, b'B', 10, b"ALC     ", 1_000_000)]);
    bench.commands.push(Command::CancelAll).unwrap();
    bench.house(1);
    // Filled before the sweep's turn.
    bench
        .stage
        .transport()
        .heard
        .push(soup(b'S', &executed(1, 10, 5)));
    bench.asks(0, enter(2, Side::Buy, 10));
    for _ in 0..3 {
        assert!(!sent_next(&mut bench).contains(&b'X'));
    }
}

#[test]
fn cancel_all_is_repeated_where_the_exchange_refuses_and_after_a_lost_connection() {
    let mut bench = Bench::open(LIMITS, &[on_feed(0)], 64);
    bench.asks(0, enter(1, Side::Buy, 10));
    bench.turn();
    bench.says(&[accepted(1, b'B', 10, b"ALC     ", 1_000_000)]);
    bench.commands.push(Command::CancelAll).unwrap();
    bench.house(1);
    assert_eq!(sent_next(&mut bench), b"X");
    bench.says(&[cancel_reject(1)]);
    bench.house(1);
    assert_eq!(sent_next(&mut bench), b"", "it waits for its pause");
    bench.house(SECOND / 10);
    assert_eq!(sent_next(&mut bench), b"X");
    bench.stage.transport().is_closed = true;
    bench.turn();
    bench.house(SECOND);
    bench.log_in(2);
    bench.house(1);
    assert_eq!(
        sent_next(&mut bench),
        b"X",
        "that cancel went with the connection"
    );
}

#[test]
fn a_pass_shows_every_row_however_many_there_are() {
    const ORDERS: u32 = 300;
    let limits = Limits {
        open_orders_max: ORDERS,
        ..LIMITS
    };
    let mut bench = Bench::open(limits, &[on_feed(0)], 1024);
    let session = bench.stage.session_view();
    let passes = || session.health().unwrap().passes;
    for id in 1..=ORDERS {
        bench.asks(0, enter(id, Side::Buy, 1));
        bench.turn();
        if id % 10 == 0 {
            bench.house(1);
        }
    }
    let before = passes();
    while passes() < before + 2 {
        bench.house(1);
    }
    assert_eq!(session.orders().count(), ORDERS as usize);
    // Whatever a pass has shown already, the next one shows again.
    for turns in 0..8 {
        for _ in 0..turns {
            bench.house(1);
        }
        let number = 1 + turns * 37;
        bench.says(&[accepted(number, b'B', 1, b"ALC     ", 1_000_000)]);
        let before = passes();
        while passes() < before + 2 {
            bench.house(1);
        }
        let shown = session.orders().find(|it| it.user_ref.0 == number);
        assert!(shown.unwrap().is_accepted, "order {number}");
    }
}

#[test]
fn last_answers_before_the_end_are_shown() {
    let mut bench = Bench::open(LIMITS, &[on_feed(0)], 64);
    let (session, positions) = (bench.stage.session_view(), bench.stage.positions_view());
    bench.asks(0, enter(1, Side::Buy, 10));
    bench.turn();
    bench.says(&[accepted(1, b'B', 10, b"ALC     ", 1_000_000)]);
    bench.house(1);
    bench.says(&[executed(1, 10, 5)]);
    assert!(bench.stage.stop(&bench.clock));
    assert_eq!(session.orders().count(), 0);
    let held: Vec<i64> = positions.iter().map(|it| it.exposure.position).collect();
    assert_eq!(held, [10]);
    assert_eq!(session.health().unwrap().state, State::Stopped);
}

#[test]
fn command_for_a_strategy_that_is_not_there_is_told() {
    let mut bench = Bench::open(LIMITS, &[on_feed(0)], 64);
    while bench.notices.pop().is_some() {}
    bench.commands.push(Command::Pause(Owner(9))).unwrap();
    bench.house(1);
    let told = Notice::Commanded(Command::Pause(Owner(9)), false);
    assert_eq!(bench.notices.pop(), Some(told));
    assert_eq!(bench.stage.entry().counters().commands_unknown.get(), 1);
}

#[test]
fn session_that_opens_shows_what_it_found_before_it_tells_and_never_again() {
    let mut bench = Bench::new(LIMITS, &[on_feed(0)], 64);
    let held = |bench: &Bench| -> Vec<(Symbol, i64)> {
        let positions = bench.found.positions();
        positions
            .map(|it| (it.symbol, it.exposure.position))
            .collect()
    };
    let day = DayStart {
        positions: Some(vec![(Symbol(*b"ALC     "), -300)]),
        ..DayStart::default()
    };
    bench.stage.account().begin_day(&day).unwrap();
    assert_eq!(held(&bench), [], "the past is not known");
    bench.stage.transport().is_up = true;
    bench.log_in(1);
    let up = bench.executions[0].pop().map(|it| it.outcome);
    assert_eq!(up, Some(Outcome::SessionUp));
    assert_eq!(held(&bench), [(Symbol(*b"ALC     "), -300)]);
    assert_eq!(bench.found.orders().count(), 0);

    bench.fill(1);
    bench.says(&[executed(1, 1, 9)]);
    bench.stage.transport().is_closed = true;
    bench.turn();
    bench.house(SECOND);
    bench.log_in(2);
    let exposure = bench.stage.account().exposure(Symbol(*b"ALC     "));
    assert_eq!(exposure.position, -299);
    assert_eq!(
        held(&bench),
        [(Symbol(*b"ALC     "), -300)],
        "it began with"
    );
}

#[test]
fn session_that_opens_has_shown_what_it_found_to_whoever_looks() {
    let mut bench = Bench::new(LIMITS, &[on_feed(0)], 64);
    let (session, positions) = (bench.stage.session_view(), bench.stage.positions_view());
    bench.stage.transport().is_up = true;
    bench.house(1);
    for seq in [2, 1] {
        bench.turn();
        bench.hears(login_accepted(seq));
    }
    bench.says(&[
        accepted(7, b'B', 10, b"ALC     ", 1_000_000),
        executed(7, 4, 1),
        next_number(8),
    ]);
    assert!(session.is_open());
    let held: Vec<i64> = positions.iter().map(|it| it.exposure.position).collect();
    assert_eq!((held, session.orders().count()), (vec![4], 1));
}
