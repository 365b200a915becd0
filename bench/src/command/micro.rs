//! `micro`: instructions of each piece of the hot path; with a record, compared or rewritten. And the memory that an order touches.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use bench::micro::{self, instructions, places};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Fail when a piece takes over 3 % more instructions than this file says.
    #[arg(long, value_name = "FILE")]
    check: Option<PathBuf>,
    /// Write the counts there.
    #[arg(long, value_name = "FILE")]
    update: Option<PathBuf>,
    /// Run one pass of one piece: what callgrind looks at.
    #[arg(long, value_name = "NAME", hide = true)]
    pass: Option<String>,
    /// Touch what one step of an order touches, some times: what lackey looks at.
    #[arg(long, value_name = "NAME", hide = true)]
    touch: Option<String>,
    /// Say which cache lines and pages a step of an order touches, and count no instructions.
    #[arg(long, conflicts_with_all = ["check", "update"])]
    places: bool,
}

/// Counts instructions; with a record, compares or rewrites it.
#[expect(clippy::print_stdout, reason = "counts are what this command prints")]
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if let Some(piece) = &arguments.pass {
        return micro::pass(piece);
    }
    if let Some(step) = &arguments.touch {
        return places::touch(step);
    }
    if arguments.places {
        return show_places();
    }
    let counts = instructions::count(|name, each| println!("{name:44} {each:10.1} instructions"))?;
    show_places()?;
    if let Some(path) = &arguments.update {
        let text = serde_json::to_string_pretty(&counts)? + "\n";
        std::fs::write(path, text).with_context(|| path.display().to_string())?;
    }
    if let Some(path) = &arguments.check {
        let recorded = instructions::read(path)?;
        let found = instructions::differences(&recorded, &counts);
        if !found.is_empty() {
            if recorded.rustc != counts.rustc {
                println!(
                    "recorded with {}, counted with {}",
                    recorded.rustc, counts.rustc
                );
            }
            bail!(
                "{}\nif this is on purpose: make bench-record",
                found.join("\n")
            );
        }
        println!("no piece takes over 3 % more instructions than recorded");
    }
    Ok(())
}

/// Cache lines and pages of each step of an order.
#[expect(clippy::print_stdout, reason = "counts are what this command prints")]
fn show_places() -> Result<()> {
    for step in places::STEPS {
        println!("{step:44} {}", places::count(step)?);
    }
    Ok(())
}
