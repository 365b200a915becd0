//! A process of the lab: started, awaited, listened to, and ended whatever happens.

use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rt::clock::monotonic_ns;

/// A process of the lab. Dropped, it is ended.
#[derive(Debug)]
pub struct Process {
    name: &'static str,
    child: Child,
    lines: Receiver<String>,
    /// Everything that it has said.
    pub said: Vec<String>,
    ready: Option<ReadySocket>,
}

/// The socket on which a service says that it is ready, as systemd would give it (sd_notify(3)).
#[derive(Debug)]
struct ReadySocket {
    socket: UnixDatagram,
    /// Where the socket's file lies.
    _folder: tempfile::TempDir,
}

impl Process {
    /// Starts a service that says on a socket of ours when it is ready; see [`Process::await_ready`].
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_service(name: &'static str, mut command: Command) -> Result<Self> {
        let folder = tempfile::tempdir().context("a folder for the ready socket")?;
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).context("the ready socket")?;
        socket.set_read_timeout(Some(Duration::from_millis(20)))?;
        command.env("NOTIFY_SOCKET", &path);
        let mut process = Self::start(name, command)?;
        process.ready = Some(ReadySocket {
            socket,
            _folder: folder,
        });
        Ok(process)
    }

    /// Waits until a service has said that it is ready.
    ///
    /// # Errors
    /// It ended, `stop` was set, or it took longer than `at_most`.
    pub fn await_ready(&mut self, at_most: Duration, stop: &AtomicBool) -> Result<()> {
        let until = deadline(at_most);
        let mut status = String::new();
        loop {
            let mut buffer = [0; 1024];
            let ready = self
                .ready
                .as_ref()
                .context("it was not started as a service")?;
            if let Ok(len) = ready.socket.recv(&mut buffer) {
                status =
                    String::from_utf8_lossy(buffer.get(..len).unwrap_or_default()).into_owned();
                if status.lines().any(|line| line == "READY=1") {
                    return Ok(());
                }
            }
            self.said.extend(self.lines.try_iter());
            if stop.load(Ordering::SeqCst) {
                bail!("stopped");
            }
            if let Some(status) = self.child.try_wait()? {
                self.said.extend(self.lines.iter());
                bail!("{} ended ({status}):\n{}", self.name, self.said.join("\n"));
            }
            if monotonic_ns() > until {
                bail!(
                    "{} was not ready in time ({}):\n{}",
                    self.name,
                    status.trim(),
                    self.said.join("\n")
                );
            }
        }
    }

    /// Starts a process and listens to its standard error.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(name: &'static str, mut command: Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        let (sender, lines) = channel();
        if let Some(stderr) = child.stderr.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    // Nobody listens any more: the process is being ended.
                    let _ = sender.send(line);
                }
            });
        }
        Ok(Self {
            name,
            child,
            lines,
            said: Vec::new(),
            ready: None,
        })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has said `text`.
    ///
    /// # Errors
    /// It ended, `stop` was set, or it took longer than `at_most`.
    pub fn await_line(&mut self, text: &str, at_most: Duration, stop: &AtomicBool) -> Result<()> {
        let until = deadline(at_most);
        loop {
            if let Ok(line) = self.lines.recv_timeout(Duration::from_millis(20)) {
                let is_it = line.contains(text);
                self.said.push(line);
                if is_it {
                    return Ok(());
                }
                continue;
            }
            if stop.load(Ordering::SeqCst) {
                bail!("stopped");
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended ({status}):\n{}", self.name, self.said.join("\n"));
            }
            if monotonic_ns() > until {
                bail!(
                    "{} did not say \"{text}\" in time:\n{}",
                    self.name,
                    self.said.join("\n")
                );
            }
        }
    }

    /// Whether it has ended by itself.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Sends a signal.
    pub fn signal(&self, signal: i32) {
        let pid = i32::try_from(self.child.id()).unwrap_or(0);
        send_signal(pid, signal);
    }

    /// Waits for its end and says whether it went well.
    ///
    /// # Errors
    /// It took longer than `at_most` (it is killed then), or `stop` was set.
    pub fn wait(&mut self, at_most: Duration, stop: &AtomicBool) -> Result<bool> {
        let until = deadline(at_most);
        loop {
            while let Ok(line) = self.lines.try_recv() {
                self.said.push(line);
            }
            if let Some(status) = self.child.try_wait()? {
                self.said.extend(self.lines.iter());
                return Ok(status.success());
            }
            if stop.load(Ordering::SeqCst) {
                bail!("stopped");
            }
            if monotonic_ns() > until {
                let _ = self.child.kill();
                bail!(
                    "{} did not end in time:\n{}",
                    self.name,
                    self.said.join("\n")
                );
            }
            // Seldom: each look takes a CPU away from what is being measured.
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    /// Ends it: SIGTERM, and SIGKILL after two seconds.
    pub fn end(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        self.signal(libc::SIGTERM);
        let never = AtomicBool::new(false);
        if self.wait(Duration::from_secs(2), &never).is_err() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// Sends a signal to a process that we started.
#[expect(unsafe_code, reason = "kill")]
pub fn send_signal(pid: i32, signal: i32) {
    if pid > 0 {
        // SAFETY: takes plain numbers; a process that is gone is an error that nobody needs.
        unsafe { libc::kill(pid, signal) };
    }
}

fn deadline(at_most: Duration) -> u64 {
    monotonic_ns() + u64::try_from(at_most.as_nanos()).unwrap_or(u64::MAX / 2)
}

/// A program of this project: it lies beside this one.
///
/// # Errors
/// It has not been built.
pub fn sibling(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe().context("where this program lies")?;
    // Test programs lie one folder deeper.
    let folders = own.ancestors().skip(1).take(2);
    let found = folders
        .map(|folder| folder.join(name))
        .find(|path| path.is_file());
    found.with_context(|| {
        format!(
            "{name} is not beside {}: build the workspace",
            own.display()
        )
    })
}
