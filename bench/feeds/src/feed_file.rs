//! Feeds in files: BinaryFILE (plain or gzip) and captures (pcap, pcapng), read as one stream of
//! length-prefixed messages. What two lines of a gateway's own capture say is merged; of other captures every frame is
//! read as it comes.
//!
//! Invariants:  memory is one chunk, however large the file (a capture is taken apart in memory).
//! When wrong:  a file of another kind, and one that ends inside a message, are told with the byte.

use std::fs::File;
use std::io::{BufReader, Cursor, Read};
use std::path::Path;

use anyhow::{Context, Result, bail};
use feed_handler::arbiter::{Arbiter, ArbiterCounters, Arrival, Patience, StreamSink};
use feed_handler::venue::Nasdaq;
use flate2::read::MultiGzDecoder;
use pcap_file::pcap::PcapReader;
use pcap_file::pcapng::{Block, PcapNgReader};
use protocol::binary_file::Messages;
use protocol::frame::Datagram;
use protocol::itch;
use protocol::mold::Packet;
use protocol::types::Seq;

use crate::capture::Capture;

/// Bytes read at once: large enough to amortise the call, small enough for the cache.
const CHUNK_BYTES: usize = 1 << 20;
/// How long a hole in one line of a capture waits for the other line, and how long a session is silent that gives way to
/// another: nobody waits here, so longer than a gateway would.
const GAP_TIMEOUT_NS: u64 = 10_000_000;
const STALE_NS: u64 = 2_000_000_000;

/// A feed that is read chunk by chunk.
pub struct FeedFile {
    reader: Box<dyn Read>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Bytes of the (unpacked) stream before `start`.
    offset: u64,
    has_ended: bool,
    is_checked: bool,
    name: String,
}

impl std::fmt::Debug for FeedFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FeedFile")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl FeedFile {
    /// Opens a file and finds out what it is by its first bytes.
    ///
    /// # Errors
    /// It is not there, or is neither BinaryFILE nor a capture.
    pub fn open(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let mut file = File::open(path).with_context(|| name.clone())?;
        let mut magic = [0; 4];
        let len = file.read(&mut magic).with_context(|| name.clone())?;
        let start = Cursor::new(magic.into_iter().take(len).collect::<Vec<_>>());
        let plain = BufReader::with_capacity(CHUNK_BYTES, start.chain(file));
        let reader: Box<dyn Read> = match magic {
            [0x1F, 0x8B, ..] => Box::new(MultiGzDecoder::new(plain)),
            [0x0A, 0x0D, 0x0D, 0x0A] if Capture::is_one(path) => {
                Box::new(Cursor::new(arbitrated(path)?))
            }
            [0x0A, 0x0D, 0x0D, 0x0A] => Box::new(Cursor::new(unpack_pcapng(plain, &name)?)),
            [0xD4, 0xC3, 0xB2, 0xA1]
            | [0xA1, 0xB2, 0xC3, 0xD4]
            | [0x4D, 0x3C, 0xB2, 0xA1]
            | [0xA1, 0xB2, 0x3C, 0x4D] => Box::new(Cursor::new(unpack_pcap(plain, &name)?)),
            _ => Box::new(plain),
        };
        Ok(Self {
            reader,
            buffer: vec![0; CHUNK_BYTES],
            start: 0,
            end: 0,
            offset: 0,
            has_ended: false,
            is_checked: false,
            name,
        })
    }

    /// The next whole messages with their lengths, at least one; `None` at the end.
    ///
    /// # Errors
    /// The file ends inside a message, or is no feed at all.
    pub fn next_chunk(&mut self) -> Result<Option<&[u8]>> {
        if self.has_ended {
            return Ok(None);
        }
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.offset += self.start as u64;
        self.start = 0;
        let is_end = self.fill()?;
        self.check_kind()?;
        let filled = self.buffer.get(..self.end).unwrap_or_default();
        let mut messages = Messages::new(filled);
        messages.by_ref().for_each(drop);
        self.has_ended = messages.ended() || is_end;
        let whole = messages.consumed();
        if is_end && !messages.ended() && whole < self.end {
            let left = self.end - whole;
            bail!(
                "{}: truncated: at byte {} a message begins of which only {left} bytes are there",
                self.name,
                self.offset + whole as u64
            );
        }
        self.start = whole;
        Ok((whole > 0).then(|| self.buffer.get(..whole).unwrap_or_default()))
    }

    /// Reads until the buffer is full or the file ends; `true` at its end.
    fn fill(&mut self) -> Result<bool> {
        while let Some(room) = self
            .buffer
            .get_mut(self.end..)
            .filter(|room| !room.is_empty())
        {
            match self.reader.read(room).with_context(|| self.name.clone())? {
                0 => return Ok(true),
                len => self.end += len,
            }
        }
        Ok(false)
    }

    /// A BinaryFILE begins with a message of a known type and its right length.
    fn check_kind(&mut self) -> Result<()> {
        if self.is_checked {
            return Ok(());
        }
        self.is_checked = true;
        let found = self.buffer.get(..self.end.min(3)).unwrap_or_default();
        let is_feed = match found {
            [high, low, kind] => {
                let len = usize::from(u16::from_be_bytes([*high, *low]));
                len == 0 || itch::len_of(*kind) == Some(len)
            }
            [0, 0] => true,
            _ => false,
        };
        if !is_feed {
            bail!(
                "{}: begins with {found:02x?}: neither BinaryFILE with ITCH 5.0 messages (plain or \
                 gzip) nor a pcap or pcapng capture",
                self.name
            );
        }
        Ok(())
    }
}

fn unpack_pcap(reader: impl Read, name: &str) -> Result<Vec<u8>> {
    let mut capture = PcapReader::new(reader).with_context(|| name.to_owned())?;
    let mut out = Vec::new();
    while let Some(packet) = capture.next_packet() {
        append(&packet.with_context(|| name.to_owned())?.data, &mut out);
    }
    Ok(out)
}

fn unpack_pcapng(reader: impl Read, name: &str) -> Result<Vec<u8>> {
    let mut capture = PcapNgReader::new(reader).with_context(|| name.to_owned())?;
    let mut out = Vec::new();
    while let Some(block) = capture.next_block() {
        match block.with_context(|| name.to_owned())? {
            Block::EnhancedPacket(packet) => append(&packet.data, &mut out),
            Block::SimplePacket(packet) => append(&packet.data, &mut out),
            _ => {}
        }
    }
    Ok(out)
}

/// What the lines of a gateway's capture say together, each message once and in order.
fn arbitrated(path: &Path) -> Result<Vec<u8>> {
    let mut capture = Capture::open([path.to_owned()])?;
    let mut arbiter = Arbiter::<Nasdaq>::new(Patience {
        gap_timeout_ns: GAP_TIMEOUT_NS,
        stale_ns: STALE_NS,
    });
    let counters = ArbiterCounters::default();
    let (mut stream, mut turn) = (Stream(Vec::new()), Vec::new());
    while let Some(now_ns) = capture.next_ns() {
        capture.next_turn(&mut turn)?;
        for packet in &turn {
            let Ok(datagram) = Datagram::parse(&packet.frame) else {
                continue;
            };
            let arrival = Arrival {
                payload: datagram.payload,
                line: packet.line,
                now_ns,
            };
            arbiter.on_packet(&arrival, &counters, &mut stream);
        }
        arbiter.on_timeout(now_ns, &counters, &mut stream);
    }
    arbiter.on_timeout(u64::MAX, &counters, &mut stream);
    Ok(stream.0)
}

/// Messages of an ordered stream, with their lengths.
struct Stream(Vec<u8>);

impl StreamSink for Stream {
    fn on_session(&mut self, _: Seq, _: bool) {}

    fn on_message(&mut self, _: Seq, message: &[u8]) {
        append_message(message, &mut self.0);
    }

    fn on_gap(&mut self, _: Seq, _: u64) {}

    fn on_end_of_session(&mut self, _: Seq) {}
}

/// Appends the messages of a MoldUDP64 frame; other frames carry none.
fn append(frame: &[u8], out: &mut Vec<u8>) {
    let Ok(datagram) = Datagram::parse(frame) else {
        return;
    };
    let Some(packet) = Packet::decode(datagram.payload) else {
        return;
    };
    for message in packet.blocks() {
        append_message(message, out);
    }
}

fn append_message(message: &[u8], out: &mut Vec<u8>) {
    // An empty message counts in MoldUDP64 and would end a BinaryFILE.
    if let (Ok(len), false) = (u16::try_from(message.len()), message.is_empty()) {
        out.extend_from_slice(&len.to_be_bytes());
        out.extend_from_slice(message);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn feed(count: usize) -> Vec<u8> {
        let mut out = Vec::new();
        for n in (0..=250u8).cycle().take(count) {
            out.extend_from_slice(&[0, 12, b'S']);
            out.extend_from_slice(&[n; 11]);
        }
        out
    }

    fn read(bytes: &[u8]) -> Result<Vec<u8>> {
        let file = file(bytes);
        let mut feed = FeedFile::open(file.path())?;
        let mut out = Vec::new();
        while let Some(chunk) = feed.next_chunk()? {
            out.extend_from_slice(chunk);
        }
        Ok(out)
    }

    #[test]
    fn chunks_join_to_the_whole_file_plain_and_packed() {
        let bytes = feed(200_000);
        assert_eq!(read(&bytes).unwrap(), bytes);
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(&bytes).unwrap();
        assert_eq!(read(&packer.finish().unwrap()).unwrap(), bytes);
    }

    #[test]
    fn truncated_and_foreign_files_are_told() {
        let mut bytes = feed(3);
        bytes.truncate(40);
        let error = read(&bytes).unwrap_err().to_string();
        assert!(
            error.contains("at byte 28 a message begins of which only 12 bytes"),
            "{error}"
        );
        let error = read(b"PK\x03\x04 some archive").unwrap_err().to_string();
        assert!(error.contains("neither BinaryFILE"), "{error}");
        assert!(read(b"").unwrap_err().to_string().contains("neither"));
        assert!(read(&[0x1F, 0x8B, 8, 0, 1, 2, 3]).is_err());
        assert!(read(&[0xD4, 0xC3, 0xB2, 0xA1, 2, 0]).is_err());
    }

    #[test]
    fn end_mark_ends_the_feed() {
        let mut bytes = feed(2);
        let whole = bytes.clone();
        bytes.extend_from_slice(b"\0\0trailing");
        let read = read(&bytes).unwrap();
        assert_eq!(read[..whole.len()], whole);
    }
}
