//! The capture core: one thread that writes the captured frames of every feed, and what sessions sent past the kernel's
//! TCP, which nobody else on this host sees; it sleeps between.
//!
//! Path:        rings of feed cores -> capture stages -> files; order cores -> slow orders -> capture stages; order cores ->
//!              rings of what was sent -> capture stages of their own -> files
//! Thread:      capture core, which keeps off the other cores' CPUs where it can
//! Time:        a look every [`IDLE`] while nothing is there, so a ring bridges that, and what the disk takes.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use feed_handler::capture::FeedLines;
use feed_handler::capture::stage::{CaptureStage, Now, PAUSE_NS, Trouble};
use feed_handler::capture::tap::{Tap, tap};
use feed_handler::capture::{CaptureOptions, Frames, LineName, Seen};
use feed_handler::feed::Counters;
use rt::clock::{SECOND_NS, monotonic_ns, realtime_offset_ns};
use rt::ring::{Consumer, ring};

use super::pause;
use crate::options::Feed;
use crate::order::transport::Transport;
use crate::telemetry::{Kind, Label, Registry};
use crate::trace::recorder::{OrderTrace, Watch};

/// How long frames wait in the ring at most: a thousand looks a second.
const IDLE: Duration = Duration::from_millis(1);
/// Slow orders that a session may have waiting for a look.
const SLOW_ORDERS: usize = 256;
/// How often the wall clock is looked at.
const OFFSET_NS: u64 = SECOND_NS;

/// One feed's capture, or that of what a session sent.
#[derive(Debug)]
pub(super) struct FeedCapturer {
    /// Whose, as it is told.
    whose: String,
    /// How it is set.
    options: CaptureOptions,
    /// The feed's, in the order of the configuration.
    pub(super) number: u16,
    pub(super) stage: CaptureStage,
    slow_order_ns: Option<u64>,
    /// Each session's name, and what it tells of slow orders.
    slow_orders: Vec<(String, Consumer<OrderTrace>)>,
}

/// Joins a capture to a feed with these counters.
pub(super) fn open(
    feed: &Feed,
    options: &CaptureOptions,
    has_frames: bool,
    counters: &Arc<Counters>,
) -> Result<(Tap, FeedCapturer), String> {
    let name = &feed.name;
    if !options.folder.is_dir() {
        let folder = options.folder.display();
        return Err(format!(
            "feed.{name}.capture.folder: {folder}: expected a folder that exists"
        ));
    }
    let (tap, end) = tap(options.ring_bytes, Arc::clone(counters))
        .map_err(|error| format!("feed.{name}.capture.ring_kib: {error:?}"))?;
    let lines = feed.udp.lines.iter().map(|line| LineName {
        address: line.address,
        interface: line.interface.clone().unwrap_or_default(),
    });
    let named = FeedLines {
        stem: Label::new(Kind::Capture, name).file_name(),
        of: format!("feed {}", Label::new(Kind::Capture, name).file_name()),
        lines: lines.collect(),
        has_frames,
    };
    let stage = CaptureStage::new(options.clone(), named, end, Arc::clone(counters));
    let capturer = FeedCapturer {
        whose: format!("feed {name}"),
        options: options.clone(),
        number: 0,
        stage,
        slow_order_ns: feed.slow_order_ns,
        slow_orders: Vec::new(),
    };
    Ok((tap, capturer))
}

/// Keeps what a session sends past the kernel's TCP, where a feed's frames are all kept: in files of its own, set as
/// those, since a feed's are what it heard and can be played again.
pub(super) fn keep_sent<T: Transport>(
    transport: &mut T,
    session: &str,
    all: &mut Vec<FeedCapturer>,
    registry: &mut Registry,
) {
    let Some(interface) = transport.lane_interface() else {
        return;
    };
    let mut captures = all.iter();
    let Some(feed) = captures.find(|capture| capture.options.frames == Frames::All) else {
        return;
    };
    let options = feed.options.clone();
    // A ring of that size was made for the feed.
    let Ok((tap, end)) = tap(options.ring_bytes, Arc::default()) else {
        return;
    };
    let whose = Label::new(Kind::Session, session);
    let named = FeedLines {
        stem: whose.file_stem(),
        of: format!("what session {} sent past the kernel", whose.file_name()),
        lines: vec![LineName {
            address: SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0),
            interface,
        }],
        has_frames: true,
    };
    let stage = CaptureStage::new(options.clone(), named, end, Arc::default());
    let counters = stage.counters();
    let label = Label::new(Kind::Capture, whose.file_stem());
    registry.counters(label, move || counters.list());
    all.push(FeedCapturer {
        whose: format!("session {session}"),
        options,
        number: u16::MAX,
        stage,
        slow_order_ns: None,
        slow_orders: Vec::new(),
    });
    transport.keep_sent(tap);
}

/// The thread. However the service ends, what the feed cores have put into their rings is written first.
#[derive(Debug)]
pub(super) struct CaptureCore {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Runs the captures of all feeds.
///
/// # Errors
/// The thread cannot be had.
pub(super) fn start(feeds: Vec<FeedCapturer>) -> Result<CaptureCore, String> {
    let stop = Arc::new(AtomicBool::new(false));
    let mut core = CaptureCore {
        stop: Arc::clone(&stop),
        thread: None,
    };
    if !feeds.is_empty() {
        let thread = std::thread::Builder::new()
            .name("capture".to_owned())
            .spawn(move || run(feeds, &stop))
            .map_err(|error| format!("core capture: {error}"))?;
        core.thread = Some(thread);
    }
    Ok(core)
}

fn run(mut feeds: Vec<FeedCapturer>, stop: &AtomicBool) {
    let mut now = now();
    let mut offset_next_ns = now.monotonic_ns + OFFSET_NS;
    while !stop.load(Ordering::Acquire) {
        now.monotonic_ns = monotonic_ns();
        if now.monotonic_ns >= offset_next_ns {
            now.realtime_offset_ns = realtime_offset_ns();
            offset_next_ns = now.monotonic_ns + OFFSET_NS;
        }
        let mut taken = 0;
        for feed in &mut feeds {
            taken += feed.turn(now);
            feed.warn();
        }
        if taken == 0 {
            pause(IDLE);
        }
    }
    for feed in &mut feeds {
        // Who waits for what the ring still holds has it when a turn takes nothing.
        while feed.turn(now) > 0 {}
        feed.stage.finish(now);
        feed.warn();
    }
}

impl CaptureCore {
    /// Writes what is in the rings, and ends. The feed cores have ended before.
    ///
    /// # Errors
    /// It panicked.
    pub(super) fn finish(mut self) -> Result<(), String> {
        self.end()
    }

    fn end(&mut self) -> Result<(), String> {
        self.stop.store(true, Ordering::Release);
        let thread = self.thread.take();
        let ended = thread.map_or(Ok(()), JoinHandle::join);
        ended.map_err(|_| "core capture panicked".to_owned())
    }
}

impl Drop for CaptureCore {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            log::error!("{error}");
        }
    }
}

fn now() -> Now {
    Now {
        monotonic_ns: monotonic_ns(),
        realtime_offset_ns: realtime_offset_ns(),
    }
}

impl FeedCapturer {
    /// Where a session tells its slow orders; `None`: they are not captured.
    pub(super) fn watch(&mut self, session: &str) -> Result<Option<Watch>, String> {
        let Some(over_ns) = self.slow_order_ns else {
            return Ok(None);
        };
        let (out, slow) = ring(SLOW_ORDERS).map_err(|error| format!("slow orders: {error:?}"))?;
        self.slow_orders.push((session.to_owned(), slow));
        Ok(Some(Watch {
            feed: self.number,
            over_ns,
            out,
            missed: 0,
        }))
    }

    /// Takes what is in the rings, a bounded number of packets, and says how many.
    fn turn(&mut self, now: Now) -> usize {
        if !self.slow_orders.is_empty() {
            self.stage.look();
        }
        for (session, slow) in &mut self.slow_orders {
            while let Some(trace) = slow.pop() {
                let seen = Seen {
                    seen_ns: trace.seen_ns,
                    place: trace.place,
                };
                self.stage.keep_around(seen, told(session, &trace));
            }
        }
        self.stage.poll(now)
    }

    fn warn(&mut self) {
        if let Some(Trouble { path, error }) = self.stage.take_trouble() {
            log::warn!(
                "{}: capture: {}: {error}; nothing is captured for {} s",
                self.whose,
                path.display(),
                PAUSE_NS / SECOND_NS
            );
        }
    }
}

/// What is said with the packet of a slow order.
fn told(session: &str, trace: &OrderTrace) -> String {
    let (order, seq, way_ns) = (trace.user_ref, trace.seq, trace.way_ns());
    let mut text =
        format!("slow order: {order} of session {session}, by message {seq}: {way_ns} ns");
    if trace.missed > 0 {
        let more = format!("; {} slow orders before it were not told", trace.missed);
        text.push_str(&more);
    }
    text
}
