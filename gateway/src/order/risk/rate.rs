//! How many of something there may be in a window of time.
//!
//! Thread:      order core, hot
//! Invariants:  no window of that length holds more: the one that went a limit's worth ago has to be older.

/// The times of the last ones, as many as there may be.
#[derive(Debug)]
pub(super) struct Rate {
    /// A ring; 0: not yet used. Empty: any number may go.
    noted_ns: Box<[u64]>,
    next: usize,
    window_ns: u64,
}

impl Rate {
    /// At most `count_max` in any `window_ns`; 0: any number.
    pub(super) fn new(count_max: u32, window_ns: u64) -> Self {
        Self {
            noted_ns: vec![0; count_max as usize].into_boxed_slice(),
            next: 0,
            window_ns,
        }
    }

    /// The place that the next one will take.
    #[inline]
    pub(super) fn oldest(&self) -> Option<&u64> {
        self.noted_ns.get(self.next)
    }

    /// Whether one more would be too many.
    #[inline]
    pub(super) fn is_full(&self, now_ns: u64) -> bool {
        self.oldest()
            .is_some_and(|oldest_ns| *oldest_ns != 0 && now_ns < *oldest_ns + self.window_ns)
    }

    /// One more has gone.
    #[inline]
    pub(super) fn note(&mut self, now_ns: u64) {
        if let Some(oldest_ns) = self.noted_ns.get_mut(self.next) {
            *oldest_ns = now_ns;
            self.next += 1;
            if self.next == self.noted_ns.len() {
                self.next = 0;
            }
        }
    }
}
