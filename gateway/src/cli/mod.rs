//! The command line, the same for every build of the gateway: `run`, `check`, `schema`, `manual`, `ctl`, `top`, `metrics`,
//! `mqtt`, `fleet`, `kill`, `resume`, `doctor`, `journal`, `replay`, `why`, `backtest`.
//!
//! The one module of this library that knows configuration files.

mod backtest;
mod ctl;
mod doctor;
mod from_settings;
mod journal;
mod look;
pub mod metrics;
#[cfg(feature = "mqtt")]
pub mod mqtt;
#[cfg(test)]
pub(crate) mod of_text;
mod password;
mod reload;
mod replay;
mod risk;
mod systemd;
mod top;
mod why;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use tickgate_config::{Layers, Loaded, LogLevel};

pub use tickgate_config::Parameters;

use crate::control::server::{ControlOptions, Door};
use crate::options::Options;
use crate::order::risk::KillCause;
use crate::service::sandbox::{Mode, policy::Policy};
use crate::service::{self, KillFile, StopHandle};
use crate::strategy::{Probe, Quoter, Strategy};

use reload::Reader;

/// Exit status of a failure, or a check that did not hold.
const FAILED: u8 = 1;
/// Exit status of wrong usage or configuration.
const WRONG_USAGE: u8 = 2;

/// Makes the strategy of a `kind` with its parameters, or says what would be right.
pub type Factory = fn(&str, &Parameters) -> Result<Box<dyn Strategy>, String>;

/// The strategies that come with Tickgate, by their `kind`.
///
/// # Errors
/// An unknown kind, or parameters that make no sense; what would be right is in the text.
pub fn built_in(kind: &str, parameters: &Parameters) -> Result<Box<dyn Strategy>, String> {
    match kind {
        "probe" => Ok(Box::new(Probe::new(&parameters.read()?)?)),
        "quoter" => Ok(Box::new(Quoter::new(&parameters.read()?)?)),
        other => Err(format!(
            "unknown kind \"{other}\", expected \"probe\" or \"quoter\""
        )),
    }
}

#[derive(Debug, Parser)]
#[command(name = "tickgate", version, about = "A low-latency trading gateway")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway until SIGTERM or SIGINT.
    ///
    /// SIGUSR1 prints the table of latencies, SIGUSR2 turns the kill switch on, SIGHUP reads the configuration again (`ctl reload`).
    Run {
        #[command(flatten)]
        source: Source,
    },
    /// Validate the configuration and print the result, with where each value came from; warns of what is slow.
    Check {
        #[command(flatten)]
        source: Source,
    },
    /// Print the JSON Schema of configuration files, for editors.
    Schema,
    /// Write man pages and shell completions below a folder, as below a prefix: share/man/man1 and so on.
    Manual {
        /// Where to write.
        #[arg(value_name = "FOLDER")]
        folder: PathBuf,
    },
    /// Write a reference page of the guide, Markdown.
    #[command(hide = true)]
    Reference {
        /// What of.
        what: What,
    },
    /// Look at a running gateway, and steer it, through its control socket.
    Ctl(ctl::Arguments),
    /// A running gateway as it moves: latencies, feeds, sessions, orders, risk, cores. Keys pause a strategy and stop trading.
    Top(top::Arguments),
    /// What Prometheus scrapes, over HTTP: asks the running gateway for each scrape, and has no part in its process.
    Metrics(metrics::Arguments),
    /// Publishes a running gateway by MQTT: status, alerts, histograms, counters, orders, fills; takes signed commands.
    ///
    /// A process of its own, which asks the gateway at its control socket and reads its journal. docs/mqtt.md has the topics.
    #[cfg(feature = "mqtt")]
    Mqtt(mqtt::Arguments),
    /// Many gateways in one view: their latencies added up exactly, from what they publish by MQTT.
    #[cfg(feature = "mqtt")]
    Fleet(mqtt::fleet::Arguments),
    /// Stop trading: no order goes out, open ones are cancelled; also after a restart, until `resume`.
    ///
    /// Works through the state folder, so the configuration must name the running gateway's.
    Kill {
        #[command(flatten)]
        source: Source,
        /// A word to whoever finds it killed.
        #[arg(long, value_name = "TEXT", default_value = "")]
        why: String,
    },
    /// Trade again, whoever or whatever has stopped it.
    Resume {
        #[command(flatten)]
        source: Source,
    },
    /// Is this host fit? Each check with what was found, what is wanted, why, and how.
    ///
    /// Status 1: something fails, or with --strict costs latency. docs/host.md has every check.
    Doctor(doctor::Arguments),
    /// What a run decided, sent, heard and was told: prints the journal, a record a line.
    ///
    /// Status 1: a journal is damaged, or its tail is torn.
    Journal(journal::Arguments),
    /// A run again, bit for bit: feeds the same stages and strategies from its journal and its captures, and compares each
    /// decision.
    ///
    /// Status 1: a record differs, or something is missing.
    Replay(replay::Arguments),
    /// Why orders were slow: reads what the slow-order recorder wrote.
    Why(why::Arguments),
    /// A strategy against a recorded day or the agents' market, in simulated time: runs `tickgate-backtest`, which stands beside
    /// this program; `tickgate backtest --help` has its options.
    #[command(disable_help_flag = true)]
    Backtest(backtest::Arguments),
}

/// What has a reference.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    Configuration,
    Metrics,
}

#[derive(Debug, clap::Args)]
struct Source {
    /// The configuration file; conf.d/*.toml beside it is read too.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Set one value, after all files: --set rings.events=1024.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
}

#[derive(Debug, clap::Args)]
struct OptionalSource {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set one value, after all files.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
}

/// Runs the command line of this process.
#[must_use]
pub fn run(factory: Factory) -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return not_run(&error),
    };
    begin_log();
    match arguments.command {
        Command::Run { source } => start(source, factory),
        Command::Check { source } => with_settings(Some(source.config), source.sets, |loaded| {
            check(loaded, factory)
        }),
        Command::Schema => print_schema(),
        Command::Reference { what } => print_reference(what),
        Command::Manual { folder } => write_manual(&folder),
        Command::Ctl(arguments) => ctl::run(arguments),
        Command::Top(arguments) => top::run(arguments),
        Command::Metrics(arguments) => metrics::run(arguments),
        #[cfg(feature = "mqtt")]
        Command::Mqtt(arguments) => mqtt::run(&arguments),
        #[cfg(feature = "mqtt")]
        Command::Fleet(arguments) => mqtt::fleet::run(&arguments),
        Command::Kill { source, why } => with_kill_file(source, |file| {
            let is_first = file.write(KillCause::Operator, &why)?;
            Ok(if is_first {
                "killed"
            } else {
                "was killed already"
            })
        }),
        Command::Resume { source } => with_kill_file(source, |file| {
            let was_killed = file.remove()?;
            Ok(if was_killed {
                "resumed"
            } else {
                "resumed; no kill was kept"
            })
        }),
        Command::Doctor(arguments) => {
            let (source, how) = arguments.parts();
            match source.config {
                None => doctor::run(None, &how),
                config => with_settings(config, source.sets, |loaded| {
                    doctor::run(Some(&loaded.settings), &how)
                }),
            }
        }
        Command::Journal(arguments) => journal::run(arguments),
        Command::Replay(arguments) => replay::run(arguments, factory),
        Command::Why(arguments) => why::run(&arguments),
        Command::Backtest(arguments) => backtest::run(&arguments),
    }
}

/// Help that was asked for, or what is wrong with the command line.
fn not_run(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    if error.use_stderr() {
        ExitCode::from(WRONG_USAGE)
    } else {
        ExitCode::SUCCESS
    }
}

fn write_manual(folder: &Path) -> ExitCode {
    match tickgate_manual::write(&Arguments::command(), folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(FAILED, &format!("{}: {error}", folder.display())),
    }
}

/// What the log has until a configuration says it, which can say less or more later on.
fn begin_log() {
    let mut builder = env_logger::Builder::new();
    if reload::is_log_the_environments() {
        builder.parse_default_env();
    } else {
        builder.filter_level(log::LevelFilter::Trace);
    }
    tickgate_log::begin(builder.format_timestamp_millis().build(), "tickgate");
    reload::log_as(LogLevel::Info);
}

fn start(source: Source, factory: Factory) -> ExitCode {
    let layers = layers(Some(source.config), source.sets);
    with_layers(&layers, |loaded| {
        let settings = &loaded.settings;
        reload::log_as(settings.telemetry.log_level);
        let open_files = password::open_files(loaded);
        if !open_files.is_empty() {
            open_files.iter().for_each(|fault| log::error!("{fault}"));
            return ExitCode::from(WRONG_USAGE);
        }
        let mut options = match from_settings::options(settings, factory) {
            Ok(options) => options,
            Err(error) => return fail(WRONG_USAGE, &error),
        };
        options.configuration.clone_from(&layers.file);
        let reader = Reader::new(layers.clone(), settings.clone());
        match ctl::control(&settings.control) {
            Ok(control) => serve(options, control, reader),
            Err(error) => fail(WRONG_USAGE, &error),
        }
    })
}

/// Everything that `run` would refuse, but for what only the host can say.
fn check(loaded: &Loaded, factory: Factory) -> ExitCode {
    let (settings, unread) = password::without_credentials(&loaded.settings);
    for key in unread {
        log::warn!("{key}: only a process that systemd has begun can read it: not looked at");
    }
    let options = from_settings::options(&settings, factory);
    let parts = options.and_then(|it| Ok((it, ctl::control(&loaded.settings.control)?)));
    match parts {
        Ok((mut options, control)) => {
            options.kill_page = control.map(|it| service::kill_page_of(&it.path));
            warn_of(loaded);
            for fault in password::open_files(loaded) {
                log::warn!("{fault}; `run` refuses it");
            }
            print_effective(loaded, &options)
        }
        Err(error) => fail(WRONG_USAGE, &error),
    }
}

/// Runs the service, and the operator's socket beside it.
fn serve(mut options: Options, control: Option<ControlOptions>, reader: Reader) -> ExitCode {
    options.kill_page = control.as_ref().map(|it| service::kill_page_of(&it.path));
    let door = match control.map(Door::open).transpose() {
        Ok(door) => door,
        Err(error) => return fail(FAILED, &error),
    };
    // It is served until the last order is cancelled, and removed then.
    let mut served = None;
    let done = service::run(options, &StopHandle::default(), |mut control| {
        control.configuration = Some(Box::new(reader));
        served = door.map(|door| door.serve(control));
        if let Some(Err(error)) = &served {
            log::error!("{error}; nobody can look or steer but by signals and the kill file");
        }
    });
    drop(served);
    match done {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => fail(FAILED, &error),
    }
}

/// What a configuration comes to, for a program that logs in nowhere: credentials are not read.
///
/// # Errors
/// Everything that is wrong with it, a line each.
pub fn options_of(file: PathBuf, sets: Vec<String>, factory: Factory) -> Result<Options, String> {
    let loaded = layers(Some(file), sets).load().map_err(|faults| {
        let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
        lines.join("\n")
    })?;
    let (settings, _) = password::without_credentials(&loaded.settings);
    from_settings::options(&settings, factory)
}

fn with_settings(
    file: Option<PathBuf>,
    sets: Vec<String>,
    then: impl FnOnce(&Loaded) -> ExitCode,
) -> ExitCode {
    with_layers(&layers(file, sets), then)
}

/// What there is to read, as this process has begun.
fn layers(file: Option<PathBuf>, sets: Vec<String>) -> Layers {
    // Somebody else's variables may be anything; ours are judged as what they look like.
    let shown = |(name, value): (OsString, OsString)| {
        Some((
            name.into_string().ok()?,
            value.to_string_lossy().into_owned(),
        ))
    };
    Layers {
        file,
        environment: std::env::vars_os().filter_map(shown).collect(),
        sets,
        cpus: rt::cpu::allowed(),
    }
}

fn with_layers(layers: &Layers, then: impl FnOnce(&Loaded) -> ExitCode) -> ExitCode {
    match layers.load() {
        Ok(loaded) => then(&loaded),
        Err(faults) => {
            for fault in &faults {
                log::error!("{fault}");
            }
            ExitCode::from(WRONG_USAGE)
        }
    }
}

/// Does something to the kill file and says how it went.
fn with_kill_file(
    source: Source,
    act: impl FnOnce(&KillFile) -> std::io::Result<&'static str>,
) -> ExitCode {
    with_settings(Some(source.config), source.sets, |loaded| {
        let Some(folder) = from_settings::state_folder(&loaded.settings) else {
            let text = "no state folder: expected host.state_dir in the configuration, or \
                        STATE_DIRECTORY in the environment (systemd: /var/lib/tickgate)";
            return fail(WRONG_USAGE, text);
        };
        let done = KillFile::in_folder(&folder).and_then(|file| act(&file));
        match done {
            Ok(text) => {
                log::info!("{}: {text}", folder.display());
                ExitCode::SUCCESS
            }
            Err(error) => fail(FAILED, &format!("{}: {error}", folder.display())),
        }
    })
}

/// What is allowed, and slow or thin.
fn warn_of(loaded: &Loaded) {
    for warning in loaded.warnings() {
        log::warn!("{warning}");
    }
}

#[expect(clippy::print_stdout, reason = "what this command prints")]
fn print_schema() -> ExitCode {
    println!("{:#}", tickgate_config::schema());
    ExitCode::SUCCESS
}

#[expect(clippy::print_stdout, reason = "what this command prints")]
fn print_reference(what: What) -> ExitCode {
    match what {
        What::Configuration => print!("{}", tickgate_config::reference()),
        What::Metrics => print!("{}", metrics::reference()),
    }
    ExitCode::SUCCESS
}

#[expect(clippy::print_stdout, reason = "what this command prints")]
fn print_effective(loaded: &Loaded, options: &Options) -> ExitCode {
    for (key, value, origin) in loaded.effective() {
        println!("{key} = {value}  # {origin}");
    }
    for (name, feed) in &loaded.settings.feed {
        let limits = from_settings::book_limits(&feed.books);
        println!("# feed.{name}: books take {} MiB", limits.bytes() >> 20);
        if !feed.snapshot.servers.is_empty() {
            let bytes = limits.bytes() + feed.snapshot.live_messages_max * 64;
            println!(
                "# feed.{name}: books for snapshots take {} MiB",
                bytes >> 20
            );
        }
    }
    if options.sandbox.mode != Mode::Off {
        for line in Policy::of(options).lines() {
            println!("# sandbox: {line}");
        }
    }
    ExitCode::SUCCESS
}

fn fail(status: u8, error: &str) -> ExitCode {
    log::error!("{error}");
    ExitCode::from(status)
}
