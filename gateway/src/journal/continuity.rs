//! Whether journals have everything that their runs wrote: what can be proven to be missing.
//!
//! Path:        replay -> here -> whoever hears the records; what is missing -> whoever asked
//! Invariants:  what is there is passed on, whatever is missing.

use std::collections::BTreeMap;

use super::event::Event;
use super::format::{GATEWAY, Header};
use super::head::{Began, Head, Names};
use super::reader::ReadError;
use super::replay::Hearer;

/// Somebody who hears journals, and what is known of the run at hand.
#[derive(Debug)]
pub struct Continuity<'a, H> {
    hearer: &'a mut H,
    /// The first file of a run has to be there: the files are all of a folder.
    is_of_all: bool,
    run: Option<Run>,
    /// Of the file at hand: records lost before those that are there, by session.
    lost: BTreeMap<u8, u64>,
    /// Of the file at hand: records whose payload says nothing.
    unreadable: u64,
    found: Vec<Finding>,
}

/// A run, as far as it has been heard.
#[derive(Debug)]
struct Run {
    began: Began,
    part: u32,
    /// That part is torn.
    is_torn: bool,
    /// The next record of each session.
    next: BTreeMap<u8, u64>,
    /// The sessions, as records number them.
    sessions: Vec<String>,
}

/// What a file shows, once it has been heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Parts of its run before it are not there.
    Parts {
        /// The first of them.
        first: u32,
        /// The last.
        last: u32,
    },
    /// The part before it is torn, and was written on in this one.
    Torn(u32),
    /// A session's records do not go on where the part before ended.
    Gap {
        /// Whose.
        session: String,
        /// The number of the record with which it should begin.
        expected: u64,
        /// With which it begins.
        found: u64,
    },
    /// A ring was full.
    Lost {
        /// Whose.
        session: String,
        /// Records that never reached the journal.
        records: u64,
    },
    /// Records whose payload is none of their kind, under a checksum that holds.
    Unreadable(u64),
    /// It was begun before the run that was heard before it.
    Order,
}

impl Finding {
    /// Whether something is missing.
    #[must_use]
    pub fn is_loss(&self) -> bool {
        *self != Self::Order
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Parts { first, last } if first == last => {
                write!(f, "part {first} of its run is missing")
            }
            Self::Parts { first, last } => {
                write!(f, "parts {first} to {last} of its run are missing")
            }
            Self::Torn(part) => write!(
                f,
                "part {part} of its run, which was written before it, is torn: its end is missing"
            ),
            Self::Gap {
                session,
                expected,
                found,
            } => write!(
                f,
                "{session}: begins with record {found}, and the part before ends where {expected} was to follow"
            ),
            Self::Lost { session, records } => write!(
                f,
                "{session}: {records} records were lost when the gateway ran: its ring was full"
            ),
            Self::Unreadable(records) => write!(
                f,
                "{records} records have payloads that their kinds have not: of another version?"
            ),
            Self::Order => f.write_str(
                "its run began before the one that was read before it: the clock was set back, or files were renamed",
            ),
        }
    }
}

impl<'a, H: Hearer> Continuity<'a, H> {
    /// Before the first file; `is_of_all`: a folder's files will come, not one of them.
    pub fn new(hearer: &'a mut H, is_of_all: bool) -> Self {
        Self {
            hearer,
            is_of_all,
            run: None,
            lost: BTreeMap::new(),
            unreadable: 0,
            found: Vec::new(),
        }
    }

    /// Who hears.
    pub fn hearer(&mut self) -> &mut H {
        self.hearer
    }

    /// A file has been played, and ended so; what it shows.
    pub fn end_file(&mut self, played: &Result<(), ReadError>) -> Vec<Finding> {
        let mut found = std::mem::take(&mut self.found);
        for (session, records) in std::mem::take(&mut self.lost) {
            let session = self.run.as_ref().map(|run| run.name(session));
            let session = session.unwrap_or_default();
            found.push(Finding::Lost { session, records });
        }
        let unreadable = std::mem::take(&mut self.unreadable);
        if unreadable > 0 {
            found.push(Finding::Unreadable(unreadable));
        }
        if let Some(run) = &mut self.run {
            // Without a head it was none of this run's.
            run.is_torn = matches!(played, Err(ReadError::Damaged(damage)) if damage.is_torn);
        }
        found
    }

    fn on_header(&mut self, header: &Header) {
        let lost = u64::from(header.lost.get());
        if lost > 0 {
            *self.lost.entry(header.session).or_default() += lost;
        }
        if let Some(run) = &mut self.run {
            let next = header.sequence.get().wrapping_add(1);
            run.next.insert(header.session, next);
        }
    }
}

impl<H: Hearer> Hearer for Continuity<'_, H> {
    fn begin_file(&mut self, head: &Head) {
        let now = Run::begin(head);
        let before = self.run.take();
        let is_back = |run: &Run| run.began.realtime_ns > now.began.realtime_ns;
        if before.as_ref().is_some_and(is_back) {
            self.found.push(Finding::Order);
        }
        let is_first = before.is_none();
        let before = before.filter(|run| run.began == now.began);
        let first = before.as_ref().map_or(0, |run| run.part.saturating_add(1));
        if first < now.part && (self.is_of_all || !is_first) {
            let last = now.part - 1;
            self.found.push(Finding::Parts { first, last });
        }
        if let Some(run) = before {
            if run.is_torn {
                self.found.push(Finding::Torn(run.part));
            }
            self.found.extend(run.gaps(&now));
        }
        self.run = Some(now);
        self.hearer.begin_file(head);
    }

    fn on_record(&mut self, header: &Header, event: &Event<'_>) {
        self.on_header(header);
        self.hearer.on_record(header, event);
    }

    fn on_unreadable(&mut self, header: &Header) {
        self.on_header(header);
        self.unreadable += 1;
        self.hearer.on_unreadable(header);
    }
}

impl Run {
    fn begin(head: &Head) -> Self {
        let Names { sessions, next, .. } = &head.names;
        let of_sessions = (0..GATEWAY).zip(sessions.iter().map(|session| session.next));
        Self {
            began: head.began,
            part: head.part,
            is_torn: false,
            next: of_sessions.chain([(GATEWAY, *next)]).collect(),
            sessions: sessions.iter().map(|it| it.name.clone()).collect(),
        }
    }

    fn name(&self, session: u8) -> String {
        let name = self.sessions.get(usize::from(session));
        name.map_or_else(
            || "the gateway".to_owned(),
            |name| format!("session {name}"),
        )
    }

    /// Where the run's next part does not go on.
    fn gaps(&self, now: &Self) -> Vec<Finding> {
        let gaps = now.next.iter().filter_map(|(session, found)| {
            let expected = self.next.get(session).copied()?;
            (expected != *found).then(|| Finding::Gap {
                session: self.name(*session),
                expected,
                found: *found,
            })
        });
        gaps.collect()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use zerocopy::byteorder::little_endian::{U32, U64};

    use super::super::format::{self, Kind};
    use super::super::head::{SessionNames, encode};
    use super::super::replay::replay;
    use super::*;

    /// A hearer of whom nothing is asked.
    #[derive(Default)]
    struct Records(u64);

    impl Hearer for Records {
        fn begin_file(&mut self, _: &Head) {}

        fn on_record(&mut self, _: &Header, _: &Event<'_>) {
            self.0 += 1;
        }
    }

    /// A part of a run, with records of these numbers, each with those lost before it.
    fn part(began_ns: u64, part: u32, next: u64, records: &[(u64, u32)]) -> Vec<u8> {
        let session = SessionNames {
            name: "ouch".to_owned(),
            next,
            ..SessionNames::default()
        };
        let began = Began {
            realtime_ns: began_ns,
            monotonic_ns: 1,
        };
        let names = Names::new(vec![session], Vec::new());
        let mut bytes = encode(began, part, &names);
        for (sequence, lost) in records {
            let header = Header {
                sequence: U64::new(*sequence),
                lost: U32::new(*lost),
                kind: Kind::Connected as u8,
                ..Header::default()
            };
            format::encode(began.salt(), header, b"", &mut bytes);
        }
        bytes
    }

    fn shown(files: &[Vec<u8>], is_of_all: bool) -> Vec<String> {
        let mut records = Records::default();
        let mut continuity = Continuity::new(&mut records, is_of_all);
        let mut found = Vec::new();
        for file in files {
            let played = replay(Cursor::new(file), &mut continuity, |_, _| ());
            let of_file = continuity.end_file(&played);
            found.extend(of_file.iter().map(Finding::to_string));
        }
        found
    }

    #[test]
    fn parts_that_go_on_where_the_one_before_ended_show_nothing() {
        let files = [
            part(5, 0, 1, &[(1, 0), (2, 0)]),
            part(5, 1, 3, &[(3, 0)]),
            part(5, 2, 4, &[]),
            part(6, 0, 1, &[(1, 0)]),
        ];
        assert_eq!(shown(&files, true), Vec::<String>::new());
    }

    #[test]
    fn part_that_is_not_there_is_missed_wherever_it_was() {
        let files = [
            part(5, 0, 1, &[(1, 0)]),
            part(5, 3, 9, &[(9, 0)]),
            part(6, 1, 7, &[(7, 0)]),
        ];
        let expected = [
            "parts 1 to 2 of its run are missing",
            "session ouch: begins with record 9, and the part before ends where 2 was to follow",
            "part 0 of its run is missing",
        ];
        assert_eq!(shown(&files, true), expected);
        assert_eq!(
            shown(&files[2..], false),
            Vec::<String>::new(),
            "a file that was asked for alone"
        );
    }

    #[test]
    fn torn_part_is_a_loss_unless_it_is_the_last_of_its_run() {
        let mut torn = part(5, 0, 1, &[(1, 0), (2, 0)]);
        torn.truncate(torn.len() - 5);
        let next_run = part(6, 0, 1, &[]);
        assert_eq!(shown(&[torn.clone(), next_run], true), Vec::<String>::new());
        let expected = [
            "part 0 of its run, which was written before it, is torn: its end is missing",
            "session ouch: begins with record 3, and the part before ends where 2 was to follow",
        ];
        assert_eq!(shown(&[torn, part(5, 1, 3, &[])], true), expected);
    }

    #[test]
    fn records_that_a_ring_had_no_room_for_are_counted_in_each_file() {
        let files = [
            part(5, 0, 1, &[(1, 0), (4, 2), (6, 1)]),
            part(5, 1, 7, &[(12, 5)]),
        ];
        let expected = [
            "session ouch: 3 records were lost when the gateway ran: its ring was full",
            "session ouch: 5 records were lost when the gateway ran: its ring was full",
        ];
        assert_eq!(shown(&files, true), expected);
    }

    #[test]
    fn payload_that_its_kind_has_not_is_told_and_the_rest_is_heard() {
        let mut file = part(5, 0, 1, &[(1, 0)]);
        let began = Began {
            realtime_ns: 5,
            monotonic_ns: 1,
        };
        for (sequence, payload) in [(2, b"what".as_slice()), (3, b"")] {
            let header = Header {
                sequence: U64::new(sequence),
                kind: Kind::Opened as u8,
                ..Header::default()
            };
            format::encode(began.salt(), header, payload, &mut file);
        }
        let mut records = Records::default();
        let mut continuity = Continuity::new(&mut records, true);
        let played = replay(Cursor::new(&file), &mut continuity, |_, _| ());
        assert_eq!(continuity.end_file(&played), [Finding::Unreadable(1)]);
        assert_eq!(records.0, 2);
    }

    #[test]
    fn run_that_began_before_the_one_read_before_it_is_shown_and_no_loss() {
        let files = [part(6, 0, 1, &[]), part(5, 0, 1, &[])];
        let mut records = Records::default();
        let mut continuity = Continuity::new(&mut records, true);
        let mut found = Vec::new();
        for file in &files {
            let played = replay(Cursor::new(file), &mut continuity, |_, _| ());
            found.extend(continuity.end_file(&played));
        }
        assert_eq!(found, [Finding::Order]);
        assert!(!Finding::Order.is_loss() && Finding::Torn(0).is_loss());
    }
}
