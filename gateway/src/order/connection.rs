//! When to connect, when to give up, and how long to pause between two tries.
//!
//! ```text
//!  Waiting --pause over--> Connecting --connected--> Up
//!     ^                        │ gave up, refused     │ closed
//!     └────────────────────────┴──────────────────────┘
//! ```
//!
//! Thread:      order core, hot
//! Contract:    **call `on_timeout` a few times a second and do what it says; tell what became of it.**
//! Time:        comes in as `now_ns`; one timer, whose meaning is the state's.

/// First pause before another try to connect, ms; it doubles up to the last.
const PAUSE_FIRST_MS: u32 = 100;
const PAUSE_LAST_MS: u32 = 5_000;
/// How long a connection may take to come about.
const CONNECT_TIMEOUT_NS: u64 = 5_000_000_000;

/// What the driver has to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Connect.
    Connect,
    /// Close what has not come about, and say so by [`Connection::on_closed`].
    GiveUp,
}

/// The way to a connection that stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Connection {
    state: State,
    /// How long the next try waits.
    pause_ms: u32,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Waiting { until_ns: u64 },
    Connecting { until_ns: u64 },
    Up,
}

impl Connection {
    /// To be made at once.
    pub(super) fn new() -> Self {
        Self {
            state: State::Waiting { until_ns: 0 },
            pause_ms: PAUSE_FIRST_MS,
        }
    }

    /// Lets time pass.
    pub(super) fn on_timeout(&mut self, now_ns: u64) -> Option<Due> {
        match self.state {
            State::Waiting { until_ns } if now_ns >= until_ns => {
                self.state = State::Connecting {
                    until_ns: now_ns.saturating_add(CONNECT_TIMEOUT_NS),
                };
                Some(Due::Connect)
            }
            State::Connecting { until_ns } if now_ns >= until_ns => Some(Due::GiveUp),
            State::Waiting { .. } | State::Connecting { .. } | State::Up => None,
        }
    }

    /// The connection stands.
    pub(super) fn on_connected(&mut self) {
        self.state = State::Up;
    }

    /// The session on it is open: the next pause is a short one again.
    pub(super) fn on_opened(&mut self) {
        self.pause_ms = PAUSE_FIRST_MS;
    }

    /// The connection is gone, or never came about; the pause before the next try, ms.
    pub(super) fn on_closed(&mut self, now_ns: u64) -> u32 {
        let pause_ms = self.pause_ms;
        self.state = State::Waiting {
            until_ns: now_ns.saturating_add(u64::from(pause_ms) * 1_000_000),
        };
        self.pause_ms = pause_ms.saturating_mul(2).min(PAUSE_LAST_MS);
        pause_ms
    }

    /// We have closed it, to connect again without a pause.
    pub(super) fn again(&mut self) {
        self.state = State::Waiting { until_ns: 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// The time from one close to the next try, in ms, and what was told.
    fn pause(connection: &mut Connection, now_ns: u64) -> (u64, u32) {
        let told_ms = connection.on_closed(now_ns);
        let due = (0..).find(|ms| connection.on_timeout(now_ns + ms * MS) == Some(Due::Connect));
        (due.unwrap(), told_ms)
    }

    #[test]
    fn pauses_double_up_to_five_seconds_and_begin_anew_once_a_session_was_open() {
        let mut connection = Connection::new();
        assert_eq!(connection.on_timeout(0), Some(Due::Connect));
        for expected in [100, 200, 400, 800, 1600, 3200, 5000, 5000] {
            assert_eq!(
                pause(&mut connection, 7 * MS),
                (u64::from(expected), expected)
            );
        }
        // Connected is not open: a server that closes each connection is not hammered.
        connection.on_connected();
        assert_eq!(pause(&mut connection, 0), (5000, 5000));
        connection.on_connected();
        connection.on_opened();
        assert_eq!(pause(&mut connection, 0), (100, 100));
    }

    #[test]
    fn connection_that_does_not_come_about_is_given_up_until_it_is_told_closed() {
        let mut connection = Connection::new();
        assert_eq!(connection.on_timeout(1), Some(Due::Connect));
        assert_eq!(connection.on_timeout(CONNECT_TIMEOUT_NS), None);
        for _ in 0..2 {
            assert_eq!(
                connection.on_timeout(CONNECT_TIMEOUT_NS + 1),
                Some(Due::GiveUp)
            );
        }
        connection.on_closed(CONNECT_TIMEOUT_NS + 1);
        assert_eq!(connection.on_timeout(CONNECT_TIMEOUT_NS + 1), None);
    }

    #[test]
    fn connection_that_stands_needs_nothing_and_a_second_one_no_pause() {
        let mut connection = Connection::new();
        connection.on_timeout(0);
        connection.on_connected();
        assert_eq!(connection.on_timeout(u64::MAX), None);
        connection.again();
        assert_eq!(connection.on_timeout(0), Some(Due::Connect));
    }
}
