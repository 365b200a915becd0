//! A journal's files: `journal-YYYYMMDD-HHMMSS-N-PART.tgj`, one or more for each run.
//!
//! Thread:      journal core; `list` and `remove_ended` at the start
//! Invariants:  a file is locked as long as it is written, so that nobody takes its end for a torn one.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use feed_handler::capture::utc;

use super::head::{self, Began, Names};

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

/// Removes the runs that were written last before this time, each with all its files: which. The newest run stays, whenever
/// it was, for a start learns from it; so does one that is being written.
///
/// # Errors
/// What the file system says; what was removed until then is gone.
pub fn remove_ended(folder: &Path, before: SystemTime) -> io::Result<Vec<PathBuf>> {
    let files = list(folder)?;
    let mut runs: Vec<&[PathBuf]> = files
        .chunk_by(|one, next| run_of(one) == run_of(next))
        .collect();
    runs.pop();
    let mut removed = Vec::new();
    for run in runs {
        if !is_ended(run, before)? {
            continue;
        }
        for path in run {
            std::fs::remove_file(path)?;
            removed.push(path.clone());
        }
    }
    Ok(removed)
}

/// A run's name: what its files' names have in common.
fn run_of(path: &Path) -> Option<&str> {
    let (run, _part) = path.file_name()?.to_str()?.rsplit_once('-')?;
    Some(run)
}

/// Whether all of a run was written before this time, and nobody writes it.
fn is_ended(run: &[PathBuf], before: SystemTime) -> io::Result<bool> {
    for path in run {
        let file = File::open(path)?;
        if file.try_lock().is_err() || file.metadata()?.modified()? >= before {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    /// A file of this name, written last this number of seconds after 1970.
    fn file(folder: &Path, name: &str, seconds: u64) -> File {
        let file = File::create(folder.join(name)).unwrap();
        file.set_modified(UNIX_EPOCH + Duration::from_secs(seconds))
            .unwrap();
        file
    }

    fn remove(folder: &Path, before_seconds: u64) -> Vec<String> {
        let removed = remove_ended(folder, UNIX_EPOCH + Duration::from_secs(before_seconds));
        let names = removed.unwrap();
        let names = names.iter().map(|path| path.file_name().unwrap());
        names
            .map(|name| name.to_string_lossy().into_owned())
            .collect()
    }

    #[test]
    fn runs_that_ended_long_ago_are_removed_whole_but_for_the_newest() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        file(folder, "journal-20260101-080000-001-0000.tgj", 100);
        file(folder, "journal-20260101-080000-001-0001.tgj", 200);
        file(folder, "journal-20260101-080000-002-0000.tgj", 150);
        file(folder, "journal-20260102-080000-001-0000.tgj", 250);
        file(folder, "minutes-of-a-meeting.tgj", 1);
        assert_eq!(remove(folder, 100), Vec::<String>::new());
        // The first run's second file is younger.
        assert_eq!(
            remove(folder, 200),
            ["journal-20260101-080000-002-0000.tgj"]
        );
        assert_eq!(
            remove(folder, 1_000),
            [
                "journal-20260101-080000-001-0000.tgj",
                "journal-20260101-080000-001-0001.tgj"
            ]
        );
        assert_eq!(remove(folder, 1_000), Vec::<String>::new());
        assert!(folder.join("minutes-of-a-meeting.tgj").exists());
    }

    #[test]
    fn run_that_another_gateway_writes_stays() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let writing = file(folder, "journal-20260101-080000-001-0000.tgj", 100);
        writing.try_lock().unwrap();
        file(folder, "journal-20260102-080000-001-0000.tgj", 100);
        assert_eq!(remove(folder, 1_000), Vec::<String>::new());
        drop(writing);
        assert_eq!(
            remove(folder, 1_000),
            ["journal-20260101-080000-001-0000.tgj"]
        );
    }
}
