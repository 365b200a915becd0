//! Follows the journals of a folder and tells what happened to orders, each record once, from a kept position on.
//!
//! Path:        journal files -> reader -> here -> outbox
//! Invariants:  files before the kept position are heard, so that a fill knows its order, and nothing of them is told. A record is told
//!              with where it begins: who has dealt with all before it may go on from there.
//! When wrong:  a file that is not there any more, or is damaged, is a gap that is counted and logged; the next file goes on.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use super::events::{Event, event_of};
use super::position::Position;
use crate::journal::event;
use crate::journal::executions::Executions;
use crate::journal::files::list;
use crate::journal::head::{Began, Head};
use crate::journal::reader::{Damage, ReadError, Reader};

/// How far back before the kept position journals are heard: an order lives for a day.
const LOOK_BACK_NS: u64 = 24 * 3_600 * 1_000_000_000;

/// What a step came to.
#[derive(Debug)]
pub(super) enum Step {
    /// This happened, in the record that begins here.
    Told(Event, Position),
    /// A record with nothing to tell.
    Silent,
    /// There is no more, for now.
    End,
}

/// What is being read.
#[derive(Debug)]
struct Reading {
    path: PathBuf,
    name: String,
    head: Head,
    reader: Reader<File>,
    /// The files that were there when it seemed to end: what was written until then is read once more.
    is_last_look: bool,
    is_damaged: bool,
}

/// A run's part that was read.
type Part = (Began, u32);

/// Follows a folder.
#[derive(Debug)]
pub(super) struct Follower {
    folder: PathBuf,
    /// Nothing before it is told, in its own file.
    from: Position,
    /// Everything before has been dealt with.
    at: Position,
    /// Files of earlier runs: what they say is heard, and not told. A file that comes later is told whatever its name says of the clock.
    before: BTreeSet<PathBuf>,
    done: BTreeSet<PathBuf>,
    reading: Option<Reading>,
    executions: Executions,
    has_clash: bool,
    last: Option<Part>,
    /// Records read.
    pub(super) records: u64,
    /// Times at which something was missing.
    pub(super) gaps: u64,
}

impl Follower {
    /// From a kept position, or the beginning of the newest run where there is none.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub(super) fn open(folder: &Path, kept: Option<&Position>) -> std::io::Result<Self> {
        let files = list(folder)?;
        let mut gaps = 0;
        let from = match kept {
            Some(kept) => {
                if !kept.file.is_empty() && !folder.join(&kept.file).is_file() {
                    log::error!(
                        "{}: not there any more: orders and fills are missing",
                        kept.file
                    );
                    gaps += 1;
                }
                kept.clone()
            }
            None => Position {
                file: newest_run(&files),
                offset: 0,
            },
        };
        // Of the runs before, those that orders may still live from.
        let began = |path: &PathBuf| began(path).unwrap_or_default();
        let first = files.iter().find(|path| name_of(path) >= from.file);
        let oldest_ns = first.map_or(0, began).saturating_sub(LOOK_BACK_NS);
        let before = files.iter().filter(|path| name_of(path) < from.file);
        let (done, before) = before.cloned().partition(|path| began(path) < oldest_ns);
        Ok(Self {
            folder: folder.to_owned(),
            at: from.clone(),
            from,
            before,
            done,
            reading: None,
            executions: Executions::default(),
            has_clash: false,
            last: None,
            records: 0,
            gaps,
        })
    }

    /// Where the next record begins that has not been dealt with.
    pub(super) fn position(&self) -> Position {
        self.at.clone()
    }

    /// The next record.
    pub(super) fn step(&mut self) -> Step {
        loop {
            if self.reading.is_none() && !self.open_next() {
                return Step::End;
            }
            if let Some(step) = self.read() {
                return step;
            }
            self.look_for_clash();
            if !self.is_over() {
                return Step::End;
            }
        }
    }

    /// The next record of the file that is open; `None`: there is none, for now.
    fn read(&mut self) -> Option<Step> {
        let reading = self.reading.as_mut().filter(|it| !it.is_damaged)?;
        let position = Position {
            file: reading.name.clone(),
            offset: reading.reader.offset(),
        };
        let is_back = position.file == self.from.file && position.offset < self.from.offset;
        let is_told = !is_back && !self.before.contains(&reading.path);
        let record = match reading.reader.next_record() {
            Ok(record) => record?,
            Err(ReadError::Damaged(Damage { is_torn: true, .. })) => return None,
            Err(error) => {
                log::error!("{}: {error}: orders and fills are missing", reading.name);
                reading.is_damaged = true;
                self.gaps += 1;
                return None;
            }
        };
        self.records += 1;
        reading.is_last_look = false;
        if record.header.lost.get() > 0 {
            log::error!("{}: its gateway has lost records", reading.name);
            self.gaps += 1;
        }
        let event = event::Event::of(&record);
        let told = match &event {
            Ok(event) => {
                let execution = self.executions.on_record(&record.header, event);
                event_of(&reading.head, &record, event, execution)
            }
            Err(_) => {
                self.gaps += 1;
                None
            }
        };
        if !is_told {
            return Some(Step::Silent);
        }
        self.at = Position {
            offset: reading.reader.offset(),
            ..position.clone()
        };
        Some(told.map_or(Step::Silent, |told| Step::Told(told, position)))
    }

    /// Messages that were left out because the exchange said others under their numbers before.
    fn look_for_clash(&mut self) {
        if !self.has_clash
            && let Some(clash) = self.executions.clash()
        {
            log::error!("{clash}: fills are missing");
            self.has_clash = true;
            self.gaps += 1;
        }
    }

    /// Whether the file has ended: another one is there, and it has been looked at once more since.
    fn is_over(&mut self) -> bool {
        let Some(reading) = &mut self.reading else {
            return true;
        };
        let has_next = list(&self.folder).is_ok_and(|all| {
            let is_new = |path: &PathBuf| !self.done.contains(path) && *path != reading.path;
            all.iter().any(is_new)
        });
        if !has_next {
            return false;
        }
        if !reading.is_last_look && !reading.is_damaged {
            reading.is_last_look = true;
            return true;
        }
        self.done.insert(reading.path.clone());
        self.reading = None;
        true
    }

    /// Opens the next file; `false`: there is none.
    fn open_next(&mut self) -> bool {
        let Ok(files) = list(&self.folder) else {
            return false;
        };
        let mut waiting = files.into_iter().filter(|path| !self.done.contains(path));
        let Some(path) = waiting.next() else {
            return false;
        };
        let has_more = waiting.next().is_some();
        let opened = File::open(&path).map_err(ReadError::from);
        match opened.and_then(Reader::new) {
            Ok(reader) => {
                let head = reader.head().clone();
                self.executions.begin_file(head.began, &head.names);
                let part = (head.began, head.part);
                if self.last.is_some_and(|last| !is_next(last, part)) {
                    log::error!("{}: a part of its run before it is missing", path.display());
                    self.gaps += 1;
                }
                self.last = Some(part);
                self.reading = Some(Reading {
                    name: name_of(&path),
                    path,
                    head,
                    reader,
                    is_last_look: false,
                    is_damaged: false,
                });
                true
            }
            // Its head is being written, or its run was killed before that: nothing is in it.
            Err(error) if error.is_torn() => {
                if has_more {
                    self.done.insert(path);
                }
                has_more
            }
            Err(error) => {
                log::error!("{}: {error}: orders and fills are missing", path.display());
                self.gaps += 1;
                self.done.insert(path);
                true
            }
        }
    }
}

/// Whether nothing lies between two parts.
fn is_next((began, part): Part, (next_began, next_part): Part) -> bool {
    if began == next_began {
        return next_part == part + 1;
    }
    next_part == 0
}

fn name_of(path: &Path) -> String {
    let name = path.file_name().and_then(|name| name.to_str());
    name.unwrap_or_default().to_owned()
}

/// When a file's run began; `None`: it has no head.
fn began(path: &PathBuf) -> Option<u64> {
    let reader = Reader::new(File::open(path).ok()?).ok()?;
    Some(reader.head().began.realtime_ns)
}

/// The first file of the newest run; empty: there is none.
fn newest_run(files: &[PathBuf]) -> String {
    let run = |path: &PathBuf| {
        let name = name_of(path);
        name.rsplit_once('-').map(|(run, _)| run.to_owned())
    };
    let Some(newest) = files.last() else {
        return String::new();
    };
    let of_it = files.iter().find(|path| run(path) == run(newest));
    of_it.map_or_else(String::new, |path| name_of(path))
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Write;

    use zerocopy::byteorder::little_endian::{U32, U64};

    use super::*;
    use crate::journal::format::{self, Header, Kind};
    use crate::journal::head::{self, Names, SessionNames};

    const FIRST: &str = "journal-20260101-080000-001-0000.tgj";
    const SECOND: &str = "journal-20260101-080000-001-0001.tgj";
    const NEXT_RUN: &str = "journal-20260102-080000-001-0000.tgj";
    const NONE: [u64; 0] = [];
    const HOUR_NS: u64 = 3_600 * 1_000_000_000;

    fn began(hour: u64) -> Began {
        Began {
            realtime_ns: (500_000 + hour) * HOUR_NS,
            monotonic_ns: 1,
        }
    }

    /// A part's head, in which the session's next record has this number.
    fn begin(folder: &Path, name: &str, hour: u64, part: u32, next: u64) {
        let session = SessionNames {
            name: "ouch".to_owned(),
            next,
            ..SessionNames::default()
        };
        let names = Names::new(vec![session], Vec::new());
        std::fs::write(folder.join(name), head::encode(began(hour), part, &names)).unwrap();
    }

    /// Kills of these numbers.
    fn kills(hour: u64, numbers: impl IntoIterator<Item = u64>, lost: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        for number in numbers {
            let header = Header {
                sequence: U64::new(number),
                lost: U32::new(lost),
                kind: Kind::KillOn as u8,
                ..Header::default()
            };
            format::encode(began(hour).salt(), header, b"", &mut bytes);
        }
        bytes
    }

    fn append(folder: &Path, name: &str, bytes: &[u8]) {
        let file = OpenOptions::new().append(true).open(folder.join(name));
        file.unwrap().write_all(bytes).unwrap();
    }

    /// Numbers of the records that are told until it ends, and where the last of them begins.
    fn told(follower: &mut Follower) -> (Vec<u64>, Option<Position>) {
        let (mut numbers, mut last) = (Vec::new(), None);
        loop {
            match follower.step() {
                Step::End => return (numbers, last),
                Step::Silent => {}
                Step::Told(event, position) => {
                    let value: serde_json::Value = serde_json::from_str(&event.text).unwrap();
                    let id = value["id"].as_str().unwrap();
                    assert!(id.ends_with(&format!("/0/{}", value["sequence"])), "{id}");
                    numbers.push(value["sequence"].as_u64().unwrap());
                    last = Some(position);
                }
            }
        }
    }

    #[test]
    fn file_that_grows_is_followed_into_the_next_part_and_the_next_run() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        begin(folder, FIRST, 0, 0, 1);
        let mut follower = Follower::open(folder, None).unwrap();
        assert_eq!(told(&mut follower).0, NONE);
        let records = kills(0, 1..=3, 0);
        // The third is being written.
        append(folder, FIRST, &records[..records.len() - 8]);
        assert_eq!(told(&mut follower).0, [1, 2]);
        append(folder, FIRST, &records[records.len() - 8..]);
        begin(folder, SECOND, 0, 1, 4);
        append(folder, SECOND, &kills(0, 4..=5, 0));
        begin(folder, NEXT_RUN, 24, 0, 1);
        append(folder, NEXT_RUN, &kills(24, 1..=1, 0));
        assert_eq!(told(&mut follower).0, [3, 4, 5, 1]);
        assert_eq!((follower.records, follower.gaps), (6, 0));
    }

    #[test]
    fn kept_position_is_gone_on_from_and_what_was_before_is_not_told() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        begin(folder, FIRST, 0, 0, 1);
        append(folder, FIRST, &kills(0, 1..=2, 0));
        begin(folder, SECOND, 0, 1, 3);
        append(folder, SECOND, &kills(0, 3..=5, 0));
        let mut follower = Follower::open(folder, None).unwrap();
        let (all, last) = told(&mut follower);
        assert_eq!(all, [1, 2, 3, 4, 5], "the run from its beginning");
        let last = last.unwrap();
        let mut again = Follower::open(folder, Some(&last)).unwrap();
        assert_eq!(again.position(), last);
        assert_eq!(told(&mut again).0, [5]);
        assert_eq!((again.records, again.gaps), (5, 0), "all of it was heard");
        assert!(again.position() > last);
        let end = follower.position();
        let mut at_the_end = Follower::open(folder, Some(&end)).unwrap();
        assert_eq!(told(&mut at_the_end).0, NONE);
    }

    #[test]
    fn first_start_tells_the_newest_run_only() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        begin(folder, FIRST, 0, 0, 1);
        append(folder, FIRST, &kills(0, 1..=2, 0));
        begin(folder, NEXT_RUN, 24, 0, 1);
        append(folder, NEXT_RUN, &kills(24, 1..=3, 0));
        let mut follower = Follower::open(folder, None).unwrap();
        assert_eq!(told(&mut follower).0, [1, 2, 3]);
    }

    #[test]
    fn run_that_begins_while_it_follows_is_told_whatever_its_clock_says() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        begin(folder, NEXT_RUN, 24, 0, 1);
        append(folder, NEXT_RUN, &kills(24, 1..=1, 0));
        let mut follower = Follower::open(folder, None).unwrap();
        assert_eq!(told(&mut follower).0, [1]);
        begin(folder, FIRST, 0, 0, 1);
        append(folder, FIRST, &kills(0, 1..=2, 0));
        assert_eq!(told(&mut follower).0, [1, 2]);
    }

    #[test]
    fn what_is_missing_lost_or_damaged_is_counted_and_the_rest_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        begin(folder, SECOND, 0, 1, 3);
        append(folder, SECOND, &kills(0, 5..=5, 2));
        let gone = Position {
            file: FIRST.to_owned(),
            offset: 100,
        };
        let mut follower = Follower::open(folder, Some(&gone)).unwrap();
        assert_eq!(told(&mut follower).0, [5]);
        assert_eq!(follower.gaps, 2, "the file that is gone, and two records");
        let mut damaged = kills(0, 6..=8, 0);
        damaged[10] ^= 1;
        append(folder, SECOND, &damaged);
        assert_eq!(told(&mut follower).0, NONE);
        assert_eq!(told(&mut follower).0, NONE);
        assert_eq!(follower.gaps, 3, "the damage, once");
        begin(folder, NEXT_RUN, 24, 2, 9);
        append(folder, NEXT_RUN, &kills(24, 9..=9, 0));
        assert_eq!(told(&mut follower).0, [9]);
        assert_eq!(follower.gaps, 4, "two parts of its run");
    }
}
