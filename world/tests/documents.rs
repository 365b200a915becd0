//! What the documents point at is there: links, make targets, commands, tests, and the crates that the locks name.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Beside every page of the guide.
const DOCUMENTS: [&str; 3] = ["README.md", "ARCHITECTURE.md", "tickgate/src/lib.rs"];
/// The programs that users call.
const PROGRAMS: [&str; 5] = [
    "tickgate",
    "tickgate-bench",
    "tickgate-host-tune",
    "tickgate-lab",
    "tickgate-sim",
];

fn root() -> PathBuf {
    let world = Path::new(env!("CARGO_MANIFEST_DIR"));
    world.parent().expect("the workspace").to_owned()
}

fn documents() -> Vec<(String, String)> {
    let entries = std::fs::read_dir(root().join("docs")).expect("a folder");
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    let names = names.map(|name| format!("docs/{}", name.display()));
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".md")).collect();
    names.extend(DOCUMENTS.map(str::to_owned));
    names.sort();
    let read = |name: String| {
        let text = std::fs::read_to_string(root().join(&name));
        let text = text.unwrap_or_else(|error| panic!("{name}: {error}"));
        (name, text)
    };
    names.into_iter().map(read).collect()
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
    let pages = documents()
        .into_iter()
        .filter(|(name, _)| name.ends_with(".md"));
    for (name, text) in pages {
        let folder = root().join(&name);
        let folder = folder.parent().expect("a folder");
        for target in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            if target.contains("://") {
                continue;
            }
            let (path, heading) = target.split_once('#').unwrap_or((target, ""));
            let is_out = name.starts_with("docs/") && path.starts_with("..");
            assert!(!is_out, "{name}: {target} is not in the guide");
            let file = match path {
                "" => root().join(&name),
                path => folder.join(path),
            };
            assert!(file.exists(), "{name}: {target}");
            if !heading.is_empty() {
                let text = std::fs::read_to_string(&file).expect("text");
                let headings = text.lines().filter(|line| line.starts_with('#'));
                let is_there = headings.map(support::anchor).any(|it| it == heading);
                assert!(is_there, "{name}: {target}");
            }
            links += 1;
        }
    }
    assert!(links > 60, "only {links} links found");
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

/// What commands say of themselves, each asked once.
#[derive(Default)]
struct Helps(BTreeMap<Vec<String>, String>);

impl Helps {
    fn of(&mut self, command: &[&str]) -> &str {
        let key = command.iter().map(|word| (*word).to_owned()).collect();
        self.0.entry(key).or_insert_with(|| {
            let (program, words) = command.split_first().expect("a program");
            let output = support::tool(program, &[words, &["--help"]].concat());
            assert!(output.status.success(), "{command:?}");
            String::from_utf8_lossy(&output.stdout).into_owned()
        })
    }

    fn lists(&mut self, command: &[&str], word: &str) -> bool {
        let (_, listed) = self
            .of(command)
            .split_once("Commands:\n")
            .unwrap_or_default();
        let mut lines = listed.lines().take_while(|line| !line.is_empty());
        lines.any(|line| line.split_whitespace().next() == Some(word))
    }

    /// Whether a command, or one that it is a part of, has an option.
    fn have(&mut self, command: &[&str], option: &str) -> bool {
        (1..=command.len()).any(|len| {
            let help = self.of(&command[..len]);
            let mut words = help.split([' ', '\n', ',', '=', '[', ']']);
            words.any(|word| word == option)
        })
    }
}

#[test]
fn commands_and_their_options_exist() {
    let mut helps = Helps::default();
    let (mut commands, mut options) = (BTreeSet::new(), 0);
    for (name, text) in documents() {
        for line in typed(&text) {
            // Behind these stands a comment, or something that is not this program's.
            let line = line.split(['#', '|', '>', ';']).next().unwrap_or_default();
            let mut words = line.split_whitespace();
            let Some(program) = words.next().filter(|first| PROGRAMS.contains(first)) else {
                continue;
            };
            let mut command = vec![program];
            for (at, word) in words.enumerate() {
                let option = word.split('=').next().unwrap_or_default();
                let option = option.trim_end_matches(|sign: char| !sign.is_ascii_alphanumeric());
                let is_word = word.bytes().all(|byte| byte.is_ascii_lowercase());
                if option.starts_with("--") {
                    assert!(helps.have(&command, option), "{name}: {line}: {option}");
                    options += 1;
                } else if is_word && helps.lists(&command, word) {
                    command.push(word);
                } else {
                    assert!(at > 0 || !is_word, "{name}: {line}: no such command");
                }
            }
            commands.insert(command.join(" "));
        }
    }
    assert!(
        commands.len() > 30 && options > 40,
        "{options} of {commands:?}"
    );
}

#[test]
fn planted_mistakes_can_still_be_planted() {
    for folder in ["world/planted", "world/planted/boundaries"] {
        let entries = std::fs::read_dir(root().join(folder)).expect("a folder");
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
        assert!(planted > 0, "none in {folder}");
    }
}

/// What a table of threats begins with (docs/threats.md).
const THREATS: &str = "| threat | defence | shown by | what is left |";

/// A line of such a table.
struct Threat<'a> {
    name: &'a str,
    shown_by: &'a str,
    left: &'a str,
}

fn threats(page: &str) -> Vec<Threat<'_>> {
    let (mut found, mut is_inside) = (Vec::new(), false);
    for line in page.lines() {
        let is_head = line == THREATS;
        is_inside = is_head || (is_inside && line.starts_with('|'));
        if !is_inside || is_head || line.starts_with("|---") {
            continue;
        }
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let ["", name, _, shown_by, left, ""] = cells[..] else {
            panic!("{line}: expected four cells");
        };
        found.push(Threat {
            name,
            shown_by,
            left,
        });
    }
    found
}

/// A file that a line names, and the tests in it.
struct Shown<'a> {
    file: &'a str,
    tests: Vec<&'a str>,
}

fn shown(cell: &str) -> Vec<Shown<'_>> {
    let mut files: Vec<Shown<'_>> = Vec::new();
    for name in cell.split('`').skip(1).step_by(2) {
        if name.ends_with(".rs") {
            files.push(Shown {
                file: name,
                tests: Vec::new(),
            });
        } else {
            let file = files.last_mut().expect("a file before its tests");
            file.tests.push(name);
        }
    }
    files
}

fn has_test(text: &str, name: &str) -> bool {
    let found = text.split_once(&format!("fn {name}("));
    // Attributes may stand between.
    let lines = found
        .iter()
        .flat_map(|(before, _)| before.trim_end().lines().rev());
    let mut attributes = lines.take_while(|line| line.trim().starts_with("#["));
    attributes.any(|line| line.trim() == "#[test]")
}

#[test]
fn threats_are_shown_by_tests_that_exist_or_say_what_is_left() {
    let page = std::fs::read_to_string(root().join("docs/threats.md")).expect("a page");
    let (mut rows, mut named) = (0, 0);
    for Threat {
        name,
        shown_by,
        left,
    } in threats(&page)
    {
        let files = shown(shown_by);
        let says = |cell: &str| !["", "none"].contains(&cell);
        assert_eq!(says(shown_by), !files.is_empty(), "{name}: {shown_by}");
        assert!(
            says(shown_by) || says(left),
            "{name}: neither a test nor what is left"
        );
        for Shown { file, tests } in files {
            let text = std::fs::read_to_string(root().join(file));
            let text = text.unwrap_or_else(|error| panic!("{name}: {file}: {error}"));
            let is_target = file.starts_with("fuzz/") && text.contains("fuzz_target!(");
            assert!(
                is_target || !tests.is_empty(),
                "{name}: {file}: which test?"
            );
            for test in tests {
                assert!(has_test(&text, test), "{name}: no test {test} in {file}");
                named += 1;
            }
        }
        rows += 1;
    }
    assert!(rows > 60 && named > 150, "{rows} lines, {named} tests");
}

/// Packages of this repository whose names do not begin with its own.
const EXAMPLES: [&str; 3] = ["market-maker", "momentum", "pairs"];

#[test]
fn crates_of_others_are_locked_by_their_checksums() {
    for lock in ["Cargo.lock", "fuzz/Cargo.lock"] {
        let text = std::fs::read_to_string(root().join(lock)).expect("a lock");
        let mut others = 0;
        for package in text.split("[[package]]").skip(1) {
            let value = |key: &str| {
                let mut lines = package.lines();
                lines.find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "))
            };
            let name = value("name").expect("a name").trim_matches('"');
            let Some(source) = value("source") else {
                let is_ours = name.starts_with("tickgate") || EXAMPLES.contains(&name);
                assert!(is_ours, "{lock}: {name} comes from a folder");
                continue;
            };
            let is_known =
                source.starts_with("\"registry+") && source.ends_with("/crates.io-index\"");
            assert!(is_known, "{lock}: {name} comes from {source}");
            let digits = value("checksum").map_or(0, |sum| sum.trim_matches('"').len());
            assert_eq!(digits, 64, "{lock}: the checksum of {name}");
            others += 1;
        }
        assert!(others > 100, "{lock}: only {others} crates of others");
    }
}
