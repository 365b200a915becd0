//! Books that are built beside the live ones: a snapshot, and every live message from its number on.
//!
//! Path:        recovery::snapshots -> spare -> rejoin (feed core)
//! Thread:      whoever holds it: the recovery core while it is built, the feed core from then on (hot)
//! Invariants:  `next_seq` is the number of the first message that is not in the books, and moves by one.
//!              Messages before it are passed over: the snapshot has them.
//! When wrong:  a live message beyond `next_seq` is a hole in what was copied: [`Broken`], and the books
//!              are of no use.
//! Venue:       Nasdaq: GLIMPSE is its own.
//! Spec:        GLIMPSE 5.0: the number at the end is that of the first message to apply.

use protocol::types::{DecodeError, Symbol};
use rt::ring::Consumer;

use super::live::Live;
use crate::book::{BookCounters, Books};
use crate::message::Effect;
use crate::statuses::State;
use crate::venue::{Nasdaq, Venue};

/// Messages that should have been copied are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

/// Spare books, with the live messages that they still lack.
#[derive(Debug)]
pub struct Spare {
    pub(crate) books: Books,
    /// What the snapshot's directory and later ones say, by locate code; 0: nothing.
    directory: Box<[u64]>,
    /// How symbols are traded, by locate code.
    statuses: Box<[State]>,
    live: Consumer<Live>,
    epoch: u32,
    next_seq: u64,
    /// When the snapshot came to its end.
    loaded_ns: u64,
    counters: BookCounters,
}

impl Spare {
    pub(crate) fn new(books: Books, live: Consumer<Live>) -> Self {
        Self {
            books,
            directory: vec![0; 1 << 16].into_boxed_slice(),
            statuses: vec![State::default(); 1 << 16].into_boxed_slice(),
            live,
            epoch: 0,
            next_seq: u64::MAX,
            loaded_ns: 0,
            counters: BookCounters::default(),
        }
    }

    /// Which snapshot it is for.
    pub(crate) fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The number of the first message that is not in the books.
    pub(crate) fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Begins with empty books. What was copied until now is older than any snapshot that is asked for
    /// now. It takes time in proportion to what is live: not for a hot core.
    pub(crate) fn begin(&mut self, epoch: u32) {
        self.discard();
        self.books.clear();
        self.directory.fill(0);
        self.statuses.fill(State::default());
        (self.epoch, self.next_seq) = (epoch, u64::MAX);
    }

    /// Throws away what was copied.
    pub(crate) fn discard(&mut self) {
        // One look at how much there is, so it ends.
        for _ in 0..self.live.len() {
            let _ = self.live.pop();
        }
    }

    /// A message of the snapshot. `false`: it cannot be read.
    pub(crate) fn load(&mut self, message: &[u8]) -> bool {
        self.apply(message).is_ok()
    }

    /// The snapshot is loaded; this is the first message to apply.
    pub(crate) fn on_loaded(&mut self, next_seq: u64, now_ns: u64) {
        (self.next_seq, self.loaded_ns) = (next_seq, now_ns);
    }

    /// When the snapshot came to its end.
    pub(crate) fn loaded_ns(&self) -> u64 {
        self.loaded_ns
    }

    /// Applies live messages, `messages_max` at most; how many it took from the ring.
    ///
    /// # Errors
    /// [`Broken`].
    pub(crate) fn catch_up(&mut self, messages_max: usize) -> Result<usize, Broken> {
        for taken in 0..messages_max {
            let Some(live) = self.live.pop() else {
                return Ok(taken);
            };
            if live.epoch != self.epoch || live.seq < self.next_seq {
                continue;
            }
            if live.seq > self.next_seq {
                return Err(Broken);
            }
            self.next_seq += 1;
            match self.apply(live.message()) {
                // It says nothing of books: the live ones passed over it, too.
                Ok(()) | Err(DecodeError::Empty | DecodeError::UnknownType(_)) => {}
                // It may have changed any book: a gap there, and none that these books may close.
                Err(_) => return Err(Broken),
            }
        }
        Ok(messages_max)
    }

    fn apply(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
        let message = Nasdaq.message(bytes)?;
        if let Some(name) = message.names
            && let Some(symbol) = self.directory.get_mut(usize::from(message.locate))
        {
            *symbol = u64::from_ne_bytes(name.0);
        }
        if message.effect == Effect::Status
            && let Some(said) = Nasdaq::said(bytes)
            && let Some(state) = self.statuses.get_mut(usize::from(message.locate))
        {
            state.hear(0, &said);
        }
        self.books.apply(&message, &self.counters, &mut ());
        Ok(())
    }

    /// How a symbol that the directory names is traded.
    pub(crate) fn status(&self, locate: u16) -> Option<&State> {
        self.symbol(locate)?;
        self.statuses.get(usize::from(locate))
    }

    /// What a locate code stands for, if the directory has said.
    pub(crate) fn symbol(&self, locate: u16) -> Option<Symbol> {
        let symbol = *self.directory.get(usize::from(locate))?;
        (symbol != 0).then(|| Symbol(symbol.to_ne_bytes()))
    }
}
