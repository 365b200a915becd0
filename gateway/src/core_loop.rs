//! Stages and the cores that turn them.
//!
//! A core is one pinned thread that polls its stages in turn, for ever. It never sleeps and never
//! blocks. Every `TURNS_BETWEEN_CHECKS` turns it looks at the clock and at whether it shall stop,
//! and lets stages do their slow work.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rt::clock::{Clock, DISCIPLINE_INTERVAL_NS};
use rt::{alloc_guard, cpu};

/// An idle turn takes about 100 ns, so an idle core looks up every 25 µs.
const TURNS_BETWEEN_CHECKS: u32 = 256;

/// A piece of the way that one core owns.
pub trait Stage: Send {
    /// Prepares on the core that will run it.
    ///
    /// # Errors
    /// What the kernel refuses.
    fn start(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Does a bounded amount of work without blocking; returns how much.
    fn poll(&mut self, clock: &Clock) -> usize;

    /// Slow work, between packets: timers, kernel statistics.
    fn housekeep(&mut self, clock: &Clock);

    /// Begins to stop. Called again until it returns `true`.
    fn stop(&mut self, clock: &Clock) -> bool {
        let _ = clock;
        true
    }
}

/// What a core tells the rest, and is told.
#[derive(Debug, Default)]
pub struct CoreState {
    /// Turns so far: the watchdog sees whether they grow.
    pub turns: AtomicU64,
    /// The core's stages are started.
    pub is_running: AtomicBool,
}

/// Where and how a core runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoreOptions {
    /// Name of the thread.
    pub name: String,
    /// CPU to pin to; `None`: wherever the kernel likes.
    pub cpu: Option<usize>,
    /// `SCHED_FIFO` priority; 0: the normal class.
    pub priority: i32,
}

/// Runs stages until `stop` is set and each has stopped.
///
/// # Errors
/// A stage could not start, or the CPU could not be had.
pub fn run(
    mut stages: Vec<Box<dyn Stage>>,
    options: &CoreOptions,
    state: &Arc<CoreState>,
    stop: &AtomicBool,
) -> Result<(), String> {
    prepare(&mut stages, options)?;
    let clock = Clock::new();
    state.is_running.store(true, Ordering::Release);
    alloc_guard::hot(true);
    turn(&mut stages, clock, state, stop);
    alloc_guard::hot(false);
    Ok(())
}

fn prepare(stages: &mut [Box<dyn Stage>], options: &CoreOptions) -> Result<(), String> {
    if let Some(cpu) = options.cpu {
        cpu::pin(cpu).map_err(|e| format!("core {}: CPU {cpu}: {e}", options.name))?;
    }
    if options.priority > 0
        && let Err(error) = cpu::realtime(options.priority)
    {
        log::warn!(
            "core {}: SCHED_FIFO {} refused ({error}): other processes may take its CPU for \
             milliseconds; grant CAP_SYS_NICE or LimitRTPRIO",
            options.name,
            options.priority
        );
    }
    for stage in stages {
        stage
            .start()
            .map_err(|error| format!("core {}: {error}", options.name))?;
    }
    Ok(())
}

/// The loop itself. Hot: everything it calls between two checks is a stage's `poll`.
fn turn(stages: &mut [Box<dyn Stage>], mut clock: Clock, state: &CoreState, stop: &AtomicBool) {
    let mut next_discipline_ns = 0;
    let mut turns = 0u64;
    loop {
        for _ in 0..TURNS_BETWEEN_CHECKS {
            let mut work = 0;
            for stage in stages.iter_mut() {
                work += stage.poll(&clock);
            }
            if work == 0 {
                std::hint::spin_loop();
            }
        }
        turns += u64::from(TURNS_BETWEEN_CHECKS);
        state.turns.store(turns, Ordering::Relaxed);
        let now_ns = clock.now_ns();
        if now_ns >= next_discipline_ns {
            clock.discipline();
            next_discipline_ns = now_ns + DISCIPLINE_INTERVAL_NS;
            for stage in stages.iter_mut() {
                stage.housekeep(&clock);
            }
        }
        if stop.load(Ordering::Relaxed) {
            // Not short-circuiting: every stage hears of it in each turn.
            let mut is_stopped = true;
            for stage in stages.iter_mut() {
                is_stopped &= stage.stop(&clock);
            }
            if is_stopped {
                return;
            }
        }
    }
}
