//! Journals become Parquet files: what their readers find, order by order, whatever the runs were like.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]
#![allow(clippy::too_many_lines, reason = "a scenario reads from top to bottom")]

mod support;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Output;

use gateway::journal::format::{self, ACCEPTED, BY_TIMER, Header, IntentRecord, Kind, SELL};
use gateway::journal::head::{self, Began, Names, SessionNames};
use gateway::message::intent::Action;
use gateway::order::risk::Refusal;
use parquet::file::reader::{FileReader, SerializedFileReader};
use protocol::ouch::{
    AiqCanceled, BrokenTrade, CancelOrder, CancelReject, Canceled, Element, EnterOrder, Executed,
    Modified, OrderAccepted, OrderReplaced, PRICE_MARKET, Rejected, ReplaceOrder,
};
use protocol::soup::{self, kind::UNSEQUENCED};
use protocol::types::{MatchNumber, Price4, Qty, Symbol, UserRefNum};
use serde_json::json;
use zerocopy::byteorder::little_endian::{U16, U32, U64};
use zerocopy::{FromZeros, IntoBytes};

/// When the first run begins, ns since 1970 and on its own clock.
const BEGAN: Began = Began {
    realtime_ns: 1_700_000_000_000_000_000,
    monotonic_ns: 1_000,
};
const SYMBOL: Symbol = Symbol(*b"ALC     ");

/// A journal that is being written.
struct Journal {
    bytes: Vec<u8>,
    began: Began,
    sequence: u64,
    /// Records lost before the next one.
    lost: u32,
    now_ns: u64,
}

impl Journal {
    /// Of the run with this number, each a second after the one before.
    fn new(run: u64) -> Self {
        let session = SessionNames {
            name: "ouch".to_owned(),
            username: "desk1".to_owned(),
            strategies: vec!["quotes".to_owned(), "takes".to_owned()],
            next: 1,
            ..SessionNames::default()
        };
        let names = Names {
            host: format!("trade{run}"),
            ..Names::new(vec![session], vec!["itch".to_owned()])
        };
        let began = Began {
            realtime_ns: BEGAN.realtime_ns + run * 1_000_000_000,
            monotonic_ns: 1_000,
        };
        let mut journal = Self {
            bytes: head::encode(began, 0, &names),
            began,
            sequence: 0,
            lost: 0,
            now_ns: 1_000,
        };
        let mut login = 1u64.to_le_bytes().to_vec();
        login.extend(b"DAY1      ");
        journal.record(Kind::LoggedIn, 0, &login);
        journal
    }

    fn record(&mut self, kind: Kind, detail: u8, payload: &[u8]) {
        self.sequence += 1;
        self.now_ns += 100;
        let header = Header {
            sequence: U64::new(self.sequence),
            time_ns: U64::new(self.now_ns),
            lost: U32::new(std::mem::take(&mut self.lost)),
            kind: kind as u8,
            detail: [detail, 0],
            ..Header::default()
        };
        format::encode(self.began.salt(), header, payload, &mut self.bytes);
    }

    /// The next record says that as many before it were lost.
    fn lost(&mut self, records: u32) {
        self.lost = records;
        self.sequence += u64::from(records);
    }

    fn intent(&self, action: Action, id: u32, number: u32) -> IntentRecord {
        IntentRecord {
            decided_ns: U64::new(self.now_ns + 90),
            seen_ns: U64::new(self.now_ns + 70),
            seq: U64::new(77),
            id: U32::new(id),
            user_ref: U32::new(number),
            price: U32::new(12_3400),
            qty: U32::new(100),
            locate: U16::new(3),
            flags: action as u8 | SELL,
            refusal: ACCEPTED,
            ..IntentRecord::default()
        }
    }

    fn sent(&mut self, intent: &IntentRecord, encode: impl Fn(&mut [u8]) -> Option<usize>) {
        let mut packet = [0; 256];
        let len = soup::frame(UNSEQUENCED, &mut packet, encode).expect("it fits");
        let payload = [intent.as_bytes(), &packet[..len]].concat();
        self.record(Kind::Sent, 0, &payload);
    }

    fn enter(&mut self, id: u32, number: u32) {
        self.enter_with(id, number, &[]);
    }

    fn enter_with(&mut self, id: u32, number: u32, appendage: &[u8]) {
        let mut order = EnterOrder::new_zeroed();
        order.kind = EnterOrder::KIND;
        order.user_ref = UserRefNum(number).into();
        order.side = b'S';
        order.qty = Qty(100).into();
        order.symbol = SYMBOL;
        order.price = Price4(12_3400).into();
        order.time_in_force = b'0';
        order.display = b'Y';
        let intent = self.intent(Action::Enter, id, number);
        self.sent(&intent, |body| order.encode(appendage, body));
    }

    fn replace(&mut self, id: u32, before: u32, now: u32, shares: u32) {
        let mut order = ReplaceOrder::new_zeroed();
        order.kind = ReplaceOrder::KIND;
        order.original_user_ref = UserRefNum(before).into();
        order.user_ref = UserRefNum(now).into();
        order.price = Price4(12_3500).into();
        order.time_in_force = b'0';
        order.display = b'Y';
        let mut intent = self.intent(Action::Replace, id, before);
        intent.qty = U32::new(shares);
        self.sent(&intent, |body| order.encode(&[], body));
    }

    fn cancel(&mut self, action: Action, id: u32, number: u32) {
        let mut order = CancelOrder::new_zeroed();
        order.kind = CancelOrder::KIND;
        order.user_ref = UserRefNum(number).into();
        let intent = self.intent(action, id, number);
        self.sent(&intent, |body| order.encode(&[], body));
    }

    fn refuse(&mut self, action: Action, id: u32, refusal: Refusal) {
        let mut intent = self.intent(action, id, 0);
        intent.refusal = refusal as u8;
        intent.flags |= BY_TIMER;
        intent.price = U32::new(PRICE_MARKET.0);
        self.record(Kind::Refused, 0, intent.as_bytes());
    }

    fn heard(&mut self, seq: u64, message: &[u8]) {
        self.heard_as(seq, message, false);
    }

    fn heard_as(&mut self, seq: u64, message: &[u8], is_past: bool) {
        let payload = [&seq.to_le_bytes(), message].concat();
        self.record(Kind::Heard, u8::from(is_past), &payload);
    }

    /// Writes it as the file of this run.
    fn write(&self, folder: &Path, run: u64) -> PathBuf {
        let path = folder.join(format!("journal-{run}.tgj"));
        std::fs::write(&path, &self.bytes).expect("a folder");
        path
    }
}

/// A message of the exchange, with what differs set.
macro_rules! message {
    ($kind:ident, $number:expr, $($field:ident: $value:expr),*) => {{
        let mut message = $kind::new_zeroed();
        message.kind = $kind::KIND;
        message.user_ref = UserRefNum($number).into();
        $(message.$field = $value;)*
        let mut bytes = vec![0; 128];
        let len = message.encode(&[], &mut bytes).expect("it fits");
        bytes.truncate(len);
        bytes
    }};
}

fn accepted(number: u32, shares: u32) -> Vec<u8> {
    message!(OrderAccepted, number, side: b'S', qty: Qty(shares).into(), symbol: SYMBOL,
        price: Price4(12_3400).into(), time_in_force: b'0', display: b'Y', state: b'L')
}

fn replaced(before: u32, now: u32, shares: u32) -> Vec<u8> {
    message!(OrderReplaced, now, original_user_ref: UserRefNum(before).into(), side: b'S', qty: Qty(shares).into(),
        symbol: SYMBOL, price: Price4(12_3500).into(), time_in_force: b'0', display: b'Y', state: b'L')
}

fn executed(number: u32, shares: u32, trade: u64) -> Vec<u8> {
    message!(Executed, number, qty: Qty(shares).into(), price: Price4(12_3400).into(),
        liquidity: b'R', match_number: MatchNumber(trade).into())
}

fn canceled(number: u32, shares: u32) -> Vec<u8> {
    message!(Canceled, number, qty: Qty(shares).into(), reason: b'U')
}

/// What a reader finds in a row; what is null is left out.
type Row = BTreeMap<String, String>;

fn rows(folder: &Path, name: &str) -> Vec<Row> {
    let file = File::open(folder.join(name)).expect("it is there");
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

fn export(path: &Path, out: &Path) -> Output {
    let (path, out) = (path.to_str().expect("text"), out.to_str().expect("text"));
    support::tool("tickgate", &["journal", path, "--parquet", out])
}

struct Exported {
    orders: Vec<Row>,
    fills: Vec<Row>,
    latencies: Vec<Row>,
}

/// What journals become, the oldest first.
fn exported(journals: &[Journal]) -> Exported {
    let folder = tempfile::tempdir().expect("a folder");
    for (run, journal) in (0..).zip(journals) {
        journal.write(folder.path(), run);
    }
    let out = folder.path().join("out");
    let output = export(folder.path(), &out);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    Exported {
        orders: rows(&out, "orders.parquet"),
        fills: rows(&out, "fills.parquet"),
        latencies: rows(&out, "latencies.parquet"),
    }
}

fn of<'a>(row: &'a Row, names: &[&str]) -> Vec<&'a str> {
    let cells = names.iter().map(|name| row.get(*name));
    cells.map(|cell| cell.map_or("", String::as_str)).collect()
}

#[test]
fn order_is_a_row_with_its_terms_its_times_and_its_end() {
    let mut journal = Journal::new(0);
    let mut appendage = Vec::new();
    for element in [
        Element::MaxFloor(Qty(20)),
        Element::PriceType(b'M'),
        Element::PostOnly(b'P'),
    ] {
        let mut bytes = [0; 16];
        let len = element.encode(&mut bytes).expect("it fits");
        appendage.extend(&bytes[..len]);
    }
    journal.enter_with(5, 7, &appendage);
    journal.heard(1, &accepted(7, 100));
    journal.heard(2, &executed(7, 30, 900));
    journal.cancel(Action::Cancel, 5, 7);
    journal.heard(3, &canceled(7, 70));
    let Exported {
        orders,
        fills,
        latencies,
    } = exported(&[journal]);
    assert_eq!((orders.len(), fills.len(), latencies.len()), (1, 1, 2));
    let expected = [
        ("host", "trade0"),
        ("session", "ouch"),
        ("username", "desk1"),
        ("exchange_session", "DAY1"),
        ("strategy", "quotes"),
        ("order_id", "5"),
        ("user_ref", "7"),
        ("symbol", "ALC"),
        ("feed", "itch"),
        ("locate", "3"),
        ("side", "sell"),
        ("is_short", "false"),
        ("shares", "100"),
        ("price", "12.3400"),
        ("time_in_force", "day"),
        ("display", "shown"),
        ("shares_shown", "20"),
        ("is_post_only", "true"),
        ("is_midpoint", "true"),
        ("outcome", "canceled"),
        ("reason", "U"),
        ("filled", "30"),
        ("canceled", "70"),
        ("seen_at", "1700000000000000170"),
        ("decided_at", "1700000000000000190"),
        ("sent_at", "1700000000000000200"),
        ("accepted_at", "1700000000000000300"),
        ("first_fill_at", "1700000000000000400"),
        ("ended_at", "1700000000000000600"),
    ];
    let expected = expected.map(|(name, text)| (name.to_owned(), text.to_owned()));
    assert_eq!(orders[0], expected.into());
    let about = [
        "what",
        "seq",
        "user_ref",
        "shares",
        "price",
        "match_number",
        "liquidity",
        "heard_at",
        "host",
    ];
    let expected = [
        "fill",
        "2",
        "7",
        "30",
        "12.3400",
        "900",
        "R",
        "1700000000000000400",
        "trade0",
    ];
    assert_eq!(of(&fills[0], &about), expected);
    let about = ["action", "cause", "market_seq", "answer", "is_past"];
    let took = [
        "seen_to_decided_ns",
        "decided_to_sent_ns",
        "sent_to_answered_ns",
    ];
    assert_eq!(
        of(&latencies[0], &about),
        ["enter", "market", "77", "accepted", "false"]
    );
    assert_eq!(of(&latencies[0], &took), ["20", "10", "100"]);
    assert_eq!(
        of(&latencies[1], &about),
        ["cancel", "market", "77", "canceled", "false"]
    );
}

/// Outcome, reason and numbers of each order, by its number, and then those without one.
fn ends(orders: &[Row]) -> Vec<String> {
    let about = [
        "user_ref",
        "outcome",
        "reason",
        "shares",
        "filled",
        "canceled",
        "replaces",
        "replaced_by",
    ];
    let mut ends: Vec<String> = orders.iter().map(|row| of(row, &about).join("|")).collect();
    ends.sort();
    ends
}

fn answers(latencies: &[Row]) -> Vec<String> {
    let about = ["user_ref", "action", "answer", "reason"];
    let mut answers: Vec<String> = latencies
        .iter()
        .map(|row| of(row, &about).join("|"))
        .collect();
    answers.sort();
    answers
}

#[test]
fn every_end_that_an_order_can_have_has_its_word() {
    let mut journal = Journal::new(0);
    let mut seq = 0;
    let mut hear = |journal: &mut Journal, message: &[u8]| {
        seq += 1;
        journal.heard(seq, message);
    };
    for number in 11..=19 {
        journal.enter(number, number);
    }
    for number in 11..=17 {
        hear(&mut journal, &accepted(number, 100));
    }
    hear(&mut journal, &executed(11, 100, 1));
    hear(&mut journal, &message!(Rejected, 18, reason: 0x07.into()));
    // Replaced, and the replacement replaced again; the second is refused.
    journal.replace(12, 12, 20, 60);
    hear(&mut journal, &replaced(12, 20, 60));
    journal.replace(12, 20, 21, 50);
    hear(&mut journal, &message!(Rejected, 21, reason: 0x0F.into()));
    // A replace, and a cancel behind it, that find the order executed.
    journal.replace(13, 13, 22, 50);
    journal.cancel(Action::Cancel, 13, 22);
    hear(&mut journal, &executed(13, 100, 2));
    // The same, cancelled by the exchange.
    journal.replace(14, 14, 23, 50);
    journal.cancel(Action::Cancel, 14, 23);
    let qty = Qty(100).into();
    hear(
        &mut journal,
        &message!(AiqCanceled, 14, qty: qty, reason: b'Q'),
    );
    // A partial cancel, and one of all that is refused.
    journal.cancel(Action::Reduce, 15, 15);
    hear(&mut journal, &canceled(15, 60));
    journal.cancel(Action::Cancel, 15, 15);
    hear(&mut journal, &message!(CancelReject, 15,));
    // Made smaller, then nothing is left.
    hear(
        &mut journal,
        &message!(Modified, 16, side: b'S', qty: Qty(40).into()),
    );
    hear(&mut journal, &executed(16, 40, 3));
    // Dead as it is accepted.
    journal.enter(24, 24);
    hear(
        &mut journal,
        &message!(OrderAccepted, 24, side: b'T', qty: Qty(100).into(), symbol: SYMBOL,
        price: PRICE_MARKET.into(), state: b'D'),
    );
    journal.refuse(Action::Enter, 25, Refusal::Position);
    journal.refuse(Action::Replace, 20, Refusal::OrderQty);
    let Exported {
        orders, latencies, ..
    } = exported(&[journal]);
    assert_eq!(
        ends(&orders),
        [
            "11|filled||100|100|0||",
            "12|replaced||100|0|0||20",
            "13|filled||100|100|0||",
            "14|canceled|Q|100|0|100||",
            "15|open|U|100|0|60||",
            "16|canceled||100|40|60||",
            "17|open||100|0|0||",
            "18|rejected|halted|100|0|0||",
            "19|unanswered||100|0|0||",
            "20|open||60|0|0|12|",
            "21|rejected|other|50|0|0|20|",
            "22|too_late||50|0|0|13|",
            "23|too_late||50|0|0|14|",
            "24|canceled||100|0|100||",
            "|refused|refused_position|100|0|0||",
        ]
    );
    let refused = orders.iter().find(|row| row["outcome"] == "refused");
    let refused = refused.expect("a row");
    assert_eq!(
        of(refused, &["symbol", "price", "sent_at", "seen_at"]),
        ["ALC", "", "", ""],
        "the symbol as the order before it had it; the price of a market order, caused by a timer"
    );
    let dead = orders
        .iter()
        .find(|row| row.get("user_ref").is_some_and(|it| it == "24"));
    assert_eq!(
        of(dead.expect("a row"), &["is_short", "side", "price"]),
        ["true", "sell", ""]
    );
    assert_eq!(
        answers(&latencies),
        [
            "11|enter|accepted|",
            "12|enter|accepted|",
            "13|enter|accepted|",
            "14|enter|accepted|",
            "15|cancel|cancel_rejected|",
            "15|enter|accepted|",
            "15|reduce|canceled|",
            "16|enter|accepted|",
            "17|enter|accepted|",
            "18|enter|rejected|",
            "19|enter||",
            "20|replace|replaced|",
            "21|replace|rejected|",
            "22|cancel|too_late|",
            "22|replace|too_late|",
            "23|cancel|canceled|",
            "23|replace|too_late|",
            "24|enter|accepted|",
            "|enter|refused|refused_position",
            "|replace|refused|refused_order_qty",
        ]
    );
}

/// A partial cancel that leaves this number of shares open.
fn reduce(journal: &mut Journal, number: u32, shares: u32) {
    let mut intent = journal.intent(Action::Reduce, number, number);
    intent.qty = U32::new(shares);
    let mut order = CancelOrder::new_zeroed();
    order.kind = CancelOrder::KIND;
    order.user_ref = UserRefNum(number).into();
    order.qty = Qty(shares).into();
    journal.sent(&intent, |body| order.encode(&[], body));
}

#[test]
fn partial_cancel_to_which_the_exchange_is_silent_takes_no_others_answer() {
    let mut journal = Journal::new(0);
    let mut seq = 0;
    let mut hear = |journal: &mut Journal, message: &[u8]| {
        seq += 1;
        journal.heard(seq, message);
    };
    for number in [31, 32, 33] {
        journal.enter(number, number);
        hear(&mut journal, &accepted(number, 100));
    }
    // The exchange takes so much off by itself that nothing is left to do: it is silent. Then a cancel is answered.
    reduce(&mut journal, 31, 60);
    let unasked = message!(Canceled, 31, qty: Qty(50).into(), reason: b'D');
    hear(&mut journal, &unasked);
    journal.cancel(Action::Cancel, 31, 31);
    hear(&mut journal, &canceled(31, 50));
    // It makes the order smaller.
    reduce(&mut journal, 32, 60);
    let smaller = message!(Modified, 32, side: b'S', qty: Qty(40).into());
    hear(&mut journal, &smaller);
    journal.cancel(Action::Cancel, 32, 32);
    hear(&mut journal, &canceled(32, 40));
    // Not enough: the partial cancel is still to be answered.
    reduce(&mut journal, 33, 60);
    let unasked = message!(Canceled, 33, qty: Qty(10).into(), reason: b'D');
    hear(&mut journal, &unasked);
    hear(&mut journal, &canceled(33, 30));
    let Exported { latencies, .. } = exported(&[journal]);
    assert_eq!(
        answers(&latencies),
        [
            "31|cancel|canceled|",
            "31|enter|accepted|",
            "31|reduce|too_late|",
            "32|cancel|canceled|",
            "32|enter|accepted|",
            "32|reduce|too_late|",
            "33|enter|accepted|",
            "33|reduce|canceled|",
        ]
    );
}

#[test]
fn runs_that_are_read_in_another_order_make_one_row_of_an_order_and_say_so() {
    let mut first = Journal::new(0);
    let mut second = Journal::new(1);
    for number in [41, 42, 43] {
        first.enter(number, number);
        second.heard(u64::from(number) - 40, &accepted(number, 100));
    }
    second.heard(4, &executed(41, 100, 1));
    second.heard(5, &executed(42, 30, 2));
    first.replace(43, 43, 44, 50);
    second.heard(6, &replaced(43, 44, 50));
    let folder = tempfile::tempdir().expect("a folder");
    second.write(folder.path(), 0);
    first.write(folder.path(), 1);
    let out = folder.path().join("out");
    let output = export(folder.path(), &out);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("the clock was set back"), "{said}");
    let orders = rows(&out, "orders.parquet");
    assert_eq!(
        ends(&orders),
        [
            "41|filled||100|100|0||",
            "42|open||100|30|0||",
            "43|replaced||100|0|0||44",
            "44|open||50|0|0|43|",
        ]
    );
    let open = orders
        .iter()
        .find(|row| row.get("user_ref").is_some_and(|it| it == "42"));
    assert_eq!(
        of(open.expect("a row"), &["strategy", "order_id", "feed"]),
        ["quotes", "42", "itch"],
        "what is kept back is completed"
    );
}

/// What the exchange says in a day of orders that are executed in parts, replaced and cancelled.
fn day() -> Vec<Vec<u8>> {
    let mut said = Vec::new();
    for number in (100..160).step_by(3) {
        said.push(accepted(number, 100));
        said.push(executed(number, 30, u64::from(number) * 10));
        said.push(replaced(number, number + 1, 70));
        said.push(executed(number + 1, 20, u64::from(number) * 10 + 1));
        said.push(message!(BrokenTrade, number + 1, match_number: MatchNumber(u64::from(number) * 10 + 1).into()));
        said.push(canceled(number + 1, 50));
    }
    said
}

fn send_day(journal: &mut Journal) {
    for number in (100..160).step_by(3) {
        journal.enter(number, number);
        journal.replace(number, number, number + 1, 70);
    }
}

/// Without its times: runs differ in them.
fn timeless(rows: Vec<Row>) -> Vec<Row> {
    let mut rows: Vec<Row> = rows
        .into_iter()
        .map(|mut row| {
            row.retain(|name, _| {
                !name.ends_with("_at") && !name.ends_with("_ns") && name != "host"
            });
            row
        })
        .collect();
    rows.sort();
    rows
}

#[test]
fn however_the_day_is_spread_over_runs_each_order_and_fill_is_there_once() {
    let said = day();
    let mut whole = Journal::new(0);
    send_day(&mut whole);
    for (seq, message) in (1..).zip(&said) {
        whole.heard(seq, message);
    }
    let whole = exported(&[whole]);
    assert_eq!((whole.orders.len(), whole.fills.len()), (40, 60));
    let (orders, fills) = (timeless(whole.orders), timeless(whole.fills));
    let mut filled = BTreeMap::<String, u64>::new();
    for fill in fills.iter().filter(|fill| fill["what"] == "fill") {
        let shares: u64 = fill["shares"].parse().expect("a number");
        *filled.entry(fill["user_ref"].clone()).or_default() += shares;
    }
    for order in &orders {
        assert_eq!(
            filled[&order["user_ref"]].to_string(),
            order["filled"],
            "{order:?}"
        );
    }

    let mut random = fastrand::Rng::with_seed(7);
    for round in 0..20 {
        // A ring that is full loses messages in every other round; the next runs hear the past again, and a part more.
        let is_lossy = round % 2 == 0;
        let mut first = Journal::new(0);
        send_day(&mut first);
        let heard = random.usize(0..said.len());
        for (seq, message) in (1..).zip(&said[..heard]) {
            if !is_lossy || random.u8(0..10) > 0 {
                first.heard(seq, message);
            }
        }
        let mut runs = vec![first];
        for heard in [random.usize(0..said.len()), said.len()] {
            let mut run = Journal::new(runs.len() as u64);
            for (seq, message) in (1..).zip(&said[..heard]) {
                run.heard_as(seq, message, true);
            }
            runs.push(run);
        }
        let told = exported(&runs);
        let (told_orders, told_fills) = (timeless(told.orders), timeless(told.fills));
        if !is_lossy {
            assert_eq!((&told_orders, &told_fills), (&orders, &fills));
        }
        // What was lost is heard late: rows that went out before lack it, but there is none twice.
        let numbers = |rows: &[Row], name: &str| -> Vec<String> {
            let mut numbers: Vec<String> = rows.iter().map(|row| row[name].clone()).collect();
            numbers.sort();
            numbers
        };
        assert_eq!(
            numbers(&told_orders, "user_ref"),
            numbers(&orders, "user_ref")
        );
        assert_eq!(numbers(&told_fills, "seq"), numbers(&fills, "seq"));
    }
}

#[test]
fn what_lies_before_damage_is_written_and_the_status_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut journal = Journal::new(0);
    journal.enter(1, 1);
    journal.heard(1, &accepted(1, 100));
    let sound = journal.bytes.len();
    journal.heard(2, &executed(1, 100, 9));
    journal.heard(3, &accepted(2, 100));
    journal.bytes[sound + 40] ^= 1;
    let path = journal.write(folder.path(), 0);
    let out = folder.path().join("out");
    assert_eq!(export(&path, &out).status.code(), Some(1));
    let orders = rows(&out, "orders.parquet");
    assert_eq!(ends(&orders), ["1|open||100|0|0||"]);
    // A torn tail is what a run that goes on looks like.
    std::fs::write(&path, &journal.bytes[..sound + 20]).expect("a folder");
    let out = folder.path().join("torn");
    let output = export(&path, &out);
    assert_eq!(output.status.code(), Some(0));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.ends_with("1 orders, 0 fills, 1 latencies\n"), "{said}");
}

#[test]
fn what_can_be_proven_to_be_missing_makes_the_status_1_and_the_rest_is_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut journal = Journal::new(0);
    journal.enter(1, 1);
    journal.heard(1, &accepted(1, 100));
    journal.lost(3);
    journal.heard(5, &executed(1, 100, 9));
    let path = journal.write(folder.path(), 0);
    let out = folder.path().join("out");
    let output = export(&path, &out);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("session ouch: 3 records were lost"), "{said}");
    assert_eq!(
        ends(&rows(&out, "orders.parquet")),
        ["1|filled||100|100|0||"]
    );
    let path = path.to_str().expect("text");
    let output = support::tool("tickgate", &["journal", path, "--executions"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stdout.iter().filter(|it| **it == b'\n').count(), 1);
}

#[test]
fn session_name_that_the_exchange_uses_again_makes_the_status_1_and_says_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    for (run, trade) in [(0, 9), (1, 10)] {
        let mut journal = Journal::new(run);
        journal.heard(1, &accepted(1, 100));
        journal.heard(2, &executed(1, 100, trade));
        journal.write(folder.path(), run);
    }
    let out = folder.path().join("out");
    let output = export(folder.path(), &out);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    let expected = "session ouch: 1 messages of the exchange's session DAY1, number 2 the first";
    assert!(said.contains(expected), "{said}");
    assert_eq!(rows(&out, "fills.parquet").len(), 1);
}

#[test]
fn file_that_is_there_is_never_written_over_and_nothing_half_written_is_left() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = Journal::new(0).write(folder.path(), 0);
    let out = folder.path().join("out");
    std::fs::create_dir(&out).expect("a folder");
    std::fs::write(out.join("fills.parquet"), "mine").expect("a folder");
    let output = export(&path, &out);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("fills.parquet is there already"), "{said}");
    let left = |folder: &Path| {
        let names = std::fs::read_dir(folder).expect("a folder");
        let names = names.map(|entry| entry.expect("an entry").file_name());
        let mut names: Vec<_> = names
            .map(|name| name.to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    };
    assert_eq!(left(&out), ["fills.parquet"]);
    // A journal that cannot be read at all leaves nothing, and what a killed export left is in nobody's way.
    let out = folder.path().join("other");
    std::fs::create_dir(&out).expect("a folder");
    std::fs::write(out.join("orders.parquet.part"), "half").expect("a folder");
    assert_eq!(
        export(&folder.path().join("none.tgj"), &out).status.code(),
        Some(1)
    );
    assert_eq!(left(&out), Vec::<String>::new());
    assert_eq!(
        export(&out, &out).status.code(),
        Some(1),
        "no journal in it"
    );
    assert_eq!(left(&out), Vec::<String>::new());
    std::fs::write(out.join("orders.parquet.part"), "half").expect("a folder");
    assert!(export(&path, &out).status.success());
    assert_eq!(
        left(&out),
        ["fills.parquet", "latencies.parquet", "orders.parquet"]
    );
}

#[test]
fn many_orders_are_many_row_groups() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut journal = Journal::new(0);
    for id in 1..=70_000 {
        journal.refuse(Action::Enter, id, Refusal::Killed);
    }
    let path = journal.write(folder.path(), 0);
    let out = folder.path().join("out");
    assert!(export(&path, &out).status.success());
    let file = File::open(out.join("orders.parquet")).expect("it is there");
    let reader = SerializedFileReader::new(file).expect("Parquet");
    let groups = reader.metadata().row_groups().iter();
    let rows: Vec<i64> = groups.map(|group| group.num_rows()).collect();
    assert_eq!(rows, [65_536, 70_000 - 65_536]);
}

#[test]
fn duckdb_reads_them_and_answers_what_the_documents_ask() {
    let mut journal = Journal::new(0);
    send_day(&mut journal);
    for (seq, message) in (1..).zip(&day()) {
        journal.heard(seq, message);
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (path, out) = (journal.write(folder.path(), 0), folder.path().join("out"));
    assert!(export(&path, &out).status.success());
    let questions = support::documented_questions(&out);
    assert_eq!(questions.len(), 3);
    let Some(positions) = support::duckdb(&questions[0]) else {
        return;
    };
    // Twenty orders of which thirty shares stay sold, and twenty do not.
    assert_eq!(positions, json!([["ouch", "desk1", "ALC", -600]]));
    let sideless = support::duckdb(&questions[1]).expect("it was there");
    assert_eq!(sideless, json!([]));
    let latencies = support::duckdb(&questions[2]).expect("it was there");
    assert_eq!(latencies[0][0], "trade0");
    assert_eq!(latencies[0][2], 20);
    let question = format!(
        "SELECT typeof(price), typeof(shares), typeof(is_short), sum(price * shares)::VARCHAR, \
         starts_with(typeof(sent_at), 'TIMESTAMP'), bool_and(sent_at < accepted_at AND accepted_at < ended_at) \
         FROM '{}/orders.parquet' WHERE replaces IS NULL GROUP BY ALL",
        out.display()
    );
    let typed = support::duckdb(&question).expect("it was there");
    let expected = json!([[
        "DECIMAL(18,4)",
        "BIGINT",
        "BOOLEAN",
        "24680.0000",
        true,
        true
    ]]);
    assert_eq!(typed, expected);
}
