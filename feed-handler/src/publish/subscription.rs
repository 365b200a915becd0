//! Which symbols a strategy hears, and the way on which it hears them.

use protocol::types::Symbol;

/// Which symbols a strategy hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subscription {
    /// Every message of the feed.
    All,
    /// Messages of these symbols, and those that belong to no symbol.
    Symbols(Vec<Symbol>),
}

/// The way on which a strategy hears events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The ring that all who listen on it share: an event is in memory once, and each passes over what it
    /// does not want. For who hears everything.
    Shared,
    /// A ring that holds what this strategy wants, written for it alone. For who hears little.
    Own,
}

impl Subscription {
    /// The way that suits it.
    #[must_use]
    pub fn way(&self) -> Way {
        match self {
            Self::All => Way::Shared,
            Self::Symbols(_) => Way::Own,
        }
    }

    /// Whether it names this symbol; everything names no symbol.
    pub(super) fn names(&self, symbol: Symbol) -> bool {
        match self {
            Self::All => false,
            Self::Symbols(symbols) => symbols.contains(&symbol),
        }
    }
}

/// A bit for each locate code; that of 0 stands for messages of no symbol, which everybody hears.
#[derive(Debug)]
pub(crate) struct Locates(Box<[u64; 1024]>);

impl Locates {
    pub(crate) fn new() -> Self {
        let mut locates = Self(Box::new([0; 1024]));
        locates.forget();
        locates
    }

    /// A new day: codes mean nothing until its directory has said.
    pub(crate) fn forget(&mut self) {
        self.0.fill(0);
        self.insert(0);
    }

    pub(crate) fn insert(&mut self, locate: u16) {
        if let Some(word) = self.0.get_mut(usize::from(locate / 64)) {
            *word |= 1 << (locate % 64);
        }
    }

    #[inline]
    pub(crate) fn contains(&self, locate: u16) -> bool {
        self.0
            .get(usize::from(locate / 64))
            .is_some_and(|word| word >> (locate % 64) & 1 != 0)
    }
}
