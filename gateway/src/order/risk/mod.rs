//! What no order may do: the checks between a strategy and the exchange.
//!
//! Thread:      order core, hot
//! Invariants:  nothing is sent that `check` has not passed. Exposure is counted at its worst: what is
//!              open on a side is taken as filled, and a replace counts the larger of both sizes until
//!              the exchange has answered. An order that adds nothing to an exposure passes its limit.
//! Time:        comes in as `now_ns`, the time at which the order goes out.
//! When wrong:  one [`Refusal`], the first that applies, in the order of [`Risk::check`].

mod change;
mod crossing;
mod exposure;
mod key;
mod kill;
mod kill_word;
mod limits;
mod others;
mod parts;
mod prices;
mod profit;
mod rate;
mod refusal;
mod repeats;
mod row_key;
mod rows;
mod symbols;
mod trades;

use protocol::types::{Price4, Qty, Side};
use rt::clock::SECOND_NS;
use rt::mem::prefetch;

use super::instruments::{INSTRUMENTS_MAX, Instrument, InstrumentSet};
use crate::message::intent::Owner;

use crossing::OwnPrices;
use exposure::Exposures;
use others::Others;
use profit::Profit;
use rate::Rate;
use repeats::{Repeats, Same};
use rows::Rows;

pub use exposure::{Exposure, Lot, Worth};
pub use key::{DOLLAR, LimitKey};
pub(crate) use kill::{HOUSEKEEPING, began_code};
pub use kill::{KillCause, KillSwitch, Stood, release_together};
pub use limits::{DAY_NS, Hours, Limits};
pub use others::OTHER_SESSION;
pub use prices::Market;
pub use refusal::{Refusal, RefusalCounters};
pub use row_key::is_row_looser;
pub use rows::{ROWS_MAX, RowLimits};
pub use symbols::Symbols;

const _: () = assert!(INSTRUMENTS_MAX <= 1 << 16, "an instrument is a u16");

/// What is to be checked.
#[derive(Clone, Copy, Debug)]
pub struct Proposal {
    /// Whose order it is.
    pub owner: Owner,
    /// Symbol.
    pub instrument: Instrument,
    /// Side.
    pub side: Side,
    /// Limit.
    pub price: Price4,
    /// Shares that will be open.
    pub qty: Qty,
    /// Shares of it that are counted as open already (a replace's old size).
    pub counted_qty: Qty,
    /// Whether it makes one more open order.
    pub is_new: bool,
    /// A sell that the exchange was told is no short sale.
    pub is_marked_long: bool,
    /// What the market pays now.
    pub market: Market,
    /// The book may not be what the exchange has, and the strategy did not ask for that.
    pub is_stale: bool,
    /// The symbol does not trade now.
    pub is_halted: bool,
}

/// A trade of ours.
#[derive(Clone, Copy, Debug)]
pub struct Traded {
    /// Symbol.
    pub instrument: Instrument,
    /// Side.
    pub side: Side,
    /// Shares.
    pub qty: Qty,
    /// What was paid for each.
    pub price: Price4,
}

/// Limits and exposures of one account.
#[derive(Debug)]
pub struct Risk {
    limits: Limits,
    kill: KillSwitch,
    exposures: Exposures,
    profit: Profit,
    own: OwnPrices,
    /// Where several sessions trade for the account.
    others: Option<Others>,
    repeats: Repeats,
    rows: Rows,
    open_orders: u32,
    orders: Rate,
    cancels: Rate,
    rejects: Rate,
    restricted: InstrumentSet,
    no_short: InstrumentSet,
    /// What was held when the day began is known: sells are marked long or short.
    marks_sells: bool,
}

impl Risk {
    /// Nothing held, nothing open.
    #[must_use]
    pub fn new(limits: Limits, kill: KillSwitch) -> Self {
        assert!(
            limits.orders_per_second_max > 0,
            "a rate of zero allows no order at all"
        );
        Self {
            limits,
            kill,
            exposures: Exposures::new(),
            profit: Profit::default(),
            own: OwnPrices::new(limits.open_orders_max),
            others: None,
            repeats: Repeats::new(limits.duplicate_window_ns, limits.orders_per_second_max),
            rows: Rows::default(),
            open_orders: 0,
            orders: Rate::new(limits.orders_per_second_max, SECOND_NS),
            cancels: Rate::new(limits.cancels_per_second_max, SECOND_NS),
            rejects: Rate::new(limits.rejects_max, limits.reject_window_ns),
            restricted: InstrumentSet::default(),
            no_short: InstrumentSet::default(),
            marks_sells: false,
        }
    }

    /// Nothing but cancels goes in this symbol.
    pub fn restrict(&mut self, instrument: Instrument) {
        self.restricted.insert(instrument);
    }

    /// This symbol is not sold short.
    pub fn forbid_short(&mut self, instrument: Instrument) {
        self.no_short.insert(instrument);
    }

    /// What was held when the day began is known from here on: sells are marked long or short by it.
    pub fn mark_sells(&mut self) {
        self.marks_sells = true;
    }

    /// These shares were held when the day began; short below zero.
    pub fn hold(&mut self, instrument: Instrument, shares: i64) {
        self.exposures.on_moved(instrument, shares);
    }

    /// Whether the order may go. Counts it as sent when it may.
    ///
    /// # Errors
    /// The first rule that it breaks.
    #[inline]
    pub fn check(&mut self, proposal: &Proposal, now_ns: u64) -> Result<(), Refusal> {
        self.check_form(proposal, now_ns)?;
        self.check_market(proposal)?;
        self.check_exposure(proposal)?;
        if proposal.is_new && self.open_orders >= self.limits.open_orders_max {
            return Err(Refusal::OpenOrders);
        }
        let same = || Same {
            owner: proposal.owner,
            instrument: proposal.instrument,
            side: proposal.side,
            price: proposal.price,
            qty: proposal.qty,
        };
        let may_repeat = proposal.is_new && self.repeats.is_watched();
        if may_repeat && self.repeats.has(&same(), now_ns) {
            return Err(Refusal::Duplicate);
        }
        if self.orders.is_full(now_ns) {
            return Err(Refusal::OrderRate);
        }
        if self.others.is_some() {
            self.check_others(proposal)?;
        }
        if self.has_rows()
            && let Err(refusal) = self.check_rows(proposal, now_ns)
        {
            self.take_back();
            return Err(refusal);
        }
        self.orders.note(now_ns);
        if may_repeat {
            self.repeats.note(&same(), now_ns);
        }
        Ok(())
    }

    /// Whether a strategy's cancel may go. Counts it as sent when it may.
    ///
    /// # Errors
    /// There are too many.
    #[inline]
    pub fn check_cancel(&mut self, now_ns: u64) -> Result<(), Refusal> {
        if self.cancels.is_full(now_ns) {
            return Err(Refusal::CancelRate);
        }
        self.cancels.note(now_ns);
        Ok(())
    }

    /// Whether a decision is too old to be sent.
    #[inline]
    #[must_use]
    pub fn is_too_old(&self, decided_ns: u64, now_ns: u64) -> bool {
        now_ns.saturating_sub(decided_ns) > self.limits.intent_age_max_ns
    }

    /// The kill switch.
    #[must_use]
    pub fn kill(&self) -> &KillSwitch {
        &self.kill
    }

    /// What is held of an instrument.
    #[inline]
    #[must_use]
    pub fn exposure(&self, instrument: Instrument) -> Exposure {
        self.exposures.of(instrument)
    }

    /// What everything is worth at its worst.
    #[must_use]
    pub fn worth(&self) -> Worth {
        self.exposures.worth()
    }

    /// What the day has brought, in 0.0001 dollars; a loss below zero.
    #[must_use]
    pub fn profit(&self) -> i128 {
        self.profit.total()
    }

    /// Brings near what the next check reads.
    #[inline]
    pub fn prefetch(&self) {
        if let Some(oldest) = self.orders.oldest() {
            prefetch(oldest);
        }
    }

    /// Brings near what a check of this instrument reads.
    pub(super) fn prefetch_instrument(&self, instrument: Instrument) {
        self.exposures.prefetch(instrument);
    }

    /// Orders open now.
    #[must_use]
    pub fn open_orders(&self) -> u32 {
        self.open_orders
    }

    /// One more order is open; `None`: it is nobody's.
    pub fn on_opened(&mut self, owner: Option<Owner>, instrument: Instrument) {
        self.rows.on_opened(owner, instrument);
        self.open_orders += 1;
    }

    /// One order is over; `false`: none was open, or none by a row that is for it.
    #[must_use]
    pub fn on_closed(&mut self, owner: Option<Owner>, instrument: Instrument) -> bool {
        let was_open = self.rows.on_closed(owner, instrument) && self.open_orders > 0;
        self.open_orders = self.open_orders.saturating_sub(1);
        was_open
    }

    /// More shares stand open.
    #[inline]
    pub fn on_reserved(&mut self, lot: &Lot) {
        self.exposures.on_reserved(lot);
    }

    /// `less` shares no longer stand open on a side.
    ///
    /// # Errors
    /// Fewer stood open there, this many; none does now.
    #[inline]
    pub fn on_freed(&mut self, instrument: Instrument, side: Side, less: Qty) -> Result<(), u64> {
        self.exposures.on_freed(instrument, side, less)
    }

    /// One more order has this limit, or asks for it; 0: none does.
    #[inline]
    pub fn on_limit(&mut self, instrument: Instrument, side: Side, limit: Price4) {
        if limit.0 != 0 {
            self.own.add(instrument, side, limit);
            self.show_limits(instrument);
        }
    }

    /// One order less has this limit, or asks for it; 0: none does.
    #[inline]
    pub fn on_limit_gone(&mut self, instrument: Instrument, side: Side, limit: Price4) {
        if limit.0 != 0 {
            self.own.remove(instrument, side, limit);
            self.show_limits(instrument);
        }
    }

    /// The exchange rejected an order.
    pub fn on_rejected(&mut self, now_ns: u64) {
        self.rejects.note(now_ns);
        // As many as the limit lie within the window once the place for the next one is taken.
        if self.rejects.is_full(now_ns) {
            self.kill.engage(KillCause::RejectStorm);
        }
    }

    /// Looks at what the market pays for a share now; whether that is something else than before.
    #[inline]
    pub fn on_market(&mut self, instrument: Instrument, market: &Market) -> bool {
        let before = self.exposures.mark_of(instrument);
        let mark = market.mark(self.limits.collar_bps).unwrap_or(before);
        if mark == before {
            return false;
        }
        self.on_mark(instrument, before, mark);
        true
    }

    /// How far a market order may go: the last price that the collar allows.
    ///
    /// # Errors
    /// The book has no price to hold it against.
    #[cold]
    pub fn reach(&self, side: Side, market: &Market) -> Result<Price4, Refusal> {
        market.reach(side, self.limits.collar_bps)
    }

    /// The code with which a new order goes out: a sell of more than is held, other open sells counted, is
    /// short where what was held when the day began is known.
    #[inline]
    #[must_use]
    pub fn side_code(&self, instrument: Instrument, side: Side, qty: Qty) -> u8 {
        if side == Side::Sell && self.marks_sells && self.is_short(instrument, qty.0) {
            return SELL_SHORT;
        }
        side as u8
    }

    /// What has nothing to do with what is held.
    #[inline]
    fn check_form(&self, proposal: &Proposal, now_ns: u64) -> Result<(), Refusal> {
        let (price, qty) = (proposal.price, proposal.qty);
        if self.kill.is_on() {
            return Err(Refusal::Killed);
        }
        if self.restricted.has(proposal.instrument) {
            return Err(Refusal::Restricted);
        }
        if self
            .limits
            .hours
            .is_some_and(|hours| !hours.contain(now_ns))
        {
            return Err(Refusal::OutsideHours);
        }
        if qty.0 == 0 || qty > self.limits.order_qty_max {
            return Err(Refusal::OrderQty);
        }
        if u64::from(price.0) * u64::from(qty.0) > self.limits.notional_max {
            return Err(Refusal::Notional);
        }
        Ok(())
    }

    /// What the market allows.
    #[inline]
    fn check_market(&mut self, proposal: &Proposal) -> Result<(), Refusal> {
        let (instrument, side) = (proposal.instrument, proposal.side);
        if proposal.is_stale {
            return Err(Refusal::StaleBook);
        }
        if proposal.is_halted {
            return Err(Refusal::Halted);
        }
        let collar_bps = self.limits.collar_bps;
        proposal.market.hold(side, proposal.price, collar_bps)?;
        if !self.limits.may_self_cross && self.own.crosses(instrument, side, proposal.price) {
            return Err(Refusal::SelfCross);
        }
        // What has been lost may have grown over its limit.
        if self.on_market(instrument, &proposal.market) && self.kill.is_on() {
            return Err(Refusal::Killed);
        }
        Ok(())
    }

    /// What it would make of what is held.
    #[inline]
    fn check_exposure(&self, proposal: &Proposal) -> Result<(), Refusal> {
        let lot = Lot {
            instrument: proposal.instrument,
            side: proposal.side,
            limit: proposal.price,
            qty: Qty(proposal.qty.0.saturating_sub(proposal.counted_qty.0)),
        };
        if self.exposures.is_far_from(&self.limits, &lot) {
            return self.check_short(proposal, &lot);
        }
        self.check_exposure_exactly(proposal, &lot)
    }

    /// What is near a limit of exposure, or too large for 64 bits.
    #[cold]
    fn check_exposure_exactly(&self, proposal: &Proposal, lot: &Lot) -> Result<(), Refusal> {
        let held = self.exposures.of(lot.instrument);
        // What adds nothing may stand over a limit that has become tighter.
        if lot.qty.0 > 0 && held.worst(lot.side, lot.qty.0) > self.limits.position_max {
            return Err(Refusal::Position);
        }
        self.check_short(proposal, lot)?;
        let before = self.exposures.worth();
        let after = self.exposures.worth_with(lot);
        if after.gross > i128::from(self.limits.gross_exposure_max) && after.gross > before.gross {
            return Err(Refusal::GrossExposure);
        }
        let net_max = i128::from(self.limits.net_exposure_max);
        let is_over = |before: i128, after: i128| after > net_max && after > before;
        if is_over(before.long, after.long) || is_over(before.short, after.short) {
            return Err(Refusal::NetExposure);
        }
        Ok(())
    }

    /// Whether it sells short what it may not.
    #[inline]
    fn check_short(&self, proposal: &Proposal, lot: &Lot) -> Result<(), Refusal> {
        if lot.side == Side::Buy || lot.qty.0 == 0 {
            return Ok(());
        }
        let refusal = if self.no_short.has(lot.instrument) {
            Refusal::NoShort
        } else if self.marks_sells && proposal.is_marked_long {
            // Where nobody knows what is held, the mark says nothing.
            Refusal::MarkedLong
        } else {
            return Ok(());
        };
        if self.is_short(lot.instrument, lot.qty.0) {
            return Err(refusal);
        }
        Ok(())
    }

    /// Whether `more` shares sold, with those that are open to sell, are more than is held.
    #[inline]
    fn is_short(&self, instrument: Instrument, more: u32) -> bool {
        let held = self.exposures.of(instrument);
        i128::from(held.position) < i128::from(held.open_sell) + i128::from(more)
    }

    fn on_mark(&mut self, instrument: Instrument, before: Price4, mark: Price4) {
        let position = self.exposures.of(instrument).position;
        self.exposures.on_mark(instrument, mark);
        self.profit.on_mark(position, before, mark);
        self.look_at_profit();
    }

    /// Whether too much is lost: the kill switch goes on.
    #[inline]
    pub(in crate::order) fn look_at_profit(&mut self) {
        if self.profit.total() < -i128::from(self.limits.loss_max) {
            self.kill.engage(KillCause::LossLimit);
        }
    }
}

/// OUCH's code of a short sale.
const SELL_SHORT: u8 = b'T';

#[cfg(test)]
mod tests {
    use feed_handler::best_prices::BestPrice;

    use super::*;

    const LIMITS: Limits = Limits {
        order_qty_max: Qty(1000),
        notional_max: 1_000_000 * 10_000,
        collar_bps: 500,
        position_max: 1500,
        open_orders_max: 2,
        orders_per_second_max: 3,
        intent_age_max_ns: u64::MAX,
        ..Limits::WIDEST
    };

    fn proposal(side: Side, price: u32, qty: u32) -> Proposal {
        Proposal {
            owner: Owner(0),
            instrument: Instrument(0),
            side,
            price: Price4(price),
            qty: Qty(qty),
            counted_qty: Qty(0),
            is_new: true,
            is_marked_long: false,
            market: Market {
                best: Some(BestPrice {
                    bid_price: Price4(1_000_000),
                    bid_qty: Qty(1),
                    ask_price: Price4(1_010_000),
                    ask_qty: Qty(1),
                }),
                last_trade: Price4(0),
            },
            is_stale: false,
            is_halted: false,
        }
    }

    fn traded(side: Side, qty: u32) -> Traded {
        Traded {
            instrument: Instrument(0),
            side,
            qty: Qty(qty),
            price: Price4(1_000_000),
        }
    }

    fn lot(side: Side, limit: u32, qty: u32) -> Lot {
        Lot {
            instrument: Instrument(0),
            side,
            limit: Price4(limit),
            qty: Qty(qty),
        }
    }

    fn risk() -> Risk {
        Risk::new(LIMITS, KillSwitch::default())
    }

    #[test]
    fn each_limit_refuses_beyond_and_passes_at() {
        let buy = |price, qty| risk().check(&proposal(Side::Buy, price, qty), 1);
        let sell = |price, qty| risk().check(&proposal(Side::Sell, price, qty), 1);
        assert_eq!(buy(1_000_000, 1000), Ok(()));
        assert_eq!(buy(1_000_000, 1001), Err(Refusal::OrderQty));
        assert_eq!(buy(1_000_000, 0), Err(Refusal::OrderQty));
        let rich = Limits {
            order_qty_max: Qty(100_000),
            position_max: 1 << 40,
            ..LIMITS
        };
        let mut rich = Risk::new(rich, KillSwitch::default());
        assert_eq!(
            rich.check(&proposal(Side::Buy, 1_000_000, 10_000), 1),
            Ok(())
        );
        let dear = rich.check(&proposal(Side::Buy, 1_000_000, 10_001), 1);
        assert_eq!(dear, Err(Refusal::Notional));
        assert_eq!(buy(1_050_000, 1), Ok(()));
        assert_eq!(buy(1_050_001, 1), Err(Refusal::PriceCollar));
        assert_eq!(sell(959_500, 1), Ok(()));
        assert_eq!(sell(959_499, 1), Err(Refusal::PriceCollar));
        assert_eq!(sell(2_000_000, 1), Ok(()));
    }

    #[test]
    fn empty_or_stale_book_gives_no_reference() {
        let mut one = proposal(Side::Buy, 1_000_000, 1);
        one.market.best = Some(BestPrice::default());
        assert_eq!(risk().check(&one, 1), Err(Refusal::NoReferencePrice));
        one.market.best = None;
        assert_eq!(risk().check(&one, 1), Err(Refusal::NoReferencePrice));
        one.is_stale = true;
        assert_eq!(risk().check(&one, 1), Err(Refusal::StaleBook));
        let bid_only = BestPrice {
            bid_price: Price4(1_000_000),
            ..BestPrice::default()
        };
        let mut one = proposal(Side::Buy, 1_050_001, 1);
        one.market.best = Some(bid_only);
        assert_eq!(risk().check(&one, 1), Err(Refusal::PriceCollar));
    }

    #[test]
    fn position_counts_everything_open_on_the_side() {
        let mut risk = risk();
        let (one, buy, sell) = (Instrument(0), Side::Buy, Side::Sell);
        risk.on_traded(&traded(buy, 600));
        risk.on_reserved(&lot(buy, 1_000_000, 500));
        assert_eq!(risk.check(&proposal(buy, 1_000_000, 400), 1), Ok(()));
        assert_eq!(
            risk.check(&proposal(buy, 1_000_000, 401), 1),
            Err(Refusal::Position)
        );
        risk.on_traded(&traded(sell, 1600));
        assert_eq!(risk.exposure(one).position, -1000);
        assert_eq!(
            risk.check(&proposal(sell, 1_010_000, 501), 1),
            Err(Refusal::Position)
        );
        assert_eq!(risk.check(&proposal(sell, 1_010_000, 500), 1), Ok(()));
        let mut bigger = proposal(buy, 1_000_000, 1000);
        bigger.counted_qty = Qty(500);
        assert_eq!(risk.check(&bigger, 1), Ok(()));
    }

    #[test]
    fn rate_is_a_sliding_second() {
        let mut risk = risk();
        let one = proposal(Side::Buy, 1_000_000, 1);
        for now in [10, 20, 30] {
            assert_eq!(risk.check(&one, now), Ok(()));
        }
        assert_eq!(risk.check(&one, SECOND_NS + 9), Err(Refusal::OrderRate));
        assert_eq!(risk.check(&one, SECOND_NS + 10), Ok(()));
        assert_eq!(risk.check(&one, SECOND_NS + 11), Err(Refusal::OrderRate));
    }

    #[test]
    fn open_orders_and_kill_switch_stop_the_next_order() {
        let kill = KillSwitch::default();
        let mut risk = Risk::new(LIMITS, kill.clone());
        let (owner, instrument) = (Some(Owner(0)), Instrument(0));
        risk.on_opened(owner, instrument);
        risk.on_opened(owner, instrument);
        let one = proposal(Side::Buy, 1_000_000, 1);
        assert_eq!(risk.check(&one, 1), Err(Refusal::OpenOrders));
        assert!(risk.on_closed(owner, instrument));
        assert_eq!(risk.check(&one, 1), Ok(()));
        kill.engage(KillCause::Operator);
        assert_eq!(risk.check(&one, 1), Err(Refusal::Killed));
        kill.release();
        assert_eq!(risk.check(&one, 2), Ok(()));
    }

    /// Up to `bits` bits, each length as often as another.
    fn number(random: &mut fastrand::Rng, bits: u32) -> u64 {
        random.u64(..) >> random.u32(u64::BITS - bits..u64::BITS)
    }

    /// The same, up to 32 of them.
    fn word(random: &mut fastrand::Rng, bits: u32) -> u32 {
        random.u32(..) >> random.u32(u32::BITS - bits..u32::BITS)
    }

    /// An account of anything, also of what no exchange would let stand.
    fn anything(random: &mut fastrand::Rng) -> Risk {
        let mut risk = risk();
        for instrument in (0..random.u16(1..4)).map(Instrument) {
            let shares_bits = [8, 20, 28, 31, 63][random.usize(0..5)];
            let shares = number(random, shares_bits).cast_signed();
            let is_long = random.bool();
            risk.hold(instrument, if is_long { shares } else { -1 - shares });
            for _ in 0..random.u8(0..4) {
                let mut lot = lot(Side::Buy, word(random, 32), 0);
                lot.instrument = instrument;
                lot.side = [Side::Buy, Side::Sell][random.usize(0..2)];
                lot.qty = Qty(word(random, shares_bits.min(32)));
                risk.on_reserved(&lot);
                if random.bool() {
                    let mark = Price4(word(random, 32));
                    risk.exposures.on_mark(instrument, mark);
                }
            }
        }
        if random.bool() {
            risk.mark_sells();
        }
        if random.bool() {
            risk.forbid_short(Instrument(0));
        }
        risk
    }

    /// Limits just at what a lot would make of the account, or at what the bound says, some of them.
    fn near(random: &mut fastrand::Rng, risk: &Risk, lot: &Lot) -> Limits {
        let mut next_to = |worst: i128| {
            let near = match random.u8(0..6) {
                0..3 => worst + i128::from(random.i8(-2..3)),
                3 => worst + i128::from(number(random, 64)),
                4 => i128::from(number(random, 64)),
                _ => i128::MAX,
            };
            u64::try_from(near.max(0)).unwrap_or(u64::MAX)
        };
        let after = risk.exposures.worth_with(lot);
        let held = risk.exposure(lot.instrument);
        Limits {
            position_max: next_to(held.worst(lot.side, lot.qty.0).into()),
            gross_exposure_max: next_to(after.gross),
            net_exposure_max: next_to(after.net()),
            ..LIMITS
        }
    }

    #[test]
    fn exposure_near_its_limits_is_held_as_the_exact_way_holds_it() {
        let (mut far, mut passed) = (0, 0);
        let mut refused = [0; 32];
        for seed in 0..100_000 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut risk = anything(&mut random);
            let mut one = proposal(Side::Buy, word(&mut random, 32), 0);
            one.side = [Side::Buy, Side::Sell][random.usize(0..2)];
            one.qty = Qty(word(&mut random, 32));
            one.is_marked_long = random.bool();
            let lot = lot(one.side, one.price.0, one.qty.0);
            for _ in 0..4 {
                risk.limits = near(&mut random, &risk, &lot);
                let exact = risk.check_exposure_exactly(&one, &lot);
                assert_eq!(risk.check_exposure(&one), exact, "seed {seed}");
                match exact {
                    Ok(()) if risk.exposures.is_far_from(&risk.limits, &lot) => far += 1,
                    Ok(()) => passed += 1,
                    Err(refusal) => refused[refusal as usize] += 1,
                }
            }
        }
        assert!(far > 10_000 && passed > 10_000, "{far} {passed}");
        for refusal in [
            Refusal::Position,
            Refusal::NoShort,
            Refusal::MarkedLong,
            Refusal::GrossExposure,
            Refusal::NetExposure,
        ] {
            let count = refused[refusal as usize];
            assert!(count > 2_000, "{refusal:?} {count}");
        }
    }
}
