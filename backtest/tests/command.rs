//! `tickgate-backtest` as a script meets it.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};

use flate2::Compression;
use flate2::write::GzEncoder;
use parquet::file::reader::{FileReader, SerializedFileReader};
use protocol::itch::{Head, SystemEvent};
use protocol::types::Nanos;
use serde_json::Value;
use zerocopy::IntoBytes;

fn backtest(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tickgate-backtest"));
    command.args(arguments).output().expect("it runs")
}

fn outcome(file: &Path, arguments: &[&str]) -> (Value, String) {
    let shown = file.to_str().expect("plain");
    let output = backtest(&[arguments, &["--json", shown]].concat());
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    let text = std::fs::read_to_string(file).expect("written");
    let value = serde_json::from_str(&text).expect("JSON");
    (value, String::from_utf8(output.stdout).expect("text"))
}

/// The symbols that have traded.
fn symbols(outcome: &Value) -> Vec<&str> {
    let fills = outcome["fills"].as_array().expect("a list");
    let symbols: BTreeSet<&str> = fills
        .iter()
        .filter_map(|it| it["symbol"].as_str())
        .collect();
    symbols.into_iter().collect()
}

/// The hash of 20,000 messages of seed 1. Whatever changes what the market, the gateway or the quoter does may change it.
const PINNED: &str = "614b51c443b0756e";
/// Those of the agents' market.
const EIGHT: [&str; 8] = [
    "AAAA", "AAAB", "AAAC", "AAAD", "AAAE", "AAAF", "AAAG", "AAAH",
];

const CONFIGURATION: &str = r#"
[feed.sim]
receive = "udp"
lines = [{ address = "127.0.0.1:26477", interface = "lo" }]

[session.ouch]
address = "127.0.0.1:12000"
username = "demo"
password = "demo"

[session.ouch.risk]
order_qty_max = 100
notional_max_dollars = 1000000
collar_bps = 1000
position_max = 100000
open_orders_max = 100
orders_per_second_max = 100000
gross_exposure_max_dollars = 100000000
net_exposure_max_dollars = 100000000
loss_max_dollars = 10000000

[strategy.few]
kind = "quoter"
feed = "sim"
session = "ouch"
symbols = ["AAAA", "AAAB"]

[strategy.one]
kind = "quoter"
feed = "sim"
session = "ouch"
symbols = ["AAAC"]
parameters = { qty = 50 }
"#;

#[test]
fn seed_has_the_same_outcome_each_time_and_the_quoter_trades_each_of_its_symbols() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("outcome.json");
    let of = |seed| outcome(&file, &["--seed", seed, "--messages", "20000"]);
    let (first, text) = of("1");
    assert_eq!(first, of("1").0);
    // Every machine has this one: no clock, no CPU and no order of memory decides what a run comes to.
    assert_eq!(first["hash"], PINNED);
    assert_ne!(first["hash"], of("2").0["hash"]);
    assert_eq!(symbols(&first), EIGHT);
    assert!(
        text.contains(first["hash"].as_str().expect("text")),
        "{text}"
    );
}

#[test]
fn orders_and_fills_are_rows_of_parquet_files_and_symbols_have_their_places() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, out) = (
        folder.path().join("outcome.json"),
        folder.path().join("out"),
    );
    let shown = out.to_str().expect("plain");
    let arguments = ["--seed", "1", "--messages", "20000", "--parquet", shown];
    let (outcome, text) = outcome(&file, &arguments);
    assert!(text.contains("orders that rested"), "{text}");

    let fills = rows(&out.join("fills.parquet"));
    let told = outcome["fills"].as_array().expect("a list");
    let of_json = told.iter().map(|it| {
        let names = ["symbol", "side", "shares", "heard_ns"];
        names.map(|name| it[name].to_string().trim_matches('"').to_owned())
    });
    let of_file = fills
        .iter()
        .map(|it| ["symbol", "side", "shares", "heard_ns"].map(|name| it[name].clone()));
    assert!(of_file.eq(of_json), "{fills:?}");

    let orders = rows(&out.join("orders.parquet"));
    let count = |name: &str| outcome[name].as_u64().expect("a number");
    assert_eq!(orders.len() as u64, count("accepted") + count("replaced"));
    let number = |text: &str| text.parse::<u64>().expect("a number");
    let filled: u64 = orders.iter().map(|it| number(&it["filled"])).sum();
    let shares: u64 = fills.iter().map(|it| number(&it["shares"])).sum();
    assert_eq!(filled, shares);
    let queues = outcome["queues"].as_array().expect("a list");
    assert_eq!(queues.len(), EIGHT.len());
    let total = |name: &str| -> u64 { queues.iter().filter_map(|it| it[name].as_u64()).sum() };
    let with = |name: &str| orders.iter().filter(|it| it.contains_key(name)).count() as u64;
    assert_eq!(total("rested"), with("ahead_first"));
    assert_eq!(total("left"), with("ahead_last"));
    assert!(total("filled") > 0);

    let again = backtest(&arguments);
    assert_eq!(again.status.code(), Some(1), "what is there stays");
    let said = String::from_utf8_lossy(&again.stdout);
    assert_eq!(said, "", "it ran before it refused");
}

type Row = std::collections::BTreeMap<String, String>;

/// Rows of a file; a cell without a value is left out.
fn rows(file: &Path) -> Vec<Row> {
    let file = std::fs::File::open(file).expect("it is there");
    let reader = SerializedFileReader::new(file).expect("Parquet");
    let rows = reader.get_row_iter(None).expect("rows");
    let rows = rows.map(|row| {
        let row = row.expect("a row");
        let cells = row.get_column_iter();
        let cells = cells.map(|(name, cell)| {
            let text = cell.to_string();
            (name.clone(), text.trim_matches('"').to_owned())
        });
        cells.filter(|(_, text)| text != "null").collect()
    });
    rows.collect()
}

#[test]
fn configuration_decides_strategies_symbols_and_limits() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("tickgate.toml");
    std::fs::write(&config, CONFIGURATION).expect("written");
    let config = config.to_str().expect("plain");
    let file = folder.path().join("outcome.json");
    let market = ["--seed", "1", "--messages", "20000", "--config", config];
    let (traded, _) = outcome(&file, &market);
    assert_eq!(symbols(&traded), EIGHT[..3]);

    let tight = ["--set", "session.ouch.risk.order_qty_max=70"];
    let (refused, _) = outcome(&file, &[&market[..], &tight].concat());
    assert!(
        refused["refused"]["OrderQty"].as_u64() > Some(0),
        "{}",
        refused["refused"]
    );
    assert!(
        refused["accepted"].as_u64() > Some(0),
        "50 shares are allowed"
    );
}

#[test]
fn file_that_is_no_day_or_only_half_of_one_is_told_with_its_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("some.file");
    let refused = |bytes: &[u8]| {
        std::fs::write(&path, bytes).expect("written");
        let output = backtest(&[path.to_str().expect("plain")]);
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let pcap: &[u8] = &[0xD4, 0xC3, 0xB2, 0xA1, 2, 0, 4, 0];
    for other in [&[][..], &[0], &[0, 0], pcap] {
        let said = refused(other);
        assert!(said.contains("some.file: begins with"), "{said}");
        assert!(said.contains("expected BinaryFILE of ITCH 5.0"), "{said}");
    }

    let head = Head::new(SystemEvent::KIND, 0, Nanos(34_200_000_000_000));
    let message = SystemEvent { head, event: b'Q' };
    let mut gzip = GzEncoder::new(Vec::new(), Compression::none());
    for _ in 0..1_000 {
        gzip.write_all(&[0, 12]).expect("packed");
        gzip.write_all(message.as_bytes()).expect("packed");
    }
    let packed = gzip.finish().expect("packed");
    let said = refused(&packed[..packed.len() / 2]);
    assert!(said.contains("ends inside message"), "{said}");
}

#[test]
fn wrong_usage_is_told_apart_from_a_run_that_fails() {
    let code = |arguments: &[&str]| backtest(arguments).status.code();
    assert_eq!(code(&[]), Some(2));
    assert_eq!(code(&["day", "--seed", "1"]), Some(2));
    assert_eq!(code(&["--seed", "1", "--latency", "soon"]), Some(2));
    assert_eq!(code(&["--seed", "1", "--config", "/nowhere.toml"]), Some(2));
    assert_eq!(code(&["/nowhere.gz"]), Some(1));
}
