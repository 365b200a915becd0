//! Writes the journal: takes records out of every session's ring, in batches, and sees that they reach the disk.
//!
//! ```text
//!  rings ──> batch ──begin──> disk ──done──> spare ──> the next batch
//!              │                └ failed: kill, told, the same batch again after RETRY_NS
//!              └ the disk is busy: one batch fills meanwhile; then the rings do, and trading stops
//! ```
//!
//! **Call `poll` until it does nothing, then wait; `finish` at the end.**
//!
//! Thread:      journal core
//! Invariants:  records leave in each session's order, once. A batch is kept until it is written: after a disk error the
//!              journal goes on where it stopped, and nothing that a ring had taken is lost.
//! Time:        comes in as `now_ns`.
//! When wrong:  a disk error turns every kill switch on, is told and counted. So does a ring that was full.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use rt::clock::SECOND_NS;
use rt::counters;

use super::batch::{BATCH_BYTES, Encoder};
use super::copy_format::CopyFormat;
use super::disk::Disk;
use super::drop_copy::DropCopy;
use super::event::Event;
use super::files::{Files, Removal, remove_ended};
use super::format::{Header, Kind, Record};
use super::head::{Began, Names};
use super::inlet::Outlet;
use super::replay::Hearer;
use super::write::{Done, Write};
use crate::order::risk::KillCause;

/// After a disk error: often enough that room made on a full disk is used soon.
pub const RETRY_NS: u64 = SECOND_NS;
/// How long the end waits for a device that does not answer: with the time that cancelling takes it is within what
/// the service's unit gives a stop.
const FINISH_NS: u64 = 2 * SECOND_NS;

counters! {
    /// What became of the journal's records.
    pub struct WriterCounters {
        /// Records of the sessions put into batches.
        records_batched,
        /// Batches written.
        batches,
        /// Bytes written, heads of files aside.
        bytes,
        /// Batches after which the device was asked to keep everything.
        syncs,
        /// Disk errors: trading stops.
        disk_errors,
        /// Files begun.
        files_begun,
        /// Executions written to the drop copy.
        executions_copied,
        /// Writes of the drop copy that failed: trading stops.
        copy_errors,
    }
}

/// When the device is asked to keep what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// Never: what a power loss takes is the kernel's affair; a crash of the gateway takes nothing.
    None,
    /// When this time has passed, ns.
    Interval(u64),
    /// After every batch.
    Batch,
}

/// What is journaled, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalOptions {
    /// The folder; it is made where its parent exists.
    pub folder: PathBuf,
    /// When the device is asked to keep it.
    pub sync: Sync,
    /// Bytes of each session's ring, a power of two.
    pub ring_bytes: usize,
    /// A file is followed by another before it has more bytes than this, its last batch aside.
    pub file_bytes: u64,
    /// Where executions are copied for the back office; `None`: nowhere.
    pub drop_copy: Option<PathBuf>,
    /// How they are written there.
    pub drop_copy_format: CopyFormat,
    /// Runs that ended more than this many days ago are removed at a start; `None`: none ever is.
    pub keep_days: Option<u32>,
    /// What its one core is given from outside is journaled, too, so that the day can be replayed.
    pub is_replayable: bool,
}

/// News for the operator.
#[derive(Debug)]
pub enum News {
    /// The disk refuses.
    Failed(PathBuf, io::Error),
    /// It takes everything again.
    GoesOn(PathBuf),
    /// Records of a session were lost because its ring was full.
    Behind(String, u64),
    /// Turns that a replay needs were lost because their ring, or a turn, was full.
    TurnsLost(u64),
    /// Files that are removed, of runs that ended over this number of days ago.
    Removed(usize, u32),
    /// None is, though they are to be after this number of days: the clock is further than that past the newest run.
    Doubtful(PathBuf, u32),
    /// They could not be removed, or not all of them.
    Kept(PathBuf, io::Error),
}

impl std::fmt::Display for News {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Failed(path, error) => write!(
                f,
                "{}: {error}: the kill switch is on; tried again every {} s",
                path.display(),
                RETRY_NS / SECOND_NS
            ),
            Self::GoesOn(path) => write!(
                f,
                "{}: is written again; nothing that waited is lost. The kill switch stays on",
                path.display()
            ),
            Self::Behind(session, lost) => write!(
                f,
                "session {session}: the ring was full, {lost} records so far are lost: the kill switch is on"
            ),
            Self::TurnsLost(lost) => write!(
                f,
                "{lost} records of turns so far are lost: this run cannot be replayed to its end (journal.replayable)"
            ),
            Self::Removed(files, days) => write!(
                f,
                "{files} files of runs that ended over {days} days ago are removed (journal.keep_days)"
            ),
            Self::Doubtful(folder, days) => write!(
                f,
                "{}: the newest run ended over {days} days ago by this clock: is it right? No run is removed now (journal.keep_days)",
                folder.display()
            ),
            Self::Kept(folder, error) => write!(
                f,
                "{}: {error}: old journals stay (journal.keep_days)",
                folder.display()
            ),
        }
    }
}

/// The writer.
#[derive(Debug)]
pub struct Writer {
    outlets: Vec<Outlet>,
    encoder: Encoder,
    files: Files,
    disk: Disk,
    sync: Sync,
    file_bytes: u64,
    counters: Arc<WriterCounters>,
    /// Records that wait for the disk.
    batch: Vec<u8>,
    /// Memory for the batch after it.
    spare: Vec<u8>,
    /// A write that failed, until it has not.
    failed: Option<Write>,
    retry_ns: u64,
    failure: Option<io::ErrorKind>,
    /// Something has been written since the device was last asked to keep it, and when that was.
    is_dirty: bool,
    synced_ns: u64,
    /// Records lost of each session, as far as they have been told.
    lost: Vec<u64>,
    news: Vec<News>,
    /// The drop copy, if there is one.
    copy: Option<Copying>,
}

fn remove_old(folder: &Path, days: u32, began: Began) -> Option<News> {
    let age = Duration::from_secs(u64::from(days) * 24 * 3600);
    let now = UNIX_EPOCH + Duration::from_nanos(began.realtime_ns);
    match remove_ended(folder, now, age) {
        Ok(Removal::Removed(removed)) if removed.is_empty() => None,
        Ok(Removal::Removed(removed)) => Some(News::Removed(removed.len(), days)),
        Ok(Removal::Doubtful) => Some(News::Doubtful(folder.to_owned(), days)),
        Err(error) => Some(News::Kept(folder.to_owned(), error)),
    }
}

/// The drop copy that is being written.
#[derive(Debug)]
struct Copying {
    lines: DropCopy,
    /// Its last write failed so, and when it is tried again.
    failure: Option<io::ErrorKind>,
    retry_ns: u64,
}

impl Copying {
    fn on_record(&mut self, header: &Header, payload: &[u8]) {
        let record = Record::of(*header, payload);
        if let Some(event) = record.and_then(|record| Event::of(&record).ok()) {
            self.lines.on_record(header, &event);
        }
    }
}

impl Writer {
    /// Begins a run's journal with the sessions of these outlets, in the order of `names`.
    ///
    /// # Errors
    /// The file cannot be begun.
    pub fn begin(
        options: &JournalOptions,
        disk: Disk,
        began: Began,
        names: Names,
        outlets: Vec<Outlet>,
    ) -> io::Result<Self> {
        // First, for it may be what makes room. What cannot be removed is no reason not to trade.
        let removed = options
            .keep_days
            .and_then(|days| remove_old(&options.folder, days, began));
        let files = Files::begin(&options.folder, began, &names)?;
        let counters = WriterCounters::default();
        counters.files_begun.increment();
        let mut writer = Self {
            lost: vec![0; outlets.len()],
            outlets,
            encoder: Encoder::new(began.salt(), names),
            files,
            disk,
            sync: options.sync,
            file_bytes: options.file_bytes,
            counters: Arc::new(counters),
            batch: Vec::with_capacity(2 * BATCH_BYTES),
            spare: Vec::with_capacity(2 * BATCH_BYTES),
            failed: None,
            retry_ns: 0,
            failure: None,
            is_dirty: false,
            synced_ns: began.monotonic_ns,
            news: Vec::from_iter(removed),
            copy: None,
        };
        writer
            .encoder
            .note(Kind::Start, began.monotonic_ns, &mut writer.batch);
        Ok(writer)
    }

    /// Executions are copied from now on, beyond those of earlier runs.
    #[must_use]
    pub fn with_drop_copy(mut self, mut lines: DropCopy, began: Began) -> Self {
        lines.begin_run(began, self.encoder.names());
        self.copy = Some(Copying {
            lines,
            failure: None,
            retry_ns: 0,
        });
        self
    }

    /// What became of the records.
    #[must_use]
    pub fn counters(&self) -> Arc<WriterCounters> {
        Arc::clone(&self.counters)
    }

    /// Where it is written.
    #[must_use]
    pub fn path(&mut self) -> &Path {
        let open = self.files.open();
        open.map_or_else(|| Path::new(""), |open| open.path.as_path())
    }

    /// Whether a write is under way.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.disk.is_busy()
    }

    /// What the operator has to know, once.
    pub fn take_news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    /// One turn; how much was done.
    pub fn poll(&mut self, now_ns: u64) -> usize {
        let mut done = 0;
        if let Some(over) = self.disk.poll() {
            self.on_done(over, now_ns);
            done += 1;
        }
        let mut records = 0;
        for outlet in &mut self.outlets {
            let copy = &mut self.copy;
            let seen = |header: &Header, payload: &[u8]| {
                if let Some(copy) = copy {
                    copy.on_record(header, payload);
                }
            };
            records += (self.encoder).take(&mut outlet.records, &mut self.batch, seen);
        }
        self.counters.records_batched.add(records as u64);
        done += records + self.copy_executions(now_ns);
        self.look_for_losses();
        if !self.disk.is_busy() {
            done += usize::from(self.go_on(now_ns));
        }
        done
    }

    /// Writes all there is, as far as the disk takes it; `is_clean`: the run ends as it should, and the journal says so.
    ///
    /// # Errors
    /// What could not be written.
    pub fn finish(&mut self, is_clean: bool, mut clock: impl FnMut() -> u64) -> Result<(), String> {
        let give_up_ns = clock().saturating_add(FINISH_NS);
        while self.poll(clock()) > 0 {}
        if is_clean {
            self.encoder.note(Kind::Stop, clock(), &mut self.batch);
        }
        // What failed is tried once more.
        self.retry_ns = 0;
        let errors = self.counters.disk_errors.get();
        let must_sync = self.sync != Sync::None;
        if must_sync {
            self.sync = Sync::Batch;
        }
        while !self.batch.is_empty()
            || self.disk.is_busy()
            || self.failed.is_some()
            || (must_sync && self.is_dirty)
        {
            let now_ns = clock();
            self.poll(now_ns);
            if now_ns >= give_up_ns || self.counters.disk_errors.get() > errors {
                let left = self.batch.len() + self.failed.take().map_or(0, |it| it.rest().0.len());
                return Err(format!(
                    "{}: the journal's last {left} bytes could not be written",
                    self.path().display()
                ));
            }
            std::thread::yield_now();
        }
        Ok(())
    }

    /// Writes the drop copy's lines; how many. What fails has its own count and its own retry: the journal goes on.
    fn copy_executions(&mut self, now_ns: u64) -> usize {
        let Some(copy) = self.copy.as_mut() else {
            return 0;
        };
        if copy.lines.is_idle() || now_ns < copy.retry_ns {
            return 0;
        }
        match copy.lines.write() {
            Ok(lines) => {
                if copy.failure.take().is_some() {
                    self.news.push(News::GoesOn(copy.lines.folder().to_owned()));
                }
                self.counters.executions_copied.add(lines as u64);
                lines
            }
            Err(error) => {
                copy.retry_ns = now_ns.saturating_add(RETRY_NS);
                self.counters.copy_errors.increment();
                stop_trading(&self.outlets, KillCause::JournalFailed);
                if copy.failure.replace(error.kind()) != Some(error.kind()) {
                    self.news
                        .push(News::Failed(copy.lines.folder().to_owned(), error));
                }
                0
            }
        }
    }

    fn on_done(&mut self, done: Done, now_ns: u64) {
        let Done { mut write, result } = done;
        if let Err(error) = result {
            self.failed = Some(write);
            let path = self.path().to_owned();
            return self.on_failure(path, error, now_ns);
        }
        if let Some(open) = self.files.open() {
            open.len = open.len.max(write.at + write.written as u64);
            if self.failure.take().is_some() {
                self.news.push(News::GoesOn(open.path.clone()));
            }
        }
        self.counters.bytes.add(write.written as u64);
        self.counters.batches.add(u64::from(write.written > 0));
        self.is_dirty = !write.is_synced;
        if write.is_synced {
            self.synced_ns = now_ns;
            self.counters.syncs.increment();
        }
        write.bytes.clear();
        self.spare = write.bytes;
    }

    /// Begins what is next for the disk; `false`: nothing is.
    fn go_on(&mut self, now_ns: u64) -> bool {
        if self.failed.is_some() {
            if now_ns < self.retry_ns {
                return false;
            }
            if let Some(write) = self.failed.take() {
                self.disk.begin(write);
            }
            return true;
        }
        let is_due = match self.sync {
            Sync::None => false,
            Sync::Batch => true,
            Sync::Interval(interval_ns) => now_ns.saturating_sub(self.synced_ns) >= interval_ns,
        };
        if self.batch.is_empty() && !(self.is_dirty && is_due) {
            return false;
        }
        if self.is_full() && now_ns >= self.retry_ns {
            self.begin_file(now_ns);
        }
        let Some(open) = self.files.open() else {
            return false;
        };
        let write = Write {
            file: Arc::clone(&open.file),
            at: open.len,
            bytes: std::mem::replace(&mut self.batch, std::mem::take(&mut self.spare)),
            written: 0,
            is_synced: is_due,
        };
        self.disk.begin(write);
        true
    }

    fn is_full(&mut self) -> bool {
        let (more, file_bytes) = (self.batch.len() as u64, self.file_bytes);
        let open = self.files.open();
        open.is_some_and(|open| more > 0 && open.len + more > file_bytes)
    }

    /// The run's next file. Where it cannot be had, trading stops, and the file of before goes on.
    fn begin_file(&mut self, now_ns: u64) {
        match self.files.begin_next(&self.encoder.names_of_batch()) {
            Ok(()) => self.counters.files_begun.increment(),
            Err(error) => {
                let path = self.path().to_owned();
                self.on_failure(path, error, now_ns);
            }
        }
    }

    #[cold]
    fn on_failure(&mut self, path: PathBuf, error: io::Error, now_ns: u64) {
        self.counters.disk_errors.increment();
        self.retry_ns = now_ns.saturating_add(RETRY_NS);
        stop_trading(&self.outlets, KillCause::JournalFailed);
        if self.failure.replace(error.kind()) != Some(error.kind()) {
            self.news.push(News::Failed(path, error));
        }
    }

    /// A session whose ring was full has stopped itself; the others stop with it.
    fn look_for_losses(&mut self) {
        let names = &self.encoder.names().sessions;
        for ((outlet, told), names) in self.outlets.iter().zip(&mut self.lost).zip(names) {
            let lost = outlet.counters.journal_ring_full.get();
            if lost > *told {
                *told = lost;
                if !outlet.stops_trading {
                    self.news.push(News::TurnsLost(lost));
                    continue;
                }
                self.news.push(News::Behind(names.name.clone(), lost));
                stop_trading(&self.outlets, KillCause::JournalBehind);
            }
        }
    }
}

/// Every session's kill switch goes on.
fn stop_trading(outlets: &[Outlet], cause: KillCause) {
    for outlet in outlets {
        outlet.kill.engage(cause);
    }
}
