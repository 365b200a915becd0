//! New orders of the last moments: whether one is a repetition.
//!
//! ```text
//!  order --hash--> chain: newest -> older -> ...   ends where one is too old to count, or was overwritten
//! ```
//!
//! Thread:      order core, hot
//! Invariants:  every order of the window is here: as many are kept as the limits let go in that time.

use protocol::types::{Price4, Qty, Side};

use super::super::index::spread;
use super::super::instruments::Instrument;
use crate::message::intent::Owner;

/// What makes two orders the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Same {
    pub(super) owner: Owner,
    pub(super) instrument: Instrument,
    pub(super) side: Side,
    pub(super) price: Price4,
    pub(super) qty: Qty,
}

/// In one cache line.
#[derive(Clone, Copy, Debug)]
#[repr(align(32))]
struct Sent {
    order: Same,
    sent_ns: u64,
    /// The number of the one before it in its chain plus one; 0: none.
    before: u64,
}

/// The orders.
#[derive(Debug)]
pub(super) struct Repeats {
    window_ns: u64,
    /// A ring; empty: nothing is kept.
    sent: Box<[Sent]>,
    /// The newest of each chain: its number plus one; 0: none.
    chains: Box<[u64]>,
    /// The number of the next order, and its place in the ring.
    next: u64,
    next_place: usize,
}

impl Repeats {
    /// What was sent within the window; nothing is a repetition where it is 0.
    pub(super) fn new(window_ns: u64, orders_per_second_max: u32) -> Self {
        let nothing = Sent {
            order: Same {
                owner: Owner(0),
                instrument: Instrument(0),
                side: Side::Buy,
                price: Price4(0),
                qty: Qty(0),
            },
            sent_ns: 0,
            before: 0,
        };
        // A window of any length begins with at most a second's orders more than it has full seconds.
        let seconds = window_ns.div_ceil(1_000_000_000);
        let count = usize::try_from(seconds * u64::from(orders_per_second_max)).unwrap_or(0);
        let chains = if count == 0 {
            0
        } else {
            (2 * count).next_power_of_two()
        };
        Self {
            window_ns,
            sent: vec![nothing; count].into_boxed_slice(),
            chains: vec![0; chains].into_boxed_slice(),
            next: 0,
            next_place: 0,
        }
    }

    /// Whether any order is a repetition.
    #[inline]
    pub(super) fn is_watched(&self) -> bool {
        !self.sent.is_empty()
    }

    /// Whether the same order went within the window.
    pub(super) fn has(&self, order: &Same, now_ns: u64) -> bool {
        if self.sent.is_empty() {
            return false;
        }
        let mut at = self.chains.get(self.chain(order)).copied().unwrap_or(0);
        // Each step goes back in time, so it ends.
        while let Some(sent) = self.at(at) {
            if now_ns.saturating_sub(sent.sent_ns) >= self.window_ns {
                return false;
            }
            if sent.order == *order {
                return true;
            }
            at = sent.before;
        }
        false
    }

    /// It has gone.
    pub(super) fn note(&mut self, order: &Same, now_ns: u64) {
        if self.sent.is_empty() {
            return;
        }
        let chain = self.chain(order);
        let place = self.next_place;
        self.next += 1;
        self.next_place = if place + 1 < self.sent.len() {
            place + 1
        } else {
            0
        };
        let Some(newest) = self.chains.get_mut(chain) else {
            return;
        };
        let before = std::mem::replace(newest, self.next);
        if let Some(sent) = self.sent.get_mut(place) {
            *sent = Sent {
                order: *order,
                sent_ns: now_ns,
                before,
            };
        }
    }

    /// The order with this number plus one, if it is still here.
    #[inline]
    fn at(&self, number_and_one: u64) -> Option<&Sent> {
        let number = number_and_one.checked_sub(1)?;
        // Back from the next one's place, round the ring at most once.
        let back = usize::try_from(self.next - number).ok()?;
        if back > self.sent.len() {
            return None;
        }
        let place = match self.next_place.checked_sub(back) {
            Some(place) => place,
            None => (self.next_place + self.sent.len()).checked_sub(back)?,
        };
        self.sent.get(place)
    }

    #[inline]
    fn chain(&self, order: &Same) -> usize {
        let who = u64::from(order.owner.0) << 24
            | u64::from(order.instrument.0) << 8
            | u64::from(order.side as u8);
        let what = u64::from(order.price.0) << 32 | u64::from(order.qty.0);
        spread(who.rotate_left(27) ^ what, self.chains.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn random_orders_are_repetitions_where_a_list_says_so() {
        for seed in 0..100 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut repeats = Repeats::new(100 * MS, 50);
            let (mut now_ns, mut naive) = (1, Vec::<(u64, Same)>::new());
            for _ in 0..2_000 {
                now_ns += random.u64(0..10) * MS;
                let order = Same {
                    owner: Owner(random.u8(0..2)),
                    instrument: Instrument(random.u16(0..2)),
                    side: [Side::Buy, Side::Sell][random.usize(0..2)],
                    price: Price4(random.u32(0..2)),
                    qty: Qty(random.u32(0..2)),
                };
                let expected = naive
                    .iter()
                    .any(|(at, it)| now_ns - at < 100 * MS && *it == order);
                assert_eq!(repeats.has(&order, now_ns), expected, "seed {seed}");
                let in_second = naive.iter().filter(|(at, _)| now_ns - at < 1_000 * MS);
                if in_second.count() < 50 {
                    repeats.note(&order, now_ns);
                    naive.push((now_ns, order));
                }
            }
        }
    }

    #[test]
    fn window_of_nothing_keeps_nothing() {
        let mut repeats = Repeats::new(0, 1_000_000);
        let order = Same {
            owner: Owner(0),
            instrument: Instrument(0),
            side: Side::Buy,
            price: Price4(1),
            qty: Qty(1),
        };
        repeats.note(&order, 1);
        assert!(!repeats.has(&order, 1));
    }
}
