//! The journal core: one thread that writes what order cores leave in their rings, and sleeps between.
//!
//! Path:        rings of order cores -> writer -> files
//! Thread:      journal core, which keeps off the other cores' CPUs where it can
//! Time:        a look every [`IDLE`] while nothing is there, so a ring bridges that, and what the disk takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rt::clock::{monotonic_ns, realtime_ns};
use rt::ring::NotPowerOfTwo;
use rt::turn_notes::TurnLog;

use super::house::House;
use super::pause;
use super::progress::Progress;
use crate::journal::batch::BATCH_BYTES;
use crate::journal::disk::Disk;
use crate::journal::drop_copy::DropCopy;
use crate::journal::format::GATEWAY;
use crate::journal::head::{Began, Names, SessionNames};
use crate::journal::inlet::{Inlet, Outlet, inlet, orders_in};
use crate::journal::look_back::{self, Found, LookBack};
use crate::journal::past::Past;
use crate::journal::turns::TurnKeeper;
use crate::journal::writer::{JournalOptions, News, Writer};
use crate::options::Options;
use crate::order::risk::KillSwitch;
use crate::telemetry::{Kind, Label};

/// How long records wait in the ring at most: a thousand looks a second.
const IDLE: Duration = Duration::from_millis(1);
/// The name under which the writer counts.
const WRITER: &str = "journal";

/// What numbers mean in this run's journal.
pub(super) fn names(options: &Options) -> Names {
    let sessions = options.sessions.iter().enumerate();
    let sessions = sessions.map(|(index, session)| {
        let strategies = options.strategies.iter();
        let of_it = strategies.filter(|strategy| strategy.session == index);
        SessionNames {
            name: session.name.clone(),
            username: session.credentials.username.clone(),
            strategies: of_it.map(|strategy| strategy.name.clone()).collect(),
            clock_offset_ns: session.risk.hours.map(|hours| hours.clock_offset_ns),
            next: 1,
            joined: String::new(),
        }
    });
    let feeds = options.feeds.iter().map(|feed| feed.name.clone());
    Names {
        host: host(),
        ..Names::new(sessions.collect(), feeds.collect())
    }
}

/// What this host is called; empty where nobody says.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname");
    name.map_or_else(|_| String::new(), |name| name.trim().to_owned())
}

/// The two ends of the journal of the session with this number.
pub(super) fn open(
    index: usize,
    ring_bytes: usize,
    kill: &KillSwitch,
) -> Result<(Inlet, Outlet), String> {
    let number = u8::try_from(index).ok().filter(|number| *number < GATEWAY);
    let number = number.ok_or_else(|| {
        format!(
            "{} sessions: a journal numbers at most {GATEWAY}",
            index + 1
        )
    })?;
    inlet(number, ring_bytes, kill.clone()).map_err(|NotPowerOfTwo| {
        format!("journal.ring_kib: {ring_bytes} bytes are no power of two")
    })
}

/// The name, in a journal, of what its turns are kept under: no session of the configuration logs in as nobody.
pub(super) const TURNS: &str = "turns";

/// Who keeps the core's turns, in a session of their own behind the others; `None`: the day is not to be replayed.
///
/// # Errors
/// There are too many sessions, or the ring has a wrong size.
pub(super) fn keep_turns(
    log: Option<Arc<TurnLog>>,
    journal: &mut Option<(JournalOptions, Names)>,
    house: &mut House,
) -> Result<Option<TurnKeeper>, String> {
    let (Some(log), Some((options, names))) = (log, journal) else {
        return Ok(None);
    };
    // A switch of its own: without turns only the replay is less.
    let (inlet, mut outlet) = one_more(TURNS, options, names, &KillSwitch::default())?;
    outlet.stops_trading = false;
    house.keep_journal(TURNS, outlet);
    Ok(Some(TurnKeeper::new(log, inlet)))
}

/// The two ends of the journal of something that is no session, as one of that name behind the others.
fn one_more(
    name: &str,
    options: &JournalOptions,
    names: &mut Names,
    kill: &KillSwitch,
) -> Result<(Inlet, Outlet), String> {
    let ends = open(names.sessions.len(), options.ring_bytes, kill)?;
    names.sessions.push(SessionNames {
        name: name.to_owned(),
        next: 1,
        ..SessionNames::default()
    });
    Ok(ends)
}

/// The name, in a journal, of what came by the control socket.
const CONTROL: &str = "control";

/// Who keeps what is asked by the control socket, in a session of its own behind all others; without a journal nobody.
///
/// # Errors
/// There are too many sessions, or the ring has a wrong size.
pub(super) fn keep_requests(
    journal: &mut Option<(JournalOptions, Names)>,
    house: &mut House,
) -> Result<Inlet, String> {
    let Some((options, names)) = journal else {
        return Ok(Inlet::default());
    };
    // Requests that cannot be journaled stop trading, as orders that cannot.
    let kill = house.kills.first().cloned().unwrap_or_default();
    let (inlet, outlet) = one_more(CONTROL, options, names, &kill)?;
    house.keep_journal(CONTROL, outlet);
    Ok(inlet)
}

/// What earlier runs left.
#[derive(Debug, Default)]
pub(super) struct Earlier {
    /// Of each session, in the order of the configuration.
    pub(super) pasts: Vec<Past>,
    /// The drop copy, which goes on where they stopped.
    pub(super) copy: Option<DropCopy>,
}

/// What earlier runs left of each session; a torn tail is cut off. Without a journal, or in its first run, nothing.
///
/// # Errors
/// The folder or a file cannot be read.
pub(super) fn look_back(journal: Option<&(JournalOptions, Names)>) -> Result<Earlier, String> {
    let Some((options, names)) = journal else {
        return Ok(Earlier::default());
    };
    let mut copy = open_copy(options, names)?;
    if !options.folder.is_dir() {
        return Ok(Earlier {
            pasts: Vec::new(),
            copy,
        });
    }
    // What a killed process may have had in memory: its ring, and two batches.
    let unwritten = orders_in(options.ring_bytes + 2 * BATCH_BYTES);
    let began_ns = monotonic_ns();
    let mut progress = Progress::begin("journal: looked back at", "MiB", began_ns);
    let back = look_back::look_back(
        &options.folder,
        &names.sessions,
        unwritten,
        copy.as_mut(),
        |bytes, of| progress.set(bytes >> 20, of >> 20, monotonic_ns()),
    );
    drop(progress);
    let LookBack {
        pasts,
        found,
        files,
        records,
        bytes,
        copied,
    } = back.map_err(|error| {
        let shown = options.folder.display();
        format!("journal.folder: {shown}: {error}; expected journals that can be read")
    })?;
    found.iter().for_each(tell);
    if files > 0 {
        let took_ms = (monotonic_ns() - began_ns) / 1_000_000;
        log::info!(
            "journal: looked back at {files} files of the last 24 hours: {records} records, {bytes} bytes, in \
             {took_ms} ms"
        );
    }
    if copied > 0 {
        log::info!("journal: {copied} executions of earlier runs went to the drop copy only now");
    }
    Ok(Earlier { pasts, copy })
}

fn open_copy(options: &JournalOptions, names: &Names) -> Result<Option<DropCopy>, String> {
    let opened = options.drop_copy.as_ref().map(|folder| {
        DropCopy::open(folder, options.drop_copy_format, &names.sessions).map_err(|error| {
            let shown = folder.display();
            format!("journal.drop_copy: {shown}: {error}; expected a folder to write to")
        })
    });
    opened.transpose()
}

/// Begins the run's file. Without options there is none.
///
/// # Errors
/// The folder or the file cannot be had.
pub(super) fn begin(
    journal: Option<(JournalOptions, Names)>,
    copy: Option<DropCopy>,
    house: &mut House,
) -> Result<Option<Writer>, String> {
    let begun = journal.map(|(options, names)| open_file(&options, names, copy, house));
    begun.transpose()
}

fn open_file(
    options: &JournalOptions,
    names: Names,
    copy: Option<DropCopy>,
    house: &mut House,
) -> Result<Writer, String> {
    let shown = options.folder.display();
    let failed = |error| format!("journal.folder: {shown}: {error}; expected a folder to write to");
    if !options.folder.is_dir() {
        std::fs::create_dir(&options.folder).map_err(failed)?;
    }
    let (disk, refused) = Disk::open();
    if let Some(error) = refused {
        log::warn!("journal: io_uring is refused ({error}): plain system calls instead");
    }
    let began = Began {
        realtime_ns: realtime_ns(),
        monotonic_ns: monotonic_ns(),
    };
    let outlets = std::mem::take(&mut house.journal);
    let mut writer = Writer::begin(options, disk, began, names, outlets).map_err(failed)?;
    if let Some(copy) = copy {
        writer = writer.with_drop_copy(copy, began);
    }
    let counters = writer.counters();
    let label = Label::new(Kind::Journal, WRITER);
    house.registry.counters(label, move || counters.list());
    log::info!("journal: {}", writer.path().display());
    Ok(writer)
}

fn tell(found: &Found) {
    let Found {
        path,
        error,
        is_cut,
    } = found;
    let path = path.display();
    if *is_cut {
        log::warn!("journal: {path}: {error}; cut off there, all before it is whole");
    } else if error.is_torn() {
        log::warn!(
            "journal: {path}: {error}; its run was killed at its beginning, nothing is in it"
        );
    } else {
        log::error!("journal: {path}: {error}; left as it is");
    }
}

/// The thread. However the service ends, what the order cores have put into their rings is written first.
#[derive(Debug, Default)]
pub(super) struct JournalCore {
    orders: Arc<Orders>,
    thread: Option<JoinHandle<Result<(), String>>>,
}

/// What the thread is told.
#[derive(Debug, Default)]
struct Orders {
    stop: AtomicBool,
    /// The run ends as it should.
    is_clean: AtomicBool,
}

/// Runs the writer of this run's journal, if there is one.
///
/// # Errors
/// The thread cannot be had.
pub(super) fn start(writer: Option<Writer>) -> Result<JournalCore, String> {
    let Some(writer) = writer else {
        return Ok(JournalCore::default());
    };
    let orders = Arc::new(Orders::default());
    let told = Arc::clone(&orders);
    let thread = std::thread::Builder::new()
        .name(WRITER.to_owned())
        .spawn(move || run(writer, &told))
        .map_err(|error| format!("core journal: {error}"))?;
    Ok(JournalCore {
        orders,
        thread: Some(thread),
    })
}

fn run(mut writer: Writer, orders: &Orders) -> Result<(), String> {
    while !orders.stop.load(Ordering::Acquire) {
        let done = writer.poll(monotonic_ns());
        log_news(&mut writer);
        if done == 0 {
            pause(IDLE);
        }
    }
    let is_clean = orders.is_clean.load(Ordering::Acquire);
    let finished = writer.finish(is_clean, monotonic_ns);
    log_news(&mut writer);
    finished
}

fn log_news(writer: &mut Writer) {
    for news in writer.take_news() {
        match news {
            News::Removed(..) => log::info!("journal: {news}"),
            News::GoesOn(_) | News::Kept(..) | News::Doubtful(..) | News::TurnsLost(_) => {
                log::warn!("journal: {news}")
            }
            News::Failed(..) | News::Behind(..) => log::error!("journal: {news}"),
        }
    }
}

impl JournalCore {
    /// Writes what is in the rings, and ends. The order cores have ended before; `is_clean`: as they should.
    ///
    /// # Errors
    /// What could not be written, or it panicked.
    pub(super) fn finish(mut self, is_clean: bool) -> Result<(), String> {
        self.orders.is_clean.store(is_clean, Ordering::Release);
        self.end()
    }

    fn end(&mut self) -> Result<(), String> {
        self.orders.stop.store(true, Ordering::Release);
        let ended = self.thread.take().map_or(Ok(Ok(())), JoinHandle::join);
        ended.map_err(|_| "core journal panicked".to_owned())?
    }
}

impl Drop for JournalCore {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            log::error!("{error}");
        }
    }
}
