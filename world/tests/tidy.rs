//! The repository's own rules, checked.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Modules that may hold unsafe code (ARCHITECTURE.md).
const ISLANDS: [&str; 33] = [
    "rt/src/ring.rs",
    "rt/src/clock/mod.rs",
    "rt/src/cpu.rs",
    "rt/src/mem.rs",
    "rt/src/alloc_guard.rs",
    "feed-handler/src/xdp/",
    "feed-handler/src/udp.rs",
    "feed-handler/tests/support/mod.rs",
    "deploy/host/src/kernel.rs",
    "gateway/src/journal/uring.rs",
    "gateway/src/order/transport/delegated/link.rs",
    "gateway/src/order/transport/delegated/row.rs",
    "gateway/src/order/transport/delegated/sender.rs",
    "gateway/src/order/transport/provided.rs",
    "gateway/src/order/transport/sockopt.rs",
    "gateway/src/order/transport/uring.rs",
    "gateway/src/service/sandbox/trap.rs",
    "gateway/tests/delegated.rs",
    "gateway/tests/delegated_doubts.rs",
    "gateway/tests/delegated_steps.rs",
    "gateway/tests/wire/bpf.rs",
    "gateway/tests/wire/hander.rs",
    "gateway/tests/wire/held.rs",
    "bench/benches/enters.rs",
    "bench/feeds/src/outlet.rs",
    "bench/lab/src/process.rs",
    "bench/peers/src/link.rs",
    "bench/peers/src/bin/tickgate-peer-floor.rs",
    "bench/src/flood.rs",
    "world/tests/allocations.rs",
    "world/tests/long_days.rs",
    "world/tests/tidy.rs",
    "target/",
];

/// A file of more than 500 lines before its tests, and why it is not two.
struct LongFile {
    name: &'static str,
    reason: &'static str,
}

/// This list only becomes shorter.
const LONG_FILES: &[LongFile] = &[];

/// What we once said, and what the field says. A word stands for itself, or, with a capital, for a type.
const DIALECT: &[(&str, &str)] = &[
    ("bring_near", "prefetch"),
    ("bring near", "prefetch"),
    ("brings near", "prefetches"),
    ("brought near", "prefetched"),
    ("so many", "this many, or a number"),
    ("hold_us", "gap_timeout_us"),
    ("Tape", "FeedEncoder"),
    ("Ear", "PacketTap"),
    ("Wishes", "EntryOptions"),
    ("Contestant", "Candidate"),
    ("contestant", "candidate"),
    ("Happened", "an event"),
    ("Scene", "Workload"),
];

/// What nothing between two packets may do.
const NOT_ON_HOT_CORES: [&str; 10] = [
    "format!(",
    "println!",
    "log::",
    "Instant::now",
    "SystemTime::now",
    "Mutex",
    "RwLock",
    "mpsc::",
    "eprint",
    "thread::sleep",
];

/// Folders with source files.
const SOURCES: [&str; 12] = [
    "protocol",
    "rt",
    "feed-handler",
    "gateway",
    "order-sim",
    "config",
    "deploy",
    "world",
    "backtest",
    "tickgate",
    "bench",
    "examples",
];

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("the workspace").to_owned()
}

fn sources() -> Vec<(String, String)> {
    let files = files_in(&SOURCES, &[".rs"]);
    assert!(files.len() > 50, "only {} files found", files.len());
    files
}

/// Files under these folders whose names end so, with their text.
fn files_in(folders: &[&str], ends: &[&str]) -> Vec<(String, String)> {
    let root = root();
    let mut folders: Vec<PathBuf> = folders.iter().map(|name| root.join(name)).collect();
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder").flatten() {
            let path = entry.path();
            let name = path.strip_prefix(&root).expect("inside");
            let name = name.display().to_string();
            if path.is_dir() {
                folders.push(path);
            } else if ends.iter().any(|end| name.ends_with(end)) {
                files.push((name, std::fs::read_to_string(&path).expect("text")));
            }
        }
    }
    files
}

/// Documents, configuration and scripts, with their text. What was said once stays in the changelog.
fn prose() -> Vec<(String, String)> {
    const ENDS: [&str; 7] = [".md", ".toml", ".py", ".c", ".h", ".service", "Makefile"];
    let mut files = files_in(&["config", "deploy", "docs"], &ENDS);
    files.extend(files_in(&SOURCES, &ENDS));
    for name in ["README.md", "ARCHITECTURE.md", "Makefile", "Cargo.toml"] {
        let text = std::fs::read_to_string(root().join(name)).expect("text");
        files.push((name.to_owned(), text));
    }
    files
}

/// Where a word stands by itself.
fn has_word(line: &str, word: &str) -> bool {
    let is_part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word).any(|(at, _)| {
        let (before, rest) = line.split_at(at);
        let after = &rest[word.len()..];
        // "So many that" counts nothing.
        let is_sentence = word == "so many" && after.starts_with(" that");
        !is_part(before.chars().next_back()) && !is_part(after.chars().next()) && !is_sentence
    })
}

#[test]
fn the_fields_words_are_used() {
    let mut files = sources();
    files.extend(prose());
    for (name, text) in files {
        if name == "world/tests/tidy.rs" {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            let found = DIALECT.iter().find(|(ours, _)| has_word(line, ours));
            let place = number + 1;
            assert_eq!(
                found, None,
                "{name}:{place}: the second is what others understand"
            );
        }
    }
}

/// The file without its tests.
fn code(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests")
        .next()
        .unwrap_or_default()
}

#[test]
fn every_file_opens_with_what_it_is() {
    for (name, text) in sources() {
        assert!(text.starts_with("//! "), "{name} has no header");
    }
}

#[test]
fn files_stay_small_enough_to_have_one_idea() {
    for (name, text) in sources() {
        let limit = match name.as_str() {
            long if LONG_FILES.iter().any(|file| file.name == long) => 620,
            tests if tests.contains("/tests/") => 900,
            _ => 500,
        };
        let lines = code(&text).lines().count();
        assert!(
            lines <= limit,
            "{name} has {lines} lines: look for the second noun"
        );
    }
}

#[test]
fn long_files_become_fewer() {
    let sources = sources();
    for long in LONG_FILES {
        let found = sources.iter().find(|(name, _)| name == long.name);
        let lines = found.map(|(_, text)| code(text).lines().count());
        assert!(
            lines > Some(500),
            "{} is no exception any more: {lines:?}",
            long.name
        );
        assert!(long.reason.len() > 20, "{}: why?", long.name);
    }
}

#[test]
fn no_parameter_is_a_tuple() {
    for (name, text) in sources() {
        // What the drawing crate's trait of ranges demands.
        let of_others = usize::from(name == "bench/report/src/plots.rs");
        let count = tuple_parameters(code(&text));
        assert_eq!(count, of_others, "{name}: name the fields in a struct");
    }
}

/// Parameters of functions that are tuples, taken apart or not.
fn tuple_parameters(text: &str) -> usize {
    let mut count = 0;
    for signature in text.split("fn ").skip(1) {
        let end = signature.find(['{', ';']).unwrap_or(signature.len());
        let squeezed: String = signature
            .chars()
            .take(end)
            .filter(|c| !c.is_whitespace())
            .collect();
        count += squeezed.matches(":(").count();
    }
    count
}

#[test]
fn unsafe_code_stays_on_its_islands() {
    for (name, text) in sources() {
        let is_island = ISLANDS.iter().any(|island| name.starts_with(island));
        let has_unsafe = text.lines().any(|line| {
            let line = line.trim_start();
            !line.starts_with("//") && (line.contains("unsafe {") || line.contains("unsafe impl"))
        });
        assert!(
            is_island || !has_unsafe,
            "{name} has unsafe code and is no island"
        );
    }
}

#[test]
fn hot_files_do_nothing_slow() {
    let mut hot = 0;
    for (name, text) in sources() {
        let header = text.lines().take_while(|line| line.starts_with("//!"));
        let is_hot = header
            .into_iter()
            .any(|line| line.contains("Thread:") && line.contains("hot"));
        if !is_hot {
            continue;
        }
        hot += 1;
        for word in NOT_ON_HOT_CORES {
            let line = code(&text)
                .lines()
                .find(|line| line.contains(word) && !line.trim_start().starts_with("//"));
            assert_eq!(line, None, "{name} is hot");
        }
    }
    assert!(hot > 12, "only {hot} hot files found");
}

/// A package that users build, and the crates that only measuring needs and that it must not have.
const LEAN: [(&str, &[&str]); 3] = [
    (
        "tickgate-gateway",
        &["tickgate-feeds", "tickgate-lab", "pcap-file", "indicatif"],
    ),
    (
        "tickgate-order-sim",
        &["tickgate-feeds", "tickgate-lab", "pcap-file", "indicatif"],
    ),
    ("tickgate-lab", &[]),
];
const ONLY_MEASURES: [&str; 9] = [
    "tickgate-peers",
    "tickgate-report",
    "tickgate-bench",
    "criterion",
    "crossbeam-queue",
    "itchy",
    "plotters",
    "proptest",
    "rtrb",
];

#[test]
fn what_users_build_has_no_crate_that_only_measures() {
    for (package, others) in LEAN {
        let output = std::process::Command::new(env!("CARGO"))
            .args([
                "tree",
                "--offline",
                "-e",
                "normal",
                "--prefix",
                "none",
                "-p",
                package,
            ])
            .output()
            .expect("cargo runs");
        let tree = String::from_utf8_lossy(&output.stdout);
        let crates: Vec<&str> = tree
            .lines()
            .filter_map(|line| line.split(' ').next())
            .collect();
        assert!(
            crates.contains(&"tickgate-protocol"),
            "{package}: {output:?}"
        );
        for name in ONLY_MEASURES.iter().chain(others) {
            assert!(!crates.contains(name), "{package} needs {name}");
        }
    }
}

#[test]
fn what_trades_names_every_limit() {
    let mut used = 0;
    for (name, text) in sources() {
        let may =
            name.contains("/tests/") || ["world/", "bench/"].iter().any(|it| name.starts_with(it));
        let uses = code(&text).contains("Limits::WIDEST");
        assert!(may || !uses, "{name} trades without a limit of its own");
        used += usize::from(uses);
    }
    assert!(used > 3, "only {used} users found");
}

#[test]
fn libraries_do_not_know_configuration_files() {
    for (name, text) in sources() {
        let may_know = [
            "config/",
            "gateway/src/cli/",
            "world/boundaries/src/configuration.rs",
            "world/tests/tidy.rs",
        ];
        let knows = text
            .lines()
            .any(|line| line.contains("tickgate_config") && !line.trim_start().starts_with("//"));
        assert!(
            !knows || may_know.iter().any(|path| name.starts_with(path)),
            "{name}"
        );
    }
}

#[test]
fn the_table_of_rt_names_its_users() {
    let files = sources();
    let table = files.iter().find(|(name, _)| name == "rt/src/lib.rs");
    let (_, table) = table.expect("rt's header");
    let mut rows = 0;
    for row in table.lines().filter(|line| line.starts_with("//! | `")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [_, module, _, users, _] = cells[..] else {
            panic!("{row}");
        };
        let module = module.trim_matches('`');
        let told: BTreeSet<&str> = users.split(", ").collect();
        let found: BTreeSet<&str> = files
            .iter()
            .filter(|(_, text)| uses_of_rt(text).contains(module))
            .filter_map(|(name, _)| name.split('/').next())
            .filter(|krate| !["rt", "examples"].contains(krate))
            .collect();
        assert_eq!(told, found, "rt/src/lib.rs: {module}");
        assert!(found.len() > 1, "{module} has one user");
        rows += 1;
    }
    assert!(rows > 6, "only {rows} rows found");
}

/// The modules of `rt` that a file names, its macros among them.
fn uses_of_rt(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for rest in text.split("rt::").skip(1) {
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
        let name = &rest[..end.unwrap_or(rest.len())];
        let module = if name == "histograms" {
            "histogram"
        } else {
            name
        };
        found.insert(module.to_owned());
        if let Some(list) = rest
            .strip_prefix('{')
            .and_then(|list| list.split('}').next())
        {
            let names = list.split(',').map(str::trim);
            found.extend(names.map(|name| name.replace("histograms", "histogram")));
        }
    }
    found
}

/// The paths that a file uses, each from its crate's root, with the braces multiplied out.
fn used(module: &[String], text: &str) -> Vec<Vec<String>> {
    let uses = code(text).split("\n").collect::<Vec<_>>().join(" ");
    let uses = uses
        .split(" use ")
        .skip(1)
        .filter_map(|rest| rest.split(';').next());
    let mut paths = Vec::new();
    for tree in uses {
        let tree: String = tree.chars().filter(|c| !c.is_whitespace()).collect();
        multiply(String::new(), &tree, &mut paths);
    }
    let from_root = |path: String| {
        let mut parts: Vec<String> = path.split("::").map(str::to_owned).collect();
        let mut base = match parts.first().map(String::as_str) {
            Some("crate") => Vec::new(),
            Some("self" | "super") => module.to_vec(),
            _ => return None,
        };
        while parts.first().is_some_and(|part| part == "super") {
            base.pop();
            parts.remove(0);
        }
        base.extend(
            parts
                .into_iter()
                .filter(|part| part != "crate" && part != "self"),
        );
        Some(base)
    };
    paths.into_iter().filter_map(from_root).collect()
}

fn multiply(before: String, tree: &str, paths: &mut Vec<String>) {
    let Some((prefix, rest)) = tree.split_once('{') else {
        paths.push(before + tree);
        return;
    };
    let inside = rest.strip_suffix('}').unwrap_or(rest);
    let (mut depth, mut from) = (0, 0);
    for (at, c) in inside.char_indices().chain([(inside.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                let part = inside.get(from..at).unwrap_or_default();
                if !part.is_empty() {
                    multiply(format!("{before}{prefix}"), part, paths);
                }
                from = at + 1;
            }
            _ => {}
        }
    }
}

/// The module that a source file is, from its crate's root; the crate's folder before it.
fn module_of(name: &str) -> Option<(String, Vec<String>)> {
    let (krate, inside) = name.split_once("/src/")?;
    let mut parts: Vec<String> = inside
        .strip_suffix(".rs")?
        .split('/')
        .map(str::to_owned)
        .collect();
    if parts
        .last()
        .is_some_and(|last| last == "mod" || last == "lib")
    {
        parts.pop();
    }
    Some((krate.to_owned(), parts))
}

/// What each file needs of its own crate. That a folder's `mod.rs` names its files, and they it, is no arrow.
fn arrows() -> BTreeMap<String, BTreeSet<String>> {
    let files = sources();
    let modules: BTreeMap<(String, Vec<String>), String> = files
        .iter()
        .filter_map(|(name, _)| Some((module_of(name)?, name.clone())))
        .collect();
    let mut arrows = BTreeMap::new();
    for (name, text) in &files {
        let Some((krate, module)) = module_of(name) else {
            continue;
        };
        let mut needs = BTreeSet::new();
        for path in used(&module, text) {
            let lengths = (1..=path.len()).rev();
            let found = lengths
                .filter_map(|length| path.get(..length))
                .find_map(|path| modules.get_key_value(&(krate.clone(), path.to_vec())));
            if let Some(((_, other), file)) = found
                && !module.starts_with(other)
                && !other.starts_with(&module)
            {
                needs.insert(file.clone());
            }
        }
        arrows.insert(name.clone(), needs);
    }
    arrows
}

#[test]
fn files_do_not_need_one_another_in_circles() {
    let arrows = arrows();
    assert!(
        arrows.values().map(BTreeSet::len).sum::<usize>() > 300,
        "few arrows found"
    );
    let reached = |from: &String| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from.clone()]);
        while let Some(at) = next.pop() {
            for to in arrows.get(&at).into_iter().flatten() {
                if seen.insert(to.clone()) {
                    next.push(to.clone());
                }
            }
        }
        seen
    };
    let circles: Vec<&String> = arrows
        .keys()
        .filter(|file| reached(file).contains(*file))
        .collect();
    assert!(circles.is_empty(), "in a circle: {circles:?}");
}

/// Blocks of unsafe code in a file, implementations among them.
fn unsafe_blocks(text: &str) -> usize {
    let lines = text.lines().map(str::trim_start);
    let lines = lines.filter(|line| !line.starts_with("//") && !line.contains("line.contains("));
    lines
        .filter(|line| line.contains("unsafe {") || line.contains("unsafe impl"))
        .count()
}

#[test]
fn page_of_unsafe_code_lists_every_block_and_what_checks_it() {
    let page = std::fs::read_to_string(root().join("docs/unsafe.md")).expect("a page");
    let mut listed = BTreeMap::new();
    for row in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [_, name, blocks, what, checks, ..] = cells[..] else {
            continue;
        };
        let Ok(blocks) = blocks.parse::<usize>() else {
            continue;
        };
        assert!(
            what.len() > 3 && checks.len() > 3,
            "{name}: what for, and what checks it?"
        );
        listed.insert(name.trim_matches('`').to_owned(), blocks);
        for named in checks.split('`').filter(|word| word.contains("/tests/")) {
            assert!(root().join(named).exists(), "{name}: {named} is not there");
        }
    }
    let found = sources()
        .into_iter()
        .map(|(name, text)| (name, unsafe_blocks(&text)));
    let found: BTreeMap<_, _> = found
        .filter(|(name, blocks)| {
            *blocks > 0 && !name.starts_with("target/") && !name.contains("/target/")
        })
        .collect();
    assert_eq!(
        listed, found,
        "docs/unsafe.md on the left, the sources on the right"
    );
    let tests = files_in(&["rt/src", "feed-handler/src", "gateway/src"], &[".rs"]);
    for named in page.split('`').filter(|word| word.starts_with("loom_")) {
        let test = format!("fn {named}()");
        assert!(
            tests.iter().any(|(_, text)| text.contains(&test)),
            "no test {named}"
        );
    }
}
