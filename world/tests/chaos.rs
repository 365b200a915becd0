//! Everything that can be killed is, while it trades: the gateway, the exchange, the link between them. After each, both
//! sides have the same orders and positions, and no number was ever used twice. Either can be stopped for a while, too,
//! and the orders' way can lose, double, delay and damage one packet of a number, in both directions.
//!
//! `make chaos GATEWAY_KILLS=500 EXCHANGE_KILLS=100 CUTS=200` makes a long run of it, `SUBMIT=delegated ONE_IN=50 STOPS=20` one
//! past the kernel's TCP with somebody in the middle.

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

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use arena::{Account, Arena, More, STRATEGIES, Setup, numbers_are_used_once, stored, text};
use desk::{Desk, NEVER, until};
use lab::netns::Side;
use lab::process::send_signal;
use rt::clock::monotonic_ns;
use serde_json::Value;
use support::{documented_questions, duckdb, is_root, stderr, tool};

/// What is done to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blow {
    KillGateway,
    KillExchange,
    CutLink,
    /// Each stands still for longer than the other waits (SIGSTOP).
    StopGateway,
    StopExchange,
}

/// How long one that was killed may take to be gone: the kernel ends its rings and links first, on a host with much else to do.
const DIES: Duration = Duration::from_secs(60);
/// How long one that is stopped stands still.
const STOPPED_MS: u64 = 5_000;

/// What happens, how often, and how orders leave.
#[derive(Clone, Debug)]
struct Plan {
    seed: u64,
    /// How the sessions submit.
    submit: String,
    /// What happens to one frame in this many on the orders' way, of each kind of fault; 0: to none.
    one_in: u32,
    /// Of each blow.
    counts: [(Blow, u64); 5],
}

impl Plan {
    fn of_environment() -> Self {
        let number = |name: &str, default| {
            std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
        };
        let stops = number("STOPS", 0);
        Self {
            seed: number("CHAOS_SEED", 1),
            submit: std::env::var("SUBMIT").unwrap_or_else(|_| "enter".to_owned()),
            one_in: u32::try_from(number("ONE_IN", 0)).expect("small"),
            counts: [
                (Blow::KillGateway, number("GATEWAY_KILLS", 5)),
                (Blow::KillExchange, number("EXCHANGE_KILLS", 3)),
                (Blow::CutLink, number("CUTS", 5)),
                (Blow::StopGateway, stops),
                (Blow::StopExchange, stops),
            ],
        }
    }

    fn count(&self, blow: Blow) -> u64 {
        let counts = self.counts.iter();
        counts.filter(|(of, _)| *of == blow).map(|(_, n)| n).sum()
    }

    /// All of them, in any order.
    fn blows(&self, random: &mut fastrand::Rng) -> Vec<Blow> {
        let mut blows = Vec::new();
        for (blow, count) in self.counts {
            blows.extend((0..count).map(|_| blow));
        }
        random.shuffle(&mut blows);
        blows
    }
}

/// Both sides, and chance.
struct Chaos {
    arena: Arena,
    random: fastrand::Rng,
}

impl Chaos {
    fn new(plan: &Plan) -> Self {
        let arena = Arena::new(Setup {
            seed: plan.seed,
            submit: plan.submit.clone(),
            one_in: plan.one_in,
            rate: 1500,
            is_captured: false,
            more: More::default(),
        });
        let random = fastrand::Rng::with_seed(plan.seed);
        Self { arena, random }
    }

    /// It trades for a while, then this happens, then both sides are compared.
    fn round(&mut self, blow: Blow) -> Result<(), String> {
        self.pause_ms(20..400);
        match blow {
            Blow::KillGateway => {
                self.arena.gateway.signal(libc::SIGKILL);
                let killed = self.arena.gateway.wait(DIES, &NEVER);
                killed.expect("the killed gateway is gone");
                self.arena.start_gateway();
            }
            Blow::KillExchange => {
                self.arena.sim.signal(libc::SIGKILL);
                let killed = self.arena.sim.wait(DIES, &NEVER);
                killed.expect("the killed exchange is gone");
                let seed = self.random.u64(1..1_000_000);
                self.arena.start_exchange(seed);
            }
            Blow::CutLink => {
                self.arena.link(Side::Exchange, "down");
                // Three of four are shorter than what the session takes for a silent exchange.
                if self.random.u8(0..4) > 0 {
                    self.pause_ms(50..500);
                } else {
                    self.pause_ms(2_100..3_000);
                }
                self.arena.link(Side::Exchange, "up");
            }
            Blow::StopGateway => self.stop_for_a_while(self.arena.gateway.pid()),
            Blow::StopExchange => self.stop_for_a_while(self.arena.sim.pid()),
        }
        self.arena.agree()?;
        for (strategy, _) in STRATEGIES {
            self.arena.asked(&["unpause", strategy])?;
        }
        Ok(())
    }

    fn stop_for_a_while(&mut self, pid: u32) {
        let pid = i32::try_from(pid).expect("small");
        send_signal(pid, libc::SIGSTOP);
        self.pause_ms(STOPPED_MS..STOPPED_MS + 1);
        send_signal(pid, libc::SIGCONT);
    }

    fn pause_ms(&mut self, range: std::ops::Range<u64>) {
        let pause = Duration::from_millis(self.random.u64(range));
        let until = monotonic_ns() + u64::try_from(pause.as_nanos()).expect("short");
        while monotonic_ns() < until {
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }
}

/// The drop copy's lines add up to what the exchange says that is held, and none is there twice. How many fills there are.
fn every_fill_is_copied_once(folder: &Path, held: &BTreeMap<String, Account>, kills: u64) -> usize {
    let (mut fills, mut nobodys) = (0, 0);
    for (name, account) in held {
        let path = folder.join(format!("{name}-{name}-CHAOS00001.jsonl"));
        let lines = std::fs::read_to_string(&path).unwrap_or_default();
        let (mut seqs, mut positions) = (BTreeSet::new(), BTreeMap::<String, i64>::new());
        for line in lines.lines() {
            let line: Value = serde_json::from_str(line).expect("JSON");
            assert!(seqs.insert(line["seq"].as_u64()), "{name}: twice: {line}");
            let shares = line["shares"].as_i64().expect("a number");
            let shares = match line["side"].as_str() {
                Some("buy") => shares,
                Some("sell") => -shares,
                side => panic!("{name}: of side {side:?}: {line}"),
            };
            *positions.entry(text(&line["symbol"])).or_default() += shares;
            nobodys += u64::from(!line["strategy"].is_string());
        }
        positions.retain(|_, shares| *shares != 0);
        assert_eq!(positions, account.positions, "{name}");
        fills += seqs.len();
    }
    // Whose an order was is lost where the gateway was killed before its record was written.
    assert!(nobodys <= kills, "{nobodys} of {kills} kills");
    fills
}

/// The journals as Parquet files, read by DuckDB, add up to the positions of `ctl`. How many orders they have of a strategy
/// that are no replacement; `None` without DuckDB.
fn duckdb_finds_the_same(
    journals: &Path,
    out: &Path,
    said: &BTreeMap<String, Account>,
    fills: usize,
) -> Option<u64> {
    let [from, to] = [journals, out].map(|path| path.to_str().expect("text"));
    let exported = tool("tickgate", &["journal", from, "--parquet", to]);
    assert!(exported.status.success(), "{}", stderr(&exported));
    let mut positions = BTreeMap::<String, BTreeMap<String, i64>>::new();
    let rows = duckdb(&documented_questions(out)[0])?;
    for row in rows.as_array().expect("rows") {
        let held = row[3].as_i64().expect("a number");
        if held != 0 {
            let of_session = positions.entry(text(&row[0])).or_default();
            of_session.insert(text(&row[2]), held);
        }
    }
    for (name, account) in said {
        let found = positions.remove(name).unwrap_or_default();
        assert_eq!(found, account.positions, "{name}");
    }
    let one = |question: &str| -> u64 {
        let question = question.replace("'OUT/", &format!("'{to}/"));
        let rows = duckdb(&question).expect("it was there");
        rows[0][0].as_u64().expect("a number")
    };
    let copied = one("SELECT count(DISTINCT (session, seq)) FROM 'OUT/fills.parquet'");
    assert_eq!(copied, fills as u64, "the drop copy has as many");
    let differ = one(
        "SELECT count(*) FROM 'OUT/orders.parquet' AS one FULL JOIN (\
             SELECT session, username, exchange_session, user_ref, sum(shares) AS shares FROM 'OUT/fills.parquet' \
             WHERE what = 'fill' GROUP BY ALL) AS fill USING (session, username, exchange_session, user_ref) \
         WHERE coalesce(one.filled, -1) <> coalesce(fill.shares, 0)",
    );
    assert_eq!(differ, 0, "orders whose fills are others than theirs");
    let numbers = one(
        "SELECT count(*) - count(DISTINCT (session, user_ref)) FROM 'OUT/orders.parquet' WHERE user_ref IS NOT NULL",
    );
    assert_eq!(numbers, 0, "numbers that have two rows");
    Some(one("SELECT count(*) FROM 'OUT/orders.parquet' \
         WHERE strategy IS NOT NULL AND replaces IS NULL AND outcome <> 'refused'"))
}

#[test]
fn both_sides_agree_whatever_is_killed() {
    run(&Plan::of_environment());
}

#[test]
fn both_sides_agree_whatever_is_killed_past_the_kernel_with_one_packet_in_fifty_gone_wrong() {
    run(&Plan {
        seed: 3,
        submit: "delegated".to_owned(),
        one_in: 50,
        counts: [
            (Blow::KillGateway, 4),
            (Blow::KillExchange, 2),
            (Blow::CutLink, 3),
            (Blow::StopGateway, 1),
            (Blow::StopExchange, 1),
        ],
    });
}

/// Segments that left past the kernel in the gateway's last life.
fn past_the_kernel(desk: &Desk) -> u64 {
    let report = std::fs::read_to_string(desk.path("report.json")).expect("a report");
    let report: Value = serde_json::from_str(&report).expect("JSON");
    let session = &report["runs"][0]["counters"]["session"]["one"];
    session["delegated_sent"].as_u64().expect("a counter")
}

fn run(plan: &Plan) {
    if !is_root() {
        return;
    }
    println!("{plan:?}");
    let kills = plan.count(Blow::KillGateway);
    let mut chaos = Chaos::new(plan);
    let blows = plan.blows(&mut chaos.random);
    let (mut passed, mut failed) = (0, 0);
    for (round, blow) in blows.iter().enumerate() {
        match chaos.round(*blow) {
            Ok(()) => passed += 1,
            Err(why) => {
                failed += 1;
                println!("round {round}, {blow:?}: {why}");
                break;
            }
        }
        if round % 10 == 9 {
            println!("{} of {} rounds", round + 1, blows.len());
        }
    }
    let mut arena = chaos.arena;
    arena.agree().expect("both sides agree");
    // Nothing is open then, so nothing changes any more.
    arena.ctl(&["cancel", "all"]).expect("an answer");
    let said = until("all is cancelled", || {
        let said = arena.gateway_says()?;
        let is_over = said.values().all(|account| account.orders.is_empty());
        is_over.then_some(said)
    });
    arena.gateway.end();
    if plan.submit == "delegated" {
        assert!(past_the_kernel(&arena.desk) > 0, "no order took the lane");
    }
    let held = arena.exchange_says().expect("the exchange answers");
    let fills = every_fill_is_copied_once(&arena.desk.path("copy"), &held, kills);
    let journals = arena.desk.path("state").join("journal");
    let orders = numbers_are_used_once(&journals).orders;
    for (name, account) in &held {
        assert_eq!(
            stored(&arena.desk, name).positions,
            account.positions,
            "{name}"
        );
    }
    let out = arena.desk.path("parquet");
    let rows = duckdb_finds_the_same(&journals, &out, &said, fills);
    assert!(
        rows.is_none_or(|rows| rows == orders as u64),
        "{rows:?} of {orders}"
    );
    println!(
        "{orders} orders, no number used twice; {fills} fills, each copied once; {passed} passed, {failed} failed"
    );
    assert_eq!(failed, 0);
    assert!(
        orders > 100 && fills > 100,
        "{orders} orders, {fills} fills"
    );
}
