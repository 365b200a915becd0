//! Executions of the day that may still be undone, by match number and order.
//!
//! Thread:      order core, hot
//! Invariants:  an execution is kept once: the same match number for the same order is the same execution.
//! When full:   the oldest is forgotten. Undoing one that was forgotten leaves our position wrong, so the
//!              caller stops trading.
//! Spec:        OUCH 5.0 revision 1.04, "Executed" and "Broken Trade".

use protocol::types::{MatchNumber, Price4, Qty, Side, UserRefNum};

use super::index::spread;
use super::instruments::Instrument;
use super::live::Order;
use crate::message::intent::{OrderId, Owner};

/// Executions kept: more than any strategy of a desk makes in a day. Each takes 48 bytes.
pub(super) const FILLS_MAX: usize = 1 << 18;
/// Chains by match number: as many as there are executions.
const CHAINS: usize = FILLS_MAX;
/// Executions looked at in one chain. A match number names both sides of one trade, so one account sees
/// it twice at most; chains are longer only where numbers happen to meet.
const CHAIN_LEN_MAX: usize = 64;

const _: () = assert!(CHAINS.is_power_of_two() && FILLS_MAX < u32::MAX as usize);

/// One execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fill {
    /// The trade.
    pub(super) match_number: MatchNumber,
    /// The order's number at that time.
    pub(super) user_ref: UserRefNum,
    /// The strategy's number for it.
    pub(super) id: OrderId,
    /// The strategy, if it has one.
    pub(super) owner: Option<Owner>,
    /// Side.
    pub(super) side: Side,
    /// Symbol.
    pub(super) instrument: Instrument,
    /// Symbol of the day.
    pub(super) locate: u16,
    /// Shares.
    pub(super) qty: Qty,
    /// Price of the trade.
    pub(super) price: Price4,
}

/// What undoing a trade found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Undone {
    /// This execution is undone now.
    Now(Fill),
    /// Every execution with this match number was undone before.
    Already,
    /// No execution with this match number is known.
    Unknown,
}

#[derive(Clone, Copy, Debug)]
struct Kept {
    fill: Fill,
    is_broken: bool,
    /// The next older one of its chain: its place plus one, 0 for none.
    next: u32,
}

/// The executions of one session.
#[derive(Debug)]
pub(super) struct Fills {
    /// The oldest is overwritten; it never grows beyond what it has at first.
    kept: Vec<Kept>,
    /// The newest of each chain: its place plus one, 0 for none.
    chains: Box<[u32]>,
    oldest: usize,
}

impl Default for Fills {
    fn default() -> Self {
        Self {
            kept: Vec::with_capacity(FILLS_MAX),
            chains: vec![0; CHAINS].into_boxed_slice(),
            oldest: 0,
        }
    }
}

impl Fills {
    /// Has every page of its memory mapped, on the thread that will use it.
    pub(super) fn prepare(&mut self) {
        rt::mem::touch(&mut self.kept);
        self.chains.fill(0);
    }

    /// Whether this execution is known.
    #[inline]
    #[must_use]
    pub(super) fn is_known(&self, match_number: MatchNumber, user_ref: UserRefNum) -> bool {
        self.chain(match_number).any(|(_, kept)| {
            kept.fill.match_number == match_number && kept.fill.user_ref == user_ref
        })
    }

    /// Keeps an execution.
    #[inline]
    pub(super) fn keep(&mut self, fill: Fill) {
        debug_assert!(!self.is_known(fill.match_number, fill.user_ref));
        let place = if self.kept.len() < FILLS_MAX {
            self.kept.len()
        } else {
            self.forget_oldest()
        };
        let Some(first) = self.chains.get_mut(chain_of(fill.match_number)) else {
            return;
        };
        let next = std::mem::replace(first, u32::try_from(place + 1).unwrap_or(0));
        let kept = Kept {
            fill,
            is_broken: false,
            next,
        };
        match self.kept.get_mut(place) {
            Some(slot) => *slot = kept,
            None => self.kept.push(kept),
        }
    }

    /// Undoes a trade of an order, once. The order may go by the number of a later replace: `live` is the
    /// live order that it stands for. Where even that does not tell which side of a trade with ourselves is
    /// meant, either will do: the exchange undoes both, and they are each other's opposite.
    pub(super) fn break_trade(
        &mut self,
        match_number: MatchNumber,
        user_ref: UserRefNum,
        live: Option<&Order>,
    ) -> Undone {
        let all = || {
            self.chain(match_number)
                .filter(|(_, kept)| kept.fill.match_number == match_number)
        };
        let sides = || all().filter(|(_, kept)| !kept.is_broken);
        let is_of = |kept: &Kept, order: &Order| {
            kept.fill.side == order.side
                && (kept.fill.owner, kept.fill.id) == (order.owner, order.id)
        };
        let found = sides()
            .find(|(_, kept)| kept.fill.user_ref == user_ref)
            .or_else(|| sides().find(|(_, kept)| live.is_some_and(|order| is_of(kept, order))))
            .or_else(|| sides().next());
        let Some((place, _)) = found else {
            return if all().next().is_some() {
                Undone::Already
            } else {
                Undone::Unknown
            };
        };
        let Some(kept) = self.kept.get_mut(place) else {
            return Undone::Unknown;
        };
        kept.is_broken = true;
        Undone::Now(kept.fill)
    }

    /// Takes the oldest out of its chain; gives its place.
    #[cold]
    fn forget_oldest(&mut self) -> usize {
        let place = self.oldest;
        self.oldest = (self.oldest + 1) % FILLS_MAX;
        let Some(Kept { fill, next, .. }) = self.kept.get(place).copied() else {
            return place;
        };
        // It is the last of its chain: what came later was put in front of it.
        let behind = self
            .chain(fill.match_number)
            .find(|(_, kept)| kept.next as usize == place + 1)
            .map(|(before, _)| before);
        if let Some(before) = behind.and_then(|before| self.kept.get_mut(before)) {
            before.next = next;
        } else if let Some(first) = self.chains.get_mut(chain_of(fill.match_number))
            && *first as usize == place + 1
        {
            *first = next;
        }
        place
    }

    #[inline]
    fn chain(&self, match_number: MatchNumber) -> impl Iterator<Item = (usize, &Kept)> {
        let mut at = self
            .chains
            .get(chain_of(match_number))
            .copied()
            .unwrap_or(0);
        std::iter::from_fn(move || {
            let place = (at as usize).checked_sub(1)?;
            let kept = self.kept.get(place)?;
            at = kept.next;
            Some((place, kept))
        })
        .take(CHAIN_LEN_MAX)
    }
}

#[inline]
fn chain_of(match_number: MatchNumber) -> usize {
    spread(match_number.0, CHAINS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(match_number: u64, user_ref: u32) -> Fill {
        Fill {
            match_number: MatchNumber(match_number),
            user_ref: UserRefNum(user_ref),
            id: OrderId(user_ref),
            owner: Some(Owner(0)),
            side: Side::Buy,
            instrument: Instrument(0),
            locate: 1,
            qty: Qty(10),
            price: Price4(1),
        }
    }

    fn is_broken(fills: &mut Fills, match_number: u64, user_ref: u32) -> bool {
        let undone = fills.break_trade(MatchNumber(match_number), UserRefNum(user_ref), None);
        matches!(undone, Undone::Now(fill) if fill.match_number.0 == match_number)
    }

    #[test]
    fn trade_is_undone_once_and_an_execution_stays_known() {
        let mut fills = Fills::default();
        fills.keep(fill(7, 1));
        fills.keep(fill(7, 2));
        assert!(fills.is_known(MatchNumber(7), UserRefNum(2)));
        assert!(is_broken(&mut fills, 7, 2));
        assert!(is_broken(&mut fills, 7, 3), "the other side is left");
        assert!(!is_broken(&mut fills, 7, 1));
        assert!(fills.is_known(MatchNumber(7), UserRefNum(1)));
    }

    #[test]
    fn full_room_forgets_the_oldest_only() {
        let mut fills = Fills::default();
        let count = FILLS_MAX as u64 + 1_000;
        for number in 0..count {
            // Every hundredth meets another one in its chain.
            let number = if number % 100 == 0 {
                number << 30
            } else {
                number
            };
            fills.keep(fill(number, 1));
        }
        assert!(!is_broken(&mut fills, 999, 1));
        assert!(is_broken(&mut fills, 1_001, 1));
        assert!(is_broken(&mut fills, 1_100 << 30, 1));
        assert!(is_broken(&mut fills, count - 1, 1));
    }
}
