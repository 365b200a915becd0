//! A row of limits by strategy and symbol. What it has no key for is the account's alone.

#![expect(missing_docs, reason = "default.toml is the manual of these fields")]

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Found, Risk, Settings};

/// Rows of a session: the gateway keeps a bit for each.
const ROWS_MAX: usize = 63;
/// Every strategy, or every symbol.
const ALL: &str = "*";

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub struct LimitRow {
    #[serde(default = "all")]
    pub strategy: String,
    #[serde(default = "all")]
    pub symbol: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_qty_max: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notional_max_dollars: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position_max: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_orders_max: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orders_per_second_max: Option<u32>,
}

fn all() -> String {
    ALL.to_owned()
}

/// The rows of every session.
pub(crate) fn check(settings: &Settings, found: &mut Vec<Found>) {
    for (name, session) in &settings.session {
        let key = format!("session.{name}.risk.limit");
        let rows = &session.risk.limit;
        if rows.len() > ROWS_MAX {
            let text = format!("{} rows: expected at most {ROWS_MAX}", rows.len());
            found.push((key.clone(), text));
        }
        let strategies = settings.strategy.iter();
        let own = strategies.filter(|(_, strategy)| strategy.session == *name);
        let own: Vec<&str> = own.map(|(name, _)| name.as_str()).collect();
        for (number, row) in (1..).zip(rows) {
            for text in row.faults(&session.risk, &own) {
                found.push((key.clone(), format!("row {number}: {text}")));
            }
        }
    }
}

impl LimitRow {
    /// Each limit that a row may have, under its name.
    pub(crate) fn limits(&self) -> [(&'static str, Option<u64>); 5] {
        [
            ("order_qty_max", self.order_qty_max.map(u64::from)),
            ("notional_max_dollars", self.notional_max_dollars),
            ("position_max", self.position_max),
            ("open_orders_max", self.open_orders_max.map(u64::from)),
            (
                "orders_per_second_max",
                self.orders_per_second_max.map(u64::from),
            ),
        ]
    }

    fn faults(&self, account: &Risk, strategies: &[&str]) -> Vec<String> {
        let mut faults = Vec::new();
        let Self {
            strategy, symbol, ..
        } = self;
        if strategy != ALL && !strategies.contains(&strategy.as_str()) {
            faults.push(format!(
                "strategy \"{strategy}\": expected \"*\" or one on this session: {}",
                strategies.join(", ")
            ));
        }
        let begin = symbol.strip_suffix('*').unwrap_or(symbol);
        let is_symbol = begin.bytes().all(|it| it.is_ascii_graphic() && it != b'*');
        if !is_symbol || begin.len() > 8 || symbol.is_empty() {
            faults.push(format!(
                "symbol \"{symbol}\": expected one of 1 to 8 characters, or how symbols begin and a *"
            ));
        }
        if strategy == ALL && symbol == ALL {
            faults.push(
                "for every strategy and symbol: expected its limits beside it, as the session's"
                    .to_owned(),
            );
        }
        if strategy != ALL && self.position_max.is_some() {
            faults.push(
                "position_max: a position is the account's, expected strategy = \"*\"".to_owned(),
            );
        }
        let maxima = [
            u64::from(account.order_qty_max),
            account.notional_max_dollars,
            account.position_max,
            u64::from(account.open_orders_max),
            u64::from(account.orders_per_second_max),
        ];
        let limits = self.limits().into_iter().zip(maxima);
        let limits: Vec<_> = limits
            .map(|((name, limit), max)| (name, limit, max))
            .collect();
        if limits.iter().all(|(_, limit, _)| limit.is_none()) {
            let names = self.limits().map(|(name, _)| name).join(", ");
            faults.push(format!("nothing is limited: expected one of {names}"));
        }
        for (name, limit, max) in limits {
            if let Some(limit) = limit.filter(|it| !(1..=max).contains(it)) {
                faults.push(format!(
                    "{name}: {limit}: expected 1 to the session's {max}"
                ));
            }
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use crate::Layers;

    /// What is wrong with a session's row.
    fn found(row: &str) -> String {
        let first = include_str!("../../first.toml");
        let text = format!("{first}\n[[session.ouch.risk.limit]]\n{row}\n");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tickgate.toml");
        std::fs::write(&file, text).unwrap();
        let layers = Layers {
            file: Some(file),
            ..Layers::default()
        };
        match layers.load() {
            Ok(_) => String::new(),
            Err(faults) => faults.iter().map(|it| format!("{it}\n")).collect(),
        }
    }

    #[test]
    fn row_that_is_wider_than_its_session_or_says_nothing_is_refused_with_what_was_expected() {
        for row in [
            "symbol = \"ZV*\"\nposition_max = 10",
            "strategy = \"quotes\"\norder_qty_max = 1000",
        ] {
            assert_eq!(found(row), "");
        }
        for (row, expected) in [
            ("symbol = \"A\"", "row 1: nothing is limited"),
            ("order_qty_max = 1", "row 1: for every strategy and symbol"),
            (
                "symbol = \"A\"\norder_qty_max = 1001",
                "1001: expected 1 to the session's 1000",
            ),
            (
                "symbol = \"A\"\norder_qty_max = 0",
                "0: expected 1 to the session's 1000",
            ),
            (
                "strategy = \"x\"\norder_qty_max = 1",
                "strategy \"x\": expected \"*\" or one",
            ),
            (
                "symbol = \"A*B\"\norder_qty_max = 1",
                "symbol \"A*B\": expected one of",
            ),
            (
                "strategy = \"quotes\"\nposition_max = 1",
                "position_max: a position is the account's",
            ),
            ("symbol = \"A\"\ncollar_bps = 1", "unknown key `collar_bps`"),
        ] {
            let found = found(row);
            assert!(found.contains(expected), "{row}: {found}");
        }
    }
}
