//! The reference of the metrics, a page of the guide: of each family its type, unit and help, as a gateway would tell it that has
//! one of everything.

use std::fmt::Write as _;

use prometheus::proto::{MetricFamily, MetricType};
use rt::histogram::empty;

use super::exposition;
use crate::cli::look::Look;
use crate::control::answer::{CoreRow, FeedRow, GuardRow, LimitsRow, PositionsRow, SessionRow};
use crate::service::declared;
use crate::telemetry::{PositionReport, histograms};

/// What stands above the first table.
const HEAD: &str = "# Metrics reference

<!-- Written by `make reference` from what the gateway counts. Changes belong into the code. -->

Every metric that `tickgate metrics` exposes: its name, its type, its unit, and its help text. A gateway tells what it has: without a
capture there are no capture metrics. [Metrics](metrics.md) says how to scrape them, and how the names are made.
";

/// Sections: the label that says whose a metric is, a heading, and whose it is.
const SECTIONS: [(&str, &str, &str); 13] = [
    ("", "The gateway", "No label."),
    ("core", "Hot cores", "Label `core`: the core's name."),
    (
        "feed",
        "Feeds",
        "Label `feed`: the feed's name in the configuration.",
    ),
    (
        "line",
        "Lines",
        "Label `line`: the feed's name and the line's place there, as in `itch.1`.",
    ),
    (
        "socket",
        "Sockets",
        "Label `socket`: the feed whose sockets they are, AF_XDP or the kernel's.",
    ),
    (
        "interface",
        "Interfaces",
        "Label `interface`: the network interface. Its XDP program, and its AF_XDP sockets over all feeds: the same frames as under \
         Sockets, so do not add the two.",
    ),
    (
        "recovery",
        "Recovery",
        "Label `recovery`: the feed whose re-requests and snapshots they are.",
    ),
    (
        "capture",
        "Capture",
        "Label `capture`: the feed, or `session.NAME`, whose packets are captured.",
    ),
    (
        "strategy",
        "Strategies",
        "Label `strategy`: the strategy's name.",
    ),
    (
        "session",
        "Sessions",
        "Label `session`: the session's name. `tickgate_position_shares` has the label `symbol`, too.",
    ),
    (
        "journal",
        "Journal",
        "Label `journal`: the session whose records they are, or `journal` for the writer.",
    ),
    (
        "control",
        "Control and sandbox",
        "Label `control`: `socket`, the operator's socket, `sandbox`, or `certificate`, the host's.",
    ),
    (
        "guard",
        "Guards",
        "Label `guard`: the tool that watches (`tickgate ctl guard`).",
    ),
];

/// The page, Markdown.
pub(in crate::cli) fn reference() -> String {
    let families = exposition::families(&everything());
    let of = |label: &str, is_histogram: bool| {
        let mut out = String::from("\n| metric | type | unit | help |\n|---|---|---|---|\n");
        for family in families.each().filter(|it| {
            is_histogram == (it.get_field_type() == MetricType::HISTOGRAM)
                && (is_histogram || label_of(it) == label)
        }) {
            out.push_str(&row(family));
        }
        out
    };
    let mut out = HEAD.to_owned();
    for (label, heading, whose) in SECTIONS {
        let _ = write!(out, "\n## {heading}\n\n{whose}\n{}", of(label, false));
    }
    let _ = write!(
        out,
        "\n## Latencies\n\nHistograms, in the order of their names. Each has the label of the stage that measured it (`feed`, `line`, \
         `strategy` or `session`) where there are several of its kind, else `stage=\"all\"`. Bounds are 1, 2 and 5 in each decade from \
         100 ns to 1 s.\n{}",
        of("", true)
    );
    out
}

/// A line of a table.
fn row(family: &MetricFamily) -> String {
    let kind = match family.get_field_type() {
        MetricType::COUNTER => "counter",
        MetricType::GAUGE => "gauge",
        MetricType::HISTOGRAM => "histogram",
        MetricType::SUMMARY | MetricType::UNTYPED => "untyped",
    };
    let help = family.help().replace('|', "\\|");
    let help = help.replace('<', "&lt;").replace(['\n', '\r'], " ");
    format!(
        "| `{}` | {kind} | {} | {help} |\n",
        family.name(),
        unit(family.name())
    )
}

/// The unit that a name ends in.
fn unit(name: &str) -> &'static str {
    let bare = name.trim_end_matches("_total").trim_end_matches("_max");
    let units = ["seconds", "bytes", "dollars", "shares"];
    let found = units.into_iter().find(|unit| bare.ends_with(unit));
    found.unwrap_or("")
}

/// The label that says whose a family is.
fn label_of(family: &MetricFamily) -> &str {
    let first = family.get_metric().first();
    let labels = first.map(|it| it.get_label()).unwrap_or_default();
    let mut names = labels.iter().map(|it| it.name());
    names.find(|name| *name != "version").unwrap_or("")
}

/// What there is to see of a gateway that has one of everything and has measured everything once.
fn everything() -> Look {
    let mut look = Look::default();
    (look.status.is_ready, look.status.host_drifts) = (Some(true), Some(0));
    look.status.cores.push(CoreRow::default());
    look.status.feeds.push(FeedRow::default());
    look.status.sessions.push(SessionRow::default());
    look.status.guards.push(GuardRow::default());
    look.limits.push(LimitsRow::default());
    look.positions.sessions.push(PositionsRow {
        session: String::new(),
        positions: vec![PositionReport::default()],
    });
    for (kind, counts) in declared::counters() {
        let all = look.run.counters.entry(kind).or_default();
        let of_one = all.entry(String::new()).or_default();
        let texts = look.run.texts.entry(kind).or_default();
        for (name, text, value) in counts {
            of_one.insert(name.to_owned(), value);
            texts.insert(name.to_owned(), text.trim().to_owned());
        }
    }
    for (name, _) in histograms() {
        look.run.measured.set(name, &empty());
    }
    look
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_is_in_one_table_with_its_help() {
        let page = reference();
        let families = exposition::families(&everything());
        let mut found = 0;
        for family in families.each() {
            let cell = format!("| `{}` |", family.name());
            assert_eq!(page.matches(&cell).count(), 1, "{cell}");
            // A counter that nobody explains has its own name for a help text.
            assert!(family.help().contains(' '), "{cell} {}", family.help());
            let is_ns = unit(family.name()) == "seconds" && family.help().contains(" ns");
            assert!(!is_ns, "{cell} {}", family.help());
            // A help text is read alone, without the one that stands before it in the code.
            for beginning in ["The same:", "Of these", "Of them", "Such "] {
                assert!(
                    !family.help().starts_with(beginning),
                    "{cell} {}",
                    family.help()
                );
            }
            for words in ["in them", "among them", "they took", "those turns"] {
                let is_alone =
                    !family.help().contains(words) || family.help().contains("orders in them");
                assert!(is_alone, "{cell} {}", family.help());
            }
            found += 1;
        }
        assert!(found > 250, "{found}");
    }

    /// Two counters under one name would be added up by whoever asks, and one of them would have the other's help.
    #[test]
    fn counters_of_one_name_mean_the_same() {
        let mut texts = std::collections::BTreeMap::new();
        for (kind, counts) in declared::counters() {
            for (counter, text, _) in counts {
                let name = exposition::named(kind.name(), counter).name;
                let before = texts.insert(name.clone(), text);
                assert!(
                    before.is_none_or(|it| it == text),
                    "{name}: {text} {before:?}"
                );
            }
        }
    }

    #[test]
    fn lines_say_type_unit_and_help() {
        let page = reference();
        for line in [
            "| `tickgate_session_orders_total` | counter |  | New orders sent. |",
            "| `tickgate_core_rehearsal_max_seconds` | gauge | seconds | The longest rehearsal. Whatever held the core up meanwhile is in it. |",
            "| `tickgate_session_profit_dollars` | gauge | dollars | What the day has brought, marked to the market. |",
            "| `tickgate_tick_to_order_seconds` | histogram | seconds |",
        ] {
            assert!(page.contains(line), "{line}\n{page}");
        }
    }
}
