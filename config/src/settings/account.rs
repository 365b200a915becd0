//! A trading account: what the sessions that trade for it may risk together. Its sessions' limits are its budgets.

#![expect(missing_docs, reason = "default.toml is the manual of these fields")]

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Found, Risk, Session, Settings};

#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    pub risk: AccountRisk,
}

#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AccountRisk {
    pub position_max: u64,
    pub open_orders_max: u64,
    pub orders_per_second_max: u64,
    pub gross_exposure_max_dollars: u64,
    pub net_exposure_max_dollars: u64,
    pub loss_max_dollars: u64,
    pub cancels_per_second_max: u64,
}

impl AccountRisk {
    /// What an account must say that it may risk: these have no default.
    pub(crate) const REQUIRED: &[&str] = &[
        "position_max",
        "open_orders_max",
        "orders_per_second_max",
        "gross_exposure_max_dollars",
        "net_exposure_max_dollars",
        "loss_max_dollars",
    ];

    /// Each limit under its name, which is the one of a session's budget, too.
    #[must_use]
    pub fn limits(&self) -> [(&'static str, u64); 7] {
        [
            ("position_max", self.position_max),
            ("open_orders_max", self.open_orders_max),
            ("orders_per_second_max", self.orders_per_second_max),
            (
                "gross_exposure_max_dollars",
                self.gross_exposure_max_dollars,
            ),
            ("net_exposure_max_dollars", self.net_exposure_max_dollars),
            ("loss_max_dollars", self.loss_max_dollars),
            ("cancels_per_second_max", self.cancels_per_second_max),
        ]
    }
}

/// A session of an account, and its name.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    pub name: &'a str,
    pub session: &'a Session,
}

/// What a session has of its account's limits, in their order.
fn budgets(risk: &Risk) -> [u64; 7] {
    [
        risk.position_max,
        u64::from(risk.open_orders_max),
        u64::from(risk.orders_per_second_max),
        risk.gross_exposure_max_dollars,
        risk.net_exposure_max_dollars,
        risk.loss_max_dollars,
        u64::from(risk.cancels_per_second_max),
    ]
}

impl Settings {
    /// The sessions of each trading account, by its name.
    #[must_use]
    pub fn accounts(&self) -> BTreeMap<&str, Vec<Member<'_>>> {
        let mut accounts = BTreeMap::<&str, Vec<Member<'_>>>::new();
        for (name, session) in &self.session {
            let account = match session.account.as_str() {
                "" => name,
                account => account,
            };
            let members = accounts.entry(account).or_default();
            members.push(Member { name, session });
        }
        accounts
    }
}

/// Sessions that share an account, and its limits.
pub(crate) fn check(settings: &Settings, found: &mut Vec<Found>) {
    let accounts = settings.accounts();
    for (name, account) in &settings.account {
        match accounts.get(name.as_str()) {
            Some(sessions) => check_sums(name, account, sessions, found),
            None => found.push((
                format!("account.{name}"),
                "no session trades for it: expected one with it as its `account`".into(),
            )),
        }
    }
    for (name, sessions) in &accounts {
        let [first, others @ ..] = sessions.as_slice() else {
            continue;
        };
        if let (Some(other), false) = (others.first(), settings.account.contains_key(*name)) {
            let text = format!(
                "\"{name}\": session.{} trades for it, too; expected [account.{name}.risk] with what both may \
                 risk together",
                first.name
            );
            found.push((format!("session.{}.account", other.name), text));
        }
        for (count, other) in (1..).zip(others) {
            check_alike(first, other, found);
            check_held(sessions.iter().take(count), other, found);
        }
    }
}

/// Limits that hold because those of the sessions add up to no more.
fn check_sums(name: &str, account: &Account, sessions: &[Member<'_>], found: &mut Vec<Found>) {
    for (at, (limit, max)) in account.risk.limits().into_iter().enumerate() {
        let key = format!("account.{name}.risk.{limit}");
        // Cancels of strategies are the one thing that may go in any number.
        let is_counted = limit != "cancels_per_second_max";
        if max == 0 && !is_counted {
            continue;
        }
        if max == 0 {
            found.push((key, "0: expected 1 or more".into()));
            continue;
        }
        let has = |it: &Member<'_>| budgets(&it.session.risk).get(at).copied().unwrap_or(0);
        let any = sessions.iter().find(|it| has(it) == 0 && !is_counted);
        if let Some(Member { name, .. }) = any {
            let text = format!("{max}: session.{name} has 0, which is any number; expected less");
            found.push((key, text));
            continue;
        }
        let sum = sessions
            .iter()
            .fold(0_u64, |sum, it| sum.saturating_add(has(it)));
        if sum > max {
            let each = sessions
                .iter()
                .map(|it| format!("session.{} {}", it.name, has(it)));
            let each: Vec<String> = each.collect();
            let text = format!(
                "{max}: its sessions may have {sum} in all ({}); expected no more than the account's",
                each.join(", ")
            );
            found.push((key, text));
        }
    }
}

/// What is said of a symbol, or of two orders that meet, is said of the account.
fn check_alike(first: &Member<'_>, other: &Member<'_>, found: &mut Vec<Found>) {
    let (a, b) = (&first.session.risk, &other.session.risk);
    for (key, is_same) in [
        ("restricted", a.restricted == b.restricted),
        ("no_short", a.no_short == b.no_short),
        ("allow_self_cross", a.allow_self_cross == b.allow_self_cross),
    ] {
        if !is_same {
            let text = format!(
                "session.{} trades for the same account and says another; expected the same",
                first.name
            );
            found.push((format!("session.{}.risk.{key}", other.name), text));
        }
    }
}

/// What one session begins the day with, another one does not.
fn check_held<'a>(
    mut before: impl Iterator<Item = &'a Member<'a>>,
    other: &Member<'_>,
    found: &mut Vec<Found>,
) {
    let file = &other.session.risk.positions_file;
    let is_same = |it: &&Member<'_>| it.session.risk.positions_file == *file;
    if file.is_empty() {
        return;
    }
    if let Some(Member { name, .. }) = before.find(is_same) {
        let text = format!(
            "\"{file}\": session.{name} of the same account begins with it; expected each share in one \
             session's file"
        );
        found.push((format!("session.{}.risk.positions_file", other.name), text));
    }
}
