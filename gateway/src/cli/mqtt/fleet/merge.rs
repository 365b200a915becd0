//! Many gateways' histograms as one: what each has measured in its run so far, added slot by slot.
//!
//! Path:        messages of `totals` and `status` topics -> here -> table, JSON
//! Invariants:  a sum is exact: the histogram that all samples would have made together. A gateway counts once, as it was told last.
//! Bounded by:  [`GATEWAYS_MAX`] gateways, and the histograms that this version knows.
//! When wrong:  what cannot be read, or is of nobody that there is room for, is counted and changes nothing.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use rt::histogram::empty;
use serde::{Deserialize, Serialize};

use crate::telemetry::{Measured, Summary, decode, histograms};

/// Gateways in one view: a histogram takes 200 KiB, and each gateway has one of each name.
pub(super) const GATEWAYS_MAX: usize = 64;

/// What is known of a gateway.
#[derive(Clone, Debug, Default)]
pub(super) struct Gateway {
    /// `online`, `gateway-gone`, `offline`; empty: nobody has said.
    pub(super) state: String,
    /// Its run.
    pub(super) run: String,
    /// When it said what it has measured, ns since 1970.
    pub(super) told_ns: u64,
    histograms: BTreeMap<&'static str, Histogram<u64>>,
}

/// A row of the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Row {
    pub(super) instance: String,
    pub(super) state: String,
    pub(super) run: String,
    pub(super) told_ns: u64,
    /// Of each histogram, its percentiles.
    pub(super) histograms: BTreeMap<&'static str, Summary>,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Fleet {
    /// What topics begin with, with the slash behind it.
    base: String,
    gateways: BTreeMap<String, Gateway>,
    /// Messages that could not be read, or that there was no room for.
    pub(super) refused: u64,
}

/// Of a message of `totals`, what is needed.
#[derive(Deserialize)]
struct Total {
    run: String,
    name: String,
    end_ns: u64,
    count: u64,
    hdr: String,
}

/// Of a message of `status`.
#[derive(Deserialize)]
struct State {
    state: String,
}

impl Fleet {
    pub(super) fn new(prefix: &str) -> Self {
        Self {
            base: format!("{prefix}/"),
            gateways: BTreeMap::new(),
            refused: 0,
        }
    }

    /// What has to be subscribed.
    pub(super) fn filters(&self) -> [String; 2] {
        let base = &self.base;
        [format!("{base}+/status"), format!("{base}+/totals/all/+")]
    }

    /// A message of one of those topics.
    pub(super) fn on_message(&mut self, topic: &[u8], payload: &[u8]) {
        if self.take(topic, payload).is_none() {
            self.refused += 1;
        }
    }

    fn take(&mut self, topic: &[u8], payload: &[u8]) -> Option<()> {
        let topic = std::str::from_utf8(topic).ok()?;
        let (instance, what) = topic.strip_prefix(&self.base)?.split_once('/')?;
        if what == "status" {
            let State { state } = serde_json::from_slice(payload).ok()?;
            self.gateway(instance)?.state = printable(&state);
            return Some(());
        }
        let told: Total = serde_json::from_slice(payload).ok()?;
        if what != format!("totals/all/{}", told.name) {
            return None;
        }
        let (name, _) = histograms().find(|(name, _)| *name == told.name)?;
        let histogram = decode(&told.hdr).filter(|it| it.len() == told.count)?;
        let gateway = self.gateway(instance)?;
        if gateway.run != told.run {
            // What another run has measured is not of this one.
            gateway.histograms.clear();
            gateway.run = printable(&told.run);
        }
        gateway.told_ns = told.end_ns;
        gateway.histograms.insert(name, histogram);
        Some(())
    }

    fn gateway(&mut self, instance: &str) -> Option<&mut Gateway> {
        if !self.gateways.contains_key(instance) && self.gateways.len() >= GATEWAYS_MAX {
            return None;
        }
        Some(self.gateways.entry(printable(instance)).or_default())
    }

    /// Each gateway by itself.
    pub(super) fn rows(&self) -> Vec<Row> {
        let rows = self.gateways.iter().map(|(instance, it)| Row {
            instance: instance.clone(),
            state: it.state.clone(),
            run: it.run.clone(),
            told_ns: it.told_ns,
            histograms: it
                .histograms
                .iter()
                .map(|(name, histogram)| (*name, Summary::of(histogram)))
                .collect(),
        });
        rows.collect()
    }

    /// All gateways' histograms, added.
    pub(super) fn merged(&self) -> Measured {
        let mut sums: BTreeMap<&str, Histogram<u64>> = BTreeMap::new();
        for (name, histogram) in self.gateways.values().flat_map(|it| &it.histograms) {
            // All have this project's bounds, so adding cannot fail.
            let _ = sums.entry(name).or_insert_with(empty).add(histogram);
        }
        let mut merged = Measured::default();
        for (name, sum) in &sums {
            merged.set(name, sum);
        }
        merged
    }
}

/// What comes from a broker is shown on a terminal: nothing of it may steer one.
fn printable(text: &str) -> String {
    let shown = text.chars().take(64);
    let shown = shown.map(|c| if c.is_control() { '?' } else { c });
    shown.collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::intervals::{Measurement, written};
    use super::*;

    fn histogram(values: impl IntoIterator<Item = u64>) -> Histogram<u64> {
        let mut histogram = empty();
        for value in values {
            histogram.saturating_record(value);
        }
        histogram
    }

    fn total(instance: &str, run: &str, histogram: &Histogram<u64>) -> (String, String) {
        let (count, hdr) = written(histogram);
        let measurement = Measurement {
            instance,
            run,
            place: "all",
            name: "tick_to_order",
            seq: 1,
            start_ns: 0,
            end_ns: 5,
            count,
            hdr,
        };
        let topic = format!("t/{instance}/totals/all/tick_to_order");
        (topic, serde_json::to_string(&measurement).unwrap())
    }

    fn fleet(messages: &[(String, String)]) -> Fleet {
        let mut fleet = Fleet::new("t");
        for (topic, text) in messages {
            fleet.on_message(topic.as_bytes(), text.as_bytes());
        }
        fleet
    }

    #[test]
    fn sum_of_two_gateways_is_the_histogram_of_all_samples_slot_by_slot() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut samples = |count| -> Vec<u64> {
            let mut sample = || {
                let most = 1 << random.u32(1..34);
                random.u64(1..most)
            };
            (0..count).map(|_| sample()).collect()
        };
        let (one, two) = (samples(30_000), samples(50_000));
        let fleet = fleet(&[
            total("one", "r", &histogram(one.clone())),
            total("two", "r", &histogram(two.clone())),
            // Told again: it is the same gateway, not another one.
            total("one", "r", &histogram(one.clone())),
        ]);
        let merged = fleet.merged().histogram("tick_to_order").unwrap();
        let joined = histogram(one.into_iter().chain(two));
        assert_eq!(merged, joined);
        let slots = |it: &Histogram<u64>| -> Vec<(u64, u64)> {
            let recorded = it.iter_recorded();
            recorded
                .map(|slot| (slot.value_iterated_to(), slot.count_at_value()))
                .collect()
        };
        assert_eq!(slots(&merged), slots(&joined));
        assert_eq!((merged.len(), fleet.refused), (80_000, 0));
    }

    #[test]
    fn new_run_of_a_gateway_takes_the_place_of_the_one_before() {
        let fleet = fleet(&[
            total("one", "r1", &histogram([5, 6, 7])),
            total("one", "r2", &histogram([9])),
        ]);
        let merged = fleet.merged().histogram("tick_to_order").unwrap();
        assert_eq!((merged.len(), merged.max()), (1, 9));
    }

    #[test]
    fn state_is_told_and_steers_no_terminal() {
        let status = |text: &str| ("t/one/status".to_owned(), text.to_owned());
        let mut fleet = fleet(&[status(r#"{"instance":"one","state":"online","x":1}"#)]);
        assert_eq!(fleet.rows()[0].state, "online");
        let (topic, text) = status("{\"state\":\"\\u001b[2Joff\"}");
        fleet.on_message(topic.as_bytes(), text.as_bytes());
        assert_eq!(fleet.rows()[0].state, "?[2Joff");
    }

    #[test]
    fn what_is_no_message_of_a_gateway_is_counted_and_changes_nothing() {
        let (topic, good) = total("one", "r", &histogram([5]));
        let mut fleet = fleet(&[]);
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..2_000 {
            let bytes: Vec<u8> = (0..random.usize(0..300)).map(|_| random.u8(..)).collect();
            fleet.on_message(topic.as_bytes(), &bytes);
        }
        for (topic, text) in [
            (topic.as_str(), good.replace("\"count\":1", "\"count\":2")),
            (topic.as_str(), good.replace("\"hdr\":\"", "\"hdr\":\"!")),
            ("t/one/totals/all/other", good.clone()),
            ("t/one/totals/feed.a/tick_to_order", good.clone()),
            ("u/one/totals/all/tick_to_order", good.clone()),
            ("t/one", good.clone()),
            ("t/one/totals/all/x", good.replace("tick_to_order", "x")),
        ] {
            fleet.on_message(topic.as_bytes(), text.as_bytes());
        }
        assert_eq!(fleet.refused, 2_007);
        assert!(fleet.merged().histograms.is_empty());
        fleet.on_message(topic.as_bytes(), good.as_bytes());
        assert_eq!(fleet.merged().histograms.len(), 1);
    }

    #[test]
    fn more_gateways_than_there_is_room_for_are_refused() {
        let mut fleet = fleet(&[]);
        for number in 0..GATEWAYS_MAX + 3 {
            let topic = format!("t/{number}/status");
            fleet.on_message(topic.as_bytes(), b"{\"state\":\"online\"}");
        }
        assert_eq!((fleet.rows().len(), fleet.refused), (GATEWAYS_MAX, 3));
    }
}
