//! How a feed is now.

use std::sync::atomic::{AtomicU64, Ordering};

/// How a feed is now, for whoever keeps house: bits with one writer. Counters say how often.
#[derive(Debug, Default)]
pub struct Status {
    pub(crate) stale: AtomicU64,
    pub(crate) silent_lines: AtomicU64,
    pub(crate) gap_first: AtomicU64,
}

/// Why a feed is stale: something is missing.
pub const STALE_GAP: u64 = 1;
/// Why a feed is stale: its session is over.
pub const STALE_ENDED: u64 = 2;
/// Why a feed is stale: it is silent, or has not begun.
pub const STALE_SILENT: u64 = 4;

/// Why a feed is stale: something is missing that may still come. Strategies are not told; they hear nothing
/// meanwhile, and then everything.
pub const STALE_WAITING: u64 = 8;

impl Status {
    /// `STALE_` bits; 0: the feed is whole.
    #[must_use]
    pub fn stale(&self) -> u64 {
        self.stale.load(Ordering::Relaxed)
    }

    /// A bit for each line that is silent, in the order of the configuration.
    #[must_use]
    pub fn silent_lines(&self) -> u64 {
        self.silent_lines.load(Ordering::Relaxed)
    }

    /// The first number of the last gap.
    #[must_use]
    pub fn gap_first(&self) -> u64 {
        self.gap_first.load(Ordering::Relaxed)
    }

    pub(crate) fn set_silent_lines(&self, mask: u64) {
        self.silent_lines.store(mask, Ordering::Relaxed);
    }
}
