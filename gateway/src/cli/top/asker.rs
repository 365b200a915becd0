//! Asks the gateway again and again, beside the screen, so that one that hangs does not hold the keys up.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use crate::cli::look::Look;
use crate::control::answer::Body;
use crate::control::client;
use crate::control::request::Verb;

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
    pub(super) heard: Receiver<Heard>,
    wishes: Sender<Verb>,
}

impl Asker {
    /// Asks at this socket, so often. Ends with the last command, when nobody listens any more.
    pub(super) fn start(socket: PathBuf, every: Duration) -> std::io::Result<Self> {
        let (wishes, wanted) = channel();
        let (tells, heard) = channel();
        let work = move || ask_again(&socket, every, &wanted, &tells);
        std::thread::Builder::new()
            .name("top-asker".to_owned())
            .spawn(work)?;
        Ok(Self { heard, wishes })
    }

    /// Asks for something beside the looks.
    pub(super) fn wish(&self, verb: Verb) {
        // The thread lives as long as this does.
        let _ = self.wishes.send(verb);
    }
}

fn ask_again(socket: &Path, every: Duration, wanted: &Receiver<Verb>, tells: &Sender<Heard>) {
    loop {
        let look = Box::new(Look::with_orders(socket));
        if tells.send(Heard::Look(look)).is_err() {
            return;
        }
        match wanted.recv_timeout(every) {
            Ok(verb) => {
                let said = Box::new(client::ask(socket, verb));
                if tells.send(Heard::Said(said)).is_err() {
                    return;
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}
