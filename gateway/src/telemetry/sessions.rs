//! How sessions are and what they hold, for people and for programs.

use serde::{Deserialize, Serialize};

use crate::order::entry::State;
use crate::order::snapshot::{Position, PositionsView, SessionView};

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

    /// Shares held and open: what it is ranked by.
    fn at_risk(&self) -> u64 {
        let open = self.open_buy.max(self.open_sell);
        self.position.unsigned_abs().saturating_add(open)
    }
}

/// Positions of a session that a run's table shows, the largest; its report has all of them.
pub const POSITIONS_SHOWN: usize = 12;

/// How far a session is, as reports and the control socket have it: for programs.
pub(crate) fn state_word(state: State) -> String {
    format!("{state:?}").to_lowercase()
}

impl SessionReport {
    /// What a session and its account show.
    #[must_use]
    pub fn of(name: &str, session: &SessionView, positions: &PositionsView) -> Self {
        let health = session.health().unwrap_or_default();
        let held = positions.iter().filter(|held| !held.is_flat());
        Self {
            name: name.to_owned(),
            state: state_word(health.state),
            open_orders: health.open_orders,
            positions: held.map(PositionReport::of).collect(),
        }
    }

    /// How it is, in lines, with its `positions_max` largest positions.
    #[must_use]
    pub fn text(&self, positions_max: usize) -> String {
        let Self {
            name,
            state,
            open_orders,
            positions,
        } = self;
        let mut out = format!("session {name}: {state}, {open_orders} orders open");
        let mut largest: Vec<&PositionReport> = positions.iter().collect();
        if largest.len() > positions_max {
            largest.sort_by_key(|held| std::cmp::Reverse(held.at_risk()));
            largest.truncate(positions_max);
        }
        for held in &largest {
            out.push_str(&format!(
                "\n  {:<8} {:>+9}   open to buy {}, to sell {}",
                held.symbol, held.position, held.open_buy, held.open_sell
            ));
        }
        let more = positions.len() - largest.len();
        if more > 0 {
            out.push_str(&format!(
                "\n  and {more} smaller ones: SIGUSR1, the report and `tickgate ctl` have them"
            ));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_positions_are_shown_and_the_others_counted() {
        let held = |symbol: &str, position, open_buy| PositionReport {
            symbol: symbol.to_owned(),
            position,
            open_buy,
            open_sell: 0,
        };
        let session = SessionReport {
            name: "main".to_owned(),
            state: "open".to_owned(),
            open_orders: 1,
            positions: vec![
                held("AAA", 10, 0),
                held("BBB", -500, 0),
                held("CCC", 0, 200),
                held("DDD", 30, 0),
            ],
        };
        let shown = session.text(2);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines.len(), 4, "{shown}");
        assert!(
            lines[1].contains("BBB") && lines[1].contains("-500"),
            "{shown}"
        );
        assert!(lines[2].contains("CCC"), "{shown}");
        assert!(lines[3].contains("and 2 smaller ones"), "{shown}");
        // All of them stay in their order.
        let all = session.text(4);
        let symbols: Vec<&str> = all.lines().skip(1).map(|line| &line[2..5]).collect();
        assert_eq!(symbols, ["AAA", "BBB", "CCC", "DDD"]);
    }
}
