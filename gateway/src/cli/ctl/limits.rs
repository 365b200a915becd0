//! `tickgate ctl limits set`: other limits while the gateway runs.

use std::collections::BTreeMap;

use clap::Subcommand;

use crate::control::request::Verb;

/// What is done about limits.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum Limits {
    /// Change limits. What is tighter holds at once; what is looser needs `--confirm`.
    ///
    /// After a restart the configuration holds again, and of today's changes what is tighter than it, where there is a
    /// journal. Status 1: nothing was changed, or a session has not taken it yet.
    Set {
        /// Of this session; of all where it is left out.
        #[arg(long, value_name = "NAME")]
        session: Option<String>,
        /// Only orders of this strategy: a row of its own, which is added where there is none.
        #[arg(long, value_name = "NAME")]
        strategy: Option<String>,
        /// Only orders in this symbol, or in symbols that begin so with a * behind it; likewise.
        #[arg(long, value_name = "SYMBOL")]
        symbol: Option<String>,
        /// The number of the table as it was shown: the change may let more through than before.
        #[arg(long, value_name = "NUMBER")]
        confirm: Option<u32>,
        /// Limits under the configuration's names, in its units; of a row also `none`, which is looser.
        #[arg(value_name = "KEY=VALUE", required = true)]
        limits: Vec<String>,
    },
}

impl Limits {
    /// What is asked for.
    ///
    /// # Errors
    /// What is no limit with its value.
    pub(super) fn verb(self) -> Result<Verb, String> {
        let Self::Set {
            session,
            strategy,
            symbol,
            confirm,
            limits: given,
        } = self;
        let is_row = strategy.is_some() || symbol.is_some();
        let mut limits = BTreeMap::new();
        for text in given {
            let wrong = || format!("\"{text}\": expected KEY=VALUE, a whole number, true or false");
            let (key, value) = text.split_once('=').ok_or_else(wrong)?;
            let value = match value {
                "none" if is_row => None,
                "true" => Some(1),
                "false" => Some(0),
                digits => Some(digits.replace('_', "").parse().map_err(|_| wrong())?),
            };
            if limits.insert(key.to_owned(), value).is_some() {
                return Err(format!("{key}: given twice"));
            }
        }
        if is_row {
            return Ok(Verb::SetRow {
                session,
                strategy,
                symbol: symbol.unwrap_or_else(|| "*".to_owned()),
                limits,
                confirm,
            });
        }
        let limits = limits.into_iter();
        Ok(Verb::SetLimits {
            session,
            limits: limits
                .filter_map(|(key, value)| Some((key, value?)))
                .collect(),
            confirm,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verb(given: &[&str]) -> Result<Verb, String> {
        of_row(None, given)
    }

    fn of_row(symbol: Option<&str>, given: &[&str]) -> Result<Verb, String> {
        let set = Limits::Set {
            session: None,
            strategy: None,
            symbol: symbol.map(str::to_owned),
            confirm: None,
            limits: given.iter().map(|it| (*it).to_owned()).collect(),
        };
        set.verb()
    }

    #[test]
    fn limit_with_a_symbol_is_a_rows_and_may_be_taken_away() {
        let read = of_row(Some("ZV*"), &["order_qty_max=none", "position_max=5"]);
        let limits = [("order_qty_max", None), ("position_max", Some(5))];
        let limits = limits.map(|(key, value)| (key.to_owned(), value));
        let expected = Verb::SetRow {
            session: None,
            strategy: None,
            symbol: "ZV*".to_owned(),
            limits: limits.into(),
            confirm: None,
        };
        assert_eq!(read, Ok(expected));
        assert!(verb(&["order_qty_max=none"]).is_err(), "not an account's");
    }

    #[test]
    fn limits_are_read_as_they_are_typed_and_each_once() {
        let read = verb(&["order_qty_max=1_000", "allow_self_cross=false"]);
        let limits = [("order_qty_max", 1_000), ("allow_self_cross", 0)];
        let limits = limits.map(|(key, value)| (key.to_owned(), value));
        let expected = Verb::SetLimits {
            session: None,
            limits: limits.into(),
            confirm: None,
        };
        assert_eq!(read, Ok(expected));
        for (given, expected) in [
            (&["order_qty_max"][..], "expected KEY=VALUE"),
            (&["order_qty_max=ten"], "a whole number"),
            (&["order_qty_max=-1"], "a whole number"),
            (&["order_qty_max=1", "order_qty_max=2"], "given twice"),
        ] {
            let refused = verb(given).unwrap_err();
            assert!(refused.contains(expected), "{refused}");
        }
    }
}
