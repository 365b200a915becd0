//! One session's order entry, open, with two feeds that use the same locate codes.

use std::sync::Arc;

use feed_handler::best_prices::{BestPrice, BestPrices};
use feed_handler::event::Origin;
use feed_handler::position::Position;
use gateway::message::execution::{ExecutionEvent, Outcome};
use gateway::message::intent::{Action, Cause, OrderId, OrderIntent, Owner, TimeInForce};
use gateway::message::terms::Terms;
use gateway::order::account::Account;
use gateway::order::addresses::Addresses;
use gateway::order::entry::{
    Asked, Credentials, DeskOptions, Entry, EntryCounters, Lifecycle, Received, State,
};
use gateway::order::risk::Refusal;
use gateway::order::risk::{KillSwitch, Limits, Risk, RowLimits};
use gateway::order::telling::AnswerEvent;
use protocol::types::{Price4, Qty, Side, Symbol};
use rt::mem::Want;

use super::exchange::{login_accepted, next_number, soup};

pub(crate) const SECOND: u64 = 1_000_000_000;
/// Locate code 1 on the first feed, and on the second.
pub(crate) const SYMBOLS: [&[u8; 8]; 2] = [b"ALC     ", b"BOB     "];

pub(crate) const LIMITS: Limits = Limits {
    order_qty_max: Qty(10_000),
    notional_max: 1 << 50,
    collar_bps: 1000,
    position_max: 1 << 40,
    open_orders_max: 40,
    orders_per_second_max: 1_000_000,
    intent_age_max_ns: SECOND,
    ..Limits::WIDEST
};

/// A strategy on a feed that may trade everything.
pub(crate) fn on_feed(feed: u16) -> DeskOptions {
    DeskOptions {
        feed,
        symbols: None,
        trade_on_stale: false,
    }
}

pub(crate) fn prices() -> Vec<Arc<BestPrices>> {
    let table = |symbol: &[u8; 8]| {
        let table = BestPrices::new(Want::LAZY).unwrap();
        table.store_symbol(1, Symbol(*symbol), Position::default());
        let price = BestPrice {
            bid_price: Price4(1_000_000),
            bid_qty: Qty(100),
            ask_price: Price4(1_000_100),
            ask_qty: Qty(100),
        };
        table.store(1, &price, Position::default());
        Arc::new(table)
    };
    SYMBOLS.map(table).to_vec()
}

pub(crate) fn lifecycle() -> Lifecycle {
    Lifecycle::new(Credentials {
        addresses: Addresses::default(),
        username: "desk".into(),
        password: "secret".into(),
        session: String::new(),
        server_timeout_ns: 15 * SECOND,
    })
}

/// A new order of the first strategy, at the bid.
pub(crate) fn enter(id: u32, side: Side, qty: u32) -> OrderIntent {
    OrderIntent {
        origin: Origin::default(),
        decided_ns: 0,
        id: OrderId(id),
        price: Price4(1_000_000),
        qty: Qty(qty),
        published_delta_ns: 0,
        picked_delta_ns: 0,
        terms: Terms::PLAIN,
        locate: 1,
        queue: 0,
        ring_was_full: false,
        action: Action::Enter,
        side,
        time_in_force: TimeInForce::Day,
        cause: Cause::Market,
    }
}

/// A change, as a strategy's context makes it: it names the order by its number only.
pub(crate) fn change(action: Action, id: u32, qty: u32) -> OrderIntent {
    OrderIntent {
        action,
        locate: 0,
        ..enter(id, Side::Buy, qty)
    }
}

/// The session, and everything that it told.
pub(crate) struct Desk {
    pub(crate) account: Account,
    pub(crate) entry: Entry,
    pub(crate) counters: Arc<EntryCounters>,
    pub(crate) kill: KillSwitch,
    pub(crate) prices: Vec<Arc<BestPrices>>,
    /// What strategies were told.
    pub(crate) executions: Vec<(Owner, ExecutionEvent)>,
    /// What was told besides, in words.
    pub(crate) news: Vec<String>,
    pub(crate) now_ns: u64,
    /// Sequenced messages heard.
    heard: u64,
}

impl Desk {
    /// Connected, with nothing known of the past.
    pub(crate) fn with(limits: Limits, desks: &[DeskOptions]) -> Self {
        Self::with_rows(limits, &[], desks)
    }

    /// The same, with limits of parts of the account.
    pub(crate) fn with_rows(limits: Limits, rows: &[RowLimits], desks: &[DeskOptions]) -> Self {
        let kill = KillSwitch::default();
        let risk = Risk::new(limits, kill).with_rows(rows, rows);
        Self::with_risk(risk, desks)
    }

    /// Connected, with what risk is made of.
    pub(crate) fn with_risk(risk: Risk, desks: &[DeskOptions]) -> Self {
        let (limits, kill, prices) = (*risk.limits(), risk.kill().clone(), prices());
        let mut account = Account::new(risk, prices.clone());
        let entry = Entry::new(lifecycle(), limits.open_orders_max, desks, &mut account);
        Self {
            account,
            counters: entry.counters(),
            entry,
            kill,
            prices,
            executions: Vec::new(),
            news: Vec::new(),
            now_ns: 1,
            heard: 0,
        }
    }

    /// Open, with one strategy on the first feed and one on the second.
    pub(crate) fn open() -> Self {
        let mut desk = Self::with(LIMITS, &[on_feed(0), on_feed(1)]);
        desk.log_in(0);
        desk.says(&next_number(1));
        assert_eq!(desk.entry.state(), State::Open);
        desk.forget();
        desk
    }

    pub(crate) fn forget(&mut self) {
        self.executions.clear();
        self.news.clear();
    }

    /// Both connections that a login takes; the exchange has said `said` messages more than were heard.
    pub(crate) fn log_in(&mut self, said: u64) {
        for next in [self.heard + 1 + said, self.heard + 1] {
            let mut out = [0; 64];
            self.entry.on_connected(self.now_ns, &mut out);
            self.hears(&login_accepted(next));
        }
        assert_eq!(self.entry.state(), State::Recovering);
    }

    /// The connection goes; what was sent and not answered goes with it.
    pub(crate) fn cut(&mut self) {
        self.entry.on_closed(0, self.now_ns);
    }

    /// The exchange says something.
    pub(crate) fn says(&mut self, message: &[u8]) {
        self.heard += 1;
        self.hears(&soup(b'S', message));
    }

    pub(crate) fn hears(&mut self, bytes: &[u8]) {
        let Self {
            account,
            entry,
            executions,
            news,
            now_ns,
            ..
        } = self;
        let received = Received {
            bytes,
            now_ns: *now_ns,
        };
        entry.on_bytes(account, received, &mut [0; 64], |told| match told {
            AnswerEvent::Execution(owner, event) => executions.push((owner, event)),
            told => news.push(format!("{told:?}")),
        });
    }

    /// A strategy asks for something; the message that goes out, without its SoupBinTCP head.
    pub(crate) fn asks(&mut self, owner: u8, intent: &OrderIntent) -> Result<Vec<u8>, Refusal> {
        let intent = OrderIntent {
            decided_ns: self.now_ns,
            ..*intent
        };
        let asked = Asked {
            owner: Owner(owner),
            intent: &intent,
            now_ns: self.now_ns,
        };
        self.takes(&asked)
    }

    /// What the first strategy decided goes out at this time.
    pub(crate) fn sends(&mut self, intent: &OrderIntent, now_ns: u64) -> Result<Vec<u8>, Refusal> {
        self.takes(&Asked {
            owner: Owner(0),
            intent,
            now_ns,
        })
    }

    fn takes(&mut self, asked: &Asked<'_>) -> Result<Vec<u8>, Refusal> {
        let mut out = [0; 128];
        let sent = self.entry.on_intent(&mut self.account, asked, &mut out)?;
        Ok(out[3..sent.len].to_vec())
    }

    /// An order of the first strategy that the exchange has accepted.
    pub(crate) fn live(&mut self, id: u32, qty: u32) {
        let sent = self.asks(0, &enter(id, Side::Buy, qty)).unwrap();
        let number = u32::from_be_bytes(sent[1..5].try_into().unwrap());
        self.says(&super::exchange::accepted(
            number, b'B', qty, SYMBOLS[0], 1_000_000,
        ));
        self.forget();
    }

    /// What the last event said, its cause and times left out.
    pub(crate) fn last(&self) -> (Outcome, Option<Action>, u32, u16) {
        let (_, event) = self.executions.last().expect("something was told");
        (event.outcome, event.answers, event.leaves.0, event.locate)
    }

    pub(crate) fn position(&mut self) -> i64 {
        self.account.exposure(Symbol(*SYMBOLS[0])).position
    }
}
