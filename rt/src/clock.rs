//! Nanoseconds on the scale of the kernel's `CLOCK_MONOTONIC`, read from the TSC.
//!
//! The XDP program stamps frames with `bpf_ktime_get_ns`, which is `CLOCK_MONOTONIC`; a stamp taken
//! here must stand on the same scale to be subtracted. The kernel slews that clock by up to 500 ppm,
//! so the conversion is corrected every [`DISCIPLINE_INTERVAL_NS`] by its owner, between packets.
//!
//! Invariants:  time never goes back on one clock; a correction changes the rate, not the time,
//!              unless the error is beyond `STEP_NS` (the host was suspended).
//! Time:        one read is one `rdtsc` and one multiplication, about 10 ns on the build machines.
//!              Where the TSC cannot be trusted, it is the vDSO's `clock_gettime`, about 30 ns.

#![allow(unsafe_code, reason = "rdtsc and clock_gettime")]
#![allow(
    clippy::disallowed_methods,
    reason = "the one place that reads the host's clocks"
)]

/// How often the owner of a clock should call [`Clock::discipline`]: at 500 ppm the error grows by
/// 5 µs in 10 ms before it is seen once, and by nothing after that.
pub const DISCIPLINE_INTERVAL_NS: u64 = 10_000_000;
/// An error that is stepped over instead of slewed away.
const STEP_NS: i64 = 1_000_000;
/// How long the first estimate of the rate looks at both clocks. The vDSO pair is good to about
/// 30 ns, so the rate is good to about 3 ppm: 30 ns an interval.
const CALIBRATION_NS: u64 = 10_000_000;
/// Bits after the binary point of the rate.
const RATE_SHIFT: u32 = 40;

/// A clock that one thread owns.
#[derive(Clone, Debug)]
pub struct Clock {
    /// `None`: the TSC is not trusted here.
    tsc: Option<Scale>,
}

/// ns = anchor_ns + (tsc - anchor_tsc) * rate / 2^40.
#[derive(Clone, Copy, Debug)]
struct Scale {
    anchor_tsc: u64,
    anchor_ns: u64,
    rate: u64,
    /// Where the long-run rate is measured from.
    first: Pair,
}

/// Both clocks at one moment.
#[derive(Clone, Copy, Debug)]
struct Pair {
    tsc: u64,
    mono_ns: u64,
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
            return Self { tsc: None };
        }
        let first = Pair::take();
        let mut last = first;
        while last.mono_ns - first.mono_ns < CALIBRATION_NS {
            last = Pair::take();
        }
        let rate = rate_between(first, last);
        let scale = rate.map(|rate| Scale {
            anchor_tsc: last.tsc,
            anchor_ns: last.mono_ns,
            rate,
            first,
        });
        Self { tsc: scale }
    }

    /// A clock that asks the kernel each time: what [`Clock::new`] falls back to.
    #[must_use]
    pub fn kernel() -> Self {
        Self { tsc: None }
    }

    /// Nanoseconds since boot.
    #[inline]
    #[must_use]
    pub fn now_ns(&self) -> u64 {
        match &self.tsc {
            Some(scale) => scale.ns_at(tsc()),
            None => monotonic_ns(),
        }
    }

    /// Whether reads come from the TSC.
    #[must_use]
    pub fn is_tsc(&self) -> bool {
        self.tsc.is_some()
    }

    /// Compares with the kernel's clock and bends the rate so that the difference goes. Returns the
    /// difference found, kernel minus ours, in ns.
    pub fn discipline(&mut self) -> i64 {
        let Some(scale) = &mut self.tsc else { return 0 };
        let pair = Pair::take();
        let ours = scale.ns_at(pair.tsc);
        let error = i64::try_from(i128::from(pair.mono_ns) - i128::from(ours)).unwrap_or(i64::MAX);
        let Some(long_run) = rate_between(scale.first, pair) else {
            return error;
        };
        if error.abs() > STEP_NS {
            let anchor_ns = if error > 0 { pair.mono_ns } else { ours };
            *scale = Scale {
                anchor_tsc: pair.tsc,
                anchor_ns,
                rate: long_run,
                first: pair,
            };
            return error;
        }
        // Half of the error is to be gone by the next correction, which is expected as long from now
        // as the last one is ago: an owner who comes later than that does not overshoot.
        let since_last = ours
            .saturating_sub(scale.anchor_ns)
            .max(DISCIPLINE_INTERVAL_NS);
        // rate * (1 + error / interval): at most 5 % away, so time keeps going forward.
        let interval = 2 * i128::from(since_last);
        let bent = i128::from(long_run) * (interval + i128::from(error)) / interval;
        scale.anchor_tsc = pair.tsc;
        scale.anchor_ns = ours;
        scale.rate = u64::try_from(bent).unwrap_or(long_run);
        error
    }
}

impl Scale {
    #[inline]
    fn ns_at(&self, tsc: u64) -> u64 {
        // A TSC read on another core may be a few cycles behind the anchor: never before it.
        let ticks = u128::from(tsc.saturating_sub(self.anchor_tsc));
        let ns = (ticks * u128::from(self.rate)) >> RATE_SHIFT;
        self.anchor_ns
            .saturating_add(u64::try_from(ns).unwrap_or(u64::MAX))
    }
}

impl Pair {
    /// The tightest of a few brackets of the kernel's clock between two TSC reads.
    fn take() -> Self {
        let mut best: Option<(u64, Self)> = None;
        for _ in 0..5 {
            let before = tsc();
            let mono_ns = monotonic_ns();
            let width = tsc().saturating_sub(before);
            if best.is_none_or(|(narrowest, _)| width < narrowest) {
                best = Some((
                    width,
                    Self {
                        tsc: before + width / 2,
                        mono_ns,
                    },
                ));
            }
        }
        best.map_or(Self { tsc: 0, mono_ns: 0 }, |(_, pair)| pair)
    }
}

fn rate_between(from: Pair, to: Pair) -> Option<u64> {
    let ticks = u128::from(to.tsc.checked_sub(from.tsc)?);
    let ns = u128::from(to.mono_ns.checked_sub(from.mono_ns)?);
    u64::try_from((ns << RATE_SHIFT).checked_div(ticks)?)
        .ok()
        .filter(|rate| *rate > 0)
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

/// Constant rate, running in every sleep state: then all cores agree and no core stops it.
fn tsc_is_trusted() -> bool {
    let Ok(info) = std::fs::read_to_string("/proc/cpuinfo") else {
        return false;
    };
    let flags = info
        .lines()
        .find(|line| line.starts_with("flags"))
        .unwrap_or_default();
    let has = |flag: &str| flags.split_ascii_whitespace().any(|word| word == flag);
    cfg!(target_arch = "x86_64") && has("constant_tsc") && has("nonstop_tsc")
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
    fn kernel_clock_serves_where_the_tsc_is_not_trusted() {
        let mut clock = Clock::kernel();
        assert!(!clock.is_tsc());
        assert_eq!(clock.discipline(), 0);
        assert!(clock.now_ns() > 0);
    }
}
