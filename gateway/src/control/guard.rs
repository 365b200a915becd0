//! Tools of operators that say again and again that they are there. Where one falls silent, trading stops: whoever
//! watched it does not any more.
//!
//! Contract:    **`silent` is asked after everything that has arrived was heard, so that a late turn of this thread is
//!              nobody's silence.**
//! Thread:      the control socket's
//! Time:        comes in as `now_ns`
//! When full:   [`GUARDS_MAX`] at one time; one more is refused.

use super::answer::GuardRow;

/// Guards at one time.
pub(super) const GUARDS_MAX: usize = 16;

/// One of them.
#[derive(Debug)]
struct Guard {
    name: String,
    within_ms: u64,
    until_ns: u64,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Guards {
    all: Vec<Guard>,
}

impl Guards {
    /// It is there, and will say so again within this time; whether it is new. `None`: there is no place for it.
    pub(super) fn renew(&mut self, name: &str, within_ms: u64, now_ns: u64) -> Option<bool> {
        let until_ns = now_ns.saturating_add(within_ms.saturating_mul(1_000_000));
        if let Some(known) = self.all.iter_mut().find(|guard| guard.name == name) {
            (known.within_ms, known.until_ns) = (within_ms, until_ns);
            return Some(false);
        }
        if self.all.len() >= GUARDS_MAX {
            return None;
        }
        self.all.push(Guard {
            name: name.to_owned(),
            within_ms,
            until_ns,
        });
        Some(true)
    }

    /// It goes in good order; `false`: it was not there.
    pub(super) fn end(&mut self, name: &str) -> bool {
        let before = self.all.len();
        self.all.retain(|guard| guard.name != name);
        self.all.len() < before
    }

    /// One that has fallen silent, and for how long it must have been, ms; it is told once.
    pub(super) fn silent(&mut self, now_ns: u64) -> Option<(String, u64)> {
        let at = self.all.iter().position(|guard| guard.until_ns < now_ns)?;
        let guard = self.all.swap_remove(at);
        Some((guard.name, guard.within_ms))
    }

    /// As `status` shows them.
    pub(super) fn rows(&self, now_ns: u64) -> Vec<GuardRow> {
        let rows = self.all.iter().map(|guard| GuardRow {
            name: guard.name.clone(),
            within_ms: guard.within_ms,
            left_ms: guard.until_ns.saturating_sub(now_ns) / 1_000_000,
        });
        rows.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn guard_that_does_not_come_back_in_time_is_told_once() {
        let mut guards = Guards::default();
        assert_eq!(guards.renew("desk", 500, 0), Some(true));
        assert_eq!(guards.renew("desk", 500, 400 * MS), Some(false));
        assert_eq!(
            guards.rows(400 * MS).first().map(|it| it.left_ms),
            Some(500)
        );
        assert_eq!(guards.silent(900 * MS), None);
        assert_eq!(guards.silent(901 * MS), Some(("desk".to_owned(), 500)));
        assert_eq!(guards.silent(2_000 * MS), None);
    }

    #[test]
    fn guard_that_ends_is_not_missed_and_others_are() {
        let mut guards = Guards::default();
        guards.renew("desk", 500, 0);
        guards.renew("night", 700, 0);
        assert!(guards.end("desk") && !guards.end("desk"));
        assert_eq!(guards.silent(701 * MS), Some(("night".to_owned(), 700)));
    }

    #[test]
    fn one_more_than_there_is_room_for_is_refused() {
        let mut guards = Guards::default();
        for number in 0..GUARDS_MAX {
            assert_eq!(guards.renew(&number.to_string(), 500, 0), Some(true));
        }
        assert_eq!(guards.renew("one more", 500, 0), None);
        assert_eq!(guards.renew("3", 500, 0), Some(false));
    }
}
