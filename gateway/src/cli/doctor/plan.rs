//! What a configuration asks of its host.

use std::net::Ipv4Addr;
use std::path::Path;

use feed_handler::xdp::{TRUSTED_DRIVERS, nic};
use tickgate_config::{Feed, LayoutKind, Mode, Receive, Rung, Session, Settings, Submit};
use tickgate_host::{Driver, HotCore, InterfacePlan, Need, Plan, Receive as By, Tree};

use crate::cli::from_settings::book_limits;

/// The plan of a configuration, on CPUs that this process may use.
pub(super) fn of(
    settings: &Settings,
    allowed: &[usize],
    interface_to: impl Fn(Ipv4Addr) -> Option<String>,
) -> Plan {
    let mut drivers = trusted();
    for feed in settings.feed.values() {
        drivers.extend(feed.af_xdp.trusted_drivers.iter().map(|name| Driver {
            name: name.clone(),
            why: "in trusted_drivers".to_owned(),
        }));
    }
    let mut plan = Plan {
        hot: hot(settings, allowed),
        realtime_priority: settings.host.realtime_priority,
        lock_memory: settings.host.lock_memory,
        huge_bytes: Some(if settings.host.huge_pages {
            settings.feed.values().map(bytes).sum()
        } else {
            0
        }),
        af_xdp: af_xdp(settings),
        delegates: settings.session.values().any(is_delegated),
        drivers,
        ..Plan::default()
    };
    for feed in settings.feed.values() {
        of_feed(feed, &mut plan);
    }
    for session in settings.session.values() {
        let named = (!session.interface.is_empty()).then(|| session.interface.clone());
        let by_route = || {
            session
                .addresses()
                .filter_map(|to| interface_to(*to.ip()))
                .collect()
        };
        let names: Vec<String> = named.map_or_else(by_route, |name| vec![name]);
        for name in names {
            let wish = plan.interfaces.entry(name).or_default();
            wish.busy_poll |= session.busy_poll_us > 0;
        }
    }
    plan
}

/// The plan without a configuration: one hot core where the default puts it, and every card, for sockets.
pub(super) fn in_general(root: &Path, allowed: &[usize]) -> Plan {
    let tree = Tree::at(root);
    let names = tree.names("/sys/class/net");
    let cards = names
        .into_iter()
        .filter(|name| tree.has(&format!("/sys/class/net/{name}/device")));
    Plan {
        hot: vec![HotCore {
            name: "inline".to_owned(),
            cpu: last(allowed),
        }],
        interfaces: cards.map(|name| (name, InterfacePlan::default())).collect(),
        lock_memory: true,
        af_xdp: Need::Must,
        drivers: trusted(),
        ..Plan::default()
    }
}

/// The card by which packets to an address leave; `None`: there is no route, or it stays on this host.
pub(super) fn interface_to(address: Ipv4Addr) -> Option<String> {
    let route = nic::route_to(address).ok()?;
    let name = nic::interface_name(route.interface).ok()?;
    nic::is_ethernet(&name).then_some(name)
}

fn trusted() -> Vec<Driver> {
    let drivers = TRUSTED_DRIVERS.iter().map(|(name, why)| Driver {
        name: (*name).to_owned(),
        why: (*why).to_owned(),
    });
    drivers.collect()
}

/// Where `inline` runs without `layout.cpus`.
fn last(allowed: &[usize]) -> Option<usize> {
    allowed.last().copied().filter(|_| allowed.len() > 1)
}

/// Each hot core, as the service places them, and kernel threads that never sleep either.
fn hot(settings: &Settings, allowed: &[usize]) -> Vec<HotCore> {
    let layout = &settings.layout;
    let pinned = |at: usize| layout.cpus.get(at).copied();
    let mut hot: Vec<HotCore> = match layout.kind {
        LayoutKind::Inline => vec![HotCore {
            name: "inline".to_owned(),
            cpu: pinned(0).or_else(|| last(allowed)),
        }],
        LayoutKind::Pipeline => {
            let feeds = settings.feed.keys();
            let stages = feeds.chain(settings.strategy.keys());
            let stages = stages.chain(settings.session.keys()).enumerate();
            let core = |(at, name): (usize, &String)| HotCore {
                name: name.clone(),
                cpu: pinned(at),
            };
            stages.map(core).collect()
        }
        LayoutKind::Cores => {
            let cores = layout.core.iter().map(|(name, core)| HotCore {
                name: name.clone(),
                cpu: core.cpu,
            });
            cores.collect()
        }
    };
    for (name, session) in &settings.session {
        if let Some(cpu) = session.sqpoll_cpu {
            hot.push(HotCore {
                name: format!("{name}: sqpoll"),
                cpu: usize::try_from(cpu).ok(),
            });
        }
    }
    hot
}

/// What a feed puts on huge pages: books, spare ones where there are snapshots, frames of one queue of each interface.
fn bytes(feed: &Feed) -> u64 {
    let books = book_limits(&feed.books).bytes();
    let copies = 1 + u64::from(!feed.snapshot.servers.is_empty());
    let frames = if feed.receive == Receive::AfXdp {
        let interfaces: std::collections::BTreeSet<&String> =
            feed.lines.iter().map(|line| &line.interface).collect();
        let of_one = u64::from(feed.af_xdp.frames) * u64::from(feed.af_xdp.frame_bytes);
        of_one * interfaces.len() as u64
    } else {
        0
    };
    books * copies + frames
}

/// What it means that AF_XDP sockets cannot be made.
fn af_xdp(settings: &Settings) -> Need {
    let feeds = settings.feed.values();
    let needs = feeds
        .filter(|feed| feed.receive == Receive::AfXdp)
        .map(|feed| match feed.af_xdp.require {
            Rung::KernelSocket => Need::Better,
            _ => Need::Must,
        });
    let delegated = settings.session.values().any(is_delegated);
    needs.fold(
        if delegated { Need::Better } else { Need::None },
        |most, it| {
            if most == Need::Must { most } else { it }
        },
    )
}

fn is_delegated(session: &Session) -> bool {
    session.submit == Submit::Delegated
}

/// Adds what a feed wants of each of its interfaces; with one feed by sockets and one by XDP, the second asks for more.
fn of_feed(feed: &Feed, plan: &mut Plan) {
    let x = &feed.af_xdp;
    let is_xdp = feed.receive == Receive::AfXdp;
    for line in &feed.lines {
        if line.interface.is_empty() {
            continue;
        }
        let wish = plan.interfaces.entry(line.interface.clone()).or_default();
        if is_xdp {
            wish.receive = By::AfXdp;
            wish.allow_default_route = x.allow_default_route;
            wish.queues.clone_from(&x.queues);
            wish.busy_poll |= x.busy_poll_us > 0;
            wish.zero_copy = match (x.require, x.mode) {
                (Rung::ZeroCopy, _) => Need::Must,
                (_, Mode::Generic) => Need::None,
                (_, Mode::Auto | Mode::Native) => Need::Better,
            };
        } else {
            wish.busy_poll |= feed.udp.busy_poll_us > 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Settings {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tickgate.toml");
        std::fs::write(&file, text).unwrap();
        let layers = tickgate_config::Layers {
            file: Some(file),
            cpus: vec![0, 1, 2, 3],
            ..tickgate_config::Layers::default()
        };
        layers.load().unwrap().settings
    }

    fn plan(text: &str) -> Plan {
        of(&settings(text), &[0, 1, 2, 3], |_| Some("orders0".into()))
    }

    const FEED: &str = "[feed.a]\nlines = [{ address = \"127.0.0.1:1\", interface = \"card\" }]\n";

    fn feed(rest: &str) -> Plan {
        plan(&format!("{FEED}{rest}"))
    }

    #[test]
    fn host_without_af_xdp_fails_only_feeds_that_cannot_do_without() {
        assert_eq!(feed("receive = \"udp\"").af_xdp, Need::None);
        assert_eq!(feed("").af_xdp, Need::Better);
        assert_eq!(
            feed("[feed.a.af_xdp]\nrequire = \"generic\"").af_xdp,
            Need::Must
        );
        assert_eq!(in_general(Path::new("/"), &[0]).af_xdp, Need::Must);
    }

    #[test]
    fn interface_is_wanted_as_its_feed_receives() {
        let card = |rest| feed(rest).interfaces["card"].clone();
        assert_eq!(card("").receive, By::AfXdp);
        assert_eq!(card("").zero_copy, Need::Better);
        assert_eq!(card("receive = \"udp\"").receive, By::Sockets);
        assert_eq!(card("receive = \"udp\"").zero_copy, Need::None);
        let wish = card(
            "[feed.a.af_xdp]\nallow_default_route = true\nqueues = [1]\nbusy_poll_us = 5\nrequire = \"zero-copy\"",
        );
        let wanted = InterfacePlan {
            receive: By::AfXdp,
            queues: vec![1],
            allow_default_route: true,
            busy_poll: true,
            zero_copy: Need::Must,
        };
        assert_eq!(wish, wanted);
    }

    #[test]
    fn feed_by_xdp_beside_one_by_sockets_asks_for_more() {
        let both = "[feed.b]\nreceive = \"udp\"\nlines = [{ address = \"127.0.0.1:2\", interface = \"card\" }]";
        assert_eq!(feed(both).interfaces["card"].receive, By::AfXdp);
    }

    #[test]
    fn hot_cores_are_where_the_service_puts_them() {
        let cpus = |text: &str| plan(text).hot_cpus().to_string();
        assert_eq!(cpus(FEED), "3");
        let inline = format!("{FEED}[layout]\ncpus = [2]");
        assert_eq!(cpus(&inline), "2");
        let pipeline = format!("{FEED}[layout]\nkind = \"pipeline\"\ncpus = [1]");
        assert_eq!(cpus(&pipeline), "1");
        let cores = format!(
            "{FEED}[layout]\nkind = \"cores\"\n[layout.core.x]\ncpu = 0\nruns = [\"feed.a\"]"
        );
        assert_eq!(plan(&cores).hot[0].name, "x");
        assert_eq!(cpus(&cores), "0");
        assert!(of(&settings(FEED), &[0], |_| None).hot_cpus().is_empty());
    }

    #[test]
    fn huge_pages_are_for_books_and_frames_as_configured() {
        let none = format!("{FEED}[host]\nhuge_pages = false");
        assert_eq!(plan(&none).huge_bytes, Some(0));
        let by_udp = feed("receive = \"udp\"").huge_bytes.unwrap();
        let by_xdp = feed("").huge_bytes.unwrap();
        assert_eq!(by_xdp - by_udp, 8192 * 2048);
        assert!(by_udp > 64 << 20, "{by_udp}");
    }
}
