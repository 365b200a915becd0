//! Checks of the CPUs that hot cores are pinned to.

use super::{Check, Look, Seen, or_none};
use crate::{CpuList, Host, Plan};

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "CPUs",
        wanted: "one for each hot core, and one more",
        why: "a hot core never yields; everything else needs a CPU of its own",
        how: "a host with more cores, or layout.kind = \"inline\"",
        look: Look::Host(cpus),
    },
    Check {
        name: "isolated CPUs",
        wanted: "those of all hot cores",
        why: "anything else that runs there stops the hot core for up to milliseconds",
        how: "boot with isolcpus=managed_irq,domain,CPUS",
        look: Look::Host(isolated),
    },
    Check {
        name: "nohz_full",
        wanted: "the CPUs of all hot cores",
        why: "the scheduler's tick interrupts a core 100 to 1000 times a second, some microseconds each",
        how: "boot with nohz_full=CPUS, on a kernel with CONFIG_NO_HZ_FULL",
        look: Look::Host(nohz_full),
    },
    Check {
        name: "rcu_nocbs",
        wanted: "the CPUs of all hot cores",
        why: "the kernel frees memory in callbacks, on the CPU that let go of it unless told otherwise",
        how: "boot with rcu_nocbs=CPUS (nohz_full= does the same for its CPUs)",
        look: Look::Host(rcu_nocbs),
    },
    Check {
        name: "CPU governor",
        wanted: "performance, on the CPUs of all hot cores",
        why: "a core that is clocked down answers the first packet late",
        how: "tickgate-host-tune apply, or cpupower frequency-set -g performance",
        look: Look::Host(governor),
    },
    Check {
        name: "idle states",
        wanted: "none that takes over 10 µs to leave, on the CPUs of all hot cores",
        why: "a hot core that waits in the kernel, and whoever takes the card's interrupts, wakes that much later",
        how: "tickgate-host-tune apply, or boot with intel_idle.max_cstate=1 processor.max_cstate=1",
        look: Look::Host(idle_states),
    },
    Check {
        name: "SMT siblings",
        wanted: "none online beside a hot core",
        why: "a sibling shares execution units and the first caches: the hot core is slower whenever it works",
        how: "boot with nosmt, or echo 0 > /sys/devices/system/cpu/cpuN/online for the sibling",
        look: Look::Host(siblings),
    },
    Check {
        name: "automatic NUMA balancing",
        wanted: "0",
        why: "pages are unmapped now and then to see who uses them; the hot core takes the fault",
        how: "sysctl kernel.numa_balancing=0",
        look: Look::Host(numa_balancing),
    },
];

/// Where a state of sleep begins to be seen in a latency, µs.
const WAKE_US_MAX: i64 = 10;

fn cpus(host: &Host, plan: &Plan) -> Seen {
    let Some(allowed) = host.tree.field("/proc/self/status", "Cpus_allowed_list") else {
        return Seen::unseen("/proc/self/status");
    };
    let allowed = CpuList::parse(&allowed);
    let pinned = plan.hot_cpus();
    let missing = pinned.without(&allowed);
    if !missing.is_empty() {
        return Seen::fails(format!("{allowed}, and not {missing} of a hot core"));
    }
    let found = format!("{}: {allowed}", allowed.len());
    Seen::good_if(allowed.len() > plan.hot.len().max(1), found)
}

fn isolated(host: &Host, plan: &Plan) -> Seen {
    let booted = host.cpus("/sys/devices/system/cpu/isolated");
    let partition = host.cpus("/sys/fs/cgroup/cpuset.cpus.isolated");
    if booted.is_none() && partition.is_none() {
        return Seen::unseen("/sys/devices/system/cpu/isolated");
    }
    let both = booted.unwrap_or_default();
    covers(&both.with(&partition.unwrap_or_default()), plan)
}

fn nohz_full(host: &Host, plan: &Plan) -> Seen {
    match host.cpus(NOHZ_FULL) {
        Some(cpus) => covers(&cpus, plan),
        None => {
            Seen::unseen("this kernel cannot stop its tick (no /sys/devices/system/cpu/nohz_full)")
        }
    }
}

const NOHZ_FULL: &str = "/sys/devices/system/cpu/nohz_full";

fn rcu_nocbs(host: &Host, plan: &Plan) -> Seen {
    if host.tree.text("/proc/cmdline").is_none() {
        return Seen::unseen("/proc/cmdline");
    }
    let booted = host.boot_option("rcu_nocbs");
    if booted.as_deref() == Some("all") {
        return Seen::good("all");
    }
    let booted = booted.map(|list| CpuList::parse(&list)).unwrap_or_default();
    covers(
        &booted.with(&host.cpus(NOHZ_FULL).unwrap_or_default()),
        plan,
    )
}

/// Whether a list of the host has every hot CPU.
fn covers(list: &CpuList, plan: &Plan) -> Seen {
    let hot = plan.hot_cpus();
    if hot.is_empty() {
        return Seen::costs(format!("{}; no hot core is pinned", or_none(list)));
    }
    let missing = hot.without(list);
    if missing.is_empty() {
        Seen::good(list.to_string())
    } else {
        Seen::costs(format!("{}; not hot CPU {missing}", or_none(list)))
    }
}

fn governor(host: &Host, plan: &Plan) -> Seen {
    let of = |cpu: usize| {
        let file = format!("/sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor");
        Some((cpu, host.tree.text(&file)?))
    };
    let found: Vec<(usize, String)> = looked_at(host, plan).iter().filter_map(of).collect();
    if found.is_empty() {
        return Seen::unseen("no frequency scaling (no cpufreq)");
    }
    let is_good = found.iter().all(|(_, governor)| governor == "performance");
    let each = found
        .iter()
        .map(|(cpu, governor)| format!("cpu{cpu} {governor}"));
    Seen::good_if(is_good, each.collect::<Vec<_>>().join(", "))
}

fn idle_states(host: &Host, plan: &Plan) -> Seen {
    let driver = host
        .tree
        .text("/sys/devices/system/cpu/cpuidle/current_driver");
    if driver.as_deref() == Some("haltpoll") {
        return Seen::unseen("a guest that halts into its hypervisor (haltpoll)");
    }
    let mut states = 0;
    let mut deep = Vec::new();
    for cpu in looked_at(host, plan).iter() {
        let folder = format!("/sys/devices/system/cpu/cpu{cpu}/cpuidle");
        for state in host.tree.names(&folder) {
            let of = |file: &str| host.tree.text(&format!("{folder}/{state}/{file}"));
            let latency = of("latency").and_then(|text| text.parse::<i64>().ok());
            let Some(latency) = latency else { continue };
            states += 1;
            let is_on = of("disable").as_deref() == Some("0");
            if is_on && latency > WAKE_US_MAX {
                let name = of("name").unwrap_or(state);
                deep.push(format!("cpu{cpu} {name} ({latency} µs)"));
            }
        }
    }
    match (states, deep.is_empty()) {
        (0, _) => Seen::unseen("no idle states (no cpuidle)"),
        (_, true) => Seen::good("none over 10 µs"),
        (_, false) => Seen::costs(deep.join(", ")),
    }
}

/// The hot CPUs; where none is pinned, every one that the host shows.
fn looked_at(host: &Host, plan: &Plan) -> CpuList {
    let hot = plan.hot_cpus();
    if hot.is_empty() {
        host.cpus("/sys/devices/system/cpu/online")
            .unwrap_or_default()
    } else {
        hot
    }
}

fn siblings(host: &Host, plan: &Plan) -> Seen {
    let online = host.cpus("/sys/devices/system/cpu/online");
    let (mut seen, mut pairs) = (0, Vec::new());
    for cpu in looked_at(host, plan).iter() {
        let file = format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
        let Some(threads) = host.cpus(&file) else {
            continue;
        };
        seen += 1;
        let others = threads.without(&[cpu].into_iter().collect());
        let others = online
            .as_ref()
            .map_or_else(|| others.clone(), |it| others.both(it));
        if !others.is_empty() {
            pairs.push(format!("cpu{cpu} beside {others}"));
        }
    }
    match (seen, pairs.is_empty()) {
        (0, _) => Seen::unseen("no topology in /sys/devices/system/cpu"),
        (_, false) => Seen::costs(pairs.join(", ")),
        (_, true) if host.is_guest() => Seen::unseen(
            "none shown, but this is a guest: its host may run two of its CPUs on one core",
        ),
        (_, true) => Seen::good("none"),
    }
}

fn numa_balancing(host: &Host, _: &Plan) -> Seen {
    match host.tree.number("/proc/sys/kernel/numa_balancing") {
        Some(on) => Seen::good_if(on == 0, format!("kernel.numa_balancing = {on}")),
        None => Seen::unseen("no kernel.numa_balancing"),
    }
}
