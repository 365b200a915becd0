//! What no key can say by itself: names that must meet, CPUs that must exist, keys that exclude one another.
//!
//! Each key's own range stands beside it, in `settings`.

use crate::cores;
use crate::settings::{Found, LayoutKind, Receive, Session, Settings, Strategy};

/// Strategies on one session: a `ClOrdID` has two hexadecimal digits for the strategy. Beyond it an
/// answer would go to another strategy.
const STRATEGIES_MAX: usize = 256;

/// Everything that is wrong.
pub(crate) fn check(settings: &Settings, cpus: &[usize]) -> Vec<Found> {
    let mut found = Vec::new();
    names(settings, &mut found);
    host(settings, cpus, &mut found);
    cores::check(settings, cpus, &mut found);
    for (name, feed) in &settings.feed {
        feed.check(&format!("feed.{name}"), &mut found);
    }
    interfaces(settings, &mut found);
    for (name, session) in &settings.session {
        session.check(&format!("session.{name}"), &mut found);
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
    settings.rings.check(found);
    settings.host.check(found);
    for (at, cpu) in settings.layout.cpus.iter().enumerate() {
        let before = settings.layout.cpus.iter().take(at);
        if before.into_iter().any(|other| other == cpu) {
            let text = format!("{cpu}: given twice, expected a CPU of its own for each hot core");
            found.push(("layout.cpus".into(), text));
        }
        cores::exists(*cpu, cpus, "layout.cpus", found);
    }
    let stages = settings.feed.len() + settings.session.len() + settings.strategy.len();
    let given = settings.layout.cpus.len();
    if settings.layout.kind == LayoutKind::Pipeline && given != 0 && given < stages {
        let text = format!("{given} CPUs for {stages} stages; expected one each, or none");
        found.push(("layout.cpus".into(), text));
    }
    // `inline` takes the last of several CPUs by itself.
    let is_pinned = match settings.layout.kind {
        LayoutKind::Inline => given != 0 || cpus.len() > 1,
        LayoutKind::Pipeline => given != 0,
        LayoutKind::Cores => settings.layout.core.values().all(|core| core.cpu.is_some()),
    };
    if settings.host.realtime_priority > 0 && !is_pinned {
        let text = format!(
            "{}: hot cores that are not pinned would starve whatever they meet; expected layout.cpus \
             (or a cpu for each layout.core), or 0",
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
    strategy.check(key, found);
}
