//! Symbols as order entry knows them: by name, because names outlive the day's locate codes.
//!
//! Thread:      order core; `of_locate` is hot, the rest is not
//! When full:   a symbol beyond the room is not known, and its orders are refused.

use feed_handler::best_prices::BestPrices;
use protocol::types::Symbol;
use rt::mem::prefetch;

/// A symbol's index in order entry's tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Instrument(pub u16);

/// Room for symbols: all of Nasdaq's have about 11,000.
pub const INSTRUMENTS_MAX: usize = 16_384;

/// Where a feed tells of a symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The feed, in the order of the configuration.
    pub feed: u16,
    /// The symbol's locate code there.
    pub locate: u16,
}

/// The table.
#[derive(Debug)]
pub struct Instruments {
    symbols: Vec<Symbol>,
    /// Where each was looked up last; `None`: nobody has asked for it by a locate code.
    places: Vec<Option<Place>>,
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
            places: Vec::with_capacity(INSTRUMENTS_MAX),
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
                self.places.push(None);
                self.symbols.len() - 1
            }
            None => return None,
        };
        u16::try_from(index).ok().map(Instrument)
    }

    /// Where an instrument was looked up last.
    #[must_use]
    pub fn place(&self, instrument: Instrument) -> Option<Place> {
        *self.places.get(usize::from(instrument.0))?
    }

    /// A feed tells of an instrument here.
    pub fn set_place(&mut self, instrument: Instrument, place: Place) {
        if let Some(known) = self.places.get_mut(usize::from(instrument.0)) {
            *known = Some(place);
        }
    }

    /// Brings near what is known of an instrument, and of a locate code that stands for it.
    pub(super) fn prefetch(&self, Instrument(index): Instrument, feed: u16, locate: u16) {
        prefetch(self.symbols.as_ptr().wrapping_add(usize::from(index)));
        if let Some(known) = self.of_locate.get(usize::from(feed)) {
            prefetch(known.as_ptr().wrapping_add(usize::from(locate)));
        }
    }

    /// Instruments known so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.symbols.len()
    }

    /// Whether none is known yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.symbols.is_empty()
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
        self.set_place(instrument, Place { feed, locate });
        Some(instrument)
    }
}

/// Some of all instruments: a bit for each.
#[derive(Clone, Debug, Default)]
pub struct InstrumentSet {
    /// Empty: none is in it.
    bits: Box<[u64]>,
}

impl InstrumentSet {
    /// Puts an instrument in.
    pub fn insert(&mut self, Instrument(index): Instrument) {
        if self.bits.is_empty() {
            self.bits = vec![0; INSTRUMENTS_MAX / 64].into_boxed_slice();
        }
        if let Some(word) = self.bits.get_mut(usize::from(index / 64)) {
            *word |= 1 << (index % 64);
        }
    }

    /// Whether an instrument is in it.
    #[inline]
    #[must_use]
    pub fn has(&self, Instrument(index): Instrument) -> bool {
        let word = self.bits.get(usize::from(index / 64));
        word.is_some_and(|word| word >> (index % 64) & 1 != 0)
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
