//! The stupid books that the feed's are compared with: a list of orders, looked through each time.

use std::collections::BTreeMap;

use feed_handler::best_prices::BestPrice;
use feed_handler::book::Level;
use protocol::itch::Message;
use protocol::types::{Price4, Qty, Side};

use super::DEPTH;

/// Orders of a price in the order in which they trade: each reference and its shares.
pub(super) type Queue = (u32, Vec<(u64, u32)>);

#[derive(Clone, Copy)]
struct Order {
    locate: u16,
    side: Side,
    shares: u32,
    price: u32,
    /// Orders that came before it.
    place: u64,
}

impl Order {
    /// `None`: no order that a book could hold.
    fn new(locate: u16, side: u8, Qty(shares): Qty, Price4(price): Price4) -> Option<Self> {
        let side = match side {
            b'B' => Side::Buy,
            b'S' => Side::Sell,
            _ => return None,
        };
        let order = Self {
            locate,
            side,
            shares,
            price,
            place: 0,
        };
        (shares > 0 && price > 0).then_some(order)
    }
}

/// Orders by reference: everything else is found by looking at all of them.
#[derive(Default)]
pub(super) struct NaiveBooks {
    orders: BTreeMap<u64, Order>,
    /// Orders that ever came.
    came: u64,
}

impl NaiveBooks {
    /// Applies a message; the symbols that it may have changed.
    pub(super) fn apply(&mut self, message: &Message<'_>) -> Vec<u16> {
        match message {
            Message::AddOrder(m) => {
                let order = Order::new(m.head.locate.get(), m.side, m.shares.get(), m.price.get());
                self.add(m.order.get().0, order)
            }
            Message::AddOrderMpid(m) => {
                let order = Order::new(m.head.locate.get(), m.side, m.shares.get(), m.price.get());
                self.add(m.order.get().0, order)
            }
            Message::OrderExecuted(m) => self.reduce(m.order.get().0, m.shares.get().0),
            Message::OrderExecutedWithPrice(m) => self.reduce(m.order.get().0, m.shares.get().0),
            Message::OrderCancel(m) => self.reduce(m.order.get().0, m.shares.get().0),
            Message::OrderDelete(m) => self.reduce(m.order.get().0, u32::MAX),
            Message::OrderReplace(m) => {
                let Some(old) = self.orders.get(&m.old_order.get().0).copied() else {
                    return Vec::new();
                };
                let (new, shares, price) = (m.new_order.get().0, m.shares.get(), m.price.get());
                let evicted = self.orders.remove(&new).map(|order| order.locate);
                self.orders.remove(&m.old_order.get().0);
                let order = Order::new(old.locate, old.side as u8, shares, price);
                let mut touched = self.add(new, order);
                touched.extend(evicted);
                touched.push(old.locate);
                touched
            }
            _ => Vec::new(),
        }
    }

    /// An order's symbol and price.
    pub(super) fn place(&self, reference: u64) -> Option<(u16, u32)> {
        let order = self.orders.get(&reference);
        order.map(|order| (order.locate, order.price))
    }

    fn add(&mut self, reference: u64, order: Option<Order>) -> Vec<u16> {
        let Some(mut order) = order.filter(|_| reference != 0) else {
            return Vec::new();
        };
        self.came += 1;
        order.place = self.came;
        let locate = order.locate;
        let evicted = self.orders.insert(reference, order);
        evicted
            .map(|order| order.locate)
            .into_iter()
            .chain([locate])
            .collect()
    }

    fn reduce(&mut self, reference: u64, shares: u32) -> Vec<u16> {
        let Some(order) = self.orders.get_mut(&reference) else {
            return Vec::new();
        };
        let locate = order.locate;
        order.shares = order.shares.saturating_sub(shares);
        if order.shares == 0 {
            self.orders.remove(&reference);
        }
        vec![locate]
    }

    /// The best levels of a side; what is not there is empty.
    pub(super) fn levels(&self, locate: u16, side: Side) -> [Level; DEPTH] {
        let mut by_price = BTreeMap::<u32, Level>::new();
        let of = |order: &&Order| order.locate == locate && order.side == side;
        for order in self.orders.values().filter(of) {
            let level = by_price.entry(order.price).or_default();
            level.price = Price4(order.price);
            level.shares += u64::from(order.shares);
            level.orders += 1;
        }
        let mut levels: Vec<Level> = by_price.into_values().collect();
        if side == Side::Buy {
            levels.reverse();
        }
        levels.resize(DEPTH.max(levels.len()), Level::default());
        levels[..DEPTH].try_into().unwrap()
    }

    /// Each price of a side, from the best, with its orders.
    pub(super) fn queues(&self, locate: u16, side: Side) -> Vec<Queue> {
        let of = |(_, order): &(&u64, &Order)| order.locate == locate && order.side == side;
        let mut orders: Vec<_> = self.orders.iter().filter(of).collect();
        orders.sort_by_key(|(_, order)| order.place);
        let mut by_price = BTreeMap::<u32, Vec<(u64, u32)>>::new();
        for (reference, order) in orders {
            let queue = by_price.entry(order.price).or_default();
            queue.push((*reference, order.shares));
        }
        let mut queues: Vec<Queue> = by_price.into_iter().collect();
        if side == Side::Buy {
            queues.reverse();
        }
        queues
    }

    pub(super) fn best(&self, locate: u16) -> BestPrice {
        let of = |side| {
            self.orders
                .values()
                .filter(move |o| o.locate == locate && o.side == side)
        };
        let bid = of(Side::Buy).map(|order| order.price).max().unwrap_or(0);
        let ask = of(Side::Sell).map(|order| order.price).min().unwrap_or(0);
        let shares = |side, price| {
            let at = of(side).filter(|order| order.price == price);
            let sum: u64 = at.map(|order| u64::from(order.shares)).sum();
            Qty(u32::try_from(sum).unwrap_or(u32::MAX))
        };
        BestPrice {
            bid_price: Price4(bid),
            bid_qty: shares(Side::Buy, bid),
            ask_price: Price4(ask),
            ask_qty: shares(Side::Sell, ask),
        }
    }
}
