//! Whether a program that ran for long may be trusted to run for longer: a pure function of what was seen of it.
//!
//! The first third of a run is its warm-up: pages are touched for the first time there. What is compared is the second third
//! with the last.
//!
//! Every counter that tells of something dropped, lost, refused or wrong must stand still, unless [`EXPLAINED`] names it and
//! the fault that moves it: a counter that is added tomorrow is held to it, too.

use super::Sample;

/// What memory may grow by from the second third of a run to the last, and along the line through both: this share of it, and this much
/// beside. A leak of 100 bytes for each of 100 orders a second is 12 MiB in the twenty minutes between two thirds of an hour.
const MEMORY_SHARE: f64 = 0.01;
const MEMORY_BESIDE_KIB: f64 = 1_024.0;

/// Parts of the names of counters that tell of something dropped, lost, refused or wrong.
const TELLS_OF_TROUBLE: [&str; 29] = [
    "_full",
    "lost",
    "dropped",
    "refused",
    "rejected",
    "errors",
    "malformed",
    "broken",
    "bad_",
    "wrong",
    "truncated",
    "stalls",
    "unserved",
    "missing",
    "missed",
    "unexpected",
    "unknown",
    "cut_off",
    "timed_out",
    "overfills",
    "clamped",
    "crossed",
    "crowded_out",
    "given_up",
    "gaps",
    "failed",
    "duplicate_ref",
    "too_long",
    "lags",
];

/// Counters that the faults of the run move: kind, name, and what moves them.
pub(crate) const EXPLAINED: [(&str, &str, &str); 39] = [
    (
        "feed",
        "gaps",
        "a dead re-request server while both lines lose",
    ),
    ("feed", "messages_lost", "the same"),
    ("feed", "missing_ref", "orders that were added in a gap"),
    ("feed", "clamped", "the same"),
    ("feed", "duplicate_ref", "orders that ended in a gap"),
    ("feed", "wrong_symbol", "the same"),
    (
        "feed",
        "crossed",
        "books that miss something, until the snapshot",
    ),
    (
        "feed",
        "sessions_end_missed",
        "a killed exchange says no end",
    ),
    (
        "feed",
        "snapshots_refused",
        "live messages that both lines lost while a snapshot came",
    ),
    ("line", "messages_missing", "lines that lose"),
    ("strategy", "gaps", "what the feed gave up"),
    ("strategy", "books_lost", "the same"),
    ("strategy", "symbols_lost", "the same"),
    ("strategy", "missing_ref", "the same"),
    ("strategy", "clamped", "the same"),
    ("strategy", "duplicate_ref", "the same"),
    ("strategy", "wrong_symbol", "the same"),
    (
        "recovery",
        "requests_timed_out",
        "a dead re-request server, a killed exchange",
    ),
    ("recovery", "ranges_given_up", "the same"),
    (
        "recovery",
        "answers_refused",
        "answers that came after another had",
    ),
    ("recovery", "snapshots_failed", "a killed exchange"),
    ("recovery", "snapshots_given_up", "the same"),
    ("session", "changes_lost", "a cut connection"),
    ("session", "doubts_lost", "the same"),
    (
        "session",
        "cancels_refused",
        "orders that were filled before their cancel came",
    ),
    ("session", "rejected", "an account that is told to reject"),
    (
        "session",
        "replaces_rejected",
        "the same, and orders that were filled before",
    ),
    ("session", "refused", "the sum of those below"),
    ("session", "refused_paused", "the end of the run"),
    ("session", "refused_session_down", "a cut connection"),
    ("session", "refused_stale_book", "a gap"),
    (
        "session",
        "refused_no_reference_price",
        "books that are empty after a gap",
    ),
    (
        "session",
        "refused_change_pending",
        "an order that is asked to change twice at once",
    ),
    (
        "session",
        "refused_not_live",
        "an order that is over while its strategy changes it",
    ),
    (
        "session",
        "refused_self_cross",
        "two strategies of an account that would meet",
    ),
    (
        "session",
        "refused_price_collar",
        "a price far from a market that is thin after a gap",
    ),
    (
        "session",
        "refused_open_orders",
        "resting orders of an account that was cut off",
    ),
    (
        "session",
        "refused_unknown_symbol",
        "an exchange that begins again names its symbols first",
    ),
    (
        "session",
        "refused_too_old",
        "a host that gave the core no CPU for half a second",
    ),
];

/// Whether a counter tells of trouble, and nothing that the run does explains it.
fn is_unexplained(key: &str) -> bool {
    let name = key.rsplit('.').next().unwrap_or_default();
    let tells = TELLS_OF_TROUBLE.iter().any(|part| name.contains(part));
    let kind = key.split('.').next().unwrap_or_default();
    let explains = |of: &(&str, &str, &str)| (of.0, of.1) == (kind, name);
    tells && !EXPLAINED.iter().any(explains)
}

/// What forbids to trust it; empty: nothing.
pub(crate) fn faults(samples: &[Sample]) -> Vec<String> {
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
    faults.extend(dropped(samples));
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

/// Counters of something dropped that rose and that nothing explains.
fn dropped(samples: &[Sample]) -> Vec<String> {
    let mut faults = Vec::new();
    let Some(last) = samples.last() else {
        return faults;
    };
    for (key, count) in &last.counters {
        if *count > 0 && is_unexplained(key) {
            faults.push(format!(
                "{key} is {count}, and nothing that was done explains it"
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
        let name = key.rsplit('.').next().unwrap_or_default();
        let more = count.saturating_sub(before.counters.get(key).copied().unwrap_or_default());
        if more > 0 && TELLS_OF_TROUBLE.iter().any(|part| name.contains(part)) {
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
                ("feed.itch.gaps", at / 30),
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

    /// What is said of a run in which something else was so.
    fn said_of(change: impl Fn(u64, &mut Sample)) -> String {
        let mut samples = well();
        for (at, sample) in samples.iter_mut().enumerate() {
            change(at as u64, sample);
        }
        faults(&samples).join("; ")
    }

    #[test]
    fn well_for_an_hour_nothing_is_said() {
        assert_eq!(faults(&well()), Vec::<String>::new());
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
        let named = "socket.itch.rx_dropped is 1, and nothing that was done explains it";
        assert_eq!(said, named);
        assert!(is_unexplained("feed.itch.ring_full"));
        assert!(is_unexplained("control.sandbox.calls_refused"));
        assert!(is_unexplained("session.one.invariants_broken"));
        assert!(!is_unexplained("session.one.refused_stale_book"));
        assert!(!is_unexplained("feed.itch.packets"));
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
        assert_eq!(faults(&well()[..8]), ["8 looks are too few for a verdict"]);
    }
}
