//! The server's end of a SoupBinTCP session: login, numbers, heartbeats.
//!
//! Order entry and snapshots use it alike: what is sent in sequence is handed in as numbered messages.
//!
//! Time:        comes in as `now_ns` on any clock that does not go back.
//! When wrong:  a stream that is not SoupBinTCP, a bad or late login, a silent client: [`Close`].
//! Spec:        SoupBinTCP 3.00 and 4.10. A number beyond the next one is not specified: it is
//!              answered with the next one, and the client must see that it is not what it asked for.
//!              A session other than the current one is refused with `S`.

use protocol::soup::{LoginAccepted, LoginReject, LoginRequest, Packet, kind};
use protocol::types::Seq;
use protocol::{ascii, soup};
use zerocopy::IntoBytes;

use crate::options::Options;

/// Silence after which the server says that it lives.
const HEARTBEAT_NS: u64 = 1_000_000_000;
/// Silence of a client after which it is cut off ("typically 15 s").
const CLIENT_TIMEOUT_NS: u64 = 15_000_000_000;
/// Time to log in ("typically 30 s").
const LOGIN_TIMEOUT_NS: u64 = 30_000_000_000;
/// The longest packet that a client may send, with its length: OUCH messages are far shorter.
const PACKET_LEN_MAX: usize = 1024;

/// The connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Close;

/// One client.
#[derive(Debug)]
pub struct Session {
    state: State,
    inbox: Vec<u8>,
    connected_ns: u64,
    received_ns: u64,
    sent_ns: u64,
    client_timeout_ns: u64,
    /// How much the login's answer is wrong by: a fault.
    skew: u64,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    AwaitingLogin,
    LoggedIn { account: u16, next: usize },
}

/// Bytes of a client, and when they came.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// Any part of the stream.
    pub bytes: &'a [u8],
    /// On the clock of all times here.
    pub now_ns: u64,
}

/// What a packet means to the server.
#[derive(Debug, PartialEq, Eq)]
pub enum SessionEvent<'a> {
    /// The client of this account (its place among the names) is in; the answer is how many messages it
    /// has been sent so far.
    LoggedIn(u16),
    /// A message of this account.
    Message(u16, &'a [u8]),
}

impl Session {
    /// A client that has just connected.
    #[must_use]
    pub fn new(now_ns: u64) -> Self {
        Self {
            state: State::AwaitingLogin,
            inbox: Vec::new(),
            connected_ns: now_ns,
            received_ns: now_ns,
            sent_ns: now_ns,
            client_timeout_ns: CLIENT_TIMEOUT_NS,
            skew: 0,
        }
    }

    /// The login's answer will state a number that is so much too high.
    pub fn skew_login(&mut self, by: u64) {
        self.skew = by;
    }

    /// The account, once it is logged in, and the index of the message that it is sent next.
    #[must_use]
    pub fn place(&self) -> Option<(u16, usize)> {
        match self.state {
            State::AwaitingLogin => None,
            State::LoggedIn { account, next } => Some((account, next)),
        }
    }

    /// Takes bytes of the client; writes login answers into `out`.
    ///
    /// # Errors
    /// The connection is over; what is in `out` is still to be sent.
    pub fn on_bytes(
        &mut self,
        received: Received<'_>,
        options: &Options,
        out: &mut Vec<u8>,
        mut hear: impl FnMut(SessionEvent<'_>) -> usize,
    ) -> Result<(), Close> {
        // A read that brings nothing is no sign of life.
        if !received.bytes.is_empty() {
            self.received_ns = received.now_ns;
        }
        self.inbox.extend_from_slice(received.bytes);
        let inbox = std::mem::take(&mut self.inbox);
        let mut rest = &inbox[..];
        while let Some((packet, after)) = Packet::decode(rest).map_err(|soup::OutOfStep| Close)? {
            // Too long in one piece as in two.
            if packet.len() > PACKET_LEN_MAX {
                return Err(Close);
            }
            rest = after;
            self.on_packet(packet, options, out, &mut hear)?;
        }
        if rest.len() > PACKET_LEN_MAX {
            return Err(Close);
        }
        self.inbox = rest.to_vec();
        Ok(())
    }

    /// Writes what the client has not been told yet, at most about `limit` bytes of it. Of the message
    /// whose index is `cut_at` only the first half is written.
    ///
    /// # Errors
    /// The message was cut: what is in `out` is the last that may be sent.
    pub fn write_stored<'s>(
        &mut self,
        message: impl Fn(u16, usize) -> Option<&'s [u8]>,
        limit: usize,
        cut_at: Option<usize>,
        out: &mut Vec<u8>,
    ) -> Result<(), Close> {
        let State::LoggedIn { account, next } = &mut self.state else {
            return Ok(());
        };
        while out.len() < limit
            && let Some(payload) = message(*account, *next)
        {
            let packet = Packet {
                kind: kind::SEQUENCED,
                payload,
            };
            let start = out.len();
            write(packet, out);
            if cut_at == Some(*next) {
                out.truncate(start + packet.len() / 2);
                return Err(Close);
            }
            *next += 1;
        }
        Ok(())
    }

    /// Refuses a login after all, with everything that was to be said: the session is not available.
    ///
    /// # Errors
    /// Always: what is in `out` is the last that may be sent.
    pub fn refuse(&mut self, out: &mut Vec<u8>) -> Result<(), Close> {
        self.state = State::AwaitingLogin;
        out.clear();
        reject(LoginReject::SessionNotAvailable, out)
    }

    /// Tells a client that the session is over for good.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        if matches!(self.state, State::LoggedIn { .. }) {
            write(
                Packet {
                    kind: kind::END_OF_SESSION,
                    payload: &[],
                },
                out,
            );
        }
    }

    /// Something was sent.
    pub fn on_sent(&mut self, now_ns: u64) {
        self.sent_ns = now_ns;
    }

    /// Lets time pass: writes a heartbeat when one is due.
    ///
    /// # Errors
    /// The client has been silent for too long.
    pub fn on_timeout(&mut self, now_ns: u64, out: &mut Vec<u8>) -> Result<(), Close> {
        if self.state == State::AwaitingLogin {
            let is_late = now_ns.saturating_sub(self.connected_ns) > LOGIN_TIMEOUT_NS;
            return if is_late { Err(Close) } else { Ok(()) };
        }
        if now_ns.saturating_sub(self.received_ns) > self.client_timeout_ns {
            return Err(Close);
        }
        if now_ns.saturating_sub(self.sent_ns) >= HEARTBEAT_NS {
            write(
                Packet {
                    kind: kind::SERVER_HEARTBEAT,
                    payload: &[],
                },
                out,
            );
            // The next is due a second from here, whether or not the caller tells of each that it sends.
            self.sent_ns = now_ns;
        }
        Ok(())
    }

    fn on_packet(
        &mut self,
        packet: Packet<'_>,
        options: &Options,
        out: &mut Vec<u8>,
        hear: &mut impl FnMut(SessionEvent<'_>) -> usize,
    ) -> Result<(), Close> {
        match (packet.kind, &self.state) {
            (kind::LOGIN_REQUEST, State::AwaitingLogin) => {
                self.on_login(packet.payload, options, out, hear)
            }
            (kind::UNSEQUENCED, State::LoggedIn { account, .. }) => {
                hear(SessionEvent::Message(*account, packet.payload));
                Ok(())
            }
            (kind::CLIENT_HEARTBEAT | kind::DEBUG, _) => Ok(()),
            // Logout closes at once, and anything else has no place here.
            _ => Err(Close),
        }
    }

    fn on_login(
        &mut self,
        payload: &[u8],
        options: &Options,
        out: &mut Vec<u8>,
        hear: &mut impl FnMut(SessionEvent<'_>) -> usize,
    ) -> Result<(), Close> {
        let (request, timeout_ms) = LoginRequest::decode(payload).ok_or(Close)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes.trim_ascii()).to_ascii_lowercase();
        let user = text(&request.username);
        let mut accounts = (0..).zip(&options.accounts);
        let account = accounts.find(|(_, (name, _))| name.to_ascii_lowercase() == user);
        let known = account.filter(|(_, (_, account))| {
            account.password.to_ascii_lowercase() == text(&request.password)
        });
        let Some((account, _)) = known else {
            return reject(LoginReject::NotAuthorised, out);
        };
        let session = request.session.trim_ascii();
        if !session.is_empty() && session != options.session.as_bytes() {
            return reject(LoginReject::SessionNotAvailable, out);
        }
        let Some(wanted) = ascii::number(&request.seq) else {
            return reject(LoginReject::SessionNotAvailable, out);
        };
        let stored = hear(SessionEvent::LoggedIn(account));
        // 0: start with whatever comes next.
        let next = match usize::try_from(wanted).unwrap_or(usize::MAX) {
            0 => stored,
            wanted => (wanted - 1).min(stored),
        };
        let accepted = LoginAccepted::new(&options.session, Seq(next as u64 + 1 + self.skew));
        write(
            Packet {
                kind: kind::LOGIN_ACCEPTED,
                payload: accepted.as_bytes(),
            },
            out,
        );
        if let Some(timeout_ms) = timeout_ms.filter(|ms| *ms > 0) {
            self.client_timeout_ns = timeout_ms * 1_000_000;
        }
        self.state = State::LoggedIn { account, next };
        Ok(())
    }
}

fn reject(reason: LoginReject, out: &mut Vec<u8>) -> Result<(), Close> {
    write(
        Packet {
            kind: kind::LOGIN_REJECTED,
            payload: &[reason as u8],
        },
        out,
    );
    Err(Close)
}

fn write(packet: Packet<'_>, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + packet.len(), 0);
    if let Some(room) = out.get_mut(start..) {
        let written = packet.encode(room);
        debug_assert_eq!(
            written,
            Some(packet.len()),
            "the room is as long as the packet"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Options {
        let text =
            "address = \"127.0.0.1:1\"\nsession = \"S1\"\n[account.user]\npassword = \"Secret\"";
        crate::file::parse(text).unwrap().exchange
    }

    fn login(user: &str, password: &str, session: &str, seq: u64) -> Vec<u8> {
        let request = LoginRequest::new(user, password, session, Seq(seq));
        let mut out = Vec::new();
        write(
            Packet {
                kind: kind::LOGIN_REQUEST,
                payload: request.as_bytes(),
            },
            &mut out,
        );
        out
    }

    fn say(session: &mut Session, bytes: &[u8]) -> (Result<(), Close>, Vec<u8>, Vec<Vec<u8>>) {
        let (mut out, mut heard) = (Vec::new(), Vec::new());
        let received = Received { bytes, now_ns: 0 };
        let result = session.on_bytes(received, &options(), &mut out, |said| {
            if let SessionEvent::Message(_, message) = said {
                heard.push(message.to_vec());
            }
            5
        });
        (result, out, heard)
    }

    #[test]
    fn login_answers_with_session_and_next_number() {
        for (seq, next) in [(0, 6), (1, 1), (4, 4), (6, 6), (99, 6)] {
            let mut session = Session::new(0);
            let (result, out, _) = say(&mut session, &login("USER", "secret", "", seq));
            assert_eq!(result, Ok(()));
            let expected = format!("\0\x1FA        S1{next:>20}");
            assert_eq!(out, expected.as_bytes());
        }
    }

    #[test]
    fn a_skewed_login_states_a_number_that_does_not_come() {
        let mut session = Session::new(0);
        session.skew_login(3);
        let (_, out, _) = say(&mut session, &login("user", "secret", "", 2));
        assert!(out.ends_with(b"  5"));
        assert_eq!(session.place(), Some((0, 1)));
    }

    #[test]
    fn wrong_password_and_wrong_session_get_their_letter() {
        let (result, out, _) = say(&mut Session::new(0), &login("user", "wrong", "", 1));
        assert_eq!((result, &out[..]), (Err(Close), &b"\0\x02JA"[..]));
        let (result, out, _) = say(&mut Session::new(0), &login("user", "secret", "OLD", 1));
        assert_eq!((result, &out[..]), (Err(Close), &b"\0\x02JS"[..]));
    }

    #[test]
    fn messages_before_login_and_nonsense_close() {
        for bytes in [&b"\0\x02Ux"[..], b"\0\0", b"\0\x01O", b"\0\x03Lxy"] {
            assert_eq!(say(&mut Session::new(0), bytes).0, Err(Close));
        }
        let mut endless = vec![0xFF, 0xFF];
        endless.resize(2000, b'U');
        assert_eq!(say(&mut Session::new(0), &endless).0, Err(Close));
    }

    #[test]
    fn packet_that_is_too_long_closes_in_one_piece_as_in_two() {
        for len in [PACKET_LEN_MAX, PACKET_LEN_MAX + 1] {
            let payload = vec![b'x'; len - 3];
            let mut packet = Vec::new();
            let kind = kind::UNSEQUENCED;
            let payload = &payload[..];
            write(Packet { kind, payload }, &mut packet);
            let is_heard = |pieces: &[&[u8]]| {
                let mut session = Session::new(0);
                let login = login("user", "secret", "S1", 1);
                assert_eq!(say(&mut session, &login).0, Ok(()));
                let said = pieces.iter().map(|piece| say(&mut session, piece).0);
                said.fold(Ok(()), Result::and) == Ok(())
            };
            let expected = len == PACKET_LEN_MAX;
            assert_eq!(is_heard(&[&packet]), expected, "{len}");
            for at in [1, 2, 3, len - 1] {
                let (front, back) = packet.split_at(at);
                assert_eq!(is_heard(&[front, back]), expected, "{len}, cut at {at}");
            }
        }
    }

    #[test]
    fn messages_cut_anywhere_come_out_whole() {
        let mut session = Session::new(0);
        assert_eq!(
            say(&mut session, &login("user", "secret", "S1", 1)).0,
            Ok(())
        );
        let mut heard = Vec::new();
        for byte in b"\0\x03Uab\0\x01R\0\x02Uc" {
            heard.extend(say(&mut session, &[*byte]).2);
        }
        assert_eq!(heard, [b"ab".to_vec(), b"c".to_vec()]);
    }

    #[test]
    fn quiet_session_writes_one_heartbeat_a_second_however_often_it_is_asked() {
        let mut session = Session::new(0);
        assert_eq!(say(&mut session, &login("user", "secret", "", 1)).0, Ok(()));
        let mut beats = Vec::new();
        for tenth in 0..35 {
            let mut out = Vec::new();
            let now_ns = tenth * HEARTBEAT_NS / 10;
            assert_eq!(session.on_timeout(now_ns, &mut out), Ok(()));
            if !out.is_empty() {
                assert_eq!(out, b"\0\x01H");
                beats.push(tenth);
            }
        }
        assert_eq!(beats, [10, 20, 30]);
    }

    #[test]
    fn reads_that_bring_nothing_keep_no_silent_client() {
        let mut session = Session::new(0);
        assert_eq!(say(&mut session, &login("user", "secret", "", 1)).0, Ok(()));
        let now_ns = CLIENT_TIMEOUT_NS + 1;
        let nothing = Received { bytes: &[], now_ns };
        let mut out = Vec::new();
        let read = session.on_bytes(nothing, &options(), &mut out, |_| 0);
        assert_eq!(read, Ok(()));
        assert_eq!(session.on_timeout(now_ns, &mut out), Err(Close));
    }

    #[test]
    fn heartbeat_when_quiet_and_end_of_a_silent_client() {
        let mut session = Session::new(0);
        assert_eq!(say(&mut session, &login("user", "secret", "", 1)).0, Ok(()));
        let mut out = Vec::new();
        assert_eq!(session.on_timeout(HEARTBEAT_NS, &mut out), Ok(()));
        assert_eq!(out, b"\0\x01H");
        assert_eq!(
            session.on_timeout(CLIENT_TIMEOUT_NS + 1, &mut out),
            Err(Close)
        );
        assert_eq!(
            Session::new(0).on_timeout(LOGIN_TIMEOUT_NS + 1, &mut out),
            Err(Close)
        );
    }
}
