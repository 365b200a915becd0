//! Captures: what a feed heard, written, judged by Wireshark's programs, and played again.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod support;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::sync::Arc;

use feed_handler::arbiter::{Arbiter, Patience};
use feed_handler::best_prices::BestPrices;
use feed_handler::book::{Books, Limits};
use feed_handler::capture::FeedLines;
use feed_handler::capture::stage::{CaptureCounters, CaptureStage, Now};
use feed_handler::capture::tap::{Tapped, tap};
use feed_handler::capture::{CaptureOptions, Frames, LineName};
use feed_handler::event::MarketEvent;
use feed_handler::feed::{Counters, Feed, FeedHistograms, Parts};
use feed_handler::publish::{Listener, Publisher, Subscription, Way};
use feed_handler::source::{Packet, PacketSource};
use feed_handler::venue::Nasdaq;
use feeds::capture::{Capture, Captured, play};
use protocol::binary_file::Messages;
use protocol::frame::{FrameBuilder, multicast_mac};
use protocol::mold::{self, PacketBuilder, Session};
use protocol::types::Seq;
use rt::clock::Clock;
use rt::mem::Want;
use support::has;
use zerocopy::IntoBytes;

const MS: u64 = 1_000_000;
/// A turn of the feed core: everything happens at multiples of it.
const TURN_NS: u64 = 10_000;
/// Quiet turns: one of 16 looks at the clock.
const QUIET_TURNS: usize = 16;
const STALE_NS: u64 = 100 * MS;
const GAP_TIMEOUT_NS: u64 = 30 * TURN_NS;
const START_NS: u64 = 3_600_000 * MS;
/// Wall clock minus monotonic clock.
const OFFSET_NS: i64 = 1_764_171_234_123_456_789;
const LINES: [SocketAddrV4; 2] = [
    SocketAddrV4::new(Ipv4Addr::new(239, 77, 0, 1), 26_400),
    SocketAddrV4::new(Ipv4Addr::new(239, 77, 0, 2), 26_400),
];

/// Wireshark's mildest finding: a packet has a comment.
const COMMENT_SEVERITY: &str = "1048576";

/// A packet as it arrives.
#[derive(Clone, Debug)]
struct Arriving {
    at_ns: u64,
    wire_ns: u64,
    line: u8,
    payload: Vec<u8>,
    frame: Vec<u8>,
}

#[derive(Clone, Default)]
struct Lines(Rc<RefCell<Vec<Arriving>>>);

impl PacketSource for Lines {
    fn acquire(&mut self) -> usize {
        self.0.borrow().len()
    }

    fn each(&mut self, mut on_packet: impl FnMut(Packet<'_>)) {
        for packet in self.0.borrow().iter() {
            on_packet(Packet {
                payload: &packet.payload,
                frame: &packet.frame,
                wire_ns: packet.wire_ns,
                line: packet.line,
            });
        }
    }

    fn release(&mut self) {
        self.0.borrow_mut().clear();
    }

    fn housekeep(&mut self) {}
}

/// The parts of a feed, who listens to it, and what it counts.
fn parts<S>(source: S) -> (Parts<S, Nasdaq>, Listener, Arc<Counters>) {
    let limits = Limits {
        orders_max: 1 << 14,
        levels_max: 1 << 14,
    };
    let prices = Arc::new(BestPrices::new(Want::LAZY).expect("memory"));
    let mut publisher = Publisher::new(prices, 1 << 12);
    let listener = publisher.listen(Subscription::All, Way::Own, 1 << 12);
    let counters = Arc::new(Counters::default());
    let parts = Parts {
        source,
        venue: Nasdaq,
        arbiter: Arbiter::new(Patience {
            gap_timeout_ns: GAP_TIMEOUT_NS,
            stale_ns: STALE_NS,
        }),
        books: Books::new(&limits, Want::LAZY).expect("memory"),
        publisher,
        counters: Arc::clone(&counters),
        histograms: FeedHistograms::default(),
        feed: 0,
        lines: LINES.len(),
        stale_ns: STALE_NS,
    };
    (parts, listener.expect("a ring"), counters)
}

/// A day in two sessions on two lines that lose, delay and repeat packets, with a silence in the middle of each.
fn day(seed: u64, has_frames: bool) -> Vec<Arriving> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut now_ns = START_NS;
    let mut arriving = Vec::new();
    for session in [*b"CAPTURE001", *b"CAPTURE002"] {
        let options = feeds::generate::Options {
            seed: random.u64(..),
            messages: 6_000,
            symbols: 20,
            live: 0,
        };
        let file = feeds::generate::to_writer(&options, Vec::new(), |_| ()).expect("made");
        let messages: Vec<&[u8]> = Messages::new(&file).collect();
        let mut rest = &messages[..];
        let mut seq = 1;
        for _ in 0..4 {
            now_ns += MS;
            send(
                now_ns,
                packet(session, seq, &[]),
                &mut random,
                &mut arriving,
            );
        }
        while !rest.is_empty() {
            let count = random.usize(1..8).min(rest.len());
            let (now, later) = rest.split_at(count);
            let silence_ns = if seq < 3000 && seq + count as u64 >= 3000 {
                3 * STALE_NS
            } else {
                TURN_NS * random.u64(0..20)
            };
            now_ns += silence_ns;
            send(
                now_ns,
                packet(session, seq, now),
                &mut random,
                &mut arriving,
            );
            seq += count as u64;
            rest = later;
        }
        for _ in 0..8 {
            now_ns += MS;
            let mut end = packet(session, seq, &[]);
            end[18..20].copy_from_slice(&0xFFFFu16.to_be_bytes());
            send(now_ns, end, &mut random, &mut arriving);
        }
    }
    if !has_frames {
        arriving.iter_mut().for_each(|packet| packet.frame.clear());
    }
    arriving.sort_by_key(|packet| packet.at_ns);
    arriving
}

fn packet(session: Session, seq: u64, messages: &[&[u8]]) -> Vec<u8> {
    let mut buffer = [0; 1400];
    let mut packet = PacketBuilder::new(&mut buffer, session, Seq(seq)).expect("room");
    for message in messages {
        assert!(packet.push(message), "a few messages fit");
    }
    packet.finish().to_vec()
}

/// What becomes of a packet on its way: each line loses some, both together some more.
fn send(now_ns: u64, payload: Vec<u8>, random: &mut fastrand::Rng, arriving: &mut Vec<Arriving>) {
    let is_lost_for_all = random.u8(0..100) == 0;
    for (line, group) in (0..).zip(LINES) {
        for _ in 0..=usize::from(random.u8(0..50) == 0) {
            if is_lost_for_all || random.u8(0..100) < 3 {
                continue;
            }
            let at_ns = now_ns + TURN_NS * random.u64(0..12);
            // Some have no stamp, and some a wrong one.
            let wire_ns = match random.u8(0..50) {
                0 => 0,
                1 => at_ns + 5_000,
                _ => at_ns - random.u64(1..9_000),
            };
            let builder = FrameBuilder {
                source_mac: [2, 0, 0, 0, 0, line + 1],
                destination_mac: multicast_mac(*group.ip()),
                vlan: Some(77),
                source: SocketAddrV4::new(Ipv4Addr::new(10, 77, 1, 1), 50_000),
                destination: group,
                ttl: 1,
            };
            let mut frame = vec![0; builder.header_len() + payload.len()];
            builder.build(&payload, &mut frame).expect("it fits");
            arriving.push(Arriving {
                at_ns,
                wire_ns,
                line,
                payload: payload.clone(),
                frame,
            });
        }
    }
}

/// A feed that lived through a day with a capture beside it.
struct Lived {
    events: Vec<MarketEvent>,
    feed: Arc<Counters>,
    capture: Arc<CaptureCounters>,
}

fn live(day: &[Arriving], options: CaptureOptions) -> Lived {
    let lines = Lines::default();
    let (parts, mut listener, counters) = parts(());
    let (hot, end) = tap(options.ring_bytes, Arc::clone(&counters)).expect("a ring");
    let named = FeedLines {
        stem: "itch".to_owned(),
        of: "feed itch".to_owned(),
        lines: LINES
            .map(|address| LineName {
                address,
                interface: "feed0".to_owned(),
            })
            .into(),
        has_frames: day.iter().all(|packet| !packet.frame.is_empty()),
    };
    let mut stage = CaptureStage::new(options, named, end, Arc::clone(&counters));
    let mut feed = Feed::new(parts.with_source(Tapped::new(lines.clone(), hot)));
    let mut clock = Clock::manual(START_NS);
    let mut events = Vec::new();
    let mut rest = day;
    while !rest.is_empty() {
        let here = rest
            .iter()
            .take_while(|packet| packet.at_ns <= clock.now_ns());
        let (arrived, later) = rest.split_at(here.count());
        rest = later;
        lines.0.borrow_mut().extend_from_slice(arrived);
        for _ in 0..=QUIET_TURNS {
            feed.poll(&clock);
            events.extend(std::iter::from_fn(|| listener.hear()));
        }
        if clock.now_ns().is_multiple_of(7 * TURN_NS) {
            stage.poll(now(&clock));
        }
        clock.set_ns(clock.now_ns() + TURN_NS);
    }
    stage.finish(now(&clock));
    if let Some(trouble) = stage.take_trouble() {
        panic!("{trouble:?}");
    }
    Lived {
        events,
        feed: counters,
        capture: stage.counters(),
    }
}

fn now(clock: &Clock) -> Now {
    Now {
        monotonic_ns: clock.now_ns(),
        realtime_offset_ns: OFFSET_NS,
    }
}

fn everything(folder: &Path) -> CaptureOptions {
    CaptureOptions {
        frames: Frames::All,
        folder: folder.to_owned(),
        file_bytes: 150_000,
        files_max: 1000,
        ring_bytes: 1 << 22,
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    entries.map(|entry| entry.expect("a file").path()).collect()
}

/// Every packet in the files of a folder.
fn captured(folder: &Path) -> Vec<Captured> {
    let mut capture = Capture::open(files(folder)).expect("captures");
    let (mut all, mut turn) = (Vec::new(), Vec::new());
    while capture.next_ns().is_some() {
        capture.next_turn(&mut turn).expect("read");
        all.append(&mut turn);
    }
    all
}

#[test]
fn a_lossy_days_capture_gives_the_same_events_again() {
    for (seed, has_frames) in [(1, true), (2, false), (3, true)] {
        let folder = tempfile::tempdir().expect("a folder");
        let day = day(seed, has_frames);
        let lived = live(&day, everything(folder.path()));
        let capture = &lived.capture;
        assert_eq!(capture.frames.get(), day.len() as u64);
        assert!(capture.files_begun.get() > 3, "files follow one another");

        let (parts, mut listener, counters) = parts(feeds::capture::Replayed::default());
        let mut feed = Feed::new(parts);
        let mut clock = Clock::manual(START_NS);
        let mut events = Vec::new();
        let mut capture = Capture::open(files(folder.path())).expect("captures");
        let played = play(&mut capture, &mut feed, &mut clock, || {
            events.extend(std::iter::from_fn(|| listener.hear()));
        });
        let played = played.expect("played");
        assert_eq!((played.packets, played.dropped), (day.len() as u64, 0));

        // A day worth it.
        let arbiter = &lived.feed.arbiter;
        let counted = [
            &arbiter.gaps,
            &arbiter.holes_filled,
            &arbiter.packets_duplicate,
        ];
        let counted = counted.map(|counter| counter.get());
        assert!(counted.iter().all(|count| *count > 10), "{counted:?}");
        assert_eq!(arbiter.sessions_begun.get(), 2);
        assert!(lived.feed.feed.silences.get() >= 2);
        assert!(lived.events.len() > 10_000, "{} events", lived.events.len());

        for (place, (heard, again)) in lived.events.iter().zip(&events).enumerate() {
            assert_eq!(heard, again, "event {place} of seed {seed}");
        }
        assert_eq!(lived.events.as_bytes(), events.as_bytes(), "seed {seed}");
        assert_eq!(lived.feed.arbiter.list(), counters.arbiter.list());
        assert_eq!(lived.feed.book.list(), counters.book.list());
    }
}

/// What Wireshark reads of each packet: time, interface, line, comments, payload, whether checksums fit, and how bad
/// what it found is, for each finding.
fn tshark(file: &Path) -> Vec<Vec<String>> {
    let mut command = Command::new("tshark");
    command.arg("-n").arg("-r").arg(file);
    for option in ["ip.check_checksum:TRUE", "udp.check_checksum:TRUE"] {
        command.args(["-o", option]);
    }
    // Else it guesses what the payload is.
    command.args(["-d", "udp.port==26400,moldudp64"]);
    command.args(["-T", "fields", "-E", "separator=|"]);
    for field in [
        "frame.time_epoch",
        "frame.interface_name",
        "frame.interface_id",
        "frame.comment",
        "udp.payload",
        "ip.checksum.status",
        "udp.checksum.status",
        "_ws.expert.severity",
        "_ws.expert.message",
    ] {
        command.args(["-e", field]);
    }
    let output = command.output().expect("tshark runs");
    assert!(output.status.success(), "{}", support::stderr(&output));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let rows = text.lines();
    rows.map(|row| row.split('|').map(str::to_owned).collect())
        .collect()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Holds what Wireshark read of a packet against the packet.
fn compare(row: &[String], packet: &Arriving) {
    let [
        time,
        interface,
        line,
        comments,
        payload,
        ip,
        udp,
        found,
        text,
    ] = row
    else {
        panic!("{row:?}");
    };
    let arrived_ns = match packet.wire_ns {
        0 => packet.at_ns,
        wire_ns => wire_ns,
    };
    let arrived = arrived_ns.saturating_add_signed(OFFSET_NS);
    let expected = format!("{}.{:09}", arrived / 1_000_000_000, arrived % 1_000_000_000);
    assert_eq!(*time, expected);
    assert_eq!(
        (interface.as_str(), line),
        ("feed0", &packet.line.to_string())
    );
    assert_eq!(*payload, hexadecimal(&packet.payload));
    let seen = match packet.wire_ns {
        0 => "no wire stamp, packet ".to_owned(),
        wire_ns => {
            let delta_ns = packet.at_ns.cast_signed() - wire_ns.cast_signed();
            format!("seen {delta_ns:+} ns, packet ")
        }
    };
    assert!(comments.starts_with(&seen), "{comments} instead of {seen}");
    assert_eq!((ip.as_str(), udp.as_str()), ("1", "1"));
    // Each comment is a finding, and nothing else is.
    let is_comment = |severity: &str| severity == COMMENT_SEVERITY;
    assert!(found.split(',').all(is_comment), "{text}");
}

#[test]
fn wireshark_reads_every_frame_with_its_stamp_its_line_and_its_comments() {
    if !has("tshark") || !has("capinfos") {
        return;
    }
    for (seed, has_frames) in [(4, true), (5, false)] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut options = everything(folder.path());
        options.file_bytes = 1 << 30;
        let day = day(seed, has_frames);
        let lived = live(&day, options);
        let [file] = &files(folder.path())[..] else {
            panic!("one file");
        };
        let name = file.file_name().expect("a name").to_string_lossy();
        assert_eq!(name, "itch-20251126-163354-1.pcapng");
        let rows = tshark(file);
        assert_eq!(rows.len(), day.len());
        for (row, packet) in rows.iter().zip(&day) {
            compare(row, packet);
        }
        let with = |text: &str| rows.iter().filter(|row| row[3].contains(text)).count();
        let said = [with("session has begun"), with("session is over")];
        assert_eq!(said, [2, 2], "each session begins and ends");
        // Several gaps may be announced between two packets.
        let gaps = with(",gap: ") + with("gaps: ");
        assert!(
            (10..=lived.feed.arbiter.gaps.get()).contains(&(gaps as u64)),
            "{gaps}"
        );

        let output = Command::new("capinfos")
            .arg(file)
            .output()
            .expect("it runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        for expected in [
            "nanoseconds (9)",
            "Ethernet",
            "tickgate ",
            "line 2 of feed itch, 239.77.0.2:26400",
        ] {
            assert!(text.contains(expected), "{expected} is not in {text}");
        }
        assert_eq!(text.contains("headers are made up"), !has_frames, "{text}");
    }
}

#[test]
fn frames_around_gaps_are_kept_with_the_gap_in_their_middle() {
    const BEFORE: usize = 20;
    const AFTER: usize = 10;
    let folder = tempfile::tempdir().expect("a folder");
    let day = day(6, true);
    let all = tempfile::tempdir().expect("a folder");
    live(&day, everything(all.path()));
    let mut options = everything(folder.path());
    options.frames = Frames::Gaps {
        before: BEFORE,
        after: AFTER,
        is_asked: false,
    };
    let lived = live(&day, options);
    let (kept, all) = (captured(folder.path()), captured(all.path()));
    let counters = &lived.capture;
    assert_eq!(counters.frames.get(), kept.len() as u64);
    let ended = counters.frames.get() + counters.passed_over.get();
    let waiting = counters.tap.tapped.get() - ended;
    assert!(waiting <= BEFORE as u64, "{waiting} wait for a gap");
    assert_eq!(counters.gaps_kept.get(), lived.feed.arbiter.gaps.get());
    assert!(
        kept.len() < day.len() / 2,
        "{} of {}",
        kept.len(),
        day.len()
    );
    // What is kept is of what there was, in its order, in stretches.
    let mut stretches = Vec::new();
    let mut rest = &all[..];
    for packet in &kept {
        let passed = rest.iter().take_while(|other| *other != packet).count();
        assert!(passed < rest.len(), "{packet:?} is not of the day");
        match stretches.last_mut() {
            Some(stretch) if passed == 0 => *stretch += 1,
            _ => stretches.push(1),
        }
        rest = &rest[passed + 1..];
    }
    assert!(stretches.len() > 10, "{stretches:?}");
    for (place, stretch) in stretches.iter().enumerate() {
        let is_edge = place == 0 || place + 1 == stretches.len();
        assert!(is_edge || *stretch >= BEFORE + AFTER, "{stretches:?}");
    }
}

#[test]
fn lines_of_a_capture_read_as_a_feed_are_one_stream() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut options = everything(folder.path());
    options.file_bytes = 1 << 30;
    let day = day(8, true);
    let lived = live(&day, options);
    let [file] = &files(folder.path())[..] else {
        panic!("one file");
    };
    let mut feed = feeds::feed_file::FeedFile::open(file).expect("a feed");
    let mut read = Vec::new();
    while let Some(chunk) = feed.next_chunk().expect("read") {
        read.extend_from_slice(chunk);
    }
    // Each message that came, by session and number.
    let mut truth = BTreeMap::new();
    for packet in &day {
        let packet = mold::Packet::decode(&packet.payload).expect("a packet");
        for (seq, message) in (packet.seq().0..).zip(packet.blocks()) {
            truth.insert((packet.header.session, seq), message);
        }
    }
    let mut rest = truth.values();
    let messages: Vec<&[u8]> = Messages::new(&read).collect();
    for message in &messages {
        assert!(rest.any(|came| came == message), "once, and in order");
    }
    // It waits longer for the other line than the gateway did, so it has what was late there.
    let heard = lived.feed.arbiter.messages.get();
    let read = messages.len() as u64;
    assert!(read >= heard, "{read} of {heard}");
}

#[test]
fn what_is_no_whole_capture_of_a_gateway_is_refused_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let day = day(7, true);
    let mut options = everything(folder.path());
    options.file_bytes = 1 << 30;
    live(&day[..50], options);
    let [file] = &files(folder.path())[..] else {
        panic!("one file");
    };
    let bytes = std::fs::read(file).expect("read");
    let text = b"time = monotonic clock + ";
    let at = bytes.windows(text.len()).position(|window| window == text);
    let mut foreign = bytes.clone();
    foreign[at.expect("a scale")] = b'T';
    let refused = |bytes: &[u8]| {
        std::fs::write(file, bytes).expect("written");
        let capture = Capture::open([file.clone()]);
        let read = capture.and_then(|mut capture| {
            let mut turn = Vec::new();
            while capture.next_ns().is_some() {
                capture.next_turn(&mut turn)?;
            }
            Ok(())
        });
        let error = format!("{:#}", read.expect_err("refused"));
        assert!(error.contains(&*file.to_string_lossy()), "{error}");
        error
    };
    let error = refused(&foreign);
    assert!(error.contains("no capture of a gateway"), "{error}");
    refused(&bytes[..bytes.len() - 1]);
    refused(b"no pcapng at all");
}

/// A gateway with nothing but a feed on kernel sockets, whose frames are kept.
fn gateway(line: SocketAddrV4, capture: CaptureOptions) -> gateway::options::Options {
    use gateway::options::{Feed as FeedOptions, Options, Rings, Venue};
    let rings = Rings {
        events: 64,
        intents: 64,
        executions: 64,
    };
    Options {
        feeds: vec![FeedOptions {
            name: "a/b".to_owned(),
            venue: Venue::Nasdaq,
            xdp: Vec::new(),
            udp: feed_handler::udp::UdpOptions {
                lines: vec![feed_handler::udp::UdpLine {
                    address: line,
                    interface: None,
                }],
                receive_buffer_bytes: 1 << 20,
                busy_poll_us: 0,
                block_us: 0,
            },
            patience: Patience {
                gap_timeout_ns: 0,
                stale_ns: 2_000 * MS,
            },
            books: Limits {
                orders_max: 16,
                levels_max: 16,
            },
            recovery: None,
            capture: Some(capture),
            slow_order_ns: None,
        }],
        ..support::bare(rings)
    }
}

/// How many packets can be read from the files of a folder that are written meanwhile.
fn count(folder: &Path) -> usize {
    let Ok(mut capture) = Capture::open(files(folder)) else {
        return 0;
    };
    let (mut packets, mut turn) = (0, Vec::new());
    while capture.next_ns().is_some() && capture.next_turn(&mut turn).is_ok() {
        packets += turn.len();
    }
    packets
}

#[test]
fn service_writes_what_its_feed_hears_and_reports_it() {
    use gateway::service::{self, StopHandle};
    let folder = tempfile::tempdir().expect("a folder");
    let line = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 26_433);
    let (missing, stop) = (folder.path().join("missing"), StopHandle::default());
    let refused = service::run(gateway(line, everything(&missing)), &stop, |_| ());
    let refused = refused.expect_err("no such folder");
    assert!(
        refused.starts_with("feed.a/b.capture.folder: "),
        "{refused}"
    );

    let before_ns = rt::clock::realtime_ns();
    let handle = stop.clone();
    let options = gateway(line, everything(folder.path()));
    let written = folder.path().to_owned();
    let mut waiter = None;
    let report = service::run(options, &stop, |_| {
        let sender = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
        for seq in [1, 1, 1, 1, 5] {
            let packet = packet(*b"CAPTURE001", seq, &[]);
            sender.send_to(&packet, line).expect("sent");
        }
        // What was taken is in a file within a second; then the service may end.
        let wait = move || {
            while count(&written) < 5 {
                std::thread::yield_now();
            }
            handle.stop();
        };
        waiter = Some(std::thread::spawn(wait));
    });
    let report = report.expect("it ran");
    let waiter = waiter.expect("it was ready");
    waiter.join().expect("it ends");
    let after_ns = rt::clock::realtime_ns();
    let counters = &report.runs[0].counters[&gateway::telemetry::Kind::Capture]["a/b"];
    let counted = ["tapped", "frames", "ring_full", "files_begun"].map(|name| counters[name]);
    assert_eq!(counted, [5, 5, 0, 1]);
    let files = files(folder.path());
    let name = files[0].file_name().expect("a name").to_string_lossy();
    assert!(name.starts_with("a%2Fb-20"), "{name}");
    let kept = captured(folder.path());
    let payloads: Vec<&[u8]> = kept.iter().map(|packet| &packet.frame[42..]).collect();
    let sent = [1, 1, 1, 1, 5].map(|seq| packet(*b"CAPTURE001", seq, &[]));
    assert_eq!(payloads, sent.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let offset_ns = rt::clock::realtime_offset_ns();
    for packet in &kept {
        assert!(packet.wire_ns <= packet.seen_ns, "{packet:?}");
        let realtime_ns = packet.wire_ns.saturating_add_signed(offset_ns);
        // Half a millisecond for reading the difference of the two clocks.
        let window = before_ns - MS / 2..after_ns + MS / 2;
        assert!(window.contains(&realtime_ns), "{packet:?}");
    }
}
