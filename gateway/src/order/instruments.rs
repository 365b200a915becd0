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
    /// For each feed: index plus one for each locate code, 0: not looked up yet.
    of_locate: Box<[Box<[u16]>]>,
}

impl Instruments {
    /// No symbol yet; locate codes of `feeds` feeds.
    #[must_use]
    pub fn new(feeds: usize) -> Self {
        let unknown = || vec![0; 1 << 16].into_boxed_slice();
        Self {
            symbols: Vec::with_capacity(INSTRUMENTS_MAX),
            of_locate: (0..feeds).map(|_| unknown()).collect(),
        }
    }

    /// The instrument that a feed's locate code stands for now, if the feed's directory has named it.
    /// `names` is that feed's table: what was looked up before counts only while it still says so.
    #[inline]
    pub fn of_locate(&mut self, feed: u16, locate: u16, names: &BestPrices) -> Option<Instrument> {
        let symbol = names.symbol(locate)?;
        let known = self.of_locate.get(usize::from(feed))?;
        let known = *known.get(usize::from(locate))?;
        if let Some(index) = known.checked_sub(1)
            && self.symbol(Instrument(index)) == symbol
        {
            return Some(Instrument(index));
        }
        self.look_up(feed, locate, symbol)
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
    fn look_up(&mut self, feed: u16, locate: u16, symbol: Symbol) -> Option<Instrument> {
        let instrument = self.of_symbol(symbol)?;
        let known = self.of_locate.get_mut(usize::from(feed))?;
        *known.get_mut(usize::from(locate))? = instrument.0 + 1;
        Some(instrument)
    }
}

#[cfg(test)]
mod tests {
    use feed_handler::position::Position;
    use rt::mem::Want;

    use super::*;

    fn symbol(name: &str) -> Symbol {
        Symbol::new(name).unwrap()
    }

    #[test]
    fn one_locate_code_of_two_feeds_is_two_instruments() {
        let feeds = [(); 2].map(|()| BestPrices::new(Want::LAZY).unwrap());
        feeds[0].store_symbol(1, symbol("ALC"), Position::default());
        feeds[1].store_symbol(1, symbol("BOB"), Position::default());
        let mut instruments = Instruments::new(2);
        for _ in 0..2 {
            let found = [0, 1].map(|feed| {
                let found = instruments.of_locate(feed, 1, &feeds[usize::from(feed)]);
                instruments.symbol(found.unwrap())
            });
            assert_eq!(found, [symbol("ALC"), symbol("BOB")]);
        }
    }

    #[test]
    fn locate_code_that_means_another_symbol_the_next_day_is_looked_up_again() {
        let names = BestPrices::new(Want::LAZY).unwrap();
        let mut instruments = Instruments::new(1);
        assert_eq!(instruments.of_locate(0, 1, &names), None);
        for name in ["ALC", "BOB"] {
            names.store_symbol(1, symbol(name), Position::default());
            let found = instruments.of_locate(0, 1, &names).unwrap();
            assert_eq!(instruments.symbol(found), symbol(name));
        }
    }
}
