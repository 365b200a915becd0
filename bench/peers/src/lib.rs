//! What the gateway is measured against: the floor, and what a user would write instead.
//!
//! ```text
//!  ALL: name ──> c/NAME.c ──cc──────────────┐
//!           └──> bin/tickgate-peer-NAME ────┴──> Program ──> lab::peer
//!
//!  each:  packet ──> two bytes compared ──> constant order patched ──> exchange
//! ```
//!
//! Must not know: who measures.
//!
//! Those in Rust are programs of this package. The C programs lie under `bench/peers/c` and are compiled
//! when a measurement begins, so that no library is needed to build this; one that is not there costs its
//! peer, and the Debian package is named.

pub mod feed;
pub mod link;
pub mod turns;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use lab::peer::Program;
use lab::process::sibling;

const HEADER: (&str, &str) = ("peer.h", include_str!("../c/peer.h"));

/// Someone who answers triggers with orders.
#[derive(Debug, PartialEq, Eq)]
pub struct Peer {
    /// The name in reports.
    pub name: &'static str,
    /// What it is, for a report's reader.
    pub meaning: &'static str,
    /// It waits in the kernel, as services do: the gateway promises to be far ahead of those.
    pub sleeps: bool,
    /// The flood measures it, too.
    pub is_flooded: bool,
    program: Source,
}

/// Where a peer's program comes from.
#[derive(Debug, PartialEq, Eq)]
enum Source {
    /// A program of this package: `src/bin/tickgate-peer-NAME.rs`.
    Rust,
    /// `c/NAME.c`, compiled when it is wanted.
    C(CSource),
}

#[derive(Debug, PartialEq, Eq)]
struct CSource {
    text: &'static str,
    library: Option<&'static str>,
    /// Where its headers are, if the compiler does not look there.
    headers: Option<&'static str>,
    /// Debian's, without which it does not compile; the Makefile reads it here.
    package: &'static str,
}

/// The floor's name: what the gateway cannot go below.
pub const FLOOR: &str = "floor";

/// All, in the order in which they are shown. A new peer is a line here and its program.
pub static ALL: &[Peer] = &[
    Peer {
        name: FLOOR,
        meaning: "Receives by AF_XDP, compares two bytes, sends a constant order by io_uring.",
        sleeps: false,
        is_flooded: true,
        program: Source::Rust,
    },
    Peer {
        name: "floor-delegated",
        meaning: "Does what the floor does past the kernel's TCP, by the gateway's own transport.",
        sleeps: false,
        is_flooded: false,
        program: Source::Rust,
    },
    Peer {
        name: "busy_socket",
        meaning: "Does what the floor does with recvmmsg and sendmmsg, never sleeping; in C.",
        sleeps: false,
        is_flooded: true,
        program: Source::C(CSource {
            text: include_str!("../c/busy_socket.c"),
            library: None,
            headers: None,
            package: "gcc",
        }),
    },
    Peer {
        name: "smoltcp",
        meaning: "Does what the floor does with a TCP that is a library in user space, on an AF_XDP socket; in Rust.",
        sleeps: false,
        is_flooded: false,
        program: Source::Rust,
    },
    Peer {
        name: "lwip",
        meaning: "Does what busy_socket does with lwIP, a TCP that is a library in user space, on a packet socket; in C.",
        sleeps: false,
        is_flooded: false,
        program: Source::C(CSource {
            text: include_str!("../c/lwip.c"),
            library: Some("lwip"),
            headers: Some("/usr/include/lwip"),
            package: "liblwip-dev",
        }),
    },
    Peer {
        name: "epoll",
        meaning: "Does what the floor does in an epoll loop on plain sockets, in C.",
        sleeps: true,
        is_flooded: true,
        program: Source::C(CSource {
            text: include_str!("../c/epoll.c"),
            library: None,
            headers: None,
            package: "gcc",
        }),
    },
    Peer {
        name: "libevent",
        meaning: "Does what the floor does on plain sockets with libevent, in C.",
        sleeps: true,
        is_flooded: false,
        program: Source::C(CSource {
            text: include_str!("../c/libevent.c"),
            library: Some("event"),
            headers: None,
            package: "libevent-dev",
        }),
    },
    Peer {
        name: "libuv",
        meaning: "Does what the floor does on plain sockets with libuv, in C.",
        sleeps: true,
        is_flooded: false,
        program: Source::C(CSource {
            text: include_str!("../c/libuv.c"),
            library: Some("uv"),
            headers: None,
            package: "libuv1-dev",
        }),
    },
    Peer {
        name: "tokio",
        meaning: "Does what the floor does on plain sockets with tokio, in Rust.",
        sleeps: true,
        is_flooded: false,
        program: Source::Rust,
    },
];

/// All names, as a list to choose from.
#[must_use]
pub fn names() -> String {
    let names: Vec<&str> = ALL.iter().map(|peer| peer.name).collect();
    names.join(", ")
}

/// Compiled peers; the programs go when this is dropped.
#[derive(Debug)]
pub struct Peers {
    folder: tempfile::TempDir,
    /// Those that can run.
    pub ready: Vec<Program>,
    /// Those that cannot, with what is missing.
    pub skipped: Vec<(&'static Peer, String)>,
}

impl Peers {
    /// Compiles what is wanted.
    ///
    /// # Errors
    /// No folder for the programs.
    pub fn build(wanted: impl IntoIterator<Item = &'static Peer>) -> Result<Self> {
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
            match peers.prepare(peer) {
                Ok(ready) => peers.ready.push(ready),
                Err(why) => peers.skipped.push((peer, format!("{why:#}"))),
            }
        }
        Ok(peers)
    }

    fn prepare(&self, peer: &'static Peer) -> Result<Program> {
        let name = peer.name;
        let path = match &peer.program {
            Source::Rust => sibling(&format!("tickgate-peer-{name}"))?,
            Source::C(source) => compile(source, self.folder.path(), name)?,
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
    let source = CSource {
        text: include_str!("../c/workers.c"),
        library: None,
        headers: None,
        package: "gcc",
    };
    compile(&source, folder, "workers")
}

fn compile(source: &CSource, folder: &Path, name: &str) -> Result<PathBuf> {
    let file = folder.join(format!("{name}.c"));
    std::fs::write(&file, source.text)?;
    let program = folder.join(name);
    let mut command = Command::new("cc");
    command.arg("-O2").arg("-o").arg(&program).arg(&file);
    if let Some(headers) = source.headers {
        command.arg("-I").arg(headers);
    }
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
