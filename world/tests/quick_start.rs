//! The guide's quick start, as a reader types it: each command of the page in order, and what the page promises held against what comes.
//!
//! As root it has a network of its own, so that the page's ports are free; else it needs them free on this host.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod support;

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use lab::process::sibling;
use support::skip;

/// What a reader would take for a command that hangs.
const PATIENCE_S: &str = "300";

/// A command, and the lines that the page promises.
#[derive(Debug, Default, PartialEq)]
struct Step {
    command: String,
    promised: Vec<String>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The steps of a page: its `console` blocks, where a command stands behind `$ `.
fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut is_inside = false;
    for line in page.lines() {
        match line {
            "```console" => is_inside = true,
            "```" => is_inside = false,
            _ if !is_inside => {}
            _ => match (line.strip_prefix("$ "), steps.last_mut()) {
                (Some(command), _) => steps.push(Step {
                    command: command.to_owned(),
                    promised: Vec::new(),
                }),
                (None, Some(step)) => step.promised.push(line.to_owned()),
                (None, None) => panic!("{line}: before any command"),
            },
        }
    }
    steps
}

/// A line without what differs from run to run: numbers are one sign, and tables may be wider.
fn bare(line: &str) -> String {
    let mut out = String::new();
    for sign in line.trim_end().chars() {
        let is_of_number = |before: char| before == '#' && matches!(sign, ',' | '.' | ':');
        let sign = match sign {
            '0'..='9' => '#',
            _ if out.ends_with(is_of_number) => '#',
            sign => sign,
        };
        if !(matches!(sign, '#' | ' ' | '-') && out.ends_with(sign)) {
            out.push(sign);
        }
    }
    out
}

/// Whether a line is as promised; three dots are whatever is there.
fn is_line(promised: &str, came: &str) -> bool {
    let (promised, came) = (bare(promised), bare(came));
    match promised.split_once("...") {
        Some((begin, end)) => {
            let rest = came.strip_prefix(begin);
            rest.is_some_and(|rest| rest.ends_with(end))
        }
        None => promised == came,
    }
}

/// Whether lines are as promised; a line of three dots is any number of them.
fn is_as_promised(promised: &[String], came: &[&str]) -> bool {
    match promised.split_first() {
        None => came.is_empty(),
        Some((first, rest)) if first == "..." => {
            (0..=came.len()).any(|left_out| is_as_promised(rest, &came[left_out..]))
        }
        Some((first, rest)) => came
            .split_first()
            .is_some_and(|(line, others)| is_line(first, line) && is_as_promised(rest, others)),
    }
}

/// A shell that runs the steps and says before each which one it is.
fn script(steps: &[Step], has_own_network: bool) -> String {
    let mut script =
        String::from("exec 2>&1\nset -m\ntrap 'kill -9 $(jobs -p) 2>/dev/null' EXIT\n");
    if has_own_network {
        script.push_str("ip link set lo up\n");
    }
    for (number, step) in steps.iter().enumerate() {
        script.push_str(&format!("echo '@@ {number}'\n{}\n", step.command));
        script.push_str("status=$?\n[ $status = 0 ] || echo \"status $status\"\n");
    }
    script
}

/// Runs a script as a reader with an empty home and the programs on the path.
fn run(script: &str, has_own_network: bool) -> Output {
    let home = tempfile::tempdir().expect("a folder");
    let file = home.path().join("script");
    fs::write(&file, script).expect("written");
    let programs = sibling("tickgate").expect("the workspace is built");
    let programs = programs.parent().expect("a folder").display().to_string();
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(if has_own_network {
        "unshare"
    } else {
        "timeout"
    });
    if has_own_network {
        command.args(["--net", "timeout"]);
    }
    command
        .args([PATIENCE_S, "bash"])
        .arg(&file)
        .current_dir(root())
        .env("HOME", home.path())
        .env("PATH", format!("{programs}:{path}"))
        .env_remove("RUST_LOG");
    command.output().expect("it runs")
}

/// Whether nobody has the ports of the lab.
fn are_ports_free() -> bool {
    let udp = [26477, 26478, 26479].map(|port| UdpSocket::bind(("127.0.0.1", port)));
    let tcp = [12000, 26480].map(|port| TcpListener::bind(("127.0.0.1", port)));
    udp.iter().all(Result::is_ok) && tcp.iter().all(Result::is_ok)
}

#[test]
fn each_command_of_the_quick_start_does_what_the_page_promises() {
    let has_own_network = nix::unistd::geteuid().is_root();
    if !has_own_network && !are_ports_free() {
        skip("the quick start's ports are taken, and only root can have a network of its own");
        return;
    }
    let page = fs::read_to_string(root().join("docs/quick-start.md")).expect("it is there");
    let steps = steps(&page);
    assert!(steps.len() > 15, "only {} commands found", steps.len());
    let output = run(&script(&steps, has_own_network), has_own_network);
    let came = String::from_utf8_lossy(&output.stdout);
    let mut parts = came.split("@@ ").skip(1);
    for (number, step) in steps.iter().enumerate() {
        let part = parts
            .next()
            .unwrap_or_else(|| panic!("{step:?} was not reached:\n{came}"));
        let mut lines = part.lines();
        assert_eq!(lines.next(), Some(number.to_string().as_str()), "{came}");
        let lines: Vec<&str> = lines.collect();
        assert!(
            is_as_promised(&step.promised, &lines),
            "{}\npromised:\n{}\ncame:\n{}",
            step.command,
            step.promised.join("\n"),
            lines.join("\n")
        );
    }
}

#[test]
fn promises_are_held_to_their_words_and_not_to_their_numbers() {
    let page = "text\n```console\n$ one\nfirst 1,234.5 ns\n...\nlast\n$ two\n```\n$ three\n";
    let steps = steps(page);
    assert_eq!(steps.len(), 2);
    let promised = &steps[0].promised;
    assert!(is_as_promised(promised, &["first 7 ns", "last"]));
    assert!(is_as_promised(promised, &["first 7 ns", "x", "y", "last"]));
    assert!(!is_as_promised(promised, &["first 7 ms", "last"]));
    assert!(!is_as_promised(promised, &["first 7 ns", "last", "more"]));
    assert!(!is_as_promised(&steps[1].promised, &["status 1"]));
    assert!(is_line(
        "| a |    12 | open ... |",
        "| a | 9,999 | open x y |"
    ));
    assert!(!is_line(
        "| a |    12 | open ... |",
        "| a | 9,999 | shut x y |"
    ));
}
