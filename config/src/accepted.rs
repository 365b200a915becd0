//! What the checks accept of a number, in their own words: each is asked about numbers that are too small, too large and odd.
//!
//! So no page has to repeat a range, and none can be wrong about one.

use serde_json::{Map, Value};

use crate::check;
use crate::layers::{DEFAULTS, NAMED};
use crate::manual::{Manual, What};
use crate::settings::Settings;

/// CPUs that the checks believe in; what they say of CPUs is left out.
const CPUS: [usize; 4] = [0, 1, 2, 3];

/// Settings that have every key once, to be asked about.
pub(crate) struct Example(Value);

impl Example {
    /// The manual's defaults, and its examples where there is no default; feed, account, session and strategy are called as in
    /// [`Example::path`].
    pub(crate) fn of(manual: &Manual) -> Self {
        let defaults: toml::Table = DEFAULTS.parse().unwrap_or_default();
        let mut root = serde_json::to_value(defaults).unwrap_or_default();
        for entry in manual.entries() {
            let What::Key {
                shown: Some(shown), ..
            } = &entry.what
            else {
                continue;
            };
            // A CPU for a kernel's thread that nobody has begun is refused.
            let is_left_out = manual.default(&entry.path).is_none() && entry.path.ends_with("_cpu");
            if let (false, Ok(value)) = (is_left_out, serde_json::to_value(shown)) {
                set(&mut root, &entry.path, value);
            }
        }
        let templates = root.as_object_mut().and_then(|it| it.remove("template"));
        let Some(Value::Object(templates)) = templates else {
            return Self(root);
        };
        for (kind, template) in templates {
            let members = Map::from_iter([(Self::name(&kind).to_owned(), template)]);
            set(&mut root, &kind, members.into());
        }
        for (path, name) in [
            ("strategy.s.feed", Self::name("feed")),
            ("strategy.s.session", Self::name("session")),
        ] {
            set(&mut root, path, name.into());
        }
        Self(root)
    }

    /// How the one of a kind is called.
    fn name(kind: &str) -> &'static str {
        match kind {
            "feed" => "f",
            "account" => "a",
            "session" => "o",
            _ => "s",
        }
    }

    /// A manual's path in this example: `template.feed.stale_ms` is `feed.f.stale_ms`.
    fn path(manual: &str) -> String {
        let mut parts = manual.split('.');
        if parts.next() != Some("template") {
            return manual.to_owned();
        }
        let kind = parts.next().unwrap_or_default();
        debug_assert!(NAMED.contains(&kind), "{manual}");
        let rest: Vec<&str> = parts.collect();
        format!("{kind}.{}.{}", Self::name(kind), rest.join("."))
    }

    /// What the checks expect of a number up to `largest`, each expectation once; none where they take any.
    pub(crate) fn expected(&self, manual: &str, largest: u64) -> Vec<String> {
        let path = Self::path(manual);
        let mut expected: Vec<String> = Vec::new();
        for number in [0, 3, largest] {
            for text in self.faults(&path, number) {
                let Some((_, words)) = text.split_once("expected ") else {
                    continue;
                };
                let words = of_the_operator(words);
                if !expected.contains(&words) {
                    expected.push(words);
                }
            }
        }
        expected
    }

    /// What is wrong with a number there, as far as that number is what is wrong.
    fn faults(&self, path: &str, number: u64) -> Vec<String> {
        let mut settings = self.0.clone();
        set(&mut settings, path, number.into());
        let Ok(settings) = serde_json::from_value::<Settings>(settings) else {
            return Vec::new();
        };
        let found = check::check(&settings, &CPUS).into_iter();
        let here = found.filter(|(key, _)| key == path).map(|(_, text)| text);
        here.filter(|text| text.starts_with(&format!("{number}: ")))
            .collect()
    }
}

/// Sets a value, and makes the tables on its way.
fn set(root: &mut Value, path: &str, value: Value) {
    let mut at = root;
    for part in path.split('.') {
        let Value::Object(table) = at else { return };
        at = table
            .entry(part)
            .or_insert_with(|| Value::Object(Map::new()));
    }
    *at = value;
}

/// Words of a check with the operator's names in place of the example's.
fn of_the_operator(words: &str) -> String {
    let mut out = words.to_owned();
    for kind in NAMED {
        out = out.replace(
            &format!("{kind}.{}.", Example::name(kind)),
            &format!("{kind}.NAME."),
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn example_is_whole_and_its_checks_say_what_they_expect() {
        let example = Example::of(&Manual::read(DEFAULTS));
        serde_json::from_value::<Settings>(example.0.clone()).unwrap();
        let expected = |path: &str| example.expected(path, u64::from(u32::MAX));
        assert_eq!(example.expected("host.realtime_priority", 255), ["0 to 99"]);
        assert_eq!(
            expected("template.feed.recovery.requests_max"),
            ["1 to 256"]
        );
        assert_eq!(expected("template.session.risk.collar_bps"), ["1 to 5000"]);
        let ring = expected("template.feed.af_xdp.rx_ring");
        assert_eq!(
            ring,
            ["a power of two", "at most feed.NAME.af_xdp.frames = 8192"]
        );
        assert!(expected("telemetry.warm_up_ms").is_empty());
        assert!(expected("template.session.queue").is_empty());
    }
}
