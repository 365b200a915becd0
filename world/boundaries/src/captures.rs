//! Inputs to begin with out of captures that somebody has: what programs of others have written, as our own encoders may
//! not. Frames, what lies in them, their messages, and the files themselves, each for the targets that read such bytes.
//!
//! When wrong:  a file that is neither pcap nor BinaryFILE gives itself alone, cut, as any file.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use protocol::binary_file::Messages;
use protocol::soup::Packet;
use protocol::types::Seq;
use protocol::{iex_tp, itch, mold};

/// Files of a folder that are read.
const FILES_MAX: usize = 32;
/// Of a file, this much: a whole day has nothing that its beginning has not.
const FILE_BYTES_MAX: usize = 1 << 20;
/// Frames of a file.
const FRAMES_MAX: usize = 128;
/// Messages of each type.
const OF_A_KIND_MAX: usize = 4;
/// The longest input of `make fuzz`.
const INPUT_BYTES_MAX: usize = 4096;
/// Bytes before the first record of a pcap, and before each frame.
const PCAP_HEADER_BYTES: usize = 24;
const RECORD_HEADER_BYTES: usize = 16;

/// Inputs, by the target that they are for.
#[derive(Debug, Default)]
pub struct Captured {
    inputs: BTreeMap<&'static str, Vec<Vec<u8>>>,
    kinds: BTreeMap<u8, usize>,
}

/// What a folder's captures give, its files in the order of their names.
///
/// # Errors
/// The folder, or a file in it, cannot be read.
pub fn read(folder: &Path) -> io::Result<Captured> {
    let entries = std::fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    let mut files: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    files.retain(|path| path.is_file());
    files.sort_unstable();
    let mut captured = Captured::default();
    for path in files.iter().take(FILES_MAX) {
        let mut bytes = std::fs::read(path)?;
        bytes.truncate(FILE_BYTES_MAX);
        captured.file(&bytes);
    }
    Ok(captured)
}

impl Captured {
    /// Those of one target.
    #[must_use]
    pub fn of(&self, target: &str) -> &[Vec<u8>] {
        self.inputs.get(target).map_or(&[], Vec::as_slice)
    }

    fn give(&mut self, target: &'static str, input: Vec<u8>) {
        let inputs = self.inputs.entry(target).or_default();
        if input.len() <= INPUT_BYTES_MAX && !inputs.contains(&input) {
            inputs.push(input);
        }
    }

    fn file(&mut self, bytes: &[u8]) {
        let front = &bytes[..bytes.len().min(INPUT_BYTES_MAX - 1)];
        // As it is: the first choice of `files`.
        self.give("files", [&[0], front].concat());
        for frame in frames(bytes).into_iter().take(FRAMES_MAX) {
            self.frame(frame);
        }
        if let [high, low, kind, ..] = *bytes
            && itch::len_of(kind) == Some(usize::from(u16::from_be_bytes([high, low])))
        {
            self.day(bytes);
        }
    }

    fn frame(&mut self, frame: &[u8]) {
        self.give("frame", frame.to_vec());
        let Some((is_udp, payload)) = payload(frame) else {
            return;
        };
        if !is_udp {
            return self.stream(payload);
        }
        if let Some(packet) = iex_tp::Packet::decode(payload).filter(iex_tp::Packet::is_exact) {
            self.give("iex_tp", payload.to_vec());
            self.script("iex", 11, payload);
            packet.blocks().for_each(|message| self.message(message));
        } else if let Some(packet) = mold::Packet::decode(payload).filter(mold::Packet::is_exact) {
            self.give("mold", payload.to_vec());
            self.script("feed", 9, payload);
            packet.blocks().for_each(|message| self.message(message));
        }
    }

    /// Packets of SoupBinTCP, to the exchange or from it.
    fn stream(&mut self, payload: &[u8]) {
        self.give("soup", [&[1], payload].concat());
        self.give("glimpse", [&[1], payload].concat());
        // After a login, in pieces of two bytes.
        self.give("session", [&[9], payload].concat());
        let mut rest = payload;
        while let Ok(Some((packet, after))) = Packet::decode(rest) {
            self.message(packet.payload);
            rest = after;
        }
    }

    fn message(&mut self, message: &[u8]) {
        let Some(kind) = message.first() else {
            return;
        };
        let count = self.kinds.entry(*kind).or_default();
        *count += 1;
        if *count <= OF_A_KIND_MAX {
            self.give("messages", message.to_vec());
        }
    }

    /// A day's messages: each for itself, and the first of them as a feed sends them.
    fn day(&mut self, bytes: &[u8]) {
        let all: Vec<&[u8]> = Messages::new(bytes).collect();
        all.iter().for_each(|message| self.message(message));
        let (mut script, mut next) = (vec![0], 1);
        for messages in all.chunks(5) {
            let mut buffer = [0; 255];
            let builder = mold::PacketBuilder::new(&mut buffer, *b"SESSION000", Seq(next));
            let mut builder = builder.expect("room");
            for message in messages {
                next += u64::from(builder.push(message));
            }
            step(&mut script, 9, builder.finish());
            if script.len() > INPUT_BYTES_MAX / 2 {
                break;
            }
        }
        self.give("feed", script);
    }

    /// A packet as a step of a script that takes any bytes by this code, and the turn that reads it.
    fn script(&mut self, target: &'static str, code: u8, packet: &[u8]) {
        let mut script = vec![0];
        step(&mut script, code, packet);
        self.give(target, script);
    }
}

/// Bytes as they are, as far as one step takes them, and a turn.
fn step(script: &mut Vec<u8>, code: u8, packet: &[u8]) {
    let len = u8::try_from(packet.len()).unwrap_or(u8::MAX);
    script.extend([code, len]);
    script.extend_from_slice(&packet[..usize::from(len)]);
    script.extend([15, 1]);
}

/// The frames of a pcap of either byte order; of another file none.
fn frames(bytes: &[u8]) -> Vec<&[u8]> {
    let is_little = match bytes {
        [0xD4, 0xC3, 0xB2, 0xA1, ..] | [0x4D, 0x3C, 0xB2, 0xA1, ..] => true,
        [0xA1, 0xB2, 0xC3, 0xD4, ..] | [0xA1, 0xB2, 0x3C, 0x4D, ..] => false,
        _ => return Vec::new(),
    };
    let mut rest = bytes.get(PCAP_HEADER_BYTES..).unwrap_or_default();
    let mut frames = Vec::new();
    while let Some((header, body)) = rest.split_at_checked(RECORD_HEADER_BYTES) {
        let len = [header[8], header[9], header[10], header[11]];
        let len = if is_little {
            u32::from_le_bytes(len)
        } else {
            u32::from_be_bytes(len)
        };
        let Some((frame, after)) = body.split_at_checked(len as usize) else {
            break;
        };
        frames.push(frame);
        rest = after;
    }
    frames
}

/// What a frame carries over IPv4, and whether it is UDP: checksums may have been blanked, so none is looked at. `None`:
/// it is neither UDP nor TCP.
fn payload(frame: &[u8]) -> Option<(bool, &[u8])> {
    let tagged = frame.get(12..14)? == [0x81, 0];
    let at = if tagged { 16 } else { 12 };
    let packet = frame
        .get(at + 2..)
        .filter(|_| frame.get(at..at + 2) == Some(&[8, 0]))?;
    let word = |bytes: &[u8], at: usize| {
        let bytes = bytes.get(at..at + 2)?.try_into().ok()?;
        Some(usize::from(u16::from_be_bytes(bytes)))
    };
    let head = usize::from(packet.first()? & 15) * 4;
    // Trailers of a frame are no part of it.
    let segment = packet.get(head..word(packet, 2)?)?;
    match packet.get(9)? {
        17 => Some((true, segment.get(8..)?)),
        6 => Some((
            false,
            segment.get(usize::from(segment.get(12)? >> 4) * 4..)?,
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seeds;

    /// A pcap with these frames.
    fn pcap(frames: &[Vec<u8>]) -> Vec<u8> {
        let mut out = vec![0xD4, 0xC3, 0xB2, 0xA1];
        out.resize(PCAP_HEADER_BYTES, 0);
        for frame in frames {
            let len = u32::try_from(frame.len()).unwrap().to_le_bytes();
            out.extend([[1, 0, 0, 0], [0; 4], len, len].concat());
            out.extend_from_slice(frame);
        }
        out
    }

    #[test]
    fn capture_gives_each_target_the_bytes_that_it_reads() {
        let mut captured = Captured::default();
        let mut frames = seeds::frames();
        frames.extend(
            seeds::iex_segments()
                .iter()
                .map(|it| seeds::frame(None, it)),
        );
        // TCP in place of UDP: a header of 20 bytes, of which the last 12 are in front of the payload.
        let stream = [&[0; 4][..], &[0x50], &[0; 7], b"\0\x02Sx\0\x01H"].concat();
        let mut tcp = seeds::frame(None, &stream);
        tcp[23] = 6;
        frames.push(tcp);
        captured.file(&pcap(&frames));
        let mut day = Vec::new();
        for message in seeds::itch_messages() {
            day.extend_from_slice(&u16::try_from(message.len()).unwrap().to_be_bytes());
            day.extend_from_slice(&message);
        }
        captured.file(&day);
        assert_eq!(captured.of("frame").len(), frames.len());
        let packets = seeds::itch_packets();
        assert_eq!(captured.of("mold")[0], packets[1]);
        assert_eq!(captured.of("iex_tp"), seeds::iex_segments());
        assert_eq!(captured.of("soup"), [b"\x01\0\x02Sx\0\x01H"]);
        assert_eq!(captured.of("messages")[0], seeds::itch_messages()[0]);
        assert!(captured.of("messages").contains(&b"x".to_vec()));
        assert!(
            captured
                .inputs
                .values()
                .flatten()
                .all(|it| it.len() <= INPUT_BYTES_MAX)
        );
    }
}
