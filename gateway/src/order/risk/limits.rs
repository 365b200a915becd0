//! What an account may risk.

use protocol::types::Qty;

/// The limits of one account. Money is in units of 0.0001 dollars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Shares of one order; OUCH allows 999,999.
    pub order_qty_max: Qty,
    /// Price times shares of one order.
    pub notional_max: u64,
    /// How far from each known price of the market (bid, ask, last trade) a limit may lie on the side where it
    /// trades, in hundredths of a percent.
    pub collar_bps: u32,
    /// Shares long or short in one symbol, everything open on that side taken as filled.
    pub position_max: u64,
    /// What all symbols together may be worth, each at its worst, longs and shorts added up.
    pub gross_exposure_max: u64,
    /// What all symbols together may be worth, longs less shorts or shorts less longs, everything open on that
    /// side taken as filled.
    pub net_exposure_max: u64,
    /// What may be lost in a day, realised and not, before the kill switch goes on.
    pub loss_max: u64,
    /// Open orders at one time.
    pub open_orders_max: u32,
    /// New orders and replaces that leave in any window of one second.
    pub orders_per_second_max: u32,
    /// Cancels that strategies ask for in any window of one second; 0: any number. The kill switch's and the
    /// operator's own do not count.
    pub cancels_per_second_max: u32,
    /// Rejects by the exchange within `reject_window_ns` that turn the kill switch on; 0: none do.
    pub rejects_max: u32,
    /// The window of `rejects_max`, ns.
    pub reject_window_ns: u64,
    /// A new order that repeats another one of its strategy within this time is refused, ns; 0: none is.
    pub duplicate_window_ns: u64,
    /// An order may meet another one of the account.
    pub may_self_cross: bool,
    /// When orders may go; `None`: at any time.
    pub hours: Option<Hours>,
    /// How old a decision to enter or replace may be when it gets here, ns.
    pub intent_age_max_ns: u64,
}

impl Limits {
    /// As wide as a configuration may set them: for tests and for what measures, so that a new limit does
    /// not concern them. What trades names every limit; tidy sees to it.
    pub const WIDEST: Self = Self {
        order_qty_max: Qty(999_999),
        notional_max: 1_000_000_000_000 * 10_000,
        collar_bps: 5_000,
        position_max: 1_000_000_000_000,
        gross_exposure_max: 1_000_000_000_000 * 10_000,
        net_exposure_max: 1_000_000_000_000 * 10_000,
        loss_max: 1_000_000_000_000 * 10_000,
        open_orders_max: 1_000_000,
        orders_per_second_max: 10_000_000,
        cancels_per_second_max: 0,
        rejects_max: 0,
        reject_window_ns: 1_000_000_000,
        duplicate_window_ns: 0,
        may_self_cross: true,
        hours: None,
        intent_age_max_ns: 60_000_000_000,
    };
}

/// A day, ns.
pub const DAY_NS: u64 = 86_400 * 1_000_000_000;

/// A part of each day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hours {
    /// What has to be added to the gateway's clock for the time since midnight, ns, below a day.
    pub clock_offset_ns: u64,
    /// First moment, ns since midnight.
    pub from_ns: u64,
    /// First moment that is too late, ns since midnight, behind `from_ns`.
    pub until_ns: u64,
}

impl Hours {
    /// Whether this moment of the gateway's clock lies within.
    #[inline]
    #[must_use]
    pub fn contain(&self, now_ns: u64) -> bool {
        let since_midnight_ns = now_ns.wrapping_add(self.clock_offset_ns) % DAY_NS;
        (self.from_ns..self.until_ns).contains(&since_midnight_ns)
    }
}

/// As the configuration has it: "09:30-16:00".
impl std::fmt::Display for Hours {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [(from_h, from_m), (until_h, until_m)] = [self.from_ns, self.until_ns].map(|ns| {
            let minutes = ns / (60 * 1_000_000_000);
            (minutes / 60, minutes % 60)
        });
        write!(f, "{from_h:02}:{from_m:02}-{until_h:02}:{until_m:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_said_as_the_configuration_has_them() {
        let minute = 60 * 1_000_000_000;
        let hours = Hours {
            clock_offset_ns: 0,
            from_ns: (9 * 60 + 30) * minute,
            until_ns: 16 * 60 * minute,
        };
        assert_eq!(hours.to_string(), "09:30-16:00");
    }

    #[test]
    fn hours_begin_with_their_first_moment_and_end_before_their_last_each_day() {
        let hours = Hours {
            clock_offset_ns: DAY_NS - 5,
            from_ns: 100,
            until_ns: 200,
        };
        for day in [0, DAY_NS, 9 * DAY_NS] {
            let contain = [104, 105, 204, 205].map(|now_ns| hours.contain(day + now_ns));
            assert_eq!(contain, [false, true, true, false]);
        }
    }
}
