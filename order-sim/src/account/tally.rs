//! What an account has traded and how it was answered.
//!
//! Invariants:  the same answers, restored from a file, give the same tally: an execution counts once,
//!              however often it was told.

use std::collections::{BTreeMap, HashMap};

use protocol::ouch::Outbound;
use protocol::types::{Side, Symbol, UserRefNum};

use super::view::{AnswerCounts, Position};

/// Sums of one account.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub answers: AnswerCounts,
    positions: BTreeMap<Symbol, Position>,
}

/// Shares of one symbol that one side traded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fill {
    pub symbol: Symbol,
    pub side: Side,
    pub qty: u32,
}

impl Tally {
    /// Counts an answer by its first byte.
    pub(crate) fn on_answer(&mut self, answer: &[u8]) {
        let counts = &mut self.answers;
        match answer.first() {
            Some(b'A') => counts.accepted += 1,
            Some(b'U') => counts.replaced += 1,
            Some(b'C' | b'D') => counts.cancelled += 1,
            Some(b'J') => counts.rejected += 1,
            Some(b'E') => counts.executed += 1,
            Some(b'B') => counts.broken += 1,
            _ => {}
        }
    }

    /// Shares were traded.
    pub(crate) fn add(&mut self, fill: Fill) {
        *self.shares(fill) += u64::from(fill.qty);
    }

    /// A trade was undone.
    pub(crate) fn undo(&mut self, fill: Fill) {
        let shares = self.shares(fill);
        assert!(
            *shares >= u64::from(fill.qty),
            "only what was traded is undone"
        );
        *shares -= u64::from(fill.qty);
    }

    /// By symbol.
    pub(crate) fn positions(&self) -> Vec<Position> {
        self.positions.values().copied().collect()
    }

    fn shares(&mut self, fill: Fill) -> &mut u64 {
        let position = self.positions.entry(fill.symbol).or_insert(Position {
            symbol: fill.symbol,
            bought: 0,
            sold: 0,
        });
        match fill.side {
            Side::Buy => &mut position.bought,
            Side::Sell => &mut position.sold,
        }
    }
}

/// What an account's own messages say, read from the first on.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    pub tally: Tally,
    /// Shares open by number; 0: the order is gone.
    open: BTreeMap<u32, u32>,
    orders: HashMap<u32, (Symbol, Side)>,
    fills: HashMap<(u64, u32), Fill>,
}

impl Replay {
    /// Reads the next message.
    pub(crate) fn on_answer(&mut self, bytes: &[u8], message: &Outbound<'_>) {
        self.tally.on_answer(bytes);
        match message {
            Outbound::OrderAccepted(m) => {
                self.begin(m.user_ref.get(), m.symbol, m.side, m.qty.get().0);
            }
            Outbound::OrderReplaced(m) => {
                self.open.remove(&m.original_user_ref.get().0);
                self.begin(m.user_ref.get(), m.symbol, m.side, m.qty.get().0);
            }
            Outbound::Executed(m) => {
                let (number, user_ref) = (m.match_number.get().0, m.user_ref.get().0);
                let Some(&(symbol, side)) = self.orders.get(&user_ref) else {
                    return;
                };
                let qty = m.qty.get().0;
                let fill = Fill { symbol, side, qty };
                if self.fills.insert((number, user_ref), fill).is_none() {
                    self.tally.add(fill);
                    self.lower(user_ref, qty);
                }
            }
            Outbound::BrokenTrade(m) => {
                let key = (m.match_number.get().0, m.user_ref.get().0);
                if let Some(fill) = self.fills.remove(&key) {
                    self.tally.undo(fill);
                }
            }
            Outbound::Canceled(m) => self.lower(m.user_ref.get().0, m.qty.get().0),
            Outbound::AiqCanceled(m) => self.lower(m.user_ref.get().0, m.qty.get().0),
            Outbound::Modified(m) => {
                if let Some(open) = self.open.get_mut(&m.user_ref.get().0) {
                    *open = m.qty.get().0;
                }
            }
            _ => {}
        }
    }

    /// What is left open, by number.
    pub(crate) fn open(&self) -> Vec<(u32, u32)> {
        let open = self.open.iter().filter(|(_, open)| **open > 0);
        open.map(|(user_ref, open)| (*user_ref, *open)).collect()
    }

    fn begin(&mut self, user_ref: UserRefNum, symbol: Symbol, side: u8, open: u32) {
        self.open.insert(user_ref.0, open);
        if let Some(side) = Side::of_code(side) {
            self.orders.insert(user_ref.0, (symbol, side));
        }
    }

    fn lower(&mut self, user_ref: u32, qty: u32) {
        if let Some(open) = self.open.get_mut(&user_ref) {
            *open = open.saturating_sub(qty);
        }
    }
}
