//! Time that a spinning core lost: between two looks at the clock nothing of its own lies.

use serde::{Deserialize, Serialize};

/// Gaps between two looks at the clock, by length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stalls {
    /// Looks at the clock.
    pub looks: u64,
    /// Gaps over 1 µs; the longer ones among them.
    pub over_1us: u64,
    /// Over 10 µs.
    pub over_10us: u64,
    /// Over 100 µs.
    pub over_100us: u64,
    /// Over 1 ms.
    pub over_1ms: u64,
    /// The longest, ns.
    pub longest_ns: u64,
}

impl Stalls {
    /// Takes a gap in.
    #[inline]
    pub fn see(&mut self, gap_ns: u64) {
        self.looks += 1;
        if gap_ns > 1_000 {
            self.over_1us += 1;
            self.over_10us += u64::from(gap_ns > 10_000);
            self.over_100us += u64::from(gap_ns > 100_000);
            self.over_1ms += u64::from(gap_ns > 1_000_000);
        }
        self.longest_ns = self.longest_ns.max(gap_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gap_counts_below_every_bound_that_it_passes() {
        let mut stalls = Stalls::default();
        for gap_ns in [9, 1_000, 1_001, 10_001, 100_001, 1_000_001, 20] {
            stalls.see(gap_ns);
        }
        let wanted = Stalls {
            looks: 7,
            over_1us: 4,
            over_10us: 3,
            over_100us: 2,
            over_1ms: 1,
            longest_ns: 1_000_001,
        };
        assert_eq!(stalls, wanted);
    }
}
