//! Limits of parts of an account, as its risk holds them: see [`rows`](super::rows).
//!
//! Thread:      order core, hot
//! Contract:    **an instrument is known ([`Risk::know`]) before an order in it is judged, or found.**

use super::super::instruments::{Instrument, Instruments};
use super::others::OTHER_SESSION;
use super::refusal::Refusal;
use super::row_key::rate_room;
use super::rows::{Asking, RowLimits, Rows};
use super::{Proposal, Risk};
use crate::message::intent::Owner;

impl Risk {
    /// With these rows, before the first order; the first of them are configured so.
    ///
    /// # Panics
    /// They are more than [`ROWS_MAX`](super::ROWS_MAX).
    #[must_use]
    pub fn with_rows(mut self, rows: &[RowLimits], configured: &[RowLimits]) -> Self {
        self.rows = Rows::new(rows, configured, rate_room(&self.limits));
        self
    }

    /// A row's limits; `None`: there is no such row.
    #[must_use]
    pub fn row(&self, at: usize) -> Option<&RowLimits> {
        self.rows.limits(at)
    }

    /// A row has these limits from the next order on; `true`: it is new, and what is open has to be told again
    /// ([`Risk::count_rows_anew`]).
    pub fn set_row(&mut self, at: usize, limits: &RowLimits) -> bool {
        self.rows.set(at, limits)
    }

    /// A row is new: which rows are for the instruments that are known, and nothing open in any of them.
    pub fn count_rows_anew(&mut self, instruments: &Instruments) {
        self.rows.forget();
        let known = u16::try_from(instruments.len()).unwrap_or(u16::MAX);
        for instrument in (0..known).map(Instrument) {
            self.rows.know(instrument, instruments.symbol(instrument));
        }
    }

    /// An order that stands open is counted in the rows that are for it, after [`Risk::count_rows_anew`].
    pub fn count_in_rows(&mut self, owner: Option<Owner>, instrument: Instrument) {
        self.rows.on_opened(owner, instrument);
    }

    /// Whether there are rows.
    #[inline]
    #[must_use]
    pub fn has_rows(&self) -> bool {
        !self.rows.is_empty()
    }

    /// Which rows are for an instrument, by its name: before an order in it is judged, or found.
    #[inline]
    pub fn know(&mut self, instrument: Instrument, instruments: &Instruments) {
        if self.has_rows() && !self.rows.is_known(instrument) {
            self.rows.know(instrument, instruments.symbol(instrument));
        }
        self.know_place(instrument, instruments);
    }

    /// An order that was nobody's is a strategy's; `false`: a row did not know of it.
    #[must_use]
    pub fn on_given(&mut self, owner: Owner, instrument: Instrument) -> bool {
        let was_open = self.rows.on_closed(None, instrument);
        self.rows.on_opened(Some(owner), instrument);
        was_open
    }

    /// The row that the last refusal came from, counted from 1, and forgets it; 0: it was none;
    /// `OTHER_SESSION`: an order of another session of the account.
    pub fn take_refusing_row(&mut self) -> u8 {
        if self.take_others_refusal() {
            return OTHER_SESSION;
        }
        self.rows.take_refused()
    }

    /// Whether the order passes every row that is for it. Counts it as sent when it does.
    pub(super) fn check_rows(&mut self, proposal: &Proposal, now_ns: u64) -> Result<(), Refusal> {
        let rows = self.rows.of(Some(proposal.owner), proposal.instrument);
        if rows == 0 {
            return Ok(());
        }
        let more = proposal.qty.0.saturating_sub(proposal.counted_qty.0);
        let held = self.exposures.of(proposal.instrument);
        let asking = Asking {
            price: proposal.price,
            qty: proposal.qty,
            is_new: proposal.is_new,
            worst: (more > 0).then(|| held.worst(proposal.side, more)),
            now_ns,
        };
        self.rows.check(rows, &asking)?;
        self.rows.note(rows, now_ns);
        Ok(())
    }
}
