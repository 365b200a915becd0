//! The operator's door: a Unix socket that takes one command a connection and answers with one line of JSON.
//!
//! ```text
//!  status | accounts [NAME [AFTER]] | halt SYMBOL | resume SYMBOL | bust MATCH | end-day | fault TOML
//! ```
//!
//! Who may open the socket's file may give commands: its folder's rights are the lock.

use std::cell::Cell;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::rc::Rc;

use protocol::types::Symbol;
use serde_json::{Value, json};
use tokio_uring::net::UnixStream;

use super::{Shared, accounts, status};
use crate::file::staged::parse_fault;

/// The longest command.
const COMMAND_BYTES: usize = 4096;

/// How often somebody at the door is looked for.
const LOOK_NS: u64 = 10_000_000;

/// The listening socket, looked at in each turn: the runtime's own asks for a shared port, which such
/// sockets do not have.
#[derive(Debug)]
pub(super) struct Door {
    listener: UnixListener,
    looked_ns: Cell<u64>,
}

impl Door {
    /// Opens the socket, if there shall be one; a file that an earlier run left is replaced.
    pub(super) fn open(path: Option<&Path>) -> Result<Option<Self>, String> {
        let Some(path) = path else { return Ok(None) };
        let told = |error| format!("control socket {}: {error}", path.display());
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(format!(
                "control socket {}: another exchange has it",
                path.display()
            ));
        }
        // What an earlier run left is removed; whatever else lies there is somebody's.
        match std::fs::symlink_metadata(path) {
            Ok(found) if found.file_type().is_socket() => {
                std::fs::remove_file(path).map_err(told)?;
            }
            Ok(_) => {
                return Err(format!(
                    "control socket {}: there is a file that is no socket, expected none or an earlier run's socket",
                    path.display()
                ));
            }
            Err(_) => {}
        }
        let listener = UnixListener::bind(path).map_err(told)?;
        listener.set_nonblocking(true).map_err(told)?;
        Ok(Some(Self {
            listener,
            looked_ns: Cell::new(0),
        }))
    }

    /// Lets somebody in.
    pub(super) fn look(&self, shared: &Rc<Shared>) {
        let now_ns = shared.host_ns();
        if now_ns < self.looked_ns.get() + LOOK_NS {
            return;
        }
        self.looked_ns.set(now_ns);
        // WouldBlock: nobody is there.
        if let Ok((stream, _)) = self.listener.accept() {
            tokio_uring::spawn(serve(UnixStream::from_std(stream), Rc::clone(shared)));
        }
    }
}

/// Removes the socket's file.
pub(super) fn close(path: Option<&Path>) {
    if let Some(path) = path
        && std::fs::symlink_metadata(path).is_ok_and(|it| it.file_type().is_socket())
    {
        // What is gone already need not be removed.
        let _ = std::fs::remove_file(path);
    }
}

async fn serve(stream: UnixStream, shared: Rc<Shared>) {
    let (result, buffer) = stream.read(vec![0; COMMAND_BYTES]).await;
    let Ok(len) = result else { return };
    let text = String::from_utf8_lossy(buffer.get(..len).unwrap_or_default()).into_owned();
    let answer = match command(&shared, text.trim()) {
        Ok(value) => value,
        Err(error) => json!({ "error": error }),
    };
    shared.settle();
    // A client that has gone needs no answer.
    let _ = stream.write_all(format!("{answer}\n").into_bytes()).await;
}

fn command(shared: &Shared, text: &str) -> Result<Value, String> {
    let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
    let symbol = || Symbol::new(rest).ok_or_else(|| format!("\"{rest}\": expected a symbol"));
    let mut exchange = shared.exchange.borrow_mut();
    let done = match verb {
        "status" => {
            drop(exchange);
            return Ok(status::json(shared));
        }
        "accounts" => {
            drop(exchange);
            return accounts::json(shared, rest);
        }
        "halt" | "resume" => exchange.halt(symbol()?, verb == "halt"),
        "bust" => {
            let number = rest
                .parse()
                .map_err(|_| format!("\"{rest}\": expected a match number"))?;
            exchange.break_trade(number)
        }
        "end-day" => {
            exchange.end_day();
            true
        }
        "fault" => {
            exchange.add_fault(parse_fault(&rest.replace(';', "\n"))?);
            true
        }
        other => {
            return Err(format!(
                "\"{other}\": expected status, accounts, halt, resume, bust, end-day or fault"
            ));
        }
    };
    if done {
        Ok(json!({ "done": text }))
    } else {
        Err(format!("{text}: there is no such thing"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_socket_that_nobody_serves_gives_way() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control");
        std::fs::write(&path, "somebody's").unwrap();
        let error = Door::open(Some(&path)).unwrap_err();
        assert!(error.contains("no socket"), "{error}");
        close(Some(&path));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "somebody's");
        std::fs::remove_file(&path).unwrap();

        let door = Door::open(Some(&path)).unwrap();
        let error = Door::open(Some(&path)).unwrap_err();
        assert!(error.contains("another exchange"), "{error}");
        drop(door);
        // Its file stays, as after a kill, and the next run takes its place.
        assert!(path.exists());
        let door = Door::open(Some(&path)).unwrap();
        close(Some(&path));
        assert!(!path.exists());
        drop(door);
    }
}
