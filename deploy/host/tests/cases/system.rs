//! Checks of the kernel and its clock: what is changed on a fit host, and what is then found.

use tickgate_host::Need;
use tickgate_host::Verdict::{Costs, Fails, Good, Unseen};

use super::Change::{Other, Put, Remove};
use super::{Case, case};

pub(crate) const SYSTEM: &[Case] = &[
    case(
        "clock source",
        Put(
            "/sys/devices/system/clocksource/clocksource0/current_clocksource",
            "kvm-clock\n",
        ),
        Costs,
        "kvm-clock",
    ),
    case(
        "clock source",
        Remove("/sys/devices/system/clocksource"),
        Unseen,
        "not visible here: /sys/devices/system/clocksource",
    ),
    case(
        "TSC flags",
        Put("/proc/cpuinfo", "flags : tsc constant_tsc\n"),
        Costs,
        "without nonstop_tsc",
    ),
    case(
        "TSC flags",
        Put("/proc/cpuinfo", "Features : fp asimd\n"),
        Unseen,
        "not visible here: no flags in /proc/cpuinfo",
    ),
    case(
        "mitigations",
        Put(
            "/sys/devices/system/cpu/vulnerabilities/spectre_v2",
            "Mitigation: Retpolines\n",
        ),
        Costs,
        "spectre_v2",
    ),
    case(
        "mitigations",
        Remove("/sys/devices/system/cpu/vulnerabilities"),
        Unseen,
        "not visible here: /sys/devices/system/cpu/vulnerabilities",
    ),
    case(
        "kernel",
        Put("/proc/sys/kernel/osrelease", "5.15.0-91-generic\n"),
        Fails,
        "5.15",
    ),
    case(
        "kernel",
        Other(|fake| {
            fake.put("/proc/sys/kernel/osrelease", "6.1.0-18\n");
            fake.plan.delegates = true;
        }),
        Costs,
        "6.1",
    ),
    case(
        "kernel",
        Remove("/proc/sys/kernel/osrelease"),
        Unseen,
        "not visible here: /proc/sys/kernel/osrelease",
    ),
    case(
        "AF_XDP",
        Other(|fake| fake.asked.af_xdp = Some("EPERM".into())),
        Costs,
        "EPERM",
    ),
    case(
        "AF_XDP",
        Other(|fake| {
            fake.asked.af_xdp = Some("EPERM".into());
            fake.plan.af_xdp = Need::Must;
        }),
        Fails,
        "EPERM",
    ),
    case(
        "AF_XDP",
        Other(|fake| {
            fake.asked.af_xdp = Some("EPERM".into());
            fake.plan.af_xdp = Need::None;
        }),
        Good,
        "EPERM; no feed asks for it",
    ),
    case(
        "AF_XDP",
        Other(|fake| fake.asked.af_xdp = None),
        Unseen,
        "not visible here: nobody has asked",
    ),
    case(
        "io_uring",
        Put("/proc/sys/kernel/io_uring_disabled", "2\n"),
        Fails,
        "io_uring_disabled = 2",
    ),
    case(
        "io_uring",
        Remove("/proc/sys/kernel/io_uring_disabled"),
        Unseen,
        "not visible here: no kernel.io_uring_disabled: perhaps built without io_uring",
    ),
    case(
        "io_uring",
        Other(|fake| {
            fake.remove("/proc/sys/kernel/io_uring_disabled");
            fake.put("/proc/sys/kernel/osrelease", "6.1.0\n");
        }),
        Good,
        "no switch before Linux 6.6",
    ),
    case(
        "sched_migration_cost",
        Put("/sys/kernel/debug/sched/migration_cost_ns", "500000\n"),
        Costs,
        "500000 ns",
    ),
    case(
        "sched_migration_cost",
        Remove("/sys/kernel/debug"),
        Unseen,
        "not visible here: debugfs is not mounted, or may not be read",
    ),
];
