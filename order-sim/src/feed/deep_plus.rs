//! Engine events as DEEP+ messages.
//!
//! Invariants:  as the ITCH encoder's: what a reader believes to be shown is what the engine shows, after each
//!              operation; every share that trades is printed once.
//! Spec:        IEX DEEP+ 1.02. An order that gets another reference is deleted and added. What DEEP+ has no
//!              word for (imbalances, collars, decline levels, market makers) is not told. In a cross the first
//!              shown order of a trade leaves by an execution, which prints it; the other by a change or a
//!              deletion, which does not; what is left to print is a trade.

use std::collections::HashMap;

use protocol::deep_plus::{
    AddOrder, FLAG_CROSS, FLAG_KEEPS_PRIORITY, FLAG_ODD_LOT, OperationalHalt, OrderDelete,
    OrderExecuted, OrderModify, SecurityDirectory, SecurityEvent, ShortSalePriceTest, SystemEvent,
    Trade, TradeBreak, TradingStatus,
};
use protocol::types::{MatchNumber, Nanos, OrderRef, Price4, Qty, SignedPrice4, Symbol};
use zerocopy::IntoBytes;

use super::Notice;
use crate::engine::{CrossKind, Event, OnFeed, Rested, State, StockStatus, Trade as Traded};

/// Shares of a round lot.
const ROUND_LOT: u32 = 100;

/// What the messages need beside the events: names, and the prices of shown orders.
#[derive(Debug)]
pub(crate) struct DeepPlusEncoder {
    /// Added to the exchange's time.
    midnight_ns: u64,
    /// By locate code less one.
    symbols: Vec<Symbol>,
    /// By reference; as many as the engine shows.
    prices: HashMap<u64, u32>,
    now: Nanos,
}

/// Where messages go.
type Out<'a> = &'a mut dyn FnMut(&[u8]);

impl DeepPlusEncoder {
    pub(crate) fn new(midnight_ns: u64) -> Self {
        Self {
            midnight_ns,
            symbols: Vec::new(),
            prices: HashMap::new(),
            now: Nanos(midnight_ns),
        }
    }

    /// What comes next is said at this time.
    pub(crate) fn at(&mut self, now: Nanos) -> &mut Self {
        self.now = Nanos(self.midnight_ns + now.0);
        self
    }

    fn symbol(&self, locate: u16) -> Symbol {
        let at = usize::from(locate).checked_sub(1);
        at.and_then(|at| self.symbols.get(at))
            .copied()
            .unwrap_or(Symbol::BLANK)
    }

    pub(crate) fn on_notice(&mut self, notice: Notice<'_>, out: Out<'_>) {
        match notice {
            Notice::SystemEvent(code) => {
                // Regular hours begin with another letter than ITCH's.
                let event = if code == b'Q' { b'R' } else { code };
                let message = SystemEvent {
                    kind: SystemEvent::KIND,
                    event,
                    timestamp: self.now.into(),
                };
                out(message.as_bytes());
            }
            Notice::DeclineLevels => {}
            Notice::Listed(stock) => self.listed(stock, out),
        }
    }

    fn listed(&mut self, stock: &StockStatus, out: Out<'_>) {
        if usize::from(stock.locate) > self.symbols.len() {
            self.symbols.push(stock.symbol);
        }
        let (timestamp, symbol) = (self.now.into(), stock.symbol);
        let directory = SecurityDirectory {
            kind: SecurityDirectory::KIND,
            flags: 0,
            timestamp,
            symbol,
            round_lot_size: Qty(ROUND_LOT).into(),
            adjusted_poc_price: SignedPrice4(0).into(),
            luld_tier: 1,
        };
        out(directory.as_bytes());
        self.status(stock.locate, stock.state, *b"    ", out);
        let halt = OperationalHalt {
            kind: OperationalHalt::KIND,
            status: b'N',
            timestamp,
            symbol,
        };
        out(halt.as_bytes());
        let test = ShortSalePriceTest {
            kind: ShortSalePriceTest::KIND,
            status: u8::from(stock.is_short_restricted),
            timestamp,
            symbol,
            detail: if stock.is_short_restricted {
                b'A'
            } else {
                b' '
            },
        };
        out(test.as_bytes());
    }

    fn status(&self, locate: u16, state: State, reason: [u8; 4], out: Out<'_>) {
        let status = match state {
            State::Halted => b'H',
            State::Paused => b'P',
            State::Quoting => b'O',
            State::Trading => b'T',
        };
        let message = TradingStatus {
            kind: TradingStatus::KIND,
            status,
            timestamp: self.now.into(),
            symbol: self.symbol(locate),
            reason,
        };
        out(message.as_bytes());
    }

    pub(crate) fn on_event(&mut self, event: &Event, out: Out<'_>) {
        match event {
            Event::Rested(rested) | Event::Refreshed { rested, .. } => self.add(rested, out),
            Event::RestedAs {
                old_reference,
                rested,
            } => {
                self.delete(rested.locate, *old_reference, out);
                self.add(rested, out);
            }
            Event::Withdrawn { locate, reference } => self.delete(*locate, *reference, out),
            Event::Traded(trade) => match trade.cross {
                Some(_) => self.crossed(trade, out),
                None => self.traded(trade, out),
            },
            Event::Canceled(canceled) | Event::Prevented { canceled, .. } => {
                self.lessened(canceled.locate, canceled.shown, out);
            }
            Event::Replaced { locate, shown, .. } => self.lessened(*locate, *shown, out),
            Event::State {
                locate,
                state,
                reason,
                ..
            } => self.status(*locate, *state, *reason, out),
            Event::Crossed { locate, kind, .. } => self.process_complete(*locate, *kind, out),
            Event::Broken {
                locate,
                match_number,
                qty,
                price,
                ..
            } => {
                let message = TradeBreak {
                    kind: TradeBreak::KIND,
                    flags: 0,
                    timestamp: self.now.into(),
                    symbol: self.symbol(*locate),
                    size: Qty(*qty).into(),
                    price: SignedPrice4::from(Price4(*price)).into(),
                    trade: MatchNumber(*match_number).into(),
                };
                out(message.as_bytes());
            }
            Event::Accepted { .. } | Event::Collar { .. } | Event::Imbalance { .. } => {}
        }
    }

    fn add(&mut self, rested: &Rested, out: Out<'_>) {
        self.prices.insert(rested.reference, rested.price);
        let message = AddOrder {
            kind: AddOrder::KIND,
            side: AddOrder::code_of_side(rested.side),
            timestamp: self.now.into(),
            symbol: self.symbol(rested.locate),
            order: OrderRef(rested.reference).into(),
            size: Qty(rested.qty).into(),
            price: SignedPrice4::from(Price4(rested.price)).into(),
        };
        out(message.as_bytes());
    }

    fn delete(&mut self, locate: u16, reference: u64, out: Out<'_>) {
        self.prices.remove(&reference);
        let message = OrderDelete {
            kind: OrderDelete::KIND,
            reserved: 0,
            timestamp: self.now.into(),
            symbol: self.symbol(locate),
            order: OrderRef(reference).into(),
        };
        out(message.as_bytes());
    }

    /// Shares leave an order without a trade that is printed here.
    fn lessened(&mut self, locate: u16, shown: Option<OnFeed>, out: Out<'_>) {
        let Some(shown) = shown else { return };
        if shown.left == 0 {
            return self.delete(locate, shown.reference, out);
        }
        let price = self.prices.get(&shown.reference).copied().unwrap_or(0);
        let message = OrderModify {
            kind: OrderModify::KIND,
            flags: FLAG_KEEPS_PRIORITY,
            timestamp: self.now.into(),
            symbol: self.symbol(locate),
            order: OrderRef(shown.reference).into(),
            size: Qty(shown.left).into(),
            price: SignedPrice4::from(Price4(price)).into(),
        };
        out(message.as_bytes());
    }

    fn traded(&mut self, trade: &Traded, out: Out<'_>) {
        let odd_lot = if trade.qty < ROUND_LOT {
            FLAG_ODD_LOT
        } else {
            0
        };
        match trade.maker_shown {
            Some(shown) => self.executed(trade, shown, odd_lot, out),
            None => self.printed(trade, trade.qty, odd_lot, out),
        }
    }

    fn crossed(&mut self, trade: &Traded, out: Out<'_>) {
        let (first, second) = match trade.maker_shown {
            Some(shown) => (Some(shown), trade.taker_shown),
            None => (trade.taker_shown, None),
        };
        if let Some(first) = first {
            self.executed(trade, first, FLAG_CROSS, out);
        }
        self.lessened(trade.locate, second, out);
        let left = trade.qty - first.map_or(0, |shown| shown.off.min(trade.qty));
        if left > 0 {
            self.printed(trade, left, FLAG_CROSS, out);
        }
    }

    /// A shown order trades, for as many shares as it shows less.
    fn executed(&mut self, trade: &Traded, shown: OnFeed, flags: u8, out: Out<'_>) {
        if shown.left == 0 {
            self.prices.remove(&shown.reference);
        }
        let message = OrderExecuted {
            kind: OrderExecuted::KIND,
            flags,
            timestamp: self.now.into(),
            symbol: self.symbol(trade.locate),
            order: OrderRef(shown.reference).into(),
            size: Qty(shown.off).into(),
            price: SignedPrice4::from(Price4(trade.price)).into(),
            trade: MatchNumber(trade.match_number).into(),
        };
        out(message.as_bytes());
    }

    /// Shares trade that no order showed.
    fn printed(&self, trade: &Traded, shares: u32, flags: u8, out: Out<'_>) {
        let message = Trade {
            kind: Trade::KIND,
            flags,
            timestamp: self.now.into(),
            symbol: self.symbol(trade.locate),
            size: Qty(shares).into(),
            price: SignedPrice4::from(Price4(trade.price)).into(),
            trade: MatchNumber(trade.match_number).into(),
        };
        out(message.as_bytes());
    }

    fn process_complete(&self, locate: u16, kind: CrossKind, out: Out<'_>) {
        let event = match kind {
            CrossKind::Open => b'O',
            CrossKind::Close => b'C',
            CrossKind::Halt => return,
        };
        let message = SecurityEvent {
            kind: SecurityEvent::KIND,
            event,
            timestamp: self.now.into(),
            symbol: self.symbol(locate),
        };
        out(message.as_bytes());
    }
}
