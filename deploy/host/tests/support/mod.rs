//! A host of files in a folder of its own: fit, until a test changes it.

#![allow(dead_code, reason = "each test uses a part")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tickgate_host::{
    Asked, Card, Coalescing, Driver, Finding, Host, HotCore, InterfacePlan, Need, Plan, Queues,
    Receive, RingSizes, checks,
};

/// A faked host, and what is planned on it.
#[derive(Debug)]
pub(crate) struct Fake {
    folder: tempfile::TempDir,
    pub(crate) plan: Plan,
    pub(crate) asked: Asked,
}

/// Files of a host with four CPUs on two nodes, of which 2 and 3 are for hot cores.
const FILES: &[(&str, &str)] = &[
    (
        "/proc/cmdline",
        "root=/dev/sda1 isolcpus=2-3 nohz_full=2-3 rcu_nocbs=2-3",
    ),
    (
        "/proc/cpuinfo",
        "processor\t: 0\nflags\t\t: fpu tsc constant_tsc nonstop_tsc\n",
    ),
    (
        "/proc/meminfo",
        "MemTotal: 1 kB\nHugePages_Total:     256\nHugepagesize:       2048 kB\n",
    ),
    (
        "/proc/swaps",
        "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n",
    ),
    (
        "/proc/self/limits",
        "Limit  Soft Limit  Hard Limit  Units\nMax locked memory         unlimited            unlimited            bytes\nMax realtime priority     99                   99\n",
    ),
    (
        "/proc/self/status",
        "Name:\tdoctor\nCapEff:\t0000000000000000\nCpus_allowed_list:\t0-3\n",
    ),
    ("/proc/sys/kernel/io_uring_disabled", "0\n"),
    ("/proc/sys/kernel/numa_balancing", "0\n"),
    ("/proc/sys/kernel/osrelease", "6.18.4-amd64\n"),
    ("/proc/sys/kernel/sched_rt_runtime_us", "-1\n"),
    ("/proc/sys/net/core/busy_poll", "0\n"),
    ("/proc/sys/net/core/busy_read", "0\n"),
    ("/proc/sys/net/core/netdev_max_backlog", "4096\n"),
    ("/proc/sys/net/ipv4/tcp_congestion_control", "cubic\n"),
    ("/proc/sys/net/ipv4/tcp_timestamps", "1\n"),
    (
        "/proc/net/softnet_stat",
        "0000a1b2 00000000 00000000\n00000003 00000000 00000000\n",
    ),
    (
        "/proc/thread-self/net/route",
        "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\neno1 00000000 0100A8C0 0003 0 0 0 00000000 0 0 0\nens1 0000000A 00000000 0001 0 0 0 00FFFFFF 0 0 0\n",
    ),
    ("/proc/irq/40/smp_affinity_list", "0-1\n"),
    ("/proc/irq/41/smp_affinity_list", "1\n"),
    ("/proc/irq/41/effective_affinity_list", "1\n"),
    ("/sys/class/net/ens1/operstate", "up\n"),
    ("/sys/class/net/ens1/device/numa_node", "0\n"),
    ("/sys/class/net/ens1/device/msi_irqs/40", "msix\n"),
    ("/sys/class/net/ens1/device/msi_irqs/41", "msix\n"),
    ("/sys/class/net/ens1/napi_defer_hard_irqs", "0\n"),
    ("/sys/class/net/ens1/gro_flush_timeout", "0\n"),
    (
        "/sys/devices/system/clocksource/clocksource0/current_clocksource",
        "tsc\n",
    ),
    ("/sys/devices/system/cpu/isolated", "2-3\n"),
    ("/sys/devices/system/cpu/nohz_full", "2-3\n"),
    ("/sys/devices/system/cpu/online", "0-3\n"),
    (
        "/sys/devices/system/cpu/cpuidle/current_driver",
        "intel_idle\n",
    ),
    (
        "/sys/devices/system/cpu/vulnerabilities/meltdown",
        "Not affected\n",
    ),
    (
        "/sys/devices/system/cpu/vulnerabilities/spectre_v2",
        "Vulnerable\n",
    ),
    ("/sys/devices/system/node/node0/cpulist", "2-3\n"),
    (
        "/sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages",
        "256\n",
    ),
    ("/sys/devices/system/node/node1/cpulist", "0-1\n"),
    (
        "/sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages",
        "0\n",
    ),
    ("/sys/kernel/debug/sched/fair_server/cpu2/runtime", "0\n"),
    ("/sys/kernel/debug/sched/fair_server/cpu3/runtime", "0\n"),
    ("/sys/kernel/debug/sched/migration_cost_ns", "5000000\n"),
    (
        "/sys/kernel/mm/transparent_hugepage/enabled",
        "always [madvise] never\n",
    ),
];

/// What differs on a host that nobody has tuned.
const SLOW: &[(&str, &str)] = &[
    (
        "/proc/swaps",
        "Filename Type Size Used Priority\n/dev/sda2 partition 1048572 7 -2\n/swap file 99 0 5\n",
    ),
    ("/proc/sys/kernel/numa_balancing", "1\n"),
    ("/proc/sys/kernel/sched_rt_runtime_us", "950000\n"),
    ("/proc/sys/net/core/busy_poll", "50\n"),
    ("/proc/sys/net/core/busy_read", "50\n"),
    ("/proc/sys/net/core/netdev_max_backlog", "1000\n"),
    ("/proc/irq/40/smp_affinity_list", "0-3\n"),
    ("/proc/irq/41/smp_affinity_list", "3\n"),
    ("/proc/irq/41/effective_affinity_list", "\n"),
    ("/sys/class/net/ens1/napi_defer_hard_irqs", "1\n"),
    ("/sys/class/net/ens1/gro_flush_timeout", "20000\n"),
    (
        "/sys/devices/system/cpu/cpu2/cpufreq/scaling_governor",
        "powersave\n",
    ),
    (
        "/sys/devices/system/cpu/cpu3/cpufreq/scaling_governor",
        "schedutil\n",
    ),
    ("/sys/devices/system/cpu/cpu2/cpuidle/state2/disable", "0\n"),
    (
        "/sys/kernel/debug/sched/fair_server/cpu3/runtime",
        "50000000\n",
    ),
    ("/sys/kernel/debug/sched/migration_cost_ns", "500000\n"),
    (
        "/sys/kernel/mm/transparent_hugepage/enabled",
        "[always] madvise never\n",
    ),
];

/// Files of each CPU.
const OF_CPU: &[(&str, &str)] = &[
    ("cpufreq/scaling_governor", "performance\n"),
    ("cpuidle/state0/name", "POLL\n"),
    ("cpuidle/state0/latency", "0\n"),
    ("cpuidle/state0/disable", "0\n"),
    ("cpuidle/state1/name", "C1\n"),
    ("cpuidle/state1/latency", "2\n"),
    ("cpuidle/state1/disable", "0\n"),
    ("cpuidle/state2/name", "C6\n"),
    ("cpuidle/state2/latency", "133\n"),
    ("cpuidle/state2/disable", "1\n"),
];

impl Fake {
    pub(crate) fn fit() -> Self {
        // In memory, where there is such a place: a fake has ninety files.
        let (shared, temporary) = (Path::new("/dev/shm"), std::env::temp_dir());
        let fake = Self {
            folder: tempfile::tempdir_in(if shared.is_dir() { shared } else { &temporary })
                .unwrap(),
            plan: plan(),
            asked: Asked {
                af_xdp: Some(String::new()),
                cards: BTreeMap::from([("ens1".to_owned(), card())]),
            },
        };
        for (path, text) in FILES {
            fake.put(path, text);
        }
        for cpu in 0..4 {
            let folder = format!("/sys/devices/system/cpu/cpu{cpu}");
            for (path, text) in OF_CPU {
                fake.put(&format!("{folder}/{path}"), text);
            }
            fake.put(
                &format!("{folder}/topology/thread_siblings_list"),
                &format!("{cpu}\n"),
            );
        }
        fake
    }

    /// A host on which everything that can be turned stands wrong.
    pub(crate) fn slow() -> Self {
        let mut fake = Self::fit();
        for (path, text) in SLOW {
            fake.put(path, text);
        }
        let card = fake.card();
        (card.lro, card.gro) = (Some(true), Some(true));
        card.coalescing = Some(Coalescing {
            rx_us: 50,
            tx_us: 40,
            is_adaptive_rx: true,
            is_adaptive_tx: false,
        });
        fake.host();
        fake
    }

    /// Every file with what is in it.
    pub(crate) fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let (mut files, mut folders) = (BTreeMap::new(), vec![self.root().to_owned()]);
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    files.insert(path.clone(), std::fs::read(&path).unwrap());
                }
            }
        }
        files
    }

    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn put(&self, path: &str, text: &str) {
        let path = self.root().join(path.trim_start_matches('/'));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Takes a file or a folder away.
    pub(crate) fn remove(&self, path: &str) {
        let path = self.root().join(path.trim_start_matches('/'));
        if path.is_dir() {
            std::fs::remove_dir_all(path).unwrap();
        } else {
            std::fs::remove_file(path).unwrap();
        }
    }

    pub(crate) fn card(&mut self) -> &mut Card {
        self.asked.cards.get_mut("ens1").unwrap()
    }

    pub(crate) fn wish(&mut self) -> &mut InterfacePlan {
        self.plan.interfaces.get_mut("ens1").unwrap()
    }

    pub(crate) fn host(&self) -> Host {
        self.put("/asked.json", &serde_json::to_string(&self.asked).unwrap());
        Host::read(self.root(), &self.plan)
    }

    pub(crate) fn findings(&self) -> Vec<Finding> {
        checks::run(&self.host(), &self.plan)
    }

    /// The finding of one check; of a check of interfaces, that of ens1.
    pub(crate) fn finding(&self, check: &str) -> Finding {
        let found = self.findings().into_iter().find(|it| it.check == check);
        found.unwrap_or_else(|| panic!("no check is called {check}"))
    }
}

fn plan() -> Plan {
    let core = |name: &str, cpu| HotCore {
        name: name.to_owned(),
        cpu: Some(cpu),
    };
    let interface = InterfacePlan {
        receive: Receive::AfXdp,
        zero_copy: Need::Better,
        ..InterfacePlan::default()
    };
    Plan {
        hot: vec![core("feed", 2), core("orders", 3)],
        interfaces: BTreeMap::from([("ens1".to_owned(), interface)]),
        realtime_priority: 50,
        lock_memory: true,
        huge_bytes: Some(400 << 20),
        af_xdp: Need::Better,
        delegates: false,
        drivers: vec![Driver {
            name: "ice".to_owned(),
            why: "zero-copy in the kernel since 5.5".to_owned(),
        }],
    }
}

fn card() -> Card {
    Card {
        driver: Some("ice".to_owned()),
        queues: Some(Queues { used: 1, max: 64 }),
        rings: Some(RingSizes {
            rx: 2048,
            rx_max: 8160,
            tx: 256,
            tx_max: 8160,
        }),
        coalescing: Some(Coalescing::default()),
        lro: Some(false),
        gro: Some(false),
        steering_rules: Some(0),
        zero_copy: Some(true),
    }
}
