//! The numbers of a feed's messages, as who hears its events must hear them: one after the other, and every hole announced.

use feed_handler::event::{FLAG_NO_MESSAGE, Kind, MarketEvent};

/// What must come next.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Numbers {
    /// The number of the next message; `None`: a session's first.
    next: Option<u64>,
    /// The number of the last message, if it was told as a name: the message itself may follow.
    was_named: Option<u64>,
    /// Events were missed, and no message was heard since: gaps among them are summed up.
    is_behind: bool,
    /// A sum of gaps was told: any number may be next.
    is_open: bool,
}

impl Numbers {
    /// A session is over.
    pub(crate) fn begin_anew(&mut self) {
        *self = Self::default();
    }

    /// The next number, where a message was heard in this session.
    pub(crate) fn next(&self) -> Option<u64> {
        self.next
    }

    /// The next event.
    pub(crate) fn hear(&mut self, event: &MarketEvent) {
        let seq = event.origin.seq;
        match event.kind {
            Kind::EndOfSession => self.begin_anew(),
            Kind::Gap if self.is_behind => self.is_open = true,
            Kind::Gap => {
                let first = event.gap_first().expect("a gap").0;
                assert_eq!(first, self.next.unwrap_or(1), "a gap begins elsewhere");
                self.next = Some(first + event.number);
            }
            Kind::Lagged => {
                // The last that was missed may have been the name alone.
                (self.next, self.was_named) = (Some(seq + 1), Some(seq));
                self.is_behind = true;
            }
            // A row that moved in what was missed.
            Kind::Refresh => {
                let is_known = self.is_open || self.next.is_none_or(|next| seq < next);
                assert!(is_known, "{seq} before it came, {:?} is next", self.next);
            }
            // These have no number of their own.
            _ if event.is_news() || event.has(FLAG_NO_MESSAGE) => {}
            _ => {
                let is_named = self.was_named.take() == Some(seq);
                assert!(
                    is_named || self.is_open || seq == self.next.unwrap_or(1),
                    "{seq} instead of {:?}: a hole that nobody announced",
                    self.next
                );
                self.was_named = (event.kind == Kind::Directory).then_some(seq);
                self.next = Some(seq + 1);
                (self.is_behind, self.is_open) = (false, false);
            }
        }
    }
}
