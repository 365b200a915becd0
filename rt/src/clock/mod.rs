//! Nanoseconds on the scale of the kernel's `CLOCK_MONOTONIC`, read from the TSC.
//!
//! The XDP program stamps frames with `bpf_ktime_get_ns`, which is `CLOCK_MONOTONIC`; a stamp taken
//! here must stand on the same scale to be subtracted. The kernel slews that clock by up to 500 ppm,
//! so the owner of a clock corrects it every [`DISCIPLINE_INTERVAL_NS`], between packets.
//!
//! ```text
//!  ns = anchor_ns + (tsc - anchor_tsc) * rate     up to HOLDOVER_NS after a correction
//!       the kernel's clock, but not less than that would have come to     after it
//! ```
//!
//! Invariants:  time never goes back, on any way below. A clock that is behind by more than `STEP_NS` is
//!              set forward; one that is a little behind runs faster, by a thousandth at most; one that
//!              is ahead runs slower, by a sixteenth at most, until the kernel's has caught up.
//! Bounds:      corrected in time, while the kernel changes its slew: twice what that makes in one
//!              interval (10 µs at 500 ppm); a second after: what a look at both clocks is off by
//!              (about 30 ns). In a suspend of the host the TSC goes on (or begins anew) and the
//!              kernel's clock stands: that puts this one ahead by `HOLDOVER_NS` at most, each time, which
//!              takes 0.8 s to slew away.
//! Time:        one read is one `rdtsc` and one multiplication, about 10 ns on the build machines.
//!              Where the TSC cannot be trusted, or no correction came in time, it is the vDSO's
//!              `clock_gettime`, about 30 ns. A clock that is never corrected keeps its first rate.

#![allow(unsafe_code, reason = "rdtsc and clock_gettime")]
#![allow(
    clippy::disallowed_methods,
    reason = "the one place that reads the host's clocks"
)]

mod scale;

use std::sync::Arc;

use crate::turn_notes::TurnLog;
use scale::{CALIBRATION_NS, Look, Scale};

/// A second, ns.
pub const SECOND_NS: u64 = 1_000_000_000;
/// A day, ns.
pub const DAY_NS: u64 = 86_400 * SECOND_NS;
/// How often the owner of a clock should call [`Clock::discipline`]: at 500 ppm the error grows by
/// 5 µs in 10 ms.
pub const DISCIPLINE_INTERVAL_NS: u64 = 10_000_000;

/// What a correction found, and did about it. Errors are the kernel's time minus ours, in ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Correction {
    /// A small difference: the rate is bent.
    Slewed(i64),
    /// The clock was behind by more than drift explains; it was set forward.
    SteppedForward(i64),
    /// The clock is ahead by more than drift explains: the host was suspended, or a look at the clocks
    /// was held up. It runs slower until the kernel's has caught up.
    Slowed(i64),
    /// No correction for so long that the kernel's clock was asked meanwhile.
    Late,
}

/// A clock that one thread owns.
#[derive(Clone, Debug)]
pub struct Clock {
    source: Source,
    /// What [`Clock::begin_turn`] read last.
    turn_ns: u64,
    /// `None`: the TSC is not trusted here, or somebody else is asked.
    scale: Option<Scale>,
    /// Where reads are kept, or come from.
    logged: Option<Logged>,
}

/// A clock whose reads are kept, or given again.
#[derive(Clone, Debug)]
enum Logged {
    /// Reads of this one are noted.
    Kept(Box<Clock>, Arc<TurnLog>),
    /// Reads are those that were noted.
    Played(Arc<TurnLog>),
}

/// Who sets a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Tsc,
    Kernel,
    Test,
}

/// Where a stage gets the time from.
pub trait Now {
    /// Nanoseconds, never going back.
    fn now_ns(&self) -> u64;
}

impl Now for Clock {
    #[inline]
    fn now_ns(&self) -> u64 {
        Self::now_ns(self)
    }
}

/// Time that whoever holds the cell moves on: for tests and simulations.
impl Now for std::cell::Cell<u64> {
    fn now_ns(&self) -> u64 {
        self.get()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock {
    /// Measures the TSC's rate for 10 ms and starts from there.
    #[must_use]
    pub fn new() -> Self {
        if !tsc_is_trusted() {
            return Self::kernel();
        }
        let first = Look::take();
        let mut last = first;
        while last.mono_ns - first.mono_ns < CALIBRATION_NS {
            last = Look::take();
        }
        match Scale::new(first, last) {
            Some(scale) => Self {
                source: Source::Tsc,
                turn_ns: 0,
                scale: Some(scale),
                logged: None,
            },
            None => Self::kernel(),
        }
    }

    /// A clock that asks the kernel each time: what [`Clock::new`] falls back to.
    #[must_use]
    pub fn kernel() -> Self {
        Self {
            source: Source::Kernel,
            turn_ns: 0,
            scale: None,
            logged: None,
        }
    }

    /// A clock that stands still until [`Clock::set_ns`]: drives a test through times of its choice.
    #[must_use]
    pub fn manual(now_ns: u64) -> Self {
        // A line without slope: reading it is the same code as reading the TSC's.
        Self {
            source: Source::Test,
            turn_ns: now_ns,
            scale: Some(Scale::still(now_ns)),
            logged: None,
        }
    }

    /// The same clock, whose reads within a turn are noted. It costs each read a look at both.
    #[must_use]
    pub fn kept(self, log: Arc<TurnLog>) -> Self {
        Self {
            source: self.source,
            turn_ns: self.turn_ns,
            scale: None,
            logged: Some(Logged::Kept(Box::new(self), log)),
        }
    }

    /// A clock that shows what was noted.
    #[must_use]
    pub fn played(log: Arc<TurnLog>) -> Self {
        Self {
            source: Source::Test,
            turn_ns: 0,
            scale: None,
            logged: Some(Logged::Played(log)),
        }
    }

    /// A turn begins again that began then: for a clock that shows what was noted.
    pub fn play_turn(&mut self, turn_ns: u64) {
        self.turn_ns = turn_ns;
    }

    /// This turn is to be kept where turns are, for what happens in it follows from the time alone and looks like no work.
    #[cold]
    pub fn keep_turn(&self) {
        if let Some(Logged::Kept(_, log)) = &self.logged {
            log.keep();
        }
    }

    /// Sets a manual clock; earlier than it shows already, or another kind of clock: nothing happens.
    pub fn set_ns(&mut self, now_ns: u64) {
        debug_assert_eq!(self.source, Source::Test, "only a manual clock is set");
        if self.source == Source::Test {
            self.scale = Some(Scale::still(now_ns.max(self.now_ns())));
            self.begin_turn();
        }
    }

    /// Nanoseconds since boot.
    #[inline]
    #[must_use]
    pub fn now_ns(&self) -> u64 {
        match &self.scale {
            Some(scale) => scale.ns_at(tsc(), monotonic_ns),
            None => self.asked_ns(),
        }
    }

    /// What the kernel says, or whoever keeps reads.
    #[inline(never)]
    fn asked_ns(&self) -> u64 {
        match &self.logged {
            None => monotonic_ns(),
            Some(Logged::Kept(clock, log)) => {
                let now_ns = clock.now_ns();
                log.time(now_ns);
                now_ns
            }
            Some(Logged::Played(log)) => log.next_time(),
        }
    }

    /// Reads the clock between two turns of its core; [`Clock::turn_ns`] remembers it.
    #[inline]
    pub fn begin_turn(&mut self) -> u64 {
        self.turn_ns = self.now_ns();
        self.turn_ns
    }

    /// When the turn began, as far as its core has read the clock: for what must look at the time in each turn and
    /// is worth no read of its own. 0 before the first [`Clock::begin_turn`]; a manual clock shows what it is set to.
    #[inline]
    #[must_use]
    pub fn turn_ns(&self) -> u64 {
        self.turn_ns
    }

    /// Whether reads come from the TSC.
    #[must_use]
    pub fn is_tsc(&self) -> bool {
        self.source == Source::Tsc
    }

    /// Compares with the kernel's clock and bends the rate so that the difference goes.
    pub fn discipline(&mut self) -> Correction {
        match (&mut self.scale, &mut self.logged) {
            (Some(scale), _) if self.source == Source::Tsc => scale.correct(Look::take()),
            (_, Some(Logged::Kept(clock, _))) => clock.discipline(),
            _ => Correction::Slewed(0),
        }
    }
}

impl Look {
    /// The tightest of a few brackets of the kernel's clock between two TSC reads.
    fn take() -> Self {
        let bracket = |_| {
            let before = tsc();
            let mono_ns = monotonic_ns();
            let width = tsc().saturating_sub(before);
            let look = Self {
                tsc: before + width / 2,
                mono_ns,
            };
            (width, look)
        };
        let tightest = (1..5).map(bracket).min_by_key(|(width, _)| *width);
        tightest.map_or_else(|| bracket(0).1, |(_, look)| look)
    }
}

/// Nanoseconds of `CLOCK_MONOTONIC`, from the vDSO.
#[must_use]
pub fn monotonic_ns() -> u64 {
    kernel_clock_ns(libc::CLOCK_MONOTONIC)
}

/// Nanoseconds since 1970, for names and logs; never subtracted from a stamp.
#[must_use]
pub fn realtime_ns() -> u64 {
    kernel_clock_ns(libc::CLOCK_REALTIME)
}

/// Kernel real-time minus monotonic clock, in ns: what turns a kernel socket's receive stamp
/// (real-time) into a stamp on our scale.
#[must_use]
pub fn realtime_offset_ns() -> i64 {
    // The tightest of a few looks: one that the host interrupted would be off by what it took.
    let look = |_| {
        let before = monotonic_ns();
        let real = realtime_ns();
        let width = monotonic_ns() - before;
        (width, i128::from(real) - i128::from(before + width / 2))
    };
    let tightest = (0..5).map(look).min_by_key(|(width, _)| *width);
    // There were five, and real time of this century fits.
    tightest
        .and_then(|(_, offset)| i64::try_from(offset).ok())
        .unwrap_or(0)
}

fn kernel_clock_ns(id: libc::clockid_t) -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a valid place to write a timespec. The ids used here cannot fail.
    unsafe { libc::clock_gettime(id, &raw mut time) };
    // Both are positive: since boot, or since 1970.
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn tsc() -> u64 {
    // SAFETY: every x86_64 CPU has the instruction, and Linux leaves it open to user space.
    unsafe { core::arch::x86_64::_rdtsc() }
}

#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn tsc() -> u64 {
    monotonic_ns()
}

fn tsc_is_trusted() -> bool {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    cfg!(target_arch = "x86_64") && is_trusted(&read("/proc/cpuinfo"), &read(CLOCK_SOURCE))
}

/// The clock source that the kernel uses now.
const CLOCK_SOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";

/// Constant rate, running in every sleep state: then all cores agree and no core stops it. And the kernel,
/// which watches it against other clocks, has not given it up.
fn is_trusted(cpu_info: &str, clock_source: &str) -> bool {
    let mut lines = cpu_info.lines();
    let flags = lines.find(|line| line.starts_with("flags")).unwrap_or("");
    let has = |flag: &str| flags.split_ascii_whitespace().any(|word| word == flag);
    has("constant_tsc") && has("nonstop_tsc") && clock_source.trim() == "tsc"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_never_goes_back_across_corrections() {
        let mut clock = Clock::new();
        let mut last = clock.now_ns();
        for turn in 0..200_000u32 {
            let now = clock.now_ns();
            assert!(now >= last, "{now} after {last}");
            last = now;
            if turn % 1000 == 0 {
                clock.discipline();
            }
        }
    }

    #[test]
    fn stays_with_the_kernel_clock() {
        let mut clock = Clock::new();
        let until = monotonic_ns() + 100_000_000;
        let mut next = 0;
        while monotonic_ns() < until {
            if clock.now_ns() > next {
                clock.discipline();
                next = clock.now_ns() + DISCIPLINE_INTERVAL_NS;
            }
        }
        // The tightest of many looks: a look that the host interrupted says nothing.
        let error = (0..1000)
            .map(|_| {
                let before = monotonic_ns();
                let ours = clock.now_ns();
                let after = monotonic_ns();
                if ours < before {
                    before - ours
                } else {
                    ours.saturating_sub(after)
                }
            })
            .min();
        assert!(error < Some(1_000), "off by {error:?} ns");
    }

    #[test]
    fn manual_clock_shows_what_it_is_set_to_and_never_goes_back() {
        let mut clock = Clock::manual(5);
        assert_eq!((clock.now_ns(), clock.is_tsc()), (5, false));
        clock.set_ns(u64::MAX);
        assert_eq!(clock.discipline(), Correction::Slewed(0));
        assert_eq!(clock.now_ns(), u64::MAX);
        clock.set_ns(7);
        assert_eq!(clock.now_ns(), u64::MAX);
    }

    #[test]
    fn tsc_is_trusted_only_while_the_kernel_uses_it() {
        let cpu = |flags: &str| format!("processor\t: 0\nflags\t\t: fpu {flags}\n");
        let good = cpu("constant_tsc nonstop_tsc");
        assert!(is_trusted(&good, "tsc\n"));
        assert!(!is_trusted(&good, "hpet\n"), "the kernel gave it up");
        assert!(!is_trusted(&good, ""), "the kernel does not say");
        assert!(!is_trusted(&cpu("constant_tsc"), "tsc\n"));
        assert!(!is_trusted("", "tsc\n"));
    }

    #[test]
    fn kernel_clock_serves_where_the_tsc_is_not_trusted() {
        let mut clock = Clock::kernel();
        assert!(!clock.is_tsc());
        assert_eq!(clock.discipline(), Correction::Slewed(0));
        assert!(clock.now_ns() > 0);
    }
}
