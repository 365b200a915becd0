//! The hours of the day: what happens at which time.

use protocol::types::Nanos;

use crate::account::{Market, OrderLimits, Phase};
use crate::engine::{CrossKind, Engine};
use crate::options::Day;

/// Imbalances are told in the last two minutes before a cross (Nasdaq: from 9:28 and 15:50; the shorter
/// of the two is enough for a simulated day).
const IMBALANCE_BEFORE_NS: u64 = 120_000_000_000;

/// Something that the hours bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Time to say what a cross would do.
    Imbalance(CrossKind),
    /// The opening cross.
    Open,
    /// The closing cross.
    Close,
    /// The end of system hours.
    End,
}

/// Where in its hours the day is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hours {
    day: Option<Day>,
    phase: Phase,
    /// When the next imbalance is told.
    imbalance_ns: Option<u64>,
}

impl Phase {
    /// Whether orders come in.
    pub(crate) fn is_open(self) -> bool {
        matches!(self, Self::Always | Self::Before | Self::Market)
    }
}

impl Hours {
    pub(crate) fn new(day: Option<Day>, now_ns: u64) -> Self {
        let phase = match day {
            None => Phase::Always,
            Some(day) if now_ns < day.open_ns => Phase::Before,
            Some(day) if now_ns < day.close_ns => Phase::Market,
            Some(day) if now_ns < day.end_ns => Phase::After,
            Some(_) => Phase::Closed,
        };
        let mut hours = Self {
            day,
            phase,
            imbalance_ns: None,
        };
        hours.plan_imbalance(now_ns);
        hours
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// Whether orders for the closing cross can no longer be changed.
    pub(crate) fn is_late(&self, now_ns: u64) -> bool {
        self.day
            .is_some_and(|day| now_ns + day.late_ns >= day.close_ns)
    }

    /// What the rules look at.
    pub(crate) fn market<'a>(
        &self,
        engine: &'a Engine,
        limits: OrderLimits,
        now: Nanos,
    ) -> Market<'a> {
        Market {
            engine,
            phase: self.phase,
            is_late: self.is_late(now.0),
            now,
            limits,
        }
    }

    /// Market hours are over, whatever the clock says: a record has said so.
    pub(crate) fn end_market(&mut self) {
        if matches!(self.phase, Phase::Always | Phase::Before | Phase::Market) {
            self.phase = Phase::After;
            self.imbalance_ns = None;
        }
    }

    /// System hours are over.
    pub(crate) fn end(&mut self) {
        self.phase = Phase::Closed;
        self.imbalance_ns = None;
    }

    /// The cross that comes next, and when.
    fn next_cross(&self) -> Option<(u64, CrossKind)> {
        let day = self.day?;
        match self.phase {
            Phase::Before => Some((day.open_ns, CrossKind::Open)),
            Phase::Market => Some((day.close_ns, CrossKind::Close)),
            _ => None,
        }
    }

    fn plan_imbalance(&mut self, from_ns: u64) {
        let every = self.day.map_or(0, |day| day.imbalance_ns);
        self.imbalance_ns = self
            .next_cross()
            .filter(|_| every > 0)
            .and_then(|(cross_ns, _)| {
                let first = cross_ns.saturating_sub(IMBALANCE_BEFORE_NS);
                let next = if from_ns < first {
                    first
                } else {
                    from_ns + every
                };
                (next < cross_ns).then_some(next)
            });
    }

    /// When the next moment comes.
    pub(crate) fn next_ns(&self) -> Option<u64> {
        let day = self.day?;
        let turn = match self.phase {
            Phase::Before => Some(day.open_ns),
            Phase::Market => Some(day.close_ns),
            Phase::After => Some(day.end_ns),
            Phase::Always | Phase::Closed => None,
        };
        turn.into_iter().chain(self.imbalance_ns).min()
    }

    /// The moment that is due.
    pub(crate) fn take(&mut self, now_ns: u64) -> Option<Moment> {
        self.day?;
        if let (Some(at), Some((_, kind))) = (self.imbalance_ns, self.next_cross())
            && at <= now_ns
        {
            self.plan_imbalance(at);
            return Some(Moment::Imbalance(kind));
        }
        let moment = match self.phase {
            Phase::Before => Moment::Open,
            Phase::Market => Moment::Close,
            Phase::After => Moment::End,
            Phase::Always | Phase::Closed => return None,
        };
        self.phase = match moment {
            Moment::Open => Phase::Market,
            Moment::Close => Phase::After,
            Moment::End | Moment::Imbalance(_) => Phase::Closed,
        };
        self.plan_imbalance(now_ns);
        Some(moment)
    }
}

#[cfg(test)]
mod tests {
    use rt::clock::SECOND_NS;

    use super::*;

    #[test]
    fn day_passes_through_its_hours_with_imbalances_before_each_cross() {
        let second = |s: u64| s * SECOND_NS;
        let day = Day {
            open_ns: second(1000),
            close_ns: second(2000),
            end_ns: second(3000),
            late_ns: second(60),
            imbalance_ns: second(50),
        };
        let mut hours = Hours::new(Some(day), second(970));
        let mut told = Vec::new();
        while let Some(at) = hours.next_ns() {
            told.push((at / SECOND_NS, hours.take(at).unwrap()));
        }
        use Moment::{Close, End, Imbalance, Open};
        let (first, second) = (Imbalance(CrossKind::Open), Imbalance(CrossKind::Close));
        assert_eq!(told[0], (1000, Open), "970 + 50 is behind the open");
        assert_eq!(
            told[1..],
            [
                (1880, second),
                (1930, second),
                (1980, second),
                (2000, Close),
                (3000, End)
            ]
        );
        assert_eq!(hours.phase(), Phase::Closed);
        let mut hours = Hours::new(Some(day), 0);
        assert_eq!(hours.next_ns(), Some(880 * SECOND_NS));
        assert_eq!(hours.take(880 * SECOND_NS), Some(first));
        assert_eq!(hours.next_ns(), Some(930 * SECOND_NS));
        assert_eq!(Hours::new(None, 5).next_ns(), None);
    }
}
