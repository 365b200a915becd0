//! A real broker, mosquitto from Debian, with TLS, a password and queues that outlive it; and its own programs to publish and subscribe.

#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod liar;

use std::cell::RefCell;
use std::fs::{self, File, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use lab::process::{Process, sibling};

use crate::desk::{NEVER, until};
use crate::support::has;

/// What both users have.
pub(crate) const PASSWORD: &str = "a long password, with spaces";
/// The key of commands.
pub(crate) const KEY: &str = "8f1d3c5a7b9e02468ace13579bdf0246813579bdf02468ace13579bdf0246810";

/// The broker, whether it runs or not.
pub(crate) struct Mosquitto {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) port: u16,
    process: Option<Process>,
}

/// Where `make test` unpacks it: what is unpacked needs its libraries from there.
fn unpacked() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/unpacked")
}

/// A program of mosquitto's.
fn program(name: &str) -> Command {
    let root = unpacked();
    for folder in ["usr/bin", "usr/sbin"] {
        let path = root.join(folder).join(name);
        if path.is_file() {
            let mut command = Command::new(path);
            let libraries = root.join(format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH));
            command.env("LD_LIBRARY_PATH", libraries);
            return command;
        }
    }
    Command::new(name)
}

fn run(mut command: Command) -> Output {
    let output = command.output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    output
}

/// An authority, and a certificate of `localhost` that it has signed.
fn certificates(folder: &Path) {
    let script = "set -e; cd \"$1\"
        new='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'
        openssl req -x509 $new -keyout ca.key -out ca.pem -days 2 -subj /CN=authority
        openssl req $new -keyout broker.key -out broker.csr -subj /CN=localhost
        printf 'basicConstraints=CA:FALSE\\nsubjectAltName=DNS:localhost\\n' >extensions
        openssl x509 -req -in broker.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out broker.pem \
            -extfile extensions";
    let mut command = Command::new("bash");
    command.args(["-c", script, "bash"]).arg(folder);
    run(command);
}

fn write_private(path: &Path, text: &str) {
    fs::write(path, text).expect("written");
    fs::set_permissions(path, Permissions::from_mode(0o600)).expect("it is ours");
}

/// Starts a publisher with this file.
pub(crate) fn start_publisher(file: &Path) -> Process {
    let mut command = Command::new(sibling("tickgate").expect("built"));
    command.args(["mqtt", "--config"]).arg(file);
    let mut process = Process::start("publisher", command).expect("it starts");
    process
        .await_line("publishing ", Duration::from_secs(20), &NEVER)
        .expect("it publishes");
    process
}

impl Mosquitto {
    /// One that does not run yet; `None`: there is none on this host, which is said.
    pub(crate) fn new() -> Option<Self> {
        if !unpacked().join("usr/sbin/mosquitto").is_file() && !has("mosquitto") {
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path();
        certificates(path);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let passwords = path.join("passwords");
        File::create(&passwords).expect("created");
        for user in ["gateway", "watcher"] {
            let mut command = program("mosquitto_passwd");
            command.arg("-b").arg(&passwords).args([user, PASSWORD]);
            run(command);
        }
        let shown = path.display();
        let config = format!(
            "user root\nlistener {port} 127.0.0.1\ncertfile {shown}/broker.pem\nkeyfile {shown}/broker.key\n\
             allow_anonymous false\npassword_file {shown}/passwords\npersistence true\n\
             persistence_location {shown}/\nmax_queued_messages 0\nlog_dest stderr\nlog_type all\n"
        );
        fs::write(path.join("mosquitto.conf"), config).expect("written");
        write_private(&path.join("password"), PASSWORD);
        write_private(&path.join("key"), KEY);
        Some(Self {
            folder,
            port,
            process: None,
        })
    }

    pub(crate) fn start(&mut self) {
        let mut command = program("mosquitto");
        command.arg("-c").arg(self.path("mosquitto.conf"));
        let mut process = Process::start("mosquitto", command).expect("it starts");
        process
            .await_line(" running", Duration::from_secs(20), &NEVER)
            .expect("it listens");
        self.process = Some(process);
    }

    /// Ends it; what is queued lies in its file.
    pub(crate) fn stop(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process.signal(libc::SIGTERM);
        let ended = process.wait(Duration::from_secs(20), &NEVER);
        assert!(ended.expect("it ends"), "{:?}", process.said);
    }

    /// Sends it a signal: SIGSTOP, SIGCONT.
    pub(crate) fn signal(&self, signal: i32) {
        self.process.as_ref().expect("it runs").signal(signal);
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn address(&self) -> String {
        format!("localhost:{}", self.port)
    }

    /// Writes an instance's file, and starts its publisher.
    pub(crate) fn publisher(&self, instance: &str, socket: &str, more: &str) -> Process {
        let (folder, address) = (self.folder.path().display(), self.address());
        let text = format!(
            "instance = \"{instance}\"\nsocket = \"{socket}\"\nstate_dir = \"{folder}/state\"\nreport_ms = 1000\n\
             status_ms = 200\n{more}\n[broker]\naddress = \"{address}\"\nca_file = \"{folder}/ca.pem\"\n\
             username = \"gateway\"\npassword_file = \"{folder}/password\"\nkeep_alive_s = 5\n\
             [commands]\nenabled = true\nkey_file = \"{folder}/key\"\n"
        );
        let file = self.path(&format!("{instance}.toml"));
        fs::write(&file, text).expect("written");
        start_publisher(&file)
    }

    /// One of mosquitto's own clients, logged in as the watcher.
    pub(crate) fn client(&self, name: &str) -> Command {
        let mut command = program(name);
        let port = self.port.to_string();
        command.args(["-V", "5", "-q", "1", "-h", "localhost", "-p", &port]);
        command.arg("--cafile").arg(self.path("ca.pem"));
        command.args(["-u", "watcher", "-P", PASSWORD]);
        command
    }

    /// Subscribes for good: what comes while the broker or the subscriber is away is kept for it. It is there when this returns.
    pub(crate) fn subscribe(&self, topic: &str) -> Subscriber {
        let file = self.path("heard");
        let mut command = self.client("mosquitto_sub");
        command.args(["-c", "-i", "watcher", "-x", "3600", "-t", topic]);
        command.args(["-F", "%t %p"]);
        File::create(&file).expect("created");
        let child = RefCell::new(Subscriber::spawn(&mut command, &file));
        let subscriber = Subscriber {
            command: RefCell::new(command),
            child,
            file,
        };
        until("the subscription", || {
            self.publish(topic.trim_end_matches('#'), b"{\"is_first\":true}");
            (!subscriber.heard().is_empty()).then_some(())
        });
        subscriber
    }

    /// What the broker keeps of a topic; `None`: nothing, yet.
    pub(crate) fn kept(&self, topic: &str) -> Option<String> {
        let mut command = self.client("mosquitto_sub");
        command.args(["-C", "1", "-W", "1", "-t", topic]);
        let output = command.output().expect("it starts");
        let text = String::from_utf8(output.stdout).expect("text");
        (!text.is_empty()).then(|| text.trim_end().to_owned())
    }

    /// Publishes one message.
    pub(crate) fn publish(&self, topic: &str, payload: &[u8]) {
        let file = self.path("payload");
        fs::write(&file, payload).expect("written");
        let mut command = self.client("mosquitto_pub");
        command.args(["-t", topic, "-f"]).arg(file);
        run(command);
    }
}

/// What has been subscribed, and what came.
pub(crate) struct Subscriber {
    command: RefCell<Command>,
    child: RefCell<Child>,
    file: PathBuf,
}

impl Subscriber {
    fn spawn(command: &mut Command, file: &Path) -> Child {
        let out = File::options()
            .append(true)
            .open(file)
            .expect("it is there");
        let child = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(Stdio::null());
        child.spawn().expect("it starts")
    }

    /// Topics and payloads, in the order in which they came. mosquitto_sub ends where TLS is cut off in the middle: it is begun again,
    /// and its session goes on.
    pub(crate) fn heard(&self) -> Vec<(String, String)> {
        let mut child = self.child.borrow_mut();
        if child.try_wait().expect("it is ours").is_some() {
            *child = Self::spawn(&mut self.command.borrow_mut(), &self.file);
        }
        let text = fs::read_to_string(&self.file).expect("it is there");
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let lines = whole.lines().filter_map(|line| line.split_once(' '));
        lines
            .map(|(topic, payload)| (topic.to_owned(), payload.to_owned()))
            .collect()
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        let mut child = self.child.borrow_mut();
        let _ = child.kill();
        let _ = child.wait();
    }
}
