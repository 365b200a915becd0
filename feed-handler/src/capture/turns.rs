//! Which turns of a core took packets: noted while it runs, and given again from a capture.
//!
//! ```text
//!  source ──> Logged ── notes how many ──> tap ──> feed            a run whose day shall be replayed
//!  captures ──> Played <── how many, and when ── the turn's log    the replay
//! ```
//!
//! Thread:      feed core, hot; `Played`: whoever replays
//! When wrong:  a capture that lacks what a turn took ends the replay: [`Lacking`] says when that was.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use protocol::frame::Datagram;
use rt::turn_notes::TurnLog;

use super::read::{Captured, Captures};
use crate::source::{Packet, PacketSource};

/// What a source notes: packets that it took in this turn.
pub const PACKETS: u8 = 1;
/// What a source notes: packets of those that it showed, which a capture has.
pub const SHOWN: u8 = 7;

/// A source that says in which turns it took packets.
#[derive(Debug)]
pub struct Logged<S> {
    source: S,
    log: Arc<TurnLog>,
    shown: u64,
}

impl<S> Logged<S> {
    /// Notes what this source takes.
    pub fn new(source: S, log: Arc<TurnLog>) -> Self {
        Self {
            source,
            log,
            shown: 0,
        }
    }
}

impl<S: PacketSource> PacketSource for Logged<S> {
    #[inline]
    fn acquire(&mut self) -> usize {
        let taken = self.source.acquire();
        if taken > 0 {
            self.log.note(PACKETS, taken as u64);
        }
        taken
    }

    #[inline]
    fn on_seen(&mut self, seen_ns: u64) {
        self.source.on_seen(seen_ns);
    }

    #[inline]
    fn each(&mut self, mut on_packet: impl FnMut(Packet<'_>)) {
        let Self { source, shown, .. } = self;
        *shown = 0;
        source.each(|packet| {
            *shown += 1;
            on_packet(packet);
        });
    }

    #[inline]
    fn release(&mut self) {
        self.log.note(SHOWN, self.shown);
        self.source.release();
    }

    fn housekeep(&mut self) {
        self.source.housekeep();
    }
}

/// What a capture lacks, as far as it is known.
#[derive(Debug, Default)]
pub struct Lacking {
    /// When the first turn was whose packets are not all there, 0: none was.
    seen_ns: AtomicU64,
    packets: AtomicU64,
}

impl Lacking {
    /// When a turn took packets that are not in the capture; `None`: none did so far.
    #[must_use]
    pub fn since_ns(&self) -> Option<u64> {
        Some(self.seen_ns.load(Relaxed)).filter(|ns| *ns > 0)
    }

    /// Packets that were played.
    #[must_use]
    pub fn played(&self) -> u64 {
        self.packets.load(Relaxed)
    }

    fn set(&self, seen_ns: u64) {
        if self.since_ns().is_none() {
            self.seen_ns.store(seen_ns.max(1), Relaxed);
        }
    }
}

/// A source that shows what a capture has, in the turns of then.
#[derive(Debug)]
pub struct Played {
    captures: Captures,
    log: Arc<TurnLog>,
    lacking: Arc<Lacking>,
    turn: Vec<Captured>,
    /// When it was seen.
    seen_ns: u64,
    /// A turn has been played: what was captured before the first is an earlier run's.
    has_begun: bool,
}

impl Played {
    /// Shows these.
    #[must_use]
    pub fn new(captures: Captures, log: Arc<TurnLog>) -> Self {
        Self {
            captures,
            log,
            lacking: Arc::default(),
            turn: Vec::new(),
            seen_ns: 0,
            has_begun: false,
        }
    }

    /// What they lack, to be looked at between turns.
    #[must_use]
    pub fn lacking(&self) -> Arc<Lacking> {
        Arc::clone(&self.lacking)
    }

    /// The packets that were seen at this time.
    fn load(&mut self, seen_ns: u64) -> Result<(), String> {
        while let Some(next) = self.captures.peek() {
            let dropped = next.dropped;
            if next.seen_ns > seen_ns {
                break;
            }
            let is_of_it = next.seen_ns == seen_ns;
            let packet = self.captures.take()?;
            if is_of_it {
                self.turn.extend(packet);
            }
            // Packets of the run that no turn took, or before which others found no room on their way into the capture.
            if (self.has_begun && !is_of_it) || (is_of_it && dropped > 0) {
                self.lacking.set(seen_ns);
            }
        }
        self.has_begun = true;
        Ok(())
    }
}

impl PacketSource for Played {
    fn acquire(&mut self) -> usize {
        if self.log.peek_code() != Some(PACKETS) {
            return 0;
        }
        let taken = self.log.next(PACKETS).unwrap_or(0);
        // The first thing that a feed does with packets is to look when they were here.
        let seen_ns = self.log.peek_time().unwrap_or(0);
        self.seen_ns = seen_ns;
        let loaded = self.load(seen_ns);
        if loaded.is_err() || self.turn.is_empty() {
            self.lacking.set(seen_ns);
        }
        self.lacking
            .packets
            .fetch_add(self.turn.len() as u64, Relaxed);
        usize::try_from(taken).unwrap_or(usize::MAX)
    }

    fn each(&mut self, mut on_packet: impl FnMut(Packet<'_>)) {
        for packet in &self.turn {
            let Ok(datagram) = Datagram::parse(&packet.frame) else {
                self.lacking.set(packet.seen_ns);
                continue;
            };
            on_packet(Packet {
                payload: datagram.payload,
                frame: &packet.frame,
                wire_ns: packet.wire_ns,
                line: packet.line,
            });
        }
    }

    fn release(&mut self) {
        // With fewer packets, or others, the feed has read the clock otherwise already: nothing else has run in this turn.
        let shown = self.turn.len() as u64;
        if self.log.next(SHOWN) != Some(shown) {
            self.lacking.set(self.seen_ns);
        }
        self.turn.clear();
    }

    fn housekeep(&mut self) {}
}

#[cfg(test)]
mod tests {
    use rt::turn_notes::Closed;

    use super::*;

    /// Shows one packet.
    struct One;

    impl PacketSource for One {
        fn acquire(&mut self) -> usize {
            1
        }
        fn each(&mut self, mut on_packet: impl FnMut(Packet<'_>)) {
            on_packet(Packet {
                payload: b"",
                frame: b"",
                wire_ns: 0,
                line: 0,
            });
        }
        fn release(&mut self) {}
        fn housekeep(&mut self) {}
    }

    /// A turn that took a packet, which no capture has, and read the clock as often.
    fn turn(reads: u64) -> Vec<u8> {
        let log = Arc::new(TurnLog::default());
        let mut source = Logged::new(One, Arc::clone(&log));
        log.open(100);
        source.acquire();
        (1..=reads).for_each(|read| log.time(100 + read));
        source.each(|_| ());
        source.release();
        let Closed::Kept(len) = log.close(true) else {
            panic!("it is kept");
        };
        let mut turn = vec![0; len];
        log.copy_to(&mut turn);
        turn
    }

    #[test]
    fn packets_that_a_turn_took_and_the_capture_lacks_are_missed_at_once() {
        let log = Arc::new(TurnLog::default());
        let captures = Captures::open([]).unwrap();
        let mut source = Played::new(captures, Arc::clone(&log));
        let lacking = source.lacking();
        log.load(100, &[]);
        assert_eq!(source.acquire(), 0, "a turn without packets");
        assert_eq!(lacking.since_ns(), None);
        log.load(100, &turn(1));
        assert_eq!((source.acquire(), log.next_time()), (1, 101));
        source.each(|_| panic!("there is none"));
        source.release();
        assert_eq!((lacking.since_ns(), lacking.played()), (Some(101), 0));
    }
}
