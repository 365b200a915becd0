//! What was seen of a gateway at two moments, and how it moved between them.
//!
//! Not here: time and sockets; whoever asks says when.

use std::collections::VecDeque;

use hdrhistogram::Histogram;

use crate::cli::look::Look;
use crate::telemetry::{Kind, Summary};

/// How many intervals a trend remembers.
const TREND: usize = 24;
/// The histogram whose trend is drawn: what the gateway is for.
pub(super) const TREND_OF: &str = "tick_to_order";

/// The last look, and what has moved since the one before.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) now: Look,
    before: Option<Look>,
    /// The median of each interval, ns; `None`: nothing was measured in it.
    trend: VecDeque<Option<u64>>,
}

/// A counter that has moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Moved {
    pub(super) kind: Kind,
    pub(super) whose: String,
    pub(super) counter: String,
    pub(super) value: u64,
    /// In the last interval, and in a second of it.
    pub(super) more: u64,
    pub(super) rate: u64,
}

impl Seen {
    /// One more look. Another process is another story.
    pub(super) fn look(&mut self, look: Look) {
        let same = self.now.status.pid == look.status.pid && self.now.at_ns > 0;
        let before = std::mem::replace(&mut self.now, look);
        self.before = same.then_some(before);
        if !same {
            self.trend.clear();
        }
        if self.before.is_some() {
            let median = self.lately(TREND_OF).map(|it| it.p50);
            self.trend.push_back(median);
            if self.trend.len() > TREND {
                self.trend.pop_front();
            }
        }
    }

    /// How long lay between the looks, ns; `None`: there was one only.
    fn elapsed_ns(&self) -> Option<u64> {
        let before = self.before.as_ref()?;
        Some(self.now.at_ns.saturating_sub(before.at_ns)).filter(|it| *it > 0)
    }

    /// How much more in a second a number has become.
    pub(super) fn rate(&self, of: impl Fn(&Look) -> u64) -> Option<u64> {
        let (before, elapsed_ns) = (self.before.as_ref()?, self.elapsed_ns()?);
        let more = u128::from(of(&self.now).saturating_sub(of(before)));
        u64::try_from(more * 1_000_000_000 / u128::from(elapsed_ns)).ok()
    }

    /// Nothing has been heard yet.
    pub(super) fn is_empty(&self) -> bool {
        self.now.at_ns == 0
    }

    /// There are two looks at one process, with time between them.
    pub(super) fn has_interval(&self) -> bool {
        self.before.is_some()
    }

    /// Whether trading is stopped is seen at once, whatever else stands still.
    pub(super) fn look_at_kill(&mut self, look: &Look) {
        self.now.status.kill = look.status.kill.clone();
    }

    /// A counter's value.
    pub(super) fn count(&self, kind: Kind, whose: &str, counter: &str) -> u64 {
        count(&self.now, kind, whose, counter)
    }

    /// How much more a counter becomes in a second.
    pub(super) fn rate_of(&self, kind: Kind, whose: &str, counter: &str) -> Option<u64> {
        self.rate(|look| count(look, kind, whose, counter))
    }

    /// Every counter that is not zero.
    pub(super) fn counters(&self) -> Vec<Moved> {
        let mut out = Vec::new();
        for (kind, all) in &self.now.run.counters {
            for (whose, counters) in all {
                for (counter, value) in counters.iter().filter(|(_, value)| **value > 0) {
                    let before = self.before.as_ref();
                    let before = before.map_or(*value, |it| count(it, *kind, whose, counter));
                    out.push(Moved {
                        kind: *kind,
                        whose: whose.clone(),
                        counter: counter.clone(),
                        value: *value,
                        more: value.saturating_sub(before),
                        rate: self.rate_of(*kind, whose, counter).unwrap_or(0),
                    });
                }
            }
        }
        out
    }

    /// What a histogram measured in the last interval; `None`: nothing.
    pub(super) fn lately(&self, histogram: &str) -> Option<Summary> {
        let mut now = self.now.run.measured.histogram(histogram)?;
        let before: Option<Histogram<u64>> =
            (self.before.as_ref()?.run.measured).histogram(histogram);
        if let Some(before) = before {
            // Counts only grow.
            now.subtract(&before).ok()?;
        }
        (!now.is_empty()).then(|| Summary::of(&now))
    }

    /// The medians of the last intervals as a line of bars, the lowest and the highest at its ends.
    pub(super) fn trend(&self) -> String {
        const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        let known = || self.trend.iter().flatten();
        let (Some(low), Some(high)) = (known().min(), known().max()) else {
            return String::new();
        };
        let bar = |value: u64| {
            let place = (value - low) * 7 / (high - low).max(1);
            let place = usize::try_from(place).unwrap_or(0);
            BARS.get(place).map_or('█', |it| *it)
        };
        self.trend.iter().map(|it| it.map_or(' ', bar)).collect()
    }
}

fn count(look: &Look, kind: Kind, whose: &str, counter: &str) -> u64 {
    let of_kind = look.run.counters.get(&kind);
    let counters = of_kind.and_then(|all| all.get(whose));
    let value = counters.and_then(|counters| counters.get(counter));
    value.map_or(0, |it| *it)
}

#[cfg(test)]
pub(super) mod tests {
    use rt::histogram::empty;

    use super::*;

    /// A look at this moment with this many messages, and these latencies so far.
    pub(in crate::cli::top) fn look(at_s: u64, pid: u32, packets: u64, ns: &[u64]) -> Look {
        let mut look = Look {
            at_ns: at_s * 1_000_000_000,
            ..Look::default()
        };
        look.status.pid = pid;
        let feeds = look.run.counters.entry(Kind::Feed).or_default();
        let counters = feeds.entry("itch".to_owned()).or_default();
        counters.insert("packets".to_owned(), packets);
        let mut histogram = empty();
        ns.iter().for_each(|ns| histogram.record(*ns).unwrap());
        look.run.measured.set(TREND_OF, &histogram);
        look
    }

    #[test]
    fn rates_and_latencies_are_of_the_last_interval_alone() {
        let mut seen = Seen::default();
        seen.look(look(10, 1, 100, &[1_000; 5]));
        assert_eq!(seen.rate_of(Kind::Feed, "itch", "packets"), None);
        assert_eq!(seen.lately(TREND_OF), None);
        seen.look(look(12, 1, 500, &[&[1_000; 5][..], &[9_000; 3]].concat()));
        assert_eq!(seen.rate_of(Kind::Feed, "itch", "packets"), Some(200));
        let lately = seen.lately(TREND_OF).unwrap();
        assert_eq!((lately.count, lately.p50 / 1_000), (3, 9));
        let moved = seen.counters();
        assert_eq!(
            (moved[0].value, moved[0].more, moved[0].rate),
            (500, 400, 200)
        );
        assert_eq!(seen.count(Kind::Feed, "other", "packets"), 0);
    }

    #[test]
    fn another_process_begins_anew() {
        let mut seen = Seen::default();
        seen.look(look(10, 1, 100, &[1_000]));
        seen.look(look(11, 1, 300, &[1_000, 2_000]));
        assert_eq!(seen.trend(), "▁");
        seen.look(look(12, 2, 7, &[]));
        assert_eq!(seen.rate_of(Kind::Feed, "itch", "packets"), None);
        assert_eq!(seen.trend(), "");
    }

    #[test]
    fn trend_has_the_lowest_at_the_bottom_and_gaps_where_nothing_was_measured() {
        let mut seen = Seen::default();
        let mut all = Vec::new();
        for (at, ns) in [(1, 1_000), (2, 1_000), (3, 8_000), (4, 4_500)] {
            all.push(ns);
            seen.look(look(at, 1, 0, &all));
        }
        seen.look(look(5, 1, 0, &all));
        assert_eq!(seen.trend(), "▁█▄ ");
        for at in 6..100 {
            seen.look(look(at, 1, 0, &all));
        }
        assert!(seen.trend().chars().count() <= TREND);
    }
}
