//! A recorded ITCH day as the market: its messages go out as they are, and clients' orders queue and trade
//! among its orders.
//!
//! ```text
//!  record ──> feed, byte for byte
//!         └─> engine: its orders rest in the same queues as the clients'
//! ```
//!
//! The record cannot be changed, so where a client's order would have changed history, the client trades and
//! history goes on as it was; each such share is counted in [`HistoryCounters`].
//!
//! - A client that takes trades with the record's orders, by price and time; shares that it took are gone for
//!   other clients, though the record still shows them, and stay gone when the record replaces the order.
//! - An execution of the record first fills the clients that stood before the executed order, at their limits.
//! - A record's order that comes and would have met a client's order fills it; the rest of it rests.
//! - Clients' pegs follow the midpoint that the record moves, and trade where it brings them together.
//! - Nobody trades while the record's stock does not, and clients' orders for the day end with its market hours.
//!
//! Crosses and unseen trades of the record (`Q`, `P`, a `C` that is not printed) fill nobody.
//!
//! When wrong:  a message that is not ITCH is published as it is, and counted. What cannot be read ends the record, and
//!              [`Exchange::record_failure`](crate::exchange::Exchange::record_failure) says why.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, Read};

use protocol::itch::{Message, OrderReplace};
use protocol::types::{Side, Symbol};

use super::day_file::DayFile;
use crate::engine::{
    Engine, Event, Handle, LimitOrder, Listing, NewOrder, Owner, Reach, State, TimeInForce,
    cancel_reason,
};

pub use super::day_file::Pace;

/// The account of the record's orders.
pub const RECORD: u16 = u16::MAX - 2;

rt::counters! {
    /// Where clients' orders would have changed history, and what was wrong with it.
    pub struct HistoryCounters {
        /// Messages of the record.
        messages,
        /// Messages that are not ITCH; published all the same.
        undecodable,
        /// Shares that clients took from the record's orders.
        shares_taken,
        /// Shares that the record traded although clients had taken them.
        shares_traded_twice,
        /// Shares that clients were given because they stood before an order that the record executed.
        shares_ahead,
        /// Shares that clients were given because an order of the record came through their price.
        shares_met,
        /// Messages that name an order that the record does not have.
        missing_ref,
        /// Orders of the record that found no room.
        refused,
        /// Messages whose time is before that of one before them: they come with it.
        stamps_back,
    }
}

/// An order that the record has.
#[derive(Clone, Copy, Debug)]
struct Known {
    /// Where clients find it; `None`: they had all of it as it came.
    handle: Option<Handle>,
    /// Shares that it has by the record. The engine has fewer where clients have had some.
    open: u32,
    /// The engine's locate code.
    locate: u16,
    side: Side,
}

impl Known {
    /// Shares of it that clients can have.
    fn left(&self, engine: &Engine) -> u32 {
        let left = self.handle.and_then(|handle| engine.open(handle));
        left.unwrap_or(0)
    }
}

/// An order that the record brings.
struct Coming {
    reference: u64,
    order: NewOrder,
    /// Shares that clients have had of the order whose place it takes.
    had: u32,
}

/// An execution that the record tells.
#[derive(Clone, Copy)]
struct Told {
    reference: u64,
    shares: u32,
    /// At this price; `None`: at the order's own.
    price: Option<u32>,
}

/// A day from a file.
pub struct Recorded {
    file: DayFile,
    has_market_ended: bool,
    orders: HashMap<u64, Known>,
    /// How many of them the engine still has: clients may have taken one whole.
    live: u32,
    /// The engine's locate codes by the record's.
    locates: HashMap<u16, u16>,
    pub(crate) counters: HistoryCounters,
}

impl fmt::Debug for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorded")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

impl Recorded {
    /// Reads BinaryFILE (each message behind its length, two bytes) from `now_ns` on.
    #[must_use]
    pub fn new(from: Box<dyn Read>, pace: Pace, now_ns: u64) -> Self {
        Self {
            file: DayFile::new(from, pace, now_ns),
            has_market_ended: false,
            orders: HashMap::new(),
            live: 0,
            locates: HashMap::new(),
            counters: HistoryCounters::default(),
        }
    }

    /// When the next message is due; `None`: the record is over.
    pub(crate) fn next_ns(&self) -> Option<u64> {
        self.file.next_ns()
    }

    /// The message that is due.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        self.counters.messages.increment();
        let message = self.file.take();
        self.counters.stamps_back.set(self.file.stamps_back());
        message
    }

    /// Why the record ended before its end: which message could not be read, and the error.
    pub(crate) fn failure(&self) -> Option<(u64, &io::Error)> {
        let error = self.file.failure()?;
        Some((self.counters.messages.get() + 1, error))
    }

    /// Whether the record has said that market hours are over.
    pub(crate) fn has_market_ended(&self) -> bool {
        self.has_market_ended
    }

    /// Follows a message: its orders rest in the engine, and clients trade as the header says.
    pub(crate) fn apply(
        &mut self,
        bytes: &[u8],
        engine: &mut Engine,
        sink: &mut impl FnMut(Event),
    ) {
        let Ok(message) = Message::decode(bytes) else {
            return self.counters.undecodable.increment();
        };
        let record_locate = message.head().locate.get();
        match message {
            Message::StockDirectory(m) => {
                self.locate(record_locate, m.stock, engine);
            }
            Message::StockTradingAction(m) => {
                let locate = self.locate(record_locate, m.stock, engine);
                let Some(state) = state_of(m.state) else {
                    // What was said before stands.
                    return self.counters.undecodable.increment();
                };
                engine.set_state(locate, state, m.reason, sink);
            }
            Message::RegSho(m) => {
                let locate = self.locate(record_locate, m.stock, engine);
                engine.restrict_short_sales(locate, m.action != b'0');
            }
            Message::SystemEvent(m) if m.event == b'M' => {
                self.has_market_ended = true;
                // The record's own orders are there until it says otherwise.
                engine.end_of(TimeInForce::Market, &mut self.counting(sink));
            }
            Message::AddOrder(m) => {
                let locate = self.locate(record_locate, m.stock, engine);
                let side = Side::of_code(m.side).unwrap_or(Side::Buy);
                let order = order(locate, side, m.shares.get().0, m.price.get().0);
                let reference = m.order.get().0;
                self.add(Coming::new(reference, order), engine, sink);
            }
            Message::AddOrderMpid(m) => {
                let locate = self.locate(record_locate, m.stock, engine);
                let side = Side::of_code(m.side).unwrap_or(Side::Buy);
                let order = order(locate, side, m.shares.get().0, m.price.get().0);
                let reference = m.order.get().0;
                self.add(Coming::new(reference, order), engine, sink);
            }
            Message::OrderExecuted(m) => {
                let told = Told {
                    reference: m.order.get().0,
                    shares: m.shares.get().0,
                    price: None,
                };
                self.fill_ahead(told, engine, sink);
                self.executed(told, engine, sink);
            }
            Message::OrderExecutedWithPrice(m) => {
                let told = Told {
                    reference: m.order.get().0,
                    shares: m.shares.get().0,
                    price: Some(m.price.get().0),
                };
                // Part of a cross otherwise, which has a print of its own: nobody before it in the queue was passed over.
                if m.printable != b'N' {
                    self.fill_ahead(told, engine, sink);
                }
                self.executed(told, engine, sink);
            }
            Message::OrderCancel(m) => self.lessen(m.order.get().0, m.shares.get().0, engine, sink),
            Message::OrderDelete(m) => self.lessen(m.order.get().0, u32::MAX, engine, sink),
            Message::OrderReplace(m) => self.replace(m, engine, sink),
            _ => {}
        }
    }

    /// An order comes in another's place: clients have had of it what they had had of the other.
    fn replace(&mut self, m: &OrderReplace, engine: &mut Engine, sink: &mut impl FnMut(Event)) {
        let old = m.old_order.get().0;
        let Some(known) = self.orders.get(&old).copied() else {
            return self.counters.missing_ref.increment();
        };
        let had = known.open.saturating_sub(known.left(engine));
        self.lessen(old, u32::MAX, engine, sink);
        let (shares, price) = (m.shares.get().0, m.price.get().0);
        let order = order(known.locate, known.side, shares, price);
        let coming = Coming {
            had,
            ..Coming::new(m.new_order.get().0, order)
        };
        self.add(coming, engine, sink);
    }

    /// The engine's locate code of a record's stock; listed when it is first named.
    fn locate(&mut self, record_locate: u16, symbol: Symbol, engine: &mut Engine) -> u16 {
        let listing = Listing {
            symbol,
            reference_price: 0,
            band_bps: 0,
        };
        *self.locates.entry(record_locate).or_insert_with(|| {
            let known = engine.locate(symbol);
            known.or_else(|| engine.list(&listing)).unwrap_or(0)
        })
    }

    fn add(&mut self, coming: Coming, engine: &mut Engine, sink: &mut impl FnMut(Event)) {
        let Coming {
            reference,
            mut order,
            had,
        } = coming;
        let open = order.qty;
        if open == 0 || order.terms.limit == Some(0) {
            return self.counters.refused.increment();
        }
        // A second order under a live reference replaces the stale one.
        self.lessen_if_there(reference, u32::MAX, engine, sink);
        order.qty = open.saturating_sub(had);
        order.qty -= self.meet(&order, engine, sink);
        let mut known = Known {
            handle: None,
            open,
            locate: order.locate,
            side: order.side,
        };
        if order.qty > 0 {
            // A peg may take it as soon as it rests.
            self.live += 1;
            let Ok(handle) = engine.rest(&order, &mut self.counting(sink)) else {
                self.live -= 1;
                return self.counters.refused.increment();
            };
            known.handle = Some(handle);
        }
        self.orders.insert(reference, known);
    }

    /// An order of the record would have met the clients on the other side; the shares that it gives them.
    fn meet(&mut self, order: &NewOrder, engine: &mut Engine, sink: &mut impl FnMut(Event)) -> u32 {
        if self.is_alone(engine) || !trades(engine, order.locate) {
            return 0;
        }
        let reach = Reach {
            locate: order.locate,
            side: order.side.opposite(),
            price: order.terms.limit.unwrap_or(0),
        };
        let mut left = order.qty;
        for (handle, open) in engine.others_within(reach, RECORD) {
            let qty = left.min(open);
            if qty == 0 {
                break;
            }
            engine.fill_by_house(handle, qty, &mut self.counting(sink));
            self.counters.shares_met.add(u64::from(qty));
            left -= qty;
        }
        order.qty - left
    }

    /// Whether there are no clients' orders at all: the usual case, and then there is nothing to look for.
    fn is_alone(&self, engine: &Engine) -> bool {
        engine.totals().live == self.live
    }

    /// Clients stood before an order that the record executes: whoever met it would have met them first, at their limits.
    fn fill_ahead(&mut self, told: Told, engine: &mut Engine, sink: &mut impl FnMut(Event)) {
        let known = self.orders.get(&told.reference).copied();
        let Some((known, handle)) = known.and_then(|it| Some((it, it.handle?))) else {
            return;
        };
        if self.is_alone(engine) || !trades(engine, known.locate) {
            return;
        }
        let mut left = told.shares;
        for (client, open) in engine.others_ahead(handle, RECORD) {
            // An order that trades at a better price than it shows stood there all along, before who is only shown better.
            let reaches = |price| {
                let limit = engine.limit(client);
                limit.is_some_and(|limit| match known.side {
                    Side::Buy => limit >= price,
                    Side::Sell => limit <= price,
                })
            };
            if !told.price.is_none_or(reaches) {
                continue;
            }
            let qty = left.min(open);
            if qty == 0 {
                break;
            }
            engine.fill_by_house(client, qty, &mut self.counting(sink));
            self.counters.shares_ahead.add(u64::from(qty));
            left -= qty;
        }
    }

    fn executed(&mut self, told: Told, engine: &mut Engine, sink: &mut impl FnMut(Event)) {
        let known = self.orders.get(&told.reference);
        let left = known.map_or(told.shares, |known| known.left(engine));
        let twice = told.shares.saturating_sub(left);
        self.counters.shares_traded_twice.add(u64::from(twice));
        self.lessen(told.reference, told.shares, engine, sink);
    }

    fn lessen(
        &mut self,
        reference: u64,
        shares: u32,
        engine: &mut Engine,
        sink: &mut impl FnMut(Event),
    ) {
        if !self.lessen_if_there(reference, shares, engine, sink) {
            self.counters.missing_ref.increment();
        }
    }

    fn lessen_if_there(
        &mut self,
        reference: u64,
        shares: u32,
        engine: &mut Engine,
        sink: &mut impl FnMut(Event),
    ) -> bool {
        let Some(known) = self.orders.get_mut(&reference) else {
            return false;
        };
        known.open = known.open.saturating_sub(shares);
        let known = *known;
        if known.open == 0 {
            self.orders.remove(&reference);
        }
        // What clients have not had goes first: what they have had is what the record then trades twice.
        let open = known.handle.and_then(|handle| engine.open(handle));
        if let (Some(handle), Some(open)) = (known.handle, open) {
            let keep = open.saturating_sub(shares);
            self.live -= u32::from(keep == 0);
            engine.cancel(
                handle,
                keep,
                cancel_reason::SYSTEM,
                &mut self.counting(sink),
            );
        }
        true
    }

    /// Tells `sink`, and counts what clients' pegs take from the record's orders meanwhile: they follow the midpoint
    /// that the record moves.
    fn counting<'a>(&'a mut self, sink: &'a mut impl FnMut(Event)) -> impl FnMut(Event) + 'a {
        |event| {
            self.on_event(&event);
            sink(event);
        }
    }

    /// Counts what clients took from the record's orders.
    pub(crate) fn on_event(&mut self, event: &Event) {
        if let Event::Traded(trade) = event
            && trade.maker.owner.account == RECORD
        {
            self.counters.shares_taken.add(u64::from(trade.qty));
            self.live -= u32::from(trade.maker.open == 0);
        }
    }
}

impl Coming {
    /// An order that takes no other's place.
    fn new(reference: u64, order: NewOrder) -> Self {
        Self {
            reference,
            order,
            had: 0,
        }
    }
}

/// Whether orders meet in a stock now.
fn trades(engine: &Engine, locate: u16) -> bool {
    let status = engine.status(locate);
    status.is_some_and(|stock| stock.state == State::Trading)
}

/// How a stock trades; `None`: the specification has no such code.
fn state_of(code: u8) -> Option<State> {
    Some(match code {
        b'H' => State::Halted,
        b'P' => State::Paused,
        b'Q' => State::Quoting,
        b'T' => State::Trading,
        _ => return None,
    })
}

fn order(locate: u16, side: Side, qty: u32, price: u32) -> NewOrder {
    let owner = Owner {
        account: RECORD,
        user_ref: 0,
    };
    NewOrder::from(LimitOrder {
        owner,
        locate,
        side,
        qty,
        price,
        life: TimeInForce::System,
    })
}
