//! A capture's files: `NAME-YYYYMMDD-HHMMSS-N.pcapng`, full at a size, the oldest removed beyond a number.
//!
//! Thread:      capture core
//! Invariants:  a file holds whole blocks: what an error left behind them is cut off. A new file is there, with its
//!              head, before an old one is removed, so that a full disk costs no older capture.
//! When wrong:  an error is given to the caller, with how many frames it cost. A file stays open when its disk is full,
//!              to go on in it; after any other error the next frame begins a new one, as it does when the file has been
//!              removed under us.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Bytes that are written at once: few calls at full rate. What is lost if the process is killed is bounded by time
/// (`stage`), not by this.
const BUFFER_BYTES: usize = 256 << 10;
const NAME_END: &str = ".pcapng";
const SECONDS_A_DAY: u64 = 86_400;

/// Where files go, and how far.
#[derive(Clone, Debug)]
pub(super) struct FilesOptions {
    pub(super) folder: PathBuf,
    /// How their names begin.
    pub(super) stem: String,
    pub(super) file_bytes: u64,
    pub(super) files_max: usize,
}

/// The files of one feed.
#[derive(Debug)]
pub(super) struct Files {
    options: FilesOptions,
    open: Option<Open>,
    /// Whole blocks that are not written yet, and the frames in them.
    buffer: Vec<u8>,
    buffered_frames: u64,
}

#[derive(Debug)]
struct Open {
    file: File,
    path: PathBuf,
    /// Bytes of whole blocks on the disk.
    written: u64,
}

/// A disk error, and what it cost.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) path: PathBuf,
    pub(super) error: io::Error,
    pub(super) frames_lost: u64,
}

/// What writing did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) frames: u64,
    pub(super) bytes: u64,
}

impl Files {
    pub(super) fn new(options: FilesOptions) -> Self {
        Self {
            options,
            open: None,
            buffer: Vec::with_capacity(BUFFER_BYTES),
            buffered_frames: 0,
        }
    }

    /// Whether a file is open that has room for this many bytes more.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        let Some(open) = &self.open else { return false };
        let total = open.written + (self.buffer.len() + bytes) as u64;
        total <= self.options.file_bytes
    }

    /// Begins a new file with this head, and removes the oldest ones beyond the number: says how many. The caller has
    /// flushed the last one.
    pub(super) fn begin(&mut self, realtime_ns: u64, head: &[u8]) -> Result<u64, Failure> {
        self.open = None;
        let time = utc(realtime_ns / 1_000_000_000);
        let failure = |path: &Path, error| Failure {
            path: path.to_owned(),
            error,
            frames_lost: 0,
        };
        let folder = self.options.folder.clone();
        let there = self.list().map_err(|error| failure(&folder, error))?;
        let same = there.iter().filter(|(at, _)| *at == time);
        let number = same.map(|(_, number)| number + 1).max().unwrap_or(1);
        let path = folder.join(self.name(&time, number));
        let opened = OpenOptions::new().write(true).create_new(true).open(&path);
        let mut file = opened.map_err(|error| failure(&path, error))?;
        let result = file.write_all(head);
        let open = self.open.insert(Open {
            file,
            path,
            written: head.len() as u64,
        });
        if let Err(error) = result {
            let failure = failure(&open.path, error);
            self.discard();
            return Err(failure);
        }
        let mut removed = 0;
        let beyond = (there.len() + 1).saturating_sub(self.options.files_max);
        for (time, number) in there.iter().take(beyond) {
            let path = folder.join(self.name(time, *number));
            match std::fs::remove_file(&path) {
                Ok(()) => removed += 1,
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => {
                    // The number is a bound: no new file for one that cannot go.
                    self.discard();
                    return Err(failure(&path, error));
                }
            }
        }
        Ok(removed)
    }

    /// Takes a frame's block for the open file.
    pub(super) fn append(&mut self, block: &[u8]) -> Result<Written, Failure> {
        self.buffer.extend_from_slice(block);
        self.buffered_frames += 1;
        if self.buffer.len() < BUFFER_BYTES {
            return Ok(Written::default());
        }
        self.flush()
    }

    /// Writes what waits.
    pub(super) fn flush(&mut self) -> Result<Written, Failure> {
        let frames = std::mem::take(&mut self.buffered_frames);
        let Some(open) = self.open.as_mut().filter(|_| !self.buffer.is_empty()) else {
            self.buffer.clear();
            return Ok(Written::default());
        };
        let bytes = self.buffer.len() as u64;
        let result = open.write(&self.buffer);
        self.buffer.clear();
        let Err(error) = result else {
            return Ok(Written { frames, bytes });
        };
        let path = open.path.clone();
        let is_full = matches!(
            error.kind(),
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded
        );
        // Half a block would end the file for who reads it.
        let is_cut = open.cut().is_ok();
        if !(is_full && is_cut) {
            self.open = None;
        }
        Err(Failure {
            path,
            error,
            frames_lost: frames,
        })
    }

    /// The next frame begins a new file.
    pub(super) fn close(&mut self) {
        self.open = None;
    }

    /// Takes back a file that has nothing but its head. If it cannot go, it counts as one of the files.
    fn discard(&mut self) {
        if let Some(open) = self.open.take() {
            drop(std::fs::remove_file(open.path));
        }
    }

    fn name(&self, time: &str, number: u64) -> OsString {
        format!("{}-{time}-{number}{NAME_END}", self.options.stem).into()
    }

    /// This feed's files, the oldest first: their times and numbers.
    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.options.folder)? {
            let name = entry?.file_name();
            found.extend(name.to_str().and_then(|name| self.parse(name)));
        }
        found.sort_unstable();
        Ok(found)
    }

    fn parse(&self, name: &str) -> Option<(String, u64)> {
        let rest = name.strip_prefix(&self.options.stem)?.strip_prefix('-')?;
        let (time, number) = rest.strip_suffix(NAME_END)?.rsplit_once('-')?;
        let (date, clock) = time.split_once('-')?;
        let is_number =
            |text: &str, len| text.len() == len && text.bytes().all(|byte| byte.is_ascii_digit());
        let parsed: u64 = number.parse().ok()?;
        let is_ours = is_number(date, 8) && is_number(clock, 6) && parsed.to_string() == number;
        is_ours.then(|| (time.to_owned(), parsed))
    }
}

impl Open {
    /// Writes whole blocks to a file that somebody can find.
    fn write(&mut self, blocks: &[u8]) -> io::Result<()> {
        if self.file.metadata()?.nlink() == 0 {
            return Err(ErrorKind::NotFound.into());
        }
        self.file.write_all(blocks)?;
        self.written += blocks.len() as u64;
        Ok(())
    }

    /// Takes off what an error left behind the last whole block.
    fn cut(&mut self) -> io::Result<()> {
        self.file.set_len(self.written)?;
        self.file.seek(SeekFrom::Start(self.written)).map(drop)
    }
}

/// `YYYYMMDD-HHMMSS` in UTC. Civil days are counted from 0000-03-01, so that a leap day is a year's last: 146,097 days
/// are 400 years, and months of a year that begins in March have 153 days in five.
#[must_use]
pub fn utc(seconds: u64) -> String {
    let days = seconds / SECONDS_A_DAY + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    let year = era * 400 + year + next;
    let clock = seconds % SECONDS_A_DAY;
    let (hour, minute, second) = (clock / 3600, clock / 60 % 60, clock % 60);
    format!("{year:04}{month:02}{date:02}-{hour:02}{minute:02}{second:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn files(folder: &Path, file_bytes: u64, files_max: usize) -> Files {
        Files::new(FilesOptions {
            folder: folder.to_owned(),
            stem: "itch".to_owned(),
            file_bytes,
            files_max,
        })
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn time_of_day_is_the_calendars() {
        // From `date -u -d @N +%Y%m%d-%H%M%S`.
        for (seconds, expected) in [
            (0, "19700101-000000"),
            (951_782_399, "20000228-235959"),
            (951_782_400, "20000229-000000"),
            (951_868_800, "20000301-000000"),
            (1_735_689_599, "20241231-235959"),
            (1_764_171_234, "20251126-153354"),
            (4_107_542_400, "21000301-000000"),
        ] {
            assert_eq!(utc(seconds), expected);
        }
    }

    #[test]
    fn files_are_bounded_in_size_and_number_and_others_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let others = [
            "itch-notes.pcapng",
            "itch-20250101-000000-01.pcapng",
            "itch2-20250101-000000-1.pcapng",
            "itch-a-20250101-000000-1.pcapng",
        ];
        for name in others.iter().chain(&["itch-19690101-000000-1.pcapng"]) {
            std::fs::write(folder.path().join(name), "old").unwrap();
        }
        let mut files = files(folder.path(), 100, 3);
        let (mut begun, mut removed, mut frames) = (0, 0, 0);
        for second in 0..20 {
            for _ in 0..2 {
                if !files.has_room(40) {
                    frames += files.flush().unwrap().frames;
                    removed += files.begin(second * SECOND, b"head").unwrap();
                    begun += 1;
                }
                frames += files.append(&[7; 40]).unwrap().frames;
            }
        }
        frames += files.flush().unwrap().frames;
        assert_eq!((begun, removed, frames), (20, 18, 40));
        let ours: Vec<String> = names(folder.path())
            .into_iter()
            .filter(|name| !others.contains(&name.as_str()))
            .collect();
        let expected = [17, 18, 19].map(|n| format!("itch-19700101-0000{n}-1.pcapng"));
        assert_eq!(ours, expected);
        for name in ours {
            let bytes = std::fs::read(folder.path().join(name)).unwrap();
            assert_eq!(bytes, [&b"head"[..], &[7; 80]].concat());
        }
        assert_eq!(names(folder.path()).len(), others.len() + 3);
    }

    #[test]
    fn files_of_one_second_are_told_apart_and_removed_in_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = files(folder.path(), 100, 2);
        let removed: u64 = (0..12).map(|_| files.begin(0, b"head").unwrap()).sum();
        assert_eq!(removed, 10);
        let expected = [11, 12].map(|n| format!("itch-19700101-000000-{n}.pcapng"));
        assert_eq!(names(folder.path()), expected);
    }

    #[test]
    fn full_disk_costs_what_was_not_written_and_no_older_file() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = files(folder.path(), 1000, 1);
        files.begin(0, b"head").unwrap();
        files.append(&[1; 40]).unwrap();
        files.flush().unwrap();
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        files.open.as_mut().unwrap().file = full;
        files.append(&[2; 40]).unwrap();
        files.append(&[2; 40]).unwrap();
        let failure = files.flush().unwrap_err();
        assert_eq!(failure.error.kind(), ErrorKind::StorageFull);
        assert_eq!(failure.frames_lost, 2);
        let path = folder.path().join("itch-19700101-000000-1.pcapng");
        assert_eq!(failure.path, path);
        let bytes = std::fs::read(path).unwrap();
        assert_eq!(bytes, [&b"head"[..], &[1; 40]].concat());
    }

    #[test]
    fn half_a_block_is_cut_off_and_the_file_goes_on_where_it_stood() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = files(folder.path(), 1000, 1);
        files.begin(0, b"head").unwrap();
        let open = files.open.as_mut().unwrap();
        open.write(&[1; 40]).unwrap();
        open.file.write_all(&[9; 17]).unwrap();
        open.cut().unwrap();
        open.write(&[2; 40]).unwrap();
        let bytes = std::fs::read(&open.path).unwrap();
        assert_eq!(bytes, [&b"head"[..], &[1; 40], &[2; 40]].concat());
    }

    #[test]
    fn folder_or_file_that_is_taken_away_is_told_and_nothing_else_happens() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("capture");
        let mut files = files(&inner, 1000, 2);
        let failure = files.begin(0, b"head").unwrap_err();
        assert_eq!(
            (failure.error.kind(), &failure.path),
            (ErrorKind::NotFound, &inner)
        );
        std::fs::create_dir(&inner).unwrap();
        files.begin(0, b"head").unwrap();
        assert!(files.has_room(1));
        std::fs::remove_dir_all(&inner).unwrap();
        files.append(&[1; 40]).unwrap();
        let failure = files.flush().unwrap_err();
        assert_eq!(
            (failure.error.kind(), failure.frames_lost),
            (ErrorKind::NotFound, 1)
        );
        assert!(!files.has_room(1), "a file without a name is of no use");
    }
}
