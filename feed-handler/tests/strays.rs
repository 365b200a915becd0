//! Sessions and numbers that go astray, ends that are repeated, lines that lag: what the arbiter makes of them.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests"
)]

use feed_handler::arbiter::*;
use feed_handler::venue::Nasdaq;
use protocol::mold::{PacketBuilder, Session};
use protocol::types::Seq;

#[derive(Default)]
struct Heard(Vec<String>, u64);
impl StreamSink for Heard {
    fn on_session(&mut self, first: Seq, is_first: bool) {
        self.0
            .push(format!("session at {} first {is_first}", first.0));
    }
    fn on_message(&mut self, seq: Seq, _: &[u8]) {
        self.1 += 1;
        if self.0.len() < 60 {
            self.0.push(format!("m{}", seq.0));
        }
    }
    fn on_gap(&mut self, first: Seq, count: u64) {
        self.0.push(format!("gap {}+{count}", first.0));
    }
    fn on_end_of_session(&mut self, next: Seq) {
        self.0.push(format!("end {}", next.0));
    }
}

const S1: Session = *b"SESSION001";
const S2: Session = *b"SESSION002";
const MS: u64 = 1_000_000;
const SEC: u64 = 1_000_000_000;

fn data(s: Session, seq: u64, count: u64) -> Vec<u8> {
    let mut buffer = [0; 1400];
    let mut b = PacketBuilder::new(&mut buffer, s, Seq(seq)).unwrap();
    for _ in 0..count {
        assert!(b.push(b"x"));
    }
    b.finish().to_vec()
}
fn end(s: Session, seq: u64) -> Vec<u8> {
    let mut buffer = [0; 20];
    PacketBuilder::new(&mut buffer, s, Seq(seq))
        .unwrap()
        .finish_end_of_session()
        .to_vec()
}
struct B {
    a: Arbiter<Nasdaq>,
    c: ArbiterCounters,
    h: Heard,
}
impl B {
    fn new(hold: u64) -> Self {
        Self {
            a: Arbiter::new(Patience {
                gap_timeout_ns: hold,
                stale_ns: 2 * SEC,
            }),
            c: ArbiterCounters::default(),
            h: Heard::default(),
        }
    }
    fn p(&mut self, line: u8, now_ns: u64, payload: &[u8]) -> Standing {
        if now_ns >= self.a.deadline_ns() {
            self.a.on_timeout(now_ns, &self.c, &mut self.h);
        }
        self.a
            .on_packet(
                &Arrival {
                    payload,
                    line,
                    now_ns,
                },
                &self.c,
                &mut self.h,
            )
            .standing
    }
    fn begin(&mut self, s: Session) {
        for i in 0..3 {
            self.p(0, 1 + i * 200 * MS, &data(s, 1, 0));
        }
    }
}

#[test]
fn old_end_repeated_on_one_line_while_the_new_day_rests_on_the_other() {
    let mut b = B::new(MS);
    b.begin(S1);
    b.p(0, SEC, &data(S1, 1, 50));
    for i in 0..3 {
        b.p(0, 2 * SEC + i * SEC, &end(S1, 51));
        b.p(1, 2 * SEC + i * SEC, &end(S1, 51));
    }
    // New day on line 0: directory, then rest with a heartbeat each second. Line 1 repeats the old end 10/s.
    let t = 6 * SEC;
    for i in 0..5 {
        b.p(0, t + i * MS, &data(S2, 1 + i * 10, 10));
    }
    assert_eq!(b.a.next_seq().0, 51, "{:?}", b.h.0);
    b.h.0.clear();
    for i in 0..1200u64 {
        let now = t + SEC + i * 101 * MS;
        b.p(1, now, &end(S1, 51));
        if i % 10 == 0 {
            b.p(0, now + MS, &data(S2, 51, 0));
        }
    }
    assert!(
        b.h.0.is_empty(),
        "{:?} sessions_begun {}",
        b.h.0,
        b.c.sessions_begun.get()
    );
}

#[test]
fn old_end_each_second_for_twenty_minutes() {
    let mut b = B::new(MS);
    b.begin(S1);
    b.p(0, SEC, &data(S1, 1, 50));
    for i in 0..3 {
        b.p(0, 2 * SEC + i * SEC, &end(S1, 51));
        b.p(1, 2 * SEC + i * SEC, &end(S1, 51));
    }
    let t = 6 * SEC;
    for i in 0..5 {
        b.p(0, t + i * MS, &data(S2, 1 + i * 10, 10));
    }
    b.h.0.clear();
    for i in 0..1200u64 {
        b.p(1, t + SEC + i * SEC, &end(S1, 51));
        b.p(0, t + SEC + i * SEC + MS, &data(S2, 51, 0));
    }
    assert!(b.h.0.is_empty(), "{:?}", b.h.0);
}

#[test]
fn sender_restarts_at_one_in_the_same_session() {
    let mut b = B::new(MS);
    b.begin(S1);
    for i in 0..1000 {
        b.p(0, SEC + i * MS, &data(S1, 1 + i * 10, 10));
    }
    let before = b.h.1;
    let (mut old, mut current) = (0, 0);
    for i in 0..900 {
        match b.p(0, 10 * SEC + i * MS, &data(S1, 1 + i * 10, 10)) {
            Standing::Old => old += 1,
            Standing::Current => current += 1,
            Standing::Strange => {}
        }
    }
    eprintln!(
        "delivered {} old {old} current {current} dup {}",
        b.h.1 - before,
        b.c.packets_duplicate.get()
    );
}

#[test]
fn heartbeats_of_a_wild_number_on_one_line_within_the_jump() {
    // A damaged heartbeat 16,000 ahead, once.
    let mut b = B::new(MS);
    b.begin(S1);
    b.p(0, SEC, &data(S1, 1, 50));
    b.p(0, SEC + 1, &data(S1, 16_000, 0));
    let mut lost = 0;
    for i in 0..20_000u64 {
        let before = b.h.1;
        b.p(0, SEC + 2 + i * 10_000, &data(S1, 51 + i, 1));
        if b.h.1 == before {
            lost += 1;
        }
    }
    eprintln!(
        "one wild heartbeat 16,000 ahead: {lost} true packets not delivered; gaps {} late {} dup {}",
        b.c.gaps.get(),
        b.c.packets_late.get(),
        b.c.packets_duplicate.get()
    );
}

#[test]
fn near_the_last_number() {
    for hold in [0, MS] {
        let mut b = B::new(hold);
        let top = u64::MAX - 20;
        for i in 0..3 {
            b.p(i, 1 + u64::from(i), &data(S1, top, 0));
        }
        b.a.on_timeout(SEC, &b.c, &mut b.h);
        for i in 0..10 {
            b.p(0, SEC + i, &data(S1, top + 2 * i, 2));
        }
        b.p(0, 2 * SEC, &data(S1, u64::MAX - 1, 1));
        b.p(0, 2 * SEC, &data(S1, u64::MAX, 1));
        b.p(0, 2 * SEC, &data(S1, u64::MAX, 0));
        b.p(0, 2 * SEC, &end(S1, u64::MAX));
        b.p(1, 2 * SEC, &end(S1, u64::MAX));
        eprintln!(
            "{:?} malformed {} wild {}",
            b.h.0,
            b.c.packets_malformed.get(),
            b.c.packets_wild.get()
        );
        for i in 0..5 {
            b.p(0, 3 * SEC + i * 200 * MS, &data(S2, 1 + i, 1));
        }
        eprintln!("{:?}", &b.h.0);
    }
}

#[test]
fn line_ten_milliseconds_behind_for_ever() {
    for hold in [0, MS, 20 * MS] {
        let mut b = B::new(hold);
        b.begin(S1);
        let n = 200_000u64;
        let mut sent = vec![];
        for i in 0..n {
            let t = SEC + i * 10_000;
            if i % 1000 != 7 {
                sent.push((t, 0u8, i + 1));
            }
            sent.push((t + 10 * MS, 1, i + 1));
        }
        sent.sort();
        for (t, l, s) in sent {
            b.p(l, t, &data(S1, s, 1));
        }
        b.a.on_timeout(u64::MAX, &b.c, &mut b.h);
        eprintln!(
            "hold {hold}: delivered {} lost {} crowded {} late {}",
            b.h.1,
            b.c.messages_lost.get(),
            b.c.holes_crowded_out.get(),
            b.c.packets_late.get()
        );
        assert_eq!(b.h.1 + b.c.messages_lost.get(), n);
    }
}

#[test]
fn end_repeated_for_a_minute_is_told_once() {
    let mut b = B::new(MS);
    b.begin(S1);
    b.p(0, SEC, &data(S1, 1, 50));
    for i in 0..6000u64 {
        b.p((i % 2) as u8, 2 * SEC + i * 10 * MS, &end(S1, 51));
    }
    assert_eq!(b.c.sessions_ended.get(), 1);
    b.p(0, 70 * SEC, &data(S1, 51, 0));
    // A message behind the end that was told.
    b.p(0, 70 * SEC, &data(S1, 51, 1));
    eprintln!("{:?}", &b.h.0[50..]);
}

#[test]
fn three_copies_of_a_damaged_number_far_ahead_on_three_lines() {
    // One damaged packet multiplied on two lines plus one repeat 100 ms later.
    let mut b = B::new(MS);
    b.begin(S1);
    b.p(0, SEC, &data(S1, 1, 50));
    let wild = 1u64 << 62;
    b.p(0, SEC + 1, &data(S1, wild, 1));
    b.p(1, SEC + 2, &data(S1, wild, 1));
    b.p(0, SEC + 2 + 101 * MS, &data(S1, wild, 1));
    let mut delivered = 0;
    for i in 0..5000u64 {
        let before = b.h.1;
        b.p(0, 2 * SEC + i * MS, &data(S1, 51 + i, 1));
        if b.h.1 > before {
            delivered += 1;
        }
    }
    eprintln!(
        "next {} delivered {delivered} of 5000: {:?}",
        b.a.next_seq().0,
        b.h.0
            .iter()
            .filter(|s| !s.starts_with('m'))
            .collect::<Vec<_>>()
    );
}
