//! Checks of memory, and of rights that this process has.

use super::{Check, Look, Seen, or_none};
use crate::{Host, Plan};

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "huge pages",
        wanted: "enough for books and packet memory, on the hot cores' memory nodes",
        why: "books are read all over; with 4 KiB pages each look can miss the TLB",
        how: "sysctl vm.nr_hugepages=N, or .../nodeN/hugepages/hugepages-2048kB/nr_hugepages, early after boot",
        look: Look::Host(huge_pages),
    },
    Check {
        name: "transparent huge pages",
        wanted: "madvise or never",
        why: "khugepaged moves pages under a running process and stalls it",
        how: "tickgate-host-tune apply, or echo madvise > /sys/kernel/mm/transparent_hugepage/enabled",
        look: Look::Host(transparent_huge_pages),
    },
    Check {
        name: "swap",
        wanted: "none",
        why: "what is not locked (libraries, strategies' files, the journal's cache) is read back from a disk in milliseconds",
        how: "tickgate-host-tune apply, or swapoff -a",
        look: Look::Host(swap),
    },
    Check {
        name: "locked memory limit",
        wanted: "unlimited where host.lock_memory is set",
        why: "packet memory and books must not be swapped out",
        how: "LimitMEMLOCK=infinity in the unit, or CAP_IPC_LOCK",
        look: Look::Host(locked_memory),
    },
    Check {
        name: "real-time priority limit",
        wanted: "host.realtime_priority or more",
        why: "without it SCHED_FIFO is refused, and hot cores share their CPUs",
        how: "LimitRTPRIO=99 in the unit, or CAP_SYS_NICE",
        look: Look::Host(realtime_limit),
    },
    Check {
        name: "real-time throttling",
        wanted: "off where host.realtime_priority is set",
        why: "the kernel stops SCHED_FIFO threads for 50 ms of each second if others wait",
        how: "sysctl kernel.sched_rt_runtime_us=-1; since Linux 6.12 also echo 0 > /sys/kernel/debug/sched/fair_server/cpuN/runtime, with isolated CPUs only",
        look: Look::Host(realtime_throttling),
    },
];

/// `CAP_IPC_LOCK`, `CAP_SYS_NICE`.
const IPC_LOCK: u32 = 14;
const SYS_NICE: u32 = 23;

fn huge_pages(host: &Host, plan: &Plan) -> Seen {
    let Some(size_kib) = host
        .tree
        .field("/proc/meminfo", "Hugepagesize")
        .and_then(|size| size.split(' ').next()?.parse::<u64>().ok())
        .filter(|size| *size > 0)
    else {
        return Seen::unseen("this kernel has no huge pages");
    };
    let hot = plan.hot_cpus();
    let nodes = host.nodes();
    // The nodes whose memory hot cores take; where none is pinned, or there is one, the host's.
    let near = nodes
        .iter()
        .filter(|(_, cpus)| hot.is_empty() || !cpus.both(&hot).is_empty());
    let of_node = |node: u32| {
        let folder =
            format!("/sys/devices/system/node/node{node}/hugepages/hugepages-{size_kib}kB");
        host.tree.number(&format!("{folder}/nr_hugepages"))
    };
    let of_nodes: Vec<i64> = near.filter_map(|(node, _)| of_node(*node)).collect();
    let total = if of_nodes.is_empty() {
        host.tree
            .field("/proc/meminfo", "HugePages_Total")
            .and_then(|total| total.parse().ok())
            .unwrap_or(0)
    } else {
        of_nodes.iter().sum::<i64>()
    };
    let total = u64::try_from(total).unwrap_or(0);
    match plan.huge_bytes {
        Some(0) => Seen::good(format!("{total}; none is asked for (host.huge_pages)")),
        Some(bytes) => {
            let need = bytes.div_ceil(size_kib << 10);
            Seen::good_if(
                total >= need,
                format!("{total} of {size_kib} KiB; at least {need} are needed"),
            )
        }
        None => Seen::good_if(total > 0, format!("{total} of {size_kib} KiB")),
    }
}

fn transparent_huge_pages(host: &Host, _: &Plan) -> Seen {
    match host
        .tree
        .text("/sys/kernel/mm/transparent_hugepage/enabled")
    {
        Some(choice) => Seen::good_if(!choice.contains("[always]"), or_none(choice)),
        None => Seen::unseen("/sys/kernel/mm/transparent_hugepage"),
    }
}

fn swap(host: &Host, _: &Plan) -> Seen {
    let Some(table) = host.tree.text("/proc/swaps") else {
        return Seen::unseen("/proc/swaps");
    };
    let devices = table.lines().skip(1);
    let names: Vec<&str> = devices
        .filter_map(|line| line.split_ascii_whitespace().next())
        .collect();
    Seen::good_if(names.is_empty(), or_none(names.join(", ")))
}

fn locked_memory(host: &Host, plan: &Plan) -> Seen {
    let Some(limit) = host.limit("Max locked memory") else {
        return Seen::unseen("/proc/self/limits");
    };
    if host.may(IPC_LOCK) {
        return Seen::good(format!("{limit}, and CAP_IPC_LOCK, in this process"));
    }
    let is_good = limit == "unlimited" || !plan.lock_memory;
    Seen::good_if(is_good, format!("{limit} in this process"))
}

fn realtime_limit(host: &Host, plan: &Plan) -> Seen {
    let Some(limit) = host.limit("Max realtime priority") else {
        return Seen::unseen("/proc/self/limits");
    };
    if plan.realtime_priority == 0 {
        return Seen::good(format!(
            "{limit}; none is asked for (host.realtime_priority)"
        ));
    }
    if host.may(SYS_NICE) {
        return Seen::good(format!("{limit}, and CAP_SYS_NICE, in this process"));
    }
    let is_enough = limit == "unlimited"
        || limit
            .parse()
            .is_ok_and(|limit: u8| limit >= plan.realtime_priority);
    Seen::good_if(is_enough, format!("{limit} in this process"))
}

/// From this release on a server of the ordinary class takes what throttling took.
const FAIR_SERVER: (u32, u32) = (6, 12);

fn realtime_throttling(host: &Host, plan: &Plan) -> Seen {
    let Some(runtime) = host.tree.text("/proc/sys/kernel/sched_rt_runtime_us") else {
        return Seen::unseen("no kernel.sched_rt_runtime_us");
    };
    let found = format!("sched_rt_runtime_us = {runtime}");
    if plan.realtime_priority == 0 {
        return Seen::good(format!("{found}; no hot core is in that class"));
    }
    if runtime != "-1" {
        return Seen::costs(found);
    }
    if host.version() < Some(FAIR_SERVER) {
        return Seen::good(found);
    }
    let of = |cpu: usize| {
        let file = format!("/sys/kernel/debug/sched/fair_server/cpu{cpu}/runtime");
        Some((cpu, host.tree.number(&file)?))
    };
    let servers: Vec<(usize, i64)> = plan.hot_cpus().iter().filter_map(of).collect();
    let on: Vec<String> = servers
        .iter()
        .filter(|(_, runtime)| *runtime > 0)
        .map(|(cpu, runtime)| format!("cpu{cpu} {runtime} ns"))
        .collect();
    match (servers.is_empty(), on.is_empty()) {
        (true, _) => Seen::unseen(format!("{found}, and the fair server hides in debugfs")),
        (false, true) => Seen::good(format!("{found}, no fair server")),
        (false, false) => Seen::costs(format!("{found}, fair server of {}", on.join(", "))),
    }
}
