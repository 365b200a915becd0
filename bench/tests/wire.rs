//! What the sender puts on the wire, read by somebody else's program.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "tests")]
#![allow(clippy::too_many_lines, reason = "a scenario reads from top to bottom")]

#[path = "../../world/tests/support/mod.rs"]
mod support;

use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use lab::netns::{Lab, Side};
use lab::process::{Process, sibling};
use rt::clock::monotonic_ns;
use support::{has, is_root};

static NEVER: AtomicBool = AtomicBool::new(false);

#[test]
fn tshark_reads_every_packet_that_we_send_without_a_warning() {
    if !is_root() || !has("tshark") {
        return;
    }
    let lab = Lab::new().expect("a lab");
    let folder = tempfile::tempdir().expect("a folder");
    let capture = folder.path().join("sent.pcap");
    let mut command = Command::new("ip");
    command.args([
        "netns",
        "exec",
        lab.name(Side::Gateway),
        "tshark",
        "-q",
        "-i",
        "feed0",
        "-w",
    ]);
    command.arg(&capture).args(["-f", "udp"]);
    let mut shark = Process::start("tshark", command).expect("it starts");
    shark
        .await_line("Capturing on", Duration::from_secs(20), &NEVER)
        .expect("it captures");
    let day = folder.path().join("day.itch50");
    let options = feeds::generate::Options {
        seed: 9,
        messages: 2_000,
        symbols: 10,
        live: 0,
    };
    feeds::generate::to_file(&options, &day, |_| ()).expect("written");
    let send = |line: &str, more: &[&str]| {
        let mut command = lab.command(Side::Exchange, &sibling("tickgate-bench").expect("built"));
        command
            .arg("replay")
            .arg(&day)
            .args(["--line", line, "--from", "10.77.1.1"]);
        command
            .args([
                "--rate",
                "5000",
                "--pack",
                "7",
                "--quiet",
                "--interface",
                "feed0",
            ])
            .args(more);
        let mut sender = Process::start("sender", command).expect("it starts");
        assert!(
            sender
                .wait(Duration::from_secs(60), &NEVER)
                .expect("it ends"),
            "{:?}",
            sender.said
        );
    };
    let read = |arguments: &[&str]| {
        let output = Command::new("tshark")
            .arg("-r")
            .arg(&capture)
            .args(arguments)
            .output();
        String::from_utf8_lossy(&output.expect("tshark runs").stdout)
            .lines()
            .count()
    };
    let until = monotonic_ns() + 30_000_000_000;
    // It says that it captures a little before it does.
    while read(&[]) == 0 {
        assert!(monotonic_ns() < until, "nothing is captured");
        send("239.77.0.1:26399", &["--limit", "7"]);
    }
    // Frames of our own making, with and without a tag: here the checksums are ours too.
    send("239.77.0.1:26400", &[]);
    send("239.77.0.1:26400", &["--vlan", "141"]);
    // 2,000 messages are 286 packets of seven; three heartbeats come before them, three ends of
    // session behind; all that twice.
    while read(&["-Y", "udp.port == 26400"]) < 2 * 292 {
        assert!(monotonic_ns() < until, "{} packets captured", read(&[]));
        std::thread::yield_now();
    }
    shark.signal(libc::SIGINT);
    shark
        .wait(Duration::from_secs(10), &NEVER)
        .expect("it ends");
    let strict = [
        "-o",
        "udp.check_checksum:TRUE",
        "-o",
        "ip.check_checksum:TRUE",
    ];
    let decode = ["-d", "udp.port==26400,moldudp64"];
    let count = |filter: &str| {
        let filter = format!("udp.port == 26400 && ({filter})");
        read(&[&strict[..], &decode[..], &["-Y", &filter]].concat())
    };
    assert_eq!(count("moldudp64"), 2 * 292);
    assert_eq!(count("udp.checksum.status == \"Good\""), 2 * 292);
    assert_eq!(count("ip.checksum.status == \"Good\""), 2 * 292);
    assert_eq!(count("vlan"), 292);
    assert_eq!(count("_ws.malformed || _ws.expert.severity >= 6291456"), 0);
}
