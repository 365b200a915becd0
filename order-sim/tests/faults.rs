//! Faults on the lines: what is lost on one is whole on both, and the same seed loses the same.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use order_sim::exchange::Exchange;
use order_sim::file;
use protocol::mold::{Header, Kind, Packet};
use protocol::types::Seq;
use rt::clock::SECOND_NS;
use zerocopy::IntoBytes;

fn exchange(faults: &str) -> Exchange {
    let text = format!(
        "address = \"127.0.0.1:1\"\n[account.a]\npassword = \"p\"\n[flow]\nrate = 2000\nsymbols = 5\n\
         [feed]\nsession = \"DAY\"\nlines = [{{ address = \"127.0.0.1:2\" }}, {{ address = \"127.0.0.1:3\" }}]\n\
         {faults}"
    );
    Exchange::new(&file::parse(&text).unwrap().exchange, 0)
}

/// Numbers of the packets of each line, in the order in which they leave, and the messages.
fn run(exchange: &mut Exchange, seconds: u64) -> ([Vec<u64>; 2], BTreeMap<u64, Vec<u8>>) {
    let (mut lines, mut messages) = ([Vec::new(), Vec::new()], BTreeMap::new());
    for step in 0..seconds * 1000 {
        exchange.advance(step * 1_000_000);
        for (line, numbers) in lines.iter_mut().enumerate() {
            while let Some(bytes) = exchange.take_packet(line) {
                let Some(packet) = Packet::decode(&bytes) else {
                    continue;
                };
                if &packet.header.session != b"DAY       " || packet.kind() == Kind::Heartbeat {
                    continue;
                }
                numbers.push(packet.seq().0);
                for (seq, message) in (packet.seq().0..).zip(packet.blocks()) {
                    messages.insert(seq, message.to_vec());
                }
            }
        }
    }
    (lines, messages)
}

fn fault(on: &str, act: &str, more: &str) -> String {
    format!("[[fault]]\nat_s = 0.5\nfor_s = 2\non = \"{on}\"\ndo = \"{act}\"\n{more}\n")
}

#[test]
fn what_one_line_loses_the_other_has_and_the_same_seed_loses_the_same() {
    let text = fault("line_a", "drop", "share = 0.3");
    let ([a, b], messages) = run(&mut exchange(&text), 3);
    let ([whole, _], expected) = run(&mut exchange(""), 3);
    assert_eq!(b, whole);
    assert!(
        a.len() < whole.len() - 500,
        "{} of {}",
        a.len(),
        whole.len()
    );
    assert_eq!(messages, expected);
    let again = run(&mut exchange(&text), 3);
    assert_eq!(again.0[0], a);
    let other = run(
        &mut exchange(&text.replace("share", "account = \"x\"\nshare")),
        3,
    );
    assert_eq!(other.0[0], a);
}

#[test]
fn what_both_lines_lose_can_be_asked_for_again() {
    let mut exchange = exchange(&fault("lines", "drop", "share = 0.1"));
    let ([a, b], mut messages) = run(&mut exchange, 3);
    assert_eq!(a, b, "the same packets");
    let last = *messages.keys().next_back().unwrap();
    let missing: Vec<u64> = (1..=last)
        .filter(|seq| !messages.contains_key(seq))
        .collect();
    assert!(missing.len() > 100);
    let mut out = [0; 2048];
    for seq in missing {
        let header = Header {
            session: *b"DAY       ",
            seq: Seq(seq).into(),
            count: 1.into(),
        };
        let (answer, late_ns) = exchange.on_rerequest(header.as_bytes(), &mut out).unwrap();
        assert_eq!(late_ns, 0);
        let packet = Packet::decode(answer).unwrap();
        messages.insert(seq, packet.blocks().next().unwrap().to_vec());
    }
    assert_eq!(messages.len() as u64, last);
}

#[test]
fn packets_come_twice_late_and_out_of_order_as_the_script_says() {
    let ([a, b], _) = run(
        &mut exchange(&fault("line_a", "duplicate", "share = 0.5")),
        3,
    );
    assert!(a.len() > b.len() + 500 && a.is_sorted());
    let ([a, b], _) = run(
        &mut exchange(&fault("line_a", "reorder", "share = 0.2\nby_ms = 3")),
        3,
    );
    assert!(!a.is_sorted() && b.is_sorted());
    let mut sorted = a.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, b, "all of them come");
    let ([a, b], _) = run(&mut exchange(&fault("line_b", "delay", "by_ms = 200")), 3);
    assert!(a.is_sorted() && b.is_sorted());
    assert!(b.len() <= a.len());
}

#[test]
fn damaged_packets_are_damaged_on_one_line_only() {
    for act in ["corrupt", "truncate"] {
        let mut exchange_with = exchange(&fault("line_a", act, "share = 0.2"));
        let ([a, b], _) = run(&mut exchange_with, 1);
        let ([whole, _], _) = run(&mut exchange(""), 1);
        assert_eq!(b, whole);
        assert!(a != whole || act == "corrupt");
        let damaged = exchange_with
            .fault_counters()
            .map(|c| c.packets_damaged.get())
            .sum::<u64>();
        assert!(damaged > 100, "{damaged}");
    }
}

#[test]
fn rerequests_are_unanswered_late_fewer_or_of_another_session() {
    let cases = [
        ("drop", ""),
        ("delay", "by_ms = 7"),
        ("truncate", ""),
        ("corrupt", ""),
    ];
    for (act, more) in cases {
        let mut exchange = exchange(&fault("rerequest", act, more));
        run(&mut exchange, 1);
        let mut out = [0; 2048];
        let header = Header {
            session: *b"DAY       ",
            seq: Seq(1).into(),
            count: 5.into(),
        };
        let answer = exchange.on_rerequest(header.as_bytes(), &mut out);
        let told = answer.map(|(bytes, late_ns)| {
            let packet = Packet::decode(bytes).unwrap();
            (packet.blocks().count(), late_ns, packet.header.session[0])
        });
        let expected = match act {
            "drop" => None,
            "delay" => Some((5, 7_000_000, b'D')),
            "truncate" => Some((1, 0, b'D')),
            _ => Some((5, 0, b'D' ^ 1)),
        };
        assert_eq!(told, expected, "{act}");
    }
}

#[test]
fn the_exchanges_own_faults_are_told_once() {
    let text = "[[fault]]\nat_s = 1\non = \"exchange\"\ndo = \"clock_jump\"\nby_ms = 50\n";
    let mut exchange = exchange(text);
    exchange.advance(SECOND_NS - 1);
    assert_eq!(exchange.take_exchange_fault(), None);
    exchange.advance(SECOND_NS);
    assert_eq!(
        exchange.take_exchange_fault(),
        Some((order_sim::fault::Act::ClockJump, 50_000_000))
    );
    assert_eq!(exchange.take_exchange_fault(), None);
}
