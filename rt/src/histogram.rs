//! Latency histogram that one thread writes and another reads, without a lock.
//!
//! ```text
//!  0 .. 2047 ns         one slot a nanosecond
//!  2048 .. 4095         one slot for 2 ns        the slots of HdrHistogram at three significant
//!  4096 .. 8191         one slot for 4 ns        digits, so what is gathered is exact
//!  ...  up to 10 s
//! ```
//!
//! Invariants:  one [`Recorder`] for each histogram, so a plain load and store adds; a reader may be
//!              behind by what is being added, never torn.
//! When wrong:  a value beyond [`MAX_NS`] counts as that.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hdrhistogram::Histogram;

use crate::mem::prefetch;

/// The largest value that is told apart: 10 s. Whatever takes longer is not latency but a fault.
pub const MAX_NS: u64 = 10_000_000_000;
/// Significant decimal digits.
pub const DIGITS: u8 = 3;

/// Linear part of each power of two: 2^10 slots keep three digits.
const HALF_BITS: u32 = 10;
/// Slots that HdrHistogram counts to a bucket: both halves.
pub const SUB_BUCKETS: usize = 2 << HALF_BITS;
const SLOTS: usize = slot_of(MAX_NS) + 1;

/// The writing end.
#[derive(Debug)]
pub struct Recorder {
    slots: Arc<[AtomicU64]>,
    /// Where the last value went: the next one is likely to go near it.
    last: usize,
}

/// The reading end.
#[derive(Clone, Debug)]
pub struct Reader {
    slots: Arc<[AtomicU64]>,
}

impl Default for Recorder {
    fn default() -> Self {
        Self::new()
    }
}

impl Recorder {
    /// An empty histogram; takes 200 KiB.
    #[must_use]
    pub fn new() -> Self {
        Self {
            slots: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(),
            last: 0,
        }
    }

    /// Adds one value.
    #[inline]
    pub fn record(&mut self, value_ns: u64) {
        self.last = slot_of(value_ns.min(MAX_NS));
        if let Some(slot) = self.slots.get(self.last) {
            // One writer: no read-modify-write is needed.
            slot.store(slot.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        }
    }

    /// Brings near where the last value went, and waits for nothing.
    #[inline]
    pub fn prefetch(&self) {
        prefetch(self.slots.as_ptr().wrapping_add(self.last));
    }

    /// An end to read from.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader {
            slots: Arc::clone(&self.slots),
        }
    }
}

impl Reader {
    /// Everything recorded so far.
    #[must_use]
    pub fn snapshot(&self) -> Histogram<u64> {
        let mut out = empty();
        for (index, slot) in self.slots.iter().enumerate() {
            let count = slot.load(Ordering::Relaxed);
            if count > 0 {
                out.saturating_record_n(value_of(index), count);
            }
        }
        out
    }
}

/// Declares the histograms that a stage writes, each with what it runs from and to.
#[macro_export]
macro_rules! histograms {
    ($(#[$doc:meta])* pub struct $name:ident { $(#[doc = $text:literal] $field:ident,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        pub struct $name {
            $(#[doc = $text] pub $field: $crate::histogram::Recorder,)+
        }

        impl $name {
            /// Every histogram: name, and what it runs from and to.
            pub const NAMES: &'static [(&'static str, &'static str)] =
                &[$((stringify!($field), $text.trim_ascii())),+];

            /// Brings near where each one's last value went, and waits for nothing.
            #[inline]
            pub fn prefetch(&self) {
                $(self.$field.prefetch();)+
            }

            /// Every histogram by name, to be read by housekeeping.
            #[must_use]
            pub fn readers(&self) -> Vec<(&'static str, $crate::histogram::Reader)> {
                vec![$((stringify!($field), self.$field.reader())),+]
            }
        }
    };
}

/// An empty HdrHistogram with this file's bounds.
#[must_use]
pub fn empty() -> Histogram<u64> {
    #[expect(clippy::expect_used, reason = "constant bounds, tried by every test")]
    Histogram::new_with_bounds(1, MAX_NS, DIGITS).expect("1 ns to 10 s at three digits")
}

/// The slot of a value: its top eleven bits and how far they were shifted.
#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "11 bits are left after the shift"
)]
const fn slot_of(value: u64) -> usize {
    let shift = (u64::BITS - (value | 1).leading_zeros()).saturating_sub(HALF_BITS + 1);
    ((shift as usize) << HALF_BITS) + (value >> shift) as usize
}

/// The smallest value of a slot.
fn value_of(index: usize) -> u64 {
    let half = 1 << HALF_BITS;
    let shift = (index >> HALF_BITS).saturating_sub(1);
    let top = if shift == 0 {
        index
    } else {
        half + (index & (half - 1))
    };
    (top as u64) << shift
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_contiguous_and_hold_their_values() {
        for index in 0..SLOTS {
            assert_eq!(slot_of(value_of(index)), index);
        }
        for power in 0..33 {
            for value in [(1u64 << power) - 1, 1 << power, (1 << power) + 1] {
                let lowest = value_of(slot_of(value));
                assert!(
                    lowest <= value && value - lowest <= value / 1000,
                    "{value}: {lowest}"
                );
            }
        }
    }

    #[test]
    fn percentiles_are_those_of_hdrhistogram() {
        let mut random = fastrand::Rng::with_seed(3);
        let mut ours = Recorder::new();
        let mut theirs = empty();
        for _ in 0..200_000 {
            let value = 1u64 << random.u32(0..34);
            let value = random.u64(value / 2..=value).min(MAX_NS);
            ours.record(value);
            theirs.saturating_record(value);
        }
        let ours = ours.reader().snapshot();
        assert_eq!(ours.len(), theirs.len());
        for quantile in [0.0, 0.5, 0.9, 0.99, 0.999, 0.9999, 1.0] {
            assert_eq!(
                ours.value_at_quantile(quantile),
                theirs.value_at_quantile(quantile)
            );
        }
    }

    #[test]
    fn beyond_the_bound_counts_as_the_bound() {
        let mut recorder = Recorder::new();
        recorder.record(u64::MAX);
        let snapshot = recorder.reader().snapshot();
        assert_eq!(snapshot.len(), 1);
        assert!(snapshot.max() >= MAX_NS);
    }
}
