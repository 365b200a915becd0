//! What types alone cannot refuse: ranges, names that must meet, CPUs that must exist.

use crate::settings::{Feed, LayoutKind, Receive, Session, Settings, Strategy};

/// A key, and what is wrong with its value and what would be right.
type Found = (String, String);

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
    }
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
    for cpu in &settings.layout.cpus {
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
}

fn check_feed(key: &str, feed: &Feed, found: &mut Vec<Found>) {
    if feed.lines.is_empty() || feed.lines.len() > 2 {
        let text = format!("{} lines: expected 1 or 2 (A and B)", feed.lines.len());
        found.push((format!("{key}.lines"), text));
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
    if session.sqpoll_cpu.is_some() && session.submit == crate::settings::Submit::Enter {
        let text = "submit = \"enter\" has no kernel thread; expected submit = \"sqpoll\"";
        found.push((format!("{key}.sqpoll_cpu"), text.into()));
    }
    let risk = &session.risk;
    let range = |name: &str, value: u64, max: u64, found: &mut Vec<Found>| {
        if value == 0 || value > max {
            let text = format!("{value}: expected 1 to {max}");
            found.push((format!("{key}.risk.{name}"), text));
        }
    };
    range(
        "order_qty_max",
        u64::from(risk.order_qty_max),
        999_999,
        found,
    );
    range(
        "notional_max_dollars",
        risk.notional_max_dollars,
        1_000_000_000_000,
        found,
    );
    range("position_max", risk.position_max, 1_000_000_000_000, found);
    range(
        "open_orders_max",
        u64::from(risk.open_orders_max),
        1_000_000,
        found,
    );
    range(
        "orders_per_second_max",
        u64::from(risk.orders_per_second_max),
        10_000_000,
        found,
    );
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
