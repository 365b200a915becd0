//! The whole exchange without a socket: engine, accounts, feed, flow and the hours of the day.
//!
//! ```text
//!  client bytes ──> desk ──┐                      ┌──> desks: answers in the accounts' stores
//!  flow ───────────────────┼──> engine ──events──>┼──> encoder ──> publisher: packets of lines A and B
//!  hours, pauses, expiry ──┘                      └──> flow: what became of its orders
//! ```
//!
//! **Call [`Exchange::advance`] up to now, then [`Exchange::on_message`]; then send what accounts and lines
//! have ([`Exchange::message`], [`Exchange::take_packet`]); come back at [`Exchange::next_due_ns`] or with
//! the next message.**
//!
//! Invariants:  everything that happens by itself happens in the order of its time, however late `advance`
//!              is called: the same seed, messages and times give the same bytes.
//! Time:        ns since midnight, from outside.

use protocol::ouch::{ClientOrderId, Inbound};
use protocol::types::{Nanos, OrderRef, Qty, Seq, Symbol, UserRefNum};

use crate::account::AccountView;
use crate::day::Hours;
use crate::desk::{Desks, OrderLimits, Phase};
use crate::engine::{Engine, Event, Listing, State, TimeInForce, cancel_reason};
use crate::fault::{Act, Fault, FaultCounters, Faults};
use crate::feed::encoder::FeedEncoder;
use crate::feed::publisher::{FeedCounters, Publisher};
use crate::feed::snapshot;
use crate::flow::agents::{self, Agents};
use crate::flow::recorded::{HistoryCounters, Recorded};
use crate::options::Options;
use crate::script::Rule;

/// What symbols of the flow are worth at first, if nobody says: 100.00.
const PRICE_DEFAULT: u32 = 1_000_000;

rt::counters! {
    /// What clients have done.
    pub struct EntryCounters {
        /// OUCH messages taken.
        messages,
        /// Messages that are no OUCH message: ignored, as the specification has no answer.
        undecodable,
        /// Orders rejected.
        rejected,
        /// Messages to an account whose store is full: ignored.
        store_full,
        /// Times that an account was cut off because its answers could not be saved.
        accounts_cut,
        /// Messages to an account that is cut off: ignored.
        account_cut,
        /// Orders that a script kept from being answered, or changed.
        scripted,
        /// Late orders beyond the number that can wait: taken at once.
        late_full,
    }
}

/// The whole exchange.
#[derive(Debug)]
pub struct Exchange {
    pub(crate) engine: Engine,
    pub(crate) outlet: Outlet,
    pub(crate) hours: Hours,
    pub(crate) late: Vec<(u64, u16, Vec<u8>)>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) fill_every: u64,
    pub(crate) order_limits: OrderLimits,
    pub(crate) counters: EntryCounters,
    /// Those of accounts and of the exchange; the lines' are with them.
    pub(crate) faults: Faults,
    now_ns: u64,
}

/// Whom events are told.
#[derive(Debug)]
pub(crate) struct Outlet {
    pub desks: Desks,
    pub encoder: FeedEncoder,
    pub publisher: Option<Publisher>,
    pub agents: Option<Agents>,
    /// The market is a record: the feed is what it says, and nothing else.
    pub recorded: Option<Recorded>,
    now_ns: u64,
}

impl Outlet {
    pub(crate) fn on_event(&mut self, event: &Event) {
        self.desks.on_event(event);
        if let Some(recorded) = &mut self.recorded {
            return recorded.on_event(event);
        }
        if let Some(agents) = &mut self.agents {
            agents.on_event(event);
        }
        let (encoder, now_ns) = (&self.encoder, self.now_ns);
        if let Some(publisher) = &mut self.publisher {
            encoder.on_event(event, &mut |message| publisher.push(message, now_ns));
        }
    }

    /// Publishes messages that no engine event causes: system events, the directory, imbalances.
    pub(crate) fn say(&mut self, say: impl FnOnce(&mut FeedEncoder, &mut dyn FnMut(&[u8]))) {
        let now_ns = self.now_ns;
        let is_recorded = self.recorded.is_some();
        if let Some(publisher) = self.publisher.as_mut().filter(|_| !is_recorded) {
            say(&mut self.encoder, &mut |message| {
                publisher.push(message, now_ns)
            });
        } else {
            say(&mut self.encoder, &mut |_| ());
        }
    }
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
            let faults = Faults::new(&options.fault, options.fault_seed, now_ns);
            Publisher::new(feed, feed_session, faults, now_ns)
        });
        let mut exchange = Self {
            engine: Engine::new(options.limits()),
            outlet: Outlet {
                desks: Desks::new(options),
                encoder: FeedEncoder::new(),
                publisher,
                agents: None,
                recorded,
                now_ns,
            },
            hours: Hours::new(options.day, now_ns),
            late: Vec::new(),
            rules: options.behaviour.clone(),
            fill_every: options.fill_every,
            order_limits: OrderLimits {
                has_ticks: !options.symbol.is_empty(),
                notional_max: options.notional_max.saturating_mul(10_000),
            },
            counters: EntryCounters::default(),
            faults: Faults::new(&options.fault, options.fault_seed, now_ns),
            now_ns,
        };
        exchange.set_time(now_ns);
        exchange.begin(options);
        exchange
    }

    fn begin(&mut self, options: &Options) {
        self.outlet.say(|encoder, mut out| {
            encoder.system_event(b'O', &mut out);
            encoder.decline_levels(&mut out);
        });
        for symbol in &options.symbol {
            let listing = Listing {
                symbol: symbol.name,
                reference_price: symbol.price,
                band_bps: symbol.band_bps,
            };
            self.list(&listing, symbol.short_restricted);
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
            self.outlet.agents = Some(Agents::new(flow, &stocks, self.now_ns));
        }
        self.outlet
            .say(|encoder, mut out| encoder.system_event(b'S', &mut out));
        if self.hours.phase() == Phase::Market {
            self.outlet
                .say(|encoder, mut out| encoder.system_event(b'Q', &mut out));
        }
        self.end_operation();
    }

    /// Lists a symbol; its locate code.
    pub(crate) fn list(&mut self, listing: &Listing, is_restricted: bool) -> Option<u16> {
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
            self.outlet
                .say(|encoder, mut out| encoder.list(&stock, &mut out));
        }
        Some(locate)
    }

    /// The locate code of a listed symbol.
    pub(crate) fn locate(&self, symbol: Symbol) -> Option<u16> {
        self.engine.locate(symbol)
    }

    pub(crate) fn set_time(&mut self, now_ns: u64) {
        self.now_ns = now_ns;
        self.engine.set_time(now_ns);
        self.outlet.now_ns = now_ns;
        self.outlet.desks.now = Nanos(now_ns);
        self.outlet.encoder.now = Nanos(now_ns);
    }

    /// The exchange's time.
    #[must_use]
    pub fn now_ns(&self) -> u64 {
        self.now_ns
    }

    /// Ends system hours: nothing rests, the feed's session is over, accounts hear of it.
    pub fn end_day(&mut self) {
        let Self { engine, outlet, .. } = self;
        engine.end_of(TimeInForce::System, &mut |event| outlet.on_event(&event));
        outlet.say(|encoder, mut out| {
            encoder.system_event(b'E', &mut out);
            encoder.system_event(b'C', &mut out);
        });
        let now_ns = self.now_ns;
        if let Some(publisher) = &mut self.outlet.publisher {
            publisher.end_session(now_ns);
        }
        self.hours.end();
    }

    pub(crate) fn end_operation(&mut self) {
        if let Some(publisher) = &mut self.outlet.publisher {
            publisher.end_operation(self.now_ns);
        }
    }

    /// The next packet of a line that is due.
    pub fn take_packet(&mut self, line: usize) -> Option<std::rc::Rc<[u8]>> {
        let now_ns = self.now_ns;
        self.outlet.publisher.as_mut()?.take(line, now_ns)
    }

    /// Answers a re-request, with how much later the answer leaves, ns; `None`: silence.
    pub fn on_rerequest<'a>(
        &mut self,
        request: &[u8],
        out: &'a mut [u8],
    ) -> Option<(&'a [u8], u64)> {
        let now_ns = self.now_ns;
        let publisher = self.outlet.publisher.as_mut()?;
        let fault = publisher.faults.rerequest(now_ns);
        let (act, late_ns) = fault.map_or((None, 0), |(act, by_ns)| (Some(act), by_ns));
        let mut fewer = request.to_vec();
        if act == Some(Act::Truncate)
            && let [.., high, low] = fewer.as_mut_slice()
        {
            (*high, *low) = (0, 1);
        }
        let len = publisher.on_request(&fewer, out)?.len();
        let answer = out.get_mut(..len)?;
        if act == Some(Act::Corrupt)
            && let Some(session) = answer.first_mut()
        {
            *session ^= 1;
        }
        (act != Some(Act::Drop)).then_some((answer, late_ns))
    }

    /// One more fault; its time counts from now.
    ///
    /// # Errors
    /// It cannot happen where it is wanted.
    pub fn add_fault(&mut self, fault: Fault) -> Result<(), String> {
        fault.validate()?;
        let now_ns = self.now_ns;
        if let Some(publisher) = &mut self.outlet.publisher {
            publisher.faults.add(fault.clone(), now_ns);
        }
        self.faults.add(fault, now_ns);
        Ok(())
    }

    /// Whether an account's connections suffer this now: the fault's value.
    #[must_use]
    pub fn account_fault(&self, act: Act, account: u16) -> Option<u16> {
        let name = self.outlet.desks.get(account).map_or("", |desk| &desk.name);
        self.faults.account(act, name, self.now_ns)
    }

    /// By how much logins are answered wrongly now.
    #[must_use]
    pub fn login_skew(&self) -> Option<u16> {
        let mut desks = self.outlet.desks.names();
        desks.find_map(|name| self.faults.account(Act::WrongNumber, name, self.now_ns))
    }

    /// A fault of the exchange itself that is due, and how far a clock jumps, ns. Each is told once.
    pub fn take_exchange_fault(&mut self) -> Option<(Act, u64)> {
        self.faults.take_exchange(self.now_ns)
    }

    /// What faults have done: to accounts, and to the lines.
    pub fn fault_counters(&self) -> impl Iterator<Item = &FaultCounters> {
        let publisher = self.outlet.publisher.as_ref();
        std::iter::once(&self.faults.counters)
            .chain(publisher.map(|publisher| &publisher.faults.counters))
    }

    /// Writes the book of now, message by message (GLIMPSE); the feed goes on with the number that its
    /// last message states.
    pub fn snapshot(&self, out: &mut impl FnMut(&[u8])) {
        let publisher = self.outlet.publisher.as_ref();
        let next = publisher.map_or(Seq(1), Publisher::next_seq);
        if let Some(publisher) = publisher {
            publisher.counters.snapshots.increment();
        }
        snapshot::write(&self.engine, &self.outlet.encoder, next, out);
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
        self.outlet
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

    /// Whether the market's own flow has ended.
    #[must_use]
    pub fn is_flow_over(&self) -> bool {
        let agents = self.outlet.agents.as_ref();
        let recorded = self.outlet.recorded.as_ref();
        agents.is_some_and(|agents| agents.next_ns().is_none())
            || recorded.is_some_and(|recorded| recorded.next_ns().is_none())
    }

    /// Whether system hours are over.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.hours.phase() == Phase::Closed
    }

    /// The index of an account.
    #[must_use]
    pub fn account(&self, name: &str) -> Option<u16> {
        self.outlet.desks.index(name)
    }

    /// Orders that an account has open, with their open shares, by reference number.
    #[must_use]
    pub fn open_orders(&self, account: u16) -> Vec<(UserRefNum, Qty)> {
        self.outlet
            .desks
            .get(account)
            .map(crate::desk::Desk::open_orders)
            .unwrap_or_default()
    }

    /// Every account with what it has open and has traded, in the order of names.
    pub fn accounts(&self) -> impl Iterator<Item = AccountView> + '_ {
        self.outlet.desks.iter().map(crate::desk::Desk::view)
    }

    /// One account of [`Exchange::accounts`], by its index.
    #[must_use]
    pub fn account_view(&self, account: u16) -> Option<AccountView> {
        self.outlet.desks.get(account).map(crate::desk::Desk::view)
    }

    /// Sequenced messages of an account so far.
    #[must_use]
    pub fn stored(&self, account: u16) -> usize {
        self.outlet
            .desks
            .get(account)
            .map_or(0, |desk| desk.store.count())
    }

    /// The account's message of this index (sequence number less one); `None` also for one that cannot be
    /// saved.
    #[must_use]
    pub fn message(&self, account: u16, index: usize) -> Option<&[u8]> {
        let desk = self.outlet.desks.get(account)?;
        let is_saved = !desk.is_cut || index < desk.store.saved_count();
        desk.store.message(index).filter(|_| is_saved)
    }

    /// Bytes of an account's messages from this index on.
    #[must_use]
    pub fn unread_bytes(&self, account: u16, index: usize) -> usize {
        self.outlet
            .desks
            .get(account)
            .map_or(0, |desk| desk.store.bytes_from(index))
    }

    /// Where a script cuts an account's connection: in the middle of the message of this index.
    #[must_use]
    pub fn cut_at(&self, account: u16) -> Option<usize> {
        self.outlet.desks.get(account)?.cut_at
    }

    /// The connection was cut as the script wanted.
    pub fn forget_cut(&mut self, account: u16) {
        if let Some(desk) = self.outlet.desks.get_mut(account) {
            desk.cut_at = None;
        }
    }

    /// Hands what is not yet in the accounts' files to `save`, by name; what it saved is marked. An account
    /// whose answers could not be saved is cut off: as it cannot be told of fills, its orders are
    /// cancelled, its messages are ignored and its answers wait until `save` takes them.
    ///
    /// # Errors
    /// The first that `save` returned; all accounts were tried.
    pub fn save<E>(&mut self, mut save: impl FnMut(&str, &[u8]) -> Result<(), E>) -> Result<(), E> {
        let mut result = Ok(());
        let mut cut = Vec::new();
        for (account, desk) in (0..).zip(self.outlet.desks.iter_mut()) {
            if desk.store.unsaved().is_empty() {
                continue;
            }
            match save(&desk.name, desk.store.unsaved()) {
                Ok(()) => {
                    desk.store.mark_saved();
                    desk.is_cut = false;
                }
                Err(error) => {
                    if !std::mem::replace(&mut desk.is_cut, true) {
                        cut.push(account);
                    }
                    result = result.and(Err(error));
                }
            }
        }
        for account in cut {
            self.counters.accounts_cut.increment();
            self.cancel_where(account, Symbol::BLANK, cancel_reason::SYSTEM);
            self.end_operation();
        }
        result
    }

    /// Whether an account is cut off because its answers cannot be saved.
    #[must_use]
    pub fn is_cut(&self, account: u16) -> bool {
        self.outlet
            .desks
            .get(account)
            .is_some_and(|desk| desk.is_cut)
    }

    /// Undoes a trade. `false`: it is unknown, too old, or undone already.
    pub fn break_trade(&mut self, match_number: u64) -> bool {
        let Self { engine, outlet, .. } = self;
        let is_known = engine.break_trade(match_number, b'S', &mut |event| outlet.on_event(&event));
        self.end_operation();
        is_known
    }

    /// Halts a symbol, or lets it trade again by a cross. `false`: it is not listed.
    pub fn halt(&mut self, symbol: Symbol, is_halted: bool) -> bool {
        let Some(locate) = self.locate(symbol) else {
            return false;
        };
        let Self { engine, outlet, .. } = self;
        let mut sink = |event: Event| outlet.on_event(&event);
        if is_halted {
            engine.set_state(locate, State::Halted, *b"T1  ", &mut sink);
        } else {
            engine.cross(locate, crate::engine::CrossKind::Halt, &mut sink);
        }
        self.end_operation();
        true
    }
}

/// The number of the market message that caused an order, if its own id is one of Tickgate's and says so.
#[must_use]
pub fn origin_seq(message: &[u8]) -> Option<u64> {
    let Ok((Inbound::EnterOrder(m), _)) = Inbound::decode(message) else {
        return None;
    };
    ClientOrderId::decode(&m.client_order_id)?.seq
}

/// The largest reference that an order was given in an account's messages, for a restart.
pub(crate) fn numbers_of(message: &[u8]) -> (u64, u64) {
    use protocol::ouch::Outbound;
    match Outbound::decode(message) {
        Ok((Outbound::OrderAccepted(m), _)) => (OrderRef(m.order.get().0).0, 0),
        Ok((Outbound::OrderReplaced(m), _)) => (m.order.get().0, 0),
        Ok((Outbound::Executed(m), _)) => (0, m.match_number.get().0),
        _ => (0, 0),
    }
}
