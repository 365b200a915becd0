//! Keeps received frames in pcapng files: all of them, or those around a gap.
//!
//! ```text
//!  source ──> tap::Tapped ──packets──> arbiter                                 feed core
//!                 │ header and frame in cells of 64 bytes; full: counted
//!               ring
//!                 └──> records ──> stage ──> writer (remark, pcapng) ──> files   capture core
//!                                   │ all, or the last before and the next after a gap, or after a packet that
//!                                   │ somebody asks for
//!                                   └ a disk error: counted, told, a pause
//! ```
//!
//! A feed without a capture has no tap: its source's type says so, and its hot path has no instruction of it.
//!
//! Invariants:  nothing here slows the feed. What finds no room in the ring or on the disk is counted. Memory is
//!              bounded: the ring, and a number of frames that may be wanted. Files are bounded in size and number.
//! Not in it:   frames that are no datagram of a line (the receiver counts them), and what recovery servers answer.

pub mod counters;
mod files;
mod pcapng;
pub mod read;
mod records;
pub mod remark;
pub mod stage;
pub mod tap;
pub mod turns;
mod window;
mod writer;

use std::path::PathBuf;

pub use files::utc;
pub use window::Seen;

/// Which frames are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frames {
    /// All of them.
    All,
    /// What surrounds a gap.
    Gaps {
        /// The last frames before the first frame that comes after the gap was announced.
        before: usize,
        /// That frame, and more of them after it; at least one.
        after: usize,
        /// What surrounds a packet is kept, too, if it is asked for ([`stage::CaptureStage::keep_around`]) while the
        /// packet is among the last `before + after`.
        is_asked: bool,
    },
}

/// What is kept of a feed, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaptureOptions {
    /// Which frames.
    pub frames: Frames,
    /// A folder that exists.
    pub folder: PathBuf,
    /// A file is full before it has more bytes than this.
    pub file_bytes: u64,
    /// Files of this feed in the folder at most, those of earlier runs included; at least one.
    pub files_max: usize,
    /// Bytes of the ring between the feed core and the capture core, a power of two.
    pub ring_bytes: usize,
}

/// One line of the feed, as a file describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineName {
    /// Where its packets are sent.
    pub address: std::net::SocketAddrV4,
    /// Which interface brings them; empty: whichever.
    pub interface: String,
}

/// Whose frames they are.
#[derive(Clone, Debug)]
pub struct FeedLines {
    /// How files are called: the feed's name, fit for one.
    pub stem: String,
    /// What the lines are of, as the files say it: "line 1 of" that.
    pub of: String,
    /// Its lines, in the order of the configuration.
    pub lines: Vec<LineName>,
    /// Frames come whole; else kernel sockets gave payloads alone, and the headers are made up.
    pub has_frames: bool,
}
