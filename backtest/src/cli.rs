//! The command line of a backtest, for the strategies that come with Tickgate and for those of a user's crate.
//!
//! `tickgate backtest` runs it as a program of its own, so that what trades has no exchange in it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{ArgGroup, CommandFactory, Parser};
use gateway::cli::{Factory, Parameters};
use indicatif::{ProgressBar, ProgressStyle};

use crate::columns::Files;
use crate::latency::Latency;
use crate::ledger::Outcome;
use crate::market::Market;
use crate::page;
use crate::run_all;
use crate::setup::Setup;
use crate::shown;

/// The run failed.
const FAILED: u8 = 1;
/// Wrong usage or configuration.
const WRONG_USAGE: u8 = 2;
/// Messages of an agents' market, unless it is said.
const MESSAGES: u64 = 1_000_000;

/// A strategy against a recorded day or the agents' market, in simulated time.
///
/// Strategy, risk and order code are those of `tickgate run`. The same market, strategies and latencies have the same result, hash
/// included. Without a configuration the quoter trades up to 256 symbols. docs/backtest.md
#[derive(Debug, Parser)]
#[command(name = "tickgate-backtest", bin_name = "tickgate backtest", version)]
#[command(group(ArgGroup::new("market").required(true).args(["file", "day", "seed", "manual"])))]
struct Arguments {
    /// The recorded day: BinaryFILE of ITCH 5.0, plain or packed by gzip.
    #[arg(value_name = "DAY")]
    file: Option<PathBuf>,
    /// The same.
    #[arg(long, value_name = "DAY")]
    day: Option<PathBuf>,
    /// The agents' market of this seed instead of a day.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// The agents' market is over after this many messages [default: 1000000].
    #[arg(long, value_name = "N", requires = "seed")]
    messages: Option<u64>,
    /// The configuration with strategies, symbols and limits: one feed, one session.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set one value, after all files.
    #[arg(long = "set", value_name = "KEY=VALUE", requires = "config")]
    sets: Vec<String>,
    /// How far away the exchange is: 5us, or feed=2us,orders=orders.hgrm,answers=5us,seed=1; a time, or of a way that is named a
    /// .hgrm file or the .json report of `tickgate-bench latency`.
    #[arg(long, value_name = "MODEL", default_value = "5us")]
    latency: String,
    /// Write the outcome there, every fill included.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write a page with plots there: one file, without network or script.
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
    /// Write orders.parquet and fills.parquet into this folder.
    #[arg(long, value_name = "FOLDER")]
    parquet: Option<PathBuf>,
    /// Write man page and completions below this folder.
    #[arg(long, value_name = "FOLDER", hide = true, exclusive = true)]
    manual: Option<PathBuf>,
}

/// Runs the command line of this process.
#[must_use]
pub fn run(factory: Factory) -> ExitCode {
    let arguments = Arguments::parse();
    let level = env_logger::Env::default().default_filter_or("warn");
    env_logger::Builder::from_env(level).init();
    if let Some(folder) = &arguments.manual {
        let written = tickgate_manual::write(&Arguments::command(), folder);
        return match written {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(FAILED, &format!("{}: {error}", folder.display())),
        };
    }
    let setup = match setup(&arguments, factory) {
        Ok(setup) => setup,
        Err(error) => return fail(WRONG_USAGE, &error),
    };
    match live(&arguments, setup) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(FAILED, &error),
    }
}

fn fail(status: u8, error: &str) -> ExitCode {
    log::error!("{error}");
    ExitCode::from(status)
}

fn setup(arguments: &Arguments, factory: Factory) -> Result<Setup, String> {
    let latency = Latency::parse(&arguments.latency).map_err(|it| format!("--latency: {it}"))?;
    let Some(config) = &arguments.config else {
        let quoter = factory("quoter", &Parameters::default())?;
        return Ok(Setup::of_one_by_prices(quoter, latency));
    };
    let options = gateway::cli::options_of(config.clone(), arguments.sets.clone(), factory)?;
    Setup::of_options(options, latency)
}

fn live(arguments: &Arguments, setup: Setup) -> Result<(), String> {
    let day = arguments.day.as_ref().or(arguments.file.as_ref());
    let (market, bar) = match (day, arguments.seed) {
        (Some(day), _) => (Market::open(day)?, bar(None)),
        (None, seed) => {
            let messages = arguments.messages.unwrap_or(MESSAGES);
            let seed = seed.unwrap_or_default();
            (Market::Agents { seed, messages }, bar(Some(messages)))
        }
    };
    // A long run is not for a folder that refuses its result.
    let files = match &arguments.parquet {
        None => None,
        Some(folder) => Some(Files::begin(folder).map_err(|error| told(folder, &error))?),
    };
    let began_ns = rt::clock::monotonic_ns();
    let outcome = run_all(market, setup, |messages| bar.set_position(messages));
    bar.finish_and_clear();
    let outcome = outcome?;
    let took_ns = rt::clock::monotonic_ns().saturating_sub(began_ns);
    // The outcome is what it is whether anybody reads this or not. First, so that a file that cannot be written does not take it along.
    let _ = write!(io::stdout(), "{}", shown::text(&outcome, took_ns));
    if !outcome.troubles.is_empty() || !outcome.unnamed.is_empty() {
        log::warn!("the outcome may not be what it seems: its table of trouble says why");
    }
    write(arguments, files, &outcome)
}

/// Every file that was asked for.
fn write(arguments: &Arguments, files: Option<Files>, outcome: &Outcome) -> Result<(), String> {
    if let Some(path) = &arguments.json {
        write_json(outcome, path).map_err(|error| told(path, &error))?;
    }
    if let Some(path) = &arguments.page {
        let page = page::html(outcome)?;
        std::fs::write(path, page).map_err(|error| told(path, &error))?;
    }
    if let (Some(folder), Some(files)) = (&arguments.parquet, files) {
        files.write(outcome).map_err(|error| told(folder, &error))?;
    }
    Ok(())
}

fn told(path: &Path, error: &io::Error) -> String {
    format!("{}: {error}", path.display())
}

fn write_json(outcome: &Outcome, path: &Path) -> io::Result<()> {
    let text = serde_json::to_string_pretty(&shown::json(outcome))?;
    std::fs::write(path, text + "\n")
}

/// How far it is, of all messages if their number is known.
fn bar(messages: Option<u64>) -> ProgressBar {
    let template = match messages {
        Some(_) => "{pos} of {len} messages, {eta} left {wide_bar}",
        None => "{spinner} {human_pos} messages, {per_sec}",
    };
    let style = ProgressStyle::with_template(template);
    let bar = messages.map_or_else(ProgressBar::no_length, ProgressBar::new);
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
