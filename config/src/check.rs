//! What types alone cannot refuse: ranges, names that must meet, CPUs that must exist.

use std::ops::RangeInclusive;

use crate::settings::{Feed, LayoutKind, Receive, Risk, Session, Settings, Strategy, Submit};

/// Strategies on one session: a `ClOrdID` has two hexadecimal digits for the strategy. Beyond it an
/// answer would go to another strategy.
const STRATEGIES_MAX: usize = 256;
/// Half the price: wider than any band of the exchange's, so what is beyond is a mistyped number.
const COLLAR_BPS_MAX: u64 = 5_000;
/// From two of the exchange's heartbeats (one a second), so that one late one cuts nothing, to the
/// longest that a dead connection may look alive.
const SERVER_TIMEOUT_MS: RangeInclusive<u64> = 2_000..=300_000;

/// A key, and what is wrong with its value and what would be right.
type Found = (String, String);

/// Ten minutes: a feed that may be silent for longer is not watched.
const STALE_MS_MAX: u64 = 600_000;

/// Everything that is wrong.
pub(crate) fn check(settings: &Settings, cpus: &[usize]) -> Vec<Found> {
    let mut found = Vec::new();
    names(settings, &mut found);
    host(settings, cpus, &mut found);
    for (name, feed) in &settings.feed {
        check_feed(&format!("feed.{name}"), feed, &mut found);
    }
    interfaces(settings, &mut found);
    for (name, session) in &settings.session {
        check_session(&format!("session.{name}"), session, &mut found);
        check_limits(&format!("session.{name}.risk"), &session.risk, &mut found);
    }
    accounts(settings, &mut found);
    owners(settings, &mut found);
    for (name, strategy) in &settings.strategy {
        check_strategy(&format!("strategy.{name}"), strategy, settings, &mut found);
    }
    found
}

/// One name, one stage: logs, metrics and commands speak of stages by name.
fn names(settings: &Settings, found: &mut Vec<Found>) {
    let feeds = settings.feed.keys().map(|name| ("feed", name));
    let sessions = settings.session.keys().map(|name| ("session", name));
    let strategies = settings.strategy.keys().map(|name| ("strategy", name));
    let mut seen: Vec<(&str, &String)> = Vec::new();
    for (kind, name) in feeds.chain(sessions).chain(strategies) {
        if let Some((other, _)) = seen.iter().find(|(_, seen)| *seen == name) {
            let text = format!("the name is taken by {other}.{name}, expected another one");
            found.push((format!("{kind}.{name}"), text));
        }
        seen.push((kind, name));
    }
}

fn host(settings: &Settings, cpus: &[usize], found: &mut Vec<Found>) {
    let rings = &settings.rings;
    let sizes = [
        ("events", rings.events),
        ("intents", rings.intents),
        ("executions", rings.executions),
    ];
    for (name, size) in sizes {
        power_of_two(&format!("rings.{name}"), size as u64, found);
    }
    if settings.host.realtime_priority > 99 {
        let text = format!("{}: expected 0 to 99", settings.host.realtime_priority);
        found.push(("host.realtime_priority".into(), text));
    }
    for (at, cpu) in settings.layout.cpus.iter().enumerate() {
        let before = settings.layout.cpus.iter().take(at);
        if before.into_iter().any(|other| other == cpu) {
            let text = format!("{cpu}: given twice, expected a CPU of its own for each hot core");
            found.push(("layout.cpus".into(), text));
        }
        if !cpus.contains(cpu) {
            let list: Vec<String> = cpus.iter().map(ToString::to_string).collect();
            let text = format!("{cpu}: no such CPU, expected one of {}", list.join(", "));
            found.push(("layout.cpus".into(), text));
        }
    }
    let stages = settings.feed.len() + settings.session.len() + settings.strategy.len();
    let given = settings.layout.cpus.len();
    if settings.layout.kind == LayoutKind::Pipeline && given != 0 && given < stages {
        let text = format!("{given} CPUs for {stages} stages; expected one each, or none");
        found.push(("layout.cpus".into(), text));
    }
    // `inline` takes the last of several CPUs by itself.
    let is_pinned = given != 0 || settings.layout.kind == LayoutKind::Inline && cpus.len() > 1;
    if settings.host.realtime_priority > 0 && !is_pinned {
        let text = format!(
            "{}: hot cores that are not pinned would starve whatever they meet; expected layout.cpus, \
             or 0",
            settings.host.realtime_priority
        );
        found.push(("host.realtime_priority".into(), text));
    }
    for (name, feed) in &settings.feed {
        if settings.layout.kind == LayoutKind::Inline && feed.udp.block_us > 0 {
            let text = format!(
                "{}: orders would wait for the feed's sleep; expected 0, or layout.kind = \"pipeline\"",
                feed.udp.block_us
            );
            found.push((format!("feed.{name}.udp.block_us"), text));
        }
    }
}

fn check_feed(key: &str, feed: &Feed, found: &mut Vec<Found>) {
    if feed.lines.is_empty() || feed.lines.len() > 2 {
        let text = format!("{} lines: expected 1 or 2 (A and B)", feed.lines.len());
        found.push((format!("{key}.lines"), text));
    }
    if !(1..=STALE_MS_MAX).contains(&feed.stale_ms) || feed.stale_ms * 1000 <= feed.gap_timeout_us {
        let text = format!(
            "{}: expected 1 to {STALE_MS_MAX}, and more than gap_timeout_us = {} µs",
            feed.stale_ms, feed.gap_timeout_us
        );
        found.push((format!("{key}.stale_ms"), text));
    }
    for line in &feed.lines {
        if line.interface.is_empty() && feed.receive == Receive::AfXdp {
            let text = format!(
                "{}: af_xdp needs the interface, expected interface = \"NAME\"",
                line.address
            );
            found.push((format!("{key}.lines"), text));
        }
    }
    if let [first, second] = &feed.lines[..]
        && first == second
    {
        let text = format!("{} is there twice: expected line B's", first.address);
        found.push((format!("{key}.lines"), text));
    }
    let x = &feed.af_xdp;
    one_of(
        &format!("{key}.af_xdp.mode"),
        &x.mode,
        &["auto", "native", "generic"],
        found,
    );
    let rungs = ["zero-copy", "native-copy", "generic", "kernel-socket"];
    one_of(&format!("{key}.af_xdp.require"), &x.require, &rungs, found);
    power_of_two(&format!("{key}.af_xdp.frames"), u64::from(x.frames), found);
    power_of_two(
        &format!("{key}.af_xdp.rx_ring"),
        u64::from(x.rx_ring),
        found,
    );
    if x.frame_bytes != 2048 && x.frame_bytes != 4096 {
        let text = format!("{}: expected 2048 or 4096", x.frame_bytes);
        found.push((format!("{key}.af_xdp.frame_bytes"), text));
    }
    if !(1..=256).contains(&x.batch) {
        let text = format!("{}: expected 1 to 256 packets", x.batch);
        found.push((format!("{key}.af_xdp.batch"), text));
    }
    if x.rx_ring > x.frames {
        let text = format!(
            "{}: expected at most {key}.af_xdp.frames = {}",
            x.rx_ring, x.frames
        );
        found.push((format!("{key}.af_xdp.rx_ring"), text));
    }
    let books = &feed.books;
    for (name, value) in [
        ("orders_max", u64::from(books.orders_max)),
        ("levels_max", u64::from(books.levels_max)),
    ] {
        if value == 0 {
            found.push((
                format!("{key}.books.{name}"),
                "0: expected at least 1".into(),
            ));
        }
    }
}

/// One XDP program for each interface, so one feed.
fn interfaces(settings: &Settings, found: &mut Vec<Found>) {
    let mut seen: Vec<(&String, &String)> = Vec::new();
    for (name, feed) in settings
        .feed
        .iter()
        .filter(|(_, feed)| feed.receive == Receive::AfXdp)
    {
        for line in &feed.lines {
            let other = seen
                .iter()
                .find(|(other, interface)| *other != name && **interface == line.interface);
            if let Some((other, _)) = other {
                let text = format!(
                    "\"{}\": feed.{other} has an XDP program there already; expected another \
                     interface, or receive = \"udp\"",
                    line.interface
                );
                found.push((format!("feed.{name}.lines"), text));
            }
            seen.push((name, &line.interface));
        }
    }
}

fn check_session(key: &str, session: &Session, found: &mut Vec<Found>) {
    for (name, value, max) in [
        ("username", &session.username, 6),
        ("password", &session.password, 10),
    ] {
        if value.len() > max || !value.is_ascii() {
            let text = format!("{} characters: expected at most {max}, ASCII", value.len());
            found.push((format!("{key}.{name}"), text));
        }
    }
    if session.username.is_empty() {
        found.push((
            format!("{key}.username"),
            "empty: expected a user name".into(),
        ));
    }
    if session.session.len() > 10 {
        found.push((
            format!("{key}.session"),
            "expected at most 10 characters".into(),
        ));
    }
    if !session.password.is_empty() && !session.password_file.is_empty() {
        let text = "password is given too; expected one of them";
        found.push((format!("{key}.password_file"), text.into()));
    }
    if session.sqpoll_cpu.is_some() && session.submit != Submit::Sqpoll {
        let text = "only submit = \"sqpoll\" has a kernel thread; expected that, or no CPU for it";
        found.push((format!("{key}.sqpoll_cpu"), text.into()));
    }
    if session.busy_poll_us > 0 && session.submit == Submit::Write {
        let text = format!(
            "{}: submit = \"write\" does not poll the card; expected 0, or \"enter\" or \"sqpoll\"",
            session.busy_poll_us
        );
        found.push((format!("{key}.busy_poll_us"), text));
    }
    if !SERVER_TIMEOUT_MS.contains(&session.server_timeout_ms) {
        let (min, max) = (SERVER_TIMEOUT_MS.start(), SERVER_TIMEOUT_MS.end());
        let text = format!(
            "{}: expected {min} to {max}; the exchange says something every 1000",
            session.server_timeout_ms
        );
        found.push((format!("{key}.server_timeout_ms"), text));
    }
}

/// What one order, one symbol and one second may cost.
fn check_limits(key: &str, risk: &Risk, found: &mut Vec<Found>) {
    for (name, value, max) in [
        ("order_qty_max", u64::from(risk.order_qty_max), 999_999),
        (
            "notional_max_dollars",
            risk.notional_max_dollars,
            1_000_000_000_000,
        ),
        ("collar_bps", u64::from(risk.collar_bps), COLLAR_BPS_MAX),
        ("position_max", risk.position_max, 1_000_000_000_000),
        (
            "open_orders_max",
            u64::from(risk.open_orders_max),
            1_000_000,
        ),
        (
            "orders_per_second_max",
            u64::from(risk.orders_per_second_max),
            10_000_000,
        ),
        ("intent_age_max_ms", risk.intent_age_max_ms, 60_000),
    ] {
        if value == 0 || value > max {
            let text = format!("{value}: expected 1 to {max}");
            found.push((format!("{key}.{name}"), text));
        }
    }
}

/// The exchange ends an account's connection when the same account logs in again.
fn accounts(settings: &Settings, found: &mut Vec<Found>) {
    let mut seen: Vec<(&String, &Session)> = Vec::new();
    for (name, session) in &settings.session {
        let account = |other: &Session| {
            other.address == session.address
                && other
                    .username
                    .trim_end()
                    .eq_ignore_ascii_case(session.username.trim_end())
        };
        if let Some((other, _)) = seen.iter().find(|(_, other)| account(other)) {
            let text = format!(
                "\"{}\": session.{other} logs in there as the same user, and each login cuts the \
                 other off; expected another user",
                session.username
            );
            found.push((format!("session.{name}.username"), text));
        }
        seen.push((name, session));
    }
}

/// An order says with two digits whose it is.
fn owners(settings: &Settings, found: &mut Vec<Found>) {
    for name in settings.session.keys() {
        let strategies = settings.strategy.values();
        let count = strategies.filter(|one| one.session == *name).count();
        if count > STRATEGIES_MAX {
            let text = format!("{count} strategies trade on it: expected at most {STRATEGIES_MAX}");
            found.push((format!("session.{name}"), text));
        }
    }
}

fn check_strategy(key: &str, strategy: &Strategy, settings: &Settings, found: &mut Vec<Found>) {
    let mut meets = |field: &str, name: &String, names: Vec<&String>| {
        if !names.contains(&name) {
            let list: Vec<&str> = names.into_iter().map(String::as_str).collect();
            let list = if list.is_empty() {
                "none is configured".into()
            } else {
                list.join(", ")
            };
            let text = format!("\"{name}\": no such {field}, expected one of {list}");
            found.push((format!("{key}.{field}"), text));
        }
    };
    meets("feed", &strategy.feed, settings.feed.keys().collect());
    meets(
        "session",
        &strategy.session,
        settings.session.keys().collect(),
    );
    for symbol in &strategy.symbols {
        if symbol.is_empty() || symbol.len() > 8 || !symbol.bytes().all(|b| b.is_ascii_graphic()) {
            let text = format!("\"{symbol}\": expected 1 to 8 printable characters");
            found.push((format!("{key}.symbols"), text));
        }
    }
}

fn power_of_two(key: &str, value: u64, found: &mut Vec<Found>) {
    if !value.is_power_of_two() {
        found.push((key.to_owned(), format!("{value}: expected a power of two")));
    }
}

fn one_of(key: &str, value: &str, allowed: &[&str], found: &mut Vec<Found>) {
    if !allowed.contains(&value) {
        let text = format!("\"{value}\": expected one of {}", allowed.join(", "));
        found.push((key.to_owned(), text));
    }
}
