//! A few words that one thread writes and any number read, whole or not at all, without a lock: a seqlock.
//!
//! ```text
//!     writer                                     reader
//!     version odd, fence(Release)                version --Acquire--, words
//!     words                                      fence(Acquire), version again: moved or odd? once more
//!     version even --Release-->
//! ```
//!
//! Guarantees:  wait-free for the writer, which never looks at readers. What a reader gets was there at one
//!              moment, and never older than what it got before.
//! When wrong:  a reader gives up after [`LOOKS_MAX`] looks: the writer lost its CPU in the middle.
//! Layout:      version and words side by side; who needs a cache line of its own aligns what holds them.
//! Unsafe:      none. The words are atomic, so a reader that comes in between reads old or new ones, and
//!              throws them away.

#[cfg(not(loom))]
use zerocopy::FromZeros;

use crate::sync::{AtomicU64, Ordering, fence, spin_loop};

/// Looks at the words before giving up. A write takes a few nanoseconds, so two are common and this many
/// mean that the writing core lost its CPU.
#[cfg(not(loom))]
pub const LOOKS_MAX: u32 = 1000;
/// As few as show every way through.
#[cfg(loom)]
pub const LOOKS_MAX: u32 = 2;

/// `N` words and their version.
#[derive(Debug)]
#[cfg_attr(not(loom), derive(FromZeros))]
#[repr(C)]
pub struct Versioned<const N: usize> {
    version: AtomicU64,
    words: [AtomicU64; N],
}

impl<const N: usize> Default for Versioned<N> {
    fn default() -> Self {
        Self {
            version: AtomicU64::new(0),
            words: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

impl<const N: usize> Versioned<N> {
    /// Replaces the words. Only the one owner may: two at once would let readers see a mixture.
    #[inline]
    pub fn store(&self, words: [u64; N]) {
        let version = self.version.load(Ordering::Relaxed);
        self.version
            .store(version.wrapping_add(1), Ordering::Relaxed);
        // Pairs with the Acquire fence in `load`: who sees a new word sees the odd version too.
        fence(Ordering::Release);
        for (place, word) in self.words.iter().zip(words) {
            place.store(word, Ordering::Relaxed);
        }
        // Pairs with the Acquire load in `load`.
        self.version
            .store(version.wrapping_add(2), Ordering::Release);
    }

    /// The words; `None` when they kept moving.
    #[inline]
    #[must_use]
    pub fn load(&self) -> Option<[u64; N]> {
        for _ in 0..LOOKS_MAX {
            // Pairs with the Release store at the end of `store`.
            let before = self.version.load(Ordering::Acquire);
            let words = self
                .words
                .each_ref()
                .map(|word| word.load(Ordering::Relaxed));
            // Pairs with the Release fence in `store`.
            fence(Ordering::Acquire);
            if before.is_multiple_of(2) && self.version.load(Ordering::Relaxed) == before {
                return Some(words);
            }
            spin_loop();
        }
        None
    }

    /// The words as their owner has written them, to whom no version is needed.
    #[inline]
    #[must_use]
    pub fn own(&self) -> [u64; N] {
        self.words
            .each_ref()
            .map(|word| word.load(Ordering::Relaxed))
    }
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn words_are_never_seen_torn_or_older_than_before() {
        const CHANGES: u64 = 300_000;
        let row = Arc::new(Versioned::<3>::default());
        let writer = Arc::clone(&row);
        let thread = std::thread::spawn(move || {
            for n in 1..=CHANGES {
                writer.store([n; 3]);
            }
        });
        let mut last = 0;
        while last < CHANGES {
            let Some(words) = row.load() else { continue };
            assert_eq!(words, [words[0]; 3]);
            assert!(words[0] >= last);
            last = words[0];
        }
        thread.join().unwrap();
    }

    #[test]
    fn writer_that_stopped_in_the_middle_is_given_up() {
        let row = Versioned::<2>::default();
        row.store([1, 2]);
        assert_eq!((row.load(), row.own()), (Some([1, 2]), [1, 2]));
        row.version.store(3, Ordering::Relaxed);
        assert_eq!(row.load(), None);
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use loom::thread;

    use super::*;
    use crate::sync::{Arc, model};

    #[test]
    fn loom_words_are_whole_and_never_older_than_before() {
        model(|| {
            let row = Arc::new(Versioned::<2>::default());
            let writer = Arc::clone(&row);
            let thread = thread::spawn(move || {
                writer.store([1, 1]);
                writer.store([2, 2]);
            });
            let mut last = 0;
            for _ in 0..2 {
                if let Some([a, b]) = row.load() {
                    assert_eq!(a, b);
                    assert!(a >= last);
                    last = a;
                }
            }
            thread.join().unwrap();
            assert_eq!(row.load(), Some([2, 2]));
        });
    }
}
