//! Where orders come from besides the clients of now: the market's own agents or a record, and clients' orders
//! that a script keeps waiting.
//!
//! Invariants:  a source knows what became of its orders before anybody acts upon it: it hears every event.
//! When full:   [`LATE_MAX`] messages wait at one time; one more is not taken.

use crate::engine::Event;
use crate::flow::agents::Agents;
use crate::flow::recorded::Recorded;

/// Messages that a script may keep waiting at one time.
const LATE_MAX: usize = 4096;

/// Sources of orders.
#[derive(Debug)]
pub(super) struct Inlet {
    pub agents: Option<Agents>,
    /// The market is a record.
    pub recorded: Option<Recorded>,
    late: Vec<LateMessage>,
}

/// A client's message that is taken later than it came.
#[derive(Debug)]
pub(super) struct LateMessage {
    pub due_ns: u64,
    pub account: u16,
    pub bytes: Vec<u8>,
}

impl Inlet {
    pub(super) fn new(recorded: Option<Recorded>) -> Self {
        Self {
            agents: None,
            recorded,
            late: Vec::new(),
        }
    }

    /// Follows what became of the sources' orders.
    pub(super) fn on_event(&mut self, event: &Event) {
        if let Some(recorded) = &mut self.recorded {
            recorded.on_event(event);
        }
        if let Some(agents) = &mut self.agents {
            agents.on_event(event);
        }
    }

    /// Whether there are others than clients.
    pub(super) fn has_market(&self) -> bool {
        self.agents.is_some() || self.recorded.is_some()
    }

    /// Whether the market's own orders have ended.
    pub(super) fn is_market_over(&self) -> bool {
        let agents = self.agents.as_ref().map(Agents::next_ns);
        let recorded = self.recorded.as_ref().map(Recorded::next_ns);
        agents.or(recorded) == Some(None)
    }

    /// Keeps a message until it is due; `false`: too many wait.
    pub(super) fn keep(&mut self, late: LateMessage) -> bool {
        let has_room = self.late.len() < LATE_MAX;
        if has_room {
            self.late.push(late);
        }
        has_room
    }

    /// When the first late message is due.
    pub(super) fn next_late_ns(&self) -> Option<u64> {
        self.late.iter().map(|late| late.due_ns).min()
    }

    /// The first late message; of two at one time the one that came first.
    pub(super) fn take_late(&mut self) -> Option<LateMessage> {
        let late = self.late.iter().enumerate();
        let (at, _) = late.min_by_key(|(_, late)| late.due_ns)?;
        Some(self.late.remove(at))
    }
}
