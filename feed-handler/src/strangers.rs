//! Packets that do not belong to the running stream: set aside until enough of them agree.
//!
//! One packet may say anything: its bytes may be damaged, or it may have gone astray. So a packet of
//! another session, or with a number far from the running one, moves nothing by itself. It is kept, and
//! when [`AGREE`] packets tell the same story, the arbiter may believe them and gets what was kept.
//!
//! Thread:      feed core, hot (rare)
//! Invariants:  a copy (same line, same number, at once) does not agree with itself. A story that the
//!              running stream has contradicted by moving on begins again.
//! Time:        comes in with each packet; this file reads no clock.
//! When full:   the story that was heard longest ago is forgotten. Of each story only the packets are
//!              kept that come before it can be believed.

use crate::kept::Kept;
use crate::stream::{Arrival, JUMP_MAX};

/// Packets that must agree. Damage does not repeat itself consistently, and a stray packet comes alone
/// or once on each line; so three. More would delay the start of a day and of what follows a large loss.
pub const AGREE: u32 = 3;
/// Packets that must agree while the running session lives but brings nothing new: a line that repeats
/// yesterday's heartbeats shall not hide today, and a session at rest shall not lose to a short test.
pub(crate) const AGREE_AGAINST: u32 = 1_000;
/// Packets that agree follow one another within this time: three MoldUDP64 heartbeats.
const AGREE_WITHIN_NS: u64 = 3_000_000_000;
/// The same number on the same line within this time is a copy that the network made. Heartbeats, which
/// repeat their number, come once a second.
const COPY_WITHIN_NS: u64 = 100_000_000;
/// Stories at one time: an old one, a new one and a damaged line's.
const STORIES_MAX: usize = 4;
/// Packets of one story that are kept: those before the one that makes it believed.
const KEPT_EACH: usize = AGREE as usize - 1;

const _: () = assert!(COPY_WITHIN_NS < AGREE_WITHIN_NS);

/// What a strange packet says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim<N> {
    pub(crate) session: N,
    pub(crate) seq: u64,
    /// Where the running stream stands.
    pub(crate) running_seq: u64,
}

/// A story that enough packets tell.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Agreement {
    pub(crate) story: usize,
    /// Packets that agree.
    pub(crate) agreed: u32,
}

#[derive(Debug)]
struct Story<N> {
    /// `None`: nothing was ever told here.
    claim: Option<Claim<N>>,
    /// A bit for each line that said this number.
    lines: u64,
    heard_ns: u64,
    /// Packets that agreed; 0: a free place.
    agreed: u32,
    kept: Kept,
}

/// All stories, of sessions that are called `N`.
#[derive(Debug)]
pub(crate) struct Strangers<N> {
    stories: Box<[Story<N>]>,
}

impl<N: Copy + Eq> Strangers<N> {
    pub(crate) fn new() -> Self {
        let story = |_| Story {
            claim: None,
            lines: 0,
            heard_ns: 0,
            agreed: 0,
            kept: Kept::new(KEPT_EACH),
        };
        Self {
            stories: (0..STORIES_MAX).map(story).collect(),
        }
    }

    /// Takes a packet and says what it makes believable. Then the packet itself is not kept.
    pub(crate) fn hear(&mut self, claim: &Claim<N>, arrival: &Arrival<'_>) -> Option<Agreement> {
        let known = self.stories.iter().position(|story| story.is_of(claim));
        let index = known.or_else(|| {
            let oldest = |story: &&Story<N>| (story.agreed > 0, story.heard_ns);
            let story = self.stories.iter().min_by_key(oldest)?;
            self.stories.iter().position(|s| std::ptr::eq(s, story))
        })?;
        let story = self.stories.get_mut(index)?;
        let now_ns = arrival.now_ns;
        let since_ns = now_ns.saturating_sub(story.heard_ns);
        let before = story.claim.filter(|before| {
            known.is_some()
                && since_ns <= AGREE_WITHIN_NS
                && before.running_seq == claim.running_seq
        });
        let goes_on = before.is_some();
        if !goes_on {
            story.agreed = 0;
            story.kept.clear();
        }
        let line = 1 << arrival.line.min(63);
        let is_repeated =
            before.is_some_and(|before| before.seq == claim.seq) && since_ns < COPY_WITHIN_NS;
        if is_repeated && story.lines & line != 0 {
            return None;
        }
        story.lines = if is_repeated {
            story.lines | line
        } else {
            line
        };
        (story.claim, story.heard_ns) = (Some(*claim), now_ns);
        story.agreed = story.agreed.saturating_add(1);
        if story.agreed < AGREE {
            // One that is too long for its place is missing later, which is told as a gap.
            let _ = story.kept.push(claim.seq, claim.seq, arrival.payload);
            return None;
        }
        let agreed = story.agreed;
        Some(Agreement {
            story: index,
            agreed,
        })
    }

    /// The kept packets of a story, by number.
    pub(crate) fn packets(&self, index: usize) -> impl Iterator<Item = &[u8]> {
        let kept = self.stories.get(index).map(|story| &story.kept);
        kept.into_iter()
            .flat_map(|kept| kept.slots().iter().map(|slot| kept.bytes(*slot)))
    }

    /// Forgets every story: one has been believed.
    pub(crate) fn clear(&mut self) {
        for story in &mut self.stories {
            story.agreed = 0;
            story.kept.clear();
        }
    }
}

impl<N: Eq> Story<N> {
    fn is_of(&self, claim: &Claim<N>) -> bool {
        self.agreed > 0
            && self.claim.as_ref().is_some_and(|told| {
                told.session == claim.session && told.seq.abs_diff(claim.seq) <= JUMP_MAX
            })
    }
}
