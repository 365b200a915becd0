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
//!   other clients, though the record still shows them.
//! - An execution of the record first fills the clients that stood before the executed order.
//! - A record's order that comes and would have met a client's order fills it, and rests all the same.
//! - Clients' pegs follow the midpoint that the record moves, and trade where it brings them together.
//!
//! Crosses and unseen trades of the record (`Q`, `P`) fill nobody.
//!
//! When wrong:  a message that is not ITCH is published as it is, and counted.

use std::collections::HashMap;
use std::fmt;
use std::io::Read;

use protocol::binary_file;
use protocol::itch::Message;
use protocol::types::{Side, Symbol};

use crate::engine::{
    Engine, Event, Handle, LimitOrder, Listing, NewOrder, Owner, Reach, State, TimeInForce,
    cancel_reason,
};

/// The account of the record's orders.
pub const RECORD: u16 = u16::MAX - 2;
/// Clients' orders that one message of the record can fill.
const FILLED_AT_ONCE_MAX: usize = 256;

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
    }
}

/// When messages of the record come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// So many a second.
    Rate(u32),
    /// At their own times, this many times as fast.
    Speed(f64),
}

/// A day from a file.
pub struct Recorded {
    from: Box<dyn Read>,
    pace: Pace,
    /// The message that comes next.
    next: Vec<u8>,
    next_ns: u64,
    /// The first message's own time, and the exchange's when it came.
    epoch: Option<(u64, u64)>,
    is_over: bool,
    orders: HashMap<u64, Handle>,
    /// How many of them the engine still has: clients may have taken one whole.
    live: u32,
    /// The engine's locate codes by the record's.
    locates: HashMap<u16, u16>,
    pub(crate) counters: HistoryCounters,
}

impl fmt::Debug for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorded")
            .field("pace", &self.pace)
            .finish_non_exhaustive()
    }
}

impl Recorded {
    /// Reads BinaryFILE (each message behind its length, two bytes) from `now_ns` on.
    #[must_use]
    pub fn new(from: Box<dyn Read>, pace: Pace, now_ns: u64) -> Self {
        let mut recorded = Self {
            from,
            pace,
            next: Vec::new(),
            next_ns: now_ns,
            epoch: None,
            is_over: false,
            orders: HashMap::new(),
            live: 0,
            locates: HashMap::new(),
            counters: HistoryCounters::default(),
        };
        recorded.fetch();
        recorded
    }

    /// When the next message is due; `None`: the record is over.
    pub(crate) fn next_ns(&self) -> Option<u64> {
        (!self.is_over).then_some(self.next_ns)
    }

    /// The message that is due.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        let message = std::mem::take(&mut self.next);
        self.counters.messages.increment();
        self.fetch();
        message
    }

    /// Reads the next message. The end of the file and a length of zero end the record.
    fn fetch(&mut self) {
        let mut len = [0; binary_file::LENGTH_LEN];
        let has_len = self.from.read_exact(&mut len).is_ok();
        let len = binary_file::length(len).filter(|_| has_len);
        self.next.resize(len.unwrap_or(0), 0);
        if len.is_none() || self.from.read_exact(&mut self.next).is_err() {
            self.is_over = true;
            return;
        }
        let stamp = Message::decode(&self.next).map(|message| message.head().timestamp.get().0);
        match (self.pace, stamp) {
            (Pace::Rate(rate), _) => {
                if self.epoch.replace((0, 0)).is_some() {
                    self.next_ns += 1_000_000_000 / u64::from(rate.max(1));
                }
            }
            (Pace::Speed(factor), Ok(stamp)) => {
                let (first, began) = *self.epoch.get_or_insert((stamp, self.next_ns));
                let passed = stamp.saturating_sub(first) as f64 / factor;
                // Days are far below 2^63 ns, and the record's time may go back: ours does not.
                let due = began + super::whole(passed);
                self.next_ns = self.next_ns.max(due);
            }
            (Pace::Speed(_), Err(_)) => {}
        }
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
                let state = match m.state {
                    b'H' => State::Halted,
                    b'P' => State::Paused,
                    b'Q' => State::Quoting,
                    _ => State::Trading,
                };
                engine.set_state(locate, state, m.reason, sink);
            }
            Message::AddOrder(m) => {
                let locate = self.locate(record_locate, m.stock, engine);
                let side = Side::of_code(m.side).unwrap_or(Side::Buy);
                let new = order(locate, side, m.shares.get().0, m.price.get().0);
                self.add(m.order.get().0, &new, engine, sink);
            }
            Message::AddOrderMpid(m) => {
                let locate = self.locate(record_locate, m.stock, engine);
                let side = Side::of_code(m.side).unwrap_or(Side::Buy);
                let new = order(locate, side, m.shares.get().0, m.price.get().0);
                self.add(m.order.get().0, &new, engine, sink);
            }
            Message::OrderExecuted(m) => {
                self.executed(m.order.get().0, m.shares.get().0, engine, sink);
            }
            Message::OrderExecutedWithPrice(m) => {
                self.executed(m.order.get().0, m.shares.get().0, engine, sink);
            }
            Message::OrderCancel(m) => self.lessen(m.order.get().0, m.shares.get().0, engine, sink),
            Message::OrderDelete(m) => self.lessen(m.order.get().0, u32::MAX, engine, sink),
            Message::OrderReplace(m) => {
                let old = m.old_order.get().0;
                let Some(place) = self
                    .orders
                    .get(&old)
                    .and_then(|handle| engine.place(*handle))
                else {
                    self.orders.remove(&old);
                    return self.counters.missing_ref.increment();
                };
                self.lessen(old, u32::MAX, engine, sink);
                let new = order(place.0, place.1, m.shares.get().0, m.price.get().0);
                self.add(m.new_order.get().0, &new, engine, sink);
            }
            _ => {}
        }
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

    fn add(
        &mut self,
        reference: u64,
        new: &NewOrder,
        engine: &mut Engine,
        sink: &mut impl FnMut(Event),
    ) {
        if new.qty == 0 || new.terms.limit == Some(0) {
            return self.counters.refused.increment();
        }
        // A second order under a live reference replaces the stale one.
        self.lessen_if_there(reference, u32::MAX, engine, sink);
        let price = new.terms.limit.unwrap_or(0);
        self.meet(new, price, engine, sink);
        // A peg may take it as soon as it rests.
        self.live += 1;
        let result = engine.rest(new, &mut self.counting(sink));
        match result {
            Ok(handle) => {
                self.orders.insert(reference, handle);
            }
            Err(_) => {
                self.live -= 1;
                self.counters.refused.increment();
            }
        }
    }

    /// An order of the record would have met the clients on the other side.
    fn meet(
        &mut self,
        new: &NewOrder,
        price: u32,
        engine: &mut Engine,
        sink: &mut impl FnMut(Event),
    ) {
        if self.is_alone(engine) {
            return;
        }
        let mut clients = [None; FILLED_AT_ONCE_MAX];
        let reach = Reach {
            locate: new.locate,
            side: new.side.opposite(),
            price,
        };
        engine.others_within(reach, RECORD, &mut clients);
        let mut left = new.qty;
        for (handle, open) in clients.into_iter().flatten() {
            let qty = left.min(open);
            if qty == 0 {
                break;
            }
            engine.fill_by_house(handle, qty, &mut self.counting(sink));
            self.counters.shares_met.add(u64::from(qty));
            left -= qty;
        }
    }

    /// Whether there are no clients' orders at all: the usual case, and then there is nothing to look for.
    fn is_alone(&self, engine: &Engine) -> bool {
        engine.totals().live == self.live
    }

    fn executed(
        &mut self,
        reference: u64,
        shares: u32,
        engine: &mut Engine,
        sink: &mut impl FnMut(Event),
    ) {
        let Some(handle) = self.orders.get(&reference).copied() else {
            return self.counters.missing_ref.increment();
        };
        if !self.is_alone(engine) {
            let mut clients = [None; FILLED_AT_ONCE_MAX];
            engine.others_ahead(handle, RECORD, &mut clients);
            let mut left = shares;
            for (client, open) in clients.into_iter().flatten() {
                let qty = left.min(open);
                if qty == 0 {
                    break;
                }
                engine.fill_by_house(client, qty, &mut self.counting(sink));
                self.counters.shares_ahead.add(u64::from(qty));
                left -= qty;
            }
        }
        let open = engine.open(handle).unwrap_or(0);
        self.counters
            .shares_traded_twice
            .add(u64::from(shares.saturating_sub(open)));
        self.lessen(reference, shares, engine, sink);
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
        let Some(handle) = self.orders.get(&reference).copied() else {
            return false;
        };
        let open = engine.open(handle);
        let keep = open.unwrap_or(0).saturating_sub(shares);
        engine.cancel(
            handle,
            keep,
            cancel_reason::SYSTEM,
            &mut self.counting(sink),
        );
        if keep == 0 {
            self.orders.remove(&reference);
            self.live -= u32::from(open.is_some());
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
