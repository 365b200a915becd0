//! The day's numbers: of orders and of matches, and who took part in the last of them.

use super::order::Owner;

/// Day-unique numbers, and who took part in the last trades.
#[derive(Debug)]
pub(super) struct Numbers {
    pub(super) order: u64,
    pub(super) matched: u64,
    trades: Vec<(u64, u16, [Owner; 2])>,
}

impl Numbers {
    pub(super) fn new(trades_max: usize) -> Self {
        let trades = vec![(0, 0, [Owner::default(); 2]); trades_max];
        Self {
            order: 0,
            matched: 0,
            trades,
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

    pub(super) fn next_match(&mut self, locate: u16, owners: [Owner; 2]) -> u64 {
        self.matched += 1;
        let count = self.trades.len() as u64;
        let at = usize::try_from(self.matched % count.max(1)).unwrap_or(0);
        if let Some(place) = self.trades.get_mut(at) {
            *place = (self.matched, locate, owners);
        }
        self.matched
    }

    pub(super) fn trade(&self, match_number: u64) -> Option<(u16, [Owner; 2])> {
        let at = match_number.checked_rem(self.trades.len() as u64)?;
        let (number, locate, owners) = *self.trades.get(usize::try_from(at).ok()?)?;
        (number == match_number && number != 0).then_some((locate, owners))
    }
}
