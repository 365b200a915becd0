//! The orders of one session: what stands open at the exchange, for whom, and what was executed.
//!
//! Thread:      order core, hot
//! Invariants:  a reference number is used once; a cancel is on its way at most once for each order.
//! Time:        comes in as `now_ns`, the time at which what is written goes out.
//! Spec:        OUCH 5.0 revision 1.04.

use std::sync::Arc;

use protocol::ouch::{AccountQuery, CancelOrder, EnterOrder};
use protocol::soup::{self, kind::UNSEQUENCED};
use protocol::types::{OrderRef, Qty, UserRefNum};

use super::desk::{DESKS_MAX, Desk, DeskOptions, Ended};
use super::doubt::{Doubt, Doubtful, Sort};
use super::fills::Fills;
use super::instruments::{Instrument, Instruments};
use super::live::Order;
use super::orders::Orders;
use super::progress::EntryCounters;
use crate::journal::inlet::PACKET_BYTES_MAX;
use crate::journal::past::Past;
use crate::message::execution::{ExecutionEvent, Outcome};
use crate::message::intent::{Action, OrderId, OrderIntent, Owner};
use crate::message::invariant::Breach;
use crate::message::terms::APPENDAGE_LEN_MAX;
use crate::order::risk::Refusal;

/// The longest message that one intent makes, with its SoupBinTCP header.
pub(super) const MESSAGE_LEN_MAX: usize =
    soup::HEADER_LEN + EnterOrder::LEN + 2 + APPENDAGE_LEN_MAX;
const _: () = assert!(
    MESSAGE_LEN_MAX <= PACKET_BYTES_MAX,
    "an order's record has room for it"
);
/// A refused cancel is repeated after this pause, which doubles with each refusal up to the last.
const CANCEL_PAUSE_FIRST_NS: u64 = 100_000_000;
const CANCEL_PAUSE_DOUBLINGS_MAX: u32 = 7;

/// The orders of one session.
#[derive(Debug)]
pub(super) struct SessionOrders {
    pub(super) orders: Orders,
    pub(super) desks: Vec<Desk>,
    pub(super) fills: Fills,
    pub(super) counters: Arc<EntryCounters>,
    /// The first breach that nobody has been told of.
    pub(super) breach: Option<Breach>,
    /// Whose order went out last: the next one's memory is prefetched.
    pub(super) last: (Owner, OrderId),
    /// What it was for.
    pub(super) subject: Subject,
    /// The operator wants orders cancelled that went out up to this time, whenever they stand; 0: he does not.
    swept_ns: u64,
    /// Standing orders that the sweep has still to look at.
    to_sweep: u32,
    /// Some that it wants could not be cancelled yet.
    sweeps_again: bool,
    /// What has no answer yet.
    pub(super) doubt: Doubt,
    /// What the journals of earlier runs say, until the session is open.
    pub(super) past: Past,
    /// What becomes of orders that an earlier run left open.
    pub(super) found: FoundOrders,
}

/// What an order is for: a symbol of a feed, and its number here.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Subject {
    pub(super) feed: u16,
    pub(super) locate: u16,
    pub(super) instrument: Instrument,
}

/// What becomes of orders that an earlier run left open at the exchange.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FoundOrders {
    /// They stand, count against limits, and are nobody's.
    #[default]
    Keep,
    /// They go back to the strategies that the journal says they are of, which are told of each.
    Adopt,
    /// They are cancelled before any new order goes out.
    Cancel,
}

impl SessionOrders {
    /// Nothing open yet. `open_orders_max` is risk's limit; `desks` are the strategies in order.
    pub(super) fn new(
        open_orders_max: u32,
        desks: &[DeskOptions],
        instruments: &mut Instruments,
    ) -> Self {
        assert!(
            desks.len() <= DESKS_MAX,
            "{} strategies on one session, expected at most {DESKS_MAX}",
            desks.len()
        );
        let desks = desks.iter().map(|desk| Desk::new(desk, instruments));
        Self {
            orders: Orders::new(open_orders_max.max(32) as usize),
            desks: desks.collect(),
            fills: Fills::default(),
            counters: Arc::default(),
            breach: None,
            last: (Owner(0), OrderId(0)),
            subject: Subject::default(),
            swept_ns: 0,
            to_sweep: 0,
            sweeps_again: false,
            doubt: Doubt::new(),
            past: Past::default(),
            found: FoundOrders::default(),
        }
    }

    /// Has every page of its memory mapped, on the thread that will use it.
    pub(super) fn prepare(&mut self) {
        self.orders.prepare();
        self.fills.prepare();
        self.doubt.prepare();
    }

    /// The breach that is still to be told.
    #[inline]
    pub(super) fn take_breach(&mut self) -> Option<Breach> {
        self.breach.take()
    }

    /// The answer to an intent that was refused: the order as it stands.
    #[cold]
    pub(super) fn refused(
        &mut self,
        owner: Owner,
        intent: &OrderIntent,
        refusal: Refusal,
        now_ns: u64,
    ) -> ExecutionEvent {
        let mut event = ExecutionEvent {
            origin: intent.origin,
            acked_ns: now_ns,
            reference: OrderRef(0),
            id: intent.id,
            price: intent.price,
            qty: intent.qty,
            leaves: Qty(0),
            locate: intent.locate,
            side: intent.side,
            answers: Some(intent.action),
            outcome: Outcome::Refused(refusal),
        };
        if intent.action == Action::Enter {
            // A change of it may be on its way already.
            let (id, locate, side) = (intent.id, intent.locate, intent.side);
            self.note_ended(owner, Ended { id, locate, side });
            return event;
        }
        if let Some(order) = self.orders.of_id(owner, intent.id) {
            (event.locate, event.side) = (order.locate, order.side);
            (event.price, event.leaves) = (order.price, order.open);
        } else if let Some(desk) = self.desks.get_mut(usize::from(owner.0))
            && let Some(ended) = desk.ended_mut(intent.id).filter(|it| it.id == intent.id)
        {
            (event.locate, event.side) = (ended.locate, ended.side);
        }
        event
    }

    /// A new order goes out.
    #[inline]
    pub(super) fn note_last(&mut self, owner: Owner, order: &Order) {
        self.last = (owner, order.id);
        self.subject = Subject {
            feed: order.feed,
            locate: order.locate,
            instrument: order.instrument,
        };
    }

    /// Says when an order's bytes were ready.
    #[inline]
    pub(super) fn on_encoded(&mut self, user_ref: UserRefNum, encoded_ns: u64) {
        if let Some(order) = self.orders.get_mut(user_ref) {
            order.encoded_ns = encoded_ns;
        }
    }

    /// Prefetches what the next order writes, while the last one is on its way.
    #[inline]
    pub(super) fn prefetch(&self) {
        let (owner, id) = self.last;
        self.orders.prefetch(owner, id);
    }

    /// Whether an order stands that no cancel is on its way for.
    #[inline]
    pub(super) fn has_standing(&self) -> bool {
        self.orders.standing() > 0
    }

    /// Writes cancels for at most `orders_max` orders that have none on their way: those that have waited
    /// longest first. A cancel that the exchange refused waits for its pause; such orders are looked at,
    /// too, and count.
    pub(super) fn cancel_some(&mut self, orders_max: usize, now_ns: u64, out: &mut [u8]) -> usize {
        let mut len = 0;
        let looks = orders_max.min(self.orders.standing() as usize);
        for _ in 0..looks {
            let room = out.get_mut(len..).unwrap_or_default();
            if room.len() < MESSAGE_LEN_MAX {
                break;
            }
            let Some(order) = self.orders.first_standing().copied() else {
                break;
            };
            if order.cancel_after_ns() > now_ns {
                // To the end of the list, with its pause.
                self.orders
                    .end_cancel(order.user_ref, order.cancel_after_ns());
            } else if let Some(more) = self.cancel(order.user_ref, false, now_ns, room) {
                len += more;
            }
        }
        len
    }

    /// Every order that went out up to now is to be cancelled. It begins with [`SessionOrders::sweep_again`].
    pub(super) fn begin_sweep(&mut self, now_ns: u64) {
        (self.swept_ns, self.sweeps_again) = (now_ns, true);
    }

    /// Cancels can be sent: looks again at what stands, if some of it could not be cancelled before.
    pub(super) fn sweep_again(&mut self) {
        if std::mem::take(&mut self.sweeps_again) {
            self.to_sweep = self.orders.standing();
        }
    }

    /// Whether the sweep has orders to look at.
    #[inline]
    pub(super) fn is_sweeping(&self) -> bool {
        self.to_sweep > 0
    }

    /// Looks at no more than `orders_max` standing orders and writes cancels for those that the sweep wants.
    pub(super) fn sweep_some(&mut self, orders_max: u32, now_ns: u64, out: &mut [u8]) -> usize {
        let mut len = 0;
        self.to_sweep = self.to_sweep.min(self.orders.standing());
        for _ in 0..orders_max.min(self.to_sweep) {
            let room = out.get_mut(len..).unwrap_or_default();
            let Some(order) = self.orders.first_standing().copied() else {
                break;
            };
            if room.len() < MESSAGE_LEN_MAX {
                break;
            }
            self.to_sweep -= 1;
            let is_wanted = order.encoded_ns <= self.swept_ns;
            if is_wanted && order.cancel_after_ns() <= now_ns {
                len += self
                    .cancel(order.user_ref, false, now_ns, room)
                    .unwrap_or(0);
            } else {
                self.sweeps_again |= is_wanted;
                // To the end of the list, as it is.
                self.orders
                    .end_cancel(order.user_ref, order.cancel_after_ns());
            }
        }
        len
    }

    /// Asks which number comes next: the answer ends recovery.
    pub(super) fn query_account(&mut self, out: &mut [u8]) -> usize {
        soup::frame(UNSEQUENCED, out, |body| {
            AccountQuery {
                kind: AccountQuery::KIND,
            }
            .encode(&[], body)
        })
        .unwrap_or(0)
    }

    /// Writes a cancel of the whole order, for its strategy or not; `None` where one is on its way.
    #[inline]
    pub(super) fn cancel(
        &mut self,
        user_ref: UserRefNum,
        is_asked: bool,
        now_ns: u64,
        out: &mut [u8],
    ) -> Option<usize> {
        let order = self.orders.get(user_ref).filter(|it| !it.is_canceling())?;
        let target = order.cancel_target();
        let message = CancelOrder {
            kind: CancelOrder::KIND,
            user_ref: target.into(),
            qty: Qty(0).into(),
        };
        let len = soup::frame(UNSEQUENCED, out, |body| message.encode(&[], body))?;
        self.orders.begin_cancel(user_ref, is_asked, now_ns);
        self.doubt.note(Sort::Cancel, target, now_ns);
        self.counters.cancels.increment();
        Some(len)
    }

    /// A cancel came to nothing, and the order stands. After a refusal by the exchange it is not repeated at
    /// once.
    pub(super) fn on_cancel_failed(&mut self, user_ref: UserRefNum, refused_ns: Option<u64>) {
        let Some(order) = self.orders.get_mut(user_ref) else {
            return;
        };
        self.sweeps_again |= order.encoded_ns <= self.swept_ns;
        let after_ns = refused_ns.map_or(0, |now_ns| {
            let doublings = u32::from(order.cancels_refused).min(CANCEL_PAUSE_DOUBLINGS_MAX);
            order.cancels_refused = order.cancels_refused.saturating_add(1);
            now_ns + (CANCEL_PAUSE_FIRST_NS << doublings)
        });
        self.orders.end_cancel(user_ref, after_ns);
    }

    /// What has had no answer for too long is asked about: bytes of a query written; `None`: that has had none either.
    pub(super) fn look_for_doubts(&mut self, now_ns: u64, out: &mut [u8]) -> Option<usize> {
        (self.counters.unwatched).add(self.doubt.take_unwatched());
        match self.doubt.look(&self.orders, now_ns) {
            Doubtful::Nothing => Some(0),
            Doubtful::Unanswered => None,
            Doubtful::Ask => {
                let len = self.query_account(out);
                if len > 0 {
                    self.counters.doubts.increment();
                    self.doubt.on_asked(now_ns);
                }
                Some(len)
            }
        }
    }

    /// The exchange has answered a query: whether it has swallowed what went before.
    #[cold]
    pub(super) fn has_swallowed(&mut self) -> bool {
        let has = self.doubt.on_answer(&self.orders);
        if has {
            self.counters.doubts_lost.increment();
        }
        has
    }

    /// Remembers an order that is over for changes that come too late.
    pub(super) fn note_ended(&mut self, owner: Owner, order: Ended) {
        let desk = self.desks.get_mut(usize::from(owner.0));
        if let Some(ended) = desk.and_then(|desk| desk.ended_mut(order.id)) {
            *ended = order;
        }
    }
}
