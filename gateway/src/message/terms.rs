//! On which terms an order trades, beside its price and its shares: what of it is seen, and what it will not do. A word.
//!
//! ```text
//!  bit   31 .. 26   25           24         23          22           21       20        19 .. 0
//!        nothing    impossible   midpoint   post only   attributed   hidden   reserve   shares
//! ```
//!
//! Shares are those shown at a time of a reserve order, or else the fewest that an execution may have: a reserve order
//! can have no such minimum, as it is seen and rests.
//!
//! Invariants:  an order without terms of its own is 0.
//! Spec:        OUCH 5.0 revision 1.04, "Enter Order" and the appendix: tags 3, 5, 6 and 12.

use protocol::ouch::{Element, QTY_MAX};
use protocol::types::Qty;

/// How long an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum TimeInForce {
    /// Until the close.
    Day = b'0',
    /// What does not trade at once is cancelled.
    ImmediateOrCancel = b'3',
    /// Until the end of the exchange's extended hours.
    ExtendedHours = b'5',
    /// For the hours after the close alone.
    AfterHours = b'E',
}

impl TimeInForce {
    /// The one of OUCH's code; `None`: an order that we do not send.
    #[must_use]
    pub(crate) fn of_code(code: u8) -> Option<Self> {
        let mut all = [
            Self::Day,
            Self::ImmediateOrCancel,
            Self::ExtendedHours,
            Self::AfterHours,
        ]
        .into_iter();
        all.find(|one| *one as u8 == code)
    }
}

/// What of an order others see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Display {
    /// All of it.
    Shown,
    /// All of it, and whose it is.
    Attributed,
    /// Nothing.
    Hidden,
    /// This many shares at a time, at least 1 and at most the order's: the rest waits behind them, and each part that
    /// is shown anew goes behind what others show.
    Reserve(Qty),
}

/// Terms as they cross threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Terms(u32);

const SHARES: u32 = (1 << 20) - 1;
const RESERVE: u32 = 1 << 20;
const HIDDEN: u32 = 1 << 21;
const ATTRIBUTED: u32 = 1 << 22;
const POST_ONLY: u32 = 1 << 23;
const MIDPOINT: u32 = 1 << 24;
/// What was asked for cannot be said here, and no exchange would take it.
const IMPOSSIBLE: u32 = 1 << 25;

const _: () = assert!(QTY_MAX.0 <= SHARES);

impl Terms {
    /// A limit order that is shown.
    pub const PLAIN: Self = Self(0);

    /// Of an order that is seen like this and of which no execution has fewer than `min_qty` shares; 0: any.
    #[inline]
    #[must_use]
    pub const fn new(display: Display, min_qty: Qty) -> Self {
        let (flags, shown) = match display {
            Display::Shown => (0, 0),
            Display::Attributed => (ATTRIBUTED, 0),
            Display::Hidden => (HIDDEN, 0),
            Display::Reserve(shown) => (RESERVE, shown.0),
        };
        let is_impossible = shown > QTY_MAX.0
            || min_qty.0 > QTY_MAX.0
            || flags == RESERVE && (min_qty.0 > 0 || shown == 0);
        if is_impossible {
            return Self(flags | IMPOSSIBLE);
        }
        Self(flags | shown | min_qty.0)
    }

    /// It never takes what rests: where it would, it is cancelled, or slides to a price where it does not, as the
    /// exchange has it.
    #[inline]
    #[must_use]
    pub const fn with_post_only(self, is_post_only: bool) -> Self {
        Self(if is_post_only {
            self.0 | POST_ONLY
        } else {
            self.0
        })
    }

    /// It is pegged to the middle of the best prices, never beyond its limit.
    #[inline]
    #[must_use]
    pub const fn with_midpoint(self, is_midpoint: bool) -> Self {
        Self(if is_midpoint {
            self.0 | MIDPOINT
        } else {
            self.0
        })
    }

    /// Terms of an order that the exchange says to have this display code; of the rest it says nothing.
    #[must_use]
    pub(crate) const fn of_display(code: u8) -> Self {
        match code {
            b'N' => Self(HIDDEN),
            b'A' => Self(ATTRIBUTED),
            _ => Self::PLAIN,
        }
    }

    /// Whether an exchange would take an order of this size, which stands so long, on these terms.
    #[must_use]
    pub(crate) fn fit(self, qty: Qty, time_in_force: TimeInForce) -> bool {
        let is_immediate = time_in_force == TimeInForce::ImmediateOrCancel;
        let is_unseen = self.has(HIDDEN) || self.has(MIDPOINT);
        let shares = self.0 & SHARES;
        let has_room = shares <= qty.0;
        let fits_reserve = !self.has(RESERVE) || !is_immediate && !is_unseen;
        let fits_minimum = self.has(RESERVE) || shares == 0 || is_immediate || is_unseen;
        let rests_if_it_must = !self.has(POST_ONLY) || !is_immediate;
        !self.has(IMPOSSIBLE) && has_room && fits_reserve && fits_minimum && rests_if_it_must
    }

    /// OUCH's display code.
    #[inline]
    #[must_use]
    pub(crate) const fn display_code(self) -> u8 {
        if self.0 & (HIDDEN | MIDPOINT) != 0 {
            return b'N';
        }
        if self.has(ATTRIBUTED) { b'A' } else { b'Y' }
    }

    /// What OUCH has in a message's appendage.
    pub(crate) fn elements(self) -> impl Iterator<Item = Element<'static>> {
        let shares = Some(Qty(self.0 & SHARES)).filter(|shares| shares.0 > 0);
        let shares = shares.map(|shares| {
            if self.has(RESERVE) {
                Element::MaxFloor(shares)
            } else {
                Element::MinQty(shares)
            }
        });
        let midpoint = self.has(MIDPOINT).then_some(Element::PriceType(b'M'));
        let post_only = self.has(POST_ONLY).then_some(Element::PostOnly(b'P'));
        [shares, midpoint, post_only].into_iter().flatten()
    }

    const fn has(self, flag: u32) -> bool {
        self.0 & flag != 0
    }
}

/// The longest appendage that terms make: one element of four bytes and two of one, each with two bytes before it.
pub(crate) const APPENDAGE_LEN_MAX: usize = (2 + 4) + 2 * (2 + 1);

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: TimeInForce = TimeInForce::Day;
    const IOC: TimeInForce = TimeInForce::ImmediateOrCancel;

    #[test]
    fn terms_say_what_they_were_made_of() {
        let elements = |terms: Terms| terms.elements().collect::<Vec<_>>();
        assert_eq!(elements(Terms::PLAIN), []);
        assert_eq!(Terms::new(Display::Shown, Qty(0)), Terms::PLAIN);
        let hidden = Terms::new(Display::Hidden, Qty(999_999)).with_midpoint(true);
        assert_eq!(hidden.display_code(), b'N');
        let expected = [Element::MinQty(Qty(999_999)), Element::PriceType(b'M')];
        assert_eq!(elements(hidden), expected);
        let reserve = Terms::new(Display::Reserve(Qty(100)), Qty(0)).with_post_only(true);
        assert_eq!(reserve.display_code(), b'Y');
        let expected = [Element::MaxFloor(Qty(100)), Element::PostOnly(b'P')];
        assert_eq!(elements(reserve), expected);
        let attributed = Terms::new(Display::Attributed, Qty(0));
        assert_eq!(
            (attributed.display_code(), elements(attributed)),
            (b'A', vec![])
        );
    }

    #[test]
    fn longest_appendage_is_as_long_as_it_is_said_to_be() {
        let terms = Terms::new(Display::Hidden, Qty(1)).with_midpoint(true);
        let mut len = 0;
        for element in terms.with_post_only(true).elements() {
            len += element.encode(&mut [0; 16]).unwrap();
        }
        assert_eq!(len, APPENDAGE_LEN_MAX);
    }

    #[test]
    fn terms_that_contradict_one_another_do_not_fit() {
        let of = Terms::new;
        let floor = |shares| of(Display::Reserve(Qty(shares)), Qty(0));
        for (terms, qty, time_in_force, fit) in [
            (Terms::PLAIN, 1, DAY, true),
            (of(Display::Shown, Qty(10)), 100, DAY, false),
            (of(Display::Shown, Qty(10)), 100, IOC, true),
            (of(Display::Hidden, Qty(10)), 100, DAY, true),
            (of(Display::Hidden, Qty(10)), 9, DAY, false),
            (
                of(Display::Shown, Qty(10)).with_midpoint(true),
                10,
                DAY,
                true,
            ),
            (of(Display::Hidden, Qty(1_000_000)), u32::MAX, DAY, false),
            (floor(10), 100, DAY, true),
            (floor(0), 100, DAY, false),
            (floor(100), 99, DAY, false),
            (floor(u32::MAX), u32::MAX, DAY, false),
            (floor(10), 100, IOC, false),
            (floor(10).with_midpoint(true), 100, DAY, false),
            (of(Display::Reserve(Qty(10)), Qty(1)), 100, DAY, false),
            (Terms::PLAIN.with_post_only(true), 100, DAY, true),
            (Terms::PLAIN.with_post_only(true), 100, IOC, false),
        ] {
            assert_eq!(
                terms.fit(Qty(qty), time_in_force),
                fit,
                "{terms:?} of {qty}"
            );
        }
    }
}
