//! Which line of a feed is first, by how much, and what each of them does not bring.
//!
//! ```text
//!  line A  1-8        9-16          17-24       first: 1-8, 17-24
//!  line B       1-8   9-16                      first: 9-16; does not bring 17-24
//!        `line_led` ^
//! ```
//!
//! Path:        arbiter's verdict of each packet -> race -> counters and histogram of each line
//! Thread:      feed core, hot
//! Invariants:  a packet of the running session is counted once, by what became of it. A number that a line
//!              jumps over counts as lost on it until it brings it after all.
//! Time:        the wire's stamp where a packet has one, else when it was seen; so who led is the wire's
//!              order, who won the order in which packets were taken.
//! When full:   copies are recognised among the last [`FIRSTS`] numbers; what a line brings later than that
//!              still counts, without a lead.

use std::sync::Arc;

use rt::{counters, histograms};

use crate::arbiter::Verdict;
use crate::lines::LINES_MAX;
use crate::source::Packet;
use crate::stream::{Brought, Fate};

/// Numbers back to which first copies are remembered, a power of two: 1 ms of 1,000,000 messages a second.
const FIRSTS: usize = 1024;

counters! {
    /// What one line brought to the running session: each packet with messages is won, duplicate, late or
    /// repeated.
    pub struct LineCounters {
        /// Packets that were the first to bring something.
        packets_won,
        /// Packets of which another line had brought everything.
        packets_duplicate,
        /// Packets that came after what they bring had been given up.
        packets_late,
        /// Packets that this line had brought before.
        packets_repeated,
        /// Packets behind others of this line, which they should have come before.
        packets_out_of_order,
        /// Messages that this line has jumped over, or that a heartbeat says it lacks, and has not brought since.
        messages_lost,
    }
}

histograms! {
    /// By how much a line leads.
    pub struct LineHistograms {
        /// first copy of a packet, on this line -> its next copy, on another
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
}

#[derive(Debug, Default)]
struct Racer {
    /// The number after the highest that it has told of.
    next_seq: u64,
    counters: Arc<LineCounters>,
    histograms: LineHistograms,
}

/// The first copy of a packet.
#[derive(Clone, Copy, Debug)]
struct First {
    /// Its first number; 0: none.
    seq: u64,
    at_ns: u64,
    /// A bit for each line that has brought it.
    lines: u64,
}

impl First {
    const NONE: Self = Self {
        seq: 0,
        at_ns: 0,
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
        }
    }

    pub(crate) fn views(&self) -> Vec<LineView> {
        let view = |racer: &Racer| LineView {
            counters: Arc::clone(&racer.counters),
            histograms: racer.histograms.readers(),
        };
        self.racers.iter().map(view).collect()
    }

    /// Another session: numbers mean something else, and from this one on every line should have them.
    #[cold]
    fn restart(&mut self, seq: u64) {
        self.firsts.fill(First::NONE);
        for racer in &mut self.racers {
            racer.next_seq = seq;
        }
    }

    /// A packet has been through arbitration.
    #[inline]
    pub(crate) fn on_verdict(&mut self, verdict: &Verdict, packet: &Packet<'_>, seen_ns: u64) {
        if let Some(brought) = &verdict.brought {
            if verdict.is_begin {
                self.restart(brought.seq);
            }
            let is_stamped = packet.wire_ns != 0;
            let at_ns = if is_stamped { packet.wire_ns } else { seen_ns };
            self.on_brought(packet.line, brought, at_ns);
        }
    }

    /// A line has brought numbers, or said that they exist.
    #[inline]
    fn on_brought(&mut self, line: u8, brought: &Brought, at_ns: u64) {
        let Brought { seq, end, fate } = *brought;
        let Self { racers, firsts } = self;
        let bit = 1u64 << (line & 63);
        let place = firsts.get_mut(place_of(seq));
        let (Some(racer), Some(first)) = (racers.get_mut(usize::from(line)), place) else {
            return;
        };
        let next_seq = racer.next_seq;
        racer.next_seq = next_seq.max(end);
        if seq > next_seq {
            racer.counters.messages_lost.add(seq - next_seq);
        }
        if end == seq {
            return;
        }
        let is_known = first.seq == seq;
        if is_known && first.lines & bit != 0 {
            return racer.counters.packets_repeated.increment();
        }
        if seq < next_seq {
            racer.on_out_of_order(end.min(next_seq) - seq);
        }
        match fate {
            Fate::First => {
                racer.counters.packets_won.increment();
                let lines = bit;
                *first = First { seq, at_ns, lines };
            }
            Fate::Copy => {
                racer.counters.packets_duplicate.increment();
                if is_known {
                    let (leader, led_ns) = first.led_over(line, at_ns);
                    // With more than two lines the second copy says it.
                    if first.lines.is_power_of_two()
                        && let Some(leader) = racers.get_mut(leader)
                    {
                        leader.histograms.line_led.record(led_ns);
                    }
                    first.lines |= bit;
                }
            }
            Fate::Late => racer.counters.packets_late.increment(),
        }
    }
}

impl First {
    /// Who led this packet over another line's copy, and by how much. Who was taken first may yet be behind on
    /// the wire: queues are looked at in turn.
    #[inline]
    fn led_over(&self, line: u8, at_ns: u64) -> (usize, u64) {
        if at_ns >= self.at_ns {
            (self.lines.trailing_zeros() as usize, at_ns - self.at_ns)
        } else {
            (usize::from(line), self.at_ns - at_ns)
        }
    }
}

impl Racer {
    #[cold]
    fn on_out_of_order(&self, messages: u64) {
        self.counters.packets_out_of_order.increment();
        let lost = &self.counters.messages_lost;
        lost.set(lost.get().saturating_sub(messages));
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
            self.race
                .on_brought(line, &Brought { seq, end, fate }, at_ns);
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
        assert_eq!(bench.counts(0).last(), Some(&("messages_lost", 4)));
        // A heartbeat says that there is more.
        bench.brings(0, 120..120, Fate::Copy, 3);
        assert_eq!(bench.counts(0).last(), Some(&("messages_lost", 12)));
        bench.brings(0, 104..108, Fate::First, 4);
        bench.brings(0, 104..108, Fate::Copy, 5);
        let counts = [
            ("packets_won", 3),
            ("packets_repeated", 1),
            ("packets_out_of_order", 1),
            ("messages_lost", 8),
        ];
        assert_eq!(bench.counts(0), counts);
        bench.brings(0, 112..120, Fate::Late, 6);
        assert!(
            !bench
                .counts(0)
                .iter()
                .any(|(name, _)| *name == "messages_lost")
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
}
