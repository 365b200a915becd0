//! The strategies of a session, as its order stage sees them: what they ask for, what they are told.
//!
//! Thread:      order core, hot
//! When full:   a strategy whose ring is full no longer knows its orders: the kill switch goes on. Not at the end of the
//!              process, when strategies stop before what they had open is cancelled.

use rt::ring::{Consumer, Producer};

use super::entry::{DESKS_MAX, EntryCounters};
use super::risk::{KillCause, KillSwitch};
use super::transport::HEARD_BYTES_MAX;
use crate::message::execution::ExecutionEvent;
use crate::message::intent::{OrderIntent, Owner};
use crate::message::notice::{Notice, Notices};

/// Executions that what is read in one turn may bring, and so the room that a strategy has to have: answers
/// of at least 16 bytes, of which few end an intent and an order at once.
const NEWS_A_TURN: usize = 2 * HEARD_BYTES_MAX / 16;

/// One strategy's rings.
#[derive(Debug)]
pub struct Link {
    /// What it asks for.
    pub intents: Consumer<OrderIntent>,
    /// What it is told.
    pub executions: Producer<ExecutionEvent>,
}

impl Link {
    /// Whether it has too little room for what one read of the exchange may bring.
    #[inline]
    pub(super) fn is_short(&self) -> bool {
        let capacity = self.executions.capacity();
        capacity - self.executions.len() < NEWS_A_TURN.min(capacity / 2)
    }
}

/// The strategies' rings, and what happens where one is full.
pub(super) struct Listeners<'a> {
    pub(super) links: &'a mut [Link],
    pub(super) counters: &'a EntryCounters,
    pub(super) kill: &'a KillSwitch,
    pub(super) notices: &'a mut Notices,
    /// The process has been told to end.
    pub(super) is_stopping: bool,
}

impl Listeners<'_> {
    /// Tells a strategy; one that does not listen no longer knows its orders, so trading stops.
    #[inline]
    pub(super) fn tell(&mut self, owner: Owner, event: ExecutionEvent) {
        let link = self.links.get_mut(usize::from(owner.0));
        if link.is_some_and(|link| link.executions.push(event).is_err()) {
            self.counters.execution_ring_full.increment();
            if self.is_stopping {
                return;
            }
            self.kill.engage(KillCause::ExecutionsLost);
            self.notices.send(Notice::ExecutionsLost(owner.0));
        }
    }
}

/// Links are as many as desks, and those are fewer than an owner can number.
#[inline]
pub(crate) fn owner_of(index: usize) -> Owner {
    debug_assert!(index < DESKS_MAX);
    Owner(u8::try_from(index).unwrap_or(u8::MAX))
}
