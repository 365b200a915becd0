//! The record as a file: its messages one after another, and when each is due.
//!
//! Time:        never goes back: a message whose own time does comes with the one before it.
//! When wrong:  what cannot be read, or ends inside a message, ends the record, and [`DayFile::failure`] says why.

use std::fmt;
use std::io::{self, Read};

use protocol::binary_file;
use protocol::itch::Message;

/// When messages of the record come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// So many a second.
    Rate(u32),
    /// At their own times, this many times as fast.
    Speed(f64),
}

/// A file that is being read.
pub(super) struct DayFile {
    from: Box<dyn Read>,
    pace: Pace,
    /// The message that comes next.
    next: Vec<u8>,
    next_ns: u64,
    /// The first message's own time, and the exchange's when it came.
    epoch: Option<(u64, u64)>,
    /// The latest time that a message has had, and how many had an earlier one after it.
    latest_stamp: u64,
    stamps_back: u64,
    is_over: bool,
    /// Why the next message could not be read.
    failure: Option<io::Error>,
}

impl fmt::Debug for DayFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DayFile")
            .field("pace", &self.pace)
            .finish_non_exhaustive()
    }
}

impl DayFile {
    /// Reads BinaryFILE (each message behind its length, two bytes) from `now_ns` on.
    pub(super) fn new(from: Box<dyn Read>, pace: Pace, now_ns: u64) -> Self {
        let mut file = Self {
            from,
            pace,
            next: Vec::new(),
            next_ns: now_ns,
            epoch: None,
            latest_stamp: 0,
            stamps_back: 0,
            is_over: false,
            failure: None,
        };
        file.fetch();
        file
    }

    /// When the next message is due; `None`: there is none.
    pub(super) fn next_ns(&self) -> Option<u64> {
        (!self.is_over).then_some(self.next_ns)
    }

    /// The message that is due.
    pub(super) fn take(&mut self) -> Vec<u8> {
        let message = std::mem::take(&mut self.next);
        self.fetch();
        message
    }

    /// Why there is none where one should be.
    pub(super) fn failure(&self) -> Option<&io::Error> {
        self.failure.as_ref()
    }

    /// Messages whose time was before that of one before them.
    pub(super) fn stamps_back(&self) -> u64 {
        self.stamps_back
    }

    fn fetch(&mut self) {
        match self.read() {
            Ok(true) => self.plan(),
            Ok(false) => self.is_over = true,
            Err(error) => {
                self.is_over = true;
                self.failure = Some(error);
            }
        }
    }

    /// Reads the next message whole. `false`: there is none, as the file ends between two, or a length of zero says so.
    fn read(&mut self) -> io::Result<bool> {
        let mut len = [0; binary_file::LENGTH_LEN];
        if !read_all_or_none(&mut self.from, &mut len)? {
            return Ok(false);
        }
        let Some(len) = binary_file::length(len) else {
            return Ok(false);
        };
        self.next.resize(len, 0);
        self.from.read_exact(&mut self.next)?;
        Ok(true)
    }

    /// Says when the message that has been read is due.
    fn plan(&mut self) {
        let stamp = Message::decode(&self.next).map(|message| message.head().timestamp.get().0);
        match (self.pace, stamp) {
            (Pace::Rate(rate), _) => {
                if self.epoch.replace((0, 0)).is_some() {
                    self.next_ns += 1_000_000_000 / u64::from(rate.max(1));
                }
            }
            (Pace::Speed(factor), Ok(stamp)) => {
                self.stamps_back += u64::from(stamp < self.latest_stamp);
                self.latest_stamp = self.latest_stamp.max(stamp);
                let (first, began) = *self.epoch.get_or_insert((stamp, self.next_ns));
                let passed = stamp.saturating_sub(first) as f64 / factor;
                // Days are far below 2^63 ns, and the record's time may go back: ours does not.
                let due = began + super::whole(passed);
                self.next_ns = self.next_ns.max(due);
            }
            (Pace::Speed(_), Err(_)) => {}
        }
    }
}

/// Fills all of `out`; `false`: the end came before the first byte.
fn read_all_or_none(
    from: &mut impl Read,
    out: &mut [u8; binary_file::LENGTH_LEN],
) -> io::Result<bool> {
    let [first, rest @ ..] = out;
    loop {
        match from.read(std::slice::from_mut(first)) {
            Ok(0) => return Ok(false),
            Ok(_) => return from.read_exact(rest).map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
