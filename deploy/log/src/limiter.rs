//! How many lines there may be: a budget for each second, and one of its own for errors, so that no storm of news hides one.
//!
//! Thread:      any, without a lock: two that begin a second at once may let a few more lines in

use std::sync::atomic::{AtomicU64, Ordering};

use log::Level;

/// Lines of a second, and as many errors. A start writes some 50; a disk takes these for years.
pub const LINES_PER_SECOND: u64 = 200;

const SECOND_NS: u64 = 1_000_000_000;

/// The budgets.
#[derive(Debug, Default)]
pub(crate) struct Limiter {
    news: Budget,
    errors: Budget,
    left_out: AtomicU64,
}

#[derive(Debug, Default)]
struct Budget {
    second: AtomicU64,
    lines: AtomicU64,
}

/// What becomes of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Passed {
    pub(crate) is_in: bool,
    /// Lines before it that were not, and of which nobody was told.
    pub(crate) left_out: u64,
}

impl Limiter {
    pub(crate) fn pass(&self, level: Level, now_ns: u64) -> Passed {
        let budget = if level == Level::Error {
            &self.errors
        } else {
            &self.news
        };
        if budget.spend(now_ns / SECOND_NS) {
            let left_out = self.left_out.swap(0, Ordering::Relaxed);
            Passed {
                is_in: true,
                left_out,
            }
        } else {
            self.left_out.fetch_add(1, Ordering::Relaxed);
            Passed {
                is_in: false,
                left_out: 0,
            }
        }
    }
}

impl Budget {
    fn spend(&self, second: u64) -> bool {
        if self.second.swap(second, Ordering::Relaxed) != second {
            self.lines.store(0, Ordering::Relaxed);
        }
        self.lines.fetch_add(1, Ordering::Relaxed) < LINES_PER_SECOND
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn storm_is_cut_counted_once_and_hides_no_error() {
        let limiter = Limiter::default();
        let now_ns = 7 * SECOND_NS;
        let passed = (0..1_000).filter(|_| limiter.pass(Level::Info, now_ns).is_in);
        assert_eq!(passed.count() as u64, LINES_PER_SECOND);
        let error = limiter.pass(Level::Error, now_ns + 1);
        let left_out = 1_000 - LINES_PER_SECOND;
        assert_eq!(
            error,
            Passed {
                is_in: true,
                left_out
            }
        );
        assert!(!limiter.pass(Level::Warn, now_ns + 2).is_in);
        let next = limiter.pass(Level::Info, now_ns + SECOND_NS);
        assert_eq!(
            next,
            Passed {
                is_in: true,
                left_out: 1
            }
        );
        assert_eq!(limiter.pass(Level::Info, now_ns + SECOND_NS).left_out, 0);
        let passed = (0..1_000).filter(|_| limiter.pass(Level::Error, 9 * SECOND_NS).is_in);
        assert_eq!(passed.count() as u64, LINES_PER_SECOND);
    }
}
