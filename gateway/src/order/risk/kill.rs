//! The kill switch, and why it was turned.
//!
//! Thread:      any; the order core looks at it before each order, hot

use std::sync::atomic::Ordering;

use rt::mem::SharedWord;

/// Why trading is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum KillCause {
    /// `tickgate kill`.
    Operator = 1,
    /// SIGUSR2.
    Signal = 2,
    /// An execution of an order that is not known here.
    UnknownExecution = 3,
    /// A strategy did not take its executions.
    ExecutionsLost = 4,
    /// An answer of the exchange that cannot be decoded.
    MalformedAnswer = 5,
    /// What must hold of orders or positions does not.
    BrokenInvariant = 6,
    /// `start_killed` of the session.
    StartKilled = 7,
    /// A kill of an earlier run that nobody has ended.
    Persisted = 8,
    /// The exchange rejected too many orders within a moment.
    RejectStorm = 9,
    /// The day's loss went over its limit.
    LossLimit = 10,
    /// The journal's ring was full: what is decided could not be recorded.
    JournalBehind = 11,
    /// The journal could not be written.
    JournalFailed = 12,
    /// What the exchange says of the day is not what the journal has.
    PastDiffers = 13,
    /// `tickgate ctl kill --hard`, in the gateway's memory.
    OperatorHard = 14,
    /// An operator's tool that watched has fallen silent: `tickgate ctl guard`.
    GuardSilent = 15,
    /// Executions of a session that was left today are not known: positions may be other ones.
    PositionUnknown = 16,
}

impl KillCause {
    /// Every cause.
    pub const ALL: [Self; 16] = [
        Self::Operator,
        Self::Signal,
        Self::UnknownExecution,
        Self::ExecutionsLost,
        Self::MalformedAnswer,
        Self::BrokenInvariant,
        Self::StartKilled,
        Self::Persisted,
        Self::RejectStorm,
        Self::LossLimit,
        Self::JournalBehind,
        Self::JournalFailed,
        Self::PastDiffers,
        Self::OperatorHard,
        Self::GuardSilent,
        Self::PositionUnknown,
    ];

    /// The cause of this code. No code of ours: somebody wrote it from outside.
    fn from_code(code: u64) -> Self {
        let known = Self::ALL.into_iter().find(|cause| *cause as u64 == code);
        known.unwrap_or(Self::OperatorHard)
    }
}

impl std::fmt::Display for KillCause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Operator => "the operator",
            Self::Signal => "SIGUSR2",
            Self::UnknownExecution => "an execution of an unknown order",
            Self::ExecutionsLost => "a strategy that did not take its executions",
            Self::MalformedAnswer => "an answer of the exchange that cannot be decoded",
            Self::BrokenInvariant => "a broken invariant of orders or positions",
            Self::StartKilled => "start_killed in the configuration",
            Self::Persisted => "a kill of an earlier run",
            Self::RejectStorm => "too many rejects by the exchange",
            Self::LossLimit => "a loss over loss_max_dollars",
            Self::JournalBehind => "a journal that cannot keep up",
            Self::JournalFailed => "a journal that cannot be written",
            Self::OperatorHard => "the operator, past whoever listens",
            Self::GuardSilent => "an operator's tool that was not heard any more",
            Self::PositionUnknown => "executions of an earlier session that no journal tells",
            Self::PastDiffers => "a past of the exchange's that differs from the journal's",
        })
    }
}

/// No cause: orders may go.
const NOT_KILLED: u64 = 0;

/// The kill switch: anyone may turn it, the order core looks at it before each order. The first cause
/// stays until it is released; `StartKilled` gives way to another.
#[derive(Clone, Debug, Default)]
pub struct KillSwitch(SharedWord);

impl KillSwitch {
    /// A switch in this word, 0: off. Whoever else has the word can turn it, too.
    #[must_use]
    pub fn at(word: SharedWord) -> Self {
        Self(word)
    }

    /// Stops new orders.
    pub fn engage(&self, cause: KillCause) {
        let (order, code) = (Ordering::SeqCst, cause as u64);
        // An error: it is on already, and the first cause is the one to look into, unless that is only how
        // the configuration starts.
        if self
            .0
            .compare_exchange(NOT_KILLED, code, order, order)
            .is_err()
        {
            let start = KillCause::StartKilled as u64;
            let _ = self.0.compare_exchange(start, code, order, order);
        }
    }

    /// Allows new orders.
    pub fn release(&self) {
        self.0.store(NOT_KILLED, Ordering::SeqCst);
    }

    /// Allows new orders again where they are stopped for this cause; `false`: for another, or not at all.
    #[must_use]
    pub fn release_from(&self, cause: KillCause) -> bool {
        let order = Ordering::SeqCst;
        let released = self
            .0
            .compare_exchange(cause as u64, NOT_KILLED, order, order);
        released.is_ok()
    }

    /// Whether orders are stopped.
    #[inline]
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.load(Ordering::Relaxed) != NOT_KILLED
    }

    /// Why orders are stopped; `None`: they are not.
    #[must_use]
    pub fn cause(&self) -> Option<KillCause> {
        // Order stages ask in each turn, and it is off in nearly all.
        match self.0.load(Ordering::Relaxed) {
            NOT_KILLED => None,
            code => Some(KillCause::from_code(code)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kill_switch_engaged_twice_keeps_the_first_cause_until_released() {
        let kill = KillSwitch::default();
        assert_eq!((kill.is_on(), kill.cause()), (false, None));
        for cause in KillCause::ALL {
            kill.engage(cause);
            assert_eq!((kill.is_on(), kill.cause()), (true, Some(cause)));
            kill.engage(KillCause::Signal);
            let first = match cause {
                // It says no more than how the configuration starts.
                KillCause::StartKilled => KillCause::Signal,
                first => first,
            };
            assert_eq!(kill.cause(), Some(first));
            kill.release();
            assert_eq!((kill.is_on(), kill.cause()), (false, None));
        }
    }
}
