//! Reads a journal: record after record, each with its checksum and its number, or where and why it is none.
//!
//! **Call `next_record` until it gives nothing; the file may have grown when it is called again.**
//!
//! Invariants:  what is given out is whole, and in each session no number is missing that was not counted as lost. What
//!              is wrong is told at or before the first record that it concerns; nothing behind it is given out.
//! When wrong:  a [`Damage`]. Bytes behind which no whole record follows are a torn tail: what a power loss, or a
//!              writer in the middle of a record, leaves.

use std::collections::BTreeMap;
use std::io::{self, Read};

use super::format::{self, ALIGN_BYTES, Flaw, GATEWAY, HEADER_BYTES, Record};
use super::head::{self, Head, HeadFlaw};

/// Bytes read at once.
const CHUNK_BYTES: usize = 256 << 10;
/// How far a whole record is looked for behind a flaw: more than any batch has.
const SEARCH_BYTES_MAX: usize = 16 << 20;

/// A journal that is being read.
#[derive(Debug)]
pub struct Reader<R> {
    source: R,
    head: Head,
    /// Bytes of the file from `offset` on.
    bytes: Vec<u8>,
    /// Of them, those that have been given out.
    used: usize,
    /// Where `bytes` begin in the file.
    offset: u64,
    /// The next number of each session.
    next: BTreeMap<u8, u64>,
}

/// What is wrong with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Where the first record that cannot be had begins.
    pub offset: u64,
    /// What was seen there.
    pub flaw: Flaw,
    /// No whole record follows: the tail of a write that was cut off. Where more follows than any write has, it is
    /// taken for something else.
    pub is_torn: bool,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { offset, flaw, .. } = self;
        if self.is_torn {
            return write!(
                f,
                "torn tail at byte {offset}: {flaw}; no whole record follows"
            );
        }
        write!(f, "damaged at byte {offset}: {flaw}; it is no torn tail")
    }
}

/// Why there is no next record.
#[derive(Debug)]
pub enum ReadError {
    /// The file cannot be read.
    Io(io::Error),
    /// It has no head.
    Head(HeadFlaw),
    /// It is damaged.
    Damaged(Damage),
}

impl std::fmt::Display for ReadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Head(flaw) => flaw.fmt(f),
            Self::Damaged(damage) => damage.fmt(f),
        }
    }
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl ReadError {
    /// Whether it is the end of a write that was cut off, in the middle of a record or of the head; all before is whole.
    #[must_use]
    pub fn is_torn(&self) -> bool {
        matches!(
            self,
            Self::Damaged(Damage { is_torn: true, .. }) | Self::Head(HeadFlaw::Short { .. })
        )
    }
}

impl<R: Read> Reader<R> {
    /// Reads the head.
    ///
    /// # Errors
    /// It is damaged, or there is none.
    pub fn new(mut source: R) -> Result<Self, ReadError> {
        let mut bytes = Vec::new();
        let head = loop {
            match head::decode(&bytes) {
                Ok(head) => break head,
                Err(HeadFlaw::Short { .. }) if more(&mut source, &mut bytes)? > 0 => {}
                Err(flaw) => return Err(ReadError::Head(flaw)),
            }
        };
        let numbered = (0..GATEWAY).zip(&head.names.sessions);
        let next = numbered.map(|(session, names)| (session, names.next));
        let next = next.chain([(GATEWAY, head.names.next)]).collect();
        Ok(Self {
            source,
            used: head.bytes,
            head,
            bytes,
            offset: 0,
            next,
        })
    }

    /// The head.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Where the next record begins, in bytes from the file's beginning.
    pub fn offset(&self) -> u64 {
        self.offset + self.used as u64
    }

    /// The next record; `None`: the file ends here, for now.
    ///
    /// # Errors
    /// What is wrong. The same again, unless the file has grown.
    pub fn next_record(&mut self) -> Result<Option<Record<'_>>, ReadError> {
        let salt = self.head.salt;
        let (header, kind, payload_bytes, len) = loop {
            let waiting = self.bytes.get(self.used..).unwrap_or_default();
            let flaw = match format::decode(salt, waiting) {
                Ok((record, len)) => {
                    break (record.header, record.kind, record.payload.len(), len);
                }
                Err(flaw) => flaw,
            };
            let Flaw::Short { found, .. } = flaw else {
                return Err(self.damage(flaw)?);
            };
            self.drop_used();
            if more(&mut self.source, &mut self.bytes)? == 0 {
                if found == 0 {
                    return Ok(None);
                }
                return Err(self.damage(flaw)?);
            }
        };
        let next = self.next.get(&header.session).copied().unwrap_or(1);
        let expected = next.wrapping_add(u64::from(header.lost.get()));
        let found = header.sequence.get();
        if found != expected {
            return Err(self.damage(Flaw::Sequence { found, expected })?);
        }
        self.next.insert(header.session, found.wrapping_add(1));
        // A checksum is computed once: the record's place says the rest.
        let begin = self.used + HEADER_BYTES;
        self.used += len;
        let payload = self.bytes.get(begin..begin + payload_bytes);
        Ok(payload.map(|payload| Record {
            header,
            kind,
            payload,
        }))
    }

    fn drop_used(&mut self) {
        self.bytes.drain(..self.used);
        self.offset += self.used as u64;
        self.used = 0;
    }

    /// Whether a whole record lies behind what is wrong: without one it is a torn tail.
    #[cold]
    fn damage(&mut self, flaw: Flaw) -> io::Result<ReadError> {
        self.drop_used();
        let is_whole = matches!(flaw, Flaw::Kind(_) | Flaw::Sequence { .. });
        let is_torn = !is_whole && !self.has_a_record_behind()?;
        Ok(ReadError::Damaged(Damage {
            offset: self.offset,
            flaw,
            is_torn,
        }))
    }

    /// What is read is kept, for whoever reads on when the file has grown.
    fn has_a_record_behind(&mut self) -> io::Result<bool> {
        let mut at = ALIGN_BYTES;
        let mut is_all = false;
        loop {
            let behind = self.bytes.get(at..).unwrap_or_default();
            match format::decode(self.head.salt, behind) {
                Ok(_) => return Ok(true),
                Err(Flaw::Short { .. }) if !is_all => {
                    is_all = more(&mut self.source, &mut self.bytes)? == 0;
                }
                Err(_) if behind.len() < HEADER_BYTES => return Ok(false),
                Err(_) if at >= SEARCH_BYTES_MAX => return Ok(true),
                Err(_) => at += ALIGN_BYTES,
            }
        }
    }
}

/// Reads more; how much.
fn more(source: &mut impl Read, bytes: &mut Vec<u8>) -> io::Result<usize> {
    let before = bytes.len();
    bytes.resize(before + CHUNK_BYTES, 0);
    let read = loop {
        match source.read(bytes.get_mut(before..).unwrap_or_default()) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => break done,
        }
    };
    bytes.truncate(before + read.as_ref().map_or(0, |read| *read));
    read
}
