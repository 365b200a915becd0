//! What the gateway answers, for people.

use comfy_table::{CellAlignment, Table, presets};

use super::reload_text::reloaded;
use super::standing::standing;
use super::times::{duration, time_of};
use crate::control::answer::{
    Asked, Body, FeedRow, GuardRow, KillStatus, Killed, Limited, LimitsRow, Orders, PartRow,
    Positions, Resumed, SessionRow, Status, StillOpen,
};
use crate::telemetry::{POSITIONS_SHOWN, grouped};

/// An answer as text, each line with its end.
pub(in crate::cli) fn text(body: &Body) -> String {
    match body {
        Body::Status(it) => status(it),
        Body::Sessions(it) => sessions(it),
        Body::Guards(it) => guards(it),
        Body::Orders(it) => orders(it),
        Body::Positions(it) => positions(it),
        Body::Limits(it) => limits(it),
        Body::Report(it) => it.table(POSITIONS_SHOWN),
        Body::Limited(it) => limited(it),
        Body::Reloaded(it) => reloaded(it),
        Body::Killed(it) => killed(it),
        Body::Resumed(it) => resumed(it),
        Body::Asked(it) => asked(it),
        Body::Refused(it) => format!("refused: {}\n", it.error),
    }
}

/// Whether trading is stopped.
pub(in crate::cli) fn kill(kill: &KillStatus) -> String {
    let mut out = if kill.is_on() {
        format!("KILLED: {}", kill.scope.join(", "))
    } else {
        "trading: not killed".to_owned()
    };
    if let Some(cause) = &kill.cause {
        out.push_str(&format!(", by {cause}"));
    }
    if let Some(began) = &kill.began {
        out.push_str(&format!(", in session {began}"));
    }
    if let Some(since_s) = kill.since_s {
        out.push_str(&format!(", since {}", time_of(since_s)));
    }
    if !kill.why.is_empty() {
        out.push_str(&format!(", because: {}", kill.why));
    }
    if kill.is_on() && !kill.outlives_restart {
        out.push_str("; a restart forgets it");
    }
    if let Some(error) = &kill.file_error {
        out.push_str(&format!("; the kill file: {error}"));
    }
    out + "\n"
}

fn status(status: &Status) -> String {
    let mut out = format!(
        "tickgate {}, pid {}, up {}{}\n{}\n",
        status.version,
        status.pid,
        duration(status.uptime_s),
        standing(status),
        kill(&status.kill)
    );
    let mut cores = table(&["core", "cpu", "turns", ""], &[1, 2]);
    for core in &status.cores {
        let still = match core.still_ms {
            // A look every 100 ms.
            0..200 => "turns".to_owned(),
            ms => format!("STANDS STILL for {} ms", grouped(ms)),
        };
        let cpu = core
            .cpu
            .map_or_else(|| "any".to_owned(), |cpu| cpu.to_string());
        cores.add_row([core.name.clone(), cpu, grouped(core.turns), still]);
    }
    out.push_str(&format!("{cores}\n\n"));
    let mut feeds = table(
        &["feed", "messages", "lost", "symbols", "stale", ""],
        &[1, 2, 3, 4],
    );
    for feed in &status.feeds {
        feeds.add_row([
            feed.name.clone(),
            grouped(feed.messages),
            grouped(feed.messages_lost),
            grouped(u64::from(feed.symbols)),
            if feed.is_fresh {
                grouped(u64::from(feed.stale_symbols))
            } else {
                "all".to_owned()
            },
            if feed.is_fresh { "fresh" } else { "STALE" }.to_owned(),
        ]);
    }
    out.push_str(&format!("{feeds}\n"));
    let words = status.feeds.iter().filter_map(feed_words);
    words.for_each(|words| out.push_str(&words));
    out.push_str(&format!("\n{}", sessions(&status.sessions)));
    if !status.guards.is_empty() {
        out.push_str(&guards(&status.guards));
    }
    out
}

/// What is wrong with a feed, if anything.
fn feed_words(feed: &FeedRow) -> Option<String> {
    let silent = feed.silent_lines.iter();
    let silent = silent.map(|line| format!("line {line} is silent"));
    let reasons: Vec<String> = feed.stale_because.iter().cloned().chain(silent).collect();
    (!reasons.is_empty()).then(|| format!("feed {}: {}\n", feed.name, reasons.join("; ")))
}

fn guards(guards: &[GuardRow]) -> String {
    let lines = guards.iter().map(|guard| {
        let (name, within_ms) = (&guard.name, grouped(guard.within_ms));
        format!("guarded by {name}: {within_ms} ms of its silence stop trading\n")
    });
    let lines: String = lines.collect();
    if lines.is_empty() {
        "nobody guards\n".to_owned()
    } else {
        lines
    }
}

fn sessions(sessions: &[SessionRow]) -> String {
    let mut rows = table(
        &[
            "session",
            "state",
            "open",
            "in doubt",
            "next seq",
            "strategies",
            "",
        ],
        &[2, 3, 4],
    );
    for session in sessions {
        let strategies = session.strategies.iter().map(|strategy| {
            let paused = if strategy.is_paused { " (PAUSED)" } else { "" };
            format!("{}{paused}", strategy.name)
        });
        rows.add_row([
            session.name.clone(),
            session.state.clone(),
            grouped(u64::from(session.open_orders)),
            grouped(u64::from(session.in_doubt)),
            grouped(session.next_seq),
            strategies.collect::<Vec<_>>().join(", "),
            stopped(session),
        ]);
    }
    let at = sessions
        .iter()
        .filter(|session| !session.address.is_empty());
    let at = at.map(|session| format!("session {}: at {}\n", session.name, session.address));
    format!("{rows}\n{}", at.collect::<String>())
}

fn orders(found: &Orders) -> String {
    let names = [
        "session", "ref", "strategy", "symbol", "side", "price", "open", "filled", "state",
    ];
    let mut rows = table(&names, &[1, 5, 6, 7]);
    for order in &found.orders {
        rows.add_row([
            order.session.clone(),
            order.user_ref.to_string(),
            order.strategy.clone().unwrap_or_else(|| "?".to_owned()),
            order.symbol.clone(),
            order.side.clone(),
            order.price.clone(),
            grouped(u64::from(order.open)),
            grouped(u64::from(order.executed)),
            order.state.clone(),
        ]);
    }
    let left_off = match found.left_off {
        0 => String::new(),
        count => format!(", {count} left off"),
    };
    let (shown, open) = (found.orders.len(), grouped(found.open_orders));
    format!("{rows}\n{shown} orders{left_off}; open in these sessions: {open}\n")
}

fn positions(found: &Positions) -> String {
    let names = [
        "session",
        "symbol",
        "position",
        "open to buy",
        "open to sell",
    ];
    let mut rows = table(&names, &[2, 3, 4]);
    for session in &found.sessions {
        for held in &session.positions {
            rows.add_row([
                session.session.clone(),
                held.symbol.clone(),
                format!("{:+}", held.position),
                grouped(held.open_buy),
                grouped(held.open_sell),
            ]);
        }
    }
    for account in &found.accounts {
        for held in &account.positions {
            rows.add_row([
                format!("all of {}", account.account),
                held.symbol.clone(),
                format!("{:+}", held.position),
                grouped(held.open_buy),
                grouped(held.open_sell),
            ]);
        }
    }
    let left_off = match found.left_off {
        0 => String::new(),
        count => format!("{count} left off\n"),
    };
    format!("{rows}\n{left_off}")
}

fn limits(found: &[LimitsRow]) -> String {
    let mut names = vec!["limit"];
    names.extend(found.iter().map(|row| row.session.as_str()));
    let columns: Vec<usize> = (1..names.len()).collect();
    let mut rows = table(&names, &columns);
    let columns: Vec<_> = found.iter().map(limits_column).collect();
    let count = columns.iter().map(Vec::len).max().unwrap_or(0);
    for at in 0..count {
        let mut cells = columns.iter().filter_map(|column| column.get(at));
        let first = cells.clone().next();
        let mut line = vec![first.map_or_else(String::new, |(name, _)| (*name).to_owned())];
        line.extend(cells.by_ref().map(|(_, value)| value.clone()));
        rows.add_row(line);
    }
    let number = found.first().map_or(0, |row| row.number);
    let (changed, accounts, parts) = (changed(found), accounts(found), parts(found));
    format!("{rows}\n\ntable {number}{changed}{accounts}{parts}")
}

/// What sessions of one account may have together, a line each limit.
fn accounts(found: &[LimitsRow]) -> String {
    let mut out = String::new();
    let mut names: Vec<&String> = found
        .iter()
        .filter_map(|row| row.account.as_ref())
        .collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let own = found
            .iter()
            .filter(|row| row.account.as_ref() == Some(name));
        let sessions: Vec<&str> = own.clone().map(|row| row.session.as_str()).collect();
        let sessions = sessions.join(", ");
        for limit in own.take(1).flat_map(|row| &row.account_limits) {
            let (key, has) = (&limit.key, grouped(limit.sessions));
            let max = grouped(limit.max);
            out.push_str(&format!(
                "account {name} ({sessions}): {key} {has} of {max}\n"
            ));
        }
    }
    out
}

/// Limits of parts of accounts, a line each.
fn parts(found: &[LimitsRow]) -> String {
    let mut out = String::new();
    for session in found {
        for row in &session.rows {
            let limits = [
                ("order_qty_max", row.order_qty_max.map(u64::from)),
                ("notional_max_dollars", row.notional_max_dollars),
                ("position_max", row.position_max),
                ("open_orders_max", row.open_orders_max.map(u64::from)),
                (
                    "orders_per_second_max",
                    row.orders_per_second_max.map(u64::from),
                ),
            ];
            let limits = limits
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?)));
            let limits = limits.map(|(name, value)| format!("{name} {}", grouped(value)));
            let limits: Vec<String> = limits.collect();
            let PartRow {
                row,
                strategy,
                symbol,
                ..
            } = row;
            let (name, limits) = (&session.session, limits.join(", "));
            out.push_str(&format!(
                "session {name}, row {row}: strategy {strategy}, symbol {symbol}: {limits}\n"
            ));
        }
    }
    out
}

/// What of the limits is not as configured.
fn changed(found: &[LimitsRow]) -> String {
    if found.iter().all(|row| row.changed.is_empty()) {
        return ": as configured\n".to_owned();
    }
    let names = ["session", "limit", "configured", "in force", "since", "by"];
    let mut rows = table(&names, &[2, 3]);
    for row in found {
        for it in &row.changed {
            let since = it.since_s.map(time_of);
            let by = it.uid.map(|uid| format!("uid {uid}"));
            rows.add_row([
                row.session.clone(),
                it.key.clone(),
                grouped(it.configured),
                grouped(it.in_force),
                since.unwrap_or_else(|| "an earlier run".to_owned()),
                by.unwrap_or_default(),
            ]);
        }
    }
    format!("; not as configured, or changed:\n{rows}\n")
}

/// A session's limits, as the configuration calls them.
fn limits_column(row: &LimitsRow) -> Vec<(&'static str, String)> {
    let number = |value: u32| grouped(u64::from(value));
    let unless_none = |value: u64, none: &str| match value {
        0 => none.to_owned(),
        value => grouped(value),
    };
    let hours = row.trading_hours.as_deref().unwrap_or("always");
    let crosses = if row.allow_self_cross { "yes" } else { "no" };
    let cancels = u64::from(row.cancels_per_second_max);
    let duplicates = row.duplicate_window_ms;
    vec![
        ("order_qty_max", number(row.order_qty_max)),
        ("notional_max_dollars", grouped(row.notional_max_dollars)),
        ("collar_bps", number(row.collar_bps)),
        ("position_max", grouped(row.position_max)),
        (
            "gross_exposure_max_dollars",
            grouped(row.gross_exposure_max_dollars),
        ),
        (
            "net_exposure_max_dollars",
            grouped(row.net_exposure_max_dollars),
        ),
        ("loss_max_dollars", grouped(row.loss_max_dollars)),
        ("open_orders_max", number(row.open_orders_max)),
        ("orders_per_second_max", number(row.orders_per_second_max)),
        ("cancels_per_second_max", unless_none(cancels, "any")),
        (
            "rejects_max",
            unless_none(u64::from(row.rejects_max), "any"),
        ),
        ("reject_window_ms", grouped(row.reject_window_ms)),
        ("duplicate_window_ms", unless_none(duplicates, "off")),
        ("allow_self_cross", crosses.to_owned()),
        ("trading_hours", hours.to_owned()),
        ("intent_age_max_ms", grouped(row.intent_age_max_ms)),
    ]
}

/// What a change came to.
fn limited(limited: &Limited) -> String {
    let mut rows = table(&["session", "limit", "before", "now", ""], &[2, 3]);
    let mark = |is_looser| if is_looser { "LOOSER" } else { "" }.to_owned();
    for change in &limited.changes {
        rows.add_row([
            change.session.clone(),
            change.key.clone(),
            grouped(change.before),
            grouped(change.now),
            mark(change.is_looser),
        ]);
    }
    for change in &limited.rows {
        let word = |it: Option<u64>| it.map_or_else(|| "none".to_owned(), grouped);
        let (row, key, strategy) = (change.row, &change.key, &change.strategy);
        rows.add_row([
            change.session.clone(),
            format!("row {row}, {strategy}, {}: {key}", change.symbol),
            word(change.before),
            word(change.now),
            mark(change.is_looser),
        ]);
    }
    let number = limited.number;
    let end = if !limited.is_set {
        format!(
            "NOTHING IS CHANGED: something of it is looser. The same again with --confirm {number} does it\n"
        )
    } else if limited.outlives_restart {
        format!(
            "table {number} is in force; a restart brings the configuration back, but for what is tighter than it\n"
        )
    } else {
        format!(
            "table {number} is in force; A RESTART FORGETS IT: there is no journal, the configuration holds again\n"
        )
    };
    let taken = if limited.is_set && !limited.is_taken {
        "NOT taken yet by every session: its core does not turn\n"
    } else {
        ""
    };
    format!("{rows}\n{taken}{end}")
}

fn killed(killed: &Killed) -> String {
    let mut out = if killed.is_nothing_open {
        format!(
            "killed; nothing is open any more, {} ms later\n",
            killed.after_ms
        )
    } else {
        format!("killed; NOT all is closed {} ms later:\n", killed.after_ms)
    };
    if !killed.is_nothing_open {
        out.push_str(&still_open(&killed.sessions));
    }
    if !killed.killed_before.is_empty() {
        let names = killed.killed_before.join(", ");
        out.push_str(&format!("killed already: {names}; the first cause stays\n"));
    }
    if let Some(error) = &killed.file_error {
        out.push_str(&format!("A RESTART FORGETS IT: {error}\n"));
    }
    out
}

/// Why its new orders do not go; empty: they do, as far as this is concerned.
fn stopped(session: &SessionRow) -> String {
    match &session.killed {
        Some(cause) => format!("KILLED: {cause}"),
        None if session.waits_for.is_empty() => String::new(),
        None => format!("WAITS for {}", session.waits_for.join(", ")),
    }
}

fn still_open(sessions: &[StillOpen]) -> String {
    let mut rows = table(&["session", "state", "open", ""], &[2]);
    for session in sessions {
        let looked = if session.has_looked {
            ""
        } else {
            "its core has not looked since"
        };
        rows.add_row([
            session.session.clone(),
            session.state.clone(),
            grouped(u64::from(session.open_orders)),
            looked.to_owned(),
        ]);
    }
    format!("{rows}\n")
}

fn resumed(resumed: &Resumed) -> String {
    if resumed.is_released {
        return format!("resumed: {}\n", resumed.scope);
    }
    let still = resumed.still_killed.join("\n  ");
    format!("NOT resumed, still killed:\n  {still}\n")
}

fn asked(asked: &Asked) -> String {
    if asked.is_taken {
        return format!("done: {}\n", asked.what);
    }
    let rows = still_open(&asked.sessions);
    format!("NOT taken yet: {}\n{rows}", asked.what)
}

fn table(names: &[&str], right: &[usize]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(names.iter().copied());
    for column in right {
        if let Some(column) = table.column_mut(*column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::answer::{ChangedLimit, CoreRow, LimitChange, OrderRow, StrategyRow};

    #[test]
    fn status_says_first_whether_it_is_killed_and_fits_on_a_screen() {
        let told = Status {
            version: "0.1.0".to_owned(),
            pid: 7,
            uptime_s: 93_784,
            is_ready: Some(false),
            host_drifts: Some(2),
            kill: KillStatus {
                began: None,
                scope: vec!["all".to_owned()],
                cause: Some("the operator".to_owned()),
                since_s: Some(1_795_719_600),
                why: "lunch".to_owned(),
                outlives_restart: true,
                ..KillStatus::default()
            },
            cores: vec![CoreRow {
                name: "inline".to_owned(),
                cpu: Some(3),
                turns: 123_456_789_012,
                still_ms: 2_500,
            }],
            feeds: vec![FeedRow {
                name: "itch".to_owned(),
                silent_lines: vec![2],
                stale_because: vec!["messages are missing".to_owned()],
                ..FeedRow::default()
            }],
            sessions: vec![SessionRow {
                name: "ouch".to_owned(),
                state: "open".to_owned(),
                address: "198.51.100.7:12000".to_owned(),
                strategies: vec![StrategyRow {
                    name: "quotes".to_owned(),
                    is_paused: true,
                }],
                ..SessionRow::default()
            }],
            guards: vec![GuardRow {
                name: "desk".to_owned(),
                within_ms: 5_000,
                left_ms: 4_000,
            }],
        };
        let shown = text(&Body::Status(told));
        let expected = [
            "tickgate 0.1.0, pid 7, up 1 d 02:03:04, NOT READY, HOST DRIFTED: 2",
            "KILLED: all, by the operator, since 2026-11-26T19:00:00Z, because: lunch",
            "STANDS STILL for 2,500 ms",
            "feed itch: messages are missing; line 2 is silent",
            "quotes (PAUSED)",
            "session ouch: at 198.51.100.7:12000",
            "guarded by desk: 5,000 ms of its silence stop trading",
        ];
        for words in expected {
            assert!(shown.contains(words), "{words}: {shown}");
        }
        assert!(shown.lines().all(|line| line.len() <= 80), "{shown}");
    }

    #[test]
    fn kill_that_a_session_began_names_it() {
        let told = KillStatus {
            scope: vec!["account desk".to_owned()],
            cause: Some("a loss over loss_max_dollars".to_owned()),
            began: Some("ouch".to_owned()),
            ..KillStatus::default()
        };
        let expected = "KILLED: account desk, by a loss over loss_max_dollars, in session ouch; a restart forgets it\n";
        assert_eq!(kill(&told), expected);
    }

    #[test]
    fn orders_stand_in_columns_of_one_screen() {
        let order = |user_ref, price: &str, open| OrderRow {
            session: "ouch".to_owned(),
            user_ref,
            strategy: Some("quotes".to_owned()),
            symbol: "AAPL".to_owned(),
            side: "buy".to_owned(),
            price: price.to_owned(),
            open,
            state: "open".to_owned(),
            ..OrderRow::default()
        };
        let found = Orders {
            orders: vec![
                order(9, "99.0000", 100),
                order(123_456, "1000.0000", 999_999),
            ],
            left_off: 3,
            open_orders: 5,
        };
        let shown = text(&Body::Orders(found));
        let lines: Vec<&str> = shown.lines().collect();
        assert!(
            lines[2].contains("|      9 |") && lines[2].contains("|   99.0000 |"),
            "{shown}"
        );
        assert!(
            lines[..4]
                .iter()
                .all(|line| line.len() == lines[0].len() && line.len() <= 90)
        );
        assert!(
            shown.ends_with("2 orders, 3 left off; open in these sessions: 5\n"),
            "{shown}"
        );
    }

    #[test]
    fn limits_are_told_of_each_session_under_the_configurations_names() {
        let one = LimitsRow {
            session: "one".to_owned(),
            loss_max_dollars: 10_000,
            ..LimitsRow::default()
        };
        let two = LimitsRow {
            session: "two".to_owned(),
            cancels_per_second_max: 5,
            trading_hours: Some("09:30-16:00".to_owned()),
            ..LimitsRow::default()
        };
        let text = limits(&[one, two]);
        let row = |name: &str| {
            let line = text.lines().find(|line| line.contains(name)).unwrap();
            let words = line.split_whitespace().filter(|word| *word != "|");
            words.skip(1).collect::<Vec<_>>()
        };
        assert_eq!(row("limit "), ["one", "two"]);
        assert_eq!(row("loss_max_dollars"), ["10,000", "0"]);
        assert_eq!(row("cancels_per_second_max"), ["any", "5"]);
        assert_eq!(row("trading_hours"), ["always", "09:30-16:00"]);
    }

    #[test]
    fn what_is_looser_is_marked_and_the_way_to_confirm_it_is_said() {
        let change = LimitChange {
            session: "ouch".to_owned(),
            key: "order_qty_max".to_owned(),
            before: 500,
            now: 1_000,
            is_looser: true,
        };
        let mut told = Limited {
            number: 7,
            changes: vec![change],
            ..Limited::default()
        };
        let shown = limited(&told);
        assert!(
            shown.contains("LOOSER") && shown.contains("--confirm 7"),
            "{shown}"
        );
        (told.is_set, told.number) = (true, 8);
        let shown = limited(&told);
        assert!(
            shown.contains("NOT taken") && shown.contains("A RESTART FORGETS IT"),
            "{shown}"
        );
        (told.is_taken, told.outlives_restart) = (true, true);
        let shown = limited(&told);
        assert!(
            !shown.contains("NOT") && shown.contains("table 8 is in force"),
            "{shown}"
        );
    }

    #[test]
    fn limits_that_are_not_as_configured_are_told_with_their_time() {
        let mut row = LimitsRow {
            session: "one".to_owned(),
            number: 4,
            ..LimitsRow::default()
        };
        assert!(limits(&[row.clone()]).ends_with("table 4: as configured\n"));
        let changed = ChangedLimit {
            key: "collar_bps".to_owned(),
            configured: 500,
            in_force: 20,
            since_s: Some(1_795_719_600),
            uid: Some(7),
        };
        let earlier = ChangedLimit {
            since_s: None,
            uid: None,
            ..changed.clone()
        };
        row.changed = vec![changed, earlier];
        let text = limits(&[row]);
        for words in [
            "| 2026-11-26T19:00:00Z | uid 7 |",
            "|        500 |",
            "an earlier run",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
    }
}
