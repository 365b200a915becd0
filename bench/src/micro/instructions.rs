//! How many instructions an operation of each piece takes, counted by callgrind, beside the record.
//!
//! Counts are the same on a loaded host as on a quiet one, so they can be judged where times cannot.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::pieces;

/// Growth that is taken for noise.
const GROWTH_MAX: f64 = 0.03;

/// Instructions an operation, by piece, with the compiler that they are true for.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Counts {
    /// `rustc --version`.
    pub rustc: String,
    /// Instructions an operation.
    pub instructions: BTreeMap<String, f64>,
}

/// Counts every piece in a process of its own under callgrind. `on_piece` hears of each.
///
/// # Errors
/// valgrind is not installed, or what it says cannot be read.
pub fn count(mut on_piece: impl FnMut(&str, f64)) -> Result<Counts> {
    let rustc = Command::new("rustc").arg("--version").output();
    let rustc = rustc.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let mut counts = Counts {
        rustc: rustc.unwrap_or_default(),
        ..Counts::default()
    };
    for piece in pieces()? {
        let collected = callgrind(&piece.name)?;
        let each = collected as f64 / piece.operations as f64;
        on_piece(&piece.name, each);
        let rounded = (each * 100.0).round() / 100.0;
        counts.instructions.insert(piece.name, rounded);
    }
    Ok(counts)
}

fn callgrind(piece: &str) -> Result<u64> {
    let output = Command::new("valgrind")
        .args([
            "--tool=callgrind",
            "--callgrind-out-file=/dev/null",
            "--toggle-collect=*run_measured_pass*",
        ])
        .arg(std::env::current_exe()?)
        .args(["micro", "--pass", piece])
        .output()
        .context("starting valgrind: install Debian's valgrind")?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("{piece}: valgrind failed:\n{said}");
    }
    let collected = said
        .lines()
        .find_map(|line| line.split("Collected : ").nth(1))
        .and_then(|count| count.trim().parse().ok());
    match collected {
        Some(count) if count > 0 => Ok(count),
        _ => bail!("{piece}: valgrind counted nothing:\n{said}"),
    }
}

/// What grew beyond noise, what is new, what is gone: empty when the record is true.
#[must_use]
pub fn differences(recorded: &Counts, counted: &Counts) -> Vec<String> {
    let mut found = Vec::new();
    for (name, now) in &counted.instructions {
        match recorded.instructions.get(name) {
            None => found.push(format!("{name}: not recorded, {now:.1} instructions now")),
            Some(before) if *now > before * (1.0 + GROWTH_MAX) => found.push(format!(
                "{name}: {before:.1} instructions recorded, {now:.1} now ({:+.1} %)",
                (now / before - 1.0) * 100.0
            )),
            Some(_) => {}
        }
    }
    let gone = recorded.instructions.keys();
    let gone = gone.filter(|name| !counted.instructions.contains_key(*name));
    found.extend(gone.map(|name| format!("{name}: recorded, and gone")));
    found
}

/// Reads the record.
///
/// # Errors
/// It is not there, or is none.
pub fn read(path: &Path) -> Result<Counts> {
    let shown = || path.display().to_string();
    let text = std::fs::read_to_string(path).with_context(shown)?;
    serde_json::from_str(&text).with_context(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_beyond_three_percent_is_told_and_less_is_not() {
        let counts = |a: f64| Counts {
            instructions: BTreeMap::from([("a".to_owned(), a), ("b".to_owned(), 10.0)]),
            ..Counts::default()
        };
        assert!(differences(&counts(100.0), &counts(102.9)).is_empty());
        assert!(differences(&counts(100.0), &counts(50.0)).is_empty());
        let found = differences(&counts(100.0), &counts(103.5));
        assert_eq!(
            found,
            ["a: 100.0 instructions recorded, 103.5 now (+3.5 %)"]
        );
        let mut fewer = counts(1.0);
        fewer.instructions.remove("b");
        assert_eq!(differences(&counts(1.0), &fewer).len(), 1);
        assert_eq!(differences(&fewer, &counts(1.0)).len(), 1);
    }
}
