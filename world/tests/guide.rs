//! The guide says what is so: its reference pages are what the code writes.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod support;

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
