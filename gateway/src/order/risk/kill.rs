//! The kill switch, and why it was turned.
//!
//! ```text
//!  word of a session:   bits 0..8 cause, 0: off      bits 8.. 0: turned for itself, else 1 + the session that began it
//!
//!  session a: LossLimit ──engage──> own word ──> word of b ──> word of c      sessions of one trading account
//! ```
//!
//! An order core looks at its own session's word and no other: what stops one session of an account is written into
//! the words of the others by whoever found it, so it costs them nothing before, and no system call then.
//!
//! Thread:      any; the order core looks at it before each order, hot

use std::sync::Arc;
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

    /// The cause in this word. No code of ours: somebody wrote it from outside.
    fn from_word(word: u64) -> Self {
        let code = word & CAUSE;
        let known = Self::ALL.into_iter().find(|cause| *cause as u64 == code);
        known.unwrap_or(Self::OperatorHard)
    }

    /// Whether something that one session has met with stops every session of its trading account. The operator's
    /// words and the journal's disk concern all sessions anyway, and `start_killed` is of one.
    #[must_use]
    pub fn stops_the_account(self) -> bool {
        match self {
            Self::UnknownExecution
            | Self::ExecutionsLost
            | Self::MalformedAnswer
            | Self::BrokenInvariant
            | Self::RejectStorm
            | Self::LossLimit
            | Self::JournalBehind
            | Self::PastDiffers
            | Self::PositionUnknown => true,
            Self::Operator
            | Self::Signal
            | Self::StartKilled
            | Self::Persisted
            | Self::JournalFailed
            | Self::OperatorHard
            | Self::GuardSilent => false,
        }
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
/// Where the cause lies in a word.
const CAUSE: u64 = 0xff;
/// Where the session lies that began it.
const BEGAN_SHIFT: u32 = 8;

/// The kill switch: anyone may turn it, the order core looks at it before each order. The first cause
/// stays until it is released; `StartKilled` gives way to another.
#[derive(Clone, Debug, Default)]
pub struct KillSwitch {
    word: SharedWord,
    account: Option<Arc<Siblings>>,
}

/// The other sessions of a switch's trading account.
#[derive(Debug)]
struct Siblings {
    /// What stands in their words when this session has begun it.
    began: u64,
    words: Vec<SharedWord>,
}

impl KillSwitch {
    /// A switch in this word, 0: off. Whoever else has the word can turn it, too.
    #[must_use]
    pub fn at(word: SharedWord) -> Self {
        Self {
            word,
            account: None,
        }
    }

    /// The switch of the session with this place, whose trading account has these others: what it meets with stops them.
    #[must_use]
    pub fn with_account(mut self, session: usize, others: &[Self]) -> Self {
        let words = others.iter().map(|other| other.word.clone());
        self.account = Some(Arc::new(Siblings {
            began: (session as u64 + 1) << BEGAN_SHIFT,
            words: words.collect(),
        }));
        self
    }

    /// Stops new orders: of this session, and of its account's others where the cause concerns them.
    pub fn engage(&self, cause: KillCause) {
        // The own word last: whoever finds it on finds the others on, and for this session's sake.
        if let (Some(account), true) = (&self.account, cause.stops_the_account()) {
            for word in &account.words {
                turn(word, cause as u64 | account.began);
            }
        }
        self.engage_here(cause);
    }

    /// Stops new orders of this session alone.
    pub(crate) fn engage_here(&self, cause: KillCause) {
        turn(&self.word, cause as u64);
    }

    /// Allows new orders.
    pub fn release(&self) {
        self.word.store(NOT_KILLED, Ordering::SeqCst);
    }

    /// Allows new orders again where they are stopped for this cause; `false`: for another, or not at all.
    #[must_use]
    pub fn release_from(&self, cause: KillCause) -> bool {
        let order = Ordering::SeqCst;
        let word = self.word.load(order);
        word != NOT_KILLED
            && KillCause::from_word(word) == cause
            && (self.word.compare_exchange(word, NOT_KILLED, order, order)).is_ok()
    }

    /// Whether orders are stopped.
    #[inline]
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.word.load(Ordering::Relaxed) != NOT_KILLED
    }

    /// Why orders are stopped; `None`: they are not.
    #[must_use]
    pub fn cause(&self) -> Option<KillCause> {
        // Order stages ask in each turn, and it is off in nearly all.
        match self.word.load(Ordering::Relaxed) {
            NOT_KILLED => None,
            word => Some(KillCause::from_word(word)),
        }
    }

    /// The session of its account that began it, by its place; `None`: this one, or nobody.
    #[must_use]
    pub fn began(&self) -> Option<usize> {
        let began = self.word.load(Ordering::Relaxed) >> BEGAN_SHIFT;
        usize::try_from(began.checked_sub(1)?).ok()
    }
}

/// Turns a word on, unless it is on for another cause.
fn turn(word: &SharedWord, code: u64) {
    let order = Ordering::SeqCst;
    // An error: it is on already, and the first cause is the one to look into, unless that is only how
    // the configuration starts.
    if (word.compare_exchange(NOT_KILLED, code, order, order)).is_err() {
        let start = KillCause::StartKilled as u64;
        let _ = word.compare_exchange(start, code, order, order);
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

    #[test]
    fn what_one_session_meets_with_stops_its_account_and_says_who_began() {
        let plain = [(); 3].map(|()| KillSwitch::default());
        for cause in KillCause::ALL {
            let others = [plain[0].clone(), plain[2].clone()];
            let kill = plain[1].clone().with_account(1, &others);
            kill.engage(cause);
            assert_eq!((kill.cause(), kill.began()), (Some(cause), None));
            let expected = match cause.stops_the_account() {
                true => (Some(cause), Some(1)),
                false => (None, None),
            };
            for other in &others {
                assert_eq!((other.cause(), other.began()), expected, "{cause:?}");
                assert_eq!(other.release_from(cause), expected.0.is_some());
                assert!(!other.is_on());
            }
            kill.release();
        }
    }

    #[test]
    fn first_cause_of_a_session_stays_when_another_of_its_account_is_stopped() {
        let [a, b] = [(); 2].map(|()| KillSwitch::default());
        let a = a.with_account(0, std::slice::from_ref(&b));
        b.engage(KillCause::RejectStorm);
        a.engage(KillCause::LossLimit);
        assert_eq!((b.cause(), b.began()), (Some(KillCause::RejectStorm), None));
    }
}
