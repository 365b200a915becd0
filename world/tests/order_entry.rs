//! One gateway session against the exchange, both without sockets and in one thread, step by step.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use feed_handler::best_prices::{BestPrice, BestPrices};
use feed_handler::event::Origin;
use feed_handler::position::Position;
use gateway::message::execution::Outcome;
use gateway::message::intent::{Action, Cause, OrderId, OrderIntent, Owner, TimeInForce};
use gateway::message::terms::{Display, Terms};
use gateway::order::account::Account;
use gateway::order::addresses::Addresses;
use gateway::order::entry::{
    Asked, Credentials, DeskOptions, Entry, Lifecycle, Received as Arrived, State,
};
use gateway::order::risk::Refusal;
use gateway::order::risk::{KillCause, KillSwitch, Limits, Risk};
use gateway::order::telling::AnswerEvent;
use order_sim::exchange::Exchange;
use order_sim::file;
use order_sim::options::Options;
use order_sim::session::{Received, Session as ServerSession, SessionEvent};
use protocol::ouch::Outbound;
use protocol::types::{Price4, Qty, Side, Symbol};
use rt::mem::Want;

const LIMITS: Limits = Limits {
    order_qty_max: Qty(1000),
    notional_max: 1 << 40,
    collar_bps: 1000,
    position_max: 1_000_000,
    open_orders_max: 40,
    orders_per_second_max: 1_000_000,
    intent_age_max_ns: u64::MAX,
    ..Limits::WIDEST
};

/// The only account.
const DEMO: u16 = 0;

/// Both ends and the bytes between them.
struct World {
    account: Account,
    options: Options,
    exchange: Exchange,
    server: ServerSession,
    entry: Entry,
    prices: Arc<BestPrices>,
    to_exchange: Vec<u8>,
    to_gateway: Vec<u8>,
    /// Orders that the strategy believes live.
    believed: BTreeMap<u32, Qty>,
    next_id: u32,
    now_ns: u64,
    kill: KillSwitch,
}

fn symbol() -> Symbol {
    Symbol::new("ALC").expect("a symbol")
}

fn account(prices: &Arc<BestPrices>, kill: &KillSwitch) -> Account {
    let risk = Risk::new(LIMITS, kill.clone());
    Account::new(risk, vec![Arc::clone(prices)])
}

fn entry(account: &mut Account) -> Entry {
    let lifecycle = Lifecycle::new(Credentials {
        addresses: Addresses::default(),
        username: "demo".into(),
        password: "demo".into(),
        session: String::new(),
        server_timeout_ns: 15_000_000_000,
    });
    Entry::new(
        lifecycle,
        LIMITS.open_orders_max,
        &[DeskOptions {
            feed: 0,
            symbols: None,
            trade_on_stale: false,
        }],
        account,
    )
}

impl World {
    fn new(fill_every: u64) -> Self {
        let text = format!(
            "address = \"127.0.0.1:1\"\nfill_every = {fill_every}\n[account.demo]\npassword = \"demo\""
        );
        let options = file::parse(&text).expect("sane").exchange;
        let prices = Arc::new(BestPrices::new(Want::LAZY).expect("memory"));
        prices.store_symbol(1, symbol(), Position::default());
        let (bid, ask) = (Price4(1_000_000), Price4(1_000_100));
        let (bid_qty, ask_qty) = (Qty(1), Qty(1));
        prices.store(
            1,
            &BestPrice {
                bid_price: bid,
                bid_qty,
                ask_price: ask,
                ask_qty,
            },
            Position::default(),
        );
        let kill = KillSwitch::default();
        let mut account = account(&prices, &kill);
        Self {
            exchange: Exchange::new(&options, 1),
            options,
            server: ServerSession::new(0),
            entry: entry(&mut account),
            account,
            prices,
            to_exchange: Vec::new(),
            to_gateway: Vec::new(),
            believed: BTreeMap::new(),
            next_id: 1,
            now_ns: 1,
            kill,
        }
    }

    /// A new connection, all bytes of the old one lost.
    fn connect(&mut self) {
        self.to_exchange.clear();
        self.to_gateway.clear();
        self.entry.on_closed(0, self.now_ns);
        self.log_in();
    }

    fn log_in(&mut self) {
        self.to_exchange.clear();
        self.to_gateway.clear();
        self.server = ServerSession::new(self.now_ns);
        let mut out = [0; 64];
        let len = self.entry.on_connected(self.now_ns, &mut out);
        self.to_exchange.extend_from_slice(&out[..len]);
    }

    /// The process died and came back.
    fn restart(&mut self) {
        self.account = account(&self.prices, &self.kill);
        self.entry = entry(&mut self.account);
        self.believed.clear();
        self.connect();
    }

    /// Moves at most `limit` bytes each way.
    fn pump(&mut self, limit: usize) {
        self.now_ns += 1000;
        let take = limit.min(self.to_exchange.len());
        let bytes: Vec<u8> = self.to_exchange.drain(..take).collect();
        let Self {
            exchange,
            server,
            options,
            now_ns,
            ..
        } = self;
        let shared = std::cell::RefCell::new(exchange);
        let (mut out, now) = (Vec::new(), *now_ns);
        let received = Received {
            bytes: &bytes,
            now_ns: now,
        };
        let result = server.on_bytes(received, options, &mut out, |said| match said {
            SessionEvent::LoggedIn(account) => shared.borrow().stored(account),
            SessionEvent::Message(account, message) => {
                let mut exchange = shared.borrow_mut();
                exchange.advance(now);
                exchange.on_message(account, message);
                0
            }
        });
        assert_eq!(result, Ok(()), "the exchange closed");
        let exchange = shared.into_inner();
        let exchange = &*exchange;
        let message = |account, at| exchange.message(account, at);
        let written = server.write_stored(message, 1 << 20, None, &mut out);
        assert_eq!(written, Ok(()));
        self.to_gateway.extend_from_slice(&out);
        let take = limit.min(self.to_gateway.len());
        let bytes: Vec<u8> = self.to_gateway.drain(..take).collect();
        let mut reply = [0; 64];
        let believed = &mut self.believed;
        let mut is_again = false;
        let arrived = Arrived {
            bytes: &bytes,
            now_ns: now,
        };
        let (entry, account) = (&mut self.entry, &mut self.account);
        let len = entry.on_bytes(account, arrived, &mut reply, |told| match told {
            AnswerEvent::ConnectAgain => is_again = true,
            told => hear(believed, told),
        });
        self.to_exchange.extend_from_slice(&reply[..len]);
        if is_again {
            self.log_in();
        }
    }

    fn settle(&mut self) {
        for _ in 0..20 {
            self.pump(usize::MAX);
        }
    }

    fn intent(&mut self, action: Action, id: OrderId, side: Side, qty: u32) -> Result<(), Refusal> {
        let intent = self.plain(action, id, side, qty);
        self.send(&intent)
    }

    /// An intent for a limit order for the day that everybody sees, or for a change.
    fn plain(&self, action: Action, id: OrderId, side: Side, qty: u32) -> OrderIntent {
        let origin = Origin {
            seq: 5,
            seen_ns: self.now_ns,
            wire_delta_ns: 0,
            feed: 0,
            batch: 1,
            place: 0,
        };
        OrderIntent {
            published_delta_ns: 0,
            picked_delta_ns: 0,
            terms: Terms::PLAIN,
            queue: 0,
            ring_was_full: false,
            origin,
            decided_ns: self.now_ns,
            id,
            price: Price4(1_000_000),
            qty: Qty(qty),
            locate: 1,
            action,
            side,
            time_in_force: TimeInForce::Day,
            cause: Cause::Market,
        }
    }

    fn send(&mut self, intent: &OrderIntent) -> Result<(), Refusal> {
        let mut out = [0; 128];
        let asked = Asked {
            owner: Owner(0),
            intent,
            now_ns: self.now_ns,
        };
        let sent = self.entry.on_intent(&mut self.account, &asked, &mut out)?;
        self.to_exchange.extend_from_slice(&out[..sent.len]);
        Ok(())
    }

    fn enter(&mut self, side: Side, qty: u32) {
        let id = OrderId(self.next_id);
        if self.intent(Action::Enter, id, side, qty).is_ok() {
            self.next_id += 1;
        }
    }

    /// The position as everything that the exchange ever said adds up to.
    fn position_by_record(&self) -> i64 {
        let mut sides = BTreeMap::new();
        let mut position = 0;
        for at in 0..self.exchange.stored(DEMO) {
            let bytes = self.exchange.message(DEMO, at).expect("stored");
            match Outbound::decode(bytes).expect("OUCH").0 {
                Outbound::OrderAccepted(m) => {
                    sides.insert(m.user_ref.get(), m.side);
                }
                Outbound::OrderReplaced(m) => {
                    sides.insert(m.user_ref.get(), m.side);
                }
                Outbound::Executed(m) => {
                    let sign = if sides[&m.user_ref.get()] == b'B' {
                        1
                    } else {
                        -1
                    };
                    position += sign * i64::from(m.qty.get().0);
                }
                _ => {}
            }
        }
        position
    }

    fn both_believe_the_same(&mut self, seed: u64) {
        assert_eq!(self.entry.state(), State::Open, "seed {seed}");
        let live = self.entry.live_orders(&self.account);
        let live: Vec<_> = live.iter().map(|it| (it.user_ref, it.open)).collect();
        assert_eq!(live, self.exchange.open_orders(DEMO), "seed {seed}");
        assert_eq!(
            self.account.exposure(symbol()).position,
            self.position_by_record(),
            "seed {seed}"
        );
        let open = u32::try_from(self.exchange.open_orders(DEMO).len()).expect("few");
        assert_eq!(self.entry.open_orders(), open, "seed {seed}");
    }
}

/// Keeps what a strategy would believe.
fn hear(believed: &mut BTreeMap<u32, Qty>, told: AnswerEvent) {
    let AnswerEvent::Execution(owner, event) = told else {
        assert!(
            !matches!(
                told,
                AnswerEvent::Ended(_) | AnswerEvent::UnknownExecution(_)
            ),
            "{told:?}"
        );
        return;
    };
    assert_eq!(owner, Owner(0));
    match event.outcome {
        Outcome::Refused(_) | Outcome::Lost => {
            believed.remove(&event.id.0);
        }
        Outcome::Accepted | Outcome::Replaced => {
            believed.insert(event.id.0, event.leaves);
        }
        Outcome::Filled | Outcome::Canceled(_) if event.leaves.0 == 0 => {
            believed.remove(&event.id.0);
        }
        _ => {}
    }
}

#[test]
fn orders_of_an_earlier_life_count_and_are_cancelled_when_told_to_stop() {
    let mut world = World::new(3);
    world.connect();
    world.settle();
    for _ in 0..8 {
        world.enter(Side::Buy, 100);
    }
    world.settle();
    assert_eq!(world.exchange.open_orders(DEMO).len(), 6);
    world.restart();
    world.settle();
    world.both_believe_the_same(0);
    assert_eq!(world.account.exposure(symbol()).position, 200);
    world.entry.stop(world.now_ns);
    assert_eq!(
        world.intent(Action::Enter, OrderId(99), Side::Buy, 1),
        Err(Refusal::SessionDown)
    );
    let mut out = [0; 4096];
    let len = world.entry.cancel_some(100, world.now_ns, &mut out);
    world.to_exchange.extend_from_slice(&out[..len]);
    world.settle();
    assert!(world.entry.is_stopped());
    assert!(world.exchange.open_orders(DEMO).is_empty());
}

#[test]
fn order_that_the_exchange_never_received_is_told_as_lost() {
    let mut world = World::new(0);
    world.connect();
    world.settle();
    world.enter(Side::Sell, 100);
    assert_eq!(world.entry.open_orders(), 1);
    world.connect();
    world.settle();
    world.both_believe_the_same(0);
    assert_eq!(world.entry.open_orders(), 0);
    assert_eq!(world.entry.counters().never_received.get(), 1);
}

#[test]
fn no_order_goes_out_before_the_past_is_known() {
    let mut world = World::new(0);
    world.connect();
    assert_eq!(
        world.intent(Action::Enter, OrderId(1), Side::Buy, 1),
        Err(Refusal::SessionDown)
    );
    world.pump(usize::MAX);
    world.pump(usize::MAX);
    assert_eq!(world.entry.state(), State::Recovering);
    assert_eq!(
        world.intent(Action::Enter, OrderId(1), Side::Buy, 1),
        Err(Refusal::SessionDown)
    );
    world.settle();
    assert_eq!(
        world.intent(Action::Enter, OrderId(1), Side::Buy, 1),
        Ok(())
    );
    world.kill.engage(KillCause::Operator);
    assert_eq!(
        world.intent(Action::Enter, OrderId(2), Side::Buy, 1),
        Err(Refusal::Killed)
    );
}

#[test]
fn order_on_a_book_that_misses_an_order_is_refused_and_other_symbols_are_not_concerned() {
    let mut world = World::new(0);
    world.connect();
    world.settle();
    world.prices.set_incomplete(2);
    let first = world.intent(Action::Enter, OrderId(1), Side::Buy, 1);
    assert_eq!(first, Ok(()));
    world.settle();
    world.prices.set_incomplete(1);
    let replaced = world.intent(Action::Replace, OrderId(1), Side::Buy, 2);
    assert_eq!(replaced, Err(Refusal::StaleBook));
    let second = world.intent(Action::Enter, OrderId(2), Side::Buy, 1);
    assert_eq!(second, Err(Refusal::StaleBook));
}

impl World {
    /// Open, with a market of its own around a dollar price of 100.
    fn quoted() -> Self {
        let mut world = Self::new(0);
        world.connect();
        world.settle();
        for (id, side, price) in [(1, Side::Buy, 999_900), (2, Side::Sell, 1_000_200)] {
            let quote = OrderIntent {
                price: Price4(price),
                ..world.plain(Action::Enter, OrderId(id), side, 500)
            };
            assert_eq!(world.send(&quote), Ok(()));
        }
        world.settle();
        world
    }

    /// Display code and time in force with which the exchange has taken in or replaced the last order.
    fn last_taken(&self) -> Option<(u8, u8)> {
        let said = (0..self.exchange.stored(DEMO)).rev();
        let mut taken = said.filter_map(|at| {
            let bytes = self.exchange.message(DEMO, at).expect("stored");
            match Outbound::decode(bytes).expect("OUCH").0 {
                Outbound::OrderAccepted(m) => Some((m.display, m.time_in_force)),
                Outbound::OrderReplaced(m) => Some((m.display, m.time_in_force)),
                _ => None,
            }
        });
        taken.next()
    }
}

#[test]
fn exchange_takes_every_order_whose_terms_are_not_refused_and_its_replace_keeps_them() {
    let displays = [
        Display::Shown,
        Display::Attributed,
        Display::Hidden,
        Display::Reserve(Qty(0)),
        Display::Reserve(Qty(40)),
        Display::Reserve(Qty(101)),
    ];
    let times = [
        TimeInForce::Day,
        TimeInForce::ImmediateOrCancel,
        TimeInForce::ExtendedHours,
        TimeInForce::AfterHours,
    ];
    let (mut taken, mut refused) = (0, 0);
    for case in 0..(6 * 4 * 4 * 2 * 2) {
        let display = displays[case % 6];
        let time_in_force = times[case / 6 % 4];
        let min_qty = Qty([0, 1, 100, 101][case / 24 % 4]);
        let (is_post_only, is_midpoint) = (case / 96 % 2 == 1, case / 192 == 1);
        let mut world = World::quoted();
        let order = OrderIntent {
            terms: Terms::new(display, min_qty)
                .with_post_only(is_post_only)
                .with_midpoint(is_midpoint),
            time_in_force,
            ..world.plain(Action::Enter, OrderId(3), Side::Buy, 100)
        };
        let said =
            format!("{display:?} {time_in_force:?} {min_qty:?} {is_post_only} {is_midpoint}");
        match world.send(&order) {
            Ok(()) => taken += 1,
            Err(refusal) => {
                assert_eq!(refusal, Refusal::Terms, "{said}");
                refused += 1;
                continue;
            }
        }
        world.settle();
        world.both_believe_the_same(case as u64);
        let counters = world.entry.counters();
        assert_eq!(counters.rejected.get(), 0, "{said}");
        let code = match display {
            _ if is_midpoint => b'N',
            Display::Hidden => b'N',
            Display::Attributed => b'A',
            Display::Shown | Display::Reserve(_) => b'Y',
        };
        let as_asked = Some((code, time_in_force as u8));
        assert_eq!(world.last_taken(), as_asked, "{said}");
        let is_live = world.entry.open_orders() == 3;
        assert_eq!(
            is_live,
            time_in_force != TimeInForce::ImmediateOrCancel,
            "{said}"
        );
        if is_live {
            let replaced = world.intent(Action::Replace, OrderId(3), Side::Buy, 150);
            assert_eq!(replaced, Ok(()), "{said}");
            world.settle();
            world.both_believe_the_same(case as u64);
            assert_eq!(world.entry.open_orders(), 3, "{said}");
            assert_eq!(counters.replaced.get(), 1, "{said}");
            assert_eq!(world.last_taken(), as_asked, "replaced: {said}");
        }
    }
    // No minimum: 14 each shown, attributed and hidden, 6 in reserve. A minimum of 1 or of all: 8, 8 and 14.
    assert_eq!((taken, refused), (3 * 14 + 6 + 2 * (8 + 8 + 14), 276));
}

#[test]
fn market_order_takes_what_the_collar_reaches_and_no_more() {
    let mut world = World::quoted();
    // 10 % above the last bid known, which is 100.00: 110.00.
    let far = OrderIntent {
        price: Price4(1_100_100),
        ..world.plain(Action::Enter, OrderId(3), Side::Sell, 100)
    };
    assert_eq!(world.send(&far), Ok(()));
    let market = OrderIntent {
        price: protocol::ouch::PRICE_MARKET,
        time_in_force: TimeInForce::ImmediateOrCancel,
        ..world.plain(Action::Enter, OrderId(4), Side::Buy, 600)
    };
    assert_eq!(world.send(&market), Ok(()));
    world.settle();
    world.both_believe_the_same(0);
    // The 500 at 100.02 are its own: both sides are told.
    assert_eq!(world.entry.counters().fills.get(), 2);
    let left = world.exchange.open_orders(DEMO);
    assert_eq!(left.len(), 2, "the bid and the far ask: {left:?}");
    let day = OrderIntent {
        time_in_force: TimeInForce::Day,
        id: OrderId(5),
        ..market
    };
    assert_eq!(world.send(&day), Err(Refusal::Terms));
}
