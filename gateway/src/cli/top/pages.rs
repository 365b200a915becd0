//! The pages as lines of text: whatever is seen, 80 columns hold what matters most, and no meaning lies in colour alone.

use super::seen::{Seen, TREND_OF};
use super::view::{Page, Question, View};
use crate::cli::ctl::{duration, kill_line};
use crate::control::answer::{FeedRow, LimitsRow, OrderRow, SessionRow};
use crate::telemetry::{Kind, Summary, grouped, histograms};

/// How a line is to be seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Tone {
    #[default]
    Plain,
    /// A heading.
    Head,
    /// Worth a look.
    Warn,
    /// Trading is stopped, or nothing is known.
    Bad,
}

/// A line of a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) text: String,
    pub(super) tone: Tone,
}

/// Share of a limit from which its use is worth a look, in hundredths.
const NEARLY_USED: u64 = 80;

/// Whose counters say that something is wrong wherever they move, by how their names begin or end.
const TROUBLE: [&str; 14] = [
    "ring_full",
    "messages_lost",
    "gaps",
    "lags",
    "errors",
    "dropped",
    "rejected",
    "doubts",
    "disconnections",
    "invariants_broken",
    "unexpected",
    "malformed",
    "refused_backlog",
    "failed",
];

fn plain(text: impl Into<String>) -> Line {
    let text = text.into();
    Line {
        text,
        tone: Tone::Plain,
    }
}

fn head(text: &str) -> Line {
    Line {
        text: text.to_owned(),
        tone: Tone::Head,
    }
}

fn toned(text: String, tone: Tone) -> Line {
    Line { text, tone }
}

/// The first lines of every page: who it is, whether it trades, what the last command came to.
pub(super) fn header(view: &View) -> Vec<Line> {
    let status = &view.seen.now.status;
    let mut pages = String::new();
    for (page, key, name) in Page::ALL {
        let mark = if page == view.page {
            ['[', ']']
        } else {
            [' ', ' ']
        };
        pages.push_str(&format!("{}{key} {name}{}", mark[0], mark[1]));
    }
    let frozen = if view.is_frozen { "  FROZEN" } else { "" };
    let who = format!(
        "tickgate {}  pid {}  up {}{frozen}",
        status.version,
        status.pid,
        duration(status.uptime_s)
    );
    let mut out = vec![plain(who), toned(pages, Tone::Head)];
    if let Some(error) = &view.error {
        out.push(toned(format!("NOT HEARD: {error}"), Tone::Bad));
    }
    let tone = if status.kill.is_on() {
        Tone::Bad
    } else {
        Tone::Plain
    };
    out.push(toned(kill_line(&status.kill).trim_end().to_owned(), tone));
    if let Some(said) = &view.said {
        let first = said.lines().next().unwrap_or_default();
        out.push(toned(format!("> {first}"), Tone::Warn));
    }
    out.extend(question(view));
    out
}

fn question(view: &View) -> Vec<Line> {
    match &view.question {
        None => Vec::new(),
        Some(Question::Kill(typed)) => vec![toned(
            format!("STOP TRADING, cancel everything? Type kill and Enter (Esc: no): {typed}_"),
            Tone::Bad,
        )],
        Some(Question::Pause(at)) => {
            let mut out = vec![toned(
                "Pause or unpause which strategy? Up, Down, Enter (Esc: none)".to_owned(),
                Tone::Warn,
            )];
            for (index, choice) in view.choices().iter().enumerate() {
                let mark = if index == *at { '>' } else { ' ' };
                let state = if choice.is_paused { "paused" } else { "sends" };
                let (session, strategy) = (&choice.session, &choice.strategy);
                out.push(plain(format!("{mark} {session} {strategy}: {state}")));
            }
            out
        }
    }
}

/// The page itself.
pub(super) fn body(view: &View) -> Vec<Line> {
    let seen = &view.seen;
    match view.page {
        Page::Overview => overview(seen),
        Page::Latency => latency(seen),
        Page::Feeds => feeds(seen),
        Page::Orders => orders(seen),
        Page::Risk => risk(seen),
        Page::Cores => cores(seen),
        Page::Counters => counters(seen),
        Page::Help => help(),
    }
}

fn number(value: Option<u64>) -> String {
    value.map_or_else(|| "-".to_owned(), grouped)
}

fn overview(seen: &Seen) -> Vec<Line> {
    let mut out = sessions(seen);
    out.push(Line::default());
    out.extend(feed_table(seen));
    out.push(Line::default());
    out.push(latency_head("in the last interval, ns"));
    for name in ["wire_to_seen", TREND_OF, "order_to_ack"] {
        out.push(latency_line(name, seen.lately(name)));
    }
    out.push(plain(format!(
        "{TREND_OF} p50, newest last: {}",
        seen.trend()
    )));
    out.push(Line::default());
    out.extend(troubles(seen));
    out
}

fn sessions(seen: &Seen) -> Vec<Line> {
    let mut out = vec![head(
        "SESSION        STATE       OPEN DOUBT     GROSS $       NET $       P&L $  ORD/s",
    )];
    for row in &seen.now.status.sessions {
        let rate = seen.rate_of(Kind::Session, &row.name, "orders");
        let profit = row.profit_dollars;
        let sign = if profit < 0 { "-" } else { "" };
        let line = format!(
            "{:14} {:10} {:>5} {:>5} {:>11} {:>11} {:>11} {:>6}",
            cut(&row.name, 14),
            cut(&row.state, 10),
            row.open_orders,
            row.in_doubt,
            grouped(row.gross_dollars),
            grouped(row.net_dollars),
            format!("{sign}{}", grouped(profit.unsigned_abs())),
            number(rate)
        );
        out.push(toned(line, tone_of(row)));
        if let Some(cause) = &row.killed {
            out.push(toned(format!("  killed: {cause}"), Tone::Bad));
        }
        if !row.waits_for.is_empty() {
            let waits = row.waits_for.join(", ");
            out.push(toned(format!("  WAITS for {waits}"), Tone::Warn));
        }
    }
    out
}

fn tone_of(row: &SessionRow) -> Tone {
    if row.killed.is_some() {
        Tone::Bad
    } else if row.state != "open" || row.in_doubt > 0 {
        Tone::Warn
    } else {
        Tone::Plain
    }
}

fn feed_table(seen: &Seen) -> Vec<Line> {
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

fn latency_head(title: &str) -> Line {
    let title = cut(title, 26);
    head(&format!(
        "{title:26} {:>9} {:>8} {:>8} {:>8} {:>10}",
        "COUNT", "P50", "P99", "P99.9", "MAX"
    ))
}

fn latency_line(name: &str, summary: Option<Summary>) -> Line {
    let Some(of) = summary else {
        return plain(format!("{name:26} {:>9}", "-"));
    };
    plain(format!(
        "{name:26} {:>9} {:>8} {:>8} {:>8} {:>10}",
        grouped(of.count),
        grouped(of.p50),
        grouped(of.p99),
        grouped(of.p999),
        grouped(of.max)
    ))
}

fn latency(seen: &Seen) -> Vec<Line> {
    let mut out = vec![latency_head("in the last interval, ns")];
    let names: Vec<&str> = histograms().map(|(name, _)| name).collect();
    let measured = &seen.now.run.measured.histograms;
    let known = |name: &&str| measured.contains_key(*name);
    for name in names.iter().copied().filter(|name| known(name)) {
        out.push(latency_line(name, seen.lately(name)));
    }
    out.push(plain(format!(
        "{TREND_OF} p50, newest last: {}",
        seen.trend()
    )));
    out.push(Line::default());
    out.push(latency_head("since the start, ns"));
    for name in names.iter().copied().filter(|name| known(name)) {
        let summary = measured.get(name).copied().filter(|it| it.count > 0);
        out.push(latency_line(name, summary));
    }
    out.push(Line::default());
    for (name, what) in histograms().filter(|(name, _)| known(name)) {
        out.push(plain(format!("{name}: {what}")));
    }
    out
}

fn feeds(seen: &Seen) -> Vec<Line> {
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

fn orders(seen: &Seen) -> Vec<Line> {
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

fn risk(seen: &Seen) -> Vec<Line> {
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
            let sign = if held.position < 0 { "-" } else { "" };
            out.push(plain(format!(
                "{:14} {:8} {:>11} {:>13} {:>13}",
                cut(&session.session, 14),
                cut(&held.symbol, 8),
                format!("{sign}{}", grouped(held.position.unsigned_abs())),
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
        let long = i128::from(held.position) + i128::from(held.open_buy);
        let short = i128::from(held.open_sell) - i128::from(held.position);
        u64::try_from(long.max(short)).unwrap_or(u64::MAX)
    });
    let loss = session.profit_dollars.min(0).unsigned_abs();
    let rate = seen.rate_of(Kind::Session, &limits.session, "orders");
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
            "orders_per_second_max",
            rate.unwrap_or(0),
            u64::from(limits.orders_per_second_max),
        ),
    ];
    let lines = rows.into_iter().map(|(name, used, max)| {
        // A limit of 0 is all used, whatever stands.
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

/// A share of ten in blocks.
fn bar(share: u64) -> String {
    let blocks = usize::try_from(share.min(100) / 20).unwrap_or(0);
    "#".repeat(blocks)
}

fn cores(seen: &Seen) -> Vec<Line> {
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

fn counters(seen: &Seen) -> Vec<Line> {
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

fn counter_line(it: &super::seen::Moved) -> Line {
    let name = format!("{:?} {} {}", it.kind, it.whose, it.counter).to_lowercase();
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

fn is_trouble(counter: &str) -> bool {
    TROUBLE
        .iter()
        .any(|word| counter.ends_with(word) || counter.starts_with(word))
}

/// What has gone wrong in the last interval.
fn troubles(seen: &Seen) -> Vec<Line> {
    let all = seen.counters().into_iter();
    let moved: Vec<Line> = all
        .filter(|it| it.more > 0 && is_trouble(&it.counter))
        .map(|it| {
            let kind = format!("{:?}", it.kind).to_lowercase();
            let text = format!(
                "{kind} {}: {} {} more",
                it.whose,
                grouped(it.more),
                it.counter
            );
            toned(text, Tone::Warn)
        })
        .collect();
    if moved.is_empty() {
        return vec![plain("nothing went wrong in the last interval")];
    }
    moved
}

fn help() -> Vec<Line> {
    let lines = [
        "1 to 7    pages          Up, Down, PageUp, PageDown    more of a page",
        "p         pause a strategy, or let it send again",
        "k         stop trading: asks for the word kill; open orders are cancelled, also",
        "          after a restart; tickgate ctl resume trades again",
        "space     what is seen stands still, or moves again",
        "q         end",
        "",
        "Latencies are of the last interval: from the look before to this one. P&L is marked",
        "to the market. What is STALE, killed or not heard says so in words, without colour.",
    ];
    lines.into_iter().map(plain).collect()
}

/// As much of a text as fits.
fn cut(text: &str, width: usize) -> String {
    let clean = text.chars().map(|c| if c.is_control() { '?' } else { c });
    clean.take(width).collect()
}
