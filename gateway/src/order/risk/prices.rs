//! What the market says that a share is worth, and how far from it a limit may lie.
//!
//! Thread:      order core, hot

use feed_handler::best_prices::BestPrice;
use protocol::ouch::PRICE_MAX;
use protocol::types::{Price4, Side};

use super::refusal::Refusal;

/// What a feed says of a symbol's price.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Market {
    /// Best prices; `None` when they could not be read.
    pub best: Option<BestPrice>,
    /// The last trade; 0: none today.
    pub last_trade: Price4,
}

impl Market {
    /// What a share is worth: the last trade, or the nearest price of the book where the book has left it
    /// behind. Without a trade it is the middle of a book whose sides lie within the collar of one another; a
    /// wider one says nothing.
    #[inline]
    #[must_use]
    pub fn mark(&self, collar_bps: u32) -> Option<Price4> {
        let best = self.best?;
        let (bid, ask) = (best.bid_price, best.ask_price);
        if self.last_trade.0 != 0 {
            let above_bid = self.last_trade.max(bid);
            let is_above_ask = ask.0 != 0 && above_bid > ask;
            return Some(if is_above_ask { ask } else { above_bid });
        }
        let is_sound = bid.0 != 0 && ask >= bid && ask.0 - bid.0 <= room(bid, collar_bps);
        is_sound.then(|| Price4(bid.0 + (ask.0 - bid.0) / 2))
    }

    /// A limit may lie only so far behind the bid, the ask and the last trade, as far as they are known: a stub
    /// quote on one side opens nothing.
    ///
    /// # Errors
    /// It lies too far, or the book is empty or could not be read.
    #[inline]
    pub(super) fn hold(&self, side: Side, limit: Price4, collar_bps: u32) -> Result<(), Refusal> {
        let best = self.best.ok_or(Refusal::NoReferencePrice)?;
        if best.bid_price.0 == 0 && best.ask_price.0 == 0 {
            return Err(Refusal::NoReferencePrice);
        }
        // Where a limit has to be grows with the price that it is held against: the lowest binds a buy, the
        // highest a sell.
        let known = [best.bid_price, best.ask_price, self.last_trade];
        let is_inside = match side {
            Side::Buy => {
                let lowest = lowest_known(known);
                let most = u64::from(lowest.0) + u64::from(room(lowest, collar_bps));
                u64::from(limit.0) <= most
            }
            Side::Sell => {
                let [bid, ask, last] = known;
                let highest = bid.max(ask).max(last);
                let most = u64::from(limit.0) + u64::from(room(highest, collar_bps));
                most >= u64::from(highest.0)
            }
        };
        if is_inside {
            Ok(())
        } else {
            Err(Refusal::PriceCollar)
        }
    }

    /// The last price, as far into the market as it goes, that [`Market::hold`] lets a limit have; a whole tick.
    ///
    /// # Errors
    /// The book is empty or could not be read.
    pub(super) fn reach(&self, side: Side, collar_bps: u32) -> Result<Price4, Refusal> {
        let best = self.best.ok_or(Refusal::NoReferencePrice)?;
        if best.bid_price.0 == 0 && best.ask_price.0 == 0 {
            return Err(Refusal::NoReferencePrice);
        }
        let known = [best.bid_price, best.ask_price, self.last_trade];
        let known = known.into_iter().filter(|price| price.0 != 0);
        let limit = match side {
            Side::Buy => known
                .map(|it| it.0.saturating_add(room(it, collar_bps)))
                .min(),
            Side::Sell => known
                .map(|it| it.0.saturating_sub(room(it, collar_bps)))
                .max(),
        };
        let limit = limit.unwrap_or(0).clamp(1, PRICE_MAX.0);
        let tick = if limit < DOLLAR { 1 } else { CENT };
        Ok(Price4(match side {
            Side::Buy => limit / tick * tick,
            Side::Sell => limit.div_ceil(tick) * tick,
        }))
    }
}

/// From here on prices move in whole cents.
const DOLLAR: u32 = 10_000;
const CENT: u32 = 100;

/// The lowest price that is not 0; at least one is not.
#[inline]
fn lowest_known(prices: [Price4; 3]) -> Price4 {
    // One less each: 0 becomes the highest of all.
    let [first, second, third] = prices.map(|price| price.0.wrapping_sub(1));
    Price4(first.min(second).min(third).wrapping_add(1))
}

#[inline]
fn room(price: Price4, collar_bps: u32) -> u32 {
    let room = u64::from(price.0) * u64::from(collar_bps) / 10_000;
    u32::try_from(room).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn market(bid: u32, ask: u32, last: u32) -> Market {
        let best = BestPrice {
            bid_price: Price4(bid),
            ask_price: Price4(ask),
            ..BestPrice::default()
        };
        Market {
            best: Some(best),
            last_trade: Price4(last),
        }
    }

    #[test]
    fn mark_is_the_last_trade_within_the_book() {
        for (bid, ask, last, mark) in [
            (100, 102, 101, Some(101)),
            (100, 102, 90, Some(100)),
            (100, 102, 110, Some(102)),
            (1, 1_999_999_900, 101, Some(101)),
            (0, 0, 101, Some(101)),
            (100, 102, 0, Some(101)),
            (100, 106, 0, None),
            (100, 0, 0, None),
            (0, 0, 0, None),
        ] {
            let found = market(bid, ask, last).mark(500);
            assert_eq!(found, mark.map(Price4), "{bid} {ask} {last}");
        }
        assert_eq!(Market::default().mark(500), None);
    }

    #[test]
    fn limit_is_held_as_against_each_known_price_alone() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut price = |near: u32| match random.u8(0..8) {
            0 => 0,
            1 => random.u32(..),
            2 => u32::MAX - random.u32(0..3),
            _ => near.saturating_add(random.u32(0..near / 4 + 2)),
        };
        let mut held = [0; 2];
        for step in 0..200_000_u32 {
            let near = 1_u32 << (step % 32);
            let book = market(price(near), price(near), price(near));
            let (limit, collar_bps) = (price(near), [0, 1, 500, 5_000, 9_999, 10_000, 20_000]);
            let collar_bps = collar_bps[step as usize % 7];
            let side = [Side::Buy, Side::Sell][step as usize % 2];
            let best = book.best.unwrap();
            let known = [best.bid_price, best.ask_price, book.last_trade];
            let is_inside = |price: &Price4| {
                let room = u64::from(room(*price, collar_bps));
                match side {
                    Side::Buy => u64::from(limit) <= u64::from(price.0) + room,
                    Side::Sell => u64::from(limit) + room >= u64::from(price.0),
                }
            };
            let expected = if best.bid_price.0 == 0 && best.ask_price.0 == 0 {
                Err(Refusal::NoReferencePrice)
            } else if known.iter().all(|price| price.0 == 0 || is_inside(price)) {
                Ok(())
            } else {
                Err(Refusal::PriceCollar)
            };
            let found = book.hold(side, Price4(limit), collar_bps);
            assert_eq!(found, expected, "{book:?} {side:?} {limit} {collar_bps}");
            held[usize::from(found.is_ok())] += 1;
        }
        assert!(held.iter().all(|count| *count > 20_000), "{held:?}");
    }

    #[test]
    fn stub_quote_lets_nothing_through() {
        let stub = 1_999_999_900;
        for (book, side, limit, held) in [
            (market(1000, stub, 0), Side::Buy, 1050, Ok(())),
            (
                market(1000, stub, 0),
                Side::Buy,
                1051,
                Err(Refusal::PriceCollar),
            ),
            (market(0, stub, 1000), Side::Buy, 1050, Ok(())),
            (
                market(0, stub, 1000),
                Side::Buy,
                1051,
                Err(Refusal::PriceCollar),
            ),
            (market(1, 1000, 0), Side::Sell, 950, Ok(())),
            (
                market(1, 1000, 0),
                Side::Sell,
                949,
                Err(Refusal::PriceCollar),
            ),
            (
                market(1, 0, 1000),
                Side::Sell,
                949,
                Err(Refusal::PriceCollar),
            ),
            // Behind the market a limit may lie anywhere.
            (market(1000, 1001, 1000), Side::Sell, stub, Ok(())),
            (market(1000, 1001, 1000), Side::Buy, 1, Ok(())),
        ] {
            let found = book.hold(side, Price4(limit), 500);
            assert_eq!(found, held, "{book:?} {side:?} {limit}");
        }
    }
}
