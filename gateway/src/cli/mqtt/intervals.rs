//! What was measured between two reports of a gateway, out of what each has measured since it began.
//!
//! Invariants:  an interval begins where the one before it ended; one that could not be handed to the broker is part of the next. A
//!              sum over the intervals of a run is what it measured, from the publisher's first report on.
//! When wrong:  a gateway that has begun anew, or that has fewer samples than before, begins a new run.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use rt::histogram::empty;
use serde::Serialize;

use crate::telemetry::{Measured, Run, encode};

/// Of which stage, and which of its histograms.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    /// `all`, or the stage's kind and name.
    pub(super) place: String,
    pub(super) name: String,
}

/// A histogram on its way, as JSON has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Measurement<'a> {
    pub(super) instance: &'a str,
    /// The gateway's run.
    pub(super) run: &'a str,
    pub(super) place: &'a str,
    pub(super) name: &'a str,
    /// 1, 2, 3 ... of this histogram in this run of the publisher.
    pub(super) seq: u64,
    /// ns since 1970.
    pub(super) start_ns: u64,
    pub(super) end_ns: u64,
    /// Samples.
    pub(super) count: u64,
    /// The histogram, values in ns: HdrHistogram's V2, deflated, base64.
    pub(super) hdr: String,
}

/// A histogram as a report has it, and what is new in it.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) key: Key,
    pub(super) total: Histogram<u64>,
    /// `None`: it is seen for the first time, in a run that was there before the publisher.
    pub(super) fresh: Option<Histogram<u64>>,
    pub(super) seq: u64,
    pub(super) start_ns: u64,
}

/// When a report was, and of which run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    /// The gateway's process.
    pub(super) pid: u32,
    /// When it began: ns since 1970, to the second.
    pub(super) began_ns: u64,
}

#[derive(Debug)]
struct Told {
    seq: u64,
    until_ns: u64,
    histogram: Histogram<u64>,
}

/// What has been told of each.
#[derive(Debug, Default)]
pub(super) struct Intervals {
    /// The run, by its process and its beginning.
    run: Option<(u32, u64)>,
    /// A run began while the publisher was there.
    is_of_a_new_run: bool,
    told: BTreeMap<Key, Told>,
}

/// Two readings of a run's beginning differ by the seconds that its age is told in, and by the way.
const SAME_BEGIN_NS: u64 = 5_000_000_000;

impl Intervals {
    /// The run's name: when it began, seconds of 1970, and its process.
    pub(super) fn run(&self) -> String {
        let (pid, began_ns) = self.run.unwrap_or_default();
        format!("{}-{pid}", began_ns / 1_000_000_000)
    }

    /// When it began, ns since 1970.
    pub(super) fn began_ns(&self) -> u64 {
        self.run.map_or(0, |(_, began_ns)| began_ns)
    }

    /// Which run a moment is of.
    pub(super) fn on_moment(&mut self, moment: &Moment) {
        let is_same = |(pid, began): &(u32, u64)| {
            *pid == moment.pid && began.abs_diff(moment.began_ns) < SAME_BEGIN_NS
        };
        if self.run.as_ref().is_some_and(is_same) {
            return;
        }
        self.is_of_a_new_run = self.run.is_some();
        self.run = Some((moment.pid, moment.began_ns));
        self.told.clear();
    }

    /// Every histogram of a report, and what is new in it.
    pub(super) fn on_report(&mut self, report: &Run, moment: &Moment) -> Vec<Seen> {
        self.on_moment(moment);
        let mut seen = Vec::new();
        self.see("all", &report.measured, &mut seen);
        for (kind, stages) in &report.stages {
            for (name, measured) in stages {
                let place = format!("{}.{name}", kind.name());
                self.see(&place, measured, &mut seen);
            }
        }
        seen
    }

    fn see(&mut self, place: &str, measured: &Measured, seen: &mut Vec<Seen>) {
        for name in measured.hdr.keys() {
            let Some(total) = measured.histogram(name) else {
                continue;
            };
            let key = Key {
                place: place.to_owned(),
                name: name.clone(),
            };
            if let Some(told) = self.told.get(&key) {
                let mut fresh = total.clone();
                // Fewer than before: it cannot be the same run, whatever its process says.
                if fresh.subtract(&told.histogram).is_err() {
                    self.told.remove(&key);
                    self.is_of_a_new_run = true;
                } else {
                    let (seq, start_ns) = (told.seq + 1, told.until_ns);
                    seen.push(Seen {
                        key,
                        total,
                        fresh: Some(fresh),
                        seq,
                        start_ns,
                    });
                    continue;
                }
            }
            let fresh = self.is_of_a_new_run.then(|| total.clone());
            let (seq, start_ns) = (1, self.began_ns());
            seen.push(Seen {
                key,
                total,
                fresh,
                seq,
                start_ns,
            });
        }
    }

    /// An interval is on its way, or the first look has been taken: the next one begins here.
    pub(super) fn on_told(&mut self, seen: &Seen, until_ns: u64) {
        let seq = if seen.fresh.is_some() { seen.seq } else { 0 };
        let told = Told {
            seq,
            until_ns,
            histogram: seen.total.clone(),
        };
        self.told.insert(seen.key.clone(), told);
    }
}

/// A histogram's samples, and itself as text.
pub(super) fn written(histogram: &Histogram<u64>) -> (u64, String) {
    let text = encode(histogram).or_else(|| encode(&empty()));
    (histogram.len(), text.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{Kind, decode};

    fn report(all: &[u64], stage: &[u64]) -> Run {
        let histogram = |values: &[u64]| {
            let mut histogram = empty();
            for value in values {
                histogram.saturating_record(*value);
            }
            histogram
        };
        let mut run = Run::default();
        run.set_histogram("tick_to_order", &histogram(all));
        let stages = run.stages.entry(Kind::Feed).or_default();
        let stage_of = stages.entry("a".to_owned()).or_default();
        stage_of.set("tick_to_order", &histogram(stage));
        run
    }

    fn moment(pid: u32, began_s: u64) -> Moment {
        let began_ns = began_s * SECOND;
        Moment { pid, began_ns }
    }

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn intervals_add_up_to_the_run_even_where_one_could_not_be_told() {
        let mut intervals = Intervals::default();
        let first = moment(7, 100);
        for seen in intervals.on_report(&report(&[5, 5], &[5]), &first) {
            assert!(seen.fresh.is_none(), "what was before nobody can date");
            intervals.on_told(&seen, 110 * SECOND);
        }
        let second = moment(7, 100);
        let lost = intervals.on_report(&report(&[5, 5, 9], &[5]), &second);
        assert_eq!(lost[0].fresh.as_ref().map(Histogram::len), Some(1));
        // Not told: the broker was gone.
        let third = moment(7, 101);
        let seen = intervals.on_report(&report(&[5, 5, 9, 2_000_000], &[5, 9]), &third);
        let all = &seen[0];
        let fresh = all.fresh.as_ref().unwrap();
        assert_eq!((all.seq, all.start_ns), (1, 110 * SECOND));
        assert_eq!(
            (fresh.len(), fresh.count_at(9), fresh.count_at(5)),
            (2, 1, 0)
        );
        assert_eq!(fresh.count_at(2_000_000), 1);
        assert_eq!(seen[1].key.place, "feed.a");
        intervals.on_told(all, 130 * SECOND);
        let next = intervals.on_report(&report(&[5, 5, 9, 2_000_000], &[5, 9]), &moment(7, 100));
        assert_eq!((next[0].seq, next[0].start_ns), (2, 130 * SECOND));
        assert_eq!(next[0].fresh.as_ref().map(Histogram::len), Some(0));
    }

    #[test]
    fn gateway_that_begins_anew_begins_a_run_with_everything_in_it() {
        let mut intervals = Intervals::default();
        let first = moment(7, 100);
        for seen in intervals.on_report(&report(&[5, 5], &[5]), &first) {
            intervals.on_told(&seen, 110 * SECOND);
        }
        let run = intervals.run();
        let seen = intervals.on_report(&report(&[5, 5, 6], &[5]), &moment(8, 111));
        assert_eq!(seen[0].fresh.as_ref().map(Histogram::len), Some(3));
        assert_eq!((seen[0].seq, seen[0].start_ns), (1, 111_000_000_000));
        assert_ne!(intervals.run(), run);
    }

    #[test]
    fn fewer_samples_than_before_are_another_run() {
        let mut intervals = Intervals::default();
        let first = moment(7, 100);
        for seen in intervals.on_report(&report(&[5, 5], &[5]), &first) {
            intervals.on_told(&seen, 110 * SECOND);
        }
        let seen = intervals.on_report(&report(&[6], &[]), &moment(7, 100));
        assert_eq!(seen[0].fresh.as_ref().map(Histogram::len), Some(1));
    }

    #[test]
    fn text_is_the_histogram() {
        let mut histogram = empty();
        histogram.saturating_record_n(123_456, 7);
        let (count, text) = written(&histogram);
        assert_eq!((count, decode(&text)), (7, Some(histogram)));
    }
}
