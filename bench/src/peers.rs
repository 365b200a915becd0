//! What the gateway is measured against: the floor, and what a user would write instead.
//!
//! The C programs lie under `bench/peers` and are compiled when a measurement begins, so that this
//! program needs no compiler and no library to be built; one that is not there costs its peer, and the
//! Debian package is named.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use protocol::mold::Header;
use protocol::ouch::{AccountQuery, ClientOrderId, EnterOrder, TIF_IOC};
use protocol::soup::{self, HEADER_LEN, LoginRequest};
use protocol::types::{Price4, Qty, Seq, Side, Symbol, UserRefNum};
use zerocopy::IntoBytes;

use crate::lab::sibling;
use crate::triggers;

const HEADER: (&str, &str) = ("peer.h", include_str!("../peers/peer.h"));

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
            Self::Epoll => source("epoll.c", include_str!("../peers/epoll.c"), None, "gcc"),
            Self::BusySocket => source(
                "busy_socket.c",
                include_str!("../peers/busy_socket.c"),
                None,
                "gcc",
            ),
            Self::Libevent => source(
                "libevent.c",
                include_str!("../peers/libevent.c"),
                Some("event"),
                "libevent-dev",
            ),
            Self::Libuv => source(
                "libuv.c",
                include_str!("../peers/libuv.c"),
                Some("uv"),
                "libuv1-dev",
            ),
        })
    }
}

/// A peer that is ready to be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    /// Which.
    pub peer: Peer,
    /// Its program.
    pub program: PathBuf,
    /// Arguments in front of the common ones.
    pub arguments: Vec<String>,
}

/// Compiled peers; the programs go when this is dropped.
#[derive(Debug)]
pub struct Peers {
    folder: tempfile::TempDir,
    /// Those that can run.
    pub ready: Vec<Ready>,
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

    fn prepare(&self, peer: Peer) -> Result<Ready> {
        let (program, arguments) = match (peer, peer.source()) {
            (_, Some(source)) => (
                compile(&source, self.folder.path(), peer.name())?,
                Vec::new(),
            ),
            (Peer::Tokio, None) => (sibling("tickgate-peer-tokio")?, Vec::new()),
            (_, None) => (std::env::current_exe()?, vec!["floor".to_owned()]),
        };
        Ok(Ready {
            peer,
            program,
            arguments,
        })
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
        text: include_str!("../peers/workers.c"),
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

/// What a peer sends to log in: the login, and a query whose answer tells the exchange that it is up.
#[must_use]
pub fn login() -> Vec<u8> {
    let request = LoginRequest::new("demo", "demo", "", Seq(0));
    let query = AccountQuery {
        kind: AccountQuery::KIND,
    };
    [
        framed(soup::kind::LOGIN_REQUEST, request.as_bytes()),
        framed(
            soup::kind::UNSEQUENCED,
            &encoded(|out| query.encode(&[], out)),
        ),
    ]
    .concat()
}

/// The constant order, with places for its reference number and for what caused it.
#[must_use]
pub fn order() -> Vec<u8> {
    let order = enter_order();
    framed(
        soup::kind::UNSEQUENCED,
        &encoded(|out| order.encode(&[], out)),
    )
}

/// The same as a message.
#[must_use]
pub fn enter_order() -> EnterOrder {
    EnterOrder {
        kind: EnterOrder::KIND,
        user_ref: UserRefNum(0).into(),
        side: Side::Buy as u8,
        qty: Qty(100).into(),
        symbol: Symbol::new(triggers::SYMBOL).unwrap_or(Symbol::BLANK),
        price: Price4(1_000_000).into(),
        time_in_force: TIF_IOC,
        display: b'Y',
        capacity: b'P',
        iso: b'N',
        cross: b'N',
        client_order_id: *b"00000000000000",
    }
}

fn encoded(encode: impl FnOnce(&mut [u8]) -> Option<usize>) -> Vec<u8> {
    let mut out = vec![0; 128];
    let len = encode(&mut out).unwrap_or(0);
    out.truncate(len);
    out
}

/// A payload in its SoupBinTCP packet.
pub(crate) fn framed(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0; HEADER_LEN + payload.len()];
    let written = soup::Packet { kind, payload }.encode(&mut out);
    debug_assert_eq!(
        written,
        Some(out.len()),
        "the room is as long as the packet"
    );
    out
}

/// Bytes as the peers' arguments carry them.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads what [`hex`] wrote.
///
/// # Errors
/// Not pairs of hexadecimal digits.
pub fn unhex(text: &str) -> Result<Vec<u8>> {
    let pair = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).context("not hexadecimal")?;
        u8::from_str_radix(pair, 16).with_context(|| format!("\"{pair}\" is not hexadecimal"))
    };
    text.as_bytes().chunks(2).map(pair).collect()
}

/// Whether a MoldUDP64 packet's first message is of the triggers' symbol. Decodes nothing else.
#[inline]
#[must_use]
pub fn is_trigger(packet: &[u8], locate: u16) -> bool {
    const AT: usize = Header::LEN + 3;
    packet.get(AT..AT + 2) == Some(&locate.to_be_bytes())
}

/// The sequence number of a packet's first message.
#[inline]
#[must_use]
pub fn seq_of(packet: &[u8]) -> u64 {
    let bytes = packet.get(10..18).and_then(|bytes| bytes.try_into().ok());
    u64::from_be_bytes(bytes.unwrap_or_default())
}

/// The order that a Rust peer sends, patched for each trigger.
#[derive(Clone, Debug)]
pub struct Order {
    bytes: Vec<u8>,
    count: u32,
}

impl Order {
    /// From [`order`]'s bytes.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, count: 0 }
    }

    /// The bytes for the next trigger.
    #[inline]
    pub fn next(&mut self, seq: u64) -> &[u8] {
        self.count += 1;
        if let Some(user_ref) = self.bytes.get_mut(HEADER_LEN + 1..HEADER_LEN + 5) {
            user_ref.copy_from_slice(&self.count.to_be_bytes());
        }
        // The last field in front of the length of the appendage.
        let id = ClientOrderId::new(0, 0, seq).encode();
        let end = self.bytes.len().saturating_sub(2);
        let place = self.bytes.get_mut(end.saturating_sub(id.len())..end);
        if let Some(place) = place.filter(|place| place.len() == id.len()) {
            place.copy_from_slice(&id);
        }
        &self.bytes
    }

    /// Orders so far.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use order_sim::exchange::origin_seq;

    use super::*;

    #[test]
    fn the_exchange_reads_what_caused_a_peers_order() {
        let mut order = Order::new(unhex(&hex(&order())).unwrap());
        for (count, seq) in [(1, 5), (2, 0x00AB_CDEF_0123)] {
            let bytes = order.next(seq).to_vec();
            assert_eq!(origin_seq(&bytes[HEADER_LEN..]), Some(seq));
            assert_eq!(order.count(), count);
            assert_eq!(bytes[HEADER_LEN + 1..HEADER_LEN + 5], count.to_be_bytes());
        }
    }
}
