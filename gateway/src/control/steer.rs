//! What an operator changes in a running gateway: kill, resume, cancel, pause, limits; and how far it has come.
//!
//! Thread:      the control socket's
//! Invariants:  a kill is in the switches before anything that may wait, the disk included. Nothing is said to be
//!              done before the order stages have looked since. A resume releases only what was killed when the
//!              operator was told.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};

use super::answer::{Asked, Body, Killed, Limited, Refused, Reloaded, Resumed, StillOpen};
use super::look::{ALL, Memory, members, state_of};
use crate::message::command::Command;
use crate::order::entry::State;
use crate::order::risk::{KillCause, KillSwitch, release_together};
use crate::service::control::{Control, SessionControl};
use crate::service::reports::Reports;
use crate::telemetry::Report;

/// How long order stages may take to look at a command, or housekeeping at a resume: they do so every 10 and
/// 20 ms.
const TAKEN_WITHIN_NS: u64 = 2_000_000_000;
/// Looks after which a stage has surely seen: the first may have been under way.
const LOOKS: u64 = 2;

/// Something that was asked for and is not done yet.
#[derive(Debug)]
pub struct Wait {
    what: Waited,
    since_ns: u64,
    until_ns: u64,
    sessions: Vec<Watched>,
}

/// What is waited for.
#[derive(Debug)]
enum Waited {
    /// Nothing is open any more.
    Closed(Killed),
    /// The stages have taken a command.
    Taken(String),
    /// The stages have taken new limits.
    Limited(Limited),
    /// The stages have taken what a reload changes.
    Reloaded(Reloaded),
    /// The switches of this scope are off.
    Released(String),
    /// Housekeeping has made a report.
    Reported(Receiver<Arc<Report>>),
}

/// A session, and how often its stage had looked before.
#[derive(Clone, Copy, Debug)]
struct Watched {
    index: usize,
    shown: u64,
}

/// What a stop of trading is given.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stop<'a> {
    pub(super) cause: KillCause,
    pub(super) reason: &'a str,
    pub(super) wait_ms: u64,
    pub(super) now_ns: u64,
}

/// Stops new orders and has the open ones cancelled, here and after a restart.
pub(super) fn kill(control: &Control, stop: Stop<'_>) -> Wait {
    let on = |it: &&SessionControl| it.kill.is_on();
    let before = control.sessions.iter().filter(on);
    let killed_before = before.map(|session| session.name.clone()).collect();
    let kills = control.sessions.iter().map(|session| &session.kill);
    KillSwitch::engage_all(kills, stop.cause);
    let sessions = (0..control.sessions.len()).map(|index| watched(control, index));
    let sessions = sessions.collect();
    let file = control.kill_file.as_ref();
    let written = file.map(|file| file.write(stop.cause, stop.reason));
    let (outlives_restart, file_error) = match written {
        Some(Ok(_)) => (true, None),
        Some(Err(error)) => (false, Some(error.to_string())),
        None => (false, Some("no host.state_dir is configured".to_owned())),
    };
    Wait {
        what: Waited::Closed(Killed {
            killed_before,
            outlives_restart,
            file_error,
            ..Killed::default()
        }),
        since_ns: stop.now_ns,
        until_ns: stop.now_ns + stop.wait_ms * 1_000_000,
        sessions,
    }
}

/// What an operator wants to trade again, and what he was shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resume<'a> {
    pub(super) scope: &'a str,
    /// Empty: nobody looked.
    pub(super) seen: &'a str,
}

/// Lets orders go again, if the scope is what is killed, and by what the operator was shown.
pub(super) fn resume(
    control: &Control,
    memory: &Memory,
    Resume { scope, seen }: Resume<'_>,
    now_ns: u64,
) -> Result<Wait, Refused> {
    let told = memory.kill(control);
    if !seen.is_empty() && seen != told.sighting {
        let cause = told.cause.unwrap_or_default();
        return Err(failed(format!(
            "something else has stopped it since you looked ({cause}); nothing is resumed: look again"
        )));
    }
    if let Some(error) = told.file_error {
        return Err(failed(format!(
            "the kill file: {error}; nothing is resumed"
        )));
    }
    if told.scope.is_empty() {
        return Err(usage("nothing is killed".to_owned()));
    }
    if !told.scope.iter().any(|killed| killed == scope) {
        let killed = told.scope.join("\" or \"");
        return Err(usage(format!(
            "scope \"{scope}\": expected what is killed: \"{killed}\""
        )));
    }
    match &control.kill_file {
        // Housekeeping hears of it, and releases what it knew to be killed.
        Some(file) if scope == ALL => {
            let removed = file.remove();
            removed
                .map_err(|error| failed(format!("the kill file: {error}; nothing is resumed")))?;
        }
        _ => {
            let kills = members(control, scope).map(|session| &session.kill);
            let stood: Vec<_> = kills.filter_map(|it| Some((it, it.stood()?))).collect();
            // Another cause that came meanwhile stays, and is told.
            let _ = release_together(&stood);
        }
    }
    Ok(Wait {
        what: Waited::Released(scope.to_owned()),
        since_ns: now_ns,
        until_ns: now_ns + TAKEN_WITHIN_NS,
        sessions: Vec::new(),
    })
}

/// What a session is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asking {
    /// Its place.
    pub(super) session: usize,
    pub(super) command: Command,
}

/// Asks sessions for something.
pub(super) fn ask(
    control: &mut Control,
    asks: &[Asking],
    what: String,
    now_ns: u64,
) -> Result<Wait, Refused> {
    let sessions = push(control, asks)?;
    Ok(Wait {
        what: Waited::Taken(what),
        since_ns: now_ns,
        until_ns: now_ns + TAKEN_WITHIN_NS,
        sessions,
    })
}

/// Asks sessions to let other limits hold.
pub(super) fn limit(
    control: &mut Control,
    asks: &[Asking],
    told: Limited,
    now_ns: u64,
) -> Result<Wait, Refused> {
    let sessions = push(control, asks)?;
    Ok(Wait {
        what: Waited::Limited(told),
        since_ns: now_ns,
        until_ns: now_ns + TAKEN_WITHIN_NS,
        sessions,
    })
}

/// Asks sessions for what a reload changes.
pub(super) fn reload(
    control: &mut Control,
    asks: &[Asking],
    told: Reloaded,
    now_ns: u64,
) -> Result<Wait, Refused> {
    let sessions = push(control, asks)?;
    Ok(Wait {
        what: Waited::Reloaded(told),
        since_ns: now_ns,
        until_ns: now_ns + TAKEN_WITHIN_NS,
        sessions,
    })
}

/// Hands commands over; whom to watch for having taken them.
fn push(control: &mut Control, asks: &[Asking]) -> Result<Vec<Watched>, Refused> {
    let mut sessions = Vec::new();
    for asking in asks {
        let before = watched(control, asking.session);
        let Some(session) = control.sessions.get_mut(asking.session) else {
            continue;
        };
        if !session.ask(asking.command) {
            let name = &session.name;
            return Err(failed(format!(
                "session {name} takes no commands: its core does not turn, and as many as may wait do"
            )));
        }
        sessions.push(before);
    }
    Ok(sessions)
}

/// What makes no sense here.
pub(super) fn usage(error: String) -> Refused {
    let is_usage = true;
    Refused { is_usage, error }
}

/// What could not be done.
pub(super) fn failed(error: String) -> Refused {
    let is_usage = false;
    Refused { is_usage, error }
}

/// Asks housekeeping for a report.
///
/// # Errors
/// Nobody keeps house, or too many wait for one.
pub(super) fn report(control: &Control, now_ns: u64) -> Result<Wait, Refused> {
    let report = control.reports.as_ref().and_then(Reports::ask);
    let report = report.ok_or_else(|| failed("too many wait for a report already".to_owned()))?;
    Ok(Wait {
        what: Waited::Reported(report),
        since_ns: now_ns,
        until_ns: now_ns + TAKEN_WITHIN_NS,
        sessions: Vec::new(),
    })
}

/// The report, if it is there. What it was set by is the configuration's to say, which may have secrets.
fn reported(report: &Receiver<Arc<Report>>, is_time_up: bool) -> Option<Body> {
    match report.try_recv() {
        Ok(report) => {
            let mut run = report.runs.first().cloned().unwrap_or_default();
            run.settings = serde_json::Value::Null;
            Some(Body::Report(Box::new(run)))
        }
        Err(TryRecvError::Empty) if !is_time_up => None,
        Err(_) => Some(Body::Refused(failed(
            "housekeeping does not answer: no report".to_owned(),
        ))),
    }
}

fn watched(control: &Control, index: usize) -> Watched {
    let session = control.sessions.get(index);
    let health = session.and_then(|session| session.session.health());
    let shown = health.map_or(0, |health| health.shown);
    Watched { index, shown }
}

impl Wait {
    /// The answer, once it is done or its time is up.
    pub(super) fn poll(&self, control: &Control, now_ns: u64) -> Option<Body> {
        let is_time_up = now_ns >= self.until_ns;
        match &self.what {
            Waited::Closed(killed) => {
                let sessions = self.still_open(control);
                let is_closed = |it: &StillOpen| it.has_looked && it.open_orders == 0;
                let is_heard = self.sessions.iter().all(|it| is_settled(control, it.index));
                let is_nothing_open = is_heard && sessions.iter().all(is_closed);
                (is_nothing_open || is_time_up).then(|| {
                    Body::Killed(Killed {
                        is_nothing_open,
                        sessions,
                        after_ms: now_ns.saturating_sub(self.since_ns) / 1_000_000,
                        ..killed.clone()
                    })
                })
            }
            Waited::Taken(what) => {
                let sessions = self.still_open(control);
                let is_taken = sessions.iter().all(|it| it.has_looked);
                (is_taken || is_time_up).then(|| {
                    Body::Asked(Asked {
                        what: what.clone(),
                        is_taken,
                        sessions,
                    })
                })
            }
            Waited::Limited(told) => {
                let sessions = self.still_open(control);
                let is_taken = sessions.iter().all(|it| it.has_looked);
                (is_taken || is_time_up).then(|| {
                    Body::Limited(Limited {
                        is_taken,
                        ..told.clone()
                    })
                })
            }
            Waited::Reloaded(told) => {
                let sessions = self.still_open(control);
                let is_taken = sessions.iter().all(|it| it.has_looked);
                (is_taken || is_time_up).then(|| {
                    Body::Reloaded(Reloaded {
                        is_taken,
                        ..told.clone()
                    })
                })
            }
            Waited::Reported(report) => reported(report, is_time_up),
            Waited::Released(scope) => {
                let still_killed = still_killed(control, scope);
                let is_released = still_killed.is_empty();
                (is_released || is_time_up).then(|| {
                    Body::Resumed(Resumed {
                        scope: scope.clone(),
                        is_released,
                        still_killed,
                    })
                })
            }
        }
    }

    fn still_open(&self, control: &Control) -> Vec<StillOpen> {
        let known = self.sessions.iter().filter_map(|watched| {
            let session = control.sessions.get(watched.index)?;
            let health = session.session.health();
            Some(StillOpen {
                session: session.name.clone(),
                state: state_of(session),
                open_orders: health.map_or(0, |health| health.open_orders),
                has_looked: health.is_some_and(|it| it.shown >= watched.shown + LOOKS),
            })
        });
        known.collect()
    }
}

/// Whether what a session believes of its orders is what the exchange believes.
fn is_settled(control: &Control, index: usize) -> bool {
    let session = control.sessions.get(index);
    let health = session.and_then(|session| session.session.health());
    health.is_some_and(|health| [State::Open, State::Stopped].contains(&health.state))
}

fn still_killed(control: &Control, scope: &str) -> Vec<String> {
    let killed = members(control, scope).filter_map(|session| {
        let cause = session.kill.cause()?;
        Some(format!("{}: {cause}", session.name))
    });
    killed.collect()
}
