//! The symbols that strategies heard of last: what is kept near while nothing arrives.
//!
//! Thread:      feed core, hot

/// How many: 32 bytes, so that noting one touches one line.
const RECENT: usize = 16;
const _: () = assert!(RECENT.is_power_of_two());

/// Symbols of the last messages, in a ring; 0: none yet.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    symbols: [u16; RECENT],
    next: usize,
}

impl Recent {
    /// A strategy hears of this one now.
    #[inline]
    pub(crate) fn note(&mut self, locate: u16) {
        if let Some(symbol) = self.symbols.get_mut(self.next % RECENT) {
            *symbol = locate;
        }
        self.next = self.next.wrapping_add(1);
    }

    /// All of them, as often as they were heard of.
    pub(crate) fn symbols(&self) -> [u16; RECENT] {
        self.symbols
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ones_are_known_and_no_others() {
        let mut recent = Recent::default();
        for locate in 1..=20 {
            recent.note(locate);
        }
        let mut symbols = recent.symbols();
        symbols.sort_unstable();
        assert!(symbols.into_iter().eq(5..=20));
    }
}
