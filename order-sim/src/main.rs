//! `tickgate-sim`: the exchange.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::{CommandFactory, Parser, Subcommand};
use order_sim::file;
use order_sim::server::{self, Options};
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
    /// Ask a running exchange what it has counted.
    Status {
        /// Its configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// As one JSON object.
        #[arg(long)]
        json: bool,
        /// What each account has open and has traded, instead of the figures of the whole. At most 10,000
        /// orders and as many positions; what is left off is counted.
        #[arg(long)]
        accounts: bool,
        /// Of this account alone.
        #[arg(long, value_name = "NAME", requires = "accounts")]
        account: Option<String>,
        /// Its orders behind this reference number: how to read on.
        #[arg(long, value_name = "USER_REF", requires = "account")]
        after: Option<u32>,
    },
    /// Give a running exchange a command: halt SYMBOL, resume SYMBOL, bust MATCH, end-day, or
    /// fault 'on = "line_a"; do = "drop"; at_s = 0; for_s = 5'.
    Ctl {
        /// Its configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// The command.
        #[arg(required = true)]
        command: Vec<String>,
    },
    /// Validate the configuration.
    Check {
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Write man pages and shell completions below a folder, as below a prefix: share/man/man1 and so on.
    Manual {
        /// Where to write.
        #[arg(value_name = "FOLDER")]
        folder: PathBuf,
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
    let mut lines = env_logger::Builder::from_env(level);
    tickgate_log::begin(lines.format_timestamp_millis().build(), "tickgate-sim");
    let config = match &arguments.command {
        Command::Run { config } | Command::Check { config } => config,
        Command::Status { config, .. } | Command::Ctl { config, .. } => config,
        Command::Manual { folder } => {
            return match tickgate_manual::write(&Arguments::command(), folder) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => fail(1, &format!("{}: {error}", folder.display())),
            };
        }
    };
    let options = match load(config) {
        Ok(options) => options,
        Err(error) => return fail(2, &error),
    };
    let result = match &arguments.command {
        Command::Run { .. } => run(options),
        Command::Check { .. } => server::probe(&options),
        Command::Status {
            json,
            accounts: true,
            account,
            after,
            ..
        } => {
            let name = account.as_deref().unwrap_or_default();
            let after = after.unwrap_or_default();
            let command = format!("accounts {name} {after}");
            let command = if name.is_empty() {
                "accounts"
            } else {
                &command
            };
            ask(&options, command).map(|answer| show_accounts(&answer, *json))
        }
        Command::Status { json, .. } => ask(&options, "status").map(|answer| show(&answer, *json)),
        Command::Manual { .. } => Ok(()),
        Command::Ctl { command, .. } => {
            ask(&options, &command.join(" ")).map(|answer| show(&answer, true))
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(1, &error),
    }
}

/// Sends a command to a running exchange; its answer.
fn ask(options: &Options, command: &str) -> Result<serde_json::Value, String> {
    let path = options
        .control
        .as_ref()
        .ok_or("the configuration has no control socket")?;
    let told = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut stream = UnixStream::connect(path).map_err(told)?;
    stream.write_all(command.as_bytes()).map_err(told)?;
    let mut text = String::new();
    stream.read_to_string(&mut text).map_err(told)?;
    let answer: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| error.to_string())?;
    match answer.get("error").and_then(serde_json::Value::as_str) {
        Some(error) => Err(error.to_owned()),
        None => Ok(answer),
    }
}

/// Prints an answer: as JSON, or a line for each figure.
#[expect(clippy::print_stdout, reason = "it is what was asked for")]
fn show(answer: &serde_json::Value, is_json: bool) {
    if is_json {
        return println!("{answer}");
    }
    for (name, value) in answer.as_object().into_iter().flatten() {
        match value.as_object() {
            Some(group) => {
                for (counter, value) in group.iter().filter(|(_, value)| **value != 0) {
                    println!("{name:16} {counter:24} {value}");
                }
            }
            None if value.is_array() || value.is_null() => {}
            None => println!("{name:41} {value}"),
        }
    }
}

/// Prints accounts: as JSON, or a block of lines for each.
#[expect(clippy::print_stdout, reason = "it is what was asked for")]
fn show_accounts(answer: &serde_json::Value, is_json: bool) {
    if is_json {
        return println!("{answer}");
    }
    let list = |of: &serde_json::Value, name: &str| {
        let list = of.get(name).and_then(serde_json::Value::as_array);
        list.cloned().unwrap_or_default()
    };
    let row = |of: &serde_json::Value| {
        let fields = of.as_object().into_iter().flatten();
        let shown = fields.filter(|(_, value)| !value.is_array());
        let shown = shown.map(|(name, value)| match value.as_str() {
            Some(text) => format!("{name} {text}"),
            None => format!("{name} {value}"),
        });
        shown.collect::<Vec<_>>().join("  ")
    };
    for account in list(answer, "accounts") {
        println!("{}", row(&account));
        for (kind, rows) in [("order", "orders"), ("position", "positions")] {
            for of in list(&account, rows) {
                println!("  {kind:9} {}", row(&of));
            }
        }
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
    file::parse(&text).map_err(|error| format!("{shown}: {error}"))
}

fn run(options: Options) -> Result<(), String> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&stop))
            .map_err(|error| format!("signal {signal}: {error}"))?;
    }
    // A file that may not grow further (`ulimit -f`) is an error of that write, not the end of the exchange.
    let is_noted = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGXFSZ, is_noted)
        .map_err(|error| format!("SIGXFSZ: {error}"))?;
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
