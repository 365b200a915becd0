//! Why an intent is refused: each cause has a code, a counter and a line in `docs/risk.md`.
//!
//! Thread:      order core, hot

/// Declares why an intent can be refused, and the counter of each cause.
macro_rules! refusals {
    ($($(#[doc = $text:literal])+ $cause:ident = $code:literal => $counter:ident,)+) => {
        /// Why risk, or the gateway before it, refused an intent.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Refusal {
            $($(#[doc = $text])+ $cause = $code,)+
        }

        impl Refusal {
            /// Every cause: itself, its counter's name, what it means.
            pub const ALL: &'static [(Self, &'static str, &'static str)] =
                &[$((Self::$cause, stringify!($counter), concat!($($text),+)),)+];
        }

        rt::counters! {
            /// Intents refused, by cause.
            pub struct RefusalCounters {
                $($(#[doc = $text])+ $counter,)+
            }
        }

        impl RefusalCounters {
            /// Counts a refusal under its cause.
            pub fn count(&self, refusal: Refusal) {
                match refusal {
                    $(Refusal::$cause => self.$counter.increment(),)+
                }
            }
        }
    };
}

refusals! {
    /// The kill switch is on.
    Killed = 1 => refused_killed,
    /// The operator has paused the strategy.
    Paused = 2 => refused_paused,
    /// The session to the exchange is not open, or another one of its account has not been since the start.
    SessionDown = 3 => refused_session_down,
    /// More shares than one order may have, or none.
    OrderQty = 4 => refused_order_qty,
    /// Price times shares is more than one order may be worth.
    Notional = 5 => refused_notional,
    /// Too far from the book's best price.
    PriceCollar = 6 => refused_price_collar,
    /// The book has no price to hold the order against.
    NoReferencePrice = 7 => refused_no_reference_price,
    /// The feed has a gap, and the strategy did not ask to trade on stale books.
    StaleBook = 8 => refused_stale_book,
    /// The position, with everything open on that side, would be too large.
    Position = 9 => refused_position,
    /// Too many open orders.
    OpenOrders = 10 => refused_open_orders,
    /// Too many orders in this second.
    OrderRate = 11 => refused_order_rate,
    /// The directory of the strategy's feed has not named the symbol.
    UnknownSymbol = 12 => refused_unknown_symbol,
    /// The strategy may not trade the symbol: it is not one of those that its configuration names.
    NotItsSymbol = 13 => refused_not_its_symbol,
    /// The order meant is over, or never was.
    NotLive = 14 => refused_not_live,
    /// A change of the order is under way, or the exchange has not accepted it yet.
    ChangePending = 15 => refused_change_pending,
    /// The strategy has a live order with this number: its numbers came round.
    IdInUse = 16 => refused_id_in_use,
    /// The intent waited for longer than orders may.
    TooOld = 17 => refused_too_old,
    /// The connection's send buffer is full: the exchange does not read.
    Backlog = 18 => refused_backlog,
    /// All symbols together would be worth too much.
    GrossExposure = 19 => refused_gross_exposure,
    /// Longs less shorts, or shorts less longs, would be worth too much.
    NetExposure = 20 => refused_net_exposure,
    /// The same order of the same strategy went a moment ago.
    Duplicate = 21 => refused_duplicate,
    /// It would meet another order of the account.
    SelfCross = 22 => refused_self_cross,
    /// The symbol is on the restricted list.
    Restricted = 23 => refused_restricted,
    /// More would be sold than is held, and the symbol is on the list of those that are not sold short.
    NoShort = 24 => refused_no_short,
    /// A replace would have an order that is marked long sell more than is held: cancel it and enter another.
    MarkedLong = 25 => refused_marked_long,
    /// The symbol is halted, paused or only quoted.
    Halted = 26 => refused_halted,
    /// Outside of the trading hours.
    OutsideHours = 27 => refused_outside_hours,
    /// Too many cancels in this second.
    CancelRate = 28 => refused_cancel_rate,
    /// Terms that contradict one another or the order's size: no exchange would take it.
    Terms = 29 => refused_terms,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_list_every_refusal_with_its_code() {
        let text = include_str!("../../../../docs/risk.md");
        let listed: Vec<&str> = text.lines().filter(|it| it.contains("`refused_")).collect();
        let expected: Vec<String> = Refusal::ALL
            .iter()
            .map(|(cause, counter, text)| format!("| {} | `{counter}` |{text} |", *cause as u8))
            .collect();
        assert_eq!(
            listed,
            expected,
            "docs/risk.md should have\n{}",
            expected.join("\n")
        );
    }
}
