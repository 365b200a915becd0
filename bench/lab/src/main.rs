//! `tickgate-lab`: the demo, and the feeds that it needs.

use std::process::ExitCode;

use clap::Parser;
use lab::command::{Command, main_of};

#[derive(Debug, Parser)]
#[command(
    name = "tickgate-lab",
    version,
    about = "The demo, and feeds: replay, generate"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    main_of("tickgate-lab", |arguments: &Arguments, stop| {
        arguments.command.run(stop)
    })
}
