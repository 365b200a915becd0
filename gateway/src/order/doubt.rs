//! What was sent and has no answer: after a stated time it is in doubt, and the exchange is asked.
//!
//! ```text
//!  sent ──> unanswered, the oldest first ──timeout──> in doubt ──account query──> its answer comes behind all answers
//!                    └ answered: forgotten                                        to what went before it: what has none
//!                                                                                 then never will ─> the connection ends
//! ```
//!
//! The exchange answers in the order of what it was sent, so one query settles everything that went before it. A connection
//! that swallows orders is found by that, and the next one tells what became of them. What is in doubt counts against limits
//! like any open order.
//!
//! Thread:      order core; `note` is hot, the rest is housekeeping's
//! Time:        comes in as `now_ns`.
//! When full:   the oldest of [`NOTES_MAX`] is no longer watched, and counted.

use protocol::types::UserRefNum;
use rt::mem::prefetch;

use super::orders::Orders;

/// Messages without an answer that are watched: more than any exchange lets stand on one connection. 16 bytes each.
const NOTES_MAX: usize = 1 << 16;
/// Notes looked at in one turn of housekeeping: about 20 µs of work.
const LOOKS_A_TURN: usize = 1 << 10;

const _: () = assert!(NOTES_MAX.is_power_of_two());

/// What was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    /// A new order.
    Enter,
    /// A replace, by its own number.
    Replace,
    /// A cancel, by the number that it names.
    Cancel,
    /// A partial cancel, by the order's number.
    Reduce,
}

#[derive(Clone, Copy, Debug)]
struct Note {
    sent_ns: u64,
    number: UserRefNum,
    sort: Sort,
}

const NOTHING: Note = Note {
    sent_ns: 0,
    number: UserRefNum(0),
    sort: Sort::Enter,
};

/// What is due about doubts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubtful {
    /// Nothing.
    Nothing,
    /// Ask the exchange.
    Ask,
    /// The exchange has been asked and says nothing.
    Unanswered,
}

/// The watch over one session.
#[derive(Debug)]
pub(super) struct Doubt {
    timeout_ns: u64,
    /// A ring: `first` is the oldest, `end` where the next one goes; both count on for ever.
    notes: Box<[Note]>,
    first: u64,
    end: u64,
    /// Notes that were overwritten before they were answered.
    unwatched: u64,
    /// When the exchange was asked.
    asked_ns: Option<u64>,
    in_doubt: u32,
}

impl Doubt {
    /// Nothing is ever in doubt.
    pub(super) fn new() -> Self {
        Self {
            timeout_ns: u64::MAX,
            notes: vec![NOTHING; NOTES_MAX].into_boxed_slice(),
            first: 0,
            end: 0,
            unwatched: 0,
            asked_ns: None,
            in_doubt: 0,
        }
    }

    /// What has no answer for this long is in doubt, ns.
    pub(super) fn set_timeout(&mut self, timeout_ns: u64) {
        self.timeout_ns = timeout_ns;
    }

    /// Has every page of its memory mapped.
    pub(super) fn prepare(&mut self) {
        self.notes.fill(NOTHING);
    }

    /// Something goes out.
    #[inline]
    pub(super) fn note(&mut self, sort: Sort, number: UserRefNum, now_ns: u64) {
        if let Some(slot) = self.notes.get_mut(place(self.end)) {
            *slot = Note {
                sent_ns: now_ns,
                number,
                sort,
            };
        }
        self.end += 1;
        if self.end - self.first > NOTES_MAX as u64 {
            self.first += 1;
            self.unwatched += 1;
        }
    }

    /// Nothing was ever sent: for who sends nothing (`understudy`), and shall not go through the whole of the memory.
    pub(super) fn begin_again(&mut self) {
        (self.first, self.end) = (0, 0);
    }

    /// Brings near where the next note goes.
    #[inline]
    pub(super) fn prefetch(&self) {
        prefetch(self.notes.as_ptr().wrapping_add(place(self.end)));
    }

    /// A connection begins or ends: what it took with it is settled otherwise.
    pub(super) fn forget(&mut self) {
        self.first = self.end;
        self.asked_ns = None;
        self.in_doubt = 0;
    }

    /// Messages in doubt.
    #[must_use]
    pub(super) fn count(&self) -> u32 {
        self.in_doubt
    }

    /// Messages that have not been watched any more since the last call.
    #[must_use]
    pub(super) fn take_unwatched(&mut self) -> u64 {
        std::mem::take(&mut self.unwatched)
    }

    /// Looks at what has no answer.
    pub(super) fn look(&mut self, orders: &Orders, now_ns: u64) -> Doubtful {
        self.drop_answered(orders);
        let doubtful_from_ns = now_ns.saturating_sub(self.timeout_ns);
        let old = self.unanswered(orders, doubtful_from_ns);
        self.in_doubt = u32::try_from(old).unwrap_or(u32::MAX);
        match self.asked_ns {
            Some(asked_ns) if now_ns.saturating_sub(asked_ns) > self.timeout_ns => {
                Doubtful::Unanswered
            }
            None if self.in_doubt > 0 => Doubtful::Ask,
            _ => Doubtful::Nothing,
        }
    }

    /// The query has gone out.
    pub(super) fn on_asked(&mut self, now_ns: u64) {
        self.asked_ns = Some(now_ns);
    }

    /// The exchange has answered the query: whether something that went before it has no answer, and will have none.
    #[must_use]
    pub(super) fn on_answer(&mut self, orders: &Orders) -> bool {
        let Some(asked_ns) = self.asked_ns.take() else {
            return false;
        };
        self.drop_answered(orders);
        self.unanswered(orders, asked_ns) > 0
    }

    /// How many of the oldest, sent before this time, have no answer; a bounded number of them is looked at.
    fn unanswered(&self, orders: &Orders, before_ns: u64) -> usize {
        (self.first..self.end)
            .take(LOOKS_A_TURN)
            .filter_map(|at| self.notes.get(place(at)))
            .take_while(|note| note.sent_ns < before_ns)
            .filter(|note| !note.is_answered(orders))
            .count()
    }

    fn drop_answered(&mut self, orders: &Orders) {
        for _ in 0..LOOKS_A_TURN {
            let oldest = self.notes.get(place(self.first));
            let is_over = oldest.is_none_or(|note| note.is_answered(orders));
            if self.first == self.end || !is_over {
                break;
            }
            self.first += 1;
        }
    }
}

impl Note {
    fn is_answered(&self, orders: &Orders) -> bool {
        // What is not live any more has had its end told.
        let Some(order) = orders.get(self.number) else {
            return true;
        };
        match self.sort {
            Sort::Enter => order.is_accepted,
            Sort::Replace => order.replacing != Some(self.number),
            // Another cancel may have followed one that was refused.
            Sort::Cancel => {
                let links = &order.links;
                !links.is_canceling || links.is_put_off || links.canceled_ns != self.sent_ns
            }
            Sort::Reduce => !order.is_reducing() || order.links.is_put_off,
        }
    }
}

#[inline]
fn place(at: u64) -> usize {
    // A mask of the table's size: it fits.
    usize::try_from(at & (NOTES_MAX as u64 - 1)).unwrap_or(0)
}
