//! What no order may do: the checks between a strategy and the exchange.
//!
//! Thread:      order core, hot
//! Invariants:  nothing is sent that `check` has not passed. Exposure is counted at its worst: what is
//!              open on a side is taken as filled, and a replace counts the larger of both sizes until
//!              the exchange has answered.
//! Time:        comes in as `now_ns`, the time at which the order goes out.
//! When wrong:  one [`Refusal`], the first that applies, in the order of [`Risk::check`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use feed_handler::best_prices::BestPrice;
use protocol::types::{Price4, Qty, Side};
use rt::clock::SECOND_NS;
use rt::mem::prefetch;

use super::instruments::{INSTRUMENTS_MAX, Instrument};

const _: () = assert!(INSTRUMENTS_MAX <= 1 << 16, "an instrument is a u16");

/// The limits of one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Shares of one order; OUCH allows 999,999.
    pub order_qty_max: Qty,
    /// Price times shares of one order, in units of 0.0001.
    pub notional_max: u64,
    /// How far from the best price a limit may lie, in hundredths of a percent: a buy above the ask
    /// (or bid), a sell below the bid (or ask).
    pub collar_bps: u32,
    /// Shares long or short in one symbol, everything open on that side taken as filled.
    pub position_max: u64,
    /// Open orders at one time.
    pub open_orders_max: u32,
    /// New orders and replaces that leave in any window of one second.
    pub orders_per_second_max: u32,
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
        open_orders_max: 1_000_000,
        orders_per_second_max: 10_000_000,
        intent_age_max_ns: 60_000_000_000,
    };
}

/// Declares why an intent can be refused, and the counter of each cause.
macro_rules! refusals {
    ($($(#[doc = $text:literal])+ $cause:ident => $counter:ident,)+) => {
        /// Why risk, or the gateway before it, refused an intent.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Refusal {
            $($(#[doc = $text])+ $cause,)+
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
    Killed => refused_killed,
    /// The operator has paused the strategy.
    Paused => refused_paused,
    /// The session to the exchange is not open.
    SessionDown => refused_session_down,
    /// More shares than one order may have, or none.
    OrderQty => refused_order_qty,
    /// Price times shares is more than one order may be worth.
    Notional => refused_notional,
    /// Too far from the book's best price.
    PriceCollar => refused_price_collar,
    /// The book has no price to hold the order against.
    NoReferencePrice => refused_no_reference_price,
    /// The feed has a gap, and the strategy did not ask to trade on stale books.
    StaleBook => refused_stale_book,
    /// The position, with everything open on that side, would be too large.
    Position => refused_position,
    /// Too many open orders.
    OpenOrders => refused_open_orders,
    /// Too many orders in this second.
    OrderRate => refused_order_rate,
    /// The directory of the strategy's feed has not named the symbol.
    UnknownSymbol => refused_unknown_symbol,
    /// The strategy may not trade the symbol: it is not one of those that its configuration names.
    NotItsSymbol => refused_not_its_symbol,
    /// The order meant is over, or never was.
    NotLive => refused_not_live,
    /// A change of the order is under way, or the exchange has not accepted it yet.
    ChangePending => refused_change_pending,
    /// The strategy has a live order with this number: its numbers came round.
    IdInUse => refused_id_in_use,
    /// The intent waited for longer than orders may.
    TooOld => refused_too_old,
    /// The connection's send buffer is full: the exchange does not read.
    Backlog => refused_backlog,
}

/// Why trading is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum KillCause {
    /// `tickgate kill`.
    Operator = 1,
    /// SIGUSR2.
    Signal = 2,
    /// An execution of an order that is not known here.
    UnknownExecution = 3,
    /// A strategy did not take its executions.
    ExecutionsLost = 4,
    /// An answer of the exchange that cannot be decoded.
    MalformedAnswer = 5,
    /// What must hold of orders or positions does not.
    BrokenInvariant = 6,
    /// `start_killed` of the session.
    StartKilled = 7,
    /// A kill of an earlier run that nobody has ended.
    Persisted = 8,
}

impl KillCause {
    /// Every cause.
    pub const ALL: [Self; 8] = [
        Self::Operator,
        Self::Signal,
        Self::UnknownExecution,
        Self::ExecutionsLost,
        Self::MalformedAnswer,
        Self::BrokenInvariant,
        Self::StartKilled,
        Self::Persisted,
    ];

    fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| *cause as u8 == code)
    }
}

impl std::fmt::Display for KillCause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Operator => "the operator",
            Self::Signal => "SIGUSR2",
            Self::UnknownExecution => "an execution of an unknown order",
            Self::ExecutionsLost => "a strategy that did not take its executions",
            Self::MalformedAnswer => "an answer of the exchange that cannot be decoded",
            Self::BrokenInvariant => "a broken invariant of orders or positions",
            Self::StartKilled => "start_killed in the configuration",
            Self::Persisted => "a kill of an earlier run",
        })
    }
}

/// No cause: orders may go.
const NOT_KILLED: u8 = 0;

/// The kill switch: anyone may turn it, the order core looks at it before each order. The first cause
/// stays until it is released; `StartKilled` gives way to another.
#[derive(Clone, Debug, Default)]
pub struct KillSwitch(Arc<AtomicU8>);

impl KillSwitch {
    /// Stops new orders.
    pub fn engage(&self, cause: KillCause) {
        let (order, code) = (Ordering::SeqCst, cause as u8);
        // An error: it is on already, and the first cause is the one to look into, unless that is only how
        // the configuration starts.
        if self
            .0
            .compare_exchange(NOT_KILLED, code, order, order)
            .is_err()
        {
            let start = KillCause::StartKilled as u8;
            let _ = self.0.compare_exchange(start, code, order, order);
        }
    }

    /// Allows new orders.
    pub fn release(&self) {
        self.0.store(NOT_KILLED, Ordering::SeqCst);
    }

    /// Allows new orders again where they are stopped for this cause; `false`: for another, or not at all.
    #[must_use]
    pub fn release_from(&self, cause: KillCause) -> bool {
        let order = Ordering::SeqCst;
        let released = self
            .0
            .compare_exchange(cause as u8, NOT_KILLED, order, order);
        released.is_ok()
    }

    /// Whether orders are stopped.
    #[inline]
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.load(Ordering::Relaxed) != NOT_KILLED
    }

    /// Why orders are stopped; `None`: they are not.
    #[must_use]
    pub fn cause(&self) -> Option<KillCause> {
        KillCause::from_code(self.0.load(Ordering::Relaxed))
    }
}

/// What is held of one instrument, and what may still come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exposure {
    /// Shares: long above zero, short below.
    pub position: i64,
    /// Shares open to buy.
    pub open_buy: u64,
    /// Shares open to sell.
    pub open_sell: u64,
}

impl Exposure {
    /// The position's size if everything open on `side`, and `more` shares, were filled.
    #[inline]
    fn worst(&self, side: Side, more: u32) -> u64 {
        let more = i128::from(more);
        let worst = match side {
            Side::Buy => i128::from(self.position) + i128::from(self.open_buy) + more,
            Side::Sell => -(i128::from(self.position) - i128::from(self.open_sell) - more),
        };
        u64::try_from(worst.max(0)).unwrap_or(u64::MAX)
    }
}

/// What is to be checked.
#[derive(Clone, Copy, Debug)]
pub struct Proposal {
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
    /// Best prices now; `None` when they could not be read.
    pub reference: Option<BestPrice>,
    /// The book may not be what the exchange has, and the strategy did not ask for that.
    pub is_stale: bool,
}

/// Limits and exposures of one session.
#[derive(Debug)]
pub struct Risk {
    limits: Limits,
    kill: KillSwitch,
    exposures: Box<[Exposure]>,
    open_orders: u32,
    /// When the last orders went, a ring as long as a second's limit.
    sent_ns: Box<[u64]>,
    sent_next: usize,
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
            exposures: vec![Exposure::default(); INSTRUMENTS_MAX].into_boxed_slice(),
            open_orders: 0,
            sent_ns: vec![0; limits.orders_per_second_max as usize].into_boxed_slice(),
            sent_next: 0,
        }
    }

    /// Whether the order may go. Counts it as sent when it may.
    ///
    /// # Errors
    /// The first rule that it breaks.
    #[inline]
    pub fn check(&mut self, proposal: &Proposal, now_ns: u64) -> Result<(), Refusal> {
        let Proposal {
            instrument,
            side,
            price,
            qty,
            counted_qty,
            ..
        } = *proposal;
        if self.kill.is_on() {
            return Err(Refusal::Killed);
        }
        if qty.0 == 0 || qty > self.limits.order_qty_max {
            return Err(Refusal::OrderQty);
        }
        if u64::from(price.0) * u64::from(qty.0) > self.limits.notional_max {
            return Err(Refusal::Notional);
        }
        if proposal.is_stale {
            return Err(Refusal::StaleBook);
        }
        self.check_collar(side, price, proposal.reference)?;
        let more = qty.0.saturating_sub(counted_qty.0);
        if self.exposure(instrument).worst(side, more) > self.limits.position_max {
            return Err(Refusal::Position);
        }
        if proposal.is_new && self.open_orders >= self.limits.open_orders_max {
            return Err(Refusal::OpenOrders);
        }
        self.check_rate(now_ns)
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
        self.exposures
            .get(usize::from(instrument.0))
            .copied()
            .unwrap_or_default()
    }

    /// Brings near what the next check reads.
    #[inline]
    pub fn prefetch(&self) {
        if let Some(oldest) = self.sent_ns.get(self.sent_next) {
            prefetch(oldest);
        }
    }

    /// Orders open now.
    #[must_use]
    pub fn open_orders(&self) -> u32 {
        self.open_orders
    }

    /// One more order is open.
    pub fn on_opened(&mut self) {
        self.open_orders += 1;
    }

    /// One order is over; `false`: none was open.
    #[must_use]
    pub fn on_closed(&mut self) -> bool {
        let was_open = self.open_orders > 0;
        self.open_orders = self.open_orders.saturating_sub(1);
        was_open
    }

    /// `more` shares stand open on a side.
    #[inline]
    pub fn on_reserved(&mut self, instrument: Instrument, side: Side, more: Qty) {
        *self.open_mut(instrument, side) += u64::from(more.0);
    }

    /// `less` shares no longer stand open on a side.
    ///
    /// # Errors
    /// Fewer stood open there, this many; none does now.
    #[inline]
    pub fn on_freed(&mut self, instrument: Instrument, side: Side, less: Qty) -> Result<(), u64> {
        let open = self.open_mut(instrument, side);
        let found = *open;
        *open = found.saturating_sub(u64::from(less.0));
        if found < u64::from(less.0) {
            return Err(found);
        }
        Ok(())
    }

    /// Shares changed hands: `sign` is 1, or -1 for a trade that is undone.
    pub fn on_traded(&mut self, instrument: Instrument, side: Side, qty: Qty, sign: i64) {
        let shares = i64::from(qty.0) * sign;
        if let Some(exposure) = self.exposures.get_mut(usize::from(instrument.0)) {
            exposure.position += if side == Side::Buy { shares } else { -shares };
        }
    }

    #[inline]
    fn open_mut(&mut self, instrument: Instrument, side: Side) -> &mut u64 {
        #[expect(
            clippy::indexing_slicing,
            reason = "instruments are made below INSTRUMENTS_MAX"
        )]
        let exposure = &mut self.exposures[usize::from(instrument.0)];
        match side {
            Side::Buy => &mut exposure.open_buy,
            Side::Sell => &mut exposure.open_sell,
        }
    }

    /// A buy is held against the ask, a sell against the bid; without that side, against the other.
    #[inline]
    fn check_collar(
        &self,
        side: Side,
        price: Price4,
        reference: Option<BestPrice>,
    ) -> Result<(), Refusal> {
        let best = reference.ok_or(Refusal::NoReferencePrice)?;
        let (near, far) = match side {
            Side::Buy => (best.ask_price, best.bid_price),
            Side::Sell => (best.bid_price, best.ask_price),
        };
        let against = if near.0 != 0 { near } else { far };
        if against.0 == 0 {
            return Err(Refusal::NoReferencePrice);
        }
        let room = u64::from(against.0) * u64::from(self.limits.collar_bps) / 10_000;
        let (against, price) = (u64::from(against.0), u64::from(price.0));
        let is_inside = match side {
            Side::Buy => price <= against + room,
            Side::Sell => price + room >= against,
        };
        if is_inside {
            Ok(())
        } else {
            Err(Refusal::PriceCollar)
        }
    }

    /// The order that went a limit's worth of orders ago must be older than a second.
    #[inline]
    fn check_rate(&mut self, now_ns: u64) -> Result<(), Refusal> {
        let Some(oldest) = self.sent_ns.get_mut(self.sent_next) else {
            return Err(Refusal::OrderRate);
        };
        if *oldest != 0 && now_ns < *oldest + SECOND_NS {
            return Err(Refusal::OrderRate);
        }
        *oldest = now_ns;
        self.sent_next += 1;
        if self.sent_next == self.sent_ns.len() {
            self.sent_next = 0;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::needless_update, reason = "a new limit does not concern it")]
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
            instrument: Instrument(0),
            side,
            price: Price4(price),
            qty: Qty(qty),
            counted_qty: Qty(0),
            is_new: true,
            reference: Some(BestPrice {
                bid_price: Price4(1_000_000),
                bid_qty: Qty(1),
                ask_price: Price4(1_010_000),
                ask_qty: Qty(1),
            }),
            is_stale: false,
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
        assert_eq!(buy(1_060_500, 1), Ok(()));
        assert_eq!(buy(1_060_501, 1), Err(Refusal::PriceCollar));
        assert_eq!(sell(950_000, 1), Ok(()));
        assert_eq!(sell(949_999, 1), Err(Refusal::PriceCollar));
        assert_eq!(sell(2_000_000, 1), Ok(()));
    }

    #[test]
    fn empty_or_stale_book_gives_no_reference() {
        let mut one = proposal(Side::Buy, 1_000_000, 1);
        one.reference = Some(BestPrice::default());
        assert_eq!(risk().check(&one, 1), Err(Refusal::NoReferencePrice));
        one.reference = None;
        assert_eq!(risk().check(&one, 1), Err(Refusal::NoReferencePrice));
        one.is_stale = true;
        assert_eq!(risk().check(&one, 1), Err(Refusal::StaleBook));
        let bid_only = BestPrice {
            bid_price: Price4(1_000_000),
            ..BestPrice::default()
        };
        let mut one = proposal(Side::Buy, 1_050_001, 1);
        one.reference = Some(bid_only);
        assert_eq!(risk().check(&one, 1), Err(Refusal::PriceCollar));
    }

    #[test]
    fn position_counts_everything_open_on_the_side() {
        let mut risk = risk();
        let (one, buy, sell) = (Instrument(0), Side::Buy, Side::Sell);
        risk.on_traded(one, buy, Qty(600), 1);
        risk.on_reserved(one, buy, Qty(500));
        assert_eq!(risk.check(&proposal(buy, 1_000_000, 400), 1), Ok(()));
        assert_eq!(
            risk.check(&proposal(buy, 1_000_000, 401), 1),
            Err(Refusal::Position)
        );
        risk.on_traded(one, sell, Qty(1600), 1);
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
        risk.on_opened();
        risk.on_opened();
        let one = proposal(Side::Buy, 1_000_000, 1);
        assert_eq!(risk.check(&one, 1), Err(Refusal::OpenOrders));
        assert!(risk.on_closed());
        assert_eq!(risk.check(&one, 1), Ok(()));
        kill.engage(KillCause::Operator);
        assert_eq!(risk.check(&one, 1), Err(Refusal::Killed));
        kill.release();
        assert_eq!(risk.check(&one, 2), Ok(()));
    }

    #[test]
    fn kill_switch_engaged_twice_keeps_the_first_cause_until_released() {
        let kill = KillSwitch::default();
        assert_eq!((kill.is_on(), kill.cause()), (false, None));
        for cause in KillCause::ALL {
            kill.engage(cause);
            assert_eq!((kill.is_on(), kill.cause()), (true, Some(cause)));
            kill.engage(KillCause::Signal);
            let first = match cause {
                // It says no more than how the configuration starts.
                KillCause::StartKilled => KillCause::Signal,
                first => first,
            };
            assert_eq!(kill.cause(), Some(first));
            kill.release();
            assert_eq!((kill.is_on(), kill.cause()), (false, None));
        }
    }
}
