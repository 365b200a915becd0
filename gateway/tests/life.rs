//! A strategy's life: its start, its timers, its stop, in a trial and on a core of its own.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use feed_handler::best_prices::BestPrices;
use feed_handler::event::MarketEvent;
use feed_handler::publish::{Listener, Subscription};
use gateway::core_loop::{CoreEnds, CoreOptions, CoreState, run};
use gateway::message::execution::{ExecutionEvent, Outcome};
use gateway::message::intent::{Action, Cause, OrderId};
use gateway::message::notice::Notices;
use gateway::order::opening::OpeningView;
use gateway::strategy::{
    Context, Ends, NewOrder, Start, Strategy, StrategyStage, TIMER_TICK_NS, TIMERS_MAX, TimerId,
    Trial,
};
use protocol::types::{Price4, Qty, Side, Symbol};
use rt::mem::Want;
use rt::ring::ring;

const MS: u64 = 1_000_000;

const ALC: Symbol = Symbol(*b"ALC     ");
const ORDER: NewOrder = NewOrder::limit(1, Side::Buy, Price4(10_000), Qty(100));

/// What a strategy was told, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// The session is open.
    Up(u64),
    /// A timer with this token fired.
    Timer(u64, u64),
    /// It starts, and the account holds this much of ALC and of anything else.
    Start(i64, i64),
    /// It stops: whether an order and a cancel went out.
    Stop(bool, bool),
}

/// Starts timers when its session opens, and says what it is told.
struct Clerk {
    /// Waits in ns; a timer's token is its place.
    waits: Vec<u64>,
    /// Which timer a fired one stops.
    stops: Option<(u64, usize)>,
    /// How often it goes on with the last one, in step.
    repeats: u32,
    due_ns: u64,
    timers: Vec<Option<TimerId>>,
    out: Sender<Told>,
}

impl Clerk {
    fn new(waits: &[u64]) -> (Box<Self>, Receiver<Told>) {
        let (out, told) = channel();
        let clerk = Self {
            waits: waits.to_vec(),
            stops: None,
            repeats: 0,
            due_ns: 0,
            timers: Vec::new(),
            out,
        };
        (Box::new(clerk), told)
    }

    fn tell(&self, told: Told) {
        self.out.send(told).expect("the test listens");
    }
}

impl Strategy for Clerk {
    fn on_event(&mut self, _: &MarketEvent, _: &mut Context<'_>) {}

    fn on_execution(&mut self, execution: &ExecutionEvent, context: &mut Context<'_>) {
        if execution.outcome != Outcome::SessionUp {
            return;
        }
        let now_ns = context.picked_ns();
        self.tell(Told::Up(now_ns));
        for (token, wait_ns) in (0..).zip(self.waits.clone()) {
            self.due_ns = now_ns + wait_ns;
            self.timers.push(context.start_timer(wait_ns, token));
        }
    }

    fn on_start(&mut self, start: &Start<'_>, _: &mut Context<'_>) {
        assert_eq!(start.orders().count(), 0);
        let alc = start.position(ALC);
        let all: i64 = start.positions().map(|(_, shares)| shares).sum();
        self.tell(Told::Start(alc, all - alc));
    }

    fn on_stop(&mut self, context: &mut Context<'_>) {
        let entered = context.enter(&ORDER).is_some();
        let replaced = context.replace(OrderId(1), Price4(1), Qty(1));
        assert!(!replaced);
        self.tell(Told::Stop(entered, context.cancel(OrderId(1))));
    }

    fn on_timer(&mut self, token: u64, context: &mut Context<'_>) {
        self.tell(Told::Timer(token, context.picked_ns()));
        if let Some((_, stopped)) = self.stops.filter(|(by, _)| *by == token) {
            let timer = self.timers[stopped].expect("it was started");
            assert!(context.cancel_timer(timer));
            assert!(!context.cancel_timer(timer), "it does not run any more");
        }
        if self.repeats > 0 {
            self.repeats -= 1;
            self.due_ns += MS;
            assert!(context.start_timer_at(self.due_ns, token).is_some());
        }
        context.enter(&ORDER);
    }
}

fn timers(told: &Receiver<Told>) -> Vec<(u64, u64)> {
    let timers = told.try_iter().filter_map(|told| match told {
        Told::Timer(token, at_ns) => Some((token, at_ns)),
        _ => None,
    });
    timers.collect()
}

#[test]
fn timers_fire_in_order_as_time_passes_and_what_they_send_has_no_tick() {
    let (clerk, told) = Clerk::new(&[5 * MS, MS, 3 * MS, 3 * MS]);
    let mut trial = Trial::new(clerk);
    trial.set_session(true);
    trial.pass(MS - 2 * TIMER_TICK_NS);
    assert_eq!(timers(&told), [], "not early");
    trial.pass(4 * TIMER_TICK_NS);
    assert_eq!(timers(&told).iter().map(|it| it.0).collect::<Vec<_>>(), [1]);
    trial.pass(10 * MS);
    let tokens: Vec<u64> = timers(&told).iter().map(|it| it.0).collect();
    assert_eq!(tokens, [2, 3, 0]);
    let intents = trial.intents();
    assert_eq!(intents.len(), 4);
    for intent in intents {
        assert_eq!((intent.cause, intent.origin.seq), (Cause::Timer, 0));
    }
}

#[test]
fn timer_that_another_stops_does_not_fire() {
    let (mut clerk, told) = Clerk::new(&[MS, 2 * MS, 3 * MS]);
    clerk.stops = Some((0, 1));
    let mut trial = Trial::new(clerk);
    trial.set_session(true);
    trial.pass(10 * MS);
    let tokens: Vec<u64> = timers(&told).iter().map(|it| it.0).collect();
    assert_eq!(tokens, [0, 2]);
}

#[test]
fn timer_that_goes_in_step_does_not_drift() {
    let (mut clerk, told) = Clerk::new(&[MS]);
    clerk.repeats = 999;
    let mut trial = Trial::new(clerk);
    trial.set_session(true);
    let up = told.try_iter().find_map(|told| match told {
        Told::Up(at_ns) => Some(at_ns),
        _ => None,
    });
    let up_ns = up.expect("the session opened");
    trial.pass(2_000 * MS);
    let fired = timers(&told);
    assert_eq!(fired.len(), 1_000);
    for ((_, at_ns), number) in fired.iter().zip(1..) {
        let late_ns = at_ns - (up_ns + number * MS);
        assert!(late_ns < TIMER_TICK_NS, "timer {number}: {late_ns} ns late");
    }
}

#[test]
fn strategy_that_starts_too_many_timers_is_told() {
    let (clerk, told) = Clerk::new(&[MS; TIMERS_MAX + 1]);
    let mut trial = Trial::new(clerk);
    trial.set_session(true);
    trial.pass(10 * MS);
    let tokens: Vec<u64> = timers(&told).iter().map(|it| it.0).collect();
    assert_eq!(tokens, (0..TIMERS_MAX as u64).collect::<Vec<_>>());
}

#[test]
fn core_that_hears_nothing_fires_timers_in_order_and_not_early() {
    let (clerk, told) = Clerk::new(&[20 * MS, 2 * MS, 0, 9 * MS]);
    let prices = Arc::new(BestPrices::new(Want::LAZY).expect("memory"));
    let (_events, events) = ring(16).expect("a power of two");
    let (intents, _intents) = ring(16).expect("a power of two");
    let (mut to_desk, executions) = ring(16).expect("a power of two");
    let (notices, _notices) = ring(16).expect("a power of two");
    let events = Listener::own(events, Subscription::All, Arc::clone(&prices));
    let ends = Ends {
        intents,
        executions,
        opening: OpeningView::default(),
        notices: Notices(notices),
        first_id: 1,
    };
    let stage = StrategyStage::of_one(events, prices, clerk, ends);
    let (stalls, _stalls) = ring(16).expect("a power of two");
    let (state, stop) = (CoreState::default(), AtomicBool::new(false));
    let options = CoreOptions {
        name: "clerk".into(),
        cpu: None,
        priority: 0,
        rehearse_ns: 0,
    };
    let ends = CoreEnds {
        sandbox: None,
        stalls,
        turns: None,
    };
    let up = ExecutionEvent::session(Outcome::SessionUp, rt::clock::monotonic_ns());
    to_desk.push(up).expect("there is room");
    let fired: Vec<Told> = std::thread::scope(|scope| {
        scope.spawn(|| run(vec![Box::new(stage)], &options, &state, ends, &stop));
        let fired = told.iter().take(6).collect();
        stop.store(true, Ordering::Relaxed);
        fired
    });
    assert_eq!(fired[0], Told::Start(0, 0));
    let Told::Up(up_ns) = fired[1] else {
        unreachable!("{fired:?}")
    };
    let due = [(2, 0), (1, 2 * MS), (3, 9 * MS), (0, 20 * MS)];
    for (told, (token, wait_ns)) in fired[2..].iter().zip(due) {
        let Told::Timer(fired_token, at_ns) = *told else {
            unreachable!("{fired:?}")
        };
        assert_eq!(fired_token, token);
        assert!(at_ns >= up_ns + wait_ns, "{fired:?}");
    }
}

#[test]
fn strategy_starts_once_with_what_is_held_before_its_session_is_told_to_be_open() {
    let (clerk, told) = Clerk::new(&[]);
    let mut trial = Trial::new(clerk);
    trial.hold(ALC, -300);
    trial.hold(Symbol(*b"BLC     "), 500);
    trial.hold(Symbol(*b"CLC     "), 0);
    trial.quote(1, Price4(9_900), Price4(10_100));
    assert_eq!(told.try_iter().count(), 0, "not before the session is open");
    for is_up in [true, false, true] {
        trial.set_session(is_up);
    }
    let told: Vec<Told> = told.try_iter().collect();
    assert!(
        matches!(told[..], [Told::Start(-300, 500), Told::Up(_), Told::Up(_)]),
        "{told:?}"
    );
}

#[test]
fn strategy_that_stops_is_told_once_and_sends_nothing_but_cancels() {
    let (clerk, told) = Clerk::new(&[MS]);
    let mut trial = Trial::new(clerk);
    trial.set_session(true);
    trial.stop();
    trial.stop();
    trial.pass(2 * MS);
    let told: Vec<Told> = told.try_iter().skip(2).collect();
    assert!(
        matches!(told[..], [Told::Stop(false, true), Told::Timer(..)]),
        "{told:?}"
    );
    let actions: Vec<Action> = trial.intents().iter().map(|it| it.action).collect();
    assert_eq!(actions, [Action::Cancel], "the timer's order is not sent");
}
