//! The report as HdrHistogram's files: `.hgrm` and interval logs.

use std::io;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use gateway::telemetry::{Label, Measured};
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::IntervalLogWriterBuilder;

use crate::model::Report;

/// Writes each run's histograms as `RUN.HISTOGRAM.hgrm`, those of each of several stages as
/// `RUN.KIND.STAGE.HISTOGRAM.hgrm`, and its course as `RUN.hlog`.
///
/// # Errors
/// What the file system says.
pub fn write_histograms(report: &Report, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    for entry in &report.runs {
        let name: String = entry
            .run
            .name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
            .collect();
        let mut bytes = Vec::new();
        let mut serializer = V2DeflateSerializer::new();
        let mut log = IntervalLogWriterBuilder::new()
            .add_comment("wire_to_wire of the first round, ns, in tenths of a second")
            .begin_log_with(&mut bytes, &mut serializer)?;
        write_measured(&entry.run.measured, folder, &name)?;
        for (kind, stages) in &entry.run.stages {
            for (stage, measured) in stages {
                let label = Label::new(*kind, stage).file_stem();
                write_measured(measured, folder, &format!("{name}.{label}"))?;
            }
        }
        for sample in &entry.series {
            let Some(histogram) = sample.histogram() else {
                continue;
            };
            let start = Duration::from_millis(sample.at_ms);
            log.write_histogram(&histogram, start, Duration::from_millis(100), None)
                .map_err(|error| io::Error::other(format!("{error:?}")))?;
        }
        let path = folder.join(format!("{name}.hlog"));
        std::fs::write(&path, bytes).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// Writes each histogram as `PREFIX.HISTOGRAM.hgrm`.
fn write_measured(measured: &Measured, folder: &Path, prefix: &str) -> Result<()> {
    for name in measured.histograms.keys() {
        let Some(histogram) = measured.histogram(name) else {
            continue;
        };
        let path = folder.join(format!("{prefix}.{name}.hgrm"));
        gateway::telemetry::write_hgrm(&histogram, &path)
            .with_context(|| path.display().to_string())?;
    }
    Ok(())
}
