//! What each session of the exchange has executed on this day: it stays ours when another session is joined.
//!
//! ```text
//!  records ──executions──> Worked: session A: trades, session B: trades
//!                             └─ login to B ──> Carried: A's trades of today, net of those undone
//! ```
//!
//! Thread:      main, before the cores start; taken by an order core, before any order goes out
//! Invariants:  the trades of the session that is joined are not carried: the exchange tells them again.
//!              An execution counts once, in however many runs it was heard, and not at all once it is undone.
//! Time:        an execution is of the day on which a gateway heard it first: the exchange's own time has no date.
//! When wrong:  an execution whose order no journal has is counted as unknown, so that trading can stop.

use std::collections::{BTreeMap, BTreeSet};

use protocol::types::{Price4, Qty, Side, Symbol};

use super::executions::{Execution, Left, What};

/// Shares that changed hands in an earlier session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PastTrade {
    /// Symbol.
    pub symbol: Symbol,
    /// Side.
    pub side: Side,
    /// Shares.
    pub qty: Qty,
    /// What each was paid with.
    pub price: Price4,
}

/// A session of the exchange's that was left, and what of it is carried into the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CarriedSession {
    /// Its name.
    pub name: [u8; 10],
    /// By symbol. What was executed before this day and undone on it is the opposite trade.
    pub trades: Vec<PastTrade>,
    /// Executions, and ends of some, of which no journal says what they were, and messages that may have been such.
    pub unknown: u64,
    /// Orders that were open when it was heard last.
    pub open: usize,
}

/// All that is carried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// Sessions that were left today.
    pub sessions: Vec<CarriedSession>,
    /// A journal of today cannot be read to its end, and there is a session of which it may have said more.
    pub is_damaged: bool,
}

/// What sessions of the exchange have executed, as journals tell it.
#[derive(Clone, Debug, Default)]
pub(super) struct Worked {
    sessions: BTreeMap<[u8; 10], OfSession>,
    /// Journals that cannot be read to their ends.
    damages: Vec<Damage>,
}

/// A journal that cannot be read to its end.
#[derive(Clone, Copy, Debug)]
struct Damage {
    /// When it was written, ns since 1970.
    until_ns: u64,
    /// The session that its run had joined; `None`: any.
    name: Option<[u8; 10]>,
}

#[derive(Clone, Debug, Default)]
struct OfSession {
    /// When it was heard last, ns since 1970.
    last_ns: u64,
    trades: Vec<Trade>,
    /// Trade and order of each.
    fills: BTreeSet<(u64, u32)>,
    left: Left,
}

#[derive(Clone, Copy, Debug)]
struct Trade {
    time_ns: u64,
    undone_ns: Option<u64>,
    match_number: u64,
    user_ref: u32,
    /// `None`: nobody knows of which order it was.
    what: Option<PastTrade>,
}

impl Worked {
    /// A session was joined, or said something, at this time.
    pub(super) fn on_record(&mut self, name: [u8; 10], time_ns: u64, told: Option<&Execution>) {
        let session = self.sessions.entry(name).or_default();
        session.last_ns = session.last_ns.max(time_ns);
        match told {
            Some(told) if told.what == What::Fill => session.fill(told),
            Some(told) => session.undo(told),
            None => {}
        }
    }

    /// How a session was left.
    pub(super) fn on_left(&mut self, name: [u8; 10], left: Left) {
        self.sessions.entry(name).or_default().left = left;
    }

    /// A journal that was written until then, ns since 1970, cannot be read to its end; `name`: the session that its run
    /// had joined, where that is known.
    pub(super) fn on_damage(&mut self, until_ns: u64, name: Option<[u8; 10]>) {
        self.damages.push(Damage { until_ns, name });
    }

    /// A session is joined, on a day that began then, ns since 1970: what others have executed on it.
    pub(super) fn carry(self, joined: [u8; 10], began_ns: u64) -> Carried {
        // What the joined session has executed the exchange tells again.
        let may_hide = |it: &Damage| it.until_ns >= began_ns && it.name != Some(joined);
        let is_damaged = self.damages.iter().any(may_hide);
        let others = self
            .sessions
            .into_iter()
            .filter(|(name, _)| *name != joined);
        let of_day = others.filter(|(_, it)| it.last_ns >= began_ns);
        let sessions: Vec<_> = of_day.map(|(name, it)| it.carry(name, began_ns)).collect();
        Carried {
            sessions,
            is_damaged,
        }
    }
}

impl OfSession {
    /// The exchange undoes both sides of a trade with ourselves, and tells each: one that names its order ends that, any
    /// other the first that is left.
    fn undo(&mut self, told: &Execution) {
        let is_of_trade = |it: &Trade| it.match_number == told.match_number;
        let is_left = |it: &Trade| is_of_trade(it) && it.undone_ns.is_none();
        let trades = &self.trades;
        let of_order = |it: &Trade| is_left(it) && it.user_ref == told.user_ref;
        let found = (trades.iter().position(of_order)).or_else(|| trades.iter().position(is_left));
        // Both sides may have been undone by two that name another order.
        let is_known = trades.iter().any(is_of_trade);
        match found.and_then(|at| self.trades.get_mut(at)) {
            Some(found) => found.undone_ns = Some(told.time_ns),
            None if is_known => {}
            None => self.trades.push(Trade::of(told)),
        }
    }

    /// An execution, once: told again under another number it is the same.
    fn fill(&mut self, told: &Execution) {
        if self.fills.insert((told.match_number, told.user_ref)) {
            self.trades.push(Trade::of(told));
        }
    }

    fn carry(self, name: [u8; 10], began_ns: u64) -> CarriedSession {
        let of_day = |ns: u64| ns >= began_ns;
        let (mut trades, mut unknown) = (Vec::new(), self.left.missing);
        for trade in self.trades {
            let turned = match (of_day(trade.time_ns), trade.undone_ns.is_some_and(of_day)) {
                (true, false) => false,
                (false, true) => true,
                _ => continue,
            };
            match trade.what {
                Some(what) if turned => trades.push(what.opposite()),
                Some(what) => trades.push(what),
                None => unknown += 1,
            }
        }
        trades.sort_by_key(|it| it.symbol.0);
        CarriedSession {
            name,
            trades,
            unknown,
            open: self.left.open,
        }
    }
}

impl Trade {
    fn of(told: &Execution) -> Self {
        Self {
            time_ns: told.time_ns,
            undone_ns: None,
            match_number: told.match_number,
            user_ref: told.user_ref,
            what: what(told),
        }
    }
}

impl PastTrade {
    fn opposite(self) -> Self {
        let side = match self.side {
            Side::Buy => Side::Sell,
            Side::Sell => Side::Buy,
        };
        Self { side, ..self }
    }
}

fn what(told: &Execution) -> Option<PastTrade> {
    let side = match told.side? {
        "buy" => Side::Buy,
        _ => Side::Sell,
    };
    Some(PastTrade {
        symbol: Symbol::new(told.symbol.as_deref()?)?,
        side,
        qty: Qty(told.shares?),
        price: Price4(u32::try_from(told.price?).ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: [u8; 10] = *b"A         ";
    const B: [u8; 10] = *b"B         ";
    const MIDNIGHT_NS: u64 = 1_000;

    fn fill(time_ns: u64, match_number: u64, shares: u32) -> Execution {
        Execution {
            username: "user".into(),
            session: "ouch".to_owned(),
            exchange_session: "A".to_owned(),
            seq: match_number,
            what: What::Fill,
            time_ns,
            exchange_ns: 0,
            strategy: None,
            order_id: None,
            user_ref: 1,
            symbol: Some("ALC".to_owned()),
            side: Some("buy"),
            shares: Some(shares),
            price: Some(10_000),
            match_number,
            liquidity: None,
        }
    }

    fn undone(time_ns: u64, match_number: u64, user_ref: u32) -> Execution {
        Execution {
            what: What::Break,
            user_ref,
            symbol: None,
            side: None,
            shares: None,
            price: None,
            ..fill(time_ns, match_number, 0)
        }
    }

    fn worked(name: [u8; 10], told: &[Execution]) -> Worked {
        let mut worked = Worked::default();
        for told in told {
            worked.on_record(name, told.time_ns, Some(told));
        }
        worked
    }

    /// Shares bought less those sold, and executions of which nobody knows what they were.
    fn left(worked: &Worked) -> (i64, u64) {
        let carried = worked.clone().carry(B, MIDNIGHT_NS);
        let trades = carried.sessions.iter().flat_map(|it| &it.trades);
        let signed = trades.map(|it| match it.side {
            Side::Buy => i64::from(it.qty.0),
            Side::Sell => -i64::from(it.qty.0),
        });
        (
            signed.sum(),
            carried.sessions.iter().map(|it| it.unknown).sum(),
        )
    }

    #[test]
    fn executions_of_the_day_are_carried_and_those_of_the_day_before_are_not() {
        let all = [fill(999, 1, 100), fill(1_000, 2, 20), fill(5_000, 3, 3)];
        assert_eq!(left(&worked(A, &all)), (23, 0));
        assert_eq!(left(&worked(A, &all[..1])), (0, 0));
        let carried = worked(A, &all[..1]).carry(B, MIDNIGHT_NS);
        assert_eq!(carried, Carried::default(), "it was left before the day");
    }

    #[test]
    fn session_that_is_joined_again_is_not_carried_and_the_other_one_is() {
        let mut both = worked(A, &[fill(2_000, 1, 100)]);
        both.on_record(B, 3_000, Some(&fill(3_000, 1, 7)));
        for (joined, shares, name) in [(A, 7, B), (B, 100, A)] {
            let carried = both.clone().carry(joined, MIDNIGHT_NS);
            let [session] = &carried.sessions[..] else {
                panic!("{carried:?}");
            };
            assert_eq!((session.name, session.trades[0].qty.0), (name, shares));
        }
    }

    #[test]
    fn trade_that_is_undone_is_not_carried_whatever_order_the_end_of_it_names() {
        let mut all = vec![fill(2_000, 1, 100), fill(2_000, 2, 30)];
        all.push(undone(3_000, 1, 1));
        assert_eq!(left(&worked(A, &all)), (30, 0));
        // Told again under the number of a replace: it is undone already.
        all.push(undone(3_001, 1, 9));
        assert_eq!(left(&worked(A, &all)), (30, 0));
        all.push(undone(3_002, 2, 9));
        assert_eq!(left(&worked(A, &all)), (0, 0));
    }

    #[test]
    fn trade_of_the_day_before_that_is_undone_today_is_its_opposite() {
        let all = [fill(500, 1, 100), undone(2_000, 1, 1)];
        assert_eq!(left(&worked(A, &all)), (-100, 0));
        let all = [fill(500, 1, 100), undone(600, 1, 1), fill(2_000, 2, 5)];
        assert_eq!(left(&worked(A, &all)), (5, 0));
    }

    #[test]
    fn what_nobody_knows_is_counted() {
        let unknown = Execution {
            symbol: None,
            side: None,
            ..fill(2_000, 1, 100)
        };
        assert_eq!(left(&worked(A, std::slice::from_ref(&unknown))), (0, 1));
        assert_eq!(left(&worked(A, &[unknown, undone(2_001, 1, 1)])), (0, 0));
        assert_eq!(left(&worked(A, &[undone(2_001, 4, 1)])), (0, 1));
    }

    #[test]
    fn damaged_journal_of_today_matters_unless_its_run_had_joined_the_session_that_is_joined_now() {
        let damaged = |written_ns, name| {
            let mut worked = worked(B, &[fill(2_000, 1, 1)]);
            worked.on_damage(written_ns, name);
            worked.carry(B, MIDNIGHT_NS).is_damaged
        };
        assert!(!damaged(2_000, Some(B)), "the exchange tells it all");
        assert!(damaged(2_000, None) && damaged(2_000, Some(A)));
        assert!(!damaged(999, None), "it is of the day before");
    }

    #[test]
    fn execution_that_is_told_again_under_another_number_is_carried_once() {
        let mut again = fill(2_100, 1, 100);
        again.seq = 9;
        let all = [fill(2_000, 1, 100), again, fill(2_200, 2, 5)];
        assert_eq!(left(&worked(A, &all)), (105, 0));
        // The other side of a trade with ourselves is another order's.
        let other = Execution {
            user_ref: 2,
            side: Some("sell"),
            ..fill(2_000, 1, 100)
        };
        assert_eq!(left(&worked(A, &[fill(2_000, 1, 100), other])), (0, 0));
    }
}
