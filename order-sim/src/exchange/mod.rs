//! The whole exchange without a socket: engine, accounts, feed, flow and the hours of the day.
//!
//! ```text
//!  client bytes ──> entry ─────────┐                   ┌─> outlet: accounts (answers in their stores)
//!  inlet: flow, record, late orders ┼─> engine ─events─>┤           feed (packets of lines A and B)
//!  timeline: hours, pauses, expiry ─┘                   └─> inlet: what became of its orders
//! ```
//!
//! **Call [`Exchange::advance`] up to now, then [`Exchange::on_message`]; then send what accounts and lines
//! have ([`Exchange::message`], [`Exchange::take_packet`]); come back at [`Exchange::next_due_ns`] or with
//! the next message.**
//!
//! Invariants:  everything that happens by itself happens in the order of its time, however late `advance`
//!              is called: the same seed, messages and times give the same bytes.
//! Time:        ns since midnight, from outside. It is kept here alone; what needs it is handed it.

mod accounts;
mod entry;
mod faults;
mod inlet;
mod outlet;
mod timeline;

use protocol::types::{Nanos, Seq, Symbol};

pub use entry::{EntryCounters, origin_seq};

use crate::account::{Accounts, OrderLimits, Phase};
use crate::day::Hours;
use crate::engine::{CrossKind, Engine, Event, Listing, State, TimeInForce};
use crate::fault::Faults;
use crate::feed::Notice;
use crate::feed::deep_plus::DeepPlusEncoder;
use crate::feed::encoder::FeedEncoder;
use crate::feed::publisher::{FeedCounters, Publisher};
use crate::feed::snapshot;
use crate::flow::agents::{self, Agents};
use crate::flow::recorded::{HistoryCounters, Recorded};
use crate::options::{Options, Venue};
use crate::script::Rule;
use inlet::Inlet;
use outlet::Outlet;

/// What symbols of the flow are worth at first, if nobody says: 100.00.
const PRICE_DEFAULT: u32 = 1_000_000;

/// The whole exchange.
#[derive(Debug)]
pub struct Exchange {
    engine: Engine,
    inlet: Inlet,
    outlet: Outlet,
    hours: Hours,
    rules: Vec<Rule>,
    fill_every: u64,
    order_limits: OrderLimits,
    counters: EntryCounters,
    /// Those of accounts and of the exchange; the lines' are with them.
    faults: Faults,
    /// The one time of all of it, ns since midnight: whoever needs it is handed it.
    now: Nanos,
}

impl Exchange {
    /// Opens for the day at `now_ns`: lists symbols, begins the feed.
    #[must_use]
    pub fn new(options: &Options, now_ns: u64) -> Self {
        let session = options.feed.as_ref().map_or("", |feed| &feed.session);
        Self::open(options, now_ns, session, None)
    }

    /// As [`Exchange::new`], with another name for the feed's session (a restarted exchange must not use one
    /// twice), and perhaps with a record as the market.
    #[must_use]
    pub fn open(
        options: &Options,
        now_ns: u64,
        feed_session: &str,
        recorded: Option<Recorded>,
    ) -> Self {
        let publisher = options.feed.as_ref().map(|feed| {
            let faults = Faults::new(&options.faults, options.fault_seed, now_ns);
            Publisher::new(feed, feed_session, faults, now_ns)
        });
        let iex = options
            .feed
            .as_ref()
            .filter(|feed| feed.venue == Venue::Iex);
        let mut exchange = Self {
            engine: Engine::new(options.limits),
            outlet: Outlet {
                accounts: Accounts::new(options),
                encoder: FeedEncoder::new(),
                deep_plus: iex.map(|feed| DeepPlusEncoder::new(feed.midnight_ns)),
                publisher,
                is_record: recorded.is_some(),
            },
            inlet: Inlet::new(recorded),
            hours: Hours::new(options.day, now_ns),
            rules: options.rules.clone(),
            fill_every: options.fill_every,
            order_limits: OrderLimits {
                has_ticks: !options.symbols.is_empty(),
                notional_max: options.notional_max,
            },
            counters: EntryCounters::default(),
            faults: Faults::new(&options.faults, options.fault_seed, now_ns),
            now: Nanos(now_ns),
        };
        exchange.begin(options);
        exchange
    }

    fn begin(&mut self, options: &Options) {
        self.publish(Notice::SystemEvent(b'O'));
        self.publish(Notice::DeclineLevels);
        for symbol in &options.symbols {
            self.list(&symbol.listing, symbol.is_short_restricted);
        }
        if let Some(flow) = options.flow {
            for index in 0..flow.symbols {
                if let Some(symbol) = agents::name(index)
                    && self.locate(symbol).is_none()
                {
                    let price = PRICE_DEFAULT / 10 + u32::from(index) % 97 * 30_000;
                    let listing = Listing {
                        symbol,
                        reference_price: price,
                        band_bps: 0,
                    };
                    self.list(&listing, false);
                }
            }
            let stocks: Vec<(u16, u32)> = (1..=self.engine.listed())
                .filter_map(|locate| Some((locate, self.engine.bands(locate)?.1)))
                .collect();
            self.inlet.agents = Some(Agents::new(flow, &stocks, self.now.0));
        }
        self.publish(Notice::SystemEvent(b'S'));
        if self.hours.phase() == Phase::Market {
            self.publish(Notice::SystemEvent(b'Q'));
        }
        self.end_operation();
    }

    /// Lists a symbol; its locate code.
    fn list(&mut self, listing: &Listing, is_restricted: bool) -> Option<u16> {
        let locate = self.engine.list(listing)?;
        let is_before = self.hours.phase() == Phase::Before;
        let state = if is_before {
            State::Quoting
        } else {
            State::Trading
        };
        self.engine.set_state(locate, state, *b"    ", &mut |_| ());
        self.engine.restrict_short_sales(locate, is_restricted);
        if let Some(stock) = self.engine.status(locate) {
            self.publish(Notice::Listed(&stock));
        }
        Some(locate)
    }

    /// The locate code of a listed symbol.
    fn locate(&self, symbol: Symbol) -> Option<u16> {
        self.engine.locate(symbol)
    }

    /// The engine, and what tells all whom it concerns what the engine says now.
    fn engine_and_sink(&mut self) -> (&mut Engine, impl FnMut(Event)) {
        let Self {
            engine,
            inlet,
            outlet,
            now,
            ..
        } = self;
        let now = *now;
        let sink = move |event: Event| {
            inlet.on_event(&event);
            outlet.on_event(&event, now);
        };
        (engine, sink)
    }

    /// Publishes what no engine event causes: system events, the directory.
    fn publish(&mut self, notice: Notice<'_>) {
        self.outlet.publish(notice, self.now);
    }

    /// The exchange's time.
    #[must_use]
    pub fn now_ns(&self) -> u64 {
        self.now.0
    }

    /// Ends system hours: nothing rests, the feed's session is over, accounts hear of it.
    pub fn end_day(&mut self) {
        let (engine, mut sink) = self.engine_and_sink();
        engine.end_of(TimeInForce::System, &mut sink);
        drop(sink);
        self.publish(Notice::SystemEvent(b'E'));
        self.publish(Notice::SystemEvent(b'C'));
        let now_ns = self.now.0;
        if let Some(publisher) = &mut self.outlet.publisher {
            publisher.end_session(now_ns);
        }
        self.hours.end();
    }

    fn end_operation(&mut self) {
        if let Some(publisher) = &mut self.outlet.publisher {
            publisher.end_operation(self.now.0);
        }
    }

    /// The next packet of a line that is due.
    pub fn take_packet(&mut self, line: usize) -> Option<std::rc::Rc<[u8]>> {
        let now_ns = self.now.0;
        self.outlet.publisher.as_mut()?.take(line, now_ns)
    }

    /// The numbers of the messages in a packet of the feed, as far as it can be read.
    pub fn numbers_in(&self, packet: &[u8]) -> std::ops::Range<u64> {
        let publisher = self.outlet.publisher.as_ref();
        publisher.map_or(0..0, |publisher| publisher.numbers_in(packet))
    }

    /// Writes the book of now, message by message (GLIMPSE); the feed goes on with the number that its
    /// last message states.
    pub fn snapshot(&self, out: &mut impl FnMut(&[u8])) {
        let publisher = self.outlet.publisher.as_ref();
        let next = publisher.map_or(Seq(1), Publisher::next_seq);
        if let Some(publisher) = publisher {
            publisher.counters.snapshots.increment();
        }
        snapshot::write(&self.engine, self.outlet.encoder.at(self.now), next, out);
    }

    /// What the feed has counted, if there is one.
    #[must_use]
    pub fn feed_counters(&self) -> Option<&FeedCounters> {
        self.outlet
            .publisher
            .as_ref()
            .map(|publisher| &publisher.counters)
    }

    /// Where clients' orders would have changed history, if the market is a record.
    #[must_use]
    pub fn history_counters(&self) -> Option<&HistoryCounters> {
        self.inlet
            .recorded
            .as_ref()
            .map(|recorded| &recorded.counters)
    }

    /// What clients' messages came to.
    #[must_use]
    pub fn entry_counters(&self) -> &EntryCounters {
        &self.counters
    }

    /// The engine, to be looked at.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Ends what the market's agents do by themselves; their orders stand.
    pub fn end_flow(&mut self) {
        if let Some(agents) = &mut self.inlet.agents {
            agents.end();
        }
    }

    /// Whether the market's own flow has ended.
    #[must_use]
    pub fn is_flow_over(&self) -> bool {
        self.inlet.is_market_over()
    }

    /// Why the record ended before its end, if it did.
    #[must_use]
    pub fn record_failure(&self) -> Option<String> {
        let (message, error) = self.inlet.recorded.as_ref()?.failure()?;
        Some(format!("the day ends inside message {message}: {error}"))
    }

    /// Whether system hours are over.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.hours.phase() == Phase::Closed
    }

    /// Undoes a trade. `false`: it is unknown, too old, or undone already.
    pub fn break_trade(&mut self, match_number: u64) -> bool {
        let (engine, mut sink) = self.engine_and_sink();
        let is_known = engine.break_trade(match_number, b'S', &mut sink);
        drop(sink);
        self.end_operation();
        is_known
    }

    /// Halts a symbol, or lets it trade again by a cross. `false`: it is not listed.
    pub fn halt(&mut self, symbol: Symbol, is_halted: bool) -> bool {
        let Some(locate) = self.locate(symbol) else {
            return false;
        };
        let (engine, mut sink) = self.engine_and_sink();
        if is_halted {
            engine.set_state(locate, State::Halted, *b"T1  ", &mut sink);
        } else {
            engine.cross(locate, CrossKind::Halt, &mut sink);
        }
        drop(sink);
        self.end_operation();
        true
    }
}
