//! What risk's checks, the journal and a second session cost an order: one gateway on the live way, set in five ways that
//! take turns.
//!
//! What risk always checks (size, notional, collar, position, exposure, loss, rate) cannot be switched off, and so is in
//! every one of them; `alone` times it by itself. The difference is what can be.

pub mod alone;

use lab::checks::Checks;
use lab::gateway::Gateway;
use lab::run::{Candidate, Item};
use lab::traffic::Traffic;
use report::statistics::{Comparison, median};
use report::{Aim, Entry};

use crate::latency::Workload;
use gateway::telemetry::Summary;

/// The histograms that show it.
pub const HISTOGRAMS: [&str; 2] = ["decided_to_encoded", "tick_to_order"];
/// What a median order may cost more, ns.
const RISK_NS_MAX: f64 = 60.0;
const JOURNAL_NS_MAX: f64 = 30.0;
/// A session that no strategy uses may cost this much at most: what cannot be told from nothing.
const SECOND_SESSION_MAX: f64 = 1.02;

/// A way to set the gateway.
#[derive(Clone, Copy, Debug)]
struct Way {
    name: &'static str,
    checks: Checks,
    journal: bool,
    idle_session: bool,
}

const LEAST: Way = Way {
    name: "least",
    checks: Checks::Least,
    journal: false,
    idle_session: false,
};

const WAYS: [Way; 5] = [
    LEAST,
    Way {
        name: "risk",
        checks: Checks::All,
        ..LEAST
    },
    Way {
        name: "journal",
        journal: true,
        ..LEAST
    },
    Way {
        name: "risk and journal",
        checks: Checks::All,
        journal: true,
        ..LEAST
    },
    Way {
        name: "second session",
        idle_session: true,
        ..LEAST
    },
];

/// Two hundred orders a second, each 5 ms after the last: none repeats another within the window of risk, also behind a stall.
#[must_use]
pub fn workload(seconds: f64) -> Workload {
    Workload {
        seconds,
        every: 100,
        ..Workload::default()
    }
}

/// What is to be measured under this load, in turn.
#[must_use]
pub fn items(traffic: &Traffic) -> Vec<Item> {
    let item = |way: &Way| Item {
        name: way.name.to_owned(),
        traffic: traffic.clone(),
        candidate: Candidate::Gateway(Gateway {
            checks: way.checks,
            journal: way.journal,
            idle_session: way.idle_session,
            ..Gateway::default()
        }),
    };
    WAYS.iter().map(item).collect()
}

/// What was found, against what is promised; `entries` are those of [`items`].
#[must_use]
pub fn aims(entries: &[Entry]) -> Vec<Aim> {
    let [least, risk, journal, both, second] = entries else {
        return Vec::new();
    };
    let mut aims = Vec::new();
    for histogram in HISTOGRAMS {
        for (what, with, bound) in [
            ("risk", risk, RISK_NS_MAX),
            ("journal", journal, JOURNAL_NS_MAX),
            ("risk and journal", both, RISK_NS_MAX + JOURNAL_NS_MAX),
        ] {
            let each = pairs(least, with, histogram, |summary| summary.p50);
            let more: Vec<f64> = each.iter().map(|pair| pair.with - pair.without).collect();
            aims.push(Aim {
                unit: "ns".to_owned(),
                ..Aim::at_most(
                    &format!("{what}: {histogram} p50, on less off"),
                    bound,
                    (!more.is_empty()).then(|| median(&more)),
                    range(&more),
                )
            });
        }
        let each = pairs(least, second, histogram, |summary| summary.p50);
        let [without, with]: [Vec<f64>; 2] = [
            each.iter().map(|pair| pair.without).collect(),
            each.iter().map(|pair| pair.with).collect(),
        ];
        let compared = Comparison::of(&without, &with);
        aims.push(Aim::at_most(
            &format!("{histogram} p50, two sessions / one"),
            SECOND_SESSION_MAX,
            compared.map(|it| it.ratio),
            compared.map_or_else(String::new, |it| it.words("two")),
        ));
    }
    aims
}

/// One figure of a round, in two ways.
#[derive(Clone, Copy, Debug)]
struct Pair {
    without: f64,
    with: f64,
}

/// Of each round that is valid in both ways.
fn pairs(without: &Entry, with: &Entry, histogram: &str, pick: fn(&Summary) -> u64) -> Vec<Pair> {
    let rounds = without.rounds.iter().zip(&with.rounds);
    let valid = rounds.filter(|(a, b)| a.invalid.is_empty() && b.invalid.is_empty());
    let both = valid.filter_map(|(a, b)| {
        let (a, b) = (a.histograms.get(histogram)?, b.histograms.get(histogram)?);
        Some(Pair {
            without: pick(a) as f64,
            with: pick(b) as f64,
        })
    });
    both.collect()
}

fn range(more: &[f64]) -> String {
    let least = more.iter().copied().reduce(f64::min);
    let most = more.iter().copied().reduce(f64::max);
    let shown = least
        .zip(most)
        .map(|(least, most)| format!("{} rounds, from {least:+.0} to {most:+.0} ns", more.len()));
    shown.unwrap_or_else(|| "no round is valid in both ways".to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use report::Round;

    use super::*;

    fn entry(p50s: &[u64], invalid: Option<usize>) -> Entry {
        let mut entry = Entry::new("it");
        for (at, p50) in p50s.iter().enumerate() {
            let summary = Summary {
                count: 100,
                p50: *p50,
                ..Summary::default()
            };
            entry.rounds.push(Round {
                histograms: HISTOGRAMS.map(|name| (name.to_owned(), summary)).into(),
                receive_ns: None,
                handle_ns: None,
                idle_share: None,
                invalid: (invalid == Some(at))
                    .then(|| "late".to_owned())
                    .into_iter()
                    .collect(),
            });
        }
        entry
    }

    #[test]
    fn what_is_told_is_the_median_of_the_rounds_differences_and_no_invalid_round_counts() {
        let entries = [
            entry(&[200, 300, 200, 210], None),
            entry(&[230, 340, 900, 250], Some(2)),
            entry(&[240, 350, 250, 250], None),
            entry(&[280, 380, 280, 290], None),
            entry(&[200, 300, 200, 210], None),
        ];
        let aims = aims(&entries);
        let of: BTreeMap<&str, &Aim> = aims.iter().map(|aim| (aim.what.as_str(), aim)).collect();
        let aim = |name: &str| of[name];
        let risk = aim("risk: decided_to_encoded p50, on less off");
        assert_eq!((risk.measured, risk.verdict()), (Some(40.0), "met"));
        assert!(
            risk.note.contains("3 rounds, from +30 to +40"),
            "{}",
            risk.note
        );
        let journal = aim("journal: tick_to_order p50, on less off");
        assert_eq!(
            (journal.measured, journal.verdict()),
            (Some(45.0), "missed")
        );
        let sessions = aim("tick_to_order p50, two sessions / one");
        assert_eq!((sessions.measured, sessions.verdict()), (Some(1.0), "met"));
    }
}
