//! What is held of each instrument and may still come, in shares and in dollars.
//!
//! An instrument's shares, held and open, are worth its price each: the larger of its mark (what the market
//! pays, see [`mark`](super::prices)) at the last look and of the highest limit to buy that was sent since
//! nothing was held or open of it. So a fill, a cancel or a reject never makes exposure larger; only an order or
//! a look at the market does.
//!
//! ```text
//!  long  = position + open to buy        gross = Σ worth of the larger of long and short, above zero
//!  short = open to sell - position       net   = the larger of Σ worth of long and Σ worth of short
//! ```
//!
//! Thread:      order core, hot
//! Invariants:  the sums are those of the rows, exactly: each change takes a row's worth out and puts it back in.

use protocol::types::{Price4, Qty, Side};

use super::super::instruments::{INSTRUMENTS_MAX, Instrument};

/// What is held of one instrument, and what may still come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exposure {
    /// Shares: long above zero, short below.
    pub position: i64,
    /// Shares open to buy.
    pub open_buy: u64,
    /// Shares open to sell.
    pub open_sell: u64,
}

impl Exposure {
    /// The position's size if everything open on `side`, and `more` shares, were filled.
    #[inline]
    pub(super) fn worst(&self, side: Side, more: u32) -> u64 {
        let [long, short] = self.sides();
        let worst = match side {
            Side::Buy => long,
            Side::Sell => short,
        };
        u64::try_from((worst + i128::from(more)).max(0)).unwrap_or(u64::MAX)
    }

    /// Shares long, and short, if everything open on that side were filled.
    #[inline]
    fn sides(&self) -> [i128; 2] {
        let position = i128::from(self.position);
        [
            position + i128::from(self.open_buy),
            i128::from(self.open_sell) - position,
        ]
    }

    #[inline]
    fn is_idle(&self) -> bool {
        *self == Self::default()
    }
}

/// Shares of one instrument that stand open, or are to.
#[derive(Clone, Copy, Debug)]
pub struct Lot {
    /// Symbol.
    pub instrument: Instrument,
    /// Side.
    pub side: Side,
    /// Limit.
    pub limit: Price4,
    /// Shares.
    pub qty: Qty,
}

/// What everything is worth at its worst, in 0.0001 dollars.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Worth {
    /// Longs and shorts added up.
    pub gross: i128,
    /// Longs less shorts, everything open to buy filled.
    pub long: i128,
    /// Shorts less longs, everything open to sell filled.
    pub short: i128,
}

/// One instrument: a cache line.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
struct Row {
    held: Exposure,
    mark: Price4,
    /// The highest limit to buy since it was idle.
    limit_high: Price4,
}

impl Row {
    #[inline]
    fn price(&self) -> Price4 {
        self.mark.max(self.limit_high)
    }

    #[inline]
    fn worth(&self) -> Worth {
        let (mark, price) = (i128::from(self.mark.0), i128::from(self.price().0));
        // What makes another symbol's exposure smaller does so at what the market pays.
        let worth = |shares: i128| shares * if shares > 0 { price } else { mark };
        let [long, short] = self.held.sides().map(worth);
        Worth {
            gross: long.max(short).max(0),
            long,
            short,
        }
    }
}

/// All instruments.
#[derive(Debug)]
pub(super) struct Exposures {
    rows: Box<[Row]>,
    sum: Worth,
}

impl Exposures {
    /// Nothing held, nothing open.
    pub(super) fn new() -> Self {
        Self {
            rows: vec![Row::default(); INSTRUMENTS_MAX].into_boxed_slice(),
            sum: Worth::default(),
        }
    }

    /// What is held of an instrument.
    #[inline]
    pub(super) fn of(&self, instrument: Instrument) -> Exposure {
        self.row(instrument).held
    }

    /// What a share of it is taken to be worth in the market; 0: nobody has looked.
    #[inline]
    pub(super) fn mark_of(&self, instrument: Instrument) -> Price4 {
        self.row(instrument).mark
    }

    /// What everything is worth at its worst.
    #[inline]
    pub(super) fn worth(&self) -> Worth {
        self.sum
    }

    /// What everything would be worth with this lot open.
    #[inline]
    pub(super) fn worth_with(&self, lot: &Lot) -> Worth {
        let mut row = self.row(lot.instrument);
        let before = row.worth();
        row.open(lot);
        self.sum.replaced(before, row.worth())
    }

    /// The market pays this for a share.
    #[inline]
    pub(super) fn on_mark(&mut self, instrument: Instrument, mark: Price4) {
        self.change(instrument, |row| row.mark = mark);
    }

    /// More stands open.
    #[inline]
    pub(super) fn on_reserved(&mut self, lot: &Lot) {
        self.change(lot.instrument, |row| row.open(lot));
    }

    /// `less` shares no longer stand open on a side.
    ///
    /// # Errors
    /// Fewer stood open there, this many; none does now.
    #[inline]
    pub(super) fn on_freed(
        &mut self,
        instrument: Instrument,
        side: Side,
        less: Qty,
    ) -> Result<(), u64> {
        let mut found = 0;
        let less = u64::from(less.0);
        self.change(instrument, |row| {
            let open = row.open_mut(side);
            found = *open;
            *open = found.saturating_sub(less);
        });
        if found < less { Err(found) } else { Ok(()) }
    }

    /// The position moves by this many shares.
    #[inline]
    pub(super) fn on_moved(&mut self, instrument: Instrument, shares: i64) {
        self.change(instrument, |row| row.held.position += shares);
    }

    #[inline]
    fn row(&self, instrument: Instrument) -> Row {
        let row = self.rows.get(usize::from(instrument.0));
        row.copied().unwrap_or_default()
    }

    #[inline]
    fn change(&mut self, instrument: Instrument, change: impl FnOnce(&mut Row)) {
        #[expect(
            clippy::indexing_slicing,
            reason = "instruments are made below INSTRUMENTS_MAX"
        )]
        let row = &mut self.rows[usize::from(instrument.0)];
        let before = row.worth();
        change(row);
        if row.held.is_idle() {
            row.limit_high = Price4(0);
        }
        self.sum = self.sum.replaced(before, row.worth());
    }
}

impl Row {
    /// A sell's own limit counts only while nobody knows what the market pays.
    #[inline]
    fn open(&mut self, lot: &Lot) {
        if lot.side == Side::Buy || self.mark == Price4(0) {
            self.limit_high = self.limit_high.max(lot.limit);
        }
        *self.open_mut(lot.side) += u64::from(lot.qty.0);
    }

    #[inline]
    fn open_mut(&mut self, side: Side) -> &mut u64 {
        match side {
            Side::Buy => &mut self.held.open_buy,
            Side::Sell => &mut self.held.open_sell,
        }
    }
}

impl Worth {
    /// Longs less shorts or shorts less longs, whichever is more.
    #[inline]
    #[must_use]
    pub fn net(&self) -> i128 {
        self.long.max(self.short)
    }

    #[inline]
    fn replaced(self, before: Self, after: Self) -> Self {
        Self {
            gross: self.gross - before.gross + after.gross,
            long: self.long - before.long + after.long,
            short: self.short - before.short + after.short,
        }
    }
}
