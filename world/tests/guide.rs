//! The guide says what is so: its reference pages are what the code writes, each page is in its contents, each alert has its runbook,
//! each message its line, and the strategy that it shows is one that compiles.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use support::tool;

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

fn page(name: &str) -> String {
    fs::read_to_string(docs().join(name)).unwrap_or_else(|error| panic!("docs/{name}: {error}"))
}

#[test]
fn reference_pages_are_what_the_code_writes() {
    for (what, name) in [
        ("configuration", "configuration.md"),
        ("metrics", "metrics-reference.md"),
    ] {
        let written = tool("tickgate", &["reference", what]);
        assert!(written.status.success(), "{}", support::stderr(&written));
        let written = String::from_utf8(written.stdout).expect("text");
        let committed = page(name);
        let differs = written
            .lines()
            .zip(committed.lines())
            .find(|(new, old)| new != old);
        assert!(
            written == committed,
            "docs/{name} is not what the code writes: make reference. First difference: {differs:?}"
        );
    }
}

#[test]
fn contents_name_every_page() {
    let summary = page("SUMMARY.md");
    let named: BTreeSet<&str> = summary
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .collect();
    let pages = fs::read_dir(docs()).expect("a folder");
    let pages = pages.map(|entry| entry.expect("an entry").file_name());
    let pages: BTreeSet<String> = pages
        .filter_map(|name| name.into_string().ok())
        .filter(|name| name.ends_with(".md") && name != "SUMMARY.md")
        .collect();
    let pages: BTreeSet<&str> = pages.iter().map(String::as_str).collect();
    assert_eq!(named, pages);
}

#[test]
fn each_alert_names_a_runbook_and_the_runbook_names_the_alert() {
    let rules = docs().join("../deploy/prometheus/tickgate.rules.yml");
    let rules = fs::read_to_string(rules).expect("it is there");
    let runbooks = page("runbooks.md");
    let mut alerts = 0;
    for rule in rules.split("- alert: ").skip(1) {
        let alert = rule.lines().next().expect("a name").trim();
        let runbook = rule.split("runbook: \"").nth(1);
        let runbook = runbook.and_then(|rest| rest.split('"').next());
        let anchor = runbook.and_then(|it| it.strip_prefix("docs/runbooks.md#"));
        let anchor = anchor.unwrap_or_else(|| panic!("{alert}: {runbook:?}"));
        let sections = runbooks.split("\n## ").skip(1);
        let mut found =
            sections.filter(|it| support::anchor(it.lines().next().unwrap_or_default()) == anchor);
        let section = found
            .next()
            .unwrap_or_else(|| panic!("{alert}: no section {anchor}"));
        let line = section.lines().find(|it| it.starts_with("*Alert"));
        let line = line.unwrap_or_else(|| panic!("{anchor}: no alert named"));
        let names: Vec<&str> = line.split(|sign: char| !sign.is_alphanumeric()).collect();
        assert!(
            names.contains(&alert),
            "{anchor} does not name {alert}: {line}"
        );
        for part in [
            "**How it shows.**",
            "**What it does by itself.**",
            "**What you do.**",
            "**It is over when**",
        ] {
            assert!(section.contains(part), "{anchor}: no {part}");
        }
        alerts += 1;
    }
    assert!(alerts > 10, "{alerts}");
}

/// Messages that a codec declares: `b'X' Name`, and of SoupBinTCP `NAME: u8 = b'X'`.
fn declared(file: &str) -> BTreeSet<(String, String)> {
    let path = docs().join("../protocol/src").join(file);
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{file}: {error}"));
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    let mut found = BTreeSet::new();
    for line in text.lines().map(str::trim) {
        let word = |text: &str| {
            text.split(|sign: char| !sign.is_alphanumeric() && sign != '_')
                .next()
                .map(str::to_owned)
        };
        let of_table = line.strip_prefix("b'").filter(|_| line.ends_with(','));
        if let Some((kind, rest)) = of_table.and_then(|it| it.split_once("' ")) {
            let name = word(rest).filter(|it| it.starts_with(char::is_uppercase));
            found.extend(name.map(|name| (kind.to_owned(), name)));
        }
        let of_module = line.strip_prefix("pub const ");
        if file == "soup.rs"
            && let Some((name, rest)) = of_module.and_then(|it| it.split_once(": u8 = b'"))
        {
            found.insert((rest[..1].to_owned(), name.to_owned()));
        }
    }
    found
}

#[test]
fn protocol_tables_are_what_the_codecs_declare() {
    let protocols = page("protocols.md");
    for (heading, file) in [
        ("TotalView-ITCH 5.0", "itch.rs"),
        ("IEX DEEP+ 1.02", "deep_plus.rs"),
        ("SoupBinTCP", "soup.rs"),
        ("OUCH 5.0, to the exchange", "ouch/inbound.rs"),
        ("OUCH 5.0, from the exchange", "ouch/outbound.rs"),
    ] {
        let mut sections = protocols.split("\n## ").skip(1);
        let section = sections.find(|it| it.lines().next() == Some(heading));
        let section = section.unwrap_or_else(|| panic!("no section {heading}"));
        let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
        let told: BTreeSet<(String, String)> = rows
            .filter_map(|row| {
                let (kind, rest) = row.split_once("` | ")?;
                Some((kind.to_owned(), rest.split(' ').next()?.to_owned()))
            })
            .collect();
        let declared = declared(file);
        assert!(declared.len() > 7, "{file}: {declared:?}");
        assert_eq!(told, declared, "{heading}");
    }
}

#[test]
fn strategy_that_the_guide_shows_is_the_example_that_compiles() {
    let example = docs().join("../examples/momentum/src/main.rs");
    let example = fs::read_to_string(example).expect("it is there");
    let begin = example.find("use tickgate::prelude").expect("it imports");
    let end = example.find("#[cfg(test)]").expect("it has tests");
    let code = example[begin..end].trim();
    assert!(
        page("strategies.md").contains(code),
        "docs/strategies.md shows another strategy than examples/momentum"
    );
}
