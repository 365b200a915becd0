//! Checks of memory and rights: what is changed on a fit host, and what is then found.

use tickgate_host::Verdict::{Costs, Good, Unseen};

use super::Change::{Other, Put, Remove};
use super::{Case, case};

pub(crate) const MEMORY: &[Case] = &[
    case(
        "huge pages",
        Put(
            "/sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages",
            "199\n",
        ),
        Costs,
        "199 of 2048 KiB; at least 200 are needed",
    ),
    case(
        "huge pages",
        Other(|fake| fake.plan.huge_bytes = Some(0)),
        Good,
        "256; none is asked for (host.huge_pages)",
    ),
    case(
        "huge pages",
        Other(|fake| {
            fake.remove("/sys/devices/system/node");
            fake.plan.huge_bytes = None;
        }),
        Good,
        "256 of 2048 KiB",
    ),
    case(
        "huge pages",
        Put("/proc/meminfo", "MemTotal: 1 kB\n"),
        Unseen,
        "not visible here: this kernel has no huge pages",
    ),
    case(
        "transparent huge pages",
        Put(
            "/sys/kernel/mm/transparent_hugepage/enabled",
            "[always] madvise never\n",
        ),
        Costs,
        "[always] madvise never",
    ),
    case(
        "transparent huge pages",
        Remove("/sys/kernel/mm/transparent_hugepage"),
        Unseen,
        "not visible here: /sys/kernel/mm/transparent_hugepage",
    ),
    case(
        "swap",
        Put(
            "/proc/swaps",
            "Filename Type Size Used Priority\n/dev/sda2 partition 1048572 0 -2\n",
        ),
        Costs,
        "/dev/sda2",
    ),
    case(
        "swap",
        Remove("/proc/swaps"),
        Unseen,
        "not visible here: /proc/swaps",
    ),
    case(
        "locked memory limit",
        Put(
            "/proc/self/limits",
            "Max locked memory  8388608  8388608  bytes\n",
        ),
        Costs,
        "8388608 in this process",
    ),
    case(
        "locked memory limit",
        Put("/proc/self/status", "CapEff:\t0000000000004000\n"),
        Good,
        "unlimited, and CAP_IPC_LOCK, in this process",
    ),
    case(
        "locked memory limit",
        Remove("/proc/self/limits"),
        Unseen,
        "not visible here: /proc/self/limits",
    ),
    case(
        "real-time priority limit",
        Put("/proc/self/limits", "Max realtime priority  49  49\n"),
        Costs,
        "49 in this process",
    ),
    case(
        "real-time priority limit",
        Other(|fake| fake.plan.realtime_priority = 0),
        Good,
        "99; none is asked for (host.realtime_priority)",
    ),
    case(
        "real-time priority limit",
        Put("/proc/self/status", "CapEff:\t0000000000800000\n"),
        Good,
        "99, and CAP_SYS_NICE, in this process",
    ),
    case(
        "real-time priority limit",
        Remove("/proc/self/limits"),
        Unseen,
        "not visible here: /proc/self/limits",
    ),
    case(
        "real-time throttling",
        Put("/proc/sys/kernel/sched_rt_runtime_us", "950000\n"),
        Costs,
        "sched_rt_runtime_us = 950000",
    ),
    case(
        "real-time throttling",
        Put(
            "/sys/kernel/debug/sched/fair_server/cpu3/runtime",
            "50000000\n",
        ),
        Costs,
        "sched_rt_runtime_us = -1, fair server of cpu3 50000000 ns",
    ),
    case(
        "real-time throttling",
        Remove("/sys/kernel/debug"),
        Unseen,
        "not visible here: sched_rt_runtime_us = -1, and the fair server hides in debugfs",
    ),
    case(
        "real-time throttling",
        Other(|fake| {
            fake.remove("/sys/kernel/debug");
            fake.put("/proc/sys/kernel/osrelease", "6.1.0-18-amd64\n");
        }),
        Good,
        "sched_rt_runtime_us = -1",
    ),
    case(
        "real-time throttling",
        Remove("/proc/sys/kernel/sched_rt_runtime_us"),
        Unseen,
        "not visible here: no kernel.sched_rt_runtime_us",
    ),
];
