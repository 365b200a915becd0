//! Live orders: by OUCH reference number, by the strategy's own number, and in lists that can be walked.
//!
//! ```text
//!  reference number ──┐
//!  replace's number ──┼─> place ─> order ─┬─ standing:  no cancel is on its way
//!  (owner, id) ───────┘                   └─ canceling: one is
//! ```
//!
//! Thread:      order core, hot
//! Invariants:  every live order is in exactly one list and under its own number in the index; a number
//!              belongs to one live order.
//! When full:   `insert` says so. Risk's limit of open orders is below the room; only what is found at
//!              the exchange may need more, and makes room by `grow`, before any order goes out.

use std::cell::Cell;

use protocol::types::UserRefNum;
use rt::mem::prefetch;

use super::index::{Index, NotNoted};
use super::lists::{List, Lists};
use super::live::{Links, NOWHERE, Order};
use crate::message::intent::{OrderId, Owner};

pub use super::index::Unplaced;

/// Orders that one session can have live: what one account of an exchange may plausibly hold. Beyond it an
/// order that is found at the exchange cannot be kept, and trading stops.
pub const ORDERS_MAX: usize = 1 << 20;

/// The orders of one session.
#[derive(Debug)]
pub struct Orders {
    /// Live orders, and places that are free, those linked by `links.after`.
    places: Vec<Order>,
    free: u32,
    lists: Lists,
    by_ref: Index,
    by_id: Index,
    /// The number that was looked up last, and its place: one answer asks for its order several times.
    /// 0 is no order's number.
    last: Cell<(u32, u32)>,
    next: u32,
}

impl Orders {
    /// Room for `room` orders.
    #[must_use]
    pub fn new(room: usize) -> Self {
        assert!(
            room > 0 && room <= ORDERS_MAX,
            "{room} orders, expected 1 to {ORDERS_MAX}"
        );
        Self {
            places: Vec::with_capacity(room),
            free: NOWHERE,
            lists: Lists::default(),
            // A replace on its way has a number of its own.
            by_ref: Index::new(room * 2),
            by_id: Index::new(room),
            last: Cell::new((0, NOWHERE)),
            next: 1,
        }
    }

    /// Has every page of its memory mapped, on the thread that will use it.
    pub fn prepare(&mut self) {
        rt::mem::touch(&mut self.places);
    }

    /// Orders live now.
    #[inline]
    #[must_use]
    pub fn len(&self) -> u32 {
        self.lists.standing.len + self.lists.canceling.len
    }

    /// Whether none is live.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number that the next order or replace gets; `None` when the day's numbers are used up.
    #[inline]
    #[must_use]
    pub fn next_number(&self) -> Option<UserRefNum> {
        (self.next < u32::MAX).then_some(UserRefNum(self.next))
    }

    /// Numbers go on from here, unless they are beyond it already.
    #[inline]
    pub fn advance(&mut self, next: UserRefNum) {
        self.next = self.next.max(next.0).max(1);
    }

    /// Numbers begin at 1 again, while nothing is live: for who sends nothing (`understudy`). At an exchange no number
    /// is ever used twice.
    pub(super) fn begin_again(&mut self) {
        debug_assert!(self.is_empty(), "{} orders live", self.len());
        self.next = 1;
    }

    /// Brings near what the next order writes, and where its owner's next number will be noted.
    #[inline]
    pub fn prefetch(&self, owner: Owner, id: OrderId) {
        self.by_ref.prefetch(u64::from(self.next));
        self.by_id
            .prefetch(id_key(owner, OrderId(id.0.wrapping_add(1))));
        if let Some(free) = self.places.get(self.free as usize) {
            prefetch(free);
            // An order is larger than a line.
            prefetch(std::ptr::from_ref(free).cast::<u8>().wrapping_add(64));
        }
    }

    /// Takes a live order in.
    ///
    /// # Errors
    /// Its number is taken, or there is no room; nothing has changed then.
    #[inline]
    pub fn insert(&mut self, order: &Order) -> Result<(), Unplaced> {
        let place = self.next_place().ok_or(Unplaced::Full)?;
        if let Some(owner) = order.owner {
            let is_noted = self.by_id.insert(id_key(owner, order.id), place);
            is_noted.map_err(|why| match why {
                NotNoted::Known => Unplaced::IdIsLive,
                NotNoted::Full => Unplaced::Full,
            })?;
        }
        if let Err(why) = self.by_ref.insert(u64::from(order.user_ref.0), place) {
            if let Some(owner) = order.owner {
                self.by_id.remove(id_key(owner, order.id));
            }
            return Err(Unplaced::of(why));
        }
        self.put(place, order);
        self.lists.link(&mut self.places, place, false);
        Ok(())
    }

    /// Twice the room. It allocates: for what is found at the exchange, before any order goes out.
    ///
    /// # Errors
    /// [`ORDERS_MAX`] is reached.
    #[cold]
    pub fn grow(&mut self) -> Result<(), Unplaced> {
        let room = self.places.capacity().max(1) * 2;
        if room > ORDERS_MAX {
            return Err(Unplaced::Full);
        }
        self.places
            .reserve_exact(room.saturating_sub(self.places.len()));
        self.by_ref = Index::new(room * 2);
        self.by_id = Index::new(room);
        for list in [self.lists.standing, self.lists.canceling] {
            let mut at = list.first;
            while let Some(order) = self.places.get(at as usize) {
                let numbers = [Some(order.user_ref), order.replacing];
                for number in numbers.into_iter().flatten() {
                    let is_noted = self.by_ref.insert(u64::from(number.0), at);
                    assert!(is_noted.is_ok(), "the larger index has room");
                }
                if let Some(owner) = order.owner {
                    let is_noted = self.by_id.insert(id_key(owner, order.id), at);
                    assert!(is_noted.is_ok(), "the larger index has room");
                }
                at = order.links.after;
            }
        }
        Ok(())
    }

    /// The live order that a number stands for: its own, or that of a replace on its way.
    #[inline]
    #[must_use]
    pub fn get(&self, number: UserRefNum) -> Option<&Order> {
        let place = self.place_of(number)?;
        self.places.get(place as usize)
    }

    /// The same, to be changed. Numbers, owner and lists are changed by the calls for them only.
    #[inline]
    pub fn get_mut(&mut self, number: UserRefNum) -> Option<&mut Order> {
        let place = self.place_of(number)?;
        self.places.get_mut(place as usize)
    }

    /// A strategy's live order.
    #[inline]
    #[must_use]
    pub fn of_id(&self, owner: Owner, id: OrderId) -> Option<&Order> {
        let place = self.by_id.get(id_key(owner, id))?;
        self.places.get(place as usize)
    }

    /// A replace of a live order goes out: from now on both numbers stand for it.
    ///
    /// # Errors
    /// The number is taken; nothing has changed then.
    #[inline]
    pub fn begin_replace(
        &mut self,
        number: UserRefNum,
        replace: UserRefNum,
    ) -> Result<(), Unplaced> {
        let Some(place) = self.place_of(number) else {
            return Ok(());
        };
        self.by_ref
            .insert(u64::from(replace.0), place)
            .map_err(Unplaced::of)?;
        if let Some(order) = self.places.get_mut(place as usize) {
            debug_assert_eq!(order.replacing, None, "one replace at a time");
            order.replacing = Some(replace);
        }
        Ok(())
    }

    /// A replace on its way came to nothing: its number stands for no order any more.
    #[inline]
    pub fn end_replace(&mut self, number: UserRefNum) {
        let replace = self
            .get_mut(number)
            .and_then(|order| order.replacing.take());
        if let Some(replace) = replace {
            self.forget(replace);
        }
    }

    /// The exchange has replaced an order: the new number is its only one.
    ///
    /// # Errors
    /// The number is another live order's; nothing has changed then.
    pub fn renumber(&mut self, number: UserRefNum, new: UserRefNum) -> Result<(), Unplaced> {
        let Some(place) = self.place_of(number) else {
            return Ok(());
        };
        if self
            .by_ref
            .get(u64::from(new.0))
            .is_some_and(|other| other != place)
        {
            return Err(Unplaced::NumberIsLive);
        }
        self.end_replace(number);
        self.forget(number);
        if let Some(order) = self.places.get_mut(place as usize) {
            order.user_ref = new;
        }
        self.by_ref
            .insert(u64::from(new.0), place)
            .map_err(Unplaced::of)
    }

    /// Takes an order out; all its numbers are free.
    #[inline]
    pub fn remove(&mut self, number: UserRefNum) -> Option<Order> {
        let place = self.place_of(number)?;
        let order = *self.places.get(place as usize)?;
        self.forget(order.user_ref);
        if let Some(replace) = order.replacing {
            self.forget(replace);
        }
        if let Some(owner) = order.owner {
            self.by_id.remove(id_key(owner, order.id));
        }
        self.lists.unlink(&mut self.places, place);
        if let Some(slot) = self.places.get_mut(place as usize) {
            slot.links.after = std::mem::replace(&mut self.free, place);
        }
        Some(order)
    }

    /// A live order that was nobody's is this strategy's.
    ///
    /// # Errors
    /// Another live order of the strategy has the number; nothing has changed then.
    pub fn give(&mut self, number: UserRefNum, owner: Owner, id: OrderId) -> Result<(), Unplaced> {
        let Some(place) = self.place_of(number) else {
            return Ok(());
        };
        let key = id_key(owner, id);
        if self.by_id.get(key).is_some() {
            return Err(Unplaced::IdIsLive);
        }
        self.by_id.insert(key, place).map_err(Unplaced::of)?;
        if let Some(order) = self.places.get_mut(place as usize) {
            (order.owner, order.id) = (Some(owner), id);
        }
        Ok(())
    }

    /// A cancel goes out; `is_asked`: for the strategy, which waits for the answer.
    #[inline]
    pub fn begin_cancel(&mut self, number: UserRefNum, is_asked: bool, now_ns: u64) {
        self.relink(number, true, |links| {
            (links.is_asked, links.is_put_off) = (is_asked, false);
            links.canceled_ns = now_ns;
        });
    }

    /// A cancel came to nothing; the next one may go after `cancel_after_ns`.
    #[inline]
    pub fn end_cancel(&mut self, number: UserRefNum, cancel_after_ns: u64) {
        self.relink(number, false, |links| {
            links.cancel_after_ns = cancel_after_ns
        });
    }

    #[inline]
    fn relink(&mut self, number: UserRefNum, is_canceling: bool, change: impl FnOnce(&mut Links)) {
        let Some(place) = self.place_of(number) else {
            return;
        };
        self.lists.unlink(&mut self.places, place);
        self.lists.link(&mut self.places, place, is_canceling);
        if let Some(order) = self.places.get_mut(place as usize) {
            change(&mut order.links);
        }
    }

    /// Orders that no cancel is on its way for.
    #[inline]
    #[must_use]
    pub fn standing(&self) -> u32 {
        self.lists.standing.len
    }

    /// The one of them that has waited longest.
    #[inline]
    #[must_use]
    pub fn first_standing(&self) -> Option<&Order> {
        self.places.get(self.lists.standing.first as usize)
    }

    /// Every live order.
    pub fn iter(&self) -> impl Iterator<Item = &Order> {
        let walk = |list: List| {
            let mut at = list.first;
            std::iter::from_fn(move || {
                let order = self.places.get(at as usize)?;
                at = order.links.after;
                Some(order)
            })
        };
        walk(self.lists.standing).chain(walk(self.lists.canceling))
    }

    /// Orders that there is room for.
    #[must_use]
    pub fn room(&self) -> usize {
        self.places.capacity()
    }

    /// Places that orders have had so far.
    #[must_use]
    pub fn places(&self) -> usize {
        self.places.len()
    }

    /// The live order in a place, as they come; `None`: it is free.
    #[must_use]
    pub fn at(&self, place: usize) -> Option<&Order> {
        let order = self.places.get(place)?;
        // A free place still holds the order that was there, whose number means nothing any more.
        let lives_at = self.by_ref.get(u64::from(order.user_ref.0))?;
        (lives_at as usize == place).then_some(order)
    }

    /// A live order to begin with, and the one behind a live order: for a walk that takes out the order
    /// it stands on.
    #[must_use]
    pub fn first(&self) -> Option<UserRefNum> {
        let first = self.places.get(self.lists.standing.first as usize);
        first
            .or_else(|| self.places.get(self.lists.canceling.first as usize))
            .map(|order| order.user_ref)
    }

    /// See [`Orders::first`].
    #[must_use]
    pub fn after(&self, number: UserRefNum) -> Option<UserRefNum> {
        let order = self.get(number)?;
        let next = self.places.get(order.links.after as usize);
        let other = || {
            (!order.links.is_canceling)
                .then(|| self.places.get(self.lists.canceling.first as usize))
                .flatten()
        };
        next.or_else(other).map(|order| order.user_ref)
    }

    /// The place that the next order gets.
    #[inline]
    fn next_place(&self) -> Option<u32> {
        if self.free != NOWHERE {
            return Some(self.free);
        }
        let has_room = self.places.len() < self.places.capacity();
        has_room
            .then(|| u32::try_from(self.places.len()).ok())
            .flatten()
    }

    /// Puts an order where [`Orders::next_place`] said.
    #[inline]
    fn put(&mut self, place: u32, order: &Order) {
        match self.places.get_mut(place as usize) {
            Some(slot) => {
                self.free = slot.links.after;
                *slot = *order;
            }
            None => self.places.push(*order),
        }
    }

    /// Where the order of a number is.
    #[inline]
    fn place_of(&self, number: UserRefNum) -> Option<u32> {
        let (last, place) = self.last.get();
        if last == number.0 && last != 0 {
            return Some(place);
        }
        let place = self.by_ref.get(u64::from(number.0))?;
        self.last.set((number.0, place));
        Some(place)
    }

    /// A number stands for no order any more.
    #[inline]
    fn forget(&mut self, number: UserRefNum) {
        self.by_ref.remove(u64::from(number.0));
        if self.last.get().0 == number.0 {
            self.last.set((0, NOWHERE));
        }
    }
}

#[inline]
fn id_key(owner: Owner, id: OrderId) -> u64 {
    u64::from(owner.0) << 32 | u64::from(id.0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use feed_handler::event::Origin;
    use protocol::types::{Price4, Qty, Side};

    use super::super::instruments::Instrument;
    use super::*;
    use crate::message::intent::TimeInForce;
    use crate::message::terms::Terms;

    fn order(number: u32, id: u32) -> Order {
        Order {
            user_ref: UserRefNum(number),
            id: OrderId(id),
            owner: Some(Owner(0)),
            origin: Origin::default(),
            encoded_ns: 0,
            instrument: Instrument(0),
            feed: 0,
            locate: 0,
            side: Side::Buy,
            terms: Terms::PLAIN,
            time_in_force: TimeInForce::Day,
            is_accepted: false,
            price: Price4(1),
            open: Qty(1),
            reserved: Qty(1),
            executed: Qty(0),
            replacing: None,
            replace_total: Qty(0),
            replace_price: Price4(0),
            is_marked_long: false,
            known_limits: [Price4(0); 2],
            cancels_refused: 0,
            links: Links::default(),
        }
    }

    /// What is live, by number: the strategy's number, the replace on its way, whether a cancel is.
    type Naive = BTreeMap<u32, (u32, Option<u32>, bool)>;

    fn agree(orders: &Orders, naive: &Naive, seed: u64) {
        assert_eq!(orders.len() as usize, naive.len(), "seed {seed}");
        let mut walked: Vec<u32> = orders.iter().map(|order| order.user_ref.0).collect();
        let standing = naive.values().filter(|(_, _, is)| !is).count();
        assert_eq!(orders.standing() as usize, standing, "seed {seed}");
        let mut chained = Vec::new();
        let mut at = orders.first();
        while let Some(number) = at {
            chained.push(number.0);
            at = orders.after(number);
        }
        assert_eq!(walked, chained, "seed {seed}");
        walked.sort_unstable();
        assert!(walked.iter().eq(naive.keys()), "seed {seed}");
        for (number, (id, replacing, is_canceling)) in naive {
            let found = orders.of_id(Owner(0), OrderId(*id)).unwrap();
            assert_eq!(found.user_ref.0, *number, "seed {seed}");
            assert_eq!(found.is_canceling(), *is_canceling, "seed {seed}");
            assert_eq!(orders.get(UserRefNum(*number)), Some(found));
            if let Some(replace) = replacing {
                assert_eq!(orders.get(UserRefNum(*replace)), Some(found));
            }
        }
    }

    #[test]
    fn random_lives_of_orders_are_as_a_sorted_map_keeps_them() {
        for seed in 0..300 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut orders = Orders::new(4);
            let mut naive = Naive::new();
            for id in 1..400 {
                let any = naive
                    .keys()
                    .nth(random.usize(0..naive.len().max(1)))
                    .copied();
                match (random.u8(0..8), any) {
                    (0, Some(number)) => {
                        assert!(orders.remove(UserRefNum(number)).is_some());
                        naive.remove(&number);
                    }
                    (1, Some(number)) => {
                        let is_canceling = random.bool();
                        if is_canceling {
                            orders.begin_cancel(UserRefNum(number), true, 1);
                        } else {
                            orders.end_cancel(UserRefNum(number), 0);
                        }
                        naive.get_mut(&number).unwrap().2 = is_canceling;
                    }
                    (2, Some(number)) if naive[&number].1.is_none() => {
                        let replace = orders.next_number().unwrap();
                        assert_eq!(orders.begin_replace(UserRefNum(number), replace), Ok(()));
                        orders.advance(UserRefNum(replace.0 + 1));
                        naive.get_mut(&number).unwrap().1 = Some(replace.0);
                    }
                    (3, Some(number)) => {
                        let (id, replacing, is_canceling) = naive[&number];
                        let Some(new) = replacing else { continue };
                        if random.bool() {
                            orders.end_replace(UserRefNum(number));
                            assert!(orders.get(UserRefNum(new)).is_none(), "seed {seed}");
                            naive.insert(number, (id, None, is_canceling));
                        } else {
                            let renumbered = orders.renumber(UserRefNum(number), UserRefNum(new));
                            assert_eq!(renumbered, Ok(()));
                            naive.remove(&number);
                            naive.insert(new, (id, None, is_canceling));
                        }
                    }
                    _ => {
                        let number = orders.next_number().unwrap();
                        // Numbers are not dense, as after a restart.
                        orders.advance(UserRefNum(number.0 + random.u32(1..300)));
                        let mut placed = orders.insert(&order(number.0, id));
                        if placed == Err(Unplaced::Full) {
                            orders.grow().unwrap();
                            placed = orders.insert(&order(number.0, id));
                        }
                        assert_eq!(placed, Ok(()), "seed {seed}");
                        naive.insert(number.0, (id, None, false));
                    }
                }
                agree(&orders, &naive, seed);
            }
        }
    }

    #[test]
    fn number_that_is_live_is_not_taken_twice() {
        let mut orders = Orders::new(4);
        assert_eq!(orders.insert(&order(1, 1)), Ok(()));
        assert_eq!(orders.insert(&order(1, 2)), Err(Unplaced::NumberIsLive));
        assert_eq!(orders.insert(&order(3, 1)), Err(Unplaced::IdIsLive));
        assert_eq!(orders.insert(&order(2, 2)), Ok(()));
        let clash = orders.begin_replace(UserRefNum(1), UserRefNum(2));
        assert_eq!(clash, Err(Unplaced::NumberIsLive));
        let clash = orders.renumber(UserRefNum(1), UserRefNum(2));
        assert_eq!(clash, Err(Unplaced::NumberIsLive));
    }

    #[test]
    fn full_room_refuses_and_growing_keeps_every_number() {
        let mut orders = Orders::new(2);
        for number in 1..=2 {
            assert_eq!(orders.insert(&order(number, number)), Ok(()));
        }
        assert_eq!(orders.insert(&order(3, 3)), Err(Unplaced::Full));
        assert_eq!(orders.begin_replace(UserRefNum(1), UserRefNum(4)), Ok(()));
        orders.grow().unwrap();
        assert_eq!(orders.insert(&order(3, 3)), Ok(()));
        assert_eq!(orders.get(UserRefNum(4)).unwrap().user_ref, UserRefNum(1));
    }
}
