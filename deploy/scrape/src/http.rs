//! As much of HTTP as a scrape needs: bytes of a request go in, what to answer comes out.
//!
//! When wrong:  a status that says what was wrong; nothing is read beyond [`REQUEST_BYTES_MAX`].

/// The longest request, with its headers.
pub const REQUEST_BYTES_MAX: usize = 8 * 1024;
/// Headers of a request at most.
const HEADERS_MAX: usize = 64;

/// What a request comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// It is not whole yet.
    More,
    /// The metrics.
    Metrics,
    /// Nothing of it is done: the status and why.
    Refused(u16, &'static str),
}

/// What these bytes ask for.
#[must_use]
pub fn asked(bytes: &[u8]) -> Asked {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) if bytes.len() >= REQUEST_BYTES_MAX => {
            return Asked::Refused(431, "Request Header Fields Too Large");
        }
        Ok(httparse::Status::Partial) => return Asked::More,
        Err(httparse::Error::TooManyHeaders) => {
            return Asked::Refused(431, "Request Header Fields Too Large");
        }
        Err(_) => return Asked::Refused(400, "Bad Request"),
    }
    let path = request.path.unwrap_or_default();
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    match (request.method, path) {
        (Some("GET"), "/metrics") => Asked::Metrics,
        (Some("GET"), _) => Asked::Refused(404, "Not Found"),
        _ => Asked::Refused(405, "Method Not Allowed"),
    }
}

/// An answer with a body.
#[must_use]
pub fn answer(status: u16, reason: &str, body: &str) -> Vec<u8> {
    let len = body.len();
    let head = format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
         Content-Length: {len}\r\nConnection: close\r\n\r\n"
    );
    [head.as_bytes(), body.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_get_of_the_metrics_is_answered_with_them() {
        let whole = b"GET /metrics HTTP/1.1\r\nHost: localhost:9464\r\n\r\n";
        assert_eq!(asked(whole), Asked::Metrics);
        for len in 0..whole.len() {
            assert_eq!(asked(&whole[..len]), Asked::More, "{len}");
        }
        for (request, status) in [
            (&b"GET /metrics?x=1 HTTP/1.0\r\n\r\n"[..], 0),
            (b"GET / HTTP/1.1\r\n\r\n", 404),
            (b"POST /metrics HTTP/1.1\r\n\r\n", 405),
            (b"\x00\x01\x02\r\n\r\n", 400),
            (b"GET /metrics HTTP/1.1\r\n\x00: x\r\n\r\n", 400),
        ] {
            let expected = match asked(request) {
                Asked::Metrics => 0,
                Asked::Refused(status, _) => status,
                Asked::More => 1,
            };
            assert_eq!(expected, status, "{request:?}");
        }
        let many = format!("GET /metrics HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(65));
        assert!(matches!(asked(many.as_bytes()), Asked::Refused(431, _)));
        let long = [b"GET /", &[b'x'; REQUEST_BYTES_MAX][..]].concat();
        assert!(matches!(asked(&long), Asked::Refused(431, _)));
    }

    #[test]
    fn any_bytes_are_answered_or_waited_for() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..100_000 {
            let mut bytes = b"GET /metrics HTTP/1.1\r\nA: b\r\n\r\n".to_vec();
            for _ in 0..random.usize(0..6) {
                let at = random.usize(0..bytes.len());
                bytes[at] = random.u8(..);
            }
            bytes.truncate(random.usize(0..=bytes.len()));
            let _ = asked(&bytes);
        }
    }
}
