//! The best levels of each symbol's book, for strategies that look behind the best price.
//!
//! ```text
//!  row:  position │ bid 1 │ bid 2 │ ... │ bid 10 │ ask 1 │ ... │ ask 10      a level: price and orders, shares
//! ```
//!
//! Thread:      written by one feed core; read by any
//! Invariants:  a row is read whole or not at all ([`Versioned`]), and stands before the event of the message
//!              that changed it does. Rows of symbols that nobody hears stay empty.
//! Cost:        each message that moves a book writes its symbol's row; `docs/performance.md` has the figure. A feed
//!              whose strategies ask for no depth has no such table.
//! When wrong:  as [`BestPrices`](crate::best_prices::BestPrices): whether a symbol is stale stands there.

use std::io;

use protocol::types::Price4;
use rt::mem::{Pages, Want};
use rt::versioned::Versioned;

use crate::position::Position;

/// Levels of a side that a row can hold.
pub const LEVELS_MAX: usize = 10;
/// A position, and two words for each level of both sides.
const WORDS: usize = 1 + 2 * SIDE;
const SIDE: usize = 2 * LEVELS_MAX;

/// A price, and the orders at it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Level {
    /// Four decimals; 0: no orders.
    pub price: Price4,
    /// Shares of all orders at that price.
    pub shares: u64,
    /// Number of those orders.
    pub orders: u32,
}

/// A symbol's best levels at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// The message that changed the book last.
    pub changed: Position,
    /// The best bid first. A level without orders is none, and so are those behind it.
    pub bids: [Level; LEVELS_MAX],
    /// The best ask first.
    pub asks: [Level; LEVELS_MAX],
}

/// The table, one row for each locate code.
#[derive(Debug)]
pub struct Depths {
    rows: Pages<Versioned<WORDS>>,
    levels: usize,
}

impl Depths {
    /// Maps the table: 21 MiB. `levels` of a side are kept, [`LEVELS_MAX`] at most.
    ///
    /// # Errors
    /// The host has not that much memory.
    pub fn new(levels: usize, want: Want) -> io::Result<Self> {
        Ok(Self {
            rows: Pages::zeroed(1 << 16, want)?,
            levels: levels.min(LEVELS_MAX),
        })
    }

    /// A symbol's best levels; `None` when its row kept moving.
    #[must_use]
    pub fn load(&self, locate: u16) -> Option<Depth> {
        let words = self.rows.get(usize::from(locate))?.load()?;
        Some(Depth::of_words(&words))
    }

    /// Writes what a book shows now, bids and asks from the best. Only the owning feed stage may.
    pub(crate) fn store(
        &self,
        locate: u16,
        sides: [impl Iterator<Item = Level>; 2],
        changed: Position,
    ) {
        let Some(row) = self.rows.get(usize::from(locate)) else {
            return;
        };
        let mut words = [0; WORDS];
        let [position, levels @ ..] = &mut words;
        *position = changed.word();
        let (bids, asks) = levels.split_at_mut(SIDE);
        for (levels, words) in sides.into_iter().zip([bids, asks]) {
            for (level, words) in levels.take(self.levels).zip(words.chunks_exact_mut(2)) {
                if let [head, shares] = words {
                    *head = u64::from(level.price.0) << 32 | u64::from(level.orders);
                    *shares = level.shares;
                }
            }
        }
        row.store(words);
    }

    /// Forgets every level of the first `rows` rows, those that were ever written: a new day begins at this position.
    pub(crate) fn clear(&self, begin: Position, rows: usize) {
        for row in self.rows.iter().take(rows) {
            if row.own() != [0; WORDS] {
                let mut words = [0; WORDS];
                let [position, ..] = &mut words;
                *position = begin.word();
                row.store(words);
            }
        }
    }
}

impl Depth {
    fn of_words(words: &[u64; WORDS]) -> Self {
        let [position, levels @ ..] = words;
        let (bids, asks) = levels.split_at(SIDE);
        let side = |words: &[u64]| {
            let mut side = [Level::default(); LEVELS_MAX];
            for (level, words) in side.iter_mut().zip(words.chunks_exact(2)) {
                if let [head, shares] = *words {
                    let [a, b, c, d, e, f, g, h] = head.to_be_bytes();
                    *level = Level {
                        price: Price4(u32::from_be_bytes([a, b, c, d])),
                        orders: u32::from_be_bytes([e, f, g, h]),
                        shares,
                    };
                }
            }
            side
        };
        Self {
            changed: Position::of_word(*position),
            bids: side(bids),
            asks: side(asks),
        }
    }
}
