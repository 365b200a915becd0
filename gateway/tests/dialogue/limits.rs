//! Each limit, from outside: what the exchange must not get.

use feed_handler::best_prices::BestPrice;
use feed_handler::position::Position;
use gateway::message::command::{Command, NewLimits, NewRow};
use gateway::message::intent::{Action, OrderIntent, Owner};
use gateway::order::account::DayStart;
use gateway::order::risk::{
    DAY_NS, Hours, KillCause, LimitKey, Limits, Refusal, RowLimits, Symbols,
};
use protocol::types::{Price4, Side, Symbol};

use super::desk::{Desk, LIMITS, SECOND, SYMBOLS, change, enter, on_feed};
use super::exchange::*;

const TIGHT: Limits = Limits {
    may_self_cross: false,
    ..LIMITS
};
const DOLLAR: u64 = 10_000;

fn desk(limits: Limits) -> Desk {
    desk_with_rows(limits, &[])
}

fn desk_with_rows(limits: Limits, rows: &[RowLimits]) -> Desk {
    let mut desk = Desk::with_rows(limits, rows, &[on_feed(0), on_feed(1)]);
    desk.log_in(0);
    desk.says(&next_number(1));
    desk
}

fn at(price: u32, intent: OrderIntent) -> OrderIntent {
    OrderIntent {
        price: Price4(price),
        ..intent
    }
}

fn quote(desk: &Desk, bid: u32, ask: u32) {
    let price = BestPrice {
        bid_price: Price4(bid),
        ask_price: Price4(ask),
        ..BestPrice::default()
    };
    desk.prices[0].store(1, &price, Position::default());
}

fn day(desk: &mut Desk, day: &DayStart) {
    desk.account.begin_day(day).unwrap();
}

#[test]
fn gross_counts_both_symbols_and_net_their_difference() {
    let both = Limits {
        gross_exposure_max: 30_100 * DOLLAR,
        ..TIGHT
    };
    let mut gross = desk(both);
    gross.asks(0, &enter(1, Side::Buy, 200)).unwrap();
    let short = enter(1, Side::Sell, 101);
    assert_eq!(gross.asks(1, &short), Err(Refusal::GrossExposure));
    gross.asks(1, &enter(2, Side::Sell, 100)).unwrap();
    let mut net = desk(Limits {
        gross_exposure_max: LIMITS.gross_exposure_max,
        net_exposure_max: 10_100 * DOLLAR,
        ..both
    });
    let mut sells = |id, qty| net.asks(1, &enter(id, Side::Sell, qty));
    assert_eq!(sells(1, 101), Err(Refusal::NetExposure));
    sells(2, 100).unwrap();
    assert_eq!(sells(3, 2), Err(Refusal::NetExposure));
    // An open order takes nothing off the other side before it is filled.
    assert!(net.asks(0, &enter(1, Side::Buy, 100)).is_ok());
    net.says(&accepted(2, b'B', 100, SYMBOLS[0], 1_000_000));
    net.says(&executed(2, 100, 1));
    assert!(net.asks(1, &enter(4, Side::Sell, 100)).is_ok());
}

#[test]
fn what_adds_nothing_to_exposure_passes_where_the_market_has_raised_it_over_the_limit() {
    let mut desk = desk(Limits {
        gross_exposure_max: 10_100 * DOLLAR,
        ..TIGHT
    });
    desk.live(1, 100);
    desk.says(&executed(1, 100, 1));
    quote(&desk, 1_100_000, 1_100_100);
    let more = at(1_100_000, enter(2, Side::Buy, 1));
    assert_eq!(desk.asks(0, &more), Err(Refusal::GrossExposure));
    assert!(desk.account.worth().gross > i128::from(10_100 * DOLLAR));
    assert!(
        desk.asks(0, &at(1_100_000, enter(3, Side::Sell, 100)))
            .is_ok()
    );
}

#[test]
fn order_that_would_meet_an_own_one_does_not_go_until_that_is_gone() {
    let mut desk = desk(TIGHT);
    desk.live(1, 100);
    let sell = |id, price| at(price, enter(id, Side::Sell, 10));
    assert_eq!(desk.asks(0, &sell(2, 1_000_000)), Err(Refusal::SelfCross));
    assert!(desk.asks(0, &sell(3, 1_000_100)).is_ok());
    let buy = at(1_000_100, enter(4, Side::Buy, 10));
    assert_eq!(desk.asks(0, &buy), Err(Refusal::SelfCross));
    // The other strategy's symbol is another one.
    assert!(
        desk.asks(1, &at(1_000_100, enter(1, Side::Buy, 10)))
            .is_ok()
    );
    // A replace that is on its way counts with both of its prices.
    let lower = at(999_900, change(Action::Replace, 1, 100));
    desk.asks(0, &lower).unwrap();
    assert_eq!(desk.asks(0, &sell(5, 1_000_000)), Err(Refusal::SelfCross));
    desk.says(&replaced(1, 4, 100, 999_900));
    assert!(desk.asks(0, &sell(6, 1_000_000)).is_ok());
    assert_eq!(desk.asks(0, &sell(7, 999_900)), Err(Refusal::SelfCross));
    desk.asks(0, &change(Action::Cancel, 1, 0)).unwrap();
    assert_eq!(desk.asks(0, &sell(8, 999_900)), Err(Refusal::SelfCross));
    desk.says(&canceled(4, 100));
    assert!(desk.asks(0, &sell(9, 999_900)).is_ok());
}

#[test]
fn replace_that_would_meet_an_own_order_does_not_go_and_one_that_is_rejected_leaves_nothing() {
    let mut desk = desk(TIGHT);
    desk.live(1, 100);
    desk.asks(0, &at(1_000_200, enter(2, Side::Sell, 10)))
        .unwrap();
    let higher = |price| at(price, change(Action::Replace, 1, 100));
    assert_eq!(desk.asks(0, &higher(1_000_200)), Err(Refusal::SelfCross));
    desk.asks(0, &higher(1_000_100)).unwrap();
    let sell = at(1_000_100, enter(3, Side::Sell, 10));
    assert_eq!(desk.asks(0, &sell), Err(Refusal::SelfCross));
    desk.says(&rejected(3));
    assert!(
        desk.asks(0, &at(1_000_100, enter(4, Side::Sell, 10)))
            .is_ok()
    );
}

#[test]
fn restricted_symbol_gets_nothing_but_cancels() {
    let mut desk = desk(TIGHT);
    desk.live(1, 100);
    let restricted = vec![Symbol(*SYMBOLS[0])];
    day(
        &mut desk,
        &DayStart {
            restricted,
            ..DayStart::default()
        },
    );
    let buy = enter(2, Side::Buy, 1);
    assert_eq!(desk.asks(0, &buy), Err(Refusal::Restricted));
    let bigger = change(Action::Replace, 1, 101);
    assert_eq!(desk.asks(0, &bigger), Err(Refusal::Restricted));
    assert!(desk.asks(1, &buy).is_ok());
    assert!(desk.asks(0, &change(Action::Cancel, 1, 0)).is_ok());
}

#[test]
fn sells_are_marked_by_what_was_held_and_is_open_to_sell() {
    let mut desk = desk(TIGHT);
    let positions = Some(vec![(Symbol(*SYMBOLS[0]), 100)]);
    day(
        &mut desk,
        &DayStart {
            positions,
            ..DayStart::default()
        },
    );
    let mut sells = |id, qty| desk.asks(0, &enter(id, Side::Sell, qty)).unwrap()[5];
    assert_eq!(
        [sells(1, 60), sells(2, 40), sells(3, 1)],
        [b'S', b'S', b'T']
    );
    desk.says(&accepted(1, b'S', 60, SYMBOLS[0], 1_000_000));
    desk.says(&accepted(3, b'T', 1, SYMBOLS[0], 1_000_000));
    assert_eq!(desk.kill.cause(), None, "a short sale is a sell");
    // What is marked long does not grow beyond what is held; what is short may.
    let replace = |id, qty| change(Action::Replace, id, qty);
    assert_eq!(desk.asks(0, &replace(1, 61)), Err(Refusal::MarkedLong));
    assert!(desk.asks(0, &replace(1, 59)).is_ok());
    assert!(desk.asks(0, &replace(3, 2)).is_ok());
    assert_eq!(desk.position(), 100);
    // Nobody said anything of what is held of the rest: nothing.
    assert_eq!(desk.asks(1, &enter(1, Side::Sell, 1)).unwrap()[5], b'T');
}

#[test]
fn without_positions_of_before_sells_are_not_marked_and_the_list_still_counts() {
    let mut desk = desk(TIGHT);
    let no_short = vec![Symbol(*SYMBOLS[0])];
    day(
        &mut desk,
        &DayStart {
            no_short,
            ..DayStart::default()
        },
    );
    assert_eq!(desk.asks(1, &enter(1, Side::Sell, 1)).unwrap()[5], b'S');
    desk.says(&accepted(1, b'S', 1, SYMBOLS[1], 1_000_000));
    let more = change(Action::Replace, 1, 2);
    assert!(desk.asks(1, &more).is_ok(), "its mark says nothing");
    let sell = |id, qty| at(1_000_100, enter(id, Side::Sell, qty));
    assert_eq!(desk.asks(0, &sell(2, 1)), Err(Refusal::NoShort));
    desk.asks(0, &enter(3, Side::Buy, 10)).unwrap();
    desk.says(&accepted(3, b'B', 10, SYMBOLS[0], 1_000_000));
    desk.says(&executed(3, 10, 1));
    assert_eq!(desk.asks(0, &sell(4, 11)), Err(Refusal::NoShort));
    assert!(desk.asks(0, &sell(5, 6)).is_ok());
    assert_eq!(desk.asks(0, &sell(6, 5)), Err(Refusal::NoShort));
}

#[test]
fn order_that_went_a_moment_ago_does_not_go_again() {
    let mut desk = desk(Limits {
        duplicate_window_ns: SECOND,
        orders_per_second_max: 100,
        ..TIGHT
    });
    desk.asks(0, &enter(1, Side::Buy, 100)).unwrap();
    desk.now_ns += SECOND - 1;
    assert_eq!(
        desk.asks(0, &enter(2, Side::Buy, 100)),
        Err(Refusal::Duplicate)
    );
    assert!(desk.asks(0, &enter(3, Side::Buy, 101)).is_ok());
    assert!(desk.asks(1, &enter(1, Side::Buy, 100)).is_ok());
    desk.now_ns += 1;
    assert!(desk.asks(0, &enter(4, Side::Buy, 100)).is_ok());
}

#[test]
fn outside_of_the_hours_nothing_but_cancels_goes() {
    let hours = Hours {
        clock_offset_ns: 0,
        from_ns: 0,
        until_ns: 10 * SECOND,
    };
    let mut desk = desk(Limits {
        hours: Some(hours),
        ..TIGHT
    });
    desk.live(1, 100);
    desk.now_ns = 10 * SECOND;
    let late = [enter(2, Side::Buy, 1), change(Action::Replace, 1, 50)];
    for intent in late {
        assert_eq!(desk.asks(0, &intent), Err(Refusal::OutsideHours));
    }
    assert!(desk.asks(0, &change(Action::Cancel, 1, 0)).is_ok());
    desk.now_ns = DAY_NS;
    assert!(desk.asks(0, &enter(3, Side::Buy, 1)).is_ok());
}

#[test]
fn rejects_of_a_moment_stop_trading_and_the_same_number_over_a_longer_time_does_not() {
    for (pause, cause) in [(0, Some(KillCause::RejectStorm)), (SECOND, None)] {
        let mut desk = desk(Limits {
            rejects_max: 3,
            reject_window_ns: 2 * SECOND,
            ..TIGHT
        });
        for number in 1..=3 {
            assert_eq!(desk.kill.cause(), None);
            desk.asks(0, &enter(number, Side::Buy, 1)).unwrap();
            desk.now_ns += pause;
            desk.says(&rejected(number));
        }
        assert_eq!(desk.kill.cause(), cause);
        let next = desk.asks(0, &enter(4, Side::Buy, 1));
        assert_eq!(next.err(), cause.map(|_| Refusal::Killed));
    }
}

#[test]
fn loss_over_the_limit_stops_trading() {
    for (bid, cause) in [(980_000, None), (979_000, Some(KillCause::LossLimit))] {
        let mut desk = desk(Limits {
            loss_max: 200 * DOLLAR,
            ..TIGHT
        });
        desk.live(1, 100);
        desk.says(&executed(1, 100, 1));
        quote(&desk, bid, bid + 2);
        let next = at(bid, enter(2, Side::Buy, 1));
        assert_eq!(desk.asks(0, &next).err(), cause.map(|_| Refusal::Killed));
        assert_eq!(desk.kill.cause(), cause, "{}", desk.account.profit());
    }
}

#[test]
fn cancels_beyond_their_rate_wait_and_the_kill_switchs_own_do_not() {
    let mut desk = desk(Limits {
        cancels_per_second_max: 1,
        ..TIGHT
    });
    desk.live(1, 100);
    desk.live(2, 100);
    desk.asks(0, &change(Action::Cancel, 1, 0)).unwrap();
    let second = change(Action::Cancel, 2, 0);
    assert_eq!(desk.asks(0, &second), Err(Refusal::CancelRate));
    assert!(desk.entry.cancel_some(8, desk.now_ns, &mut [0; 256]) > 0);
}

/// One of [`LIMITS`] is another from now on.
fn set(desk: &mut Desk, key: LimitKey, value: u64) {
    let mut limits = LIMITS;
    key.set(&mut limits, value);
    let new = Command::Limits(NewLimits {
        number: 2,
        uid: 0,
        limits,
    });
    let Desk {
        entry,
        account,
        now_ns,
        ..
    } = desk;
    assert!(entry.on_command(account, &new, *now_ns));
}

#[test]
fn order_that_stands_over_a_tightened_position_may_be_replaced_by_less_and_not_by_more() {
    let mut desk = desk(LIMITS);
    desk.live(1, 100);
    desk.live(2, 100);
    set(&mut desk, LimitKey::Position, 150);
    let more = at(1_000_000, change(Action::Replace, 1, 101));
    assert_eq!(desk.asks(0, &more), Err(Refusal::Position));
    let cheaper = at(999_900, change(Action::Replace, 1, 100));
    desk.asks(0, &cheaper).expect("it adds nothing");
    let less = at(1_000_000, change(Action::Replace, 2, 10));
    desk.asks(0, &less).expect("it takes off");
}

#[test]
fn limits_that_change_hold_from_the_next_order_on_and_count_what_went_before() {
    let mut desk = desk(LIMITS);
    let buy = |id, qty| enter(id, Side::Buy, qty);
    desk.asks(0, &buy(1, 100)).unwrap();
    for (key, value, refusal) in [
        (LimitKey::OrderQty, 99, Refusal::OrderQty),
        (LimitKey::Notional, 9_999, Refusal::Notional),
        (LimitKey::Position, 199, Refusal::Position),
        (LimitKey::GrossExposure, 19_999, Refusal::GrossExposure),
        (LimitKey::NetExposure, 19_999, Refusal::NetExposure),
        (LimitKey::OpenOrders, 1, Refusal::OpenOrders),
        (LimitKey::OrdersPerSecond, 1, Refusal::OrderRate),
    ] {
        set(&mut desk, key, value);
        assert_eq!(desk.asks(0, &buy(2, 100)), Err(refusal), "{key:?}");
    }
    set(&mut desk, LimitKey::Collar, 1);
    let far = at(1_000_300, buy(2, 1));
    assert_eq!(desk.asks(0, &far), Err(Refusal::PriceCollar));
    set(&mut desk, LimitKey::SelfCross, 0);
    let meets = enter(2, Side::Sell, 1);
    assert_eq!(desk.asks(0, &meets), Err(Refusal::SelfCross));
    set(&mut desk, LimitKey::CancelsPerSecond, 1);
    desk.says(&accepted(1, b'B', 100, SYMBOLS[0], 1_000_000));
    desk.asks(0, &buy(2, 100)).unwrap();
    desk.says(&accepted(2, b'B', 100, SYMBOLS[0], 1_000_000));
    desk.asks(0, &change(Action::Cancel, 1, 0)).unwrap();
    let second = change(Action::Cancel, 2, 0);
    assert_eq!(desk.asks(0, &second), Err(Refusal::CancelRate));
    set(&mut desk, LimitKey::CancelsPerSecond, 0);
    desk.asks(0, &second).unwrap();
}

/// A row is this from now on.
fn set_row(desk: &mut Desk, at: u8, limits: RowLimits) {
    let new = Command::Row(NewRow {
        number: 2,
        uid: 0,
        at,
        limits,
    });
    let Desk {
        entry,
        account,
        now_ns,
        ..
    } = desk;
    assert!(entry.on_command(account, &new, *now_ns));
}

#[test]
fn row_that_is_added_while_orders_stand_counts_them_and_lets_them_end() {
    let mut desk = desk(LIMITS);
    desk.live(1, 100);
    desk.live(2, 100);
    let two = RowLimits {
        owner: Some(Owner(0)),
        symbols: Symbols::parse("ALC").unwrap(),
        open_orders_max: Some(2),
        ..RowLimits::default()
    };
    set_row(&mut desk, 0, two);
    let buy = |id| enter(id, Side::Buy, 100);
    assert_eq!(desk.asks(0, &buy(3)), Err(Refusal::OpenOrders));
    desk.asks(1, &buy(3)).expect("another strategy's");
    desk.says(&canceled(1, 100));
    desk.asks(0, &buy(3)).expect("one of two is over");
    assert_eq!(desk.asks(0, &buy(4)), Err(Refusal::OpenOrders));
    // A row that limits nothing any more stays in its place.
    set_row(&mut desk, 0, two.bare());
    desk.asks(0, &buy(4)).expect("no limit");
    set_row(
        &mut desk,
        1,
        RowLimits {
            orders_per_second_max: Some(1),
            ..RowLimits::default()
        },
    );
    desk.asks(0, &buy(5)).expect("the first of the second");
    assert_eq!(desk.asks(0, &buy(6)), Err(Refusal::OrderRate));
    assert_eq!(desk.kill.cause(), None);
}

#[test]
fn stub_quote_and_price_far_from_the_last_trade_let_nothing_through() {
    let mut desk = desk(TIGHT);
    quote(&desk, 1_000_000, 1_999_999_900);
    let buy = |id, price| at(price, enter(id, Side::Buy, 1));
    assert_eq!(desk.asks(0, &buy(1, 1_100_001)), Err(Refusal::PriceCollar));
    assert!(desk.asks(0, &buy(2, 1_100_000)).is_ok());
    desk.prices[0].store_last_trade(1, Price4(900_000));
    assert_eq!(desk.asks(0, &buy(3, 990_001)), Err(Refusal::PriceCollar));
    assert!(desk.asks(0, &buy(4, 990_000)).is_ok());
}

/// A live order, as the exchange has it.
struct Theirs {
    number: u32,
    id: u32,
    owner: u8,
    side: Side,
    limit: u32,
    open: u32,
    executed: u32,
    is_accepted: bool,
    /// Number, shares over the chain, limit of a replace on its way.
    asked: Option<[u32; 3]>,
}

/// Random orders and answers; what is held and open is summed up anew after each, order by order.
struct Storm {
    desk: Desk,
    limits: Limits,
    random: fastrand::Rng,
    theirs: Vec<Theirs>,
    positions: [i64; 2],
    next_id: u32,
    sent: u32,
    /// The row of the first symbol: shares; that of the second strategy: open orders.
    rows: [u32; 2],
    /// The second row is there.
    has_rows: bool,
    /// Orders that the row of the second strategy lets stand.
    open_stand: usize,
    /// What the limits let stand: themselves, or what stood when they became tighter, less what has gone since.
    let_stand: Standing,
}

/// What is held and open at its worst: shares of each symbol, and what all of them are worth.
#[derive(Clone, Copy)]
struct Standing {
    shares: [i128; 2],
    gross: i128,
    net: i128,
}

impl Standing {
    fn of(limits: &Limits) -> Self {
        Self {
            shares: [i128::from(limits.position_max); 2],
            gross: i128::from(limits.gross_exposure_max),
            net: i128::from(limits.net_exposure_max),
        }
    }

    /// Each the one or the other, whatever `choose` chooses.
    fn with(self, other: Self, choose: fn(i128, i128) -> i128) -> Self {
        Self {
            shares: [0, 1].map(|at| choose(self.shares[at], other.shares[at])),
            gross: choose(self.gross, other.gross),
            net: choose(self.net, other.net),
        }
    }
}

fn row_limits(rows: [u32; 2]) -> [RowLimits; 2] {
    let of_symbol = RowLimits {
        symbols: Symbols::parse("AL*").unwrap(),
        position_max: Some(u64::from(rows[0])),
        ..RowLimits::default()
    };
    let of_strategy = RowLimits {
        owner: Some(Owner(1)),
        open_orders_max: Some(rows[1]),
        ..RowLimits::default()
    };
    [of_symbol, of_strategy]
}

fn random_limits(random: &mut fastrand::Rng) -> Limits {
    Limits {
        position_max: random.u64(200..600),
        gross_exposure_max: random.u64(20_000..100_000) * DOLLAR,
        net_exposure_max: random.u64(10_000..60_000) * DOLLAR,
        ..LIMITS
    }
}

/// What the desk's feeds say all the time.
const MARK: i128 = 1_000_050;

impl Storm {
    fn asks(&mut self) {
        let (owner, qty) = (self.random.u8(0..2), self.random.u32(1..120));
        let side = [Side::Buy, Side::Sell][self.random.usize(0..2)];
        let price = 1_000_050 + 100 * self.random.u32(0..20) - 1_000;
        if self.theirs.is_empty() || self.random.bool() {
            self.next_id += 1;
            let intent = at(price, enter(self.next_id, side, qty));
            let Ok(sent) = self.desk.asks(owner, &intent) else {
                return;
            };
            self.sent += 1;
            self.theirs.push(Theirs {
                number: u32::from_be_bytes(sent[1..5].try_into().unwrap()),
                id: self.next_id,
                owner,
                side,
                limit: price,
                open: qty,
                executed: 0,
                is_accepted: false,
                asked: None,
            });
            return;
        }
        let index = self.random.usize(0..self.theirs.len());
        let it = &mut self.theirs[index];
        let intent = at(price, change(Action::Replace, it.id, qty));
        if let Ok(sent) = self.desk.asks(it.owner, &intent) {
            let number = u32::from_be_bytes(sent[5..9].try_into().unwrap());
            it.asked = Some([number, it.executed + qty, price]);
            self.sent += 1;
        }
    }

    fn answers(&mut self) {
        if self.theirs.is_empty() {
            return;
        }
        let index = self.random.usize(0..self.theirs.len());
        let it = &mut self.theirs[index];
        if !it.is_accepted {
            it.is_accepted = true;
            let symbol = SYMBOLS[usize::from(it.owner)];
            let price = u64::from(it.limit);
            let message = accepted(it.number, it.side as u8, it.open, symbol, price);
            return self.desk.says(&message);
        }
        match (self.random.u8(0..4), it.asked) {
            (0, Some([number, total, limit])) if total > it.executed => {
                (it.asked, it.limit, it.open) = (None, limit, total - it.executed);
                let message = replaced(it.number, number, it.open, u64::from(limit));
                it.number = number;
                self.desk.says(&message);
            }
            (1, Some([number, ..])) => {
                it.asked = None;
                self.desk.says(&rejected(number));
            }
            (2, None) => {
                let it = self.theirs.swap_remove(index);
                self.desk.says(&canceled(it.number, it.open));
            }
            _ => {
                let qty = self.random.u32(1..=it.open);
                (it.open, it.executed) = (it.open - qty, it.executed + qty);
                let bought = if it.side == Side::Buy { 1 } else { -1 };
                self.positions[usize::from(it.owner)] += bought * i64::from(qty);
                self.sent += 1;
                let message = executed(it.number, qty, u64::from(self.sent) << 20 | index as u64);
                if it.open == 0 {
                    self.theirs.swap_remove(index);
                }
                self.desk.says(&message);
            }
        }
    }

    /// The operator sets other limits: what stands may be over them.
    fn limits_change(&mut self) {
        self.limits = random_limits(&mut self.random);
        let new = Command::Limits(NewLimits {
            number: 1,
            uid: 0,
            limits: self.limits,
        });
        let Desk {
            entry,
            account,
            now_ns,
            ..
        } = &mut self.desk;
        assert!(entry.on_command(account, &new, *now_ns));
        self.let_stand = self.let_stand.with(self.limited(), i128::max);
    }

    /// The operator makes a row another one, or adds it.
    fn row_changes(&mut self) {
        let at = self.random.usize(0..2);
        self.rows[at] = [self.random.u32(150..400), self.random.u32(1..6)][at];
        let new = Command::Row(NewRow {
            number: 1,
            uid: 0,
            at: u8::try_from(at).unwrap(),
            limits: row_limits(self.rows)[at],
        });
        let Desk {
            entry,
            account,
            now_ns,
            ..
        } = &mut self.desk;
        assert!(entry.on_command(account, &new, *now_ns));
        self.let_stand = self.let_stand.with(self.limited(), i128::max);
        self.has_rows |= at == 1;
        self.open_stand = self.open_stand.max(self.rows[1] as usize);
    }

    /// What account and rows let stand together.
    fn limited(&self) -> Standing {
        let mut limited = Standing::of(&self.limits);
        limited.shares[0] = limited.shares[0].min(i128::from(self.rows[0]));
        limited
    }

    /// Nothing is over a limit, whatever becomes of what is open; what was when the limit was set does not grow.
    fn check(&mut self) {
        let (mut gross, mut net, mut worst) = (0, [0; 2], [0; 2]);
        for (owner, position) in (0..).zip(self.positions) {
            // A sell trades at what the market pays, a buy at its limit at worst.
            let (mut shares, mut price) = ([0; 2], [MARK; 2]);
            for it in self.theirs.iter().filter(|it| it.owner == owner) {
                let [_, total, asked] = it.asked.unwrap_or_default();
                let qty = i128::from(total.saturating_sub(it.executed).max(it.open));
                let at = usize::from(it.side == Side::Sell);
                shares[at] += qty;
                if at == 0 {
                    price[at] = price[at].max(i128::from(it.limit.max(asked)));
                }
            }
            let position = i128::from(position);
            shares = [shares[0] + position, shares[1] - position];
            let most = self.let_stand.shares[usize::from(owner)];
            worst[usize::from(owner)] = shares[0].max(shares[1]);
            assert!(shares[0].max(shares[1]) <= most, "{shares:?}");
            let worth = [0, 1].map(|at| shares[at] * if shares[at] > 0 { price[at] } else { MARK });
            net = [net[0] + worth[0], net[1] + worth[1]];
            gross += worth[0].max(worth[1]).max(0);
        }
        let found = self.desk.account.worth();
        assert!(gross <= found.gross && net[0].max(net[1]) <= found.net());
        let stands = Standing {
            shares: worst,
            gross: found.gross,
            net: found.net(),
        };
        assert!(stands.gross <= self.let_stand.gross);
        assert!(stands.net <= self.let_stand.net);
        let less = self.let_stand.with(stands, i128::min);
        self.let_stand = less.with(self.limited(), i128::max);
        let open = self.theirs.iter().filter(|it| it.owner == 1).count();
        if self.has_rows {
            assert!(open <= self.open_stand, "{open}");
            self.open_stand = open.max(self.rows[1] as usize);
        } else {
            self.open_stand = open;
        }
        assert_eq!(self.desk.kill.cause(), None);
    }
}

#[test]
fn no_sequence_of_orders_answers_and_changes_of_limits_brings_exposure_over_a_limit() {
    let (mut sent, mut refused, mut over) = (0, [0; 3], 0);
    for seed in 0..200 {
        let mut random = fastrand::Rng::with_seed(seed);
        let limits = random_limits(&mut random);
        let rows = [random.u32(150..400), random.u32(1..6)];
        // The second row is there from the beginning, or is added while orders stand.
        let has_rows = random.bool();
        let row_limits = &row_limits(rows)[..1 + usize::from(has_rows)];
        let mut storm = Storm {
            desk: desk_with_rows(limits, row_limits),
            limits,
            random,
            theirs: Vec::new(),
            positions: [0; 2],
            next_id: 0,
            sent: 0,
            rows,
            has_rows,
            open_stand: rows[1] as usize,
            let_stand: Standing::of(&limits),
        };
        storm.let_stand = storm.limited();
        for _ in 0..400 {
            match storm.random.u8(0..40) {
                0 => storm.limits_change(),
                1 => storm.row_changes(),
                2..20 => storm.asks(),
                _ => storm.answers(),
            }
            over += u32::from(storm.let_stand.gross > i128::from(storm.limits.gross_exposure_max));
            storm.check();
        }
        sent += storm.sent;
        let held = storm.desk.account.exposure(Symbol(*SYMBOLS[0]));
        assert_eq!(held.position, storm.positions[0], "seed {seed}");
        let next = storm.desk.asks(0, &enter(100_000, Side::Buy, 10_000));
        let causes = [
            Refusal::Position,
            Refusal::GrossExposure,
            Refusal::NetExposure,
        ];
        for (count, cause) in refused.iter_mut().zip(causes) {
            *count += u32::from(next == Err(cause));
        }
    }
    assert!(sent > 10_000, "{sent}");
    assert!(refused[0] > 0, "{refused:?}");
    assert!(over > 1_000, "{over} steps began over a limit");
}
