//! `book`: decodes a file and builds its books.

use std::path::PathBuf;

use anyhow::Result;
use bench::book;
use gateway::telemetry::grouped;
use lab::command::{progress, write_json};
use serde_json::Value;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// BinaryFILE (plain or .gz), pcap or pcapng.
    file: PathBuf,
    /// Write best prices there as CSV.
    #[arg(long, value_name = "FILE")]
    bbo: Option<PathBuf>,
    /// Write trades there as CSV.
    #[arg(long, value_name = "FILE")]
    trades: Option<PathBuf>,
    /// Write the report there.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[expect(
    clippy::print_stdout,
    reason = "counts and rates are what this command prints"
)]
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let options = book::Options {
        bbo: arguments.bbo.clone(),
        trades: arguments.trades.clone(),
    };
    let bar = progress(false, "{bytes}, {bytes_per_sec}");
    let outcome = book::build(&arguments.file, &options, |bytes| bar.set_position(bytes))?;
    bar.finish_and_clear();
    for (kind, count) in &outcome.by_type {
        println!("{kind} {:>15}", grouped(*count));
    }
    println!(
        "{} messages, {} unknown, {} malformed, {} unknown references, {} rejected, {} refused for \
         want of room\n{} changes of best prices, {} trades\ndecode {:.1} ns a message, with books \
         {:.1} ns, peak memory {} MiB",
        grouped(outcome.messages),
        grouped(outcome.unknown),
        grouped(outcome.malformed),
        grouped(outcome.missing_ref),
        grouped(outcome.rejected),
        grouped(outcome.refused_full),
        grouped(outcome.bbo_rows),
        grouped(outcome.trade_rows),
        outcome.decode_ns_per_msg,
        outcome.book_ns_per_msg,
        outcome.peak_rss_bytes >> 20,
    );
    let mut run = outcome.to_json();
    if let Value::Object(run) = &mut run {
        run.insert("name".into(), "book".into());
    }
    write_json(arguments.json.as_deref(), "tickgate-bench book", run)
}
