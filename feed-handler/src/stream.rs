//! What arbitration is about: a packet as it came, who hears the ordered stream, and what is counted.
//!
//! Thread:      feed core, hot

use protocol::types::Seq;
use rt::counters;

use crate::book::Books;

/// How far ahead of what is known a number may be and still be taken at its word. Beyond it the loss
/// must be confirmed, which costs three packets' time; a wrong number below it costs as many messages
/// as it jumps. 16,384 messages are more than the held packets bridge, and 16 ms of 1,000,000 a second.
pub const JUMP_MAX: u64 = 1 << 14;
/// How far behind a number may be and still be a copy: a line that lags by a second of 1,000,000
/// messages. What is further behind is another stream.
pub const BACK_MAX: u64 = 1 << 20;
counters! {
    /// What became of packets and sequence numbers.
    pub struct ArbiterCounters {
        /// Packets with messages that were used, whole or in part.
        packets_used,
        /// Packets of which every message was known already: the other line's copies.
        packets_duplicate,
        /// Packets whose messages came after they had been given up.
        packets_late,
        /// Packets kept until a hole before them was filled or given up.
        packets_held,
        /// Packets of another session than the running one, set aside until enough agree.
        packets_foreign,
        /// Packets of this session whose number cannot be, set aside until enough agree; ends that
        /// later numbers contradict.
        packets_wild,
        /// Packets too short for their header or for the messages they announce, or too long to keep.
        packets_malformed,
        /// Heartbeats heard.
        heartbeats,
        /// Messages delivered.
        messages,
        /// Holes that were given up, whole or in part.
        gaps,
        /// Messages in holes that were given up: lost.
        messages_lost,
        /// Holes that the other line filled in time.
        holes_filled,
        /// Holes that were asked for, and filled by a re-request server or a late line.
        holes_recovered,
        /// Holes given up before their time, for want of room.
        holes_crowded_out,
        /// Jumps ahead that were believed because packets agreed.
        jumps_believed,
        /// Sessions begun.
        sessions_begun,
        /// Ends of session: said, or taken as said because another session had begun.
        sessions_ended,
        /// Ends of session that were not heard, but taken as said.
        sessions_end_missed,
    }
}

/// Hears the ordered stream.
pub trait StreamSink {
    /// A session begins; its first packet has this number. Not the first session: the last one's end
    /// has been announced.
    fn on_session(&mut self, first: Seq, is_first_session: bool);
    /// A line brings what comes next, and nothing that is known to exist is missing before it.
    #[inline]
    fn on_next(&mut self) {}
    /// What the messages are for: what they touch of it is prefetched. `None`: not books.
    #[inline]
    fn books(&self) -> Option<&Books> {
        None
    }
    /// The next message.
    fn on_message(&mut self, seq: Seq, message: &[u8]);
    /// `count` messages from `first` on will not come.
    fn on_gap(&mut self, first: Seq, count: u64);
    /// `count` messages from `first` on are missing on every line: somebody may be asked for them. `false`:
    /// nobody can.
    fn on_missing(&mut self, first: Seq, count: u64) -> bool {
        let _ = (first, count);
        false
    }
    /// What was missing since `opened_ns` has come, from another line or from who was asked, and what waited
    /// behind it goes on.
    fn on_filled(&mut self, opened_ns: u64) {
        let _ = opened_ns;
    }
    /// Nothing more will come in this session.
    fn on_end_of_session(&mut self, next: Seq);
}

/// A packet as it came.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// The UDP payload.
    pub payload: &'a [u8],
    /// Which line brought it.
    pub line: u8,
    /// When it was seen.
    pub now_ns: u64,
}

/// What a packet of the running session brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Brought {
    /// Its first number; where it has none, the one that comes next.
    pub seq: u64,
    /// The number after its last.
    pub end: u64,
    /// What became of it.
    pub fate: Fate,
}

/// What became of a packet's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was the first to bring some of them.
    First,
    /// All of them were there.
    Copy,
    /// They had been given up.
    Late,
    /// None can be read.
    Unreadable,
    /// It has none: a heartbeat, or an end.
    Said,
}

/// How holes are recovered that the lines leave open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// How long after it was asked for a hole is given up, ns.
    pub give_up_ns: u64,
    /// Packets that are kept behind holes meanwhile; no fewer than without recovery.
    pub held_max: usize,
}
