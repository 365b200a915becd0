//! What others may see of an order stage: its session, its orders, the account's positions.
//!
//! ```text
//!  order stage ──housekeeping, a slice each time──> rows ──any thread, no lock──> control, metrics, reports
//! ```
//!
//! Thread:      rows are written by one order core between packets; read by any
//! Invariants:  a row is read whole or not at all. Rows are of different moments: each pass writes every row
//!              once, orders and positions from their beginnings, and `passes` counts them. So whoever waits for
//!              two more passes has seen everything since.
//! Time:        [`ROWS_A_TURN`] orders and as many positions every 10 ms, whether or not anybody looks: a
//!              thousand orders are shown anew within 160 ms, as many as have rows within eleven seconds.
//! When full:   rows are made at the start, for the orders that there is room for then, no more than
//!              [`ORDERS_SHOWN_MAX`]. Orders beyond have none; [`Health::open_orders`] counts them.

use std::sync::Arc;

use protocol::types::{Price4, Qty, Seq, Side, Symbol, UserRefNum};
use rt::versioned::Versioned;

use super::account::Account;
use super::entry::{Entry, LiveOrder, State};
use super::instruments::{INSTRUMENTS_MAX, Instrument};
use super::live::Order;
use super::risk::Exposure;
use crate::message::intent::{OrderId, Owner};

/// Orders that have a row.
pub const ORDERS_SHOWN_MAX: usize = 1 << 16;
/// Rows of each kind that one turn of housekeeping writes: those that have not changed are only compared.
pub const ROWS_A_TURN: usize = 64;

/// How a session is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// How far it is.
    pub state: State,
    /// Its orders open now.
    pub open_orders: u32,
    /// Messages to the exchange that have had no answer for too long; at most 2^24 - 1 are shown.
    pub in_doubt: u32,
    /// Which of its addresses it is at or tries next, from 0.
    pub address: u8,
    /// The number of the next message that the exchange will say; at most 2^56 - 1.
    pub next_seq: Seq,
    /// The number that came next when the connection was begun: what lies below it is the past. 0: it is not known yet.
    pub past_end: Seq,
    /// What its positions and open orders are worth at their worst, longs and shorts added up, in 0.0001 dollars.
    pub gross: u64,
    /// The larger of longs less shorts and shorts less longs, likewise.
    pub net: u64,
    /// What the day has brought, likewise; below zero: a loss.
    pub profit: i64,
    /// How often every order and every position has been shown anew.
    pub passes: u64,
    /// How often this has been shown, every 10 ms at least. So whoever waits for two more knows that the stage has
    /// seen since what was asked of it, and how many orders are open now.
    pub shown: u64,
}

impl Health {
    /// What the day has lost, in 0.0001 dollars; 0 where it has lost nothing.
    #[must_use]
    pub fn loss(&self) -> u64 {
        self.profit.min(0).unsigned_abs()
    }
}

/// A session, as others see it.
#[derive(Debug, Default)]
pub struct SessionView {
    health: Versioned<8>,
    orders: Box<[Versioned<5>]>,
}

/// An account's positions, as others see them: a row for each symbol that it knows.
#[derive(Debug, Default)]
pub struct PositionsView {
    rows: Box<[Versioned<4>]>,
}

/// What is held of a symbol and may still come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The symbol.
    pub symbol: Symbol,
    /// Position, and shares open on both sides.
    pub exposure: Exposure,
}

impl Position {
    /// Whether nothing is held and nothing may come.
    #[must_use]
    pub fn is_flat(&self) -> bool {
        self.exposure == Exposure::default()
    }
}

/// The bits of an order's last word.
const LIVE: u64 = 1;
const BUY: u64 = 2;
const OWNED: u64 = 4;
const ACCEPTED: u64 = 8;
const CHANGING: u64 = 16;
const OWNER_SHIFT: u32 = 8;
/// Rows at least, whatever the limits: orders of earlier runs may be more than these allow.
const ORDERS_SHOWN_MIN: usize = 4_096;
/// Above the number of the next message.
const ADDRESS_SHIFT: u32 = 56;
/// What three bytes hold.
const IN_DOUBT_MAX: u32 = (1 << 24) - 1;
/// Looks at a row, each of [`rt::versioned::LOOKS_MAX`] reads.
const LOOKS: u32 = 1_000;

impl SessionView {
    fn new(orders: usize) -> Self {
        let rows = orders.clamp(ORDERS_SHOWN_MIN, ORDERS_SHOWN_MAX);
        let rows = (0..rows).map(|_| Versioned::default());
        Self {
            health: Versioned::default(),
            orders: rows.collect(),
        }
    }

    /// How the session is; `None` where its core was stopped in the middle of saying so.
    #[must_use]
    pub fn health(&self) -> Option<Health> {
        let words = patiently(&self.health)?;
        let [now, next_seq, past_end, passes, shown, gross, net, profit] = words;
        let (open_orders, state) = halves(now);
        Some(Health {
            state: State::of_code((state & 0xFF) as u8),
            open_orders,
            in_doubt: state >> 8,
            address: (next_seq >> ADDRESS_SHIFT) as u8,
            next_seq: Seq(next_seq & !(0xFF << ADDRESS_SHIFT)),
            past_end: Seq(past_end),
            gross,
            net,
            profit: profit.cast_signed(),
            passes,
            shown,
        })
    }

    /// Whether orders go out.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.health().is_some_and(|it| it.state == State::Open)
    }

    /// The orders that are live, in no order.
    pub fn orders(&self) -> impl Iterator<Item = LiveOrder> {
        let rows = self.orders.iter().filter_map(patiently);
        rows.filter_map(|words| order_of(&words))
    }

    fn show_health(&self, health: &Health) {
        let in_doubt = u64::from(health.in_doubt.min(IN_DOUBT_MAX));
        let low = health.state as u64 | in_doubt << 8 | u64::from(health.open_orders) << 32;
        let next_seq = health.next_seq.0 | u64::from(health.address) << ADDRESS_SHIFT;
        let Health {
            past_end: Seq(past_end),
            gross,
            net,
            profit,
            passes,
            shown,
            ..
        } = *health;
        let words = [
            low,
            next_seq,
            past_end,
            passes,
            shown,
            gross,
            net,
            profit.cast_unsigned(),
        ];
        self.health.store(words);
    }

    fn show_order(&self, row: usize, order: Option<&Order>, symbol: Symbol) {
        if let Some(place) = self.orders.get(row) {
            let words = order.map_or([0; 5], |order| words_of(order, symbol));
            if place.own() != words {
                place.store(words);
            }
        }
    }
}

impl PositionsView {
    pub(super) fn new() -> Self {
        let rows = (0..INSTRUMENTS_MAX).map(|_| Versioned::default());
        Self {
            rows: rows.collect(),
        }
    }

    /// Every symbol that the account knows, in the order in which it came to know them.
    pub fn iter(&self) -> impl Iterator<Item = Position> {
        let rows = self.rows.iter().filter_map(patiently);
        rows.map_while(|[symbol, position, open_buy, open_sell]| {
            (symbol != 0).then(|| Position {
                symbol: Symbol(symbol.to_ne_bytes()),
                exposure: Exposure {
                    position: position.cast_signed(),
                    open_buy,
                    open_sell,
                },
            })
        })
    }

    pub(super) fn show(&self, row: usize, held: &Position) {
        let Position { symbol, exposure } = held;
        if let Some(place) = self.rows.get(row) {
            let words = [
                u64::from_ne_bytes(symbol.0),
                exposure.position.cast_unsigned(),
                exposure.open_buy,
                exposure.open_sell,
            ];
            if place.own() != words {
                place.store(words);
            }
        }
    }
}

/// The writing end: what an order stage shows, a slice at a time.
#[derive(Debug)]
pub(crate) struct Snapshot {
    session: Arc<SessionView>,
    positions: Arc<PositionsView>,
    next_order: usize,
    next_position: usize,
    /// The slice that begins the next pass has been written, of orders and of positions.
    has_wrapped: [bool; 2],
    passes: u64,
    shown: u64,
    /// Gross and net, and what the day has brought, as of the last slice.
    worth: ([u64; 2], i64),
}

impl Snapshot {
    /// Shows `orders` orders at most.
    pub(crate) fn new(orders: usize) -> Self {
        Self {
            session: Arc::new(SessionView::new(orders)),
            positions: Arc::new(PositionsView::new()),
            next_order: 0,
            next_position: 0,
            has_wrapped: [false; 2],
            passes: 0,
            shown: 0,
            worth: ([0; 2], 0),
        }
    }

    pub(crate) fn session(&self) -> Arc<SessionView> {
        Arc::clone(&self.session)
    }

    pub(crate) fn positions(&self) -> Arc<PositionsView> {
        Arc::clone(&self.positions)
    }

    /// Says at once how the session is.
    pub(super) fn show_health(&mut self, entry: &Entry) {
        self.shown += 1;
        let ([gross, net], profit) = self.worth;
        self.session.show_health(&Health {
            state: entry.state(),
            open_orders: entry.open_orders(),
            in_doubt: entry.in_doubt(),
            address: entry.address(),
            next_seq: entry.next_seq(),
            past_end: entry.past_end().unwrap_or(Seq(0)),
            gross,
            net,
            profit,
            passes: self.passes,
            shown: self.shown,
        });
    }

    /// Says that an open session has this many orders.
    #[cfg(test)]
    pub(crate) fn show_open(&mut self, open_orders: u32) {
        self.shown += 1;
        self.passes += 1;
        self.session.show_health(&Health {
            state: State::Open,
            open_orders,
            in_doubt: 0,
            passes: self.passes,
            shown: self.shown,
            ..Health::default()
        });
    }

    /// Shows the next slice of orders and positions, and how the session is.
    pub(super) fn show(&mut self, entry: &Entry, account: &Account) {
        let [has_all_orders, has_all_positions] = &mut self.has_wrapped;
        let rows = entry.places().min(self.session.orders.len());
        if !*has_all_orders {
            let to = rows.min(self.next_order + ROWS_A_TURN);
            for row in self.next_order..to {
                let order = entry.order_at(row);
                let symbol = order.map_or(Symbol::BLANK, |it| {
                    account.instruments.symbol(it.instrument)
                });
                self.session.show_order(row, order, symbol);
            }
            (self.next_order, *has_all_orders) = (to, to == rows);
        }
        let known = account.instruments.len();
        if !*has_all_positions {
            let to = known.min(self.next_position + ROWS_A_TURN);
            for row in self.next_position..to {
                let at = Instrument(u16::try_from(row).unwrap_or(u16::MAX));
                let held = Position {
                    symbol: account.instruments.symbol(at),
                    exposure: account.risk.exposure(at),
                };
                self.positions.show(row, &held);
            }
            (self.next_position, *has_all_positions) = (to, to == known);
        }
        if self.has_wrapped == [true; 2] {
            self.has_wrapped = [false; 2];
            (self.next_order, self.next_position) = (0, 0);
            self.passes += 1;
        }
        self.worth = worth_of(account);
        self.show_health(entry);
    }

    /// Shows everything: the stage's last act, when nothing waits for it any more.
    pub(super) fn show_all(&mut self, entry: &Entry, account: &Account) {
        let shown = self.passes + 2;
        // Each turn brings the pass on, so it ends.
        while self.passes < shown {
            self.show(entry, account);
        }
    }
}

/// Gross and net, and what the day has brought; what is beyond 64 bits is as much as they hold.
fn worth_of(account: &Account) -> ([u64; 2], i64) {
    let worth = account.worth();
    let net = worth.long.max(worth.short);
    let words = [worth.gross, net].map(|it| u64::try_from(it.max(0)).unwrap_or(u64::MAX));
    let profit = account.profit().clamp(i64::MIN.into(), i64::MAX.into());
    (words, i64::try_from(profit).unwrap_or(0))
}

/// Reads a row whose writer may have lost its CPU in the middle: for as long as that takes at the worst on a
/// shared host. `None`: it is still at it, so its core hangs.
fn patiently<const N: usize>(row: &Versioned<N>) -> Option<[u64; N]> {
    (0..LOOKS).find_map(|_| {
        let words = row.load();
        if words.is_none() {
            std::thread::yield_now();
        }
        words
    })
}

fn words_of(order: &Order, symbol: Symbol) -> [u64; 5] {
    let flag = |is_set: bool, bit: u64| if is_set { bit } else { 0 };
    let owner = order.owner.map_or(0, |owner| u64::from(owner.0));
    [
        pair(order.user_ref.0, order.id.0),
        u64::from_ne_bytes(symbol.0),
        pair(order.price.0, order.open.0),
        pair(order.executed.0, order.reserved.0),
        LIVE | flag(order.side == Side::Buy, BUY)
            | flag(order.owner.is_some(), OWNED)
            | flag(order.is_accepted, ACCEPTED)
            | flag(order.is_changing(), CHANGING)
            | owner << OWNER_SHIFT,
    ]
}

fn order_of(words: &[u64; 5]) -> Option<LiveOrder> {
    let [numbers, symbol, limit, shares, flags] = *words;
    let has = |bit: u64| flags & bit != 0;
    let [.., owner, _] = flags.to_be_bytes();
    let (user_ref, id) = halves(numbers);
    let (price, open) = halves(limit);
    let (executed, reserved) = halves(shares);
    has(LIVE).then(|| LiveOrder {
        user_ref: UserRefNum(user_ref),
        desk: has(OWNED).then_some((Owner(owner), OrderId(id))),
        price: Price4(price),
        symbol: Symbol(symbol.to_ne_bytes()),
        side: if has(BUY) { Side::Buy } else { Side::Sell },
        open: Qty(open),
        executed: Qty(executed),
        reserved: Qty(reserved),
        is_accepted: has(ACCEPTED),
        is_changing: has(CHANGING),
    })
}

fn pair(high: u32, low: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

fn halves(word: u64) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = word.to_be_bytes();
    let (high, low) = ([a, b, c, d], [e, f, g, h]);
    (u32::from_be_bytes(high), u32::from_be_bytes(low))
}

#[cfg(test)]
mod tests {
    use feed_handler::event::Origin;

    use super::*;
    use crate::message::intent::TimeInForce;
    use crate::message::terms::Terms;
    use crate::order::live::Links;

    #[test]
    fn order_is_shown_as_it_is_and_a_free_place_as_nothing() {
        let view = SessionView::new(4);
        let symbol = Symbol::new("ALC").unwrap();
        let mut order = Order {
            user_ref: UserRefNum(u32::MAX - 1),
            id: OrderId(7),
            owner: Some(Owner(255)),
            origin: Origin::default(),
            encoded_ns: 1,
            instrument: Instrument(3),
            feed: 1,
            locate: 5,
            side: Side::Sell,
            terms: Terms::PLAIN,
            time_in_force: TimeInForce::Day,
            is_accepted: true,
            price: Price4(u32::MAX),
            open: Qty(10),
            reserved: Qty(30),
            executed: Qty(20),
            replacing: Some(UserRefNum(9)),
            replace_total: Qty(50),
            replace_price: Price4(0),
            is_marked_long: false,
            known_limits: [Price4(0); 2],
            cancels_refused: 0,
            links: Links::default(),
        };
        let mut expected = LiveOrder {
            user_ref: UserRefNum(u32::MAX - 1),
            desk: Some((Owner(255), OrderId(7))),
            price: Price4(u32::MAX),
            symbol,
            side: Side::Sell,
            open: Qty(10),
            executed: Qty(20),
            reserved: Qty(30),
            is_accepted: true,
            is_changing: true,
        };
        view.show_order(3, Some(&order), symbol);
        assert_eq!(view.orders().collect::<Vec<_>>(), [expected]);
        (order.owner, order.side, order.is_accepted) = (None, Side::Buy, false);
        order.replacing = None;
        (expected.desk, expected.side, expected.is_accepted) = (None, Side::Buy, false);
        expected.is_changing = false;
        view.show_order(3, Some(&order), symbol);
        assert_eq!(view.orders().collect::<Vec<_>>(), [expected]);
        view.show_order(3, None, Symbol::BLANK);
        assert_eq!(view.orders().count(), 0);
    }

    #[test]
    fn every_state_is_shown_as_itself() {
        let view = SessionView::new(0);
        for state in State::ALL {
            let health = Health {
                state,
                open_orders: u32::MAX,
                in_doubt: IN_DOUBT_MAX,
                address: u8::MAX,
                next_seq: Seq((1 << ADDRESS_SHIFT) - 1),
                past_end: Seq(9),
                gross: u64::MAX,
                net: 7,
                profit: -3,
                passes: 3,
                shown: 4,
            };
            view.show_health(&health);
            assert_eq!(view.health(), Some(health));
            assert_eq!(view.is_open(), state == State::Open);
        }
    }

    #[test]
    fn short_position_is_shown_as_one() {
        let view = PositionsView::new();
        let held = Position {
            symbol: Symbol::new("ALC").unwrap(),
            exposure: Exposure {
                position: -300,
                open_buy: 1,
                open_sell: 2,
            },
        };
        view.show(0, &held);
        assert_eq!(view.iter().collect::<Vec<_>>(), [held]);
    }
}
