//! What somebody should look at: conditions of a gateway that begin and end.
//!
//! Path:        the gateway's status, or that it does not answer -> here -> a message for each change
//! Time:        comes in as `now_ns`; this file reads no clock.
//! Invariants:  each condition that is known is told once when it is first seen, raised or not, so that what a broker has kept of an
//!              earlier life does not stay; then at each change.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::control::answer::{FeedRow, MESSAGES_MISSING, SessionRow, Status};

/// How long something may be wrong before it is told: a session that logs in, a feed that heals itself.
const HOLD_NS: u64 = 2_000_000_000;

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Alert {
    /// The gateway does not answer on its control socket.
    GatewayGone,
    /// The kill switch is on.
    Killed,
    /// A feed misses something, or is silent: its books are not to be traded on.
    FeedStale,
    /// Messages of a feed never came, and no snapshot has closed the gap.
    Gap,
    /// A line of a feed is silent.
    LineSilent,
    /// A session takes no orders.
    SessionDown,
}

impl Alert {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::GatewayGone => "gateway-gone",
            Self::Killed => "killed",
            Self::FeedStale => "feed-stale",
            Self::Gap => "gap",
            Self::LineSilent => "line-silent",
            Self::SessionDown => "session-down",
        }
    }

    fn hold_ns(self) -> u64 {
        match self {
            Self::Killed => 0,
            _ => HOLD_NS,
        }
    }
}

/// Something began, or ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) alert: Alert,
    /// Whose: a feed, a session, the gateway.
    pub(super) of: String,
    pub(super) is_raised: bool,
    /// When it was first seen to be so, ns.
    pub(super) since_ns: u64,
    /// Why; empty: it is over.
    pub(super) text: String,
}

#[derive(Clone, Debug)]
struct State {
    /// What is wrong now; `None`: nothing.
    wrong: Option<String>,
    since_ns: u64,
    /// What was told; `None`: nothing yet.
    told: Option<bool>,
}

/// Whose each is.
type Key = (Alert, String);

/// All conditions.
#[derive(Debug, Default)]
pub(super) struct Alerts {
    states: BTreeMap<Key, State>,
}

impl Alerts {
    /// The gateway has said how it is.
    pub(super) fn on_status(&mut self, status: &Status, now_ns: u64) -> Vec<Change> {
        let found = conditions(status);
        // Whom a new configuration does not have any more, nothing is wrong with.
        let gone = self.states.keys().filter(|key| !found.contains_key(*key));
        let gone: Vec<Key> = gone.cloned().collect();
        for key in gone {
            self.see(key, None, now_ns);
        }
        for (key, wrong) in found {
            self.see(key, wrong, now_ns);
        }
        self.changes(now_ns)
    }

    /// The gateway has not answered; of the rest nothing is known, so it stays as it was.
    pub(super) fn on_gone(&mut self, error: &str, now_ns: u64) -> Vec<Change> {
        self.see(gateway(Alert::GatewayGone), Some(error.to_owned()), now_ns);
        self.changes(now_ns)
    }

    /// Everything once more as it was told, for a broker that may have forgotten it.
    pub(super) fn all(&self) -> Vec<Change> {
        let told = self.states.iter();
        told.filter_map(|(key, state)| Some(state.change(key, state.told?)))
            .collect()
    }

    fn see(&mut self, key: Key, wrong: Option<String>, now_ns: u64) {
        let state = self.states.entry(key).or_insert_with(|| State {
            wrong: wrong.clone(),
            since_ns: now_ns,
            told: None,
        });
        if state.wrong.is_some() != wrong.is_some() {
            state.since_ns = now_ns;
        }
        state.wrong = wrong;
    }

    fn changes(&mut self, now_ns: u64) -> Vec<Change> {
        let mut changes = Vec::new();
        for (key, state) in &mut self.states {
            let is_wrong = state.wrong.is_some();
            let is_held = now_ns.saturating_sub(state.since_ns) < key.0.hold_ns();
            if state.told == Some(is_wrong) || (is_wrong && is_held) {
                continue;
            }
            state.told = Some(is_wrong);
            changes.push(state.change(key, is_wrong));
        }
        changes
    }
}

impl State {
    fn change(&self, (alert, of): &Key, is_raised: bool) -> Change {
        let text = self.wrong.clone().filter(|_| is_raised);
        Change {
            alert: *alert,
            of: of.clone(),
            is_raised,
            since_ns: self.since_ns,
            text: text.unwrap_or_default(),
        }
    }
}

fn gateway(alert: Alert) -> Key {
    (alert, "gateway".to_owned())
}

/// Everything that can be wrong, and what is.
fn conditions(status: &Status) -> BTreeMap<Key, Option<String>> {
    let mut found = BTreeMap::from([(gateway(Alert::GatewayGone), None)]);
    for session in &status.sessions {
        of_session(session, &mut found);
    }
    for feed in &status.feeds {
        of_feed(feed, &mut found);
    }
    found
}

fn of_session(session: &SessionRow, found: &mut BTreeMap<Key, Option<String>>) {
    let key = |alert| (alert, session.name.clone());
    found.insert(key(Alert::Killed), session.killed.clone());
    let is_down = session.state != "open";
    let down = is_down.then(|| session.state.clone());
    found.insert(key(Alert::SessionDown), down);
}

fn of_feed(feed: &FeedRow, found: &mut BTreeMap<Key, Option<String>>) {
    let key = |alert| (alert, feed.name.clone());
    let because = feed.stale_because.join(", ");
    found.insert(key(Alert::FeedStale), (!feed.is_fresh).then_some(because));
    let is_gap = feed.stale_because.iter().any(|it| it == MESSAGES_MISSING);
    let gap = is_gap.then(|| format!("{} messages never came", feed.messages_lost));
    found.insert(key(Alert::Gap), gap);
    let silent: Vec<String> = feed.silent_lines.iter().map(u32::to_string).collect();
    let silent = (!silent.is_empty()).then(|| format!("line {}", silent.join(", ")));
    found.insert(key(Alert::LineSilent), silent);
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn status(state: &str, killed: Option<&str>, stale_because: &[&str]) -> Status {
        let session = SessionRow {
            name: "ouch".to_owned(),
            state: state.to_owned(),
            killed: killed.map(str::to_owned),
            ..SessionRow::default()
        };
        let feed = FeedRow {
            name: "itch".to_owned(),
            is_fresh: stale_because.is_empty(),
            stale_because: stale_because.iter().map(|it| (*it).to_owned()).collect(),
            ..FeedRow::default()
        };
        Status {
            sessions: vec![session],
            feeds: vec![feed],
            ..Status::default()
        }
    }

    fn told(changes: &[Change]) -> Vec<(&str, &str, bool)> {
        let told = changes.iter();
        told.map(|it| (it.alert.name(), it.of.as_str(), it.is_raised))
            .collect()
    }

    #[test]
    fn first_look_tells_everything_that_is_fine_so_that_nothing_kept_stays_raised() {
        let mut alerts = Alerts::default();
        let changes = alerts.on_status(&status("open", None, &[]), 0);
        assert_eq!(
            told(&changes),
            [
                ("gateway-gone", "gateway", false),
                ("killed", "ouch", false),
                ("feed-stale", "itch", false),
                ("gap", "itch", false),
                ("line-silent", "itch", false),
                ("session-down", "ouch", false),
            ]
        );
        assert!(
            alerts
                .on_status(&status("open", None, &[]), SECOND)
                .is_empty()
        );
        assert_eq!(alerts.all(), changes);
    }

    #[test]
    fn kill_is_told_at_once_and_a_session_that_is_down_after_a_while() {
        let mut alerts = Alerts::default();
        alerts.on_status(&status("open", None, &[]), 0);
        let down = status("waiting", Some("operator"), &[]);
        let changes = alerts.on_status(&down, SECOND);
        assert_eq!(told(&changes), [("killed", "ouch", true)]);
        assert_eq!(changes[0].text, "operator");
        assert!(alerts.on_status(&down, 2 * SECOND).is_empty());
        let changes = alerts.on_status(&down, 3 * SECOND);
        assert_eq!(told(&changes), [("session-down", "ouch", true)]);
        assert_eq!(changes[0].since_ns, SECOND);
        let changes = alerts.on_status(&status("open", None, &[]), 4 * SECOND);
        assert_eq!(
            told(&changes),
            [("killed", "ouch", false), ("session-down", "ouch", false)]
        );
    }

    #[test]
    fn feed_that_heals_itself_in_time_is_not_told() {
        let mut alerts = Alerts::default();
        alerts.on_status(&status("open", None, &[]), 0);
        let gap = status("open", None, &[MESSAGES_MISSING]);
        assert!(alerts.on_status(&gap, SECOND).is_empty());
        assert!(
            alerts
                .on_status(&status("open", None, &[]), 2 * SECOND)
                .is_empty()
        );
        assert!(alerts.on_status(&gap, 3 * SECOND).is_empty());
        let changes = alerts.on_status(&gap, 5 * SECOND);
        assert_eq!(
            told(&changes),
            [("feed-stale", "itch", true), ("gap", "itch", true)]
        );
    }

    #[test]
    fn gateway_that_is_gone_leaves_the_rest_as_it_was() {
        let mut alerts = Alerts::default();
        alerts.on_status(&status("open", Some("operator"), &[]), 0);
        assert!(alerts.on_gone("no such file", SECOND).is_empty());
        let changes = alerts.on_gone("no such file", 3 * SECOND);
        assert_eq!(told(&changes), [("gateway-gone", "gateway", true)]);
        let killed = alerts.all();
        assert!(told(&killed).contains(&("killed", "ouch", true)));
        let changes = alerts.on_status(&Status::default(), 4 * SECOND);
        let expected = [
            ("gateway-gone", "gateway", false),
            ("killed", "ouch", false),
        ];
        assert_eq!(
            told(&changes),
            expected,
            "the new configuration has no session"
        );
    }
}
