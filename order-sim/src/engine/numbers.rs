//! The day's numbers: of orders and of matches, and what the last of the matches were.

use protocol::types::Side;

use super::types::Owner;

/// One match, kept so that it can be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Match {
    /// The stock.
    pub locate: u16,
    /// Shares; of a cross as a whole none, as its trades have numbers of their own.
    pub qty: u32,
    /// Price, four decimals.
    pub price: u32,
    /// The order that was there and the order that came.
    pub owners: [Owner; 2],
    /// The side of the first; the second's is the other one.
    pub side: Side,
}

/// Day-unique numbers, and the last matches.
#[derive(Debug)]
pub(super) struct Numbers {
    pub(super) order: u64,
    pub(super) matched: u64,
    /// By number modulo their count; number 0: none, or broken.
    matches: Vec<(u64, Match)>,
}

impl Numbers {
    pub(super) fn new(matches_max: usize) -> Self {
        let none = Match {
            locate: 0,
            qty: 0,
            price: 0,
            owners: [Owner::default(); 2],
            side: Side::Buy,
        };
        Self {
            order: 0,
            matched: 0,
            matches: vec![(0, none); matches_max],
        }
    }

    pub(super) fn begin_after(&mut self, order: u64, matched: u64) {
        self.order = self.order.max(order);
        self.matched = self.matched.max(matched);
    }

    pub(super) fn next_order(&mut self) -> u64 {
        self.order += 1;
        self.order
    }

    pub(super) fn next_match(&mut self, matched: Match) -> u64 {
        self.matched += 1;
        let number = self.matched;
        if let Some(place) = self.place(number) {
            *place = (number, matched);
        }
        number
    }

    /// The match of this number, once: a trade cannot be broken again.
    pub(super) fn take_match(&mut self, number: u64) -> Option<Match> {
        let place = self.place(number).filter(|(at, _)| *at == number)?;
        let none = (0, place.1);
        (number != 0).then(|| std::mem::replace(place, none).1)
    }

    fn place(&mut self, number: u64) -> Option<&mut (u64, Match)> {
        let at = number.checked_rem(self.matches.len() as u64)?;
        self.matches.get_mut(usize::try_from(at).ok()?)
    }
}
