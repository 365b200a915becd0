//! Orders, positions and risk of one session: what may go out, and what stands open.
//!
//! Thread:      order core, hot
//! Invariants:  no order leaves without `Risk::check`; a reference number is used once; what risk
//!              counts as open is the sum of what live orders reserve; each intent is answered once.
//! Time:        comes in as `now_ns`, the time at which what is written goes out.
//! When wrong:  an invariant that does not hold turns the kill switch on and is kept as a `Breach` until
//!              it is told; books are kept as near to the exchange's as they can be.
//! Spec:        OUCH 5.0 revision 1.04.

use std::sync::Arc;

use feed_handler::best_prices::{BestPrice, BestPrices};
use protocol::ouch::{
    AccountQuery, CancelOrder, ClientOrderId, EnterOrder, PRICE_MAX, QTY_MAX, ReplaceOrder, TIF_DAY,
};
use protocol::soup::{self, kind::UNSEQUENCED};
use protocol::types::{Qty, Side, Symbol, UserRefNum};

use super::fills::Fills;
use super::instruments::{INSTRUMENTS_MAX, Instrument, Instruments};
use super::intent::{Action, Cause, ExecutionEvent, OrderId, OrderIntent, Outcome, Refusal};
use super::invariant::{Breach, Invariant};
use super::orders::{Links, Order, Orders, Owner, Unplaced};
use super::progress::{EntryCounters, Phase, Sent};
use super::risk::{KillCause, Proposal, Risk};

/// The longest message that one intent makes, with its SoupBinTCP header.
pub(super) const MESSAGE_LEN_MAX: usize = soup::HEADER_LEN + EnterOrder::LEN + 2;
/// Strategies of one session: an [`Owner`] is a byte.
pub const DESKS_MAX: usize = 256;
/// Ended orders that a strategy's late intents may still mean.
const ENDED_KEPT: usize = 1024;
/// A refused cancel is repeated after this pause, which doubles with each refusal up to the last.
const CANCEL_PAUSE_FIRST_NS: u64 = 100_000_000;
const CANCEL_PAUSE_DOUBLINGS_MAX: u32 = 7;

/// A strategy that trades on this session, as its configuration has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeskOptions {
    /// Its feed, in the order of the configuration: locate codes are that feed's.
    pub feed: u16,
    /// Symbols that it may trade; `None`: every one.
    pub symbols: Option<Vec<Symbol>>,
    /// Trades although its feed has a gap.
    pub trade_on_stale: bool,
}

/// A strategy that trades on this session.
#[derive(Debug)]
pub(super) struct Desk {
    feed: u16,
    trade_on_stale: bool,
    /// A bit for each instrument; empty: it may trade every one.
    allowed: Box<[u64]>,
    /// Orders that ended, by the low bits of their numbers.
    ended: Box<[Ended]>,
}

/// What is still known of an order that is over, or never was.
#[derive(Clone, Copy, Debug)]
struct Ended {
    id: OrderId,
    locate: u16,
    side: Side,
}

impl Desk {
    fn new(options: &DeskOptions, instruments: &mut Instruments) -> Self {
        let mut allowed = Box::default();
        if let Some(symbols) = &options.symbols {
            allowed = vec![0u64; INSTRUMENTS_MAX / 64].into_boxed_slice();
            let known = symbols.iter().filter_map(|it| instruments.of_symbol(*it));
            for Instrument(index) in known {
                if let Some(word) = allowed.get_mut(usize::from(index / 64)) {
                    *word |= 1 << (index % 64);
                }
            }
        }
        let nothing = Ended {
            id: OrderId(0),
            locate: 0,
            side: Side::Buy,
        };
        Self {
            feed: options.feed,
            trade_on_stale: options.trade_on_stale,
            allowed,
            ended: vec![nothing; ENDED_KEPT].into_boxed_slice(),
        }
    }

    #[inline]
    fn may_trade(&self, Instrument(index): Instrument) -> bool {
        let word = self.allowed.get(usize::from(index / 64));
        self.allowed.is_empty() || word.is_some_and(|word| word >> (index % 64) & 1 != 0)
    }

    #[inline]
    fn ended_mut(&mut self, id: OrderId) -> Option<&mut Ended> {
        self.ended.get_mut(id.0 as usize & (ENDED_KEPT - 1))
    }
}

/// Orders, positions and risk of one session.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) orders: Orders,
    pub(super) risk: Risk,
    pub(super) instruments: Instruments,
    pub(super) phase: Phase,
    desks: Vec<Desk>,
    pub(super) fills: Fills,
    pub(super) counters: Arc<EntryCounters>,
    /// Best prices of each feed.
    best_prices: Vec<Arc<BestPrices>>,
    pub(super) is_stopping: bool,
    /// The first breach that nobody has been told of.
    breach: Option<Breach>,
    /// Whose order went out last: the next one's memory is prefetched.
    last: (Owner, OrderId),
}

impl Ledger {
    /// Nothing open yet. `open_orders_max` is risk's limit; `desks` are the strategies in order.
    pub(super) fn new(
        risk: Risk,
        open_orders_max: u32,
        desks: &[DeskOptions],
        best_prices: Vec<Arc<BestPrices>>,
    ) -> Self {
        assert!(
            desks.len() <= DESKS_MAX,
            "{} strategies on one session, expected at most {DESKS_MAX}",
            desks.len()
        );
        let mut instruments = Instruments::new(best_prices.len());
        let desks = desks
            .iter()
            .map(|desk| Desk::new(desk, &mut instruments))
            .collect();
        Self {
            orders: Orders::new(open_orders_max.max(32) as usize),
            risk,
            instruments,
            phase: Phase::Down,
            desks,
            fills: Fills::default(),
            counters: Arc::default(),
            best_prices,
            is_stopping: false,
            breach: None,
            last: (Owner(0), OrderId(0)),
        }
    }

    /// The phase to be in once the past is known.
    pub(super) fn phase_open(&self) -> Phase {
        if self.is_stopping {
            Phase::Stopping
        } else {
            Phase::Open
        }
    }

    /// An invariant does not hold: trading stops here and now.
    #[cold]
    pub(super) fn broken(&mut self, breach: Breach) {
        self.counters.invariants_broken.increment();
        self.risk.kill().engage(KillCause::BrokenInvariant);
        self.breach.get_or_insert(breach);
    }

    /// The breach that is still to be told.
    #[inline]
    pub(super) fn take_breach(&mut self) -> Option<Breach> {
        self.breach.take()
    }

    /// Checks an intent and writes its message into `out`.
    ///
    /// # Errors
    /// Why it was refused; nothing has been written then.
    #[inline]
    pub(super) fn on_intent(
        &mut self,
        owner: Owner,
        intent: &OrderIntent,
        now_ns: u64,
        out: &mut [u8],
    ) -> Result<Sent, Refusal> {
        if self.phase != Phase::Open {
            return Err(Refusal::SessionDown);
        }
        if out.len() < MESSAGE_LEN_MAX {
            return Err(Refusal::Backlog);
        }
        if intent.action != Action::Cancel && self.risk.is_too_old(intent.decided_ns, now_ns) {
            return Err(Refusal::TooOld);
        }
        match intent.action {
            Action::Enter => self.enter(owner, intent, now_ns, out),
            Action::Replace => self.replace(owner, intent, now_ns, out),
            Action::Cancel => {
                let order = self.orders.of_id(owner, intent.id);
                let user_ref = order.ok_or(Refusal::NotLive)?.user_ref;
                let len = self.cancel(user_ref, true, out);
                let len = len.ok_or(Refusal::ChangePending)?;
                Ok(Sent {
                    len,
                    user_ref,
                    is_new: false,
                })
            }
        }
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

    /// Says when an order's bytes were ready.
    #[inline]
    pub(super) fn on_encoded(&mut self, user_ref: UserRefNum, encoded_ns: u64) {
        if let Some(order) = self.orders.get_mut(user_ref) {
            order.encoded_ns = encoded_ns;
        }
    }

    /// Brings near what the next order writes, while the last one is on its way.
    #[inline]
    pub(super) fn prefetch(&self) {
        let (owner, id) = self.last;
        self.orders.prefetch(owner, id);
        self.risk.prefetch();
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
            } else if let Some(more) = self.cancel(order.user_ref, false, room) {
                len += more;
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

    fn enter(
        &mut self,
        owner: Owner,
        intent: &OrderIntent,
        now_ns: u64,
        out: &mut [u8],
    ) -> Result<Sent, Refusal> {
        let desk = self.desks.get(usize::from(owner.0));
        let desk = desk.ok_or(Refusal::NotLive)?;
        let (feed, locate) = (desk.feed, intent.locate);
        let names = self.best_prices.get(usize::from(feed));
        let names = names.ok_or(Refusal::UnknownSymbol)?;
        let instrument = self
            .instruments
            .of_locate(feed, locate, names)
            .ok_or(Refusal::UnknownSymbol)?;
        if !desk.may_trade(instrument) {
            return Err(Refusal::NotItsSymbol);
        }
        if intent.price > PRICE_MAX {
            return Err(Refusal::PriceCollar);
        }
        let proposal = Proposal {
            instrument,
            side: intent.side,
            price: intent.price,
            qty: intent.qty,
            counted_qty: Qty(0),
            is_new: true,
            reference: names.load(locate),
            is_stale: names.is_stale(locate) && !desk.trade_on_stale,
        };
        self.risk.check(&proposal, now_ns)?;
        let user_ref = self.orders.next_number().ok_or(Refusal::OpenOrders)?;
        let order = Order {
            user_ref,
            id: intent.id,
            owner: Some(owner),
            origin: intent.origin,
            encoded_ns: now_ns,
            instrument,
            feed,
            locate,
            side: intent.side,
            is_accepted: false,
            price: intent.price,
            open: intent.qty,
            reserved: intent.qty,
            executed: Qty(0),
            replacing: None,
            replace_total: Qty(0),
            cancels_refused: 0,
            links: Links::default(),
        };
        let message = self.enter_message(&order, intent);
        let len = soup::frame(UNSEQUENCED, out, |body| message.encode(&[], body))
            .ok_or(Refusal::Backlog)?;
        // Room is larger than risk's limit, and no live order has a number that is still to come.
        self.orders.insert(order).map_err(|why| match why {
            Unplaced::IdIsLive => Refusal::IdInUse,
            Unplaced::NumberIsLive | Unplaced::Full => Refusal::OpenOrders,
        })?;
        self.orders.advance(UserRefNum(user_ref.0 + 1));
        self.risk.on_opened();
        self.risk.on_reserved(instrument, intent.side, intent.qty);
        self.counters.orders.increment();
        self.last = (owner, intent.id);
        Ok(Sent {
            len,
            user_ref,
            is_new: true,
        })
    }

    #[inline]
    fn enter_message(&self, order: &Order, intent: &OrderIntent) -> EnterOrder {
        EnterOrder {
            kind: EnterOrder::KIND,
            user_ref: order.user_ref.into(),
            side: order.side as u8,
            qty: order.open.into(),
            symbol: self.instruments.symbol(order.instrument),
            price: order.price.into(),
            time_in_force: intent.time_in_force as u8,
            display: b'Y',
            capacity: b'P',
            iso: b'N',
            cross: b'N',
            client_order_id: client_order_id(order, intent),
        }
    }

    fn replace(
        &mut self,
        owner: Owner,
        intent: &OrderIntent,
        now_ns: u64,
        out: &mut [u8],
    ) -> Result<Sent, Refusal> {
        let order = self.orders.of_id(owner, intent.id);
        let order = *order.ok_or(Refusal::NotLive)?;
        if order.replacing.is_some() || order.is_canceling() || !order.is_accepted {
            return Err(Refusal::ChangePending);
        }
        // OUCH counts a replace's shares over the whole chain, with what has been executed.
        let total = Qty(order.executed.0.saturating_add(intent.qty.0));
        if total > QTY_MAX {
            return Err(Refusal::OrderQty);
        }
        if intent.price > PRICE_MAX {
            return Err(Refusal::PriceCollar);
        }
        let desk = self.desks.get(usize::from(owner.0));
        let desk = desk.ok_or(Refusal::NotLive)?;
        let (reference, is_stale) = self.reference_of(&order).ok_or(Refusal::UnknownSymbol)?;
        let proposal = Proposal {
            instrument: order.instrument,
            side: order.side,
            price: intent.price,
            qty: intent.qty,
            counted_qty: order.reserved,
            is_new: false,
            reference,
            is_stale: is_stale && !desk.trade_on_stale,
        };
        self.risk.check(&proposal, now_ns)?;
        let (original, replace) = (
            order.user_ref,
            self.orders.next_number().ok_or(Refusal::OpenOrders)?,
        );
        let message = ReplaceOrder {
            kind: ReplaceOrder::KIND,
            original_user_ref: original.into(),
            user_ref: replace.into(),
            qty: total.into(),
            price: intent.price.into(),
            time_in_force: TIF_DAY,
            display: b'Y',
            iso: b'N',
            client_order_id: client_order_id(&order, intent),
        };
        let len = soup::frame(UNSEQUENCED, out, |body| message.encode(&[], body))
            .ok_or(Refusal::Backlog)?;
        self.orders
            .begin_replace(original, replace)
            .map_err(|_| Refusal::OpenOrders)?;
        self.orders.advance(UserRefNum(replace.0 + 1));
        let more = Qty(intent.qty.0.saturating_sub(order.reserved.0));
        if let Some(order) = self.orders.get_mut(original) {
            order.reserved = Qty(order.reserved.0 + more.0);
            order.replace_total = total;
            order.origin = intent.origin;
        }
        self.risk.on_reserved(order.instrument, order.side, more);
        self.counters.replaces.increment();
        Ok(Sent {
            len,
            user_ref: original,
            is_new: false,
        })
    }

    /// Best prices for a live order, and whether they are stale; `None` where its locate code means another
    /// symbol by now.
    #[inline]
    fn reference_of(&self, order: &Order) -> Option<(Option<BestPrice>, bool)> {
        let names = self.best_prices.get(usize::from(order.feed))?;
        let symbol = names.symbol(order.locate)?;
        (symbol == self.instruments.symbol(order.instrument))
            .then(|| (names.load(order.locate), names.is_stale(order.locate)))
    }

    /// Writes a cancel of the whole order, for its strategy or not; `None` where one is on its way.
    fn cancel(&mut self, user_ref: UserRefNum, is_asked: bool, out: &mut [u8]) -> Option<usize> {
        let order = self.orders.get(user_ref).filter(|it| !it.is_canceling())?;
        let message = CancelOrder {
            kind: CancelOrder::KIND,
            user_ref: order.cancel_target().into(),
            qty: Qty(0).into(),
        };
        let len = soup::frame(UNSEQUENCED, out, |body| message.encode(&[], body))?;
        self.orders.begin_cancel(user_ref, is_asked);
        self.counters.cancels.increment();
        Some(len)
    }

    /// A cancel came to nothing, and the order stands. After a refusal by the exchange it is not repeated at
    /// once.
    pub(super) fn on_cancel_failed(&mut self, user_ref: UserRefNum, refused_ns: Option<u64>) {
        let Some(order) = self.orders.get_mut(user_ref) else {
            return;
        };
        let after_ns = refused_ns.map_or(0, |now_ns| {
            let doublings = u32::from(order.cancels_refused).min(CANCEL_PAUSE_DOUBLINGS_MAX);
            order.cancels_refused = order.cancels_refused.saturating_add(1);
            now_ns + (CANCEL_PAUSE_FIRST_NS << doublings)
        });
        self.orders.end_cancel(user_ref, after_ns);
    }

    /// Risk counts of an order what may stand open of it at worst.
    pub(super) fn reserve(&mut self, user_ref: UserRefNum) {
        if let Some(order) = self.orders.get_mut(user_ref) {
            let held = reserve(&mut self.risk, order);
            self.hold(held);
        }
    }

    /// Trading stops where something did not hold.
    #[inline]
    pub(super) fn hold(&mut self, held: Result<(), Breach>) {
        if let Err(breach) = held {
            self.broken(breach);
        }
    }

    /// An order is over: takes it out, with everything that it reserves.
    pub(super) fn close(&mut self, user_ref: UserRefNum) {
        let Some(order) = self.orders.remove(user_ref) else {
            return;
        };
        let held = free(&mut self.risk, &order, order.reserved);
        self.hold(held);
        if !self.risk.on_closed() {
            self.broken(Breach {
                invariant: Invariant::OrdersCounted,
                user_ref,
                found: 1,
                expected: 0,
            });
        }
        if let Some(owner) = order.owner {
            let (id, locate, side) = (order.id, order.locate, order.side);
            self.note_ended(owner, Ended { id, locate, side });
        }
    }

    /// Remembers an order that is over for changes that come too late.
    fn note_ended(&mut self, owner: Owner, order: Ended) {
        let desk = self.desks.get_mut(usize::from(owner.0));
        if let Some(ended) = desk.and_then(|desk| desk.ended_mut(order.id)) {
            *ended = order;
        }
    }
}

/// Risk counts of an order what may stand open of it at worst.
///
/// # Errors
/// Risk counted less than the order had reserved.
#[inline]
pub(super) fn reserve(risk: &mut Risk, order: &mut Order) -> Result<(), Breach> {
    let (before, now) = (order.reserved.0, order.open_at_worst().0);
    order.reserved = Qty(now);
    if now > before {
        risk.on_reserved(order.instrument, order.side, Qty(now - before));
        return Ok(());
    }
    free(risk, order, Qty(before - now))
}

/// Releases this many shares of an order from risk.
#[inline]
fn free(risk: &mut Risk, order: &Order, less: Qty) -> Result<(), Breach> {
    if less.0 == 0 {
        return Ok(());
    }
    let freed = risk.on_freed(order.instrument, order.side, less);
    freed.map_err(|found| Breach {
        invariant: Invariant::ExposureCovered,
        user_ref: order.user_ref,
        found: u64::from(less.0),
        expected: found,
    })
}

/// Whose order it is, and which message of its feed caused it, if one did.
#[inline]
fn client_order_id(order: &Order, intent: &OrderIntent) -> [u8; 14] {
    let Owner(owner) = order.owner.unwrap_or(Owner(0));
    let mut id = ClientOrderId::new(owner, order.feed, intent.origin.seq);
    if intent.cause == Cause::Execution {
        id.seq = None;
    }
    id.encode()
}
