//! What the end-to-end tests share.

#![allow(dead_code, reason = "each test file uses its part")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use gateway::options::{self, Options, Rings};
use gateway::service::sandbox::SandboxOptions;
use lab::netns::{Lab, Side};
use serde_json::Value;

/// Third-party data that lies beside the project, not in it.
pub(crate) fn shared(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared/data")
        .join(name);
    if !path.is_file() {
        eprintln!("SKIPPED: {} is not there", path.display());
        return None;
    }
    Some(path)
}

/// Says that a test is skipped for want of something that the gate's machine has: there it fails.
/// `make test` counts these lines.
pub(crate) fn skip(why: &str) {
    assert!(
        std::env::var_os("CI").is_none(),
        "the gate skips nothing: {why}"
    );
    eprintln!("SKIPPED: {why}");
}

/// Network namespaces need root.
pub(crate) fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let is_root = status.lines().any(|line| line.starts_with("Uid:\t0\t0"));
    if !is_root {
        skip("needs root for network namespaces and XDP");
    }
    is_root
}

/// Whether a program is installed.
pub(crate) fn has(program: &str) -> bool {
    let found = Command::new("sh")
        .args(["-c", &format!("command -v {program}")])
        .output();
    let has = found.is_ok_and(|output| output.status.success());
    if !has {
        skip(&format!("{program} is not installed"));
    }
    has
}

/// Runs a program of the project and gives what it said.
pub(crate) fn tool(name: &str, arguments: &[&str]) -> Output {
    let program = lab::process::sibling(name).expect("the workspace is built");
    Command::new(program)
        .args(arguments)
        .output()
        .expect("it starts")
}

/// Standard error as text.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A Python environment with packages from PyPI, made once; `None` where PyPI cannot be reached.
pub(crate) fn python_with(package: &str) -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("judge-{package}"));
    let python = target.join("bin/python");
    let is_there = |python: &Path| {
        let module = package.replace('-', "_");
        let check = Command::new(python)
            .args(["-c", &format!("import {module}")])
            .output();
        check.is_ok_and(|output| output.status.success())
    };
    if is_there(&python) {
        return Some(python);
    }
    let made = Command::new("python3")
        .args(["-m", "venv"])
        .arg(&target)
        .output();
    let installed = Command::new(&python)
        .args(["-m", "pip", "-q", "install", package])
        .output();
    if made.is_ok() && installed.is_ok() && is_there(&python) {
        return Some(python);
    }
    skip(&format!("{package} could not be installed from PyPI"));
    None
}

/// What DuckDB answers, row by row; `None` where there is none.
pub(crate) fn duckdb(question: &str) -> Option<Value> {
    let python = python_with("duckdb")?;
    let ask = "import duckdb, json, sys; print(json.dumps(duckdb.sql(sys.argv[1]).fetchall(), default=str))";
    let output = Command::new(python).args(["-c", ask, question]).output();
    let output = output.expect("it starts");
    assert!(output.status.success(), "{question}: {}", stderr(&output));
    Some(serde_json::from_slice(&output.stdout).expect("JSON"))
}

/// The questions of `docs/parquet.md`, about the files in this folder: positions, fills without a side, latencies.
pub(crate) fn documented_questions(folder: &Path) -> Vec<String> {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/parquet.md");
    let text = std::fs::read_to_string(document).expect("it is there");
    let folder = format!("'{}/", folder.display());
    let blocks = text
        .split("\n\n")
        .filter(|block| block.starts_with("    SELECT"));
    let questions = blocks.map(|block| {
        let block = block.replace("'exports/*/", &folder);
        block.replace("'OUT/", &folder)
    });
    questions.collect()
}

/// What a link to a heading says behind `#`, for mdBook and elsewhere.
pub(crate) fn anchor(heading: &str) -> String {
    let heading = heading.trim_matches(['#', ' ']).to_lowercase();
    let signs = heading.chars().filter_map(|sign| match sign {
        ' ' => Some('-'),
        sign if sign.is_alphanumeric() || sign == '-' || sign == '_' => Some(sign),
        _ => None,
    });
    signs.collect()
}

/// Packets that the exchange's side of the feed has sent.
pub(crate) fn sent_packets(lab: &Lab) -> u64 {
    let mut command = lab.command(Side::Exchange, Path::new("cat"));
    command.arg("/sys/class/net/feed0/statistics/tx_packets");
    let output = command.output().expect("cat runs");
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().expect("a number")
}

/// A gateway of nothing: no feed, no session, no strategy, and rings of this many messages.
pub(crate) fn bare(rings: Rings) -> Options {
    Options {
        lock_memory: false,
        huge_pages: false,
        realtime_priority: 0,
        state_dir: None,
        kill_page: None,
        feeds_wait_ns: 0,
        certificate: None,
        configuration: None,
        sandbox: SandboxOptions::default(),
        journal: None,
        is_inline: true,
        cpus: Vec::new(),
        cores: Vec::new(),
        rehearse_ns: 2_000,
        rings,
        feeds: Vec::new(),
        accounts: Vec::new(),
        sessions: Vec::new(),
        strategies: Vec::new(),
        output: options::Output::default(),
    }
}
