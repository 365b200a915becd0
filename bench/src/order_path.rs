//! Order entry as one piece: what an order's whole life costs, and what the kill switch costs an order.
//!
//! `micro` counts each part alone; between them lie the table, the numbers and what strategies are told.

use std::hint::black_box;
use std::sync::Arc;

use anyhow::{Result, anyhow, ensure};
use feed_handler::best_prices::{BestPrice, BestPrices};
use feed_handler::event::Origin;
use feed_handler::position::Position;
use gateway::journal::inlet::Inlet;
use gateway::message::intent::{Action, Cause, OrderId, OrderIntent, Owner, TimeInForce};
use gateway::message::terms::Terms;
use gateway::order::account::{Account, DayStart};
use gateway::order::addresses::Addresses;
use gateway::order::entry::{Asked, Credentials, DeskOptions, Entry, Lifecycle, Received, State};
use gateway::order::risk::{KillSwitch, Limits, Risk, RowLimits};
use protocol::ouch::{AccountQueryResponse, Canceled, OrderAccepted};
use protocol::soup::{self, LoginAccepted, kind};
use protocol::types::{Price4, Qty, Seq, Side, Symbol, UserRefNum};
use rt::clock::Clock;
use rt::mem::Want;
use zerocopy::{FromZeros, IntoBytes};

use lab::peer::framed;

/// Orders that are live while the others come and go.
const RESTING: u32 = 1_000;
const QTY: Qty = Qty(100);

/// Order entry with an open session, and the bytes that go in and out.
pub(crate) struct OrderPath {
    account: Account,
    entry: Entry,
    symbol: Symbol,
    next_id: u32,
    now_ns: u64,
    out: Vec<u8>,
}

/// What is checked, and where it is journaled.
#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) limits: Limits,
    /// Limits of parts of the account.
    pub(crate) rows: Vec<RowLimits>,
    pub(crate) kill: KillSwitch,
    pub(crate) day: DayStart,
    pub(crate) journal: Inlet,
}

impl Setting {
    /// Limits of each kind, nothing that has to be asked for, no journal.
    fn usual(resting: u32) -> Self {
        let limits = Limits {
            order_qty_max: QTY,
            notional_max: u64::MAX,
            collar_bps: 500,
            position_max: 1 << 40,
            open_orders_max: resting + 1_000,
            orders_per_second_max: 1_000_000,
            ..Limits::WIDEST
        };
        Self {
            limits,
            rows: Vec::new(),
            kill: KillSwitch::default(),
            day: DayStart::default(),
            journal: Inlet::default(),
        }
    }
}

/// As near as orders may stand without meeting one another.
fn price_of(side: Side) -> Price4 {
    Price4(match side {
        Side::Buy => 1_000_000,
        Side::Sell => 1_000_100,
    })
}

impl OrderPath {
    /// Open, with this many orders live.
    pub(crate) fn new(resting: u32) -> Result<Self> {
        Self::with(resting, Setting::usual(resting))
    }

    /// The same, set so.
    pub(crate) fn with(resting: u32, setting: Setting) -> Result<Self> {
        let Setting {
            limits,
            rows,
            kill,
            day,
            journal,
        } = setting;
        let symbol = Symbol(*b"ALC     ");
        let prices = BestPrices::new(Want::LAZY)?;
        prices.store_symbol(1, symbol, Position::default());
        let best = BestPrice {
            bid_price: Price4(1_000_000),
            bid_qty: QTY,
            ask_price: Price4(1_000_100),
            ask_qty: QTY,
        };
        prices.store(1, &best, Position::default());
        let credentials = Credentials {
            addresses: Addresses::default(),
            username: "demo".into(),
            password: "demo".into(),
            session: String::new(),
            server_timeout_ns: u64::MAX,
        };
        let desk = DeskOptions {
            feed: 0,
            symbols: None,
            trade_on_stale: false,
        };
        let risk = Risk::new(limits, kill).with_rows(&rows, &rows);
        let mut account = Account::new(risk, vec![Arc::new(prices)]);
        let begun = account.begin_day(&day);
        begun.map_err(|symbol| anyhow!("no room for {symbol:?}"))?;
        let lifecycle = Lifecycle::new(credentials);
        let mut path = Self {
            entry: Entry::new(lifecycle, limits.open_orders_max, &[desk], &mut account)
                .with_journal(journal),
            account,
            symbol,
            next_id: 1,
            now_ns: 1,
            out: vec![0; 64 * 1024],
        };
        path.log_in();
        ensure!(path.entry.state() == State::Open, "the session is not open");
        for _ in 0..resting {
            path.enter();
        }
        Ok(path)
    }

    fn log_in(&mut self) {
        let login = framed(
            kind::LOGIN_ACCEPTED,
            LoginAccepted::new("S1", Seq(1)).as_bytes(),
        );
        for _ in 0..2 {
            self.entry.on_connected(1, &mut self.out);
            self.hear(&login);
        }
        let mut response = AccountQueryResponse::new_zeroed();
        response.kind = AccountQueryResponse::KIND;
        response.next_user_ref = UserRefNum(1).into();
        self.hear(&framed(kind::SEQUENCED, response.as_bytes()));
    }

    fn hear(&mut self, bytes: &[u8]) {
        let received = Received {
            bytes,
            now_ns: self.now_ns,
        };
        let account = &mut self.account;
        self.entry
            .on_bytes(account, received, &mut [0; 64], |told| {
                black_box(&told);
            });
    }

    fn ask(&mut self, action: Action, id: u32) -> Option<UserRefNum> {
        self.ask_for(action, id, Side::Buy)
    }

    fn ask_for(&mut self, action: Action, id: u32, side: Side) -> Option<UserRefNum> {
        self.now_ns += 1_000_000;
        let intent = OrderIntent {
            origin: Origin::default(),
            decided_ns: self.now_ns,
            id: OrderId(id),
            price: price_of(side),
            qty: QTY,
            published_delta_ns: 0,
            picked_delta_ns: 0,
            terms: Terms::PLAIN,
            locate: 1,
            queue: 0,
            ring_was_full: false,
            action,
            side,
            time_in_force: TimeInForce::Day,
            cause: Cause::Market,
        };
        let asked = Asked {
            owner: Owner(0),
            intent: black_box(&intent),
            now_ns: self.now_ns,
        };
        let (account, out) = (&mut self.account, &mut self.out);
        let sent = self.entry.on_intent(account, &asked, out);
        sent.ok().map(|sent| sent.user_ref)
    }

    /// A new order, accepted; its number.
    fn enter(&mut self) -> UserRefNum {
        let number = self.enter_unanswered().unwrap_or(UserRefNum(0));
        self.accept(number, Side::Buy);
        number
    }

    fn accept(&mut self, number: UserRefNum, side: Side) {
        let mut accepted = OrderAccepted::new_zeroed();
        (accepted.kind, accepted.side) = (OrderAccepted::KIND, side as u8);
        (accepted.user_ref, accepted.qty) = (number.into(), QTY.into());
        (accepted.symbol, accepted.price) = (self.symbol, price_of(side).into());
        accepted.state = b'L';
        self.answer(|out| accepted.encode(&[], out));
    }

    fn cancel(&mut self, number: UserRefNum) {
        let mut canceled = Canceled::new_zeroed();
        canceled.kind = Canceled::KIND;
        (canceled.user_ref, canceled.qty) = (number.into(), QTY.into());
        self.answer(|out| canceled.encode(&[], out));
    }

    /// The exchange says something. The packet is put together where it lies: no allocation is counted.
    fn answer(&mut self, encode: impl FnOnce(&mut [u8]) -> Option<usize>) {
        let mut packet = [0; 128];
        let len = soup::frame(kind::SEQUENCED, &mut packet, encode).unwrap_or(0);
        self.hear(packet.get(..len).unwrap_or_default());
    }

    /// An order's life: asked for, accepted, its cancel asked for, cancelled.
    pub(crate) fn live_and_die(&mut self) {
        let number = self.enter_unanswered().unwrap_or(UserRefNum(0));
        self.answer_and_die(number);
    }

    /// The first half of it: an order is asked for, judged, and has its bytes; nobody answers.
    pub(crate) fn enter_unanswered(&mut self) -> Option<UserRefNum> {
        let id = self.next_id;
        self.next_id += 1;
        self.ask(Action::Enter, id)
    }

    /// The other half: the exchange takes it, and it is cancelled.
    pub(crate) fn answer_and_die(&mut self, number: UserRefNum) {
        self.accept(number, Side::Buy);
        self.ask(Action::Cancel, self.next_id - 1);
        self.cancel(number);
    }

    /// The same; how long it took to judge the order and to have its bytes ready, ns.
    pub(crate) fn live_and_die_timed(&mut self, clock: &Clock, side: Side) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        let asked_ns = clock.now_ns();
        let number = self.ask_for(Action::Enter, id, side);
        let took_ns = clock.now_ns() - asked_ns;
        let number = number.unwrap_or(UserRefNum(0));
        self.accept(number, side);
        self.ask(Action::Cancel, id);
        self.cancel(number);
        self.entry.prefetch(&self.account);
        took_ns
    }

    /// Orders that were sent.
    pub(crate) fn orders(&self) -> u64 {
        self.entry.counters().orders.get()
    }

    /// Cancels for everything that is live, slice by slice.
    pub(crate) fn cancel_everything(&mut self) {
        while self.entry.cancel_some(256, self.now_ns, &mut self.out) > 0 {}
    }

    /// Orders live now.
    pub(crate) fn open_orders(&self) -> u32 {
        self.entry.open_orders()
    }
}

/// An order's life beside a thousand resting ones.
///
/// # Errors
/// The host has not the memory.
pub(crate) fn resting() -> Result<OrderPath> {
    OrderPath::new(RESTING)
}
