//! Commands of the command topic: who may give them is who has the key.
//!
//! ```text
//!  mac body          mac: HMAC-SHA256 of the body's bytes, 64 hexadecimal digits
//!  body: {"instance":"NAME","verb":"kill","reason":"TEXT","time_s":1780000000,"nonce":"16 to 64 characters"}
//! ```
//!
//! Time:        comes in as `now_s`; this file reads no clock.
//! Invariants:  nothing of a body is read before its signature holds; the comparison takes as long for any signature. Nothing is done
//!              twice: a nonce is remembered as long as its time is good, and what was signed before this process began is too old.
//! When full:   more commands than `NONCES_MAX` within twice the window are refused. Only who has the key gets so far.

use std::collections::BTreeMap;

use ring::hmac;
use serde::Deserialize;

/// The longest command, bytes: a reason of 512 fits.
pub const COMMAND_BYTES_MAX: usize = 2048;
/// Commands that are remembered.
const NONCES_MAX: usize = 1024;
const NONCE_BYTES: std::ops::RangeInclusive<usize> = 16..=64;
const MAC_DIGITS: usize = 64;

/// Why a command was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// Longer than [`COMMAND_BYTES_MAX`].
    TooLong,
    /// It has no signature in front.
    Unsigned,
    /// Its signature is not that of its body.
    WrongSignature,
    /// Its signature holds, and it is no command.
    Unreadable,
    /// It is for another gateway.
    OtherInstance,
    /// It was signed too long ago, or before this process began.
    TooOld,
    /// It was signed later than now.
    TooNew,
    /// It was done already.
    Replayed,
    /// No more can be remembered.
    TooMany,
    /// Commands before it have not been answered.
    Busy,
}

impl Refusal {
    /// As the counters call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::Unsigned => "unsigned",
            Self::WrongSignature => "wrong_signature",
            Self::Unreadable => "unreadable",
            Self::OtherInstance => "other_instance",
            Self::TooOld => "too_old",
            Self::TooNew => "too_new",
            Self::Replayed => "replayed",
            Self::TooMany => "too_many",
            Self::Busy => "busy",
        }
    }
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wish {
    /// No order goes out any more.
    Kill,
    /// How the gateway is.
    Status,
}

/// A command that was signed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command {
    instance: String,
    /// What is asked for.
    pub verb: Wish,
    /// A word to whoever finds it killed.
    #[serde(default)]
    pub reason: String,
    /// When it was signed, seconds of 1970.
    time_s: u64,
    /// What no other command has.
    pub nonce: String,
}

/// Who tells a command from what only looks like one.
pub struct Guard {
    key: hmac::Key,
    instance: String,
    window_s: u64,
    /// When this process began: what was signed before, it may have done in an earlier life.
    began_s: u64,
    /// Nonces with their times.
    seen: BTreeMap<String, u64>,
}

/// The key is nobody's to print.
impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guard")
            .field("instance", &self.instance)
            .field("window_s", &self.window_s)
            .field("seen", &self.seen.len())
            .finish_non_exhaustive()
    }
}

/// A key from hexadecimal digits; what is wrong with them does not show them.
///
/// # Errors
/// Too few, too many, or others.
pub fn key(text: &str) -> Result<hmac::Key, String> {
    let expected = "expected 64 to 256 hexadecimal digits, as of `openssl rand -hex 32`";
    let bytes = of_digits(text.trim().as_bytes()).ok_or(expected)?;
    if !(32..=128).contains(&bytes.len()) {
        return Err(expected.to_owned());
    }
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

fn of_digits(digits: &[u8]) -> Option<Vec<u8>> {
    let (pairs, rest) = digits.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|it| u8::try_from(it).ok())
    };
    let byte = |[high, low]: &[u8; 2]| Some(digit(*high)? << 4 | digit(*low)?);
    pairs.iter().map(byte).collect()
}

impl Guard {
    /// Nothing has come yet; `now_s`: when this process began.
    #[must_use]
    pub fn new(key: hmac::Key, instance: &str, window_s: u64, now_s: u64) -> Self {
        Self {
            key,
            instance: instance.to_owned(),
            window_s,
            began_s: now_s,
            seen: BTreeMap::new(),
        }
    }

    /// Judges what came.
    ///
    /// # Errors
    /// Why it is not done.
    pub fn judge(&mut self, payload: &[u8], now_s: u64) -> Result<Command, Refusal> {
        if payload.len() > COMMAND_BYTES_MAX {
            return Err(Refusal::TooLong);
        }
        let (mac, body) = payload
            .split_at_checked(MAC_DIGITS)
            .ok_or(Refusal::Unsigned)?;
        let body = body.strip_prefix(b" ").ok_or(Refusal::Unsigned)?;
        let mac = of_digits(mac).ok_or(Refusal::Unsigned)?;
        hmac::verify(&self.key, body, &mac).map_err(|_| Refusal::WrongSignature)?;
        let command: Command = serde_json::from_slice(body).map_err(|_| Refusal::Unreadable)?;
        if !NONCE_BYTES.contains(&command.nonce.len()) {
            return Err(Refusal::Unreadable);
        }
        if command.instance != self.instance {
            return Err(Refusal::OtherInstance);
        }
        if command.time_s > now_s.saturating_add(self.window_s) {
            return Err(Refusal::TooNew);
        }
        let oldest_s = now_s.saturating_sub(self.window_s);
        if command.time_s < oldest_s || command.time_s <= self.began_s {
            return Err(Refusal::TooOld);
        }
        self.seen.retain(|_, time_s| *time_s >= oldest_s);
        if self.seen.contains_key(&command.nonce) {
            return Err(Refusal::Replayed);
        }
        if self.seen.len() >= NONCES_MAX {
            return Err(Refusal::TooMany);
        }
        self.seen.insert(command.nonce.clone(), command.time_s);
        Ok(command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    /// By `openssl dgst -sha256 -mac HMAC -macopt hexkey:$KEY` of the body beside it.
    const BODY: &str = r#"{"instance":"lab","verb":"kill","reason":"drill","time_s":1000,"nonce":"0123456789abcdef"}"#;
    const MAC: &str = "42d9d8978f87df750b2c45a5bfa92253a2335c584286f2de9e07c2291e8d3526";

    fn guard() -> Guard {
        Guard::new(key(KEY).unwrap(), "lab", 30, 900)
    }

    fn signed(body: &str) -> Vec<u8> {
        let mac = hmac::sign(&key(KEY).unwrap(), body.as_bytes());
        let digits: String = mac.as_ref().iter().map(|it| format!("{it:02x}")).collect();
        format!("{digits} {body}").into_bytes()
    }

    fn body(time_s: u64, nonce: &str) -> String {
        format!(r#"{{"instance":"lab","verb":"status","time_s":{time_s},"nonce":"{nonce}"}}"#)
    }

    #[test]
    fn command_that_openssl_has_signed_is_taken_once() {
        let mut guard = guard();
        let payload = format!("{MAC} {BODY}").into_bytes();
        let command = guard.judge(&payload, 1001).unwrap();
        assert_eq!(
            (command.verb, command.reason.as_str()),
            (Wish::Kill, "drill")
        );
        assert_eq!(guard.judge(&payload, 1001), Err(Refusal::Replayed));
        assert_eq!(guard.judge(&payload, 1030), Err(Refusal::Replayed));
        assert_eq!(guard.judge(&payload, 1031), Err(Refusal::TooOld));
    }

    #[test]
    fn signature_that_does_not_hold_is_refused_before_anything_is_read() {
        let mut guard = guard();
        let good = format!("{MAC} {BODY}").into_bytes();
        for at in 0..good.len() {
            for flip in [1, 0x80] {
                let mut bad = good.clone();
                bad[at] ^= flip;
                let refused = guard.judge(&bad, 1001).unwrap_err();
                let expected = [Refusal::WrongSignature, Refusal::Unsigned];
                assert!(expected.contains(&refused), "{at} {flip}: {refused:?}");
            }
        }
        assert!(guard.judge(&good, 1001).is_ok(), "it is taken as it is");
    }

    #[test]
    fn old_new_foreign_and_senseless_commands_are_refused_by_cause() {
        let mut guard = guard();
        let nonce = "0123456789abcdef";
        for (payload, expected) in [
            (Vec::new(), Refusal::Unsigned),
            (vec![0xff; 500], Refusal::Unsigned),
            (vec![b' '; COMMAND_BYTES_MAX + 1], Refusal::TooLong),
            (signed("{}"), Refusal::Unreadable),
            (signed(&body(1000, "short")), Refusal::Unreadable),
            (
                signed(&body(1000, nonce).replace("lab", "other")),
                Refusal::OtherInstance,
            ),
            (
                signed(&body(1000, nonce).replace("status", "dance")),
                Refusal::Unreadable,
            ),
            (signed(&body(969, nonce)), Refusal::TooOld),
            (signed(&body(1031, nonce)), Refusal::TooNew),
        ] {
            assert_eq!(guard.judge(&payload, 1000), Err(expected));
        }
        assert!(guard.judge(&signed(&body(970, nonce)), 1000).is_ok());
    }

    #[test]
    fn what_was_signed_before_the_process_began_may_have_been_done_by_the_one_before() {
        let mut guard = Guard::new(key(KEY).unwrap(), "lab", 30, 1000);
        let nonce = "0123456789abcdef";
        assert_eq!(
            guard.judge(&signed(&body(1000, nonce)), 1001),
            Err(Refusal::TooOld)
        );
        assert!(guard.judge(&signed(&body(1001, nonce)), 1001).is_ok());
    }

    #[test]
    fn nonces_are_bounded_and_forgotten_with_their_window() {
        let mut guard = guard();
        let nonce = |number: usize| format!("nonce-{number:012}");
        for number in 0..NONCES_MAX {
            let payload = signed(&body(1000, &nonce(number)));
            assert!(guard.judge(&payload, 1000).is_ok(), "{number}");
        }
        let one_more = signed(&body(1000, "one more, as long"));
        assert_eq!(guard.judge(&one_more, 1000), Err(Refusal::TooMany));
        let later = signed(&body(1031, "one more, as long"));
        assert!(guard.judge(&later, 1031).is_ok());
        assert_eq!(guard.seen.len(), 1);
    }

    #[test]
    fn key_that_is_short_or_no_number_is_refused_and_not_shown() {
        for bad in [
            "",
            "abc",
            "zz",
            &"ab".repeat(31),
            &"ab".repeat(129),
            &"é".repeat(40),
        ] {
            let refused = key(bad).unwrap_err();
            assert!(refused.starts_with("expected 64 to 256"), "{refused}");
        }
        assert!(key(&format!("{KEY}\n")).is_ok());
    }
}
