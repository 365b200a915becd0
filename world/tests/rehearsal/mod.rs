//! The two files that a newcomer begins with, run: a simulator and a gateway on this machine, on ports that nobody has.

#![allow(dead_code, reason = "each test file uses its part")]

use std::fs::{self, Permissions};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use lab::process::{Process, sibling};

static NEVER: AtomicBool = AtomicBool::new(false);
/// How long a start may take.
const SOON: Duration = Duration::from_secs(20);

/// Both, trading.
pub(crate) struct Rehearsal {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) exchange: Process,
    pub(crate) gateway: Process,
    /// The gateway's control socket.
    pub(crate) socket: String,
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/examples")
}

/// The password of both files.
const PASSWORD: &str = "demo";

/// The lab's two files on ports that nobody has, in a folder of its own.
fn lab_files(folder: &Path, password: &str) {
    let taken: Vec<_> = (0..4)
        .map(|_| UdpSocket::bind("127.0.0.1:0").expect("a port"))
        .collect();
    let orders = TcpListener::bind("127.0.0.1:0").expect("a port");
    let snapshots = TcpListener::bind("127.0.0.1:0").expect("a port");
    let udp = |at: usize| taken[at].local_addr().expect("bound").port();
    let ports = [
        ("12000", orders.local_addr().expect("bound").port()),
        ("26477", udp(0)),
        ("26478", udp(1)),
        ("26479", udp(2)),
        ("26480", snapshots.local_addr().expect("bound").port()),
    ];
    for name in ["lab.toml", "lab-sim.toml"] {
        let mut text = fs::read_to_string(examples().join(name)).expect("it is there");
        for (port, free) in ports {
            text = text.replace(&format!("127.0.0.1:{port}"), &format!("127.0.0.1:{free}"));
        }
        let [from, to] = [PASSWORD, password].map(|it| format!("password = \"{it}\""));
        assert!(text.contains(&from), "{name}");
        text = text.replace(&from, &to);
        let file = folder.join(name);
        fs::write(&file, text).expect("it can be written");
        fs::set_permissions(&file, Permissions::from_mode(0o640)).expect("it is ours");
    }
}

impl Rehearsal {
    /// Starts both, the gateway with these settings beside its file's; its report goes to `report.json`.
    pub(crate) fn start(settings: &[&str]) -> Self {
        Self::start_with(PASSWORD, Stdio::inherit(), settings)
    }

    /// The same with another password, and the gateway's standard output somewhere else.
    pub(crate) fn start_with(password: &str, output: Stdio, settings: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        lab_files(folder.path(), password);
        let report = folder.path().join("report.json");
        let program = |name: &str, file: &str| {
            let mut command = Command::new(sibling(name).expect("the workspace is built"));
            command
                .args(["run", "--config"])
                .arg(folder.path().join(file));
            command
        };
        let mut exchange = Process::start("exchange", program("tickgate-sim", "lab-sim.toml"))
            .expect("the exchange starts");
        exchange
            .await_line("listening on", SOON, &NEVER)
            .expect("it listens");
        let mut command = program("tickgate", "lab.toml");
        command.stdout(output);
        let socket = folder.path().join("control.sock").display().to_string();
        command.args(["--set", &format!("telemetry.json={}", report.display())]);
        command.args(["--set", &format!("control.socket={socket}")]);
        command.args(["--set", "telemetry.table=false"]);
        command.args(["--set", "host.feeds_wait_ms=0"]);
        for setting in settings {
            command.args(["--set", setting]);
        }
        let mut gateway = Process::start_service("gateway", command).expect("the gateway starts");
        gateway.await_ready(SOON, &NEVER).expect("it is ready");
        Self {
            folder,
            exchange,
            gateway,
            socket,
        }
    }
}
