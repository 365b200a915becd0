//! Merges the lines of one session into one ordered stream, and decides what belongs to it.
//!
//! ```text
//!  line A  1 2 3   5 6        first copy wins: 1 2 3 | 4 from B | 5 6 held meanwhile
//!  line B    1 2 3 4 5 6
//! ```
//!
//! Path:        venue's packet -> arbiter, sequencer -> venue's message
//! Thread:      feed core, hot
//! Contract:    **call `on_packet` for every packet and `on_timeout` when `deadline_ns` has passed;
//!              the sink hears every number once and in order, or hears of the gap first.**
//! Invariants:  the next number never goes back within a session. A packet is used, held, or counted
//!              as duplicate, late, foreign, wild or malformed.
//! Time:        comes in with each packet; this file reads no clock.
//! When full:   a packet beyond the room for held ones ends the wait of the first hole.
//! When wrong:  a hole waits `gap_timeout_ns` for the other line, then it is a gap. What does not belong to
//!              the running stream (another session; a number more than [`JUMP_MAX`] ahead or
//!              [`BACK_MAX`] behind) is set aside until [`AGREE`] packets agree:
//!
//! ```text
//!  ahead in this session          believed at once: a large loss, the gap is announced
//!  no session yet, or it ended    believed at once: the session begins
//!  otherwise                      believed when the running session has been silent for `silent_ns`,
//!                                 or brought nothing new while `AGREE_AGAINST` packets agreed: its
//!                                 end is announced, the other begins
//! ```
//!
//! So neither one wild packet nor a stray session moves the stream, and nothing that goes on is
//! ignored for ever: neither a large loss, nor a session whose predecessor's end was missed, nor the
//! true numbers after wrong ones were believed. An end of session is believed when it is said twice, or
//! when the stream's own last message says it.
//! Spec:        MoldUDP64 1.00, "Downstream Packet"; what to do with two lines is not specified.

use protocol::types::Seq;

use crate::sequencer::{Data, Out, Sequencer};
use crate::strangers::{AGREE_AGAINST, Agreement, Claim, Strangers};
use crate::venue::{Content, Packet, Venue};

pub use crate::kept::PACKET_LEN_MAX;
pub use crate::sequencer::HELD_MAX;
pub use crate::strangers::AGREE;
pub use crate::stream::{
    ArbiterCounters, Arrival, BACK_MAX, Brought, Fate, JUMP_MAX, Recovery, StreamSink,
};

/// End packets that must agree.
const ENDS_AGREE: u8 = 2;

/// How a packet stands to the running stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is not of it.
    Strange,
    /// It is of it, and behind what is known.
    Old,
    /// It is of it, and says how far the stream is.
    Current,
}

/// What a packet turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How it stands to the running stream.
    pub standing: Standing,
    /// What it brought to a session that ran before it; `None`: nothing that could be read.
    pub brought: Option<Brought>,
    /// A session began with it.
    pub is_begin: bool,
}

impl Verdict {
    const STRANGE: Self = Self {
        standing: Standing::Strange,
        brought: None,
        is_begin: false,
    };
}

/// One feed's lines.
#[derive(Debug)]
pub struct Arbiter<V: Venue> {
    stream: Stream<V>,
    strangers: Strangers<V::Session>,
    silent_ns: u64,
}

/// The running session.
#[derive(Debug)]
struct Stream<V: Venue> {
    session: Option<V::Session>,
    sequencer: Sequencer<V>,
    /// The session before it, whose end was said: nothing of it comes back while this one lives.
    over: Option<V::Session>,
    /// When a packet last said how far it is.
    heard_ns: u64,
    /// The number at which the session is said to end, or has ended; `u64::MAX`: not said.
    end_seq: u64,
    ends_agreed: u8,
    has_ended: bool,
}

/// How long a feed waits for what may still come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// How long a hole waits for the other line, ns; 0 where there is one line only.
    pub gap_timeout_ns: u64,
    /// Silence after which a line is silent, with all of them the feed stale, and after which another
    /// session may take this one's place unended, ns.
    pub stale_ns: u64,
}

impl<V: Venue> Arbiter<V> {
    /// Waits for packets that agree on a session; number 1 is expected: who joins late is told so by a
    /// gap.
    #[must_use]
    pub fn new(patience: Patience) -> Self {
        let Patience {
            gap_timeout_ns,
            stale_ns: silent_ns,
        } = patience;
        Self {
            stream: Stream {
                session: None,
                sequencer: Sequencer::new(gap_timeout_ns),
                over: None,
                heard_ns: 0,
                end_seq: u64::MAX,
                ends_agreed: 0,
                has_ended: false,
            },
            strangers: Strangers::new(),
            silent_ns,
        }
    }

    /// Holes are asked for ([`StreamSink::on_missing`]) before they are given up.
    #[must_use]
    pub fn with_recovery(mut self, recovery: Recovery) -> Self {
        self.stream.sequencer.recover(recovery);
        self
    }

    /// The running session, if one runs.
    #[must_use]
    pub fn session(&self) -> Option<V::Session> {
        self.stream.session.filter(|_| !self.stream.has_ended)
    }

    /// Whether a hole has been asked for, or what it held up has not all left.
    #[must_use]
    pub fn is_recovering(&self) -> bool {
        self.stream.sequencer.is_recovering()
    }

    /// The number that is expected next.
    #[must_use]
    pub fn next_seq(&self) -> Seq {
        Seq(self.stream.sequencer.next_seq())
    }

    /// Whether kept packets wait for their slice of a turn.
    #[must_use]
    pub fn has_backlog(&self) -> bool {
        self.stream.sequencer.can_join()
    }

    /// When [`Arbiter::on_timeout`] wants to be called; never: `u64::MAX`.
    #[inline]
    #[must_use]
    pub fn deadline_ns(&self) -> u64 {
        self.stream.sequencer.deadline_ns()
    }

    /// Whether a session runs and nothing of what is known to exist is waited for.
    #[inline]
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.stream.session.is_some() && self.stream.sequencer.is_whole()
    }

    /// Takes one packet from any line.
    #[inline]
    pub fn on_packet(
        &mut self,
        arrival: &Arrival<'_>,
        counters: &ArbiterCounters,
        sink: &mut impl StreamSink,
    ) -> Verdict {
        let mut out = Out { counters, sink };
        let Some(packet) = V::packet(arrival.payload) else {
            counters.packets_malformed.increment();
            return Verdict::STRANGE;
        };
        if self.stream.is_of(&packet) {
            self.stream.take(&packet, arrival, &mut out)
        } else {
            self.on_stranger(&packet, arrival, &mut out)
        }
    }

    /// Gives up holes that are overdue.
    pub fn on_timeout(
        &mut self,
        now_ns: u64,
        counters: &ArbiterCounters,
        sink: &mut impl StreamSink,
    ) {
        let mut out = Out { counters, sink };
        self.stream.sequencer.expire(now_ns, &mut out);
        self.stream.note_last();
        self.stream.end_if_over(&mut out);
    }

    /// Takes an answer to what was missing. It tells nothing of any line: what does not belong to the running
    /// stream is dropped and counted.
    pub fn on_answer(
        &mut self,
        arrival: &Arrival<'_>,
        counters: &ArbiterCounters,
        sink: &mut impl StreamSink,
    ) {
        let mut out = Out { counters, sink };
        let packet = V::packet(arrival.payload);
        match packet.filter(|packet| self.stream.is_of(packet)) {
            Some(packet) => self.stream.take_answer(&packet, arrival, &mut out),
            None => counters.packets_foreign.increment(),
        }
    }

    /// Nobody has the numbers from `first` to before `end`: holes with them are given up at the next
    /// `on_timeout`.
    pub fn on_unavailable(&mut self, first: u64, end: u64) {
        self.stream.sequencer.on_unavailable(first, end);
    }

    #[cold]
    fn on_stranger<'p, S: StreamSink>(
        &mut self,
        packet: &V::Packet<'p>,
        arrival: &Arrival<'p>,
        out: &mut Out<'_, S>,
    ) -> Verdict {
        let Self {
            stream, strangers, ..
        } = self;
        let claim = Claim {
            session: packet.session(),
            seq: packet.seq(),
            running_seq: stream.sequencer.next_seq(),
        };
        let is_ours = stream.session == Some(claim.session);
        if is_ours {
            out.counters.packets_wild.increment();
        } else {
            out.counters.packets_foreign.increment();
        }
        let silence_ns = arrival.now_ns.saturating_sub(stream.heard_ns);
        // A line may repeat the end of the day before for as long as it likes.
        let is_over = stream.over == Some(claim.session) && !is_ours;
        if is_over && silence_ns < self.silent_ns {
            return Verdict::STRANGE;
        }
        let Some(Agreement { story, agreed }) = strangers.hear(&claim, arrival) else {
            return Verdict::STRANGE;
        };
        let has_place = stream.session.is_none()
            || stream.has_ended
            || silence_ns >= self.silent_ns
            || agreed >= AGREE_AGAINST;
        let is_jump = is_ours && claim.seq > stream.sequencer.frontier();
        if is_jump {
            out.counters.jumps_believed.increment();
        } else if has_place {
            let first = strangers.packets(story).filter_map(V::packet);
            let first = first.map(|packet| packet.seq()).fold(claim.seq, u64::min);
            stream.begin(claim.session, first, out);
            stream.heard_ns = arrival.now_ns;
        } else {
            return Verdict::STRANGE;
        }
        for payload in strangers.packets(story) {
            if let Some(packet) = V::packet(payload) {
                let arrival = Arrival {
                    payload,
                    ..*arrival
                };
                stream.take(&packet, &arrival, out);
            }
        }
        strangers.clear();
        let verdict = stream.take(packet, arrival, out);
        // Whatever its numbers are, this packet has just told where the stream is.
        Verdict {
            standing: Standing::Current,
            is_begin: !is_jump,
            ..verdict
        }
    }
}

impl<V: Venue> Stream<V> {
    /// Whether a packet is of the running session, with a number that can be.
    #[inline]
    fn is_of<'p>(&self, packet: &V::Packet<'p>) -> bool {
        let (seq, frontier) = (packet.seq(), self.sequencer.frontier());
        self.session == Some(packet.session())
            && seq <= frontier.saturating_add(JUMP_MAX)
            && seq >= frontier.saturating_sub(BACK_MAX)
    }

    /// Takes a packet whose number is believed.
    #[inline]
    fn take<'p, S: StreamSink>(
        &mut self,
        packet: &V::Packet<'p>,
        arrival: &Arrival<'p>,
        out: &mut Out<'_, S>,
    ) -> Verdict {
        let (seq, now_ns) = (packet.seq(), arrival.now_ns);
        let mut fate = Fate::Said;
        let end = match packet.content() {
            Content::Data(count) => {
                let Some(end) = seq.checked_add(u64::from(count)) else {
                    out.counters.packets_malformed.increment();
                    return Verdict {
                        standing: Standing::Old,
                        ..Verdict::STRANGE
                    };
                };
                let data = Data {
                    packet: *packet,
                    payload: arrival.payload,
                    end,
                    now_ns,
                };
                if self.sequencer.is_next(seq, end) {
                    out.sink.on_next();
                }
                fate = self.sequencer.on_data(&data, out);
                self.note_last();
                end
            }
            Content::Heartbeat => {
                out.counters.heartbeats.increment();
                self.sequencer.on_proven(seq, now_ns, out);
                seq
            }
            Content::EndOfSession => {
                self.on_end_said(seq, now_ns, out);
                seq
            }
        };
        if self.sequencer.frontier() >= self.end_seq {
            self.end_if_over(out);
        }
        let standing = if end >= self.sequencer.frontier() {
            self.heard_ns = now_ns;
            Standing::Current
        } else {
            Standing::Old
        };
        Verdict {
            standing,
            brought: Some(Brought { seq, end, fate }),
            is_begin: false,
        }
    }

    /// The stream's own last message has said where the session ends.
    #[inline]
    fn note_last(&mut self) {
        if V::ENDS_BY_MESSAGE && self.sequencer.last_end() != u64::MAX && !self.has_ended {
            (self.end_seq, self.ends_agreed) = (self.sequencer.last_end(), ENDS_AGREE);
        }
    }

    #[cold]
    fn take_answer<'p, S: StreamSink>(
        &mut self,
        packet: &V::Packet<'p>,
        arrival: &Arrival<'p>,
        out: &mut Out<'_, S>,
    ) {
        let Content::Data(count) = packet.content() else {
            return;
        };
        let Some(end) = packet.seq().checked_add(u64::from(count)) else {
            return out.counters.packets_malformed.increment();
        };
        let data = Data {
            packet: *packet,
            payload: arrival.payload,
            end,
            now_ns: arrival.now_ns,
        };
        let _ = self.sequencer.on_data(&data, out);
        self.note_last();
        if self.sequencer.frontier() >= self.end_seq {
            self.end_if_over(out);
        }
    }

    #[cold]
    fn on_end_said<S: StreamSink>(&mut self, seq: u64, now_ns: u64, out: &mut Out<'_, S>) {
        if self.has_ended {
            return;
        }
        if self.end_seq != seq {
            (self.end_seq, self.ends_agreed) = (seq, 0);
        }
        self.ends_agreed = self.ends_agreed.saturating_add(1);
        self.sequencer.on_proven(seq, now_ns, out);
    }

    /// Announces the end that was said, once everything before it is delivered or given up.
    #[cold]
    fn end_if_over<S: StreamSink>(&mut self, out: &mut Out<'_, S>) {
        let end_seq = self.end_seq;
        if self.sequencer.frontier() > end_seq {
            // There is more behind it: whoever said it was wrong, and the session goes on.
            (self.end_seq, self.ends_agreed) = (u64::MAX, 0);
            self.has_ended = false;
            out.counters.packets_wild.increment();
        } else if !self.has_ended
            && self.sequencer.next_seq() == end_seq
            && self.ends_agreed >= ENDS_AGREE
        {
            self.end(out);
        }
    }

    fn end<S: StreamSink>(&mut self, out: &mut Out<'_, S>) {
        (self.end_seq, self.ends_agreed) = (self.sequencer.next_seq(), 0);
        self.has_ended = true;
        out.counters.sessions_ended.increment();
        out.sink.on_end_of_session(Seq(self.sequencer.next_seq()));
    }

    /// Begins a session, after the end of the one before.
    fn begin<S: StreamSink>(&mut self, session: V::Session, first: u64, out: &mut Out<'_, S>) {
        let is_first_session = self.session.is_none();
        if !is_first_session && !self.has_ended {
            self.sequencer.finish(out);
            out.counters.sessions_end_missed.increment();
            self.end(out);
        } else {
            self.over = self.session;
        }
        self.sequencer.restart();
        self.session = Some(session);
        self.has_ended = false;
        (self.end_seq, self.ends_agreed) = (u64::MAX, 0);
        out.counters.sessions_begun.increment();
        out.sink.on_session(Seq(first), is_first_session);
    }
}

#[cfg(test)]
mod tests {
    use protocol::mold::{PacketBuilder, Session};

    use super::*;
    use crate::venue::Nasdaq;

    #[derive(Debug, Default, PartialEq)]
    struct Heard(Vec<String>);

    impl StreamSink for Heard {
        fn on_session(&mut self, first: Seq, is_first_session: bool) {
            if !is_first_session {
                self.0.push(format!("session at {}", first.0));
            }
        }
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
        arbiter: Arbiter<Nasdaq>,
        counters: ArbiterCounters,
        heard: Heard,
    }

    const SESSION: Session = *b"SESSION001";
    const SILENT_NS: u64 = 2_000_000_000;

    fn data(seq: u64, count: u64) -> Vec<u8> {
        data_of(SESSION, seq, count)
    }

    fn data_of(session: Session, seq: u64, count: u64) -> Vec<u8> {
        let mut buffer = [0; PACKET_LEN_MAX];
        let mut builder = PacketBuilder::new(&mut buffer, session, Seq(seq)).unwrap();
        for number in seq..seq + count {
            assert!(builder.push(number.to_string().as_bytes()));
        }
        builder.finish().to_vec()
    }

    fn end(seq: u64) -> Vec<u8> {
        let mut buffer = [0; 20];
        let builder = PacketBuilder::new(&mut buffer, SESSION, Seq(seq)).unwrap();
        builder.finish_end_of_session().to_vec()
    }

    impl Bench {
        /// An arbiter whose session has begun.
        fn new(gap_timeout_ns: u64) -> Self {
            let mut bench = Self::waiting(gap_timeout_ns);
            for line in 0..3 {
                bench.packet_on(line, &data(1, 0), 0);
            }
            assert_eq!(bench.counters.sessions_begun.get(), 1);
            bench
        }

        fn waiting(gap_timeout_ns: u64) -> Self {
            Self {
                arbiter: Arbiter::new(Patience {
                    gap_timeout_ns,
                    stale_ns: SILENT_NS,
                }),
                counters: ArbiterCounters::default(),
                heard: Heard::default(),
            }
        }

        fn packet_on(&mut self, line: u8, payload: &[u8], now_ns: u64) -> Standing {
            let arrival = Arrival {
                payload,
                line,
                now_ns,
            };
            self.arbiter
                .on_packet(&arrival, &self.counters, &mut self.heard)
                .standing
        }

        fn packet(&mut self, payload: &[u8], now_ns: u64) -> &mut Self {
            self.packet_on(0, payload, now_ns);
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
        assert_eq!(bench.arbiter.deadline_ns(), u64::MAX);
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
        assert_eq!(bench.arbiter.deadline_ns(), 1002);
        bench.timeout(1002).hears("gap 5+2 7");
        assert_eq!(bench.counters.messages_lost.get(), 4);
    }

    #[test]
    fn second_hole_waits_its_own_time_when_the_first_is_given_up() {
        let mut bench = Bench::new(1000);
        bench
            .packet(&data(1, 1), 0)
            .packet(&data(3, 2), 1)
            .packet(&data(7, 1), 990)
            .timeout(1001)
            .timeout(1002)
            .hears("1 gap 2+1 3 4");
        bench.packet(&data(5, 2), 1100).hears("5 6 7");
    }

    #[test]
    fn second_hole_waits_its_own_time_when_the_first_is_filled() {
        let mut bench = Bench::new(1000);
        bench
            .packet(&data(1, 1), 0)
            .packet(&data(3, 2), 1)
            .packet(&data(7, 1), 990)
            .packet(&data(2, 1), 995)
            .timeout(1989)
            .hears("1 2 3 4");
        bench.timeout(1990).hears("gap 5+2 7");
    }

    #[test]
    fn packet_inside_a_hole_splits_it_and_both_parts_keep_its_time() {
        let mut bench = Bench::new(1000);
        bench
            .packet(&data(10, 1), 0)
            .packet(&data(4, 2), 500)
            .timeout(999)
            .hears("");
        bench.timeout(1000).hears("gap 1+3 4 5 gap 6+4 10");
    }

    #[test]
    fn data_after_its_gap_is_late_and_no_duplicate() {
        let mut bench = Bench::new(10);
        bench
            .packet(&data(1, 1), 0)
            .packet(&data(4, 1), 0)
            .timeout(10)
            .hears("1 gap 2+2 4");
        bench
            .packet(&data(2, 2), 11)
            .packet(&data(4, 1), 12)
            .hears("");
        assert_eq!(bench.counters.packets_late.get(), 1);
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
        let mut bench = Bench::waiting(0);
        for seq in 1_000_000..1_000_003 {
            bench.packet(&data(seq, 1), 0);
        }
        bench.hears("gap 1+999999 1000000 1000001 1000002");
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
    fn full_room_ends_the_wait_and_nothing_behind_it_waits() {
        let mut bench = Bench::new(u64::MAX);
        bench.packet(&data(1, 1), 0);
        let mut expected = String::from("1 gap 2+8");
        for n in 0..=HELD_MAX as u64 {
            bench.packet(&data(10 + n, 1), 1);
            expected += &format!(" {}", 10 + n);
        }
        bench.hears(&expected);
        assert_eq!(bench.counters.holes_crowded_out.get(), 1);
        // No convoy: what comes next goes out when it comes.
        bench.packet(&data(75, 1), 2).hears("75");
        assert_eq!(bench.arbiter.deadline_ns(), u64::MAX);
    }

    #[test]
    fn packet_that_meets_a_full_room_inside_the_hole_is_used() {
        let mut bench = Bench::new(u64::MAX);
        bench.packet(&data(1, 1), 0);
        for n in 0..HELD_MAX as u64 {
            bench.packet(&data(10 + 2 * n, 1), 1);
        }
        bench.hears("1");
        bench.packet(&data(5, 2), 1).hears("gap 2+3 5 6");
        bench.packet(&data(7, 3), 1).hears("7 8 9 10");
    }

    #[test]
    fn longer_copy_behind_a_hole_is_used() {
        let mut bench = Bench::new(1000);
        bench
            .packet(&data(1, 1), 0)
            .packet(&data(5, 2), 1)
            .packet(&data(5, 4), 2)
            .packet(&data(2, 3), 3)
            .hears("1 2 3 4 5 6 7 8");
        bench.packet(&data(9, 1), 4).hears("9");
    }

    #[test]
    fn partial_overlaps_join_on() {
        let mut bench = Bench::new(1000);
        bench
            .packet(&data(4, 3), 0)
            .packet(&data(6, 3), 0)
            .packet(&data(11, 2), 0)
            .packet(&data(1, 4), 0)
            .hears("1 2 3 4 5 6 7 8");
        bench.packet(&data(8, 4), 1).hears("9 10 11 12");
    }

    #[test]
    fn one_wild_number_moves_nothing() {
        for wild in [data((1 << 40) + 1, 1), data((1 << 40) + 1, 0)] {
            let mut bench = Bench::new(0);
            bench
                .packet(&data(1, 1), 0)
                .packet(&wild, 1)
                .packet(&wild, 2)
                .packet(&data(2, 1), 3)
                .packet(&data(3, 1), SILENT_NS * 2)
                .hears("1 2 3");
            assert_eq!(bench.counters.packets_wild.get(), 2);
        }
    }

    #[test]
    fn large_loss_is_believed_when_packets_agree() {
        let mut bench = Bench::new(0);
        let far = 1 << 30;
        bench.packet(&data(1, 1), 0).packet(&data(far, 2), 1);
        bench.packet(&data(far + 2, 1), 2).hears("1");
        bench.packet(&data(far + 3, 1), 3).hears(&format!(
            "gap 2+{} {far} {} {} {}",
            far - 2,
            far + 1,
            far + 2,
            far + 3
        ));
        assert_eq!(bench.counters.jumps_believed.get(), 1);
    }

    #[test]
    fn wild_packets_between_which_the_stream_moves_never_agree() {
        let mut bench = Bench::new(0);
        for seq in 1..50 {
            bench
                .packet(&data(seq, 1), seq)
                .packet(&data((1 << 40) + seq, 1), seq);
        }
        assert_eq!(bench.heard.0.len(), 49);
        assert_eq!(bench.counters.jumps_believed.get(), 0);
    }

    #[test]
    fn true_numbers_come_back_after_wrong_ones_were_believed() {
        let mut bench = Bench::new(0);
        for seq in 1..=3 {
            bench.packet(&data((1 << 40) + seq, 1), seq);
        }
        bench.heard.0.clear();
        bench
            .packet(&data(1, 1), 10)
            .packet(&data(2, 1), 11)
            .hears("");
        for seq in 3..7 {
            bench.packet(&data(seq, 1), SILENT_NS + seq);
        }
        bench.hears("end 1099511627780 session at 1 1 2 3 4 5 6");
    }

    #[test]
    fn quiet_large_loss_is_believed_from_heartbeats_alone() {
        let mut bench = Bench::new(0);
        let heartbeat = data(1 << 30, 0);
        for second in 1..4 {
            bench.packet(&heartbeat, second * 1_000_000_000);
        }
        bench.hears(&format!("gap 1+{}", (1 << 30) - 1));
    }

    #[test]
    fn stray_packet_before_the_session_does_not_capture_the_feed() {
        let mut bench = Bench::waiting(1000);
        let stray = data_of(*b"OTHER00001", 500, 1);
        bench.packet_on(0, &stray, 0);
        bench.packet_on(1, &stray, 1);
        for seq in 1..4 {
            bench.packet(&data(seq, 1), 2).packet(&stray, 3);
        }
        bench.hears("1 2 3");
    }

    #[test]
    fn session_begins_with_nothing_lost_once_packets_agree() {
        let mut bench = Bench::waiting(0);
        assert_eq!(bench.packet_on(0, &data(1, 2), 0), Standing::Strange);
        assert_eq!(bench.packet_on(1, &data(1, 2), 1), Standing::Strange);
        bench.hears("");
        assert_eq!(bench.packet_on(0, &data(3, 1), 2), Standing::Current);
        bench.hears("1 2 3");
    }

    #[test]
    fn foreign_session_is_ignored_while_the_running_one_lives() {
        let mut bench = Bench::new(0);
        bench.packet(&data(1, 1), 0);
        for n in 0..100 {
            let foreign = data_of(*b"OTHER00001", n + 1, 1);
            bench
                .packet(&foreign, n * 1_000_000_000)
                .packet(&data(2, 0), n * 1_000_000_000);
        }
        bench.hears("1");
        assert_eq!(bench.counters.packets_foreign.get(), 3 + 100);
    }

    #[test]
    fn missed_end_of_session_does_not_deafen() {
        let mut bench = Bench::new(1000);
        bench.packet(&data(1, 1), 0).packet(&data(3, 1), 1);
        for seq in 1..=1000 {
            let next_day = data_of(*b"SESSION002", seq, 1);
            bench.packet(&next_day, SILENT_NS + seq);
        }
        let day: Vec<String> = (1..=1000).map(|seq: u64| seq.to_string()).collect();
        let expected = format!("1 gap 2+1 3 end 4 session at 1 {}", day.join(" "));
        bench.hears(&expected);
        assert_eq!(bench.counters.sessions_end_missed.get(), 1);
    }

    #[test]
    fn new_session_is_heard_although_a_line_repeats_the_old_ones_heartbeats() {
        let mut bench = Bench::new(0);
        bench.packet(&data(1, 1), 0).hears("1");
        for seq in 1..=u64::from(AGREE_AGAINST) {
            bench.packet_on(1, &data(2, 0), seq);
            bench.packet_on(0, &data_of(*b"SESSION002", seq, 1), seq);
        }
        let heard = bench.heard.0.join(" ");
        let expected = "end 2 session at 1 1 2 gap 3+997 1000";
        assert_eq!(heard, expected);
    }

    #[test]
    fn session_that_follows_an_end_begins_at_once() {
        let mut bench = Bench::new(0);
        bench
            .packet(&data(1, 1), 0)
            .packet(&end(2), 1)
            .packet(&end(2), 2)
            .packet(&end(2), 3)
            .hears("1 end 2");
        for seq in 1..4 {
            bench.packet(&data_of(*b"SESSION002", seq, 1), 4);
        }
        bench.hears("session at 1 1 2 3");
        assert_eq!(bench.counters.sessions_end_missed.get(), 0);
    }

    #[test]
    fn end_behind_a_hole_is_announced_when_the_hole_is_filled_or_given_up() {
        for is_filled in [true, false] {
            let mut bench = Bench::new(1000);
            bench
                .packet(&data(1, 1), 0)
                .packet(&data(3, 1), 1)
                .packet(&end(4), 2)
                .packet(&end(4), 3)
                .hears("1");
            if is_filled {
                bench.packet(&data(2, 1), 4).hears("2 3 end 4");
            } else {
                bench.timeout(1001).hears("gap 2+1 3 end 4");
            }
        }
    }

    #[test]
    fn end_that_proves_a_loss_is_announced_after_the_gap() {
        let mut bench = Bench::new(1000);
        bench.packet(&data(1, 1), 0).packet(&end(5), 1);
        bench
            .packet(&end(5), 2)
            .timeout(1001)
            .hears("1 gap 2+3 end 5");
    }

    #[test]
    fn one_damaged_packet_ends_no_session() {
        let mut bench = Bench::new(0);
        bench
            .packet(&data(1, 1), 0)
            .packet(&end(2), 1)
            .packet(&data(2, 1), 2)
            .packet(&end(2), 3)
            .packet(&data(3, 1), 4)
            .hears("1 2 3");
        assert_eq!(bench.counters.packets_wild.get(), 2);
    }

    #[test]
    fn session_that_goes_on_after_its_end_ends_again_before_the_next_begins() {
        let mut bench = Bench::new(0);
        bench.packet(&end(1), 1).packet(&end(1), 2).hears("end 1");
        bench.packet(&data(1, 1), 3).hears("1");
        for seq in 1..4 {
            let next_day = data_of(*b"SESSION002", seq, 1);
            bench.packet(&next_day, SILENT_NS + 3);
        }
        bench.hears("end 2 session at 1 1 2 3");
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
    fn packet_behind_a_hole_that_announces_more_than_it_holds_proves_only_what_it_holds() {
        let mut bench = Bench::new(1000);
        let mut cut = data(2, 3);
        cut.truncate(cut.len() - 1);
        cut[18..20].copy_from_slice(&60_000u16.to_be_bytes());
        bench.packet(&cut, 0).timeout(1000).hears("gap 1+1 2 3");
        bench.packet(&data(4, 1), 1001).hears("4");
    }

    #[test]
    fn numbers_at_the_end_of_what_can_be_counted_are_no_fault() {
        let mut bench = Bench::new(0);
        let last = u64::MAX - 1;
        let mut beyond = data(1, 1);
        beyond[10..18].copy_from_slice(&u64::MAX.to_be_bytes());
        bench
            .packet(&data(last - 1, 1), 1)
            .packet(&data(last, 1), 2)
            .packet(&data(u64::MAX, 0), 3)
            .packet(&beyond, 4)
            .packet(&end(u64::MAX), 5)
            .packet(&data(0, 1), 6)
            .hears(&format!("gap 1+{} {} {last}", last - 2, last - 1));
        assert_eq!(bench.counters.packets_malformed.get(), 1);
    }
}
