//! A day that was traded is replayed: every decision again, bit for bit, or the first that differs.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]
#![allow(clippy::too_many_lines, reason = "a scenario reads from top to bottom")]

mod desk;
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use desk::{Day, Desk, NEVER, account_at_exchange, ctl, start_gateway, start_sim_with, until};
use gateway::journal::files::list;
use gateway::journal::format::{self, Kind};
use gateway::journal::head;
use gateway::journal::reader::Reader;
use lab::netns::{Lab, Side};
use lab::process::{Process, sibling};
use serde_json::Value;
use support::{is_root, stderr};

/// A user's own build of the gateway: its strategy goes by timers.
const PROGRAM: &str = "market-maker";

fn config(desk: &Desk) -> String {
    for folder in ["state", "captures"] {
        fs::create_dir_all(desk.path(folder)).expect("a folder");
    }
    format!(
        "[host]\nstate_dir = \"{}\"\nlock_memory = false\n[layout]\nkind = \"inline\"\n\
         [journal]\nreplayable = true\nfile_mib = 1\n[control]\nsocket = \"{}\"\n[telemetry]\ntable = false\n\
         [feed.itch]\nlines = [{{ address = \"239.77.0.1:26400\", interface = \"feed0\" }}]\nstale_ms = 300\n\
         [feed.itch.books]\norders_max = 65536\nlevels_max = 4096\n\
         [feed.itch.capture]\nframes = \"all\"\nfolder = \"{}\"\n\
         [session.ouch]\naddress = \"10.77.2.1:12000\"\nusername = \"demo\"\npassword = \"demo\"\n\
         [session.ouch.risk]\norder_qty_max = 10000\nnotional_max_dollars = 10000000\ncollar_bps = 500\n\
         gross_exposure_max_dollars = 1000000000\nnet_exposure_max_dollars = 1000000000\n\
         loss_max_dollars = 1000000000\nposition_max = 1000000\nopen_orders_max = 1000\n\
         orders_per_second_max = 100000\nrejects_max = 100000\ntrading_hours = \"00:00-23:59\"\ntime_zone = \"UTC\"\n\
         [strategy.quotes]\nkind = \"quoter\"\nfeed = \"itch\"\nsession = \"ouch\"\n\
         [strategy.makes]\nkind = \"market-maker\"\nfeed = \"itch\"\nsession = \"ouch\"\n\
         [strategy.makes.parameters]\nsymbol = \"AAAC\"\n\
         [strategy.probes]\nkind = \"probe\"\nparameters = {{ every = 11, takes = true }}\nfeed = \"itch\"\nsession = \"ouch\"\n",
        desk.path("state").display(),
        desk.path("gateway.sock").display(),
        desk.path("captures").display(),
    )
}

fn start_exchange(lab: &Lab, desk: &Desk) -> Process {
    let config = format!(
        "control = \"{}\"\naddress = \"10.77.2.1:12000\"\nsession = \"DAY1\"\nstore = \"{}\"\nfill_every = 7\n\
         [account.demo]\npassword = \"demo\"\n",
        desk.path("control").display(),
        desk.path("store").display()
    );
    start_sim_with(lab, desk, &config)
}

fn start(lab: &Lab, config: &Path) -> Process {
    let mut command = lab.command(Side::Gateway, &sibling(PROGRAM).expect("built"));
    command
        .args(["run", "--config"])
        .arg(config)
        .stdout(Stdio::null());
    start_gateway(command)
}

fn end(mut process: Process, signal: i32) {
    process.signal(signal);
    let ended_well = process
        .wait(Duration::from_secs(10), &NEVER)
        .expect("it ends");
    assert!(ended_well || signal == libc::SIGKILL);
}

/// Orders that the exchange has taken.
fn taken(desk: &Desk) -> u64 {
    let account = account_at_exchange(desk, "demo").expect("it answers");
    account["orders_accepted"].as_u64().expect("a number")
}

/// More orders are taken than now.
fn trades_on(desk: &Desk) {
    let before = taken(desk);
    until("orders", || (taken(desk) > before + 20).then_some(()));
}

fn told(desk: &Desk, arguments: &[&str]) {
    let output = ctl(&desk.path("gateway.sock"), arguments);
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        stderr(&output)
    );
}

fn replay(config: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(sibling(PROGRAM).expect("built"));
    command.args(["replay", "--config"]).arg(config).args(more);
    command.output().expect("it starts")
}

/// What a replay says, and its status.
fn replayed(config: &Path, more: &[&str]) -> (Value, i32) {
    let output = replay(config, &[&["--json"], more].concat());
    let said = serde_json::from_slice(&output.stdout);
    let said = said.unwrap_or_else(|_| panic!("{}", stderr(&output)));
    (said, output.status.code().expect("it ends"))
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for file in list(from).expect("journals") {
        fs::copy(&file, to.join(file.file_name().expect("a name"))).expect("copied");
    }
}

/// Changes the price of a sent order in a copy of the newest run's journal, under a checksum that holds; the record's number.
fn plant(folder: &Path) -> u64 {
    let files = list(folder).expect("journals");
    let path = files.last().expect("one");
    let bytes = fs::read(path).expect("it is there");
    let head = head::decode(&bytes).expect("a head");
    let mut reader = Reader::new(&bytes[..]).expect("a head");
    let mut written = bytes[..head.bytes].to_vec();
    let mut planted = None;
    while let Some(record) = reader.next_record().expect("whole") {
        let mut payload = record.payload.to_vec();
        if planted.is_none() && record.kind == Kind::Sent {
            // Behind three times, the strategy's number and the order's: `gateway::journal` draws it.
            payload[32] ^= 1;
            planted = Some(record.header.sequence.get());
        }
        format::encode(head.salt, record.header, &payload, &mut written);
    }
    assert_eq!(written.len(), bytes.len());
    fs::write(path, written).expect("written");
    planted.expect("an order")
}

/// Runs in a folder, by the times at which they began.
fn first_of_runs(folder: &Path) -> Vec<PathBuf> {
    let files = list(folder).expect("journals").into_iter();
    let parts = files.filter(|file| {
        let bytes = fs::read(file).expect("it is there");
        head::decode(&bytes).expect("a head").part == 0
    });
    parts.collect()
}

#[test]
fn day_of_fills_kills_commands_and_a_lost_exchange_is_made_again_bit_for_bit_and_a_planted_change_is_found()
 {
    if !is_root() {
        return;
    }
    let (lab, desk) = (Lab::new().expect("a lab"), Desk::new());
    let file = desk.write("tickgate.toml", &config(&desk));
    let day = |seed| Day {
        line: "239.77.0.1:26400",
        seed,
        messages: 400_000,
        rate: "4000",
        cpu: None,
    };

    let sim = start_exchange(&lab, &desk);
    let gateway = start(&lab, &file);
    let sender = day(5).send(&lab, &desk);
    trades_on(&desk);
    // What a killed run leaves is what the next one begins with.
    end(gateway, libc::SIGKILL);
    drop(sender);

    let gateway = start(&lab, &file);
    let sender = day(6).send(&lab, &desk);
    trades_on(&desk);
    told(&desk, &["limits", "set", "order_qty_max=99"]);
    told(
        &desk,
        &["limits", "set", "order_qty_max=9000", "--confirm", "2"],
    );
    trades_on(&desk);
    told(&desk, &["pause", "quotes"]);
    told(&desk, &["cancel", "all"]);
    told(&desk, &["unpause", "quotes"]);
    trades_on(&desk);
    told(&desk, &["kill", "--reason", "lunch"]);
    told(&desk, &["resume", "--yes-resume", "all"]);
    trades_on(&desk);
    end(sim, libc::SIGKILL);
    let sim = start_exchange(&lab, &desk);
    trades_on(&desk);
    end(gateway, libc::SIGTERM);
    drop(sender);
    end(sim, libc::SIGTERM);
    drop(lab);

    let journal = desk.path("state").join("journal");
    let (said, status) = replayed(&file, &[]);
    assert_eq!(
        (said["outcome"].as_str(), status),
        (Some("identical"), 0),
        "{said:#}"
    );
    let count = |name: &str| said["counts"][name].as_u64().expect("a number");
    // A session connects twice to open: once for the end of the past. Then again when the exchange was gone.
    assert!(count("connections") >= 4, "{said:#}");
    assert_eq!(count("commands"), 5, "{said:#}");
    assert_eq!(count("turns_of_the_kill_switch"), 2, "{said:#}");
    for name in [
        "orders", "replaces", "cancels", "refusals", "packets", "turns",
    ] {
        assert!(count(name) > 0, "{name}: {said:#}");
    }
    assert_eq!(said["has_ended"], true);

    // The run before it was killed with frames in memory: that is said, and nothing is called identical or different.
    let runs = first_of_runs(&journal);
    assert_eq!(runs.len(), 2, "{runs:?}");
    let (said, status) = replayed(&file, &["--journal", runs[0].to_str().expect("text")]);
    assert_eq!(
        (said["outcome"].as_str(), status),
        (Some("incomplete"), 1),
        "{said:#}"
    );
    assert_eq!(said["has_ended"], false);

    // One bit of one price, under a checksum that holds.
    let planted = desk.path("planted");
    copy(&journal, &planted);
    let record = plant(&planted);
    let (said, status) = replayed(&file, &["--journal", planted.to_str().expect("text")]);
    let difference = &said["difference"];
    assert_eq!(
        (
            said["outcome"].as_str(),
            status,
            difference["record"].as_u64()
        ),
        (Some("different"), 1, Some(record)),
        "{said:#}"
    );
    assert_eq!(difference["journal"]["kind"], "sent");
    assert_eq!(difference["replay"]["kind"], "sent");
    let events = difference["events"].as_array().expect("a list");
    assert!(!events.is_empty(), "{said:#}");

    // A strategy that wants something else is found at its first order.
    let other = ["--set", "strategy.quotes.parameters={ half_spread = 300 }"];
    let output = replay(&file, &other);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let tells = [
        "different: record ",
        "the journal has: ",
        "the replay made: ",
        "strategy=quotes",
    ];
    for tell in tells {
        assert!(text.contains(tell), "{tell}: {text}");
    }

    // Captures of another run are none of this one.
    let captures = fs::read_dir(desk.path("captures")).expect("a folder");
    let mut captures: Vec<PathBuf> = captures.map(|it| it.expect("an entry").path()).collect();
    captures.sort();
    let first = captures.first().expect("a capture").to_str().expect("text");
    let (said, status) = replayed(&file, &["--capture", first]);
    assert_eq!(
        (said["outcome"].as_str(), status),
        (Some("incomplete"), 1),
        "{said:#}"
    );
    let why = said["why"].as_str().expect("text");
    assert!(why.contains("capture lacks packets"), "{why}");

    // What cannot be replayed is refused before it runs.
    let refused = replay(&file, &["--set", "layout.kind=\"pipeline\""]);
    let text = stderr(&refused);
    assert_eq!(refused.status.code(), Some(2), "{text}");
    assert!(
        text.contains("layout.kind") && text.contains("journal.replayable"),
        "{text}"
    );
}
