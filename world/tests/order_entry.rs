//! One gateway session against the exchange, both without sockets and in one thread, step by step.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

mod pair;

use gateway::message::intent::{Action, OrderId, OrderIntent, TimeInForce};
use gateway::message::terms::{Display, Terms};
use gateway::order::entry::State;
use gateway::order::risk::{KillCause, Refusal};
use pair::{DEMO, World, symbol};
use protocol::ouch::Outbound;
use protocol::types::{Price4, Qty, Side};

#[test]
fn orders_of_an_earlier_life_count_and_are_cancelled_when_told_to_stop() {
    let mut world = World::new(3);
    world.connect();
    world.settle();
    for _ in 0..8 {
        world.enter(Side::Buy, 100);
    }
    world.settle();
    assert_eq!(world.exchange.open_orders(DEMO).len(), 6);
    world.restart();
    world.settle();
    world.both_believe_the_same(0);
    assert_eq!(world.account.exposure(symbol()).position, 200);
    world.entry.stop(world.now_ns);
    assert_eq!(
        world.intent(Action::Enter, OrderId(99), Side::Buy, 1),
        Err(Refusal::SessionDown)
    );
    let mut out = [0; 4096];
    let len = world.entry.cancel_some(100, world.now_ns, &mut out);
    world.to_exchange.extend_from_slice(&out[..len]);
    world.settle();
    assert!(world.entry.is_stopped());
    assert!(world.exchange.open_orders(DEMO).is_empty());
}

#[test]
fn order_that_the_exchange_never_received_is_told_as_lost() {
    let mut world = World::new(0);
    world.connect();
    world.settle();
    world.enter(Side::Sell, 100);
    assert_eq!(world.entry.open_orders(), 1);
    world.connect();
    world.settle();
    world.both_believe_the_same(0);
    assert_eq!(world.entry.open_orders(), 0);
    assert_eq!(world.entry.counters().never_received.get(), 1);
}

#[test]
fn no_order_goes_out_before_the_past_is_known() {
    let mut world = World::new(0);
    world.connect();
    assert_eq!(
        world.intent(Action::Enter, OrderId(1), Side::Buy, 1),
        Err(Refusal::SessionDown)
    );
    world.pump(usize::MAX);
    world.pump(usize::MAX);
    assert_eq!(world.entry.state(), State::Recovering);
    assert_eq!(
        world.intent(Action::Enter, OrderId(1), Side::Buy, 1),
        Err(Refusal::SessionDown)
    );
    world.settle();
    assert_eq!(
        world.intent(Action::Enter, OrderId(1), Side::Buy, 1),
        Ok(())
    );
    world.kill.engage(KillCause::Operator);
    assert_eq!(
        world.intent(Action::Enter, OrderId(2), Side::Buy, 1),
        Err(Refusal::Killed)
    );
}

#[test]
fn order_on_a_book_that_misses_an_order_is_refused_and_other_symbols_are_not_concerned() {
    let mut world = World::new(0);
    world.connect();
    world.settle();
    world.prices.set_incomplete(2);
    let first = world.intent(Action::Enter, OrderId(1), Side::Buy, 1);
    assert_eq!(first, Ok(()));
    world.settle();
    world.prices.set_incomplete(1);
    let replaced = world.intent(Action::Replace, OrderId(1), Side::Buy, 2);
    assert_eq!(replaced, Err(Refusal::StaleBook));
    let second = world.intent(Action::Enter, OrderId(2), Side::Buy, 1);
    assert_eq!(second, Err(Refusal::StaleBook));
}

impl World {
    /// Open, with a market of its own around a dollar price of 100.
    fn quoted() -> Self {
        let mut world = Self::new(0);
        world.connect();
        world.settle();
        for (id, side, price) in [(1, Side::Buy, 999_900), (2, Side::Sell, 1_000_200)] {
            let quote = OrderIntent {
                price: Price4(price),
                ..world.plain(Action::Enter, OrderId(id), side, 500)
            };
            assert_eq!(world.send(&quote), Ok(()));
        }
        world.settle();
        world
    }

    /// Display code and time in force with which the exchange has taken in or replaced the last order.
    fn last_taken(&self) -> Option<(u8, u8)> {
        let said = (0..self.exchange.stored(DEMO)).rev();
        let mut taken = said.filter_map(|at| {
            let bytes = self.exchange.message(DEMO, at).expect("stored");
            match Outbound::decode(bytes).expect("OUCH").0 {
                Outbound::OrderAccepted(m) => Some((m.display, m.time_in_force)),
                Outbound::OrderReplaced(m) => Some((m.display, m.time_in_force)),
                _ => None,
            }
        });
        taken.next()
    }
}

#[test]
fn exchange_takes_every_order_whose_terms_are_not_refused_and_its_replace_keeps_them() {
    let displays = [
        Display::Shown,
        Display::Attributed,
        Display::Hidden,
        Display::Reserve(Qty(0)),
        Display::Reserve(Qty(40)),
        Display::Reserve(Qty(101)),
    ];
    let times = [
        TimeInForce::Day,
        TimeInForce::ImmediateOrCancel,
        TimeInForce::ExtendedHours,
        TimeInForce::AfterHours,
    ];
    let (mut taken, mut refused) = (0, 0);
    for case in 0..(6 * 4 * 4 * 2 * 2) {
        let display = displays[case % 6];
        let time_in_force = times[case / 6 % 4];
        let min_qty = Qty([0, 1, 100, 101][case / 24 % 4]);
        let (is_post_only, is_midpoint) = (case / 96 % 2 == 1, case / 192 == 1);
        let mut world = World::quoted();
        let order = OrderIntent {
            terms: Terms::new(display, min_qty)
                .with_post_only(is_post_only)
                .with_midpoint(is_midpoint),
            time_in_force,
            ..world.plain(Action::Enter, OrderId(3), Side::Buy, 100)
        };
        let said =
            format!("{display:?} {time_in_force:?} {min_qty:?} {is_post_only} {is_midpoint}");
        match world.send(&order) {
            Ok(()) => taken += 1,
            Err(refusal) => {
                assert_eq!(refusal, Refusal::Terms, "{said}");
                refused += 1;
                continue;
            }
        }
        world.settle();
        world.both_believe_the_same(case as u64);
        let counters = world.entry.counters();
        assert_eq!(counters.rejected.get(), 0, "{said}");
        let code = match display {
            _ if is_midpoint => b'N',
            Display::Hidden => b'N',
            Display::Attributed => b'A',
            Display::Shown | Display::Reserve(_) => b'Y',
        };
        let as_asked = Some((code, time_in_force as u8));
        assert_eq!(world.last_taken(), as_asked, "{said}");
        let is_live = world.entry.open_orders() == 3;
        assert_eq!(
            is_live,
            time_in_force != TimeInForce::ImmediateOrCancel,
            "{said}"
        );
        if is_live {
            let replaced = world.intent(Action::Replace, OrderId(3), Side::Buy, 150);
            assert_eq!(replaced, Ok(()), "{said}");
            world.settle();
            world.both_believe_the_same(case as u64);
            assert_eq!(world.entry.open_orders(), 3, "{said}");
            assert_eq!(counters.replaced.get(), 1, "{said}");
            assert_eq!(world.last_taken(), as_asked, "replaced: {said}");
        }
    }
    // No minimum: 14 each shown, attributed and hidden, 6 in reserve. A minimum of 1 or of all: 8, 8 and 14.
    assert_eq!((taken, refused), (3 * 14 + 6 + 2 * (8 + 8 + 14), 276));
}

#[test]
fn market_order_takes_what_the_collar_reaches_and_no_more() {
    let mut world = World::quoted();
    // 10 % above the last bid known, which is 100.00: 110.00.
    let far = OrderIntent {
        price: Price4(1_100_100),
        ..world.plain(Action::Enter, OrderId(3), Side::Sell, 100)
    };
    assert_eq!(world.send(&far), Ok(()));
    let market = OrderIntent {
        price: protocol::ouch::PRICE_MARKET,
        time_in_force: TimeInForce::ImmediateOrCancel,
        ..world.plain(Action::Enter, OrderId(4), Side::Buy, 600)
    };
    assert_eq!(world.send(&market), Ok(()));
    world.settle();
    world.both_believe_the_same(0);
    // The 500 at 100.02 are its own: both sides are told.
    assert_eq!(world.entry.counters().fills.get(), 2);
    let left = world.exchange.open_orders(DEMO);
    assert_eq!(left.len(), 2, "the bid and the far ask: {left:?}");
    let day = OrderIntent {
        time_in_force: TimeInForce::Day,
        id: OrderId(5),
        ..market
    };
    assert_eq!(world.send(&day), Err(Refusal::Terms));
}
