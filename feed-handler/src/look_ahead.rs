//! Prefetches what the next messages touch, in three steps, while the messages before them are at work.
//!
//! ```text
//!  messages ahead:  8               5                      2                     0
//!                   slot and book ─> order, ladders' ends ─> level, neighbours ─> apply
//! ```
//!
//! Where an order lies is known by its slot, its level by the order: each step reads what the one before has
//! prefetched, so that nobody waits for memory, and several messages' lines come at the same time.
//!
//! Path:        packet's messages -> look_ahead -> `Books::prefetch_slot` and others; then the same messages in order
//! Thread:      feed core, hot
//! Invariants:  nothing is changed, counted or refused: what is prefetched in vain costs time only.
//! Bounds:      each message is looked at once a step, and never one of another packet.

use std::marker::PhantomData;

use crate::book::{Books, Target};
use crate::venue::Venue;

/// How many messages ahead each step is. Nearer, a line from memory is not there in time; further, more lines are
/// on their way than a core can have.
const SLOT_AHEAD: usize = 8;
const ORDER_AHEAD: usize = 5;
const LEVEL_AHEAD: usize = 2;

/// Fewer messages in a packet have too little to overlap with: what they touch would not be there in time, and
/// the steps cost about as much as they save.
const OVERLAP_MIN: usize = 4;

const _: () = assert!(OVERLAP_MIN <= SLOT_AHEAD);
const _: () = assert!(SLOT_AHEAD.is_power_of_two());
const _: () = assert!(LEVEL_AHEAD < ORDER_AHEAD && ORDER_AHEAD < SLOT_AHEAD);

/// Goes through messages of a venue ahead of who applies them.
#[derive(Clone, Debug)]
pub struct LookAhead<V, I> {
    /// The messages that were not looked at.
    messages: I,
    /// Where the last ones' things are; the place of each is its number modulo `SLOT_AHEAD`.
    targets: [Target; SLOT_AHEAD],
    /// How many messages each step was done for.
    slots: usize,
    orders: usize,
    levels: usize,
    venue: PhantomData<V>,
}

impl<'a, V: Venue, I: Iterator<Item = &'a [u8]>> LookAhead<V, I> {
    /// Looks at the first messages.
    #[inline]
    pub fn new(messages: I, books: &Books) -> Self {
        let mut ahead = Self {
            messages,
            targets: [Target::default(); SLOT_AHEAD],
            slots: 0,
            orders: 0,
            levels: 0,
            venue: PhantomData,
        };
        while ahead.slots < SLOT_AHEAD && ahead.step_slot(books) {}
        if ahead.slots >= OVERLAP_MIN {
            while ahead.orders < ORDER_AHEAD.min(ahead.slots) {
                ahead.step_order(books);
            }
            while ahead.levels < LEVEL_AHEAD.min(ahead.slots) {
                ahead.step_level(books);
            }
        }
        ahead
    }

    /// Looks at one message further. To be called before each message is applied.
    #[inline]
    pub fn advance(&mut self, books: &Books) {
        if self.slots >= SLOT_AHEAD {
            self.step_slot(books);
        }
        // A packet too small for it has neither.
        if self.orders == 0 {
            return;
        }
        if self.orders < self.slots {
            self.step_order(books);
        }
        if self.levels < self.slots {
            self.step_level(books);
        }
    }

    /// `false`: there is no further message.
    #[inline]
    fn step_slot(&mut self, books: &Books) -> bool {
        let Some(message) = self.messages.next() else {
            return false;
        };
        *self.place(self.slots) = books.prefetch_slot(V::glimpse(message));
        self.slots += 1;
        true
    }

    #[inline]
    fn step_order(&mut self, books: &Books) {
        books.prefetch_order(*self.place(self.orders));
        self.orders += 1;
    }

    #[inline]
    fn step_level(&mut self, books: &Books) {
        books.prefetch_level(*self.place(self.levels));
        self.levels += 1;
    }

    #[inline]
    #[expect(clippy::indexing_slicing, reason = "the remainder is an index")]
    fn place(&mut self, number: usize) -> &mut Target {
        &mut self.targets[number % SLOT_AHEAD]
    }
}

#[cfg(test)]
mod tests {
    use rt::mem::Want;

    use super::*;
    use crate::book::Limits;
    use crate::venue::Nasdaq;

    #[test]
    fn each_step_has_been_done_for_each_message_once_before_it_is_applied() {
        let limits = Limits {
            orders_max: 16,
            levels_max: 16,
        };
        let books = Books::new(&limits, Want::LAZY).unwrap();
        let packet: Vec<[u8; 19]> = (0..20u8).map(|n| [n; 19]).collect();
        for len in [0, 1, 3, 4, 7, 8, 9, 20] {
            let messages = packet[..len].iter().map(|message| &message[..]);
            let mut ahead: LookAhead<Nasdaq, _> = LookAhead::new(messages.clone(), &books);
            for (number, message) in messages.enumerate() {
                ahead.advance(&books);
                assert_eq!(ahead.slots, len.min(number + 1 + SLOT_AHEAD));
                let expected = [ORDER_AHEAD, LEVEL_AHEAD].map(|far| match len {
                    0..OVERLAP_MIN => 0,
                    _ => len.min(number + 1 + far),
                });
                assert_eq!([ahead.orders, ahead.levels], expected);
                let target = books.prefetch_slot(Nasdaq::glimpse(message));
                let is_kept = ahead.slots - number <= SLOT_AHEAD;
                assert!(!is_kept || *ahead.place(number) == target);
            }
        }
    }
}
