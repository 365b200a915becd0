//! What a broker is told of gateways that trade, and what it can tell them: with a real mosquitto, TLS and a password.
//!
//! `MQTT_SECONDS` says how long the broker is gone, and how long random bytes are thrown at the command topic (2).

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod broker;
mod desk;
mod rehearsal;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use broker::liar::{
    CONNACK, HUGE, Liar, REFUSED, STRAY_PUBACK, TOPIC_ALIAS, Victim, kind, publish,
};
use broker::{KEY, Mosquitto, start_publisher};
use desk::{NEVER, ctl, until};
use gateway::telemetry::decode;
use hdrhistogram::Histogram;
use lab::process::Process;
use rehearsal::Rehearsal;
use rt::clock::monotonic_ns;
use rt::histogram::empty;
use serde_json::Value;
use support::{stderr, tool};

/// A probe that takes what is offered: about fifty orders a second, most of them filled.
const TAKER: [&str; 2] = [
    "strategy.probe.parameters.takes=true",
    "strategy.probe.parameters.every=10",
];

fn seconds() -> u64 {
    let text = std::env::var("MQTT_SECONDS");
    text.map_or(2, |text| text.parse().expect("seconds"))
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

fn report(trading: &Rehearsal) -> Value {
    let report = ctl(Path::new(&trading.socket), &["--json", "report"]);
    assert!(report.status.success(), "{}", stderr(&report));
    json(&String::from_utf8_lossy(&report.stdout))["report"].clone()
}

fn orders(trading: &Rehearsal) -> u64 {
    report(trading)["orders"].as_u64().expect("a number")
}

/// Trades on until there are this many more orders.
fn trade(trading: &Rehearsal, more: u64) {
    let before = orders(trading);
    until("more orders", || {
        (orders(trading) >= before + more).then_some(())
    });
}

/// What was told by id, with how often; a second time it must be the same.
fn told(heard: &[(String, String)], kind: &str) -> BTreeMap<String, (Value, u32)> {
    let mut told: BTreeMap<String, (Value, u32)> = BTreeMap::new();
    for (topic, text) in heard {
        if !topic.starts_with(&format!("tickgate/one/{kind}/")) {
            continue;
        }
        let value = json(text);
        let id = value["id"].as_str().expect("an id").to_owned();
        let (first, count) = told.entry(id).or_insert_with(|| (value.clone(), 0));
        assert_eq!(*first, value, "the same id says something else");
        *count += 1;
    }
    told
}

/// What the journal itself has, by the same ids: the judge.
fn journaled(folder: &Path) -> (BTreeSet<String>, BTreeSet<String>) {
    let folder = folder.to_str().expect("text");
    let lines = |arguments: &[&str]| -> Vec<Value> {
        let output = tool("tickgate", arguments);
        assert!(output.status.success(), "{}", stderr(&output));
        let text = String::from_utf8(output.stdout).expect("text");
        text.lines().map(json).collect()
    };
    let is_told = |it: &Value| {
        let kind = it["kind"].as_str().expect("a kind");
        let is_execution = ["executed", "broken-trade"].contains(&message(it).as_str());
        let kinds = ["sent", "refused", "cancels", "heard", "kill-on", "kill-off"];
        it["session"] == "ouch" && kinds.contains(&kind) && !is_execution
    };
    let orders = lines(&["journal", folder, "--json"]).into_iter();
    let orders = orders.filter(is_told).map(|it| it["sequence"].to_string());
    let fills = lines(&["journal", folder, "--executions"]).into_iter();
    let fills = fills.map(|it| {
        let word = |name: &str| it[name].as_str().expect("text").to_owned();
        let (session, user) = (word("session"), word("username"));
        let day = word("exchange_session");
        format!("{session}/{user}/{day}/{}", it["seq"])
    });
    (orders.collect(), fills.collect())
}

fn message(record: &Value) -> String {
    record["message"].as_str().unwrap_or_default().to_owned()
}

/// The highest resident size of a process, KiB.
fn peak_kib(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid()));
    let status = status.expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let words = line.expect("it has one").split_whitespace().nth(1);
    words.expect("a number").parse().expect("a number")
}

#[test]
#[expect(clippy::too_many_lines, reason = "a scenario reads from top to bottom")]
fn orders_and_fills_arrive_whatever_is_stopped_and_each_duplicate_has_its_id() {
    let Some(mut broker) = Mosquitto::new() else {
        return;
    };
    let journal = broker.path("journal");
    let setting = format!("journal.folder={}", journal.display());
    let mut trading = Rehearsal::start(&[TAKER[0], TAKER[1], &setting]);
    // Somebody listens for good; then there is no broker, and what happens lies in the journal.
    broker.start();
    let watcher = broker.subscribe("tickgate/one/#");
    broker.stop();
    let more = format!("journal = \"{}\"", journal.display());
    let mut publisher = broker.publisher("one", &trading.socket, &more);
    publisher
        .await_line("no broker", Duration::from_secs(20), &NEVER)
        .expect("it says so");
    let gone_ns = monotonic_ns() + seconds() * 1_000_000_000;
    trade(&trading, 50);
    let before_kib = peak_kib(&publisher);
    until_then(gone_ns);
    let grown_kib = peak_kib(&publisher) - before_kib;
    assert!(
        grown_kib < 16 << 10,
        "{grown_kib} KiB more without a broker"
    );

    broker.start();
    publisher
        .await_line("the broker is there", Duration::from_secs(20), &NEVER)
        .expect("it comes back");
    let fills = |least: usize| {
        until("fills", || {
            (told(&watcher.heard(), "fills").len() >= least).then_some(())
        });
    };
    fills(10);
    // Slow for a while, gone for a while, and the publisher killed.
    broker.signal(libc::SIGSTOP);
    trade(&trading, 30);
    broker.signal(libc::SIGCONT);
    broker.stop();
    trade(&trading, 30);
    broker.start();
    fills(told(&watcher.heard(), "fills").len() + 10);
    publisher.signal(libc::SIGKILL);
    let _ = publisher.wait(Duration::from_secs(20), &NEVER);
    trade(&trading, 30);
    let mut publisher = broker.publisher("one", &trading.socket, &more);
    trade(&trading, 30);
    trading.gateway.signal(libc::SIGTERM);
    let ended = trading.gateway.wait(Duration::from_secs(20), &NEVER);
    assert!(ended.expect("it ends"), "{:?}", trading.gateway.said);

    let (orders, fills) = journaled(&journal);
    assert!(
        orders.len() > 150 && fills.len() > 20,
        "{} {}",
        orders.len(),
        fills.len()
    );
    let sequence = |id: &String| id.rsplit('/').next().expect("three parts").to_owned();
    let heard = until("everything of the journal", || {
        let heard = watcher.heard();
        let told_orders = told(&heard, "orders").keys().map(sequence).collect();
        let told_fills = told(&heard, "fills").into_keys().collect();
        let is_all = orders.is_subset(&told_orders) && fills.is_subset(&told_fills);
        is_all.then_some(heard)
    });
    let told_orders = told(&heard, "orders");
    let told_fills = told(&heard, "fills");
    assert_eq!(
        told_orders.keys().map(sequence).collect::<BTreeSet<_>>(),
        orders
    );
    assert_eq!(told_fills.keys().cloned().collect::<BTreeSet<_>>(), fills);
    // What comes for the first time comes in the order in which it happened.
    let mut last = 0;
    let mut seen = BTreeSet::new();
    for (topic, text) in &heard {
        if topic.starts_with("tickgate/one/orders/") && seen.insert(json(text)["id"].to_string()) {
            let sequence: u64 = json(text)["sequence"].as_u64().expect("a number");
            assert!(sequence > last, "{sequence} after {last}");
            last = sequence;
        }
    }
    let total = told_orders
        .values()
        .chain(told_fills.values())
        .map(|(_, count)| count);
    let total: u32 = total.sum();
    let distinct = told_orders.len() + told_fills.len();
    eprintln!("{distinct} messages, {total} deliveries, {grown_kib} KiB more without a broker");

    let gone = until("its end is told", || {
        let state = broker.kept("tickgate/one/status")?;
        state.contains("gateway-gone").then_some(state)
    });
    assert_eq!(json(&gone)["instance"], "one");
    publisher.end();
    let offline = until("offline", || {
        let state = broker.kept("tickgate/one/status")?;
        state.contains("offline").then_some(state)
    });
    assert_eq!(json(&offline)["state"], "offline");
    let counts = json(&broker.kept("tickgate/one/publisher").expect("kept"));
    assert_eq!(counts["counts"]["journal_gaps"], 0, "{counts}");
    broker.stop();
}

/// Lets a time pass in which nothing is done: the system under test is the one that acts.
fn until_then(until_ns: u64) {
    while monotonic_ns() < until_ns {
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

#[test]
fn last_will_is_told_of_a_publisher_that_was_killed() {
    let Some(mut broker) = Mosquitto::new() else {
        return;
    };
    broker.start();
    let trading = Rehearsal::start(&[]);
    let mut publisher = broker.publisher("one", &trading.socket, "");
    until("online", || {
        let state = broker.kept("tickgate/one/status")?;
        state.contains("online").then_some(())
    });
    publisher.signal(libc::SIGKILL);
    let _ = publisher.wait(Duration::from_secs(20), &NEVER);
    until("offline", || {
        let state = broker.kept("tickgate/one/status")?;
        state.contains("offline").then_some(())
    });
    broker.stop();
}

fn fleet(broker: &Mosquitto, arguments: &[&str]) -> Output {
    let (address, ca) = (broker.address(), broker.path("ca.pem"));
    let password = broker.path("password");
    let mut all = vec!["fleet", "--broker", &address];
    let (ca, password) = (ca.to_str().expect("text"), password.to_str().expect("text"));
    all.extend(["--ca-file", ca, "--username", "watcher", "--password-file"]);
    all.extend([password, "--once"]);
    all.extend(arguments);
    tool("tickgate", &all)
}

/// All that these gateways have measured, by the name of the hop.
fn histograms_of(trading: [&Rehearsal; 2]) -> BTreeMap<String, Histogram<u64>> {
    let mut joined = BTreeMap::new();
    for trading in trading {
        let report = report(trading)["hdr"].clone();
        for (name, text) in report.as_object().expect("histograms") {
            let histogram = decode(text.as_str().expect("text")).expect("a histogram");
            let sum = joined.entry(name.clone()).or_insert_with(empty);
            sum.add(histogram).expect("the same bounds");
        }
    }
    joined
}

/// Each value that was measured, and how often.
fn slots(histogram: &Histogram<u64>) -> Vec<(u64, u64)> {
    let recorded = histogram.iter_recorded();
    recorded
        .map(|slot| (slot.value_iterated_to(), slot.count_at_value()))
        .collect()
}

#[test]
fn two_gateways_merged_are_the_histogram_of_all_their_samples() {
    let Some(mut broker) = Mosquitto::new() else {
        return;
    };
    broker.start();
    let mut trading = ["one", "two"].map(|name| {
        let trading = Rehearsal::start(&TAKER);
        let publisher = broker.publisher(name, &trading.socket, "");
        (trading, publisher)
    });
    for (trading, _) in &mut trading {
        trade(trading, 50);
        // Without an exchange nothing more is measured.
        trading.exchange.end();
    }
    // What a stage has measured last may be in its report a while later, so both sides are asked until they have as many.
    let (joined, merged) = until("the fleet has all of it", || {
        let joined = histograms_of(trading.each_ref().map(|(trading, _)| trading));
        let output = fleet(&broker, &["--json", "--wait-ms", "1000"]);
        assert!(output.status.success(), "{}", stderr(&output));
        let merged = json(&String::from_utf8_lossy(&output.stdout));
        let has_all = joined.iter().all(|(name, joined)| {
            let count = merged["histograms"][name]["count"].as_u64();
            count.unwrap_or_default() == joined.len()
        });
        has_all.then_some((joined, merged))
    });
    assert!(joined["tick_to_order"].len() >= 100, "{joined:?}");
    for (name, joined) in &joined {
        let text = merged["hdr"][name].as_str().expect("it is there");
        let merged = decode(text).expect("a histogram");
        assert_eq!(slots(&merged), slots(joined), "{name}");
    }
    assert_eq!(merged["gateways"].as_array().map(Vec::len), Some(2));
    let table = fleet(&broker, &[]);
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    assert!(
        table.contains("2 gateways") && table.contains("| tick_to_order"),
        "{table}"
    );
    strangers_are_told_why(&broker);
    broker.stop();
}

/// What hot stages have measured until now.
fn measured(trading: &Rehearsal) -> BTreeMap<String, Histogram<u64>> {
    let hdr = report(trading)["hdr"].clone();
    let hdr = hdr.as_object().expect("histograms").iter();
    hdr.map(|(name, text)| {
        let histogram = decode(text.as_str().expect("text"));
        (name.clone(), histogram.expect("a histogram"))
    })
    .collect()
}

/// A broker that is gone and one that is there take turns, and what hot stages measure is compared. Which thread is slow when is the
/// host's affair, so times are judged in a run of `make mqtt` alone, and there only coarsely; that each stage goes on measuring, always.
#[test]
fn hot_stages_do_not_notice_that_the_broker_is_gone() {
    let Some(mut broker) = Mosquitto::new() else {
        return;
    };
    broker.start();
    let trading = Rehearsal::start(&TAKER);
    let mut publisher = broker.publisher("one", &trading.socket, "");
    publisher
        .await_line("the broker is there", Duration::from_secs(20), &NEVER)
        .expect("it is there");
    let mut windows: [BTreeMap<String, Histogram<u64>>; 2] = Default::default();
    for turn in 0..4 {
        let is_gone = turn % 2 == 1;
        if is_gone {
            broker.stop();
        } else if turn > 0 {
            broker.start();
        }
        let before = measured(&trading);
        trade(&trading, 10);
        until_then(monotonic_ns() + seconds() * 500_000_000);
        for (name, mut more) in measured(&trading) {
            if let Some(before) = before.get(&name) {
                more.subtract(before).expect("it only grows");
            }
            let sum = windows[usize::from(is_gone)].entry(name);
            sum.or_insert_with(empty)
                .add(more)
                .expect("the same bounds");
        }
    }
    let [with, without] = windows;
    for (name, with) in with.iter().filter(|(_, with)| !with.is_empty()) {
        let without = without.get(name).expect("it goes on measuring");
        assert!(!without.is_empty(), "{name}");
        let at = |quantile| [with, without].map(|it| it.value_at_quantile(quantile));
        let [p50, p99] = [0.5, 0.99].map(at);
        eprintln!(
            "{name}: {} and {} samples with a broker and without, p50 {} and {} ns, p99 {} and {} ns",
            with.len(),
            without.len(),
            p50[0],
            p50[1],
            p99[0],
            p99[1]
        );
        if seconds() >= 30 {
            assert!(p50[1] < 2 * p50[0], "{name}: {p50:?}");
        }
    }
    publisher.end();
}

/// Who is not let in, or does not know the broker.
fn strangers_are_told_why(broker: &Mosquitto) {
    let (address, key) = (broker.address(), broker.path("key").display().to_string());
    let stranger = [
        "fleet",
        "--once",
        "--broker",
        &address,
        "--username",
        "watcher",
    ];
    let stranger = [&stranger[..], &["--password-file", &key]].concat();
    let ca = broker.path("ca.pem").display().to_string();
    let refused = tool("tickgate", &[&stranger[..], &["--ca-file", &ca]].concat());
    let said = stderr(&refused);
    assert!(
        !refused.status.success() && said.contains("NotAuthorized"),
        "{said}"
    );
    let unknown = tool("tickgate", &stranger);
    let said = stderr(&unknown);
    assert!(
        !unknown.status.success() && said.contains("certificate"),
        "{said}"
    );
}

/// Signs a body and publishes it, as docs/mqtt.md says.
fn sign_and_publish(broker: &Mosquitto, key: &str, body: &str) -> Vec<u8> {
    let script = "printf %s \"$2\" | openssl dgst -sha256 -mac HMAC -macopt \"hexkey:$1\" -r | cut -d' ' -f1";
    let output = Command::new("bash")
        .args(["-c", script, "bash", key, body])
        .output();
    let mac = String::from_utf8(output.expect("it starts").stdout).expect("text");
    let payload = format!("{} {body}", mac.trim()).into_bytes();
    broker.publish("tickgate/one/command", &payload);
    payload
}

fn body(verb: &str, time_s: u64, nonce: &str) -> String {
    format!(
        r#"{{"instance":"one","verb":"{verb}","reason":"a drill","time_s":{time_s},"nonce":"{nonce}-0123456789abcdef"}}"#
    )
}

fn now_s() -> u64 {
    rt::clock::realtime_ns() / 1_000_000_000
}

/// Refused commands by cause, as the publisher has told last.
fn refused(broker: &Mosquitto) -> BTreeMap<String, u64> {
    let counts = until("counts", || broker.kept("tickgate/one/publisher"));
    let refused = json(&counts)["counts"]["commands_refused"].clone();
    serde_json::from_value(refused).expect("numbers")
}

#[test]
#[expect(clippy::too_many_lines, reason = "a scenario reads from top to bottom")]
fn commands_are_done_once_when_they_are_signed_and_everything_else_is_refused_and_counted() {
    let Some(mut broker) = Mosquitto::new() else {
        return;
    };
    broker.start();
    let journal = broker.path("journal");
    let setting = format!("journal.folder={}", journal.display());
    let trading = Rehearsal::start(&[TAKER[0], TAKER[1], &setting]);
    let mut publisher = broker.publisher("one", &trading.socket, "");
    let watcher = broker.subscribe("tickgate/one/result");
    let before = watcher.heard().len();
    publisher
        .await_line("the broker is there", Duration::from_secs(20), &NEVER)
        .expect("it is there");
    let mut tries = 0;
    let result = until("a status", || {
        tries += 1;
        sign_and_publish(
            &broker,
            KEY,
            &body("status", now_s(), &format!("status-{tries}")),
        );
        watcher.heard().into_iter().nth(before)
    });
    let result = json(&result.1);
    assert_eq!(result["is_done"], true, "{result}");
    assert_eq!(result["answer"]["status"]["sessions"][0]["name"], "ouch");

    let before = refused(&broker);
    let mut random = fastrand::Rng::with_seed(1883);
    let until_ns = monotonic_ns() + seconds() * 1_000_000_000;
    let mut thrown = 0;
    while monotonic_ns() < until_ns {
        let mut command = broker.client("mosquitto_pub");
        // The broker keeps what it has acknowledged, however slowly it is taken.
        command.args(["-t", "tickgate/one/command", "-q", "1", "-l"]);
        let mut child = command.stdin(Stdio::piped()).spawn().expect("it starts");
        let mut stdin = child.stdin.take().expect("piped");
        for _ in 0..200 {
            let len = random.usize(1..3_000);
            let mut line: Vec<u8> = (0..len).map(|_| random.u8(1..)).collect();
            line.retain(|byte| *byte != b'\n');
            line.insert(0, b'x');
            line.push(b'\n');
            stdin.write_all(&line).expect("it reads");
            thrown += 1;
        }
        drop(stdin);
        assert!(child.wait().expect("it ends").success());
        let zeros: Vec<u8> = (0..random.usize(1..3_000)).map(|_| random.u8(..)).collect();
        broker.publish("tickgate/one/command", &zeros);
        thrown += 1;
    }
    let mut said = 0;
    until("each of them is counted", || {
        let sum = |it: &BTreeMap<String, u64>| it.values().sum::<u64>();
        let counted = sum(&refused(&broker)) - sum(&before);
        if counted != said {
            eprintln!("{counted} of {thrown} are counted");
            said = counted;
        }
        (counted == thrown).then_some(())
    });
    eprintln!(
        "{thrown} messages of random bytes refused: {:?}",
        refused(&broker)
    );

    let results = watcher.heard().len();
    let before = refused(&broker);
    let good = sign_and_publish(&broker, KEY, &body("status", now_s(), "once"));
    until("its result", || {
        (watcher.heard().len() > results).then_some(())
    });
    broker.publish("tickgate/one/command", &good);
    sign_and_publish(
        &broker,
        &KEY.replace('8', "9"),
        &body("kill", now_s(), "forged"),
    );
    sign_and_publish(&broker, KEY, &body("kill", now_s() - 31, "old"));
    sign_and_publish(&broker, KEY, &body("kill", now_s() + 60, "new"));
    let other = body("kill", now_s(), "other").replace("\"one\"", "\"two\"");
    sign_and_publish(&broker, KEY, &other);
    let causes = [
        "replayed",
        "wrong_signature",
        "too_old",
        "too_new",
        "other_instance",
    ];
    until("each by its cause", || {
        let now = refused(&broker);
        let count = |it: &BTreeMap<String, u64>, cause: &str| it.get(cause).copied().unwrap_or(0);
        let is_counted = |cause: &&str| count(&now, cause) == count(&before, cause) + 1;
        causes.iter().all(is_counted).then_some(())
    });
    assert_eq!(
        watcher.heard().len(),
        results + 1,
        "nobody is answered who is refused"
    );
    let status = ctl(Path::new(&trading.socket), &["--json", "status"]);
    let status = json(&String::from_utf8_lossy(&status.stdout));
    assert_eq!(status["status"]["kill"]["scope"], Value::Array(Vec::new()));

    sign_and_publish(&broker, KEY, &body("kill", now_s(), "kill"));
    until("it is killed", || {
        let status = ctl(Path::new(&trading.socket), &["--json", "status"]);
        let status = json(&String::from_utf8_lossy(&status.stdout));
        let scope = status["status"]["kill"]["scope"]
            .as_array()
            .expect("a list");
        (!scope.is_empty()).then_some(())
    });
    until("the alert", || {
        let alert = json(&broker.kept("tickgate/one/alerts/killed/ouch")?);
        (alert["state"] == "raised").then_some(())
    });
    until("it is journaled with this user", || {
        let folder = journal.to_str().expect("text");
        let lines = tool(
            "tickgate",
            &["journal", folder, "--kind", "asked", "--json"],
        );
        let lines = String::from_utf8(lines.stdout).expect("text");
        let found = lines.lines().map(json).find(|it| {
            let asked = it["asked"].as_str().unwrap_or_default();
            asked.contains("by MQTT: a drill") && it["uid"].is_u64()
        });
        found.filter(|it| it["pid"] == publisher.pid())
    });
    publisher.end();
    broker.stop();
}

/// A publisher whose broker is none, without TLS; it takes commands.
fn publisher_at(liar: &Liar, folder: &Path) -> Process {
    let (shown, address) = (folder.display(), liar.address());
    lab::exchange::write_secret(&folder.join("key"), KEY).expect("written");
    let text = format!(
        "instance = \"one\"\nsocket = \"{shown}/nobody\"\nstatus_ms = 200\n\
         [broker]\naddress = \"{address}\"\ntls = false\nkeep_alive_s = 5\n\
         [commands]\nenabled = true\nkey_file = \"{shown}/key\"\n"
    );
    let file = folder.join("mqtt.toml");
    std::fs::write(&file, text).expect("written");
    start_publisher(&file)
}

const GARBAGE: [u8; 4_096] = [0xFF; 4_096];

/// Topics of many names, each of which a client that allowed it would keep.
fn flood_with_aliases(victim: &mut Victim) {
    assert!(victim.say(&CONNACK));
    let topic = "a".repeat(8_000);
    for alias in 1..8_000_u16 {
        let [high, low] = alias.to_be_bytes();
        if !victim.say(&publish(&topic, 0, &[TOPIC_ALIAS, high, low], b"")) {
            break;
        }
    }
    victim.say(&STRAY_PUBACK);
}

/// Commands that it signs with no key, or with another.
const FORGED: u16 = 30;

fn forge_commands(victim: &mut Victim) {
    assert!(victim.say(&CONNACK));
    let body = body("kill", now_s(), "forged");
    let wrong = format!("{} {body}", "0".repeat(64));
    let forged = [body.as_str(), wrong.as_str(), "kill"];
    for (number, text) in (1..=FORGED).zip(forged.into_iter().cycle()) {
        let message = publish("tickgate/one/command", number, &[], text.as_bytes());
        assert!(victim.say(&message));
    }
    // What it acknowledges it has heard.
    let mut acknowledged = 0;
    while acknowledged < FORGED {
        let packet = victim.hear().expect("it stays");
        acknowledged += u16::from(packet.kind() == kind::PUBACK);
    }
    victim.say(&STRAY_PUBACK);
}

#[test]
fn broker_that_says_what_no_broker_says_is_left_and_counted_and_commands_nothing() {
    let (liar, folder) = (Liar::new(), tempfile::tempdir().expect("a folder"));
    let mut publisher = publisher_at(&liar, folder.path());
    let before_kib = peak_kib(&publisher);
    let deeds: [fn(&mut Victim); 7] = [
        |victim| {
            victim.say(&GARBAGE);
        },
        |victim| {
            victim.say(&REFUSED);
        },
        |victim| {
            victim.say(&[&CONNACK[..], &GARBAGE].concat());
        },
        |victim| {
            victim.say(&[CONNACK, HUGE].concat());
        },
        |victim| {
            victim.say(&[&CONNACK[..], &STRAY_PUBACK].concat());
        },
        flood_with_aliases,
        forge_commands,
    ];
    for deed in deeds {
        let mut victim = liar.next();
        deed(&mut victim);
        victim.is_left();
    }
    let grown_kib = peak_kib(&publisher) - before_kib;

    // An honest one at last: what the publisher has counted.
    let mut victim = liar.next();
    assert!(victim.say(&CONNACK));
    let mut told = Vec::new();
    while let Some(packet) = victim.hear() {
        if packet.kind() == kind::SUBSCRIBE {
            publisher.signal(libc::SIGTERM);
        } else if packet.kind() == kind::PUBLISH {
            if let Some(acknowledgement) = packet.acknowledgement() {
                victim.say(&acknowledgement);
            }
            told.push(packet.message());
        }
    }
    let ended = publisher.wait(Duration::from_secs(20), &NEVER);
    assert!(ended.expect("it ends"), "{:?}", publisher.said);
    let counts = told
        .iter()
        .rev()
        .find(|(topic, _)| topic == "tickgate/one/publisher");
    let counts = json(&counts.expect("it counts").1)["counts"].clone();
    // A refusal and what is no answer at all are no connections.
    assert_eq!(counts["connections"], 6, "{counts}");
    assert_eq!(counts["connections_lost"], 7, "{counts}");
    assert_eq!(counts["commands"], 0, "{counts}");
    let refused = &counts["commands_refused"];
    let of_each = u64::from(FORGED / 3);
    assert_eq!(refused["wrong_signature"], of_each, "{counts}");
    assert_eq!(refused["unsigned"], 2 * of_each, "{counts}");
    eprintln!("{grown_kib} KiB more, {counts}");
    assert!(grown_kib < 32 << 10, "{grown_kib} KiB more");
}
