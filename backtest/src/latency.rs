//! How long things are on their way: always the same time, or drawn from what was measured.
//!
//! Invariants:  a draw is arithmetic of whole numbers with dice of a seed: the same on any machine.

use std::path::Path;
use std::sync::Arc;

use fastrand::Rng;
use gateway::order::entry::PROGRESS_TIMEOUT_NS;
use gateway::telemetry::Run as Measurement;
use serde::Deserialize;

/// Latencies of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latency {
    /// Exchange's packet -> feed stage.
    pub feed: Delay,
    /// Order stage -> exchange.
    pub orders: Delay,
    /// Exchange's answer -> order stage.
    pub answers: Delay,
    /// Dice of all three.
    pub seed: u64,
}

impl Default for Latency {
    fn default() -> Self {
        Self::constant(0)
    }
}

impl Latency {
    /// The same on every way.
    #[must_use]
    pub fn constant(ns: u64) -> Self {
        let all = Delay::Constant(ns);
        Self {
            feed: all.clone(),
            orders: all.clone(),
            answers: all,
            seed: SEED,
        }
    }

    /// Reads `5us`, or `feed=2us,orders=measured.hgrm,answers=5us,seed=7`; a way that is not named takes no time.
    ///
    /// A time is a number with its unit, an HdrHistogram file (`.hgrm`, of nanoseconds), or a report of `tickgate-bench latency`
    /// (`.json`), whose first run's `wire_to_wire` it is. What was measured is that of one way, which has to be named.
    ///
    /// # Errors
    /// What is wrong, and what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        if !text.contains('=') {
            let Delay::Constant(ns) = Delay::parse(text)? else {
                return Err(format!(
                    "\"{text}\" was measured on one way: expected its name, as in orders={text} (feed and answers take no time then)"
                ));
            };
            return Self::constant(ns).that_logs_in();
        }
        let mut latency = Self::default();
        for part in text.split(',') {
            let (way, time) = part.split_once('=').unwrap_or((part, ""));
            match way {
                "feed" => latency.feed = Delay::parse(time)?,
                "orders" => latency.orders = Delay::parse(time)?,
                "answers" => latency.answers = Delay::parse(time)?,
                "seed" => {
                    let seed = time.parse();
                    latency.seed = seed.map_err(|_| format!("seed \"{time}\": no number"))?;
                }
                _ => {
                    return Err(format!(
                        "unknown way \"{way}\", expected feed, orders, answers or seed"
                    ));
                }
            }
        }
        latency.that_logs_in()
    }

    /// Refuses a model by which no login is answered in time.
    fn that_logs_in(self) -> Result<Self, String> {
        let there_and_back_ns = self.orders.longest_ns() + self.answers.longest_ns();
        if there_and_back_ns < PROGRESS_TIMEOUT_NS {
            return Ok(self);
        }
        Err(format!(
            "orders and answers may take {there_and_back_ns} ns together: expected less than {PROGRESS_TIMEOUT_NS}, after which a login \
             without an answer is given up"
        ))
    }

    /// The longest that something can take to the feed stage, what it causes to the exchange, and the answer back.
    pub(crate) fn longest_ns(&self) -> u64 {
        self.feed.longest_ns() + self.orders.longest_ns() + self.answers.longest_ns()
    }

    /// A way's own dice each: what goes on one way changes nothing on the others.
    pub(crate) fn dice(&self) -> Dice {
        let mut dice = Rng::with_seed(self.seed);
        Dice {
            feed: dice.fork(),
            orders: dice.fork(),
            answers: dice.fork(),
        }
    }
}

/// Dice of each way.
#[derive(Debug)]
pub(crate) struct Dice {
    pub(crate) feed: Rng,
    pub(crate) orders: Rng,
    pub(crate) answers: Rng,
}

/// Dice where nobody chooses.
const SEED: u64 = 1;
/// The longest that anything may be on its way: a minute.
const LATENCY_NS_MAX: u64 = 60_000_000_000;
/// What a report of the latency laboratory says of the whole way through a gateway.
const REPORTED: &str = "wire_to_wire";

/// How long one way takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delay {
    /// Always so long, ns.
    Constant(u64),
    /// Values as often as they were measured: (measured up to and with this value, value in ns), both rising.
    Measured(Arc<[(u64, u64)]>),
}

impl Delay {
    fn parse(text: &str) -> Result<Self, String> {
        let path = Path::new(text);
        let is = |of| path.extension().is_some_and(|it| it == of);
        let read = || std::fs::read_to_string(path).map_err(|error| format!("\"{text}\": {error}"));
        if is("hgrm") {
            Self::of_hgrm(&read()?).map_err(|error| format!("\"{text}\": {error}"))
        } else if is("json") {
            Self::of_report(&read()?).map_err(|error| format!("\"{text}\": {error}"))
        } else {
            Ok(Self::Constant(duration(text)?))
        }
    }

    /// The table that HdrHistogram writes: value, percentile, count up to there.
    fn of_hgrm(text: &str) -> Result<Self, String> {
        let mut steps = Vec::new();
        let lines = text.lines().map(str::trim);
        let is_row = |line: &&str| line.starts_with(|it: char| it.is_ascii_digit());
        for line in lines.filter(is_row) {
            let wrong = || format!("no row of an HdrHistogram table: \"{line}\"");
            let mut cells = line.split_ascii_whitespace();
            let value = cells.next().and_then(whole).ok_or_else(wrong)?;
            let count = cells.nth(1).and_then(whole).ok_or_else(wrong)?;
            steps.push((count, value));
        }
        Self::of_steps(steps)
    }

    /// `tickgate-bench latency --json`.
    fn of_report(text: &str) -> Result<Self, String> {
        let report: Report = serde_json::from_str(text)
            .map_err(|error| format!("not a report of tickgate-bench latency: {error}"))?;
        let mut runs = report.runs.iter();
        let histogram = runs.find_map(|it| it.histogram(REPORTED));
        let histogram = histogram.ok_or_else(|| format!("no run has a histogram {REPORTED}"))?;
        let mut count = 0;
        let steps = histogram.iter_recorded().map(|step| {
            count += step.count_since_last_iteration();
            (count, step.value_iterated_to())
        });
        Self::of_steps(steps.collect())
    }

    fn of_steps(mut steps: Vec<(u64, u64)>) -> Result<Self, String> {
        if !steps.is_sorted() || !steps.is_sorted_by_key(|(_, value)| *value) {
            return Err("values and counts do not rise".to_owned());
        }
        if steps.iter().any(|(_, value)| *value > LATENCY_NS_MAX) {
            return Err("a value above a minute".to_owned());
        }
        // Several rows have one count where percentiles are finer than what was measured.
        steps.dedup_by_key(|(count, _)| *count);
        steps.retain(|(count, _)| *count > 0);
        if steps.is_empty() {
            return Err("nothing was measured".to_owned());
        }
        Ok(Self::Measured(steps.into()))
    }

    /// The next time on this way, ns.
    pub(crate) fn draw(&self, dice: &mut Rng) -> u64 {
        let steps = match self {
            Self::Constant(ns) => return *ns,
            Self::Measured(steps) => steps,
        };
        let total = steps.last().map_or(0, |(count, _)| *count);
        let rank = dice.u64(0..total.max(1));
        let index = steps.partition_point(|(count, _)| *count <= rank);
        // A row says how much was at most as long: nothing lies between two.
        steps.get(index).map_or(0, |(_, ns)| *ns)
    }

    /// The longest time on this way, ns.
    pub(crate) fn longest_ns(&self) -> u64 {
        match self {
            Self::Constant(ns) => *ns,
            Self::Measured(steps) => steps.last().map_or(0, |(_, ns)| *ns),
        }
    }
}

/// As much of the laboratory's report as is needed.
#[derive(Deserialize)]
struct Report {
    runs: Vec<Measurement>,
}

/// `1234.000`, or `1234`.
fn whole(text: &str) -> Option<u64> {
    text.split('.').next()?.parse().ok()
}

fn duration(text: &str) -> Result<u64, String> {
    let wrong = || {
        format!(
            "\"{text}\" is no latency, expected a number with ns, us or ms, up to a minute, or a file .hgrm or .json"
        )
    };
    let end = text
        .find(|it: char| !it.is_ascii_digit())
        .ok_or_else(wrong)?;
    let (number, unit) = text.split_at(end);
    let unit_ns = match unit {
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let ns = number.checked_mul(unit_ns);
    ns.filter(|ns| *ns <= LATENCY_NS_MAX).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use hdrhistogram::Histogram;

    use super::*;

    #[test]
    fn latency_is_one_time_or_one_for_each_way() {
        assert_eq!(Latency::parse("5us"), Ok(Latency::constant(5_000)));
        let each = Latency {
            feed: Delay::Constant(2_000),
            orders: Delay::Constant(70),
            answers: Delay::Constant(0),
            seed: 7,
        };
        assert_eq!(Latency::parse("feed=2us,orders=70ns,seed=7"), Ok(each));
        for wrong in ["", "5", "us", "5s", "-1us", "feed=", "wire=1us", "60001ms"] {
            assert!(Latency::parse(wrong).is_err(), "{wrong}");
        }
        assert!(Latency::parse("nowhere.hgrm").is_err());
    }

    #[test]
    fn model_by_which_no_login_is_answered_in_time_is_refused() {
        for right in ["2499ms", "feed=30000ms,orders=4999ms"] {
            assert!(Latency::parse(right).is_ok(), "{right}");
        }
        for wrong in ["2500ms", "orders=4000ms,answers=1000ms"] {
            let error = Latency::parse(wrong).unwrap_err();
            assert!(error.contains("a login without an answer"), "{error}");
        }
    }

    #[test]
    fn draws_come_as_often_as_the_file_measured_them_and_the_same_for_the_same_seed() {
        let mut measured = Histogram::<u64>::new(3).unwrap();
        measured.record_n(1_000, 900).unwrap();
        measured.record_n(50_000, 100).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("orders.hgrm");
        gateway::telemetry::write_hgrm(&measured, &path).unwrap();
        let path = path.to_str().unwrap();
        let latency = Latency::parse(&format!("orders={path}")).unwrap();
        let draw = |seed| {
            let mut dice = Rng::with_seed(seed);
            let draws = (0..10_000).map(|_| latency.orders.draw(&mut dice));
            draws.collect::<Vec<_>>()
        };
        let drawn = draw(3);
        let short = drawn.iter().filter(|ns| **ns <= 1_001).count();
        assert!(
            (8_800..9_200).contains(&short),
            "{short} of 10,000, expected 9,000"
        );
        let long = drawn.iter().filter(|ns| **ns >= 49_000).count();
        assert_eq!(short + long, 10_000, "nothing was between the two");
        assert!(drawn.iter().all(|ns| (1_000..=50_100).contains(ns)));
        assert_eq!(drawn, draw(3));
        assert_ne!(drawn, draw(4));
    }

    #[test]
    fn report_of_the_laboratory_gives_the_first_wire_to_wire_that_it_has() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        let parsed = |report: &report::Report| {
            report.write_json(&path).unwrap();
            Latency::parse(&format!("orders={}", path.display()))
        };
        let mut report = report::Report::new("tickgate-bench latency");
        report.runs.push(report::Entry::new("without"));
        let error = parsed(&report).unwrap_err();
        assert!(
            error.contains("no run has a histogram wire_to_wire"),
            "{error}"
        );

        let mut entry = report::Entry::new("with");
        let mut measured = Histogram::<u64>::new(3).unwrap();
        measured.record_n(9_000, 3).unwrap();
        measured.record_n(90_000, 1).unwrap();
        entry.run.set_histogram(REPORTED, &measured);
        report.runs.push(entry);
        let latency = parsed(&report).unwrap();
        let Delay::Measured(steps) = &latency.orders else {
            panic!("{latency:?}");
        };
        let counts: Vec<u64> = steps.iter().map(|(count, _)| *count).collect();
        assert_eq!(counts, [3, 4]);
        let near = |(_, value): &(u64, u64), ns| value.abs_diff(ns) <= ns / 100;
        assert!(
            near(&steps[0], 9_000) && near(&steps[1], 90_000),
            "{steps:?}"
        );
        // It is the whole way from the packet to the exchange's hearing of the order: on three ways it would be there three times.
        assert_eq!(latency.feed, Delay::Constant(0));
        assert_eq!(latency.answers, Delay::Constant(0));
        let error = Latency::parse(path.to_str().unwrap()).unwrap_err();
        assert!(error.contains("was measured on one way"), "{error}");
    }

    #[test]
    fn bad_tables_are_refused() {
        let refused = |text| Delay::of_hgrm(text).unwrap_err();
        assert_eq!(
            refused("Value Percentile TotalCount\n"),
            "nothing was measured"
        );
        assert_eq!(
            refused("5.0 0.5 2\n4.0 1.0 3\n"),
            "values and counts do not rise"
        );
        assert_eq!(refused("60000000001.0 1.0 3\n"), "a value above a minute");
        assert!(refused("5.0 x\n").contains("no row"));
    }
}
