//! A reload, as the console does it: the configuration is read again, and all of what has changed is done, or nothing.
//!
//! Thread:      the control socket's
//! When wrong:  each fault, and each key that cannot change, is in the log and in the answer

use super::answer::{Answer, Body, Refused, Reloaded};
use super::console::{Console, Reply, Wait};
use super::moment::Moment;
use super::peer::{Allowed, Peer};
use super::steer::{self, failed};
use crate::journal::event::RequestRecord;
use crate::service::configuration::Configuration;

impl Console {
    /// SIGHUP: whatever comes of it is in the log; `Some`: order stages have yet to take it.
    pub fn on_hangup(&mut self, now: Moment) -> Option<Wait> {
        log::warn!("control: SIGHUP: reload");
        self.counters.control_steered.increment();
        let request = RequestRecord {
            uid: None,
            pid: 0,
            text: "SIGHUP: reload",
        };
        self.control.journal.on_asked(&request, now.now_ns);
        match self.reload(Peer::own(), now) {
            Ok(Reply::Later(wait)) => Some(wait),
            Ok(Reply::Now(_)) => None,
            Err(refused) => {
                log::error!("control: SIGHUP: {}", refused.error);
                None
            }
        }
    }

    /// Whether SIGHUP has come since the last look.
    pub fn is_hung_up(&self) -> bool {
        self.control.reload.take()
    }

    /// Reads the configuration again, and does what has changed: all of it or nothing.
    pub(super) fn reload(&mut self, peer: Peer, now: Moment) -> Result<Reply, Refused> {
        let Some(mut configuration) = self.control.configuration.take() else {
            return Err(failed(
                "nothing to read again: expected a gateway that was started with a configuration"
                    .to_owned(),
            ));
        };
        self.control.manager.reloading();
        let outcome = self.reread(configuration.as_mut(), peer, now);
        self.control.configuration = Some(configuration);
        let status = match &outcome {
            Ok((told, _)) => told.to_string(),
            Err(refused) => refused.error.clone(),
        };
        self.control.manager.reloaded(&status);
        let (told, wait) = outcome?;
        if !told.is_applied {
            self.counters.control_refused.increment();
        }
        Ok(match wait {
            Some(wait) => Reply::Later(wait),
            None => Reply::Now(Answer::new(Body::Reloaded(told))),
        })
    }

    /// What came of it, and what is still to be waited for.
    fn reread(
        &mut self,
        configuration: &mut dyn Configuration,
        peer: Peer,
        now: Moment,
    ) -> Result<(Reloaded, Option<Wait>), Refused> {
        let mut told = Reloaded {
            number: self.tables.number,
            ..Reloaded::default()
        };
        let changes = match configuration.read() {
            Ok(changes) => changes,
            Err(faults) => {
                told.faults = faults;
                tell_reload(&told, peer);
                return Ok((told, None));
            }
        };
        let plan = self.tables.plan_reload(&self.control, &changes);
        told.changes.clone_from(&plan.keys);
        if plan.is_refused() {
            tell_reload(&told, peer);
            return Ok((told, None));
        }
        plan.check_room(&self.control)?;
        let asks = self.tables.do_reload(&self.control, &plan, peer, now);
        if let Some(users) = &plan.users {
            self.allowed = Allowed::with(users);
        }
        configuration.keep();
        (told.is_applied, told.number) = (true, self.tables.number);
        tell_reload(&told, peer);
        let wait = steer::reload(&mut self.control, &asks, told.clone(), now.now_ns)?;
        self.tables.handed_over(&self.control);
        Ok((told, Some(wait)))
    }
}

/// Every key that changes or cannot, and every fault, in the log.
fn tell_reload(told: &Reloaded, peer: Peer) {
    for fault in &told.faults {
        log::error!("control: reload: {fault}");
    }
    for change in &told.changes {
        if change.refused.is_some() {
            log::error!("control: reload: {change}");
        } else if told.is_applied {
            log::warn!("control: reload: {change}");
        }
    }
    if told.is_applied {
        log::warn!("control: {peer}: {told}");
    } else {
        log::error!("control: {peer}: {told}");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use protocol::types::Qty;
    use rt::ring::{Consumer, ring};

    use super::*;
    use crate::control::answer::LimitsRow;
    use crate::message::command::Command;
    use crate::message::intent::Owner;
    use crate::order::risk::{Limits, RowLimits, Symbols};
    use crate::order::snapshot::Snapshot;
    use crate::service::configuration::{Change, Wish};
    use crate::service::control::{Control, SessionControl, StrategyControl};

    const OURS: Peer = Peer { uid: 0, pid: 77 };
    const NOW: Moment = Moment {
        now_ns: 1_000_000_000,
        wall_s: 1_700_000_000,
    };
    /// Commands that a session may have waiting here.
    const ROOM: usize = 4;

    /// A configuration that is read as it is told.
    #[derive(Debug)]
    struct Script {
        reads: Vec<Result<Vec<Change>, Vec<String>>>,
        kept: Arc<AtomicUsize>,
    }

    impl Configuration for Script {
        fn read(&mut self) -> Result<Vec<Change>, Vec<String>> {
            self.reads.remove(0)
        }

        fn keep(&mut self) {
            self.kept.fetch_add(1, Ordering::SeqCst);
        }
    }

    struct Bench {
        console: Console,
        commands: Vec<Consumer<Command>>,
        snapshots: Vec<Snapshot>,
        kept: Arc<AtomicUsize>,
    }

    /// Two sessions with 1,000 shares an order, the second with a strategy and a row; and what is read, one after the other.
    fn bench(reads: Vec<Result<Vec<Change>, Vec<String>>>) -> Bench {
        let mut control = Control::default();
        let (mut commands, mut snapshots) = (Vec::new(), Vec::new());
        for name in ["one", "two"] {
            let (asks, taken) = ring(ROOM).unwrap();
            let snapshot = Snapshot::new(4);
            let row = RowLimits {
                symbols: Symbols::parse("A").unwrap(),
                order_qty_max: Some(Qty(50)),
                ..RowLimits::default()
            };
            control.sessions.push(SessionControl {
                name: name.to_owned(),
                limits: Limits {
                    order_qty_max: Qty(1_000),
                    open_orders_max: 40,
                    ..Limits::WIDEST
                },
                rows: (name == "two").then_some(row).into_iter().collect(),
                ..SessionControl::bare(asks, &snapshot)
            });
            commands.push(taken);
            snapshots.push(snapshot);
        }
        control.strategies.push(StrategyControl {
            name: "quotes".to_owned(),
            session: 1,
            owner: Owner(0),
        });
        let kept = Arc::new(AtomicUsize::new(0));
        control.configuration = Some(Box::new(Script {
            reads,
            kept: Arc::clone(&kept),
        }));
        Bench {
            console: Console::new(control, Allowed::with(&[]), NOW),
            commands,
            snapshots,
            kept,
        }
    }

    impl Bench {
        fn ask(&mut self, verb: &str) -> Reply {
            let line = format!("{{\"version\":1,\"verb\":{verb}}}");
            self.console.on_line(line.as_bytes(), OURS, NOW)
        }

        /// What a reload comes to once order stages have looked.
        fn reload(&mut self) -> Reloaded {
            let reply = self.ask("\"reload\"");
            let body = match reply {
                Reply::Now(answer) => answer.answer,
                Reply::Later(wait) => {
                    for snapshot in &mut self.snapshots {
                        snapshot.show_open(0);
                        snapshot.show_open(0);
                    }
                    self.console.poll_wait(&wait, NOW).unwrap().answer
                }
            };
            match body {
                Body::Reloaded(told) => told,
                other => panic!("{other:?}"),
            }
        }

        /// What order stages are asked for.
        fn asked(&mut self) -> Vec<Vec<Command>> {
            let commands = self.commands.iter_mut();
            commands
                .map(|it| std::iter::from_fn(|| it.pop()).collect())
                .collect()
        }

        fn limits(&mut self) -> Vec<LimitsRow> {
            match self.ask("\"limits\"") {
                Reply::Now(Answer {
                    answer: Body::Limits(rows),
                    ..
                }) => rows,
                other => panic!("{other:?}"),
            }
        }

        fn kept(&self) -> usize {
            self.kept.load(Ordering::SeqCst)
        }
    }

    fn change(key: &str, wish: Wish) -> Change {
        Change {
            key: key.to_owned(),
            before: "before".to_owned(),
            now: "now".to_owned(),
            wish,
        }
    }

    fn limit(session: &str, limit: &str, value: u64) -> Change {
        let wish = Wish::Limit {
            session: session.to_owned(),
            limit: limit.to_owned(),
            value,
        };
        change(&format!("session.{session}.risk.{limit}"), wish)
    }

    fn row(strategy: Option<&str>, symbol: &str, limit: &str, value: Option<u64>) -> Change {
        let wish = Wish::Row {
            session: "two".to_owned(),
            strategy: strategy.map(str::to_owned),
            symbol: symbol.to_owned(),
            limit: limit.to_owned(),
            value,
        };
        change(&format!("row.{symbol}.{limit}"), wish)
    }

    #[test]
    fn what_is_tighter_holds_at_once_in_one_table_and_is_the_configuration_from_then_on() {
        let changes = vec![
            change("telemetry.log_level", Wish::Own),
            limit("one", "order_qty_max", 500),
            limit("one", "collar_bps", 100),
            row(None, "A", "order_qty_max", Some(40)),
            row(Some("quotes"), "B*", "order_qty_max", Some(30)),
            row(Some("quotes"), "B*", "open_orders_max", Some(3)),
            row(None, "C", "open_orders_max", Some(2)),
        ];
        let mut bench = bench(vec![Ok(changes), Ok(Vec::new())]);
        let told = bench.reload();
        assert!(told.is_applied && told.is_taken, "{told:?}");
        assert_eq!((told.number, told.refused(), bench.kept()), (2, 0, 1));
        let asked = bench.asked();
        let [Command::Limits(new)] = asked[0][..] else {
            panic!("{asked:?}")
        };
        let now = (
            new.number,
            new.uid,
            new.limits.order_qty_max,
            new.limits.collar_bps,
        );
        assert_eq!(now, (2, 0, Qty(500), 100));
        let rows: Vec<(u8, RowLimits)> = asked[1]
            .iter()
            .map(|command| match command {
                Command::Row(new) => (new.at, new.limits),
                other => panic!("{other:?}"),
            })
            .collect();
        let bare = |owner, symbols| RowLimits {
            owner,
            symbols: Symbols::parse(symbols).unwrap(),
            ..RowLimits::default()
        };
        let expected = [
            RowLimits {
                order_qty_max: Some(Qty(40)),
                ..bare(None, "A")
            },
            RowLimits {
                order_qty_max: Some(Qty(30)),
                open_orders_max: Some(3),
                ..bare(Some(Owner(0)), "B*")
            },
            RowLimits {
                open_orders_max: Some(2),
                ..bare(None, "C")
            },
        ];
        assert_eq!(rows, [0, 1, 2].map(|at| (at, expected[usize::from(at)])));
        let shown = bench.limits();
        assert_eq!(shown[0].order_qty_max, 500);
        let changed = shown[0].changed.iter();
        let values: Vec<_> = changed.map(|it| (it.configured, it.in_force)).collect();
        assert_eq!(values, [(500, 500), (100, 100)]);
        assert_eq!(shown[1].rows.len(), 3);
        // A second time nothing differs, and no stage is asked for anything.
        let again = bench.reload();
        assert!(again.is_applied && again.is_taken, "{again:?}");
        assert_eq!((again.number, bench.asked()), (2, vec![vec![], vec![]]));
    }

    #[test]
    fn one_key_that_cannot_change_keeps_all_others_from_changing() {
        for (refused, why) in [
            (
                change(
                    "layout.kind",
                    Wish::Impossible("needs a restart: cores".to_owned()),
                ),
                "needs a restart: cores",
            ),
            (
                limit("two", "order_qty_max", 2_000),
                "looser than the 1000 in force, and a reload loosens nothing: `tickgate ctl limits set --session two \
                 order_qty_max=2000 --confirm 1` does; then reload",
            ),
            (
                limit("two", "open_orders_max", 41),
                "needs a restart: open_orders_max: 41: expected 1 to 40: the memory that the start has set aside",
            ),
            (
                row(None, "A", "order_qty_max", None),
                "looser than the 50 in force, and a reload loosens nothing: `tickgate ctl limits set --session two --symbol 'A' \
                 order_qty_max=none --confirm 1` does; then reload",
            ),
            (
                row(Some("gone"), "A", "order_qty_max", Some(1)),
                "needs a restart: there is no such strategy",
            ),
        ] {
            let good = [
                limit("one", "order_qty_max", 500),
                row(None, "A", "order_qty_max", Some(40)),
            ];
            let users = change("control.users", Wish::Users(vec![1_001]));
            let mut changes = good.to_vec();
            changes.extend([users, refused.clone()]);
            let mut bench = bench(vec![Ok(changes)]);
            let told = bench.reload();
            assert!(!told.is_applied && !told.is_taken, "{told:?}");
            let refusals = told
                .changes
                .iter()
                .filter_map(|it| Some((&it.key, it.refused.as_deref()?)));
            assert_eq!(refusals.collect::<Vec<_>>(), [(&refused.key, why)]);
            assert_eq!((bench.kept(), bench.asked()), (0, vec![vec![], vec![]]));
            let shown = bench.limits();
            assert_eq!((shown[0].number, shown[0].order_qty_max), (1, 1_000));
            assert!(shown[0].changed.is_empty());
            assert!(
                bench
                    .console
                    .on_peer(Peer { uid: 1_001, pid: 1 }, NOW)
                    .is_err()
            );
            assert_eq!(bench.console.counters().control_refused.get(), 1);
        }
    }

    #[test]
    fn configuration_that_is_wrong_changes_nothing_and_each_fault_is_told() {
        let faults = vec!["a: x".to_owned(), "b: y".to_owned()];
        let mut bench = bench(vec![Err(faults.clone())]);
        let told = bench.reload();
        assert_eq!((told.is_applied, told.faults), (false, faults));
        assert_eq!((bench.kept(), bench.asked()), (0, vec![vec![], vec![]]));
    }

    #[test]
    fn limit_that_an_operator_has_loosened_to_what_the_configuration_says_by_now_is_kept() {
        let looser = || Ok(vec![limit("one", "order_qty_max", 2_000)]);
        let mut bench = bench(vec![looser(), looser()]);
        assert!(!bench.reload().is_applied);
        let typed =
            r#"{"set-limits":{"session":"one","limits":{"order_qty_max":2000},"confirm":1}}"#;
        assert!(matches!(bench.ask(typed), Reply::Later(_)));
        bench.asked();
        let told = bench.reload();
        assert!(told.is_applied, "{told:?}");
        assert_eq!((bench.kept(), bench.asked()), (1, vec![vec![], vec![]]));
        let shown = bench.limits();
        assert_eq!(shown[0].changed[0].configured, 2_000);
    }

    #[test]
    fn limit_that_an_operator_has_tightened_further_is_not_loosened_by_a_tighter_configuration() {
        let mut bench = bench(vec![Ok(vec![limit("one", "order_qty_max", 800)])]);
        bench.ask(r#"{"set-limits":{"session":"one","limits":{"order_qty_max":300}}}"#);
        bench.asked();
        let told = bench.reload();
        let why = told.changes[0].refused.as_deref().unwrap();
        assert!(why.starts_with("looser than the 300 in force"), "{why}");
        assert_eq!(bench.limits()[0].order_qty_max, 300);
    }

    #[test]
    fn more_commands_than_a_session_has_room_for_are_refused_and_none_is_done() {
        let symbols = ["C", "D", "E", "F", "G"];
        let changes: Vec<Change> = symbols
            .iter()
            .map(|it| row(None, it, "open_orders_max", Some(2)))
            .collect();
        assert!(changes.len() > ROOM);
        let mut bench = bench(vec![Ok(changes)]);
        let Reply::Now(answer) = bench.ask("\"reload\"") else {
            panic!("it is refused at once")
        };
        let Body::Refused(refused) = answer.answer else {
            panic!("{answer:?}")
        };
        assert!(
            refused
                .error
                .contains("session two takes 4 commands now and 5 are needed"),
            "{refused:?}"
        );
        assert_eq!((bench.kept(), bench.asked()), (0, vec![vec![], vec![]]));
        assert_eq!(bench.limits()[1].rows.len(), 1);
    }

    #[test]
    fn users_of_the_configuration_may_ask_from_now_on_and_others_no_more() {
        let users = |uids: &[u32]| Ok(vec![change("control.users", Wish::Users(uids.to_vec()))]);
        let mut bench = bench(vec![users(&[1_001]), users(&[])]);
        for may in [true, false] {
            assert!(bench.reload().is_applied);
            let peer = Peer { uid: 1_001, pid: 1 };
            assert_eq!(bench.console.on_peer(peer, NOW).is_ok(), may);
        }
    }

    #[test]
    fn signal_reloads_as_the_gateways_own_user() {
        let mut bench = bench(vec![Ok(vec![limit("one", "order_qty_max", 500)])]);
        let wait = bench.console.on_hangup(NOW);
        assert!(wait.is_some());
        let asked = bench.asked();
        let [Command::Limits(new)] = asked[0][..] else {
            panic!("{asked:?}")
        };
        assert_eq!(new.uid, Peer::own().uid);
        let gone = Control::default();
        let mut console = Console::new(gone, Allowed::with(&[]), NOW);
        assert!(console.on_hangup(NOW).is_none(), "there is nothing to read");
    }
}
