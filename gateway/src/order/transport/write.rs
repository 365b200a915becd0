//! The byte stream to an exchange on plain system calls: what io_uring is measured against, and the way
//! out on kernels that forbid it.
//!
//! Thread:      order core, hot
//! Invariants:  bytes leave in order; what a full socket buffer leaves over goes with the next call.
//! System calls: `write` for each submission; `read` every `TURNS_BETWEEN_READS` turns, because a
//!              socket does not say for free that something has come.
//! When full:   as `uring`.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddrV4;

use rt::mem::{Pages, Want};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::{HEARD_BYTES_MAX, Transport, TransportEvent, prefetch_room};

/// Bytes that may wait to be sent, and that one read takes.
const TX_BYTES: usize = 64 * 1024;
const RX_BYTES: usize = HEARD_BYTES_MAX;
/// An idle turn takes about 100 ns, so an answer waits 2 µs at most.
const TURNS_BETWEEN_READS: u32 = 16;

/// The stream.
#[derive(Debug)]
pub struct WriteTransport {
    socket: Option<Socket>,
    is_connected: bool,
    tx: Pages<u8>,
    rx: Pages<u8>,
    /// tx[..committed] is not with TCP yet.
    committed: usize,
    turns: u32,
    failed: Option<i32>,
}

impl WriteTransport {
    /// Takes the memory.
    ///
    /// # Errors
    /// The host has not that much memory.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            socket: None,
            is_connected: false,
            tx: Pages::zeroed(TX_BYTES, Want::HOT)?,
            rx: Pages::zeroed(RX_BYTES, Want::HOT)?,
            committed: 0,
            turns: 0,
            failed: None,
        })
    }

    fn open(&mut self, to: SocketAddrV4) -> io::Result<()> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_tcp_nodelay(true)?;
        socket.set_nonblocking(true)?;
        match socket.connect(&SockAddr::from(to)) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => return Err(error),
            _ => self.socket = Some(socket),
        }
        Ok(())
    }

    /// Whether the connection has come about meanwhile.
    fn look(&mut self) -> io::Result<bool> {
        let Some(socket) = &self.socket else {
            return Ok(false);
        };
        if let Some(error) = socket.take_error()? {
            return Err(error);
        }
        Ok(socket.peer_addr().is_ok())
    }

    fn fail(&mut self, error: &io::Error) {
        self.failed = Some(error.raw_os_error().unwrap_or(libc::EIO));
    }
}

impl Transport for WriteTransport {
    fn start(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn connect(&mut self, to: SocketAddrV4) {
        self.close();
        self.committed = 0;
        if let Err(error) = self.open(to) {
            self.fail(&error);
        }
    }

    fn close(&mut self) {
        (self.socket, self.failed) = (None, None);
        self.is_connected = false;
    }

    #[inline]
    fn room(&mut self) -> &mut [u8] {
        self.tx.get_mut(self.committed..).unwrap_or_default()
    }

    #[inline]
    fn commit(&mut self, len: usize) {
        self.committed += len;
        debug_assert!(self.committed <= TX_BYTES);
    }

    #[inline]
    fn flush(&mut self) {
        let (Some(socket), true) = (&mut self.socket, self.is_connected) else {
            return;
        };
        let Some(bytes) = self
            .tx
            .get(..self.committed)
            .filter(|bytes| !bytes.is_empty())
        else {
            return;
        };
        match socket.write(bytes) {
            Ok(len) => {
                self.tx.copy_within(len..self.committed, 0);
                self.committed -= len;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => self.fail(&error),
        }
    }

    #[inline]
    fn prefetch(&self) {
        prefetch_room(self.tx.get(self.committed..));
    }

    #[inline]
    fn poll(&mut self, mut on: impl FnMut(TransportEvent<'_>)) -> usize {
        self.turns = self.turns.wrapping_add(1);
        if !self.turns.is_multiple_of(TURNS_BETWEEN_READS) {
            return 0;
        }
        if let Some(errno) = self.failed.take() {
            self.close();
            on(TransportEvent::Closed(errno));
            return 1;
        }
        if !self.is_connected {
            match self.look() {
                Ok(true) => self.is_connected = true,
                Ok(false) => return 0,
                Err(error) => {
                    self.fail(&error);
                    return 0;
                }
            }
            on(TransportEvent::Connected);
            return 1;
        }
        if self.committed > 0 {
            self.flush();
        }
        let Some(socket) = &mut self.socket else {
            return 0;
        };
        match socket.read(&mut self.rx) {
            Ok(0) => self.failed = Some(0),
            Ok(len) => {
                on(TransportEvent::Bytes(
                    self.rx.get(..len).unwrap_or_default(),
                ));
                return 1;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => self.fail(&error),
        }
        0
    }
}
