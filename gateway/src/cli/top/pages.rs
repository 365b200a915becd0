//! The pages as lines of text: whatever is seen, 80 columns hold what matters most, and no meaning lies in colour alone.

use super::detail::{cores, counters, feed_table, feeds, is_trouble, orders, risk};
use super::line::{Line, Tone, cut, head, number, plain, signed, toned};
use super::seen::{Seen, TREND_OF};
use super::view::{Page, Question, View};
use crate::cli::ctl::{duration, kill_line, standing};
use crate::control::answer::SessionRow;
use crate::telemetry::{Kind, Summary, grouped, histograms};

/// Columns of a line that is wrapped: 80 less what stands before an answer.
const WRAP_AT: usize = 78;
/// Lines of an answer that are shown.
const SAID_LINES_MAX: usize = 6;

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
        "tickgate {}  pid {}  up {}{}{frozen}",
        status.version,
        status.pid,
        duration(status.uptime_s),
        standing(status)
    );
    let is_odd = status.is_ready == Some(false) || status.host_drifts > Some(0);
    let tone = if is_odd { Tone::Warn } else { Tone::Plain };
    let mut out = vec![toned(who, tone), toned(pages, Tone::Head)];
    if let Some(error) = &view.error {
        out.push(toned(format!("NOT HEARD: {error}"), Tone::Bad));
    }
    let tone = if status.kill.is_on() {
        Tone::Bad
    } else {
        Tone::Plain
    };
    if view.seen.is_empty() {
        out.push(toned("not heard yet".to_owned(), Tone::Warn));
    } else {
        let kill = kill_line(&status.kill);
        out.extend(wrapped(kill.trim_end()).map(|line| toned(line, tone)));
    }
    if let Some(said) = &view.said {
        let all = said
            .lines()
            .flat_map(|line| wrapped(line).collect::<Vec<_>>());
        let all = all
            .take(SAID_LINES_MAX)
            .map(|line| toned(format!("> {line}"), Tone::Warn));
        out.extend(all);
    }
    out.extend(question(view));
    out
}

/// A line in as many as its words need.
fn wrapped(line: &str) -> impl Iterator<Item = String> {
    let mut lines = vec![String::new()];
    for word in line.split(' ') {
        let last = lines
            .last_mut()
            .filter(|it| it.is_empty() || it.chars().count() + 1 + word.chars().count() <= WRAP_AT);
        match last {
            Some(last) if last.is_empty() => last.push_str(word),
            Some(last) => {
                last.push(' ');
                last.push_str(word);
            }
            None => lines.push(word.to_owned()),
        }
    }
    lines.into_iter()
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
        let line = format!(
            "{:14} {:10} {:>5} {:>5} {:>11} {:>11} {:>11} {:>6}",
            cut(&row.name, 14),
            cut(&row.state, 10),
            row.open_orders,
            row.in_doubt,
            grouped(row.gross_dollars),
            grouped(row.net_dollars),
            signed(row.profit_dollars),
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

/// What has gone wrong in the last interval.
fn troubles(seen: &Seen) -> Vec<Line> {
    if !seen.has_interval() {
        return vec![plain("no interval yet")];
    }
    let all = seen.counters().into_iter();
    let moved: Vec<Line> = all
        .filter(|it| it.more > 0 && is_trouble(&it.counter))
        .map(|it| {
            let text = format!(
                "{} {}: {} {} more",
                it.kind.name(),
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
        "Latencies are of the last interval, from the look before to this one. P&L is",
        "marked to the market. What is STALE, killed or not heard says so in words.",
    ];
    lines.into_iter().map(plain).collect()
}
