//! `generate`: a synthetic day, written into a file.

use std::path::PathBuf;

use anyhow::Result;
use feeds::generate;
use serde_json::json;

use super::{progress, write_json};

/// What day to write.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The file to write; packed if it ends in .gz.
    file: PathBuf,
    /// Same seed, same bytes.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Messages.
    #[arg(long, default_value_t = 1_000_000)]
    messages: u64,
    /// Symbols, at most 10,000.
    #[arg(long, default_value_t = 500)]
    symbols: u16,
    /// Orders that are live at one time, for books that no cache holds: a whole market has about
    /// 1,000,000. 0: twenty a symbol.
    #[arg(long, default_value_t = 0)]
    live: u32,
    /// Write the report there.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let options = generate::Options {
        seed: arguments.seed,
        messages: arguments.messages,
        symbols: arguments.symbols,
        live: arguments.live,
    };
    let bar = progress(false, "{bar:30} {pos}/{len} messages, {per_sec}");
    bar.set_length(arguments.messages);
    let clock = rt::clock::Clock::new();
    let start_ns = clock.now_ns();
    generate::to_file(&options, &arguments.file, |messages| {
        bar.set_position(messages)
    })?;
    let took_ns = clock.now_ns() - start_ns;
    bar.finish_and_clear();
    let run = json!({
        "name": "generate", "messages": arguments.messages, "symbols": arguments.symbols,
        "seed": arguments.seed, "live": arguments.live, "took_ns": took_ns,
    });
    write_json(arguments.json.as_deref(), "tickgate-lab generate", run)
}
