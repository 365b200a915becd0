//! Where packets and an exchange's bytes come from: the world, or what a run's journal and captures kept of it.

use std::sync::Arc;

use feed_handler::capture::read::Captures;
use feed_handler::capture::turns::{Lacking, Played as PlayedPackets};
use rt::turn_notes::TurnLog;

use crate::order::transport::logged::{Hand, Played as PlayedStream};

/// One or the other.
#[derive(Debug)]
pub(super) enum Means {
    /// The world; what comes from it is kept in this log, if there is one.
    Live(Option<Arc<TurnLog>>),
    /// A day that is over.
    Replay(ReplayMeans),
}

/// What a day is replayed from, and who looks at how.
#[derive(Debug)]
pub(super) struct ReplayMeans {
    /// The turn at hand.
    pub(super) log: Arc<TurnLog>,
    /// Each feed's, in the order of the configuration; they are taken as feeds are built.
    pub(super) captures: Vec<Captures>,
    /// What they lack, in the same order.
    pub(super) lacking: Vec<Arc<Lacking>>,
    /// Hands at the sessions' kill switches, in the order of the configuration.
    pub(super) hands: Vec<Arc<Hand>>,
}

impl Means {
    /// Where what comes from the world is kept.
    pub(super) fn kept(&self) -> Option<Arc<TurnLog>> {
        match self {
            Self::Live(log) => log.clone(),
            Self::Replay(_) => None,
        }
    }
}

impl ReplayMeans {
    /// The next feed's packets; `None`: nobody has captured any.
    pub(super) fn packets(&mut self) -> Option<PlayedPackets> {
        if self.captures.is_empty() {
            return None;
        }
        let packets = PlayedPackets::new(self.captures.remove(0), Arc::clone(&self.log));
        self.lacking.push(packets.lacking());
        Some(packets)
    }

    /// The next session's bytes.
    pub(super) fn stream(&mut self, hand: Arc<Hand>) -> PlayedStream {
        self.hands.push(Arc::clone(&hand));
        PlayedStream::new(Arc::clone(&self.log), hand)
    }
}
