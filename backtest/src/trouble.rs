//! What was wrong with a run: counters that are 0 where its outcome is what it seems.
//!
//! Most are of places that can be full, or of messages that contradict what was said before.

use feed_handler::feed::Counters;
use gateway::order::entry::EntryCounters;
use gateway::strategy::StrategyCounters;
use order_sim::exchange::Exchange;

/// A counter of trouble that is not 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Who counted: `record`, `exchange`, `feed`, `strategy` or `session`.
    pub part: &'static str,
    /// The counter's name.
    pub name: &'static str,
    /// What it counts.
    pub meaning: &'static str,
    /// How many there were.
    pub count: u64,
}

/// Every counter of a group.
type Counted = Vec<(&'static str, &'static str, u64)>;

const RECORD: &[&str] = &["undecodable", "missing_ref", "refused", "stamps_back"];
/// Those of a record that are no trouble: shares by which own orders would have changed it.
const HISTORY: &[&str] = &[
    "shares_taken",
    "shares_traded_twice",
    "shares_ahead",
    "shares_met",
];
const EXCHANGE: &[&str] = &["undecodable", "store_full", "account_cut", "late_full"];
const FEED: &[&str] = &["unknown", "malformed", "unknown_codes", "silences"];
const ARBITER: &[&str] = &["packets_malformed", "gaps", "messages_lost"];
const BOOK: &[&str] = &[
    "missing_ref",
    "duplicate_ref",
    "rejected",
    "clamped",
    "wrong_symbol",
    "refused_full",
    "refused_price",
    "refused_symbol",
];
const PUBLISH: &[&str] = &["ring_full", "news_delayed"];
const STRATEGY: &[&str] = &["intent_ring_full", "lags", "missed", "gaps", "timers_full"];
const SESSION: &[&str] = &[
    "doubts",
    "doubts_lost",
    "unwatched",
    "changes_lost",
    "overfills",
    "invariants_broken",
    "unknown_order",
    "unexpected",
    "malformed",
    "execution_ring_full",
];

fn some(
    counted: Counted,
    names: &[&str],
) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
    let is_one = move |name: &str| names.contains(&name);
    counted.into_iter().filter(move |(name, _, _)| is_one(name))
}

fn add(troubles: &mut Vec<Trouble>, part: &'static str, counted: Counted, names: &[&str]) {
    let counted = some(counted, names).filter(|(_, _, count)| *count > 0);
    troubles.extend(counted.map(|(name, meaning, count)| Trouble {
        part,
        name,
        meaning,
        count,
    }));
}

/// What the exchange and its record have met.
pub(crate) fn of_exchange(exchange: &Exchange) -> Vec<Trouble> {
    let mut troubles = Vec::new();
    if let Some(history) = exchange.history_counters() {
        add(&mut troubles, "record", history.list(), RECORD);
    }
    let entry = exchange.entry_counters().list();
    add(&mut troubles, "exchange", entry, EXCHANGE);
    troubles
}

/// What the feed stage has met.
pub(crate) fn of_feed(counters: &Counters) -> Vec<Trouble> {
    let mut troubles = Vec::new();
    add(&mut troubles, "feed", counters.feed.list(), FEED);
    add(&mut troubles, "feed", counters.arbiter.list(), ARBITER);
    add(&mut troubles, "feed", counters.book.list(), BOOK);
    add(&mut troubles, "feed", counters.publish.list(), PUBLISH);
    troubles
}

/// What one of the strategies has met.
pub(crate) fn of_strategy(counters: &StrategyCounters) -> Vec<Trouble> {
    let mut troubles = Vec::new();
    add(&mut troubles, "strategy", counters.list(), STRATEGY);
    troubles
}

/// What order entry has met.
pub(crate) fn of_session(counters: &EntryCounters) -> Vec<Trouble> {
    let mut troubles = Vec::new();
    add(&mut troubles, "session", counters.list(), SESSION);
    troubles
}

/// Shares by which own orders would have changed a record.
pub(crate) fn history(exchange: &Exchange) -> impl Iterator<Item = (&'static str, u64)> {
    let counted = exchange.history_counters().map(|history| history.list());
    some(counted.unwrap_or_default(), HISTORY).map(|(name, _, count)| (name, count))
}

#[cfg(test)]
mod tests {
    use order_sim::exchange::EntryCounters as ExchangeCounters;
    use order_sim::flow::recorded::HistoryCounters;

    use super::*;

    #[test]
    fn each_name_is_that_of_a_counter() {
        let feed = Counters::default();
        let groups: [(Counted, &[&str]); 8] = [
            (HistoryCounters::default().list(), RECORD),
            (HistoryCounters::default().list(), HISTORY),
            (ExchangeCounters::default().list(), EXCHANGE),
            (feed.feed.list(), FEED),
            (feed.arbiter.list(), ARBITER),
            (feed.book.list(), BOOK),
            (feed.publish.list(), PUBLISH),
            (StrategyCounters::default().list(), STRATEGY),
        ];
        let session = (EntryCounters::default().list(), SESSION);
        for (counted, names) in groups.into_iter().chain([session]) {
            let found = some(counted, names).count();
            assert_eq!(found, names.len(), "{names:?}");
        }
    }
}
