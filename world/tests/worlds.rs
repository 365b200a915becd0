//! A thousand worlds: each ends well, and what they are for happens in them. `make simulate SEEDS=N` lives more.

#![allow(clippy::expect_used, reason = "tests")]

use world::{Sum, live_many, play, play_rehearsing};

#[test]
fn a_thousand_worlds_end_in_one_belief() {
    let worlds = 1_000;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let live = |seed| {
        println!("seed {seed}");
        play(seed)
    };
    let Sum {
        outcome: sum,
        passed,
        quoted,
        failed,
    } = live_many(0..worlds, threads, live, |_, has_passed| has_passed);
    assert_eq!((passed, failed), (worlds, Vec::new()));
    println!("{quoted} with every quote: {sum:#?}");
    // It is in a quarter of them, and by chance in fewer.
    assert!(quoted * 6 > worlds, "the quoter was free in {quoted}");
    // Worlds are no use if what they are for never happens.
    let heard = &sum.heard;
    assert!(heard.messages > 1_000 * worlds && heard.compared > 1_000 * worlds);
    assert!(heard.gaps * 2 > worlds && heard.silences * 10 > worlds);
    assert!(heard.sessions > 2 * worlds && sum.starts > worlds);
    assert!(sum.exchange_kills > worlds / 2 && sum.partings > worlds && sum.sleeps > worlds);
    for word in [
        "Enter Accepted",
        "Enter Refused(Killed)",
        "Enter Refused(Paused)",
        "Enter Refused(SessionDown)",
        "Enter Refused(StaleBook)",
        "Enter Refused(OpenOrders)",
        "Enter Refused(OrderRate)",
        "Enter Rejected",
        "Enter Lost",
        "Replace Replaced",
        "Replace Refused(ChangePending)",
        "Replace TooLate",
        "Cancel Canceled",
        "Cancel Refused(NotLive)",
        "Cancel Lost",
        "Cancel TooLate",
        "Lagged",
    ] {
        assert!(sum.answers.contains_key(word), "no \"{word}\"");
    }
}

/// With a rehearsal of every stage after every turn, the whole day is the same day: orders' bytes, answers, counters and
/// books.
#[test]
fn worlds_that_rehearse_are_the_worlds_that_do_not() {
    for seed in 0..24 {
        let (rehearsing, rehearsals) = play_rehearsing(seed);
        assert_eq!(rehearsing, play(seed), "seed {seed}");
        assert!(rehearsals > 10_000, "{rehearsals} of seed {seed}");
        println!(
            "seed {seed}: {rehearsals} rehearsals, {:016X} left",
            rehearsing.left
        );
    }
}

#[test]
fn a_seed_lives_the_same_world_again() {
    for seed in [7, 8] {
        assert_eq!(play(seed), play(seed));
    }
}
