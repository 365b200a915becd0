//! Whether a program that ran for long may be trusted to run for longer: a pure function of what was seen of it.
//!
//! The first third of a run is its warm-up: pages are touched for the first time there. What is compared is the second third
//! with the last.
//!
//! Every counter must stand still, unless [`WORK`] says that it tells how much was done, or [`EXPLAINED`] names the blows that move it: after
//! one of these alone it may move. A counter that is added tomorrow is held to it, too.

use super::Sample;

/// What is done to the system, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blow {
    /// It begins: what comes before everything is open.
    Start,
    Cut,
    Servers,
    Reject,
    Link,
    Exchange,
}

impl Blow {
    /// In the order in which they come, again and again.
    pub(crate) const ALL: [Self; 5] = [
        Self::Cut,
        Self::Servers,
        Self::Reject,
        Self::Link,
        Self::Exchange,
    ];
}

/// A blow, and for how long it may move what it explains, in seconds since the first look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Struck {
    pub(crate) blow: Blow,
    pub(crate) from_s: f64,
    pub(crate) to_s: f64,
}

/// What memory may grow by from the second third of a run to the last, and along the line through both: this share of it, and this much
/// beside. A leak of 100 bytes for each of 100 orders a second is 12 MiB in the twenty minutes between two thirds of an hour.
const MEMORY_SHARE: f64 = 0.01;
const MEMORY_BESIDE_KIB: f64 = 1_024.0;

/// Counters that tell how much was done, by kind. Whatever is not here tells of trouble.
const WORK: [(&str, &[&str]); 11] = [
    (
        "core",
        &[
            "ahead",
            "corrections",
            "late",
            "rehearsal_ns",
            "rehearsals",
            "set_forward",
            "turns",
        ],
    ),
    (
        "feed",
        &[
            "adds",
            "bbo_changes",
            "cancels",
            "clears",
            "deletes",
            "events",
            "executes",
            "heartbeats",
            "holes_filled",
            "holes_recovered",
            "levels",
            "levels_skipped",
            "live_copied",
            "messages",
            "modifies",
            "packets",
            "packets_duplicate",
            "packets_held",
            "packets_late",
            "packets_used",
            "replaces",
            "rounds",
            "sampled_handle_ns",
            "sampled_idle_ns",
            "sampled_packets",
            "sampled_receive_ns",
            "sessions_begun",
            "sessions_ended",
            "snapshots_joined",
            "stale_gap_ns",
            "statuses",
            "symbols_refreshed",
            "trades",
        ],
    ),
    (
        "line",
        &[
            "packets_duplicate",
            "packets_late",
            "packets_out_of_order",
            "packets_repeated",
            "packets_won",
        ],
    ),
    ("socket", &["bytes", "frames", "packets", "wake_ups"]),
    // What is not for us and is not IPv4: the network's own questions for addresses.
    (
        "interface",
        &[
            "bytes",
            "frames",
            "wake_ups",
            "xdp_passed_not_ipv4",
            "xdp_redirected",
        ],
    ),
    (
        "recovery",
        &[
            "answers",
            "answers_partial",
            "holes_asked",
            "messages_recovered",
            "requests_sent",
            "snapshot_messages",
            "snapshots_begun",
            "snapshots_loaded",
        ],
    ),
    (
        "capture",
        &[
            "asked_kept",
            "bytes",
            "files_begun",
            "files_removed",
            "frames",
            "passed_over",
            "tapped",
        ],
    ),
    (
        "strategy",
        &[
            "adds",
            "cancels",
            "clears",
            "deletes",
            "events",
            "executes",
            "executions",
            "intents",
            "modifies",
            "replaces",
            "timers",
        ],
    ),
    (
        "session",
        &[
            "accepted",
            "acks",
            "canceled",
            "cancels",
            "commands",
            "connections",
            "filled_shares",
            "fills",
            "orders",
            "reductions",
            "replaced",
            "replaces",
            "submissions",
            "system_events",
        ],
    ),
    (
        "journal",
        &[
            "batches",
            "bytes",
            "executions_copied",
            "files_begun",
            "journal_records",
            "records_batched",
            "syncs",
        ],
    ),
    (
        "control",
        &[
            "control_connections",
            "control_requests",
            "control_steered",
            "host_looks",
        ],
    ),
];

/// What looks have beside counters: how things stand, not how often something was.
const GAUGES: [&str; 5] = [
    "error_ns_max",
    "rehearsal_ns_max",
    "messages_behind",
    "stale",
    "stale_symbols",
];

/// What moves a counter from the first second to the last: lines that lose, strategies that trade.
const ANY_TIME: &[Blow] = &Blow::ALL;
/// What leaves a gap in the feed, or makes a server answer late.
const GAPS: &[Blow] = &[Blow::Servers, Blow::Exchange];
/// What ends a connection.
const DOWN: &[Blow] = &[Blow::Cut, Blow::Link, Blow::Exchange];

/// Counters that the run moves.
struct Explained {
    kind: &'static str,
    /// After which blows they may move; all of them: at any time.
    by: &'static [Blow],
    names: &'static [&'static str],
}

const fn explain(
    kind: &'static str,
    by: &'static [Blow],
    names: &'static [&'static str],
) -> Explained {
    Explained { kind, by, names }
}

const EXPLAINED: [Explained; 17] = [
    // A dead re-request server while both lines lose, an exchange that begins again; what live messages both lines lost while a snapshot came.
    explain(
        "feed",
        GAPS,
        &["gaps", "messages_lost", "snapshots_refused"],
    ),
    // Orders that were added, or ended, in a gap; books that miss something until the snapshot.
    explain(
        "feed",
        GAPS,
        &[
            "missing_ref",
            "clamped",
            "duplicate_ref",
            "wrong_symbol",
            "crossed",
            "repairs_asked",
        ],
    ),
    // A killed exchange says no end.
    explain("feed", &[Blow::Exchange], &["sessions_end_missed"]),
    // It is silent until it begins again.
    explain(
        "feed",
        &[Blow::Exchange],
        &["lines_returned", "lines_silenced", "silences"],
    ),
    // Another session, and one that was there before us.
    explain("feed", &[Blow::Start, Blow::Exchange], &["packets_foreign"]),
    explain(
        "interface",
        &[Blow::Start],
        &["xdp_passed_no_socket", "xdp_passed_not_wanted"],
    ),
    // Lines that lose.
    explain("line", ANY_TIME, &["messages_missing"]),
    // What the feed gave up.
    explain(
        "strategy",
        GAPS,
        &[
            "gaps",
            "books_lost",
            "symbols_lost",
            "missing_ref",
            "clamped",
            "duplicate_ref",
            "wrong_symbol",
        ],
    ),
    // A dead re-request server, a killed exchange.
    explain(
        "recovery",
        GAPS,
        &["ranges_given_up", "snapshots_failed", "snapshots_given_up"],
    ),
    // Answers that came after another had, or late from a host that stood still.
    explain(
        "recovery",
        ANY_TIME,
        &["answers_refused", "requests_timed_out"],
    ),
    // A connection that is cut, or whose exchange is gone; orders that rest at an account that was cut off.
    explain(
        "session",
        DOWN,
        &[
            "changes_lost",
            "disconnections",
            "doubts",
            "doubts_lost",
            "executions_repeated",
            "never_received",
            "refused_session_down",
            "refused_open_orders",
        ],
    ),
    // An account that is told to reject.
    explain("session", &[Blow::Reject], &["rejected"]),
    // Orders that were filled before their cancel or replace came.
    explain(
        "session",
        ANY_TIME,
        &["cancels_refused", "replaces_rejected"],
    ),
    // A gap, or a hole until it is filled; and books that are empty after it.
    explain(
        "session",
        ANY_TIME,
        &["refused_stale_book", "refused_no_reference_price"],
    ),
    // An exchange that begins again names its symbols first.
    explain("session", &[Blow::Exchange], &["refused_unknown_symbol"]),
    // Strategies that ask for what cannot be: two changes at once, a change of what is over, a trade with their own account, a price far from a thin market. `refused` is the sum.
    explain(
        "session",
        ANY_TIME,
        &[
            "refused",
            "refused_change_pending",
            "refused_not_live",
            "refused_self_cross",
            "refused_price_collar",
        ],
    ),
    // A host that gave the core no CPU for half a second.
    explain("session", ANY_TIME, &["refused_too_old"]),
];

/// A counter of trouble: the blows that explain it, if any; `None`: it tells of no trouble.
pub(crate) fn explained(key: &str) -> Option<&'static [Blow]> {
    let name = key.rsplit('.').next().unwrap_or_default();
    let kind = key.split('.').next().unwrap_or_default();
    let is_work = |of: &(&str, &[&str])| of.0 == kind && of.1.contains(&name);
    if GAUGES.contains(&name) || WORK.iter().any(is_work) {
        return None;
    }
    let explains = |it: &&Explained| it.kind == kind && it.names.contains(&name);
    Some(EXPLAINED.iter().find(explains).map_or(&[], |it| it.by))
}

/// What forbids to trust it; empty: nothing.
pub(crate) fn faults(samples: &[Sample], struck: &[Struck]) -> Vec<String> {
    let mut faults = Vec::new();
    let third = samples.len() / 3;
    if third < 3 {
        return vec![format!("{} looks are too few for a verdict", samples.len())];
    }
    let (middle, last) = (&samples[third..2 * third], &samples[2 * third..]);
    faults.extend(memory_rises(middle, last));
    let of =
        |part: &[Sample], pick: fn(&Sample) -> u64| median(part.iter().map(|one| pick(one) as f64));
    let files = [middle, last].map(|part| of(part, |sample| sample.files));
    if files[1] > files[0] {
        faults.push(format!("open files rose from {} to {}", files[0], files[1]));
    }
    let threads = [middle, last].map(|part| of(part, |sample| sample.switches.len() as u64));
    if threads[1] > threads[0] {
        faults.push(format!(
            "threads rose from {} to {}",
            threads[0], threads[1]
        ));
    }
    faults.extend(dropped(samples, struck));
    faults.extend(standing_still(samples));
    for (which, part) in [("second", middle), ("last", last)] {
        let orders = |sample: &Sample| sample.sum("session", "orders");
        if part.first().map(orders) >= part.last().map(orders) {
            faults.push(format!("no order in the {which} third"));
        }
    }
    faults
}

/// By the medians of both, and by the slope through all of both (Theil and Sen's: the median of all slopes).
fn memory_rises(middle: &[Sample], last: &[Sample]) -> Option<String> {
    let memory = |part: &[Sample]| median(part.iter().map(|sample| sample.memory_kib as f64));
    let (before, after) = (memory(middle), memory(last));
    let all: Vec<&Sample> = middle.iter().chain(last).collect();
    let mut slopes = Vec::new();
    for (at, one) in all.iter().enumerate() {
        for other in &all[at + 1..] {
            let seconds = other.at_s - one.at_s;
            slopes.push((other.memory_kib as f64 - one.memory_kib as f64) / seconds);
        }
    }
    let slope = median(slopes.into_iter());
    let span_s = all.last()?.at_s - all.first()?.at_s;
    let allowed = before * MEMORY_SHARE + MEMORY_BESIDE_KIB;
    let (by_medians, by_slope) = (after - before, slope * span_s);
    (by_medians > allowed || by_slope > allowed).then(|| {
        format!(
            "memory rose from {before:.0} to {after:.0} KiB, {:.0} KiB an hour; {allowed:.0} KiB are allowed in {span_s:.0} s",
            slope * 3600.0
        )
    })
}

/// Counters of something dropped that rose when nothing was done that explains it.
fn dropped(samples: &[Sample], struck: &[Struck]) -> Vec<String> {
    let mut faults = Vec::new();
    let keys = samples
        .last()
        .into_iter()
        .flat_map(|last| last.counters.keys());
    for key in keys {
        let Some(by) = explained(key).filter(|by| by.len() < Blow::ALL.len()) else {
            continue;
        };
        let (mut more, mut first_s) = (0, None);
        let mut before = (0.0, 0);
        for sample in samples {
            let now = (
                sample.at_s,
                sample.counters.get(key).copied().unwrap_or_default(),
            );
            let explains =
                |it: &Struck| by.contains(&it.blow) && it.from_s <= now.0 && before.0 <= it.to_s;
            if now.1 > before.1 && !struck.iter().any(explains) {
                more += now.1 - before.1;
                first_s = first_s.or(Some(now.0));
            }
            before = now;
        }
        if let Some(at_s) = first_s {
            let since = if by.is_empty() {
                "nothing that was done explains it"
            } else {
                "nothing that was done just before explains it"
            };
            faults.push(format!(
                "{key} rose by {more}, first seen at {at_s:.0} s, and {since}"
            ));
        }
    }
    faults
}

/// Hot cores that did not turn between two looks.
fn standing_still(samples: &[Sample]) -> Vec<String> {
    let mut faults = Vec::new();
    let is_turns = |key: &String| key.starts_with("core.") && key.ends_with(".turns");
    if !samples
        .iter()
        .all(|sample| sample.counters.keys().any(is_turns))
    {
        faults.push("a look without the turns of any core".to_owned());
    }
    for pair in samples.windows(2) {
        for (key, count) in &pair[0].counters {
            if is_turns(key) && pair[1].counters.get(key) <= Some(count) {
                faults.push(format!("{key} stood still at {:.0} s", pair[1].at_s));
            }
        }
    }
    faults
}

/// Counters that rose between two looks, those of trouble alone.
pub(crate) fn risen(before: &Sample, after: &Sample) -> Vec<(String, u64)> {
    let mut risen = Vec::new();
    for (key, count) in &after.counters {
        let more = count.saturating_sub(before.counters.get(key).copied().unwrap_or_default());
        if more > 0 && explained(key).is_some() {
            risen.push((key.clone(), more));
        }
    }
    risen
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// An hour of a program that is well, looked at every ten seconds: it warms up for ten minutes, then its memory
    /// moves by a page now and then.
    fn well() -> Vec<Sample> {
        let mut samples = Vec::new();
        for at in 0..360_u64 {
            let counters = [
                ("core.inline.turns", 1_000 * at),
                ("session.one.orders", 100 * at),
                // One with each server that is silent.
                ("feed.itch.gaps", (at + 8) / 15),
                ("socket.itch.rx_dropped", 0),
            ];
            samples.push(Sample {
                at_s: (10 * at) as f64,
                memory_kib: 100_000 + 400 * at.min(60) + 4 * (at % 3),
                files: 30 + u64::from(at % 7 == 0),
                switches: BTreeMap::from([("main".to_owned(), at)]),
                counters: counters.map(|(key, n)| (key.to_owned(), n)).into(),
                ..Sample::default()
            });
        }
        samples
    }

    /// The blows of that hour.
    fn struck() -> Vec<Struck> {
        let at = |n: usize| Struck {
            blow: Blow::ALL[n % 5],
            from_s: 30.0 * (n as f64 + 1.0) + 1.0,
            to_s: 30.0 * (n as f64 + 1.0) + 11.0,
        };
        (0..119).map(at).collect()
    }

    /// What is said of a run in which something else was so.
    fn said_of(change: impl Fn(u64, &mut Sample)) -> String {
        let mut samples = well();
        for (at, sample) in samples.iter_mut().enumerate() {
            change(at as u64, sample);
        }
        faults(&samples, &struck()).join("; ")
    }

    #[test]
    fn well_for_an_hour_nothing_is_said() {
        assert_eq!(faults(&well(), &struck()), Vec::<String>::new());
    }

    #[test]
    fn leak_of_two_kib_a_second_is_named() {
        let said = said_of(|at, sample| sample.memory_kib += 20 * at);
        let named = "memory rose from 127600 to 130000 KiB, 7200 KiB an hour; 2300 KiB are allowed in 2390 s";
        assert_eq!(said, named);
    }

    #[test]
    fn peak_that_is_over_again_is_no_leak() {
        let said = said_of(|at, sample| sample.memory_kib += 50_000 * u64::from(at == 300));
        assert_eq!(said, "");
    }

    #[test]
    fn file_and_thread_that_stay_open_are_named() {
        let said = said_of(|at, sample| {
            if at > 200 {
                sample.files += 1;
                sample.switches.insert("another".to_owned(), 1);
            }
        });
        assert_eq!(
            said,
            "open files rose from 30 to 31; threads rose from 1 to 2"
        );
    }

    #[test]
    fn drop_without_a_fault_that_explains_it_is_named() {
        let said = said_of(|at, sample| {
            let dropped = sample.counters.get_mut("socket.itch.rx_dropped");
            *dropped.expect("it is there") = u64::from(at > 100);
        });
        let named = "socket.itch.rx_dropped rose by 1, first seen at 1010 s, and nothing that was done explains it";
        assert_eq!(said, named);
        for key in [
            "feed.itch.ring_full",
            "control.sandbox.calls_refused",
            "session.one.invariants_broken",
        ] {
            assert_eq!(explained(key), Some(&[][..]), "{key}");
        }
        assert_eq!(explained("session.one.refused_session_down"), Some(DOWN));
        assert_eq!(explained("feed.itch.packets"), None);
        assert_eq!(explained("session.one.added_tomorrow"), Some(&[][..]));
    }

    /// A name that no counter has any more would excuse another that is given it.
    #[test]
    fn counters_that_are_named_here_are_what_the_gateway_counts() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics-reference.md");
        let reference = std::fs::read_to_string(path).expect("the guide is there");
        let of_work = WORK.iter().map(|(kind, names)| (*kind, *names));
        let all = of_work.chain(EXPLAINED.iter().map(|it| (it.kind, it.names)));
        for (kind, names) in all {
            for name in names {
                let name = name.strip_prefix(&format!("{kind}_")).unwrap_or(name);
                let name = name
                    .strip_suffix("_ns")
                    .map_or_else(|| name.to_owned(), |name| format!("{name}_seconds"));
                let metric = format!("`tickgate_{kind}_{name}");
                let is_there = |end: &str| reference.contains(&format!("{metric}{end}`"));
                assert!(is_there("") || is_there("_total"), "{metric}");
            }
        }
    }

    #[test]
    fn gap_long_after_what_explains_it_is_named() {
        let said = said_of(|at, sample| {
            let gaps = sample.counters.get_mut("feed.itch.gaps");
            *gaps.expect("it is there") += u64::from(at > 100);
        });
        let named = "feed.itch.gaps rose by 1, first seen at 1010 s, and nothing that was done just before explains it";
        assert_eq!(said, named);
    }

    #[test]
    fn core_that_stands_still_and_orders_that_end_are_named() {
        let said = said_of(|at, sample| {
            if at > 250 {
                let counters = &mut sample.counters;
                counters.insert("session.one.orders".to_owned(), 25_000);
            }
            if at == 300 {
                let turns = "core.inline.turns".to_owned();
                sample.counters.insert(turns, 299_000);
            }
        });
        assert_eq!(said, "core.inline.turns stood still at 3000 s");
        let said = said_of(|_, sample| {
            let counters = &mut sample.counters;
            counters.insert("session.one.orders".to_owned(), 25_000);
        });
        assert_eq!(
            said,
            "no order in the second third; no order in the last third"
        );
    }

    #[test]
    fn core_that_is_never_seen_is_named() {
        let said = said_of(|_, sample| {
            sample.counters.remove("core.inline.turns");
        });
        assert_eq!(said, "a look without the turns of any core");
    }

    #[test]
    fn few_looks_are_no_verdict() {
        assert_eq!(
            faults(&well()[..8], &struck()),
            ["8 looks are too few for a verdict"]
        );
    }
}
