//! Sets what of a host can be set while it runs, shows before and after, and puts it back.
//!
//! A program of its own: it needs root, which the gateway's user is not, and the gateway has no code that changes a host.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use clap::{CommandFactory, Parser, Subcommand};
use tickgate_host::tune::{self, Change, State, StateFile, Stuck};
use tickgate_host::{CpuList, Host, HotCore, InterfacePlan, Plan, Tree};

#[derive(Debug, Parser)]
#[command(
    name = "tickgate-host-tune",
    version,
    about = "Makes a host fit while it runs, and puts it back"
)]
struct Arguments {
    #[command(subcommand)]
    command: Action,
    /// Where what was before is kept.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        default_value = "/var/lib/tickgate/host-tune.json"
    )]
    state: PathBuf,
    /// Turn the files of a copied host under this folder.
    #[arg(long, global = true, value_name = "FOLDER", default_value = "/")]
    root: PathBuf,
    /// Show what would change, and change nothing.
    #[arg(long, global = true)]
    dry_run: bool,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Set what is not as it should be; a second time there is nothing left to do.
    Apply(Wanted),
    /// Put everything back as it was before the first `apply`.
    Revert {
        /// Only if nobody has confirmed that run, after waiting this long.
        #[arg(long, requires = "after_s", hide = true)]
        unconfirmed: Option<u32>,
        #[arg(long, requires = "unconfirmed", hide = true)]
        after_s: Option<u64>,
    },
    /// Keep what `apply --force` has set.
    Confirm,
    /// Write man pages and shell completions below a folder, as below a prefix: share/man/man1 and so on.
    Manual {
        /// Where to write.
        #[arg(value_name = "FOLDER")]
        folder: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
struct Wanted {
    /// What is planned here: what `tickgate doctor --json` printed.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["cpus", "interfaces", "busy_poll", "realtime"])]
    plan: Option<PathBuf>,
    /// CPUs of hot cores: 2-3,6.
    #[arg(long, value_name = "LIST", default_value = "")]
    cpus: String,
    /// An interface of a feed or of orders; may be given several times.
    #[arg(long = "interface", value_name = "IF")]
    interfaces: Vec<String>,
    /// Hot cores poll these interfaces' cards (busy_poll_us).
    #[arg(long)]
    busy_poll: bool,
    /// Hot cores run as SCHED_FIFO (host.realtime_priority).
    #[arg(long)]
    realtime: bool,
    /// Also an interface of the default route or of a login; taken back unless confirmed.
    #[arg(long)]
    force: bool,
    /// How long a forced run waits for `confirm`, seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    confirm_within: u64,
}

/// Exit status of a failure, and of wrong usage.
const FAILED: u8 = 1;
const WRONG_USAGE: u8 = 2;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.command {
        Action::Apply(wanted) => apply(&arguments, wanted),
        Action::Revert {
            unconfirmed,
            after_s,
        } => {
            if let Some(seconds) = after_s {
                wait(*seconds);
            }
            revert(&arguments, *unconfirmed)
        }
        Action::Confirm => confirm(&arguments),
        Action::Manual { folder } => tickgate_manual::write(&Arguments::command(), folder)
            .map_err(|error| (FAILED, format!("{}: {error}", folder.display()))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err((status, text)) => {
            let _ = writeln!(std::io::stderr(), "{text}");
            ExitCode::from(status)
        }
    }
}

type Failed = (u8, String);

fn failed(error: impl ToString) -> Failed {
    (FAILED, error.to_string())
}

fn apply(arguments: &Arguments, wanted: &Wanted) -> Result<(), Failed> {
    let plan = plan(wanted)?;
    let host = Host::read(&arguments.root, &plan);
    let changes = tune::changes(&host, &plan);
    let risky = risky(&host, &changes);
    if !risky.is_empty() && !wanted.force && !arguments.dry_run {
        let text = format!(
            "{}; nothing was changed. --force changes it all the same, for {} seconds unless confirmed",
            risky.join("; "),
            wanted.confirm_within
        );
        return Err(failed(text));
    }
    show(changes.iter(), |change| (&change.before, &change.after));
    for text in &risky {
        say(&format!("{text}: needs --force"));
    }
    if arguments.dry_run || changes.is_empty() {
        return Ok(());
    }
    let file = StateFile::open(&arguments.state).map_err(failed)?;
    let mut state = file.load(&host.tree).map_err(failed)?;
    let is_watched = !risky.is_empty();
    if is_watched {
        state.wait_for_confirmation(std::process::id());
    }
    state.add(&changes);
    // Before anything is turned: whatever happens to this process, what was is known.
    file.keep(&state).map_err(failed)?;
    if is_watched {
        watch(arguments, wanted.confirm_within).map_err(failed)?;
    }
    let stuck = tune::apply(&host.tree, &changes);
    state.forget(&stuck);
    file.keep(&state).map_err(failed)?;
    if is_watched {
        let seconds = wanted.confirm_within;
        say(&format!(
            "tickgate-host-tune confirm keeps this; else it is taken back in {seconds} s"
        ));
    }
    told(&stuck)
}

fn plan(wanted: &Wanted) -> Result<Plan, Failed> {
    let wrong = |text: String| (WRONG_USAGE, text);
    if let Some(path) = &wanted.plan {
        let name = path.display();
        let text = std::fs::read_to_string(path).map_err(|e| wrong(format!("{name}: {e}")))?;
        let mut object: serde_json::Value =
            serde_json::from_str(&text).map_err(|e| wrong(format!("{name}: {e}")))?;
        let plan = object.get_mut("plan").map(serde_json::Value::take);
        let plan = plan.ok_or_else(|| wrong(format!("{name}: no plan in it")))?;
        return serde_json::from_value(plan).map_err(|e| wrong(format!("{name}: {e}")));
    }
    let cpus = CpuList::parse(&wanted.cpus);
    if cpus.is_empty() != wanted.cpus.is_empty() {
        return Err(wrong(format!(
            "--cpus {}: expected a list like 2-3,6",
            wanted.cpus
        )));
    }
    let core = |cpu| HotCore {
        name: format!("cpu{cpu}"),
        cpu: Some(cpu),
    };
    let wish = InterfacePlan {
        busy_poll: wanted.busy_poll,
        ..InterfacePlan::default()
    };
    let interfaces = wanted.interfaces.iter().cloned();
    Ok(Plan {
        hot: cpus.iter().map(core).collect(),
        interfaces: interfaces.map(|name| (name, wish.clone())).collect(),
        realtime_priority: u8::from(wanted.realtime),
        ..Plan::default()
    })
}

/// Interfaces whose loss would lock the operator out, each with the reason.
fn risky(host: &Host, changes: &[Change]) -> Vec<String> {
    let ssh = std::env::var("SSH_CONNECTION").ok();
    let logins = host.login_interfaces(ssh.as_deref().filter(|_| host.tree.is_live()));
    let names = changes.iter().map(|it| it.interface.as_str());
    let names: BTreeSet<&str> = names.filter(|name| !name.is_empty()).collect();
    let why = |name: &str| match (logins.contains(name), host.carries_default_route(name)) {
        (true, _) => Some(format!("{name} has an operator's login")),
        (_, Some(false)) => None,
        (_, Some(true)) => Some(format!("{name} has the default route")),
        (_, None) => Some(format!(
            "{name} may have the default route: routes cannot be read"
        )),
    };
    names.into_iter().filter_map(why).collect()
}

/// Begins a process that outlives this one and its terminal, and takes the run back in time.
fn watch(arguments: &Arguments, seconds: u64) -> std::io::Result<()> {
    let run = std::process::id();
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("revert").arg("--state").arg(&arguments.state);
    command.arg("--root").arg(&arguments.root);
    command.args([
        "--unconfirmed",
        &run.to_string(),
        "--after-s",
        &seconds.to_string(),
    ]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.spawn().map(drop)
}

/// Waits, in a session of its own: who logs out does not end it.
fn wait(seconds: u64) {
    let _ = nix::unistd::setsid();
    let until = std::time::Duration::from_secs(seconds);
    #[expect(
        clippy::disallowed_methods,
        reason = "a tool that waits for its operator"
    )]
    std::thread::sleep(until);
}

fn revert(arguments: &Arguments, unconfirmed: Option<u32>) -> Result<(), Failed> {
    let file = StateFile::open(&arguments.state).map_err(failed)?;
    let tree = Tree::at(&arguments.root);
    let state = file.load(&tree).map_err(failed)?;
    let waiting = state.unconfirmed.as_ref();
    let (changes, kept) = match unconfirmed {
        None => (state.changes.clone(), Vec::new()),
        Some(run) => match waiting.filter(|it| it.run == run) {
            None => return Ok(()),
            Some(it) => (state.unconfirmed_changes(), it.earlier.clone()),
        },
    };
    for change in &changes {
        let now = change.knob.read(&tree).map(|now| now.to_string());
        if now.is_some_and(|now| now != change.after.to_string()) {
            say(&format!(
                "{}: somebody else has turned it since",
                change.knob
            ));
        }
    }
    show(changes.iter().rev(), |change| {
        (&change.after, &change.before)
    });
    if arguments.dry_run {
        return Ok(());
    }
    let stuck = tune::revert(&tree, &changes);
    let mut left = State {
        changes: kept,
        boot: state.boot.clone(),
        unconfirmed: None,
    };
    // What does not turn back is kept, so that it can be tried again.
    let again: Vec<Change> = stuck.iter().rev().map(|it| it.change.clone()).collect();
    left.add(&again);
    file.keep(&left).map_err(failed)?;
    told(&stuck)
}

fn confirm(arguments: &Arguments) -> Result<(), Failed> {
    let file = StateFile::open(&arguments.state).map_err(failed)?;
    let tree = Tree::at(&arguments.root);
    let mut state = file.load(&tree).map_err(failed)?;
    if state.unconfirmed.take().is_none() {
        return Err(failed(
            "nothing waits to be confirmed; it may have been taken back",
        ));
    }
    file.keep(&state).map_err(failed)?;
    say("kept");
    Ok(())
}

fn show<'a>(
    changes: impl Iterator<Item = &'a Change>,
    ends: impl Fn(&'a Change) -> (&'a tune::Value, &'a tune::Value),
) {
    let mut shown = 0;
    for change in changes {
        let (from, to) = ends(change);
        say(&format!("{}: {from} -> {to}", change.knob));
        shown += 1;
    }
    if shown == 0 {
        say("nothing to change");
    }
}

fn told(stuck: &[Stuck]) -> Result<(), Failed> {
    let each = |it: &Stuck| format!("{}: did not turn: {}", it.change.knob, it.error);
    let lines: Vec<String> = stuck.iter().map(each).collect();
    if lines.is_empty() {
        return Ok(());
    }
    Err(failed(lines.join("\n")))
}

/// A reader that has gone stops nothing halfway.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
