//! `quoter`: quotes both sides of chosen symbols around the middle of the best prices, leans against
//! its inventory, and moves its quotes by replace.
//!
//! ```text
//!  middle - half_spread - skew                     middle + half_spread - skew
//!           bid                                              ask
//!  skew = inventory / quote size * skew_per_lot: long leans down, short leans up
//! ```
//!
//! Invariants:  at most one order a side and symbol, never crossing the market: a quote stops one tick
//!              short of the other side's best. Stale books are not quoted: what stands is cancelled.

use feed_handler::event::{FLAG_BBO_CHANGED, FLAG_STALE, KIND_GAP, MarketEvent};
use protocol::types::{Price4, Qty, Side};
use serde::Deserialize;

use super::{Context, NewOrder, Strategy};
use crate::order::intent::{ExecutionEvent, OrderId, Outcome, TimeInForce};

/// Symbols that one quoter can follow.
const SYMBOLS_MAX: usize = 256;
/// One cent: prices at or above a dollar move in it.
const TICK: u32 = 100;

/// Parameters. The symbols are those that the strategy is subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// Shares of a quote.
    pub qty: u32,
    /// Distance of a quote from the middle, in units of 0.0001.
    pub half_spread: u32,
    /// How far both quotes move for each quote size of inventory, in units of 0.0001.
    pub skew_per_lot: u32,
    /// A quote moves when it is off by at least this, in units of 0.0001.
    pub requote_at: u32,
    /// Inventory at which the side that would add to it is no longer quoted, shares.
    pub inventory_max: u32,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            qty: 100,
            half_spread: 200,
            skew_per_lot: 100,
            requote_at: 100,
            inventory_max: 1000,
        }
    }
}

/// The strategy.
#[derive(Debug)]
pub struct Quoter {
    parameters: Parameters,
    symbols: Vec<Book>,
    is_up: bool,
}

/// One symbol's quotes.
#[derive(Clone, Copy, Debug)]
struct Book {
    locate: u16,
    inventory: i64,
    bid: Quote,
    ask: Quote,
}

#[derive(Clone, Copy, Debug, Default)]
struct Quote {
    id: OrderId,
    price: Price4,
    state: State,
    /// The exchange has it.
    is_placed: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// No order.
    #[default]
    None,
    /// Sent, or a change is on its way: nothing more until the answer.
    Waiting,
    /// Stands at its price.
    Live,
}

impl Quoter {
    /// Checks the parameters.
    ///
    /// # Errors
    /// A quantity, distance or step of 0.
    pub fn new(parameters: &Parameters) -> Result<Self, String> {
        let Parameters {
            qty,
            half_spread,
            requote_at,
            ..
        } = *parameters;
        if qty == 0 || half_spread == 0 || requote_at == 0 {
            return Err(format!(
                "qty = {qty}, half_spread = {half_spread}, requote_at = {requote_at}: each must be \
                 at least 1"
            ));
        }
        let symbols = Vec::with_capacity(SYMBOLS_MAX);
        Ok(Self {
            parameters: *parameters,
            symbols,
            is_up: false,
        })
    }

    fn book(&mut self, locate: u16) -> Option<&mut Book> {
        self.symbols.iter_mut().find(|book| book.locate == locate)
    }

    /// Prices that the quotes should have; `None`: that side should not be quoted.
    fn wanted(&self, book: &Book, event: &MarketEvent) -> (Option<Price4>, Option<Price4>) {
        let (bid, ask) = (i64::from(event.bid_price.0), i64::from(event.ask_price.0));
        if bid == 0 || ask <= bid {
            return (None, None);
        }
        let p = &self.parameters;
        let skew = book.inventory * i64::from(p.skew_per_lot) / i64::from(p.qty);
        let middle = i64::midpoint(bid, ask) - skew;
        let tick = i64::from(TICK);
        let half = i64::from(p.half_spread);
        let buy_at = ((middle - half).div_euclid(tick) * tick).min(ask - tick);
        let sell_at = (-((-(middle + half)).div_euclid(tick)) * tick).max(bid + tick);
        let limit = i64::from(p.inventory_max);
        let price = |at: i64| u32::try_from(at).ok().filter(|at| *at > 0).map(Price4);
        (
            price(buy_at).filter(|_| book.inventory < limit),
            price(sell_at).filter(|_| book.inventory > -limit),
        )
    }
}

impl Quote {
    /// Moves the order to where it is wanted, one step at a time.
    fn steer(
        &mut self,
        wanted: Option<Price4>,
        new: &NewOrder,
        requote_at: u32,
        context: &mut Context<'_>,
    ) {
        match (self.state, wanted) {
            (State::None, Some(price)) => {
                if let Some(id) = context.enter(&NewOrder { price, ..*new }) {
                    *self = Self {
                        id,
                        price,
                        state: State::Waiting,
                        is_placed: false,
                    };
                }
            }
            (State::Live, Some(price))
                if price.0.abs_diff(self.price.0) >= requote_at
                    && context.replace(self.id, price, new.qty) =>
            {
                self.state = State::Waiting;
            }
            (State::Live, None) if context.cancel(self.id) => self.state = State::Waiting,
            _ => {}
        }
    }
}

impl Strategy for Quoter {
    fn on_event(&mut self, event: &MarketEvent, context: &mut Context<'_>) {
        if event.kind == b'R'
            && self.symbols.len() < SYMBOLS_MAX
            && self.book(event.locate).is_none()
        {
            let (bid, ask) = (Quote::default(), Quote::default());
            self.symbols.push(Book {
                locate: event.locate,
                inventory: 0,
                bid,
                ask,
            });
        }
        let is_stale = event.has(FLAG_STALE);
        if event.kind == KIND_GAP {
            for book in &mut self.symbols {
                for (quote, side) in [(&mut book.bid, Side::Buy), (&mut book.ask, Side::Sell)] {
                    quote.steer(None, &new_order(book.locate, side, 0), 1, context);
                }
            }
        }
        if !self.is_up || is_stale || !event.has(FLAG_BBO_CHANGED) {
            return;
        }
        let Some(book) = self
            .symbols
            .iter()
            .find(|book| book.locate == event.locate)
            .copied()
        else {
            return;
        };
        let (buy_at, sell_at) = self.wanted(&book, event);
        let Parameters {
            qty, requote_at, ..
        } = self.parameters;
        if let Some(book) = self.book(event.locate) {
            let order = |side| new_order(event.locate, side, qty);
            book.bid
                .steer(buy_at, &order(Side::Buy), requote_at, context);
            book.ask
                .steer(sell_at, &order(Side::Sell), requote_at, context);
        }
    }

    fn on_execution(&mut self, execution: &ExecutionEvent, _: &mut Context<'_>) {
        match execution.outcome {
            Outcome::SessionUp => self.is_up = true,
            Outcome::SessionDown => self.is_up = false,
            _ => {}
        }
        let Some(book) = self.book(execution.locate) else {
            return;
        };
        let shares = i64::from(execution.qty.0);
        let signed = if execution.side == Side::Buy {
            shares
        } else {
            -shares
        };
        let quote = match execution.side {
            Side::Buy => &mut book.bid,
            Side::Sell => &mut book.ask,
        };
        match execution.outcome {
            Outcome::Filled => book.inventory += signed,
            Outcome::Broken => book.inventory -= signed,
            _ => {}
        }
        if quote.id != execution.id {
            return;
        }
        match execution.outcome {
            Outcome::Accepted | Outcome::Replaced => {
                quote.price = execution.price;
                quote.is_placed = true;
            }
            Outcome::Filled | Outcome::Canceled(_) | Outcome::Rejected(_)
                if execution.leaves.0 == 0 =>
            {
                quote.is_placed = false;
            }
            // A partial fill leaves a change that is on its way where it is.
            Outcome::Filled | Outcome::Canceled(_) => return,
            _ => {}
        }
        // A refused or rejected change leaves the order as it was; a new one is gone.
        quote.state = if quote.is_placed {
            State::Live
        } else {
            State::None
        };
    }
}

fn new_order(locate: u16, side: Side, qty: u32) -> NewOrder {
    NewOrder {
        locate,
        side,
        price: Price4(0),
        qty: Qty(qty),
        time_in_force: TimeInForce::Day,
    }
}
