//! Files that somebody else may have written: days in BinaryFILE, gzip, pcap and pcapng; a gateway's captures; what the
//! slow-order recorder keeps; a host's certificate. Each is read to its end or refused by name; what is right is what was
//! written.

use std::io::Write;
use std::path::Path;
use std::sync::LazyLock;

use feed_handler::capture::read::{Captured, Captures};
use feed_handler::capture::remark::{Scale, Turn};
use feeds::capture::Capture;
use feeds::feed_file::FeedFile;
use flate2::Compression;
use flate2::write::GzEncoder;
use protocol::binary_file::Messages;
use protocol::itch::{Head, SystemEvent};
use protocol::mold;
use protocol::types::{Nanos, Seq};
use tickgate_host::{Certificate, Finding, Plan, Verdict};
use zerocopy::IntoBytes;

use crate::input::Input;
use crate::scratch::with_file;
use crate::seeds;

/// The messages of a day in one piece, and whether it ended.
fn messages(bytes: &[u8]) -> (Vec<&[u8]>, usize, bool) {
    let mut messages = Messages::new(bytes);
    let all = messages.by_ref().collect();
    assert!(messages.consumed() <= bytes.len());
    (all, messages.consumed(), messages.ended())
}

/// A day comes out the same however it is cut.
fn binary_file(day: &[u8], cut: usize) {
    let (all, consumed, ended) = messages(day);
    let (front, _) = day.split_at(cut.min(day.len()));
    let (first, at, has_ended) = messages(front);
    assert!(all.starts_with(&first) && at <= consumed);
    if has_ended {
        assert_eq!((first.len(), at), (all.len(), consumed));
        return;
    }
    let (rest, more, end) = messages(&day[at..]);
    assert_eq!([first, rest].concat(), all);
    assert_eq!((at + more, end), (consumed, ended));
}

/// What a file of any kind holds, as a day; `None`: it is refused.
fn day(path: &Path) -> Option<Vec<u8>> {
    let mut file = FeedFile::open(path).ok()?;
    let mut all = Vec::new();
    while let Some(chunk) = file.next_chunk().ok()? {
        assert_eq!(messages(chunk).1, chunk.len(), "whole messages");
        all.extend_from_slice(chunk);
    }
    Some(all)
}

/// A capture, by the gateway's reader and by the library's. Where both read all, they say the same.
fn capture(path: &Path) {
    let mut seen = Vec::new();
    let ours = Captures::open([path.to_owned()]).and_then(|mut captures| {
        while let Some(packet) = captures.take()? {
            seen.push(packet);
        }
        Ok(())
    });
    let theirs = Capture::open([path.to_owned()]).and_then(|mut capture| {
        let (mut all, mut turn) = (Vec::new(), Vec::new());
        while capture.next_ns().is_some() {
            capture.next_turn(&mut turn)?;
            assert!(!turn.is_empty(), "a turn has a packet");
            all.append(&mut turn);
        }
        Ok(all)
    });
    if ours.is_err() {
        return;
    }
    if let Ok(theirs) = theirs {
        let theirs = theirs.into_iter().map(|it| Captured {
            frame: it.frame,
            wire_ns: it.wire_ns,
            seen_ns: it.seen_ns,
            line: it.line,
            dropped: it.dropped,
        });
        assert_eq!(theirs.collect::<Vec<_>>(), seen);
    }
    // Read again, it says the same.
    let mut again = Captures::open([path.to_owned()]).expect("it was read before");
    for packet in seen {
        let found = again.take().expect("it was read before");
        assert_eq!(found.expect("as many"), packet);
    }
}

fn others(path: &Path) {
    if let Ok(record) = gateway::trace::file::read(path) {
        for trace in &record.traces {
            let _ = (trace.way_ns(), trace.answer_ns());
        }
        let _ = gateway::trace::explain::explain(&record, 0, 3);
    }
    if let Ok(certificate) = Certificate::read(path) {
        let drift = certificate.drift(&certificate.findings);
        let names = certificate
            .findings
            .iter()
            .map(|it| (&it.check, &it.subject));
        let names: std::collections::BTreeSet<_> = names.collect();
        assert!(
            drift.is_empty() || names.len() < certificate.findings.len(),
            "{drift:?}"
        );
    }
}

/// Frames of a feed.
static FRAMES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(seeds::frames);

/// A block of pcapng; its second length may be another.
fn block(kind: u32, body: &[u8], skew: u8, out: &mut Vec<u8>) {
    let padded = body.len().next_multiple_of(4);
    let total = u32::try_from(padded + 12).expect("short");
    out.extend_from_slice(&kind.to_le_bytes());
    out.extend_from_slice(&(total ^ u32::from(skew)).to_le_bytes());
    out.extend_from_slice(body);
    out.resize(out.len() + padded - body.len(), 0);
    out.extend_from_slice(&total.to_le_bytes());
}

fn option(code: u16, value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&code.to_le_bytes());
    out.extend_from_slice(&u16::try_from(value.len()).expect("short").to_le_bytes());
    out.extend_from_slice(value);
    out.resize(out.len().next_multiple_of(4), 0);
}

/// A capture's section, and an interface for each of two lines.
fn begin_capture(realtime_offset_ns: i64) -> Vec<u8> {
    let mut out = Vec::new();
    let scale = Scale { realtime_offset_ns }.to_string();
    let mut section = 0x1A2B_3C4D_u32.to_le_bytes().to_vec();
    section.extend_from_slice(&[1, 0, 0, 0]);
    section.extend_from_slice(&u64::MAX.to_le_bytes());
    option(1, scale.as_bytes(), &mut section);
    option(0, &[], &mut section);
    block(0x0A0D_0D0A, &section, 0, &mut out);
    for _ in 0..2 {
        block(
            1,
            &[1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0],
            0,
            &mut out,
        );
    }
    out
}

/// A packet's body: its line, its stamp, its length twice, the frame, how it was met.
fn packet(line: u32, stamp_ns: u64, len: u32, frame: &[u8], turn: Turn) -> Vec<u8> {
    let mut packet = line.to_le_bytes().to_vec();
    let [high, low] = [stamp_ns >> 32, stamp_ns & u64::from(u32::MAX)];
    for word in [high, low, u64::from(len), u64::from(len)] {
        packet.extend_from_slice(&u32::try_from(word).expect("half of it").to_le_bytes());
    }
    packet.extend_from_slice(frame);
    packet.resize(packet.len().next_multiple_of(4), 0);
    option(1, turn.to_string().as_bytes(), &mut packet);
    option(0, &[], &mut packet);
    packet
}

/// A capture that is nearly right: of frames of a feed, or of any bytes.
fn pcapng(input: &mut Input<'_>) -> Vec<u8> {
    let mut out = begin_capture(i64::from(input.byte().cast_signed()) << 55);
    while !input.0.is_empty() {
        let [what, line, delta, len] = [0; 4].map(|_: u8| input.byte());
        let frame = if line & 0x80 == 0 {
            input.slice(usize::from(len))
        } else {
            &FRAMES[usize::from(len) % FRAMES.len()]
        };
        let of_frame = u32::try_from(frame.len()).expect("short");
        let said = if what & 1 == 0 {
            of_frame
        } else {
            of_frame << (what >> 3)
        };
        // Mostly one of the interfaces that there are.
        let line = line & 0x7F;
        let place = if line & 0x40 == 0 { line & 1 } else { line };
        let seen = (what & 2 == 0).then(|| i64::from(delta.cast_signed()) << (what >> 2));
        let turn = Turn {
            seen_delta_ns: seen,
            place: line,
            batch: delta,
        };
        let stamp_ns = u64::from(what) << 32 | u64::from(delta) << 24;
        let packet = packet(u32::from(place), stamp_ns, said, frame, turn);
        block(
            [6, 6, 6, 6, 3, 5, 1, 6][usize::from(what >> 5)],
            &packet,
            what & 4,
            &mut out,
        );
    }
    out
}

/// Messages of a packet of two lines.
const PACKET_MESSAGES_MAX: usize = 8;

/// A day as two lines bring it: each packet on one of them, or on both, in one turn or in two; and its messages.
fn two_lines(input: &mut Input<'_>) -> (Vec<u8>, Vec<u8>) {
    let (mut out, mut day) = (begin_capture(1), Vec::new());
    let (mut next, mut now_ns) = (1, 1_000_000);
    while !input.0.is_empty() && next < 200 {
        let [what, count] = [0; 2].map(|_: u8| input.byte());
        let mut buffer = [0; 1024];
        let builder = mold::PacketBuilder::new(&mut buffer, *b"SESSION000", Seq(next));
        let mut builder = builder.expect("room");
        for _ in 0..1 + usize::from(count) % PACKET_MESSAGES_MAX {
            // Each says its number.
            let message = SystemEvent {
                head: Head::new(b'S', 0, Nanos(next)),
                event: b'O',
            };
            assert!(builder.push(message.as_bytes()));
            day.extend_from_slice(&[0, 12]);
            day.extend_from_slice(message.as_bytes());
            next += 1;
        }
        let frame = seeds::frame(None, builder.finish());
        let first = u32::from(what & 1);
        let lines = if what & 2 == 0 {
            vec![first]
        } else {
            vec![first, 1 - first]
        };
        for (place, line) in (0..).zip(lines) {
            let turn = Turn {
                seen_delta_ns: (what & 4 == 0).then_some(5),
                place: if what & 8 == 0 { place } else { 0 },
                batch: 1,
            };
            if what & 8 != 0 {
                now_ns += 1_000;
            }
            let len = u32::try_from(frame.len()).expect("short");
            block(6, &packet(line, now_ns, len, &frame, turn), 0, &mut out);
        }
        now_ns += 1_000 * u64::from(what >> 4);
    }
    (out, day)
}

/// A right day: it begins with a message that there is, and then has any.
fn right_day(input: &mut Input<'_>, step: usize) -> Vec<u8> {
    let mut whole = seeds::itch_messages().remove(0);
    whole.splice(0..0, [0, 39]);
    while !input.0.is_empty() {
        let message = input.slice(step.max(1));
        whole.extend_from_slice(&u16::try_from(message.len()).expect("short").to_be_bytes());
        whole.extend_from_slice(message);
    }
    whole
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(bytes).expect("memory");
    packer.finish().expect("memory")
}

/// Lines of the slow-order recorder: stamps of any size, in any order; how many are orders.
fn slow_orders(input: &mut Input<'_>) -> (Vec<u8>, usize) {
    let (mut text, mut orders) = (String::new(), 0);
    while !input.0.is_empty() {
        let what = input.byte();
        let mut number = || match input.byte() {
            255 => u64::MAX,
            byte => u64::from(byte) << (what >> 2),
        };
        let stamps: [u64; 8] = std::array::from_fn(|_| number());
        let [a, b, c, d, e, f, g, h] = stamps;
        text.push_str(&match what & 3 {
            0 | 1 => {
                orders += 1;
                format!(
                    r#"{{"kind":"order","seq":{a},"user_ref":1,"feed":0,"batch":3,"place":{},"queue":2,"ring_was_full":{},"together":1,"completions":1,"missed":0,"wire_ns":{a},"seen_ns":{b},"published_ns":{c},"picked_ns":{d},"decided_ns":{e},"encoded_ns":{f},"submitted_ns":{g},"acked_ns":{h}}}"#,
                    a % 4,
                    b % 2 == 1
                )
            }
            2 => format!(
                r#"{{"kind":"stall","core":"inline","from_ns":{a},"to_ns":{b},"work":1,"off_cpu_ns":{c},"switches_involuntary":{},"switches_voluntary":0,"faults_minor":{},"faults_major":0,"missed":0}}"#,
                d % 3,
                e % 3
            ),
            _ => format!(
                r#"{{"kind":"host","core":"inline","cpu":1,"from_ns":{a},"to_ns":{b},"steal_ms":{c},"interrupts":{d}}}"#
            ),
        });
        text.push('\n');
    }
    (text.into_bytes(), orders)
}

/// A certificate of few checks, with texts of any bytes that are text.
fn certificate(input: &mut Input<'_>) -> Certificate {
    let mut findings = Vec::new();
    while !input.0.is_empty() && findings.len() < 16 {
        let [what, len] = [0; 2].map(|_: u8| input.byte());
        let text = String::from_utf8_lossy(input.slice(usize::from(len % 16))).into_owned();
        let verdicts = [
            Verdict::Good,
            Verdict::Unseen,
            Verdict::Costs,
            Verdict::Fails,
        ];
        findings.push(Finding {
            check: format!("check {}", findings.len()),
            subject: if what & 4 == 0 {
                String::new()
            } else {
                text.clone()
            },
            verdict: verdicts[usize::from(what & 3)],
            found: text.clone(),
            wanted: text.clone(),
            why: String::new(),
            how: text,
        });
    }
    Certificate {
        tool: "tickgate".to_owned(),
        version: "0".to_owned(),
        plan: Plan::default(),
        findings,
    }
}

/// What is kept is read as it was, has not drifted from itself, and has where one finding is another.
fn kept(certificate: &Certificate) {
    let read = with_file(&[], |path| {
        certificate.save(path).expect("a place for a file");
        Certificate::read(path).expect("it was just kept")
    });
    assert_eq!(read, *certificate);
    assert_eq!(read.drift(&certificate.findings), []);
    let mut now = certificate.findings.clone();
    if let Some(first) = now.first_mut() {
        first.found.push('!');
        let drifts = read.drift(&now);
        assert_eq!(drifts.len(), 1, "{drifts:?}");
        assert_eq!(drifts[0].name, certificate.findings[0].name());
    }
}

/// What a file of these bytes is, to everybody who reads files; what it holds as a day.
fn look(bytes: &[u8]) -> Option<Vec<u8>> {
    with_file(bytes, |path| {
        capture(path);
        others(path);
        day(path)
    })
}

/// A day in gzip is read whole; cut anywhere it is refused, and turned anywhere it is that day or refused.
fn gzip(input: &mut Input<'_>, step: usize) {
    let (cut, place, turn) = (input.number(), input.number(), input.byte().max(1));
    let whole = right_day(input, step);
    let mut bytes = packed(&whole);
    assert_eq!(with_file(&bytes, day).as_ref(), Some(&whole));
    let cut = &bytes[..cut % bytes.len()];
    assert_eq!(with_file(cut, day), None, "cut at {}", cut.len());
    // Two in one file are one day.
    let (front, back) = whole.split_at(place % whole.len());
    let both = [packed(front), packed(back)].concat();
    assert_eq!(with_file(&both, day).as_ref(), Some(&whole));
    let at = place % bytes.len();
    bytes[at] ^= turn;
    let found = with_file(&bytes, day);
    assert!(found.is_none_or(|found| found == whole), "{at} {turn}");
}

/// One input.
pub(crate) fn run(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else {
        return;
    };
    let mut input = Input(data);
    let step = usize::from(choice >> 3);
    match choice % 8 {
        0 => {
            binary_file(data, step);
            look(data);
        }
        1 => {
            look(&pcapng(&mut input));
        }
        2 => {
            // Frames in a pcap, at its simplest.
            let mut pcap = vec![
                0xD4, 0xC3, 0xB2, 0xA1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0,
            ];
            while !input.0.is_empty() {
                let frame = input.slice(step.max(1) * 8);
                let len = u32::try_from(frame.len()).expect("short");
                for word in [1, 0, len, len] {
                    pcap.extend_from_slice(&word.to_le_bytes());
                }
                pcap.extend_from_slice(frame);
            }
            look(&pcap);
        }
        3 => {
            let whole = right_day(&mut input, step);
            assert_eq!(look(&whole).as_ref(), Some(&whole));
            binary_file(&whole, usize::from(*choice));
        }
        4 => {
            let (bytes, day) = two_lines(&mut input);
            // One packet alone makes no session.
            if let Some(found) = look(&bytes) {
                assert_eq!(found, day);
            } else {
                assert!(day.len() <= PACKET_MESSAGES_MAX * 14, "{} bytes", day.len());
            }
        }
        5 => gzip(&mut input, step),
        6 => {
            let (bytes, orders) = slow_orders(&mut input);
            with_file(&bytes, |path| {
                let record = gateway::trace::file::read(path);
                let found = record.map_or(0, |record| record.traces.len());
                assert_eq!(found, orders);
                others(path);
            });
        }
        _ => kept(&certificate(&mut input)),
    }
}

/// What to begin with.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut day = vec![0];
    for message in seeds::itch_messages() {
        day.extend_from_slice(&u16::try_from(message.len()).expect("short").to_be_bytes());
        day.extend_from_slice(&message);
    }
    day.extend_from_slice(&[0, 0]);
    let packets = [&[0, 0, 1, 2, 5][..], b"frame", &[0, 1, 1, 9, 3], b"abc"].concat();
    let of_feed = [0, 0, 0x80, 1, 0, 0, 0x81, 2, 1, 0, 0x80, 3, 3];
    let mut capture = vec![0];
    capture.extend_from_slice(&pcapng(&mut Input(&packets)));
    let mut frames = vec![2 | 20 << 3];
    frames.extend_from_slice(&seeds::frames().concat());
    let slow = slow_orders(&mut Input(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 2, 1, 9, 0, 1, 2])).0;
    let host = certificate(&mut Input(&[0, 3, b'a', b'b', b'c', 7, 2, b'd', b'e']));
    let host = with_file(&[], |path| {
        host.save(path).expect("a place for a file");
        std::fs::read(path).expect("it was just kept")
    });
    vec![
        day.clone(),
        capture,
        [&[1, 3][..], &packets].concat(),
        [&[1][..], &of_feed].concat(),
        frames,
        vec![3 | 5 << 3, 1, 2, 3, 4, 5],
        vec![4, 0, 1, 2, 3, 0x13, 0, 0x2F, 7, 0x81, 1],
        [&[5 | 9 << 3, 0, 30, 0, 20, 1][..], b"the rest of a day"].concat(),
        [&[0][..], &packed(&day[1..])].concat(),
        [&[0][..], &slow].concat(),
        vec![
            6, 0, 1, 2, 3, 4, 5, 6, 7, 255, 2, 9, 8, 7, 6, 5, 4, 3, 2, 3, 1,
        ],
        [&[0][..], &host].concat(),
        vec![7, 4, 3, b'a', b'b', b'c', 3, 1, b'd'],
    ]
}
