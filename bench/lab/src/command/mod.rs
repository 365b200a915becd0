//! The commands of `tickgate-lab`, one file each, and what every command of the bench shares.

pub mod demo;
pub mod generate;
pub mod replay;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use gateway::telemetry::Host;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

/// What `tickgate-lab` can do, and `tickgate-bench` beside its own.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// The main job on one machine: namespaces, exchange, gateway, replay, table.
    Demo(demo::Arguments),
    /// Send a feed from a file.
    Replay(replay::Arguments),
    /// Write a synthetic day.
    Generate(generate::Arguments),
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// What failed, or a check that did not hold.
    pub fn run(&self, stop: &AtomicBool) -> Result<()> {
        match self {
            Self::Demo(arguments) => demo::run(arguments, stop),
            Self::Replay(arguments) => replay::run(arguments, stop),
            Self::Generate(arguments) => generate::run(arguments),
        }
    }
}

/// The whole of `main`: reads the command line, hands it over with a flag that SIGINT and SIGTERM set,
/// and turns what became of it into an exit status (0: done, 1: failed, 2: wrong usage).
#[must_use]
pub fn main_of<A: Parser>(
    program: &str,
    run: impl FnOnce(&A, &AtomicBool) -> Result<()>,
) -> ExitCode {
    let arguments = match A::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let is_error = error.use_stderr();
            let _ = error.print();
            return if is_error {
                ExitCode::from(2)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // Failing means that Ctrl-C ends the process at once; the next lab cleans up.
        let _ = signal_hook::flag::register(signal, Arc::clone(&stop));
    }
    match run(&arguments, &stop) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{program}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// A progress bar; none with `quiet`.
#[must_use]
pub fn progress(quiet: bool, template: &str) -> ProgressBar {
    if quiet {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(template);
    ProgressBar::no_length().with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Writes what a command did as JSON, in the form of a report.
///
/// # Errors
/// What the file system says.
pub fn write_json(path: Option<&Path>, tool: &str, run: Value) -> Result<()> {
    let Some(path) = path else { return Ok(()) };
    let report = json!({
        "tool": tool, "version": env!("CARGO_PKG_VERSION"), "host": Host::here(), "runs": [run],
    });
    let text = serde_json::to_string_pretty(&report)?;
    std::fs::write(path, text + "\n").with_context(|| path.display().to_string())
}
