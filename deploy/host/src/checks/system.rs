//! Checks of the kernel and its clock.

use super::{Check, Look, Seen, or_none};
use crate::{Host, Need, Plan};

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "clock source",
        wanted: "tsc",
        why: "other sources cost a system call or microseconds for each stamp",
        how: "boot with clocksource=tsc tsc=reliable where the hardware has a constant TSC",
        look: Look::Host(clock_source),
    },
    Check {
        name: "TSC flags",
        wanted: "constant_tsc and nonstop_tsc",
        why: "a TSC that changes its rate or stops in deep sleep is no clock: stamps of two cores disagree",
        how: "a host, or a guest's CPU model, with an invariant TSC",
        look: Look::Host(tsc_flags),
    },
    Check {
        name: "mitigations",
        wanted: "none, where nobody else's code runs on this host",
        why: "each entry into the kernel, so each send, costs more by hundreds of nanoseconds",
        how: "boot with mitigations=off, after asking whoever answers for security",
        look: Look::Host(mitigations),
    },
    Check {
        name: "kernel",
        wanted: "6.1 or newer; 6.6 for submit = \"delegated\"",
        why: "BPF links for XDP, io_uring multishot receive and deferred task work; TCX links",
        how: "a newer kernel (Debian 12 has 6.1, its backports have more)",
        look: Look::Host(kernel),
    },
    Check {
        name: "AF_XDP",
        wanted: "a socket can be made",
        why: "receive = \"af_xdp\" needs it; kernel sockets are the last rung",
        how: "a kernel with CONFIG_XDP_SOCKETS, run as root or with CAP_NET_RAW",
        look: Look::Host(af_xdp),
    },
    Check {
        name: "io_uring",
        wanted: "kernel.io_uring_disabled = 0",
        why: "orders go out through it",
        how: "sysctl kernel.io_uring_disabled=0",
        look: Look::Host(io_uring),
    },
    Check {
        name: "sched_migration_cost",
        wanted: "5,000,000 ns or more",
        why: "below it housekeeping's threads are moved between CPUs more eagerly, and arrive with cold caches",
        how: "mount -t debugfs none /sys/kernel/debug; echo 5000000 > /sys/kernel/debug/sched/migration_cost_ns",
        look: Look::Host(migration_cost),
    },
];

fn clock_source(host: &Host, _: &Plan) -> Seen {
    match host
        .tree
        .text("/sys/devices/system/clocksource/clocksource0/current_clocksource")
    {
        Some(source) => Seen::good_if(source == "tsc", or_none(source)),
        None => Seen::unseen("/sys/devices/system/clocksource"),
    }
}

fn tsc_flags(host: &Host, _: &Plan) -> Seen {
    let Some(flags) = host.cpu_flags() else {
        return Seen::unseen("no flags in /proc/cpuinfo");
    };
    let has = |flag: &&str| flags.iter().any(|it| it == flag);
    let missing: Vec<&str> = ["constant_tsc", "nonstop_tsc"]
        .into_iter()
        .filter(|flag| !has(flag))
        .collect();
    if missing.is_empty() {
        Seen::good("constant_tsc, nonstop_tsc")
    } else {
        Seen::costs(format!("without {}", missing.join(", ")))
    }
}

fn mitigations(host: &Host, _: &Plan) -> Seen {
    let folder = "/sys/devices/system/cpu/vulnerabilities";
    let names = host.tree.names(folder);
    if names.is_empty() {
        return Seen::unseen(folder);
    }
    let is_on = |name: &String| {
        let text = host.tree.text(&format!("{folder}/{name}"));
        text.is_some_and(|text| text.contains("Mitigation:"))
    };
    let on: Vec<String> = names.into_iter().filter(is_on).collect();
    Seen::good_if(on.is_empty(), or_none(on.join(", ")))
}

fn kernel(host: &Host, plan: &Plan) -> Seen {
    let Some(version) = host.version() else {
        return Seen::unseen("/proc/sys/kernel/osrelease");
    };
    let found = format!("{}.{}", version.0, version.1);
    match () {
        () if version < (6, 1) => Seen::fails(found),
        () if version < (6, 6) && plan.delegates => Seen::costs(found),
        () => Seen::good(found),
    }
}

fn af_xdp(host: &Host, plan: &Plan) -> Seen {
    match (host.asked.af_xdp.as_deref(), plan.af_xdp) {
        (None, _) => Seen::unseen("nobody has asked"),
        (Some(""), _) => Seen::good("available"),
        (Some(error), Need::None) => Seen::good(format!("{error}; no feed asks for it")),
        (Some(error), Need::Better) => Seen::costs(error),
        (Some(error), Need::Must) => Seen::fails(error),
    }
}

fn io_uring(host: &Host, _: &Plan) -> Seen {
    let disabled = host.tree.text("/proc/sys/kernel/io_uring_disabled");
    match (disabled.as_deref(), host.version()) {
        (Some("0"), _) => Seen::good("io_uring_disabled = 0"),
        (Some(value), _) => Seen::fails(format!("io_uring_disabled = {value}")),
        // The switch came with 6.6.
        (None, Some(version)) if version < (6, 6) => Seen::good("no switch before Linux 6.6"),
        (None, _) => Seen::unseen("no kernel.io_uring_disabled: perhaps built without io_uring"),
    }
}

fn migration_cost(host: &Host, _: &Plan) -> Seen {
    match host
        .tree
        .number("/sys/kernel/debug/sched/migration_cost_ns")
    {
        Some(cost) => Seen::good_if(cost >= 5_000_000, format!("{cost} ns")),
        None => Seen::unseen("debugfs is not mounted, or may not be read"),
    }
}
