//! `recovery`: what a start costs after a day of orders.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use bench::recovery;
use gateway::telemetry::grouped;
use lab::command::{progress, write_json};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// New orders of the day.
    #[arg(default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    orders: u64,
    /// Write the report there.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Makes the day, and starts a gateway after it.
#[expect(clippy::print_stdout, reason = "figures are what this command prints")]
pub(crate) fn run(arguments: &Arguments, stop: &AtomicBool) -> Result<()> {
    let bar = progress(false, "{bar:30} {pos}/{len} orders made, {per_sec}");
    bar.set_length(arguments.orders);
    let found = recovery::measure(arguments.orders, |made| bar.inc(made), stop)?;
    bar.finish_and_clear();
    let ms = |ns: u64| grouped(ns / 1_000_000);
    println!(
        "a day of {} orders: {} messages of the exchange, {} executions, {} records in {} MiB of journals\n\
         journals read                        {} ms\n\
         the exchange's day heard and judged  {} ms\n\
         orders may go out after              {} ms\n\
         memory at its most                   {} MiB\n\
         {} orders found open and {} positions, as the exchange has them",
        grouped(found.orders),
        grouped(found.messages),
        grouped(found.executions),
        grouped(found.records),
        found.journal_bytes >> 20,
        ms(found.read_ns),
        ms(found.replay_ns),
        ms(found.read_ns + found.replay_ns),
        found.memory_bytes >> 20,
        found.open,
        found.positions.len(),
    );
    write_json(
        arguments.json.as_deref(),
        "tickgate-bench recovery",
        found.to_json(),
    )
}
