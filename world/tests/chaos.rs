//! Everything that can be killed is, while it trades: the gateway, the exchange, the link between them. After each, both
//! sides have the same orders and positions, and no number was ever used twice.
//!
//! `make chaos GATEWAY_KILLS=500 EXCHANGE_KILLS=100 CUTS=200` makes a long run of it.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests"
)]

mod desk;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use desk::{
    Desk, NEVER, account_at_exchange, gateway_command, start_gateway, start_sim_with, until,
};
use gateway::journal::event::Event;
use gateway::journal::files::list;
use gateway::journal::reader::Reader;
use gateway::message::intent::Action;
use lab::netns::{Lab, Side};
use lab::process::Process;
use protocol::ouch::Inbound;
use protocol::soup::Packet;
use rt::clock::monotonic_ns;
use serde_json::Value;
use support::{documented_questions, duckdb, is_root, stderr, tool};

/// How long both sides may take to agree after something was killed: an exchange that is silent is given up after two
/// seconds, a lost connection is made again within five.
const AGREE_NS: u64 = 20_000_000_000;
/// Sessions, as the gateway and the exchange's accounts name them, and what becomes of their orders at a start.
const SESSIONS: [(&str, &str); 2] = [("one", "adopt"), ("two", "cancel")];
/// The strategies and their sessions.
const STRATEGIES: [(&str, &str); 4] = [
    ("quotes", "one"),
    ("takes", "one"),
    ("probes", "two"),
    ("more", "two"),
];

/// What is done to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blow {
    KillGateway,
    KillExchange,
    CutLink,
}

/// Gateway and exchange, and what they are started with.
struct Arena {
    lab: Lab,
    desk: Desk,
    sim: Process,
    gateway: Process,
    random: fastrand::Rng,
}

impl Arena {
    fn new(seed: u64) -> Self {
        let (lab, desk) = (Lab::new().expect("a lab"), Desk::new());
        let sim = start_sim_with(&lab, &desk, &exchange_config(&desk, seed));
        std::fs::create_dir(desk.path("state")).expect("a folder");
        let config = desk.write("tickgate.toml", &gateway_config(&desk));
        let gateway = start_gateway(gateway_command(&lab, &config));
        Self {
            lab,
            desk,
            sim,
            gateway,
            random: fastrand::Rng::with_seed(seed),
        }
    }

    /// What the gateway says to `tickgate ctl`; `None`: nobody answers, or not yet.
    fn ctl(&self, arguments: &[&str]) -> Option<Value> {
        let socket = self.desk.path("gateway.sock");
        let output = desk::ctl(&socket, &[&["--json"], arguments].concat());
        let is_told = output.status.success();
        is_told.then(|| serde_json::from_slice(&output.stdout).expect("JSON"))
    }

    /// It trades for a while, then this happens, then both sides are compared.
    fn round(&mut self, blow: Blow) -> Result<(), String> {
        self.pause_ms(20..400);
        match blow {
            Blow::KillGateway => {
                self.gateway.signal(libc::SIGKILL);
                let _ = self.gateway.wait(Duration::from_secs(5), &NEVER);
                let config = self.desk.path("tickgate.toml");
                self.gateway = start_gateway(gateway_command(&self.lab, &config));
            }
            Blow::KillExchange => {
                self.sim.signal(libc::SIGKILL);
                let _ = self.sim.wait(Duration::from_secs(5), &NEVER);
                let seed = self.random.u64(1..1_000_000);
                let config = exchange_config(&self.desk, seed);
                self.sim = start_sim_with(&self.lab, &self.desk, &config);
            }
            Blow::CutLink => {
                self.link("down");
                // Three of four are shorter than what the session takes for a silent exchange.
                if self.random.u8(0..4) > 0 {
                    self.pause_ms(50..500);
                } else {
                    self.pause_ms(2_100..3_000);
                }
                self.link("up");
            }
        }
        self.agree()?;
        for (strategy, _) in STRATEGIES {
            self.ctl(&["unpause", strategy]).ok_or("no answer")?;
        }
        Ok(())
    }

    fn pause_ms(&mut self, range: std::ops::Range<u64>) {
        let pause = Duration::from_millis(self.random.u64(range));
        let until = monotonic_ns() + u64::try_from(pause.as_nanos()).expect("short");
        while monotonic_ns() < until {
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    fn link(&self, state: &str) {
        let mut command: Command = self.lab.command(Side::Exchange, Path::new("ip"));
        let done = command.args(["link", "set", "order0", state]).status();
        assert!(done.expect("ip runs").success());
    }

    /// Nothing new goes out, and both sides come to say the same.
    fn agree(&mut self) -> Result<(), String> {
        let until_ns = monotonic_ns() + AGREE_NS;
        let mut seen = (None, None);
        loop {
            if self.is_quiet() {
                seen = (self.gateway_says(), self.exchange_says());
                if seen.0.is_some() && seen.0 == seen.1 {
                    break;
                }
            }
            if monotonic_ns() > until_ns {
                self.gateway.end();
                let said = self.gateway.said.join("\n");
                return Err(format!(
                    "gateway {:?}\nexchange {:?}\n{said}",
                    seen.0, seen.1
                ));
            }
        }
        let status = self.ctl(&["status"]).ok_or("no status")?;
        let kill = &status["status"]["kill"];
        if kill["scope"] != serde_json::json!([]) {
            return Err(format!("{kill}"));
        }
        Ok(())
    }

    /// Whether both sessions are open and every strategy is paused.
    fn is_quiet(&self) -> bool {
        let Some(answer) = self.ctl(&["sessions"]) else {
            return false;
        };
        let sessions = answer["sessions"].as_array().expect("a list");
        if !sessions.iter().all(|session| session["state"] == "open") {
            return false;
        }
        let mut strategies = sessions
            .iter()
            .flat_map(|session| session["strategies"].as_array().expect("a list"));
        if strategies.all(|strategy| strategy["is_paused"] == true) {
            return true;
        }
        for (strategy, _) in STRATEGIES {
            self.ctl(&["pause", strategy]);
        }
        false
    }

    fn gateway_says(&self) -> Option<BTreeMap<String, Account>> {
        let mut accounts = BTreeMap::new();
        for (name, _) in SESSIONS {
            accounts.insert(name.to_owned(), Account::default());
        }
        let orders = self.ctl(&["orders"])?["orders"]["orders"].clone();
        for order in orders.as_array().expect("a list") {
            let name = text(&order["session"]);
            let account = accounts.get_mut(&name).expect("a session");
            account.stand(order, &text(&order["side"]));
        }
        let sessions = self.ctl(&["positions"])?["positions"]["sessions"].clone();
        for session in sessions.as_array().expect("a list") {
            let account = accounts.get_mut(&text(&session["session"]));
            let account = account.expect("a session");
            for held in session["positions"].as_array().expect("a list") {
                account.hold(&held["symbol"], &held["position"]);
            }
        }
        Some(accounts)
    }

    fn exchange_says(&self) -> Option<BTreeMap<String, Account>> {
        let mut accounts = BTreeMap::new();
        for (name, _) in SESSIONS {
            let told = account_at_exchange(&self.desk, name);
            let told = told.inspect_err(|said| eprintln!("{said}")).ok()?;
            let mut account = Account::default();
            for order in told["orders"].as_array().expect("a list") {
                let side = if order["side"] == "B" { "buy" } else { "sell" };
                account.stand(order, side);
            }
            for held in told["positions"].as_array().expect("a list") {
                account.hold(&held["symbol"], &held["net"]);
            }
            accounts.insert(name.to_owned(), account);
        }
        Some(accounts)
    }
}

/// An account, as both sides can be brought to show it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Account {
    /// By number: symbol, side, price, shares open.
    orders: BTreeMap<u64, String>,
    positions: BTreeMap<String, i64>,
}

impl Account {
    fn stand(&mut self, order: &Value, side: &str) {
        let (symbol, price) = (text(&order["symbol"]), text(&order["price"]));
        let about = format!("{symbol} {side} {price} {}", order["open"]);
        let number = order["user_ref"].as_u64().expect("a number");
        self.orders.insert(number, about);
    }

    fn hold(&mut self, symbol: &Value, shares: &Value) {
        let shares = shares.as_i64().expect("a number");
        if shares != 0 {
            self.positions.insert(text(symbol), shares);
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("text").to_owned()
}

/// A market of its own, and a store that outlives it.
fn exchange_config(desk: &Desk, seed: u64) -> String {
    let mut text = format!(
        "address = \"10.77.2.1:12000\"\ncontrol = \"{}\"\nsession = \"CHAOS00001\"\nstore = \"{}\"\n\
         fill_every = 0\n[flow]\nseed = {seed}\nsymbols = 8\nrate = 1500\n\
         [feed]\nlines = [{{ address = \"239.77.0.1:26400\", interface = \"10.77.1.1\" }}]\n\
         rerequest = \"10.77.2.1:26478\"\nglimpse = \"10.77.2.1:26479\"\n",
        desk.path("control").display(),
        desk.path("store").display()
    );
    for (name, _) in SESSIONS {
        write!(text, "[account.{name}]\npassword = \"secret\"\n").expect("memory");
    }
    text
}

fn gateway_config(desk: &Desk) -> String {
    let mut text = format!(
        "[host]\nstate_dir = \"{}\"\nlock_memory = false\n[journal]\ndrop_copy = \"{}\"\n[control]\nsocket = \"{}\"\n\
         [telemetry]\ntable = false\n\
         [feed.itch]\nlines = [{{ address = \"239.77.0.1:26400\", interface = \"feed0\" }}]\nreceive = \"udp\"\n\
         stale_ms = 300\n[feed.itch.recovery]\nservers = [\"10.77.2.1:26478\"]\n\
         [feed.itch.snapshot]\nservers = [\"10.77.2.1:26479\"]\nusername = \"one\"\npassword = \"secret\"\n\
         pause_ms = 100\n[feed.itch.books]\norders_max = 65536\nlevels_max = 4096\n",
        desk.path("state").display(),
        desk.path("copy").display(),
        desk.path("gateway.sock").display()
    );
    for (name, found) in SESSIONS {
        write!(
            text,
            "[session.{name}]\naddress = \"10.77.2.1:12000\"\nusername = \"{name}\"\npassword = \"secret\"\n\
             server_timeout_ms = 2000\nfound_orders = \"{found}\"\n[session.{name}.risk]\n\
             order_qty_max = 10000\nnotional_max_dollars = 10000000\ncollar_bps = 5000\n\
             gross_exposure_max_dollars = 100000000000\nnet_exposure_max_dollars = 100000000000\n\
             loss_max_dollars = 100000000000\nposition_max = 100000000\nopen_orders_max = 1000\n\
             orders_per_second_max = 100000\nrejects_max = 100000\n"
        )
        .expect("memory");
    }
    for (name, session) in STRATEGIES {
        let how = match name {
            "quotes" => "kind = \"quoter\"\n",
            "takes" => "kind = \"probe\"\nparameters = { every = 11, takes = true }\n",
            "probes" => "kind = \"probe\"\nparameters = { every = 3 }\n",
            _ => "kind = \"quoter\"\nparameters = { half_spread = 300 }\n",
        };
        write!(
            text,
            "[strategy.{name}]\n{how}feed = \"itch\"\nsession = \"{session}\"\n"
        )
        .expect("memory");
    }
    text
}

/// What all journals together say: numbers of OUCH and of strategies, each used once. How many orders there were.
fn numbers_are_used_once(folder: &Path) -> usize {
    let mut numbers = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for path in list(folder).expect("journals") {
        let file = std::fs::File::open(&path).expect("it is there");
        let mut reader = Reader::new(file).expect("a head");
        while let Ok(Some(record)) = reader.next_record() {
            let session = record.header.session;
            if let Event::Sent(intent, packet) = Event::of(&record).expect("a payload") {
                let packet = Packet::decode(packet)
                    .expect("SoupBinTCP")
                    .expect("whole")
                    .0;
                let number = match Inbound::decode(packet.payload).expect("OUCH").0 {
                    Inbound::EnterOrder(m) => m.user_ref.get().0,
                    Inbound::ReplaceOrder(m) => m.user_ref.get().0,
                    _ => continue,
                };
                let is_new = numbers.insert((session, number));
                assert!(is_new, "{}: {number} was used before", path.display());
                if intent.action() == Some(Action::Enter) {
                    let id = (session, intent.owner, intent.id.get());
                    assert!(ids.insert(id), "{}: {id:?} was used before", path.display());
                }
            }
        }
    }
    ids.len()
}

/// The drop copy's lines add up to what the exchange says that is held, and none is there twice. How many fills there are.
fn every_fill_is_copied_once(folder: &Path, held: &BTreeMap<String, Account>, kills: u64) -> usize {
    let (mut fills, mut nobodys) = (0, 0);
    for (name, account) in held {
        let path = folder.join(format!("{name}-{name}-CHAOS00001.jsonl"));
        let lines = std::fs::read_to_string(&path).unwrap_or_default();
        let (mut seqs, mut positions) = (BTreeSet::new(), BTreeMap::<String, i64>::new());
        for line in lines.lines() {
            let line: Value = serde_json::from_str(line).expect("JSON");
            assert!(seqs.insert(line["seq"].as_u64()), "{name}: twice: {line}");
            let shares = line["shares"].as_i64().expect("a number");
            let shares = match line["side"].as_str() {
                Some("buy") => shares,
                Some("sell") => -shares,
                side => panic!("{name}: of side {side:?}: {line}"),
            };
            *positions.entry(text(&line["symbol"])).or_default() += shares;
            nobodys += u64::from(!line["strategy"].is_string());
        }
        positions.retain(|_, shares| *shares != 0);
        assert_eq!(positions, account.positions, "{name}");
        fills += seqs.len();
    }
    // Whose an order was is lost where the gateway was killed before its record was written.
    assert!(nobodys <= kills, "{nobodys} of {kills} kills");
    fills
}

/// The journals as Parquet files, read by DuckDB, add up to the positions of `ctl`. How many orders they have of a strategy
/// that are no replacement; `None` without DuckDB.
fn duckdb_finds_the_same(
    journals: &Path,
    out: &Path,
    said: &BTreeMap<String, Account>,
    fills: usize,
) -> Option<u64> {
    let [from, to] = [journals, out].map(|path| path.to_str().expect("text"));
    let exported = tool("tickgate", &["journal", from, "--parquet", to]);
    assert!(exported.status.success(), "{}", stderr(&exported));
    let mut positions = BTreeMap::<String, BTreeMap<String, i64>>::new();
    let rows = duckdb(&documented_questions(out)[0])?;
    for row in rows.as_array().expect("rows") {
        let held = row[3].as_i64().expect("a number");
        if held != 0 {
            let of_session = positions.entry(text(&row[0])).or_default();
            of_session.insert(text(&row[2]), held);
        }
    }
    for (name, account) in said {
        let found = positions.remove(name).unwrap_or_default();
        assert_eq!(found, account.positions, "{name}");
    }
    let one = |question: &str| -> u64 {
        let question = question.replace("'OUT/", &format!("'{to}/"));
        let rows = duckdb(&question).expect("it was there");
        rows[0][0].as_u64().expect("a number")
    };
    let copied = one("SELECT count(DISTINCT (session, seq)) FROM 'OUT/fills.parquet'");
    assert_eq!(copied, fills as u64, "the drop copy has as many");
    let differ = one(
        "SELECT count(*) FROM 'OUT/orders.parquet' AS one FULL JOIN (\
             SELECT session, username, exchange_session, user_ref, sum(shares) AS shares FROM 'OUT/fills.parquet' \
             WHERE what = 'fill' GROUP BY ALL) AS fill USING (session, username, exchange_session, user_ref) \
         WHERE coalesce(one.filled, -1) <> coalesce(fill.shares, 0)",
    );
    assert_eq!(differ, 0, "orders whose fills are others than theirs");
    let numbers = one(
        "SELECT count(*) - count(DISTINCT (session, user_ref)) FROM 'OUT/orders.parquet' WHERE user_ref IS NOT NULL",
    );
    assert_eq!(numbers, 0, "numbers that have two rows");
    Some(one("SELECT count(*) FROM 'OUT/orders.parquet' \
         WHERE strategy IS NOT NULL AND replaces IS NULL AND outcome <> 'refused'"))
}

fn times(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

#[test]
fn both_sides_agree_whatever_is_killed() {
    if !is_root() {
        return;
    }
    let seed = times("CHAOS_SEED", 1);
    let mut blows = Vec::new();
    for (blow, name, default) in [
        (Blow::KillGateway, "GATEWAY_KILLS", 20),
        (Blow::KillExchange, "EXCHANGE_KILLS", 10),
        (Blow::CutLink, "CUTS", 20),
    ] {
        blows.extend((0..times(name, default)).map(|_| blow));
    }
    let kills = times("GATEWAY_KILLS", 20);
    let mut arena = Arena::new(seed);
    arena.random.shuffle(&mut blows);
    let (mut passed, mut failed) = (0, 0);
    for (round, blow) in blows.iter().enumerate() {
        match arena.round(*blow) {
            Ok(()) => passed += 1,
            Err(why) => {
                failed += 1;
                println!("round {round}, {blow:?}: {why}");
                break;
            }
        }
        if round % 10 == 9 {
            println!("{} of {} rounds", round + 1, blows.len());
        }
    }
    arena.agree().expect("both sides agree");
    // Nothing is open then, so nothing changes any more.
    arena.ctl(&["cancel", "all"]).expect("an answer");
    let said = until("all is cancelled", || {
        let said = arena.gateway_says()?;
        let is_over = said.values().all(|account| account.orders.is_empty());
        is_over.then_some(said)
    });
    arena.gateway.end();
    let held = arena.exchange_says().expect("the exchange answers");
    let fills = every_fill_is_copied_once(&arena.desk.path("copy"), &held, kills);
    let journals = arena.desk.path("state").join("journal");
    let orders = numbers_are_used_once(&journals);
    let out = arena.desk.path("parquet");
    let rows = duckdb_finds_the_same(&journals, &out, &said, fills);
    assert!(
        rows.is_none_or(|rows| rows == orders as u64),
        "{rows:?} of {orders}"
    );
    println!(
        "{orders} orders, no number used twice; {fills} fills, each copied once; {passed} passed, {failed} failed"
    );
    assert_eq!(failed, 0);
    assert!(
        orders > 100 && fills > 100,
        "{orders} orders, {fills} fills"
    );
}
