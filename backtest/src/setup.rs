//! Who trades in a run, within which limits, and how far away.

use std::collections::BTreeSet;

use feed_handler::publish::{Subscription, Way};
use gateway::options::{Options, StrategyOptions, Venue};
use gateway::order::account::DayStart;
use gateway::order::entry::DESKS_MAX;
use gateway::order::risk::{Limits, RowLimits};
use gateway::strategy::Strategy;
use protocol::types::Symbol;

use crate::LIMITS;
use crate::chair::symbols_of;
use crate::latency::Latency;
use crate::market::ORDERS_MAX;

/// Everything about a run but its market.
#[derive(Debug)]
pub struct Setup {
    /// Strategies, which share a session.
    pub strategies: Vec<StrategyOptions>,
    /// What risk allows.
    pub limits: Limits,
    /// Limits of parts of the account.
    pub rows: Vec<RowLimits>,
    /// What the account begins with.
    pub day: DayStart,
    /// What has no answer for so long is in doubt, ns; `None`: as the order stage has it.
    pub answer_timeout_ns: Option<u64>,
    /// How far away the exchange is.
    pub latency: Latency,
}

impl Setup {
    /// One strategy that hears every symbol and has books of its own, within [`LIMITS`].
    #[must_use]
    pub fn of_one(strategy: Box<dyn Strategy>, latency: Latency) -> Self {
        Self::within_limits(strategy, latency, Some(ORDERS_MAX))
    }

    /// The same for a strategy that looks at best prices alone: what books of its own would cost is spared.
    #[must_use]
    pub fn of_one_by_prices(strategy: Box<dyn Strategy>, latency: Latency) -> Self {
        Self::within_limits(strategy, latency, None)
    }

    fn within_limits(
        strategy: Box<dyn Strategy>,
        latency: Latency,
        own_book_orders: Option<u32>,
    ) -> Self {
        let options = StrategyOptions {
            name: "strategy".to_owned(),
            strategy,
            feed: 0,
            session: 0,
            subscription: Subscription::All,
            hears: Way::Shared,
            depth: 0,
            own_book_orders,
            trade_on_stale: false,
        };
        Self {
            strategies: vec![options],
            limits: LIMITS,
            rows: Vec::new(),
            day: DayStart::default(),
            answer_timeout_ns: None,
            latency,
        }
    }

    /// Symbols that it names, each once: what strategies hear, and what the account has in the morning.
    pub(crate) fn named(&self) -> Vec<Symbol> {
        let heard = self.strategies.iter().filter_map(symbols_of).flatten();
        let held = self.day.positions.iter().flatten();
        let all = heard.chain(held.map(|(symbol, _)| *symbol));
        let all: BTreeSet<Symbol> = all.collect();
        all.into_iter().collect()
    }

    /// The strategies of a configuration within their session's limits. Trading hours are those of the exchange's clock.
    ///
    /// # Errors
    /// It has several sessions or feeds, or a feed that no exchange here speaks.
    pub fn of_options(options: Options, latency: Latency) -> Result<Self, String> {
        let Options {
            mut sessions,
            feeds,
            strategies,
            ..
        } = options;
        let one = |what, found| {
            format!(
                "a backtest has one {what}, and this configuration has {found}: expected a file with one"
            )
        };
        if feeds.len() != 1 {
            return Err(one("feed", feeds.len()));
        }
        if feeds.iter().any(|feed| feed.venue != Venue::Nasdaq) {
            return Err("a backtest's feed is of the venue nasdaq".to_owned());
        }
        let found = sessions.len();
        let (Some(session), 1) = (sessions.pop(), found) else {
            return Err(one("session", found));
        };
        if strategies.is_empty() || strategies.len() > DESKS_MAX {
            return Err(format!(
                "{} strategies, expected 1 to {DESKS_MAX}",
                strategies.len()
            ));
        }
        let mut limits = session.risk;
        if let Some(hours) = &mut limits.hours {
            // The simulated clock counts from midnight.
            hours.clock_offset_ns = 0;
        }
        Ok(Self {
            strategies,
            limits,
            rows: session.rows,
            day: session.day,
            answer_timeout_ns: Some(session.answer_timeout_ns),
            latency,
        })
    }
}
