//! Every check on a faked host: good, bad, and where it is not to be seen.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests"
)]

mod cases;
mod support;

use std::collections::BTreeSet;

use cases::Change::{Other, Put, Remove};
use support::Fake;
use tickgate_host::Verdict::{Costs, Fails, Good, Unseen};
use tickgate_host::{Verdict, checks};

#[test]
fn fit_host_is_good_in_everything() {
    let findings = Fake::fit().findings();
    let bad: Vec<_> = findings.iter().filter(|it| it.verdict != Good).collect();
    assert!(bad.is_empty(), "{bad:#?}");
    let found: BTreeSet<&str> = findings.iter().map(|it| it.check.as_str()).collect();
    let names: BTreeSet<&str> = checks::all().map(|check| check.name).collect();
    assert_eq!(found, names);
    assert_eq!(names.len(), checks::all().count(), "two of one name");
}

#[test]
fn one_change_is_found_by_its_check() {
    for case in cases::all() {
        let mut fake = Fake::fit();
        match &case.change {
            Put(path, text) => fake.put(path, text),
            Remove(path) => fake.remove(path),
            Other(change) => change(&mut fake),
        }
        let seen = fake.finding(case.check);
        let (verdict, found) = (seen.verdict, seen.found.as_str());
        assert_eq!(
            (verdict, found),
            (case.verdict, case.found),
            "{}",
            case.check
        );
    }
}

#[test]
fn each_check_has_a_host_that_is_bad_and_one_that_hides_it() {
    let of = |check: &str, is: fn(Verdict) -> bool| {
        cases::all().any(|case| case.check == check && is(case.verdict))
    };
    for check in checks::all() {
        assert!(
            of(check.name, |it| matches!(it, Costs | Fails)),
            "{}",
            check.name
        );
        assert!(of(check.name, |it| it == Unseen), "{}", check.name);
    }
}

#[test]
fn empty_host_is_good_in_nothing_that_it_would_have_to_show() {
    let mut fake = Fake::fit();
    for folder in ["/proc", "/sys"] {
        fake.remove(folder);
    }
    fake.asked = tickgate_host::Asked::default();
    let findings = fake.findings();
    let other: Vec<_> = findings.iter().filter(|it| it.verdict != Unseen).collect();
    let names: Vec<String> = other.iter().map(|it| it.name()).collect();
    assert_eq!(names, ["ens1: interface"], "{other:#?}");
}

#[test]
fn how_names_the_interface_and_the_hot_cpus() {
    let fake = Fake::fit();
    assert_eq!(
        fake.finding("nohz_full").how,
        "boot with nohz_full=2-3, on a kernel with CONFIG_NO_HZ_FULL"
    );
    assert_eq!(fake.finding("ring sizes").how, "ethtool -G ens1 rx 1024");
    assert_eq!(fake.finding("ring sizes").name(), "ens1: ring sizes");
}
