//! What `make install` puts where: every program with its manual, its completions, its unit, and a first configuration that is right.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use lab::process::sibling;
use support::{has, stderr};

/// What was installed below a folder of its own, as a package would be.
fn installed(prefix: &str) -> (tempfile::TempDir, PathBuf) {
    let root = tempfile::tempdir().expect("a folder");
    let built = sibling("tickgate").expect("the workspace is built");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/install");
    let install = || {
        let mut command = Command::new(&script);
        command
            .arg(built.parent().expect("a folder"))
            .arg(prefix)
            .arg(root.path());
        let output = command.output().expect("it runs");
        assert!(output.status.success(), "{}", stderr(&output));
    };
    install();
    let file = root.path().join("etc/tickgate/tickgate.toml");
    let text = fs::read_to_string(&file).expect("it is there");
    fs::write(&file, format!("{text}# ours\n")).expect("it can be written");
    // A second time it leaves the operator's file alone.
    install();
    assert!(
        fs::read_to_string(&file)
            .expect("it is there")
            .ends_with("# ours\n")
    );
    (root, file)
}

fn run(program: &Path, arguments: &[&str]) -> Output {
    Command::new(program)
        .args(arguments)
        .output()
        .expect("it starts")
}

/// The programs that are installed.
const PROGRAMS: [&str; 3] = ["tickgate", "tickgate-sim", "tickgate-host-tune"];

/// Commands that the help of a program, or of a command of it, lists.
fn commands(program: &Path, of: &[String]) -> BTreeSet<String> {
    let mut arguments: Vec<&str> = of.iter().map(String::as_str).collect();
    arguments.push("--help");
    let help = run(program, &arguments);
    assert!(help.status.success(), "{of:?}: {}", stderr(&help));
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    let Some((_, listed)) = help.split_once("Commands:\n") else {
        return BTreeSet::new();
    };
    let lines = listed.lines().take_while(|line| !line.is_empty());
    let names = lines.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    names
        .filter(|name| !name.is_empty() && *name != "help")
        .map(str::to_owned)
        .collect()
}

/// Every command of a program, with those that it is one of before it: `["ctl", "limits", "set"]`.
fn all_commands(program: &Path) -> Vec<Vec<String>> {
    let mut all: Vec<Vec<String>> = Vec::new();
    let mut open = vec![Vec::new()];
    while let Some(of) = open.pop() {
        for name in commands(program, &of) {
            let command = [of.as_slice(), &[name]].concat();
            all.push(command.clone());
            open.push(command);
        }
    }
    all
}

#[test]
fn each_command_explains_itself_and_has_its_page() {
    let (root, _) = installed("/usr");
    let mut pages = 0;
    for program in PROGRAMS {
        let commands = all_commands(&root.path().join("usr/bin").join(program));
        assert!(
            commands.contains(&vec!["manual".to_owned()]),
            "{commands:?}"
        );
        for command in commands {
            let name = format!("{program}-{}", command.join("-"));
            let page = root.path().join(format!("usr/share/man/man1/{name}.1.gz"));
            assert!(page.is_file(), "{page:?}");
            pages += 1;
        }
    }
    assert!(pages > 30, "{pages}");
}

#[test]
fn the_backtest_beside_tickgate_explains_itself_and_is_completed() {
    let (root, _) = installed("/usr");
    let help = run(
        &root.path().join("usr/bin/tickgate"),
        &["backtest", "--help"],
    );
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    assert!(help.contains("Usage: tickgate backtest"), "{help}");
    let share = root.path().join("usr/share");
    let page = share.join("man/man1/tickgate-backtest.1.gz");
    let page = run(Path::new("gzip"), &["-cd", &page.display().to_string()]);
    let page = String::from_utf8_lossy(&page.stdout).replace("\\-", "-");
    let bash = fs::read_to_string(share.join("bash-completion/completions/tickgate-backtest"));
    let bash = bash.expect("completions");
    for option in ["--latency", "--seed", "--config", "--json"] {
        for text in [&help, &page, &bash] {
            assert!(text.contains(option), "{option}: {text}");
        }
    }
}

/// What is typed to complete each command: all but the last letter of its name.
fn typed(program: &str, command: &[String]) -> String {
    let line = [&[program.to_owned()], command].concat().join(" ");
    line[..line.len() - 1].to_owned()
}

#[test]
fn each_command_is_completed_by_bash() {
    let (root, _) = installed("/usr");
    for program in PROGRAMS {
        let completions = root.path().join("usr/share/bash-completion/completions");
        let mut script = format!("source '{}'\n", completions.join(program).display());
        // As bash does it: the function that `complete` has for the program, with the words of the line.
        script.push_str(&format!(
            "f=$(complete -p {program} | sed 's/.*-F \\([^ ]*\\).*/\\1/')\n\
             try() {{ COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); COMP_LINE=\"$*\"; COMP_POINT=${{#COMP_LINE}}\n\
             $f \"$1\" \"${{@: -1}}\" \"${{@: -2:1}}\"; echo \"${{COMPREPLY[@]}}\"; }}\n"
        ));
        let commands = all_commands(&root.path().join("usr/bin").join(program));
        for command in &commands {
            script.push_str(&format!("try {}\n", typed(program, command)));
        }
        let completed = run(Path::new("bash"), &["-c", &script]);
        let said = String::from_utf8_lossy(&completed.stdout).into_owned();
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines.len(), commands.len(), "{said}{}", stderr(&completed));
        for (command, line) in commands.iter().zip(lines) {
            let name = command.last().expect("a name");
            let is_there = line.split(' ').any(|word| word == name);
            assert!(is_there, "{program} {command:?}: {line}");
        }
    }
}

/// A line editor that is typed at: `TAB` completes, and ^T writes what the line has become into a file and empties it.
const ZSH: &str = r#"
zmodload zsh/zpty
zpty editor "env -u ZDOTDIR HOME=$HOME TERM=dumb zsh -f -i"
zpty -w editor "fpath=($1 \$fpath); autoload -Uz compinit; compinit -u -d $HOME/dump"
zpty -w editor "report() { print -r -- \"\$BUFFER\" >>$2; BUFFER=; }; zle -N report; bindkey '^T' report; bindkey '^I' complete-word"
zpty -w editor "print ready >>$2"
until grep -q ready $2 2>/dev/null; do zpty -r -t editor x; sleep 0.05; done
while read -r line; do zpty -w -n editor "$line"$'\t\x14'; done
lines=$(($3 + 1))
for try in {1..600}; do zpty -r -t editor x; [[ $(wc -l <$2) -ge $lines ]] && break; sleep 0.05; done
zpty -d editor
"#;

#[test]
fn each_command_is_completed_by_zsh() {
    if !has("zsh") {
        return;
    }
    let (root, _) = installed("/usr");
    let folder = tempfile::tempdir().expect("a folder");
    let completed = folder.path().join("completed");
    let functions = root.path().join("usr/share/zsh/site-functions");
    let mut expected = vec!["ready".to_owned()];
    let mut lines = String::new();
    for program in PROGRAMS {
        for command in all_commands(&root.path().join("usr/bin").join(program)) {
            lines.push_str(&format!("{}\n", typed(program, &command)));
            expected.push(format!("{program} {}", command.join(" ")));
        }
    }
    let input = folder.path().join("typed");
    fs::write(&input, lines).expect("written");
    let output = Command::new("zsh")
        .args(["-f", "-c", ZSH, "zsh"])
        .arg(functions)
        .arg(&completed)
        .arg((expected.len() - 1).to_string())
        .env("HOME", folder.path())
        .stdin(fs::File::open(input).expect("it is there"))
        .output()
        .expect("it starts");
    let completed = fs::read_to_string(completed).unwrap_or_default();
    let completed: Vec<&str> = completed.lines().map(str::trim_end).collect();
    assert_eq!(completed, expected, "{}", stderr(&output));
}

#[test]
fn first_configuration_is_right_and_not_for_everybody_to_read() {
    let (root, file) = installed("/usr");
    let bin = root.path().join("usr/bin");
    let sim = root.path().join("etc/tickgate/sim.toml");
    let check = run(
        &bin.join("tickgate"),
        &["check", "--config", &file.display().to_string()],
    );
    assert!(check.status.success(), "{}", stderr(&check));
    for (file, mode) in [(&file, 0o640), (&sim, 0o600)] {
        let metadata = fs::metadata(file).expect("it is there");
        assert_eq!(metadata.permissions().mode() & 0o777, mode, "{file:?}");
    }
}

#[test]
fn units_name_the_programs_where_they_are_and_systemd_accepts_them() {
    if !has("systemd-analyze") {
        return;
    }
    for (prefix, units) in [("/usr", "usr/lib"), ("/opt/gate", "etc")] {
        let (root, _) = installed(prefix);
        let folder = root.path().join(units).join("systemd/system");
        assert!(folder.join("tickgate.slice").is_file());
        for name in [
            "tickgate.service",
            "tickgate@.service",
            "tickgate-sim.service",
            "tickgate-metrics.service",
            "tickgate-mqtt.service",
        ] {
            let unit = folder.join(name);
            let text = fs::read_to_string(&unit).expect("it is there");
            let program = format!("ExecStart={prefix}/bin/tickgate");
            assert!(text.contains(&program), "{name}: {text}");
            // The programs are below the folder, not at the place that the unit names.
            let text = text.replace(
                prefix,
                &root.path().join(&prefix[1..]).display().to_string(),
            );
            fs::write(&unit, text).expect("it can be written");
            let unit = unit
                .display()
                .to_string()
                .replace("tickgate@.", "tickgate@desk.");
            let said = run(Path::new("systemd-analyze"), &["verify", &unit]);
            let ours: Vec<String> = stderr(&said)
                .lines()
                .filter(|line| line.contains("tickgate"))
                .map(str::to_owned)
                .collect();
            assert!(
                said.status.success() && ours.is_empty(),
                "{}",
                stderr(&said)
            );
        }
    }
}

#[test]
fn instances_have_what_the_one_service_has() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/systemd");
    let read = |name: &str| fs::read_to_string(folder.join(name)).expect("it is there");
    let settings = |text: &str| -> Vec<String> {
        let lines = text
            .lines()
            .filter(|line| line.contains('=') && !line.starts_with('#'));
        lines
            .filter(|line| !line.starts_with("Description"))
            .map(str::to_owned)
            .collect()
    };
    let one = settings(&read("tickgate.service"));
    let each = settings(
        &read("tickgate@.service")
            .replace("tickgate-%i", "tickgate")
            .replace("%i", "tickgate"),
    );
    assert_eq!(one, each);
}

/// What each unit gives up, whatever its program is for.
const GIVEN_UP: [&str; 7] = [
    "NoNewPrivileges=yes",
    "ProtectSystem=strict",
    "ProtectHome=yes",
    "PrivateTmp=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelTunables=yes",
    "ProtectControlGroups=yes",
];
/// What the gateway's gives up beside that.
const GIVEN_UP_TOO: [&str; 9] = [
    "RestrictSUIDSGID=yes",
    "LockPersonality=yes",
    "MemoryDenyWriteExecute=yes",
    "ProtectClock=yes",
    "ProtectKernelLogs=yes",
    "RestrictNamespaces=yes",
    "SystemCallArchitectures=native",
    "SystemCallFilter=~@clock @cpu-emulation @debug @module @mount @obsolete @raw-io @reboot @swap",
    "PrivateMounts=yes",
];

#[test]
fn units_write_no_core_dump() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/systemd");
    let units = fs::read_dir(folder).expect("it is there");
    let units = units.map(|it| it.expect("a file").path());
    let units = units.filter(|it| it.extension().is_some_and(|it| it == "service"));
    let mut seen = 0;
    for unit in units {
        let text = fs::read_to_string(&unit).expect("it can be read");
        let lines = text.lines().filter(|it| it.starts_with("LimitCORE="));
        assert_eq!(lines.collect::<Vec<_>>(), ["LimitCORE=0"], "{unit:?}");
        seen += 1;
    }
    assert_eq!(seen, 5);
}

#[test]
fn units_have_no_more_rights_than_their_programs_need() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/systemd");
    let hot = "CAP_NET_RAW CAP_NET_ADMIN CAP_BPF CAP_IPC_LOCK CAP_SYS_NICE";
    for (name, capabilities, user, more) in [
        ("tickgate.service", hot, "User=tickgate", &GIVEN_UP_TOO[..]),
        ("tickgate-metrics.service", "", "User=tickgate", &[]),
        ("tickgate-mqtt.service", "", "User=tickgate", &[]),
        ("tickgate-sim.service", "", "DynamicUser=yes", &[]),
    ] {
        let text = fs::read_to_string(folder.join(name)).expect("it is there");
        let lines: Vec<&str> = text.lines().collect();
        let bound = format!("CapabilityBoundingSet={capabilities}");
        let theirs = [user, &bound];
        for wanted in GIVEN_UP.iter().chain(more).chain(&theirs) {
            assert!(lines.contains(wanted), "{name}: no {wanted}");
        }
    }
    // Gateways are beside all other services, in a slice that is installed with them.
    let folder_of = |name: &str| fs::read_to_string(folder.join(name)).expect("it is there");
    for name in ["tickgate.service", "tickgate@.service"] {
        let is_there = folder_of(name)
            .lines()
            .any(|it| it == "Slice=tickgate.slice");
        assert!(is_there, "{name}");
    }
    // What they write is nobody else's to read.
    for name in [
        "tickgate.service",
        "tickgate@.service",
        "tickgate-sim.service",
    ] {
        let text = fs::read_to_string(folder.join(name)).expect("it is there");
        let lines: Vec<&str> = text.lines().collect();
        for wanted in ["UMask=0027", "StateDirectoryMode=0750"] {
            assert!(lines.contains(&wanted), "{name}: no {wanted}");
        }
    }
}
