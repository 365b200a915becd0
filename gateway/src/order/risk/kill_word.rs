//! The words of kill switches: how several are turned on together, and let go together, whatever others do meanwhile.
//!
//! ```text
//!  turned on:  word a ──> word b ──> own word            one was on and another was not: all of them once more
//!  let go:     each: on ──> on, about to be released ──(all are)──> each: off      one turned on meanwhile: all on again
//! ```
//!
//! Thread:      any
//! Invariants:  what a word says first stays until it is let go, unless it gives way (`gives_way`). When whoever turns
//!              words and whoever lets them go are done, all of them are on, or all are off.
//! Words:       any [`Word`], so that loom takes the steps that ship through every order that the memory model allows: the word
//!              that ships may lie in a file that others map, for which loom has nothing.

use std::sync::atomic::{AtomicU64, Ordering};

/// No cause: orders may go.
pub(super) const NOT_KILLED: u64 = 0;
/// How the configuration starts: gives way to whatever comes.
pub(super) const START_KILLED: u64 = 7;
/// It is about to be released.
pub(super) const RELEASING: u64 = 1 << 63;

/// What several threads look at and change, one step at a time, in an order that all of them see.
pub(super) trait Word {
    /// What it says.
    fn look(&self) -> u64;

    /// Has it say this instead of that.
    ///
    /// # Errors
    /// It says something else: this.
    fn change(&self, from: u64, to: u64) -> Result<u64, u64>;
}

impl Word for AtomicU64 {
    fn look(&self) -> u64 {
        self.load(Ordering::SeqCst)
    }

    fn change(&self, from: u64, to: u64) -> Result<u64, u64> {
        self.compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst)
    }
}

/// Turns a word on, unless it is on for another cause. Whether it was turned.
pub(super) fn turn(word: &impl Word, code: u64) -> bool {
    let mut found = word.look();
    // Ends: a word that changes meanwhile goes off or on, and is not released twice.
    while gives_way(found) {
        match word.change(found, code) {
            Ok(_) => return true,
            Err(now) => found = now,
        }
    }
    false
}

/// The first cause is the one to look into, unless that is only how the configuration starts, or is about to be forgotten.
fn gives_way(found: u64) -> bool {
    found == NOT_KILLED || found == START_KILLED || found & RELEASING != 0
}

/// Turns words on, one after the other.
pub(super) fn turn_all<'a, W: Word + 'a>(words: impl Iterator<Item = (&'a W, u64)> + Clone) {
    let turned = words.clone().map(|(word, code)| turn(word, code));
    let (mut some, mut all) = (false, true);
    for was_turned in turned {
        some |= was_turned;
        all &= was_turned;
    }
    if some && !all {
        // One was on when it was looked at, and another was not later: in between a release may have let go the first, or
        // may still do so. It finds what it has marked turned on now, or has gone by and comes back no more.
        for (word, code) in words {
            turn(word, code);
        }
    }
}

/// Lets words go that say what they said when somebody looked, all of them or none.
pub(super) struct Release<'a, W> {
    pub(super) words: &'a [(&'a W, u64)],
}

impl<W: Word> Release<'_, W> {
    /// `false`: one of them says something else by now; whatever turned it turns all of them.
    pub(super) fn run(&self) -> bool {
        self.begin() && self.finish()
    }

    /// None of them is off afterwards.
    pub(super) fn begin(&self) -> bool {
        for (at, (word, stood)) in self.words.iter().enumerate() {
            if word.change(*stood, stood | RELEASING).is_err() {
                for (word, stood) in self.words.iter().take(at) {
                    // Who has turned it meanwhile has changed the mark, too.
                    let _ = word.change(stood | RELEASING, *stood);
                }
                return false;
            }
        }
        // What came while the others were not there yet.
        match self.other() {
            Some(found) => self.stop(found),
            None => true,
        }
    }

    /// Whoever is off first and breaks a limit stops those that are not yet: they do not go off then.
    pub(super) fn finish(&self) -> bool {
        for (word, stood) in self.words {
            let Err(found) = word.change(stood | RELEASING, NOT_KILLED) else {
                continue;
            };
            // Whoever else releases has marked it too, or was here before: neither has stopped anything.
            let found = found & !RELEASING;
            if found != NOT_KILLED {
                return self.stop(found);
            }
        }
        true
    }

    /// What one says that is on, and no longer about to be released.
    fn other(&self) -> Option<u64> {
        let mut found = self.words.iter().map(|(word, _)| word.look());
        found.find(|found| *found != NOT_KILLED && found & RELEASING == 0)
    }

    /// All of them are on, for what this says.
    fn stop(&self, found: u64) -> bool {
        turn_all(self.words.iter().map(|(word, _)| (*word, found)));
        false
    }
}

#[cfg(test)]
mod tests {
    use loom::sync::Arc;
    use loom::thread;

    use super::*;

    type Loom = loom::sync::atomic::AtomicU64;

    impl Word for Loom {
        fn look(&self) -> u64 {
            self.load(Ordering::SeqCst)
        }

        fn change(&self, from: u64, to: u64) -> Result<u64, u64> {
            self.compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst)
        }
    }

    /// What the words of an account's two sessions say before anything happens: a loss of the first.
    const STOOD: [u64; 2] = [10, 0x10a];

    type Pair = Arc<[Loom; 2]>;

    /// A session meets with something that stops its account: its own word last, as `KillSwitch::engage` has it.
    fn breach(words: &Pair, session: usize, codes: [u64; 2]) {
        let order = [1 - session, session];
        turn_all(order.iter().map(|at| (&words[*at], codes[*at])));
    }

    fn breach_of_first(words: &Pair) {
        breach(words, 0, [9, 0x109]);
    }

    fn breach_of_second(words: &Pair) {
        breach(words, 1, [0x209, 9]);
    }

    /// What has stopped them already comes about again.
    fn breach_as_before(words: &Pair) {
        breach(words, 0, STOOD);
    }

    /// Of no account: each session is told by itself.
    fn kill_of_all(words: &Pair) {
        turn_all(words.iter().map(|word| (word, 1)));
    }

    fn release(words: &Pair) {
        let words = [0, 1].map(|at| (&words[at], STOOD[at]));
        let _ = Release { words: &words }.run();
    }

    fn release_backwards(words: &Pair) {
        let words = [1, 0].map(|at| (&words[at], STOOD[at]));
        let _ = Release { words: &words }.run();
    }

    /// Goes through every order of steps of what these do at once; of three with at most two switches that no thread wished. Both
    /// words are on in the end or both are off, and none is about to be released.
    fn check<const N: usize>(threads: [fn(&Pair); N]) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = (N > 2).then_some(2);
        model.check(move || {
            let words: Pair = Arc::new(STOOD.map(Loom::new));
            let others = threads[1..].iter().map(|run| {
                let (run, words) = (*run, Arc::clone(&words));
                thread::spawn(move || run(&words))
            });
            let others: Vec<_> = others.collect();
            threads[0](&words);
            others.into_iter().for_each(|it| it.join().unwrap());
            let found = [words[0].look(), words[1].look()];
            assert!(found.iter().all(|it| it & RELEASING == 0), "{found:x?}");
            assert_eq!(found[0] == NOT_KILLED, found[1] == NOT_KILLED, "{found:x?}");
        });
    }

    #[test]
    fn loom_breach_at_any_step_of_a_release_never_leaves_a_sibling_running() {
        for breach in [breach_of_first, breach_of_second, breach_as_before] {
            check([release, breach]);
            check([release_backwards, breach]);
        }
    }

    #[test]
    fn loom_breaches_of_both_at_any_step_of_a_release_leave_none_running_alone() {
        check([release, breach_of_first, breach_of_second]);
    }

    #[test]
    fn loom_kill_of_all_at_any_step_of_a_release_never_leaves_one_running() {
        check([release, kill_of_all]);
        check([release_backwards, kill_of_all]);
    }

    #[test]
    fn loom_two_releases_at_once_never_let_go_half_of_an_account() {
        check([release, release]);
        check([release, release_backwards]);
        check([release, release_backwards, breach_of_first]);
    }

    #[test]
    fn loom_first_of_two_causes_stays() {
        loom::model(|| {
            let word = Arc::new(Loom::new(NOT_KILLED));
            let other = Arc::clone(&word);
            let other = thread::spawn(move || turn(&*other, 1));
            let is_mine = turn(&*word, 2);
            let is_theirs = other.join().unwrap();
            assert!(is_mine != is_theirs);
            assert_eq!(word.look(), if is_mine { 2 } else { 1 });
        });
    }
}
