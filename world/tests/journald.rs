//! The log of a gateway under systemd: a real journald takes it, and journalctl finds it by the fields that the guide names.
//!
//! journald runs alone, in namespaces of its own for mounts and network, with a /run of its own: nothing of this host's journal is
//! touched.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use lab::process::sibling;
use serde_json::Value;
use support::{has, is_root, skip, stderr};

const JOURNALD: &str = "/lib/systemd/systemd-journald";

/// Runs the lab's exchange and its gateway, in the sandbox, with the journal as their standard error, as systemd begins a service;
/// another journald takes over in between. `$1` is a folder with the files, `$2` one with the programs.
const SCRIPT: &str = r#"
set -eu
mount --make-rprivate /
mount -t tmpfs tmpfs /run
ip link set lo up
# Without what is the host's: its audit records and its kernel's messages.
mkdir -p /run/systemd/journald.conf.d
printf '[Journal]\nStorage=volatile\nAudit=no\nReadKMsg=no\nForwardToSyslog=no\n' >/run/systemd/journald.conf.d/alone.conf
if [ ! -s /etc/machine-id ]; then
    echo 0123456789abcdef0123456789abcdef >/run/machine-id
    touch /etc/machine-id && mount --bind /run/machine-id /etc/machine-id
fi
journald() {
    /lib/systemd/systemd-journald 2>/dev/null &
    journald=$!
    until [ -S /run/systemd/journal/socket ] && [ -S /run/systemd/journal/stdout ]; do sleep 0.05; done
}
entries() { journalctl --no-pager -q -o json "$@"; }
until_there() {
    for _ in $(seq 400); do [ -z "$(entries "$@")" ] || return 0; sleep 0.05; done
    echo "never in the journal: $*" >&2
    entries >&2
    exit 1
}
# What systemd says of a service's standard error.
service() { exec systemd-cat sh -c 'JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2) exec "$@"' sh "$@"; }
trap 'kill -9 $(jobs -p) 2>/dev/null || true' EXIT
cd "$1"
journald
service "$2/tickgate-sim" run --config lab-sim.toml &
until_there SYSLOG_IDENTIFIER=tickgate-sim
service "$2/tickgate" run --config lab.toml --set sandbox.mode=enforce --set sandbox.require=filter --set telemetry.table=false &
gateway=$!
until_there TICKGATE_SESSION=ouch TICKGATE_EVENT=SessionOpen
until_there TICKGATE_FEED=sim
# A journald that is begun anew has another socket.
kill $journald && wait $journald || true
rm -f /run/systemd/journal/socket /run/systemd/journal/stdout
journald
kill -USR2 $gateway
until_there SYSLOG_IDENTIFIER=tickgate PRIORITY=4 TICKGATE_TARGET=gateway::service::housekeeping
kill -TERM $gateway && wait $gateway
journalctl --sync
entries
"#;

fn run(folder: &Path) -> Output {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/examples");
    for name in ["lab.toml", "lab-sim.toml"] {
        let file = folder.join(name);
        fs::copy(examples.join(name), &file).expect("copied");
        fs::set_permissions(&file, Permissions::from_mode(0o640)).expect("it is ours");
    }
    let programs = sibling("tickgate").expect("the workspace is built");
    let mut command = Command::new("unshare");
    command.args(["--mount", "--net", "timeout", "120", "bash", "-c", SCRIPT]);
    command.arg("bash").arg(folder);
    command.arg(programs.parent().expect("a folder"));
    command.env_remove("RUST_LOG").output().expect("it starts")
}

#[test]
fn entries_of_a_gateway_in_its_sandbox_are_found_by_their_fields_also_by_a_journald_that_was_begun_anew()
 {
    if !is_root() || !has("systemd-cat") || !has("journalctl") || !has("unshare") {
        return;
    }
    if !Path::new(JOURNALD).is_file() {
        return skip("there is no journald");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let output = run(folder.path());
    assert!(output.status.success(), "{}", stderr(&output));
    let text = String::from_utf8(output.stdout).expect("text");
    let entries: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let of = |field: &str, value: &str| -> Vec<&Value> {
        entries.iter().filter(|it| it[field] == value).collect()
    };
    let ours = of("SYSLOG_IDENTIFIER", "tickgate");
    assert!(ours.len() >= 8, "{text}");
    for entry in &ours {
        // Our own entries, by the socket, and no line of text that journald had to take apart.
        assert_eq!(entry["_TRANSPORT"], "journal", "{entry}");
        assert!(entry["TICKGATE_TARGET"].is_string(), "{entry}");
        let level = entry["PRIORITY"].as_str();
        assert!(
            level.is_some_and(|it| ["3", "4", "6"].contains(&it)),
            "{entry}"
        );
        let message = entry["MESSAGE"].as_str().unwrap_or_default();
        assert!(!message.contains("INFO"), "the level is a field: {entry}");
    }
    let opened = of("TICKGATE_EVENT", "SessionOpen");
    assert_eq!(opened.len(), 1, "{opened:?}");
    assert_eq!(opened[0]["TICKGATE_SESSION"], "ouch");
    assert_eq!(opened[0]["MESSAGE"], "ouch: session open, orders go out");
    assert_eq!(opened[0]["PRIORITY"], "6");
    let kill = "kill switch on, asked for by SIGUSR2";
    let killed = of("MESSAGE", kill);
    assert_eq!(
        (killed.len(), &killed[0]["PRIORITY"]),
        (1, &Value::from("4"))
    );
    let last = ours.last().and_then(|it| it["MESSAGE"].as_str());
    assert!(last.is_some(), "{text}");
    let refused = entries.iter().filter(|it| {
        it["MESSAGE"]
            .as_str()
            .is_some_and(|it| it.contains("sandbox refused"))
    });
    assert_eq!(refused.count(), 0, "{text}");
    assert!(!of("SYSLOG_IDENTIFIER", "tickgate-sim").is_empty());
}
