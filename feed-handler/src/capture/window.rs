//! Captured packets that are kept, or may be: those before a gap that may come, or around a packet that may be asked for.
//!
//! ```text
//!  push ──> | may be wanted | wanted | may be wanted | ──> pop: written if it is wanted, else passed over
//!           the last `before` packets, and `after` more where packets may be asked for
//! ```
//!
//! Thread:      capture core
//! Invariants:  packets leave in the order in which they came. Who changes what is wanted is told how many leave now.

use std::collections::VecDeque;

use super::Frames;
use super::tap::Header;

/// A packet, and what was announced before it.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) header: Header,
    pub(super) announced: Vec<String>,
    /// A gap was among it.
    pub(super) is_after_gap: bool,
    /// It is to be written.
    pub(super) is_wanted: bool,
    pub(super) bytes: Vec<u8>,
}

/// Which packet: by the moment at which the feed core saw it, and its place in that turn, both as an event's origin has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// When, on the gateway's clock, ns.
    pub seen_ns: u64,
    /// Packets of that turn before it.
    pub place: u8,
}

/// The packets that wait.
#[derive(Debug)]
pub(super) struct Window {
    waiting: VecDeque<Kept>,
    frames: Frames,
    /// Packets to come that are wanted.
    to_come: usize,
}

impl Window {
    /// # Panics
    /// A gap without a frame.
    pub(super) fn new(frames: Frames) -> Self {
        if let Frames::Gaps { after, .. } = frames {
            assert!(after > 0, "a gap without the frame that shows it");
        }
        Self {
            waiting: VecDeque::new(),
            frames,
            to_come: 0,
        }
    }

    /// Packets that may wait for what is not known yet.
    fn waiting_max(&self) -> usize {
        match self.frames {
            Frames::All => 0,
            Frames::Gaps {
                before,
                after,
                is_asked,
            } => before + if is_asked { after } else { 0 },
        }
    }

    fn is_asked(&self) -> bool {
        matches!(self.frames, Frames::Gaps { is_asked: true, .. })
    }

    /// Takes the next packet.
    #[must_use]
    pub(super) fn push(&mut self, mut kept: Kept) -> usize {
        if let Frames::Gaps { after, .. } = self.frames
            && kept.is_after_gap
        {
            self.to_come = after;
        }
        kept.is_wanted = self.frames == Frames::All || self.to_come > 0;
        self.to_come = self.to_come.saturating_sub(1);
        let leaves_at_once = kept.is_wanted && !self.is_asked();
        self.waiting.push_back(kept);
        if leaves_at_once {
            self.waiting.len()
        } else {
            self.waiting.len().saturating_sub(self.waiting_max())
        }
    }

    /// A gap: the last packets before it are wanted.
    #[must_use]
    pub(super) fn want_before(&mut self) -> usize {
        let Frames::Gaps { before, .. } = self.frames else {
            return 0;
        };
        let len = self.waiting.len();
        self.want(len.saturating_sub(before), len);
        if self.is_asked() { 0 } else { len }
    }

    /// A packet, and what surrounds it, is wanted, for a reason that is said with it. `false`: it is not here.
    pub(super) fn want_around(&mut self, seen: Seen, why: String) -> bool {
        let is_it = |kept: &Kept| {
            let Header { seen_ns, place, .. } = kept.header;
            Seen { seen_ns, place } == seen
        };
        let at = self.waiting.iter().position(is_it);
        let (Frames::Gaps { before, after, .. }, Some(at)) = (self.frames, at) else {
            return false;
        };
        if let Some(kept) = self.waiting.get_mut(at) {
            kept.announced.push(why);
        }
        self.want(at.saturating_sub(before), at + after);
        let to_come = (at + after).saturating_sub(self.waiting.len());
        self.to_come = self.to_come.max(to_come);
        true
    }

    /// Packets that leave so that every wanted one that was seen by then has left.
    pub(super) fn due(&self, seen_until_ns: u64) -> usize {
        let is_due = |kept: &Kept| kept.is_wanted && kept.header.seen_ns <= seen_until_ns;
        let last = self.waiting.iter().rposition(is_due);
        last.map_or(0, |last| last + 1)
    }

    /// The packet that came first.
    pub(super) fn pop(&mut self) -> Option<Kept> {
        self.waiting.pop_front()
    }

    /// Packets that wait.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Those from one place to before another.
    fn want(&mut self, from: usize, to: usize) {
        let wanted = self.waiting.iter_mut().take(to).skip(from);
        wanted.for_each(|kept| kept.is_wanted = true);
    }
}
