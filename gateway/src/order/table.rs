//! Live orders by OUCH reference number.
//!
//! Reference numbers only grow, so a slot is the number's low bits. A number whose slot is taken by an
//! older live order is skipped: OUCH wants numbers to increase, not to follow one another.
//!
//! Thread:      order core, hot
//! When full:   `next_number` gives `None`; risk's limit of open orders is below the room, so it never is.

use feed_handler::event::Origin;
use protocol::types::{Price4, Qty, Side, UserRefNum};
use rt::mem::prefetch;

use super::instruments::Instrument;
use super::intent::OrderId;

/// Whose order it is: an index into the session's strategies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner(pub u8);

/// The owner of orders that were found at the exchange after a restart.
pub const NOBODY: Owner = Owner(u8::MAX);

/// A live order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// Its number.
    pub user_ref: UserRefNum,
    /// The strategy's number for it.
    pub id: OrderId,
    /// The strategy.
    pub owner: Owner,
    /// The frame that caused it.
    pub origin: Origin,
    /// When its bytes were ready.
    pub encoded_ns: u64,
    /// Symbol.
    pub instrument: Instrument,
    /// Symbol of the day.
    pub locate: u16,
    /// Side.
    pub side: Side,
    /// Whether the exchange has answered.
    pub is_accepted: bool,
    /// Whether a cancel is on its way.
    pub is_canceling: bool,
    /// Limit.
    pub price: Price4,
    /// Shares open.
    pub open: Qty,
    /// Shares that risk counts as open: the larger of both sizes while a replace is on its way.
    pub reserved: Qty,
    /// Shares executed over the whole chain of replaces.
    pub executed: Qty,
    /// The number of a replace that is on its way.
    pub replacing: Option<UserRefNum>,
}

/// The table.
#[derive(Debug)]
pub struct Table {
    slots: Box<[Option<Order>]>,
    mask: u32,
    next: u32,
    /// Numbers of replaces on their way, at the replace's slot: the number it replaces.
    replaced: Box<[UserRefNum]>,
}

impl Table {
    /// Room for more than `orders_max` orders: twice as many slots keep skips rare.
    #[must_use]
    pub fn new(orders_max: u32) -> Self {
        let room = (orders_max.max(1) * 2).next_power_of_two();
        Self {
            slots: vec![None; room as usize].into_boxed_slice(),
            mask: room - 1,
            next: 1,
            replaced: vec![UserRefNum(0); room as usize].into_boxed_slice(),
        }
    }

    /// The next number whose slot is free.
    #[inline]
    pub fn next_number(&mut self) -> Option<UserRefNum> {
        for _ in 0..=self.mask {
            let number = self.next;
            self.next = number.checked_add(1)?;
            if self.slot(number).is_some_and(Option::is_none) && !self.is_promised(number) {
                return Some(UserRefNum(number));
            }
        }
        None
    }

    /// Brings the next order's place near.
    #[inline]
    pub fn bring_near(&self) {
        let index = (self.next & self.mask) as usize;
        if let (Some(slot), Some(replaced)) = (self.slots.get(index), self.replaced.get(index)) {
            prefetch(slot);
            // An order is larger than a line.
            prefetch(std::ptr::from_ref(slot).cast::<u8>().wrapping_add(64));
            prefetch(replaced);
        }
    }

    /// Goes on from the number that the exchange expects.
    pub fn advance(&mut self, next: UserRefNum) {
        self.next = self.next.max(next.0).max(1);
    }

    /// Puts an order in; its slot is free.
    #[inline]
    pub fn insert(&mut self, order: Order) {
        let number = order.user_ref.0;
        if let Some(slot) = self.slot_mut(number) {
            assert!(slot.is_none(), "reference number {number} is live twice");
            *slot = Some(order);
        }
    }

    /// A live order.
    #[inline]
    #[must_use]
    pub fn get(&self, number: UserRefNum) -> Option<&Order> {
        self.slot(number.0)?
            .as_ref()
            .filter(|order| order.user_ref == number)
    }

    /// A live order, to be changed.
    #[inline]
    pub fn get_mut(&mut self, number: UserRefNum) -> Option<&mut Order> {
        self.slot_mut(number.0)?
            .as_mut()
            .filter(|order| order.user_ref == number)
    }

    /// Takes an order out.
    #[inline]
    pub fn remove(&mut self, number: UserRefNum) -> Option<Order> {
        self.slot_mut(number.0)?
            .take_if(|order| order.user_ref == number)
    }

    /// Remembers which order a replace's number stands for.
    #[inline]
    pub fn set_replaced(&mut self, replace: UserRefNum, original: UserRefNum) {
        let index = (replace.0 & self.mask) as usize;
        if let Some(slot) = self.replaced.get_mut(index) {
            *slot = original;
        }
    }

    /// The order that a replace on its way is for.
    #[inline]
    #[must_use]
    pub fn replaced(&self, replace: UserRefNum) -> Option<UserRefNum> {
        let original = *self.replaced.get((replace.0 & self.mask) as usize)?;
        let order = self.get(original)?;
        (order.replacing == Some(replace)).then_some(original)
    }

    /// The first live order that a test accepts: it looks at every slot, so not between packets.
    #[must_use]
    pub fn find(&self, is_wanted: impl Fn(&Order) -> bool) -> Option<Order> {
        self.slots
            .iter()
            .flatten()
            .find(|order| is_wanted(order))
            .copied()
    }

    /// Whether a replace on its way will need this slot.
    #[inline]
    fn is_promised(&self, number: u32) -> bool {
        let index = number & self.mask;
        let original = self
            .replaced
            .get(index as usize)
            .and_then(|number| self.get(*number));
        let replacing = original.and_then(|order| order.replacing);
        replacing.is_some_and(|replace| replace.0 & self.mask == index)
    }

    /// Every live order's number and open shares. It looks at every slot.
    #[must_use]
    pub fn live(&self) -> Vec<(UserRefNum, Qty)> {
        self.slots
            .iter()
            .flatten()
            .map(|order| (order.user_ref, order.open))
            .collect()
    }

    #[inline]
    fn slot(&self, number: u32) -> Option<&Option<Order>> {
        self.slots.get((number & self.mask) as usize)
    }

    #[inline]
    fn slot_mut(&mut self, number: u32) -> Option<&mut Option<Order>> {
        self.slots.get_mut((number & self.mask) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(number: UserRefNum) -> Order {
        Order {
            user_ref: number,
            id: OrderId(1),
            owner: Owner(0),
            origin: Origin::default(),
            encoded_ns: 0,
            instrument: Instrument(0),
            locate: 0,
            side: Side::Buy,
            is_accepted: false,
            is_canceling: false,
            price: Price4(1),
            open: Qty(1),
            reserved: Qty(1),
            executed: Qty(0),
            replacing: None,
        }
    }

    #[test]
    fn number_of_a_taken_slot_is_skipped() {
        let mut table = Table::new(2);
        let first = table.next_number().unwrap();
        table.insert(order(first));
        let numbers: Vec<u32> = (0..7).map(|_| table.next_number().unwrap().0).collect();
        assert_eq!(numbers, [2, 3, 4, 6, 7, 8, 10]);
        assert!(table.get(UserRefNum(5)).is_none());
        assert!(table.remove(UserRefNum(5)).is_none());
        assert!(table.remove(first).is_some());
    }

    #[test]
    fn full_table_gives_no_number() {
        let mut table = Table::new(1);
        for _ in 0..2 {
            let number = table.next_number().unwrap();
            table.insert(order(number));
        }
        assert_eq!(table.next_number(), None);
    }
}
