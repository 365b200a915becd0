//! What differs between two configurations, and what a running gateway can make of it.
//!
//! ```text
//!  settings in force ──┐
//!                      ├──> differences: key, before, now, and what a reload does about it
//!  settings read anew ─┘
//! ```
//!
//! Invariants:  a configuration differs from itself in nothing, and from another one in something. Each key of the schema has one line
//!              in [`KEYS`]; a key without one needs a restart. No password is in a difference.
//! Not here:    whether a limit may be looser than it was; who knows what is in force judges that.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use crate::settings::{LimitRow, Settings};

/// A key whose value is another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The key.
    pub key: String,
    /// What was; `none`: nothing.
    pub before: String,
    /// What is now.
    pub now: String,
    /// What a reload makes of it.
    pub reload: Reload,
}

/// What a reload makes of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reload {
    /// A limit of a session is this, in the configuration's units; yes is 1.
    Limit {
        /// The session.
        session: String,
        /// The limit's name.
        limit: String,
        /// Its value.
        value: u64,
    },
    /// A limit of a row of a session is this; `None`: it is the session's.
    Row {
        /// The session.
        session: String,
        /// The strategy; `*`: every one.
        strategy: String,
        /// The symbols.
        symbol: String,
        /// The limit's name.
        limit: String,
        /// Its value.
        value: Option<u64>,
    },
    /// Other users may ask.
    Users,
    /// The log has other lines.
    LogLevel,
    /// Nothing, while the gateway runs: why.
    Restart(&'static str),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            key, before, now, ..
        } = self;
        write!(f, "{key}: {before} -> {now}")?;
        match self.reload {
            Reload::Restart(why) => write!(f, ": needs a restart: {why}"),
            _ => Ok(()),
        }
    }
}

/// What can be done about a key, or about all keys below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Limit,
    Rows,
    Users,
    LogLevel,
    Restart(&'static str),
}

use Class::{Limit, Restart};

const CORES: &str = "cores and their memory are made at the start";
const REPORTS: &str = "where reports go is settled at the start";
const OPENED: &str = "it is opened at the start";
const FEED: &str = "a feed, its sockets and its books are made at the start";
const SESSION: &str = "a session is made at the start";
const LOGIN: &str = "who logs in, and the password, are read at the start";
const STRATEGY: &str = "a strategy is made at the start";
const DAY: &str = "the day begins with it";
const HELD: &str = "the account is judged by it from the start, and no command changes it";
/// Of a key that this file does not know, and of a section that is there in one of the two only.
const UNKNOWN: &str = "it is read at the start";
const SECTION: &str = "what there is is settled at the start";

/// Every key, or the section that it stands in; `*` is any name.
const KEYS: &[(&str, Class)] = &[
    ("host", Restart(CORES)),
    ("layout", Restart(CORES)),
    ("rings", Restart(CORES)),
    ("telemetry.log_level", Class::LogLevel),
    ("telemetry.json", Restart(REPORTS)),
    ("telemetry.hgrm_dir", Restart(REPORTS)),
    ("telemetry.table", Restart(REPORTS)),
    ("telemetry.warm_up_ms", Restart(REPORTS)),
    ("telemetry.slow_orders", Restart(REPORTS)),
    ("journal", Restart(OPENED)),
    (
        "sandbox",
        Restart("what was given up at the start does not come back"),
    ),
    ("control.socket", Restart(OPENED)),
    ("control.mode", Restart(OPENED)),
    ("control.users", Class::Users),
    ("feed", Restart(FEED)),
    (
        "account",
        Restart("what sessions may have together is settled at the start"),
    ),
    ("session.*.address", Restart(SESSION)),
    ("session.*.backup_addresses", Restart(SESSION)),
    ("session.*.username", Restart(LOGIN)),
    ("session.*.password_file", Restart(LOGIN)),
    ("session.*.password_credential", Restart(LOGIN)),
    ("session.*.password", Restart(LOGIN)),
    ("session.*.session", Restart(LOGIN)),
    ("session.*.server_timeout_ms", Restart(SESSION)),
    ("session.*.answer_timeout_ms", Restart(SESSION)),
    ("session.*.submit", Restart(SESSION)),
    ("session.*.interface", Restart(SESSION)),
    ("session.*.queue", Restart(SESSION)),
    ("session.*.zero_copy", Restart(SESSION)),
    ("session.*.require", Restart(SESSION)),
    ("session.*.sqpoll_idle_ms", Restart(SESSION)),
    ("session.*.sqpoll_cpu", Restart(SESSION)),
    ("session.*.busy_poll_us", Restart(SESSION)),
    ("session.*.found_orders", Restart(SESSION)),
    ("session.*.account", Restart(SESSION)),
    ("session.*.risk.order_qty_max", Limit),
    ("session.*.risk.notional_max_dollars", Limit),
    ("session.*.risk.collar_bps", Limit),
    ("session.*.risk.position_max", Limit),
    ("session.*.risk.open_orders_max", Limit),
    ("session.*.risk.orders_per_second_max", Limit),
    ("session.*.risk.gross_exposure_max_dollars", Limit),
    ("session.*.risk.net_exposure_max_dollars", Limit),
    ("session.*.risk.loss_max_dollars", Limit),
    ("session.*.risk.cancels_per_second_max", Limit),
    ("session.*.risk.rejects_max", Limit),
    ("session.*.risk.reject_window_ms", Limit),
    ("session.*.risk.allow_self_cross", Limit),
    ("session.*.risk.intent_age_max_ms", Limit),
    ("session.*.risk.limit", Class::Rows),
    ("session.*.risk.duplicate_window_ms", Restart(HELD)),
    ("session.*.risk.trading_hours", Restart(HELD)),
    ("session.*.risk.time_zone", Restart(HELD)),
    ("session.*.risk.restricted", Restart(HELD)),
    ("session.*.risk.no_short", Restart(HELD)),
    ("session.*.risk.positions_file", Restart(DAY)),
    ("session.*.risk.start_killed", Restart(DAY)),
    ("strategy", Restart(STRATEGY)),
];

/// Tables whose members have names of the operator's, with what stands before the name.
const MEMBERS: [&str; 5] = ["feed", "account", "session", "strategy", "layout.core"];

/// In which keys `now` is another configuration than `before`, in the order of their names.
#[must_use]
pub fn differences(before: &Settings, now: &Settings) -> Vec<Difference> {
    let mut found = Vec::new();
    // Text, numbers, lists and tables with text as keys: nothing that JSON does not have.
    let (old, new) = (
        serde_json::to_value(before).unwrap_or_default(),
        serde_json::to_value(now).unwrap_or_default(),
    );
    walk("", Some(&old), Some(&new), &mut found);
    for (name, session) in &now.session {
        if let Some(old) = before.session.get(name) {
            rows(name, &old.risk.limit, &session.risk.limit, &mut found);
        }
    }
    passwords(before, now, &mut found);
    found.sort_by(|a, b| a.key.cmp(&b.key));
    found
}

/// Every key below this one that has another value.
fn walk(key: &str, before: Option<&Value>, now: Option<&Value>, found: &mut Vec<Difference>) {
    if before == now {
        return;
    }
    let (class, wildcard) = class_of(key);
    if class == Class::Rows {
        return;
    }
    if let (Some(Value::Object(old)), Some(Value::Object(new))) = (before, now) {
        let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for name in names {
            let key = if key.is_empty() {
                name.clone()
            } else {
                format!("{key}.{name}")
            };
            walk(&key, old.get(name), new.get(name), found);
        }
        return;
    }
    let table = key.rsplit_once('.').map(|(table, _)| table);
    let reload = match (class, wildcard, now) {
        _ if MEMBERS.iter().any(|it| table == Some(*it)) => Reload::Restart(SECTION),
        (Limit, Some(session), Some(value)) => match number(value) {
            Some(value) => Reload::Limit {
                session: session.to_owned(),
                limit: key.rsplit('.').next().unwrap_or_default().to_owned(),
                value,
            },
            None => Reload::Restart(UNKNOWN),
        },
        (Class::Users, ..) => Reload::Users,
        (Class::LogLevel, ..) => Reload::LogLevel,
        (Restart(why), ..) => Reload::Restart(why),
        (Limit | Class::Rows, ..) => Reload::Restart(UNKNOWN),
    };
    found.push(Difference {
        key: key.to_owned(),
        before: shown(before),
        now: shown(now),
        reload,
    });
}

/// The line of [`KEYS`] for a key, and what stands there for its `*`.
fn class_of(key: &str) -> (Class, Option<&str>) {
    let line = KEYS.iter().find_map(|(pattern, class)| {
        let mut name = None;
        let mut parts = key.split('.');
        for wanted in pattern.split('.') {
            let part = parts.next()?;
            if wanted == "*" {
                name = Some(part);
            } else if wanted != part {
                return None;
            }
        }
        Some((*class, name))
    });
    line.unwrap_or((Restart(UNKNOWN), None))
}

fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_bool().map(u64::from))
}

/// A value as a configuration has it; a section by that alone.
fn shown(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "none".to_owned(),
        Some(Value::Object(_)) => "a section".to_owned(),
        Some(value) => value.to_string(),
    }
}

/// Rows of limits: which are for the same strategy and symbols is what counts, not where they stand.
fn rows(session: &str, before: &[LimitRow], now: &[LimitRow], found: &mut Vec<Difference>) {
    let (before, now) = (limits(before), limits(now));
    let keys: BTreeSet<&Place<'_>> = before.keys().chain(now.keys()).collect();
    for place in keys {
        let (old, new) = (before.get(place).copied(), now.get(place).copied());
        if old == new {
            continue;
        }
        let Place {
            strategy,
            symbol,
            limit,
        } = *place;
        let word = |it: Option<u64>| it.map_or_else(|| "none".to_owned(), |it| it.to_string());
        found.push(Difference {
            key: format!("session.{session}.risk.limit({strategy}, {symbol}).{limit}"),
            before: word(old),
            now: word(new),
            reload: Reload::Row {
                session: session.to_owned(),
                strategy: strategy.to_owned(),
                symbol: symbol.to_owned(),
                limit: limit.to_owned(),
                value: new,
            },
        });
    }
}

/// Which limit of which row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place<'a> {
    strategy: &'a str,
    symbol: &'a str,
    limit: &'a str,
}

/// Each limit of some rows. Several rows for the same are one, as tight as the tightest of them.
fn limits(rows: &[LimitRow]) -> BTreeMap<Place<'_>, u64> {
    let mut limits = BTreeMap::new();
    for row in rows {
        for (limit, value) in row.limits() {
            let place = Place {
                strategy: &row.strategy,
                symbol: &row.symbol,
                limit,
            };
            if let Some(value) = value {
                let tightest = limits.entry(place).or_insert(value);
                *tightest = value.min(*tightest);
            }
        }
    }
    limits
}

/// Passwords are written nowhere, so that a walk over what is written does not find another one.
fn passwords(before: &Settings, now: &Settings, found: &mut Vec<Difference>) {
    let mut compare = |key: String, old: &str, new: &str| {
        if !old.is_empty() && !new.is_empty() && old != new {
            found.push(Difference {
                key,
                before: "(hidden)".to_owned(),
                now: "(another one)".to_owned(),
                reload: Reload::Restart(LOGIN),
            });
        }
    };
    for (name, session) in &now.session {
        if let Some(old) = before.session.get(name) {
            let key = format!("session.{name}.password");
            compare(key, &old.password, &session.password);
        }
    }
    for (name, feed) in &now.feed {
        if let Some(old) = before.feed.get(name) {
            let key = format!("feed.{name}.snapshot.password");
            compare(key, &old.snapshot.password, &feed.snapshot.password);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;
    use serde_json::json;

    use super::*;
    use crate::{Layers, schema};

    /// A configuration with something in every section.
    fn settings() -> Settings {
        let first = include_str!("../first.toml").replace(
            "password_file = \"/etc/tickgate/ouch.password\"",
            "password = \"secret\"\naccount = \"firm\"",
        );
        let text = format!(
            "{first}\n[[session.ouch.risk.limit]]\nstrategy = \"quotes\"\norder_qty_max = 10\n\
             [[session.ouch.risk.limit]]\nsymbol = \"ZV*\"\nopen_orders_max = 5\nposition_max = 6\n\
             [account.firm.risk]\nposition_max = 5000\nopen_orders_max = 100\norders_per_second_max = 1000\n\
             gross_exposure_max_dollars = 1000000\nnet_exposure_max_dollars = 500000\nloss_max_dollars = 10000\n\
             [feed.nasdaq.snapshot]\nservers = [\"10.0.0.1:1\"]\nusername = \"u\"\npassword = \"hushed\"\n\
             [layout]\nkind = \"cores\"\n[layout.core.one]\ncpu = 1\n\
             runs = [\"feed.nasdaq\", \"strategy.quotes\", \"session.ouch\"]\n"
        );
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tickgate.toml");
        std::fs::write(&file, text).unwrap();
        let layers = Layers {
            file: Some(file),
            cpus: vec![0, 1],
            ..Layers::default()
        };
        layers.load().unwrap().settings
    }

    /// Each key of a table of the schema; `*` is a name of the operator's.
    fn keys(table: &Value, path: &str, found: &mut Vec<String>) {
        let below = |name: &str| match path {
            "" => name.to_owned(),
            path => format!("{path}.{name}"),
        };
        if let Some(keys_here) = table["properties"].as_object() {
            for (name, key) in keys_here {
                keys(key, &below(name), found);
            }
        } else if table["additionalProperties"]["properties"].is_object() {
            keys(&table["additionalProperties"], &below("*"), found);
        } else {
            found.push(path.to_owned());
        }
    }

    #[test]
    fn each_key_of_the_schema_has_one_line_and_each_line_has_a_key() {
        let mut found = Vec::new();
        keys(&schema(), "", &mut found);
        assert!(
            found.iter().any(|key| key == "layout.core.*.cpu"),
            "{found:?}"
        );
        let is_below = |key: &str, line: &str| {
            let parts = key.split('.').zip(line.split('.'));
            key.split('.').count() >= line.split('.').count()
                && parts.into_iter().all(|(a, b)| a == b)
        };
        for key in &found {
            let lines = KEYS.iter().filter(|(line, _)| is_below(key, line));
            assert_eq!(
                lines.count(),
                1,
                "{key}: a line of KEYS says whether a reload changes it"
            );
            assert_ne!(class_of(key).0, Restart(UNKNOWN), "{key}");
        }
        for (line, _) in KEYS {
            assert!(
                found.iter().any(|key| is_below(key, line)),
                "{line}: no such key"
            );
        }
    }

    /// Every value that is no table, with the way to it.
    fn leaves(value: &Value, path: &[&str], found: &mut Vec<Vec<String>>) {
        match value {
            Value::Object(table) if !table.is_empty() => {
                for (name, value) in table {
                    leaves(value, &[path, &[name.as_str()]].concat(), found);
                }
            }
            _ => found.push(path.iter().map(|it| (*it).to_owned()).collect()),
        }
    }

    /// What stands in a place of a configuration instead of its value: the first that the types take.
    fn changed(settings: &Value, place: &[String]) -> Value {
        let words = [
            "udp",
            "af_xdp",
            "iex",
            "nasdaq",
            "all",
            "write",
            "enter",
            "delegated",
            "keep",
            "adopt",
            "own",
            "events",
            "shared",
            "none",
            "full",
            "log",
            "csv",
            "native",
            "generic",
            "batch",
            "pipeline",
            "debug",
            "0660",
            "10.9.8.7:6",
        ];
        let candidates = words.map(|word| json!(word));
        let more = [
            json!(null),
            json!(true),
            json!(false),
            json!(7),
            json!([]),
            json!([1]),
            json!(["a"]),
            json!(["10.9.8.7:6"]),
            json!([{"symbol": "A", "order_qty_max": 1}]),
            json!({"x": 1}),
        ];
        for candidate in candidates.into_iter().chain(more) {
            let mut all = settings.clone();
            let spot = place.iter().fold(&mut all, |at, name| &mut at[name]);
            if *spot == candidate {
                continue;
            }
            *spot = candidate;
            let [read, before] = [&all, settings].map(|it| Settings::deserialize(it.clone()));
            if read.is_ok_and(|read| read != before.unwrap()) {
                return all;
            }
        }
        panic!("{place:?}: no other value is known here");
    }

    /// Whether a difference is of this place.
    fn is_of(difference: &Difference, place: &str) -> bool {
        let rest = difference.key.strip_prefix(place);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '(']))
    }

    #[test]
    fn key_with_another_value_is_found_under_its_name_and_no_other_is() {
        let before = serde_json::to_value(settings()).unwrap();
        let mut places = Vec::new();
        leaves(&before, &[], &mut places);
        assert!(places.len() > 100, "{}", places.len());
        let settings = Settings::deserialize(before.clone()).unwrap();
        for place in places {
            let now = Settings::deserialize(changed(&before, &place)).unwrap();
            let found = differences(&settings, &now);
            let key = place.join(".");
            assert!(!found.is_empty(), "{key}");
            for difference in &found {
                assert!(is_of(difference, &key), "{key}: {difference}");
                let unknown = [Reload::Restart(UNKNOWN), Reload::Restart(SECTION)];
                assert!(!unknown.contains(&difference.reload), "{difference}");
            }
        }
    }

    proptest! {
        #[test]
        fn differences_are_of_what_was_changed_and_there_are_none_to_itself(
            chosen in prop::collection::vec(any::<prop::sample::Index>(), 0..12)
        ) {
            let before = serde_json::to_value(settings()).unwrap();
            let mut places = Vec::new();
            leaves(&before, &[], &mut places);
            let chosen: BTreeSet<usize> = chosen.iter().map(|it| it.index(places.len())).collect();
            let mut now = before.clone();
            for at in &chosen {
                now = changed(&now, &places[*at]);
            }
            let [before, now] = [before, now].map(|it| Settings::deserialize(it).unwrap());
            prop_assert_eq!(differences(&now, &now), []);
            let found = differences(&before, &now);
            for at in &chosen {
                let key = places[*at].join(".");
                prop_assert!(found.iter().any(|it| is_of(it, &key)), "{}", key);
            }
            for difference in &found {
                let mut keys = chosen.iter().map(|at| places[*at].join("."));
                prop_assert!(keys.any(|key| is_of(difference, &key)), "{}", difference);
            }
        }
    }

    fn lines(change: impl FnOnce(&mut Settings)) -> Vec<String> {
        let before = settings();
        let mut now = before.clone();
        change(&mut now);
        let found = differences(&before, &now);
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_needs_a_restart_says_so_by_name() {
        let found = lines(|it| {
            it.layout.core.get_mut("one").unwrap().cpu = Some(0);
            it.session.get_mut("ouch").unwrap().risk.collar_bps = 400;
            it.telemetry.json = "report.json".to_owned();
        });
        assert_eq!(
            found,
            [
                "layout.core.one.cpu: 1 -> 0: needs a restart: cores and their memory are made at the start",
                "session.ouch.risk.collar_bps: 500 -> 400",
                "telemetry.json: \"\" -> \"report.json\": needs a restart: where reports go is settled at the start",
            ]
        );
    }

    #[test]
    fn another_password_is_a_difference_that_shows_neither() {
        let found = lines(|it| {
            it.session.get_mut("ouch").unwrap().password = "sesame".to_owned();
            it.feed.get_mut("nasdaq").unwrap().snapshot.password = "open".to_owned();
        });
        assert_eq!(found.len(), 2, "{found:?}");
        for (line, key) in found
            .iter()
            .zip(["feed.nasdaq.snapshot.password", "session.ouch.password"])
        {
            assert!(
                line.starts_with(&format!("{key}: (hidden) -> (another one)")),
                "{line}"
            );
        }
        let found = lines(|it| it.session.get_mut("ouch").unwrap().password.clear());
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(!found[0].contains("secret"), "{found:?}");
    }

    #[test]
    fn section_that_comes_or_goes_is_one_difference() {
        let found = lines(|it| {
            let twin = it.session["ouch"].clone();
            it.session.insert("twin".to_owned(), twin);
            it.layout.core.clear();
        });
        let expected = [
            "layout.core: a section -> none",
            "session.twin: none -> a section",
        ];
        assert_eq!(found.len(), 2, "{found:?}");
        for (line, expected) in found.iter().zip(expected) {
            assert!(line.starts_with(expected), "{line}");
            assert!(line.contains("needs a restart"), "{line}");
        }
    }

    #[test]
    fn rows_are_compared_by_whom_they_are_for_and_not_by_their_place() {
        let of = |it: &mut Settings, change: fn(&mut Vec<LimitRow>)| {
            change(&mut it.session.get_mut("ouch").unwrap().risk.limit);
        };
        assert_eq!(lines(|it| of(it, |rows| rows.reverse())), [""; 0]);
        let found = lines(|it| {
            of(it, |rows| {
                let mut added = rows.remove(0);
                "B".clone_into(&mut added.symbol);
                rows.push(added);
                rows[0].position_max = Some(3);
            });
        });
        assert_eq!(
            found,
            [
                "session.ouch.risk.limit(*, ZV*).position_max: 6 -> 3",
                "session.ouch.risk.limit(quotes, *).order_qty_max: 10 -> none",
                "session.ouch.risk.limit(quotes, B).order_qty_max: none -> 10",
            ]
        );
    }
}
