//! Limits that change while the gateway runs: between two orders, without a lock, in the memory of the start.
//!
//! Thread:      order core, in a turn of housekeeping
//! Invariants:  what was sent before counts against the new limits. Nothing is allocated.

use super::limits::Limits;
use super::{LimitKey, Risk};

impl Risk {
    /// The limits in force.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Puts other limits in force: those that a [`LimitKey`] names. A loss beyond a new limit kills at once; open
    /// orders and positions beyond one stay.
    pub fn set_limits(&mut self, limits: &Limits) {
        for (key, _) in LimitKey::ALL {
            key.set(&mut self.limits, key.of(limits));
        }
        self.orders.set_max(limits.orders_per_second_max.max(1));
        self.cancels.set_max(limits.cancels_per_second_max);
        self.rejects.set_max(limits.rejects_max);
        self.rejects.set_window(limits.reject_window_ns);
        self.look_at_profit();
    }
}

#[cfg(test)]
mod tests {
    use protocol::types::{Price4, Qty, Side};

    use super::super::super::instruments::Instrument;
    use super::super::{KillCause, KillSwitch, Traded};
    use super::*;

    #[test]
    fn loss_beyond_a_limit_that_is_set_now_kills_now() {
        let mut risk = Risk::new(Limits::WIDEST, KillSwitch::default());
        for (side, price) in [(Side::Buy, 1_000_000), (Side::Sell, 900_000)] {
            risk.on_traded(&Traded {
                instrument: Instrument(0),
                side,
                qty: Qty(100),
                price: Price4(price),
            });
        }
        assert_eq!(risk.profit(), -10_000_000);
        let mut limits = Limits::WIDEST;
        LimitKey::Loss.set(&mut limits, 1_000);
        risk.set_limits(&limits);
        assert_eq!((risk.kill().cause(), risk.limits()), (None, &limits));
        LimitKey::Loss.set(&mut limits, 999);
        risk.set_limits(&limits);
        assert_eq!(risk.kill().cause(), Some(KillCause::LossLimit));
    }

    #[test]
    fn what_the_configuration_alone_says_stays() {
        let configured = Limits {
            duplicate_window_ns: 5,
            ..Limits::WIDEST
        };
        let mut risk = Risk::new(configured, KillSwitch::default());
        risk.set_limits(&Limits::WIDEST);
        assert_eq!(risk.limits(), &configured);
    }
}
