//! A journal's files: `journal-YYYYMMDD-HHMMSS-N-PART.tgj`, one or more for each run.
//!
//! Thread:      journal core; `list` and `remove_ended` at the start
//! Invariants:  a file is locked as long as it is written, so that nobody takes its end for a torn one.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use feed_handler::capture::utc;

use super::head::{self, Began, Names};
use super::reader::{ReadError, Reader};

const NAME_END: &str = ".tgj";
/// Runs that begin in one second.
const NUMBER_MAX: u32 = 999;

/// The files of one run.
#[derive(Debug)]
pub struct Files {
    folder: PathBuf,
    began: Began,
    /// Which of the runs that began in that second.
    number: u32,
    part: u32,
    open: Option<Open>,
}

/// A file that is being written.
#[derive(Debug)]
pub struct Open {
    /// The file.
    pub file: Arc<File>,
    /// Where it is.
    pub path: PathBuf,
    /// Bytes up to its last whole batch.
    pub len: u64,
}

impl Files {
    /// Begins a run's first file.
    ///
    /// # Errors
    /// What the file system says.
    pub fn begin(folder: &Path, began: Began, names: &Names) -> io::Result<Self> {
        let mut files = Self {
            folder: folder.to_owned(),
            began,
            number: 1,
            part: 0,
            open: None,
        };
        while let Err(error) = files.open_part(names) {
            if error.kind() != ErrorKind::AlreadyExists || files.number >= NUMBER_MAX {
                return Err(error);
            }
            files.number += 1;
        }
        Ok(files)
    }

    /// Begins the run's next file.
    ///
    /// # Errors
    /// What the file system says; the file of before goes on then.
    pub fn begin_next(&mut self, names: &Names) -> io::Result<()> {
        self.part += 1;
        let opened = self.open_part(names);
        if opened.is_err() {
            self.part -= 1;
        }
        opened
    }

    /// The file that is being written.
    pub fn open(&mut self) -> Option<&mut Open> {
        self.open.as_mut()
    }

    fn open_part(&mut self, names: &Names) -> io::Result<()> {
        let Self { number, part, .. } = self;
        let time = utc(self.began.realtime_ns / 1_000_000_000);
        let name = format!("journal-{time}-{number:03}-{part:04}{NAME_END}");
        let path = self.folder.join(name);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)?;
        let head = head::encode(self.began, *part, names);
        let written = file
            .try_lock()
            .map_err(io::Error::from)
            .and_then(|()| (&file).write_all(&head))
            .and_then(|()| file.sync_data())
            .and_then(|()| File::open(&self.folder)?.sync_all());
        if let Err(error) = written {
            // Half a head is of no use to anybody; where it cannot be removed it is an empty file to its reader.
            let _ = std::fs::remove_file(&path);
            return Err(error);
        }
        self.open = Some(Open {
            file: Arc::new(file),
            path,
            len: head.len() as u64,
        });
        Ok(())
    }
}

/// The journals in a folder, the oldest first.
///
/// # Errors
/// What the file system says.
pub fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if name.is_some_and(|name| name.starts_with("journal-") && name.ends_with(NAME_END)) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// What became of old runs.
#[derive(Debug, PartialEq, Eq)]
pub enum Removal {
    /// These files are gone.
    Removed(Vec<PathBuf>),
    /// None is: the clock is further past the newest run than runs are kept, so it is the clock that may be wrong.
    Doubtful,
}

/// Removes the runs that ended longer ago than they are kept, each with all its files: by the clock, and by the newest run. That
/// one stays, whenever it was, for a start learns from it; so does one that is being written, and one whose head cannot be read.
/// Only files named as a gateway names them count.
///
/// # Errors
/// What the file system says; what was removed until then is gone.
pub fn remove_ended(folder: &Path, now: SystemTime, keep: Duration) -> io::Result<Removal> {
    let mut files = list(folder)?;
    files.retain(|path| is_named_by_us(path));
    let mut runs: Vec<&[PathBuf]> = files
        .chunk_by(|one, next| run_of(one) == run_of(next))
        .collect();
    // The newest of which anything is known.
    let newest = loop {
        let Some(run) = runs.pop() else {
            return Ok(Removal::Removed(Vec::new()));
        };
        if let Some(ended) = ended(run)? {
            break ended;
        }
    };
    if now > newest + keep {
        return Ok(Removal::Doubtful);
    }
    let before = now.min(newest).checked_sub(keep).unwrap_or(UNIX_EPOCH);
    let mut removed = Vec::new();
    for run in runs {
        if is_written(run)? || ended(run)?.is_none_or(|ended| ended >= before) {
            continue;
        }
        for path in run {
            std::fs::remove_file(path)?;
            removed.push(path.clone());
        }
    }
    Ok(Removal::Removed(removed))
}

/// Whether a file has a name that a gateway gives.
fn is_named_by_us(path: &Path) -> bool {
    let name = path.file_stem().and_then(|name| name.to_str());
    let Some(rest) = name.and_then(|name| name.strip_prefix("journal-")) else {
        return false;
    };
    let fields: Vec<&str> = rest.split('-').collect();
    let is_number = |field: &&str| field.bytes().all(|digit| digit.is_ascii_digit());
    let digits: Vec<usize> = fields.iter().map(|field| field.len()).collect();
    fields.iter().all(is_number) && matches!(digits[..], [8, 6, 3, part] if part >= 4)
}

/// A run's name: what its files' names have in common.
fn run_of(path: &Path) -> Option<&str> {
    let (run, _part) = path.file_name()?.to_str()?.rsplit_once('-')?;
    Some(run)
}

/// When a run was written last, or begun, whichever is later; `None`: a file of it has no head that can be read.
fn ended(run: &[PathBuf]) -> io::Result<Option<SystemTime>> {
    let mut ended = UNIX_EPOCH;
    for path in run {
        let file = File::open(path)?;
        ended = ended.max(file.metadata()?.modified()?);
        match Reader::new(file) {
            Ok(reader) => {
                let began = Duration::from_nanos(reader.head().began.realtime_ns);
                ended = ended.max(UNIX_EPOCH + began);
            }
            Err(ReadError::Io(error)) => return Err(error),
            Err(_) => return Ok(None),
        }
    }
    Ok(Some(ended))
}

/// Whether somebody writes a run.
fn is_written(run: &[PathBuf]) -> io::Result<bool> {
    for path in run {
        match File::open(path)?.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(true),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run's file of this name, begun and written last this number of seconds after 1970.
    fn file(folder: &Path, name: &str, seconds: u64) -> File {
        let began = Began {
            realtime_ns: seconds * 1_000_000_000,
            monotonic_ns: 1,
        };
        let head = head::encode(began, 0, &Names::new(Vec::new(), Vec::new()));
        write(folder, name, &head, seconds)
    }

    fn write(folder: &Path, name: &str, bytes: &[u8], seconds: u64) -> File {
        let mut file = File::create(folder.join(name)).unwrap();
        file.write_all(bytes).unwrap();
        file.set_modified(UNIX_EPOCH + Duration::from_secs(seconds))
            .unwrap();
        file
    }

    /// The names of what is removed by this clock, where runs are kept for 100 s; `None`: nothing is, for it is in doubt.
    fn remove(folder: &Path, now_seconds: u64) -> Option<Vec<String>> {
        let now = UNIX_EPOCH + Duration::from_secs(now_seconds);
        match remove_ended(folder, now, Duration::from_secs(100)).unwrap() {
            Removal::Removed(removed) => {
                let names = removed.iter().map(|path| path.file_name().unwrap());
                Some(
                    names
                        .map(|name| name.to_string_lossy().into_owned())
                        .collect(),
                )
            }
            Removal::Doubtful => None,
        }
    }

    const NONE: [String; 0] = [];

    #[test]
    fn runs_that_ended_long_ago_are_removed_whole_but_for_the_newest() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        file(folder, "journal-20260101-080000-001-0000.tgj", 100);
        file(folder, "journal-20260101-080000-001-0001.tgj", 200);
        file(folder, "journal-20260101-080000-002-0000.tgj", 150);
        file(folder, "journal-20260102-080000-001-0000.tgj", 310);
        file(folder, "minutes-of-a-meeting.tgj", 1);
        assert_eq!(remove(folder, 200).unwrap(), NONE);
        // The first run's second file is younger.
        assert_eq!(
            remove(folder, 300).unwrap(),
            ["journal-20260101-080000-002-0000.tgj"]
        );
        assert_eq!(
            remove(folder, 310).unwrap(),
            [
                "journal-20260101-080000-001-0000.tgj",
                "journal-20260101-080000-001-0001.tgj"
            ]
        );
        assert_eq!(remove(folder, 410).unwrap(), NONE);
        assert!(folder.join("minutes-of-a-meeting.tgj").exists());
    }

    #[test]
    fn clock_that_is_ahead_removes_no_more_than_the_newest_run_allows_and_far_ahead_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        file(folder, "journal-20260101-080000-001-0000.tgj", 100);
        file(folder, "journal-20260101-080000-002-0000.tgj", 250);
        file(folder, "journal-20260102-080000-001-0000.tgj", 310);
        assert_eq!(remove(folder, 411), None);
        assert_eq!(
            remove(folder, 400).unwrap(),
            ["journal-20260101-080000-001-0000.tgj"],
            "250 is no 100 s before 310"
        );
    }

    #[test]
    fn files_that_no_gateway_named_or_that_have_no_head_stay_and_count_for_no_newest_run() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        file(folder, "journal-20260101-080000-001-0000.tgj", 100);
        file(folder, "journal-20260101-080000-002-0000.tgj", 310);
        let others = [
            "journal-20260101-080000-001-0000-copy.tgj",
            "journal-old.tgj",
            "journal-20260101-080000-1-0000.tgj",
        ];
        for name in others {
            file(folder, name, 1);
        }
        write(folder, "journal-20260101-070000-001-0000.tgj", b"damage", 1);
        write(folder, "journal-20260103-080000-001-0000.tgj", b"", 320);
        assert_eq!(
            remove(folder, 320).unwrap(),
            ["journal-20260101-080000-001-0000.tgj"]
        );
        assert_eq!(remove(folder, 320).unwrap(), NONE);
    }

    #[test]
    fn run_that_another_gateway_writes_stays() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let writing = file(folder, "journal-20260101-080000-001-0000.tgj", 100);
        writing.try_lock().unwrap();
        file(folder, "journal-20260102-080000-001-0000.tgj", 310);
        assert_eq!(remove(folder, 310).unwrap(), NONE);
        drop(writing);
        assert_eq!(
            remove(folder, 310).unwrap(),
            ["journal-20260101-080000-001-0000.tgj"]
        );
    }
}
