//! Whom the engine's events are told: the accounts, and the market through the feed.
//!
//! Invariants:  both are told each event, the accounts first. Where the market is a record, the feed is what the
//!              record says and nothing else.
//! Time:        comes in as `now`, with each event.

use protocol::types::Nanos;

use crate::account::Accounts;
use crate::engine::Event;
use crate::feed::encoder::{FeedEncoder, Stamped};
use crate::feed::publisher::Publisher;

/// Listeners.
#[derive(Debug)]
pub(super) struct Outlet {
    pub accounts: Accounts,
    pub encoder: FeedEncoder,
    pub publisher: Option<Publisher>,
    /// The feed is a record's messages as they are.
    pub is_record: bool,
}

impl Outlet {
    pub(super) fn on_event(&mut self, event: &Event, now: Nanos) {
        self.accounts.on_event(event, now);
        if let Some((feed, publisher)) = self.own_feed(now) {
            feed.on_event(event, &mut |message| publisher.push(message, now.0));
        }
    }

    /// Publishes messages that no event of the engine causes.
    pub(super) fn publish(
        &mut self,
        now: Nanos,
        tell: impl FnOnce(Stamped<'_>, &mut dyn FnMut(&[u8])),
    ) {
        if let Some((feed, publisher)) = self.own_feed(now) {
            tell(feed, &mut |message| publisher.push(message, now.0));
        }
    }

    /// The feed, if it is the exchange's own.
    #[inline]
    fn own_feed(&mut self, now: Nanos) -> Option<(Stamped<'_>, &mut Publisher)> {
        let publisher = self.publisher.as_mut().filter(|_| !self.is_record)?;
        Some((self.encoder.at(now), publisher))
    }
}
