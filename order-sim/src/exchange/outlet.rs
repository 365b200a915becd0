//! Whom the engine's events are told: the accounts, and the market through the feed.
//!
//! Invariants:  both are told each event, the accounts first. Where the market is a record, the feed is what the
//!              record says and nothing else.
//! Time:        comes in as `now`, with each event.

use protocol::types::Nanos;

use crate::account::Accounts;
use crate::engine::Event;
use crate::feed::Notice;
use crate::feed::deep_plus::DeepPlusEncoder;
use crate::feed::encoder::FeedEncoder;
use crate::feed::publisher::Publisher;

/// Listeners.
#[derive(Debug)]
pub(super) struct Outlet {
    pub accounts: Accounts,
    /// Writes ITCH: the feed, unless it is IEX's, and snapshots.
    pub encoder: FeedEncoder,
    /// Writes IEX's feed.
    pub deep_plus: Option<DeepPlusEncoder>,
    pub publisher: Option<Publisher>,
    /// The feed is a record's messages as they are.
    pub is_record: bool,
}

impl Outlet {
    pub(super) fn on_event(&mut self, event: &Event, now: Nanos) {
        self.accounts.on_event(event, now);
        let Some(publisher) = self.publisher.as_mut().filter(|_| !self.is_record) else {
            return;
        };
        let mut out = |message: &[u8]| publisher.push(message, now.0);
        match &mut self.deep_plus {
            Some(encoder) => encoder.at(now).on_event(event, &mut out),
            None => self.encoder.at(now).on_event(event, &mut out),
        }
    }

    /// Publishes what no event of the engine causes.
    pub(super) fn publish(&mut self, notice: Notice<'_>, now: Nanos) {
        if let Notice::Listed(stock) = notice {
            self.encoder.list(stock);
        }
        let Some(publisher) = self.publisher.as_mut().filter(|_| !self.is_record) else {
            return;
        };
        let mut out = |message: &[u8]| publisher.push(message, now.0);
        match &mut self.deep_plus {
            Some(encoder) => encoder.at(now).on_notice(notice, &mut out),
            None => self.encoder.at(now).on_notice(notice, &mut out),
        }
    }
}
