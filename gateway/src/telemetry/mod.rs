//! What the service measured and counted, for people and for programs.
//!
//! Hot cores write histograms and counters without a lock; this file reads them, on the housekeeping
//! core, when somebody asks.
//!
//! ```text
//! recorders, counters ─> registry ─> Gathered ─┬─> Run ─> Report: table, JSON
//!                         labels               └─> .hgrm
//! ```

mod label;
mod registry;
mod sessions;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use comfy_table::presets;
use comfy_table::{CellAlignment, Table};
use feed_handler::feed::{FeedHistograms, LineHistograms};
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer as _, V2DeflateSerializer};
use rt::histogram::empty;
use serde::{Deserialize, Serialize};

use crate::order::entry::OrderHistograms;
use crate::strategy::{DecidingHistograms, HearingHistograms};

pub use label::{ByLabel, Kind, Label};
pub use registry::{Count, Gathered, Registry};
pub(crate) use sessions::state_word;
pub use sessions::{POSITIONS_SHOWN, PositionReport, SessionReport};

/// What only the exchange can tell.
const WIRE_TO_WIRE: (&str, &str) = ("wire_to_wire", "sender's stamp -> exchange has the order");

/// The design's histograms in the order of the way, with what they run from and to.
pub fn histograms() -> impl Iterator<Item = (&'static str, &'static str)> {
    let feed = FeedHistograms::NAMES.iter();
    feed.chain(LineHistograms::NAMES)
        .chain(HearingHistograms::NAMES)
        .chain(DecidingHistograms::NAMES)
        .chain(OrderHistograms::NAMES)
        .copied()
        .chain([WIRE_TO_WIRE])
}

/// The percentiles that are told of a histogram, ns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Summary {
    /// Samples.
    pub count: u64,
    /// Smallest.
    pub min: u64,
    /// Median.
    pub p50: u64,
    /// 90 %.
    pub p90: u64,
    /// 99 %.
    pub p99: u64,
    /// 99.9 %.
    pub p999: u64,
    /// 99.99 %, where at least ten samples lie beyond it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p9999: Option<u64>,
    /// 99.999 %, where at least ten samples lie beyond it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99999: Option<u64>,
    /// Largest.
    pub max: u64,
}

impl Summary {
    /// Reads the percentiles.
    #[must_use]
    pub fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile);
        Self {
            count: histogram.len(),
            min: if histogram.is_empty() {
                0
            } else {
                histogram.min()
            },
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            p9999: (histogram.len() >= 100_000).then(|| at(0.9999)),
            p99999: (histogram.len() >= 1_000_000).then(|| at(0.99999)),
            max: histogram.max(),
        }
    }
}

/// One run of something that was measured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Run {
    /// What ran.
    pub name: String,
    /// How it was set.
    pub settings: serde_json::Value,
    /// Messages sent, where the sender is known.
    pub sent: Option<u64>,
    /// Messages received in order.
    pub received: u64,
    /// Messages that never came.
    pub lost: u64,
    /// New orders sent.
    pub orders: u64,
    /// New orders answered.
    pub acks: u64,
    /// Each histogram, summed over all stages.
    #[serde(flatten)]
    pub measured: Measured,
    /// What each stage measured, where there is more than one of its kind.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub stages: ByLabel<Measured>,
    /// Every counter.
    #[serde(default, deserialize_with = "labelled")]
    pub counters: ByLabel<BTreeMap<String, u64>>,
    /// What each counter means, where somebody asked a running gateway.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub texts: BTreeMap<Kind, BTreeMap<String, String>>,
    /// The sessions, and what they hold: of a gateway only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sessions: Vec<SessionReport>,
}

/// Reads counters by kind and name. Reports of versions before kinds are still read, without their
/// counters: whose they were they do not say.
fn labelled<'de, D: serde::Deserializer<'de>>(
    input: D,
) -> Result<ByLabel<BTreeMap<String, u64>>, D::Error> {
    let kinds: BTreeMap<String, serde_json::Value> = Deserialize::deserialize(input)?;
    let read = |(kind, of): (String, serde_json::Value)| {
        let kind = serde_json::from_value(kind.into()).ok()?;
        Some((kind, serde_json::from_value(of).ok()?))
    };
    Ok(kinds.into_iter().filter_map(read).collect())
}

/// Histograms by name: of all stages, or of one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Measured {
    /// Percentiles by histogram.
    pub histograms: BTreeMap<String, Summary>,
    /// The histograms themselves in HdrHistogram's own form (V2, deflated, base64): what other tools
    /// read, and what runs are merged from.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hdr: BTreeMap<String, String>,
}

impl Measured {
    /// Sets a histogram: its percentiles, and itself.
    pub fn set(&mut self, name: &str, histogram: &Histogram<u64>) {
        self.histograms
            .insert(name.to_owned(), Summary::of(histogram));
        // Writing into memory does not fail; without it a reader has the percentiles.
        if let Some(text) = encode(histogram) {
            self.hdr.insert(name.to_owned(), text);
        }
    }

    /// A histogram, whole; `None`: only its percentiles are known, if any.
    #[must_use]
    pub fn histogram(&self, name: &str) -> Option<Histogram<u64>> {
        decode(self.hdr.get(name)?)
    }

    /// Adds another's histograms, as far as it has them whole.
    pub fn add(&mut self, other: &Self) {
        for name in other.histograms.keys() {
            let mut sum = self.histogram(name).unwrap_or_else(empty);
            if let Some(histogram) = other.histogram(name) {
                // All have this project's bounds, so adding cannot fail.
                let _ = sum.add(histogram);
                self.set(name, &sum);
            }
        }
    }
}

/// What a command that measures writes with `--json`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Report {
    /// The program.
    pub tool: String,
    /// Its version.
    pub version: String,
    /// The host.
    pub host: Host,
    /// The runs.
    pub runs: Vec<Run>,
}

/// Facts that a number means nothing without.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Host {
    /// Kernel release.
    pub kernel: String,
    /// CPU model.
    pub cpu: String,
    /// CPUs that the process may use.
    pub cpus: usize,
    /// The kernel's clock source.
    pub clock_source: String,
    /// Whether it is a virtual machine.
    pub is_virtual: bool,
}

impl Host {
    /// This host, asked once: none of it changes, and on some kernels reading what its CPUs are interrupts each of them.
    #[must_use]
    pub fn here() -> Self {
        static HERE: OnceLock<Host> = OnceLock::new();
        HERE.get_or_init(Self::ask).clone()
    }

    fn ask() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let info = read("/proc/cpuinfo");
        let field = |name: &str| {
            let line = info
                .lines()
                .find(|line| line.starts_with(name))
                .unwrap_or_default();
            line.split_once(':')
                .map_or("", |(_, value)| value.trim())
                .to_owned()
        };
        let source = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
        Self {
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            cpu: field("model name"),
            cpus: rt::cpu::allowed().len(),
            clock_source: read(source).trim().to_owned(),
            is_virtual: field("flags").split(' ').any(|flag| flag == "hypervisor"),
        }
    }
}

impl Report {
    /// A report of this host.
    #[must_use]
    pub fn new(tool: &str, runs: Vec<Run>) -> Self {
        Self {
            tool: tool.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            host: Host::here(),
            runs,
        }
    }

    /// Writes the report as one JSON object.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write_json(&self, path: &Path) -> io::Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        std::fs::write(path, text)
    }

    /// Each run's histograms as a table, in the order of the way, and its sessions with their largest positions.
    #[must_use]
    pub fn table(&self, positions_max: usize) -> String {
        let mut out = String::new();
        for run in &self.runs {
            out.push_str(&run.table(positions_max));
            out.push('\n');
        }
        out
    }
}

impl Run {
    /// Sets a histogram of the whole run.
    pub fn set_histogram(&mut self, name: &str, histogram: &Histogram<u64>) {
        self.measured.set(name, histogram);
    }

    /// A histogram of the whole run; `None`: the report holds only percentiles.
    #[must_use]
    pub fn histogram(&self, name: &str) -> Option<Histogram<u64>> {
        self.measured.histogram(name)
    }

    /// A counter; `None`: nobody of that kind and name has it.
    #[must_use]
    pub fn counter(&self, kind: Kind, name: &str, counter: &str) -> Option<u64> {
        let of = self.counters.get(&kind)?.get(name)?;
        of.get(counter).copied()
    }

    /// Histograms as a table, in the order of the way.
    pub(crate) fn latencies(&self) -> Table {
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN);
        table.set_header([
            "ns",
            "count",
            "min",
            "p50",
            "p90",
            "p99",
            "p99.9",
            "max",
            "from -> to",
        ]);
        for (name, meaning) in histograms() {
            // What never happened, like a hole, has no row.
            let Some(s) = self.measured.histograms.get(name).filter(|s| s.count > 0) else {
                continue;
            };
            let mut row = vec![name.to_owned()];
            let values = [s.count, s.min, s.p50, s.p90, s.p99, s.p999, s.max];
            row.extend(values.map(grouped));
            row.push(meaning.to_owned());
            table.add_row(row);
        }
        for column in 1..8 {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table
    }

    /// Histograms as a table, in the order of the way, and sessions with their `positions_max` largest positions.
    #[must_use]
    pub fn table(&self, positions_max: usize) -> String {
        let table = self.latencies();
        let sent = self.sent.map_or_else(|| "unknown".to_owned(), grouped);
        let mut out = format!(
            "{table}\n{}: sent {sent}, received {}, lost {}, orders {}, acks {}\n",
            self.name,
            grouped(self.received),
            self.lost,
            grouped(self.orders),
            grouped(self.acks),
        );
        for session in &self.sessions {
            out.push_str(&session.text(positions_max));
            out.push('\n');
        }
        out
    }
}

/// A histogram in HdrHistogram's own form: V2, deflated, base64.
#[must_use]
pub fn encode(histogram: &Histogram<u64>) -> Option<String> {
    let mut bytes = Vec::new();
    V2DeflateSerializer::new()
        .serialize(histogram, &mut bytes)
        .ok()?;
    Some(BASE64.encode(bytes))
}

/// Reads what [`encode`] wrote.
#[must_use]
pub fn decode(text: &str) -> Option<Histogram<u64>> {
    let bytes = BASE64.decode(text).ok()?;
    let read: Histogram<u64> = Deserializer::new()
        .deserialize(&mut io::Cursor::new(bytes))
        .ok()?;
    // Another program's histogram may have other bounds; ours must take it in.
    let mut histogram = empty();
    histogram.add(&read).ok()?;
    Some(histogram)
}

/// Digits in groups of three, as people read them.
#[must_use]
pub fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Writes one histogram in HdrHistogram's `.hgrm` form, values in ns.
///
/// # Errors
/// What the file system says.
pub fn write_hgrm(histogram: &Histogram<u64>, path: &Path) -> io::Result<()> {
    let mut out = io::BufWriter::new(std::fs::File::create(path)?);
    let total = histogram.len();
    writeln!(
        out,
        "{:>12} {:>14} {:>10} {:>14}\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    )?;
    for step in histogram.iter_quantiles(5) {
        let quantile = step.quantile_iterated_to();
        write!(
            out,
            "{:>12.3} {:>14.12} {:>10}",
            step.value_iterated_to() as f64,
            quantile,
            histogram.count_between(0, step.value_iterated_to()),
        )?;
        if quantile < 1.0 {
            writeln!(out, " {:>14.2}", 1.0 / (1.0 - quantile))?;
        } else {
            writeln!(out)?;
        }
    }
    writeln!(
        out,
        "#[Mean    = {:>12.3}, StdDeviation   = {:>12.3}]",
        histogram.mean(),
        histogram.stdev()
    )?;
    writeln!(
        out,
        "#[Max     = {:>12.3}, Total count    = {total:>12}]",
        histogram.max() as f64
    )?;
    writeln!(
        out,
        "#[Buckets = {:>12}, SubBuckets     = {:>12}]",
        histogram.buckets(),
        rt::histogram::SUB_BUCKETS
    )?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_000), "1,000");
        assert_eq!(grouped(12_345_678), "12,345,678");
    }

    #[test]
    fn report_from_before_kinds_is_read_without_its_counters() {
        let old = serde_json::json!({
            "name": "gateway", "settings": {}, "sent": null, "received": 5, "lost": 0, "orders": 1,
            "acks": 1, "histograms": {}, "counters": { "itch": { "messages": 5 } },
        });
        let run: Run = serde_json::from_value(old).unwrap();
        assert_eq!((run.received, run.counters.len()), (5, 0));
    }

    #[test]
    fn hgrm_ends_with_the_total_and_rises() {
        let mut histogram = empty();
        for value in 1..=10_000 {
            histogram.saturating_record(value);
        }
        let path = std::env::temp_dir().join(format!("tickgate-{}.hgrm", std::process::id()));
        write_hgrm(&histogram, &path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(text.contains("Total count    =        10000]"), "{text}");
        let counts: Vec<u64> = text
            .lines()
            .filter(|line| !line.starts_with('#') && !line.contains("Percentile"))
            .filter_map(|line| line.split_ascii_whitespace().nth(2)?.parse().ok())
            .collect();
        assert!(counts.len() > 10 && counts.is_sorted());
        assert_eq!(counts.last(), Some(&10_000));
    }
}
