//! Checks of an interface by which a feed comes in or orders go out.

use super::{Check, Look, Of, Seen};
use crate::{CpuList, Need, Receive};

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: THERE,
        wanted: "an interface of this network namespace, up",
        why: "feed and orders go through it",
        how: "ip link; ip link set IF up",
        look: Look::Interface(there),
    },
    Check {
        name: "driver",
        wanted: "one whose native XDP is known to be good",
        why: "generic XDP copies and comes late in the stack; native mode of some drivers crashes",
        how: "after a trial on a spare host: trusted_drivers = [\"NAME\"]",
        look: Look::Interface(driver),
    },
    Check {
        name: "zero-copy",
        wanted: "the driver can AF_XDP zero-copy",
        why: "without it each frame is copied once more",
        how: "a card and a kernel that can; tickgate doctor --measure asks for it in earnest",
        look: Look::Interface(zero_copy),
    },
    Check {
        name: "receive queues",
        wanted: "one for the feed, or steering to chosen queues",
        why: "each queue is one more socket for the feed core to poll",
        how: "ethtool -L IF combined 1, or ethtool -N IF flow-type udp4 ... action QUEUE",
        look: Look::Interface(queues),
    },
    Check {
        name: "queues served",
        wanted: "all, or the feed steered to those that are",
        why: "packets of the feed on another queue are lost to it (socket.NAME.unserved)",
        how: "af_xdp.queues = [] for all; ethtool -N IF flow-type udp4 ... action QUEUE to steer",
        look: Look::Interface(queues_served),
    },
    Check {
        name: "ring sizes",
        wanted: "1024 descriptors to receive, or all that the card has",
        why: "a burst waits there while the core is busy; what finds no descriptor is lost",
        how: "ethtool -G IF rx 1024",
        look: Look::Interface(ring_sizes),
    },
    Check {
        name: "LRO",
        wanted: "off",
        why: "frames are held back to be joined, and XDP refuses to attach with some drivers",
        how: "tickgate-host-tune apply, or ethtool -K IF lro off",
        look: Look::Interface(lro),
    },
    Check {
        name: "GRO",
        wanted: "off",
        why: "an answer of the exchange waits for the end of the poll, in case the next frame can be joined to it",
        how: "tickgate-host-tune apply, or ethtool -K IF gro off",
        look: Look::Interface(gro),
    },
    Check {
        name: "coalescing",
        wanted: "no wait, and none that the driver chooses",
        why: "the card holds each interrupt back that long",
        how: "tickgate-host-tune apply, or ethtool -C IF adaptive-rx off rx-usecs 0",
        look: Look::Interface(coalescing),
    },
    Check {
        name: "napi_defer_hard_irqs",
        wanted: "1 or more where the hot core polls the card (busy_poll_us), else 0",
        why: "polled, interrupts would disturb the core that polls; not polled, frames would wait for a timer",
        how: "tickgate-host-tune apply, or echo N > /sys/class/net/IF/napi_defer_hard_irqs",
        look: Look::Interface(napi_defer),
    },
    Check {
        name: "gro_flush_timeout",
        wanted: "some 200,000 ns where the hot core polls the card (busy_poll_us), else 0",
        why: "polled, it is when the kernel looks by itself; not polled, frames wait that long to be joined",
        how: "tickgate-host-tune apply, or echo NS > /sys/class/net/IF/gro_flush_timeout",
        look: Look::Interface(flush_timeout),
    },
    Check {
        name: "IRQ affinity",
        wanted: "the card's interrupts on CPUs without a hot core",
        why: "the interrupt and the kernel's work behind it stop the hot core for microseconds a packet",
        how: "tickgate-host-tune apply, or echo CPU > /proc/irq/N/smp_affinity_list, and no irqbalance",
        look: Look::Interface(irq_affinity),
    },
    Check {
        name: "NUMA node",
        wanted: "hot cores on the card's memory node",
        why: "frames of another node cost a trip through the socket link: some 100 ns for each line of cache",
        how: "hot cores on CPUs of /sys/class/net/IF/device/local_cpulist",
        look: Look::Interface(numa_node),
    },
    Check {
        name: "default route",
        wanted: "elsewhere",
        why: "a fault of XDP on this interface would cut the host off",
        how: "a card of its own for the feed, or allow_default_route = true",
        look: Look::Interface(default_route),
    },
];

/// The check that all others of an interface stand on.
pub(super) const THERE: &str = "interface";

pub(super) fn exists(of: &Of<'_>) -> bool {
    of.host.tree.has(&format!("/sys/class/net/{}", of.name))
}

fn there(of: &Of<'_>) -> Seen {
    if !exists(of) {
        return Seen::fails("does not exist");
    }
    match of.host.of_interface(of.name, "operstate").as_deref() {
        Some(state @ ("up" | "unknown")) => Seen::good(state),
        Some(state) => Seen::fails(state),
        None => Seen::unseen("operstate"),
    }
}

fn is_xdp(of: &Of<'_>) -> bool {
    of.wish.receive == Receive::AfXdp
}

fn driver(of: &Of<'_>) -> Seen {
    let Some(name) = &of.card.driver else {
        return Seen::unseen("the driver does not say its name");
    };
    let trusted = of.plan.drivers.iter().find(|driver| driver.name == *name);
    match trusted {
        Some(driver) => Seen::good(format!("{name} ({})", driver.why)),
        None => Seen::good_if(!is_xdp(of), name.clone()),
    }
}

fn zero_copy(of: &Of<'_>) -> Seen {
    match (of.card.zero_copy, of.wish.zero_copy) {
        (None, _) => Seen::unseen("a kernel before 6.3 does not say"),
        (Some(true), _) => Seen::good("the driver can"),
        (Some(false), Need::None) => Seen::good("the driver cannot; no feed asks for it"),
        (Some(false), Need::Better) => Seen::costs("the driver cannot"),
        (Some(false), Need::Must) => Seen::fails("the driver cannot"),
    }
}

/// How many receive queues are in use.
fn queue_count(of: &Of<'_>) -> Option<u32> {
    let said = of.card.queues.map(|queues| queues.used);
    said.or_else(|| {
        let names = of
            .host
            .tree
            .names(&format!("/sys/class/net/{}/queues", of.name));
        let count = names.iter().filter(|name| name.starts_with("rx-")).count();
        u32::try_from(count).ok().filter(|count| *count > 0)
    })
}

fn queues(of: &Of<'_>) -> Seen {
    match (queue_count(of), of.card.steering_rules.unwrap_or(0)) {
        (None, _) => Seen::unseen("neither ethtool nor sysfs has queues"),
        (Some(1), _) => Seen::good("1"),
        (Some(queues), 0) => Seen::costs(format!("{queues}, nothing is steered")),
        (Some(queues), rules) => Seen::good(format!("{queues}, {rules} steering rules")),
    }
}

fn queues_served(of: &Of<'_>) -> Seen {
    let chosen = &of.wish.queues;
    if chosen.is_empty() || !is_xdp(of) {
        return Seen::good("all");
    }
    let Some(queues) = queue_count(of) else {
        return Seen::unseen("neither ethtool nor sysfs has queues");
    };
    let left_out = (0..queues).filter(|queue| !chosen.contains(queue));
    let left_out: Vec<String> = left_out.map(|queue| queue.to_string()).collect();
    if left_out.is_empty() {
        Seen::good("all")
    } else {
        Seen::costs(format!("all but {} of {queues}", left_out.join(", ")))
    }
}

/// Half a millisecond of 64-byte frames at two million a second.
const DESCRIPTORS_MIN: u32 = 1024;

fn ring_sizes(of: &Of<'_>) -> Seen {
    match of.card.rings {
        None => Seen::unseen("the driver does not say"),
        Some(rings) => {
            let is_good = rings.rx >= DESCRIPTORS_MIN.min(rings.rx_max);
            Seen::good_if(
                is_good,
                format!("{} of {} to receive", rings.rx, rings.rx_max),
            )
        }
    }
}

fn lro(of: &Of<'_>) -> Seen {
    off(of.card.lro)
}

fn gro(of: &Of<'_>) -> Seen {
    off(of.card.gro)
}

fn off(is_on: Option<bool>) -> Seen {
    match is_on {
        None => Seen::unseen("the driver does not say"),
        Some(is_on) => Seen::good_if(!is_on, if is_on { "on" } else { "off" }),
    }
}

fn coalescing(of: &Of<'_>) -> Seen {
    match of.card.coalescing {
        None => Seen::unseen("the driver does not say"),
        Some(it) if it.is_adaptive_rx => Seen::costs(format!("adaptive, {} µs now", it.rx_us)),
        Some(it) => Seen::good_if(it.rx_us == 0, format!("{} µs", it.rx_us)),
    }
}

fn napi_defer(of: &Of<'_>) -> Seen {
    deferred(of, "napi_defer_hard_irqs", "")
}

fn flush_timeout(of: &Of<'_>) -> Seen {
    deferred(of, "gro_flush_timeout", " ns")
}

fn deferred(of: &Of<'_>, file: &str, unit: &str) -> Seen {
    let value = of.host.of_interface(of.name, file);
    let Some(value) = value.and_then(|value| value.parse::<u64>().ok()) else {
        return Seen::unseen(file);
    };
    let found = format!("{value}{unit}");
    Seen::good_if(of.wish.busy_poll == (value > 0), found)
}

fn irq_affinity(of: &Of<'_>) -> Seen {
    let irqs = of.host.irqs(of.name);
    if irqs.is_empty() {
        return Seen::unseen("no interrupts of a card of its own (msi_irqs)");
    }
    let hot = of.plan.hot_cpus();
    let mut all = CpuList::default();
    let mut on_hot = Vec::new();
    for irq in irqs {
        let Some(cpus) = of.host.irq_cpus(irq) else {
            continue;
        };
        let both = cpus.both(&hot);
        if !both.is_empty() {
            on_hot.push(format!("irq {irq} on hot CPU {both}"));
        }
        all = all.with(&cpus);
    }
    match (all.is_empty(), on_hot.is_empty()) {
        (true, _) => Seen::unseen("/proc/irq/N/smp_affinity_list"),
        (_, true) => Seen::good(format!("CPU {all}")),
        (_, false) => Seen::costs(on_hot.join(", ")),
    }
}

fn numa_node(of: &Of<'_>) -> Seen {
    let nodes = of.host.nodes();
    if nodes.is_empty() {
        return Seen::unseen("no memory nodes in /sys/devices/system/node");
    }
    let node = of.host.of_card(of.name, "numa_node");
    let node = node.and_then(|node| node.parse::<u32>().ok());
    let found = match (nodes.len(), node) {
        (1, _) if of.host.is_guest() => {
            return Seen::unseen("one node, but this is a guest: its host may have more");
        }
        (1, _) => return Seen::good("the host has one"),
        (_, None) => return Seen::unseen("the card does not say its node"),
        (_, Some(node)) => node,
    };
    let near = nodes.iter().find(|(node, _)| *node == found);
    let near = near.map(|(_, cpus)| cpus.clone()).unwrap_or_default();
    let far = of.plan.hot_cpus().without(&near);
    if far.is_empty() {
        Seen::good(format!("node {found}"))
    } else {
        Seen::costs(format!("node {found}; not hot CPU {far}"))
    }
}

fn default_route(of: &Of<'_>) -> Seen {
    match (of.host.carries_default_route(of.name), is_xdp(of)) {
        (None, _) => Seen::unseen("/proc/thread-self/net/route"),
        (Some(false), _) => Seen::good("elsewhere"),
        (Some(true), false) => Seen::good("leaves through it; no XDP is planned here"),
        (Some(true), true) if of.wish.allow_default_route => Seen::costs("leaves through it"),
        (Some(true), true) => Seen::fails("leaves through it"),
    }
}
