//! What the gateway is measured against: the floor, and what a user would write instead.
//!
//! Path:        a peer's name -> its program, compiled or found -> lab::peer
//! Must not know: who measures.
//!
//! Those in Rust are programs of this package. The C programs lie under `bench/peers/c` and are compiled
//! when a measurement begins, so that no library is needed to build this; one that is not there costs its
//! peer, and the Debian package is named.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use lab::peer::Program;
use lab::process::sibling;

const HEADER: (&str, &str) = ("peer.h", include_str!("../c/peer.h"));

/// Someone who answers triggers with orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// AF_XDP and io_uring with nothing between: what the gateway cannot go below.
    Floor,
    /// An epoll loop in C.
    Epoll,
    /// `recvmmsg` and `sendmmsg`, never sleeping, in C.
    BusySocket,
    /// libevent, in C.
    Libevent,
    /// libuv, in C.
    Libuv,
    /// tokio.
    Tokio,
}

/// All, in the order in which they are shown.
pub const ALL: [Peer; 6] = [
    Peer::Floor,
    Peer::BusySocket,
    Peer::Epoll,
    Peer::Libevent,
    Peer::Libuv,
    Peer::Tokio,
];

/// A C program: file, text, library, and the Debian package of the library.
struct Source {
    file: &'static str,
    text: &'static str,
    library: Option<&'static str>,
    package: &'static str,
}

impl Peer {
    /// The name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Epoll => "epoll",
            Self::BusySocket => "busy_socket",
            Self::Libevent => "libevent",
            Self::Libuv => "libuv",
            Self::Tokio => "tokio",
        }
    }

    fn source(self) -> Option<Source> {
        let source = |file, text, library, package| Source {
            file,
            text,
            library,
            package,
        };
        Some(match self {
            Self::Floor | Self::Tokio => return None,
            Self::Epoll => source("epoll.c", include_str!("../c/epoll.c"), None, "gcc"),
            Self::BusySocket => source(
                "busy_socket.c",
                include_str!("../c/busy_socket.c"),
                None,
                "gcc",
            ),
            Self::Libevent => source(
                "libevent.c",
                include_str!("../c/libevent.c"),
                Some("event"),
                "libevent-dev",
            ),
            Self::Libuv => source(
                "libuv.c",
                include_str!("../c/libuv.c"),
                Some("uv"),
                "libuv1-dev",
            ),
        })
    }
}

/// Compiled peers; the programs go when this is dropped.
#[derive(Debug)]
pub struct Peers {
    folder: tempfile::TempDir,
    /// Those that can run.
    pub ready: Vec<Program>,
    /// Those that cannot, with what is missing.
    pub skipped: Vec<(Peer, String)>,
}

impl Peers {
    /// Compiles what is wanted.
    ///
    /// # Errors
    /// No folder for the programs.
    pub fn build(wanted: &[Peer]) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("tickgate-peers-")
            .tempdir()?;
        std::fs::write(folder.path().join(HEADER.0), HEADER.1)?;
        let mut peers = Self {
            folder,
            ready: Vec::new(),
            skipped: Vec::new(),
        };
        for peer in wanted {
            match peers.prepare(*peer) {
                Ok(ready) => peers.ready.push(ready),
                Err(why) => peers.skipped.push((*peer, format!("{why:#}"))),
            }
        }
        Ok(peers)
    }

    fn prepare(&self, peer: Peer) -> Result<Program> {
        let name = peer.name();
        let path = match peer.source() {
            Some(source) => compile(&source, self.folder.path(), name)?,
            None => sibling(&format!("tickgate-peer-{name}"))?,
        };
        Ok(Program { name, path })
    }
}

/// The receive-only workers (`fork`, `SO_REUSEPORT`), compiled into `folder`.
///
/// # Errors
/// No compiler.
pub fn workers(folder: &Path) -> Result<PathBuf> {
    std::fs::write(folder.join(HEADER.0), HEADER.1)?;
    let source = Source {
        file: "workers.c",
        text: include_str!("../c/workers.c"),
        library: None,
        package: "gcc",
    };
    compile(&source, folder, "workers")
}

fn compile(source: &Source, folder: &Path, name: &str) -> Result<PathBuf> {
    let file = folder.join(source.file);
    std::fs::write(&file, source.text)?;
    let program = folder.join(name);
    let mut command = Command::new("cc");
    command.arg("-O2").arg("-o").arg(&program).arg(&file);
    if let Some(library) = source.library {
        command.arg(format!("-l{library}"));
    }
    let output = command
        .output()
        .context("no C compiler: install Debian's gcc")?;
    anyhow::ensure!(
        output.status.success(),
        "it does not compile: install Debian's {}\n{}",
        source.package,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(program)
}
