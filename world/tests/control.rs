//! The operator's socket against a gateway that trades: what `tickgate ctl` shows is what the exchange has, and
//! what it does arrives there.
//!
//! `CONTROL_SECONDS` says how long random bytes are thrown at the socket (2).

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]
#![allow(clippy::too_many_lines, reason = "a scenario reads from top to bottom")]

mod desk;
mod rehearsal;
mod support;

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use desk::{
    Day, Desk, NEVER, account_at_exchange, ctl, gateway_command, start_gateway, start_sim_with,
    until,
};
use gateway::control::answer::Body;
use gateway::control::client;
use gateway::control::request::Verb;
use gateway::order::risk::DAY_NS;
use lab::netns::Lab;
use lab::process::{Process, sibling};
use order_sim::store::Store;
use protocol::ouch::Outbound;
use rehearsal::Rehearsal;
use rt::clock::{monotonic_ns, realtime_ns};
use serde_json::{Value, json};
use support::{has, is_root, stderr};

/// What it answers as JSON; it must hold.
fn told(socket: &Path, arguments: &[&str]) -> Value {
    let mut all = vec!["--json"];
    all.extend(arguments);
    let output = ctl(socket, &all);
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        stderr(&output)
    );
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// What the exchange's books have of the account.
fn at_exchange(desk: &Desk) -> Value {
    account_at_exchange(desk, "demo").expect("it answers")
}

/// Orders and positions that aren't flat, in the form that both sides can be brought into.
fn seen_at_exchange(desk: &Desk) -> Value {
    let account = at_exchange(desk);
    let orders = account["orders"].as_array().expect("a list").iter();
    let orders: Vec<Value> = orders
        .map(|it| {
            let side = if it["side"] == "B" { "buy" } else { "sell" };
            json!([it["user_ref"], it["symbol"], side, it["price"], it["open"]])
        })
        .collect();
    let positions = account["positions"].as_array().expect("a list").iter();
    let mut positions: Vec<Value> = positions
        .filter(|it| it["net"] != 0)
        .map(|it| json!([it["symbol"], it["net"]]))
        .collect();
    positions.sort_by_key(Value::to_string);
    json!({ "orders": orders, "positions": positions })
}

/// The same, as the gateway shows it.
fn seen_at_gateway(socket: &Path) -> Value {
    let orders = told(socket, &["orders"]);
    let orders = orders["orders"]["orders"]
        .as_array()
        .expect("a list")
        .iter();
    let orders: Vec<Value> = orders
        .map(|it| {
            json!([
                it["user_ref"],
                it["symbol"],
                it["side"],
                it["price"],
                it["open"]
            ])
        })
        .collect();
    let positions = told(socket, &["positions"]);
    let of_session = &positions["positions"]["sessions"][0]["positions"];
    let positions = of_session.as_array().expect("a list").iter();
    let mut positions: Vec<Value> = positions
        .filter(|it| it["position"] != 0)
        .map(|it| json!([it["symbol"], it["position"]]))
        .collect();
    positions.sort_by_key(Value::to_string);
    json!({ "orders": orders, "positions": positions })
}

fn open_orders(socket: &Path) -> u64 {
    let answer = told(socket, &["sessions"]);
    answer["sessions"][0]["open_orders"]
        .as_u64()
        .expect("a number")
}

/// A gateway that quotes, with its socket and its state in the test's folder.
fn config(desk: &Desk, orders_per_second_max: u32) -> String {
    format!(
        "[host]\nstate_dir = \"{}\"\n[control]\nsocket = \"{}\"\n\
         [feed.itch]\nlines = [{{ address = \"239.77.0.1:26400\", interface = \"feed0\" }}]\n\
         stale_ms = 60000\n\
         [session.ouch]\naddress = \"10.77.2.1:12000\"\nusername = \"demo\"\npassword = \"demo\"\n\
         [session.ouch.risk]\norder_qty_max = 10000\nnotional_max_dollars = 1000000\ncollar_bps = 500\n\
         gross_exposure_max_dollars = 1000000000\nnet_exposure_max_dollars = 1000000000\n\
         loss_max_dollars = 1000000000\n\
         position_max = 100000\nopen_orders_max = 1000\n\
         orders_per_second_max = {orders_per_second_max}\n\
         [strategy.quotes]\nkind = \"quoter\"\nfeed = \"itch\"\nsession = \"ouch\"\n\
         [telemetry]\njson = \"{}\"\ntable = false\n",
        desk.path("state").display(),
        desk.path("gateway.sock").display(),
        desk.path("out.json").display()
    )
}

#[test]
fn operator_sees_what_the_exchange_has_and_pauses_cancels_kills_and_resumes() {
    if !is_root() {
        return;
    }
    let (lab, desk) = (Lab::new().expect("a lab"), Desk::new());
    let sim = format!(
        "control = \"{}\"\naddress = \"10.77.2.1:12000\"\nfill_every = 7\n[account.demo]\n\
         password = \"demo\"\n",
        desk.path("control").display()
    );
    let _sim = start_sim_with(&lab, &desk, &sim);
    let (socket, state) = (desk.path("gateway.sock"), desk.path("state"));
    fs::create_dir(&state).expect("a folder");
    let config = config(&desk, 10_000);
    let mut gateway = start_gateway(gateway_command(&lab, &desk.write("tickgate.toml", &config)));
    // It goes on for longer than the test, at a pace that leaves room for it.
    let day = Day {
        line: "239.77.0.1:26400",
        seed: 5,
        messages: 300_000,
        rate: "2000",
        cpu: None,
    };
    let _sender = day.send(&lab, &desk);

    let status = until("a fresh feed", || {
        let status = told(&socket, &["status"])["status"].clone();
        (status["feeds"][0]["is_fresh"] == true).then_some(status)
    });
    assert_eq!(status["sessions"][0]["state"], "open");
    assert_eq!(status["kill"]["scope"], json!([]));
    let shown = ctl(&socket, &["status"]);
    let shown = String::from_utf8_lossy(&shown.stdout);
    assert!(shown.contains("trading: not killed"), "{shown}");
    let limits = told(&socket, &["limits"]);
    assert_eq!(limits["limits"][0]["notional_max_dollars"], 1_000_000);

    // It trades; then it stands still, and both sides say the same.
    until("orders and positions", || {
        let seen = seen_at_gateway(&socket);
        let has = |list: &str| seen[list].as_array().is_some_and(|list| list.len() > 2);
        (has("orders") && has("positions")).then_some(())
    });
    let paused = told(&socket, &["pause", "quotes"]);
    assert_eq!(paused["asked"]["is_taken"], true, "{paused}");
    let seen = until("the same at both sides", || {
        let (here, there) = (seen_at_gateway(&socket), seen_at_exchange(&desk));
        (here == there).then_some(here)
    });
    eprintln!("gateway and exchange: {seen}");
    assert!(seen["orders"].as_array().is_some_and(|it| !it.is_empty()));
    assert!(
        seen["positions"]
            .as_array()
            .is_some_and(|it| !it.is_empty())
    );
    // Who is paused still cancels: what was there a moment ago may be gone.
    let (symbol, of_symbol) = until("orders of one symbol", || {
        let seen = seen_at_gateway(&socket);
        let symbol = seen["orders"][0][1].as_str()?.to_owned();
        let asked = ["orders", "--symbol", &symbol, "--strategy", "quotes"];
        let rows = told(&socket, &asked)["orders"]["orders"].clone();
        (rows != json!([])).then_some((symbol, rows))
    });
    let of_symbol = of_symbol.as_array().expect("a list");
    assert!(of_symbol.iter().all(|it| it["symbol"] == symbol));

    // Cancelled, and nothing comes back while it is paused.
    told(&socket, &["cancel", "all"]);
    until("all cancelled", || {
        (open_orders(&socket) == 0).then_some(())
    });
    assert_eq!(at_exchange(&desk)["orders_open"], 0);
    told(&socket, &["unpause", "quotes"]);
    until("orders again", || (open_orders(&socket) > 0).then_some(()));

    let killed = told(&socket, &["kill", "--reason", "lunch"]);
    assert_eq!(killed["killed"]["is_nothing_open"], true, "{killed}");
    let there = at_exchange(&desk);
    assert_eq!(there["orders_open"], 0);
    let accepted = there["orders_accepted"].clone();
    assert_eq!(seen_at_gateway(&socket)["orders"], json!([]));
    let kill = told(&socket, &["status"])["status"]["kill"].clone();
    assert_eq!(
        (&kill["scope"], &kill["cause"], &kill["why"]),
        (&json!(["all"]), &json!("the operator"), &json!("lunch"))
    );
    assert!(state.join("kill").exists());

    // Only who types what is killed resumes it.
    for wrong in [&["resume"][..], &["resume", "--yes-resume", "ouch"]] {
        let refused = ctl(&socket, wrong);
        assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
        let text = stderr(&refused);
        assert!(
            text.contains("because: lunch") && text.contains("It will not"),
            "{text}"
        );
    }
    assert_eq!(at_exchange(&desk)["orders_accepted"], accepted);
    let resumed = told(&socket, &["resume", "--yes-resume", "all"]);
    assert_eq!(resumed["resumed"]["is_released"], true, "{resumed}");
    until("orders after the kill", || {
        (open_orders(&socket) > 0).then_some(())
    });
    assert!(!state.join("kill").exists());

    let unknown = ctl(&socket, &["pause", "nobody"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(
        stderr(&unknown).contains("expected one of quotes"),
        "{}",
        stderr(&unknown)
    );
    gateway.signal(libc::SIGTERM);
    assert!(
        gateway
            .wait(Duration::from_secs(5), &NEVER)
            .expect("it ends")
    );
    assert!(!socket.exists());
    let gone = ctl(&socket, &["status"]);
    assert_eq!(gone.status.code(), Some(1));
    let said = gateway.said.join("\n");
    assert!(said.contains("kill --reason \"lunch\""), "{said}");
    let text = fs::read_to_string(desk.path("out.json")).expect("a report");
    let report: Value = serde_json::from_str(&text).expect("JSON");
    let counters = &report["runs"][0]["counters"]["control"]["socket"];
    assert_eq!(counters["control_steered"], 6, "{counters}");
    assert_eq!(counters["control_refused"], 1, "{counters}");
}

/// When the exchange took in each new order and each replace, ns since its midnight, as its store has it.
fn taken_in(store: &Path) -> Vec<u64> {
    let file = fs::read(store).expect("a store");
    let store = Store::restore(usize::MAX, &file).expect("sound").store;
    let said = (0..store.count()).filter_map(|at| store.message(at));
    let stamps = said.filter_map(|bytes| match Outbound::decode(bytes).expect("OUCH").0 {
        Outbound::OrderAccepted(m) => Some(m.timestamp.get().0),
        Outbound::OrderReplaced(m) => Some(m.timestamp.get().0),
        Outbound::Rejected(m) => Some(m.timestamp.get().0),
        _ => None,
    });
    stamps.collect()
}

/// Kills in one run: each is a figure.
const KILLS: usize = 20;

#[test]
fn after_a_kill_not_one_new_order_arrives_once_it_is_said_to_be_done() {
    if !is_root() {
        return;
    }
    let (lab, desk) = (Lab::new().expect("a lab"), Desk::new());
    let sim = format!(
        "control = \"{}\"\naddress = \"10.77.2.1:12000\"\nfill_every = 7\nstore = \"{}\"\n\
         [account.demo]\npassword = \"demo\"\n",
        desk.path("control").display(),
        desk.path("store").display()
    );
    // Its clock is the wall's at its start, and then goes evenly.
    let _sim = start_sim_with(&lab, &desk, &sim);
    let clocks = [realtime_ns() % DAY_NS, monotonic_ns()];
    let store = desk.path("store").join("SIM0000001").join("demo.soup");
    let (socket, state) = (desk.path("gateway.sock"), desk.path("state"));
    fs::create_dir(&state).expect("a folder");
    let config = config(&desk, 100_000);
    let mut gateway = start_gateway(gateway_command(&lab, &desk.write("tickgate.toml", &config)));
    let day = Day {
        line: "239.77.0.1:26400",
        seed: 5,
        // Several times as long as the kills take on a host that is busy with other work.
        messages: 2_000_000,
        rate: "15000",
        cpu: None,
    };
    let _sender = day.send(&lab, &desk);
    let (mut last_us, mut later) = (Vec::new(), Vec::new());
    for _ in 0..KILLS {
        let before = taken_in(&store).len();
        until("orders", || {
            (taken_in(&store).len() > before + 200).then_some(())
        });
        let kill = Verb::Kill {
            reason: String::new(),
            wait_ms: 5_000,
        };
        let asked_ns = clocks[0] + (monotonic_ns() - clocks[1]);
        let Ok(Body::Killed(killed)) = client::ask(&socket, kill) else {
            panic!("it answers");
        };
        assert!(killed.is_nothing_open, "{killed:?}");
        // It is said to be done: what the exchange has had by now is all that it gets.
        let stamps = taken_in(&store);
        let after = stamps.iter().filter(|stamp| **stamp > asked_ns);
        later.push(after.count());
        let last_ns = stamps.last().copied().unwrap_or_default();
        last_us.push((last_ns.cast_signed() - asked_ns.cast_signed()) / 1_000);
        let heard = |body: &Body| match body {
            Body::Status(status) => status.feeds[0].messages,
            other => panic!("{other:?}"),
        };
        let messages = || heard(&client::ask(&socket, Verb::Status).expect("it answers"));
        let then = messages();
        until("more of the market", || {
            (messages() > then + 1_000).then_some(())
        });
        assert_eq!(taken_in(&store).len(), stamps.len());
        let scope = "all".to_owned();
        let seen = String::new();
        let resumed = client::ask(&socket, Verb::Resume { scope, seen });
        assert!(matches!(resumed, Ok(Body::Resumed(it)) if it.is_released));
    }
    last_us.sort_unstable();
    let (median, last) = (last_us[KILLS / 2], last_us[KILLS - 1]);
    println!(
        "{KILLS} kills under {} orders: the last new order reached the exchange {median} us after the request was \
         begun (median; at most {last} us); {later:?} new orders came after it",
        taken_in(&store).len(),
    );
    gateway.signal(libc::SIGTERM);
    let has_ended = gateway.wait(Duration::from_secs(5), &NEVER);
    assert!(has_ended.expect("it ends"));
}

/// A gateway on loopback, without an exchange, that serves its socket.
fn start_alone(desk: &Desk, control: &str) -> Process {
    let text = format!(
        "[feed.itch]\nlines = [{{ address = \"127.0.0.1:26478\", interface = \"lo\" }}]\n\
         receive = \"udp\"\n[session.ouch]\naddress = \"127.0.0.1:1\"\nusername = \"demo\"\n\
         password = \"demo\"\n[session.ouch.risk]\norder_qty_max = 10000\n\
         notional_max_dollars = 1000000\ncollar_bps = 500\nposition_max = 100000\n\
         gross_exposure_max_dollars = 1000000000\nnet_exposure_max_dollars = 1000000000\n\
         loss_max_dollars = 1000000000\n\
         open_orders_max = 1000\norders_per_second_max = 10000\n\
         [host]\nlock_memory = false\n[telemetry]\ntable = false\n\
         [control]\nsocket = \"{}\"\n{control}",
        desk.path("control.sock").display()
    );
    let mut command = Command::new(sibling("tickgate").expect("built"));
    let config = desk.write("tickgate.toml", &text);
    command.args(["run", "--config"]).arg(config);
    command.env("RUST_LOG", "info").stdout(Stdio::null());
    let mut gateway = Process::start("gateway", command).expect("it starts");
    gateway
        .await_line("control socket", Duration::from_secs(20), &NEVER)
        .expect("it serves");
    gateway
}

#[test]
fn guard_that_is_told_to_end_changes_nothing_and_one_that_dies_stops_trading() {
    let desk = Desk::new();
    let socket = desk.path("control.sock");
    let mut gateway = start_alone(&desk, "");
    let guard = |name: &str| {
        let mut command = Command::new(sibling("tickgate").expect("built"));
        command.args(["ctl", "guard", "--name", name, "--within-ms", "1000"]);
        command.arg("--socket").arg(&socket).stdout(Stdio::null());
        let guard = Process::start("guard", command).expect("it starts");
        until("guarded", || {
            let status = told(&socket, &["status"])["status"].clone();
            (status["guards"][0]["name"] == name).then_some(())
        });
        guard
    };
    let mut ended = guard("day");
    ended.signal(libc::SIGTERM);
    assert!(ended.wait(Duration::from_secs(5), &NEVER).expect("it ends"));
    let mut killed = guard("night");
    let status = told(&socket, &["status"])["status"].clone();
    assert_eq!(status["kill"]["scope"], json!([]), "{status}");
    killed.signal(libc::SIGKILL);
    let _ = killed.wait(Duration::from_secs(5), &NEVER);
    let kill = until("killed", || {
        let status = told(&socket, &["status"])["status"].clone();
        (status["kill"]["scope"] == json!(["all"])).then_some(status["kill"].clone())
    });
    assert_eq!(
        kill["cause"], "an operator's tool that was not heard any more",
        "{kill}"
    );
    gateway
        .await_line(
            "\"night\" was not heard for 1000 ms",
            Duration::from_secs(5),
            &NEVER,
        )
        .expect("it says who");
    gateway.end();
}

#[test]
fn another_user_is_refused_unless_named_and_a_dead_gateways_socket_is_replaced() {
    if !is_root() || !has("setpriv") {
        return;
    }
    let desk = Desk::new();
    fs::set_permissions(desk.folder.path(), Permissions::from_mode(0o755)).expect("set");
    let socket = desk.path("control.sock");
    let as_other = || {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=54321", "--regid=54321", "--clear-groups"]);
        command.arg(sibling("tickgate").expect("built"));
        command.args(["ctl", "status", "--socket"]).arg(&socket);
        command.output().expect("it runs")
    };
    let mut gateway = start_alone(&desk, "");
    told(&socket, &["status"]);
    let refused = as_other();
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        stderr(&refused).contains("see control.mode"),
        "{}",
        stderr(&refused)
    );
    gateway.signal(libc::SIGKILL);
    gateway
        .wait(Duration::from_secs(5), &NEVER)
        .expect("it is gone");
    assert!(socket.exists(), "killed before it could remove it");

    let mut gateway = start_alone(&desk, "mode = \"0666\"\n");
    let refused = as_other();
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        stderr(&refused).contains("uid 54321 may not"),
        "{}",
        stderr(&refused)
    );
    gateway
        .await_line("uid 54321", Duration::from_secs(5), &NEVER)
        .expect("it is told");
    // A session that nobody has heard may have orders: a kill does not say that nothing is open.
    let killed = ctl(&socket, &["kill", "--wait-s", "0"]);
    assert_eq!(killed.status.code(), Some(1), "{}", stderr(&killed));
    let shown = String::from_utf8_lossy(&killed.stdout).into_owned();
    assert!(
        shown.contains("NOT all is closed") && shown.contains("A RESTART FORGETS IT"),
        "{shown}"
    );
    gateway.end();

    let mut gateway = start_alone(&desk, "mode = \"0666\"\nusers = [54321]\n");
    let answered = as_other();
    assert!(answered.status.success(), "{}", stderr(&answered));
    gateway.end();
}

/// What a connection is answered, until the gateway ends it or has nothing more to say.
fn answered(socket: &Path, bytes: &[u8]) -> Vec<u8> {
    let mut stream = UnixStream::connect(socket).expect("it listens");
    let patience = Some(Duration::from_secs(20));
    stream.set_read_timeout(patience).expect("set");
    stream.set_write_timeout(patience).expect("set");
    // One that has heard enough ends the connection while there is more to say.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}

#[test]
fn random_bytes_are_refused_and_counted_and_the_gateway_trades_on() {
    let mut trading = Rehearsal::start(&[]);
    let socket = &PathBuf::from(&trading.socket);
    let begin_ns = monotonic_ns();
    let count = |name: &str| {
        let report = told(socket, &["report"]);
        let control = &report["report"]["counters"]["control"]["socket"];
        control[name].as_u64().expect("it is counted")
    };
    let orders = || told(socket, &["report"])["report"]["orders"].as_u64();
    let refused = ["control_malformed", "control_too_long", "control_cut_off"];
    let before: u64 = refused.map(count).iter().sum();
    let orders_before = orders();
    let seconds = std::env::var("CONTROL_SECONDS");
    let seconds: u64 = seconds.map_or(2, |text| text.parse().expect("seconds"));
    let until_ns = monotonic_ns() + seconds * 1_000_000_000;
    let mut random = fastrand::Rng::with_seed(479);
    let mut thrown = 0;
    while monotonic_ns() < until_ns {
        let len = random.usize(1..12_000);
        let mut bytes: Vec<u8> = (0..len).map(|_| random.u8(..)).collect();
        // One line a connection: each is refused once.
        bytes.retain(|byte| *byte != b'\n');
        bytes.insert(0, b'x');
        if random.bool() {
            bytes.push(b'\n');
        }
        let answer = String::from_utf8_lossy(&answered(socket, &bytes)).into_owned();
        assert!(answer.is_empty() || answer.contains("error"), "{answer}");
        thrown += 1;
    }
    let counts = refused.map(|name| (name, count(name)));
    let after: u64 = counts.iter().map(|(_, count)| count).sum();
    eprintln!("{thrown} connections of random bytes: {counts:?}");
    assert!(thrown > 10, "{thrown}");
    assert_eq!(after - before, thrown, "{counts:?}");
    let status = told(socket, &["status"]);
    assert_eq!(status["status"]["kill"]["scope"], json!([]), "{status}");
    until("more orders", || (orders() > orders_before).then_some(()));
    let seconds = (monotonic_ns() - begin_ns).div_ceil(1_000_000_000);
    trading.gateway.signal(libc::SIGTERM);
    let ended = trading.gateway.wait(Duration::from_secs(20), &NEVER);
    assert!(ended.expect("it ends"), "{:?}", trading.gateway.said);
    let lines = trading.gateway.said.iter();
    let lines = lines.filter(|line| line.contains(": refused: ")).count() as u64;
    assert!(lines > 0 && lines <= seconds + 1, "{lines} in {seconds} s");
}
