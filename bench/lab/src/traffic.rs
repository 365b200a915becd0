//! What is sent in a run, and when.

use std::path::PathBuf;

use feeds::replay::Pace;

use crate::exchange::Live;
use crate::venue::Venue;

/// What is sent, and when.
#[derive(Clone, Debug)]
pub struct Traffic {
    /// Whose feed; what is sent from files is Nasdaq's.
    pub venue: Venue,
    /// The feed.
    pub feed: PathBuf,
    /// When packets leave.
    pub pace: Pace,
    /// Messages in a packet.
    pub pack: u16,
    /// This many messages at the start go packed, as many as fit.
    pub bulk: u64,
    /// Messages at most.
    pub limit: Option<u64>,
    /// Locate code of triggers, if the feed has them.
    pub trigger: Option<u16>,
    /// Triggers that leave at one time.
    pub burst: u64,
    /// One or two lines.
    pub lines: usize,
    /// Warm-up: what is sent before it is over does not count.
    pub warm_up_ms: u64,
    /// The polled exchange's answers wait this long, µs.
    pub answer_after_us: u64,
    /// The exchange makes its own market instead of a feed being sent.
    pub live: Option<Live>,
}

impl Traffic {
    /// Nothing is sent: for receivers that are fed otherwise.
    #[must_use]
    pub fn quiet() -> Self {
        Self {
            venue: Venue::Nasdaq,
            feed: PathBuf::new(),
            pace: Pace::Rate(1.0),
            pack: 1,
            bulk: 0,
            limit: None,
            trigger: None,
            burst: 1,
            lines: 1,
            warm_up_ms: 0,
            answer_after_us: 0,
            live: None,
        }
    }
}
