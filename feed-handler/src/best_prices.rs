//! The table of current best prices that the feed stage keeps for everybody else.
//!
//! A strategy that lagged finds the present here, and risk finds the price to hold an order against.
//!
//! Thread:      written by one feed core; read by any
//! Invariants:  a row is read whole or not at all: its version is odd while it is written and moves
//!              with each change, and a reader that saw it move looks again.
//! When wrong:  a reader gives up after `LOOKS_MAX` looks (the writer was stopped in between).

use std::io;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use protocol::types::{Price4, Qty, Symbol};
use rt::mem::{Pages, Want};
use zerocopy::FromZeros;

/// Looks at one row before giving up. A write takes a few nanoseconds, so two are common and this
/// many mean that the writing core lost its CPU.
const LOOKS_MAX: u32 = 1000;

/// One symbol: half a cache line.
#[derive(Debug, FromZeros)]
#[repr(C, align(32))]
struct Row {
    version: AtomicU64,
    symbol: AtomicU64,
    /// Price in the high half, shares in the low.
    bid: AtomicU64,
    ask: AtomicU64,
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
    rows: Pages<Row>,
    /// A bit for each symbol whose book misses an order.
    incomplete: Box<[AtomicU64; 1024]>,
    /// 0: the feed is whole. Otherwise something is missing or silent, and every row may be stale.
    stale: AtomicU64,
}

impl BestPrices {
    /// Maps the table: 2 MiB.
    ///
    /// # Errors
    /// The host has not that much memory.
    pub fn new(want: Want) -> io::Result<Self> {
        Ok(Self {
            rows: Pages::zeroed(1 << 16, want)?,
            incomplete: Box::new([const { AtomicU64::new(0) }; 1024]),
            stale: AtomicU64::new(0),
        })
    }

    /// Forgets prices, symbols and what was incomplete: a new day begins. Readers see each row as it
    /// was or empty.
    pub fn clear(&self) {
        for (locate, row) in (0..=u16::MAX).zip(self.rows.iter()) {
            let used = [&row.symbol, &row.bid, &row.ask];
            if used.iter().any(|field| field.load(Ordering::Relaxed) != 0) {
                row.symbol.store(0, Ordering::Release);
                self.store(locate, &BestPrice::default());
            }
        }
        for word in self.incomplete.iter() {
            word.store(0, Ordering::Release);
        }
    }

    /// Writes a symbol's prices. Only the owning feed stage may.
    #[inline]
    pub fn store(&self, locate: u16, price: &BestPrice) {
        let Some(row) = self.rows.get(usize::from(locate)) else {
            return;
        };
        let version = row.version.load(Ordering::Relaxed);
        row.version
            .store(version.wrapping_add(1), Ordering::Relaxed);
        // Pairs with the Acquire fence in `load`: who sees a new price sees the odd version too.
        fence(Ordering::Release);
        row.bid
            .store(pack(price.bid_price, price.bid_qty), Ordering::Relaxed);
        row.ask
            .store(pack(price.ask_price, price.ask_qty), Ordering::Relaxed);
        // Pairs with the Acquire load in `load`.
        row.version
            .store(version.wrapping_add(2), Ordering::Release);
    }

    /// A symbol's prices; `None` when its row kept moving.
    #[inline]
    #[must_use]
    pub fn load(&self, locate: u16) -> Option<BestPrice> {
        let row = self.rows.get(usize::from(locate))?;
        for _ in 0..LOOKS_MAX {
            // Pairs with the Release store at the end of `store`.
            let before = row.version.load(Ordering::Acquire);
            let (bid, ask) = (
                row.bid.load(Ordering::Relaxed),
                row.ask.load(Ordering::Relaxed),
            );
            // Pairs with the Release fence in `store`.
            fence(Ordering::Acquire);
            if before % 2 == 0 && row.version.load(Ordering::Relaxed) == before {
                let ((bid_price, bid_qty), (ask_price, ask_qty)) = (unpack(bid), unpack(ask));
                return Some(BestPrice {
                    bid_price,
                    bid_qty,
                    ask_price,
                    ask_qty,
                });
            }
            std::hint::spin_loop();
        }
        None
    }

    /// Says what a locate code stands for today.
    pub fn store_symbol(&self, locate: u16, symbol: Symbol) {
        if let Some(row) = self.rows.get(usize::from(locate)) {
            row.symbol
                .store(u64::from_ne_bytes(symbol.0), Ordering::Release);
        }
    }

    /// What a locate code stands for today, if the directory has said.
    #[must_use]
    pub fn symbol(&self, locate: u16) -> Option<Symbol> {
        let symbol = self
            .rows
            .get(usize::from(locate))?
            .symbol
            .load(Ordering::Acquire);
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
        let word = self.incomplete.get(usize::from(locate / 64));
        self.feed_is_stale()
            || word.is_none_or(|word| word.load(Ordering::Acquire) >> (locate % 64) & 1 != 0)
    }

    /// Whether something of the feed is missing, or the feed is silent.
    #[inline]
    #[must_use]
    pub fn feed_is_stale(&self) -> bool {
        self.stale.load(Ordering::Acquire) != 0
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
    use std::sync::Arc;

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
    fn row_is_never_torn() {
        const CHANGES: u32 = 300_000;
        let table = Arc::new(BestPrices::new(Want::LAZY).unwrap());
        let writer = Arc::clone(&table);
        let thread = std::thread::spawn(move || {
            for n in 1..=CHANGES {
                writer.store(7, &price(n));
            }
        });
        let mut last = 0;
        while last < CHANGES {
            let Some(read) = table.load(7) else { continue };
            assert_eq!(read, price(read.bid_qty.0));
            assert!(read.bid_qty.0 >= last);
            last = read.bid_qty.0;
        }
        thread.join().unwrap();
    }

    #[test]
    fn incomplete_book_makes_its_own_row_stale_and_a_new_day_none() {
        let table = BestPrices::new(Want::LAZY).unwrap();
        table.store(70, &price(1));
        table.store_symbol(70, Symbol(*b"ALC     "));
        table.set_incomplete(70);
        assert!(table.is_stale(70) && !table.is_stale(6) && !table.is_stale(71));
        assert!(!table.feed_is_stale());
        table.set_stale(true);
        assert!(table.is_stale(6) && table.feed_is_stale());
        table.clear();
        table.set_stale(false);
        assert!(!table.is_stale(70));
        assert_eq!((table.symbol(70), table.load(70)), (None, Some(price(0))));
    }

    #[test]
    fn symbol_is_known_after_the_directory_said_it() {
        let table = BestPrices::new(Want::LAZY).unwrap();
        assert_eq!(table.symbol(3), None);
        table.store_symbol(3, Symbol(*b"ALC     "));
        assert_eq!(table.symbol(3), Some(Symbol(*b"ALC     ")));
    }
}
