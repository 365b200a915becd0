//! The feed core's part of recovery: asks, takes answers, and lets a snapshot's books take the place of its own.
//!
//! ```text
//!  Idle ──gap, or a contradicted book──> Asked ──books come──> CatchingUp ──their number is ours: swap──> Showing ──> Telling ──> Idle
//!                messages are copied      the last copied ones are applied        table       events
//! ```
//!
//! Path:        answers -> arbiter; baton -> rejoin -> room
//! Thread:      feed core, hot (while something is missing)
//! Invariants:  books are swapped only when the next message that the spare lacks is the next one that the
//!              feed delivers. After a gap the feed is stale until every row of the table shows the new books, and
//!              strategies have been told of each that changed. After a contradiction only its symbol is, until its row
//!              shows them: all others were right, and go on.
//! Work:        each state does a bounded piece of its work a turn, as symbols that are right wait for it
//!              (docs/performance.md has what that takes).
//! When wrong:  books that do not fit the stream go back, and others are asked for after a rest (for a contradicted
//!              book after its longer pause); a gap or another session meanwhile does the same.

use protocol::types::Seq;

use crate::arbiter::{Arbiter, Arrival};
use crate::best_prices::BestPrice;
use crate::event::Kind;
use crate::recovery::link::{Answer, Ask, FeedEnd};
use crate::recovery::live::Live;
use crate::recovery::rejoin::{Rejoin, State};
use crate::recovery::spare::Spare;
use crate::room::{Delivery, Room};
use crate::status::{STALE_GAP, STALE_WAITING};
use crate::venue::Venue;

/// Answers of one turn: packets.
const ANSWERS_EACH: usize = 32;
/// Live messages that one turn applies to the spare beside as many as came since the last one: so it catches up, however
/// many come.
const CATCH_UP_EACH: usize = 256;
/// Rows of the table that one turn looks at.
const ROWS_EACH: u32 = 256;
/// Rows among them that it writes. To write one costs as much as to look at five, and more with levels.
const WRITTEN_EACH: u32 = 64;
/// Symbols that one turn tells strategies of.
const TOLD_EACH: u32 = 64;
/// Locate codes.
const ROWS: u32 = 1 << 16;
/// How long books may be ahead of the stream before they are not of it.
const AHEAD_NS_MAX: u64 = 5_000_000_000;
/// The rest after books that did not fit; it doubles, to about a minute.
const REST_NS: u64 = 1_000_000_000;
const REST_DOUBLINGS_MAX: u32 = 6;
/// The line of an answer: none of the feed's.
const NO_LINE: u8 = u8::MAX;

impl<V> Room<V> {
    pub(crate) fn recover(&mut self, end: FeedEnd) {
        self.rejoin = Some(Box::new(Rejoin::new(end)));
    }

    /// A book that was contradicted is stale until a snapshot: whether to ask for one.
    pub(crate) fn look_for_contradictions(&mut self) {
        if let Some(rejoin) = &mut self.rejoin {
            rejoin.wants_repair |= self.books.take_contradiction();
            self.is_recovering |= rejoin.wants_repair;
        }
    }
}

impl<V: Venue> Delivery<'_, V> {
    /// Copies a message for the spare.
    #[cold]
    pub(crate) fn tap(&mut self, seq: Seq, bytes: &[u8]) {
        let counters = &self.counters.join;
        let Some(rejoin) = &mut self.room.rejoin else {
            return;
        };
        let live = Live::new(seq.0, rejoin.epoch, bytes);
        let is_copied = match (&mut rejoin.end.live, live) {
            (Some(ring), Some(live)) => ring.push(live).is_ok(),
            _ => false,
        };
        if is_copied {
            counters.live_copied.increment();
        } else {
            counters.live_dropped.increment();
        }
    }

    /// One turn of recovery.
    #[cold]
    pub(crate) fn recover(&mut self, arbiter: &mut Arbiter<V>, now_ns: u64) {
        let counters = self.counters;
        let session = arbiter.session();
        if let Some(rejoin) = &mut self.room.rejoin {
            let key = session.map(V::key_of);
            rejoin.tell(key, arbiter.next_seq().0, &counters.join);
        }
        for _ in 0..ANSWERS_EACH {
            // What an answer has set free goes first, a slice a turn.
            if arbiter.has_backlog() {
                break;
            }
            let rejoin = self.room.rejoin.as_mut();
            let Some(answer) = rejoin.and_then(|rejoin| rejoin.end.answers.pop()) else {
                break;
            };
            match answer {
                Answer::Packet(packet) => {
                    let arrival = Arrival {
                        payload: packet.payload(),
                        line: NO_LINE,
                        now_ns,
                    };
                    arbiter.on_answer(&arrival, &counters.arbiter, self);
                }
                Answer::GivenUp(range) => arbiter.on_unavailable(range.first, range.end),
                Answer::NoSnapshot(epoch) => self.on_no_snapshot(epoch),
            }
        }
        // An answer may have ended the session.
        self.join(arbiter.session().is_some(), arbiter.next_seq().0, now_ns);
        if self.room.stale & STALE_WAITING != 0 && !arbiter.is_recovering() {
            self.set_stale(self.room.stale & !STALE_WAITING);
        }
        let is_waiting = self.room.stale & STALE_WAITING != 0;
        let has_gap = self.room.stale & STALE_GAP != 0 && session.is_some();
        let rejoin = self.room.rejoin.as_ref();
        let is_busy = rejoin.is_some_and(|rejoin| rejoin.is_busy(has_gap));
        self.room.is_recovering = is_waiting || is_busy;
    }

    fn on_no_snapshot(&mut self, epoch: u32) {
        if let Some(rejoin) = &mut self.room.rejoin
            && rejoin.epoch == epoch
            && matches!(rejoin.state, State::Asked)
        {
            // Tries for a contradicted book are not those of a gap, which may have come meanwhile and asks at once.
            rejoin.state = if rejoin.is_repair {
                State::Idle
            } else {
                State::GivenUp
            };
            self.room.is_tapped = false;
        }
    }

    /// One step on the way from a gap to new books.
    fn join(&mut self, has_session: bool, next_seq: u64, now_ns: u64) {
        let has_gap = self.room.stale & STALE_GAP != 0;
        let Some(rejoin) = &mut self.room.rejoin else {
            return;
        };
        if rejoin.end.live.is_none() || rejoin.has_to_abort {
            return;
        }
        if !has_session {
            if !matches!(rejoin.state, State::Idle) {
                rejoin.stop();
                rejoin.has_to_abort = true;
            }
            self.room.is_tapped = false;
            return;
        }
        match std::mem::replace(&mut rejoin.state, State::Idle) {
            State::Idle if has_gap || rejoin.is_repair_due(now_ns) => {
                let epoch = rejoin.epoch.wrapping_add(1);
                if rejoin.end.asks.push(Ask::Snapshot(epoch)).is_ok() {
                    (rejoin.epoch, rejoin.state) = (epoch, State::Asked);
                    self.room.is_tapped = true;
                    rejoin.is_repair = !has_gap;
                    if !has_gap {
                        self.counters.join.repairs_asked.increment();
                        rejoin.on_repair(now_ns);
                    }
                } else {
                    self.counters.join.asks_delayed.increment();
                }
            }
            State::Asked => {
                rejoin.state = State::Asked;
                if let Some(spare) = rejoin.end.to_feed.take() {
                    if spare.epoch() == rejoin.epoch {
                        rejoin.caught_up_at = next_seq;
                        rejoin.state = State::CatchingUp(spare, now_ns);
                    } else {
                        rejoin.end.to_stage.give(spare);
                    }
                }
            }
            State::CatchingUp(spare, since_ns) => self.catch_up(spare, since_ns, next_seq, now_ns),
            State::Showing(spare, row) => self.show(spare, row),
            State::Telling(spare, row) => self.tell_changes(spare, row, now_ns),
            State::Resting(until_ns) if until_ns > now_ns => {
                rejoin.state = State::Resting(until_ns);
            }
            State::GivenUp => rejoin.state = State::GivenUp,
            State::Idle | State::Resting(_) => {}
        }
    }

    /// Applies what the spare lacks, and swaps when it lacks nothing.
    fn catch_up(&mut self, mut spare: Box<Spare>, since_ns: u64, next_seq: u64, now_ns: u64) {
        let room = &mut *self.room;
        let Some(rejoin) = &mut room.rejoin else {
            return;
        };
        let came = next_seq.saturating_sub(rejoin.caught_up_at);
        rejoin.caught_up_at = next_seq;
        let each = usize::try_from(came).map_or(CATCH_UP_EACH, |came| came + CATCH_UP_EACH);
        let taken = spare.catch_up(each);
        let is_late = now_ns.saturating_sub(since_ns) > AHEAD_NS_MAX;
        let has_all = taken.is_ok_and(|taken| taken < each);
        let is_refused = taken.is_err() || is_late || has_all && spare.next_seq() < next_seq;
        if is_refused {
            self.counters.join.snapshots_refused.increment();
            rejoin.end.to_stage.give(spare);
            let rest_ns = REST_NS << rejoin.refused.min(REST_DOUBLINGS_MAX);
            rejoin.refused += 1;
            rejoin.state = State::Resting(now_ns.saturating_add(rest_ns));
            room.is_tapped = false;
        } else if has_all && spare.next_seq() == next_seq {
            self.counters.join.snapshots_joined.increment();
            std::mem::swap(&mut room.books, &mut spare.books);
            room.is_tapped = false;
            (rejoin.has_new_gap, rejoin.refused) = (false, 0);
            rejoin.wants_repair = false;
            rejoin.changed.fill(0);
            rejoin.state = State::Showing(spare, 0);
        } else {
            rejoin.state = State::CatchingUp(spare, since_ns);
        }
    }

    /// Brings rows of the table up to date; with the last of them the gap is over.
    fn show(&mut self, spare: Box<Spare>, from: u32) {
        let has_new_gap = self.room.rejoin.as_ref().is_some_and(|it| it.has_new_gap);
        let (mut row, mut written) = (from, 0);
        while row < (from + ROWS_EACH).min(ROWS) && written < WRITTEN_EACH {
            let locate = u16::try_from(row).unwrap_or(u16::MAX);
            let table = &self.room.best_prices;
            let is_incomplete = self.room.books.is_incomplete(locate);
            let is_right_again = table.is_incomplete(locate) && !is_incomplete;
            if is_incomplete {
                table.set_incomplete(locate);
            }
            let best = self.room.books.best(locate);
            // A snapshot from before a gap proves nothing of what the gap hides.
            let status = spare.status(locate).filter(|_| !has_new_gap);
            let is_other = status.is_some_and(|status| table.statuses().take(locate, status));
            let is_new = table.load(locate) != Some(best) || is_other || is_right_again;
            if is_new {
                self.show_row(locate, &best);
                if let Some(rejoin) = &mut self.room.rejoin {
                    rejoin.note_change(locate);
                }
                self.counters.join.symbols_refreshed.increment();
            }
            // Behind its prices: whoever finds it fresh finds them.
            if !is_incomplete {
                self.room.best_prices.set_complete(locate);
            }
            let known = self.room.best_prices.symbol(locate);
            let named = spare.symbol(locate).filter(|it| known != Some(*it));
            if let Some(symbol) = named {
                self.learn(locate, symbol);
            }
            let moment = self.room.publisher.moment();
            let has_levels = self.room.show_depth(locate, moment);
            if let Some(symbol) = named {
                self.tell_symbol(Kind::Directory, locate, u64::from_ne_bytes(symbol.0));
            }
            row += 1;
            written += u32::from(is_new || has_levels || named.is_some());
        }
        let Some(rejoin) = &mut self.room.rejoin else {
            return;
        };
        rejoin.state = if row < ROWS {
            State::Showing(spare, row)
        } else {
            State::Telling(spare, 0)
        };
    }

    /// A row of the table that no message changes: behind every message so far.
    fn show_row(&self, locate: u16, best: &BestPrice) {
        let (table, publisher) = (&self.room.best_prices, &self.room.publisher);
        let before = table.load_row(locate).unwrap_or_default().changed;
        table.store(locate, best, publisher.moment().max(before));
    }

    /// Tells strategies of symbols whose best prices the snapshot changed; then the gap is over. A row is shown
    /// again just before it is told: who loses the event finds that the row is news.
    fn tell_changes(&mut self, spare: Box<Spare>, from: u32, now_ns: u64) {
        let (mut row, mut told) = (from, 0);
        while row < ROWS && told < TOLD_EACH {
            let locate = u16::try_from(row).unwrap_or(u16::MAX);
            let changed = self.room.rejoin.as_ref().and_then(|rejoin| {
                let word = rejoin.changed.get(usize::from(locate / 64))?;
                Some(word >> (locate % 64))
            });
            match changed {
                None | Some(0) => row = (row / 64 + 1) * 64,
                Some(bits) if bits & 1 == 0 => row += bits.trailing_zeros(),
                Some(_) => {
                    let best = self.room.books.best(locate);
                    self.show_row(locate, &best);
                    self.tell_symbol(Kind::Refresh, locate, 0);
                    told += 1;
                    row += 1;
                }
            }
        }
        let Some(rejoin) = &mut self.room.rejoin else {
            return;
        };
        if row < ROWS {
            rejoin.state = State::Telling(spare, row);
            return;
        }
        let loaded_ns = spare.loaded_ns();
        rejoin.end.to_stage.give(spare);
        if !rejoin.has_new_gap && self.room.stale & STALE_GAP != 0 {
            let took_ns = now_ns.saturating_sub(loaded_ns);
            self.room.histograms.snapshot_to_fresh.record(took_ns);
            let since_ns = std::mem::take(&mut rejoin.gap_since_ns);
            let stale_ns = now_ns.saturating_sub(since_ns);
            self.counters.join.stale_gap_ns.add(stale_ns);
            self.set_stale(self.room.stale & !STALE_GAP);
        }
    }
}
