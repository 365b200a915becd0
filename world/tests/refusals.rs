//! Every cause of a refusal, with the exchange at the other end: the order is not there.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests"
)]
#![allow(clippy::too_many_lines, reason = "a table of all causes")]

mod pair;

use feed_handler::best_prices::BestPrice;
use feed_handler::position::Position;
use gateway::message::command::Command;
use gateway::message::intent::{Action, OrderId, OrderIntent, Owner};
use gateway::order::account::DayStart;
use gateway::order::risk::{Hours, KillCause, Limits, Refusal, RowLimits, Symbols};
use pair::{DEMO, LIMITS, World, symbol};
use protocol::ouch::Outbound;
use protocol::types::{Price4, Qty, Side, Symbol};

const DOLLAR: u64 = 10_000;
const SECOND: u64 = 1_000_000_000;

/// New orders and replaces that the exchange has had, whatever it made of them, and cancels that it did.
fn had(world: &World) -> usize {
    let said = (0..world.exchange.stored(DEMO)).filter(|at| {
        let bytes = world.exchange.message(DEMO, *at).expect("stored");
        matches!(
            Outbound::decode(bytes).expect("OUCH").0,
            Outbound::OrderAccepted(_)
                | Outbound::OrderReplaced(_)
                | Outbound::Rejected(_)
                | Outbound::Canceled(_)
        )
    });
    said.count()
}

/// Limits under which one thing is one too many.
fn limits(cause: Refusal) -> Limits {
    match cause {
        Refusal::Notional => Limits {
            notional_max: 9_999 * DOLLAR,
            ..LIMITS
        },
        Refusal::Position => Limits {
            position_max: 99,
            ..LIMITS
        },
        Refusal::OpenOrders => Limits {
            open_orders_max: 1,
            ..LIMITS
        },
        Refusal::OrderRate => Limits {
            orders_per_second_max: 1,
            ..LIMITS
        },
        Refusal::TooOld => Limits {
            intent_age_max_ns: 5,
            ..LIMITS
        },
        Refusal::GrossExposure => Limits {
            gross_exposure_max: 9_999 * DOLLAR,
            ..LIMITS
        },
        Refusal::NetExposure => Limits {
            net_exposure_max: 9_999 * DOLLAR,
            ..LIMITS
        },
        Refusal::Duplicate => Limits {
            duplicate_window_ns: SECOND,
            ..LIMITS
        },
        Refusal::SelfCross => Limits {
            may_self_cross: false,
            ..LIMITS
        },
        Refusal::OutsideHours => Limits {
            hours: Some(Hours {
                clock_offset_ns: 0,
                from_ns: 3_600 * SECOND,
                until_ns: 7_200 * SECOND,
            }),
            ..LIMITS
        },
        Refusal::CancelRate => Limits {
            cancels_per_second_max: 1,
            ..LIMITS
        },
        _ => LIMITS,
    }
}

/// What comes before the order that is refused.
fn prepare(world: &mut World, cause: Refusal) {
    let sent = |sent: Result<(), Refusal>| assert_eq!(sent, Ok(()), "{cause:?}: before");
    match cause {
        Refusal::Killed => world.kill.engage(KillCause::Operator),
        Refusal::Paused => {
            let World { entry, account, .. } = world;
            assert!(entry.on_command(account, &Command::Pause(Owner(0)), 1));
        }
        Refusal::SessionDown => {
            world.entry.on_closed(0, world.now_ns);
        }
        Refusal::NoReferencePrice => {
            let nothing = BestPrice::default();
            world.prices.store(1, &nothing, Position::default());
        }
        Refusal::StaleBook => world.prices.set_incomplete(1),
        Refusal::OpenOrders
        | Refusal::OrderRate
        | Refusal::Duplicate
        | Refusal::IdInUse
        | Refusal::ChangePending => sent(world.intent(Action::Enter, OrderId(1), Side::Buy, 100)),
        Refusal::SelfCross => sent(world.intent(Action::Enter, OrderId(1), Side::Sell, 100)),
        Refusal::Restricted => begin_day(world, |day| day.restricted.push(symbol())),
        Refusal::NoShort => begin_day(world, |day| day.no_short.push(symbol())),
        Refusal::MarkedLong => {
            begin_day(world, |day| day.positions = Some(vec![(symbol(), 100)]));
            sent(world.intent(Action::Enter, OrderId(1), Side::Sell, 100));
        }
        Refusal::CancelRate => {
            for id in 1..=2 {
                sent(world.intent(Action::Enter, OrderId(id), Side::Buy, 100));
            }
            world.settle();
            sent(world.intent(Action::Cancel, OrderId(1), Side::Buy, 0));
        }
        _ => {}
    }
    // What is asked for is not answered yet.
    if cause != Refusal::ChangePending {
        world.settle();
    }
}

fn begin_day(world: &mut World, with: impl FnOnce(&mut DayStart)) {
    let mut day = DayStart::default();
    with(&mut day);
    assert_eq!(world.account.begin_day(&day), Ok(()));
}

/// The order that is refused, or its change.
fn refused(world: &mut World, cause: Refusal) -> Result<(), Refusal> {
    let buy = world.plain(Action::Enter, OrderId(9), Side::Buy, 100);
    let intent = match cause {
        Refusal::OrderQty => OrderIntent {
            qty: Qty(1_001),
            ..buy
        },
        Refusal::PriceCollar => OrderIntent {
            price: Price4(1_200_000),
            ..buy
        },
        Refusal::UnknownSymbol => OrderIntent { locate: 2, ..buy },
        Refusal::NotLive => world.plain(Action::Replace, OrderId(9), Side::Buy, 100),
        Refusal::ChangePending | Refusal::MarkedLong => {
            world.plain(Action::Replace, OrderId(1), Side::Buy, 200)
        }
        Refusal::IdInUse => OrderIntent {
            id: OrderId(1),
            ..buy
        },
        Refusal::TooOld => OrderIntent {
            decided_ns: 0,
            ..buy
        },
        Refusal::Backlog => return world.send_with_room(&buy, &mut [0; 8]),
        Refusal::NoShort => OrderIntent {
            side: Side::Sell,
            ..buy
        },
        Refusal::CancelRate => world.plain(Action::Cancel, OrderId(2), Side::Buy, 0),
        Refusal::Terms => OrderIntent {
            price: protocol::ouch::PRICE_MARKET,
            ..buy
        },
        _ => buy,
    };
    world.send(&intent)
}

#[test]
fn what_is_refused_for_any_cause_is_not_at_the_exchange() {
    let mut causes = 0;
    for (cause, ..) in Refusal::ALL {
        // Whoever halts a symbol is the exchange, and the feed says so: `limits.rs`.
        if *cause == Refusal::Halted {
            continue;
        }
        let other = Symbol::new("OTHER").expect("a symbol");
        let symbols = (*cause == Refusal::NotItsSymbol).then(|| vec![other]);
        let mut world = World::with(0, limits(*cause), symbols);
        world.connect();
        world.settle();
        prepare(&mut world, *cause);
        let before = had(&world);
        assert_eq!(refused(&mut world, *cause), Err(*cause));
        if *cause == Refusal::SessionDown {
            world.log_in();
        }
        world.settle();
        let expected = before + usize::from(*cause == Refusal::ChangePending);
        assert_eq!(
            had(&world),
            expected,
            "{cause:?}: the one before, and no other"
        );
        // What was held before the day is in nobody's record.
        if *cause != Refusal::MarkedLong {
            world.both_believe_the_same(0);
        }
        causes += 1;
    }
    assert_eq!(causes, Refusal::ALL.len() - 1);
}

/// Two rows that are for other orders, and one.
fn rows(one: RowLimits) -> [RowLimits; 3] {
    let tight = RowLimits {
        order_qty_max: Some(Qty(1)),
        ..RowLimits::default()
    };
    let other_symbols = RowLimits {
        symbols: Symbols::parse("B*").expect("symbols"),
        ..tight
    };
    let other_strategy = RowLimits {
        owner: Some(Owner(1)),
        ..tight
    };
    [other_symbols, other_strategy, one]
}

#[test]
fn what_a_row_by_strategy_and_symbol_refuses_is_not_at_the_exchange() {
    let of_symbol = RowLimits {
        symbols: Symbols::parse("AL*").expect("symbols"),
        ..RowLimits::default()
    };
    let of_strategy = RowLimits {
        owner: Some(Owner(0)),
        ..RowLimits::default()
    };
    for (row, cause) in [
        (
            RowLimits {
                order_qty_max: Some(Qty(99)),
                ..of_strategy
            },
            Refusal::OrderQty,
        ),
        (
            RowLimits {
                notional_max: Some(9_999 * DOLLAR),
                ..of_symbol
            },
            Refusal::Notional,
        ),
        (
            RowLimits {
                position_max: Some(199),
                ..of_symbol
            },
            Refusal::Position,
        ),
        (
            RowLimits {
                open_orders_max: Some(1),
                ..of_symbol
            },
            Refusal::OpenOrders,
        ),
        (
            RowLimits {
                orders_per_second_max: Some(1),
                ..of_strategy
            },
            Refusal::OrderRate,
        ),
    ] {
        let mut world = World::with_rows(&rows(row));
        world.connect();
        world.settle();
        // What is full with one order is so behind it, and free again once it is over.
        let has_first = ![Refusal::OrderQty, Refusal::Notional].contains(&cause);
        if has_first {
            let first = world.intent(Action::Enter, OrderId(1), Side::Buy, 100);
            assert_eq!(first, Ok(()), "{cause:?}");
            world.settle();
        }
        let second = |world: &mut World| world.intent(Action::Enter, OrderId(2), Side::Buy, 100);
        let before = had(&world);
        assert_eq!(second(&mut world), Err(cause));
        world.settle();
        assert_eq!(had(&world), before, "{cause:?}");
        world.both_believe_the_same(0);
        if has_first {
            let cancel = world.intent(Action::Cancel, OrderId(1), Side::Buy, 0);
            assert_eq!(cancel, Ok(()), "{cause:?}");
            world.settle();
            world.now_ns += SECOND;
            assert_eq!(second(&mut world), Ok(()), "{cause:?}");
        }
    }
}

/// Orders that an earlier run left count in the rows that are for nobody's, and no longer when they are over.
#[test]
fn orders_that_are_found_count_in_rows_of_their_symbol() {
    let row = RowLimits {
        symbols: Symbols::parse("ALC").expect("a symbol"),
        open_orders_max: Some(2),
        ..RowLimits::default()
    };
    let mut world = World::with_rows(&rows(row));
    world.connect();
    world.settle();
    for id in 1..=2 {
        let sent = world.intent(Action::Enter, OrderId(id), Side::Buy, 100);
        assert_eq!(sent, Ok(()));
    }
    world.settle();
    world.restart_with_rows(&rows(row));
    world.settle();
    assert_eq!(world.entry.open_orders(), 2);
    let more = |world: &mut World| world.intent(Action::Enter, OrderId(3), Side::Buy, 100);
    assert_eq!(more(&mut world), Err(Refusal::OpenOrders));
    let mut out = [0; 4096];
    let len = world.entry.cancel_some(1, world.now_ns, &mut out);
    world.to_exchange.extend_from_slice(&out[..len]);
    world.settle();
    assert_eq!(world.entry.open_orders(), 1);
    assert_eq!(more(&mut world), Ok(()));
}
