//! Orders, positions and risk of one session: what may go out, and what stands open.
//!
//! Thread:      order core, hot
//! Invariants:  no order leaves without `Risk::check`; a reference number is used once; what risk
//!              counts as open is the sum of what live orders reserve.
//! Time:        comes in as `now_ns`.
//! Spec:        OUCH 5.0 revision 1.04.

use std::sync::Arc;

use feed_handler::best_prices::BestPrices;
use protocol::ouch::{
    AccountQuery, CancelOrder, EnterOrder, PRICE_MAX, QTY_MAX, ReplaceOrder, TIF_DAY,
};
use protocol::soup;
use protocol::types::{Qty, UserRefNum};

use super::entry::{EntryCounters, Phase, Sent};
use super::instruments::{Instrument, Instruments};
use super::intent::{Action, OrderIntent, Refusal};
use super::risk::{Proposal, Risk};
use super::table::{Order, Owner, Table};

/// The longest message that one intent makes, with its SoupBinTCP header.
pub(super) const MESSAGE_LEN_MAX: usize = soup::HEADER_LEN + EnterOrder::LEN + 2;
/// Fills that can still be broken: a day of a busy strategy.
pub(super) const FILLS_MAX: usize = 1 << 16;

/// A strategy that trades on this session.
#[derive(Debug)]
pub(super) struct Desk {
    /// Trades although the feed has a gap.
    trade_on_stale: bool,
    /// Reference numbers by the strategy's own, at its low bits.
    user_refs: Box<[UserRefNum]>,
}

/// An execution that may still be broken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fill {
    pub(super) match_number: u64,
    pub(super) order: Order,
    pub(super) qty: Qty,
}

/// Orders, positions and risk of one session.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) table: Table,
    pub(super) risk: Risk,
    pub(super) instruments: Instruments,
    pub(super) phase: Phase,
    pub(super) desks: Vec<Desk>,
    pub(super) fills: Box<[Option<Fill>]>,
    pub(super) fills_next: usize,
    pub(super) counters: Arc<EntryCounters>,
    /// Best prices of each feed.
    best_prices: Vec<Arc<BestPrices>>,
    pub(super) is_stopping: bool,
}

impl Ledger {
    /// Nothing open yet. `open_orders_max` is risk's limit; `desks` are the strategies in order, with
    /// whether each trades on stale books.
    pub(super) fn new(
        risk: Risk,
        open_orders_max: u32,
        desks: &[bool],
        best_prices: Vec<Arc<BestPrices>>,
    ) -> Self {
        // Orders found after a restart may come on top of the limit.
        let room = open_orders_max.saturating_mul(2).max(64);
        let ids = (room as usize * 2).next_power_of_two();
        let desk = |trade_on_stale: &bool| Desk {
            trade_on_stale: *trade_on_stale,
            user_refs: vec![UserRefNum(0); ids].into_boxed_slice(),
        };
        Self {
            table: Table::new(room),
            risk,
            instruments: Instruments::default(),
            phase: Phase::Down,
            desks: desks.iter().map(desk).collect(),
            fills: vec![None; FILLS_MAX].into_boxed_slice(),
            fills_next: 0,
            counters: Arc::new(EntryCounters::default()),
            best_prices,
            is_stopping: false,
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
        match intent.action {
            Action::Enter => self.enter(owner, intent, now_ns, out),
            Action::Replace => self.replace(owner, intent, now_ns, out),
            Action::Cancel => {
                let user_ref = self.live(owner, intent)?;
                let len = self.cancel(user_ref, out).ok_or(Refusal::NotLive)?;
                Ok(Sent {
                    len,
                    user_ref,
                    is_new: false,
                })
            }
        }
    }

    /// Says when an order's bytes were ready.
    #[inline]
    pub(super) fn on_encoded(&mut self, user_ref: UserRefNum, encoded_ns: u64) {
        if let Some(order) = self.table.get_mut(user_ref) {
            order.encoded_ns = encoded_ns;
        }
    }

    /// Brings near what the next order writes, while the last one is on its way.
    #[inline]
    pub(super) fn bring_near(&self) {
        self.table.bring_near();
        self.risk.bring_near();
    }

    /// Writes cancels for orders that have none on its way yet, as many as fit.
    pub(super) fn cancel_all(&mut self, out: &mut [u8]) -> usize {
        let mut len = 0;
        while let Some(next) = self.table.find(|order| !order.is_canceling) {
            let Some(room) = out
                .get_mut(len..)
                .filter(|room| room.len() >= MESSAGE_LEN_MAX)
            else {
                break;
            };
            match self.cancel(next.user_ref, room) {
                Some(more) => len += more,
                None => break,
            }
        }
        len
    }

    /// Asks which number comes next: the answer ends recovery.
    pub(super) fn query_account(&mut self, out: &mut [u8]) -> usize {
        framed(out, |body| {
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
        let names = self.best_prices.get(intent.origin.feed as usize);
        let names = names.ok_or(Refusal::UnknownSymbol)?;
        let instrument = self
            .instruments
            .of_locate(intent.locate, names)
            .ok_or(Refusal::UnknownSymbol)?;
        let desk = self
            .desks
            .get_mut(usize::from(owner.0))
            .ok_or(Refusal::NotLive)?;
        let mask = desk.user_refs.len() - 1;
        let slot = desk
            .user_refs
            .get_mut(intent.id.0 as usize & mask)
            .ok_or(Refusal::NotLive)?;
        if self
            .table
            .get(*slot)
            .is_some_and(|order| order.owner == owner)
        {
            // The strategy has this many younger orders: its numbers came round to a live one.
            return Err(Refusal::OpenOrders);
        }
        let proposal = Proposal {
            instrument,
            side: intent.side,
            price: intent.price,
            qty: intent.qty,
            counted_qty: Qty(0),
            is_new: true,
            reference: names.load(intent.locate),
            is_stale: names.is_stale(intent.locate) && !desk.trade_on_stale,
        };
        if intent.price > PRICE_MAX {
            return Err(Refusal::PriceCollar);
        }
        self.risk.check(&proposal, now_ns)?;
        let user_ref = self.table.next_number().ok_or(Refusal::OpenOrders)?;
        *slot = user_ref;
        let message = self.enter_message(owner, intent, instrument, user_ref);
        let len = framed(out, |body| message.encode(&[], body)).ok_or(Refusal::Backlog)?;
        self.table.insert(Order {
            user_ref,
            id: intent.id,
            owner,
            origin: intent.origin,
            encoded_ns: now_ns,
            instrument,
            locate: intent.locate,
            side: intent.side,
            is_accepted: false,
            is_canceling: false,
            price: intent.price,
            open: intent.qty,
            reserved: intent.qty,
            executed: Qty(0),
            replacing: None,
        });
        self.risk.on_opened();
        self.risk.on_reserved(instrument, intent.side, intent.qty);
        self.counters.orders.increment();
        Ok(Sent {
            len,
            user_ref,
            is_new: true,
        })
    }

    #[inline]
    fn enter_message(
        &self,
        owner: Owner,
        intent: &OrderIntent,
        instrument: Instrument,
        user_ref: UserRefNum,
    ) -> EnterOrder {
        EnterOrder {
            kind: EnterOrder::KIND,
            user_ref: user_ref.into(),
            side: intent.side as u8,
            qty: intent.qty.into(),
            symbol: self.instruments.symbol(instrument),
            price: intent.price.into(),
            time_in_force: intent.time_in_force as u8,
            display: b'Y',
            capacity: b'P',
            iso: b'N',
            cross: b'N',
            client_order_id: client_order_id(owner, intent),
        }
    }

    fn replace(
        &mut self,
        owner: Owner,
        intent: &OrderIntent,
        now_ns: u64,
        out: &mut [u8],
    ) -> Result<Sent, Refusal> {
        let original = self.live(owner, intent)?;
        let order = *self.table.get(original).ok_or(Refusal::NotLive)?;
        let total = Qty(order.executed.0.saturating_add(intent.qty.0));
        if order.replacing.is_some() || order.is_canceling || !order.is_accepted {
            return Err(Refusal::NotLive);
        }
        if total > QTY_MAX {
            return Err(Refusal::OrderQty);
        }
        let desk = self
            .desks
            .get(usize::from(owner.0))
            .ok_or(Refusal::NotLive)?;
        let names = self.best_prices.get(order.origin.feed as usize);
        let names = names.ok_or(Refusal::UnknownSymbol)?;
        let proposal = Proposal {
            instrument: order.instrument,
            side: order.side,
            price: intent.price,
            qty: intent.qty,
            counted_qty: order.reserved,
            is_new: false,
            reference: names.load(order.locate),
            is_stale: names.is_stale(order.locate) && !desk.trade_on_stale,
        };
        if intent.price > PRICE_MAX {
            return Err(Refusal::PriceCollar);
        }
        self.risk.check(&proposal, now_ns)?;
        let user_ref = self.table.next_number().ok_or(Refusal::OpenOrders)?;
        let message = ReplaceOrder {
            kind: ReplaceOrder::KIND,
            original_user_ref: original.into(),
            user_ref: user_ref.into(),
            qty: total.into(),
            price: intent.price.into(),
            time_in_force: TIF_DAY,
            display: b'Y',
            iso: b'N',
            client_order_id: client_order_id(owner, intent),
        };
        let len = framed(out, |body| message.encode(&[], body)).ok_or(Refusal::Backlog)?;
        self.table.set_replaced(user_ref, original);
        let more = Qty(intent.qty.0.saturating_sub(order.reserved.0));
        if let Some(order) = self.table.get_mut(original) {
            order.replacing = Some(user_ref);
            order.reserved = Qty(order.reserved.0 + more.0);
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

    /// Writes a cancel of the whole order. Behind a replace that is on its way it names the new number:
    /// the exchange takes messages in order.
    fn cancel(&mut self, user_ref: UserRefNum, out: &mut [u8]) -> Option<usize> {
        let order = self
            .table
            .get_mut(user_ref)
            .filter(|order| !order.is_canceling)?;
        let target = order.replacing.unwrap_or(order.user_ref);
        let message = CancelOrder {
            kind: CancelOrder::KIND,
            user_ref: target.into(),
            qty: Qty(0).into(),
        };
        let len = framed(out, |body| message.encode(&[], body))?;
        order.is_canceling = true;
        self.counters.cancels.increment();
        Some(len)
    }

    /// The live order that a strategy means.
    #[inline]
    fn live(&self, owner: Owner, intent: &OrderIntent) -> Result<UserRefNum, Refusal> {
        let desk = self
            .desks
            .get(usize::from(owner.0))
            .ok_or(Refusal::NotLive)?;
        let index = intent.id.0 as usize & (desk.user_refs.len() - 1);
        let user_ref = *desk.user_refs.get(index).ok_or(Refusal::NotLive)?;
        let order = self.table.get(user_ref).ok_or(Refusal::NotLive)?;
        let is_meant = order.owner == owner && order.id == intent.id;
        if is_meant {
            Ok(user_ref)
        } else {
            Err(Refusal::NotLive)
        }
    }

    /// A strategy's order has a new number.
    pub(super) fn renumber(&mut self, order: &Order) {
        if let Some(desk) = self.desks.get_mut(usize::from(order.owner.0)) {
            let mask = desk.user_refs.len() - 1;
            if let Some(slot) = desk.user_refs.get_mut(order.id.0 as usize & mask) {
                *slot = order.user_ref;
            }
        }
    }
}

/// Puts a SoupBinTCP header in front of what `encode` writes.
#[inline]
fn framed(out: &mut [u8], encode: impl FnOnce(&mut [u8]) -> Option<usize>) -> Option<usize> {
    let (header, body) = out.split_first_chunk_mut::<{ soup::HEADER_LEN }>()?;
    let len = encode(body)?;
    *header = soup::header_of(soup::kind::UNSEQUENCED, len)?;
    Some(soup::HEADER_LEN + len)
}

/// `ClOrdID`: which strategy, which feed, and the sequence number of the message that caused the order,
/// so that everyone downstream can tell.
#[inline]
fn client_order_id(owner: Owner, intent: &OrderIntent) -> [u8; 14] {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |value: u64| DIGITS.get((value & 15) as usize).copied().unwrap_or(b'?');
    let mut out = [digit(u64::from(owner.0)); 14];
    let mut seq = intent.origin.seq;
    for byte in out.iter_mut().skip(2).rev() {
        *byte = digit(seq);
        seq >>= 4;
    }
    if let Some(feed) = out.get_mut(1) {
        *feed = digit(u64::from(intent.origin.feed));
    }
    out
}
