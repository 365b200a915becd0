//! The limits of a row, one by one, under the names that the account's have.
//!
//! Invariants:  what [`RowLimits::check`] lets through needs no memory that the start has not set aside.
//! Not here:    whether a strategy and a symbol are there at all; whoever names them looks.

use protocol::types::Qty;

use super::key::{DOLLAR, LimitKey};
use super::limits::Limits;
use super::rate::ROOM_MIN;
use super::rows::{ROWS_MAX, RowLimits, SPARE_ROWS};

impl RowLimits {
    /// What a row can limit, as the journal has it one after the other.
    pub const KEYS: [LimitKey; 5] = [
        LimitKey::OrderQty,
        LimitKey::Notional,
        LimitKey::Position,
        LimitKey::OpenOrders,
        LimitKey::OrdersPerSecond,
    ];

    /// How many rows there may be where a run began with this many.
    #[must_use]
    pub fn room(rows: usize) -> usize {
        (rows + SPARE_ROWS).min(ROWS_MAX)
    }

    /// A row for the same that limits nothing.
    #[must_use]
    pub fn bare(&self) -> Self {
        Self {
            owner: self.owner,
            symbols: self.symbols,
            ..Self::default()
        }
    }

    /// Whether both are for the same strategy and symbols.
    #[must_use]
    pub fn is_for_same(&self, other: &Self) -> bool {
        self.owner == other.owner && self.symbols == other.symbols
    }

    /// Whether it limits anything.
    #[must_use]
    pub fn has_limits(&self) -> bool {
        *self != self.bare()
    }

    /// A limit's value, in the configuration's units; `None`: it is the account's.
    #[must_use]
    pub fn of(&self, key: LimitKey) -> Option<u64> {
        match key {
            LimitKey::OrderQty => self.order_qty_max.map(|it| u64::from(it.0)),
            LimitKey::Notional => self.notional_max.map(|it| it / DOLLAR),
            LimitKey::Position => self.position_max,
            LimitKey::OpenOrders => self.open_orders_max.map(u64::from),
            LimitKey::OrdersPerSecond => self.orders_per_second_max.map(u64::from),
            _ => None,
        }
    }

    /// Gives a limit another value.
    pub fn set(&mut self, key: LimitKey, value: Option<u64>) {
        let word = value.map(|it| u32::try_from(it).unwrap_or(u32::MAX));
        match key {
            LimitKey::OrderQty => self.order_qty_max = word.map(Qty),
            LimitKey::Notional => self.notional_max = value.map(|it| it.saturating_mul(DOLLAR)),
            LimitKey::Position => self.position_max = value,
            LimitKey::OpenOrders => self.open_orders_max = word,
            LimitKey::OrdersPerSecond => self.orders_per_second_max = word,
            _ => {}
        }
    }

    /// Whether a row may have this value of a limit, where its account was started with these limits, and it is
    /// `configured` so, if it is.
    ///
    /// # Errors
    /// What was expected.
    pub fn check(
        &self,
        key: LimitKey,
        value: u64,
        account: &Limits,
        configured: Option<&Self>,
    ) -> Result<(), String> {
        let name = key.name();
        if !Self::KEYS.contains(&key) {
            let names = Self::KEYS.map(LimitKey::name).join(", ");
            return Err(format!(
                "{name}: no limit of a row, expected one of {names}"
            ));
        }
        if key == LimitKey::Position && self.owner.is_some() {
            return Err(format!(
                "{name}: a position is the account's: expected a row for every strategy"
            ));
        }
        let max = match key {
            LimitKey::OrdersPerSecond => {
                let own = configured.and_then(|row| row.of(key));
                u64::from(rate_room(account)).max(own.unwrap_or(0))
            }
            _ => key.of(account),
        };
        if (1..=max).contains(&value) {
            return Ok(());
        }
        Err(format!(
            "{name}: {value}: expected 1 to {max}, as the account's, or none"
        ))
    }
}

/// The highest rate that a row may have, where its account was started with these limits: the account's, as far as a
/// row keeps times.
pub(super) fn rate_room(account: &Limits) -> u32 {
    account.orders_per_second_max.clamp(1, ROOM_MIN)
}

/// Whether one value of a row's limit lets more through than another; `None`: anything that the account's does.
#[must_use]
pub fn is_row_looser(value: Option<u64>, than: Option<u64>) -> bool {
    value.unwrap_or(u64::MAX) > than.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::Symbols;
    use super::*;
    use crate::message::intent::Owner;

    #[test]
    fn each_limit_of_a_row_is_its_own_and_is_taken_away_again() {
        let row = RowLimits {
            owner: Some(Owner(3)),
            symbols: Symbols::parse("ZV*").unwrap(),
            ..RowLimits::default()
        };
        for key in RowLimits::KEYS {
            let mut with = row;
            with.set(key, Some(7));
            assert!(with.has_limits() && with.is_for_same(&row), "{key:?}");
            for other in RowLimits::KEYS {
                assert_eq!(with.of(other), (other == key).then_some(7), "{key:?}");
            }
            with.set(key, None);
            assert_eq!(with, row, "{key:?}");
        }
    }

    #[test]
    fn row_is_no_wider_than_the_account_and_its_position_is_of_every_strategy() {
        let account = Limits {
            order_qty_max: Qty(100),
            orders_per_second_max: 1_000_000,
            ..Limits::WIDEST
        };
        let (all, one) = (
            RowLimits::default(),
            RowLimits {
                owner: Some(Owner(0)),
                ..RowLimits::default()
            },
        );
        for (row, key, good, bad) in [
            (all, LimitKey::OrderQty, 100, 101),
            (all, LimitKey::OrderQty, 1, 0),
            (all, LimitKey::OrdersPerSecond, 10_000, 10_001),
        ] {
            assert_eq!(row.check(key, good, &account, None), Ok(()), "{key:?}");
            assert!(row.check(key, bad, &account, None).is_err(), "{key:?}");
        }
        assert_eq!(all.check(LimitKey::Position, 5, &account, None), Ok(()));
        let refused = one
            .check(LimitKey::Position, 5, &account, None)
            .unwrap_err();
        assert!(refused.contains("a position is the account's"), "{refused}");
        let refused = all.check(LimitKey::Collar, 5, &account, None).unwrap_err();
        assert!(refused.contains("no limit of a row"), "{refused}");
    }

    #[test]
    fn row_may_have_the_rate_of_its_configuration_again() {
        let account = Limits {
            orders_per_second_max: 1_000_000,
            ..Limits::WIDEST
        };
        let mut configured = RowLimits::default();
        configured.set(LimitKey::OrdersPerSecond, Some(20_000));
        let check = |value| {
            let row = RowLimits::default();
            row.check(
                LimitKey::OrdersPerSecond,
                value,
                &account,
                Some(&configured),
            )
        };
        assert_eq!(check(20_000), Ok(()));
        assert!(check(20_001).unwrap_err().contains("expected 1 to 20000"));
    }

    #[test]
    fn no_limit_is_looser_than_any() {
        assert!(is_row_looser(None, Some(5)) && is_row_looser(Some(6), Some(5)));
        assert!(!is_row_looser(Some(5), None) && !is_row_looser(None, None));
    }
}
