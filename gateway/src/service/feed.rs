//! A feed's stage, made for its venue and its source, and what of it is made known.

use std::sync::Arc;

use feed_handler::arbiter::Arbiter;
use feed_handler::best_prices::BestPrices;
use feed_handler::book::Books;
use feed_handler::capture::tap::{Tap, Tapped};
use feed_handler::capture::turns::Logged;
use feed_handler::feed::{Counters, Feed, FeedHistograms, LineView, Parts};
use feed_handler::publish::Publisher;
use feed_handler::recovery::link::FeedEnd;
use feed_handler::source::PacketSource;
use feed_handler::venue::{Iex, Nasdaq, Venue};
use feed_handler::xdp::Interfaces;
use rt::clock::Clock;
use rt::mem::Want;
use rt::turn_notes::TurnLog;

use super::capture;
use super::control::{Control, FeedControl};
use super::feed_watch::FeedWatch;
use super::house::House;
use super::layout::Named;
use super::means::Means;
use super::receive::{self, Receiver};
use super::recovery;
use crate::core_loop::Stage;
use crate::options;
use crate::telemetry::{Count, Kind, Label};

/// What feeds are built with.
pub(super) struct Feeds<'a> {
    pub(super) best_prices: &'a [Arc<BestPrices>],
    pub(super) publishers: &'a mut [Option<Publisher>],
    pub(super) want: Want,
    /// An idle core keeps its way warm.
    pub(super) rehearses: bool,
    pub(super) means: &'a mut Means,
}

impl Feeds<'_> {
    /// Their stages, in the order of the configuration.
    ///
    /// # Errors
    /// Memory, or what the host refuses.
    pub(super) fn build(
        self,
        feeds: &[options::Feed],
        house: &mut House,
        control: &mut Control,
    ) -> Result<Vec<Named>, String> {
        let mut stages = Vec::new();
        let mut interfaces = receive::interfaces(feeds);
        for (index, options) in feeds.iter().enumerate() {
            let publisher = self.publishers.get_mut(index).and_then(Option::take);
            let Some(publisher) = publisher else {
                continue;
            };
            let prices = self.best_prices.get(index).map(Arc::clone);
            let room = FeedRoom {
                index: u16::try_from(index).unwrap_or(u16::MAX),
                want: self.want,
                publisher,
                rehearses: self.rehearses,
                interfaces: &mut interfaces,
                means: self.means,
            };
            let (stage, counters) = build(options, room, house)?;
            control.feeds.extend(prices.map(|best_prices| FeedControl {
                name: options.name.clone(),
                counters,
                best_prices,
            }));
            stages.push(Named::new(options.name.clone(), stage));
        }
        Ok(stages)
    }
}

/// What a feed is given beside its own options.
struct FeedRoom<'a> {
    /// Its number, in the order of the configuration.
    index: u16,
    want: Want,
    publisher: Publisher,
    rehearses: bool,
    /// Those that feeds before it have opened are open.
    interfaces: &'a mut Interfaces,
    means: &'a mut Means,
}

/// A feed's stage, made for its venue, and its counters.
fn build(
    feed: &options::Feed,
    room: FeedRoom<'_>,
    house: &mut House,
) -> Result<(Box<dyn Stage>, Arc<Counters>), String> {
    match feed.venue {
        options::Venue::Nasdaq => build_of(Nasdaq, feed, room, house),
        options::Venue::Iex => build_of(Iex::default(), feed, room, house),
    }
}

/// There are servers that tell what a gap has taken.
fn has_snapshots(feed: &options::Feed) -> bool {
    let recovery = feed.recovery.as_ref();
    recovery.is_some_and(|it| !it.snapshot_servers.is_empty())
}

fn build_of<V: Venue>(
    venue: V,
    feed: &options::Feed,
    room: FeedRoom<'_>,
    house: &mut House,
) -> Result<(Box<dyn Stage>, Arc<Counters>), String> {
    let FeedRoom {
        index,
        want,
        publisher,
        rehearses,
        interfaces,
        means,
    } = room;
    let books = Books::new(&feed.books, want).map_err(|error| {
        format!(
            "feed {}: memory for books: {error}; see books.orders_max",
            feed.name
        )
    })?;
    let counters = Arc::new(Counters::default());
    let histograms = FeedHistograms::default();
    house
        .registry
        .histograms(Label::new(Kind::Feed, &feed.name), histograms.readers());
    let lines = feed.udp.lines.len();
    let (watched, shown) = (Arc::clone(&counters), Arc::clone(&counters));
    let watch = FeedWatch::new(&feed.name, lines, watched);
    house.feeds.push(watch.with_snapshots(has_snapshots(feed)));
    register_feed(&feed.name, Arc::clone(&counters), house);
    let mut arbiter = Arbiter::new(feed.patience);
    let mut feed_end = None;
    if let Some(options) = &feed.recovery {
        let (recovering, end, recoverer) = recovery::open(feed, options, arbiter, want)?;
        (arbiter, feed_end) = (recovering, Some(end));
        let counters = recoverer.stage.counters();
        let label = Label::new(Kind::Recovery, &feed.name);
        house.registry.counters(label, move || counters.list());
        house.recovery.push(recoverer);
    }
    let start = FeedStart {
        name: &feed.name,
        parts: Parts {
            source: (),
            venue,
            arbiter,
            books,
            publisher,
            counters,
            histograms,
            feed: index,
            lines,
            stale_ns: feed.patience.stale_ns,
        },
        feed_end,
        rehearses,
        log: means.kept(),
    };
    if let Means::Replay(replay) = means {
        let packets = replay.packets();
        let packets = packets.ok_or_else(|| format!("feed {}: no capture of it", feed.name))?;
        return Ok((start.stage(packets, house)?, shown));
    }
    match receive::open(feed, interfaces)? {
        Receiver::Xdp(source, watches) => {
            house.watches.extend(watches);
            let tap = tap_of(feed, true, &start.parts, house)?;
            Ok((start.with(source, tap, house)?, shown))
        }
        Receiver::Udp(source, udp) => {
            let label = Label::new(Kind::Socket, &feed.name);
            house.registry.counters(label, move || udp.list());
            let tap = tap_of(feed, false, &start.parts, house)?;
            Ok((start.with(source, tap, house)?, shown))
        }
    }
}

/// The hot end of the feed's capture, if it has one, whose other end goes to the capture core.
fn tap_of<S, V: Venue>(
    feed: &options::Feed,
    has_frames: bool,
    parts: &Parts<S, V>,
    house: &mut House,
) -> Result<Option<Tap>, String> {
    let Some(options) = &feed.capture else {
        return Ok(None);
    };
    let (tap, mut capturer) = capture::open(feed, options, has_frames, &parts.counters)?;
    capturer.number = parts.feed;
    let counters = capturer.stage.counters();
    let label = Label::new(Kind::Capture, &feed.name);
    house.registry.counters(label, move || counters.list());
    house.captures.push(capturer);
    Ok(Some(tap))
}

/// A feed that has all but its source.
struct FeedStart<'a, V: Venue> {
    name: &'a str,
    parts: Parts<(), V>,
    feed_end: Option<FeedEnd>,
    rehearses: bool,
    /// In which turns it takes packets is kept there.
    log: Option<Arc<TurnLog>>,
}

impl<V: Venue> FeedStart<'_, V> {
    /// The stage: one whose packets nobody captures has no instruction for it.
    fn with<S: PacketSource + Send + 'static>(
        mut self,
        source: S,
        tap: Option<Tap>,
        house: &mut House,
    ) -> Result<Box<dyn Stage>, String> {
        match (tap, self.log.take()) {
            (None, None) => self.stage(source, house),
            (None, Some(log)) => self.stage(Logged::new(source, log), house),
            (Some(tap), None) => self.stage(Tapped::new(source, tap), house),
            (Some(tap), Some(log)) => self.stage(Logged::new(Tapped::new(source, tap), log), house),
        }
    }

    fn stage<S: PacketSource + Send + 'static>(
        self,
        source: S,
        house: &mut House,
    ) -> Result<Box<dyn Stage>, String> {
        let mut feed = Feed::new(self.parts.with_source(source));
        register_lines(self.name, feed.line_views(), house);
        if let Some(end) = self.feed_end {
            feed = feed.with_recovery(end);
        }
        if self.rehearses {
            let rehearsing = feed.with_rehearsal();
            feed = rehearsing
                .map_err(|error| format!("feed {}: memory to rehearse: {error}", self.name))?;
        }
        Ok(Box::new(FeedStage(feed)))
    }
}

/// Makes a feed's counters known.
fn register_feed(name: &str, counters: Arc<Counters>, house: &mut House) {
    house
        .registry
        .counters(Label::new(Kind::Feed, name), move || counts(&counters));
}

/// Everything that a feed counts.
pub(super) fn counts(of: &Counters) -> Vec<Count> {
    let groups = [
        of.feed.list(),
        of.arbiter.list(),
        of.join.list(),
        of.book.list(),
        of.check.list(),
        of.publish.list(),
    ];
    groups.concat()
}

/// Makes what each line brings known.
fn register_lines(feed: &str, lines: Vec<LineView>, house: &mut House) {
    for (line, view) in (1..).zip(lines) {
        let label = Label::new(Kind::Line, format!("{feed}.{line}"));
        house.registry.histograms(label.clone(), view.histograms);
        let counters = view.counters;
        house.registry.counters(label, move || counters.list());
    }
}

/// The feed's stage on a core.
struct FeedStage<S, V: Venue>(Feed<S, V>);

impl<S: PacketSource + Send, V: Venue> Stage for FeedStage<S, V> {
    #[inline]
    fn poll(&mut self, clock: &Clock) -> usize {
        self.0.poll(clock)
    }

    fn rehearse(&mut self, clock: &Clock) {
        self.0.rehearse(clock);
    }

    fn housekeep(&mut self, _: &Clock) {
        self.0.housekeep();
    }

    fn resume(&mut self, turns: u64) {
        self.0.set_turns(turns);
    }
}
