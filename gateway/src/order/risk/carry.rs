//! Trades of the day that were made in a session which was left.
//!
//! Thread:      order core, before any order goes out

use super::super::instruments::Instrument;
use super::{Risk, Traded};

impl Risk {
    /// Trades of one instrument, in their turn. What is held is worth what the last one paid until the market says
    /// otherwise. The loss is looked at once all is carried ([`Risk::look_at_profit`]): on the way it may seem larger
    /// than it ever was.
    pub(in crate::order) fn on_carried(
        &mut self,
        instrument: Instrument,
        trades: impl Iterator<Item = Traded>,
    ) {
        let mut last = None;
        for traded in trades {
            self.on_moved(&traded, 1);
            last = Some(traded.price);
        }
        if let Some(last) = last {
            let (before, held) = (
                self.exposures.mark_of(instrument),
                self.exposures.of(instrument),
            );
            self.exposures.on_mark(instrument, last);
            self.profit.on_mark(held.position, before, last);
        }
    }
}
