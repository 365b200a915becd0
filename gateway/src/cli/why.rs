//! `tickgate why`: why orders were slow.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::trace::{explain, file};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// What the recorder wrote (`telemetry.slow_orders`).
    file: PathBuf,
    /// Orders faster than this are not slow, µs.
    #[arg(long, default_value_t = 10.0)]
    over_us: f64,
    /// Print the whole trace of this many of the slowest.
    #[arg(long, alias = "stories", default_value_t = 3)]
    traces: usize,
}

#[expect(clippy::print_stdout, reason = "what this command prints")]
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let record = match file::read(&arguments.file) {
        Ok(record) => record,
        Err(error) => {
            let text = format!("{}: {error}", arguments.file.display());
            return super::fail(super::FAILED, &text);
        }
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "microseconds of a command line"
    )]
    let over_ns = (arguments.over_us.max(0.0) * 1000.0) as u64;
    let told = explain::explain(&record, over_ns, arguments.traces);
    println!("{told}");
    ExitCode::SUCCESS
}
