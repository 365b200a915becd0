//! Which line of a feed is first, by how much, and what each of them does not bring.
//!
//! ```text
//!  line A  1-8        9-16          17-24       first: 1-8, 17-24
//!  line B       1-8   9-16                 25   first: 9-16, 25; 17-24 is missing on it
//!          `line_led` ^
//! ```
//!
//! Path:        arbiter's verdict of each packet -> race -> counters and histogram of each line
//! Thread:      feed core, hot
//! Invariants:  a packet of the running session is counted once, by what became of it; those that made the session
//!              believed are not. A number that a line jumps over is missing on it until it brings it after all.
//! Time:        the wire's stamps where both copies have one, else when each was seen; so who led is the wire's
//!              order, who won the order in which packets were taken.
//! When full:   a lead is known for copies of the last [`FIRSTS`] numbers; of each line the last [`JUMPS`] places are
//!              remembered at which it jumped, and what is missing at older ones stays so.

use std::sync::Arc;

use rt::{counters, histograms};

use crate::arbiter::Verdict;
use crate::lines::LINES_MAX;
use crate::source::Packet;
use crate::stream::{Brought, Fate};

/// Numbers back to which first copies are remembered, a power of two: 1 ms of 1,000,000 messages a second.
const FIRSTS: usize = 1024;
/// Places at which a line has jumped that are remembered.
const JUMPS: usize = 16;

counters! {
    /// What one line brought to the running session: each packet with messages is won, duplicate, late, repeated or
    /// unreadable.
    pub struct LineCounters {
        /// Packets that were the first to bring something.
        packets_won,
        /// Packets whose messages were all there: another line, or a server, had brought them.
        packets_duplicate,
        /// Packets that came after what they bring had been given up.
        packets_late,
        /// Packets that this line had brought before.
        packets_repeated,
        /// Packets of which no message could be read.
        packets_unreadable,
        /// Packets behind others of this line, which should have come before them.
        packets_out_of_order,
        /// Now: messages that this line has jumped over, or that a heartbeat says it lacks.
        messages_missing,
        /// Now: messages that others have brought since this line last spoke; looked at when lines are looked at.
        messages_behind,
    }
}

histograms! {
    /// By how much a line leads.
    pub struct LineHistograms {
        /// first copy of a packet, on this line -> the copy that was taken next, of another
        line_led,
    }
}

/// What one line brought, for others to read.
#[derive(Clone, Debug)]
pub struct LineView {
    /// Its counters.
    pub counters: Arc<LineCounters>,
    /// Its histogram.
    pub histograms: Vec<(&'static str, rt::histogram::Reader)>,
}

/// All lines of one feed.
#[derive(Debug)]
pub(crate) struct Race {
    racers: Box<[Racer]>,
    firsts: Box<[First; FIRSTS]>,
    /// The number at which the session began here.
    begin_seq: u64,
}

#[derive(Debug, Default)]
struct Racer {
    /// The number after the highest that it has told of; 0: it has not spoken in this session.
    next_seq: u64,
    jumps: Jumps,
    counters: Arc<LineCounters>,
    histograms: LineHistograms,
}

/// The first copy of a packet.
#[derive(Clone, Copy, Debug)]
struct First {
    /// Its first number; 0: none.
    seq: u64,
    at: Moment,
    /// A bit for each line that has brought it.
    lines: u64,
}

/// When a copy was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Moment {
    ns: u64,
    /// The wire says so, and not who saw it.
    is_stamped: bool,
}

impl First {
    const NONE: Self = Self {
        seq: 0,
        at: Moment {
            ns: 0,
            is_stamped: false,
        },
        lines: 0,
    };
}

impl Race {
    pub(crate) fn new(lines: usize) -> Self {
        Self {
            racers: (0..lines.min(LINES_MAX))
                .map(|_| Racer::default())
                .collect(),
            firsts: Box::new([First::NONE; FIRSTS]),
            begin_seq: 1,
        }
    }

    pub(crate) fn views(&self) -> Vec<LineView> {
        let view = |racer: &Racer| LineView {
            counters: Arc::clone(&racer.counters),
            histograms: racer.histograms.readers(),
        };
        self.racers.iter().map(view).collect()
    }

    /// A packet has been through arbitration.
    #[inline]
    pub(crate) fn on_verdict(&mut self, verdict: &Verdict, packet: &Packet<'_>, seen_ns: u64) {
        let Some(brought) = &verdict.brought else {
            return;
        };
        if verdict.is_begin {
            self.restart(brought.seq);
        }
        let is_stamped = packet.wire_ns != 0;
        let ns = if is_stamped { packet.wire_ns } else { seen_ns };
        self.on_brought(packet.line, brought, Moment { ns, is_stamped });
    }

    /// Says how far lines are behind that do not speak; `next_seq` is the feed's.
    #[cold]
    pub(crate) fn look(&self, next_seq: u64) {
        for racer in &self.racers {
            let told = racer.next_seq.max(self.begin_seq);
            let behind = next_seq.saturating_sub(told);
            racer.counters.messages_behind.set(behind);
        }
    }

    /// Another session: numbers mean something else, and from this one on every line should have them.
    #[cold]
    fn restart(&mut self, seq: u64) {
        self.begin_seq = seq;
        self.firsts.fill(First::NONE);
        for racer in &mut self.racers {
            (racer.next_seq, racer.jumps) = (0, Jumps::default());
        }
    }

    /// A line has brought numbers, or said that they exist.
    #[inline]
    fn on_brought(&mut self, line: u8, brought: &Brought, at: Moment) {
        let Brought { seq, end, fate } = *brought;
        let Self {
            racers,
            firsts,
            begin_seq,
        } = self;
        let bit = 1u64 << (line & 63);
        let place = firsts.get_mut(place_of(seq));
        let (Some(racer), Some(first)) = (racers.get_mut(usize::from(line)), place) else {
            return;
        };
        if seq != racer.next_seq && racer.is_again(brought, *begin_seq) {
            return racer.counters.packets_repeated.increment();
        }
        racer.next_seq = racer.next_seq.max(end);
        match fate {
            Fate::First => {
                racer.counters.packets_won.increment();
                let lines = bit;
                *first = First { seq, at, lines };
            }
            Fate::Copy => {
                racer.counters.packets_duplicate.increment();
                if first.seq == seq {
                    let led = first.led_over(line, at);
                    first.lines |= bit;
                    if let Some((leader, led_ns)) = led
                        && let Some(leader) = racers.get_mut(leader)
                    {
                        leader.histograms.line_led.record(led_ns);
                    }
                }
            }
            Fate::Late => racer.counters.packets_late.increment(),
            Fate::Unreadable => racer.counters.packets_unreadable.increment(),
            Fate::Said => {}
        }
    }
}

impl Racer {
    /// A packet that is not the next one of this line. Returns whether the line has brought all of it before.
    #[cold]
    fn is_again(&mut self, brought: &Brought, begin_seq: u64) -> bool {
        let Brought { seq, end, .. } = *brought;
        let missing = &self.counters.messages_missing;
        if self.next_seq == 0 {
            // Its first words: what comes before the session's begin here is nobody's loss.
            if seq > begin_seq {
                missing.add(seq - begin_seq);
                self.jumps.add(begin_seq, seq);
            }
            self.next_seq = seq;
            return false;
        }
        if seq > self.next_seq {
            missing.add(seq - self.next_seq);
            self.jumps.add(self.next_seq, seq);
            return false;
        }
        if end == seq {
            return false;
        }
        let found = self.jumps.fill(seq, end.min(self.next_seq));
        missing.set(missing.get().saturating_sub(found));
        if found > 0 {
            self.counters.packets_out_of_order.increment();
        }
        found == 0 && end <= self.next_seq
    }
}

impl First {
    /// Who led this packet over another line's copy, and by how much. Who was taken first may yet be behind on
    /// the wire: queues are looked at in turn. `None`: another copy has said it, or the two were not stamped in the
    /// same place.
    #[inline]
    fn led_over(&self, line: u8, at: Moment) -> Option<(usize, u64)> {
        if !self.lines.is_power_of_two() || self.at.is_stamped != at.is_stamped {
            return None;
        }
        Some(if at.ns >= self.at.ns {
            (self.lines.trailing_zeros() as usize, at.ns - self.at.ns)
        } else {
            (usize::from(line), self.at.ns - at.ns)
        })
    }
}

/// What a line has jumped over: ranges without numbers in common, the oldest given up for the newest.
#[derive(Clone, Copy, Debug, Default)]
struct Jumps {
    /// From, and to before; empty: none.
    ranges: [(u64, u64); JUMPS],
    next: usize,
}

impl Jumps {
    fn add(&mut self, first: u64, end: u64) {
        let empty = self.ranges.iter().position(|(first, end)| first >= end);
        let place = empty.unwrap_or(self.next % JUMPS);
        if let Some(range) = self.ranges.get_mut(place) {
            *range = (first, end);
        }
        self.next = place + 1;
    }

    /// Numbers came after all. Returns how many of them were missing.
    fn fill(&mut self, first: u64, end: u64) -> u64 {
        let mut found = 0;
        for place in 0..JUMPS {
            let Some(range) = self.ranges.get_mut(place) else {
                break;
            };
            let (from, to) = (range.0.max(first), range.1.min(end));
            if from >= to {
                continue;
            }
            found += to - from;
            let behind = (to, range.1);
            range.1 = from;
            if range.0 >= range.1 {
                *range = behind;
            } else if behind.0 < behind.1 {
                self.add(behind.0, behind.1);
            }
        }
        found
    }
}

/// Where a packet's first copy is remembered.
#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "the mask leaves less than the length of the table"
)]
fn place_of(seq: u64) -> usize {
    seq as usize & (FIRSTS - 1)
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::*;

    struct Bench {
        race: Race,
        views: Vec<LineView>,
    }

    impl Bench {
        fn new(lines: usize) -> Self {
            let mut race = Race::new(lines);
            race.restart(1);
            let views = race.views();
            Self { race, views }
        }

        fn brings(&mut self, line: u8, seqs: Range<u64>, fate: Fate, at_ns: u64) -> &mut Self {
            let Range { start: seq, end } = seqs;
            let at = Moment {
                ns: at_ns,
                is_stamped: true,
            };
            self.race.on_brought(line, &Brought { seq, end, fate }, at);
            self
        }

        /// Counters of a line that are not 0.
        fn counts(&self, line: usize) -> Vec<(&'static str, u64)> {
            let list = self.views[line].counters.list().into_iter();
            let counts = list.map(|(name, _, count)| (name, count));
            counts.filter(|(_, count)| *count != 0).collect()
        }

        /// How often a line led, and the most by which it did.
        fn led(&self, line: usize) -> (u64, u64) {
            let found = self.views[line].histograms[0].1.snapshot();
            (found.len(), found.max())
        }
    }

    #[test]
    fn who_is_first_leads_by_the_time_to_the_second_copy() {
        let mut bench = Bench::new(3);
        bench
            .brings(0, 1..9, Fate::First, 1_000)
            .brings(1, 1..9, Fate::Copy, 1_400)
            .brings(2, 1..9, Fate::Copy, 1_900)
            .brings(1, 9..17, Fate::First, 2_000)
            .brings(0, 9..17, Fate::Copy, 2_030);
        assert_eq!((bench.led(0), bench.led(1)), ((1, 400), (1, 30)));
        assert_eq!(bench.led(2).0, 0);
        let counts = [("packets_won", 1), ("packets_duplicate", 1)];
        assert_eq!(bench.counts(0), counts);
        assert_eq!(bench.counts(1), counts);
    }

    #[test]
    fn line_that_was_ahead_on_the_wire_leads_though_it_was_taken_second() {
        let mut bench = Bench::new(2);
        bench.brings(0, 1..2, Fate::First, 1_000);
        bench.brings(1, 1..2, Fate::Copy, 990);
        assert_eq!((bench.led(0).0, bench.led(1)), (0, (1, 10)));
        assert!(bench.counts(0).contains(&("packets_won", 1)));
    }

    #[test]
    fn what_a_line_jumps_over_is_lost_until_it_brings_it() {
        let mut bench = Bench::new(2);
        bench.race.restart(100);
        bench.brings(0, 100..104, Fate::First, 1);
        assert_eq!(bench.counts(0).last(), Some(&("packets_won", 1)));
        bench.brings(0, 108..112, Fate::First, 2);
        assert_eq!(bench.counts(0).last(), Some(&("messages_missing", 4)));
        // A heartbeat says that there is more.
        bench.brings(0, 120..120, Fate::Said, 3);
        assert_eq!(bench.counts(0).last(), Some(&("messages_missing", 12)));
        bench.brings(0, 104..108, Fate::First, 4);
        bench.brings(0, 104..108, Fate::Copy, 5);
        let counts = [
            ("packets_won", 3),
            ("packets_repeated", 1),
            ("packets_out_of_order", 1),
            ("messages_missing", 8),
        ];
        assert_eq!(bench.counts(0), counts);
        bench.brings(0, 112..120, Fate::Late, 6);
        assert!(
            !bench
                .counts(0)
                .iter()
                .any(|(name, _)| *name == "messages_missing")
        );
    }

    #[test]
    fn another_session_begins_without_a_loss_and_a_line_without_a_number_is_nobody() {
        let mut bench = Bench::new(1);
        bench.brings(0, 1..1001, Fate::First, 1);
        bench.race.restart(1);
        bench
            .brings(0, 1..2, Fate::First, 2)
            .brings(0, 2..3, Fate::First, 3);
        bench.brings(7, 3..4, Fate::First, 4);
        assert_eq!(bench.counts(0), [("packets_won", 3)]);
    }

    #[test]
    fn line_behind_the_one_that_began_the_session_is_in_order() {
        let mut bench = Bench::new(2);
        // Line 0's third packet was the one that was believed.
        bench.race.restart(3);
        bench
            .brings(0, 3..4, Fate::First, 1)
            .brings(1, 1..2, Fate::Copy, 2)
            .brings(1, 2..3, Fate::Copy, 3)
            .brings(1, 3..4, Fate::Copy, 4);
        assert_eq!(bench.counts(1), [("packets_duplicate", 3)]);
    }

    #[test]
    fn packet_that_comes_again_finds_nothing_that_is_missing() {
        let mut bench = Bench::new(1);
        bench.brings(0, 1..5, Fate::First, 1);
        bench.brings(0, 9..13, Fate::First, 2);
        for seq in (13..3013).step_by(4) {
            bench.brings(0, seq..seq + 4, Fate::First, 3);
        }
        bench.brings(0, 1..5, Fate::Copy, 4);
        assert!(bench.counts(0).contains(&("messages_missing", 4)));
        bench.brings(0, 6..8, Fate::Late, 5);
        bench.brings(0, 6..8, Fate::Late, 6);
        assert!(bench.counts(0).contains(&("messages_missing", 2)));
        assert!(bench.counts(0).contains(&("packets_repeated", 2)));
        // What is left of the range lies on both sides of what came.
        bench
            .brings(0, 5..6, Fate::Late, 7)
            .brings(0, 8..9, Fate::Late, 8);
        let counts = bench.counts(0);
        assert!(!counts.iter().any(|(name, _)| *name == "messages_missing"));
        assert!(counts.contains(&("packets_out_of_order", 3)));
    }

    #[test]
    fn stamps_of_different_places_give_no_lead() {
        let mut bench = Bench::new(2);
        bench.brings(0, 1..2, Fate::First, 1_000);
        let brought = Brought {
            seq: 1,
            end: 2,
            fate: Fate::Copy,
        };
        let seen = Moment {
            ns: 5_000,
            is_stamped: false,
        };
        bench.race.on_brought(1, &brought, seen);
        assert_eq!((bench.led(0).0, bench.led(1).0), (0, 0));
        assert_eq!(bench.counts(1), [("packets_duplicate", 1)]);
    }
}
