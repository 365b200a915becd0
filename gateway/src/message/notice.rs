//! Rare news from hot cores to the operator: they cannot write a log line, so they put a notice into a
//! ring and housekeeping writes it.
//!
//! When full:   the notice is lost; the counters still tell what happened.

use std::net::SocketAddrV4;

use protocol::types::UserRefNum;
use rt::ring::Producer;

use super::command::Command;
use super::invariant::Breach;
use super::past::PastNews;

/// One piece of news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The session is open; orders go out.
    SessionOpen,
    /// The connection is gone, or did not come about.
    Disconnected(Lost),
    /// The session ended the connection.
    SessionEnded(Ended),
    /// An execution of an order that is not known here; the kill switch is on.
    UnknownExecution(u32),
    /// A trade was undone that is not known here, by match number; the kill switch is on.
    UnknownBreak(u64),
    /// An answer of the exchange could not be read; the kill switch is on.
    Malformed(Unreadable),
    /// An answer that does not fit the order that it is about.
    Unexpected(Unexpected),
    /// Something that must hold about money did not; the kill switch is on.
    Breach(Breach),
    /// What an earlier run left behind.
    Past(PastNews),
    /// A strategy did not take its executions; the kill switch is on.
    ExecutionsLost(u8),
    /// A strategy was told that it lagged.
    Lagged(u64),
    /// The operator's command was taken; `false`: it named a strategy that is not here.
    Commanded(Command, bool),
    /// Everything open was cancelled before the end; this many were left.
    Stopped(u32),
}

impl Notice {
    /// Whether it is worth an operator's attention at night.
    #[must_use]
    pub fn is_warning(&self) -> bool {
        match self {
            Self::SessionOpen | Self::Stopped(0) | Self::Commanded(_, true) => false,
            Self::Disconnected(lost) => !lost.is_end(),
            Self::Past(news) => news.is_warning(),
            _ => true,
        }
    }
}

impl std::fmt::Display for Notice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Self::SessionOpen => f.write_str("session open, orders go out"),
            Self::Disconnected(lost) => lost.fmt(f),
            Self::SessionEnded(ended) => ended.fmt(f),
            Self::UnknownExecution(user_ref) => write!(
                f,
                "execution of unknown order {user_ref}: the kill switch is on, compare positions"
            ),
            Self::UnknownBreak(match_number) => write!(
                f,
                "the exchange undid trade {match_number}, which is not known here: the kill switch is \
                 on, compare positions"
            ),
            Self::Malformed(Unreadable { kind, len }) => write!(
                f,
                "answer of {len} bytes, type {:?}, is not OUCH 5.0 and may have been an execution: the \
                 kill switch is on, compare positions",
                char::from(kind)
            ),
            Self::Unexpected(Unexpected { kind, user_ref }) => write!(
                f,
                "answer {:?} about order {} does not fit what is known of it",
                char::from(kind),
                user_ref.0
            ),
            Self::Breach(breach) => write!(
                f,
                "order {}: {} (found {}, expected at most {}): the kill switch is on, compare orders and \
                 positions",
                breach.user_ref.0,
                breach.invariant.broken(),
                breach.found,
                breach.expected
            ),
            Self::Past(news) => news.fmt(f),
            Self::ExecutionsLost(strategy) => write!(
                f,
                "strategy {strategy} does not take its executions: the kill switch is on"
            ),
            Self::Lagged(missed) => write!(f, "the strategy lagged and missed {missed} events"),
            Self::Commanded(command, true) => write!(f, "the operator: {command}"),
            Self::Commanded(command, false) => {
                write!(f, "the operator: {command}: there is no such strategy here")
            }
            Self::Stopped(0) => f.write_str("all orders cancelled"),
            Self::Stopped(left) => write!(f, "stopped with {left} orders still open"),
        }
    }
}

/// A connection that is gone, or did not come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Where it was.
    pub from: SocketAddrV4,
    /// The error of the system; 0: an orderly end.
    pub errno: i32,
    /// The pause before the next try, ms; 0: there is none.
    pub pause_ms: u32,
    /// Where that goes.
    pub next: SocketAddrV4,
}

impl Lost {
    /// Whether that is as it should be: the session has logged out.
    fn is_end(&self) -> bool {
        (self.errno, self.pause_ms) == (0, 0)
    }
}

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.is_end() {
            return f.write_str("connection closed");
        }
        let why = match self.errno {
            0 => "the exchange closed the connection".to_owned(),
            errno => std::io::Error::from_raw_os_error(errno).to_string(),
        };
        let (from, pause_ms) = (self.from, self.pause_ms);
        write!(
            f,
            "not connected to {from}: {why}; next try in {pause_ms} ms"
        )?;
        if self.next == from {
            return Ok(());
        }
        write!(f, ", at {}", self.next)
    }
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
    /// The server lives, but does not answer a login, an account query, or cancels of what an earlier run left.
    NoProgress,
    /// The server answers a query, and not what was sent before it.
    Swallowed,
    /// The server answers neither what was sent nor the query about it.
    Unanswered,
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotAuthorised => {
                f.write_str("login rejected: wrong user name or password")
            }
            Self::SessionNotAvailable => {
                f.write_str("login rejected: the session is not available")
            }
            Self::OutOfStep => {
                f.write_str("the exchange's bytes are not SoupBinTCP; connection closed")
            }
            Self::ServerSilent => {
                f.write_str("the exchange has been silent for too long; connection closed")
            }
            Self::NoProgress => f.write_str(
                "the exchange lives but does not answer a login, an account query, or the cancels of what an earlier run left; \
                 connection closed",
            ),
            Self::Swallowed => f.write_str(
                "the exchange answers a query, and not what was sent before it; connection closed, so that it tells \
                 again what it has",
            ),
            Self::Unanswered => f.write_str(
                "the exchange lives and answers neither orders nor the query about them; connection closed",
            ),
            Self::EndOfSession => f.write_str("the session is over"),
            Self::SessionChanged => f.write_str(
                "the exchange has another session or sequence than the one resumed; what it \
                 believes of orders is not known, so nothing is sent: restart to begin from its \
                 first message",
            ),
        }
    }
}

/// An answer that does not fit the order that it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unexpected {
    /// The message's type.
    pub kind: u8,
    /// The order's number, or that of a request that is not ours.
    pub user_ref: UserRefNum,
}

/// An answer that is not OUCH 5.0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Its first byte, which names the message; 0: it had none.
    pub kind: u8,
    /// Its length in bytes.
    pub len: u16,
}

/// The hot end of the ring.
#[derive(Debug)]
pub struct Notices(pub Producer<Notice>);

impl Notices {
    /// Sends, or drops when the ring is full.
    pub fn send(&mut self, notice: Notice) {
        let _ = self.0.push(notice);
    }
}
