//! A service's log: readable lines on a terminal, entries with fields in systemd's journal, and no more of either than a bound.
//!
//! ```text
//!  log::info!, tell ──> filter ──> Limiter ──> stderr is the journal's? ── no ──> env_logger: a line
//!                                                      └── yes ──> journal: MESSAGE, PRIORITY, fields
//! ```
//!
//! Thread:      whichever has time; cores that trade write no line
//! Bounded by:  [`LINES_PER_SECOND`], errors apart; what is left out is counted and told
//! When wrong:  a journal that does not take an entry: the line goes to standard error

mod journal;
mod limiter;

use std::fmt;
use std::path::Path;
use std::sync::OnceLock;

use env_logger::Logger;
use log::{Level, Log, Metadata, Record};
use rt::clock::monotonic_ns;

use journal::Journal;
use limiter::{Limiter, Passed};

pub use limiter::LINES_PER_SECOND;

/// Where systemd's journal takes entries (systemd's "Native Journal Protocol").
const SOCKET: &str = "/run/systemd/journal/socket";

static LINES: OnceLock<Lines> = OnceLock::new();

/// What a line goes through.
#[derive(Debug)]
struct Lines {
    /// Decides which lines there are, and writes them where there is no journal.
    terminal: Logger,
    journal: Option<Journal>,
    limiter: Limiter,
}

/// Takes over the log of this process: lines as `terminal` filters and writes them, or entries of the journal where standard
/// error leads there. What was begun before stays.
pub fn begin(terminal: Logger, program: &'static str) {
    let filter = terminal.filter();
    let lines = Lines {
        terminal,
        journal: Journal::of_stderr(Path::new(SOCKET), program),
        limiter: Limiter::default(),
    };
    if LINES.set(lines).is_ok()
        && let Some(lines) = LINES.get()
        && log::set_logger(lines).is_ok()
    {
        log::set_max_level(filter);
    }
}

/// Writes a line of whom it is about: `fields` are the journal's (upper case, without a leading underscore), as
/// `("TICKGATE_SESSION", "ouch")`. On a terminal the text says it. `target` is `module_path!()`, as of `log`'s macros.
pub fn tell(level: Level, target: &str, fields: &[(&str, &str)], text: fmt::Arguments<'_>) {
    if level > log::max_level() {
        return;
    }
    let record = Record::builder()
        .level(level)
        .target(target)
        .args(text)
        .build();
    match LINES.get() {
        Some(lines) => lines.write(&record, fields),
        None => log::logger().log(&record),
    }
}

impl Log for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.terminal.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        self.write(record, &[]);
    }

    fn flush(&self) {
        self.terminal.flush();
    }
}

impl Lines {
    fn write(&self, record: &Record<'_>, fields: &[(&str, &str)]) {
        if !self.terminal.matches(record) {
            return;
        }
        let Passed { is_in, left_out } = self.limiter.pass(record.level(), monotonic_ns());
        if left_out > 0 {
            // One statement: what a record holds lives no longer.
            self.put(
                &Record::builder()
                    .level(Level::Warn)
                    .target("tickgate")
                    .args(format_args!(
                        "{left_out} lines of the log were left out: over {LINES_PER_SECOND} in a second"
                    ))
                    .build(),
                &[],
            );
        }
        if is_in {
            self.put(record, fields);
        }
    }

    fn put(&self, record: &Record<'_>, fields: &[(&str, &str)]) {
        let is_taken = self
            .journal
            .as_ref()
            .is_some_and(|it| it.put(record, fields));
        if !is_taken {
            self.terminal.log(record);
        }
    }
}
