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
//! Nearly every order is small and far from the limits. What such a row is worth fits 64 bits, and a bound of what
//! an order adds shows that no limit is near: [`Exposures::is_far_from`]. All else goes the exact way, in 128 bits.
//!
//! Thread:      order core, hot
//! Invariants:  the sums are those of the rows, exactly: each change takes a row's worth out and puts it back in.
//!              What `is_far_from` lets through breaks no limit.

use protocol::types::{Price4, Qty, Side};
use rt::mem::prefetch_whole;

use super::super::instruments::{INSTRUMENTS_MAX, Instrument};
use super::limits::Limits;

/// Shares below which a row is counted in 64 bits, a power of two: a position, with what is open on a side, stays
/// below four times as many, and their worth at any price below 2^62, so that two of them differ by an `i64`.
const SMALL_SHARES: u64 = 1 << 28;
const _: () = assert!(4 * SMALL_SHARES as u128 * (u32::MAX as u128) < 1 << 62);

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

    /// Shares long or short, whichever is more, if everything open on that side were filled.
    #[must_use]
    pub fn worst_of_both(&self) -> u64 {
        let [long, short] = self.sides();
        // One of them is none below zero: together they are what is open.
        u64::try_from(long.max(short)).unwrap_or(u64::MAX)
    }

    /// Shares open on a side.
    #[inline]
    fn open(&self, side: Side) -> u64 {
        match side {
            Side::Buy => self.open_buy,
            Side::Sell => self.open_sell,
        }
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

    /// The same in 64 bits; `None`: there are too many.
    #[inline]
    fn sides_small(&self) -> Option<[i64; 2]> {
        let position = self.position.wrapping_add(SMALL_SHARES.cast_signed());
        if (position.cast_unsigned() | self.open_buy | self.open_sell) >= 2 * SMALL_SHARES {
            return None;
        }
        Some([
            self.position + self.open_buy.cast_signed(),
            self.open_sell.cast_signed() - self.position,
        ])
    }

    #[inline]
    fn is_idle(&self) -> bool {
        self.position.cast_unsigned() | self.open_buy | self.open_sell == 0
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

/// What a row of few shares is worth, as [`Worth`] has it.
#[derive(Clone, Copy)]
struct WorthSmall {
    gross: i64,
    long: i64,
    short: i64,
}

/// One instrument, in one cache line.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(32))]
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

    /// The same in 64 bits; `None`: there are too many shares.
    #[inline]
    fn worth_small(&self) -> Option<WorthSmall> {
        let (mark, price) = (i64::from(self.mark.0), i64::from(self.price().0));
        let worth = |shares: i64| shares * if shares > 0 { price } else { mark };
        let [long, short] = self.held.sides_small()?.map(worth);
        Some(WorthSmall {
            gross: long.max(short).max(0),
            long,
            short,
        })
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

    /// Brings near what is known of an instrument.
    pub(super) fn prefetch(&self, instrument: Instrument) {
        if let Some(row) = self.rows.get(usize::from(instrument.0)) {
            prefetch_whole(row);
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

    /// The largest position of all instruments, everything open on its side filled.
    pub(super) fn worst_position(&self) -> u64 {
        let worst = self.rows.iter().map(|row| row.held.worst_of_both());
        worst.max().unwrap_or(0)
    }

    /// What everything is worth at its worst.
    #[inline]
    pub(super) fn worth(&self) -> Worth {
        self.sum
    }

    /// Whether this lot breaks no limit of exposure for certain: a bound of it breaks none. Otherwise
    /// [`Exposure::worst`] and [`Exposures::worth_with`] have to say.
    #[inline]
    pub(super) fn is_far_from(&self, limits: &Limits, lot: &Lot) -> bool {
        let row = self.row(lot.instrument);
        let Some([long, short]) = row.held.sides_small() else {
            return false;
        };
        let worst = i64::from(lot.qty.0)
            + match lot.side {
                Side::Buy => long,
                Side::Sell => short,
            };
        if worst.max(0).cast_unsigned() > limits.position_max {
            return false;
        }
        let price = row.price();
        let price_after = price.max(row.limit_high_with(lot));
        // What is there costs at most what the price rises by, what comes at most the whole price.
        let rise = u64::from(price_after.0 - price.0) * long.max(short).max(0).cast_unsigned();
        let more = u64::from(price_after.0) * u64::from(lot.qty.0);
        let Some(growth) = rise.checked_add(more) else {
            return false;
        };
        let is_below = |sum: i128, limit: u64| sum + i128::from(growth) <= i128::from(limit);
        // What is added up is never less than what is set off.
        let (gross_max, net_max) = (limits.gross_exposure_max, limits.net_exposure_max);
        is_below(self.sum.gross, gross_max.min(net_max))
            || is_below(self.sum.gross, gross_max)
                && is_below(self.sum.long, net_max)
                && is_below(self.sum.short, net_max)
    }

    /// What everything would be worth with this lot open.
    pub(super) fn worth_with(&self, lot: &Lot) -> Worth {
        let mut row = *self.row(lot.instrument);
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
        let less = u64::from(less.0);
        let found = self.row(instrument).held.open(side);
        let left = found.saturating_sub(less);
        self.change(instrument, |row| *row.open_mut(side) = left);
        if found < less { Err(found) } else { Ok(()) }
    }

    /// The position moves by this many shares.
    #[inline]
    pub(super) fn on_moved(&mut self, instrument: Instrument, shares: i64) {
        self.change(instrument, |row| row.held.position += shares);
    }

    #[inline]
    #[expect(
        clippy::indexing_slicing,
        reason = "instruments are made below INSTRUMENTS_MAX"
    )]
    fn row(&self, instrument: Instrument) -> &Row {
        &self.rows[usize::from(instrument.0)]
    }

    #[inline]
    fn change(&mut self, instrument: Instrument, change: impl Fn(&mut Row)) {
        let mut row = *self.row(instrument);
        let before = row.worth_small();
        row.become_of(&change);
        let after = row.worth_small();
        let (Some(before), Some(after)) = (before, after) else {
            return self.change_exactly(instrument, change);
        };
        *self.row_mut(instrument) = row;
        self.sum.gross += i128::from(after.gross - before.gross);
        self.sum.long += i128::from(after.long - before.long);
        self.sum.short += i128::from(after.short - before.short);
    }

    #[cold]
    fn change_exactly(&mut self, instrument: Instrument, change: impl Fn(&mut Row)) {
        let row = self.row_mut(instrument);
        let before = row.worth();
        row.become_of(change);
        let after = row.worth();
        self.sum = self.sum.replaced(before, after);
    }

    #[inline]
    #[expect(
        clippy::indexing_slicing,
        reason = "instruments are made below INSTRUMENTS_MAX"
    )]
    fn row_mut(&mut self, instrument: Instrument) -> &mut Row {
        &mut self.rows[usize::from(instrument.0)]
    }
}

impl Row {
    /// Changes it; with nothing held or open, what was asked for it once no longer counts.
    #[inline]
    fn become_of(&mut self, change: impl Fn(&mut Self)) {
        change(self);
        if self.held.is_idle() {
            self.limit_high = Price4(0);
        }
    }

    #[inline]
    fn open(&mut self, lot: &Lot) {
        self.limit_high = self.limit_high_with(lot);
        *self.open_mut(lot.side) += u64::from(lot.qty.0);
    }

    /// A sell's own limit counts only while nobody knows what the market pays.
    #[inline]
    fn limit_high_with(&self, lot: &Lot) -> Price4 {
        if lot.side == Side::Buy || self.mark == Price4(0) {
            return self.limit_high.max(lot.limit);
        }
        self.limit_high
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Up to `bits` bits, each length as often as another.
    fn number(random: &mut fastrand::Rng, bits: u32) -> u64 {
        random.u64(..) >> random.u32(u64::BITS - bits..u64::BITS)
    }

    /// The same, up to 32 of them.
    fn word(random: &mut fastrand::Rng, bits: u32) -> u32 {
        random.u32(..) >> random.u32(u32::BITS - bits..u32::BITS)
    }

    #[test]
    fn sums_are_those_of_the_rows_also_where_a_row_outgrows_64_bits_and_comes_back() {
        let mut crossings = 0;
        for seed in 0..200 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut all = Exposures::new();
            let mut was_small = [true; 3];
            for _ in 0..1_000 {
                let instrument = Instrument(random.u16(0..3));
                let side = [Side::Buy, Side::Sell][random.usize(0..2)];
                let price = Price4(word(&mut random, 32));
                let qty = Qty(word(&mut random, 32));
                let held = all.of(instrument);
                match random.u8(0..6) {
                    0 => all.on_mark(instrument, price),
                    1 | 2 => all.on_reserved(&Lot {
                        instrument,
                        side,
                        limit: price,
                        qty,
                    }),
                    3 => {
                        let found = held.open(side);
                        let less = Qty(u32::try_from(found).unwrap_or(qty.0));
                        let expected = if found < less.0.into() {
                            Err(found)
                        } else {
                            Ok(())
                        };
                        assert_eq!(
                            all.on_freed(instrument, side, less),
                            expected,
                            "seed {seed}"
                        );
                    }
                    4 => all.on_moved(instrument, held.position.saturating_neg()),
                    _ => {
                        let shares = number(&mut random, 63).cast_signed();
                        let shares = if random.bool() { shares } else { -1 - shares };
                        if held.position.checked_add(shares).is_some() {
                            all.on_moved(instrument, shares);
                        }
                    }
                }
                let zero = Worth::default();
                let expected = all.rows.iter().take(3).map(Row::worth);
                let expected = expected.fold(zero, |sum, row| sum.replaced(zero, row));
                assert_eq!(all.worth(), expected, "seed {seed}");
                assert!(expected.gross >= expected.net(), "seed {seed}");
                let row = *all.row(instrument);
                if let Some(small) = row.worth_small() {
                    let exact = row.worth();
                    assert_eq!(i128::from(small.gross), exact.gross, "seed {seed}");
                    assert_eq!(i128::from(small.long), exact.long, "seed {seed}");
                    assert_eq!(i128::from(small.short), exact.short, "seed {seed}");
                }
                let was_small = &mut was_small[usize::from(instrument.0)];
                let is_small = row.worth_small().is_some();
                crossings += u32::from(std::mem::replace(was_small, is_small) != is_small);
            }
        }
        assert!(crossings > 10_000, "{crossings} rows changed their size");
    }

    #[test]
    fn row_is_counted_in_64_bits_up_to_its_bounds_at_any_price() {
        let most = SMALL_SHARES.cast_signed();
        for (position, open, is_small) in [
            (most - 1, 2 * SMALL_SHARES - 1, true),
            (-most, 2 * SMALL_SHARES - 1, true),
            (most, 0, false),
            (-most - 1, 0, false),
            (0, 2 * SMALL_SHARES, false),
            (i64::MAX, 0, false),
            (i64::MIN, u64::MAX, false),
        ] {
            for side in [Side::Buy, Side::Sell] {
                let mut row = Row {
                    mark: Price4(u32::MAX),
                    ..Row::default()
                };
                row.held.position = position;
                *row.open_mut(side) = open;
                assert_eq!(row.worth_small().is_some(), is_small, "{row:?}");
            }
        }
    }
}
