//! What a snapshot may take of one turn: symbols that were right all the time wait for it.

use super::*;

#[test]
fn turn_that_shows_a_snapshot_names_a_bounded_number_of_symbols() {
    let mut bench = gapped();
    let names: Vec<_> = (10..210)
        .map(|locate| directory(locate, &format!("S{locate}")))
        .collect();
    let names: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
    bench.snapshot(&names, 4);
    let (mut named, mut turns) = (0, 0);
    while bench.stale() != 0 {
        bench.turn();
        let heard = bench.heard.drain(..);
        let count = heard.filter(|event| event.kind == Kind::Directory).count();
        assert!(count <= 64, "{count} in a turn");
        named += count;
        turns += usize::from(count > 0);
    }
    assert_eq!((named, turns), (200, 4));
}

#[test]
fn spare_catches_up_however_many_messages_each_turn_brings() {
    const EACH: usize = 300;
    let mut bench = gapped();
    bench.snapshot(&[&add(7, 2, 250)], 4);
    let mut seq = 4;
    for _ in 0..8 {
        // Of a type to come: they are copied, and change no book.
        bench.send(seq, &[b"z".as_slice(); EACH]);
        seq += EACH as u64;
    }
    assert_eq!(bench.counters.join.snapshots_joined.get(), 1);
    assert_eq!(bench.counters.join.live_dropped.get(), 0);
    bench.wait(1);
    assert_eq!((bench.stale(), bench.bid(7)), (0, 250));
}
