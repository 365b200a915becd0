//! What a client asks for, read out of an OUCH message and its appendage, and what makes it nonsense.
//!
//! The checks here need no market: they read the message and nothing else. The ones that do are in
//! `rules.rs`.
//!
//! Spec:        OUCH 5.0 revision 1.04, sections "Enter Order", "Replace Order" and the appendix; tags 29
//!              and 30 revision 1.05.

use protocol::ouch::{
    Appendage, Element, EnterOrder, PRICE_MARKET, PRICE_MAX, QTY_MAX, RejectReason, ReplaceOrder,
    TIF_AFTER_HOURS, TIF_DAY, TIF_GTT, TIF_GTX, TIF_IOC,
};
use protocol::types::Price4;
use protocol::wire::WidePriceBe;
use rt::clock::SECOND_NS;

use crate::engine::{CrossKind, Prevention, TimeInForce};

/// A market order's other price: 200,000.0000.
const PRICE_MARKET_LIMIT: u64 = 2_000_000_000;
const DAY_SECONDS: u32 = 86_400;

/// The optional fields that this exchange acts upon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tags {
    pub firm: Option<[u8; 4]>,
    pub min_qty: u32,
    pub max_floor: u32,
    pub is_midpoint: bool,
    pub is_post_only: bool,
    pub expire_s: Option<u32>,
    pub is_routed: bool,
    pub is_located: bool,
    pub is_retail: bool,
    pub prevention: Option<Prevention>,
    pub group: u16,
    /// What is wrong with them.
    pub fault: Option<RejectReason>,
}

impl Tags {
    pub(crate) fn read(appendage: &Appendage<'_>) -> Self {
        let mut tags = Self {
            is_located: true,
            ..Self::default()
        };
        for element in appendage.elements() {
            tags.take(element);
        }
        tags
    }

    /// Those of an order after a replacement that states some anew.
    pub(crate) fn changed_by(self, appendage: &Appendage<'_>) -> Self {
        let mut tags = Self {
            fault: None,
            ..self
        };
        for element in appendage.elements() {
            tags.take(element);
        }
        tags
    }

    fn take(&mut self, element: Element<'_>) {
        match element {
            Element::Firm(firm) => self.firm = Some(firm),
            Element::MinQty(qty) => self.min_qty = qty.0,
            Element::MaxFloor(qty) => self.max_floor = qty.0,
            Element::PriceType(b'L') => {}
            Element::PriceType(b'M' | b'm') => self.is_midpoint = true,
            Element::PriceType(_) => self.fault = Some(RejectReason::InvalidPegType),
            Element::PegOffset(offset) if offset != 0 => {
                self.fault = Some(RejectReason::InvalidPegType);
            }
            Element::PostOnly(code) => self.is_post_only = code == b'P',
            Element::ExpireTimeSeconds(seconds) => self.expire_s = Some(seconds),
            Element::Route(_) => self.is_routed = true,
            Element::SharesLocated(code) => self.is_located = code == b'Y',
            Element::CustomerType(code) => self.is_retail = code == b'R',
            Element::AiqStrategy(code) => match Prevention::of_code(code) {
                Some(rule) => self.prevention = Some(rule),
                None => self.fault = Some(RejectReason::InvalidAiq),
            },
            Element::AiqGroup(group) => self.group = u16::from_be_bytes(group),
            // Nobody here acts upon the rest: routing details, discretion, retail, weights.
            _ => {}
        }
    }
}

/// The fields that an Enter Order and a Replace Order share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub qty: u32,
    pub price: WidePriceBe,
    pub time_in_force: u8,
    pub display: u8,
    pub cross: u8,
    pub capacity: u8,
    pub iso: u8,
    pub side: u8,
}

impl Wanted {
    pub(crate) fn of_enter(m: &EnterOrder) -> Self {
        Self {
            qty: m.qty.get().0,
            price: m.price,
            time_in_force: m.time_in_force,
            display: m.display,
            cross: m.cross,
            capacity: m.capacity,
            iso: m.iso,
            side: m.side,
        }
    }

    /// A replacement of this order.
    pub(crate) fn of_replace(m: &ReplaceOrder, old: &EnterOrder) -> Self {
        Self {
            qty: m.qty.get().0,
            price: m.price,
            time_in_force: m.time_in_force,
            display: m.display,
            iso: m.iso,
            ..Self::of_enter(old)
        }
    }

    /// The limit: `None` for a market order.
    pub(crate) fn limit(&self) -> Option<Price4> {
        let is_market =
            self.price.raw() == PRICE_MARKET_LIMIT || self.price.raw() == u64::from(PRICE_MARKET.0);
        if is_market { None } else { self.price.get() }
    }

    /// What makes it nonsense, in the order in which it is looked at.
    pub(crate) fn fault(&self, tags: &Tags) -> Option<RejectReason> {
        let limit = self.limit();
        let is_price_sane = limit.is_some_and(|price| price.0 > 0 && price <= PRICE_MAX)
            || self.price.raw() == PRICE_MARKET_LIMIT
            || self.price.raw() == u64::from(PRICE_MARKET.0);
        let is_immediate = self.time_in_force == TIF_IOC;
        let is_unseen = self.display == b'N' || tags.is_midpoint;
        if !b"BSTE".contains(&self.side) {
            Some(RejectReason::InvalidSide)
        } else if self.qty == 0 || self.qty > QTY_MAX.0 {
            Some(RejectReason::InvalidQuantity)
        } else if !is_price_sane {
            Some(RejectReason::InvalidPrice)
        } else if !b"YNA".contains(&self.display) {
            Some(RejectReason::InvalidDisplay)
        } else if !b"NOCH".contains(&self.cross) {
            // R is for retail orders, the others for venues that this one is not.
            let is_retail = self.cross == b'R' || tags.is_retail;
            Some(if is_retail {
                RejectReason::RetailNotAllowed
            } else {
                RejectReason::InvalidCrossOrder
            })
        } else if self.cross != b'N' && (is_immediate || tags.is_midpoint) {
            Some(RejectReason::InvalidCrossOrder)
        } else if tags.min_qty > self.qty || (tags.min_qty > 0 && !is_unseen && !is_immediate) {
            Some(RejectReason::InvalidMinQuantity)
        } else if tags.max_floor > 0 && (is_unseen || is_immediate || tags.max_floor > self.qty) {
            Some(RejectReason::InvalidMaxFloor)
        } else if tags.is_routed {
            Some(RejectReason::RoutingNotAllowed)
        } else if self.life(tags).is_none()
            || !b"APRO".contains(&self.capacity)
            || !b"YN".contains(&self.iso)
            || (limit.is_none() && !is_immediate && self.cross == b'N')
        {
            Some(RejectReason::Other)
        } else {
            tags.fault
        }
    }

    /// How long it may rest; `None`: the code is unknown, or its time is missing.
    pub(crate) fn life(&self, tags: &Tags) -> Option<TimeInForce> {
        match self.time_in_force {
            TIF_DAY => Some(TimeInForce::Market),
            TIF_IOC => Some(TimeInForce::Immediate),
            TIF_GTX | TIF_AFTER_HOURS => Some(TimeInForce::System),
            TIF_GTT => {
                let seconds = tags.expire_s.filter(|seconds| *seconds < DAY_SECONDS)?;
                Some(TimeInForce::Until(u64::from(seconds) * SECOND_NS))
            }
            _ => None,
        }
    }

    pub(crate) fn cross_kind(&self) -> Option<CrossKind> {
        match self.cross {
            b'O' => Some(CrossKind::Open),
            b'C' => Some(CrossKind::Close),
            b'H' => Some(CrossKind::Halt),
            _ => None,
        }
    }
}
