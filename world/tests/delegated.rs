//! Real orders past the kernel's TCP: the whole gateway in one namespace, the whole exchange in another, and the
//! exchange's own store as the judge. None came twice, none is missing, and both sides believe the same.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests"
)]

mod arena;
mod between;
mod desk;
mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use arena::{Arena, More, Setup, numbers_are_used_once, stored};
use desk::{NEVER, until};
use feed_handler::capture::read::Captures;
use lab::netns::{Lab, Side};
use lab::process::Process;
use rt::clock::monotonic_ns;
use serde_json::Value;
use support::{has, is_root, stderr};

/// The session that has the lane.
const SESSION: &str = "one";
/// Against a hang only: so long, and so long again for each order.
const TRADES_NS: u64 = 120_000_000_000;
const ORDER_NS: u64 = 10_000_000;

fn setup(one_in: u32) -> Setup {
    Setup {
        seed: 11,
        submit: "delegated".to_owned(),
        one_in,
        rate: 6_000,
        is_captured: false,
        more: More::default(),
    }
}

/// Orders until the exchange has answered this many on the delegated session.
fn trade_until(arena: &Arena, orders: usize) {
    let until_ns = monotonic_ns() + TRADES_NS + orders as u64 * ORDER_NS;
    // Each look reads the whole store, so that of many orders is looked at seldom.
    let look = Duration::from_millis(100 + orders as u64 / 10);
    while stored(&arena.desk, SESSION).answered.len() < orders {
        assert!(monotonic_ns() < until_ns, "{:?}", arena.gateway.said);
        std::thread::park_timeout(look);
    }
}

/// What the gateway counted of the delegated session, when everything was over.
struct Proved {
    counters: Value,
    /// System calls that a sandbox refused; none: there was no sandbox.
    calls_refused: Option<u64>,
    orders: u64,
    said: String,
}

impl Proved {
    fn count(&self, name: &str) -> u64 {
        let count = self.counters[name].as_u64();
        count.unwrap_or_else(|| panic!("{name} of {}", self.counters))
    }
}

/// Ends the trading, and holds the exchange's store against the gateway's journals and against what it believes.
fn prove(arena: &mut Arena) -> Proved {
    arena.agree().expect("both sides agree");
    arena.ctl(&["cancel", "all"]).expect("an answer");
    let believed = until("all is cancelled", || {
        let said = arena.gateway_says()?;
        let is_over = said.values().all(|account| account.orders.is_empty());
        is_over.then_some(said)
    });
    assert_eq!(arena.exchange_says(), Some(believed.clone()));
    arena.gateway.end();
    let report = std::fs::read_to_string(arena.desk.path("report.json")).expect("a report");
    let report: Value = serde_json::from_str(&report).expect("JSON");
    let counters = &report["runs"][0]["counters"];
    let proved = Proved {
        counters: counters["session"][SESSION].clone(),
        calls_refused: counters["control"]["sandbox"]["calls_refused"].as_u64(),
        orders: stored(&arena.desk, SESSION).answered.len() as u64,
        said: arena.gateway.said.join("\n"),
    };
    let there = stored(&arena.desk, SESSION);
    assert_eq!(there.positions, believed[SESSION].positions);
    let sent = numbers_are_used_once(&arena.desk.path("state").join("journal"));
    let made_up: Vec<_> = there.answered.difference(&sent.numbers[&0]).collect();
    assert!(made_up.is_empty(), "never sent: {made_up:?}");
    // Whatever a connection that broke swallowed was told as lost, and is counted. (A replacement of an order that is
    // over meets silence.)
    let missing = sent.entered[&0].difference(&there.answered).count() as u64;
    assert!(
        missing <= proved.count("never_received"),
        "{missing} are missing"
    );
    assert_eq!(there.fills, proved.count("fills"));
    println!(
        "{} orders and replacements at the exchange, {missing} told as never received, {} fills: {}",
        there.answered.len(),
        there.fills,
        lane(&proved.counters)
    );
    proved
}

/// What is not nought of the lane's counters.
fn lane(counters: &Value) -> String {
    const PARTS: [&str; 8] = [
        "delegated",
        "ordinary",
        "copies",
        "acks_",
        "passed",
        "unbelieved",
        "unacceptable",
        "connections_",
    ];
    let all = counters.as_object().expect("counters").iter();
    let told = all.filter(|(name, value)| {
        PARTS.iter().any(|part| name.starts_with(part)) && value.as_u64() != Some(0)
    });
    let told: Vec<String> = told
        .map(|(name, value)| format!("{name} {value}"))
        .collect();
    told.join(", ")
}

/// Frames that the gateway has captured of what left by its lane, and the bytes of its session in them.
fn kept_of_the_lane(folder: &Path) -> (u64, u64) {
    let files = std::fs::read_dir(folder).expect("a folder");
    let files = files.map(|file| file.expect("a file").path());
    let is_of_lane = |path: &PathBuf| path.to_string_lossy().contains("/session.one-");
    let files: Vec<PathBuf> = files.filter(is_of_lane).collect();
    let mut captures = Captures::open(files).expect("captures");
    let (mut frames, mut bytes, mut last_ns) = (0, 0, 0);
    while let Some(captured) = captures.take().expect("whole") {
        let frame = &captured.frame;
        // TCP, to the exchange's port.
        assert_eq!(
            (frame[23], &frame[36..38]),
            (6, &12_000u16.to_be_bytes()[..])
        );
        assert!(
            captured.seen_ns > last_ns,
            "in the order in which they left"
        );
        last_ns = captured.seen_ns;
        frames += 1;
        bytes += frame.len() as u64 - 34 - u64::from(frame[46] >> 4) * 4;
    }
    (frames, bytes)
}

/// In its sandbox, with every frame kept: what it needs for that is still allowed.
#[test]
fn every_order_is_at_the_exchange_once_and_both_sides_believe_the_same() {
    if !is_root() {
        return;
    }
    let mut arena = Arena::new(Setup {
        is_captured: true,
        more: More {
            gateway: "[sandbox]\nmode = \"enforce\"\nrequire = \"filter\"\n".to_owned(),
            ..More::default()
        },
        ..setup(0)
    });
    trade_until(&arena, 2_000);
    let proved = prove(&mut arena);
    let fast = proved.count("delegated_sent");
    assert!(fast > 1_000, "{}", lane(&proved.counters));
    let (frames, bytes) = kept_of_the_lane(&arena.desk.path("captures"));
    let counted = (fast, proved.count("delegated_bytes"));
    assert_eq!((frames, bytes), counted, "captured");
    assert_eq!(proved.count("never_received"), 0);
    assert_eq!(proved.calls_refused, Some(0));
    // The second session found the interface taken, and went on as before.
    let expected = "session two: delegated did not hold, enter is used";
    assert!(proved.said.contains(expected), "{}", proved.said);
}

#[test]
fn faults_in_both_directions_lose_and_double_no_order() {
    if !is_root() {
        return;
    }
    let mut arena = Arena::new(setup(50));
    trade_until(&arena, 3_000);
    let proved = prove(&mut arena);
    assert!(
        proved.count("delegated_sent") > 300,
        "{}",
        lane(&proved.counters)
    );
    assert!(proved.count("passed_again") > 0, "nothing was lost");
    assert!(proved.count("unbelieved") > 0, "nothing was damaged");
    // An order that the lane had swallowed would have ended the connection, and be told as lost.
    let lost = ["disconnections", "never_received"].map(|name| proved.count(name));
    assert_eq!(lost, [0; 2]);
}

/// Runs that a host that stands still for a fifth of a second may disturb: any TCP sends again then.
const RUNS: u32 = 4;

/// What tshark finds wrong in a capture: packets that are damaged, or that came where none was due.
const WRONG: &str = "_ws.malformed || (tcp.checksum.status == 0 && tcp.checksum != 0xffff) || ip.checksum.status == 0 \
                     || tcp.analysis.out_of_order || tcp.analysis.lost_segment || tcp.analysis.ack_lost_segment";

/// What was sent again.
const AGAIN: &str = "tcp.analysis.retransmission || tcp.analysis.fast_retransmission || tcp.analysis.spurious_retransmission";

/// What tshark says of a capture, a line a packet.
struct Seen {
    packets: usize,
    wrong: String,
    again: String,
}

/// Lets neither kernel send the last segment again to ask whether it was lost: it does so after two round trips and two
/// ticks, and a shared host stands still for longer. What is lost is still sent again, after its timer of 200 ms or more.
fn send_no_tail_loss_probes(lab: &Lab) {
    for side in [Side::Exchange, Side::Gateway] {
        let output = lab
            .command(side, Path::new("sh"))
            .args(["-c", "echo 0 > /proc/sys/net/ipv4/tcp_early_retrans"])
            .output()
            .expect("it runs");
        assert!(output.status.success(), "{}", stderr(&output));
    }
}

/// Trades with Wireshark's capturer at the exchange's interface.
fn captured(orders: usize) -> Seen {
    let lab = Lab::new().expect("a lab");
    send_no_tail_loss_probes(&lab);
    // Else neither end computes checksums that only the other end sees.
    between::compute_checksums(&lab);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("orders.pcapng");
    let mut command = lab.command(Side::Exchange, Path::new("dumpcap"));
    // A buffer for what comes while it has no CPU, MiB; heads and orders, not the end of long answers.
    command
        .args(["-i", "order0", "-B", "256", "-f", "tcp port 12000", "-w"])
        .arg(&file);
    let mut dumpcap = Process::start("dumpcap", command).expect("it starts");
    dumpcap
        .await_line("File:", Duration::from_secs(20), &NEVER)
        .expect("it captures");
    let mut setup = setup(0);
    if orders > 20_000 {
        setup.rate = 20_000;
    }
    let mut arena = Arena::within(lab, setup);
    trade_until(&arena, orders);
    let proved = prove(&mut arena);
    assert!(
        proved.count("delegated_sent") > proved.orders / 2,
        "{}",
        lane(&proved.counters)
    );
    dumpcap.signal(libc::SIGINT);
    assert!(
        dumpcap
            .wait(Duration::from_secs(20), &NEVER)
            .expect("it ends"),
        "{:?}",
        dumpcap.said
    );
    let said = dumpcap.said.join("\n");
    assert!(said.contains("(100.0%)"), "it has dropped packets: {said}");
    let tshark = |filter: &str| {
        let output = Command::new("tshark")
            .args([
                "-o",
                "tcp.check_checksum:TRUE",
                "-o",
                "ip.check_checksum:TRUE",
            ])
            .args(["-Y", filter, "-r"])
            .arg(&file)
            .output()
            .expect("it runs");
        assert!(output.status.success(), "{}", stderr(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    Seen {
        packets: tshark("tcp").lines().count(),
        wrong: tshark(WRONG),
        again: tshark(AGAIN),
    }
}

/// What is sent again is counted against it in a run of `make tshark` alone: where builds run beside it, any TCP's timer ends
/// before its peer has had the processor.
#[test]
fn tshark_finds_nothing_wrong_at_the_exchanges_interface() {
    if !is_root() || !has("tshark") || !has("dumpcap") {
        return;
    }
    let asked = std::env::var("ORDERS");
    let orders = asked
        .as_ref()
        .map_or(2_000, |text| text.parse().expect("a number"));
    let mut again = Vec::new();
    for _ in 0..RUNS {
        let seen = captured(orders);
        println!(
            "{orders} orders, {} packets, {} of them sent again",
            seen.packets,
            seen.again.lines().count()
        );
        assert_eq!(seen.wrong, "");
        if seen.again.is_empty() || asked.is_err() {
            return;
        }
        again.push(seen.again);
    }
    panic!("in each run: {again:?}");
}
