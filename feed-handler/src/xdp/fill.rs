//! The way of frames back to the kernel: a queue's fill ring, one feed's own or shared by several.
//!
//! ```text
//!  one feed:       socket ──> fill ring                  nothing in between
//!  several feeds:  socket ──> is it free? ──> fill ring  one at a time, and nobody waits
//!                  socket ──────┘
//! ```
//!
//! The kernel has one fill ring for a queue's packet memory, whatever the number of sockets there, and it takes
//! one producer at a time. Who finds it in use keeps its frames and comes back in its next turn, so a
//! feed core never waits for another, even if that one is preempted in the middle.
//!
//! Thread:      feed cores, hot

use std::cell::UnsafeCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use xsk_rs::{FillQueue, FrameDesc, Umem};

/// A socket's end of a fill ring.
pub(super) enum Fill {
    /// The ring of a queue with one socket.
    Own(FillQueue),
    /// The ring of a queue with a socket for each of several feeds.
    Shared(Arc<SharedFill>),
}

impl Fill {
    /// Gives frames of this queue's memory to the kernel, all or none. `false`: they are the caller's still.
    ///
    /// # Safety
    /// The frames are of the UMEM that the ring belongs to, and nobody looks at them any more.
    #[inline]
    pub(super) unsafe fn give(&mut self, frames: &[FrameDesc]) -> bool {
        // SAFETY: what the caller promises is all that `produce` asks for.
        let give = |ring: &mut FillQueue| unsafe { ring.produce(frames) } == frames.len();
        match self {
            Self::Own(ring) => give(ring),
            Self::Shared(ring) => ring.with(give).unwrap_or(false),
        }
    }

    /// Whether the kernel asks to be woken. A ring in use says so in the next turn.
    #[inline]
    pub(super) fn needs_wakeup(&self) -> bool {
        match self {
            Self::Own(ring) => ring.needs_wakeup(),
            Self::Shared(ring) => ring.with(|ring| ring.needs_wakeup()).unwrap_or(false),
        }
    }

    /// Whether it is this socket's alone, so that frames always find room.
    pub(super) fn is_own(&self) -> bool {
        matches!(self, Self::Own(_))
    }
}

/// A fill ring that one of several threads uses at a time.
pub(super) type SharedFill = OneAtATime<FillQueue>;

/// What one of several threads uses at a time, while the others go on without it.
pub(super) struct OneAtATime<T> {
    is_in_use: AtomicBool,
    inside: UnsafeCell<T>,
}

// SAFETY: `with` alone reaches what is inside, and lets one caller in at a time.
unsafe impl<T: Send> Sync for OneAtATime<T> {}

impl<T> OneAtATime<T> {
    pub(super) fn new(inside: T) -> Self {
        Self {
            is_in_use: AtomicBool::new(false),
            inside: UnsafeCell::new(inside),
        }
    }

    /// `None`: another is at it. If `on` does not come back, nobody gets in any more.
    #[inline]
    fn with<R>(&self, on: impl FnOnce(&mut T) -> R) -> Option<R> {
        // Acquire: sees what the one before wrote until its Release below.
        if self.is_in_use.swap(true, Ordering::Acquire) {
            return None;
        }
        // SAFETY: the flag was down and is up now, so nobody else is here until it is lowered below.
        let result = on(unsafe { &mut *self.inside.get() });
        // Release: pairs with the Acquire of whoever is next.
        self.is_in_use.store(false, Ordering::Release);
        Some(result)
    }
}

/// Packet memory of a queue on which several feeds receive, each with a socket of its own.
#[derive(Clone)]
pub(super) struct SharedMemory {
    pub(super) umem: Umem,
    pub(super) fill: Arc<SharedFill>,
    pub(super) has_huge_pages: bool,
    /// What a place of a list of frames holds before the kernel has given one.
    pub(super) blank: FrameDesc,
}

impl std::fmt::Debug for SharedMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedMemory").finish_non_exhaustive()
    }
}

/// Where a socket's packet memory comes from.
#[derive(Clone, Copy)]
pub(super) enum Memory<'a> {
    /// Its own.
    Own,
    /// Its own, with this many frames, for others to share.
    ToShare {
        /// Frames of all who will share it.
        frames: u32,
    },
    /// What another feed's socket on the queue has brought.
    Of(&'a SharedMemory),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_at_it_nobody_else_gets_in_and_then_the_next_one_does() {
        let held = OneAtATime::new(0);
        let in_the_middle = held.with(|_| held.with(|count| *count += 1));
        assert_eq!(in_the_middle, Some(None));
        assert_eq!(held.with(|count| *count += 1), Some(()));
        assert_eq!(held.with(|count| *count), Some(1));
    }

    /// Two words that whoever is inside changes one after the other, without any order of their own.
    #[test]
    fn threads_are_inside_one_at_a_time_and_each_finds_what_the_one_before_has_done() {
        const VISITS: u64 = 50_000;
        let words = OneAtATime::new([0u64; 2]);
        let visit = || {
            let enter = |words: &mut [u64; 2]| {
                assert_eq!(words[0], words[1], "somebody else is inside");
                words[0] += 1;
                std::hint::spin_loop();
                words[1] += 1;
            };
            let entered = (0..VISITS).filter_map(|_| words.with(enter));
            entered.count() as u64
        };
        let entered: u64 = std::thread::scope(|scope| {
            let threads = [(); 3].map(|()| scope.spawn(visit));
            threads.into_iter().map(|it| it.join().unwrap()).sum()
        });
        assert_eq!(words.with(|words| *words), Some([entered; 2]));
    }
}
