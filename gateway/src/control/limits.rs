//! The table of limits: which are in force, since when and by whom; and what an operator may make of it.
//!
//! ```text
//!  changes ──plan──> each limit: before, now, looser?  ──confirmed?──> next table ──> commands to order stages
//! ```
//!
//! Thread:      the control socket's, the only place where limits of a running gateway are changed
//! Invariants:  what is looser than what is in force is not done unless the table's number is said: two operators
//!              cannot both change the same table. All of a request is done, or nothing. What is looser is refused
//!              where an account's sessions would have more than the account (`budgets`).

use std::collections::BTreeMap;

use super::answer::{AccountLimitRow, ChangedLimit, LimitChange, Limited, LimitsRow, Refused};
use super::budgets::{self, Sum};
use super::look;
use super::moment::Moment;
use super::part_rows;
use super::peer::Peer;
use super::steer::{Asking, failed, usage};
use crate::message::command::{Command, NewLimits};
use crate::options::{Account, AccountLimit};
use crate::order::risk::{KillCause, LimitKey, Limits, RowLimits};
use crate::service::control::{Control, SessionControl};

/// Every session's.
#[derive(Debug)]
pub(super) struct Tables {
    pub(super) number: u32,
    pub(super) sessions: Vec<Table>,
}

/// One session's.
#[derive(Debug)]
pub(super) struct Table {
    /// What the configuration says, as it was read last.
    pub(super) configured: Limits,
    /// What it said at the start, which has set memory aside for that.
    pub(super) room: Limits,
    pub(super) in_force: Limits,
    /// Rows of the configuration at the start: the first of those in force.
    pub(super) configured_rows: Vec<RowLimits>,
    /// Rows in force.
    pub(super) rows: Vec<RowLimits>,
    /// How many there may be.
    pub(super) rows_max: usize,
    /// Those that this run has changed.
    changed: [Option<Change>; LimitKey::COUNT],
    /// What was in force before, until the stage has shown itself since.
    before: Option<Before>,
}

/// Limits that a stage may still judge by, or that what it shows may be of.
#[derive(Clone, Copy, Debug)]
struct Before {
    /// The most of each.
    limits: [u64; LimitKey::COUNT],
    /// How often the stage had shown everything ([`Health::passes`](crate::order::snapshot::Health)) once it had the
    /// command; `None`: it has not, or could not be read since.
    passes: Option<u64>,
    /// It has the command.
    is_handed_over: bool,
}

impl Before {
    /// Whether the stage may not have shown itself since.
    fn holds(&self, passes: Option<u64>) -> bool {
        // Who cannot be read has shown nothing.
        let shown = self.passes.zip(passes);
        shown.is_none_or(|(before, now)| now < before.saturating_add(PASSES))
    }
}

/// Passes after which a stage has shown everything anew since.
const PASSES: u64 = 2;

#[derive(Clone, Copy, Debug)]
struct Change {
    since_s: u64,
    uid: u32,
}

/// What an operator wants of one or all sessions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    /// Places of sessions.
    pub(super) meant: &'a [usize],
    /// New values by name.
    pub(super) limits: &'a BTreeMap<String, u64>,
    /// The number of the table that is to change.
    pub(super) confirm: Option<u32>,
}

impl Tables {
    /// Those with which a run begins: numbers go on where the last run's ended.
    pub(super) fn new(control: &Control) -> Self {
        let sessions = control.sessions.iter();
        let last = sessions.clone().map(|it| it.past_limits.number()).max();
        Self {
            number: last.unwrap_or(0).saturating_add(1),
            sessions: sessions.map(Table::new).collect(),
        }
    }

    /// As an operator is shown them.
    pub(super) fn rows(&self, control: &Control) -> Vec<LimitsRow> {
        let sessions = control.sessions.iter().zip(&self.sessions).enumerate();
        let rows = sessions.map(|(at, (session, table))| LimitsRow {
            session: session.name.clone(),
            number: self.number,
            rows: part_rows::shown(control, at, &table.rows),
            changed: table.changed(),
            account: account_of(control, at).map(|account| account.name.clone()),
            account_limits: self.account_rows(control, at),
            ..table.row()
        });
        rows.collect()
    }

    fn account_rows(&self, control: &Control, session: usize) -> Vec<AccountLimitRow> {
        let account = account_of(control, session).into_iter();
        let sums = account.flat_map(|account| self.sums(control, account));
        sums.map(|sum| sum.row()).collect()
    }

    /// Each limit of an account, and what its sessions claim of it.
    fn sums<'a>(
        &'a self,
        control: &'a Control,
        account: &'a Account,
    ) -> impl Iterator<Item = Sum<'a>> {
        account.limits.iter().map(move |limit| {
            let claim = |at: usize| self.claim(control, at, limit.key);
            sum(control, account, *limit, claim)
        })
    }

    /// What a session has of a limit at the most: see [`budgets`].
    fn claim(&self, control: &Control, session: usize, key: LimitKey) -> u64 {
        let (Some(table), Some(door)) = (self.sessions.get(session), control.sessions.get(session))
        else {
            return 0;
        };
        let passes = door.session.health().map(|it| it.passes);
        let before = table.before.filter(|it| it.holds(passes));
        let before = before.and_then(|it| it.limits.get(key.place()).copied());
        let limits = before.into_iter().chain([key.of(&table.in_force)]);
        budgets::most(key, limits).max(budgets::standing(door, key))
    }

    /// Whether what is looser leaves each account within its own limits.
    fn check_accounts(&self, control: &Control, changes: &[Planned]) -> Result<(), Refused> {
        for account in &control.accounts {
            let of_account = |it: &&Planned| account.sessions.contains(&it.session);
            for limit in &account.limits {
                let key = limit.key;
                let mut looser = changes.iter().filter(of_account);
                if !looser.any(|it| it.key == key && it.change.is_looser) {
                    continue;
                }
                let claim = |at: usize| {
                    let mut wanted = changes.iter();
                    let wanted = wanted.find(|it| it.session == at && it.key == key);
                    let wanted = wanted.map(|it| budgets::most(key, [it.change.now]));
                    self.claim(control, at, key).max(wanted.unwrap_or(0))
                };
                budgets::check_open(control, account)?;
                sum(control, account, *limit, claim).check()?;
            }
        }
        Ok(())
    }

    /// Whether each account of this scope that was stopped because a session had found more than its part
    /// ([`KillCause::AccountBudget`]) is within its limits by now, so that it may be resumed.
    ///
    /// # Errors
    /// One is not: which limit, and what each session claims of it.
    pub(super) fn check_found(&self, control: &Control, scope: &str) -> Result<(), Refused> {
        for account in &control.accounts {
            let sessions = account.sessions.iter();
            let mut sessions = sessions.filter_map(|at| control.sessions.get(*at));
            let has_found_more = sessions.any(|it| {
                it.kill.cause() == Some(KillCause::AccountBudget)
                    && look::is_member(control, scope, it)
            });
            if has_found_more {
                self.sums(control, account)
                    .try_for_each(|sum| sum.check())?;
            }
        }
        Ok(())
    }

    /// Does what is wanted, or says what of it has to be confirmed; then nothing is to be asked of anybody.
    ///
    /// # Errors
    /// There is no such limit, a value that it cannot have, nothing that changes, another table than the one confirmed,
    /// or a core that takes no commands.
    pub(super) fn change(
        &mut self,
        control: &Control,
        wanted: Wanted<'_>,
        by: Peer,
        now: Moment,
    ) -> Result<Made, Refused> {
        let changes = self.plan(control, &wanted)?;
        self.check_accounts(control, &changes)?;
        let number = self.number;
        self.check_number(wanted.confirm)?;
        let is_looser = changes.iter().any(|it| it.change.is_looser);
        let rows = changes.iter().map(|it| it.change.clone());
        let mut told = Limited {
            number,
            outlives_restart: control.has_journal,
            changes: rows.collect(),
            ..Limited::default()
        };
        if is_looser && wanted.confirm.is_none() {
            let asks = Vec::new();
            return Ok(Made { told, asks });
        }
        check_ears(control, wanted.meant)?;
        self.number += 1;
        told.number = self.number;
        told.is_set = true;
        self.remember(control, wanted.meant);
        for it in &changes {
            if let Some(table) = self.sessions.get_mut(it.session) {
                table.set(it.key, it.change.now, by.uid, now.wall_s);
            }
        }
        let asks = self.asks(wanted.meant, by.uid);
        Ok(Made { told, asks })
    }

    /// Keeps what these sessions have, before it is changed.
    pub(super) fn remember(&mut self, control: &Control, meant: &[usize]) {
        for session in meant {
            let door = control.sessions.get(*session);
            if let (Some(table), Some(door)) = (self.sessions.get_mut(*session), door) {
                table.remember(door);
            }
        }
    }

    /// Stages have their commands from now on: what they show twice anew is judged by these.
    pub(super) fn handed_over(&mut self, control: &Control) {
        let befores = self.sessions.iter_mut().filter_map(|it| it.before.as_mut());
        befores.for_each(|before| before.is_handed_over = true);
        self.look(control);
    }

    /// Looks how often a stage that has its command had shown itself, where it could not be read when it got it.
    pub(super) fn look(&mut self, control: &Control) {
        for (table, door) in self.sessions.iter_mut().zip(&control.sessions) {
            if let Some(before) = table.before.as_mut()
                && before.is_handed_over
                && before.passes.is_none()
            {
                before.passes = door.session.health().map(|it| it.passes);
            }
        }
    }

    /// Whether the table that is confirmed is the one in force.
    pub(super) fn check_number(&self, confirm: Option<u32>) -> Result<(), Refused> {
        let number = self.number;
        match confirm.filter(|it| *it != number) {
            Some(other) => Err(usage(format!(
                "--confirm {other}: the table in force has number {number}; look at it again"
            ))),
            None => Ok(()),
        }
    }

    /// What would change: the session, the limit, the values.
    fn plan(&self, control: &Control, wanted: &Wanted<'_>) -> Result<Vec<Planned>, Refused> {
        let mut changes = Vec::new();
        for index in wanted.meant {
            let sessions = control.sessions.get(*index).zip(self.sessions.get(*index));
            let Some((session, table)) = sessions else {
                continue;
            };
            for (name, now) in wanted.limits {
                let key = LimitKey::named(name).ok_or_else(|| unknown(name))?;
                key.check(*now, &table.room).map_err(usage)?;
                let before = key.of(&table.in_force);
                if before != *now {
                    let change = LimitChange {
                        session: session.name.clone(),
                        key: name.clone(),
                        before,
                        now: *now,
                        is_looser: key.is_looser(*now, before),
                    };
                    let session = *index;
                    changes.push(Planned {
                        session,
                        key,
                        change,
                    });
                }
            }
        }
        if changes.is_empty() {
            return Err(usage("nothing of it changes a limit".to_owned()));
        }
        Ok(changes)
    }

    /// The command for each of these sessions that lets its table hold.
    pub(super) fn asks(&self, meant: &[usize], uid: u32) -> Vec<Asking> {
        let tables = meant.iter().filter_map(|index| {
            let limits = self.sessions.get(*index)?.in_force;
            let new = NewLimits {
                number: self.number,
                uid,
                limits,
            };
            Some(Asking {
                session: *index,
                command: Command::Limits(new),
            })
        });
        tables.collect()
    }
}

/// Whether all of these sessions take one more command.
pub(super) fn check_ears(control: &Control, meant: &[usize]) -> Result<(), Refused> {
    let meant = meant.iter();
    let mut meant = meant.filter_map(|index| control.sessions.get(*index));
    match meant.find(|session| !session.takes_commands()) {
        Some(SessionControl { name, .. }) => Err(failed(format!(
            "session {name} takes no commands: its core does not turn, and as many as may wait do; no limit is changed"
        ))),
        None => Ok(()),
    }
}

/// The trading account of a session, where it has limits of its own or several sessions.
fn account_of(control: &Control, session: usize) -> Option<&Account> {
    let mut accounts = control.accounts.iter();
    accounts.find(|account| account.sessions.contains(&session))
}

fn sum<'a>(
    control: &'a Control,
    account: &'a Account,
    limit: AccountLimit,
    claim: impl Fn(usize) -> u64,
) -> Sum<'a> {
    let sessions = account.sessions.iter();
    let claims =
        sessions.filter_map(|at| Some((control.sessions.get(*at)?.name.as_str(), claim(*at))));
    let AccountLimit { key, max } = limit;
    Sum {
        account,
        key,
        max,
        claims: claims.collect(),
    }
}

/// A limit that is to change.
struct Planned {
    /// Its session's place.
    session: usize,
    key: LimitKey,
    change: LimitChange,
}

/// What became of a request.
#[derive(Debug)]
pub(super) struct Made {
    /// What the operator is told.
    pub(super) told: Limited,
    /// What order stages are to be asked for.
    pub(super) asks: Vec<Asking>,
}

fn unknown(name: &str) -> Refused {
    let names: Vec<&str> = LimitKey::ALL.iter().map(|(_, name)| *name).collect();
    usage(format!(
        "{name:?}: no limit that changes while the gateway runs, expected one of {}",
        names.join(", ")
    ))
}

impl Table {
    fn new(session: &SessionControl) -> Self {
        let rows = session.past_limits.rows_in_force(&session.rows);
        Self {
            rows_max: RowLimits::room(rows.len()),
            rows,
            configured_rows: session.rows.clone(),
            configured: session.limits,
            room: session.limits,
            in_force: session.past_limits.in_force(&session.limits),
            changed: [None; LimitKey::COUNT],
            before: None,
        }
    }

    /// Keeps what is in force, and what may still be, until the stage has shown itself since.
    fn remember(&mut self, door: &SessionControl) {
        let passes = door.session.health().map(|it| it.passes);
        let still = self.before.filter(|it| it.holds(passes));
        let limits = LimitKey::ALL.map(|(key, _)| {
            let before = still.and_then(|it| it.limits.get(key.place()).copied());
            budgets::most(key, before.into_iter().chain([key.of(&self.in_force)]))
        });
        self.before = Some(Before {
            limits,
            passes: None,
            is_handed_over: false,
        });
    }

    pub(super) fn set(&mut self, key: LimitKey, value: u64, uid: u32, since_s: u64) {
        key.set(&mut self.in_force, value);
        if let Some(changed) = self.changed.get_mut(key.place()) {
            *changed = Some(Change { since_s, uid });
        }
    }

    fn changed(&self) -> Vec<ChangedLimit> {
        let keys = LimitKey::ALL.into_iter().zip(self.changed);
        let changed = keys.filter_map(|((key, name), changed)| {
            let (configured, in_force) = (key.of(&self.configured), key.of(&self.in_force));
            (changed.is_some() || configured != in_force).then(|| ChangedLimit {
                key: name.to_owned(),
                configured,
                in_force,
                since_s: changed.map(|it| it.since_s),
                uid: changed.map(|it| it.uid),
            })
        });
        changed.collect()
    }

    fn row(&self) -> LimitsRow {
        let limits = &self.in_force;
        let of = |key: LimitKey| key.of(limits);
        let word = |key: LimitKey| u32::try_from(key.of(limits)).unwrap_or(u32::MAX);
        LimitsRow {
            order_qty_max: word(LimitKey::OrderQty),
            notional_max_dollars: of(LimitKey::Notional),
            collar_bps: word(LimitKey::Collar),
            position_max: of(LimitKey::Position),
            gross_exposure_max_dollars: of(LimitKey::GrossExposure),
            net_exposure_max_dollars: of(LimitKey::NetExposure),
            loss_max_dollars: of(LimitKey::Loss),
            open_orders_max: word(LimitKey::OpenOrders),
            orders_per_second_max: word(LimitKey::OrdersPerSecond),
            cancels_per_second_max: word(LimitKey::CancelsPerSecond),
            rejects_max: word(LimitKey::Rejects),
            reject_window_ms: of(LimitKey::RejectWindow),
            duplicate_window_ms: limits.duplicate_window_ns / 1_000_000,
            allow_self_cross: limits.may_self_cross,
            trading_hours: limits.hours.map(|hours| hours.to_string()),
            intent_age_max_ms: of(LimitKey::IntentAge),
            ..LimitsRow::default()
        }
    }
}
