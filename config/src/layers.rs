//! Layers of configuration and where each value came from.
//!
//! ```text
//!  default.toml (and its templates, once for each name) < file < conf.d/*.toml < environment < --set
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use config::{Config, FileFormat};
use serde_json::Value;
use toml::Table;

use crate::settings::{AccountRisk, Risk, Settings};
use crate::{advice, check};

pub(crate) const DEFAULTS: &str = include_str!("../default.toml");
/// Environment variables that are ours: `TICKGATE__SECTION__KEY`.
const PREFIX: &str = "TICKGATE__";
/// Tables whose members have names of the operator's.
pub(crate) const NAMED: [&str; 4] = ["feed", "account", "session", "strategy"];

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `default.toml`.
    Default,
    /// A file.
    File(PathBuf),
    /// An environment variable.
    Environment(String),
    /// `--set`.
    CommandLine,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment(name) => f.write_str(name),
            Self::CommandLine => f.write_str("--set"),
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where it was set.
    pub origin: String,
    /// The key, or the file for a fault of the file itself.
    pub key: String,
    /// What was found and what would be right.
    pub text: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_empty() {
            return write!(f, "{}: {}", self.origin, self.text);
        }
        write!(f, "{}: {}: {}", self.origin, self.key, self.text)
    }
}

/// What to read.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// The file; none: defaults, environment and `--set` only.
    pub file: Option<PathBuf>,
    /// Environment variables; those that are text.
    pub environment: Vec<(String, String)>,
    /// `--set key=value`, in order.
    pub sets: Vec<String>,
    /// CPUs that exist for this process.
    pub cpus: Vec<usize>,
}

/// Settings with the origin of each value.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings, checked.
    pub settings: Settings,
    warnings: Vec<Fault>,
    values: BTreeMap<String, (String, Origin)>,
}

impl Loaded {
    /// What is allowed, and slow or thin, each with its price.
    #[must_use]
    pub fn warnings(&self) -> &[Fault] {
        &self.warnings
    }

    /// Each key with its value and where it came from, in order. Passwords are not shown.
    pub fn effective(&self) -> impl Iterator<Item = (&str, &str, &Origin)> {
        self.values
            .iter()
            .map(|(key, (value, origin))| (key.as_str(), value.as_str(), origin))
    }
}

impl Layers {
    /// Reads, merges and checks.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn load(&self) -> Result<Loaded, Vec<Fault>> {
        let mut layers = self.read().map_err(|fault| vec![fault])?;
        let (settings, mut origins) = loop {
            let merged = merge(&layers).map_err(|fault| vec![fault])?;
            let origins = origins(&layers);
            let missing = missing_limits(&merged, &origins);
            if !missing.is_empty() {
                return Err(missing);
            }
            match serde_path_to_error::deserialize::<_, Settings>(merged) {
                Ok(settings) => break (settings, origins),
                // Each round turns one value into text, so there are as many as values at most.
                Err(error) if self.take_as_text(&mut layers, &error) => {}
                Err(error) => return Err(vec![typed_fault(&error, &origins)]),
            }
        };
        let faults = check::check(&settings, &self.cpus);
        let with_origin = |(key, text): (String, String)| {
            let origin = origin_of(&origins, &key);
            Fault { origin, key, text }
        };
        if !faults.is_empty() {
            return Err(faults.into_iter().map(with_origin).collect());
        }
        let warnings = advice::warnings(&settings, &self.cpus);
        let warnings = warnings.into_iter().map(with_origin).collect();
        for (key, (value, _)) in &mut origins {
            if key.ends_with(".password") && value.len() > 2 {
                "\"(hidden)\"".clone_into(value);
            }
        }
        Ok(Loaded {
            settings,
            warnings,
            values: origins,
        })
    }

    /// Outside of files text has no quotes: where text is wanted, what looks like a number is text.
    fn take_as_text(
        &self,
        layers: &mut [(Origin, Table)],
        error: &serde_path_to_error::Error<serde_json::Error>,
    ) -> bool {
        if !error.inner().to_string().ends_with("expected a string") {
            return false;
        }
        let key = error.path().to_string();
        let is_set = |table: &Table| {
            let found = flatten(table).into_iter().find(|(other, _)| *other == key);
            found.is_some_and(|(_, value)| !value.starts_with(['"', '\'']))
        };
        let Some((origin, table)) = layers.iter_mut().rev().find(|(_, table)| is_set(table)) else {
            return false;
        };
        let given = match origin {
            Origin::Environment(name) => {
                let mut all = self.environment.iter();
                all.find(|(other, _)| other == name)
                    .map(|(_, value)| value.as_str())
            }
            Origin::CommandLine => {
                let mut all = self.sets.iter().rev().filter_map(|set| set.split_once('='));
                all.find(|(other, _)| other.trim() == key)
                    .map(|(_, value)| value.trim())
            }
            Origin::Default | Origin::File(_) => None,
        };
        let text = given.map(|given| toml::Value::String(given.to_owned()));
        text.is_some_and(|text| {
            *table = nest(&key, text);
            true
        })
    }

    /// Every layer as a table, the weakest first.
    fn read(&self) -> Result<Vec<(Origin, Table)>, Fault> {
        let mut layers = Vec::new();
        if let Some(path) = &self.file {
            layers.push((Origin::File(path.clone()), read_file(path)?));
            for path in fragments(path)? {
                let table = read_file(&path)?;
                layers.push((Origin::File(path), table));
            }
        }
        for (name, value) in &self.environment {
            if let Some(key) = name.strip_prefix(PREFIX) {
                let key = key.to_ascii_lowercase().replace("__", ".");
                layers.push((Origin::Environment(name.clone()), nested(&key, value)));
            }
        }
        for set in &self.sets {
            let Some((key, value)) = set.split_once('=') else {
                return Err(Fault {
                    origin: "--set".into(),
                    key: String::new(),
                    // It may be a password.
                    text: "a setting without '=', expected key=value".to_owned(),
                });
            };
            layers.push((Origin::CommandLine, nested(key.trim(), value.trim())));
        }
        let defaults = defaults(&layers)?;
        layers.insert(0, (Origin::Default, defaults));
        Ok(layers)
    }
}

/// `default.toml` with its templates put under each name that the other layers use.
fn defaults(layers: &[(Origin, Table)]) -> Result<Table, Fault> {
    let mut defaults = parse(DEFAULTS, "default.toml")?;
    let Some(toml::Value::Table(templates)) = defaults.remove("template") else {
        return Ok(defaults);
    };
    for section in NAMED {
        let Some(template) = templates.get(section) else {
            continue;
        };
        let names = layers
            .iter()
            .filter_map(|(_, table)| table.get(section).and_then(toml::Value::as_table))
            .flat_map(|members| members.keys().cloned());
        let members = names.map(|name| (name, template.clone())).collect();
        defaults.insert(section.to_owned(), toml::Value::Table(members));
    }
    Ok(defaults)
}

fn read_file(path: &Path) -> Result<Table, Fault> {
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| Fault {
        origin: shown.clone(),
        key: String::new(),
        text: error.to_string(),
    })?;
    parse(&text, &shown)
}

fn parse(text: &str, origin: &str) -> Result<Table, Fault> {
    text.parse::<Table>().map_err(|error| {
        let line = error.span().map_or(1, |span| {
            text.get(..span.start)
                .unwrap_or_default()
                .matches('\n')
                .count()
                + 1
        });
        Fault {
            origin: format!("{origin}:{line}"),
            key: String::new(),
            text: error.message().to_owned(),
        }
    })
}

/// `conf.d/*.toml` beside the file, in the order of their names.
fn fragments(file: &Path) -> Result<Vec<PathBuf>, Fault> {
    let folder = file
        .parent()
        .unwrap_or_else(|| Path::new("."))
        .join("conf.d");
    let fault = |error: std::io::Error| Fault {
        origin: folder.display().to_string(),
        key: String::new(),
        text: format!("{error}; expected a folder that can be listed, or none"),
    };
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        // What stands there may be limits: without them nothing may start.
        Err(error) => return Err(fault(error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry.map_err(fault)?;
        if entry
            .path()
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

/// A table with one value deep inside. The value is TOML where it can be read as that, else text.
fn nested(key: &str, value: &str) -> Table {
    let parsed = format!("x = {value}")
        .parse::<Table>()
        .ok()
        .and_then(|mut t| t.remove("x"));
    nest(
        key,
        parsed.unwrap_or_else(|| toml::Value::String(value.to_owned())),
    )
}

fn nest(key: &str, mut value: toml::Value) -> Table {
    let mut table = Table::new();
    for part in key.rsplit('.') {
        table = Table::from_iter([(part.to_owned(), value)]);
        value = toml::Value::Table(table.clone());
    }
    table
}

fn merge(layers: &[(Origin, Table)]) -> Result<Value, Fault> {
    let mut builder = Config::builder();
    for (_, table) in layers {
        builder = builder.add_source(config::File::from_str(&table.to_string(), FileFormat::Toml));
    }
    let merged = builder.build().and_then(Config::try_deserialize::<Value>);
    merged.map_err(|error| Fault {
        origin: "configuration".into(),
        key: String::new(),
        text: error.to_string(),
    })
}

/// Each key with the value that counts and where it came from.
fn origins(layers: &[(Origin, Table)]) -> BTreeMap<String, (String, Origin)> {
    let mut origins = BTreeMap::new();
    for (origin, table) in layers {
        for (key, value) in flatten(table) {
            origins.insert(key, (value, origin.clone()));
        }
    }
    origins
}

/// Sessions and accounts that lack limits, with all that they lack: limits have no default.
fn missing_limits(merged: &Value, origins: &BTreeMap<String, (String, Origin)>) -> Vec<Fault> {
    let kinds = [
        ("account", AccountRisk::REQUIRED),
        ("session", Risk::REQUIRED),
    ];
    let mut faults = Vec::new();
    for (kind, required) in kinds {
        let members = merged.get(kind).and_then(Value::as_object);
        for (name, member) in members.into_iter().flatten() {
            let risk = member.get("risk");
            let has = |limit: &str| risk.is_some_and(|risk| risk.get(limit).is_some());
            let missing = required.iter().filter(|limit| !has(limit)).copied();
            let missing: Vec<&str> = missing.collect();
            if !missing.is_empty() {
                faults.push(Fault {
                    origin: origin_of(origins, &format!("{kind}.{name}")),
                    key: format!("{kind}.{name}.risk"),
                    text: format!(
                        "no {}: expected every limit of the {kind}, none has a default",
                        missing.join(", ")
                    ),
                });
            }
        }
    }
    faults
}

/// Every leaf with its dotted key, values in TOML's notation. Arrays are leaves.
fn flatten(table: &Table) -> Vec<(String, String)> {
    let mut out = Vec::new();
    for (key, value) in table {
        match value {
            toml::Value::Table(inner) => {
                out.extend(
                    flatten(inner)
                        .into_iter()
                        .map(|(k, v)| (format!("{key}.{k}"), v)),
                );
            }
            leaf => out.push((key.clone(), leaf.to_string())),
        }
    }
    out
}

/// Turns an error of the types into where, which key, which value, what would be right.
fn typed_fault(
    error: &serde_path_to_error::Error<serde_json::Error>,
    origins: &BTreeMap<String, (String, Origin)>,
) -> Fault {
    let mut key = error.path().to_string();
    let mut text = error.inner().to_string();
    if let Some(unknown) = text
        .strip_prefix("unknown field `")
        .and_then(|t| t.split('`').next())
    {
        if !key.ends_with(unknown) {
            key = if key == "." {
                unknown.to_owned()
            } else {
                format!("{key}.{unknown}")
            };
        }
        // Its value stays untold: it may be a password whose key is misspelt.
        text = text.replacen("unknown field", "unknown key", 1);
    } else if key.ends_with(".password") {
        // Neither the value nor serde's sentence, which repeats it.
        "expected text in quotes".clone_into(&mut text);
    } else if let Some((value, _)) = origins.get(&key) {
        text = format!("{value}: {text}");
    }
    Fault {
        origin: origin_of(origins, &key),
        key,
        text,
    }
}

/// The origin of a key, or of the nearest thing below or above it.
fn origin_of(origins: &BTreeMap<String, (String, Origin)>, key: &str) -> String {
    let mut prefix = key;
    loop {
        let inside = |other: &str| {
            other == prefix
                || other
                    .strip_prefix(prefix)
                    .is_some_and(|rest| rest.starts_with(['.', '[']))
        };
        let best = origins
            .iter()
            .filter(|(other, _)| inside(other))
            .map(|(_, (_, origin))| origin)
            .max_by_key(|origin| **origin != Origin::Default);
        match (best, prefix.rfind(['.', '['])) {
            (Some(origin), _) => return origin.to_string(),
            (None, Some(dot)) => prefix = prefix.get(..dot).unwrap_or_default(),
            (None, None) => return "configuration".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        [feed.nasdaq]
        lines = [{ address = "233.54.12.111:26477", interface = "ens1" }]
        gap_timeout_us = 0
        [session.ouch]
        address = "127.0.0.1:12000"
        username = "user"
        password = "secret"
        [session.ouch.risk]
        order_qty_max = 1000
        notional_max_dollars = 100000
        collar_bps = 500
        position_max = 5000
        open_orders_max = 100
        orders_per_second_max = 1000
        gross_exposure_max_dollars = 1000000
        net_exposure_max_dollars = 500000
        loss_max_dollars = 10000
        [strategy.p]
        kind = "probe"
        feed = "nasdaq"
        session = "ouch"
    "#;

    fn load(text: &str, change: impl FnOnce(&Path, &mut Layers)) -> Result<Loaded, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tickgate.toml");
        std::fs::write(&file, text).unwrap();
        let mut layers = Layers {
            file: Some(file),
            cpus: vec![0, 1],
            ..Layers::default()
        };
        change(folder.path(), &mut layers);
        layers.load().map_err(|faults| {
            let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
            lines
                .join("\n")
                .replace(folder.path().to_str().unwrap(), "DIR")
        })
    }

    fn fault(text: &str) -> String {
        load(text, |_, _| ()).unwrap_err()
    }

    #[test]
    fn later_layers_win_and_say_who_they_are() {
        let loaded = load(GOOD, |folder, layers| {
            std::fs::create_dir(folder.join("conf.d")).unwrap();
            let fragment = "[rings]\nevents = 8\nintents = 8\nexecutions = 8\n";
            std::fs::write(folder.join("conf.d/10-rings.toml"), fragment).unwrap();
            let name = "TICKGATE__RINGS__INTENTS".to_owned();
            layers.environment = vec![(name, "16".into()), ("OTHER".into(), "1".into())];
            layers.sets = vec![
                "rings.executions=32".into(),
                "host.lock_memory=false".into(),
            ];
        })
        .unwrap();
        let rings = &loaded.settings.rings;
        assert_eq!((rings.events, rings.intents, rings.executions), (8, 16, 32));
        let origin = |key: &str| {
            let found = loaded.effective().find(|(other, _, _)| *other == key);
            found.map(|(_, _, origin)| origin.to_string()).unwrap()
        };
        assert!(origin("rings.events").ends_with("conf.d/10-rings.toml"));
        assert_eq!(origin("rings.intents"), "TICKGATE__RINGS__INTENTS");
        assert_eq!(origin("rings.executions"), "--set");
        assert_eq!(origin("layout.kind"), "default");
        assert_eq!(origin("feed.nasdaq.af_xdp.mode"), "default");
        let shown: Vec<_> = loaded.effective().map(|(_, value, _)| value).collect();
        assert!(!shown.iter().any(|value| value.contains("secret")));
    }

    #[test]
    fn unknown_keys_and_wrong_types_are_refused_with_place_key_and_value() {
        let unknown = fault(&GOOD.replace("gap_timeout_us", "hold_ms"));
        assert!(unknown.starts_with("DIR/tickgate.toml: feed.nasdaq.hold_ms: unknown key"));
        assert!(unknown.contains("`gap_timeout_us`"), "{unknown}");
        let typed = fault(&GOOD.replace("gap_timeout_us = 0", "gap_timeout_us = \"soon\""));
        assert!(
            typed.starts_with(
                "DIR/tickgate.toml: feed.nasdaq.gap_timeout_us: \"soon\": invalid type"
            )
        );
        let syntax = fault("[feed.nasdaq\n");
        assert!(syntax.starts_with("DIR/tickgate.toml:1: "), "{syntax}");
        let variant = fault(&format!("{GOOD}\n[layout]\nkind = \"star\""));
        assert!(
            variant.contains("layout.kind: \"star\": unknown variant"),
            "{variant}"
        );
        assert!(
            variant.contains("`inline`, `pipeline`, `cores`"),
            "{variant}"
        );
    }

    #[test]
    fn impossible_combinations_are_refused() {
        let cases = [
            (
                "[rings]\nevents = 1000",
                "rings.events: 1000: expected a power of two",
            ),
            (
                "[layout]\nrehearse_us = 2000000",
                "layout.rehearse_us: 2000000: expected 0 to 1000000",
            ),
            (
                "[layout]\ncpus = [9]",
                "layout.cpus: 9: no such CPU, expected one of 0, 1",
            ),
            (
                "[feed.p]\nlines = [{ address = \"127.0.0.1:1\", interface = \"a\" }]",
                "name",
            ),
        ];
        for (more, expected) in cases {
            let found = fault(&format!("{GOOD}\n{more}"));
            assert!(found.contains(expected), "{found}");
        }
        let line = "{ address = \"233.54.12.111:26477\", interface = \"ens1\" }";
        let found = fault(&GOOD.replace(line, &format!("{line}, {line}")));
        let expected =
            "feed.nasdaq.lines: 233.54.12.111:26477 is there twice: expected each line once";
        assert!(found.contains(expected), "{found}");
        let found = fault(&GOOD.replace("gap_timeout_us = 0", "books.order_pages_max = 32768"));
        assert!(found.contains("order_pages_max"), "{found}");
        let found = fault(&GOOD.replace("feed = \"nasdaq\"", "feed = \"other\""));
        assert!(found.contains("strategy.p.feed: \"other\": no such feed, expected one of nasdaq"));
        let found = fault(&GOOD.replace("\"probe\"", "\"probe\"\nsymbols = [\"TOOLONGNAME\"]"));
        assert!(found.contains("strategy.p.symbols"), "{found}");
    }

    #[test]
    fn what_only_delegated_sending_has_is_refused_elsewhere() {
        for key in [
            "require = \"delegated\"",
            "interface = \"eth1\"",
            "queue = 1",
            "zero_copy = true",
        ] {
            let with = |submit: &str| {
                let more = format!("submit = \"{submit}\"\n{key}\nusername");
                GOOD.replace("username", &more)
            };
            let found = fault(&with("enter"));
            let name = key.split(' ').next().unwrap_or_default();
            let expected = format!("session.ouch.{name}: only submit = \"delegated\"");
            assert!(found.contains(&expected), "{found}");
            assert!(load(&with("delegated"), |_, _| ()).is_ok(), "{key}");
        }
    }

    #[test]
    fn dangerous_values_are_refused_with_key_value_and_what_was_expected() {
        let replaced = |from: &str, to: &str| {
            assert!(GOOD.contains(from), "{from}");
            fault(&GOOD.replace(from, to))
        };
        let more = |more: &str| fault(&format!("{GOOD}\n{more}"));
        let session = |more: &str| replaced("username", &format!("{more}\nusername"));
        let other = "[session.other]\naddress = \"127.0.0.1:12000\"\nusername = \"USER\"\n\
                     [session.other.risk]\norder_qty_max = 1\nnotional_max_dollars = 1\n\
                     collar_bps = 1\nposition_max = 1\nopen_orders_max = 1\n\
                     orders_per_second_max = 1\ngross_exposure_max_dollars = 1\n\
                     net_exposure_max_dollars = 1\nloss_max_dollars = 1\n";
        for (found, expected) in [
            (
                replaced("collar_bps = 500", "collar_bps = 4294967295"),
                "session.ouch.risk.collar_bps: 4294967295: expected 1 to 5000",
            ),
            (
                replaced("collar_bps = 500", "collar_bps = 0"),
                "session.ouch.risk.collar_bps: 0: expected 1 to 5000",
            ),
            (
                session("server_timeout_ms = 0"),
                "session.ouch.server_timeout_ms: 0: expected 2000 to 300000",
            ),
            (
                session("server_timeout_ms = 1000"),
                "session.ouch.server_timeout_ms: 1000: expected 2000 to 300000",
            ),
            (
                more("[layout]\ncpus = [1, 1]"),
                "layout.cpus: 1: given twice",
            ),
            (
                more("[host]\nrealtime_priority = 5\n[layout]\nkind = \"pipeline\""),
                "host.realtime_priority: 5: hot cores that are not pinned",
            ),
            (
                more("[feed.nasdaq.udp]\nblock_us = 10"),
                "feed.nasdaq.udp.block_us: 10: orders would wait",
            ),
            (
                session("submit = \"write\"\nbusy_poll_us = 50"),
                "session.ouch.busy_poll_us: 50: submit = \"write\"",
            ),
            (
                session("submit = \"write\"\nsqpoll_cpu = 1"),
                "session.ouch.sqpoll_cpu: only submit = \"sqpoll\"",
            ),
            (
                replaced("kind = \"probe\"", "kind = \"probe\"\nsymbols = [\"A B\"]"),
                "strategy.p.symbols: \"A B\": expected 1 to 8 printable characters",
            ),
            (
                replaced("kind = \"probe\"", "kind = \"probe\"\nsymbols = [\"\"]"),
                "strategy.p.symbols: \"\": expected 1 to 8",
            ),
            (
                more(other),
                "session.ouch.username: \"user\": session.other logs in there as the same user",
            ),
        ] {
            let is_one_line = found.lines().count() == 1;
            assert!(is_one_line && found.contains(expected), "{found}");
        }
    }

    #[test]
    fn recovery_out_of_range_is_refused_with_key_value_and_range() {
        let recovery = |more: &str| fault(&format!("{GOOD}\n[feed.nasdaq.recovery]\n{more}"));
        let snapshot = |more: &str| fault(&format!("{GOOD}\n[feed.nasdaq.snapshot]\n{more}"));
        let twice = "servers = [\"10.0.0.1:1\", \"10.0.0.1:1\"]";
        let server = "servers = [\"10.0.0.1:1\"]";
        for (found, expected) in [
            (recovery(twice), "recovery.servers: 10.0.0.1:1: given twice"),
            (
                recovery("request_timeout_ms = 0"),
                "recovery.request_timeout_ms: 0: expected 1 to 10000",
            ),
            (
                recovery("give_up_ms = 5"),
                "recovery.give_up_ms: 5: expected at least request_timeout_ms = 20",
            ),
            (
                recovery("messages_max = 15"),
                "recovery.messages_max: 15: expected 16 to 65000",
            ),
            (
                recovery("held_packets_max = 63"),
                "recovery.held_packets_max: 63: expected 64 to 1048576",
            ),
            (
                snapshot(server),
                "snapshot.username: empty: expected a user name, or no servers",
            ),
            (
                snapshot("username = \"toolong\""),
                "snapshot.username: 7 characters: expected at most 6",
            ),
            (
                snapshot("password = \"a\"\npassword_file = \"b\""),
                "snapshot.password_file: password is given too",
            ),
            (
                snapshot("live_messages_max = 3000"),
                "snapshot.live_messages_max: 3000: expected a power of two",
            ),
        ] {
            let is_one_line = found.lines().count() == 1;
            assert!(is_one_line && found.contains(expected), "{found}");
        }
    }

    #[test]
    fn journal_out_of_range_is_refused_with_key_value_and_range() {
        for (line, expected) in [
            (
                "keep_days = 36501",
                "journal.keep_days: 36501: expected 0 to 36500",
            ),
            ("drop_copy_format = \"xml\"", "expected `json` or `csv`"),
        ] {
            let found = fault(&format!("{GOOD}\n[journal]\n{line}"));
            assert!(found.contains(expected), "{found}");
        }
    }

    #[test]
    fn capture_out_of_range_is_refused_with_key_value_and_range() {
        for (given, expected) in [
            (
                "frames = \"some\"",
                "capture.frames: \"some\": unknown variant",
            ),
            ("file_mib = 0", "capture.file_mib: 0: expected 1 to 65536"),
            ("files = 0", "capture.files: 0: expected 1 to 10000"),
            (
                "ring_kib = 32",
                "capture.ring_kib: 32: expected 64 to 1048576",
            ),
            (
                "ring_kib = 96",
                "capture.ring_kib: 96: expected a power of two",
            ),
            (
                "before_frames = 1048577",
                "capture.before_frames: 1048577: expected 0 to 1048576",
            ),
            (
                "after_frames = 0",
                "capture.after_frames: 0: expected 1 to 1048576",
            ),
            ("seconds = 1", "capture.seconds: unknown key"),
        ] {
            let found = fault(&format!("{GOOD}\n[feed.nasdaq.capture]\n{given}"));
            let is_one_line = found.lines().count() == 1;
            assert!(is_one_line && found.contains(expected), "{found}");
        }
        let kept = format!("{GOOD}\n[feed.nasdaq.capture]\nframes = \"gaps\"\nfolder = \"/x\"");
        let capture = &load(&kept, |_, _| ()).unwrap().settings.feed["nasdaq"].capture;
        assert_eq!(
            (capture.frames, capture.folder.as_str()),
            (crate::Frames::Gaps, "/x")
        );
    }

    #[test]
    fn run_that_shall_be_replayed_has_one_core_and_whole_captures_and_no_servers() {
        let kept = "[feed.nasdaq.capture]\nframes = \"all\"\nfolder = \"/c\"\n";
        let one = "[layout]\nkind = \"inline\"\n";
        let servers = "[feed.nasdaq.recovery]\nservers = [\"10.0.0.1:26478\"]\n";
        let loaded = |more: &str| {
            let text = format!("{GOOD}\n[journal]\nreplayable = true\n{more}");
            load(&text, |_, _| ())
        };
        assert!(loaded(&format!("{one}{kept}")).is_ok());
        let pipeline = format!("[layout]\nkind = \"pipeline\"\n{kept}");
        for (more, expected) in [
            (pipeline, "layout.kind: "),
            (one.to_owned(), "feed.nasdaq.capture.frames: "),
            (
                format!("{one}{kept}{servers}"),
                "feed.nasdaq.recovery.servers: ",
            ),
            (
                format!(
                    "{one}{kept}[feed.second]\nlines = [{{ address = \"233.54.12.9:1\", interface = \"x\" }}]\n"
                ),
                "feed: 2 of them",
            ),
        ] {
            let refused = loaded(&more).unwrap_err();
            let line = refused.lines().find(|line| line.contains(expected));
            let line = line.unwrap_or_else(|| panic!("{refused}"));
            assert!(line.contains("journal.replayable is true"), "{line}");
        }
    }

    #[test]
    fn cores_run_each_stage_once_on_a_cpu_of_their_own() {
        let cores = |first: &str, second: &str| {
            format!(
                "{GOOD}\n[layout]\nkind = \"cores\"\n[layout.core.first]\n{first}\n\
                 [layout.core.second]\n{second}\n"
            )
        };
        let (feed, rest) = (
            "runs = [\"feed.nasdaq\"]",
            "runs = [\"strategy.p\", \"session.ouch\"]",
        );
        let on = |cpu: usize, runs: &str| format!("cpu = {cpu}\n{runs}");
        let good = load(&cores(&on(0, feed), &on(1, rest)), |_, _| ()).unwrap();
        let second = &good.settings.layout.core["second"];
        assert_eq!((second.cpu, second.runs.len()), (Some(1), 2));
        load(&cores(feed, rest), |_, _| ()).unwrap();
        for (found, expected) in [
            (
                cores(&on(1, feed), &on(1, rest)),
                "layout.core.second.cpu: 1: layout.core.first has it, expected a CPU of its own",
            ),
            (
                cores(&on(9, feed), rest),
                "layout.core.first.cpu: 9: no such CPU, expected one of 0, 1",
            ),
            (
                cores(feed, "runs = [\"strategy.p\"]"),
                "layout.core: no core runs session.ouch, expected it in the runs of one",
            ),
            (
                cores(
                    feed,
                    "runs = [\"feed.nasdaq\", \"strategy.p\", \"session.ouch\"]",
                ),
                "layout.core.second.runs: \"feed.nasdaq\": layout.core.first runs it, expected it once",
            ),
            (
                cores("runs = [\"feed.nasdaq\", \"feed.b\"]", rest),
                "layout.core.first.runs: \"feed.b\": no such stage, expected one of feed.nasdaq, \
                 strategy.p, session.ouch",
            ),
            (
                cores("runs = []", rest),
                "layout.core.first.runs: nothing, expected at least one stage",
            ),
            (
                cores(feed, rest).replace("\"cores\"", "\"pipeline\""),
                "layout.core.first: given, but layout.kind is another",
            ),
            (
                cores(feed, rest).replace("\"cores\"", "\"cores\"\ncpus = [1]"),
                "layout.cpus: given with layout.kind = \"cores\"",
            ),
            (
                cores(&on(0, feed), rest) + "[host]\nrealtime_priority = 5",
                "host.realtime_priority: 5: hot cores that are not pinned",
            ),
            (
                cores(
                    "runs = [\"feed.nasdaq\", \"strategy.p\"]",
                    "runs = [\"session.ouch\"]",
                ) + "[feed.nasdaq.udp]\nblock_us = 10",
                "feed.nasdaq.udp.block_us: 10: the rest of layout.core.first would wait",
            ),
        ] {
            let found = fault(&found);
            assert!(found.contains(expected), "{found}, not {expected}");
        }
    }

    #[test]
    fn snapshot_password_is_not_shown() {
        let text = format!(
            "{GOOD}\n[feed.nasdaq.snapshot]\nservers = [\"10.0.0.1:1\"]\nusername = \"u\"\npassword = \"secret\"\n"
        );
        let loaded = load(&text, |_, _| ()).unwrap();
        let mut shown = loaded.effective();
        assert!(shown.all(|(_, value, _)| !value.contains("secret")));
    }

    #[test]
    fn pinned_or_inline_cores_may_be_real_time_and_pipelines_may_block() {
        for more in [
            "[host]\nrealtime_priority = 5",
            "[layout]\nkind = \"pipeline\"\n[feed.nasdaq.udp]\nblock_us = 10",
        ] {
            load(&format!("{GOOD}\n{more}"), |_, _| ()).unwrap();
        }
        let alone = load(
            &format!("{GOOD}\n[host]\nrealtime_priority = 5"),
            |_, layers| {
                layers.cpus = vec![0];
            },
        );
        assert!(alone.unwrap_err().contains("host.realtime_priority"));
    }

    #[test]
    fn strategy_that_an_order_could_not_name_is_refused() {
        let with = |count: usize| {
            let strategies: Vec<String> = (1..count)
                .map(|n| {
                    format!(
                        "[strategy.s{n}]\nkind = \"probe\"\nfeed = \"nasdaq\"\nsession = \"ouch\""
                    )
                })
                .collect();
            load(&format!("{GOOD}\n{}", strategies.join("\n")), |_, _| ())
        };
        with(256).unwrap();
        let found = with(257).unwrap_err();
        let expected = "session.ouch: 257 strategies trade on it: expected at most 256";
        assert!(found.contains(expected), "{found}");
    }

    #[test]
    fn session_without_limits_is_refused_with_all_that_it_lacks() {
        let bare = GOOD.replace("notional_max_dollars = 100000", "");
        let found = fault(&bare.replace("collar_bps = 500", ""));
        assert_eq!(
            found,
            "DIR/tickgate.toml: session.ouch.risk: no notional_max_dollars, collar_bps: expected \
             every limit of the session, none has a default"
        );
        let start = GOOD.find("[session.ouch.risk]").unwrap();
        let end = GOOD.find("[strategy.p]").unwrap();
        let found = fault(&format!("{}{}", &GOOD[..start], &GOOD[end..]));
        assert!(
            found.starts_with("DIR/tickgate.toml: session.ouch.risk: no "),
            "{found}"
        );
        assert!(
            Risk::REQUIRED.iter().all(|limit| found.contains(limit)),
            "{found}"
        );
    }

    #[test]
    fn folder_of_fragments_that_cannot_be_listed_is_a_fault() {
        let found = load(GOOD, |folder, _| {
            std::fs::write(folder.join("conf.d"), "not a folder").unwrap();
        });
        let found = found.unwrap_err();
        assert!(found.starts_with("DIR/conf.d: Not a directory"), "{found}");
    }

    #[test]
    fn value_of_a_key_that_nobody_knows_is_not_shown() {
        for misspelt in [
            "pasword = \"sesame\"",
            "passwort = 1234567",
            "Password = [\"sesame\"]",
        ] {
            let found = fault(&GOOD.replace("password = \"secret\"", misspelt));
            let key = misspelt.split(' ').next().unwrap();
            assert!(
                found.starts_with(&format!(
                    "DIR/tickgate.toml: session.ouch.{key}: unknown key"
                )),
                "{found}"
            );
            let is_shown = found.contains("sesame") || found.contains("1234567");
            assert!(!is_shown, "{found}");
        }
        let set = Layers {
            sets: vec!["session.ouch.password sesame".to_owned()],
            ..Layers::default()
        };
        let faults = set.load().unwrap_err();
        assert_eq!(
            faults[0].to_string(),
            "--set: a setting without '=', expected key=value"
        );
    }

    #[test]
    fn password_without_quotes_is_refused_and_not_shown() {
        let found = fault(&GOOD.replace("\"secret\"", "7654321"));
        assert_eq!(
            found,
            "DIR/tickgate.toml: session.ouch.password: expected text in quotes"
        );
    }

    #[test]
    fn number_outside_of_files_is_text_where_text_is_wanted() {
        let loaded = load(GOOD, |_, layers| {
            let set = |key: &str, value: &str| (key.to_owned(), value.to_owned());
            layers.environment = vec![
                set("TICKGATE__SESSION__OUCH__USERNAME", "123456"),
                set("TICKGATE__SESSION__OUCH__PASSWORD", "1e5"),
            ];
            layers.sets = vec!["session.ouch.session=42".into(), "rings.events=8".into()];
        });
        let loaded = loaded.unwrap();
        let ouch = &loaded.settings.session["ouch"];
        assert_eq!(
            (
                ouch.username.as_str(),
                ouch.password.as_str(),
                ouch.session.as_str()
            ),
            ("123456", "1e5", "42")
        );
        assert_eq!(loaded.settings.rings.events, 8);
        let refused = load(GOOD, |_, layers| {
            layers.sets = vec!["rings.events=soon".into()];
        });
        assert!(refused.unwrap_err().contains("rings.events"));
    }

    #[test]
    fn missing_file_and_bad_set_are_told() {
        let layers = Layers {
            file: Some("/nonexistent.toml".into()),
            ..Layers::default()
        };
        let faults = layers.load().unwrap_err();
        assert!(
            faults[0]
                .to_string()
                .starts_with("/nonexistent.toml: No such file")
        );
        let layers = Layers {
            sets: vec!["rings".into()],
            ..Layers::default()
        };
        assert!(
            layers.load().unwrap_err()[0]
                .to_string()
                .contains("expected key=value")
        );
    }
}
