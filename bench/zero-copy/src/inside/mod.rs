//! Inside the machine: frames by the gateway's own sockets, then the main job, on cards that grant zero-copy and on cards that
//! refuse it.
//!
//! Must not know: the host, but for its report, which the first process hands out.

pub mod frames;
pub mod job;

use std::path::Path;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use clap::ValueEnum;
use gateway::telemetry::Host;

use crate::cards::{Kind, QUEUES};
use crate::report::Report;

/// How much is proven.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub struct Extent {
    /// Frames through cards that grant zero-copy.
    #[arg(long, default_value_t = 1_000_000)]
    pub frames: u64,
    /// Frames of each of the other runs: busy polling, and cards that copy.
    #[arg(long, default_value_t = 100_000)]
    pub frames_beside: u64,
    /// Messages of each replayed day.
    #[arg(long, default_value_t = 20_000)]
    pub messages: u64,
    /// Cards of one kind alone; without it, of both.
    #[arg(long, value_enum)]
    pub only: Option<Kind>,
}

impl Extent {
    /// As the command inside is told it.
    #[must_use]
    pub fn arguments(&self) -> String {
        let only = self.only.map_or_else(String::new, |kind| {
            let value = kind.to_possible_value();
            value.map_or_else(String::new, |value| format!(" --only {}", value.get_name()))
        });
        format!(
            "--frames {} --frames-beside {} --messages {}{only}",
            self.frames, self.frames_beside, self.messages
        )
    }
}

/// Busy polling of a queue, µs, where it is on.
const BUSY_POLL_US: u32 = 20;

/// Runs everything, and reports what was seen, whether it is well or not.
///
/// # Errors
/// Something could not be run at all.
pub fn prove(extent: &Extent, stop: &AtomicBool) -> Result<Report> {
    let mut report = Report {
        host: Some(Host::here()),
        queues: QUEUES,
        ..Report::default()
    };
    let is_asked = |kind: &Kind| extent.only.is_none_or(|only| only == *kind);
    let runs = [
        (Kind::ZeroCopy, 0, extent.frames),
        (Kind::ZeroCopy, BUSY_POLL_US, extent.frames_beside),
        (Kind::Copy, 0, extent.frames_beside),
    ];
    for (kind, busy_poll_us, frames) in runs.into_iter().filter(|(kind, ..)| is_asked(kind)) {
        let plan = frames::Plan {
            kind,
            busy_poll_us,
            frames,
        };
        let run = frames::run(&plan, stop).with_context(|| format!("frames, {plan:?}"))?;
        eprintln!("frames: {run}");
        report.frames.push(run);
    }
    for kind in Kind::ALL.into_iter().filter(is_asked) {
        let jobs =
            job::run(kind, extent.messages, stop).with_context(|| format!("the job, {kind:?}"))?;
        report.jobs.extend(jobs);
    }
    Ok(report)
}

/// Writes a report.
///
/// # Errors
/// What the file system says.
pub fn write(report: &Report, path: &Path) -> Result<()> {
    let text = serde_json::to_string(report)?;
    std::fs::write(path, text).with_context(|| path.display().to_string())
}
