//! What an account may do, and what the market allows now. One reason for each refusal.
//!
//! The causes of all reasons are in `docs/exchange.md`.

use protocol::ouch::{EnterOrder, RejectReason};
use protocol::types::{Nanos, Side, Symbol};

use super::request::{Tags, Wanted};
use super::{Account, Held};
use crate::engine::{
    CrossKind, Engine, NewOrder, Owner, PostOnly, Terms, TimeInForce, cancel_reason, tick_of,
};
use crate::options::Right;

/// Which part of the day it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// No hours are set: it always trades.
    Always,
    /// Before market hours: orders wait for the opening cross.
    Before,
    /// Market hours.
    Market,
    /// After the closing cross.
    After,
    /// System hours are over.
    Closed,
}

/// What the rules look at besides the account.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Market<'a> {
    pub engine: &'a Engine,
    pub phase: Phase,
    /// Orders for the closing cross can no longer be changed.
    pub is_late: bool,
    pub now: Nanos,
    pub limits: OrderLimits,
}

/// What the exchange demands of everybody's orders.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OrderLimits {
    /// Prices must be whole ticks.
    pub has_ticks: bool,
    /// Price times shares of one order at most, four decimals; 0: any.
    pub notional_max: u64,
}

/// A new order as the client sent it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entered<'a> {
    pub owner: Owner,
    pub message: &'a EnterOrder,
    pub tags: &'a Tags,
    /// The stock's locate code; `None`: it is not listed.
    pub locate: Option<u16>,
}

/// What an order is for.
#[derive(Clone, Copy, Debug)]
struct Instrument {
    symbol: Symbol,
    locate: u16,
}

/// An order that may go to the engine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub new: NewOrder,
    pub held: Held,
}

impl Account {
    /// Examines a new order: sense first, then rights and risk, then the market.
    pub(crate) fn examine(
        &mut self,
        entered: &Entered<'_>,
        market: Market<'_>,
    ) -> Result<Asked, RejectReason> {
        let &Entered {
            owner,
            message: m,
            tags,
            locate,
        } = entered;
        let wanted = Wanted::of_enter(m);
        if !self.is_within_rate(market.now) {
            return Err(RejectReason::RiskPortMessageRate);
        }
        if self.is_disabled || !self.speaks_for(tags) {
            return Err(RejectReason::FirmNotAuthorized);
        }
        if let Some(reason) = wanted.fault(tags) {
            return Err(reason);
        }
        let locate = locate.ok_or(RejectReason::InvalidSymbol)?;
        if let Some(reason) = self.right_missing(&wanted, tags, market.phase) {
            return Err(reason);
        }
        let instrument = Instrument {
            symbol: m.symbol,
            locate,
        };
        if let Some(reason) = self.risk(&wanted, instrument, market, 0) {
            return Err(reason);
        }
        if let Some(reason) = market.objection(&wanted, tags, locate) {
            return Err(reason);
        }
        let held = Held {
            message: *m,
            tags: *tags,
            handle: None,
            locate,
            executed: 0,
            open: wanted.qty,
            price: wanted.limit(),
            behaviour: None,
        };
        let mut new = self.new_order(owner, &wanted, &held);
        // "Any Day order received after the closing cross" is taken in and cancelled as closed.
        if market.phase == Phase::After && new.terms.life == TimeInForce::Market {
            new.ends = Some(cancel_reason::CLOSED);
        }
        Ok(Asked { new, held })
    }

    /// Examines what a replacement asks for; only what the account and the market forbid, not nonsense.
    pub(crate) fn examine_replacement(
        &self,
        wanted: &Wanted,
        held: &Held,
        market: Market<'_>,
    ) -> Option<RejectReason> {
        let is_cross = wanted.cross_kind() == Some(CrossKind::Close);
        if self.is_disabled {
            return Some(RejectReason::FirmNotAuthorized);
        }
        if is_cross && market.is_late {
            return Some(RejectReason::ReplaceNotAllowed);
        }
        let instrument = Instrument {
            symbol: held.message.symbol,
            locate: held.locate,
        };
        let released = held.notional(held.open);
        self.right_missing(wanted, &held.tags, market.phase)
            .or_else(|| self.risk(wanted, instrument, market, released))
    }

    fn speaks_for(&self, tags: &Tags) -> bool {
        let firms = &self.options.firms;
        tags.firm.is_none_or(|firm| {
            firms.is_empty()
                || firms
                    .iter()
                    .any(|name| name.as_bytes() == firm.trim_ascii_end())
        })
    }

    fn right_missing(&self, wanted: &Wanted, tags: &Tags, phase: Phase) -> Option<RejectReason> {
        let lacks = |right: Right| !self.options.rights.contains(&right);
        if wanted.side == b'T' && lacks(Right::Short) {
            Some(RejectReason::RiskShortSellNotAllowed)
        } else if wanted.side == b'E' && lacks(Right::ShortExempt) {
            Some(RejectReason::RiskShortExemptNotAllowed)
        } else if wanted.side == b'T' && !tags.is_located {
            Some(RejectReason::RiskLocateRequired)
        } else if wanted.iso == b'Y' && lacks(Right::Iso) {
            Some(RejectReason::RiskIsoNotAllowed)
        } else if wanted.limit().is_none() && lacks(Right::Market) {
            Some(RejectReason::RiskMarketOrderNotAllowed)
        } else if phase == Phase::Before && lacks(Right::PreMarket) {
            Some(RejectReason::RiskPreMarketNotAllowed)
        } else if phase == Phase::After && lacks(Right::PostMarket) {
            Some(RejectReason::RiskPostMarketNotAllowed)
        } else {
            None
        }
    }

    fn risk(
        &self,
        wanted: &Wanted,
        instrument: Instrument,
        market: Market<'_>,
        released: u64,
    ) -> Option<RejectReason> {
        let limits = &self.options;
        let exceeds = |value: u64, max: u64| max > 0 && value > max;
        let price = wanted.limit().map_or(0, |price| price.0);
        let notional = u64::from(price) * u64::from(wanted.qty);
        let exposure = (self.exposure + notional).saturating_sub(released);
        if limits
            .restricted
            .iter()
            .any(|name| name == instrument.symbol.as_str())
        {
            Some(RejectReason::RiskRestrictedStock)
        } else if exceeds(u64::from(wanted.qty), u64::from(limits.qty_max)) {
            Some(RejectReason::RiskMaxQuantity)
        } else if exceeds(notional, limits.notional_max) {
            Some(RejectReason::RiskSingleOrderNotional)
        } else if exceeds(notional, market.limits.notional_max) {
            Some(RejectReason::ExceedsMaxNotional)
        } else if exceeds(exposure, limits.exposure_max) {
            Some(RejectReason::RiskAggregateExposure)
        } else if self.orders.len() >= limits.orders_max && released == 0 {
            Some(RejectReason::SharesExceedThreshold)
        } else if self.is_fat_finger(wanted, market.engine, instrument.locate) {
            Some(RejectReason::RiskFatFinger)
        } else {
            None
        }
    }

    /// Whether a limit lies further through the market than the account allows.
    fn is_fat_finger(&self, wanted: &Wanted, engine: &Engine, locate: u16) -> bool {
        let bps = u64::from(self.options.fat_finger_bps);
        let (Some(limit), true) = (wanted.limit(), bps > 0) else {
            return false;
        };
        let (bid, ask, _) = engine.best(locate);
        let limit = u64::from(limit.0);
        if wanted.side == b'B' {
            ask.is_some_and(|ask| limit > u64::from(ask) * (10_000 + bps) / 10_000)
        } else {
            bid.is_some_and(|bid| limit < u64::from(bid) * 10_000_u64.saturating_sub(bps) / 10_000)
        }
    }

    fn new_order(&self, owner: Owner, wanted: &Wanted, held: &Held) -> NewOrder {
        let tags = &held.tags;
        let side = Side::of_code(wanted.side).unwrap_or(Side::Buy);
        let is_named = wanted.display == b'A';
        let mut attribution = [0; 4];
        if is_named {
            attribution = tags.firm.unwrap_or_else(|| self.options.firm_code());
        }
        NewOrder {
            owner,
            locate: held.locate,
            side,
            qty: wanted.qty,
            terms: self.terms(wanted, tags),
            prevention: self.prevention(owner.account, tags),
            cross: wanted.cross_kind(),
            is_short: wanted.side == b'T',
            attribution,
            ends: None,
        }
    }

    /// How an order is to trade, as its message and tags say.
    pub(crate) fn terms(&self, wanted: &Wanted, tags: &Tags) -> Terms {
        Terms {
            limit: wanted.limit().map(|price| price.0),
            life: wanted.life(tags).unwrap_or(TimeInForce::Immediate),
            is_shown: wanted.display != b'N',
            is_midpoint: tags.is_midpoint,
            post_only: self.post_only(tags),
            min_qty: tags.min_qty,
            display_qty: tags.max_floor,
            house: false,
        }
    }

    fn post_only(&self, tags: &Tags) -> PostOnly {
        match (tags.is_post_only, self.options.post_only_slides) {
            (false, _) => PostOnly::No,
            (true, true) => PostOnly::Slide,
            (true, false) => PostOnly::Cancel,
        }
    }
}

impl Market<'_> {
    fn objection(&self, wanted: &Wanted, tags: &Tags, locate: u16) -> Option<RejectReason> {
        let cross = wanted.cross_kind();
        let limit = wanted.limit().map(|price| price.0);
        let (bid, ask, last) = self.engine.best(locate);
        let is_after_only = wanted.time_in_force == b'E';
        if self.phase == Phase::Closed {
            return Some(RejectReason::DestinationClosed);
        }
        if self.limits.has_ticks && limit.is_some_and(|price| price % tick_of(price) != 0) {
            return Some(RejectReason::InvalidPrice);
        }
        if is_after_only && matches!(self.phase, Phase::Before | Phase::Market) {
            return Some(RejectReason::Other);
        }
        if tags.is_midpoint && self.phase == Phase::After {
            return Some(RejectReason::PeggingNotAllowed);
        }
        if tags.is_midpoint && (bid.is_none() || ask.is_none()) {
            return Some(RejectReason::QuoteUnavailable);
        }
        // A midpoint of a stock below a dollar may lie on a price that is shown.
        if tags.is_midpoint && tags.is_post_only && limit.is_some_and(|price| price < 10_000) {
            return Some(RejectReason::InvalidMidpointPostOnlyPrice);
        }
        match cross {
            Some(CrossKind::Open) if self.phase != Phase::Before => {
                Some(RejectReason::InvalidCrossOrder)
            }
            Some(CrossKind::Close) => self.closing(wanted, limit, last),
            _ => None,
        }
    }

    /// Orders for the closing cross: before market hours end, and late ones not through the last price.
    fn closing(&self, wanted: &Wanted, limit: Option<u32>, last: u32) -> Option<RejectReason> {
        if !matches!(self.phase, Phase::Before | Phase::Market) {
            return Some(RejectReason::InvalidCrossOrder);
        }
        if !self.is_late {
            return None;
        }
        if last == 0 {
            return Some(RejectReason::NoClosingReferencePrice);
        }
        let is_aggressive = match limit {
            None => true,
            Some(limit) if wanted.side == b'B' => limit > last,
            Some(limit) => limit < last,
        };
        is_aggressive.then_some(RejectReason::LateLocTooAggressive)
    }
}
