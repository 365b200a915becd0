//! Is this host fit? Each check says what was found, what is wanted, why, and how to get it.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use feed_handler::xdp::{TRUSTED_DRIVERS, nic};
use tickgate_config::{Feed, Receive, Rung, Settings};

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Good,
    /// It will run, slower or less evenly.
    Costs,
    /// It will not run as configured.
    Fails,
}

/// One check.
#[derive(Clone, Debug)]
struct Finding {
    name: String,
    verdict: Verdict,
    found: String,
    wanted: &'static str,
    why: &'static str,
    how: &'static str,
}

/// Runs every check and prints it. Status 0 when nothing fails.
#[expect(clippy::print_stdout, reason = "what this command prints")]
pub(super) fn run(settings: Option<&Settings>) -> ExitCode {
    let mut findings = host(settings);
    for (name, wish) in settings.map(interfaces).unwrap_or_default() {
        findings.extend(interface(name, wish));
    }
    if let Some(settings) = settings {
        findings.extend(chosen_queues(settings));
    }
    for finding in &findings {
        let mark = match finding.verdict {
            Verdict::Good => "ok   ",
            Verdict::Costs => "cost ",
            Verdict::Fails => "FAIL ",
        };
        println!("{mark} {}: {}", finding.name, finding.found);
        if finding.verdict != Verdict::Good {
            println!("        wanted: {}", finding.wanted);
            println!("        why:    {}", finding.why);
            println!("        how:    {}", finding.how);
        }
    }
    let count = |verdict| findings.iter().filter(|f| f.verdict == verdict).count();
    let (good, costs, fails) = (
        count(Verdict::Good),
        count(Verdict::Costs),
        count(Verdict::Fails),
    );
    println!("{good} good, {costs} cost latency, {fails} fail");
    if fails == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(super::FAILED)
    }
}

/// What the configuration wants of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wish {
    is_xdp: bool,
    allow_default_route: bool,
}

/// Each interface of the configuration once.
fn interfaces(settings: &Settings) -> BTreeMap<&str, Wish> {
    let mut wishes = BTreeMap::new();
    for feed in settings.feed.values() {
        let wish = Wish {
            is_xdp: feed.receive == Receive::AfXdp,
            allow_default_route: feed.af_xdp.allow_default_route,
        };
        let names = feed.lines.iter().map(|line| line.interface.as_str());
        for name in names.filter(|name| !name.is_empty()) {
            // With one feed by sockets and one by XDP, the second is the one that asks for more.
            let kept = wishes.entry(name).or_insert(wish);
            if wish.is_xdp {
                *kept = wish;
            }
        }
    }
    wishes
}

/// What it means that AF_XDP sockets cannot be made.
fn without_af_xdp(settings: Option<&Settings>) -> Verdict {
    let Some(settings) = settings else {
        return Verdict::Fails;
    };
    let feeds = || {
        let feeds = settings.feed.values();
        feeds.filter(|feed| feed.receive == Receive::AfXdp)
    };
    if feeds().any(|feed| feed.af_xdp.require != Rung::KernelSocket) {
        return Verdict::Fails;
    }
    unless(feeds().next().is_none(), Verdict::Costs)
}

fn default_route(is_route: bool, wish: Wish) -> Verdict {
    match wish {
        _ if !is_route => Verdict::Good,
        Wish { is_xdp: false, .. } => Verdict::Good,
        Wish {
            allow_default_route: true,
            ..
        } => Verdict::Costs,
        Wish { .. } => Verdict::Fails,
    }
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path)
        .unwrap_or_default()
        .trim()
        .to_owned()
}

fn unless(is_good: bool, otherwise: Verdict) -> Verdict {
    if is_good { Verdict::Good } else { otherwise }
}

fn or_none(text: String) -> String {
    if text.is_empty() {
        "none".to_owned()
    } else {
        text
    }
}

fn host(settings: Option<&Settings>) -> Vec<Finding> {
    let mut findings = cpu_checks();
    findings.extend(memory_checks());
    findings.extend(kernel_checks(without_af_xdp(settings)));
    findings
}

fn cpu_checks() -> Vec<Finding> {
    let isolated = read("/sys/devices/system/cpu/isolated");
    let governor = read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
    let source = read("/sys/devices/system/clocksource/clocksource0/current_clocksource");
    let cpus = rt::cpu::allowed().len();
    let runtime = read("/proc/sys/kernel/sched_rt_runtime_us");
    vec![
        Finding {
            name: "isolated CPUs".into(),
            verdict: unless(!isolated.is_empty(), Verdict::Costs),
            found: or_none(isolated),
            wanted: "a CPU for each hot core",
            why: "anything else that runs there stops the hot core for up to milliseconds",
            how: "boot with isolcpus=LIST nohz_full=LIST rcu_nocbs=LIST",
        },
        Finding {
            name: "CPUs".into(),
            verdict: unless(cpus > 1, Verdict::Costs),
            found: cpus.to_string(),
            wanted: "two or more",
            why: "a hot core never yields; everything else needs a CPU of its own",
            how: "a host with more cores",
        },
        Finding {
            name: "CPU governor".into(),
            verdict: unless(
                governor.is_empty() || governor == "performance",
                Verdict::Costs,
            ),
            found: if governor.is_empty() {
                "no frequency scaling".into()
            } else {
                governor
            },
            wanted: "performance",
            why: "a core that is clocked down answers the first packet late",
            how: "cpupower frequency-set -g performance",
        },
        Finding {
            name: "clock source".into(),
            verdict: unless(source == "tsc", Verdict::Costs),
            found: or_none(source),
            wanted: "tsc",
            why: "other sources cost a system call or microseconds for each stamp",
            how: "boot with clocksource=tsc tsc=reliable where the hardware has a constant TSC",
        },
        Finding {
            name: "real-time throttling".into(),
            verdict: unless(runtime == "-1", Verdict::Costs),
            found: format!("sched_rt_runtime_us = {runtime}"),
            wanted: "-1 when host.realtime_priority is set",
            why: "the kernel stops SCHED_FIFO threads for 50 ms of each second",
            how: "sysctl kernel.sched_rt_runtime_us=-1, with isolated CPUs only",
        },
    ]
}

fn memory_checks() -> Vec<Finding> {
    let info = read("/proc/meminfo");
    let huge = info
        .lines()
        .find_map(|line| line.strip_prefix("HugePages_Total:"))
        .and_then(|value| value.trim().parse::<u64>().ok())
        .unwrap_or(0);
    let limits = read("/proc/self/limits");
    let limit = |name: &str| {
        let line = limits
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap_or_default();
        line.split_ascii_whitespace()
            .next()
            .unwrap_or("unknown")
            .to_owned()
    };
    let (memlock, priority) = (limit("Max locked memory"), limit("Max realtime priority"));
    let thp = read("/sys/kernel/mm/transparent_hugepage/enabled");
    vec![
        Finding {
            name: "huge pages".into(),
            verdict: unless(huge > 0, Verdict::Costs),
            found: huge.to_string(),
            wanted: "about 200 for a feed with default bounds",
            why: "books are read all over; with 4 KiB pages each look can miss the TLB",
            how: "sysctl vm.nr_hugepages=256",
        },
        Finding {
            name: "transparent huge pages".into(),
            verdict: unless(!thp.contains("[always]"), Verdict::Costs),
            found: or_none(thp),
            wanted: "madvise or never",
            why: "khugepaged moves pages under a running process and stalls it",
            how: "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled",
        },
        Finding {
            name: "locked memory limit".into(),
            verdict: unless(memlock == "unlimited" || is_root(), Verdict::Costs),
            found: memlock,
            wanted: "unlimited",
            why: "packet memory and books must not be swapped out",
            how: "LimitMEMLOCK=infinity in the unit, or CAP_IPC_LOCK",
        },
        Finding {
            name: "real-time priority limit".into(),
            verdict: unless(priority != "0" || is_root(), Verdict::Costs),
            found: priority,
            wanted: "99 when host.realtime_priority is set",
            why: "without it SCHED_FIFO is refused",
            how: "LimitRTPRIO=99 in the unit, or CAP_SYS_NICE",
        },
    ]
}

fn kernel_checks(without_af_xdp: Verdict) -> Vec<Finding> {
    let release = read("/proc/sys/kernel/osrelease");
    let af_xdp = socket2::Socket::new(AF_XDP.into(), socket2::Type::RAW, None);
    let disabled = read("/proc/sys/kernel/io_uring_disabled");
    let (poll, busy) = (
        read("/proc/sys/net/core/busy_poll"),
        read("/proc/sys/net/core/busy_read"),
    );
    vec![
        Finding {
            name: "kernel".into(),
            verdict: unless(version(&release) >= (6, 1), Verdict::Fails),
            found: release,
            wanted: "6.1 or newer",
            why: "BPF links for XDP, io_uring multishot receive and deferred task work",
            how: "a newer kernel (Debian 12 has 6.1)",
        },
        Finding {
            name: "AF_XDP".into(),
            verdict: unless(af_xdp.is_ok(), without_af_xdp),
            found: af_xdp
                .err()
                .map_or_else(|| "available".into(), |error| error.to_string()),
            wanted: "a socket can be made",
            why: "receive = \"af_xdp\" needs it; kernel sockets are the last rung",
            how: "a kernel with CONFIG_XDP_SOCKETS, run as root or with CAP_NET_RAW",
        },
        Finding {
            name: "io_uring".into(),
            verdict: unless(disabled.is_empty() || disabled == "0", Verdict::Fails),
            found: if disabled.is_empty() {
                "available".into()
            } else {
                format!("io_uring_disabled = {disabled}")
            },
            wanted: "kernel.io_uring_disabled = 0",
            why: "orders go out through it",
            how: "sysctl kernel.io_uring_disabled=0",
        },
        Finding {
            name: "busy_poll".into(),
            verdict: Verdict::Good,
            found: poll,
            wanted: "any; sockets set their own",
            why: "the default of poll and select",
            how: "session.NAME.busy_poll_us",
        },
        Finding {
            name: "busy_read".into(),
            verdict: Verdict::Good,
            found: busy,
            wanted: "any; sockets set their own",
            why: "the default of blocking reads",
            how: "feed.NAME.udp.busy_poll_us",
        },
    ]
}

/// Address family of AF_XDP sockets.
const AF_XDP: i32 = 44;

/// For each interface of which an operator chose queues: those left out.
fn chosen_queues(settings: &Settings) -> Vec<Finding> {
    let feeds = settings.feed.values();
    let choosing =
        feeds.filter(|feed| feed.receive == Receive::AfXdp && !feed.af_xdp.queues.is_empty());
    let of_feed = |feed: &Feed| {
        let names: BTreeSet<&String> = feed.lines.iter().map(|line| &line.interface).collect();
        let served = feed.af_xdp.queues.clone();
        let finding = |name: &String| queues_served(name, &served, nic::receive_queues(name));
        names.into_iter().map(finding).collect::<Vec<_>>()
    };
    choosing.flat_map(of_feed).collect()
}

fn queues_served(interface: &str, served: &[u32], queues: u32) -> Finding {
    let left_out = (0..queues).filter(|queue| !served.contains(queue));
    let left_out: Vec<String> = left_out.map(|queue| queue.to_string()).collect();
    Finding {
        name: format!("{interface}: queues served"),
        verdict: unless(left_out.is_empty(), Verdict::Costs),
        found: if left_out.is_empty() {
            "all".into()
        } else {
            format!("all but {} of {queues}", left_out.join(", "))
        },
        wanted: "all, or the feed steered to those that are",
        why: "packets of the feed on another queue are lost to it (socket.NAME.unserved)",
        how: "af_xdp.queues = [] for all; ethtool -N IF flow-type udp4 ... action QUEUE to steer",
    }
}

fn interface(name: &str, wish: Wish) -> Vec<Finding> {
    if nic::interface_index(name).is_err() {
        return vec![Finding {
            name: format!("interface {name}"),
            verdict: Verdict::Fails,
            found: "does not exist".into(),
            wanted: "an interface of this network namespace",
            why: "the feed arrives there",
            how: "ip link",
        }];
    }
    let driver = nic::driver(name);
    let reason = TRUSTED_DRIVERS
        .iter()
        .find(|(trusted, _)| *trusted == driver);
    let queues = nic::receive_queues(name);
    let offloads = nic::has_lro(name);
    let is_route = nic::carries_default_route(name);
    vec![
        Finding {
            name: format!("{name}: driver"),
            verdict: unless(reason.is_some() || !wish.is_xdp, Verdict::Costs),
            found: reason.map_or_else(|| driver.clone(), |(_, why)| format!("{driver} ({why})")),
            wanted: "one whose native XDP is known to be good",
            why: "generic XDP copies and comes late in the stack; native mode of some drivers crashes",
            how: "after a trial on a spare host: trusted_drivers = [\"NAME\"]",
        },
        Finding {
            name: format!("{name}: receive queues"),
            verdict: unless(queues == 1, Verdict::Costs),
            found: queues.to_string(),
            wanted: "one for the feed, or steering to chosen queues",
            why: "each queue is one more socket for the feed core to poll",
            how: "ethtool -L IF combined 1, or ethtool -N IF flow-type udp4 ... action QUEUE",
        },
        Finding {
            name: format!("{name}: receive offloads"),
            verdict: unless(!offloads, Verdict::Costs),
            found: if offloads {
                "LRO on".into()
            } else {
                "off".into()
            },
            wanted: "off",
            why: "frames are held back to be joined, and XDP refuses to attach with some drivers",
            how: "ethtool -K IF lro off",
        },
        Finding {
            name: format!("{name}: default route"),
            verdict: default_route(is_route, wish),
            found: if is_route {
                "leaves through it".into()
            } else {
                "elsewhere".into()
            },
            wanted: "elsewhere",
            why: "a fault of XDP on this interface would cut the host off",
            how: "a card of its own for the feed, or allow_default_route = true",
        },
    ]
}

fn version(release: &str) -> (u32, u32) {
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(|n| n.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

fn is_root() -> bool {
    read("/proc/self/status").lines().any(|line| {
        line.strip_prefix("Uid:")
            .is_some_and(|ids| ids.split_ascii_whitespace().nth(1) == Some("0"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn release_is_read() {
        assert_eq!(version("6.18.44-fc-v595"), (6, 18));
        assert_eq!(version("nonsense"), (0, 0));
    }

    #[test]
    fn queue_left_out_is_named() {
        let finding = queues_served("ens1", &[0, 2], 4);
        assert_eq!(finding.verdict, Verdict::Costs);
        assert_eq!(finding.found, "all but 1, 3 of 4");
        assert_eq!(queues_served("ens1", &[1, 0], 2).verdict, Verdict::Good);
    }

    #[test]
    fn interface_that_does_not_exist_fails() {
        let wish = Wish {
            is_xdp: true,
            allow_default_route: false,
        };
        assert_eq!(interface("tg-none", wish)[0].verdict, Verdict::Fails);
        assert_eq!(interface("lo", wish).len(), 4);
    }

    fn settings(feed: &str) -> Settings {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tickgate.toml");
        let text = format!(
            "[feed.a]\nlines = [{{ address = \"127.0.0.1:1\", interface = \"card\" }}]\n{feed}"
        );
        std::fs::write(&file, text).unwrap();
        let layers = tickgate_config::Layers {
            file: Some(file),
            cpus: vec![0, 1],
            ..tickgate_config::Layers::default()
        };
        layers.load().unwrap().settings
    }

    #[test]
    fn host_without_af_xdp_fails_only_feeds_that_cannot_do_without() {
        let verdict = |feed| without_af_xdp(Some(&settings(feed)));
        assert_eq!(without_af_xdp(None), Verdict::Fails);
        assert_eq!(verdict("receive = \"udp\""), Verdict::Good);
        assert_eq!(verdict(""), Verdict::Costs);
        let required = "[feed.a.af_xdp]\nrequire = \"generic\"";
        assert_eq!(verdict(required), Verdict::Fails);
    }

    #[test]
    fn interface_of_the_default_route_fails_only_xdp_that_is_not_allowed_there() {
        let verdict = |feed| default_route(true, interfaces(&settings(feed))["card"]);
        assert_eq!(verdict(""), Verdict::Fails);
        assert_eq!(verdict("receive = \"udp\""), Verdict::Good);
        let allowed = "[feed.a.af_xdp]\nallow_default_route = true";
        assert_eq!(verdict(allowed), Verdict::Costs);
        let wish = interfaces(&settings(""))["card"];
        assert_eq!(default_route(false, wish), Verdict::Good);
    }
}
