//! Order entry: every OUCH message of a client, from its bytes to what the engine is asked to do.
//!
//! Path:        session -> here -> account (rules) -> engine -> account (answers). An account goes by its index
//!              here, the account itself by `account`.
//! When wrong:  nonsense that is no OUCH message is ignored and counted, as the specification has no answer
//!              to it. Duplicates, superfluous cancels and replacements of dead orders meet silence.
//! Spec:        OUCH 5.0 revision 1.04.

use protocol::ouch::{
    Appendage, CancelOrder, ClientOrderId, EnterOrder, Inbound, MassCancel, ModifyOrder,
    RejectReason, ReplaceOrder,
};
use protocol::types::{Symbol, UserRefNum};

use super::Exchange;
use super::inlet::LateMessage;
use crate::account::{Entered, Held, Tags, Wanted, reason_of};
use crate::engine::{Change, CrossKind, Handle, Listing, NewOrder, Owner, cancel_reason};
use crate::fault::Act;
use crate::script::Behaviour;

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

impl Exchange {
    /// Takes one message of a logged-in client.
    pub fn on_message(&mut self, account: u16, bytes: &[u8]) {
        self.counters.messages.increment();
        self.handle(account, bytes, false);
        self.end_operation();
    }

    pub(super) fn handle(&mut self, index: u16, bytes: &[u8], is_late: bool) {
        let Ok((message, appendage)) = Inbound::decode(bytes) else {
            return self.counters.undecodable.increment();
        };
        if self.is_cut(index) {
            return self.counters.account_cut.increment();
        }
        let is_full = self
            .account_at(index)
            .is_none_or(|account| account.store.is_full());
        if is_full {
            return self.counters.store_full.increment();
        }
        self.outlet.accounts.echo.clear();
        match message {
            Inbound::EnterOrder(m) => {
                let behaviour = self.behaviour(index, &m.client_order_id);
                if let (Some(Behaviour::Late { after_ns }), false) = (behaviour, is_late)
                    && self.keep_late(index, bytes, after_ns)
                {
                    return;
                }
                self.outlet
                    .accounts
                    .echo
                    .extend_from_slice(appendage.as_bytes());
                self.enter(index, m, &appendage, behaviour);
            }
            Inbound::ReplaceOrder(m) => {
                self.outlet
                    .accounts
                    .echo
                    .extend_from_slice(appendage.as_bytes());
                self.replace(index, m, &appendage);
            }
            Inbound::CancelOrder(m) => self.cancel(index, m),
            Inbound::ModifyOrder(m) => self.modify(index, m),
            Inbound::MassCancel(m) => self.mass_cancel(index, m),
            Inbound::DisableOrderEntry(m) => {
                self.set_disabled(index, m.user_ref.get(), m.firm, true)
            }
            Inbound::EnableOrderEntry(m) => {
                self.set_disabled(index, m.user_ref.get(), m.firm, false)
            }
            Inbound::AccountQuery(_) => {
                let now = self.now;
                if let Some(account) = self.account_at_mut(index) {
                    account.tell_next_user_ref(now);
                }
            }
        }
    }

    fn behaviour(&self, index: u16, client_order_id: &[u8; 14]) -> Option<Behaviour> {
        let name = &self.account_at(index)?.name;
        self.rules
            .iter()
            .find_map(|rule| rule.behaviour(name, client_order_id))
    }

    fn keep_late(&mut self, index: u16, bytes: &[u8], after_ns: u64) -> bool {
        self.counters.scripted.increment();
        let is_kept = self.inlet.keep(LateMessage {
            due_ns: self.now.0 + after_ns,
            account: index,
            bytes: bytes.to_vec(),
        });
        if !is_kept {
            self.counters.late_full.increment();
        }
        is_kept
    }

    /// A symbol's locate code; where nothing is listed, a symbol is when it is first named.
    fn locate_or_list(&mut self, symbol: Symbol) -> Option<u16> {
        let known = self.locate(symbol);
        if known.is_some() || self.order_limits.has_ticks || self.inlet.has_market() {
            return known;
        }
        let text = symbol.as_str();
        Symbol::new(text).filter(|sane| *sane == symbol)?;
        self.list(
            &Listing {
                symbol,
                reference_price: 0,
                band_bps: 0,
            },
            false,
        )
    }

    fn enter(
        &mut self,
        index: u16,
        m: &EnterOrder,
        appendage: &Appendage<'_>,
        behaviour: Option<Behaviour>,
    ) {
        let user_ref = m.user_ref.get();
        // A number that is not larger than the last is a retransmission: silence.
        if !self
            .account_at_mut(index)
            .is_some_and(|account| account.uses(user_ref))
        {
            return;
        }
        match behaviour {
            Some(Behaviour::Ignore) => return self.counters.scripted.increment(),
            Some(Behaviour::Reject(reason)) => {
                self.counters.scripted.increment();
                return self.reject(index, user_ref, m.client_order_id, reason);
            }
            _ => {}
        }
        let storm = self
            .account_fault(Act::Reject, index)
            .and_then(RejectReason::of);
        if let Some(reason) = storm {
            self.faults.counters.orders_rejected.increment();
            return self.reject(index, user_ref, m.client_order_id, reason);
        }
        let tags = Tags::read(appendage);
        let locate = self.locate_or_list(m.symbol);
        let owner = Owner {
            account: index,
            user_ref: user_ref.0,
        };
        let now = self.now;
        let market = self.hours.market(&self.engine, self.order_limits, now);
        let Some(account) = self.outlet.accounts.get_mut(index) else {
            return;
        };
        let entered = Entered {
            owner,
            message: m,
            tags: &tags,
            locate,
        };
        let mut asked = match account.examine(&entered, market) {
            Ok(asked) => asked,
            Err(reason) => return self.reject(index, user_ref, m.client_order_id, reason),
        };
        asked.held.behaviour = behaviour;
        let next = account.accepted + 1;
        asked.new.terms.house = self.is_house(next, behaviour);
        self.outlet.accounts.hold(owner, asked.held);
        let (engine, mut sink) = self.engine_and_sink();
        let result = engine.enter(&asked.new, now.0, &mut sink);
        drop(sink);
        if let Err(refusal) = result {
            self.outlet.accounts.forget(owner);
            return self.reject(index, user_ref, m.client_order_id, reason_of(refusal));
        }
        self.after_order(owner, &asked.new, behaviour);
    }

    /// Whether the house fills what the book does not.
    fn is_house(&self, accepted: u64, behaviour: Option<Behaviour>) -> bool {
        let by_rule = self.fill_every > 0 && accepted.is_multiple_of(self.fill_every);
        let by_script = matches!(
            behaviour,
            Some(Behaviour::Fill | Behaviour::FillTwice | Behaviour::Bust)
        );
        by_rule || by_script
    }

    /// What a script does to an order that was taken in.
    fn after_order(&mut self, owner: Owner, new: &NewOrder, behaviour: Option<Behaviour>) {
        let Some(behaviour) = behaviour else { return };
        self.counters.scripted.increment();
        match behaviour {
            Behaviour::FillHalf => {
                let held = self.held(owner.account, UserRefNum(owner.user_ref));
                let (engine, mut sink) = self.engine_and_sink();
                if let Some(handle) = held.and_then(|held| held.handle) {
                    engine.fill_by_house(handle, new.qty / 2, &mut sink);
                }
            }
            Behaviour::FillTwice => {
                if let Some(account) = self.account_at_mut(owner.account) {
                    account.repeat_last_fill(owner.user_ref);
                }
            }
            Behaviour::Bust => {
                let account = self.account_at(owner.account);
                let last = account.and_then(|account| account.last_fill(owner.user_ref));
                let (engine, mut sink) = self.engine_and_sink();
                if let Some(last) = last {
                    engine.break_trade(last.0, b'S', &mut sink);
                }
            }
            Behaviour::Cut => {
                if let Some(account) = self.account_at_mut(owner.account) {
                    account.cut_at = account.store.count().checked_sub(1);
                }
            }
            _ => {}
        }
    }

    fn reject(
        &mut self,
        index: u16,
        user_ref: UserRefNum,
        client_order_id: [u8; 14],
        reason: RejectReason,
    ) {
        self.counters.rejected.increment();
        let now = self.now;
        if let Some(account) = self.account_at_mut(index) {
            account.tell_rejected(user_ref, reason, client_order_id, now);
        }
    }

    fn held(&self, index: u16, user_ref: UserRefNum) -> Option<Held> {
        self.account_at(index)?.orders.get(&user_ref.0).copied()
    }

    fn replace(&mut self, index: u16, m: &ReplaceOrder, appendage: &Appendage<'_>) {
        let (original, user_ref) = (m.original_user_ref.get(), m.user_ref.get());
        // Of a dead order, or with a used number: silence, and the number stays free.
        let Some(held) = self.held(index, original) else {
            return;
        };
        let Some(handle) = held.handle else { return };
        let is_used = self
            .account_at(index)
            .is_none_or(|account| user_ref.0 <= account.last_user_ref);
        if is_used {
            return;
        }
        let tags = held.tags.changed_by(appendage);
        let wanted = Wanted::of_replace(m, &held.message);
        let open = wanted.qty.saturating_sub(held.executed);
        // Bad details end the existing order, and so does a size that is executed already.
        if wanted.fault(&tags).is_some() {
            return self.take_off(handle, cancel_reason::USER);
        }
        if open == 0 {
            return self.take_off(handle, cancel_reason::SYSTEM);
        }
        let now = self.now;
        let market = self.hours.market(&self.engine, self.order_limits, now);
        let Some(account) = self.outlet.accounts.get_mut(index) else {
            return;
        };
        let objection = account.examine_replacement(&wanted, &held, market);
        account.uses(user_ref);
        if let Some(reason) = objection {
            return self.reject(index, user_ref, m.client_order_id, reason);
        }
        let message = held.message_after(m);
        let mut terms = account.terms(&wanted, &tags);
        account.accepted += 1;
        let accepted = account.accepted;
        terms.house = self.is_house(accepted, None);
        let change = Change {
            user_ref: user_ref.0,
            open,
            terms,
        };
        let owner = Owner {
            account: index,
            user_ref: user_ref.0,
        };
        self.outlet.accounts.hold(
            owner,
            Held {
                message,
                tags,
                open,
                price: wanted.limit(),
                ..held
            },
        );
        let (engine, mut sink) = self.engine_and_sink();
        let result = engine.replace(handle, &change, now.0, &mut sink);
        drop(sink);
        if let Err(refusal) = result {
            self.outlet.accounts.forget(owner);
            self.reject(index, user_ref, m.client_order_id, reason_of(refusal));
        }
    }

    /// Cancels all of an order.
    pub(super) fn take_off(&mut self, handle: Handle, reason: u8) {
        let (engine, mut sink) = self.engine_and_sink();
        engine.cancel(handle, 0, reason, &mut sink);
    }

    fn cancel(&mut self, index: u16, m: &CancelOrder) {
        // There is no "too late": a superfluous cancel is met with silence.
        let user_ref = m.user_ref.get();
        let Some(held) = self.held(index, user_ref) else {
            return;
        };
        let Some(handle) = held.handle else { return };
        let is_closing = Wanted::of_enter(&held.message).cross_kind() == Some(CrossKind::Close);
        if is_closing && self.hours.is_late(self.now_ns()) {
            let now = self.now;
            if let Some(account) = self.account_at_mut(index) {
                account.tell_cancel_reject(user_ref.0, now);
            }
            return;
        }
        let (engine, mut sink) = self.engine_and_sink();
        if held.behaviour == Some(Behaviour::FillOnCancel) {
            engine.fill_by_house(handle, held.open, &mut sink);
            drop(sink);
            return self.counters.scripted.increment();
        }
        let keep = m.qty.get().0.saturating_sub(held.executed);
        engine.cancel(handle, keep, cancel_reason::USER, &mut sink);
    }

    fn modify(&mut self, index: u16, m: &ModifyOrder) {
        let user_ref = m.user_ref.get();
        let Some(held) = self.held(index, user_ref) else {
            return;
        };
        let Some(handle) = held.handle else { return };
        // Section "Modify": S to E, S to T, E to T and back.
        let is_sale = |side: u8| b"SET".contains(&side);
        let is_sane =
            m.side == held.message.side || (is_sale(m.side) && is_sale(held.message.side));
        let wanted = m.qty.get().0.saturating_sub(held.executed);
        // An increase is ignored since revision 1.04.
        if !is_sane || wanted > held.open {
            return;
        }
        let now = self.now;
        let Some(account) = self.account_at_mut(index) else {
            return;
        };
        if let Some(order) = account.orders.get_mut(&user_ref.0) {
            order.message.side = m.side;
        }
        if wanted == held.open {
            return account.tell_modified(user_ref.0, m.side, wanted, now);
        }
        let (engine, mut sink) = self.engine_and_sink();
        engine.cancel(handle, wanted, cancel_reason::MODIFIED, &mut sink);
    }

    fn mass_cancel(&mut self, index: u16, m: &MassCancel) {
        let now = self.now;
        let Some(account) = self.account_at_mut(index) else {
            return;
        };
        if !account.uses(m.user_ref.get()) {
            return;
        }
        account.tell_mass_cancel(m, now);
        self.cancel_where(index, m.symbol, cancel_reason::USER);
    }

    fn set_disabled(&mut self, index: u16, user_ref: UserRefNum, firm: [u8; 4], is_disabled: bool) {
        let now = self.now;
        let Some(account) = self.account_at_mut(index) else {
            return;
        };
        if account.uses(user_ref) {
            account.is_disabled = is_disabled;
            account.tell_entry(user_ref, firm, is_disabled, now);
        }
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
