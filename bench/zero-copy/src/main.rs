//! `tickgate-zero-copy`: zero-copy, proven in a virtual machine.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use lab::command::main_of;
use zero_copy::inside::{self, Extent};
use zero_copy::machine::{self, Outcome};
use zero_copy::parts::Parts;

#[derive(Debug, Parser)]
#[command(
    name = "tickgate-zero-copy",
    version,
    about = "Zero-copy, proven in a virtual machine whose network driver has it"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Boot the machine, and judge what it reports.
    Run {
        /// Where emulator, kernel and busybox are unpacked.
        #[arg(long, value_name = "FOLDER", default_value = "target/unpacked")]
        unpacked: PathBuf,
        /// End the machine after this long.
        #[arg(long, value_name = "SECONDS", default_value_t = 280)]
        seconds_max: u64,
        /// Write the machine's report there.
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
        #[command(flatten)]
        extent: Extent,
    },
    /// What the machine runs.
    #[command(hide = true)]
    Inside {
        /// Write the report there.
        #[arg(long, value_name = "FILE")]
        report: PathBuf,
        #[command(flatten)]
        extent: Extent,
    },
}

fn main() -> ExitCode {
    main_of(
        "tickgate-zero-copy",
        |arguments: &Arguments, stop| match &arguments.command {
            Command::Run {
                unpacked,
                seconds_max,
                json,
                extent,
            } => match machine::parts(unpacked) {
                Ok(parts) => prove(
                    &parts,
                    extent,
                    Duration::from_secs(*seconds_max),
                    json.as_ref(),
                    stop,
                ),
                Err(why) => {
                    skipped(&why);
                    Ok(())
                }
            },
            Command::Inside { report, extent } => {
                inside::write(&inside::prove(extent, stop)?, report)
            }
        },
    )
}

#[expect(clippy::print_stdout, reason = "the report is what it is for")]
fn prove(
    parts: &Parts,
    extent: &Extent,
    at_most: Duration,
    json: Option<&PathBuf>,
    stop: &AtomicBool,
) -> Result<()> {
    println!("booting Linux {}", parts.version);
    let report = match machine::run(parts, &extent.arguments(), at_most, stop)? {
        Outcome::Reported(report) => report,
        Outcome::NotUp(why) => {
            skipped(&why);
            return Ok(());
        }
    };
    println!("{}", report.text());
    if let Some(json) = json {
        inside::write(&report, json).with_context(|| json.display().to_string())?;
    }
    report.check()?;
    println!("zero-copy: well");
    Ok(())
}

fn skipped(why: &str) {
    eprintln!("SKIPPED: zero-copy in a virtual machine: {why}");
}
