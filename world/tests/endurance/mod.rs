//! What a program takes and tells over time, looked at every few seconds; and what may be said of it in the end.

pub(crate) mod picture;
pub(crate) mod verdict;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use serde_json::Value;

/// One look.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Sample {
    /// Seconds since the first look.
    pub(crate) at_s: f64,
    /// Resident memory, and what of it lies in huge pages, KiB.
    pub(crate) memory_kib: u64,
    pub(crate) huge_kib: u64,
    pub(crate) files: u64,
    /// By thread: how often the kernel took it off its CPU, because it waited or because another's turn had come.
    pub(crate) switches: BTreeMap<String, u64>,
    pub(crate) journal_bytes: u64,
    /// `KIND.LABEL.NAME`, as the gateway's report has them.
    pub(crate) counters: BTreeMap<String, u64>,
    /// By histogram, since the start: p50, p99, p99.9, ns.
    pub(crate) latency_ns: BTreeMap<String, [u64; 3]>,
}

impl Sample {
    /// Of a running process, and of what it said to `ctl report` and `ctl status`. `None`: it is gone.
    pub(crate) fn take(at_s: f64, pid: u32, journals: &Path, said: [&Value; 2]) -> Option<Self> {
        let process = Path::new("/proc").join(pid.to_string());
        let memory = fs::read_to_string(process.join("smaps_rollup")).ok()?;
        let huge = ["AnonHugePages:", "Private_Hugetlb:", "Shared_Hugetlb:"];
        let mut sample = Self {
            at_s,
            memory_kib: number_after(&memory, "Rss:"),
            huge_kib: huge.iter().map(|name| number_after(&memory, name)).sum(),
            files: fs::read_dir(process.join("fd")).ok()?.count() as u64,
            journal_bytes: bytes_in(journals),
            ..Self::default()
        };
        for task in fs::read_dir(process.join("task")).ok()?.flatten() {
            let status = fs::read_to_string(task.path().join("status")).unwrap_or_default();
            let name = status.lines().next().unwrap_or_default();
            let name = name.trim_start_matches("Name:").trim();
            let switches = number_after(&status, "\nvoluntary_ctxt_switches:")
                + number_after(&status, "nonvoluntary_ctxt_switches:");
            *sample.switches.entry(name.to_owned()).or_default() += switches;
        }
        let [report, status] = said;
        sample.hear(report);
        sample.hear_status(status);
        Some(sample)
    }

    fn hear(&mut self, report: &Value) {
        for (kind, of_kind) in report["counters"].as_object().into_iter().flatten() {
            for (label, counters) in of_kind.as_object().into_iter().flatten() {
                for (name, count) in counters.as_object().into_iter().flatten() {
                    let count = count.as_u64().unwrap_or_default();
                    self.counters
                        .insert(format!("{kind}.{label}.{name}"), count);
                }
            }
        }
        for (name, of) in report["histograms"].as_object().into_iter().flatten() {
            let at = |which: &str| of[which].as_u64().unwrap_or_default();
            let three = ["p50", "p99", "p999"].map(at);
            self.latency_ns.insert(name.clone(), three);
        }
    }

    /// Turns of cores, and what is stale: a report does not have them.
    fn hear_status(&mut self, status: &Value) {
        let rows = |name: &str| status[name].as_array().into_iter().flatten();
        let mut set = |kind: &str, row: &Value, name: &str, value: u64| {
            let label = row["name"].as_str().unwrap_or_default();
            self.counters
                .insert(format!("{kind}.{label}.{name}"), value);
        };
        for core in rows("cores") {
            let turns = core["turns"].as_u64().unwrap_or_default();
            set("core", core, "turns", turns);
        }
        for feed in rows("feeds") {
            set("feed", feed, "stale", u64::from(feed["is_fresh"] != true));
            let symbols = feed["stale_symbols"].as_u64().unwrap_or(1);
            set("feed", feed, "stale_symbols", symbols);
        }
    }

    /// The sum of a counter over all that have one of this kind and name.
    pub(crate) fn sum(&self, kind: &str, name: &str) -> u64 {
        let of = |key: &String| {
            let mut parts = key.splitn(2, '.');
            parts.next() == Some(kind) && key.rsplit('.').next() == Some(name)
        };
        let counters = self.counters.iter();
        counters.filter(|(key, _)| of(key)).map(|(_, n)| n).sum()
    }
}

/// The number that follows these words; 0 without them.
fn number_after(text: &str, words: &str) -> u64 {
    let rest = text.split_once(words).map(|(_, rest)| rest);
    let word = rest.and_then(|rest| rest.split_ascii_whitespace().next());
    word.and_then(|word| word.parse().ok()).unwrap_or_default()
}

fn bytes_in(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.metadata().ok())
        .map(|about| about.len())
        .sum()
}

/// A line for each look and a column for each thing, those that never change left out.
pub(crate) fn csv(samples: &[Sample]) -> String {
    let rows: Vec<BTreeMap<String, u64>> = samples.iter().map(row).collect();
    let mut columns: Vec<&String> = rows.iter().flat_map(BTreeMap::keys).collect();
    columns.sort();
    columns.dedup();
    columns.retain(|column| {
        rows.iter()
            .any(|row| row.get(*column) != rows[0].get(*column))
    });
    let mut text = String::from("seconds");
    for column in &columns {
        write!(text, ",{column}").expect("memory");
    }
    for (sample, row) in samples.iter().zip(&rows) {
        write!(text, "\n{:.1}", sample.at_s).expect("memory");
        for column in &columns {
            let value = row.get(*column).copied().unwrap_or_default();
            write!(text, ",{value}").expect("memory");
        }
    }
    text.push('\n');
    text
}

fn row(sample: &Sample) -> BTreeMap<String, u64> {
    let mut row = sample.counters.clone();
    for (thread, count) in &sample.switches {
        row.insert(format!("switches.{thread}"), *count);
    }
    for (name, three) in &sample.latency_ns {
        for (which, value) in ["p50", "p99", "p999"].iter().zip(three) {
            row.insert(format!("latency_ns.{name}.{which}"), *value);
        }
    }
    row.insert("memory_kib".to_owned(), sample.memory_kib);
    row.insert("huge_kib".to_owned(), sample.huge_kib);
    row.insert("files".to_owned(), sample.files);
    row.insert("threads".to_owned(), sample.switches.len() as u64);
    row.insert("journal_bytes".to_owned(), sample.journal_bytes);
    row
}
