//! The drop copy: each execution as a line of JSON or CSV for the back office, exactly once, whatever was killed.
//!
//! ```text
//!  <folder>/<session>-<user>-<the exchange's session>.jsonl or .csv       one line an execution, see `Execution`
//! ```
//!
//! What a run had heard and not written is written by the next one: from the journal where that has it, else from what the
//! exchange tells again, as long as it tells: within the exchange's session, and for a day. What is in a file already is
//! known by its number; whoever takes a file away, or asks for the other format, has the day written again.
//!
//! Thread:      main at the start, then the journal core
//! Invariants:  only executions of this gateway's own sessions are copied: journals of others may lie beside its own.
//!              A file is locked as long as it is open, so that no other gateway writes it.
//!              A line is written whole before the next; a torn one at the end is cut off at the start, and written again.
//! When wrong:  lines wait while a file takes none; the caller stops trading.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use super::copy_format::CopyFormat;
use super::event::Event;
use super::executions::{Execution, Executions};
use super::format::Header;
use super::head::{Began, Head, Names, SessionNames};
use super::replay::Hearer;

/// Bytes of a file that are read at once.
const READ_BYTES: usize = 256 << 10;

/// Which file a line belongs into.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    session: String,
    username: String,
    exchange_session: String,
}

impl Key {
    fn of(execution: &Execution) -> Self {
        Self {
            session: execution.session.clone(),
            username: execution.username.clone(),
            exchange_session: execution.exchange_session.clone(),
        }
    }

    fn is_of(&self, execution: &Execution) -> bool {
        self.session == execution.session
            && self.username == execution.username
            && self.exchange_session == execution.exchange_session
    }
}

/// The drop copy of all sessions.
#[derive(Debug)]
pub struct DropCopy {
    folder: PathBuf,
    format: CopyFormat,
    /// This gateway's sessions.
    sessions: Vec<SessionNames>,
    /// Of each session of the journal at hand, whether it is one of them.
    is_ours: Vec<bool>,
    executions: Executions,
    files: BTreeMap<Key, CopyFile>,
    /// Executions that are still to be written.
    waiting: Vec<Execution>,
    /// Their bytes, of the file that is being written.
    lines: Vec<u8>,
}

/// One file.
#[derive(Debug)]
struct CopyFile {
    path: PathBuf,
    format: CopyFormat,
    file: File,
    /// Bytes of whole lines.
    whole_bytes: u64,
    /// What was in it when it was opened, by number: the trade and the order. What is written since is not kept, for each
    /// message counts once ([`Executions`]); but for those whose numbers lie below.
    written: BTreeMap<u64, Told>,
    /// The greatest number in it.
    newest: u64,
    /// A write has failed, and half a line may be there.
    is_torn: bool,
}

/// What tells an execution from another one under the same number: a trade, and an order of ours.
type Told = (u64, u32);

impl DropCopy {
    /// In this folder, which is made where its parent exists, for these sessions.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn open(folder: &Path, format: CopyFormat, sessions: &[SessionNames]) -> io::Result<Self> {
        if !folder.is_dir() {
            std::fs::create_dir(folder)?;
        }
        Ok(Self {
            folder: folder.to_owned(),
            format,
            sessions: sessions.to_vec(),
            is_ours: Vec::new(),
            executions: Executions::default(),
            files: BTreeMap::new(),
            waiting: Vec::new(),
            lines: Vec::new(),
        })
    }

    /// This run begins, with sessions and strategies of these names.
    pub fn begin_run(&mut self, began: Began, names: &Names) {
        let is_ours = |theirs: &SessionNames| self.sessions.iter().any(|our| our.is_same(theirs));
        self.is_ours = names.sessions.iter().map(is_ours).collect();
        self.executions.begin_file(began, names);
        self.executions.go_live();
    }

    /// An execution of an earlier run waits for [`DropCopy::write`].
    pub(super) fn wait(&mut self, execution: Execution) {
        self.waiting.push(execution);
    }

    /// Goes on where journals of earlier runs ended, before this run begins.
    pub(super) fn go_on(&mut self, executions: Executions) {
        self.executions = executions;
    }

    /// Where its files lie.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Executions that wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether there is nothing to write, and nothing to complain of.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.executions.clash().is_none()
    }

    /// Writes what waits; how many lines.
    ///
    /// # Errors
    /// A file takes nothing; everything that is not in it goes on waiting. Or the exchange says something else under numbers
    /// of before: two days would get into one file, so nothing is written any more.
    pub fn write(&mut self) -> io::Result<usize> {
        if let Some(clash) = self.executions.clash() {
            return Err(io::Error::other(clash));
        }
        let mut waiting = std::mem::take(&mut self.waiting);
        let (mut done, mut lines) = (0, 0);
        let mut result = Ok(());
        while let Some(first) = waiting.get(done) {
            let key = Key::of(first);
            let batch = waiting.get(done..).unwrap_or_default();
            let together = batch.iter().take_while(|it| key.is_of(it)).count();
            let batch = batch.get(..together).unwrap_or_default();
            match self.write_batch(key, batch) {
                Ok(new) => lines += new,
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
            done += together;
        }
        // At once: what waits may be of many sessions in turn.
        waiting.drain(..done);
        self.waiting = waiting;
        result.map(|()| lines)
    }

    /// Writes executions of one file.
    fn write_batch(&mut self, key: Key, batch: &[Execution]) -> io::Result<usize> {
        let file = match self.files.entry(key) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let opened = CopyFile::open(&self.folder, new.key(), self.format)?;
                new.insert(opened)
            }
        };
        file.write(batch, &mut self.lines)
    }
}

impl Hearer for DropCopy {
    fn begin_file(&mut self, head: &Head) {
        self.begin_run(head.began, &head.names);
    }

    /// What it tells waits for [`DropCopy::write`].
    fn on_record(&mut self, header: &Header, event: &Event<'_>) {
        if self.is_ours.get(usize::from(header.session)) != Some(&true) {
            return;
        }
        self.waiting
            .extend(self.executions.on_record(header, event));
    }
}

impl CopyFile {
    fn open(folder: &Path, key: &Key, format: CopyFormat) -> io::Result<Self> {
        let Key {
            session,
            username,
            exchange_session,
        } = key;
        let suffix = format.suffix();
        let path = folder.join(format!("{session}-{username}-{exchange_session}.{suffix}"));
        let mut options = OpenOptions::new();
        let file = options.read(true).append(true).create(true).open(&path)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::Error(error) => error,
            TryLockError::WouldBlock => io::Error::other(format!(
                "{}: another gateway writes it; expected one gateway for a session, or a folder for each",
                path.display()
            )),
        })?;
        let (written, whole_bytes) = read_lines(&file, &path, format)?;
        if file.metadata()?.len() > whole_bytes {
            file.set_len(whole_bytes)?;
        }
        Ok(Self {
            newest: written.keys().next_back().copied().unwrap_or(0),
            written,
            whole_bytes,
            file,
            is_torn: false,
            path,
            format,
        })
    }

    /// Writes those that are not there yet; how many.
    fn write(&mut self, executions: &[Execution], lines: &mut Vec<u8>) -> io::Result<usize> {
        lines.clear();
        if let (0, Some(head)) = (self.whole_bytes, self.format.head()) {
            lines.extend(head.bytes());
            lines.push(b'\n');
        }
        let mut new = BTreeMap::new();
        for execution in executions {
            let told = (execution.match_number, execution.user_ref);
            let known = self.written.get(&execution.seq);
            let known = known.or_else(|| new.get(&execution.seq));
            match known {
                Some(known) if *known == told => continue,
                Some(_) => return Err(self.is_of_another_day(execution.seq)),
                None => {}
            }
            new.insert(execution.seq, told);
            self.format.write(execution, lines)?;
        }
        if self.is_torn {
            self.file.set_len(self.whole_bytes)?;
        }
        // Until all of it is there, half of it may be.
        self.is_torn = true;
        self.file.write_all(lines)?;
        self.is_torn = false;
        self.whole_bytes += lines.len() as u64;
        let count = new.len();
        // One by one: to append would go through everything that is there, each time.
        let newest = self.newest;
        self.newest = new
            .keys()
            .next_back()
            .map_or(newest, |last| newest.max(*last));
        self.written
            .extend(new.into_iter().filter(|(seq, _)| *seq <= newest));
        Ok(count)
    }

    /// The exchange uses a session's name again: what is new would be taken for what is there.
    fn is_of_another_day(&self, seq: u64) -> io::Error {
        io::Error::other(format!(
            "{}: has another execution under the exchange's message {seq}: of an earlier day with the same session? \
             Expected an empty folder, or one of this day's",
            self.path.display()
        ))
    }
}

/// What is in a file, and the bytes of its whole lines.
fn read_lines(
    file: &File,
    path: &Path,
    format: CopyFormat,
) -> io::Result<(BTreeMap<u64, Told>, u64)> {
    let foreign = |what: String| {
        let shown = path.display();
        io::Error::other(format!("{shown}: a line of another program: {what}"))
    };
    let mut written = BTreeMap::new();
    let mut whole_bytes = 0;
    let mut reader = BufReader::with_capacity(READ_BYTES, file);
    let mut line = Vec::new();
    let mut head = format.head();
    loop {
        line.clear();
        reader.read_until(b'\n', &mut line)?;
        // The end, or a line that a crash cut off.
        let Some(text) = line.strip_suffix(b"\n") else {
            return Ok((written, whole_bytes));
        };
        whole_bytes += line.len() as u64;
        if text.is_empty() {
            continue;
        }
        if let Some(expected) = head.take() {
            if expected.as_bytes() != text {
                let found = String::from_utf8_lossy(text);
                return Err(foreign(format!("\"{found}\", expected \"{expected}\"")));
            }
            continue;
        }
        let line = format.read(text).map_err(foreign)?;
        written.insert(line.seq, (line.match_number, line.user_ref));
    }
}

#[cfg(test)]
mod tests {
    use zerocopy::byteorder::little_endian::{U32, U64};

    use super::super::event::HeardMessage;
    use super::super::format::{IntentRecord, Kind};
    use super::super::head::SessionNames;
    use super::*;

    /// OUCH 5.0, "Order Accepted": offsets of its table.
    fn accepted(number: u32, shares: u32) -> Vec<u8> {
        let mut bytes = vec![0; 64];
        bytes[0] = b'A';
        bytes[9..13].copy_from_slice(&number.to_be_bytes());
        bytes[13] = b'S';
        bytes[14..18].copy_from_slice(&shares.to_be_bytes());
        bytes[18..26].copy_from_slice(b"ALC     ");
        bytes[47] = b'L';
        bytes
    }

    /// "Order Executed".
    fn executed(number: u32, shares: u32, match_number: u64) -> Vec<u8> {
        let mut bytes = vec![0; 36];
        bytes[0] = b'E';
        bytes[9..13].copy_from_slice(&number.to_be_bytes());
        bytes[13..17].copy_from_slice(&shares.to_be_bytes());
        bytes[17..25].copy_from_slice(&12_3400u64.to_be_bytes());
        bytes[25] = b'R';
        bytes[26..34].copy_from_slice(&match_number.to_be_bytes());
        bytes
    }

    /// "Broken Trade".
    fn broken(number: u32, match_number: u64) -> Vec<u8> {
        let mut bytes = vec![0; 38];
        bytes[0] = b'B';
        bytes[9..13].copy_from_slice(&number.to_be_bytes());
        bytes[13..21].copy_from_slice(&match_number.to_be_bytes());
        bytes
    }

    fn names() -> Names {
        let session = SessionNames {
            name: "ouch".to_owned(),
            username: "desk1".to_owned(),
            strategies: vec!["quotes".to_owned()],
            next: 1,
            ..SessionNames::default()
        };
        Names::new(vec![session], Vec::new())
    }

    /// A run that hears these messages, from the first one on.
    fn run(folder: &Path, said: &[Vec<u8>]) -> DropCopy {
        run_with(folder, CopyFormat::Json, said)
    }

    fn run_with(folder: &Path, format: CopyFormat, said: &[Vec<u8>]) -> DropCopy {
        let mut copy = DropCopy::open(folder, format, &names().sessions).unwrap();
        copy.begin_run(Began::default(), &names());
        let header = Header {
            time_ns: U64::new(5),
            kind: Kind::Heard as u8,
            ..Header::default()
        };
        copy.on_record(&header, &Event::LoggedIn(1, *b"DAY1      "));
        let intent = IntentRecord {
            id: U32::new(70),
            user_ref: U32::new(7),
            ..IntentRecord::default()
        };
        copy.on_record(&header, &Event::Sent(intent, b"packet"));
        for (seq, message) in (1..).zip(said) {
            hear(&mut copy, seq, message);
        }
        copy
    }

    fn hear(copy: &mut DropCopy, seq: u64, message: &[u8]) {
        let header = Header {
            time_ns: U64::new(5),
            kind: Kind::Heard as u8,
            ..Header::default()
        };
        let is_past = false;
        let heard = HeardMessage {
            seq,
            is_past,
            message,
        };
        copy.on_record(&header, &Event::Heard(heard));
    }

    fn said() -> Vec<Vec<u8>> {
        vec![
            accepted(7, 100),
            executed(7, 30, 900),
            broken(7, 900),
            executed(7, 70, 901),
            accepted(8, 5),
            executed(8, 5, 902),
        ]
    }

    #[test]
    fn execution_is_a_line_with_everything_that_a_back_office_asks_for() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(run(folder.path(), &said()).write().unwrap(), 4);
        let text = std::fs::read_to_string(folder.path().join("ouch-desk1-DAY1.jsonl")).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0],
            "{\"session\":\"ouch\",\"username\":\"desk1\",\"exchange_session\":\"DAY1\",\"seq\":2,\"what\":\"fill\",\"time_ns\":5,\
             \"exchange_ns\":0,\"strategy\":\"quotes\",\"order_id\":70,\"user_ref\":7,\"symbol\":\"ALC\",\
             \"side\":\"sell\",\"shares\":30,\"price\":123400,\"match_number\":900,\"liquidity\":\"R\"}"
        );
        assert!(lines[1].contains("\"break\"") && lines[1].contains("\"match_number\":900"));
        assert!(!lines[3].contains("strategy"), "nobody has sent it");
    }

    #[test]
    fn csv_has_a_line_of_names_and_the_same_facts() {
        let folder = tempfile::tempdir().unwrap();
        let mut copy = run_with(folder.path(), CopyFormat::Csv, &said());
        assert_eq!(copy.write().unwrap(), 4);
        let text = std::fs::read_to_string(folder.path().join("ouch-desk1-DAY1.csv")).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "seq,match_number,user_ref,what,session,username,exchange_session,time_ns,exchange_ns,strategy,order_id,symbol,side,\
                 shares,price,liquidity",
                "2,900,7,fill,ouch,desk1,DAY1,5,0,quotes,70,ALC,sell,30,123400,R",
                "3,900,7,break,ouch,desk1,DAY1,5,0,quotes,70,ALC,sell,,,",
                "4,901,7,fill,ouch,desk1,DAY1,5,0,quotes,70,ALC,sell,70,123400,R",
                "6,902,8,fill,ouch,desk1,DAY1,5,0,,,ALC,sell,5,123400,R",
            ]
        );
    }

    #[test]
    fn killed_at_any_byte_and_told_again_the_file_is_the_same() {
        for format in [CopyFormat::Json, CopyFormat::Csv] {
            let folder = tempfile::tempdir().unwrap();
            run_with(folder.path(), format, &said()).write().unwrap();
            let name = format!("ouch-desk1-DAY1.{}", format.suffix());
            let path = folder.path().join(name);
            let whole = std::fs::read(&path).unwrap();
            for cut in 0..=whole.len() {
                std::fs::write(&path, &whole[..cut]).unwrap();
                // The next run hears some of it, the one after everything, twice.
                let mut next = run_with(folder.path(), format, &said()[..3]);
                next.write().unwrap();
                drop(next);
                let mut last = run_with(folder.path(), format, &said());
                last.begin_run(Began::default(), &names());
                last.write().unwrap();
                assert_eq!(std::fs::read(&path).unwrap(), whole, "cut at {cut}");
            }
        }
    }

    #[test]
    fn file_of_another_day_under_the_same_name_is_an_error_and_nothing_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        run(folder.path(), &said()).write().unwrap();
        let mut other = said();
        other[3] = executed(7, 70, 999);
        let mut copy = run(folder.path(), &other);
        let error = copy.write().unwrap_err();
        assert!(error.to_string().contains("message 4"), "{error}");
        assert_eq!(copy.waiting(), 4, "all wait for a folder of their own");
    }

    #[test]
    fn session_that_comes_back_within_a_batch_writes_nothing_twice() {
        let folder = tempfile::tempdir().unwrap();
        let mut copy = run(folder.path(), &said());
        let header = Header::default();
        copy.on_record(&header, &Event::LoggedIn(1, *b"DAY2      "));
        copy.on_record(&header, &Event::LoggedIn(1, *b"DAY1      "));
        for (seq, message) in (1..).zip(&said()) {
            let heard = HeardMessage {
                seq,
                is_past: true,
                message,
            };
            copy.on_record(&header, &Event::Heard(heard));
        }
        assert_eq!(copy.write().unwrap(), 4);
    }

    #[test]
    fn sessions_that_take_turns_have_their_own_lines_in_their_own_files() {
        let folder = tempfile::tempdir().unwrap();
        let mut copy = run(folder.path(), &said());
        let of_one = std::mem::take(&mut copy.waiting);
        for execution in of_one {
            let mut other = execution.clone();
            other.session = "other".to_owned();
            copy.waiting.extend([execution, other]);
        }
        assert_eq!((copy.write().unwrap(), copy.waiting()), (8, 0));
        for session in ["ouch", "other"] {
            let path = folder.path().join(format!("{session}-desk1-DAY1.jsonl"));
            let text = std::fs::read_to_string(path).unwrap();
            let of_it = format!("{{\"session\":\"{session}\"");
            assert_eq!(text.lines().count(), 4);
            assert!(text.lines().all(|line| line.starts_with(&of_it)), "{text}");
        }
    }

    #[test]
    fn what_a_run_writes_is_in_its_file_once_and_not_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        run(folder.path(), &said()[..2]).write().unwrap();
        let mut copy = run(folder.path(), &said());
        assert_eq!(copy.write().unwrap(), 3);
        for (seq, found) in [(9, 1), (10, 1), (9, 0), (7, 1), (7, 0), (8, 1), (10, 0)] {
            hear(&mut copy, seq, &executed(9, 5, seq));
            assert_eq!(copy.write().unwrap(), found, "{seq}");
        }
        let kept: Vec<u64> = copy
            .files
            .values()
            .flat_map(|file| file.written.keys().copied())
            .collect();
        assert_eq!(
            kept,
            [2, 7, 8],
            "the one of before, and those that came late"
        );
        drop(copy);
        assert_eq!(run(folder.path(), &said()).write().unwrap(), 0);
    }

    #[test]
    fn file_that_another_gateway_writes_is_refused_by_its_name_and_lines_wait() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = run(folder.path(), &said());
        first.write().unwrap();
        let mut second = run(folder.path(), &said());
        let error = second.write().unwrap_err().to_string();
        for part in ["ouch-desk1-DAY1.jsonl", "another gateway writes it"] {
            assert!(error.contains(part), "{error}");
        }
        assert_eq!(second.waiting(), 4);
        drop(first);
        assert_eq!((second.write().unwrap(), second.waiting()), (0, 0));
    }

    #[test]
    fn session_of_the_same_name_for_another_user_is_anothers() {
        let folder = tempfile::tempdir().unwrap();
        let mut copy = run(folder.path(), &[]);
        let mut others = names();
        others.sessions[0].username = "desk2".to_owned();
        copy.begin_run(Began::default(), &others);
        let header = Header::default();
        copy.on_record(&header, &Event::LoggedIn(1, *b"DAY1      "));
        let heard = HeardMessage {
            seq: 1,
            is_past: false,
            message: &executed(7, 30, 900),
        };
        copy.on_record(&header, &Event::Heard(heard));
        assert!(copy.is_idle());
        copy.begin_run(Began::default(), &names());
        copy.on_record(&header, &Event::LoggedIn(1, *b"DAY1      "));
        copy.on_record(&header, &Event::Heard(heard));
        assert_eq!((copy.waiting(), copy.write().unwrap()), (1, 1));
    }

    #[test]
    fn session_name_that_is_a_path_leads_out_of_no_folder() {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("copies");
        let mut copy = run(&folder, &[]);
        let header = Header {
            kind: Kind::Heard as u8,
            ..Header::default()
        };
        copy.on_record(&header, &Event::LoggedIn(1, *b"/../../x  "));
        for (seq, message) in (1..).zip([accepted(7, 100), executed(7, 30, 900)]) {
            let heard = HeardMessage {
                seq,
                is_past: false,
                message: &message,
            };
            copy.on_record(&header, &Event::Heard(heard));
        }
        assert_eq!(copy.waiting(), 1);
        let error = copy.write().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound, "{error}");
        let files = |folder: &Path| std::fs::read_dir(folder).unwrap().count();
        assert_eq!((files(&folder), files(outer.path())), (0, 1));
    }

    #[test]
    fn file_of_another_program_is_refused_and_left_as_it_is() {
        for format in [CopyFormat::Json, CopyFormat::Csv] {
            let folder = tempfile::tempdir().unwrap();
            let name = format!("ouch-desk1-DAY1.{}", format.suffix());
            let path = folder.path().join(name);
            std::fs::write(&path, "minutes of a meeting\n").unwrap();
            let mut copy = run_with(folder.path(), format, &said());
            let error = copy.write().unwrap_err();
            assert!(error.to_string().contains("another program"), "{error}");
            assert_eq!(std::fs::read(&path).unwrap(), b"minutes of a meeting\n");
        }
    }
}
