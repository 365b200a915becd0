//! What the exchange has counted, for people and for machines.

use serde_json::{Value, json};

use super::Shared;

/// Counters by group, each with its name.
pub(super) fn json(shared: &Shared) -> Value {
    let exchange = shared.exchange.borrow();
    let group = |list: Vec<(&'static str, &'static str, u64)>| -> Value {
        list.into_iter()
            .map(|(name, _, value)| (name.to_owned(), Value::from(value)))
            .collect()
    };
    let totals = exchange.engine().totals();
    json!({
        "tool": "tickgate-sim",
        "version": env!("CARGO_PKG_VERSION"),
        "exchange_time_ns": exchange.now_ns(),
        "connections": shared.connections.get(),
        "accounts_live": shared.live.borrow().len(),
        "accounts_cut": (0..shared.options.exchange.accounts.len()).zip(0..).filter(|(_, account)| exchange.is_cut(*account)).count(),
        "engine": {
            "symbols": exchange.engine().listed(),
            "orders_live": totals.live,
            "orders_live_max": totals.live_max,
            "orders": totals.orders,
            "trades": totals.trades,
        },
        "entry": group(exchange.entry_counters().list()),
        "feed": exchange.feed_counters().map(|counters| group(counters.list())),
        "faults": exchange.fault_counters().map(|counters| group(counters.list())).collect::<Value>(),
        "history": exchange.history_counters().map(|counters| group(counters.list())),
        "server": group(shared.counters.list()),
    })
}
