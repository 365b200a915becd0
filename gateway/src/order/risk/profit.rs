//! What the day has brought: what trades paid, and what is held at its marks.
//!
//! Thread:      order core, hot
//! Invariants:  `held` is the sum of each position times its mark. What is held from the day before is worth its
//!              first mark of the day: the day begins with nothing lost.

use protocol::types::Price4;

/// The account's profit, in 0.0001 dollars. Fees are not in it.
#[derive(Debug, Default)]
pub(super) struct Profit {
    /// What sells brought less what buys cost.
    cash: i128,
    held: i128,
}

impl Profit {
    /// Profit of the day; a loss below zero.
    #[inline]
    pub(super) fn total(&self) -> i128 {
        self.cash + self.held
    }

    /// The position moved by this many shares at this price, and has this mark.
    #[inline]
    pub(super) fn on_traded(&mut self, shares: i64, price: Price4, mark: Price4) {
        self.cash -= i128::from(shares) * i128::from(price.0);
        self.held += i128::from(shares) * i128::from(mark.0);
    }

    /// A position has another mark; 0 before: its first.
    #[inline]
    pub(super) fn on_mark(&mut self, position: i64, before: Price4, mark: Price4) {
        let position = i128::from(position);
        self.held += position * i128::from(i64::from(mark.0) - i64::from(before.0));
        if before.0 == 0 {
            self.cash -= position * i128::from(mark.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profit_is_realised_and_marked_and_what_was_held_before_the_day_brings_nothing_at_first() {
        let mut profit = Profit::default();
        // 100 shares of yesterday.
        profit.on_mark(100, Price4(0), Price4(1000));
        assert_eq!(profit.total(), 0);
        profit.on_mark(100, Price4(1000), Price4(990));
        assert_eq!(profit.total(), -1000);
        profit.on_traded(-100, Price4(995), Price4(990));
        assert_eq!(profit.total(), -500);
        profit.on_traded(-100, Price4(990), Price4(990));
        profit.on_mark(-100, Price4(990), Price4(980));
        assert_eq!(profit.total(), 500);
    }
}
