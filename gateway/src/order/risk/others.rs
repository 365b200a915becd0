//! What other sessions of the account have open, so that no order meets one of theirs.
//!
//! ```text
//!  own best limits of a symbol ──show──> own word ───┐        one word a session and symbol: best buy, best sell
//!                                                    ├─ board of the account
//!  an order that wants to go ──look──> others' words ┘
//! ```
//!
//! An order's limit is shown before the others' are looked at, and they do the same ([`rt::board`]), so of two orders
//! of two sessions that would meet, at least one sees the other and is refused; which, or whether both, is nobody's
//! decision, and nobody waits. A session's best limits are enough: who does not meet the best meets none. What is
//! shown covers all that the exchange may have of a session, because a limit stays from before its order leaves until the
//! exchange has said that it is over, a replace's beside the one that it replaces. So what is refused may be gone
//! already, but what goes meets nothing. What an earlier run left is shown once its session has found it: until then
//! that session is not settled, and nobody's orders go.
//!
//! Thread:      order core, hot
//! Contract:    **whoever was let through and does not send says so ([`Risk::take_back`]).**
//! Invariants:  what is shown of a symbol is the best of what is open, and of the one order that is being judged.
//! When full:   a symbol without a place on the board cannot be watched, and its orders are refused.

use protocol::types::{Price4, Side, Symbol};
use rt::board::Seat;

use super::super::instruments::{INSTRUMENTS_MAX, Instrument, Instruments};
use super::crossing::BestLimits;
use super::key::{DOLLAR, LimitKey};
use super::kill::KillCause;
use super::{Proposal, Refusal, Risk};

/// What the journal has in a row's place where another session's order was the cause: no row has this number.
pub const OTHER_SESSION: u8 = u8::MAX;
/// The key under which a session shows that it has found what an earlier run left: no symbol's.
const SETTLED_KEY: u64 = u64::MAX;
const SETTLED: u64 = 1;
/// No place on the board is known.
const NOWHERE: u32 = u32::MAX;

/// An account's seat at its board.
#[derive(Debug)]
pub(super) struct Others {
    seat: Seat,
    /// By instrument: its place on the board.
    places: Box<[u32]>,
    /// Where sessions show that they are settled.
    settled: Option<usize>,
    /// All others have: they stay so, as what they find from then on they have sent themselves.
    are_settled: bool,
    /// This session has shown that it is.
    is_settled: bool,
    /// What of a limit it may hold beyond its own when it is settled: its part of what the account has left beside the
    /// limits of all its sessions.
    left: Vec<(LimitKey, u64)>,
    /// Shown for an order that is judged, and not sent yet.
    asked: Option<Instrument>,
    /// An order of theirs was the cause of the last refusal.
    has_refused: bool,
}

impl Others {
    fn place(&self, instrument: Instrument) -> Option<usize> {
        let place = *self.places.get(usize::from(instrument.0))?;
        (place != NOWHERE).then_some(place as usize)
    }

    /// Finds an instrument's place: the first time that risk hears of it.
    #[cold]
    fn know(&mut self, instrument: Instrument, symbol: Symbol) {
        let place = self.seat.place(u64::from_be_bytes(symbol.0));
        let place = place.and_then(|place| u32::try_from(place).ok());
        if let (Some(known), Some(place)) = (self.places.get_mut(usize::from(instrument.0)), place)
        {
            *known = place;
        }
    }

    #[inline]
    fn show(&mut self, instrument: Instrument, best: BestLimits) {
        if let Some(place) = self.place(instrument) {
            self.seat.show(place, best.word());
        }
    }

    /// Whether every other session shows what an earlier run has left of its orders.
    #[inline]
    fn all_settled(&mut self) -> bool {
        self.are_settled || self.look_for_settled()
    }

    #[cold]
    fn look_for_settled(&mut self) -> bool {
        let mut others = self
            .settled
            .into_iter()
            .flat_map(|place| self.seat.others(place));
        self.are_settled = self.settled.is_some() && others.all(|word| word == SETTLED);
        self.are_settled
    }

    #[inline]
    fn meet(&self, place: usize, side: Side, limit: Price4) -> bool {
        let mut others = self.seat.others(place);
        others.any(|word| BestLimits::of_word(word).meet(side, limit))
    }
}

impl Risk {
    /// At the board of an account that several sessions trade for. `left`: limits of the account, and each session's part of
    /// what they leave beside the sessions' own, in the configuration's units.
    #[must_use]
    pub fn with_others(mut self, seat: Seat, left: Vec<(LimitKey, u64)>) -> Self {
        self.others = Some(Others {
            settled: seat.place(SETTLED_KEY),
            are_settled: false,
            is_settled: false,
            left,
            seat,
            places: vec![NOWHERE; INSTRUMENTS_MAX].into_boxed_slice(),
            asked: None,
            has_refused: false,
        });
        self
    }

    /// An instrument has to have its place before an order in it is judged, or found.
    #[inline]
    pub(super) fn know_place(&mut self, instrument: Instrument, instruments: &Instruments) {
        if let Some(others) = &mut self.others
            && others.place(instrument).is_none()
        {
            others.know(instrument, instruments.symbol(instrument));
        }
    }

    /// Shows an order to the account's other sessions, and whether it would meet none of theirs.
    ///
    /// # Errors
    /// It would; its symbol has no place; or a session has not found yet what an earlier run left.
    pub(super) fn check_others(&mut self, proposal: &Proposal) -> Result<(), Refusal> {
        let (instrument, side) = (proposal.instrument, proposal.side);
        let best = self.own.best_limits(instrument);
        let Some(others) = &mut self.others else {
            return Ok(());
        };
        let place = others.place(instrument).ok_or(Refusal::UnknownSymbol)?;
        if !self.limits.may_self_cross && !others.all_settled() {
            others.has_refused = true;
            return Err(Refusal::SessionDown);
        }
        others.asked = Some(instrument);
        // Before the look, whatever comes of it: see the header.
        others.show(instrument, best.with(side, proposal.price));
        if !self.limits.may_self_cross && others.meet(place, side, proposal.price) {
            others.has_refused = true;
            self.take_back();
            return Err(Refusal::SelfCross);
        }
        Ok(())
    }

    /// The session has found what an earlier run left, and shows it: orders of the account's others may be held against it.
    /// Is that more than its part of what the account may have, trading stops: the sessions' limits, which add up to no more
    /// than the account's, say nothing of it then. Later on it is the control socket that looks at their sum.
    pub fn settle(&mut self) {
        let is_first = self.others.as_ref().is_some_and(|it| !it.is_settled);
        if is_first && self.is_beyond_its_part() {
            self.kill.engage(KillCause::AccountBudget);
        }
        if let Some(others) = &mut self.others
            && let Some(place) = others.settled
        {
            others.is_settled = true;
            // Behind the limits: who sees this sees those.
            others.seat.show(place, SETTLED);
        }
    }

    #[cold]
    fn is_beyond_its_part(&self) -> bool {
        let mut left = self.others.iter().flat_map(|others| &others.left);
        left.any(|(key, left)| self.standing(*key) > key.of(&self.limits).saturating_add(*left))
    }

    /// What there is now of what a limit is for, in the configuration's units; of dollars, as far as prices are known. Of
    /// rates nothing: they are over in a second.
    fn standing(&self, key: LimitKey) -> u64 {
        let dollars = |worth: i128| {
            u64::try_from(worth.max(0))
                .unwrap_or(u64::MAX)
                .div_ceil(DOLLAR)
        };
        match key {
            LimitKey::OpenOrders => u64::from(self.open_orders),
            LimitKey::Position => self.exposures.worst_position(),
            LimitKey::GrossExposure => dollars(self.worth().gross),
            LimitKey::NetExposure => dollars(self.worth().net()),
            LimitKey::Loss => dollars(-self.profit()),
            _ => 0,
        }
    }

    /// The order that was let through last is not sent.
    pub fn take_back(&mut self) {
        if let Some(others) = &mut self.others
            && let Some(instrument) = others.asked.take()
        {
            others.show(instrument, self.own.best_limits(instrument));
        }
    }

    /// A side of a symbol has changed: shows what stands there.
    #[inline]
    pub(super) fn show_limits(&mut self, instrument: Instrument) {
        if let Some(others) = &mut self.others {
            others.asked = None;
            others.show(instrument, self.own.best_limits(instrument));
        }
    }

    /// Whether the last refusal came from an order of another session, and forgets it.
    pub(super) fn take_others_refusal(&mut self) -> bool {
        let others = self.others.as_mut();
        others.is_some_and(|others| std::mem::take(&mut others.has_refused))
    }
}
