//! A market maker: quotes both sides of one symbol around the middle, leans against what it holds, and moves its quotes
//! when a timer says so, not with each message.
//!
//! ```toml
//! [strategy.mine]
//! kind = "market-maker"
//! feed = "nasdaq"
//! session = "ouch"
//! [strategy.mine.parameters]
//! symbol = "ALC"
//! ```
//!
//! Timers: one for the quotes, every `requote_us`, in step; and one for each side, that lets it rest after a fill or a
//! refusal, so that it is neither run over nor refused in a storm.

use tickgate::prelude::*;

/// Parameters; prices are in units of 0.0001.
#[derive(Clone, Debug, Deserialize)]
#[serde(crate = "tickgate::serde", deny_unknown_fields, default)]
struct Parameters {
    symbol: String,
    /// Shares of a quote.
    qty: u32,
    /// From the middle to a quote.
    half_spread: i64,
    /// How far both quotes move for each quote's worth of shares held.
    skew: i64,
    /// Shares held at which the side that would add to them is no longer quoted.
    held_max: i64,
    /// From one look at the quotes to the next, us.
    requote_us: u64,
    /// How long a side rests after a fill or a refusal, us.
    rest_us: u64,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            symbol: String::new(),
            qty: 100,
            half_spread: 200,
            skew: 50,
            held_max: 1_000,
            requote_us: 1_000,
            rest_us: 50_000,
        }
    }
}

/// Tokens of the timers.
const REQUOTE: u64 = 0;
const BID_RESTED: u64 = 1;
const ASK_RESTED: u64 = 2;
/// A cent: what prices from a dollar on move in.
const TICK: i64 = 100;

struct MarketMaker {
    parameters: Parameters,
    symbol: Symbol,
    locate: u16,
    /// The best prices of others and ours; 0: there is none, or it may not be believed.
    best: [Price4; 2],
    held: i64,
    bid: Quote,
    ask: Quote,
    is_up: bool,
    /// When the quotes are looked at next.
    requote_ns: u64,
}

struct Quote {
    side: Side,
    /// What its timer says when it has rested.
    rested: u64,
    order: Option<OrderId>,
    price: Price4,
    /// Something is on its way to the exchange.
    is_changing: bool,
    rests: bool,
}

impl Quote {
    fn new(side: Side, rested: u64) -> Self {
        Self {
            side,
            rested,
            order: None,
            price: Price4(0),
            is_changing: false,
            rests: false,
        }
    }

    /// One step towards where it is wanted; `None`: nowhere.
    fn steer(&mut self, wanted: Option<Price4>, new: &NewOrder, context: &mut Context<'_>) {
        if self.is_changing {
            return;
        }
        match (self.order, wanted) {
            (None, Some(price)) if !self.rests => {
                let (side, is_post_only) = (self.side, true);
                self.order = context.enter(&NewOrder {
                    side,
                    price,
                    is_post_only,
                    ..*new
                });
                self.is_changing = self.order.is_some();
            }
            (Some(order), Some(price)) if price != self.price => {
                self.is_changing = context.replace(order, price, new.qty);
            }
            (Some(order), None) => self.is_changing = context.cancel(order),
            _ => {}
        }
    }

    fn on_execution(
        &mut self,
        execution: &ExecutionEvent,
        rest_ns: u64,
        context: &mut Context<'_>,
    ) {
        self.is_changing &= execution.answers.is_none();
        let must_rest = match execution.outcome {
            Outcome::Accepted | Outcome::Replaced => {
                self.price = execution.price;
                false
            }
            Outcome::Filled | Outcome::Refused(_) | Outcome::Rejected(_) => true,
            // The exchange took it off by itself: it would have taken what rests.
            Outcome::Canceled(_) => execution.answers.is_none(),
            _ => false,
        };
        if must_rest && !self.rests {
            self.rests = context.start_timer(rest_ns, self.rested).is_some();
        }
        if execution.leaves.0 == 0 {
            (self.order, self.is_changing) = (None, false);
        }
    }
}

impl MarketMaker {
    fn new(parameters: Parameters) -> Result<Self, String> {
        let name = &parameters.symbol;
        let symbol = Symbol::new(name).ok_or_else(|| format!("symbol = {name:?}: no symbol"))?;
        if parameters.qty == 0 || parameters.half_spread < TICK || parameters.requote_us == 0 {
            return Err("qty and requote_us must be at least 1, half_spread a cent".to_owned());
        }
        Ok(Self {
            parameters,
            symbol,
            locate: 0,
            best: [Price4(0); 2],
            held: 0,
            bid: Quote::new(Side::Buy, BID_RESTED),
            ask: Quote::new(Side::Sell, ASK_RESTED),
            is_up: false,
            requote_ns: 0,
        })
    }

    /// Where the quotes should stand.
    fn wanted(&self) -> [Option<Price4>; 2] {
        let [bid, ask] = self.best.map(|price| i64::from(price.0));
        if bid == 0 || ask <= bid {
            return [None; 2];
        }
        let p = &self.parameters;
        let middle = i64::midpoint(bid, ask) - self.held * p.skew / i64::from(p.qty);
        let buy = ((middle - p.half_spread) / TICK * TICK).min(ask - TICK);
        let sell = ((middle + p.half_spread + TICK - 1) / TICK * TICK).max(bid + TICK);
        let price = |at: i64| u32::try_from(at).ok().filter(|at| *at > 0).map(Price4);
        [
            price(buy).filter(|_| self.held < p.held_max),
            price(sell).filter(|_| self.held > -p.held_max),
        ]
    }

    fn requote(&mut self, context: &mut Context<'_>) {
        if !self.is_up {
            return;
        }
        let [buy, sell] = self.wanted();
        let qty = Qty(self.parameters.qty);
        let new = NewOrder::limit(self.locate, Side::Buy, Price4(0), qty);
        self.bid.steer(buy, &new, context);
        self.ask.steer(sell, &new, context);
    }
}

impl Strategy for MarketMaker {
    fn on_start(&mut self, start: &Start<'_>, context: &mut Context<'_>) {
        self.held = start.position(self.symbol);
        self.requote_ns = context.picked_ns();
        context.start_timer(0, REQUOTE);
    }

    fn on_event(&mut self, event: &MarketEvent, context: &mut Context<'_>) {
        if event.is_news() {
            self.best = [Price4(0); 2];
        } else if context.symbol(event.locate) == Some(self.symbol) {
            let is_sound = !event.has(FLAG_STALE);
            let best = [event.bid_price, event.ask_price];
            self.best = if is_sound { best } else { [Price4(0); 2] };
            self.locate = event.locate;
        }
    }

    fn on_execution(&mut self, execution: &ExecutionEvent, context: &mut Context<'_>) {
        let (sign, quote) = match execution.side {
            Side::Buy => (1, &mut self.bid),
            Side::Sell => (-1, &mut self.ask),
        };
        match execution.outcome {
            Outcome::SessionUp => self.is_up = true,
            Outcome::SessionDown => self.is_up = false,
            Outcome::Filled => self.held += sign * i64::from(execution.qty.0),
            Outcome::Broken => self.held -= sign * i64::from(execution.qty.0),
            _ => {}
        }
        if quote.order == Some(execution.id) {
            let rest_ns = self.parameters.rest_us * 1_000;
            quote.on_execution(execution, rest_ns, context);
        }
    }

    fn on_timer(&mut self, token: u64, context: &mut Context<'_>) {
        match token {
            BID_RESTED => self.bid.rests = false,
            ASK_RESTED => self.ask.rests = false,
            _ => {
                self.requote(context);
                // In step; where it was held up for longer, from now on.
                let step_ns = self.parameters.requote_us * 1_000;
                self.requote_ns = (self.requote_ns + step_ns).max(context.picked_ns());
                context.start_timer_at(self.requote_ns, REQUOTE);
            }
        }
    }

    /// The gateway cancels the quotes.
    fn on_stop(&mut self, _: &mut Context<'_>) {
        self.is_up = false;
    }
}

fn main() -> ExitCode {
    run(|kind, parameters| match kind {
        "market-maker" => Ok(Box::new(MarketMaker::new(parameters.read()?)?)),
        _ => built_in(kind, parameters),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALC: Symbol = Symbol(*b"ALC     ");
    const MS: u64 = 1_000_000;

    fn trial(held: i64) -> Trial {
        let maker = MarketMaker::new(Parameters {
            symbol: "ALC".to_owned(),
            ..Parameters::default()
        });
        let mut trial = Trial::new(Box::new(maker.unwrap()));
        trial.list(1, ALC);
        trial.hold(ALC, held);
        trial.quote(1, Price4(999_900), Price4(1_000_100));
        trial.set_session(true);
        trial
    }

    /// Both quotes are with the exchange.
    fn quoted() -> (Trial, Vec<OrderIntent>) {
        let mut trial = trial(0);
        trial.pass(2 * MS);
        let quotes = trial.intents();
        for quote in &quotes {
            let accepted = trial.answer_to(quote, Outcome::Accepted, quote.qty);
            trial.answer(accepted);
        }
        (trial, quotes)
    }

    fn prices(intents: &[OrderIntent]) -> Vec<(Action, Side, u32)> {
        let parts = intents.iter();
        parts.map(|it| (it.action, it.side, it.price.0)).collect()
    }

    #[test]
    fn quotes_stand_around_the_middle_and_move_with_the_timer_alone() {
        let (mut trial, quotes) = quoted();
        let expected = [
            (Action::Enter, Side::Buy, 999_800),
            (Action::Enter, Side::Sell, 1_000_200),
        ];
        assert_eq!(prices(&quotes), expected);
        trial.pass(5 * MS);
        assert_eq!(prices(&trial.intents()), [], "they stand where they should");
        for middle in [1_000_300, 1_000_600, 1_000_400] {
            trial.quote(1, Price4(middle - 100), Price4(middle + 100));
        }
        assert_eq!(prices(&trial.intents()), [], "not yet");
        trial.pass(MS);
        let moved = prices(&trial.intents());
        let moved: Vec<_> = moved.iter().map(|it| (it.0, it.2)).collect();
        let expected = [(Action::Replace, 1_000_200), (Action::Replace, 1_000_600)];
        assert_eq!(moved, expected, "once, to where the last quote says");
    }

    #[test]
    fn quotes_lean_against_what_is_held_from_the_start() {
        let mut trial = trial(400);
        trial.pass(2 * MS);
        let expected = [
            (Action::Enter, Side::Buy, 999_600),
            (Action::Enter, Side::Sell, 1_000_000),
        ];
        assert_eq!(prices(&trial.intents()), expected);
    }

    #[test]
    fn side_that_was_filled_rests_and_comes_back() {
        let (mut trial, quotes) = quoted();
        let filled = ExecutionEvent {
            answers: None,
            ..trial.answer_to(&quotes[0], Outcome::Filled, Qty(0))
        };
        trial.answer(filled);
        trial.pass(40 * MS);
        let moved = prices(&trial.intents());
        assert!(moved.iter().all(|it| it.0 == Action::Replace), "{moved:?}");
        trial.pass(20 * MS);
        let entered = prices(&trial.intents());
        assert_eq!(entered, [(Action::Enter, Side::Buy, 999_700)]);
    }

    #[test]
    fn feed_that_loses_messages_takes_the_quotes_off() {
        let (mut trial, _) = quoted();
        trial.lose(1);
        trial.pass(2 * MS);
        let intents = trial.intents();
        assert!(intents.iter().all(|it| it.action == Action::Cancel));
        assert_eq!(intents.len(), 2);
    }

    #[test]
    fn maker_that_stops_quotes_no_more() {
        let (mut trial, _) = quoted();
        trial.stop();
        trial.quote(1, Price4(1_099_900), Price4(1_100_100));
        trial.pass(100 * MS);
        assert_eq!(prices(&trial.intents()), []);
    }
}
