//! The accounts: what each has open, what it may do, and every answer that it was given.
//!
//! ```text
//!  OUCH bytes ──> request (sense) ──> rules (rights, risk, market) ──> engine
//!                                                                        │ events
//!  store <── OUCH bytes <── answers <────────────────────────────────────┘
//! ```
//!
//! Invariants:  an answer is appended to the account's store and never changes. A reference number is used
//!              once. What is open here is what the engine has open for the account.
//! Time:        comes in as `now`, ns since midnight.

mod answers;
mod request;
mod rules;
mod tally;
mod view;

use std::collections::HashMap;

use protocol::ouch::{EnterOrder, Outbound, RejectReason, ReplaceOrder};
use protocol::types::{Nanos, Price4, Qty, Side, Symbol, UserRefNum};

use crate::engine::{Handle, Owner, Prevention};
use crate::options::{AccountOptions, Options};
use crate::script::Behaviour;
use crate::store::Store;

pub use view::{AccountView, AnswerCounts, OpenOrder, Position};

pub(crate) use request::{Tags, Wanted};
pub(crate) use rules::{Entered, Market, OrderLimits, Phase};
use tally::{Fill, Replay, Tally};

/// One order that lives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    /// As it was entered or replaced.
    pub message: EnterOrder,
    pub tags: Tags,
    pub handle: Option<Handle>,
    pub locate: u16,
    /// Shares that the whole chain has executed.
    pub executed: u32,
    pub open: u32,
    /// As it was accepted, after any slide; `None`: any.
    pub price: Option<Price4>,
    pub behaviour: Option<Behaviour>,
}

/// One account.
#[derive(Debug)]
pub(crate) struct Account {
    pub name: String,
    pub options: AccountOptions,
    pub store: Store,
    pub orders: HashMap<u32, Held>,
    pub last_user_ref: u32,
    /// Orders accepted so far.
    pub accepted: u64,
    pub tally: Tally,
    pub is_disabled: bool,
    /// Its answers cannot be saved.
    pub is_cut: bool,
    /// Price times shares of everything open, four decimals.
    exposure: u64,
    /// Messages in the current second of exchange time.
    rate: (u64, u32),
    /// The connection is cut in the middle of this message (index in the store).
    pub cut_at: Option<usize>,
}

/// Every account by its index, in the order of names.
#[derive(Debug)]
pub(crate) struct Accounts {
    accounts: Vec<Account>,
    /// The appendage of the request that is being answered, to be echoed.
    pub echo: Vec<u8>,
}

impl Accounts {
    pub(crate) fn new(options: &Options) -> Self {
        let store_max = options.store_max;
        let accounts = options.accounts.iter().map(|(name, options)| Account {
            name: name.clone(),
            options: options.clone(),
            store: Store::new(store_max),
            orders: HashMap::new(),
            last_user_ref: 0,
            accepted: 0,
            tally: Tally::default(),
            is_disabled: false,
            is_cut: false,
            exposure: 0,
            rate: (0, 0),
            cut_at: None,
        });
        Self {
            accounts: accounts.collect(),
            echo: Vec::with_capacity(256),
        }
    }

    pub(crate) fn index(&self, name: &str) -> Option<u16> {
        let at = self
            .accounts
            .iter()
            .position(|account| account.name == name)?;
        u16::try_from(at).ok()
    }

    pub(crate) fn get(&self, index: u16) -> Option<&Account> {
        self.accounts.get(usize::from(index))
    }

    pub(crate) fn get_mut(&mut self, index: u16) -> Option<&mut Account> {
        self.accounts.get_mut(usize::from(index))
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.accounts.iter().map(|account| account.name.as_str())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Account> {
        self.accounts.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Account> {
        self.accounts.iter_mut()
    }

    /// Takes an order in before the engine does, so that its events find it.
    pub(crate) fn hold(&mut self, owner: Owner, held: Held) {
        if let Some(account) = self.get_mut(owner.account) {
            account.exposure += held.notional(held.open);
            account.orders.insert(owner.user_ref, held);
        }
    }

    /// Forgets an order that the engine refused.
    pub(crate) fn forget(&mut self, owner: Owner) {
        if let Some(account) = self.get_mut(owner.account)
            && let Some(held) = account.orders.remove(&owner.user_ref)
        {
            account.exposure = account.exposure.saturating_sub(held.notional(held.open));
        }
    }
}

impl Held {
    /// Shares of it that traded.
    fn fill(&self, qty: u32) -> Option<Fill> {
        let (symbol, side) = (self.message.symbol, Side::of_code(self.message.side)?);
        Some(Fill { symbol, side, qty })
    }

    /// The order as a replacement makes it.
    pub(crate) fn message_after(&self, m: &ReplaceOrder) -> EnterOrder {
        EnterOrder {
            user_ref: m.user_ref,
            qty: m.qty,
            price: m.price,
            time_in_force: m.time_in_force,
            display: m.display,
            iso: m.iso,
            client_order_id: m.client_order_id,
            ..self.message
        }
    }

    /// Price times shares; a market order counts nothing, as it never rests.
    fn notional(&self, shares: u32) -> u64 {
        let price = Wanted::of_enter(&self.message)
            .limit()
            .map_or(0, |price| price.0);
        u64::from(price) * u64::from(shares)
    }
}

impl Account {
    /// Whether a number is new; a new one is used up.
    pub(crate) fn uses(&mut self, user_ref: UserRefNum) -> bool {
        let is_new = user_ref.0 > self.last_user_ref;
        if is_new {
            self.last_user_ref = user_ref.0;
        }
        is_new
    }

    /// Takes shares off an order; at none it is gone.
    fn lower(&mut self, user_ref: u32, open: u32, executed: u32) {
        let Some(held) = self.orders.get_mut(&user_ref) else {
            return;
        };
        let off = held.open.saturating_sub(open);
        held.open = open;
        held.executed += executed;
        let less = held.notional(off);
        self.exposure = self.exposure.saturating_sub(less);
        if open == 0 {
            self.orders.remove(&user_ref);
        }
    }

    /// Open orders of a symbol, or of all, in the order of their numbers.
    pub(crate) fn live(&self, symbol: Symbol) -> Vec<(u32, Handle)> {
        let orders = self.orders.iter();
        let meant =
            orders.filter(|(_, held)| symbol == Symbol::BLANK || held.message.symbol == symbol);
        let handles = meant.filter_map(|(number, held)| Some((*number, held.handle?)));
        let mut live: Vec<_> = handles.collect();
        live.sort_unstable();
        live
    }

    /// After a restart: what the account's own messages say that it had open, by number; and which number
    /// was the last, and what was traded.
    pub(crate) fn recall(&mut self) -> Vec<(u32, u32)> {
        let mut replay = Replay::default();
        for index in 0..self.store.count() {
            let Some(bytes) = self.store.message(index) else {
                continue;
            };
            let Ok((message, _)) = Outbound::decode(bytes) else {
                continue;
            };
            replay.on_answer(bytes, &message);
            if let Some(user_ref) = newest_user_ref(&message) {
                self.last_user_ref = self.last_user_ref.max(user_ref.0);
            }
        }
        let open = replay.open();
        self.tally = replay.tally;
        open
    }

    /// Its name, and how it was answered.
    pub(crate) fn answer_counts(&self) -> (&str, AnswerCounts) {
        (&self.name, self.tally.answers)
    }

    /// The account as it is now.
    pub(crate) fn view(&self) -> AccountView {
        let orders = self.orders.iter().map(|(user_ref, held)| OpenOrder {
            user_ref: UserRefNum(*user_ref),
            symbol: held.message.symbol,
            side: held.message.side,
            price: held.price,
            open: Qty(held.open),
            executed: Qty(held.executed),
        });
        let mut orders: Vec<_> = orders.collect();
        orders.sort_unstable_by_key(|order| order.user_ref);
        AccountView {
            name: self.name.clone(),
            is_disabled: self.is_disabled,
            is_cut: self.is_cut,
            answers: self.tally.answers,
            orders,
            positions: self.tally.positions(),
        }
    }

    pub(crate) fn open_orders(&self) -> Vec<(UserRefNum, Qty)> {
        let orders = self.orders.iter();
        let mut open: Vec<_> = orders
            .map(|(number, held)| (UserRefNum(*number), Qty(held.open)))
            .collect();
        open.sort_unstable();
        open
    }

    /// Counts a message against the account's rate; `false`: it is one too many.
    fn is_within_rate(&mut self, now: Nanos) -> bool {
        let second = now.0 / 1_000_000_000;
        if self.rate.0 != second {
            self.rate = (second, 0);
        }
        self.rate.1 += 1;
        self.options.messages_per_second == 0 || self.rate.1 <= self.options.messages_per_second
    }

    /// The group in which its orders do not trade with one another, and the rule.
    fn prevention(&self, index: u16, tags: &Tags) -> (u16, Prevention) {
        let rule = tags.prevention.or(self.options.self_match);
        let group = if tags.group == 0 {
            index + 1
        } else {
            tags.group | 0x8000
        };
        rule.map_or((0, Prevention::CancelOldest), |rule| (group, rule))
    }
}

/// The number that a message shows to be used.
fn newest_user_ref(message: &Outbound<'_>) -> Option<UserRefNum> {
    match message {
        Outbound::OrderAccepted(m) => Some(m.user_ref.get()),
        Outbound::OrderReplaced(m) => Some(m.user_ref.get()),
        Outbound::Rejected(m) => Some(m.user_ref.get()),
        Outbound::MassCancelResponse(m) => Some(m.user_ref.get()),
        Outbound::DisableResponse(m) => Some(m.user_ref.get()),
        Outbound::EnableResponse(m) => Some(m.user_ref.get()),
        Outbound::AccountQueryResponse(m) => Some(UserRefNum(m.next_user_ref.get().0 - 1)),
        _ => None,
    }
}

/// The reason for which a refusal of the engine is told.
pub(crate) fn reason_of(refusal: crate::engine::Refusal) -> RejectReason {
    use crate::engine::Refusal;
    match refusal {
        Refusal::UnknownStock => RejectReason::InvalidSymbol,
        Refusal::Halted => RejectReason::Halted,
        Refusal::Full => RejectReason::ProcessingError,
        Refusal::Pegging => RejectReason::PeggingNotAllowed,
        Refusal::ShortSale => RejectReason::RiskShortSellRestricted,
        Refusal::Cross => RejectReason::InvalidCrossOrder,
    }
}
