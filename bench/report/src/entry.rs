//! One candidate under one load: its rounds, and all of them merged.

use std::collections::BTreeMap;

use gateway::telemetry::{Kind, Measured, Run, Summary, decode, encode};
use hdrhistogram::Histogram;
use lab::run::{Answered, Outcome};
use rt::histogram::empty;
use serde::{Deserialize, Serialize};

use crate::statistics::median;

/// Length of a point of the time series.
const SAMPLE_NS: u64 = 100_000_000;

/// One round.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Round {
    /// Percentiles by histogram, ns.
    pub histograms: BTreeMap<String, Summary>,
    /// Receive core: ns a packet to take it from the kernel, and for everything after.
    pub receive_ns: Option<f64>,
    /// See `receive_ns`.
    pub handle_ns: Option<f64>,
    /// Share of the hot core's turns that found nothing to do.
    pub idle_share: Option<f64>,
    /// Why the round must not be used.
    pub invalid: Vec<String>,
}

/// `wire_to_wire` over a tenth of a second.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Sample {
    /// When, ms from the first order that counts.
    pub at_ms: u64,
    /// Orders in it.
    pub count: u64,
    /// `wire_to_wire` in it, ns.
    pub p50: u64,
    /// 99.9 %.
    pub p999: u64,
    /// Largest.
    pub max: u64,
    /// The histogram itself, as in [`Measured::hdr`](gateway::telemetry::Measured::hdr).
    pub hdr: String,
}

impl Sample {
    /// The histogram; `None`: it cannot be read.
    #[must_use]
    pub fn histogram(&self) -> Option<Histogram<u64>> {
        decode(&self.hdr)
    }
}

/// A candidate under a load.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Entry {
    /// All rounds merged.
    #[serde(flatten)]
    pub run: Run,
    /// Each round.
    #[serde(default)]
    pub rounds: Vec<Round>,
    /// The first round's course.
    #[serde(default)]
    pub series: Vec<Sample>,
    /// Rounds that must not be used, with why.
    #[serde(default)]
    pub invalid: Vec<String>,
}

impl Entry {
    /// Nothing yet.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            run: Run {
                name: name.to_owned(),
                ..Run::default()
            },
            rounds: Vec::new(),
            series: Vec::new(),
            invalid: Vec::new(),
        }
    }

    /// Adds a round.
    pub fn add(&mut self, outcome: &Outcome) {
        let costs = receive_costs(&outcome.run);
        self.rounds.push(Round {
            histograms: outcome.run.measured.histograms.clone(),
            receive_ns: costs.map(|(receive, _)| receive),
            handle_ns: costs.map(|(_, handle)| handle),
            idle_share: idle_share(&outcome.run),
            invalid: outcome.invalid.clone(),
        });
        let number = self.rounds.len();
        let faults = outcome.invalid.iter();
        self.invalid
            .extend(faults.map(|why| format!("round {number}: {why}")));
        if self.series.is_empty() {
            self.series = series(&outcome.answered);
        }
        let run = &outcome.run;
        if !run.settings.is_null() {
            self.run.settings = run.settings.clone();
        }
        self.run.sent = Some(self.run.sent.unwrap_or(0) + run.sent.unwrap_or(0));
        self.run.received += run.received;
        self.run.lost += run.lost;
        self.run.orders += run.orders;
        self.run.acks += run.acks;
        self.merge(outcome);
        for (kind, counted) in &run.counters {
            let kind = self.run.counters.entry(*kind).or_default();
            for (label, counts) in counted {
                let sums = kind.entry(label.clone()).or_default();
                for (name, value) in counts {
                    *sums.entry(name.clone()).or_default() += value;
                }
            }
        }
    }

    /// Adds a round's histograms. An invalid round counts only as long as there is no valid one, so
    /// that there is something to look at; figures never contain it.
    fn merge(&mut self, outcome: &Outcome) {
        let run = &outcome.run;
        let (_, earlier) = self.rounds.split_last().unzip();
        let had_valid = earlier
            .is_some_and(|rounds: &[Round]| rounds.iter().any(|round| round.invalid.is_empty()));
        match (outcome.invalid.is_empty(), had_valid) {
            (false, true) => return,
            (true, false) => {
                self.run.measured = Measured::default();
                self.run.stages.clear();
            }
            _ => {}
        }
        self.run.measured.add(&run.measured);
        for (kind, stages) in &run.stages {
            let into = self.run.stages.entry(*kind).or_default();
            for (name, measured) in stages {
                into.entry(name.clone()).or_default().add(measured);
            }
        }
    }

    /// A percentile of each valid round, ns: `pick` says which.
    #[must_use]
    pub fn per_round(&self, histogram: &str, pick: fn(&Summary) -> u64) -> Vec<f64> {
        let rounds = self.rounds.iter();
        rounds
            .filter(|round| round.invalid.is_empty())
            .filter_map(|round| round.histograms.get(histogram))
            .filter(|summary| summary.count > 0)
            .map(|summary| pick(summary) as f64)
            .collect()
    }

    /// The median over rounds of a percentile; `None`: no valid round has it.
    #[must_use]
    pub fn figure(&self, histogram: &str, pick: fn(&Summary) -> u64) -> Option<f64> {
        let values = self.per_round(histogram, pick);
        (!values.is_empty()).then(|| median(&values))
    }

    /// The median over rounds of something that a round may have.
    #[must_use]
    pub fn median_of(&self, pick: fn(&Round) -> Option<f64>) -> Option<f64> {
        let values: Vec<f64> = self.rounds.iter().filter_map(pick).collect();
        (!values.is_empty()).then(|| median(&values))
    }
}

/// What the feed's stage counted; 0: nothing, or not a gateway.
fn counted(run: &Run, name: &str) -> f64 {
    run.counter(Kind::Feed, "itch", name).unwrap_or(0) as f64
}

/// What the receive core spends on a packet, ns: taking it from the kernel, and everything after that.
fn receive_costs(run: &Run) -> Option<(f64, f64)> {
    let packets = counted(run, "sampled_packets");
    (packets > 0.0).then(|| {
        (
            counted(run, "sampled_receive_ns") / packets,
            counted(run, "sampled_handle_ns") / packets,
        )
    })
}

/// Share of its time that the receive core had nothing to do.
fn idle_share(run: &Run) -> Option<f64> {
    let busy = counted(run, "sampled_receive_ns") + counted(run, "sampled_handle_ns");
    let idle = counted(run, "sampled_idle_ns");
    (busy + idle > 0.0).then(|| idle / (busy + idle))
}

fn series(answered: &[Answered]) -> Vec<Sample> {
    let Some(first_ns) = answered.iter().map(|order| order.due_ns).min() else {
        return Vec::new();
    };
    let mut tenths = BTreeMap::new();
    for order in answered {
        let tenth = (order.due_ns - first_ns) / SAMPLE_NS;
        tenths
            .entry(tenth)
            .or_insert_with(empty)
            .saturating_record(order.latency_ns);
    }
    let point = |(tenth, histogram): (u64, Histogram<u64>)| Sample {
        at_ms: tenth * (SAMPLE_NS / 1_000_000),
        count: histogram.len(),
        p50: histogram.value_at_quantile(0.5),
        p999: histogram.value_at_quantile(0.999),
        max: histogram.max(),
        hdr: encode(&histogram).unwrap_or_default(),
    };
    tenths.into_iter().map(point).collect()
}
