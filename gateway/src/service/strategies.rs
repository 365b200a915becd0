//! Builds the stages of strategies: those of one core that hear everything of a feed share one.
//!
//! Each event then costs the core one look, one clock read and one record, and each strategy a call, where stages of
//! their own would have each do all of it.

use std::sync::Arc;

use feed_handler::best_prices::BestPrices;
use feed_handler::publish::{Publisher, Subscription, Way};
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
    pub(super) house: &'a mut House,
}

/// A stage in the making, and which strategies may join it: those of this feed on this core; `None`: no other.
struct Choir {
    names: Vec<String>,
    stage: StrategyStage,
    place: Option<(usize, usize)>,
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
            choirs.push(Choir {
                names: Vec::new(),
                stage: room.stage_for(&strategy)?,
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
    /// Its core and its feed, where others may hear with it.
    fn place_of(&self, strategy: &StrategyOptions) -> Option<(usize, usize)> {
        let hears_all = strategy.subscription == Subscription::All && strategy.hears == Way::Shared;
        let core = self.layout.shared_core(&strategy.name);
        core.filter(|_| hears_all).map(|core| (core, strategy.feed))
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
        Ok(StrategyStage::new(events, Arc::clone(prices)))
    }
}
