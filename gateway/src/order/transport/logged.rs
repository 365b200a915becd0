//! A byte stream that says in which turn it brought what, and one that brings it again.
//!
//! ```text
//!  stream ──> Logged ── events, bytes, room ──> the turn's log        a run whose day shall be replayed
//!  order stage <── Played <── the same ── the turn's log              the replay
//! ```
//!
//! Thread:      order core, hot; `Played`: whoever replays
//! Invariants:  what is sent leaves no trace here: the journal has it.
//! When wrong:  what the log has not is not brought; the log is astray then, and says so.

use std::io;
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering::Relaxed};

use feed_handler::capture::tap::Tap;
use rt::turn_notes::TurnLog;

use super::delegated::LaneWatch;
use super::{Counts, HEARD_BYTES_MAX, Transport, TransportEvent};
use crate::order::risk::{KillCause, KillSwitch};

/// Room for what is to be sent.
const ROOM: u8 = 2;
/// A connection stands.
const CONNECTED: u8 = 3;
/// It is gone: the error number.
const CLOSED: u8 = 4;
/// Bytes arrived.
pub(crate) const BYTES: u8 = 5;
/// As many things have happened.
const HAPPENED: u8 = 6;
/// More room than any transport has: orders that a stage writes in a turn.
const ROOM_BYTES_MAX: usize = 1 << 20;

/// A stream whose events are noted.
#[derive(Debug)]
pub struct Logged<T> {
    transport: T,
    log: Arc<TurnLog>,
}

impl<T> Logged<T> {
    /// Notes what this stream brings.
    pub fn new(transport: T, log: Arc<TurnLog>) -> Self {
        Self { transport, log }
    }
}

impl<T: Transport> Transport for Logged<T> {
    fn start(&mut self) -> io::Result<()> {
        self.transport.start()
    }

    fn connect(&mut self, to: SocketAddrV4) {
        self.transport.connect(to);
    }

    fn close(&mut self) {
        self.transport.close();
    }

    #[inline]
    fn room(&mut self) -> &mut [u8] {
        let room = self.transport.room();
        self.log.note(ROOM, room.len() as u64);
        room
    }

    #[inline]
    fn commit(&mut self, len: usize) {
        self.transport.commit(len);
    }

    #[inline]
    fn flush(&mut self) {
        self.transport.flush();
    }

    #[inline]
    fn poll(&mut self, mut on: impl FnMut(TransportEvent<'_>)) -> usize {
        let log = &self.log;
        let happened = self.transport.poll(|event| {
            match &event {
                TransportEvent::Connected => log.note(CONNECTED, 0),
                TransportEvent::Closed(errno) => log.note(CLOSED, u64::from(errno.unsigned_abs())),
                TransportEvent::Bytes(bytes) => log.bytes(BYTES, bytes),
            }
            on(event);
        });
        if happened > 0 {
            log.note(HAPPENED, happened as u64);
        }
        happened
    }

    #[inline]
    fn prefetch(&self) {
        self.transport.prefetch();
    }

    fn counts(&self) -> Option<Counts> {
        self.transport.counts()
    }

    fn watch(&self) -> Option<LaneWatch> {
        self.transport.watch()
    }

    fn lane_interface(&self) -> Option<String> {
        self.transport.lane_interface()
    }

    fn keep_sent(&mut self, tap: Tap) {
        self.transport.keep_sent(tap);
    }
}

/// When, in a turn, somebody from outside turned the kill switch.
#[derive(Debug)]
pub struct Hand {
    kill: KillSwitch,
    /// Intents of the turn that are judged before.
    intents: AtomicU32,
    /// What is done then: a cause's code, [`RELEASE`], or [`NOTHING`].
    what: AtomicU8,
}

const NOTHING: u8 = 0;
const RELEASE: u8 = u8::MAX;

impl Hand {
    /// At this switch.
    #[must_use]
    pub fn new(kill: KillSwitch) -> Self {
        Self {
            kill,
            intents: AtomicU32::new(0),
            what: AtomicU8::new(NOTHING),
        }
    }

    /// In the turn to come, once as many intents have been judged, the switch is turned on for this cause, or off.
    pub fn prepare(&self, cause: Option<KillCause>, intents: u32) {
        let what = cause.map_or(RELEASE, |cause| cause as u8);
        self.what.store(what, Relaxed);
        self.intents.store(intents, Relaxed);
        if intents == 0 {
            self.act();
        }
    }

    /// An intent is about to be judged.
    fn on_intent(&self) {
        if self.what.load(Relaxed) == NOTHING {
            return;
        }
        match self.intents.load(Relaxed) {
            0 => self.act(),
            more => self.intents.store(more - 1, Relaxed),
        }
    }

    /// Does it now at the latest.
    fn act(&self) {
        match self.what.swap(NOTHING, Relaxed) {
            NOTHING => {}
            RELEASE => self.kill.release(),
            code => {
                let mut all = KillCause::ALL.into_iter();
                if let Some(cause) = all.find(|cause| *cause as u8 == code) {
                    self.kill.engage(cause);
                }
            }
        }
    }
}

/// A stream that brings what was noted.
#[derive(Debug)]
pub struct Played {
    log: Arc<TurnLog>,
    hand: Arc<Hand>,
    room: Vec<u8>,
    heard: Vec<u8>,
}

impl Played {
    /// Brings what this log has, while this hand is at the kill switch.
    #[must_use]
    pub fn new(log: Arc<TurnLog>, hand: Arc<Hand>) -> Self {
        Self {
            log,
            hand,
            room: vec![0; ROOM_BYTES_MAX],
            heard: vec![0; HEARD_BYTES_MAX],
        }
    }
}

impl Transport for Played {
    fn start(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn connect(&mut self, _: SocketAddrV4) {}

    fn close(&mut self) {}

    fn room(&mut self) -> &mut [u8] {
        self.hand.on_intent();
        let len = self
            .log
            .next(ROOM)
            .and_then(|len| usize::try_from(len).ok());
        // Astray, an order finds room, so that it is compared.
        let len = len.unwrap_or(ROOM_BYTES_MAX).min(ROOM_BYTES_MAX);
        self.room.get_mut(..len).unwrap_or_default()
    }

    fn commit(&mut self, _: usize) {}

    fn flush(&mut self) {}

    fn poll(&mut self, mut on: impl FnMut(TransportEvent<'_>)) -> usize {
        self.hand.act();
        loop {
            match self.log.peek_code() {
                Some(CONNECTED) => {
                    self.log.next(CONNECTED);
                    on(TransportEvent::Connected);
                }
                Some(CLOSED) => {
                    let errno = self.log.next(CLOSED).and_then(|it| i32::try_from(it).ok());
                    on(TransportEvent::Closed(errno.unwrap_or(0)));
                }
                Some(BYTES) => {
                    let len = self.log.next_bytes(BYTES, &mut self.heard);
                    on(TransportEvent::Bytes(
                        self.heard.get(..len).unwrap_or_default(),
                    ));
                }
                Some(HAPPENED) => {
                    let happened = self.log.next(HAPPENED).unwrap_or(0);
                    return usize::try_from(happened).unwrap_or(0);
                }
                _ => return 0,
            }
        }
    }
}
