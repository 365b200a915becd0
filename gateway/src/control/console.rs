//! The operator's socket without a socket: a line and who wrote it go in, an answer comes out.
//!
//! ```text
//!  peer ──on_peer──> may ask?     line ──on_line──> Reply::Now(answer)
//!                                                   Reply::Later(wait) ──poll_wait──> answer
//! ```
//!
//! Contract:    **`on_turn` is called a few times a second; it sees cores that stand still, and kills.**
//! Thread:      the control socket's
//! Time:        comes in as [`Moment`]
//! When wrong:  refused, with what was found and what was expected, and counted.

use std::sync::Arc;

use super::answer::{Answer, Body, Refused};
use super::guard::Watch;
use super::limit_rows::WantedRow;
use super::limits::{Made, Tables, Wanted};
use super::look::{self, Memory};
use super::moment::Moment;
use super::peer::{Allowed, Peer};
use super::request::{Filter, Request, Verb};
use super::steer::{self, Asking, Resume, Stop, failed, usage};
use crate::journal::event::RequestRecord;
use crate::message::command::Command;
use crate::order::risk::KillCause;
use crate::service::control::{Control, ControlCounters};

pub use super::steer::Wait;

/// The least time between two lines of log about what was refused.
const TELL_PAUSE_NS: u64 = 1_000_000_000;

/// What comes of a line.
#[derive(Debug)]
pub enum Reply {
    /// The answer.
    Now(Answer),
    /// It is under way.
    Later(Wait),
}

/// What stands behind the socket.
#[derive(Debug)]
pub struct Console {
    pub(super) control: Control,
    pub(super) allowed: Allowed,
    memory: Memory,
    pub(super) tables: Tables,
    pub(super) counters: Arc<ControlCounters>,
    /// When a refusal was last told, and how many were not since.
    told_ns: Option<u64>,
    untold: u64,
}

impl Console {
    /// A console for those who are allowed.
    #[must_use]
    pub fn new(control: Control, allowed: Allowed, now: Moment) -> Self {
        Self {
            memory: Memory::new(&control, now),
            tables: Tables::new(&control),
            counters: Arc::clone(&control.counters),
            control,
            allowed,
            told_ns: None,
            untold: 0,
        }
    }

    /// What is counted.
    #[must_use]
    pub fn counters(&self) -> &ControlCounters {
        &self.counters
    }

    /// Somebody has connected.
    ///
    /// # Errors
    /// He may not ask: what he is answered.
    pub fn on_peer(&mut self, peer: Peer, now: Moment) -> Result<(), Refused> {
        self.allowed.check(peer).map_err(|error| {
            self.counters.control_refused_peers.increment();
            self.tell(peer, &error, now);
            failed(error)
        })
    }

    /// A line, without its end, of somebody who may ask.
    pub fn on_line(&mut self, line: &[u8], peer: Peer, now: Moment) -> Reply {
        match Request::parse(line) {
            Ok(request) => self.on_request(&request.verb, peer, now),
            Err(error) => {
                self.counters.control_malformed.increment();
                Reply::Now(self.refuse(usage(error), peer, now))
            }
        }
    }

    /// A line that has become too long, or somebody whom there is no room for: what he is answered.
    pub fn refuse(&mut self, refused: Refused, peer: Peer, now: Moment) -> Answer {
        self.tell(peer, &refused.error, now);
        Answer::new(Body::Refused(refused))
    }

    /// Looks at what only shows over time.
    pub fn on_turn(&mut self, now: Moment) {
        self.memory.look(&self.control, now);
        self.tables.look(&self.control);
    }

    /// Looks whether a guard has fallen silent: after everything that has arrived was heard.
    pub fn look_at_guards(&mut self, now: Moment) {
        while let Some((name, within_ms)) = self.memory.guards.silent(now.now_ns) {
            self.counters.control_guards_lost.increment();
            let reason = format!("{name:?} was not heard for {within_ms} ms");
            log::error!("control: trading stops: {reason}");
            let request = RequestRecord {
                uid: None,
                pid: 0,
                text: &format!("guard {reason}: trading stops"),
            };
            self.control.journal.on_asked(&request, now.now_ns);
            let stop = Stop {
                cause: KillCause::GuardSilent,
                reason: &reason,
                wait_ms: 0,
                now_ns: now.now_ns,
            };
            let _ = steer::kill(&self.control, stop);
        }
    }

    /// The answer to what was under way, if it is done or its time is up.
    #[must_use]
    pub fn poll_wait(&self, wait: &Wait, now: Moment) -> Option<Answer> {
        wait.poll(&self.control, now.now_ns).map(Answer::new)
    }

    fn on_request(&mut self, verb: &Verb, peer: Peer, now: Moment) -> Reply {
        self.accept(verb, peer, now);
        self.obey(verb, peer, now).unwrap_or_else(|refused| {
            self.counters.control_refused.increment();
            Reply::Now(self.refuse(refused, peer, now))
        })
    }

    /// Every request that is understood, of whoever may ask, passes here before anything is done about it.
    fn accept(&mut self, verb: &Verb, peer: Peer, now: Moment) {
        self.counters.control_requests.increment();
        if verb.steers() {
            self.steered(&verb.to_string(), peer, now);
        } else if !matches!(verb, Verb::Guard { .. }) {
            // Whoever watches asks again and again: it changes nothing, and would drown what does.
            log::debug!("control: {peer}: {verb}");
        }
    }

    /// Somebody changes something: it is counted, told, and in the journal, whatever comes of it.
    fn steered(&mut self, text: &str, peer: Peer, now: Moment) {
        self.counters.control_steered.increment();
        log::warn!("control: {peer}: {text}");
        let request = RequestRecord {
            uid: Some(peer.uid),
            pid: u32::try_from(peer.pid).unwrap_or(0),
            text,
        };
        self.control.journal.on_asked(&request, now.now_ns);
    }

    fn obey(&mut self, verb: &Verb, peer: Peer, now: Moment) -> Result<Reply, Refused> {
        let now_ns = now.now_ns;
        let body = match verb {
            Verb::Status => Body::Status(self.memory.status(&self.control, now)),
            Verb::Sessions => Body::Sessions(self.memory.sessions(&self.control)),
            Verb::Limits => Body::Limits(self.tables.rows(&self.control)),
            Verb::Report => return steer::report(&self.control, now_ns).map(Reply::Later),
            Verb::SetLimits {
                session,
                limits,
                confirm,
            } => {
                let meant = self.meant(session.as_deref())?;
                let wanted = Wanted {
                    meant: &meant,
                    limits,
                    confirm: *confirm,
                };
                return self.limit(wanted, peer, now);
            }
            Verb::SetRow { .. } => return self.limit_row(verb, peer, now),
            Verb::Reload => return self.reload(peer, now),
            Verb::Orders(filter) => self.orders(filter)?,
            Verb::Positions { session } => {
                session.as_deref().map(|it| self.session(it)).transpose()?;
                Body::Positions(look::positions(&self.control, session.as_deref()))
            }
            Verb::Kill { reason, wait_ms } => {
                let wait_ms = *wait_ms;
                let stop = Stop {
                    cause: KillCause::Operator,
                    reason,
                    wait_ms,
                    now_ns,
                };
                return Ok(Reply::Later(steer::kill(&self.control, stop)));
            }
            Verb::Resume { scope, seen } => {
                return self.resume(Resume { scope, seen }, now_ns);
            }
            Verb::Cancel { session } => {
                return self.cancel(session.as_deref(), verb.to_string(), now_ns);
            }
            Verb::Guard {
                name,
                token,
                within_ms,
            } => {
                let watch = Watch {
                    name,
                    token: *token,
                    within_ms: *within_ms,
                };
                self.guard(&watch, peer, now)?
            }
            Verb::Unguard { name, token } => self.unguard(name, *token, now)?,
            Verb::Pause { strategy } => return self.pause(strategy, true, now_ns),
            Verb::Unpause { strategy } => return self.pause(strategy, false, now_ns),
        };
        Ok(Reply::Now(Answer::new(body)))
    }

    fn orders(&self, filter: &Filter) -> Result<Body, Refused> {
        if let Some(session) = &filter.session {
            self.session(session)?;
        }
        if let Some(strategy) = &filter.strategy {
            self.strategy(strategy)?;
        }
        Ok(Body::Orders(look::orders(&self.control, filter)))
    }

    fn resume(&self, ask: Resume<'_>, now_ns: u64) -> Result<Reply, Refused> {
        self.tables.check_found(&self.control, ask.scope)?;
        steer::resume(&self.control, &self.memory, ask, now_ns).map(Reply::Later)
    }

    fn cancel(
        &mut self,
        session: Option<&str>,
        what: String,
        now_ns: u64,
    ) -> Result<Reply, Refused> {
        let meant = self.meant(session)?;
        let asks = meant.iter().map(|session| Asking {
            session: *session,
            command: Command::CancelAll,
        });
        let asks: Vec<Asking> = asks.collect();
        let wait = steer::ask(&mut self.control, &asks, what, now_ns);
        wait.map(Reply::Later)
    }

    fn guard(&mut self, watch: &Watch<'_>, peer: Peer, now: Moment) -> Result<Body, Refused> {
        let renewed = self.memory.guards.renew(watch, now.now_ns);
        if renewed.map_err(failed)? {
            let Watch {
                name, within_ms, ..
            } = watch;
            let text = format!("guard {name:?}: {within_ms} ms of its silence stop trading");
            self.steered(&text, peer, now);
        }
        Ok(Body::Guards(self.memory.guards.rows(now.now_ns)))
    }

    fn unguard(&mut self, name: &str, token: u64, now: Moment) -> Result<Body, Refused> {
        let guards = &mut self.memory.guards;
        if !guards.end(name, token) {
            return Err(usage(format!("{name:?}: no guard of this name is yours")));
        }
        Ok(Body::Guards(guards.rows(now.now_ns)))
    }

    fn pause(&mut self, name: &str, is_paused: bool, now_ns: u64) -> Result<Reply, Refused> {
        let at = self.strategy(name)?;
        let Some(strategy) = self.control.strategies.get(at).cloned() else {
            return Err(failed(format!("strategy {name} has gone")));
        };
        let (command, verb) = if is_paused {
            (Command::Pause(strategy.owner), "pause")
        } else {
            (Command::Unpause(strategy.owner), "unpause")
        };
        let what = format!("{verb} {name}");
        let session = strategy.session;
        let asks = [Asking { session, command }];
        let wait = steer::ask(&mut self.control, &asks, what, now_ns)?;
        if let Some(known) = self.memory.is_paused.get_mut(at) {
            *known = is_paused;
        }
        Ok(Reply::Later(wait))
    }

    fn limit(&mut self, wanted: Wanted<'_>, peer: Peer, now: Moment) -> Result<Reply, Refused> {
        let made = self.tables.change(&self.control, wanted, peer, now)?;
        self.let_hold(made, peer, now)
    }

    fn limit_row(&mut self, verb: &Verb, peer: Peer, now: Moment) -> Result<Reply, Refused> {
        let Verb::SetRow {
            session,
            strategy,
            symbol,
            limits,
            confirm,
        } = verb
        else {
            return Err(usage("no row of limits".to_owned()));
        };
        let mut meant = self.meant(session.as_deref())?;
        let mut owner = None;
        if let Some(name) = strategy {
            let at = self.strategy(name)?;
            let found = self.control.strategies.get(at);
            meant.retain(|session| found.is_some_and(|it| it.session == *session));
            if meant.is_empty() {
                return Err(usage(format!("{name:?}: no strategy of that session")));
            }
            owner = found.map(|it| it.owner);
        }
        let wanted = WantedRow {
            meant: &meant,
            owner,
            symbols: symbol,
            limits,
            confirm: *confirm,
        };
        let made = self.tables.change_rows(&self.control, wanted, peer)?;
        self.let_hold(made, peer, now)
    }

    /// Asks order stages for what was made, or shows what has to be confirmed.
    fn let_hold(&mut self, made: Made, peer: Peer, now: Moment) -> Result<Reply, Refused> {
        if !made.told.is_set {
            return Ok(Reply::Now(Answer::new(Body::Limited(made.told))));
        }
        log::warn!("control: {peer}: {}", made.told);
        let wait = steer::limit(&mut self.control, &made.asks, made.told, now.now_ns)?;
        self.tables.handed_over(&self.control);
        Ok(Reply::Later(wait))
    }

    /// The places of one session, or of all.
    fn meant(&self, session: Option<&str>) -> Result<Vec<usize>, Refused> {
        match session {
            Some(name) => Ok(vec![self.session(name)?]),
            None => Ok((0..self.control.sessions.len()).collect()),
        }
    }

    fn session(&self, name: &str) -> Result<usize, Refused> {
        let names = self.control.sessions.iter().map(|it| it.name.as_str());
        place("session", name, names)
    }

    fn strategy(&self, name: &str) -> Result<usize, Refused> {
        let names = self.control.strategies.iter().map(|it| it.name.as_str());
        place("strategy", name, names)
    }

    /// Tells the log, a line a second at most.
    fn tell(&mut self, peer: Peer, error: &str, now: Moment) {
        if let Some(line) = self.refusal(peer, error, now) {
            log::warn!("{line}");
        }
    }

    /// The line about a refusal; `None`: there was one a moment ago.
    fn refusal(&mut self, peer: Peer, error: &str, now: Moment) -> Option<String> {
        let is_soon = |told_ns: u64| now.now_ns < told_ns + TELL_PAUSE_NS;
        if self.told_ns.is_some_and(is_soon) {
            self.untold += 1;
            return None;
        }
        let more = match std::mem::take(&mut self.untold) {
            0 => String::new(),
            untold => format!(" ({untold} more were refused before)"),
        };
        self.told_ns = Some(now.now_ns);
        Some(format!("control: {peer}: refused: {error}{more}"))
    }
}

/// Where the one of this name stands.
fn place<'a>(
    kind: &str,
    name: &str,
    names: impl Iterator<Item = &'a str> + Clone,
) -> Result<usize, Refused> {
    names.clone().position(|it| it == name).ok_or_else(|| {
        let names: Vec<&str> = names.collect();
        let known = if names.is_empty() {
            "there is none".to_owned()
        } else {
            format!("expected one of {}", names.join(", "))
        };
        usage(format!("{name:?}: no such {kind}, {known}"))
    })
}

#[cfg(test)]
mod tests {
    use protocol::types::Qty;
    use rt::ring::{Consumer, ring};

    use super::*;
    use crate::control::answer::AccountLimitRow;
    use crate::control::answer::{LimitChange, Limited};
    use crate::journal::event::Event;
    use crate::journal::format::Record;
    use crate::journal::inlet::inlet;
    use crate::message::intent::Owner;
    use crate::options::{Account, AccountLimit};
    use crate::order::risk::{KillSwitch, LimitKey, Limits};
    use crate::order::snapshot::Snapshot;
    use crate::service::KillFile;
    use crate::service::control::{SessionControl, StrategyControl};

    const OURS: Peer = Peer { uid: 0, pid: 77 };
    const NOW: Moment = Moment {
        now_ns: 1_000_000_000,
        wall_s: 1_700_000_000,
    };

    /// A console of two sessions, `one` and `two`, and the ends that order stages have.
    struct Bench {
        console: Console,
        kills: Vec<KillSwitch>,
        commands: Vec<Consumer<Command>>,
        snapshots: Vec<Snapshot>,
        folder: tempfile::TempDir,
    }

    /// A door to nobody.
    fn spare() -> SessionControl {
        SessionControl::bare(ring(4).unwrap().0, &Snapshot::new(4))
    }

    fn bench(has_file: bool) -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let mut control = Control {
            kill_file: has_file.then(|| KillFile::in_folder(folder.path()).unwrap()),
            ..Control::default()
        };
        let (mut kills, mut commands, mut snapshots) = (Vec::new(), Vec::new(), Vec::new());
        for name in ["one", "two"] {
            let (asks, taken) = ring(4).unwrap();
            let (kill, snapshot) = (KillSwitch::default(), Snapshot::new(4));
            control.sessions.push(SessionControl {
                name: name.to_owned(),
                limits: Limits {
                    order_qty_max: Qty(1_000),
                    ..Limits::WIDEST
                },
                kill: kill.clone(),
                ..SessionControl::bare(asks, &snapshot)
            });
            kills.push(kill);
            commands.push(taken);
            snapshots.push(snapshot);
        }
        control.strategies.push(StrategyControl {
            name: "quotes".to_owned(),
            session: 1,
            owner: Owner(0),
        });
        Bench {
            console: Console::new(control, Allowed::with(&[]), NOW),
            kills,
            commands,
            snapshots,
            folder,
        }
    }

    impl Bench {
        /// What a verb is answered, or is waited for.
        fn ask(&mut self, verb: &str) -> Reply {
            let line = format!("{{\"version\":1,\"verb\":{verb}}}");
            self.console.on_line(line.as_bytes(), OURS, NOW)
        }

        fn wait(&mut self, verb: &str) -> Wait {
            match self.ask(verb) {
                Reply::Later(wait) => wait,
                Reply::Now(answer) => panic!("{answer:?}"),
            }
        }

        fn refused(&mut self, verb: &str) -> Refused {
            match self.ask(verb) {
                Reply::Now(Answer {
                    answer: Body::Refused(refused),
                    ..
                }) => refused,
                other => panic!("{other:?}"),
            }
        }

        fn after(&self, wait: &Wait, more_ns: u64) -> Option<Body> {
            let now_ns = NOW.now_ns + more_ns;
            let later = Moment { now_ns, ..NOW };
            self.console.poll_wait(wait, later).map(|it| it.answer)
        }

        /// The stages look, and say how many orders are open.
        fn looks(&mut self, open_orders: [u32; 2]) {
            for (snapshot, open) in self.snapshots.iter_mut().zip(open_orders) {
                snapshot.show_open(open);
            }
        }
    }

    #[test]
    fn refusals_in_any_number_are_a_line_a_second_that_counts_the_others() {
        let mut bench = bench(false);
        let mut lines = Vec::new();
        for ms in 0..3_500 {
            let now = Moment {
                now_ns: NOW.now_ns + ms * 1_000_000,
                ..NOW
            };
            lines.extend(bench.console.refusal(OURS, "no", now));
        }
        let more = " (999 more were refused before)";
        let expected = ["", more, more, more];
        let expected = expected.map(|more| format!("control: {OURS}: refused: no{more}"));
        assert_eq!(lines, expected);
    }

    #[test]
    fn guard_that_falls_silent_stops_trading_and_its_name_is_in_the_file() {
        let mut bench = bench(true);
        let after_ms = |ms: u64| Moment {
            now_ns: NOW.now_ns + ms * 1_000_000,
            ..NOW
        };
        for name in ["desk", "night"] {
            let verb = format!(r#"{{"guard":{{"name":"{name}","token":7,"within_ms":500}}}}"#);
            assert!(matches!(bench.ask(&verb), Reply::Now(_)));
        }
        assert!(matches!(
            bench.ask(r#"{"unguard":{"name":"night","token":7}}"#),
            Reply::Now(_)
        ));
        let gone = bench.refused(r#"{"unguard":{"name":"night","token":7}}"#);
        assert!(gone.error.contains("no guard of this name"), "{gone:?}");
        bench.console.look_at_guards(after_ms(500));
        assert_eq!(bench.kills[0].cause(), None);
        bench.console.look_at_guards(after_ms(501));
        let causes: Vec<_> = bench.kills.iter().map(KillSwitch::cause).collect();
        assert_eq!(causes, [Some(KillCause::GuardSilent); 2]);
        let file = KillFile::in_folder(bench.folder.path()).unwrap();
        let why = file.record().unwrap().unwrap().why;
        assert_eq!(why, "\"desk\" was not heard for 500 ms");
        assert_eq!(bench.console.counters().control_guards_lost.get(), 1);
    }

    #[test]
    fn what_steers_is_in_the_journal_with_who_asked_and_what_only_looks_is_not() {
        let mut bench = bench(false);
        let (inlet, mut outlet) = inlet(2, 1 << 14, KillSwitch::default()).unwrap();
        bench.console.control.journal = inlet;
        for verb in [
            r#""status""#,
            r#"{"guard":{"name":"desk","token":7,"within_ms":500}}"#,
            r#"{"guard":{"name":"desk","token":7,"within_ms":500}}"#,
            r#"{"kill":{"reason":"lunch","wait_ms":0}}"#,
            r#"{"resume":{"scope":"nobody"}}"#,
            r#"{"pause":{"strategy":"nobody"}}"#,
            r#"{"unguard":{"name":"desk","token":7}}"#,
            r#"{"guard":{"name":"night","token":8,"within_ms":500}}"#,
            "\"dance\"",
        ] {
            bench.ask(verb);
        }
        bench.console.look_at_guards(Moment {
            now_ns: 2 * NOW.now_ns,
            ..NOW
        });
        let (mut payload, mut asked) = (Vec::new(), Vec::new());
        while let Some(header) = outlet.records.next(&mut payload) {
            let record = Record::of(header, &payload).unwrap();
            let Ok(Event::Asked(request)) = Event::of(&record) else {
                panic!("{record:?}");
            };
            let who = request.uid.map(|uid| (uid, request.pid));
            asked.push((header.sequence.get(), who, request.text.to_owned()));
        }
        let ours = Some((0, 77));
        let expected = [
            (ours, "guard \"desk\": 500 ms of its silence stop trading"),
            (ours, "kill --reason \"lunch\""),
            (ours, "resume \"nobody\""),
            (ours, "pause \"nobody\""),
            (ours, "unguard \"desk\""),
            (ours, "guard \"night\": 500 ms of its silence stop trading"),
            (
                None,
                "guard \"night\" was not heard for 500 ms: trading stops",
            ),
        ];
        let expected = expected.map(|(who, text)| (who, text.to_owned()));
        let expected: Vec<_> = (1..)
            .zip(expected)
            .map(|(at, (who, text))| (at, who, text))
            .collect();
        assert_eq!(asked, expected);
    }

    #[test]
    fn kill_is_in_the_switches_at_once_and_done_when_both_have_looked_twice_and_hold_nothing() {
        let mut bench = bench(true);
        bench.looks([3, 0]);
        let wait = bench.wait(r#"{"kill":{"reason":"lunch","wait_ms":1000}}"#);
        let causes: Vec<_> = bench.kills.iter().map(KillSwitch::cause).collect();
        assert_eq!(causes, [Some(KillCause::Operator); 2]);
        let file = KillFile::in_folder(bench.folder.path()).unwrap();
        assert_eq!(file.record().unwrap().unwrap().why, "lunch");
        // One look may have been under way: nothing open then proves nothing.
        bench.looks([0, 0]);
        assert_eq!(bench.after(&wait, 1), None);
        bench.looks([1, 0]);
        assert_eq!(bench.after(&wait, 1), None);
        bench.looks([0, 0]);
        let Some(Body::Killed(killed)) = bench.after(&wait, 7_000_000) else {
            panic!("both are empty");
        };
        assert!(killed.is_nothing_open && killed.outlives_restart && killed.after_ms == 7);
        assert!(killed.killed_before.is_empty(), "{killed:?}");
        // And again: what was killed stays, and says so.
        let wait = bench.wait(r#"{"kill":{"wait_ms":1000}}"#);
        bench.looks([0, 2]);
        bench.looks([0, 2]);
        assert_eq!(bench.after(&wait, 999_999_999), None);
        let Some(Body::Killed(killed)) = bench.after(&wait, 1_000_000_000) else {
            panic!("its time is up");
        };
        assert!(!killed.is_nothing_open);
        assert_eq!(killed.killed_before, ["one", "two"]);
        assert_eq!(killed.sessions[1].open_orders, 2);
    }

    #[test]
    fn kill_without_a_folder_stops_and_says_that_a_restart_forgets_it() {
        let mut bench = bench(false);
        let wait = bench.wait(r#"{"kill":{}}"#);
        assert!(bench.kills.iter().all(KillSwitch::is_on));
        let Some(Body::Killed(killed)) = bench.after(&wait, 0) else {
            panic!("nobody waits");
        };
        assert!(!killed.outlives_restart && !killed.is_nothing_open);
        assert!(killed.file_error.unwrap().contains("host.state_dir"));
        assert!(killed.sessions.iter().all(|it| !it.has_looked));
    }

    #[test]
    fn resume_takes_the_scope_that_is_killed_and_no_other() {
        let mut bench = bench(false);
        let refused = bench.refused(r#"{"resume":{"scope":"all"}}"#);
        assert!(refused.is_usage && refused.error == "nothing is killed");
        bench.kills[1].engage(KillCause::StartKilled);
        for scope in ["all", "one", ""] {
            let refused = bench.refused(&format!(r#"{{"resume":{{"scope":"{scope}"}}}}"#));
            assert!(
                refused.error.contains("expected what is killed: \"two\""),
                "{refused:?}"
            );
        }
        assert!(bench.kills[1].is_on());
        let wait = bench.wait(r#"{"resume":{"scope":"two"}}"#);
        let Some(Body::Resumed(resumed)) = bench.after(&wait, 0) else {
            panic!("it is off");
        };
        assert!(resumed.is_released && !bench.kills[1].is_on());
    }

    #[test]
    fn resume_is_of_what_the_operator_was_shown_and_not_of_what_came_since() {
        let mut bench = bench(false);
        for kill in &bench.kills {
            kill.engage(KillCause::StartKilled);
        }
        let Reply::Now(status) = bench.ask(r#""status""#) else {
            panic!("nothing to wait for");
        };
        let Body::Status(status) = status.answer else {
            panic!("{status:?}");
        };
        // The scope is what it was; the reason is not.
        bench.kills[1].engage(KillCause::PastDiffers);
        let seen = status.kill.sighting;
        let resume = |seen: &str| format!(r#"{{"resume":{{"scope":"all","seen":{seen:?}}}}}"#);
        let refused = bench.refused(&resume(&seen));
        assert!(refused.error.contains("since you looked"), "{refused:?}");
        assert!(bench.kills.iter().all(KillSwitch::is_on));
        let seen = bench.console.memory.kill(&bench.console.control).sighting;
        bench.wait(&resume(&seen));
        assert!(!bench.kills.iter().any(KillSwitch::is_on));
    }

    #[test]
    fn session_waits_for_those_of_its_account_that_were_never_open() {
        let mut bench = bench(false);
        bench.console.control.accounts.push(Account {
            name: "desk".into(),
            sessions: vec![0, 1],
            limits: Vec::new(),
        });
        let Reply::Now(rows) = bench.ask(r#""sessions""#) else {
            panic!("nothing to wait for");
        };
        let Body::Sessions(rows) = rows.answer else {
            panic!("{rows:?}");
        };
        let waits: Vec<_> = rows.iter().map(|it| it.waits_for.join(",")).collect();
        assert_eq!(waits, ["two", "one"]);
        bench.console.memory.was_open[1] = true;
        let of = |at| bench.console.memory.waits_for(&bench.console.control, at);
        assert_eq!((of(0), of(1)), (vec![], vec!["one".to_owned()]));
    }

    #[test]
    fn sessions_of_an_account_are_resumed_in_one_step_and_none_of_them_alone() {
        let mut bench = bench(false);
        let third = SessionControl {
            name: "three".to_owned(),
            kill: KillSwitch::default(),
            ..spare()
        };
        let alone = third.kill.clone();
        bench.console.control.sessions.push(third);
        bench.console.control.accounts.push(Account {
            name: "desk".into(),
            sessions: vec![0, 1],
            limits: Vec::new(),
        });
        let one = bench.kills[0].clone().with_account(0, &bench.kills[1..]);
        one.engage(KillCause::LossLimit);
        let Reply::Now(status) = bench.ask(r#""status""#) else {
            panic!("nothing to wait for");
        };
        let Body::Status(status) = status.answer else {
            panic!("{status:?}");
        };
        assert_eq!(status.kill.scope, ["account desk"]);
        assert_eq!(status.kill.began.as_deref(), Some("one"));
        for scope in ["one", "two", "desk", "all"] {
            let refused = bench.refused(&format!(r#"{{"resume":{{"scope":"{scope}"}}}}"#));
            assert!(refused.error.contains("\"account desk\""), "{refused:?}");
        }
        let wait = bench.wait(r#"{"resume":{"scope":"account desk"}}"#);
        let Some(Body::Resumed(resumed)) = bench.after(&wait, 0) else {
            panic!("it is off");
        };
        assert!(resumed.is_released && !bench.kills.iter().any(KillSwitch::is_on));
        assert!(!alone.is_on());
    }

    #[test]
    fn resume_of_all_leaves_the_marks_that_housekeeping_looks_for_and_tells_what_stays() {
        let mut bench = bench(true);
        bench.wait(r#"{"kill":{}}"#);
        let wait = bench.wait(r#"{"resume":{"scope":"all"}}"#);
        let file = KillFile::in_folder(bench.folder.path()).unwrap();
        assert_eq!(file.record().unwrap(), None);
        assert!(bench.folder.path().join("resumed").exists());
        assert_eq!(bench.after(&wait, 1), None, "housekeeping has not looked");
        bench.kills[0].release();
        let Some(Body::Resumed(resumed)) = bench.after(&wait, 2_000_000_000) else {
            panic!("its time is up");
        };
        assert_eq!(resumed.still_killed, ["two: the operator"]);
        assert!(!resumed.is_released);
    }

    #[test]
    fn cancel_and_pause_go_to_whom_they_concern_and_are_done_when_he_has_looked() {
        let mut bench = bench(false);
        let wait = bench.wait(r#"{"pause":{"strategy":"quotes"}}"#);
        assert_eq!(bench.commands[1].pop(), Some(Command::Pause(Owner(0))));
        assert_eq!(bench.commands[0].pop(), None);
        assert_eq!(bench.after(&wait, 0), None);
        bench.looks([0, 0]);
        bench.looks([0, 0]);
        let Some(Body::Asked(asked)) = bench.after(&wait, 0) else {
            panic!("it has looked");
        };
        assert_eq!(
            (asked.what.as_str(), asked.is_taken),
            ("pause quotes", true)
        );
        let Reply::Now(shown) = bench.ask(r#""sessions""#) else {
            panic!("nothing to wait for");
        };
        let Body::Sessions(rows) = shown.answer else {
            panic!("{shown:?}");
        };
        assert!(rows[0].strategies.is_empty() && rows[1].strategies[0].is_paused);
        bench.wait(r#"{"cancel":{}}"#);
        bench.wait(r#"{"cancel":{"session":"one"}}"#);
        let taken =
            |commands: &mut Consumer<Command>| std::iter::from_fn(|| commands.pop()).count();
        let counts: Vec<usize> = bench.commands.iter_mut().map(taken).collect();
        assert_eq!(counts, [2, 1]);
    }

    /// What is said of a change of limits.
    fn limited(bench: &mut Bench, ask: &str) -> Limited {
        let reply = bench.ask(&format!(r#"{{"set-limits":{ask}}}"#));
        told(bench, reply)
    }

    /// What it comes to once stages have looked.
    fn told(bench: &mut Bench, reply: Reply) -> Limited {
        let answer = match reply {
            Reply::Now(answer) => answer.answer,
            Reply::Later(wait) => {
                assert_eq!(bench.after(&wait, 0), None, "nobody has looked");
                bench.looks([0, 0]);
                bench.looks([0, 0]);
                bench.after(&wait, 0).unwrap()
            }
        };
        match answer {
            Body::Limited(limited) => limited,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn limits_tighten_at_once_and_loosen_for_who_says_the_number_of_the_table() {
        let mut bench = bench(false);
        let tight = limited(
            &mut bench,
            r#"{"session":"two","limits":{"order_qty_max":500}}"#,
        );
        assert!(
            tight.is_set && tight.is_taken && tight.number == 2,
            "{tight:?}"
        );
        let Some(Command::Limits(new)) = bench.commands[1].pop() else {
            panic!("the session is told");
        };
        assert_eq!(
            (new.number, new.uid, new.limits.order_qty_max),
            (2, 0, Qty(500))
        );
        assert_eq!(bench.commands[0].pop(), None);

        // One of both is looser: nothing is done, and both are said.
        let ask = r#"{"limits":{"order_qty_max":800,"collar_bps":100}}"#;
        let loose = limited(&mut bench, ask);
        assert!(!loose.is_set && loose.number == 2, "{loose:?}");
        let said = |it: &LimitChange| (it.session.clone(), it.before, it.now, it.is_looser);
        let said: Vec<_> = loose.changes.iter().map(said).collect();
        let [one, two] = ["one", "two"].map(str::to_owned);
        let expected = [
            (one.clone(), 5_000, 100, false),
            (one, 1_000, 800, false),
            (two.clone(), 5_000, 100, false),
            (two, 500, 800, true),
        ];
        assert_eq!(said, expected);
        assert!(bench.commands.iter_mut().all(|it| it.pop().is_none()));
        let another = r#"{"set-limits":{"limits":{"order_qty_max":800},"confirm":1}}"#;
        let refused = bench.refused(another);
        assert!(
            refused.is_usage && refused.error.contains("has number 2"),
            "{refused:?}"
        );
        let ask = r#"{"limits":{"order_qty_max":800,"collar_bps":100},"confirm":2}"#;
        let loose = limited(&mut bench, ask);
        assert!(loose.is_set && loose.number == 3, "{loose:?}");
        assert!(bench.commands.iter_mut().all(|it| it.pop().is_some()));

        let Reply::Now(shown) = bench.ask(r#""limits""#) else {
            panic!("nothing to wait for");
        };
        let Body::Limits(rows) = shown.answer else {
            panic!("{shown:?}");
        };
        let two = &rows[1];
        assert_eq!(
            (two.number, two.order_qty_max, two.collar_bps),
            (3, 800, 100)
        );
        let changed = &two.changed[0];
        assert_eq!(
            (changed.key.as_str(), changed.configured, changed.in_force),
            ("order_qty_max", 1_000, 800)
        );
        assert_eq!((changed.since_s, changed.uid), (Some(NOW.wall_s), Some(0)));
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a scenario reads from top to bottom")]
    fn rows_tighten_at_once_and_loosen_for_who_says_the_number_of_the_table() {
        let mut bench = bench(false);
        let asked = |bench: &mut Bench, ask: &str| {
            let ask = format!(r#"{{"set-row":{ask}}}"#);
            let reply = bench.ask(&ask);
            let taken = [0, 1].map(|at| match bench.commands[at].pop() {
                Some(Command::Row(new)) => Some((new.number, new.at, new.limits.order_qty_max)),
                _ => None,
            });
            (told(bench, reply), taken)
        };
        let tight = r#"{"strategy":"quotes","symbol":"ZV*","limits":{"order_qty_max":500}}"#;
        let (told, taken) = asked(&mut bench, tight);
        assert!(told.is_set && told.rows[0].is_new, "{told:?}");
        assert_eq!(taken, [None, Some((2, 0, Some(Qty(500))))]);
        // Of every strategy, in both sessions: each its own next row.
        let (told, taken) = asked(&mut bench, r#"{"symbol":"*","limits":{"order_qty_max":7}}"#);
        assert!(told.is_set && told.number == 3, "{told:?}");
        let seven = Some(Qty(7));
        assert_eq!(taken, [Some((3, 0, seven)), Some((3, 1, seven))]);

        let loose = r#"{"strategy":"quotes","symbol":"ZV*","limits":{"order_qty_max":null}"#;
        let (told, taken) = asked(&mut bench, &format!("{loose}}}"));
        assert!(!told.is_set && told.rows[0].is_looser, "{told:?}");
        assert_eq!(taken, [None, None]);
        let refused = bench.refused(&format!(r#"{{"set-row":{loose},"confirm":2}}}}"#));
        assert!(refused.error.contains("has number 3"), "{refused:?}");
        let Reply::Now(shown) = bench.ask(r#""limits""#) else {
            panic!("nothing to wait for");
        };
        let Body::Limits(rows) = shown.answer else {
            panic!("{shown:?}");
        };
        let shown: Vec<_> = rows[1]
            .rows
            .iter()
            .map(|it| (it.row, it.symbol.as_str()))
            .collect();
        assert_eq!(
            (shown, rows[1].rows[0].strategy.as_str()),
            (vec![(1, "ZV*"), (2, "*")], "quotes")
        );
        let (told, taken) = asked(&mut bench, &format!(r#"{loose},"confirm":3}}"#));
        assert!(told.is_set, "{told:?}");
        assert_eq!(taken, [None, Some((4, 0, None))]);

        for (wrong, expected) in [
            (
                r#"{"symbol":"ZV*","limits":{"order_qty_max":1001}}"#,
                "expected 1 to 1000",
            ),
            (
                r#"{"symbol":"ZV*","limits":{"collar_bps":5}}"#,
                "no limit of a row",
            ),
            (
                r#"{"symbol":"ZV*","limits":{"order_qty_max":null}}"#,
                "nothing of it changes",
            ),
            (
                r#"{"symbol":"Z*V","limits":{"order_qty_max":5}}"#,
                "expected a symbol",
            ),
            (
                r#"{"session":"one","strategy":"quotes","symbol":"A","limits":{"order_qty_max":5}}"#,
                "no strategy of that session",
            ),
        ] {
            let refused = bench.refused(&format!(r#"{{"set-row":{wrong}}}"#));
            assert!(refused.error.contains(expected), "{refused:?}");
        }
        for at in 0..15 {
            let row =
                format!(r#"{{"session":"one","symbol":"R{at}","limits":{{"order_qty_max":5}}}}"#);
            assert!(asked(&mut bench, &row).0.is_set, "{at}");
        }
        let one_more = r#"{"set-row":{"session":"one","symbol":"S","limits":{"order_qty_max":5}}}"#;
        let refused = bench.refused(one_more);
        assert!(refused.error.contains("room for 16"), "{refused:?}");
    }

    #[test]
    fn limits_that_cannot_be_are_refused_and_none_of_the_request_is_done() {
        let mut bench = bench(false);
        for (ask, expected) in [
            (
                r#"{"limits":{"trading_hours":1}}"#,
                "\"trading_hours\": no limit that changes",
            ),
            (
                r#"{"limits":{"collar_bps":1,"open_orders_max":1000001}}"#,
                "expected 1 to 1000000",
            ),
            (
                r#"{"limits":{"order_qty_max":1000}}"#,
                "nothing of it changes",
            ),
            (r#"{"limits":{}}"#, "nothing of it changes"),
            (
                r#"{"session":"x","limits":{"collar_bps":1}}"#,
                "no such session",
            ),
        ] {
            let refused = bench.refused(&format!(r#"{{"set-limits":{ask}}}"#));
            assert!(
                refused.is_usage && refused.error.contains(expected),
                "{refused:?}"
            );
        }
        // A core that does not turn keeps the other's limits as they are, too.
        for _ in 0..4 {
            bench.wait(r#"{"cancel":{"session":"two"}}"#);
        }
        let refused = bench.refused(r#"{"set-limits":{"limits":{"collar_bps":1}}}"#);
        assert!(refused.error.contains("no limit is changed"), "{refused:?}");
        assert_eq!(bench.commands[0].pop(), None);
    }

    /// Both sessions trade for one account with these limits; each has the first value, and the stages have shown it.
    fn desk(limits: [AccountLimit; 2], value: [u64; 2]) -> Bench {
        let mut bench = bench(false);
        let [first, second] = limits.map(|it| it.key.name());
        bench.console.control.accounts.push(Account {
            name: "desk".to_owned(),
            sessions: vec![0, 1],
            limits: limits.to_vec(),
        });
        let [a, b] = value;
        let ask = format!(r#"{{"limits":{{"{first}":{a},"{second}":{b}}}}}"#);
        assert!(limited(&mut bench, &ask).is_set, "tighter is always done");
        bench
    }

    #[test]
    fn limits_of_a_session_are_not_loosened_beyond_what_its_account_has_left() {
        let limits = [(LimitKey::Position, 1_000), (LimitKey::OpenOrders, 12)];
        let limits = limits.map(|(key, max)| AccountLimit { key, max });
        let mut bench = desk(limits, [400, 5]);
        let loosen = |key: &str, value: u32, number: u32| {
            format!(
                r#"{{"set-limits":{{"session":"one","limits":{{"{key}":{value}}},"confirm":{number}}}}}"#
            )
        };
        let refused = bench.refused(&loosen("position_max", 601, 2));
        let expected = "position_max: the sessions of account desk would have more than its 1000 in all \
                        (one 601, two 400;";
        assert!(
            refused.is_usage && refused.error.contains(expected),
            "{refused:?}"
        );
        // What stands counts, where a limit would leave less.
        bench.looks([0, 8]);
        let refused = bench.refused(&loosen("open_orders_max", 7, 2));
        assert!(refused.error.contains("(one 7, two 8;"), "{refused:?}");
        bench.looks([0, 0]);
        let ask = r#"{"session":"one","limits":{"open_orders_max":7},"confirm":2}"#;
        assert!(limited(&mut bench, ask).is_set);
        // What another gives up is free once its stage has shown that it took it.
        let tighten = r#"{"set-limits":{"session":"two","limits":{"position_max":300}}}"#;
        assert!(matches!(bench.ask(tighten), Reply::Later(_)));
        let refused = bench.refused(&loosen("position_max", 700, 4));
        assert!(refused.error.contains("(one 700, two 400;"), "{refused:?}");
        bench.looks([0, 0]);
        bench.looks([0, 0]);
        let ask = r#"{"session":"one","limits":{"position_max":700},"confirm":4}"#;
        assert!(limited(&mut bench, ask).is_set);
        let Reply::Now(shown) = bench.ask(r#""limits""#) else {
            panic!("it is answered at once");
        };
        let Body::Limits(rows) = shown.answer else {
            panic!("{shown:?}");
        };
        let row = AccountLimitRow {
            key: "position_max".to_owned(),
            sessions: 1_000,
            max: 1_000,
        };
        for shown in rows {
            assert_eq!(shown.account.as_deref(), Some("desk"));
            assert_eq!(shown.account_limits.first(), Some(&row));
        }
    }

    #[test]
    fn account_that_began_with_more_than_it_may_have_is_resumed_once_its_limits_add_up() {
        let limits = [(LimitKey::Position, 1_000), (LimitKey::OpenOrders, 12)];
        let limits = limits.map(|(key, max)| AccountLimit { key, max });
        let mut bench = desk(limits, [400, 5]);
        bench.looks([9, 0]);
        bench.looks([9, 0]);
        for kill in &bench.kills {
            kill.engage(KillCause::AccountBudget);
        }
        let resume = r#"{"resume":{"scope":"all"}}"#;
        let refused = bench.refused(resume);
        let expected = "open_orders_max: the sessions of account desk would have more than its 12 in all (one 9, two 5;";
        assert!(refused.error.contains(expected), "{refused:?}");
        assert_eq!(bench.kills[0].cause(), Some(KillCause::AccountBudget));
        bench.ask(r#"{"set-limits":{"session":"two","limits":{"open_orders_max":3}}}"#);
        assert!(
            bench.refused(resume).error.contains("(one 9, two 5;"),
            "its stage has not shown that it knows"
        );
        bench.looks([9, 0]);
        bench.looks([9, 0]);
        assert!(matches!(bench.ask(resume), Reply::Later(_)));
        let causes: Vec<_> = bench.kills.iter().map(KillSwitch::cause).collect();
        assert_eq!(causes, [None, None]);
        // Whatever else has stopped it is the operator's to judge.
        bench.kills[0].engage(KillCause::RejectStorm);
        bench.looks([99, 0]);
        let refused = bench.ask(r#"{"resume":{"scope":"account desk"}}"#);
        assert!(matches!(refused, Reply::Later(_)), "{refused:?}");
    }

    #[test]
    fn limit_before_counts_until_its_stage_has_shown_itself_since_it_has_the_command() {
        let limits = [(LimitKey::Position, 1_000), (LimitKey::OpenOrders, 12)];
        let limits = limits.map(|(key, max)| AccountLimit { key, max });
        let mut bench = desk(limits, [400, 5]);
        let claim = |bench: &Bench| {
            let rows = bench.console.tables.rows(&bench.console.control);
            rows[0].account_limits[0].sessions
        };
        assert_eq!(claim(&bench), 800);
        // A turn of the console that is held up between the change and its command.
        let wanted: std::collections::BTreeMap<_, _> = [("position_max".to_owned(), 300)].into();
        let wanted = Wanted {
            meant: &[1],
            limits: &wanted,
            confirm: None,
        };
        let Console {
            tables, control, ..
        } = &mut bench.console;
        tables.change(control, wanted, OURS, NOW).unwrap();
        for _ in 0..4 {
            bench.looks([0, 0]);
        }
        assert_eq!(claim(&bench), 800, "nobody has told the stage");
        bench.console.tables.handed_over(&bench.console.control);
        bench.looks([0, 0]);
        assert_eq!(claim(&bench), 800, "it may have begun before");
        bench.looks([0, 0]);
        assert_eq!(claim(&bench), 700);
    }

    #[test]
    fn core_that_takes_no_commands_is_told_and_one_that_does_not_look_is_not_waited_for_for_ever() {
        let mut bench = bench(false);
        for _ in 0..4 {
            let wait = bench.wait(r#"{"cancel":{"session":"one"}}"#);
            let Some(Body::Asked(asked)) = bench.after(&wait, 2_000_000_000) else {
                panic!("its time is up");
            };
            assert!(!asked.is_taken);
        }
        let refused = bench.refused(r#"{"cancel":{"session":"one"}}"#);
        assert!(
            !refused.is_usage && refused.error.contains("does not turn"),
            "{refused:?}"
        );
    }

    #[test]
    fn who_and_what_is_refused_is_told_why_and_counted() {
        let mut bench = bench(false);
        let stranger = Peer {
            uid: 4_000_000,
            pid: 1,
        };
        let refused = bench.console.on_peer(stranger, NOW).unwrap_err();
        assert!(refused.error.contains("uid 4000000 may not"), "{refused:?}");
        assert_eq!(bench.console.on_peer(OURS, NOW), Ok(()));
        let refused = bench.refused(r#"{"pause":{"strategy":"x"}}"#);
        assert_eq!(
            refused.error,
            "\"x\": no such strategy, expected one of quotes"
        );
        let refused = bench.refused(r#"{"orders":{"session":"x"}}"#);
        assert_eq!(
            refused.error,
            "\"x\": no such session, expected one of one, two"
        );
        bench.refused("\"dance\"");
        let counts = bench.console.counters();
        let counts = [
            counts.control_refused_peers.get(),
            counts.control_requests.get(),
            counts.control_steered.get(),
            counts.control_refused.get(),
            counts.control_malformed.get(),
        ];
        assert_eq!(counts, [1, 2, 1, 2, 1]);
    }

    /// A line that is nearly right, or nothing like it.
    fn line(random: &mut fastrand::Rng) -> Vec<u8> {
        const LINES: [&str; 7] = [
            r#"{"version":1,"verb":"status"}"#,
            r#"{"version":1,"verb":{"orders":{"session":"one","symbol":null}}}"#,
            r#"{"version":1,"verb":{"kill":{"reason":"x","wait_ms":5}}}"#,
            r#"{"version":1,"verb":{"resume":{"scope":"all"}}}"#,
            r#"{"version":1,"verb":{"cancel":{"session":"two"}}}"#,
            r#"{"version":1,"verb":{"unpause":{"strategy":"quotes"}}}"#,
            r#"{"version":1,"verb":{"set-limits":{"limits":{"order_qty_max":9},"confirm":1}}}"#,
        ];
        if random.bool() {
            return (0..random.usize(0..300)).map(|_| random.u8(..)).collect();
        }
        let mut line = random.choice(LINES).unwrap().as_bytes().to_vec();
        for _ in 0..random.usize(0..4) {
            let at = random.usize(0..line.len());
            match random.u8(0..3) {
                0 => line[at] = random.u8(..),
                1 => line.insert(at, random.u8(..)),
                _ => line.truncate(at.max(1)),
            }
        }
        line
    }

    #[test]
    fn any_line_is_answered_and_each_is_counted_once() {
        let mut bench = bench(false);
        let mut random = fastrand::Rng::with_seed(12);
        let lines = 100_000;
        for _ in 0..lines {
            let line = line(&mut random);
            let answer = match bench.console.on_line(&line, OURS, NOW) {
                Reply::Now(answer) => answer,
                Reply::Later(wait) => {
                    let later = Moment {
                        now_ns: u64::MAX,
                        ..NOW
                    };
                    bench.console.poll_wait(&wait, later).unwrap()
                }
            };
            let line = answer.line();
            assert_eq!(line.matches('\n').count(), 1, "{line}");
            let read: Answer = serde_json::from_str(&line).unwrap();
            assert_eq!(read, answer);
            for commands in &mut bench.commands {
                while commands.pop().is_some() {}
            }
        }
        let counts = bench.console.counters();
        let (good, bad) = (
            counts.control_requests.get(),
            counts.control_malformed.get(),
        );
        assert_eq!(good + bad, lines);
        assert!(good > 1_000 && bad > 50_000, "{good} and {bad}");
    }
}
