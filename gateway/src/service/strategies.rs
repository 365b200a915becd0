//! Builds the stages of strategies: those of one core that hear everything of a feed share one.
//!
//! Each event then costs the core one look, one clock read and one record, and each strategy a call, where stages of
//! their own would have each do all of it.

use std::sync::Arc;

use feed_handler::best_prices::BestPrices;
use feed_handler::own_books::OwnBooks;
use feed_handler::publish::{Publisher, Subscription, Way};
use rt::mem::Want;
use rt::ring::NotPowerOfTwo;

use super::house::House;
use super::layout::{Layout, Named};
use crate::options::StrategyOptions;
use crate::strategy::{Ends, StrategyStage};
use crate::telemetry::{Kind, Label};

/// What strategies are built with.
pub(super) struct StrategyRoom<'a> {
    pub(super) layout: &'a Layout,
    pub(super) best_prices: &'a [Arc<BestPrices>],
    /// Each feed's.
    pub(super) publishers: &'a mut [Option<Publisher>],
    /// Events that a ring holds.
    pub(super) events: usize,
    /// What memory of own books shall be.
    pub(super) want: Want,
    pub(super) house: &'a mut House,
}

/// A stage in the making, and which strategies may join it; `None`: no other.
struct Choir {
    names: Vec<String>,
    stage: StrategyStage,
    place: Option<Place>,
}

/// Where a strategy hears, and with which books.
#[derive(PartialEq, Eq)]
struct Place {
    core: usize,
    feed: usize,
    own_book_orders: Option<u32>,
}

/// Makes the stages, in the order of the first strategy of each.
///
/// # Errors
/// A strategy of no feed, or rings of a wrong size.
pub(super) fn build(
    strategies: Vec<StrategyOptions>,
    ends: Vec<Ends>,
    mut room: StrategyRoom<'_>,
) -> Result<Vec<Named>, String> {
    let mut choirs: Vec<Choir> = Vec::new();
    for (strategy, ends) in strategies.into_iter().zip(ends) {
        let place = room.place_of(&strategy);
        let joins = choirs
            .iter()
            .position(|it| place.is_some() && it.place == place);
        let at = if let Some(at) = joins {
            at
        } else {
            let stage = room.stage_for(&strategy)?;
            choirs.push(Choir {
                names: Vec::new(),
                stage,
                place,
            });
            choirs.len() - 1
        };
        if let Some(choir) = choirs.get_mut(at) {
            let measures = choir.stage.add(strategy.strategy, ends);
            let label = Label::new(Kind::Strategy, &strategy.name);
            let registry = &mut room.house.registry;
            registry.histograms(label.clone(), measures.histograms);
            registry.counters(label, move || measures.counters.list());
            choir.names.push(strategy.name);
        }
    }
    let named = choirs.into_iter().map(|choir| Named {
        names: choir.names,
        stage: Box::new(choir.stage),
    });
    Ok(named.collect())
}

impl StrategyRoom<'_> {
    /// Where others may hear with it.
    fn place_of(&self, strategy: &StrategyOptions) -> Option<Place> {
        let hears_all = strategy.subscription == Subscription::All && strategy.hears == Way::Shared;
        let core = self.layout.shared_core(&strategy.name);
        core.filter(|_| hears_all).map(|core| Place {
            core,
            feed: strategy.feed,
            own_book_orders: strategy.own_book_orders,
        })
    }

    /// A stage that hears what the strategy wants.
    fn stage_for(&mut self, strategy: &StrategyOptions) -> Result<StrategyStage, String> {
        let publisher = self.publishers.get_mut(strategy.feed);
        let found = publisher.and_then(Option::as_mut);
        let prices = self.best_prices.get(strategy.feed);
        let (Some(publisher), Some(prices)) = (found, prices) else {
            return Err(format!("strategy {}: no such feed", strategy.name));
        };
        let room = self.events;
        let events = publisher
            .listen(strategy.subscription.clone(), strategy.hears, room)
            .map_err(|NotPowerOfTwo| format!("rings.events: {room} is not a power of two"))?;
        let mut stage = StrategyStage::new(events, Arc::clone(prices));
        if self.layout.rehearses() {
            let rehearsing = stage.with_rehearsal();
            stage = rehearsing.map_err(|error| {
                format!("strategy {}: memory to rehearse: {error}", strategy.name)
            })?;
        }
        let Some(orders_max) = strategy.own_book_orders else {
            return Ok(stage);
        };
        publisher.tell_leaves();
        let prices = Arc::clone(prices);
        let books = OwnBooks::new(orders_max, prices, &strategy.subscription, self.want)
            .map_err(|error| format!("strategy {}: memory for books: {error}", strategy.name))?;
        let counters = Arc::clone(books.counters());
        let label = Label::new(Kind::Strategy, &strategy.name);
        let registry = &mut self.house.registry;
        registry.counters(label, move || counters.list());
        Ok(stage.with_books(books))
    }
}
