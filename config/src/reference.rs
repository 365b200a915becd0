//! The reference of the configuration, a page of the guide: of each key its type, unit and default from the types and the manual,
//! what the checks accept, and what the manual says of it.

use std::fmt::Write as _;

use serde_json::Value;

use crate::accepted::Example;
use crate::layers::DEFAULTS;
use crate::manual::{Entry, Manual, What};
use crate::schema::schema;

/// What stands above the first section.
const HEAD: &str = "# Configuration reference

<!-- Written by `make reference` from the types, their checks and config/default.toml. Changes belong there. -->

Every key of the gateway's configuration. The files are TOML. Later layers win:

1. the defaults on this page,
2. the file that `--config` names,
3. `conf.d/*.toml` beside that file, in the order of their names,
4. the environment: `TICKGATE__RINGS__EVENTS=1024`,
5. `--set rings.events=1024` on the command line.

`tickgate check --config FILE` prints the result, with the layer that each value came from. An unknown key is refused, and so is a
value that is out of range. `tickgate schema` prints a JSON Schema for editors.

`NAME` is a name that you choose: `[feed.nasdaq]`, `[session.ouch1]`. A key without a default must be given, unless its line says
that it may be left out. \"Accepted\" is what the checks say of a value that they refuse, with everything else at its default.

";

/// Units, by how a key ends.
const UNITS: [(&str, &str); 11] = [
    ("_per_second", "per second"),
    ("_dollars", "dollars"),
    ("_bps", "hundredths of a percent"),
    ("_bytes", "bytes"),
    ("_days", "days"),
    ("_kib", "KiB"),
    ("_mib", "MiB"),
    ("_us", "µs"),
    ("_ms", "ms"),
    ("_qty", "shares"),
    ("position", "shares"),
];

/// The page, Markdown.
#[must_use]
pub fn reference() -> String {
    let manual = Manual::read(DEFAULTS);
    let page = Page {
        schema: schema(),
        example: Example::of(&manual),
        manual: &manual,
    };
    let mut out = HEAD.to_owned();
    page.contents(&mut out);
    let mut entries = manual.entries().iter().peekable();
    let mut of_section = "";
    while let Some(entry) = entries.next() {
        if entry.what == What::Section {
            of_section = &entry.text;
            let _ = write!(out, "\n## `[{}]`\n", named(&entry.path));
            say(of_section, &mut out);
            continue;
        }
        let facts = page.facts(entry);
        let _ = write!(out, "\n### `{}`\n\n{facts}\n", named(&entry.path));
        // Of keys with the same words the last one has them.
        let is_last = entries.peek().is_none_or(|it| !it.what.is_shared());
        if is_last && entry.text != of_section {
            say(&entry.text, &mut out);
        }
    }
    page.cores(&mut out);
    out
}

/// A paragraph, if there is anything to say.
fn say(text: &str, out: &mut String) {
    if !text.is_empty() {
        let _ = write!(out, "\n{}\n", prose(text));
    }
}

struct Page<'a> {
    schema: Value,
    example: Example,
    manual: &'a Manual,
}

impl Page<'_> {
    /// A line for each section.
    fn contents(&self, out: &mut String) {
        let sections = self.manual.entries().iter();
        for section in sections.filter(|it| it.what == What::Section) {
            let name = named(&section.path);
            let anchor: String = name.chars().filter(|it| !".[]".contains(*it)).collect();
            let _ = writeln!(out, "- [`[{name}]`](#{})", anchor.to_lowercase());
        }
    }

    /// Type, unit, default and range of a key in a line.
    fn facts(&self, entry: &Entry) -> String {
        let schema = self.key(&entry.path);
        let mut facts = vec![type_of(schema)];
        let bare = entry.path.trim_end_matches("_max").trim_end_matches("_min");
        if let Some((_, unit)) = UNITS.iter().find(|(end, _)| bare.ends_with(end)) {
            facts.push(format!("unit: {unit}"));
        }
        match self.manual.default(&entry.path) {
            Some(value) => facts.push(format!("default: `{value}`")),
            None if is_optional(schema) => facts.push("may be left out".to_owned()),
            None => facts.push("must be given".to_owned()),
        }
        if of(schema, "/type") == "integer" {
            let expected = self.example.expected(&entry.path, largest(schema));
            if !expected.is_empty() {
                facts.push(format!("accepted: {}", prose(&expected.join("; "))));
            }
        }
        format!("*{}*", facts.join(" · "))
    }

    /// The schema of a manual's path.
    fn key(&self, path: &str) -> &Value {
        let mut at = &self.schema;
        let (is_named, path) = match path.strip_prefix("template.") {
            Some(path) => (true, path),
            None => (false, path),
        };
        for (index, part) in path.split('.').enumerate() {
            at = of(at, &format!("/properties/{part}"));
            if is_named && index == 0 {
                at = of(at, "/additionalProperties");
            }
        }
        at
    }

    /// `[layout.core.NAME]`, which the manual shows at `layout.kind`.
    fn cores(&self, out: &mut String) {
        out.push_str(
            "\n## `[layout.core.NAME]`\n\nHot cores by hand, with `layout.kind = \"cores\"`.\n",
        );
        let core = of(
            &self.schema,
            "/properties/layout/properties/core/additionalProperties",
        );
        for (name, key) in of(core, "/properties").as_object().into_iter().flatten() {
            let given = if is_optional(key) {
                "may be left out"
            } else {
                "must be given"
            };
            let _ = write!(
                out,
                "\n### `layout.core.NAME.{name}`\n\n*{} · {given}*\n",
                type_of(key)
            );
        }
    }
}

/// A path as an operator writes it.
fn named(path: &str) -> String {
    let Some(path) = path.strip_prefix("template.") else {
        return path.to_owned();
    };
    match path.split_once('.') {
        Some((kind, rest)) => format!("{kind}.NAME.{rest}"),
        None => format!("{path}.NAME"),
    }
}

/// What a schema has there; nothing: null.
fn of<'a>(schema: &'a Value, pointer: &str) -> &'a Value {
    schema.pointer(pointer).unwrap_or(&Value::Null)
}

/// A type in words.
fn type_of(key: &Value) -> String {
    if let Some(values) = of(key, "/enum").as_array() {
        let values: Vec<String> = values.iter().map(|it| format!("`{it}`")).collect();
        return values.join(" or ");
    }
    if let Some(choices) = of(key, "/anyOf").as_array() {
        let choices: Vec<String> = choices.iter().map(type_of).collect();
        return choices.join(" or ");
    }
    let name = match of(key, "/type") {
        Value::Array(names) => names.first().and_then(Value::as_str),
        name => name.as_str(),
    };
    match name.unwrap_or_default() {
        "boolean" => "`true` or `false`".to_owned(),
        "integer" => "whole number".to_owned(),
        "string" => "string".to_owned(),
        "array" => match of(key, "/items/properties").as_object() {
            Some(fields) => {
                let fields = fields
                    .iter()
                    .map(|(name, it)| format!("`{name}` ({})", type_of(it)));
                format!("list of tables: {}", fields.collect::<Vec<_>>().join(", "))
            }
            // "whole number or string" is "whole numbers or strings" of several.
            None => format!(
                "list of {}s",
                type_of(of(key, "/items")).replace(" or ", "s or ")
            ),
        },
        _ => "table".to_owned(),
    }
}

/// Whether it may be nothing.
fn is_optional(key: &Value) -> bool {
    of(key, "/type")
        .as_array()
        .is_some_and(|it| it.contains(&"null".into()))
}

/// The largest number that its type and TOML hold.
fn largest(key: &Value) -> u64 {
    match of(key, "/format").as_str() {
        Some("uint8") => u64::from(u8::MAX),
        Some("uint32") => u64::from(u32::MAX),
        _ => i64::MAX.unsigned_abs(),
    }
}

/// The manual's words as Markdown: what is indented there is a listing, documents are links, and nothing else is markup.
fn prose(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let blocks =
        lines.chunk_by(|before, after| before.starts_with("  ") == after.starts_with("  "));
    let blocks = blocks.map(|block| {
        let is_listing = block.first().is_some_and(|it| it.starts_with("  "));
        if is_listing {
            let lines: Vec<&str> = block.iter().map(|it| it.trim_start()).collect();
            format!("```toml\n{}\n```", lines.join("\n"))
        } else {
            paragraph(&block.join("\n"))
        }
    });
    blocks.collect::<Vec<_>>().join("\n\n")
}

/// Prose, whose backquotes are Markdown's already.
fn paragraph(text: &str) -> String {
    let mut out = String::new();
    for (index, part) in text.split('`').enumerate() {
        if index % 2 == 1 {
            // A command may go over the end of a line there.
            let _ = write!(out, "`{}`", part.replace('\n', " "));
            continue;
        }
        let part = part.replace('*', "\\*").replace('<', "&lt;");
        let mut words = part.split("docs/");
        out.push_str(words.next().unwrap_or_default());
        for rest in words {
            match rest.split_once(".md") {
                Some((page, rest)) => {
                    let _ = write!(out, "[{page}]({page}.md){rest}");
                }
                None => {
                    let _ = write!(out, "docs/{rest}");
                }
            }
        }
    }
    // A line that begins with it would be a heading.
    let out = out.replace("\n#", "\n\\#");
    match out.strip_prefix('#') {
        Some(rest) => format!("\\#{rest}"),
        None => out,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_has_each_key_with_type_unit_default_range_and_words() {
        let page = reference();
        for text in [
            "\n### `feed.NAME.stale_ms`\n\n*whole number · unit: ms · default: `2000` · accepted: 1 to 600000, and more than \
             gap_timeout_us = 500 µs*\n\nSilence after which a line counts as silent",
            "\n### `session.NAME.submit`\n\n*`\"enter\"` or `\"sqpoll\"` or",
            "\n### `session.NAME.risk.collar_bps`\n\n*whole number · unit: hundredths of a percent · must be given · accepted: \
             1 to 5000*",
            "\n### `session.NAME.sqpoll_cpu`\n\n*whole number · may be left out*",
            "*list of tables: `address` (string), `interface` (string) · must be given*",
            "*list of whole numbers or strings · default: `[]`*",
            "[risk](risk.md) says why",
        ] {
            assert!(page.contains(text), "{text}\n{page}");
        }
        let keys = Manual::read(DEFAULTS);
        for entry in keys.entries() {
            assert!(
                page.contains(&format!("`{}`", named(&entry.path))) || entry.what == What::Section
            );
        }
    }

    #[test]
    fn nothing_in_the_manual_is_taken_for_markup() {
        let text = "all*\n# is a comment, `a*\nb`";
        assert_eq!(prose(text), "all\\*\n\\# is a comment, `a* b`");
        let text = "e.g.\n  a = 1\nso";
        assert_eq!(prose(text), "e.g.\n\n```toml\na = 1\n```\n\nso");
        let text = "docs/risk.md says how.";
        assert_eq!(prose(text), "[risk](risk.md) says how.");
    }
}
