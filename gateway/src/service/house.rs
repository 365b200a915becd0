//! What stages leave with housekeeping while the service is built.

use std::sync::Arc;

use rt::ring::Consumer;

use super::capture::FeedCapturer;
use super::feed_watch::FeedWatch;
use super::receive::InterfaceWatch;
use super::recovery::FeedRecoverer;
use crate::journal::inlet::Outlet;
use crate::message::notice::Notice;
use crate::order::entry::EntryCounters;
use crate::order::risk::KillSwitch;
use crate::order::snapshot::{PositionsView, SessionView};
use crate::order::transport::delegated::LaneWatch;
use crate::telemetry::{Kind, Label, Registry};
use crate::trace::recorder::OrderTrace;

/// Fields of systemd's journal that say whose a notice is.
pub(super) const SESSION: &str = "TICKGATE_SESSION";
pub(super) const STRATEGY: &str = "TICKGATE_STRATEGY";

/// What housekeeping is given.
#[derive(Debug, Default)]
pub(super) struct House {
    pub(super) registry: Registry,
    /// Whose, by the journal's field, and its name.
    pub(super) notices: Vec<(&'static str, String, Consumer<Notice>)>,
    pub(super) watches: Vec<InterfaceWatch>,
    pub(super) feeds: Vec<FeedWatch>,
    pub(super) sessions: Vec<SessionHouse>,
    pub(super) kills: Vec<KillSwitch>,
    pub(super) settings: serde_json::Value,
    /// Slow orders of each session.
    pub(super) traces: Vec<Consumer<OrderTrace>>,
    /// What the recovery core runs.
    pub(super) recovery: Vec<FeedRecoverer>,
    /// What the journal core empties: of each session, in the order of the configuration, then of what is no session.
    pub(super) journal: Vec<Outlet>,
    /// What the capture core runs.
    pub(super) captures: Vec<FeedCapturer>,
}

impl House {
    /// The journal core empties one more ring: what is put into it is counted under this name.
    pub(super) fn keep_journal(&mut self, name: &str, outlet: Outlet) {
        let counters = Arc::clone(&outlet.counters);
        self.registry
            .counters(Label::new(Kind::Journal, name), move || counters.list());
        self.journal.push(outlet);
    }
}

/// What housekeeping sees of a session.
#[derive(Debug)]
pub(super) struct SessionHouse {
    pub(super) name: String,
    pub(super) counters: Arc<EntryCounters>,
    pub(super) view: Arc<SessionView>,
    pub(super) positions: Arc<PositionsView>,
    /// Its way past the kernel's TCP, if it has one.
    pub(super) lane: Option<LaneWatch>,
}
