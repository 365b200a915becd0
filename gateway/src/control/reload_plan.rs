//! What a reload comes to: which limits, rows and users are to change, and which keys cannot.
//!
//! ```text
//!  changes ──plan──> one refused? ──> each is said by name, nothing is done
//!                         └─ none ──> tables ──> commands to order stages, users
//! ```
//!
//! Thread:      the control socket's
//! Invariants:  a reload loosens no limit: what is looser than what is in force is refused, with the command by which an
//!              operator loosens it, who says the table's number. A limit that the configuration does not change stays as an
//!              operator has made it.

use std::collections::{BTreeMap, BTreeSet};

use super::answer::Refused;
use super::limits::Tables;
use super::moment::Moment;
use super::peer::Peer;
use super::reload_answer::ReloadedKey;
use super::steer::{Asking, failed};
use crate::message::command::{Command, NewRow};
use crate::order::risk::{LimitKey, RowLimits, Symbols, is_row_looser};
use crate::service::configuration::{Change, Wish};
use crate::service::control::Control;

/// What is to be done.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Each key, and why it cannot change.
    pub(super) keys: Vec<ReloadedKey>,
    /// Who may ask from now on.
    pub(super) users: Option<Vec<u32>>,
    /// Limits that are to be in force: by a session's place.
    limits: Vec<(usize, LimitKey, u64)>,
    /// Limits as they are configured now, those included that are in force already.
    configured: Vec<(usize, LimitKey, u64)>,
    /// Rows that are to be in force: by a session's place and their own.
    rows: BTreeMap<(usize, usize), RowLimits>,
}

/// A session's limit that is to be another one.
struct LimitWish<'a> {
    session: &'a str,
    limit: &'a str,
    value: u64,
}

/// A row's limit that is to be another one.
struct RowWish<'a> {
    session: &'a str,
    strategy: Option<&'a str>,
    symbol: &'a str,
    limit: &'a str,
    value: Option<u64>,
}

impl Plan {
    /// Whether something of it cannot be done.
    pub(super) fn is_refused(&self) -> bool {
        self.keys.iter().any(|it| it.refused.is_some())
    }

    /// Sessions whose own limits change.
    fn sessions(&self) -> BTreeSet<usize> {
        self.limits.iter().map(|(session, ..)| *session).collect()
    }

    /// Whether all commands that it takes have room, so that none is done and another is not.
    ///
    /// # Errors
    /// Which session has none.
    pub(super) fn check_room(&self, control: &Control) -> Result<(), Refused> {
        let own = self.sessions();
        for (at, door) in control.sessions.iter().enumerate() {
            let rows = self.rows.keys().filter(|(session, _)| *session == at);
            let needed = rows.count() + usize::from(own.contains(&at));
            let room = door.commands.capacity() - door.commands.len();
            if needed > room {
                return Err(failed(format!(
                    "session {} takes {room} commands now and {needed} are needed: its core does not turn, or too many rows \
                     change at once; nothing is reloaded",
                    door.name
                )));
            }
        }
        Ok(())
    }
}

impl Tables {
    /// What these changes come to.
    pub(super) fn plan_reload(&self, control: &Control, changes: &[Change]) -> Plan {
        let mut plan = Plan::default();
        for change in changes {
            let planned = self.plan_change(control, &change.wish, &mut plan);
            plan.keys.push(ReloadedKey {
                key: change.key.clone(),
                before: change.before.clone(),
                now: change.now.clone(),
                refused: planned.err(),
            });
        }
        plan
    }

    fn plan_change(&self, control: &Control, wish: &Wish, plan: &mut Plan) -> Result<(), String> {
        match wish {
            Wish::Impossible(why) => return Err(why.clone()),
            Wish::Own => {}
            Wish::Users(users) => plan.users = Some(users.clone()),
            Wish::Limit {
                session,
                limit,
                value,
            } => {
                let wish = LimitWish {
                    session,
                    limit,
                    value: *value,
                };
                self.plan_limit(control, plan, &wish)?;
            }
            Wish::Row {
                session,
                strategy,
                symbol,
                limit,
                value,
            } => {
                let wish = RowWish {
                    session,
                    strategy: strategy.as_deref(),
                    symbol,
                    limit,
                    value: *value,
                };
                self.plan_row(control, plan, &wish)?;
            }
        }
        Ok(())
    }

    fn plan_limit(
        &self,
        control: &Control,
        plan: &mut Plan,
        wish: &LimitWish<'_>,
    ) -> Result<(), String> {
        let LimitWish {
            session,
            limit,
            value,
        } = *wish;
        let at = place_of(control, session)?;
        let (Some(table), Some(key)) = (self.sessions.get(at), LimitKey::named(limit)) else {
            return Err(format!("{limit}: needs a restart"));
        };
        key.check(value, &table.room)
            .map_err(|error| format!("needs a restart: {error}"))?;
        let in_force = key.of(&table.in_force);
        if key.is_looser(value, in_force) {
            let number = self.number;
            return Err(format!(
                "looser than the {in_force} in force, and a reload loosens nothing: `tickgate ctl limits set --session {session} \
                 {limit}={value} --confirm {number}` does; then reload"
            ));
        }
        plan.configured.push((at, key, value));
        if value != in_force {
            plan.limits.push((at, key, value));
        }
        Ok(())
    }

    fn plan_row(
        &self,
        control: &Control,
        plan: &mut Plan,
        wish: &RowWish<'_>,
    ) -> Result<(), String> {
        let session = place_of(control, wish.session)?;
        let (Some(table), Some(key)) = (self.sessions.get(session), LimitKey::named(wish.limit))
        else {
            return Err(format!("{}: needs a restart", wish.limit));
        };
        let owner = wish.strategy.map(|name| {
            let mut all = control.strategies.iter();
            let found = all.find(|it| it.session == session && it.name == name);
            found
                .map(|it| it.owner)
                .ok_or("needs a restart: there is no such strategy")
        });
        let bare = RowLimits {
            owner: owner.transpose()?,
            symbols: Symbols::parse(wish.symbol)?,
            ..RowLimits::default()
        };
        let same = table.rows.iter().filter(|row| row.is_for_same(&bare));
        let in_force = same.filter_map(|row| row.of(key)).min();
        let at = self.row_place(plan, session, &bare)?;
        let known = table.rows.get(at).copied().unwrap_or(bare);
        let row = plan.rows.get(&(session, at)).copied().unwrap_or(known);
        if let Some(value) = wish.value {
            let configured = table.configured_rows.get(at);
            row.check(key, value, &table.room, configured)
                .map_err(|error| format!("needs a restart: {error}"))?;
        }
        if is_row_looser(wish.value, in_force) {
            return Err(self.looser_row(wish, in_force));
        }
        if wish.value != in_force {
            let mut row = row;
            row.set(key, wish.value);
            plan.rows.insert((session, at), row);
        }
        Ok(())
    }

    /// The place of a row of a session: the one for the same, one that is planned, or the next.
    fn row_place(&self, plan: &Plan, session: usize, bare: &RowLimits) -> Result<usize, String> {
        let Some(table) = self.sessions.get(session) else {
            return Err("needs a restart".to_owned());
        };
        if let Some(at) = table.rows.iter().position(|row| row.is_for_same(bare)) {
            return Ok(at);
        }
        let planned = plan
            .rows
            .range((session, table.rows.len())..=(session, usize::MAX));
        let mut next = table.rows.len();
        for ((_, at), row) in planned {
            if row.is_for_same(bare) {
                return Ok(*at);
            }
            next = at + 1;
        }
        if next >= table.rows_max {
            let max = table.rows_max;
            return Err(format!("needs a restart: this run has room for {max} rows"));
        }
        Ok(next)
    }

    fn looser_row(&self, wish: &RowWish<'_>, in_force: Option<u64>) -> String {
        let RowWish {
            session,
            strategy,
            symbol,
            limit,
            value,
        } = wish;
        let word = |it: Option<u64>| it.map_or_else(|| "none".to_owned(), |it| it.to_string());
        let of = strategy.map(|name| format!(" --strategy {name}"));
        format!(
            "looser than the {} in force, and a reload loosens nothing: `tickgate ctl limits set --session {session}{} --symbol \
             '{symbol}' {limit}={} --confirm {}` does; then reload",
            word(in_force),
            of.unwrap_or_default(),
            word(*value),
            self.number
        )
    }

    /// Does what was planned, and for which there is room: what order stages are to be asked for.
    pub(super) fn do_reload(
        &mut self,
        control: &Control,
        plan: &Plan,
        by: Peer,
        now: Moment,
    ) -> Vec<Asking> {
        for (session, key, value) in &plan.configured {
            if let Some(table) = self.sessions.get_mut(*session) {
                key.set(&mut table.configured, *value);
            }
        }
        if plan.limits.is_empty() && plan.rows.is_empty() {
            return Vec::new();
        }
        self.number += 1;
        let meant: Vec<usize> = plan.sessions().into_iter().collect();
        self.remember(control, &meant);
        for (session, key, value) in &plan.limits {
            if let Some(table) = self.sessions.get_mut(*session) {
                table.set(*key, *value, by.uid, now.wall_s);
            }
        }
        let mut asks = self.asks(&meant, by.uid);
        for ((session, at), limits) in &plan.rows {
            if let Some(table) = self.sessions.get_mut(*session) {
                match table.rows.get_mut(*at) {
                    Some(row) => *row = *limits,
                    None => table.rows.push(*limits),
                }
            }
            let new = NewRow {
                number: self.number,
                uid: by.uid,
                // A row is a bit of a word.
                at: u8::try_from(*at).unwrap_or(u8::MAX),
                limits: *limits,
            };
            asks.push(Asking {
                session: *session,
                command: Command::Row(new),
            });
        }
        asks
    }
}

fn place_of(control: &Control, session: &str) -> Result<usize, String> {
    let mut sessions = control.sessions.iter();
    let place = sessions.position(|it| it.name == session);
    place.ok_or_else(|| "needs a restart: there is no such session".to_owned())
}
