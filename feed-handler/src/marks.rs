//! What gaps and silences may hide of how symbols are traded: two words that stand beside the rows of
//! the statuses.
//!
//! ```text
//!  feed core:  unheard = 1  ──>  era + 1 (a gap)  ──>  unheard = 0
//!  reader:     unheard?     ──>  era?                   finds 0 behind the gap: then the gap's era, too
//! ```
//!
//! Thread:      written by one feed core; read by any, without a lock
//! Invariants:  what is shown was so at one moment of the reader's two looks. In the other order it would not be: the old era,
//!              and then 0 of after the gap, is a feed that never was.
//! Words:       any [`Word`], so that loom takes these steps through every order that the memory model allows.

use std::sync::atomic::{AtomicU64, Ordering};

/// Rows of which nothing was said have 0.
const FIRST_ERA: u32 = 1;

/// What one thread writes and others read.
pub(crate) trait Word {
    /// What was there before is seen by whoever sees this.
    fn publish(&self, value: u64);

    /// The value, and what was there before it.
    fn look(&self) -> u64;
}

impl Word for AtomicU64 {
    #[inline]
    fn publish(&self, value: u64) {
        // Pairs with the Acquire load in `look`.
        self.store(value, Ordering::Release);
    }

    #[inline]
    fn look(&self) -> u64 {
        // Pairs with the Release store in `publish`.
        self.load(Ordering::Acquire)
    }
}

/// The two words.
#[derive(Debug)]
pub(crate) struct Marks<W = AtomicU64> {
    /// Gaps and sessions so far, and how many there were when this session began, in the high half.
    eras: W,
    /// Not 0: no message is heard, or some are waited for.
    unheard: W,
}

/// What they say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Eras {
    /// This one's first.
    session: u32,
    pub(crate) now: u32,
    /// The feed is not heard, or something is being asked for.
    is_unheard: bool,
}

impl Default for Marks {
    fn default() -> Self {
        Self::of(AtomicU64::new)
    }
}

impl<W: Word> Marks<W> {
    /// Nothing is hidden yet; a word is made so.
    fn of(word: impl Fn(u64) -> W) -> Self {
        Self {
            eras: word(packed(FIRST_ERA, FIRST_ERA)),
            unheard: word(0),
        }
    }

    /// What may be hidden now.
    #[inline]
    pub(crate) fn eras(&self) -> Eras {
        // First: see the header.
        let is_unheard = self.unheard.look() != 0;
        let [a, b, c, d, e, f, g, h] = self.eras.look().to_be_bytes();
        Eras {
            session: u32::from_be_bytes([a, b, c, d]),
            now: u32::from_be_bytes([e, f, g, h]),
            is_unheard,
        }
    }

    /// Messages will not come: what they may have said is stale until it is said again.
    pub(crate) fn on_gap(&self) {
        let Eras { session, now, .. } = self.eras();
        self.eras.publish(packed(session, now.wrapping_add(1)));
    }

    /// A session begins, with nothing hidden.
    pub(crate) fn on_session(&self) {
        let now = self.eras().now.wrapping_add(1);
        self.eras.publish(packed(now, now));
    }

    /// Whether the feed is not heard, or waits for messages that may still come.
    pub(crate) fn set_unheard(&self, is_unheard: bool) {
        self.unheard.publish(u64::from(is_unheard));
    }
}

fn packed(session: u32, now: u32) -> u64 {
    u64::from(session) << 32 | u64::from(now)
}

impl Eras {
    /// Pieces, a bit each, that may be others by now, where these were said in that era.
    pub(crate) fn stale(self, era: u32, told: u8) -> u8 {
        // A reader took the row before this session began, and the eras behind it.
        let is_of_before = era != 0 && era.wrapping_sub(self.session) > u32::MAX / 2;
        if self.is_unheard || is_of_before {
            return u8::MAX;
        }
        if self.now == self.session {
            return 0;
        }
        if era == self.now { !told } else { u8::MAX }
    }
}

#[cfg(test)]
mod tests {
    use loom::sync::Arc;
    use loom::sync::atomic::AtomicU64 as Loom;
    use loom::thread;

    use super::*;

    impl Word for Loom {
        fn publish(&self, value: u64) {
            self.store(value, Ordering::Release);
        }

        fn look(&self) -> u64 {
            self.load(Ordering::Acquire)
        }
    }

    /// What was said in the first era, as a reader who knows that messages are missing finds it, whatever the feed does
    /// meanwhile.
    fn found_stale_by_who_knows_that_something_is_missing(feed: fn(&Marks<Loom>)) {
        loom::model(move || {
            let marks = Arc::new(Marks::of(Loom::new));
            let is_known = Arc::new(Loom::new(0));
            let (theirs, known) = (Arc::clone(&marks), Arc::clone(&is_known));
            let writer = thread::spawn(move || {
                theirs.set_unheard(true);
                known.publish(1);
                feed(&theirs);
            });
            if is_known.look() == 1 {
                let stale = marks.eras().stale(FIRST_ERA, u8::MAX);
                assert_eq!(stale, u8::MAX);
            }
            writer.join().unwrap();
            assert_eq!(marks.eras().stale(FIRST_ERA, u8::MAX), u8::MAX);
        });
    }

    #[test]
    fn loom_messages_that_were_waited_for_and_never_came_are_hidden_to_every_reader() {
        found_stale_by_who_knows_that_something_is_missing(|marks| {
            marks.on_gap();
            marks.set_unheard(false);
        });
    }

    #[test]
    fn loom_session_that_begins_hides_rows_of_before_to_every_reader() {
        found_stale_by_who_knows_that_something_is_missing(|marks| {
            marks.on_session();
            marks.set_unheard(false);
        });
    }
}
