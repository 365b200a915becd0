//! Each account's open orders and positions, for people and for machines.

use protocol::types::UserRefNum;
use serde_json::{Value, json};

use super::Shared;
use crate::account::{AccountView, OpenOrder, Position};

/// Orders in one answer, all accounts together; what is left off is counted. A million orders would be
/// hundreds of megabytes of text, and the exchange stands still while it writes them.
const ORDERS_MAX: usize = 10_000;
/// Positions in one answer, likewise.
const POSITIONS_MAX: usize = 10_000;

/// Every account, or the one of this name with its orders behind a reference number (`NAME [AFTER]`).
pub(super) fn json(shared: &Shared, rest: &str) -> Result<Value, String> {
    let (name, after) = rest.split_once(' ').unwrap_or((rest, "0"));
    let after = after
        .parse()
        .map_err(|_| format!("\"{after}\": expected a reference number"))?;
    let exchange = shared.exchange.borrow();
    let views: Vec<AccountView> = if name.is_empty() {
        exchange.accounts().collect()
    } else {
        let index = exchange.account(name);
        let view = index.and_then(|index| exchange.account_view(index));
        vec![view.ok_or_else(|| format!("\"{name}\": there is no such account"))?]
    };
    let mut room = Room {
        orders: ORDERS_MAX,
        positions: POSITIONS_MAX,
    };
    let accounts: Vec<Value> = views
        .iter()
        .map(|view| account(view, UserRefNum(after), &mut room))
        .collect();
    Ok(json!({
        "exchange_time_ns": exchange.now_ns(),
        "accounts": accounts,
    }))
}

/// How much more fits into an answer.
struct Room {
    orders: usize,
    positions: usize,
}

fn account(view: &AccountView, after: UserRefNum, room: &mut Room) -> Value {
    let meant = view.orders.iter().filter(|order| order.user_ref > after);
    let orders: Vec<Value> = meant.clone().take(room.orders).map(order).collect();
    let positions = view.positions.iter().take(room.positions);
    let positions: Vec<Value> = positions.map(position).collect();
    room.orders -= orders.len();
    room.positions -= positions.len();
    let sum = |of: fn(&Position) -> u64| view.positions.iter().map(of).sum::<u64>();
    let (bought, sold) = (sum(|p| p.bought), sum(|p| p.sold));
    json!({
        "account": view.name,
        "is_disabled": view.is_disabled,
        "is_cut": view.is_cut,
        "orders_open": view.orders.len(),
        "orders_accepted": view.answers.accepted,
        "orders_replaced": view.answers.replaced,
        "orders_rejected": view.answers.rejected,
        "cancels": view.answers.cancelled,
        "executions": view.answers.executed,
        "executions_broken": view.answers.broken,
        "shares_bought": bought,
        "shares_sold": sold,
        "shares_traded": bought + sold,
        "orders_left_off": meant.count() - orders.len(),
        "positions_left_off": view.positions.len() - positions.len(),
        "orders": orders,
        "positions": positions,
    })
}

fn order(order: &OpenOrder) -> Value {
    json!({
        "user_ref": order.user_ref.0,
        "symbol": order.symbol.as_str(),
        "side": char::from(order.side).to_string(),
        "price": order.price.map(|price| price.to_string()),
        "open": order.open.0,
        "executed": order.executed.0,
    })
}

fn position(position: &Position) -> Value {
    json!({
        "symbol": position.symbol.as_str(),
        "bought": position.bought,
        "sold": position.sold,
        "net": position.net(),
    })
}

#[cfg(test)]
mod tests {
    use protocol::types::{Qty, Symbol};

    use super::*;

    #[test]
    fn answer_has_a_bound_says_what_it_left_off_and_goes_on_behind_a_number() {
        let order = |n| OpenOrder {
            user_ref: UserRefNum(n),
            symbol: Symbol(*b"ALC     "),
            side: b'B',
            price: None,
            open: Qty(n),
            executed: Qty(0),
        };
        let view = AccountView {
            orders: (1..=5).map(order).collect(),
            ..AccountView::default()
        };
        let mut room = Room {
            orders: 3,
            positions: 0,
        };
        let first = account(&view, UserRefNum(0), &mut room);
        assert_eq!(first["orders"].as_array().map(Vec::len), Some(3));
        assert_eq!(
            (&first["orders_left_off"], &first["orders_open"]),
            (&json!(2), &json!(5))
        );
        assert_eq!(room.orders, 0, "others have none left");
        room.orders = 3;
        let rest = account(&view, UserRefNum(3), &mut room);
        assert_eq!(rest["orders"][0]["user_ref"], json!(4));
        assert_eq!(
            (&rest["orders_left_off"], &rest["orders_open"]),
            (&json!(0), &json!(5))
        );
    }
}
