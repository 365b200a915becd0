//! `tickgate ctl guard`: says again and again that somebody watches, until it is told to end.

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

pub(super) fn run(operator: &Operator, name: Option<String>, within_ms: u64) -> ExitCode {
    let name = name.unwrap_or_else(|| format!("ctl-{}", std::process::id()));
    let end = Arc::new(AtomicBool::new(false));
    // Not SIGHUP: a terminal that is lost is an operator who is.
    for signal in [SIGINT, SIGTERM] {
        if let Err(error) = flag::register(signal, Arc::clone(&end)) {
            return fail(FAILED, &format!("signal {signal}: {error}"));
        }
    }
    let verb = || Verb::Guard {
        name: name.clone(),
        within_ms,
    };
    let mut heard_ns = match client::ask(&operator.socket, verb()) {
        Ok(body) => {
            let status = operator.show(&body);
            if matches!(body, Body::Refused(_)) {
                return status;
            }
            monotonic_ns()
        }
        Err(error) => return fail(FAILED, &error),
    };
    let within_ns = within_ms * 1_000_000;
    while !end.load(Ordering::SeqCst) {
        std::thread::park_timeout(LOOK);
        let silence_ns = monotonic_ns() - heard_ns;
        if silence_ns < within_ns / TRIES {
            continue;
        }
        match client::ask(&operator.socket, verb()) {
            Ok(body @ Body::Refused(_)) => return operator.show(&body),
            Ok(_) => heard_ns = monotonic_ns(),
            Err(error) if silence_ns > within_ns => return fail(FAILED, &error),
            // It may be that it starts anew.
            Err(_) => {}
        }
    }
    operator.ask(Verb::Unguard { name })
}
