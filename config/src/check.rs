//! What no key can say by itself: names that must meet, CPUs that must exist, keys that exclude one another.
//!
//! Each key's own range stands beside it, in `settings`.

use crate::cores;
use crate::settings::{
    Feed, Found, FoundOrders, Frames, LayoutKind, Line, Receive, Session, Settings, Strategy,
    account, row,
};

/// Strategies on one session: a `ClOrdID` has two hexadecimal digits for the strategy. Beyond it an
/// answer would go to another strategy.
const STRATEGIES_MAX: usize = 256;

/// Everything that is wrong.
pub(crate) fn check(settings: &Settings, cpus: &[usize]) -> Vec<Found> {
    let mut found = Vec::new();
    names(settings, &mut found);
    host(settings, cpus, &mut found);
    cores::check(settings, cpus, &mut found);
    for (name, feed) in &settings.feed {
        feed.check(&format!("feed.{name}"), &mut found);
    }
    replayable(settings, &mut found);
    interfaces(settings, &mut found);
    for (name, session) in &settings.session {
        session.check(&format!("session.{name}"), &mut found);
    }
    row::check(settings, &mut found);
    account::check(settings, &mut found);
    accounts(settings, &mut found);
    owners(settings, &mut found);
    for (name, strategy) in &settings.strategy {
        check_strategy(&format!("strategy.{name}"), strategy, settings, &mut found);
    }
    found
}

/// One name, one stage: logs, metrics and commands speak of stages by name.
fn names(settings: &Settings, found: &mut Vec<Found>) {
    let feeds = settings.feed.keys().map(|name| ("feed", name));
    let sessions = settings.session.keys().map(|name| ("session", name));
    let strategies = settings.strategy.keys().map(|name| ("strategy", name));
    let mut seen: Vec<(&str, &String)> = Vec::new();
    for (kind, name) in feeds.chain(sessions).chain(strategies) {
        if let Some((other, _)) = seen.iter().find(|(_, seen)| *seen == name) {
            let text = format!("the name is taken by {other}.{name}, expected another one");
            found.push((format!("{kind}.{name}"), text));
        }
        seen.push((kind, name));
    }
}

/// Twice the orders that a strategy is given back at once.
const ADOPTING_EXECUTIONS_MIN: usize = 2_048;

fn host(settings: &Settings, cpus: &[usize], found: &mut Vec<Found>) {
    settings.rings.check(found);
    settings.host.check(found);
    settings.layout.check(found);
    settings.journal.check(found);
    let adopts = (settings.session.iter()).find(|(_, it)| it.found_orders == FoundOrders::Adopt);
    if let (Some((name, _)), true) = (adopts, settings.rings.executions < ADOPTING_EXECUTIONS_MIN) {
        let text = format!(
            "{}: expected at least {ADOPTING_EXECUTIONS_MIN}, for session.{name}.found_orders is \"adopt\"",
            settings.rings.executions
        );
        found.push(("rings.executions".into(), text));
    }
    settings.sandbox.check(found);
    settings.control.check(found);
    for (at, cpu) in settings.layout.cpus.iter().enumerate() {
        let before = settings.layout.cpus.iter().take(at);
        if before.into_iter().any(|other| other == cpu) {
            let text = format!("{cpu}: given twice, expected a CPU of its own for each hot core");
            found.push(("layout.cpus".into(), text));
        }
        cores::exists(*cpu, cpus, "layout.cpus", found);
    }
    let stages = settings.feed.len() + settings.session.len() + settings.strategy.len();
    let given = settings.layout.cpus.len();
    if settings.layout.kind == LayoutKind::Pipeline && given != 0 && given < stages {
        let text = format!("{given} CPUs for {stages} stages; expected one each, or none");
        found.push(("layout.cpus".into(), text));
    }
    // `inline` takes the last of several CPUs by itself.
    let is_pinned = match settings.layout.kind {
        LayoutKind::Inline => given != 0 || cpus.len() > 1,
        LayoutKind::Pipeline => given != 0,
        LayoutKind::Cores => settings.layout.core.values().all(|core| core.cpu.is_some()),
    };
    if settings.host.realtime_priority > 0 && !is_pinned {
        let text = format!(
            "{}: hot cores that are not pinned would starve whatever they meet; expected layout.cpus \
             (or a cpu for each layout.core), or 0",
            settings.host.realtime_priority
        );
        found.push(("host.realtime_priority".into(), text));
    }
    for (name, feed) in &settings.feed {
        if settings.layout.kind == LayoutKind::Inline && feed.udp.block_us > 0 {
            let text = format!(
                "{}: orders would wait for the feed's sleep; expected 0, or layout.kind = \"pipeline\"",
                feed.udp.block_us
            );
            found.push((format!("feed.{name}.udp.block_us"), text));
        }
    }
}

/// A day can be replayed whose one core was given everything from a capture, or from the journal.
fn replayable(settings: &Settings, found: &mut Vec<Found>) {
    if !settings.journal.replayable {
        return;
    }
    let mut refuse = |key: String, text: String| {
        let text = format!("{text}, for journal.replayable is true");
        found.push((key, text));
    };
    let is_one = match settings.layout.kind {
        LayoutKind::Inline => true,
        LayoutKind::Pipeline => false,
        LayoutKind::Cores => settings.layout.core.len() == 1,
    };
    if !is_one {
        let text = "stages on several cores: what one saw of another, and when, is nowhere kept; expected \"inline\", or \
                    one core that runs all of them";
        refuse("layout.kind".into(), text.into());
    }
    for (kind, count) in [
        ("feed", settings.feed.len()),
        ("session", settings.session.len()),
    ] {
        if count > 1 {
            let text = format!(
                "{count} of them: which of them a turn heard is kept nowhere; expected one"
            );
            refuse(kind.into(), text);
        }
    }
    for (name, feed) in &settings.feed {
        if feed.capture.frames != Frames::All {
            let text = "expected \"all\": packets are in no journal".to_owned();
            refuse(format!("feed.{name}.capture.frames"), text);
        }
        for (key, servers) in [
            ("recovery", &feed.recovery.servers),
            ("snapshot", &feed.snapshot.servers),
        ] {
            if !servers.is_empty() {
                let text = "what servers answer is in no capture; expected none".to_owned();
                refuse(format!("feed.{name}.{key}.servers"), text);
            }
        }
    }
}

/// Feeds on one interface share an XDP program, and those on one queue its packet memory.
fn interfaces(settings: &Settings, found: &mut Vec<Found>) {
    let feeds = || {
        let feeds = settings.feed.iter();
        feeds.filter(|(_, feed)| feed.receive == Receive::AfXdp)
    };
    for (at, (name, feed)) in feeds().enumerate() {
        for (other_name, other) in feeds().take(at) {
            let pair = Pair {
                name,
                feed,
                other_name,
                other,
            };
            pair.check(found);
        }
    }
    let others = settings.feed.iter();
    for (name, feed) in others.filter(|(_, feed)| feed.receive != Receive::AfXdp) {
        let mut steered = feeds().filter_map(|(other, it)| Some((other, steered(it, feed)?)));
        if let Some((other, line)) = steered.next() {
            let text = format!(
                "{} on \"{}\": feed.{other} takes its packets before the kernel's sockets see them; expected \
                 another destination, or another interface",
                line.address, line.interface
            );
            found.push((format!("feed.{name}.lines"), text));
        }
    }
}

/// A line whose packets a feed by AF_XDP would take from one by UDP; a line without an interface hears them all.
fn steered<'a>(xdp: &'a Feed, udp: &Feed) -> Option<&'a Line> {
    let hears = |own: &Line, theirs: &Line| {
        own.address == theirs.address
            && (own.interface.is_empty() || own.interface == theirs.interface)
    };
    let mut lines = xdp.lines.iter();
    lines.find(|theirs| udp.lines.iter().any(|own| hears(own, theirs)))
}

/// Two feeds by AF_XDP.
struct Pair<'a> {
    name: &'a str,
    feed: &'a Feed,
    other_name: &'a str,
    other: &'a Feed,
}

impl Pair<'_> {
    fn check(&self, found: &mut Vec<Found>) {
        let Self {
            name,
            feed,
            other_name,
            other,
        } = self;
        let shares = |line: &Line| {
            let mut lines = other.lines.iter();
            lines.any(|theirs| theirs.interface == line.interface)
        };
        let Some(shared) = feed.lines.iter().find(|line| shares(line)) else {
            return;
        };
        let interface = &shared.interface;
        if let Some(line) = feed.lines.iter().find(|line| other.lines.contains(line)) {
            let text = format!(
                "{} on \"{}\": feed.{other_name} takes its packets; expected another destination",
                line.address, line.interface
            );
            found.push((format!("feed.{name}.lines"), text));
        }
        let (x, y) = (&feed.af_xdp, &other.af_xdp);
        let same = format!("expected the same: feeds on \"{interface}\" share an XDP program");
        if x.mode != y.mode {
            let text = format!("feed.{other_name} has another one; {same}");
            found.push((format!("feed.{name}.af_xdp.mode"), text));
        }
        if x.trusted_drivers != y.trusted_drivers {
            let text = format!("feed.{other_name} has others; {same}");
            found.push((format!("feed.{name}.af_xdp.trusted_drivers"), text));
        }
        let is_for_all = x.queues.is_empty() || y.queues.is_empty();
        let meet = is_for_all || x.queues.iter().any(|queue| y.queues.contains(queue));
        if meet && x.frame_bytes != y.frame_bytes {
            let text = format!(
                "{}: feed.{other_name} has {} and shares a queue of \"{interface}\" and its packet memory; \
                 expected the same, or queues of its own for each (af_xdp.queues)",
                x.frame_bytes, y.frame_bytes
            );
            found.push((format!("feed.{name}.af_xdp.frame_bytes"), text));
        }
    }
}

/// The exchange ends an account's connection when the same account logs in again.
fn accounts(settings: &Settings, found: &mut Vec<Found>) {
    let mut seen: Vec<(&String, &Session)> = Vec::new();
    for (name, session) in &settings.session {
        let account = |other: &Session| {
            other
                .addresses()
                .any(|it| session.addresses().any(|own| own == it))
                && other
                    .username
                    .trim_end()
                    .eq_ignore_ascii_case(session.username.trim_end())
        };
        if let Some((other, _)) = seen.iter().find(|(_, other)| account(other)) {
            let text = format!(
                "\"{}\": session.{other} logs in there as the same user, and each login cuts the \
                 other off; expected another user",
                session.username
            );
            found.push((format!("session.{name}.username"), text));
        }
        seen.push((name, session));
    }
}

/// An order says with two digits whose it is.
fn owners(settings: &Settings, found: &mut Vec<Found>) {
    for name in settings.session.keys() {
        let strategies = settings.strategy.values();
        let count = strategies.filter(|one| one.session == *name).count();
        if count > STRATEGIES_MAX {
            let text = format!("{count} strategies trade on it: expected at most {STRATEGIES_MAX}");
            found.push((format!("session.{name}"), text));
        }
    }
}

fn check_strategy(key: &str, strategy: &Strategy, settings: &Settings, found: &mut Vec<Found>) {
    let mut meets = |field: &str, name: &String, names: Vec<&String>| {
        if !names.contains(&name) {
            let list: Vec<&str> = names.into_iter().map(String::as_str).collect();
            let list = if list.is_empty() {
                "none is configured".into()
            } else {
                list.join(", ")
            };
            let text = format!("\"{name}\": no such {field}, expected one of {list}");
            found.push((format!("{key}.{field}"), text));
        }
    };
    meets("feed", &strategy.feed, settings.feed.keys().collect());
    meets(
        "session",
        &strategy.session,
        settings.session.keys().collect(),
    );
    strategy.check(key, found);
}

#[cfg(test)]
mod tests {
    use crate::Layers;

    const NASDAQ: &str = "[feed.nasdaq]\ngap_timeout_us = 0\n\
        lines = [{ address = \"233.54.12.111:26477\", interface = \"ens1\" }]\n";

    fn load(text: &str) -> Result<(), String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tickgate.toml");
        std::fs::write(&file, text).unwrap();
        let layers = Layers {
            file: Some(file),
            cpus: vec![0, 1],
            ..Layers::default()
        };
        let Err(faults) = layers.load() else {
            return Ok(());
        };
        let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
        Err(told.join("\n"))
    }

    #[test]
    fn two_feeds_on_one_interface_are_refused_where_one_program_or_one_memory_cannot_serve_both() {
        let with = |group: u8, more: &str| {
            let line = format!("{{ address = \"233.54.12.{group}:26477\", interface = \"ens1\" }}");
            format!("{NASDAQ}[feed.bx]\nlines = [{line}]\n{more}")
        };
        assert!(load(&with(112, "")).is_ok());
        let refusals = [
            (
                with(111, ""),
                "feed.nasdaq.lines: 233.54.12.111:26477 on \"ens1\": feed.bx takes its packets; expected \
                 another destination",
            ),
            (
                with(112, "af_xdp.mode = \"generic\""),
                "feed.nasdaq.af_xdp.mode: feed.bx has another one; expected the same: feeds on \"ens1\" \
                 share an XDP program",
            ),
            (
                with(112, "af_xdp.trusted_drivers = [\"ena\"]"),
                "feed.nasdaq.af_xdp.trusted_drivers: feed.bx has others; expected the same",
            ),
            (
                with(112, "af_xdp.frame_bytes = 4096"),
                "feed.nasdaq.af_xdp.frame_bytes: 2048: feed.bx has 4096 and shares a queue of \"ens1\" and \
                 its packet memory; expected the same, or queues of its own for each (af_xdp.queues)",
            ),
        ];
        for (text, expected) in refusals {
            let found = load(&text).unwrap_err();
            assert!(found.contains(expected), "{found}");
        }
        let by_udp = [
            with(111, "receive = \"udp\""),
            with(111, "receive = \"udp\"")
                .replace(", interface = \"ens1\" }]\nreceive", " }]\nreceive"),
        ];
        for text in by_udp {
            let found = load(&text).unwrap_err();
            let expected = "feed.bx.lines: 233.54.12.111:26477 on \"ens1\": feed.nasdaq takes its packets before";
            assert!(found.contains(expected), "{found}");
        }
        assert!(load(&with(112, "receive = \"udp\"")).is_ok());
        let apart = "af_xdp.frame_bytes = 4096\naf_xdp.queues = [1]";
        let own = "gap_timeout_us = 0\naf_xdp.queues = [0]";
        let text = with(112, apart).replace("gap_timeout_us = 0", own);
        assert!(load(&text).is_ok());
    }

    /// Two sessions with half of the account's limits each, and what is said of them besides.
    fn two_sessions(more_of_account: &str, more_of_one: &str, more_of_two: &str) -> String {
        let session = |name: &str, more: &str| {
            format!(
                "[session.{name}]\naddress = \"127.0.0.1:12000\"\nusername = \"{name}\"\n\
                 password = \"p\"\naccount = \"desk\"\n[session.{name}.risk]\norder_qty_max = 10\n\
                 notional_max_dollars = 10\ncollar_bps = 10\nposition_max = 50\nopen_orders_max = 5\n\
                 orders_per_second_max = 50\ngross_exposure_max_dollars = 500\n\
                 net_exposure_max_dollars = 500\nloss_max_dollars = 50\n{more}\n"
            )
        };
        let (one, two) = (session("one", more_of_one), session("two", more_of_two));
        format!("{NASDAQ}{more_of_account}\n{one}{two}")
    }

    const DESK: &str = "[account.desk.risk]\nposition_max = 100\nopen_orders_max = 10\n\
        orders_per_second_max = 100\ngross_exposure_max_dollars = 1000\n\
        net_exposure_max_dollars = 1000\nloss_max_dollars = 100\n";

    #[test]
    fn sessions_whose_budgets_add_up_to_more_than_their_account_are_refused() {
        assert_eq!(load(&two_sessions(DESK, "", "")), Ok(()));
        let found = load(&two_sessions("", "", "")).unwrap_err();
        let expected = "session.two.account: \"desk\": session.one trades for it, too; expected \
                        [account.desk.risk] with what both may risk together";
        assert!(found.contains(expected), "{found}");
        for (limit, value, sum) in [
            ("position_max", 99, 100),
            ("open_orders_max", 9, 10),
            ("orders_per_second_max", 99, 100),
            ("gross_exposure_max_dollars", 999, 1000),
            ("net_exposure_max_dollars", 999, 1000),
            ("loss_max_dollars", 99, 100),
        ] {
            let begin = DESK.find(limit).unwrap();
            let (before, rest) = DESK.split_at(begin);
            let (_, rest) = rest.split_once('\n').unwrap();
            let tight = format!("{before}{limit} = {value}\n{rest}");
            let found = load(&two_sessions(&tight, "", "")).unwrap_err();
            let half = sum / 2;
            let expected = format!(
                "account.desk.risk.{limit}: {value}: its sessions may have {sum} in all (session.one {half}, \
                 session.two {half}); expected no more than the account's"
            );
            assert!(found.contains(&expected), "{found}");
            let found = load(&two_sessions(&format!("{before}{rest}"), "", "")).unwrap_err();
            let expected = format!("account.desk.risk: no {limit}: expected every limit");
            assert!(found.contains(&expected), "{found}");
        }
    }

    #[test]
    fn what_sessions_of_one_account_must_say_alike_or_apart_is_refused_otherwise() {
        let cancels = format!("{DESK}cancels_per_second_max = 10\n");
        let held = "positions_file = \"held\"";
        for (account, one, two, expected) in [
            (
                cancels.as_str(),
                "cancels_per_second_max = 5",
                "",
                "account.desk.risk.cancels_per_second_max: 10: session.two has 0, which is any number",
            ),
            (
                DESK,
                "no_short = [\"A\"]",
                "",
                "session.two.risk.no_short: session.one trades for the same account and says another",
            ),
            (
                DESK,
                "",
                "restricted = [\"A\"]",
                "session.two.risk.restricted: session.one trades",
            ),
            (
                DESK,
                "allow_self_cross = true",
                "",
                "session.two.risk.allow_self_cross: session.one trades",
            ),
            (
                DESK,
                held,
                held,
                "session.two.risk.positions_file: \"held\": session.one of the same account begins with it",
            ),
        ] {
            let found = load(&two_sessions(account, one, two)).unwrap_err();
            assert!(found.contains(expected), "{found}");
        }
        let nobody = DESK.replace("desk", "other");
        let found = load(&two_sessions(&format!("{DESK}{nobody}"), "", "")).unwrap_err();
        assert!(
            found.contains("account.other: no session trades for it"),
            "{found}"
        );
        let each = "cancels_per_second_max = 5";
        assert_eq!(load(&two_sessions(&cancels, each, each)), Ok(()));
    }
}
