//! Which lines of a feed speak, and which have been silent for too long.
//!
//! Thread:      feed core, hot
//! Invariants:  a line is silent from `silent_ns` after it was last heard until it is heard again; a
//!              line that was never heard, from `silent_ns` after the start. The feed is silent when every
//!              line is, and when what they say is old: copies of what was heard before prove that a line
//!              lives, not that the feed does.
//! Time:        comes in as `now_ns`. A silent line is seen when somebody looks at or after `look_ns`.

/// Lines of one feed at most: what `source::Packet::line` can tell, bounded by the bits of a mask.
pub(crate) const LINES_MAX: usize = 64;

#[derive(Clone, Copy, Debug)]
struct Line {
    heard_ns: u64,
    is_silent: bool,
}

/// The lines of one feed.
#[derive(Debug)]
pub(crate) struct Lines {
    lines: Box<[Line]>,
    silent_ns: u64,
    look_ns: u64,
    /// When a packet last told where the stream is.
    current_ns: u64,
    is_started: bool,
}

impl Lines {
    /// # Panics
    /// No line, or more than [`LINES_MAX`]; or no time at all to be silent.
    pub(crate) fn new(count: usize, silent_ns: u64) -> Self {
        assert!((1..=LINES_MAX).contains(&count), "{count} lines");
        assert!(silent_ns > 0, "a line may be silent for some time");
        let line = Line {
            heard_ns: 0,
            is_silent: false,
        };
        Self {
            lines: vec![line; count].into_boxed_slice(),
            silent_ns,
            look_ns: 0,
            current_ns: 0,
            is_started: false,
        }
    }

    /// When to look next.
    #[inline]
    pub(crate) fn look_ns(&self) -> u64 {
        self.look_ns
    }

    /// A packet of the running session came. Returns whether the line had been silent.
    #[inline]
    pub(crate) fn on_heard(&mut self, line: u8, now_ns: u64) -> bool {
        let Some(line) = self.lines.get_mut(usize::from(line)) else {
            return false;
        };
        line.heard_ns = now_ns;
        std::mem::replace(&mut line.is_silent, false)
    }

    /// A packet told where the stream is.
    #[inline]
    pub(crate) fn on_current(&mut self, now_ns: u64) {
        self.current_ns = now_ns;
    }

    /// Looks at every line. Returns how many have become silent.
    #[cold]
    pub(crate) fn look(&mut self, now_ns: u64) -> u64 {
        if !self.is_started {
            self.is_started = true;
            self.current_ns = self.current_ns.max(now_ns);
            for line in &mut self.lines {
                line.heard_ns = line.heard_ns.max(now_ns);
            }
        }
        let mut fell_silent = 0;
        let mut next_ns = now_ns.saturating_add(self.silent_ns);
        let old_ns = self.current_ns.saturating_add(self.silent_ns);
        if old_ns > now_ns {
            next_ns = next_ns.min(old_ns);
        }
        for line in self.lines.iter_mut().filter(|line| !line.is_silent) {
            let due_ns = line.heard_ns.saturating_add(self.silent_ns);
            if due_ns <= now_ns {
                line.is_silent = true;
                fell_silent += 1;
            } else {
                next_ns = next_ns.min(due_ns);
            }
        }
        self.look_ns = next_ns;
        fell_silent
    }

    /// A bit for each silent line.
    pub(crate) fn silent_mask(&self) -> u64 {
        let bits = self.lines.iter().zip(0..);
        bits.fold(0, |mask, (line, bit)| {
            mask | u64::from(line.is_silent) << bit
        })
    }

    /// Whether no line says anything new: every line is silent, or what they say is old.
    pub(crate) fn is_feed_silent(&self, now_ns: u64) -> bool {
        let is_old = self.current_ns.saturating_add(self.silent_ns) <= now_ns;
        is_old || self.lines.iter().all(|line| line.is_silent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_is_silent_after_its_time_and_until_it_is_heard() {
        let mut lines = Lines::new(2, 100);
        lines.on_current(1000);
        assert_eq!((lines.look(1000), lines.look_ns()), (0, 1100));
        assert!(!lines.on_heard(1, 1050));
        lines.on_current(1050);
        assert!(!lines.is_feed_silent(1149));
        assert_eq!(lines.look(1099), 0);
        assert_eq!((lines.look(1100), lines.silent_mask()), (1, 0b01));
        assert_eq!(lines.look_ns(), 1150);
        assert_eq!((lines.look(1150), lines.silent_mask()), (1, 0b11));
        assert!(lines.is_feed_silent(1150));
        assert_eq!(lines.look(5000), 0);
        assert!(lines.on_heard(0, 6000) && !lines.on_heard(0, 6001));
        assert_eq!(lines.silent_mask(), 0b10);
    }

    #[test]
    fn feed_that_only_repeats_itself_is_silent_though_its_lines_are_not() {
        let mut lines = Lines::new(2, 100);
        lines.look(1000);
        lines.on_current(1000);
        for now_ns in (1010..1200).step_by(10) {
            lines.on_heard(0, now_ns);
            lines.on_heard(1, now_ns);
            lines.look(now_ns);
            assert_eq!(lines.is_feed_silent(now_ns), now_ns >= 1100);
        }
        assert_eq!(lines.silent_mask(), 0);
    }

    #[test]
    fn line_that_is_not_configured_is_nobody() {
        let mut lines = Lines::new(1, 100);
        lines.look(1000);
        assert!(!lines.on_heard(7, 1050));
        assert_eq!(lines.look(1100), 1);
    }
}
