//! The crates that a strategy's author needs can be packaged: all of them, each with what it is built from and nothing else.
//!
//! Without a build and without a network; `make package` builds each from its package.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use support::stderr;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// What cargo prints.
fn cargo(arguments: &[&str]) -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    let output = command.current_dir(root()).args(arguments).output();
    let output = output.expect("cargo starts");
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        stderr(&output)
    );
    String::from_utf8(output.stdout).expect("text")
}

/// The crates of the workspace, by name.
fn crates() -> BTreeMap<String, Value> {
    let metadata = cargo(&[
        "metadata",
        "--offline",
        "--no-deps",
        "--format-version",
        "1",
    ]);
    let metadata: Value = serde_json::from_str(&metadata).expect("JSON");
    let all = metadata["packages"].as_array().expect("packages").iter();
    all.map(|it| (it["name"].as_str().expect("a name").to_owned(), it.clone()))
        .collect()
}

/// A crate, and those of the workspace that it is built with.
fn with_dependencies(name: &str, crates: &BTreeMap<String, Value>, found: &mut BTreeSet<String>) {
    if !found.insert(name.to_owned()) {
        return;
    }
    for dependency in crates[name]["dependencies"].as_array().expect("a list") {
        let of = dependency["name"].as_str().expect("a name");
        if dependency["kind"] != "dev" && crates.contains_key(of) {
            with_dependencies(of, crates, found);
        }
    }
}

/// What `make package` packages.
fn packaged() -> BTreeSet<String> {
    let makefile = std::fs::read_to_string(root().join("Makefile")).expect("a Makefile");
    let line = makefile
        .lines()
        .find_map(|it| it.strip_prefix("AUTHOR_CRATES := "));
    let names = line.expect("a list").split_whitespace();
    names.map(str::to_owned).collect()
}

#[test]
fn every_crate_that_an_author_needs_is_packaged_and_says_what_it_is() {
    let crates = crates();
    let mut needed = BTreeSet::new();
    with_dependencies("tickgate", &crates, &mut needed);
    assert_eq!(packaged(), needed);
    for name in &needed {
        let it = &crates[name];
        assert_eq!(it["license"], "Apache-2.0 OR MIT", "{name}");
        let description = it["description"].as_str().unwrap_or_default();
        assert!(description.len() > 20, "{name}: {description}");
        assert!(
            !it["keywords"].as_array().expect("a list").is_empty(),
            "{name}"
        );
        assert!(
            !it["categories"].as_array().expect("a list").is_empty(),
            "{name}"
        );
        assert!(it["publish"].is_null(), "{name} may not be published");
    }
    let others = crates.iter().filter(|(name, _)| !needed.contains(*name));
    for (name, it) in others {
        assert_eq!(
            it["publish"],
            serde_json::json!([]),
            "{name} may be published"
        );
    }
}

#[test]
fn packages_are_made_and_hold_sources_and_licences_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let target = folder.path().display().to_string();
    let names = packaged();
    let mut arguments = vec!["package", "--offline", "--no-verify", "--allow-dirty"];
    arguments.extend(["--target-dir", &target]);
    names.iter().for_each(|name| arguments.extend(["-p", name]));
    cargo(&arguments);
    for name in &names {
        let package = format!("package/{name}-0.1.0.crate");
        assert!(folder.path().join(&package).is_file(), "{package}");
        let list = cargo(&[
            "package",
            "--offline",
            "--list",
            "--allow-dirty",
            "-p",
            name,
        ]);
        let files: BTreeSet<&str> = list.lines().collect();
        for file in ["Cargo.toml", "LICENSE-APACHE", "LICENSE-MIT", "src/lib.rs"] {
            assert!(files.contains(file), "{name}: no {file} in {files:?}");
        }
        for file in files {
            let ends = [
                ".rs",
                ".bpf.c",
                ".toml",
                ".toml.orig",
                "README.md",
                "Cargo.lock",
                "vcs_info.json",
                "LICENSE-MIT",
                "LICENSE-APACHE",
            ];
            assert!(ends.iter().any(|end| file.ends_with(end)), "{name}: {file}");
        }
    }
}
