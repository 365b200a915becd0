//! The table of current best prices that the feed stage keeps for everybody else.
//!
//! A strategy that lagged finds the present here, and risk finds the price to hold an order against.
//!
//! Thread:      written by one feed core; read by any
//! Invariants:  a row is read whole or not at all ([`Versioned`]). A row says which message changed it last, and
//!              stands before the event of that message does.
//! When wrong:  a reader gives up after [`rt::versioned::LOOKS_MAX`] looks (the writer was stopped in between).

use std::io;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crossbeam_utils::CachePadded;
use protocol::types::{Price4, Qty, Symbol};
use rt::mem::{Pages, Want, prefetch};
use rt::versioned::Versioned;
use zerocopy::FromZeros;

use crate::depth::Depths;
use crate::position::Position;
use crate::statuses::Statuses;

/// One symbol: half a cache line. Bid, then ask, price in the high half and shares in the low; and the
/// position of the message that changed them last.
#[derive(Debug, FromZeros)]
#[repr(C, align(32))]
struct Line {
    words: Versioned<3>,
}

const _: () = assert!(size_of::<Line>() == 32);

/// A row, and since when it is so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// Best prices.
    pub best: BestPrice,
    /// The message that changed them last, or named the symbol.
    pub changed: Position,
}

/// Best prices of one symbol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BestPrice {
    /// Four decimals; 0: none.
    pub bid_price: Price4,
    /// Its shares.
    pub bid_qty: Qty,
    /// Four decimals; 0: none.
    pub ask_price: Price4,
    /// Its shares.
    pub ask_qty: Qty,
}

/// The table, one row for each locate code.
#[derive(Debug)]
pub struct BestPrices {
    rows: Pages<Line>,
    symbols: Pages<AtomicU64>,
    /// Prices of the last trades; 0: none today.
    last_trades: Pages<AtomicU32>,
    statuses: Statuses,
    /// `None`: no strategy looks behind the best price.
    depths: Option<Depths>,
    /// A bit for each symbol whose book misses an order.
    incomplete: Box<[AtomicU64; 1024]>,
    /// 0: the feed is whole. Otherwise something is missing or silent, and every row may be stale.
    stale: AtomicU64,
    /// The rows after the last that was ever written are empty. On a line of its own: the writer looks at it
    /// with each change.
    rows_used: CachePadded<AtomicU64>,
}

impl BestPrices {
    /// Maps the table: 2.75 MiB, and 6 MiB for statuses.
    ///
    /// # Errors
    /// The host has not that much memory.
    pub fn new(want: Want) -> io::Result<Self> {
        Ok(Self {
            rows: Pages::zeroed(1 << 16, want)?,
            symbols: Pages::zeroed(1 << 16, want)?,
            last_trades: Pages::zeroed(1 << 16, want)?,
            statuses: Statuses::new(want)?,
            depths: None,
            incomplete: Box::new([const { AtomicU64::new(0) }; 1024]),
            stale: AtomicU64::new(0),
            rows_used: CachePadded::new(AtomicU64::new(0)),
        })
    }

    /// With the best `levels` of each side beside it.
    ///
    /// # Errors
    /// The host has not that much memory.
    pub fn with_depth(mut self, levels: usize, want: Want) -> io::Result<Self> {
        self.depths = Some(Depths::new(levels, want)?);
        Ok(self)
    }

    /// Forgets prices, symbols, statuses and what was incomplete: a new day begins at this position. Readers see each
    /// row as it was or empty.
    pub fn clear(&self, begin: Position) {
        self.statuses.clear();
        if let Some(depths) = &self.depths {
            depths.clear(begin, usize::try_from(self.rows_used()).unwrap_or(0));
        }
        for (locate, row) in (0..=u16::MAX).zip(self.rows.iter()) {
            if row.words.own() != [0; 3] {
                self.store(locate, &BestPrice::default(), begin);
            }
        }
        for symbol in self.symbols.iter() {
            if symbol.load(Ordering::Relaxed) != 0 {
                symbol.store(0, Ordering::Release);
            }
        }
        for last in self.last_trades.iter() {
            if last.load(Ordering::Relaxed) != 0 {
                last.store(0, Ordering::Release);
            }
        }
        for word in self.incomplete.iter() {
            word.store(0, Ordering::Release);
        }
    }

    /// Brings near what the table has of a symbol's prices, and waits for nothing.
    #[inline]
    pub fn prefetch(&self, locate: u16) {
        let at = usize::from(locate);
        prefetch(self.rows.as_ptr().wrapping_add(at));
        prefetch(self.symbols.as_ptr().wrapping_add(at));
        prefetch(self.last_trades.as_ptr().wrapping_add(at));
        prefetch(self.incomplete.as_ptr().wrapping_add(at / 64));
    }

    /// Writes a symbol's prices, and which message changed them. Only the owning feed stage may.
    #[inline]
    pub fn store(&self, locate: u16, price: &BestPrice, changed: Position) {
        let Some(row) = self.rows.get(usize::from(locate)) else {
            return;
        };
        row.words.store([
            pack(price.bid_price, price.bid_qty),
            pack(price.ask_price, price.ask_qty),
            changed.word(),
        ]);
        if u64::from(locate) >= self.rows_used.load(Ordering::Relaxed) {
            self.rows_used
                .store(u64::from(locate) + 1, Ordering::Release);
        }
    }

    /// Says what a symbol traded at last. Only the owning feed stage may.
    #[inline]
    pub fn store_last_trade(&self, locate: u16, price: Price4) {
        if let Some(last) = self.last_trades.get(usize::from(locate)) {
            last.store(price.0, Ordering::Release);
        }
    }

    /// What a symbol traded at last today; 0: it did not. A trade that is broken later stays.
    #[inline]
    #[must_use]
    pub fn last_trade(&self, locate: u16) -> Price4 {
        let last = self.last_trades.get(usize::from(locate));
        Price4(last.map_or(0, |last| last.load(Ordering::Acquire)))
    }

    /// A symbol's prices; `None` when its row kept moving.
    #[inline]
    #[must_use]
    pub fn load(&self, locate: u16) -> Option<BestPrice> {
        self.load_row(locate).map(|row| row.best)
    }

    /// A symbol's prices and since when they are so; `None` when its row kept moving.
    #[inline]
    #[must_use]
    pub fn load_row(&self, locate: u16) -> Option<Row> {
        let row = self.rows.get(usize::from(locate))?;
        let [bid, ask, changed] = row.words.load()?;
        Some(Row {
            best: BestPrice::of_words(bid, ask),
            changed: Position::of_word(changed),
        })
    }

    /// Rows from this one on were never written.
    #[must_use]
    pub fn rows_used(&self) -> u32 {
        u32::try_from(self.rows_used.load(Ordering::Acquire)).unwrap_or(1 << 16)
    }

    /// Says what a locate code stands for today, and which message says so. Prices stay.
    pub fn store_symbol(&self, locate: u16, symbol: Symbol, changed: Position) {
        if let Some(place) = self.symbols.get(usize::from(locate)) {
            place.store(u64::from_ne_bytes(symbol.0), Ordering::Release);
            self.touch(locate, changed);
        }
    }

    /// How symbols are traded.
    #[inline]
    #[must_use]
    pub fn statuses(&self) -> &Statuses {
        &self.statuses
    }

    /// What stands behind the best prices; `None`: no strategy of this feed asked for it.
    #[inline]
    #[must_use]
    pub fn depths(&self) -> Option<&Depths> {
        self.depths.as_ref()
    }

    /// A message changed what goes with a symbol, its name or its status: its row says so, so that who missed it
    /// is told of the symbol again. A row never goes back.
    #[cold]
    pub(crate) fn touch(&self, locate: u16, changed: Position) {
        if let Some(row) = self.rows.get(usize::from(locate)) {
            let [bid, ask, before] = row.words.own();
            let changed = changed.max(Position::of_word(before));
            self.store(locate, &BestPrice::of_words(bid, ask), changed);
        }
    }

    /// The locate code that stands for a symbol today. It looks through the table: for what a venue says a
    /// few times a day.
    #[must_use]
    pub fn locate_of(&self, symbol: Symbol) -> Option<u16> {
        let name = u64::from_ne_bytes(symbol.0);
        let used = usize::try_from(self.rows_used()).unwrap_or(0);
        let mut names = self.symbols.iter().take(used);
        let at = names.position(|it| it.load(Ordering::Acquire) == name)?;
        u16::try_from(at).ok()
    }

    /// What a locate code stands for today, if the directory has said.
    #[must_use]
    pub fn symbol(&self, locate: u16) -> Option<Symbol> {
        let symbol = self.symbols.get(usize::from(locate))?;
        let symbol = symbol.load(Ordering::Acquire);
        (symbol != 0).then(|| Symbol(symbol.to_ne_bytes()))
    }

    /// Marks every row stale, or whole again.
    pub fn set_stale(&self, is_stale: bool) {
        self.stale.store(u64::from(is_stale), Ordering::Release);
    }

    /// Marks one symbol's row stale until [`BestPrices::clear`] or [`BestPrices::set_complete`]: its book
    /// misses an order.
    #[cold]
    pub fn set_incomplete(&self, locate: u16) {
        if let Some(word) = self.incomplete.get(usize::from(locate / 64)) {
            word.fetch_or(1 << (locate % 64), Ordering::Release);
        }
    }

    /// One symbol's book has every order again: a snapshot has taken its place.
    #[cold]
    pub fn set_complete(&self, locate: u16) {
        if let Some(word) = self.incomplete.get(usize::from(locate / 64)) {
            word.fetch_and(!(1 << (locate % 64)), Ordering::Release);
        }
    }

    /// Whether this symbol's prices may not be the exchange's: the feed is stale, or the symbol's book
    /// misses an order.
    #[inline]
    #[must_use]
    pub fn is_stale(&self, locate: u16) -> bool {
        self.feed_is_stale() || self.is_incomplete(locate)
    }

    /// Whether this symbol's book lacks something, however the feed is.
    pub(crate) fn is_incomplete(&self, locate: u16) -> bool {
        let word = self.incomplete.get(usize::from(locate / 64));
        word.is_none_or(|word| word.load(Ordering::Acquire) >> (locate % 64) & 1 != 0)
    }

    /// Whether something of the feed is missing, or the feed is silent.
    #[inline]
    #[must_use]
    pub fn feed_is_stale(&self) -> bool {
        self.stale.load(Ordering::Acquire) != 0
    }
}

impl BestPrice {
    #[inline]
    fn of_words(bid: u64, ask: u64) -> Self {
        let ((bid_price, bid_qty), (ask_price, ask_qty)) = (unpack(bid), unpack(ask));
        Self {
            bid_price,
            bid_qty,
            ask_price,
            ask_qty,
        }
    }
}

#[inline]
fn pack(price: Price4, qty: Qty) -> u64 {
    u64::from(price.0) << 32 | u64::from(qty.0)
}

#[inline]
fn unpack(packed: u64) -> (Price4, Qty) {
    let [a, b, c, d, e, f, g, h] = packed.to_be_bytes();
    (
        Price4(u32::from_be_bytes([a, b, c, d])),
        Qty(u32::from_be_bytes([e, f, g, h])),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(n: u32) -> BestPrice {
        BestPrice {
            bid_price: Price4(n),
            bid_qty: Qty(n),
            ask_price: Price4(n),
            ask_qty: Qty(n),
        }
    }

    #[test]
    fn row_says_which_message_changed_it() {
        let table = BestPrices::new(Want::LAZY).unwrap();
        assert_eq!(
            (table.load_row(7), table.rows_used()),
            (Some(Row::default()), 0)
        );
        let changed = Position::new(1, 20);
        table.store(7, &price(3), changed);
        let best = price(3);
        assert_eq!(table.load_row(7), Some(Row { best, changed }));
        // Who names a symbol changes its row, too: a reader learns the name with it.
        let named = Position::new(1, 30);
        table.store_symbol(7, Symbol(*b"ALC     "), named);
        assert_eq!(table.load_row(7).unwrap().changed, named);
        assert_eq!((table.load(7), table.rows_used()), (Some(best), 8));
    }

    #[test]
    fn incomplete_book_makes_its_own_row_stale_and_a_new_day_none() {
        let table = BestPrices::new(Want::LAZY).unwrap();
        table.store(70, &price(1), Position::new(0, 1));
        table.store_symbol(70, Symbol(*b"ALC     "), Position::new(0, 2));
        table.set_incomplete(70);
        assert!(table.is_stale(70) && !table.is_stale(6) && !table.is_stale(71));
        assert!(!table.feed_is_stale());
        table.set_stale(true);
        assert!(table.is_stale(6) && table.feed_is_stale());
        table.clear(Position::new(1, 0));
        table.set_stale(false);
        assert!(!table.is_stale(70));
        assert_eq!((table.symbol(70), table.load(70)), (None, Some(price(0))));
    }

    #[test]
    fn last_trade_is_the_days() {
        let table = BestPrices::new(Want::LAZY).unwrap();
        table.store_last_trade(7, Price4(1_000_000));
        let last = [6, 7].map(|locate| table.last_trade(locate));
        assert_eq!(last, [Price4(0), Price4(1_000_000)]);
        table.clear(Position::new(1, 0));
        assert_eq!(table.last_trade(7), Price4(0));
    }

    #[test]
    fn symbol_is_known_after_the_directory_said_it() {
        let table = BestPrices::new(Want::LAZY).unwrap();
        assert_eq!(table.symbol(3), None);
        table.store_symbol(3, Symbol(*b"ALC     "), Position::default());
        assert_eq!(table.symbol(3), Some(Symbol(*b"ALC     ")));
    }
}
