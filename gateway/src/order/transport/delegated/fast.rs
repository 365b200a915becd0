//! The lane of one session: its row, its socket, and the connection that it serves.
//!
//! Path:        transport -> fast -> lane (may it leave?) -> segment (in a frame) -> sender (kick)
//! Thread:      order core, hot; a connection's beginning and end: the same core, cold
//! Invariants:  the programs know of a segment before it can leave. A connection is served only from its first packet
//!              on, and not while a frame of the one before may still leave.
//! Time:        read for a capture alone, when the segment has left.
//! System calls: the sender's kick. Beginning a connection asks for its route and binds its socket.
//! When wrong:  whatever is in doubt goes by the kernel alone and is counted (`DelegatedCounters`).

use std::io;
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::time::Duration;

use feed_handler::capture::tap::Tap;
use feed_handler::xdp::nic;
use rt::clock::monotonic_ns;
use rt::mem::prefetch_whole;
use socket2::Socket;

use super::lane::{Connection, DelegatedCounters, Detour, Waiting};
use super::program::Programs;
use super::row::{Row, Safeguards, ports};
use super::segment::{self, Template};
use super::sender::Sender;
use super::watch::LaneWatch;
use crate::order::transport::sockopt::window_shift;

/// Full segments as the smallest path has them, should the kernel not say: RFC 9293, 3.7.1.
const SEGMENT_BYTES_MIN: u32 = 536;
/// Congestion control that does not pace: a paced copy would leave long after its segment.
const CONGESTION: [&[u8]; 2] = [b"cubic", b"reno"];

/// Sets the first congestion control that can be set.
fn pin(set: impl Fn(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let mut result = Err(io::Error::from_raw_os_error(libc::ENOENT));
    for name in CONGESTION {
        result = set(name);
        if result.is_ok() {
            break;
        }
    }
    result
}

/// The lane.
#[derive(Debug)]
pub(super) struct Fast {
    /// The session's name.
    pub(super) session: String,
    pub(super) interface: String,
    /// The interface's index.
    pub(super) index: u32,
    pub(super) row: Arc<Row>,
    pub(super) sender: Sender,
    pub(super) counters: Arc<DelegatedCounters>,
    /// The connection that stands, if it leaves by this interface.
    pub(super) connection: Option<Connection>,
    /// Its ports, as on the wire.
    pub(super) ports: [u8; 4],
    /// Those of the connection whose frame has not left yet.
    pub(super) queued: [u8; 4],
    /// Bytes of the connection up to the end of its last fast segment.
    pub(super) sent_upto: u32,
    pub(super) safeguards: Safeguards,
    /// Who is shown what has left; `None`: nobody.
    pub(super) tap: Option<Tap>,
    /// Taken off after the socket has gone.
    pub(super) programs: Programs,
}

impl Fast {
    /// What housekeeping looks at.
    pub(super) fn watch(&self) -> LaneWatch {
        let (row, counters) = (Arc::clone(&self.row), Arc::clone(&self.counters));
        LaneWatch::new(self.session.clone(), row, counters, self.programs.links())
    }

    /// Makes a socket ready that is about to connect; the programs look at it from its first packet on.
    pub(super) fn prepare(&mut self, socket: &Socket, to: SocketAddrV4) {
        let before = std::mem::take(&mut self.ports);
        (self.connection, self.sent_upto) = (None, 0);
        self.row.end();
        if self.sender.is_idle() {
            self.queued = [0; 4];
        } else {
            if before != [0; 4] {
                self.queued = before;
            }
            // A frame of the connection before, from when the link was down. While it is there nothing else leaves by
            // the lane, and each write asks for it again.
            self.sender.kick_again();
        }
        match self.bound(socket, to) {
            // The frame that waits would be of this connection, too.
            Ok(Some(local)) if ports(local, to) == self.queued => {
                self.counters.connections_refused.increment();
            }
            Ok(Some(local)) => {
                self.ports = ports(local, to);
                self.row.begin(local, to, self.safeguards);
            }
            Ok(None) => self.counters.connections_elsewhere.increment(),
            Err(_) => self.counters.connections_refused.increment(),
        }
    }

    /// Asks for what the lane needs of a socket, and where it connects from; `None`: from another interface.
    fn bound(&self, socket: &Socket, to: SocketAddrV4) -> io::Result<Option<SocketAddrV4>> {
        let route = nic::route_to(*to.ip())?;
        if route.interface != self.index {
            return Ok(None);
        }
        // EPERM, ENOENT: the host does not allow it, or has none of these.
        pin(|name| socket.set_tcp_congestion(name))?;
        // The port must be known before the first packet leaves, so it cannot be left to connecting, which finds one
        // also where all are in use to other addresses.
        socket.bind(&SocketAddrV4::new(route.source, 0).into())?;
        let local = socket.local_addr()?.as_socket_ipv4();
        let local = local.ok_or_else(|| io::Error::from_raw_os_error(libc::EAFNOSUPPORT))?;
        // Last, so that only a connection with the lane has it: whoever dies between the segment and its copy leaves a
        // number behind that only RST is heard at.
        socket.set_linger(Some(Duration::ZERO))?;
        Ok(Some(local))
    }

    /// The connection stands.
    pub(super) fn on_connected(&mut self, socket: &Socket) {
        if self.ports == [0; 4] {
            return;
        }
        let bytes = socket.tcp_mss().unwrap_or(SEGMENT_BYTES_MIN);
        self.connection = window_shift(socket).ok().map(|window_shift| Connection {
            window_shift,
            segment_bytes: bytes,
        });
    }

    /// Sends what waits, if it may leave before the kernel's copy; `waiting` is what the kernel is handed next.
    #[inline]
    pub(super) fn send(&mut self, taken: u32, bytes: &[u8]) {
        match self.try_send(taken, bytes) {
            Ok(()) => {
                self.counters.delegated_sent.increment();
                self.counters.delegated_bytes.add(bytes.len() as u64);
            }
            Err(detour) => self.counters.count(detour),
        }
    }

    /// Brings near what the next segment is made from, and the frame that it is written into. It changes nothing.
    #[inline]
    pub(super) fn prefetch(&self) {
        prefetch_whole(&*self.counters);
        self.row.prefetch();
        self.sender.prefetch();
    }

    /// Something waits behind a write that the kernel is at.
    #[inline]
    pub(super) fn count_behind(&self) {
        self.counters.count(Detour::Writing);
    }

    #[inline]
    fn try_send(&mut self, taken: u32, bytes: &[u8]) -> Result<(), Detour> {
        let connection = self.connection.as_ref().ok_or(Detour::Unseen)?;
        if self.row.is_over() {
            return Err(Detour::Detached);
        }
        if !self.sender.is_idle() {
            // What was put off leaves now, or it has left: a card says so when it is asked.
            self.sender.kick_again();
            if !self.sender.is_idle() {
                return Err(Detour::NoFrame);
            }
        }
        let kernel = self.row.kernel().ok_or(Detour::Moving)?;
        let waiting = Waiting {
            taken,
            len: bytes.len(),
        };
        let numbers = connection.judge(&kernel, self.row.peer(), waiting)?;
        let template = Template {
            header: kernel.header,
            ports: self.ports,
        };
        let row = &self.row;
        let sent = self.sender.send(|room| {
            let len = segment::write(room, &template, &numbers, bytes)?;
            let bytes_len = u32::try_from(bytes.len()).ok()?;
            row.announce(&numbers, bytes_len, kernel.header_version);
            Some(len)
        });
        let detour = match sent {
            Ok(true) => None,
            Ok(false) => Some(Detour::NoFrame),
            Err(_) => Some(Detour::Refused),
        };
        // What was refused may leave all the same.
        if detour != Some(Detour::NoFrame) {
            self.sent_upto = taken.wrapping_add(u32::try_from(bytes.len()).unwrap_or(0));
        }
        let Some(detour) = detour else {
            if let Some(tap) = &mut self.tap {
                tap.on_sent(self.sender.last_sent(), monotonic_ns());
            }
            return Ok(());
        };
        self.row.withdraw(&numbers);
        Err(detour)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_congestion_control_that_does_not_pace_there_is_no_lane() {
        let refused = |_: &[u8]| Err(io::Error::from_raw_os_error(libc::EPERM));
        let errno = pin(refused).map_err(|error| error.raw_os_error());
        assert_eq!(errno, Err(Some(libc::EPERM)));
        let only_reno = |name: &[u8]| match name {
            b"reno" => Ok(()),
            _ => Err(io::Error::from_raw_os_error(libc::ENOENT)),
        };
        assert!(pin(only_reno).is_ok());
    }
}
