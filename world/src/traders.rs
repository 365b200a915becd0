//! A strategy that does anything at random, and holds everything that it is told against what it asked for.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use feed_handler::event::{Kind, MarketEvent};
use gateway::message::execution::{ExecutionEvent, Outcome};
use gateway::message::intent::{Action, OrderId, TimeInForce};
use gateway::message::terms::Display;
use gateway::strategy::{Context, NewOrder, Start, Strategy};
use protocol::types::{Price4, Qty, Side};

use crate::numbers::Numbers;

/// What a trader believes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Belief {
    /// It has been told what it begins with.
    has_started: bool,
    /// Open orders: symbol of the day, side, shares open.
    pub(crate) live: BTreeMap<OrderId, (u16, Side, Qty)>,
    /// Intents that have not been answered.
    pub(crate) unanswered: BTreeMap<OrderId, Vec<Action>>,
    /// Answers heard, by action and outcome; and how often it was found an order, or had missed events.
    pub(crate) answers: BTreeMap<String, u64>,
}

thread_local! {
    /// By trader, so that the world sees what its strategies believe.
    static BELIEFS: RefCell<BTreeMap<usize, Belief>> = const { RefCell::new(BTreeMap::new()) };
    /// Traders do nothing of their own.
    static IS_CALM: Cell<bool> = const { Cell::new(false) };
}

/// Lets every trader rest, or act again.
pub(crate) fn set_calm(is_calm: bool) {
    IS_CALM.set(is_calm);
}

pub(crate) fn belief(trader: usize) -> Belief {
    BELIEFS.with_borrow(|all| all.get(&trader).cloned().unwrap_or_default())
}

/// The strategy.
pub(crate) struct Trader {
    trader: usize,
    random: fastrand::Rng,
    /// Its last order.
    entered: OrderId,
    numbers: Numbers,
}

impl Trader {
    pub(crate) fn new(trader: usize, seed: u64) -> Self {
        BELIEFS.with_borrow_mut(|all| all.insert(trader, Belief::default()));
        Self {
            trader,
            random: fastrand::Rng::with_seed(seed),
            entered: OrderId(0),
            numbers: Numbers::default(),
        }
    }

    fn act(&mut self, locate: u16, price: u32, context: &mut Context<'_>) {
        let believed = belief(self.trader);
        let known: Vec<OrderId> = believed.live.keys().copied().collect();
        // Now and then one that is over, or never was.
        let any = match self.random.u8(0..32) {
            0 => OrderId(self.random.u32(1_000_000..)),
            1 => self.entered,
            _ if known.is_empty() => OrderId(0),
            _ => known[self.random.usize(0..known.len())],
        };
        let qty = Qty(self.random.u32(0..600));
        let price = Price4(price.saturating_add_signed(self.random.i32(-3..4) * 100));
        let asked = match self.random.u8(0..10) {
            _ if any == OrderId(0) => self.enter(locate, price, qty, context),
            0..3 => context
                .replace(any, price, qty)
                .then_some((any, Action::Replace)),
            3..5 if qty.0 % 4 < 2 => context.reduce(any, qty).then_some((any, Action::Reduce)),
            3..5 => context.cancel(any).then_some((any, Action::Cancel)),
            _ => self.enter(locate, price, qty, context),
        };
        if let Some((id, action)) = asked {
            self.change(|belief| belief.unanswered.entry(id).or_default().push(action));
        }
    }

    fn enter(
        &mut self,
        locate: u16,
        price: Price4,
        qty: Qty,
        context: &mut Context<'_>,
    ) -> Option<(OrderId, Action)> {
        let side = if self.random.bool() {
            Side::Buy
        } else {
            Side::Sell
        };
        let time_in_force = if self.random.u8(0..4) == 0 {
            TimeInForce::ImmediateOrCancel
        } else {
            TimeInForce::Day
        };
        // Terms follow from what has been drawn, so that a seed's other dice fall as ever. Some are impossible.
        let display = match qty.0 % 16 {
            0 | 1 => Display::Hidden,
            2 => Display::Reserve(Qty(qty.0 / 2)),
            3 => Display::Attributed,
            _ => Display::Shown,
        };
        let is_market = qty.0 % 32 == 7 && time_in_force == TimeInForce::ImmediateOrCancel;
        let limit = NewOrder::limit(locate, side, price, qty);
        let market = NewOrder::market(locate, side, qty);
        let id = context.enter(&NewOrder {
            time_in_force,
            display,
            min_qty: Qty(if qty.0 % 32 < 2 { qty.0 / 3 } else { 0 }),
            is_post_only: qty.0 % 16 == 4,
            is_midpoint: qty.0 % 16 == 5,
            ..if is_market { market } else { limit }
        })?;
        self.entered = id;
        self.change(|belief| {
            belief.live.insert(id, (locate, side, qty));
        });
        Some((id, Action::Enter))
    }

    fn change(&self, with: impl FnOnce(&mut Belief)) {
        BELIEFS.with_borrow_mut(|all| with(all.entry(self.trader).or_default()));
    }

    /// Each answer is to something that was asked, and once.
    fn settle(&self, execution: &ExecutionEvent) {
        let Some(action) = execution.answers else {
            return;
        };
        let word = match execution.outcome {
            Outcome::Rejected(_) => "Rejected".to_owned(),
            Outcome::Canceled(_) => "Canceled".to_owned(),
            outcome => format!("{outcome:?}"),
        };
        self.change(|belief| {
            *belief
                .answers
                .entry(format!("{action:?} {word}"))
                .or_default() += 1;
            let list = belief.unanswered.entry(execution.id).or_default();
            let at = list.iter().position(|asked| *asked == action);
            let at = at.unwrap_or_else(|| panic!("answered, but not asked: {execution:?}"));
            list.remove(at);
            if list.is_empty() {
                belief.unanswered.remove(&execution.id);
            }
        });
    }
}

impl Strategy for Trader {
    fn on_event(&mut self, event: &MarketEvent, context: &mut Context<'_>) {
        self.numbers.hear(event);
        if event.kind == Kind::Lagged {
            self.change(|belief| *belief.answers.entry("Lagged".to_owned()).or_default() += 1);
        }
        let is_priced = event.bid_price.0 > 0;
        if is_priced && !IS_CALM.get() && !event.is_news() && self.random.u8(0..8) == 0 {
            self.act(event.locate, event.bid_price.0, context);
        }
    }

    /// It does all that it can think of, and nothing may come of it.
    fn rehearse(&self, event: &MarketEvent, context: &mut Context<'_>) {
        let (price, qty) = (event.bid_price, Qty(100));
        context.enter(&NewOrder::limit(event.locate, Side::Buy, price, qty));
        for id in belief(self.trader).live.into_keys() {
            context.cancel(id);
            context.replace(id, price, qty);
            context.reduce(id, Qty(1));
        }
        context.start_timer(0, 1);
        context.start_timer(u64::MAX, 2);
    }

    fn on_timer(&mut self, token: u64, _: &mut Context<'_>) {
        panic!("it has started no timer, and {token} fires");
    }

    fn on_start(&mut self, start: &Start<'_>, _: &mut Context<'_>) {
        let has_started = belief(self.trader).has_started;
        assert!(!has_started, "it starts once");
        let found = start.positions().all(|(_, shares)| shares != 0);
        assert!(found, "what is not held is not shown");
        let believed = belief(self.trader);
        // What it has asked for too early has not been refused yet.
        let is_found = |id: &OrderId| !believed.unanswered.contains_key(id);
        let live = believed.live.iter().filter(|(id, _)| is_found(id));
        let live = live.map(|(id, (_, side, open))| (*id, *side, *open));
        let orders = start.orders();
        let mut orders: Vec<_> = orders
            .map(|it| (it.desk.expect("its own").1, it.side, it.open))
            .collect();
        orders.sort_unstable_by_key(|(id, _, _)| *id);
        let live: Vec<_> = live.collect();
        assert_eq!(orders, live, "what it was given back");
        self.change(|belief| belief.has_started = true);
    }

    fn on_execution(&mut self, execution: &ExecutionEvent, context: &mut Context<'_>) {
        self.settle(execution);
        let has_started = belief(self.trader).has_started;
        assert!(
            has_started || execution.outcome != Outcome::SessionUp,
            "it starts before its session is told to be open"
        );
        if matches!(execution.outcome, Outcome::SessionUp | Outcome::SessionDown) {
            return;
        }
        if execution.outcome == Outcome::Found {
            let order = (execution.locate, execution.side, execution.leaves);
            return self.change(|belief| {
                let before = belief.live.insert(execution.id, order);
                assert_eq!(before, None, "{execution:?} is found twice");
                *belief.answers.entry("Found".to_owned()).or_default() += 1;
            });
        }
        let known = belief(self.trader).live.get(&execution.id).copied();
        if let Some((locate, side, leaves)) = known {
            // An order of an earlier life was found before its feed had said the code of its symbol.
            let is_its = execution.locate == locate || locate == 0;
            assert!(is_its && execution.side == side, "{execution:?}: {locate}");
            let locate = execution.locate;
            let taken = match execution.outcome {
                Outcome::Filled | Outcome::Canceled(_) => execution.qty,
                _ => Qty(0),
            };
            if taken.0 > 0 {
                assert_eq!(execution.leaves.0 + taken.0, leaves.0, "{execution:?}");
            }
            self.change(|belief| match execution.leaves {
                Qty(0) => {
                    belief.live.remove(&execution.id);
                }
                leaves => {
                    belief.live.insert(execution.id, (locate, side, leaves));
                }
            });
        } else {
            assert_eq!(execution.leaves, Qty(0), "over, and alive: {execution:?}");
        }
        if !IS_CALM.get() && self.random.u8(0..8) == 0 {
            self.act(execution.locate, execution.price.0, context);
        }
    }
}
