//! Packs messages into packets, sends each on every line at its time, and answers re-requests.
//!
//! ```text
//!  message ──> kept (ring) ─────────────────────────────> re-request
//!        └──> packet in work ──(full, or its window is over)──> line A (delay) ──> due
//!                                                          └──> line B (delay) ──> due
//! ```
//!
//! Invariants:  packets are cut by the exchange's time alone, so the same day gives the same packets however
//!              late it is polled. A line sends in order.
//! When full:   a re-request for what is no longer kept meets silence, and is counted; a line whose socket
//!              does not take packets loses them, as a switch would.
//! Spec:        MoldUDP64 1.00; IEX-TP 1.0. A re-request: at most [`REPLY_MESSAGES_MAX`] messages and one packet.

use std::collections::VecDeque;
use std::rc::Rc;

use protocol::itch;
use protocol::types::Seq;

use super::framing::{Framing, Wanted, Word};

use crate::fault::{Faults, Spoilt};
use crate::options::Feed;

/// Bytes of one kept message with its length.
const SLOT: usize = itch::LEN_MAX + 1;
/// Messages of one reply; what fits a packet is fewer.
pub(crate) const REPLY_MESSAGES_MAX: u64 = 1024;
/// How often the end of the session is said.
const ENDS: u32 = 3;

rt::counters! {
    /// What the feed has done.
    pub struct FeedCounters {
        /// Messages published.
        messages,
        /// Packets made, each sent on every line.
        packets,
        /// Heartbeats made.
        heartbeats,
        /// Re-requests answered.
        rerequests_answered,
        /// Re-requests for messages that are no longer kept.
        rerequests_too_old,
        /// Re-requests that made no sense: wrong session, numbers beyond the last, too short.
        rerequests_refused,
        /// Packets that a socket did not take.
        packets_lost,
        /// Snapshots served.
        snapshots,
    }
}

/// A packet and when it leaves on one line.
#[derive(Debug)]
struct Leaving {
    due_ns: u64,
    bytes: Rc<[u8]>,
}

/// Packets on their way to one line, earliest first.
#[derive(Debug, Default)]
struct Line {
    delay_ns: u64,
    packets: VecDeque<Leaving>,
    /// When the last one leaves that does not overtake.
    ordered_ns: u64,
}

/// The feed's numbers, packets and memory.
#[derive(Debug)]
pub(crate) struct Publisher {
    framing: Framing,
    /// Number of the next message.
    next: u64,
    kept: Vec<[u8; SLOT]>,
    /// Bytes of payload before each kept message, and before the next one.
    kept_offset: Vec<u64>,
    payload_bytes: u64,
    packet: Vec<u8>,
    packet_count: u16,
    packet_seq: u64,
    packet_since_ns: u64,
    lines: Vec<Line>,
    sent_ns: u64,
    ends: u32,
    window_ns: u64,
    heartbeat_ns: u64,
    packet_bytes: usize,
    pub counters: FeedCounters,
    pub faults: Faults,
}

impl Publisher {
    pub(crate) fn new(options: &Feed, session: &str, faults: Faults, now_ns: u64) -> Self {
        let lines = options.line_delays_ns.iter().map(|delay_ns| Line {
            delay_ns: *delay_ns,
            ..Line::default()
        });
        Self {
            framing: Framing::new(options, session),
            next: 1,
            kept: vec![[0; SLOT]; options.keep],
            kept_offset: vec![0; options.keep],
            payload_bytes: 0,
            packet: Vec::with_capacity(options.packet_bytes),
            packet_count: 0,
            packet_seq: 1,
            packet_since_ns: 0,
            lines: lines.collect(),
            sent_ns: now_ns,
            ends: 0,
            window_ns: options.window_ns,
            heartbeat_ns: options.heartbeat_ns,
            packet_bytes: options.packet_bytes,
            counters: FeedCounters::default(),
            faults,
        }
    }

    /// The numbers of the messages in a packet.
    pub(crate) fn numbers_in(&self, packet: &[u8]) -> std::ops::Range<u64> {
        self.framing.numbers(packet)
    }

    /// Number of the message that comes next.
    pub(crate) fn next_seq(&self) -> Seq {
        Seq(self.next)
    }

    pub(crate) fn push(&mut self, message: &[u8], now_ns: u64) {
        let block = 2 + message.len();
        let is_full = self.packet.len() + block > self.packet_bytes
            || self.packet_count == self.framing.count_max();
        if self.packet_count > 0 && is_full {
            self.close(now_ns);
        }
        if self.packet_count == 0 {
            self.packet.clear();
            self.packet.resize(self.framing.header_len(), 0);
            self.packet_seq = self.next;
            self.packet_since_ns = now_ns;
        }
        self.framing.push(&mut self.packet, message);
        self.packet_count += 1;
        self.keep(message);
        self.next += 1;
        self.counters.messages.increment();
    }

    fn keep(&mut self, message: &[u8]) {
        let at = self.slot(self.next);
        if let (Some(slot), Ok(len)) = (self.kept.get_mut(at), u8::try_from(message.len())) {
            let [len_byte, body @ ..] = slot;
            *len_byte = len;
            if let Some(body) = body.get_mut(..message.len()) {
                body.copy_from_slice(message);
            }
        }
        if let Some(offset) = self.kept_offset.get_mut(at) {
            *offset = self.payload_bytes;
        }
        self.payload_bytes += 2 + message.len() as u64;
    }

    fn slot(&self, seq: u64) -> usize {
        usize::try_from(seq % self.kept.len() as u64).unwrap_or(0)
    }

    /// An operation is over: without a window its messages leave together, now.
    pub(crate) fn end_operation(&mut self, now_ns: u64) {
        if self.window_ns == 0 {
            self.close(now_ns);
        }
    }

    /// Completes the packet in work.
    fn close(&mut self, now_ns: u64) {
        if self.packet_count == 0 {
            return;
        }
        let (seq, count) = (self.packet_seq, self.packet_count);
        self.framing.close(&mut self.packet, seq, count, now_ns);
        self.packet_count = 0;
        self.counters.packets.increment();
        let bytes = Rc::from(self.packet.as_slice());
        self.leave(&bytes, now_ns);
    }

    fn leave(&mut self, bytes: &Rc<[u8]>, now_ns: u64) {
        self.sent_ns = now_ns;
        let Self { lines, faults, .. } = self;
        if faults.is_empty() {
            for line in lines {
                let (due_ns, bytes) = (now_ns + line.delay_ns, Rc::clone(bytes));
                line.packets.push_back(Leaving { due_ns, bytes });
            }
            return;
        }
        let spoilt = faults.spoil(bytes, lines.len(), now_ns);
        for (line, copies) in lines.iter_mut().zip(spoilt) {
            for Spoilt {
                late_ns,
                keeps_order,
                bytes,
            } in copies
            {
                let mut due_ns = now_ns + line.delay_ns + late_ns;
                if keeps_order {
                    due_ns = due_ns.max(line.ordered_ns);
                    line.ordered_ns = due_ns;
                }
                // Behind all that leave before it: mostly at the end.
                let packets = &mut line.packets;
                let later = packets
                    .iter()
                    .rev()
                    .take_while(|other| other.due_ns > due_ns);
                let at = packets.len() - later.count();
                packets.insert(at, Leaving { due_ns, bytes });
            }
        }
    }

    /// When something happens by itself: a window ends, a heartbeat is due.
    pub(crate) fn next_timeout_ns(&self) -> u64 {
        if self.packet_count > 0 {
            return self.packet_since_ns + self.window_ns;
        }
        self.sent_ns + self.heartbeat_ns
    }

    /// Lets what is due until now happen.
    pub(crate) fn on_timeout(&mut self, now_ns: u64) {
        if self.packet_count > 0 && now_ns >= self.packet_since_ns + self.window_ns {
            self.close(now_ns);
        }
        if now_ns >= self.sent_ns + self.heartbeat_ns {
            if self.ends > 0 {
                self.ends += 1;
            }
            self.say(now_ns);
            self.counters.heartbeats.increment();
        }
    }

    /// Ends the session; said thrice, and then in place of heartbeats.
    pub(crate) fn end_session(&mut self, now_ns: u64) {
        self.close(now_ns);
        self.ends = 1;
        for _ in 0..ENDS {
            self.say(now_ns);
        }
    }

    /// A heartbeat, or the end.
    fn say(&mut self, now_ns: u64) {
        let word = if self.ends > 0 {
            Word::EndOfSession
        } else {
            Word::Heartbeat
        };
        let bytes = Rc::from(self.framing.say(word, self.next, now_ns));
        self.leave(&bytes, now_ns);
    }

    /// When the next packet leaves on any line.
    pub(crate) fn next_due_ns(&self) -> Option<u64> {
        let first = self.lines.iter().filter_map(|line| line.packets.front());
        first.map(|leaving| leaving.due_ns).min()
    }

    /// The next packet of a line that is due.
    pub(crate) fn take(&mut self, line: usize, now_ns: u64) -> Option<Rc<[u8]>> {
        let packets = &mut self.lines.get_mut(line)?.packets;
        let leaving = packets.pop_front_if(|leaving| leaving.due_ns <= now_ns);
        leaving.map(|leaving| leaving.bytes)
    }

    /// Answers a re-request into `out`: as many messages as fit, `count_max` at most. `None`: silence.
    pub(crate) fn on_request<'a>(
        &mut self,
        request: &[u8],
        count_max: u64,
        out: &'a mut [u8],
        now_ns: u64,
    ) -> Option<&'a [u8]> {
        let (first, count) = match self.framing.request(request) {
            Some(Wanted::Messages { first, count }) if (1..self.next).contains(&first) => {
                (first, count)
            }
            Some(Wanted::Test) => (self.next, 0),
            _ => {
                self.counters.rerequests_refused.increment();
                return None;
            }
        };
        if first + (self.kept.len() as u64) < self.next {
            self.counters.rerequests_too_old.increment();
            return None;
        }
        let end = first + count.min(count_max).min(self.next - first);
        let offset = if first < self.next {
            *self.kept_offset.get(self.slot(first))?
        } else {
            self.payload_bytes
        };
        let mut framing = self.framing.behind(offset);
        let mut packet = vec![0; framing.header_len()];
        let mut count = 0;
        for seq in first..end {
            let [len, body @ ..] = self.kept.get(self.slot(seq))?;
            let message = body.get(..usize::from(*len))?;
            if packet.len() + 2 + message.len() > self.packet_bytes {
                break;
            }
            framing.push(&mut packet, message);
            count += 1;
        }
        framing.close(&mut packet, first, count, now_ns);
        self.counters.rerequests_answered.increment();
        let answer = out.get_mut(..packet.len())?;
        answer.copy_from_slice(&packet);
        Some(answer)
    }
}

#[cfg(test)]
mod tests {
    use protocol::iex_tp::{self, GapFillRange, GapFillRequest};
    use protocol::mold::{Header, Kind, Packet};
    use protocol::soup::padded;
    use zerocopy::IntoBytes;

    use super::*;

    fn publisher(more: &str) -> Publisher {
        let text = format!(
            "address = \"127.0.0.1:1\"\n[account.a]\npassword = \"p\"\n[feed]\nlines = \
             [{{ address = \"1.1.1.1:1\" }}, {{ address = \"1.1.1.2:1\", delay_us = 2 }}]\n{more}"
        );
        let options = crate::file::parse(&text).unwrap().exchange.feed.unwrap();
        Publisher::new(&options, "S1", Faults::new(&[], 0, 0), 0)
    }

    fn taken(publisher: &mut Publisher, line: usize, now: u64) -> Vec<(u64, Kind)> {
        std::iter::from_fn(|| publisher.take(line, now))
            .map(|bytes| {
                let packet = Packet::decode(&bytes).unwrap();
                (packet.seq().0, packet.kind())
            })
            .collect()
    }

    #[test]
    fn packets_close_by_size_and_by_window_and_leave_each_line_at_its_time() {
        let mut publisher = publisher("window_us = 1\npacket_bytes = 75");
        publisher.push(&[1; 20], 0);
        publisher.push(&[2; 20], 10);
        assert_eq!(publisher.next_timeout_ns(), 1000);
        publisher.push(&[3; 20], 20);
        assert_eq!(taken(&mut publisher, 0, 20), [(1, Kind::Data(2))]);
        assert_eq!(taken(&mut publisher, 1, 2019), []);
        assert_eq!(taken(&mut publisher, 1, 2020), [(1, Kind::Data(2))]);
        publisher.on_timeout(1020);
        assert_eq!(taken(&mut publisher, 0, 1020), [(3, Kind::Data(1))]);
    }

    #[test]
    fn silence_is_broken_by_heartbeats_and_the_end_is_said_thrice() {
        let mut publisher = publisher("");
        publisher.push(&[1; 20], 0);
        publisher.end_operation(0);
        assert_eq!(publisher.next_timeout_ns(), 1_000_000_000);
        publisher.on_timeout(1_000_000_000);
        let said = taken(&mut publisher, 0, 1_000_000_000);
        assert_eq!(said, [(1, Kind::Data(1)), (2, Kind::Heartbeat)]);
        publisher.end_session(1_000_000_001);
        publisher.on_timeout(2_000_000_001);
        let said = taken(&mut publisher, 0, 3_000_000_000);
        assert_eq!(said, [(2, Kind::EndOfSession); 4]);
    }

    #[test]
    fn what_is_kept_is_sent_again_and_nothing_else() {
        let mut publisher = publisher("keep = 4");
        for value in 1..=6 {
            publisher.push(&[value; 3], 0);
        }
        let mut out = [0; 2000];
        let mut ask = |seq: u64, count: u16, session: &str| {
            let header = Header {
                session: padded(session),
                seq: Seq(seq).into(),
                count: count.into(),
            };
            let request = header.as_bytes().to_vec();
            let reply = publisher.on_request(&request, REPLY_MESSAGES_MAX, &mut out, 0)?;
            let packet = Packet::decode(reply).unwrap();
            Some((
                packet.seq().0,
                packet.blocks().map(|block| block[0]).collect::<Vec<_>>(),
            ))
        };
        assert_eq!(ask(3, 2, "S1"), Some((3, vec![3, 4])));
        assert_eq!(ask(5, 99, "S1"), Some((5, vec![5, 6])));
        for (seq, count, session) in [(2, 1, "S1"), (7, 1, "S1"), (0, 1, "S1"), (3, 0, "S1")] {
            assert_eq!(ask(seq, count, session), None);
        }
        assert_eq!(ask(3, 1, "S2"), None);
        assert_eq!(publisher.counters.rerequests_too_old.get(), 1);
        assert_eq!(publisher.counters.rerequests_refused.get(), 4);
    }

    #[test]
    fn gap_fill_request_is_answered_by_a_segment_at_its_place_in_the_stream() {
        let mut publisher = publisher("venue = \"iex\"\nkeep = 4");
        for value in 1..=6 {
            publisher.push(&[value; 3], 0);
        }
        publisher.end_operation(0);
        let sent = publisher.take(0, 0).expect("a segment");
        let said = iex_tp::Packet::decode(&sent).expect("it reads");
        let (session, protocol) = (said.session(), said.header.protocol.get());
        let mut out = [0; 2000];
        let mut ask = |ranges: &[(u64, u64)], session: iex_tp::Session| {
            let mut request =
                GapFillRequest::new(session, protocol, u32::try_from(ranges.len()).unwrap())
                    .as_bytes()
                    .to_vec();
            for (first, last) in ranges {
                let range = GapFillRange {
                    first: Seq(*first).into(),
                    last: Seq(*last).into(),
                };
                request.extend(range.as_bytes());
            }
            let reply = publisher.on_request(&request, REPLY_MESSAGES_MAX, &mut out, 0)?;
            let packet = iex_tp::Packet::decode(reply).expect("it reads");
            let blocks: Vec<u8> = packet.blocks().map(|block| block[0]).collect();
            Some((packet.seq().0, packet.header.offset.get(), blocks))
        };
        assert_eq!(ask(&[(3, 4)], session), Some((3, 10, vec![3, 4])));
        assert_eq!(ask(&[(5, 99)], session), Some((5, 20, vec![5, 6])));
        assert_eq!(ask(&[(4, 4), (6, 6)], session), Some((4, 15, vec![4])));
        assert_eq!(ask(&[], session), Some((7, 30, vec![])), "a test");
        let other = iex_tp::Session {
            channel: 2,
            ..session
        };
        assert_eq!(ask(&[(3, 4)], other), None);
        for ranges in [&[(2, 3)][..], &[(7, 7)], &[(0, 3)], &[(4, 3)]] {
            assert_eq!(ask(ranges, session), None);
        }
        assert_eq!(publisher.counters.rerequests_too_old.get(), 1);
        assert_eq!(publisher.counters.rerequests_refused.get(), 4);
    }
}
