//! The rings between the feed core and the recovery core, and the baton by which the spare books go over.
//!
//! Thread:      [`FeedEnd`] feed core, hot; [`StageEnd`] recovery core
//! Invariants:  the one spare is with the recovery core, with the feed core, or in one of the two batons.
//! When full:   `push` says so, and the caller counts it.

use std::fmt;
use std::sync::Arc;

use crossbeam_utils::atomic::AtomicCell;
use rt::ring::{Consumer, NotPowerOfTwo, Producer, ring};

use super::live::Live;
use super::request::{Range, SessionKey};
use super::spare::Spare;
use crate::book::Books;
use crate::kept::PACKET_LEN_MAX;

/// Asks that may wait: a hole each.
const ASKS: usize = 512;
/// Answers that may wait, a packet each: 384 KiB.
const ANSWERS: usize = 256;

/// What the feed core tells the recovery core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// These numbers of this session are missing on every line.
    Missing(SessionKey, Range),
    /// Nothing before this number is missing any more: it came, or was given up.
    Reached(u64),
    /// A snapshot is wanted; live messages are copied under this epoch from now on.
    Snapshot(u32),
    /// No snapshot is wanted any more.
    Abort,
}

/// What the recovery core tells the feed core.
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a slot of a ring, which holds either"
)]
pub enum Answer {
    /// A packet with missing messages.
    Packet(AnswerPacket),
    /// No server has these.
    GivenUp(Range),
    /// No snapshot will come in this epoch.
    NoSnapshot(u32),
}

/// A packet of a re-request server.
#[derive(Clone, Copy, Debug)]
pub struct AnswerPacket {
    len: u16,
    bytes: [u8; PACKET_LEN_MAX],
}

impl AnswerPacket {
    /// A copy; `None`: it is too long.
    #[must_use]
    pub fn new(payload: &[u8]) -> Option<Self> {
        let mut bytes = [0; PACKET_LEN_MAX];
        bytes.get_mut(..payload.len())?.copy_from_slice(payload);
        let len = u16::try_from(payload.len()).ok()?;
        Some(Self { len, bytes })
    }

    /// The UDP payload.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

/// A place for the spare between two cores: who finds it there has it.
#[derive(Default)]
pub struct Baton(AtomicCell<Option<Box<Spare>>>);

impl Baton {
    /// Lays it down. There is one spare, so the place is free.
    #[inline]
    pub fn give(&self, spare: Box<Spare>) {
        self.0.store(Some(spare));
    }

    /// Takes it up, if it is there.
    #[inline]
    #[must_use]
    pub fn take(&self) -> Option<Box<Spare>> {
        self.0.take()
    }
}

impl fmt::Debug for Baton {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Baton").finish_non_exhaustive()
    }
}

/// The feed core's end.
#[derive(Debug)]
pub struct FeedEnd {
    pub(crate) asks: Producer<Ask>,
    pub(crate) answers: Consumer<Answer>,
    /// `None`: snapshots are not configured.
    pub(crate) live: Option<Producer<Live>>,
    pub(crate) to_feed: Arc<Baton>,
    pub(crate) to_stage: Arc<Baton>,
}

/// The recovery core's end.
#[derive(Debug)]
pub struct StageEnd {
    pub(crate) asks: Consumer<Ask>,
    pub(crate) answers: Producer<Answer>,
    pub(crate) to_feed: Arc<Baton>,
    pub(crate) to_stage: Arc<Baton>,
    /// `None`: with the feed core, or not configured.
    pub(crate) spare: Option<Box<Spare>>,
}

/// Joins a feed core and a recovery core, without snapshots.
///
/// # Errors
/// Never: the sizes are powers of two.
pub fn link() -> Result<(FeedEnd, StageEnd), NotPowerOfTwo> {
    let (to_stage, asks) = ring(ASKS)?;
    let (to_feed, answers) = ring(ANSWERS)?;
    let (spare_to_feed, spare_to_stage) = (Arc::new(Baton::default()), Arc::new(Baton::default()));
    let feed_end = FeedEnd {
        asks: to_stage,
        answers,
        live: None,
        to_feed: Arc::clone(&spare_to_feed),
        to_stage: Arc::clone(&spare_to_stage),
    };
    let stage_end = StageEnd {
        asks,
        answers: to_feed,
        to_feed: spare_to_feed,
        to_stage: spare_to_stage,
        spare: None,
    };
    Ok((feed_end, stage_end))
}

/// The same, with spare books for snapshots, and room for `live` messages (a power of two), 64 bytes
/// each.
///
/// # Errors
/// The room is no power of two.
pub fn link_with_spare(
    books: Books,
    live_max: usize,
) -> Result<(FeedEnd, StageEnd), NotPowerOfTwo> {
    let (mut feed_end, mut stage_end) = link()?;
    let (producer, consumer) = ring(live_max)?;
    feed_end.live = Some(producer);
    stage_end.spare = Some(Box::new(Spare::new(books, consumer)));
    Ok((feed_end, stage_end))
}
