//! A line of the drop copy: JSON, or CSV, where a line of names is before all others.
//!
//! Invariants:  a line has one execution and no other line's bytes, whatever names are like.
//! When wrong:  a line that no gateway wrote is an error that says what was expected.

use std::io;

use serde::Deserialize;

use super::executions::{Execution, What};

/// How lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CopyFormat {
    /// A JSON object, see [`Execution`].
    #[default]
    Json,
    /// Comma-separated values. What is not known is empty.
    Csv,
}

/// What is read of a line that is there: what tells an execution from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Line {
    pub(super) seq: u64,
    pub(super) match_number: u64,
    pub(super) user_ref: u32,
}

/// The names of CSV's columns. Those that are read back are numbers and come first.
const CSV_NAMES: &str = "seq,match_number,user_ref,what,session,username,exchange_session,time_ns,exchange_ns,strategy,order_id,\
                         symbol,side,shares,price,liquidity";

impl CopyFormat {
    /// What a file's name ends with.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Self::Json => "jsonl",
            Self::Csv => "csv",
        }
    }

    /// The line before all others.
    pub(super) fn head(self) -> Option<&'static str> {
        match self {
            Self::Json => None,
            Self::Csv => Some(CSV_NAMES),
        }
    }

    /// Appends a line.
    ///
    /// # Errors
    /// None, as far as is known: what JSON cannot say.
    pub(super) fn write(self, execution: &Execution, lines: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Self::Json => serde_json::to_writer(&mut *lines, execution)?,
            Self::Csv => write_csv(execution, lines),
        }
        lines.push(b'\n');
        Ok(())
    }

    /// Reads a line that is no head.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn read(self, line: &[u8]) -> Result<Line, String> {
        match self {
            Self::Json => serde_json::from_slice(line).map_err(|error| error.to_string()),
            Self::Csv => {
                read_csv(line).ok_or_else(|| format!("expected {}", CSV_NAMES.replace(',', ", ")))
            }
        }
    }
}

fn write_csv(execution: &Execution, lines: &mut Vec<u8>) {
    let what = match execution.what {
        What::Fill => "fill",
        What::Break => "break",
    };
    let number = |number: Option<u64>| number.map(|it| it.to_string()).unwrap_or_default();
    let text = |text: Option<&str>| text.map(quoted).unwrap_or_default();
    let cells = [
        execution.seq.to_string(),
        execution.match_number.to_string(),
        execution.user_ref.to_string(),
        what.to_owned(),
        quoted(&execution.session),
        quoted(&execution.username),
        quoted(&execution.exchange_session),
        execution.time_ns.to_string(),
        execution.exchange_ns.to_string(),
        text(execution.strategy.as_deref()),
        number(execution.order_id.map(u64::from)),
        text(execution.symbol.as_deref()),
        text(execution.side),
        number(execution.shares.map(u64::from)),
        number(execution.price),
        text(execution.liquidity.map(String::from).as_deref()),
    ];
    lines.extend(cells.join(",").into_bytes());
}

/// Text as a cell: in quotes where it must be, and a line's end in it is a space.
fn quoted(text: &str) -> String {
    let text = text.replace(['\n', '\r'], " ");
    if !text.contains([',', '"']) {
        return text;
    }
    format!("\"{}\"", text.replace('"', "\"\""))
}

fn read_csv(line: &[u8]) -> Option<Line> {
    let mut cells = std::str::from_utf8(line).ok()?.split(',');
    Some(Line {
        seq: cells.next()?.parse().ok()?,
        match_number: cells.next()?.parse().ok()?,
        user_ref: cells.next()?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_commas_quotes_and_line_ends_stay_one_cell_of_one_line() {
        assert_eq!(quoted("quotes"), "quotes");
        assert_eq!(quoted("a,b"), "\"a,b\"");
        assert_eq!(quoted("a \"b\"\r\nc"), "\"a \"\"b\"\"  c\"");
    }

    #[test]
    fn line_of_another_program_says_what_was_expected() {
        let error = CopyFormat::Csv.read(b"minutes,of,a,meeting").unwrap_err();
        assert!(
            error.starts_with("expected seq, match_number, user_ref"),
            "{error}"
        );
        assert!(CopyFormat::Csv.read(b"1,2").is_err());
    }
}
