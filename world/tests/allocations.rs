//! The hot cores do not allocate: the whole gateway in this process, under a counting allocator, from
//! the first market message to the last order, with every frame captured and every order journaled.

#![allow(clippy::expect_used, clippy::panic, reason = "tests")]
#![allow(clippy::too_many_lines, reason = "options are one long list")]

mod support;

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use feed_handler::arbiter::Patience;
use feed_handler::book::Limits as BookLimits;
use feed_handler::capture::{CaptureOptions, Frames};
use feed_handler::publish::{Subscription, Way as Hears};
use feed_handler::udp::{UdpLine, UdpOptions};
use feed_handler::xdp::{Mode, Options as XdpOptions, Rung, SocketOptions, Wanted};
use gateway::journal::copy_format::CopyFormat;
use gateway::journal::event::Event;
use gateway::journal::files::list;
use gateway::journal::format::Kind as Record;
use gateway::journal::reader::Reader;
use gateway::journal::writer::{JournalOptions, Sync};
use gateway::message::intent::Action;
use gateway::options::{Feed, Options, Output, Rings, Session, StrategyOptions, Venue};
use gateway::order::addresses::Addresses;
use gateway::order::entry::{Credentials, FoundOrders};
use gateway::order::risk::Limits;
use gateway::order::transport::{TransportOptions, Way};
use gateway::service::{self, StopHandle};
use gateway::strategy::{Probe, ProbeParameters, Quoter, QuoterParameters, Strategy};
use gateway::telemetry::Kind;
use protocol::frame::Datagram;
use protocol::types::Qty;
use rt::alloc_guard::{CountingAllocator, hot_allocations};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const EXCHANGE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 12_077);
/// Where frames are kept, beside the report.
const CAPTURE: &str = "capture";
/// And where orders are journaled.
const JOURNAL: &str = "journal";
const GROUP: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(239, 77, 0, 9), 26_409);

/// Moves this thread, and those that it starts, into a network namespace of its own.
#[expect(unsafe_code, reason = "unshare")]
fn own_network() {
    // SAFETY: takes a flag; only this thread's network namespace changes.
    assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNET) }, 0);
    for arguments in [
        "link set lo up",
        "link add tg-a type veth peer name tg-b",
        "addr add 10.77.9.1/24 dev tg-a",
        "link set tg-a up",
        "link set tg-b up",
    ] {
        let status = Command::new("ip").args(arguments.split(' ')).status();
        assert!(status.expect("ip runs").success(), "ip {arguments}");
    }
}

fn options(strategies: Vec<(&str, Box<dyn Strategy>)>, json: &Path) -> Options {
    let strategy = |(name, strategy): (&str, Box<dyn Strategy>)| StrategyOptions {
        name: name.to_owned(),
        strategy,
        feed: 0,
        session: 0,
        subscription: Subscription::All,
        hears: Hears::Shared,
        depth: 5,
        own_book_orders: Some(1 << 12),
        trade_on_stale: false,
    };
    let rings = Rings {
        events: 4096,
        intents: 1024,
        executions: 4096,
    };
    Options {
        feeds: vec![Feed {
            name: "itch".to_owned(),
            venue: Venue::Nasdaq,
            xdp: vec![XdpOptions {
                interface: "tg-b".to_owned(),
                wanted: vec![Wanted {
                    address: GROUP,
                    line: 0,
                }],
                mode: Mode::Auto,
                require: Rung::NativeCopy,
                trusted_drivers: Vec::new(),
                queues: Vec::new(),
                allow_default_route: false,
                trial: Duration::ZERO,
                socket: SocketOptions {
                    frames: 4096,
                    frame_bytes: 2048,
                    rx_ring: 2048,
                    batch: 32,
                    huge_pages: false,
                    busy_poll_us: 0,
                    busy_poll_budget: 64,
                },
            }],
            udp: UdpOptions {
                lines: vec![UdpLine {
                    address: GROUP,
                    interface: Some("tg-b".to_owned()),
                }],
                receive_buffer_bytes: 1 << 20,
                busy_poll_us: 0,
                block_us: 0,
            },
            patience: Patience {
                gap_timeout_ns: 0,
                stale_ns: 2_000_000_000,
            },
            books: BookLimits {
                orders_max: 1 << 16,
                levels_max: 1 << 16,
            },
            recovery: None,
            capture: Some(CaptureOptions {
                frames: Frames::All,
                folder: json.with_file_name(CAPTURE),
                file_bytes: 1 << 30,
                files_max: 1,
                ring_bytes: 1 << 24,
            }),
            slow_order_ns: None,
        }],
        sessions: vec![Session {
            found_orders: FoundOrders::Keep,
            answer_timeout_ns: 1_000_000_000,
            name: "ouch".to_owned(),
            way: Way::Enter,
            transport: TransportOptions::PLAIN,
            credentials: Credentials {
                addresses: Addresses::new(EXCHANGE, &[]),
                username: "demo".to_owned(),
                password: "demo".to_owned(),
                session: String::new(),
                server_timeout_ns: 15_000_000_000,
            },
            rows: Vec::new(),
            risk: Limits {
                order_qty_max: Qty(10_000),
                notional_max: 10_000_000_000,
                collar_bps: 500,
                position_max: 10_000_000,
                open_orders_max: 1000,
                orders_per_second_max: 100_000,
                ..Limits::WIDEST
            },
            day: gateway::order::account::DayStart::default(),
            start_killed: false,
        }],
        strategies: strategies.into_iter().map(strategy).collect(),
        output: Output {
            slow_orders: None,
            warm_up_ms: 0,
            json: Some(json.to_owned()),
            hgrm_dir: None,
            table: false,
        },
        sandbox: service::sandbox::SandboxOptions::default(),
        journal: Some(JournalOptions {
            folder: json.with_file_name(JOURNAL),
            sync: Sync::Interval(1_000_000),
            ring_bytes: 1 << 22,
            file_bytes: 1 << 30,
            drop_copy: None,
            drop_copy_format: CopyFormat::Json,
            keep_days: None,
            is_replayable: false,
        }),
        ..support::bare(rings)
    }
}

#[test]
fn no_allocation_on_hot_cores_from_the_first_message_to_the_last_order() {
    if !support::is_root() {
        return;
    }
    own_network();
    let folder = tempfile::tempdir().expect("a folder");
    let day = folder.path().join("day.itch50");
    let captures = folder.path().join(CAPTURE);
    std::fs::create_dir(&captures).expect("a folder");
    let generated = feeds::generate::Options {
        seed: 3,
        messages: 20_000,
        symbols: 10,
        live: 0,
    };
    feeds::generate::to_file(&generated, &day, |_| ()).expect("written");
    let replay = feeds::replay::Options {
        answer_after_ns: 0,
        bulk: 0,
        trigger: None,
        burst: 1,
        file: day,
        lines: vec![feeds::replay::Line {
            to: GROUP,
            from: Ipv4Addr::new(10, 77, 9, 1),
            interface: Some("tg-a".to_owned()),
        }],
        pace: feeds::replay::Pace::Rate(5_000.0),
        pack: 2,
        session: feeds::replay::session_name("S1"),
        vlan: Some(77),
        limit: None,
        wire_stamps: None,
        exchange: Some(SocketAddr::V4(EXCHANGE)),
    };
    let sender = std::thread::spawn(move || {
        feeds::replay::send(&replay, &AtomicBool::new(false), |_| ()).expect("sent")
    });
    let json = folder.path().join("out.json");
    let probe = Probe::new(&ProbeParameters {
        every: 2,
        ..ProbeParameters::default()
    })
    .expect("sane");
    let quoter = Quoter::new(&QuoterParameters::default()).expect("sane");
    let options = options(
        vec![("probe", Box::new(probe)), ("quoter", Box::new(quoter))],
        &json,
    );
    let stop = StopHandle::default();
    let (handle, counted) = (stop.clone(), Arc::new(AtomicBool::new(false)));
    let done = Arc::clone(&counted);
    let waiter = std::thread::spawn(move || {
        let sent = sender.join().expect("the sender ends");
        done.store(true, Ordering::SeqCst);
        handle.stop();
        sent
    });
    let report = service::run(options, &stop, |_| ()).expect("the gateway runs");
    let sent = waiter.join().expect("the waiter ends");
    let run = report.runs.first().expect("a run");
    assert!(counted.load(Ordering::SeqCst));
    assert_eq!((sent.messages, run.received, run.lost), (20_000, 20_000, 0));
    assert!(run.orders > 500, "{} orders", run.orders);
    eprintln!(
        "{} messages, {} orders, {} allocations",
        run.received,
        run.orders,
        hot_allocations()
    );
    assert_eq!(hot_allocations(), 0);
    let counted = |kind, name| run.counters[&kind]["itch"][name];
    let packets = counted(Kind::Feed, "packets");
    assert_eq!(counted(Kind::Capture, "frames"), packets);
    let files = std::fs::read_dir(captures).expect("a folder");
    let files = files.map(|entry| entry.expect("a file").path());
    let mut capture = feeds::capture::Capture::open(files).expect("a capture");
    let (mut frames, mut turn) = (0, Vec::new());
    while capture.next_ns().is_some() {
        capture.next_turn(&mut turn).expect("read");
        for packet in &turn {
            let datagram = Datagram::parse(&packet.frame).expect("a frame");
            assert_eq!((datagram.vlan, datagram.destination), (Some(77), GROUP));
            assert!(datagram.checksums_fit());
            assert!(0 < packet.wire_ns && packet.wire_ns < packet.seen_ns);
            frames += 1;
        }
    }
    assert_eq!(frames, packets);
    let journal = |name| run.counters[&Kind::Journal]["ouch"][name];
    assert_eq!(journal("journal_ring_full"), 0);
    let entered = orders_journaled(&folder.path().join(JOURNAL));
    assert_eq!(entered, run.orders, "every order is in the journal");
}

/// New orders in the one journal of this folder, which ends as it should.
fn orders_journaled(folder: &Path) -> u64 {
    let files = list(folder).expect("a folder");
    let [path] = &files[..] else {
        panic!("one run has one journal: {files:?}");
    };
    let file = std::fs::File::open(path).expect("a journal");
    let mut reader = Reader::new(file).expect("a head");
    let (mut entered, mut last) = (0, None);
    while let Some(record) = reader
        .next_record()
        .unwrap_or_else(|error| panic!("{error}"))
    {
        if let Event::Sent(intent, _) = Event::of(&record).expect("a payload") {
            entered += u64::from(intent.action() == Some(Action::Enter));
        }
        last = Some(record.kind);
    }
    assert_eq!(last, Some(Record::Stop));
    entered
}
