//! What who sends before the kernel asks of the stream: what waits, how much was taken, and that something lives as long.
//!
//! Thread:      order core, hot

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use socket2::Socket;

use super::{KEPT, UringTransport};

/// What waits to be written.
#[derive(Debug)]
pub(in crate::order::transport) enum Pending<'a> {
    /// Nothing, or there is no connection.
    Nothing,
    /// These bytes, all of them with the next write.
    Bytes(&'a [u8]),
    /// Bytes behind a write that is under way.
    Behind,
}

impl UringTransport {
    /// The connection's socket.
    pub(in crate::order::transport) fn socket(&self) -> Option<&Socket> {
        self.socket.as_ref()
    }

    /// Keeps a file until the connection's socket has gone, also when the process is killed: the ring outlives it.
    pub(in crate::order::transport) fn keep(&self, file: BorrowedFd<'_>) -> io::Result<()> {
        if let Some(ring) = &self.ring {
            let files = [file.as_raw_fd()];
            ring.submitter().register_files_update(KEPT, &files)?;
        }
        Ok(())
    }

    /// Bytes that TCP has taken on this connection, modulo 2^32.
    #[inline]
    pub(in crate::order::transport) fn taken(&self) -> u32 {
        self.taken
    }

    /// What the next `flush` writes.
    #[inline]
    pub(in crate::order::transport) fn pending(&self) -> Pending<'_> {
        if self.committed == self.sending || !self.is_connected {
            return Pending::Nothing;
        }
        if self.sent != self.sending {
            return Pending::Behind;
        }
        match self.tx.get(self.sent..self.committed) {
            Some(bytes) => Pending::Bytes(bytes),
            None => Pending::Nothing,
        }
    }
}
