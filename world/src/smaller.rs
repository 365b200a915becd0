//! A world that fails, made smaller: the fewest steps that are found to break the same rule.
//!
//! Steps are left out in pieces, from halves down to single ones, and stay out where the rule still breaks (delta debugging, after
//! Zeller and Hildebrandt, without its complements). What is left is small, not smallest.

use std::cell::RefCell;
use std::panic::{PanicHookInfo, catch_unwind};

/// Worlds that are lived to make one smaller at most; a tenth of a second each.
const TRIES_MAX: u32 = 600;

/// What is left of a world that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Smaller {
    /// Its steps.
    pub steps: Vec<u32>,
    /// Where the rule stands, and what it says.
    pub broken: String,
}

thread_local! {
    /// Where this thread panicked last, and what it said.
    static BROKEN: RefCell<Option<(String, String)>> = const { RefCell::new(None) };
}

/// Makes a world smaller that fails; `None`: it does not. It prints nothing, other threads' panics excepted.
#[must_use]
pub fn make_smaller(seed: u64) -> Option<Smaller> {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(note));
    let broken = |steps: &[u32]| {
        let outcome = catch_unwind(|| crate::play_only(seed, steps));
        outcome.is_err().then(|| BROKEN.take()).flatten()
    };
    let all: Vec<u32> = (0..crate::STEPS).collect();
    let found = broken(&all).map(|(rule, mut said)| {
        let steps = fewest(all, TRIES_MAX, |steps| {
            let Some((other, now)) = broken(steps) else {
                return false;
            };
            let is_same = other == rule;
            if is_same {
                said = now;
            }
            is_same
        });
        let broken = format!("{rule}: {said}");
        Smaller { steps, broken }
    });
    std::panic::set_hook(before);
    found
}

fn note(info: &PanicHookInfo<'_>) {
    let place = info.location().map(ToString::to_string);
    let said = info.payload_as_str().unwrap_or("no message").to_owned();
    BROKEN.set(Some((place.unwrap_or_default(), said)));
}

/// The fewest of these that `fails` is found to fail for, in at most this many tries. It fails for all of them.
fn fewest(mut all: Vec<u32>, mut tries: u32, mut fails: impl FnMut(&[u32]) -> bool) -> Vec<u32> {
    let mut piece = all.len().div_ceil(2);
    while piece > 0 {
        let before = all.len();
        // From the end: what came after the rule broke goes first, at once.
        let mut end = all.len();
        while end > 0 && tries > 0 {
            let begin = end.saturating_sub(piece);
            let mut rest = all.clone();
            rest.drain(begin..end);
            tries -= 1;
            if fails(&rest) {
                all = rest;
            }
            end = begin;
        }
        piece = match piece {
            // Again, while single ones still go.
            1 if all.len() < before && tries > 0 => 1,
            _ => piece / 2,
        };
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_for_two_steps_alone_is_made_those_two() {
        let mut tries = 0;
        let few = fewest((0..300).collect(), TRIES_MAX, |steps| {
            tries += 1;
            steps.contains(&17) && steps.contains(&203)
        });
        assert_eq!(few, [17, 203]);
        assert!(tries < 100, "{tries}");
    }

    #[test]
    fn what_fails_without_any_step_has_none_left() {
        let few = fewest((0..300).collect(), TRIES_MAX, |_| true);
        assert!(few.is_empty(), "{few:?}");
    }

    #[test]
    fn tries_are_bounded() {
        let mut tries = 0;
        let all = fewest((0..300).collect(), 50, |_| {
            tries += 1;
            false
        });
        assert_eq!((all.len(), tries), (300, 50));
    }

    #[test]
    fn world_that_breaks_no_rule_is_not_made_smaller() {
        assert_eq!(make_smaller(0), None);
    }
}
