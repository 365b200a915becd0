//! A strategy's place in a run: its stage, its rings, and the session's ends of them.

use std::io;
use std::sync::Arc;

use feed_handler::best_prices::BestPrices;
use feed_handler::own_books::OwnBooks;
use feed_handler::publish::{Publisher, Subscription};
use gateway::message::execution::ExecutionEvent;
use gateway::message::intent::Owner;
use gateway::message::notice::Notices;
use gateway::options::StrategyOptions;
use gateway::order::links::Link;
use gateway::order::opening::Opening;
use gateway::strategy::{Ends, StrategyCounters, StrategyStage};
use protocol::types::Symbol;
use rt::mem::Want;
use rt::ring::{Consumer, NotPowerOfTwo, Producer, ring};

/// Events that a strategy may be behind.
pub(crate) const EVENTS: usize = 1 << 14;
/// Intents and executions of one turn.
const ORDERS: usize = 1 << 12;

/// A strategy, and what it is told.
pub(crate) struct Chair {
    pub(crate) stage: StrategyStage,
    /// Executions pass here from the order stage to the strategy.
    pub(crate) told: Consumer<ExecutionEvent>,
    pub(crate) tells: Producer<ExecutionEvent>,
    /// What the strategy did.
    pub(crate) counters: Arc<StrategyCounters>,
}

pub(crate) fn unfit(_: NotPowerOfTwo) -> String {
    "a ring's size is no power of two".to_owned()
}

pub(crate) fn no_memory(error: io::Error) -> String {
    format!("memory for books and prices: {error}")
}

/// What all strategies share.
pub(crate) struct Hall<'a> {
    pub(crate) publisher: &'a mut Publisher,
    pub(crate) prices: &'a Arc<BestPrices>,
    pub(crate) opening: &'a Opening,
}

/// A strategy's chair, and the session's ends of its rings.
pub(crate) fn seat(
    strategy: StrategyOptions,
    owner: Owner,
    hall: &mut Hall<'_>,
) -> Result<(Chair, Link), String> {
    let prices = hall.prices;
    let events = hall
        .publisher
        .listen(strategy.subscription.clone(), strategy.hears, EVENTS)
        .map_err(unfit)?;
    let (to_session, intents) = ring(ORDERS).map_err(unfit)?;
    let (executions, told) = ring(ORDERS).map_err(unfit)?;
    let (tells, to_desk) = ring(ORDERS).map_err(unfit)?;
    let (notices, _) = ring(8).map_err(unfit)?;
    let ends = Ends {
        intents: to_session,
        executions: to_desk,
        opening: hall.opening.view(owner, symbols_of(&strategy)),
        notices: Notices(notices),
        first_id: 1,
    };
    let mut stage = StrategyStage::new(events, Arc::clone(prices));
    let counters = stage.add(strategy.strategy, ends).counters;
    if let Some(orders_max) = strategy.own_book_orders {
        hall.publisher.tell_leaves();
        let prices = Arc::clone(prices);
        let own = OwnBooks::new(orders_max, prices, &strategy.subscription, Want::LAZY);
        stage = stage.with_books(own.map_err(no_memory)?);
    }
    let link = Link {
        intents,
        executions,
    };
    let chair = Chair {
        stage,
        told,
        tells,
        counters,
    };
    Ok((chair, link))
}

pub(crate) fn symbols_of(strategy: &StrategyOptions) -> Option<Vec<Symbol>> {
    match &strategy.subscription {
        Subscription::All => None,
        Subscription::Symbols(symbols) => Some(symbols.clone()),
    }
}
