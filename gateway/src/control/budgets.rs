//! Whether the limits of a trading account's sessions still add up to no more than the account's.
//!
//! ```text
//!  a session's claim = the most of:   its limit, now and as wanted
//!                                     its limits before, until its stage has shown itself twice since they were changed
//!                                     what it has, where a tighter limit has left more standing
//! ```
//!
//! So what one session gave up is another's only once it has it no more.
//!
//! Thread:      the control socket's

use super::answer::{AccountLimitRow, Refused};
use super::steer::usage;
use crate::options::Account;
use crate::order::risk::{DOLLAR, LimitKey};
use crate::order::snapshot::Health;
use crate::service::control::{Control, SessionControl};

/// How much a value of a limit is, so that it can be added up: 0 cancels are any number.
fn amount(key: LimitKey, value: u64) -> u64 {
    match key {
        LimitKey::CancelsPerSecond if value == 0 => u64::MAX,
        _ => value,
    }
}

/// The most of some values of a limit.
pub(super) fn most(key: LimitKey, values: impl IntoIterator<Item = u64>) -> u64 {
    let amounts = values.into_iter().map(|value| amount(key, value));
    amounts.max().unwrap_or(0)
}

/// What a session has now of what a limit is for. Of rates nothing: they are over in a second.
pub(super) fn standing(session: &SessionControl, key: LimitKey) -> u64 {
    let health = session.session.health();
    let of = |of: fn(&Health) -> u64| health.as_ref().map_or(0, of);
    match key {
        LimitKey::OpenOrders => of(|it| u64::from(it.open_orders)),
        LimitKey::GrossExposure => of(|it| it.gross.div_ceil(DOLLAR)),
        LimitKey::NetExposure => of(|it| it.net.div_ceil(DOLLAR)),
        LimitKey::Loss => of(|it| it.loss().div_ceil(DOLLAR)),
        LimitKey::Position => {
            let worst = session
                .positions
                .iter()
                .map(|held| held.exposure.worst_of_both());
            worst.max().unwrap_or(0)
        }
        _ => 0,
    }
}

/// What a session has that has not heard its past is not known, and so not how much of the account's another may have.
///
/// # Errors
/// One of the account's sessions is not open.
pub(super) fn check_open(control: &Control, account: &Account) -> Result<(), Refused> {
    let sessions = account
        .sessions
        .iter()
        .filter_map(|at| control.sessions.get(*at));
    let mut closed = sessions.filter(|it| !it.session.is_open());
    let Some(session) = closed.next().filter(|_| account.sessions.len() > 1) else {
        return Ok(());
    };
    let (name, session) = (&account.name, &session.name);
    Err(usage(format!(
        "session {session} of account {name} is not open, so what it holds is not known: expected all of the account's \
         sessions open before a limit is loosened"
    )))
}

/// One limit of an account, and what its sessions claim of it.
#[derive(Debug)]
pub(super) struct Sum<'a> {
    pub(super) account: &'a Account,
    pub(super) key: LimitKey,
    pub(super) max: u64,
    /// Each session's name and claim.
    pub(super) claims: Vec<(&'a str, u64)>,
}

impl Sum<'_> {
    /// # Errors
    /// The claims are more than the account may have.
    pub(super) fn check(&self) -> Result<(), Refused> {
        let sum = self.sum();
        if sum <= self.max {
            return Ok(());
        }
        let (key, name, max) = (self.key.name(), &self.account.name, self.max);
        let each = self.claims.iter().map(|(session, claim)| match claim {
            &u64::MAX => format!("{session} any number"),
            claim => format!("{session} {claim}"),
        });
        let each = each.collect::<Vec<_>>().join(", ");
        Err(usage(format!(
            "{key}: the sessions of account {name} would have more than its {max} in all ({each}; the most of limit, \
             limit before, and what stands counts); expected {max} at most: tighten another one first"
        )))
    }

    fn sum(&self) -> u64 {
        let claims = self.claims.iter();
        claims.fold(0, |sum, (_, claim)| sum.saturating_add(*claim))
    }

    /// As an operator is shown it.
    pub(super) fn row(&self) -> AccountLimitRow {
        AccountLimitRow {
            key: self.key.name().to_owned(),
            sessions: self.sum(),
            max: self.max,
        }
    }
}
