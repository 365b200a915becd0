//! One account, two sessions: what stands open on either counts for both. First sessions that share an account in one
//! thread, then those of different cores, which share budgets, kill switches and a board.

use gateway::message::command::{Command, NewLimits};
use gateway::message::intent::{Action, OrderIntent};
use gateway::order::risk::Refusal;
use gateway::order::risk::{KillCause, KillSwitch, Limits, Risk, RowLimits, Symbols};
use protocol::types::{Price4, Qty, Side, Symbol};

use super::desk::{Desk, LIMITS, SECOND, SYMBOLS, change, enter, on_feed};
use super::exchange::{accepted, canceled, executed, next_number, rejected, replaced};

/// Two open sessions; what is asked of either is judged by the account of the one that has it now.
fn pair(limits: Limits) -> [Desk; 2] {
    let mut pair = [(); 2].map(|()| Desk::with(limits, &[on_feed(0)]));
    for desk in &mut pair {
        desk.log_in(0);
        desk.says(&next_number(1));
    }
    pair
}

/// The account goes to the other session.
fn hand_over(from: &mut Desk, to: &mut Desk) {
    std::mem::swap(&mut from.account, &mut to.account);
}

#[test]
fn orders_of_one_session_count_against_the_limits_of_the_other() {
    let [mut first, mut second] = pair(Limits {
        open_orders_max: 2,
        position_max: 150,
        ..LIMITS
    });
    first.live(1, 100);
    hand_over(&mut first, &mut second);
    assert_eq!(
        second.asks(0, &enter(1, Side::Buy, 51)),
        Err(Refusal::Position)
    );
    // Numbers and orders are the session's own: its first order is number 1, too.
    second.live(1, 50);
    assert_eq!(second.entry.open_orders(), 1);
    assert_eq!(second.account.open_orders(), 2);
    assert_eq!(
        second.asks(0, &enter(2, Side::Sell, 1)),
        Err(Refusal::OpenOrders)
    );
    second.says(&executed(1, 50, 7));
    hand_over(&mut second, &mut first);
    let held = first.account.exposure(Symbol(*SYMBOLS[0]));
    assert_eq!((held.position, held.open_buy), (50, 100));
    first.says(&canceled(1, 100));
    let held = first.account.exposure(Symbol(*SYMBOLS[0]));
    assert_eq!((held.position, held.open_buy), (50, 0));
    assert_eq!(first.account.open_orders(), 0);
}

#[test]
fn breach_on_one_session_stops_the_orders_of_the_other() {
    let [mut first, mut second] = pair(LIMITS);
    first.live(1, 100);
    first.says(&executed(1, 101, 7));
    hand_over(&mut first, &mut second);
    let cause = second.account.kill().cause();
    assert_eq!(cause, Some(KillCause::BrokenInvariant));
    assert_eq!(
        second.asks(0, &enter(1, Side::Buy, 1)),
        Err(Refusal::Killed)
    );
}

#[test]
fn replace_on_one_session_reserves_for_both() {
    let [mut first, mut second] = pair(Limits {
        position_max: 150,
        ..LIMITS
    });
    first.asks(0, &enter(1, Side::Buy, 100)).unwrap();
    first.says(&accepted(1, b'B', 100, SYMBOLS[0], 1_000_000));
    first.asks(0, &change(Action::Replace, 1, 140)).unwrap();
    hand_over(&mut first, &mut second);
    assert_eq!(
        second.asks(0, &enter(1, Side::Buy, 11)),
        Err(Refusal::Position)
    );
    assert!(second.asks(0, &enter(2, Side::Buy, 10)).is_ok());
    assert_eq!(
        second.entry.live_orders(&second.account)[0].reserved,
        Qty(10)
    );
}

/// Crossings are refused.
const TIGHT: Limits = Limits {
    may_self_cross: false,
    ..LIMITS
};

/// Two sessions of one account on cores of their own, not open yet.
fn sessions_with(limits: Limits, rows: &[RowLimits]) -> [Desk; 2] {
    let kills = [(); 2].map(|()| KillSwitch::default());
    let mut seats = rt::board::seats(2, 64).into_iter();
    [0, 1].map(|at| {
        let other = std::slice::from_ref(&kills[1 - at]);
        let kill = kills[at].clone().with_account(at, other);
        let risk = Risk::new(limits, kill).with_rows(rows, rows);
        let risk = risk.with_others(seats.next().unwrap(), Vec::new());
        Desk::with_risk(risk, &[on_feed(0), on_feed(1)])
    })
}

fn sessions(limits: Limits) -> [Desk; 2] {
    let mut pair = sessions_with(limits, &[]);
    pair.iter_mut().for_each(open);
    pair
}

fn open(desk: &mut Desk) {
    desk.log_in(0);
    desk.says(&next_number(1));
    desk.forget();
}

fn at(price: u32, intent: OrderIntent) -> OrderIntent {
    OrderIntent {
        price: Price4(price),
        ..intent
    }
}

#[test]
fn order_that_would_meet_one_of_another_session_is_refused_until_that_is_over() {
    let [mut first, mut second] = sessions(TIGHT);
    first.live(1, 100);
    let sell = |id, price| at(price, enter(id, Side::Sell, 10));
    let meets = Err(Refusal::SelfCross);
    assert_eq!(second.asks(0, &sell(1, 1_000_000)), meets);
    assert!(second.asks(0, &sell(2, 1_000_100)).is_ok());
    // What was refused is not shown: the first session may buy up to the second's only order.
    assert!(
        first
            .asks(0, &at(1_000_099, enter(2, Side::Buy, 10)))
            .is_ok()
    );
    assert_eq!(
        first.asks(0, &at(1_000_100, enter(3, Side::Buy, 10))),
        meets
    );
    first.says(&accepted(2, b'B', 10, SYMBOLS[0], 1_000_099));
    first.says(&canceled(2, 10));
    // Another symbol is another one.
    assert!(
        second
            .asks(1, &at(1_000_000, enter(1, Side::Sell, 10)))
            .is_ok()
    );
    // A replace that is on its way counts with both of its prices, on both sides.
    let higher = at(1_000_050, change(Action::Replace, 1, 100));
    first.asks(0, &higher).unwrap();
    assert_eq!(second.asks(0, &sell(3, 1_000_050)), meets);
    first.says(&replaced(1, 3, 100, 1_000_050));
    first
        .asks(0, &at(999_900, change(Action::Replace, 1, 100)))
        .unwrap();
    assert_eq!(second.asks(0, &sell(4, 1_000_050)), meets);
    first.says(&replaced(3, 4, 100, 999_900));
    assert!(second.asks(0, &sell(5, 1_000_050)).is_ok());
    second.says(&accepted(3, b'S', 10, SYMBOLS[0], 1_000_050));
    let up = at(1_000_050, change(Action::Replace, 1, 100));
    assert_eq!(first.asks(0, &up), meets);
    // The exchange says that it is over: now it may.
    second.says(&canceled(3, 10));
    assert!(first.asks(0, &up).is_ok());
}

#[test]
fn order_that_is_refused_after_it_was_shown_is_taken_back() {
    let row = RowLimits {
        symbols: Symbols::parse("ALC").unwrap(),
        open_orders_max: Some(1),
        ..RowLimits::default()
    };
    let mut pair = sessions_with(TIGHT, &[row]);
    pair.iter_mut().for_each(open);
    let [mut first, mut second] = pair;
    first
        .asks(1, &at(1_000_000, enter(1, Side::Buy, 10)))
        .unwrap();
    let number_taken = at(1_000_090, enter(1, Side::Buy, 10));
    assert_eq!(first.asks(1, &number_taken), Err(Refusal::IdInUse));
    assert!(
        second
            .asks(1, &at(1_000_090, enter(1, Side::Sell, 10)))
            .is_ok()
    );
    first.live(2, 10);
    let by_row = at(1_000_090, enter(3, Side::Buy, 10));
    assert_eq!(first.asks(0, &by_row), Err(Refusal::OpenOrders));
    assert!(
        second
            .asks(0, &at(1_000_090, enter(2, Side::Sell, 10)))
            .is_ok()
    );
    // One that the exchange rejects is over, too.
    let [mut first, mut second] = sessions(TIGHT);
    first.asks(0, &enter(1, Side::Buy, 10)).unwrap();
    let sell = |id| at(1_000_000, enter(id, Side::Sell, 10));
    assert_eq!(second.asks(0, &sell(1)), Err(Refusal::SelfCross));
    first.says(&rejected(1));
    assert!(second.asks(0, &sell(2)).is_ok());
}

#[test]
fn order_that_an_earlier_run_left_meets_none_of_another_session() {
    let mut pair = sessions_with(TIGHT, &[]);
    let [first, second] = &mut pair;
    open(second);
    let sell = at(1_000_000, enter(1, Side::Sell, 10));
    // What it may have left is not known yet.
    assert_eq!(second.asks(0, &sell), Err(Refusal::SessionDown));
    first.log_in(1);
    first.says(&accepted(1, b'B', 10, SYMBOLS[0], 1_000_000));
    assert_eq!(second.asks(0, &sell), Err(Refusal::SessionDown));
    first.says(&next_number(2));
    assert_eq!(second.asks(0, &sell), Err(Refusal::SelfCross));
    first.says(&canceled(1, 10));
    assert!(second.asks(0, &sell).is_ok());
}

#[test]
fn order_without_a_limit_that_an_earlier_run_left_may_meet_every_one() {
    const MARKET: u64 = 0x7FFF_FFFF;
    for price in [MARKET, 0, u64::MAX] {
        for (side, other) in [(Side::Sell, Side::Buy), (Side::Buy, Side::Sell)] {
            let mut pair = sessions_with(TIGHT, &[]);
            let [first, second] = &mut pair;
            open(second);
            first.log_in(1);
            first.says(&accepted(1, side as u8, 10, SYMBOLS[0], price));
            first.says(&next_number(2));
            let order = at(1_000_000, enter(1, other, 10));
            let seen = format!("{side:?} at {price:x}");
            assert_eq!(second.asks(0, &order), Err(Refusal::SelfCross), "{seen}");
            first.says(&canceled(1, 10));
            assert!(second.asks(0, &order).is_ok(), "{seen}");
        }
    }
}

#[test]
fn sessions_that_may_cross_do_and_a_session_sees_who_may_not() {
    let [mut first, mut second] = sessions(LIMITS);
    first.live(1, 100);
    assert!(second.asks(0, &enter(1, Side::Sell, 10)).is_ok());
    let new = Command::Limits(NewLimits {
        number: 2,
        uid: 0,
        limits: TIGHT,
    });
    let Desk { entry, account, .. } = &mut second;
    assert!(entry.on_command(account, &new, 1));
    assert_eq!(
        second.asks(0, &enter(2, Side::Sell, 10)),
        Err(Refusal::SelfCross)
    );
}

#[test]
fn breach_on_one_core_stops_the_sessions_of_its_account_and_says_where_it_began() {
    let [mut first, mut second] = sessions(TIGHT);
    second.live(1, 100);
    second.says(&executed(1, 101, 7));
    assert_eq!(first.kill.cause(), Some(KillCause::BrokenInvariant));
    assert_eq!((first.kill.began(), second.kill.began()), (Some(1), None));
    assert_eq!(first.asks(0, &enter(1, Side::Buy, 1)), Err(Refusal::Killed));
}

/// An order as the exchange has it, whatever the gateway believes.
struct AtExchange {
    session: usize,
    /// Its strategy's place, and its symbol's.
    symbol: usize,
    id: u32,
    number: u32,
    side: Side,
    price: u32,
    qty: u32,
    /// A replace that is on its way: its number, price and shares.
    asked: Option<[u32; 3]>,
    is_accepted: bool,
}

/// Half of what the account may have, for each session.
const BUDGET: Limits = Limits {
    position_max: SHARES,
    open_orders_max: 2,
    orders_per_second_max: 5,
    gross_exposure_max: GROSS_SHARES * 1_000_000,
    net_exposure_max: NET_SHARES * 1_000_000,
    ..TIGHT
};
const SHARES: u64 = 60;
/// At a hundred dollars each.
const GROSS_SHARES: u64 = 90;
const NET_SHARES: u64 = 70;
/// What has to have refused something.
const CAUSES: [Refusal; 6] = [
    Refusal::Position,
    Refusal::GrossExposure,
    Refusal::NetExposure,
    Refusal::OpenOrders,
    Refusal::OrderRate,
    Refusal::SelfCross,
];

struct Market {
    desks: [Desk; 2],
    orders: Vec<AtExchange>,
    next_id: u32,
    /// By session, then by symbol.
    positions: [[i64; 2]; 2],
    sent_ns: Vec<u64>,
    /// How often each of [`CAUSES`] has refused.
    refused: [u32; CAUSES.len()],
}

impl Market {
    fn number(sent: &[u8], from: usize) -> u32 {
        u32::from_be_bytes(sent[from..from + 4].try_into().unwrap())
    }

    /// A strategy of a session asks for something.
    fn ask(&mut self, random: &mut fastrand::Rng) {
        let session = random.usize(0..2);
        let price = 1_000_000 + 10 * random.u32(0..10);
        let (symbol, qty) = (random.usize(0..2), random.u32(1..50));
        let owner = u8::try_from(symbol).unwrap();
        let desk = &mut self.desks[session];
        let own = self
            .orders
            .iter()
            .position(|it| it.session == session && it.symbol == symbol && it.asked.is_none());
        if let (Some(own), true) = (own, random.bool()) {
            let order = &mut self.orders[own];
            let replace = at(price, change(Action::Replace, order.id, qty));
            match desk.asks(owner, &replace) {
                Ok(sent) => {
                    order.asked = Some([Self::number(&sent, 5), price, qty]);
                    self.sent_ns.push(desk.now_ns);
                }
                Err(refusal) => self.on_refused(refusal),
            }
            return;
        }
        let side = [Side::Buy, Side::Sell][random.usize(0..2)];
        self.next_id += 1;
        match desk.asks(owner, &at(price, enter(self.next_id, side, qty))) {
            Ok(sent) => {
                self.sent_ns.push(desk.now_ns);
                self.orders.push(AtExchange {
                    session,
                    symbol,
                    id: self.next_id,
                    number: Self::number(&sent, 1),
                    side,
                    price,
                    qty,
                    asked: None,
                    is_accepted: false,
                });
            }
            Err(refusal) => self.on_refused(refusal),
        }
    }

    fn on_refused(&mut self, refusal: Refusal) {
        if let Some(at) = CAUSES.iter().position(|it| *it == refusal) {
            self.refused[at] += 1;
        }
    }

    /// The exchange does something with one of its orders.
    fn answer(&mut self, random: &mut fastrand::Rng) {
        if self.orders.is_empty() {
            return;
        }
        let at = random.usize(0..self.orders.len());
        let order = &mut self.orders[at];
        let desk = &mut self.desks[order.session];
        let mut left = order.qty;
        if !order.is_accepted {
            order.is_accepted = true;
            let side = order.side as u8;
            desk.says(&accepted(
                order.number,
                side,
                order.qty,
                SYMBOLS[order.symbol],
                u64::from(order.price),
            ));
        } else if let (Some([number, price, qty]), true) =
            (order.asked.filter(|[_, _, qty]| *qty > 0), random.bool())
        {
            desk.says(&replaced(order.number, number, qty, u64::from(price)));
            (order.number, order.price, order.qty, order.asked) = (number, price, qty, None);
            left = qty;
        } else if random.bool() {
            let shares = random.u32(1..=order.qty);
            desk.says(&executed(order.number, shares, u64::from(random.u32(1..))));
            let sign = if order.side == Side::Buy { 1 } else { -1 };
            self.positions[order.session][order.symbol] += sign * i64::from(shares);
            order.qty -= shares;
            // A replace counts its shares over the whole chain.
            if let Some([_, _, qty]) = &mut order.asked {
                *qty = qty.saturating_sub(shares);
            }
            left = order.qty;
        } else {
            desk.says(&canceled(order.number, order.qty));
            left = 0;
        }
        if left == 0 {
            self.orders.swap_remove(at);
        }
    }

    /// The most that may be open of an order.
    fn worst(order: &AtExchange) -> i64 {
        i64::from(order.qty.max(order.asked.map_or(0, |[_, _, qty]| qty)))
    }

    fn holds(&self, seed: u64) {
        let open = |side, symbol| {
            let orders = self.orders.iter();
            let of_side = orders.filter(move |it| it.side == side && it.symbol == symbol);
            of_side.map(Self::worst).sum::<i64>()
        };
        let sides = [0, 1].map(|symbol| {
            let position: i64 = self.positions.iter().map(|it| it[symbol]).sum();
            let (buy, sell) = (open(Side::Buy, symbol), open(Side::Sell, symbol));
            [position + buy, sell - position]
        });
        // No price is below a hundred dollars, so shares are less than what risk counts.
        let both = |shares: u64| 2 * i64::try_from(shares).unwrap();
        let worst = sides.map(|[long, short]| long.max(short));
        assert!(
            worst.iter().all(|it| *it <= both(SHARES)),
            "seed {seed}: {sides:?}"
        );
        let gross: i64 = worst.iter().sum();
        assert!(gross <= both(GROSS_SHARES), "seed {seed}: {sides:?}");
        let net = [0, 1].map(|side| sides[0][side] + sides[1][side]);
        assert!(
            net[0].max(net[1]) <= both(NET_SHARES),
            "seed {seed}: {sides:?}"
        );
        assert!(self.orders.len() <= 4, "seed {seed}");
        let now_ns = self.desks[0].now_ns;
        let recent = self.sent_ns.iter().filter(|sent| now_ns - **sent < SECOND);
        assert!(recent.count() <= 10, "seed {seed}");
        let limits = |order: &AtExchange| {
            let asked = order.asked.map_or(order.price, |[_, price, _]| price);
            (order.price.min(asked), order.price.max(asked))
        };
        for (buy, sell) in self
            .orders
            .iter()
            .flat_map(|buy| self.orders.iter().map(move |it| (buy, it)))
        {
            let is_pair = (buy.side, sell.side) == (Side::Buy, Side::Sell);
            if is_pair && buy.session != sell.session && buy.symbol == sell.symbol {
                assert!(limits(buy).1 < limits(sell).0, "seed {seed}: they meet");
            }
        }
    }
}

#[test]
fn no_sequence_of_events_over_two_sessions_brings_their_account_over_a_limit_or_lets_them_meet() {
    let (mut sent, mut filled, mut refused) = (0, 0, [0; CAUSES.len()]);
    for seed in 0..60 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut market = Market {
            desks: sessions(BUDGET),
            orders: Vec::new(),
            next_id: 0,
            positions: [[0; 2]; 2],
            sent_ns: Vec::new(),
            refused: [0; CAUSES.len()],
        };
        for _ in 0..400 {
            match random.u32(0..3) {
                0 => market.ask(&mut random),
                _ => market.answer(&mut random),
            }
            for desk in &mut market.desks {
                desk.now_ns += SECOND / 50;
            }
            market.holds(seed);
        }
        assert!(
            market.desks.iter().all(|desk| !desk.kill.is_on()),
            "seed {seed}"
        );
        for (desk, positions) in market.desks.iter_mut().zip(market.positions) {
            let held = SYMBOLS.map(|it| desk.account.exposure(Symbol(*it)).position);
            assert_eq!(held, positions, "seed {seed}");
        }
        sent += market.sent_ns.len();
        filled += market
            .positions
            .iter()
            .flatten()
            .filter(|it| **it != 0)
            .count();
        for (all, count) in refused.iter_mut().zip(market.refused) {
            *all += count;
        }
    }
    let bound = CAUSES.iter().zip(refused);
    let never: Vec<_> = bound.filter(|(_, count)| *count == 0).collect();
    assert!(
        never.is_empty(),
        "never refused for: {never:?} of {refused:?}"
    );
    assert!(sent > 600 && filled > 30, "sent {sent}, filled {filled}");
}
