//! Hears what strategies hear, so that a difference can say what came before it.

use std::collections::VecDeque;

use feed_handler::event::MarketEvent;
use rt::ring::{Consumer, Producer, ring};

use crate::message::execution::ExecutionEvent;
use crate::options::StrategyOptions;
use crate::strategy::{Context, Start, Strategy};

/// Events of one strategy that wait between two turns; a turn has 64 at most.
const ROOM: usize = 256;
/// Events that a difference shows.
const SHOWN: usize = 8;

/// A strategy, and who hears with it.
struct Witness {
    strategy: Box<dyn Strategy>,
    heard: Producer<MarketEvent>,
}

/// All of them, and what they heard last.
pub(super) struct Witnesses {
    heard: Vec<(String, Consumer<MarketEvent>)>,
    last: VecDeque<(usize, MarketEvent)>,
}

impl Witnesses {
    /// One for each of these strategies.
    pub(super) fn of(strategies: &mut Vec<StrategyOptions>) -> Self {
        let mut witnesses = Self {
            heard: Vec::new(),
            last: VecDeque::new(),
        };
        let all = std::mem::take(strategies).into_iter();
        strategies.extend(all.map(|options| {
            // A power of two; without a ring the strategy is on its own.
            let Ok((heard, events)) = ring(ROOM) else {
                return options;
            };
            witnesses.heard.push((options.name.clone(), events));
            StrategyOptions {
                strategy: Box::new(Witness {
                    strategy: options.strategy,
                    heard,
                }),
                ..options
            }
        }));
        witnesses
    }

    /// A turn is over.
    pub(super) fn hear(&mut self) {
        for (at, (_, events)) in self.heard.iter_mut().enumerate() {
            while let Some(event) = events.pop() {
                if self.last.len() == SHOWN {
                    self.last.pop_front();
                }
                self.last.push_back((at, event));
            }
        }
    }

    /// The last events, a line each.
    pub(super) fn last(&self) -> Vec<String> {
        let line = |(at, event): &(usize, MarketEvent)| {
            let name = self.heard.get(*at).map_or("", |(name, _)| name.as_str());
            format!(
                "to {name} at {} ns: {:?} number {} locate {} price {} shares {}, best {} x {} / {} x {}",
                event.origin.seen_ns,
                event.kind,
                event.origin.seq,
                event.locate,
                event.price.0,
                event.qty.0,
                event.bid_price.0,
                event.bid_qty.0,
                event.ask_price.0,
                event.ask_qty.0
            )
        };
        self.last.iter().map(line).collect()
    }
}

impl Strategy for Witness {
    fn on_event(&mut self, event: &MarketEvent, context: &mut Context<'_>) {
        // Full: the oldest of a turn are of less use than the strategy's own time.
        let _ = self.heard.push(*event);
        self.strategy.on_event(event, context);
    }

    fn on_execution(&mut self, execution: &ExecutionEvent, context: &mut Context<'_>) {
        self.strategy.on_execution(execution, context);
    }

    fn on_start(&mut self, start: &Start<'_>, context: &mut Context<'_>) {
        self.strategy.on_start(start, context);
    }

    fn on_stop(&mut self, context: &mut Context<'_>) {
        self.strategy.on_stop(context);
    }

    fn on_timer(&mut self, token: u64, context: &mut Context<'_>) {
        self.strategy.on_timer(token, context);
    }
}
