//! `tickgate backtest`: becomes the program beside this one that has an exchange in it, which what trades has not.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use super::{FAILED, fail};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// What `tickgate-backtest` is given.
    #[arg(
        value_name = "ARGUMENT",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    arguments: Vec<OsString>,
}

/// Returns only where there is no such program.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let own = match std::env::current_exe() {
        Ok(own) => own,
        Err(error) => return fail(FAILED, &format!("this program's path: {error}")),
    };
    let program = own.with_file_name(beside(&own));
    let error = Command::new(&program).args(&arguments.arguments).exec();
    let shown = program.display();
    fail(
        FAILED,
        &format!(
            "{shown}: {error}; expected a program that calls backtest::cli::run (docs/backtest.md)"
        ),
    )
}

/// `tickgate-backtest` beside `tickgate`, `mine-backtest` beside a user's `mine`.
fn beside(own: &Path) -> OsString {
    let mut name = own.file_name().unwrap_or_default().to_owned();
    name.push("-backtest");
    name
}
