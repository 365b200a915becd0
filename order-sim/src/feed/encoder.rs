//! Engine events as ITCH messages.
//!
//! Invariants:  what a reader of the messages believes to be shown is what the engine shows, after each
//!              operation. Shares that the feed never showed appear in trades alone.
//! Spec:        TotalView-ITCH 5.0, 19 Feb 2026, section 4. A trade with an unseen order is `P`, side `B`,
//!              reference 0. In a cross the shown orders leave by non-printable `C`, and `Q` prints it all.

use protocol::itch::{
    AddOrder, AddOrderMpid, BrokenTrade, CrossTrade, Head, LuldAuctionCollar,
    MarketParticipantPosition, MwcbDeclineLevels, Noii, OrderCancel, OrderDelete, OrderExecuted,
    OrderExecutedWithPrice, OrderReplace, RegSho, StockDirectory, StockTradingAction, SystemEvent,
    Trade,
};
use protocol::types::{MatchNumber, Nanos, OrderRef, Price4, Price8, Qty, Side, Symbol};
use zerocopy::IntoBytes;
use zerocopy::byteorder::big_endian::{U32, U64};

use super::Notice;
use crate::engine::{
    CrossKind, Event, Imbalance, OnFeed, Rested, State, StockStatus, Trade as Traded,
};

/// Who makes the market here.
const MARKET_MAKER: [u8; 4] = *b"TSTX";
/// Decline levels of the market-wide circuit breaker, eight decimals: 7, 13 and 20 percent below 5,000.
const DECLINE_LEVELS: [u64; 3] = [465_000_000_000, 435_000_000_000, 400_000_000_000];

/// Which symbol a locate code names.
#[derive(Debug)]
pub(crate) struct FeedEncoder {
    /// By locate code less one.
    symbols: Vec<Symbol>,
}

impl FeedEncoder {
    pub(crate) fn new() -> Self {
        Self {
            symbols: Vec::with_capacity(usize::from(u16::MAX)),
        }
    }

    /// A stock was listed; locate codes rise by one.
    pub(crate) fn list(&mut self, stock: &StockStatus) {
        if usize::from(stock.locate) > self.symbols.len() {
            self.symbols.push(stock.symbol);
        }
    }

    /// What is written at this time.
    #[inline]
    pub(crate) fn at(&self, now: Nanos) -> Stamped<'_> {
        Stamped {
            symbols: &self.symbols,
            now,
        }
    }
}

/// Makes messages that carry one time, and hands each to `out`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamped<'a> {
    symbols: &'a [Symbol],
    now: Nanos,
}

impl Stamped<'_> {
    fn head(&self, kind: u8, locate: u16) -> Head {
        Head::new(kind, locate, self.now)
    }

    fn symbol(&self, locate: u16) -> Symbol {
        let at = usize::from(locate).checked_sub(1);
        at.and_then(|at| self.symbols.get(at))
            .copied()
            .unwrap_or(Symbol::BLANK)
    }

    /// Messages that no event of the engine causes.
    pub(crate) fn on_notice(&self, notice: Notice<'_>, out: &mut dyn FnMut(&[u8])) {
        match notice {
            Notice::SystemEvent(event) => out(SystemEvent {
                head: self.head(SystemEvent::KIND, 0),
                event,
            }
            .as_bytes()),
            Notice::DeclineLevels => self.decline_levels(out),
            Notice::Listed(stock) => self.listed(stock, out),
        }
    }

    /// A symbol was listed: its directory entry, state, restriction and market maker.
    fn listed(&self, stock: &StockStatus, out: &mut dyn FnMut(&[u8])) {
        let StockStatus {
            locate,
            symbol,
            state,
            is_short_restricted,
        } = *stock;
        out(self.directory(locate).as_bytes());
        out(self.action(locate, state, *b"    ").as_bytes());
        out(self.reg_sho(locate, is_short_restricted).as_bytes());
        out(MarketParticipantPosition {
            head: self.head(MarketParticipantPosition::KIND, locate),
            mpid: MARKET_MAKER,
            stock: symbol,
            primary_market_maker: b'Y',
            market_maker_mode: b'N',
            state: b'A',
        }
        .as_bytes());
    }

    pub(crate) fn directory(&self, locate: u16) -> StockDirectory {
        let head = self.head(StockDirectory::KIND, locate);
        StockDirectory::common_stock(head, self.symbol(locate))
    }

    pub(crate) fn action(&self, locate: u16, state: State, reason: [u8; 4]) -> StockTradingAction {
        StockTradingAction {
            head: self.head(StockTradingAction::KIND, locate),
            stock: self.symbol(locate),
            state: state as u8,
            reserved: b' ',
            reason,
        }
    }

    pub(crate) fn reg_sho(&self, locate: u16, is_restricted: bool) -> RegSho {
        RegSho {
            head: self.head(RegSho::KIND, locate),
            stock: self.symbol(locate),
            action: if is_restricted { b'1' } else { b'0' },
        }
    }

    fn decline_levels(&self, out: &mut dyn FnMut(&[u8])) {
        let [level_1, level_2, level_3] = DECLINE_LEVELS.map(|level| Price8(level).into());
        let head = self.head(MwcbDeclineLevels::KIND, 0);
        out(MwcbDeclineLevels {
            head,
            level_1,
            level_2,
            level_3,
        }
        .as_bytes());
    }

    pub(crate) fn on_event(&self, event: &Event, out: &mut impl FnMut(&[u8])) {
        match event {
            Event::Rested(rested) | Event::Refreshed { rested, .. } => self.add(rested, out),
            Event::RestedAs {
                old_reference,
                rested,
            } => out(OrderReplace {
                head: self.head(OrderReplace::KIND, rested.locate),
                old_order: OrderRef(*old_reference).into(),
                new_order: OrderRef(rested.reference).into(),
                shares: Qty(rested.qty).into(),
                price: Price4(rested.price).into(),
            }
            .as_bytes()),
            Event::Withdrawn { locate, reference } => self.delete(*locate, *reference, out),
            Event::Traded(trade) => self.traded(trade, out),
            Event::Canceled(canceled) | Event::Prevented { canceled, .. } => {
                self.lessened(canceled.locate, canceled.shown, out);
            }
            Event::Replaced { locate, shown, .. } => self.lessened(*locate, *shown, out),
            Event::State {
                locate,
                state,
                reason,
                ..
            } => {
                out(self.action(*locate, *state, *reason).as_bytes());
            }
            Event::Collar { .. } => self.collar(event, out),
            Event::Crossed {
                locate,
                kind,
                shares,
                price,
                match_number,
            } => out(CrossTrade {
                head: self.head(CrossTrade::KIND, *locate),
                shares: U64::new(*shares),
                stock: self.symbol(*locate),
                price: Price4(*price).into(),
                match_number: MatchNumber(*match_number).into(),
                cross_type: cross_code(*kind),
            }
            .as_bytes()),
            Event::Imbalance {
                locate,
                kind,
                imbalance,
            } => self.imbalance(*locate, *kind, imbalance, out),
            Event::Broken {
                locate,
                match_number,
                ..
            } => out(BrokenTrade {
                head: self.head(BrokenTrade::KIND, *locate),
                match_number: MatchNumber(*match_number).into(),
            }
            .as_bytes()),
            Event::Accepted { .. } => {}
        }
    }

    fn collar(&self, event: &Event, out: &mut impl FnMut(&[u8])) {
        let Event::Collar {
            locate,
            reference,
            lower,
            upper,
        } = event
        else {
            return;
        };
        out(LuldAuctionCollar {
            head: self.head(LuldAuctionCollar::KIND, *locate),
            stock: self.symbol(*locate),
            reference_price: Price4(*reference).into(),
            upper_price: Price4(*upper).into(),
            lower_price: Price4(*lower).into(),
            extension: U32::new(0),
        }
        .as_bytes());
    }

    pub(crate) fn add(&self, rested: &Rested, out: &mut impl FnMut(&[u8])) {
        let (order, shares) = (OrderRef(rested.reference).into(), Qty(rested.qty).into());
        let (stock, price) = (self.symbol(rested.locate), Price4(rested.price).into());
        let side = rested.side as u8;
        if rested.attribution == [0; 4] {
            let head = self.head(AddOrder::KIND, rested.locate);
            return out(AddOrder {
                head,
                order,
                side,
                shares,
                stock,
                price,
            }
            .as_bytes());
        }
        let (head, attribution) = (
            self.head(AddOrderMpid::KIND, rested.locate),
            rested.attribution,
        );
        out(AddOrderMpid {
            head,
            order,
            side,
            shares,
            stock,
            price,
            attribution,
        }
        .as_bytes());
    }

    fn delete(&self, locate: u16, reference: u64, out: &mut impl FnMut(&[u8])) {
        let head = self.head(OrderDelete::KIND, locate);
        out(OrderDelete {
            head,
            order: OrderRef(reference).into(),
        }
        .as_bytes());
    }

    fn lessened(&self, locate: u16, shown: Option<OnFeed>, out: &mut impl FnMut(&[u8])) {
        match shown {
            Some(OnFeed {
                reference, left: 0, ..
            }) => self.delete(locate, reference, out),
            Some(OnFeed { reference, off, .. }) => out(OrderCancel {
                head: self.head(OrderCancel::KIND, locate),
                order: OrderRef(reference).into(),
                shares: Qty(off).into(),
            }
            .as_bytes()),
            None => {}
        }
    }

    fn traded(&self, trade: &Traded, out: &mut impl FnMut(&[u8])) {
        let (shares, price) = (Qty(trade.qty).into(), Price4(trade.price).into());
        let match_number = MatchNumber(trade.match_number).into();
        if trade.cross.is_some() {
            for shown in [trade.maker_shown, trade.taker_shown].into_iter().flatten() {
                out(OrderExecutedWithPrice {
                    head: self.head(OrderExecutedWithPrice::KIND, trade.locate),
                    order: OrderRef(shown.reference).into(),
                    shares: Qty(shown.off).into(),
                    match_number,
                    printable: b'N',
                    price,
                }
                .as_bytes());
            }
            return;
        }
        match trade.maker_shown {
            Some(shown) => out(OrderExecuted {
                head: self.head(OrderExecuted::KIND, trade.locate),
                order: OrderRef(shown.reference).into(),
                shares,
                match_number,
            }
            .as_bytes()),
            None => out(Trade {
                head: self.head(Trade::KIND, trade.locate),
                order: OrderRef(0).into(),
                side: b'B',
                shares,
                stock: self.symbol(trade.locate),
                price,
                match_number,
            }
            .as_bytes()),
        }
    }

    fn imbalance(
        &self,
        locate: u16,
        kind: CrossKind,
        imbalance: &Imbalance,
        out: &mut impl FnMut(&[u8]),
    ) {
        let direction = match imbalance.side {
            _ if imbalance.near == 0 => b'O',
            None => b'N',
            Some(Side::Buy) => b'B',
            Some(Side::Sell) => b'S',
        };
        out(Noii {
            head: self.head(Noii::KIND, locate),
            paired_shares: U64::new(imbalance.paired),
            imbalance_shares: U64::new(imbalance.imbalance),
            direction,
            stock: self.symbol(locate),
            far_price: Price4(imbalance.far).into(),
            near_price: Price4(imbalance.near).into(),
            reference_price: Price4(imbalance.reference).into(),
            cross_type: cross_code(kind),
            variation: variation(imbalance.near, imbalance.reference),
        }
        .as_bytes());
    }
}

fn cross_code(kind: CrossKind) -> u8 {
    match kind {
        CrossKind::Open => b'O',
        CrossKind::Close => b'C',
        CrossKind::Halt => b'H',
    }
}

/// How far the near price lies from the reference, as section 10 codes it.
fn variation(near: u32, reference: u32) -> u8 {
    if near == 0 || reference == 0 {
        return b' ';
    }
    let percent = u64::from(near.abs_diff(reference)) * 100 / u64::from(reference);
    match percent {
        0 => b'L',
        1..=9 => b"0123456789"
            .get(usize::try_from(percent).unwrap_or(9))
            .copied()
            .unwrap_or(b'9'),
        10..=19 => b'A',
        20..=29 => b'B',
        _ => b'C',
    }
}
