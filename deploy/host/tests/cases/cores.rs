//! Checks of CPUs: what is changed on a fit host, and what is then found.

use tickgate_host::Verdict::{Costs, Fails, Good, Unseen};

use super::Change::{Other, Put, Remove};
use super::{Case, case};

const CPU2: &str = "/sys/devices/system/cpu/cpu2";

pub(crate) const CORES: &[Case] = &[
    case(
        "CPUs",
        Put("/proc/self/status", "Cpus_allowed_list:\t2-3\n"),
        Costs,
        "2: 2-3",
    ),
    case(
        "CPUs",
        Put("/proc/self/status", "Cpus_allowed_list:\t0-2\n"),
        Fails,
        "0-2, and not 3 of a hot core",
    ),
    case(
        "CPUs",
        Remove("/proc/self/status"),
        Unseen,
        "not visible here: /proc/self/status",
    ),
    case(
        "isolated CPUs",
        Put("/sys/devices/system/cpu/isolated", "\n"),
        Costs,
        "none; not hot CPU 2-3",
    ),
    case(
        "isolated CPUs",
        Put("/sys/devices/system/cpu/isolated", "1-2\n"),
        Costs,
        "1-2; not hot CPU 3",
    ),
    case(
        "isolated CPUs",
        Put("/sys/fs/cgroup/cpuset.cpus.isolated", "1\n"),
        Good,
        "1-3",
    ),
    case(
        "isolated CPUs",
        Other(|fake| fake.plan.hot.clear()),
        Costs,
        "2-3; no hot core is pinned",
    ),
    case(
        "isolated CPUs",
        Remove("/sys/devices/system/cpu/isolated"),
        Unseen,
        "not visible here: /sys/devices/system/cpu/isolated",
    ),
    case(
        "nohz_full",
        Put("/sys/devices/system/cpu/nohz_full", "(null)\n"),
        Costs,
        "none; not hot CPU 2-3",
    ),
    case(
        "nohz_full",
        Remove("/sys/devices/system/cpu/nohz_full"),
        Unseen,
        "not visible here: this kernel cannot stop its tick (no /sys/devices/system/cpu/nohz_full)",
    ),
    case(
        "rcu_nocbs",
        Other(|fake| {
            fake.put("/proc/cmdline", "quiet");
            fake.put("/sys/devices/system/cpu/nohz_full", "")
        }),
        Costs,
        "none; not hot CPU 2-3",
    ),
    case(
        "rcu_nocbs",
        Put("/proc/cmdline", "quiet rcu_nocbs=all"),
        Good,
        "all",
    ),
    case("rcu_nocbs", Put("/proc/cmdline", "quiet"), Good, "2-3"),
    case(
        "rcu_nocbs",
        Remove("/proc/cmdline"),
        Unseen,
        "not visible here: /proc/cmdline",
    ),
    case(
        "CPU governor",
        Put(
            "/sys/devices/system/cpu/cpu2/cpufreq/scaling_governor",
            "powersave\n",
        ),
        Costs,
        "cpu2 powersave, cpu3 performance",
    ),
    case(
        "CPU governor",
        Other(|fake| {
            fake.remove(&format!("{CPU2}/cpufreq"));
            fake.remove("/sys/devices/system/cpu/cpu3/cpufreq")
        }),
        Unseen,
        "not visible here: no frequency scaling (no cpufreq)",
    ),
    case(
        "idle states",
        Put("/sys/devices/system/cpu/cpu2/cpuidle/state2/disable", "0\n"),
        Costs,
        "cpu2 C6 (133 µs)",
    ),
    case(
        "idle states",
        Put(
            "/sys/devices/system/cpu/cpuidle/current_driver",
            "haltpoll\n",
        ),
        Unseen,
        "not visible here: a guest that halts into its hypervisor (haltpoll)",
    ),
    case(
        "idle states",
        Other(|fake| {
            fake.remove(&format!("{CPU2}/cpuidle"));
            fake.remove("/sys/devices/system/cpu/cpu3/cpuidle")
        }),
        Unseen,
        "not visible here: no idle states (no cpuidle)",
    ),
    case(
        "SMT siblings",
        Put(
            "/sys/devices/system/cpu/cpu2/topology/thread_siblings_list",
            "0,2\n",
        ),
        Costs,
        "cpu2 beside 0",
    ),
    case(
        "SMT siblings",
        Other(|fake| {
            fake.put(&format!("{CPU2}/topology/thread_siblings_list"), "2,6\n");
        }),
        Good,
        "none",
    ),
    case(
        "SMT siblings",
        Put("/proc/cpuinfo", "flags : hypervisor\n"),
        Unseen,
        "not visible here: none shown, but this is a guest: its host may run two of its CPUs on one core",
    ),
    case(
        "automatic NUMA balancing",
        Put("/proc/sys/kernel/numa_balancing", "1\n"),
        Costs,
        "kernel.numa_balancing = 1",
    ),
    case(
        "automatic NUMA balancing",
        Remove("/proc/sys/kernel/numa_balancing"),
        Unseen,
        "not visible here: no kernel.numa_balancing",
    ),
];
