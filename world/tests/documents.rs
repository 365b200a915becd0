//! What the documents point at is there: links, make targets, commands.

#![allow(clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const DOCUMENTS: [&str; 13] = [
    "README.md",
    "ARCHITECTURE.md",
    "docs/claims.md",
    "docs/delegated.md",
    "docs/exchange.md",
    "docs/host.md",
    "docs/orders.md",
    "docs/parquet.md",
    "docs/performance.md",
    "docs/replay.md",
    "docs/risk.md",
    "docs/sandbox.md",
    "tickgate/src/lib.rs",
];
/// The programs that users call.
const PROGRAMS: [&str; 4] = ["tickgate", "tickgate-bench", "tickgate-lab", "tickgate-sim"];

fn root() -> PathBuf {
    let world = Path::new(env!("CARGO_MANIFEST_DIR"));
    world.parent().expect("the workspace").to_owned()
}

fn documents() -> impl Iterator<Item = (&'static str, String)> {
    DOCUMENTS.into_iter().map(|name| {
        let text = std::fs::read_to_string(root().join(name));
        (name, text.unwrap_or_else(|error| panic!("{name}: {error}")))
    })
}

/// What stands in backquotes or in an indented block: what a reader would type.
fn typed(text: &str) -> Vec<&str> {
    let spans = text.lines().filter(|line| !line.starts_with("    "));
    let spans = spans.flat_map(|line| line.split('`').skip(1).step_by(2));
    let blocks = text.lines().filter(|line| line.starts_with("    "));
    spans.chain(blocks.map(str::trim)).collect()
}

#[test]
fn links_lead_somewhere() {
    let mut links = 0;
    for (name, text) in documents().filter(|(name, _)| name.ends_with(".md")) {
        let folder = root().join(name);
        let folder = folder.parent().expect("a folder");
        for target in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            if target.contains("://") {
                continue;
            }
            let path = target.split('#').next().expect("something");
            assert!(folder.join(path).exists(), "{name}: {target}");
            links += 1;
        }
    }
    assert!(links > 8, "only {links} links found");
}

#[test]
fn make_targets_exist() {
    let makefile = std::fs::read_to_string(root().join("Makefile")).expect("a Makefile");
    let targets: BTreeSet<&str> = makefile
        .lines()
        .filter(|line| !line.starts_with(['\t', '#', '.']))
        .filter_map(|line| line.split_once(':'))
        .flat_map(|(names, _)| names.split_whitespace())
        .collect();
    let mut named = 0;
    for (name, text) in documents() {
        for command in typed(&text) {
            let mut words = command.split_whitespace();
            if words.next() == Some("make")
                && let Some(target) = words.next()
            {
                assert!(targets.contains(target), "{name}: {command}");
                named += 1;
            }
        }
    }
    assert!(named > 8, "only {named} targets named");
}

#[test]
fn commands_exist() {
    let mut commands = BTreeSet::new();
    for (_, text) in documents() {
        for command in typed(&text) {
            let mut words = command.split_whitespace();
            let program = words.next().filter(|first| PROGRAMS.contains(first));
            let is_word = |word: &&str| word.bytes().all(|byte| byte.is_ascii_lowercase());
            if let (Some(program), Some(word)) = (program, words.next().filter(is_word)) {
                commands.insert((program.to_owned(), word.to_owned()));
            }
        }
    }
    assert!(commands.len() > 15, "only {commands:?}");
    for (program, word) in commands {
        let output = support::tool(&program, &[&word, "--help"]);
        assert!(output.status.success(), "{program} {word}");
    }
}

#[test]
fn planted_mistakes_can_still_be_planted() {
    let folder = root().join("world/planted");
    let entries = std::fs::read_dir(&folder).expect("a folder");
    let mut planted = 0;
    for path in entries.map(|entry| entry.expect("an entry").path()) {
        if path.extension().is_none_or(|end| end != "patch") {
            continue;
        }
        let mut git = std::process::Command::new("git");
        let checked = git
            .current_dir(root())
            .args(["apply", "--check"])
            .arg(&path);
        let checked = checked.output().expect("git runs");
        let said = String::from_utf8_lossy(&checked.stderr);
        assert!(checked.status.success(), "{}: {said}", path.display());
        planted += 1;
    }
    assert!(planted > 0, "none in {}", folder.display());
}
