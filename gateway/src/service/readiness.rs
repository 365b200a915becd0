//! When the gateway is ready, and what it waits for until then: every session open and every feed up.
//!
//! A feed is up when its session runs, it is not silent and, where there are servers for snapshots, nothing of it is
//! missing. Without servers a gap stays, so a feed that was joined in the middle of its session is as up as it will be.
//!
//! Thread:      housekeeping
//! When wrong:  an exchange that is down is waited for as long as it takes; a feed no longer than `feeds_wait_ns` from the
//!              start, since a market that is closed says nothing. `STATUS` names it then, and goes on to.

use feed_handler::feed::{STALE_ENDED, STALE_GAP, STALE_SILENT};
use sd_notify::NotifyState;

use super::house::House;
use super::manager::{ServiceManager, notify};

/// How long systemd is asked to wait at a time; asked again after a quarter of it.
const PATIENCE_NS: u64 = 20_000_000_000;
/// The least time between two lines of status once ready: feeds come and go.
const STATUS_PAUSE_NS: u64 = 1_000_000_000;

/// What the service manager is told of feeds and sessions.
#[derive(Debug)]
pub(super) struct Readiness {
    manager: ServiceManager,
    /// The longest that a feed is waited for.
    feeds_wait_ns: u64,
    /// The first turn.
    since_ns: Option<u64>,
    /// What it was told last, and when.
    told: String,
    told_ns: u64,
}

/// Whether a feed or a session is up, and what is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    is_up: bool,
    wrong: Option<&'static str>,
}

/// How many are up, and what is wrong with the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Standing {
    up: usize,
    wrong: Vec<String>,
    total: usize,
}

impl Readiness {
    pub(super) fn new(manager: ServiceManager, feeds_wait_ns: u64) -> Self {
        Self {
            manager,
            feeds_wait_ns,
            since_ns: None,
            told: String::new(),
            told_ns: 0,
        }
    }

    /// Tells what has changed, and READY the first time that all is up.
    pub(super) fn turn(&mut self, house: &House, now_ns: u64) {
        self.tell(&feeds(house), &sessions(house), now_ns);
    }

    fn tell(&mut self, feeds: &Standing, sessions: &Standing, now_ns: u64) {
        let since_ns = *self.since_ns.get_or_insert(now_ns);
        let is_patient = now_ns.saturating_sub(since_ns) < self.feeds_wait_ns;
        let status = format!("feeds up: {feeds}; sessions open: {sessions}");
        if self.manager.is_ready() {
            if status != self.told && now_ns >= self.told_ns + STATUS_PAUSE_NS {
                notify(&[NotifyState::Status(&status)]);
                (self.told, self.told_ns) = (status, now_ns);
            }
        } else if sessions.is_whole() && (feeds.is_whole() || !is_patient) {
            self.manager.ready(&status);
            if feeds.is_whole() {
                log::info!("ready: {status}");
            } else {
                log::warn!("ready without every feed: {status}");
            }
            (self.told, self.told_ns) = (status, now_ns);
        } else if status != self.told || now_ns >= self.told_ns + PATIENCE_NS / 4 {
            let patience_us = u32::try_from(PATIENCE_NS / 1_000).unwrap_or(u32::MAX);
            notify(&[
                NotifyState::ExtendTimeoutUsec(patience_us),
                NotifyState::Status(&status),
            ]);
            (self.told, self.told_ns) = (status, now_ns);
        }
    }
}

impl Standing {
    fn add(&mut self, name: &str, state: State) {
        self.total += 1;
        self.up += usize::from(state.is_up);
        let wrong = state.wrong.map(|it| format!("{name}: {it}"));
        self.wrong.extend(wrong);
    }

    fn is_whole(&self) -> bool {
        self.up == self.total
    }
}

impl std::fmt::Display for Standing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {}", self.up, self.total)?;
        if self.wrong.is_empty() {
            return Ok(());
        }
        write!(f, " ({})", self.wrong.join(", "))
    }
}

fn feeds(house: &House) -> Standing {
    let mut feeds = Standing::default();
    for feed in &house.feeds {
        let begun = feed.arbiter().sessions_begun.get();
        let state = State::of_feed(begun, feed.stale(), feed.has_snapshots());
        feeds.add(feed.name(), state);
    }
    feeds
}

fn sessions(house: &House) -> Standing {
    let mut sessions = Standing::default();
    for session in &house.sessions {
        sessions.add(&session.name, State::of_session(session.view.is_open()));
    }
    sessions
}

impl State {
    fn of_session(is_open: bool) -> Self {
        Self {
            is_up: is_open,
            wrong: (!is_open).then_some("not open"),
        }
    }

    /// Of a feed with this number of sessions behind it, and these `STALE_` bits.
    fn of_feed(begun: u64, stale: u64, has_snapshots: bool) -> Self {
        let (is_up, wrong) = if stale & STALE_ENDED != 0 {
            (false, Some("its session is over"))
        } else if stale & STALE_SILENT != 0 || begun == 0 {
            (false, Some("silent"))
        } else if stale & STALE_GAP != 0 {
            (!has_snapshots, Some("messages are missing"))
        } else {
            (true, None)
        };
        Self { is_up, wrong }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_NS: u64 = 1_000_000_000;
    const SILENT: u64 = STALE_SILENT;

    /// Feeds `a`, `b`, ... with servers for snapshots, by what is stale of them.
    fn feeds(stale: &[u64]) -> Standing {
        let mut feeds = Standing::default();
        for (name, stale) in ["a", "b", "c"].into_iter().zip(stale) {
            feeds.add(name, State::of_feed(1, *stale, true));
        }
        feeds
    }

    fn sessions(open: &[bool]) -> Standing {
        let mut sessions = Standing::default();
        for (name, is_open) in ["x", "y"].into_iter().zip(open) {
            sessions.add(name, State::of_session(*is_open));
        }
        sessions
    }

    #[test]
    fn feed_is_up_when_its_session_runs_and_nothing_that_could_come_is_missing() {
        for (begun, stale, has_snapshots, is_up) in [
            (0, 0, false, false),
            (0, STALE_SILENT, false, false),
            (1, 0, false, true),
            (1, STALE_SILENT, false, false),
            (1, STALE_ENDED, false, false),
            (1, STALE_GAP, false, true),
            (1, STALE_GAP, true, false),
            (1, STALE_GAP | STALE_SILENT, false, false),
        ] {
            let state = State::of_feed(begun, stale, has_snapshots);
            assert_eq!(state.is_up, is_up, "{begun} {stale} {has_snapshots}");
            assert_eq!(
                state.wrong.is_none(),
                begun > 0 && stale == 0,
                "{begun} {stale}"
            );
        }
    }

    #[test]
    fn silent_feed_is_waited_for_as_long_as_configured_and_named_after_that() {
        let manager = ServiceManager::default();
        let mut readiness = Readiness::new(manager.clone(), 10 * SECOND_NS);
        let open = sessions(&[true]);
        readiness.tell(&feeds(&[SILENT, SILENT]), &open, SECOND_NS);
        let told = "feeds up: 0 of 2 (a: silent, b: silent); sessions open: 1 of 1";
        assert_eq!(readiness.told, told);
        let one = feeds(&[0, SILENT]);
        readiness.tell(&one, &open, 11 * SECOND_NS - 1);
        assert!(!manager.is_ready());
        readiness.tell(&one, &open, 11 * SECOND_NS);
        assert!(manager.is_ready());
        let told = "feeds up: 1 of 2 (b: silent); sessions open: 1 of 1";
        assert_eq!(readiness.told, told);
        // What changes later is told, a second apart.
        let none = feeds(&[STALE_GAP, SILENT]);
        readiness.tell(&none, &open, 12 * SECOND_NS - 1);
        assert_eq!(readiness.told, told);
        readiness.tell(&none, &open, 12 * SECOND_NS);
        let told = "feeds up: 0 of 2 (a: messages are missing, b: silent); sessions open: 1 of 1";
        assert_eq!(readiness.told, told);
    }

    #[test]
    fn session_is_waited_for_however_long_it_takes_and_a_snapshot_too() {
        let manager = ServiceManager::default();
        let mut readiness = Readiness::new(manager.clone(), u64::MAX);
        readiness.tell(&feeds(&[0]), &sessions(&[true, false]), SECOND_NS);
        let told = "feeds up: 1 of 1; sessions open: 1 of 2 (y: not open)";
        assert_eq!(readiness.told, told);
        let hours_ns = 10_000 * SECOND_NS;
        let open = sessions(&[true, true]);
        readiness.tell(&feeds(&[STALE_GAP]), &open, hours_ns);
        assert!(!manager.is_ready());
        readiness.tell(&feeds(&[0]), &open, hours_ns);
        assert!(manager.is_ready());
    }

    #[test]
    fn session_that_is_closed_is_waited_for_when_feeds_are_not_any_more() {
        let manager = ServiceManager::default();
        let mut readiness = Readiness::new(manager.clone(), 0);
        readiness.tell(&feeds(&[SILENT]), &sessions(&[false]), SECOND_NS);
        assert!(!manager.is_ready());
        readiness.tell(&feeds(&[SILENT]), &sessions(&[true]), SECOND_NS);
        assert!(manager.is_ready());
    }

    #[test]
    fn unit_gives_a_start_more_time_than_feeds_are_waited_for() {
        let unit = include_str!("../../../deploy/systemd/tickgate.service");
        let mut lines = unit.lines();
        let start_s = lines.find_map(|it| it.strip_prefix("TimeoutStartSec="));
        let start_s: u64 = start_s.unwrap().parse().unwrap();
        let manual = include_str!("../../../config/default.toml");
        let mut lines = manual.lines();
        let wait_ms = lines.find_map(|it| it.strip_prefix("feeds_wait_ms = "));
        let wait_ms: u64 = wait_ms.unwrap().parse().unwrap();
        assert!(start_s * 1_000 >= 2 * wait_ms, "{start_s} s, {wait_ms} ms");
    }
}
