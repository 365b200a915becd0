//! What is measured, on the host that runs the test: that it counts what happens, not how good this host is.

#![allow(
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests"
)]

use std::path::Path;

use tickgate_host::{Host, HotCore, Plan, Verdict, measure};

fn plan(cpus: &[usize]) -> Plan {
    let core = |cpu: &usize| HotCore {
        name: format!("core{cpu}"),
        cpu: Some(*cpu),
    };
    Plan {
        hot: cpus.iter().map(core).collect(),
        ..Plan::default()
    }
}

#[test]
fn hot_cpu_spins_as_long_as_asked_and_walks_after_each_idling() {
    let cpu = *rt::cpu::allowed().last().unwrap();
    let plan = plan(&[cpu]);
    let cores = measure::cores(&Host::read(Path::new("/"), &plan), &plan, 1);
    assert_eq!(cores.len(), 1);
    let core = &cores[0];
    assert_eq!((core.error.as_str(), core.cpu), ("", cpu));
    assert!(core.spun_ns >= 1_000_000_000);
    assert!(core.stalls.looks > 1_000);
    let idles: Vec<u64> = core.warmth.iter().map(|it| it.idle_ns).collect();
    assert_eq!(idles, [1_000, 10_000, 100_000, 1_000_000]);
    assert!(
        core.warmth
            .iter()
            .all(|it| it.p50_ns > 0 && it.p50_ns <= it.p99_ns)
    );
    let findings = measure::findings(&cores, &[]);
    let names: Vec<String> = findings.iter().map(|it| it.name()).collect();
    let wanted = ["jitter", "disturbances", "warmth"].map(|name| format!("cpu{cpu}: {name}"));
    assert_eq!(names, wanted);
}

#[test]
fn cpu_that_is_not_there_is_not_visible() {
    let plan = plan(&[1023]);
    let cores = measure::cores(&Host::read(Path::new("/"), &plan), &plan, 1);
    let findings = measure::findings(&cores, &measure::hops(&plan));
    assert_eq!(findings.len(), 3);
    assert!(findings.iter().all(|it| it.verdict == Verdict::Unseen));
    let none = measure::findings(&[], &[]);
    assert_eq!(none[0].found, "not visible here: no hot core is pinned");
}

#[test]
fn message_comes_back_from_the_next_hot_cpu() {
    let cpus = rt::cpu::allowed();
    let (Some(first), Some(last)) = (cpus.first(), cpus.last()) else {
        return;
    };
    if first == last {
        println!("SKIPPED: one CPU has no next one");
        return;
    }
    let hops = measure::hops(&plan(&[*first, *last, *last]));
    assert_eq!(hops.len(), 1);
    let hop = &hops[0];
    assert_eq!((hop.from, hop.to, hop.error.as_str()), (*first, *last, ""));
    assert!(hop.p50_ns.unwrap() > 0 && hop.p50_ns <= hop.p99_ns);
    let findings = measure::findings(&[], &hops);
    assert_eq!(findings[1].name(), format!("cpu{first} to cpu{last}: hop"));
}

#[test]
fn stalls_and_walks_are_judged() {
    let warm = |p50_ns| measure::Warmth {
        idle_ns: 1_000,
        p50_ns,
        p99_ns: p50_ns,
    };
    let good = measure::Core {
        cpu: 2,
        spun_ns: 3_000_000_000,
        interrupts: Some(3),
        warmth: vec![warm(400), warm(600)],
        ..measure::Core::default()
    };
    let verdicts = |core: measure::Core| {
        let findings = measure::findings(&[core], &[]);
        findings.iter().map(|it| it.verdict).collect::<Vec<_>>()
    };
    use Verdict::{Costs, Good, Unseen};
    assert_eq!(verdicts(good.clone()), [Good, Good, Good]);
    let mut slow = good.clone();
    slow.stalls.over_10us = 1;
    slow.interrupts = Some(4);
    slow.warmth = vec![warm(400), warm(601)];
    assert_eq!(verdicts(slow), [Costs, Costs, Costs]);
    let mut shared = good.clone();
    shared.switches = 1;
    assert_eq!(verdicts(shared), [Good, Costs, Good]);
    let mut hidden = good;
    hidden.interrupts = None;
    assert_eq!(verdicts(hidden), [Good, Unseen, Good]);
    let hop = |p50_ns| measure::Hop {
        p50_ns: Some(p50_ns),
        ..measure::Hop::default()
    };
    let hops = measure::findings(&[], &[hop(250), hop(251)]);
    assert_eq!((hops[1].verdict, hops[2].verdict), (Good, Costs));
    let woken = |p99_ns: Option<u64>| {
        let woken = measure::WakeUp {
            interface: "tg0".to_owned(),
            p50_ns: p99_ns.map(|_| 300),
            p99_ns,
            longest_ns: 12_999,
            ..measure::WakeUp::default()
        };
        measure::woken(&woken)
    };
    assert_eq!(woken(Some(10_000)).verdict, Good);
    assert_eq!(woken(None).verdict, Unseen);
    let slow = woken(Some(10_001));
    assert_eq!(
        (slow.verdict, slow.name(), slow.found.as_str()),
        (
            Costs,
            "tg0: queue wake-up".to_owned(),
            "300 ns, p99 10001 ns, longest 12 µs"
        )
    );
}
