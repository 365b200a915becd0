//! Rows of limits as an operator is shown them.

use super::answer::PartRow;
use crate::message::intent::Owner;
use crate::order::risk::{LimitKey, RowLimits};
use crate::service::control::Control;

/// A session's rows that limit anything.
pub(super) fn shown(control: &Control, session: usize, rows: &[RowLimits]) -> Vec<PartRow> {
    let rows = (1..).zip(rows).filter(|(_, limits)| limits.has_limits());
    let rows = rows.map(|(row, limits)| PartRow {
        row,
        strategy: strategy(control, session, limits.owner),
        symbol: limits.symbols.to_string(),
        order_qty_max: limits.order_qty_max.map(|qty| qty.0),
        notional_max_dollars: limits.of(LimitKey::Notional),
        position_max: limits.position_max,
        open_orders_max: limits.open_orders_max,
        orders_per_second_max: limits.orders_per_second_max,
    });
    rows.collect()
}

/// A strategy's name; `*`: every one.
pub(super) fn strategy(control: &Control, session: usize, owner: Option<Owner>) -> String {
    let mut strategies = control.strategies.iter();
    let found = strategies.find(|it| it.session == session && Some(it.owner) == owner);
    found.map_or_else(|| "*".to_owned(), |it| it.name.clone())
}
