//! Numbers for symbols, where a venue has none: the first symbol heard in a session is 1, the next 2.
//!
//! Everything behind the decoder knows a symbol by 16 bits, as ITCH's locate codes are.
//!
//! Thread:      feed core, hot
//! Invariants:  a symbol has one number for the session, and a number one symbol; 0 is no symbol's.
//! When full:   a symbol that finds all 65,535 numbers taken has none; the caller counts it.

use protocol::types::Symbol;

/// Slots: twice as many as numbers, so that a search is short.
const SLOTS: usize = 1 << 17;
const SLOTS_LOG2: u32 = SLOTS.trailing_zeros();
/// An odd number with bits everywhere (2^64 over the golden ratio): its products' high bits are a hash.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// A symbol's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Numbered {
    pub(super) locate: u16,
    /// It was given just now.
    pub(super) is_new: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    name: u64,
    /// 0: the slot is free.
    locate: u16,
}

/// Symbols by name.
#[derive(Debug)]
pub(super) struct Symbols {
    slots: Box<[Slot]>,
    given: u16,
}

impl Default for Symbols {
    fn default() -> Self {
        Self {
            slots: vec![Slot::default(); SLOTS].into_boxed_slice(),
            given: 0,
        }
    }
}

impl Symbols {
    /// The symbol's number; `None`: it has none, and all are taken.
    #[inline]
    pub(super) fn number(&mut self, symbol: Symbol) -> Option<Numbered> {
        let name = u64::from_ne_bytes(symbol.0);
        let mut at = name.wrapping_mul(SPREAD) >> (u64::BITS - SLOTS_LOG2);
        // Half of the slots are free, so it ends.
        loop {
            let slot = self.slots.get_mut(usize::try_from(at).ok()?)?;
            if slot.locate == 0 {
                self.given = self.given.checked_add(1)?;
                let locate = self.given;
                *slot = Slot { name, locate };
                return Some(Numbered {
                    locate,
                    is_new: true,
                });
            }
            if slot.name == name {
                return Some(Numbered {
                    locate: slot.locate,
                    is_new: false,
                });
            }
            at = (at + 1) % SLOTS as u64;
        }
    }

    /// A new session: no symbol has a number.
    #[cold]
    pub(super) fn clear(&mut self) {
        self.slots.fill(Slot::default());
        self.given = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbol(n: u32) -> Symbol {
        Symbol::new(&format!("S{n}")).unwrap()
    }

    #[test]
    fn every_symbol_keeps_its_number_and_the_one_too_many_has_none() {
        let mut symbols = Symbols::default();
        for n in 1..=u16::MAX {
            let first = symbols.number(symbol(u32::from(n))).unwrap();
            assert_eq!((first.locate, first.is_new), (n, true));
        }
        for n in 1..=u16::MAX {
            let again = symbols.number(symbol(u32::from(n))).unwrap();
            assert_eq!((again.locate, again.is_new), (n, false));
        }
        assert_eq!(symbols.number(symbol(70_000)), None);
        symbols.clear();
        let first = symbols.number(symbol(70_000)).unwrap();
        assert_eq!((first.locate, first.is_new), (1, true));
    }
}
