//! What the feed counts.

use rt::counters;

use crate::book::{BookCounters, CheckCounters};
use crate::publish::PublishCounters;
use crate::recovery::counters::JoinCounters;
use crate::status::Status;
use crate::stream::ArbiterCounters;

counters! {
    /// What arrived, and how much of it could be read.
    pub struct FeedCounters {
        /// Packets taken from the source.
        packets,
        /// Packets whose wire stamp lies after the moment we saw them: a clock is wrong.
        stamps_backwards,
        /// Messages of a type that the venue does not have, or without a byte; skipped.
        unknown,
        /// Messages whose length is not their type's: lost, and announced as a gap of one.
        malformed,
        /// Messages about how a symbol or the market is traded.
        statuses,
        /// Messages about how a symbol or the market is traded, in a code that the venue does not have: what was said before stands.
        unknown_codes,
        /// Times that a line fell silent.
        lines_silenced,
        /// Times that a silent line was heard again.
        lines_returned,
        /// Times that every line was silent, so that the feed was stale.
        silences,
        /// Packets of measured turns: every 16th.
        sampled_packets,
        /// Time that measured turns took to get packets from the kernel and give them back, ns.
        sampled_receive_ns,
        /// Time that measured turns took for everything else, ns.
        sampled_handle_ns,
        /// Time of measured turns that found nothing, ns.
        sampled_idle_ns,
    }
}

/// All counters of one feed.
#[derive(Debug, Default)]
pub struct Counters {
    /// Packets and messages read.
    pub feed: FeedCounters,
    /// Lines and gaps.
    pub arbiter: ArbiterCounters,
    /// Books.
    pub book: BookCounters,
    /// What their check found.
    pub check: CheckCounters,
    /// Events.
    pub publish: PublishCounters,
    /// Recovery.
    pub join: JoinCounters,
    /// How the feed is now.
    pub status: Status,
}
