//! Merges the lines of one MoldUDP64 session into one ordered stream.
//!
//! ```text
//!  line A  1 2 3   5 6        first copy wins: 1 2 3 | 4 from B | 5 6 held meanwhile
//!  line B    1 2 3 4 5 6
//! ```
//!
//! Path:        protocol::mold -> arbiter -> protocol::itch
//! Thread:      feed core, hot
//! Contract:    **call `on_packet` for every packet and `on_timeout` when `poll_timeout` has passed;
//!              the sink hears every number once and in order, or hears of the gap first.**
//! Invariants:  `next_seq` never goes back within a session. A packet is delivered, held, or counted
//!              as duplicate, foreign or malformed.
//! Time:        comes in as `now_ns`; this file reads no clock.
//! When full:   a packet beyond the room for held ones ends the wait: the gap is announced.
//! When wrong:  a hole waits `hold_ns` for the other line, then it is a gap.
//! Spec:        MoldUDP64 1.00, "Downstream Packet"; what to do with two lines is not specified.

use protocol::mold::{Kind, Packet, Session};
use protocol::types::Seq;
use rt::counters;

/// Packets kept while a hole is open. At 1,000,000 packets a second it is 64 µs: the lines of one
/// venue are rarely further apart.
pub const HELD_MAX: usize = 64;
/// The largest UDP payload of an Ethernet frame that is not jumbo.
pub const PACKET_LEN_MAX: usize = 1472;

counters! {
    /// What became of packets and sequence numbers.
    pub struct ArbiterCounters {
        /// Packets with messages that were used, whole or in part.
        packets_used,
        /// Packets of which every message was known already: the other line's copies.
        packets_duplicate,
        /// Packets kept until a hole before them was filled or given up.
        packets_held,
        /// Packets of another session than the running one; ignored.
        packets_foreign,
        /// Packets too short for their header or for the messages they announce.
        packets_malformed,
        /// Heartbeats.
        heartbeats,
        /// Messages delivered.
        messages,
        /// Holes that were given up.
        gaps,
        /// Messages in them: lost.
        messages_lost,
        /// Holes that the other line filled in time.
        holes_filled,
        /// Ends of session seen.
        sessions_ended,
    }
}

/// Hears the ordered stream.
pub trait StreamSink {
    /// The next message.
    fn on_message(&mut self, seq: Seq, message: &[u8]);
    /// `count` messages from `first` on will not come.
    fn on_gap(&mut self, first: Seq, count: u64);
    /// Nothing more will come in this session.
    fn on_end_of_session(&mut self, next: Seq);
}

/// One session of one feed.
#[derive(Debug)]
pub struct Arbiter {
    session: Option<Session>,
    next_seq: u64,
    hold_ns: u64,
    /// The highest next number that a heartbeat or the end of the session has stated.
    announced_seq: u64,
    /// When an open hole is given up.
    give_up_ns: Option<u64>,
    has_ended: bool,
    held: Box<[Held]>,
    held_len: usize,
}

/// A packet behind a hole.
#[derive(Clone, Copy, Debug)]
struct Held {
    seq: u64,
    len: usize,
    bytes: [u8; PACKET_LEN_MAX],
}

impl Arbiter {
    /// Waits for the first packet; its session becomes the running one, and number 1 is expected:
    /// who joins late is told so by a gap. `hold_ns` is how long a hole waits for the other line; 0
    /// where there is one line only.
    #[must_use]
    pub fn new(hold_ns: u64) -> Self {
        let empty = Held {
            seq: 0,
            len: 0,
            bytes: [0; PACKET_LEN_MAX],
        };
        Self {
            session: None,
            next_seq: 1,
            hold_ns,
            announced_seq: 1,
            give_up_ns: None,
            has_ended: false,
            held: vec![empty; HELD_MAX].into_boxed_slice(),
            held_len: 0,
        }
    }

    /// The number that is expected next.
    #[must_use]
    pub fn next_seq(&self) -> Seq {
        Seq(self.next_seq)
    }

    /// When [`Arbiter::on_timeout`] wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        self.give_up_ns
    }

    /// Takes one packet from any line.
    #[inline]
    pub fn on_packet(
        &mut self,
        payload: &[u8],
        now_ns: u64,
        counters: &ArbiterCounters,
        sink: &mut impl StreamSink,
    ) {
        let Some(packet) = Packet::decode(payload) else {
            return counters.packets_malformed.increment();
        };
        if self.session != Some(packet.header.session) && !self.adopt(packet.header.session) {
            return counters.packets_foreign.increment();
        }
        match packet.kind() {
            Kind::Data(count) => {
                let end = packet.seq().0.checked_add(u64::from(count));
                self.on_data((payload, &packet), end, now_ns, (counters, sink));
            }
            Kind::Heartbeat => {
                counters.heartbeats.increment();
                self.on_next_announced(packet.seq().0, now_ns, (counters, sink));
            }
            Kind::EndOfSession => {
                self.on_next_announced(packet.seq().0, now_ns, (counters, sink));
                if !self.has_ended && self.next_seq == packet.seq().0 {
                    self.has_ended = true;
                    counters.sessions_ended.increment();
                    sink.on_end_of_session(packet.seq());
                }
            }
        }
    }

    /// Gives an overdue hole up.
    pub fn on_timeout(
        &mut self,
        now_ns: u64,
        counters: &ArbiterCounters,
        sink: &mut impl StreamSink,
    ) {
        if self.give_up_ns.is_some_and(|deadline| now_ns >= deadline) {
            self.give_up((counters, sink));
        }
    }

    /// The first session, and the one after an ended one.
    fn adopt(&mut self, session: Session) -> bool {
        if self.session.is_some() && !self.has_ended {
            return false;
        }
        self.session = Some(session);
        self.next_seq = 1;
        self.announced_seq = 1;
        self.has_ended = false;
        self.held_len = 0;
        self.give_up_ns = None;
        true
    }

    #[inline]
    fn on_data<S: StreamSink>(
        &mut self,
        (payload, packet): (&[u8], &Packet<'_>),
        end: Option<u64>,
        now_ns: u64,
        out: (&ArbiterCounters, &mut S),
    ) {
        let (counters, sink) = out;
        let seq = packet.seq().0;
        let Some(end) = end else {
            return counters.packets_malformed.increment();
        };
        if end <= self.next_seq {
            return counters.packets_duplicate.increment();
        }
        if seq > self.next_seq {
            return self.on_hole(payload, seq, now_ns, (counters, sink));
        }
        self.deliver(packet, (counters, sink));
        if self.give_up_ns.is_some() {
            self.deliver_held((counters, sink));
            if self.give_up_ns.is_none() {
                counters.holes_filled.increment();
            }
        }
    }

    /// Delivers what is new in a packet that is not behind a hole.
    #[inline]
    fn deliver<S: StreamSink>(&mut self, packet: &Packet<'_>, out: (&ArbiterCounters, &mut S)) {
        let (counters, sink) = out;
        let before = self.next_seq;
        let mut blocks = packet.blocks();
        for (seq, message) in (packet.seq().0..).zip(blocks.by_ref()) {
            if seq >= self.next_seq {
                sink.on_message(Seq(seq), message);
                self.next_seq = seq + 1;
            }
        }
        // A packet that announces more than it holds: what is missing stays expected.
        if blocks.missing() > 0 {
            counters.packets_malformed.increment();
        }
        counters.packets_used.increment();
        counters.messages.add(self.next_seq - before);
    }

    /// A packet beyond the expected number: keep it, and wait for the other line.
    #[cold]
    fn on_hole<S: StreamSink>(
        &mut self,
        payload: &[u8],
        seq: u64,
        now_ns: u64,
        out: (&ArbiterCounters, &mut S),
    ) {
        let (counters, sink) = out;
        if self
            .held
            .iter()
            .take(self.held_len)
            .any(|held| held.seq == seq)
        {
            return counters.packets_duplicate.increment();
        }
        if payload.len() > PACKET_LEN_MAX {
            return counters.packets_malformed.increment();
        }
        if self.held_len == HELD_MAX {
            self.give_up((counters, sink));
        }
        if let Some(slot) = self.held.get_mut(self.held_len) {
            slot.seq = seq;
            slot.len = payload.len();
            if let Some(bytes) = slot.bytes.get_mut(..payload.len()) {
                bytes.copy_from_slice(payload);
            }
            self.held_len += 1;
            counters.packets_held.increment();
        }
        self.wait_or_give_up(now_ns, (counters, sink));
    }

    /// A heartbeat that is ahead proves a loss that no later packet has shown yet.
    fn on_next_announced<S: StreamSink>(
        &mut self,
        next: u64,
        now_ns: u64,
        out: (&ArbiterCounters, &mut S),
    ) {
        if next > self.next_seq {
            self.announced_seq = self.announced_seq.max(next);
            self.wait_or_give_up(now_ns, out);
        }
    }

    fn wait_or_give_up<S: StreamSink>(&mut self, now_ns: u64, out: (&ArbiterCounters, &mut S)) {
        if self.hold_ns == 0 {
            return self.give_up(out);
        }
        let deadline_ns = now_ns.saturating_add(self.hold_ns);
        self.give_up_ns.get_or_insert(deadline_ns);
    }

    /// Announces the gap in front of the oldest held packet and goes on with it; without one, the gap
    /// up to the number that was announced.
    fn give_up<S: StreamSink>(&mut self, out: (&ArbiterCounters, &mut S)) {
        let (counters, sink) = out;
        let oldest = self
            .held
            .iter()
            .take(self.held_len)
            .map(|held| held.seq)
            .min();
        let until = oldest.unwrap_or(self.announced_seq);
        if until > self.next_seq {
            let count = until - self.next_seq;
            counters.gaps.increment();
            counters.messages_lost.add(count);
            sink.on_gap(Seq(self.next_seq), count);
            self.next_seq = until;
        }
        self.deliver_held((counters, sink));
    }

    /// Delivers held packets for as long as they join on.
    #[cold]
    fn deliver_held<S: StreamSink>(&mut self, out: (&ArbiterCounters, &mut S)) {
        let (counters, sink) = out;
        // Each turn takes one held packet out, so it ends.
        while let Some(index) =
            (0..self.held_len).find(|at| self.held.get(*at).is_some_and(|h| h.seq <= self.next_seq))
        {
            let Some(held) = self.held.get(index).copied() else {
                break;
            };
            self.held_len -= 1;
            self.held.swap(index, self.held_len);
            let Some(packet) = held.bytes.get(..held.len).and_then(Packet::decode) else {
                continue;
            };
            let end = held.seq + u64::from(packet.header.count.get());
            if end <= self.next_seq {
                counters.packets_duplicate.increment();
            } else {
                self.deliver(&packet, (counters, sink));
            }
        }
        if self.held_len == 0 && self.announced_seq <= self.next_seq {
            self.give_up_ns = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::mold::PacketBuilder;

    use super::*;

    #[derive(Debug, Default, PartialEq)]
    struct Heard(Vec<String>);

    impl StreamSink for Heard {
        fn on_message(&mut self, seq: Seq, message: &[u8]) {
            assert_eq!(message, seq.0.to_string().as_bytes());
            self.0.push(seq.0.to_string());
        }
        fn on_gap(&mut self, first: Seq, count: u64) {
            self.0.push(format!("gap {}+{count}", first.0));
        }
        fn on_end_of_session(&mut self, next: Seq) {
            self.0.push(format!("end {}", next.0));
        }
    }

    struct Bench {
        arbiter: Arbiter,
        counters: ArbiterCounters,
        heard: Heard,
    }

    const SESSION: Session = *b"SESSION001";

    fn data(seq: u64, count: u64) -> Vec<u8> {
        let mut buffer = [0; PACKET_LEN_MAX];
        let mut builder = PacketBuilder::new(&mut buffer, SESSION, Seq(seq)).unwrap();
        for number in seq..seq + count {
            assert!(builder.push(number.to_string().as_bytes()));
        }
        builder.finish().to_vec()
    }

    impl Bench {
        fn new(hold_ns: u64) -> Self {
            let arbiter = Arbiter::new(hold_ns);
            Self {
                arbiter,
                counters: ArbiterCounters::default(),
                heard: Heard::default(),
            }
        }

        fn packet(&mut self, bytes: &[u8], now_ns: u64) -> &mut Self {
            self.arbiter
                .on_packet(bytes, now_ns, &self.counters, &mut self.heard);
            self
        }

        fn timeout(&mut self, now_ns: u64) -> &mut Self {
            self.arbiter
                .on_timeout(now_ns, &self.counters, &mut self.heard);
            self
        }

        fn hears(&mut self, expected: &str) {
            assert_eq!(self.heard.0.join(" "), expected);
            self.heard.0.clear();
        }
    }

    #[test]
    fn first_copy_wins_and_the_second_is_counted() {
        let mut bench = Bench::new(1000);
        bench
            .packet(&data(1, 2), 0)
            .packet(&data(1, 2), 1)
            .packet(&data(2, 2), 2)
            .hears("1 2 3");
        assert_eq!(bench.counters.packets_duplicate.get(), 1);
        assert_eq!(bench.counters.messages.get(), 3);
    }

    #[test]
    fn hole_is_filled_by_the_other_line_in_time() {
        let mut bench = Bench::new(1000);
        bench
            .packet(&data(1, 1), 0)
            .packet(&data(3, 1), 1)
            .packet(&data(4, 2), 2)
            .hears("1");
        bench.timeout(900).hears("");
        bench.packet(&data(2, 1), 950).hears("2 3 4 5");
        assert_eq!(bench.counters.holes_filled.get(), 1);
        assert_eq!(bench.arbiter.poll_timeout(), None);
        bench.timeout(5000).hears("");
    }

    #[test]
    fn hole_that_stays_open_is_announced_before_what_follows() {
        let mut bench = Bench::new(1000);
        bench
            .packet(&data(1, 1), 0)
            .packet(&data(4, 1), 1)
            .packet(&data(7, 1), 2)
            .hears("1");
        bench.timeout(1001).hears("gap 2+2 4");
        assert!(bench.arbiter.poll_timeout().is_some());
        bench.timeout(2001).hears("gap 5+2 7");
        assert_eq!(bench.counters.messages_lost.get(), 4);
        bench.packet(&data(2, 2), 3000).hears("");
        assert_eq!(bench.counters.packets_duplicate.get(), 1);
    }

    #[test]
    fn one_line_announces_at_once() {
        let mut bench = Bench::new(0);
        bench
            .packet(&data(1, 1), 0)
            .packet(&data(3, 1), 1)
            .hears("1 gap 2+1 3");
    }

    #[test]
    fn who_joins_late_is_told() {
        let mut bench = Bench::new(0);
        bench.packet(&data(100, 1), 0).hears("gap 1+99 100");
    }

    #[test]
    fn heartbeat_ahead_proves_a_loss() {
        let mut bench = Bench::new(1000);
        let heartbeat = data(5, 0);
        bench
            .packet(&data(1, 1), 0)
            .packet(&heartbeat, 10)
            .hears("1");
        bench.timeout(1009).hears("");
        bench.timeout(1010).hears("gap 2+3");
        bench.packet(&heartbeat, 2000).hears("");
        bench.packet(&data(5, 1), 2001).hears("5");
    }

    #[test]
    fn full_room_ends_the_wait() {
        let mut bench = Bench::new(u64::MAX);
        bench.packet(&data(1, 1), 0);
        for n in 0..=HELD_MAX as u64 {
            bench.packet(&data(10 + n, 1), 1);
        }
        let heard = bench.heard.0.join(" ");
        assert!(heard.starts_with("1 gap 2+8 10 11 "), "{heard}");
    }

    #[test]
    fn foreign_session_is_ignored_until_the_running_one_ends() {
        let mut bench = Bench::new(0);
        let mut other = data(1, 1);
        other[..10].copy_from_slice(b"OTHER00001");
        bench.packet(&data(1, 1), 0).packet(&other, 1).hears("1");
        assert_eq!(bench.counters.packets_foreign.get(), 1);
        let mut buffer = [0; 20];
        let end = PacketBuilder::new(&mut buffer, SESSION, Seq(2)).unwrap();
        let end = end.finish_end_of_session().to_vec();
        bench
            .packet(&end, 2)
            .packet(&end, 3)
            .packet(&other, 4)
            .hears("end 2 1");
    }

    #[test]
    fn packet_that_announces_more_than_it_holds_leaves_the_rest_expected() {
        let mut bench = Bench::new(0);
        let mut cut = data(1, 3);
        cut.truncate(cut.len() - 1);
        bench.packet(&cut, 0).hears("1 2");
        assert_eq!(bench.counters.packets_malformed.get(), 1);
        bench.packet(&data(3, 1), 1).hears("3");
    }

    #[test]
    fn every_number_comes_once_and_in_order_whatever_the_lines_do() {
        for seed in 0..200 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut bench = Bench::new(50);
            let mut sent = Vec::new();
            let mut seq = 1;
            while seq < 400 {
                let count = random.u64(1..6);
                sent.push((seq, count));
                seq += count;
            }
            let mut arrivals = Vec::new();
            for (at, (seq, count)) in sent.iter().enumerate() {
                for line in 0..2 {
                    if random.u8(0..10) > 0 {
                        arrivals.push((
                            at as u64 * 10 + line * 7 + random.u64(0..40),
                            *seq,
                            *count,
                        ));
                    }
                }
            }
            arrivals.sort_unstable();
            for (now_ns, seq, count) in arrivals {
                bench.timeout(now_ns).packet(&data(seq, count), now_ns);
            }
            for turn in 0..100 {
                bench.timeout(1_000_000 + turn * 1000);
            }
            let mut next = 1;
            for heard in &bench.heard.0 {
                if let Some((first, count)) = heard
                    .strip_prefix("gap ")
                    .and_then(|gap| gap.split_once('+'))
                {
                    assert_eq!(first.parse::<u64>().unwrap(), next, "seed {seed}");
                    next += count.parse::<u64>().unwrap();
                } else {
                    assert_eq!(heard.parse::<u64>().unwrap(), next, "seed {seed}");
                    next += 1;
                }
            }
        }
    }
}
