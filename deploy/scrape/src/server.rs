//! The server: a connection at a time, a request, an answer, the end.
//!
//! Thread:      one that has nothing else to do
//! When full:   others wait in the kernel's queue: [`PATIENCE`] for a request, as long as `body` takes, [`PATIENCE`] for taking
//!              the answer.
//! When wrong:  a client that is slow, silent or wrong is refused or dropped, and the next one is heard.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use rt::clock::monotonic_ns;

use crate::http::{Asked, REQUEST_BYTES_MAX, answer, asked};

/// How long somebody may take to ask, and to take the answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Answers scrapes with what `body` makes for each, until it makes nothing more.
pub fn serve(listener: &TcpListener, mut body: impl FnMut() -> Option<String>) {
    for connection in listener.incoming() {
        match connection.and_then(|it| scrape(it, &mut body)) {
            Ok(true) => {}
            Ok(false) => return,
            // One that went meanwhile is nobody's trouble.
            Err(error) => log::debug!("a scrape: {error}"),
        }
    }
}

/// Reads one request and answers it; `false`: there is nothing more to answer with.
fn scrape(
    mut connection: TcpStream,
    body: &mut impl FnMut() -> Option<String>,
) -> io::Result<bool> {
    let begun_ns = monotonic_ns();
    let mut bytes = Vec::new();
    let (status, reason) = loop {
        match asked(&bytes) {
            Asked::More => {}
            Asked::Metrics => break (200, "OK"),
            Asked::Refused(status, reason) => break (status, reason),
        }
        let left = PATIENCE.saturating_sub(Duration::from_nanos(monotonic_ns() - begun_ns));
        if left.is_zero() {
            break (408, "Request Timeout");
        }
        connection.set_read_timeout(Some(left))?;
        let room = REQUEST_BYTES_MAX - bytes.len();
        let mut chunk = [0; 1024];
        let chunk = chunk.get_mut(..room.min(1024)).unwrap_or_default();
        match connection.read(chunk) {
            Ok(0) => return Ok(true),
            Ok(len) => bytes.extend_from_slice(chunk.get(..len).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    };
    let body = if status == 200 {
        match body() {
            Some(body) => body,
            None => return Ok(false),
        }
    } else {
        format!("{reason}: expected GET /metrics\n")
    };
    send(&mut connection, &answer(status, reason, &body)).map(|()| true)
}

/// Writes all of it, if it is taken in time.
fn send(connection: &mut TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    let begun_ns = monotonic_ns();
    while !bytes.is_empty() {
        let left = PATIENCE.saturating_sub(Duration::from_nanos(monotonic_ns() - begun_ns));
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        connection.set_write_timeout(Some(left))?;
        match connection.write(bytes) {
            Ok(len) => bytes = bytes.get(len..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scrapes_are_answered_until_there_is_nothing_more_and_other_paths_are_refused() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let mut bodies = ["one", "two"].into_iter();
            serve(&listener, || bodies.next().map(str::to_owned));
        });
        let ask = |path: &str| {
            let mut stream = TcpStream::connect(at).unwrap();
            let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
            stream.write_all(request.as_bytes()).unwrap();
            let mut answer = String::new();
            let _ = stream.read_to_string(&mut answer);
            answer
        };
        assert!(ask("/metrics").ends_with("\r\n\r\none"));
        assert!(ask("/").starts_with("HTTP/1.1 404 "));
        assert!(ask("/metrics").ends_with("\r\n\r\ntwo"));
        assert_eq!(ask("/metrics"), "");
        server.join().unwrap();
    }
}
