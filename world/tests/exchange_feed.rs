//! What the exchange publishes, judged by those who read it: our feed handler's books, `itch-book`, and the
//! engine itself, over random days with every kind of order, crosses, halts and broken trades; as Nasdaq's
//! feed and as IEX's.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod support;

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use fastrand::Rng;
use feed_handler::book::{Bbo, BookCounters, BookSink, Books, Limits, TradePrint};
use feed_handler::venue::{Iex, Nasdaq, Packet, Venue};
use order_sim::exchange::Exchange;
use order_sim::file;
use order_sim::options::{self, Options};
use protocol::glimpse::EndOfSnapshot;
use protocol::ouch::{
    AppendageBuffer, CancelOrder, Element, EnterOrder, Outbound, PRICE_MARKET, ReplaceOrder,
};
use protocol::types::{Price4, Qty, Side, Symbol, UserRefNum};
use rt::mem::Want;

const SECOND_NS: u64 = 1_000_000_000;
const SEEDS: u64 = 100;
const SNAPSHOTS_A_SEED: u64 = 10;
const LIMITS: Limits = Limits {
    orders_max: 1 << 14,
    levels_max: 1 << 13,
};

/// Shares that were printed.
#[derive(Default)]
struct Printed(u64);

impl BookSink for Printed {
    fn on_bbo(&mut self, _: u16, _: &Bbo) {}
    fn on_trade(&mut self, print: &TradePrint) {
        self.0 += print.shares;
    }
}

/// A reader of the feed.
struct Reader<V> {
    venue: V,
    printed: Printed,
    books: Books,
    counters: BookCounters,
    /// The first message that it applies.
    from: u64,
}

impl<V: Venue + Default> Reader<V> {
    fn new(from: u64) -> Self {
        let books = Books::new(&LIMITS, Want::LAZY).expect("memory");
        Self {
            venue: V::default(),
            printed: Printed::default(),
            books,
            counters: BookCounters::default(),
            from,
        }
    }

    fn apply(&mut self, bytes: &[u8]) {
        let message = self.venue.message(bytes).expect("the venue's own");
        self.books
            .apply(&message, &self.counters, &mut self.printed);
    }

    /// What it believes of one side: reference, shares, price, in the order of the queue.
    fn side(&self, locate: u16, side: Side) -> Vec<(u64, u32, u32)> {
        let levels = self.books.levels(locate, side);
        levels
            .flat_map(|(top, queue)| {
                queue
                    .into_iter()
                    .map(move |(order, shares)| (order.0, shares, top.price.0))
            })
            .collect()
    }

    /// Nothing that it was told made no sense.
    fn is_clean(&self) -> bool {
        let c = &self.counters;
        [
            &c.missing_ref,
            &c.duplicate_ref,
            &c.rejected,
            &c.clamped,
            &c.refused_full,
        ]
        .iter()
        .all(|counter| counter.get() == 0)
    }
}

struct World<V> {
    exchange: Exchange,
    random: Rng,
    reader: Reader<V>,
    /// Readers that began with a snapshot.
    late: Vec<Reader<V>>,
    /// Every message with its length before it.
    day: Vec<u8>,
    next_seq: u64,
    next_user_ref: [u32; 2],
}

fn options(seed: u64) -> Options {
    let mut text = format!(
        "address = \"127.0.0.1:1\"\n[clock]\nstart = \"09:29:50\"\n\
         [day]\nopen = \"09:30:00\"\nclose = \"09:30:20\"\nend = \"09:30:25\"\nimbalance_s = 3\nlate_s = 4\n\
         [engine]\npause_ms = 500\n[flow]\nseed = {seed}\nsymbols = 2\nrate = 60\ndepth = 8\nburst = 10\n\
         [feed]\nlines = [{{ address = \"127.0.0.1:2\" }}]\n\
         [account.one]\npassword = \"p\"\nself_match = \"D\"\n\
         [account.two]\npassword = \"p\"\npost_only_slides = true\nfirms = [\"ABCD\"]\n"
    );
    for (name, price, band) in [
        ("ALC", "100.00", 0),
        ("BOB", "20.00", 60),
        ("PENNY", "0.80", 0),
    ] {
        let _ = write!(
            text,
            "[[symbol]]\nname = \"{name}\"\nprice = \"{price}\"\nband_bps = {band}\n\
             short_restricted = {}\n",
            name == "BOB"
        );
    }
    file::parse(&text).expect("sane").exchange
}

const OPEN_NS: u64 = (9 * 3600 + 30 * 60) * SECOND_NS;

impl<V: Venue + Default> World<V> {
    fn new(seed: u64, venue: options::Venue) -> Self {
        let mut options = options(seed);
        options.feed.as_mut().expect("a feed").venue = venue;
        Self {
            exchange: Exchange::new(&options, OPEN_NS - 10 * SECOND_NS),
            random: Rng::with_seed(seed),
            reader: Reader::new(1),
            late: Vec::new(),
            day: Vec::new(),
            next_seq: 1,
            next_user_ref: [1; 2],
        }
    }

    /// Reads what was published and compares.
    fn read(&mut self) {
        while let Some(bytes) = self.exchange.take_packet(0) {
            let packet = V::packet(&bytes).expect("the venue's own");
            assert_eq!(packet.seq(), self.next_seq, "no number is left out");
            let missing = packet.each(|message| {
                self.reader.apply(message);
                for late in &mut self.late {
                    if self.next_seq >= late.from {
                        late.apply(message);
                    }
                }
                let len = u16::try_from(message.len()).expect("short");
                self.day.extend_from_slice(&len.to_be_bytes());
                self.day.extend_from_slice(message);
                self.next_seq += 1;
            });
            assert_eq!(missing, 0);
        }
        self.agrees(&self.reader);
    }

    fn agrees(&self, reader: &Reader<V>) {
        for locate in 1..=self.exchange.engine().listed() {
            for side in [Side::Buy, Side::Sell] {
                let shown = self.exchange.engine().shown(locate, side);
                let engine: Vec<_> = shown.map(|r| (r.reference, r.qty, r.price)).collect();
                assert_eq!(reader.side(locate, side), engine, "{locate} {side:?}");
            }
        }
        assert!(reader.is_clean(), "{:?}", reader.counters);
    }

    fn take_snapshot(&mut self) {
        let mut late = Reader::new(0);
        let mut from = None;
        self.exchange.snapshot(&mut |message| {
            if message[0] == EndOfSnapshot::KIND {
                let mark = EndOfSnapshot::decode(message).expect("the mark");
                from = mark.number();
            } else {
                assert_eq!(from, None, "the mark is last");
                late.apply(message);
            }
        });
        late.from = from.expect("a mark").0;
        assert_eq!(late.from, self.next_seq);
        self.agrees(&late);
        self.late.push(late);
    }

    fn act(&mut self) {
        let account = self.random.u16(0..2);
        let open = self.exchange.open_orders(account);
        let some = (!open.is_empty()).then(|| open[self.random.usize(0..open.len().max(1))].0);
        match (self.random.u8(0..20), some) {
            (0..4, Some(order)) => self.cancel(account, order),
            (4..7, Some(order)) => self.replace(account, order),
            (7, _) => {
                let trades = self.exchange.engine().totals().trades;
                self.exchange.break_trade(self.random.u64(0..trades + 2));
            }
            (8, _) if self.random.u8(0..4) == 0 => {
                let symbol = Symbol::new("ALC").expect("a symbol");
                let is_halted = self.random.bool();
                let state = self.exchange.engine().status(1).expect("listed").state;
                if is_halted || state == order_sim::engine::State::Halted {
                    self.exchange.halt(symbol, is_halted);
                }
            }
            _ => self.enter(account),
        }
    }

    fn user_ref(&mut self, account: u16) -> UserRefNum {
        let next = &mut self.next_user_ref[usize::from(account)];
        *next += 1;
        UserRefNum(*next - 1)
    }

    fn price(&mut self, at: usize) -> Price4 {
        let (reference, tick) = [(1_000_000, 100), (200_000, 100), (8_000, 1)][at];
        Price4(reference + tick * self.random.u32(0..16) - tick * 8)
    }

    fn enter(&mut self, account: u16) {
        let at = self.random.usize(0..3);
        let mut elements = AppendageBuffer::default();
        let random = &mut self.random;
        let qty = 10 * random.u32(1..40);
        let is_immediate = random.u8(0..5) == 0;
        let display = *b"YYYNA".get(random.usize(0..5)).expect("in range");
        let mut push = |element| assert!(elements.push(element));
        let is_unseen = match random.u8(0..12) {
            0 => {
                push(Element::PriceType(b'M'));
                true
            }
            1 => {
                push(Element::PostOnly(b'P'));
                false
            }
            2 if display != b'N' && !is_immediate => {
                push(Element::MaxFloor(Qty(10)));
                false
            }
            _ => false,
        };
        if (is_unseen || display == b'N' || is_immediate) && random.bool() {
            push(Element::MinQty(Qty(random.u32(1..=qty))));
        }
        if random.u8(0..6) == 0 {
            push(Element::AiqStrategy(
                *b"WOD".get(random.usize(0..3)).expect("in range"),
            ));
        }
        let is_timed = random.u8(0..8) == 0;
        if is_timed {
            push(Element::ExpireTimeSeconds(
                9 * 3600 + 30 * 60 + random.u32(0..20),
            ));
        }
        let cross = *b"NNNNNNNNOCH".get(random.usize(0..11)).expect("in range");
        let is_market = random.u8(0..30) == 0;
        let m = EnterOrder {
            kind: EnterOrder::KIND,
            user_ref: self.user_ref(account).into(),
            side: *b"BBSSTE".get(self.random.usize(0..6)).expect("in range"),
            qty: Qty(qty).into(),
            symbol: Symbol::new(["ALC", "BOB", "PENNY"][at]).expect("a symbol"),
            price: if is_market {
                PRICE_MARKET.into()
            } else {
                self.price(at).into()
            },
            time_in_force: match (is_immediate, is_timed) {
                (true, _) => b'3',
                (_, true) => b'6',
                _ => *b"005".get(self.random.usize(0..3)).expect("in range"),
            },
            display,
            capacity: b'P',
            iso: b'N',
            cross,
            client_order_id: *b"random order  ",
        };
        let mut out = [0; 256];
        let len = m.encode(elements.as_bytes(), &mut out).expect("it fits");
        self.exchange.on_message(account, &out[..len]);
    }

    fn replace(&mut self, account: u16, order: UserRefNum) {
        let m = ReplaceOrder {
            kind: ReplaceOrder::KIND,
            original_user_ref: order.into(),
            user_ref: self.user_ref(account).into(),
            qty: Qty(10 * self.random.u32(1..40)).into(),
            price: self.price(0).into(),
            time_in_force: b'0',
            display: *b"YN".get(self.random.usize(0..2)).expect("in range"),
            iso: b'N',
            client_order_id: *b"replacement   ",
        };
        let mut out = [0; 64];
        let len = m.encode(&[], &mut out).expect("it fits");
        self.exchange.on_message(account, &out[..len]);
    }

    fn cancel(&mut self, account: u16, order: UserRefNum) {
        let keep = if self.random.bool() {
            0
        } else {
            self.random.u32(0..100)
        };
        let m = CancelOrder {
            kind: CancelOrder::KIND,
            user_ref: order.into(),
            qty: Qty(keep).into(),
        };
        let mut out = [0; 16];
        let len = m.encode(&[], &mut out).expect("it fits");
        self.exchange.on_message(account, &out[..len]);
    }

    /// One day, from before the opening cross to the end of messages. Snapshots are GLIMPSE's.
    fn run(&mut self, has_snapshots: bool) {
        let mut now = OPEN_NS - 10 * SECOND_NS;
        let end = OPEN_NS + 26 * SECOND_NS;
        let step = (end - now) / 700;
        // The tenth comes before the last step.
        let snapshot_every = (end - now - step * 2) / SNAPSHOTS_A_SEED;
        let mut snapshot_ns = now + self.random.u64(0..snapshot_every);
        while now < end {
            // Each thing that happens is compared by itself.
            while let Some(due) = self.exchange.next_due_ns().filter(|due| *due <= now) {
                self.exchange.advance(due);
                self.read();
            }
            self.exchange.advance(now);
            self.act();
            self.read();
            if now >= snapshot_ns && has_snapshots {
                self.take_snapshot();
                snapshot_ns += snapshot_every;
            }
            now += self.random.u64(0..step * 2);
        }
        for late in &self.late {
            self.agrees(late);
        }
    }
}

/// What `itch-book` and our books find in each file, a line for each change of best prices.
const JUDGE: &str = r#"
import sys, itch_book._core as core
for path in sys.argv[1:]:
    s = core.Session(["bbo", "trades"], 0, [])
    s.feed(open(path, "rb").read())
    b, t, n = s.take_bbo(), s.take_trades(), s.stats()
    with open(path + ".theirs", "w") as f:
        f.write("ts,seq,locate,bid_px,bid_sz,bid_ct,ask_px,ask_sz,ask_ct\n")
        for r in zip(*(b[k].tolist() for k in "ts seq locate bid_px bid_sz bid_ct ask_px ask_sz ask_ct".split())):
            f.write(",".join(map(str, r)) + "\n")
    assert n["missing_ref"] == 0 and n["rejected"] == 0, n
"#;

fn judged_by_itch_book(folder: &Path, files: &[String]) {
    let Some(python) = support::python_with("itch-book") else {
        return;
    };
    let judged = Command::new(python)
        .args(["-c", JUDGE])
        .args(files)
        .output()
        .expect("python runs");
    assert!(judged.status.success(), "{}", support::stderr(&judged));
    let mut rows = 0;
    for file in files {
        let ours = folder.join("ours.csv");
        let options = bench::book::Options {
            bbo: Some(ours.clone()),
            ..Default::default()
        };
        let outcome = bench::book::build(Path::new(file), &options, |_| ()).expect("read");
        assert_eq!(
            (outcome.missing_ref, outcome.rejected, outcome.malformed),
            (0, 0, 0)
        );
        let ours = std::fs::read_to_string(ours).expect("ours");
        let theirs = std::fs::read_to_string(format!("{file}.theirs")).expect("theirs");
        assert!(ours == theirs, "{file} differs");
        rows += ours.lines().count() - 1;
    }
    eprintln!(
        "{} days: {rows} changes of best prices agree with itch-book",
        files.len()
    );
}

#[test]
fn books_from_the_feed_agree_with_the_engine_and_with_itch_book_over_random_days() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut files, mut snapshots, mut kinds) = (Vec::new(), 0, [0_u64; 256]);
    for seed in 0..SEEDS {
        let mut world = World::<Nasdaq>::new(seed, options::Venue::Nasdaq);
        world.run(true);
        snapshots += world.late.len();
        for message in protocol::binary_file::Messages::new(&world.day) {
            kinds[usize::from(message[0])] += 1;
        }
        let path = folder.path().join(format!("{seed}.itch50"));
        std::fs::write(&path, &world.day).expect("written");
        files.push(path.display().to_string());
    }
    for kind in "SRHYLVJAFECXDUPQBI".bytes() {
        assert!(
            kinds[usize::from(kind)] > 0,
            "no {} was ever sent",
            kind as char
        );
    }
    let total: u64 = kinds.iter().sum();
    eprintln!("{SEEDS} days, {total} messages, {snapshots} snapshots agree");
    assert!(snapshots as u64 >= SEEDS * SNAPSHOTS_A_SEED);
    judged_by_itch_book(folder.path(), &files);
}

#[test]
fn second_venues_books_agree_with_the_engine_and_print_what_the_first_prints() {
    let mut kinds = [0_u64; 256];
    for seed in 0..SEEDS / 4 {
        let mut second = World::<Iex>::new(seed, options::Venue::Iex);
        second.run(false);
        let mut first = World::<Nasdaq>::new(seed, options::Venue::Nasdaq);
        first.run(false);
        assert!(first.reader.printed.0 > 0);
        assert_eq!(second.reader.printed.0, first.reader.printed.0, "{seed}");
        for message in protocol::binary_file::Messages::new(&second.day) {
            kinds[usize::from(message[0])] += 1;
        }
    }
    for kind in "SDHOPEaMRLTB".bytes() {
        let count = kinds[usize::from(kind)];
        assert!(count > 0, "no {} was ever sent", kind as char);
    }
}

#[test]
fn same_seed_and_messages_give_the_same_bytes_however_late_time_is_looked_at() {
    let day = |seed: u64, is_late: bool| {
        let mut world = World::<Nasdaq>::new(seed, options::Venue::Nasdaq);
        let mut packets = Vec::new();
        let mut now = OPEN_NS - 10 * SECOND_NS;
        for _ in 0..300 {
            let next = now + world.random.u64(0..200_000_000);
            // A loaded machine looks once; an idle one looks all the time.
            while !is_late && now < next {
                now += 1_000_003;
                world.exchange.advance(now.min(next));
                packets.extend(std::iter::from_fn(|| world.exchange.take_packet(0)));
            }
            now = next;
            world.exchange.advance(now);
            world.act();
            packets.extend(std::iter::from_fn(|| world.exchange.take_packet(0)));
        }
        let answers: Vec<Vec<u8>> = (0..2)
            .flat_map(|account| (0..world.exchange.stored(account)).map(move |at| (account, at)))
            .filter_map(|(account, at)| world.exchange.message(account, at).map(<[u8]>::to_vec))
            .collect();
        assert!(
            answers
                .iter()
                .any(|answer| Outbound::decode(answer).is_ok())
        );
        (packets, answers)
    };
    for seed in 0..5 {
        let (first, second) = (day(seed, false), day(seed, true));
        assert!(first.0.len() > 500, "{} packets", first.0.len());
        assert!(first == second, "seed {seed}");
        assert!(day(seed + 1, true) != second);
    }
}
