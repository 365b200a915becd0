//! Checks of the network stack as a whole.

use super::{Check, Look, Seen};
use crate::{Host, Plan};

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "busy_poll",
        wanted: "0; sockets set their own",
        why: "the default of every poll() and select() of the host: others spin, too",
        how: "sysctl net.core.busy_poll=0; session.NAME.busy_poll_us",
        look: Look::Host(busy_poll),
    },
    Check {
        name: "busy_read",
        wanted: "0; sockets set their own",
        why: "the default of every socket's reads: others spin, too",
        how: "sysctl net.core.busy_read=0; feed.NAME.udp.busy_poll_us",
        look: Look::Host(busy_read),
    },
    Check {
        name: "netdev_max_backlog",
        wanted: "4096 or more, and nothing dropped",
        why: "what loopback, veth and packet steering hand on waits there, and a burst beyond it is lost",
        how: "sysctl net.core.netdev_max_backlog=4096",
        look: Look::Host(backlog),
    },
    Check {
        name: "congestion control",
        wanted: "cubic or reno",
        why: "one that paces (bbr) lets an order wait for a timer after the one before",
        how: "sysctl net.ipv4.tcp_congestion_control=cubic",
        look: Look::Host(congestion_control),
    },
    Check {
        name: "TCP timestamps",
        wanted: "1",
        why: "without them TCP cannot tell a late answer from a lost segment, and slows down for nothing",
        how: "sysctl net.ipv4.tcp_timestamps=1",
        look: Look::Host(timestamps),
    },
    Check {
        name: "connection tracking",
        wanted: "not loaded, or without connections",
        why: "each packet of an order is looked up; past the kernel's TCP it sees half of a flow, and may drop the answers",
        how: "no stateful firewall rules on this host, or notrack rules for the exchange's addresses",
        look: Look::Host(connection_tracking),
    },
];

fn busy_poll(host: &Host, _: &Plan) -> Seen {
    zero(host, "busy_poll")
}

fn busy_read(host: &Host, _: &Plan) -> Seen {
    zero(host, "busy_read")
}

fn zero(host: &Host, key: &str) -> Seen {
    match host.tree.number(&format!("/proc/sys/net/core/{key}")) {
        Some(us) => Seen::good_if(us == 0, format!("{us} µs")),
        None => Seen::unseen(format!("no net.core.{key}")),
    }
}

/// A burst of a day's opening fits, at the 2048 descriptors that a card's ring often has.
const BACKLOG_MIN: i64 = 4096;

fn backlog(host: &Host, _: &Plan) -> Seen {
    let Some(max) = host.tree.number("/proc/sys/net/core/netdev_max_backlog") else {
        return Seen::unseen("no net.core.netdev_max_backlog");
    };
    let table = host.tree.text("/proc/net/softnet_stat");
    let Some(table) = table else {
        return Seen::good_if(max >= BACKLOG_MIN, format!("{max}"));
    };
    // A line a CPU; the second word is what found no room.
    let dropped: u64 = table
        .lines()
        .filter_map(|line| line.split_ascii_whitespace().nth(1))
        .filter_map(|word| u64::from_str_radix(word, 16).ok())
        .sum();
    let is_good = max >= BACKLOG_MIN && dropped == 0;
    Seen::good_if(is_good, format!("{max}; {dropped} dropped since boot"))
}

fn congestion_control(host: &Host, _: &Plan) -> Seen {
    match host.tree.text("/proc/sys/net/ipv4/tcp_congestion_control") {
        Some(name) => {
            let is_good = ["cubic", "reno"].contains(&name.as_str());
            Seen::good_if(is_good, name)
        }
        None => Seen::unseen("no net.ipv4.tcp_congestion_control"),
    }
}

fn timestamps(host: &Host, _: &Plan) -> Seen {
    match host.tree.number("/proc/sys/net/ipv4/tcp_timestamps") {
        Some(on) => Seen::good_if(on > 0, format!("tcp_timestamps = {on}")),
        None => Seen::unseen("no net.ipv4.tcp_timestamps"),
    }
}

fn connection_tracking(host: &Host, plan: &Plan) -> Seen {
    if !host.tree.has("/proc/sys/net/core") {
        return Seen::unseen("/proc/sys/net");
    }
    let folder = "/proc/sys/net/netfilter";
    let Some(count) = host.tree.number(&format!("{folder}/nf_conntrack_count")) else {
        return if host.tree.has(&format!("{folder}/nf_conntrack_max")) {
            Seen::unseen("nf_conntrack_count")
        } else {
            Seen::good("not loaded")
        };
    };
    let found = format!("loaded, {count} connections");
    match (count, plan.delegates) {
        (0, _) => Seen::good(found),
        (_, false) => Seen::costs(found),
        (_, true) => Seen::costs(format!("{found}, and orders go past the kernel's TCP")),
    }
}
