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
use protocol::types::{Price4, Qty, Seq, Side, Symbol, UserRefNum};

use super::answers::AnswerEvent;
use super::intent::{ExecutionEvent, OrderId, OrderIntent, Refusal};
use super::invariant::Breach;
use super::ledger::Ledger;
use super::orders::Owner;
use super::risk::{Exposure, KillSwitch, Risk};
use super::session::{Ended, Session, SessionEvent};

pub use super::ledger::{DESKS_MAX, DeskOptions};
pub use super::progress::{EntryCounters, OrderHistograms, Phase, Sent, SessionState};

/// A live order, for reports and tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveOrder {
    /// Its number.
    pub user_ref: UserRefNum,
    /// The strategy, and its number for the order; `None`: it was found at the exchange after a restart.
    pub desk: Option<(Owner, OrderId)>,
    /// Limit.
    pub price: Price4,
    /// Symbol.
    pub symbol: Symbol,
    /// Side.
    pub side: Side,
    /// Shares open.
    pub open: Qty,
    /// Shares that risk counts as open.
    pub reserved: Qty,
    /// Whether the exchange has answered.
    pub is_accepted: bool,
}

/// Time without progress after which a connection on which nothing can be sent yet is given up: a server
/// that sends heartbeats but never answers a login or an account query would hold it for ever. A login is
/// answered within milliseconds, and each message of the past is progress.
pub const PROGRESS_TIMEOUT_NS: u64 = 5_000_000_000;

/// One session's order entry.
#[derive(Debug)]
pub struct Entry {
    session: Session,
    ledger: Ledger,
    /// When the way to an open session went on; `None` without a connection.
    progress_ns: Option<u64>,
    /// The past was known once in this life: what is open is known, whether connected or not.
    has_been_open: bool,
}

impl Entry {
    /// Nothing open yet. `open_orders_max` is risk's limit; `desks` are the strategies in order.
    #[must_use]
    pub fn new(
        session: Session,
        risk: Risk,
        open_orders_max: u32,
        desks: &[DeskOptions],
        best_prices: Vec<Arc<BestPrices>>,
    ) -> Self {
        Self {
            session,
            ledger: Ledger::new(risk, open_orders_max, desks, best_prices),
            progress_ns: None,
            has_been_open: false,
        }
    }

    /// Has every page of its memory mapped, on the thread that will use it.
    pub fn prepare(&mut self) {
        self.ledger.orders.prepare();
        self.ledger.fills.prepare();
    }

    /// The counters, for housekeeping.
    #[must_use]
    pub fn counters(&self) -> Arc<EntryCounters> {
        Arc::clone(&self.ledger.counters)
    }

    /// The kill switch that risk looks at.
    #[must_use]
    pub fn kill(&self) -> KillSwitch {
        self.ledger.risk.kill().clone()
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

    /// Live orders by reference number: for reports and tests.
    #[must_use]
    pub fn live_orders(&self) -> Vec<LiveOrder> {
        let ledger = &self.ledger;
        let live = ledger.orders.iter().map(|order| LiveOrder {
            user_ref: order.user_ref,
            desk: order.owner.map(|owner| (owner, order.id)),
            price: order.price,
            symbol: ledger.instruments.symbol(order.instrument),
            side: order.side,
            open: order.open,
            reserved: order.reserved,
            is_accepted: order.is_accepted,
        });
        let mut live: Vec<LiveOrder> = live.collect();
        live.sort_unstable_by_key(|order| order.user_ref);
        live
    }

    /// What is held of a symbol and may still come, by name: for reports and tests.
    #[must_use]
    pub fn exposure(&mut self, symbol: Symbol) -> Exposure {
        let instrument = self.ledger.instruments.of_symbol(symbol);
        instrument.map_or_else(Exposure::default, |at| self.ledger.risk.exposure(at))
    }

    /// The number of the next message that the exchange will say: what is below has been heard.
    #[must_use]
    pub fn next_seq(&self) -> Seq {
        self.session.next_seq()
    }

    /// The connection stands: writes the login.
    pub fn on_connected(&mut self, now_ns: u64, out: &mut [u8]) -> usize {
        self.ledger.counters.connections.increment();
        self.progress_ns = Some(now_ns);
        self.session.on_connected(now_ns, out)
    }

    /// The connection is gone. Orders stay as they are: the exchange decides what becomes of them.
    pub fn on_disconnected(&mut self) {
        self.ledger.counters.disconnections.increment();
        self.ledger.phase = Phase::Down;
        self.progress_ns = None;
        self.session.on_disconnected();
    }

    /// From now on nothing new goes out and everything open is cancelled.
    pub fn stop(&mut self) {
        self.ledger.is_stopping = true;
        if self.ledger.phase == Phase::Open {
            self.ledger.phase = Phase::Stopping;
        }
    }

    /// Whether it has been told to stop and nothing is open any more. While the exchange cannot be asked
    /// that is known only if it was known before the connection went.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        let is_known = match self.ledger.phase {
            Phase::Stopping => true,
            Phase::Down => self.has_been_open,
            Phase::Recovering | Phase::Open => false,
        };
        self.ledger.is_stopping && is_known && self.ledger.orders.is_empty()
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
    pub fn prefetch(&self) {
        self.ledger.prefetch();
    }

    /// The answer to an intent that was refused: the order as it stands.
    #[must_use]
    pub fn refused(
        &mut self,
        owner: Owner,
        intent: &OrderIntent,
        refusal: Refusal,
        now_ns: u64,
    ) -> ExecutionEvent {
        self.ledger.refused(owner, intent, refusal, now_ns)
    }

    /// Whether orders stand that could be cancelled now.
    #[inline]
    #[must_use]
    pub fn can_cancel(&self) -> bool {
        matches!(self.ledger.phase, Phase::Open | Phase::Stopping) && self.ledger.has_standing()
    }

    /// Writes cancels for at most `orders_max` orders that have none on their way, as many as fit.
    pub fn cancel_some(&mut self, orders_max: usize, now_ns: u64, out: &mut [u8]) -> usize {
        if !self.can_cancel() {
            return 0;
        }
        let len = self.ledger.cancel_some(orders_max, now_ns, out);
        self.session.sent(len, now_ns)
    }

    /// An invariant that does not hold and that no call has told yet.
    #[inline]
    pub fn take_breach(&mut self) -> Option<Breach> {
        self.ledger.take_breach()
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
        mut tell: impl FnMut(AnswerEvent),
    ) -> usize {
        let Self {
            session,
            ledger,
            progress_ns,
            has_been_open,
        } = self;
        let mut has_logged_in = false;
        session.on_bytes(now_ns, bytes, |received| match received {
            SessionEvent::Message(message, is_past) => {
                *progress_ns = Some(now_ns);
                ledger.on_message(now_ns, message, is_past, &mut tell);
            }
            SessionEvent::Probed => {
                *progress_ns = Some(now_ns);
                tell(AnswerEvent::ConnectAgain);
            }
            SessionEvent::LoggedIn(_) => {
                *progress_ns = Some(now_ns);
                ledger.phase = Phase::Recovering;
                has_logged_in = true;
            }
            SessionEvent::Ended(ended) => tell(AnswerEvent::Ended(ended)),
        });
        *has_been_open |= matches!(ledger.phase, Phase::Open | Phase::Stopping);
        let len = if has_logged_in {
            ledger.query_account(out)
        } else {
            0
        };
        session.sent(len, now_ns)
    }

    /// Lets time pass: heartbeats, a silent server, one that does not let us get anywhere.
    pub fn on_timeout(
        &mut self,
        now_ns: u64,
        out: &mut [u8],
        mut tell: impl FnMut(AnswerEvent),
    ) -> usize {
        let is_on_its_way = !matches!(self.ledger.phase, Phase::Open | Phase::Stopping);
        let is_stuck = self
            .progress_ns
            .is_some_and(|at_ns| now_ns.saturating_sub(at_ns) > PROGRESS_TIMEOUT_NS);
        if is_on_its_way && is_stuck {
            self.progress_ns = None;
            tell(AnswerEvent::Ended(Ended::NoProgress));
            return 0;
        }
        self.session.on_timeout(now_ns, out, |received| {
            if let SessionEvent::Ended(ended) = received {
                tell(AnswerEvent::Ended(ended));
            }
        })
    }
}
