//! The gateway's own stages and the exchange in one thread, on a clock that stands still: two feeds with the
//! same locate codes, two sessions, three strategies, and a network that cuts connections at any byte.

use std::collections::VecDeque;
use std::sync::Arc;

use feed_handler::best_prices::{BestPrice, BestPrices};
use feed_handler::event::{
    DELTA_UNKNOWN, FLAG_BBO_CHANGED, FLAG_STALE, KIND_GAP, MarketEvent, Origin,
};
use gateway::core_loop::Stage;
use gateway::notice::{Notice, Notices};
use gateway::order::entry::{DeskOptions, Entry, Phase};
use gateway::order::orders::Owner;
use gateway::order::risk::{KillCause, KillSwitch, Limits, Risk};
use gateway::order::session::{Credentials, Session};
use gateway::order::stage::{Link, OrderStage};
use gateway::order::transport::{Happened, Transport};
use gateway::slow::Slowest;
use gateway::strategy::{Ends, Quoter, QuoterParameters, Strategy, StrategyStage};
use order_sim::exchange::Exchange;
use order_sim::options::Options;
use order_sim::session::{Heard, Session as ServerSession};
use protocol::types::{Price4, Qty, Side, Symbol};
use rt::clock::Clock;
use rt::mem::Want;
use rt::ring::{Consumer, Producer, ring};

use super::record::Record;
use super::traders::{Trader, belief};

/// Kind of the events that traders let pass, so that the day can end.
pub(crate) const CALM: u8 = b'c';
/// Symbols of each feed, by locate code from 1 on: one code means different symbols, and one symbol is on
/// both.
const SYMBOLS: [[&str; 2]; 2] = [["ALC", "BOB"], ["CAT", "ALC"]];
/// Feed and session of each strategy; the second is the quoter.
const STRATEGIES: [(usize, usize); 3] = [(0, 0), (1, 0), (1, 1)];
const QUOTER: usize = 1;
const HALF_SPREAD: u32 = 300;
const REQUOTE_AT: u32 = 100;
const ACCOUNTS: [&str; 2] = ["one", "two"];
const ROOM: usize = 64 * 1024;
const MS: u64 = 1_000_000;

/// One end of a simulated connection.
#[derive(Debug)]
struct Wire {
    wants_connection: bool,
    happened: VecDeque<Event>,
    tx: Box<[u8]>,
    committed: usize,
    /// With the kernel, not yet with the exchange.
    sent: Vec<u8>,
    /// Bytes that the kernel still takes.
    window: usize,
}

#[derive(Debug)]
enum Event {
    Connected,
    Bytes(Vec<u8>),
    Closed(i32),
}

impl Wire {
    fn new() -> Self {
        Self {
            wants_connection: false,
            happened: VecDeque::new(),
            tx: vec![0; ROOM].into_boxed_slice(),
            committed: 0,
            sent: Vec::new(),
            window: usize::MAX,
        }
    }

    fn push_out(&mut self) {
        let take = self.committed.min(self.window);
        self.sent.extend_from_slice(&self.tx[..take]);
        self.tx.copy_within(take..self.committed, 0);
        self.committed -= take;
    }
}

impl Transport for Wire {
    fn start(&mut self) -> std::io::Result<()> {
        Ok(())
    }

    fn connect(&mut self) {
        self.close();
        self.wants_connection = true;
    }

    fn close(&mut self) {
        self.wants_connection = false;
        self.happened.clear();
        self.sent.clear();
        self.committed = 0;
    }

    fn room(&mut self) -> &mut [u8] {
        &mut self.tx[self.committed..]
    }

    fn commit(&mut self, len: usize) {
        self.committed += len;
    }

    fn flush(&mut self) {
        self.push_out();
    }

    fn poll(&mut self, mut on: impl FnMut(Happened<'_>)) -> usize {
        self.push_out();
        let Some(event) = self.happened.pop_front() else {
            return 0;
        };
        match event {
            Event::Connected => on(Happened::Connected),
            Event::Bytes(bytes) => on(Happened::Bytes(&bytes)),
            Event::Closed(errno) => on(Happened::Closed(errno)),
        }
        1
    }
}

/// One session of the gateway, and its connection as the exchange sees it.
struct Line {
    stage: OrderStage<Wire>,
    server: Option<ServerSession>,
    to_gateway: Vec<u8>,
    record: Record,
    notices: Consumer<Notice>,
}

/// One strategy's stage, and the feed's end of its ring.
struct Desk {
    stage: StrategyStage,
    events: Producer<MarketEvent>,
}

/// Everything.
pub(crate) struct World {
    seed: u64,
    random: fastrand::Rng,
    clock: Clock,
    now_ns: u64,
    options: Options,
    exchange: Exchange,
    prices: Vec<Arc<BestPrices>>,
    /// The best bid of each symbol of each feed, and how many messages the feed has had.
    bids: [[u32; 2]; 2],
    seqs: [u64; 2],
    kill: KillSwitch,
    lines: Vec<Line>,
    desks: Vec<Desk>,
    next_housekeeping_ns: u64,
    /// What the quoter had been refused when it should have begun to settle.
    refused_before: u64,
    /// Answers to the strategies of earlier lives.
    pub(crate) answers: std::collections::BTreeMap<String, u64>,
}

fn symbol(name: &str) -> Symbol {
    Symbol::new(name).expect("a symbol")
}

/// What the exchange does to orders whose sequence numbers begin with one of these digits.
const BEHAVIOURS: [(u64, &str); 7] = [
    (1, "reject\"\nreason = 7\n#\""),
    (2, "late\"\nafter_ms = 3\n#\""),
    (3, "ignore"),
    (4, "fill_half"),
    (5, "fill_twice"),
    (6, "bust"),
    (7, "fill_on_cancel"),
];

fn exchange_options(fill_every: u64) -> Options {
    let mut text = format!(
        "address = \"127.0.0.1:1\"\nfill_every = {fill_every}\n[engine]\norders_max = 4000\nlevels_max = \
         256\ntrades_max = 4000\n"
    );
    for name in ACCOUNTS {
        // What would trade with the account's own is taken off both, a part of an order at a time.
        text += &format!("[account.{name}]\npassword = \"secret\"\nself_match = \"D\"\n");
    }
    for (digit, act) in BEHAVIOURS {
        for strategy in 0..2u8 {
            for feed in 0..2u16 {
                let prefix = prefix(strategy, feed, digit);
                text += &format!("[[behaviour]]\nprefix = \"{prefix}\"\ndo = \"{act}\"\n");
            }
        }
    }
    Options::parse(&text).expect("sane")
}

/// How the `ClOrdID` of an order begins whose cause has this digit in front.
fn prefix(strategy: u8, feed: u16, digit: u64) -> String {
    format!("{strategy:02X}{feed:02X}{digit:X}")
}

/// A sequence number with this digit in front.
fn marked(digit: u64, seq: u64) -> u64 {
    digit << 36 | seq
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let fill_every = [0, 0, 2, 5][random.usize(0..4)];
        let options = exchange_options(fill_every);
        let prices = SYMBOLS.map(|symbols| {
            let table = BestPrices::new(Want::LAZY).expect("memory");
            for (locate, name) in (1..).zip(symbols) {
                table.store_symbol(locate, symbol(name));
            }
            Arc::new(table)
        });
        let mut world = Self {
            seed,
            exchange: Exchange::new(&options, 1),
            clock: Clock::manual(1),
            now_ns: 1,
            options,
            prices: prices.to_vec(),
            bids: [[1_000_000, 500_000], [200_000, 1_000_000]],
            seqs: [0; 2],
            kill: KillSwitch::default(),
            lines: Vec::new(),
            desks: Vec::new(),
            next_housekeeping_ns: 0,
            refused_before: 0,
            random,
            answers: std::collections::BTreeMap::new(),
        };
        world.start();
        world
    }

    /// A new process: it knows nothing, and its limits may be others.
    fn start(&mut self) {
        for trader in [0, 2] {
            for (word, count) in belief(trader).answers {
                *self.answers.entry(word).or_default() += count;
            }
        }
        let is_tight = self.random.u8(0..3) == 0;
        let limits = Limits {
            order_qty_max: Qty(500),
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
        };
        let mut links: [Vec<Link>; 2] = Default::default();
        let mut options: [Vec<DeskOptions>; 2] = Default::default();
        self.desks.clear();
        for (at, (feed, session)) in STRATEGIES.into_iter().enumerate() {
            let (to_strategy, events) = ring(256).expect("a power of two");
            let (to_session, intents) = ring(64).expect("a power of two");
            let (to_desk, executions) = ring(8192).expect("a power of two");
            let (notices, _) = ring(8).expect("a power of two");
            let strategy = self.strategy(at);
            let ends = Ends {
                events,
                intents: to_session,
                executions,
            };
            self.desks.push(Desk {
                stage: StrategyStage::new(
                    strategy,
                    ends,
                    Arc::clone(&self.prices[feed]),
                    Notices(notices),
                ),
                events: to_strategy,
            });
            links[session].push(Link {
                intents,
                executions: to_desk,
            });
            options[session].push(DeskOptions {
                feed: u16::try_from(feed).expect("few"),
                symbols: None,
                trade_on_stale: self.random.u8(0..8) == 0 && at != QUOTER,
            });
        }
        self.lines.clear();
        for ((name, links), desks) in ACCOUNTS.into_iter().zip(links).zip(options) {
            let line = self.line(name, limits, links, &desks);
            self.lines.push(line);
        }
        for feed in 0..2 {
            for locate in 1..=2 {
                self.directory(feed, locate);
            }
        }
    }

    fn strategy(&mut self, at: usize) -> Box<dyn Strategy> {
        if at != QUOTER {
            return Box::new(Trader::new(at, self.random.u64(..)));
        }
        let parameters = QuoterParameters {
            half_spread: HALF_SPREAD,
            skew_per_lot: 0,
            requote_at: REQUOTE_AT,
            inventory_max: u32::MAX,
            ..QuoterParameters::default()
        };
        Box::new(Quoter::new(&parameters).expect("sane"))
    }

    fn line(&self, name: &str, limits: Limits, links: Vec<Link>, desks: &[DeskOptions]) -> Line {
        let session = Session::new(Credentials {
            username: name.into(),
            password: "secret".into(),
            session: String::new(),
            server_timeout_ns: 15_000 * MS,
        });
        let entry = Entry::new(
            session,
            Risk::new(limits, self.kill.clone()),
            limits.open_orders_max,
            desks,
            self.prices.clone(),
        );
        let (notices, heard) = ring(64).expect("a power of two");
        let (slow, _) = ring(64).expect("a power of two");
        let telling = (Notices(notices), Slowest::new(slow));
        Line {
            stage: OrderStage::new(entry, Wire::new(), links, telling, self.kill.clone()),
            server: None,
            to_gateway: Vec::new(),
            record: Record::default(),
            notices: heard,
        }
    }

    fn event(&self, feed: usize, locate: u16) -> MarketEvent {
        let price = self.prices[feed].load(locate).unwrap_or_default();
        MarketEvent {
            origin: Origin {
                seq: self.seqs[feed],
                seen_ns: self.now_ns,
                wire_delta_ns: DELTA_UNKNOWN,
                feed: u16::try_from(feed).expect("few"),
                batch: 1,
                place: 0,
            },
            number: 0,
            published_delta_ns: 0,
            price: Price4(0),
            qty: Qty(0),
            bid_price: price.bid_price,
            bid_qty: price.bid_qty,
            ask_price: price.ask_price,
            ask_qty: price.ask_qty,
            locate,
            kind: b'A',
            flags: if self.prices[feed].is_stale(locate) {
                FLAG_STALE
            } else {
                0
            },
        }
    }

    /// What does not fit a strategy's ring is lost to it; this world lets nothing get that far.
    fn publish(&mut self, feed: usize, event: MarketEvent) {
        for (desk, _) in self
            .desks
            .iter_mut()
            .zip(STRATEGIES)
            .filter(|(_, (of, _))| *of == feed)
        {
            assert!(desk.events.push(event).is_ok());
        }
    }

    fn directory(&mut self, feed: usize, locate: u16) {
        let name = symbol(SYMBOLS[feed][usize::from(locate) - 1]);
        let event = MarketEvent {
            kind: b'R',
            number: u64::from_ne_bytes(name.0),
            ..self.event(feed, locate)
        };
        self.publish(feed, event);
    }

    /// The market moves.
    fn tick(&mut self, kind: u8, behaviours: bool) {
        let (feed, at) = (self.random.usize(0..2), self.random.usize(0..2));
        let bid = &mut self.bids[feed][at];
        *bid = bid.saturating_add_signed(self.random.i32(-5..6) * 100);
        let price = BestPrice {
            bid_price: Price4(*bid),
            bid_qty: Qty(100),
            ask_price: Price4(*bid + 100),
            ask_qty: Qty(100),
        };
        let locate = u16::try_from(at + 1).expect("few");
        self.prices[feed].store(locate, &price);
        let digit = if behaviours {
            self.random.u64(0..16)
        } else {
            0
        };
        self.seqs[feed] = marked(digit, self.seqs[feed] & 0xFFFF_FFFF) + 1;
        let mut event = self.event(feed, locate);
        event.flags |= FLAG_BBO_CHANGED;
        event.kind = kind;
        self.publish(feed, event);
    }

    /// A gap, or the end of one: as the feed stage tells it.
    fn set_stale(&mut self, feed: usize, is_stale: bool) {
        self.prices[feed].set_stale(is_stale);
        if is_stale {
            let event = MarketEvent {
                kind: KIND_GAP,
                number: 3,
                ..self.event(feed, 0)
            };
            self.publish(feed, event);
        }
    }

    fn turn(&mut self) {
        self.clock.set_ns(self.now_ns);
        for desk in &mut self.desks {
            desk.stage.poll(&self.clock);
        }
        for line in &mut self.lines {
            line.stage.poll(&self.clock);
        }
        if self.now_ns >= self.next_housekeeping_ns {
            self.next_housekeeping_ns = self.now_ns + 10 * MS;
            for line in &mut self.lines {
                line.stage.housekeep(&self.clock);
            }
        }
        for at in 0..self.lines.len() {
            self.compare(at);
        }
        let (seed, cause) = (self.seed, self.kill.cause());
        assert!(
            matches!(cause, None | Some(KillCause::Operator)),
            "seed {seed}: {cause:?}"
        );
    }

    /// Moves at most `limit` bytes each way on one line.
    fn pump(&mut self, at: usize, limit: usize) {
        let Self {
            lines,
            exchange,
            options,
            now_ns,
            ..
        } = self;
        let (line, now_ns) = (&mut lines[at], *now_ns);
        let wire = line.stage.transport();
        if std::mem::take(&mut wire.wants_connection) {
            line.server = Some(ServerSession::new(now_ns));
            line.to_gateway.clear();
            wire.happened.push_back(Event::Connected);
            return;
        }
        let Some(server) = &mut line.server else {
            return;
        };
        let take = limit.min(wire.sent.len());
        let bytes: Vec<u8> = wire.sent.drain(..take).collect();
        let shared = std::cell::RefCell::new(exchange);
        let mut out = Vec::new();
        shared.borrow_mut().advance(now_ns);
        let result = server.on_bytes((&bytes, now_ns), options, &mut out, |said| match said {
            Heard::LoggedIn(account) => shared.borrow().stored(account),
            Heard::Message(account, message) => {
                shared.borrow_mut().on_message(account, message);
                0
            }
        });
        assert_eq!(result, Ok(()), "the exchange closed");
        let exchange = &*shared.into_inner();
        let message = |account, index| exchange.message(account, index);
        let written = server.write_stored(message, (1 << 20, None), &mut out);
        assert_eq!(written, Ok(()));
        if !out.is_empty() {
            server.on_sent(now_ns);
        }
        let kept = server.on_timeout(now_ns, &mut out);
        line.to_gateway.extend_from_slice(&out);
        if kept.is_err() {
            // It has not heard us for so long that it closes.
            line.server = None;
            wire.happened.push_back(Event::Closed(0));
            return;
        }
        let take = limit.min(line.to_gateway.len());
        if take > 0 {
            let bytes = line.to_gateway.drain(..take).collect();
            wire.happened.push_back(Event::Bytes(bytes));
        }
    }

    /// The connection goes: some bytes each way still arrive, the rest never does.
    fn cut(&mut self, at: usize) {
        if self.lines[at].server.is_none() {
            return;
        }
        let limit = self.random.usize(0..300);
        self.pump(at, limit);
        let line = &mut self.lines[at];
        line.server = None;
        line.to_gateway.clear();
        let wire = line.stage.transport();
        wire.happened.push_back(Event::Closed(libc::ECONNRESET));
        wire.sent.clear();
    }

    /// One random step.
    pub(crate) fn step(&mut self) {
        self.now_ns += match self.random.u8(0..40) {
            0 => self.random.u64(0..6_000 * MS),
            1..8 => self.random.u64(0..20 * MS),
            _ => self.random.u64(0..50_000),
        };
        // A gateway that waits before it connects again does so for up to five seconds.
        let is_open = |line: &mut Line| line.stage.entry().phase() == Phase::Open;
        if !self.lines.iter_mut().all(is_open) {
            self.now_ns += 100 * MS;
        }
        match self.random.u8(0..60) {
            0 => {
                let at = self.random.usize(0..2);
                self.cut(at);
            }
            1 if self.random.u8(0..4) == 0 => self.start(),
            2 => {
                let (feed, is_stale) = (self.random.usize(0..2), self.random.u8(0..4) == 0);
                self.set_stale(feed, is_stale);
            }
            3 if self.random.u8(0..4) == 0 => self.kill.engage(KillCause::Operator),
            4 => self.kill.release(),
            5 => {
                let at = self.random.usize(0..2);
                self.lines[at].stage.transport().window = self.random.usize(0..200);
            }
            6 => {
                for line in &mut self.lines {
                    line.stage.transport().window = usize::MAX;
                }
            }
            7 => {
                let number = self.random.u64(1..200);
                self.exchange.break_trade(number);
            }
            _ => self.tick(b'A', true),
        }
        self.turn();
        for at in 0..2 {
            let limit = self.random.usize(0..400);
            self.pump(at, limit);
        }
        self.turn();
    }

    /// The network heals, markets are fresh, nobody does anything new: until both ends have heard everything.
    pub(crate) fn calm_down(&mut self) {
        self.kill.release();
        for feed in 0..2 {
            self.set_stale(feed, false);
        }
        for line in &mut self.lines {
            line.stage.transport().window = usize::MAX;
        }
        // What the exchange ignored is only known to be lost once a new connection has asked.
        for at in 0..2 {
            self.cut(at);
        }
        for tick in 0..1200 {
            if tick == 400 {
                self.refused_before = self.refused();
            }
            self.now_ns += 20 * MS;
            self.tick(CALM, false);
            self.turn();
            for at in 0..2 {
                self.pump(at, usize::MAX);
            }
            self.turn();
        }
        for _ in 0..40 {
            self.now_ns += 20 * MS;
            for at in 0..2 {
                self.pump(at, usize::MAX);
            }
            self.turn();
        }
    }

    /// What the quoter's session refused, or the exchange rejected or took off: it rests after each.
    fn refused(&mut self) -> u64 {
        let (_, session) = STRATEGIES[QUOTER];
        let counters = self.lines[session].stage.entry().counters();
        // Changes that cross with a fill or with one another keep nobody from quoting.
        let refused = &counters.refusals;
        let crossed = refused.refused_not_live.get() + refused.refused_change_pending.get();
        let rejected = counters.rejected.get() + counters.replaces_rejected.get();
        counters.refused.get() - crossed + rejected + counters.canceled.get()
    }

    /// What a session believes is what the exchange had told up to the message that it has read.
    fn compare(&mut self, at: usize) {
        let seed = self.seed;
        let Self {
            lines, exchange, ..
        } = self;
        let line = &mut lines[at];
        let account = exchange.account(ACCOUNTS[at]).expect("configured");
        let entry = line.stage.entry();
        let heard = entry.next_seq().0 - 1;
        while line.record.read < heard {
            let index = usize::try_from(line.record.read).expect("few");
            line.record
                .read(exchange.message(account, index).expect("stored"));
        }
        let live = entry.live_orders();
        let believed = live.iter().filter(|order| order.is_accepted);
        let believed =
            believed.map(|order| (order.user_ref, order.symbol, order.side, order.open.0));
        let told = line.record.live.iter().map(|(number, told)| {
            let side = if told.is_buy { Side::Buy } else { Side::Sell };
            (*number, told.symbol, side, told.open)
        });
        let (believed, told): (Vec<_>, Vec<_>) = (believed.collect(), told.collect());
        assert_eq!(believed, told, "seed {seed}: live orders of session {at}");
        assert_eq!(entry.open_orders() as usize, live.len(), "seed {seed}");
        for name in ["ALC", "BOB", "CAT"].map(symbol) {
            let exposure = entry.exposure(name);
            let position = line.record.positions.get(&name).copied().unwrap_or(0);
            assert_eq!(exposure.position, position, "seed {seed}: {name:?}");
            let reserved = |side| -> u64 {
                let of_it = live
                    .iter()
                    .filter(|it| it.symbol == name && it.side == side);
                of_it
                    .map(|it| u64::from(it.reserved.0.max(it.open.0)))
                    .sum()
            };
            let open = (exposure.open_buy, exposure.open_sell);
            let expected = (reserved(Side::Buy), reserved(Side::Sell));
            assert_eq!(open, expected, "seed {seed}: exposure in {name:?}");
        }
        while let Some(notice) = line.notices.pop() {
            assert!(
                matches!(
                    notice,
                    Notice::SessionOpen | Notice::Disconnected(..) | Notice::SessionEnded(_)
                ),
                "seed {seed}: {notice}"
            );
        }
    }

    /// Both ends, and every strategy, believe the same.
    pub(crate) fn all_believe_the_same(&mut self) {
        let seed = self.seed;
        for (line, name) in self.lines.iter_mut().zip(ACCOUNTS) {
            let account = self.exchange.account(name).expect("configured");
            let entry = line.stage.entry();
            assert_eq!(entry.phase(), Phase::Open, "seed {seed}");
            let live = entry.live_orders();
            let believed: Vec<_> = live.iter().map(|it| (it.user_ref, it.open)).collect();
            assert_eq!(believed, self.exchange.open_orders(account), "seed {seed}");
            assert_eq!(
                entry.next_seq().0 as usize - 1,
                self.exchange.stored(account),
                "seed {seed}: everything was heard"
            );
        }
        for (trader, (_, session)) in STRATEGIES.into_iter().enumerate() {
            if trader == QUOTER {
                continue;
            }
            let believed = belief(trader);
            assert!(believed.unanswered.is_empty(), "seed {seed}: {believed:?}");
            let of_session = STRATEGIES.iter().take(trader).filter(|it| it.1 == session);
            let owner = Owner(u8::try_from(of_session.count()).expect("few"));
            let live = self.lines[session].stage.entry().live_orders();
            let mut live: Vec<_> = live
                .iter()
                .filter_map(|it| {
                    it.desk
                        .filter(|desk| desk.0 == owner)
                        .map(|desk| (desk.1, it.open))
                })
                .collect();
            live.sort_unstable();
            let believed: Vec<_> = believed.live.iter().map(|(id, it)| (*id, it.2)).collect();
            assert_eq!(believed, live, "seed {seed}: trader {trader}");
        }
    }

    /// On a fresh market the quoter has at most one bid and one ask for each symbol. Where nobody refused it
    /// anything for longer than it rests after a refusal, it has both, and where they belong.
    pub(crate) fn quotes_stand_where_they_belong(&mut self) -> bool {
        let seed = self.seed;
        let is_free = self.refused() == self.refused_before;
        let (feed, session) = STRATEGIES[QUOTER];
        let entry = self.lines[session].stage.entry();
        let live = entry.live_orders();
        let is_its = |desk: Option<(Owner, _)>| desk.is_some_and(|it| it.0 == Owner(1));
        for (at, name) in SYMBOLS[feed].into_iter().enumerate() {
            let middle = self.bids[feed][at] + 50;
            for side in [Side::Buy, Side::Sell] {
                let quotes: Vec<_> = live
                    .iter()
                    .filter(|it| is_its(it.desk) && it.symbol == symbol(name) && it.side == side)
                    .collect();
                assert!(quotes.len() <= 1, "seed {seed}: {quotes:?}");
                if is_free {
                    let quote = quotes
                        .first()
                        .unwrap_or_else(|| panic!("seed {seed}: no {side:?}"));
                    let off = quote.price.0.abs_diff(middle);
                    assert!(
                        off.abs_diff(HALF_SPREAD) < 2 * REQUOTE_AT,
                        "seed {seed}: {quote:?} for a middle of {middle}"
                    );
                }
            }
        }
        is_free
    }

    /// Nothing of the quoter stands once its feed has a gap.
    pub(crate) fn gap_withdraws_quotes(&mut self) {
        let (feed, session) = STRATEGIES[QUOTER];
        self.set_stale(feed, true);
        for _ in 0..60 {
            self.now_ns += 20 * MS;
            self.turn();
            self.pump(session, usize::MAX);
            self.tick(CALM, false);
        }
        let live = self.lines[session].stage.entry().live_orders();
        let left = live
            .iter()
            .find(|it| it.desk.is_some_and(|desk| desk.0 == Owner(1)));
        assert_eq!(left, None, "seed {}", self.seed);
    }
}
