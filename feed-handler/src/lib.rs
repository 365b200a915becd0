//! From the network card to the market event.
//!
//! ```text
//!  xdp | udp ──> source ──> arbiter ─────> room ───────> publish ──rings──> listeners
//!                packets    │ strangers    │ message     │ event
//!                           │ sequencer    └ book        └> best_prices ──> whoever asks
//!                           └ holes, kept
//!                  venue::Venue::packet  venue::Venue::message
//!
//!  own_books, on a strategy's core, makes books of events by the code of book
//!  capture keeps a copy of packets, if it is asked to, between source and arbiter
//!  understudy goes the same way with made-up packets while nothing arrives
//!  feed runs it (`Feed::poll`, `handler`), lines watches who speaks, race who is first; counters and status are for others
//! ```
//!
//! Thread:      one feed core owns all of it; `best_prices` is what others read
//! Invariants:  the feed is complete, or says that it is not. Nothing here waits for a strategy.
//! Must not know: strategies, orders, sessions, configuration files.

pub mod udp;
pub mod xdp;

pub mod capture;
pub mod source;

mod lines;
mod race;

pub mod message;
pub mod venue;

pub mod arbiter;
mod holes;
mod kept;
pub mod look_ahead;
mod sequencer;
mod strangers;
mod stream;

pub mod recovery;

mod changes;
mod counters;
mod recent;
mod rejoin;
mod room;
mod status;

pub mod book;

pub mod best_prices;
pub mod depth;
pub mod event;
mod marks;
pub mod own_books;
pub mod position;
pub mod publish;
pub mod statuses;
pub mod trading;

mod handler;
mod understudy;

pub mod feed;
