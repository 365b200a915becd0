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

/// Commands that a program's help lists.
fn commands(program: &Path) -> BTreeSet<String> {
    let help = run(program, &["--help"]);
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    let (_, listed) = help.split_once("Commands:\n").expect("it has commands");
    let lines = listed.lines().take_while(|line| !line.is_empty());
    let names = lines.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    names
        .filter(|name| !name.is_empty() && *name != "help")
        .map(str::to_owned)
        .collect()
}

#[test]
fn each_command_has_its_page_and_is_completed_by_both_shells() {
    let (root, _) = installed("/usr");
    let share = root.path().join("usr/share");
    for program in ["tickgate", "tickgate-sim", "tickgate-host-tune"] {
        let names = commands(&root.path().join("usr/bin").join(program));
        assert!(names.contains("manual"), "{names:?}");
        let bash = share.join("bash-completion/completions").join(program);
        let zsh = share.join("zsh/site-functions").join(format!("_{program}"));
        let bash = fs::read_to_string(bash).expect("it is there");
        let zsh = fs::read_to_string(zsh).expect("it is there");
        for name in names {
            let page = share.join(format!("man/man1/{program}-{name}.1.gz"));
            assert!(page.is_file(), "{page:?}");
            assert!(
                bash.contains(&name) && zsh.contains(&name),
                "{program} {name}"
            );
        }
    }
    let completed = run(
        Path::new("bash"),
        &[
            "-c",
            "source \"$1\"; COMP_WORDS=(tickgate ctl po); COMP_CWORD=2; _tickgate tickgate po ctl; echo ${COMPREPLY[@]}",
            "bash",
            &share
                .join("bash-completion/completions/tickgate")
                .display()
                .to_string(),
        ],
    );
    assert_eq!(
        String::from_utf8_lossy(&completed.stdout).trim(),
        "positions"
    );
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
const GIVEN_UP_TOO: [&str; 7] = [
    "RestrictSUIDSGID=yes",
    "LockPersonality=yes",
    "MemoryDenyWriteExecute=yes",
    "ProtectClock=yes",
    "ProtectKernelLogs=yes",
    "RestrictNamespaces=yes",
    "SystemCallArchitectures=native",
];

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
}
