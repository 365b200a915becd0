//! Builds rings and stages from options and puts them on cores.

use std::sync::Arc;

use feed_handler::arbiter::Arbiter;
use feed_handler::best_prices::BestPrices;
use feed_handler::book::Books;
use feed_handler::feed::{Counters, Feed, FeedHistograms, Parts};
use feed_handler::publish::{Publisher, Subscription};
use feed_handler::source::PacketSource;
use feed_handler::venue::{Nasdaq, Venue};
use feed_handler::xdp::Watch;
use rt::clock::Clock;
use rt::mem::Want;
use rt::ring::{Consumer, NotPowerOfTwo, Producer, ring};

use super::feed_watch::FeedWatch;
use super::receive::{self, Receiver};
use crate::core_loop::{CoreOptions, Stage};
use crate::notice::{Notice, Notices};
use crate::options::{self, Options, Way};
use crate::order::entry::{DeskOptions, Entry, EntryCounters, SessionState};
use crate::order::links::Link;
use crate::order::risk::{KillCause, KillSwitch, Risk};
use crate::order::session::Session;
use crate::order::stage::{OrderStage, Parts as OrderParts};
use crate::order::transport::Transport;
use crate::order::transport::uring::UringTransport;
use crate::order::transport::write::WriteTransport;
use crate::strategy::{Ends, StrategyStage};
use crate::telemetry::Registry;
use crate::trace::recorder::{Slowest, Story};

/// News that one stage may have waiting.
const NOTICES: usize = 256;
/// Stories of slow orders that a session may have waiting: sixteen a second.
const STORIES: usize = 64;

/// What housekeeping is given.
#[derive(Debug, Default)]
pub(super) struct House {
    pub(super) registry: Registry,
    pub(super) notices: Vec<(String, Consumer<Notice>)>,
    pub(super) watches: Vec<Watch>,
    pub(super) feeds: Vec<FeedWatch>,
    pub(super) sessions: Vec<(Arc<EntryCounters>, Arc<SessionState>)>,
    pub(super) kills: Vec<KillSwitch>,
    pub(super) settings: serde_json::Value,
    /// Slow orders of each session.
    pub(super) stories: Vec<Consumer<Story>>,
}

/// Everything, ready to run.
pub(super) struct Built {
    pub(super) stages: Vec<Vec<Box<dyn Stage>>>,
    pub(super) layout: Vec<CoreOptions>,
    pub(super) house: House,
}

/// The feed's stage on a core.
struct FeedStage<S, V: Venue>(Feed<S, V>);

impl<S: PacketSource + Send, V: Venue> Stage for FeedStage<S, V> {
    #[inline]
    fn poll(&mut self, clock: &Clock) -> usize {
        self.0.poll(clock)
    }

    fn housekeep(&mut self, _: &Clock) {
        self.0.housekeep();
    }
}

/// Rings of each strategy, taken apart as the stages are built.
struct Wiring {
    publishers: Vec<Option<Publisher>>,
    links: Vec<Vec<Link>>,
    desks: Vec<Vec<DeskOptions>>,
    ends: Vec<Ends>,
}

pub(super) fn build(options: Options) -> Result<Built, String> {
    let mut house = House::default();
    let mut stages: Vec<(String, Box<dyn Stage>)> = Vec::new();
    let want = Want {
        huge: options.huge_pages,
        ..Want::HOT
    };
    let best_prices = options
        .feeds
        .iter()
        .map(|_| BestPrices::new(want).map(Arc::new))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("memory for best prices: {error}"))?;
    let mut wiring = wire(&options, &best_prices)?;
    house.settings = describe(&options);
    let mut layout = Layout::new(&options);
    for (index, feed) in options.feeds.iter().enumerate() {
        if let Some(publisher) = wiring.publishers.get_mut(index).and_then(Option::take) {
            let room = FeedRoom {
                index: u16::try_from(index).unwrap_or(u16::MAX),
                want,
                publisher,
            };
            stages.push((feed.name.clone(), build_feed(feed, room, &mut house)?));
        }
    }
    for ((index, strategy), ends) in options
        .strategies
        .into_iter()
        .enumerate()
        .zip(wiring.ends.drain(..))
    {
        debug_assert!(index < usize::from(u8::MAX));
        let Some(prices) = best_prices.get(strategy.feed) else {
            continue;
        };
        let notices = notices(&strategy.name, &mut house)?;
        let stage = StrategyStage::new(strategy.strategy, ends, Arc::clone(prices), notices);
        let counters = stage.counters();
        house
            .registry
            .counters(strategy.name.clone(), move || counters.list());
        house.registry.histograms(stage.histograms().readers());
        stages.push((strategy.name, Box::new(stage)));
    }
    for (index, session) in options.sessions.into_iter().enumerate() {
        let links = wiring
            .links
            .get_mut(index)
            .map(std::mem::take)
            .unwrap_or_default();
        let desks = wiring.desks.get(index).cloned().unwrap_or_default();
        let name = session.name.clone();
        let stage = build_session(session, links, &desks, best_prices.clone(), &mut house)?;
        stages.push((name, stage));
    }
    let (stages, layout) = layout.place(stages);
    Ok(Built {
        stages,
        layout,
        house,
    })
}

fn wire(options: &Options, best_prices: &[Arc<BestPrices>]) -> Result<Wiring, String> {
    let lists = |count: usize| (0..count).map(|_| Vec::new()).collect::<Vec<_>>();
    let publisher =
        |prices: &Arc<BestPrices>| Some(Publisher::new(Arc::clone(prices), options.rings.events));
    let mut wiring = Wiring {
        publishers: best_prices.iter().map(publisher).collect(),
        links: (0..options.sessions.len()).map(|_| Vec::new()).collect(),
        desks: lists(options.sessions.len()),
        ends: Vec::new(),
    };
    for strategy in &options.strategies {
        let (to_session, intents) = pair(options.rings.intents, "intents")?;
        let (to_desk, executions) = pair(options.rings.executions, "executions")?;
        let publisher = wiring.publishers.get_mut(strategy.feed);
        let Some(publisher) = publisher.and_then(Option::as_mut) else {
            return Err(format!("strategy {}: no such feed", strategy.name));
        };
        let room = options.rings.events;
        let events = publisher
            .listen(strategy.subscription.clone(), strategy.hears, room)
            .map_err(|NotPowerOfTwo| format!("rings.events: {room} is not a power of two"))?;
        if let Some(list) = wiring.links.get_mut(strategy.session) {
            list.push(Link {
                intents,
                executions: to_desk,
            });
        }
        if let Some(list) = wiring.desks.get_mut(strategy.session) {
            list.push(desk_of(strategy));
        }
        wiring.ends.push(Ends {
            events,
            intents: to_session,
            executions,
        });
    }
    Ok(wiring)
}

/// What a session has to know of a strategy: its feed and its symbols are what the configuration says.
fn desk_of(strategy: &options::StrategyOptions) -> DeskOptions {
    DeskOptions {
        feed: u16::try_from(strategy.feed).unwrap_or(u16::MAX),
        symbols: match &strategy.subscription {
            Subscription::All => None,
            Subscription::Symbols(symbols) => Some(symbols.clone()),
        },
        trade_on_stale: strategy.trade_on_stale,
    }
}

fn pair<T: Copy>(size: usize, name: &str) -> Result<(Producer<T>, Consumer<T>), String> {
    ring(size).map_err(|NotPowerOfTwo| format!("rings.{name}: {size} is not a power of two"))
}

fn notices(stage: &str, house: &mut House) -> Result<Notices, String> {
    let (producer, consumer) = pair(NOTICES, "notices")?;
    house.notices.push((stage.to_owned(), consumer));
    Ok(Notices(producer))
}

/// What a feed is given beside its own options.
struct FeedRoom {
    /// Its number, in the order of the configuration.
    index: u16,
    want: Want,
    publisher: Publisher,
}

fn build_feed(
    feed: &options::Feed,
    room: FeedRoom,
    house: &mut House,
) -> Result<Box<dyn Stage>, String> {
    let FeedRoom {
        index,
        want,
        publisher,
    } = room;
    let books = Books::new(&feed.books, want).map_err(|error| {
        format!(
            "feed {}: memory for books: {error}; see books.orders_max",
            feed.name
        )
    })?;
    let counters = Arc::new(Counters::default());
    let histograms = FeedHistograms::default();
    house.registry.histograms(histograms.readers());
    let shared = Arc::clone(&counters);
    house.registry.counters(feed.name.clone(), move || {
        let groups = [
            shared.feed.list(),
            shared.arbiter.list(),
            shared.book.list(),
            shared.check.list(),
        ];
        groups
            .into_iter()
            .flatten()
            .chain(shared.publish.list())
            .collect()
    });
    let lines = feed.udp.lines.len();
    let watched = Arc::clone(&counters);
    house.feeds.push(FeedWatch::new(&feed.name, lines, watched));
    let arbiter = Arbiter::new(feed.patience);
    let stale_ns = feed.patience.stale_ns;
    macro_rules! stage {
        ($source:expr) => {
            Box::new(FeedStage(Feed::new(Parts {
                source: $source,
                venue: Nasdaq,
                arbiter,
                books,
                publisher,
                counters,
                histograms,
                feed: index,
                lines,
                stale_ns,
            })))
        };
    }
    Ok(match receive::open(feed)? {
        Receiver::Xdp(source, watches) => {
            house.watches.extend(watches);
            stage!(source)
        }
        Receiver::Udp(source, udp) => {
            house
                .registry
                .counters(format!("{}.udp", feed.name), move || udp.list());
            stage!(source)
        }
    })
}

fn build_session(
    session: options::Session,
    links: Vec<Link>,
    desks: &[DeskOptions],
    best_prices: Vec<Arc<BestPrices>>,
    house: &mut House,
) -> Result<Box<dyn Stage>, String> {
    let name = session.name;
    let kill = KillSwitch::default();
    if session.start_killed {
        kill.engage(KillCause::StartKilled);
    }
    let orders_max = session.risk.open_orders_max;
    let risk = Risk::new(session.risk, kill.clone());
    let entry = Entry::new(
        Session::new(session.credentials),
        risk,
        orders_max,
        desks,
        best_prices,
    );
    let counters = entry.counters();
    let no_memory = |error| format!("session {name}: buffers and socket: {error}");
    let notices = notices(&name, house)?;
    let (slow, stories) = pair(STORIES, "slow orders")?;
    house.stories.push(stories);
    let slowest = Slowest::new(slow);
    house.kills.push(kill);
    Ok(match session.way {
        Way::Uring(options) => {
            let transport = UringTransport::new(options).map_err(no_memory)?;
            let stage = OrderStage::new(OrderParts {
                entry,
                transport,
                links,
                notices,
                slowest,
            });
            register_session(name, counters, stage, house)
        }
        Way::Write(address) => {
            let transport = WriteTransport::new(address).map_err(no_memory)?;
            let stage = OrderStage::new(OrderParts {
                entry,
                transport,
                links,
                notices,
                slowest,
            });
            register_session(name, counters, stage, house)
        }
    })
}

/// Makes a session's histograms and counters known.
fn register_session<T: Transport + Send + 'static>(
    name: String,
    counters: Arc<EntryCounters>,
    stage: OrderStage<T>,
    house: &mut House,
) -> Box<dyn Stage> {
    house.registry.histograms(stage.histograms().readers());
    house.sessions.push((Arc::clone(&counters), stage.state()));
    house.registry.counters(name, move || counters.list());
    Box::new(stage)
}

/// Which core runs which stage.
struct Layout {
    is_inline: bool,
    cpus: Vec<usize>,
    priority: i32,
}

impl Layout {
    fn new(options: &Options) -> Self {
        let mut cpus = options.cpus.clone();
        let allowed = rt::cpu::allowed();
        if cpus.is_empty() && options.is_inline && allowed.len() > 1 {
            cpus.extend(allowed.last());
        }
        Self {
            is_inline: options.is_inline,
            cpus,
            priority: options.realtime_priority,
        }
    }

    fn place(
        &mut self,
        stages: Vec<(String, Box<dyn Stage>)>,
    ) -> (Vec<Vec<Box<dyn Stage>>>, Vec<CoreOptions>) {
        let core = |name: String, index: usize| CoreOptions {
            name,
            cpu: self.cpus.get(index).copied(),
            priority: self.priority,
        };
        if self.is_inline {
            let stages = stages.into_iter().map(|(_, stage)| stage).collect();
            return (vec![stages], vec![core("inline".to_owned(), 0)]);
        }
        let (names, stages): (Vec<_>, Vec<_>) = stages.into_iter().unzip();
        let layout = names
            .into_iter()
            .enumerate()
            .map(|(at, name)| core(name, at))
            .collect();
        (
            stages.into_iter().map(|stage| vec![stage]).collect(),
            layout,
        )
    }
}

fn describe(options: &Options) -> serde_json::Value {
    let feeds = options.feeds.iter().map(|feed| {
        let receive = if feed.xdp.is_empty() { "udp" } else { "af_xdp" };
        serde_json::json!({ "name": feed.name, "receive": receive, "lines": feed.udp.lines.len() })
    });
    let sessions = options.sessions.iter().map(|session| {
        let submit = match session.way {
            Way::Uring(options) => format!("{:?}", options.submit),
            Way::Write(_) => "Write".to_owned(),
        };
        serde_json::json!({ "name": session.name, "submit": submit })
    });
    serde_json::json!({
        "layout": if options.is_inline { "inline" } else { "pipeline" },
        "cpus": options.cpus,
        "feeds": feeds.collect::<Vec<_>>(),
        "sessions": sessions.collect::<Vec<_>>(),
        "strategies": options.strategies.iter().map(|s| s.name.clone()).collect::<Vec<_>>(),
    })
}
