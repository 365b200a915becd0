//! Lines at the control socket: any bytes, and requests that are nearly right. What is read and written again is read
//! as the same; as an operator would type it, it is one line.

use gateway::control::request::{LINE_BYTES_MAX, REASON_BYTES_MAX, Request, Verb};

use crate::input::Input;

/// A request of each kind.
const LINES: [&str; 16] = [
    r#"{"version":1,"verb":"status"}"#,
    r#"{"version":1,"verb":"sessions"}"#,
    r#"{"version":1,"verb":"limits"}"#,
    r#"{"version":1,"verb":"report"}"#,
    r#"{"version":1,"verb":"reload"}"#,
    r#"{"version":1,"verb":{"orders":{"session":"ouch","symbol":"AAPL","strategy":null}}}"#,
    r#"{"version":1,"verb":{"positions":{"session":"ouch"}}}"#,
    r#"{"version":1,"verb":{"kill":{"reason":"lunch","wait_ms":5000}}}"#,
    r#"{"version":1,"verb":{"resume":{"scope":"all","seen":"x"}}}"#,
    r#"{"version":1,"verb":{"cancel":{"session":null}}}"#,
    r#"{"version":1,"verb":{"pause":{"strategy":"quoter"}}}"#,
    r#"{"version":1,"verb":{"unpause":{"strategy":"quoter"}}}"#,
    r#"{"version":1,"verb":{"set-limits":{"session":"ouch","limits":{"order_qty_max":500},"confirm":3}}}"#,
    r#"{"version":1,"verb":{"set-row":{"symbol":"A*","limits":{"order_qty_max":null},"confirm":3}}}"#,
    r#"{"version":1,"verb":{"guard":{"name":"desk","token":77,"within_ms":5000}}}"#,
    r#"{"version":1,"verb":{"unguard":{"name":"desk","token":77}}}"#,
];
/// What is put into one.
const PIECES: [&str; 12] = [
    "\"",
    "{",
    "}",
    "null",
    ":",
    ",",
    "-1",
    "18446744073709551616",
    "\\u0000",
    "\\n",
    "\\\"",
    "1e999",
];

fn look(line: &[u8]) {
    let request = match Request::parse(line) {
        Ok(request) => request,
        Err(why) => return assert!(!why.is_empty()),
    };
    let typed = request.verb.to_string();
    assert!(!typed.is_empty() && !typed.contains('\n'), "{typed:?}");
    let _ = request.verb.steers();
    if let Verb::Kill { reason, .. } = &request.verb {
        assert!(reason.len() <= REASON_BYTES_MAX);
    }
    if let Ok(again) = request.line() {
        assert!(again.len() <= LINE_BYTES_MAX && again.ends_with('\n'));
        assert_eq!(Request::parse(again.trim_end().as_bytes()), Ok(request));
    }
}

/// One input.
pub(crate) fn run(data: &[u8]) {
    look(data);
    let mut input = Input(data);
    let mut line = LINES[usize::from(input.byte()) % LINES.len()]
        .as_bytes()
        .to_vec();
    look(&line);
    while !input.0.is_empty() && line.len() < LINE_BYTES_MAX {
        let (what, with) = (input.byte(), input.byte());
        let at = usize::from(input.byte()) % (line.len() + 1);
        let piece = PIECES[usize::from(with) % PIECES.len()];
        match what % 4 {
            0 => {
                line.splice(at..at, piece.bytes());
            }
            1 => line.insert(at, with),
            2 => {
                let end = (at + usize::from(with % 8)).min(line.len());
                line.drain(at..end);
            }
            _ => {
                if let Some(byte) = line.get_mut(at) {
                    *byte = with;
                }
            }
        }
        look(&line);
    }
}

/// What to begin with.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let lines = LINES.iter().map(|line| line.as_bytes().to_vec());
    // Names that no configuration allows, but that a line can bring.
    let names = ["a\\nb", "a\\\"b", "a b"].into_iter().flat_map(|name| {
        ["pause", "unpause"].map(|verb| {
            format!(r#"{{"version":1,"verb":{{"{verb}":{{"strategy":"{name}"}}}}}}"#).into_bytes()
        })
    });
    lines
        .chain(names)
        .chain((0..16).map(|which| vec![which, 0, 3, 40, 3, 0x20, 50]))
        .collect()
}
