//! What Prometheus is told of the exchange: everything that it counts, over HTTP on a local address.
//!
//! ```text
//!  Prometheus ──GET /metrics──> thread (tickgate_scrape) ──asks──> Desk::look, in the exchange's turn
//!                                        <──────── text ────────
//! ```
//!
//! Thread:      HTTP has one of its own; the text is made where the exchange turns, which has no lock
//! Bounded by:  one scrape at a time; accounts, which the configuration names, and declared counters
//! When wrong:  an exchange that does not turn for [`PATIENCE`] is `tickgate_sim_up 0`

use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use tickgate_scrape::Families;

use super::Shared;

/// How long the exchange may take for its figures.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where scrapes ask.
#[derive(Debug)]
pub(super) struct Desk {
    asked: Receiver<SyncSender<String>>,
}

impl Desk {
    /// Listens, if there is an address to listen at.
    pub(super) fn open(address: Option<SocketAddr>) -> Result<Option<Self>, String> {
        let Some(address) = address else {
            return Ok(None);
        };
        let told = |error| format!("metrics {address}: {error}");
        let listener = TcpListener::bind(address).map_err(told)?;
        let at = listener.local_addr().map_err(told)?;
        if !at.ip().is_loopback() {
            log::warn!("metrics on {at}: whoever reaches it reads accounts' names and counts");
        }
        let (asks, asked) = sync_channel(1);
        std::thread::Builder::new()
            .name("metrics".to_owned())
            .spawn(move || tickgate_scrape::serve(&listener, || body(&asks)))
            .map_err(told)?;
        log::info!("metrics on http://{at}/metrics");
        Ok(Some(Self { asked }))
    }

    /// Answers whoever waits.
    pub(super) fn look(&self, shared: &Shared) {
        if let Ok(answer) = self.asked.try_recv() {
            // One that waits no more needs none.
            let _ = answer.try_send(families(shared).text());
        }
    }
}

/// What a scrape is answered with; `None`: the exchange has ended.
fn body(asks: &SyncSender<SyncSender<String>>) -> Option<String> {
    let (answer, answered) = sync_channel(1);
    // Full: the exchange has not taken the one before.
    let is_asked = match asks.try_send(answer) {
        Ok(()) => true,
        Err(std::sync::mpsc::TrySendError::Full(_)) => false,
        Err(std::sync::mpsc::TrySendError::Disconnected(_)) => return None,
    };
    if is_asked {
        match answered.recv_timeout(PATIENCE) {
            Ok(text) => return Some(text),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return None,
        }
    }
    let mut families = Families::default();
    families.gauge(UP.0, UP.1, &[], 0.0);
    Some(families.text())
}

/// The one that is told in any case.
const UP: (&str, &str) = ("tickgate_sim_up", "Whether the exchange turns.");

#[expect(
    clippy::cast_precision_loss,
    reason = "Prometheus has no other numbers"
)]
fn number(value: u64) -> f64 {
    value as f64
}

fn families(shared: &Shared) -> Families {
    let mut families = Families::default();
    let exchange = shared.exchange.borrow();
    families.gauge(UP.0, UP.1, &[], 1.0);
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    let what = "The exchange's version; always 1.";
    families.gauge("tickgate_sim_build_info", what, &version, 1.0);
    let mut counters = Vec::new();
    let mut add = |group, list: Vec<(&'static str, &'static str, u64)>| {
        counters.extend(list.into_iter().map(|counter| (group, counter)));
    };
    add("entry", exchange.entry_counters().list());
    let feed = exchange.feed_counters();
    add("feed", feed.map(|it| it.list()).unwrap_or_default());
    let history = exchange.history_counters();
    add("history", history.map(|it| it.list()).unwrap_or_default());
    add("server", shared.counters.list());
    for faults in exchange.fault_counters() {
        add("faults", faults.list());
    }
    add_counters(&mut families, counters);
    of_engine(&mut families, shared);
    for (name, answers) in exchange.answer_counts() {
        for (fate, count) in answers.list() {
            let whose = [("account", name), ("fate", fate)];
            let what = "Answers to accounts by what became of an order, since the first run that the store remembers.";
            families.counter(
                "tickgate_sim_account_answers_total",
                what,
                &whose,
                number(count),
            );
        }
    }
    families
}

/// Counters of one name are one: faults are counted by whoever does them.
fn add_counters(
    families: &mut Families,
    counters: Vec<(&'static str, (&'static str, &'static str, u64))>,
) {
    let mut sums = std::collections::BTreeMap::new();
    for (group, (name, text, value)) in counters {
        let sum = sums.entry((group, name)).or_insert((text, 0_u64));
        sum.1 += value;
    }
    for ((group, name), (text, value)) in sums {
        let name = format!("tickgate_sim_{group}_{name}_total");
        families.counter(&name, text, &[], number(value));
    }
}

fn of_engine(families: &mut Families, shared: &Shared) {
    let exchange = shared.exchange.borrow();
    let totals = exchange.engine().totals();
    for (name, help, value) in [
        (
            "connections",
            "Connections that are open.",
            shared.connections.get() as u64,
        ),
        (
            "sessions",
            "Accounts that are logged in.",
            shared.live.borrow().len() as u64,
        ),
        (
            "symbols",
            "Symbols that are listed.",
            u64::from(exchange.engine().listed()),
        ),
        (
            "orders_live",
            "Orders that rest in the books.",
            u64::from(totals.live),
        ),
        (
            "orders_live_max",
            "Orders that may rest: engine.orders_max.",
            u64::from(totals.live_max),
        ),
    ] {
        families.gauge(&format!("tickgate_sim_{name}"), help, &[], number(value));
    }
    let what = "Time of day at the exchange.";
    let seconds = number(exchange.now_ns()) / 1e9;
    families.gauge("tickgate_sim_time_seconds", what, &[], seconds);
    let what = "Orders that the engine has taken, the market's own among them.";
    families.counter(
        "tickgate_sim_engine_orders_total",
        what,
        &[],
        number(totals.orders),
    );
    let what = "Trades.";
    families.counter(
        "tickgate_sim_engine_trades_total",
        what,
        &[],
        number(totals.trades),
    );
}
