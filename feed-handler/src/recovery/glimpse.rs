//! The client's end of a GLIMPSE session: log in, hear the snapshot, stop at its end.
//!
//! ```text
//!  on_connected ──login──> LoggingIn ──accepted──> Loading ──G, number──> Over
//!                              └──rejected, silent, out of step, too long──> Over, with the reason
//! ```
//!
//! Path:        TCP -> glimpse -> recovery::spare
//! Thread:      recovery core
//! Contract:    **call `on_connected` and `on_bytes` with the connection, `on_timeout` a few times a second;
//!              send what they write; close once it is over.**
//! Invariants:  messages come out in the order of the stream, none after the end.
//! Time:        comes in as `now_ns`.
//! When wrong:  a stream out of step, a refused login, a silent or endless server: [`Failure`].
//! Spec:        GLIMPSE 5.0 over SoupBinTCP 3.00: one sequenced packet for each message, then End of Snapshot.

use protocol::glimpse::EndOfSnapshot;
use protocol::soup::{self, LoginReject, LoginRequest, Packet, kind};
use protocol::types::Seq;
use zerocopy::IntoBytes;

/// How long we may be silent before a client heartbeat is due (SoupBinTCP section 2: one second).
const HEARTBEAT_NS: u64 = 1_000_000_000;

/// Whom to log in as, and how patient to be.
#[derive(Clone, PartialEq, Eq)]
pub struct GlimpseOptions {
    /// At most 6 characters.
    pub username: String,
    /// At most 10 characters.
    pub password: String,
    /// Silence of the server after which the snapshot has failed, ns.
    pub silence_ns: u64,
    /// Time that the whole snapshot may take, ns.
    pub timeout_ns: u64,
}

/// Without the password.
impl std::fmt::Debug for GlimpseOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GlimpseOptions")
            .field("username", &self.username)
            .field("silence_ns", &self.silence_ns)
            .field("timeout_ns", &self.timeout_ns)
            .finish_non_exhaustive()
    }
}

/// Why there is no snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The server refused user name or password.
    NotAuthorised,
    /// The server has no such session.
    SessionNotAvailable,
    /// Lengths in the stream make no sense.
    OutOfStep,
    /// A message that cannot be read, the end's number among them.
    Unreadable,
    /// Messages are missing between the snapshot and the feed.
    Gapped,
    /// The server said nothing for too long.
    Silent,
    /// The snapshot did not come to its end in time.
    TooLong,
    /// The connection ended before the snapshot did, or did not come about.
    Closed,
}

/// What is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard<'a> {
    /// A message of the snapshot.
    Message(&'a [u8]),
    /// Its end: the first message of the feed to apply has this number.
    End(Seq),
    /// There will be none.
    Failed(Failure),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    LoggingIn,
    Loading,
    Over,
}

/// One session.
#[derive(Debug)]
pub struct Glimpse {
    options: GlimpseOptions,
    state: State,
    begun_ns: u64,
    sent_ns: u64,
    received_ns: u64,
    /// The beginning of a packet that has not come whole: one packet and one read at most.
    inbox: Vec<u8>,
}

impl Glimpse {
    /// Not connected yet.
    #[must_use]
    pub fn new(options: GlimpseOptions) -> Self {
        Self {
            options,
            state: State::Over,
            begun_ns: 0,
            sent_ns: 0,
            received_ns: 0,
            inbox: Vec::new(),
        }
    }

    /// Whether there is nothing more to hear.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// A connection stands; writes the login.
    pub fn on_connected(&mut self, now_ns: u64, out: &mut Vec<u8>) {
        self.state = State::LoggingIn;
        (self.begun_ns, self.received_ns) = (now_ns, now_ns);
        self.inbox.clear();
        // A blank session is the current one; its messages are asked for from the first on.
        let GlimpseOptions {
            username, password, ..
        } = &self.options;
        let request = LoginRequest::new(username, password, "", Seq(1));
        self.send(kind::LOGIN_REQUEST, request.as_bytes(), now_ns, out);
    }

    /// Takes any part of the stream.
    pub fn on_bytes(&mut self, bytes: &[u8], now_ns: u64, mut hear: impl FnMut(Heard<'_>)) {
        if self.state == State::Over {
            return;
        }
        self.received_ns = now_ns;
        let mut inbox = std::mem::take(&mut self.inbox);
        let is_whole = inbox.is_empty();
        if !is_whole {
            inbox.extend_from_slice(bytes);
        }
        let stream = if is_whole { bytes } else { &inbox };
        let mut rest = stream;
        while self.state != State::Over {
            match Packet::decode(rest) {
                Ok(Some((packet, after))) => {
                    rest = after;
                    self.on_packet(packet, &mut hear);
                }
                Ok(None) => break,
                Err(soup::OutOfStep) => self.fail(Failure::OutOfStep, &mut hear),
            }
        }
        let taken = stream.len() - rest.len();
        if is_whole {
            inbox.extend_from_slice(bytes.get(taken..).unwrap_or_default());
        } else {
            inbox.drain(..taken);
        }
        self.inbox = inbox;
    }

    fn on_packet(&mut self, packet: Packet<'_>, hear: &mut impl FnMut(Heard<'_>)) {
        match (self.state, packet.kind) {
            (State::LoggingIn, kind::LOGIN_ACCEPTED) => self.state = State::Loading,
            (State::LoggingIn, kind::LOGIN_REJECTED) => {
                let why = match LoginReject::decode(packet.payload) {
                    Some(LoginReject::SessionNotAvailable) => Failure::SessionNotAvailable,
                    _ => Failure::NotAuthorised,
                };
                self.fail(why, hear);
            }
            (State::Loading, kind::SEQUENCED) => match EndOfSnapshot::decode(packet.payload) {
                Ok(end) => match end.number() {
                    Some(seq) => {
                        self.state = State::Over;
                        hear(Heard::End(seq));
                    }
                    None => self.fail(Failure::Unreadable, hear),
                },
                Err(_) if packet.payload.first() == Some(&EndOfSnapshot::KIND) => {
                    self.fail(Failure::Unreadable, hear);
                }
                Err(_) => hear(Heard::Message(packet.payload)),
            },
            (_, kind::END_OF_SESSION) => self.fail(Failure::Closed, hear),
            _ => {}
        }
    }

    /// Looks at the time: writes a heartbeat that is due, or says why there will be no snapshot.
    pub fn on_timeout(&mut self, now_ns: u64, out: &mut Vec<u8>) -> Option<Failure> {
        if self.state == State::Over {
            return None;
        }
        let is_past = |since_ns: u64, by_ns: u64| now_ns.saturating_sub(since_ns) >= by_ns;
        if is_past(self.received_ns, self.options.silence_ns) {
            self.state = State::Over;
            return Some(Failure::Silent);
        }
        if is_past(self.begun_ns, self.options.timeout_ns) {
            self.state = State::Over;
            return Some(Failure::TooLong);
        }
        if is_past(self.sent_ns, HEARTBEAT_NS) {
            self.send(kind::CLIENT_HEARTBEAT, &[], now_ns, out);
        }
        None
    }

    fn fail(&mut self, why: Failure, hear: &mut impl FnMut(Heard<'_>)) {
        self.state = State::Over;
        hear(Heard::Failed(why));
    }

    fn send(&mut self, kind: u8, payload: &[u8], now_ns: u64, out: &mut Vec<u8>) {
        let mut buffer = [0; 64];
        let len = Packet { kind, payload }.encode(&mut buffer).unwrap_or(0);
        out.extend_from_slice(buffer.get(..len).unwrap_or_default());
        self.sent_ns = now_ns;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_NS: u64 = 1_000_000_000;

    fn glimpse() -> (Glimpse, Vec<u8>) {
        let mut glimpse = Glimpse::new(GlimpseOptions {
            username: "user".to_owned(),
            password: "secret".to_owned(),
            silence_ns: 5 * SECOND_NS,
            timeout_ns: 30 * SECOND_NS,
        });
        let mut out = Vec::new();
        glimpse.on_connected(0, &mut out);
        (glimpse, out)
    }

    /// A snapshot of two messages that ends at number 78; the bytes are written from the tables.
    fn stream() -> Vec<u8> {
        let mut stream = b"\0\x1FA    SESS01                   1".to_vec();
        stream.extend_from_slice(b"\0\x04Sone\0\x01H\0\x06Sthree\0\x16SG                  78");
        stream.extend_from_slice(b"\0\x05Slate");
        stream
    }

    fn heard(glimpse: &mut Glimpse, bytes: &[u8]) -> Vec<String> {
        let mut heard = Vec::new();
        glimpse.on_bytes(bytes, 1, |it| {
            heard.push(match it {
                Heard::Message(message) => String::from_utf8(message.to_vec()).unwrap(),
                other => format!("{other:?}"),
            });
        });
        heard
    }

    #[test]
    fn login_asks_for_the_current_session_from_its_first_message() {
        let (_, out) = glimpse();
        assert_eq!(
            out,
            b"\0\x2FLuser  secret                                 1"
        );
    }

    #[test]
    fn snapshot_is_heard_to_its_end_and_no_further_wherever_the_stream_is_cut() {
        let stream = stream();
        for cut in 0..stream.len() {
            let (mut glimpse, _) = glimpse();
            let mut all = heard(&mut glimpse, &stream[..cut]);
            all.extend(heard(&mut glimpse, &stream[cut..]));
            assert_eq!(all, ["one", "three", "End(Seq(78))"], "cut at {cut}");
            assert!(glimpse.is_over());
        }
        let (mut glimpse, _) = glimpse();
        let bytes = stream.iter().flat_map(|byte| heard(&mut glimpse, &[*byte]));
        assert_eq!(bytes.collect::<Vec<_>>(), ["one", "three", "End(Seq(78))"]);
    }

    #[test]
    fn refused_login_and_stream_out_of_step_say_why() {
        for (bytes, why) in [
            (&b"\0\x02JA"[..], "Failed(NotAuthorised)"),
            (b"\0\x02JS", "Failed(SessionNotAvailable)"),
            (b"\0\0", "Failed(OutOfStep)"),
            (b"\0\x01Z", "Failed(Closed)"),
        ] {
            let (mut glimpse, _) = glimpse();
            assert_eq!(heard(&mut glimpse, bytes), [why]);
            assert!(heard(&mut glimpse, &stream()).is_empty());
        }
    }

    #[test]
    fn end_without_a_number_is_no_end() {
        for end in [&b"\0\x16SG                  7x"[..], b"\0\x03SG7"] {
            let (mut glimpse, _) = glimpse();
            let mut stream = stream()[..33].to_vec();
            stream.extend_from_slice(end);
            assert_eq!(heard(&mut glimpse, &stream), ["Failed(Unreadable)"]);
        }
    }

    #[test]
    fn message_before_the_login_is_accepted_is_not_heard() {
        let (mut glimpse, _) = glimpse();
        assert!(heard(&mut glimpse, b"\0\x04Sone").is_empty());
    }

    #[test]
    fn silence_and_an_endless_snapshot_are_failures_and_heartbeats_keep_the_session() {
        let (mut glimpse, mut out) = glimpse();
        out.clear();
        assert_eq!(glimpse.on_timeout(SECOND_NS, &mut out), None);
        assert_eq!(out, b"\0\x01R");
        let silent_ns = 5 * SECOND_NS;
        assert_eq!(
            glimpse.on_timeout(silent_ns, &mut out),
            Some(Failure::Silent)
        );
        let (mut glimpse, _) = self::glimpse();
        glimpse.on_bytes(b"\0\x01H", 29 * SECOND_NS, |_| ());
        let end_ns = 30 * SECOND_NS;
        assert_eq!(glimpse.on_timeout(end_ns, &mut out), Some(Failure::TooLong));
    }
}
