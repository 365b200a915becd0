//! What an export has of each row, column by column. `docs/parquet.md` has the same tables; a test compares them.

use std::borrow::Cow;
use std::sync::Arc;

use protocol::types::Side;

use super::executions::What;
use super::rows::{Caused, FillRow, OrderRow, RequestRow};
use super::table::Column;
use crate::message::intent::{Action, TimeInForce};

/// Orders: one for each number that was used, and one for each that risk refused.
pub(super) const ORDERS: &[Column<OrderRow>] = &[
    Column::text("host", "the gateway's host", |row| some(&row.account.host)),
    Column::text("session", "the gateway's session", |row| {
        some(&row.account.session)
    }),
    Column::text("username", "whom it logs in as", |row| {
        some(&row.account.username)
    }),
    Column::text(
        "exchange_session",
        "the exchange's name for the day",
        |row| some(&row.account.exchange_session),
    ),
    Column::text("strategy", "the strategy", |row| {
        shared(row.strategy.as_ref())
    }),
    Column::count(
        "order_id",
        "the strategy's number, which stays when the order is replaced",
        |row| row.order_id.map(i64::from),
    ),
    Column::count(
        "user_ref",
        "OUCH's number; of a refused order none",
        |row| row.user_ref.map(i64::from),
    ),
    Column::count(
        "replaces",
        "number of the order whose place it took, or was to take",
        |row| row.replaces.map(i64::from),
    ),
    Column::count(
        "replaced_by",
        "number of the order that took its place",
        |row| row.replaced_by.map(i64::from),
    ),
    Column::text(
        "symbol",
        "symbol; of a refused order only where one for the same locate code had been sent in the run",
        |row| row.symbol.map(|symbol| Cow::Owned(symbol.to_string())),
    ),
    Column::text("feed", "the feed that the locate code is of", |row| {
        shared(row.feed.as_ref())
    }),
    Column::count(
        "locate",
        "the symbol's number on that feed, for the day",
        |row| row.locate.map(i64::from),
    ),
    Column::text("side", "buy, sell", |row| {
        row.side.map(|side| side_word(side).into())
    }),
    Column::flag("is_short", "a short sale", |row| row.is_short),
    Column::count(
        "shares",
        "shares asked for; of an order that took another one's place, those that were open then",
        |row| row.shares.map(i64::from),
    ),
    Column::price("price", "limit, dollars; of a market order none", |row| {
        row.price
    }),
    Column::text(
        "time_in_force",
        "day, immediate_or_cancel, extended_hours, after_hours; else OUCH's code",
        |row| row.time_in_force.map(time_in_force),
    ),
    Column::text(
        "display",
        "shown, hidden, attributed; else OUCH's code",
        |row| row.display.map(display),
    ),
    Column::count("shares_min", "fewest shares of an execution", |row| {
        row.shares_min.map(i64::from)
    }),
    Column::count(
        "shares_shown",
        "shares of a reserve order that are shown at a time",
        |row| row.shares_shown.map(i64::from),
    ),
    Column::flag("is_post_only", "it never takes what rests", |row| {
        row.is_post_only
    }),
    Column::flag(
        "is_midpoint",
        "it is pegged to the middle of the best prices",
        |row| row.is_midpoint,
    ),
    Column::text("outcome", "what became of it", |row| {
        Some(row.outcome.name().into())
    }),
    Column::text(
        "reason",
        "why: risk's counter, the exchange's words for a reject, OUCH's code of the last cancel",
        |row| shared(row.reason.as_ref()),
    ),
    Column::count(
        "filled",
        "shares executed, those of trades that were undone included",
        |row| Some(i64::from(row.filled)),
    ),
    Column::count("canceled", "shares taken off without a trade", |row| {
        Some(i64::from(row.canceled))
    }),
    Column::time(
        "seen_at",
        "the feed stage had the market message behind it",
        |row| row.seen_ns,
    ),
    Column::time("decided_at", "the strategy had decided", |row| {
        row.decided_ns
    }),
    Column::time("sent_at", "it was judged and handed on", |row| row.sent_ns),
    Column::time("accepted_at", "the exchange's acceptance was here", |row| {
        row.accepted_ns
    }),
    Column::time("first_fill_at", "its first execution was here", |row| {
        row.first_fill_ns
    }),
    Column::time(
        "ended_at",
        "the message that ended it was here, or risk refused it",
        |row| row.ended_ns,
    ),
];

/// Executions and broken trades.
pub(super) const FILLS: &[Column<FillRow>] = &[
    Column::text("host", "the gateway's host", |row| some(&row.host)),
    Column::text("session", "the gateway's session", |row| {
        some(&row.execution.session)
    }),
    Column::text("username", "whom it logs in as", |row| {
        some(&row.execution.username)
    }),
    Column::text(
        "exchange_session",
        "the exchange's name for the day",
        |row| some(&row.execution.exchange_session),
    ),
    Column::number(
        "seq",
        "number of the exchange's message: with both sessions and the user, what makes the row one of its kind",
        |row| Some(row.execution.seq),
    ),
    Column::text("what", "fill; break, where a trade was undone", |row| {
        let word = match row.execution.what {
            What::Fill => "fill",
            What::Break => "break",
        };
        Some(word.into())
    }),
    Column::text("strategy", "the strategy", |row| {
        row.execution.strategy.as_deref().map(Cow::Borrowed)
    }),
    Column::count("order_id", "the strategy's number of the order", |row| {
        row.execution.order_id.map(i64::from)
    }),
    Column::count("user_ref", "OUCH's number of the order", |row| {
        Some(i64::from(row.execution.user_ref))
    }),
    Column::text(
        "symbol",
        "symbol; of a break only while the order is open",
        |row| row.execution.symbol.as_deref().map(Cow::Borrowed),
    ),
    Column::text(
        "side",
        "buy, sell; of a break only while the order is open",
        |row| row.execution.side.map(Cow::Borrowed),
    ),
    Column::count("shares", "shares; of a break none", |row| {
        row.execution.shares.map(i64::from)
    }),
    Column::price(
        "price",
        "what each was paid with, dollars; of a break none",
        |row| row.execution.price,
    ),
    Column::number(
        "match_number",
        "the trade's number: a break has its fill's",
        |row| Some(row.execution.match_number),
    ),
    Column::text("liquidity", "OUCH's liquidity flag", |row| {
        row.execution.liquidity.map(|flag| flag.to_string().into())
    }),
    Column::time("heard_at", "the gateway heard it first", |row| {
        Some(row.execution.time_ns)
    }),
    Column::number(
        "exchange_ns",
        "when the exchange says that it was, nanoseconds since its midnight",
        |row| Some(row.execution.exchange_ns),
    ),
];

/// Requests, and how long they took.
pub(super) const LATENCIES: &[Column<RequestRow>] = &[
    Column::text("host", "the gateway's host", |row| some(&row.account.host)),
    Column::text("session", "the gateway's session", |row| {
        some(&row.account.session)
    }),
    Column::text("username", "whom it logs in as", |row| {
        some(&row.account.username)
    }),
    Column::text(
        "exchange_session",
        "the exchange's name for the day",
        |row| some(&row.account.exchange_session),
    ),
    Column::text("strategy", "the strategy", |row| {
        shared(row.strategy.as_ref())
    }),
    Column::count("order_id", "the strategy's number of the order", |row| {
        Some(i64::from(row.order_id))
    }),
    Column::count(
        "user_ref",
        "OUCH's number: the new one of an enter and a replace, else the order's; of what was refused none",
        |row| row.user_ref.map(i64::from),
    ),
    Column::text("action", "enter, replace, cancel, reduce", |row| {
        let word = match row.action {
            Action::Enter => "enter",
            Action::Replace => "replace",
            Action::Cancel => "cancel",
            Action::Reduce => "reduce",
        };
        Some(word.into())
    }),
    Column::text("cause", "market, execution, timer", |row| {
        let word = match row.cause {
            Caused::Market => "market",
            Caused::Execution => "execution",
            Caused::Timer => "timer",
        };
        Some(word.into())
    }),
    Column::text("feed", "the feed of the market message behind it", |row| {
        shared(row.feed.as_ref())
    }),
    Column::number("market_seq", "that message's number", |row| row.market_seq),
    Column::text(
        "answer",
        "how it was answered; none: the journals have no answer",
        |row| row.answer.map(|answer| answer.name().into()),
    ),
    Column::text("reason", "risk's counter, where it refused", |row| {
        shared(row.reason.as_ref())
    }),
    Column::flag(
        "is_past",
        "the answer was said before the connection was begun on which it was heard: no figure of the exchange's speed",
        |row| row.is_past,
    ),
    Column::time("decided_at", "the strategy had decided", |row| {
        Some(row.decided_ns)
    }),
    Column::count(
        "seen_to_decided_ns",
        "from the feed stage's having the market message to that, nanoseconds",
        |row| between(row.seen_ns, Some(row.decided_ns)),
    ),
    Column::count(
        "decided_to_sent_ns",
        "from there until it was judged and handed on, or refused",
        |row| between(Some(row.decided_ns), Some(row.sent_ns)),
    ),
    Column::count(
        "sent_to_answered_ns",
        "from there until the answer was here",
        |row| between(Some(row.sent_ns), row.answered_ns),
    ),
];

fn some(text: &str) -> Option<Cow<'_, str>> {
    (!text.is_empty()).then_some(Cow::Borrowed(text))
}

fn shared(text: Option<&Arc<str>>) -> Option<Cow<'_, str>> {
    text.map(|text| Cow::Borrowed(&**text))
}

fn side_word(side: Side) -> &'static str {
    match side {
        Side::Buy => "buy",
        Side::Sell => "sell",
    }
}

fn time_in_force(code: u8) -> Cow<'static, str> {
    match TimeInForce::of_code(code) {
        Some(TimeInForce::Day) => "day".into(),
        Some(TimeInForce::ImmediateOrCancel) => "immediate_or_cancel".into(),
        Some(TimeInForce::ExtendedHours) => "extended_hours".into(),
        Some(TimeInForce::AfterHours) => "after_hours".into(),
        None => char::from(code).to_string().into(),
    }
}

fn display(code: u8) -> Cow<'static, str> {
    match code {
        b'Y' => "shown".into(),
        b'N' => "hidden".into(),
        b'A' => "attributed".into(),
        _ => char::from(code).to_string().into(),
    }
}

/// Nanoseconds from one time to another; below zero where a clock was set back between two runs.
fn between(from_ns: Option<u64>, until_ns: Option<u64>) -> Option<i64> {
    Some(until_ns?.cast_signed().wrapping_sub(from_ns?.cast_signed()))
}

#[cfg(test)]
mod tests {
    use super::super::rows::{Answer, Outcome};
    use super::super::table::Cell;
    use super::*;

    fn table<R>(columns: &[Column<R>]) -> String {
        let lines = columns.iter().map(|Column { name, about, cell }| {
            let kind = match cell {
                Cell::Text(_) => "text",
                Cell::Count(_) => "integer",
                Cell::Number(_) => "unsigned integer",
                Cell::Price(_) => "decimal(18, 4)",
                Cell::Time(_) => "timestamp",
                Cell::Flag(_) => "boolean",
            };
            format!("| `{name}` | {kind} | {about} |\n")
        });
        format!(
            "| column | type | what |\n|---|---|---|\n{}",
            lines.collect::<String>()
        )
    }

    fn words<W>(all: &[(W, &str, &str)]) -> String {
        let lines = all.iter();
        let lines = lines.map(|(_, word, about)| format!("| `{word}` | {about} |\n"));
        format!("| word | what |\n|---|---|\n{}", lines.collect::<String>())
    }

    #[test]
    fn documents_have_every_column_and_every_word() {
        let text = include_str!("../../../docs/parquet.md");
        for expected in [
            table(ORDERS),
            table(FILLS),
            table(LATENCIES),
            words(&Outcome::ALL),
            words(&Answer::ALL),
        ] {
            assert!(
                text.contains(&expected),
                "docs/parquet.md should have\n{expected}"
            );
        }
    }
}
