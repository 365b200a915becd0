//! Asks the gateway again and again, beside the screen, so that one that hangs does not hold the keys up. Commands have a thread
//! of their own: none waits behind a look.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::cli::look::Look;
use crate::control::answer::Body;
use crate::control::client;
use crate::control::request::Verb;

/// Looks and answers that may wait for the screen; whoever has one more waits with it.
const HEARD_MAX: usize = 2;

/// What came of asking.
#[derive(Debug)]
pub(super) enum Heard {
    /// A look, or why there is none.
    Look(Box<Result<Look, String>>),
    /// The answer to a command.
    Said(Box<Result<Body, String>>),
}

/// Whoever asks.
#[derive(Debug)]
pub(super) struct Asker {
    heard: Receiver<Heard>,
    wishes: Sender<Verb>,
    commands: JoinHandle<()>,
    /// While it is there, somebody looks.
    _watched: Sender<()>,
    /// Commands that have no answer yet.
    waiting: usize,
}

impl Asker {
    /// Asks at this socket, so often.
    pub(super) fn start(socket: PathBuf, every: Duration) -> std::io::Result<Self> {
        let socket: Arc<Path> = socket.into();
        let (wishes, wanted) = channel();
        let (watched, watches) = channel();
        let (tells, heard) = sync_channel(HEARD_MAX);
        let looking = (Arc::clone(&socket), tells.clone());
        std::thread::Builder::new()
            .name("top-looks".to_owned())
            .spawn(move || look_again(&looking.0, every, &watches, &looking.1))?;
        let commands = std::thread::Builder::new()
            .name("top-commands".to_owned())
            .spawn(move || command(&socket, &wanted, &tells))?;
        Ok(Self {
            heard,
            wishes,
            commands,
            _watched: watched,
            waiting: 0,
        })
    }

    /// Asks for something beside the looks.
    pub(super) fn wish(&mut self, verb: Verb) {
        // The thread lives as long as this does.
        if self.wishes.send(verb).is_ok() {
            self.waiting += 1;
        }
    }

    /// What has come, if something has.
    pub(super) fn hear(&mut self) -> Option<Heard> {
        let heard = self.heard.try_recv().ok()?;
        if matches!(heard, Heard::Said(_)) {
            self.waiting -= 1;
        }
        Some(heard)
    }

    /// Whether a command has no answer yet.
    pub(super) fn is_waiting(&self) -> bool {
        self.waiting > 0
    }

    /// Nobody looks any more. Commands on their way are asked all the same, however the screen ended.
    pub(super) fn end(self) {
        let Self {
            heard,
            wishes,
            commands,
            ..
        } = self;
        drop((heard, wishes));
        // A panic there has been told.
        let _ = commands.join();
    }
}

fn look_again(socket: &Path, every: Duration, watches: &Receiver<()>, tells: &SyncSender<Heard>) {
    loop {
        let look = Box::new(Look::with_orders(socket));
        if tells.send(Heard::Look(look)).is_err() {
            return;
        }
        if watches.recv_timeout(every) == Err(RecvTimeoutError::Disconnected) {
            return;
        }
    }
}

fn command(socket: &Path, wanted: &Receiver<Verb>, tells: &SyncSender<Heard>) {
    for verb in wanted {
        let said = Box::new(client::ask(socket, verb));
        // Nobody may be left to hear it; the next command is asked all the same.
        let _ = tells.send(Heard::Said(said));
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;

    use super::*;

    /// A gateway that answers no look, and one command after the other.
    #[test]
    fn kill_is_asked_although_no_look_is_answered_and_nobody_waits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let (told, asked) = channel();
        std::thread::spawn(move || {
            let mut silent = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut bytes = [0; 4096];
                let len = stream.read(&mut bytes).unwrap_or(0);
                let text = String::from_utf8_lossy(&bytes[..len]).into_owned();
                if text.contains("kill") {
                    told.send(text).unwrap();
                    let _ = stream.write_all(b"no answer that anybody knows\n");
                } else {
                    silent.push(stream);
                }
            }
        });
        let mut asker = Asker::start(path, Duration::from_secs(60)).unwrap();
        asker.wish(Verb::Kill {
            reason: "a test".to_owned(),
            wait_ms: 0,
        });
        assert!(asker.is_waiting());
        asker.end();
        let text = asked.try_recv().expect("asked before the end");
        assert!(text.contains("a test"), "{text}");
    }
}
