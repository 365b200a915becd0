//! `tickgate journal`: prints, filters, follows and exports the journals of runs.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use crate::journal::continuity::Continuity;
use crate::journal::event::Event;
use crate::journal::executions::{Execution, Executions};
use crate::journal::export::{Export, Exported};
use crate::journal::files::list;
use crate::journal::filter::{Filter, Wanted};
use crate::journal::format::{Header, Kind};
use crate::journal::head::Head;
use crate::journal::reader::{Damage, ReadError, Reader};
use crate::journal::replay::{Hearer, replay};
use crate::journal::show;

/// How often a file that is followed is looked at.
const LOOK: Duration = Duration::from_millis(100);

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// A journal, or a folder of them: `journal.folder`.
    path: PathBuf,
    /// Go on with what is written later, and with the files that come after.
    #[arg(long)]
    follow: bool,
    /// Only records of this kind; may be given several times.
    #[arg(long = "kind", value_name = "KIND", value_parser = kind)]
    kinds: Vec<Kind>,
    /// Only records of this session.
    #[arg(long, value_name = "NAME")]
    session: Option<String>,
    /// Only what is about the order of this reference number (`UserRefNum`), and about those that replaced it.
    #[arg(long, value_name = "REF")]
    order: Option<u32>,
    /// Only what is about the orders of this strategy, by its name or its number on its session.
    #[arg(long, value_name = "NAME")]
    strategy: Option<String>,
    /// A JSON object a line.
    #[arg(long)]
    json: bool,
    /// Executions and broken trades only, each once in however many runs it was heard, as the drop copy has them: a JSON
    /// object a line.
    #[arg(long, conflicts_with_all = ["follow", "kinds", "session", "order", "strategy"])]
    executions: bool,
    /// Writes orders.parquet, fills.parquet and latencies.parquet into this folder: each order, execution and request once,
    /// in however many runs it was heard. None of them may be there already.
    #[arg(long, value_name = "FOLDER",
          conflicts_with_all = ["follow", "kinds", "session", "order", "strategy", "json", "executions"])]
    parquet: Option<PathBuf>,
}

fn kind(word: &str) -> Result<Kind, String> {
    Kind::named(word).ok_or_else(|| {
        let words: Vec<&str> = Kind::ALL.into_iter().map(|(_, word)| word).collect();
        format!("expected one of {}", words.join(", "))
    })
}

/// How printing ended before its time.
enum Ended {
    /// Nobody reads what is printed.
    Unread,
    /// A file could not be read to its end.
    Failed(String),
}

pub(super) fn run(arguments: Arguments) -> ExitCode {
    let printed = if let Some(folder) = &arguments.parquet {
        export(&arguments.path, folder)
    } else if arguments.executions {
        executions(&arguments.path)
    } else {
        print(arguments)
    };
    match printed {
        Ok(true) | Err(Ended::Unread) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(super::FAILED),
        Err(Ended::Failed(text)) => super::fail(super::FAILED, &text),
    }
}

/// Prints every file; `false`: one of them is damaged.
fn print(arguments: Arguments) -> Result<bool, Ended> {
    let Arguments { path, follow, .. } = &arguments;
    let (path, follow) = (path.clone(), *follow);
    let mut printer = Printer {
        filter: Filter::new(Wanted {
            kinds: arguments.kinds,
            session: arguments.session,
            order: arguments.order,
            strategy: arguments.strategy,
        }),
        is_json: arguments.json,
        out: io::BufWriter::new(io::stdout()),
    };
    let failed = |error: io::Error| Ended::Failed(format!("{}: {error}", path.display()));
    let is_folder = path.is_dir();
    let files = || files_of(&path);
    let (mut done, mut is_whole) = (Vec::new(), true);
    loop {
        let found = files().map_err(failed)?;
        let Some(file) = found.iter().find(|file| !done.contains(*file)).cloned() else {
            if is_folder && follow {
                std::thread::park_timeout(LOOK);
                continue;
            }
            break;
        };
        done.push(file.clone());
        let is_over = || {
            let newer = || files().is_ok_and(|all| all.iter().any(|one| !done.contains(one)));
            !follow || newer()
        };
        is_whole &= printer.print(&file, is_over)?;
    }
    if done.is_empty() {
        return Err(no_journal(&path));
    }
    Ok(is_whole)
}

/// The journals that a path stands for.
fn files_of(path: &Path) -> io::Result<Vec<PathBuf>> {
    if path.is_dir() {
        return list(path);
    }
    Ok(vec![path.to_owned()])
}

/// Prints executions; `false`: something is missing.
fn executions(path: &Path) -> Result<bool, Ended> {
    let mut teller = Teller::default();
    let is_whole = hear(path, &mut teller, |teller| {
        let mut out = io::stdout().lock();
        for execution in teller.told.drain(..) {
            let line = serde_json::to_string(&execution).map_err(|error| failed(path, &error))?;
            writeln!(out, "{line}").map_err(|_| Ended::Unread)?;
        }
        Ok(())
    })?;
    Ok(is_whole & is_one_day(path, teller.executions.clash()))
}

/// Whether no message was left out because another one had its number.
fn is_one_day(path: &Path, clash: Option<String>) -> bool {
    if let Some(clash) = &clash {
        log::error!("{}: {clash}", path.display());
    }
    clash.is_none()
}

/// Writes Parquet files; `false`: something is missing in them.
fn export(path: &Path, folder: &Path) -> Result<bool, Ended> {
    let refused = |error: io::Error| failed(folder, &error);
    let mut export = Export::begin(folder).map_err(refused)?;
    let is_whole = hear(path, &mut export, |_| Ok(()))? & is_one_day(path, export.clash());
    let done = export.finish().map_err(refused)?;
    let Exported {
        orders,
        fills,
        latencies,
    } = done;
    let shown = folder.display();
    // The files are there whether anybody reads this or not.
    let _ = writeln!(
        io::stdout(),
        "{shown}: {orders} orders, {fills} fills, {latencies} latencies"
    );
    Ok(is_whole)
}

fn no_journal(folder: &Path) -> Ended {
    failed(folder, &"no journal in it")
}

fn failed(path: &Path, error: &dyn std::fmt::Display) -> Ended {
    Ended::Failed(format!("{}: {error}", path.display()))
}

/// Plays every file to somebody, who is asked what to do after each; `false`: a file is damaged, or something is missing.
fn hear<H: Hearer>(
    path: &Path,
    hearer: &mut H,
    mut after: impl FnMut(&mut H) -> Result<(), Ended>,
) -> Result<bool, Ended> {
    let files = files_of(path).map_err(|error| failed(path, &error))?;
    if files.is_empty() {
        return Err(no_journal(path));
    }
    let mut is_whole = true;
    let mut continuity = Continuity::new(hearer, path.is_dir());
    for path in files {
        let file = File::open(&path).map_err(|error| failed(&path, &error))?;
        let played = replay(file, &mut continuity, |_, _| ());
        for finding in continuity.end_file(&played) {
            if finding.is_loss() {
                log::error!("{}: {finding}", path.display());
                is_whole = false;
            } else {
                log::warn!("{}: {finding}", path.display());
            }
        }
        match played {
            Ok(()) => {}
            // What a run that goes on is writing looks torn, and so does what a killed one left.
            Err(error) if error.is_torn() => {}
            Err(ReadError::Io(error)) => return Err(failed(&path, &error)),
            Err(error) => {
                log::error!("{}: {error}", path.display());
                is_whole = false;
            }
        }
        after(continuity.hearer())?;
    }
    Ok(is_whole)
}

/// Executions on their way to be printed.
#[derive(Default)]
struct Teller {
    executions: Executions,
    told: Vec<Execution>,
}

impl Hearer for Teller {
    fn begin_file(&mut self, head: &Head) {
        self.executions.begin_file(head.began, &head.names);
    }

    fn on_record(&mut self, header: &Header, event: &Event<'_>) {
        self.told.extend(self.executions.on_record(header, event));
    }
}

struct Printer {
    filter: Filter,
    is_json: bool,
    out: io::BufWriter<io::Stdout>,
}

impl Printer {
    /// Prints a file, until it ends and `is_over`; `false`: it is damaged.
    fn print(&mut self, path: &Path, is_over: impl Fn() -> bool) -> Result<bool, Ended> {
        let failed = |error: ReadError| Ended::Failed(format!("{}: {error}", path.display()));
        let mut reader = loop {
            let file = File::open(path).map_err(|error| failed(error.into()))?;
            match Reader::new(file) {
                Ok(reader) => break reader,
                // Its head is being written, or its run was killed before that: nothing is in it.
                Err(error) if error.is_torn() && !is_over() => std::thread::park_timeout(LOOK),
                Err(error) if error.is_torn() => {
                    log::warn!("{}: {error}", path.display());
                    return Ok(true);
                }
                Err(error) => return Err(failed(error)),
            }
        };
        let head = reader.head().clone();
        // What is written while a file ends is read once more.
        let mut is_last_look = false;
        loop {
            let ended = match reader.next_record() {
                Ok(Some(record)) => {
                    let event = Event::of(&record)
                        .map_err(|flaw| Ended::Failed(format!("{}: {flaw}", path.display())))?;
                    if self.filter.wants(&head, &record, &event) {
                        let line = if self.is_json {
                            show::json(&head, &record, &event)
                        } else {
                            show::text(&head, &record, &event)
                        };
                        writeln!(self.out, "{line}").map_err(|_| Ended::Unread)?;
                    }
                    continue;
                }
                Ok(None) => Ok(()),
                Err(error) => Err(error),
            };
            self.out.flush().map_err(|_| Ended::Unread)?;
            // The end of a file that is being written looks torn.
            let may_grow = matches!(
                ended,
                Ok(()) | Err(ReadError::Damaged(Damage { is_torn: true, .. }))
            );
            if may_grow && !is_last_look {
                is_last_look = is_over();
                if !is_last_look {
                    std::thread::park_timeout(LOOK);
                }
                continue;
            }
            return match ended {
                Ok(()) => Ok(true),
                Err(ReadError::Damaged(damage)) => {
                    log::error!("{}: {damage}", path.display());
                    Ok(false)
                }
                Err(error) => Err(failed(error)),
            };
        }
    }
}
