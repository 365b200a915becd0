//! An outcome as a person reads it, and as a program does.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write;

use comfy_table::{CellAlignment, Table, presets};
use protocol::types::{Side, Symbol};
use serde_json::{Value, json};

use crate::ledger::{Outcome, Position};
use crate::queue::Queued;

/// Symbols of the table: those that moved the result most.
const SHOWN_MAX: usize = 20;

/// Halves of 0.0001 dollars as dollars, exact.
fn dollars(halves: i128) -> String {
    let sign = if halves < 0 { "-" } else { "" };
    let parts = halves.unsigned_abs() * 5;
    let text = format!("{sign}{}.{:05}", parts / 100_000, parts % 100_000);
    // Cents are always there.
    let cut = text.trim_end_matches('0').len();
    let cents = text.len() - 3;
    text.get(..cut.max(cents)).unwrap_or_default().to_owned()
}

/// Time of the day.
fn time(ns: u64) -> String {
    let seconds = ns / 1_000_000_000;
    let text = [seconds / 3600, seconds / 60 % 60, seconds % 60].map(|it| format!("{it:02}"));
    text.join(":")
}

fn profit(halves: Option<i128>) -> String {
    halves.map_or_else(|| "unknown: no good prices".to_owned(), dollars)
}

pub(crate) fn name(symbol: Option<Symbol>, locate: u16) -> String {
    symbol.map_or_else(|| format!("#{locate}"), |symbol| symbol.to_string())
}

/// The tables of the command.
pub(crate) fn text(outcome: &Outcome, took_ns: u64) -> String {
    let tables = tables(outcome).into_iter().map(|(_, table)| table);
    let all: Vec<_> = [counts(outcome, Some(took_ns))]
        .into_iter()
        .chain(tables)
        .collect();
    all.join("\n")
}

/// What there was of each kind; with how long it took where that is said.
pub(crate) fn counts(outcome: &Outcome, took_ns: Option<u64>) -> String {
    let shares: u64 = outcome.fills.iter().map(|fill| u64::from(fill.qty.0)).sum();
    let lived_s = outcome.lived_ns / 1_000_000_000;
    let mut rows = vec![
        ("messages".to_owned(), outcome.messages.to_string()),
        ("simulated".to_owned(), format!("{lived_s} s")),
    ];
    if let Some(took_ns) = took_ns {
        let took_ms = (took_ns / 1_000_000).max(1);
        let took = format!("{}.{:03} s", took_ms / 1_000, took_ms % 1_000);
        let rate = outcome.messages * 1_000 / took_ms;
        rows.push(("took".to_owned(), took));
        rows.push(("messages a second".to_owned(), rate.to_string()));
    }
    let answers = [
        ("orders accepted", outcome.accepted),
        ("replaced", outcome.replaced),
        ("canceled", outcome.canceled),
        ("rejected by the exchange", outcome.rejected),
    ];
    rows.extend(answers.map(|(what, count)| (what.to_owned(), count.to_string())));
    let refused = outcome.refused.iter();
    rows.extend(
        refused.map(|(cause, count)| (format!("refused by risk: {cause}"), count.to_string())),
    );
    let results = [
        ("fills", outcome.fills.len().to_string()),
        ("shares", shares.to_string()),
        ("profit and loss", profit(outcome.profit_halves())),
        ("hash", format!("{:016x}", outcome.hash)),
    ];
    rows.extend(results.map(|(what, value)| (what.to_owned(), value)));
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    for (what, value) in rows {
        table.add_row([what, value]);
    }
    align(&mut table, 1..2);
    format!("{table}\n")
}

/// Tables of symbols, each with its title; of nothing there is none.
pub(crate) fn tables(outcome: &Outcome) -> Vec<(&'static str, String)> {
    let queues = outcome.queues();
    let mut tables = Vec::new();
    if let Some(table) = troubles(outcome) {
        tables.push(("Trouble", table));
    }
    if !outcome.positions.is_empty() {
        tables.push(("Positions", positions(outcome)));
    }
    if !queues.is_empty() {
        tables.push(("Places in the queue", queued(&queues)));
    }
    tables
}

/// What was wrong with the run; `None`: nothing.
fn troubles(outcome: &Outcome) -> Option<String> {
    if outcome.troubles.is_empty() && outcome.unnamed.is_empty() {
        return None;
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    for it in &outcome.troubles {
        let name = format!("{} {}", it.part, it.name);
        table.add_row([name, it.count.to_string(), it.meaning.to_owned()]);
    }
    for symbol in &outcome.unnamed {
        let meaning = "The configuration has it, and the day does not.".to_owned();
        table.add_row(["symbol".to_owned(), symbol.to_string(), meaning]);
    }
    align(&mut table, 1..2);
    Some(format!("The outcome may not be what it seems:\n{table}\n"))
}

/// Symbols, those first whose result is unknown, then those that moved it most.
pub(crate) fn by_result(outcome: &Outcome) -> Vec<(u16, &Position)> {
    let all = outcome.positions.iter();
    let mut all: Vec<_> = all.map(|(locate, position)| (*locate, position)).collect();
    // The sort keeps the order of locate codes among equals.
    all.sort_by_key(|(_, it)| match it.profit_halves() {
        None => (false, Reverse(0)),
        Some(halves) => (true, Reverse(halves.unsigned_abs())),
    });
    all
}

/// Those symbols of which most orders traded. Shares are means.
fn queued(queues: &BTreeMap<Symbol, Queued>) -> String {
    let mut all: Vec<_> = queues.iter().collect();
    all.sort_by_key(|(_, it)| Reverse((it.filled.orders, it.rested.orders)));
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header([
        "symbol",
        "orders that rested",
        "before them",
        "that traded",
        "before these",
        "after ms",
        "that left",
        "before these",
    ]);
    let shown = |it: Option<u64>| it.map_or_else(|| "-".to_owned(), |it| it.to_string());
    for (symbol, it) in all.iter().take(SHOWN_MAX) {
        let waited_ns = it.waited_ns.checked_div(it.filled.orders);
        table.add_row([
            symbol.to_string(),
            it.rested.orders.to_string(),
            shown(it.rested.mean()),
            it.filled.orders.to_string(),
            shown(it.filled.mean()),
            shown(waited_ns.map(|ns| ns / 1_000_000)),
            it.left.orders.to_string(),
            shown(it.left.mean()),
        ]);
    }
    align(&mut table, 1..8);
    let mut text = format!("{table}\n");
    let left = all.len().saturating_sub(SHOWN_MAX);
    if left > 0 {
        let _ = writeln!(text, " and {left} symbols with fewer orders that traded");
    }
    text
}

fn positions(outcome: &Outcome) -> String {
    let all = by_result(outcome);
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["symbol", "shares", "bid", "ask", "seen", "profit and loss"]);
    for (locate, position) in all.iter().take(SHOWN_MAX) {
        let (bid, ask) = position.marks;
        table.add_row([
            name(position.symbol, *locate),
            position.shares.to_string(),
            dollars(2 * i128::from(bid.0)),
            dollars(2 * i128::from(ask.0)),
            position.marked_ns.map_or_else(|| "never".to_owned(), time),
            profit(position.profit_halves()),
        ]);
    }
    align(&mut table, 1..6);
    let mut text = format!("{table}\n");
    let left = all.len().saturating_sub(SHOWN_MAX);
    if left > 0 {
        let _ = writeln!(text, " and {left} symbols of less profit or loss");
    }
    text
}

fn align(table: &mut Table, columns: std::ops::Range<usize>) {
    for index in columns {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

/// Everything, but for how long it took: the same for the same input. Money is text in dollars, so that no digit is lost.
pub(crate) fn json(outcome: &Outcome) -> Value {
    let fills = outcome.fills.iter().map(|fill| {
        let symbol = outcome.positions.get(&fill.locate).and_then(|it| it.symbol);
        json!({
            "heard_ns": fill.heard_ns,
            "symbol": name(symbol, fill.locate),
            "side": match fill.side { Side::Buy => "buy", Side::Sell => "sell" },
            "price": dollars(2 * i128::from(fill.price.0)),
            "shares": fill.qty.0,
        })
    });
    let positions = outcome.positions.iter().map(|(locate, position)| {
        json!({
            "symbol": name(position.symbol, *locate),
            "locate": locate,
            "shares": position.shares,
            "morning": position.morning,
            "cash": dollars(2 * position.cash),
            "bid": dollars(2 * i128::from(position.marks.0.0)),
            "ask": dollars(2 * i128::from(position.marks.1.0)),
            "marked_ns": position.marked_ns,
            "profit": position.profit_halves().map(dollars),
        })
    });
    let queues = outcome.queues();
    let queues = queues.iter().map(|(symbol, it)| {
        json!({
            "symbol": symbol.to_string(),
            "rested": it.rested.orders,
            "rested_ahead_first": it.rested.mean(),
            "filled": it.filled.orders,
            "filled_ahead_first": it.filled.mean(),
            "filled_after_ns": it.waited_ns.checked_div(it.filled.orders),
            "left": it.left.orders,
            "left_ahead_last": it.left.mean(),
        })
    });
    let troubles = outcome.troubles.iter();
    let troubles = troubles.map(
        |it| json!({ "part": it.part, "name": it.name, "count": it.count, "meaning": it.meaning }),
    );
    let unnamed = outcome.unnamed.iter().map(ToString::to_string);
    json!({
        "messages": outcome.messages,
        "simulated_ns": outcome.lived_ns,
        "accepted": outcome.accepted,
        "replaced": outcome.replaced,
        "canceled": outcome.canceled,
        "rejected": outcome.rejected,
        "refused": outcome.refused,
        "profit": outcome.profit_halves().map(dollars),
        "troubles": troubles.collect::<Vec<_>>(),
        "unnamed": unnamed.collect::<Vec<_>>(),
        "history": outcome.history,
        "hash": format!("{:016x}", outcome.hash),
        "positions": positions.collect::<Vec<_>>(),
        "queues": queues.collect::<Vec<_>>(),
        "fills": fills.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_come_first_whose_result_is_unknown_then_those_that_moved_it_most() {
        let position = |shares, cash| Position {
            shares,
            cash,
            ..Position::default()
        };
        let mut outcome = Outcome::default();
        let all = [position(0, 5), position(0, -9), position(3, 7)];
        outcome.positions.extend((1..).zip(all));
        let order = by_result(&outcome);
        let order: Vec<u16> = order.iter().map(|(locate, _)| *locate).collect();
        assert_eq!(order, [3, 2, 1]);
    }

    #[test]
    fn dollars_are_exact_and_have_cents() {
        let shown = [0, 1, -1, 20_000, -25_500, 200, 3].map(dollars);
        let expected = [
            "0.00", "0.00005", "-0.00005", "1.00", "-1.275", "0.01", "0.00015",
        ];
        assert_eq!(shown, expected);
    }
}
