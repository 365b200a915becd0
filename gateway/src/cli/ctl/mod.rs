//! `tickgate ctl`: an operator looks at a running gateway, and steers it.

mod guard;
mod hard;
mod limits;
mod reload_text;
mod resume;
mod settings;
mod standing;
mod tables;
mod times;
mod whom;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

use super::{FAILED, WRONG_USAGE, fail};
use crate::control::answer::Body;
use crate::control::client;
use crate::control::request::{Filter, Verb, WAIT_MS_MAX, WITHIN_MS};

use limits::Limits;

pub(super) use settings::control;
pub(super) use standing::standing;
pub(super) use tables::{kill as kill_line, text as text_of};
pub(super) use times::duration;
pub(super) use whom::Whom;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    whom: Whom,
    /// Print the answer as one JSON object.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// How the gateway is: kill switch, cores, feeds, sessions.
    Status,
    /// How its sessions are, with their strategies.
    Sessions,
    /// Live orders: all of them, or those that fit what is given. At most 10,000 are shown.
    Orders {
        /// Of this session.
        #[arg(long, value_name = "NAME")]
        session: Option<String>,
        /// Of this symbol.
        #[arg(long, value_name = "SYMBOL")]
        symbol: Option<String>,
        /// Of this strategy.
        #[arg(long, value_name = "NAME")]
        strategy: Option<String>,
    },
    /// What accounts hold, and what may still come.
    Positions {
        /// Of this session's account.
        #[arg(long, value_name = "NAME")]
        session: Option<String>,
    },
    /// The limits in force, by session; or other ones.
    Limits {
        #[command(subcommand)]
        set: Option<Limits>,
    },
    /// What was measured and counted so far: histograms and sessions as a table; with --json every counter, too.
    Report,
    /// Read the configuration again, and do what of it can be done while the gateway runs: all of it, or nothing.
    ///
    /// Limits that become tighter, rows of limits, control.users and telemetry.log_level change at once. A limit that becomes looser
    /// is refused with the `limits set` that loosens it; every other key needs a restart, and is named. Status 1: something is
    /// refused, and nothing was done; status 2: the configuration is wrong.
    Reload,
    /// Stop trading: no order goes out, open ones are cancelled; also after a restart, until `resume`.
    ///
    /// Status 0: nothing is open any more. Status 1: something still is, or a session could not be heard.
    Kill {
        /// A word to whoever finds it killed.
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
        /// In the gateway's memory: works while its threads hang, as long as the order cores turn.
        ///
        /// Then whoever listens is asked whether anything is open, as without it; with --json that is a second line.
        #[arg(long)]
        hard: bool,
        /// How long to wait for nothing being open, s.
        #[arg(long, value_name = "SECONDS", default_value_t = 5,
              value_parser = clap::value_parser!(u64).range(0..=WAIT_MS_MAX / 1_000))]
        wait_s: u64,
    },
    /// Trade again. Says what was killed, by whom and when, and asks for its scope to be typed.
    ///
    /// Sessions of one account are resumed together, all or none: the scope is `account NAME` then.
    Resume {
        /// The scope, for scripts: `all`, the session's name, or `account NAME`, as `status` has it.
        #[arg(long, value_name = "SCOPE")]
        yes_resume: Option<String>,
    },
    /// Cancel what is open now. Strategies go on.
    Cancel {
        /// In every session.
        #[arg(value_parser = ["all"], required_unless_present = "session")]
        all: Option<String>,
        /// In this session.
        #[arg(long, value_name = "NAME", conflicts_with = "all")]
        session: Option<String>,
    },
    /// Watch, until interrupted: where this falls silent, trading stops as by `kill`.
    ///
    /// A killed process, a lost terminal, a host that hangs: the gateway is not told, and stops. Ctrl-C or SIGTERM tells it
    /// that nobody watches any more, and trading goes on.
    Guard {
        /// What the log and `status` call it [default: ctl-PID].
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// The longest silence, ms.
        #[arg(long, value_name = "MS", default_value_t = 5_000,
              value_parser = clap::value_parser!(u64).range(WITHIN_MS))]
        within_ms: u64,
    },
    /// A strategy sends nothing new; what it has open stays.
    Pause {
        /// Its name.
        strategy: String,
    },
    /// A strategy may send again.
    Unpause {
        /// Its name.
        strategy: String,
    },
}

pub(super) fn run(arguments: Arguments) -> ExitCode {
    let Arguments {
        whom,
        json,
        command,
    } = arguments;
    whom.with(|socket| Operator { socket, json }.run(command))
}

/// Whoever has typed the command.
#[derive(Debug)]
struct Operator {
    socket: PathBuf,
    json: bool,
}

impl Operator {
    fn run(&self, command: Command) -> ExitCode {
        let verb = match command {
            Command::Status => Verb::Status,
            Command::Sessions => Verb::Sessions,
            Command::Orders {
                session,
                symbol,
                strategy,
            } => Verb::Orders(Filter {
                session,
                symbol,
                strategy,
            }),
            Command::Positions { session } => Verb::Positions { session },
            Command::Limits { set: None } => Verb::Limits,
            Command::Report => Verb::Report,
            Command::Reload => Verb::Reload,
            Command::Limits { set: Some(set) } => match set.verb() {
                Ok(verb) => verb,
                Err(error) => return fail(WRONG_USAGE, &error),
            },
            Command::Kill {
                reason,
                hard,
                wait_s,
            } => {
                let wait_ms = wait_s * 1_000;
                if hard {
                    return hard::run(self, reason, wait_ms);
                }
                Verb::Kill { reason, wait_ms }
            }
            Command::Resume { yes_resume } => return resume::run(self, yes_resume),
            Command::Cancel { session, .. } => Verb::Cancel { session },
            Command::Guard { name, within_ms } => return guard::run(self, name, within_ms),
            Command::Pause { strategy } => Verb::Pause { strategy },
            Command::Unpause { strategy } => Verb::Unpause { strategy },
        };
        self.ask(verb)
    }

    /// Asks and prints the answer.
    fn ask(&self, verb: Verb) -> ExitCode {
        match client::ask(&self.socket, verb) {
            Ok(body) => self.show(&body),
            Err(error) => fail(FAILED, &error),
        }
    }

    /// Prints an answer, and says by the status whether what was asked for holds.
    #[expect(clippy::print_stdout, reason = "what this command prints")]
    fn show(&self, body: &Body) -> ExitCode {
        if let Body::Refused(refused) = body {
            let status = if refused.is_usage {
                WRONG_USAGE
            } else {
                FAILED
            };
            if self.json {
                print_json(body);
            }
            return fail(status, &refused.error);
        }
        if self.json {
            print_json(body);
        } else {
            print!("{}", tables::text(body));
        }
        let holds = match body {
            Body::Killed(killed) => killed.is_nothing_open,
            Body::Resumed(resumed) => resumed.is_released,
            Body::Asked(asked) => asked.is_taken,
            Body::Limited(limited) => limited.is_taken,
            Body::Reloaded(told) if !told.faults.is_empty() => return ExitCode::from(WRONG_USAGE),
            Body::Reloaded(told) => told.is_applied && told.is_taken,
            _ => true,
        };
        ExitCode::from(if holds { 0 } else { FAILED })
    }
}

#[expect(clippy::print_stdout, reason = "what this command prints")]
fn print_json(body: &Body) {
    // Text, numbers and lists: nothing that JSON does not have.
    println!("{}", serde_json::to_string(body).unwrap_or_default());
}
