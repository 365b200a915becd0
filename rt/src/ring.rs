//! Single-producer single-consumer ring for `Copy` messages between two pinned cores.
//!
//! ```text
//!     producer                              consumer
//!     writes slot, tail --Release-->  [slots]  --Acquire-- tail, reads slot
//!     reuses slot  head --Acquire--   [slots]  <--Release-- head, slot is free
//! ```
//!
//! Guarantees:  wait-free on both sides; no allocation after `ring`; a message is never seen torn.
//! When full:   `push` gives the message back; the caller counts it. Nothing is overwritten.
//! Layout:      `head` and `tail` on separate 128-byte lines (x86 prefetches pairs of 64-byte
//!              lines); each side keeps the other's index and reads it again only when it must.
//! Unsafe:      a slot belongs to the producer while `tail - head < capacity` does not cover it and
//!              to the consumer while it does; each side moves only its own index.

#![allow(
    unsafe_code,
    reason = "slots are shared between two threads under the two index rules"
)]

use std::mem::MaybeUninit;

use crossbeam_utils::CachePadded;

use crate::mem::{prefetch, touch};
use crate::sync::{Arc, AtomicUsize, Ordering, UnsafeCell};

/// A ring whose capacity is not a power of two, or zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotPowerOfTwo;

/// The ring was full; the message is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full<T>(pub T);

/// Makes a ring with room for `capacity` messages and returns its two ends.
///
/// # Errors
/// `capacity` is not a power of two.
pub fn ring<T: Copy>(capacity: usize) -> Result<(Producer<T>, Consumer<T>), NotPowerOfTwo> {
    if !capacity.is_power_of_two() {
        return Err(NotPowerOfTwo);
    }
    let mut slots = Vec::with_capacity(capacity);
    // Each page is mapped here, not when the first message is put there.
    touch(&mut slots);
    slots.extend((0..capacity).map(|_| UnsafeCell::new(MaybeUninit::uninit())));
    let shared = Arc::new(Shared {
        head: CachePadded::new(AtomicUsize::new(0)),
        tail: CachePadded::new(AtomicUsize::new(0)),
        slots: slots.into_boxed_slice(),
    });
    let producer = Producer {
        shared: Arc::clone(&shared),
        tail: 0,
        head_seen: 0,
    };
    Ok((
        producer,
        Consumer {
            shared,
            head: 0,
            tail_seen: 0,
        },
    ))
}

#[derive(Debug)]
struct Shared<T> {
    /// Messages ever taken out. Stored by the consumer only.
    head: CachePadded<AtomicUsize>,
    /// Messages ever put in. Stored by the producer only.
    tail: CachePadded<AtomicUsize>,
    slots: Box<[UnsafeCell<MaybeUninit<T>>]>,
}

// SAFETY: the two index rules in the header keep each slot with one side at a time; `T: Send` because
// messages cross from one thread to the other.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// The slot of a running index. The mask keeps it in bounds: the length is a power of two.
    #[inline]
    fn slot(&self, index: usize) -> &UnsafeCell<MaybeUninit<T>> {
        let masked = index & (self.slots.len() - 1);
        // SAFETY: `masked` is below `slots.len()`, which is not zero.
        unsafe { self.slots.get_unchecked(masked) }
    }
}

/// The end that puts messages in. One thread at a time owns it.
#[derive(Debug)]
pub struct Producer<T> {
    shared: Arc<Shared<T>>,
    tail: usize,
    head_seen: usize,
}

impl<T: Copy> Producer<T> {
    /// Puts a message in.
    ///
    /// # Errors
    /// The ring is full: the message comes back.
    #[inline]
    pub fn push(&mut self, message: T) -> Result<(), Full<T>> {
        if self.tail.wrapping_sub(self.head_seen) == self.shared.slots.len() {
            // Pairs with the Release store of `head` in `Consumer::pop`: the slot has been read.
            self.head_seen = self.shared.head.load(Ordering::Acquire);
            if self.tail.wrapping_sub(self.head_seen) == self.shared.slots.len() {
                return Err(Full(message));
            }
        }
        let slot = self.shared.slot(self.tail);
        // SAFETY: `tail - head < capacity`, so the consumer does not look at this slot until the
        // store below; only this thread, the one owner of the producer, writes it.
        slot.with_mut(|place| unsafe { place.write(MaybeUninit::new(message)) });
        self.tail = self.tail.wrapping_add(1);
        // Pairs with the Acquire load of `tail` in `Consumer::pop`.
        self.shared.tail.store(self.tail, Ordering::Release);
        Ok(())
    }

    /// Brings the next message's place near: a ring is larger than the cache. For quiet moments: on a
    /// ring between cores that runs at full rate it would take the line from the consumer (measured: 20
    /// times slower).
    #[inline]
    pub fn prefetch(&self) {
        prefetch(std::ptr::from_ref(self.shared.slot(self.tail)));
    }

    /// Messages that are in the ring now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tail
            .wrapping_sub(self.shared.head.load(Ordering::Relaxed))
    }

    /// Whether the consumer has taken everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The room for messages.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.shared.slots.len()
    }
}

/// The end that takes messages out. One thread at a time owns it.
#[derive(Debug)]
pub struct Consumer<T> {
    shared: Arc<Shared<T>>,
    head: usize,
    tail_seen: usize,
}

impl<T: Copy> Consumer<T> {
    /// Takes the oldest message out.
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        if self.head == self.tail_seen {
            // Pairs with the Release store of `tail` in `Producer::push`: the slot has been written.
            self.tail_seen = self.shared.tail.load(Ordering::Acquire);
            if self.head == self.tail_seen {
                return None;
            }
        }
        let slot = self.shared.slot(self.head);
        // SAFETY: `head < tail`, so the producer wrote this slot before the load above and does not
        // touch it again until the store below.
        let message = slot.with(|place| unsafe { place.read() });
        // SAFETY: as above, the slot has been written with a `T`.
        let message = unsafe { message.assume_init() };
        self.head = self.head.wrapping_add(1);
        // Pairs with the Acquire load of `head` in `Producer::push`.
        self.shared.head.store(self.head, Ordering::Release);
        Some(message)
    }

    /// Whether the ring is full, as the producer sees it.
    #[inline]
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.len() == self.shared.slots.len()
    }

    /// Messages that wait now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared
            .tail
            .load(Ordering::Relaxed)
            .wrapping_sub(self.head)
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    #[test]
    fn first_lap_of_a_ring_maps_no_page() {
        let (mut producer, mut consumer) = ring::<[u64; 8]>(1 << 16).unwrap();
        let before = crate::cpu::thread_usage().faults_minor;
        for number in 0..1 << 16 {
            producer.push([number; 8]).unwrap();
            assert_eq!(consumer.pop(), Some([number; 8]));
        }
        let mapped = crate::cpu::thread_usage().faults_minor - before;
        assert!(mapped < 64, "{mapped} of 1,024 pages");
    }

    #[test]
    fn capacity_must_be_a_power_of_two() {
        for capacity in [0, 3, 6, 1000] {
            assert_eq!(ring::<u8>(capacity).err(), Some(NotPowerOfTwo));
        }
    }

    #[test]
    fn full_ring_gives_the_message_back() {
        let (mut producer, mut consumer) = ring(2).unwrap();
        assert_eq!(producer.push(1), Ok(()));
        assert_eq!(producer.push(2), Ok(()));
        assert_eq!(producer.push(3), Err(Full(3)));
        assert_eq!(consumer.pop(), Some(1));
        assert_eq!(producer.push(3), Ok(()));
        assert_eq!(consumer.pop(), Some(2));
        assert_eq!(consumer.pop(), Some(3));
        assert_eq!(consumer.pop(), None);
    }

    #[test]
    fn agrees_with_a_queue_under_random_use() {
        let mut random = fastrand::Rng::with_seed(7);
        for capacity in [1, 2, 8, 64] {
            let (mut producer, mut consumer) = ring(capacity).unwrap();
            let mut model = VecDeque::new();
            for step in 0..20_000u32 {
                if random.bool() {
                    let pushed = producer.push(step).is_ok();
                    assert_eq!(pushed, model.len() < capacity);
                    if pushed {
                        model.push_back(step);
                    }
                } else {
                    assert_eq!(consumer.pop(), model.pop_front());
                }
                assert_eq!((producer.len(), consumer.len()), (model.len(), model.len()));
            }
        }
    }

    #[test]
    fn two_threads_pass_every_message_in_order_and_whole() {
        const MESSAGES: u64 = 300_000;
        let (mut producer, mut consumer) = ring::<[u64; 8]>(256).unwrap();
        let sender = std::thread::spawn(move || {
            for number in 0..MESSAGES {
                let mut message = [number; 8];
                while let Err(Full(back)) = producer.push(message) {
                    message = back;
                    std::thread::yield_now();
                }
            }
        });
        let mut expected = 0;
        while expected < MESSAGES {
            match consumer.pop() {
                Some(message) => {
                    assert_eq!(message, [expected; 8]);
                    expected += 1;
                }
                None => std::thread::yield_now(),
            }
        }
        sender.join().unwrap();
        assert_eq!(consumer.pop(), None);
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use loom::thread;

    use super::*;
    use crate::sync::model;

    #[test]
    fn loom_every_message_comes_once_in_order_through_reused_slots() {
        model(|| {
            let (mut producer, mut consumer) = ring::<u64>(2).unwrap();
            let sender = thread::spawn(move || {
                let mut sent = 0;
                for _ in 0..4 {
                    sent += u64::from(producer.push(sent).is_ok());
                }
                sent
            });
            let mut next = 0;
            for _ in 0..3 {
                if let Some(number) = consumer.pop() {
                    assert_eq!(number, next);
                    next += 1;
                }
            }
            let sent = sender.join().unwrap();
            while let Some(number) = consumer.pop() {
                assert_eq!(number, next);
                next += 1;
            }
            assert_eq!(next, sent);
        });
    }
}
