//! What a report holds: runs, aims, growth, floods; and its JSON.

use anyhow::{Context, Result};
use gateway::telemetry::Host;
use serde::{Deserialize, Serialize};

use crate::entry::Entry;

/// What the laboratory writes with `--json`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Report {
    /// The program.
    pub tool: String,
    /// Its version.
    pub version: String,
    /// The host.
    pub host: Host,
    /// One entry for each candidate under each load, all its rounds merged.
    pub runs: Vec<Entry>,
    /// Peers that could not run, with what is missing.
    #[serde(default)]
    pub skipped: Vec<String>,
    /// What the names of floor and peers mean.
    #[serde(default)]
    pub words: Vec<Word>,
    /// Aims, what was measured, and whether it is enough.
    #[serde(default)]
    pub aims: Vec<Aim>,
    /// How `tick_to_order` grows with what the gateway has to do.
    #[serde(default)]
    pub growth: Vec<Point>,
    /// Receivers under a flood.
    #[serde(default)]
    pub floods: Vec<Flood>,
    /// Latency over the rate.
    #[serde(default)]
    pub sweep: Vec<RatePoint>,
}

/// A name in the report, explained.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Word {
    /// The name.
    pub name: String,
    /// What it means.
    pub meaning: String,
}

impl Report {
    /// An empty report of this host.
    #[must_use]
    pub fn new(tool: &str) -> Self {
        Self {
            tool: tool.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            host: Host::here(),
            runs: Vec::new(),
            skipped: Vec::new(),
            words: Vec::new(),
            aims: Vec::new(),
            growth: Vec::new(),
            floods: Vec::new(),
            sweep: Vec::new(),
        }
    }

    /// The entry of a name.
    #[must_use]
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.runs.iter().find(|entry| entry.run.name == name)
    }

    /// Writes the report as one JSON object.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write_json(&self, path: &std::path::Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        std::fs::write(path, text + "\n").with_context(|| path.display().to_string())
    }

    /// Reads one.
    ///
    /// # Errors
    /// The file is not there, or is no report.
    pub fn read(path: &std::path::Path) -> Result<Self> {
        let shown = || path.display().to_string();
        let text = std::fs::read_to_string(path).with_context(shown)?;
        serde_json::from_str(&text)
            .with_context(|| format!("{}: not a report of tickgate-bench latency", path.display()))
    }
}

/// What one receiver took.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Flood {
    /// The receiver.
    pub name: String,
    /// Messages in a packet.
    pub pack: u16,
    /// Packets sent, and a second.
    pub sent: u64,
    /// Packets a second that were sent.
    pub sent_per_second: f64,
    /// Packets received, and a second.
    pub received: u64,
    /// Packets a second that were received.
    pub received_per_second: f64,
}

/// One candidate at one rate: medians over rounds, ns; `None`: it does not measure that.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct RatePoint {
    /// The candidate.
    pub name: String,
    /// Packets a second.
    pub rate: f64,
    /// `tick_to_order`, p50.
    pub tick_to_order_p50: Option<f64>,
    /// `tick_to_order`, p99.
    pub tick_to_order_p99: Option<f64>,
    /// `wire_to_wire`, p50.
    pub wire_to_wire_p50: Option<f64>,
    /// `wire_to_wire`, p99.
    pub wire_to_wire_p99: Option<f64>,
}

/// One size of one dimension.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Point {
    /// `symbols`, `strategies` or `live orders`.
    pub what: String,
    /// How many.
    pub size: u64,
    /// `tick_to_order`, median over rounds of the median, ns.
    pub tick_to_order_p50: f64,
    /// Against the smallest size of this dimension.
    pub ratio: f64,
}

/// One aim.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Aim {
    /// What is compared with what.
    pub what: String,
    /// At most (or, with `is_at_least`, at least) this.
    pub aim: f64,
    /// The aim is a lower bound.
    pub is_at_least: bool,
    /// What was measured; `None`: it could not be.
    pub measured: Option<f64>,
    /// The unit of both.
    pub unit: String,
    /// The figures behind it.
    pub note: String,
}

impl Aim {
    /// An upper bound of a ratio.
    #[must_use]
    pub fn at_most(what: &str, aim: f64, measured: Option<f64>, note: String) -> Self {
        Self {
            what: what.to_owned(),
            aim,
            is_at_least: false,
            measured,
            unit: "x".to_owned(),
            note,
        }
    }

    /// `met`, `missed`, or `not measured`.
    #[must_use]
    pub fn verdict(&self) -> &'static str {
        match self.measured {
            None => "not measured",
            Some(measured) if self.is_at_least && measured >= self.aim => "met",
            Some(measured) if !self.is_at_least && measured <= self.aim => "met",
            Some(_) => "missed",
        }
    }
}
