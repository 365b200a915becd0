//! Engine events as OUCH messages in the accounts' stores.
//!
//! Spec:        OUCH 5.0 revision 1.04, "Outbound Messages".

use protocol::ouch::{
    AccountQueryResponse, AiqCanceled, AppendageBuffer, BrokenTrade, CancelReject, Canceled,
    DisableResponse, Element, EnableResponse, Executed, MassCancelResponse, Modified,
    OrderAccepted, OrderReplaced, Outbound, RejectReason, Rejected, Restated,
};
use protocol::types::{MatchNumber, Nanos, OrderRef, Price4, Qty, UserRefNum};
use zerocopy::byteorder::big_endian::U16;

use super::{Account, Accounts, Fill};
use crate::engine::{self, Event, Owner, Party, Prevention, Trade};

/// The reason of a restatement: the next shares of a reserve are shown.
const RESTATED_REFRESH: u8 = b'R';
/// The longest answer with the appendage of its request.
const ANSWER_LEN_MAX: usize = 512;

/// Appends a message, with an appendage, to a account's store.
macro_rules! answer {
    ($account:expr, $appendage:expr, $message:expr) => {{
        let mut out = [0; ANSWER_LEN_MAX];
        let len = $message.encode($appendage, &mut out);
        debug_assert!(len.is_some(), "an answer fits");
        if let Some(bytes) = len.and_then(|len| out.get(..len)) {
            $account.tally.on_answer(bytes);
            $account.store.push(bytes);
        }
    }};
}

/// Says that an order is live: what was asked for, and what has become of it. `Accepted` and `Replaced`
/// differ in one field.
macro_rules! live {
    ($message:ident { $($own:ident: $value:expr,)* }, $now:expr, $asked:expr, $live:expr) => {
        $message {
            kind: $message::KIND,
            timestamp: $now.into(),
            $($own: $value,)*
            user_ref: $asked.user_ref,
            side: $asked.side,
            qty: $live.qty.into(),
            symbol: $asked.symbol,
            price: $live.price.into(),
            time_in_force: $asked.time_in_force,
            display: $asked.display,
            order: OrderRef($live.number).into(),
            capacity: $asked.capacity,
            iso: $asked.iso,
            cross: $asked.cross,
            state: b'L',
            client_order_id: $asked.client_order_id,
        }
    };
}

/// What has become of an order.
struct Live {
    number: u64,
    qty: Qty,
    price: Price4,
}

impl Accounts {
    /// Tells those whom it concerns; orders of nobody here (the market's own flow) are passed over.
    pub(crate) fn on_event(&mut self, event: &Event, now: Nanos) {
        match event {
            Event::Accepted { .. } => self.accepted(event, now),
            Event::Replaced { .. } => self.replaced(event, now),
            Event::Traded(trade) => {
                self.executed(trade, &trade.maker, now);
                self.executed(trade, &trade.taker, now);
            }
            Event::Canceled(canceled) => self.canceled(canceled, now),
            Event::Prevented { .. } => self.prevented(event, now),
            Event::Refreshed { owner, rested } => self.restated(*owner, rested, now),
            Event::Broken { .. } => self.broken(event, now),
            Event::Rested(_)
            | Event::RestedAs { .. }
            | Event::Withdrawn { .. }
            | Event::State { .. }
            | Event::Collar { .. }
            | Event::Crossed { .. }
            | Event::Imbalance { .. } => {}
        }
    }

    fn accepted(&mut self, event: &Event, now: Nanos) {
        let Event::Accepted {
            handle,
            number,
            owner,
            price,
        } = *event
        else {
            return;
        };
        let Self { accounts, echo } = self;
        let Some(account) = accounts.get_mut(usize::from(owner.account)) else {
            return;
        };
        let Some(held) = account.orders.get_mut(&owner.user_ref) else {
            return;
        };
        held.handle = Some(handle);
        held.price = held.price.map(|_| Price4(price));
        account.accepted += 1;
        let m = &held.message;
        let is_market = super::Wanted::of_enter(m).limit().is_none();
        let live = Live {
            number,
            qty: m.qty.get(),
            price: Price4(price),
        };
        let mut accepted = live!(OrderAccepted {}, now, m, live);
        if is_market {
            accepted.price = m.price;
        }
        answer!(account, echo, accepted);
    }

    fn replaced(&mut self, event: &Event, now: Nanos) {
        let Event::Replaced {
            handle,
            number,
            owner,
            old_user_ref,
            open,
            price,
            ..
        } = *event
        else {
            return;
        };
        let Self { accounts, echo } = self;
        let Some(account) = accounts.get_mut(usize::from(owner.account)) else {
            return;
        };
        // The new order was put beside the old one before the engine was asked.
        let executed = account
            .orders
            .get(&old_user_ref)
            .map_or(0, |old| old.executed);
        account.lower(old_user_ref, 0, 0);
        let Some(held) = account.orders.get_mut(&owner.user_ref) else {
            return;
        };
        held.handle = Some(handle);
        held.executed = executed;
        held.price = held.price.map(|_| Price4(price));
        let m = &held.message;
        let live = Live {
            number,
            qty: Qty(open),
            price: Price4(price),
        };
        let original_user_ref = UserRefNum(old_user_ref).into();
        let replaced = live!(
            OrderReplaced {
                original_user_ref: original_user_ref,
            },
            now,
            m,
            live
        );
        answer!(account, echo, replaced);
    }

    fn executed(&mut self, trade: &Trade, party: &Party, now: Nanos) {
        let Some(account) = self.get_mut(party.owner.account) else {
            return;
        };
        answer!(
            account,
            &[],
            Executed {
                kind: Executed::KIND,
                timestamp: now.into(),
                user_ref: UserRefNum(party.owner.user_ref).into(),
                qty: Qty(trade.qty).into(),
                price: Price4(trade.price).into(),
                liquidity: party.liquidity,
                match_number: MatchNumber(trade.match_number).into(),
            }
        );
        let held = account.orders.get(&party.owner.user_ref);
        let fill = held.and_then(|held| held.fill(trade.qty));
        debug_assert!(fill.is_some(), "who trades has an order");
        if let Some(fill) = fill {
            account.tally.add(fill);
        }
        account.lower(party.owner.user_ref, party.open, trade.qty);
    }

    fn canceled(&mut self, canceled: &engine::Canceled, now: Nanos) {
        if let Some(account) = self.get_mut(canceled.owner.account) {
            let user_ref = canceled.owner.user_ref;
            if canceled.reason == engine::cancel_reason::MODIFIED {
                let side = account
                    .orders
                    .get(&user_ref)
                    .map_or(b' ', |held| held.message.side);
                account.tell_modified(user_ref, side, canceled.open, now);
            } else {
                account.tell_canceled(user_ref, canceled.qty, canceled.reason, now);
            }
            account.lower(canceled.owner.user_ref, canceled.open, 0);
        }
    }

    fn prevented(&mut self, event: &Event, now: Nanos) {
        let Event::Prevented {
            canceled,
            prevented,
            price,
            rule,
        } = *event
        else {
            return;
        };
        let Some(account) = self.get_mut(canceled.owner.account) else {
            return;
        };
        let strategy = match rule {
            Prevention::CancelNewest => b'W',
            Prevention::CancelOldest => b'O',
            Prevention::Decrement => b'D',
        };
        answer!(
            account,
            &[],
            AiqCanceled {
                kind: AiqCanceled::KIND,
                timestamp: now.into(),
                user_ref: UserRefNum(canceled.owner.user_ref).into(),
                qty: Qty(canceled.qty).into(),
                reason: canceled.reason,
                prevented_qty: Qty(prevented).into(),
                price: Price4(price).into(),
                liquidity: if canceled.shown.is_some() { b'A' } else { b'R' },
                strategy,
            }
        );
        account.lower(canceled.owner.user_ref, canceled.open, 0);
    }

    fn restated(&mut self, owner: Owner, rested: &engine::Rested, now: Nanos) {
        let Some(account) = self.get_mut(owner.account) else {
            return;
        };
        let mut elements = AppendageBuffer::default();
        let fits = elements.push(Element::DisplayQty(Qty(rested.qty)))
            && elements.push(Element::SecondaryOrderRef(rested.reference));
        debug_assert!(fits, "two elements fit");
        answer!(
            account,
            elements.as_bytes(),
            Restated {
                kind: Restated::KIND,
                timestamp: now.into(),
                user_ref: UserRefNum(owner.user_ref).into(),
                reason: RESTATED_REFRESH,
            }
        );
    }

    fn broken(&mut self, event: &Event, now: Nanos) {
        let Event::Broken {
            symbol,
            match_number,
            qty,
            owners,
            side,
            reason,
            ..
        } = *event
        else {
            return;
        };
        for (owner, side) in owners.into_iter().zip([side, side.opposite()]) {
            let Some(account) = self.get_mut(owner.account) else {
                continue;
            };
            let order = account.orders.get(&owner.user_ref);
            let client_order_id = order.map_or([b' '; 14], |held| held.message.client_order_id);
            answer!(
                account,
                &[],
                BrokenTrade {
                    kind: BrokenTrade::KIND,
                    timestamp: now.into(),
                    user_ref: UserRefNum(owner.user_ref).into(),
                    match_number: MatchNumber(match_number).into(),
                    reason,
                    client_order_id,
                }
            );
            account.tally.undo(Fill { symbol, side, qty });
        }
    }
}

/// Answers that no event of the engine stands behind.
impl Account {
    pub(crate) fn tell_rejected(
        &mut self,
        user_ref: UserRefNum,
        reason: RejectReason,
        client_order_id: [u8; 14],
        now: Nanos,
    ) {
        answer!(
            self,
            &[],
            Rejected {
                kind: Rejected::KIND,
                timestamp: now.into(),
                user_ref: user_ref.into(),
                reason: U16::new(reason as u16),
                client_order_id,
            }
        );
    }

    pub(crate) fn tell_canceled(&mut self, user_ref: u32, qty: u32, reason: u8, now: Nanos) {
        answer!(
            self,
            &[],
            Canceled {
                kind: Canceled::KIND,
                timestamp: now.into(),
                user_ref: UserRefNum(user_ref).into(),
                qty: Qty(qty).into(),
                reason,
            }
        );
    }

    pub(crate) fn tell_modified(&mut self, user_ref: u32, side: u8, open: u32, now: Nanos) {
        answer!(
            self,
            &[],
            Modified {
                kind: Modified::KIND,
                timestamp: now.into(),
                user_ref: UserRefNum(user_ref).into(),
                side,
                qty: Qty(open).into(),
            }
        );
    }

    pub(crate) fn tell_cancel_reject(&mut self, user_ref: u32, now: Nanos) {
        answer!(
            self,
            &[],
            CancelReject {
                kind: CancelReject::KIND,
                timestamp: now.into(),
                user_ref: UserRefNum(user_ref).into(),
            }
        );
    }

    pub(crate) fn tell_mass_cancel(&mut self, m: &protocol::ouch::MassCancel, now: Nanos) {
        answer!(
            self,
            &[],
            MassCancelResponse {
                kind: MassCancelResponse::KIND,
                timestamp: now.into(),
                user_ref: m.user_ref,
                firm: m.firm,
                symbol: m.symbol,
            }
        );
    }

    pub(crate) fn tell_entry(
        &mut self,
        user_ref: UserRefNum,
        firm: [u8; 4],
        is_disabled: bool,
        now: Nanos,
    ) {
        let (timestamp, user_ref) = (now.into(), user_ref.into());
        if is_disabled {
            let kind = DisableResponse::KIND;
            answer!(
                self,
                &[],
                DisableResponse {
                    kind,
                    timestamp,
                    user_ref,
                    firm
                }
            );
        } else {
            let kind = EnableResponse::KIND;
            answer!(
                self,
                &[],
                EnableResponse {
                    kind,
                    timestamp,
                    user_ref,
                    firm
                }
            );
        }
    }

    pub(crate) fn tell_next_user_ref(&mut self, now: Nanos) {
        let next = UserRefNum(self.last_user_ref.saturating_add(1));
        answer!(
            self,
            &[],
            AccountQueryResponse {
                kind: AccountQueryResponse::KIND,
                timestamp: now.into(),
                next_user_ref: next.into(),
            }
        );
    }

    /// The match of the last answer, if that is a fill of this order.
    pub(crate) fn last_fill(&self, user_ref: u32) -> Option<MatchNumber> {
        let last = self.store.message(self.store.count().checked_sub(1)?)?;
        match Outbound::decode(last) {
            Ok((Outbound::Executed(m), _)) if m.user_ref.get().0 == user_ref => {
                Some(m.match_number.get())
            }
            _ => None,
        }
    }

    /// A fill of this order once more, under the same match number: a mistake, on purpose.
    pub(crate) fn repeat_last_fill(&mut self, user_ref: u32) {
        let last = self.store.count().checked_sub(1);
        let fill = last.filter(|_| self.last_fill(user_ref).is_some());
        let bytes = fill.and_then(|fill| self.store.message(fill));
        if let Some(bytes) = bytes.map(<[u8]>::to_vec) {
            self.tally.on_answer(&bytes);
            self.store.push(&bytes);
        }
    }
}
