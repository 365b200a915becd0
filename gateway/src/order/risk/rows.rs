//! Limits of parts of an account: rows by strategy and by symbol.
//!
//! ```text
//!  strategy ──> bits of the rows that are for it ──┐
//!                                                  & ──> rows that an order has to pass, all of them
//!  symbol   ──> bits of the rows that are for it ──┘
//! ```
//!
//! A row counts for itself what it limits: the orders of all strategies and symbols that it is for, together; only a
//! position is each symbol's.
//!
//! Thread:      order core, hot: a branch where there are no rows, three loads and two branches where none is for an order
//! Invariants:  a row's open orders are those of the account that it is for, also of a row that is added while it runs.
//!              Rows are never taken out: one that limits nothing any more stays in its place.
//! When full:   [`ROWS_MAX`] rows; who has more is not begun, and [`SPARE_ROWS`] may be added to those of the start.

use protocol::types::{Price4, Qty, Symbol};
use rt::clock::SECOND_NS;

use super::super::instruments::{INSTRUMENTS_MAX, Instrument};
use super::rate::Rate;
use super::refusal::Refusal;
use super::symbols::Symbols;
use crate::message::intent::Owner;

/// Rows of an account: a bit of a word each, but for one.
pub const ROWS_MAX: usize = 63;
/// Rows that may be added to those with which a run begins.
pub(super) const SPARE_ROWS: usize = 16;
/// Of a symbol's bits: it has been looked at.
const KNOWN: u64 = 1 << ROWS_MAX;
/// Strategies of a session.
const OWNERS: usize = 1 << 8;

/// Limits of a part of an account. What is `None` is the account's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowLimits {
    /// The strategy; `None`: every one, and orders that are nobody's.
    pub owner: Option<Owner>,
    /// The symbols.
    pub symbols: Symbols,
    /// Shares of one order.
    pub order_qty_max: Option<Qty>,
    /// Price times shares of one order, in 0.0001 dollars.
    pub notional_max: Option<u64>,
    /// Shares long or short in each of the symbols, everything open on that side taken as filled; only where the row is
    /// for every strategy: a position is the account's.
    pub position_max: Option<u64>,
    /// Open orders at one time, all symbols of the row together.
    pub open_orders_max: Option<u32>,
    /// New orders and replaces in any second, all symbols of the row together.
    pub orders_per_second_max: Option<u32>,
}

/// An order that is to go, or its change.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asking {
    pub(super) price: Price4,
    pub(super) qty: Qty,
    pub(super) is_new: bool,
    /// The position's size with everything open on its side filled, and itself; `None`: it adds nothing.
    pub(super) worst: Option<u64>,
    pub(super) now_ns: u64,
}

#[derive(Debug)]
struct Row {
    limits: RowLimits,
    open_orders: u32,
    orders: Rate,
}

/// All rows of an account.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// Those in use, then those that may be added.
    rows: Box<[Row]>,
    /// Rows in use. 0: there are none, and nothing else is looked at.
    used: usize,
    /// For each strategy.
    of_owner: Box<[u64]>,
    /// For orders that are nobody's.
    of_nobody: u64,
    /// For each instrument.
    of_symbol: Box<[u64]>,
    /// The row that refused last, from 1.
    refused: u8,
}

impl Rows {
    /// Nothing open yet. Each row, and each that may be added, has room for a rate up to `rate_max`, or what it has itself,
    /// here or as it is `configured`, in the same place.
    ///
    /// # Panics
    /// More than [`ROWS_MAX`].
    pub(super) fn new(rows: &[RowLimits], configured: &[RowLimits], rate_max: u32) -> Self {
        assert!(rows.len() <= ROWS_MAX, "a row is a bit of a word");
        let begin = |at: usize| {
            let both = rows.get(at).into_iter().chain(configured.get(at));
            let own = both.filter_map(|row| row.orders_per_second_max).max();
            Row {
                limits: RowLimits::default(),
                open_orders: 0,
                orders: Rate::new(own.unwrap_or(0).max(rate_max), SECOND_NS),
            }
        };
        let mut made = Self {
            rows: (0..RowLimits::room(rows.len())).map(begin).collect(),
            used: 0,
            of_owner: vec![0; OWNERS].into_boxed_slice(),
            of_nobody: 0,
            of_symbol: vec![0; INSTRUMENTS_MAX].into_boxed_slice(),
            refused: 0,
        };
        for (at, row) in rows.iter().enumerate() {
            made.set(at, row);
        }
        made
    }

    /// A row has these limits from now on; `true`: it was not there, so that nobody knows its symbols and open orders
    /// ([`Rows::forget`], [`Rows::know`], [`Rows::on_opened`]). Nothing is allocated.
    pub(super) fn set(&mut self, at: usize, limits: &RowLimits) -> bool {
        let Some(row) = self.rows.get_mut(at) else {
            return false;
        };
        row.limits = *limits;
        row.orders
            .set_max(limits.orders_per_second_max.unwrap_or(0));
        let is_new = at >= self.used;
        if is_new {
            self.used = at + 1;
            for (owner, rows) in self.of_owner.iter_mut().enumerate() {
                let is_for = (limits.owner).is_none_or(|Owner(own)| usize::from(own) == owner);
                *rows |= u64::from(is_for) << at;
            }
            self.of_nobody |= u64::from(limits.owner.is_none()) << at;
        }
        is_new
    }

    /// A row's limits; `None`: it is not in use.
    pub(super) fn limits(&self, at: usize) -> Option<&RowLimits> {
        let used = self.rows.get(..self.used)?;
        used.get(at).map(|row| &row.limits)
    }

    /// Nobody knows which rows are for an instrument, and what is open in them.
    pub(super) fn forget(&mut self) {
        self.of_symbol.fill(0);
        self.rows.iter_mut().for_each(|row| row.open_orders = 0);
    }

    /// Whether there are none.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Whether it is known which rows are for an instrument.
    #[inline]
    pub(super) fn is_known(&self, Instrument(at): Instrument) -> bool {
        self.of_symbol
            .get(usize::from(at))
            .is_some_and(|it| *it != 0)
    }

    /// An instrument is this symbol: before the first order in it is judged, or found.
    #[cold]
    pub(super) fn know(&mut self, Instrument(at): Instrument, symbol: Symbol) {
        if let Some(known) = self.of_symbol.get_mut(usize::from(at)) {
            let rows = self.rows.iter().take(self.used).map(|row| &row.limits);
            *known = KNOWN | bits(rows, |row| row.symbols.has(symbol));
        }
    }

    /// Whether an order passes these rows.
    ///
    /// # Errors
    /// The first that it does not, by what it has too much of.
    pub(super) fn check(&mut self, rows: u64, asking: &Asking) -> Result<(), Refusal> {
        let mut left = rows;
        while left != 0 {
            let at = left.trailing_zeros();
            left &= left - 1;
            let row = self.rows.get(at as usize);
            if let Some(refusal) = row.and_then(|row| row.refusal(asking)) {
                self.refused = u8::try_from(at + 1).unwrap_or(u8::MAX);
                return Err(refusal);
            }
        }
        Ok(())
    }

    /// An order that these rows are for goes.
    pub(super) fn note(&mut self, rows: u64, now_ns: u64) {
        self.each(rows, |row| row.orders.note(now_ns));
    }

    /// One more order is open.
    #[inline]
    pub(super) fn on_opened(&mut self, owner: Option<Owner>, instrument: Instrument) {
        if !self.is_empty() {
            self.each(self.of(owner, instrument), |row| row.open_orders += 1);
        }
    }

    /// One order is over; `false`: a row that is for it had none open.
    #[inline]
    #[must_use]
    pub(super) fn on_closed(&mut self, owner: Option<Owner>, instrument: Instrument) -> bool {
        let mut was_open = true;
        if !self.is_empty() {
            self.each(self.of(owner, instrument), |row| {
                was_open &= row.open_orders > 0;
                row.open_orders = row.open_orders.saturating_sub(1);
            });
        }
        was_open
    }

    /// The row that has refused, counted from 1, and forgets it; 0: none did.
    pub(super) fn take_refused(&mut self) -> u8 {
        std::mem::take(&mut self.refused)
    }

    /// The rows that are for an order, a bit each.
    #[inline]
    pub(super) fn of(&self, owner: Option<Owner>, Instrument(at): Instrument) -> u64 {
        let of_symbol = self.of_symbol.get(usize::from(at)).copied().unwrap_or(0);
        let of_owner = match owner {
            Some(Owner(owner)) => self.of_owner.get(usize::from(owner)).copied(),
            None => Some(self.of_nobody),
        };
        of_symbol & of_owner.unwrap_or(0) & !KNOWN
    }

    fn each(&mut self, rows: u64, mut change: impl FnMut(&mut Row)) {
        let mut left = rows;
        while left != 0 {
            let row = self.rows.get_mut(left.trailing_zeros() as usize);
            left &= left - 1;
            if let Some(row) = row {
                change(row);
            }
        }
    }
}

impl Row {
    fn refusal(&self, asking: &Asking) -> Option<Refusal> {
        let limits = &self.limits;
        let notional = u64::from(asking.price.0) * u64::from(asking.qty.0);
        if limits.order_qty_max.is_some_and(|max| asking.qty > max) {
            Some(Refusal::OrderQty)
        } else if limits.notional_max.is_some_and(|max| notional > max) {
            Some(Refusal::Notional)
        } else if (limits.position_max.zip(asking.worst)).is_some_and(|(max, worst)| worst > max) {
            Some(Refusal::Position)
        } else if asking.is_new
            && (limits.open_orders_max).is_some_and(|max| self.open_orders >= max)
        {
            Some(Refusal::OpenOrders)
        } else if self.orders.is_full(asking.now_ns) {
            Some(Refusal::OrderRate)
        } else {
            None
        }
    }
}

/// A bit for each row that is meant.
fn bits<'a>(
    rows: impl IntoIterator<Item = &'a RowLimits>,
    mut is_meant: impl FnMut(&RowLimits) -> bool,
) -> u64 {
    let rows = rows.into_iter().enumerate();
    let meant = rows.filter(|(_, row)| is_meant(row));
    meant.fold(0, |bits, (at, _)| bits | 1 << at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbol(name: &str) -> Symbol {
        Symbol::new(name).unwrap()
    }

    /// As many rows as there may be, of which an order passes those for it: compared with a walk over all.
    #[test]
    fn rows_for_an_order_are_those_that_a_walk_over_all_finds() {
        let names = ["A", "AB", "ABC", "B", "BA"];
        for seed in 0..200 {
            let mut random = fastrand::Rng::with_seed(seed);
            let patterns = ["*", "A*", "AB*", "AB", "B", "C*"];
            let mut limits: Vec<RowLimits> = Vec::new();
            for _ in 0..random.usize(1..=ROWS_MAX) {
                limits.push(RowLimits {
                    owner: random.bool().then(|| Owner(random.u8(0..3))),
                    symbols: Symbols::parse(patterns[random.usize(0..6)]).unwrap(),
                    open_orders_max: Some(random.u32(1..9)),
                    order_qty_max: Some(Qty(random.u32(50..150))),
                    ..RowLimits::default()
                });
            }
            let mut rows = Rows::new(&limits, &limits, 10);
            let mut open: Vec<(Option<Owner>, u16)> = Vec::new();
            for _ in 0..200 {
                let at = random.u16(0..5);
                rows.know(Instrument(at), symbol(names[usize::from(at)]));
                let (owner, qty) = (Owner(random.u8(0..4)), Qty(random.u32(1..160)));
                let asking = Asking {
                    price: Price4(1),
                    qty,
                    is_new: true,
                    worst: None,
                    now_ns: 1,
                };
                let is_for = |row: &RowLimits, owner: Option<Owner>, at: u16| {
                    (row.owner.is_none() || row.owner == owner)
                        && row.symbols.has(symbol(names[usize::from(at)]))
                };
                let first = limits.iter().zip(1..).find_map(|(row, number)| {
                    let count = open.iter().filter(|(o, a)| is_for(row, *o, *a)).count();
                    let is_over = qty > row.order_qty_max.unwrap()
                        || count >= row.open_orders_max.unwrap() as usize;
                    (is_for(row, Some(owner), at) && is_over).then_some(number)
                });
                let meant = rows.of(Some(owner), Instrument(at));
                let refused = rows
                    .check(meant, &asking)
                    .err()
                    .map(|_| rows.take_refused());
                assert_eq!(refused, first, "seed {seed}");
                let owner = random.bool().then_some(owner);
                if first.is_none() || random.u8(0..20) == 0 {
                    rows.on_opened(owner, Instrument(at));
                    open.push((owner, at));
                } else if !open.is_empty() {
                    let (owner, at) = open.swap_remove(random.usize(0..open.len()));
                    assert!(rows.on_closed(owner, Instrument(at)), "seed {seed}");
                }
            }
        }
    }

    #[test]
    fn row_that_began_tighter_than_its_configuration_has_room_to_come_back_to_it() {
        let rate = |orders_per_second_max| RowLimits {
            orders_per_second_max: Some(orders_per_second_max),
            ..RowLimits::default()
        };
        let mut rows = Rows::new(&[rate(2)], &[rate(5)], 1);
        rows.know(Instrument(0), symbol("A"));
        let asking = Asking {
            price: Price4(1),
            qty: Qty(1),
            is_new: true,
            worst: None,
            now_ns: 1,
        };
        let goes = |rows: &mut Rows| {
            let meant = rows.of(None, Instrument(0));
            let count = (0..10).take_while(|_| {
                let goes = rows.check(meant, &asking).is_ok();
                if goes {
                    rows.note(meant, asking.now_ns);
                }
                goes
            });
            count.count()
        };
        assert_eq!(goes(&mut rows), 2);
        assert!(!rows.set(0, &rate(5)));
        // What went before counts.
        assert_eq!(goes(&mut rows), 3);
    }
}
