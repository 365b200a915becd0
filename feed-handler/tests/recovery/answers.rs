//! Answers that are none: a server's packet fills a hole only if every message of it is one.

use super::*;

/// A feed that has asked the first server for `lost` messages from 2 on, and knows the one behind them.
fn asking(lost: u16) -> Bench {
    let mut bench = Bench::new();
    bench.send(1, &[&add(7, 1, 100)]);
    bench.send(u64::from(lost) + 2, &[&add(7, 99, 900)]);
    bench.wait(GAP_TIMEOUT_NS);
    assert_eq!(bench.requests(), [(0, 2, lost)]);
    bench.hears("A1");
    bench
}

/// The first server's answer is refused, and the piece stays due: the second is asked, and what it says is taken.
fn refuses(mut bench: Bench, answer: Vec<u8>, lost: &[&[u8]], heard: &str) {
    let count = u16::try_from(lost.len()).expect("few");
    bench.answer(0, answer);
    bench.wait(1);
    bench.hears("");
    assert_eq!(bench.recovery.answers_refused.get(), 1);
    assert_eq!(bench.recovery.messages_recovered.get(), 0);
    assert_eq!(bench.requests(), [], "the answer may still come");
    bench.wait(REQUEST_TIMEOUT_NS);
    assert_eq!(bench.requests(), [(1, 2, count)]);
    bench.answer(1, packet(SESSION, 2, lost));
    bench.wait(1);
    bench.hears(heard);
    assert_eq!(bench.recovery.messages_recovered.get(), u64::from(count));
    assert_eq!(bench.counters.arbiter.holes_recovered.get(), 1);
    assert_eq!(bench.counters.arbiter.gaps.get(), 0);
    assert_eq!((bench.stale(), bench.bid(7)), (0, 900));
    assert!(bench.stage.is_idle());
}

#[test]
fn answer_of_empty_blocks_fills_no_hole() {
    let lost: Vec<_> = (2..34).map(|n| add(7, n, 100)).collect();
    let lost: Vec<&[u8]> = lost.iter().map(Vec::as_slice).collect();
    let heard: Vec<String> = (2..35).map(|seq| format!("A{seq}")).collect();
    let empty = packet(SESSION, 2, &[b"".as_slice(); 32]);
    refuses(asking(32), empty, &lost, &heard.join(" "));
}

#[test]
fn answer_with_a_message_of_another_length_than_its_type_has_fills_no_hole() {
    let lost = [add(7, 2, 200), add(7, 3, 300)];
    let lost = lost.each_ref().map(Vec::as_slice);
    let long = [lost[1], b"\0"].concat();
    for wrong in [&lost[1][..35], &long, b"A"] {
        for answer in [[lost[0], wrong], [wrong, lost[1]]] {
            refuses(asking(2), packet(SESSION, 2, &answer), &lost, "A2 A3 A4");
        }
    }
}

#[test]
fn answer_whose_count_is_not_that_of_its_messages_fills_no_hole() {
    let lost = [add(7, 2, 200), add(7, 3, 300)];
    let lost = lost.each_ref().map(Vec::as_slice);
    let whole = packet(SESSION, 2, &lost);
    let cut = whole[..whole.len() - 1].to_vec();
    let short = packet(SESSION, 2, &lost[..1]);
    let (mut announces_more, mut announces_less) = (short.clone(), whole);
    (announces_more[19], announces_less[19]) = (2, 1);
    for answer in [announces_more, announces_less, cut] {
        refuses(asking(2), answer, &lost, "A2 A3 A4");
    }
}

#[test]
fn answer_that_goes_beyond_what_was_asked_for_says_nothing_of_what_follows() {
    let lost = [add(7, 2, 200)];
    let lost = lost.each_ref().map(Vec::as_slice);
    // Number 3 is kept and 4 is not known to exist: neither is this server's to say.
    let (three, four) = (add(8, 50, 1), add(8, 51, 1));
    let answer = packet(SESSION, 2, &[lost[0], &three, &four]);
    refuses(asking(1), answer, &lost, "A2 A3");
    let before = packet(SESSION, 1, &[&add(8, 50, 1), lost[0]]);
    refuses(asking(1), before, &lost, "A2 A3");
}

#[test]
fn answer_with_a_message_of_a_type_to_come_is_taken_as_the_lines_would_bring_it() {
    let future = b"z\0\x07\0\0\0\0\0\0\0\x01 whatever that will say".as_slice();
    let mut bench = asking(2);
    bench.answer(0, packet(SESSION, 2, &[future, &add(7, 3, 300)]));
    bench.wait(1);
    bench.hears("A3 A4");
    assert_eq!(bench.recovery.answers_refused.get(), 0);
    assert_eq!(bench.counters.feed.unknown.get(), 1);
    assert_eq!(bench.counters.arbiter.holes_recovered.get(), 1);
    bench.send(5, &[future]);
    assert_eq!(bench.counters.feed.unknown.get(), 2);
    assert_eq!(bench.stale(), 0);
}

#[test]
fn hole_to_which_every_server_has_only_wrong_answers_is_a_gap() {
    let mut bench = asking(1);
    for server in [0, 1, 0] {
        bench.answer(server, packet(SESSION, 2, &[b""]));
        bench.wait(1);
        bench.wait(REQUEST_TIMEOUT_NS);
    }
    bench.hears("gap 2+1 A3~");
    assert_eq!(bench.requests(), [(1, 2, 1), (0, 2, 1)]);
    assert_eq!(bench.recovery.answers_refused.get(), 3);
    assert_eq!(bench.recovery.ranges_given_up.get(), 1);
    assert_eq!(bench.stale(), STALE_GAP);
}
