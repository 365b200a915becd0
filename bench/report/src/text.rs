//! The report as text: tables for a terminal.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, Table, presets};
use gateway::telemetry::{Summary, grouped, histograms};

use crate::entry::Entry;
use crate::model::{Aim, Flood, Point, RatePoint, Report};
use crate::statistics::Comparison;

/// Histograms that are shown, with what they run from and to.
fn meaning(name: &str) -> &'static str {
    let known = histograms().find(|(known, _)| *known == name);
    known.map_or("", |(_, meaning)| meaning)
}

/// Everything that the report says, as tables.
#[must_use]
pub fn text(report: &Report) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{}\n", host(report));
    if !report.runs.is_empty() {
        let _ = writeln!(out, "{}\n", runs(report));
    }
    for line in verdicts(report) {
        let _ = writeln!(out, "{line}");
    }
    if let Some(gateway) = report.runs.first() {
        let _ = writeln!(out, "\n{}", stages(gateway));
    }
    if !report.floods.is_empty() {
        let _ = writeln!(out, "\n{}", floods(report));
    }
    if !report.growth.is_empty() {
        let _ = writeln!(out, "\n{}", growth(report));
    }
    if !report.sweep.is_empty() {
        let _ = writeln!(out, "\n{}", sweep(report));
    }
    if !report.aims.is_empty() {
        let _ = writeln!(out, "\n{}", aims(report));
    }
    for skipped in &report.skipped {
        let _ = writeln!(out, "skipped: {skipped}");
    }
    out
}

/// The host in a line.
pub(crate) fn host(report: &Report) -> String {
    let host = &report.host;
    format!(
        "{} {}, {}{} CPUs {}, Linux {}, clock {}",
        report.tool,
        report.version,
        if host.is_virtual {
            "virtual machine, "
        } else {
            ""
        },
        host.cpus,
        host.cpu,
        host.kernel,
        host.clock_source
    )
}

/// A table with the first column left and the others right.
fn table<const N: usize>(head: [&str; N], rows: Vec<[String; N]>, is_text: [bool; N]) -> String {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(head);
    for row in rows {
        table.add_row(row);
    }
    for (index, is_text) in is_text.into_iter().enumerate() {
        if let Some(column) = table.column_mut(index).filter(|_| !is_text) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.to_string()
}

fn figure(entry: &Entry, pick: fn(&Summary) -> u64) -> String {
    match entry.figure("wire_to_wire", pick) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "nanoseconds"
        )]
        Some(ns) => grouped(ns as u64),
        None => "-".to_owned(),
    }
}

pub(crate) fn runs(report: &Report) -> String {
    let row = |entry: &Entry| {
        let valid = entry.rounds.iter().filter(|r| r.invalid.is_empty()).count();
        let tail = entry.run.measured.histograms.get("wire_to_wire");
        let rare = tail.and_then(|s| s.p99999.or(s.p9999)).map_or_else(
            || "-".to_owned(),
            |value| {
                let name = if tail.is_some_and(|s| s.p99999.is_some()) {
                    ""
                } else {
                    " (p99.99)"
                };
                grouped(value) + name
            },
        );
        [
            entry.run.name.clone(),
            grouped(entry.run.orders),
            figure(entry, |s| s.p50),
            figure(entry, |s| s.p90),
            figure(entry, |s| s.p99),
            figure(entry, |s| s.p999),
            rare,
            figure(entry, |s| s.max),
            format!("{valid}/{}", entry.rounds.len()),
        ]
    };
    let head = [
        "wire_to_wire, ns",
        "orders",
        "p50",
        "p90",
        "p99",
        "p99.9",
        "p99.999",
        "max",
        "valid",
    ];
    let is_text = [true, false, false, false, false, false, false, false, false];
    let rows = report.runs.iter().map(row).collect();
    let warm_up = report.runs.iter().find_map(|entry| {
        let setting = entry.run.settings.get("warm_up_ms")?.as_u64()?;
        (setting > 0).then_some(setting)
    });
    let cut = warm_up.map_or_else(String::new, |ms| {
        format!("; the first {ms} ms of each run are cut")
    });
    format!(
        "{}\nmedians over rounds; p99.999 over all rounds together, where there are samples enough{cut}",
        table(head, rows, is_text)
    )
}

/// What may be said, in words: each run against the gateway.
pub(crate) fn verdicts(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(gateway) = report.entry("gateway") {
        for entry in report
            .runs
            .iter()
            .filter(|entry| entry.run.name != "gateway")
        {
            // Other loads are not to be compared with this one.
            if entry.run.name.contains(' ') {
                continue;
            }
            let (a, b) = (
                entry.per_round("wire_to_wire", |s| s.p50),
                gateway.per_round("wire_to_wire", |s| s.p50),
            );
            if let Some(comparison) = Comparison::of(&a, &b) {
                lines.push(format!(
                    "against {}: {}",
                    entry.run.name,
                    comparison.words("the gateway")
                ));
            }
        }
    }
    for entry in &report.runs {
        for why in &entry.invalid {
            lines.push(format!("INVALID {}: {why}", entry.run.name));
        }
    }
    lines
}

/// A gateway's own histograms.
pub(crate) fn stages(entry: &Entry) -> String {
    let row = |name: &str| {
        let s = entry
            .run
            .measured
            .histograms
            .get(name)
            .filter(|s| s.count > 0)?;
        Some([
            name.to_owned(),
            grouped(s.count),
            grouped(s.min),
            grouped(s.p50),
            grouped(s.p90),
            grouped(s.p99),
            grouped(s.p999),
            grouped(s.max),
            meaning(name).to_owned(),
        ])
    };
    let rows = histograms().filter_map(|(name, _)| row(name)).collect();
    let head = [
        &*format!("{}, ns", entry.run.name),
        "count",
        "min",
        "p50",
        "p90",
        "p99",
        "p99.9",
        "max",
        "from -> to",
    ];
    let is_text = [true, false, false, false, false, false, false, false, true];
    table(head, rows, is_text)
}

pub(crate) fn floods(report: &Report) -> String {
    let number = |value: f64| format!("{value:.0}");
    let row = |flood: &Flood| {
        [
            flood.name.clone(),
            flood.pack.to_string(),
            number(flood.sent_per_second),
            number(flood.received_per_second),
            grouped(flood.sent.saturating_sub(flood.received)),
        ]
    };
    let head = ["flood", "messages/packet", "sent/s", "received/s", "lost"];
    let rows = report.floods.iter().map(row).collect();
    table(head, rows, [true, false, false, false, false])
}

pub(crate) fn growth(report: &Report) -> String {
    let row = |point: &Point| {
        [
            point.what.clone(),
            grouped(point.size),
            format!("{:.0}", point.tick_to_order_p50),
            format!("{:.2}", point.ratio),
        ]
    };
    let head = ["growth of", "size", "tick_to_order p50, ns", "x smallest"];
    let rows = report.growth.iter().map(row).collect();
    table(head, rows, [true, false, false, false])
}

pub(crate) fn sweep(report: &Report) -> String {
    let ns = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |ns| format!("{ns:.0}"));
    let row = |point: &RatePoint| {
        [
            point.name.clone(),
            format!("{:.0}", point.rate),
            ns(point.tick_to_order_p50),
            ns(point.tick_to_order_p99),
            ns(point.wire_to_wire_p50),
            ns(point.wire_to_wire_p99),
        ]
    };
    let head = [
        "over the rate, ns",
        "packets/s",
        "tick_to_order p50",
        "p99",
        "wire_to_wire p50",
        "p99",
    ];
    let rows = report.sweep.iter().map(row).collect();
    table(head, rows, [true, false, false, false, false, false])
}

fn aims(report: &Report) -> String {
    let row = |aim: &Aim| {
        let bound = if aim.is_at_least { ">=" } else { "<=" };
        [
            aim.what.clone(),
            format!("{bound} {}", shown(aim.aim, &aim.unit)),
            aim.measured
                .map_or_else(|| "-".to_owned(), |value| shown(value, &aim.unit)),
            aim.verdict().to_owned(),
            aim.note.clone(),
        ]
    };
    let head = ["aim", "bound", "measured", "verdict", "from"];
    let rows = report.aims.iter().map(row).collect();
    table(head, rows, [true, false, false, true, true])
}

/// A value with its unit: ratios to two digits, counts whole.
pub(crate) fn shown(value: f64, unit: &str) -> String {
    match unit {
        "x" => format!("{value:.2}"),
        _ => format!("{value:.0} {unit}"),
    }
}
