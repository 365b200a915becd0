//! `quoter`: quotes both sides of chosen symbols around the middle of the best prices, leans against
//! its inventory, and moves its quotes by replace.
//!
//! ```text
//!  middle - half_spread - skew                     middle + half_spread - skew
//!           bid                                              ask
//!  skew = inventory / quote size * skew_per_lot: long leans down, short leans up
//! ```
//!
//! Every quote has a price at which it is wanted, or is not wanted at all; it is steered there one step at a
//! time, after each market event and each answer, so that what had to wait is not forgotten.
//!
//! Invariants:  at most one order a side and symbol, never crossing the market: a quote stops one tick
//!              short of the other side's best. Stale books are not quoted: what stands is cancelled, also
//!              what the exchange has not answered yet.
//! When wrong:  after a refusal it rests for some steps, twice as many after each further one.

use feed_handler::best_prices::BestPrice;
use feed_handler::event::{FLAG_BBO_CHANGED, FLAG_STALE, MarketEvent};
use protocol::types::{Price4, Qty, Side};
use serde::Deserialize;

use super::{Context, NewOrder, Strategy};
use crate::message::execution::{ExecutionEvent, Outcome};
use crate::message::intent::{Action, OrderId};

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

/// Steps that are left out after a first refusal; they double with each further one, up to the last.
const REST_FIRST: u32 = 2;
const REST_DOUBLINGS_MAX: u8 = 6;
/// The same for cancels: an order that should not stand is worth more tries.
const REST_CANCEL_DOUBLINGS_MAX: u8 = 3;

/// Patience after refusals.
#[derive(Clone, Copy, Debug, Default)]
struct Rest {
    /// Refusals since something was taken.
    refusals: u8,
    /// Steps that are still left out.
    steps: u32,
}

impl Rest {
    fn on_refused(&mut self, doublings_max: u8) {
        self.steps = REST_FIRST << self.refusals.min(doublings_max);
        self.refusals = self.refusals.saturating_add(1);
    }

    /// Whether this step is left out.
    fn takes_step(&mut self) -> bool {
        let is_resting = self.steps > 0;
        self.steps = self.steps.saturating_sub(1);
        is_resting
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
    /// As the stock directory event carries it.
    symbol: u64,
    /// Its locate code of the day; `None` until the directory of a new day names it.
    locate: Option<u16>,
    inventory: i64,
    bid: Quote,
    ask: Quote,
}

#[derive(Clone, Copy, Debug, Default)]
struct Quote {
    /// Where it should stand; `None`: nowhere.
    wanted: Option<Price4>,
    /// The order; 0: none.
    id: OrderId,
    price: Price4,
    is_entering: bool,
    is_replacing: bool,
    is_canceling: bool,
    /// After refused orders and replaces.
    rest: Rest,
    /// After refused cancels.
    cancel_rest: Rest,
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
        self.symbols
            .iter_mut()
            .find(|book| book.locate == Some(locate))
    }

    /// The directory names a symbol: a new one, or one of yesterday's with another locate code.
    fn on_directory(&mut self, event: &MarketEvent) {
        if let Some(other) = self
            .book(event.locate)
            .filter(|it| it.symbol != event.number)
        {
            other.locate = None;
        }
        if let Some(book) = self.symbols.iter_mut().find(|it| it.symbol == event.number) {
            book.locate = Some(event.locate);
        } else if self.symbols.len() < SYMBOLS_MAX {
            self.symbols.push(Book {
                symbol: event.number,
                locate: Some(event.locate),
                inventory: 0,
                bid: Quote::default(),
                ask: Quote::default(),
            });
        }
    }

    /// Something happened to the feed as a whole, or events were missed: the table of best prices says what
    /// is true now.
    #[cold]
    fn look_again(&mut self, context: &mut Context<'_>) {
        for index in 0..self.symbols.len() {
            let Some(book) = self.symbols.get(index).copied() else {
                break;
            };
            let best = book
                .locate
                .filter(|locate| !context.is_stale(*locate))
                .and_then(|locate| context.best(locate));
            let (bid, ask) = best.map_or((None, None), |best| self.wanted(&book, &best));
            if let Some(book) = self.symbols.get_mut(index) {
                (book.bid.wanted, book.ask.wanted) = (bid, ask);
            }
        }
        self.steer_all(context);
    }

    fn steer_all(&mut self, context: &mut Context<'_>) {
        if self.is_up {
            for book in &mut self.symbols {
                book.steer(&self.parameters, context);
            }
        }
    }

    /// Prices that the quotes should have; `None`: that side should not be quoted.
    fn wanted(&self, book: &Book, best: &BestPrice) -> (Option<Price4>, Option<Price4>) {
        let (bid, ask) = (i64::from(best.bid_price.0), i64::from(best.ask_price.0));
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

impl Book {
    fn steer(&mut self, parameters: &Parameters, context: &mut Context<'_>) {
        let locate = self.locate.unwrap_or(0);
        let order = |side| NewOrder::limit(locate, side, Price4(0), Qty(parameters.qty));
        let (buy, sell) = (order(Side::Buy), order(Side::Sell));
        self.bid.steer(&buy, parameters.requote_at, context);
        self.ask.steer(&sell, parameters.requote_at, context);
    }

    fn quote_of(&mut self, id: OrderId) -> Option<&mut Quote> {
        [&mut self.bid, &mut self.ask]
            .into_iter()
            .find(|quote| quote.id == id)
    }
}

impl Quote {
    /// Moves the order towards where it is wanted, one step at a time.
    fn steer(&mut self, new: &NewOrder, requote_at: u32, context: &mut Context<'_>) {
        let is_placed = self.id != OrderId(0);
        let is_changing = self.is_entering || self.is_replacing || self.is_canceling;
        let is_off = |price: Price4| price.0.abs_diff(self.price.0) >= requote_at;
        // A cancel needs not wait for an answer: it goes behind what is on its way.
        let is_due = match self.wanted {
            None => is_placed && !self.is_canceling,
            Some(_) if !is_placed => true,
            Some(price) => !is_changing && is_off(price),
        };
        if !is_due {
            return;
        }
        let rest = if self.wanted.is_some() {
            &mut self.rest
        } else {
            &mut self.cancel_rest
        };
        if rest.takes_step() {
            return;
        }
        match self.wanted {
            None => self.is_canceling = context.cancel(self.id),
            Some(price) if is_placed => {
                self.is_replacing = context.replace(self.id, price, new.qty);
            }
            Some(price) => {
                if let Some(id) = context.enter(&NewOrder { price, ..*new }) {
                    (self.id, self.price, self.is_entering) = (id, price, true);
                }
            }
        }
    }

    fn on_execution(&mut self, execution: &ExecutionEvent) {
        match execution.answers {
            Some(Action::Enter) => self.is_entering = false,
            Some(Action::Replace) => self.is_replacing = false,
            Some(Action::Cancel) => self.is_canceling = false,
            // It never asks for fewer shares.
            Some(Action::Reduce) | None => {}
        }
        match execution.outcome {
            Outcome::Accepted | Outcome::Replaced => {
                self.price = execution.price;
                self.rest = Rest::default();
            }
            Outcome::Refused(_) | Outcome::Rejected(_) | Outcome::CancelRejected => {
                if execution.answers == Some(Action::Cancel) {
                    self.cancel_rest.on_refused(REST_CANCEL_DOUBLINGS_MAX);
                } else {
                    self.rest.on_refused(REST_DOUBLINGS_MAX);
                }
            }
            // The exchange took it off by itself: it is not put back in the same breath.
            Outcome::Canceled(_) if execution.answers.is_none() => self.rest.steps = REST_FIRST,
            _ => {}
        }
        if execution.leaves.0 == 0 {
            *self = Self {
                wanted: self.wanted,
                rest: self.rest,
                ..Self::default()
            };
        }
    }
}

impl Strategy for Quoter {
    fn on_event(&mut self, event: &MarketEvent, context: &mut Context<'_>) {
        if event.symbol().is_some() {
            self.on_directory(event);
        }
        if event.is_news() {
            return self.look_again(context);
        }
        let Some(book) = self.book(event.locate).copied() else {
            return;
        };
        let wanted = if event.has(FLAG_STALE) {
            (None, None)
        } else if event.has(FLAG_BBO_CHANGED) {
            self.wanted(&book, &event.best())
        } else {
            (book.bid.wanted, book.ask.wanted)
        };
        let (is_up, parameters) = (self.is_up, self.parameters);
        if let Some(book) = self.book(event.locate) {
            (book.bid.wanted, book.ask.wanted) = wanted;
            if is_up {
                book.steer(&parameters, context);
            }
        }
    }

    fn on_execution(&mut self, execution: &ExecutionEvent, context: &mut Context<'_>) {
        match execution.outcome {
            Outcome::SessionUp => {
                self.is_up = true;
                return self.steer_all(context);
            }
            Outcome::SessionDown => {
                self.is_up = false;
                return;
            }
            // Quotes of an earlier run are withdrawn, and it quotes anew.
            Outcome::Found => {
                context.cancel(execution.id);
                return;
            }
            _ => {}
        }
        let (is_up, parameters) = (self.is_up, self.parameters);
        let is_meant = |book: &Book| [book.bid.id, book.ask.id].contains(&execution.id);
        let index = self.symbols.iter().position(is_meant).or_else(|| {
            let is_its = |book: &Book| book.locate == Some(execution.locate);
            self.symbols.iter().position(is_its)
        });
        let Some(book) = index.and_then(|index| self.symbols.get_mut(index)) else {
            return;
        };
        let shares = match execution.side {
            Side::Buy => i64::from(execution.qty.0),
            Side::Sell => -i64::from(execution.qty.0),
        };
        match execution.outcome {
            Outcome::Filled => book.inventory += shares,
            Outcome::Broken => book.inventory -= shares,
            _ => {}
        }
        if let Some(quote) = book.quote_of(execution.id) {
            quote.on_execution(execution);
        }
        if is_up {
            book.steer(&parameters, context);
        }
    }
}
