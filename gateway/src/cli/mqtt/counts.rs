//! What the publisher counts of itself, told on its own topic.

use std::collections::BTreeMap;

use serde::Serialize;

use super::commands::Refusal;
use super::message::Class;
use super::outbox::Done;

/// Since the publisher began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Counts {
    /// Messages that the broker has: acknowledged, or written where nobody acknowledges.
    pub(super) published: BTreeMap<&'static str, u64>,
    /// Messages that were dropped, by kind: no connection, or more than it takes.
    pub(super) dropped: BTreeMap<&'static str, u64>,
    /// Messages that the broker will never take: it says that they are not allowed, or wrong.
    pub(super) refused_by_broker: u64,
    /// Messages that were handed again after a connection was lost, and may have arrived twice.
    pub(super) handed_again: u64,
    /// Connections that came about.
    pub(super) connections: u64,
    /// Connections that ended, and tries that failed.
    pub(super) connections_lost: u64,
    /// Questions that the gateway did not answer.
    pub(super) gateway_unheard: u64,
    /// Records of the journal that were read.
    pub(super) records: u64,
    /// Times at which something of the journal was not there, or could not be read: orders and fills are missing.
    pub(super) journal_gaps: u64,
    /// Commands that were done.
    pub(super) commands: u64,
    /// Commands that were refused, by cause.
    pub(super) commands_refused: BTreeMap<&'static str, u64>,
}

impl Counts {
    pub(super) fn on_published_if(&mut self, done: Option<Done>) {
        if let Some(Done { class }) = done {
            *self.published.entry(class.name()).or_default() += 1;
        }
    }

    pub(super) fn on_dropped(&mut self, class: Class) {
        *self.dropped.entry(class.name()).or_default() += 1;
    }

    pub(super) fn on_refused(&mut self, refusal: Refusal) {
        *self.commands_refused.entry(refusal.name()).or_default() += 1;
    }
}
