//! Stages and the cores that turn them.
//!
//! A core is one pinned thread that polls its stages in turn, for ever. It never sleeps and never
//! blocks. Every `TURNS_BETWEEN_CHECKS` turns it looks at whether it shall stop, and lets stages do
//! their slow work. After each turn it looks at the clock (10 ns of an idle turn's 100): a turn that took
//! too long is told to the slow-order recorder, with what the kernel did to the thread meanwhile. That read is also
//! when the next turn begins (`Clock::turn_ns`), by which strategies' timers go.
//!
//! A core that has had nothing to do for a while keeps its way warm: its stages rehearse in turn, one between two polls of
//! all of them, so that what arrives waits for one stage's rehearsal at most.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rt::clock::{Clock, Correction, DISCIPLINE_INTERVAL_NS};
use rt::counters;
use rt::cpu::Usage;
use rt::ring::Producer;
use rt::{alloc_guard, cpu};

use crate::journal::turns::{Call, Keeper, KeepsNothing, TurnKeeper};
use crate::service::sandbox::Sandbox;
use crate::service::sandbox::policy::Kind;
use crate::trace::recorder::Stall;

/// An idle turn takes about 100 ns, so an idle core looks up every 25 µs.
const TURNS_BETWEEN_CHECKS: u32 = 256;

/// A turn that found nothing to do and took longer was held up.
const IDLE_TURN_MAX_NS: u64 = 3_000;
/// A turn with work may take this, and so much more for each piece.
const BUSY_TURN_MAX_NS: u64 = 10_000;
const PIECE_MAX_NS: u64 = 2_000;
/// A turn of this length explains a slow order by itself. Shorter ones may take half of the room until
/// housekeeping comes by, so that a swarm of them does not push these out.
const GRAVE_TURN_NS: u64 = 50_000;

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

    /// Nothing waits, and has not for a while: goes the way of a message with a made-up one, so that code and data of the
    /// way are near when a real one comes. It sends, counts and changes nothing that anybody can see, and takes well
    /// below a microsecond, since what arrives meanwhile waits for it.
    fn rehearse(&mut self, clock: &Clock) {
        let _ = clock;
    }

    /// Slow work, between packets: timers, kernel statistics.
    fn housekeep(&mut self, clock: &Clock);

    /// As many turns of its core have been, the one to come not counted: a replay leaves those out in which nothing happened.
    fn resume(&mut self, turns: u64) {
        let _ = turns;
    }

    /// Begins to stop. Called again until it returns `true`.
    fn stop(&mut self, clock: &Clock) -> bool {
        let _ = clock;
        true
    }
}

counters! {
    /// How a core's clock kept to the kernel's.
    pub struct ClockCounters {
        /// Corrections of the core's clock.
        corrections,
        /// Corrections that found it behind by more than drift explains and set it forward.
        set_forward,
        /// Corrections that found it ahead by more than drift explains, as after a suspend of the host, and
        /// slowed it: stamps of that time are late by as much.
        ahead,
        /// Corrections that came so late that each stamp had asked the kernel meanwhile.
        late,
        /// The largest difference that a correction found, in ns.
        error_ns_max,
    }
}

impl ClockCounters {
    fn count(&self, correction: Correction) {
        self.corrections.increment();
        let error_ns = match correction {
            Correction::Slewed(error_ns) => error_ns,
            Correction::SteppedForward(error_ns) => {
                self.set_forward.increment();
                error_ns
            }
            Correction::Slowed(error_ns) => {
                self.ahead.increment();
                error_ns
            }
            Correction::Late => {
                self.late.increment();
                0
            }
        };
        let error_ns = error_ns.unsigned_abs();
        if error_ns > self.error_ns_max.get() {
            self.error_ns_max.set(error_ns);
        }
    }
}

counters! {
    /// How a core kept its way warm.
    pub struct RehearsalCounters {
        /// Rehearsals of its stages while nothing arrived.
        rehearsals,
        /// Time that rehearsals took, ns.
        rehearsal_ns,
        /// The longest rehearsal, ns. Whatever held the core up meanwhile is in it.
        rehearsal_ns_max,
    }
}

/// What a core tells the rest, and is told.
#[derive(Debug, Default)]
pub struct CoreState {
    /// Turns so far: the watchdog sees whether they grow.
    pub turns: AtomicU64,
    /// The core's stages are started.
    pub is_running: AtomicBool,
    /// How its clock does.
    pub clock: ClockCounters,
    /// How it kept its way warm.
    pub rehearsals: RehearsalCounters,
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
    /// So long after the last work and after the last round, an idle core's stages rehearse, ns; 0: never.
    pub rehearse_ns: u64,
}

/// Where a core leaves what others look at.
#[derive(Debug)]
pub struct CoreEnds {
    /// Turns that took too long.
    pub stalls: Producer<Stall>,
    /// What each turn was given, for the replay of the day; `None`: nobody keeps it.
    pub turns: Option<TurnKeeper>,
    /// What it gives up when its stages have started; `None`: nothing.
    pub sandbox: Option<Arc<Sandbox>>,
}

/// Runs stages until `stop` is set and each has stopped.
///
/// # Errors
/// A stage could not start, or the CPU could not be had.
pub fn run(
    mut stages: Vec<Box<dyn Stage>>,
    options: &CoreOptions,
    state: &CoreState,
    ends: CoreEnds,
    stop: &AtomicBool,
) -> Result<(), String> {
    prepare(&mut stages, options)?;
    // It reads what the kernel says of the processor, so it comes before.
    let clock = Clock::new();
    if let Some(sandbox) = &ends.sandbox {
        // Before it gives up anything itself: housekeeping may still refuse the start.
        sandbox.await_house(stop);
        let entered = sandbox.enter(Kind::Hot);
        entered.map_err(|error| format!("core {}: {error}", options.name))?;
    }
    let watch = TurnWatch {
        last_ns: clock.now_ns(),
        looked_ns: clock.now_ns(),
        usage: cpu::thread_usage(),
        out: ends.stalls,
        missed: 0,
        missed_ns: 0,
    };
    state.is_running.store(true, Ordering::Release);
    let rehearser = Rehearser::new(options.rehearse_ns);
    let told = Told { state, stop };
    match ends.turns {
        None => {
            let keeper = KeepsNothing;
            turn(&mut stages, Pace { clock, keeper }, watch, rehearser, told);
        }
        Some(keeper) => {
            let clock = clock.kept(keeper.log());
            turn(&mut stages, Pace { clock, keeper }, watch, rehearser, told);
        }
    }
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

/// Sees turns that took too long.
struct TurnWatch {
    last_ns: u64,
    /// When `usage` was asked for.
    looked_ns: u64,
    usage: Usage,
    out: Producer<Stall>,
    /// Long turns that could not be told, and how long they took.
    missed: u32,
    missed_ns: u64,
}

impl TurnWatch {
    #[inline]
    fn on_turn(&mut self, now_ns: u64, work: usize) {
        let took_ns = now_ns.saturating_sub(self.last_ns);
        if took_ns > IDLE_TURN_MAX_NS {
            self.on_long_turn(now_ns, work);
        } else {
            self.last_ns = now_ns;
        }
    }

    #[cold]
    fn on_long_turn(&mut self, now_ns: u64, work: usize) {
        let allowed_ns = if work == 0 {
            0
        } else {
            BUSY_TURN_MAX_NS + work as u64 * PIECE_MAX_NS
        };
        let from_ns = std::mem::replace(&mut self.last_ns, now_ns);
        if now_ns - from_ns <= allowed_ns {
            return;
        }
        let (before, now) = (self.usage, cpu::thread_usage());
        let since_ns = now_ns - std::mem::replace(&mut self.looked_ns, now_ns);
        self.usage = now;
        let stall = Stall {
            from_ns,
            to_ns: now_ns,
            work: u32::try_from(work).unwrap_or(u32::MAX),
            off_cpu_ns: since_ns.saturating_sub(now.cpu_ns - before.cpu_ns),
            switches_involuntary: now.switches_involuntary - before.switches_involuntary,
            switches_voluntary: now.switches_voluntary - before.switches_voluntary,
            faults_minor: now.faults_minor - before.faults_minor,
            faults_major: now.faults_major - before.faults_major,
            missed: self.missed,
            missed_ns: self.missed_ns,
        };
        self.tell(stall);
    }

    fn tell(&mut self, stall: Stall) {
        let took_ns = stall.to_ns - stall.from_ns;
        let has_room = took_ns >= GRAVE_TURN_NS || self.out.len() < self.out.capacity() / 2;
        if has_room && self.out.push(stall).is_ok() {
            (self.missed, self.missed_ns) = (0, 0);
        } else {
            self.missed = self.missed.saturating_add(1);
            self.missed_ns += took_ns;
        }
    }

    /// Slow work between turns is no turn.
    fn restart(&mut self, now_ns: u64) {
        (self.last_ns, self.looked_ns) = (now_ns, now_ns);
        self.usage = cpu::thread_usage();
    }
}

/// What a running core is told, and where it tells.
struct Told<'a> {
    state: &'a CoreState,
    stop: &'a AtomicBool,
}

/// Has the stages of an idle core rehearse, one in a turn: all have just been polled and had nothing to do.
#[derive(Debug)]
struct Rehearser {
    /// 0: never.
    interval_ns: u64,
    /// When the next one is due; `u64::MAX`: never.
    due_ns: u64,
    /// Whose turn it is.
    next: usize,
}

impl Rehearser {
    fn new(interval_ns: u64) -> Self {
        Self {
            interval_ns,
            due_ns: if interval_ns == 0 { u64::MAX } else { 0 },
            next: 0,
        }
    }

    /// A turn is over; whether a stage shall rehearse before the next one.
    #[inline]
    fn is_due(&mut self, now_ns: u64, work: usize) -> bool {
        if work == 0 {
            return now_ns >= self.due_ns;
        }
        if self.interval_ns != 0 {
            self.due_ns = now_ns.saturating_add(self.interval_ns);
        }
        false
    }

    /// The stage whose turn it is rehearses.
    #[cold]
    fn rehearse(
        &mut self,
        stages: &mut [Box<dyn Stage>],
        clock: &mut Clock,
        counters: &RehearsalCounters,
    ) -> u64 {
        let began_ns = clock.turn_ns();
        if let Some(stage) = stages.get_mut(self.next) {
            stage.rehearse(clock);
        }
        let now_ns = clock.begin_turn();
        let took_ns = now_ns.saturating_sub(began_ns);
        counters.rehearsals.increment();
        counters.rehearsal_ns.add(took_ns);
        if took_ns > counters.rehearsal_ns_max.get() {
            counters.rehearsal_ns_max.set(took_ns);
        }
        self.next += 1;
        if self.next >= stages.len() {
            self.next = 0;
            self.due_ns = now_ns.saturating_add(self.interval_ns);
        }
        now_ns
    }

    /// The core is to stop: never again.
    fn end(&mut self) {
        (self.interval_ns, self.due_ns) = (0, u64::MAX);
    }
}

/// What a core's turns go by, and who keeps them.
struct Pace<K> {
    clock: Clock,
    keeper: K,
}

/// The loop itself. Hot: everything it calls between two checks is a stage's `poll`.
fn turn(
    stages: &mut [Box<dyn Stage>],
    pace: Pace<impl Keeper>,
    mut watch: TurnWatch,
    mut rehearser: Rehearser,
    told: Told<'_>,
) {
    let Told { state, stop } = told;
    let Pace {
        mut clock,
        mut keeper,
    } = pace;
    alloc_guard::hot(true);
    let mut next_discipline_ns = 0;
    let mut turns = 0u64;
    clock.begin_turn();
    loop {
        for _ in 0..TURNS_BETWEEN_CHECKS {
            keeper.begin(Call::Turn, &clock);
            let mut work = 0;
            for stage in stages.iter_mut() {
                work += stage.poll(&clock);
            }
            keeper.end(Call::Turn, work > 0, &clock);
            let now_ns = clock.begin_turn();
            watch.on_turn(now_ns, work);
            if rehearser.is_due(now_ns, work) {
                // Between two turns that somebody keeps: nothing of it is in either.
                let now_ns = rehearser.rehearse(stages, &mut clock, &state.rehearsals);
                watch.on_turn(now_ns, 0);
            } else if work == 0 {
                std::hint::spin_loop();
            }
        }
        turns += u64::from(TURNS_BETWEEN_CHECKS);
        state.turns.store(turns, Ordering::Relaxed);
        let now_ns = clock.now_ns();
        if now_ns >= next_discipline_ns {
            state.clock.count(clock.discipline());
            next_discipline_ns = now_ns + DISCIPLINE_INTERVAL_NS;
            keeper.begin(Call::Housekeep, &clock);
            for stage in stages.iter_mut() {
                stage.housekeep(&clock);
            }
            keeper.end(Call::Housekeep, true, &clock);
            watch.restart(clock.begin_turn());
        }
        if stop.load(Ordering::Relaxed) {
            rehearser.end();
            // Not short-circuiting: every stage hears of it in each turn.
            keeper.begin(Call::Stop, &clock);
            let mut is_stopped = true;
            for stage in stages.iter_mut() {
                is_stopped &= stage.stop(&clock);
            }
            keeper.end(Call::Stop, true, &clock);
            if is_stopped {
                alloc_guard::hot(false);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rt::ring::ring;

    use super::*;

    #[test]
    fn swarm_of_short_turns_leaves_room_for_the_long_one_that_explains() {
        let (out, mut told) = ring(8).unwrap();
        let mut watch = TurnWatch {
            last_ns: 0,
            looked_ns: 0,
            usage: cpu::thread_usage(),
            out,
            missed: 0,
            missed_ns: 0,
        };
        let mut now_ns = 0;
        for _ in 0..10 {
            now_ns += IDLE_TURN_MAX_NS + 1_000;
            watch.on_turn(now_ns, 0);
        }
        watch.on_turn(now_ns + GRAVE_TURN_NS, 0);
        let told: Vec<Stall> = std::iter::from_fn(|| told.pop()).collect();
        let lengths: Vec<u64> = told.iter().map(|it| it.to_ns - it.from_ns).collect();
        assert_eq!(lengths, [4_000, 4_000, 4_000, 4_000, GRAVE_TURN_NS]);
        assert_eq!((told[4].missed, told[4].missed_ns), (6, 24_000));
    }

    /// Counts its rehearsals; the polls are the test's.
    struct Counting(Arc<AtomicU64>);

    impl Stage for Counting {
        fn poll(&mut self, _: &Clock) -> usize {
            0
        }

        fn rehearse(&mut self, _: &Clock) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }

        fn housekeep(&mut self, _: &Clock) {}
    }

    #[test]
    fn idle_stages_rehearse_one_a_turn_and_neither_after_work_nor_once_stopped() {
        let counts = [(); 2].map(|()| Arc::new(AtomicU64::new(0)));
        let mut stages: Vec<Box<dyn Stage>> = Vec::new();
        for count in &counts {
            stages.push(Box::new(Counting(Arc::clone(count))));
        }
        let counters = RehearsalCounters::default();
        let mut clock = Clock::manual(10_000);
        let mut rehearser = Rehearser::new(5_000);
        let mut turn = |rehearser: &mut Rehearser, after_ns: u64, work: usize| {
            clock.set_ns(clock.now_ns() + after_ns);
            if rehearser.is_due(clock.turn_ns(), work) {
                rehearser.rehearse(&mut stages, &mut clock, &counters);
            }
            [0, 1].map(|at: usize| counts[at].load(Ordering::Relaxed))
        };
        // The first stage, then the second, then the pause.
        assert_eq!(turn(&mut rehearser, 0, 0), [1, 0]);
        assert_eq!(turn(&mut rehearser, 100, 0), [1, 1]);
        assert_eq!(turn(&mut rehearser, 4_999, 0), [1, 1]);
        assert_eq!(turn(&mut rehearser, 1, 0), [2, 1]);
        // Work comes before the second's turn, which is due again that long after it.
        assert_eq!(turn(&mut rehearser, 100, 3), [2, 1]);
        assert_eq!(turn(&mut rehearser, 4_999, 0), [2, 1]);
        assert_eq!(turn(&mut rehearser, 1, 0), [2, 2]);
        rehearser.end();
        assert_eq!(turn(&mut rehearser, 1_000_000_000, 0), [2, 2]);
        assert_eq!(turn(&mut rehearser, 1, 1), [2, 2]);
        assert_eq!(turn(&mut rehearser, 1_000_000_000, 0), [2, 2]);
        assert_eq!(counters.rehearsals.get(), 4);
        assert!(!Rehearser::new(0).is_due(u64::MAX - 1, 0));
    }

    #[test]
    fn each_correction_is_counted_as_what_it_was() {
        let counters = ClockCounters::default();
        for correction in [
            Correction::Slewed(-40),
            Correction::SteppedForward(70_000),
            Correction::Slowed(-90_000),
            Correction::Late,
            Correction::Slewed(5),
        ] {
            counters.count(correction);
        }
        let counts: Vec<u64> = counters.list().iter().map(|(_, _, count)| *count).collect();
        assert_eq!(counts, [5, 1, 1, 1, 90_000]);
    }
}
