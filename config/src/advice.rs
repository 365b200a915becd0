//! What is allowed, and slow or thin: combinations that an operator may want, and should know the price of.

use crate::settings::{
    Events, Feed, Found, LayoutKind, Mode, Receive, Session, Settings, Strategy, Submit, Venue,
};

/// Each with its key; the text says the price and what would be better.
pub(crate) fn warnings(settings: &Settings, cpus: &[usize]) -> Vec<Found> {
    let mut found = Vec::new();
    host(settings, &mut found);
    cores(settings, cpus, &mut found);
    for (name, feed) in &settings.feed {
        of_feed(&format!("feed.{name}"), feed, &mut found);
    }
    shared_queues(settings, &mut found);
    for (name, session) in &settings.session {
        of_session(&format!("session.{name}"), session, &mut found);
    }
    for (name, strategy) in &settings.strategy {
        of_strategy(&format!("strategy.{name}"), strategy, &mut found);
    }
    found
}

fn warn(found: &mut Vec<Found>, key: impl Into<String>, text: impl Into<String>) {
    found.push((key.into(), text.into()));
}

fn host(settings: &Settings, found: &mut Vec<Found>) {
    if !settings.host.lock_memory {
        let text = "false: a page that the kernel has taken away is a fault of microseconds to milliseconds on the hot core; \
                    true is better";
        warn(found, "host.lock_memory", text);
    }
    if !settings.host.huge_pages {
        let text = "false: books and packets lie on 4 KiB pages, and each message misses the TLB several times; true is better";
        warn(found, "host.huge_pages", text);
    }
    if settings.layout.rehearse_us == 0 {
        let text =
            "0: after some silence the next order finds cold caches; a few microseconds are better";
        warn(found, "layout.rehearse_us", text);
    }
    if !settings.journal.enabled && !settings.session.is_empty() {
        let text = "false: what was ordered is known to the exchange alone, and to nobody after its session; true is better";
        warn(found, "journal.enabled", text);
    }
}

/// CPUs that hot cores are pinned to, and how many hot cores there are.
fn hot(settings: &Settings) -> (Vec<usize>, usize) {
    let layout = &settings.layout;
    let stages = settings.feed.len() + settings.session.len() + settings.strategy.len();
    match layout.kind {
        LayoutKind::Inline => (layout.cpus.iter().copied().take(1).collect(), 1),
        LayoutKind::Pipeline => (layout.cpus.iter().copied().take(stages).collect(), stages),
        LayoutKind::Cores => {
            let cpus = layout.core.values().filter_map(|core| core.cpu);
            (cpus.collect(), layout.core.len())
        }
    }
}

fn cores(settings: &Settings, cpus: &[usize], found: &mut Vec<Found>) {
    let (pinned, count) = hot(settings);
    let key = match settings.layout.kind {
        LayoutKind::Cores => "layout.core",
        LayoutKind::Inline | LayoutKind::Pipeline => "layout.cpus",
    };
    if count >= cpus.len().max(1) {
        let text = format!(
            "{count} hot cores and {} CPUs: they take turns with one another, or with housekeeping, for milliseconds; \
             a CPU for each and one more is better, or layout.kind = \"inline\"",
            cpus.len()
        );
        warn(found, key, text);
    } else if pinned.len() < count && settings.layout.kind != LayoutKind::Inline {
        let text = format!(
            "{} of {count} hot cores are pinned: the others wander, and leave their caches behind; a CPU for each is better",
            pinned.len()
        );
        warn(found, key, text);
    }
    if pinned.contains(&0) {
        let text = "CPU 0 serves the kernel's timers and most interrupts; another one is better";
        warn(found, key, text);
    }
}

fn of_feed(key: &str, feed: &Feed, found: &mut Vec<Found>) {
    if feed.receive == Receive::Udp {
        let text = "\"udp\": each packet goes through the kernel's sockets; \"af_xdp\" is better where the interface allows it";
        warn(found, format!("{key}.receive"), text);
    }
    if feed.receive == Receive::AfXdp && feed.af_xdp.mode == Mode::Generic {
        let text = "\"generic\": the kernel has made a buffer of each packet before the program sees it; \"auto\" is better";
        warn(found, format!("{key}.af_xdp.mode"), text);
    }
    if feed.receive == Receive::Udp && feed.udp.block_us > 0 {
        let text = format!(
            "{}: a packet that ends a sleep pays for the wake-up, some 5 to 50 µs; 0 is better",
            feed.udp.block_us
        );
        warn(found, format!("{key}.udp.block_us"), text);
    }
    let asks = !feed.recovery.servers.is_empty();
    if feed.lines.len() == 1 {
        if feed.gap_timeout_us > 0 && !asks {
            let text = format!(
                "{}: there is no other line to wait for, so each loss holds everything up for this long; 0 is better",
                feed.gap_timeout_us
            );
            warn(found, format!("{key}.gap_timeout_us"), text);
        }
        let text = "one line: what it loses, no other brings; both of the venue's are better";
        warn(found, format!("{key}.lines"), text);
    }
    if !asks && feed.snapshot.servers.is_empty() {
        let (server, until) = match feed.venue {
            Venue::Nasdaq => ("snapshot.servers", "nobody is asked for what is lost, and"),
            Venue::Iex => ("recovery.servers", "nobody is asked for what is lost, and"),
        };
        let text = format!(
            "none: {until} a gap, or a start in the middle of the day, leaves books stale until the next session"
        );
        warn(found, format!("{key}.{server}"), text);
    }
}

/// Feeds that serve one queue take turns at its ring of free frames.
fn shared_queues(settings: &Settings, found: &mut Vec<Found>) {
    let feeds = || {
        settings
            .feed
            .iter()
            .filter(|(_, it)| it.receive == Receive::AfXdp)
    };
    for (at, (name, feed)) in feeds().enumerate() {
        let shares = |other: &Feed| {
            let mut lines = feed.lines.iter();
            let one_interface =
                lines.any(|own| other.lines.iter().any(|it| it.interface == own.interface));
            let (x, y) = (&feed.af_xdp.queues, &other.af_xdp.queues);
            one_interface && (x.is_empty() || y.is_empty() || x.iter().any(|it| y.contains(it)))
        };
        if let Some((other, _)) = feeds().take(at).find(|(_, other)| shares(other)) {
            let text = format!(
                "it serves a queue with feed.{other}, and they take turns at its ring of free frames; queues of its own for \
                 each are better"
            );
            warn(found, format!("feed.{name}.af_xdp.queues"), text);
        }
    }
}

fn of_session(key: &str, session: &Session, found: &mut Vec<Found>) {
    if session.submit == Submit::Sqpoll && session.sqpoll_cpu.is_none() {
        let text = "not given: the kernel's thread can land on a hot core's CPU; one that nobody else needs is better";
        warn(found, format!("{key}.sqpoll_cpu"), text);
    }
    if session.answer_timeout_ms == 0 {
        let text = "0: a link that swallows orders is found by the exchange's silence alone, after server_timeout_ms; 1000 is \
                    better";
        warn(found, format!("{key}.answer_timeout_ms"), text);
    }
}

fn of_strategy(key: &str, strategy: &Strategy, found: &mut Vec<Found>) {
    let hears_all = strategy.symbols.is_empty();
    if hears_all && strategy.events == Events::Own {
        let text = "\"own\" with all symbols: the feed core writes every event once more for it alone; \"auto\" is better";
        warn(found, format!("{key}.events"), text);
    }
    if !hears_all && strategy.events == Events::Shared {
        let text = "\"shared\" with some symbols: it passes over every event of all others; \"auto\" is better";
        warn(found, format!("{key}.events"), text);
    }
    if hears_all && strategy.depth > 0 {
        let text = format!(
            "{} with all symbols: each message that moves any book writes a row of the table; the symbols that it trades are \
             better",
            strategy.depth
        );
        warn(found, format!("{key}.depth"), text);
    }
}

#[cfg(test)]
mod tests {
    use crate::Layers;

    fn warnings(sets: &[&str]) -> Vec<String> {
        told("two-nics", sets)
    }

    /// What an example is warned of on a host with eight CPUs.
    fn told(example: &str, sets: &[&str]) -> Vec<String> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
        let layers = Layers {
            file: Some(format!("{folder}/{example}.toml").into()),
            sets: sets.iter().map(|&it| it.to_owned()).collect(),
            cpus: (0..8).collect(),
            ..Layers::default()
        };
        let loaded = layers.load().unwrap();
        let warnings = loaded.warnings().iter();
        warnings
            .map(|it| format!("{}: {}", it.key, it.text))
            .collect()
    }

    #[test]
    fn examples_for_production_are_sound_and_that_for_the_lab_says_what_it_lacks() {
        for example in ["two-nics", "one-nic", "many-channels"] {
            assert_eq!(told(example, &[]), [""; 0], "{example}");
        }
        let lab = told("lab", &[]);
        let keys = lab.iter().filter_map(|it| it.split_once(':'));
        let keys: Vec<&str> = keys.map(|(key, _)| key).collect();
        assert_eq!(
            keys,
            ["host.lock_memory", "host.huge_pages", "feed.sim.receive"]
        );
    }

    #[test]
    fn each_slow_or_thin_choice_is_named_with_its_price() {
        for (set, expected) in [
            (&["host.lock_memory=false"][..], "host.lock_memory: false"),
            (&["host.huge_pages=false"], "host.huge_pages: false"),
            (&["layout.rehearse_us=0"], "layout.rehearse_us: 0"),
            (&["journal.enabled=false"], "journal.enabled: false"),
            (&["layout.cpus=[0]"], "layout.cpus: CPU 0 serves"),
            (
                &[
                    "layout.kind=pipeline",
                    "layout.cpus=[]",
                    "host.realtime_priority=0",
                ],
                "layout.cpus: 0 of 3 hot cores are pinned",
            ),
            (&["feed.nasdaq.receive=udp"], "feed.nasdaq.receive: \"udp\""),
            (
                &["feed.nasdaq.af_xdp.mode=generic"],
                "feed.nasdaq.af_xdp.mode: \"generic\"",
            ),
            (
                &[
                    "feed.nasdaq.lines=[{ address = \"233.54.12.111:26477\", interface = \"ens1f0\" }]",
                ],
                "feed.nasdaq.lines: one line",
            ),
            (
                &[
                    "feed.nasdaq.recovery.servers=[]",
                    "feed.nasdaq.snapshot.servers=[]",
                ],
                "feed.nasdaq.snapshot.servers: none",
            ),
            (
                &["session.ouch.submit=sqpoll"],
                "session.ouch.sqpoll_cpu: not given",
            ),
            (
                &["session.ouch.answer_timeout_ms=0"],
                "session.ouch.answer_timeout_ms: 0",
            ),
            (
                &["strategy.quotes.symbols=[]", "strategy.quotes.events=own"],
                "strategy.quotes.events: \"own\"",
            ),
            (
                &["strategy.quotes.events=shared"],
                "strategy.quotes.events: \"shared\"",
            ),
            (
                &["strategy.quotes.symbols=[]", "strategy.quotes.depth=5"],
                "strategy.quotes.depth: 5 with all symbols",
            ),
        ] {
            let warnings = warnings(set);
            assert_eq!(warnings.len(), 1, "{set:?}: {warnings:?}");
            assert!(warnings[0].starts_with(expected), "{set:?}: {warnings:?}");
        }
    }

    #[test]
    fn waiting_for_no_other_line_and_sleeping_are_named_beside_what_makes_them_possible() {
        let one =
            "feed.nasdaq.lines=[{ address = \"233.54.12.111:26477\", interface = \"ens1f0\" }]";
        let found = warnings(&[one, "feed.nasdaq.recovery.servers=[]"]);
        assert!(
            found
                .iter()
                .any(|it| it.starts_with("feed.nasdaq.gap_timeout_us: 500")),
            "{found:?}"
        );
        let found = warnings(&[
            "layout.kind=pipeline",
            "layout.cpus=[2,3,4]",
            "feed.nasdaq.receive=udp",
            "feed.nasdaq.udp.block_us=50",
        ]);
        assert!(
            found
                .iter()
                .any(|it| it.starts_with("feed.nasdaq.udp.block_us: 50")),
            "{found:?}"
        );
        let second =
            "feed.other.lines=[{ address = \"233.54.12.112:26477\", interface = \"ens1f0\" }]";
        let found = warnings(&[second, "feed.other.gap_timeout_us=0"]);
        assert!(
            found
                .iter()
                .any(|it| it.starts_with("feed.other.af_xdp.queues: it serves a queue")),
            "{found:?}"
        );
    }
}
