//! The same day live and in the backtest: a gateway and an exchange on this machine, and `tickgate-backtest` with the gateway's own file,
//! trade the same shares at the same prices between the same two messages.
//!
//! ```text
//!  day ──> tickgate-sim ──feed, answers──> tickgate ──> journal ──> fills ─┐
//!   └────> tickgate-backtest ──> JSON ──> fills ───────────────────────────┴─> the same
//! ```
//!
//! What decides is order, not time. Messages are so far apart that each order is answered before the next one, and that is looked at, not
//! hoped for: the exchange stamps every answer, so it is known between which two messages it took each order. Where a host was too slow
//! for that, latency was not the same from there on; where that is in the first half, the day is played again with more time between messages.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::collections::BTreeMap;
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use fastrand::Rng;
use gateway::journal::event::Event;
use gateway::journal::files::list;
use gateway::journal::format::{BY_EXECUTION, IntentRecord};
use gateway::journal::reader::Reader;
use lab::exchange::write_secret;
use lab::gateway::FEEDS_WAIT;
use lab::process::{Process, sibling};
use protocol::itch::{AddOrder, Head, Message, OrderDelete, OrderExecuted, StockDirectory};
use protocol::ouch::{Inbound, Outbound};
use protocol::soup::Packet;
use protocol::types::{MatchNumber, Nanos, OrderRef, Price4, Qty, Symbol};
use serde_json::Value;
use zerocopy::IntoBytes;

static NEVER: AtomicBool = AtomicBool::new(false);
/// When the day begins, ns since midnight: half past nine.
const BEGIN_NS: u64 = 34_200_000_000_000;
/// From the first message to the second: the gateway learns the feed's session.
const LEARN_NS: u64 = 600_000_000;
/// Between two messages, at first. Twice the round trip that a busy host needs now and then is not much; more makes the test longer.
const APART_NS: u64 = 4_000_000;
/// Times that a day is played, each with four times as much between its messages.
const PLAYED_MAX: u32 = 4;
const SYMBOLS: u16 = 3;
/// Against a hang only.
const SOON: Duration = Duration::from_secs(20);

/// A fill as both have it: how many messages of the day were said before it, side, price in 0.0001 dollars, shares.
type Fill = (usize, char, u64, u64);
/// By symbol, in sequence.
type Fills = BTreeMap<String, Vec<Fill>>;

/// A day whose messages come one at a time.
#[derive(Default)]
struct Day {
    /// When each is said, ns since midnight.
    stamps: Vec<u64>,
    /// BinaryFILE.
    bytes: Vec<u8>,
    apart_ns: u64,
    orders: u64,
}

/// The best price of a side, and the record's orders there, the first come first. There is always one, and none elsewhere.
#[derive(Clone, Default)]
struct Best {
    price: u32,
    orders: Vec<(u64, u32)>,
}

const SIDES: [u8; 2] = *b"BS";
const TICK: u32 = 100;

impl Day {
    /// The quoter stands at the best prices and never before them, so what trades with it leaves the best prices as they are: whether it
    /// hears first of its fill or of the message that caused it, which is a race on any two wires, it asks for the same.
    fn new(messages: usize, apart_ns: u64) -> Self {
        let mut dice = Rng::with_seed(5);
        let mut day = Self {
            apart_ns,
            ..Self::default()
        };
        let mut markets = vec![[Best::default(), Best::default()]; usize::from(SYMBOLS)];
        for (locate, market) in (1..).zip(&mut markets) {
            let head = day.head(StockDirectory::KIND, locate);
            day.say(StockDirectory::common_stock(head, symbol(locate)).as_bytes());
            for (side, best) in market.iter_mut().enumerate() {
                best.price = 1_000_000 + if side == 0 { 0 } else { 2 * TICK };
                day.add(locate, side, best, &mut dice);
            }
        }
        while day.stamps.len() < messages {
            let locate = dice.u16(1..=SYMBOLS);
            let market = &mut markets[usize::from(locate - 1)];
            let side = dice.usize(0..2);
            match (dice.u8(0..100), market[side].orders.len()) {
                (0..10, _) => day.shift(locate, side, market, &mut dice),
                (10..25, 2..) => {
                    let place = dice.usize(0..market[side].orders.len());
                    let (order, _) = market[side].orders.remove(place);
                    day.delete(locate, order);
                }
                (25..65, 2..) => day.execute(locate, &mut market[side], &mut dice),
                _ => day.add(locate, side, &mut market[side], &mut dice),
            }
        }
        day
    }

    /// Both best prices move a tick to where this side comes from: its new one is there before the other's old one goes, so the
    /// distance is never more than two ticks.
    fn shift(&mut self, locate: u16, side: usize, market: &mut [Best; 2], dice: &mut Rng) {
        let next = |price| {
            if side == 0 {
                price + TICK
            } else {
                price - TICK
            }
        };
        let mut new = market.clone();
        for side in [1 - side, side] {
            new[side] = Best {
                price: next(market[side].price),
                orders: Vec::new(),
            };
            self.add(locate, side, &mut new[side], dice);
        }
        for side in [1 - side, side] {
            for (order, _) in std::mem::take(&mut market[side].orders) {
                self.delete(locate, order);
            }
        }
        *market = new;
    }

    fn add(&mut self, locate: u16, side: usize, best: &mut Best, dice: &mut Rng) {
        self.orders += 1;
        let shares = dice.u32(1..=3) * 100;
        best.orders.push((self.orders, shares));
        let message = AddOrder {
            head: self.head(AddOrder::KIND, locate),
            order: OrderRef(self.orders).into(),
            side: SIDES[side],
            shares: Qty(shares).into(),
            stock: symbol(locate),
            price: Price4(best.price).into(),
        };
        self.say(message.as_bytes());
    }

    /// The first of a queue trades, all of it or a part.
    fn execute(&mut self, locate: u16, best: &mut Best, dice: &mut Rng) {
        let (order, open) = best.orders[0];
        let shares = dice.u32(1..=open / 50) * 50;
        if shares == open {
            best.orders.remove(0);
        } else {
            best.orders[0].1 -= shares;
        }
        let message = OrderExecuted {
            head: self.head(OrderExecuted::KIND, locate),
            order: OrderRef(order).into(),
            shares: Qty(shares).into(),
            match_number: MatchNumber(self.stamps.len() as u64).into(),
        };
        self.say(message.as_bytes());
    }

    fn delete(&mut self, locate: u16, order: u64) {
        let head = self.head(OrderDelete::KIND, locate);
        let order = OrderRef(order).into();
        self.say(OrderDelete { head, order }.as_bytes());
    }

    fn head(&self, kind: u8, locate: u16) -> Head {
        let stamp = match self.stamps.len() as u64 {
            0 => BEGIN_NS,
            number => BEGIN_NS + LEARN_NS + number * self.apart_ns,
        };
        Head::new(kind, locate, Nanos(stamp))
    }

    fn say(&mut self, message: &[u8]) {
        let head = Message::decode(message).expect("ITCH").head().timestamp;
        self.stamps.push(head.get().0);
        let len = u16::try_from(message.len()).expect("short");
        self.bytes.extend(len.to_be_bytes());
        self.bytes.extend(message);
    }

    /// Messages said until then.
    fn said(&self, at_ns: u64) -> usize {
        self.stamps.partition_point(|stamp| *stamp <= at_ns)
    }
}

fn symbol(locate: u16) -> Symbol {
    Symbol::new(&format!("T{locate}")).expect("a symbol")
}

/// Exchange and gateway, each with a file of its own.
struct Live {
    folder: tempfile::TempDir,
}

impl Live {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        write_secret(&self.path(name), text).expect("written");
    }

    fn new(day: &Day) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let live = Self { folder };
        std::fs::write(live.path("day.itch50"), &day.bytes).expect("written");
        std::fs::create_dir(live.path("state")).expect("a folder");
        let [feed, rerequest] = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").expect("a port"));
        let orders = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = |socket: &UdpSocket| socket.local_addr().expect("bound").port();
        let (feed, rerequest) = (port(&feed), port(&rerequest));
        let orders = orders.local_addr().expect("bound").port();
        live.write(
            "sim.toml",
            &format!(
                "address = \"127.0.0.1:{orders}\"\nfill_every = 0\n[clock]\nstart = \"09:30:00\"\nwait_for_login_ms = 300\n\
                 [record]\nfile = \"{}\"\nspeed = 1.0\n\
                 [feed]\nheartbeat_ms = 50\nlines = [{{ address = \"127.0.0.1:{feed}\" }}]\n\
                 rerequest = \"127.0.0.1:{rerequest}\"\n[account.demo]\npassword = \"demo\"\n",
                live.path("day.itch50").display()
            ),
        );
        live.write(
            "tickgate.toml",
            &format!(
                "[host]\nstate_dir = \"{}\"\nlock_memory = false\nhuge_pages = false\n[journal]\nfolder = \"{}\"\n\
                 [telemetry]\ntable = false\n\
                 [feed.sim]\nreceive = \"udp\"\nlines = [{{ address = \"127.0.0.1:{feed}\", interface = \"lo\" }}]\n\
                 [feed.sim.recovery]\nservers = [\"127.0.0.1:{rerequest}\"]\n\
                 [feed.sim.books]\norders_max = 65536\nlevels_max = 4096\n\
                 [session.ouch]\naddress = \"127.0.0.1:{orders}\"\nusername = \"demo\"\npassword = \"demo\"\n\
                 [session.ouch.risk]\norder_qty_max = 1000\nnotional_max_dollars = 100000000\ncollar_bps = 5000\n\
                 position_max = 10000000\nopen_orders_max = 100\norders_per_second_max = 100000\n\
                 gross_exposure_max_dollars = 100000000000\nnet_exposure_max_dollars = 100000000000\n\
                 loss_max_dollars = 100000000000\n{QUOTER}",
                live.path("state").display(),
                live.path("journal").display(),
            ),
        );
        live
    }

    /// Plays the whole day.
    fn play(&self) {
        let program = |name: &str, file: &Path| {
            let mut command = Command::new(sibling(name).expect("the workspace is built"));
            command.args(["run", "--config"]).arg(file);
            command.stdout(Stdio::null()).env("RUST_LOG", "info");
            command.env(FEEDS_WAIT, "0");
            command
        };
        let exchange = program("tickgate-sim", &self.path("sim.toml"));
        let mut exchange = Process::start("exchange", exchange).expect("it starts");
        exchange
            .await_line("listening on", SOON, &NEVER)
            .expect("it listens");
        let gateway = program("tickgate", &self.path("tickgate.toml"));
        let mut gateway = Process::start("gateway", gateway).expect("it starts");
        gateway
            .await_line("session open", SOON, &NEVER)
            .expect("it trades");
        exchange
            .await_line("the flow is over", LONG, &NEVER)
            .expect("the day ends");
        gateway.signal(libc::SIGTERM);
        let has_ended = gateway.wait(SOON, &NEVER).expect("it ends");
        assert!(has_ended, "{:?}", gateway.said);
    }
}

/// The longest day of `make same-day`.
const LONG: Duration = Duration::from_secs(3_600);

/// What it wants follows from the best prices alone, not from what it holds.
const QUOTER: &str = "[strategy.quotes]\nkind = \"quoter\"\nfeed = \"sim\"\nsession = \"ouch\"\n[strategy.quotes.parameters]\n\
     qty = 100\nhalf_spread = 100\nskew_per_lot = 0\nrequote_at = 1\ninventory_max = 10000000\n";

/// What a journal says of a day.
#[derive(Default)]
struct Played {
    fills: Fills,
    orders: usize,
    /// Orders that the exchange took after another message than the one that they answer, or never.
    late: Vec<String>,
    /// The messages up to this one were said before the first of these was to be there: until then latency was the same.
    same_until: Option<usize>,
    /// By OUCH's number: symbol and side.
    known: BTreeMap<u32, (String, char)>,
    /// By OUCH's number, of those that the exchange has not taken: messages said when it was decided on. A replacement of what has traded
    /// meanwhile is never taken.
    decided: BTreeMap<u32, usize>,
    /// Messages said as far as the gateway has heard: of the market, and by the time of the exchange's last answer.
    heard: usize,
}

impl Played {
    fn read(folder: &Path, day: &Day) -> Self {
        let mut played = Self::default();
        for path in list(folder).expect("journals") {
            let file = std::fs::File::open(&path).expect("it is there");
            let mut reader = Reader::new(file).expect("a head");
            while let Some(record) = reader.next_record().expect("whole") {
                match Event::of(&record).expect("a payload") {
                    Event::Sent(intent, packet) => {
                        played.look(&intent);
                        played.send(packet);
                    }
                    Event::Refused(intent) => {
                        played.look(&intent);
                    }
                    Event::Heard(heard) => played.hear(heard.message, day),
                    _ => {}
                }
            }
        }
        for (number, behind) in std::mem::take(&mut played.decided) {
            played.miss(
                behind,
                format!("order {number}: decided after {behind}, never there"),
            );
        }
        played
    }

    /// What the strategy asks for tells which message it has heard. News of an order name an older one, that of the order.
    fn look(&mut self, intent: &IntentRecord) {
        if intent.flags & BY_EXECUTION == 0 {
            let seq = usize::try_from(intent.seq.get()).expect("few");
            self.heard = self.heard.max(seq);
        }
    }

    fn send(&mut self, packet: &[u8]) {
        let packet = Packet::decode(packet)
            .expect("SoupBinTCP")
            .expect("whole")
            .0;
        let number = match Inbound::decode(packet.payload).expect("OUCH").0 {
            Inbound::EnterOrder(m) => m.user_ref.get().0,
            Inbound::ReplaceOrder(m) => m.user_ref.get().0,
            _ => return,
        };
        self.orders += 1;
        self.decided.insert(number, self.heard);
    }

    fn hear(&mut self, message: &[u8], day: &Day) {
        // OUCH 5.0: every answer has the exchange's time in bytes 1 to 8.
        let stamp = u64::from_be_bytes(message[1..9].try_into().expect("eight"));
        let said = day.said(stamp);
        self.heard = self.heard.max(said);
        let side = |code| if code == b'B' { 'B' } else { 'S' };
        match Outbound::decode(message).expect("OUCH").0 {
            Outbound::OrderAccepted(m) => {
                self.take(m.user_ref.get().0, said);
                let order = (m.symbol.to_string(), side(m.side));
                self.known.insert(m.user_ref.get().0, order);
            }
            Outbound::OrderReplaced(m) => {
                self.take(m.user_ref.get().0, said);
                let order = (m.symbol.to_string(), side(m.side));
                self.known.insert(m.user_ref.get().0, order);
            }
            Outbound::Executed(m) => {
                let (symbol, side) = self.known[&m.user_ref.get().0].clone();
                let shares = u64::from(m.qty.get().0);
                let fill = (said, side, m.price.raw(), shares);
                self.fills.entry(symbol).or_default().push(fill);
            }
            _ => {}
        }
    }

    fn take(&mut self, number: u32, said: usize) {
        let behind = self.decided.remove(&number).expect("it was sent");
        if behind != said {
            let line = format!("order {number}: decided after {behind}, there after {said}");
            self.miss(behind, line);
        }
    }

    /// An order was not there before the message after this one.
    fn miss(&mut self, behind: usize, line: String) {
        self.late.push(line);
        let until = self.same_until.unwrap_or(usize::MAX).min(behind);
        self.same_until = Some(until);
    }
}

/// What the backtest says of it.
fn tested(live: &Live, day: &Day) -> (Fills, usize) {
    let out = live.path("outcome.json");
    let output = Command::new(env!("CARGO_BIN_EXE_tickgate-backtest"))
        .arg(live.path("day.itch50"))
        .arg("--config")
        .arg(live.path("tickgate.toml"))
        .args(["--latency", "5us", "--json"])
        .arg(&out)
        .output()
        .expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let text = std::fs::read_to_string(out).expect("written");
    let outcome: Value = serde_json::from_str(&text).expect("JSON");
    let mut fills = Fills::new();
    for fill in outcome["fills"].as_array().expect("a list") {
        let said = day.said(fill["heard_ns"].as_u64().expect("a time"));
        let side = if fill["side"] == "buy" { 'B' } else { 'S' };
        let dollars = fill["price"].as_str().expect("text");
        let (whole, part) = dollars.split_once('.').expect("cents");
        let price = format!("{whole}{part:0<4}").parse().expect("a price");
        let shares = fill["shares"].as_u64().expect("a number");
        let symbol = fill["symbol"].as_str().expect("text");
        let fills = fills.entry(symbol.to_owned()).or_default();
        fills.push((said, side, price, shares));
    }
    let count = |name: &str| outcome[name].as_u64().expect("a number");
    let orders = usize::try_from(count("accepted") + count("replaced")).expect("few");
    (fills, orders)
}

/// Fills up to this message.
fn until(message: usize, mut fills: Fills) -> Fills {
    for fills in fills.values_mut() {
        fills.retain(|(said, ..)| *said <= message);
    }
    fills.retain(|_, fills| !fills.is_empty());
    fills
}

fn count(fills: &Fills) -> usize {
    fills.values().map(Vec::len).sum()
}

#[test]
fn same_day_live_and_in_the_backtest_has_the_same_fills() {
    let messages = std::env::var("MESSAGES").map_or(300, |text| text.parse().expect("a number"));
    for time in 0..PLAYED_MAX {
        let apart_ns = APART_NS << (2 * time);
        let day = Day::new(messages, apart_ns);
        let live = Live::new(&day);
        let (fills, orders) = tested(&live, &day);
        let all = count(&fills);
        assert!(fills.len() == usize::from(SYMBOLS) && all > 10, "{fills:?}");
        live.play();
        let played = Played::read(&live.path("journal"), &day);
        let same = played.same_until.unwrap_or(messages);
        let (seen, late) = (played.orders, played.late.len());
        let fills = until(same, fills);
        println!(
            "{orders} orders in the backtest, {seen} live, {late} late; of {all} fills {} with the same latency; {apart_ns} ns between messages",
            count(&fills)
        );
        assert_eq!(until(same, played.fills), fills);
        if count(&fills) * 2 > all {
            return;
        }
        eprintln!("latency was not the same: {:?}", played.late.first());
    }
    panic!("this host never answered before the next message");
}
