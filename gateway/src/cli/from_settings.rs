//! Turns settings into the service's plain options.

use std::path::PathBuf;
use std::time::Duration;

use feed_handler::arbiter::{Patience, Recovery};
use feed_handler::book::Limits as BookLimits;
use feed_handler::capture::{CaptureOptions, Frames};
use feed_handler::publish::{Subscription, Way as Hears};
use feed_handler::recovery::glimpse::GlimpseOptions;
use feed_handler::recovery::requester::RequestOptions;
use feed_handler::recovery::snapshots::SnapshotOptions;
use feed_handler::recovery::stage::RecoveryOptions;
use feed_handler::udp::{UdpLine, UdpOptions};
use feed_handler::xdp::{self, Mode, Rung, SocketOptions, Wanted};
use protocol::types::Symbol;
use tickgate_config as settings;

use super::{Factory, doctor, password, risk, systemd};
use crate::journal::copy_format::CopyFormat;
use crate::journal::writer::{JournalOptions, Sync};
use crate::options::{self, FeedRecovery, Options, Output, Rings};
use crate::order::addresses::Addresses;
use crate::order::entry::{Credentials, FoundOrders};
use crate::order::transport::delegated::{DelegatedOptions, Safeguards};
use crate::order::transport::{TransportOptions, Way};
use crate::service::certificate::CertificateOptions;
use crate::service::sandbox::{self, SandboxOptions};

/// Options of checked settings.
///
/// # Errors
/// A strategy's kind or parameters, or a password file that is not there or not private.
pub(super) fn options(settings: &settings::Settings, factory: Factory) -> Result<Options, String> {
    let sessions = settings.session.iter().map(|(name, s)| {
        let strategies = settings.strategy.iter();
        let own = strategies.filter(|(_, strategy)| strategy.session == *name);
        let own: Vec<&str> = own.map(|(name, _)| name.as_str()).collect();
        session(name, s, &own)
    });
    let strategies = settings
        .strategy
        .iter()
        .map(|(name, s)| strategy(name, s, settings, factory));
    let killed = settings.session.iter().find(|(_, s)| s.risk.start_killed);
    if let (Some((name, _)), None) = (killed, state_folder(settings)) {
        return Err(format!(
            "session.{name}.risk.start_killed: true: `tickgate resume` could not end it; expected \
             host.state_dir to be set"
        ));
    }
    let path = |text: &String| (!text.is_empty()).then(|| PathBuf::from(text));
    let feeds: Vec<options::Feed> = settings
        .feed
        .iter()
        .map(|(name, f)| feed(name, f, &settings.host))
        .collect::<Result<_, _>>()?;
    let mut sessions: Vec<options::Session> = sessions.collect::<Result<_, _>>()?;
    let by_xdp = feeds.iter().flat_map(|feed| &feed.xdp);
    let feeds_on: Vec<String> = by_xdp.map(|xdp| xdp.interface.clone()).collect();
    for session in &mut sessions {
        session.transport.delegated.feeds_on.clone_from(&feeds_on);
    }
    Ok(Options {
        lock_memory: settings.host.lock_memory,
        huge_pages: settings.host.huge_pages,
        realtime_priority: i32::from(settings.host.realtime_priority),
        state_dir: state_folder(settings),
        feeds_wait_ns: u64::from(settings.host.feeds_wait_ms) * 1_000_000,
        kill_page: None,
        configuration: None,
        is_inline: settings.layout.kind == settings::LayoutKind::Inline,
        cpus: settings.layout.cpus.clone(),
        cores: settings
            .layout
            .core
            .iter()
            .map(|(name, of)| core(name, of))
            .collect(),
        rehearse_ns: u64::from(settings.layout.rehearse_us) * 1_000,
        rings: Rings {
            events: settings.rings.events,
            intents: settings.rings.intents,
            executions: settings.rings.executions,
        },
        feeds,
        sessions,
        accounts: risk::accounts(settings),
        strategies: strategies.collect::<Result<_, _>>()?,
        journal: journal(settings),
        certificate: certificate(settings),
        sandbox: sandbox(&settings.sandbox),
        output: Output {
            json: path(&settings.telemetry.json),
            hgrm_dir: path(&settings.telemetry.hgrm_dir),
            table: settings.telemetry.table,
            slow_orders: path(&settings.telemetry.slow_orders)
                .or_else(|| Some(systemd::folder("STATE_DIRECTORY")?.join("slow-orders.jsonl"))),
            warm_up_ms: settings.telemetry.warm_up_ms,
        },
    })
}

fn certificate(settings: &settings::Settings) -> Option<CertificateOptions> {
    let file = &settings.host.certificate;
    (!file.is_empty()).then(|| CertificateOptions {
        file: PathBuf::from(file),
        plan: doctor::plan_of(settings),
    })
}

fn sandbox(sandbox: &settings::Sandbox) -> SandboxOptions {
    SandboxOptions {
        mode: match sandbox.mode {
            settings::SandboxMode::Off => sandbox::Mode::Off,
            settings::SandboxMode::Log => sandbox::Mode::Log,
            settings::SandboxMode::Enforce => sandbox::Mode::Enforce,
        },
        require: match sandbox.require {
            settings::SandboxRung::None => sandbox::Rung::None,
            settings::SandboxRung::Filter => sandbox::Rung::Filter,
            settings::SandboxRung::Full => sandbox::Rung::Full,
        },
    }
}

/// What is journaled; `None`: nothing, or there is nowhere to keep it.
fn journal(settings: &settings::Settings) -> Option<JournalOptions> {
    let journal = &settings.journal;
    let of_state = || Some(state_folder(settings)?.join("journal"));
    let folder = if journal.folder.is_empty() {
        of_state()?
    } else {
        PathBuf::from(&journal.folder)
    };
    journal.enabled.then_some(JournalOptions {
        folder,
        sync: match journal.sync {
            settings::Sync::None => Sync::None,
            settings::Sync::Interval => Sync::Interval(journal.sync_interval_ms * 1_000_000),
            settings::Sync::Batch => Sync::Batch,
        },
        ring_bytes: count(journal.ring_kib << 10),
        file_bytes: journal.file_mib << 20,
        drop_copy: (!journal.drop_copy.is_empty()).then(|| PathBuf::from(&journal.drop_copy)),
        drop_copy_format: match journal.drop_copy_format {
            settings::CopyFormat::Json => CopyFormat::Json,
            settings::CopyFormat::Csv => CopyFormat::Csv,
        },
        keep_days: Some(journal.keep_days).filter(|days| *days > 0),
        is_replayable: journal.replayable,
    })
}

/// A core; a stage's name says enough without its kind, since names are unique over all kinds.
fn core(name: &str, core: &settings::Core) -> options::Core {
    let stage = |key: &String| match key.split_once('.') {
        Some((_, stage)) => stage.to_owned(),
        None => key.clone(),
    };
    options::Core {
        name: name.to_owned(),
        cpu: core.cpu,
        runs: core.runs.iter().map(stage).collect(),
    }
}

/// Where what outlives the process is kept.
pub(super) fn state_folder(settings: &settings::Settings) -> Option<PathBuf> {
    folder_or_systemds(&settings.host.state_dir)
}

/// A folder of the configuration; where it is empty, systemd's.
fn folder_or_systemds(folder: &str) -> Option<PathBuf> {
    (!folder.is_empty())
        .then(|| PathBuf::from(folder))
        .or_else(|| systemd::folder("STATE_DIRECTORY"))
}

/// The bounds of a feed's books.
pub(super) fn book_limits(books: &settings::Books) -> BookLimits {
    BookLimits {
        orders_max: books.orders_max,
        levels_max: books.levels_max,
    }
}

pub(super) fn feed(
    name: &str,
    feed: &settings::Feed,
    host: &settings::Host,
) -> Result<options::Feed, String> {
    let line = |line: &settings::Line| UdpLine {
        address: line.address,
        interface: (!line.interface.is_empty()).then(|| line.interface.clone()),
    };
    let gap_timeout_ns = if feed.lines.len() > 1 {
        feed.gap_timeout_us * 1000
    } else {
        0
    };
    Ok(options::Feed {
        name: name.to_owned(),
        venue: match feed.venue {
            settings::Venue::Nasdaq => options::Venue::Nasdaq,
            settings::Venue::Iex => options::Venue::Iex,
        },
        xdp: match feed.receive {
            settings::Receive::AfXdp => xdp_options(feed, host),
            settings::Receive::Udp => Vec::new(),
        },
        udp: UdpOptions {
            lines: feed.lines.iter().map(line).collect(),
            receive_buffer_bytes: feed.udp.receive_buffer_bytes,
            busy_poll_us: feed.udp.busy_poll_us,
            block_us: feed.udp.block_us,
        },
        patience: Patience {
            gap_timeout_ns,
            stale_ns: feed.stale_ms * 1_000_000,
        },
        books: book_limits(&feed.books),
        recovery: recovery(name, feed)?,
        capture: capture(name, &feed.capture)?,
        slow_order_ns: slow_order_ns(&feed.capture),
    })
}

/// A number of things, or more than there can be.
fn count(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// How slow an order is whose packet is kept; `None`: none is.
fn slow_order_ns(capture: &settings::Capture) -> Option<u64> {
    let is_on = capture.frames == settings::Frames::Gaps && capture.slow_order_us > 0;
    is_on.then_some(capture.slow_order_us * 1_000)
}

/// Which frames are kept; `None`: none.
fn capture(name: &str, capture: &settings::Capture) -> Result<Option<CaptureOptions>, String> {
    let frames = match capture.frames {
        settings::Frames::Off => return Ok(None),
        settings::Frames::All => Frames::All,
        settings::Frames::Gaps => Frames::Gaps {
            before: count(capture.before_frames),
            after: count(capture.after_frames),
            is_asked: slow_order_ns(capture).is_some(),
        },
    };
    let folder = folder_or_systemds(&capture.folder).ok_or_else(|| {
        format!(
            "feed.{name}.capture.folder: empty: expected a folder, for there is no STATE_DIRECTORY"
        )
    })?;
    Ok(Some(CaptureOptions {
        frames,
        folder,
        file_bytes: capture.file_mib << 20,
        files_max: count(capture.files),
        ring_bytes: count(capture.ring_kib << 10),
    }))
}

/// What is done about messages that no line brought; `None`: there is no server.
fn recovery(name: &str, feed: &settings::Feed) -> Result<Option<FeedRecovery>, String> {
    let (recovery, snapshot) = (&feed.recovery, &feed.snapshot);
    if recovery.servers.is_empty() && snapshot.servers.is_empty() {
        return Ok(None);
    }
    let short = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
    let password =
        password::of(&snapshot.login()).map_err(|error| format!("feed.{name}.snapshot.{error}"))?;
    let snapshots = SnapshotOptions {
        servers: snapshot.servers.len(),
        glimpse: GlimpseOptions {
            username: snapshot.username.clone(),
            password,
            silence_ns: snapshot.silence_ms * 1_000_000,
            timeout_ns: snapshot.timeout_ms * 1_000_000,
        },
        pause_ns: snapshot.pause_ms * 1_000_000,
        tries_max: short(snapshot.tries_max),
    };
    Ok(Some(FeedRecovery {
        holes: Recovery {
            give_up_ns: recovery.give_up_ms * 1_000_000,
            held_max: count(recovery.held_packets_max),
        },
        stage: RecoveryOptions {
            requests: RequestOptions {
                servers: recovery.servers.len(),
                timeout_ns: recovery.request_timeout_ms * 1_000_000,
                requests_max: count(recovery.requests_max),
                interval_ns: recovery.request_interval_us * 1_000,
                messages_max: u16::try_from(recovery.messages_max).unwrap_or(u16::MAX),
                tries_max: short(recovery.tries_max),
            },
            snapshots: (!snapshot.servers.is_empty()).then_some(snapshots),
        },
        request_servers: recovery.servers.clone(),
        snapshot_servers: snapshot.servers.clone(),
        live_messages_max: count(snapshot.live_messages_max),
    }))
}

/// One set of options for each interface, with the lines that arrive there.
fn xdp_options(feed: &settings::Feed, host: &settings::Host) -> Vec<xdp::Options> {
    let x = &feed.af_xdp;
    let mut interfaces: Vec<&String> = Vec::new();
    for line in &feed.lines {
        if !interfaces.contains(&&line.interface) {
            interfaces.push(&line.interface);
        }
    }
    let wanted = |interface: &String| {
        let numbered = (0..=u8::MAX).zip(&feed.lines);
        let lines = numbered.filter(|(_, line)| line.interface == *interface);
        let wanted = lines.map(|(number, line)| Wanted {
            address: line.address,
            line: number,
        });
        wanted.collect()
    };
    interfaces
        .into_iter()
        .map(|interface| xdp::Options {
            interface: interface.clone(),
            wanted: wanted(interface),
            mode: match x.mode {
                settings::Mode::Auto => Mode::Auto,
                settings::Mode::Native => Mode::Native,
                settings::Mode::Generic => Mode::Generic,
            },
            require: match x.require {
                settings::Rung::ZeroCopy => Rung::ZeroCopy,
                settings::Rung::NativeCopy => Rung::NativeCopy,
                settings::Rung::Generic => Rung::Generic,
                settings::Rung::KernelSocket => Rung::KernelSocket,
            },
            trusted_drivers: x.trusted_drivers.clone(),
            queues: x.queues.clone(),
            allow_default_route: x.allow_default_route,
            trial: Duration::from_millis(x.trial_ms),
            socket: SocketOptions {
                frames: x.frames,
                frame_bytes: x.frame_bytes,
                rx_ring: x.rx_ring,
                batch: x.batch,
                huge_pages: host.huge_pages,
                busy_poll_us: x.busy_poll_us,
                busy_poll_budget: x.busy_poll_budget,
            },
        })
        .collect()
}

/// The transport of the setting's own name; a test holds the two lists against one another.
fn way(submit: settings::Submit) -> Result<Way, String> {
    let named = serde_json::to_value(submit).ok();
    let named = named.and_then(|name| Way::named(name.as_str()?));
    named.ok_or_else(|| format!("{submit:?}: no such transport"))
}

fn session(
    name: &str,
    session: &settings::Session,
    strategies: &[&str],
) -> Result<options::Session, String> {
    let risk = &session.risk;
    let password =
        password::of(&session.login()).map_err(|error| format!("session.{name}.{error}"))?;
    Ok(options::Session {
        name: name.to_owned(),
        way: way(session.submit).map_err(|error| format!("session.{name}.submit: {error}"))?,
        transport: TransportOptions {
            busy_poll_us: session.busy_poll_us,
            sqpoll_cpu: session.sqpoll_cpu,
            sqpoll_idle_ms: session.sqpoll_idle_ms,
            delegated: DelegatedOptions {
                session: name.to_owned(),
                exchange: Some(*session.address.ip()),
                interface: Some(session.interface.clone()).filter(|name| !name.is_empty()),
                queue: session.queue,
                zero_copy: session.zero_copy,
                is_required: session.require == settings::Require::Delegated,
                feeds_on: Vec::new(),
                safeguards: Safeguards::Both,
            },
        },
        credentials: Credentials {
            addresses: Addresses::new(session.address, &session.backup_addresses),
            username: session.username.clone(),
            password,
            session: session.session.clone(),
            server_timeout_ns: session.server_timeout_ms * 1_000_000,
        },
        rows: risk::rows(risk, strategies)
            .map_err(|error| format!("session.{name}.risk.{error}"))?,
        risk: risk::limits(risk).map_err(|error| format!("session.{name}.risk.{error}"))?,
        day: risk::day_start(risk).map_err(|error| format!("session.{name}.risk.{error}"))?,
        start_killed: risk.start_killed,
        answer_timeout_ns: match session.answer_timeout_ms {
            0 => u64::MAX,
            ms => ms * 1_000_000,
        },
        found_orders: match session.found_orders {
            settings::FoundOrders::Keep => FoundOrders::Keep,
            settings::FoundOrders::Adopt => FoundOrders::Adopt,
            settings::FoundOrders::Cancel => FoundOrders::Cancel,
        },
    })
}

fn strategy(
    name: &str,
    strategy: &settings::Strategy,
    settings: &settings::Settings,
    factory: Factory,
) -> Result<options::StrategyOptions, String> {
    let built = factory(&strategy.kind, &strategy.parameters)
        .map_err(|error| format!("strategy.{name}: {error}"))?;
    // Settings that exist have names that meet; one that did not would trade elsewhere.
    let index = |field: &str, wanted: &String, found: Option<usize>| {
        found.ok_or_else(|| format!("strategy.{name}.{field}: \"{wanted}\": no such {field}"))
    };
    let (mut feeds, mut sessions) = (settings.feed.keys(), settings.session.keys());
    let symbols: Vec<Symbol> = strategy
        .symbols
        .iter()
        .map(|text| {
            Symbol::new(text).ok_or_else(|| {
                format!("strategy.{name}.symbols: \"{text}\": expected 1 to 8 printable characters")
            })
        })
        .collect::<Result<_, _>>()?;
    let subscription = if symbols.is_empty() {
        Subscription::All
    } else {
        Subscription::Symbols(symbols)
    };
    let hears = match strategy.events {
        settings::Events::Auto => subscription.way(),
        settings::Events::Shared => Hears::Shared,
        settings::Events::Own => Hears::Own,
    };
    Ok(options::StrategyOptions {
        name: name.to_owned(),
        strategy: built,
        feed: index(
            "feed",
            &strategy.feed,
            feeds.position(|name| *name == strategy.feed),
        )?,
        session: index(
            "session",
            &strategy.session,
            sessions.position(|name| *name == strategy.session),
        )?,
        subscription,
        hears,
        depth: strategy.depth,
        own_book_orders: match strategy.book {
            settings::Book::None => None,
            settings::Book::Events => Some(strategy.book_orders),
        },
        trade_on_stale: strategy.trade_on_stale,
    })
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddrV4};

    use super::*;

    #[test]
    fn settings_and_transports_have_the_same_names() {
        // The refusal of a word lists those that there are.
        let refused = serde_json::from_str::<settings::Submit>("\"?\"").unwrap_err();
        let refused = refused.to_string();
        let words: Vec<&str> = refused.split('`').skip(3).step_by(2).collect();
        let names = Way::ALL.iter().map(|way| way.name());
        assert_eq!(words, names.collect::<Vec<_>>(), "{refused}");
        for way in Way::ALL {
            let submit = serde_json::from_value(way.name().into()).unwrap();
            assert_eq!(super::way(submit), Ok(*way));
        }
    }

    #[test]
    fn journal_keeps_all_and_copies_as_json_unless_something_else_is_asked_for() {
        let options = |sets: &[&str]| {
            let sets = sets.iter().copied().chain(["journal.folder=\"/j\""]);
            let layers = settings::Layers {
                sets: sets.map(str::to_owned).collect(),
                ..settings::Layers::default()
            };
            let options = journal(&layers.load().unwrap().settings).unwrap();
            (
                options.drop_copy,
                options.drop_copy_format,
                options.keep_days,
            )
        };
        assert_eq!(options(&[]), (None, CopyFormat::Json, None));
        let asked = options(&[
            "journal.drop_copy=\"/c\"",
            "journal.drop_copy_format=\"csv\"",
            "journal.keep_days=30",
        ]);
        assert_eq!(
            asked,
            (Some(PathBuf::from("/c")), CopyFormat::Csv, Some(30))
        );
    }

    #[test]
    fn lines_on_two_interfaces_in_turns_each_interface_is_opened_once_and_lines_keep_their_numbers()
    {
        let address = |group| SocketAddrV4::new(Ipv4Addr::new(233, 54, 12, group), 26_477);
        let line = |(group, interface): (u8, &str)| settings::Line {
            address: address(group),
            interface: interface.to_owned(),
        };
        let layers = settings::Layers {
            sets: vec![
                "feed.f.lines=[{address=\"233.54.12.1:26477\",interface=\"eth7\"}]".to_owned(),
            ],
            ..settings::Layers::default()
        };
        let mut loaded = layers.load().unwrap().settings;
        let feed = loaded.feed.get_mut("f").unwrap();
        feed.lines = [(1, "eth7"), (2, "eth8"), (3, "eth7")].map(line).into();
        let opened = xdp_options(feed, &loaded.host);
        let wanted = |group, line| Wanted {
            address: address(group),
            line,
        };
        let opened: Vec<_> = opened
            .into_iter()
            .map(|options| (options.interface, options.wanted))
            .collect();
        let expected = [
            ("eth7".to_owned(), vec![wanted(1, 0), wanted(3, 2)]),
            ("eth8".to_owned(), vec![wanted(2, 1)]),
        ];
        assert_eq!(opened, expected);
    }
}
