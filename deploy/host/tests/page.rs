//! `docs/host.md` is the table of checks, for people.

#![allow(clippy::unwrap_used, reason = "tests")]

use tickgate_host::{checks, measure};

/// How a check stands in the page.
fn row(check: &checks::Check) -> String {
    let checks::Check {
        name,
        wanted,
        why,
        how,
        ..
    } = check;
    format!("| {name} | {wanted} | {why} | {how} |")
}

#[test]
fn page_has_every_check_as_the_program_tells_it_and_no_other() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/host.md");
    let page = std::fs::read_to_string(page).unwrap();
    let missing: Vec<String> = checks::all()
        .map(row)
        .filter(|row| !page.lines().any(|line| line == row))
        .collect();
    assert!(missing.is_empty(), "docs/host.md:\n{}", missing.join("\n"));
    let measured: Vec<String> = measure::CHECKS
        .iter()
        .map(|it| format!("| {} | {} | {} | {} |", it.name, it.wanted, it.why, it.how))
        .filter(|row| !page.lines().any(|line| line == row))
        .collect();
    assert!(
        measured.is_empty(),
        "docs/host.md:\n{}",
        measured.join("\n")
    );
    let columns = |line: &&str| line.starts_with("| ") && line.matches(" | ").count() == 3;
    let rows = page.lines().filter(columns).count();
    let heads = page.lines().filter(|line| *line == HEAD).count();
    assert_eq!(rows - heads, checks::all().count() + measure::CHECKS.len());
}

const HEAD: &str = "| check | wanted | why | how |";

#[test]
fn profile_boots_with_what_the_page_says() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let read = |path: &str| std::fs::read_to_string(format!("{root}/{path}")).unwrap();
    let (page, profile) = (
        read("docs/host.md"),
        read("deploy/tuned/tickgate/tuned.conf"),
    );
    let line = profile
        .lines()
        .find_map(|line| line.strip_prefix("cmdline_tickgate=+"))
        .unwrap();
    let line = line.replace("${isolated_cores}", "2-3");
    assert!(page.lines().any(|it| it.trim() == line), "{line}");
}
