//! Books that a message contradicts: a snapshot is asked for although nothing is missing.

use super::*;

/// A feed without a gap whose book of 7 a message contradicts: the order that it takes away was never added.
fn contradicted() -> Bench {
    let mut bench = Bench::new();
    bench.send(1, &[&add(7, 1, 100)]);
    bench.send(2, &[&add(8, 2, 200)]);
    bench.send(3, &[&delete(7, 9)]);
    assert!(bench.prices.is_stale(7) && !bench.prices.is_stale(8));
    bench.feed.housekeep();
    bench.wait(1);
    bench.hears("A1 A2 D3~");
    assert_eq!(bench.stage.wire().connects, [0]);
    assert_eq!(bench.counters.join.repairs_asked.get(), 1);
    bench
}

#[test]
fn contradicted_book_is_right_again_by_a_snapshot_while_the_others_stay_fresh() {
    let mut bench = contradicted();
    bench.send(4, &[&add(8, 4, 400)]);
    bench.hears("A4");
    assert_eq!(bench.stale(), 0);
    bench.snapshot(&[&add(7, 1, 100), &add(8, 2, 200)], 4);
    bench.wait(1);
    // Its best price is what it was: it is told because it counts again.
    bench.hears("7 at 100");
    assert!(!bench.prices.is_stale(7));
    assert_eq!((bench.bid(7), bench.bid(8)), (100, 400));
    assert_eq!(bench.counters.join.stale_gap_ns.get(), 0);
    bench.send(5, &[&delete(8, 4)]);
    bench.hears("D5");
}

#[test]
fn venue_that_contradicts_itself_is_asked_for_snapshots_ever_more_rarely() {
    let mut bench = contradicted();
    bench.snapshot(&[&add(7, 1, 100), &add(8, 2, 200)], 4);
    bench.wait(1);
    for (seq, pause_s) in [(4, 30), (5, 60), (6, 120)] {
        let asked = bench.stage.wire().connects.len();
        bench.send(seq, &[&delete(7, 9)]);
        for (wait_s, is_asked) in [(pause_s - 2, false), (2, true)] {
            bench.feed.housekeep();
            bench.wait(wait_s * SECOND_NS);
            bench.feed.housekeep();
            bench.wait(1);
            let asks = bench.stage.wire().connects.len() - asked;
            assert_eq!(asks, usize::from(is_asked), "{seq} after {wait_s} s");
        }
        bench.snapshot(&[&add(7, 1, 100), &add(8, 2, 200)], seq + 1);
        bench.wait(1);
        // The lines were silent for long: a heartbeat says that nothing is missing.
        bench.send(seq + 1, &[]);
        assert!(!bench.prices.is_stale(7), "{seq}");
    }
}

#[test]
fn gap_after_a_snapshot_for_a_contradiction_did_not_come_asks_at_once() {
    let mut bench = contradicted();
    for _ in 0..2 {
        bench.stage.wire().tcp.push_back(Tcp::Closed);
        bench.wait(SECOND_NS);
    }
    assert_eq!(bench.recovery.snapshots_given_up.get(), 1);
    assert!(bench.prices.is_stale(7) && bench.stale() == 0);
    let asked = bench.stage.wire().connects.len();
    bench.send(5, &[&add(8, 5, 500)]);
    bench.give_up();
    assert_eq!(bench.stage.wire().connects.len(), asked + 1);
    bench.snapshot(&[&add(8, 5, 500)], 6);
    bench.wait(1);
    assert!(!bench.prices.is_stale(7) && !bench.prices.is_stale(8));
    assert_eq!((bench.bid(7), bench.bid(8)), (0, 500));
}

#[test]
fn message_that_cannot_be_read_while_a_snapshot_comes_is_no_part_of_it() {
    let mut bench = contradicted();
    let mut short = delete(8, 2);
    short.pop();
    bench.send(4, &[&short]);
    bench.hears("gap 4+1");
    assert_eq!(bench.stale(), STALE_GAP);
    // It is of before that message, and nobody else has what it said.
    bench.snapshot(&[&add(7, 1, 100), &add(8, 2, 200)], 4);
    bench.wait(1);
    assert_eq!(bench.stale(), STALE_GAP);
    assert_eq!(bench.counters.join.snapshots_joined.get(), 0);
    bench.wait(SECOND_NS);
    bench.snapshot(&[&add(7, 1, 100)], 5);
    bench.wait(1);
    assert_eq!((bench.stale(), bench.bid(7), bench.bid(8)), (0, 100, 0));
}

#[test]
fn gap_that_opens_while_a_contradiction_asks_in_vain_has_tries_of_its_own() {
    let mut bench = contradicted();
    bench.send(5, &[&add(8, 5, 500)]);
    bench.give_up();
    assert_eq!(bench.stale(), STALE_GAP);
    for _ in 0..2 {
        bench.stage.wire().tcp.push_back(Tcp::Closed);
        bench.wait(SECOND_NS);
    }
    assert_eq!(bench.recovery.snapshots_given_up.get(), 1);
    bench.wait(1);
    bench.snapshot(&[&add(8, 5, 500)], 6);
    bench.wait(1);
    assert_eq!((bench.stale(), bench.bid(7), bench.bid(8)), (0, 0, 500));
}
