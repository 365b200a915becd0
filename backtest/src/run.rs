//! One run: everything that happens, in the order of its time.
//!
//! Time:        goes to whatever is due next, strategies' timers too, and at most [`IDLE_NS`] at once: heartbeats are looked at then.
//!              Of what is due at one time, the market comes first, then own orders in the order in which they were sent.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use feed_handler::arbiter::{Arbiter, Patience};
use feed_handler::best_prices::BestPrices;
use feed_handler::book::{Books, Limits as BookLimits};
use feed_handler::feed::{Counters, Feed, FeedHistograms, Parts as FeedParts};
use feed_handler::publish::Publisher;
use feed_handler::source::{Packet, PacketSource};
use feed_handler::venue::Nasdaq;
use gateway::core_loop::Stage;
use gateway::message::command::Command;
use gateway::message::intent::Owner;
use gateway::message::notice::{Notice, Notices};
use gateway::order::account::Account;
use gateway::order::addresses::Addresses;
use gateway::order::entry::{Credentials, DeskOptions, Entry, Lifecycle, State};
use gateway::order::opening::Opening;
use gateway::order::risk::{KillSwitch, Limits, Risk};
use gateway::order::stage::{OrderStage, Parts};
use gateway::strategy::Strategy;
use gateway::trace::recorder::Slowest;
use order_sim::session::{Received, Session, SessionEvent};
use protocol::types::Symbol;
use rt::clock::{Clock, SECOND_NS};
use rt::mem::Want;
use rt::ring::{Consumer, Producer, ring};

use crate::chair::{Chair, EVENTS, Hall, no_memory, seat, symbols_of, unfit};
use crate::course::Course;
use crate::latency::{Dice, Latency};
use crate::ledger::Outcome;
use crate::market::{ACCOUNT, LEVELS_MAX, Market, ORDERS_MAX, THE_ACCOUNT, Venue};
use crate::queue::Queue;
use crate::setup::Setup;
use crate::trouble;
use crate::wire::Wire;

/// Time goes on by this at most. Smaller, and silent hours of a day take long; larger, and heartbeats, which are due every second,
/// are late by a larger part of it.
const IDLE_NS: u64 = 100_000_000;
/// Holes are waited for so long; there are none.
const GAP_TIMEOUT_NS: u64 = 10_000_000;
/// Progress is told after this many steps.
const STEPS_TOLD: u32 = 1 << 14;
/// Every stage keeps house this often while anything happens.
const HOUSEKEEPING_NS: u64 = 10_000_000;
/// What is on its way when the market ends still arrives, with what it causes and the answer to that: time for it, at least.
const AFTER_NS: u64 = SECOND_NS;
/// Silence of the feed that nothing in a run comes near: the exchange's heartbeats come every second.
const STALE_NS: u64 = 60 * SECOND_NS;

/// What risk allows in every run. Money is in units of 0.0001.
pub const LIMITS: Limits = Limits {
    order_qty_max: protocol::types::Qty(10_000),
    notional_max: 10_000_000 * 10_000,
    collar_bps: 1_000,
    position_max: 100_000,
    gross_exposure_max: 1_000_000_000 * 10_000,
    net_exposure_max: 1_000_000_000 * 10_000,
    loss_max: 100_000_000 * 10_000,
    open_orders_max: 1_000,
    orders_per_second_max: 100_000,
    cancels_per_second_max: 0,
    rejects_max: 0,
    reject_window_ns: SECOND_NS,
    duplicate_window_ns: 0,
    may_self_cross: false,
    hours: None,
    intent_age_max_ns: SECOND_NS,
};

/// Runs a strategy against a market, within [`LIMITS`].
///
/// # Errors
/// The market cannot be read, or the host has no memory for its books.
pub fn run(
    market: Market,
    strategy: Box<dyn Strategy>,
    latency: Latency,
) -> Result<Outcome, String> {
    run_all(market, Setup::of_one(strategy, latency), |_| ())
}

/// Runs strategies against a market, and tells from time to time how many messages its feed has had.
///
/// # Errors
/// As [`run`].
pub fn run_all(
    market: Market,
    setup: Setup,
    on_progress: impl FnMut(u64),
) -> Result<Outcome, String> {
    let venue = Venue::open(market)?;
    Run::new(venue, setup)?.live(on_progress)
}

/// Packets that have arrived.
#[derive(Default)]
struct Arrivals(Rc<RefCell<VecDeque<Rc<[u8]>>>>);

impl PacketSource for Arrivals {
    fn acquire(&mut self) -> usize {
        self.0.borrow().len()
    }

    fn each(&mut self, mut on_packet: impl FnMut(Packet<'_>)) {
        for payload in self.0.borrow().iter() {
            on_packet(Packet {
                payload,
                frame: &[],
                wire_ns: 0,
                line: 0,
            });
        }
    }

    fn release(&mut self) {
        self.0.borrow_mut().clear();
    }

    fn housekeep(&mut self) {}
}

/// Things on their way, each with the time at which it is there. None overtakes another.
type Underway<T> = VecDeque<(u64, T)>;

fn set_out<T>(way: &mut Underway<T>, there_ns: u64, it: T) {
    let last_ns = way.back().map_or(0, |(due_ns, _)| *due_ns);
    way.push_back((there_ns.max(last_ns), it));
}

fn take_due<T>(way: &mut Underway<T>, now_ns: u64) -> Option<T> {
    way.pop_front_if(|(due_ns, _)| *due_ns <= now_ns)
        .map(|(_, it)| it)
}

/// Both ends of everything, and what is between them.
struct Run {
    venue: Venue,
    session: Session,
    latency: Latency,
    dice: Dice,
    packets: Underway<Rc<[u8]>>,
    orders: Underway<Vec<u8>>,
    answers: Underway<Vec<u8>>,
    arrived: Rc<RefCell<VecDeque<Rc<[u8]>>>>,
    feed: Feed<Arrivals, Nasdaq>,
    counters: Arc<Counters>,
    chairs: Vec<Chair>,
    order_stage: OrderStage<Wire>,
    notices: Consumer<Notice>,
    /// The operator, who says nothing.
    _commands: Producer<Command>,
    prices: Arc<BestPrices>,
    outcome: Outcome,
    queue: Queue,
    course: Course,
    clock: Clock,
    housekeeping_ns: u64,
    /// Symbols that the configuration names.
    named: Vec<Symbol>,
    /// Orders could go out at some time.
    has_opened: bool,
}

fn feed_of(
    source: Arrivals,
    publisher: Publisher,
    counters: Arc<Counters>,
) -> Result<Feed<Arrivals, Nasdaq>, String> {
    let limits = BookLimits {
        orders_max: ORDERS_MAX,
        levels_max: LEVELS_MAX,
    };
    Ok(Feed::new(FeedParts {
        source,
        venue: Nasdaq,
        arbiter: Arbiter::new(Patience {
            gap_timeout_ns: GAP_TIMEOUT_NS,
            stale_ns: STALE_NS,
        }),
        books: Books::new(&limits, Want::LAZY).map_err(no_memory)?,
        publisher,
        counters,
        histograms: FeedHistograms::default(),
        feed: 0,
        lines: 1,
        stale_ns: STALE_NS,
    }))
}

fn entry_of(setup: &Setup, account: &mut Account) -> Entry {
    let lifecycle = Lifecycle::new(Credentials {
        addresses: Addresses::default(),
        username: ACCOUNT.into(),
        password: ACCOUNT.into(),
        session: String::new(),
        server_timeout_ns: 15 * SECOND_NS,
    });
    let desks = setup.strategies.iter().map(|strategy| DeskOptions {
        feed: 0,
        symbols: symbols_of(strategy),
        trade_on_stale: strategy.trade_on_stale,
    });
    let desks: Vec<DeskOptions> = desks.collect();
    let entry = Entry::new(lifecycle, setup.limits.open_orders_max, &desks, account);
    match setup.answer_timeout_ns {
        None => entry,
        Some(timeout_ns) => entry.with_answer_timeout(timeout_ns),
    }
}

fn account_of(setup: &Setup, prices: &Arc<BestPrices>) -> Result<Account, String> {
    let risk = Risk::new(setup.limits, KillSwitch::default()).with_rows(&setup.rows, &setup.rows);
    let mut account = Account::new(risk, vec![Arc::clone(prices)]);
    let begun = account.begin_day(&setup.day);
    begun.map_err(|symbol| format!("{symbol:?}: too many symbols"))?;
    Ok(account)
}

impl Run {
    fn new(venue: Venue, setup: Setup) -> Result<Self, String> {
        let levels = setup
            .strategies
            .iter()
            .map(|it| it.depth)
            .max()
            .unwrap_or(0);
        let prices = BestPrices::new(Want::LAZY).map_err(no_memory)?;
        let prices = Arc::new(match levels {
            0 => prices,
            levels => prices.with_depth(levels, Want::LAZY).map_err(no_memory)?,
        });
        let mut publisher = Publisher::new(Arc::clone(&prices), EVENTS);
        let opening = Opening::new(setup.limits.open_orders_max as usize);
        let source = Arrivals::default();
        let arrived = Rc::clone(&source.0);
        let mut account = account_of(&setup, &prices)?;
        let entry = entry_of(&setup, &mut account);
        let mut hall = Hall {
            publisher: &mut publisher,
            prices: &prices,
            opening: &opening,
        };
        let named = setup.named();
        let outcome = Outcome::new(&setup.day);
        let counters = Arc::new(Counters::default());
        let (mut chairs, mut links) = (Vec::new(), Vec::new());
        for (strategy, owner) in setup.strategies.into_iter().zip(0..) {
            let (chair, link) = seat(strategy, Owner(owner), &mut hall)?;
            chairs.push(chair);
            links.push(link);
        }
        let (notices, heard) = ring(64).map_err(unfit)?;
        let (asks, commands) = ring(4).map_err(unfit)?;
        let (slow, _) = ring(64).map_err(unfit)?;
        let order_stage = OrderStage::new(Parts {
            account,
            entry,
            transport: Wire::new(),
            links,
            commands,
            opening,
            notices: Notices(notices),
            slowest: Slowest::new(slow),
        });
        Ok(Self {
            session: Session::new(venue.begin_ns),
            clock: Clock::manual(venue.begin_ns),
            housekeeping_ns: venue.begin_ns,
            venue,
            dice: setup.latency.dice(),
            latency: setup.latency,
            packets: VecDeque::new(),
            orders: VecDeque::new(),
            answers: VecDeque::new(),
            arrived,
            feed: feed_of(source, publisher, Arc::clone(&counters))?,
            counters,
            chairs,
            order_stage,
            notices: heard,
            _commands: asks,
            prices,
            outcome,
            queue: Queue::default(),
            course: Course::new(),
            named,
            has_opened: false,
        })
    }

    fn live(&mut self, mut on_progress: impl FnMut(u64)) -> Result<Outcome, String> {
        let mut over_ns = u64::MAX;
        let mut steps = 0u32;
        while self.clock.now_ns() < over_ns {
            self.step()?;
            steps = (steps + 1) % STEPS_TOLD;
            if steps == 0 {
                on_progress(self.venue.messages());
            }
            if over_ns == u64::MAX && self.venue.is_over() {
                over_ns = self.clock.now_ns() + AFTER_NS.max(self.latency.longest_ns()) + 1;
                self.outcome.messages = self.venue.messages();
            }
            self.clock.set_ns(self.next_ns());
        }
        if let Some(failure) = self.venue.exchange.record_failure() {
            return Err(failure);
        }
        if !self.has_opened {
            return Err("the session never opened, so no order could be sent".into());
        }
        Ok(self.end())
    }

    fn end(&mut self) -> Outcome {
        let mut outcome = std::mem::take(&mut self.outcome);
        outcome.lived_ns = self.clock.now_ns() - self.venue.begin_ns;
        outcome.take_moment(&self.prices, self.clock.now_ns());
        outcome.end(&self.prices);
        let exchange = &self.venue.exchange;
        outcome.orders = self.queue.end(exchange, THE_ACCOUNT);
        let named = std::mem::take(&mut self.named).into_iter();
        outcome.unnamed = named
            .filter(|symbol| self.prices.locate_of(*symbol).is_none())
            .collect();
        outcome.history = trouble::history(exchange).collect();
        outcome.troubles = trouble::of_exchange(exchange);
        outcome.troubles.extend(trouble::of_feed(&self.counters));
        for chair in &self.chairs {
            let troubles = trouble::of_strategy(&chair.counters);
            outcome.troubles.extend(troubles);
        }
        let counters = self.order_stage.entry().counters();
        outcome.troubles.extend(trouble::of_session(&counters));
        outcome
    }

    /// When something is due next.
    fn next_ns(&self) -> u64 {
        let now_ns = self.clock.now_ns();
        let timers = self.chairs.iter().map(|it| it.stage.next_timer_ns());
        [
            timers.min(),
            self.venue.exchange.next_due_ns(),
            self.packets.front().map(|(due_ns, _)| *due_ns),
            self.orders.front().map(|(due_ns, _)| *due_ns),
            self.answers.front().map(|(due_ns, _)| *due_ns),
        ]
        .into_iter()
        .flatten()
        .fold(now_ns + IDLE_NS, u64::min)
        .max(now_ns)
    }

    /// Everything that is due now.
    fn step(&mut self) -> Result<(), String> {
        let now_ns = self.clock.now_ns();
        self.venue.exchange.advance(now_ns);
        self.serve(now_ns)?;
        while let Some(packet) = self.venue.exchange.take_packet(0) {
            let there_ns = now_ns + self.latency.feed.draw(&mut self.dice.feed);
            set_out(&mut self.packets, there_ns, packet);
        }
        while let Some(packet) = take_due(&mut self.packets, now_ns) {
            self.arrived.borrow_mut().push_back(packet);
        }
        while let Some(bytes) = take_due(&mut self.answers, now_ns) {
            self.outcome.add_bytes(&bytes);
            self.order_stage.transport().heard.push_back(bytes);
        }
        while self.feed.poll(&self.clock) > 0 {}
        self.turn()?;
        if now_ns >= self.housekeeping_ns {
            self.housekeeping_ns = now_ns + HOUSEKEEPING_NS;
            self.order_stage.housekeep(&self.clock);
            self.has_opened |= self.order_stage.entry().state() == State::Open;
            while self.notices.pop().is_some() {}
        }
        self.send(now_ns);
        self.course.look(&mut self.outcome, &self.prices, now_ns);
        Ok(())
    }

    /// Strategies and order stage, until none of them has anything to do.
    fn turn(&mut self) -> Result<(), String> {
        loop {
            let mut done = 0;
            for chair in &mut self.chairs {
                done += chair.stage.poll(&self.clock);
            }
            done += self.order_stage.poll(&self.clock);
            for chair in &mut self.chairs {
                while let Some(execution) = chair.told.pop() {
                    done += 1;
                    self.outcome.on_execution(&execution);
                    if chair.tells.push(execution).is_err() {
                        return Err("a strategy's ring of executions is full".into());
                    }
                }
            }
            if done == 0 {
                return Ok(());
            }
        }
    }

    /// What the order stage has sent sets out.
    fn send(&mut self, now_ns: u64) {
        let wire = self.order_stage.transport();
        if wire.is_wanted {
            wire.connected();
            self.session = Session::new(now_ns);
            self.orders.clear();
            self.answers.clear();
            return;
        }
        let bytes = wire.take_sent();
        if !bytes.is_empty() {
            self.outcome.add_bytes(bytes);
            let there_ns = now_ns + self.latency.orders.draw(&mut self.dice.orders);
            set_out(&mut self.orders, there_ns, bytes.to_vec());
        }
    }

    /// The exchange hears what has arrived, and what it has to say sets out.
    fn serve(&mut self, now_ns: u64) -> Result<(), String> {
        let closed = |_| "the exchange has closed the session".to_owned();
        let mut out = Vec::new();
        let Venue {
            options, exchange, ..
        } = &mut self.venue;
        self.queue.after(exchange, THE_ACCOUNT);
        let shared = RefCell::new((exchange, &mut self.queue));
        while let Some(bytes) = take_due(&mut self.orders, now_ns) {
            let received = Received {
                bytes: &bytes,
                now_ns,
            };
            let hear = |said: SessionEvent<'_>| match said {
                SessionEvent::LoggedIn(account) => shared.borrow().0.stored(account),
                SessionEvent::Message(account, message) => {
                    let (exchange, queue) = &mut *shared.borrow_mut();
                    queue.before(exchange, account, message);
                    exchange.on_message(account, message);
                    queue.after(exchange, account);
                    0
                }
            };
            self.session
                .on_bytes(received, options, &mut out, hear)
                .map_err(closed)?;
        }
        let exchange = &*shared.into_inner().0;
        let message = |account, index| exchange.message(account, index);
        self.session
            .write_stored(message, usize::MAX, None, &mut out)
            .map_err(closed)?;
        self.session.on_timeout(now_ns, &mut out).map_err(closed)?;
        if !out.is_empty() {
            // A heartbeat counts: it is the next that is due a second later.
            self.session.on_sent(now_ns);
            let there_ns = now_ns + self.latency.answers.draw(&mut self.dice.answers);
            set_out(&mut self.answers, there_ns, out);
        }
        Ok(())
    }
}
