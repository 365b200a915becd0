//! The byte stream to an exchange past the kernel's TCP, with the kernel's TCP as its safety net.
//!
//! ```text
//!          ┌─ 1 ─> segment ─ AF_XDP ──────────────────────────> wire ──> exchange
//!  flush ──┤
//!          └─ 2 ─> io_uring ─> kernel's TCP ─ `leave` takes it away
//!  poll <─────── io_uring <─── kernel's TCP <─ `arrive` lowers what runs ahead <── wire
//! ```
//!
//! The kernel keeps the connection: handshake, receiving, retransmission, windows, the end. What waits leaves first as a
//! segment of our own, at the number that the kernel will give the same bytes; at once they go to the kernel, whose copy is kept
//! from the wire. If the segment is lost, or anything was in doubt, the kernel's copy is what the exchange gets; if it
//! gets both, its TCP drops the second. An order can arrive late this way, and never twice.
//!
//! Path:        order::entry -> delegated (fast: lane, segment, sender) -> uring
//! Thread:      order core, hot
//! Invariants:  whatever was sent by the lane is handed to the kernel in the same call. All bytes of the session
//!              pass here: orders, cancels, logins, heartbeats.
//! System calls: the lane's kick, then io_uring's.
//! When wrong:  no lane, or any doubt: as `uring` with a system call on the order core.

mod fast;
mod lane;
mod link;
mod open;
mod program;
mod row;
mod segment;
mod sender;
mod watch;

use std::io;
use std::net::SocketAddrV4;
use std::sync::Arc;

use feed_handler::capture::tap::Tap;

use super::uring::{Pending, UringTransport};
use super::{Counts, Transport, TransportEvent};
use fast::Fast;
use lane::DelegatedCounters;
pub use open::DelegatedOptions;
pub use row::Safeguards;
pub use sender::Sender;
pub use watch::LaneWatch;

/// The stream.
#[derive(Debug)]
pub struct DelegatedTransport {
    stream: UringTransport,
    /// `None`: the host has no lane for it.
    fast: Option<Fast>,
}

impl DelegatedTransport {
    /// Opens the lane, or says why there is none.
    ///
    /// # Errors
    /// There is none, and it is required.
    pub fn open(stream: UringTransport, options: &DelegatedOptions) -> io::Result<Self> {
        let fast = open::open(options)?;
        Ok(Self { stream, fast })
    }
}

impl Transport for DelegatedTransport {
    fn start(&mut self) -> io::Result<()> {
        self.stream.start()?;
        match &self.fast {
            Some(fast) => self.stream.keep(fast.programs.leave()),
            None => Ok(()),
        }
    }

    fn connect(&mut self, to: SocketAddrV4) {
        self.close();
        let fast = &mut self.fast;
        self.stream.connect_prepared(to, |socket| {
            if let Some(fast) = fast {
                fast.prepare(socket, to);
            }
            Ok(())
        });
    }

    fn close(&mut self) {
        if let Some(fast) = &mut self.fast {
            fast.connection = None;
        }
        self.stream.close();
    }

    #[inline]
    fn room(&mut self) -> &mut [u8] {
        self.stream.room()
    }

    #[inline]
    fn commit(&mut self, len: usize) {
        self.stream.commit(len);
    }

    #[inline]
    fn flush(&mut self) {
        if let Some(fast) = &mut self.fast {
            match self.stream.pending() {
                Pending::Nothing => return,
                Pending::Bytes(bytes) => {
                    fast.send(self.stream.taken(), bytes);
                    self.stream.set_left(fast.sent_upto);
                }
                Pending::Behind => fast.count_behind(),
            }
        }
        self.stream.flush();
    }

    #[inline]
    fn prefetch(&self) {
        self.stream.prefetch();
        if let Some(fast) = &self.fast {
            fast.prefetch();
        }
    }

    #[inline]
    fn poll(&mut self, mut on: impl FnMut(TransportEvent<'_>)) -> usize {
        let mut is_connected = false;
        let count = self.stream.poll(|event| {
            is_connected |= matches!(event, TransportEvent::Connected);
            on(event);
        });
        if is_connected && let (Some(fast), Some(socket)) = (&mut self.fast, self.stream.socket()) {
            fast.on_connected(socket);
            self.stream.set_left(fast.sent_upto);
        }
        count
    }

    fn counts(&self) -> Option<Counts> {
        let fast = self.fast.as_ref()?;
        let (row, counters) = (Arc::clone(&fast.row), Arc::clone(&fast.counters));
        Some(Box::new(move || {
            let mut all = counters.list();
            all.extend(row.counts());
            all
        }))
    }

    fn watch(&self) -> Option<LaneWatch> {
        self.fast.as_ref().map(Fast::watch)
    }

    fn lane_interface(&self) -> Option<String> {
        self.fast.as_ref().map(|fast| fast.interface.clone())
    }

    fn keep_sent(&mut self, tap: Tap) {
        if let Some(fast) = &mut self.fast {
            fast.tap = Some(tap);
        }
    }
}

/// What a session that is delegated counts beside the others' counters, at zero.
pub(crate) fn declared() -> Vec<(&'static str, &'static str, u64)> {
    let mut all = DelegatedCounters::default().list();
    all.extend(row::COUNTS.iter().map(|(name, text)| (*name, *text, 0)));
    all
}

impl Drop for DelegatedTransport {
    /// Not as a crash ends it.
    fn drop(&mut self) {
        self.close();
    }
}
