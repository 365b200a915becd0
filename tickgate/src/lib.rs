//! Write a strategy, get a gateway.
//!
//! ```text
//!  frame ──> feed handler ──> book ──> MarketEvent ──> Strategy::on_event ─────┐
//!                                                                              ├──> Context: enter, replace, reduce, cancel
//!  exchange ──> answer ──> order's state ──> ExecutionEvent ──> on_execution ──┘        │
//!  exchange <── OUCH <── session <── risk <─────────────────────────────────────────────┘
//! ```
//!
//! A strategy is a value that hears events, executions and its timers, and answers with intents. Its core runs nothing else
//! meanwhile, so it needs no lock; it runs between packets, so it must not block, allocate or panic. What it holds it takes when it is made.
//! Everything else is the gateway's: lines and gaps, books, limits, sessions, cancels when something breaks, histograms.
//!
//! # A strategy
//!
//! It buys a symbol that trades above its last price, at the ask, or not at all:
//!
//! ```
//! use tickgate::prelude::*;
//!
//! struct Momentum {
//!     rise: u32,
//!     last: Box<[Price4]>,
//! }
//!
//! impl Strategy for Momentum {
//!     fn on_event(&mut self, event: &MarketEvent, context: &mut Context<'_>) {
//!         if !event.has(FLAG_TRADE) || event.has(FLAG_STALE) || event.ask_price.0 == 0 {
//!             return;
//!         }
//!         let before = std::mem::replace(&mut self.last[usize::from(event.locate)], event.price);
//!         if before.0 > 0 && event.price.0 >= before.0 + self.rise {
//!             context.enter(&NewOrder {
//!                 time_in_force: TimeInForce::ImmediateOrCancel,
//!                 ..NewOrder::limit(event.locate, Side::Buy, event.ask_price, Qty(100))
//!             });
//!         }
//!     }
//!
//!     fn on_execution(&mut self, _: &ExecutionEvent, _: &mut Context<'_>) {}
//! }
//!
//! // Before it meets a market: the stage that runs it, without network, threads or time.
//! let last = vec![Price4(0); 1 << 16].into_boxed_slice();
//! let mut trial = Trial::new(Box::new(Momentum { rise: 100, last }));
//! let (bid, ask) = (Price4(99_900), Price4(100_100));
//! trial.quote(1, bid, ask);
//! trial.trade(1, Price4(100_000), Qty(100));
//! assert!(trial.intents().is_empty(), "nothing to compare with");
//! trial.trade(1, Price4(100_100), Qty(100));
//! let bought = trial.intents();
//! assert_eq!((bought[0].side, bought[0].price), (Side::Buy, ask));
//! ```
//!
//! # Orders
//!
//! [`NewOrder::limit`](prelude::NewOrder::limit) is an order for the day that everybody sees; what is to be otherwise is named:
//!
//! ```
//! use tickgate::prelude::*;
//!
//! let (side, price, qty) = (Side::Buy, Price4(1_000_000), Qty(500));
//! // Nobody sees it, and it trades with no fewer than 200 shares at a time.
//! let hidden = NewOrder {
//!     display: Display::Hidden,
//!     min_qty: Qty(200),
//!     ..NewOrder::limit(1, side, price, qty)
//! };
//! // A hundred are seen at a time; it joins the queue, or is not there.
//! let reserve = NewOrder {
//!     display: Display::Reserve(Qty(100)),
//!     is_post_only: true,
//!     ..NewOrder::limit(1, side, price, qty)
//! };
//! // At the middle of the best prices, at 100.00 at most.
//! let pegged = NewOrder { is_midpoint: true, ..NewOrder::limit(1, side, price, qty) };
//! // What there is, as far as the session's collar reaches.
//! let market = NewOrder::market(1, side, qty);
//! # struct Sends([NewOrder; 4]);
//! # impl Strategy for Sends {
//! #     fn on_event(&mut self, _: &MarketEvent, context: &mut Context<'_>) {
//! #         for order in &self.0 {
//! #             context.enter(order);
//! #         }
//! #     }
//! #     fn on_execution(&mut self, _: &ExecutionEvent, _: &mut Context<'_>) {}
//! # }
//! # let mut trial = Trial::new(Box::new(Sends([hidden, reserve, pegged, market])));
//! # trial.quote(1, Price4(999_900), Price4(1_000_100));
//! # let terms: Vec<Terms> = trial.intents().iter().map(|it| it.terms).collect();
//! # assert_eq!(terms[0], Terms::new(Display::Hidden, Qty(200)));
//! # assert_eq!(terms[1], Terms::new(Display::Reserve(Qty(100)), Qty(0)).with_post_only(true));
//! # assert_eq!(terms[2], Terms::PLAIN.with_midpoint(true));
//! # assert_eq!(terms[3], Terms::PLAIN);
//! ```
//!
//! Terms that contradict one another are refused ([`Refusal::Terms`](prelude::Refusal::Terms)): a least quantity needs an order that is
//! not seen, or that is immediate or cancelled; a reserve needs one that is seen and rests; post-only one that rests. A live
//! order is changed by [`replace`](prelude::Context::replace), which costs it its place at its price,
//! [`reduce`](prelude::Context::reduce), which does not, and [`cancel`](prelude::Context::cancel).
//!
//! # Its life
//!
//! | call | when |
//! |---|---|
//! | [`on_start`](prelude::Strategy::on_start) | once: its session is open for the first time, and what was before is known |
//! | [`on_event`](prelude::Strategy::on_event) | something happened in the market; also before the session is open, so that it knows prices when it starts |
//! | [`on_execution`](prelude::Strategy::on_execution) | something became of one of its orders, or its session opened or went down |
//! | [`on_timer`](prelude::Strategy::on_timer) | a time has come that it asked for |
//! | [`rehearse`](prelude::Strategy::rehearse) | nothing has arrived for a while (`layout.rehearse_us`): it may do, for nobody, what it would do for an event, so that its code and data are near when one comes; it does nothing by default |
//! | [`on_stop`](prelude::Strategy::on_stop) | once: the gateway stops in good order, and cancels what is open; nothing new goes out from here on |
//!
//! What the account holds survives a restart, and a strategy finds it where it starts:
//!
//! ```
//! use tickgate::prelude::*;
//!
//! /// Sells what is held of one symbol.
//! struct Unwind {
//!     symbol: Symbol,
//!     left: u32,
//! }
//!
//! impl Strategy for Unwind {
//!     fn on_start(&mut self, start: &Start<'_>, _: &mut Context<'_>) {
//!         self.left = u32::try_from(start.position(self.symbol)).unwrap_or(0);
//!     }
//!
//!     fn on_event(&mut self, event: &MarketEvent, context: &mut Context<'_>) {
//!         if self.left == 0 || !event.has(FLAG_BBO_CHANGED) || context.symbol(event.locate) != Some(self.symbol) {
//!             return;
//!         }
//!         if context.enter(&NewOrder::market(event.locate, Side::Sell, Qty(self.left))).is_some() {
//!             self.left = 0;
//!         }
//!     }
//!
//!     fn on_execution(&mut self, execution: &ExecutionEvent, _: &mut Context<'_>) {
//!         if execution.answers == Some(Action::Enter) && execution.outcome != Outcome::Accepted {
//!             self.left = execution.qty.0;
//!         }
//!     }
//! }
//!
//! let symbol = Symbol(*b"ALC     ");
//! let mut trial = Trial::new(Box::new(Unwind { symbol, left: 0 }));
//! trial.hold(symbol, 300);
//! trial.list(1, symbol);
//! trial.set_session(true);
//! trial.quote(1, Price4(99_900), Price4(100_100));
//! assert_eq!(trial.intents()[0].qty, Qty(300));
//! ```
//!
//! # Timers
//!
//! Each strategy has a wheel of its own with room for [`TIMERS_MAX`](prelude::TIMERS_MAX) timers. They fire between
//! packets, never early, and also while nothing is heard:
//!
//! ```
//! use tickgate::prelude::*;
//!
//! /// Cancels its order unless it is filled within a millisecond.
//! struct Patient;
//!
//! impl Strategy for Patient {
//!     fn on_event(&mut self, event: &MarketEvent, context: &mut Context<'_>) {
//!         if event.has(FLAG_BBO_CHANGED) {
//!             let order = NewOrder::limit(event.locate, Side::Buy, event.bid_price, Qty(100));
//!             if let Some(OrderId(id)) = context.enter(&order) {
//!                 context.start_timer(1_000_000, u64::from(id));
//!             }
//!         }
//!     }
//!
//!     fn on_execution(&mut self, _: &ExecutionEvent, _: &mut Context<'_>) {}
//!
//!     fn on_timer(&mut self, token: u64, context: &mut Context<'_>) {
//!         if let Ok(id) = u32::try_from(token) {
//!             context.cancel(OrderId(id));
//!         }
//!     }
//! }
//!
//! let mut trial = Trial::new(Box::new(Patient));
//! trial.quote(1, Price4(99_900), Price4(100_100));
//! let entered = trial.intents();
//! trial.pass(2_000_000);
//! let canceled = trial.intents();
//! assert_eq!((canceled[0].action, canceled[0].id), (Action::Cancel, entered[0].id));
//! ```
//!
//! # Its gateway
//!
//! [`run`](prelude::run) is the whole command line (`run`, `check`, `doctor`, `kill`, `resume`, `why`), with your strategies
//! beside [those that come with it](prelude::built_in), each known by its `kind`:
//!
//! ```no_run
//! use tickgate::prelude::*;
//! # struct Mine;
//! # impl Strategy for Mine {
//! #     fn on_event(&mut self, _: &MarketEvent, _: &mut Context<'_>) {}
//! #     fn on_execution(&mut self, _: &ExecutionEvent, _: &mut Context<'_>) {}
//! # }
//!
//! fn main() -> ExitCode {
//!     run(|kind, parameters| match kind {
//!         "mine" => Ok(Box::new(Mine)),
//!         _ => built_in(kind, parameters),
//!     })
//! }
//! ```
//!
//! ```toml
//! [strategy.first]
//! kind = "mine"
//! feed = "nasdaq"
//! session = "ouch"
//! symbols = ["AAPL", "MSFT"]
//! ```
//!
//! # What it must know
//!
//! - **Prices** are units of 0.0001, **quantities** shares; a price of 0 means that there is none.
//! - **A locate code** names a symbol for one day of one feed. [`Context::symbol`](prelude::Context::symbol) says which.
//! - **[`FLAG_STALE`](prelude::FLAG_STALE)** means that the book may not be what the exchange has. Risk refuses orders then, unless the
//!   strategy's configuration says `trade_on_stale`. [`Kind::Fresh`](prelude::Kind::Fresh) tells that it is over.
//!   Where a snapshot ended it, [`Kind::Refresh`](prelude::Kind::Refresh) tells each symbol whose best prices are others than before.
//! - **Each intent is answered once**, by the event whose [`answers`](prelude::ExecutionEvent::answers) names it: accepted, replaced,
//!   refused by risk, rejected by the exchange, too late, lost with a connection.
//! - **Behind the best price** is what [`Context::depth`](prelude::Context::depth) shows, if the strategy's configuration
//!   says how many levels it looks at (`depth = 5`).
//! - **Every order**, and the place of its own in their queues, is what [`Context::books`](prelude::Context::books) shows, if its
//!   configuration says `book = "events"`: [`place`](prelude::OwnBooks::place) of the
//!   [`reference`](prelude::ExecutionEvent::reference) that came with `Accepted` or `Replaced`. It is `None` until the feed has told
//!   the order, and after a gap or a lag until the next session.
//! - **[`Kind::Lagged`](prelude::Kind::Lagged)** means that this strategy was too slow and missed events. What it missed of
//!   gaps and ends follows, then a [`Kind::Refresh`](prelude::Kind::Refresh) for each of its symbols that moved meanwhile,
//!   and then the stream goes on. [`MarketEvent::symbol`](prelude::MarketEvent::symbol) names a symbol in both a directory
//!   and a refresh.
//!
//! Nothing here is of this crate's own: it is the part of the gateway that an author needs, under one name.

pub use serde;

/// All that a strategy's file needs.
pub mod prelude {
    pub use std::process::ExitCode;

    pub use feed_handler::best_prices::BestPrice;
    pub use feed_handler::book::{Ahead, Level, Place};
    pub use feed_handler::depth::Depth;
    pub use feed_handler::event::{FLAG_BBO_CHANGED, FLAG_STALE, FLAG_TRADE, Kind, MarketEvent};
    pub use feed_handler::own_books::OwnBooks;
    pub use gateway::cli::{Parameters, built_in, run};
    pub use gateway::message::execution::{ExecutionEvent, Outcome};
    pub use gateway::message::intent::{Action, OrderId, OrderIntent, TimeInForce};
    pub use gateway::message::terms::{Display, Terms};
    pub use gateway::order::entry::LiveOrder;
    pub use gateway::order::risk::Refusal;
    pub use gateway::strategy::{
        Context, NewOrder, Start, Strategy, TIMER_TICK_NS, TIMERS_MAX, TimerId, Trial,
    };
    pub use protocol::types::{OrderRef, Price4, Qty, Side, Symbol};
    pub use serde::Deserialize;
}

/// The program of the crate's README, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
