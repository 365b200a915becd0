//! What strategies begin with: orders and positions as order entry believes them when its session opens for the first
//! time, once the past is known.
//!
//! ```text
//!  order stage ──once, before it tells of the open session──> rows ──first SessionUp──> Strategy::on_start
//! ```
//!
//! Thread:      written by one order core, read by the strategies of its session
//! Invariants:  the rows are written before the news is in a strategy's ring, and never again: what it hears after
//!              the news changes what it found here.
//! When full:   orders beyond the rows are not shown; they are cancelled and counted like all others.

use std::sync::Arc;

use protocol::types::Symbol;

use super::account::Account;
use super::entry::{Entry, LiveOrder};
use super::snapshot::{Position, PositionsView, SessionView, Snapshot};
use crate::message::intent::Owner;

/// The order stage's end.
#[derive(Debug)]
pub struct Opening {
    rows: Snapshot,
    is_shown: bool,
}

/// A strategy's end; by default there is nothing to be found.
#[derive(Clone, Debug, Default)]
pub struct OpeningView {
    owner: Option<Owner>,
    /// `None`: every one.
    symbols: Option<Vec<Symbol>>,
    session: Arc<SessionView>,
    positions: Arc<PositionsView>,
}

impl Opening {
    /// With room for this many orders, and no fewer than a snapshot always has.
    #[must_use]
    pub fn new(orders_max: usize) -> Self {
        Self {
            rows: Snapshot::new(orders_max),
            is_shown: false,
        }
    }

    /// What a strategy of the session will see; `symbols` are those that it trades, `None`: every one.
    #[must_use]
    pub fn view(&self, owner: Owner, symbols: Option<Vec<Symbol>>) -> OpeningView {
        OpeningView {
            owner: Some(owner),
            symbols,
            session: self.rows.session(),
            positions: self.rows.positions(),
        }
    }

    /// Shows what there is, the first time.
    #[cold]
    pub(super) fn show(&mut self, entry: &Entry, account: &Account) {
        if !std::mem::replace(&mut self.is_shown, true) {
            self.rows.show_all(entry, account);
        }
    }
}

impl OpeningView {
    /// Shows a position, in a row of its own: for trials.
    pub(crate) fn hold(&self, row: usize, position: &Position) {
        self.positions.show(row, position);
    }

    /// What is held of the strategy's symbols.
    pub fn positions(&self) -> impl Iterator<Item = Position> {
        self.positions.iter().filter(|it| {
            let symbols = self.symbols.as_ref();
            symbols.is_none_or(|symbols| symbols.contains(&it.symbol))
        })
    }

    /// The strategy's own live orders.
    pub fn orders(&self) -> impl Iterator<Item = LiveOrder> {
        let own = |order: &LiveOrder| order.desk.map(|(owner, _)| owner) == self.owner;
        self.session
            .orders()
            .filter(move |it| it.desk.is_some() && own(it))
    }
}
