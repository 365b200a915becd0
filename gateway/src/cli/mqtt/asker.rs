//! Asks the gateway, on threads of its own, so that one that hangs holds up neither the broker nor a command.
//!
//! Bounded by:  one question at a time on each thread, [`WISHES_MAX`] commands that wait.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use rt::clock::monotonic_ns;

use super::commands::{Command, Wish};
use crate::control::answer::{Body, Status};
use crate::control::client;
use crate::control::request::{REASON_BYTES_MAX, Verb};
use crate::telemetry::Run;

const WISHES_MAX: usize = 8;

/// What came of asking.
#[derive(Debug)]
pub(super) enum Heard {
    Status(Result<Box<Status>, String>),
    /// With the status of the same moment, nearly.
    Report(Result<Box<(Status, Run)>, String>),
    /// What a command came to.
    Done(Command, Box<Result<Body, String>>),
}

/// How often, ns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Often {
    pub(super) status: Duration,
    pub(super) report: Duration,
}

/// Asks again and again; ends when nobody listens.
pub(super) fn ask_often(
    socket: PathBuf,
    often: Often,
    tell: impl Fn(Heard) -> bool + Send + 'static,
) -> std::io::Result<()> {
    let work = move || {
        let mut reported_ns = None;
        loop {
            let now_ns = monotonic_ns();
            let report_ns = u64::try_from(often.report.as_nanos()).unwrap_or(u64::MAX);
            let status = status(&socket);
            let is_due = reported_ns.is_none_or(|at| now_ns.saturating_sub(at) >= report_ns);
            if is_due && let Ok(status) = &status {
                reported_ns = Some(now_ns);
                let report = report(&socket, status.as_ref().clone());
                if !tell(Heard::Report(report)) {
                    return;
                }
            }
            if !tell(Heard::Status(status)) {
                return;
            }
            std::thread::park_timeout(often.status);
        }
    };
    let thread = std::thread::Builder::new().name("asker".to_owned());
    thread.spawn(work).map(|_| ())
}

fn status(socket: &Path) -> Result<Box<Status>, String> {
    match client::ask(socket, Verb::Status)? {
        Body::Status(status) => Ok(Box::new(status)),
        other => Err(unexpected(other)),
    }
}

fn report(socket: &Path, status: Status) -> Result<Box<(Status, Run)>, String> {
    match client::ask(socket, Verb::Report)? {
        Body::Report(run) => Ok(Box::new((status, *run))),
        other => Err(unexpected(other)),
    }
}

fn unexpected(body: Body) -> String {
    match body {
        Body::Refused(refused) => refused.error,
        _ => "an answer to something else".to_owned(),
    }
}

/// Does commands, one after the other; takes them by what it gives back.
pub(super) fn obey(
    socket: PathBuf,
    tell: impl Fn(Heard) -> bool + Send + 'static,
) -> std::io::Result<SyncSender<Command>> {
    let (wishes, wanted): (_, Receiver<Command>) = sync_channel(WISHES_MAX);
    let work = move || {
        for command in wanted {
            let done = client::ask(&socket, verb(&command));
            let done = done.and_then(|body| match body {
                Body::Refused(refused) => Err(refused.error),
                body => Ok(body),
            });
            if !tell(Heard::Done(command, Box::new(done))) {
                return;
            }
        }
    };
    let thread = std::thread::Builder::new().name("commands".to_owned());
    thread.spawn(work)?;
    Ok(wishes)
}

fn verb(command: &Command) -> Verb {
    match command.verb {
        Wish::Status => Verb::Status,
        Wish::Kill => {
            let mut reason = format!("by MQTT: {}", command.reason);
            reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
            Verb::Kill { reason, wait_ms: 0 }
        }
    }
}
