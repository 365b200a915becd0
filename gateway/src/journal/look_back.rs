//! The look back at the start: reads what earlier runs left, cuts torn tails off, and says what is known of the day.
//!
//! Thread:      main, before the cores start
//! Invariants:  only what no whole record follows is ever cut off, and only of a file that nobody writes.
//! When wrong:  a damaged file is read up to its damage, told, and left as it is; the rest of it may have had orders, whose
//!              numbers are skipped.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Seek};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rt::clock::realtime_ns;

use super::drop_copy::DropCopy;
use super::event::Event;
use super::files::list;
use super::format::{Header, INTENT_BYTES, record_bytes};
use super::head::{Began, Head, HeadFlaw, SessionNames};
use super::past::{Past, Pasts};
use super::reader::{Damage, ReadError, Reader};
use super::replay::{Hearer, replay};

/// A day's journals: what was written since. A session of the exchange is over by then.
const REACH: Duration = Duration::from_secs(24 * 3600);

/// Executions that are written to the drop copy together: what of a day waits in memory at most, however long it was.
const COPIED_TOGETHER: usize = 4096;

/// What a look at earlier runs found.
#[derive(Debug, Default)]
pub struct LookBack {
    /// What is known of each session, in the order of the configuration.
    pub pasts: Vec<Past>,
    /// What was wrong.
    pub found: Vec<Found>,
    /// Files read.
    pub files: u64,
    /// Records in them.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Executions that only they had, and the drop copy has now.
    pub copied: u64,
}

/// A file that ends before it should.
#[derive(Debug)]
pub struct Found {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub error: ReadError,
    /// A torn tail, which was cut off.
    pub is_cut: bool,
}

/// Reads the journals of the last 24 hours in a folder, and the newest one whenever it was written. `unwritten_max`: orders
/// that a killed process may have sent without their records having reached a file. `copy` hears them, too. `on_progress` is
/// told the bytes read and how many there are.
///
/// # Errors
/// What the file system says.
pub fn look_back(
    folder: &Path,
    sessions: &[SessionNames],
    unwritten_max: u32,
    copy: Option<&mut DropCopy>,
    mut on_progress: impl FnMut(u64, u64),
) -> io::Result<LookBack> {
    let pasts = Pasts::new(sessions, unwritten_max);
    let mut hearers = Hearers {
        pasts,
        copy,
        copied: 0,
        is_copy_refused: false,
    };
    let mut back = LookBack::default();
    let files = recent(folder, sessions)?;
    let of = files.iter().map(|it| it.bytes).sum();
    for it in files {
        let before = back.bytes;
        let read = replay(&it.file, &mut hearers, |records, offset| {
            back.records += records;
            back.bytes = before + offset;
            on_progress(back.bytes, of);
        });
        back.files += 1;
        back.bytes = before + it.bytes;
        if let Err(error) = read {
            back.found.push(it.on_error(error, &mut hearers.pasts)?);
        }
    }
    hearers.write_copy();
    back.copied = hearers.copied;
    let executions;
    (back.pasts, executions) = hearers.pasts.finish_with_executions();
    if let Some(copy) = hearers.copy {
        copy.go_on(executions);
    }
    Ok(back)
}

/// What a run that began then knew of the runs before it, whose files these are, the oldest first. Nothing is written.
///
/// # Errors
/// What the file system says.
pub fn look_back_then(
    files: &[PathBuf],
    sessions: &[SessionNames],
    unwritten_max: u32,
    began: Began,
) -> io::Result<Vec<Past>> {
    let not_before = UNIX_EPOCH + Duration::from_nanos(began.realtime_ns).saturating_sub(REACH);
    let mut chosen = Vec::new();
    for path in files.iter().rev() {
        let ended = Ended::of(path.clone(), File::open(path)?)?;
        if ended.is_wanted(&chosen, not_before)? {
            chosen.push(ended);
        }
    }
    let mut pasts = Pasts::new(sessions, unwritten_max);
    for it in chosen.into_iter().rev() {
        if let Err(error) = replay(&it.file, &mut pasts, |_, _| ()) {
            // A torn tail had been cut off by the time the run began.
            if !error.is_torn() {
                it.on_error(error, &mut pasts)?;
            }
        }
    }
    Ok(pasts.finish())
}

/// Who wants to know.
struct Hearers<'a> {
    pasts: Pasts,
    copy: Option<&'a mut DropCopy>,
    copied: u64,
    /// A file takes nothing. All waits then: the journal's writer tries again, tells it and stops trading.
    is_copy_refused: bool,
}

impl Hearers<'_> {
    fn write_copy(&mut self) {
        if self.is_copy_refused {
            return;
        }
        match self.copy.as_mut().map(|copy| copy.write()) {
            Some(Ok(lines)) => self.copied += lines as u64,
            Some(Err(_)) => self.is_copy_refused = true,
            None => {}
        }
    }
}

impl Hearer for Hearers<'_> {
    fn begin_file(&mut self, head: &Head) {
        self.pasts.begin_file(head);
    }

    fn on_record(&mut self, header: &Header, event: &Event<'_>) {
        let told = self.pasts.hear(header, event);
        let (Some(copy), Some(told)) = (&mut self.copy, told) else {
            return;
        };
        copy.wait(told);
        if copy.waiting().is_multiple_of(COPIED_TOGETHER) {
            self.write_copy();
        }
    }
}

/// A file that nobody writes.
struct Ended {
    path: PathBuf,
    file: File,
    bytes: u64,
    /// When it was written last, ns since 1970.
    written_ns: u64,
    /// Its run was killed before it had written its head: nothing is in it.
    is_empty: bool,
}

/// Those of the last day and the newest, the oldest first.
fn recent(folder: &Path, sessions: &[SessionNames]) -> io::Result<Vec<Ended>> {
    let not_before = UNIX_EPOCH + Duration::from_nanos(realtime_ns()).saturating_sub(REACH);
    let mut files = Vec::new();
    for path in list(folder)?.into_iter().rev() {
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                is_anothers(&file, sessions).map_err(|session| {
                    let text = format!(
                        "{}: another gateway writes it for session {session}; expected one gateway for a session",
                        path.display()
                    );
                    io::Error::other(text)
                })?;
                continue;
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let ended = Ended::of(path, file)?;
        if ended.is_wanted(&files, not_before)? {
            files.push(ended);
        }
    }
    files.reverse();
    Ok(files)
}

fn since_1970(time: SystemTime) -> Option<u64> {
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since.as_nanos()).ok()
}

/// Whether a file ends before its head does.
fn is_short_of_a_head(mut file: &File) -> io::Result<bool> {
    let read = Reader::new(file);
    file.rewind()?;
    Ok(matches!(read, Err(ReadError::Head(HeadFlaw::Short { .. }))))
}

/// Whether a file that is being written has nothing to do with our sessions.
///
/// # Errors
/// The one of ours that it is for.
fn is_anothers(file: &File, sessions: &[SessionNames]) -> Result<(), String> {
    // Without a head it says nothing of anybody.
    let Ok(reader) = Reader::new(file) else {
        return Ok(());
    };
    let is_ours = |theirs: &&SessionNames| sessions.iter().any(|ours| ours.is_same(theirs));
    let mut theirs = reader.head().names.sessions.iter();
    theirs
        .find(is_ours)
        .map_or(Ok(()), |it| Err(it.name.clone()))
}

impl Ended {
    fn of(path: PathBuf, file: File) -> io::Result<Self> {
        let about = file.metadata()?;
        // What does not say when it was written may be of today.
        let written = about.modified().ok();
        Ok(Self {
            is_empty: is_short_of_a_head(&file)?,
            bytes: about.len(),
            written_ns: written.and_then(since_1970).unwrap_or(u64::MAX),
            path,
            file,
        })
    }

    /// Whether it is of the last day, or the newest: `newer` are those that are wanted of the files after it.
    fn is_wanted(&self, newer: &[Self], not_before: SystemTime) -> io::Result<bool> {
        let written = self.file.metadata()?.modified().ok();
        let is_recent = written.is_some_and(|it| it >= not_before);
        // The newest run is the newest of which there is anything.
        Ok(newer.iter().all(|it| it.is_empty) || is_recent)
    }

    /// What is wrong with it; a torn tail is cut off.
    fn on_error(self, error: ReadError, pasts: &mut Pasts) -> io::Result<Found> {
        let is_cut = match &error {
            ReadError::Damaged(Damage {
                offset,
                is_torn: true,
                ..
            }) => {
                self.file.set_len(*offset)?;
                self.file.sync_all()?;
                true
            }
            ReadError::Damaged(Damage { offset, .. }) => {
                pasts.on_unread(self.written_ns, true);
                self.skip_from(*offset, pasts);
                false
            }
            // No record was ever in it.
            ReadError::Head(HeadFlaw::Short { .. }) => false,
            ReadError::Io(_) | ReadError::Head(_) => {
                pasts.on_unread(self.written_ns, false);
                self.skip_from(0, pasts);
                false
            }
        };
        Ok(Found {
            path: self.path,
            error,
            is_cut,
        })
    }

    /// As many orders as the rest of the file may have.
    fn skip_from(&self, offset: u64, pasts: &mut Pasts) {
        let orders = self.bytes.saturating_sub(offset) / record_bytes(INTENT_BYTES) as u64;
        pasts.on_damage(u32::try_from(orders).unwrap_or(u32::MAX));
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::super::batch::Encoder;
    use super::super::copy_format::CopyFormat;
    use super::super::event::HeardMessage;
    use super::super::files::Files;
    use super::super::format::Kind;
    use super::super::head::{self, Began, Names};
    use super::super::inlet::{Message, inlet};
    use protocol::types::UserRefNum;

    use super::*;
    use crate::order::risk::KillSwitch;

    /// What a look back finds wrong.
    fn cut_tail(folder: &Path) -> Option<Found> {
        look_back(folder, &[], 0, None, |_, _| ())
            .unwrap()
            .found
            .pop()
    }

    const BEGAN: Began = Began {
        realtime_ns: 1_700_000_000_000_000_000,
        monotonic_ns: 1,
    };

    /// A run's file with two records, and where the second begins.
    fn run(folder: &Path) -> (PathBuf, u64) {
        let names = Names::new(Vec::new(), Vec::new());
        let mut files = Files::begin(folder, BEGAN, &names).unwrap();
        let mut encoder = Encoder::new(BEGAN.salt(), names);
        let mut batch = Vec::new();
        encoder.note(Kind::Start, 1, &mut batch);
        let second = files.open().unwrap().len + batch.len() as u64;
        encoder.note(Kind::Stop, 2, &mut batch);
        let open = files.open().unwrap();
        (&*open.file).write_all(&batch).unwrap();
        (open.path.clone(), second)
    }

    #[test]
    fn torn_tail_is_cut_and_the_rest_stays_readable() {
        for torn in 1..32 {
            let folder = tempfile::tempdir().unwrap();
            let (path, second) = run(folder.path());
            let file = OpenOptions::new().write(true).open(&path).unwrap();
            file.set_len(second + torn).unwrap();
            let found = cut_tail(folder.path()).unwrap();
            assert!(found.is_cut && found.path == path, "{}", found.error);
            assert_eq!(std::fs::metadata(&path).unwrap().len(), second);
            assert!(cut_tail(folder.path()).is_none());
        }
    }

    #[test]
    fn run_that_was_killed_while_it_wrote_its_head_is_empty_and_hides_no_other() {
        let names = Names::new(Vec::new(), Vec::new());
        let head = head::encode(BEGAN, 0, &names);
        for bytes in [0, 7, head.len() - 1] {
            let folder = tempfile::tempdir().unwrap();
            let (path, _) = run(folder.path());
            let file = File::options().write(true).open(&path).unwrap();
            file.set_modified(UNIX_EPOCH).unwrap();
            let killed = folder.path().join("journal-99990101-080000-001-0000.tgj");
            std::fs::write(&killed, &head[..bytes]).unwrap();
            let back = look_back(folder.path(), &[], 0, None, |_, _| ()).unwrap();
            assert_eq!(
                (back.files, back.records),
                (2, 2),
                "the run before it is read"
            );
            let [found] = &back.found[..] else {
                panic!("{:?}", back.found);
            };
            assert!(found.path == killed && found.error.is_torn() && !found.is_cut);
        }
    }

    #[test]
    fn clock_that_is_a_day_ahead_leaves_the_newest_run_alone_to_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let names = Names::new(Vec::new(), Vec::new());
        let runs = [0, 1].map(|hour| {
            let began = Began {
                realtime_ns: BEGAN.realtime_ns + hour * 3_600_000_000_000,
                ..BEGAN
            };
            let mut files = Files::begin(folder.path(), began, &names).unwrap();
            files.open().unwrap().path.clone()
        });
        let read = || {
            let back = look_back(folder.path(), &[], 0, None, |_, _| ());
            back.unwrap().files
        };
        assert_eq!(read(), 2);
        // As such a clock sees them.
        let long_ago = UNIX_EPOCH + Duration::from_nanos(realtime_ns()) - REACH;
        for path in &runs {
            let file = OpenOptions::new().write(true).open(path).unwrap();
            file.set_modified(long_ago).unwrap();
        }
        assert_eq!(read(), 1);
    }

    #[test]
    fn short_head_skips_no_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let sessions = [SessionNames {
            name: "ouch".to_owned(),
            next: 1,
            ..SessionNames::default()
        }];
        let head = head::encode(BEGAN, 0, &Names::new(sessions.to_vec(), Vec::new()));
        let path = folder.path().join("journal-20260101-080000-001-0000.tgj");
        std::fs::write(path, &head[..head.len() - 1]).unwrap();
        let back = look_back(folder.path(), &sessions, 100, None, |_, _| ()).unwrap();
        assert_eq!(back.pasts[0].next_number(), UserRefNum(1));
    }

    #[test]
    fn zeros_behind_the_last_record_are_a_torn_tail() {
        let folder = tempfile::tempdir().unwrap();
        let (path, second) = run(folder.path());
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(second).unwrap();
        file.set_len(second + 5_000).unwrap();
        assert!(cut_tail(folder.path()).unwrap().is_cut);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), second);
    }

    #[test]
    fn damage_in_the_middle_is_told_and_nothing_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        let (path, second) = run(folder.path());
        let mut bytes = std::fs::read(&path).unwrap();
        let at = usize::try_from(second).unwrap() - 3;
        bytes[at] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let found = cut_tail(folder.path()).unwrap();
        assert!(!found.is_cut, "{}", found.error);
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }

    #[test]
    fn executions_of_another_gateways_session_are_its_own_to_copy() {
        let folder = tempfile::tempdir().unwrap();
        let (journal, copies) = (folder.path().join("journal"), folder.path().join("copies"));
        std::fs::create_dir(&journal).unwrap();
        let mut sessions = journal_of_executions(&journal, 3);
        "other".clone_into(&mut sessions[0].name);
        let mut copy = DropCopy::open(&copies, CopyFormat::Json, &sessions).unwrap();
        let back = look_back(&journal, &sessions, 0, Some(&mut copy), |_, _| ()).unwrap();
        assert_eq!((back.copied, copy.waiting()), (0, 0));
        assert_eq!(std::fs::read_dir(&copies).unwrap().count(), 0);
    }

    /// OUCH 5.0, "Order Executed": offsets of its table.
    fn execution(match_number: u64) -> [u8; 36] {
        let mut bytes = [0; 36];
        bytes[0] = b'E';
        bytes[16] = 1;
        bytes[26..34].copy_from_slice(&match_number.to_be_bytes());
        bytes
    }

    /// A journal of a session in which this many executions of one order were heard.
    fn journal_of_executions(folder: &Path, executions: u64) -> Vec<SessionNames> {
        let sessions = vec![SessionNames {
            name: "ouch".to_owned(),
            username: "desk1".to_owned(),
            next: 1,
            ..SessionNames::default()
        }];
        let names = Names::new(sessions.clone(), Vec::new());
        let mut files = Files::begin(folder, BEGAN, &names).unwrap();
        let mut encoder = Encoder::new(BEGAN.salt(), names);
        let (mut hot, mut outlet) = inlet(0, 4 << 20, KillSwitch::default()).unwrap();
        hot.on_logged_in(1, *b"DAY       ", 1);
        for seq in 1..=executions {
            let heard = Message {
                seq,
                is_past: false,
                bytes: &execution(seq),
            };
            hot.on_heard(&heard, 2);
        }
        let mut batch = Vec::new();
        while encoder.take(&mut outlet.records, &mut batch, |_, _| ()) > 0 {
            let open = files.open().unwrap();
            (&*open.file).write_all(&batch).unwrap();
            batch.clear();
        }
        sessions
    }

    #[test]
    fn executions_go_to_the_drop_copy_while_journals_are_read_and_none_twice() {
        let folder = tempfile::tempdir().unwrap();
        let [journal, copies] = ["journal", "copy"].map(|name| folder.path().join(name));
        std::fs::create_dir(&journal).unwrap();
        let executions = COPIED_TOGETHER as u64 * 2 + 10;
        let sessions = journal_of_executions(&journal, executions);
        for copied in [executions, 0] {
            let mut copy = DropCopy::open(&copies, CopyFormat::Json, &sessions).unwrap();
            let back = look_back(&journal, &sessions, 0, Some(&mut copy), |_, _| ()).unwrap();
            assert_eq!((back.copied, copy.waiting()), (copied, 0));
            // The run that begins knows what was heard.
            let mut joined = sessions.clone();
            "DAY".clone_into(&mut joined[0].joined);
            copy.begin_run(BEGAN, &Names::new(joined, Vec::new()));
            for (seq, waiting) in [(1, 0), (executions + 1, 1)] {
                let heard = HeardMessage {
                    seq,
                    is_past: true,
                    message: &execution(seq),
                };
                copy.on_record(&Header::default(), &Event::Heard(heard));
                assert_eq!(copy.waiting(), waiting, "{seq}");
            }
        }
        let text = std::fs::read_to_string(copies.join("ouch-desk1-DAY.jsonl")).unwrap();
        assert_eq!(text.lines().count() as u64, executions);
    }

    #[test]
    fn damage_of_today_is_known_to_every_session_and_a_torn_tail_is_none() {
        for (from_end, is_damaged) in [(200, true), (3, false)] {
            let folder = tempfile::tempdir().unwrap();
            let sessions = journal_of_executions(folder.path(), 20);
            let path = list(folder.path()).unwrap().remove(0);
            let mut bytes = std::fs::read(&path).unwrap();
            if is_damaged {
                let at = bytes.len() - from_end;
                bytes[at] ^= 1;
            } else {
                bytes.truncate(bytes.len() - from_end);
            }
            std::fs::write(&path, &bytes).unwrap();
            let mut back = look_back(folder.path(), &sessions, 0, None, |_, _| ()).unwrap();
            assert_eq!(back.found.len(), 1);
            let carried = back.pasts.remove(0).take_carried(*b"NOON      ");
            assert_eq!(carried.is_damaged, is_damaged);
            assert!(carried.sessions[0].unknown >= 10, "{carried:?}");
        }
    }

    #[test]
    fn copy_that_takes_nothing_keeps_every_execution_for_the_writer() {
        let folder = tempfile::tempdir().unwrap();
        let [journal, copies] = ["journal", "copy"].map(|name| folder.path().join(name));
        std::fs::create_dir(&journal).unwrap();
        let executions = COPIED_TOGETHER * 2 + 10;
        let sessions = journal_of_executions(&journal, executions as u64);
        let mut copy = DropCopy::open(&copies, CopyFormat::Json, &sessions).unwrap();
        std::fs::write(
            copies.join("ouch-desk1-DAY.jsonl"),
            "minutes of a meeting\n",
        )
        .unwrap();
        let back = look_back(&journal, &sessions, 0, Some(&mut copy), |_, _| ()).unwrap();
        assert_eq!((back.copied, copy.waiting()), (0, executions));
    }

    #[test]
    fn session_name_that_is_used_again_fails_the_drop_copy_before_two_days_mix() {
        let folder = tempfile::tempdir().unwrap();
        let [journal, copies] = ["journal", "copy"].map(|name| folder.path().join(name));
        std::fs::create_dir(&journal).unwrap();
        let sessions = journal_of_executions(&journal, 10);
        let mut copy = DropCopy::open(&copies, CopyFormat::Json, &sessions).unwrap();
        look_back(&journal, &sessions, 0, Some(&mut copy), |_, _| ()).unwrap();
        copy.begin_run(Began::default(), &Names::new(sessions, Vec::new()));
        let header = Header::default();
        copy.on_record(&header, &Event::LoggedIn(1, *b"DAY       "));
        let mut hear = |seq, trade| {
            let message = &execution(trade);
            let heard = HeardMessage {
                seq,
                is_past: false,
                message,
            };
            copy.on_record(&header, &Event::Heard(heard));
            (copy.is_idle(), copy.waiting())
        };
        assert_eq!(hear(1, 1), (true, 0), "told again");
        assert_eq!(hear(2, 77), (false, 0));
        assert_eq!(hear(11, 78), (false, 1));
        let error = copy.write().unwrap_err().to_string();
        for part in ["session ouch", "session DAY", "number 2", "earlier day"] {
            assert!(error.contains(part), "{error}");
        }
        assert_eq!(copy.waiting(), 1, "it is of another day than the file");
        let text = std::fs::read_to_string(copies.join("ouch-desk1-DAY.jsonl")).unwrap();
        assert_eq!(text.lines().count(), 10);
    }

    #[test]
    fn second_gateway_for_a_session_is_refused_while_the_first_lives() {
        let folder = tempfile::tempdir().unwrap();
        let session = |username: &str| {
            vec![SessionNames {
                name: "ouch".to_owned(),
                username: username.to_owned(),
                next: 1,
                ..SessionNames::default()
            }]
        };
        let names = Names::new(session("one"), Vec::new());
        let living = Files::begin(folder.path(), BEGAN, &names).unwrap();
        let look = |username| look_back(folder.path(), &session(username), 0, None, |_, _| ());
        let refused = look("one").unwrap_err().to_string();
        assert!(
            refused.contains("another gateway writes it for session ouch"),
            "{refused}"
        );
        assert_eq!(
            look("two").unwrap().files,
            0,
            "another account's is left alone"
        );
        drop(living);
        assert_eq!(look("one").unwrap().files, 1);
    }

    #[test]
    fn file_that_another_gateway_writes_is_left_alone_and_each_run_has_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let names = Names::new(Vec::new(), Vec::new());
        let mut first = Files::begin(folder.path(), BEGAN, &names).unwrap();
        let mut second = Files::begin(folder.path(), BEGAN, &names).unwrap();
        second.begin_next(&names).unwrap();
        let open = first.open().unwrap();
        (&*open.file).write_all(b"half a record").unwrap();
        assert!(cut_tail(folder.path()).is_none());
        let listed = list(folder.path()).unwrap();
        let ends = listed.iter().map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name[name.len() - 12..].to_owned()
        });
        assert_eq!(
            ends.collect::<Vec<_>>(),
            ["001-0000.tgj", "002-0000.tgj", "002-0001.tgj"]
        );
    }
}
