//! `exchange`: what the exchange can do.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use bench::exchange;
use lab::command::write_json;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Write the figures there.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Takes the exchange's own figures.
#[expect(clippy::print_stdout, reason = "figures are what this command prints")]
pub(crate) fn run(arguments: &Arguments, stop: &AtomicBool) -> Result<()> {
    let figures = exchange::measure(|what| eprintln!("measuring: {what}"), stop)?;
    let millions = |value: f64| format!("{:.2} M", value / 1e6);
    println!(
        "engine operations/s, one core, mixed flow    {} (rounds {} to {}; {} operations each)\n\
         memory for 1,000,000 resting orders          {} MB\n\
         orders/s through TCP on loopback             {:.0}\n\
         feed messages/s published on two lines       {} in {} packets/s a line",
        millions(figures.engine_per_s),
        millions(figures.engine_range.0),
        millions(figures.engine_range.1),
        figures.operations,
        figures.memory_bytes / 1_000_000,
        figures.tcp_per_s,
        millions(figures.feed_per_s),
        millions(figures.packets_per_s),
    );
    let json = arguments.json.as_deref();
    write_json(json, "tickgate-bench exchange", figures.to_json())
}
