//! The feed stage: packets in, books kept, events out.
//!
//! Path:        source -> handler (arbiter -> room (venue's message -> book -> publish))
//! Thread:      feed core, hot
//! Invariants:  every packet ends in exactly one counter; every message that is delivered becomes one
//!              event for each strategy that hears its symbol. The feed is stale from the start until a
//!              session begins, and whenever something is missing, over, or silent.
//! Time:        `seen` is one clock read for all packets taken at once, so that waiting behind the
//!              first of them counts; `published` is one read for each event. Deadlines are looked at
//!              after the packets that were there before them: in each busy turn, and in each quiet
//!              one while a hole is open or news waits, else in one of 16.

use std::io;

use rt::clock::Clock;

use crate::book::Books;
use crate::handler::{Handler, Seen};
use crate::recovery::link::FeedEnd;
use crate::source::PacketSource;
use crate::understudy::Understudy;
use crate::venue::Venue;

pub use crate::counters::{Counters, FeedCounters};
pub use crate::handler::Parts;
pub use crate::race::{LineCounters, LineHistograms, LineView};
pub use crate::room::FeedHistograms;
pub use crate::status::{STALE_ENDED, STALE_GAP, STALE_SILENT, STALE_WAITING, Status};
pub use crate::understudy::Rehearsed;

/// One turn in this many is measured: four more clock reads, 40 ns, in one turn of sixteen.
const SAMPLE_EVERY: u64 = 16;

/// One feed's stage.
#[derive(Debug)]
pub struct Feed<S, V: Venue> {
    source: S,
    handler: Handler<V>,
    turns: u64,
    /// What keeps the way warm while nothing arrives; `None`: nothing does.
    understudy: Option<Box<Understudy<V>>>,
}

impl<S: PacketSource, V: Venue> Feed<S, V> {
    /// Puts a feed together.
    ///
    /// # Panics
    /// No line, or no time for it to be silent.
    pub fn new(parts: Parts<S, V>) -> Self {
        let (source, handler) = Handler::new(parts);
        Self {
            source,
            handler,
            turns: 0,
            understudy: None,
        }
    }

    /// It can rehearse ([`Feed::rehearse`]).
    ///
    /// # Errors
    /// The host has no memory for the understudy's books.
    pub fn with_rehearsal(mut self) -> io::Result<Self> {
        self.understudy = Some(Box::new(Understudy::new()?));
        Ok(self)
    }

    /// What is missing is recovered: asked for if the arbiter is told so, too, and replaced by a snapshot if
    /// this end has room for live messages.
    #[must_use]
    pub fn with_recovery(mut self, end: FeedEnd) -> Self {
        self.handler.room.recover(end);
        self
    }

    /// One turn: takes what has arrived and says how many packets that was. Hot: no allocation, no
    /// lock, no panic; system calls only inside the source.
    #[inline]
    pub fn poll(&mut self, clock: &Clock) -> usize {
        self.turns += 1;
        let is_sampled = self.turns.is_multiple_of(SAMPLE_EVERY);
        let asked_ns = if is_sampled { clock.now_ns() } else { 0 };
        let taken = self.source.acquire();
        if taken == 0 {
            self.on_quiet(is_sampled.then_some(asked_ns), clock);
            return 0;
        }
        let Self {
            source, handler, ..
        } = self;
        let mut seen = Seen {
            ns: clock.now_ns(),
            batch: u8::try_from(taken).unwrap_or(u8::MAX),
            place: 0,
        };
        source.on_seen(seen.ns);
        source.each(|packet| {
            handler.on_packet(&packet, seen, clock);
            seen.place = seen.place.saturating_add(1);
        });
        let seen_ns = seen.ns;
        let handled_ns = if is_sampled { clock.now_ns() } else { 0 };
        source.release();
        handler.room.prefetch();
        if is_sampled {
            let released_ns = clock.now_ns();
            let receive_ns = (seen_ns - asked_ns) + (released_ns - handled_ns);
            let counters = &handler.counters;
            counters.feed.sampled_packets.add(taken as u64);
            counters.feed.sampled_receive_ns.add(receive_ns);
            counters.feed.sampled_handle_ns.add(handled_ns - seen_ns);
        }
        if seen_ns >= handler.look_ns() {
            handler.look(seen_ns, clock);
        }
        taken
    }

    /// As many turns have been, however many of them were called for: which one is measured goes by their number.
    pub fn set_turns(&mut self, turns: u64) {
        self.turns = turns;
    }

    /// What each line brought, in the order of the configuration.
    #[must_use]
    pub fn line_views(&self) -> Vec<LineView> {
        self.handler.race.views()
    }

    /// The source, for who drives it.
    pub fn source_mut(&mut self) -> &mut S {
        &mut self.source
    }

    /// When a turn has something to do though no packet comes; not later than now: at once.
    #[must_use]
    pub fn due_ns(&self) -> u64 {
        self.handler.look_ns()
    }

    /// Keeps the way warm, in a turn in which nothing waits: the understudy takes a made-up packet the whole way, by
    /// the machine code that takes real ones, and what the next real one touches is prefetched. Nothing of this feed
    /// is changed by it. Without [`Feed::with_rehearsal`] it does nothing.
    pub fn rehearse(&mut self, clock: &Clock) {
        // A silence, recovery and news that waits are work, although no packet came.
        let is_busy = self.handler.room.wants_look();
        if let Some(understudy) = self.understudy.as_mut().filter(|_| !is_busy) {
            understudy.rehearse(clock);
            self.handler.prefetch_next();
        }
    }

    /// What the understudy has done; `None`: there is none.
    #[must_use]
    pub fn rehearsed(&self) -> Option<Rehearsed> {
        self.understudy.as_ref().map(|it| it.done())
    }

    /// The books, for checks and views.
    #[must_use]
    pub fn books(&self) -> &Books {
        &self.handler.room.books
    }

    /// Reads what the kernel counts, and looks whether a book needs a snapshot. Slow; between packets.
    pub fn housekeep(&mut self) {
        self.source.housekeep();
        self.handler.room.look_for_contradictions();
    }

    /// A turn without packets. `asked_ns`: this one is measured, from then on.
    #[inline]
    fn on_quiet(&mut self, asked_ns: Option<u64>, clock: &Clock) {
        let handler = &mut self.handler;
        if asked_ns.is_none() && !handler.is_awaited() {
            return;
        }
        let now_ns = clock.now_ns();
        if let Some(asked_ns) = asked_ns {
            let counters = &handler.counters;
            counters.feed.sampled_idle_ns.add(now_ns - asked_ns);
        }
        if now_ns >= handler.look_ns() {
            handler.look(now_ns, clock);
        }
        if asked_ns.is_some() {
            handler.room.check(&handler.counters.check);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;
    use std::sync::Arc;

    use protocol::itch::{
        AddOrder, BrokenTrade, CrossTrade, Head, OrderCancel, OrderDelete, StockDirectory, Trade,
    };
    use protocol::mold::{PacketBuilder, Session};
    use protocol::types::{MatchNumber, Nanos, OrderRef, Price4, Qty, Seq, Side, Symbol};
    use rt::histogram::Reader;
    use rt::mem::Want;
    use zerocopy::byteorder::big_endian::U32;
    use zerocopy::{FromZeros, IntoBytes};

    use super::*;
    use crate::arbiter::{Arbiter, Patience};
    use crate::best_prices::{BestPrice, BestPrices};
    use crate::book::Limits;
    use crate::event::{FLAG_BBO_CHANGED, FLAG_STALE, FLAG_TRADE, Kind, MarketEvent};
    use crate::publish::{Listener, Publisher, Subscription, Way};
    use crate::source::Packet;
    use crate::venue::Nasdaq;

    /// Packets that a test puts in: line and payload.
    type Arrivals = Rc<RefCell<Vec<(u8, Vec<u8>)>>>;

    #[derive(Default)]
    struct Script(Arrivals);

    impl PacketSource for Script {
        fn acquire(&mut self) -> usize {
            self.0.borrow().len()
        }
        fn each(&mut self, mut on_packet: impl FnMut(Packet<'_>)) {
            for (line, payload) in self.0.borrow().iter() {
                on_packet(Packet {
                    payload,
                    frame: &[],
                    wire_ns: 1,
                    line: *line,
                });
            }
        }
        fn release(&mut self) {
            self.0.borrow_mut().clear();
        }
        fn housekeep(&mut self) {}
    }

    struct Bench {
        feed: Feed<Script, Nasdaq>,
        script: Arrivals,
        events: Listener,
        best_prices: Arc<BestPrices>,
        counters: Arc<Counters>,
        histograms: Vec<(&'static str, Reader)>,
        clock: Clock,
    }

    const SESSION: Session = *b"SESSION001";
    const STALE_NS: u64 = 1_000_000;

    fn silent_bench(room: usize, subscription: Subscription, gap_timeout_ns: u64) -> Bench {
        let limits = Limits {
            orders_max: 4,
            levels_max: 64,
        };
        let best_prices = Arc::new(BestPrices::new(Want::LAZY).unwrap());
        let mut publisher = Publisher::new(Arc::clone(&best_prices), room);
        let events = publisher.listen(subscription, Way::Own, room).unwrap();
        let counters = Arc::new(Counters::default());
        let histograms = FeedHistograms::default();
        let readers = histograms.readers();
        let source = Script::default();
        let script = Rc::clone(&source.0);
        let feed = Feed::new(Parts {
            source,
            venue: Nasdaq,
            arbiter: Arbiter::new(Patience {
                gap_timeout_ns,
                stale_ns: STALE_NS,
            }),
            books: Books::new(&limits, Want::LAZY).unwrap(),
            publisher,
            counters: Arc::clone(&counters),
            histograms,
            feed: 0,
            lines: 2,
            stale_ns: STALE_NS,
        });
        Bench {
            feed,
            script,
            events,
            best_prices,
            counters,
            histograms: readers,
            clock: Clock::manual(1_000),
        }
    }

    /// A feed whose session has begun.
    fn bench_with(room: usize, gap_timeout_ns: u64) -> Bench {
        let mut bench = silent_bench(room, Subscription::All, gap_timeout_ns);
        bench.begin(SESSION);
        bench
    }

    fn bench() -> Bench {
        bench_with(64, 0)
    }

    impl Bench {
        fn begin(&mut self, session: Session) {
            for line in 0..3 {
                let heartbeat = packet(session, 1, &[]);
                self.script.borrow_mut().push((line, heartbeat));
            }
            self.feed.poll(&self.clock);
        }

        /// One turn with a packet on line 0, and what the strategy hears in it.
        fn send(&mut self, seq: u64, messages: &[&[u8]]) -> Vec<MarketEvent> {
            self.send_raw(packet(SESSION, seq, messages))
        }

        fn send_raw(&mut self, payload: Vec<u8>) -> Vec<MarketEvent> {
            self.script.borrow_mut().push((0, payload));
            self.turn()
        }

        fn turn(&mut self) -> Vec<MarketEvent> {
            self.feed.poll(&self.clock);
            std::iter::from_fn(|| self.events.hear()).collect()
        }

        /// Quiet turns: one in 16 looks at the clock.
        fn wait(&mut self, ns: u64) -> Vec<MarketEvent> {
            self.clock.set_ns(self.clock.now_ns() + ns);
            (0..16).flat_map(|_| self.turn()).collect()
        }
    }

    fn packet(session: Session, seq: u64, messages: &[&[u8]]) -> Vec<u8> {
        let mut buffer = [0; 1400];
        let mut packet = PacketBuilder::new(&mut buffer, session, Seq(seq)).unwrap();
        for message in messages {
            assert!(packet.push(message));
        }
        packet.finish().to_vec()
    }

    fn end(session: Session, seq: u64) -> Vec<u8> {
        let mut buffer = [0; 20];
        let packet = PacketBuilder::new(&mut buffer, session, Seq(seq)).unwrap();
        packet.finish_end_of_session().to_vec()
    }

    fn directory(locate: u16, symbol: &str) -> Vec<u8> {
        let mut directory = StockDirectory::new_zeroed();
        directory.head = Head::new(b'R', locate, Nanos(1));
        directory.stock = Symbol::new(symbol).unwrap();
        directory.round_lot_size = U32::new(100);
        directory.as_bytes().to_vec()
    }

    fn kinds(events: &[MarketEvent]) -> String {
        events
            .iter()
            .map(|event| char::from(event.kind as u8))
            .collect()
    }

    fn add(reference: u64, side: Side, price: u32) -> Vec<u8> {
        AddOrder {
            head: Head::new(b'A', 7, Nanos(1)),
            order: OrderRef(reference).into(),
            side: side as u8,
            shares: Qty(100).into(),
            stock: Symbol::BLANK,
            price: Price4(price).into(),
        }
        .as_bytes()
        .to_vec()
    }

    #[test]
    fn message_becomes_one_event_with_the_best_prices_after_it() {
        let mut bench = bench();
        let directory = directory(7, "ALC");
        let trade = Trade {
            head: Head::new(b'P', 7, Nanos(1)),
            order: OrderRef(0).into(),
            side: b'B',
            shares: Qty(5).into(),
            stock: Symbol::BLANK,
            price: Price4(300).into(),
            match_number: MatchNumber(1).into(),
        };
        let (bid, worse) = (add(1, Side::Buy, 200), add(2, Side::Buy, 100));
        let events = bench.send(1, &[&directory, &bid, &worse, trade.as_bytes()]);
        let [listed, first, second, traded] = events[..] else {
            panic!("{events:?}")
        };
        assert_eq!(listed.symbol(), Symbol::new("ALC"));
        assert_eq!(bench.best_prices.symbol(7), Symbol::new("ALC"));
        assert_eq!((first.bid_price, first.bid_qty), (Price4(200), Qty(100)));
        assert!(first.has(FLAG_BBO_CHANGED) && !second.has(FLAG_BBO_CHANGED));
        assert!(traded.has(FLAG_TRADE) && !traded.has(FLAG_STALE));
        assert_eq!((traded.price, traded.qty), (Price4(300), Qty(5)));
        assert_eq!((first.origin.seq, traded.origin.seq), (2, 4));
        assert!(events.iter().all(|event| event.exchange_ns == 1));
        assert_eq!(bench.best_prices.load(7).unwrap().bid_price, Price4(200));
    }

    #[test]
    fn gap_is_heard_before_what_follows_and_makes_everything_stale() {
        let mut bench = bench();
        bench.send(1, &[&add(1, Side::Buy, 200)]);
        assert!(!bench.best_prices.feed_is_stale());
        let events = bench.send(5, &[&add(2, Side::Sell, 300)]);
        let [gap, add] = events[..] else {
            panic!("{events:?}")
        };
        assert_eq!(
            (gap.kind, gap.gap_first(), gap.number),
            (Kind::Gap, Some(Seq(2)), 3)
        );
        assert!(gap.has(FLAG_STALE) && add.has(FLAG_STALE));
        assert!(bench.best_prices.feed_is_stale());
        assert_eq!(bench.counters.arbiter.messages_lost.get(), 3);
    }

    #[test]
    fn unreadable_messages_keep_their_numbers_and_one_of_a_known_type_is_a_gap() {
        let mut bench = bench();
        let bid = add(1, Side::Buy, 200);
        let events = bench.send(1, &[b"?", b"", &bid]);
        assert_eq!(events.len(), 1);
        assert_eq!(events[0].origin.seq, 3);
        assert!(!bench.best_prices.feed_is_stale());
        // An add whose end is missing: which order, and of which symbol, nobody can say.
        let ask = add(2, Side::Sell, 300);
        let events = bench.send(4, &[b"Axx", &ask]);
        let [gap, added] = events[..] else {
            panic!("{events:?}")
        };
        assert_eq!(
            (gap.kind, gap.gap_first(), gap.number),
            (Kind::Gap, Some(Seq(4)), 1)
        );
        assert!(gap.has(FLAG_STALE) && added.has(FLAG_STALE));
        assert!(bench.best_prices.feed_is_stale());
        let feed = &bench.counters.feed;
        assert_eq!((feed.unknown.get(), feed.malformed.get()), (2, 1));
        assert_eq!(bench.counters.arbiter.messages.get(), 5);
    }

    #[test]
    fn broken_trade_and_cross_without_shares_are_no_trades() {
        let mut bench = bench();
        let mut broken = BrokenTrade::new_zeroed();
        broken.head = Head::new(b'B', 7, Nanos(1));
        let mut cross = CrossTrade::new_zeroed();
        cross.head = Head::new(b'Q', 7, Nanos(1));
        let events = bench.send(1, &[broken.as_bytes(), cross.as_bytes()]);
        assert_eq!(kinds(&events), "BQ");
        assert!(events.iter().all(|event| !event.has(FLAG_TRADE)));
        assert_eq!(bench.counters.publish.trades.get(), 0);
    }

    #[test]
    fn feed_is_stale_until_its_session_begins() {
        let mut bench = silent_bench(64, Subscription::All, 0);
        assert!(bench.best_prices.is_stale(7));
        assert_eq!(bench.counters.status.stale(), STALE_SILENT);
        bench.turn();
        assert_eq!(kinds(&bench.wait(STALE_NS)), "-");
        assert_eq!(bench.counters.feed.silences.get(), 1);
        bench.begin(SESSION);
        assert!(!bench.best_prices.is_stale(7));
        let events = bench.send(1, &[&add(1, Side::Buy, 200)]);
        assert_eq!(kinds(&events), "+A");
        assert!(!events[0].has(FLAG_STALE) && !events[1].has(FLAG_STALE));
    }

    #[test]
    fn silence_is_told_of_a_session_whose_first_packets_are_all_behind_its_start() {
        let mut bench = silent_bench(64, Subscription::All, 0);
        bench.turn();
        assert_eq!(kinds(&bench.wait(STALE_NS)), "-");
        for line in 0..3 {
            let heartbeat = packet(SESSION, 0, &[]);
            bench.script.borrow_mut().push((line, heartbeat));
        }
        bench.turn();
        assert!(!bench.best_prices.feed_is_stale());
        bench.wait(STALE_NS);
        assert!(bench.best_prices.feed_is_stale());
        assert_eq!(bench.counters.feed.silences.get(), 2);
    }

    #[test]
    fn who_joins_late_is_stale_from_the_first_event_on() {
        let mut bench = silent_bench(64, Subscription::All, 500);
        for seq in 5..8 {
            let payload = packet(SESSION, seq, &[&add(seq, Side::Buy, 200)]);
            bench.script.borrow_mut().push((0, payload));
        }
        assert_eq!(kinds(&bench.turn()), "");
        assert!(bench.best_prices.feed_is_stale());
        let events = bench.wait(500);
        assert_eq!(kinds(&events), "!AAA");
        assert!(events.iter().all(|event| event.has(FLAG_STALE)));
        assert_eq!(bench.counters.status.stale(), STALE_GAP);
    }

    #[test]
    fn silence_makes_everything_stale_and_the_next_packet_fresh_if_nothing_was_missed() {
        let mut bench = bench();
        bench.send(1, &[&add(1, Side::Buy, 200)]);
        assert_eq!(kinds(&bench.wait(STALE_NS - 1)), "");
        assert!(!bench.best_prices.feed_is_stale());
        let events = bench.wait(1);
        assert_eq!(kinds(&events), "-");
        assert!(events[0].has(FLAG_STALE) && bench.best_prices.is_stale(7));
        // Fresh before the message that proves it, so that a strategy may trade on that.
        let events = bench.send(2, &[&add(2, Side::Buy, 200)]);
        assert_eq!(kinds(&events), "+A");
        assert_eq!((events[0].origin.seq, events[1].origin.seq), (1, 2));
        assert!(events.iter().all(|event| !event.has(FLAG_STALE)));
        assert!(!bench.best_prices.feed_is_stale());
        assert_eq!(bench.counters.status.stale(), 0);
        // A heartbeat proves it, too.
        assert_eq!(kinds(&bench.wait(STALE_NS)), "-");
        assert_eq!(kinds(&bench.send(3, &[])), "+");
    }

    #[test]
    fn silence_that_ends_with_a_gap_leaves_the_feed_stale() {
        let mut bench = bench_with(64, 500);
        bench.send(1, &[&add(1, Side::Buy, 200)]);
        bench.wait(STALE_NS);
        // The hole may still be filled: neither fresh nor a gap yet.
        assert_eq!(kinds(&bench.send(3, &[&add(3, Side::Buy, 200)])), "");
        assert_eq!(bench.counters.status.stale(), STALE_SILENT);
        assert_eq!(kinds(&bench.wait(500)), "!A");
        assert_eq!(bench.counters.status.stale(), STALE_GAP);
        assert!(bench.best_prices.feed_is_stale());
    }

    #[test]
    fn old_copy_after_silence_proves_nothing() {
        let mut bench = bench();
        let first = add(1, Side::Buy, 200);
        bench.send(1, &[&first, &add(2, Side::Buy, 200)]);
        bench.wait(STALE_NS);
        assert_eq!(kinds(&bench.send(1, &[&first])), "");
        assert!(bench.best_prices.feed_is_stale());
        assert_eq!(kinds(&bench.send(3, &[])), "+");
    }

    #[test]
    fn packet_that_one_line_lost_costs_the_time_until_the_other_has_it_and_nothing_else() {
        let mut bench = bench_with(64, 500);
        let waited = |bench: &Bench| {
            let find = |(name, _): &&(&str, Reader)| *name == "hole_to_filled";
            let reader = bench.histograms.iter().find(find);
            reader.map(|(_, reader)| reader.snapshot()).unwrap()
        };
        bench.send(1, &[&add(1, Side::Buy, 200)]);
        assert_eq!(kinds(&bench.send(3, &[&add(3, Side::Buy, 200)])), "");
        assert_eq!(waited(&bench).len(), 0);
        bench.clock.set_ns(bench.clock.now_ns() + 300);
        let second = packet(SESSION, 2, &[&add(2, Side::Buy, 200)]);
        bench.script.borrow_mut().push((1, second));
        let events = bench.turn();
        assert_eq!(kinds(&events), "AA");
        assert!(events.iter().all(|event| !event.has(FLAG_STALE)));
        let waited = waited(&bench);
        assert_eq!((waited.len(), waited.min(), waited.max()), (1, 300, 300));
        let arbiter = &bench.counters.arbiter;
        assert_eq!((arbiter.holes_filled.get(), arbiter.gaps.get()), (1, 0));
        let [first, second] =
            [0, 1].map(|line: usize| bench.feed.line_views()[line].counters.clone());
        // A heartbeat says that the second line lacks the first packet and the third.
        let heartbeat = packet(SESSION, 4, &[]);
        bench.script.borrow_mut().push((1, heartbeat));
        bench.turn();
        let lines = [first, second].map(|it| (it.packets_won.get(), it.messages_missing.get()));
        assert_eq!(lines, [(2, 1), (1, 2)]);
    }

    #[test]
    fn lines_race_and_each_has_its_own_counts_and_lead() {
        let mut bench = bench();
        for seq in 1..=4 {
            let data = packet(SESSION, seq, &[&add(seq, Side::Buy, 200)]);
            bench.script.borrow_mut().push((0, data.clone()));
            bench.turn();
            bench.clock.set_ns(bench.clock.now_ns() + 70);
            bench.script.borrow_mut().push((1, data));
            bench.turn();
        }
        let views = bench.feed.line_views();
        let count = |line: usize| {
            let it = &views[line].counters;
            [&it.packets_won, &it.packets_duplicate, &it.messages_missing].map(|count| count.get())
        };
        assert_eq!((count(0), count(1)), ([4, 0, 0], [0, 4, 0]));
        let led = |line: usize| views[line].histograms[0].1.snapshot().len();
        assert_eq!((led(0), led(1)), (4, 0));
        // Another session begins with other numbers: nothing is lost by that.
        let end = end(SESSION, 5);
        bench
            .script
            .borrow_mut()
            .extend([(0, end.clone()), (1, end)]);
        bench.turn();
        bench.begin(*b"SESSION002");
        bench.send_raw(packet(*b"SESSION002", 1, &[&add(9, Side::Buy, 200)]));
        assert_eq!((count(0)[2], count(1)[2]), (0, 0));
    }

    #[test]
    fn foreign_packets_do_not_keep_a_silent_feed_fresh() {
        let mut bench = bench();
        bench.send(1, &[&add(1, Side::Buy, 200)]);
        bench.clock.set_ns(bench.clock.now_ns() + STALE_NS);
        let foreign = packet(*b"OTHER00001", 1, &[&add(2, Side::Buy, 200)]);
        assert_eq!(kinds(&bench.send_raw(foreign)), "-");
    }

    #[test]
    fn one_silent_line_is_counted_and_comes_back_while_the_feed_stays_fresh() {
        let mut bench = bench();
        bench.send(1, &[&add(1, Side::Buy, 200)]);
        bench.clock.set_ns(bench.clock.now_ns() + STALE_NS);
        assert_eq!(kinds(&bench.send(2, &[&add(2, Side::Buy, 200)])), "A");
        let status = &bench.counters.status;
        assert_eq!((status.silent_lines(), status.stale()), (0b10, 0));
        let second = packet(SESSION, 2, &[&add(2, Side::Buy, 200)]);
        bench.script.borrow_mut().push((1, second));
        assert_eq!(kinds(&bench.turn()), "");
        assert_eq!(bench.counters.status.silent_lines(), 0);
        let feed = &bench.counters.feed;
        assert_eq!(
            (feed.lines_silenced.get(), feed.lines_returned.get()),
            (1, 1)
        );
    }

    #[test]
    fn deadline_of_a_hole_is_kept_in_busy_turns() {
        let mut bench = bench_with(64, 500);
        bench.send(1, &[&add(1, Side::Buy, 200)]);
        bench.send(3, &[&add(3, Side::Buy, 200)]);
        bench.clock.set_ns(bench.clock.now_ns() + 500);
        // A packet in each turn: there is no quiet one.
        assert_eq!(kinds(&bench.send(4, &[&add(4, Side::Sell, 300)])), "!AA");
    }

    #[test]
    fn lag_is_told_though_nothing_follows() {
        let mut bench = bench_with(2, 0);
        let adds: Vec<_> = (1..5).map(|n| add(n, Side::Buy, 200)).collect();
        let messages: Vec<&[u8]> = adds.iter().map(Vec::as_slice).collect();
        assert_eq!(kinds(&bench.send(1, &messages)), "AA");
        let events = bench.turn();
        assert_eq!(kinds(&events), "~=");
        assert_eq!((events[0].number, events[0].origin.seq), (2, 4));
        assert!(!events[0].has(FLAG_STALE));
        // What it missed, in one event: four orders of a hundred.
        let refreshed = events[1];
        assert_eq!((refreshed.origin.seq, refreshed.locate), (4, 7));
        assert_eq!(refreshed.best(), bench.best_prices.load(7).unwrap());
        assert_eq!(refreshed.bid_qty, Qty(400));
        assert!(refreshed.has(FLAG_BBO_CHANGED) && !refreshed.has(FLAG_STALE));
        assert_eq!(kinds(&bench.turn()), "");
    }

    #[test]
    fn gap_that_meets_a_full_ring_is_heard_as_a_gap() {
        let mut bench = bench_with(1, 0);
        bench
            .script
            .borrow_mut()
            .push((0, packet(SESSION, 1, &[&add(1, Side::Buy, 200)])));
        assert_eq!(kinds(&bench.send(5, &[&add(2, Side::Buy, 200)])), "A");
        let lag = bench.turn();
        assert_eq!(kinds(&lag), "~=");
        assert!(lag.iter().all(|event| event.has(FLAG_STALE)));
        let gap = bench.turn();
        assert_eq!((gap[0].gap_first(), gap[0].number), (Some(Seq(2)), 3));
    }

    #[test]
    fn books_are_looked_through_while_nothing_arrives() {
        let mut bench = bench();
        bench.send(1, &[&add(1, Side::Buy, 200), &add(2, Side::Sell, 300)]);
        let check = Arc::clone(&bench.counters);
        let mut turns = 0;
        while check.check.rounds.get() == 0 {
            bench.turn();
            turns += 1;
        }
        assert!(turns < 200_000, "{turns} turns");
        assert_eq!(check.check.levels.get(), 2);
        assert_eq!(
            (check.check.broken.get(), check.check.crossed.get()),
            (0, 0)
        );
        // In continuous trading no book is crossed: an order is missing.
        bench.send(3, &[&add(3, Side::Buy, 400)]);
        while check.check.rounds.get() == 1 {
            bench.turn();
        }
        assert_eq!(check.check.crossed.get(), 1);
    }

    #[test]
    fn order_without_room_makes_its_symbol_stale_in_that_very_event() {
        let mut bench = bench();
        let adds: Vec<_> = (1..6).map(|n| add(n, Side::Buy, 200)).collect();
        for (seq, message) in (1..).zip(&adds) {
            let events = bench.send(seq, &[message]);
            let is_refused = seq == 5;
            assert_eq!(events[0].has(FLAG_STALE), is_refused, "message {seq}");
            assert_eq!(bench.best_prices.is_stale(7), is_refused);
        }
        assert!(!bench.best_prices.is_stale(8) && !bench.best_prices.feed_is_stale());
    }

    #[test]
    fn message_that_contradicts_its_book_makes_that_symbol_stale_until_the_next_session() {
        let head = |kind| Head::new(kind, 7, Nanos(1));
        let order = |number| OrderRef(number).into();
        let unknown = OrderDelete {
            head: head(b'D'),
            order: order(9),
        };
        let too_many = OrderCancel {
            head: head(b'X'),
            order: order(1),
            shares: Qty(101).into(),
        };
        let free = add(3, Side::Buy, 0);
        let twice = add(1, Side::Sell, 300);
        let contradictions = [unknown.as_bytes(), too_many.as_bytes(), &free, &twice];
        for (at, wrong) in contradictions.iter().enumerate() {
            let mut bench = bench();
            let events = bench.send(1, &[&add(1, Side::Buy, 200), wrong]);
            assert!(
                !events[0].has(FLAG_STALE) && events[1].has(FLAG_STALE),
                "{at}"
            );
            assert!(
                bench.best_prices.is_stale(7) && !bench.best_prices.is_stale(8),
                "{at}"
            );
            assert!(!bench.best_prices.feed_is_stale(), "{at}");
            bench.send_raw(end(SESSION, 3));
            bench.send_raw(end(SESSION, 3));
            bench.begin(*b"SESSION002");
            assert!(!bench.best_prices.is_stale(7), "{at}");
        }
    }

    #[test]
    fn new_session_clears_what_belonged_to_the_old_day() {
        let alc = Symbol::new("ALC").unwrap();
        let mut bench = silent_bench(64, Subscription::Symbols(vec![alc]), 0);
        bench.begin(SESSION);
        let mut messages: Vec<_> = (1..6).map(|n| add(n, Side::Buy, 200)).collect();
        messages.insert(0, directory(7, "ALC"));
        let messages: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
        assert_eq!(kinds(&bench.send(1, &messages)), "RAAAAA");
        assert!(bench.best_prices.is_stale(7));
        // The end is missed; the next day comes after a silence.
        assert_eq!(kinds(&bench.wait(STALE_NS)), "-");
        let next = *b"SESSION002";
        let mut events = Vec::new();
        let today = [add(1, Side::Sell, 900), directory(9, "ALC"), {
            let mut order = add(1, Side::Sell, 800);
            order[1..3].copy_from_slice(&9u16.to_be_bytes());
            order
        }];
        for (seq, message) in (1..).zip(&today) {
            events.extend(bench.send_raw(packet(next, seq, &[message])));
        }
        // Locate 7 stands for nobody now; its order is in the book of the new day until 9 takes it.
        assert_eq!(kinds(&events), ".+RA");
        assert_eq!(events[0].origin.seq, 7);
        assert!(!events[1].has(FLAG_STALE) && !events[3].has(FLAG_STALE));
        assert_eq!(
            (events[3].bid_price, events[3].ask_price),
            (Price4(0), Price4(800))
        );
        assert_eq!(bench.best_prices.symbol(7), None);
        assert_eq!(bench.best_prices.load(7), Some(BestPrice::default()));
        assert_eq!(bench.best_prices.load(9).unwrap().ask_price, Price4(800));
        // 7 has lost an order of which nobody said that it is gone.
        assert!(bench.best_prices.is_stale(7) && !bench.best_prices.is_stale(9));
        assert_eq!(bench.counters.arbiter.sessions_end_missed.get(), 1);
    }

    #[test]
    fn end_of_session_makes_everything_stale_until_the_next_begins() {
        let mut bench = bench();
        bench.send(1, &[&add(1, Side::Buy, 200)]);
        bench.send_raw(end(SESSION, 2));
        let events = bench.send_raw(end(SESSION, 2));
        assert_eq!(kinds(&events), ".");
        assert!(events[0].has(FLAG_STALE) && bench.best_prices.feed_is_stale());
        assert_eq!(bench.counters.status.stale(), STALE_ENDED);
        bench.begin(*b"SESSION002");
        assert_eq!(kinds(&bench.turn()), "+");
        assert!(!bench.best_prices.feed_is_stale());
    }

    #[test]
    fn session_that_begins_with_data_leaves_no_line_out_of_order() {
        let mut bench = bench();
        let session = *b"SESSION002";
        let end = end(SESSION, 1);
        bench
            .script
            .borrow_mut()
            .extend([(0, end.clone()), (1, end)]);
        bench.turn();
        for line in 0..2 {
            for seq in 1..=4 {
                let data = packet(session, seq, &[&add(seq, Side::Buy, 200)]);
                bench.script.borrow_mut().push((line, data));
                bench.turn();
            }
        }
        let views = bench.feed.line_views();
        let [first, second] = [0, 1].map(|line: usize| &views[line].counters);
        // The two that made the session believed are not counted.
        let counts = (first.packets_won.get(), second.packets_duplicate.get());
        assert_eq!(counts, (2, 4));
        for line in [first, second] {
            let wrong = line.packets_out_of_order.get() + line.messages_missing.get();
            assert_eq!(wrong, 0);
        }
    }

    #[test]
    fn packet_that_cannot_be_read_is_no_copy_and_wins_nothing() {
        let mut bench = bench();
        for (line, seq) in [(0, 1), (1, 3)] {
            let mut data = packet(SESSION, seq, &[&add(seq, Side::Buy, 200)]);
            data.truncate(data.len() - 5);
            bench.script.borrow_mut().push((line, data));
            bench.turn();
        }
        for view in bench.feed.line_views().iter().take(2) {
            let count = &view.counters;
            let said = [
                &count.packets_won,
                &count.packets_duplicate,
                &count.packets_unreadable,
            ];
            assert_eq!(said.map(|count| count.get()), [0, 0, 1]);
        }
    }

    #[test]
    fn line_that_died_is_behind_by_what_the_other_brought() {
        let mut bench = bench();
        for seq in 1..=500 {
            let data = packet(SESSION, seq, &[&add(seq, Side::Buy, 200)]);
            bench.script.borrow_mut().push((0, data.clone()));
            if seq <= 2 {
                bench.script.borrow_mut().push((1, data));
            }
            bench.turn();
        }
        bench.wait(STALE_NS);
        let views = bench.feed.line_views();
        let behind = [0, 1].map(|line: usize| views[line].counters.messages_behind.get());
        assert_eq!(behind, [0, 498]);
    }
}
