//! One gateway session and the exchange, both without sockets and in one thread, and the bytes between them.

#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::sync::Arc;

use feed_handler::best_prices::{BestPrice, BestPrices};
use feed_handler::event::Origin;
use feed_handler::position::Position;
use gateway::message::execution::Outcome;
use gateway::message::intent::{Action, Cause, OrderId, OrderIntent, Owner, TimeInForce};
use gateway::message::terms::Terms;
use gateway::order::account::Account;
use gateway::order::addresses::Addresses;
use gateway::order::entry::{
    Asked, Credentials, DeskOptions, Entry, Lifecycle, Received as Arrived, State,
};
use gateway::order::risk::Refusal;
use gateway::order::risk::{KillSwitch, Limits, Risk, RowLimits};
use gateway::order::telling::AnswerEvent;
use order_sim::exchange::Exchange;
use order_sim::file;
use order_sim::options::Options;
use order_sim::session::{Received, Session as ServerSession, SessionEvent};
use protocol::ouch::Outbound;
use protocol::types::{Price4, Qty, Side, Symbol};
use rt::mem::Want;

pub(crate) const LIMITS: Limits = Limits {
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
pub(crate) const DEMO: u16 = 0;

/// Both ends and the bytes between them.
pub(crate) struct World {
    pub(crate) account: Account,
    pub(crate) options: Options,
    pub(crate) exchange: Exchange,
    pub(crate) server: ServerSession,
    pub(crate) entry: Entry,
    pub(crate) prices: Arc<BestPrices>,
    pub(crate) to_exchange: Vec<u8>,
    pub(crate) to_gateway: Vec<u8>,
    /// Orders that the strategy believes live.
    pub(crate) believed: BTreeMap<u32, Qty>,
    pub(crate) next_id: u32,
    pub(crate) now_ns: u64,
    pub(crate) kill: KillSwitch,
}

pub(crate) fn symbol() -> Symbol {
    Symbol::new("ALC").expect("a symbol")
}

pub(crate) fn account(prices: &Arc<BestPrices>, kill: &KillSwitch, limits: Limits) -> Account {
    let risk = Risk::new(limits, kill.clone());
    Account::new(risk, vec![Arc::clone(prices)])
}

/// With one strategy, which may trade these; `None`: everything.
pub(crate) fn entry(account: &mut Account, symbols: Option<Vec<Symbol>>) -> Entry {
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
            symbols,
            trade_on_stale: false,
        }],
        account,
    )
}

impl World {
    pub(crate) fn new(fill_every: u64) -> Self {
        Self::with(fill_every, LIMITS, None)
    }

    pub(crate) fn with(fill_every: u64, limits: Limits, symbols: Option<Vec<Symbol>>) -> Self {
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
        let mut account = account(&prices, &kill, limits);
        Self {
            exchange: Exchange::new(&options, 1),
            options,
            server: ServerSession::new(0),
            entry: entry(&mut account, symbols),
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

    /// With limits of parts of the account.
    pub(crate) fn with_rows(rows: &[RowLimits]) -> Self {
        let mut world = Self::new(0);
        world.begin_with_rows(rows);
        world
    }

    /// The process died and came back with these.
    pub(crate) fn restart_with_rows(&mut self, rows: &[RowLimits]) {
        self.begin_with_rows(rows);
        self.believed.clear();
        self.connect();
    }

    fn begin_with_rows(&mut self, rows: &[RowLimits]) {
        let risk = Risk::new(LIMITS, self.kill.clone()).with_rows(rows, rows);
        self.account = Account::new(risk, vec![Arc::clone(&self.prices)]);
        self.entry = entry(&mut self.account, None);
    }

    /// A new connection, all bytes of the old one lost.
    pub(crate) fn connect(&mut self) {
        self.to_exchange.clear();
        self.to_gateway.clear();
        self.entry.on_closed(0, self.now_ns);
        self.log_in();
    }

    pub(crate) fn log_in(&mut self) {
        self.to_exchange.clear();
        self.to_gateway.clear();
        self.server = ServerSession::new(self.now_ns);
        let mut out = [0; 64];
        let len = self.entry.on_connected(self.now_ns, &mut out);
        self.to_exchange.extend_from_slice(&out[..len]);
    }

    /// The process died and came back.
    pub(crate) fn restart(&mut self) {
        self.account = account(&self.prices, &self.kill, LIMITS);
        self.entry = entry(&mut self.account, None);
        self.believed.clear();
        self.connect();
    }

    /// Moves at most `limit` bytes each way.
    pub(crate) fn pump(&mut self, limit: usize) {
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

    pub(crate) fn settle(&mut self) {
        for _ in 0..20 {
            self.pump(usize::MAX);
        }
    }

    pub(crate) fn intent(
        &mut self,
        action: Action,
        id: OrderId,
        side: Side,
        qty: u32,
    ) -> Result<(), Refusal> {
        let intent = self.plain(action, id, side, qty);
        self.send(&intent)
    }

    /// An intent for a limit order for the day that everybody sees, or for a change.
    pub(crate) fn plain(&self, action: Action, id: OrderId, side: Side, qty: u32) -> OrderIntent {
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

    pub(crate) fn send(&mut self, intent: &OrderIntent) -> Result<(), Refusal> {
        self.send_with_room(intent, &mut [0; 128])
    }

    /// Into a send buffer that has so much room.
    pub(crate) fn send_with_room(
        &mut self,
        intent: &OrderIntent,
        out: &mut [u8],
    ) -> Result<(), Refusal> {
        let asked = Asked {
            owner: Owner(0),
            intent,
            now_ns: self.now_ns,
        };
        let sent = self.entry.on_intent(&mut self.account, &asked, out)?;
        self.to_exchange.extend_from_slice(&out[..sent.len]);
        Ok(())
    }

    pub(crate) fn enter(&mut self, side: Side, qty: u32) {
        let id = OrderId(self.next_id);
        if self.intent(Action::Enter, id, side, qty).is_ok() {
            self.next_id += 1;
        }
    }

    /// The position as everything that the exchange ever said adds up to.
    pub(crate) fn position_by_record(&self) -> i64 {
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

    pub(crate) fn both_believe_the_same(&mut self, seed: u64) {
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
pub(crate) fn hear(believed: &mut BTreeMap<u32, Qty>, told: AnswerEvent) {
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
