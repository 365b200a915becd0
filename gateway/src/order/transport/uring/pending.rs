//! What who sends before the kernel asks of the stream: what waits, how much was taken, and that something lives as long.
//!
//! Thread:      order core, hot

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use io_uring::cqueue;
use socket2::Socket;

use super::super::sockopt::not_sent;
use super::{KEPT, Kind, RING_ENTRIES, UringTransport};

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

    /// So many bytes of the connection have left past TCP, which is handed them next. Until it has taken them, the
    /// connection ends with RST, which its socket is set to: what the exchange has stands at numbers that TCP does not know.
    #[inline]
    pub(in crate::order::transport) fn set_left(&mut self, left: u32) {
        self.left = Some(left);
    }

    /// Before the socket goes, whoever ends the connection: where TCP has sent everything that has left past it, it goes
    /// on sending until the exchange has the rest, as without a lane, and ends with FIN. That TCP has taken it is not
    /// enough: a copy that waits for the congestion window stays behind what the exchange acknowledges, of which TCP hears
    /// nothing as soon as the lane serves the next connection.
    pub(super) fn end_in_order(&mut self) {
        let Some(left) = self.left.take() else { return };
        let is_short = |bytes: u32| bytes.wrapping_sub(left) > u32::MAX / 2;
        if is_short(self.taken) {
            self.reap();
        }
        if let Some(socket) = &self.socket
            && let Ok(not_sent) = not_sent(socket)
            && !is_short(self.taken.wrapping_sub(not_sent))
        {
            // Failing leaves RST, which ends it, too.
            let _ = socket.set_linger(None);
        }
    }

    /// Reads what the kernel has done, without telling anybody: what was heard is given back, what TCP took is counted.
    fn reap(&mut self) {
        self.enter();
        for _ in 0..RING_ENTRIES * 4 {
            let Some(ring) = &mut self.ring else { return };
            let Some(completion) = ring.completion().next() else {
                return;
            };
            if let Some(buffer) = cqueue::buffer_select(completion.flags()) {
                self.rx.lend(buffer);
            }
            if completion.user_data() == self.generation << 8 | Kind::Send as u64
                && let Ok(len) = u32::try_from(completion.result())
            {
                self.taken = self.taken.wrapping_add(len);
            }
        }
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
