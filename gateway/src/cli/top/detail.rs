//! The pages behind the overview: feeds, orders, risk, cores, counters.

use super::line::{Line, Tone, cut, head, number, plain, signed, toned};
use super::seen::{Moved, Seen};
use crate::control::answer::{FeedRow, LimitsRow, OrderRow};
use crate::order::risk::Exposure;
use crate::telemetry::{Kind, grouped};

/// Share of a limit from which its use is worth a look, in hundredths.
const NEARLY_USED: u64 = 80;

/// Whose counters say that something is wrong wherever they move, by how their names begin or end.
const TROUBLE: [&str; 24] = [
    "ring_full",
    "messages_lost",
    "gaps",
    "lags",
    "missed",
    "errors",
    "dropped",
    "rejected",
    "doubts",
    "disconnections",
    "invariants_broken",
    "overfills",
    "past_differences",
    "not_carried",
    "trades_broken",
    "unexpected",
    "unknown_order",
    "unwatched",
    "malformed",
    "refused_backlog",
    "calls_refused",
    "unwritten",
    "books_lost",
    "failed",
];

pub(super) fn feeds(seen: &Seen) -> Vec<Line> {
    let mut out = feed_table(seen);
    out.push(Line::default());
    out.push(head(
        "LINE              WON/s    LATE/s     DUP/s OUT OF ORDER     MISSING  UNREADABLE",
    ));
    let none = std::collections::BTreeMap::new();
    let lines = seen.now.run.counters.get(&Kind::Line).unwrap_or(&none);
    for line in lines.keys() {
        let rate = |counter| number(seen.rate_of(Kind::Line, line, counter));
        let count = |counter| grouped(seen.count(Kind::Line, line, counter));
        out.push(plain(format!(
            "{:14} {:>8} {:>9} {:>9} {:>12} {:>11} {:>11}",
            cut(line, 14),
            rate("packets_won"),
            rate("packets_late"),
            rate("packets_duplicate"),
            count("packets_out_of_order"),
            count("messages_missing"),
            count("packets_unreadable"),
        )));
    }
    out.push(Line::default());
    out.push(head(
        "RECOVERY, AND WHAT SOCKETS COUNT (those that are not 0)",
    ));
    let kinds = [Kind::Recovery, Kind::Socket, Kind::Interface, Kind::Capture];
    out.extend(counter_lines(seen, |kind| kinds.contains(&kind)));
    out
}

pub(super) fn orders(seen: &Seen) -> Vec<Line> {
    let orders = &seen.now.orders;
    let mut out = vec![head(
        "SESSION  STRATEGY   SYMBOL   SIDE       PRICE     OPEN     DONE  STATE    NUMBER",
    )];
    for row in &orders.orders {
        let OrderRow {
            session,
            strategy,
            symbol,
            side,
            price,
            open,
            executed,
            state,
            user_ref,
            ..
        } = row;
        let strategy = strategy.as_deref().unwrap_or("found");
        out.push(plain(format!(
            "{:8} {:10} {:8} {side:4} {price:>11} {:>8} {:>8}  {:8} {user_ref:>6}",
            cut(session, 8),
            cut(strategy, 10),
            cut(symbol, 8),
            grouped(u64::from(*open)),
            grouped(u64::from(*executed)),
            cut(state, 8),
        )));
    }
    let shown = orders.orders.len();
    out.push(plain(format!(
        "{shown} shown, {} left off, {} open",
        orders.left_off, orders.open_orders
    )));
    out
}

pub(super) fn risk(seen: &Seen) -> Vec<Line> {
    let mut out = vec![head("LIMIT, AND HOW MUCH OF IT IS USED")];
    for limits in &seen.now.limits {
        out.extend(usage(seen, limits));
    }
    out.push(Line::default());
    out.push(head(
        "POSITIONS      SYMBOL          HELD   OPEN TO BUY  OPEN TO SELL",
    ));
    for session in &seen.now.positions.sessions {
        for held in &session.positions {
            out.push(plain(format!(
                "{:14} {:8} {:>11} {:>13} {:>13}",
                cut(&session.session, 14),
                cut(&held.symbol, 8),
                signed(held.position),
                grouped(held.open_buy),
                grouped(held.open_sell)
            )));
        }
    }
    out.push(plain(format!(
        "{} positions left off",
        seen.now.positions.left_off
    )));
    out
}

/// What a session has of each limit that something stands against.
fn usage(seen: &Seen, limits: &LimitsRow) -> Vec<Line> {
    let mut sessions = seen.now.status.sessions.iter();
    let Some(session) = sessions.find(|it| it.name == limits.session) else {
        return Vec::new();
    };
    let positions = seen.now.positions.sessions.iter();
    let held = positions.filter(|it| it.session == limits.session);
    let largest = held.flat_map(|it| &it.positions).map(|held| {
        let exposure = Exposure {
            position: held.position,
            open_buy: held.open_buy,
            open_sell: held.open_sell,
        };
        exposure.worst_of_both()
    });
    let loss = session.profit_dollars.min(0).unsigned_abs();
    // Risk counts replaces as well, and in each second; this is the interval's mean.
    let rate = ["orders", "replaces"]
        .into_iter()
        .filter_map(|counter| seen.rate_of(Kind::Session, &limits.session, counter))
        .sum();
    let rows = [
        (
            "gross_exposure_max_dollars",
            session.gross_dollars,
            limits.gross_exposure_max_dollars,
        ),
        (
            "net_exposure_max_dollars",
            session.net_dollars,
            limits.net_exposure_max_dollars,
        ),
        ("loss_max_dollars", loss, limits.loss_max_dollars),
        (
            "position_max (the largest)",
            largest.max().unwrap_or(0),
            limits.position_max,
        ),
        (
            "open_orders_max",
            u64::from(session.open_orders),
            u64::from(limits.open_orders_max),
        ),
        (
            "orders_per_second_max mean",
            rate,
            u64::from(limits.orders_per_second_max),
        ),
    ];
    let lines = rows.into_iter().map(|(name, used, max)| {
        // Of a limit of 0 nothing can be used.
        let share = (used.saturating_mul(100) / max.max(1)).min(999);
        let tone = if share >= NEARLY_USED {
            Tone::Warn
        } else {
            Tone::Plain
        };
        let line = format!(
            "{:10} {name:26} {:>12} of {:>12}  {share:>3} % {}",
            cut(&limits.session, 10),
            grouped(used),
            grouped(max),
            bar(share)
        );
        toned(line.trim_end().to_owned(), tone)
    });
    lines.collect()
}

/// A share of a limit in blocks, one for each fifth.
fn bar(share: u64) -> String {
    let blocks = usize::try_from(share.min(100) / 20).unwrap_or(0);
    "#".repeat(blocks)
}

pub(super) fn cores(seen: &Seen) -> Vec<Line> {
    let mut out = vec![head(
        "CORE           CPU       TURNS/s  STILL ms    LATE  CLOCK ERROR ns  REHEARSED/s",
    )];
    for row in &seen.now.status.cores {
        let rate = seen.rate(|look| {
            let cores = look.status.cores.iter();
            cores
                .clone()
                .find(|it| it.name == row.name)
                .map_or(0, |it| it.turns)
        });
        let cpu = row
            .cpu
            .map_or_else(|| "-".to_owned(), |cpu| cpu.to_string());
        let line = format!(
            "{:14} {cpu:>3} {:>13} {:>9} {:>7} {:>15} {:>12}",
            cut(&row.name, 14),
            number(rate),
            grouped(row.still_ms),
            grouped(seen.count(Kind::Core, &row.name, "late")),
            grouped(seen.count(Kind::Core, &row.name, "error_ns_max")),
            number(seen.rate_of(Kind::Core, &row.name, "rehearsals")),
        );
        let tone = if row.still_ms > 0 {
            Tone::Bad
        } else {
            Tone::Plain
        };
        out.push(toned(line, tone));
    }
    out.push(Line::default());
    out.push(head("RINGS THAT WERE FULL, AND THE JOURNAL"));
    let rings = seen.counters().into_iter().filter(|it| {
        it.counter.contains("ring_full") || it.counter == "missed" || it.kind == Kind::Journal
    });
    out.extend(rings.map(|it| counter_line(&it)));
    if !seen.now.status.guards.is_empty() {
        out.push(Line::default());
        out.push(head(
            "WHO WATCHES            SILENT FOR AT MOST ms    LEFT ms",
        ));
    }
    for guard in &seen.now.status.guards {
        out.push(plain(format!(
            "{:22} {:>21} {:>10}",
            cut(&guard.name, 22),
            grouped(guard.within_ms),
            grouped(guard.left_ms)
        )));
    }
    out
}

pub(super) fn counters(seen: &Seen) -> Vec<Line> {
    let mut out = vec![head(
        "EVERY COUNTER THAT IS NOT 0                            VALUE         A SECOND",
    )];
    out.extend(counter_lines(seen, |_| true));
    out
}

fn counter_lines(seen: &Seen, is_meant: impl Fn(Kind) -> bool) -> Vec<Line> {
    let all = seen.counters().into_iter().filter(|it| is_meant(it.kind));
    all.map(|it| counter_line(&it)).collect()
}

fn counter_line(it: &Moved) -> Line {
    let name = format!("{} {} {}", it.kind.name(), it.whose, it.counter);
    let line = format!(
        "{:46} {:>15} {:>15}",
        cut(&name, 46),
        grouped(it.value),
        grouped(it.rate)
    );
    let tone = if it.more > 0 && is_trouble(&it.counter) {
        Tone::Warn
    } else {
        Tone::Plain
    };
    toned(line, tone)
}

pub(super) fn is_trouble(counter: &str) -> bool {
    TROUBLE
        .iter()
        .any(|word| counter.ends_with(word) || counter.starts_with(word))
}

pub(super) fn feed_table(seen: &Seen) -> Vec<Line> {
    let mut out = vec![head(
        "FEED           STATE         MSG/s        LOST     GAPS STALE SYMBOLS  SILENT",
    )];
    for row in &seen.now.status.feeds {
        let rate = seen.rate(|look| {
            let feeds = look.status.feeds.iter();
            let feed = feeds.clone().find(|it| it.name == row.name);
            feed.map_or(0, |it| it.messages)
        });
        let gaps = seen.count(Kind::Feed, &row.name, "gaps");
        let stale = format!("{}/{}", row.stale_symbols, row.symbols);
        let silent: Vec<String> = row.silent_lines.iter().map(u32::to_string).collect();
        let line = format!(
            "{:14} {:8} {:>10} {:>11} {:>8} {:>13}  {}",
            cut(&row.name, 14),
            feed_state(row),
            number(rate),
            grouped(row.messages_lost),
            grouped(gaps),
            stale,
            silent.join(",")
        );
        let tone = if row.is_fresh && silent.is_empty() {
            Tone::Plain
        } else {
            Tone::Warn
        };
        out.push(toned(line, tone));
        if !row.stale_because.is_empty() {
            let because = row.stale_because.join(", ");
            out.push(toned(format!("  stale: {because}"), Tone::Warn));
        }
    }
    out
}

fn feed_state(row: &FeedRow) -> &'static str {
    if row.is_fresh { "fresh" } else { "STALE" }
}
