//! Own orders as the exchange has them: where each stood in its queue when it joined, and when it left.
//!
//! ```text
//!  order ──> look: shares before the one that goes ──> exchange ──> answers ──> join: shares before the one that comes
//! ```
//!
//! Invariants:  places are those of the exchange's book at that moment, not of what the strategy had heard. An order that another
//!              replaces ends, and the other begins.
//! When wrong:  an answer that is not OUCH tells of no order.

use std::collections::HashMap;

use order_sim::exchange::Exchange;
use protocol::ouch::{Inbound, OrderAccepted, OrderReplaced, Outbound};
use protocol::types::{Price4, Side, Symbol, UserRefNum};
use protocol::wire::NanosBe;

/// How an order ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum End {
    /// It had not when the day had.
    #[default]
    Open,
    /// All of it traded.
    Filled,
    /// What had not traded was taken off.
    Canceled,
    /// Another one took its place.
    Replaced,
}

impl End {
    /// Its word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Filled => "filled",
            Self::Canceled => "canceled",
            Self::Replaced => "replaced",
        }
    }
}

/// An order that the exchange has taken. Times are the exchange's, ns since midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// OUCH's number.
    pub number: u32,
    /// Symbol.
    pub symbol: Symbol,
    /// Side.
    pub side: Side,
    /// Limit.
    pub price: Price4,
    /// Shares that were open when it was taken.
    pub shares: u32,
    /// Shares of it that traded.
    pub filled: u32,
    /// When it was taken.
    pub entered_ns: u64,
    /// When it first traded while it rested; `None`: never. What it took when it came did not wait.
    pub filled_ns: Option<u64>,
    /// When it ended; `None`: it had not when the day had.
    pub ended_ns: Option<u64>,
    /// How.
    pub end: End,
    /// Shares before it at its price when it began to rest; `None`: it never rested where others see it.
    pub ahead_first: Option<u64>,
    /// The same when it was canceled or replaced, or the day ended. `None`: it traded to its last share, or the exchange took it off
    /// by itself.
    pub ahead_last: Option<u64>,
}

/// Some orders, and what stood before them at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ahead {
    /// How many there were.
    pub orders: u64,
    /// Shares before them, all together.
    pub shares: u64,
}

impl Ahead {
    fn add(&mut self, shares: u64) {
        self.orders += 1;
        self.shares += shares;
    }

    /// Whole shares before one of them; `None`: there was none.
    #[must_use]
    pub fn mean(self) -> Option<u64> {
        self.shares.checked_div(self.orders)
    }
}

/// Orders of one symbol that rested.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queued {
    /// All of them, when they joined.
    pub rested: Ahead,
    /// Those that traded in the queue, when they joined.
    pub filled: Ahead,
    /// From joining to the first trade in the queue, ns, of all that traded there.
    pub waited_ns: u64,
    /// Those that were canceled or replaced, then, and those that stood when the day ended, then.
    pub left: Ahead,
}

impl Queued {
    pub(crate) fn add(&mut self, order: &Order, ahead_first: u64) {
        self.rested.add(ahead_first);
        if let Some(filled_ns) = order.filled_ns {
            self.filled.add(ahead_first);
            self.waited_ns += filled_ns.saturating_sub(order.entered_ns);
        }
        if let Some(ahead_last) = order.ahead_last {
            self.left.add(ahead_last);
        }
    }
}

/// When an order ends, and how.
#[derive(Clone, Copy, Debug)]
struct Ended {
    at_ns: u64,
    end: End,
}

/// An order that lives.
#[derive(Clone, Copy, Debug)]
struct Live {
    index: usize,
    /// Shares still open.
    left: u32,
}

/// All orders of a session.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    pub(crate) orders: Vec<Order>,
    /// Those that live, by number.
    live: HashMap<u32, Live>,
    /// Where the order stood that the message on its way means.
    leaving: Option<(u32, Option<u64>)>,
    /// Answers that were looked at.
    seen: usize,
}

impl Queue {
    /// A message is about to be heard by the exchange.
    pub(crate) fn before(&mut self, exchange: &Exchange, account: u16, message: &[u8]) {
        let meant = match Inbound::decode(message) {
            Ok((Inbound::CancelOrder(it), _)) => it.user_ref.get(),
            Ok((Inbound::ReplaceOrder(it), _)) => it.original_user_ref.get(),
            _ => return,
        };
        self.leaving = Some((meant.0, exchange.ahead(account, meant)));
    }

    /// Something has happened at the exchange.
    pub(crate) fn after(&mut self, exchange: &Exchange, account: u16) {
        while let Some(message) = exchange.message(account, self.seen) {
            self.seen += 1;
            self.on_answer(message, |number| exchange.ahead(account, number));
        }
        self.leaving = None;
    }

    /// The day is over.
    pub(crate) fn end(&mut self, exchange: &Exchange, account: u16) -> Vec<Order> {
        for (number, live) in self.live.drain() {
            if let Some(order) = self.orders.get_mut(live.index) {
                order.ahead_last = exchange.ahead(account, UserRefNum(number));
            }
        }
        std::mem::take(&mut self.orders)
    }

    fn on_answer(&mut self, message: &[u8], ahead: impl Fn(UserRefNum) -> Option<u64>) {
        let Ok((answer, _)) = Outbound::decode(message) else {
            return;
        };
        match answer {
            Outbound::OrderAccepted(it) => self.join(accepted(it).order(ahead(it.user_ref.get()))),
            Outbound::OrderReplaced(it) => {
                let old = it.original_user_ref.get().0;
                let ended = ended(it.timestamp, End::Replaced);
                self.leave(old, ended);
                self.join(replaced(it).order(ahead(it.user_ref.get())));
            }
            Outbound::Executed(it) => {
                let (number, at_ns) = (it.user_ref.get().0, it.timestamp.get().0);
                let shares = it.qty.get().0;
                if let Some(order) = self.order(number) {
                    order.filled += shares;
                    if !REMOVED.contains(&it.liquidity) {
                        order.filled_ns.get_or_insert(at_ns);
                    }
                }
                self.lessen(number, shares, ended(it.timestamp, End::Filled));
            }
            Outbound::Canceled(it) => {
                let end = ended(it.timestamp, End::Canceled);
                self.lessen(it.user_ref.get().0, it.qty.get().0, end);
            }
            Outbound::AiqCanceled(it) => {
                let end = ended(it.timestamp, End::Canceled);
                self.lessen(it.user_ref.get().0, it.qty.get().0, end);
            }
            _ => {}
        }
    }

    fn order(&mut self, number: u32) -> Option<&mut Order> {
        let live = self.live.get(&number)?;
        self.orders.get_mut(live.index)
    }

    fn join(&mut self, order: Order) {
        if order.end == End::Open {
            let live = Live {
                index: self.orders.len(),
                left: order.shares,
            };
            self.live.insert(order.number, live);
        }
        self.orders.push(order);
    }

    /// Shares of it go; the last ones at this time and in this way.
    fn lessen(&mut self, number: u32, shares: u32, ended: Ended) {
        let Some(live) = self.live.get_mut(&number) else {
            return;
        };
        live.left = live.left.saturating_sub(shares);
        if live.left == 0 {
            self.leave(number, ended);
        }
    }

    fn leave(&mut self, number: u32, ended: Ended) {
        let Ended { at_ns, end } = ended;
        let last = self.leaving.filter(|(meant, _)| *meant == number);
        if let Some(order) = self.order(number) {
            order.ended_ns = Some(at_ns);
            order.end = end;
            if end != End::Filled {
                order.ahead_last = last.and_then(|(_, ahead)| ahead);
            }
        }
        self.live.remove(&number);
    }
}

fn ended(at: NanosBe, end: End) -> Ended {
    let at_ns = at.get().0;
    Ended { at_ns, end }
}

/// OUCH's flags of executions that took what was there: at a price, and at the midpoint.
const REMOVED: [u8; 2] = *b"Rm";
/// State of an order that was over before it stood.
const DEAD: u8 = b'D';

/// What both messages that begin an order say of it.
struct Begun {
    number: UserRefNum,
    symbol: Symbol,
    side: u8,
    price: u64,
    shares: u32,
    at_ns: u64,
    state: u8,
}

impl Begun {
    fn order(self, ahead_first: Option<u64>) -> Order {
        let is_dead = self.state == DEAD;
        Order {
            number: self.number.0,
            symbol: self.symbol,
            side: Side::of_code(self.side).unwrap_or(Side::Sell),
            price: limit(self.price),
            shares: self.shares,
            filled: 0,
            entered_ns: self.at_ns,
            filled_ns: None,
            ended_ns: is_dead.then_some(self.at_ns),
            end: if is_dead { End::Canceled } else { End::Open },
            ahead_first,
            ahead_last: None,
        }
    }
}

fn accepted(it: &OrderAccepted) -> Begun {
    Begun {
        number: it.user_ref.get(),
        symbol: it.symbol,
        side: it.side,
        price: it.price.raw(),
        shares: it.qty.get().0,
        at_ns: it.timestamp.get().0,
        state: it.state,
    }
}

fn replaced(it: &OrderReplaced) -> Begun {
    Begun {
        number: it.user_ref.get(),
        symbol: it.symbol,
        side: it.side,
        price: it.price.raw(),
        shares: it.qty.get().0,
        at_ns: it.timestamp.get().0,
        state: it.state,
    }
}

/// OUCH's price has 64 bits, ITCH's 32: an order at any price has the highest.
fn limit(price: u64) -> Price4 {
    Price4(u32::try_from(price).unwrap_or(u32::MAX))
}
