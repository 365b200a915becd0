//! How many of something there may be in a window of time.
//!
//! ```text
//!  | . | 9 | 3 | 4 | 5 | 6 | 7 | 8 | . |      a limit of 4, a ring for 9
//!            next ^  oldest: the one that went 4 ago
//! ```
//!
//! Thread:      order core, hot
//! Invariants:  no window of that length holds more: the one that went a limit's worth ago has to be older. A limit
//!              that changes counts what went before, as far as it was counted then.

/// As many as are kept where any number may go: a limit that is set later finds room for itself.
pub(super) const ROOM_MIN: u32 = 10_000;
/// A place in no ring: any number may go, and none is kept.
const NOWHERE: usize = usize::MAX;

/// The times of the last ones, as many as there ever may be.
#[derive(Debug)]
pub(super) struct Rate {
    /// A ring; 0: not yet used.
    noted_ns: Box<[u64]>,
    next: usize,
    /// The place of the one that went a limit's worth ago.
    oldest: usize,
    window_ns: u64,
}

impl Rate {
    /// At most `count_max` in any `window_ns`; 0: any number.
    pub(super) fn new(count_max: u32, window_ns: u64) -> Self {
        let room = if count_max == 0 { ROOM_MIN } else { count_max };
        let mut rate = Self {
            noted_ns: vec![0; room as usize].into_boxed_slice(),
            next: 0,
            oldest: 0,
            window_ns,
        };
        rate.set_max(count_max);
        rate
    }

    /// At most `count_max` from now on, as far as there is room: as many as at the start, or [`ROOM_MIN`] where that
    /// was any number. 0: any number.
    pub(super) fn set_max(&mut self, count_max: u32) {
        let room = self.noted_ns.len();
        if count_max == 0 {
            (self.next, self.oldest) = (NOWHERE, NOWHERE);
            return;
        }
        if self.next == NOWHERE {
            self.noted_ns.fill(0);
            self.next = 0;
        }
        let count = room.min(count_max as usize);
        self.oldest = (self.next + room - count) % room;
    }

    /// The window has this length from now on.
    pub(super) fn set_window(&mut self, window_ns: u64) {
        self.window_ns = window_ns;
    }

    /// The time of the one that went a limit's worth ago.
    #[inline]
    pub(super) fn oldest(&self) -> Option<&u64> {
        self.noted_ns.get(self.oldest)
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
        let room = self.noted_ns.len();
        if let Some(noted_ns) = self.noted_ns.get_mut(self.next) {
            *noted_ns = now_ns;
            self.next = behind(self.next, room);
            self.oldest = behind(self.oldest, room);
        }
    }
}

/// The place behind this one in a ring.
#[inline]
fn behind(place: usize, room: usize) -> usize {
    if place + 1 == room { 0 } else { place + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_window_holds_more_than_the_limit_of_its_end_whatever_was_set_before() {
        for seed in 0..500 {
            let mut random = fastrand::Rng::with_seed(seed);
            let (start, window_ns) = (random.u32(1..8), 10);
            let (mut rate, mut limit) = (Rate::new(start, window_ns), start);
            let (mut gone, mut now_ns): (Vec<u64>, u64) = (Vec::new(), 1);
            for _ in 0..200 {
                now_ns += random.u64(0..4);
                if random.u8(0..10) == 0 {
                    limit = random.u32(1..=start);
                    rate.set_max(limit);
                }
                let within = gone.iter().filter(|it| now_ns < **it + window_ns).count();
                let is_full = within >= limit as usize;
                assert_eq!(rate.is_full(now_ns), is_full, "seed {seed}");
                if !is_full {
                    rate.note(now_ns);
                    gone.push(now_ns);
                }
            }
        }
    }

    #[test]
    fn any_number_goes_until_a_limit_is_set_and_again_when_it_is_taken_away() {
        let mut rate = Rate::new(0, 10);
        let fill = |rate: &mut Rate| {
            let mut count = 0;
            while count < 100 && !rate.is_full(5) {
                rate.note(5);
                count += 1;
            }
            count
        };
        assert_eq!(fill(&mut rate), 100);
        rate.set_max(3);
        assert_eq!(fill(&mut rate), 3);
        rate.set_max(0);
        assert_eq!(fill(&mut rate), 100);
        rate.set_max(ROOM_MIN + 1);
        assert_eq!(rate.noted_ns.len(), ROOM_MIN as usize);
        assert_eq!(fill(&mut rate), 100);
        rate.set_window(20);
        assert!(!rate.is_full(16));
        rate.set_max(100);
        assert!(rate.is_full(16) && !rate.is_full(25));
    }
}
