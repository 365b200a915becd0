//! `tickgate ctl guard`: says again and again that somebody watches, until it is told to end.

use std::hash::{BuildHasher, RandomState};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rt::clock::monotonic_ns;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use super::{FAILED, Operator, fail};
use crate::control::answer::Body;
use crate::control::client;
use crate::control::request::Verb;

/// How soon an end is seen.
const LOOK: Duration = Duration::from_millis(50);
/// Tries to be heard within the time: one that is lost, and one that is late, cost nothing.
const TRIES: u64 = 4;

#[expect(clippy::print_stderr, reason = "what this command prints")]
pub(super) fn run(operator: &Operator, name: Option<String>, within_ms: u64) -> ExitCode {
    let name = name.unwrap_or_else(|| format!("ctl-{}", std::process::id()));
    // Another tool may have the same name, and processes of another container the same number.
    let token = RandomState::new().hash_one(&name);
    let end = Arc::new(AtomicBool::new(false));
    // Not SIGHUP: a terminal that is lost is an operator who is.
    for signal in [SIGINT, SIGTERM] {
        if let Err(error) = flag::register(signal, Arc::clone(&end)) {
            return fail(FAILED, &format!("signal {signal}: {error}"));
        }
    }
    let say = || {
        let verb = Verb::Guard {
            name: name.clone(),
            token,
            within_ms,
        };
        match client::ask(&operator.socket, verb) {
            // A door that is full for a moment is one that did not hear.
            Ok(Body::Refused(refused)) if !refused.is_usage => Err(refused.error),
            said => said,
        }
    };
    let mut is_heard = match say() {
        Ok(body) => {
            let status = operator.show(&body);
            if matches!(body, Body::Refused(_)) {
                return status;
            }
            true
        }
        Err(error) => return fail(FAILED, &error),
    };
    let pause_ns = within_ms * 1_000_000 / TRIES;
    let mut said_ns = monotonic_ns();
    while !end.load(Ordering::SeqCst) {
        std::thread::park_timeout(LOOK);
        if monotonic_ns() - said_ns < pause_ns {
            continue;
        }
        said_ns = monotonic_ns();
        match say() {
            Ok(body @ Body::Refused(_)) => return operator.show(&body),
            Ok(_) if !is_heard => {
                eprintln!("guarding again");
                is_heard = true;
            }
            Ok(_) => {}
            // A gateway that starts anew is guarded again as soon as it hears.
            Err(error) if is_heard => {
                eprintln!("NOT HEARD: {error}; trying again");
                is_heard = false;
            }
            Err(_) => {}
        }
    }
    if !is_heard {
        return ExitCode::from(FAILED);
    }
    operator.ask(Verb::Unguard { name, token })
}
