//! `tickgate-sim`: the exchange.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::{Parser, Subcommand};
use order_sim::options::Options;
use order_sim::server;
use sd_notify::NotifyState;

/// Rights of others in a file's mode.
const OTHERS: u32 = 0o007;

#[derive(Debug, Parser)]
#[command(name = "tickgate-sim", version, about = "An exchange to trade against")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the exchange until SIGTERM or SIGINT.
    Run {
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Validate the configuration.
    Check {
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
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
    let level = env_logger::Env::default().default_filter_or("info");
    env_logger::Builder::from_env(level)
        .format_timestamp_millis()
        .init();
    let (config, is_run) = match &arguments.command {
        Command::Run { config } => (config, true),
        Command::Check { config } => (config, false),
    };
    let options = match load(config) {
        Ok(options) => options,
        Err(error) => return fail(2, &error),
    };
    let result = if is_run {
        run(options)
    } else {
        probe(&options)
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(1, &error),
    }
}

fn load(path: &Path) -> Result<Options, String> {
    let shown = path.display();
    let mode = std::fs::metadata(path)
        .map_err(|error| format!("{shown}: {error}"))?
        .permissions()
        .mode();
    if mode & OTHERS != 0 {
        return Err(format!(
            "{shown}: mode {:04o}: others may not have access, as it holds passwords (chmod o= {shown})",
            mode & 0o7777
        ));
    }
    let text = std::fs::read_to_string(path).map_err(|error| format!("{shown}: {error}"))?;
    Options::parse(&text).map_err(|error| format!("{shown}: {error}"))
}

fn probe(options: &Options) -> Result<(), String> {
    server::probe(options)
}

fn run(options: Options) -> Result<(), String> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&stop))
            .map_err(|error| format!("signal {signal}: {error}"))?;
    }
    let address = options.address;
    server::run(options, &stop, || {
        log::info!("listening on {address}");
        if let Err(error) = sd_notify::notify(&[NotifyState::Ready]) {
            log::warn!("systemd does not hear us: {error}");
        }
    })
}

fn fail(status: u8, error: &str) -> ExitCode {
    log::error!("{error}");
    ExitCode::from(status)
}
