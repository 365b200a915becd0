//! Two reports side by side, claiming no more than the rounds support.

use std::fmt::Write as _;

use anyhow::{Result, bail};
use gateway::telemetry::Summary;

use crate::model::Report;
use crate::statistics::Comparison;

/// A percentile's name, and how to read it.
type Percentile = (&'static str, fn(&Summary) -> u64);

/// The percentiles that are compared.
const PERCENTILES: [Percentile; 3] = [
    ("p50", |s| s.p50),
    ("p99", |s| s.p99),
    ("p99.9", |s| s.p999),
];
/// The histograms that are compared.
const HISTOGRAMS: [&str; 3] = ["wire_to_wire", "tick_to_order", "wire_to_seen"];

/// Compares every entry that both have.
///
/// # Errors
/// They have none in common.
pub fn compare(old: &Report, new: &Report) -> Result<String> {
    let mut out = String::new();
    if old.host != new.host {
        let _ = writeln!(
            out,
            "different hosts: {} ({}) and {} ({})",
            old.host.cpu, old.host.kernel, new.host.cpu, new.host.kernel
        );
    }
    let mut compared = 0;
    for after in &new.runs {
        let Some(before) = old.entry(&after.run.name) else {
            continue;
        };
        for histogram in HISTOGRAMS {
            for (name, pick) in PERCENTILES {
                let (a, b) = (
                    before.per_round(histogram, pick),
                    after.per_round(histogram, pick),
                );
                let Some(comparison) = Comparison::of(&a, &b) else {
                    continue;
                };
                compared += 1;
                let _ = writeln!(
                    out,
                    "{:24} {histogram:14} {name:6} {:>12.0} -> {:>12.0} ns  {}",
                    after.run.name,
                    before.figure(histogram, pick).unwrap_or(0.0),
                    after.figure(histogram, pick).unwrap_or(0.0),
                    comparison.words("new"),
                );
            }
        }
    }
    if compared == 0 {
        bail!("the two have no valid run of one name in common");
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::entry::{Entry, Round};

    fn report(p50s: &[u64]) -> Report {
        let mut entry = Entry::new("gateway");
        for p50 in p50s {
            let summary = Summary {
                count: 100,
                p50: *p50,
                p99: *p50 * 3,
                p999: *p50 * 9,
                ..Summary::default()
            };
            entry.rounds.push(Round {
                histograms: BTreeMap::from([("wire_to_wire".to_owned(), summary)]),
                receive_ns: None,
                handle_ns: None,
                idle_share: None,
                invalid: Vec::new(),
            });
        }
        let mut report = Report::new("test");
        report.runs.push(entry);
        report
    }

    #[test]
    fn tells_what_is_faster_and_what_is_not() {
        let old = report(&[1000, 1010, 990, 1000, 1005]);
        let new = report(&[900, 909, 891, 900, 905]);
        let said = compare(&old, &new).unwrap();
        assert!(said.contains("new is 10 % faster"), "{said}");
        let said = compare(&old, &old).unwrap();
        assert!(said.contains("no difference seen"), "{said}");
        assert!(compare(&old, &Report::new("test")).is_err());
    }
}
