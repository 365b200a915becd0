//! The limits that an operator can change while the gateway runs, one by one, under the configuration's names.
//!
//! Values are in the configuration's units: shares, dollars, hundredths of a percent, ms; 1 for yes, 0 for no.
//!
//! Invariants:  what [`LimitKey::check`] lets through needs no memory that the start has not set aside.
//! Not here:    trading hours, lists of symbols and the time in which no order is repeated are the configuration's
//!              alone.

use protocol::ouch::QTY_MAX;
use protocol::types::Qty;

use super::limits::Limits;
use super::rate::ROOM_MIN;

/// A dollar, in the units that prices and exposures have here: 0.0001 dollars.
pub const DOLLAR: u64 = 10_000;
const MS: u64 = 1_000_000;
/// As wide as a configuration may set them: half the price, in hundredths of a percent; a minute, ms; dollars or shares.
const COLLAR_BPS_MAX: u64 = 5_000;
const MINUTE_MS: u64 = 60_000;
const MANY: u64 = 1_000_000_000_000;

/// One limit. Its number is the journal's code for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum LimitKey {
    /// [`Limits::order_qty_max`].
    OrderQty = 1,
    /// [`Limits::notional_max`].
    Notional = 2,
    /// [`Limits::collar_bps`].
    Collar = 3,
    /// [`Limits::position_max`].
    Position = 4,
    /// [`Limits::gross_exposure_max`].
    GrossExposure = 5,
    /// [`Limits::net_exposure_max`].
    NetExposure = 6,
    /// [`Limits::loss_max`].
    Loss = 7,
    /// [`Limits::open_orders_max`].
    OpenOrders = 8,
    /// [`Limits::orders_per_second_max`].
    OrdersPerSecond = 9,
    /// [`Limits::cancels_per_second_max`].
    CancelsPerSecond = 10,
    /// [`Limits::rejects_max`].
    Rejects = 11,
    /// [`Limits::reject_window_ns`].
    RejectWindow = 12,
    /// [`Limits::may_self_cross`].
    SelfCross = 13,
    /// [`Limits::intent_age_max_ns`].
    IntentAge = 14,
}

impl LimitKey {
    /// How many there are.
    pub const COUNT: usize = 14;
    /// Every one, with the configuration's name for it.
    pub const ALL: [(Self, &'static str); Self::COUNT] = [
        (Self::OrderQty, "order_qty_max"),
        (Self::Notional, "notional_max_dollars"),
        (Self::Collar, "collar_bps"),
        (Self::Position, "position_max"),
        (Self::GrossExposure, "gross_exposure_max_dollars"),
        (Self::NetExposure, "net_exposure_max_dollars"),
        (Self::Loss, "loss_max_dollars"),
        (Self::OpenOrders, "open_orders_max"),
        (Self::OrdersPerSecond, "orders_per_second_max"),
        (Self::CancelsPerSecond, "cancels_per_second_max"),
        (Self::Rejects, "rejects_max"),
        (Self::RejectWindow, "reject_window_ms"),
        (Self::SelfCross, "allow_self_cross"),
        (Self::IntentAge, "intent_age_max_ms"),
    ];

    /// The one of this code.
    #[must_use]
    pub fn of_code(code: u8) -> Option<Self> {
        let mut all = Self::ALL.into_iter().map(|(key, _)| key);
        all.find(|key| *key as u8 == code)
    }

    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|(_, word)| *word == name).map(|(key, _)| key)
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        let mut all = Self::ALL.into_iter();
        all.find(|(key, _)| *key == self)
            .map_or("", |(_, word)| word)
    }

    /// Its place in [`LimitKey::ALL`].
    #[must_use]
    pub fn place(self) -> usize {
        usize::from(self as u8 - 1)
    }

    /// Its value.
    #[must_use]
    pub fn of(self, limits: &Limits) -> u64 {
        match self {
            Self::OrderQty => u64::from(limits.order_qty_max.0),
            Self::Notional => limits.notional_max / DOLLAR,
            Self::Collar => u64::from(limits.collar_bps),
            Self::Position => limits.position_max,
            Self::GrossExposure => limits.gross_exposure_max / DOLLAR,
            Self::NetExposure => limits.net_exposure_max / DOLLAR,
            Self::Loss => limits.loss_max / DOLLAR,
            Self::OpenOrders => u64::from(limits.open_orders_max),
            Self::OrdersPerSecond => u64::from(limits.orders_per_second_max),
            Self::CancelsPerSecond => u64::from(limits.cancels_per_second_max),
            Self::Rejects => u64::from(limits.rejects_max),
            Self::RejectWindow => limits.reject_window_ns / MS,
            Self::SelfCross => u64::from(limits.may_self_cross),
            Self::IntentAge => limits.intent_age_max_ns / MS,
        }
    }

    /// Gives it another value, one that [`LimitKey::check`] lets through.
    pub fn set(self, limits: &mut Limits, value: u64) {
        let word = u32::try_from(value).unwrap_or(u32::MAX);
        match self {
            Self::OrderQty => limits.order_qty_max = Qty(word),
            Self::Notional => limits.notional_max = value.saturating_mul(DOLLAR),
            Self::Collar => limits.collar_bps = word,
            Self::Position => limits.position_max = value,
            Self::GrossExposure => limits.gross_exposure_max = value.saturating_mul(DOLLAR),
            Self::NetExposure => limits.net_exposure_max = value.saturating_mul(DOLLAR),
            Self::Loss => limits.loss_max = value.saturating_mul(DOLLAR),
            Self::OpenOrders => limits.open_orders_max = word,
            Self::OrdersPerSecond => limits.orders_per_second_max = word,
            Self::CancelsPerSecond => limits.cancels_per_second_max = word,
            Self::Rejects => limits.rejects_max = word,
            Self::RejectWindow => limits.reject_window_ns = value.saturating_mul(MS),
            Self::SelfCross => limits.may_self_cross = value != 0,
            Self::IntentAge => limits.intent_age_max_ns = value.saturating_mul(MS),
        }
    }

    /// Whether it may have this value in a gateway that was started with these limits.
    ///
    /// # Errors
    /// What was expected.
    pub fn check(self, value: u64, configured: &Limits) -> Result<(), String> {
        let (min, max) = (self.min(configured), self.max(configured));
        if (min..=max).contains(&value) {
            return Ok(());
        }
        let why = match self {
            Self::OpenOrders | Self::OrdersPerSecond | Self::CancelsPerSecond | Self::Rejects => {
                ": the memory that the start has set aside"
            }
            _ => "",
        };
        let name = self.name();
        Err(format!("{name}: {value}: expected {min} to {max}{why}"))
    }

    /// Whether one value lets more through than another.
    #[must_use]
    pub fn is_looser(self, value: u64, than: u64) -> bool {
        self.freedom(value) > self.freedom(than)
    }

    /// The value that lets less through: the configured one or another, as far as there is memory for it.
    #[must_use]
    pub fn tighter(self, value: u64, configured: &Limits) -> u64 {
        let own = self.of(configured);
        if self.is_looser(value, own) {
            return own;
        }
        value.clamp(self.min(configured), self.max(configured))
    }

    /// Grows with what it lets through.
    fn freedom(self, value: u64) -> u64 {
        match self {
            // None of them is counted.
            Self::CancelsPerSecond | Self::Rejects if value == 0 => u64::MAX,
            // The longer, the more rejects lie within.
            Self::RejectWindow => u64::MAX - value,
            _ => value,
        }
    }

    fn min(self, configured: &Limits) -> u64 {
        match self {
            Self::SelfCross => 0,
            Self::CancelsPerSecond | Self::Rejects => self.of(configured).min(1),
            _ => 1,
        }
    }

    fn max(self, configured: &Limits) -> u64 {
        let own = self.of(configured);
        match self {
            Self::OpenOrders | Self::OrdersPerSecond => own,
            Self::CancelsPerSecond | Self::Rejects if own == 0 => u64::from(ROOM_MIN),
            Self::CancelsPerSecond | Self::Rejects => own,
            Self::SelfCross => 1,
            Self::OrderQty => u64::from(QTY_MAX.0),
            Self::Collar => COLLAR_BPS_MAX,
            Self::RejectWindow | Self::IntentAge => MINUTE_MS,
            Self::Notional
            | Self::Position
            | Self::GrossExposure
            | Self::NetExposure
            | Self::Loss => MANY,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_its_own_limit_code_place_and_name() {
        for (place, (key, name)) in LimitKey::ALL.into_iter().enumerate() {
            assert_eq!((key.place(), key.name()), (place, name));
            assert_eq!(LimitKey::of_code(key as u8), Some(key));
            assert_eq!(LimitKey::named(name), Some(key));
            let mut limits = Limits::WIDEST;
            let value = if key == LimitKey::SelfCross { 0 } else { 7 };
            key.set(&mut limits, value);
            for (other, _) in LimitKey::ALL {
                let expected = if other == key {
                    value
                } else {
                    other.of(&Limits::WIDEST)
                };
                assert_eq!(other.of(&limits), expected, "{key:?} {other:?}");
            }
        }
        assert_eq!((LimitKey::of_code(0), LimitKey::of_code(15)), (None, None));
    }

    #[test]
    fn widest_limits_are_as_wide_as_they_may_be() {
        for (key, _) in LimitKey::ALL {
            let widest = key.of(&Limits::WIDEST);
            assert_eq!(key.check(widest, &Limits::WIDEST), Ok(()), "{key:?}");
            let has_none = [
                LimitKey::RejectWindow,
                LimitKey::CancelsPerSecond,
                LimitKey::Rejects,
            ];
            if !has_none.contains(&key) {
                assert!(key.check(widest + 1, &Limits::WIDEST).is_err(), "{key:?}");
            }
        }
    }

    #[test]
    fn value_is_bounded_by_what_a_configuration_may_say_and_by_the_memory_of_the_start() {
        let configured = Limits {
            open_orders_max: 40,
            rejects_max: 100,
            ..Limits::WIDEST
        };
        for (key, good, bad) in [
            (LimitKey::OrderQty, 999_999, 1_000_000),
            (LimitKey::Position, 1_000_000_000_000, 0),
            (LimitKey::OpenOrders, 40, 41),
            (LimitKey::Rejects, 1, 0),
            (LimitKey::Rejects, 100, 101),
            (LimitKey::CancelsPerSecond, 0, u64::from(ROOM_MIN) + 1),
            (LimitKey::SelfCross, 1, 2),
            (LimitKey::RejectWindow, 60_000, 60_001),
        ] {
            assert_eq!(key.check(good, &configured), Ok(()), "{key:?}");
            assert!(key.check(bad, &configured).is_err(), "{key:?}");
        }
        let refused = LimitKey::OpenOrders.check(41, &configured).unwrap_err();
        assert_eq!(
            refused,
            "open_orders_max: 41: expected 1 to 40: the memory that the start has set aside"
        );
    }

    #[test]
    fn looser_is_what_lets_more_through() {
        for (key, tight, loose) in [
            (LimitKey::OrderQty, 5, 6),
            (LimitKey::CancelsPerSecond, 5, 6),
            (LimitKey::CancelsPerSecond, 5, 0),
            (LimitKey::Rejects, 5, 0),
            (LimitKey::RejectWindow, 2_000, 1_000),
            (LimitKey::SelfCross, 0, 1),
        ] {
            assert!(key.is_looser(loose, tight), "{key:?}");
            assert!(!key.is_looser(tight, loose), "{key:?}");
            assert!(!key.is_looser(tight, tight), "{key:?}");
            let mut configured = Limits::WIDEST;
            key.set(&mut configured, tight);
            assert_eq!(key.tighter(loose, &configured), tight, "{key:?}");
            key.set(&mut configured, loose);
            assert_eq!(key.tighter(tight, &configured), tight, "{key:?}");
        }
    }
}
