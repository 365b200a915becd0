//! Builds rings and stages from options and puts them on cores.

use std::io;
use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::sync::Arc;

use feed_handler::best_prices::BestPrices;
use feed_handler::publish::{Publisher, Subscription};
use rt::clock::monotonic_ns;
use rt::mem::Want;
use rt::ring::{Consumer, NotPowerOfTwo, Producer, ring};
use rt::turn_notes::TurnLog;

use super::accounts::{self, Share};
use super::capture;
use super::control::{self, Control, SessionControl, StrategyControl};
use super::feed;
use super::house::{House, SESSION, STRATEGY, SessionHouse};
use super::journal;
use super::kill_page::KillPage;
use super::layout::{self, Layout, Named};
use super::means::Means;
use super::strategies::{self, StrategyRoom};
use crate::core_loop::{CoreOptions, Stage};
use crate::journal::limits::PastLimits;
use crate::journal::past::Past;
use crate::message::command::Command;
use crate::message::notice::Notices;
use crate::options::{self, Options};
use crate::order::account::Account;
use crate::order::entry::{DESKS_MAX, DeskOptions, Entry, Lifecycle};
use crate::order::links::{Link, owner_of};
use crate::order::opening::{Opening, OpeningView};
use crate::order::risk::{KillCause, KillSwitch, Limits, RowLimits};
use crate::order::stage::{OrderStage, Parts as OrderParts};
use crate::order::transport::logged::{Hand, Logged};
use crate::order::transport::{Transport, TransportUser};
use crate::order::understudy::Understudy;
use crate::strategy::Ends;
use crate::telemetry::{Kind, Label};
use crate::trace::recorder::{Slowest, Watch};

/// News that one stage may have waiting.
const NOTICES: usize = 256;
/// Traces of slow orders that a session may have waiting: sixteen a second.
const TRACES: usize = 64;

/// Everything, ready to run.
pub(super) struct Built {
    pub(super) stages: Vec<Vec<Box<dyn Stage>>>,
    pub(super) layout: Vec<CoreOptions>,
    pub(super) house: House,
    pub(super) control: Control,
    /// Where others find the kill switches, for as long as this lives.
    pub(super) kill_page: Option<KillPage>,
}

/// Rings of each strategy, taken apart as the stages are built.
struct Wiring {
    publishers: Vec<Option<Publisher>>,
    sessions: Vec<SessionWiring>,
    ends: Vec<Ends>,
}

/// A session's ends of what joins it to its strategies, and what they are to it.
struct SessionWiring {
    links: Vec<Link>,
    desks: Vec<DeskOptions>,
    opening: Opening,
}

/// `pasts`: what earlier runs left of each session, in the order of the configuration.
pub(super) fn build(
    options: Options,
    mut pasts: Vec<Past>,
    means: &mut Means,
) -> Result<Built, String> {
    pasts.resize_with(options.sessions.len(), Past::default);
    let (mut house, mut stages) = (House::default(), Vec::new());
    let want = Want {
        huge: options.huge_pages,
        ..Want::HOT
    };
    let best_prices = tables(&options, want)?;
    house.settings = describe(&options);
    let layout = Layout::new(&options);
    let mut control = door(&options, &mut house);
    let mut wiring = wire(&options, &best_prices, &pasts, &mut house)?;
    let room = StrategyRoom {
        layout: &layout,
        best_prices: &best_prices,
        publishers: &mut wiring.publishers,
        events: options.rings.events,
        want,
        house: &mut house,
    };
    let strategies = strategies::build(options.strategies, wiring.ends, room)?;
    let feeds = feed::Feeds {
        best_prices: &best_prices,
        publishers: &mut wiring.publishers,
        want,
        rehearses: layout.rehearses(),
        means,
    };
    stages.extend(feeds.build(&options.feeds, &mut house, &mut control)?);
    stages.extend(strategies);
    let kill_page = kill_page(&options.kill_page, &options.state_dir, &options.sessions)?;
    let kills = (0..options.sessions.len()).map(|index| switch(kill_page.as_ref(), index));
    let limits: Vec<Limits> = options.sessions.iter().map(|it| it.risk).collect();
    let shares = accounts::share(kills.collect(), &options.accounts, &limits);
    control.accounts = options.accounts;
    let sessions = options.sessions.into_iter().zip(wiring.sessions);
    for (index, ((session, wiring), share)) in sessions.zip(shares).enumerate() {
        let room = SessionRoom {
            wiring,
            share,
            best_prices: best_prices.clone(),
            journal: options.journal.as_ref().map(|it| (index, it.ring_bytes)),
            rehearses: layout.rehearses(),
            past: pasts.get_mut(index).map(std::mem::take).unwrap_or_default(),
        };
        let name = session.name.clone();
        let stage = build_session(
            session,
            room,
            means,
            Known {
                house: &mut house,
                control: &mut control,
            },
        )?;
        stages.push(Named::new(name, stage));
    }
    let (stages, layout) = layout.place(stages)?;
    Ok(Built {
        stages,
        layout,
        house,
        control,
        kill_page,
    })
}

/// Each feed's table of best prices.
fn tables(options: &Options, want: Want) -> Result<Vec<Arc<BestPrices>>, String> {
    let feeds = 0..options.feeds.len();
    let tables = feeds.map(|feed| prices_of(feed, &options.strategies, want).map(Arc::new));
    tables
        .collect::<Result<_, _>>()
        .map_err(|error| format!("memory for best prices: {error}"))
}

/// A session's switch: in the file, where there is one.
fn switch(page: Option<&KillPage>, session: usize) -> KillSwitch {
    let shared = page.and_then(|page| page.switch(session));
    shared.unwrap_or_default()
}

/// The file of the kill switches, where one is wanted.
fn kill_page(
    path: &Option<PathBuf>,
    state: &Option<PathBuf>,
    sessions: &[options::Session],
) -> Result<Option<KillPage>, String> {
    let Some(path) = path else { return Ok(None) };
    let names = sessions.iter().map(|session| session.name.as_str());
    let made = KillPage::make(path, state.as_deref(), names);
    made.map(Some)
        .map_err(|error| format!("kill switches: {}: {error}", path.display()))
}

/// The operator's door, as far as it is known before a stage is built.
fn door(options: &Options, house: &mut House) -> Control {
    let control = Control {
        strategies: strategies_of(options),
        has_journal: options.journal.is_some(),
        ..Control::default()
    };
    let served = Arc::clone(&control.counters);
    let label = Label::new(Kind::Control, "socket");
    house.registry.counters(label, move || served.list());
    control
}

/// Each strategy, and its number on its session: its place among those that trade there.
fn strategies_of(options: &Options) -> Vec<StrategyControl> {
    let mut counts = vec![0; options.sessions.len()];
    let mut strategies = Vec::new();
    for strategy in &options.strategies {
        if let Some(count) = counts.get_mut(strategy.session) {
            strategies.push(StrategyControl {
                name: strategy.name.clone(),
                session: strategy.session,
                owner: owner_of(*count),
            });
            *count += 1;
        }
    }
    strategies
}

/// A feed's table, with as much depth as the strategy that looks deepest wants.
fn prices_of(
    feed: usize,
    strategies: &[options::StrategyOptions],
    want: Want,
) -> io::Result<BestPrices> {
    let of_feed = strategies.iter().filter(|strategy| strategy.feed == feed);
    let prices = BestPrices::new(want)?;
    match of_feed.map(|strategy| strategy.depth).max() {
        None | Some(0) => Ok(prices),
        Some(levels) => prices.with_depth(levels, want),
    }
}

fn wire(
    options: &Options,
    best_prices: &[Arc<BestPrices>],
    pasts: &[Past],
    house: &mut House,
) -> Result<Wiring, String> {
    let publisher =
        |prices: &Arc<BestPrices>| Some(Publisher::new(Arc::clone(prices), options.rings.events));
    let sessions = options.sessions.iter().map(|session| SessionWiring {
        links: Vec::new(),
        desks: Vec::new(),
        opening: Opening::new(session.risk.open_orders_max as usize),
    });
    let mut wiring = Wiring {
        publishers: best_prices.iter().map(publisher).collect(),
        sessions: sessions.collect(),
        ends: Vec::new(),
    };
    for strategy in &options.strategies {
        let (to_session, intents) = pair(options.rings.intents, "intents")?;
        let (to_desk, executions) = pair(options.rings.executions, "executions")?;
        let mut opening = OpeningView::default();
        let mut first_id = 1;
        if let Some(session) = wiring.sessions.get_mut(strategy.session) {
            if session.desks.len() == DESKS_MAX {
                return Err(format!(
                    "strategy {}: its session has {DESKS_MAX} already, and an order can name no more",
                    strategy.name
                ));
            }
            let desk = desk_of(strategy);
            let owner = owner_of(session.desks.len());
            let past = pasts.get(strategy.session);
            first_id = past.map_or(1, |past| past.next_id(owner));
            opening = session.opening.view(owner, desk.symbols.clone());
            session.desks.push(desk);
            session.links.push(Link {
                intents,
                executions: to_desk,
            });
        }
        wiring.ends.push(Ends {
            intents: to_session,
            executions,
            opening,
            notices: notices(STRATEGY, &strategy.name, house)?,
            first_id,
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

fn notices(whose: &'static str, stage: &str, house: &mut House) -> Result<Notices, String> {
    let (producer, consumer) = pair(NOTICES, "notices")?;
    house.notices.push((whose, stage.to_owned(), consumer));
    Ok(Notices(producer))
}

/// What a session is given beside its own options.
struct SessionRoom {
    share: Share,
    wiring: SessionWiring,
    best_prices: Vec<Arc<BestPrices>>,
    /// The session's number and the bytes of its ring, where there is a journal.
    journal: Option<(usize, usize)>,
    /// An idle core keeps its way warm.
    rehearses: bool,
    /// What earlier runs left.
    past: Past,
}

/// Whom a stage is made known to.
struct Known<'a> {
    house: &'a mut House,
    control: &'a mut Control,
}

fn build_session(
    session: options::Session,
    room: SessionRoom,
    means: &mut Means,
    known: Known<'_>,
) -> Result<Box<dyn Stage>, String> {
    let Known { house, control } = known;
    let SessionRoom {
        share,
        wiring,
        best_prices,
        journal,
        rehearses,
        past,
    } = room;
    let (name, kill) = (session.name.clone(), share.kill.clone());
    if session.start_killed {
        kill.engage(KillCause::StartKilled);
    }
    let (limits, orders_max) = (session.risk, session.risk.open_orders_max);
    let past_limits = past.limits().clone();
    let mut account = accounts::open(&session, share, &past_limits, best_prices)?;
    let addresses = session.credentials.addresses.all().to_vec();
    let lifecycle = Lifecycle::new(session.credentials);
    let entry = Entry::new(lifecycle, orders_max, &wiring.desks, &mut account);
    let past = past.of_day(session.day.began_ns);
    let mut entry = (entry.with_past(past, session.found_orders))
        .with_answer_timeout(session.answer_timeout_ns);
    if let Some((index, ring_bytes)) = journal {
        let (inlet, outlet) = journal::open(index, ring_bytes, &kill)?;
        house.keep_journal(&name, outlet);
        entry = entry.with_journal(inlet);
        entry.note_inherited(&past_limits, &limits, monotonic_ns());
        entry.note_inherited_rows(&past_limits, &session.rows, monotonic_ns());
    }
    let understudy = rehearses
        .then(|| Understudy::new(&limits, journal.is_some()))
        .transpose()
        .map_err(|error| format!("session {name}: memory to rehearse: {error}"))?;
    let no_memory = format!("session {name}: buffers and socket");
    let notices = notices(SESSION, &name, house)?;
    let (slow, traces) = pair(TRACES, "slow orders")?;
    house.traces.push(traces);
    let captures = house.captures.iter_mut();
    let watches = captures.map(|capturer| capturer.watch(&name));
    let watches: Vec<Option<Watch>> = watches.collect::<Result<_, _>>()?;
    let watches = watches.into_iter().flatten().collect();
    house.kills.push(kill.clone());
    let (asks, commands) = pair(control::COMMANDS, "commands")?;
    let start = SessionStart {
        name,
        limits,
        past_limits,
        rows: session.rows,
        kill,
        account,
        entry,
        understudy,
        wiring,
        asks,
        commands,
        addresses,
        notices,
        slowest: Slowest::new(slow).with_watches(watches),
        house,
        control,
        log: means.kept(),
    };
    if let Means::Replay(replay) = means {
        let hand = Arc::new(Hand::new(start.kill.clone()));
        let transport = replay.stream(hand);
        return Ok(start.stage(transport));
    }
    let stage = session.way.open(&session.transport, start);
    stage.map_err(|error| format!("{no_memory}: {error}"))
}

/// A session that has all but its transport.
struct SessionStart<'a> {
    name: String,
    limits: Limits,
    past_limits: PastLimits,
    rows: Vec<RowLimits>,
    kill: KillSwitch,
    account: Account,
    entry: Entry,
    understudy: Option<Understudy>,
    wiring: SessionWiring,
    asks: Producer<Command>,
    commands: Consumer<Command>,
    addresses: Vec<SocketAddrV4>,
    notices: Notices,
    slowest: Slowest,
    house: &'a mut House,
    control: &'a mut Control,
    /// What the stream brings is kept there.
    log: Option<Arc<TurnLog>>,
}

impl TransportUser for SessionStart<'_> {
    type Made = Box<dyn Stage>;

    /// A stream that nobody keeps has no instruction for it.
    fn with<T: Transport + Send + 'static>(mut self, transport: T) -> Box<dyn Stage> {
        match self.log.take() {
            None => self.stage(transport),
            Some(log) => self.stage(Logged::new(transport, log)),
        }
    }
}

impl SessionStart<'_> {
    /// Makes the stage, and its histograms, its counters and its door known.
    fn stage<T: Transport + Send + 'static>(self, mut transport: T) -> Box<dyn Stage> {
        let House {
            captures, registry, ..
        } = &mut *self.house;
        capture::keep_sent(&mut transport, &self.name, captures, registry);
        let counters = self.entry.counters();
        let (of_transport, lane) = (transport.counts(), transport.watch());
        let mut stage = OrderStage::new(OrderParts {
            account: self.account,
            entry: self.entry,
            transport,
            links: self.wiring.links,
            commands: self.commands,
            opening: self.wiring.opening,
            notices: self.notices,
            slowest: self.slowest,
        });
        if let Some(understudy) = self.understudy {
            stage = stage.with_rehearsal(understudy);
        }
        self.control.sessions.push(SessionControl {
            name: self.name.clone(),
            addresses: self.addresses,
            session: stage.session_view(),
            positions: stage.positions_view(),
            limits: self.limits,
            past_limits: self.past_limits,
            rows: self.rows,
            kill: self.kill,
            commands: self.asks,
        });
        let House {
            registry, sessions, ..
        } = self.house;
        sessions.push(SessionHouse {
            name: self.name.clone(),
            counters: Arc::clone(&counters),
            view: stage.session_view(),
            positions: stage.positions_view(),
            lane,
        });
        let label = Label::new(Kind::Session, self.name);
        registry.histograms(label.clone(), stage.histograms().readers());
        registry.counters(label.clone(), move || counters.list());
        if let Some(counts) = of_transport {
            registry.counters(label, counts);
        }
        Box::new(stage)
    }
}

fn describe(options: &Options) -> serde_json::Value {
    let feeds = options.feeds.iter().map(|feed| {
        let receive = if feed.xdp.is_empty() { "udp" } else { "af_xdp" };
        serde_json::json!({ "name": feed.name, "receive": receive, "lines": feed.udp.lines.len() })
    });
    let sessions = options
        .sessions
        .iter()
        .map(|session| serde_json::json!({ "name": session.name, "submit": session.way.name() }));
    serde_json::json!({
        "layout": layout::name(options),
        "rehearse_us": options.rehearse_ns / 1_000,
        "cpus": options.cpus,
        "cores": layout::describe(options),
        "feeds": feeds.collect::<Vec<_>>(),
        "sessions": sessions.collect::<Vec<_>>(),
        "strategies": options.strategies.iter().map(|s| s.name.clone()).collect::<Vec<_>>(),
    })
}
