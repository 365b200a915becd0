//! Symbols as order entry knows them: by name, because names outlive the day's locate codes.
//!
//! Thread:      order core; `of_locate` is hot, the rest is not
//! When full:   a symbol beyond the room is not known, and its orders are refused.

use feed_handler::best_prices::BestPrices;
use protocol::types::Symbol;

/// A symbol's index in order entry's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instrument(pub u16);

/// Room for symbols: all of Nasdaq's have about 11,000.
pub const INSTRUMENTS_MAX: usize = 16_384;

/// The table.
#[derive(Debug)]
pub struct Instruments {
    symbols: Vec<Symbol>,
    /// Index plus one for each locate code, 0: not looked up yet.
    of_locate: Box<[u16]>,
}

impl Default for Instruments {
    fn default() -> Self {
        Self {
            symbols: Vec::with_capacity(INSTRUMENTS_MAX),
            of_locate: vec![0; 1 << 16].into_boxed_slice(),
        }
    }
}

impl Instruments {
    /// The instrument of a locate code, if the feed's directory has named it.
    #[inline]
    pub fn of_locate(&mut self, locate: u16, names: &BestPrices) -> Option<Instrument> {
        match self.of_locate.get(usize::from(locate)) {
            Some(0) | None => self.look_up(locate, names),
            Some(index) => Some(Instrument(index - 1)),
        }
    }

    /// The instrument of a symbol; new ones get the next index.
    pub fn of_symbol(&mut self, symbol: Symbol) -> Option<Instrument> {
        let known = self.symbols.iter().position(|known| *known == symbol);
        let index = match known {
            Some(index) => index,
            None if self.symbols.len() < INSTRUMENTS_MAX => {
                self.symbols.push(symbol);
                self.symbols.len() - 1
            }
            None => return None,
        };
        u16::try_from(index).ok().map(Instrument)
    }

    /// An instrument's symbol.
    #[inline]
    #[must_use]
    pub fn symbol(&self, instrument: Instrument) -> Symbol {
        self.symbols
            .get(usize::from(instrument.0))
            .copied()
            .unwrap_or(Symbol::BLANK)
    }

    #[cold]
    fn look_up(&mut self, locate: u16, names: &BestPrices) -> Option<Instrument> {
        let instrument = self.of_symbol(names.symbol(locate)?)?;
        if let Some(index) = self.of_locate.get_mut(usize::from(locate)) {
            *index = instrument.0 + 1;
        }
        Some(instrument)
    }
}
