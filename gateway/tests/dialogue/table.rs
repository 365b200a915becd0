//! Every message of the exchange in every state of an order: what happens is what `docs/orders.md` says, cell by
//! cell; and whatever it is, each intent is answered once, and risk counts what live orders reserve.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use gateway::journal::past::Past;
use gateway::message::intent::Action;
use gateway::order::entry::{FoundOrders, State};
use gateway::order::live::Order;
use protocol::types::{Price4, Side, Symbol, UserRefNum};

use super::desk::{Desk, SYMBOLS, change, enter};
use super::exchange::*;
use super::past::{next_run, past};

/// The document whose tables are the expectation.
const DOCUMENT: &str = "../docs/orders.md";
/// Price of every order.
const PRICE: u64 = 1_000_000;
/// A number that no order has had.
const STRANGE: u32 = 50;
/// The execution that every accepted order has had, of ten shares.
const KNOWN_TRADE: u64 = 7;
/// Messages of OUCH 5.0 to a client.
const MESSAGES: usize = 17;

/// An order in one state.
struct Case {
    desk: Desk,
    /// The number that the message names.
    number: u32,
    /// The number that Order Replaced says it has from now on.
    replace: u32,
    /// Intents that no event has answered yet.
    owed: Vec<Action>,
}

impl Case {
    fn of(desk: Desk, number: u32, owed: &[Action]) -> Self {
        let (replace, owed) = (STRANGE, owed.to_vec());
        Self {
            desk,
            number,
            replace,
            owed,
        }
    }

    fn asks(mut self, action: Action) -> Self {
        let shares = if action == Action::Reduce { 40 } else { 150 };
        let asked = change(action, 7, shares);
        self.desk.asks(0, &asked).expect("it is allowed");
        self.owed.push(action);
        self
    }

    /// The message names the order by its own number, and the replace is number 2.
    fn replaced_as(mut self, replace: u32) -> Self {
        self.replace = replace;
        self
    }

    /// The message names the order by the number of the replace on its way.
    fn named(mut self, number: u32) -> Self {
        self.number = number;
        self
    }

    fn hears(mut self, message: &[u8]) -> Self {
        self.desk.says(message);
        self
    }
}

fn sent() -> Case {
    let mut desk = Desk::open();
    desk.asks(0, &enter(7, Side::Buy, 100)).expect("allowed");
    Case::of(desk, 1, &[Action::Enter])
}

/// Accepted, and ten of its hundred shares executed.
fn open() -> Case {
    let mut case = sent()
        .hears(&accepted(1, b'B', 100, SYMBOLS[0], PRICE))
        .hears(&executed(1, 10, KNOWN_TRADE));
    case.owed.clear();
    case
}

fn found(past: Past, found: FoundOrders) -> Case {
    let mut desk = next_run(past, found, 2);
    desk.says(&accepted(1, b'B', 100, SYMBOLS[0], PRICE));
    desk.says(&executed(1, 10, KNOWN_TRADE));
    desk.says(&next_number(2));
    assert_eq!(desk.entry.state(), State::Open);
    Case::of(desk, 1, &[])
}

/// An order in the state of this row.
fn case(row: &str) -> Case {
    let mut case = match row {
        "never heard of" => Case::of(Desk::open(), 1, &[]),
        "sent" => sent(),
        "sent, cancel" => sent().asks(Action::Cancel),
        "open" => open(),
        "replace" => open().asks(Action::Replace).replaced_as(2),
        "replace, by its number" => open().asks(Action::Replace).named(2),
        "cancel" => open().asks(Action::Cancel),
        "cancel of our own" => {
            let mut case = open();
            assert!(case.desk.entry.cancel_some(1, 1, &mut [0; 64]) > 0);
            case
        }
        "replace, cancel" => open()
            .asks(Action::Replace)
            .asks(Action::Cancel)
            .replaced_as(2),
        "replace, cancel, by its number" => {
            let both = open().asks(Action::Replace).asks(Action::Cancel);
            both.named(2)
        }
        "partial cancel" => open().asks(Action::Reduce),
        "partial cancel, cancel" => open().asks(Action::Reduce).asks(Action::Cancel),
        "cancel put off" => open().asks(Action::Cancel).hears(&cancel_pending(1)),
        "replaced, by its old number" => {
            let mut case = open()
                .asks(Action::Replace)
                .hears(&replaced(1, 2, 150, PRICE));
            case.owed.clear();
            case
        }
        "over" => open().hears(&executed(1, 90, 8)),
        "found, nobody's" => found(Past::default(), FoundOrders::Keep),
        "found, given back" => found(past(&[(0, 7, 1)], &[]), FoundOrders::Adopt),
        row => panic!("{row} is no state"),
    };
    case.desk.forget();
    case
}

/// The message of this column, about the case's order; `open`: shares that it has.
fn message(column: &str, case: &Case, open: u32) -> Vec<u8> {
    let number = case.number;
    let taken = accepted(number, b'B', 100, SYMBOLS[0], PRICE);
    let renamed = replaced(number, case.replace, 150, PRICE);
    match column {
        "`S`" => empty(b'S', 10),
        "`A`" => taken,
        "`A` dead" => dead(taken),
        "`U`" => renamed,
        "`U` dead" => dead(renamed),
        "`C` part" => canceled(number, 30),
        "`C` all" => canceled(number, open),
        "`C` more" => canceled(number, open + 1),
        "`D` part" => self_match(number, 30),
        "`D` all" => self_match(number, open),
        "`E` part" => executed(number, 30, 9),
        "`E` all" => executed(number, open, 9),
        "`E` more" => executed(number, open + 1, 9),
        "`E` again" => executed(number, 10, KNOWN_TRADE),
        "`B`" => broken(number, KNOWN_TRADE),
        "`B` strange" => broken(number, 99),
        "`J`" => rejected(number),
        "`P`" => cancel_pending(number),
        "`I`" => cancel_reject(number),
        "`T`" => priority(number, PRICE),
        "`T` price" => priority(number, PRICE - 100),
        "`M` less" => modified(number, 60),
        "`M` none" => modified(number, 0),
        "`M` more" => modified(number, 200),
        "`R`" => about(b'R', 16, number),
        "`X`" => empty(b'X', 27),
        "`G`" => empty(b'G', 19),
        "`K`" => empty(b'K', 19),
        "`Q`" => next_number(STRANGE),
        column => panic!("{column} is no message"),
    }
}

/// The state of every live order in words, and their shares: open, and what risk counts where that is another number.
fn described(desk: &Desk) -> (String, String) {
    let live = desk.entry.live_orders(&desk.account);
    let of = |number| desk.entry.order(number).expect("it is live");
    let states: Vec<_> = live.iter().map(|it| state_of(of(it.user_ref))).collect();
    let shares = live.iter().map(|it| match (it.open.0, it.reserved.0) {
        (open, counted) if open == counted => format!("{open}"),
        (open, counted) => format!("{open}/{counted}"),
    });
    let shares: Vec<_> = shares.collect();
    if live.is_empty() {
        return ("over".to_owned(), String::new());
    }
    (states.join(" "), shares.join(" "))
}

/// Limits of live orders.
fn prices(desk: &Desk) -> Vec<Price4> {
    let live = desk.entry.live_orders(&desk.account).into_iter();
    live.map(|it| it.price).collect()
}

fn state_of(order: &Order) -> String {
    let mut words = vec![match (order.owner, order.is_accepted) {
        (None, _) => "nobody's",
        (Some(_), false) => "sent",
        (Some(_), true) => "open",
    }];
    words.extend(order.replacing.map(|_| "replace"));
    words.extend(order.is_reducing().then_some("reduce"));
    words.extend(order.is_canceling().then_some("cancel"));
    words.extend(order.is_put_off().then_some("off"));
    let is_ours = order.is_canceling() && !order.owes_cancel();
    words.extend(is_ours.then_some("ours"));
    words.join("-")
}

fn counts(desk: &Desk) -> BTreeMap<&'static str, u64> {
    let list = desk.counters.list().into_iter();
    list.map(|(name, _, value)| (name, value)).collect()
}

/// Says the message, and puts into the document's words what came of it.
fn played(row: &str, column: &str) -> String {
    let mut case = case(row);
    let number = UserRefNum(case.number);
    let open = case.desk.entry.order(number).map_or(100, |it| it.open.0);
    let said = message(column, &case, open);
    let (before, position) = (counts(&case.desk), case.desk.position());
    let (state_before, shares_before) = described(&case.desk);
    let prices_before = prices(&case.desk);
    case.desk.says(&said);
    check_promises(&mut case, &format!("{column} while {row}"));
    let desk = &mut case.desk;
    let (state, shares) = described(desk);
    let mut words = Vec::new();
    words.extend((state != state_before).then_some(state));
    words.extend((shares != shares_before && !shares.is_empty()).then_some(shares));
    let moved = desk.position() - position;
    words.extend((moved != 0).then(|| format!("position{moved:+}")));
    let prices = prices(desk);
    let is_repriced = prices.len() == prices_before.len() && prices != prices_before;
    words.extend(is_repriced.then(|| "price".to_owned()));
    words.extend(desk.executions.iter().map(|(_, it)| {
        let outcome = format!("{:?}", it.outcome);
        let outcome = outcome.split('(').next().expect("a word").to_owned();
        match it.answers {
            Some(action) => format!("{outcome}:{action:?}"),
            None => outcome,
        }
    }));
    // Shares follow from executions.
    let counted = counts(desk).into_iter();
    let counted =
        counted.filter(|(name, value)| *value != before[name] && *name != "filled_shares");
    words.extend(counted.map(|(name, _)| format!("+{name}")));
    // When an order was answered is for histograms.
    let is_told = desk.news.iter().any(|it| !it.starts_with("Acked"));
    words.extend(is_told.then(|| "notice".to_owned()));
    words.extend(desk.kill.cause().map(|cause| format!("KILL:{cause:?}")));
    if words.is_empty() {
        return "nothing".to_owned();
    }
    words.join(" ")
}

/// What holds whatever was said.
fn check_promises(case: &mut Case, what: &str) {
    let Case { desk, owed, .. } = case;
    let live = desk.entry.live_orders(&desk.account);
    let reserved: u64 = live.iter().map(|it| u64::from(it.reserved.0)).sum();
    let exposure = desk.account.exposure(Symbol(*SYMBOLS[0]));
    assert_eq!(exposure.open_buy, reserved, "{what}");
    assert_eq!(desk.account.open_orders() as usize, live.len(), "{what}");
    let mut answered: Vec<_> = desk
        .executions
        .iter()
        .filter_map(|it| it.1.answers)
        .collect();
    let orders = live.iter().map(|it| desk.entry.order(it.user_ref).unwrap());
    for order in orders.filter(|order| order.owner.is_some()) {
        answered.extend((!order.is_accepted).then_some(Action::Enter));
        answered.extend(order.replacing.map(|_| Action::Replace));
        answered.extend(order.is_reducing().then_some(Action::Reduce));
        answered.extend(order.owes_cancel().then_some(Action::Cancel));
        assert!(order.open <= order.reserved, "{what}: {order:?}");
        if let Some((_, last)) = desk.executions.last() {
            assert_eq!(last.leaves, order.open, "{what}: {last:?}");
        }
    }
    let by_action = |action: &Action| *action as u8;
    answered.sort_unstable_by_key(by_action);
    owed.sort_unstable_by_key(by_action);
    assert_eq!(
        &answered, owed,
        "{what}: an intent is answered once: {:?}",
        desk.executions
    );
}

/// Rows of a table in the document: cells without their bars.
fn cells(line: &str) -> Vec<String> {
    let inside = line.trim().trim_start_matches('|').trim_end_matches('|');
    inside
        .split('|')
        .map(|cell| cell.trim().to_owned())
        .collect()
}

/// Every cell of the document's tables of states, and the words that it explains.
fn document() -> (BTreeMap<(String, String), String>, BTreeSet<String>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(DOCUMENT);
    let text = std::fs::read_to_string(path).expect("the document");
    let (mut expected, mut explained) = (BTreeMap::new(), BTreeSet::new());
    let mut header = Vec::new();
    for line in text.lines() {
        if !line.starts_with('|') {
            header.clear();
            continue;
        }
        let row = cells(line);
        if header.is_empty() {
            header = row;
        } else if row[0].starts_with("--") {
            // The line between a header and its rows.
        } else if header[0] == "state" {
            assert_eq!(row.len(), header.len(), "{line}");
            for (column, cell) in header.iter().zip(&row).skip(1) {
                let place = (row[0].clone(), column.clone());
                let twice = expected.insert(place, cell.clone());
                assert_eq!(twice, None, "{line}");
            }
        } else if header[0] == "word" {
            explained.insert(row[0].trim_matches('`').to_owned());
        }
    }
    (expected, explained)
}

/// A word of a cell as the document explains it: without numbers and names that stand for themselves.
fn explained_as(word: &str) -> &str {
    let is_number = |word: &str| word.chars().all(|it| it.is_ascii_digit());
    match word.split_once(['/', ':']) {
        Some((open, counted)) if is_number(open) && is_number(counted) => "60/150",
        Some((head, _)) => head,
        None if is_number(word) => "60",
        None if word.starts_with('+') => "+counter",
        None if word.starts_with("position") => "position",
        None => word,
    }
}

#[test]
fn every_message_in_every_state_does_what_the_document_says() {
    let (expected, explained) = document();
    let rows: BTreeSet<_> = expected.keys().map(|(row, _)| row.as_str()).collect();
    let columns: BTreeSet<_> = expected.keys().map(|(_, column)| column.as_str()).collect();
    let messages: BTreeSet<_> = columns.iter().map(|it| it.split(' ').next()).collect();
    assert_eq!(messages.len(), MESSAGES, "{messages:?}");
    assert_eq!(
        expected.len(),
        rows.len() * columns.len(),
        "a cell is missing"
    );
    let (mut wrong, mut used) = (Vec::new(), BTreeSet::new());
    for ((row, column), expected) in &expected {
        let found = played(row, column);
        used.extend(found.split(' ').map(|word| explained_as(word).to_owned()));
        if found != *expected {
            wrong.push(format!(
                "{column} while {row}: {found}, in the document: {expected}"
            ));
        }
    }
    println!(
        "{} messages, {} sorts of them, {} states: {} cells",
        MESSAGES,
        columns.len(),
        rows.len(),
        expected.len()
    );
    assert!(
        wrong.is_empty(),
        "{} cells differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert_eq!(
        used, explained,
        "words used, and words that the document explains"
    );
}
