//! How far something is that a start waits for: a bar where standard error is a terminal, else a line of the log now and then.
//!
//! Thread:      main
//! Time:        comes in as `now_ns`.

use std::io::{IsTerminal as _, Write as _};

/// How often the log says it: once a second.
const LOGGED_EVERY_NS: u64 = 1_000_000_000;
/// How often the bar is drawn.
const DRAWN_EVERY_NS: u64 = 100_000_000;
/// Characters of a full bar.
const BAR: usize = 30;
/// Goes back to the line's beginning and clears it.
const CLEAR: &str = "\r\x1b[K";

/// Something long.
#[derive(Debug)]
pub(super) struct Progress {
    what: &'static str,
    unit: &'static str,
    is_terminal: bool,
    told_ns: u64,
    /// A bar stands on the terminal's last line.
    is_drawn: bool,
}

impl Progress {
    /// It begins: `what` is said before the counts, `unit` after them.
    pub(super) fn begin(what: &'static str, unit: &'static str, now_ns: u64) -> Self {
        Self {
            what,
            unit,
            is_terminal: std::io::stderr().is_terminal(),
            told_ns: now_ns,
            is_drawn: false,
        }
    }

    /// So much of so much is done.
    pub(super) fn set(&mut self, done: u64, of: u64, now_ns: u64) {
        if !self.is_due(now_ns) {
            return;
        }
        let Self { what, unit, .. } = *self;
        if self.is_terminal {
            self.is_drawn = true;
            draw(&format!(
                "{CLEAR}{what} {} {done} of {of} {unit}",
                bar(done, of)
            ));
        } else {
            log::info!("{what} {done} of {of} {unit}");
        }
    }

    /// Makes room for something else that is to be said.
    pub(super) fn give_way(&mut self) {
        if std::mem::take(&mut self.is_drawn) {
            draw(CLEAR);
        }
    }

    /// What takes less than the time between two looks is never told.
    fn is_due(&mut self, now_ns: u64) -> bool {
        let every_ns = if self.is_terminal {
            DRAWN_EVERY_NS
        } else {
            LOGGED_EVERY_NS
        };
        let is_due = now_ns.saturating_sub(self.told_ns) >= every_ns;
        if is_due {
            self.told_ns = now_ns;
        }
        is_due
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.give_way();
    }
}

/// A terminal that is gone is nobody's concern.
fn draw(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}

fn bar(done: u64, of: u64) -> String {
    let share = done.min(of) as f64 / of.max(1) as f64;
    let full: String = (0..BAR)
        .map(|at| {
            if (at as f64) < share * BAR as f64 {
                '#'
            } else {
                '.'
            }
        })
        .collect();
    format!("[{full}]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_hears_of_it_once_a_second_and_not_of_what_is_short() {
        let mut progress = Progress::begin("read", "MiB", 5);
        progress.is_terminal = false;
        let said = [
            0,
            1,
            LOGGED_EVERY_NS,
            LOGGED_EVERY_NS + 1,
            2 * LOGGED_EVERY_NS,
        ];
        let said = said.map(|after_ns| progress.is_due(5 + after_ns));
        assert_eq!(said, [false, false, true, false, true]);
    }

    #[test]
    fn bar_is_as_full_as_the_work_is_done() {
        let full = |done, of| bar(done, of).matches('#').count();
        assert_eq!([full(0, 10), full(5, 10), full(10, 10)], [0, 15, 30]);
        assert_eq!([full(0, 0), full(9, 5)], [0, 30], "nothing to do, and more");
        assert_eq!(bar(1, 3).len(), BAR + 2);
    }
}
