//! The journal from the ring to the disk and back: disks that fill up, rings that nobody empties, bytes that turn.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests"
)]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command as Program;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use feed_handler::event::Origin;
use gateway::journal::continuity::{Continuity, Finding};
use gateway::journal::copy_format::CopyFormat;
use gateway::journal::disk::Disk;
use gateway::journal::drop_copy::DropCopy;
use gateway::journal::event::{Commanded, Event};
use gateway::journal::files::list;
use gateway::journal::format::{Header, Kind};
use gateway::journal::head::{self, Began, Head, Names, SessionNames};
use gateway::journal::inlet::{Inlet, Message, Outlet, inlet};
use gateway::journal::reader::{Damage, ReadError, Reader};
use gateway::journal::replay::{Hearer, replay};
use gateway::journal::writer::{JournalOptions, News, RETRY_NS, Sync, Writer};
use gateway::message::command::Command;
use gateway::message::intent::{Action, Asked, Cause, OrderId, OrderIntent, Owner, TimeInForce};
use gateway::message::terms::Terms;
use gateway::order::risk::{KillCause, KillSwitch, Refusal};
use protocol::types::{Price4, Qty, Side};

const BEGAN: Began = Began {
    realtime_ns: 1_700_000_000_000_000_000,
    monotonic_ns: 1_000,
};

fn intent(id: u32) -> OrderIntent {
    OrderIntent {
        origin: Origin {
            seq: 77,
            seen_ns: 500,
            ..Origin::default()
        },
        decided_ns: 600,
        id: OrderId(id),
        price: Price4(1_000_000),
        qty: Qty(100),
        published_delta_ns: 0,
        picked_delta_ns: 0,
        terms: Terms::PLAIN,
        locate: 3,
        queue: 0,
        ring_was_full: false,
        action: Action::Enter,
        side: Side::Sell,
        time_in_force: TimeInForce::Day,
        cause: Cause::Market,
    }
}

/// An order of this number; `out` is as long as a transport's room.
fn send(inlet: &mut Inlet, number: u32) {
    let judged = Asked {
        owner: Owner(1),
        intent: &intent(number),
        now_ns: 1_000 + u64::from(number),
    };
    inlet.make_sure();
    inlet.on_sent(&judged, number, &[number.to_le_bytes()[0]; 4096], 50);
}

/// Everything that a session can tell, once.
fn tell_everything(inlet: &mut Inlet) {
    inlet.on_connected(10);
    inlet.on_logged_in(5, *b"S1        ", 11);
    let message = [b'A'; 200];
    for (seq, len) in [(5, 0), (6, 24), (7, 25), (8, 66), (9, 200)] {
        let heard = Message {
            seq,
            is_past: seq == 5,
            bytes: &message[..len],
        };
        inlet.on_heard(&heard, 12);
    }
    inlet.on_opened(13);
    send(inlet, 1);
    let refused = Asked {
        owner: Owner(1),
        intent: &intent(2),
        now_ns: 1_010,
    };
    inlet.on_refused(&refused, Refusal::Position, 0);
    inlet.on_command(&Command::Pause(Owner(4)), false, 1_011);
    inlet.on_kill(Some(KillCause::Operator), 0, 1_012);
    inlet.on_cancels(&[b'X'; 500], 1_013);
    inlet.on_kill(None, 0, 1_014);
    inlet.on_closed(250, 1_015);
}

struct Setup {
    folder: tempfile::TempDir,
    kill: KillSwitch,
    inlet: Inlet,
    writer: Writer,
    now_ns: u64,
}

fn names() -> Names {
    let session = SessionNames {
        name: "ouch1".to_owned(),
        strategies: vec!["probe".to_owned()],
        next: 1,
        ..SessionNames::default()
    };
    Names::new(vec![session], vec!["itch".to_owned()])
}

fn options(folder: &Path) -> JournalOptions {
    JournalOptions {
        folder: folder.to_owned(),
        sync: Sync::Batch,
        ring_bytes: 1 << 16,
        file_bytes: 1 << 30,
        drop_copy: None,
        drop_copy_format: CopyFormat::Json,
        keep_days: None,
        is_replayable: false,
    }
}

fn begin(options: &JournalOptions, kill: &KillSwitch) -> (Inlet, Writer) {
    let (inlet, outlet): (Inlet, Outlet) = inlet(0, options.ring_bytes, kill.clone()).unwrap();
    let (disk, refused) = Disk::open();
    assert!(refused.is_none(), "{refused:?}");
    let writer = Writer::begin(options, disk, BEGAN, names(), vec![outlet]).unwrap();
    (inlet, writer)
}

fn setup() -> Setup {
    let (folder, kill) = (tempfile::tempdir().unwrap(), KillSwitch::default());
    let (inlet, writer) = begin(&options(folder.path()), &kill);
    Setup {
        folder,
        kill,
        inlet,
        writer,
        now_ns: BEGAN.monotonic_ns,
    }
}

impl Setup {
    /// Turns until everything is written, or the disk has refused.
    fn settle(&mut self) {
        settle(&mut self.writer, self.now_ns);
    }

    fn finish(&mut self) -> PathBuf {
        let now_ns = self.now_ns;
        self.writer.finish(true, || now_ns).unwrap();
        list(self.folder.path()).unwrap().remove(0)
    }
}

fn settle(writer: &mut Writer, now_ns: u64) {
    while writer.poll(now_ns) > 0 || writer.is_busy() {
        std::thread::yield_now();
    }
}

/// A record: its kind, its time and its payload.
type Given = (Kind, u64, Vec<u8>);

/// A file's records, up to its end or to what is wrong.
fn read(bytes: &[u8]) -> (Vec<Given>, Result<(), ReadError>) {
    let mut records = Vec::new();
    let mut reader = match Reader::new(bytes) {
        Ok(reader) => reader,
        Err(error) => return (records, Err(error)),
    };
    loop {
        match reader.next_record() {
            Ok(Some(record)) => {
                Event::of(&record).unwrap_or_else(|flaw| panic!("{flaw}"));
                let time_ns = record.header.time_ns.get();
                records.push((record.kind, time_ns, record.payload.to_vec()));
            }
            Ok(None) => return (records, Ok(())),
            Err(error) => return (records, Err(error)),
        }
    }
}

#[test]
fn everything_told_comes_back_from_the_file_as_it_was() {
    let mut setup = setup();
    tell_everything(&mut setup.inlet);
    let bytes = std::fs::read(setup.finish()).unwrap();
    let mut reader = Reader::new(&bytes[..]).unwrap();
    assert_eq!(
        (reader.head().began, &reader.head().names),
        (BEGAN, &names())
    );
    let mut said = Vec::new();
    while let Some(record) = reader.next_record().unwrap() {
        let event = Event::of(&record).unwrap();
        match event {
            Event::Sent(intent, packet) => {
                assert_eq!(packet, [1; 50]);
                assert_eq!((intent.id.get(), intent.user_ref.get()), (1, 1));
                assert_eq!((intent.price.get(), intent.qty.get()), (1_000_000, 100));
                assert_eq!((intent.seen_ns.get(), intent.decided_ns.get()), (500, 600));
                assert_eq!((intent.seq.get(), intent.locate.get()), (77, 3));
                assert_eq!((intent.action(), intent.owner), (Some(Action::Enter), 1));
            }
            Event::Refused(intent) => assert_eq!(intent.refusal, Refusal::Position as u8),
            Event::Heard(heard) => {
                let lens = [0, 24, 25, 66, 200];
                let at = usize::try_from(heard.seq - 5).unwrap();
                assert_eq!(heard.message, &[b'A'; 200][..lens[at]]);
                assert_eq!(heard.is_past, heard.seq == 5);
            }
            Event::Command(command) => {
                assert_eq!((command.what, command.owner), (Commanded::Pause, 4));
                assert!(!command.is_known);
            }
            Event::Cancels(packets) => assert_eq!(packets, [b'X'; 500]),
            Event::LoggedIn(next, name) => assert_eq!((next, &name), (5, b"S1        ")),
            Event::Closed(pause_ms) => assert_eq!(pause_ms, 250),
            Event::KillOn(code, began) => {
                assert_eq!((code, began), (KillCause::Operator as u8, 0));
            }
            _ => {}
        }
        said.push(record.kind);
    }
    use Kind::*;
    let expected = [
        Start, Connected, LoggedIn, Heard, Heard, Heard, Heard, Heard, Opened, Sent, Refused,
        Command, KillOn, Cancels, KillOff, Closed, Stop,
    ];
    assert_eq!(said, expected.map(|kind: Kind| kind));
}

#[test]
fn any_byte_that_turns_is_found_before_a_wrong_record_is_given_out() {
    let mut setup = setup();
    tell_everything(&mut setup.inlet);
    let bytes = std::fs::read(setup.finish()).unwrap();
    let (whole, end) = read(&bytes);
    assert!(end.is_ok() && whole.len() == 17);
    for at in 0..bytes.len() {
        for turn in [1, 0x80, 0xFF] {
            let mut bytes = bytes.clone();
            bytes[at] ^= turn;
            let (given, end) = read(&bytes);
            let error = end.expect_err("found");
            assert_eq!(
                given,
                whole[..given.len()],
                "byte {at}: only what was written"
            );
            if let ReadError::Damaged(Damage { offset, .. }) = error {
                assert!(offset <= at as u64, "byte {at}: told at {offset}");
            }
        }
    }
}

#[test]
fn file_that_ends_anywhere_gives_its_whole_records_and_says_where_it_is_torn() {
    let mut setup = setup();
    tell_everything(&mut setup.inlet);
    let bytes = std::fs::read(setup.finish()).unwrap();
    let head = Reader::new(&bytes[..]).unwrap().head().bytes;
    let (whole, _) = read(&bytes);
    let mut ends = 0;
    for len in head..=bytes.len() {
        let (given, end) = read(&bytes[..len]);
        assert_eq!(given, whole[..given.len()]);
        match end {
            Ok(()) => ends += 1,
            Err(ReadError::Damaged(damage)) => assert!(damage.is_torn, "{len}: {damage}"),
            Err(other) => panic!("{len}: {other}"),
        }
    }
    assert_eq!(ends, whole.len() + 1, "whole at each record's end alone");
}

#[test]
fn record_taken_out_of_the_middle_is_missed() {
    let mut setup = setup();
    (1..4).for_each(|number| send(&mut setup.inlet, number));
    let bytes = std::fs::read(setup.finish()).unwrap();
    let mut reader = Reader::new(&bytes[..]).unwrap();
    reader.next_record().unwrap();
    reader.next_record().unwrap();
    let begin = usize::try_from(reader.offset()).unwrap();
    reader.next_record().unwrap();
    let end = usize::try_from(reader.offset()).unwrap();
    let shorter = [&bytes[..begin], &bytes[end..]].concat();
    let (given, error) = read(&shorter);
    assert_eq!(given.len(), 2);
    let said = error.unwrap_err().to_string();
    assert!(said.contains("sequence number 3, expected 2"), "{said}");
}

#[test]
fn ring_that_nobody_empties_stops_trading_and_says_afterwards_what_is_lost() {
    let mut setup = setup();
    // 1,024 cells: 511 orders, and behind them no room for the longest.
    for number in 1..=511 {
        send(&mut setup.inlet, number);
        assert_eq!(setup.kill.cause(), None, "order {number}");
    }
    setup.inlet.make_sure();
    assert_eq!(
        setup.kill.cause(),
        Some(KillCause::JournalBehind),
        "before an order that has no room"
    );
    // What goes out all the same, cancels, is counted.
    (512..=520).for_each(|number| send(&mut setup.inlet, number));
    setup.settle();
    send(&mut setup.inlet, 521);
    setup.settle();
    let news: Vec<String> = setup
        .writer
        .take_news()
        .iter()
        .map(News::to_string)
        .collect();
    let told = "session ouch1: the ring was full, 8 records so far are lost: the kill switch is on";
    assert_eq!(news, [told]);
    let bytes = std::fs::read(setup.finish()).unwrap();
    let mut reader = Reader::new(&bytes[..]).unwrap();
    let mut lost = Vec::new();
    while let Some(record) = reader.next_record().unwrap() {
        if record.header.lost.get() > 0 {
            lost.push((record.header.sequence.get(), record.header.lost.get()));
        }
    }
    assert_eq!(lost, [(521, 8)]);
}

#[test]
fn bounded_files_follow_one_another_and_each_says_where_it_goes_on() {
    let (folder, kill) = (tempfile::tempdir().unwrap(), KillSwitch::default());
    let bounded = JournalOptions {
        file_bytes: 8 << 10,
        ..options(folder.path())
    };
    let (mut inlet, mut writer) = begin(&bounded, &kill);
    for number in 1..=200 {
        send(&mut inlet, number);
        settle(&mut writer, BEGAN.monotonic_ns);
    }
    writer.finish(true, || BEGAN.monotonic_ns).unwrap();
    let files = list(folder.path()).unwrap();
    assert!(files.len() > 2, "{files:?}");
    let mut orders = 0;
    for (part, path) in (0..).zip(&files) {
        let bytes = std::fs::read(path).unwrap();
        assert!(bytes.len() <= 8 << 10);
        assert_eq!(Reader::new(&bytes[..]).unwrap().head().part, part);
        // A file whose head said another number than its first record has would be damaged.
        let (given, end) = read(&bytes);
        assert!(end.is_ok(), "{end:?}");
        orders += given.iter().filter(|it| it.0 == Kind::Sent).count();
    }
    assert_eq!(orders, 200);
    // Nothing is missing, and a part that is taken away is missed.
    assert_eq!(missing(&files), []);
    let absent = [&files[..1], &files[2..]].concat();
    assert!(matches!(
        missing(&absent)[..],
        [Finding::Parts { first: 1, last: 1 }, Finding::Gap { .. }]
    ));
}

struct Nobody;

impl Hearer for Nobody {
    fn begin_file(&mut self, _: &Head) {}
    fn on_record(&mut self, _: &Header, _: &Event<'_>) {}
}

/// What files of a folder show to be missing.
fn missing(files: &[PathBuf]) -> Vec<Finding> {
    let mut nobody = Nobody;
    let mut continuity = Continuity::new(&mut nobody, true);
    let mut found = Vec::new();
    for path in files {
        let played = replay(File::open(path).unwrap(), &mut continuity, |_, _| ());
        found.extend(continuity.end_file(&played));
    }
    found
}

/// A file system of one megabyte, gone with its value.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = Program::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]);
        let is_mounted = mount
            .arg(folder.path())
            .status()
            .is_ok_and(|it| it.success());
        if !is_mounted {
            println!("SKIPPED: a small disk needs root, for mount");
        }
        is_mounted.then(|| Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Program::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn full_disk_stops_trading_and_nothing_is_lost_once_there_is_room() {
    let Some(disk) = SmallDisk::mount() else {
        return;
    };
    let folder = disk.0.path();
    let ballast = folder.join("ballast");
    std::fs::write(&ballast, vec![0; 512 << 10]).unwrap();
    let kill = KillSwitch::default();
    let (mut inlet, mut writer) = begin(&options(folder), &kill);
    let (mut number, mut now_ns) = (0, BEGAN.monotonic_ns);
    while !kill.is_on() {
        number += 1;
        assert!(number < 10_000, "a megabyte of orders, and no word");
        send(&mut inlet, number);
        if number % 100 == 0 {
            settle(&mut writer, now_ns);
        }
    }
    assert_eq!(kill.cause(), Some(KillCause::JournalFailed));
    assert!(writer.counters().disk_errors.get() > 0);
    let news = writer.take_news();
    assert!(matches!(&news[..], [News::Failed(..)]), "{news:?}");
    assert!(news[0].to_string().contains("No space left"), "{}", news[0]);
    std::fs::remove_file(&ballast).unwrap();
    now_ns += RETRY_NS;
    settle(&mut writer, now_ns);
    assert!(matches!(&writer.take_news()[..], [News::GoesOn(..)]));
    assert_eq!(
        kill.cause(),
        Some(KillCause::JournalFailed),
        "until somebody resumes"
    );
    writer.finish(true, || now_ns).unwrap();
    let bytes = std::fs::read(&list(folder).unwrap()[0]).unwrap();
    let (given, end) = read(&bytes);
    assert!(end.is_ok(), "{end:?}");
    let orders = given.iter().filter(|it| it.0 == Kind::Sent).count();
    assert_eq!(orders, number as usize);
}

#[test]
fn disk_that_stays_full_ends_the_run_with_an_error_and_a_readable_file() {
    let Some(disk) = SmallDisk::mount() else {
        return;
    };
    let folder = disk.0.path();
    let kill = KillSwitch::default();
    let (mut inlet, mut writer) = begin(&options(folder), &kill);
    std::fs::write(folder.join("ballast"), vec![0; 990 << 10]).unwrap();
    (1..=500).for_each(|number| send(&mut inlet, number));
    let said = writer.finish(true, || BEGAN.monotonic_ns).unwrap_err();
    assert!(said.contains("could not be written"), "{said}");
    assert_eq!(kill.cause(), Some(KillCause::JournalFailed));
    let bytes = std::fs::read(&list(folder).unwrap()[0]).unwrap();
    let (given, end) = read(&bytes);
    let is_torn = matches!(end, Err(ReadError::Damaged(damage)) if damage.is_torn);
    assert!(is_torn || given.len() < 500, "{} records", given.len());
}

/// What `tickgate journal` prints of a file, line by line, and its status.
fn printed(arguments: &[&str], file: &Path) -> (Vec<String>, Option<i32>) {
    let mut program = Program::new(env!("CARGO_BIN_EXE_tickgate"));
    let output = program.arg("journal").args(arguments).arg(file).output();
    let output = output.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    (
        text.lines().map(str::to_owned).collect(),
        output.status.code(),
    )
}

/// A SoupBinTCP packet and a message of OUCH, from the specification's tables.
fn enter_order(user_ref: u32) -> Vec<u8> {
    let mut packet = vec![0, 48, b'U', b'O'];
    packet.extend(user_ref.to_be_bytes());
    packet.extend(b"S\0\0\0\x64ALC     ");
    packet.extend(1_000_000_u64.to_be_bytes());
    packet.extend(b"0YPNN0100000000004D\0\0");
    packet
}

fn executed(user_ref: u32) -> Vec<u8> {
    let mut message = vec![b'E'];
    message.extend(9_u64.to_be_bytes());
    message.extend(user_ref.to_be_bytes());
    message.extend(40_u32.to_be_bytes());
    message.extend(1_000_100_u64.to_be_bytes());
    message.push(b'A');
    message.extend(55_u64.to_be_bytes());
    message.extend([0, 0]);
    message
}

#[test]
fn command_prints_what_is_asked_for_as_text_and_as_json_and_says_what_is_torn() {
    let mut setup = setup();
    for number in [5, 6] {
        let mut room = enter_order(number);
        let len = room.len();
        assert_eq!(len, 50);
        room.resize(4096, 0);
        let judged = Asked {
            owner: Owner(0),
            intent: &intent(number),
            now_ns: 1_000 + u64::from(number),
        };
        setup.inlet.on_sent(&judged, number, &room, len);
    }
    let message = executed(6);
    let heard = Message {
        seq: 3,
        is_past: false,
        bytes: &message,
    };
    setup.inlet.on_heard(&heard, 2_000);
    setup.inlet.on_kill(Some(KillCause::Signal), 255, 2_001);
    let file = setup.finish();
    let (all, status) = printed(&[], &file);
    assert_eq!((all.len(), status), (6, Some(0)), "{all:#?}");
    assert_eq!(
        all[1],
        "20231114-221320.000000005 ouch1 #1 sent action=enter order=5 strategy=probe id=5 side=sell locate=3 \
         feed=itch message=77 seen_ns=500 decided_ns=600 shares=100 symbol=ALC price=100.0000 time_in_force=0"
    );
    assert!(
        all[4].ends_with("ouch1 #4 kill-on cause=SIGUSR2 began=housekeeping"),
        "{}",
        all[4]
    );
    let (of_order, _) = printed(&["--order", "6", "--json"], setup.folder.path());
    assert_eq!(of_order.len(), 2, "{of_order:#?}");
    let told: serde_json::Value = serde_json::from_str(&of_order[1]).unwrap();
    assert_eq!(
        (&told["kind"], &told["message"]),
        (&"heard".into(), &"executed".into())
    );
    assert_eq!(
        (&told["shares"], &told["price"]),
        (&40.into(), &"100.0100".into())
    );
    assert_eq!(told["time_ns"], BEGAN.realtime_ns + 1_000);
    for (arguments, lines) in [
        (["--kind", "sent"], 2),
        (["--session", "ouch1"], 4),
        (["--session", "gateway"], 2),
        (["--strategy", "probe"], 3),
        (["--strategy", "other"], 0),
    ] {
        let (found, _) = printed(&arguments, &file);
        assert_eq!(found.len(), lines, "{arguments:?}: {found:#?}");
    }
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() - 1]).unwrap();
    let (torn, status) = printed(&[], &file);
    assert_eq!((torn.len(), status), (5, Some(1)), "{torn:#?}");
}

#[test]
fn exchange_that_says_something_else_under_a_known_number_stops_trading_where_a_drop_copy_is_kept()
{
    let Setup {
        folder,
        kill,
        mut inlet,
        writer,
        ..
    } = setup();
    let copies = folder.path().join("copy");
    let copy = DropCopy::open(&copies, CopyFormat::Json, &names().sessions).unwrap();
    let mut writer = writer.with_drop_copy(copy, BEGAN);
    inlet.on_logged_in(1, *b"S1        ", 11);
    let mut hear = |user_ref| {
        let heard = Message {
            seq: 1,
            is_past: false,
            bytes: &executed(user_ref),
        };
        inlet.on_heard(&heard, 12);
        settle(&mut writer, 20);
        kill.cause()
    };
    assert_eq!([hear(7), hear(7)], [None, None]);
    assert_eq!(hear(8), Some(KillCause::JournalFailed));
    let news = writer.take_news();
    let told =
        matches!(&news[..], [News::Failed(_, error)] if error.to_string().contains("number 1"));
    assert!(told, "{news:?}");
}

#[test]
fn begin_removes_runs_that_are_older_than_is_asked_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let day = Duration::from_secs(24 * 3600);
    let now = UNIX_EPOCH + Duration::from_nanos(BEGAN.realtime_ns);
    let write = |date: &str, ended: SystemTime| {
        let path = folder
            .path()
            .join(format!("journal-{date}-080000-001-0000.tgj"));
        let began = ended.duration_since(UNIX_EPOCH).unwrap();
        let began = Began {
            realtime_ns: u64::try_from(began.as_nanos()).unwrap(),
            monotonic_ns: 1,
        };
        std::fs::write(&path, head::encode(began, 0, &names())).unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        file.set_modified(ended).unwrap();
        path
    };
    let old = write("20230101", now - 31 * day);
    let young = write("20230102", now - 29 * day);
    let newest = write("20230103", now);
    let kill = KillSwitch::default();
    let keeps = options(folder.path());
    drop(begin(&keeps, &kill));
    assert!(old.exists(), "none is removed where nobody asks for it");
    let bounded = JournalOptions {
        keep_days: Some(30),
        ..keeps
    };
    std::fs::remove_file(list(folder.path()).unwrap().pop().unwrap()).unwrap();
    let (_inlet, mut writer) = begin(&bounded, &kill);
    assert!(!old.exists() && young.exists() && newest.exists());
    let news = writer.take_news();
    assert!(matches!(news[..], [News::Removed(1, 30)]), "{news:?}");
    drop(writer);
    std::fs::remove_file(list(folder.path()).unwrap().pop().unwrap()).unwrap();
    std::fs::remove_file(newest).unwrap();
    write("20230103", now - 31 * day);
    write("20230101", now - 99 * day);
    std::fs::remove_file(young).unwrap();
    let (_inlet, mut writer) = begin(&bounded, &kill);
    let news = writer.take_news();
    assert!(matches!(news[..], [News::Doubtful(_, 30)]), "{news:?}");
}
