//! A gateway's captures (`[feed.NAME.capture]`), played to a feed handler as it heard them: the same packets, on the same
//! lines, with the same stamps, in the same turns.
//!
//! ```text
//!  files ──> Capture, in order of time ──turns──> play ──> Feed<Replayed, V>
//!                                                  └ between them, quiet turns whenever the feed has something due
//! ```
//!
//! Invariants:  a feed that is built alike says the same events. What is not in a capture cannot be played: packets that
//!              the ring had no room for (each is said), what servers answered, and at which instant of a turn a
//!              deadline was looked at: one that fell into the last turn before a packet, well under a microsecond,
//!              may go the other way.
//! Time:        the gateway's monotonic clock, whatever the file's stamps.
//! When wrong:  a file that is no capture of a gateway is refused; so is the rest of one that ends inside a block.

use std::collections::VecDeque;
use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use feed_handler::capture::remark::{Scale, Turn};
use feed_handler::feed::Feed;
use feed_handler::source::{Packet, PacketSource};
use feed_handler::venue::Venue;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::InterfaceDescriptionOption;
use pcap_file::pcapng::blocks::section_header::SectionHeaderOption;
use pcap_file::pcapng::{Block, PcapNgReader};
use protocol::frame::Datagram;
use rt::clock::Clock;

/// A quiet turn in 16 looks at the clock.
const QUIET_TURNS: usize = 16;
/// Quiet turns for something that stays due, as when nobody takes events.
const TRIES: usize = 64;
/// `if_tsresol` of nanoseconds.
const NANOSECONDS: u8 = 9;

/// Captures of one feed, one after the other.
#[derive(Debug)]
pub struct Capture {
    files: VecDeque<PathBuf>,
    open: Option<Open>,
    /// The first packet of the next turn.
    next: Option<Captured>,
}

struct Open {
    path: PathBuf,
    reader: PcapNgReader<File>,
    scale: Scale,
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Open")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// One packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captured {
    /// The frame; headers of one from a kernel socket are made up.
    pub frame: Vec<u8>,
    /// Its wire stamp, monotonic; 0: it had none.
    pub wire_ns: u64,
    /// When it was seen, monotonic.
    pub seen_ns: u64,
    /// Which line brought it.
    pub line: u8,
    /// Its place in its turn, from 0.
    pub place: u8,
    /// Packets that the turn took, 255 at most.
    pub batch: u8,
    /// Packets before it that the ring had no room for.
    pub dropped: u64,
}

impl Capture {
    /// The captures of one feed, in any order: of one gateway's run, or of several since the host's start.
    ///
    /// # Errors
    /// One cannot be read, or is no capture.
    pub fn open(files: impl IntoIterator<Item = PathBuf>) -> Result<Self> {
        let mut found = Vec::new();
        for path in files {
            let mut open = Open::new(path)?;
            let first = open.read();
            let first = first.with_context(|| open.path.display().to_string())?;
            found.extend(first.map(|packet| (packet.seen_ns, open.path)));
        }
        found.sort_unstable();
        let mut capture = Self {
            files: found.into_iter().map(|(_, path)| path).collect(),
            open: None,
            next: None,
        };
        capture.next = capture.read()?;
        Ok(capture)
    }

    /// Whether a file is one: it begins as a gateway's captures do.
    #[must_use]
    pub fn is_one(path: &Path) -> bool {
        Open::new(path.to_owned()).is_ok()
    }

    /// When the next turn was; `None`: there is none.
    #[must_use]
    pub fn next_ns(&self) -> Option<u64> {
        self.next.as_ref().map(|packet| packet.seen_ns)
    }

    /// Reads the packets of the next turn; none at the end.
    ///
    /// # Errors
    /// A file cannot be read, or is no capture.
    pub fn next_turn(&mut self, packets: &mut Vec<Captured>) -> Result<()> {
        packets.clear();
        let Some(mut last) = self.next.take() else {
            return Ok(());
        };
        loop {
            let next = self.read()?;
            let is_of_it = next.as_ref().is_some_and(|next| {
                let follows = next.place > last.place || next.place == u8::MAX;
                next.seen_ns == last.seen_ns && follows
            });
            packets.push(last);
            match next {
                Some(next) if is_of_it => last = next,
                next => {
                    self.next = next;
                    return Ok(());
                }
            }
        }
    }

    /// The next packet of all files.
    fn read(&mut self) -> Result<Option<Captured>> {
        loop {
            if self.open.is_none() {
                let Some(path) = self.files.pop_front() else {
                    return Ok(None);
                };
                self.open = Some(Open::new(path)?);
            }
            let Some(open) = &mut self.open else {
                return Ok(None);
            };
            let packet = open.read();
            let packet = packet.with_context(|| open.path.display().to_string())?;
            if packet.is_some() {
                return Ok(packet);
            }
            self.open = None;
        }
    }
}

impl Open {
    fn new(path: PathBuf) -> Result<Self> {
        let open = |path: &Path| {
            let reader = PcapNgReader::new(File::open(path)?)?;
            let scale = reader
                .section()
                .options
                .iter()
                .find_map(|option| match option {
                    SectionHeaderOption::Comment(text) => Scale::parse(text),
                    _ => None,
                });
            let scale = scale
                .context("no capture of a gateway: its section does not say how its clock ran")?;
            Ok::<_, anyhow::Error>((reader, scale))
        };
        let (reader, scale) = open(&path).with_context(|| path.display().to_string())?;
        Ok(Self {
            path,
            reader,
            scale,
        })
    }

    fn read(&mut self) -> Result<Option<Captured>> {
        while let Some(block) = self.reader.next_block() {
            match block? {
                Block::InterfaceDescription(interface) => {
                    let resolution = InterfaceDescriptionOption::IfTsResol(NANOSECONDS);
                    if !interface.options.contains(&resolution) {
                        bail!("an interface whose stamps are not nanoseconds");
                    }
                }
                Block::EnhancedPacket(packet) => return captured(&packet, self.scale).map(Some),
                _ => {}
            }
        }
        Ok(None)
    }
}

fn captured(packet: &EnhancedPacketBlock<'_>, scale: Scale) -> Result<Captured> {
    let mut turn = None;
    let mut dropped = 0;
    for option in &packet.options {
        match option {
            EnhancedPacketOption::Comment(text) => turn = turn.or_else(|| Turn::parse(text)),
            EnhancedPacketOption::DropCount(count) => dropped = *count,
            _ => {}
        }
    }
    let turn = turn.context("a packet that does not say when it was seen")?;
    let stamp_ns = scale.monotonic_ns(u64::try_from(packet.timestamp.as_nanos())?);
    Ok(Captured {
        frame: packet.data.to_vec(),
        wire_ns: turn.seen_delta_ns.map_or(0, |_| stamp_ns),
        seen_ns: stamp_ns.saturating_add_signed(turn.seen_delta_ns.unwrap_or(0)),
        line: u8::try_from(packet.interface_id)?,
        place: turn.place,
        batch: turn.batch,
        dropped,
    })
}

/// The source of a feed that hears a capture.
#[derive(Debug, Default)]
pub struct Replayed {
    turn: Vec<Captured>,
}

impl PacketSource for Replayed {
    fn acquire(&mut self) -> usize {
        let batch = self.turn.first().map_or(0, |packet| packet.batch);
        self.turn.len().max(usize::from(batch))
    }

    fn each(&mut self, mut on_packet: impl FnMut(Packet<'_>)) {
        for packet in &self.turn {
            let Ok(datagram) = Datagram::parse(&packet.frame) else {
                continue;
            };
            on_packet(Packet {
                payload: datagram.payload,
                frame: &packet.frame,
                wire_ns: packet.wire_ns,
                line: packet.line,
            });
        }
    }

    fn release(&mut self) {
        self.turn.clear();
    }

    fn housekeep(&mut self) {}
}

/// What was played.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Played {
    /// Turns with packets.
    pub turns: u64,
    /// Packets.
    pub packets: u64,
    /// Packets that are missing in between: the ring had no room.
    pub dropped: u64,
}

/// Plays a capture to its end. `on_turn` is called after each turn of the feed, quiet ones too: whoever listens to it
/// takes events there. `clock` is one of [`Clock::manual`].
///
/// # Errors
/// A file cannot be read, or is no capture; what came before has been played.
pub fn play<V: Venue>(
    capture: &mut Capture,
    feed: &mut Feed<Replayed, V>,
    clock: &mut Clock,
    mut on_turn: impl FnMut(),
) -> Result<Played> {
    let mut played = Played::default();
    while let Some(seen_ns) = capture.next_ns() {
        if played.turns > 0 {
            be_quiet(feed, clock, seen_ns, &mut on_turn);
        }
        clock.set_ns(seen_ns);
        capture.next_turn(&mut feed.source_mut().turn)?;
        for packet in &feed.source_mut().turn {
            played.packets += 1;
            played.dropped += packet.dropped;
        }
        played.turns += 1;
        feed.poll(clock);
        on_turn();
    }
    Ok(played)
}

/// What a feed core does until then, spinning: whatever is due when it is due.
fn be_quiet<V: Venue>(
    feed: &mut Feed<Replayed, V>,
    clock: &mut Clock,
    until_ns: u64,
    on_turn: &mut impl FnMut(),
) {
    let mut tries = 0;
    while tries < TRIES {
        let now_ns = feed.due_ns().max(clock.now_ns());
        if now_ns >= until_ns {
            return;
        }
        tries = if now_ns > clock.now_ns() {
            0
        } else {
            tries + 1
        };
        clock.set_ns(now_ns);
        for _ in 0..QUIET_TURNS {
            feed.poll(clock);
            on_turn();
        }
    }
}
