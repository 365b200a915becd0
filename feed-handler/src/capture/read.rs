//! Reads captures of a gateway: packet by packet, each with the turn in which it was seen.
//!
//! Only what `pcapng` writes is read: who wants to look at any capture has other programs, and `feeds::capture` has a
//! library for it, which judges both ends in `world/tests/capture.rs`.
//!
//! Path:        files -> here -> turns::Played
//! Thread:      whoever replays
//! When wrong:  a file that is no capture of a gateway is refused. One that ends inside a block, as a killed gateway
//!              leaves it, ends there.
//! Spec:        as `pcapng`.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use super::pcapng::{BYTE_ORDER_MAGIC, COMMENT, ENHANCED_PACKET, PACKET_DROPS, SECTION_HEADER};
use super::remark::{Scale, Turn};

/// A block has its type and its length in front, and its length behind.
const BLOCK_BYTES: usize = 12;
/// Longer blocks are none of ours: a frame has 64 KiB at most, and comments a line each.
const BLOCK_BYTES_MAX: usize = 1 << 20;
/// Bytes of a section before its options: magic, version, length.
const SECTION_BYTES: usize = 16;
/// Bytes of a packet before its frame: interface, stamp, two lengths.
const PACKET_BYTES: usize = 20;

/// One packet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captured {
    /// The frame; headers of one from a kernel socket are made up.
    pub frame: Vec<u8>,
    /// Its wire stamp, monotonic; 0: it had none.
    pub wire_ns: u64,
    /// When it was seen, monotonic.
    pub seen_ns: u64,
    /// Which line brought it.
    pub line: u8,
    /// Packets before it that the ring had no room for.
    pub dropped: u64,
}

/// Captures of one feed, one after the other.
#[derive(Debug)]
pub struct Captures {
    files: VecDeque<PathBuf>,
    open: Option<Open>,
    next: Option<Captured>,
}

#[derive(Debug)]
struct Open {
    path: PathBuf,
    source: BufReader<File>,
    scale: Scale,
    /// The last block that was read, without its type and lengths.
    block: Vec<u8>,
}

impl Captures {
    /// The captures of one feed, in any order, of one host since its start.
    ///
    /// # Errors
    /// One cannot be read, or is no capture: which, and why.
    pub fn open(files: impl IntoIterator<Item = PathBuf>) -> Result<Self, String> {
        let mut found = Vec::new();
        for path in files {
            let mut open = Open::new(&path)?;
            let first = open.next_packet()?;
            found.extend(first.map(|packet| (packet.seen_ns, path)));
        }
        found.sort_unstable();
        let mut captures = Self {
            files: found.into_iter().map(|(_, path)| path).collect(),
            open: None,
            next: None,
        };
        captures.next = captures.read()?;
        Ok(captures)
    }

    /// The packet that comes next; `None`: there is none.
    #[must_use]
    pub fn peek(&self) -> Option<&Captured> {
        self.next.as_ref()
    }

    /// Takes it.
    ///
    /// # Errors
    /// The one behind it cannot be read.
    pub fn take(&mut self) -> Result<Option<Captured>, String> {
        let taken = self.next.take();
        self.next = self.read()?;
        Ok(taken)
    }

    fn read(&mut self) -> Result<Option<Captured>, String> {
        loop {
            if self.open.is_none() {
                let Some(path) = self.files.pop_front() else {
                    return Ok(None);
                };
                self.open = Some(Open::new(&path)?);
            }
            let packet = match &mut self.open {
                Some(open) => open.next_packet()?,
                None => None,
            };
            if packet.is_some() {
                return Ok(packet);
            }
            self.open = None;
        }
    }
}

impl Open {
    fn new(path: &Path) -> Result<Self, String> {
        let named = |error: io::Error| format!("{}: {error}", path.display());
        let source = BufReader::with_capacity(1 << 18, File::open(path).map_err(named)?);
        let mut open = Self {
            path: path.to_owned(),
            source,
            scale: Scale {
                realtime_offset_ns: 0,
            },
            block: Vec::new(),
        };
        let first = open.next_block().map_err(named)?;
        let is_section =
            first == Some(SECTION_HEADER) && word(&open.block, 0) == Some(BYTE_ORDER_MAGIC);
        let options = open.block.get(SECTION_BYTES..).unwrap_or_default();
        let scale = Options(options).find_map(|(code, value)| {
            (code == COMMENT).then(|| Scale::parse(core::str::from_utf8(value).ok()?))?
        });
        match scale {
            Some(scale) if is_section => {
                open.scale = scale;
                Ok(open)
            }
            _ => Err(format!(
                "{}: no capture of a gateway: its first block does not say how its clock ran",
                path.display()
            )),
        }
    }

    /// The next block's type; `None`: the file ends.
    fn next_block(&mut self) -> io::Result<Option<u32>> {
        let mut front = [0; 8];
        if !fill(&mut self.source, &mut front)? {
            return Ok(None);
        }
        let (kind, total) = (word(&front, 0).unwrap_or(0), word(&front, 4).unwrap_or(0));
        let total = usize::try_from(total).unwrap_or(usize::MAX);
        if !(BLOCK_BYTES..=BLOCK_BYTES_MAX).contains(&total) {
            return Err(io::Error::other(format!(
                "a block of {total} bytes, expected {BLOCK_BYTES} to {BLOCK_BYTES_MAX}"
            )));
        }
        self.block.resize(total - front.len(), 0);
        let is_whole = fill(&mut self.source, &mut self.block)?;
        self.block.truncate(total - BLOCK_BYTES);
        Ok(is_whole.then_some(kind))
    }

    fn next_packet(&mut self) -> Result<Option<Captured>, String> {
        loop {
            let block = self.next_block();
            match block.map_err(|error| format!("{}: {error}", self.path.display()))? {
                None => return Ok(None),
                Some(ENHANCED_PACKET) => {
                    let packet = captured(&self.block, self.scale);
                    let packet = packet.ok_or_else(|| {
                        format!(
                            "{}: a packet that does not say when it was seen",
                            self.path.display()
                        )
                    });
                    return packet.map(Some);
                }
                Some(_) => {}
            }
        }
    }
}

fn captured(block: &[u8], scale: Scale) -> Option<Captured> {
    let high_and_low = u64::from(word(block, 4)?) << 32 | u64::from(word(block, 8)?);
    let len = usize::try_from(word(block, 12)?).ok()?;
    let frame = block.get(PACKET_BYTES..PACKET_BYTES.checked_add(len)?)?;
    let options = block.get(PACKET_BYTES + len.next_multiple_of(4)..)?;
    let (mut turn, mut dropped) = (None, 0);
    for (code, value) in Options(options) {
        match code {
            COMMENT => turn = turn.or_else(|| Turn::parse(core::str::from_utf8(value).ok()?)),
            PACKET_DROPS => dropped = u64::from_le_bytes(value.try_into().ok()?),
            _ => {}
        }
    }
    let turn: Turn = turn?;
    let stamp_ns = scale.monotonic_ns(high_and_low);
    Some(Captured {
        frame: frame.to_vec(),
        wire_ns: turn.seen_delta_ns.map_or(0, |_| stamp_ns),
        seen_ns: stamp_ns.saturating_add_signed(turn.seen_delta_ns.unwrap_or(0)),
        line: u8::try_from(word(block, 0)?).ok()?,
        dropped,
    })
}

/// Options: code, length, value padded to 32 bits.
struct Options<'a>(&'a [u8]);

impl<'a> Iterator for Options<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (front, rest) = self.0.split_first_chunk::<4>()?;
        let [code_low, code_high, len_low, len_high] = *front;
        let len = usize::from(u16::from_le_bytes([len_low, len_high]));
        let value = rest.get(..len)?;
        self.0 = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_le_bytes([code_low, code_high]), value))
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_le_bytes(*bytes))
}

/// Fills `out`; `false`: there is not as much.
fn fill(source: &mut impl Read, out: &mut [u8]) -> io::Result<bool> {
    match source.read_exact(out) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        done => done.map(|()| true),
    }
}

#[cfg(test)]
mod tests {
    use super::super::pcapng::{EnhancedPacket, interface, section};
    use super::*;

    const SCALE: Scale = Scale {
        realtime_offset_ns: 1_764_171_234_000_000_001,
    };

    /// A packet that was seen 500 ns after its stamp.
    fn packet(stamp_ns: u64, drops: u64, out: &mut Vec<u8>) {
        let turn = Turn {
            seen_delta_ns: Some(500),
            place: 0,
            batch: 1,
        };
        let packet = EnhancedPacket {
            interface: 1,
            arrived_realtime_ns: SCALE.realtime_ns(stamp_ns),
            frame: b"frame",
            drops,
        };
        let turn = turn.to_string();
        packet.encode(["the feed's session has begun", &turn].into_iter(), out);
    }

    fn file(stamps_ns: &[u64]) -> Vec<u8> {
        let mut out = Vec::new();
        section("a test", &SCALE.to_string(), &mut out);
        interface("0", "", &mut out);
        for stamp_ns in stamps_ns {
            packet(*stamp_ns, stamp_ns % 2, &mut out);
        }
        out
    }

    fn seen(captures: &mut Captures) -> Vec<(u64, u64)> {
        let packets = std::iter::from_fn(|| captures.take().unwrap());
        packets.map(|it| (it.seen_ns, it.dropped)).collect()
    }

    #[test]
    fn files_are_read_in_the_order_of_time_and_a_half_block_ends_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("later"), file(&[3_000, 4_000])).unwrap();
        let earlier = file(&[1_001, 2_000]);
        std::fs::write(path("earlier"), &earlier).unwrap();
        let open = || Captures::open([path("later"), path("earlier")]).unwrap();
        let all = [(1_501, 1), (2_500, 0), (3_500, 0), (4_500, 0)];
        assert_eq!(seen(&mut open()), all);
        let first = open().take().unwrap().unwrap();
        let expected = Captured {
            frame: b"frame".to_vec(),
            wire_ns: 1_001,
            seen_ns: 1_501,
            line: 1,
            dropped: 1,
        };
        assert_eq!(first, expected);
        std::fs::write(path("earlier"), &earlier[..earlier.len() - 3]).unwrap();
        assert_eq!(seen(&mut open()), [all[0], all[2], all[3]]);
    }

    #[test]
    fn file_that_is_no_capture_of_a_gateway_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("other");
        let mut other = Vec::new();
        section("somebody", "a comment", &mut other);
        for bytes in [&b""[..], &[7; 100], &other] {
            std::fs::write(&path, bytes).unwrap();
            let refused = Captures::open([path.clone()]).unwrap_err();
            assert!(refused.contains("other: "), "{refused}");
        }
    }
}
