//! Order entry as one state machine: intents in, bytes out; bytes in, executions out.
//!
//! ```text
//!  Down --login--> Recovering --account query answered--> Open --stop--> Stopping
//!    ^                                                       │
//!    └────────────────── connection gone ────────────────────┘
//! ```
//!
//! After each login the account is queried. The answer (the first one that is not of the past, see
//! `session`) comes behind everything that the exchange has said, so when it is here, orders, fills and
//! positions are what the exchange believes; an order that it never accepted was never there. Only then
//! do orders go out.
//!
//! Thread:      order core, hot
//! Contract:    **bytes that a call writes are sent in the order of the calls.**
//! Time:        comes in as `now_ns`.
//! Spec:        SoupBinTCP 3.00, OUCH 5.0 revision 1.04.

use std::sync::Arc;

use feed_handler::best_prices::BestPrices;
use protocol::types::{Qty, Symbol, UserRefNum};
use rt::counters;

use super::answers::Told;
use super::intent::{OrderIntent, Refusal};
use super::ledger::Ledger;
use super::risk::Risk;
use super::session::{Received, Session};
use super::table::Owner;

counters! {
    /// What order entry did.
    pub struct EntryCounters {
        /// New orders sent.
        orders,
        /// Replaces sent.
        replaces,
        /// Cancels sent.
        cancels,
        /// Orders accepted by the exchange.
        accepted,
        /// Orders rejected by the exchange.
        rejected,
        /// Answers to new orders: accepted and rejected.
        acks,
        /// Executions.
        fills,
        /// Shares in them.
        filled_shares,
        /// Replaces confirmed.
        replaced,
        /// Cancels, also those that the exchange began.
        canceled,
        /// Replaces rejected; the order stands as it was.
        replaces_rejected,
        /// Cancels that the exchange put off or refused.
        cancels_refused,
        /// Trades undone by the exchange.
        trades_broken,
        /// Executions of more shares than an order had open. The position follows the exchange.
        overfills,
        /// Orders found at the exchange that this process had not sent in this life.
        adopted,
        /// Orders that the exchange never received: the connection went first.
        never_received,
        /// Answers about orders that are not known here.
        unknown_order,
        /// Messages that are not OUCH 5.0.
        malformed,
        /// Connections that came about.
        connections,
        /// Connections lost or refused.
        disconnections,
        /// Events that a strategy's full ring cost it. Its picture of its orders is wrong: it is
        /// stopped.
        execution_ring_full,
        /// Submissions to the kernel with orders in them.
        submissions,
        /// Intents refused, all causes.
        refused,
        /// Refused: the kill switch is on.
        refused_killed,
        /// Refused: the session is not open.
        refused_session_down,
        /// Refused: too many shares in one order, or none.
        refused_order_qty,
        /// Refused: one order worth too much.
        refused_notional,
        /// Refused: price too far from the book.
        refused_price_collar,
        /// Refused: the book has no price to compare with.
        refused_no_reference_price,
        /// Refused: the feed has a gap.
        refused_stale_book,
        /// Refused: position would be too large.
        refused_position,
        /// Refused: too many open orders.
        refused_open_orders,
        /// Refused: too many orders in a second.
        refused_order_rate,
        /// Refused: symbol not in the directory.
        refused_unknown_symbol,
        /// Refused: the order meant is not live.
        refused_not_live,
        /// Refused: the connection's send buffer is full.
        refused_backlog,
    }
}

impl EntryCounters {
    /// Counts a refusal under its cause.
    pub fn refuse(&self, refusal: Refusal) {
        self.refused.increment();
        match refusal {
            Refusal::Killed => self.refused_killed.increment(),
            Refusal::SessionDown => self.refused_session_down.increment(),
            Refusal::OrderQty => self.refused_order_qty.increment(),
            Refusal::Notional => self.refused_notional.increment(),
            Refusal::PriceCollar => self.refused_price_collar.increment(),
            Refusal::NoReferencePrice => self.refused_no_reference_price.increment(),
            Refusal::StaleBook => self.refused_stale_book.increment(),
            Refusal::Position => self.refused_position.increment(),
            Refusal::OpenOrders => self.refused_open_orders.increment(),
            Refusal::OrderRate => self.refused_order_rate.increment(),
            Refusal::UnknownSymbol => self.refused_unknown_symbol.increment(),
            Refusal::NotLive => self.refused_not_live.increment(),
            Refusal::Backlog => self.refused_backlog.increment(),
        }
    }
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// No session.
    Down,
    /// Logged in; the past is being learnt.
    Recovering,
    /// Orders go out.
    Open,
    /// Everything open is being cancelled; no order goes out.
    Stopping,
}

/// What an intent became.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Bytes written.
    pub len: usize,
    /// The order's number.
    pub user_ref: UserRefNum,
    /// Whether it is a new order.
    pub is_new: bool,
}

/// One session's order entry.
#[derive(Debug)]
pub struct Entry {
    session: Session,
    ledger: Ledger,
}

impl Entry {
    /// Nothing open yet. `open_orders_max` is risk's limit; `desks` are the strategies in order, with
    /// whether each trades on stale books.
    #[must_use]
    pub fn new(
        session: Session,
        risk: Risk,
        open_orders_max: u32,
        desks: &[bool],
        best_prices: Vec<Arc<BestPrices>>,
    ) -> Self {
        Self {
            session,
            ledger: Ledger::new(risk, open_orders_max, desks, best_prices),
        }
    }

    /// The counters, for housekeeping.
    #[must_use]
    pub fn counters(&self) -> Arc<EntryCounters> {
        Arc::clone(&self.ledger.counters)
    }

    /// How far the connection is.
    #[inline]
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.ledger.phase
    }

    /// Orders open now.
    #[must_use]
    pub fn open_orders(&self) -> u32 {
        self.ledger.risk.open_orders()
    }

    /// Live orders with their open shares, by reference number: for reports and tests.
    #[must_use]
    pub fn live_orders(&self) -> Vec<(UserRefNum, Qty)> {
        let mut live = self.ledger.table.live();
        live.sort_unstable();
        live
    }

    /// A symbol's position, by name: for reports and tests.
    #[must_use]
    pub fn position(&mut self, symbol: Symbol) -> i64 {
        let instrument = self.ledger.instruments.of_symbol(symbol);
        instrument.map_or(0, |at| self.ledger.risk.exposure(at).position)
    }

    /// The connection stands: writes the login.
    pub fn on_connected(&mut self, now_ns: u64, out: &mut [u8]) -> usize {
        self.ledger.counters.connections.increment();
        self.session.on_connected(now_ns, out)
    }

    /// The connection is gone. Orders stay as they are: the exchange decides what becomes of them.
    pub fn on_disconnected(&mut self) {
        self.ledger.counters.disconnections.increment();
        self.ledger.phase = Phase::Down;
        self.session.on_disconnected();
    }

    /// From now on nothing new goes out and everything open is cancelled.
    pub fn stop(&mut self) {
        self.ledger.is_stopping = true;
        if self.ledger.phase == Phase::Open {
            self.ledger.phase = Phase::Stopping;
        }
    }

    /// Whether it has been told to stop and nothing is open any more (or nobody is there to ask).
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        let ledger = &self.ledger;
        ledger.is_stopping && (ledger.phase == Phase::Down || ledger.risk.open_orders() == 0)
    }

    /// Checks an intent and writes its message into `out`.
    ///
    /// # Errors
    /// Why it was refused; nothing has been written then.
    #[inline]
    pub fn on_intent(
        &mut self,
        owner: Owner,
        intent: &OrderIntent,
        now_ns: u64,
        out: &mut [u8],
    ) -> Result<Sent, Refusal> {
        let sent = self.ledger.on_intent(owner, intent, now_ns, out)?;
        self.session.sent(sent.len, now_ns);
        Ok(sent)
    }

    /// Says when an order's bytes were ready.
    #[inline]
    pub fn on_encoded(&mut self, user_ref: UserRefNum, encoded_ns: u64) {
        self.ledger.on_encoded(user_ref, encoded_ns);
    }

    /// Brings near what the next order writes.
    #[inline]
    pub fn bring_near(&self) {
        self.ledger.bring_near();
    }

    /// Writes cancels for orders that have none on its way yet, as many as fit.
    pub fn cancel_all(&mut self, now_ns: u64, out: &mut [u8]) -> usize {
        let len = self.ledger.cancel_all(out);
        self.session.sent(len, now_ns)
    }

    /// Writes a logout.
    pub fn log_out(&mut self, now_ns: u64, out: &mut [u8]) -> usize {
        self.session.log_out(now_ns, out)
    }

    /// Takes bytes from the exchange; writes what has to be sent at once into `out`.
    #[inline]
    pub fn on_bytes(
        &mut self,
        now_ns: u64,
        bytes: &[u8],
        out: &mut [u8],
        mut tell: impl FnMut(Told),
    ) -> usize {
        let Self { session, ledger } = self;
        let mut has_logged_in = false;
        session.on_bytes(now_ns, bytes, |received| match received {
            Received::Message(message, is_past) => {
                ledger.on_message(now_ns, message, is_past, &mut tell);
            }
            Received::Probed => tell(Told::ConnectAgain),
            Received::LoggedIn(_) => {
                ledger.phase = Phase::Recovering;
                has_logged_in = true;
            }
            Received::Ended(ended) => tell(Told::Ended(ended)),
        });
        let len = if has_logged_in {
            ledger.query_account(out)
        } else {
            0
        };
        session.sent(len, now_ns)
    }

    /// Lets time pass: heartbeats, a silent server.
    pub fn on_timeout(&mut self, now_ns: u64, out: &mut [u8], mut tell: impl FnMut(Told)) -> usize {
        self.session.on_timeout(now_ns, out, |received| {
            if let Received::Ended(ended) = received {
                tell(Told::Ended(ended));
            }
        })
    }
}
