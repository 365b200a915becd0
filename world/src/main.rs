//! `world SEED` lives one world again; `world --seeds N` lives many and counts.

#![allow(clippy::print_stdout, reason = "a command line")]

use std::process::ExitCode;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use rt::clock::Clock;
use world::{Outcome, Sum, live_many};

/// Of the worlds that fail, at most three are made smaller.
const SMALLER_MAX: usize = 3;

/// Worlds from seeds: gateway and exchange on a simulated network and clock.
#[derive(Debug, Parser)]
struct Arguments {
    /// The world to live; with --seeds: the first of them.
    #[arg(default_value_t = 0)]
    seed: u64,
    /// Live this many worlds, and say how many passed.
    #[arg(long, value_name = "N")]
    seeds: Option<u64>,
    /// A feed's day instead of a whole world.
    #[arg(long)]
    feed: bool,
    /// A long day of the feed, of at least this many messages.
    #[arg(long, value_name = "N", requires = "feed", conflicts_with = "seeds")]
    messages: Option<u64>,
    /// Stop at the first that fails.
    #[arg(long, requires = "seeds")]
    first: bool,
    /// Only these of its steps: what is left of a world that was made smaller.
    #[arg(long, value_delimiter = ',', value_name = "STEP", conflicts_with_all = ["seeds", "feed"])]
    steps: Vec<u32>,
    /// Threads; each lives worlds of its own.
    #[arg(long, default_value_t = std::thread::available_parallelism().map_or(1, usize::from))]
    threads: usize,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.seeds {
        None => one(&arguments),
        Some(seeds) => many(&arguments, seeds),
    }
}

/// A broken rule panics: its message follows the seed. Then the world is made smaller.
fn one(arguments: &Arguments) -> ExitCode {
    let seed = arguments.seed;
    println!("seed {seed}");
    if let Some(messages) = arguments.messages {
        long_day(seed, messages);
        return ExitCode::SUCCESS;
    }
    if let Ok(outcome) = std::panic::catch_unwind(|| live(arguments, seed)) {
        println!("{outcome:#?}");
        return ExitCode::SUCCESS;
    }
    if !arguments.feed && arguments.steps.is_empty() {
        tell_smaller(seed);
    }
    ExitCode::FAILURE
}

/// What is left of a world that fails, and how to live it again.
fn tell_smaller(seed: u64) {
    let Some(smaller) = world::make_smaller(seed) else {
        return;
    };
    let steps: Vec<String> = smaller.steps.iter().map(ToString::to_string).collect();
    println!(
        "seed {seed}, made smaller: {} of {} steps break the same rule, {}; again: world {seed}{}{}",
        steps.len(),
        world::STEPS,
        smaller.broken,
        if steps.is_empty() { "" } else { " --steps " },
        steps.join(",")
    );
}

fn long_day(seed: u64, messages: u64) {
    let clock = Clock::new();
    let began_ns = clock.now_ns();
    let bar = bar(messages, "messages");
    let heard = world::play_long_feed(seed, messages, |published| bar.set_position(published));
    bar.finish_and_clear();
    let took_s = (clock.now_ns() - began_ns) as f64 / 1e9;
    println!("{heard:#?}");
    println!("1 passed, 0 failed; {took_s:.0} s");
}

/// How far it is, of this many.
fn bar(len: u64, of: &str) -> ProgressBar {
    let template = format!("{{pos}} of {{len}} {of}, {{eta}} left {{wide_bar}}");
    let style = ProgressStyle::with_template(&template);
    ProgressBar::new(len).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// One world, or a feed's day as a world of which nothing else is known.
fn live(arguments: &Arguments, seed: u64) -> Outcome {
    if !arguments.steps.is_empty() {
        return world::play_only(seed, &arguments.steps);
    }
    if !arguments.feed {
        return world::play(seed);
    }
    Outcome {
        heard: world::play_feed(seed),
        ..Outcome::default()
    }
}

fn many(arguments: &Arguments, seeds: u64) -> ExitCode {
    let clock = Clock::new();
    let began_ns = clock.now_ns();
    let bar = bar(seeds, "worlds");
    let tell_of = |seed: u64, has_passed: bool| {
        if !has_passed {
            // Also where there is no terminal for a bar.
            bar.suspend(|| {
                let of = if arguments.feed { "--feed " } else { "" };
                println!("seed {seed} failed; again: world {of}{seed}");
            });
        }
        bar.inc(1);
        has_passed || !arguments.first
    };
    let seeds = arguments.seed..arguments.seed + seeds;
    let sum = live_many(
        seeds,
        arguments.threads,
        |seed| live(arguments, seed),
        tell_of,
    );
    bar.finish_and_clear();
    tell(&sum, (clock.now_ns() - began_ns) as f64 / 1e9);
    let failed = sum.failed.len() as u64;
    if failed > 0 {
        println!("failed: {:?}", sum.failed);
    }
    if !arguments.feed {
        for seed in sum.failed.iter().take(SMALLER_MAX) {
            tell_smaller(*seed);
        }
    }
    println!("{} passed, {failed} failed", sum.passed);
    ExitCode::from(u8::from(failed > 0))
}

fn tell(sum: &Sum, took_s: f64) {
    let outcome = &sum.outcome;
    let lived_s = outcome.lived_ns as f64 / 1e9;
    let is_order = |word: &&String| word.starts_with("Enter") && !word.contains("Refused");
    let orders: u64 = outcome
        .answers
        .iter()
        .filter(|(word, _)| is_order(word))
        .map(|(_, count)| count)
        .sum();
    let heard = &outcome.heard;
    let worlds = sum.passed + sum.failed.len() as u64;
    let rate = |count: u64| count as f64 / took_s;
    println!(
        "{worlds} worlds in {took_s:.0} s ({:.1} a second), {lived_s:.0} simulated seconds ({:.0} a second), {orders} \
         orders of the random strategies ({:.0} a second), {} starts; the exchange was killed {} times, nothing came \
         through {} times, strategies stood still {} times",
        rate(worlds),
        lived_s / took_s,
        rate(orders),
        outcome.starts,
        outcome.exchange_kills,
        outcome.partings,
        outcome.sleeps
    );
    println!(
        "{} messages ({:.0} a second) of {} sessions, {} gaps, {} silences, {} prices compared; {} worlds with every quote",
        heard.messages,
        rate(heard.messages),
        heard.sessions,
        heard.gaps,
        heard.silences,
        heard.compared,
        sum.quoted
    );
    println!(
        "{} messages recovered by {} requests, {} gaps ended by a snapshot, {} snapshots failed",
        heard.recovered, heard.requests, heard.snapshots, heard.snapshots_failed
    );
    for (word, count) in &outcome.answers {
        println!("{count:>12} {word}");
    }
}
