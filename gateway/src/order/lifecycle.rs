//! How far a session is, from the wait before a connection to the end of the process: one state, and every
//! reason to wake up.
//!
//! ```text
//!  Waiting ──pause over──> Connecting ──stands──> Probing, LoggingIn ──> Recovering ──account query──> Open
//!     ^                        │                      │    (again, at once)    │         answered       │ stop
//!     │                        │                      │                        │                        v
//!     └──── closed ────────── Ending <────────────────┴────────────────────────┴──────────────────── Stopping
//!           (the driver closes what is of no more use)                                                  │
//!                                                            Stopped <── nothing open, or time is up ───┘
//! ```
//!
//! Between `Recovering` and `Open` lies `Settling`, where what an earlier run left open has to be cancelled first.
//!
//! A server does not say where its past ends: Login Accepted repeats the number that was asked for. So
//! each connection is made twice. The first login asks for "whatever comes next" and learns that
//! number (`Probing`); the second asks for what is missing, and the past is over when that number is reached.
//!
//! Who is told to stop while nothing is connected tries at once, and goes the whole way to cancel what stands.
//!
//! Thread:      order core, hot
//! Contract:    **call `on_timeout` a few times a second and do what it says; tell what became of the
//!              connection by `on_connected` and `on_closed`; send what calls write.**
//! Invariants:  `next_seq` counts every sequenced packet once, over reconnects; a new login asks for
//!              exactly the first one that has not been heard.
//! Time:        comes in as `now_ns`.
//! When wrong:  a stream out of step, a silent or refusing server, one that lets us get nowhere: the
//!              connection ends with a reason, and is made again after a pause, where the next address stands
//!              (`addresses`).
//! Spec:        SoupBinTCP 3.00 section 2; heartbeats after one second, both ways.

use std::net::SocketAddrV4;

use protocol::soup::{LoginAccepted, LoginReject, LoginRequest, Packet, kind};
use protocol::types::Seq;
use zerocopy::IntoBytes;

use super::addresses::Addresses;
use super::session_state::State;
use crate::message::notice::Ended;

/// How long we may be silent before a client heartbeat is due (SoupBinTCP section 2: one second).
const HEARTBEAT_NS: u64 = 1_000_000_000;
/// How long a connection may take to come about.
const CONNECT_TIMEOUT_NS: u64 = 5_000_000_000;
/// Time without progress after which a connection on which nothing can be sent yet is given up: a server
/// that sends heartbeats but never answers a login or an account query would hold it for ever. A login is
/// answered within milliseconds, and each message of the past is progress.
pub const PROGRESS_TIMEOUT_NS: u64 = 5_000_000_000;
/// How long everything open may take to be cancelled before the process ends.
pub const STOP_TIMEOUT_NS: u64 = 1_200_000_000;
/// No timer runs.
const NEVER: u64 = u64::MAX;

/// Where and whom to log in as, and how patient to be.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Where the exchange may be.
    pub addresses: Addresses,
    /// At most 6 characters.
    pub username: String,
    /// At most 10 characters.
    pub password: String,
    /// Session to join, at most 10 characters; empty: the current one.
    pub session: String,
    /// Silence of the server after which the connection is given up, ns.
    pub server_timeout_ns: u64,
}

/// Without the password.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// Why the lifecycle wakes up. Each has its time in one state or the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Timer {
    /// The pause before another try is over.
    Connect,
    /// The connection has not come about.
    GiveUp,
    /// Connected, and not open in time.
    NoProgress,
    /// The server has said nothing for too long.
    ServerSilent,
    /// We have said nothing for a second.
    Heartbeat,
}

/// What the driver has to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing.
    Nothing,
    /// Connect to this address.
    Connect(SocketAddrV4),
    /// Close what has not come about, and say so by [`Lifecycle::on_closed`].
    GiveUp,
    /// Send this many bytes, which have been written.
    Send(usize),
    /// Close the connection, and say so by [`Lifecycle::on_closed`].
    End(Ended),
}

/// What a packet of the server means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEvent<'a> {
    /// Nothing for anybody: a heartbeat, debug text.
    Quiet,
    /// The end of the past is known: close, say so by [`Lifecycle::on_probed`], and connect again.
    Probed,
    /// Logged in; sequenced packets follow.
    LoggedIn,
    /// One sequenced message, and whether it was said before this connection was begun.
    Message(&'a [u8], bool),
    /// Nothing more will come on this connection: close it.
    Ended(Ended),
}

/// One session's lifecycle.
#[derive(Debug)]
pub struct Lifecycle {
    credentials: Credentials,
    state: State,
    /// When the state's own timer is due; [`NEVER`] where it has none.
    deadline_ns: u64,
    /// The session's name once the server has given it.
    joined: Option<[u8; 10]>,
    next_seq: u64,
    /// The number that came next when this connection was begun: the past lies below it.
    past_end: Option<u64>,
    last_sent_ns: u64,
    last_received_ns: u64,
    /// The past was known once in this life: what is open is known, whether connected or not.
    has_been_open: bool,
    /// Told to stop: when the time for it is up.
    stop_by_ns: Option<u64>,
}

impl Lifecycle {
    /// Connects at once, and asks for everything from the first message on, so that orders and fills of an
    /// earlier life of this process are known before a new order goes out.
    #[must_use]
    pub fn new(credentials: Credentials) -> Self {
        Self {
            credentials,
            state: State::Waiting,
            deadline_ns: 0,
            joined: None,
            next_seq: 1,
            past_end: None,
            last_sent_ns: 0,
            last_received_ns: 0,
            has_been_open: false,
            stop_by_ns: None,
        }
    }

    /// One that is open to nobody: of an order entry without a connection, which nothing that it writes can leave
    /// (`understudy`).
    pub(super) fn of_understudy() -> Self {
        let nobody = Credentials {
            addresses: Addresses::default(),
            username: String::new(),
            password: String::new(),
            session: String::new(),
            server_timeout_ns: NEVER,
        };
        Self {
            state: State::Open,
            deadline_ns: NEVER,
            has_been_open: true,
            ..Self::new(nobody)
        }
    }

    /// How far it is.
    #[inline]
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// Whether cancels can be sent.
    #[inline]
    #[must_use]
    pub fn takes_cancels(&self) -> bool {
        matches!(self.state, State::Settling | State::Open | State::Stopping)
    }

    /// Whether packets of the server mean anything now.
    #[inline]
    #[must_use]
    pub fn is_listening(&self) -> bool {
        !matches!(
            self.state,
            State::Waiting | State::Connecting | State::Ending
        )
    }

    /// The number of the next sequenced message: what is below has been heard.
    #[must_use]
    pub fn next_seq(&self) -> Seq {
        Seq(self.next_seq)
    }

    /// Where its exchange may be.
    #[must_use]
    pub fn addresses(&self) -> &Addresses {
        &self.credentials.addresses
    }

    /// The number that came next when this connection was begun: the past lies below it. `None`: it is not known yet.
    #[must_use]
    pub fn past_end(&self) -> Option<Seq> {
        self.past_end.map(Seq)
    }

    /// The session that the server has named, padded on the right; blank: none yet.
    #[must_use]
    pub fn joined(&self) -> [u8; 10] {
        self.joined.unwrap_or([b' '; 10])
    }

    /// Whether it has been told to stop, and what is open is known. While the exchange cannot be asked that
    /// is so only if it was so before the connection went.
    #[must_use]
    pub fn is_stopping_and_sure(&self) -> bool {
        let is_sure = match self.state {
            State::Stopping | State::Stopped => true,
            State::Recovering | State::Settling | State::Open => false,
            _ => self.has_been_open,
        };
        self.stop_by_ns.is_some() && is_sure
    }

    /// Whether it has been told to stop.
    #[must_use]
    pub fn is_told_to_stop(&self) -> bool {
        self.stop_by_ns.is_some()
    }

    /// From now on nothing new goes out; whether the time to cancel what stands is up.
    pub fn stop(&mut self, now_ns: u64) -> bool {
        let is_first = self.stop_by_ns.is_none();
        let stop_by_ns = *self
            .stop_by_ns
            .get_or_insert_with(|| now_ns.saturating_add(STOP_TIMEOUT_NS));
        match self.state {
            State::Settling | State::Open => self.state = State::Stopping,
            State::Waiting if is_first => self.deadline_ns = 0,
            _ => {}
        }
        now_ns >= stop_by_ns
    }

    /// Writes a logout where there is somebody to read it: the end.
    pub fn log_out(&mut self, now_ns: u64, out: &mut [u8]) -> usize {
        let is_logged_in = matches!(
            self.state,
            State::Recovering | State::Settling | State::Open | State::Stopping
        );
        self.go(State::Stopped, NEVER);
        if is_logged_in {
            self.write(kind::LOGOUT_REQUEST, &[], now_ns, out)
        } else {
            0
        }
    }

    /// Lets time pass.
    pub fn on_timeout(&mut self, now_ns: u64, out: &mut [u8]) -> Due {
        let Some(timer) = self.due(now_ns) else {
            return Due::Nothing;
        };
        match timer {
            Timer::Connect => {
                self.go(State::Connecting, now_ns.saturating_add(CONNECT_TIMEOUT_NS));
                Due::Connect(self.credentials.addresses.current())
            }
            Timer::GiveUp => Due::GiveUp,
            Timer::NoProgress => Due::End(self.end(Ended::NoProgress)),
            Timer::ServerSilent => Due::End(self.end(Ended::ServerSilent)),
            Timer::Heartbeat => Due::Send(self.write(kind::CLIENT_HEARTBEAT, &[], now_ns, out)),
        }
    }

    /// The timer that is due.
    fn due(&self, now_ns: u64) -> Option<Timer> {
        let is_up = now_ns >= self.deadline_ns;
        match self.state {
            State::Waiting => return is_up.then_some(Timer::Connect),
            State::Connecting => return is_up.then_some(Timer::GiveUp),
            State::Stopped | State::Ending => return None,
            State::Probing | State::LoggingIn | State::Recovering | State::Settling if is_up => {
                return Some(Timer::NoProgress);
            }
            _ => {}
        }
        let silence_ns = now_ns.saturating_sub(self.last_received_ns);
        if silence_ns > self.credentials.server_timeout_ns {
            return Some(Timer::ServerSilent);
        }
        let is_logged_in = !matches!(self.state, State::Probing | State::LoggingIn);
        let is_quiet = now_ns.saturating_sub(self.last_sent_ns) >= HEARTBEAT_NS;
        (is_logged_in && is_quiet).then_some(Timer::Heartbeat)
    }

    /// The connection stands: writes the login, unless it is too late for one.
    pub fn on_connected(&mut self, now_ns: u64, out: &mut [u8]) -> usize {
        if self.state == State::Stopped {
            return 0;
        }
        let (state, seq) = match self.past_end {
            None => (State::Probing, 0),
            Some(_) => (State::LoggingIn, self.next_seq),
        };
        self.go(state, now_ns.saturating_add(PROGRESS_TIMEOUT_NS));
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
        self.write(kind::LOGIN_REQUEST, request.as_bytes(), now_ns, out)
    }

    /// The connection is gone, or never came about; the pause before the next try, ms, 0: there is none.
    pub fn on_closed(&mut self, now_ns: u64) -> u32 {
        self.past_end = None;
        if self.state == State::Stopped {
            return 0;
        }
        let chance = now_ns ^ chance_of(&self.credentials.username);
        let pause_ms = self.credentials.addresses.on_closed(chance, now_ns);
        let until_ns = now_ns.saturating_add(u64::from(pause_ms) * 1_000_000);
        self.go(State::Waiting, until_ns);
        pause_ms
    }

    /// The connection that has told the end of the past is to be closed: the next one is due at once.
    pub fn on_probed(&mut self) {
        self.go(State::Waiting, 0);
    }

    /// Whether nothing has gone out in this life: what stands is an earlier one's.
    #[must_use]
    pub fn is_first(&self) -> bool {
        !self.has_been_open
    }

    /// Everything that the exchange had said is known, and what an earlier run left open has to go before orders may
    /// go out.
    pub fn on_past_known(&mut self, now_ns: u64) {
        if self.stop_by_ns.is_some() {
            self.has_been_open = true;
            return self.go(State::Stopping, NEVER);
        }
        self.go(State::Settling, now_ns.saturating_add(PROGRESS_TIMEOUT_NS));
    }

    /// Nothing that an earlier run left is in the way: orders may go out.
    pub fn on_recovered(&mut self, now_ns: u64) {
        self.go(State::Open, NEVER);
        self.has_been_open = true;
        self.credentials.addresses.on_open(now_ns);
    }

    /// Bytes arrived.
    #[inline]
    pub fn on_heard(&mut self, now_ns: u64) {
        self.last_received_ns = now_ns;
    }

    /// Something was sent, so no heartbeat is due for a second.
    #[inline]
    pub fn on_sent(&mut self, len: usize, now_ns: u64) -> usize {
        if len > 0 {
            self.last_sent_ns = now_ns;
        }
        len
    }

    /// Takes one packet of the server's.
    #[inline]
    pub fn on_packet<'a>(&mut self, packet: Packet<'a>, now_ns: u64) -> SessionEvent<'a> {
        let is_logged_in = matches!(
            self.state,
            State::Open | State::Recovering | State::Settling | State::Stopping | State::Stopped
        );
        if packet.kind == kind::SEQUENCED && is_logged_in {
            self.next_seq += 1;
            if matches!(self.state, State::Recovering | State::Settling) {
                self.deadline_ns = now_ns.saturating_add(PROGRESS_TIMEOUT_NS);
            }
            let is_past = self.past_end.is_none_or(|end| self.next_seq <= end);
            return SessionEvent::Message(packet.payload, is_past);
        }
        self.on_rare(packet, now_ns)
    }

    #[cold]
    fn on_rare<'a>(&mut self, packet: Packet<'a>, now_ns: u64) -> SessionEvent<'a> {
        let ended = match (packet.kind, self.state) {
            (kind::LOGIN_ACCEPTED, State::Probing | State::LoggingIn) => {
                return self.on_accepted(packet.payload, now_ns);
            }
            (kind::LOGIN_REJECTED, State::Probing | State::LoggingIn) => {
                match LoginReject::decode(packet.payload) {
                    Some(LoginReject::SessionNotAvailable) => Ended::SessionNotAvailable,
                    Some(LoginReject::NotAuthorised) | None => Ended::NotAuthorised,
                }
            }
            (kind::END_OF_SESSION, _) => Ended::EndOfSession,
            // Debug text, heartbeats and unsequenced data carry nothing for us.
            (kind::DEBUG | kind::SERVER_HEARTBEAT | kind::UNSEQUENCED, _) => {
                return SessionEvent::Quiet;
            }
            _ => Ended::OutOfStep,
        };
        SessionEvent::Ended(self.end(ended))
    }

    fn on_accepted<'a>(&mut self, payload: &[u8], now_ns: u64) -> SessionEvent<'a> {
        let accepted = LoginAccepted::decode(payload);
        let Some((accepted, next)) = accepted.and_then(|a| Some((a, a.next_seq()?))) else {
            return SessionEvent::Ended(self.end(Ended::OutOfStep));
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
            return SessionEvent::Ended(self.end(Ended::SessionChanged));
        }
        self.joined = Some(name);
        if is_probing {
            self.past_end = Some(next.0);
            self.go(State::Ending, NEVER);
            return SessionEvent::Probed;
        }
        let until_ns = now_ns.saturating_add(PROGRESS_TIMEOUT_NS);
        self.go(State::Recovering, until_ns);
        SessionEvent::LoggedIn
    }

    /// The connection is of no more use.
    #[cold]
    pub fn end(&mut self, ended: Ended) -> Ended {
        if matches!(ended, Ended::Swallowed | Ended::Unanswered) {
            self.credentials.addresses.on_useless();
        }
        if self.state != State::Stopped {
            self.go(State::Ending, NEVER);
        }
        ended
    }

    fn go(&mut self, state: State, deadline_ns: u64) {
        (self.state, self.deadline_ns) = (state, deadline_ns);
    }

    fn write(&mut self, kind: u8, payload: &[u8], now_ns: u64, out: &mut [u8]) -> usize {
        let packet = Packet { kind, payload };
        self.on_sent(packet.encode(out).unwrap_or(0), now_ns)
    }
}

/// Accounts whose connections end at the same moment come back at different ones.
fn chance_of(username: &str) -> u64 {
    let bytes = username.bytes();
    bytes.fold(0, |chance: u64, byte| chance << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const MS: u64 = 1_000_000;
    const EXCHANGE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 12_000);

    fn lifecycle() -> Lifecycle {
        Lifecycle::new(Credentials {
            addresses: Addresses::new(EXCHANGE, &[]),
            username: "user".into(),
            password: "secret".into(),
            session: String::new(),
            server_timeout_ns: 15 * SECOND,
        })
    }

    fn hears(lifecycle: &mut Lifecycle, kind: u8, payload: &[u8]) -> String {
        lifecycle.on_heard(0);
        let said = lifecycle.on_packet(Packet { kind, payload }, 0);
        format!("{said:?}")
    }

    fn accepts(lifecycle: &mut Lifecycle, name: &str, seq: u64) -> String {
        let payload = LoginAccepted::new(name, Seq(seq));
        hears(lifecycle, kind::LOGIN_ACCEPTED, payload.as_bytes())
    }

    /// Both logins, to a server that has said everything that was heard.
    fn log_in(lifecycle: &mut Lifecycle) {
        let next = lifecycle.next_seq().0;
        lifecycle.on_connected(0, &mut [0; 64]);
        assert_eq!(accepts(lifecycle, "S1", next), "Probed");
        lifecycle.on_probed();
        assert_eq!(lifecycle.on_timeout(0, &mut []), Due::Connect(EXCHANGE));
        lifecycle.on_connected(0, &mut [0; 64]);
        assert_eq!(accepts(lifecycle, "S1", next), "LoggedIn");
    }

    #[test]
    fn login_learns_the_end_of_the_past_and_asks_for_what_is_missing() {
        let (mut one, mut out) = (lifecycle(), [0; 64]);
        assert_eq!(one.on_connected(0, &mut out), 49);
        assert_eq!(&out[..9], b"\0\x2FLuser  ");
        assert!(out[19..29].iter().all(|b| *b == b' '));
        assert_eq!((out[48], one.state()), (b'0', State::Probing));
        assert_eq!(accepts(&mut one, "S1", 3), "Probed");
        assert!(!one.is_listening(), "nothing more is expected on it");
        one.on_probed();
        one.on_connected(0, &mut out);
        assert_eq!((&out[19..29], out[48]), (&b"S1        "[..], b'1'));
        assert_eq!(accepts(&mut one, "S1", 1), "LoggedIn");
        let past = [
            "Message([120], true)",
            "Message([120], true)",
            "Message([120], false)",
        ];
        for told in past {
            assert_eq!(hears(&mut one, kind::SEQUENCED, b"x"), told);
        }
        one.on_recovered(0);
        assert_eq!(one.state(), State::Open);
        one.on_closed(2);
        one.on_connected(2, &mut out);
        assert_eq!(out[48], b'0');
        assert_eq!(accepts(&mut one, "S1", 4), "Probed");
        one.on_probed();
        one.on_connected(2, &mut out);
        assert_eq!(out[48], b'4');
    }

    #[test]
    fn refusals_and_nonsense_end_the_connection_and_nothing_is_due_until_it_is_closed() {
        for (kind, payload, ended) in [
            (kind::LOGIN_REJECTED, &b"A"[..], "Ended(NotAuthorised)"),
            (kind::LOGIN_REJECTED, b"S", "Ended(SessionNotAvailable)"),
            (kind::SEQUENCED, b"x", "Ended(OutOfStep)"),
            (kind::LOGIN_ACCEPTED, b"x", "Ended(OutOfStep)"),
            (kind::END_OF_SESSION, b"", "Ended(EndOfSession)"),
        ] {
            let mut one = lifecycle();
            one.on_connected(0, &mut [0; 64]);
            assert_eq!(hears(&mut one, kind, payload), ended);
            assert!(!one.is_listening());
            assert_eq!(one.on_timeout(u64::MAX, &mut []), Due::Nothing);
            one.on_closed(0);
            assert_eq!(one.on_timeout(125 * MS, &mut []), Due::Connect(EXCHANGE));
        }
    }

    #[test]
    fn another_session_than_the_one_resumed_is_not_traded_on() {
        let mut one = lifecycle();
        log_in(&mut one);
        hears(&mut one, kind::SEQUENCED, b"x");
        one.on_closed(1);
        one.on_connected(1, &mut [0; 64]);
        // It has said less than we have heard.
        assert_eq!(accepts(&mut one, "S1", 1), "Ended(SessionChanged)");
        one.on_closed(1);
        one.on_connected(1, &mut [0; 64]);
        assert_eq!(accepts(&mut one, "S2", 2), "Ended(SessionChanged)");
    }

    #[test]
    fn heartbeat_after_a_second_of_our_silence_and_end_after_the_servers() {
        let (mut one, mut out) = (lifecycle(), [0; 8]);
        log_in(&mut one);
        one.on_recovered(0);
        one.on_sent(1, SECOND / 2);
        assert_eq!(one.on_timeout(SECOND, &mut out), Due::Nothing);
        assert_eq!(one.on_timeout(SECOND * 3 / 2, &mut out), Due::Send(3));
        assert_eq!(&out[..3], b"\0\x01R");
        assert_eq!(one.on_timeout(SECOND * 3 / 2, &mut out), Due::Nothing);
        let silent = Due::End(Ended::ServerSilent);
        assert_eq!(one.on_timeout(16 * SECOND, &mut out), silent);
    }

    #[test]
    fn no_heartbeat_goes_out_before_the_login_is_accepted() {
        let mut one = lifecycle();
        one.on_connected(0, &mut [0; 64]);
        assert_eq!(one.on_timeout(4 * SECOND, &mut [0; 8]), Due::Nothing);
    }

    #[test]
    fn login_and_query_that_get_no_answer_end_after_five_seconds_and_each_message_is_progress() {
        let stuck = Due::End(Ended::NoProgress);
        let mut one = lifecycle();
        one.on_connected(0, &mut [0; 64]);
        assert_eq!(
            one.on_timeout(PROGRESS_TIMEOUT_NS - 1, &mut []),
            Due::Nothing
        );
        assert_eq!(one.on_timeout(PROGRESS_TIMEOUT_NS, &mut []), stuck);
        one.on_closed(0);
        log_in(&mut one);
        let packet = Packet {
            kind: kind::SEQUENCED,
            payload: b"x",
        };
        for second in [4, 8, 12] {
            one.on_heard(second * SECOND);
            one.on_sent(1, second * SECOND);
            one.on_packet(packet, second * SECOND);
            assert_eq!(one.on_timeout(second * SECOND, &mut []), Due::Nothing);
        }
        one.on_sent(1, 17 * SECOND);
        assert_eq!(one.on_timeout(17 * SECOND, &mut []), stuck);
    }

    /// Whether the pause from a close to the next try is as told, and as long as expected, give or take a quarter, in ms.
    fn pauses(one: &mut Lifecycle, now_ns: u64, expected_ms: u32) -> bool {
        let told_ms = one.on_closed(now_ns);
        let due = Due::Connect(EXCHANGE);
        let waited_ms = (0..).find(|ms| one.on_timeout(now_ns + ms * MS, &mut []) == due);
        waited_ms == Some(u64::from(told_ms)) && told_ms.abs_diff(expected_ms) <= expected_ms / 4
    }

    #[test]
    fn pauses_double_up_to_five_seconds_and_begin_anew_once_a_session_was_open() {
        let mut one = lifecycle();
        assert_eq!(one.on_timeout(0, &mut []), Due::Connect(EXCHANGE));
        for expected in [100, 200, 400, 800, 1600, 3200, 5000, 5000] {
            assert!(pauses(&mut one, 7 * MS, expected), "{expected}");
        }
        // Connected is not open: a server that closes each connection is not hammered.
        one.on_connected(0, &mut [0; 64]);
        assert!(pauses(&mut one, 0, 5000));
        log_in(&mut one);
        one.on_recovered(0);
        assert!(pauses(&mut one, SECOND, 100));
    }

    #[test]
    fn connection_that_does_not_come_about_is_given_up_until_it_is_told_closed() {
        let mut one = lifecycle();
        assert_eq!(one.on_timeout(1, &mut []), Due::Connect(EXCHANGE));
        assert_eq!(one.on_timeout(CONNECT_TIMEOUT_NS, &mut []), Due::Nothing);
        for _ in 0..2 {
            let due = one.on_timeout(CONNECT_TIMEOUT_NS + 1, &mut []);
            assert_eq!(due, Due::GiveUp);
        }
        one.on_closed(CONNECT_TIMEOUT_NS + 1);
        let due = one.on_timeout(CONNECT_TIMEOUT_NS + 1, &mut []);
        assert_eq!(due, Due::Nothing);
    }

    #[test]
    fn stop_waits_for_a_connection_where_what_is_open_is_not_known() {
        let mut one = lifecycle();
        assert!(!one.stop(SECOND) && !one.is_stopping_and_sure());
        log_in(&mut one);
        assert!(!one.is_stopping_and_sure());
        one.on_past_known(SECOND);
        assert_eq!(one.state(), State::Stopping);
        assert!(one.is_stopping_and_sure() && one.takes_cancels());
        one.on_closed(SECOND);
        assert!(one.is_stopping_and_sure(), "it was known before");
        assert!(one.stop(SECOND + STOP_TIMEOUT_NS), "time is up");
    }

    #[test]
    fn stopped_is_the_end_whatever_becomes_of_the_connection() {
        let (mut one, mut out) = (lifecycle(), [0; 8]);
        log_in(&mut one);
        one.on_recovered(0);
        one.stop(0);
        assert_eq!(one.log_out(0, &mut out), 3);
        assert_eq!(&out[..3], b"\0\x01O");
        // What the exchange says last is heard.
        assert_eq!(
            hears(&mut one, kind::SEQUENCED, b"x"),
            "Message([120], false)"
        );
        assert_eq!(
            hears(&mut one, kind::END_OF_SESSION, b""),
            "Ended(EndOfSession)"
        );
        assert_eq!(one.on_closed(0), 0, "there is no next try");
        assert_eq!(one.on_connected(0, &mut [0; 64]), 0, "it comes too late");
        assert_eq!(one.state(), State::Stopped);
        assert_eq!(one.on_timeout(u64::MAX, &mut []), Due::Nothing);
    }

    #[test]
    fn stop_does_not_wait_for_the_pause_before_the_next_try() {
        let mut one = lifecycle();
        for _ in 0..8 {
            one.on_closed(SECOND);
        }
        assert_eq!(one.on_timeout(2 * SECOND, &mut []), Due::Nothing);
        one.stop(2 * SECOND);
        assert_eq!(one.on_timeout(2 * SECOND, &mut []), Due::Connect(EXCHANGE));
    }
}
