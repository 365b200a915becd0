//! A journal's files: `journal-YYYYMMDD-HHMMSS-N-PART.tgj`, one or more for each run, never removed by the gateway.
//!
//! Thread:      journal core; `cut_tail` at the start
//! Invariants:  a file is locked as long as it is written, so that nobody takes its end for a torn one. Only what no
//!              whole record follows is ever cut off.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use feed_handler::capture::utc;

use super::head::{self, Began, Names};
use super::reader::{Damage, ReadError, Reader};

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
            // Half a head is of no use to anybody; where it cannot be removed it is refused by its reader.
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

/// What a look at the last run's journal found.
#[derive(Debug)]
pub struct Found {
    /// Its last file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub error: ReadError,
    /// Its torn tail was cut off, and it is whole now.
    pub is_cut: bool,
}

/// Cuts a torn tail off the newest journal that nobody writes; `None`: it is whole, or there is none.
///
/// # Errors
/// What the file system says.
pub fn cut_tail(folder: &Path) -> io::Result<Option<Found>> {
    for path in list(folder)?.into_iter().rev() {
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        match file.try_lock() {
            Ok(()) => {}
            // Another gateway's.
            Err(TryLockError::WouldBlock) => continue,
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let Err(error) = read_through(&file) else {
            return Ok(None);
        };
        let torn = match &error {
            ReadError::Damaged(Damage {
                offset,
                is_torn: true,
                ..
            }) => Some(*offset),
            _ => None,
        };
        if let Some(offset) = torn {
            file.set_len(offset)?;
            file.sync_all()?;
        }
        return Ok(Some(Found {
            path,
            error,
            is_cut: torn.is_some(),
        }));
    }
    Ok(None)
}

fn read_through(file: &File) -> Result<(), ReadError> {
    let mut reader = Reader::new(file)?;
    while reader.next_record()?.is_some() {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::batch::Encoder;
    use super::super::format::Kind;
    use super::*;

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
            let found = cut_tail(folder.path()).unwrap().unwrap();
            assert!(found.is_cut && found.path == path, "{}", found.error);
            assert_eq!(std::fs::metadata(&path).unwrap().len(), second);
            assert!(cut_tail(folder.path()).unwrap().is_none());
        }
    }

    #[test]
    fn zeros_behind_the_last_record_are_a_torn_tail() {
        let folder = tempfile::tempdir().unwrap();
        let (path, second) = run(folder.path());
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(second).unwrap();
        file.set_len(second + 5_000).unwrap();
        assert!(cut_tail(folder.path()).unwrap().unwrap().is_cut);
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
        let found = cut_tail(folder.path()).unwrap().unwrap();
        assert!(!found.is_cut, "{}", found.error);
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
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
        assert!(cut_tail(folder.path()).unwrap().is_none());
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
