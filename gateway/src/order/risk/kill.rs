//! The kill switch, and why it was turned.
//!
//! ```text
//!  word of a session:   bits 0..8    cause, 0: off
//!                       bits 8..16   0: turned for itself, 255: by housekeeping, else 1 + the session that began it
//!                       bit 63       it is about to be released, and still on: whatever comes now stays
//!
//!  session a: LossLimit ──engage──> own word ──> word of b ──> word of c      sessions of one trading account
//! ```
//!
//! An order core looks at its own session's word and no other: what stops one session of an account is written into
//! the words of the others by whoever found it, so it costs them nothing before, and no system call then.
//!
//! Thread:      any; the order core looks at it before each order, hot

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rt::mem::SharedWord;

use super::kill_word::{NOT_KILLED, RELEASING, Release, START_KILLED, turn, turn_all};

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
    /// What a session of an account found at its first login is more than its part of what the account may have in all.
    AccountBudget = 17,
}

impl KillCause {
    /// Every cause.
    pub const ALL: [Self; 17] = [
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
        Self::AccountBudget,
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
            | Self::PositionUnknown
            | Self::AccountBudget => true,
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
            Self::AccountBudget => {
                "more found at the start than a session's part of its account's limits"
            }
            Self::PastDiffers => "a past of the exchange's that differs from the journal's",
        })
    }
}

const _: () = assert!(KillCause::StartKilled as u64 == START_KILLED);
/// Where the cause lies in a word.
const CAUSE: u64 = 0xff;
/// Where it lies who began it.
const BEGAN_SHIFT: u32 = 8;
/// Housekeeping began it, and for no session's sake: it has found the kill file.
pub(crate) const HOUSEKEEPING: u8 = u8::MAX;

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
    began: u8,
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
            began: began_code(session),
            words: words.collect(),
        }));
        self
    }

    /// Stops new orders: of this session, and of its account's others where the cause concerns them.
    pub fn engage(&self, cause: KillCause) {
        let Some(account) = self.account.as_ref().filter(|_| cause.stops_the_account()) else {
            return self.engage_here(cause);
        };
        let code = word_of(cause, account.began);
        let others = account.words.iter().map(|word| (&**word, code));
        // The own word last: whoever finds it on finds the others on, and for this session's sake.
        turn_all(others.chain([(&*self.word, cause as u64)]));
    }

    /// Stops new orders of this session alone.
    pub(crate) fn engage_here(&self, cause: KillCause) {
        turn(&*self.word, cause as u64);
    }

    /// Stops new orders of all these sessions, for a cause that none of them has met with.
    pub(crate) fn engage_all<'a>(kills: impl Iterator<Item = &'a Self> + Clone, cause: KillCause) {
        Self::engage_all_for(kills, cause, 0);
    }

    /// The same, begun by another session ([`began_code`]) or by [`HOUSEKEEPING`].
    pub(crate) fn engage_all_for<'a>(
        kills: impl Iterator<Item = &'a Self> + Clone,
        cause: KillCause,
        began: u8,
    ) {
        let code = word_of(cause, began);
        turn_all(kills.map(|kill| (&*kill.word, code)));
    }

    /// Allows new orders.
    pub fn release(&self) {
        self.word.store(NOT_KILLED, Ordering::SeqCst);
    }

    /// What it says now, for [`release_together`]; `None`: it is off.
    #[must_use]
    pub fn stood(&self) -> Option<Stood> {
        let word = self.word.load(Ordering::SeqCst) & !RELEASING;
        (word != NOT_KILLED).then_some(Stood(word))
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

    /// The session that began it, by its place; `None`: this one, or nobody.
    #[must_use]
    pub fn began(&self) -> Option<usize> {
        match self.began_code() {
            HOUSEKEEPING => None,
            code => usize::from(code).checked_sub(1),
        }
    }

    /// Who began it, as the journal has it: 0: it was turned for itself, 255: housekeeping, which has found the kill file,
    /// else 1 and the session's place.
    #[must_use]
    pub fn began_code(&self) -> u8 {
        let word = self.word.load(Ordering::Relaxed) >> BEGAN_SHIFT;
        u8::try_from(word & CAUSE).unwrap_or(0)
    }
}

/// A session's place as a word has it; 0 where there is no room for it.
pub(crate) fn began_code(session: usize) -> u8 {
    let code = u8::try_from(session + 1).unwrap_or(0);
    if code == HOUSEKEEPING { 0 } else { code }
}

fn word_of(cause: KillCause, began: u8) -> u64 {
    cause as u64 | u64::from(began) << BEGAN_SHIFT
}

/// What a switch said when it was looked at: what is released is this and no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stood(u64);

/// Lets sessions trade again, all of these or none, each as it was when somebody looked. `false`: one of them says
/// something else by now; whatever stopped it stops them all.
#[must_use]
pub fn release_together(switches: &[(&KillSwitch, Stood)]) -> bool {
    let words = words_of(switches);
    Release { words: &words }.run()
}

fn words_of<'a>(switches: &[(&'a KillSwitch, Stood)]) -> Vec<(&'a AtomicU64, u64)> {
    let words = switches.iter();
    words.map(|(kill, stood)| (&*kill.word, stood.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::kill_word::Word;
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
                let stood = other.stood();
                assert_eq!(stood.is_some(), expected.0.is_some());
                assert!(stood.is_none_or(|it| release_together(&[(other, it)])));
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

    /// Two sessions of one account, stopped by a loss of the first, and what they say.
    fn stopped() -> [KillSwitch; 2] {
        let [a, b] = [(); 2].map(|()| KillSwitch::default());
        let (x, y) = (a.clone(), b.clone());
        let both = [a.with_account(0, &[y]), b.with_account(1, &[x])];
        both[0].engage(KillCause::LossLimit);
        both
    }

    fn stood([a, b]: &[KillSwitch; 2]) -> [(&KillSwitch, Stood); 2] {
        [(a, a.stood().unwrap()), (b, b.stood().unwrap())]
    }

    #[test]
    fn breach_between_the_releases_of_an_account_stops_all_of_it() {
        for breached in [0, 1] {
            for when in 0..3 {
                let kills = stopped();
                let words = words_of(&stood(&kills));
                let release = Release { words: &words };
                if when == 1 {
                    // The first is about to be released, the second is not yet.
                    let (word, stood) = words[0];
                    assert!(word.change(stood, stood | RELEASING).is_ok());
                    kills[breached].engage(KillCause::RejectStorm);
                    let _ = word.change(stood | RELEASING, stood);
                    let _ = release.run();
                } else if when == 2 {
                    assert!(release.begin());
                    assert!(
                        kills.iter().all(KillSwitch::is_on),
                        "none runs before all may"
                    );
                    kills[breached].engage(KillCause::RejectStorm);
                    assert!(!release.finish());
                    let causes = [kills[0].cause(), kills[1].cause()];
                    assert_eq!(causes, [Some(KillCause::RejectStorm); 2]);
                } else {
                    assert!(release.run());
                    assert!(!kills.iter().any(KillSwitch::is_on));
                    kills[breached].engage(KillCause::RejectStorm);
                }
                assert_eq!(kills[0].is_on(), kills[1].is_on(), "{breached} {when}");
            }
        }
    }

    /// What the first meets with while both are released leaves both as they were, or stops both.
    #[test]
    fn breach_at_any_moment_of_a_release_never_leaves_a_sibling_running() {
        for _ in 0..20_000 {
            let kills = stopped();
            let stood = stood(&kills);
            std::thread::scope(|scope| {
                scope.spawn(|| kills[0].engage(KillCause::RejectStorm));
                let _ = release_together(&stood);
            });
            assert_eq!(kills[0].is_on(), kills[1].is_on());
            assert!(
                kills
                    .iter()
                    .all(|it| it.word.load(Ordering::SeqCst) & RELEASING == 0)
            );
        }
    }

    #[test]
    fn switch_that_says_something_else_by_now_is_not_released_and_neither_are_the_others() {
        let kills = stopped();
        let stood = stood(&kills);
        kills[1].release();
        kills[1].engage_here(KillCause::Operator);
        assert!(!release_together(&stood));
        let causes = [kills[0].cause(), kills[1].cause()];
        assert_eq!(
            causes,
            [Some(KillCause::LossLimit), Some(KillCause::Operator)]
        );
    }
}
