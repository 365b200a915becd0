//! Two symbols that move together: when one gets dear beside the other, it is sold and the other bought, until the
//! difference is again what it usually is.
//!
//! ```toml
//! [strategy.mine]
//! kind = "pairs"
//! feed = "nasdaq"
//! session = "ouch"
//! [strategy.mine.parameters]
//! symbols = ["ALC", "BOB"]
//! ```
//!
//! Each leg has a position that is wanted, and one order at most that takes what the market offers. So a leg that was
//! filled while the other was not is put right by the same step that opens and closes: towards what is wanted.

use tickgate::prelude::*;

/// Parameters; prices are in units of 0.0001.
#[derive(Clone, Debug, Deserialize)]
#[serde(crate = "tickgate::serde", deny_unknown_fields)]
struct Parameters {
    symbols: [String; 2],
    /// Shares of each leg.
    #[serde(default = "qty")]
    qty: u32,
    /// How far from its mean the difference of the middles must be before a position is taken.
    #[serde(default = "entry_at")]
    entry_at: i64,
    /// How near to its mean before it is given up.
    #[serde(default = "exit_at")]
    exit_at: i64,
}

fn qty() -> u32 {
    100
}

fn entry_at() -> i64 {
    500
}

fn exit_at() -> i64 {
    100
}

/// The mean gives each difference a weight of one in 2^10: it is that of the last thousand or so.
const MEAN_SHIFT: u32 = 10;

struct Pairs {
    parameters: Parameters,
    legs: [Leg; 2],
    /// The usual difference of the middles, times 2^10; `None` before the first.
    mean: Option<i64>,
    is_up: bool,
}

struct Leg {
    symbol: Symbol,
    /// Best prices of now; 0: there is none, or it may not be believed.
    bid: Price4,
    ask: Price4,
    locate: u16,
    /// Shares held, short below zero, and how many are wanted.
    held: i64,
    wanted: i64,
    /// What is on its way to the market.
    working: Option<OrderId>,
}

impl Leg {
    fn new(name: &str) -> Result<Self, String> {
        Ok(Self {
            symbol: Symbol::new(name).ok_or_else(|| format!("{name}: no symbol"))?,
            bid: Price4(0),
            ask: Price4(0),
            locate: 0,
            held: 0,
            wanted: 0,
            working: None,
        })
    }

    /// Twice the middle; `None` while a side is missing.
    fn middle(&self) -> Option<i64> {
        let is_whole = self.bid.0 > 0 && self.ask > self.bid;
        is_whole.then(|| i64::from(self.bid.0) + i64::from(self.ask.0))
    }

    /// One step towards what is wanted.
    fn steer(&mut self, context: &mut Context<'_>) {
        let missing = self.wanted - self.held;
        if missing == 0 || self.working.is_some() || self.middle().is_none() {
            return;
        }
        let (side, price) = if missing > 0 {
            (Side::Buy, self.ask)
        } else {
            (Side::Sell, self.bid)
        };
        let qty = Qty(u32::try_from(missing.unsigned_abs()).unwrap_or(u32::MAX));
        self.working = context.enter(&NewOrder {
            time_in_force: TimeInForce::ImmediateOrCancel,
            ..NewOrder::limit(self.locate, side, price, qty)
        });
    }

    fn on_execution(&mut self, execution: &ExecutionEvent) {
        let shares = match execution.side {
            Side::Buy => i64::from(execution.qty.0),
            Side::Sell => -i64::from(execution.qty.0),
        };
        match execution.outcome {
            Outcome::Filled => self.held += shares,
            Outcome::Broken => self.held -= shares,
            _ => {}
        }
        if self.working == Some(execution.id) && execution.leaves.0 == 0 {
            self.working = None;
        }
    }
}

impl Pairs {
    fn new(parameters: Parameters) -> Result<Self, String> {
        let [first, second] = &parameters.symbols;
        Ok(Self {
            legs: [Leg::new(first)?, Leg::new(second)?],
            parameters,
            mean: None,
            is_up: false,
        })
    }

    /// What should be held, by what the difference is beside what it usually is.
    fn decide(&mut self) {
        let [first, second] = &mut self.legs;
        let (Some(a), Some(b)) = (first.middle(), second.middle()) else {
            return;
        };
        let difference = (a - b) / 2;
        let mean = self.mean.get_or_insert(difference << MEAN_SHIFT);
        let off = difference - (*mean >> MEAN_SHIFT);
        *mean += off;
        let qty = i64::from(self.parameters.qty);
        if off.abs() >= self.parameters.entry_at {
            first.wanted = -qty * off.signum();
        } else if off.abs() <= self.parameters.exit_at {
            first.wanted = 0;
        }
        second.wanted = -first.wanted;
    }

    fn steer(&mut self, context: &mut Context<'_>) {
        if self.is_up {
            self.legs.iter_mut().for_each(|leg| leg.steer(context));
        }
    }
}

impl Strategy for Pairs {
    /// What an earlier run left is given up with the first step, unless it is wanted again.
    fn on_start(&mut self, start: &Start<'_>, _: &mut Context<'_>) {
        for leg in &mut self.legs {
            leg.held = start.position(leg.symbol);
        }
    }

    fn on_event(&mut self, event: &MarketEvent, context: &mut Context<'_>) {
        if event.is_news() {
            // Something happened to the whole feed: prices count again from each leg's next event.
            return self.legs.iter_mut().for_each(|leg| leg.bid = Price4(0));
        }
        let symbol = context.symbol(event.locate);
        let leg = self.legs.iter_mut().find(|leg| Some(leg.symbol) == symbol);
        let Some(leg) = leg else { return };
        let is_sound = !event.has(FLAG_STALE);
        leg.locate = event.locate;
        leg.bid = if is_sound { event.bid_price } else { Price4(0) };
        leg.ask = event.ask_price;
        if event.has(FLAG_BBO_CHANGED) {
            self.decide();
            self.steer(context);
        }
    }

    fn on_execution(&mut self, execution: &ExecutionEvent, _: &mut Context<'_>) {
        match execution.outcome {
            Outcome::SessionUp => self.is_up = true,
            Outcome::SessionDown => self.is_up = false,
            _ => {}
        }
        // What is still missing is tried again with the next event: at another price, so that refusals do not storm.
        let leg = self
            .legs
            .iter_mut()
            .find(|leg| leg.locate == execution.locate);
        if let Some(leg) = leg {
            leg.on_execution(execution);
        }
    }
}

fn main() -> ExitCode {
    run(|kind, parameters| match kind {
        "pairs" => Ok(Box::new(Pairs::new(parameters.read()?)?)),
        _ => built_in(kind, parameters),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALC: Symbol = Symbol(*b"ALC     ");
    const BOB: Symbol = Symbol(*b"BOB     ");

    /// Both symbols at 100.00, a thousand times.
    fn trial(held: i64) -> Trial {
        let pairs = Pairs::new(Parameters {
            symbols: ["ALC".to_owned(), "BOB".to_owned()],
            qty: 100,
            entry_at: 500,
            exit_at: 100,
        });
        let mut trial = Trial::new(Box::new(pairs.unwrap()));
        trial.list(1, ALC);
        trial.list(2, BOB);
        trial.hold(ALC, held);
        trial.set_session(true);
        for _ in 0..1_000 {
            quote(&mut trial, 1, 1_000_000);
            quote(&mut trial, 2, 1_000_000);
        }
        trial
    }

    fn quote(trial: &mut Trial, locate: u16, middle: u32) {
        trial.quote(locate, Price4(middle - 100), Price4(middle + 100));
    }

    /// Locate code, side, price and shares.
    fn wanted(trial: &mut Trial) -> Vec<(u16, Side, u32, u32)> {
        let intents = trial.intents();
        let parts = intents.iter();
        let parts = parts.map(|it| (it.locate, it.side, it.price.0, it.qty.0));
        parts.collect()
    }

    fn fill(trial: &mut Trial, intent: &OrderIntent, qty: u32) {
        let leaves = Qty(intent.qty.0 - qty);
        let filled = ExecutionEvent {
            qty: Qty(qty),
            answers: None,
            ..trial.answer_to(intent, Outcome::Filled, leaves)
        };
        trial.answer(filled);
        if leaves.0 > 0 {
            let canceled = ExecutionEvent {
                qty: leaves,
                answers: None,
                ..trial.answer_to(intent, Outcome::Canceled(b'I'), Qty(0))
            };
            trial.answer(canceled);
        }
    }

    #[test]
    fn dear_leg_is_sold_and_the_other_bought_until_both_are_level() {
        let mut trial = trial(0);
        assert_eq!(wanted(&mut trial), []);
        quote(&mut trial, 1, 1_000_600);
        let intents = trial.intents();
        let sides: Vec<_> = intents.iter().map(|it| (it.locate, it.side)).collect();
        assert_eq!(sides, [(1, Side::Sell), (2, Side::Buy)]);
        fill(&mut trial, &intents[0], 100);
        fill(&mut trial, &intents[1], 100);
        quote(&mut trial, 1, 1_000_550);
        assert_eq!(wanted(&mut trial), [], "it has what it wants");
        quote(&mut trial, 1, 1_000_000);
        let out = [
            (1, Side::Buy, 1_000_100, 100),
            (2, Side::Sell, 999_900, 100),
        ];
        assert_eq!(wanted(&mut trial), out);
    }

    #[test]
    fn leg_that_was_filled_in_part_is_filled_up_and_not_twice() {
        let mut trial = trial(0);
        quote(&mut trial, 1, 1_000_600);
        let intents = trial.intents();
        quote(&mut trial, 1, 1_000_610);
        assert_eq!(wanted(&mut trial), [], "both are on their way");
        fill(&mut trial, &intents[0], 100);
        fill(&mut trial, &intents[1], 30);
        quote(&mut trial, 2, 1_000_010);
        assert_eq!(wanted(&mut trial), [(2, Side::Buy, 1_000_110, 70)]);
    }

    #[test]
    fn what_an_earlier_run_left_is_given_up() {
        let mut trial = trial(-40);
        assert_eq!(wanted(&mut trial)[0], (1, Side::Buy, 1_000_100, 40));
    }

    #[test]
    fn nothing_is_done_on_a_book_that_may_be_over() {
        let mut trial = trial(0);
        trial.lose(3);
        quote(&mut trial, 1, 1_000_600);
        assert_eq!(wanted(&mut trial), []);
    }
}
