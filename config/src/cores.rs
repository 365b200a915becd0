//! `[layout.core.NAME]`: every feed, strategy and session on exactly one core, every CPU under one core.

use crate::settings::{Core, Found, LayoutKind, Settings};

/// Everything that is wrong.
pub(crate) fn check(settings: &Settings, cpus: &[usize], found: &mut Vec<Found>) {
    let layout = &settings.layout;
    if layout.kind != LayoutKind::Cores {
        if let Some(name) = layout.core.keys().next() {
            let text = "given, but layout.kind is another; expected layout.kind = \"cores\"".into();
            found.push((format!("layout.core.{name}"), text));
        }
        return;
    }
    if !layout.cpus.is_empty() {
        let text = "given with layout.kind = \"cores\"; expected a cpu in each layout.core".into();
        found.push(("layout.cpus".into(), text));
    }
    let mut pinned: Vec<(usize, &String)> = Vec::new();
    for (name, core) in &layout.core {
        let Some(cpu) = core.cpu else { continue };
        let key = format!("layout.core.{name}.cpu");
        if let Some((_, other)) = pinned.iter().find(|(taken, _)| *taken == cpu) {
            let text = format!("{cpu}: layout.core.{other} has it, expected a CPU of its own");
            found.push((key.clone(), text));
        }
        exists(cpu, cpus, &key, found);
        pinned.push((cpu, name));
    }
    stages(settings, found);
    for (name, core) in &layout.core {
        blocking(name, core, settings, found);
    }
}

/// A CPU that this process may use.
pub(crate) fn exists(cpu: usize, cpus: &[usize], key: &str, found: &mut Vec<Found>) {
    if !cpus.contains(&cpu) {
        let list: Vec<String> = cpus.iter().map(ToString::to_string).collect();
        let text = format!("{cpu}: no such CPU, expected one of {}", list.join(", "));
        found.push((key.to_owned(), text));
    }
}

/// Each stage once, and nothing that is not there.
fn stages(settings: &Settings, found: &mut Vec<Found>) {
    let feeds = settings.feed.keys().map(|name| format!("feed.{name}"));
    let strategies = settings
        .strategy
        .keys()
        .map(|name| format!("strategy.{name}"));
    let sessions = settings
        .session
        .keys()
        .map(|name| format!("session.{name}"));
    let known: Vec<String> = feeds.chain(strategies).chain(sessions).collect();
    let mut seen: Vec<(&String, &String)> = Vec::new();
    for (name, core) in &settings.layout.core {
        let key = format!("layout.core.{name}.runs");
        if core.runs.is_empty() {
            found.push((key.clone(), "nothing, expected at least one stage".into()));
        }
        for stage in &core.runs {
            if let Some((_, other)) = seen.iter().find(|(seen, _)| *seen == stage) {
                let text = format!("\"{stage}\": layout.core.{other} runs it, expected it once");
                found.push((key.clone(), text));
            } else if !known.contains(stage) {
                let text = format!(
                    "\"{stage}\": no such stage, expected one of {}",
                    known.join(", ")
                );
                found.push((key.clone(), text));
            }
            seen.push((stage, name));
        }
    }
    for stage in &known {
        if !seen.iter().any(|(seen, _)| *seen == stage) {
            let text = format!("no core runs {stage}, expected it in the runs of one");
            found.push(("layout.core".into(), text));
        }
    }
}

/// A feed that sleeps in the kernel has its core for itself.
fn blocking(name: &str, core: &Core, settings: &Settings, found: &mut Vec<Found>) {
    if core.runs.len() < 2 {
        return;
    }
    for stage in &core.runs {
        let Some(feed) = stage.strip_prefix("feed.") else {
            continue;
        };
        let block_us = settings.feed.get(feed).map_or(0, |feed| feed.udp.block_us);
        if block_us > 0 {
            let text = format!(
                "{block_us}: the rest of layout.core.{name} would wait for the feed's sleep; \
                 expected 0, or a core of its own"
            );
            found.push((format!("feed.{feed}.udp.block_us"), text));
        }
    }
}
