//! Sessions of the gateway on sessions of the exchange, and what somebody keeps of each.
//!
//! Path:        records of earlier runs, then of this one -> here -> executions, orders
//! Invariants:  a message of the exchange counts once in its session, by its number, in however many runs it was heard.
//! When wrong:  another message under a number that has counted is a [`Clash`]: it does not count, and is told.
//! When full:   a session that was left is kept, for it may be joined again: what is kept of it must be little.

use std::sync::Arc;

use super::event::Event;
use super::format::Header;
use super::head::{Began, Names};
use super::heard::{HeardOnce, Story};

/// One session of the gateway on one of the exchange.
#[derive(Debug)]
pub(super) struct Day<T> {
    /// The gateway's session.
    pub(super) session: Arc<str>,
    /// Whom it logs in as.
    pub(super) username: Arc<str>,
    /// The exchange's name for it; empty: nothing is known before the login.
    pub(super) exchange_session: Arc<str>,
    /// What is kept of it.
    pub(super) kept: T,
    /// The exchange's messages that have counted.
    heard: HeardOnce,
}

/// The exchange says something else under a number of before: most likely it uses a session's name again.
#[derive(Clone, Debug)]
struct Clash {
    session: Arc<str>,
    exchange_session: Arc<str>,
    /// The first such number.
    seq: u64,
    /// How many messages there are.
    messages: u64,
}

impl std::fmt::Display for Clash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            session,
            exchange_session,
            seq,
            messages,
        } = self;
        write!(
            f,
            "session {session}: {messages} messages of the exchange's session {exchange_session}, number {seq} the first, are \
             others than journals have under the same numbers: an earlier day with the same session name? They are left \
             out. Expected journals of one day: move those of the earlier one, and its drop copy, elsewhere"
        )
    }
}

/// A session in the file at hand.
#[derive(Debug)]
struct OfFile {
    /// Which of the days it is on.
    day: usize,
    strategies: Vec<Arc<str>>,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Days<T> {
    days: Vec<Day<T>>,
    of_file: Vec<OfFile>,
    began: Began,
    clash: Option<Clash>,
    /// What comes is the run's own.
    is_live: bool,
}

/// What a record is about.
#[derive(Debug)]
pub(super) struct About<'a, T> {
    pub(super) day: &'a mut Day<T>,
    /// The session's strategies, as the file numbers them.
    pub(super) strategies: &'a [Arc<str>],
    /// When, ns since 1970.
    pub(super) time_ns: u64,
}

impl<T> Day<T> {
    /// Messages that nobody has heard, between others that were.
    pub(super) fn missing(&self) -> u64 {
        self.heard.missing()
    }
}

impl<T: Default> Days<T> {
    /// A file begins, or this run does.
    pub(super) fn begin_file(&mut self, began: Began, names: &Names) {
        self.began = began;
        self.of_file.clear();
        for names in &names.sessions {
            let day = self.join(&names.name, &names.username, &names.joined);
            let strategies = names.strategies.iter().map(|name| Arc::from(name.as_str()));
            let strategies = strategies.collect();
            self.of_file.push(OfFile { day, strategies });
        }
    }

    /// Records are the run's own from now on: see [`HeardOnce::go_live`].
    pub(super) fn go_live(&mut self) {
        self.is_live = true;
        for day in &mut self.days {
            day.heard.go_live();
        }
    }

    /// What a record of the file at hand is about; `None`: nothing new, or no session.
    pub(super) fn on_record(&mut self, header: &Header, event: &Event<'_>) -> Option<About<'_, T>> {
        let at = usize::from(header.session);
        if let Event::LoggedIn(_, name) = event {
            let day = self.days.get(self.of_file.get(at)?.day)?;
            let (session, username) = (Arc::clone(&day.session), Arc::clone(&day.username));
            let joined = self.join(&session, &username, String::from_utf8_lossy(name).trim());
            self.of_file.get_mut(at)?.day = joined;
        }
        let OfFile { day, strategies } = self.of_file.get(at)?;
        let day = self.days.get_mut(*day)?;
        if let Event::Heard(heard) = event {
            // Before a login nobody knows of which session it is.
            if day.exchange_session.is_empty() {
                return None;
            }
            match day.heard.take(heard.seq, heard.message) {
                Story::New => {}
                Story::Known => return None,
                Story::Differs => {
                    let clash = self.clash.get_or_insert_with(|| Clash {
                        session: Arc::clone(&day.session),
                        exchange_session: Arc::clone(&day.exchange_session),
                        seq: heard.seq,
                        messages: 0,
                    });
                    clash.messages += 1;
                    return None;
                }
            }
        }
        Some(About {
            day,
            strategies,
            time_ns: self.began.realtime_ns(header.time_ns.get()),
        })
    }

    /// What is wrong with messages that did not count, and what to do.
    pub(super) fn clash(&self) -> Option<String> {
        self.clash.as_ref().map(Clash::to_string)
    }

    /// All days, in the order in which they were joined.
    pub(super) fn all(&mut self) -> impl Iterator<Item = &mut Day<T>> {
        self.days.iter_mut()
    }

    fn join(&mut self, session: &str, username: &str, exchange_session: &str) -> usize {
        let asked = (session, username, exchange_session);
        let known = self.days.iter().position(|day| {
            let of_it = (&*day.session, &*day.username, &*day.exchange_session);
            of_it == asked
        });
        known.unwrap_or_else(|| {
            self.days.push(Day {
                session: Arc::from(session),
                username: Arc::from(username),
                exchange_session: Arc::from(exchange_session),
                kept: T::default(),
                heard: if self.is_live {
                    HeardOnce::live()
                } else {
                    HeardOnce::default()
                },
            });
            self.days.len() - 1
        })
    }
}
