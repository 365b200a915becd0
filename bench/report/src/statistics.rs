//! What may be said of two things that were measured in turn.
//!
//! A run's percentile is one number; runs are repeated and interleaved (A B A B), because a shared host
//! drifts. The figure of a candidate is the median of its rounds' medians. Two are compared by the
//! ratio of those, with an interval from a bootstrap over rounds: whole rounds are drawn again with
//! replacement, both candidates together, so that what moved both cancels.

use serde::{Deserialize, Serialize};

/// Draws of the bootstrap.
const DRAWS: usize = 4_000;
/// Fewer rounds give an interval that means nothing.
pub const ROUNDS_MIN: usize = 4;

/// The median; 0 of nothing.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let at = |index: usize| sorted.get(index).copied().unwrap_or(0.0);
    if sorted.len().is_multiple_of(2) && !sorted.is_empty() {
        f64::midpoint(at(middle - 1), at(middle))
    } else {
        at(middle)
    }
}

/// How B stands to A.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
pub struct Comparison {
    /// B's median of medians over A's.
    pub ratio: f64,
    /// 95 % interval of that; `None`: too few rounds.
    pub interval: Option<(f64, f64)>,
}

impl Comparison {
    /// Compares the rounds of A and B, in the order in which they ran; a round that one of them misses
    /// is left out. `None`: no round.
    #[must_use]
    pub fn of(a: &[f64], b: &[f64]) -> Option<Self> {
        let pairs: Vec<(f64, f64)> = a.iter().copied().zip(b.iter().copied()).collect();
        let ratio = ratio_of(&pairs)?;
        let interval = (pairs.len() >= ROUNDS_MIN).then(|| {
            let mut random = fastrand::Rng::with_seed(1);
            let mut draw = || {
                let drawn: Vec<(f64, f64)> = (0..pairs.len())
                    .filter_map(|_| random.choice(&pairs).copied())
                    .collect();
                ratio_of(&drawn)
            };
            let mut ratios: Vec<f64> = (0..DRAWS).filter_map(|_| draw()).collect();
            ratios.sort_by(f64::total_cmp);
            let at = |share: f64| {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a share of a small count"
                )]
                let index = (share * ratios.len() as f64) as usize;
                ratios
                    .get(index.min(ratios.len().saturating_sub(1)))
                    .copied()
                    .unwrap_or(ratio)
            };
            (at(0.025), at(0.975))
        });
        Some(Self { ratio, interval })
    }

    /// Whether the rounds tell the two apart.
    #[must_use]
    pub fn is_difference(&self) -> bool {
        self.interval
            .is_some_and(|(low, high)| low > 1.0 || high < 1.0)
    }

    /// In words, with B's name.
    #[must_use]
    pub fn words(&self, b: &str) -> String {
        // From ratios of time to percent faster: half the time is 50 % faster.
        let percent = |ratio: f64| (1.0 - ratio).abs() * 100.0;
        let Some((low, high)) = self.interval else {
            return format!("{:.2} times; too few rounds for an interval", self.ratio);
        };
        if !self.is_difference() {
            return format!(
                "no difference seen ({:+.0} %, 95 %: {:+.0} to {:+.0})",
                (self.ratio - 1.0) * 100.0,
                (low - 1.0) * 100.0,
                (high - 1.0) * 100.0
            );
        }
        let direction = if self.ratio < 1.0 { "faster" } else { "slower" };
        let (near, far) = if self.ratio < 1.0 {
            (percent(high), percent(low))
        } else {
            (percent(low), percent(high))
        };
        format!(
            "{b} is {:.0} % {direction} (95 %: {near:.0} to {far:.0})",
            percent(self.ratio)
        )
    }
}

fn ratio_of(pairs: &[(f64, f64)]) -> Option<f64> {
    let (a, b): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
    let (a, b) = (median(&a), median(&b));
    (a > 0.0 && b > 0.0).then(|| b / a)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_difference_is_told_with_its_interval() {
        let a = [100.0, 103.0, 98.0, 101.0, 99.0, 100.0];
        let b: Vec<f64> = a.iter().map(|value| value * 0.93).collect();
        let comparison = Comparison::of(&a, &b).unwrap();
        assert!(comparison.is_difference());
        assert!(
            comparison.words("B").starts_with("B is 7 % faster (95 %: "),
            "{}",
            comparison.words("B")
        );
        let slower = Comparison::of(&b, &a).unwrap().words("A");
        assert!(slower.starts_with("A is 8 % slower"), "{slower}");
    }

    #[test]
    fn noise_is_no_difference() {
        let mut random = fastrand::Rng::with_seed(5);
        let mut noisy = || {
            (0..8)
                .map(|_| 90.0 + random.f64() * 20.0)
                .collect::<Vec<_>>()
        };
        let mut told_apart = 0;
        for _ in 0..50 {
            let (a, b) = (noisy(), noisy());
            told_apart += u32::from(Comparison::of(&a, &b).unwrap().is_difference());
        }
        // One in twenty by the meaning of 95 %; a bootstrap over eight rounds is somewhat too sure.
        assert!(told_apart <= 10, "{told_apart} of 50 told apart");
        let few = Comparison::of(&[1.0, 2.0], &[1.0, 2.0]).unwrap();
        assert!(few.words("B").contains("too few rounds"));
        assert!(Comparison::of(&[], &[]).is_none());
    }

    #[test]
    fn medians() {
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!((median(&[4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < f64::EPSILON);
        assert!(median(&[]).abs() < f64::EPSILON);
    }
}
