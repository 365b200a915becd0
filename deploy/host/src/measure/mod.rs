//! What of a host is measured, not read: each hot core spins, walks and talks where it is to run.
//!
//! Thread:      one for each CPU of the plan, pinned, while it measures
//! Time:        `rt::clock`, by which the hot cores live too

mod hop;
mod stalls;
mod wake_up;
mod walk;

use std::thread;

use rt::clock::Clock;
use serde::{Deserialize, Serialize};

pub use hop::{Hop, hops};
pub use stalls::Stalls;
pub use wake_up::{WakeUp, wake_ups};
pub use walk::{Warmth, warmth};

use crate::{Finding, Host, Plan, Tree, Verdict};

/// What was measured of a hot CPU.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Core {
    /// The CPU.
    pub cpu: usize,
    /// Why nothing could be measured; empty: it was.
    pub error: String,
    /// How long it spun, ns.
    pub spun_ns: u64,
    /// Time that it lost while spinning.
    pub stalls: Stalls,
    /// Interrupts that it took meanwhile; `None`: not visible.
    pub interrupts: Option<u64>,
    /// Times that another thread had the CPU meanwhile.
    pub switches: u32,
    /// How warm it stays.
    pub warmth: Vec<Warmth>,
}

/// Measures every hot CPU at one time, as they will run, each spinning for `seconds`.
#[must_use]
pub fn cores(host: &Host, plan: &Plan, seconds: u64) -> Vec<Core> {
    let cpus: Vec<usize> = plan.hot_cpus().iter().collect();
    thread::scope(|scope| {
        let begin = |cpu| scope.spawn(move || core(&host.tree, cpu, seconds));
        let threads: Vec<_> = cpus.iter().map(|cpu| begin(*cpu)).collect();
        let ended = threads.into_iter().zip(&cpus).map(|(thread, cpu)| {
            thread.join().unwrap_or_else(|_| Core {
                cpu: *cpu,
                error: "the thread ended".to_owned(),
                ..Core::default()
            })
        });
        ended.collect()
    })
}

fn core(tree: &Tree, cpu: usize, seconds: u64) -> Core {
    if let Err(error) = rt::cpu::pin(cpu) {
        return Core {
            cpu,
            error: error.to_string(),
            ..Core::default()
        };
    }
    let clock = Clock::new();
    let (interrupts, usage) = (interrupts(tree, cpu), rt::cpu::thread_usage());
    let began_ns = clock.now_ns();
    let until_ns = began_ns + seconds * 1_000_000_000;
    let mut stalls = Stalls::default();
    let mut last_ns = began_ns;
    while last_ns < until_ns {
        let now_ns = clock.now_ns();
        stalls.see(now_ns - last_ns);
        last_ns = now_ns;
    }
    let after = self::interrupts(tree, cpu);
    let switches = rt::cpu::thread_usage().switches_involuntary - usage.switches_involuntary;
    Core {
        cpu,
        error: String::new(),
        spun_ns: last_ns - began_ns,
        stalls,
        interrupts: after.zip(interrupts).map(|(after, before)| after - before),
        switches,
        warmth: warmth(&clock),
    }
}

/// Interrupts of all kinds that a CPU has taken: a column of the kernel's table.
fn interrupts(tree: &Tree, cpu: usize) -> Option<u64> {
    let table = tree.text("/proc/interrupts")?;
    let mut lines = table.lines();
    let name = format!("CPU{cpu}");
    let column = lines
        .next()?
        .split_ascii_whitespace()
        .position(|it| it == name)?;
    // Behind the name of each line; those without columns (ERR, MIS) have one number, which is nobody's.
    let count = |line: &str| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let count = words.nth(column)?.parse::<u64>().ok();
        count.filter(|_| column > 0 || words.next().is_some())
    };
    Some(lines.filter_map(count).sum())
}

/// One thing that is measured.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// What it is called everywhere.
    pub name: &'static str,
    /// What should be.
    pub wanted: &'static str,
    /// What it costs where it is not.
    pub why: &'static str,
    /// What changes it.
    pub how: &'static str,
}

const JITTER: Check = Check {
    name: "jitter",
    wanted: "no stall over 10 µs",
    why: "what arrives during a stall waits for its end",
    how: "isolated CPUs, nohz_full, interrupts elsewhere; in a guest, CPUs of its own on its host",
};
const DISTURBANCES: Check = Check {
    name: "disturbances",
    wanted: "one interrupt a second at most, and no other thread",
    why: "each takes microseconds, and what it touches leaves the cache cold",
    how: "isolcpus=, nohz_full=, IRQ affinity; /proc/interrupts says which",
};
const WARMTH: Check = Check {
    name: "warmth",
    wanted: "a walk after 1 ms of idling takes at most half as long again as after 1 µs",
    why: "somebody else (a sibling, another guest) takes the cache while the core waits, and the next order pays",
    how: "no SMT sibling beside a hot core; CPUs of its own on the guest's host",
};
const HOP: Check = Check {
    name: "hop",
    wanted: "a message from one hot CPU to the next within 250 ns (p50)",
    why: "each ring between two cores is passed once by every order",
    how: "hot cores on CPUs that share their last cache (lscpu -e)",
};
const GRANTED: Check = Check {
    name: "zero-copy granted",
    wanted: "the rung that is configured, zero-copy where the driver can",
    why: "a driver may say that it can, and then refuse, or lose frames",
    how: "what the log of the ladder says of each rung that did not hold",
};

const WAKE_UP: Check = Check {
    name: "queue wake-up",
    wanted: "a call that wakes the feed's receive queue within 10 µs (p99)",
    why: "the feed core makes it whenever nothing waits and the card asks for it, and always with busy_poll_us: what arrives meanwhile waits for its end",
    how: "a smaller busy_poll_budget, or busy_poll_us = 0; zero-copy; a hot CPU that nothing disturbs",
};

/// Everything that is measured.
pub const CHECKS: [Check; 6] = [JITTER, DISTURBANCES, WARMTH, HOP, GRANTED, WAKE_UP];

/// What is to be said of what was measured.
#[must_use]
pub fn findings(cores: &[Core], hops: &[Hop]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for core in cores {
        let subject = format!("cpu{}", core.cpu);
        for (check, judged) in [
            (JITTER, jitter(core)),
            (DISTURBANCES, disturbances(core)),
            (WARMTH, walks(core)),
        ] {
            let unseen = || (Verdict::Unseen, format!("not visible here: {}", core.error));
            let judged = if core.error.is_empty() {
                judged
            } else {
                unseen()
            };
            findings.push(finding(check, &subject, judged));
        }
    }
    if cores.is_empty() {
        let text = "not visible here: no hot core is pinned".to_owned();
        findings.push(finding(JITTER, "", (Verdict::Unseen, text)));
    }
    for hop in hops {
        let subject = format!("cpu{} to cpu{}", hop.from, hop.to);
        let judged = match hop.p50_ns {
            Some(p50) => (
                good_if(p50 <= HOP_NS_MAX),
                format!("{p50} ns, p99 {} ns", hop.p99_ns.unwrap_or(p50)),
            ),
            None => (Verdict::Unseen, format!("not visible here: {}", hop.error)),
        };
        findings.push(finding(HOP, &subject, judged));
    }
    findings
}

/// The rung that an interface stands on, or why it stands on none.
#[must_use]
pub fn granted(interface: &str, verdict: Verdict, found: String) -> Finding {
    finding(GRANTED, interface, (verdict, found))
}

/// What waking an interface's queues takes.
#[must_use]
pub fn woken(it: &WakeUp) -> Finding {
    let judged = match (it.p50_ns, it.p99_ns) {
        (Some(p50), Some(p99)) => (
            good_if(p99 <= WAKE_UP_NS_MAX),
            format!(
                "{p50} ns, p99 {p99} ns, longest {} µs",
                it.longest_ns / 1_000
            ),
        ),
        _ => (Verdict::Unseen, format!("not visible here: {}", it.error)),
    };
    finding(WAKE_UP, &it.interface, judged)
}

/// A system call that finds nothing takes a fraction of a microsecond, a card that is polled in vain some; over it there is a card
/// that works for others meanwhile, or a hypervisor.
const WAKE_UP_NS_MAX: u64 = 10_000;

/// A pair of cores of one socket takes 50 to 150 ns; over it there is a link, or a hypervisor.
const HOP_NS_MAX: u64 = 250;

type Judged = (Verdict, String);

fn good_if(is_good: bool) -> Verdict {
    if is_good {
        Verdict::Good
    } else {
        Verdict::Costs
    }
}

fn jitter(core: &Core) -> Judged {
    let it = &core.stalls;
    let found = format!(
        "over 1 µs {}, 10 µs {}, 100 µs {}, 1 ms {}; longest {} µs in {} ms",
        it.over_1us,
        it.over_10us,
        it.over_100us,
        it.over_1ms,
        it.longest_ns / 1_000,
        core.spun_ns / 1_000_000
    );
    (good_if(it.over_10us == 0), found)
}

fn disturbances(core: &Core) -> Judged {
    let Some(interrupts) = core.interrupts else {
        let found = "not visible here: no column of this CPU in /proc/interrupts";
        return (Verdict::Unseen, found.to_owned());
    };
    let seconds = core.spun_ns.div_ceil(1_000_000_000);
    let is_good = interrupts <= seconds && core.switches == 0;
    let found = format!(
        "{interrupts} interrupts, {} times another thread",
        core.switches
    );
    (good_if(is_good), found)
}

fn walks(core: &Core) -> Judged {
    let each = core
        .warmth
        .iter()
        .map(|it| format!("{} ns after {} µs", it.p50_ns, it.idle_ns / 1_000));
    let found = each.collect::<Vec<_>>().join(", ");
    let (Some(first), Some(last)) = (core.warmth.first(), core.warmth.last()) else {
        return (Verdict::Unseen, "not visible here: no walk".to_owned());
    };
    (good_if(last.p50_ns * 2 <= first.p50_ns * 3), found)
}

fn finding(check: Check, subject: &str, judged: Judged) -> Finding {
    let (verdict, found) = judged;
    Finding {
        check: check.name.to_owned(),
        subject: subject.to_owned(),
        verdict,
        found,
        wanted: check.wanted.to_owned(),
        why: check.why.to_owned(),
        how: check.how.to_owned(),
    }
}
