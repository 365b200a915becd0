//! The lane of one session: its row, its socket, and the connection that it serves.
//!
//! Path:        transport -> fast -> lane (may it leave?) -> segment (in a frame) -> sender (kick)
//! Thread:      order core, hot; a connection's beginning and end: the same core, cold
//! Invariants:  the programs know of a segment before it can leave. A connection is served only from its first packet
//!              on, and never while a frame of the one before may still leave.
//! Time:        read for a capture alone, when the segment has left.
//! System calls: the sender's kick. Beginning a connection asks for its route and binds its socket.
//! When wrong:  whatever is in doubt goes by the kernel alone and is counted (`DelegatedCounters`).

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use feed_handler::capture::tap::Tap;
use feed_handler::xdp::nic;
use rt::clock::monotonic_ns;
use socket2::Socket;

use super::lane::{Connection, DelegatedCounters, Detour, KernelState, Waiting};
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
    /// Its socket, once more: how it ends is decided when the stream has let go of it.
    pub(super) end: Option<Socket>,
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

    /// Makes a socket ready that is about to connect; the programs look at it from its first packet on. Where something
    /// is missing the connection goes as any other.
    pub(super) fn prepare(&mut self, socket: &Socket, to: SocketAddrV4) {
        (self.connection, self.ports, self.sent_upto) = (None, [0; 4], 0);
        self.row.end();
        // A link that was down keeps the frame; whoever asks again may find it up.
        if !self.sender.is_idle() {
            self.sender.kick_again();
        }
        if !self.sender.is_idle() {
            self.counters.connections_unsent.increment();
            return;
        }
        let route = match nic::route_to(*to.ip()) {
            Ok(route) if route.interface == self.index => route,
            Ok(_) | Err(_) => return self.counters.connections_elsewhere.increment(),
        };
        if self.begin(socket, to, route.source).is_err() {
            self.counters.connections_refused.increment();
        }
    }

    fn begin(&mut self, socket: &Socket, to: SocketAddrV4, source: Ipv4Addr) -> io::Result<()> {
        let unfit = || io::Error::from_raw_os_error(libc::EOPNOTSUPP);
        let set = |name: &&[u8]| socket.set_tcp_congestion(name).is_ok();
        CONGESTION.iter().find(|name| set(name)).ok_or_else(unfit)?;
        socket.bind(&SocketAddrV4::new(source, 0).into())?;
        let local = socket.local_addr()?.as_socket_ipv4().ok_or_else(unfit)?;
        let end = socket.try_clone()?;
        // Whoever dies between the segment and its copy leaves a number behind that only RST is heard at.
        end.set_linger(Some(Duration::ZERO))?;
        self.end = Some(end);
        self.ports = ports(local, to);
        self.row.begin(local, to, self.safeguards);
        Ok(())
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
            self.sender.kick_again();
            return Err(Detour::NoFrame);
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

    /// The stream has let go of the connection, of whose bytes it knows that the kernel has taken this many: it ends in order, if
    /// the kernel has all that has left; else with RST, as after a crash.
    pub(super) fn on_closed(&mut self, taken: u32) {
        self.connection = None;
        let Some(end) = self.end.take() else { return };
        let has_all = |of: u32| of.wrapping_sub(self.sent_upto) < u32::MAX / 2;
        // A copy that `leave` has seen is with the kernel, whether or not anybody has read so.
        let has_left = |kernel: KernelState| has_all(kernel.next.wrapping_sub(kernel.start));
        if has_all(taken) || self.row.kernel().is_some_and(has_left) {
            // Failing leaves RST, which ends it, too.
            let _ = end.set_linger(None);
        }
    }
}
