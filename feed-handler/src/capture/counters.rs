//! What capture counts.

use std::sync::Arc;

use rt::counters;

use super::tap::TapCounters;

counters! {
    /// What became of the packets that were to be captured.
    pub struct CaptureCounters {
        /// Frames written.
        frames,
        /// Bytes written, heads of files aside.
        bytes,
        /// Frames that surrounded no gap, and no packet that was asked for.
        passed_over,
        /// Frames that a disk error cost, and those that came in the pause after it.
        unwritten,
        /// Disk errors.
        disk_errors,
        /// Gaps around which frames were kept.
        gaps_kept,
        /// Packets that were asked for and kept, with what surrounds them.
        asked_kept,
        /// Packets that were asked for when they had left memory, or had found no room in the ring.
        asked_late,
        /// Files begun.
        files_begun,
        /// Files removed to make room for new ones.
        files_removed,
    }
    with {
        /// At the ring.
        tap: Arc<TapCounters>,
    }
}
