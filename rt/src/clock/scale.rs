//! The line from the TSC to time, and how it is kept on the kernel's clock: readings go in, times come out.
//!
//! Thread:      the owner's, hot: it reads no clock, but a reader may have to ask the kernel's (`ns_beyond`)
//! Invariants:  for readings of the TSC in order, and a kernel's clock that does not go back, no time is
//!              before one that was told, across corrections, late ones and leaps of the TSC.

use super::{Correction, DISCIPLINE_INTERVAL_NS};

/// How far the TSC is believed after a correction: five intervals, so that an owner may be late, and so
/// little that a leap of the TSC is soon slewed away.
const HOLDOVER_NS: u64 = 5 * DISCIPLINE_INTERVAL_NS;
/// Being behind by more is stepped over: twice what corrections in time let it come to.
const STEP_NS: i64 = 20_000;
/// The most that the rate is bent up. Small, for an owner who comes late finds its clock ahead.
const FASTER_MAX: i128 = 1_000;
/// The most that it is bent down, as a divisor too. An owner who comes late finds its clock behind,
/// which one step cures.
const SLOWER_MAX: i128 = 16;
/// Clocks that part by more than this (and a thousandth) between two corrections did not drift: the
/// host was suspended, or the TSC was set.
const LEAP_NS: u64 = 1_000_000;
/// The rate is that of the last half to whole of this: long enough that a look's 30 ns are 0.06 ppm.
const RATE_WINDOW_NS: u64 = 1_000_000_000;
/// How long an estimate of the rate looks at both clocks at least. The vDSO pair is good to about
/// 30 ns, so the rate is good to about 3 ppm: 30 ns an interval.
pub(super) const CALIBRATION_NS: u64 = 10_000_000;
/// Bits after the binary point of the rate.
const RATE_SHIFT: u32 = 40;
/// A line that was never corrected is believed: nobody has promised to correct it.
const UNBOUNDED: u64 = u64::MAX / 2;
/// A TSC read on another core may be this far behind the anchor, and no more: about a millisecond.
const TICKS_BEHIND_MAX: u64 = 1 << 22;

const _: () = assert!(HOLDOVER_NS > 2 * DISCIPLINE_INTERVAL_NS);
const _: () = assert!(CALIBRATION_NS < RATE_WINDOW_NS / 2);
// Within `STEP_NS` the rate is bent by less than the most, so half of an error goes in an interval.
const _: () = assert!(STEP_NS as i128 * FASTER_MAX <= 2 * DISCIPLINE_INTERVAL_NS as i128);

/// The line from the TSC to time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    anchor_tsc: u64,
    anchor_ns: u64,
    /// ns a tick, times 2^40: bent.
    rate: u64,
    /// How far the line is believed.
    ticks_max: u64,
    drift: Drift,
}

/// How the kernel's clock runs against the TSC.
#[derive(Clone, Copy, Debug)]
struct Drift {
    /// ns a tick, times 2^40: as measured.
    rate: u64,
    /// Where the rate is measured from, and where it will be.
    from: Look,
    from_next: Look,
    last: Look,
    /// The last look did not fit the rate.
    is_leap: bool,
}

/// Both clocks at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) tsc: u64,
    pub(super) mono_ns: u64,
}

impl Scale {
    pub(super) fn new(first: Look, last: Look) -> Option<Self> {
        let rate = rate_between(first, last)?;
        assert!(rate > 0, "a rate of 0 is a clock that stands");
        Some(Self {
            anchor_tsc: last.tsc,
            anchor_ns: last.mono_ns,
            rate,
            ticks_max: UNBOUNDED,
            drift: Drift {
                rate,
                from: first,
                from_next: last,
                last,
                is_leap: false,
            },
        })
    }

    pub(super) fn still(now_ns: u64) -> Self {
        let never = Look { tsc: 0, mono_ns: 0 };
        Self {
            anchor_tsc: 0,
            anchor_ns: now_ns,
            rate: 0,
            ticks_max: u64::MAX,
            drift: Drift {
                rate: 0,
                from: never,
                from_next: never,
                last: never,
                is_leap: false,
            },
        }
    }

    /// The time at a reading of the TSC; `kernel` is asked where the line is not believed.
    #[inline]
    pub(super) fn ns_at(&self, tsc: u64, kernel: impl FnOnce() -> u64) -> u64 {
        let ticks = tsc.wrapping_sub(self.anchor_tsc);
        if ticks > self.ticks_max {
            return self.ns_beyond(ticks, kernel);
        }
        self.on_line(ticks)
    }

    #[inline]
    fn on_line(&self, ticks: u64) -> u64 {
        let ns = (u128::from(ticks) * u128::from(self.rate)) >> RATE_SHIFT;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "584 years: `ticks_max` is far below"
        )]
        let ns = ns as u64;
        self.anchor_ns.wrapping_add(ns)
    }

    /// The kernel's time, but never before what the line may have told already.
    #[cold]
    fn ns_beyond(&self, ticks: u64, kernel: impl FnOnce() -> u64) -> u64 {
        if ticks.wrapping_neg() <= TICKS_BEHIND_MAX {
            return self.anchor_ns;
        }
        let told_max = if self.ticks_max == UNBOUNDED {
            0
        } else {
            self.ticks_max
        };
        kernel().max(self.on_line(told_max))
    }

    /// Takes a look at both clocks. The reading of the TSC is not before any that was converted.
    pub(super) fn correct(&mut self, look: Look) -> Correction {
        let is_late = look.tsc.wrapping_sub(self.anchor_tsc) > self.ticks_max;
        let ours_ns = self.ns_at(look.tsc, || look.mono_ns);
        let since_ns = ours_ns.saturating_sub(self.anchor_ns);
        self.drift.on_look(look);
        let error_ns = difference(look.mono_ns, ours_ns);
        let is_step = error_ns > STEP_NS;
        self.anchor_tsc = look.tsc;
        self.anchor_ns = if is_step { look.mono_ns } else { ours_ns };
        let left_ns = if is_step { 0 } else { error_ns };
        self.rate = bent(self.drift.rate, left_ns, since_ns);
        self.ticks_max = ticks_of(HOLDOVER_NS, self.drift.rate);
        debug_assert!(self.anchor_ns >= ours_ns, "time went back");
        if is_step {
            Correction::SteppedForward(error_ns)
        } else if error_ns < -STEP_NS {
            Correction::Slowed(error_ns)
        } else if is_late {
            Correction::Late
        } else {
            Correction::Slewed(error_ns)
        }
    }
}

impl Drift {
    fn on_look(&mut self, look: Look) {
        let (last, was_leap) = (self.last, self.is_leap);
        self.is_leap = !self.fits(last, look);
        self.last = look;
        if self.is_leap {
            // The rate stays as it was; but one that never fits was wrong.
            if let Some(rate) = rate_between(last, look).filter(|_| was_leap)
                && rate / 2 <= self.rate
                && rate >= self.rate / 2
            {
                self.rate = rate;
            }
            (self.from, self.from_next) = (look, look);
            return;
        }
        let long_ns = |from: Look| look.mono_ns.saturating_sub(from.mono_ns);
        if long_ns(self.from_next) >= RATE_WINDOW_NS / 2 {
            (self.from, self.from_next) = (self.from_next, look);
        }
        if long_ns(self.from) >= CALIBRATION_NS
            && let Some(rate) = rate_between(self.from, look)
        {
            self.rate = rate;
        }
    }

    /// Whether drift explains what both clocks did since the last look.
    fn fits(&self, last: Look, look: Look) -> bool {
        let (Some(ticks), Some(kernel_ns)) = (
            look.tsc.checked_sub(last.tsc),
            look.mono_ns.checked_sub(last.mono_ns),
        ) else {
            return false;
        };
        let ours_ns = (u128::from(ticks) * u128::from(self.rate)) >> RATE_SHIFT;
        let allowed_ns = LEAP_NS + kernel_ns / 1000;
        ours_ns.abs_diff(u128::from(kernel_ns)) <= u128::from(allowed_ns)
    }
}

/// The rate at which half of an error is gone by the next correction, which is expected as long from
/// now as the last one is ago: rate * (1 + error / 2 / since), within bounds.
fn bent(rate: u64, error_ns: i64, since_ns: u64) -> u64 {
    let parts = 2 * i128::from(since_ns.clamp(DISCIPLINE_INTERVAL_NS, HOLDOVER_NS));
    let bend = i128::from(error_ns).clamp(-parts / SLOWER_MAX, parts / FASTER_MAX);
    let bent = i128::from(rate) * (parts + bend) / parts;
    // Between 15/16 and 1001/1000 of a rate that fits, so it fits.
    u64::try_from(bent).unwrap_or(rate)
}

/// How many ticks so long takes.
fn ticks_of(ns: u64, rate: u64) -> u64 {
    let ticks = (u128::from(ns) << RATE_SHIFT).checked_div(u128::from(rate));
    // A rate is above 0 (`rate_between`), and 50 ms have fewer ticks than 2^64 at any.
    ticks.map_or(0, |ticks| u64::try_from(ticks).unwrap_or(0))
}

fn difference(left: u64, right: u64) -> i64 {
    let difference = i128::from(left) - i128::from(right);
    i64::try_from(difference).unwrap_or(if difference > 0 { i64::MAX } else { i64::MIN })
}

fn rate_between(from: Look, to: Look) -> Option<u64> {
    let ticks = u128::from(to.tsc.checked_sub(from.tsc)?);
    let ns = u128::from(to.mono_ns.checked_sub(from.mono_ns)?);
    u64::try_from((ns << RATE_SHIFT).checked_div(ticks)?)
        .ok()
        .filter(|rate| *rate > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a look at both clocks is off by, at most.
    const NOISE_NS: u64 = 30;
    /// Corrections in time after which nothing of the past is left: a whole window of the rate, 0.8 s
    /// to slew `HOLDOVER_NS` away meanwhile or after it, and the last halvings.
    const CALM: u32 = 80 + 100 + 20;

    /// A host: its two clocks, and a clock of ours on it.
    struct Host {
        random: fastrand::Rng,
        /// Parts of 10^9 of a tick and of a ns.
        tsc: u128,
        mono: u128,
        ticks_per_us: u128,
        skew_ppb: i128,
        scale: Scale,
        told_ns: u64,
        /// Times that the TSC leapt since the last calm.
        leaps: u64,
    }

    impl Host {
        fn new(seed: u64) -> Self {
            let mut random = fastrand::Rng::with_seed(seed);
            let ticks_per_us = random.u128(800..6_000);
            let begin = |ns: u64| Look {
                tsc: 1_000_000 + ns * u64::try_from(ticks_per_us).unwrap() / 1000,
                mono_ns: 5_000_000_000 + ns,
            };
            let (first, last) = (begin(0), begin(CALIBRATION_NS));
            Self {
                tsc: u128::from(last.tsc) * 1_000_000_000,
                mono: u128::from(last.mono_ns) * 1_000_000_000,
                ticks_per_us,
                skew_ppb: 0,
                scale: Scale::new(first, last).unwrap(),
                told_ns: 0,
                leaps: 0,
                random,
            }
        }

        fn tsc(&self) -> u64 {
            u64::try_from(self.tsc / 1_000_000_000).unwrap()
        }

        fn mono_ns(&self) -> u64 {
            u64::try_from(self.mono / 1_000_000_000).unwrap()
        }

        fn pass(&mut self, ns: u64) {
            self.tsc += u128::from(ns) * self.ticks_per_us * 1_000_000;
            let parts = i128::from(ns) * (1_000_000_000 + self.skew_ppb);
            self.mono += u128::try_from(parts).unwrap();
        }

        /// Passes so long, and looks at our clock now and then.
        fn live(&mut self, ns: u64) {
            let mut left = ns;
            for _ in 0..3 {
                let wait = self.random.u64(0..=left);
                self.pass(wait);
                self.read();
                left -= wait;
            }
            self.pass(left);
            self.read();
        }

        /// Our time: never before one told already, never ahead by more than a holdover for each leap.
        fn read(&mut self) -> u64 {
            let mono_ns = self.mono_ns();
            let now_ns = self.scale.ns_at(self.tsc(), || mono_ns);
            assert!(now_ns >= self.told_ns, "{now_ns} after {}", self.told_ns);
            let ahead_ns = now_ns.saturating_sub(mono_ns);
            let ahead_max_ns = 2 * STEP_NS as u64 + self.leaps * (HOLDOVER_NS + HOLDOVER_NS / 1000);
            assert!(
                ahead_ns <= ahead_max_ns,
                "{ahead_ns} after {} leaps",
                self.leaps
            );
            self.told_ns = now_ns;
            now_ns
        }

        fn correct(&mut self) -> Correction {
            // As `Look::take` does it: the kernel's clock between two readings of the TSC.
            let before = self.tsc();
            let wait = self.random.u64(0..=2 * NOISE_NS);
            self.pass(wait);
            let mono_ns = self.mono_ns();
            self.pass(2 * NOISE_NS - wait);
            let tsc = before + (self.tsc() - before) / 2;
            let look = Look { tsc, mono_ns };
            let correction = self.scale.correct(look);
            let (rate, drift) = (u128::from(self.scale.rate), self.scale.drift.rate);
            let drift = u128::from(drift);
            assert!(rate >= drift * 15 / 16 - 1, "{rate} of {drift}");
            assert!(rate <= drift * 1001 / 1000 + 1, "{rate} of {drift}");
            self.read();
            correction
        }

        /// Corrections in time; nothing happens. What the leaps made takes as much longer to slew away.
        fn calm(&mut self) {
            for _ in 0..CALM + 80 * u32::try_from(self.leaps).unwrap() {
                self.live(DISCIPLINE_INTERVAL_NS);
                self.correct();
            }
            self.leaps = 0;
        }

        fn error_ns(&mut self) -> u64 {
            self.read().abs_diff(self.mono_ns())
        }

        fn slew(&mut self) {
            self.skew_ppb = self.random.i128(-500_000..=500_000);
        }

        /// Something that happens to hosts.
        fn suffer(&mut self) {
            let (ms, hour) = (1_000_000_000 * 1_000_000, 3_600_000);
            match self.random.u8(0..5) {
                0 => self.slew(),
                1 => {
                    // The owner is held up.
                    let ns = self.random.u64(0..3_000_000_000);
                    self.live(ns);
                }
                2 => {
                    // Suspended: the TSC goes on, the kernel's clock does not.
                    let slept_ms = self.random.u128(1..hour);
                    self.tsc += slept_ms * ms * self.ticks_per_us / 1000;
                    self.leaps += 1;
                }
                3 => {
                    // Suspended: the TSC begins anew. A host is not suspended twice in 10 ms.
                    self.live(5 * DISCIPLINE_INTERVAL_NS);
                    self.correct();
                    self.tsc = self.random.u128(0..1_000_000) * 1_000_000_000;
                    self.leaps += 1;
                }
                _ => {
                    // The kernel's clock goes on, the TSC does not: a guest moved to another host.
                    self.mono += self.random.u128(1..hour) * ms;
                }
            }
            self.read();
        }
    }

    #[test]
    fn whatever_happens_to_the_host_time_goes_on_and_two_seconds_of_calm_later_it_is_the_kernels() {
        for seed in 0..40 {
            let mut host = Host::new(seed);
            host.correct();
            for _ in 0..10 {
                for _ in 0..host.random.u8(1..4) {
                    host.suffer();
                    host.live(DISCIPLINE_INTERVAL_NS);
                    host.correct();
                }
                host.calm();
                let error_ns = host.error_ns();
                assert!(
                    error_ns <= 4 * NOISE_NS,
                    "seed {seed}: off by {error_ns} ns"
                );
            }
        }
    }

    #[test]
    fn kernel_slews_by_500_ppm_the_error_stays_within_what_two_intervals_make() {
        for seed in 0..40 {
            let mut host = Host::new(seed);
            host.correct();
            for _ in 0..10 {
                host.slew();
                // From one extreme to the other it changes by 1000 ppm.
                let bound_ns = 2 * DISCIPLINE_INTERVAL_NS / 1000 + 4 * NOISE_NS;
                for _ in 0..CALM {
                    host.live(DISCIPLINE_INTERVAL_NS);
                    let error_ns = host.error_ns();
                    assert!(error_ns <= bound_ns, "seed {seed}: off by {error_ns} ns");
                    host.correct();
                }
                assert!(host.error_ns() <= 4 * NOISE_NS);
            }
        }
    }

    #[test]
    fn five_ms_ahead_is_slewed_away_in_a_quarter_of_a_second() {
        let mut host = Host::new(1);
        host.leaps = 1;
        host.scale.anchor_ns += 5_000_000;
        assert!(matches!(host.correct(), Correction::Slowed(..-4_999_000)));
        for _ in 0..25 {
            host.pass(DISCIPLINE_INTERVAL_NS);
            host.correct();
        }
        assert!(host.error_ns() <= 4 * NOISE_NS, "{}", host.error_ns());
    }

    #[test]
    fn a_second_behind_is_stepped_over_at_once() {
        let mut host = Host::new(2);
        host.mono += 1_000_000_000 * 1_000_000_000;
        let correction = host.correct();
        assert!(
            matches!(correction, Correction::SteppedForward(999_999_000..)),
            "{correction:?}"
        );
        assert!(host.error_ns() <= NOISE_NS);
    }

    #[test]
    fn owner_late_kernel_is_asked_and_the_correction_says_so() {
        let mut host = Host::new(3);
        host.correct();
        host.slew();
        host.pass(2 * HOLDOVER_NS);
        assert_eq!(host.error_ns(), 0, "the kernel's own time");
        assert_eq!(host.correct(), Correction::Late);
    }

    #[test]
    fn tsc_of_another_core_a_few_cycles_behind_the_anchor_reads_as_the_anchor() {
        let mut host = Host::new(4);
        host.correct();
        let anchor_ns = host.scale.anchor_ns;
        let behind = host
            .scale
            .ns_at(host.tsc() - 100, || unreachable!("nobody is asked"));
        assert_eq!(behind, anchor_ns);
    }

    #[test]
    fn first_rate_wrong_by_half_is_learnt_from_the_second_correction_that_does_not_fit() {
        let mut host = Host::new(5);
        host.leaps = 1;
        host.scale.drift.rate += host.scale.drift.rate / 2;
        host.scale.rate = host.scale.drift.rate;
        for _ in 0..CALM {
            host.pass(DISCIPLINE_INTERVAL_NS);
            host.correct();
        }
        assert!(host.error_ns() <= 4 * NOISE_NS, "{}", host.error_ns());
    }
}
