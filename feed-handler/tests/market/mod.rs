//! The whole feed handler between scripted lines and strategies, with everything it says checked.
//!
//! A second arbiter takes the same packets and says what is delivered (the arbiter itself is judged by
//! `arbiter_days`); a naive book takes what is delivered; each strategy checks what it hears against
//! both. Checked after each turn:
//!
//! - events come in order, each as the naive book has it; what lies between two of them is exactly what
//!   the lags, gaps and ends that were heard in between say;
//! - the table of best prices is the naive book's; what it says of trading and of the last trade is what was said last;
//! - a strategy's own books are, order by order, what the naive ones were at the event, or are hidden: after a loss, and
//!   where the table says that the symbol is stale;
//! - the feed says that it is stale whenever something is missing or over, or all lines are silent.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

mod naive;
#[path = "../script/mod.rs"]
mod script;
mod trading;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use feed_handler::arbiter::{Arbiter, ArbiterCounters, Arrival, Patience, Standing, StreamSink};
use feed_handler::best_prices::{BestPrice, BestPrices};
use feed_handler::book::{Books, Level, Limits};
use feed_handler::depth::LEVELS_MAX;
use feed_handler::event::{FLAG_STALE, FLAG_TRADE, Kind, MarketEvent};
use feed_handler::feed::{Counters, Feed, FeedHistograms, Parts};
use feed_handler::own_books::OwnBooks;
use feed_handler::position::Position;
use feed_handler::publish::{Listener as Ring, Publisher, Subscription, Way};
use feed_handler::venue::Nasdaq;
use naive::{NaiveBooks, Queue};
use protocol::itch::Message;
use protocol::mold::{PacketBuilder, Session};
use protocol::types::{DecodeError, OrderRef, Price4, Seq, Side, Symbol};
use rt::clock::Clock;
use rt::mem::Want;
pub(crate) use script::Arrivals;
use script::Script;
use trading::NaiveTrading;

pub(crate) const STALE_NS: u64 = 10_000;
pub(crate) const LINES: u8 = 2;
/// What is lost is told seven pieces at a time, and the whole table is looked through in 128 calls each.
const TURNS_TO_THE_END: u32 = 1_200;

/// Levels of a side that the feed's table shows.
const DEPTH: usize = 3;

/// One message that was delivered.
pub(crate) struct Delivered {
    pub(crate) session: Session,
    pub(crate) seq: u64,
    pub(crate) bytes: Vec<u8>,
}

/// What the second arbiter said.
enum Said {
    Session,
    Message(u64, Vec<u8>),
    Gap(u64, u64),
    End(u64),
}

#[derive(Default)]
struct Record(Vec<Said>);

impl StreamSink for Record {
    fn on_session(&mut self, _: Seq, _: bool) {
        self.0.push(Said::Session);
    }
    fn on_message(&mut self, seq: Seq, message: &[u8]) {
        self.0.push(Said::Message(seq.0, message.to_vec()));
    }
    fn on_gap(&mut self, first: Seq, count: u64) {
        self.0.push(Said::Gap(first.0, count));
    }
    fn on_end_of_session(&mut self, next: Seq) {
        self.0.push(Said::End(next.0));
    }
}

/// What a strategy has to hear, or to hear that it missed.
#[derive(Debug)]
enum Due {
    Message {
        seen_ns: u64,
        event: Expected,
        book: Rc<[Vec<Queue>; 2]>,
    },
    Gap(u64, u64),
    End(u64),
}

/// Orders that the own books of each strategy hold; those of one are too small.
const OWN_ORDERS: [u32; 6] = [1 << 9, 1 << 9, 1 << 9, 1 << 9, 8, 1 << 9];

#[derive(Debug, PartialEq, Eq)]
struct Expected {
    seq: u64,
    kind: Kind,
    locate: u16,
    best: BestPrice,
    must_be_stale: bool,
}

/// Sums of what was heard, or skipped, since the last message.
#[derive(Debug, Default, PartialEq, Eq)]
struct Between {
    messages: u64,
    gap_first: Option<u64>,
    gap: u64,
    end: Option<u64>,
}

/// How a strategy listens.
pub(crate) struct Hearer {
    pub(crate) way: Way,
    /// Events that its own ring holds.
    pub(crate) room: usize,
    /// It hears some symbols only.
    pub(crate) is_narrow: bool,
}

/// When an event was seen, its number, and whether it is the first of a replace.
type At = (u64, u64, bool);

/// What a strategy holds.
struct Heard {
    events: Ring,
    own: OwnBooks,
    has_room: bool,
}

struct Listener {
    events: Ring,
    prices: Arc<BestPrices>,
    /// Sessions that it heard the end of.
    ended: u64,
    /// Each message bears the code of the symbol that it changes.
    trusts_codes: bool,
    way: Way,
    symbols: Option<Vec<Symbol>>,
    wanted: BTreeSet<u16>,
    due: VecDeque<Due>,
    heard: Between,
    last: Option<At>,
    believes_stale: bool,
    messages: u64,
    own: OwnBooks,
    /// What its own books may hold is more than any day brings.
    has_room: bool,
    /// It missed something of this session.
    has_lost: bool,
    /// The number with which its last session ended, until another begins.
    end_seq: Option<u64>,
    /// After an end it heard what may be of either session.
    has_doubt: bool,
    /// Of these symbols it had not heard every order when it was told that it hears them: they were named too late.
    named_late: BTreeSet<u16>,
    /// Own books that were compared with what they have to be.
    compared: u64,
    /// Best prices of each symbol, as it was told.
    believes: BTreeMap<u16, BestPrice>,
    /// Since the last message it was told that it lagged.
    has_lagged: bool,
    lags: u64,
    refreshed: u64,
    sums: u64,
}

/// Feed, second arbiter, naive book and strategies.
pub(crate) struct Market {
    feed: Feed<Script, Nasdaq>,
    arrivals: Rc<RefCell<Arrivals>>,
    clock: Clock,
    pub(crate) counters: Arc<Counters>,
    best_prices: Arc<BestPrices>,
    listeners: Vec<Listener>,
    second: Arbiter<Nasdaq>,
    second_counters: ArbiterCounters,
    books: NaiveBooks,
    trading: NaiveTrading,
    touched: BTreeSet<u16>,
    symbols: BTreeMap<u16, Symbol>,
    pub(crate) delivered: Vec<Delivered>,
    pub(crate) session: Option<Session>,
    pub(crate) is_missing: bool,
    pub(crate) has_ended: bool,
    heard_ns: [u64; LINES as usize],
    /// What listeners were told of losses, at the end.
    pub(crate) lags: u64,
    pub(crate) refreshed: u64,
    pub(crate) sums: u64,
    /// Own books that were compared.
    pub(crate) compared: u64,
}

impl Market {
    /// Two lines; a strategy for each hearer, the narrow ones hear only these symbols. `shared_room`: events that
    /// the shared ring keeps.
    pub(crate) fn new(
        gap_timeout_ns: u64,
        hearers: &[Hearer],
        shared_room: usize,
        symbols: &[Symbol],
    ) -> Self {
        let limits = Limits {
            orders_max: 1 << 12,
            levels_max: 1 << 12,
        };
        let best_prices = BestPrices::new(Want::LAZY).unwrap();
        let best_prices = Arc::new(best_prices.with_depth(DEPTH, Want::LAZY).unwrap());
        let mut publisher = Publisher::new(Arc::clone(&best_prices), shared_room);
        publisher.tell_leaves();
        let mut listeners = Vec::new();
        for (hearer, orders_max) in hearers.iter().zip(OWN_ORDERS) {
            let symbols = hearer.is_narrow.then(|| symbols.to_vec());
            let subscription = symbols
                .clone()
                .map_or(Subscription::All, Subscription::Symbols);
            let prices = Arc::clone(&best_prices);
            let own = OwnBooks::new(orders_max, prices, &subscription, Want::LAZY).unwrap();
            let events = publisher
                .listen(subscription, hearer.way, hearer.room)
                .unwrap();
            let heard = Heard {
                events,
                own,
                has_room: orders_max > 8,
            };
            listeners.push(Listener::new(hearer.way, symbols, heard, &best_prices));
        }
        let counters = Arc::new(Counters::default());
        let source = Script::default();
        let arrivals = Rc::clone(&source.0);
        let feed = Feed::new(Parts {
            source,
            venue: Nasdaq,
            arbiter: Arbiter::new(Patience {
                gap_timeout_ns,
                stale_ns: STALE_NS,
            }),
            books: Books::new(&limits, Want::LAZY).unwrap(),
            publisher,
            counters: Arc::clone(&counters),
            histograms: FeedHistograms::default(),
            feed: 0,
            lines: usize::from(LINES),
            stale_ns: STALE_NS,
        });
        Self {
            feed,
            arrivals,
            clock: Clock::manual(1),
            counters,
            best_prices,
            listeners,
            second: Arbiter::new(Patience {
                gap_timeout_ns,
                stale_ns: STALE_NS,
            }),
            second_counters: ArbiterCounters::default(),
            books: NaiveBooks::default(),
            trading: NaiveTrading::default(),
            touched: BTreeSet::new(),
            symbols: BTreeMap::new(),
            delivered: Vec::new(),
            session: None,
            is_missing: false,
            has_ended: false,
            heard_ns: [1; LINES as usize],
            lags: 0,
            refreshed: 0,
            sums: 0,
            compared: 0,
        }
    }

    /// Each message bears the code of the symbol that it changes, so strategies know all symbols that they hear.
    pub(crate) fn trust_codes(&mut self) {
        self.listeners
            .iter_mut()
            .for_each(|l| l.trusts_codes = true);
    }

    pub(crate) fn now_ns(&self) -> u64 {
        self.clock.now_ns()
    }

    pub(crate) fn next_seq(&self) -> u64 {
        self.second.next_seq().0
    }

    pub(crate) fn is_stale(&self) -> bool {
        self.best_prices.feed_is_stale()
    }

    /// One turn, `later_ns` after the last one. `appetites`: how many events each strategy takes.
    pub(crate) fn turn(&mut self, later_ns: u64, arriving: Arrivals, appetites: &[usize]) {
        // Each turn has a time of its own: with the number it names an event.
        let now_ns = self.clock.now_ns() + later_ns.max(1);
        self.clock.set_ns(now_ns);
        let mut record = Record::default();
        for (line, payload) in &arriving {
            let arrival = Arrival {
                payload,
                line: *line,
                now_ns,
            };
            let standing = self
                .second
                .on_packet(&arrival, &self.second_counters, &mut record)
                .standing;
            if standing != Standing::Strange {
                self.heard_ns[usize::from(*line)] = now_ns;
            }
            if record.0.iter().any(|said| matches!(said, Said::Session)) {
                self.session = payload.first_chunk().copied();
            }
            for said in std::mem::take(&mut record.0) {
                self.on_said(said);
            }
        }
        self.second
            .on_timeout(now_ns, &self.second_counters, &mut record);
        for said in std::mem::take(&mut record.0) {
            self.on_said(said);
        }
        *self.arrivals.borrow_mut() = arriving;
        self.feed.poll(&self.clock);
        for (listener, appetite) in self.listeners.iter_mut().zip(appetites) {
            let mut left = *appetite;
            while left > 0
                && let Some(event) = listener.events.hear()
            {
                left -= 1;
                listener.hear(&event);
            }
        }
        self.check();
    }

    /// Quiet turns, `ns` after the last one: one in 16 looks at the clock.
    pub(crate) fn wait(&mut self, ns: u64, appetites: &[usize]) {
        for turn in 0..16 {
            self.turn(if turn == 0 { ns } else { 1 }, Vec::new(), appetites);
        }
        let is_silent = self
            .heard_ns
            .iter()
            .all(|at| at + STALE_NS <= self.now_ns() - 16);
        assert!(!is_silent || self.is_stale(), "silence is not told");
    }

    /// Everybody takes everything: what was lost is told by then. Both lines say how far they are, and
    /// the feed must be fresh if nothing is missing.
    pub(crate) fn finish(&mut self) {
        let appetites = vec![usize::MAX; self.listeners.len()];
        for _ in 0..TURNS_TO_THE_END {
            self.turn(1, Vec::new(), &appetites);
        }
        for listener in &self.listeners {
            assert!(listener.believes_stale || !(self.is_missing || self.has_ended));
            assert!(!listener.believes_stale || self.is_stale());
        }
        if let Some(session) = self.session {
            self.wait(1_000_000_000, &appetites);
            let next = self.next_seq();
            let arriving = (0..LINES).map(|line| (line, heartbeat(session, next)));
            let arriving = arriving.collect();
            self.turn(1, arriving, &appetites);
        }
        for _ in 0..TURNS_TO_THE_END {
            self.turn(1, Vec::new(), &appetites);
        }
        let is_whole = self.session.is_some() && !self.is_missing && !self.has_ended;
        assert_eq!(
            self.is_stale(),
            !is_whole,
            "stale, although whole, or the reverse"
        );
        for listener in &mut self.listeners {
            listener.finish();
            self.lags += listener.lags;
            self.refreshed += listener.refreshed;
            self.sums += listener.sums;
            self.compared += listener.compared;
            // Before the first session nothing need have been said.
            assert!(self.session.is_none() || listener.believes_stale != is_whole);
        }
        let [ours, theirs] = [&self.second_counters, &self.counters.arbiter];
        assert_eq!(ours.list(), theirs.list(), "two arbiters, one story");
    }

    fn on_said(&mut self, said: Said) {
        match said {
            Said::Session => {
                self.books = NaiveBooks::default();
                self.trading = NaiveTrading::default();
                self.touched.extend(self.symbols.keys());
                self.symbols.clear();
                (self.is_missing, self.has_ended) = (false, false);
                self.listeners.iter_mut().for_each(|l| l.wanted.clear());
            }
            Said::Gap(first, count) => {
                self.is_missing = true;
                self.due(|| Due::Gap(first, count));
            }
            Said::End(next) => {
                self.has_ended = true;
                self.listeners.iter_mut().for_each(|l| l.wanted.clear());
                self.due(|| Due::End(next));
            }
            Said::Message(seq, bytes) => {
                self.on_message(seq, &bytes);
                self.delivered.push(Delivered {
                    session: self.session.unwrap_or_default(),
                    seq,
                    bytes,
                });
            }
        }
    }

    fn due(&mut self, due: impl Fn() -> Due) {
        self.listeners
            .iter_mut()
            .for_each(|l| l.due.push_back(due()));
    }

    fn on_message(&mut self, seq: u64, bytes: &[u8]) {
        let message = match Message::decode(bytes) {
            Ok(message) => message,
            Err(DecodeError::WrongLength { .. }) => return self.on_said(Said::Gap(seq, 1)),
            Err(_) => return,
        };
        let locate = message.head().locate.get();
        if let Message::StockDirectory(m) = message {
            self.symbols.insert(locate, m.stock);
            for listener in &mut self.listeners {
                if listener
                    .symbols
                    .as_ref()
                    .is_some_and(|s| s.contains(&m.stock))
                {
                    listener.wanted.insert(locate);
                }
            }
        }
        self.touched.insert(locate);
        self.touched
            .extend(self.trading.apply(&message, &self.books));
        self.touched.extend(self.books.apply(&message));
        let kind = kind_of(&message);
        let leave = (kind == Kind::Replace).then_some(Kind::Leave);
        let seen_ns = self.clock.now_ns();
        let book = Rc::new([Side::Buy, Side::Sell].map(|side| self.books.queues(locate, side)));
        for listener in &mut self.listeners {
            if listener.symbols.is_none() || locate == 0 || listener.wanted.contains(&locate) {
                for kind in leave.into_iter().chain([kind]) {
                    let event = Expected {
                        seq,
                        kind,
                        locate,
                        best: self.books.best(locate),
                        must_be_stale: self.is_missing || self.has_ended,
                    };
                    let book = Rc::clone(&book);
                    let due = Due::Message {
                        seen_ns,
                        event,
                        book,
                    };
                    listener.due.push_back(due);
                }
            }
        }
    }

    fn check(&mut self) {
        for locate in std::mem::take(&mut self.touched) {
            let (table, naive) = (self.best_prices.load(locate), self.books.best(locate));
            assert_eq!(table, Some(naive), "best prices of {locate}");
            self.trading.check(locate, &self.best_prices);
            // A name of zeros is none.
            let name = self.symbols.get(&locate).copied();
            let name = name.filter(|it| it.0 != [0; 8]);
            assert_eq!(self.best_prices.symbol(locate), name);
            let hears = |it: &Listener| it.symbols.is_none() || it.wanted.contains(&locate);
            // Levels of what contradicted itself may be anything: its symbol is stale.
            if self.listeners.iter().any(hears) && !self.best_prices.is_stale(locate) {
                let depth = self.best_prices.depths().unwrap().load(locate).unwrap();
                for (side, levels) in [(Side::Buy, depth.bids), (Side::Sell, depth.asks)] {
                    let naive = self.books.levels(locate, side);
                    assert_eq!(levels[..DEPTH], naive, "{side:?} of {locate}");
                    assert_eq!(levels[DEPTH..], [Level::default(); LEVELS_MAX - DEPTH]);
                }
            }
        }
        let must_be = self.session.is_none() || self.is_missing || self.has_ended;
        assert!(
            !must_be || self.is_stale(),
            "incomplete, and does not say so"
        );
    }
}

/// What strategies shall be told of an ITCH message; where a letter says how something is traded, and there is no such letter,
/// that it came.
fn kind_of(message: &Message<'_>) -> Kind {
    let is_known = match message {
        Message::StockTradingAction(m) => b"HPQT".contains(&m.state),
        Message::RegSho(m) => b"012".contains(&m.action),
        Message::OperationalHalt(m) => b"QBX".contains(&m.market) && b"HT".contains(&m.action),
        Message::IpoQuotingPeriod(m) => b"AC".contains(&m.qualifier),
        Message::MwcbStatus(m) => b"123".contains(&m.breached_level),
        Message::SystemEvent(m) => b"OSQMEC".contains(&m.event),
        _ => true,
    };
    match message.head().kind {
        _ if !is_known => Kind::Other,
        b'A' | b'F' => Kind::Add,
        b'E' | b'C' => Kind::Execute,
        b'X' => Kind::Cancel,
        b'D' => Kind::Delete,
        b'U' => Kind::Replace,
        b'P' => Kind::Trade,
        b'Q' => Kind::Cross,
        b'B' => Kind::Break,
        b'R' => Kind::Directory,
        b'H' => Kind::Status,
        b'h' => Kind::OperationalHalt,
        b'Y' => Kind::ShortSale,
        b'J' => Kind::Collar,
        b'K' => Kind::Release,
        b'I' => Kind::Imbalance,
        b'V' => Kind::BreakerLevels,
        b'W' => Kind::Breach,
        b'S' => Kind::System,
        _ => Kind::Other,
    }
}

impl Listener {
    fn new(way: Way, symbols: Option<Vec<Symbol>>, heard: Heard, prices: &Arc<BestPrices>) -> Self {
        let Heard {
            events,
            own,
            has_room,
        } = heard;
        Self {
            events,
            prices: Arc::clone(prices),
            ended: 0,
            trusts_codes: false,
            way,
            symbols,
            wanted: BTreeSet::new(),
            due: VecDeque::new(),
            heard: Between::default(),
            last: None,
            believes_stale: false,
            messages: 0,
            own,
            has_room,
            has_lost: false,
            end_seq: None,
            has_doubt: false,
            named_late: BTreeSet::new(),
            compared: 0,
            believes: BTreeMap::new(),
            has_lagged: false,
            lags: 0,
            refreshed: 0,
            sums: 0,
        }
    }

    fn hear(&mut self, event: &MarketEvent) {
        self.own.on_event(event);
        self.has_lost |= matches!(event.kind, Kind::Lagged | Kind::Gap);
        match event.kind {
            Kind::Lagged => {
                self.heard.messages += event.number;
                self.has_lagged = true;
                self.lags += 1;
            }
            Kind::Refresh => self.hear_refresh(event),
            Kind::Gap => {
                self.heard.gap_first.get_or_insert(event.origin.seq);
                self.heard.gap += event.number;
                self.believes_stale = true;
            }
            Kind::EndOfSession => {
                self.heard.end = Some(event.origin.seq);
                self.ended = event.number;
                self.last = None;
                (self.has_lost, self.has_doubt) = (false, false);
                self.named_late.clear();
                self.end_seq = Some(event.origin.seq);
                self.believes.clear();
                self.believes_stale = true;
            }
            Kind::Stale => self.believes_stale = true,
            Kind::Fresh => {
                self.believes_stale = false;
                self.end_seq = None;
            }
            _ => self.hear_message(event),
        }
    }

    /// How a symbol stands: as it did after a message that this strategy missed, and no later one of the symbol
    /// was missed.
    fn hear_refresh(&mut self, event: &MarketEvent) {
        assert!(self.has_lagged, "{event:?} without a lag");
        // The last of that number: an earlier session may have had it, too.
        let at = self.due.iter().rev().find_map(|due| match due {
            Due::Message { event: due, .. }
                if (due.seq, due.locate) == (event.origin.seq, event.locate) =>
            {
                Some(due.best)
            }
            _ => None,
        });
        assert!(
            at.is_none_or(|best| best == event.best()),
            "{event:?}: {at:?}"
        );
        self.believes.insert(event.locate, event.best());
        self.refreshed += 1;
    }

    fn hear_message(&mut self, event: &MarketEvent) {
        if self.end_seq.is_some_and(|end| event.origin.seq < end) {
            self.end_seq = None;
        }
        self.has_doubt |= self.end_seq.is_some();
        let is_first = event.kind == Kind::Leave;
        let at = (event.origin.seen_ns, event.origin.seq, !is_first);
        let Some(due) = self.skip_to(Some(at)) else {
            panic!("{event:?}: nobody sent it");
        };
        let Due::Message {
            event: due, book, ..
        } = due
        else {
            return;
        };
        let heard = Expected {
            seq: event.origin.seq,
            kind: event.kind,
            locate: event.locate,
            best: BestPrice {
                bid_price: event.bid_price,
                bid_qty: event.bid_qty,
                ask_price: event.ask_price,
                ask_qty: event.ask_qty,
            },
            must_be_stale: due.must_be_stale && event.has(FLAG_STALE),
        };
        assert_eq!(heard, due);
        assert!(!event.has(FLAG_TRADE) || event.price > Price4(0));
        if !is_first {
            self.compare_own(event, &book);
        }
        let last = self.last;
        assert!(last.is_none_or(|last| last < at), "{at:?} after {last:?}");
        self.last = Some(at);
        self.messages += 1;
        self.has_lagged = false;
        self.believes.insert(event.locate, event.best());
    }

    /// Its own book of a symbol is what the naive one was at this event, or is hidden. It is not hidden where nothing
    /// was lost and nothing contradicts itself.
    fn compare_own(&mut self, event: &MarketEvent, book: &[Vec<Queue>; 2]) {
        let locate = event.locate;
        let is_complete = self.own.is_complete(locate);
        assert!(!(is_complete && self.has_lost), "a loss hides every book");
        if locate == 0 || self.ended != self.prices_ended() {
            return;
        }
        let has_orders = book.iter().any(|side| !side.is_empty());
        if event.kind == Kind::Directory && self.symbols.is_some() && has_orders {
            self.named_late.insert(locate);
        }
        let is_stale = event.has(FLAG_STALE) || self.prices.is_stale(locate);
        let is_doubtful = self.has_lost || self.has_doubt || self.named_late.contains(&locate);
        let must_be = !is_doubtful && self.has_room && !is_stale;
        assert!(is_complete || !must_be, "{locate} is hidden");
        if !is_complete {
            return;
        }
        self.compared += 1;
        for (side, queues) in [Side::Buy, Side::Sell].into_iter().zip(book) {
            let levels: Vec<Level> = self.own.depth(locate, side).unwrap().collect();
            let prices: Vec<u32> = levels.iter().map(|level| level.price.0).collect();
            let expected: Vec<u32> = queues.iter().map(|(price, _)| *price).collect();
            assert_eq!(prices, expected, "{side:?} of {locate}");
            for (level, (price, queue)) in levels.iter().zip(queues) {
                let found = self.own.queue(locate, side, Price4(*price)).unwrap();
                let found: Vec<_> = found.map(|(it, shares)| (it.0, shares)).collect();
                assert_eq!(found, *queue, "{side:?} of {locate} at {price}");
                let mut ahead = 0;
                for (reference, shares) in queue {
                    let place = self.own.place(OrderRef(*reference), u32::MAX).unwrap();
                    assert_eq!((place.ahead.shares, place.level), (ahead, *level));
                    ahead += u64::from(*shares);
                }
            }
        }
    }

    /// Sessions of which the table has seen the end: it may be further than the events.
    fn prices_ended(&self) -> u64 {
        let rows = (1..5).filter_map(|locate| self.prices.load_row(locate));
        rows.map(|row| row.changed.ended()).max().unwrap_or(0)
    }

    /// Goes on to a message (or to the end): what lies before it must be what was heard of.
    fn skip_to(&mut self, message: Option<At>) -> Option<Due> {
        let mut skipped = Between::default();
        let mut lost = BTreeMap::new();
        let found = loop {
            match self.due.pop_front() {
                Some(Due::Message {
                    seen_ns,
                    event,
                    book,
                }) => {
                    if message == Some((seen_ns, event.seq, event.kind != Kind::Leave)) {
                        break Some(Due::Message {
                            seen_ns,
                            event,
                            book,
                        });
                    }
                    skipped.messages += 1;
                    lost.insert(event.locate, event);
                }
                Some(Due::Gap(first, count)) => {
                    skipped.gap_first.get_or_insert(first);
                    skipped.gap += count;
                }
                Some(Due::End(next)) => {
                    skipped.end = Some(next);
                    lost.clear();
                }
                None => break None,
            }
        };
        self.check_beliefs(&lost, found.as_ref());
        let mut heard = std::mem::take(&mut self.heard);
        if self.way == Way::Shared && self.symbols.is_some() {
            // It is told of every event that it missed, whether or not it would have wanted it.
            assert!(heard.messages >= skipped.messages);
            heard.messages = skipped.messages;
        }
        if self.way == Way::Shared && heard.gap_first < skipped.gap_first {
            // So many gaps that only their sum is left.
            assert!(heard.gap_first.is_some(), "{skipped:?}");
            heard.gap_first = skipped.gap_first;
            self.sums += 1;
        }
        assert_eq!(heard, skipped, "heard, and what was to be heard");
        found
    }

    /// What it believes of each symbol of which it lost a message is what the last of them left, unless the
    /// message that it hears now says so anew.
    fn check_beliefs(&self, lost: &BTreeMap<u16, Expected>, found: Option<&Due>) {
        for (locate, event) in lost.iter().filter(|_| self.trusts_codes) {
            let is_told_now =
                matches!(found, Some(Due::Message { event, .. }) if event.locate == *locate);
            let believed = self.believes.get(locate).copied().unwrap_or_default();
            let is_known = believed == event.best || self.is_told_later(*locate, event.seq);
            assert!(
                is_told_now || is_known,
                "{locate}: believes {believed:?}, was {event:?}, is {:?} ({} ended)",
                self.prices.load_row(*locate),
                self.ended
            );
        }
    }

    /// The table was further than the events: what moved it there follows, or the end of the session.
    fn is_told_later(&self, locate: u16, seq: u64) -> bool {
        let row = self.prices.load_row(locate).unwrap();
        let is_its =
            |due: &Due| matches!(due, Due::Message { event, .. } if event.locate == locate);
        let is_over = row.changed.ended() > self.ended;
        row.changed > Position::new(self.ended, seq) && (is_over || self.due.iter().any(is_its))
    }

    fn finish(&mut self) {
        let rest = self.skip_to(None);
        assert!(rest.is_none());
    }
}

/// A heartbeat.
pub(crate) fn heartbeat(session: Session, next: u64) -> Vec<u8> {
    packet(session, next, &[])
}

/// A packet with these messages; without any it is a heartbeat.
pub(crate) fn packet(session: Session, seq: u64, messages: &[Vec<u8>]) -> Vec<u8> {
    let mut buffer = [0; 1400];
    let mut builder = PacketBuilder::new(&mut buffer, session, Seq(seq)).unwrap();
    for message in messages {
        assert!(builder.push(message));
    }
    builder.finish().to_vec()
}

/// An end of session.
pub(crate) fn end(session: Session, next: u64) -> Vec<u8> {
    let mut buffer = [0; 20];
    let builder = PacketBuilder::new(&mut buffer, session, Seq(next)).unwrap();
    builder.finish_end_of_session().to_vec()
}
