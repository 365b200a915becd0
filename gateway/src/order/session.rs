//! The client's end of a SoupBinTCP session.
//!
//! ```text
//!  Down --on_connected--> Probing --accepted--> Down, end known (the driver connects again)
//!  Down --on_connected--> LoggingIn --accepted--> LoggedIn --silence, end, out of step--> Down
//!                             └--rejected, silence--> Down
//! ```
//!
//! A server does not say where its past ends: Login Accepted repeats the number that was asked for. So
//! each connection is made twice. The first login asks for "whatever comes next" and learns that
//! number; the second asks for what is missing, and the past is over when that number is reached.
//!
//! Thread:      order core, hot
//! Contract:    **call `on_connected` and `on_disconnected` with the transport, `on_bytes` with what
//!              arrives, `on_timeout` a few times a second; send what they write.**
//! Invariants:  `next_seq` counts every sequenced packet once, over reconnects; a new login asks for
//!              exactly the first one that has not been seen.
//! Time:        comes in as `now_ns`.
//! When wrong:  a stream out of step, a silent or refusing server end the connection with a reason.
//! Spec:        SoupBinTCP 3.00 section 2; heartbeats after one second, both ways.

use protocol::soup::{self, LoginAccepted, LoginReject, LoginRequest, Packet, kind};
use protocol::types::Seq;
use zerocopy::IntoBytes;

/// The longest packet that its length allows: more than one is never put together.
const INBOX_BYTES: usize = soup::PAYLOAD_LEN_MAX + soup::HEADER_LEN;
/// How long we may be silent before a client heartbeat is due (SoupBinTCP section 2: one second).
const HEARTBEAT_NS: u64 = 1_000_000_000;

/// Whom to log in as, and how patient to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// At most 6 characters.
    pub username: String,
    /// At most 10 characters.
    pub password: String,
    /// Session to join, at most 10 characters; empty: the current one.
    pub session: String,
    /// Silence of the server after which the connection is given up, ns.
    pub server_timeout_ns: u64,
}

/// Why a connection is of no more use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The server refused user name or password.
    NotAuthorised,
    /// The server has not the session that was asked for.
    SessionNotAvailable,
    /// Lengths in the stream make no sense.
    OutOfStep,
    /// The server said nothing for too long.
    ServerSilent,
    /// The session is over for good.
    EndOfSession,
    /// The server gave another session than the one that was being resumed.
    SessionChanged,
    /// The server lives, but does not answer a login or an account query.
    NoProgress,
}

/// What the session passes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEvent<'a> {
    /// The end of the past is known: connect again.
    Probed,
    /// Logged in; sequenced packets from this number on follow.
    LoggedIn(Seq),
    /// One sequenced message, and whether it was said before this connection was begun.
    Message(&'a [u8], bool),
    /// Nothing more will come on this connection.
    Ended(Ended),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Down,
    Probing,
    LoggingIn,
    LoggedIn,
}

/// One session.
#[derive(Debug)]
pub struct Session {
    credentials: Credentials,
    state: State,
    /// The session's name once the server has given it.
    joined: Option<[u8; 10]>,
    next_seq: u64,
    /// The number that came next when this connection was begun: the past lies below it.
    past_end: Option<u64>,
    last_sent_ns: u64,
    last_received_ns: u64,
    inbox: Box<[u8]>,
    inbox_len: usize,
}

impl Session {
    /// Asks for everything from the first message on, so that orders and fills of an earlier life of
    /// this process are known before a new order goes out.
    #[must_use]
    pub fn new(credentials: Credentials) -> Self {
        Self {
            credentials,
            state: State::Down,
            joined: None,
            next_seq: 1,
            past_end: None,
            last_sent_ns: 0,
            last_received_ns: 0,
            inbox: vec![0; INBOX_BYTES].into_boxed_slice(),
            inbox_len: 0,
        }
    }

    /// The number of the next sequenced message.
    #[must_use]
    pub fn next_seq(&self) -> Seq {
        Seq(self.next_seq)
    }

    /// Writes the login into `out`; returns its length.
    pub fn on_connected(&mut self, now_ns: u64, out: &mut [u8]) -> usize {
        let (state, seq) = match self.past_end {
            None => (State::Probing, 0),
            Some(_) => (State::LoggingIn, self.next_seq),
        };
        self.state = state;
        self.inbox_len = 0;
        self.last_received_ns = now_ns;
        let joined = self.joined.unwrap_or_default();
        let name = match core::str::from_utf8(&joined) {
            Ok(name) if self.joined.is_some() => name.trim(),
            _ => &self.credentials.session,
        };
        let request = LoginRequest::new(
            &self.credentials.username,
            &self.credentials.password,
            name,
            Seq(seq),
        );
        let packet = Packet {
            kind: kind::LOGIN_REQUEST,
            payload: request.as_bytes(),
        };
        self.sent(packet.encode(out).unwrap_or(0), now_ns)
    }

    /// Whether everything that the server had said before this connection has been heard.
    #[inline]
    #[must_use]
    pub fn is_past_over(&self) -> bool {
        self.past_end.is_some_and(|end| self.next_seq > end)
    }

    /// The connection is gone, and not because we are to connect again.
    pub fn on_disconnected(&mut self) {
        self.past_end = None;
        self.state = State::Down;
        self.inbox_len = 0;
    }

    /// Takes what arrived and passes each message on. Packets are read where they lie; only one that is
    /// not whole yet is kept.
    #[inline]
    pub fn on_bytes(
        &mut self,
        now_ns: u64,
        mut bytes: &[u8],
        mut on: impl FnMut(SessionEvent<'_>),
    ) {
        self.last_received_ns = now_ns;
        if self.inbox_len > 0 {
            bytes = self.complete(bytes, &mut on);
        }
        while self.state != State::Down {
            match Packet::decode(bytes) {
                Ok(Some((packet, after))) => {
                    bytes = after;
                    self.on_packet(packet, &mut on);
                }
                Ok(None) => return self.keep(bytes),
                Err(soup::OutOfStep) => return self.end(Ended::OutOfStep, &mut on),
            }
        }
    }

    /// Writes a heartbeat when one is due, or ends the connection of a silent server.
    pub fn on_timeout(
        &mut self,
        now_ns: u64,
        out: &mut [u8],
        mut on: impl FnMut(SessionEvent<'_>),
    ) -> usize {
        if self.state == State::Down {
            return 0;
        }
        if now_ns.saturating_sub(self.last_received_ns) > self.credentials.server_timeout_ns {
            self.state = State::Down;
            on(SessionEvent::Ended(Ended::ServerSilent));
            return 0;
        }
        let is_due = now_ns.saturating_sub(self.last_sent_ns) >= HEARTBEAT_NS;
        if self.state != State::LoggedIn || !is_due {
            return 0;
        }
        let packet = Packet {
            kind: kind::CLIENT_HEARTBEAT,
            payload: &[],
        };
        self.sent(packet.encode(out).unwrap_or(0), now_ns)
    }

    /// Writes a logout.
    pub fn log_out(&mut self, now_ns: u64, out: &mut [u8]) -> usize {
        if self.state != State::LoggedIn {
            return 0;
        }
        let packet = Packet {
            kind: kind::LOGOUT_REQUEST,
            payload: &[],
        };
        self.sent(packet.encode(out).unwrap_or(0), now_ns)
    }

    /// Something was sent, so no heartbeat is due for a second.
    #[inline]
    pub fn sent(&mut self, len: usize, now_ns: u64) -> usize {
        if len > 0 {
            self.last_sent_ns = now_ns;
        }
        len
    }

    /// Takes what the packet in the inbox lacks; what follows it.
    fn complete<'a>(&mut self, bytes: &'a [u8], on: &mut impl FnMut(SessionEvent<'_>)) -> &'a [u8] {
        let mut rest = bytes;
        // The length may be split itself, so what is lacking is known in two steps.
        while let Some(lacks) = soup::lacking(self.inbox.get(..self.inbox_len).unwrap_or_default())
        {
            if rest.is_empty() {
                return rest;
            }
            let (now, later) = rest.split_at(lacks.min(rest.len()));
            self.keep(now);
            rest = later;
        }
        let inbox = std::mem::take(&mut self.inbox);
        match Packet::decode(inbox.get(..self.inbox_len).unwrap_or_default()) {
            Ok(Some((packet, _))) => self.on_packet(packet, on),
            Ok(None) => debug_assert!(false, "a packet that lacks nothing is whole"),
            Err(soup::OutOfStep) => self.end(Ended::OutOfStep, on),
        }
        self.inbox = inbox;
        self.inbox_len = 0;
        rest
    }

    /// Puts bytes of a packet that is not whole behind those that are here.
    fn keep(&mut self, bytes: &[u8]) {
        let end = self.inbox_len + bytes.len();
        let room = self.inbox.get_mut(self.inbox_len..end);
        debug_assert!(room.is_some(), "no packet is longer than the inbox");
        if let Some(room) = room {
            room.copy_from_slice(bytes);
            self.inbox_len = end;
        }
    }

    #[inline]
    fn on_packet(&mut self, packet: Packet<'_>, on: &mut impl FnMut(SessionEvent<'_>)) {
        match (packet.kind, self.state) {
            (kind::SEQUENCED, State::LoggedIn) => {
                self.next_seq += 1;
                on(SessionEvent::Message(packet.payload, !self.is_past_over()));
            }
            (kind::LOGIN_ACCEPTED, State::Probing | State::LoggingIn) => {
                self.on_accepted(packet.payload, on);
            }
            (kind::LOGIN_REJECTED, State::Probing | State::LoggingIn) => {
                let ended = match LoginReject::decode(packet.payload) {
                    Some(LoginReject::SessionNotAvailable) => Ended::SessionNotAvailable,
                    Some(LoginReject::NotAuthorised) | None => Ended::NotAuthorised,
                };
                self.end(ended, on);
            }
            (kind::END_OF_SESSION, _) => self.end(Ended::EndOfSession, on),
            // Debug text, heartbeats and unsequenced data carry nothing for us.
            (kind::DEBUG | kind::SERVER_HEARTBEAT | kind::UNSEQUENCED, _) => {}
            _ => self.end(Ended::OutOfStep, on),
        }
    }

    fn on_accepted(&mut self, payload: &[u8], on: &mut impl FnMut(SessionEvent<'_>)) {
        let accepted = LoginAccepted::decode(payload);
        let Some((accepted, next)) = accepted.and_then(|a| Some((a, a.next_seq()?))) else {
            return self.end(Ended::OutOfStep, on);
        };
        let mut name = [b' '; 10];
        for (to, from) in name.iter_mut().zip(accepted.session_name()) {
            *to = *from;
        }
        // Another session, or a number that we did not ask for: what we know of orders is not what
        // this server tells. No order may go out on it.
        let is_known = self.joined.is_none_or(|joined| joined == name);
        let is_probing = self.state == State::Probing;
        let is_right = if is_probing {
            next.0 >= self.next_seq
        } else {
            next.0 == self.next_seq
        };
        if !is_known || !is_right {
            return self.end(Ended::SessionChanged, on);
        }
        self.joined = Some(name);
        if is_probing {
            self.past_end = Some(next.0);
            self.state = State::Down;
            return on(SessionEvent::Probed);
        }
        self.state = State::LoggedIn;
        on(SessionEvent::LoggedIn(next));
    }

    #[cold]
    fn end(&mut self, ended: Ended, on: &mut impl FnMut(SessionEvent<'_>)) {
        self.state = State::Down;
        on(SessionEvent::Ended(ended));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn session() -> Session {
        Session::new(Credentials {
            username: "user".into(),
            password: "secret".into(),
            session: String::new(),
            server_timeout_ns: 15 * SECOND,
        })
    }

    fn said(session: &mut Session, now_ns: u64, bytes: &[u8]) -> Vec<String> {
        let mut heard = Vec::new();
        session.on_bytes(now_ns, bytes, |received| {
            heard.push(format!("{received:?}"))
        });
        heard
    }

    fn accepted(seq: u64) -> Vec<u8> {
        let mut out = [0; 64];
        let payload = LoginAccepted::new("S1", Seq(seq));
        let packet = Packet {
            kind: kind::LOGIN_ACCEPTED,
            payload: payload.as_bytes(),
        };
        let len = packet.encode(&mut out).unwrap();
        out[..len].to_vec()
    }

    fn login(session: &mut Session) {
        session.on_connected(0, &mut [0; 64]);
        let next = session.next_seq().0;
        assert_eq!(said(session, 0, &accepted(next)), ["Probed"]);
        session.on_connected(0, &mut [0; 64]);
        assert_eq!(
            said(session, 0, &accepted(next)),
            [format!("LoggedIn(Seq({next}))")]
        );
    }

    #[test]
    fn login_learns_the_end_of_the_past_and_asks_for_what_is_missing() {
        let mut session = session();
        let mut out = [0; 64];
        assert_eq!(session.on_connected(0, &mut out), 49);
        assert_eq!(&out[..9], b"\0\x2FLuser  ");
        assert!(out[19..29].iter().all(|b| *b == b' '));
        assert_eq!(out[48], b'0');
        assert_eq!(said(&mut session, 0, &accepted(3)), ["Probed"]);
        session.on_connected(0, &mut out);
        assert_eq!((&out[19..29], out[48]), (&b"S1        "[..], b'1'));
        assert_eq!(said(&mut session, 0, &accepted(1)), ["LoggedIn(Seq(1))"]);
        assert_eq!(said(&mut session, 1, b"\0\x02Sx\0\x01H\0\x02Sy").len(), 2);
        assert!(!session.is_past_over());
        assert_eq!(said(&mut session, 1, b"\0\x02Sz").len(), 1);
        assert!(session.is_past_over());
        session.on_disconnected();
        session.on_connected(2, &mut out);
        assert_eq!(out[48], b'0');
        assert_eq!(said(&mut session, 0, &accepted(4)), ["Probed"]);
        session.on_connected(2, &mut out);
        assert_eq!(out[48], b'4');
    }

    #[test]
    fn packets_cut_anywhere_come_out_whole() {
        let mut random = fastrand::Rng::with_seed(1);
        let stream = b"\0\x04Sabc\0\x02+d\0\x01H\0\x03Sde\0\x01S";
        let whole = [
            "Message([97, 98, 99], false)",
            "Message([100, 101], false)",
            "Message([], false)",
        ];
        for longest in 1..=stream.len() {
            for _ in 0..100 {
                let mut session = session();
                login(&mut session);
                let (mut heard, mut rest) = (Vec::new(), &stream[..]);
                while !rest.is_empty() {
                    let (now, later) = rest.split_at(random.usize(1..=longest).min(rest.len()));
                    heard.extend(said(&mut session, 1, now));
                    rest = later;
                }
                assert_eq!(
                    (heard, session.next_seq()),
                    (whole.map(String::from).to_vec(), Seq(4))
                );
            }
        }
    }

    #[test]
    fn longest_packet_comes_out_whole() {
        let mut session = session();
        login(&mut session);
        let stream = [
            &b"\xFF\xFFS"[..],
            &[b'x'; soup::PAYLOAD_LEN_MAX],
            b"\0\x02Sy",
        ]
        .concat();
        let mut lens = Vec::new();
        for bytes in stream.chunks(1_000) {
            session.on_bytes(1, bytes, |received| match received {
                SessionEvent::Message(message, _) => lens.push(message.len()),
                other => panic!("{other:?}"),
            });
        }
        assert_eq!(lens, [soup::PAYLOAD_LEN_MAX, 1]);
    }

    #[test]
    fn refusals_and_nonsense_end_the_connection() {
        for (bytes, ended) in [
            (&b"\0\x02JA"[..], "Ended(NotAuthorised)"),
            (b"\0\x02JS", "Ended(SessionNotAvailable)"),
            (b"\0\0", "Ended(OutOfStep)"),
            (b"\0\x02Sx", "Ended(OutOfStep)"),
            (b"\0\x01Z", "Ended(EndOfSession)"),
        ] {
            let mut session = session();
            session.on_connected(0, &mut [0; 64]);
            assert_eq!(said(&mut session, 1, bytes), [ended]);
            assert!(said(&mut session, 1, b"\0\x01H").is_empty());
        }
    }

    #[test]
    fn another_session_than_the_one_resumed_is_not_traded_on() {
        let mut session = session();
        login(&mut session);
        assert_eq!(said(&mut session, 1, b"\0\x02Sx").len(), 1);
        session.on_disconnected();
        session.on_connected(1, &mut [0; 64]);
        // It has said less than we have heard.
        let fewer = said(&mut session, 1, &accepted(1));
        assert_eq!(fewer, ["Ended(SessionChanged)"]);
        session.on_connected(1, &mut [0; 64]);
        let mut other = accepted(2);
        other[3..13].copy_from_slice(b"        S2");
        assert_eq!(said(&mut session, 1, &other), ["Ended(SessionChanged)"]);
    }

    #[test]
    fn heartbeat_after_a_second_of_silence_and_end_after_the_servers() {
        let mut session = session();
        login(&mut session);
        let mut out = [0; 8];
        session.sent(1, SECOND / 2);
        assert_eq!(session.on_timeout(SECOND, &mut out, |_| ()), 0);
        assert_eq!(session.on_timeout(SECOND * 3 / 2, &mut out, |_| ()), 3);
        assert_eq!(&out[..3], b"\0\x01R");
        let mut ended = false;
        session.on_timeout(16 * SECOND, &mut out, |received| {
            ended = received == SessionEvent::Ended(Ended::ServerSilent);
        });
        assert!(ended);
    }
}
