//! How sessions are and what they hold, for people and for programs.

use serde::{Deserialize, Serialize};

use crate::order::snapshot::Position;

/// How a session is, and what the account that it trades for holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct SessionReport {
    /// Its name.
    pub name: String,
    /// How far it is, in words.
    pub state: String,
    /// Its orders open now.
    pub open_orders: u32,
    /// Symbols that are not flat.
    pub positions: Vec<PositionReport>,
}

/// What is held of a symbol.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct PositionReport {
    /// The symbol.
    pub symbol: String,
    /// Shares: long above zero, short below.
    pub position: i64,
    /// Shares open to buy.
    pub open_buy: u64,
    /// Shares open to sell.
    pub open_sell: u64,
}

impl PositionReport {
    /// What is shown of it.
    #[must_use]
    pub fn of(held: Position) -> Self {
        Self {
            symbol: held.symbol.to_string(),
            position: held.exposure.position,
            open_buy: held.exposure.open_buy,
            open_sell: held.exposure.open_sell,
        }
    }
}

impl std::fmt::Display for SessionReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            name,
            state,
            open_orders,
            positions,
        } = self;
        write!(f, "session {name}: {state}, {open_orders} orders open")?;
        for held in positions {
            write!(
                f,
                "\n  {:<8} {:>+9}   open to buy {}, to sell {}",
                held.symbol, held.position, held.open_buy, held.open_sell
            )?;
        }
        Ok(())
    }
}
