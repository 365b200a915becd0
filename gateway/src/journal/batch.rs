//! Records on their way to the disk: taken out of rings, with checksums, in one piece.
//!
//! Thread:      journal core

use super::event::Event;
use super::format::{self, GATEWAY, Header, Kind, Record};
use super::head::Names;
use super::records::Records;
use zerocopy::byteorder::little_endian::U64;

/// Bytes of a batch, beyond which no further record is taken: a disk's write that is large enough, and a megabyte that
/// waits while the one before is written.
pub const BATCH_BYTES: usize = 1 << 20;

/// What makes bytes of records.
#[derive(Debug)]
pub struct Encoder {
    salt: u32,
    /// The next numbers, as a head tells them.
    names: Names,
    /// Those that the batch began with: the sessions', then the gateway's.
    begun: Vec<u64>,
    /// Memory for one payload.
    payload: Vec<u8>,
}

impl Encoder {
    /// For the sessions of these names; checksums begin from `salt`.
    #[must_use]
    pub fn new(salt: u32, names: Names) -> Self {
        Self {
            salt,
            names,
            begun: Vec::new(),
            payload: Vec::new(),
        }
    }

    /// The names, with the numbers of the records to come.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// The names as a head has them in front of the batch of now.
    #[must_use]
    pub fn names_of_batch(&self) -> Names {
        let mut names = self.names.clone();
        let sessions = names.sessions.iter_mut().map(|session| &mut session.next);
        for (next, begun) in sessions.chain([&mut names.next]).zip(&self.begun) {
            *next = *begun;
        }
        names
    }

    fn begin(&mut self, batch: &[u8]) {
        if batch.is_empty() {
            self.begun.clear();
            let sessions = self.names.sessions.iter().map(|session| session.next);
            self.begun.extend(sessions.chain([self.names.next]));
        }
    }

    /// Appends what a session's ring holds, until the batch has [`BATCH_BYTES`]; how many records. `seen` is shown each.
    pub fn take(
        &mut self,
        records: &mut Records,
        batch: &mut Vec<u8>,
        mut seen: impl FnMut(&Header, &[u8]),
    ) -> usize {
        self.begin(batch);
        let mut taken = 0;
        while batch.len() < BATCH_BYTES {
            let Some(header) = records.next(&mut self.payload) else {
                break;
            };
            let session = self.names.sessions.get_mut(usize::from(header.session));
            if let Some(session) = session {
                session.next = header.sequence.get().wrapping_add(1);
            }
            if header.kind == Kind::LoggedIn as u8 {
                self.note_login(&header);
            }
            seen(&header, &self.payload);
            format::encode(self.salt, header, &self.payload, batch);
            taken += 1;
        }
        taken
    }

    /// Heads of later files name the exchange's session.
    fn note_login(&mut self, header: &Header) {
        let record = Record::of(*header, &self.payload);
        let session = self.names.sessions.get_mut(usize::from(header.session));
        if let (Some(session), Some(Ok(Event::LoggedIn(_, name)))) =
            (session, record.map(|record| Event::of(&record)))
        {
            session.joined = String::from_utf8_lossy(&name).trim().to_owned();
        }
    }

    /// Appends a record of the gateway's own.
    pub fn note(&mut self, kind: Kind, time_ns: u64, batch: &mut Vec<u8>) {
        self.begin(batch);
        let header = Header {
            sequence: U64::new(self.names.next),
            time_ns: U64::new(time_ns),
            kind: kind as u8,
            session: GATEWAY,
            ..Header::default()
        };
        self.names.next = self.names.next.wrapping_add(1);
        format::encode(self.salt, header, &[], batch);
    }
}
