//! A strategy of your own: buys what trades above its last price, in a crate of its own, with the
//! gateway's command line and configuration files.
//!
//! ```toml
//! [strategy.mine]
//! kind = "momentum"
//! feed = "nasdaq"
//! session = "ouch"
//! [strategy.mine.parameters]
//! rise = 100
//! ```

use std::process::ExitCode;

use feed_handler::event::{FLAG_STALE, FLAG_TRADE, MarketEvent};
use gateway::cli::built_in;
use gateway::order::intent::{ExecutionEvent, Outcome, TimeInForce};
use gateway::strategy::{Context, NewOrder, Strategy};
use protocol::types::{Price4, Qty, Side};
use serde::Deserialize;

/// Parameters of the strategy, checked when the gateway starts.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// How far above the last trade a trade must be, in units of 0.0001.
    rise: u32,
}

/// Everything it knows: memory is taken here, never between packets.
struct Momentum {
    rise: u32,
    last: Box<[Price4]>,
    filled: u64,
}

impl Strategy for Momentum {
    fn on_event(&mut self, event: &MarketEvent, context: &mut Context<'_>) {
        if !event.has(FLAG_TRADE) || event.has(FLAG_STALE) || event.price.0 == 0 {
            return;
        }
        let Some(last) = self.last.get_mut(usize::from(event.locate)) else {
            return;
        };
        let before = std::mem::replace(last, event.price);
        if before.0 == 0 || event.price.0 < before.0 + self.rise || event.ask_price.0 == 0 {
            return;
        }
        context.enter(&NewOrder {
            locate: event.locate,
            side: Side::Buy,
            price: event.ask_price,
            qty: Qty(100),
            time_in_force: TimeInForce::ImmediateOrCancel,
        });
    }

    fn on_execution(&mut self, execution: &ExecutionEvent, _: &mut Context<'_>) {
        if execution.outcome == Outcome::Filled {
            self.filled += u64::from(execution.qty.0);
        }
    }
}

fn main() -> ExitCode {
    gateway::cli::run(|kind, parameters| match kind {
        "momentum" => {
            let Parameters { rise } = parameters.read()?;
            let last = vec![Price4(0); 1 << 16].into_boxed_slice();
            Ok(Box::new(Momentum {
                rise,
                last,
                filled: 0,
            }))
        }
        _ => built_in(kind, parameters),
    })
}
