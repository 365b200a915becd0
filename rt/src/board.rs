//! Words that several threads show one another under a key: who shows a word and then looks, and another who does the
//! same, cannot both overlook what the other has shown.
//!
//! ```text
//!     thread a                                   thread b
//!     own word = a      (Release)                own word = b      (Release)
//!     fence(SeqCst)                              fence(SeqCst)
//!     b's word?         (Acquire)                a's word?         (Acquire)
//! ```
//!
//! Guarantees:  of the two fences one comes first in the one order that all sequentially consistent fences have, and
//!              what was stored before it is seen by every load behind the other. So at least one of the two sees the
//!              word of the other, and no lock decides which. Both may. A word that was taken back may be seen a
//!              moment longer, never a moment less.
//! Keys:        a table that only grows, found by the key's hash; a key's place is the same for all and for ever. A
//!              place is taken by one exchange, so two threads that bring the same key at once get the same place.
//! When full:   a key beyond the room has no place: `None`.
//! Layout:      each seat's words lie together, and one thread writes them: no line has two writers.
//! Unsafe:      none.

use crate::sync::{Arc, AtomicU64, Ordering, fence};

/// No key: an empty place.
const NO_KEY: u64 = 0;

/// Keys, and each seat's words.
#[derive(Debug)]
struct Board {
    keys: Box<[AtomicU64]>,
    seats: Box<[Box<[AtomicU64]>]>,
}

/// One thread's seat: its own words, and a view of all others'.
#[derive(Debug)]
pub struct Seat {
    board: Arc<Board>,
    index: usize,
}

/// This many seats at one board, all words 0, with room for `keys_max` keys in all.
#[must_use]
pub fn seats(count: usize, keys_max: usize) -> Vec<Seat> {
    let words = || (0..keys_max).map(|_| AtomicU64::new(0)).collect();
    let board = Arc::new(Board {
        keys: words(),
        seats: (0..count).map(|_| words()).collect(),
    });
    let seat = |index| Seat {
        board: Arc::clone(&board),
        index,
    };
    (0..count).map(seat).collect()
}

impl Seat {
    /// The place of a key, which is made known if nobody has brought it yet. 0 is no key. Walks the table: not for
    /// a hot path.
    #[must_use]
    pub fn place(&self, key: u64) -> Option<usize> {
        if key == NO_KEY {
            return None;
        }
        let keys = &self.board.keys;
        let len = u64::try_from(keys.len()).ok().filter(|len| *len > 0)?;
        let first = usize::try_from(hash(key) % len).ok()?;
        let walk = (first..keys.len()).chain(0..first);
        for place in walk {
            let slot = keys.get(place)?;
            // What is exchanged is all that there is to see, so no order beside it is needed.
            let (taken, order) = (slot.load(Ordering::Relaxed), Ordering::Relaxed);
            if taken == key {
                return Some(place);
            }
            if taken != NO_KEY {
                continue;
            }
            match slot.compare_exchange(NO_KEY, key, order, order) {
                Ok(_) => return Some(place),
                Err(other) if other == key => return Some(place),
                Err(_) => {}
            }
        }
        None
    }

    /// Shows a word in a place of [`Seat::place`]: every [`Seat::others`] behind it, here and, once it has been seen
    /// there, elsewhere, goes by it.
    #[inline]
    pub fn show(&mut self, place: usize, word: u64) {
        let own = self.board.seats.get(self.index);
        if let Some(slot) = own.and_then(|words| words.get(place)) {
            // Pairs with the Acquire load and, across two seats, with the fence in `others`.
            slot.store(word, Ordering::Release);
        }
    }

    /// What all others show in this place. Whoever shows a word there from now on, and then looks, sees what this seat
    /// has shown before.
    #[inline]
    pub fn others(&self, place: usize) -> impl Iterator<Item = u64> {
        // Pairs with itself in another seat: see the header.
        fence(Ordering::SeqCst);
        let seats = self.board.seats.iter().enumerate();
        let others = seats.filter(move |(index, _)| *index != self.index);
        // Pairs with the Release store in `show`.
        others.filter_map(move |(_, words)| Some(words.get(place)?.load(Ordering::Acquire)))
    }
}

/// Spreads keys that differ in few bits: Fibonacci hashing, the upper half of the product.
fn hash(key: u64) -> u64 {
    key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_has_one_place_for_all_seats_until_there_is_no_room() {
        let seats = seats(2, 4);
        let places: Vec<_> = (1..=4).map(|key| seats[0].place(key).unwrap()).collect();
        let mut sorted = places.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, [0, 1, 2, 3]);
        for (key, place) in (1..=4).zip(places) {
            assert_eq!(seats[1].place(key), Some(place));
        }
        assert_eq!((seats[1].place(5), seats[0].place(NO_KEY)), (None, None));
    }

    #[test]
    fn seat_sees_what_others_show_and_not_its_own() {
        let mut seats = seats(3, 4);
        let place = seats[0].place(7).unwrap();
        for (seat, word) in seats.iter_mut().zip([1, 2, 3]) {
            seat.show(place, word);
        }
        let seen: Vec<u64> = seats[1].others(place).collect();
        assert_eq!(seen, [1, 3]);
        assert!(seats[1].others(place + 1).all(|word| word == 0));
    }

    /// Both go through the same rounds, as close to each other as a host lets them.
    #[test]
    fn of_two_threads_that_show_and_look_at_once_one_sees_the_other_in_each_round() {
        const ROUNDS: u64 = 20_000;
        let mut pair = seats(2, 1);
        let place = pair[0].place(1).unwrap();
        let gate = Arc::new(std::sync::Barrier::new(2));
        let run = |mut seat: Seat| {
            let gate = Arc::clone(&gate);
            std::thread::spawn(move || {
                let mut seen = Vec::new();
                for round in 1..=ROUNDS {
                    gate.wait();
                    seat.show(place, round);
                    seen.push(seat.others(place).any(|word| word == round));
                }
                seen
            })
        };
        let threads: Vec<_> = pair.drain(..).map(run).collect();
        let seen: Vec<Vec<bool>> = threads.into_iter().map(|it| it.join().unwrap()).collect();
        let blind = seen[0].iter().zip(&seen[1]).position(|(a, b)| !a && !b);
        assert_eq!(blind, None, "neither saw the other in this round");
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use loom::thread;

    use super::*;
    use crate::sync::model;

    #[test]
    fn loom_of_two_that_show_and_look_at_least_one_sees_the_other() {
        model(|| {
            let mut pair = seats(2, 1);
            let (mut a, mut b) = (pair.remove(0), pair.remove(0));
            let look = |seat: &mut Seat| {
                let place = seat.place(9).unwrap();
                seat.show(place, 1);
                let sees = seat.others(place).any(|word| word == 1);
                if sees {
                    // It gives way, as an order that is refused does.
                    seat.show(place, 0);
                }
                sees
            };
            let other = thread::spawn(move || look(&mut b));
            let sees = look(&mut a);
            let other_sees = other.join().unwrap();
            assert!(sees || other_sees, "both went");
        });
    }

    #[test]
    fn loom_who_sees_that_a_seat_is_settled_sees_what_it_has_shown_before() {
        model(|| {
            let mut pair = seats(2, 2);
            let (mut a, b) = (pair.remove(0), pair.remove(0));
            let other = thread::spawn(move || {
                let (order, settled) = (a.place(1).unwrap(), a.place(2).unwrap());
                a.show(order, 7);
                a.show(settled, 1);
            });
            let (order, settled) = (b.place(1).unwrap(), b.place(2).unwrap());
            if b.others(settled).all(|word| word == 1) {
                assert!(b.others(order).all(|word| word == 7));
            }
            other.join().unwrap();
        });
    }

    #[test]
    fn loom_key_that_two_bring_at_once_has_one_place() {
        model(|| {
            let mut pair = seats(2, 2);
            let (a, b) = (pair.remove(0), pair.remove(0));
            let other = thread::spawn(move || [b.place(1), b.place(2)]);
            let mine = [a.place(2), a.place(1)];
            let theirs = other.join().unwrap();
            assert_eq!([mine[1], mine[0]], theirs);
            assert!(mine[0].is_some() && mine[0] != mine[1]);
        });
    }
}
