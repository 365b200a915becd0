//! Checks of an interface: what is changed on a fit host, and what is then found.

use tickgate_host::Verdict::{Costs, Fails, Good, Unseen};
use tickgate_host::{Coalescing, Need, Queues, Receive, RingSizes};

use super::Change::{Other, Put, Remove};
use super::{Case, case};

const ENS1: &str = "/sys/class/net/ens1";

pub(crate) const INTERFACES: &[Case] = &[
    case("interface", Remove(ENS1), Fails, "does not exist"),
    case(
        "interface",
        Put("/sys/class/net/ens1/operstate", "down\n"),
        Fails,
        "down",
    ),
    case(
        "interface",
        Remove("/sys/class/net/ens1/operstate"),
        Unseen,
        "not visible here: operstate",
    ),
    case(
        "driver",
        Other(|fake| fake.card().driver = Some("e1000".into())),
        Costs,
        "e1000",
    ),
    case(
        "driver",
        Other(|fake| {
            fake.card().driver = Some("e1000".into());
            fake.wish().receive = Receive::Sockets;
        }),
        Good,
        "e1000",
    ),
    case(
        "driver",
        Other(|fake| fake.card().driver = None),
        Unseen,
        "not visible here: the driver does not say its name",
    ),
    case(
        "zero-copy",
        Other(|fake| fake.card().zero_copy = Some(false)),
        Costs,
        "the driver cannot",
    ),
    case(
        "zero-copy",
        Other(|fake| {
            fake.card().zero_copy = Some(false);
            fake.wish().zero_copy = Need::Must;
        }),
        Fails,
        "the driver cannot",
    ),
    case(
        "zero-copy",
        Other(|fake| {
            fake.card().zero_copy = Some(false);
            fake.wish().zero_copy = Need::None;
        }),
        Good,
        "the driver cannot; no feed asks for it",
    ),
    case(
        "zero-copy",
        Other(|fake| fake.card().zero_copy = None),
        Unseen,
        "not visible here: a kernel before 6.3 does not say",
    ),
    case(
        "receive queues",
        Other(|fake| fake.card().queues = Some(Queues { used: 4, max: 8 })),
        Costs,
        "4, nothing is steered",
    ),
    case(
        "receive queues",
        Other(|fake| {
            fake.card().queues = Some(Queues { used: 4, max: 8 });
            fake.card().steering_rules = Some(2);
        }),
        Good,
        "4, 2 steering rules",
    ),
    case(
        "receive queues",
        Other(|fake| {
            fake.card().queues = None;
            fake.put("/sys/class/net/ens1/queues/rx-0/rps_cpus", "0");
            fake.put("/sys/class/net/ens1/queues/rx-1/rps_cpus", "0");
        }),
        Costs,
        "2, nothing is steered",
    ),
    case(
        "receive queues",
        Other(|fake| fake.card().queues = None),
        Unseen,
        "not visible here: neither ethtool nor sysfs has queues",
    ),
    case(
        "queues served",
        Other(|fake| {
            fake.card().queues = Some(Queues { used: 4, max: 8 });
            fake.wish().queues = vec![0, 2];
        }),
        Costs,
        "all but 1, 3 of 4",
    ),
    case(
        "queues served",
        Other(|fake| {
            fake.card().queues = Some(Queues { used: 2, max: 8 });
            fake.wish().queues = vec![1, 0];
        }),
        Good,
        "all",
    ),
    case(
        "queues served",
        Other(|fake| {
            fake.card().queues = None;
            fake.wish().queues = vec![0];
        }),
        Unseen,
        "not visible here: neither ethtool nor sysfs has queues",
    ),
    case(
        "ring sizes",
        Other(|fake| {
            fake.card().rings = Some(RingSizes {
                rx: 512,
                rx_max: 4096,
                tx: 0,
                tx_max: 0,
            })
        }),
        Costs,
        "512 of 4096 to receive",
    ),
    case(
        "ring sizes",
        Other(|fake| {
            fake.card().rings = Some(RingSizes {
                rx: 256,
                rx_max: 256,
                tx: 0,
                tx_max: 0,
            })
        }),
        Good,
        "256 of 256 to receive",
    ),
    case(
        "ring sizes",
        Other(|fake| fake.card().rings = None),
        Unseen,
        "not visible here: the driver does not say",
    ),
    case(
        "LRO",
        Other(|fake| fake.card().lro = Some(true)),
        Costs,
        "on",
    ),
    case(
        "LRO",
        Other(|fake| fake.card().lro = None),
        Unseen,
        "not visible here: the driver does not say",
    ),
    case(
        "GRO",
        Other(|fake| fake.card().gro = Some(true)),
        Costs,
        "on",
    ),
    case(
        "GRO",
        Other(|fake| fake.card().gro = None),
        Unseen,
        "not visible here: the driver does not say",
    ),
    case(
        "coalescing",
        Other(|fake| {
            fake.card().coalescing = Some(Coalescing {
                rx_us: 50,
                ..Coalescing::default()
            })
        }),
        Costs,
        "50 µs",
    ),
    case(
        "coalescing",
        Other(|fake| {
            fake.card().coalescing = Some(Coalescing {
                is_adaptive_rx: true,
                ..Coalescing::default()
            })
        }),
        Costs,
        "adaptive, 0 µs now",
    ),
    case(
        "coalescing",
        Other(|fake| fake.card().coalescing = None),
        Unseen,
        "not visible here: the driver does not say",
    ),
    case(
        "napi_defer_hard_irqs",
        Put("/sys/class/net/ens1/napi_defer_hard_irqs", "2\n"),
        Costs,
        "2",
    ),
    case(
        "napi_defer_hard_irqs",
        Other(|fake| {
            fake.wish().busy_poll = true;
            fake.put("/sys/class/net/ens1/napi_defer_hard_irqs", "2");
        }),
        Good,
        "2",
    ),
    case(
        "napi_defer_hard_irqs",
        Other(|fake| fake.wish().busy_poll = true),
        Costs,
        "0",
    ),
    case(
        "napi_defer_hard_irqs",
        Remove("/sys/class/net/ens1/napi_defer_hard_irqs"),
        Unseen,
        "not visible here: napi_defer_hard_irqs",
    ),
    case(
        "gro_flush_timeout",
        Put("/sys/class/net/ens1/gro_flush_timeout", "200000\n"),
        Costs,
        "200000 ns",
    ),
    case(
        "gro_flush_timeout",
        Other(|fake| fake.wish().busy_poll = true),
        Costs,
        "0 ns",
    ),
    case(
        "gro_flush_timeout",
        Remove("/sys/class/net/ens1/gro_flush_timeout"),
        Unseen,
        "not visible here: gro_flush_timeout",
    ),
    case(
        "IRQ affinity",
        Put("/proc/irq/40/smp_affinity_list", "0-3\n"),
        Costs,
        "irq 40 on hot CPU 2-3",
    ),
    case(
        "IRQ affinity",
        Put("/proc/irq/41/effective_affinity_list", "3\n"),
        Costs,
        "irq 41 on hot CPU 3",
    ),
    case(
        "IRQ affinity",
        Remove("/sys/class/net/ens1/device/msi_irqs"),
        Unseen,
        "not visible here: no interrupts of a card of its own (msi_irqs)",
    ),
    case(
        "IRQ affinity",
        Other(|fake| {
            fake.remove("/sys/class/net/ens1/device/msi_irqs");
            fake.put("/sys/class/net/ens1/msi_irqs/41", "msix");
        }),
        Good,
        "CPU 1",
    ),
    case(
        "IRQ affinity",
        Remove("/proc/irq"),
        Unseen,
        "not visible here: /proc/irq/N/smp_affinity_list",
    ),
    case(
        "NUMA node",
        Put("/sys/class/net/ens1/device/numa_node", "1\n"),
        Costs,
        "node 1; not hot CPU 2-3",
    ),
    case(
        "NUMA node",
        Put("/sys/class/net/ens1/device/numa_node", "-1\n"),
        Unseen,
        "not visible here: the card does not say its node",
    ),
    case(
        "NUMA node",
        Remove("/sys/devices/system/node/node1"),
        Good,
        "the host has one",
    ),
    case(
        "NUMA node",
        Other(|fake| {
            fake.remove("/sys/devices/system/node/node1");
            fake.put("/proc/cpuinfo", "flags : hypervisor");
        }),
        Unseen,
        "not visible here: one node, but this is a guest: its host may have more",
    ),
    case(
        "NUMA node",
        Remove("/sys/devices/system/node"),
        Unseen,
        "not visible here: no memory nodes in /sys/devices/system/node",
    ),
    case(
        "default route",
        Put(
            "/proc/thread-self/net/route",
            "Iface\nens1 00000000 0100A8C0 0003 0 0 0 00000000 0 0 0\n",
        ),
        Fails,
        "leaves through it",
    ),
    case(
        "default route",
        Put(
            "/proc/thread-self/net/ipv6_route",
            "00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003 ens1\n",
        ),
        Fails,
        "leaves through it",
    ),
    case(
        "default route",
        Put(
            "/proc/thread-self/net/ipv6_route",
            "00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200 ens1\n",
        ),
        Good,
        "elsewhere",
    ),
    case(
        "default route",
        Other(|fake| {
            fake.wish().allow_default_route = true;
            fake.put(
                "/proc/thread-self/net/route",
                "Iface\nens1 00000000 0100A8C0 0003 0 0 0 00000000 0 0 0\n",
            );
        }),
        Costs,
        "leaves through it",
    ),
    case(
        "default route",
        Other(|fake| {
            fake.wish().receive = Receive::Sockets;
            fake.put(
                "/proc/thread-self/net/route",
                "Iface\nens1 00000000 0100A8C0 0003 0 0 0 00000000 0 0 0\n",
            );
        }),
        Good,
        "leaves through it; no XDP is planned here",
    ),
    case(
        "default route",
        Remove("/proc/thread-self"),
        Unseen,
        "not visible here: /proc/thread-self/net/route",
    ),
];
