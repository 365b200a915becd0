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

use tickgate::prelude::*;

/// Parameters of the strategy, checked when the gateway starts.
#[derive(Debug, Deserialize)]
#[serde(crate = "tickgate::serde", deny_unknown_fields)]
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
            time_in_force: TimeInForce::ImmediateOrCancel,
            ..NewOrder::limit(event.locate, Side::Buy, event.ask_price, Qty(100))
        });
    }

    fn on_execution(&mut self, execution: &ExecutionEvent, _: &mut Context<'_>) {
        if execution.outcome == Outcome::Filled {
            self.filled += u64::from(execution.qty.0);
        }
    }
}

fn main() -> ExitCode {
    run(|kind, parameters| match kind {
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

#[cfg(test)]
mod tests {
    use super::*;

    const ASK: Price4 = Price4(1_000_200);

    fn trial() -> Trial {
        let last = vec![Price4(0); 1 << 16].into_boxed_slice();
        let mut trial = Trial::new(Box::new(Momentum {
            rise: 100,
            last,
            filled: 0,
        }));
        trial.quote(1, Price4(1_000_000), ASK);
        trial.trade(1, Price4(1_000_000), Qty(10));
        trial
    }

    #[test]
    fn trade_above_the_last_price_is_followed_at_the_ask() {
        let mut trial = trial();
        trial.trade(1, Price4(1_000_100), Qty(10));
        let intents = trial.intents();
        let [intent] = intents.as_slice() else {
            panic!("{intents:?}");
        };
        assert_eq!((intent.side, intent.price), (Side::Buy, ASK));
        assert_eq!(intent.time_in_force, TimeInForce::ImmediateOrCancel);
    }

    #[test]
    fn small_rise_and_a_stale_book_are_not_followed() {
        let mut trial = trial();
        trial.trade(1, Price4(1_000_099), Qty(10));
        trial.lose(3);
        trial.trade(1, Price4(1_009_000), Qty(10));
        assert_eq!(trial.intents(), []);
    }
}
