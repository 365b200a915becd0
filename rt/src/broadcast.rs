//! One writer, many readers, each message once in memory: a ring whose writer never waits.
//!
//! ```text
//!     writer                                        each reader, at its own place
//!     slot's mark "being written", fence(Release)   slot's mark --Acquire--, words
//!     words                                         fence(Acquire), mark again: another? overtaken
//!     mark "message n" --Release-->
//!     written = n + 1 --Release-->                  looks at `written` only when it was overtaken
//! ```
//!
//! Guarantees:  wait-free for the writer, which never looks at readers; a reader's step ends, too. No
//!              allocation after [`broadcast`]. A message is never seen torn; a reader gets each once, in
//!              order, or is told exactly how many it missed.
//! When full:   there is no full: the oldest message is overwritten. Who had not read it goes on with the
//!              newest ([`Read::Missed`]).
//! Layout:      mark and words of a slot side by side, so that who waits for a message waits on the line
//!              that brings it; slots follow one another without padding. `written` has lines of its own.
//! Unsafe:      none. The words are atomic, so a reader that is being overtaken reads old or new ones, and
//!              throws them away.

use crossbeam_utils::CachePadded;

use crate::mem::prefetch;
use crate::ring::NotPowerOfTwo;
use crate::sync::{Arc, AtomicU64, Ordering, fence};

/// Makes a ring of `capacity` messages of `N` words.
///
/// # Errors
/// `capacity` is not a power of two.
pub fn broadcast<const N: usize>(capacity: usize) -> Result<Writer<N>, NotPowerOfTwo> {
    if !capacity.is_power_of_two() {
        return Err(NotPowerOfTwo);
    }
    let slots = (0..capacity)
        .map(|_| Slot {
            mark: AtomicU64::new(0),
            words: std::array::from_fn(|_| AtomicU64::new(0)),
        })
        .collect();
    let shared = Arc::new(Shared {
        written: CachePadded::new(AtomicU64::new(0)),
        slots,
    });
    Ok(Writer { shared, next: 0 })
}

#[derive(Debug)]
struct Shared<const N: usize> {
    /// Messages ever written.
    written: CachePadded<AtomicU64>,
    slots: Box<[Slot<N>]>,
}

/// Whose message a slot holds: 0 nobody's yet, `2n + 1` while message `n` is written, then `2n + 2`. It
/// only grows: the next message of a slot is a lap younger.
#[derive(Debug)]
#[repr(C)]
struct Slot<const N: usize> {
    mark: AtomicU64,
    words: [AtomicU64; N],
}

impl<const N: usize> Shared<N> {
    #[inline]
    #[allow(
        clippy::cast_possible_truncation,
        reason = "the mask leaves less than the length of a slice"
    )]
    fn slot(&self, index: u64) -> Option<&Slot<N>> {
        // The mask keeps it in bounds: the length is a power of two.
        self.slots.get(index as usize & (self.slots.len() - 1))
    }
}

/// The end that writes. One thread at a time owns it.
#[derive(Debug)]
pub struct Writer<const N: usize> {
    shared: Arc<Shared<N>>,
    next: u64,
}

impl<const N: usize> Writer<N> {
    /// Writes a message over the oldest.
    #[inline]
    pub fn write(&mut self, message: [u64; N]) {
        let Some(slot) = self.shared.slot(self.next) else {
            return;
        };
        let mark = 2 * self.next + 1;
        // Pairs with the fence in `Reader::overtaken`: who sees this sees everything that came before it.
        slot.mark.store(mark, Ordering::Release);
        // Pairs with the Acquire fence in `Reader::read`: who sees a new word sees the mark, too.
        fence(Ordering::Release);
        for (place, word) in slot.words.iter().zip(message) {
            place.store(word, Ordering::Relaxed);
        }
        // Pairs with the first load of the mark in `Reader::read`.
        slot.mark.store(mark + 1, Ordering::Release);
        self.next += 1;
        // Pairs with the Acquire load in `Reader::read`: the message before it can be read.
        self.shared.written.store(self.next, Ordering::Release);
    }

    /// Messages ever written: the number of the next one.
    #[inline]
    #[must_use]
    pub fn written(&self) -> u64 {
        self.next
    }

    /// Messages that are kept.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.shared.slots.len()
    }

    /// A reader of what is written from now on.
    #[must_use]
    pub fn reader(&self) -> Reader<N> {
        Reader {
            shared: Arc::clone(&self.shared),
            next: self.next,
        }
    }

    /// Brings the next message's place near: a ring is larger than the cache. For quiet moments.
    #[inline]
    pub fn prefetch(&self) {
        if let Some(slot) = self.shared.slot(self.next) {
            prefetch(std::ptr::from_ref(&slot.mark));
            if let Some(last) = slot.words.last() {
                prefetch(std::ptr::from_ref(last));
            }
        }
    }
}

/// What a reader finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read<const N: usize> {
    /// The next message.
    Message([u64; N]),
    /// There is none yet.
    Nothing,
    /// The writer is a lap ahead: this many messages, one at least, are lost to this reader, and the next is
    /// the newest that was there.
    Missed(u64),
}

/// A place in the ring. One thread at a time owns it.
#[derive(Clone, Debug)]
pub struct Reader<const N: usize> {
    shared: Arc<Shared<N>>,
    next: u64,
}

impl<const N: usize> Reader<N> {
    /// Takes the next message, if it is there.
    #[inline]
    pub fn read(&mut self) -> Read<N> {
        let Some(slot) = self.shared.slot(self.next) else {
            return Read::Nothing;
        };
        let mine = 2 * self.next + 2;
        // Pairs with the Release store at the end of `Writer::write`.
        let mark = slot.mark.load(Ordering::Acquire);
        if mark < mine {
            return Read::Nothing;
        }
        if mark == mine {
            let words = slot
                .words
                .each_ref()
                .map(|word| word.load(Ordering::Relaxed));
            // Pairs with the Release fence in `Writer::write`.
            fence(Ordering::Acquire);
            if slot.mark.load(Ordering::Relaxed) == mine {
                self.next += 1;
                return Read::Message(words);
            }
        }
        self.overtaken()
    }

    /// The number of the message that is read next, counted from the ring's first.
    #[inline]
    #[must_use]
    pub fn position(&self) -> u64 {
        self.next
    }

    /// Goes on to a later message; an earlier one changes nothing.
    pub fn skip_to(&mut self, position: u64) {
        self.next = self.next.max(position);
    }

    #[cold]
    fn overtaken(&mut self) -> Read<N> {
        // Pairs with the first Release store in `Writer::write`: `written` is what it was then, or more, and
        // what the writer did elsewhere before that can be seen.
        fence(Ordering::Acquire);
        let written = self.shared.written.load(Ordering::Acquire);
        // In a ring of one the newest message is the one that is being written.
        let newest = written.saturating_sub(1).max(self.next + 1);
        let missed = newest - self.next;
        self.next = newest;
        Read::Missed(missed)
    }
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capacity_must_be_a_power_of_two() {
        for capacity in [0, 3, 6, 1000] {
            assert!(broadcast::<1>(capacity).is_err());
        }
    }

    #[test]
    fn readers_hear_what_is_written_after_they_began_each_at_its_own_place() {
        let mut writer = broadcast(4).unwrap();
        writer.write([1]);
        let mut first = writer.reader();
        assert_eq!(first.read(), Read::Nothing);
        writer.write([2]);
        let mut second = writer.reader();
        writer.write([3]);
        assert_eq!(first.read(), Read::Message([2]));
        assert_eq!(first.read(), Read::Message([3]));
        assert_eq!(second.read(), Read::Message([3]));
        assert_eq!(
            (first.read(), second.read()),
            (Read::Nothing, Read::Nothing)
        );
    }

    #[test]
    fn who_is_overtaken_learns_how_many_it_missed_and_goes_on_with_the_newest() {
        let mut writer = broadcast(4).unwrap();
        let mut reader = writer.reader();
        for n in 0..4 {
            writer.write([n]);
        }
        assert_eq!(reader.read(), Read::Message([0]), "all four are there");
        for n in 4..10 {
            writer.write([n]);
        }
        assert_eq!(reader.read(), Read::Missed(8));
        assert_eq!(reader.position(), 9);
        assert_eq!(reader.read(), Read::Message([9]));
        assert_eq!(reader.read(), Read::Nothing);
    }

    #[test]
    fn ring_of_one_keeps_the_newest() {
        let mut writer = broadcast(1).unwrap();
        let mut reader = writer.reader();
        for n in 0..3 {
            writer.write([n]);
        }
        assert_eq!(reader.read(), Read::Missed(2));
        assert_eq!(reader.read(), Read::Message([2]));
    }

    #[test]
    fn reader_may_skip_ahead_but_not_back() {
        let mut writer = broadcast(4).unwrap();
        let mut reader = writer.reader();
        (0..3).for_each(|n| writer.write([n]));
        reader.skip_to(2);
        reader.skip_to(1);
        assert_eq!(reader.read(), Read::Message([2]));
    }

    #[test]
    fn agrees_with_a_list_under_random_use() {
        let mut random = fastrand::Rng::with_seed(7);
        for capacity in [1, 2, 8, 64] {
            let mut writer = broadcast(capacity).unwrap();
            let mut readers = [writer.reader(), writer.reader(), writer.reader()];
            let mut heard = [0; 3];
            for n in 0..20_000u64 {
                writer.write([n, !n]);
                for (reader, heard) in readers.iter_mut().zip(&mut heard) {
                    for _ in 0..random.u64(0..4) {
                        match reader.read() {
                            Read::Message(words) => {
                                assert_eq!(words, [*heard, !*heard]);
                                *heard += 1;
                            }
                            Read::Nothing => assert_eq!(*heard, n + 1),
                            Read::Missed(count) => {
                                assert!(n + 1 - *heard > capacity as u64);
                                assert_eq!(*heard + count, n);
                                *heard = n;
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn threads_hear_each_message_once_whole_and_in_order_or_count_it_as_missed() {
        const MESSAGES: u64 = 300_000;
        let mut writer = broadcast::<9>(256).unwrap();
        let readers = [(); 3].map(|()| {
            let mut reader = writer.reader();
            std::thread::spawn(move || {
                let (mut next, mut heard) = (0, 0u64);
                while next < MESSAGES {
                    match reader.read() {
                        Read::Message(words) => {
                            assert_eq!(words, [next; 9]);
                            (next, heard) = (next + 1, heard + 1);
                        }
                        Read::Missed(count) => next += count,
                        Read::Nothing => std::thread::yield_now(),
                    }
                }
                heard
            })
        });
        for n in 0..MESSAGES {
            writer.write([n; 9]);
            if n.is_multiple_of(64) {
                std::thread::yield_now();
            }
        }
        for reader in readers {
            assert!(reader.join().unwrap() > 0);
        }
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use loom::thread;

    use super::*;
    use crate::sync::model;

    /// What a reader says of `count` messages that are `[n, n]`, and where that leaves it.
    fn hear<const N: usize>(reader: &mut Reader<N>, next: &mut u64) {
        match reader.read() {
            Read::Message(words) => {
                assert_eq!(words, [*next; N]);
                *next += 1;
            }
            Read::Missed(count) => {
                assert!(count > 0);
                *next += count;
            }
            Read::Nothing => {}
        }
        assert_eq!(reader.position(), *next);
    }

    fn check(capacity: usize, messages: u64, reads: u32) {
        model(move || {
            let mut writer = broadcast::<2>(capacity).unwrap();
            let mut reader = writer.reader();
            let thread = thread::spawn(move || {
                for n in 0..messages {
                    writer.write([n, n]);
                }
                writer
            });
            let mut next = 0;
            for _ in 0..reads {
                hear(&mut reader, &mut next);
            }
            let writer = thread.join().unwrap();
            assert_eq!(writer.written(), messages);
            // With everything written, everything is heard or counted.
            for _ in 0..=messages {
                hear(&mut reader, &mut next);
            }
            assert_eq!(next, messages);
            assert_eq!(reader.read(), Read::Nothing);
        });
    }

    #[test]
    fn loom_reader_hears_each_message_whole_or_counts_it() {
        check(2, 3, 3);
    }

    #[test]
    fn loom_ring_of_one_is_never_read_torn() {
        check(1, 3, 3);
    }

    #[test]
    fn loom_two_readers_do_not_disturb_one_another() {
        model(|| {
            let mut writer = broadcast::<1>(1).unwrap();
            let readers = [(); 2].map(|()| {
                let mut reader = writer.reader();
                thread::spawn(move || {
                    let mut next = 0;
                    hear(&mut reader, &mut next);
                    hear(&mut reader, &mut next);
                    assert!(next <= 2);
                })
            });
            writer.write([0]);
            writer.write([1]);
            for reader in readers {
                reader.join().unwrap();
            }
        });
    }
}
