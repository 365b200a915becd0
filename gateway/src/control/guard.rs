//! Tools of operators that say again and again that they are there. Where one falls silent, trading stops: whoever
//! watched it does not any more.
//!
//! Contract:    **`silent` is asked only after everything that has arrived was heard, so that a late turn of this thread is
//!              nobody's silence.**
//! Invariants:  a name is one tool's: its token tells it from another that has the same name.
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
    token: u64,
    within_ms: u64,
    until_ns: u64,
}

/// What a tool says of itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watch<'a> {
    pub(super) name: &'a str,
    pub(super) token: u64,
    pub(super) within_ms: u64,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Guards {
    all: Vec<Guard>,
}

impl Guards {
    /// It is there, and will say so again within its time; whether that is news.
    ///
    /// # Errors
    /// Another has its name, or there is no place for it.
    pub(super) fn renew(&mut self, watch: &Watch<'_>, now_ns: u64) -> Result<bool, String> {
        let until_ns = now_ns.saturating_add(watch.within_ms.saturating_mul(1_000_000));
        if let Some(known) = self.all.iter_mut().find(|guard| guard.name == watch.name) {
            if known.token != watch.token {
                return Err(format!(
                    "{:?} guards already: expected another name",
                    watch.name
                ));
            }
            let is_news = known.within_ms != watch.within_ms;
            (known.within_ms, known.until_ns) = (watch.within_ms, until_ns);
            return Ok(is_news);
        }
        if self.all.len() >= GUARDS_MAX {
            return Err(format!("{GUARDS_MAX} guards watch already, expected fewer"));
        }
        self.all.push(Guard {
            name: watch.name.to_owned(),
            token: watch.token,
            within_ms: watch.within_ms,
            until_ns,
        });
        Ok(true)
    }

    /// It goes in good order; `false`: it was not there, or another has its name.
    pub(super) fn end(&mut self, name: &str, token: u64) -> bool {
        let before = self.all.len();
        self.all
            .retain(|guard| (guard.name.as_str(), guard.token) != (name, token));
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

    fn watch(name: &str, within_ms: u64) -> Watch<'_> {
        Watch {
            name,
            token: 7,
            within_ms,
        }
    }

    #[test]
    fn guard_that_does_not_come_back_in_time_is_told_once() {
        let mut guards = Guards::default();
        assert_eq!(guards.renew(&watch("desk", 500), 0), Ok(true));
        assert_eq!(guards.renew(&watch("desk", 500), 400 * MS), Ok(false));
        let left_ms = guards.rows(400 * MS).first().map(|it| it.left_ms);
        assert_eq!(left_ms, Some(500));
        assert_eq!(guards.silent(900 * MS), None);
        assert_eq!(guards.silent(901 * MS), Some(("desk".to_owned(), 500)));
        assert_eq!(guards.silent(2_000 * MS), None);
    }

    #[test]
    fn guard_that_ends_is_not_missed_and_others_are() {
        let mut guards = Guards::default();
        let _ = guards.renew(&watch("desk", 500), 0);
        let _ = guards.renew(&watch("night", 700), 0);
        assert!(guards.end("desk", 7) && !guards.end("desk", 7));
        assert_eq!(guards.silent(701 * MS), Some(("night".to_owned(), 700)));
    }

    #[test]
    fn another_tool_of_the_same_name_neither_keeps_a_guard_alive_nor_ends_it() {
        let mut guards = Guards::default();
        let _ = guards.renew(&watch("desk", 500), 0);
        let other = Watch {
            token: 8,
            ..watch("desk", 600_000)
        };
        let refused = guards.renew(&other, 400 * MS).unwrap_err();
        assert!(refused.contains("expected another name"), "{refused}");
        assert!(!guards.end("desk", 8));
        assert_eq!(guards.silent(501 * MS), Some(("desk".to_owned(), 500)));
        assert_eq!(guards.renew(&other, 502 * MS), Ok(true), "the name is free");
    }

    #[test]
    fn one_more_than_there_is_room_for_is_refused() {
        let mut guards = Guards::default();
        for number in 0..GUARDS_MAX {
            let renewed = guards.renew(&watch(&number.to_string(), 500), 0);
            assert_eq!(renewed, Ok(true));
        }
        assert!(guards.renew(&watch("one more", 500), 0).is_err());
        assert_eq!(guards.renew(&watch("3", 500), 0), Ok(false));
    }
}
