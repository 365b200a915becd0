//! What Prometheus is told: everything that a look at a gateway shows, as metric families.
//!
//! Names:       `tickgate_KIND_COUNTER_total` with the one who counts as a label of that kind; times in seconds, sizes in bytes,
//!              money in dollars. docs/metrics.md has the rules.
//! Bounded by:  the configuration (who counts), the declared counters, and [`POSITIONS_SHOWN`] positions a session.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use prometheus::proto::{Bucket, Histogram as Buckets, MetricFamily};

use crate::cli::look::Look;
use crate::control::answer::{FeedRow, LimitsRow, SessionRow};
use crate::telemetry::{Kind, Measured, histograms};

/// Positions of each session that have a series, the largest.
const POSITIONS_SHOWN: usize = 100;
/// Upper bounds of buckets, ns: 1, 2 and 5 in each decade from 100 ns to 1 s.
const BOUNDS: [u64; 22] = [
    100,
    200,
    500,
    1_000,
    2_000,
    5_000,
    10_000,
    20_000,
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    20_000_000,
    50_000_000,
    100_000_000,
    200_000_000,
    500_000_000,
    1_000_000_000,
];

/// A counter.
#[derive(Clone, Copy, Debug)]
struct Count<'a> {
    counter: &'a str,
    help: &'a str,
    value: u64,
}

/// A histogram, but for what it measured.
#[derive(Clone, Copy, Debug)]
struct About<'a> {
    name: &'a str,
    what: &'a str,
    whose: [(&'a str, &'a str); 1],
}

/// What is told.
#[derive(Debug, Default)]
pub(super) struct Families(tickgate_scrape::Families);

/// A look as text, in Prometheus' format 0.0.4.
pub(super) fn text(look: &Look) -> String {
    families(look).0.text()
}

/// What is told of a look.
pub(super) fn families(look: &Look) -> Families {
    let mut families = Families::default();
    families.about(look);
    for session in &look.status.sessions {
        families.session(session);
    }
    for limits in &look.limits {
        families.limits(limits);
    }
    for feed in &look.status.feeds {
        families.feed(feed);
    }
    families.positions(look);
    if !look.is_report_late {
        families.counters(look);
        families.measured(look);
    }
    families
}

/// Only that the gateway was not heard.
pub(super) fn down() -> String {
    let mut families = Families::default();
    families
        .0
        .gauge("tickgate_up", "Whether the gateway answers.", &[], 0.0);
    families.0.text()
}

fn seconds(ns: u64) -> f64 {
    number(ns) / 1e9
}

#[expect(
    clippy::cast_precision_loss,
    reason = "Prometheus has no other numbers"
)]
fn number(value: u64) -> f64 {
    value as f64
}

#[expect(
    clippy::cast_precision_loss,
    reason = "Prometheus has no other numbers"
)]
fn signed(value: i64) -> f64 {
    value as f64
}

impl Families {
    /// Each family, in the order of their names.
    pub(super) fn each(&self) -> impl Iterator<Item = &MetricFamily> {
        self.0.each()
    }

    fn about(&mut self, look: &Look) {
        let status = &look.status;
        self.0
            .gauge("tickgate_up", "Whether the gateway answers.", &[], 1.0);
        let what = "Whether housekeeping did not report in time: counters and histograms are missing in this scrape.";
        let late = f64::from(u8::from(look.is_report_late));
        self.0.gauge("tickgate_report_late", what, &[], late);
        let version = [("version", status.version.as_str())];
        let what = "The gateway's version; always 1.";
        self.0.gauge("tickgate_build_info", what, &version, 1.0);
        let what = "How long the gateway has been up.";
        self.0.gauge(
            "tickgate_uptime_seconds",
            what,
            &[],
            number(status.uptime_s),
        );
        if let Some(is_ready) = status.is_ready {
            let what = "Whether the gateway was ready: every session was open, and every feed up or no longer waited for.";
            self.0
                .gauge("tickgate_ready", what, &[], f64::from(u8::from(is_ready)));
        }
        if let Some(drifts) = status.host_drifts {
            let what = "Things of the host that are other than its certificate says.";
            self.0
                .gauge("tickgate_host_drifted", what, &[], number(drifts));
        }
        let is_on = f64::from(u8::from(status.kill.is_on()));
        let what = "Whether trading is stopped in any session: the kill switch is on.";
        self.0.gauge("tickgate_killed", what, &[], is_on);
        for core in &status.cores {
            let whose = [("core", core.name.as_str())];
            let what = "Turns of a hot core.";
            self.0.counter(
                "tickgate_core_turns_total",
                what,
                &whose,
                number(core.turns),
            );
            let what = "For how long a hot core has not turned; 0: it turns.";
            let still = number(core.still_ms) / 1e3;
            self.0
                .gauge("tickgate_core_still_seconds", what, &whose, still);
        }
        for guard in &status.guards {
            let whose = [("guard", guard.name.as_str())];
            let what = "Time that is left to a tool that watches before its silence stops trading.";
            let left = number(guard.left_ms) / 1e3;
            self.0
                .gauge("tickgate_guard_left_seconds", what, &whose, left);
        }
    }

    fn session(&mut self, row: &SessionRow) {
        let whose = [("session", row.name.as_str())];
        let flag = |is: bool| f64::from(u8::from(is));
        let gauges = [
            (
                "open",
                "Whether orders can go out.",
                flag(row.state == "open"),
            ),
            (
                "killed",
                "Whether its orders are stopped.",
                flag(row.killed.is_some()),
            ),
            (
                "open_orders",
                "Orders open now.",
                f64::from(row.open_orders),
            ),
            (
                "in_doubt",
                "Messages to the exchange that have had no answer for too long.",
                f64::from(row.in_doubt),
            ),
            (
                "gross_exposure_dollars",
                "What positions and open orders are worth at their worst, longs and shorts added up.",
                number(row.gross_dollars),
            ),
            (
                "net_exposure_dollars",
                "The larger of longs less shorts and shorts less longs.",
                number(row.net_dollars),
            ),
            (
                "profit_dollars",
                "What the day has brought, marked to the market.",
                signed(row.profit_dollars),
            ),
        ];
        for (name, help, value) in gauges {
            self.0
                .gauge(&format!("tickgate_session_{name}"), help, &whose, value);
        }
    }

    fn limits(&mut self, row: &LimitsRow) {
        let whose = [("session", row.session.as_str())];
        let limits = [
            (
                "gross_exposure_dollars",
                "The limit of gross exposure in force.",
                row.gross_exposure_max_dollars,
            ),
            (
                "net_exposure_dollars",
                "The limit of net exposure in force.",
                row.net_exposure_max_dollars,
            ),
            (
                "loss_dollars",
                "The limit of a day's loss in force.",
                row.loss_max_dollars,
            ),
            (
                "position_shares",
                "The limit of the position in one symbol in force.",
                row.position_max,
            ),
            (
                "open_orders",
                "The limit of open orders in force.",
                u64::from(row.open_orders_max),
            ),
            (
                "orders_per_second",
                "The limit of new orders and replaces in any second in force.",
                u64::from(row.orders_per_second_max),
            ),
        ];
        for (name, what, value) in limits {
            let name = format!("tickgate_session_limit_{name}");
            self.0.gauge(&name, what, &whose, number(value));
        }
    }

    fn feed(&mut self, row: &FeedRow) {
        let whose = [("feed", row.name.as_str())];
        let what = "Whether nothing of the feed is missing and it is not silent.";
        let fresh = f64::from(u8::from(row.is_fresh));
        self.0.gauge("tickgate_feed_fresh", what, &whose, fresh);
        let what = "Symbols whose books miss something while the feed is fresh.";
        let stale = f64::from(row.stale_symbols);
        self.0
            .gauge("tickgate_feed_stale_symbols", what, &whose, stale);
        let what = "Symbols that have a name.";
        self.0.gauge(
            "tickgate_feed_symbols",
            what,
            &whose,
            f64::from(row.symbols),
        );
        let what = "Lines that are silent.";
        let silent = number(row.silent_lines.len() as u64);
        self.0
            .gauge("tickgate_feed_silent_lines", what, &whose, silent);
    }

    fn positions(&mut self, look: &Look) {
        for session in &look.positions.sessions {
            let mut largest: Vec<_> = session.positions.iter().collect();
            largest.sort_by_key(|held| std::cmp::Reverse(held.position.unsigned_abs()));
            for held in largest.into_iter().take(POSITIONS_SHOWN) {
                let whose = [
                    ("session", session.session.as_str()),
                    ("symbol", held.symbol.as_str()),
                ];
                let what = "Shares held, below zero: short; the largest of each session.";
                self.0.gauge(
                    "tickgate_position_shares",
                    what,
                    &whose,
                    signed(held.position),
                );
            }
        }
    }

    fn counters(&mut self, look: &Look) {
        let none = BTreeMap::new();
        for (kind, all) in &look.run.counters {
            let texts = look.run.texts.get(kind).unwrap_or(&none);
            for (whose, counters) in all {
                for (counter, value) in counters {
                    let count = Count {
                        counter,
                        help: texts.get(counter).map_or("", String::as_str),
                        value: *value,
                    };
                    self.counted(*kind, whose, &count);
                }
            }
        }
    }

    fn counted(&mut self, kind: Kind, whose: &str, count: &Count<'_>) {
        let Count {
            counter,
            help,
            value,
        } = *count;
        let kind = kind.name();
        let whose = [(kind, whose)];
        let Named { name, unit } = named(kind, counter);
        let help = if help.is_empty() { counter } else { help };
        // What the code counts in ns is told in seconds.
        let (value, help) = match unit {
            Unit::Seconds => (
                seconds(value),
                help.replace(", in ns", "").replace(", ns", ""),
            ),
            Unit::One => (number(value), help.to_owned()),
        };
        if is_gauge(counter) {
            self.0.gauge(&name, &help, &whose, value);
        } else {
            self.0
                .counter(&format!("{name}_total"), &help, &whose, value);
        }
    }

    /// Each stage's own histograms where there are several of its kind, else those of all.
    fn measured(&mut self, look: &Look) {
        let run = &look.run;
        for (name, what) in histograms() {
            let mut is_told = false;
            for (kind, stages) in &run.stages {
                for (whose, measured) in stages {
                    let whose = [(kind.name(), whose.as_str())];
                    is_told |= self.histogram(&About { name, what, whose }, measured);
                }
            }
            if !is_told {
                let whose = [("stage", "all")];
                self.histogram(&About { name, what, whose }, &run.measured);
            }
        }
    }

    fn histogram(&mut self, about: &About<'_>, of: &Measured) -> bool {
        let About { name, what, whose } = *about;
        let Some(histogram) = of.histogram(name) else {
            return false;
        };
        let name = format!("tickgate_{name}_seconds");
        self.0.histogram(&name, what, &whose, buckets(&histogram));
        true
    }
}

/// Counts up to each bound. The sum is that of the values as the histogram keeps them, three digits of each.
fn buckets(histogram: &Histogram<u64>) -> Buckets {
    let mut out = Buckets::default();
    let mut sum = 0.0;
    // Each of the histogram's own slots once, where its lowest value belongs: a slot may lie on both sides of a bound.
    let mut counts = [0; BOUNDS.len()];
    for value in histogram.iter_recorded() {
        let slot = value.value_iterated_to();
        sum += seconds(slot) * number(value.count_at_value());
        let lowest = histogram.lowest_equivalent(slot);
        let at = BOUNDS.partition_point(|bound| *bound < lowest);
        if let Some(count) = counts.get_mut(at) {
            *count += value.count_at_value();
        }
    }
    let mut below = 0;
    let bounds = BOUNDS.into_iter().zip(counts).map(|(bound, count)| {
        below += count;
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(seconds(bound));
        bucket.set_cumulative_count(below);
        bucket
    });
    out.set_bucket(bounds.collect());
    out.set_sample_count(histogram.len());
    out.set_sample_sum(sum);
    out
}

/// What a counter is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    One,
    Seconds,
}

/// A counter's name for Prometheus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) name: String,
    unit: Unit,
}

/// The kind once, and the unit at the end: `control_requests` of the control socket is `tickgate_control_requests`,
/// `rehearsal_ns_max` of a core `tickgate_core_rehearsal_max_seconds`.
pub(super) fn named(kind: &str, counter: &str) -> Named {
    let bare = counter.strip_prefix(&format!("{kind}_")).unwrap_or(counter);
    // A name that ends in a unit of time is taken for one.
    let bare = match bare.strip_suffix("_hours") {
        Some(bare) => &format!("{bare}_trading_time"),
        None => bare,
    };
    let is_max = bare.ends_with("_max");
    let bare = bare.strip_suffix("_max").unwrap_or(bare);
    let (bare, unit) = match bare.strip_suffix("_ns") {
        Some(bare) => (bare, Unit::Seconds),
        None => (bare, Unit::One),
    };
    let max = if is_max { "_max" } else { "" };
    let unit_name = match unit {
        Unit::Seconds => "_seconds",
        Unit::One => "",
    };
    Named {
        name: format!("tickgate_{kind}_{bare}{max}{unit_name}"),
        unit,
    }
}

/// What does not only grow.
fn is_gauge(counter: &str) -> bool {
    counter.ends_with("_max") || matches!(counter, "messages_missing" | "messages_behind")
}

#[cfg(test)]
mod tests {
    use rt::histogram::empty;

    use super::*;
    use crate::telemetry::PositionReport;

    fn look() -> Look {
        let mut look = Look::default();
        let mut count = |kind, whose: &str, counter: &str, value, text: &str| {
            let all: &mut BTreeMap<_, _> = look.run.counters.entry(kind).or_default();
            let counters: &mut BTreeMap<_, _> = all.entry(whose.to_owned()).or_default();
            counters.insert(counter.to_owned(), value);
            let texts = look.run.texts.entry(kind).or_default();
            texts.insert(counter.to_owned(), text.to_owned());
        };
        count(Kind::Session, "a\"b", "orders", 7, "New orders sent.");
        count(Kind::Session, "two", "orders", 9, "New orders sent.");
        count(Kind::Control, "socket", "control_requests", 3, "Requests.");
        count(
            Kind::Core,
            "hot",
            "rehearsal_ns_max",
            1_500_000,
            "The longest, ns. All.",
        );
        count(Kind::Core, "hot", "ahead", 2, "Corrections.");
        count(Kind::Feed, "itch", "stale_gap_ns", 2_000_000_000, "Stale.");
        let mut histogram = empty();
        for ns in [90, 100, 101, 3_000, 2_000_000_000] {
            histogram.record(ns).unwrap();
        }
        look.run.measured.set("tick_to_order", &histogram);
        look.status.sessions.push(SessionRow {
            name: "two".to_owned(),
            state: "open".to_owned(),
            profit_dollars: -5,
            ..SessionRow::default()
        });
        let mut positions = Vec::new();
        for shares in 0..200 {
            positions.push(PositionReport {
                symbol: format!("S{shares}"),
                position: -shares,
                ..PositionReport::default()
            });
        }
        let row = crate::control::answer::PositionsRow {
            session: "two".to_owned(),
            positions,
        };
        look.positions.sessions.push(row);
        look
    }

    #[test]
    fn every_counter_is_there_under_a_name_with_its_kind_once_and_its_unit_last() {
        let text = text(&look());
        for line in [
            "# HELP tickgate_session_orders_total New orders sent.",
            "# TYPE tickgate_session_orders_total counter",
            "tickgate_session_orders_total{session=\"a\\\"b\"} 7",
            "tickgate_session_orders_total{session=\"two\"} 9",
            "tickgate_control_requests_total{control=\"socket\"} 3",
            "# HELP tickgate_core_rehearsal_max_seconds The longest. All.",
            "# TYPE tickgate_core_rehearsal_max_seconds gauge",
            "tickgate_core_rehearsal_max_seconds{core=\"hot\"} 0.0015",
            "# TYPE tickgate_core_ahead_total counter",
            "tickgate_core_ahead_total{core=\"hot\"} 2",
            "tickgate_feed_stale_gap_seconds_total{feed=\"itch\"} 2",
            "tickgate_session_profit_dollars{session=\"two\"} -5",
            "tickgate_session_open{session=\"two\"} 1",
            "tickgate_position_shares{session=\"two\",symbol=\"S199\"} -199",
        ] {
            assert!(text.lines().any(|it| it == line), "{line}\n{text}");
        }
        assert_eq!(
            text.matches("tickgate_position_shares{").count(),
            POSITIONS_SHOWN
        );
    }

    /// Series of a scrape: lines that are no comment.
    fn series(look: &Look) -> usize {
        let text = text(look);
        text.lines().filter(|line| !line.starts_with('#')).count()
    }

    #[test]
    fn series_of_a_scrape_are_those_of_the_configuration_and_the_hundred_largest_positions() {
        /// Shares of one symbol, mixed: neither in order nor twice the same.
        fn shares(at: i64) -> i64 {
            (at * 7_919 % 10_007) * if at % 2 == 0 { 1 } else { -1 }
        }
        let grown = |sessions: i64, symbols: i64| {
            let mut look = Look::default();
            for session in 0..sessions {
                let name = format!("s{session}");
                look.status.sessions.push(SessionRow {
                    name: name.clone(),
                    ..SessionRow::default()
                });
                look.limits.push(LimitsRow {
                    session: name.clone(),
                    ..LimitsRow::default()
                });
                let held = (1..=symbols).map(|at| PositionReport {
                    symbol: format!("S{at}"),
                    position: shares(at),
                    ..PositionReport::default()
                });
                look.positions
                    .sessions
                    .push(crate::control::answer::PositionsRow {
                        session: name,
                        positions: held.collect(),
                    });
            }
            look
        };
        let bare = series(&Look::default());
        // Seven of its own, six limits, and its positions.
        for (sessions, symbols, positions) in [(1, 1, 1), (1, 100, 100), (1, 101, 100)] {
            let count = series(&grown(sessions, symbols));
            assert_eq!(count, bare + 13 + positions, "{symbols} symbols");
        }
        let look = grown(16, 10_000);
        assert_eq!(series(&look), bare + 16 * (13 + 100));
        let mut largest: Vec<i64> = (1..=10_000).map(|at| shares(at).abs()).collect();
        largest.sort_unstable();
        let text = text(&look);
        let shown = text
            .lines()
            .filter_map(|line| line.strip_prefix("tickgate_position_shares{session=\"s3\","));
        let mut shown: Vec<i64> = shown
            .map(|line| line.rsplit(' ').next().unwrap().parse::<i64>().unwrap())
            .map(i64::abs)
            .collect();
        shown.sort_unstable();
        assert_eq!(shown, largest[largest.len() - 100..]);
    }

    #[test]
    fn buckets_count_up_to_their_bounds() {
        let text = text(&look());
        for line in [
            "tickgate_tick_to_order_seconds_bucket{stage=\"all\",le=\"0.0000001\"} 2",
            "tickgate_tick_to_order_seconds_bucket{stage=\"all\",le=\"0.0000002\"} 3",
            "tickgate_tick_to_order_seconds_bucket{stage=\"all\",le=\"0.000005\"} 4",
            "tickgate_tick_to_order_seconds_bucket{stage=\"all\",le=\"1\"} 4",
            "tickgate_tick_to_order_seconds_bucket{stage=\"all\",le=\"+Inf\"} 5",
            "tickgate_tick_to_order_seconds_count{stage=\"all\"} 5",
        ] {
            assert!(text.lines().any(|it| it == line), "{line}\n{text}");
        }
    }

    #[test]
    fn value_in_the_slot_of_a_bound_counts_once() {
        for ns in 4_990..5_010 {
            let mut histogram = empty();
            histogram.record(ns).unwrap();
            let buckets = buckets(&histogram);
            let counts = buckets.get_bucket().iter();
            let counts: Vec<u64> = counts.map(|it| it.cumulative_count()).collect();
            assert!(
                counts.is_sorted() && counts.last() == Some(&1),
                "{ns}: {counts:?}"
            );
        }
    }

    #[test]
    fn report_that_is_late_takes_nothing_else_away() {
        let whole = text(&look());
        assert!(whole.contains("\ntickgate_report_late 0\n"), "{whole}");
        let mut late = look();
        late.is_report_late = true;
        let late = text(&late);
        for line in [
            "tickgate_up 1",
            "tickgate_report_late 1",
            "tickgate_session_open{session=\"two\"} 1",
        ] {
            assert!(late.lines().any(|it| it == line), "{line}\n{late}");
        }
        assert!(!late.contains("_total"), "{late}");
    }

    #[test]
    fn gateway_that_is_not_heard_is_down() {
        assert!(down().ends_with("tickgate_up 0\n"));
    }
}
