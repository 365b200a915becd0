//! A gateway of three strategies on two sessions, the two feeds that it hears, and the exchange that it trades
//! on, in one thread.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use feed_handler::publish::Way;
use gateway::core_loop::Stage;
use gateway::message::notice::Notices;
use gateway::order::account::Account;
use gateway::order::addresses::Addresses;
use gateway::order::entry::{Credentials, DeskOptions, Entry, Lifecycle, State};
use gateway::order::risk::{KillCause, KillSwitch, Limits, Risk};
use gateway::order::stage::{OrderStage, Parts};
use gateway::strategy::{Ends, Strategy, StrategyStage};
use gateway::trace::recorder::Slowest;
use order_sim::exchange::Exchange;
use protocol::types::{Qty, Symbol};
use rt::clock::{Clock, SECOND_NS};
use rt::ring::ring;

use crate::connection::Connection;
use crate::counter::{Counter, SCRIPTED};
use crate::hearing::{FeedTotals, Hearing, Ways};
use crate::journaled::Journaled;
use crate::line::{Line, Wired};
use crate::lives::{Life, Lives, names_of};
use crate::overheard::Overheard;
use crate::servers::Fate;
use crate::traders::{Trader, belief, set_calm};
use crate::venue::Venue;
use crate::{ACCOUNTS, FATES, MS, ORDER_QTY_MAX, QUOTER, STRATEGIES, SYMBOLS, rehearsing, symbol};

/// How long one turn of everything takes at most, where nobody is held up.
const TURN_NS: u64 = 20 * MS;

/// Strategies on a core, which may stand still.
pub(crate) struct Desk {
    stage: StrategyStage,
    pub(crate) sleeps_until_ns: u64,
}

/// Everything.
pub(crate) struct World {
    pub(crate) random: fastrand::Rng,
    /// Its feeds ask for what is missing, and take snapshots.
    pub(crate) recovers: bool,
    pub(crate) clock: Clock,
    pub(crate) now_ns: u64,
    pub(crate) counter: Counter,
    pub(crate) venues: Vec<Venue>,
    pub(crate) hearings: Vec<Hearing>,
    pub(crate) kill: KillSwitch,
    pub(crate) lines: Vec<Line>,
    pub(crate) desks: Vec<Desk>,
    next_housekeeping_ns: u64,
    /// What the quoter had been refused when it should have begun to settle.
    pub(crate) refused_before: u64,
    /// Quotes that were taken off, and how many that had been then.
    pub(crate) taken_off: Arc<AtomicU64>,
    pub(crate) taken_off_before: u64,
    /// Answers to the strategies of earlier lives.
    pub(crate) answers: BTreeMap<String, u64>,
    /// What feeds said in earlier lives.
    pub(crate) heard: FeedTotals,
    /// Lives of the gateway.
    pub(crate) starts: u64,
    /// How often nothing came through to the exchange, and how often strategies stood still.
    pub(crate) partings: u64,
    pub(crate) sleeps: u64,
    /// Of each session, what they have left.
    lives: [Lives; 2],
    /// What a killed process takes with it, and what becomes of its orders.
    pub(crate) fates: fastrand::Rng,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let now_ns = 9 * 3600 * SECOND_NS;
        let counter = Counter::new(&mut random, now_ns);
        let venues = (0..SYMBOLS.len()).map(|at| Venue::new(at, random.u64(..), now_ns));
        set_calm(false);
        let mut world = Self {
            venues: venues.collect(),
            hearings: Vec::new(),
            counter,
            recovers: seed % 2 == 1,
            clock: Clock::manual(now_ns),
            now_ns,
            kill: KillSwitch::default(),
            lines: Vec::new(),
            desks: Vec::new(),
            next_housekeeping_ns: 0,
            refused_before: 0,
            taken_off: Arc::default(),
            taken_off_before: 0,
            random,
            answers: BTreeMap::new(),
            heard: FeedTotals::default(),
            starts: 0,
            partings: 0,
            sleeps: 0,
            lives: Default::default(),
            fates: fastrand::Rng::with_seed(seed ^ FATES),
        };
        world.start();
        world
    }

    /// Adds up what the gateway of now has heard: it is over, or the day is.
    pub(crate) fn sum_up(&mut self) {
        if self.starts > 0 {
            for trader in (0..STRATEGIES.len()).filter(|it| *it != QUOTER) {
                for (word, count) in belief(trader).answers {
                    *self.answers.entry(word).or_default() += count;
                }
            }
        }
        for hearing in &self.hearings {
            self.heard += hearing.heard();
        }
        for (at, (line, name)) in self.lines.iter_mut().zip(ACCOUNTS).enumerate() {
            let exchange = &self.counter.exchange;
            let account = exchange.account(name).expect("configured");
            self.lives[at].add(line.compare_journal(exchange, account));
        }
    }

    /// A new process: it knows what journals say, and its limits may be others.
    pub(crate) fn start(&mut self) {
        self.sum_up();
        for (lives, mut line) in self.lives.iter_mut().zip(self.lines.drain(..)) {
            // What the kernel had of it goes on, or does not.
            let limit = self.fates.usize(0..400);
            line.outlive(&mut self.counter, self.now_ns, limit);
            lives.bury(line.kill(), &mut self.fates);
        }
        let found = Life::any_end(&mut self.fates);
        let began = Life::any_time(&mut self.fates);
        let lives = [0, 1].map(|session| self.lives[session].next(session, found, began));
        self.starts += 1;
        let is_tight = self.random.u8(0..3) == 0;
        let limits = Limits {
            order_qty_max: Qty(ORDER_QTY_MAX),
            notional_max: 1 << 40,
            collar_bps: 1000,
            position_max: [3_000, 200_000][usize::from(!is_tight)],
            open_orders_max: if is_tight {
                self.random.u32(1..12)
            } else {
                400
            },
            orders_per_second_max: [20, 5_000][usize::from(!is_tight)],
            intent_age_max_ns: 50 * MS,
            ..Limits::WIDEST
        };
        self.listen();
        let mut wired = [(); 2].map(|()| Wired::new(&limits));
        self.desks.clear();
        // The last two hear the same feed: in half of all worlds from one stage, as on one core. It is only looked
        // at, so that a seed's other dice fall as ever.
        let shares = self.random.clone().bool();
        for (at, (feed, session)) in STRATEGIES.into_iter().enumerate() {
            let events = self.hearings[feed].listeners.pop_front();
            let (to_session, intents) = ring(64).expect("a power of two");
            let (to_desk, executions) = ring(8192).expect("a power of two");
            let (notices, _) = ring(8).expect("a power of two");
            let ends = Ends {
                intents: to_session,
                executions,
                opening: wired[session].next_view(),
                notices: Notices(notices),
                first_id: lives[session].first_id(wired[session].links.len()),
            };
            let strategy = self.strategy(at);
            match self.desks.last_mut() {
                Some(desk) if shares && at > 0 && STRATEGIES[at - 1].0 == feed => {
                    desk.stage.add(strategy, ends);
                }
                _ => {
                    let prices = Arc::clone(&self.hearings[feed].prices);
                    let events = events.expect("one for each strategy");
                    let stage = StrategyStage::of_one(events, prices, strategy, ends);
                    self.desks.push(Desk {
                        stage: rehearsing::strategies(stage),
                        sleeps_until_ns: 0,
                    });
                }
            }
            wired[session].join(intents, to_desk);
            wired[session].desks.push(DeskOptions {
                feed: u16::try_from(feed).expect("few"),
                symbols: None,
                trade_on_stale: self.random.u8(0..8) == 0 && at != QUOTER,
            });
        }
        for (at, (wired, life)) in wired.into_iter().zip(lives).enumerate() {
            let line = self.line(at, limits, wired, life);
            self.lines.push(line);
        }
    }

    /// Both feeds, each with the strategies that hear it.
    fn listen(&mut self) {
        let mut ways: [Vec<Way>; 2] = Default::default();
        let in_turns = [Way::Shared, Way::Own].into_iter().cycle();
        for (way, (feed, _)) in in_turns.zip(STRATEGIES) {
            ways[feed].push(way);
        }
        let patience = Ways::random(self.recovers, &mut self.random);
        for venue in &mut self.venues {
            venue.fate = Fate::random(&mut self.random);
        }
        let now_ns = self.now_ns;
        let hearings = (0..).zip(ways);
        self.hearings = hearings
            .map(|(feed, strategies)| Hearing::new(feed, &strategies, patience, now_ns))
            .collect();
    }

    fn strategy(&mut self, at: usize) -> Box<dyn Strategy> {
        if at != QUOTER {
            return Box::new(Trader::new(at, self.random.u64(..)));
        }
        Box::new(Overheard::new(Arc::clone(&self.taken_off)))
    }

    fn line(&self, at: usize, limits: Limits, wired: Wired, life: Life) -> Line {
        let lifecycle = Lifecycle::new(Credentials {
            addresses: Addresses::default(),
            username: ACCOUNTS[at].into(),
            password: "secret".into(),
            session: String::new(),
            server_timeout_ns: 15 * SECOND_NS,
        });
        let prices = self.hearings.iter().map(|it| Arc::clone(&it.prices));
        let risk = Risk::new(limits, self.kill.clone());
        let mut account = Account::new(risk, prices.collect());
        let entry = Entry::new(
            lifecycle,
            limits.open_orders_max,
            &wired.desks,
            &mut account,
        );
        let (past, found) = (life.past.clone(), life.found);
        let (journaled, inlet) = Journaled::new(&self.kill, names_of(at), life);
        let entry = entry.with_journal(inlet).with_past(past, found);
        let entry = entry.with_answer_timeout(SECOND_NS);
        let (notices, heard) = ring(64).expect("a power of two");
        let (asks, commands) = ring(4).expect("a power of two");
        let (slow, _) = ring(64).expect("a power of two");
        let stage = OrderStage::new(Parts {
            account,
            entry,
            transport: Connection::new(),
            links: wired.links,
            commands,
            opening: wired.opening,
            notices: Notices(notices),
            slowest: Slowest::new(slow),
        });
        let stage = rehearsing::session(stage);
        Line::new(stage, heard, asks, journaled, limits.open_orders_max)
    }

    /// One turn of every stage, each in its place on the way; then everything is compared.
    fn turn(&mut self) {
        self.counter.turn(self.now_ns);
        let before = [0, 1].map(|at| self.lines[at].entered());
        let is_killed = self.kill.is_on();
        self.poll(usize::MAX);
        for (line, before) in self.lines.iter_mut().zip(before) {
            let now = line.entered();
            assert!(
                !is_killed || now == before,
                "an order under the kill switch"
            );
            // A replacement adds none, and those of earlier lives may be more.
            if now[0] > before[0] {
                line.hold_open_orders();
            }
        }
        if self.now_ns >= self.next_housekeeping_ns {
            self.next_housekeeping_ns = self.now_ns + 10 * MS;
            for line in &mut self.lines {
                line.stage.housekeep(&self.clock);
            }
        }
        let symbols = symbols();
        for (line, name) in self.lines.iter_mut().zip(ACCOUNTS) {
            let exchange = &self.counter.exchange;
            let account = exchange.account(name).expect("configured");
            line.compare(exchange, account, &symbols);
        }
        let cause = self.kill.cause();
        assert!(
            matches!(cause, None | Some(KillCause::Operator)),
            "{cause:?}"
        );
    }

    /// A turn of at most this many stages: whoever is killed has done some of its work.
    pub(crate) fn poll(&mut self, mut stages: usize) {
        self.clock.set_ns(self.now_ns);
        let mut is_next = || {
            let is_next = stages > 0;
            stages = stages.saturating_sub(1);
            is_next
        };
        for (hearing, venue) in self.hearings.iter_mut().zip(&mut self.venues) {
            if is_next() {
                hearing.turn(venue, &self.clock);
            }
        }
        for desk in &mut self.desks {
            if is_next() && self.now_ns >= desk.sleeps_until_ns {
                rehearsing::turn(&mut desk.stage, &self.clock);
            }
        }
        for line in &mut self.lines {
            if is_next() {
                rehearsing::turn(&mut line.stage, &self.clock);
            }
        }
    }

    fn pump(&mut self, at: usize, limit: usize) {
        self.lines[at].pump(&mut self.counter, self.now_ns, limit);
    }

    pub(crate) fn cut(&mut self, at: usize, limit: usize) {
        self.lines[at].cut(&mut self.counter, self.now_ns, limit);
    }

    pub(crate) fn open_windows(&mut self) {
        for line in &mut self.lines {
            line.stage.transport().window = usize::MAX;
        }
    }

    /// One random step.
    pub(crate) fn step(&mut self) {
        let mut later_ns = match self.random.u8(0..40) {
            0 => self.random.u64(0..6 * SECOND_NS),
            1..8 => self.random.u64(0..20 * MS),
            _ => self.random.u64(0..4 * MS),
        };
        // A gateway that waits before it connects again does so for up to five seconds.
        let is_open = |line: &mut Line| line.stage.entry().state() == State::Open;
        if !self.lines.iter_mut().all(is_open) {
            later_ns += 100 * MS;
        }
        // Now and then the gateway is held up, and all of it has passed at once.
        let is_held_up = self.random.u8(0..4) == 0;
        while later_ns > TURN_NS && !is_held_up {
            later_ns -= TURN_NS;
            self.now_ns += TURN_NS;
            self.turn();
            self.pump(0, usize::MAX);
            self.pump(1, usize::MAX);
        }
        self.now_ns += later_ns;
        self.happen();
        self.turn();
        for at in 0..self.lines.len() {
            let limit = self.random.usize(0..400);
            self.pump(at, limit);
        }
        self.turn();
    }

    /// The network heals, markets begin a new session, nobody does anything new: until both ends have heard
    /// everything.
    pub(crate) fn calm_down(&mut self) {
        set_calm(true);
        self.kill.release();
        self.open_windows();
        self.unpause();
        for line in &mut self.lines {
            line.part(0);
        }
        for desk in &mut self.desks {
            desk.sleeps_until_ns = 0;
        }
        for venue in &mut self.venues {
            venue.is_calm = true;
        }
        // Whatever was going on is over by then.
        self.calm_until(|world| {
            let is_over = world.venues.iter().any(Venue::is_over);
            !is_over && !world.counter.is_gone()
        });
        for venue in &mut self.venues {
            venue.end_session(self.now_ns);
        }
        self.calm_until(|world| {
            let is_on = |venue: &Venue| !venue.is_over() && venue.last_seq() > SCRIPTED;
            world.venues.iter().all(is_on)
        });
        // What the exchange ignored is only known to be lost once a new connection has asked.
        self.cut(0, usize::MAX);
        self.cut(1, usize::MAX);
        for turn in 0..700 {
            match turn {
                400 => self.refused_before = self.refused(),
                670 => self.taken_off_before = self.taken_off(),
                _ => {}
            }
            self.calm_turn();
        }
        // Time stands still, so nothing moves but what is on its way.
        for _ in 0..40 {
            self.pump(0, usize::MAX);
            self.pump(1, usize::MAX);
            self.turn();
        }
    }

    fn calm_until(&mut self, is_done: impl Fn(&Self) -> bool) {
        for turns in 0.. {
            assert!(turns < 5_000, "the markets are too quiet");
            self.calm_turn();
            if is_done(self) {
                return;
            }
        }
    }

    fn calm_turn(&mut self) {
        self.now_ns += TURN_NS;
        self.turn();
        self.pump(0, usize::MAX);
        self.pump(1, usize::MAX);
        self.turn();
    }

    /// The exchange that orders go to.
    pub(crate) fn exchange(&self) -> &Exchange {
        &self.counter.exchange
    }

    /// Simulated time so far, ns.
    pub(crate) fn lived_ns(&self) -> u64 {
        self.now_ns - 9 * 3600 * SECOND_NS
    }

    /// Whether each feed has heard everything that its market sent, and says so.
    pub(crate) fn feeds_are_whole(&self) -> bool {
        let feeds = self.hearings.iter().zip(&self.venues);
        feeds.fold(true, |all, (hearing, venue)| all && hearing.is_whole(venue))
            && self.venues.iter().all(Venue::is_quiet)
    }

    /// A packet of this feed is lost on both lines, and there is time to act on it.
    pub(crate) fn lose_a_packet(&mut self, feed: usize) {
        self.venues[feed].fate.is_dead = true;
        self.venues[feed].loses_next = true;
        for _ in 0..150 {
            self.calm_turn();
        }
    }

    /// The servers of this feed's market live again, and there is time for a snapshot. The gap is over, and
    /// every book is the exchange's.
    pub(crate) fn recover(&mut self, feed: usize) {
        self.venues[feed].fate = Fate::default();
        self.calm_until(|world| world.hearings[feed].is_whole(&world.venues[feed]));
        self.hearings[feed].compare_books(&self.venues[feed]);
    }

    /// The middle of a symbol's best prices on a feed, if there is one.
    pub(crate) fn middle(&self, feed: usize, name: &str) -> Option<u32> {
        let hearing = &self.hearings[feed];
        let best = hearing.prices.load(hearing.locate(name)?)?;
        let (bid, ask) = (best.bid_price.0, best.ask_price.0);
        (bid > 0 && ask > bid).then(|| bid.midpoint(ask))
    }
}

/// Every symbol that anybody trades.
pub(crate) fn symbols() -> [Symbol; 3] {
    ["ALC", "BOB", "CAT"].map(symbol)
}
