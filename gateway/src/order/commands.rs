//! What the operator asks of a session: what to cancel, whom to pause, which limits hold from now on.
//!
//! Path:        control -> ring -> order stage -> here
//! Thread:      order core, in a turn of housekeeping
//! Invariants:  each command is in the journal, done or not.

use super::account::Account;
use super::entry::Entry;
use super::session_orders::SessionOrders;
use crate::journal::limits::PastLimits;
use crate::message::command::{Command, NewLimits, NewRow};
use crate::message::intent::Owner;
use crate::order::risk::{Limits, RowLimits};

impl Entry {
    /// Journals what earlier runs have left in force of tighter limits, once there is a journal.
    pub fn note_inherited(&mut self, past: &PastLimits, configured: &Limits, now_ns: u64) {
        if let Some(inherited) = past.inherited(configured) {
            self.journal.on_limits(configured, &inherited, now_ns);
        }
    }

    /// The same of rows.
    pub fn note_inherited_rows(
        &mut self,
        past: &PastLimits,
        configured: &[RowLimits],
        now_ns: u64,
    ) {
        for (before, inherited) in past.inherited_rows(configured) {
            self.journal.on_row(&before, &inherited, now_ns);
        }
    }

    /// Does what the operator asks for; `false`: there is no such strategy.
    pub fn on_command(&mut self, account: &mut Account, command: &Command, now_ns: u64) -> bool {
        let is_known = match command {
            Command::CancelAll => {
                self.session.begin_sweep(now_ns);
                true
            }
            Command::Pause(owner) => pause(&mut self.session, *owner, true),
            Command::Unpause(owner) => pause(&mut self.session, *owner, false),
            Command::Limits(new) => {
                self.limit(account, new, now_ns);
                true
            }
            Command::Row(new) => {
                self.limit_row(account, new, now_ns);
                true
            }
        };
        let counters = &self.session.counters;
        if is_known {
            counters.commands.increment();
        } else {
            counters.commands_unknown.increment();
        }
        self.journal.on_command(command, is_known, now_ns);
        is_known
    }

    /// The journal has what changes before the first order that it lets through, or refuses.
    fn limit(&mut self, account: &mut Account, new: &NewLimits, now_ns: u64) {
        let before = *account.risk.limits();
        self.journal.on_limits(&before, new, now_ns);
        account.risk.set_limits(&new.limits);
    }

    /// The same of a row. One that is new has every order counted that stands open, and every symbol looked at that is known:
    /// once for each change, between two turns.
    fn limit_row(&mut self, account: &mut Account, new: &NewRow, now_ns: u64) {
        let at = usize::from(new.at);
        let before = account.risk.row(at).copied();
        let before = before.unwrap_or_else(|| new.limits.bare());
        self.journal.on_row(&before, new, now_ns);
        if account.risk.set_row(at, &new.limits) {
            account.risk.count_rows_anew(&account.instruments);
            for order in self.session.orders.iter() {
                account.risk.count_in_rows(order.owner, order.instrument);
            }
        }
    }
}

fn pause(session: &mut SessionOrders, owner: Owner, is_paused: bool) -> bool {
    let desk = session.desks.get_mut(usize::from(owner.0));
    desk.map(|desk| desk.is_paused = is_paused).is_some()
}
