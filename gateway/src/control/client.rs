//! The operator's end of the socket.
//!
//! Time:        whoever listens there has ten seconds to take the connection, and as long to answer, however his bytes come:
//!              what lies at the path may be no gateway.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rt::clock::monotonic_ns;
use socket2::{Domain, SockAddr, Socket, Type};

use super::answer::{ANSWER_BYTES_MAX, Answer, Body};
use super::request::{Request, VERSION, Verb};

/// How long an answer may take beyond what was asked to be waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks a running gateway; its answer.
///
/// # Errors
/// Nobody is there, or it does not answer, or in another version.
pub fn ask(socket: &Path, verb: Verb) -> Result<Body, String> {
    ask_within(socket, verb, PATIENCE).map_err(|error| format!("{}: {error}", socket.display()))
}

fn ask_within(socket: &Path, verb: Verb, patience: Duration) -> Result<Body, String> {
    let told = |error: io::Error| error.to_string();
    let wait_ms = match &verb {
        Verb::Kill { wait_ms, .. } => *wait_ms,
        _ => 0,
    };
    let line = Request::new(verb).line()?;
    let mut stream = connect(socket, patience).map_err(|error| match error.kind() {
        ErrorKind::NotFound => format!("{error}; expected a running gateway's control.socket"),
        ErrorKind::ConnectionRefused => format!("{error}: no gateway runs there any more"),
        ErrorKind::PermissionDenied => format!("{error}: see control.mode and control.users"),
        ErrorKind::WouldBlock => {
            format!(
                "nobody takes the connection within {} s",
                patience.as_secs()
            )
        }
        _ => error.to_string(),
    })?;
    // Who may not ask is answered before he has asked: his answer is there, whatever became of the line.
    let sent = stream.write_all(line.as_bytes());
    let patience = patience + Duration::from_millis(wait_ms);
    let mut answer = Vec::new();
    let read = read_line(&mut stream, patience, &mut answer);
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

/// Connects, within this time also where the queue of those who wait is full. EAGAIN: it was over.
fn connect(socket: &Path, patience: Duration) -> io::Result<UnixStream> {
    let stream = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    stream.set_write_timeout(Some(patience))?;
    stream.connect(&SockAddr::unix(socket)?)?;
    Ok(UnixStream::from(OwnedFd::from(stream)))
}

/// Takes a line, or as much of one as an answer may have. The time is for all of it: a byte now and then does not prolong it.
/// EAGAIN: it was over.
fn read_line(stream: &mut UnixStream, patience: Duration, line: &mut Vec<u8>) -> io::Result<()> {
    let until_ns = monotonic_ns().saturating_add(saturated_ns(patience));
    let mut bytes = [0; 1 << 14];
    while line.len() < ANSWER_BYTES_MAX {
        let left_ns = until_ns.saturating_sub(monotonic_ns());
        if left_ns == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        stream.set_read_timeout(Some(Duration::from_nanos(left_ns)))?;
        let came = match stream.read(&mut bytes) {
            Ok(len) => bytes.get(..len).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let end = came.iter().position(|byte| *byte == b'\n');
        line.extend(came.iter().take(end.map_or(came.len(), |end| end + 1)));
        if came.is_empty() || end.is_some() {
            break;
        }
    }
    Ok(())
}

fn saturated_ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "a false gateway takes its time for real"
)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::os::unix::net::UnixListener;
    use std::thread::{sleep, spawn};

    use super::*;

    /// As long as nobody who answers at once needs.
    const SHORT: Duration = Duration::from_millis(100);
    const ANSWER: &[u8] = b"{\"version\":1,\"answer\":{\"limits\":[]}}\n";

    /// Asks somebody at the path who is no gateway, and who does this when he has been asked.
    fn asked(
        patience: Duration,
        act: impl FnOnce(&mut UnixStream) + Send + 'static,
    ) -> Result<Body, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let other = spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            let mut reader = BufReader::new(&stream);
            reader.read_line(&mut String::new()).unwrap();
            act(&mut stream);
        });
        let told = ask_within(&path, Verb::Limits, patience);
        other.join().unwrap();
        told
    }

    fn answered(bytes: impl Into<Vec<u8>>) -> Result<Body, String> {
        let bytes = bytes.into();
        asked(PATIENCE, move |stream| {
            // Who was not let finish has been left.
            let _ = stream.write_all(&bytes);
        })
    }

    #[test]
    fn bytes_that_are_no_answer_are_an_error() {
        assert_eq!(answered(ANSWER), Ok(Body::Limits(Vec::new())));
        let newer = String::from_utf8_lossy(ANSWER).replace(":1,", ":2,");
        for (bytes, error) in [
            (b"".to_vec(), "ends after 0 bytes"),
            (ANSWER[..20].to_vec(), "ends after 20 bytes"),
            (b"\n".to_vec(), "no answer: "),
            (b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), "no answer: "),
            (b"{\"version\":1}\n".to_vec(), "no answer: "),
            (
                b"{\"version\":1,\"answer\":\"yes\"}\n".to_vec(),
                "no answer: ",
            ),
            ([vec![b'['; 1 << 20], vec![b'\n']].concat(), "no answer: "),
            ([vec![0xFF; 1 << 20], vec![b'\n']].concat(), "no answer: "),
            (newer.into_bytes(), "answer of version 2, expected 1"),
        ] {
            let told = answered(bytes).unwrap_err();
            assert!(told.contains(error), "{told}, not {error}");
        }
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..200 {
            let len = random.usize(0..4096);
            let bytes: Vec<u8> = (0..len).map(|_| random.u8(..)).collect();
            answered(bytes).unwrap_err();
        }
    }

    #[test]
    fn answer_without_an_end_is_taken_up_to_its_bound() {
        let told = asked(PATIENCE, |stream| {
            let much = vec![b' '; 1 << 16];
            while stream.write_all(&much).is_ok() {}
        });
        let told = told.unwrap_err();
        let bytes = told.strip_prefix("the answer ends after ").unwrap();
        let bytes: usize = bytes.split(' ').next().unwrap().parse().unwrap();
        assert!(bytes < ANSWER_BYTES_MAX + (1 << 14), "{told}");
    }

    #[test]
    fn who_says_nothing_is_left_and_who_says_a_byte_now_and_then_has_no_longer() {
        let silent = asked(SHORT, |stream| {
            // Until the other end has gone.
            let _ = stream.read_to_end(&mut Vec::new());
        });
        let dripping = asked(SHORT, |stream| {
            // An answer in the end.
            for byte in [&[b' '; 50], ANSWER].concat() {
                if stream.write_all(&[byte]).is_err() {
                    break;
                }
                sleep(SHORT / 10);
            }
        });
        for told in [silent, dripping] {
            let told = told.unwrap_err();
            assert!(told.contains("no answer within"), "{told}");
        }
    }

    #[test]
    fn queue_that_nobody_takes_from_holds_nobody_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        let listener = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        listener.bind(&SockAddr::unix(&path).unwrap()).unwrap();
        listener.listen(0).unwrap();
        let first = ask_within(&path, Verb::Limits, SHORT).unwrap_err();
        assert!(first.contains("no answer within"), "{first}");
        // It waits there still, so there is no room for another.
        let next = ask_within(&path, Verb::Limits, SHORT).unwrap_err();
        assert!(next.contains("nobody takes the connection"), "{next}");
    }
}
