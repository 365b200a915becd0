//! Exchange and gateway trading in a laboratory, two sessions with two strategies each; and what both sides, the
//! exchange's own store and the gateway's journals have of it.

#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::Ordering;

use gateway::journal::event::Event;
use gateway::journal::files::list;
use gateway::journal::reader::Reader;
use gateway::message::intent::Action;
use lab::netns::{Lab, Side};
use lab::process::Process;
use order_sim::store::Store;
use protocol::ouch::{Inbound, Outbound};
use protocol::soup::Packet;
use rt::clock::monotonic_ns;
use serde_json::Value;

use crate::between::{self, Middle};
use crate::desk::{
    self, Desk, account_at_exchange, gateway_command, start_gateway, start_sim_with,
};
use crate::support::stderr;

/// How long both sides may take to agree after something was killed: an exchange that is silent is given up after two
/// seconds, a lost connection is made again within five.
const AGREE_NS: u64 = 20_000_000_000;
/// Sessions, as the gateway and the exchange's accounts name them, and what becomes of their orders at a start.
pub(crate) const SESSIONS: [(&str, &str); 2] = [("one", "adopt"), ("two", "cancel")];
/// The strategies and their sessions.
pub(crate) const STRATEGIES: [(&str, &str); 4] = [
    ("quotes", "one"),
    ("takes", "one"),
    ("probes", "two"),
    ("more", "two"),
];

/// What is special about them.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) seed: u64,
    /// How the sessions submit.
    pub(crate) submit: String,
    /// What happens to one frame in this many on the orders' way, of each kind of fault; 0: to none, and nobody is in
    /// its middle.
    pub(crate) one_in: u32,
    /// Messages a second of the market's own.
    pub(crate) rate: u32,
    /// Everything that the feed hears and the lane sends is captured.
    pub(crate) is_captured: bool,
    pub(crate) more: More,
}

/// What a test wants beside that.
#[derive(Clone, Debug, Default)]
pub(crate) struct More {
    /// The exchange publishes on line B, too.
    pub(crate) has_two_lines: bool,
    /// Keys of the gateway, which win over the arena's.
    pub(crate) gateway: String,
    /// Sections of the exchange: what goes wrong.
    pub(crate) exchange: String,
}

/// Gateway and exchange.
pub(crate) struct Arena {
    pub(crate) lab: Lab,
    pub(crate) desk: Desk,
    pub(crate) sim: Process,
    pub(crate) gateway: Process,
    pub(crate) setup: Setup,
    /// Whoever hands on what goes between them.
    pub(crate) middle: Option<Middle>,
}

impl Arena {
    pub(crate) fn new(setup: Setup) -> Self {
        let lab = match setup.one_in {
            0 => Lab::new().expect("a lab"),
            _ => Lab::with_middle().expect("a lab"),
        };
        Self::within(lab, setup)
    }

    /// In a laboratory that stands already.
    pub(crate) fn within(lab: Lab, setup: Setup) -> Self {
        let desk = Desk::new();
        let middle = (setup.one_in > 0).then(|| between::hand_on(&lab, setup.seed));
        if let Some(middle) = &middle {
            middle.faults.is_forgotten.store(true, Ordering::Relaxed);
            middle.faults.one_in.store(setup.one_in, Ordering::Relaxed);
        }
        let sim = start_sim_with(&lab, &desk, &exchange_config(&desk, &setup));
        std::fs::create_dir(desk.path("state")).expect("a folder");
        let config = desk.write("tickgate.toml", &gateway_config(&desk, &setup));
        if !setup.more.gateway.is_empty() {
            std::fs::create_dir(desk.path("conf.d")).expect("a folder");
            desk.write("conf.d/more.toml", &setup.more.gateway);
        }
        let gateway = start_gateway(gateway_command(&lab, &config));
        Self {
            lab,
            desk,
            sim,
            gateway,
            setup,
            middle,
        }
    }

    /// Starts the gateway again, as it was.
    pub(crate) fn start_gateway(&mut self) {
        let config = self.desk.path("tickgate.toml");
        self.gateway = start_gateway(gateway_command(&self.lab, &config));
    }

    /// Starts the exchange again, with its store and another market.
    pub(crate) fn start_exchange(&mut self, seed: u64) {
        self.setup.seed = seed;
        let config = exchange_config(&self.desk, &self.setup);
        self.sim = start_sim_with(&self.lab, &self.desk, &config);
    }

    /// Runs `ip link set` in a namespace of the laboratory.
    pub(crate) fn link(&self, side: Side, change: &str) {
        let mut command: Command = self.lab.command(side, Path::new("ip"));
        let arguments = ["link", "set", "order0"].into_iter();
        let done = command.args(arguments.chain(change.split(' '))).status();
        assert!(done.expect("ip runs").success());
    }

    /// What the gateway says to `tickgate ctl`; `None`: nobody answers, or not yet.
    pub(crate) fn ctl(&self, arguments: &[&str]) -> Option<Value> {
        self.asked(arguments).ok()
    }

    /// The same.
    ///
    /// # Errors
    /// What `ctl` says instead.
    pub(crate) fn asked(&self, arguments: &[&str]) -> Result<Value, String> {
        let socket = self.desk.path("gateway.sock");
        let output = desk::ctl(&socket, &[&["--json"], arguments].concat());
        if !output.status.success() {
            return Err(format!(
                "{arguments:?}: {}: {}",
                output.status,
                stderr(&output)
            ));
        }
        Ok(serde_json::from_slice(&output.stdout).expect("JSON"))
    }

    /// Nothing new goes out, and both sides come to say the same.
    pub(crate) fn agree(&mut self) -> Result<(), String> {
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
        let status = self.asked(&["status"])?;
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

    pub(crate) fn gateway_says(&self) -> Option<BTreeMap<String, Account>> {
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

    pub(crate) fn exchange_says(&self) -> Option<BTreeMap<String, Account>> {
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
pub(crate) struct Account {
    /// By number: symbol, side, price, shares open.
    pub(crate) orders: BTreeMap<u64, String>,
    pub(crate) positions: BTreeMap<String, i64>,
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

pub(crate) fn text(value: &Value) -> String {
    value.as_str().expect("text").to_owned()
}

/// A market of its own, and a store that outlives it.
fn exchange_config(desk: &Desk, setup: &Setup) -> String {
    let Setup { seed, rate, .. } = setup;
    let second = match setup.more.has_two_lines {
        true => ", { address = \"239.77.0.2:26401\", interface = \"10.77.1.1\" }",
        false => "",
    };
    let mut text = format!(
        "address = \"10.77.2.1:12000\"\ncontrol = \"{}\"\nsession = \"CHAOS00001\"\nstore = \"{}\"\n\
         fill_every = 0\n[flow]\nseed = {seed}\nsymbols = 8\nrate = {rate}\n\
         [feed]\nlines = [{{ address = \"239.77.0.1:26400\", interface = \"10.77.1.1\" }}{second}]\n\
         rerequest = \"10.77.2.1:26478\"\nglimpse = \"10.77.2.1:26479\"\n",
        desk.path("control").display(),
        desk.path("store").display()
    );
    for (name, _) in SESSIONS {
        write!(text, "[account.{name}]\npassword = \"secret\"\n").expect("memory");
    }
    text.push_str(&setup.more.exchange);
    text
}

fn gateway_config(desk: &Desk, setup: &Setup) -> String {
    let submit = &*setup.submit;
    let mut text = format!(
        "[host]\nstate_dir = \"{}\"\nlock_memory = false\n[journal]\ndrop_copy = \"{}\"\n[control]\nsocket = \"{}\"\n\
         [telemetry]\ntable = false\njson = \"{}\"\n\
         [feed.itch]\nlines = [{{ address = \"239.77.0.1:26400\", interface = \"feed0\" }}]\nreceive = \"udp\"\n\
         stale_ms = 300\n[feed.itch.recovery]\nservers = [\"10.77.2.1:26478\"]\n\
         [feed.itch.snapshot]\nservers = [\"10.77.2.1:26479\"]\nusername = \"one\"\npassword = \"secret\"\n\
         pause_ms = 100\n[feed.itch.books]\norders_max = 65536\nlevels_max = 4096\n",
        desk.path("state").display(),
        desk.path("copy").display(),
        desk.path("gateway.sock").display(),
        desk.path("report.json").display()
    );
    if setup.is_captured {
        std::fs::create_dir(desk.path("captures")).expect("a folder");
        let folder = desk.path("captures");
        let folder = folder.display();
        write!(
            text,
            "[feed.itch.capture]\nframes = \"all\"\nfolder = \"{folder}\"\n"
        )
        .expect("memory");
    }
    for (number, (name, found)) in SESSIONS.into_iter().enumerate() {
        // One interface has one lane: the second session goes on a rung lower.
        let require = match (submit, number) {
            ("delegated", 0) => "require = \"delegated\"\n",
            _ => "",
        };
        write!(
            text,
            "[session.{name}]\nsubmit = \"{submit}\"\n{require}address = \"10.77.2.1:12000\"\nusername = \"{name}\"\npassword = \"secret\"\n\
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

/// What all journals together say was sent.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    /// Orders that are no replacement.
    pub(crate) orders: usize,
    /// Numbers of orders and replacements, by the session's place; of orders alone.
    pub(crate) numbers: BTreeMap<u8, BTreeSet<u32>>,
    pub(crate) entered: BTreeMap<u8, BTreeSet<u32>>,
}

/// Reads all journals; a number of OUCH or of a strategy that was used twice fails.
pub(crate) fn numbers_are_used_once(folder: &Path) -> Sent {
    let mut sent = Sent::default();
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
                let (number, is_order) = match Inbound::decode(packet.payload).expect("OUCH").0 {
                    Inbound::EnterOrder(m) => (m.user_ref.get().0, true),
                    Inbound::ReplaceOrder(m) => (m.user_ref.get().0, false),
                    _ => continue,
                };
                if is_order {
                    sent.entered.entry(session).or_default().insert(number);
                }
                let is_new = sent.numbers.entry(session).or_default().insert(number);
                assert!(is_new, "{}: {number} was used before", path.display());
                if intent.action() == Some(Action::Enter) {
                    let id = (session, intent.owner, intent.id.get());
                    assert!(ids.insert(id), "{}: {id:?} was used before", path.display());
                }
            }
        }
    }
    sent.orders = ids.len();
    sent
}

/// What the exchange's store has of an account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stored {
    /// Numbers of orders and replacements that it has answered, each once.
    pub(crate) answered: BTreeSet<u32>,
    pub(crate) fills: u64,
    /// Shares by symbol, as its fills add up.
    pub(crate) positions: BTreeMap<String, i64>,
}

/// Reads the exchange's store; an order that it has answered twice fails.
pub(crate) fn stored(desk: &Desk, account: &str) -> Stored {
    let path = desk
        .path("store")
        .join("CHAOS00001")
        .join(format!("{account}.soup"));
    let bytes = std::fs::read(&path).expect("it is there");
    let store = Store::restore(usize::MAX, &bytes).expect("whole").store;
    let mut all = Stored::default();
    let mut orders: BTreeMap<u32, (String, i64)> = BTreeMap::new();
    for at in 0..store.count() {
        let message = store.message(at).expect("it counts");
        let (number, terms) = match Outbound::decode(message).expect("OUCH").0 {
            Outbound::OrderAccepted(m) => {
                (m.user_ref.get().0, Some((m.symbol.to_string(), m.side)))
            }
            Outbound::OrderReplaced(m) => {
                (m.user_ref.get().0, Some((m.symbol.to_string(), m.side)))
            }
            Outbound::Rejected(m) => (m.user_ref.get().0, None),
            Outbound::Executed(m) => {
                let (symbol, sign) = &orders[&m.user_ref.get().0];
                let shares = sign * i64::from(m.qty.get().0);
                *all.positions.entry(symbol.clone()).or_default() += shares;
                all.fills += 1;
                continue;
            }
            _ => continue,
        };
        assert!(
            all.answered.insert(number),
            "{account}: {number} came twice"
        );
        if let Some((symbol, side)) = terms {
            let sign = if side == b'B' { 1 } else { -1 };
            orders.insert(number, (symbol, sign));
        }
    }
    all.positions.retain(|_, shares| *shares != 0);
    all
}
