//! What a run came to: counts, fills, positions, cash, and a hash of every byte that orders and answers were.

use std::collections::BTreeMap;

use feed_handler::best_prices::BestPrices;
use feed_handler::trading::Hours;
use gateway::message::execution::{ExecutionEvent, Outcome as Answer};
use gateway::order::account::DayStart;
use protocol::types::{Price4, Qty, Side, Symbol};

use crate::queue::{Order, Queued};
use crate::trouble::Trouble;

/// Shares that traded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// When the order stage heard of it, simulated.
    pub heard_ns: u64,
    /// Locate code of the day.
    pub locate: u16,
    /// The order's side.
    pub side: Side,
    /// Price of the fill.
    pub price: Price4,
    /// Shares of the fill.
    pub qty: Qty,
}

/// What one symbol came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Its name.
    pub symbol: Option<Symbol>,
    /// Shares, negative if short.
    pub shares: i64,
    /// Of them, what the account had in the morning.
    pub morning: i64,
    /// Cash, in units of 0.0001, exact.
    pub cash: i128,
    /// The first good prices of the day, bid and ask: what the morning's shares are counted at. 0: there were none.
    pub morning_marks: (Price4, Price4),
    /// The last good prices until market hours ended, bid and ask; 0: there were none.
    pub marks: (Price4, Price4),
    /// When they were seen, simulated.
    pub marked_ns: Option<u64>,
}

/// Best bid and ask of a symbol if they say what it is worth: its book is whole, it trades, and they are no stub quotes.
fn good_prices(prices: &BestPrices, locate: u16) -> Option<(Price4, Price4)> {
    let best = prices.load(locate)?;
    let (bid, ask) = (best.bid_price, best.ask_price);
    // Whoever has to quote and does not want to trade asks for more than twice what he bids.
    let is_sane = bid.0 > 0 && bid <= ask && ask.0 - bid.0 <= bid.0;
    let is_fresh = !prices.is_stale(locate) && !prices.statuses().is_stopped(locate);
    (is_sane && is_fresh).then_some((bid, ask))
}

/// What shares are worth at the middle of these prices, in halves of 0.0001; `None`: there are no prices.
fn worth_halves(shares: i64, bid: Price4, ask: Price4) -> Option<i128> {
    let is_known = shares == 0 || (bid.0 > 0 && ask.0 > 0);
    is_known.then(|| i128::from(shares) * (i128::from(bid.0) + i128::from(ask.0)))
}

impl Position {
    /// Profit and loss, marked to the middle, in halves of 0.0001, exact. `None`: shares are held, and there were no good prices.
    #[must_use]
    pub fn profit_halves(&self) -> Option<i128> {
        let worth = worth_halves(self.shares, self.marks.0, self.marks.1)?;
        let (bid, ask) = self.morning_marks;
        Some(2 * self.cash + worth - worth_halves(self.morning, bid, ask)?)
    }
}

/// How it stood at one time. Counts are since the beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// When, simulated.
    pub at_ns: u64,
    /// Fills.
    pub fills: u64,
    /// Intents that risk has refused.
    pub refused: u64,
    /// Orders and changes that the exchange has refused.
    pub rejected: u64,
    /// By locate code: shares, and profit as [`Position::profit_halves`].
    pub symbols: BTreeMap<u16, (i64, Option<i128>)>,
}

/// What a run came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Messages of the feed.
    pub messages: u64,
    /// Simulated time, ns.
    pub lived_ns: u64,
    /// Orders that the exchange has taken.
    pub accepted: u64,
    /// Orders that it has put in another's place.
    pub replaced: u64,
    /// Times that shares were taken off.
    pub canceled: u64,
    /// Orders and changes that it has refused.
    pub rejected: u64,
    /// Intents that risk has refused, by cause.
    pub refused: BTreeMap<String, u64>,
    /// What traded, in the order in which it was heard of.
    pub fills: Vec<Fill>,
    /// What the exchange has taken, in the order in which it has.
    pub orders: Vec<Order>,
    /// How it went, from the beginning to the end.
    pub moments: Vec<Moment>,
    /// By locate code.
    pub positions: BTreeMap<u16, Position>,
    /// What the account had in the morning of symbols that the day has not named yet.
    pub(crate) morning: BTreeMap<Symbol, i64>,
    /// Symbols of the configuration that the day has not named.
    pub unnamed: Vec<Symbol>,
    /// What was wrong with the run, if anything was.
    pub troubles: Vec<Trouble>,
    /// Where own orders would have changed a record: name and shares.
    pub history: BTreeMap<&'static str, u64>,
    /// Of every byte to the exchange, every byte from it, final positions and cash.
    pub hash: u64,
}

impl Outcome {
    pub(crate) fn new(day: &DayStart) -> Self {
        Self {
            hash: FNV_BASIS,
            morning: day.positions.iter().flatten().copied().collect(),
            ..Self::default()
        }
    }

    /// Profit and loss of all symbols, as [`Position::profit_halves`].
    #[must_use]
    pub fn profit_halves(&self) -> Option<i128> {
        self.positions.values().map(Position::profit_halves).sum()
    }

    /// Orders that rested, by symbol.
    #[must_use]
    pub fn queues(&self) -> BTreeMap<Symbol, Queued> {
        let mut queues = BTreeMap::<_, Queued>::new();
        for order in &self.orders {
            if let Some(ahead) = order.ahead_first {
                queues.entry(order.symbol).or_default().add(order, ahead);
            }
        }
        queues
    }

    pub(crate) fn add_bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME);
        }
    }

    pub(crate) fn on_execution(&mut self, execution: &ExecutionEvent) {
        match execution.outcome {
            Answer::Accepted => self.accepted += 1,
            Answer::Replaced => self.replaced += 1,
            Answer::Canceled(_) => self.canceled += 1,
            Answer::Rejected(_) | Answer::CancelRejected => self.rejected += 1,
            Answer::Refused(cause) => *self.refused.entry(format!("{cause:?}")).or_default() += 1,
            Answer::Filled => self.trade(execution, 1),
            Answer::Broken => self.trade(execution, -1),
            _ => {}
        }
    }

    /// `direction`: 1 for a trade, -1 where one is undone.
    fn trade(&mut self, execution: &ExecutionEvent, direction: i64) {
        let sign = match execution.side {
            Side::Buy => direction,
            Side::Sell => -direction,
        };
        let position = self.positions.entry(execution.locate).or_default();
        let shares = sign * i64::from(execution.qty.0);
        position.shares += shares;
        position.cash -= i128::from(shares) * i128::from(execution.price.0);
        if direction > 0 {
            self.fills.push(Fill {
                heard_ns: execution.acked_ns,
                locate: execution.locate,
                side: execution.side,
                price: execution.price,
                qty: execution.qty,
            });
        }
    }

    /// How it stands now.
    pub(crate) fn take_moment(&mut self, prices: &BestPrices, at_ns: u64) {
        self.mark(prices, at_ns);
        let stands = self.positions.iter();
        let stands = stands.map(|(locate, it)| (*locate, (it.shares, it.profit_halves())));
        let moment = Moment {
            at_ns,
            fills: self.fills.len() as u64,
            refused: self.refused.values().sum(),
            rejected: self.rejected,
            symbols: stands.collect(),
        };
        self.moments.push(moment);
    }

    /// Marks what is held where the market says what it is worth. After market hours it says little: books are thin, and empty at last.
    pub(crate) fn mark(&mut self, prices: &BestPrices, at_ns: u64) {
        self.take_morning(prices);
        let hours = prices.statuses().market().and_then(|market| market.hours);
        if let Some(Hours::MarketEnd | Hours::SystemEnd | Hours::MessagesEnd) = hours {
            return;
        }
        for (locate, position) in &mut self.positions {
            let Some(marks) = good_prices(prices, *locate) else {
                continue;
            };
            if position.morning_marks == Default::default() {
                position.morning_marks = marks;
            }
            (position.marks, position.marked_ns) = (marks, Some(at_ns));
        }
    }

    /// The morning's shares of symbols that the day has named meanwhile.
    fn take_morning(&mut self, prices: &BestPrices) {
        if self.morning.is_empty() {
            return;
        }
        for locate in 0..=u16::MAX {
            if u32::from(locate) >= prices.rows_used() {
                return;
            }
            let shares = prices
                .symbol(locate)
                .and_then(|it| self.morning.remove(&it));
            if let Some(shares) = shares {
                let position = self.positions.entry(locate).or_default();
                position.shares += shares;
                position.morning += shares;
            }
        }
    }

    /// The day is over: positions have their names, and are part of the hash.
    pub(crate) fn end(&mut self, prices: &BestPrices) {
        for (locate, position) in &mut self.positions {
            position.symbol = prices.symbol(*locate);
        }
        for (locate, position) in self.positions.clone() {
            self.add_bytes(&locate.to_be_bytes());
            self.add_bytes(&position.shares.to_be_bytes());
            self.add_bytes(&position.cash.to_be_bytes());
        }
    }
}

/// FNV-1a of 64 bits.
const FNV_BASIS: u64 = 0xCBF2_9CE4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01B3;
