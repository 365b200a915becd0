//! Random days of the arbiter against an oracle too simple to be wrong: a sorted set of what either line
//! brought in time, with a deadline for each number that is missing.
//!
//! `DAYS` says how many (300), `SEED` where to begin (0).

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

use std::collections::{BTreeMap, BTreeSet};

use feed_handler::arbiter::{Arbiter, ArbiterCounters, Arrival, Patience, StreamSink};
use feed_handler::venue::Nasdaq;
use protocol::mold::{PacketBuilder, Session};
use protocol::types::Seq;

const SESSION: Session = *b"SESSION001";
const SILENT_NS: u64 = 1 << 40;

/// What becomes of one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Came(u64),
    Lost(u64),
    Ended(u64),
}

/// What a packet says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Says {
    Data { seq: u64, count: u64 },
    Next(u64),
    End(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Arriving {
    at: u64,
    line: u8,
    says: Says,
}

struct Day {
    hold: u64,
    /// The number after the last one sent.
    end: u64,
    arriving: Vec<Arriving>,
}

/// A day on two or three lines: packets lost, late, twice, cut at other places on each line; heartbeats;
/// bursts and lulls; the end.
fn day(seed: u64) -> Day {
    let mut random = fastrand::Rng::with_seed(seed);
    let hold = [0, 1, 20, 50, 200][random.usize(0..5)];
    let lines = random.u8(2..4);
    let end = random.u64(2..400);
    let loss: Vec<u8> = (0..lines).map(|_| random.u8(0..40)).collect();
    let jitter = random.u64(1..120);
    let mut sent_at = vec![0; usize::try_from(end).expect("small")];
    let mut now = 10;
    for at in &mut sent_at {
        *at = now;
        now += if random.u8(0..20) == 0 {
            random.u64(0..300)
        } else {
            random.u64(0..12)
        };
    }
    let mut arriving = Vec::new();
    for line in 0..lines {
        let mut seq = 1;
        let mut outage = 0;
        let lost = u32::from(loss[usize::from(line)]);
        let is_lost = |random: &mut fastrand::Rng| random.u32(0..100) < lost;
        while seq < end {
            let count = random.u64(1..7).min(end - seq);
            // The last of a packet's messages decides when it goes.
            let at = sent_at[usize::try_from(seq + count - 1).expect("small")];
            if random.u8(0..60) == 0 {
                outage = random.u32(0..20);
            }
            outage = u32::saturating_sub(outage, 1);
            let mut arrive = |random: &mut fastrand::Rng, says, at: u64| {
                let at = at + random.u64(0..jitter);
                arriving.push(Arriving { at, line, says });
            };
            if outage == 0 && !is_lost(&mut random) {
                arrive(&mut random, Says::Data { seq, count }, at);
                if random.u8(0..20) == 0 {
                    arrive(&mut random, Says::Data { seq, count }, at);
                }
            }
            seq += count;
            if random.u8(0..15) == 0 && !is_lost(&mut random) {
                arrive(&mut random, Says::Next(seq), at);
            }
        }
        for _ in 0..random.u8(0..4) {
            arriving.push(Arriving {
                at: now + jitter + random.u64(0..50),
                line,
                says: Says::End(end),
            });
        }
    }
    arriving.sort_unstable();
    Day {
        hold,
        end,
        arriving,
    }
}

/// The oracle.
#[derive(Default)]
struct Naive {
    hold: u64,
    next: u64,
    /// The number after the highest one that is known to exist.
    known: u64,
    brought: BTreeSet<u64>,
    known_since: BTreeMap<u64, u64>,
    ends: (u64, u32),
    has_ended: bool,
    fates: Vec<Fate>,
}

impl Naive {
    fn on(&mut self, arriving: Arriving) {
        let proven = match arriving.says {
            Says::Data { seq, count } => {
                self.brought
                    .extend((seq..seq + count).filter(|n| *n >= self.next));
                seq + count
            }
            Says::Next(seq) => seq,
            Says::End(seq) => {
                self.ends = (seq, self.ends.1 + 1);
                seq
            }
        };
        for number in self.known..proven {
            self.known_since.insert(number, arriving.at);
        }
        self.known = self.known.max(proven);
        self.deliver();
        if self.hold == 0 {
            self.on_time(arriving.at);
        }
    }

    fn on_time(&mut self, now: u64) {
        self.deliver();
        while self.next < self.known && self.known_since[&self.next] + self.hold <= now {
            self.fates.push(Fate::Lost(self.next));
            self.next += 1;
            self.deliver();
        }
    }

    fn deliver(&mut self) {
        while self.brought.remove(&self.next) {
            self.fates.push(Fate::Came(self.next));
            self.next += 1;
        }
        if self.ends.1 >= 2 && self.next == self.ends.0 && !self.has_ended {
            self.has_ended = true;
            self.fates.push(Fate::Ended(self.next));
        }
    }
}

#[derive(Default)]
struct Heard(Vec<Fate>);

impl StreamSink for Heard {
    fn on_session(&mut self, _: Seq, is_first_session: bool) {
        assert!(is_first_session);
    }
    fn on_message(&mut self, seq: Seq, message: &[u8]) {
        assert_eq!(message, seq.0.to_be_bytes());
        self.0.push(Fate::Came(seq.0));
    }
    fn on_gap(&mut self, first: Seq, count: u64) {
        assert!(count > 0);
        self.0.extend((first.0..first.0 + count).map(Fate::Lost));
    }
    fn on_end_of_session(&mut self, next: Seq) {
        self.0.push(Fate::Ended(next.0));
    }
}

fn packet(says: Says) -> Vec<u8> {
    let mut buffer = [0; 1400];
    let (Says::Data { seq, .. } | Says::Next(seq) | Says::End(seq)) = says;
    let mut builder = PacketBuilder::new(&mut buffer, SESSION, Seq(seq)).expect("room");
    match says {
        Says::Data { seq, count } => {
            for number in seq..seq + count {
                assert!(builder.push(&number.to_be_bytes()));
            }
            builder.finish().to_vec()
        }
        Says::Next(_) => builder.finish().to_vec(),
        Says::End(_) => builder.finish_end_of_session().to_vec(),
    }
}

/// How an arbiter may be broken, to see that the oracle finds it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    DropsEverything,
    NeverWaits,
    WaitsTwiceAsLong,
}

/// Plays a day to both; `Err`: how they differ. `Ok`: whether the arbiter never ran out of room.
fn play(day: &Day, flaw: Flaw) -> Result<bool, String> {
    let hold = match flaw {
        Flaw::NeverWaits => 0,
        Flaw::WaitsTwiceAsLong => day.hold * 2,
        _ => day.hold,
    };
    let mut arbiter = Arbiter::<Nasdaq>::new(Patience {
        gap_timeout_ns: hold,
        stale_ns: SILENT_NS,
    });
    let counters = ArbiterCounters::default();
    let mut heard = Heard::default();
    let mut naive = Naive {
        hold: day.hold,
        next: 1,
        known: 1,
        ..Naive::default()
    };
    let mut take = |arriving: Arriving, heard: &mut Heard| {
        let payload = packet(arriving.says);
        let arrival = Arrival {
            payload: &payload,
            line: arriving.line,
            now_ns: arriving.at,
        };
        arbiter.on_packet(&arrival, &counters, heard);
        arbiter.on_timeout(arriving.at, &counters, heard);
        arbiter.next_seq().0
    };
    for line in 0..3 {
        let says = Says::Next(1);
        take(Arriving { at: 0, line, says }, &mut heard);
    }
    let last = day.arriving.last().map_or(0, |arriving| arriving.at);
    // Long after, a heartbeat says where the day ended: whatever is missing is lost then.
    let says = Says::Next(day.end);
    let [told, over] = [1, 2].map(|days| last + days * 1_000_000);
    let closing = [told, over].map(|at| Arriving { at, line: 0, says });
    let mut next = 0;
    for arriving in day.arriving.iter().chain(&closing) {
        if flaw != Flaw::DropsEverything || arriving.at >= told {
            next = take(*arriving, &mut heard);
        }
        naive.on(*arriving);
        naive.on_time(arriving.at);
        if counters.holes_crowded_out.get() > 0 {
            return Ok(false);
        }
        if heard.0 != naive.fates {
            let at = heard
                .0
                .iter()
                .zip(&naive.fates)
                .take_while(|(a, b)| a == b)
                .count();
            return Err(format!(
                "{arriving:?}: heard {:?}, expected {:?}",
                heard.0.get(at..),
                naive.fates.get(at..)
            ));
        }
    }
    assert_eq!(naive.next, day.end, "the oracle itself");
    if next == day.end {
        Ok(true)
    } else {
        Err(format!("it ends at {next} of {}", day.end))
    }
}

fn number(name: &str, default: u64) -> u64 {
    let text = std::env::var(name);
    text.map_or(default, |text| text.parse().expect("a number"))
}

#[test]
fn what_either_line_brought_in_time_comes_once_and_in_order_and_the_rest_is_a_gap() {
    let (first, days) = (number("SEED", 0), number("DAYS", 300));
    println!("{days} days from seed {first}");
    let mut whole = 0;
    for seed in first..first + days {
        match play(&day(seed), Flaw::None) {
            Ok(has_room) => whole += u64::from(has_room),
            Err(difference) => panic!("seed {seed}: {difference}"),
        }
    }
    assert!(whole * 100 >= days * 95, "{whole} of {days} days had room");
}

#[test]
fn oracle_finds_arbiters_that_are_broken() {
    for flaw in [
        Flaw::DropsEverything,
        Flaw::NeverWaits,
        Flaw::WaitsTwiceAsLong,
    ] {
        let found = (0..100).filter(|seed| play(&day(*seed), flaw).is_err());
        let days = (0..100).filter(|seed| day(*seed).hold > 0 || flaw == Flaw::DropsEverything);
        let (found, days) = (found.count(), days.count());
        println!("{found} of {days} days find it");
        // A day without a hole in it cannot.
        assert!(found * 2 > days, "{found} of {days}");
    }
}
