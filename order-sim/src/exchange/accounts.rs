//! The accounts from outside: what each was told, what it has open, what is kept of it.

use protocol::ouch::Outbound;
use protocol::types::{Qty, Symbol, UserRefNum};

use super::Exchange;
use crate::account::Account;
use crate::account::{AccountView, AnswerCounts};
use crate::engine::cancel_reason;
use crate::store::Store;

impl Exchange {
    /// The index of an account.
    #[must_use]
    pub fn account(&self, name: &str) -> Option<u16> {
        self.outlet.accounts.index(name)
    }

    /// Orders that an account has open, with their open shares, by reference number.
    #[must_use]
    pub fn open_orders(&self, account: u16) -> Vec<(UserRefNum, Qty)> {
        self.outlet
            .accounts
            .get(account)
            .map(Account::open_orders)
            .unwrap_or_default()
    }

    /// Shares that stand before an account's order at its price, as the feed shows them; `None`: it is not live, or nothing of it is shown.
    #[must_use]
    pub fn ahead(&self, account: u16, user_ref: UserRefNum) -> Option<u64> {
        let held = self.account_at(account)?.orders.get(&user_ref.0)?;
        self.engine.ahead(held.handle?)
    }

    /// Every account with what it has open and has traded, in the order of names.
    pub fn accounts(&self) -> impl Iterator<Item = AccountView> + '_ {
        self.outlet.accounts.iter().map(Account::view)
    }

    /// How each account was answered, in the order of names.
    pub fn answer_counts(&self) -> impl Iterator<Item = (&str, AnswerCounts)> + '_ {
        self.outlet.accounts.iter().map(Account::answer_counts)
    }

    /// One account of [`Exchange::accounts`], by its index.
    #[must_use]
    pub fn account_view(&self, account: u16) -> Option<AccountView> {
        self.outlet.accounts.get(account).map(Account::view)
    }

    /// Sequenced messages of an account so far.
    #[must_use]
    pub fn stored(&self, account: u16) -> usize {
        self.outlet
            .accounts
            .get(account)
            .map_or(0, |account| account.store.count())
    }

    /// The account's message of this index (sequence number less one); `None` also for one that cannot be
    /// saved.
    #[must_use]
    pub fn message(&self, account: u16, index: usize) -> Option<&[u8]> {
        let account = self.outlet.accounts.get(account)?;
        let is_saved = !account.is_cut || index < account.store.saved_count();
        account.store.message(index).filter(|_| is_saved)
    }

    /// Bytes of an account's messages from this index on.
    #[must_use]
    pub fn unread_bytes(&self, account: u16, index: usize) -> usize {
        self.outlet
            .accounts
            .get(account)
            .map_or(0, |account| account.store.bytes_from(index))
    }

    /// Where a script cuts an account's connection: in the middle of the message of this index.
    #[must_use]
    pub fn cut_at(&self, account: u16) -> Option<usize> {
        self.outlet.accounts.get(account)?.cut_at
    }

    /// The connection was cut as the script wanted.
    pub fn forget_cut(&mut self, account: u16) {
        if let Some(account) = self.outlet.accounts.get_mut(account) {
            account.cut_at = None;
        }
    }

    /// Hands what is not yet in the accounts' files to `save`, by name; what it saved is marked. An account
    /// whose answers could not be saved is cut off: as it cannot be told of fills, its orders are
    /// cancelled, its messages are ignored and its answers wait until `save` takes them.
    ///
    /// # Errors
    /// The first that `save` returned; all accounts were tried.
    pub fn save<E>(&mut self, mut save: impl FnMut(&str, &[u8]) -> Result<(), E>) -> Result<(), E> {
        let mut result = Ok(());
        let mut cut = Vec::new();
        for (index, account) in (0..).zip(self.outlet.accounts.iter_mut()) {
            if account.store.unsaved().is_empty() {
                continue;
            }
            match save(&account.name, account.store.unsaved()) {
                Ok(()) => {
                    account.store.mark_saved();
                    account.is_cut = false;
                }
                Err(error) => {
                    if !std::mem::replace(&mut account.is_cut, true) {
                        cut.push(index);
                    }
                    result = result.and(Err(error));
                }
            }
        }
        for account in cut {
            self.counters.accounts_cut.increment();
            self.cancel_where(account, Symbol::BLANK, cancel_reason::SYSTEM);
            self.end_operation();
        }
        result
    }

    /// Whether an account is cut off because its answers cannot be saved.
    #[must_use]
    pub fn is_cut(&self, account: u16) -> bool {
        self.outlet
            .accounts
            .get(account)
            .is_some_and(|account| account.is_cut)
    }

    /// Cancels everything that an account has open.
    pub fn cancel_all(&mut self, account: u16) {
        self.cancel_where(account, Symbol::BLANK, cancel_reason::SUPERVISORY);
        self.end_operation();
    }

    /// Gives an account the messages of an earlier run. What was open then is cancelled by the system: a
    /// restarted exchange has an empty book, and its clients read so when they come back.
    pub fn restore(&mut self, account: u16, store: Store) {
        let now = self.now;
        let Some(account) = self.outlet.accounts.get_mut(account) else {
            return;
        };
        account.store = store;
        let mut last = Used::default();
        for index in 0..account.store.count() {
            let used = account
                .store
                .message(index)
                .map(Used::by)
                .unwrap_or_default();
            last.order = last.order.max(used.order);
            last.matched = last.matched.max(used.matched);
        }
        for (user_ref, open) in account.recall() {
            account.tell_canceled(user_ref, open, cancel_reason::SYSTEM, now);
        }
        self.engine.begin_after(last.order, last.matched);
    }

    pub(super) fn cancel_where(&mut self, account: u16, symbol: Symbol, reason: u8) {
        let live = self
            .account_at(account)
            .map(|account| account.live(symbol))
            .unwrap_or_default();
        for (_, handle) in live {
            self.take_off(handle, reason);
        }
    }

    pub(super) fn account_at(&self, account: u16) -> Option<&Account> {
        self.outlet.accounts.get(account)
    }

    pub(super) fn account_at_mut(&mut self, account: u16) -> Option<&mut Account> {
        self.outlet.accounts.get_mut(account)
    }
}

/// Numbers of the day that an account's message shows to be used; 0: none.
#[derive(Clone, Copy, Debug, Default)]
struct Used {
    order: u64,
    matched: u64,
}

impl Used {
    fn by(message: &[u8]) -> Self {
        let mut used = Self::default();
        match Outbound::decode(message) {
            Ok((Outbound::OrderAccepted(m), _)) => used.order = m.order.get().0,
            Ok((Outbound::OrderReplaced(m), _)) => used.order = m.order.get().0,
            Ok((Outbound::Executed(m), _)) => used.matched = m.match_number.get().0,
            _ => {}
        }
        used
    }
}
