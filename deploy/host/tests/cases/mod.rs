//! What is different from a fit host, and what a check then says.

mod cores;
mod interfaces;
mod memory;
mod stack;
mod system;

use tickgate_host::Verdict;

use crate::support::Fake;

/// One thing that is different, and what the check then says.
pub(crate) struct Case {
    pub(crate) check: &'static str,
    pub(crate) change: Change,
    pub(crate) verdict: Verdict,
    pub(crate) found: &'static str,
}

pub(crate) enum Change {
    Put(&'static str, &'static str),
    Remove(&'static str),
    Other(fn(&mut Fake)),
}

pub(crate) fn all() -> impl Iterator<Item = &'static Case> {
    let lists = [
        cores::CORES,
        memory::MEMORY,
        system::SYSTEM,
        stack::STACK,
        interfaces::INTERFACES,
    ];
    lists.into_iter().flatten()
}

const fn case(check: &'static str, change: Change, verdict: Verdict, found: &'static str) -> Case {
    Case {
        check,
        change,
        verdict,
        found,
    }
}
