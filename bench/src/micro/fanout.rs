//! The feed stage with those who listen to it: a message's whole way to one strategy, to sixteen that hear
//! everything, and to sixteen that hear one symbol each, on one core as `inline` has them.

use std::sync::Arc;

use anyhow::{Result, anyhow};
use feed_handler::best_prices::BestPrices;
use feed_handler::book::Limits;
use feed_handler::event::MarketEvent;
use feed_handler::publish::{Publisher, Subscription, Way};
use feed_handler::venue::Nasdaq;
use gateway::core_loop::Stage;
use gateway::message::execution::ExecutionEvent;
use gateway::message::notice::Notices;
use gateway::order::opening::OpeningView;
use gateway::strategy::{Context, Ends, Strategy, StrategyStage};
use protocol::types::Symbol;
use rt::broadcast::{Read, broadcast};
use rt::mem::Want;
use rt::ring::{NotPowerOfTwo, ring};
use rt::versioned::Versioned;

use super::feed::{FeedDay, Opening};
use super::{CALLS, DAY, Piece};

/// Events that a ring keeps.
const ROOM: usize = 1024;
/// Words of an event.
const WORDS: usize = 9;

/// Listens, and does nothing.
struct Idle;

impl Strategy for Idle {
    fn on_event(&mut self, event: &MarketEvent, _: &mut Context<'_>) {
        std::hint::black_box(event.locate);
    }
    fn on_execution(&mut self, _: &ExecutionEvent, _: &mut Context<'_>) {}
}

/// How many listen, to what, and on which way.
#[derive(Clone)]
struct Crowd {
    name: &'static str,
    count: usize,
    /// The symbols that they hear, one each; empty: everybody hears all.
    symbols: Vec<Symbol>,
    way: Way,
}

/// The feed's stage before its day, and the strategies': those that share a ring share a stage, as the service has
/// them on one core.
type House = (Opening<Nasdaq>, Vec<StrategyStage>);

fn open(day: &FeedDay, limits: &Limits, crowd: &Crowd) -> Result<House> {
    let bad = |error: NotPowerOfTwo| anyhow!("{error:?}");
    let prices = Arc::new(BestPrices::new(Want::LAZY)?);
    let mut publisher = Publisher::new(Arc::clone(&prices), ROOM);
    let mut stages: Vec<StrategyStage> = Vec::new();
    for index in 0..crowd.count {
        let subscription = match crowd.symbols.get(index) {
            Some(symbol) => Subscription::Symbols(vec![*symbol]),
            None => Subscription::All,
        };
        let (intents, _) = ring(2).map_err(bad)?;
        let (_, executions) = ring(2).map_err(bad)?;
        let (notices, _) = ring(2).map_err(bad)?;
        let ends = Ends {
            intents,
            executions,
            opening: OpeningView::default(),
            notices: Notices(notices),
            first_id: 1,
        };
        let way = (subscription, crowd.way);
        if let Some(stage) = stages.first_mut()
            && way == (Subscription::All, Way::Shared)
        {
            stage.add(Box::new(Idle), ends);
            continue;
        }
        let (subscription, way) = way;
        let events = publisher.listen(subscription, way, ROOM).map_err(bad)?;
        let prices = Arc::clone(&prices);
        let stage = StrategyStage::of_one(events, prices, Box::new(Idle), ends);
        stages.push(stage);
    }
    Ok((day.open::<Nasdaq>(limits, publisher)?, stages))
}

pub(super) fn pieces(day: &'static [u8], limits: Limits) -> Result<Vec<Piece>> {
    let bad = |error: NotPowerOfTwo| anyhow!("{error:?}");
    let symbols: Vec<Symbol> = (0..16).map(feeds::generate::name).collect();
    let crowd = |name, count, symbols: &[Symbol], way| Crowd {
        name,
        count,
        symbols: symbols.to_vec(),
        way,
    };
    let crowds = [
        crowd("one strategy hears all", 1, &[], Way::Shared),
        crowd("16 hear all", 16, &[], Way::Shared),
        crowd("one hears all, a ring each", 1, &[], Way::Own),
        crowd("16 hear all, a ring each", 16, &[], Way::Own),
        crowd("16 hear a symbol each", 16, &symbols, Way::Own),
        crowd("16 hear a symbol each, one ring", 16, &symbols, Way::Shared),
    ];
    let mut pieces = Vec::new();
    for crowd in crowds {
        let day = FeedDay::nasdaq(day);
        let name = format!("feed and strategies: {}, ours", crowd.name);
        let make = move || open(&day, &limits, &crowd);
        pieces.push(Piece::prepared(name, DAY, make, |(opening, stages)| {
            let delivered = opening.run(|clock| {
                for stage in stages.iter_mut() {
                    stage.poll(clock);
                }
            });
            assert_eq!(delivered, DAY, "the whole day was heard");
        }));
    }
    let mut writer = broadcast::<WORDS>(ROOM).map_err(bad)?;
    let mut reader = writer.reader();
    let name = "broadcast ring: write and read, ours";
    pieces.push(Piece::new(name, CALLS, move || {
        for number in 0..CALLS {
            writer.write(std::hint::black_box([number; WORDS]));
            if let Read::Message(words) = reader.read() {
                std::hint::black_box(words);
            }
        }
    }));
    let row = Versioned::<3>::default();
    let name = "versioned row: store and load, ours";
    pieces.push(Piece::new(name, CALLS, move || {
        for number in 0..CALLS {
            row.store(std::hint::black_box([number; 3]));
            std::hint::black_box(row.load());
        }
    }));
    Ok(pieces)
}
