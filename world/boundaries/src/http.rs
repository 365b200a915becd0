//! Requests at the metrics' port: any bytes, and requests that are nearly right, as they grow. Once there is an answer it
//! is the whole request's, and no request is waited for without end.

use tickgate_scrape::http::{Asked, REQUEST_BYTES_MAX, asked};

use crate::input::Input;

const PIECES: [&[u8]; 12] = [
    b"GET ",
    b"POST ",
    b"/metrics",
    b"/",
    b"?x=1",
    b" HTTP/1.1",
    b"\r\n",
    b"Host: a\r\n",
    b"\r\n\r\n",
    b": ",
    b"\0",
    b"\n",
];

fn look(bytes: &[u8]) {
    let whole = asked(bytes);
    assert!(
        whole != Asked::More || bytes.len() < REQUEST_BYTES_MAX,
        "it would wait for ever"
    );
    // As it comes in, piece by piece: once there is an answer, the rest is not waited for, and says nothing else. Only what
    // is too long is found so late, or not at all where the end came at once.
    let step = (bytes.len() / 128).max(1);
    let early = (0..bytes.len())
        .step_by(step)
        .map(|len| (len, asked(&bytes[..len])))
        .find(|(_, it)| *it != Asked::More);
    if let Some((len, early)) = early {
        let is_long = len >= REQUEST_BYTES_MAX && matches!(early, Asked::Refused(431, _));
        assert!(is_long || early == whole, "{early:?}, then {whole:?}");
    }
}

/// One input.
pub(crate) fn run(data: &[u8]) {
    look(data);
    let mut input = Input(data);
    let mut request = Vec::new();
    while !input.0.is_empty() && request.len() < 2 * REQUEST_BYTES_MAX {
        match usize::from(input.byte()) {
            piece if piece < 128 => request.extend_from_slice(PIECES[piece % PIECES.len()]),
            often if often < 160 => {
                let byte = input.byte();
                request.resize(request.len() + (often - 127) * 300, byte);
            }
            _ => request.push(input.byte()),
        }
    }
    look(&request);
}

/// What to begin with.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    vec![
        b"GET /metrics HTTP/1.1\r\nHost: localhost:9464\r\n\r\n".to_vec(),
        vec![0, 2, 5, 6, 7, 8],
        vec![1, 3, 5, 6, 140, b'x', 159, b'y'],
        vec![0, 3, 159, b'x'],
        // Headers that are none, behind those that are.
        b"GET /metrics HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n".to_vec(),
        vec![0, 2, 5, 6, 7, 9, 6, 6],
    ]
}
