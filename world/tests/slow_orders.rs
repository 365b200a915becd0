//! Slow orders, and the frames that a gateway keeps around the packets that caused them.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

mod desk;
mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use desk::{Day, Desk, NEVER, gateway_command, start_gateway, start_sim_with};
use lab::netns::Lab;
use rt::clock::monotonic_ns;
use support::is_root;

const BEFORE: usize = 10;
/// More than pile up behind a packet while its strategy thinks: they are in memory when its order is told.
const AFTER: usize = 150;
const THINK_NS: u64 = 20_000_000;
const LIMIT_NS: u64 = 15_000_000;
/// Orders from one that is thought about to the next.
const THINK_EVERY: u64 = 20;
const MESSAGES: u64 = 4_000;
/// Ethernet, IPv4 and UDP in front of a payload, made up as they are; the number is behind the session's name.
const PAYLOAD: usize = 14 + 20 + 8;
const BLOCK_HEAD: usize = 28;

/// One core runs all: while the strategy thinks, nothing is taken from the socket.
fn config(desk: &Desk) -> String {
    let folder = desk.folder.path().display();
    let report = desk.path("out.json");
    format!(
        "[feed.itch]\nreceive = \"udp\"\nlines = [{{ address = \"239.77.0.1:26400\", interface = \"feed0\" }}]\n\
         [feed.itch.capture]\nframes = \"gaps\"\nfolder = \"{folder}\"\nbefore_frames = {BEFORE}\n\
         after_frames = {AFTER}\nslow_order_us = {}\n\
         [session.ouch]\naddress = \"10.77.2.1:12000\"\nusername = \"demo\"\npassword = \"demo\"\n\
         [session.ouch.risk]\norder_qty_max = 10000\nnotional_max_dollars = 1000000\ncollar_bps = 5000\n\
         position_max = 1000000\nopen_orders_max = 10000\norders_per_second_max = 100000\n\
         gross_exposure_max_dollars = 1000000000\nnet_exposure_max_dollars = 1000000000\n\
         loss_max_dollars = 1000000000\nallow_self_cross = true\n\
         [strategy.thinker]\nkind = \"probe\"\nfeed = \"itch\"\nsession = \"ouch\"\n\
         [strategy.thinker.parameters]\nevery = 5\nthink_ns = {THINK_NS}\nthink_every = {THINK_EVERY}\n\
         [telemetry]\njson = \"{}\"\ntable = false\n[layout]\nkind = \"inline\"\n",
        LIMIT_NS / 1_000,
        report.display(),
    )
}

/// A packet in a file.
#[derive(Debug)]
struct Packet {
    /// The number of its first message.
    seq: u64,
    /// Numbers of the messages whose orders were slow, and how long those took, ns.
    slow: Vec<(u64, u64)>,
}

/// The packets in the files of a folder.
fn kept(folder: &Path) -> Vec<Packet> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let is_capture = |path: &std::path::PathBuf| path.extension().is_some_and(|it| it == "pcapng");
    let mut paths: Vec<_> = paths.filter(is_capture).collect();
    paths.sort();
    let mut found = Vec::new();
    for path in paths {
        let bytes = std::fs::read(path).expect("a file");
        let mut rest = &bytes[..];
        while let [kind, _, _, _, a, b, c, d, ..] = *rest {
            let len = u32::from_le_bytes([a, b, c, d]) as usize;
            let (block, after) = rest.split_at(len);
            rest = after;
            if kind != 6 {
                continue;
            }
            let number = &block[BLOCK_HEAD + PAYLOAD + 10..][..8];
            let text = String::from_utf8_lossy(block);
            let said = text.split("slow order: ").skip(1);
            found.push(Packet {
                seq: u64::from_be_bytes(number.try_into().expect("eight bytes")),
                slow: said.map(slow).collect(),
            });
        }
    }
    found
}

/// `17 of session ouch, by message 1001: 20000123 ns`.
fn slow(text: &str) -> (u64, u64) {
    let (_, text) = text
        .split_once(" of session ouch, by message ")
        .expect("whose");
    let (seq, text) = text.split_once(": ").expect("which");
    let (ns, _) = text.split_once(" ns").expect("how slow");
    (seq.parse().expect("a number"), ns.parse().expect("a time"))
}

#[test]
fn frames_around_the_ticks_of_slow_orders_are_kept_and_no_others() {
    if !is_root() {
        return;
    }
    let (lab, desk) = (Lab::new().expect("a lab"), Desk::new());
    let sim =
        "address = \"10.77.2.1:12000\"\nfill_every = 0\n[account.demo]\npassword = \"demo\"\n";
    let _sim = start_sim_with(&lab, &desk, sim);
    let config = desk.write("tickgate.toml", &config(&desk));
    let mut gateway = start_gateway(gateway_command(&lab, &config));
    let day = Day {
        line: "239.77.0.1:26400",
        seed: 3,
        messages: MESSAGES,
        rate: "1000",
        cpu: None,
    };
    let mut sender = day.send(&lab, &desk);
    let has_ended = sender.wait(Duration::from_secs(60), &NEVER);
    assert!(has_ended.expect("it ends"), "{:?}", sender.said);
    // The end of the day is behind what the last thought held up.
    let until_ns = monotonic_ns() + 10 * THINK_NS;
    while monotonic_ns() < until_ns {
        std::thread::park_timeout(Duration::from_millis(20));
    }
    gateway.end();
    let text = std::fs::read_to_string(desk.path("out.json")).expect("a report");
    let report: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let run = &report["runs"][0];
    assert_eq!(
        run["settings"]["rehearse_us"], 5,
        "how often is in the report, too"
    );
    let count = |name: &str| {
        run["counters"]["capture"]["itch"][name]
            .as_u64()
            .expect(name)
    };
    assert_eq!((count("gaps_kept"), count("ring_full")), (0, 0));
    assert_eq!(count("asked_late"), 0);

    let kept = kept(desk.folder.path());
    let told: Vec<(u64, u64)> = kept.iter().flat_map(|it| it.slow.clone()).collect();
    println!(
        "{} slow orders, {} packets kept, {} orders",
        told.len(),
        kept.len(),
        run["orders"]
    );
    assert_eq!(count("asked_kept"), told.len() as u64);
    let orders = run["orders"].as_u64().expect("orders");
    let thought = told.iter().filter(|(_, ns)| *ns >= THINK_NS).count() as u64;
    assert!(
        thought >= orders / THINK_EVERY && thought > 3,
        "{thought} of {orders}"
    );
    assert!(told.iter().all(|(_, ns)| *ns > LIMIT_NS), "{told:?}");
    // Each order is told with the packet of its message, one message a packet.
    let is_its = |packet: &Packet| packet.slow.iter().all(|(seq, _)| *seq == packet.seq);
    assert!(kept.iter().all(is_its));
    // A packet is kept if it is one of those around a slow order's, and then once.
    let around = |(seq, _): &(u64, u64)| {
        let first = seq.saturating_sub(BEFORE as u64).max(1);
        first..(seq + AFTER as u64).min(MESSAGES + 1)
    };
    assert!(
        kept.len() < usize::try_from(MESSAGES).expect("few"),
        "not all is around slow orders"
    );
    let expected: BTreeSet<u64> = told.iter().flat_map(around).collect();
    let data = kept.iter().map(|packet| packet.seq);
    let data: Vec<u64> = data.filter(|seq| *seq <= MESSAGES).collect();
    assert_eq!(data, expected.into_iter().collect::<Vec<_>>());
}
