//! Checks of the network stack: what is changed on a fit host, and what is then found.

use tickgate_host::Verdict::{Costs, Good, Unseen};

use super::Change::{Other, Put, Remove};
use super::{Case, case};

pub(crate) const STACK: &[Case] = &[
    case(
        "busy_poll",
        Put("/proc/sys/net/core/busy_poll", "50\n"),
        Costs,
        "50 µs",
    ),
    case(
        "busy_poll",
        Remove("/proc/sys/net/core/busy_poll"),
        Unseen,
        "not visible here: no net.core.busy_poll",
    ),
    case(
        "busy_read",
        Put("/proc/sys/net/core/busy_read", "50\n"),
        Costs,
        "50 µs",
    ),
    case(
        "busy_read",
        Remove("/proc/sys/net/core/busy_read"),
        Unseen,
        "not visible here: no net.core.busy_read",
    ),
    case(
        "netdev_max_backlog",
        Put("/proc/sys/net/core/netdev_max_backlog", "1000\n"),
        Costs,
        "1000; 0 dropped since boot",
    ),
    case(
        "netdev_max_backlog",
        Put("/proc/net/softnet_stat", "1 a\n2 00000001\n"),
        Costs,
        "4096; 11 dropped since boot",
    ),
    case(
        "netdev_max_backlog",
        Remove("/proc/sys/net/core/netdev_max_backlog"),
        Unseen,
        "not visible here: no net.core.netdev_max_backlog",
    ),
    case(
        "congestion control",
        Put("/proc/sys/net/ipv4/tcp_congestion_control", "bbr\n"),
        Costs,
        "bbr",
    ),
    case(
        "congestion control",
        Remove("/proc/sys/net/ipv4"),
        Unseen,
        "not visible here: no net.ipv4.tcp_congestion_control",
    ),
    case(
        "TCP timestamps",
        Put("/proc/sys/net/ipv4/tcp_timestamps", "0\n"),
        Costs,
        "tcp_timestamps = 0",
    ),
    case(
        "TCP timestamps",
        Remove("/proc/sys/net/ipv4"),
        Unseen,
        "not visible here: no net.ipv4.tcp_timestamps",
    ),
    case(
        "connection tracking",
        Put("/proc/sys/net/netfilter/nf_conntrack_count", "7\n"),
        Costs,
        "loaded, 7 connections",
    ),
    case(
        "connection tracking",
        Put("/proc/sys/net/netfilter/nf_conntrack_count", "0\n"),
        Good,
        "loaded, 0 connections",
    ),
    case(
        "connection tracking",
        Other(|fake| {
            fake.put("/proc/sys/net/netfilter/nf_conntrack_count", "7\n");
            fake.plan.delegates = true;
        }),
        Costs,
        "loaded, 7 connections, and orders go past the kernel's TCP",
    ),
    case(
        "connection tracking",
        Put("/proc/sys/net/netfilter/nf_conntrack_max", "7\n"),
        Unseen,
        "not visible here: nf_conntrack_count",
    ),
    case(
        "connection tracking",
        Remove("/proc/sys/net"),
        Unseen,
        "not visible here: /proc/sys/net",
    ),
];
