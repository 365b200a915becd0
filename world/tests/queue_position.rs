//! A strategy's order at the exchange: where the strategy believes that it stands in its queue, by the feed's events and
//! the number in the exchange's answer, is where it stands in the exchange's book.
//!
//! ```text
//!  exchange (flow, accounts) ──packets──> feed ──ring──> strategy stage with own books
//!        └────────OUCH answers──> entry ──executions──────────┘ └──intents──> entry ──OUCH──> exchange
//! ```

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use feed_handler::arbiter::{Arbiter, Patience};
use feed_handler::best_prices::BestPrices;
use feed_handler::book::{Books, Limits as BookLimits, Place};
use feed_handler::event::MarketEvent;
use feed_handler::feed::{Counters, Feed, FeedHistograms, Parts};
use feed_handler::own_books::OwnBooks;
use feed_handler::publish::{Publisher, Subscription, Way};
use feed_handler::source::{Packet, PacketSource};
use feed_handler::venue::Nasdaq;
use gateway::core_loop::Stage;
use gateway::message::execution::{ExecutionEvent, Outcome};
use gateway::message::intent::{OrderId, OrderIntent, Owner};
use gateway::message::notice::Notices;
use gateway::order::account::Account;
use gateway::order::addresses::Addresses;
use gateway::order::entry::{
    Asked, Credentials, DeskOptions, Entry, Lifecycle, Received as Arrived,
};
use gateway::order::opening::OpeningView;
use gateway::order::risk::{KillSwitch, Limits, Risk};
use gateway::order::telling::AnswerEvent;
use gateway::strategy::{Context, Ends, NewOrder, Strategy, StrategyStage};
use order_sim::exchange::Exchange;
use order_sim::file;
use order_sim::options::Options;
use order_sim::session::{Received, Session as ServerSession, SessionEvent};
use protocol::types::{OrderRef, Price4, Qty, Side};
use rt::clock::{Clock, SECOND_NS};
use rt::mem::Want;
use rt::ring::{Consumer, Producer, ring};

const MS: u64 = 1_000_000;
const TURNS: u32 = 6_000;
/// The only symbol.
const LOCATE: u16 = 1;
const BEGIN_NS: u64 = 10 * 3600 * SECOND_NS;
const LIMITS: Limits = Limits {
    order_qty_max: Qty(1000),
    notional_max: 1 << 40,
    collar_bps: 5000,
    position_max: 1_000_000,
    open_orders_max: 40,
    orders_per_second_max: 1_000_000,
    intent_age_max_ns: u64::MAX,
    ..Limits::WIDEST
};

/// What the strategy believes of its order after the last event.
#[derive(Clone, Copy, Debug)]
struct Belief {
    /// The last event's number.
    seq: u64,
    reference: Option<OrderRef>,
    place: Option<Place>,
}

const NOTHING: Belief = Belief {
    seq: 0,
    reference: None,
    place: None,
};

thread_local! {
    /// Strategy and test run in one thread.
    static BELIEF: Cell<Belief> = const { Cell::new(NOTHING) };
}

/// Keeps one bid at the best price, moves it now and then, and looks where it stands.
#[derive(Default)]
struct Joiner {
    id: Option<OrderId>,
    events: u64,
}

impl Strategy for Joiner {
    fn on_event(&mut self, event: &MarketEvent, context: &mut Context<'_>) {
        self.events += 1;
        let mut belief = BELIEF.get();
        belief.seq = event.origin.seq;
        let books = context.books().expect("configured");
        belief.place = belief
            .reference
            .and_then(|reference| books.place(reference, u32::MAX));
        BELIEF.set(belief);
        let Some(best) = context.best(LOCATE).filter(|best| best.bid_price.0 > 0) else {
            return;
        };
        match self.id {
            None => {
                let order = NewOrder::limit(LOCATE, Side::Buy, best.bid_price, Qty(50));
                self.id = context.enter(&order);
            }
            Some(id) if self.events.is_multiple_of(300) && belief.reference.is_some() => {
                context.replace(id, best.bid_price, Qty(40));
            }
            Some(_) => {}
        }
    }

    fn on_execution(&mut self, execution: &ExecutionEvent, _: &mut Context<'_>) {
        if self.id != Some(execution.id) {
            return;
        }
        let mut belief = BELIEF.get();
        let is_live = matches!(execution.outcome, Outcome::Accepted | Outcome::Replaced);
        assert_eq!(is_live, execution.reference.0 != 0, "{execution:?}");
        if is_live {
            (belief.reference, belief.place) = (Some(execution.reference), None);
        }
        if execution.leaves.0 == 0 {
            (belief.reference, belief.place) = (None, None);
            self.id = None;
        }
        BELIEF.set(belief);
    }
}

/// Packets on their way to the gateway.
type Packets = Rc<RefCell<VecDeque<Rc<[u8]>>>>;

#[derive(Default)]
struct Arrivals(Packets);

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

struct World {
    options: Options,
    exchange: Exchange,
    server: ServerSession,
    account: Account,
    entry: Entry,
    to_exchange: Vec<u8>,
    packets: Packets,
    feed: Feed<Arrivals, Nasdaq>,
    stage: StrategyStage,
    intents: Consumer<OrderIntent>,
    executions: Producer<ExecutionEvent>,
    clock: Clock,
}

fn exchange_options(seed: u64) -> Options {
    let text = format!(
        "address = \"127.0.0.1:1\"\n[account.demo]\npassword = \"demo\"\n[feed]\nlines = [{{ address = \
         \"239.0.0.1:1\" }}]\n[flow]\nseed = {seed}\nrate = 2000\ndepth = 6\n[[symbol]]\nname = \
         \"ALC\"\nprice = \"100.00\"\n"
    );
    file::parse(&text).expect("sane").exchange
}

fn books() -> Books {
    let limits = BookLimits {
        orders_max: 1 << 14,
        levels_max: 1 << 12,
    };
    Books::new(&limits, Want::LAZY).expect("memory")
}

fn feed_of(publisher: Publisher) -> (Feed<Arrivals, Nasdaq>, Packets) {
    let source = Arrivals::default();
    let packets = Rc::clone(&source.0);
    let feed = Feed::new(Parts {
        source,
        venue: Nasdaq,
        arbiter: Arbiter::new(Patience {
            gap_timeout_ns: MS,
            stale_ns: 60 * SECOND_NS,
        }),
        books: books(),
        publisher,
        counters: Arc::new(Counters::default()),
        histograms: FeedHistograms::default(),
        feed: 0,
        lines: 1,
        stale_ns: 60 * SECOND_NS,
    });
    (feed, packets)
}

impl World {
    fn new(seed: u64) -> Self {
        BELIEF.set(NOTHING);
        let prices = Arc::new(BestPrices::new(Want::LAZY).expect("memory"));
        let mut publisher = Publisher::new(Arc::clone(&prices), 1 << 12);
        publisher.tell_leaves();
        let power = "a power of two";
        let events = publisher
            .listen(Subscription::All, Way::Shared, 1 << 12)
            .expect(power);
        let table = Arc::clone(&prices);
        let own = OwnBooks::new(1 << 14, table, &Subscription::All, Want::LAZY).expect("memory");
        let (to_session, intents) = ring(64).expect(power);
        let (executions, to_desk) = ring(64).expect(power);
        let (notices, _) = ring(8).expect(power);
        let ends = Ends {
            intents: to_session,
            executions: to_desk,
            first_id: 1,
            opening: OpeningView::default(),
            notices: Notices(notices),
        };
        let stage =
            StrategyStage::of_one(events, Arc::clone(&prices), Box::<Joiner>::default(), ends)
                .with_books(own);
        let (feed, packets) = feed_of(publisher);
        let risk = Risk::new(LIMITS, KillSwitch::default());
        let mut account = Account::new(risk, vec![prices]);
        let lifecycle = Lifecycle::new(Credentials {
            addresses: Addresses::default(),
            username: "demo".into(),
            password: "demo".into(),
            session: String::new(),
            server_timeout_ns: 1 << 60,
        });
        let desk = DeskOptions {
            feed: 0,
            symbols: None,
            trade_on_stale: false,
        };
        let entry = Entry::new(lifecycle, LIMITS.open_orders_max, &[desk], &mut account);
        let options = exchange_options(seed);
        let mut world = Self {
            exchange: Exchange::new(&options, BEGIN_NS),
            options,
            server: ServerSession::new(BEGIN_NS),
            account,
            entry,
            to_exchange: Vec::new(),
            packets,
            feed,
            stage,
            intents,
            executions,
            clock: Clock::manual(BEGIN_NS),
        };
        world.log_in();
        world
    }

    /// A connection: the first only says how far the session's numbers are.
    fn log_in(&mut self) {
        let now_ns = self.clock.now_ns();
        self.server = ServerSession::new(now_ns);
        let mut out = [0; 64];
        let len = self.entry.on_connected(now_ns, &mut out);
        self.to_exchange = out[..len].to_vec();
    }

    /// A step of the market, and everybody hears of it. Whether the strategy's belief could be compared.
    fn turn(&mut self) -> bool {
        self.clock.set_ns(self.clock.now_ns() + MS);
        self.exchange.advance(self.clock.now_ns());
        self.trade();
        while let Some(packet) = self.exchange.take_packet(0) {
            self.packets.borrow_mut().push_back(packet);
        }
        while self.feed.poll(&self.clock) > 0 {}
        while self.stage.poll(&self.clock) > 0 {}
        while let Some(intent) = self.intents.pop() {
            let asked = Asked {
                owner: Owner(0),
                intent: &intent,
                now_ns: self.clock.now_ns(),
            };
            let mut out = [0; 128];
            let sent = self.entry.on_intent(&mut self.account, &asked, &mut out);
            let sent = match sent {
                Ok(sent) => sent,
                Err(refusal) => {
                    let now_ns = self.clock.now_ns();
                    let told = self.entry.refused(Owner(0), &intent, refusal, now_ns);
                    assert!(self.executions.push(told).is_ok());
                    continue;
                }
            };
            self.to_exchange.extend_from_slice(&out[..sent.len]);
        }
        self.compare()
    }

    /// What the gateway has sent goes to the exchange, its answers to the strategy.
    fn trade(&mut self) {
        let now_ns = self.clock.now_ns();
        let bytes = std::mem::take(&mut self.to_exchange);
        let shared = RefCell::new(&mut self.exchange);
        let mut out = Vec::new();
        let received = Received {
            bytes: &bytes,
            now_ns,
        };
        let said = |said: SessionEvent<'_>| match said {
            SessionEvent::LoggedIn(account) => shared.borrow().stored(account),
            SessionEvent::Message(account, message) => {
                shared.borrow_mut().on_message(account, message);
                0
            }
        };
        let result = self
            .server
            .on_bytes(received, &self.options, &mut out, said);
        assert_eq!(result, Ok(()), "the exchange closed");
        let exchange = &*shared.into_inner();
        let message = |account, at| exchange.message(account, at);
        let written = self.server.write_stored(message, 1 << 20, None, &mut out);
        assert_eq!(written, Ok(()));
        let mut reply = [0; 64];
        let arrived = Arrived {
            bytes: &out,
            now_ns,
        };
        let executions = &mut self.executions;
        let mut is_again = false;
        let account = &mut self.account;
        let len = self
            .entry
            .on_bytes(account, arrived, &mut reply, |told| match told {
                AnswerEvent::Execution(_, execution) => {
                    assert!(executions.push(execution).is_ok());
                }
                AnswerEvent::ConnectAgain => is_again = true,
                AnswerEvent::Opened | AnswerEvent::Acked { .. } => {}
                other => panic!("{other:?}"),
            });
        self.to_exchange.extend_from_slice(&reply[..len]);
        if is_again {
            self.log_in();
        }
    }

    fn compare(&self) -> bool {
        let belief = BELIEF.get();
        let published = self
            .exchange
            .feed_counters()
            .expect("a feed")
            .messages
            .get();
        let (Some(reference), Some(place)) = (belief.reference, belief.place) else {
            return false;
        };
        if belief.seq != published {
            return false;
        }
        let shown: Vec<_> = self.exchange.engine().shown(LOCATE, Side::Buy).collect();
        let own = shown.iter().find(|it| it.reference == reference.0);
        let own = own.expect("it is live");
        let level: Vec<_> = shown.iter().filter(|it| it.price == own.price).collect();
        let ahead = level.iter().take_while(|it| it.reference != reference.0);
        let (orders, shares) = ahead.fold((0, 0), |(orders, shares), it| {
            (orders + 1, shares + u64::from(it.qty))
        });
        assert_eq!((place.ahead.orders, place.ahead.shares), (orders, shares));
        assert_eq!((place.price, place.shares), (Price4(own.price), own.qty));
        let all: u64 = level.iter().map(|it| u64::from(it.qty)).sum();
        assert_eq!(place.level.shares, all);
        true
    }
}

#[test]
fn strategy_knows_where_its_order_stands_in_the_exchange_s_queue() {
    for seed in 1..=4 {
        println!("seed {seed}");
        let mut world = World::new(seed);
        let (mut compared, mut behind, mut references) = (0, 0, Vec::new());
        for _ in 0..TURNS {
            if world.turn() {
                compared += 1;
                let belief = BELIEF.get();
                behind += u32::from(belief.place.is_some_and(|it| it.ahead.orders > 0));
                references.extend(belief.reference);
            }
        }
        references.dedup();
        println!(
            "{compared} compared, {behind} behind others, {} numbers",
            references.len()
        );
        assert!(compared > 1_000 && behind > 100 && references.len() > 20);
    }
}
