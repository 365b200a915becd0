//! What recovery counts: one group for each end, as each has one writer.

use rt::counters;

counters! {
    /// What the recovery core did.
    pub struct RecoveryCounters {
        /// Holes that the feed core asked for.
        holes_asked,
        /// Requests sent to re-request servers.
        requests_sent,
        /// Requests that a socket did not take.
        requests_unsent,
        /// Requests that were not answered in time.
        requests_timed_out,
        /// Holes, or parts of them, that no server brought: given up.
        ranges_given_up,
        /// Packets of re-request servers that brought what was missing.
        answers,
        /// Answers with fewer messages than were asked for; the rest was asked for again.
        answers_partial,
        /// Packets of re-request servers that nobody had asked for (any more), that go beyond what was asked for, or
        /// of which any part cannot be read.
        answers_refused,
        /// Answers that found the ring to the feed core full; asked for again.
        answers_dropped,
        /// Messages that re-request servers brought.
        messages_recovered,
        /// Snapshots begun: a login at a snapshot server.
        snapshots_begun,
        /// Snapshots loaded to their end.
        snapshots_loaded,
        /// Messages in snapshots that were loaded to their end.
        snapshot_messages,
        /// Snapshots that did not come to their end, or whose live messages have a hole.
        snapshots_failed,
        /// Times that no snapshot server helped: the feed stays stale until its next session.
        snapshots_given_up,
    }
}

counters! {
    /// What the feed core did about recovery.
    pub struct JoinCounters {
        /// Asks that found the ring to the recovery core full; tried again.
        asks_delayed,
        /// Messages copied for the snapshot.
        live_copied,
        /// Messages that found no room among those copied for the snapshot: it begins again.
        live_dropped,
        /// Snapshots whose books took the place of the feed's.
        snapshots_joined,
        /// Snapshots that did not fit the stream; another one is asked for.
        snapshots_refused,
        /// Snapshots asked for because a message contradicted a book, not for a gap.
        repairs_asked,
        /// Symbols whose best prices were others after a snapshot, or whose book was right again by it.
        symbols_refreshed,
        /// Time that the feed was stale by a gap until a snapshot ended it, ns.
        stale_gap_ns,
    }
}
