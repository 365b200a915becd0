//! `tickgate ctl kill --hard`: the switches of a running gateway are turned in its memory, whoever there still listens.

use std::process::ExitCode;

use rt::clock::realtime_ns;
use serde_json::json;

use super::{FAILED, Operator, fail};
use crate::control::request::Verb;
use crate::control::server;
use crate::order::risk::KillCause;
use crate::service::{ForeignSwitches, KillFile, kill_page_of};

/// Kills, says what was done, and then asks whoever listens when nothing is open any more.
#[expect(clippy::print_stdout, reason = "what this command prints")]
pub(super) fn run(operator: &Operator, reason: String, wait_ms: u64) -> ExitCode {
    let path = kill_page_of(&operator.socket);
    let switches = match ForeignSwitches::find(&path) {
        Ok(switches) => switches,
        Err(error) => {
            let text = format!(
                "{}: {error}; expected a running gateway's switches; `tickgate kill` needs none",
                path.display()
            );
            return fail(FAILED, &text);
        }
    };
    // The switches first: nothing that may wait comes before them.
    let killed_before = switches.engage();
    let sessions: Vec<&String> = switches.sessions.iter().map(|(name, _)| name).collect();
    let is_alive = server::is_served(&operator.socket);
    let written = match &switches.state {
        None => Err("it has no host.state_dir".to_owned()),
        Some(folder) => KillFile::in_folder(folder)
            .and_then(|file| file.write(KillCause::OperatorHard, &reason))
            .map_err(|error| format!("{}: {error}", folder.display())),
    };
    let at_s = realtime_ns() / 1_000_000_000;
    if operator.json {
        let hard = json!({
            "scope": sessions,
            "cause": KillCause::OperatorHard.to_string(),
            "at_s": at_s,
            "killed_before": killed_before,
            "is_alive": is_alive,
            "outlives_restart": written.is_ok(),
            "file_error": written.as_ref().err(),
        });
        println!("{}", json!({ "hard": hard }));
    } else {
        let names = sessions.iter().map(|name| name.as_str());
        let names = names.collect::<Vec<_>>().join(", ");
        println!(
            "killed: {names}; cause: {}; at {at_s} (seconds of 1970)",
            KillCause::OperatorHard
        );
        if !killed_before.is_empty() {
            println!(
                "killed before, for another cause: {}",
                killed_before.join(", ")
            );
        }
        match &written {
            Ok(_) => println!("also after a restart"),
            Err(error) => println!("NOT after a restart: {error}"),
        }
    }
    if !is_alive {
        return fail(
            FAILED,
            "no gateway runs there: what it left open is open at the exchange",
        );
    }
    // It says when nothing is open any more, if it can.
    operator.ask(Verb::Kill { reason, wait_ms })
}
