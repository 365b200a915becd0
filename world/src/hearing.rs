//! The gateway's feed handler, fed packet by packet from a venue's lines, and the checks of what it says.
//!
//! Checked after each packet: events come without a hole that was not announced; while the feed says that a
//! symbol's book is good, the table of best prices is what the exchange had after the last message heard.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use feed_handler::arbiter::{Arbiter, Patience, Recovery};
use feed_handler::best_prices::BestPrices;
use feed_handler::book::{Books, Limits};
use feed_handler::event::{Kind, MarketEvent};
use feed_handler::feed::{Counters, Feed, FeedHistograms, Parts};
use feed_handler::publish::{Listener, Publisher, Subscription, Way};
use feed_handler::recovery::counters::RecoveryCounters;
use feed_handler::recovery::glimpse::GlimpseOptions;
use feed_handler::recovery::link::{link, link_with_spare};
use feed_handler::recovery::requester::RequestOptions;
use feed_handler::recovery::snapshots::SnapshotOptions;
use feed_handler::recovery::stage::{RecoveryOptions, RecoveryStage};
use feed_handler::source::{Packet, PacketSource};
use feed_handler::venue::{self, Iex, Nasdaq};
use order_sim::options;
use protocol::types::Side;
use rt::clock::{Clock, SECOND_NS};
use rt::mem::Want;

use crate::numbers::Numbers;
use crate::servers::{Network, SimulatedWire};
use crate::venue::{Flying, LINES, LISTED, VENUES, Venue};
use crate::{MS, SYMBOLS, rehearsing};

/// Silence after which the feed is stale.
const STALE_NS: u64 = 2 * SECOND_NS;
/// Quiet turns: one of 16 looks at the clock.
const QUIET_TURNS: usize = 16;
/// Events that a strategy may be behind.
const ROOM: usize = 256;

#[derive(Default)]
struct Arrived {
    packets: Rc<RefCell<VecDeque<Flying>>>,
    has_taken: bool,
}

impl PacketSource for Arrived {
    fn acquire(&mut self) -> usize {
        self.has_taken = !self.packets.borrow().is_empty();
        usize::from(self.has_taken)
    }

    fn each(&mut self, mut on_packet: impl FnMut(Packet<'_>)) {
        if let Some(first) = self.packets.borrow().front().filter(|_| self.has_taken) {
            on_packet(Packet {
                payload: &first.payload,
                frame: &[],
                wire_ns: 0,
                line: first.line,
            });
        }
    }

    fn release(&mut self) {
        if self.has_taken {
            self.packets.borrow_mut().pop_front();
        }
    }

    fn housekeep(&mut self) {}
}

/// The feed stage of any venue.
trait AnyFeed {
    fn poll(&mut self, clock: &Clock) -> usize;
    fn rehearse(&mut self, clock: &Clock);
    fn books(&self) -> &Books;
}

impl<V: venue::Venue> AnyFeed for Feed<Arrived, V> {
    fn poll(&mut self, clock: &Clock) -> usize {
        Self::poll(self, clock)
    }

    fn rehearse(&mut self, clock: &Clock) {
        Self::rehearse(self, clock);
    }

    fn books(&self) -> &Books {
        Self::books(self)
    }
}

/// What a feed stage of any venue is made of.
struct Base {
    source: Arrived,
    publisher: Publisher,
    counters: Arc<Counters>,
    feed: u16,
    ways: Ways,
    has_snapshots: bool,
}

impl Base {
    /// The feed, and what recovers what it misses.
    fn feed_of<V: venue::Venue + 'static>(
        self,
        venue: V,
    ) -> (Box<dyn AnyFeed>, Option<Recovering>) {
        let mut arbiter = Arbiter::new(Patience {
            gap_timeout_ns: self.ways.gap_timeout_ns,
            stale_ns: STALE_NS,
        });
        if let Some(held_max) = self.ways.held_max {
            arbiter = arbiter.with_recovery(Recovery {
                give_up_ns: 500 * MS,
                held_max,
            });
        }
        let mut feed = Feed::new(Parts {
            source: self.source,
            venue,
            arbiter,
            books: books(),
            publisher: self.publisher,
            counters: self.counters,
            histograms: FeedHistograms::default(),
            feed: self.feed,
            lines: LINES,
            stale_ns: STALE_NS,
        });
        if rehearsing::is_on() {
            feed = feed.with_rehearsal().expect("memory");
        }
        if self.ways.held_max.is_none() {
            return (Box::new(feed), None);
        }
        let spare = self.has_snapshots.then(books);
        let ends = spare.map_or_else(link, |books| link_with_spare(books, 1 << 9));
        let (feed_end, stage_end) = ends.expect("a power of two");
        let network = Rc::new(RefCell::new(Network::default()));
        let wire = SimulatedWire(Rc::clone(&network));
        let options = recovery_options(self.has_snapshots);
        let stage = RecoveryStage::new::<V>(options, stage_end, wire);
        let recovering = Recovering {
            counters: stage.counters(),
            stage,
            network,
        };
        (Box::new(feed.with_recovery(feed_end)), Some(recovering))
    }
}

/// What the feed has said, summed up over a world.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FeedTotals {
    /// Messages that became events.
    pub messages: u64,
    /// Gaps announced.
    pub gaps: u64,
    /// Sessions begun.
    pub sessions: u64,
    /// Times that every line was silent.
    pub silences: u64,
    /// Times that a table of best prices was held against the exchange's book.
    pub compared: u64,
    /// Messages that re-request servers brought.
    pub recovered: u64,
    /// Requests to them.
    pub requests: u64,
    /// Snapshots whose books took the place of the feed's.
    pub snapshots: u64,
    /// Snapshots that failed, or did not fit the stream.
    pub snapshots_failed: u64,
}

impl std::ops::AddAssign for FeedTotals {
    fn add_assign(&mut self, other: Self) {
        self.messages += other.messages;
        self.gaps += other.gaps;
        self.sessions += other.sessions;
        self.silences += other.silences;
        self.compared += other.compared;
        self.recovered += other.recovered;
        self.requests += other.requests;
        self.snapshots += other.snapshots;
        self.snapshots_failed += other.snapshots_failed;
    }
}

/// One feed of a gateway.
pub(crate) struct Hearing {
    stage: Box<dyn AnyFeed>,
    feed: usize,
    packets: Rc<RefCell<VecDeque<Flying>>>,
    counters: Arc<Counters>,
    pub(crate) prices: Arc<BestPrices>,
    events: Listener,
    /// The venue's session that the feed is in.
    session: usize,
    numbers: Numbers,
    /// The session's end was told, and no other has begun.
    is_over: bool,
    last_packet_ns: u64,
    compared: u64,
    recovering: Option<Recovering>,
    /// What strategies hold, in the order of their ways, until they take it.
    pub(crate) listeners: VecDeque<Listener>,
    /// What is said, without stamps; kept where somebody compares it.
    pub(crate) said: Option<Vec<MarketEvent>>,
}

/// The recovery core, and its network.
struct Recovering {
    stage: RecoveryStage<SimulatedWire>,
    network: Rc<RefCell<Network>>,
    counters: Arc<RecoveryCounters>,
}

/// How a feed waits, and whether it recovers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ways {
    pub(crate) gap_timeout_ns: u64,
    /// Packets kept behind holes that are asked for; `None`: nobody is asked, no snapshot is taken.
    pub(crate) held_max: Option<usize>,
}

impl Ways {
    pub(crate) fn random(recovers: bool, random: &mut fastrand::Rng) -> Self {
        Self {
            gap_timeout_ns: [0, MS, 8 * MS][random.usize(0..3)],
            held_max: recovers.then_some([64, 256][random.usize(0..2)]),
        }
    }
}

fn books() -> Books {
    let limits = Limits {
        orders_max: 1 << 12,
        levels_max: 1 << 12,
    };
    Books::new(&limits, Want::LAZY).expect("memory")
}

fn recovery_options(has_snapshots: bool) -> RecoveryOptions {
    RecoveryOptions {
        requests: RequestOptions {
            servers: 2,
            timeout_ns: 20 * MS,
            requests_max: 8,
            interval_ns: MS / 10,
            messages_max: 32,
            // A living server's answers are lost, too, six in a hundred: never that often. A dead one is given up by time.
            tries_max: 25,
        },
        snapshots: has_snapshots.then(|| SnapshotOptions {
            servers: 2,
            glimpse: GlimpseOptions {
                username: "nobody".to_owned(),
                password: "secret".to_owned(),
                silence_ns: SECOND_NS,
                timeout_ns: 10 * SECOND_NS,
            },
            pause_ns: 100 * MS,
            tries_max: 1000,
        }),
    }
}

impl Hearing {
    /// Joins a feed whenever that is. Each of `strategies` is the way of one that hears every symbol. Only
    /// Nasdaq's market has snapshots.
    pub(crate) fn new(feed: u16, strategies: &[Way], ways: Ways, now_ns: u64) -> Self {
        let kind = VENUES[usize::from(feed)];
        let prices = Arc::new(BestPrices::new(Want::LAZY).expect("memory"));
        let mut publisher = Publisher::new(Arc::clone(&prices), ROOM);
        let mut listen = |way, room| {
            let listener = publisher.listen(Subscription::All, way, room);
            listener.expect("a power of two")
        };
        // All packets that were kept for a hole may leave in one turn.
        let events = listen(Way::Own, 1 << 13);
        let listeners = strategies.iter().map(|way| listen(*way, ROOM)).collect();
        let counters = Arc::new(Counters::default());
        let source = Arrived::default();
        let packets = Rc::clone(&source.packets);
        let base = Base {
            source,
            publisher,
            counters: Arc::clone(&counters),
            feed,
            ways,
            has_snapshots: kind == options::Venue::Nasdaq,
        };
        let (stage, recovering) = match kind {
            options::Venue::Nasdaq => base.feed_of(Nasdaq),
            options::Venue::Iex => base.feed_of(Iex::default()),
        };
        Self {
            stage,
            feed: usize::from(feed),
            packets,
            counters,
            prices,
            events,
            session: 0,
            numbers: Numbers::default(),
            is_over: false,
            last_packet_ns: now_ns,
            compared: 0,
            recovering,
            listeners,
            said: None,
        }
    }

    /// Hears what arrives from the venue until now, and then the silence.
    pub(crate) fn turn(&mut self, venue: &mut Venue, clock: &Clock) {
        let packets = &self.packets;
        venue.advance(clock.now_ns(), |flying| {
            packets.borrow_mut().push_back(flying);
        });
        while !self.packets.borrow().is_empty() {
            self.last_packet_ns = clock.now_ns();
            self.poll(venue, clock);
        }
        for _ in 0..QUIET_TURNS {
            self.poll(venue, clock);
        }
        let is_silent = clock.now_ns() > self.last_packet_ns + STALE_NS + MS;
        assert!(
            !is_silent || self.prices.feed_is_stale(),
            "a silent feed passes for fresh"
        );
    }

    /// Hears what the venue sent, as if nothing could be lost.
    pub(crate) fn hear_all(&mut self, venue: &mut Venue, clock: &Clock) {
        while let Some(payload) = venue.sent.pop_front() {
            self.packets
                .borrow_mut()
                .push_back(Flying { line: 0, payload });
            self.last_packet_ns = clock.now_ns();
            self.poll(venue, clock);
        }
        for _ in 0..QUIET_TURNS {
            self.poll(venue, clock);
        }
    }

    fn poll(&mut self, venue: &mut Venue, clock: &Clock) {
        if let Some(recovering) = &mut self.recovering {
            venue.serve(&mut recovering.network.borrow_mut(), clock.now_ns());
            recovering.stage.poll(clock.now_ns());
        }
        let begun = self.counters.arbiter.sessions_begun.get();
        self.stage.poll(clock);
        rehearsing::rehearse(|| self.stage.rehearse(clock));
        let has_begun = self.counters.arbiter.sessions_begun.get() > begun;
        if has_begun && std::mem::take(&mut self.is_over) {
            self.numbers.begin_anew();
        }
        let mut has_news = has_begun;
        while let Some(event) = self.events.hear() {
            has_news = true;
            self.hear(&event, has_begun);
        }
        if has_begun {
            self.session = venue.session;
        }
        if has_news {
            self.compare(venue);
        }
    }

    /// `has_begun`: a session has begun since the last look; what comes before an end is of the one before.
    fn hear(&mut self, event: &MarketEvent, has_begun: bool) {
        if let Some(said) = &mut self.said {
            let mut event = *event;
            event.origin.seen_ns = 0;
            (event.origin.batch, event.origin.place) = (0, 0);
            event.published_delta_ns = 0;
            said.push(event);
        }
        assert_ne!(
            event.kind,
            Kind::Lagged,
            "the checker's ring is large enough"
        );
        if event.kind == Kind::EndOfSession {
            self.is_over = !has_begun;
            if has_begun {
                self.numbers.begin_anew();
            }
            return;
        }
        if event.kind == Kind::Gap {
            let is_stale = has_begun || self.prices.feed_is_stale();
            assert!(is_stale, "a gap leaves the feed fresh");
        }
        self.numbers.hear(event);
    }

    fn compare(&mut self, venue: &Venue) {
        let Some(last) = self.numbers.next().map(|next| next - 1) else {
            return;
        };
        let Some(truth) = venue.prices_after(self.session, last) else {
            return;
        };
        for (name, truth) in SYMBOLS[self.feed].into_iter().zip(truth) {
            let Some(locate) = self.locate(name) else {
                continue;
            };
            if !self.prices.is_stale(locate) {
                let heard = self.prices.load(locate).unwrap_or_default();
                assert_eq!(
                    heard, *truth,
                    "best prices of {locate} after message {last}"
                );
                self.compared += 1;
            }
        }
    }

    /// What the feed calls a symbol today: its own code, or the order in which symbols were first heard.
    pub(crate) fn locate(&self, name: &str) -> Option<u16> {
        let named = |locate: &u16| {
            let symbol = self.prices.symbol(*locate);
            symbol.is_some_and(|symbol| symbol.as_str() == name)
        };
        (1..=u16::try_from(LISTED).ok()?).find(named)
    }

    /// On a calm network, with everything arrived: the feed is whole, and says so.
    pub(crate) fn is_whole(&self, venue: &Venue) -> bool {
        let is_at_end =
            self.session == venue.session && self.numbers.next() == Some(venue.last_seq() + 1);
        is_at_end && !self.prices.feed_is_stale()
    }

    /// Every order of every book stands where it stands at the exchange.
    pub(crate) fn compare_books(&self, venue: &Venue) {
        for locate in 1..=u16::try_from(LISTED).expect("few") {
            for side in [Side::Buy, Side::Sell] {
                let shown = venue.engine().shown(locate, side);
                let truth: Vec<_> = shown.map(|it| (it.price, it.reference, it.qty)).collect();
                let levels = self.stage.books().levels(locate, side);
                let heard: Vec<_> = levels
                    .flat_map(|(top, queue)| {
                        let orders = queue.into_iter();
                        orders.map(move |(reference, qty)| (top.price.0, reference.0, qty))
                    })
                    .collect();
                assert_eq!(heard, truth, "{side:?} of {locate}");
            }
        }
    }

    /// The sum of what it has heard.
    pub(crate) fn heard(&self) -> FeedTotals {
        let counters = &self.counters;
        rehearsing::fold_feed(self.stage.books(), counters);
        let recovery = self.recovering.as_ref().map(|it| &it.counters);
        let [recovered, requests, failed] = recovery.map_or([0; 3], |it| {
            let counted = [
                &it.messages_recovered,
                &it.requests_sent,
                &it.snapshots_failed,
            ];
            counted.map(|counter| counter.get())
        });
        FeedTotals {
            messages: counters.arbiter.messages.get(),
            gaps: counters.arbiter.gaps.get(),
            sessions: counters.arbiter.sessions_begun.get(),
            silences: counters.feed.silences.get(),
            compared: self.compared,
            recovered,
            requests,
            snapshots: counters.join.snapshots_joined.get(),
            snapshots_failed: failed + counters.join.snapshots_refused.get(),
        }
    }
}
