//! What is a venue's own: how its packets are framed and numbered, how its messages read, how it names
//! symbols. Everything else of the feed handler is the same for all of them.
//!
//! ```text
//!  payload ──> Venue::packet ──> arbiter, sequencer ──> Venue::message ──> room, book, publish
//!              session, numbers   the same for all      message::Message   the same for all
//! ```
//!
//! Thread:      feed core, hot
//! Invariants:  resolved at compile time: a feed is built for one venue, and no call goes through a table.
//!              The first venue's code is what it would be if there were no other.
//!
//! Another venue is one file here and an implementation of [`Venue`] and [`Packet`].

mod iex;
mod made_up;
mod nasdaq;
mod symbols;

use std::fmt;

use protocol::types::DecodeError;

use crate::book::Glimpse;
use crate::message::Message;
use crate::recovery::request::{RequestProtocol, SessionKey};
use crate::trading::Said;

pub use iex::Iex;
pub use made_up::MadeUp;
pub use nasdaq::Nasdaq;

/// A venue's feed. The value is the state that reading its messages needs, such as names of symbols.
pub trait Venue: fmt::Debug + Default + Send + 'static {
    /// What tells one session of numbers from another.
    type Session: Copy + Eq + fmt::Debug + Send;
    /// A packet over its bytes.
    type Packet<'a>: Packet<'a, Session = Self::Session>;

    /// A session's last message says that it is; otherwise a packet does ([`Content::EndOfSession`]).
    const ENDS_BY_MESSAGE: bool;

    /// Reads a packet's header; `None`: it is too short, or of another protocol.
    fn packet(payload: &[u8]) -> Option<Self::Packet<'_>>;

    /// Whether a message ends its session. Asked only where [`Venue::ENDS_BY_MESSAGE`].
    fn is_last(message: &[u8]) -> bool;

    /// How the venue's re-request servers are asked.
    const REQUESTS: RequestProtocol;

    /// What requests call a session.
    fn key_of(session: Self::Session) -> SessionKey;

    /// A session begins: what was learnt of the last one is forgotten.
    fn begin_session(&mut self);

    /// Reads a message.
    ///
    /// # Errors
    /// A type that the venue does not have, or a length that is not the type's.
    fn message(&mut self, bytes: &[u8]) -> Result<Message, DecodeError>;

    /// Whether [`Venue::message`] reads a message, without what has been learnt of the session: for messages that are not
    /// (yet) the stream's.
    ///
    /// # Errors
    /// As there.
    fn check(bytes: &[u8]) -> Result<(), DecodeError>;

    /// Whether a glance shows what a message touches. Where it would take more, nobody looks ahead.
    const GLIMPSES: bool;

    /// What a message touches, by its first bytes and without a look at its type. It need not be right: it says what to
    /// prefetch ([`crate::look_ahead`]). Asked only where [`Venue::GLIMPSES`].
    #[inline]
    fn glimpse(message: &[u8]) -> Glimpse {
        let _ = message;
        Glimpse::default()
    }

    /// What a message says of how its symbol or the market is traded. Asked only where its effect is
    /// [`Effect::Status`](crate::message::Effect::Status); `None`: in a code that the venue does not have.
    fn said(bytes: &[u8]) -> Option<Said>;

    /// Writes the payload of a packet that nobody has sent, with the number 0, and says how long it is: for rehearsals.
    fn made_up(what: MadeUp, out: &mut [u8]) -> usize;

    /// Where a packet's number stands in its payload, at an even place.
    const NUMBER_AT: usize;

    /// How it is written.
    fn number(seq: u64) -> [u8; 8];
}

/// A packet of a venue.
pub trait Packet<'a>: Copy + fmt::Debug {
    /// See [`Venue::Session`].
    type Session;

    /// Whose numbers they are.
    fn session(&self) -> Self::Session;

    /// The number of the first message, or of the next one.
    fn seq(&self) -> u64;

    /// What it is for.
    fn content(&self) -> Content;

    /// The messages in order.
    fn messages(&self) -> impl Iterator<Item = &'a [u8]> + Clone;

    /// Shows the messages in order. Returns how many were announced and are not there.
    fn each(&self, on_message: impl FnMut(&'a [u8])) -> u16;

    /// Whether it holds the messages that it announces, and nothing else.
    fn is_exact(&self) -> bool;
}

/// What a packet is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Carries this many messages, at least one.
    Data(u16),
    /// Says which number comes next.
    Heartbeat,
    /// Says that no further number will come.
    EndOfSession,
}
