//! The service: builds stages, cores and rings from options, runs them, and keeps house.
//!
//! Path:        options -> receive -> rings -> stages -> cores; then housekeeping until a signal
//! Thread:      the main thread is the housekeeping core; it sleeps when idle. So does the recovery core,
//!              which there is where a feed has servers to ask, the capture core, where frames are kept, and the
//!              journal core, where there is a journal.

mod accounts;
mod build;
mod capture;
pub mod certificate;
pub mod configuration;
pub mod control;
pub(crate) mod declared;
mod feed;
mod feed_watch;
mod house;
mod housekeeping;
mod journal;
mod kill_file;
mod kill_page;
mod layout;
mod manager;
mod means;
mod progress;
mod readiness;
mod receive;
mod recovery;
mod reload_bell;
pub mod replay;
pub mod reports;
pub mod sandbox;
mod strategies;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::core_loop::{self, CoreEnds, CoreOptions, CoreState, Stage};
use crate::journal::turns::TurnKeeper;
use crate::options::{Options, Output};
use crate::telemetry::{Kind, Label, POSITIONS_SHOWN, Report};
use crate::trace::file::{CoreLog, SlowFile};

use rt::ring::ring;
use rt::turn_notes::TurnLog;

use build::Built;
use certificate::{CertificateOptions, HostWatch, Told};
use control::{Control, CoreControl};
use house::House;
use housekeeping::{Housekeeping, Parts};
use journal::Earlier;
use kill_file::KillWatch;
use means::Means;
use readiness::Readiness;
use sandbox::policy::Policy;
use sandbox::{Rung, Sandbox};

pub use kill_file::{KillFile, KillRecord};
pub use kill_page::{ForeignSwitches, kill_page_of};

/// Stalls of a core that may wait for housekeeping.
const STALLS: usize = 1024;

/// One hot core's thread.
#[derive(Debug)]
pub(crate) struct Core {
    name: String,
    cpu: Option<usize>,
    state: Arc<CoreState>,
    thread: JoinHandle<Result<(), String>>,
}

impl Core {
    fn shown(&self) -> CoreControl {
        CoreControl {
            name: self.name.clone(),
            cpu: self.cpu,
            state: Arc::clone(&self.state),
        }
    }
}

/// Stops a running service from another thread: what SIGTERM does.
#[derive(Clone, Debug, Default)]
pub struct StopHandle(Arc<AtomicBool>);

impl StopHandle {
    /// Stops the service: orders are cancelled, then it ends.
    pub fn stop(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    pub(crate) fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }
}

/// Runs the service until it is stopped by SIGTERM, SIGINT or `stop`. `on_ready` is called once the
/// cores run, with the operator's door to them.
///
/// # Errors
/// Why it could not start, which core ended by itself, or how many orders are left open: one line.
pub fn run(
    mut options: Options,
    stop: &StopHandle,
    on_ready: impl FnOnce(Control),
) -> Result<Report, String> {
    if options.lock_memory {
        lock_memory();
    }
    let output = options.output.clone();
    let feeds_wait_ns = options.feeds_wait_ns;
    // Of all options: what the host is held against is among what may be read.
    let sandbox = Arc::new(Sandbox::new(Policy::of(&options), options.sandbox)?);
    let host_watch = host_watch(options.certificate.take())?;
    let kill_file = kill_file(&options)?;
    let mut journal = options.journal.clone().zip(Some(journal::names(&options)));
    let Earlier { pasts, copy } = journal::look_back(journal.as_ref())?;
    let is_replayable = options.journal.as_ref().is_some_and(|it| it.is_replayable);
    let log = is_replayable.then(Arc::<TurnLog>::default);
    let Built {
        stages,
        mut house,
        mut control,
        layout,
        kill_page,
    } = build::build(options, pasts, &mut Means::Live(log.clone()))?;
    let turns = journal::keep_turns(log, &mut journal, &mut house)?;
    one_core_of(&turns, layout.len())?;
    keep_certificate(host_watch.as_ref(), &mut house, &mut control);
    control.journal = journal::keep_requests(&mut journal, &mut house)?;
    let (reports, desk) = reports::reports();
    (control.kill_file, control.reports) = (kill_file.clone(), Some(reports));
    let names = house.sessions.iter().map(|it| it.name.clone()).collect();
    let kill_watch = KillWatch::start(kill_file, &house.kills, names)
        .map_err(|error| format!("the kill file: {error}"))?;
    // Before the first core runs: what cannot be journaled does not happen.
    let journal = journal::begin(journal, copy, &mut house)?;
    let flag = Arc::<AtomicBool>::default();
    let hot: Vec<usize> = layout.iter().filter_map(|core| core.cpu).collect();
    let (cores, logs) = start(stages, layout, turns, &flag, &sandbox)?;
    control.cores = cores.iter().map(Core::shown).collect();
    register_clocks(&cores, &mut house);
    keep_off(&hot);
    // What is begun from here on inherits what this thread gives up.
    // Cores that wait for it end where it fails.
    enter(&sandbox, &mut house).inspect_err(|_| flag.store(true, Ordering::SeqCst))?;
    let journal = journal::start(journal)?;
    let capture = capture::start(std::mem::take(&mut house.captures))?;
    let recovery = recovery::start(std::mem::take(&mut house.recovery), &flag)?;
    let traces = std::mem::take(&mut house.traces);
    let slow = SlowFile::new(output.slow_orders.clone(), traces, logs);
    let mut house = Housekeeping::new(
        Parts {
            house,
            slow,
            kill_watch,
            desk,
            sandbox,
            readiness: Readiness::new(control.manager.clone(), feeds_wait_ns),
            reload: control.reload.clone(),
            host_watch,
        },
        output.warm_up_ms,
        stop,
    )?;
    let cores = running(cores, &flag, &mut house)?;
    on_ready(control);
    let failed = keep_house(&mut house, &cores);
    house.stopping();
    flag.store(true, Ordering::SeqCst);
    join(cores, &mut house)?;
    recovery::join(recovery)?;
    capture.finish()?;
    let journaled = journal.finish(failed.is_none());
    house.last_words();
    let report = house.report();
    write(&report, &house, &output)?;
    drop(kill_page);
    journaled?;
    ended_well(failed, house.open_orders()).map(|()| report)
}

fn lock_memory() {
    if let Err(error) = rt::cpu::lock_memory() {
        log::warn!(
            "memory is not locked ({error}): a page may be swapped out and cost milliseconds; grant \
             CAP_IPC_LOCK or LimitMEMLOCK=infinity"
        );
    }
}

/// Holds the host against its certificate, where there is one: before anything of it is taken or given up.
fn host_watch(options: Option<CertificateOptions>) -> Result<Option<HostWatch>, String> {
    let Some(options) = options else {
        return Ok(None);
    };
    let (watch, told) = HostWatch::open(options, Path::new("/"))?;
    told.iter().for_each(Told::log);
    Ok(Some(watch))
}

/// What came of it is counted, and shown at the operator's door.
fn keep_certificate(watch: Option<&HostWatch>, house: &mut House, control: &mut Control) {
    if let Some(watch) = watch {
        let counters = watch.counters();
        let label = Label::new(Kind::Control, "certificate");
        house.registry.counters(label, move || counters.list());
        control.host_drifts = Some(watch.standing());
    }
}

/// Gives up what housekeeping and what it begins do not need, and says how much of it holds.
fn enter(sandbox: &Sandbox, house: &mut House) -> Result<(), String> {
    let counters = sandbox.counters();
    let label = Label::new(Kind::Control, "sandbox");
    house.registry.counters(label, move || counters.list());
    match sandbox.enter(sandbox::policy::Kind::House)? {
        (Rung::Full, _) => log::info!("sandbox: full"),
        (_, reasons) if sandbox.is_off() => log::info!("sandbox: none: {}", reasons.join("; ")),
        (rung, reasons) => log::warn!("sandbox: {rung:?}: {}", reasons.join("; ")),
    }
    Ok(())
}

fn kill_file(options: &Options) -> Result<Option<KillFile>, String> {
    let opened = options
        .state_dir
        .as_ref()
        .map(|folder| KillFile::in_folder(folder).map_err(|error| state_error(folder, &error)));
    opened.transpose()
}

/// Turns of several cores have no order that could be found again.
fn one_core_of(turns: &Option<TurnKeeper>, cores: usize) -> Result<(), String> {
    if turns.is_some() && cores != 1 {
        return Err(format!(
            "journal.replayable: {cores} hot cores, expected one: layout.kind = \"inline\", or one layout.core that runs \
             every stage"
        ));
    }
    Ok(())
}

/// Until the service shall stop, or a core has ended by itself: that one's name.
fn keep_house(house: &mut Housekeeping, cores: &[Core]) -> Option<String> {
    while !house.is_stop_asked() {
        if let Some(core) = cores.iter().find(|core| core.thread.is_finished()) {
            return Some(core.name.clone());
        }
        house.turn(cores);
        house.wait();
    }
    None
}

/// Whether no core has failed, and nothing is left open.
fn ended_well(failed: Option<String>, open_orders: u32) -> Result<(), String> {
    match (failed, open_orders) {
        (Some(core), _) => Err(format!("core {core} ended by itself")),
        (None, 0) => Ok(()),
        (None, open) => Err(format!(
            "stopped with {open} orders open at the exchange: they may trade; the next start finds them"
        )),
    }
}

/// Makes known how each core's clock does.
fn register_clocks(cores: &[Core], house: &mut House) {
    for Core { name, state, .. } in cores {
        let state = Arc::clone(state);
        let label = Label::new(Kind::Core, name);
        house.registry.counters(label, move || {
            [state.clock.list(), state.rehearsals.list()].concat()
        });
    }
}

/// Keeps housekeeping off the CPUs of hot cores, if there are others: each of its turns would hold one
/// up for tens of microseconds.
fn keep_off(hot: &[usize]) {
    let mut others = rt::cpu::allowed();
    others.retain(|cpu| !hot.contains(cpu));
    if let (false, Err(error)) = (others.is_empty(), rt::cpu::pin_to(&others)) {
        log::warn!("housekeeping may run on hot cores' CPUs: {error}");
    }
}

/// Starts a thread for each core.
fn start(
    stages: Vec<Vec<Box<dyn Stage>>>,
    layout: Vec<CoreOptions>,
    mut turns: Option<TurnKeeper>,
    flag: &Arc<AtomicBool>,
    sandbox: &Arc<Sandbox>,
) -> Result<(Vec<Core>, Vec<CoreLog>), String> {
    let (mut cores, mut logs) = (Vec::new(), Vec::new());
    for (stages, options) in stages.into_iter().zip(layout) {
        let state = Arc::new(CoreState::default());
        let (thread_state, stop) = (Arc::clone(&state), Arc::clone(flag));
        let (name, cpu) = (options.name.clone(), options.cpu);
        let (stalls, log) = ring(STALLS).map_err(|error| format!("core {name}: {error:?}"))?;
        let turns = turns.take();
        let sandbox = Some(Arc::clone(sandbox));
        let ends = CoreEnds {
            stalls,
            turns,
            sandbox,
        };
        logs.push(CoreLog::new(name.clone(), options.cpu, log));
        let thread = std::thread::Builder::new()
            .name(name.chars().take(15).collect())
            .spawn(move || core_loop::run(stages, &options, &thread_state, ends, &stop))
            .map_err(|error| format!("core {name}: {error}"))?;
        cores.push(Core {
            name,
            cpu,
            state,
            thread,
        });
    }
    Ok((cores, logs))
}

/// A pause of the housekeeping core; it ends early when the thread is unparked.
fn pause(length: Duration) {
    std::thread::park_timeout(length);
}

/// The cores, once each runs.
fn running(
    cores: Vec<Core>,
    flag: &AtomicBool,
    house: &mut Housekeeping,
) -> Result<Vec<Core>, String> {
    if await_running(&cores) {
        return Ok(cores);
    }
    flag.store(true, Ordering::SeqCst);
    join(cores, house)?;
    Err("a core did not start".to_owned())
}

/// Waits until every core runs; `false`: one has ended instead.
fn await_running(cores: &[Core]) -> bool {
    loop {
        let is_running = |core: &Core| core.state.is_running.load(Ordering::Acquire);
        if cores.iter().all(is_running) {
            return true;
        }
        if cores
            .iter()
            .any(|core| core.thread.is_finished() && !is_running(core))
        {
            return false;
        }
        pause(Duration::from_millis(1));
    }
}

fn state_error(folder: &Path, error: &io::Error) -> String {
    format!(
        "host.state_dir: {}: {error}; expected a folder that can be read",
        folder.display()
    )
}

/// Waits for the end of every core and tells the first that failed. Cancelling takes a while, so the
/// chores go on: a watchdog that hears nothing would kill what is about to cancel.
fn join(cores: Vec<Core>, house: &mut Housekeeping) -> Result<(), String> {
    while cores.iter().any(|core| !core.thread.is_finished()) {
        house.turn(&cores);
        house.wait();
    }
    for core in cores {
        core.thread
            .join()
            .map_err(|_| format!("core {} panicked", core.name))??;
    }
    Ok(())
}

/// Writes what the operator asked for.
pub(crate) fn write(report: &Report, house: &Housekeeping, output: &Output) -> Result<(), String> {
    if output.table {
        #[expect(clippy::print_stdout, reason = "the table is what this command prints")]
        {
            println!("{}", report.table(POSITIONS_SHOWN));
        }
    }
    if let Some(path) = &output.json {
        report
            .write_json(path)
            .map_err(|e| format!("{}: {e}", path.display()))?;
    }
    if let Some(folder) = &output.hgrm_dir {
        house
            .write_hgrm(folder)
            .map_err(|e| format!("{}: {e}", folder.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::housekeeping::TURN;
    use crate::order::lifecycle::STOP_TIMEOUT_NS;

    /// A time of the unit's, in seconds.
    fn seconds(unit: &str, key: &str) -> f64 {
        let line = unit.lines().find_map(|line| line.strip_prefix(key));
        let value = line.and_then(|line| line.strip_prefix('='));
        value.expect(key).parse().expect(key)
    }

    #[test]
    fn unit_gives_a_stop_its_time_and_the_watchdog_several_looks() {
        let unit = include_str!("../../../deploy/systemd/tickgate.service");
        let stop = STOP_TIMEOUT_NS as f64 / 1e9;
        // Beside cancelling: a second for the last turns and the reports' files.
        assert!(seconds(unit, "TimeoutStopSec") >= stop + 1.0);
        // Fed twice in its time, each time up to a turn late.
        assert!(seconds(unit, "WatchdogSec") >= 10.0 * TURN.as_secs_f64());
        assert!(seconds(unit, "TimeoutStartSec") > 0.0);
    }
}
