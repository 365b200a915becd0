//! The exchange behind its sockets: other people's clients, many of them, some of them bad.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bench::lab::{Process, sibling};

static NEVER: AtomicBool = AtomicBool::new(false);

/// An exchange on loopback, in a folder of its own.
struct Sim {
    folder: tempfile::TempDir,
    address: SocketAddr,
    process: Process,
}

/// A port that nobody has at the moment.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

impl Sim {
    fn start(more: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        Self::start_in(folder, address, more)
    }

    fn start_in(folder: tempfile::TempDir, address: SocketAddr, more: &str) -> Self {
        let config = folder.path().join("sim.toml");
        let report = folder.path().join("report.json");
        let text = format!("address = \"{address}\"\nreport = \"{}\"\n{more}", report.display());
        bench::run::write_secret(&config, &text).expect("written");
        let mut command = Command::new(sibling("tickgate-sim").expect("built"));
        command.args(["run", "--config"]).arg(&config);
        let mut process = Process::start("exchange", command).expect("it starts");
        process.await_line("listening on", Duration::from_secs(10), &NEVER).expect("it listens");
        Self { folder, address, process }
    }

    /// Ends it as an operator would; what it counted.
    fn stop(mut self) -> (serde_json::Value, tempfile::TempDir) {
        self.process.signal(libc::SIGTERM);
        let ended = self.process.wait(Duration::from_secs(10), &NEVER).expect("it ends");
        assert!(ended, "{:?}", self.process.said);
        let text = std::fs::read_to_string(self.folder.path().join("report.json"));
        (serde_json::from_str(&text.expect("a report")).expect("JSON"), self.folder)
    }
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

#[test]
fn nasdaqs_own_client_trades_is_cut_off_and_resumes() {
    let Some(python) = support::python_with("nasdaq-protocols") else { return };
    let sim = Sim::start(
        "session = \"PYTHON0001\"\n[[behaviour]]\nprefix = \"CUT\"\ndo = \"cut\"\n\
         [account.alice]\npassword = \"secret\"\n[account.bob]\npassword = \"secret\"\n",
    );
    let output = Command::new(python)
        .arg(script("nasdaq_client.py"))
        .arg(sim.address.port().to_string())
        .output()
        .expect("python runs");
    assert!(output.status.success(), "{}\n{:?}", support::stderr(&output), sim.process.said);
    eprint!("{}", String::from_utf8_lossy(&output.stdout));
    let (report, _) = sim.stop();
    assert_eq!(report["server"]["clients_taken_over"], 2);
}
