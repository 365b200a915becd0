//! Tells whoever tests an encoder why a message was ignored: OUCH has no answer to what is no OUCH.
//!
//! When full:   one line a second; those that found no room are counted, and the next line says how many.

use std::cell::Cell;
use std::fmt::Write;

use protocol::ouch::Inbound;

/// Time between two lines.
const LINE_NS: u64 = 1_000_000_000;
/// Bytes of a message that a line shows; the longest fixed part has 49.
const SHOWN_BYTES: usize = 96;

/// When the next line may be written.
#[derive(Debug, Default)]
pub(super) struct Nonsense {
    next_ns: Cell<u64>,
    untold: Cell<u64>,
}

impl Nonsense {
    /// The line about an ignored message; `None`: there was one a moment ago.
    pub(super) fn line(&self, account: &str, message: &[u8], now_ns: u64) -> Option<String> {
        if now_ns < self.next_ns.get() {
            self.untold.set(self.untold.get() + 1);
            return None;
        }
        self.next_ns.set(now_ns + LINE_NS);
        let error = Inbound::decode(message).err()?;
        let shown = message.get(..SHOWN_BYTES).unwrap_or(message);
        let mut line = format!("account {account}: ignored a message: {error}: ");
        for byte in shown {
            // Writing to a string does not fail.
            let _ = write!(line, "{byte:02X}");
        }
        if shown.len() < message.len() {
            let _ = write!(line, "... ({} bytes)", message.len());
        }
        match self.untold.take() {
            0 => {}
            untold => {
                let _ = write!(line, "; {untold} more since the last such line");
            }
        }
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_names_account_type_lengths_and_bytes_and_counts_what_it_kept_back() {
        let nonsense = Nonsense::default();
        let line = nonsense.line("a", b"X\0\0\0\x07\0\0", 5);
        let expected =
            "account a: ignored a message: type 'X' has 7 bytes, expected 9: 58000000070000";
        assert_eq!(line.as_deref(), Some(expected));
        assert_eq!(nonsense.line("a", b"X", 6), None);
        assert_eq!(nonsense.line("b", b"?", 7), None);
        let line = nonsense.line("b", b"?12", 5 + LINE_NS);
        let expected = "account b: ignored a message: unknown type '?': 3F3132; 2 more since the last such line";
        assert_eq!(line.as_deref(), Some(expected));
        let line = nonsense.line("b", &[b'?'; 1000], 5 + 2 * LINE_NS).unwrap();
        assert!(line.ends_with("3F3F... (1000 bytes)"), "{line}");
        assert!(line.len() < 300);
    }
}
