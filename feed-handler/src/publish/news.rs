//! What a strategy has still to be told, beside messages: losses, gaps, an end, how fresh the feed is.
//!
//! ```text
//!  lagged, gap (sum of several), end of session, lagged, gap, stale or fresh (the last of them)
//!  `-- of the session before ---------------'   `-- of this one ----------------------------'
//! ```
//!
//! Thread:      who owns it, hot
//! Invariants:  seven pieces at most, whatever happened; each is told once. What is told last is still true.

use crate::event::{FLAG_STALE, Kind, MarketEvent, Origin};

/// What a strategy has still to be told.
#[derive(Debug, Default)]
pub(super) struct News {
    before_end: Loss,
    end: Option<End>,
    after_end: Loss,
    /// `Kind::Stale` or `Kind::Fresh`.
    staleness: Option<Kind>,
}

/// The end of a session.
#[derive(Clone, Copy, Debug)]
struct End {
    /// The number that would have come next.
    seq: u64,
    /// Sessions that had ended then.
    ended: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Loss {
    /// Messages that found the ring full, and the number of the last.
    missed: u64,
    missed_seq: u64,
    /// Numbers that never came, and the first of them.
    gap: u64,
    gap_first: u64,
}

impl News {
    fn latest_loss(&mut self) -> &mut Loss {
        if self.end.is_some() {
            &mut self.after_end
        } else {
            &mut self.before_end
        }
    }

    /// Messages were lost, the last of them with this number.
    #[inline]
    pub(super) fn miss(&mut self, messages: u64, last_seq: u64) {
        let loss = self.latest_loss();
        loss.missed += messages;
        loss.missed_seq = last_seq;
    }

    /// Something other than a message happened.
    pub(super) fn note(&mut self, event: &MarketEvent) {
        // What is told last must still be true then.
        self.staleness = self.staleness.filter(|kind| *kind != Kind::Fresh);
        match event.kind {
            Kind::Gap => {
                let loss = self.latest_loss();
                if loss.gap == 0 {
                    loss.gap_first = event.origin.seq;
                }
                loss.gap = loss.gap.saturating_add(event.number);
            }
            Kind::EndOfSession => {
                // A whole session passed unheard: what was lost in it joins what was lost before.
                let after = std::mem::take(&mut self.after_end);
                self.before_end.join(&after);
                self.end = Some(End {
                    seq: event.origin.seq,
                    ended: event.number,
                });
            }
            _ => self.staleness = Some(event.kind),
        }
    }

    /// The next piece as an event. What came after an end moves up when the end has been told.
    pub(super) fn first(&self, origin: Origin, is_stale: bool) -> Option<MarketEvent> {
        let flags = if is_stale { FLAG_STALE } else { 0 };
        let event = |kind, seq, number, flags| MarketEvent {
            number,
            flags,
            ..MarketEvent::bare(kind, Origin { seq, ..origin })
        };
        let of = |loss: &Loss| {
            if loss.missed > 0 {
                Some(event(Kind::Lagged, loss.missed_seq, loss.missed, flags))
            } else {
                let is_gap = loss.gap > 0;
                is_gap.then(|| event(Kind::Gap, loss.gap_first, loss.gap, FLAG_STALE))
            }
        };
        of(&self.before_end)
            .or_else(|| {
                let End { seq, ended } = self.end?;
                Some(event(Kind::EndOfSession, seq, ended, FLAG_STALE))
            })
            .or_else(|| Some(event(self.staleness?, 0, 0, flags)))
    }

    /// That piece has been told.
    pub(super) fn remove_first(&mut self) {
        if self.before_end.remove_first() {
            return;
        }
        if self.end.take().is_some() {
            self.before_end = std::mem::take(&mut self.after_end);
            return;
        }
        self.staleness = None;
    }
}

impl Loss {
    fn join(&mut self, later: &Self) {
        if later.missed > 0 {
            self.missed += later.missed;
            self.missed_seq = later.missed_seq;
        }
        if self.gap == 0 {
            self.gap_first = later.gap_first;
        }
        self.gap = self.gap.saturating_add(later.gap);
    }

    /// `false`: there was nothing.
    fn remove_first(&mut self) -> bool {
        if self.missed > 0 {
            self.missed = 0;
            return true;
        }
        std::mem::take(&mut self.gap) > 0
    }
}
