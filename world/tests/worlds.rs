//! Two hundred worlds: each ends well, and what they are for happens in them. `make simulate SEEDS=N` lives more.

#![allow(clippy::expect_used, reason = "tests")]

use world::{Outcome, play, play_rehearsing};

#[test]
fn two_hundred_worlds_end_in_one_belief() {
    let worlds = 200;
    let (mut sum, mut quoted) = (Outcome::default(), 0);
    for seed in 0..worlds {
        println!("seed {seed}");
        let outcome = play(seed);
        sum += &outcome;
        quoted += u64::from(outcome.is_quoted);
    }
    println!("{quoted} with every quote: {sum:#?}");
    // It is in a quarter of them, and by chance in fewer of two hundred: six are one standard deviation.
    assert!(quoted * 6 > worlds, "the quoter was free in {quoted}");
    // Worlds are no use if what they are for never happens.
    let heard = &sum.heard;
    assert!(heard.messages > 1_000 * worlds && heard.compared > 1_000 * worlds);
    assert!(heard.gaps * 2 > worlds && heard.silences * 10 > worlds);
    assert!(heard.sessions > 2 * worlds && sum.starts > worlds);
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
