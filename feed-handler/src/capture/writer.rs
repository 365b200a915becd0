//! Writes a feed's frames into its files: each with its time, what is said with it, and a head where there was none.
//!
//! Thread:      capture core
//! Time:        comes in. A file keeps the scale it began with; one that is a millisecond off ends it (a step of the
//!              wall clock: both clocks are slewed alike).
//! When wrong:  a disk error is counted and told, and nothing is written for [`PAUSE_NS`].

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::sync::Arc;

use protocol::frame::{FrameBuilder, multicast_mac};
use rt::clock::SECOND_NS;

use super::counters::CaptureCounters;
use super::files::{Failure, Files, Written};
use super::pcapng::{self, EnhancedPacket};
use super::remark::{Scale, Turn};
use super::tap::PAYLOAD_ALONE;
use super::window::Kept;
use super::{FeedLines, LineName};

/// After a disk error: long enough that a disk that is full is not asked at every frame, short enough that one that was
/// made room on is used soon.
pub const PAUSE_NS: u64 = 10 * SECOND_NS;
/// What waits in memory is written after this time: the most that a killed process loses.
pub(super) const FLUSH_NS: u64 = SECOND_NS;
/// How far the wall clock may have gone from a file's scale: reading the difference is off by less, a step by more.
const SCALE_OFF_NS: u64 = 1_000_000;
const APPLICATION: &str = concat!("tickgate ", env!("CARGO_PKG_VERSION"));
const MADE_UP: &str = "; from a kernel socket, so Ethernet, IPv4 and UDP headers are made up";

/// A moment, on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// The gateway's clock.
    pub monotonic_ns: u64,
    /// Real time minus that.
    pub realtime_offset_ns: i64,
}

/// What went wrong, for the operator.
#[derive(Debug)]
pub struct Trouble {
    /// Where.
    pub path: PathBuf,
    /// What.
    pub error: io::Error,
}

/// A feed's files, and what is on its way to them.
#[derive(Debug)]
pub(super) struct Writer {
    files: Files,
    named: FeedLines,
    counters: Arc<CaptureCounters>,
    scale: Scale,
    flush_ns: u64,
    paused_until_ns: u64,
    trouble: Option<Trouble>,
    /// Memory for one block, and for one frame that is made up.
    block: Vec<u8>,
    frame: Vec<u8>,
}

impl Writer {
    pub(super) fn new(files: Files, named: FeedLines, counters: Arc<CaptureCounters>) -> Self {
        Self {
            files,
            named,
            counters,
            scale: Scale {
                realtime_offset_ns: 0,
            },
            flush_ns: 0,
            paused_until_ns: 0,
            trouble: None,
            block: Vec::new(),
            frame: Vec::new(),
        }
    }

    /// The last disk error, once.
    pub(super) fn take_trouble(&mut self) -> Option<Trouble> {
        self.trouble.take()
    }

    /// `false`: a disk error, or the pause after one.
    pub(super) fn write(&mut self, kept: &Kept, now: Now) -> bool {
        let offset_ns = now.realtime_offset_ns;
        if offset_ns.abs_diff(self.scale.realtime_offset_ns) > SCALE_OFF_NS {
            self.flush(now);
            self.files.close();
        }
        self.encode(kept);
        if !self.files.has_room(self.block.len()) {
            self.flush(now);
            if now.monotonic_ns < self.paused_until_ns || !self.begin(now) {
                return false;
            }
            self.encode(kept);
        }
        if now.monotonic_ns < self.paused_until_ns {
            return false;
        }
        let result = self.files.append(&self.block);
        self.account(result, now);
        true
    }

    /// A new file, on the scale of now. `false`: there is none.
    fn begin(&mut self, now: Now) -> bool {
        self.scale = Scale {
            realtime_offset_ns: now.realtime_offset_ns,
        };
        let mut head = Vec::new();
        pcapng::section(APPLICATION, &self.scale.to_string(), &mut head);
        for (number, line) in (1..).zip(&self.named.lines) {
            let LineName { address, interface } = line;
            let mut text = format!("line {number} of {}, {address}", self.named.of);
            if !self.named.has_frames {
                text.push_str(MADE_UP);
            }
            pcapng::interface(interface, &text, &mut head);
        }
        let began = self.scale.realtime_ns(now.monotonic_ns);
        match self.files.begin(began, &head) {
            Ok(removed) => {
                self.counters.files_begun.increment();
                self.counters.files_removed.add(removed);
                true
            }
            Err(failure) => {
                self.on_failure(failure, now);
                false
            }
        }
    }

    /// Whether what waits in memory has waited long enough.
    pub(super) fn wants_flush(&self, now: Now) -> bool {
        now.monotonic_ns >= self.flush_ns
    }

    /// Hands what waits in memory to the disk.
    pub(super) fn flush(&mut self, now: Now) {
        self.flush_ns = now.monotonic_ns.saturating_add(FLUSH_NS);
        let result = self.files.flush();
        self.account(result, now);
    }

    fn account(&mut self, result: Result<Written, Failure>, now: Now) {
        match result {
            Ok(Written { frames, bytes }) => {
                self.counters.frames.add(frames);
                self.counters.bytes.add(bytes);
            }
            Err(failure) => self.on_failure(failure, now),
        }
    }

    #[cold]
    fn on_failure(&mut self, failure: Failure, now: Now) {
        self.counters.disk_errors.increment();
        self.counters.unwritten.add(failure.frames_lost);
        self.paused_until_ns = now.monotonic_ns.saturating_add(PAUSE_NS);
        self.trouble = Some(Trouble {
            path: failure.path,
            error: failure.error,
        });
    }

    /// The packet's block, into `block`.
    fn encode(&mut self, kept: &Kept) {
        let header = &kept.header;
        let frame = if header.kind == PAYLOAD_ALONE {
            self.make_up(header.line, &kept.bytes);
            &self.frame
        } else {
            &kept.bytes
        };
        let arrived_ns = if header.wire_ns == 0 {
            header.seen_ns
        } else {
            header.wire_ns
        };
        let packet = EnhancedPacket {
            interface: u32::from(header.line),
            arrived_realtime_ns: self.scale.realtime_ns(arrived_ns),
            frame,
            drops: u64::from(header.dropped),
        };
        let turn = Turn::of(header).to_string();
        let comments = std::iter::once(&turn).chain(&kept.announced);
        self.block.clear();
        packet.encode(comments.map(String::as_str), &mut self.block);
    }

    /// A frame around a payload of this line, into `frame`.
    fn make_up(&mut self, line: u8, payload: &[u8]) {
        let line = self.named.lines.get(usize::from(line));
        let nowhere = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
        let destination = line.map_or(nowhere, |line| line.address);
        let group = destination.ip();
        let builder = FrameBuilder {
            source_mac: [0; 6],
            destination_mac: if group.is_multicast() {
                multicast_mac(*group)
            } else {
                [0; 6]
            },
            vlan: None,
            source: SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, destination.port()),
            destination,
            ttl: 1,
        };
        self.frame.clear();
        self.frame.resize(builder.header_len() + payload.len(), 0);
        let built = builder.build(payload, &mut self.frame);
        debug_assert!(built.is_some(), "a UDP payload fits a frame");
    }
}
