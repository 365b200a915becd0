//! Each boundary takes its seeds, and a few thousand inputs that were made of them, the same ones in every run. `make fuzz`
//! looks for more, with a compiler that says which input reached something new.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::panic::catch_unwind;

use boundaries::{TARGETS, target};

/// Inputs of one target.
const INPUTS: usize = 1200;
/// The longest of them.
const INPUT_BYTES_MAX: usize = 1024;

/// A seed in which bytes turned, went, came, or were copied from another.
fn made(random: &mut fastrand::Rng, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut input = seeds[random.usize(..seeds.len())].clone();
    for _ in 0..random.usize(1..8) {
        let at = random.usize(..=input.len());
        match random.u8(..6) {
            0 => input.truncate(at),
            1 => input.insert(at, random.u8(..)),
            2 => {
                let other = &seeds[random.usize(..seeds.len())];
                let from = random.usize(..=other.len());
                let end = (from + random.usize(..32)).min(other.len());
                input.splice(at..at, other[from..end].iter().copied());
            }
            3 => input.extend((0..random.usize(..64)).map(|_| random.u8(..))),
            _ => {
                if let Some(byte) = input.get_mut(at) {
                    *byte = [random.u8(..), 0, 0xFF, *byte ^ 1, byte.wrapping_add(1)]
                        [random.usize(..5)];
                }
            }
        }
    }
    input.truncate(INPUT_BYTES_MAX);
    input
}

fn holds(name: &str) {
    let target = target(name).expect("a target");
    let mut random = fastrand::Rng::with_seed(15);
    let seeds = (target.seeds)();
    let inputs = std::env::var("INPUTS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(INPUTS);
    for number in 0..seeds.len() + inputs {
        let input = seeds.get(number).cloned();
        let input = input.unwrap_or_else(|| made(&mut random, &seeds));
        let run = target.run;
        assert!(
            catch_unwind(|| run(&input)).is_ok(),
            "{name}: what it does with {input:?} does not hold"
        );
    }
}

/// A test for each.
macro_rules! boundaries {
    ($($test:ident: $name:literal,)+) => {
        const TESTED: &[&str] = &[$($name),+];
        $(#[test]
        fn $test() {
            holds($name);
        })+
    };
}

boundaries! {
    frames_are_what_their_sums_say_or_refused: "frame",
    downstream_packets_are_read_as_they_are_built: "mold",
    segments_are_read_as_they_are_built: "iex_tp",
    messages_are_as_long_as_their_type_or_refused: "messages",
    whatever_two_lines_bring_is_told_or_announced: "feed",
    whatever_two_lines_of_iex_bring_is_told_or_announced: "iex",
    snapshots_are_heard_the_same_in_any_pieces: "glimpse",
    streams_are_cut_into_the_same_packets_in_any_pieces: "soup",
    whatever_an_exchange_answers_risk_counts_what_lives: "answers",
    whatever_a_client_says_the_exchange_goes_on: "session",
    whatever_is_ordered_both_sides_are_told: "orders",
    files_are_read_to_their_end_or_refused: "files",
    journals_give_out_what_was_written: "journal",
    configurations_are_themselves_or_refused: "configuration",
    control_requests_are_read_as_they_are_written: "control",
    http_requests_are_answered_or_waited_for_within_bounds: "http",
    commands_are_done_once_and_only_with_the_key: "command",
}

#[test]
fn every_target_has_its_test() {
    assert!(
        TARGETS
            .iter()
            .map(|target| target.name)
            .eq(TESTED.iter().copied())
    );
}
