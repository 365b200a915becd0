//! A journal's files: `journal-YYYYMMDD-HHMMSS-N-PART.tgj`, one or more for each run, never removed by the gateway.
//!
//! Thread:      journal core; `list` at the start
//! Invariants:  a file is locked as long as it is written, so that nobody takes its end for a torn one.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
