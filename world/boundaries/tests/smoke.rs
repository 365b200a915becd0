//! Each boundary takes its seeds, and some hundred inputs that were made of them, the same ones in every run. `make fuzz`
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
const INPUTS: usize = 800;
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

#[test]
fn frames_are_what_their_sums_say_or_refused() {
    holds("frame");
}

#[test]
fn downstream_packets_are_read_as_they_are_built() {
    holds("mold");
}

#[test]
fn segments_are_read_as_they_are_built() {
    holds("iex_tp");
}

#[test]
fn messages_are_as_long_as_their_type_or_refused() {
    holds("messages");
}

#[test]
fn whatever_two_lines_bring_is_told_or_announced() {
    holds("feed");
}

#[test]
fn whatever_two_lines_of_iex_bring_is_told_or_announced() {
    holds("iex");
}

#[test]
fn snapshots_are_heard_the_same_in_any_pieces() {
    holds("glimpse");
}

#[test]
fn streams_are_cut_into_the_same_packets_in_any_pieces() {
    holds("soup");
}

#[test]
fn whatever_an_exchange_answers_risk_counts_what_lives() {
    holds("answers");
}

#[test]
fn whatever_a_client_says_the_exchange_goes_on() {
    holds("session");
}

#[test]
fn whatever_is_ordered_both_sides_are_told() {
    holds("orders");
}

#[test]
fn files_are_read_to_their_end_or_refused() {
    holds("files");
}

#[test]
fn journals_give_out_what_was_written() {
    holds("journal");
}

#[test]
fn configurations_are_themselves_or_refused() {
    holds("configuration");
}

#[test]
fn control_requests_are_read_as_they_are_written() {
    holds("control");
}

#[test]
fn http_requests_are_answered_or_waited_for_within_bounds() {
    holds("http");
}

#[test]
fn commands_are_done_once_and_only_with_the_key() {
    holds("command");
}

#[test]
fn every_target_has_its_test() {
    let source = include_str!("smoke.rs");
    for target in TARGETS {
        let call = format!("holds({:?});", target.name);
        assert_eq!(source.matches(&call).count(), 1, "{}", target.name);
    }
}
