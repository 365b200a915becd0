//! Rows of limits that an operator changes: by a strategy and symbols, one that there is or a new one.
//!
//! Thread:      the control socket's
//! Invariants:  a row keeps its place for the life of the gateway: the journal names it by that.
//! When full:   no row is added beyond what the start has set aside; refused, with how many there may be.

use std::collections::BTreeMap;

use super::answer::{Limited, Refused, RowChange};
use super::limits::{Made, Table, Tables, check_ears};
use super::part_rows::strategy;
use super::peer::Peer;
use super::steer::{Asking, usage};
use crate::message::command::{Command, NewRow};
use crate::message::intent::Owner;
use crate::order::risk::{LimitKey, RowLimits, Symbols, is_row_looser};
use crate::service::control::Control;

/// A row that an operator wants, in one or several sessions.
#[derive(Clone, Copy, Debug)]
pub(super) struct WantedRow<'a> {
    /// Places of sessions.
    pub(super) meant: &'a [usize],
    /// The strategy: its number in the session; `None`: every one.
    pub(super) owner: Option<Owner>,
    /// The symbols, as a configuration has them.
    pub(super) symbols: &'a str,
    /// New values by name; `None`: the account's.
    pub(super) limits: &'a BTreeMap<String, Option<u64>>,
    /// The number of the table that is to change.
    pub(super) confirm: Option<u32>,
}

/// A row that is to be another one.
#[derive(Clone, Copy, Debug)]
struct PlannedRow {
    session: usize,
    at: usize,
    limits: RowLimits,
}

impl Tables {
    /// Does what is wanted of rows, or says what of it has to be confirmed; then nothing is to be asked of anybody.
    ///
    /// # Errors
    /// There is no such limit, a value that it cannot have, nothing that changes, no room for a row, another table than
    /// the one confirmed, or a core that takes no commands.
    pub(super) fn change_rows(
        &mut self,
        control: &Control,
        wanted: WantedRow<'_>,
        by: Peer,
    ) -> Result<Made, Refused> {
        let (planned, rows) = self.plan_rows(control, &wanted)?;
        self.check_number(wanted.confirm)?;
        let is_looser = rows.iter().any(|it| it.is_looser);
        let mut told = Limited {
            number: self.number,
            outlives_restart: control.has_journal,
            rows,
            ..Limited::default()
        };
        let mut asks = Vec::new();
        if is_looser && wanted.confirm.is_none() {
            return Ok(Made { told, asks });
        }
        check_ears(control, wanted.meant)?;
        self.number += 1;
        (told.number, told.is_set) = (self.number, true);
        for PlannedRow {
            session,
            at,
            limits,
        } in planned
        {
            let Some(table) = self.sessions.get_mut(session) else {
                continue;
            };
            match table.rows.get_mut(at) {
                Some(row) => *row = limits,
                None => table.rows.push(limits),
            }
            let new = NewRow {
                number: self.number,
                uid: by.uid,
                // A row is a bit of a word.
                at: u8::try_from(at).unwrap_or(u8::MAX),
                limits,
            };
            asks.push(Asking {
                session,
                command: Command::Row(new),
            });
        }
        Ok(Made { told, asks })
    }

    /// What would change.
    fn plan_rows(
        &self,
        control: &Control,
        wanted: &WantedRow<'_>,
    ) -> Result<(Vec<PlannedRow>, Vec<RowChange>), Refused> {
        let symbols = Symbols::parse(wanted.symbols).map_err(usage)?;
        let bare = RowLimits {
            owner: wanted.owner,
            symbols,
            ..RowLimits::default()
        };
        let (mut planned, mut changes) = (Vec::new(), Vec::new());
        for session in wanted.meant {
            let Some(table) = self.sessions.get(*session) else {
                continue;
            };
            let known = table.rows.iter().position(|row| row.is_for_same(&bare));
            let at = known.unwrap_or(table.rows.len());
            let before = table.rows.get(at).copied().unwrap_or(bare);
            let limits = table.with(at, &before, wanted.limits)?;
            if limits == before {
                continue;
            }
            if at >= table.rows_max {
                let max = table.rows_max;
                return Err(usage(format!(
                    "one more row: this run has room for {max}; change one of those, or restart"
                )));
            }
            for key in RowLimits::KEYS {
                let (before, now) = (before.of(key), limits.of(key));
                if before != now {
                    changes.push(RowChange {
                        session: name(control, *session),
                        row: u32::try_from(at + 1).unwrap_or(u32::MAX),
                        is_new: known.is_none(),
                        strategy: strategy(control, *session, wanted.owner),
                        symbol: symbols.to_string(),
                        key: key.name().to_owned(),
                        before,
                        now,
                        is_looser: is_row_looser(now, before),
                    });
                }
            }
            planned.push(PlannedRow {
                session: *session,
                at,
                limits,
            });
        }
        if planned.is_empty() {
            return Err(usage("nothing of it changes a row".to_owned()));
        }
        Ok((planned, changes))
    }
}

impl Table {
    /// The row at this place with other values.
    fn with(
        &self,
        at: usize,
        row: &RowLimits,
        wanted: &BTreeMap<String, Option<u64>>,
    ) -> Result<RowLimits, Refused> {
        let mut limits = *row;
        for (name, value) in wanted {
            let key = LimitKey::named(name).filter(|key| RowLimits::KEYS.contains(key));
            let key = key.ok_or_else(|| {
                let names = RowLimits::KEYS.map(LimitKey::name).join(", ");
                usage(format!(
                    "{name:?}: no limit of a row, expected one of {names}"
                ))
            })?;
            if let Some(value) = value {
                let configured = self.configured_rows.get(at);
                row.check(key, *value, &self.room, configured)
                    .map_err(usage)?;
            }
            limits.set(key, *value);
        }
        Ok(limits)
    }
}

fn name(control: &Control, session: usize) -> String {
    let session = control.sessions.get(session);
    session.map_or_else(String::new, |it| it.name.clone())
}
