//! `tickgate ctl resume`: says what is killed, and asks for its scope to be typed.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use super::{FAILED, Operator, WRONG_USAGE, fail, tables};
use crate::control::answer::{Body, KillStatus};
use crate::control::client;
use crate::control::request::Verb;

/// Resumes what is killed, if the operator has said what that is.
pub(super) fn run(operator: &Operator, given: Option<String>) -> ExitCode {
    let kill = match client::ask(&operator.socket, Verb::Status) {
        Ok(Body::Status(status)) => status.kill,
        Ok(other) => return operator.show(&other),
        Err(error) => return fail(FAILED, &error),
    };
    if !kill.is_on() {
        return fail(WRONG_USAGE, "nothing is killed");
    }
    // To people, and beside the answer of a script.
    eprint!("{}", what_it_means(&kill));
    let scope = match given {
        Some(scope) => scope,
        None if std::io::stdin().is_terminal() => match typed(&kill) {
            Ok(scope) => scope,
            Err(error) => return fail(FAILED, &format!("standard input: {error}")),
        },
        None => {
            let scope = kill.scope.join("\" or \"");
            let text = format!("no terminal: expected --yes-resume \"{scope}\"");
            return fail(WRONG_USAGE, &text);
        }
    };
    if !kill.scope.contains(&scope) {
        let expected = kill.scope.join("\" or \"");
        let text = format!("\"{scope}\": expected \"{expected}\"; nothing is resumed");
        return fail(WRONG_USAGE, &text);
    }
    let seen = kill.sighting;
    operator.ask(Verb::Resume { scope, seen })
}

/// What the operator types.
fn typed(kill: &KillStatus) -> std::io::Result<String> {
    eprint!("Type \"{}\" to resume: ", kill.scope.join("\" or \""));
    std::io::stderr().flush()?;
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    Ok(line.trim().to_owned())
}

/// The kill, and what resuming will and will not do.
fn what_it_means(kill: &KillStatus) -> String {
    let restart = if kill.outlives_restart {
        "  - take the kill file away: a restart trades, too, and so does every gateway with the same\n    \
             state folder\n"
    } else {
        ""
    };
    format!(
        "{}Resuming will\n  - let strategies send orders again, at once\n{restart}\
         It will not\n  - bring back orders that were cancelled, or change positions\n  \
         - unpause strategies, or change limits\n  \
         - cure the cause: what killed may kill again\n",
        tables::kill(kill)
    )
}
