//! The operator's end of the socket.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::answer::{ANSWER_BYTES_MAX, Answer, Body};
use super::request::{Request, VERSION, Verb};

/// How long an answer may take beyond what was asked to be waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks a running gateway; its answer.
///
/// # Errors
/// Nobody is there, or it does not answer, or in another version.
pub fn ask(socket: &Path, verb: Verb) -> Result<Body, String> {
    ask_at(socket, verb).map_err(|error| format!("{}: {error}", socket.display()))
}

fn ask_at(socket: &Path, verb: Verb) -> Result<Body, String> {
    let told = |error: std::io::Error| error.to_string();
    let wait_ms = match &verb {
        Verb::Kill { wait_ms, .. } => *wait_ms,
        _ => 0,
    };
    let line = Request::new(verb).line()?;
    let mut stream = UnixStream::connect(socket).map_err(|error| match error.kind() {
        ErrorKind::NotFound => format!("{error}; expected a running gateway's control.socket"),
        ErrorKind::ConnectionRefused => format!("{error}: no gateway runs there any more"),
        ErrorKind::PermissionDenied => format!("{error}: see control.mode and control.users"),
        _ => error.to_string(),
    })?;
    let patience = PATIENCE + Duration::from_millis(wait_ms);
    stream.set_read_timeout(Some(patience)).map_err(told)?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(told)?;
    // Who may not ask is answered before he has asked: his answer is there, whatever became of the line.
    let sent = stream.write_all(line.as_bytes());
    let mut answer = Vec::new();
    let bytes_max = ANSWER_BYTES_MAX as u64;
    let read = BufReader::new(stream.take(bytes_max)).read_until(b'\n', &mut answer);
    if !answer.ends_with(b"\n") {
        sent.map_err(told)?;
        read.map_err(|error| match error.kind() {
            ErrorKind::WouldBlock => format!("no answer within {} s", patience.as_secs()),
            _ => error.to_string(),
        })?;
        return Err(format!(
            "the answer ends after {} bytes, in the middle of its line",
            answer.len()
        ));
    }
    let answer: Answer =
        serde_json::from_slice(&answer).map_err(|error| format!("no answer: {error}"))?;
    if answer.version != VERSION {
        return Err(format!(
            "answer of version {}, expected {VERSION}",
            answer.version
        ));
    }
    Ok(answer.answer)
}
