//! Files that somebody else may have written: days in BinaryFILE, gzip, pcap and pcapng; a gateway's captures; what the
//! slow-order recorder keeps; a host's certificate. Each is read to its end or refused by name.

use std::path::Path;

use feed_handler::capture::read::Captures;
use feed_handler::capture::remark::{Scale, Turn};
use feeds::capture::Capture;
use feeds::feed_file::FeedFile;
use protocol::binary_file::Messages;
use tickgate_host::Certificate;

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
            seen.push((packet.seen_ns, packet.frame));
        }
        Ok(())
    });
    if let Ok(mut capture) = Capture::open([path.to_owned()]) {
        let mut packets = Vec::new();
        while capture.next_ns().is_some() && capture.next_turn(&mut packets).is_ok() {
            assert!(!packets.is_empty(), "a turn has a packet");
        }
    }
    if ours.is_err() {
        return;
    }
    // Read again, it says the same.
    let mut again = Captures::open([path.to_owned()]).expect("it was read before");
    for (seen_ns, frame) in seen {
        let packet = again.take().expect("it was read before").expect("as many");
        assert_eq!((packet.seen_ns, packet.frame), (seen_ns, frame));
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

/// A capture that is nearly right.
fn pcapng(input: &mut Input<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let offset = i64::from(input.byte().cast_signed()) << 55;
    let scale = Scale {
        realtime_offset_ns: offset,
    }
    .to_string();
    let mut section = 0x1A2B_3C4D_u32.to_le_bytes().to_vec();
    section.extend_from_slice(&[1, 0, 0, 0]);
    section.extend_from_slice(&u64::MAX.to_le_bytes());
    option(1, scale.as_bytes(), &mut section);
    option(0, &[], &mut section);
    block(0x0A0D_0D0A, &section, 0, &mut out);
    block(
        1,
        &[1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0],
        0,
        &mut out,
    );
    while !input.0.is_empty() {
        let [what, line, delta, len] = [0; 4].map(|_: u8| input.byte());
        let frame = input.slice(usize::from(len));
        let said = if what & 1 == 0 {
            u32::from(len)
        } else {
            u32::from(len) << (what >> 3)
        };
        let mut packet = Vec::new();
        for word in [
            u32::from(line),
            u32::from(what),
            u32::from(delta) << 24,
            said,
            said,
        ] {
            packet.extend_from_slice(&word.to_le_bytes());
        }
        packet.extend_from_slice(frame);
        packet.resize(packet.len().next_multiple_of(4), 0);
        let seen = (what & 2 == 0).then(|| i64::from(delta.cast_signed()) << (what >> 2));
        let turn = Turn {
            seen_delta_ns: seen,
            place: line,
            batch: delta,
        };
        option(1, turn.to_string().as_bytes(), &mut packet);
        option(0, &[], &mut packet);
        block(
            [6, 6, 6, 6, 3, 5, 1, 6][usize::from(what >> 5)],
            &packet,
            what & 4,
            &mut out,
        );
    }
    out
}

/// One input.
pub(crate) fn run(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else {
        return;
    };
    let mut input = Input(data);
    let look = |bytes: &[u8]| {
        with_file(bytes, |path| {
            capture(path);
            others(path);
            day(path)
        })
    };
    match choice % 4 {
        0 => {
            binary_file(data, usize::from(choice >> 2));
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
                let frame = input.slice(usize::from(choice >> 2).max(1) * 8);
                let len = u32::try_from(frame.len()).expect("short");
                for word in [1, 0, len, len] {
                    pcap.extend_from_slice(&word.to_le_bytes());
                }
                pcap.extend_from_slice(frame);
            }
            look(&pcap);
        }
        _ => {
            // A right day is what it was.
            let mut whole = Vec::new();
            while !input.0.is_empty() {
                let message = input.slice(usize::from(choice >> 2).max(1));
                whole
                    .extend_from_slice(&u16::try_from(message.len()).expect("short").to_be_bytes());
                whole.extend_from_slice(message);
            }
            let found = look(&whole);
            assert!(found.is_none_or(|found| found == whole || whole.starts_with(&[0x1F, 0x8B])));
            binary_file(&whole, usize::from(*choice));
        }
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
    let mut capture = vec![0];
    capture.extend_from_slice(&pcapng(&mut Input(&packets)));
    let mut frames = vec![2 | 40 << 2];
    frames.extend_from_slice(&seeds::frames().concat());
    vec![
        day,
        capture,
        [&[1, 3][..], &packets].concat(),
        frames,
        vec![3 | 20 << 2, 1, 2, 3, 4, 5],
    ]
}
