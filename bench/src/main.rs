//! `tickgate-bench`: measure, compare; and what `tickgate-lab` does.

mod command;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use command::{book, compare, cost, exchange, flood, lag, latency, micro, recovery, suite};

#[derive(Debug, Parser)]
#[command(name = "tickgate-bench", version, about = "Replay, measure, compare")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(flatten)]
    Lab(lab::command::Command),
    /// The laboratory: latency of the whole way, for any subset of the matrix, beside floor and peers.
    Latency(Box<latency::Arguments>),
    /// Every figure that the project states, with its aims: about four minutes.
    Suite(suite::Arguments),
    /// Two reports, or two gateway programs, side by side.
    Compare(compare::Arguments),
    /// What risk, the journal and a second session cost an order, in turn in one run.
    Cost(cost::Arguments),
    /// Instructions of each piece of the hot path, beside the best crates.
    Micro(micro::Arguments),
    /// What the exchange can do: operations, orders, messages a second, and memory.
    Exchange(exchange::Arguments),
    /// What a strategy that sleeps a second costs the feed, and itself.
    Lag(lag::Arguments),
    /// What a start costs after a day of orders.
    Recovery(recovery::Arguments),
    /// Decode a file and build its books.
    Book(book::Arguments),
    /// Packets as fast as they go: started by the laboratory.
    #[command(hide = true)]
    Flood(flood::Arguments),
}

fn main() -> ExitCode {
    lab::command::main_of(
        "tickgate-bench",
        |arguments: &Arguments, stop| match &arguments.command {
            Command::Lab(command) => command.run(stop),
            Command::Latency(arguments) => latency::run(arguments, stop),
            Command::Suite(arguments) => suite::run(arguments, stop),
            Command::Compare(arguments) => compare::run(arguments, stop),
            Command::Cost(arguments) => cost::run(arguments, stop),
            Command::Micro(arguments) => micro::run(arguments),
            Command::Exchange(arguments) => exchange::run(arguments, stop),
            Command::Lag(arguments) => lag::run(arguments, stop),
            Command::Recovery(arguments) => recovery::run(arguments, stop),
            Command::Book(arguments) => book::run(arguments),
            Command::Flood(arguments) => flood::run(arguments),
        },
    )
}
