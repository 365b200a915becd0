//! Shares that change hands: what is held, and what it was paid with.
//!
//! Thread:      order core, hot; what is carried of an earlier session comes before any order goes out

use protocol::types::{Price4, Side};

use super::super::instruments::Instrument;
use super::{Risk, Traded};

impl Risk {
    /// Shares changed hands.
    #[inline]
    pub fn on_traded(&mut self, traded: &Traded) {
        self.on_moved(traded, 1);
        self.look_at_profit();
    }

    /// A trade is undone.
    pub fn on_undone(&mut self, traded: &Traded) {
        self.on_moved(traded, -1);
        self.look_at_profit();
    }

    /// Trades of one instrument in a session that was left today, in their turn. What is held is worth what the last one
    /// paid until the market says otherwise, unless it has already. The loss is looked at once all is carried ([`Risk::look_at_profit`]): on the
    /// way it may seem larger than it ever was.
    pub(in crate::order) fn on_carried(
        &mut self,
        instrument: Instrument,
        trades: impl Iterator<Item = Traded>,
    ) {
        let is_marked = self.exposures.mark_of(instrument).0 != 0;
        let mut last = None;
        for traded in trades {
            self.on_moved(&traded, 1);
            last = Some(traded.price);
        }
        let Some(last) = last.filter(|_| !is_marked) else {
            return;
        };
        let (before, held) = (
            self.exposures.mark_of(instrument),
            self.exposures.of(instrument),
        );
        self.exposures.on_mark(instrument, last);
        self.profit.on_mark(held.position, before, last);
    }

    #[inline]
    fn on_moved(&mut self, traded: &Traded, sign: i64) {
        let Traded {
            instrument,
            side,
            qty,
            price,
        } = *traded;
        let bought = if side == Side::Buy { sign } else { -sign };
        let shares = i64::from(qty.0) * bought;
        let mut mark = self.exposures.mark_of(instrument);
        if mark.0 == 0 {
            // What is held from before gets its first mark with it.
            mark = price;
            let held = self.exposures.of(instrument).position;
            self.profit.on_mark(held, Price4(0), mark);
            self.exposures.on_mark(instrument, mark);
        }
        self.exposures.on_moved(instrument, shares);
        self.profit.on_traded(shares, price, mark);
    }
}
