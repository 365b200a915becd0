//! The recovery core: one thread that polls the recovery of every feed, and sleeps between.
//!
//! Path:        rings of feed cores -> recovery stages -> sockets
//! Thread:      recovery core, which keeps off the other cores' CPUs where it can
//! Time:        a look every [`IDLE`]; every [`BUSY`] while something is asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use feed_handler::arbiter::Arbiter;
use feed_handler::book::Books;
use feed_handler::recovery::glimpse::Failure;
use feed_handler::recovery::link::{FeedEnd, link, link_with_spare};
use feed_handler::recovery::sockets::Sockets;
use feed_handler::recovery::stage::RecoveryStage;
use feed_handler::venue::Venue;
use rt::clock::Clock;
use rt::mem::Want;

use super::pause;
use crate::options::{Feed, FeedRecovery};

/// How long a hole may wait to be seen here: 2,000 looks a second.
const IDLE: Duration = Duration::from_micros(500);
/// The same while an answer is due, or a snapshot comes in.
const BUSY: Duration = Duration::from_micros(50);

/// One feed's recovery.
#[derive(Debug)]
pub(super) struct FeedRecoverer {
    name: String,
    options: FeedRecovery,
    pub(super) stage: RecoveryStage<Sockets>,
}

/// Opens the sockets of a feed's recovery and joins it to the feed.
pub(super) fn open<V: Venue>(
    feed: &Feed,
    options: &FeedRecovery,
    arbiter: Arbiter<V>,
    want: Want,
) -> Result<(Arbiter<V>, FeedEnd, FeedRecoverer), String> {
    let name = &feed.name;
    let sockets = Sockets::open(&options.request_servers, options.snapshot_servers.clone())
        .map_err(|error| format!("feed {name}: recovery: {error}"))?;
    let size = |error| format!("feed.{name}.snapshot.live_messages_max: {error:?}");
    let (feed_end, stage_end) = if options.snapshot_servers.is_empty() {
        link().map_err(size)?
    } else {
        let spare = Books::new(&feed.books, want).map_err(|error| {
            format!("feed {name}: memory for spare books: {error}; see books.orders_max")
        })?;
        link_with_spare(spare, options.live_messages_max).map_err(size)?
    };
    let arbiter = if options.request_servers.is_empty() {
        arbiter
    } else {
        arbiter.with_recovery(options.holes)
    };
    let recoverer = FeedRecoverer {
        name: name.clone(),
        stage: RecoveryStage::new::<V>(options.stage.clone(), stage_end, sockets),
        options: options.clone(),
    };
    Ok((arbiter, feed_end, recoverer))
}

/// Runs the recovery of all feeds until `stop` is set; `None`: there is none.
///
/// # Errors
/// The thread cannot be had.
pub(super) fn start(
    mut feeds: Vec<FeedRecoverer>,
    stop: &Arc<AtomicBool>,
) -> Result<Option<JoinHandle<()>>, String> {
    if feeds.is_empty() {
        return Ok(None);
    }
    let stop = Arc::clone(stop);
    let run = move || {
        let clock = Clock::new();
        while !stop.load(Ordering::Relaxed) {
            let mut is_busy = false;
            for feed in &mut feeds {
                feed.stage.poll(clock.now_ns());
                is_busy |= !feed.stage.is_idle();
                feed.warn();
            }
            pause(if is_busy { BUSY } else { IDLE });
        }
    };
    std::thread::Builder::new()
        .name("recovery".to_owned())
        .spawn(run)
        .map(Some)
        .map_err(|error| format!("core recovery: {error}"))
}

/// Waits for its end, after `stop` was set.
///
/// # Errors
/// It panicked.
pub(super) fn join(thread: Option<JoinHandle<()>>) -> Result<(), String> {
    let ended = thread.map_or(Ok(()), JoinHandle::join);
    ended.map_err(|_| "core recovery panicked".to_owned())
}

impl FeedRecoverer {
    fn warn(&mut self) {
        let Some((server, failure)) = self.stage.take_failure() else {
            return;
        };
        let why = match failure {
            Failure::NotAuthorised => "login rejected: wrong user name or password",
            Failure::SessionNotAvailable => "login rejected: the session is not available",
            Failure::OutOfStep => "its bytes are not SoupBinTCP",
            Failure::Unreadable => "it holds what is no message of the feed",
            Failure::Gapped => "messages between it and the feed are missing",
            Failure::Silent => "the server is silent",
            Failure::TooLong => "it did not come to its end in time",
            Failure::Closed => "no connection, or it was closed before the end",
        };
        let address = self.options.snapshot_servers.get(server);
        let address = address.map_or_else(String::new, ToString::to_string);
        log::warn!("feed {}: snapshot of {address}: {why}", self.name);
    }
}
